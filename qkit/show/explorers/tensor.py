"""A tensor of weights on its levels: the histogram before and after, and what every further bit is worth."""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from qkit.numeric import QuantParams, QuantSpec, dequantize, fake_quantize, params_from_data, quantize, sqnr_db
from qkit.show.canvas import (
    Pixels,
    Stage,
    as_channels,
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
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

BITS = range(2, 17)


@in_style
def tensor(weights: np.ndarray, *, axis: int | None = -1, **start) -> Explorer:
    """Show the histogram of ``weights`` with the levels on it, and SQNR over bits.

    Left, the weights before and after; below them the levels, a row of pixels for each channel, the widest on top.
    Right, the SQNR at 2 to 16 bits, with one scale and with one a channel. Taught in notebook 02, section 6, and
    notebook 03, section 2.

    Parameters
    ----------
    weights : array_like of real numbers
        Any shape with at least one value: the weights of any layer, or activations.
    axis
        The axis that counts the output channels, the last one in a Keras kernel; ``None`` for one channel.
    **start
        Where the controls start: ``bits`` (2 to 16), ``per_channel``, ``symmetric``.

    Raises
    ------
    ValueError
        If there are no weights, one is not finite, or a control does not offer what it should start with.
    """
    rows = as_channels(weights, axis, "weights")
    # The fan of levels reads best from the widest channel to the narrowest.
    rows = rows[np.argsort(-np.max(np.abs(rows), axis=1), kind="stable")]
    end = 1.05 * (np.max(np.abs(rows)) or 1.0)
    edges, fine = np.linspace(-end, end, 121), np.linspace(-end, end, 721)

    stage = Stage(9, 4.6)
    tiles = "SQNR", "exactly zero", "levels used", "size"
    _, numbers = named_numbers(stage.figure, np.array([0.1, 0.27, 0.44, 0.61]), 0.985, tiles, [QUANTIZED_TEXT] * 4)

    top = stage.axes(0.055, 0.41, 0.6, 0.38)
    density = np.histogram(rows, edges)[0] / np.diff(edges)
    top.set(xlim=(-end, end), ylim=(0, 1.12 * density.max()), yticks=[], xticks=[])
    top.stairs(density, edges, fill=True, color=FLOAT, alpha=0.45, label="float weights")
    outline = stage.moving(top.stairs(0 * fine[1:], fine, color=QUANTIZED, linewidth=2, label="quantized"))
    top.legend(loc="lower left", bbox_to_anchor=(0.3, 1), ncols=2, borderaxespad=0)

    below = stage.axes(0.055, 0.115, 0.6, 0.295, xlim=(-end, end), ylim=(0, 1), yticks=[])
    below.set_ylabel(f"levels of\n{len(rows)} channels" if len(rows) > 1 else "levels")
    plain_ticks(below.xaxis)
    for axes in (top, below):
        axes.spines["left"].set_visible(False)
    levels = stage.moving(Pixels(below))

    right = stage.axes(0.735, 0.115, 0.25, 0.715, xlim=(1.5, 16.5), ylim=(0, 105), xlabel="bits", xticks=BITS[::2])
    right.set_title("SQNR in dB", fontsize=11)

    def line(style: str, **looks):
        return stage.moving(right.plot([], [], style, **looks)[0])

    rule = line(":", color="black", linewidth=1.2, label="6.02 dB per bit")
    lines = {
        True: line("s-", color=GUIDE, markersize=4, label="per channel"),
        False: line("o--", color=GUIDE, markersize=4, label="per tensor"),
    }
    chosen = line("-", color=QUANTIZED, linewidth=3, alpha=0.8)
    here = line("s", color=QUANTIZED, markersize=11, markeredgecolor="black")
    right.legend(loc="upper left", borderaxespad=0)
    for each in numbers:
        stage.moving(each)

    # A learner goes to and fro between few settings; each one kept takes as much memory as the weights.
    laid = lru_cache(maxsize=8)(lambda *setting: lay_grids(rows, *setting))
    curve = cache(lambda *layout: sqnr_by_bits(rows, *layout))

    def update(bits: int, per_channel: bool, symmetric: bool) -> tuple[bytes, str]:
        grids = laid(bits, symmetric, per_channel)
        curves = {each: curve(symmetric, each) for each in (True, False)}
        outline.set_data(spread(grids, fine))
        on = level_pixels(grids.params, -end, end, levels.width)
        levels.rgba = level_colours(on[np.arange(levels.height) * len(on) // levels.height])
        for each, sqnrs in curves.items():
            lines[each].set_data(BITS, sqnrs)
        sqnrs = curves[per_channel]
        chosen.set_data(BITS, sqnrs)
        here.set_data([bits], [grids.sqnr])
        rule.set_data(BITS, sqnrs[-1] + 6.02 * (np.array(BITS) - 16))

        scale, count = np.atleast_1d(grids.params.scale), grids.params.spec.levels
        sqnr, zeros, used = decibels(grids.sqnr), share(grids.zeros), f"{number(grids.used)} of {count}"
        packed = size(packed_bytes(rows.size, grids.params))
        for each, text in zip(numbers, (sqnr, zeros, used, packed), strict=True):
            each.set_text(text)
        if len(scale) > 1:
            layout = f"levels to every channel, with steps from {number(scale.min())} to {number(scale.max())}."
        else:
            layout = f"levels, the same for all channels, a step of {number(scale[0])} apart."
        words = (
            f"{bits} bits give {count} {layout} SQNR {sqnr}; {zeros} of the weights become exactly 0; "
            f"{used} levels are used; {packed} instead of {size(4 * rows.size)} as float32."
        )
        if bits < BITS[-1] and np.all(np.isfinite(sqnrs)):
            words += f" One more bit would bring {decibels(sqnrs[bits + 1 - BITS[0]] - sqnrs[bits - BITS[0]])}."
        return stage.png(), words

    controls = {
        "bits": slider(
            "bits", "How many bits each integer has: every further bit doubles the number of levels", 4, 2, 16
        ),
        "per_channel": switch(
            "per channel", "A scale of its own for every output channel, instead of one for all", False
        ),
        "symmetric": switch("symmetric", "Zero-point 0, and as much range below zero as above", True),
    }
    return Explorer(controls, update, stage.size, start)


@dataclass(frozen=True, eq=False)
class Grids:
    """Rows of weights on their grids, and what is asked of them.

    Attributes
    ----------
    params : QuantParams
        One grid for all rows, or one for each.
    sqnr : float
        In dB, of all weights together.
    zeros : float
        The share of weights that stand on exactly 0.
    levels, counts, steps : ndarray, shape (levels in use,)
        The levels that any weight stands on, grid by grid; how many stand there; the step of its grid.
    used : float
        How many levels of a grid are used, on average over the grids.
    """

    params: QuantParams
    sqnr: float
    zeros: float
    levels: np.ndarray
    counts: np.ndarray
    steps: np.ndarray
    used: float


def lay_grids(rows: np.ndarray, bits: int, symmetric: bool, per_channel: bool) -> Grids:
    """Quantize ``rows`` as LiteRT does weights: signed, and narrow where symmetric; from minimum to maximum."""
    params = params_from_data(rows, _spec(bits, symmetric, per_channel))
    q = quantize(rows, params)
    # Equal integers side by side, grid by grid; NumPy's stable sort of small integers is by far the quickest.
    sorted_q = np.sort(q.reshape(np.size(params.scale), -1), axis=1, kind="stable")
    first = np.ones(sorted_q.shape, bool)
    first[:, 1:] = sorted_q[:, 1:] != sorted_q[:, :-1]
    places = np.flatnonzero(first)
    counts = np.diff(places, append=q.size)
    grid = places // sorted_q.shape[1]
    steps = np.atleast_1d(params.scale)[grid]
    levels = steps * (sorted_q.ravel()[places].astype(int) - np.atleast_1d(params.zero_point)[grid])
    zeros = counts[levels == 0].sum() / q.size
    used = len(places) / np.size(params.scale)
    return Grids(params, sqnr_db(rows, dequantize(q, params)), zeros, levels, counts, steps, used)


def sqnr_by_bits(rows: np.ndarray, symmetric: bool, per_channel: bool) -> list[float]:
    """Return the SQNR in dB at 2 to 16 bits."""
    grids = (params_from_data(rows, _spec(bits, symmetric, per_channel)) for bits in BITS)
    return [sqnr_db(rows, fake_quantize(rows, params)) for params in grids]


def _spec(bits: int, symmetric: bool, per_channel: bool) -> QuantSpec:
    return QuantSpec(bits, symmetric=symmetric, narrow_range=symmetric, axis=0 if per_channel else None)


def packed_bytes(count: int, params: QuantParams) -> int:
    """Return the bytes of ``count`` integers packed tightly, with scales (float32) and zero-points (int32) if any."""
    each = 4 if params.spec.symmetric else 8
    return -(-count * params.spec.bits // 8) + each * np.size(params.scale)


def spread(grids: Grids, edges: np.ndarray) -> np.ndarray:
    """Return the density of the weights when each may lie anywhere within half a step of its level.

    With one grid that is a bar on every level, as wide as the step; with many grids, all their bars in one pile.
    ``edges`` are increasing bin borders; the density is in weights per unit of the axis, on average over each bin.
    """
    # A bar adds its height where it begins and takes it away where it ends; summed up twice, weights below x.
    heights = grids.counts / grids.steps
    knots = np.concatenate([grids.levels - grids.steps / 2, grids.levels + grids.steps / 2])
    order = np.argsort(knots)
    knots, slopes = knots[order], np.cumsum(np.concatenate([heights, -heights])[order])
    below = np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(knots))])
    return np.diff(np.interp(edges, knots, below)) / np.diff(edges)
