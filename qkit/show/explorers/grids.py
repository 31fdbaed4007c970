"""Weights as rows of channels, and the numbers that their quantization is judged by."""

from dataclasses import dataclass

import numpy as np

from qkit.numeric.affine import QuantParams, QuantSpec, dequantize, params_from_data, quantize
from qkit.numeric.errors import sqnr_db
from qkit.show.canvas import as_drawable


def as_channels(x: np.ndarray, axis: int | None, name: str) -> np.ndarray:
    """Return ``x`` as float64 of shape (channels, values of each).

    Parameters
    ----------
    x
        Real numbers of any shape, at least one.
    axis
        The axis that counts the channels; a single number or a vector, and ``None``, is one channel.
    name
        What to call ``x`` when it is refused.
    """
    x = as_drawable(x, name)
    if axis is None or x.ndim < 2:
        return x.reshape(1, -1)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis {axis} does not exist in {name} of shape {x.shape}")
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


@dataclass(frozen=True, eq=False)
class Grids:
    """Rows of weights on their grids.

    Attributes
    ----------
    params : QuantParams
        One grid for all rows, or one for each.
    sqnr : float
        In dB, of all weights together.
    zeros : float
        The share of weights that stand on exactly 0.
    levels : ndarray of float, shape (rows of counts,)
        The levels that any weight stands on, grid by grid.
    counts : ndarray of int
        How many weights stand on each of them.
    steps : ndarray of float
        The step of the grid that each of these levels belongs to.
    used : float
        How many levels of a grid are used, on average over the grids.
    """

    params: QuantParams
    sqnr: float
    zeros: float
    levels: np.ndarray
    counts: np.ndarray
    steps: np.ndarray
    used: float

    @property
    def grids(self) -> int:
        """How many grids there are."""
        return np.size(self.params.scale)


def lay_grids(rows: np.ndarray, bits: int, symmetric: bool, per_channel: bool) -> Grids:
    """Quantize ``rows`` as LiteRT does weights: signed, and narrow where symmetric; from minimum to maximum."""
    params = params_from_data(rows, weight_spec(bits, symmetric, per_channel))
    spec, q = params.spec, quantize(rows, params)
    # Every level of every grid gets a number of its own, so that one call counts them all.
    grid = np.arange(len(rows))[:, None] if per_channel else 0
    found, counts = np.unique(grid * spec.levels + (q.astype(np.int64) - spec.qmin), return_counts=True)
    grid, q_found = np.divmod(found, spec.levels)
    steps = np.atleast_1d(params.scale)[grid]
    levels = steps * (q_found + spec.qmin - np.atleast_1d(params.zero_point)[grid])
    return Grids(
        params,
        sqnr_db(rows, dequantize(q, params)),
        counts[levels == 0].sum() / rows.size,
        levels,
        counts,
        steps,
        len(found) / np.size(params.scale),
    )


def weight_spec(bits: int, symmetric: bool, per_channel: bool) -> QuantSpec:
    """Return the specification of weights laid out as rows."""
    return QuantSpec(bits, symmetric=symmetric, narrow_range=symmetric, axis=0 if per_channel else None)


def packed_bytes(rows: np.ndarray, params: QuantParams) -> int:
    """Return the bytes of the integers packed tightly, and of scales (float32) and zero-points (int32) if any."""
    each = 4 if params.spec.symmetric else 8
    return -(-rows.size * params.spec.bits // 8) + each * np.size(params.scale)


def spread(grids: Grids, edges: np.ndarray) -> np.ndarray:
    """Return the density of the weights when each may lie anywhere within half a step of its level.

    With one grid that is a bar on every level, as wide as the step; with many grids, all their bars in one pile.

    Parameters
    ----------
    grids
    edges
        Bin borders, increasing.

    Returns
    -------
    ndarray, shape (len(edges) - 1,)
        Weights per unit of the axis, on average over each bin.
    """
    # A bar adds its height where it begins and takes it away where it ends; summed up twice, weights below x.
    heights = grids.counts / grids.steps
    knots = np.concatenate([grids.levels - grids.steps / 2, grids.levels + grids.steps / 2])
    order = np.argsort(knots)
    knots, slopes = knots[order], np.cumsum(np.concatenate([heights, -heights])[order])
    below = np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(knots))])
    return np.diff(np.interp(edges, knots, below)) / np.diff(edges)
