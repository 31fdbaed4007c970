"""The picture of the comparison: accuracies of all methods, won and lost images by digit, and some of these images."""

from itertools import zip_longest

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from qkit.show.canvas import Pixels, framed, label, named_numbers, number, p_value, points, round_up
from qkit.show.picture import GOOD, GUIDE
from qkit.show.words.explorers import COMPARISON

FIRST, SECOND = "black", GOOD
"""The colours of the two methods, everywhere in the picture."""

TICKS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
"""Wrong answers in per cent."""

TILE, GAP, LEFT = 0.82, 0.07, 1.8
"""In inches: an image, the gap after it, and where the first one begins."""


class Parts:
    """The artists: numbers on top, a row for each method, two bars for each digit, and a strip of images."""

    def __init__(self, figure, images: np.ndarray, measured, most_shown: int):
        self.images, self.black, self.most_shown = images, images.max() or 1, most_shown
        columns = np.linspace(0.09, 0.88, 5)
        _, self.numbers = named_numbers(
            figure, columns, 0.985, COMPARISON["tiles"], [GUIDE, SECOND, FIRST, GUIDE, GUIDE]
        )
        self._rows(figure, measured)
        self._digits(figure, measured)
        self._strip(figure)
        self.moving = [
            self.grid,
            *self.ticks,
            *self.intervals,
            *self.marks,
            self.other_seeds,
            *self.values,
            *self.names,
            *self.bars,
            *self.legends,
            *self.ends,
            self.pixels,
            *self.heads,
            *[text for row in self.answers for text in row],
            *self.numbers,
        ]

    def _rows(self, figure, measured) -> None:
        axes = figure.add_axes((0.2, 0.475, 0.4, 0.355))
        self.methods = {method: place for place, method in enumerate(measured.methods)}
        axes.set(xscale="log", ylim=(len(self.methods) - 0.4, -0.6), xticks=[], yticks=[])
        axes.xaxis.set_minor_locator(NullLocator())
        several = len(measured.seeds) > 1
        axes.set_xlabel(COMPARISON["wrong_of_seeds" if several else "wrong"], fontsize=10, labelpad=22)
        # Wilson's interval reaches 0 where no answer is wrong; a logarithmic axis does not.
        self.least = 20 / len(measured.labels)
        self.axes = axes
        self.grid = axes.plot([], [], color="#DDDDDD", linewidth=0.8)[0]
        below = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top", "fontsize": 10}
        self.ticks = [label(axes, 1, -0.03, "", **below) for _ in TICKS]
        beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 10}
        axes.text(1.03, -0.75, COMPARISON["right"], ha="left", color=GUIDE, **beside)
        looks = ((GUIDE, "D", 6), (FIRST, "o", 9), (SECOND, "s", 9))
        self.intervals = [axes.plot([], [], color=c, linewidth=4, solid_capstyle="butt")[0] for c, _, _ in looks]
        self.marks = [
            axes.plot([], [], m, color=c, markersize=size, markerfacecolor="white", markeredgewidth=2)[0]
            for c, m, size in looks
        ]
        self.other_seeds = axes.plot([], [], "o", color=GUIDE, markersize=5, markerfacecolor="none")[0]
        self.names = [label(axes, -0.03, y, name, ha="right", **beside) for name, y in self.methods.items()]
        self.values = [label(axes, 1.03, y, "", ha="left", **beside) for y in self.methods.values()]

    def _digits(self, figure, measured) -> None:
        axes = figure.add_axes((0.735, 0.475, 0.25, 0.285))
        digits = np.arange(measured.classes)
        axes.set(xlim=(-0.7, digits[-1] + 0.7), ylim=(-1, 1), yticks=[-1, 0, 1], xticks=digits)
        axes.set_xlabel(COMPARISON["digit"], fontsize=10)
        axes.set_yticklabels(["", "0", ""])
        axes.axhline(0, color=GUIDE, linewidth=0.8)
        self.edges = np.stack([digits - 0.38, digits + 0.38], axis=1).ravel()
        nothing = np.zeros(len(self.edges) - 1)
        self.bars = [axes.stairs(nothing, self.edges, fill=True, color=colour) for colour in (FIRST, SECOND)]
        self.ends = [label(axes, -0.95, y, "", ha="right", va="center") for y in (-1, 1)]
        at = {"transform": axes.transAxes, "ha": "left", "fontsize": 10}
        self.legends = [label(axes, 0, y, "", color=c, **at) for y, c in ((1.05, FIRST), (1.17, SECOND))]

    def _strip(self, figure) -> None:
        width, height = figure.get_size_inches()
        pitch = TILE + GAP
        bottom = 0.8
        axes = figure.add_axes((LEFT / width, bottom / height, self.most_shown * pitch / width, pitch / height))
        axes.set_axis_off()
        self.pixels = Pixels(axes)
        figure.text(LEFT / width, (bottom + pitch + 0.12) / height, COMPARISON["strip"], va="center", fontsize=10)
        rows = (bottom - np.array([0.09, 0.33, 0.57])) / height
        colours = GUIDE, FIRST, SECOND
        self.heads = [
            label(figure, (LEFT - 0.15) / width, y, "", ha="right", va="center", fontsize=10, color=colour)
            for y, colour in zip(rows, colours, strict=True)
        ]
        self.heads[0].set_text(COMPARISON["label"])
        middles = (LEFT + TILE / 2 + pitch * np.arange(self.most_shown)) / width
        self.answers = [
            [label(figure, x, y, "", ha="center", va="center", color=colour) for x in middles]
            for y, colour in zip(rows, colours, strict=True)
        ]

    def show(self, compared) -> None:
        """Move every artist to where this comparison has it."""
        self._show_rows(compared)
        self._show_digits(compared)
        self._show_strip(compared)
        tell(self.numbers, compared)

    def _show_rows(self, compared) -> None:
        pair, seed = (compared.first, compared.second), compared.seed
        spans = {method: self._span(found[seed]) for method, found in compared.accuracies.items() if seed in found}
        for text, name, method in zip(self.values, self.names, self.methods, strict=True):
            colour = SECOND if method == compared.second else FIRST if method == compared.first else GUIDE
            text.set_text(f"{100 * compared.accuracies[method][seed].value:.2f}" if method in spans else "–")
            for each in (text, name):
                each.set(color=colour, weight="bold" if method in pair else "normal")
        groups = [method for method in spans if method not in pair], [compared.first], [compared.second]
        for interval, mark, group in zip(self.intervals, self.marks, groups, strict=True):
            places = np.array([self.methods[method] for method in group])
            low, middle, high = np.array([spans[method] for method in group]).reshape(-1, 3).T
            gaps = np.full(len(group), np.nan)
            interval.set_data(np.stack([low, high, gaps], axis=1).ravel(), np.repeat(places, 3))
            mark.set_data(middle, places)
        seeds = [
            (self._wrong(accuracy.value), self.methods[method] + 0.3)
            for method, found in compared.accuracies.items()
            for each, accuracy in found.items()
            if each != seed
        ]
        self.other_seeds.set_data(*np.array(seeds).reshape(-1, 2).T)
        self._show_scale([end for span in spans.values() for end in span] + [x for x, _ in seeds])

    def _span(self, accuracy) -> list[float]:
        """Return wrong answers in per cent: the ends of the interval, and between them what was counted."""
        low, high = accuracy.interval
        return [self._wrong(right) for right in (high, accuracy.value, low)]

    def _wrong(self, right: float) -> float:
        return max(100 * (1 - right), self.least)

    def _show_scale(self, wrong: list[float]) -> None:
        """Lay the logarithmic scale over what is drawn, with round ticks."""
        low, high = 0.85 * min(wrong), 1.15 * max(wrong)
        self.axes.set_xlim(low, high)
        ticks = TICKS if high > 10 * low else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        ticks = [tick for tick in ticks if low <= tick <= high]
        self.grid.set_data(np.repeat(ticks, 3), np.tile([-0.6, len(self.methods) - 0.4, np.nan], len(ticks)))
        for text, tick in zip_longest(self.ticks, ticks):
            text.set_text("" if tick is None else number(tick))
            text.set_x(tick or 1)

    def _show_digits(self, compared) -> None:
        most = round_up(max(int(compared.classes.max()), 1))
        for patch, counts, sign in zip(self.bars, compared.classes, (-1, 1), strict=True):
            heights = np.zeros(len(self.edges) - 1)
            heights[::2] = sign * counts / most
            patch.set_data(heights)
        for text in self.ends:
            text.set_text(number(most))
        names = compared.first, compared.second
        for text, name, words in zip(self.legends, names, COMPARISON["only_right"], strict=True):
            text.set_text(words.format(name=name))

    def _show_strip(self, compared) -> None:
        half = self.most_shown // 2
        lost = compared.lost[: self.most_shown - min(len(compared.won), half)]
        won = compared.won[: self.most_shown - len(lost)]
        indices = np.concatenate([lost, won])
        self.pixels.rgba[:] = 255
        for place, index in enumerate(indices):
            grey = np.uint8(255 * (1 - np.clip(self.images[index] / self.black, 0, 1)))
            tile = framed(np.repeat(grey[..., None], 3, axis=-1), TILE, GAP)
            self.pixels.rgba[: len(tile), place * len(tile) : (place + 1) * len(tile)] = tile
        for head, name in zip(self.heads[1:], (compared.first, compared.second), strict=True):
            head.set_text(name)
        answers = compared.answers[:, indices]
        for texts, row in zip(self.answers, answers, strict=True):
            said = [str(digit) for digit in row]
            if texts is not self.answers[0]:
                said = ["✓" if right else digit for digit, right in zip(said, row == answers[0], strict=True)]
            for text, words in zip_longest(texts, said, fillvalue=""):
                text.set_text(words)


def tell(numbers: list, compared) -> None:
    """Write what the paired test says into the texts on top."""
    test = compared.test
    verdict = COMPARISON["shown" if compared.differs else "not_shown"]
    texts = points(test.gain), str(test.only_second), str(test.only_first), p_value(compared.p_value), verdict
    for text, words in zip(numbers, texts, strict=True):
        text.set_text(words)
