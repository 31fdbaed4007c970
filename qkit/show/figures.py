"""Figures: arrays in, a :class:`qkit.show.Picture` out, with words for it. The lesson's numbers come from outside."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter
from matplotlib.transforms import offset_copy

from qkit.numeric import Accuracy, Histogram, Mean, Threshold
from qkit.numeric.affine import reals
from qkit.show.numerals import percent, with_interval
from qkit.show.picture import CLIPPED, ERROR, FLOAT, GOOD, GUIDE, QUANTIZED, QUANTIZED_TEXT, picture

COLOURS = QUANTIZED, GOOD, CLIPPED, "black", "#56B4E9", ERROR, "#999999", QUANTIZED_TEXT
MARKERS = "osD^vP<*h"
STYLES = "-", "--", "-.", ":", (0, (6, 2)), (0, (4, 1, 1, 1)), (0, (2, 2)), (0, (8, 3)), (0, (8, 2, 2, 2, 2, 2))
"""Of the curves of a figure, in their order. Nine markers for eight colours: no two of 72 curves look the same."""

BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}  # where a legend covers nothing


@picture
def curves(
    x: Sequence[float] | None,
    lines: Mapping[str, Sequence[float] | Sequence[Accuracy]],
    *,
    xlabel: str,
    ylabel: str = "",
    log: str = "",
    reference: Mapping[str, float | Sequence[float] | Accuracy] | None = None,
) -> tuple[Figure, str]:
    """Draw a line for each of ``lines`` against ``x``: numbers, or accuracies with their 95 % intervals.

    Of accuracies the wrong answers are drawn, on a logarithmic axis: one per cent and fifty are both to be seen. It
    reaches up to guessing where more than a tenth is wrong anywhere, else as far as intervals do. Where ``x`` falls, as
    bits often do, its axis does too; ``None`` counts the values of each line: 1, 2, 3… ``log`` names the logarithmic
    axes, ``"xy"`` both. A number of ``reference`` is a thin line, an accuracy has a band; an array is a dashed curve,
    with ``lines`` as points beside it. Taught in notebook 02, sections 5 and 6; 03, 5 and 6; 04, 5 and 8; 07, 5 and
    6; 08, 3.

    Examples
    --------
    >>> curves([2, 4, 8], {"measured": [0.3, 0.02, 0.0001]}, xlabel="bits", ylabel="error", log="y")
    Error against bits. measured: 0.3 at 2, 0.0001 at 8.
    """
    lines, reference = {name: list(values) for name, values in lines.items()}, reference or {}
    longest = max(lines.values(), key=len)
    accuracies = isinstance(longest[0], Accuracy)
    x = np.arange(len(longest)) + 1 if x is None else np.asarray(x)
    axes = Figure(figsize=(9.2, 4 if accuracies else 3.6)).subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, **{f"{axis}scale": "log" for axis in log})
    what, form = ylabel[:1].upper() + ylabel[1:], "{:.3g} at {:g}, {:.3g} at {:g}"
    said, theory = [], {}
    for (name, value), style in zip(reference.items(), cycle(STYLES), strict=False):
        if isinstance(value, Accuracy):
            axes.axhspan(*np.subtract(1, value.interval), color=FLOAT, alpha=0.15)
            axes.axhline(1 - value.value, color=FLOAT, lw=1.5, label=f"{name}, 95 % interval")
            said.append(f"{name}: {percent(value.value)} right")
        elif np.ndim(value):
            axes.plot(x, value, "--", color=GUIDE, lw=2, label=name)
            theory[name] = list(value)
        else:
            axes.axhline(value, color=GUIDE, lw=1, ls=style, label=name)
    if accuracies:
        what, form = "Wrong answers", "{} right at {:g}, {} at {:g}"
        drawn = [each for each in chain(reference.values(), *lines.values()) if isinstance(each, Accuracy)]
        ends = 1 - np.array([each.interval for each in drawn])
        worst, best = ends.max(), ends[ends > 0].min()
        if worst > 0.1:
            axes.axhline(0.9, color=GUIDE, lw=1.5, ls=":", label="guessing")
    for place, ((name, values), colour, marker, style) in enumerate(_looks(lines)):
        # Few points have markers, and stand alone beside a theory; many have a line style.
        looks = {"ls": style, "lw": 2}
        if len(values) <= 20:
            looks = {"marker": marker, "mfc": "white", "mew": 2, "ms": 7, "ls": "" if theory else "-"}
        shown = [1 - each.value for each in values] if accuracies else values
        (line,) = axes.plot(x[: len(values)], shown, color=colour, label=name, **looks)
        if accuracies:
            _set_aside(line, values, place, len(lines))
        first, last = (percent(each.value) if accuracies else each for each in (values[0], values[-1]))
        said.append(f"{name}: " + form.format(first, x[0], last, x[len(values) - 1]))
        for other, expected in theory.items():
            said[-1] += f", {values[0] / expected[0]:.2f} and {values[-1] / expected[-1]:.2f} times {other}"
    if accuracies:
        axes.set(ylabel="wrong answers (log scale)", yscale="log")
        axes.yaxis.set(major_formatter=lambda share, place: f"{100 * share:g} %", minor_formatter="")
        if worst > 0.1:
            axes.set(ylim=(None, 1.1), yticks=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
        else:
            axes.set(ylim=(None, 1.05 * worst))
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_ylim(bottom=min(axes.get_ylim()[0], 0.9 * best))
    if len(x) <= 20 and np.all(x == np.round(x)):
        axes.xaxis.set(ticks=x, major_formatter="{x:,.0f}")
    if x[0] > x[-1]:
        axes.invert_xaxis()
    axes.legend(**BESIDE)
    return axes.figure, f"{what} against {xlabel}. {'; '.join(said)}."


@picture
def frontier(points: Mapping[str, Sequence[tuple[int, Accuracy] | tuple[float, Mean]]]) -> tuple[Figure, str]:
    """Draw what networks lose against what they store, with 95 % intervals. Taught in notebook 10, section 8; 11, 4.

    ``points`` has for each family its networks, which a line connects: as (bytes, accuracy), drawn as wrong answers; or
    as (bits per weight, rise in bits per character). Axes are logarithmic, that of the rise is linear up to 0.01.
    """
    axes, said = Figure(figsize=(9.2, 4.6)).subplots(), []
    in_bytes = any(isinstance(each, Accuracy) for family in points.values() for _, each in family)
    # First the axes: once matplotlib has settled limits, another scale leaves them as they are.
    if in_bytes:
        axes.set(xlabel="bytes (log scale)", xscale="log", ylabel="wrong answers (log scale)", yscale="log")
        in_percent = PercentFormatter(1.0, decimals=1, symbol=" %")
        axes.yaxis.set(major_formatter=in_percent, minor_formatter=in_percent)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axes.set(xlabel="bits per weight (log scale)", xscale="log", xticks=range(2, 10))
        axes.set_ylabel("rise in bits per character\n(log scale above 0.01)")
        axes.set_yscale("symlog", linthresh=0.01)
        axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set(major_formatter="{x:,.0f}", minor_formatter="")
    for (name, family), colour, marker, _ in _looks(points):
        sizes, found = zip(*sorted(family, key=lambda point: point[0]), strict=True)
        lost, (low, high) = np.array([each.value for each in found]), np.transpose([each.interval for each in found])
        if in_bytes:
            lost, low, high = 1 - lost, 1 - high, 1 - low
        looks = {"color": colour, "marker": marker, "mfc": "white", "mew": 2, "ms": 7, "capsize": 3}
        axes.errorbar(sizes, lost, [lost - low, high - lost], label=name, **looks)
        right = f"{percent(1 - lost[0])} right in {sizes[0]:,} bytes"
        said.append(f"{name}: {right if in_bytes else f'{lost[0]:+.3f} in {sizes[0]:g} bits'}")
    axes.legend(**BESIDE)
    what = "Wrong answers against bytes" if in_bytes else "Rise in bits per character against bits per weight"
    return axes.figure, f"{what}; the smallest of each family: {'; '.join(said)}."


@picture
def criterion(thresholds: Mapping[str, Threshold], label: str) -> tuple[Figure, str]:
    """Draw what a method minimises against the threshold, a curve for each of ``thresholds``, minima marked.

    On the logarithmic axis 0 and infinity are not drawn, not even as minima. Taught in notebook 04, sections 3 and 4.
    """
    axes = Figure(figsize=(9.2, 3.6)).subplots()
    for (name, threshold), colour, _, style in _looks(thresholds):
        drawable = np.isfinite(threshold.curve) & (threshold.curve > 0)
        if not drawable.any():
            raise ValueError(f"{name!r} has no curve to draw: {threshold}")
        axes.plot(threshold.candidates[drawable], threshold.curve[drawable], color=colour, ls=style, lw=2, label=name)
        best = threshold.curve[np.argmin(np.abs(threshold.candidates - threshold.value))]
        if best > 0:
            axes.plot(threshold.value, best, "o", color=colour, mfc="white", mew=2, ms=9)
    axes.set(yscale="log", xlabel="threshold", ylabel=label)
    low, high = axes.get_ylim()
    if high < 10 * low:
        axes.yaxis.set(major_formatter="{x:g}", minor_formatter="{x:g}")
    axes.legend(**BESIDE)
    said = "; ".join(f"{name}: minimum at {threshold.value:.3g}" for name, threshold in thresholds.items())
    return axes.figure, f"{label} against the threshold. {said}."


@picture
def chosen(histogram: Histogram, thresholds: Mapping[str, Threshold]) -> tuple[Figure, str]:
    """Draw magnitudes, without exact zeros, and the threshold of every method. Taught in notebook 04, section 7."""
    axes = Figure(figsize=(9.2, 3.6)).subplots()
    counts = np.maximum(histogram.nonzero_counts, 0.5)
    axes.stairs(counts, histogram.edges, fill=True, baseline=0.5, color=FLOAT, alpha=0.4)
    for (name, threshold), colour, _, style in _looks(thresholds):
        label = f"{name} ({percent(threshold.value / histogram.stop, 0)})"
        axes.axvline(threshold.value, color=colour, ls=style, lw=2.2, label=label)
    axes.set(yscale="log", xlabel="magnitude", xlim=(0, 1.03 * histogram.stop))
    axes.set(ylabel="values in a bin", ylim=(0.5, None))
    axes.legend(**BESIDE, title="threshold\n(share of the largest)")
    said = "; ".join(f"{name} {threshold.value:.3g}" for name, threshold in thresholds.items())
    zeros = percent(histogram.zeros / histogram.count, 0)
    return axes.figure, f"Histogram of magnitudes ({zeros} exact zeros not drawn) and the thresholds: {said}."


@picture
def histograms(counted: Mapping[str, Histogram], label: str) -> tuple[Figure, str]:
    """Draw histograms in rows of three, each with its range; exact zeros, which grids represent for free, stand apart.

    ``label`` says what the values are, such as ``"weight"``. Taught in notebook 03, sections 2 and 3; 07, 6.
    """
    columns = min(3, len(counted))
    figure, panels = _panels(len(counted), columns, 9.2 / columns, 2.5)
    said = []
    for axes, (name, histogram) in zip(panels, counted.items(), strict=True):
        counts, low, high = histogram.nonzero_counts, histogram.range.low, histogram.range.high
        # About 96 bars are left to draw.
        starts = np.arange(0, len(counts), max(1, len(counts) // 96))
        counts, edges = np.add.reduceat(counts, starts), np.append(histogram.edges[starts], histogram.edges[-1])
        axes.stairs(counts / max(1, counts.max()), edges, fill=True, color=FLOAT, alpha=0.5)
        axes.plot([low, high], [0.02, 0.02], "|", color=ERROR, ms=16, mew=2)
        axes.set(title=name, xlabel=label, ylabel="how many", yticks=[], ylim=(0, 1.12))
        zeros = histogram.zeros / histogram.count
        if zeros > 0.001:
            axes.set_title(f"{name}, {percent(zeros, 0)} zeros not drawn", fontsize=11)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.spines["left"].set_visible(False)
        said.append(f"{name} from {low:.3g} to {high:.3g}, {percent(zeros, 0)} exact zeros")
    return figure, f"Histograms of {label}s; marks show the smallest and largest value. {'; '.join(said)}."


@picture
def training_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[Figure, str]:
    """Draw loss and accuracy of one or two networks, as Keras records them. Taught in notebook 01, section 3."""
    figure, said = Figure(figsize=(9, 3.5)), []
    left, right = figure.subplots(1, 2)
    for (name, history), colour, marker in zip(histories.items(), ("#56B4E9", FLOAT), "os", strict=False):
        epochs = np.arange(len(history["loss"])) + 1
        for axes, key in ((left, "loss"), (right, "accuracy")):
            axes.plot(epochs, history[key], marker + "--", color=colour, label=f"{name}, training", mfc="white")
            axes.plot(epochs, history[f"val_{key}"], marker + "-", color=colour, label=f"{name}, validation")
            axes.set(xlabel="epoch", xticks=epochs)
        first, last = (percent(history["val_accuracy"][epoch]) for epoch in (0, -1))
        said.append(f"{name}: validation accuracy {first} after one epoch, {last} after {len(epochs)}")
    left.set(ylabel="loss (cross-entropy, nats)", ylim=(0, None))
    right.set_ylabel("accuracy")
    right.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    right.legend(loc="lower right", fontsize=10)
    return figure, f"Training curves. {'; '.join(said)}."


@picture
def accuracy_intervals(rows: Mapping[str, Accuracy]) -> tuple[Figure, str]:
    """Draw accuracies with their 95 % intervals, one row each. Taught in notebook 01, section 4."""
    axes = Figure(figsize=(9, 0.55 * len(rows) + 1.2)).subplots()
    for place, accuracy in enumerate(rows.values()):
        axes.plot(accuracy.interval, [place, place], color=FLOAT, lw=3, solid_capstyle="butt")
        axes.plot(accuracy.value, place, "o", color=FLOAT, mfc="white", ms=9, mew=2)
    axes.set(yticks=range(len(rows)), yticklabels=rows, ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("accuracy, with 95 % interval")
    axes.grid(axis="x", color="#dddddd")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1, symbol=" %"))
    said = [f"{name}: {with_interval(each)}" for name, each in rows.items()]
    return axes.figure, f"Accuracies with 95 % intervals. {'; '.join(said)}."


@picture
def confusion(labels: np.ndarray, predicted: np.ndarray) -> tuple[Figure, str]:
    """Draw how often each digit is called each name; the right answers on the diagonal are greyed.

    ``labels`` and ``predicted``, (n,), are digits from 0 to 9; a ValueError if not. Taught in notebook 01, section 5.
    """
    one_each = "9, one for each image, as .argmax(axis=1) of probabilities is"
    labels = _whole(labels, "labels", (len(labels),), 9, one_each)
    predicted = _whole(predicted, "predicted", labels.shape, 9, one_each)
    counts = np.histogram2d(labels, predicted, bins=np.arange(11))[0].astype(int)
    wrong = counts - np.diag(np.diag(counts))
    axes = Figure(figsize=(6.6, 5.8)).subplots()
    axes.imshow(wrong, cmap="Oranges", vmax=max(1, wrong.max()))
    _write_cells(axes, counts, np.where(np.eye(10), GUIDE, ""), fontsize=9)
    _write_cells(axes, wrong, np.where(wrong > 0.6 * wrong.max(), "white", np.where(wrong, "black", "")))
    axes.set(xlabel="the network says", ylabel="label", xticks=range(10), yticks=range(10))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    most = f" The most frequent mistake: a {row} called {column}, {wrong.max()} times." if wrong.any() else ""
    return axes.figure, (
        f"Confusion matrix of {len(labels):,} images: {np.trace(counts):,} on the diagonal are right, {wrong.sum():,} "
        f"are wrong.{most}"
    )


@picture
def bytes_by_layer(names: Sequence[str], before: Sequence[int], after: Sequence[int]) -> tuple[Figure, str]:
    """Draw the bytes of each layer's parameters as float32 and with 8-bit weights. Taught in notebook 01, section 6."""
    axes = Figure(figsize=(9, 0.75 * len(names) + 1.1)).subplots()
    place, quantized = np.arange(len(names)), {"color": QUANTIZED, "hatch": "///", "ec": "white", "label": "8 bit"}
    for aside, count, looks in ((-0.2, before, {"color": FLOAT, "label": "float32"}), (0.2, after, quantized)):
        axes.bar_label(axes.barh(place + aside, np.array(count) / 1e3, 0.38, **looks), fmt="%.1f", padding=3)
    axes.set(yticks=place, yticklabels=names, xlabel="kilobytes", xmargin=0.1)
    axes.invert_yaxis()
    axes.legend(loc="upper right")
    said = "; ".join(f"{n}: {b:,} bytes, {a:,} at 8 bit" for n, b, a in zip(names, before, after, strict=True))
    return axes.figure, f"Bytes of the parameters by layer. {said}."


