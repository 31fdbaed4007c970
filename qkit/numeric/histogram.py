"""Histograms of more data than fits in memory, batch by batch.

Two passes: the first finds the range of all the data (:func:`range_of`), the second counts in bins that never
move (:func:`histogram_of`). Counts then add up to the same histogram, however the data are cut into batches
and in whatever order these come, on one machine or merged from several. A single pass would have to widen the
range when a larger value arrives, as TensorRT's calibrator does, and then the bins, and the threshold chosen
from them, depend on which batch came first (https://github.com/NVIDIA/TensorRT/issues/1411).

----

The magnitudes ``|x|`` of some values, as methods that choose thresholds ask about them.

Samples answer exactly. A histogram answers as if values spread evenly over their bins; exact zeros do not: they stay
0, where every grid holds them without error, but they count as values. Both measure in a ``unit`` of their own, the
largest magnitude or the width of a bin, so that no square overflows or vanishes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qkit.numeric.affine import float64s, reals


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value of some data."""

    low: float
    high: float

    def merge(self, other: "Range") -> "Range":
        """Return the range of both data together."""
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, eq=False, repr=False)
class Histogram:
    """How often values fall into each of ``bins`` equal bins.

    Attributes
    ----------
    counts : ndarray of int64, shape (bins,)
        Of all values, exact zeros included; a copy that cannot be changed.
    zeros : int
        How many values are exactly 0; they lie in the bin ``zero_bin``. ReLU makes many, and every grid
        represents them without error, so methods that choose thresholds must be able to leave them out.
    start, stop : float
        Where the first bin begins and the last one ends (that end belongs to it).
    range : Range
        The smallest and largest value of the data counted here, with their signs.
    magnitude : bool
        Whether ``|x|`` was counted, or ``x``.

    Raises
    ------
    ValueError
        If counts are not integers from 0 up, the bins do not hold the range and 0, or the bin of 0 holds fewer values
        than there are zeros.
    """

    counts: np.ndarray
    zeros: int
    start: float
    stop: float
    range: Range
    magnitude: bool

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts)
        if counts.ndim != 1 or counts.size == 0 or counts.dtype.kind not in "iu" or counts.min() < 0:
            raise ValueError(f"counts must be integers from 0 up, of shape (bins,), got {self.counts!r}")
        counts = counts.astype(np.int64)
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)
        low, high = min(self.range.low, 0), max(self.range.high, 0)
        begins = self.start == 0 and -low <= self.stop if self.magnitude else self.start <= low
        if not (begins and high <= self.stop and 0 < self.stop - self.start < np.inf):
            raise ValueError(
                f"bins must hold 0 and {self.range}, and begin at 0 for magnitudes; got {self.start} to {self.stop}"
            )
        if not 0 <= self.zeros <= counts[self.zero_bin]:
            raise ValueError(
                f"zeros must be from 0 to {counts[self.zero_bin]}, the count of the bin of 0, got {self.zeros}"
            )

    @property
    def count(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def edges(self) -> np.ndarray:
        """The borders of the bins: float64, shape (bins + 1,)."""
        return np.linspace(self.start, self.stop, len(self.counts) + 1)

    @property
    def zero_bin(self) -> int:
        """The index of the bin that 0 falls into."""
        return min(int(np.searchsorted(self.edges, 0, side="right")), len(self.counts)) - 1

    @property
    def nonzero_counts(self) -> np.ndarray:
        """The counts without the exact zeros."""
        counts = self.counts.copy()
        counts[self.zero_bin] -= self.zeros
        return counts

    def merge(self, other: "Histogram") -> "Histogram":
        """Return the histogram of both data together.

        Raises
        ------
        ValueError
            If the two have different bins; count both ``within`` the same range.
        """
        if _bins(self) != _bins(other):
            raise ValueError(
                f"only histograms with the same bins can be merged, got {self} and {other}; "
                "give both the same `within`, `bins` and `magnitude`"
            )
        return Histogram(
            self.counts + other.counts,
            self.zeros + other.zeros,
            self.start,
            self.stop,
            self.range.merge(other.range),
            self.magnitude,
        )

    def __repr__(self) -> str:
        what = "|x|" if self.magnitude else "x"
        return (
            f"Histogram: {self.count} values of {what} ({self.zeros} exact zeros) in {len(self.counts)} bins "
            f"from {self.start:.4g} to {self.stop:.4g}; x from {self.range.low:.4g} to {self.range.high:.4g}"
        )


def range_of(batches: np.ndarray | Iterable[np.ndarray]) -> Range:
    """Return the smallest and the largest value: the first pass.

    Parameters
    ----------
    batches : array, or iterable of arrays
        Real numbers, any shapes; empty batches are allowed.

    Returns
    -------
    Range

    Raises
    ------
    ValueError
        If there is no value at all, or one is not finite.
    """
    found = None
    for x in _arrays(batches):
        here = Range(float(x.min()), float(x.max()))
        found = here if found is None else found.merge(here)
    if found is None:
        raise ValueError("batches must hold at least one value, got none; was an iterator read before?")
    return found


def histogram_of(
    batches: np.ndarray | Iterable[np.ndarray],
    bins: int = 2048,
    magnitude: bool = True,
    within: Range | None = None,
) -> Histogram:
    """Count values in equal bins: both passes, or the second one alone.

    Parameters
    ----------
    batches : array, or iterable of arrays
        Real numbers, any shapes; empty batches are allowed. Read twice, so not an iterator, unless ``within``
        is given.
    bins : int
        At least 1.
    magnitude : bool
        Count ``|x|``, in bins from 0 to the largest; else ``x``, in bins from the smallest or 0 to the largest
        or 0.
    within : Range, optional
        The range of all the data, from :func:`range_of`. Histograms that are to be merged need the same one.

    Returns
    -------
    Histogram

    Raises
    ------
    TypeError
        If ``batches`` is an iterator and ``within`` is not given.
    ValueError
        If there is no value at all, one is not finite or outside ``within``, or ``bins`` is less than 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if within is None:
        if isinstance(batches, Iterator):
            raise TypeError(
                "an iterator can be read only once, and counting takes two passes; pass a list of batches, "
                "or the range of all of them: within=range_of(...)"
            )
        within = range_of(batches)
    start, stop = _ends(within, magnitude)
    counts, zeros, found = np.zeros(bins, np.int64), 0, None
    for x in _arrays(batches):
        here = Range(float(x.min()), float(x.max()))
        found = here if found is None else found.merge(here)
        if found.merge(within) != within:
            raise ValueError(f"all values must lie within {within}, got {here}; take range_of all batches first")
        # NumPy corrects each bin against its edges, so that where a value goes depends on nothing else.
        counts += np.histogram(np.abs(x) if magnitude else x, bins, (start, stop))[0]
        zeros += x.size - np.count_nonzero(x)
    if found is None:
        raise ValueError("batches must hold at least one value, got none; was an iterator read before?")
    return Histogram(counts, int(zeros), start, stop, found, magnitude)


def _arrays(batches: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for batch in [batches] if isinstance(batches, np.ndarray) else batches:
        x = float64s(batch, "a batch")
        if x.size:
            yield x


def _ends(within: Range, magnitude: bool) -> tuple[float, float]:
    # Numbers around 1e-308 have too little width to be cut into bins, and zeros none.
    low = min(within.low, -1e-300) if within.low < 0 else 0.0
    high = max(within.high, 1e-300) if within.high > 0 else 0.0
    start, stop = (0.0, max(-low, high)) if magnitude else (low, high)
    return (start, stop) if stop > start else (0.0, 1.0)


def _bins(histogram: Histogram) -> tuple:
    return histogram.start, histogram.stop, len(histogram.counts), histogram.magnitude


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
