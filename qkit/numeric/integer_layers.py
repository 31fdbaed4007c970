"""Convolutions and dense layers as integer hardware computes them: int8 in, int32 sums, int8 out.

    acc = q_bias + Σ (q_x - Z_x) * q_w  =  (q_bias - Z_x * Σ q_w) + Σ q_x * q_w

The bracket does not depend on the image, so it is computed once and takes the place of the bias: the sum itself then
knows no zero-point. Weights have none (they are symmetric), and ``q_bias`` counts steps of S_x * S_w, as the sum
does. What becomes of ``acc`` then is told in :mod:`qkit.numeric.requantize`; layers without weights are in
:mod:`qkit.numeric.unweighted`.

References
----------
Jacob et al. 2018, arXiv:1712.05877, sections 2.2 to 2.4; the LiteRT 8-bit quantization specification,
https://developers.google.com/edge/litert/quantization/quantization_spec
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from qkit.numeric.affine import dequantize
from qkit.numeric.grid import QuantParams
from qkit.numeric.requantize import Kernels, Requantized, Requantizer


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """What all layers have.

    Attributes
    ----------
    name : str
    op : str
        What a .tflite file calls layers of this class, such as ``"CONV_2D"``.
    source : str
        The layer whose output is the input, or ``"image"``.
    x, y : QuantParams or None
        Scale and zero-point of the input and of the output; ``None`` where that is float.
    shape : tuple of int
        Of the output for one image.
    """

    op: ClassVar[str]

    name: str
    source: str
    x: QuantParams | None
    y: QuantParams | None
    shape: tuple[int, ...]

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return the output (n, *shape) for the output (n, ...) of ``source``."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Trace:
    """How one number of a convolution's or dense layer's output comes about.

    Attributes
    ----------
    position : tuple of int
        (row, column, channel), or (channel,).
    q_patch, q_weights : ndarray of int8, shape (rows, columns, inputs) or (inputs,)
        What is multiplied, number by number.
    x_zero_point, q_bias : int
    products : int
        Σ q_x * q_w.
    folded_bias : int
        q_bias - Z_x * Σ q_w.
    acc : int
        Their sum, an int32.
    real : float
        The real number that ``acc`` stands for, S_x * S_w * acc; before a ReLU.
    requantized : Requantized
        On to int8.
    real_hat : float
        The real number that the int8 output stands for, S_y * (q - Z_y).
    """

    position: tuple[int, ...]
    q_patch: np.ndarray
    q_weights: np.ndarray
    x_zero_point: int
    q_bias: int
    products: int
    folded_bias: int
    acc: int
    real: float
    requantized: Requantized
    real_hat: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Layer):
    """Every output is the sum of all inputs, each times a weight.

    Parameters
    ----------
    q_weights : ndarray of int8, shape (channels, inputs)
        A convolution has (channels, rows, columns, inputs).
    q_bias : ndarray of int32, shape (channels,)
    w : QuantParams
        Of the weights.
    relu : bool
        Whether a ReLU follows.

    Raises
    ------
    ValueError
        If the weights are not int8, or sums may become more than an int32 holds.
    """

    op = "FULLY_CONNECTED"

    q_weights: np.ndarray
    q_bias: np.ndarray
    w: QuantParams
    relu: bool

    def __post_init__(self) -> None:
        if self.q_weights.dtype != np.int8:
            raise ValueError(f"the weights of {self.name} must be int8, got {self.q_weights.dtype}")
        if self._largest_products() + np.max(np.abs(self.folded_bias)) >= 2**31:
            raise ValueError(f"the sums of {self.name} may become more than an int32 holds")

    @cached_property
    def requantizer(self) -> Requantizer:
        """What turns the sums into int8."""
        return Requantizer(self.x.scale, self.w.scale, self.y, self.relu, dense=self.q_weights.ndim == 2)

    @cached_property
    def folded_bias(self) -> np.ndarray:
        """q_bias - Z_x * Σ q_w: int64, shape (channels,)."""
        return self.q_bias - self.x.zero_point * self._rows.astype(np.int64).sum(axis=1)

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return int8 outputs (n, *shape) for int8 inputs (n, ...)."""
        return self.requantizer.run(self.sums(q_x), kernels)

    def sums(self, q_x: np.ndarray) -> np.ndarray:
        """Return the sums ``acc``, int32 (n, *shape), for int8 inputs (n, ...).

        Raises
        ------
        ValueError
            If the inputs are not int8, or have a shape that does not lead to ``shape``.
        """
        if q_x.dtype != np.int8:
            raise ValueError(f"the inputs of {self.name} must be int8, got {q_x.dtype}")
        patches = self.patches(q_x.astype(self._columns.dtype))
        if patches.shape[1:] != (*self.shape[:-1], *self.q_weights.shape[1:]):
            raise ValueError(f"inputs of shape {q_x.shape} do not fit {self.name}, whose outputs are {self.shape}")
        products = patches.reshape(-1, len(self._columns)) @ self._columns
        acc = products.astype(np.int32)
        acc += self.folded_bias.astype(np.int32)
        return acc.reshape(len(q_x), *self.shape)

    def patches(self, q_x: np.ndarray) -> np.ndarray:
        """Return what each output is computed from, for inputs (n, inputs): themselves."""
        return q_x

    def trace(self, q_x: np.ndarray, position: tuple[int, ...], kernels: Kernels = "xnnpack") -> Trace:
        """Follow one number of the output, step by step.

        Parameters
        ----------
        q_x : ndarray of int8
            The input for one image.
        position : tuple of int
            (row, column, channel) of a convolution's output, (channel,) of a dense layer's.
        kernels : {"xnnpack", "builtin", "reference", "single"}

        Returns
        -------
        Trace

        Raises
        ------
        ValueError
            If there is no such position, or ``kernels`` is unknown.
        """
        inside = len(position) == len(self.shape) and all(
            0 <= index < size for index, size in zip(position, self.shape, strict=True)
        )
        if not inside:
            raise ValueError(f"position must lie in the output of {self.name}, shape {self.shape}, got {position}")
        *place, channel = position
        q_patch, q_weights = self.patches(q_x[None])[(0, *place)], self.q_weights[channel]
        products = int(np.sum(q_patch.astype(np.int64) * q_weights))
        acc = products + int(self.folded_bias[channel])
        requantized = self.requantizer.steps(acc, channel, kernels)
        return Trace(
            tuple(position),
            q_patch,
            q_weights,
            self.x.zero_point,
            int(self.q_bias[channel]),
            products,
            int(self.folded_bias[channel]),
            acc,
            float(np.broadcast_to(self.x.scale * self.w.scale, len(self.q_weights))[channel] * acc),
            requantized,
            float(dequantize(np.int8(requantized.q), self.y)),
        )

    @property
    def _rows(self) -> np.ndarray:
        return self.q_weights.reshape(len(self.q_weights), -1)

    @cached_property
    def _columns(self) -> np.ndarray:
        """The weights as floats, shape (inputs of one sum, channels).

        NumPy multiplies matrices of floats ten times as fast as matrices of integers. The sums are the same as
        long as none, not even of a part of the products, passes the last integer that the floats hold exactly.
        """
        dtype = np.float32 if self._largest_products() <= 2**24 else np.float64
        return np.ascontiguousarray(self._rows.T, dtype)

    def _largest_products(self) -> int:
        """Return what Σ |q_x * q_w| cannot pass, whatever the input."""
        return 128 * int(np.abs(self._rows.astype(np.int64)).sum(axis=1).max())