@picture
def digit_grid(images: np.ndarray, labels: Sequence, name: str) -> tuple[Figure, str]:
    """Draw images (n, 28, 28) side by side, each under its label: a digit, or words in a line or two.

    Ten or fewer are drawn twice as large. Taught in notebook 01, sections 1 and 5.
    """
    columns = 10 if len(images) > 10 else 5
    figure, panels = _panels(len(images), columns, 8.5 / columns, 9.5 / columns, title=0.4)
    figure.suptitle(name)
    for axes, image, label in zip(panels, images, labels, strict=True):
        _ink_on_paper(axes, image)
        axes.set_title(str(label), loc="center", pad=2)
    said = ", ".join(" ".join(str(label).split()) for label in labels)
    return figure, f"{name}: {len(images)} images, each under its label: {said}."


@picture
def pixel_values(image: np.ndarray) -> tuple[Figure, str]:
    """Draw an image with the grey level of every pixel written into it.

    ``image``, (rows, columns), holds whole numbers from 0, paper, to 255, ink; a ValueError if not. Taught in notebook
    00, section 3.
    """
    image = _whole(image, "image", np.shape(image)[:2], 255, "255 (rows, columns)")
    rows, columns = image.shape
    axes = Figure(figsize=(8.6, 8.2)).subplots()
    _ink_on_paper(axes, image)
    _write_cells(axes, image, np.where(image > 127, "white", np.where(image, "black", "")), fontsize=7)
    axes.set(xlabel="column", ylabel="row", xticks=range(0, columns, 3), yticks=range(0, rows, 3))
    return axes.figure, (
        f"One digit, {rows} rows by {columns} columns, with its grey levels written in: 0 (not written) is paper, "
        f"255 is full ink. {np.count_nonzero(image)} of {image.size} pixels have ink."
    )


