"""A tensor of weights on its levels: the histogram before and after, and what every further bit is worth."""

from functools import cache, lru_cache

import numpy as np

from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_data, quantize, sqnr_db
from qkit.show.canvas import Pixels, Stage, as_channels, level_colours, level_pixels, plain_ticks, reach_of, write
from qkit.show.explorer import BITS, PER_CHANNEL, SYMMETRIC, Explorer, slider, switch
from qkit.show.numerals import decibels, number, share, size
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

ALL_BITS = range(2, 17)


@in_style
def tensor(weights: np.ndarray, **start) -> Explorer:
    """Show the histogram of ``weights`` with the levels on it, and SQNR over bits, with one scale and one a channel.

    ``weights`` are finite numbers of any shape, of any layer, or activations; a ValueError if not, or if there are
    none. The last axis counts the output channels, as in a Keras kernel; the levels have a row of pixels for each, the
    widest on top. ``start`` are values of the controls: ``bits`` (2 to 16), ``per_channel``, ``symmetric``. Taught in
    notebook 02, section 6, and notebook 03, section 2.
    """
    rows = as_channels(weights, "weights")
    # The fan of levels reads best from the widest channel to the narrowest.
    rows = rows[np.argsort(-np.max(np.abs(rows), axis=1), kind="stable")]
    end = 1.05 * (reach_of(rows) or 1.0)
    edges, fine = np.linspace(-end, end, 121), np.linspace(-end, end, 721)

    stage = Stage(9, 4.6)
    numbers = stage.numbers(0.1, 0.61, ["SQNR", "exactly zero", "levels used", "size"], [QUANTIZED_TEXT] * 4)

    density = np.histogram(rows, edges)[0] / np.diff(edges)
    top = stage.axes(0.055, 0.41, 0.6, 0.38, xlim=(-end, end), ylim=(0, 1.12 * density.max()), yticks=[], xticks=[])
    top.set_ylabel("how many")
    top.stairs(density, edges, fill=True, color=FLOAT, alpha=0.45, label="float weights")
    outline = stage.moving(top.stairs(0 * fine[1:], fine, color=QUANTIZED, linewidth=2, label="quantized"))
    top.legend(loc="lower left", bbox_to_anchor=(0.3, 1), ncols=2, borderaxespad=0)

    below = stage.axes(0.055, 0.115, 0.6, 0.295, xlim=(-end, end), ylim=(0, 1), yticks=[])
    below.set_ylabel(f"levels of\n{len(rows)} channels" if len(rows) > 1 else "levels")
    below.set_xlabel("weight")
    plain_ticks(below.xaxis)
    for axes in (top, below):
        axes.spines["left"].set_visible(False)
    pixels = stage.moving(Pixels(below))

    right = stage.axes(0.735, 0.115, 0.25, 0.715, xlim=(1.5, 16.5), ylim=(0, 105), xlabel="bits", xticks=ALL_BITS[::2])
    right.set_title("SQNR in dB", fontsize=11)
    rule = stage.line(right, ":", color="black", linewidth=1.2, label="6.02 dB per bit")
    layouts = ("s-", "per channel"), ("o--", "per tensor")
    lines = [stage.line(right, style, color=GUIDE, ms=4, label=name) for style, name in layouts]
    chosen = stage.line(right, color=QUANTIZED, linewidth=3, alpha=0.8)
    here = stage.line(right, "s", color=QUANTIZED, markersize=11, markeredgecolor="black")
    right.legend(loc="upper left", borderaxespad=0)

    # A learner goes to and fro between few settings; each one kept takes as much memory as the weights.
    laid = lru_cache(maxsize=8)(lambda *setting: lay_grids(rows, *setting))
    curve = cache(lambda *layout: sqnr_by_bits(rows, *layout))

    def update(bits, per_channel, symmetric):
        params, levels, counts, steps = laid(bits, symmetric, per_channel)
        outline.set_data(spread(levels, counts, steps, fine))
        on = level_pixels(params, -end, end, pixels.width)
        pixels.rgba = level_colours(on[np.arange(pixels.height) * len(on) // pixels.height])
        for layout, each in zip((True, False), lines, strict=True):
            each.set_data(ALL_BITS, curve(symmetric, layout))
        sqnrs = curve(symmetric, per_channel)
        now, count, scale = sqnrs[bits - 2], params.spec.levels, np.atleast_1d(params.scale)
        chosen.set_data(ALL_BITS, sqnrs)
        here.set_data([bits], [now])
        rule.set_data(ALL_BITS, sqnrs[-1] + 6.02 * (np.array(ALL_BITS) - 16))

        zeros, packed = share(counts[levels == 0].sum() / rows.size), size(packed_bytes(rows.size, params))
        used = f"{number(len(levels) / len(scale))} of {count}"
        write(numbers, [decibels(now), zeros, used, packed])
        layout = f"levels, the same for all channels, a step of {number(scale[0])} apart."
        if len(scale) > 1:
            layout = f"levels to every channel, with steps from {number(scale.min())} to {number(scale.max())}."
        words = (
            f"{bits} bits give {count} {layout} SQNR {decibels(now)}; {zeros} of the weights become exactly 0; "
            f"{used} levels are used; {packed} instead of {size(4 * rows.size)} as float32."
        )
        if bits < 16 and np.all(np.isfinite(sqnrs)):
            words += f" One more bit would bring {decibels(sqnrs[bits - 1] - now)}."
        return stage.png(), words

    controls = {
        "bits": slider(*BITS, 4, 2, 16),
        "per_channel": switch(*PER_CHANNEL, False),
        "symmetric": switch(*SYMMETRIC, True),
    }
    return Explorer(controls, update, stage.size, start)


def lay_grids(rows: np.ndarray, bits: int, symmetric: bool, per_channel: bool) -> tuple:
    """Quantize ``rows`` as LiteRT does weights; return the parameters, one grid for all rows or one for each.

    And, grid by grid, the levels that any weight stands on, how many stand there, and the step of its grid.
    """
    params = params_from_data(rows, _spec(bits, symmetric, per_channel))
    # Equal integers side by side, grid by grid; NumPy's stable sort of small integers is by far the quickest.
    q = np.sort(quantize(rows, params).reshape(np.size(params.scale), -1), axis=1, kind="stable")
    places = np.flatnonzero(np.diff(q.astype(int), axis=1, prepend=params.spec.qmin - 1))
    grid = places // q.shape[1]
    steps = np.atleast_1d(params.scale)[grid]
    levels = steps * (q.ravel()[places].astype(int) - np.atleast_1d(params.zero_point)[grid])
    return params, levels, np.diff(places, append=q.size), steps


def sqnr_by_bits(rows: np.ndarray, symmetric: bool, per_channel: bool) -> list[float]:
    """Return the SQNR in dB at 2 to 16 bits."""
    grids = (params_from_data(rows, _spec(bits, symmetric, per_channel)) for bits in ALL_BITS)
    return [sqnr_db(rows, fake_quantize(rows, params)) for params in grids]


def _spec(bits: int, symmetric: bool, per_channel: bool) -> QuantSpec:
    return QuantSpec(bits, symmetric=symmetric, narrow_range=symmetric, axis=0 if per_channel else None)


def packed_bytes(count: int, params: QuantParams) -> int:
    """Return the bytes of ``count`` integers packed tightly, with scales (float32) and zero-points (int32) if any."""
    return -(-count * params.spec.bits // 8) + (4 if params.spec.symmetric else 8) * np.size(params.scale)


def spread(levels: np.ndarray, counts: np.ndarray, steps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the density of the weights when each may lie anywhere within half a step of its level.

    With one grid that is a bar on every level, as wide as the step; with many grids, all their bars in one pile.
    ``edges`` are increasing bin borders; the density is in weights per unit of the axis, on average over each bin.
    """
    # A bar adds its height where it begins and takes it away where it ends; summed up twice, weights below x.
    heights = counts / steps
    knots = np.concatenate([levels - steps / 2, levels + steps / 2])
    order = np.argsort(knots)
    knots, slopes = knots[order], np.cumsum(np.concatenate([heights, -heights])[order])
    below = np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(knots))])
    return np.diff(np.interp(edges, knots, below)) / np.diff(edges)
