"""Pictures of digits."""

import numpy as np
from matplotlib.figure import Figure

from qkit.show.picture import ERROR, GOOD, picture


@picture
def digit_grid(images: np.ndarray, labels: np.ndarray, name: str, columns: int = 10) -> tuple[Figure, str]:
    """Draw images (n, 28, 28) side by side, each under its label; ``name`` says which digits they are."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(0.85 * columns, 0.95 * rows + 0.4))
    figure.suptitle(name)
    for axes, image, label in zip(figure.subplots(rows, columns, squeeze=False).flat, images, labels, strict=False):
        _ink_on_paper(axes, image)
        axes.set_title(str(label), loc="center", pad=2)
    for axes in figure.axes[len(images) :]:
        axes.set_axis_off()
    return figure, f"{len(images)} images of {name}, each under its label: {', '.join(map(str, labels))}."


@picture
def pixel_values(image: np.ndarray) -> tuple[Figure, str]:
    """Draw an image (28, 28) with the grey level of every pixel written into it."""
    figure = Figure(figsize=(8.6, 8.2))
    axes = figure.subplots()
    _ink_on_paper(axes, image)
    for (row, column), grey in np.ndenumerate(image):
        if grey:
            colour = "white" if grey > 127 else "black"
            axes.text(column, row, str(grey), ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel="column", ylabel="row", xticks=range(0, 28, 3), yticks=range(0, 28, 3))
    return figure, (
        "One digit, 28 rows by 28 columns, with its grey levels written in: 0 (not written) is paper, 255 is full ink. "
        f"{np.count_nonzero(image)} of 784 pixels have ink."
    )


@picture
def mistakes(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, count: int = 10) -> tuple[Figure, str]:
    """Draw the ``count`` wrong answers that the network was surest of.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 28, 28)
    labels : ndarray of int, shape (n,)
    probabilities : ndarray of float, shape (n, 10)
    """
    said = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]
    columns = min(5, max(1, len(worst)))
    rows = max(1, -(-len(worst) // columns))
    figure = Figure(figsize=(1.75 * columns, 2.2 * rows))
    lines = []
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, index in zip(figure.axes, worst, strict=False):
        axes.set_axis_on()
        _ink_on_paper(axes, images[index])
        sure = probabilities[index].max()
        axes.set_title(f"says {said[index]} ({_surely(sure)})", loc="center", color=ERROR)
        axes.set_xlabel(f"label {labels[index]}", color=GOOD)
        lines.append(f"a {labels[index]} called {said[index]} ({_surely(sure)})")
    return figure, f"The surest of {len(wrong)} mistakes: {'; '.join(lines)}."


def _surely(probability: float) -> str:
    return ">99.9%" if probability > 0.999 else f"{probability:.1%}"


def _ink_on_paper(axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="Greys", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(visible=True, color="#bbbbbb")
