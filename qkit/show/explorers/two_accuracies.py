"""Two accuracies with their intervals: what it takes to say that they differ."""

from types import SimpleNamespace

import numpy as np
from matplotlib.ticker import PercentFormatter

from qkit.numeric.accuracy import Accuracy
from qkit.show.canvas import Stage
from qkit.show.explorer import Explorer, log_slider, slider
from qkit.show.picture import CLIPPED, FLOAT
from qkit.show.words import network as words


def two_accuracies() -> Explorer:
    """Move the number of images and two accuracies; see the 95 % intervals move apart or overlap."""

    def build(figure):
        axes = figure.add_axes((0.06, 0.28, 0.92, 0.68))
        axes.set(xlim=(0.915, 1.003), ylim=(1.6, -0.6), yticks=[0, 1], yticklabels=["A", "B"])
        axes.set_xticks(np.arange(92, 101) / 100)
        axes.set_xlabel(words.ACCURACY)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="x", color="#dddddd")
        looks = (dict(color=FLOAT, marker="o"), dict(color=CLIPPED, marker="s"))
        lines = [axes.plot([], [], lw=4, mfc="white", mew=2, ms=10, **look, markevery=[1])[0] for look in looks]
        return SimpleNamespace(moving=lines)

    stage = Stage(8, 2.4, build)

    def update(images: float, a: float, b: float) -> tuple[bytes, str]:
        total = round(images)
        measured = [Accuracy(round(share / 100 * total), total) for share in (a, b)]
        for place, (line, accuracy) in enumerate(zip(stage.parts.moving, measured, strict=True)):
            low, high = accuracy.interval
            line.set_data([low, accuracy.value, high], np.full(3, place))
        return stage.png(), _words(*measured)

    controls = {
        "images": log_slider(*words.IMAGES, 1_000, 300, 1_000_000),
        "a": slider(*words.ACCURACY_A, 98, 95, 100, step=0.05),
        "b": slider(*words.ACCURACY_B, 98.5, 95, 100, step=0.05),
    }
    for name in "ab":
        controls[name].readout_format = ".2f"
    return Explorer(controls, update, stage.size)


def _words(a: Accuracy, b: Accuracy) -> str:
    first, second = sorted((a.interval, b.interval))
    verdict = words.OVERLAP if second[0] <= first[1] else words.APART
    said = ["{:.2%} ({:.2%} to {:.2%})".format(accuracy.value, *accuracy.interval) for accuracy in (a, b)]
    return words.TWO_ACCURACIES.format(images=a.total, a=said[0], b=said[1], verdict=verdict)