@picture
def ruler(values: np.ndarray, scale: float) -> tuple[Figure, str]:
    """Draw each value above a ruler with marks ``scale`` apart, and an arrow to the mark nearest to it.

    ``values`` are finite; a ValueError if not, or if there would be over 100 marks. Taught in notebook 00, section 2.
    """
    values = reals(values, "values").ravel()
    if not (scale > 0 and np.ptp(np.round(values / scale)) < 100):
        raise ValueError(f"scale must be large enough for a ruler of 100 marks, got {scale!r} for {values.tolist()}")
    marks = np.round(values / scale).astype(int)
    shown = np.arange(marks.min() - 1, marks.max() + 2)
    left, right = shown[0] * scale, shown[-1] * scale
    axes = Figure(figsize=(9, 2.8)).subplots()
    axes.hlines(0, left, right, color=GUIDE, lw=1)
    axes.vlines(shown * scale, -0.12, 0.12, color=QUANTIZED, lw=2)
    for mark in shown:
        axes.text(mark * scale, -0.2, f"{mark}", ha="center", va="top", color=QUANTIZED_TEXT, weight="bold")
    arrow = {"arrowstyle": "-|>", "color": ERROR, "lw": 1.3, "shrinkA": 4, "shrinkB": 1}
    for value, mark in zip(values, marks, strict=True):
        axes.annotate("", (mark * scale, 0.12), (value, 1), arrowprops=arrow)
        axes.text(value, 1.13, f"{value:g}", ha="center", va="bottom", color=FLOAT)
    axes.plot(values, np.ones(len(values)), "o", color=FLOAT)
    axes.set(ylim=(-0.85, 1.5), yticks=[], xlabel="real number")
    axes.spines["left"].set_visible(False)
    axes.text(left, 1, "real values", color=FLOAT, va="center")
    axes.text(left, -0.5, "integers that are stored", color=QUANTIZED_TEXT, va="center")
    pairs = ", ".join(f"{value:g} to {mark}" for value, mark in zip(values, marks, strict=True))
    return axes.figure, f"A ruler with marks {scale:g} apart. Each real value goes to its nearest mark: {pairs}."


