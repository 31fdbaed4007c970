"""The grid that quantized numbers stand on: :class:`QuantSpec` says how fine, :class:`QuantParams` where.

Integers q count the steps of the grid: q stands for the real number ``scale * (q - zero_point)``.
"""

from dataclasses import dataclass

import numpy as np

from qkit.numeric.checks import float64s


@dataclass(frozen=True)
class QuantSpec:
    """How to quantize: which integers there are, and how many grids.

    Parameters
    ----------
    bits : int
        From 2 to 16.
    signed : bool
        Integers around 0 (int8: -128 to 127) or from 0 up (uint8: 0 to 255).
    symmetric : bool
        Whether the zero-point is 0. Then the larger side of the range alone sets the scale, and unsigned
        integers stand for non-negative numbers only.
    narrow_range : bool
        Leave the lowest integer out: -127 to 127. A symmetric grid then ends as far below 0 as above.
    axis : int, optional
        One scale and zero-point for each index along this axis; ``None`` for one pair for the whole tensor.

    Raises
    ------
    TypeError
        If ``bits`` or ``axis`` is not an integer.
    ValueError
        If ``bits`` is not from 2 to 16, or a narrow range is asked of symmetric unsigned integers, whose
        lowest one has to stand for 0.

    Notes
    -----
    LiteRT's activations are ``QuantSpec()``. Its weights are ``QuantSpec(symmetric=True, narrow_range=True,
    axis=...)``, where the axis counts the output channels: the last one of a Keras kernel.
    """

    bits: int = 8
    signed: bool = True
    symmetric: bool = False
    narrow_range: bool = False
    axis: int | None = None

    def __post_init__(self) -> None:
        if not _is_integer(self.bits):
            raise TypeError(f"bits must be an integer from 2 to 16, got {self.bits!r}")
        if not 2 <= self.bits <= 16:
            hint = "; binary networks need another scheme" if self.bits == 1 else ""
            raise ValueError(f"bits must be an integer from 2 to 16, got {self.bits}{hint}")
        if self.axis is not None and not _is_integer(self.axis):
            raise TypeError(f"axis must be an integer or None, got {self.axis!r}")
        # A NumPy int8 would overflow in 2**bits.
        object.__setattr__(self, "bits", int(self.bits))
        if self.symmetric and self.narrow_range and not self.signed:
            raise ValueError(
                "symmetric unsigned integers need 0 to stand for 0, and a narrow range leaves it out; "
                "drop narrow_range or use signed=True"
            )

    @property
    def qmin(self) -> int:
        """The lowest integer."""
        lowest = -(2 ** (self.bits - 1)) if self.signed else 0
        return lowest + self.narrow_range

    @property
    def qmax(self) -> int:
        """The highest integer."""
        return 2 ** (self.bits - self.signed) - 1

    @property
    def levels(self) -> int:
        """How many integers there are."""
        return self.qmax - self.qmin + 1

    @property
    def dtype(self) -> np.dtype:
        """The smallest NumPy type that holds the integers."""
        return np.dtype(f"{'int' if self.signed else 'uint'}{8 if self.bits <= 8 else 16}")

    def axis_of(self, x: np.ndarray) -> int:
        """Return ``axis``, counted from the front of ``x``.

        Raises
        ------
        ValueError
            If ``x`` has no such axis.
        """
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"axis {self.axis} does not exist in an array of shape {x.shape}")
        return self.axis % x.ndim


@dataclass(frozen=True, eq=False, repr=False)
class QuantParams:
    """Where the grid lies: ``r ≈ scale * (q - zero_point)``.

    Parameters
    ----------
    scale : float, or ndarray of float64, shape (channels,)
        The step from one grid point to the next. An array where ``spec.axis`` is given.
    zero_point : int, or ndarray of int32, shape (channels,)
        The integer that stands for real 0.
    spec : QuantSpec

    Raises
    ------
    ValueError
        If a scale is not a positive number, a zero-point is not one of the integers (or not 0, where the spec
        is symmetric), or the shapes do not agree with ``spec.axis``.
    """

    scale: float | np.ndarray
    zero_point: int | np.ndarray
    spec: QuantSpec

    def __post_init__(self) -> None:
        scale = float64s(self.scale, "scale")
        zero_point = np.array(self.zero_point)
        spec = self.spec
        ndim = 0 if spec.axis is None else 1
        if scale.ndim != ndim or scale.shape != zero_point.shape:
            wanted = "single numbers (spec.axis is None)" if ndim == 0 else "arrays of shape (channels,)"
            raise ValueError(f"scale and zero_point must be {wanted}, got shapes {scale.shape} and {zero_point.shape}")
        if not np.all(scale > 0):
            raise ValueError(f"scale must be positive, got {scale.min():g}")
        low, high = (0, 0) if spec.symmetric else (spec.qmin, spec.qmax)
        if zero_point.dtype.kind not in "iu" or np.any((zero_point < low) | (zero_point > high)):
            raise ValueError(f"zero_point must be an integer from {low} to {high} for {spec}, got {zero_point}")
        object.__setattr__(self, "scale", _frozen(scale.copy()))
        object.__setattr__(self, "zero_point", _frozen(zero_point.astype(np.int32)))

    @property
    def low(self) -> float | np.ndarray:
        """The lowest real number on the grid."""
        return self.scale * (self.spec.qmin - self.zero_point)

    @property
    def high(self) -> float | np.ndarray:
        """The highest real number on the grid."""
        return self.scale * (self.spec.qmax - self.zero_point)

    def beside(self, x: np.ndarray) -> tuple[float | np.ndarray, int | np.ndarray]:
        """Return ``(scale, zero_point)`` in shapes that broadcast against ``x``.

        Raises
        ------
        ValueError
            If ``x`` has no axis ``spec.axis``, or another number of channels along it.
        """
        if self.spec.axis is None:
            return self.scale, self.zero_point
        axis = self.spec.axis_of(x)
        if x.shape[axis] != len(self.scale):
            raise ValueError(
                f"these parameters are for {len(self.scale)} channels along axis {self.spec.axis}, "
                f"got an array of shape {x.shape}"
            )
        shape = [1] * x.ndim
        shape[axis] = -1
        return self.scale.reshape(shape), self.zero_point.reshape(shape)

    def __repr__(self) -> str:
        spec = self.spec
        channels = "" if spec.axis is None else f"{len(self.scale)} channels along axis {spec.axis}, on each "
        return (
            f"QuantParams: {channels}{spec.levels} integers {spec.qmin} to {spec.qmax} ({spec.dtype}) "
            f"stand for {np.min(self.low):.4g} to {np.max(self.high):.4g}{' at most' if channels else ''}, "
            f"step {_span(self.scale)}, real 0 is {_span(self.zero_point)}"
        )


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _frozen(array: np.ndarray) -> float | int | np.ndarray:
    """Return a Python number for a 0-d array, else the array, read-only."""
    if array.ndim == 0:
        return array.item()
    array.flags.writeable = False
    return array


def _span(values: float | np.ndarray) -> str:
    low, high = np.min(values), np.max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
