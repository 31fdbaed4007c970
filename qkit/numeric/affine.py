"""Uniform quantization: real numbers r stand on an even grid, and integers q count its steps.

    q = clip(round(r / scale) + zero_point, qmin, qmax)        r ≈ scale * (q - zero_point)

:class:`QuantSpec` says how fine the grid is, :class:`QuantParams` where it lies. Real zero is always exactly on it (its
integer is the zero-point): padding and ReLU's zeros must cost nothing. Therefore a range is widened until it holds 0,
and shifted by at most half a step, "nudged", until 0 falls on a grid point: no number in it is off by more than that.

The scale of float32 data is the float32 number that TensorFlow and LiteRT compute, bit for bit. Everything else is
computed in float64. NaN, infinity, masked entries, and arrays whose channels are not those of the parameters are a
ValueError, what is no number at all is a TypeError.

Sources: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv:1712.05877, and the LiteRT 8-bit quantization specification,
https://developers.google.com/edge/litert/quantization/quantization_spec
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

LARGEST = 1e100
"""Larger numbers are refused everywhere, so that no square, and no width of a range, ever overflows."""

Ties = Literal["half_even", "half_up", "half_away"]


@dataclass(frozen=True)
class QuantSpec:
    """How to quantize: which integers there are, ``qmin`` to ``qmax``, and how many grids.

    LiteRT's activations are ``QuantSpec()``. Its weights are ``QuantSpec(symmetric=True, narrow_range=True,
    axis=...)``, where the axis counts the output channels: the last one of a Keras kernel. Taught in notebook 02,
    section 4, and ``axis`` in section 7.

    Parameters
    ----------
    bits : int from 2 to 16
    signed : bool, integers around 0 (int8: -128 to 127) or from 0 up (uint8: 0 to 255)
    symmetric : bool, zero-point 0: the larger side of the range alone sets the scale; unsigned refuses negative numbers
    narrow_range : bool, leave the lowest integer out: a symmetric grid then ends as far below 0 as above
    axis : int or None, one scale and zero-point for each index along this axis, or one pair for the whole tensor
    """

    bits: int = 8
    signed: bool = True
    symmetric: bool = False
    narrow_range: bool = False
    axis: int | None = None

    def __post_init__(self) -> None:
        hint = "; binary networks need another scheme" if self.bits == 1 else ""
        object.__setattr__(self, "bits", whole(self.bits, "bits", 2, 16, hint))
        if self.axis is not None:
            whole(self.axis, "axis", -64, 63, "; None is one grid for all")
        if self.symmetric and self.narrow_range and not self.signed:
            raise ValueError("symmetric unsigned integers need 0 to stand for 0; drop narrow_range or use signed=True")

    @property
    def qmin(self) -> int:
        return (-(2 ** (self.bits - 1)) if self.signed else 0) + self.narrow_range

    @property
    def qmax(self) -> int:
        return 2 ** (self.bits - self.signed) - 1

    @property
    def levels(self) -> int:
        return self.qmax - self.qmin + 1

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"{'int' if self.signed else 'uint'}{8 if self.bits <= 8 else 16}")

    def axis_of(self, x: np.ndarray) -> int:
        """Return ``axis``, counted from the front of ``x``."""
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"axis {self.axis} does not exist in an array of shape {x.shape}")
        return self.axis % x.ndim


@dataclass(frozen=True, eq=False, repr=False)
class QuantParams:
    """Where the grid lies: ``r ≈ scale * (q - zero_point)``. Taught in notebook 02, section 1.

    ``scale`` is the step from one grid point to the next, ``zero_point`` the integer that stands for real 0; the grid
    reaches from ``low`` to ``high``. All four are numbers, or arrays of shape (channels,) where ``spec.axis`` is given.

    >>> QuantParams(0.5, 3, QuantSpec(bits=4, signed=False))
    QuantParams: 16 integers 0 to 15 (uint8) stand for -1.5 to 6, step 0.5, real 0 is 3
    """

    scale: float | np.ndarray
    zero_point: int | np.ndarray
    spec: QuantSpec

    def __post_init__(self) -> None:
        spec = checked(self.spec, QuantSpec)
        scale, zero_point = float64s(self.scale, "scale"), np.array(self.zero_point)
        _check_shapes("scale and zero_point", scale, zero_point, spec)
        if not np.all(scale > 0):
            raise ValueError(f"scale must be positive, got {scale.min():g}")
        low, high = (0, 0) if spec.symmetric else (spec.qmin, spec.qmax)
        if zero_point.dtype.kind not in "iu" or np.any((zero_point < low) | (zero_point > high)):
            raise ValueError(f"zero_point must be an integer from {low} to {high} for {spec}, got {zero_point}")
        for name, array in (("scale", scale.copy()), ("zero_point", zero_point.astype(np.int32))):
            object.__setattr__(self, name, read_only(array) if array.ndim else array.item())

    @property
    def low(self) -> float | np.ndarray:
        return self.scale * (self.spec.qmin - self.zero_point)

    @property
    def high(self) -> float | np.ndarray:
        return self.scale * (self.spec.qmax - self.zero_point)

    def beside(self, x: np.ndarray) -> tuple[float | np.ndarray, int | np.ndarray]:
        """Return ``(scale, zero_point)`` in shapes that broadcast against ``x``."""
        if self.spec.axis is None:
            return self.scale, self.zero_point
        axis = self.spec.axis_of(x)
        if x.shape[axis] != len(self.scale):
            channels = f"{len(self.scale)} channels along axis {self.spec.axis}"
            raise ValueError(f"these parameters are for {channels}, got an array of shape {x.shape}")
        shape = [-1 if i == axis else 1 for i in range(x.ndim)]
        return self.scale.reshape(shape), self.zero_point.reshape(shape)

    def __repr__(self) -> str:
        spec = self.spec
        channels = "" if spec.axis is None else f"{len(self.scale)} channels along axis {spec.axis}, on each "
        integers = f"{spec.levels} integers {spec.qmin} to {spec.qmax} ({spec.dtype})"
        ends = f"{np.min(self.low):.4g} to {np.max(self.high):.4g}{' at most' if channels else ''}"
        grid = f"step {_span(self.scale)}, real 0 is {_span(self.zero_point)}"
        return f"QuantParams: {channels}{integers} stand for {ends}, {grid}"


def params_from_range(low: float | np.ndarray, high: float | np.ndarray, spec: QuantSpec) -> QuantParams:
    """Lay the grid over the range from ``low`` to ``high``, widened to hold 0 and nudged.

    Asymmetric: ``scale = (high - low) / (qmax - qmin)``, and the zero-point ``qmin - low / scale`` is rounded to the
    nearest integer. A range such as -1 to 1 always ends in a tie, which goes up: the signed zero-point is 0.
    (TensorFlow's fake-quant op leaves the tie to float32's rounding errors, and its converter goes away from 0: it
    writes -1.) Symmetric: ``scale = max(-low, high) / qmax``, and the zero-point is 0.

    A range that holds nothing but 0 gets scale 1 and, if asymmetric, zero-point ``qmin``. Where ``spec.axis`` is given,
    ``low`` and ``high`` are arrays of shape (channels,). Taught in notebook 02, sections 1 and 2.

    >>> params_from_range(-1.0, 3.0, QuantSpec(bits=4, signed=False))
    QuantParams: 16 integers 0 to 15 (uint8) stand for -1.067 to 2.933, step 0.2667, real 0 is 4
    """
    checked(spec, QuantSpec)
    low, high = reals(low, "low"), reals(high, "high")
    dtype = np.result_type(low.dtype, high.dtype, np.float32)
    _check_shapes("low and high", low, high, spec)
    above = low > high
    if np.any(above):
        raise ValueError(f"low must not be above high, got {low[above][0]} and {high[above][0]}")
    if spec.symmetric and not spec.signed and np.any(low < 0):
        got = f"got low={low.min():g}; use signed=True or symmetric=False"
        raise ValueError(f"symmetric unsigned integers cannot stand for negative numbers, {got}")
    low, high = np.minimum(low, 0, dtype=np.float64), np.maximum(high, 0, dtype=np.float64)
    if spec.symmetric:
        scale = _stored(np.maximum(-low, high) / spec.qmax, dtype)
        zero_point = np.zeros(scale.shape, np.int64)
    else:
        steps, width = spec.qmax - spec.qmin, high - low
        scale = _stored(_stored(width, dtype) / steps, dtype)
        # Not -low / scale: the share is exactly 1/2 for -1 to 1, so that a tie is a tie whatever the numbers.
        share_below = -low / np.where(width > 0, width, 1)
        zero_point = spec.qmin + np.floor(share_below * steps + 0.5).astype(np.int64)
    # Steps below 1e-200 would lose digits, and numbers divided by them overflow: such a range gets scale 1.
    return QuantParams(np.where(scale > 1e-200, scale, 1.0), zero_point, spec)


def params_from_data(x: np.ndarray, spec: QuantSpec) -> QuantParams:
    """Lay the grid over all of ``x``, from its minimum to its maximum ("MinMax"), as :func:`params_from_range` does.

    With ``spec.axis``, every channel of the array gets the grid of its own range. Raises a ValueError if ``x`` is
    empty. Taught in notebook 02, section 6, and per channel in section 7.

    >>> params_from_data([[0.7, -1.4], [0.1, 0.2]], QuantSpec(bits=4, symmetric=True, axis=1)).scale
    array([0.1, 0.2])
    """
    checked(spec, QuantSpec)
    x = some(x)
    others = None if spec.axis is None else tuple(i for i in range(x.ndim) if i != spec.axis_of(x))
    return params_from_range(x.min(axis=others), x.max(axis=others), spec)


def quantize(x: np.ndarray, params: QuantParams, rounding: Ties = "half_even") -> np.ndarray:
    """Replace real numbers by integers: ``clip(round(x / scale) + zero_point, qmin, qmax)``.

    Returns an array of type ``params.spec.dtype`` in the shape of ``x``. An ``x / scale`` halfway between two integers
    goes to the even one, as NumPy rounds ("half_even": 0.5 → 0, 1.5 → 2, -0.5 → 0); up, as in TensorFlow's fake-quant
    ops ("half_up": 0.5 → 1, 1.5 → 2, -0.5 → 0); or away from 0, as in LiteRT's reference runtime ("half_away": 0.5 → 1,
    1.5 → 2, -0.5 → -1). Taught in notebook 02, section 1, and the roundings in section 4.

    >>> params = QuantParams(0.5, 3, QuantSpec(bits=4, signed=False))
    >>> q = quantize([-9.0, -1.5, 0.0, 0.3, 6.0], params)
    >>> q, dequantize(q, params)
    (array([ 0,  0,  3,  4, 15], dtype=uint8), array([-1.5, -1.5,  0. ,  0.5,  6. ]))
    """
    spec = checked(params, QuantParams).spec
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be 'half_even', 'half_up' or 'half_away', got {rounding!r}")
    x = reals(x)
    scale, zero_point = params.beside(x)
    q = ROUNDINGS[rounding](np.divide(x, scale, dtype=np.float64)) + zero_point
    return np.asarray(np.clip(q, spec.qmin, spec.qmax), spec.dtype)


def dequantize(q: np.ndarray, params: QuantParams) -> np.ndarray:
    """Return what integers stand for, in float64: ``scale * (q - zero_point)``. Taught in notebook 02, section 1.

    Other numbers than integers from ``qmin`` to ``qmax`` are refused.
    """
    spec = checked(params, QuantParams).spec
    q = reals(q, "q", integers=True)
    if q.size and not (q.min() >= spec.qmin and q.max() <= spec.qmax):
        raise ValueError(f"q must lie from {spec.qmin} to {spec.qmax}, got {q.min()} to {q.max()}")
    scale, zero_point = params.beside(q)
    return np.subtract(q, zero_point, dtype=np.float64) * scale


def fake_quantize(x: np.ndarray, params: QuantParams, rounding: Ties = "half_even") -> np.ndarray:
    """Move real numbers onto the grid: :func:`quantize`, then :func:`dequantize`.

    Returns an array in the shape and type of ``x``, float32 at least; a grid point beyond that type's largest number is
    the largest number. Taught in notebook 02, section 2, and for training in notebook 07, section 2.

    >>> fake_quantize([-9.0, 0.3, 1.0], QuantParams(0.25, 0, QuantSpec(bits=4)))
    array([-2.  ,  0.25,  1.  ])
    """
    return _as_type_of(np.asarray(x), dequantize(quantize(x, params, rounding), params))


def straight_through(x: np.ndarray, params: QuantParams) -> np.ndarray:
    """Return what a gradient is multiplied by on its way back through :func:`fake_quantize`.

    A staircase has slope 0 between its jumps and none at them: nothing could be learned through it. The
    straight-through estimator pretends on the way back that a value inside the range was not rounded at all:

        ∂x̂ / ∂x := 1 where low ≤ x ≤ high, else 0

    Beyond the ends of the grid a value is clipped: a small change of it changes nothing. Returns an array in the shape
    and type of ``x``, float32 at least. Source: Bengio, Léonard and Courville 2013, arXiv:1308.3432; with the clipped
    range, TensorFlow's ``fake_quant_with_min_max_vars_gradient``. Taught in notebook 07, section 1.

    >>> params = params_from_range(-1.0, 1.0, QuantSpec(bits=2, symmetric=True, narrow_range=True))
    >>> straight_through([-1.2, -1.0, 0.3, 1.0, 1.2], params)
    array([0., 1., 1., 1., 0.])
    """
    spec = checked(params, QuantParams).spec
    x = reals(x)
    scale, zero_point = params.beside(x)
    # In the type of x: a float32 value on the last level must not lie beyond it by a rounding error.
    low, high = (_as_type_of(x, scale * (q - zero_point)) for q in (spec.qmin, spec.qmax))
    return ((low <= x) & (x <= high)).astype(low.dtype)


def reals(x: np.ndarray, name: str = "x", integers: bool = False) -> np.ndarray:
    """Return ``x`` as an array of its own type; a TypeError or ValueError if that is not of finite real numbers."""
    if np.ma.is_masked(x):
        raise ValueError(f"{name} has {np.ma.count_masked(x)} masked entries; leave them out with x.compressed()")
    array = np.asarray(x)
    if array.dtype.kind not in ("iu" if integers else "iuf"):
        wanted, way_out = ("", "quantize(x, params) makes them") if integers else (" or floats", "convert it first")
        raise TypeError(f"{name} must hold integers{wanted}, got {array.dtype}; {way_out}")
    # NaN fails this, too; float(), because a float16 would turn LARGEST into infinity.
    if array.size and not (float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST):
        wrong = ~(np.abs(array.astype(np.float64)) <= LARGEST)
        got = f"{array[wrong].flat[0]} ({wrong.sum()} of {array.size} values are wrong); find where they come from"
        raise ValueError(f"{name} must hold finite numbers up to {LARGEST:g}, got {got}")
    return array


def some(x: np.ndarray, name: str = "x") -> np.ndarray:
    """Return :func:`reals`; a ValueError if it is empty."""
    array = reals(x, name)
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one value, got shape {array.shape}")
    return array


def float64s(x: np.ndarray, name: str = "x") -> np.ndarray:
    """Return :func:`reals` as float64."""
    return reals(x, name).astype(np.float64, copy=False)


def float32s(x: np.ndarray, name: str = "x") -> np.ndarray:
    """Return :func:`some` as float32; a ValueError beyond its largest number."""
    array = some(x, name)
    if max(abs(float(array.min())), abs(float(array.max()))) > float(np.finfo(np.float32).max):
        raise ValueError(f"{name} must hold numbers of float32, up to 3.4e38, got {array.min()} to {array.max()}")
    return array.astype(np.float32)


def read_only(array: np.ndarray) -> np.ndarray:
    """Make an array read-only, since others hold it too, and return it."""
    array.flags.writeable = False
    return array


def whole(value: int, name: str, low: int, high: int, hint: str = "") -> int:
    """Return a Python or NumPy integer as Python's; a ValueError if it is a bool, or not from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low:,} to {high:,}, got {value!r}{hint}")
    return int(value)


