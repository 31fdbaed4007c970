"""The magnitudes ``|x|`` of some values, as methods that choose thresholds ask about them.

Samples answer exactly. A histogram answers as if values spread evenly over their bins; exact zeros do not: they stay
0, where every grid holds them without error, but they count as values. Both measure in a ``unit`` of their own, the
largest magnitude or the width of a bin, so that no square overflows or vanishes.
"""

from functools import cached_property

import numpy as np

from qkit.numeric.checks import reals
from qkit.numeric.histogram import Histogram


class Samples:
    """Magnitudes of the values in an array."""

    def __init__(self, x: np.ndarray) -> None:
        x = reals(x)
        if x.size == 0:
            raise ValueError(f"x must hold at least one value to choose a threshold from, got shape {x.shape}")
        self.x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)  # |-128| is no int8
        self.low, self.high = float(x.min()), float(x.max())
        self.count, self.zeros = x.size, x.size - np.count_nonzero(x)
        self.unit = max(-self.low, self.high) or 1.0

    def ranked(self, rank: int) -> float:
        """Return the magnitude that ``rank`` of the values that are not 0 do not exceed."""
        index = self.zeros + rank - 1
        return float(np.partition(np.abs(self.x), index, axis=None)[index])

    def beyond(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the magnitudes beyond ``t``, and their sum divided by the count of all."""
        magnitudes, sums = self._sorted
        first = np.searchsorted(magnitudes, t)
        return (self.count - first) / self.count, sums[first] / self.count

    @cached_property
    def square(self) -> float:
        """The mean of the squares."""
        return float(np.mean(self._sorted[0] ** 2))

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        magnitudes = np.sort(np.abs(self.x), axis=None).astype(np.float64) / self.unit
        return magnitudes, sums_from(magnitudes)


class Bins:
    """Magnitudes of the values in a histogram."""

    def __init__(self, histogram: Histogram) -> None:
        if not histogram.magnitude:
            raise ValueError("x must be a histogram of |x|, got one of x; count it with magnitude=True")
        self.count, self.zeros = histogram.count, histogram.zeros
        if self.count == 0:
            raise ValueError("x must hold at least one value to choose a threshold from, got an empty histogram")
        self.low, self.high = histogram.range.low, histogram.range.high
        self.histogram = histogram
        self.bins = len(histogram.counts)
        self.unit = histogram.stop / self.bins
        self.inside = np.append(histogram.nonzero_counts / self.count, 0)  # 0 for what is beyond the last bin
        self.shares = sums_from(self.inside[:-1])
        self.sums = sums_from(self.inside[:-1] * (np.arange(self.bins) + 0.5))

    def ranked(self, rank: int) -> float:
        """Return the magnitude that ``rank`` of the values that are not 0 do not exceed."""
        counts = self.histogram.nonzero_counts
        up_to = np.cumsum(counts)
        index = np.searchsorted(up_to, rank)
        # The largest magnitude itself, where rounding, or a histogram wider than its data, would exceed it.
        return min((index + 1 - (up_to[index] - rank) / counts[index]) * self.unit, max(-self.low, self.high))

    def beyond(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the magnitudes beyond ``t``, and their sum divided by the count of all."""
        index = np.minimum(t, self.bins).astype(np.intp)
        part = t - index
        passed = part * self.inside[index]
        return self.shares[index] - passed, self.sums[index] - passed * (index + part / 2)

    @cached_property
    def square(self) -> float:
        """The mean of the squares."""
        return float(self.inside[:-1] @ ((np.arange(self.bins) + 0.5) ** 2 + 1 / 12))


def sums_from(values: np.ndarray) -> np.ndarray:
    """Return the sum from each value on, and 0 after the last."""
    return np.append(np.cumsum(values[::-1])[::-1], 0)
