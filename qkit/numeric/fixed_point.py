"""From the int32 sums of a layer to its int8 output: a multiplication by a real number, in integers, and a rounding.

An int8 layer sums products in int32. The sum ``acc`` counts steps of ``S_x * S_w``, the output steps of ``S_y``, so

    q_y = clip(round(acc * M) + Z_y, q_min, q_max)        M = S_x * S_w / S_y

Hardware without floats holds the real number M as a 32-bit integer and a shift:

    M ≈ m0 * 2^(shift - 31),   2^30 <= m0 < 2^31        acc * M ≈ acc * m0 / 2^(31 - shift)

The LiteRT specification does not say how to hold M nor how to round the last division. LiteRT's runtimes differ, and
so do their results, by one integer in a few of a thousand. For convolutions on x86 they are as follows; what differs
for other layers stands in :mod:`qkit.numeric.integer_layers`.

* ``xnnpack``, LiteRT's default, multiplies by a float32, and rounds ties to even;
* ``builtin``, LiteRT without XNNPACK (ruy), by M0 and shift, and rounds twice, ties up (on ARM once);
* ``reference``, LiteRT's slow, plain one, by M0 and shift, and rounds twice, the second time ties away from 0;
* ``single``, LiteRT built with TFLITE_SINGLE_ROUNDING, by M0 and shift, and rounds once, ties up.

The first three are equal to LiteRT bit for bit; none that is shipped is built as the fourth, here to compare.

Sources: Jacob et al. 2018, arXiv:1712.05877, section 2.2; gemmlowp ``fixedpoint/fixedpoint.h``; LiteRT
``kernels/internal/common.cc``, ``quantization_util.cc``, ``kernels/kernel_util.cc``, ``kernels/fully_connected.cc``
and ``kernels/internal/reference/integer_ops``; ruy ``kernel_avx2_fma.cc``, and ``apply_multiplier.cc`` (once);
XNNPACK ``src/operators``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np

from qkit.numeric.affine import QuantParams, float64s, half_away, reals

FixedPointRounding = Literal["single", "double", "double_up"]
Runtime = Literal["xnnpack", "builtin", "reference", "single"]
Activation = Literal["NONE", "RELU", "RELU6"]

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
"""The names of the four, LiteRT's default first."""


@dataclass(frozen=True, eq=False)
class FixedPointMultiplier:
    """The real number ``m0 * 2^(shift - 31)``; :func:`quantize_multiplier` makes it.

    ``m0`` is from 2^30 to 2^31 - 1, or 0 for a real number below 2^-32; ``shift`` is from -31 to 31, negative where M
    is well below 1. Both are int, or ndarray of int64, shape (channels,).
    """

    m0: int | np.ndarray
    shift: int | np.ndarray

    @property
    def real(self) -> float | np.ndarray:
        return np.ldexp(np.asarray(self.m0, np.float64), np.subtract(self.shift, 31))

    def __getitem__(self, channel: int) -> "FixedPointMultiplier":
        return FixedPointMultiplier(int(self.m0[channel]), int(self.shift[channel]))


def quantize_multiplier(real: float | np.ndarray) -> FixedPointMultiplier:
    """Write a real multiplier as a 32-bit integer and a shift; the relative error is at most 2^-31.

    ``real``, a number or an array (channels,), is above 0 and at most 2^30, else a ValueError. As LiteRT does, numbers
    below 2^-32, which would turn every int32 to 0, become 0. Taught in notebook 06, section 3.

    >>> quantize_multiplier(0.75)  # 3 * 2^29 / 2^31
    FixedPointMultiplier(m0=1610612736, shift=0)
    """
    real = float64s(real, "real")
    if not np.all((real > 0) & (real <= 2**30)):
        raise ValueError(f"a multiplier must be above 0 and at most 2**30, got {real}")
    fraction, shift = np.frexp(real)
    fraction, bits = np.frexp(np.floor(fraction * 2**31 + 0.5))
    shift = shift + bits - 31  # one more where a fraction just below 1 was rounded up to 1
    m0, shift = (np.where(shift < -31, 0, each).astype(np.int64) for each in (fraction * 2**31, shift))
    return FixedPointMultiplier(m0, shift) if real.ndim else FixedPointMultiplier(m0.item(), shift.item())


