"""Fake quantization in training: forward a staircase, back the straight-through gradient, and a weight in between."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from matplotlib.text import Text

from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_range, quantize, straight_through
from qkit.numeric.affine import reals
from qkit.show.canvas import Stage, clipped_patch, named_numbers, plain_ticks, round_up, write
from qkit.show.explorer import BITS, Explorer, choice, slider
from qkit.show.numerals import number
from qkit.show.picture import ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

MOST_LEVELS = 12
"""With lines halfway between them: more of these would hide the path."""

OF_WEIGHTS = {"symmetric": True, "narrow_range": True}
MIDPOINT = {"linestyle": ":", "color": GUIDE, "linewidth": 1.2}
KEY = {"loc": "lower left", "borderaxespad": 0, "fontsize": 10}
KEY |= {"handlelength": 1.5, "handletextpad": 0.5, "columnspacing": 1.2}
DOT = {"marker": "o", "color": FLOAT, "markersize": 9}
SQUARE = {"marker": "s", "color": QUANTIZED, "markersize": 10, "markeredgecolor": "black"}
NUMBERS = "w", "quantized ŵ", "step S", "gradient ×", "w after", "ŵ after", "jumps so far"
COLOURS = FLOAT, QUANTIZED_TEXT, GUIDE, "black", FLOAT, QUANTIZED_TEXT, ERROR


@in_style
def fake_quantization(
    latent: np.ndarray | None = None, scales: np.ndarray | None = None, *, bits: int = 3, **start
) -> Explorer:
    """Show the fake quantizer of a weight, its gradient, and an update; by hand, or as a training went.

    A ValueError, if only one of ``latent`` and ``scales`` is given, their shapes do not agree, a value is not finite,
    or a scale is not positive. Taught in notebook 07, sections 1 (by hand) and 6 (a training).

    Parameters
    ----------
    latent : array_like, shape (steps,) or (steps, weights), optional
        The float weights that training moved: one weight, or a few, at two training steps or more.
    scales : array_like, shape (), (steps,) or (steps, weights)
        With ``latent``: the step of the grid that each weight was quantized on. The grid is symmetric and narrow,
        as that of weights is: with ``bits`` bits its integers go from −(2^(bits−1) − 1) up to 2^(bits−1) − 1.
    bits
        Where the control starts; with ``latent``, what it was trained at.
    **start
        Where the other controls start: by hand ``clip``, ``w`` and ``push``; of a training ``step`` and, where there
        are several weights, ``weight``.
    """
    if (latent is None) != (scales is None):
        raise ValueError("latent and scales belong together, got only one of them")
    if latent is not None:
        return replay(latent, scales, bits, start)

    stage = Stage(9, 4.9)
    numbers = named_numbers(stage, 0.1, 0.92, NUMBERS[:-1], COLOURS[:-1])
    show = staircase(stage, 0.09, 0.89, view=1.55, ticks=7, numbers=numbers)

    def update(bits, clip, w, push):
        params = params_from_range(-clip, clip, QuantSpec(bits, **OF_WEIGHTS))
        passes = bool(straight_through(w, params))
        after = w - push * passes
        w_hat, after_hat = fake_quantize(np.array([w, after]), params).tolist()
        words = show(params, (w, w_hat), (after, after_hat), passes, jumps=after_hat != w_hat)
        return stage.png(), words

    both_sides = "The end of the range: what lies beyond is clipped, on both sides of 0"
    kept = "The latent weight: the real number that training keeps and moves"
    against = "Learning rate times the gradient that arrives at ŵ; the update goes against it"
    controls = {
        "bits": slider(*BITS, 3, 2, 8),
        "clip": slider("clip at", both_sides, 1, 0.2, 1.2, step=0.05),
        "w": slider("weight w", kept, 0.55, -1.4, 1.4, step=0.01),
        "push": slider("η · gradient", against, 0.1, -0.3, 0.3, step=0.01),
    }
    return Explorer(controls, update, stage.size, {"bits": bits} | start, lines=3)


def replay(latent: np.ndarray, scales: np.ndarray, bits: int, start: dict) -> Explorer:
    """Show how a training went, step by step."""
    latent, scales = reals(latent, "latent"), reals(scales, "scales")
    if latent.ndim not in (1, 2) or len(latent) < 2 or latent.size == 0:
        wanted = "shape (steps,) or (steps, weights), with two steps or more"
        raise ValueError(f"latent must have {wanted}, got {latent.shape}")
    if scales.shape not in ((), latent.shape[:1], latent.shape):
        wanted = f"be one number or have shape {latent.shape[:1]} or {latent.shape}"
        raise ValueError(f"scales must {wanted}, got {scales.shape}")
    latent = latent.reshape(len(latent), -1)
    scales = np.broadcast_to(scales[:, None] if scales.ndim == 1 else scales, latent.shape)
    # Steps of training take the place of channels: each has a grid of its own.
    grids = [QuantParams(scale, np.zeros(len(scale), int), QuantSpec(bits, axis=0, **OF_WEIGHTS)) for scale in scales.T]
    # Each weight has axes of its own; a picture of a few megabytes is kept for each of the last ones.
    picture = lru_cache(maxsize=8)(lambda weight: path(latent[:, weight], grids[weight]))
    _, size = picture(0)

    def update(step, weight=0):
        draw, _ = picture(weight)
        return draw(step)

    last, tooltip = len(latent) - 1, "The step of the training: each is one update of the weight"
    controls = {"step": slider("step", tooltip, last // 2, 0, last)}
    if len(grids) > 1:
        weights = {weight: str(weight) for weight in range(len(grids))}
        controls["weight"] = choice("weight", "Which of the recorded weights is shown", 0, weights)
    return Explorer(controls, update, size, start, lines=3)


@in_style
def path(w: np.ndarray, params: QuantParams) -> tuple[Callable, tuple[int, int]]:
    """Return what draws one weight's path through training up to a step, and the size of its pictures."""
    steps, scale, qmax = np.arange(len(w)), params.scale, params.spec.qmax
    q, w_hat, passes = quantize(w, params).astype(int), fake_quantize(w, params), straight_through(w, params) == 1
    in_steps, moves = w / scale, np.sign(np.diff(q, prepend=q[0]))
    jumped = np.flatnonzero(moves)
    turned = jumped[1:][moves[jumped[1:]] != moves[jumped[:-1]]]
    jumps, turns = (np.cumsum(np.isin(steps, some)) for some in (jumped, turned))  # up to every step

    stage = Stage(9, 4.9)
    reach = round_up(1.1 * max(np.max(np.abs(w)), np.max(scale) * qmax))
    numbers = named_numbers(stage, 0.08, 0.94, NUMBERS, COLOURS)
    show = staircase(stage, 0.105, 0.365, reach, ticks=4, numbers=numbers)

    limits, both, room = (-0.02 * steps[-1], 1.02 * steps[-1]), np.concatenate([w, w_hat]), 0.6 * scale.max()
    above = stage.axes(0.575, 0.45, 0.41, 0.37, xlim=limits, ylim=(both.min() - room, both.max() + room))
    above.tick_params(labelbottom=False)
    near = np.arange(max(q.min() - 1, -qmax), min(q.max() + 1, qmax) + 1)
    above.plot(steps, scale[:, None] * near, color=QUANTIZED, linewidth=0.8)[0].set_label("levels")
    if len(near) <= MOST_LEVELS:
        above.plot(steps, scale[:, None] * (near[:-1] + 0.5), **MIDPOINT)[0].set_label("midpoints")

    low, high = in_steps.min(), in_steps.max()
    room = 0.15 * (high - low) or 0.5
    below = stage.axes(0.575, 0.12, 0.41, 0.245, xlim=limits, ylim=(low - room, high + room), xlabel="training step")
    below.set_title("w / S, enlarged: at a dotted midpoint, ŵ jumps", fontsize=10)
    below.ticklabel_format(useOffset=False)
    below.locator_params(axis="y", nbins=3)
    for axis in (above.xaxis, above.yaxis, below.xaxis):
        plain_ticks(axis, 5)
    halfway = np.arange(-qmax, qmax) + 0.5
    halfway = halfway[(halfway > low - room) & (halfway < high + room)]
    if len(halfway) <= MOST_LEVELS:
        below.hlines(halfway, *limits, **MIDPOINT)

    cursors = [stage.moving(axes.axvline(0, color="black", linewidth=1)) for axes in (above, below)]
    stairs = {"drawstyle": "steps-post", "color": QUANTIZED}
    above.plot(steps, w_hat, linewidth=2.5, alpha=0.35, **stairs)
    for axes, values in ((above, w), (below, in_steps)):
        axes.plot(steps, values, color=FLOAT, linewidth=1.5, alpha=0.35)
    stairs, blue = stairs | {"linewidth": 3, "label": "ŵ"}, {"color": FLOAT, "linewidth": 1.8, "label": "w"}
    curves = (above, w_hat, stairs, SQUARE), (above, w, blue, DOT), (below, in_steps, blue, DOT)
    lines = [stage.moving(*axes.plot([], [], **looks)) for axes, _, looks, _ in curves]
    marks = [stage.moving(*axes.plot([], [], **looks)) for axes, *_, looks in curves]
    above.legend(bbox_to_anchor=(-0.01, 0.995), ncols=4, **KEY)

    def draw(step):
        after = min(step + 1, len(w) - 1)
        here, there = ((float(w[i]), float(w_hat[i])) for i in (step, after))
        now = QuantParams(float(scale[step]), 0, QuantSpec(params.spec.bits, **OF_WEIGHTS))
        words = show(now, here, there, passes[step], q[after] != q[step], jumps[step])
        for (_, values, *_), line, mark in zip(curves, lines, marks, strict=True):
            line.set_data(steps[: step + 1], values[: step + 1])
            mark.set_data([step], [values[step]])
        for cursor in cursors:
            cursor.set_xdata([step, step])
        counts = f"Jumps of ŵ so far: {jumps[step]}, of which back: {turns[step]}."
        return stage.png(), f"Step {step} of {len(w) - 1}. {words} {counts}"

    return draw, stage.size


