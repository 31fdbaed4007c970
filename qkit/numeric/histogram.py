"""Histograms of more data than fits in memory, batch by batch, and what is asked of magnitudes.

Two passes: the first finds the range of all the data (:func:`range_of`), the second counts in bins that never move
(:func:`histogram_of`). Counts then add up to the same histogram in whatever order the batches come. A single pass
would have to widen the range when a larger value arrives, as TensorRT's calibrator does, and then the threshold depends
on the order and the size of the batches (for the size, https://github.com/NVIDIA/TensorRT/issues/1411).

What methods that choose thresholds ask of magnitudes ``|x|``, :class:`Samples` answer exactly, and a
:class:`Histogram` by the same names as if values spread evenly over their bins. Exact zeros do not: they stay 0, where
every grid holds them without error, but they count as values.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qkit.numeric.affine import float64s, read_only, some, whole


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value of some data."""

    low: float
    high: float

    @property
    def largest(self) -> float:
        return max(abs(self.low), abs(self.high))

    def merge(self, other: "Range") -> "Range":
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, eq=False, repr=False)
class Histogram:
    """How often values fall into equal bins; :func:`histogram_of` counts it. Taught in notebook 03, section 2."""

    counts: np.ndarray  # int64, shape (bins,), of all values, exact zeros included
    zeros: int  # how many are exactly 0: ReLU makes many, which methods must be able to leave out
    start: float  # where the first bin begins
    stop: float  # where the last one ends; that end belongs to it
    range: Range  # of the data counted here, with their signs
    magnitude: bool  # whether |x| was counted, or x

    @cached_property
    def count(self) -> int:
        return int(self.counts.sum())

    @cached_property
    def edges(self) -> np.ndarray:
        """The borders of the bins: float64, shape (bins + 1,)."""
        return read_only(np.linspace(self.start, self.stop, len(self.counts) + 1))

    @property
    def low(self) -> float:
        return self.range.low

    @property
    def largest(self) -> float:
        return self.range.largest

    @property
    def nonzero_counts(self) -> np.ndarray:
        """The counts without the exact zeros."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.edges[:-1], 0, side="right") - 1] -= self.zeros
        return counts

    def merge(self, other: "Histogram") -> "Histogram":
        """Return the histogram of both data together, counted in the same bins."""
        bins, others = ((h.start, h.stop, len(h.counts), h.magnitude) for h in (self, other))
        if bins != others:
            raise ValueError(f"only histograms with the same bins can be merged, got {self} and {other}")
        counts, within = read_only(self.counts + other.counts), self.range.merge(other.range)
        return Histogram(counts, self.zeros + other.zeros, self.start, self.stop, within, self.magnitude)

    @cached_property
    def shares(self) -> np.ndarray:
        """The share of all values that lies in each bin, without the exact zeros; a ValueError for those of ``x``."""
        return read_only(magnitudes_of(self).nonzero_counts / self.count)

    @cached_property
    def beyond_edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What :meth:`beyond` returns for all edges: three arrays of float64, shape (bins + 1,)."""
        width = self.edges[1]
        centres = (np.arange(len(self.counts)) + 0.5) * width
        return tuple(_sums_from(self.shares * power) for power in (1, centres, centres**2 + width**2 / 12))

    def beyond(self, t: float | np.ndarray, squares: bool = True) -> tuple[np.ndarray, ...]:
        """Return the share of the magnitudes beyond ``t``, their sum and, if asked for, that of their squares.

        ``t`` is a number from 0 up, or an array; the sums are divided by the count of all values.

        >>> histogram_of([0, 0, 0, 0, 0.5, 1.5, 2.5, 4], bins=4).beyond([1.0, 3.0])[:2]
        (array([0.375, 0.125]), array([0.9375, 0.4375]))
        """
        width = self.edges[1]
        t = np.minimum(np.asarray(t), len(self.counts) * width)
        place = np.minimum(t / width, len(self.counts))  # rounding could lead beyond the last edge
        index = np.ceil(place).astype(np.intp)  # of the next edge; at 0, which is one itself, nothing lies between
        edge = index * width
        between = (index - place) * self.shares.take(index - 1)  # a bin's values lie evenly in it
        share, total, square = self.beyond_edges
        found = share.take(index) + between, total.take(index) + between * (t + edge) / 2
        return (*found, square.take(index) + between * (t**2 + t * edge + edge**2) / 3) if squares else found

    def ranked(self, rank: int) -> float:
        """Return the magnitude that ``rank`` of the values that are not 0 do not exceed."""
        counts = self.nonzero_counts
        up_to = np.cumsum(counts)
        index = np.searchsorted(up_to, rank)
        found = (index + 1 - (up_to[index] - rank) / counts[index]) * self.edges[1]
        return min(found, self.largest)  # rounding, or a histogram wider than its data, would exceed it

    def __repr__(self) -> str:
        what = "|x|" if self.magnitude else "x"
        values = f"{self.count} values of {what} ({self.zeros} exact zeros)"
        bins = f"{len(self.counts)} bins from {self.start:.4g} to {self.stop:.4g}"
        return f"Histogram: {values} in {bins}; x from {self.low:.4g} to {self.range.high:.4g}"


