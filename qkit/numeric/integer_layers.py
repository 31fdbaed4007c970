"""The layers of an int8 network as integer hardware computes them: int8 in, int32 sums, int8 out.

    acc = q_bias + Σ (q_x - Z_x) * q_w  =  (q_bias - Z_x * Σ q_w) + Σ q_x * q_w

The bracket does not depend on the image, so it is computed once and takes the place of the bias. Weights have no
zero-point (they are symmetric), and ``q_bias`` counts steps of S_x * S_w, as the sum does. What becomes of ``acc`` then
is told in :mod:`qkit.numeric.fixed_point`. Where LiteRT's runtimes differ, ``runtime`` says whom to follow. All that
is here was compared with each of them, number by number:

================  ===================  ============================================  ==================================
layer             ``xnnpack``          ``builtin`` (x86)                             ``reference``
================  ===================  ============================================  ==================================
convolution       float32, to even     twice, up                                     twice, away from 0
depthwise         float32, to even     twice, up; the last (channels mod 8):         twice, away from 0
                                       away from 0
dense             float32, to even     twice, up                                     float64, away from 0
max pool          no rounding          no rounding                                   no rounding
average pool      away from 0          away from 0                                   away from 0
global average    float32, to even     twice, away from 0                            twice, away from 0
                  of sum and bias
softmax           table of floats      table of floats                               integers
================  ===================  ============================================  ==================================

Source: Jacob et al. 2018, arXiv:1712.05877, sections 2.2 to 2.4.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from qkit.numeric.affine import QuantParams, dequantize, half_away
from qkit.numeric.fixed_point import (
    Activation,
    FixedPointMultiplier,
    Requantized,
    Requantizer,
    Runtime,
    check_runtime,
    integer_range,
    quantize_multiplier,
    rescale,
)
from qkit.numeric.softmax import softmax_by_table, softmax_in_integers


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """What all layers have. Taught in notebook 06, section 6.

    ``op`` is what a .tflite file calls layers of this class, such as ``"CONV_2D"``, and ``source`` the layer whose
    output is the input, or ``"image"``. ``x`` and ``y`` are the grids of the input and of the output, and ``shape`` is
    that of the output for one image.
    """

    op: ClassVar[str]
    name: str
    source: str
    x: QuantParams
    y: QuantParams
    shape: tuple[int, ...]

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        """Return the output (n, *shape) for the output (n, ...) of ``source``."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Trace:
    """How one number of a convolution's or dense layer's output comes about. Taught in notebook 06, section 5."""

    q_patch: np.ndarray  # int8, shape (rows, columns, inputs) or (inputs,)
    q_weights: np.ndarray  # likewise: what is multiplied, number by number
    x_zero_point: int
    q_bias: int
    products: int  # Σ q_x * q_w
    folded_bias: int
    acc: int  # their sum, an int32
    real: float  # the real number that acc stands for, S_x * S_w * acc; before a ReLU
    requantized: Requantized  # on to int8
    real_hat: float  # the real number that the int8 output stands for, S_y * (q - Z_y)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Layer):
    """Every output is the sum of all inputs, each times a weight. Taught in notebook 06, section 2.

    ``q_weights`` are int8, shape (channels, inputs), ``q_bias`` int32, shape (channels,); ``w`` is the weights' grid,
    ``activation`` ``"NONE"``, ``"RELU"`` or ``"RELU6"``. A ValueError if sums may become more than an int32 holds.
    """

    op = "FULLY_CONNECTED"
    dense: ClassVar[bool] = True
    q_weights: np.ndarray
    q_bias: np.ndarray
    w: QuantParams
    activation: Activation

    def __post_init__(self) -> None:
        if self._largest + np.max(np.abs(self.folded_bias)) >= 2**31:
            raise ValueError(f"the sums of {self.name} may become more than an int32 holds")

    @cached_property
    def requantizer(self) -> Requantizer:
        return Requantizer(self.x.scale, self.w.scale, self.y, self.activation, self.dense)

    @cached_property
    def folded_bias(self) -> np.ndarray:
        """q_bias - Z_x * Σ q_w: int64, shape (channels,)."""
        return self.q_bias - self.x.zero_point * self._rows.astype(np.int64).sum(axis=1)

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        return self.requantizer.run(self.sums(q_x), runtime)

    def sums(self, q_x: np.ndarray) -> np.ndarray:
        """Return the sums ``acc``, int32 (n, *shape), for int8 inputs (n, ...) that lead to ``shape``."""
        patches = self.patches(q_x.astype(self._columns.dtype))
        if q_x.dtype != np.int8 or patches.shape[1:] != (*self._place(self.shape), *self.q_weights.shape[1:]):
            what = f"{q_x.dtype} inputs of shape {q_x.shape}"
            raise ValueError(f"{self.name} takes int8 inputs that lead to outputs of shape {self.shape}, got {what}")
        acc = self._products(patches).reshape(len(q_x), *self.shape).astype(np.int32)
        return acc + self.folded_bias.astype(np.int32)

    def patches(self, q_x: np.ndarray) -> np.ndarray:
        """Return what each output is computed from, for inputs (n, inputs): themselves."""
        return q_x

    def trace(self, q_x: np.ndarray, position: tuple[int, ...], runtime: Runtime = "xnnpack") -> Trace:
        """Follow one number of the output, at (row, column, channel) or (channel,), for an int8 image."""
        lies_in = [0 <= index < side for index, side in zip(position, self.shape, strict=False)]
        if len(position) != len(self.shape) or not all(lies_in):
            raise ValueError(f"position must lie in the output of {self.name}, shape {self.shape}, got {position}")
        channel = position[-1]
        q_patch, q_weights = self.patches(q_x[None])[(0, *self._place(position))], self.q_weights[channel]
        q_bias, folded_bias = int(self.q_bias[channel]), int(self.folded_bias[channel])
        products = int(np.sum(q_patch.astype(np.int64) * q_weights))
        acc = products + folded_bias
        step = np.broadcast_to(self.x.scale * self.w.scale, len(self.q_weights))[channel]
        end = self.requantizer.steps(acc, channel, runtime)
        real, real_hat = float(step * acc), float(dequantize(np.int8(end.q), self.y))
        return Trace(q_patch, q_weights, self.x.zero_point, q_bias, products, folded_bias, acc, real, end, real_hat)

    def _place(self, position: tuple[int, ...]) -> tuple[int, ...]:
        """Where among the patches that of a number of the output is: all channels see the same."""
        return position[:-1]

    def _products(self, patches: np.ndarray) -> np.ndarray:
        return patches.reshape(-1, len(self._columns)) @ self._columns

    @property
    def _rows(self) -> np.ndarray:
        return self.q_weights.reshape(len(self.q_weights), -1)

    @cached_property
    def _columns(self) -> np.ndarray:
        """The weights as floats, shape (inputs of one sum, channels), whose matrices NumPy multiplies faster.

        The sums are the same as long as none, not even of some of the products, passes the last integer that they hold.
        """
        return np.ascontiguousarray(self._rows.T, np.float32 if self._largest <= 2**24 else np.float64)

    @cached_property
    def _largest(self) -> int:
        """What Σ |q_x * q_w| cannot pass."""
        return 128 * int(np.abs(self._rows.astype(np.int64)).sum(axis=1).max())


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Dense):
    """A dense layer on every patch of the image: weights (channels, rows, columns, inputs).

    ``size`` and ``strides`` are rows and columns; ``same`` pads the image with the zero-point, so that the output has
    ⌈side / stride⌉ rows and columns. Taught in notebook 06, section 1.
    """

    op = "CONV_2D"
    dense = False
    size: tuple[int, int]
    strides: tuple[int, int]
    same: bool

    def patches(self, q_x: np.ndarray) -> np.ndarray:
        return windows(q_x, self.size, self.strides, self.same, self.x.zero_point)