def staircase(stage: Stage, left: float, width: float, view: float, ticks: int, numbers: list[Text]) -> Callable:
    """Draw the fake quantizer over the identity, and both gradients; return what moves them and ``numbers``."""
    far, floor = 2 * view, -1.22 * view
    above = stage.axes(left, 0.41, width, 0.41, xlim=(-view, view), ylim=(-1.35 * view, 1.1 * view))
    below = stage.axes(left, 0.12, width, 0.185, xlim=(-view, view), ylim=(-0.2, 1.5), yticks=[0, 1])
    above.set_ylabel("quantized ŵ")
    below.set(xlabel="latent w", ylabel="slope")
    above.tick_params(labelbottom=False)
    plain_ticks(above.yaxis, 4)
    above.plot([-view, view], [-view, view], "--", color=FLOAT, linewidth=1.2, label="identity")

    def line(axes, style="-", **looks):
        return stage.moving(*axes.plot([], [], style, **looks))

    (stairs,) = above.plot([], [], color=QUANTIZED, linewidth=2.5, label="quantizer")
    hatches = [stage.moving(clipped_patch(axes)) for axes in (above, above, below, below)]
    hatches[0].set_label("clipped")
    stage.moving(stairs)
    drops = line(above, ":", color="black", linewidth=1.5)
    move = line(above, color=FLOAT, linewidth=2)
    head, origin = line(above, "", **DOT), line(above, "", **DOT)
    landed, lands = line(above, "", **SQUARE | {"color": "white"}), line(above, "", **SQUARE)
    true = line(below, color=ERROR, linewidth=1.2, label="true slope")
    through = line(below, color="black", linewidth=2.5, label="straight-through")
    gradient = line(below, "", **DOT)
    for axes in (above, below):
        plain_ticks(axes.xaxis, ticks)
        axes.legend(bbox_to_anchor=(-0.01, 0.99), ncols=3, **KEY)

    def show(params, here, there, passes, jumps, *so_far):
        """Draw a weight and its quantized value, here and after the update; ``jumps``: the integer changes."""
        (w, w_hat), (after, after_hat) = here, there
        spec, low, high = params.spec, params.low, params.high
        write(numbers, map(number, (*here, params.scale, int(passes), *there, *so_far)))
        levels = params.scale * np.arange(spec.qmin, spec.qmax + 1)
        edges = (levels[1:] + levels[:-1]) / 2
        stairs.set_data(np.concatenate([[-far], np.repeat(edges, 2), [far]]), np.repeat(levels, 2))
        for patch, (start, end) in zip(hatches, 2 * [(-far, low), (high, far)], strict=True):
            patch.set(x=start, width=end - start)
        spikes = np.tile([0, 2, 0], len(edges))
        true.set_data(np.concatenate([[-far], np.repeat(edges, 3), [far]]), np.concatenate([[0], spikes, [0]]))
        through.set_data([-far, low, low, high, high, far], [0, 0, 1, 1, 0, 0])
        drops.set_data([w, w, np.nan, after, after], [floor, w_hat, np.nan, floor, after_hat])
        move.set_data([w, after], [floor, floor])
        head.set_marker("None" if after == w else ">" if after > w else "<")
        marks = (head, after, floor), (origin, w, floor), (landed, after, after_hat), (lands, w, w_hat)
        for mark, x, y in (*marks, (gradient, w, float(passes))):
            mark.set_data([x], [y])

        ends = f"a step of {number(params.scale)} apart, from −{number(high)} to {number(high)}"
        back = "straight-through takes 0, as the true slope is: w is clipped."
        if passes:
            back = "the true slope is 0 between the jumps; straight-through takes 1, for w is inside the range."
        update = "The update leaves w where it is."
        if after != w:
            level = number(after_hat)
            result = f"jumps to {level}." if jumps else f"stays on its level {level}, but w remembers the move."
            update = f"The update moves w by {number(after - w)} to {number(after)}; ŵ {result}"
        forward = f"Forward, w = {number(w)} becomes ŵ = {number(w_hat)}."
        return f"{spec.bits} bits: {spec.levels} levels, {ends}. {forward} Back, {back} {update}"

    return show
