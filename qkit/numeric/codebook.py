"""Codes whose values need not be evenly spaced: a short list of numbers, and for each weight an index into it.

    x ≈ values[q]        q: the index of the value that is nearest to x

A :class:`Codebook` is that list. :func:`kmeans` chooses the values with the least squared error,
:func:`powers_of_two` takes those that turn a product into a shift. What a file then holds is counted in bits:
:meth:`Codebook.pack`, :meth:`Codebook.bits_per_weight` and :func:`entropy`.

The values are float32, and so are the numbers they are chosen for; sums are in float64. NaN and infinity are a
ValueError, where values are chosen also empty arrays and numbers beyond float32's largest; what is no number at all is
a TypeError.

Source: Han, Mao and Dally 2016, "Deep Compression", arXiv:1510.00149.
"""

import math
from dataclasses import dataclass

import numpy as np

from qkit.numeric.affine import float32s, float64s, read_only, reals, some, whole
from qkit.numeric.errors import mse

MOST = 256
"""Values that a codebook may have: so many indices uint8 has."""


@dataclass(frozen=True, eq=False, repr=False)
class Codebook:
    """The values of a code: float32, shape (k,), rising, 1 to 256 of them. Taught in notebook 10, section 1.

    A ValueError if they do not rise, or two are equal; ``np.unique`` puts them in order.

    >>> Codebook([-1.0, 0.0, 0.5])
    Codebook: 3 values from -1 to 0.5, an index takes 2 bits
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        values = float32s(self.values, "values").copy()
        if values.ndim != 1 or len(values) > MOST or not np.all(values[1:] > values[:-1]):
            wanted = f"values must be a list of 1 to {MOST} numbers, each larger than the one before"
            raise ValueError(f"{wanted}, got shape {values.shape}; np.unique(values) puts them in order")
        object.__setattr__(self, "values", read_only(values))

    @property
    def bits(self) -> int:
        """Bits of an index that all have alike: ``ceil(log2(k))``, 0 for a single value."""
        return (len(self.values) - 1).bit_length()

    def bits_per_weight(self, count: int) -> float:
        """Return what a file needs for each of ``count`` weights: its index, and its part of the float32 values.

        >>> Codebook([-1.0, 0.0, 0.5]).bits_per_weight(4)  # 2 bits, and 3 * 32 / 4
        26.0
        """
        return self.bits + 32 * len(self.values) / count

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Return the index of the nearest value, uint8, in the shape of ``x``; a tie goes to the lower one.

        >>> Codebook([-1.0, 0.0, 0.5]).quantize([-9.0, -0.5, 0.1, 0.25, 0.26])
        array([0, 0, 1, 1, 2], dtype=uint8)
        """
        values = self.values.astype(np.float64)
        q = np.searchsorted((values[1:] + values[:-1]) / 2, float64s(x))
        return np.asarray(q, np.uint8)

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        """Return the values that indices stand for, float32; others than 0 to k - 1 are refused."""
        return self.values[self._checked(q)]

    def pack(self, q: np.ndarray) -> bytes:
        """Write indices without gaps, ``bits`` for each, the lowest bit first: of 4 bits, two share a byte.

        The last byte is filled up with zeros. The first index is in a byte's low bits, as LiteRT's int4 weights are.

        >>> Codebook(np.arange(16)).pack([1, 2, 3]).hex()
        '2103'
        """
        q = self._checked(q).astype(np.uint8).reshape(-1, 1)
        return np.packbits((q >> np.arange(self.bits, dtype=np.uint8)) & 1, bitorder="little").tobytes()

    def __repr__(self) -> str:
        span = f"{len(self.values)} values from {self.values[0]:.4g} to {self.values[-1]:.4g}"
        return f"Codebook: {span}, an index takes {self.bits} bits"

    def _checked(self, q: np.ndarray) -> np.ndarray:
        q, last = reals(q, "q", integers=True), len(self.values) - 1
        if q.size and not (q.min() >= 0 and q.max() <= last):
            raise ValueError(f"q must hold indices from 0 to {last} of this codebook, got {q.min()} to {q.max()}")
        return q


def kmeans(x: np.ndarray, count: int) -> Codebook:
    """Return the ``count`` values with the least squared error ``sum((x - values[q])²)`` of all there could be.

    On a line a cluster lies between two borders, and its value is its mean. A cluster of W numbers with the sum S makes
    the error S² / W less than sum(x²) is; of the first b of the sorted numbers, j clusters make it less by at most

        saved[j][b] = max over a < b of saved[j - 1][a] + (S[b] - S[a])² / (W[b] - W[a])

    (Wang and Song 2011, "Ckmeans.1d.dp", The R Journal 3(2)). The best ``a`` rises with b: between two that are known
    lie all in between. Nor need every b be tried: a step of k-means, each value to the mean of the numbers nearest to
    it, leaves the best borders where they are, and borders that lie below others it leaves below. So steps from the
    lowest borders there are stay below the best, and those from the highest above.

    If ``x`` holds fewer different numbers than ``count``, those are the values. Exact but for float64's rounding of the
    sums. 200,000 weights take a tenth of a second with 16 values, with 256 a quarter of a minute; more where much of
    their range is nearly empty. Taught in notebook 10, section 3.

    >>> kmeans([0.0, 1.0, 1.0, 4.0, 6.0], 2).values
    array([0.6666667, 5.       ], dtype=float32)
    """
    count = whole(count, "count", 1, MOST)
    values, counts = np.unique(float32s(x), return_counts=True)
    if len(values) <= count:
        return Codebook(values)
    values = values.astype(np.float64)
    centred = values - np.average(values, weights=counts)  # far from 0, sums of squares would lose digits
    weights, sums = (np.concatenate(([0.0], np.cumsum(each))) for each in (counts, counts * centred))
    low, high = _limits(centred, weights, sums, count)
    saved, lasts = np.zeros(1), []
    for j in range(1, count + 1):
        saved, last = _last_clusters(saved, low[j - 1], np.arange(low[j], high[j] + 1), weights, sums)
        lasts.append(last)
    borders = [len(values)]
    for j in range(count, 0, -1):
        borders.append(lasts[j - 1][borders[-1] - low[j]])
    starts = np.array(borders[:0:-1])
    return Codebook(np.add.reduceat(counts * values, starts) / np.add.reduceat(counts, starts))


