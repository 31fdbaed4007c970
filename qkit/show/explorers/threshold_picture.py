"""The picture of the threshold explorer: no axis ever changes, so that all that moves is what a control changed."""

import numpy as np

from qkit.show.canvas import Label, Numeral, clipped_patch, named_numbers, number, share
from qkit.show.explorers.threshold_numbers import CELLS, View, outlines
from qkit.show.picture import CLIPPED, CLIPPED_TEXT, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.explorers import METHODS, THRESHOLD

DASHES = "-", "--", "-.", ":", (0, (1, 3)), (0, (6, 2, 1, 2, 1, 2)), (0, (8, 4)), (0, (3, 1, 1, 1))
STYLES = dict(zip(METHODS, DASHES, strict=True))
FAINT = {"color": "#DDDDDD", "linewidth": 0.8}
SMALL = 10
"""Font size of what stands in rows: 14 pixels."""

LEFT, WIDTH = 0.175, 0.475
ROW = 0.118
"""How high a method's row is; the histogram below them is 1 high."""

CURVES = {
    "clipping": ("--", CLIPPED, 1.5, 0),
    "rounding": (":", QUANTIZED_TEXT, 2, 0),
    "theory": ("-.", GUIDE, 1.5, 0),
    "path": ("D", GUIDE, 0, 6),
    "sum": ("-", ERROR, 2, 0),
    "divergence": (".-", ERROR, 2, 4),  # a candidate between two infinite ones is no line
}
"""Style, colour, width and size of marks of the curves of a view, from back to front."""

LEAST, MOST = 0.3, 30
"""Which part of a curve is shown, in multiples of its least."""

THINNEST, DENSEST = 1e-3, 400
"""Which densities the small panel shows; the mean is 1."""


