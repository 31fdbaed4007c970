"""The squared error of clipping and rounding at any threshold, exactly, without quantizing anything.

The grid of magnitudes a = |x| is 0, s, 2s, … Qs, and ends at the threshold Qs. Begin with everything at 0. Moving
one magnitude from (k-1)s up to ks lowers its squared error by 2s(a - t_k), where t_k = (k - 1/2)s is the midpoint
that it must have passed. So, with q = min(round(a / s), Q),

    mean((a - s q)²) = mean(a²) - 2s sum_{k=1..Q} R(t_k)      R(t) = mean(max(a - t, 0))

R(t) needs only how many magnitudes lie beyond t, and their sum: one search in sorted samples, one look-up in a
histogram. The same two numbers give the best scale for given integers,

    s = sum(a q) / sum(q²)      sum(a q) = sum_k sum(a beyond t_k)      sum(q²) = sum_k (2k - 1) count(beyond t_k)
"""

from functools import lru_cache

import numpy as np

from qkit.numeric.magnitudes import Bins, Samples, sums_from

BLOCK = 2**16
"""How many cells of a table are computed at once: as many as stay in the processor's cache, which is faster."""

REMEMBERED = 2**21
"""Where the cells of a larger table lie is not remembered for the next histogram: that would take too much memory."""


def squared_errors(values: Samples | Bins, thresholds: np.ndarray, steps: int) -> np.ndarray:
    """Return the mean squared error at each threshold, where ``steps`` is Q; all in ``values.unit``."""
    scales = thresholds / steps
    midpoints = np.arange(steps) + 0.5
    errors = np.empty(len(scales))
    for rows in blocks(len(scales), steps):
        t = scales[rows, None] * midpoints
        shares, sums = values.beyond(t)
        errors[rows] = values.square - 2 * scales[rows] * (sums - t * shares).sum(axis=1)
    return np.maximum(errors, 0)  # rounding errors can take an error of 0 below it


def errors_at_edges(values: Bins, steps: int) -> np.ndarray:
    """Return :func:`squared_errors` with the upper edge of every bin as threshold, several times faster."""
    edges = np.arange(1, values.bins + 1)
    if values.bins * steps > REMEMBERED:
        return squared_errors(values, edges, steps)
    at_edges = values.sums - np.arange(values.bins + 1) * values.shares
    excess = np.empty(values.bins)
    for rows in blocks(values.bins, steps):
        index, part = (table[rows] for table in _midpoints(values.bins, steps))
        # R at a part f behind edge j: R_j - f share_j + f²/2 inside_j
        drop = values.inside.take(index)
        drop *= part
        drop *= -0.5
        drop += values.shares.take(index)
        drop *= part
        excess[rows] = (at_edges.take(index) - drop).sum(axis=1)
    return np.maximum(values.square - 2 * edges / steps * excess, 0)


def clipping_errors(values: Bins, thresholds: np.ndarray) -> np.ndarray:
    """Return what clipping alone adds to the mean squared error at each threshold, in ``values.unit``.

    The rest of :func:`squared_errors` is the rounding error of what is kept.
    """
    mass, shares = values.inside[:-1], values.shares
    # (a - j)² = (a - j - 1)² + 2 (a - j - 1) + 1: from bin to bin, and nothing is subtracted that could cancel.
    excess = sums_from(shares[1:] + mass / 2)
    square = sums_from(2 * excess[1:] + shares[1:] + mass / 3)
    t = np.minimum(thresholds, values.bins)
    edge = np.ceil(t).astype(np.intp)
    part = edge - t
    inside = values.inside[edge - 1]
    return square[edge] + part * (2 * excess[edge] + part * (shares[edge] + part * inside / 3))


def alternate(values: Samples | Bins, threshold: float, steps: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the best integers for the scale, then the best scale for the integers, until neither changes.

    Neither can raise the error, so this ends at a local minimum; at which one depends on where it began. Returns
    the threshold and the error after every half-step, in ``values.unit`` and its square.
    """
    odd = 2.0 * np.arange(1, steps + 1) - 1
    scale, scales, errors = threshold / steps, [], []
    for _ in range(rounds):
        shares, sums = values.beyond(scale * odd / 2)
        product, energy = sums.sum(), shares @ odd
        if energy <= 0:
            raise ValueError(f"start={threshold * values.unit:g} is so large that every value rounds to 0")
        better = product / energy
        scales += [scale, better]
        errors += [values.square - 2 * scale * product + scale**2 * energy, values.square - product**2 / energy]
        if abs(better - scale) <= 1e-12 * scale:
            break
        scale = better
    return steps * np.array(scales), np.maximum(errors, 0)


def blocks(rows: int, columns: int) -> list[slice]:
    """Cut the rows of a table into blocks of at most ``BLOCK`` cells."""
    size = max(1, BLOCK // columns)
    return [slice(start, start + size) for start in range(0, rows, size)]


@lru_cache(maxsize=8)
def _midpoints(bins: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bin of every midpoint, and which part of it lies before: shapes (thresholds, steps)."""
    numerators = np.arange(1, bins + 1, dtype=np.intp)[:, None] * np.arange(1, 2 * steps, 2)
    index, rest = np.divmod(numerators, 2 * steps)
    return index, rest / (2 * steps)
