"""Pictures of thresholds: where methods put them, and what they minimise."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from qkit.numeric.histogram import Histogram
from qkit.numeric.thresholds import Threshold
from qkit.show.picture import ERROR, FLOAT, GUIDE, picture

LINES = (
    ("#E69F00", "-"),
    ("#009E73", "--"),
    ("#CC79A7", "-."),
    ("#000000", ":"),
    ("#D55E00", (0, (6, 2))),
    (GUIDE, (0, (2, 2))),
    ("#56B4E9", (0, (4, 1, 1, 1))),
    ("#000000", (0, (8, 3))),
)
"""Colour and line style together, so that neither is needed to tell lines apart."""


@picture
def chosen(histogram: Histogram, thresholds: Mapping[str, Threshold]) -> tuple[Figure, str]:
    """Draw a histogram of magnitudes, without its exact zeros, and the threshold of every method."""
    figure = Figure(figsize=(9.2, 3.6))
    axes = figure.subplots()
    counts, edges = histogram.nonzero_counts, histogram.edges
    axes.stairs(np.maximum(counts, 0.5), edges, fill=True, baseline=0.5, color=FLOAT, alpha=0.4)
    for index, (name, threshold) in enumerate(thresholds.items()):
        colour, style = LINES[index % len(LINES)]
        share = threshold.value / histogram.stop
        axes.axvline(threshold.value, color=colour, ls=style, lw=2.2, label=f"{name} ({share:.0%})")
    axes.set(
        yscale="log", xlabel="magnitude", ylabel="values in a bin", xlim=(0, 1.03 * histogram.stop), ylim=(0.5, None)
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="threshold\n(share of the largest)")
    said = "; ".join(f"{name} {threshold.value:.3g}" for name, threshold in thresholds.items())
    zeros = histogram.zeros / histogram.count
    return figure, f"Histogram of magnitudes ({zeros:.0%} exact zeros not drawn) and the thresholds: {said}."


@picture
def criterion(thresholds: Mapping[str, Threshold], label: str) -> tuple[Figure, str]:
    """Draw what a method minimises against the threshold, one curve for each of ``thresholds``, minima marked.

    The axis is logarithmic: what is 0 or infinite is not drawn, not even as a minimum.

    Raises
    ------
    ValueError
        If there is nothing to draw of a threshold: its method minimises nothing, or the data are all alike.
    """
    figure = Figure(figsize=(9.2, 3.6))
    axes = figure.subplots()
    for index, (name, threshold) in enumerate(thresholds.items()):
        colour, style = LINES[index % len(LINES)]
        finite = np.isfinite(threshold.curve) & (threshold.curve > 0)
        if not finite.any():
            raise ValueError(f"{name!r} has no curve to draw: {threshold}")
        axes.plot(threshold.candidates[finite], threshold.curve[finite], color=colour, ls=style, lw=2, label=name)
        best = threshold.curve[np.argmin(np.abs(threshold.candidates - threshold.value))]
        if best > 0:
            axes.plot(threshold.value, best, "o", color=colour, mfc="white", mew=2, ms=9)
    axes.set(yscale="log", xlabel="threshold", ylabel=label)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    said = "; ".join(f"{name}: minimum at {threshold.value:.3g}" for name, threshold in thresholds.items())
    return figure, f"{label} against the threshold. {said}."


@picture
def descent(errors: Mapping[str, Sequence[float]], best: float) -> tuple[Figure, str]:
    """Draw an error step by step, as a ratio to ``best``, the least that a search found."""
    figure = Figure(figsize=(9.2, 3.2))
    axes = figure.subplots()
    for index, (name, values) in enumerate(errors.items()):
        colour, style = LINES[index % len(LINES)]
        steps = np.arange(len(values)) + 1
        axes.plot(steps, np.divide(values, best), marker="o", ms=4, color=colour, ls=style, label=name)
    axes.axhline(1, color=ERROR, lw=1, label="best of the search")
    axes.set(xscale="log", xlabel="half-step (log scale)", ylabel="error / best error")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    said = "; ".join(
        f"{name}: from {values[0] / best:.3g} to {values[-1] / best:.3g}" for name, values in errors.items()
    )
    return figure, f"Error at every half-step as a multiple of the best one. {said}."
