"""Output channels side by side: how much of a shared scale the small ones can use."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.ticker import MaxNLocator

from qkit.numeric.affine import QuantParams, dequantize, params_from_data, quantize
from qkit.numeric.errors import sqnr_db
from qkit.show.canvas import Pixels, Stage, decibels, level_colours, level_pixels, number, plain_ticks
from qkit.show.explorer import Explorer, slider, switch
from qkit.show.explorers.grids import as_channels, weight_spec
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED
from qkit.show.words.explorers import CHANNELS, CONTROLS

MOST_BITS = 8


def channels(
    weights: np.ndarray,
    *,
    axis: int | None = -1,
    bits: int = 4,
    symmetric: bool = True,
    per_channel: bool = False,
    channel: int = 0,
) -> Explorer:
    """Show the range of every output channel, the levels inside it, and how many bits it can really use.

    Parameters
    ----------
    weights : array_like of real numbers
        Any shape with at least one value: the weights of any layer, or activations.
    axis
        The axis that counts the output channels, the last one in a Keras kernel; ``None`` for one channel.
    bits, symmetric, per_channel, channel
        Where the controls start.

    Returns
    -------
    Explorer
        With the controls ``bits``, ``channel``, ``per_channel`` and ``symmetric``.

    Raises
    ------
    ValueError
        If there are no weights, one is not finite, or a control does not offer what it should start with.
    """
    rows = as_channels(weights, axis, "weights")
    stage = Stage(9, 4.6, lambda figure: Parts(figure, rows))

    @lru_cache(maxsize=8)
    def judged(bits: int, symmetric: bool, per_channel: bool) -> Channels:
        return judge(rows, bits, symmetric, per_channel)

    def update(bits, channel, per_channel, symmetric) -> tuple[bytes, str]:
        now = judged(bits, symmetric, per_channel)
        stage.parts.show(now, channel)
        return stage.png(), say(rows, now, judged(bits, symmetric, not per_channel), channel)

    controls = {
        "bits": slider(*CONTROLS["bits"], 4, 2, MOST_BITS),
        "channel": slider(*CONTROLS["channel"], 0, 0, len(rows) - 1),
        "per_channel": switch(*CONTROLS["per_channel"], False),
        "symmetric": switch(*CONTROLS["symmetric"], True),
    }
    start = {"bits": bits, "channel": channel, "per_channel": per_channel, "symmetric": symmetric}
    return Explorer(controls, update, stage.size, start)


@dataclass(frozen=True, eq=False)
class Channels:
    """What quantization leaves of each channel.

    Attributes
    ----------
    params : QuantParams
        One grid for all channels, or one for each.
    reach : ndarray of int, shape (channels,)
        How many levels there are from the channel's smallest weight to its largest.
    sqnr : ndarray of float, shape (channels,)
        In dB.
    """

    params: QuantParams
    reach: np.ndarray
    sqnr: np.ndarray


def judge(rows: np.ndarray, bits: int, symmetric: bool, per_channel: bool) -> Channels:
    """Quantize ``rows``, one channel each, and judge every channel by itself."""
    params = params_from_data(rows, weight_spec(bits, symmetric, per_channel))
    q = quantize(rows, params)
    back = dequantize(q, params)
    return Channels(
        params,
        q.max(axis=1).astype(int) - q.min(axis=1) + 1,
        np.array([sqnr_db(row, row_back) for row, row_back in zip(rows, back, strict=True)]),
    )


def say(rows: np.ndarray, now: Channels, other: Channels, channel: int) -> str:
    """Say in words what the picture shows, and what the other granularity would do to the chosen channel."""
    spec = now.params.spec
    shared = spec.axis is None
    poorest = int(np.argmin(now.reach))
    layout = CHANNELS["one_grid" if shared else "many_grids"].format(
        bits=spec.bits,
        widest=np.argmax(np.max(np.abs(rows), axis=1)),
        poorest=poorest,
        reach=now.reach[poorest],
        levels=spec.levels,
    )
    one = CHANNELS["one"].format(
        channel=channel,
        low=number(rows[channel].min()),
        high=number(rows[channel].max()),
        reach=now.reach[channel],
        sqnr=decibels(now.sqnr[channel]),
        other=decibels(other.sqnr[channel]),
        instead=CHANNELS["instead_own" if shared else "instead_shared"],
    )
    return f"{layout} {one}"


class Parts:
    """The artists: a bar for the range of each channel, crossed by its levels, and the bits it can use below."""

    def __init__(self, figure, rows: np.ndarray):
        self.low, self.high = rows.min(axis=1), rows.max(axis=1)
        count = len(rows)
        reach = 1.06 * (np.max(np.abs(rows)) or 1.0)
        self.view = (-reach, reach)

        top = figure.add_axes((0.1, 0.4, 0.88, 0.52))
        top.set(xlim=(-0.5, count - 0.5), ylim=self.view, xticks=[])
        top.set_title(CHANNELS["title"], fontsize=11)
        plain_ticks(top.yaxis)
        values, edges, baseline = _bars(self.high, self.low)
        top.stairs(values, edges, baseline=baseline, fill=True, color=FLOAT, alpha=0.35)
        top.axhline(0, color=GUIDE, linewidth=0.8)
        self.levels = Pixels(top)
        self.frame = top.axvspan(0, 1, facecolor="none", edgecolor="black", linewidth=1.5)

        below = figure.add_axes((0.1, 0.12, 0.88, 0.24))
        below.set(xlim=(-0.5, count - 0.5), ylim=(0, MOST_BITS + 0.3), yticks=range(0, MOST_BITS + 1, 2))
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        below.set(xlabel=CHANNELS["channel"], ylabel=CHANNELS["usable"])
        self.limit = below.axhline(0, color="black", linestyle=":", linewidth=1.2)
        values, edges, _ = _bars(np.zeros(count))
        self.bars = below.stairs(values, edges, fill=True, color=QUANTIZED)
        self.below_frame = below.axvspan(0, 1, facecolor="none", edgecolor="black", linewidth=1.5)
        self.moving = [self.levels, self.frame, self.bars, self.limit, self.below_frame]

    def show(self, now: Channels, channel: int) -> None:
        """Move every artist to where these channels have it."""
        on = level_pixels(now.params, *self.view, self.levels.height)
        centres = np.linspace(*self.view, self.levels.height)
        step = np.atleast_1d(now.params.scale)[:, None]
        inside = (centres >= self.low[:, None] - step / 2) & (centres <= self.high[:, None] + step / 2)
        channel_of_pixel, place = np.divmod(np.arange(self.levels.width) * len(inside) / self.levels.width, 1)
        drawn = (np.broadcast_to(on, inside.shape) & inside)[channel_of_pixel.astype(int)]
        drawn &= (np.abs(place - 0.5) <= 0.4)[:, None]
        # Pixels count from the top, numbers from below.
        self.levels.rgba = level_colours(drawn.T[::-1])
        self.bars.set_data(*_bars(np.log2(now.reach)))
        self.limit.set_ydata([now.params.spec.bits] * 2)
        for frame in (self.frame, self.below_frame):
            frame.set(x=channel - 0.5, width=1)


def _bars(tops: np.ndarray, bottoms: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, edges and baseline of one stairs artist that looks like bars 0.8 wide: faster than many."""
    gaps = len(tops) - 1
    edges = (np.arange(len(tops))[:, None] + [-0.4, 0.4]).ravel()
    values, baseline = np.zeros(2 * gaps + 1), np.zeros(2 * gaps + 1)
    values[::2], baseline[::2] = tops, bottoms
    return values, edges, baseline