def checked(value: QuantSpec | QuantParams, kind: type) -> QuantSpec | QuantParams:
    """Return a value; a TypeError that tells the way out, if it is not of its kind."""
    if not isinstance(value, kind):
        spec_wanted = "spec must be a QuantSpec, such as QuantSpec(bits=8)"
        params_wanted = "params must be a QuantParams; params_from_data(x, spec) makes one"
        raise TypeError(f"{spec_wanted if kind is QuantSpec else params_wanted}, got {value!r}")
    return value


def _check_shapes(names: str, a: np.ndarray, b: np.ndarray, spec: QuantSpec) -> None:
    if a.shape != b.shape or a.ndim != (spec.axis is not None):
        wanted = "single numbers (spec.axis is None)" if spec.axis is None else "arrays of shape (channels,)"
        raise ValueError(f"{names} must be {wanted}, got shapes {a.shape} and {b.shape}")


def _span(values: float | np.ndarray) -> str:
    low, high = np.min(values), np.max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _stored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round to ``dtype``, but leave what would overflow or lose digits there as it is."""
    normal = (values >= np.finfo(dtype).tiny) & (values <= np.finfo(dtype).max)
    return np.where(normal, np.where(normal, values, 0).astype(dtype), values)


def _as_type_of(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Round to the type of ``x``, float32 at least, where numbers beyond its largest become the largest."""
    dtype = np.result_type(x.dtype, np.float32)
    return np.clip(values, -np.finfo(dtype).max, np.finfo(dtype).max).astype(dtype)


def half_up(x: np.ndarray) -> np.ndarray:
    """Round floats, ties up."""
    below = np.floor(x)
    return below + (x - below >= 0.5)


def half_away(x: np.ndarray) -> np.ndarray:
    """Round floats, ties away from 0. Not by adding 0.5 and cutting off: 0.49999999999999994 + 0.5 is already 1."""
    half = np.nextafter(x.dtype.type(0.5), x.dtype.type(0))
    return np.trunc(x + np.copysign(half, x))


ROUNDINGS = {"half_even": np.rint, "half_up": half_up, "half_away": half_away}
