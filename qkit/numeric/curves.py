"""Two curves over every threshold, exact and fast: the squared error, and TensorRT's divergence.

**The squared error of clipping and rounding**, without quantizing anything. The grid of magnitudes a = |x| is 0, s,
2s, … Qs, and ends at the threshold Qs. Begin with everything at 0. Moving one magnitude from (k-1)s up to ks lowers
its squared error by 2s(a - t_k), where t_k = (k - 1/2)s is the midpoint that it must have passed. So, with
q = min(round(a / s), Q),

    mean((a - s q)²) = mean(a²) - 2s sum_{k=1..Q} R(t_k)      R(t) = mean(max(a - t, 0))

R(t) needs only how many magnitudes lie beyond t, and their sum: a search in sorted samples, a look-up in a histogram.

**The divergence** D(P || Q) of :func:`qkit.numeric.thresholds.kl`, for the candidate that keeps the first i of the N
counts h and merges them into L levels: bin j belongs to level floor(j L / i). Q lacks what is clipped, which is what
makes clipping cost something. Where the last kept bin is empty but something is clipped, P is positive where Q is 0,
and D is infinite: not an error, but a threshold that must not be chosen.

A plain loop takes N steps a candidate. Here it takes L: inside a level Q is constant, so with C_i = sum(h[:i]),
T = C_N, O_i = T - C_i, and S_k the mass and n_k the number of non-empty bins of level k, K being the last level,

    D_i = (sum_{j < i-1} h_j ln h_j + (h_{i-1} + O_i) ln(h_{i-1} + O_i)
           - sum_k S_k ln(S_k / n_k) - O_i ln(S_K / n_K)) / T + ln(C_i / T)

where S_k, n_k and the first sum are differences of running sums. Levels are floor(i / L) or ceil(i / L) bins
wide, so few different ones exist, and the logarithms are taken once each, in a table by width and first bin.
``benchmarks/thresholds.py`` measures what all this saves.
"""

from functools import lru_cache

import numpy as np

from qkit.numeric.histogram import Histogram, Samples

REMEMBERED = 2**21
"""How many cells of a table are remembered at most, from one histogram to the next."""


def squared_errors(values: Samples | Histogram, thresholds: np.ndarray, steps: int) -> np.ndarray:
    """Return the mean squared error of clipping and rounding at each threshold: float64, shape (thresholds,).

    Each threshold ends a grid of its own with ``steps`` = Q steps from 0. All upper edges of a histogram's bins,
    ``edges[1:]``, take a tenth of the time. Taught in notebook 04, section 3.

    >>> squared_errors(Samples([1.0, 3.0]), [2.0, 6.0], steps=2)  # 0, 1, 2 clips 3; 0, 3, 6 rounds 1 to 0
    array([0.5, 0.5])
    """
    thresholds = np.asarray(thresholds, np.float64)
    at_edges = isinstance(values, Histogram) and np.array_equal(thresholds, values.edges[1:])
    remembered = at_edges and len(thresholds) * steps <= REMEMBERED
    excess = np.empty(len(thresholds))  # R(t_1) + … R(t_Q)
    for rows in _blocks(len(thresholds), steps):
        beyond = _beyond_edges(values, steps, rows) if remembered else _beyond(values, thresholds[rows], steps)
        excess[rows] = beyond.sum(axis=1)
    # Rounding errors can take an error of 0 below it.
    return np.maximum(values.beyond(0.0)[2] - 2 * (thresholds / steps) * excess, 0)


def clipping_errors(values: Samples | Histogram, thresholds: np.ndarray) -> np.ndarray:
    """Return what clipping alone adds to the mean squared error: ``mean(max(a - threshold, 0)²)``.

    The rest of :func:`squared_errors` is the rounding error of what is kept. Taught in notebook 04, section 3.

    >>> clipping_errors(Samples([1.0, 4.0]), [2.0])  # one is beyond the threshold, by 2
    array([2.])
    """
    t = np.asarray(thresholds, np.float64)
    shares, sums, squares = values.beyond(t)
    return np.maximum(squares - 2 * t * sums + t**2 * shares, 0)