class Samples:
    """The magnitudes of the values in an array, asked by the same names as a :class:`Histogram`.

    >>> x = Samples([0.0, -3.0, 1.0, 4.0])
    >>> x.largest, x.zeros, x.ranked(2)
    (4.0, 1, 3.0)
    >>> x.beyond([2.0, 3.5])
    (array([0.5 , 0.25]), array([1.75, 1.  ]), array([6.25, 4.  ]))
    """

    def __init__(self, x: np.ndarray) -> None:
        x = some(x)
        self.x = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)  # |-128| is no int8
        self.low, self.largest = float(x.min()), range_of(x).largest
        self.count, self.zeros = x.size, int(x.size - np.count_nonzero(x))

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        magnitudes = np.sort(np.abs(self.x), axis=None).astype(np.float64)
        return magnitudes, _sums_from(magnitudes)

    def beyond(self, t: float | np.ndarray, squares: bool = True) -> tuple[np.ndarray, ...]:
        magnitudes, sums = self._sorted
        first = np.searchsorted(magnitudes, t)
        found = (self.count - first) / self.count, sums[first] / self.count
        return (*found, _sums_from(magnitudes**2)[first] / self.count) if squares else found

    def ranked(self, rank: int) -> float:
        index = self.zeros + rank - 1
        return float(np.partition(np.abs(self.x), index, axis=None)[index])


def range_of(x: np.ndarray) -> Range:
    """Return the smallest and the largest value: the first pass. Ranges of batches can be merged.

    >>> range_of([1.0, -2.0]).merge(range_of([3.0]))
    Range(low=-2.0, high=3.0)
    """
    x = some(x)
    return Range(float(x.min()), float(x.max()))


def channel_shares(x: np.ndarray) -> np.ndarray:
    """Return the range of each channel as a share of the largest: ``max(|x|)``, by index of the last axis.

    Channels that are all 0 are left out; if all are, the result is a single 1. The largest channel is
    ``1 / np.median(shares)`` times the median one, whatever the smallest is. Taught in notebook 09, section 3.

    >>> channel_shares([[0.5, 4.0, 0.0, -2.0], [-1.0, 3.0, 0.0, 0.0]])
    array([0.25, 1.  , 0.5 ])
    """
    largest = channel_ranges(some(x))
    return largest[largest > 0] / largest.max() if largest.any() else np.ones(1)


def channel_ranges(x: np.ndarray) -> np.ndarray:
    """Return the range of each channel, ``max(|x|)``, by index of the last axis."""
    x = np.atleast_1d(x)
    x = x.astype(np.result_type(x, np.float32), copy=False)  # |-128| is no int8
    return np.abs(x).reshape(-1, x.shape[-1]).max(axis=0)


def histogram_of(x: np.ndarray, bins: int = 2048, magnitude: bool = True, within: Range | None = None) -> Histogram:
    """Count values in equal bins: both passes, or the second one alone. Taught in notebook 03, section 2.

    With ``magnitude``, ``|x|`` is counted, in bins from 0 to the largest; else ``x``, in bins from the smallest or 0 to
    the largest or 0. Histograms of batches can be merged that are counted ``within`` the same range, that of all the
    data (:func:`range_of`). A value outside ``within`` is a ValueError.

    >>> histogram_of([-1.0, 0.0, 2.0], bins=8)
    Histogram: 3 values of |x| (1 exact zeros) in 8 bins from 0 to 2; x from -1 to 2
    """
    bins = whole(bins, "bins", 1, 2**20)  # more would fill the memory
    x = float64s(x)
    here = range_of(x)
    within = within or here
    if here.merge(within) != within:
        raise ValueError(f"all values must lie within {within}, got {here}; merge the ranges of all batches first")
    start, stop = (0.0, within.largest) if magnitude else (min(0.0, within.low), max(0.0, within.high))
    stop = stop if start < stop else 1.0
    # NumPy corrects each bin against its edges, so that where a value goes depends on nothing else.
    counts = np.histogram(np.abs(x) if magnitude else x, bins, (start, stop))[0]
    return Histogram(read_only(counts), int(x.size - np.count_nonzero(x)), start, stop, here, magnitude)


def magnitudes_of(x: np.ndarray | Histogram | Samples) -> Histogram | Samples:
    """Return what a threshold can be chosen from, and refuse what it cannot, with a TypeError or ValueError."""
    values = x if isinstance(x, Histogram | Samples) else Samples(x)
    if isinstance(values, Histogram) and not values.magnitude:
        raise ValueError("x must be a histogram of |x|, got one of x; count it with magnitude=True")
    return values


def _sums_from(values: np.ndarray) -> np.ndarray:
    """Return the sum from each value on, and 0 after the last."""
    return np.append(np.cumsum(values[::-1])[::-1], 0)
