"""How integer kernels multiply by a real number: a 32-bit integer and a shift.

An int8 layer sums products in int32. The sum ``acc`` counts steps of ``S_x * S_w``, the output steps of
``S_y``, so every sum is multiplied by the real number ``M = S_x * S_w / S_y``, and rounded. Hardware without
floats does this as

    M ≈ m0 * 2^(shift - 31),   2^30 <= m0 < 2^31        q ≈ acc * m0 / 2^(31 - shift)

How the last division rounds differs from kernel to kernel, by one integer in a few results of a thousand.
:func:`rescale` names three ways; :func:`rescale_float32` and :func:`rescale_float64` are for processors that do
have floats. :mod:`qkit.numeric.fixed_point` says which kernels take which.

References
----------
Jacob et al. 2018, arXiv:1712.05877, section 2.2; gemmlowp ``fixedpoint/fixedpoint.h``; LiteRT
``kernels/internal/common.cc`` and ``quantization_util.cc``; ruy ``apply_multiplier.cc``.

----

From the int32 sums of a layer to its int8 output, as four sets of kernels round it.

    q_y = clip(round(acc * M) + Z_y, q_min, q_max)        M = S_x * S_w / S_y

The LiteRT specification does not say how to hold M nor how to round. Its kernels differ, and so do their results,
by one integer here and there. For int8 convolutions and dense layers on x86 they are:

==============  =============================================  =========================================
kernels         what they are                                  how they multiply and round
==============  =============================================  =========================================
``xnnpack``     LiteRT's default                               float32, ties to even
``builtin``     LiteRT without XNNPACK; ruy                    M0 and shift; twice, ties up
``reference``   LiteRT's slow, plain ones                      convolution: M0 and shift; twice, the second
                                                               time ties away from 0. Dense layer: float64,
                                                               ties away from 0
``single``      LiteRT built with TFLITE_SINGLE_ROUNDING       M0 and shift; once, ties up
==============  =============================================  =========================================

``xnnpack`` is the same on ARM; ``builtin`` rounds once there. The first three are equal to LiteRT bit for bit
(``benchmarks/integer.py``); no LiteRT that is shipped was built to round once, and it is here to compare.

References
----------
LiteRT ``kernels/kernel_util.cc``, ``kernels/fully_connected.cc``, ``kernels/internal/common.cc`` and
``kernels/internal/reference/integer_ops``; ruy ``apply_multiplier.cc``; XNNPACK ``src/operators``; for the multiplier
and shift, see :mod:`qkit.numeric.fixed_point`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from qkit.numeric.affine import QuantParams, float64s

FixedPointRounding = Literal["single", "double", "double_up"]


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

    def __getitem__(self, channel: int) -> "FixedPointMultiplier":
        """Return the multiplier of one channel."""
        return FixedPointMultiplier(int(self.m0[channel]), int(self.shift[channel]))


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
    if rounding == "single":
        product = _int32_values(acc, np.shape(m0))
        product *= m0  # below 2^62 + 2^61: no int64 overflow
        return _int32(_divide_up(product, np.subtract(31, shift)))
    if rounding not in ("double", "double_up"):
        raise ValueError(f"rounding must be 'single', 'double' or 'double_up', got {rounding!r}")
    divide = _divide_up if rounding == "double_up" else _divide_away
    return _int32(divide(_high(acc, multiplier), np.maximum(np.negative(shift), 0)))


def rounded_once(acc: np.ndarray, multiplier: FixedPointMultiplier) -> np.ndarray:
    """Return what :func:`rescale` has between its two roundings: multiples of 2^shift.

    Parameters
    ----------
    acc, multiplier
        As for :func:`rescale`.

    Returns
    -------
    ndarray of float64, same shape as ``acc``

    Raises
    ------
    TypeError, ValueError, OverflowError
        As :func:`rescale`.

    Examples
    --------
    >>> float(rounded_once(58446, quantize_multiplier(0.00202749)))
    118.5
    """
    return np.ldexp(_high(acc, multiplier).astype(np.float64), np.minimum(multiplier.shift, 0))


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
    product = _int32_values(acc, scale.shape).astype(np.float32)
    product *= scale
    return _int32(np.rint(product, out=product))


def rescale_float64(acc: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Multiply int32 sums by a float64, and round half away from 0: LiteRT's reference kernel of dense layers.

    Parameters, result and errors are those of :func:`rescale_float32`, but the scale stays float64.
    """
    scale = float64s(scale, "scale")
    product = _int32_values(acc, scale.shape).astype(np.float64)
    product *= scale
    # Not by adding 0.5: 0.49999999999999994 + 0.5 is already 1.
    product += np.copysign(np.nextafter(0.5, 0), product)
    return _int32(np.trunc(product, out=product))