def powers_of_two(x: np.ndarray, bits: int) -> Codebook:
    """Return 0 and ±2^e for the ``2**(bits - 1) - 1`` exponents from a highest one down: products become shifts.

    The highest is the one with the least mean squared error, of the first power that no |x| exceeds and the seven below
    it. There are ``2**bits - 1`` values, ``bits`` being 2 to 8, fewer where a power would be below 2^-149,
    float32's least; where all ``x`` are 0, 0 is the only one. Source: Zhou et al. 2017, "Incremental Network
    Quantization", arXiv:1702.03044, where the largest weight alone decides. Taught in notebook 10, section 1.

    >>> powers_of_two([0.9, -0.3, 0.1], bits=3).values
    array([-1.  , -0.5 , -0.25,  0.  ,  0.25,  0.5 ,  1.  ], dtype=float32)
    """
    below = np.arange(2 ** (whole(bits, "bits", 2, 8) - 1) - 1)
    x = np.sort(float32s(x), axis=None)  # so that values are found faster
    largest = float(max(-x[0], x[-1]))
    if largest == 0:
        return Codebook([0.0])
    highest = min(math.ceil(math.log2(largest)), 127)
    powers = [np.ldexp(1.0, top - below).astype(np.float32) for top in range(highest, highest - 8, -1)]
    codebooks = [Codebook(np.unique([-each, 0 * each, each])) for each in powers]
    return min(codebooks, key=lambda codebook: mse(x, codebook.dequantize(codebook.quantize(x))))


def entropy(q: np.ndarray) -> float:
    """Return the bits an index needs at least on average, if each is coded alone: ``sum(p log2(1 / p))``.

    p is the share of ``q`` that one index has. The codebook's bytes are not included. Source: Shannon 1948, "A
    mathematical theory of communication". Taught in notebook 10, section 6.

    >>> entropy([0, 0, 1, 2])
    1.5
    """
    shares = np.unique(some(q, "q"), return_counts=True)[1] / np.size(q)
    return float(np.sum(shares * np.log2(1 / shares)))


def _limits(values: np.ndarray, weights: np.ndarray, sums: np.ndarray, count: int) -> tuple:
    """Return the lowest and highest index each border of the best clusters can have, both (count + 1,)."""
    order = np.arange(count + 1)
    low, high = order + 0, order + len(values) - count  # each cluster holds a number at least
    low[-1], high[0] = len(values), 0
    for _ in range(2000):  # more steps would take longer than what they narrow down saves
        before = low.sum() - high.sum()
        for borders, narrower in ((low, np.maximum), (high, np.minimum)):
            means = np.diff(sums[borders]) / np.diff(weights[borders])
            moved = np.searchsorted(values, (means[1:] + means[:-1]) / 2)
            narrower(borders[1:-1], moved, out=borders[1:-1])
        # Sums of very large and very small numbers can lead beyond the ends.
        low = np.minimum(np.maximum.accumulate(low - order), len(values) - count) + order
        high = np.maximum(np.minimum.accumulate((high - order)[::-1])[::-1], 0) + order
        if low.sum() - high.sum() == before:
            break
    return low, np.maximum(low, high)  # rounding may have crossed two that are the same


def _last_clusters(saved: np.ndarray, first: int, ends: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> tuple:
    """Return, for all ``ends``, what is saved at most with one cluster more, and where that cluster starts.

    ``saved`` is what is saved without it, by where it starts: at ``first`` and after. Every second of the ends not yet
    known is found between those of its neighbours, all of them at once, until none is left.
    """
    size = len(ends)
    most, best = np.empty(size), np.full(size + 2, first)  # best has one known start before all ends, and one after
    best[-1] += len(saved) - 1
    step = 1 << (size.bit_length() - 1)
    while step:
        places = np.arange(step, size + 1, 2 * step)
        b, low = ends[places - 1], best[places - step]
        lengths = np.minimum(best[np.minimum(places + step, size + 1)], b - 1) - low + 1
        begins = np.cumsum(lengths) - lengths
        a = np.arange(lengths.sum()) + np.repeat(low - begins, lengths)
        total, weight = (np.repeat(running[b], lengths) - running[a] for running in (sums, weights))
        gain = saved[a - first] + total**2 / weight
        most[places - 1] = np.maximum.reduceat(gain, begins)
        hits = np.flatnonzero(gain == np.repeat(most[places - 1], lengths))
        best[places] = a[hits[np.searchsorted(hits, begins)]]
        step //= 2
    return most, best[1:-1]
