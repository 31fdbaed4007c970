"""TensorRT's divergence between a histogram and its coarser self, for every threshold at once.

``h`` are the counts of ``|x|`` in N bins. The candidate i keeps the first i bins and clips the rest:

    P = h[:i], and what is clipped is added to its last bin
    Q = h[:i] merged into L levels, where bin j belongs to level floor(j L / i);
        each level's mass is then spread evenly over those of its bins that are not empty

Both are normalized, and the candidate's criterion is the Kullback–Leibler divergence in nats,
``D(P || Q) = sum_j P_j ln(P_j / Q_j)``. Q lacks what is clipped, which is what makes clipping cost something.
Where the last kept bin is empty but something is clipped, P is positive where Q is 0, and D is infinite: not an
error, but a threshold that must not be chosen.

A plain loop takes N steps a candidate. Here it takes L: inside a level Q is constant, so with C_i = sum(h[:i]),
T = C_N, O_i = T - C_i, and S_k the mass and n_k the number of non-empty bins of level k, K being the last level,

    D_i = (sum_{j < i-1} h_j ln h_j + (h_{i-1} + O_i) ln(h_{i-1} + O_i)
           - sum_k S_k ln(S_k / n_k) - O_i ln(S_K / n_K)) / T + ln(C_i / T)

where S_k, n_k and the first sum are differences of running sums. Levels are floor(i / L) or ceil(i / L) bins
wide, so few different ones exist, and the logarithms are taken once each, in a table by width and first bin.

References
----------
Migacz 2017, "8-bit inference with TensorRT", GTC slides s7310.
"""

from functools import lru_cache

import numpy as np

from qkit.numeric.clipping import REMEMBERED, blocks


def divergences(counts: np.ndarray, levels: int, first: int) -> np.ndarray:
    """Return the divergence for every number of kept bins from ``first`` to all of them.

    Parameters
    ----------
    counts : array_like, shape (bins,)
        Not negative and not all 0; they need not be integers.
    levels : int
        How many levels the kept bins are merged into. With no more bins than levels, nothing is merged.
    first : int
        From 1 to the number of bins.

    Returns
    -------
    ndarray of float64, shape (bins + 1 - first,)
        In nats; ``inf`` where mass is clipped into an empty bin.
    """
    counts = np.asarray(counts, np.float64)
    mass, filled, terms = _running(counts), _running(counts > 0), _running(_times_log(counts, 1.0))
    total, inside = mass[-1], mass[first:]
    edge, clipped = counts[first - 1 :], total - inside
    last = _last_levels(len(counts), levels, first)
    density = (inside - mass[last]) / np.maximum(filled[first:] - filled[last], 1)
    found = terms[first - 1 : -1] + _times_log(edge + clipped, 1.0)
    found -= _level_terms(mass, filled, levels, first)
    found -= clipped * _log(density)
    found /= total
    found += _log(inside / total)
    found[(edge == 0) & (clipped > 0)] = np.inf
    return np.maximum(found, 0, out=found)  # rounding errors can take a divergence of 0 below it


def reference_and_merged(counts: np.ndarray, levels: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Return P and Q of the candidate that keeps ``kept`` bins, by their definition; all 0 where there is no mass."""
    p = np.array(counts[:kept], np.float64)
    level = np.arange(kept) * levels // kept
    mass, filled = (np.bincount(level, weights, levels) for weights in (p, p > 0))
    q = np.where(p > 0, (mass / np.maximum(filled, 1))[level], 0)
    p[-1] += np.sum(counts[kept:])
    return p / (p.sum() or 1), q / (q.sum() or 1)


def _level_terms(mass: np.ndarray, filled: np.ndarray, levels: int, first: int) -> np.ndarray:
    """Return the sum over the levels, S_k ln(S_k / n_k), for every candidate."""
    bins = len(mass) - 1
    widest = -(-bins // levels)
    kept = np.arange(first, bins + 1, dtype=np.intp)
    sums = np.empty(len(kept))
    if (widest + 1) * (bins + 1) <= len(kept) * levels <= REMEMBERED:
        table = _times_log(_windows(mass, widest), _windows(filled, widest)).ravel()
        cells = _cells(bins, levels, first)
        for rows in blocks(len(kept), levels):
            sums[rows] = table.take(cells[rows]).sum(axis=1)
    else:  # few levels, so that the table would be the larger, or too many cells to remember
        for rows in blocks(len(kept), levels):
            some = _borders(kept[rows], levels)
            sums[rows] = _times_log(np.diff(mass.take(some)), np.diff(filled.take(some))).sum(axis=1)
    return sums


@lru_cache(maxsize=16)
def _last_levels(bins: int, levels: int, first: int) -> np.ndarray:
    """Return where the level of the last kept bin begins: shape (candidates,)."""
    kept = np.arange(first, bins + 1, dtype=np.intp)
    return -(-((kept - 1) * levels // kept * kept) // levels)


def _borders(kept: np.ndarray, levels: int) -> np.ndarray:
    """Return where each level begins, and the last one ends: shape (candidates, levels + 1)."""
    return -(-kept[:, None] * np.arange(levels + 1) // levels)


@lru_cache(maxsize=8)
def _cells(bins: int, levels: int, first: int) -> np.ndarray:
    """Return where each level stands in the flat table: shape (candidates, levels)."""
    borders = _borders(np.arange(first, bins + 1, dtype=np.intp), levels)
    # Not int32, to save memory: take would convert it again on every call, at many times the cost.
    return np.diff(borders, axis=1) * (bins + 1) + borders[:, :-1]


def _windows(running: np.ndarray, widest: int) -> np.ndarray:
    """Return the sums over 0, 1, … ``widest`` bins (rows) from every bin on (columns), cut off at the end."""
    padded = np.concatenate([running, np.full(widest, running[-1])])
    return np.lib.stride_tricks.sliding_window_view(padded, len(running)) - running


def _running(values: np.ndarray) -> np.ndarray:
    """Return the sums of the first 0, 1, … values."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _times_log(mass: np.ndarray, bins: np.ndarray | float) -> np.ndarray:
    """Return mass * ln(mass / bins), and 0 where there is no mass."""
    terms = _log(mass / np.maximum(bins, 1))
    terms *= mass
    return terms


def _log(values: np.ndarray) -> np.ndarray:
    """Return the logarithm, and a large negative number instead of that of 0."""
    positive = np.maximum(values, 1e-300)
    return np.log(positive, out=positive)