def high_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a * b / 2^31``, ties up: int64 arrays of int32 values (gemmlowp's SaturatingRoundingDoublingHighMul).

    Its saturation, for INT32_MIN squared, is left out.
    """
    return _divide_up(a * b, 31)


def divide_away(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    """Return ``x / 2^exponent``, ties away from 0: int64 arrays (gemmlowp's RoundingDivideByPOT)."""
    return _divide_away(x.copy(), exponent)


# The helpers below divide in place: new arrays for every step would take most of the time.


def _high(acc: np.ndarray, multiplier: FixedPointMultiplier) -> np.ndarray:
    """Return ``acc * 2^max(shift, 0) * m0 / 2^31``, ties up."""
    product = _int32_values(acc, np.shape(multiplier.m0))
    if np.any(np.greater(multiplier.shift, 0)):
        product <<= np.maximum(multiplier.shift, 0)
        _check_int32(product)
    product *= multiplier.m0
    return _divide_up(product, 31)


def _divide_up(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    x += (np.int64(1) << exponent) >> 1
    x >>= exponent
    return x


def _divide_away(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    x -= (x < 0) & np.greater(exponent, 0)  # ties up, of a number one less, are ties down
    return _divide_up(x, exponent)


def _int32_values(acc: np.ndarray, channels: tuple[int, ...]) -> np.ndarray:
    """Return ``acc`` as a new int64 array, for products to fit, once it is known to hold int32 values."""
    acc = np.asarray(acc)
    if acc.dtype.kind not in "iu":
        raise TypeError(f"acc must hold integers, got {acc.dtype}")
    if channels and acc.shape[-1:] != channels:
        raise ValueError(f"the last axis of acc must be the {channels[0]} channels, got shape {acc.shape}")
    _check_int32(acc)
    return acc.astype(np.int64)


def _int32(x: np.ndarray) -> np.ndarray:
    _check_int32(x)
    return x.astype(np.int32)


def _check_int32(x: np.ndarray) -> None:
    if x.size and not (x.min() >= -(2.0**31) and x.max() < 2.0**31):
        raise OverflowError(f"{x.min():.0f} to {x.max():.0f} is more than an int32 holds; check the scales")


Runtime = Literal["xnnpack", "builtin", "reference", "single"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
"""The names of the four, LiteRT's default first."""

_ROUNDING: dict[Runtime, FixedPointRounding] = {"builtin": "double_up", "reference": "double", "single": "single"}


def check_runtime(runtime: str) -> None:
    """Refuse a name that is not one of :data:`RUNTIMES`.

    Raises
    ------
    ValueError
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")


@dataclass(frozen=True)
class Requantized:
    """One sum on its way to int8.

    Attributes
    ----------
    runtime : str
    multiplier : float
        M as these kernels hold it.
    fixed : FixedPointMultiplier or None
        M0 and shift, where these kernels have them.
    product : float
        The sum times the multiplier, before it is rounded to an integer.
    halfway : float or None
        After the first rounding, where there are two.
    rounded : int
        After the last rounding.
    shifted : int
        With the zero-point Z_y.
    q : int
        Clipped: the int8 output.
    """

    runtime: Runtime
    multiplier: float
    fixed: FixedPointMultiplier | None
    product: float
    halfway: float | None
    rounded: int
    shifted: int
    q: int


@dataclass(frozen=True, eq=False)
class Requantizer:
    """Turns the sums of one layer into int8.

    Parameters
    ----------
    x_scale : float
        S_x, of the layer's input; a float32 value, as all scales in a .tflite file are.
    w_scale : float, or ndarray of shape (channels,)
        S_w, of its weights: one for all, or one for each output channel.
    y : QuantParams
        Scale and zero-point of its output.
    relu : bool
        Whether the layer ends with a ReLU. In integers that is a higher ``q_min``: the zero-point.
    dense : bool
        Whether the layer is a dense one, which LiteRT's kernels do not always treat as they treat convolutions.
    """

    x_scale: float
    w_scale: float | np.ndarray
    y: QuantParams
    relu: bool
    dense: bool

    @property
    def q_min(self) -> int:
        """The lowest output: -128, or with a ReLU the integer that stands for 0."""
        return self.y.zero_point if self.relu else self.y.spec.qmin

    @property
    def multiplier(self) -> float | np.ndarray:
        """M = S_x * S_w / S_y, as exact as float64 has it."""
        return self.x_scale * self.w_scale / self.y.scale

    def run(self, acc: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        """Requantize sums.

        Parameters
        ----------
        acc : ndarray of int32
            Any shape, the last axis counting channels.
        runtime : {"xnnpack", "builtin", "reference", "single"}

        Returns
        -------
        ndarray of int8, same shape

        Raises
        ------
        ValueError
            If ``runtime`` is unknown, or the last axis has another length than there are weight scales.
        """
        rounded = self._rounded(acc, self._held(runtime), runtime)
        np.clip(rounded, self.q_min - self.y.zero_point, self.y.spec.qmax - self.y.zero_point, out=rounded)
        rounded += self.y.zero_point
        return rounded.astype(np.int8)

    def steps(self, acc: int, channel: int, runtime: Runtime = "xnnpack") -> Requantized:
        """Requantize one sum of one channel, and keep what it is on the way.

        Raises
        ------
        ValueError
            If ``runtime`` is unknown.
        """
        held = self._held(runtime)
        if np.ndim(self.w_scale):
            held = held[channel]
        fixed = held if isinstance(held, FixedPointMultiplier) else None
        multiplier = held.real if fixed else held
        product = np.float32(acc) * multiplier if runtime == "xnnpack" else acc * multiplier
        twice = fixed is not None and runtime != "single"
        rounded = int(self._rounded(np.int32(acc), held, runtime))
        shifted = rounded + self.y.zero_point
        return Requantized(
            runtime,
            float(multiplier),
            fixed,
            float(product),
            float(rounded_once(acc, fixed)) if twice else None,
            rounded,
            shifted,
            int(np.clip(shifted, self.q_min, self.y.spec.qmax)),
        )

    def _held(self, runtime: Runtime) -> np.floating | np.ndarray | FixedPointMultiplier:
        """Return M as these kernels hold it."""
        check_runtime(runtime)
        if runtime == "xnnpack":
            # Every step in float32, as the kernels compute it.
            return np.float32(self.x_scale) * np.float32(self.w_scale) / np.float32(self.y.scale)
        if runtime == "reference" and self.dense:
            return np.float64(self.multiplier)
        if self.dense and np.ndim(self.w_scale) == 0:
            # For these alone LiteRT multiplies the two scales in float32.
            return quantize_multiplier(np.float64(np.float32(self.x_scale) * np.float32(self.w_scale)) / self.y.scale)
        return quantize_multiplier(self.multiplier)

    def _rounded(self, acc: np.ndarray, held, runtime: Runtime) -> np.ndarray:
        if isinstance(held, FixedPointMultiplier):
            return rescale(acc, held, _ROUNDING[runtime])
        return rescale_float32(acc, held) if runtime == "xnnpack" else rescale_float64(acc, held)
