"""The layers of an int8 network that have no weights: pooling, reshaping, softmax, and ways in and out of int8.

Where LiteRT's kernels differ, ``kernels`` says whom to follow; see :mod:`qkit.numeric.requantize`.

References
----------
LiteRT ``kernels/internal/reference`` and ``kernels/internal/optimized``.
"""

from dataclasses import dataclass

import numpy as np

from qkit.numeric.integer_layers import Layer, Windowed
from qkit.numeric.integer_softmax import softmax_by_table, softmax_in_integers
from qkit.numeric.requantize import Kernels


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Windowed):
    """The largest integer of each window. Scale and zero-point stay, so it is also the largest real number."""

    op = "MAX_POOL_2D"

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return int8 (n, *shape) for int8 (n, height, width, channels)."""
        seen = self.windows(q_x, -128)
        largest = seen[:, :, :, 0, 0].copy()
        for row, column in np.ndindex(self.size):
            np.maximum(largest, seen[:, :, :, row, column], out=largest)
        return largest


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Layer):
    """The same numbers in another shape."""

    op = "RESHAPE"

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return (n, *shape)."""
        return q_x.reshape(len(q_x), *self.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Layer):
    """From logits to shares of 1: scale 1/256, zero-point -128."""

    op = "SOFTMAX"

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return int8 (n, classes) for int8 (n, classes); XNNPACK leaves this layer to the built-in kernel."""
        softmax = softmax_in_integers if kernels == "reference" else softmax_by_table
        return softmax(q_x, self.x.scale)


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantize(Layer):
    """From float32 to int8."""

    op = "QUANTIZE"

    def run(self, x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return int8 for float32, in the same shape: ties away from 0 in the reference kernels, else to even."""
        scale = np.float32(self.y.scale)
        if kernels == "reference":
            steps = x / scale
            q = np.trunc(steps + np.copysign(np.nextafter(np.float32(0.5), np.float32(0)), steps))
        else:
            q = np.rint(x * (np.float32(1) / scale))
        spec = self.y.spec
        return np.clip(q + self.y.zero_point, spec.qmin, spec.qmax).astype(spec.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shift(Layer):
    """From uint8 to int8 or back: another zero-point, the same scale."""

    op = "QUANTIZE"

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return integers for integers, in the same shape."""
        q = q_x.astype(np.int16) + (self.y.zero_point - self.x.zero_point)
        return np.clip(q, self.y.spec.qmin, self.y.spec.qmax).astype(self.y.spec.dtype)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dequantize(Layer):
    """From int8 to float32."""

    op = "DEQUANTIZE"

    def run(self, q_x: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Return float32 for int8, in the same shape; the built-in kernels may differ in the last digit."""
        q, scale, zero_point = q_x.astype(np.float32), np.float32(self.x.scale), np.float32(self.x.zero_point)
        if kernels in ("builtin", "single"):
            return q * scale - zero_point * scale
        return (q - zero_point) * scale