@dataclass(frozen=True, eq=False, kw_only=True)
class Depthwise(Convolution):
    """A convolution of which each output sees one channel: weights (channels, rows, columns, 1).

    Of m times as many outputs as inputs, input c leads to the outputs from m * c on. Taught in notebook 09, section 1.
    """

    op = "DEPTHWISE_CONV_2D"

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        acc = self.sums(q_x)
        q = self.requantizer.run(acc, runtime)
        if left_over := self._left_over(runtime):
            q[..., -left_over:] = self.requantizer.run(acc, "reference")[..., -left_over:]
        return q

    def patches(self, q_x: np.ndarray) -> np.ndarray:
        many = len(self.q_weights) // q_x.shape[-1]
        seen = super().patches(q_x if many == 1 else np.repeat(q_x, many, axis=-1))
        return np.moveaxis(seen, -1, 3)[..., None]

    def trace(self, q_x: np.ndarray, position: tuple[int, ...], runtime: Runtime = "xnnpack") -> Trace:
        if position[-1:] >= (len(self.q_weights) - self._left_over(runtime),):
            runtime = "reference"
        return super().trace(q_x, position, runtime)

    def _place(self, position: tuple[int, ...]) -> tuple[int, ...]:
        return position

    def _products(self, patches: np.ndarray) -> np.ndarray:
        """Add, place by place in the window, what all windows see there, times that place's weights."""
        seen, weights = np.moveaxis(patches[..., 0], (-2, -1), (0, 1)), self._columns.reshape(*self.size, -1)
        return sum(seen[place] * weights[place] for place in np.ndindex(*self.size))

    def _left_over(self, runtime: Runtime) -> int:
        """Return how many channels are computed as in the reference: the built-in runtime takes eight at a time."""
        return len(self.q_weights) % 8 if runtime == "builtin" else 0


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Layer):
    """The largest integer of each window; the grid stays, so it is the largest real number, too.

    ``size``, ``strides`` and ``same`` are those of a :class:`Convolution`. Taught in notebook 06, section 5.
    """

    op = "MAX_POOL_2D"
    size: tuple[int, int]
    strides: tuple[int, int]
    same: bool
    activation: Activation = "NONE"

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        check_runtime(runtime)
        q = windows(q_x, self.size, self.strides, self.same, -128).max(axis=(3, 4))
        return np.clip(q, *integer_range(self.y, self.activation, runtime)).astype(np.int8)