@picture
def convolution(image: np.ndarray, kernel: np.ndarray, result: np.ndarray, row: int, column: int) -> tuple[Figure, str]:
    """Draw one step of a convolution: the window of ``image`` at (row, column). Taught in notebook 01, section 2."""
    height, width = kernel.shape
    shown = (image, "image", (height, width)), (kernel, "kernel: multiply", None), (result, "result: add up", (1, 1))
    figure = Figure(figsize=(9.5, 3.4))
    figure.get_layout_engine().set(wspace=0.12)
    panels = figure.subplots(1, 3, width_ratios=[array.shape[1] for array, *_ in shown])
    for axes, (array, title, framed) in zip(panels, shown, strict=True):
        bottom, right = np.subtract(array.shape, 0.5)
        axes.set(xlim=(-0.55, right + 0.05), ylim=(bottom + 0.05, -0.55), aspect="equal", title=title)
        axes.set_axis_off()
        axes.hlines(np.arange(-0.5, bottom + 1), -0.5, right, color="#cccccc", lw=1)
        axes.vlines(np.arange(-0.5, right + 1), -0.5, bottom, color="#cccccc", lw=1)
        _write_cells(axes, array, np.full(array.shape, "black"), fontsize=12)
        if framed:
            down, across = framed
            x, y = column - 0.5 + np.array([0, across, across, 0, 0]), row - 0.5 + np.array([0, 0, down, down, 0])
            axes.plot(x, y, color=ERROR, lw=2.5, clip_on=False)
    return figure, (
        f"The {height} × {width} window of the image at row {row}, column {column}, multiplied number by number with "
        f"the kernel and added up, gives {result[row, column]:g}."
    )


