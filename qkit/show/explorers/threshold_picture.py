"""The picture of the threshold explorer: all axes are in shares of the largest magnitude, so none ever changes."""

import numpy as np

from qkit.numeric.histogram import Histogram
from qkit.show.explorers.parts import clipped_patch, label, named_numbers
from qkit.show.style import CLIPPED, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.engine import number, share
from qkit.show.words.explorers import METHODS, THRESHOLD

CELLS = 128
"""How many bars at most a histogram is drawn with: more would be narrower than can be seen."""

STYLES = ("-", "--", "-.", ":", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)), (0, (8, 4)))
LEAST, MOST = -3.0, 2.6
"""Powers of ten of the densities in the small panel; 1 is the mean."""


def coarser(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of groups of bins, at most ``CELLS``, and the borders of the groups, in bins."""
    borders = np.arange(0, len(counts), -(-len(counts) // CELLS))
    return np.add.reduceat(counts, borders), np.append(borders, len(counts))


def reference_and_merged(histogram: Histogram, levels: int, kept: int, drop_zeros: bool) -> tuple:
    """Return P and Q of the divergence that keeps ``kept`` bins, as :mod:`qkit.numeric.entropy` defines them."""
    counts = (histogram.nonzero_counts if drop_zeros else histogram.counts).astype(np.float64)
    inside = counts[:kept]
    p = inside.copy()
    p[-1] += counts[kept:].sum()
    level = np.arange(kept) * levels // kept
    mass, filled = (np.bincount(level, weights, levels) for weights in (inside, inside > 0))
    q = np.where(inside > 0, (mass / np.maximum(filled, 1))[level], 0)
    return p / max(p.sum(), 1), q / max(q.sum(), 1)


def before_and_after(layer, steps: int, value: float) -> tuple:
    """Return edges and densities of the magnitudes, and of the levels they land on; in shares of the threshold."""
    t = value / layer.values.unit
    borders = np.linspace(0, 1, CELLS + 1)
    middles = (np.arange(steps + 2) - 0.5) / steps
    middles[[0, -1]] = 0, 1
    beyond_levels = layer.values.beyond(middles * t)[0]
    beyond_levels[-1] = 0  # what is clipped lands on the last level
    beyond = layer.values.beyond(borders * t)[0]
    whole = max(beyond[0], 1e-300)
    before = -np.diff(beyond) / whole / np.diff(borders)
    after = -np.diff(beyond_levels) / whole / np.diff(middles)
    return borders, before, middles, after


def beside(x: np.ndarray, curve: np.ndarray, place: float) -> float:
    """Return the curve at the candidate next to ``place``; NaN before the first one."""
    if not len(x) or place < x[0] - (x[-1] - x[0]) / len(x) / 2:
        return np.nan
    return float(curve[np.argmin(np.abs(x - place))])


class Parts:
    """The artists: a row and a line for each method, the histogram, the curve below it, and two outlines beside."""

    TOP = 1.0
    ROW = 0.105
    LEFT, WIDTH = 0.155, 0.495

    def __init__(self, figure):
        _, self.numbers = named_numbers(
            figure,
            np.linspace(0.1, 0.9, 5),
            0.99,
            THRESHOLD["tiles"],
            ["black", CLIPPED, CLIPPED, QUANTIZED_TEXT, ERROR],
        )
        self._histogram(figure)
        self._curve(figure)
        self._panel(figure)
        self.moving = [
            self.bars,
            self.hatch,
            *self.lines.values(),
            self.hand,
            *self.marks.values(),
            self.hand_mark,
            *self.names.values(),
            *self.shares.values(),
            self.hand_share,
            self.zeros,
            self.largest,
            self.grid,
            *self.ticks,
            self.clipping,
            self.rounding,
            self.extra,
            self.curve,
            self.chosen_line,
            self.hand_line,
            self.chosen,
            self.here,
            self.unit,
            *self.keys,
            self.before,
            self.after,
            self.panel_title,
            *self.panel_keys,
            *self.numbers,
        ]

    def _histogram(self, figure) -> None:
        axes = figure.add_axes((self.LEFT, 0.415, self.WIDTH, 0.485))
        self.top = self.TOP + self.ROW * (len(METHODS) + 1) + 0.06
        axes.set(xlim=(0, 101), ylim=(0, self.top), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.set_xticks(range(0, 101, 20), [])
        axes.text(-2, 0.5, THRESHOLD["histogram"], ha="right", va="center", color=FLOAT)
        self.bars = axes.stairs([0], [0, 1], fill=True, color=FLOAT, alpha=0.5)
        self.hatch = clipped_patch(axes)
        self.hatch.set_height(self.TOP / self.top)
        self.lines, self.marks, self.names, self.shares = {}, {}, {}, {}
        self.styles = dict(zip(METHODS, STYLES, strict=True))
        rows = self.TOP + self.ROW * (np.arange(len(METHODS), -1, -1) + 1)
        for method, y in zip(METHODS, rows, strict=False):
            axes.plot([0, 100], [y, y], color="#DDDDDD", linewidth=0.8)
            self.lines[method] = axes.plot([0, 0], [0, y], color=GUIDE)[0]
            self.marks[method] = axes.plot([0], [y], "s", color=GUIDE, clip_on=False)[0]
            self.names[method] = label(axes, -2, y, METHODS[method], ha="right", va="center", fontsize=10)
            self.shares[method] = label(axes, 103, y, "", ha="left", va="center", fontsize=10)
        y = rows[-1]
        axes.plot([0, 100], [y, y], color="#DDDDDD", linewidth=0.8)
        axes.text(-2, y, THRESHOLD["yours"], ha="right", va="center", fontsize=10, weight="bold")
        self.hand = axes.plot([0, 0], [0, y], color="black", linewidth=1.6)[0]
        self.hand_mark = axes.plot([0], [y], "o", color="black", markersize=8, clip_on=False)[0]
        self.hand_share = label(axes, 103, y, "", ha="left", va="center", fontsize=10, weight="bold")
        self.row = y

    def _curve(self, figure) -> None:
        axes = figure.add_axes((self.LEFT, 0.095, self.WIDTH, 0.25))
        axes.set(xlim=(0, 101), ylim=(0, 1), yticks=[], xlabel=THRESHOLD["axis"])
        axes.set_xticks(range(0, 101, 20))
        self.grid = axes.plot([], [], color="#DDDDDD", linewidth=0.8)[0]
        self.ticks = [label(axes, -1.5, 0, "", ha="right", va="center", fontsize=10) for _ in range(4)]
        self.unit = label(axes, 0, 1.13, "", ha="left", va="center")
        self.clipping = axes.plot([], [], "--", color=CLIPPED, linewidth=1.5)[0]
        self.rounding = axes.plot([], [], ":", color=QUANTIZED_TEXT, linewidth=2)[0]
        self.extra = axes.plot([], [], "-.", color=GUIDE, linewidth=1.5)[0]
        self.curve = axes.plot([], [], "-", color=ERROR, linewidth=2, markersize=3)[0]
        self.chosen_line = axes.plot([0, 0], [0, 1], color=QUANTIZED_TEXT, linewidth=2.5)[0]
        self.hand_line = axes.plot([0, 0], [0, 1], color="black", linewidth=1.6)[0]
        self.chosen = axes.plot([], [], "s", color=QUANTIZED, markersize=9, markeredgecolor="black")[0]
        self.here = axes.plot([], [], "o", color="black", markersize=8)[0]
        colours = ERROR, CLIPPED, QUANTIZED_TEXT, GUIDE
        rows = 0.92 - 0.13 * np.arange(4)
        self.keys = [
            label(axes, 103, y, "", ha="left", va="center", fontsize=10, color=colour)
            for y, colour in zip(rows, colours, strict=True)
        ]

    def _panel(self, figure) -> None:
        axes = figure.add_axes((0.765, 0.415, 0.215, 0.32))
        axes.set(xlim=(0, 1.01), ylim=(LEAST, MOST), yticks=[], xticks=[0, 0.5, 1])
        axes.set_xlabel(THRESHOLD["panel_axis"])
        axes.set_ylabel(THRESHOLD["panel_density"])
        self.before = axes.stairs([0], [0, 1], baseline=LEAST, fill=True, color=FLOAT, alpha=0.5)
        self.after = axes.stairs([0], [0, 1], baseline=LEAST, color=QUANTIZED, linewidth=1.8)
        self.panel_title = label(figure, 0.98, 0.875, "", ha="right", va="center")
        self.panel_keys = [
            label(figure, 0.98, y, "", ha="right", va="center", color=colour)
            for y, colour in ((0.83, FLOAT), (0.785, QUANTIZED_TEXT))
        ]
        self.largest = label(figure, 0.98, 0.11, "", ha="right", va="center")
        self.zeros = label(figure, 0.98, 0.065, "", ha="right", va="center")

    def show(self, layer, bits: int, method: str, chosen, hand) -> None:
        """Move every artist to where this layer, this method and this hand have it."""
        self._show_histogram(layer)
        self._show_methods(layer, layer.try_all(bits), method)
        at = float(layer.percent(hand.value))
        self.hatch.set(x=at, width=max(100 - at, 0))
        self.hand.set_xdata([at, at])
        self.hand_line.set_xdata([at, at])
        self.hand_mark.set_xdata([at])
        self.hand_share.set_text(f"{number(at)} %")
        self.largest.set_text(THRESHOLD["largest"].format(largest=number(layer.largest)))
        self._show_curve(layer, bits, method, chosen, at)
        self._show_panel(layer, bits, method, hand.value)
        texts = number(hand.value), share(hand.clipped), *map(_short, (hand.clipping, hand.rounding, hand.sum))
        for text, words in zip(self.numbers, texts, strict=True):
            text.set_text(words)

    def _show_histogram(self, layer) -> None:
        counts, borders = coarser(layer.histogram.nonzero_counts)
        most = np.log(2 * max(counts.max(), 1))
        heights = np.log(2 * np.maximum(counts, 0.5)) / most
        self.bars.set_data(heights, layer.percent(borders * layer.values.unit))
        self.zeros.set_text(THRESHOLD["zeros"].format(zeros=share(layer.zeros)) if layer.zeros else "")

    def _show_methods(self, layer, found: dict, method: str) -> None:
        for each, threshold in found.items():
            bold, there = each == method, threshold is not None
            at = float(layer.percent(threshold.value)) if there else 0.0
            line, mark = self.lines[each], self.marks[each]
            line.set(visible=there, xdata=[at, at], linewidth=3 if bold else 1.1)
            line.set_linestyle("-" if bold else self.styles[each])
            mark.set(visible=there, xdata=[at], markersize=9 if bold else 5)
            for artist in (line, mark):
                artist.set_color(QUANTIZED_TEXT if bold else GUIDE)
            for text in (self.names[each], self.shares[each]):
                text.set(weight="bold" if bold else "normal", color=QUANTIZED_TEXT if bold else GUIDE)
            self.shares[each].set_text(share(at / 100) if there else "–")

    def _show_curve(self, layer, bits: int, method: str, chosen, at: float) -> None:
        """Draw the criterion on a logarithmic scale of its own; its ticks move with it."""
        divergence = method.startswith("kl")
        self.unit.set_text(THRESHOLD["curves"]["kl" if divergence else "mse"])
        edges, clipping, rounding = layer.errors(bits)
        if divergence:
            edges, curve = chosen.candidates, chosen.curve
        else:
            curve = clipping + rounding
        x = layer.percent(edges)
        chosen_at = float(layer.percent(chosen.value))
        # ACIQ's objective is about the values that are not 0, the others about all.
        theory = chosen.curve * (1 - layer.zeros) if method == "aciq" else chosen.curve
        scale = _Scale(np.append(theory.min(initial=np.inf), curve), beside(x, curve, chosen_at))
        self.curve.set_data(x, scale(curve))
        self.curve.set_marker("." if divergence else "None")  # a candidate between two infinite ones is no line
        for line, values in ((self.clipping, clipping), (self.rounding, rounding)):
            line.set_visible(not divergence)
            if not divergence:
                line.set_data(x, scale(values))
        extra = {"aciq": "-.", "admm": "None"}.get(method)
        self.extra.set(visible=extra is not None, linestyle=extra or "-", marker="D" if extra == "None" else "None")
        if extra:
            self.extra.set_data(layer.percent(chosen.candidates), scale(theory))
        here = beside(x, curve, at)
        if divergence:
            found = "–" if np.isnan(here) else _short(here)
            keys = [
                THRESHOLD["here"].format(divergence=found),
                "",
                "",
                "" if np.all(np.isfinite(curve)) else THRESHOLD["gaps"],
            ]
        else:
            keys = [THRESHOLD["sum"], THRESHOLD["clipping"], THRESHOLD["rounding"]]
            keys.append(THRESHOLD[{"aciq": "theory", "admm": "path"}[method]] if extra else "")
        for text, words in zip(self.keys, keys, strict=True):
            text.set_text(words)
        self.chosen_line.set_xdata([chosen_at, chosen_at])
        for mark, place, value in ((self.chosen, chosen_at, beside(x, curve, chosen_at)), (self.here, at, here)):
            mark.set_data([place], [min(float(scale(value)), 0.95)])
        self.here.set_marker("^" if scale(here) > 1 else "o")  # the curve is above the picture
        ticks = scale.ticks()
        for text, tick in zip(self.ticks, [*ticks, *[None] * 4][:4], strict=True):
            text.set_text("" if tick is None else number(tick))
            text.set_y(0 if tick is None else float(scale(np.array(tick))))
        self.grid.set_data(
            np.tile([0, 101, np.nan], len(ticks)), np.repeat([float(scale(np.array(tick))) for tick in ticks], 3)
        )

    def _show_panel(self, layer, bits: int, method: str, value: float) -> None:
        divergence = method.startswith("kl")
        self.panel_title.set_text(THRESHOLD["panel"].format(name="|x|"))
        for text, words in zip(self.panel_keys, THRESHOLD["kl_panel" if divergence else "other_panel"], strict=True):
            text.set_text(words)
        if layer.largest == 0:
            outlines = [([0.0], [0.0, 1.0])] * 2
        elif divergence:
            kept = int(np.clip(np.rint(value / layer.values.unit), 1, layer.values.bins))
            pair = reference_and_merged(layer.histogram, layer.levels(bits), kept, method == "kl")
            outlines = []
            for mass in pair:
                sums, borders = coarser(mass)
                borders = borders / kept
                outlines.append((sums / np.diff(borders), borders))
        else:
            borders, before, middles, after = before_and_after(layer, layer.steps(bits), value)
            outlines = [(before, borders), (after, middles)]
        for patch, (density, borders) in zip((self.before, self.after), outlines, strict=True):
            patch.set_data(np.log10(np.clip(density, 10**LEAST, 10**MOST)), borders)


class _Scale:
    """A logarithmic scale from below a curve's least to above what is ``shown`` at least; 0 to 1 is on paper."""

    def __init__(self, curve: np.ndarray, shown: float) -> None:
        usable = curve[np.isfinite(curve) & (curve > 0)]
        if not usable.size:
            usable = np.ones(1)
        top = min(usable.max(), np.nanmax([30 * usable.min(), 3 * usable[-1], 1.5 * shown]))
        self.high = np.log10(top) + 0.1
        self.low = max(np.log10(usable.min()), np.log10(top) - 6)
        self.low -= 0.12 * (self.high - self.low)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return where on paper; nowhere for what is infinite."""
        values = np.where(np.isfinite(values), values, np.nan)
        places = (np.log10(np.maximum(values, 1e-307)) - self.low) / (self.high - self.low)
        return np.clip(places, -0.5, 2)

    def ticks(self) -> list[float]:
        """Return at most four round numbers on the scale."""
        powers = np.arange(np.floor(self.low), np.ceil(self.high) + 1)
        for parts in ([1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]):
            ticks = sorted(part * 10.0**power for power in powers for part in parts)
            ticks = [tick for tick in ticks if self.low <= np.log10(tick) <= self.high - 0.02]
            if len(ticks) >= 3:
                break
        return ticks[:: -(-len(ticks) // 4)] if ticks else []


def _short(x: float) -> str:
    return number(x) if np.isfinite(x) else "∞"
