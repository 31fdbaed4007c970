"""How far quantized numbers are from what they stand for: ``x`` is the original, ``x_hat`` what came back.

All sums are in float64. An average over nothing has no value, so empty arrays are refused.
"""

import numpy as np

from qkit.numeric.affine import QuantParams, float64s


def mse(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the mean squared error, ``mean((x - x_hat)²)``.

    Parameters
    ----------
    x, x_hat : array_like of real numbers, same shape
        Any shape with at least one value.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes differ, the arrays are empty, or a number is not finite.
    """
    x, x_hat = _pair(x, x_hat)
    return float(np.mean((x - x_hat) ** 2))


def max_error(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the largest error, ``max(|x - x_hat|)``. Parameters and errors raised as for :func:`mse`."""
    x, x_hat = _pair(x, x_hat)
    return float(np.max(np.abs(x - x_hat)))


def sqnr_db(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the signal-to-quantization-noise ratio in decibels, ``10 log10(sum(x²) / sum((x - x_hat)²))``.

    Every 10 dB are a factor of 10 in power; every halving of the step is worth 6.02 dB.

    Parameters
    ----------
    x, x_hat
        As for :func:`mse`.

    Returns
    -------
    float
        ``inf`` where there is no error (also of a signal that is all zero), ``-inf`` where there is an error
        but no signal.

    Raises
    ------
    ValueError
        As :func:`mse`.
    """
    x, x_hat = _pair(x, x_hat)
    error = x - x_hat
    if not error.any():
        return np.inf
    if not x.any():
        return -np.inf
    return float(20 * (np.log10(_norm(x)) - np.log10(_norm(error))))


def effective_bits(sqnr_db: float) -> float:
    """Return how many bits an ideal quantizer would need for this SQNR: ``(sqnr_db - 1.76) / 6.02``.

    The ideal is that of analog-to-digital converters (ENOB, IEEE Std 1241): a sine wave that fills the range,
    and errors spread evenly over a step (Bennett 1948). It is a yardstick, not a count of the bits in use:
    weights and activations are no sine waves, and with their rare large values they get fewer effective bits
    out of the same integers. A uniform signal that fills the range has no 1.76 dB to subtract.

    Parameters
    ----------
    sqnr_db : float
        From :func:`sqnr_db`.

    Returns
    -------
    float
        Negative below 1.76 dB; infinities stay what they are.
    """
    return float((sqnr_db - 10 * np.log10(1.5)) / (20 * np.log10(2)))


def cosine_similarity(x: np.ndarray, x_hat: np.ndarray) -> float:
    """Return the cosine of the angle between two tensors, ``x · x_hat / (|x| |x_hat|)``.

    It does not see a common factor: ``x`` and ``2 x`` have similarity 1.

    Parameters
    ----------
    x, x_hat
        As for :func:`mse`.

    Returns
    -------
    float
        From -1 to 1. Two tensors that are all zero are the same: 1. With one that is all zero: 0.

    Raises
    ------
    ValueError
        As :func:`mse`.
    """
    x, x_hat = _pair(x, x_hat)
    if not (x.any() and x_hat.any()):
        return float(x.any() == x_hat.any())
    cosine = np.vdot(_unit(x), _unit(x_hat))
    return float(np.clip(cosine, -1, 1))


def share_clipped(x: np.ndarray, params: QuantParams) -> float:
    """Return the share of ``x`` that the grid cuts off: more than half a step beyond one of its ends.

    What lies within half a step is off by no more than rounding is, and does not count. So nothing is clipped
    by a grid laid over all of ``x``, although nudging may move one end of it inwards.

    Parameters
    ----------
    x : array_like of real numbers
        Any shape with at least one value; per channel, ``x.shape[axis]`` is the number of channels.
    params : QuantParams

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If ``x`` is empty or not finite, or its channels are not those of ``params``.
    """
    x = _some(float64s(x), "x")
    spec = params.spec
    scale, zero_point = params.beside(x)
    with np.errstate(over="ignore"):  # a huge x over a tiny scale is clipped like any other
        q = x / scale + zero_point
    slack = 0.5 + spec.levels * 2.0**-23  # half a step, and what rounding the scale to float32 may have added
    return float(np.mean((q < spec.qmin - slack) | (q > spec.qmax + slack)))


def _pair(x: np.ndarray, x_hat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, x_hat = float64s(x, "x"), float64s(x_hat, "x_hat")
    if x.shape != x_hat.shape:
        raise ValueError(f"x and x_hat must have the same shape, got {x.shape} and {x_hat.shape}")
    return _some(x, "x"), x_hat


def _some(x: np.ndarray, name: str) -> np.ndarray:
    if x.size == 0:
        raise ValueError(f"{name} must hold at least one value, got shape {x.shape}")
    return x


def _norm(x: np.ndarray) -> float:
    """Return the length of a vector that is not all zero; its squares neither overflow nor vanish."""
    peak = np.max(np.abs(x))
    return peak * np.sqrt(np.sum((x / peak) ** 2))


def _unit(x: np.ndarray) -> np.ndarray:
    x = x / np.max(np.abs(x))
    return x / np.sqrt(np.sum(x**2))
