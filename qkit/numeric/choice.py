"""A chosen threshold, and what every method that chooses one asks of its input."""

from dataclasses import dataclass

import numpy as np

from qkit.numeric.affine import params_from_range
from qkit.numeric.clipping import errors_at_edges, squared_errors
from qkit.numeric.grid import QuantParams, QuantSpec
from qkit.numeric.histogram import Histogram
from qkit.numeric.magnitudes import Bins, Samples

CANDIDATES = 2048
"""How many thresholds are tried on an array, evenly spaced up to its largest magnitude."""


@dataclass(frozen=True, eq=False, repr=False)
class Threshold:
    """Where to clip, and why there.

    Attributes
    ----------
    value : float
        The largest magnitude that is kept.
    method : str
        The function that chose it.
    why : str
        What made it this one.
    signed : bool
        Whether there are negative values to keep.
    candidates, curve : ndarray of float64
        Every threshold that was considered, and the method's criterion there; empty where it has none.
    """

    value: float
    method: str
    why: str
    signed: bool
    candidates: np.ndarray | tuple = ()
    curve: np.ndarray | tuple = ()

    def __post_init__(self) -> None:
        for name in ("candidates", "curve"):
            array = np.array(getattr(self, name), np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def low(self) -> float:
        """The smallest value that is kept: ``-value``, or 0 where none is negative."""
        return -self.value if self.signed else 0.0

    def params(self, spec: QuantSpec) -> QuantParams:
        """Lay a grid over the kept range, as :func:`params_from_range` does.

        A symmetric grid maps ``value`` to ``qmax``. An asymmetric one has all its integers between ``low`` and
        ``value``: int8 stands for the same numbers as uint8 then, which is how LiteRT stores what ReLU returns.
        """
        return params_from_range(self.low, self.value, spec)

    def __repr__(self) -> str:
        return f"Threshold: {self.method} keeps {self.low:.4g} to {self.value:.4g}: {self.why}"


class Calibration:
    """What every method asks of its input, whether array or histogram."""

    def __init__(self, x: np.ndarray | Histogram, bits: int, signed: bool | None) -> None:
        self.values = Bins(x) if isinstance(x, Histogram) else Samples(x)
        low = self.values.low
        self.signed = low < 0 if signed is None else bool(signed)
        if low < 0 and not self.signed:
            raise ValueError(f"unsigned integers cannot stand for negative numbers, got {low:g}; use signed=True")
        self.steps = QuantSpec(bits, self.signed, symmetric=True, narrow_range=self.signed).qmax
        self.levels = self.steps + 1
        self.largest = max(abs(low), abs(self.values.high))

    def threshold(self, value: float, method: str, why: str, candidates=(), curve=()) -> Threshold:
        return Threshold(float(value), method, why, self.signed, candidates, curve)

    def nothing(self, method: str) -> Threshold:
        return self.threshold(0.0, method, "all values are 0, which every grid holds")

    def squared_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the candidate thresholds and the error of each, in ``values.unit``."""
        if isinstance(self.values, Bins):
            return np.arange(1, self.values.bins + 1), errors_at_edges(self.values, self.steps)
        candidates = np.arange(1, CANDIDATES + 1) / CANDIDATES
        return candidates, squared_errors(self.values, candidates, self.steps)


def rescaled(errors: np.ndarray, unit: float) -> np.ndarray:
    """Return squared errors in the unit of the data; beyond 1e308 they are infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return errors * unit * unit
