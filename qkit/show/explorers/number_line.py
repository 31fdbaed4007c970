"""The number line: one real number goes to the integers and comes back.

x → x / S → + Z → round → clip → S · (q − Z)
"""

from dataclasses import dataclass

import numpy as np

from qkit.numeric.affine import QuantParams, QuantSpec, dequantize, fake_quantize, params_from_range, quantize
from qkit.numeric.errors import share_clipped, sqnr_db
from qkit.show.canvas import (
    Stage,
    as_drawable,
    clipped_patch,
    decibels,
    label,
    named_numbers,
    number,
    plain_ticks,
    round_up,
    share,
)
from qkit.show.explorer import Explorer, slider, span, switch
from qkit.show.picture import CLIPPED, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.explorers import CONTROLS, NUMBER_LINE

MOST_LABELLED = 16
"""Integers with a number each; of more, only the ends and the zero-point have one."""

MOST_DRAWN = 512
"""Levels drawn one by one: closer together than pixels, more of them look the same."""


def number_line(
    values=(),
    *,
    bits: int = 3,
    range: tuple[float, float] | None = None,
    value: float | None = None,
    symmetric: bool = False,
    signed: bool = True,
    narrow_range: bool = False,
) -> Explorer:
    """Show the real axis, the levels on it, and the journey of one number.

    Parameters
    ----------
    values : array_like of real numbers, optional
        Any shape; marked on the axis, and the range starts as theirs.
    bits, range, value, symmetric, signed, narrow_range
        Where the controls start: ``range`` at the smallest and largest of ``values``, or at −1 to 1.

    Returns
    -------
    Explorer
        With the controls ``bits``, ``value``, ``range``, ``symmetric``, ``signed`` and ``narrow_range``.

    Raises
    ------
    ValueError
        If a value is not finite, or a control does not offer what it should start with.
    """
    values = as_drawable(values, "values").ravel() if np.size(values) else np.zeros(0)
    if range is None:
        range = (min(values.min(), 0.0), max(values.max(), 0.0)) if values.any() else (-1.0, 1.0)
    view = round_up(1.25 * max(np.max(np.abs(values), initial=0), *np.abs(range)))
    stage = Stage(9, 4.4, lambda figure: Parts(figure, view, values))

    def update(bits, value, range, symmetric, signed, narrow_range) -> tuple[bytes, str]:
        params = params_from_range(*range, QuantSpec(bits, signed, symmetric, narrow_range))
        trip = journey(value, params)
        stage.parts.show(trip)
        return stage.png(), say(trip, values)

    controls = {
        "bits": slider(*CONTROLS["bits"], bits, 2, 16),
        "value": slider(*CONTROLS["value"], 0, -view, view, step=view / 200),
        "range": span(*CONTROLS["range"], (-view, view), -view, view, step=view / 50),
        "symmetric": switch(*CONTROLS["symmetric"], False),
        "signed": switch(*CONTROLS["signed"], True),
        "narrow_range": switch(*CONTROLS["narrow_range"], False),
    }
    start = {"bits": bits, "range": range, "value": 0.7 * range[1] if value is None else value}
    start |= {"symmetric": symmetric, "signed": signed, "narrow_range": narrow_range}
    return Explorer(controls, update, stage.size, start)


@dataclass(frozen=True)
class Journey:
    """The stations of one real number on its way through the integers and back."""

    x: float
    steps: float
    shifted: float
    rounded: int
    q: int
    x_hat: float
    params: QuantParams

    @property
    def error(self) -> float:
        """What the journey did to the number; not what float64 did, for a number that lies on a level."""
        error = self.x_hat - self.x
        return 0.0 if abs(error) < 1e-9 * self.params.scale else error

    @property
    def clipped(self) -> bool:
        """Whether the rounded number was not one of the integers."""
        return self.rounded != self.q


