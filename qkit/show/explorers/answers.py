"""A network's answers one by one, from the surest mistake to the surest right answer."""

from types import SimpleNamespace

import numpy as np

from qkit.show.canvas import Stage
from qkit.show.explorer import Explorer, slider
from qkit.show.picture import ERROR, FLOAT, GOOD
from qkit.show.words import network as words


def answers(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> Explorer:
    """Slide through images and the probabilities that a network gave them: all mistakes, and the closest calls.

    Parameters
    ----------
    images : ndarray, shape (n, height, width)
    labels : ndarray of int, shape (n,)
    probabilities : ndarray of float, shape (n, classes)

    Raises
    ------
    ValueError
        If there are no images, or the three do not belong together.
    """
    images, labels, probabilities = np.asarray(images), np.asarray(labels), np.asarray(probabilities)
    count = len(labels)
    if images.ndim != 3 or probabilities.ndim != 2 or not len(images) == len(probabilities) == count > 0:
        raise ValueError(
            "images (n, height, width), labels (n,) and probabilities (n, classes) are wanted, got shapes "
            f"{images.shape}, {labels.shape}, {probabilities.shape}"
        )
    classes = probabilities.shape[1]
    said = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)
    order = np.argsort(np.where(said == labels, sure, -sure), kind="stable")
    wrong = int(np.sum(said != labels))
    shown = min(count, 2 * wrong + 50)

    def build(figure):
        left, right = figure.add_axes((0.01, 0.05, 0.28, 0.9)), figure.add_axes((0.38, 0.17, 0.61, 0.72))
        picture = left.imshow(images[0], cmap="Greys", vmin=0, vmax=images.max(), interpolation="nearest")
        height, width = images[0].shape
        # Room for the frame: the moving image is drawn over it.
        left.set(xticks=[], yticks=[], xlim=(-1, width), ylim=(height, -1))
        bars = right.bar(np.arange(classes), np.zeros(classes), color=FLOAT)
        right.set(
            xlim=(-0.6, classes - 0.4),
            ylim=(0, 1.12),
            xticks=range(classes),
            xlabel=words.DIGIT,
            ylabel=words.PROBABILITY,
        )
        label = right.plot([0], [1.05], "v", color=GOOD, ms=11)[0]
        right.set_title(words.LABEL, color=GOOD)
        left.spines[:].set(visible=True, color="#bbbbbb")
        return SimpleNamespace(picture=picture, bars=bars, label=label, moving=[picture, *bars, label])

    stage = Stage(8, 3, build)
    parts = stage.parts

    def update(rank: int) -> tuple[bytes, str]:
        index = order[rank - 1]
        right = said[index] == labels[index]
        parts.picture.set_data(images[index])
        parts.label.set_xdata([labels[index]])
        for digit, bar in enumerate(parts.bars):
            bar.set_height(probabilities[index, digit])
            bar.set_color(ERROR if digit == said[index] and not right else FLOAT)
        return stage.png(), words.ANSWER.format(
            index=index,
            rank=rank,
            shown=shown,
            label=labels[index],
            said=said[index],
            sure=sure[index],
            verdict=words.RIGHT if right else words.WRONG,
        )

    return Explorer({"rank": slider(*words.RANK, 1, 1, shown)}, update, stage.size)
