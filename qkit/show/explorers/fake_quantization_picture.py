"""The pictures of the fake quantization explorer: the staircase with its gradient, and a path through training."""

import numpy as np

from qkit.numeric.affine import dequantize
from qkit.show.canvas import clipped_patch, named_numbers, number, plain_ticks, round_up
from qkit.show.picture import ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.explorers import FAKE_QUANTIZATION

MOST_LEVELS = 12
"""With lines halfway between them: more of these would hide the path."""

MIDPOINT = {"linestyle": ":", "color": GUIDE, "linewidth": 1.2}

KEY = {"loc": "lower left", "borderaxespad": 0, "fontsize": 10, "handlelength": 1.5, "handletextpad": 0.5}
"""How the curves are explained, above their axes."""

COLOURS = [FLOAT, QUANTIZED_TEXT, GUIDE, "black", FLOAT, QUANTIZED_TEXT]
"""Of the numbers on top, in the order of their names."""


class Staircase:
    """The fake quantizer over the identity, below it the two gradients, in both the weight and its update."""

    def __init__(self, figure, left: float, width: float, view: float, ticks: int):
        self.view, words = view, FAKE_QUANTIZATION
        above = figure.add_axes((left, 0.41, width, 0.41))
        below = figure.add_axes((left, 0.12, width, 0.185))
        above.set(xlim=(-view, view), ylim=(-1.35 * view, 1.1 * view), ylabel=words["quantized"])
        below.set(xlim=(-view, view), ylim=(-0.2, 1.5), yticks=[0, 1], xlabel=words["latent"], ylabel=words["slope"])
        plain_ticks(above.yaxis, 4)
        for axes in (above, below):
            plain_ticks(axes.xaxis, ticks)
        above.tick_params(labelbottom=False)
        above.plot([-view, view], [-view, view], "--", color=FLOAT, linewidth=1.2, label=words["identity"])
        self.stairs = above.plot([], [], color=QUANTIZED, linewidth=2.5, label=words["staircase"])[0]
        self.hatches = [clipped_patch(axes) for axes in (above, above, below, below)]
        self.hatches[0].set_label(words["beyond"])
        self.true = below.plot([], [], color=ERROR, linewidth=1.2, label=words["true"])[0]
        self.through = below.plot([], [], "-", color="black", linewidth=2.5, label=words["through"])[0]
        for axes in (above, below):
            axes.legend(bbox_to_anchor=(-0.01, 0.99), ncols=3, columnspacing=1.2, **KEY)
        self.drops = above.plot([], [], ":", color="black", linewidth=1.5)[0]
        self.move = above.plot([], [], "-", color=FLOAT, linewidth=2)[0]
        self.head = above.plot([], [], color=FLOAT, markersize=9)[0]
        self.start = above.plot([], [], "o", color=FLOAT, markersize=9)[0]
        self.landed = above.plot([], [], "s", color="white", markersize=10, markeredgecolor="black")[0]
        self.lands = above.plot([], [], "s", color=QUANTIZED, markersize=10, markeredgecolor="black")[0]
        self.here = below.plot([], [], "o", color=FLOAT, markersize=9)[0]
        self.moving = [
            *self.hatches,
            self.stairs,
            self.drops,
            self.move,
            self.head,
            self.start,
            self.landed,
            self.lands,
            self.true,
            self.through,
            self.here,
        ]

    def show(self, moment) -> None:
        """Move every artist to where this moment has it."""
        far, params = 2 * self.view, moment.params
        spec, low, high = params.spec, params.low, params.high
        levels = dequantize(np.arange(spec.qmin, spec.qmax + 1), params)
        jumps = (levels[1:] + levels[:-1]) / 2
        self.stairs.set_data(np.concatenate([[-far], np.repeat(jumps, 2), [far]]), np.repeat(levels, 2))
        for patch, (left, right) in zip(self.hatches, 2 * [(-far, low), (high, far)], strict=True):
            patch.set(x=left, width=right - left)
        spikes = np.stack([jumps, jumps, jumps], axis=1).ravel()
        self.true.set_data(
            np.concatenate([[-far], spikes, [far]]), np.concatenate([[0], np.tile([0, 2, 0], len(jumps)), [0]])
        )
        self.through.set_data([-far, low, low, high, high, far], [0, 0, 1, 1, 0, 0])

        floor = -1.22 * self.view
        self.drops.set_data(
            [moment.w, moment.w, np.nan, moment.after, moment.after],
            [floor, moment.w_hat, np.nan, floor, moment.after_hat],
        )
        self.move.set_data([moment.w, moment.after], [floor, floor])
        self.head.set_data([moment.after], [floor])
        self.head.set_marker("None" if moment.after == moment.w else ">" if moment.after > moment.w else "<")
        self.start.set_data([moment.w], [floor])
        self.landed.set_data([moment.after], [moment.after_hat])
        self.lands.set_data([moment.w], [moment.w_hat])
        self.here.set_data([moment.w], [float(moment.passes)])


class ByHand:
    """Numbers on top, and the staircase across the picture."""

    def __init__(self, figure, view: float):
        names = FAKE_QUANTIZATION["tiles"]
        columns = np.linspace(0.1, 0.92, len(names))
        _, self.numbers = named_numbers(figure, columns, 0.985, names, COLOURS)
        self.staircase = Staircase(figure, 0.09, 0.89, view, ticks=7)
        self.moving = [*self.staircase.moving, *self.numbers]

    def show(self, moment) -> None:
        """Move every artist to where this moment has it."""
        self.staircase.show(moment)
        tell(self.numbers, moment)


