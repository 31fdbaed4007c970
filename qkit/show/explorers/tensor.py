"""A tensor of weights on its levels: the histogram before and after, and what every further bit is worth."""

from functools import cache, lru_cache

import numpy as np

from qkit.numeric.affine import fake_quantize, params_from_data
from qkit.numeric.errors import sqnr_db
from qkit.show.canvas import (
    Pixels,
    Stage,
    decibels,
    level_colours,
    level_pixels,
    named_numbers,
    number,
    plain_ticks,
    share,
    size,
)
from qkit.show.explorer import Explorer, slider, switch
from qkit.show.explorers.grids import Grids, as_channels, lay_grids, packed_bytes, spread, weight_spec
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.explorers import CONTROLS, TENSOR

BITS = range(2, 17)
BINS = 120


def tensor(
    weights: np.ndarray,
    *,
    axis: int | None = -1,
    bits: int = 4,
    symmetric: bool = True,
    per_channel: bool = False,
) -> Explorer:
    """Show the histogram of ``weights`` with the levels on it, and SQNR over bits.

    Parameters
    ----------
    weights : array_like of real numbers
        Any shape with at least one value: the weights of any layer, or activations.
    axis
        The axis that counts the output channels, the last one in a Keras kernel; ``None`` for one channel.
    bits, symmetric, per_channel
        Where the controls start.

    Returns
    -------
    Explorer
        With the controls ``bits``, ``per_channel`` and ``symmetric``.

    Raises
    ------
    ValueError
        If there are no weights, one is not finite, or a control does not offer what it should start with.
    """
    rows = as_channels(weights, axis, "weights")
    # The fan of levels reads best from the widest channel to the narrowest.
    rows = rows[np.argsort(-np.max(np.abs(rows), axis=1), kind="stable")]
    stage = Stage(9, 4.6, lambda figure: Parts(figure, rows))

    # A learner goes to and fro between few settings; each one kept takes as much memory as the weights.
    @lru_cache(maxsize=8)
    def grids_at(bits: int, symmetric: bool, per_channel: bool) -> Grids:
        return lay_grids(rows, bits, symmetric, per_channel)

    @cache
    def curve(symmetric: bool, per_channel: bool) -> list[float]:
        return sqnr_by_bits(rows, symmetric, per_channel)

    def update(bits, per_channel, symmetric) -> tuple[bytes, str]:
        grids = grids_at(bits, symmetric, per_channel)
        curves = {each: curve(symmetric, each) for each in (True, False)}
        stage.parts.show(grids, per_channel, curves)
        return stage.png(), say(rows, grids, curves[per_channel])

    controls = {
        "bits": slider(*CONTROLS["bits"], 4, 2, 16),
        "per_channel": switch(*CONTROLS["per_channel"], False),
        "symmetric": switch(*CONTROLS["symmetric"], True),
    }
    start = {"bits": bits, "per_channel": per_channel, "symmetric": symmetric}
    return Explorer(controls, update, stage.size, start)


def sqnr_by_bits(rows: np.ndarray, symmetric: bool, per_channel: bool) -> list[float]:
    """Return the SQNR in dB at 2 to 16 bits."""

    def sqnr(bits: int) -> float:
        return sqnr_db(rows, fake_quantize(rows, params_from_data(rows, weight_spec(bits, symmetric, per_channel))))

    return [sqnr(bits) for bits in BITS]


def say(rows: np.ndarray, grids: Grids, curve: list[float]) -> str:
    """Say in words what the picture shows."""
    spec, scale = grids.params.spec, np.atleast_1d(grids.params.scale)
    layout = TENSOR["many_grids" if grids.grids > 1 else "one_grid"].format(
        bits=spec.bits,
        levels=spec.levels,
        scale=number(scale.max()),
        smallest=number(scale.min()),
        largest=number(scale.max()),
    )
    result = TENSOR["result"].format(
        sqnr=decibels(grids.sqnr),
        zeros=share(grids.zeros),
        used=number(grids.used),
        levels=spec.levels,
        packed=size(packed_bytes(rows, grids.params)),
        float32=size(4 * rows.size),
    )
    if spec.bits == BITS[-1] or not np.all(np.isfinite(curve)):
        return f"{layout} {result}"
    gain = curve[spec.bits + 1 - BITS[0]] - curve[spec.bits - BITS[0]]
    return f"{layout} {result} {TENSOR['next_bit'].format(gain=decibels(gain))}"


