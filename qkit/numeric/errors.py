"""How far quantized numbers are from what they stand for: ``x`` is the original, ``x_hat`` what came back.

All sums are in float64. Arrays that are empty, not finite, or not of the same shape are refused with a ValueError.
"""

import math

import numpy as np

from qkit.numeric.affine import QuantParams, checked, some


def mse(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the mean squared error, ``mean((x - x_hat)²)``.

    Rounding alone leaves ``scale² / 12``, if the errors spread evenly over a step. Taught in notebook 02, section 6.

    >>> mse([1.0, 2.0], [1.0, 2.5])
    0.125
    """
    x, x_hat = _pair(x, x_hat)
    return float(np.mean((x - x_hat) ** 2))


def sqnr_db(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the signal-to-quantization-noise ratio in decibels, ``10 log10(sum(x²) / sum((x - x_hat)²))``.

    Every 10 dB are a factor of 10 in power; every halving of the step is worth 6.02 dB. It is ``inf`` where there is
    no error, ``-inf`` where there is an error but no signal. Taught in notebook 02, section 8.

    >>> sqnr_db([3.0, 4.0], [3.0, 4.5])
    20.0
    """
    x, x_hat = _pair(x, x_hat)
    # A ratio does not depend on the unit, and in this one the squares of tiny numbers do not vanish.
    unit = max(np.max(np.abs(x)), np.max(np.abs(x_hat))) or 1.0
    signal, noise = np.sum((x / unit) ** 2), np.sum(((x - x_hat) / unit) ** 2)
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def share_clipped(x: np.ndarray, params: QuantParams) -> float:
    """Return the share of ``x``, 0 to 1, that the grid cuts off: more than half a step beyond one of its ends.

    What lies within half a step is off by no more than rounding is, and does not count. So nothing is clipped by a
    grid laid over all of ``x``, although nudging may move one end of it inwards. Explored in notebook 02, section 3.

    >>> from qkit.numeric import QuantSpec
    >>> share_clipped([-2.6, -2.4, 1.4, 1.6], QuantParams(1.0, 0, QuantSpec(bits=2)))  # the grid is -2, -1, 0, 1
    0.5
    """
    spec = checked(params, QuantParams).spec
    x = some(x).astype(np.float64)
    scale, zero_point = params.beside(x)
    q = x / scale + zero_point
    slack = 0.5 + spec.levels * 2.0**-23  # half a step, and what rounding the scale to float32 may have added
    return float(np.mean((q < spec.qmin - slack) | (q > spec.qmax + slack)))


def _pair(x: np.ndarray, x_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, x_hat = some(x).astype(np.float64), some(x_hat, "x_hat").astype(np.float64)
    if x.shape != x_hat.shape:
        raise ValueError(f"x and x_hat must have the same shape, got {x.shape} and {x_hat.shape}")
    return x, x_hat
