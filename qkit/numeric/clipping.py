"""The squared error of clipping and rounding at any threshold, exactly, without quantizing anything.

The grid of magnitudes a = |x| is 0, s, 2s, … Qs, and ends at the threshold Qs. Begin with everything at 0. Moving
one magnitude from (k-1)s up to ks lowers its squared error by 2s(a - t_k), where t_k = (k - 1/2)s is the midpoint
that it must have passed. So, with q = min(round(a / s), Q),

    mean((a - s q)²) = mean(a²) - 2s sum_{k=1..Q} R(t_k)      R(t) = mean(max(a - t, 0))

R(t) needs only how many magnitudes lie beyond t, and their sum. Sorted samples (:class:`Samples`) answer by one
search, a histogram (:class:`Bins`) by one look-up. The same two numbers give the best scale for given integers,

    s = sum(a q) / sum(q²)      sum(a q) = sum_k sum(a beyond t_k)      sum(q²) = sum_k (2k - 1) count(beyond t_k)

which is all that :func:`alternate` needs.
"""

from functools import lru_cache

import numpy as np

from qkit.numeric.histogram import Histogram


class Samples:
    """Magnitudes, sorted; measured in units of the largest, so that no square overflows or vanishes."""

    def __init__(self, x: np.ndarray) -> None:
        magnitudes = np.sort(np.abs(x), axis=None).astype(np.float64)
        self.unit = float(magnitudes[-1])
        self.largest = 1.0
        self._magnitudes = magnitudes / self.unit
        self._count = len(magnitudes)
        self._sums = _beyond(self._magnitudes)
        self.square = float(np.mean(self._magnitudes**2))

    def beyond(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the magnitudes beyond ``t``, and their sum divided by the count of all."""
        first = np.searchsorted(self._magnitudes, t)
        return (self._count - first) / self._count, self._sums[first] / self._count


class Bins:
    """Magnitudes in a histogram, measured in bins, each spread evenly over its bin.

    Exact zeros are not: they stay 0, where they cost nothing, but count as values.
    """

    def __init__(self, histogram: Histogram) -> None:
        bins = len(histogram.counts)
        inside = histogram.nonzero_counts / histogram.count
        centres = np.arange(bins) + 0.5
        self.unit = histogram.stop / bins
        self.largest = float(bins)
        self.square = float(inside @ (centres**2 + 1 / 12))
        self._inside = np.append(inside, 0)
        self._shares = _beyond(inside)
        self._sums = _beyond(inside * centres)

    def beyond(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the magnitudes beyond ``t``, and their sum divided by the count of all."""
        index = np.minimum(t, self.largest).astype(np.intp)
        part = t - index
        passed = part * self._inside[index]
        return self._shares[index] - passed, self._sums[index] - passed * (index + part / 2)

    def errors_at_edges(self, steps: int) -> np.ndarray:
        """Return what :func:`squared_errors` does with the upper edge of every bin as threshold, but faster."""
        edges = np.arange(1, int(self.largest) + 1)
        if len(edges) * steps > 2**21:  # too much to keep
            return squared_errors(self, edges, steps)
        index, part = _midpoints(len(edges), steps)
        # R inside bin j, a share f after its edge: R_j - f share_j + f²/2 inside_j
        slope = self._inside.take(index)
        slope *= part
        slope *= -0.5
        slope += self._shares.take(index)
        slope *= part
        at_edges = self._sums - np.arange(len(self._sums)) * self._shares
        excess = at_edges.take(index)
        excess -= slope
        return np.maximum(self.square - 2 * edges / steps * (excess @ np.ones(steps)), 0)


def squared_errors(values: Samples | Bins, thresholds: np.ndarray, steps: int) -> np.ndarray:
    """Return the mean squared error at each threshold; all in ``values.unit``.

    Parameters
    ----------
    values : Samples or Bins
    thresholds : ndarray, shape (thresholds,)
        Positive.
    steps : int
        Q, the integer that the threshold maps to.

    Returns
    -------
    ndarray of float64, same shape as ``thresholds``
    """
    scales = thresholds / steps
    midpoints = np.arange(steps) + 0.5
    errors = np.empty(len(scales))
    rows = max(1, 2**18 // steps)  # as many at once as memory near the processor holds
    for start in range(0, len(scales), rows):
        some = scales[start : start + rows]
        t = some[:, None] * midpoints
        share, total = values.beyond(t)
        errors[start : start + rows] = values.square - 2 * some * (total - t * share).sum(axis=1)
    return np.maximum(errors, 0)  # rounding errors can take an error of 0 below it


def alternate(values: Samples | Bins, threshold: float, steps: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the best integers for the scale, then the best scale for the integers, and so on.

    Neither can raise the error, so it falls until neither changes: at a local minimum, which depends on where
    it began.

    Parameters
    ----------
    values : Samples or Bins
    threshold : float
        Where to begin, in ``values.unit``.
    steps : int
        Q, the integer that the threshold maps to.
    rounds : int
        How many pairs of half-steps at most.

    Returns
    -------
    thresholds, errors : ndarray of float64, shape (half-steps,)
        In ``values.unit`` and its square: with new integers, with a new scale, with new integers, …

    Raises
    ------
    ValueError
        If every value rounds to 0 at ``threshold``.
    """
    odd = 2.0 * np.arange(1, steps + 1) - 1
    scale, scales, errors = threshold / steps, [], []
    for _ in range(rounds):
        share, total = values.beyond(scale * odd / 2)
        product, energy = total.sum(), share @ odd
        if energy <= 0:
            raise ValueError(
                f"start={threshold * values.unit:g} is so large that every value rounds to 0; "
                f"begin at the largest magnitude, {values.largest * values.unit:g}, at most"
            )
        better = product / energy
        scales += [scale, better]
        errors += [values.square - 2 * scale * product + scale**2 * energy, values.square - product**2 / energy]
        if abs(better - scale) <= 1e-12 * scale:
            break
        scale = better
    return steps * np.array(scales), np.maximum(errors, 0)


@lru_cache(maxsize=16)
def _midpoints(bins: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bin of every midpoint, and how far into it: shapes (thresholds, steps)."""
    numerators = np.arange(1, bins + 1, dtype=np.intp)[:, None] * np.arange(1, 2 * steps, 2)
    index, rest = np.divmod(numerators, 2 * steps)
    return index, rest / (2 * steps)


def _beyond(values: np.ndarray) -> np.ndarray:
    """Return the sum from each value on, and 0 after the last."""
    return np.append(np.cumsum(values[::-1])[::-1], 0)