class AveragePool(MaxPool):
    """The mean integer of each window, of what lies in the image; ties away from 0, of the integers, in all runtimes.

    XNNPACK leaves it to the built-in runtime. Taught in notebook 09, section 10.
    """

    op = "AVERAGE_POOL_2D"

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        check_runtime(runtime)
        seen = windows(q_x.astype(np.float64), self.size, self.strides, self.same, np.nan)
        q = half_away(np.nanmean(seen, axis=(3, 4)))
        return np.clip(q, *integer_range(self.y, self.activation, "builtin")).astype(np.int8)


class Mean(Layer):
    """Global average: the mean of each channel, on another grid. Taught in notebook 09, section 1.

        q_y = round(Σ (q_x - Z_x) * S_x / (S_y * count)) + Z_y

    XNNPACK takes what does not depend on the image, ``Z_y - count * Z_x * scale``, as one float32, adds it to
    ``Σ q_x * scale``, and rounds then. The others divide M0 by the count.
    """

    op = "MEAN"

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        check_runtime(runtime)
        count, zero_point = q_x.shape[1] * q_x.shape[2], self.y.zero_point
        total = q_x.sum(axis=(1, 2), dtype=np.int64)
        if runtime == "xnnpack":
            scale = np.float32(self.x.scale) / np.float32(self.y.scale) * (np.float32(1) / np.float32(count))
            bias = np.float32(zero_point) - np.float32(count * self.x.zero_point) * scale
            q = np.rint(total.astype(np.float32) * scale + bias)
        else:
            ratio = quantize_multiplier(self.x.scale / self.y.scale)
            bits = min(count.bit_length() - 1, 31 + ratio.shift)  # so that m0 keeps its 31
            multiplier = FixedPointMultiplier((ratio.m0 << bits) // count, ratio.shift - bits)
            acc = total - count * self.x.zero_point
            q = rescale(acc, multiplier, "single" if runtime == "single" else "double") + zero_point
        return np.clip(q, self.y.spec.qmin, self.y.spec.qmax).astype(np.int8)


class Reshape(Layer):
    """The same numbers in another shape."""

    op = "RESHAPE"

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        check_runtime(runtime)
        return q_x.reshape(len(q_x), *self.shape)


class Softmax(Layer):
    """From logits to shares of 1, which XNNPACK leaves to the built-in runtime. Taught in notebook 06, section 5."""

    op = "SOFTMAX"

    def run(self, q_x: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        check_runtime(runtime)
        softmax = softmax_in_integers if runtime == "reference" else softmax_by_table
        return softmax(q_x, self.x.scale)


def windows_along(side: int, size: int, stride: int, same: bool) -> int:
    """Return how many windows lie along a side: of a padded one, as many as strides begin in it."""
    return -(-(side if same else side - size + 1) // stride)


def windows(x: np.ndarray, size: tuple[int, int], strides: tuple[int, int], same: bool, fill: float) -> np.ndarray:
    """Return what each window sees, (n, windows down, across, *size, inputs), of x (n, height, width, inputs)."""
    if same:
        pads = []
        for side, length, stride in zip(x.shape[1:3], size, strides, strict=True):
            missing = max((windows_along(side, length, stride, same) - 1) * stride + length - side, 0)
            pads.append((missing // 2, -(-missing // 2)))  # where it is odd, one more comes below and to the right
        x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    return seen.transpose(0, 1, 2, 4, 5, 3)
