"""Uniform quantization: real numbers r stand on an even grid, and integers q count its steps.

    q = clip(round(r / scale) + zero_point, qmin, qmax)        r ≈ scale * (q - zero_point)

Real zero is always exactly on the grid (its integer is the zero-point): padding and ReLU's zeros must cost
nothing. Therefore a range is widened until it holds 0, and shifted by at most half a step, "nudged", until 0
falls on a grid point. So it misses at most half a step at one end, and what lies there is off by no more than
rounding is.

The scale of float32 data is the float32 number that TensorFlow and LiteRT compute, bit for bit; that of Python
floats and float64 data is a float64. Everything else is computed in float64.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv:1712.05877, and the LiteRT 8-bit quantization specification,
https://developers.google.com/edge/litert/quantization/quantization_spec
"""

from typing import Literal

import numpy as np

from qkit.numeric.checks import reals
from qkit.numeric.grid import QuantParams, QuantSpec

Rounding = Literal["half_even", "half_up", "half_away"]


def params_from_range(low: float | np.ndarray, high: float | np.ndarray, spec: QuantSpec) -> QuantParams:
    """Lay the grid over the range from ``low`` to ``high``, widened to hold 0 and nudged.

    Parameters
    ----------
    low, high : float, or array_like of shape (channels,)
        The range of the real numbers; arrays where ``spec.axis`` is given.
    spec : QuantSpec

    Returns
    -------
    QuantParams
        Asymmetric: ``scale = (high - low) / (qmax - qmin)``, and the zero-point ``qmin - low / scale`` is
        rounded to the nearest integer. A range such as -1 to 1 always ends in a tie, which goes up: the signed
        zero-point is 0. (TensorFlow's fake-quant op leaves the tie to float32's rounding errors, and LiteRT's
        converter goes away from 0: it writes -1.)
        Symmetric: ``scale = max(-low, high) / qmax``, and the zero-point is 0.
        A range that holds nothing but 0 gets scale 1 and, if asymmetric, zero-point ``qmin``.

    Raises
    ------
    ValueError
        If ``low`` is above ``high``, a number is not finite or beyond 1e300, the shapes do not agree with each
        other or with ``spec.axis``, or the range has negative numbers and the spec is symmetric and unsigned.

    Examples
    --------
    >>> params_from_range(-1.0, 3.0, QuantSpec(bits=4, signed=False))
    QuantParams: 16 integers 0 to 15 (uint8) stand for -1.067 to 2.933, step 0.2667, real 0 is 4
    """
    low, high = reals(low, "low"), reals(high, "high")
    dtype = np.result_type(low.dtype, high.dtype, np.float32)
    low, high = low.astype(np.float64), high.astype(np.float64)
    if low.shape != high.shape or low.ndim != (spec.axis is not None):
        wanted = "single numbers (spec.axis is None)" if spec.axis is None else "arrays of shape (channels,)"
        raise ValueError(f"low and high must be {wanted}, got shapes {low.shape} and {high.shape}")
    if np.any(low > high):
        wrong = np.argmax(low > high)
        raise ValueError(f"low must not be above high, got {low.flat[wrong]:g} and {high.flat[wrong]:g}")
    if spec.symmetric and not spec.signed and np.any(low < 0):
        raise ValueError(
            f"symmetric unsigned integers cannot stand for negative numbers, got low={low.min():g}; "
            "use signed=True or symmetric=False"
        )
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    if spec.symmetric:
        scale = _stored(np.maximum(-low, high) / spec.qmax, dtype)
        zero_point = np.zeros(scale.shape, np.int64)
    else:
        steps = spec.qmax - spec.qmin
        width = high - low
        scale = _stored(_stored(width, dtype) / steps, dtype)
        # Not -low / scale: the share is exactly 1/2 for -1 to 1, so that a tie is a tie whatever the numbers.
        share_below = -low / np.where(width > 0, width, 1)
        zero_point = spec.qmin + np.floor(share_below * steps + 0.5).astype(np.int64)
    # A step must be a normal float to be exact enough: widen ranges around 1e-308.
    scale = np.where(scale > 0, np.maximum(scale, np.finfo(np.float64).tiny), 1.0)
    return QuantParams(scale, zero_point, spec)


def params_from_data(x: np.ndarray, spec: QuantSpec) -> QuantParams:
    """Lay the grid over all of ``x``, from its minimum to its maximum ("MinMax").

    Parameters
    ----------
    x : array_like of real numbers
        Any shape; at least one value, and the axis ``spec.axis`` where one is given.
    spec : QuantSpec

    Returns
    -------
    QuantParams

    Raises
    ------
    ValueError
        If ``x`` is empty, holds NaN or infinity, or has no axis ``spec.axis``; and as :func:`params_from_range`.
    TypeError
        If ``x`` does not hold real numbers.
    """
    x = reals(x)
    if x.size == 0:
        raise ValueError(f"x must hold at least one value to have a range, got shape {x.shape}")
    others = None
    if spec.axis is not None:
        axis = spec.axis_of(x)
        others = tuple(i for i in range(x.ndim) if i != axis)
    return params_from_range(x.min(axis=others), x.max(axis=others), spec)


