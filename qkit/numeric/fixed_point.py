"""How integer kernels multiply by a real number: a 32-bit integer and a shift.

An int8 layer sums products in int32. The sum ``acc`` counts steps of ``S_x * S_w``, the output steps of
``S_y``, so every sum is multiplied by the real number ``M = S_x * S_w / S_y``, and rounded. Hardware without
floats does this as

    M ≈ m0 * 2^(shift - 31),   2^30 <= m0 < 2^31        q ≈ acc * m0 / 2^(31 - shift)

How the last division rounds differs from kernel to kernel, by one integer in a few results of a thousand.
:func:`rescale` names three ways; :func:`rescale_float32` is the fourth, for processors that do have floats.

References
----------
Jacob et al. 2018, arXiv:1712.05877, section 2.2; gemmlowp ``fixedpoint/fixedpoint.h``; LiteRT
``kernels/internal/common.cc`` and ``quantization_util.cc``; ruy ``apply_multiplier.cc``.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qkit.numeric.checks import float64s

FixedPointRounding = Literal["single", "double", "double_up"]

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class FixedPointMultiplier:
    """The real number ``m0 * 2^(shift - 31)``.

    Attributes
    ----------
    m0 : int, or ndarray of int64, shape (channels,)
        From 2^30 to 2^31 - 1; 0 for a real number below 2^-32.
    shift : int, or ndarray of int64, shape (channels,)
        From -31 to 31; negative in practice, where M is well below 1.
    """

    m0: int | np.ndarray
    shift: int | np.ndarray

    @property
    def real(self) -> float | np.ndarray:
        """The real number that is actually multiplied by."""
        return np.ldexp(np.asarray(self.m0, np.float64), np.subtract(self.shift, 31))


def quantize_multiplier(real: float | np.ndarray) -> FixedPointMultiplier:
    """Write a real multiplier as a 32-bit integer and a shift; the relative error is at most 2^-31.

    Parameters
    ----------
    real : float, or array_like of shape (channels,)
        Above 0 and at most 2^30. As LiteRT does, numbers below 2^-32, which would turn every int32 to 0, become 0.

    Returns
    -------
    FixedPointMultiplier
        Of integers for a number, of arrays for an array.

    Raises
    ------
    ValueError
        If a multiplier is not a finite number above 0 and at most 2^30, or the array has more than one axis.
    """
    real = float64s(real, "real")
    if real.ndim > 1:
        raise ValueError(f"real must be a number or have shape (channels,), got shape {real.shape}")
    if not np.all((real > 0) & (real <= 2**30)):
        raise ValueError(f"a multiplier must be above 0 and at most 2**30, got {real}")
    fraction, shift = np.frexp(real)
    m0 = np.floor(fraction * 2**31 + 0.5).astype(np.int64)
    carry = m0 == 2**31  # a fraction just below 1 was rounded up to 1
    m0, shift = np.where(carry, 2**30, m0), shift + carry
    vanishes = shift < -31
    m0, shift = np.where(vanishes, 0, m0), np.where(vanishes, 0, shift).astype(np.int64)
    if real.ndim == 0:
        return FixedPointMultiplier(m0.item(), shift.item())
    return FixedPointMultiplier(m0, shift)


def rescale(acc: np.ndarray, multiplier: FixedPointMultiplier, rounding: FixedPointRounding = "double") -> np.ndarray:
    """Multiply int32 sums by a fixed-point multiplier, and round.

    Parameters
    ----------
    acc : array_like of integers
        Any shape, also empty; values of int32. Per channel, the channels are the last axis.
    multiplier : FixedPointMultiplier
    rounding : {"single", "double", "double_up"}
        ``"single"``: one division by 2^(31 - shift), ties up (LiteRT built with single rounding).
        ``"double"``: by 2^31, ties up, then by 2^-shift, ties away from 0 (gemmlowp; LiteRT's reference
        convolution).
        ``"double_up"``: by 2^31, then by 2^-shift, both ties up (ruy on x86).

    Returns
    -------
    ndarray of int32, same shape as ``acc``
        Not yet moved by the zero-point or clipped to 8 bits.

    Raises
    ------
    TypeError
        If ``acc`` does not hold integers.
    ValueError
        If the last axis of ``acc`` does not match the multiplier's channels, or ``rounding`` is unknown.
    OverflowError
        If ``acc``, ``acc * 2^shift`` (where shift is positive and the rounding double) or a result is not an
        int32. The C++ kernels do not check, and go wrong in silence.

    Examples
    --------
    The exact product is 118.4989. Rounded twice, it is first 118.5 and then 119:

    >>> m = quantize_multiplier(0.00202749)
    >>> int(rescale(58446, m, "single")), int(rescale(58446, m, "double"))
    (118, 119)
    """
    m0, shift = multiplier.m0, multiplier.shift
    acc = _int32_values(acc, np.shape(m0))
    if rounding == "single":
        return _int32(_divide_up(acc * m0, np.subtract(31, shift)))  # below 2^62 + 2^61: no int64 overflow
    if rounding not in ("double", "double_up"):
        raise ValueError(f"rounding must be 'single', 'double' or 'double_up', got {rounding!r}")
    left, right = np.maximum(shift, 0), np.maximum(np.negative(shift), 0)
    # gemmlowp's SaturatingRoundingDoublingHighMul. Its saturation, for INT32_MIN squared, is not needed here.
    high = _divide_up(_int32(acc << left).astype(np.int64) * m0, 31)
    return _int32(_divide_up(high, right) if rounding == "double_up" else _divide_away(high, right))


def rescale_float32(acc: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Multiply int32 sums by a float32, and round half to even: ``rint(float32(acc) * scale)``.

    XNNPACK does this, LiteRT's default for int8 convolutions and dense layers. Its scale is
    ``float32(S_x) * float32(S_w) / float32(S_y)``, every step rounded to float32.

    Parameters
    ----------
    acc : array_like of integers
        Any shape, also empty; values of int32. Per channel, the channels are the last axis.
    scale : float, or array_like of shape (channels,)
        Converted to float32.

    Returns
    -------
    ndarray of int32, same shape as ``acc``

    Raises
    ------
    TypeError, ValueError, OverflowError
        As :func:`rescale`.
    """
    scale = float64s(scale, "scale").astype(np.float32)
    acc = _int32_values(acc, scale.shape)
    product = acc.astype(np.float32) * scale
    return _int32(np.rint(product).astype(np.float64))  # float32 cannot tell 2^31 - 1 from 2^31


def _divide_up(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    """Divide by 2^exponent and round, ties up."""
    half = (np.int64(1) << exponent) >> 1
    return (x + half) >> exponent


def _divide_away(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    """Divide by 2^exponent and round, ties away from 0: gemmlowp's RoundingDivideByPOT."""
    return np.sign(x) * _divide_up(np.abs(x), exponent)


def _int32_values(acc: np.ndarray, channels: tuple[int, ...]) -> np.ndarray:
    """Return ``acc`` as int64, for products to fit, once it is known to hold int32 values."""
    acc = np.asarray(acc)
    if acc.dtype.kind not in "iu":
        raise TypeError(f"acc must hold integers, got {acc.dtype}")
    if channels and acc.shape[-1:] != channels:
        raise ValueError(f"the last axis of acc must be the {channels[0]} channels, got shape {acc.shape}")
    return _int32(acc).astype(np.int64)


def _int32(x: np.ndarray) -> np.ndarray:
    if x.size and not (x.min() >= _INT32.min and x.max() <= _INT32.max):
        raise OverflowError(f"{x.min():.0f} to {x.max():.0f} is more than an int32 holds; check the scales")
    return x.astype(np.int32)