def _looks(lines: Mapping) -> Iterator[tuple]:
    """Return each line with a colour, a marker and a style of its own."""
    return zip(lines.items(), cycle(COLOURS), cycle(MARKERS), cycle(STYLES))


def _set_aside(line: Line2D, accuracies: Sequence[Accuracy], place: int, count: int) -> None:
    """Move a line of wrong answers a little, so that the intervals of ``count`` lines do not hide one another."""
    axes, points = line.axes, min(9, 42 / max(1, count - 1)) * (place - (count - 1) / 2)
    aside = offset_copy(axes.transData, axes.figure, points, units="points")
    line.set_transform(aside)
    axes.margins(x=0.08)
    ends = 1 - np.array([each.interval for each in accuracies]).T
    axes.vlines(line.get_xdata(), *ends, line.get_color(), lw=2, zorder=1, transform=aside)


def _panels(count: int, columns: int, width: float, height: float, title: float = 0.0) -> tuple[Figure, np.ndarray]:
    """Return a figure and ``count`` axes in rows of ``columns``, each some inches wide and high."""
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(columns * width, rows * height + title))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_axis_off()
    return figure, panels[:count]


def _whole(x: np.ndarray, name: str, shape: tuple[int, ...], most: int, wanted: str) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype.kind not in "iu" or x.shape != shape or np.any((x < 0) | (x > most)):
        raise ValueError(f"{name} must be whole numbers from 0 to {wanted}, got {x.dtype} of shape {x.shape}")
    return x


def _write_cells(axes: Axes, numbers: np.ndarray, inks: np.ndarray, **looks) -> None:
    """Write each number into its cell of an image, in its ink, where it has one."""
    for (row, column), ink in np.ndenumerate(inks):
        if ink:
            axes.text(column, row, f"{numbers[row, column]:g}", ha="center", va="center", color=ink, **looks)


def _ink_on_paper(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="Greys", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#bbbbbb")


__all__ = sorted(name for name, drawn in globals().items() if hasattr(drawn, "__wrapped__"))


def __dir__() -> list[str]:
    return __all__
