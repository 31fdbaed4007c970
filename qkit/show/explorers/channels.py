"""Output channels side by side: how much of a shared scale the small ones can use."""

from functools import cache

import numpy as np
from matplotlib.ticker import MaxNLocator

from qkit.numeric import QuantSpec, dequantize, params_from_data, quantize, sqnr_db
from qkit.show.canvas import Pixels, Stage, as_channels, level_colours, level_pixels, plain_ticks, reach_of
from qkit.show.explorer import BITS, PER_CHANNEL, SYMMETRIC, Explorer, slider, switch
from qkit.show.numerals import decibels, number
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, in_style


@in_style
def channels(weights: np.ndarray, **start) -> Explorer:
    """Show the range of every output channel, the levels it spans, and how many bits it can really use.

    Above, a bar for the range of every channel, crossed by its levels; below, log₂ of how many these are, from
    that of its smallest weight to that of its largest. Taught in notebook 02, section 7, and notebook 03, section 4.

    ``weights`` are finite numbers of any shape, of any layer, or activations; a ValueError if not, or if there are
    none. The last axis counts the output channels, as in a Keras kernel. ``start`` are values of the controls: ``bits``
    (2 to 8), ``channel``, ``per_channel``, ``symmetric``.
    """
    rows = as_channels(weights, "weights")
    count, low, high = len(rows), rows.min(axis=1), rows.max(axis=1)
    widest = np.argmax(np.max(np.abs(rows), axis=1))
    lowest, highest = np.argmin(low), np.argmax(high)
    ends = dict.fromkeys(end for end, counts in ((lowest, low.min() < 0), (highest, high.max() > 0)) if counts)
    reach = 1.06 * (reach_of(rows) or 1.0)
    edges = (np.arange(count)[:, None] + [-0.4, 0.4]).ravel()

    def bars(heights):  # with a gap after each: one stairs artist is faster than many bars
        return np.insert(heights.astype(float), range(1, count), 0)

    stage = Stage(9, 4.6)
    top = stage.axes(0.1, 0.4, 0.88, 0.52, xlim=(-0.5, count - 0.5), ylim=(-reach, reach), xticks=[])
    top.set_title("weights: the range of every channel, and the levels it spans", fontsize=11)
    plain_ticks(top.yaxis)
    top.stairs(bars(high), edges, baseline=bars(low), fill=True, color=FLOAT, alpha=0.35)
    top.axhline(0, color=GUIDE, linewidth=0.8)
    levels = stage.moving(Pixels(top))

    below = stage.axes(0.1, 0.12, 0.88, 0.24, xlim=(-0.5, count - 0.5), ylim=(0, 8.3), yticks=range(0, 9, 2))
    below.set(xlabel="output channel", ylabel="usable\nbits")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    usable = stage.moving(below.stairs(bars(low), edges, fill=True, color=QUANTIZED))
    limit = stage.moving(below.axhline(0, color="black", linestyle=":", linewidth=1.2))
    box = {"facecolor": "none", "edgecolor": "black", "linewidth": 1.5}
    frames = [stage.moving(axes.axvspan(0, 1, **box)) for axes in (top, below)]

    channel_of_pixel, place = np.divmod(np.arange(levels.width) * count / levels.width, 1)
    in_bar = np.abs(place - 0.5) <= 0.4
    judged = cache(lambda *setting: judge(rows, *setting))

    def update(bits, channel, per_channel, symmetric):
        params, found, sqnr = judged(bits, symmetric, per_channel)
        _, _, sqnr_otherwise = judged(bits, symmetric, not per_channel)

        centres = np.linspace(-reach, reach, levels.height)
        half = np.atleast_1d(params.scale)[:, None] / 2
        inside = (centres >= low[:, None] - half) & (centres <= high[:, None] + half)
        on = (level_pixels(params, -reach, reach, levels.height) & inside)[channel_of_pixel.astype(int)]
        # Pixels count from the top, numbers from below.
        levels.rgba = level_colours((on & in_bar[:, None]).T[::-1])
        usable.set_data(bars(np.log2(found)))
        limit.set_ydata([bits, bits])
        for frame in frames:
            frame.set_x(channel - 0.5)

        layout = f"a scale for every channel: each spreads its own {params.spec.levels} levels."
        if not per_channel:
            left = f"{found.min()} of {params.spec.levels} levels are left for channel {found.argmin()}"
            setting = f"channel {widest} sets it"
            if not symmetric and len(ends) == 2:  # from the lowest weight of all to the highest
                setting = f"channels {' and '.join(map(str, ends))} set it"
            layout = f"one scale for all channels: {setting}, and {left}."
        return stage.png(), (
            f"{bits} bits, {layout} Channel {channel} spans {number(low[channel])} to {number(high[channel])}; "
            f"levels it spans: {found[channel]}; SQNR {decibels(sqnr[channel])}, "
            f"{decibels(sqnr_otherwise[channel])} with {'the scale of all' if per_channel else 'a scale of its own'}."
        )

    controls = {
        "bits": slider(*BITS, 4, 2, 8),
        "channel": slider("channel", "The channel whose numbers are written out", 0, 0, count - 1),
        "per_channel": switch(*PER_CHANNEL, False),
        "symmetric": switch(*SYMMETRIC, True),
    }
    return Explorer(controls, update, stage.size, start)


def judge(rows: np.ndarray, bits: int, symmetric: bool, per_channel: bool) -> tuple:
    """Quantize ``rows``, a channel each: return their grid, how many levels each spans, and its SQNR in dB."""
    spec = QuantSpec(bits, symmetric=symmetric, narrow_range=symmetric, axis=0 if per_channel else None)
    params = params_from_data(rows, spec)
    q = quantize(rows, params)
    found = q.max(axis=1).astype(int) - q.min(axis=1) + 1
    return params, found, np.array([sqnr_db(*pair) for pair in zip(rows, dequantize(q, params), strict=True)])
