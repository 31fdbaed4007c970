"""Fake quantization in training: forward a staircase, back the straight-through gradient, and a weight in between."""

import numpy as np

from qkit.numeric import QuantSpec, params_from_range, straight_through
from qkit.show.canvas import Stage, plain_ticks, write
from qkit.show.explorer import BITS, Explorer, slider
from qkit.show.explorers.number_line import follow
from qkit.show.numerals import number
from qkit.show.picture import ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

VIEW, FAR, FLOOR = 1.55, 3.1, -1.22 * 1.55  # the end of the axes, a place beyond it, and how high the update is drawn


@in_style
def fake_quantization(**start) -> Explorer:
    """Show the fake quantizer of a weight over the identity, its true and its straight-through slope, and an update.

    ``start`` are values of the controls ``bits`` (2 to 8), ``clip``, ``w``, ``push``. Taught in notebook 07, section 1.
    """
    stage = Stage(9, 4.9)
    names = "w", "quantized ŵ", "step S", "gradient ×", "w after", "ŵ after"
    numbers = stage.numbers(0.1, 0.92, names, [FLOAT, QUANTIZED_TEXT, GUIDE, "black", FLOAT, QUANTIZED_TEXT])
    above = stage.axes(0.09, 0.41, 0.89, 0.41, xlim=(-VIEW, VIEW), ylim=(-1.35 * VIEW, 1.1 * VIEW))
    below = stage.axes(0.09, 0.12, 0.89, 0.185, xlim=(-VIEW, VIEW), ylim=(-0.2, 1.5), yticks=[0, 1])
    above.set_ylabel("quantized ŵ")
    below.set(xlabel="latent w", ylabel="slope")
    above.tick_params(labelbottom=False)
    plain_ticks(above.yaxis, 4)
    above.plot([-VIEW, VIEW], [-VIEW, VIEW], "--", color=FLOAT, linewidth=1.2, label="identity")
    (stairs,) = above.plot([], [], color=QUANTIZED, linewidth=2.5, label="quantizer")
    hatches = [stage.clipped(axes) for axes in (above, above, below, below)]
    hatches[0].set_label("clipped")
    stage.moving(stairs)
    drops = stage.line(above, ":", color="black", linewidth=1.5)
    move = stage.line(above, color=FLOAT, linewidth=2)
    dot = {"marker": "o", "color": FLOAT, "markersize": 9}
    square = {"marker": "s", "color": QUANTIZED, "markersize": 10, "markeredgecolor": "black"}
    head, *marks = (stage.line(above, "", **looks) for looks in (dot, dot, square | {"color": "white"}, square))
    true = stage.line(below, color=ERROR, linewidth=1.2, label="true slope")
    through = stage.line(below, color="black", linewidth=2.5, label="straight-through")
    marks += [head, stage.line(below, "", **dot)]
    for axes in (above, below):
        plain_ticks(axes.xaxis, 7)
        key = {"borderaxespad": 0, "fontsize": 10, "handlelength": 1.5, "handletextpad": 0.5, "columnspacing": 1.2}
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 0.99), ncols=3, **key)

    def update(bits, clip, w, push):
        params = params_from_range(-clip, clip, QuantSpec(bits, symmetric=True, narrow_range=True))
        spec, low, high = params.spec, params.low, params.high
        # As float32, like weights: in float64 the end of the range may lie a last digit below the number that set it.
        passes = int(straight_through(np.float32(w), params))
        after = w - push * passes
        w_hat, after_hat = (follow(x, params).x_hat for x in (w, after))
        write(numbers, map(number, (w, w_hat, params.scale, passes, after, after_hat)))
        levels = params.scale * np.arange(spec.qmin, spec.qmax + 1)
        edges = (levels[1:] + levels[:-1]) / 2
        stairs.set_data(np.r_[-FAR, np.repeat(edges, 2), FAR], np.repeat(levels, 2))
        for patch, (left, right) in zip(hatches, 2 * [(-FAR, low), (high, FAR)], strict=True):
            patch.set(x=left, width=right - left)
        true.set_data(np.r_[-FAR, np.repeat(edges, 3), FAR], np.r_[0, np.tile([0, 2, 0], len(edges)), 0])
        through.set_data([-FAR, low, low, high, high, FAR], [0, 0, 1, 1, 0, 0])
        drops.set_data([w, w, np.nan, after, after], [FLOOR, w_hat, np.nan, FLOOR, after_hat])
        move.set_data([w, after], [FLOOR, FLOOR])
        head.set_marker("None" if after == w else ">" if after > w else "<")
        places = (w, FLOOR), (after, after_hat), (w, w_hat), (after, FLOOR), (w, passes)
        for mark, (x, y) in zip(marks, places, strict=True):
            mark.set_data([x], [y])

        back = "straight-through takes 0, as the true slope is: w is clipped."
        if passes:
            back = "the true slope is 0 between the jumps; straight-through takes 1, for w is inside the range."
        moved = "The update leaves w where it is."
        if after != w:
            level = number(after_hat)
            kept = f"stays on its level {level}, but w remembers the move."
            result = f"jumps to {level}." if after_hat != w_hat else kept
            moved = f"The update moves w by {number(after - w)} to {number(after)}; ŵ {result}"
        return stage.png(), (
            f"{bits} bits: {spec.levels} levels, a step of {number(params.scale)} apart, from −{number(high)} to "
            f"{number(high)}. Forward, w = {number(w)} becomes ŵ = {number(w_hat)}. Back, {back} {moved}"
        )

    both_sides = "The end of the range: what lies beyond is clipped, on both sides of 0"
    kept = "The latent weight: the real number that training keeps and moves"
    against = "Learning rate times the gradient that arrives at ŵ; the update goes against it"
    controls = {
        "bits": slider(*BITS, 3, 2, 8),
        "clip": slider("clip at", both_sides, 1, 0.2, 1.2, step=0.05),
        "w": slider("weight w", kept, 0.55, -1.4, 1.4, step=0.01),
        "push": slider("η · gradient", against, 0.1, -0.3, 0.3, step=0.01),
    }
    return Explorer(controls, update, stage.size, start, lines=3)