def rescale(acc: np.ndarray, multiplier: FixedPointMultiplier, rounding: FixedPointRounding = "double") -> np.ndarray:
    """Multiply int32 sums by a fixed-point multiplier, and round.

    ``acc`` are integers of any shape; per channel, the channels are the last axis, else a ValueError. Returns int32 in
    the same shape, not yet moved by the zero-point or clipped to 8 bits. Raises an OverflowError for what is more than
    an int32, where LiteRT goes wrong in silence. The ``rounding`` is one of three:

    * "single": one division by 2^(31 - shift), ties up (LiteRT built with single rounding).
    * "double": by 2^31, ties up, then by 2^-shift, ties away from 0 (gemmlowp; LiteRT's reference convolution).
    * "double_up": by 2^31, then by 2^-shift, both ties up (ruy on x86).

    Taught in notebook 06, section 4. The exact product is 118.4987; rounded twice, it is first 118.5 and then 119:

    >>> m = quantize_multiplier(0.00202749)
    >>> int(rescale(58446, m, "single")), int(rescale(58446, m, "double"))
    (118, 119)
    """
    m0, shift = multiplier.m0, multiplier.shift
    if rounding == "single":
        product = _int32_values(acc, np.shape(m0), np.int64) * m0  # below 2^62 + 2^61: no int64 overflow
        return _int32(_divide_up(product, np.subtract(31, shift)))
    if rounding not in ("double", "double_up"):
        raise ValueError(f"rounding must be 'single', 'double' or 'double_up', got {rounding!r}")
    divide = _divide_up if rounding == "double_up" else divide_away
    return divide(_high(acc, multiplier), np.maximum(np.negative(shift), 0)).astype(np.int32)


