"""Pictures of a network: how it learned, how often it is right, what it weighs."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import ScaledTranslation

from qkit.numeric.accuracy import Accuracy
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, picture


@picture
def training_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> tuple[Figure, str]:
    """Draw loss and accuracy by epoch.

    Parameters
    ----------
    histories : mapping from a network's name to its Keras history
        With ``loss``, ``val_loss``, ``accuracy`` and ``val_accuracy``, one number an epoch.
    """
    figure = Figure(figsize=(9, 3.5))
    left, right = figure.subplots(1, 2)
    sentences = []
    for (name, history), colour, marker in zip(histories.items(), cycle(("#56B4E9", FLOAT)), cycle("os")):
        epochs = np.arange(len(history["loss"])) + 1
        for axes, key in ((left, "loss"), (right, "accuracy")):
            axes.plot(epochs, history[key], marker + "--", color=colour, label=f"{name}, training", mfc="white")
            axes.plot(epochs, history[f"val_{key}"], marker + "-", color=colour, label=f"{name}, validation")
        sentences.append(
            f"{name}: validation accuracy {history['val_accuracy'][0]:.2%} after one epoch, "
            f"{history['val_accuracy'][-1]:.2%} after {len(epochs)}"
        )
    left.set(xlabel="epoch", ylabel="loss (cross-entropy, nats)", ylim=(0, None), xticks=epochs)
    right.set(xlabel="epoch", ylabel="accuracy", xticks=epochs)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    right.legend(loc="lower right", fontsize=10)
    return figure, f"Training curves. {'; '.join(sentences)}."


@picture
def accuracy_intervals(rows: Mapping[str, Accuracy]) -> tuple[Figure, str]:
    """Draw accuracies with their 95 % intervals, one row each."""
    figure = Figure(figsize=(9, 0.55 * len(rows) + 1.2))
    axes = figure.subplots()
    said = []
    for place, (name, accuracy) in enumerate(rows.items()):
        low, high = accuracy.interval
        axes.plot([low, high], [place, place], color=FLOAT, lw=3, solid_capstyle="butt")
        axes.plot([accuracy.value], [place], "o", color=FLOAT, mfc="white", ms=9, mew=2)
        said.append(f"{name}: {accuracy:.2%}, {low:.2%} to {high:.2%}")
    axes.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel="accuracy, with 95 % interval")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="#dddddd")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    return figure, f"Accuracies with 95 % intervals. {'; '.join(said)}."


@picture
def accuracy_by_bits(
    bits: Sequence[int],
    curves: Mapping[str, Sequence[Accuracy]],
    reference: Accuracy,
    label: str = "bits of the weights",
) -> tuple[Figure, str]:
    """Draw the share of wrong answers against bits: a line for each of ``curves``, with its 95 % intervals.

    ``reference`` is the float network's accuracy, a line with a band. The axis is logarithmic: one per cent and
    fifty are both to be seen.
    """
    figure = Figure(figsize=(9.2, 4))
    axes = figure.subplots()
    said, lines = _wrong_answers(axes, bits, curves, reference, label)
    for place, (line, values) in enumerate(zip(lines, curves.values(), strict=True)):
        # Side by side, in points: on top of one another they would hide their intervals.
        aside = ScaledTranslation(9 / 72 * (place - (len(lines) - 1) / 2), 0, figure.dpi_scale_trans)
        line.set_transform(axes.transData + aside)
        ends = 1 - np.array([each.interval for each in values]).T
        axes.vlines(bits, *ends, line.get_color(), lw=2, zorder=1, transform=axes.transData + aside)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, said


@picture
def sqnr_and_accuracy(
    bits: Sequence[int],
    sqnrs: Mapping[str, Sequence[float]],
    accuracies: Mapping[str, Sequence[Accuracy]],
    reference: Accuracy,
    label: str = "bits of the weights",
) -> tuple[Figure, str]:
    """Draw the SQNR, in dB, and beside it the share of wrong answers (as :func:`accuracy_by_bits`) against bits."""
    figure = Figure(figsize=(9.2, 4.8))
    left, right = figure.subplots(1, 2)
    _lines(left, bits, sqnrs)
    left.set(xlabel=label, ylabel="SQNR of the logits, dB", xticks=list(bits))
    left.invert_xaxis()
    said, _ = _wrong_answers(right, bits, accuracies, reference, label)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    ends = "; ".join(f"{name}: {values[0]:.1f} to {values[-1]:.1f} dB" for name, values in sqnrs.items())
    return figure, f"SQNR from {bits[0]} to {bits[-1]} bits. {ends}. {said}"


def _lines(axes, bits: Sequence[int], curves: Mapping[str, Sequence[float]]) -> list[Line2D]:
    colours = (QUANTIZED, "#009E73", "#CC79A7", "#000000", "#56B4E9", "#D55E00")
    styles = zip(curves.items(), cycle(colours), cycle("osD^vP*"))
    return [
        axes.plot(bits, values, marker + "-", color=colour, mfc="white", mew=2, ms=7, label=name)[0]
        for (name, values), colour, marker in styles
    ]


def _wrong_answers(axes, bits, curves, reference: Accuracy, label: str) -> tuple[str, list[Line2D]]:
    """Draw wrong answers against bits; return what is seen, in words, and the lines of the curves."""
    axes.axhspan(*np.subtract(1, reference.interval), color=FLOAT, alpha=0.15)
    axes.axhline(1 - reference.value, color=FLOAT, lw=1.5, label="float, 95 % interval")
    axes.axhline(0.9, color=GUIDE, lw=1.5, ls=":", label="guessing")
    lines = _lines(axes, bits, {name: [1 - each.value for each in values] for name, values in curves.items()})
    axes.set(xlabel=label, ylabel="wrong answers (log scale)", xticks=list(bits), yscale="log")
    axes.set_ylim(None, 1.1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_minor_formatter("")
    axes.set_yticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    axes.invert_xaxis()
    ends = [(name, values[0], values[-1]) for name, values in curves.items()]
    said = "; ".join(f"{name}: {a:.2%} right at {bits[0]} bits, {b:.2%} at {bits[-1]}" for name, a, b in ends)
    return f"Wrong answers against bits. Float: {reference:.2%} right. {said}.", lines


@picture
def confusion(labels: np.ndarray, predicted: np.ndarray) -> tuple[Figure, str]:
    """Draw how often each digit is called each name; the right answers on the diagonal are greyed."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predicted), 1)
    wrong = counts * (1 - np.eye(10, dtype=int))
    figure = Figure(figsize=(6.6, 5.8))
    axes = figure.subplots()
    axes.imshow(wrong, cmap="Oranges", vmax=max(1, wrong.max()))
    for (row, column), count in np.ndenumerate(counts):
        if row == column:
            axes.text(column, row, str(count), ha="center", va="center", color=GUIDE, fontsize=9)
        elif count:
            dark = count > 0.6 * wrong.max()
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    axes.set(xlabel="the network says", ylabel="label", xticks=range(10), yticks=range(10))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    most = f" The most frequent mistake: a {row} called {column}, {wrong[row, column]} times." if wrong.any() else ""
    return figure, (
        f"Confusion matrix of {len(labels):,} images: {np.trace(counts):,} on the diagonal are right, {wrong.sum():,} "
        f"are wrong.{most}"
    )


@picture
def bytes_by_layer(names: Sequence[str], before: Sequence[int], after: Sequence[int]) -> tuple[Figure, str]:
    """Draw the bytes of each layer's parameters as float32 and with 8-bit weights."""
    figure = Figure(figsize=(9, 0.75 * len(names) + 1.1))
    axes = figure.subplots()
    place = np.arange(len(names))
    bars = [
        axes.barh(place - 0.2, np.array(before) / 1e3, 0.38, color=FLOAT, label="float32"),
        axes.barh(place + 0.2, np.array(after) / 1e3, 0.38, color=QUANTIZED, hatch="///", label="8 bit", ec="white"),
    ]
    for group in bars:
        axes.bar_label(group, fmt="%.1f", padding=3)
    axes.set(yticks=place, yticklabels=names, xlabel="kilobytes")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.legend(loc="upper right")
    said = "; ".join(f"{n}: {b:,} bytes, {a:,} at 8 bit" for n, b, a in zip(names, before, after, strict=True))
    return figure, f"Bytes of the parameters by layer. {said}."
