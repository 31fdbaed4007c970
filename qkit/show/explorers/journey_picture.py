"""The picture of the journey: what is multiplied, how the sum grows, the steps to int8, the kernels side by side."""

import numpy as np
from matplotlib.patches import Rectangle

from qkit.numeric.fixed_point import RUNTIMES, Requantized
from qkit.numeric.integer_layers import Trace
from qkit.show.canvas import Numeral, Pixels, exact, number
from qkit.show.picture import CLIPPED, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.explorers import JOURNEY
from qkit.show.words.explorers import RUNTIMES as NAMES

RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_WRITTEN = 16
"""Numbers of a window that are written out; of more, only their grey is shown."""

# In inches from the bottom left.
SIDE, GAP, LEFT, BOTTOM = 1.5, 0.25, 0.12, 3.6
STEPS, FOLDED, REAL, TABLE, ROW = 3.05, 2.42, 2.14, 1.62, 0.3
COLUMNS = 0.35, 3.6, 5.3, 6.65, 7.6, 8.6
"""Where the columns of the table stand; the first is aligned left, the others right."""


class Parts:
    """The artists of the picture."""

    def __init__(self, figure):
        self.width, self.height = figure.get_size_inches()
        self._panels(figure)
        self._sum(figure)
        self._steps(figure)
        self._table(figure)
        self.moving = [
            *self.panels,
            self.here,
            *(cell for cells in self.cells for cell in cells),
            *self.sum,
            *self.numbers,
            self.clipped,
            self.folded,
            self.real,
            *(text for row in self.rows for text in row),
        ]

    def _panels(self, figure) -> None:
        self.panels, self.cells = [], []
        for index, title in enumerate(JOURNEY["panels"]):
            axes = self._axes(figure, LEFT + index * (SIDE + GAP), SIDE)
            axes.set_title(title, fontsize=11)
            axes.set(xlim=(0, 1), ylim=(1, 0))
            self.panels.append(Pixels(axes))
            self.cells.append([axes.add_artist(Numeral(ha="center", va="center")) for _ in range(MOST_WRITTEN)])
            if index == 0:
                axes.set_xlabel(JOURNEY["greys"], fontsize=9)
                self.here = axes.add_patch(Rectangle((0, 0), 0, 0, fill=False, edgecolor=QUANTIZED, linewidth=2.5))
            else:
                sign = JOURNEY["signs"][index - 1]
                self._text(figure, LEFT + index * (SIDE + GAP) - GAP / 2, BOTTOM + SIDE / 2, sign, fontsize=15)

    def _sum(self, figure) -> None:
        left = LEFT + 4 * (SIDE + GAP)
        axes = self._axes(figure, left, self.width - left - 0.12)
        axes.set_title(JOURNEY["sum"], fontsize=11)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.06, 1.06))
        axes.set_xlabel(JOURNEY["ends"], fontsize=9)
        self.sum = [
            axes.plot([], [], "--", color=GUIDE, linewidth=1)[0],
            axes.plot([], [], "-", color=QUANTIZED, linewidth=1.5, drawstyle="steps-post")[0],
            axes.plot([], [], "o", color="black", markersize=6)[0],
            axes.plot([], [], "s", color=QUANTIZED, markersize=8, markeredgecolor="black")[0],
        ]

    def _steps(self, figure) -> None:
        """Seven columns, a name above a number each."""
        places = np.linspace(0.75, self.width - 0.75, len(JOURNEY["steps"]))
        for x, name in zip(places, JOURNEY["steps"], strict=True):
            self._text(figure, x, STEPS + 0.17, name, color=GUIDE)
        colours = [GUIDE, GUIDE, "black", "black", QUANTIZED_TEXT, QUANTIZED_TEXT, QUANTIZED_TEXT]
        self.numbers = [
            self._numeral(figure, x, STEPS - 0.1, color=colour, fontsize=14, weight="bold")
            for x, colour in zip(places, colours, strict=True)
        ]
        self.clipped = self._numeral(figure, places[-1], STEPS - 0.36, color=CLIPPED)
        self.folded = self._numeral(figure, 0.3, FOLDED, ha="left", color=GUIDE, fontsize=10)
        self.real = self._numeral(figure, 0.3, REAL, ha="left", color=FLOAT, fontsize=10)

    def _table(self, figure) -> None:
        for x, name, ha in zip(COLUMNS, JOURNEY["table"], ["left"] + 5 * ["right"], strict=True):
            self._text(figure, x, TABLE, name, ha=ha, color=GUIDE)
        self.rows = []
        for index, runtime in enumerate(RUNTIMES):
            y = TABLE - (index + 1) * ROW
            self._text(figure, COLUMNS[0], y, NAMES[runtime], ha="left")
            row = [self._numeral(figure, COLUMNS[0] - 0.12, y, color=QUANTIZED_TEXT)]
            row += [self._numeral(figure, x, y, ha="right") for x in COLUMNS[1:]]
            row.append(self._numeral(figure, COLUMNS[-1] + 0.15, y, color=ERROR, weight="bold"))
            self.rows.append(row)

    def show(self, output: np.ndarray, step: Trace, answers: dict[str, Requantized], beside: float | None) -> None:
        """Move every artist to where this journey has it."""
        self._show_panels(output, step)
        self._show_sum(step)
        self._show_steps(step, beside)
        for row, answer in zip(self.rows, answers.values(), strict=True):
            self._show_row(row, answer, step.requantized)

    def _show_panels(self, output: np.ndarray, step: Trace) -> None:
        *place, channel = step.position
        products = step.q_patch.astype(np.int32) * step.q_weights
        tables = [output[..., channel] if place else output, step.q_patch, step.q_weights, products]
        for panel, cells, table in zip(self.panels, self.cells, map(as_table, tables), strict=True):
            most = max(128, np.nanmax(np.abs(table)))
            panel.rgba = as_grey(table, most, panel.height, panel.width)
            rows, columns = table.shape
            for cell in cells:
                cell.set_visible(False)
            places = np.argwhere(~np.isnan(table)) if table.size <= MOST_WRITTEN else []
            for cell, (row, column) in zip(cells, places, strict=False):
                q = table[row, column]
                cell.set(visible=True, x=(column + 0.5) / columns, y=(row + 0.5) / rows, text=exact(q))
                cell.set(color="white" if q < 0.1 * most else "black", fontsize=11 if most < 1000 else 8)
        rows, columns = as_table(tables[0]).shape
        row, column = place or divmod(channel, columns)
        self.here.set(x=column / columns, y=row / rows, width=1 / columns, height=1 / rows)

    def _show_sum(self, step: Trace) -> None:
        products = step.q_patch.astype(np.int64) * step.q_weights
        sums = step.folded_bias + np.concatenate([[0], np.cumsum(products)])
        low, high = min(0, sums.min()), max(1, sums.max())
        places, heights = np.linspace(0, 1, len(sums)), (sums - low) / (high - low)
        zero, line, start, end = self.sum
        zero.set_data([0, 1], [-low / (high - low)] * 2)
        line.set_data(places, heights)
        start.set_data(places[:1], heights[:1])
        end.set_data(places[-1:], heights[-1:])

    def _show_steps(self, step: Trace, beside: float | None) -> None:
        now = step.requantized
        stations = step.products, step.folded_bias, step.acc, now.product, now.rounded, now.shifted, now.q
        for text, station in zip(self.numbers, stations, strict=True):
            text.set_text(exact(station, 5))
        clipped = now.q != now.shifted
        self.numbers[-1].set_color(CLIPPED if clipped else QUANTIZED_TEXT)
        self.clipped.set_text(JOURNEY["clipped_here"] if clipped else "")
        self.folded.set_text(
            JOURNEY["folded"].format(
                bias=exact(step.q_bias),
                zero_point=exact(step.x_zero_point),
                weights=exact(np.sum(step.q_weights, dtype=np.int64)),
                folded=exact(step.folded_bias),
            )
        )
        self.real.set_text(
            JOURNEY["real" if beside is None else "real_float"].format(
                real=number(step.real), real_hat=number(step.real_hat), value=number(beside or 0)
            )
        )

    def _show_row(self, row: list[Numeral], answer: Requantized, chosen: Requantized) -> None:
        if answer.fixed:
            held = JOURNEY["fixed"].format(m0=answer.fixed.m0, power=number(answer.fixed.shift - 31).translate(RAISED))
        else:
            bits = 32 if answer.runtime == "xnnpack" else 64
            held = JOURNEY["floating"].format(m=f"{answer.multiplier:.8g}", bits=bits)
        halfway = "" if answer.halfway is None else exact(answer.halfway)
        mark = JOURNEY["chosen"] if answer.runtime == chosen.runtime else ""
        other = JOURNEY["other"] if answer.q != chosen.q else ""
        texts = mark, held, exact(answer.product), halfway, exact(answer.rounded), exact(answer.q), other
        for text, words in zip(row, texts, strict=True):
            text.set_text(words)
            text.set_weight("bold" if mark else "normal")

    def _axes(self, figure, left: float, width: float):
        axes = figure.add_axes((left / self.width, BOTTOM / self.height, width / self.width, SIDE / self.height))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color="#bbbbbb")
        return axes

    def _text(self, figure, x: float, y: float, text: str, **looks) -> None:
        figure.text(x / self.width, y / self.height, text, **{"ha": "center", "va": "center"} | looks)

    def _numeral(self, figure, x: float, y: float, **looks) -> Numeral:
        looks = {"ha": "center", "va": "center"} | looks
        return figure.add_artist(Numeral(x / self.width, y / self.height, "", **looks))


def as_table(q: np.ndarray) -> np.ndarray:
    """Return integers in rows and columns, NaN where there is none.

    A window has a row for each place in it and a column for each input channel; a vector is folded to a square.
    """
    if q.ndim == 1:
        columns = int(np.ceil(np.sqrt(len(q))))
        table = np.full(-(-len(q) // columns) * columns, np.nan)
        table[: len(q)] = q
        return table.reshape(-1, columns)
    if q.ndim == 3:
        return (q[..., 0] if q.shape[-1] == 1 else q.reshape(-1, q.shape[-1])).astype(float)
    return q.astype(float)


def as_grey(table: np.ndarray, most: float, height: int, width: int) -> np.ndarray:
    """Return pixels, black for -most, white for most: uint8 RGBA; see-through for NaN."""
    rows, columns = table.shape
    level = np.nan_to_num(127.5 * (1 + table / most), nan=255).astype(np.uint8)
    rgba = np.repeat(level[..., None], 4, axis=-1)
    rgba[..., 3] = np.where(np.isnan(table), 0, 255)
    # Rows, then columns: several times as fast as both in one index.
    return rgba[np.arange(height) * rows // height][:, np.arange(width) * columns // width]