def divergences(counts: np.ndarray, levels: int, first: int) -> np.ndarray:
    """Return the divergence for every number of kept bins from ``first`` to all of them, in nats.

    They are float64, shape (bins + 1 - first,), and ``inf`` where mass is clipped into an empty bin; with no more bins
    than ``levels``, nothing is merged. Taught in notebook 04, section 4.

    >>> divergences([4, 2, 1, 1], levels=2, first=3).round(3)  # keep three bins of four, or all
    array([0.082, 0.042])
    """
    counts = np.asarray(counts, np.float64)
    mass, filled, terms = (np.append(0.0, np.cumsum(each)) for each in (counts, counts > 0, _times_log(counts, 1)))
    total, inside = mass[-1], mass[first:]
    edge, clipped = counts[first - 1 :], total - inside
    kept = np.arange(first, len(counts) + 1)
    last = -(-((kept - 1) * levels // kept * kept) // levels)  # where the level of the last kept bin begins
    density = (inside - mass[last]) / np.maximum(filled[first:] - filled[last], 1)
    found = terms[first - 1 : -1] + _times_log(edge + clipped, 1) - _level_terms(mass, filled, levels, kept)
    found = (found - clipped * _log(density)) / total + _log(inside / total)
    found[(edge == 0) & (clipped > 0)] = np.inf
    return np.maximum(found, 0, out=found)  # rounding errors can take a divergence of 0 below it


def reference_and_merged(counts: np.ndarray, levels: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Return P and Q of the candidate that keeps ``kept`` bins, by their definition; all 0 where there is no mass.

    The three kept bins hold 4, 2 and 1, and 1 is clipped. The first two are one level:

    >>> p, q = reference_and_merged([4, 2, 1, 1], levels=2, kept=3)
    >>> p * 8, q * 7
    (array([4., 2., 2.]), array([3., 3., 1.]))
    """
    p = np.array(counts[:kept], np.float64)
    level = np.arange(kept) * levels // kept
    mass, filled = (np.bincount(level, weights, levels) for weights in (p, p > 0))
    q = np.where(p > 0, (mass / np.maximum(filled, 1))[level], 0)
    p[-1] += np.sum(counts[kept:])
    return p / (p.sum() or 1), q / (q.sum() or 1)


def _beyond(values: Samples | Histogram, thresholds: np.ndarray, steps: int) -> np.ndarray:
    """Return R at the midpoints of every threshold: shape (thresholds, steps)."""
    t = thresholds[:, None] / steps * (np.arange(steps) + 0.5)
    shares, sums = values.beyond(t, squares=False)
    return sums - t * shares


def _beyond_edges(histogram: Histogram, steps: int, rows: slice) -> np.ndarray:
    """Return the same, where the thresholds are the upper edges of those bins."""
    bins, width = len(histogram.counts), histogram.edges[1]
    shares, sums, _ = histogram.beyond_edges
    at_edges = sums - np.arange(bins + 1) * width * shares
    index, part = (table[rows] for table in _midpoints(bins, steps))
    # R at a part f of a bin behind edge j: R_j - width (f share_j - f²/2 inside_j)
    slope, bend = width * shares, width / 2 * histogram.shares
    return at_edges.take(index) - (slope.take(index) - part * bend.take(index)) * part


@lru_cache(maxsize=8)
def _midpoints(bins: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bin of every midpoint, and which part of it lies before: shapes (thresholds, steps)."""
    numerators = np.arange(1, bins + 1, dtype=np.intp)[:, None] * np.arange(1, 2 * steps, 2)
    index, rest = np.divmod(numerators, 2 * steps)
    return index, rest / (2 * steps)


def _blocks(rows: int, columns: int) -> list[slice]:
    """Cut the rows of a table into blocks that stay in the processor's cache, which is faster."""
    size = max(1, 2**16 // columns)
    return [slice(start, start + size) for start in range(0, rows, size)]


def _level_terms(mass: np.ndarray, filled: np.ndarray, levels: int, kept: np.ndarray) -> np.ndarray:
    """Return the sum over the levels, S_k ln(S_k / n_k), for every candidate."""
    bins = len(mass) - 1
    widest = -(-bins // levels)
    if (widest + 1) * (bins + 1) <= len(kept) * levels <= REMEMBERED:
        table = _times_log(_windows(mass, widest), _windows(filled, widest))
        return table.take(_cells(bins, levels, kept[0])).sum(axis=1)
    sums = np.empty(len(kept))
    for rows in _blocks(len(kept), levels):  # so few levels that the table would be the larger
        borders = _borders(kept[rows], levels)
        sums[rows] = _times_log(np.diff(mass[borders]), np.diff(filled[borders])).sum(axis=1)
    return sums


@lru_cache(maxsize=8)
def _cells(bins: int, levels: int, first: int) -> np.ndarray:
    """Return where each level stands in the table: shape (candidates, levels)."""
    borders = _borders(np.arange(first, bins + 1), levels)
    # Not int32, to save memory: take would convert it again on every call, at many times the cost.
    return np.diff(borders, axis=1) * (bins + 1) + borders[:, :-1]


def _borders(kept: np.ndarray, levels: int) -> np.ndarray:
    """Return where each level begins, and the last one ends: shape (candidates, levels + 1)."""
    return -(-kept[:, None] * np.arange(levels + 1) // levels)


def _windows(running: np.ndarray, widest: int) -> np.ndarray:
    """Return the sums over 0, 1, … ``widest`` bins (rows) from every bin on (columns), cut off at the end."""
    padded = np.append(running, np.full(widest, running[-1]))
    return np.lib.stride_tricks.sliding_window_view(padded, len(running)) - running


def _times_log(mass: np.ndarray, bins: np.ndarray | int) -> np.ndarray:
    """Return mass * ln(mass / bins), and 0 where there is no mass."""
    return mass * _log(mass / np.maximum(bins, 1))


def _log(values: np.ndarray) -> np.ndarray:
    """Return the logarithm, and a large negative number instead of that of 0."""
    return np.log(np.maximum(values, 1e-300))