def journey(x: float, params: QuantParams) -> Journey:
    """Follow ``x`` through quantization, station by station."""
    steps = x / params.scale
    shifted = steps + params.zero_point
    rounded = int(np.rint(steps)) + params.zero_point
    q = int(quantize(x, params))
    return Journey(x, steps, shifted, rounded, q, float(dequantize(np.int32(q), params)), params)


def say(trip: Journey, values: np.ndarray) -> str:
    """Say in words what the picture shows."""
    spec, params = trip.params.spec, trip.params
    sentences = [
        NUMBER_LINE["grid"].format(
            bits=spec.bits,
            levels=spec.levels,
            qmin=number(spec.qmin),
            qmax=number(spec.qmax),
            scale=number(params.scale),
            zero_point=number(params.zero_point),
        ),
        NUMBER_LINE["outside" if trip.clipped else "inside"].format(
            x=number(trip.x),
            shifted=number(trip.shifted),
            q=number(trip.q),
            x_hat=number(trip.x_hat),
            error=number(trip.error),
        ),
    ]
    if values.size:
        quality = sqnr_db(values, fake_quantize(values, params))
        clipped = share(share_clipped(values, params))
        sentences.append(NUMBER_LINE["values"].format(count=values.size, sqnr=decibels(quality), clipped=clipped))
    return " ".join(sentences)