def rescale_float32(acc: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Multiply int32 sums by a float32, and round half to even: ``rint(float32(acc) * scale)``.

    XNNPACK does this. Its scale, a number or one a channel, is ``float32(S_x) * float32(S_w) / float32(S_y)``, every
    step rounded to float32. Taught in notebook 06, section 6.

    >>> rescale_float32([1, 3, 58446], [0.5, 0.5, 0.00202749])
    array([  0,   2, 118], dtype=int32)
    """
    scale = float64s(scale, "scale").astype(np.float32)
    return _int32(np.rint(_int32_values(acc, scale.shape, np.float32) * scale))


def rescale_float64(acc: np.ndarray, scale: float | np.ndarray) -> np.ndarray:
    """Multiply int32 sums by a float64, and round half away from 0. Taught in notebook 06, section 4.

    LiteRT's reference runtime does this, in dense layers.

    >>> rescale_float64([1, -1], 0.5)
    array([ 1, -1], dtype=int32)
    """
    scale = float64s(scale, "scale")
    return _int32(half_away(_int32_values(acc, scale.shape, np.float64) * scale))


def high_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a * b / 2^31``, ties up: int64 arrays of int32 values (gemmlowp's SaturatingRoundingDoublingHighMul)."""
    return _divide_up(a * b, 31)


def divide_away(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    """Return ``x / 2^exponent``, ties away from 0: int64 arrays (gemmlowp's RoundingDivideByPOT)."""
    # Ties up, of a number one less, are ties down.
    return _divide_up(x - ((x < 0) & np.greater(exponent, 0)), exponent)


def integer_range(y: QuantParams, activation: Activation, runtime: Runtime = "xnnpack") -> tuple[int, int]:
    """Return the lowest and the highest integer that an activation lets through: it costs nothing but a clip.

    A ReLU ends at the integer for 0, the zero-point, and a ReLU6 at that for 6, too: round(6 / S_y) + Z_y, with ties to
    even in ``xnnpack``, else away from 0. Taught in notebook 06, section 6.

    >>> from qkit.numeric import QuantSpec
    >>> integer_range(QuantParams(0.05, -100, QuantSpec()), "RELU6")
    (-100, 20)
    """
    if activation not in get_args(Activation):
        raise ValueError(f"activation must be one of {', '.join(get_args(Activation))}, got {activation!r}")
    if activation == "NONE":
        return y.spec.qmin, y.spec.qmax
    q_max = y.spec.qmax
    if activation == "RELU6":
        six = np.float32(6) / np.float32(y.scale)
        q_max = int(min(q_max, y.zero_point + (np.rint(six) if runtime == "xnnpack" else half_away(six))))
    return y.zero_point, q_max


def check_runtime(runtime: str) -> None:
    """Refuse, with a ValueError, a name that is not one of :data:`RUNTIMES`."""
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")


@dataclass(frozen=True)
class Requantized:
    """One sum on its way to int8; :meth:`Requantizer.steps` makes it."""

    runtime: Runtime
    multiplier: float  # M as this runtime holds it
    fixed: FixedPointMultiplier | None  # M0 and shift, where this runtime has them
    product: float  # the sum times the multiplier, before it is rounded to an integer
    halfway: float | None  # after the first rounding, where there are two
    rounded: int  # after the last rounding
    shifted: int  # with the zero-point Z_y
    q: int  # clipped: the int8 output


@dataclass(frozen=True, eq=False)
class Requantizer:
    """Turns the sums of one layer into int8, as each of the runtimes does. Taught in notebook 06, sections 3 to 6.

    ``w_scale`` is one number, or one for each output channel, and ``y`` the grid of the output. ``activation`` is what
    follows, see :func:`integer_range`. ``dense`` layers are not always treated as convolutions are.

    >>> from qkit.numeric import QuantSpec
    >>> layer = Requantizer(1.0, 0.00202749, QuantParams(1.0, -128, QuantSpec()), "RELU", dense=False)
    >>> [int(layer.run(np.int32([58446]), runtime)[0]) for runtime in RUNTIMES]
    [-10, -9, -9, -10]
    """

    x_scale: float
    w_scale: float | np.ndarray
    y: QuantParams
    activation: Activation
    dense: bool

    @property
    def multiplier(self) -> float | np.ndarray:
        """M = S_x * S_w / S_y, as exact as float64 has it."""
        return self.x_scale * self.w_scale / self.y.scale

    def run(self, acc: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        """Requantize int32 sums of any shape, whose last axis counts channels, to int8."""
        (held, rescaled), zero_point = self._way(runtime), self.y.zero_point
        q_min, q_max = integer_range(self.y, self.activation, runtime)
        rounded = np.clip(rescaled(acc, held), q_min - zero_point, q_max - zero_point)
        return (rounded + zero_point).astype(np.int8)

    def steps(self, acc: int, channel: int, runtime: Runtime = "xnnpack") -> Requantized:
        """Requantize one sum of one channel, and keep what it is on the way."""
        held, rescaled = self._way(runtime)
        if np.ndim(self.w_scale):
            held = held[channel]
        fixed = held if isinstance(held, FixedPointMultiplier) else None
        multiplier = held.real if fixed else held
        product = np.float32(acc) * multiplier if runtime == "xnnpack" else acc * multiplier
        twice = fixed is not None and runtime != "single"
        halfway = float(np.ldexp(_high(acc, fixed), min(fixed.shift, 0))) if twice else None
        rounded = int(rescaled(acc, held))
        shifted = rounded + self.y.zero_point
        q = int(np.clip(shifted, *integer_range(self.y, self.activation, runtime)))
        return Requantized(runtime, float(multiplier), fixed, float(product), halfway, rounded, shifted, q)

    def _way(self, runtime: Runtime) -> tuple[np.ndarray | FixedPointMultiplier, Callable]:
        """Return M as this runtime holds it, and what multiplies by it and rounds."""
        check_runtime(runtime)
        # Not np.float32(w_scale): NumPy 2.2 makes a single number of an array of one channel.
        w_scale = np.asarray(self.w_scale, np.float32)
        if runtime == "xnnpack":  # which rounds every step to float32
            return np.float32(self.x_scale) * w_scale / np.float32(self.y.scale), rescale_float32
        if runtime == "reference" and self.dense:
            return np.asarray(self.multiplier, np.float64), rescale_float64
        real = self.multiplier
        if self.dense and w_scale.ndim == 0:  # for these alone LiteRT multiplies the two scales in float32
            real = np.float64(np.float32(self.x_scale) * w_scale) / self.y.scale
        rounding = {"builtin": "double_up", "reference": "double", "single": "single"}[runtime]
        return quantize_multiplier(real), partial(rescale, rounding=rounding)


def _high(acc: np.ndarray, multiplier: FixedPointMultiplier) -> np.ndarray:
    """Return ``acc * 2^max(shift, 0) * m0 / 2^31``, ties up: an int32, as m0 is less than 2^31."""
    product = _int32_values(acc, np.shape(multiplier.m0), np.int64)
    if np.any(np.greater(multiplier.shift, 0)):
        product = _int32(product << np.maximum(multiplier.shift, 0), np.int64)
    return high_product(product, multiplier.m0)


def _divide_up(x: np.ndarray, exponent: int | np.ndarray) -> np.ndarray:
    """Divide by 2^exponent, ties up."""
    return (x + ((np.int64(1) << exponent) >> 1)) >> exponent


def _int32_values(acc: np.ndarray, channels: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return ``acc``, once it is known to hold int32 values, as ``dtype``."""
    if type(acc) is not np.ndarray or acc.dtype != np.int32:
        acc = _int32(reals(acc, "acc", integers=True))
    if channels and acc.shape[-1:] != channels:
        raise ValueError(f"the last axis of acc must be the {channels[0]} channels, got shape {acc.shape}")
    return acc.astype(dtype)


def _int32(x: np.ndarray, dtype: type = np.int32) -> np.ndarray:
    if x.size and not (x.min() >= -(2.0**31) and x.max() < 2.0**31):
        raise OverflowError(f"{x.min():.0f} to {x.max():.0f} is more than an int32 holds; check the scales")
    return x.astype(dtype)