class Replay:
    """Numbers on top, the staircase on the left, and on the right the path of the weight over the training steps."""

    LEFT, WIDTH = 0.575, 0.41

    def __init__(self, figure, path):
        self.path = path
        self.steps = np.arange(len(path.w))
        self.in_steps = path.w / path.scale
        self.qmax = path.at(0).params.spec.qmax
        names = (*FAKE_QUANTIZATION["tiles"], FAKE_QUANTIZATION["jumps_tile"])
        columns = np.linspace(0.08, 0.94, len(names))
        _, self.numbers = named_numbers(figure, columns, 0.985, names, [*COLOURS, ERROR])
        largest = max(np.max(np.abs(path.w)), np.max(path.scale) * self.qmax)
        self.staircase = Staircase(figure, 0.105, 0.365, round_up(1.1 * largest), ticks=4)
        self._paths(figure)
        self._enlarged(figure)
        self.moving = [
            *self.staircase.moving,
            *self.cursors,
            self.quantized,
            self.latent,
            self.inside,
            self.lands,
            *self.here,
            *self.numbers,
        ]

    def _paths(self, figure) -> None:
        """Draw latent and quantized weight, in full colour up to the step, over the levels and what is between."""
        axes, path, words = figure.add_axes((self.LEFT, 0.45, self.WIDTH, 0.37)), self.path, FAKE_QUANTIZATION
        both = np.concatenate([path.w, path.w_hat])
        room = 0.6 * path.scale.max()
        axes.set(xlim=self._limits(), ylim=(both.min() - room, both.max() + room))
        axes.tick_params(labelbottom=False)
        for one in (axes.xaxis, axes.yaxis):
            plain_ticks(one, 5)
        q = np.arange(path.q.min() - 1, path.q.max() + 2)
        q = q[np.abs(q) <= self.qmax]
        looks = {"linestyle": "-", "color": QUANTIZED, "linewidth": 0.8}
        self._curves(axes, q[:, None] * path.scale, **looks, label=words["levels"])
        if len(q) <= MOST_LEVELS:
            self._curves(axes, (q[:-1, None] + 0.5) * path.scale, **MIDPOINT, label=words["midpoints"])
        axes.plot(self.steps, path.w_hat, drawstyle="steps-post", color=QUANTIZED, linewidth=2.5, alpha=0.35)
        axes.plot(self.steps, path.w, color=FLOAT, linewidth=1.5, alpha=0.35)
        self.cursors = [axes.axvline(0, color="black", linewidth=1)]
        self.quantized = axes.plot([], [], drawstyle="steps-post", color=QUANTIZED, linewidth=3, label="ŵ")[0]
        self.latent = axes.plot([], [], color=FLOAT, linewidth=1.8, label="w")[0]
        self.lands = axes.plot([], [], "s", color=QUANTIZED, markersize=10, markeredgecolor="black")[0]
        self.here = [axes.plot([], [], "o", color=FLOAT, markersize=9)[0]]
        axes.legend(bbox_to_anchor=(-0.01, 0.995), ncols=4, columnspacing=1.2, **KEY)

    def _enlarged(self, figure) -> None:
        """Draw the latent weight alone: between two jumps it moves much less than a step."""
        axes = figure.add_axes((self.LEFT, 0.12, self.WIDTH, 0.245))
        low, high = self.in_steps.min(), self.in_steps.max()
        room = 0.15 * (high - low) or 0.5
        axes.set(xlim=self._limits(), ylim=(low - room, high + room), xlabel=FAKE_QUANTIZATION["step"])
        axes.set_title(FAKE_QUANTIZATION["enlarged"], fontsize=10)
        axes.ticklabel_format(useOffset=False)
        axes.locator_params(axis="y", nbins=3)
        plain_ticks(axes.xaxis, 5)
        halfway = np.arange(-self.qmax, self.qmax) + 0.5
        halfway = halfway[(halfway > low - room) & (halfway < high + room)]
        if len(halfway) <= MOST_LEVELS:
            axes.hlines(halfway, *self._limits(), **MIDPOINT)
        axes.plot(self.steps, self.in_steps, color=FLOAT, linewidth=1.5, alpha=0.35)
        self.cursors.append(axes.axvline(0, color="black", linewidth=1))
        self.inside = axes.plot([], [], color=FLOAT, linewidth=1.8)[0]
        self.here.append(axes.plot([], [], "o", color=FLOAT, markersize=9)[0])

    def _limits(self) -> tuple[float, float]:
        return -0.02 * self.steps[-1], 1.02 * self.steps[-1]

    def _curves(self, axes, curves: np.ndarray, **looks) -> None:
        """Draw a curve for each row, all in one line with gaps."""
        y = np.pad(curves, ((0, 0), (0, 1)), constant_values=np.nan).ravel()
        axes.plot(np.tile(np.append(self.steps, np.nan), len(curves)), y, **looks)

    def show(self, moment, step: int) -> None:
        """Move every artist to where this step of the training has it."""
        self.staircase.show(moment)
        until = slice(step + 1)
        for line, values in (
            (self.quantized, self.path.w_hat),
            (self.latent, self.path.w),
            (self.inside, self.in_steps),
        ):
            line.set_data(self.steps[until], values[until])
        for cursor in self.cursors:
            cursor.set_xdata([step, step])
        self.lands.set_data([step], [moment.w_hat])
        for mark, value in zip(self.here, (moment.w, self.in_steps[step]), strict=True):
            mark.set_data([step], [value])
        tell(self.numbers, moment)
        self.numbers[-1].set_text(number(self.path.jumps[step]))


def tell(numbers: list, moment) -> None:
    """Write the numbers of this moment into the texts on top."""
    stations = moment.w, moment.w_hat, moment.params.scale, int(moment.passes), moment.after, moment.after_hat
    for text, station in zip(numbers, stations, strict=False):
        text.set_text(number(station))
