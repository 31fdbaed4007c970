"""Pictures of arrays: histograms side by side, and the two errors that pull a range apart."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qkit.numeric.histogram import Histogram
from qkit.show.picture import CLIPPED, ERROR, FLOAT, GUIDE, QUANTIZED, picture


@picture
def histograms(counted: Mapping[str, Histogram], label: str) -> tuple[Figure, str]:
    """Draw histograms in a row, each with its range; exact zeros, which grids represent for free, stand apart.

    Parameters
    ----------
    counted : mapping of name to Histogram
    label : str
        What the values are: ``"weight"`` or ``"activation"``.
    """
    columns = min(3, len(counted))
    rows = -(-len(counted) // columns)
    figure = Figure(figsize=(9.2, 2.5 * rows))
    sentences = []
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, histogram) in zip(panels, counted.items(), strict=False):
        counts, edges = _coarser(histogram.nonzero_counts, histogram.edges, 96)
        axes.stairs(counts / max(1, counts.max()), edges, fill=True, color=FLOAT, alpha=0.5)
        zeros = histogram.zeros / histogram.count
        axes.set(title=name, xlabel=label, yticks=[], ylim=(0, 1.12))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.spines["left"].set_visible(False)
        ends = (histogram.range.low, histogram.range.high)
        axes.plot(ends, [0.02, 0.02], "|", color=ERROR, ms=16, mew=2)
        if zeros > 0.001:
            axes.set_title(f"{name}, {zeros:.0%} zeros not drawn", fontsize=11)
        sentences.append(f"{name} from {ends[0]:.3g} to {ends[1]:.3g}, {zeros:.0%} exact zeros")
    for axes in figure.axes[len(counted) :]:
        axes.set_axis_off()
    return figure, f"Histograms of {label}s; marks show the smallest and largest value. {'; '.join(sentences)}."


@picture
def clipping_and_rounding(
    thresholds: Sequence[float], clipping: Sequence[float], rounding: Sequence[float]
) -> tuple[Figure, str]:
    """Draw the two parts of the mean squared error, and their sum, against the end of the range."""
    thresholds, total = np.asarray(thresholds), np.add(clipping, rounding)
    best = total.argmin()
    figure = Figure(figsize=(8.4, 3.6))
    axes = figure.subplots()
    axes.plot(thresholds, clipping, "--", color=CLIPPED, lw=2.5, label="clipping")
    axes.plot(thresholds, rounding, "-.", color=QUANTIZED, lw=2.5, label="rounding")
    axes.plot(thresholds, total, "-", color=ERROR, lw=2.5, label="sum")
    axes.plot(thresholds[best], total[best], "o", color=ERROR, ms=10, mfc="white", mew=2)
    axes.set(xlabel="end of the range", ylabel="mean squared error", ylim=(0, 3 * total[best]))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure, (
        f"The narrower the range, the more is clipped; the wider, the coarser the steps. The sum is smallest, "
        f"{total[best]:.3g}, when the range ends at {thresholds[best]:.3g} instead of at {thresholds[-1]:.3g}."
    )


@picture
def error_by_bits(bits: Sequence[int], measured: Sequence[float], predicted: Sequence[float]) -> tuple[Figure, str]:
    """Draw the measured mean squared error and the one that theory predicts, against the number of bits."""
    figure = Figure(figsize=(8.4, 3.6))
    axes = figure.subplots()
    axes.semilogy(bits, predicted, "--", color=GUIDE, lw=2, label="theory: S² / 12")
    axes.semilogy(bits, measured, "o", color=ERROR, ms=8, mfc="white", mew=2, label="measured")
    axes.set(xlabel="bits", ylabel="mean squared error", xticks=list(bits))
    axes.legend(loc="upper right")
    ratio = np.divide(measured, predicted)
    return figure, (
        f"Mean squared error from {bits[0]} to {bits[-1]} bits: measured {measured[0]:.2g} to {measured[-1]:.2g}; "
        f"measured over predicted is {ratio[0]:.2f} at {bits[0]} bits and {ratio[-1]:.2f} at {bits[-1]} bits."
    )


def _coarser(counts: np.ndarray, edges: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Join neighbouring bins, so that about ``bins`` are left to draw."""
    together = max(1, len(counts) // bins)
    starts = np.arange(0, len(counts), together)
    return np.add.reduceat(counts, starts), np.append(edges[starts], edges[-1])
