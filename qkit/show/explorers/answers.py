"""A network's answers one by one, from the surest mistake to the surest right answer."""

import numpy as np

from qkit.show.canvas import Stage
from qkit.show.explorer import Explorer, slider
from qkit.show.numerals import percent
from qkit.show.picture import ERROR, FLOAT, GOOD, in_style


@in_style
def answers(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, **start) -> Explorer:
    """Slide through images and the probabilities that a network gave them: all mistakes, and the closest calls.

    ``images`` have shape (n, height, width), ``labels`` (n,), ``probabilities`` (n, classes); a ValueError if not, or
    if there are none. ``start`` is a value of the control ``rank``, from 1. Taught in notebook 01, section 5.
    """
    images, labels, probabilities = np.asarray(images), np.asarray(labels), np.asarray(probabilities)
    count = len(labels)
    if images.ndim != 3 or probabilities.ndim != 2 or not len(images) == len(probabilities) == count > 0:
        wanted = "images (n, height, width), labels (n,) and probabilities (n, classes) are wanted"
        raise ValueError(f"{wanted}, got shapes {images.shape}, {labels.shape}, {probabilities.shape}")
    (_, height, width), classes = images.shape, probabilities.shape[1]
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = said == labels
    order = np.argsort(np.where(right, sure, -sure), kind="stable")
    shown = min(count, 2 * int(np.sum(~right)) + 50)

    stage = Stage(8, 3)
    # Room for the frame: the moving image is drawn over it.
    left = stage.axes(0.01, 0.05, 0.28, 0.9, xticks=[], yticks=[], xlim=(-1, width), ylim=(height, -1))
    picture = stage.moving(left.imshow(images[0], cmap="Greys", vmin=0, vmax=images.max(), interpolation="nearest"))
    left.spines[:].set(visible=True, color="#bbbbbb")
    beside = stage.axes(0.38, 0.17, 0.61, 0.72, xlim=(-0.6, classes - 0.4), ylim=(0, 1.12), xticks=range(classes))
    beside.set(xlabel="digit", ylabel="probability")
    beside.set_title("▼ marks the label", color=GOOD)
    bars = [stage.moving(bar) for bar in beside.bar(np.arange(classes), np.zeros(classes), color=FLOAT)]
    label = stage.line(beside, "v", [0], [1.05], color=GOOD, ms=11)

    def update(rank):
        index = order[rank - 1]
        picture.set_data(images[index])
        label.set_xdata([labels[index]])
        for digit, bar in enumerate(bars):
            bar.set_height(probabilities[index, digit])
            bar.set_color(ERROR if digit == said[index] and not right[index] else FLOAT)
        return stage.png(), (
            f"Rank {rank:,} of {shown:,}, test image {index}: label {labels[index]}, the network says {said[index]}, "
            f"{percent(sure[index], 1)} sure. {'Right' if right[index] else 'Wrong'}."
        )

    tooltip = "From the surest mistake on the left, past the closest calls, to right answers"
    return Explorer({"rank": slider("rank", tooltip, 1, 1, shown)}, update, stage.size, start)