class Parts:
    """The artists: a row and a line for each method, the histogram, the curve below it, and two outlines beside."""

    def __init__(self, figure):
        self.moving = []
        self._histogram(figure)
        self._curve(figure)
        self._panel(figure)
        colours = "black", CLIPPED_TEXT, CLIPPED_TEXT, QUANTIZED_TEXT, ERROR
        _, self.numbers = named_numbers(figure, np.linspace(0.1, 0.9, 5), 0.99, THRESHOLD["tiles"], colours)
        self.moving += self.numbers

    def _histogram(self, figure) -> None:
        axes = figure.add_axes((LEFT, 0.415, WIDTH, 0.485))
        *rows, last = 1 + ROW * np.arange(len(METHODS) + 1, 0, -1)
        axes.set(xlim=(0, 101), ylim=(0, rows[0] + ROW / 2), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.set_xticks(range(0, 101, 20), [])
        axes.text(-2, 0.5, THRESHOLD["histogram"], ha="right", va="center", color=FLOAT)
        axes.text(-2, last, THRESHOLD["yours"], ha="right", va="center", fontsize=SMALL, weight="bold")
        axes.hlines([*rows, last], 0, 100, **FAINT)
        edges = np.linspace(0, 100, CELLS + 1)
        self.bars = self._add(axes.stairs(np.zeros(CELLS), edges, fill=True, color=FLOAT, alpha=0.5))
        self.hatch = self._add(clipped_patch(axes))
        self.hatch.set_height(1 / axes.get_ylim()[1])
        post = {"markevery": [1], "clip_on": False}  # a line with a mark on its upper end
        self.rows = {
            method: (
                self._add(axes.plot([0, 0], [0, y], "s", **post)[0]),
                self._text(axes, -2, y, ha="right"),
                self._text(axes, 103, y, Numeral),
            )
            for method, y in zip(METHODS, rows, strict=True)
        }
        self.hand = self._add(axes.plot([0, 0], [0, last], "o-k", linewidth=1.6, markersize=8, **post)[0])
        self.hand_share = self._text(axes, 103, last, Numeral, weight="bold")

    def _curve(self, figure) -> None:
        axes = figure.add_axes((LEFT, 0.095, WIDTH, 0.25))
        axes.set(xlim=(0, 101), yscale="log", ylim=(LEAST, MOST), xlabel=THRESHOLD["axis"])
        axes.set_xticks(range(0, 101, 20))
        axes.set_yticks([1, 3, 10, 30], ["1×", "3×", "10×", "30×"], fontsize=SMALL)
        axes.minorticks_off()
        axes.grid(axis="y", **FAINT)
        axes.set_axisbelow(True)
        self.unit = self._text(figure, LEFT, 0.375, fontsize=11)
        self.curves = {
            name: self._add(axes.plot([], [], style, color=colour, linewidth=width, markersize=size, mew=0)[0])
            for name, (style, colour, width, size) in CURVES.items()
        }
        self.chosen_line = self._add(axes.axvline(0, color=QUANTIZED_TEXT, linewidth=2.5))
        self.hand_line = self._add(axes.axvline(0, color="black", linewidth=1.6))
        mark = {"markersize": 9, "markeredgecolor": "black", "clip_on": False}
        self.chosen = self._add(axes.plot([], [], "s", color=QUANTIZED, **mark)[0])
        self.here = self._add(axes.plot([], [], "o", color="black", **mark)[0])
        figure.text(0.665, 0.31, THRESHOLD["times"], fontsize=SMALL, weight="bold")
        self.times = self._text(figure, 0.785, 0.31, Numeral, va="baseline", weight="bold")
        rows = {"sum": 0.286, "divergence": 0.286, "clipping": 0.254, "rounding": 0.222, "theory": 0.19, "path": 0.19}
        self.keys = {name: self._text(figure, 0.665, y, text=THRESHOLD["keys"][name]) for name, y in rows.items()}
        for name, key in self.keys.items():
            key.set_color(CLIPPED_TEXT if name == "clipping" else CURVES[name][1])
        self.facts = [self._text(figure, 0.98, y, ha="right", fontsize=11) for y in (0.14, 0.095, 0.05)]

    def _panel(self, figure) -> None:
        axes = figure.add_axes((0.765, 0.415, 0.215, 0.32))
        axes.set(xlim=(0, 1.01), yscale="log", ylim=(THINNEST, DENSEST), xticks=[0, 0.5, 1], yticks=[])
        axes.minorticks_off()
        axes.set(xlabel=THRESHOLD["panel_axis"], ylabel=THRESHOLD["panel_density"])
        figure.text(0.98, 0.875, THRESHOLD["panel"], ha="right", va="center")
        self.before = self._add(axes.stairs([0], [0, 1], baseline=THINNEST, fill=True, color=FLOAT, alpha=0.5))
        self.after = self._add(axes.stairs([0], [0, 1], baseline=THINNEST, color=QUANTIZED, linewidth=1.8))
        self.panel_keys = [
            self._text(figure, 0.98, y, ha="right", fontsize=11, color=colour)
            for y, colour in ((0.83, FLOAT), (0.785, QUANTIZED_TEXT))
        ]

    def _add(self, artist):
        """Have the artist drawn anew for every picture, after those before it."""
        self.moving.append(artist)
        return artist

    def _text(self, place, x: float, y: float, kind: type[Label] = Label, **looks) -> Label:
        looks = {"ha": "left", "va": "center", "fontsize": SMALL} | looks
        return self._add(place.add_artist(kind(x, y, **looks)))

    def show(self, view: View) -> None:
        """Move every artist to where this view has it."""
        layer = view.layer
        self.bars.set_data(layer.heights)
        for method in METHODS:
            self._show_row(view, method)
        self.hatch.set(x=view.end, width=100 - view.end)
        self.hand.set_xdata([view.end, view.end])
        self.hand_share.set_text(f"{number(view.end)} %")
        self._show_curves(view)
        for patch, (density, edges) in zip((self.before, self.after), outlines(view), strict=True):
            patch.set_data(np.maximum(density, THINNEST), edges)
        errors = view.clipping, view.rounding, view.clipping + view.rounding
        zeros = THRESHOLD["zeros"].format(zeros=share(layer.zeros)) if layer.zeros else ""
        for texts, words in (
            (self.panel_keys, THRESHOLD["kl_panel" if view.divergence else "other_panel"]),
            (self.numbers, (number(view.hand), share(view.clipped), *map(number, errors))),
            (self.facts, (layer.name, THRESHOLD["largest"].format(largest=number(layer.reach)), zeros)),
        ):
            for text, word in zip(texts, words, strict=True):
                text.set_text(word)

    def _show_row(self, view: View, method: str) -> None:
        found, explained = view.found[method], method == view.method
        line, name, percent = self.rows[method]
        at = view.layer.percent(found.value) if found else np.nan
        line.set(xdata=[at, at], linewidth=3 if explained else 1.1, markersize=9 if explained else 5)
        line.set_linestyle("-" if explained else STYLES[method])
        for artist in (line, name, percent):
            artist.set_color(QUANTIZED_TEXT if explained else GUIDE)
        for text in (name, percent):
            text.set_weight("bold" if explained else "normal")
        name.set_text(view.name(method))
        percent.set_text(share(at / 100) if found else "–")

    def _show_curves(self, view: View) -> None:
        """Draw the curves in multiples of the least, on a logarithmic scale."""
        layer, at = view.layer, view.layer.percent(view.chosen.value)
        self.unit.set_text(THRESHOLD["unit_kl" if view.divergence else "unit_mse"])
        for name, line in self.curves.items():
            shown = name in view.curves
            line.set_visible(shown)
            self.keys[name].set_visible(shown and name != "divergence")
            if shown:
                x, y = view.curves[name]
                line.set_data(layer.percent(x), y / view.least)
        if view.divergence:
            self.keys["divergence"].set_visible(not np.all(np.isfinite(view.chosen.curve)))
        self.chosen_line.set_xdata([at, at])
        self.hand_line.set_xdata([view.end, view.end])
        for mark, place, value in ((self.chosen, at, view.at_chosen), (self.here, view.end, view.at_hand)):
            mark.set_data([place], [np.clip(value / view.least, LEAST, MOST)])
        self.here.set_marker("^" if view.at_hand / view.least > MOST else "o")  # the curve is above the picture
        self.times.set_text(number(view.at_hand / view.least))
