"""Pictures for the first two notebooks: a ruler for numbers, and one step of a convolution."""

import numpy as np
from matplotlib.figure import Figure

from qkit.show.picture import ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, picture


@picture
def ruler(values: np.ndarray, scale: float) -> tuple[Figure, str]:
    """Draw each value above a ruler with marks ``scale`` apart, and an arrow to the mark nearest to it."""
    marks = np.round(values / scale).astype(int)
    shown = np.arange(marks.min() - 1, marks.max() + 2)
    figure = Figure(figsize=(9, 2.8))
    axes = figure.subplots()
    axes.hlines(0, *(shown[[0, -1]] * scale), color=GUIDE, lw=1)
    axes.vlines(shown * scale, -0.12, 0.12, color=QUANTIZED, lw=2)
    for mark in shown:
        axes.text(mark * scale, -0.2, f"{mark}", ha="center", va="top", color=QUANTIZED_TEXT, weight="bold")
    for value, mark in zip(values, marks, strict=True):
        arrow = dict(arrowstyle="-|>", color=ERROR, lw=1.3, shrinkA=4, shrinkB=1)
        axes.annotate("", (mark * scale, 0.12), (value, 1), arrowprops=arrow)
        axes.text(value, 1.13, f"{value:g}", ha="center", va="bottom", color=FLOAT)
    axes.plot(values, np.ones(len(values)), "o", color=FLOAT)
    axes.set(ylim=(-0.85, 1.5), yticks=[], xlabel="real number")
    axes.spines["left"].set_visible(False)
    axes.text(shown[0] * scale, 1, "real values", color=FLOAT, va="center")
    axes.text(shown[0] * scale, -0.5, "integers that are stored", color=QUANTIZED_TEXT, va="center")
    pairs = ", ".join(f"{value:g} to {mark}" for value, mark in zip(values, marks, strict=True))
    return figure, f"A ruler with marks {scale:g} apart. Each real value goes to its nearest mark: {pairs}."


@picture
def convolution(image: np.ndarray, kernel: np.ndarray, result: np.ndarray, row: int, column: int) -> tuple[Figure, str]:
    """Draw one step of a convolution: the window of ``image`` at (row, column), the kernel, and the result."""
    figure = Figure(figsize=(9.5, 3.4))
    figure.get_layout_engine().set(wspace=0.12)
    left, middle, right = figure.subplots(1, 3, width_ratios=[image.shape[1], kernel.shape[1], result.shape[1]])
    _numbers(left, image, "image")
    _numbers(middle, kernel, "kernel: multiply")
    _numbers(right, result, "result: add up")
    height, width = kernel.shape
    _frame(left, row, column, height, width)
    _frame(right, row, column, 1, 1)
    return figure, (
        f"The {height} × {width} window of the image at row {row}, column {column}, multiplied number by number with "
        f"the kernel and added up, gives {result[row, column]:g}."
    )


def _numbers(axes, array: np.ndarray, title: str) -> None:
    rows, columns = array.shape
    axes.set(xlim=(-0.55, columns - 0.45), ylim=(rows - 0.45, -0.55), aspect="equal", title=title)
    axes.set_axis_off()
    axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="#cccccc", lw=1)
    axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="#cccccc", lw=1)
    for (row, column), value in np.ndenumerate(array):
        axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=12)


def _frame(axes, row: int, column: int, height: int, width: int) -> None:
    x = [column - 0.5, column + width - 0.5, column + width - 0.5, column - 0.5, column - 0.5]
    y = [row - 0.5, row - 0.5, row + height - 0.5, row + height - 0.5, row - 0.5]
    axes.plot(x, y, color=ERROR, lw=2.5, clip_on=False)
