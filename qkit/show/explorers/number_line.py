"""The number line: one real number goes to the integers and comes back.

x → ÷ S → round → + Z → clip → S · (q − Z)
"""

from collections import namedtuple

import numpy as np

from qkit.numeric import QuantParams, QuantSpec, dequantize, fake_quantize, params_from_range, share_clipped, sqnr_db
from qkit.show.canvas import Stage, as_drawable, plain_ticks, round_up, write
from qkit.show.explorer import BITS, SYMMETRIC, Explorer, slider, span, switch
from qkit.show.numerals import decibels, exact, number, share
from qkit.show.picture import CLIPPED, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

REAL, INTEGER, MOST_WRITTEN = 0.74, 0.3, 16  # how high the two lines lie; how many integers have a number each

Trip = namedtuple("Trip", "x steps rounded shifted q x_hat error")  # the stations of a number on its way and back


@in_style
def number_line(values: np.ndarray = (), **start) -> Explorer:
    """Show the real axis, the levels on it, and the journey of one number to the integers and back.

    Below, the error over the whole axis. ``values``, of any shape, are marked on it, and the range starts as theirs, or
    at −1 to 1; a ValueError if one is not finite. ``start`` are values of the controls: ``bits`` (2 to 16), ``value``,
    ``range``, for which the axis becomes as wide as it needs, ``symmetric``, ``signed``, ``narrow_range``. Taught in
    notebook 02, section 3.
    """
    values = as_drawable(values, "values").ravel() if np.size(values) else np.zeros(0)
    ends = (values.min(initial=0), values.max(initial=0)) if values.any() else (-1.0, 1.0)
    low, high = start.setdefault("range", ends)
    view = round_up(1.25 * np.max(np.abs([*values, low, high])))
    axis = np.linspace(-view, view, 2001)

    stage = Stage(9, 4.6)
    stations = "x", "", "round", "", "clip", "S · (q − Z) = x̂", "error"
    numbers = stage.numbers(0.09, 0.93, stations, [FLOAT, GUIDE, *4 * [QUANTIZED_TEXT], ERROR])
    columns = np.linspace(0.09, 0.93, len(stations))
    formulas = [stage.label(stage.figure, x, 0.985, va="top", color=GUIDE) for x in columns[[1, 3]]]
    for middle in (columns[:-2] + columns[1:-1]) / 2:
        stage.figure.text(middle, 0.905, "→", ha="center", va="center", color=GUIDE, fontsize=13)

    lines = stage.axes(0.09, 0.375, 0.84, 0.47, xlim=(-view, view), ylim=(0, 1))
    lines.set_axis_off()
    beside = {"transform": lines.get_yaxis_transform(), "ha": "right", "va": "center"}
    lines.text(-0.012, REAL, "real\nnumbers", color=FLOAT, **beside)
    lines.text(-0.012, INTEGER, "integers", color=QUANTIZED_TEXT, **beside)
    lines.axhline(REAL, color=FLOAT, linewidth=2)
    marks = np.unique(np.round(values / view, 3)) * view
    lines.plot(marks, np.full(marks.shape, REAL + 0.12), "|", color=FLOAT, markersize=10, alpha=0.8)

    below = stage.axes(0.09, 0.125, 0.84, 0.24, xlim=(-view, view), ylim=(-0.35 * view, 0.35 * view))
    below.set(xlabel="real number x", ylabel="error x̂ − x")
    plain_ticks(below.xaxis)
    plain_ticks(below.yaxis, 3)
    below.axhline(0, color=GUIDE, linewidth=0.8)

    hatches = [stage.clipped(axes) for axes in (lines, lines, below, below)]
    grid = stage.line(lines, color=QUANTIZED, linewidth=1, alpha=0.7)
    stage.line(lines, "--", [0, 0], [INTEGER, REAL], color="black", linewidth=1.2)
    levels = stage.line(lines, "s", color=QUANTIZED)
    path = stage.line(lines, ":", color="black", linewidth=2)
    gap = stage.line(lines, color=ERROR, linewidth=6, solid_capstyle="butt")
    departure = stage.line(lines, "o", color=FLOAT, markersize=12)
    landing = stage.line(lines, "s", color=QUANTIZED, markersize=11, markeredgecolor="black")
    written = [stage.label(lines, 0, INTEGER - 0.12, va="top", color=QUANTIZED_TEXT) for _ in range(MOST_WRITTEN)]
    teeth = stage.line(below, color=ERROR, linewidth=1.5)
    here = stage.line(below, "o", color=FLOAT, markersize=8)

    def update(bits, value, range, symmetric, signed, narrow_range):
        params = params_from_range(*range, QuantSpec(bits, signed, symmetric, narrow_range))
        spec, half = params.spec, params.scale / 2
        outside = (-2 * view, params.low - half), (params.high + half, 2 * view)
        for patch, (left, right) in zip(hatches, 2 * outside, strict=True):
            patch.set(x=left, width=right - left)
        # Closer together than pixels, more levels look the same.
        q = np.arange(spec.qmin, spec.qmax + 1)[:: -(-spec.levels // 512)]
        # One line with gaps, because a line for every level would take longer than all the rest.
        ends = np.repeat(dequantize(q, params), 3)
        grid.set_data(ends, np.tile([INTEGER, REAL, np.nan], q.size))
        levels.set(data=(ends[::3], np.full(q.size, INTEGER)), markersize=max(2, 9 - bits))
        places = written_integers(params, view)
        write(written, map(number, places))
        for text, (integer, x) in zip(written, places.items(), strict=False):
            text.set(x=x, weight="bold" if integer == params.zero_point else "normal")

        trip = follow(value, params)
        path.set_data([trip.x, trip.x, trip.x_hat, trip.x_hat], [REAL, INTEGER, INTEGER, REAL])
        gap.set_data([trip.x, trip.x_hat], [REAL, REAL])
        departure.set_data([trip.x], [REAL])
        landing.set_data([trip.x_hat, trip.x_hat], [INTEGER, REAL])
        teeth.set_data(axis, fake_quantize(axis, params) - axis)
        here.set_data([trip.x], [trip.error])
        scale, zero_point = number(params.scale), number(params.zero_point)
        stops = Trip(*map(number, trip))._replace(steps=exact(trip.steps, 2))  # of 127.5, three digits are rounded
        write(numbers, stops)
        write(formulas, [f"÷ S = {scale}", f"+ Z = {zero_point}"])
        numbers[4].set_color(CLIPPED if trip.shifted != trip.q else QUANTIZED_TEXT)

        route = f"beyond the last integer: clipped to {stops.q}, it" if trip.shifted != trip.q else "and"
        # A number half a step beyond the last level may be rounded up, and clipped: it is off by no more than others.
        size = "more than" if abs(trip.error) > half * (1 + 1e-9) else "at most"
        words = (
            f"{bits} bits: {spec.levels} integers, {number(spec.qmin)} to {number(spec.qmax)}. Step S = {scale}, "
            f"zero-point Z = {zero_point}. x = {stops.x} is {stops.steps} steps, rounded {stops.rounded}; with Z that "
            f"is {stops.shifted}, {route} comes back as {stops.x_hat}: error {stops.error}, {size} half a step."
        )
        if values.size:
            sqnr, cut = sqnr_db(values, fake_quantize(values, params)), share_clipped(values, params)
            words += f" Values in the array: {values.size}, SQNR {decibels(sqnr)}, "
            words += f"{share(cut)} clipped by more than half a step."
        return stage.png(), words

    spread = "The real numbers that the levels are spread over; what lies outside is clipped"
    narrow = "Leave the lowest integer out, so that −127 to 127 is even on both sides"
    controls = {
        "bits": slider(*BITS, 3, 2, 16),
        "value": slider("value x", "The real number that makes the journey", 0, -view, view, step=view / 200),
        "range": span("range", spread, (-view, view), -view, view, step=view / 50),
        "symmetric": switch(*SYMMETRIC, False),
        "signed": switch("signed", "Integers around zero, such as −128 to 127, instead of 0 to 255", True),
        "narrow_range": switch("narrow", narrow, False),
    }
    return Explorer(controls, update, stage.size, {"value": 0.7 * high, **start})


def follow(x: float, params: QuantParams) -> Trip:
    """Follow ``x`` through quantization, station by station."""
    steps, spec = x / params.scale, params.spec
    halves = round(2 * steps) / 2
    steps = halves if abs(steps - halves) < 1e-9 else steps  # a slider's 0.3 / 0.2, 1.5 on the screen, is a little less
    rounded = int(np.rint(steps))
    shifted = rounded + params.zero_point
    q = min(max(shifted, spec.qmin), spec.qmax)
    x_hat = float(dequantize(np.int32(q), params))
    # What the journey did to the number; not what float64 did, for a number that lies on a level.
    error = 0.0 if abs(x_hat - x) < 1e-9 * params.scale else x_hat - x
    return Trip(x, steps, rounded, shifted, q, x_hat, error)


def written_integers(params: QuantParams, view: float) -> dict[int, float]:
    """Return the integers with room for their numbers, and where: all, if they are few, else the ends and Z."""
    spec, room, places = params.spec, 0.035 * view, {}
    few = spec.levels <= MOST_WRITTEN and params.scale >= room
    for integer in range(spec.qmin, spec.qmax + 1) if few else (params.zero_point, spec.qmin, spec.qmax):
        place = params.scale * (integer - params.zero_point)
        if abs(place) <= view and all(abs(place - other) >= room for other in places.values()):
            places[integer] = place
    return places