def quantize(x: np.ndarray, params: QuantParams, rounding: Rounding = "half_even") -> np.ndarray:
    """Replace real numbers by integers: ``clip(round(x / scale) + zero_point, qmin, qmax)``.

    Parameters
    ----------
    x : array_like of real numbers
        Any shape, also empty; per channel, ``x.shape[axis]`` is the number of channels.
    params : QuantParams
    rounding : {"half_even", "half_up", "half_away"}
        What becomes of an ``x / scale`` halfway between two integers. ``"half_even"`` goes to the even one, as
        NumPy's ``round`` (0.5 → 0, 1.5 → 2, -0.5 → 0); ``"half_up"`` up, as TensorFlow's fake-quant ops
        (0.5 → 1, 1.5 → 2, -0.5 → 0); ``"half_away"`` away from 0, as LiteRT's reference kernels
        (0.5 → 1, 1.5 → 2, -0.5 → -1).

    Returns
    -------
    ndarray of ``params.spec.dtype``, same shape as ``x``

    Raises
    ------
    ValueError
        If ``x`` holds NaN or infinity, its channels are not those of ``params``, or ``rounding`` is unknown.
    TypeError
        If ``x`` does not hold real numbers.
    """
    x, spec = reals(x), params.spec
    scale, zero_point = params.beside(x)
    # One float64 array is enough for all steps, and makes this four times faster.
    q = np.empty(x.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # a huge x over a tiny scale is clipped like any other
        np.divide(x, scale, out=q, dtype=np.float64)
        _round(q, rounding)
    q += zero_point
    return np.clip(q, spec.qmin, spec.qmax, out=q).astype(spec.dtype)


def dequantize(q: np.ndarray, params: QuantParams) -> np.ndarray:
    """Return the real numbers that integers stand for: ``scale * (q - zero_point)``.

    Parameters
    ----------
    q : array_like of integers from ``qmin`` to ``qmax``
        Any shape, also empty; per channel, ``q.shape[axis]`` is the number of channels.
    params : QuantParams

    Returns
    -------
    ndarray of float64, same shape as ``q``

    Raises
    ------
    TypeError
        If ``q`` does not hold integers.
    ValueError
        If an integer is outside ``qmin`` to ``qmax``, or the channels are not those of ``params``.
    """
    q, spec = np.asarray(q), params.spec
    if q.dtype.kind not in "iu":
        raise TypeError(f"q must hold integers, got {q.dtype}; quantize(x, params) makes them")
    if q.size and not (q.min() >= spec.qmin and q.max() <= spec.qmax):
        raise ValueError(f"q must lie from {spec.qmin} to {spec.qmax}, got {q.min()} to {q.max()}")
    scale, zero_point = params.beside(q)
    x_hat = np.empty(q.shape)
    np.subtract(q, zero_point, out=x_hat, dtype=np.float64)
    x_hat *= scale
    return x_hat


def fake_quantize(x: np.ndarray, params: QuantParams, rounding: Rounding = "half_even") -> np.ndarray:
    """Move real numbers onto the grid: :func:`quantize`, then :func:`dequantize`.

    Parameters
    ----------
    x, params, rounding
        As for :func:`quantize`.

    Returns
    -------
    ndarray of float, same shape as ``x``
        In the type of ``x``, float32 at least. A grid point beyond that type's largest number is returned as
        the largest number.

    Raises
    ------
    ValueError, TypeError
        As :func:`quantize`.
    """
    x = reals(x)
    dtype = np.result_type(x.dtype, np.float32)
    x_hat = dequantize(quantize(x, params, rounding), params)
    largest = np.finfo(dtype).max
    return np.clip(x_hat, -largest, largest, out=x_hat).astype(dtype)


def _stored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round to ``dtype``, but leave what would overflow or lose digits there as it is."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(dtype)
    normal = (rounded >= np.finfo(dtype).tiny) & (rounded <= np.finfo(dtype).max)
    return np.where(normal, rounded, values)


def _round(steps: np.ndarray, rounding: Rounding) -> None:
    """Round in place. Not by adding 0.5 and cutting off: 0.49999999999999994 + 0.5 is already 1."""
    if rounding == "half_even":
        np.rint(steps, out=steps)
    elif rounding == "half_up":
        below = np.floor(steps)
        np.add(below, steps - below >= 0.5, out=steps)
    elif rounding == "half_away":
        np.trunc(steps + np.copysign(np.nextafter(0.5, 0), steps), out=steps)
    else:
        raise ValueError(f"rounding must be 'half_even', 'half_up' or 'half_away', got {rounding!r}")