class Parts:
    """The artists of the picture: real numbers on the upper line, below it the integers that stand for them."""

    REAL, INTEGER = 0.74, 0.3

    def __init__(self, figure, view: float, values: np.ndarray):
        self.view = view
        self.axis = np.linspace(-view, view, 2001)
        self._table(figure)
        self._lines(figure, values)
        self._sawtooth(figure)
        self.moving = [
            *self.hatches,
            self.grid,
            self.zero,
            self.levels,
            self.path,
            self.gap,
            self.start,
            self.landing,
            *self.labels,
            *self.shades,
            self.teeth,
            self.here,
            *self.heads,
            *self.numbers,
        ]

    def _table(self, figure) -> None:
        """Seven columns: a number for each station of the journey, and above it how one gets there."""
        names = NUMBER_LINE["steps"]
        columns = np.linspace(0.09, 0.93, len(names))
        colours = [FLOAT, GUIDE, GUIDE, QUANTIZED_TEXT, QUANTIZED_TEXT, QUANTIZED_TEXT, ERROR]
        heads, self.numbers = named_numbers(figure, columns, 0.985, names, colours)
        self.heads = heads[1:3]
        for middle in (columns[:-2] + columns[1:-1]) / 2:
            figure.text(middle, 0.905, "→", ha="center", va="center", color=GUIDE, fontsize=13)

    def _lines(self, figure, values: np.ndarray) -> None:
        axes = figure.add_axes((0.09, 0.375, 0.84, 0.47))
        axes.set(xlim=(-self.view, self.view), ylim=(0, 1))
        axes.set_axis_off()
        beside = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
        axes.text(-0.012, self.REAL, NUMBER_LINE["real"], color=FLOAT, **beside)
        axes.text(-0.012, self.INTEGER, NUMBER_LINE["integers"], color=QUANTIZED_TEXT, **beside)
        axes.axhline(self.REAL, color=FLOAT, linewidth=2)
        marks = np.unique(np.round(values / self.view, 3)) * self.view
        axes.plot(marks, np.full(marks.shape, self.REAL + 0.12), "|", color=FLOAT, markersize=10, alpha=0.8)
        self.hatches = [clipped_patch(axes), clipped_patch(axes)]
        self.grid = axes.plot([], [], color=QUANTIZED, linewidth=1, alpha=0.7)[0]
        self.zero = axes.plot([0, 0], [self.INTEGER, self.REAL], "--", color="black", linewidth=1.2)[0]
        self.levels = axes.plot([], [], "s", color=QUANTIZED)[0]
        self.path = axes.plot([], [], ":", color="black", linewidth=2)[0]
        self.gap = axes.plot([], [], "-", color=ERROR, linewidth=6, solid_capstyle="butt")[0]
        self.start = axes.plot([], [], "o", color=FLOAT, markersize=12)[0]
        self.landing = axes.plot([], [], "s", color=QUANTIZED, markersize=11, markeredgecolor="black")[0]
        self.labels = [
            label(axes, 0, self.INTEGER - 0.12, "", ha="center", va="top", color=QUANTIZED_TEXT)
            for _ in range(MOST_LABELLED)
        ]

    def _sawtooth(self, figure) -> None:
        axes = figure.add_axes((0.09, 0.08, 0.84, 0.27))
        axes.set(xlim=(-self.view, self.view), ylim=(-0.35 * self.view, 0.35 * self.view))
        axes.set_ylabel(NUMBER_LINE["error"])
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis, 3)
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        self.shades = [clipped_patch(axes), clipped_patch(axes)]
        self.teeth = axes.plot([], [], color=ERROR, linewidth=1.5)[0]
        self.here = axes.plot([], [], "o", color=FLOAT, markersize=8)[0]

    def show(self, trip: Journey) -> None:
        """Move every artist to where this journey has it."""
        self._show_grid(trip.params)
        self.path.set_data([trip.x, trip.x, trip.x_hat, trip.x_hat], [self.REAL, self.INTEGER, self.INTEGER, self.REAL])
        self.gap.set_data([trip.x, trip.x_hat], [self.REAL, self.REAL])
        self.start.set_data([trip.x], [self.REAL])
        self.landing.set_data([trip.x_hat, trip.x_hat], [self.INTEGER, self.REAL])
        self.teeth.set_data(self.axis, fake_quantize(self.axis, trip.params) - self.axis)
        self.here.set_data([trip.x], [trip.error])

        self.heads[0].set_text(f"÷ S = {number(trip.params.scale)}")
        self.heads[1].set_text(f"+ Z = {number(trip.params.zero_point)}")
        stations = (trip.x, trip.steps, trip.shifted, trip.rounded, trip.q, trip.x_hat, trip.error)
        for text, station in zip(self.numbers, stations, strict=True):
            text.set_text(number(station))
        self.numbers[4].set_color(CLIPPED if trip.clipped else QUANTIZED_TEXT)

    def _show_grid(self, params: QuantParams) -> None:
        spec, half = params.spec, params.scale / 2
        outside = [(-2 * self.view, params.low - half), (params.high + half, 2 * self.view)]
        for (left, right), *patches in zip(outside, self.hatches, self.shades, strict=True):
            for patch in patches:
                patch.set(x=left, width=right - left)

        q = np.arange(spec.qmin, spec.qmax + 1)
        levels = dequantize(q[:: -(-q.size // MOST_DRAWN)], params)
        # One line with gaps, because a line for every level would take longer than all the rest.
        gap = np.full(levels.shape, np.nan)
        self.grid.set_data(
            np.stack([levels, levels, gap], axis=1).ravel(),
            np.tile([self.INTEGER, self.REAL, np.nan], levels.size),
        )
        self.levels.set_data(levels, np.full(levels.shape, self.INTEGER))
        self.levels.set_markersize(max(2, 9 - spec.bits))

        for text in self.labels:
            text.set_visible(False)
        for text, integer in zip(self.labels, self._labelled(q, params), strict=False):
            text.set(visible=True, x=params.scale * (integer - params.zero_point), text=number(integer))
            text.set_weight("bold" if integer == params.zero_point else "normal")

    def _labelled(self, q: np.ndarray, params: QuantParams) -> list[int]:
        """Return the integers with room for their numbers: all, if they are few, else the ends and Z."""
        if q.size > MOST_LABELLED or params.scale < 0.035 * self.view:
            q = [params.zero_point, q[0], q[-1]]
        places: dict[int, float] = {}
        for integer in q:
            place = params.scale * (integer - params.zero_point)
            room = all(abs(place - other) >= 0.035 * self.view for other in places.values())
            if room and abs(place) <= self.view:
                places[int(integer)] = place
        return list(places)
