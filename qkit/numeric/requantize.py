"""From the int32 sums of a layer to its int8 output, as four sets of kernels round it.

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

from qkit.numeric.fixed_point import (
    FixedPointMultiplier,
    FixedPointRounding,
    quantize_multiplier,
    rescale,
    rescale_float32,
    rescale_float64,
    rounded_once,
)
from qkit.numeric.grid import QuantParams

Kernels = Literal["xnnpack", "builtin", "reference", "single"]
KERNELS: tuple[Kernels, ...] = get_args(Kernels)
"""The names of the four, LiteRT's default first."""

_ROUNDING: dict[Kernels, FixedPointRounding] = {"builtin": "double_up", "reference": "double", "single": "single"}


def check_kernels(kernels: str) -> None:
    """Refuse a name that is not one of :data:`KERNELS`.

    Raises
    ------
    ValueError
    """
    if kernels not in KERNELS:
        raise ValueError(f"kernels must be one of {', '.join(KERNELS)}, got {kernels!r}")


@dataclass(frozen=True)
class Requantized:
    """One sum on its way to int8.

    Attributes
    ----------
    kernels : str
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

    kernels: Kernels
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

    def run(self, acc: np.ndarray, kernels: Kernels = "xnnpack") -> np.ndarray:
        """Requantize sums.

        Parameters
        ----------
        acc : ndarray of int32
            Any shape, the last axis counting channels.
        kernels : {"xnnpack", "builtin", "reference", "single"}

        Returns
        -------
        ndarray of int8, same shape

        Raises
        ------
        ValueError
            If ``kernels`` is unknown, or the last axis has another length than there are weight scales.
        """
        rounded = self._rounded(acc, self._held(kernels), kernels)
        np.clip(rounded, self.q_min - self.y.zero_point, self.y.spec.qmax - self.y.zero_point, out=rounded)
        rounded += self.y.zero_point
        return rounded.astype(np.int8)

    def steps(self, acc: int, channel: int, kernels: Kernels = "xnnpack") -> Requantized:
        """Requantize one sum of one channel, and keep what it is on the way.

        Raises
        ------
        ValueError
            If ``kernels`` is unknown.
        """
        held = self._held(kernels)
        if np.ndim(self.w_scale):
            held = held[channel]
        fixed = held if isinstance(held, FixedPointMultiplier) else None
        multiplier = held.real if fixed else held
        product = np.float32(acc) * multiplier if kernels == "xnnpack" else acc * multiplier
        twice = fixed is not None and kernels != "single"
        rounded = int(self._rounded(np.int32(acc), held, kernels))
        shifted = rounded + self.y.zero_point
        return Requantized(
            kernels,
            float(multiplier),
            fixed,
            float(product),
            float(rounded_once(acc, fixed)) if twice else None,
            rounded,
            shifted,
            int(np.clip(shifted, self.q_min, self.y.spec.qmax)),
        )

    def _held(self, kernels: Kernels) -> np.floating | np.ndarray | FixedPointMultiplier:
        """Return M as these kernels hold it."""
        check_kernels(kernels)
        if kernels == "xnnpack":
            # Every step in float32, as the kernels compute it.
            return np.float32(self.x_scale) * np.float32(self.w_scale) / np.float32(self.y.scale)
        if kernels == "reference" and self.dense:
            return np.float64(self.multiplier)
        if self.dense and np.ndim(self.w_scale) == 0:
            # For these alone LiteRT multiplies the two scales in float32.
            return quantize_multiplier(np.float64(np.float32(self.x_scale) * np.float32(self.w_scale)) / self.y.scale)
        return quantize_multiplier(self.multiplier)

    def _rounded(self, acc: np.ndarray, held, kernels: Kernels) -> np.ndarray:
        if isinstance(held, FixedPointMultiplier):
            return rescale(acc, held, _ROUNDING[kernels])
        return rescale_float32(acc, held) if kernels == "xnnpack" else rescale_float64(acc, held)