class Parts:
    """The artists: histogram, levels of every channel below it, SQNR over bits beside it, numbers above."""

    def __init__(self, figure, rows: np.ndarray):
        self.rows = rows
        self.reach = np.max(np.abs(rows)) or 1.0
        self.edges = np.linspace(-1.05 * self.reach, 1.05 * self.reach, BINS + 1)
        _, self.numbers = named_numbers(
            figure, np.array([0.1, 0.27, 0.44, 0.61]), 0.985, TENSOR["tiles"], [QUANTIZED_TEXT] * 4
        )
        self._histogram(figure)
        self._levels(figure)
        self._curve(figure)
        self.moving = [
            self.bars,
            self.levels,
            self.rule,
            *self.curves.values(),
            self.chosen,
            self.here,
            *self.numbers,
        ]

    def _histogram(self, figure) -> None:
        axes = figure.add_axes((0.055, 0.41, 0.6, 0.38))
        density = np.histogram(self.rows, self.edges)[0] / np.diff(self.edges)
        axes.set(xlim=self.edges[[0, -1]], ylim=(0, 1.12 * density.max()), yticks=[], xticks=[])
        axes.spines["left"].set_visible(False)
        axes.stairs(density, self.edges, fill=True, color=FLOAT, alpha=0.45, label=TENSOR["float"])
        fine = np.linspace(*self.edges[[0, -1]], 6 * BINS + 1)
        self.bars = axes.stairs(np.zeros(6 * BINS), fine, color=QUANTIZED, linewidth=2, label=TENSOR["quantized"])
        axes.legend(loc="lower left", bbox_to_anchor=(0.3, 1), ncols=2, borderaxespad=0)

    def _levels(self, figure) -> None:
        axes = figure.add_axes((0.055, 0.115, 0.6, 0.295))
        axes.set(xlim=self.edges[[0, -1]], ylim=(0, 1), yticks=[])
        axes.spines["left"].set_visible(False)
        plain_ticks(axes.xaxis)
        count = len(self.rows)
        title = TENSOR["levels_of"].format(count=count) if count > 1 else TENSOR["levels_of_one"]
        axes.set_ylabel(title)
        self.levels = Pixels(axes)

    def _curve(self, figure) -> None:
        axes = figure.add_axes((0.735, 0.115, 0.25, 0.715))
        axes.set(xlim=(1.5, 16.5), ylim=(0, 105), xlabel=TENSOR["bits"], xticks=[2, 4, 6, 8, 10, 12, 14, 16])
        axes.set_title(TENSOR["curve"], fontsize=11)
        self.rule = axes.plot([], [], ":", color="black", linewidth=1.2, label=TENSOR["rule"])[0]
        self.curves = {
            True: axes.plot([], [], "s-", color=GUIDE, markersize=4, label=TENSOR["per_channel"])[0],
            False: axes.plot([], [], "o--", color=GUIDE, markersize=4, label=TENSOR["per_tensor"])[0],
        }
        self.chosen = axes.plot([], [], "-", color=QUANTIZED, linewidth=3, alpha=0.8)[0]
        self.here = axes.plot([], [], "s", color=QUANTIZED, markersize=11, markeredgecolor="black")[0]
        axes.legend(loc="upper left", borderaxespad=0)

    def show(self, grids: Grids, per_channel: bool, curves: dict[bool, list[float]]) -> None:
        """Move every artist to where these grids have it."""
        spec = grids.params.spec
        self.bars.set_data(spread(grids, self.bars.get_data().edges))
        on = level_pixels(grids.params, *self.edges[[0, -1]], self.levels.width)
        row_of_pixel = np.arange(self.levels.height) * len(on) // self.levels.height
        self.levels.rgba = level_colours(on[row_of_pixel])
        for each, curve in curves.items():
            self.curves[each].set_data(BITS, curve)
        chosen = curves[per_channel]
        self.chosen.set_data(BITS, chosen)
        self.here.set_data([spec.bits], [grids.sqnr])
        self.rule.set_data(BITS, chosen[-1] + 6.02 * (np.array(BITS) - 16))
        texts = (
            decibels(grids.sqnr),
            share(grids.zeros),
            TENSOR["used"].format(used=number(grids.used), levels=spec.levels),
            size(packed_bytes(self.rows, grids.params)),
        )
        for text, words in zip(self.numbers, texts, strict=True):
            text.set_text(words)
