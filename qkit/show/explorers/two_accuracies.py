"""Two accuracies with their intervals: what it takes to say that they differ."""

import numpy as np

from qkit.numeric import Accuracy
from qkit.show.canvas import Stage
from qkit.show.explorer import Explorer, slider, stops
from qkit.show.numerals import with_interval
from qkit.show.picture import CLIPPED, FLOAT, in_style


@in_style
def two_accuracies(**start) -> Explorer:
    """Move the number of images and two accuracies; see their 95 % intervals move apart or overlap.

    ``start`` are values of the controls: ``images``, ``a`` and ``b`` in per cent. Taught in notebook 01, section 4.
    """
    stage = Stage(8, 2.4)
    axes = stage.axes(0.06, 0.28, 0.92, 0.68, xlim=(0.915, 1.003), ylim=(1.6, -0.6))
    axes.set(yticks=[0, 1], yticklabels=["A", "B"], xlabel="accuracy, with 95 % interval")
    axes.set_xticks(np.arange(92, 101) / 100, [f"{each} %" for each in range(92, 101)])
    axes.grid(axis="x", color="#dddddd")
    looks = {"lw": 4, "mfc": "white", "mew": 2, "ms": 10, "markevery": [1]}
    lines = [stage.line(axes, style, color=c, **looks) for style, c in (("o-", FLOAT), ("s-", CLIPPED))]

    def update(images, a, b):
        measured = [Accuracy(round(share / 100 * images), images) for share in (a, b)]
        for place, (line, accuracy) in enumerate(zip(lines, measured, strict=True)):
            low, high = accuracy.interval
            line.set_data([low, accuracy.value, high], np.full(3, place))
        first, second = sorted(accuracy.interval for accuracy in measured)
        said = "The intervals do not touch: a clear difference."
        if measured[0] == measured[1]:
            said = "The two are the same."
        elif second[0] <= first[1]:
            said = "The intervals overlap: no clear difference; only a test of the difference itself could "
            said += "still find one."
        a, b = map(with_interval, measured)
        return stage.png(), f"{images:,} images: A {a}, B {b}. {said}"

    counts = (round(step * 10**power) for power in range(2, 7) for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8))
    named = {count: f"{count:,}" for count in counts if 300 <= count <= 1_000_000}
    controls = {
        "images": stops("images", "How many test images each network answers", 1_000, named),
        "a": slider("A right", "Share of right answers of network A, in percent", 98, 95, 100, step=0.05),
        "b": slider("B right", "Share of right answers of network B, in percent", 98.5, 95, 100, step=0.05),
    }
    for name in "ab":
        controls[name].readout_format = ".2f"
    return Explorer(controls, update, stage.size, start)