@dataclass(frozen=True, eq=False, kw_only=True)
class Windowed(Layer):
    """A layer that slides a window over the image.

    Parameters
    ----------
    size, strides : tuple of int
        Rows and columns.
    same : bool
        Whether the image is padded, so that the output has ⌈side / stride⌉ rows and columns.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    same: bool

    def windows(self, q_x: np.ndarray, fill: int) -> np.ndarray:
        """Return what the window sees: (n, ..., rows, columns, inputs), for inputs (n, height, width, inputs)."""
        if self.same:
            missing = [
                max((-(-side // stride) - 1) * stride + size - side, 0)
                for side, stride, size in zip(q_x.shape[1:3], self.strides, self.size, strict=True)
            ]
            # Where the number is odd, one more comes below and to the right.
            around = [(0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)]
            q_x = np.pad(q_x, around, constant_values=fill)
        down, across = self.strides
        seen = np.lib.stride_tricks.sliding_window_view(q_x, self.size, axis=(1, 2))[:, ::down, ::across]
        return seen.transpose(0, 1, 2, 4, 5, 3)


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Windowed, Dense):
    """A dense layer on every patch of the image: weights (channels, rows, columns, inputs)."""

    op = "CONV_2D"

    def patches(self, q_x: np.ndarray) -> np.ndarray:
        """Return (n, ..., rows, columns, inputs) for inputs (n, height, width, inputs), padded with the zero-point."""
        return self.windows(q_x, self.x.zero_point)
