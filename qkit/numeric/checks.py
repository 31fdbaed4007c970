"""What every function of :mod:`qkit.numeric` asks of its numbers."""

import numpy as np

LARGEST = 1e300
"""Larger numbers are refused, so that the width of a range, and the ends of its grid, never overflow."""


def as_reals(x: np.ndarray, name: str = "x") -> np.ndarray:
    """Return ``x`` as a float64 array, and refuse what is not a finite real number.

    Raises
    ------
    TypeError
        If ``x`` does not hold integers or floats.
    ValueError
        If ``x`` holds NaN, an infinity, or a number beyond 1e300.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold integers or floats, got {array.dtype}; convert it first")
    array = array.astype(np.float64, copy=False)
    # Written so that NaN fails it too.
    if array.size and not (array.min() >= -LARGEST and array.max() <= LARGEST):
        _refuse(array, name)
    return array


def _refuse(array: np.ndarray, name: str) -> None:
    wrong = ~(np.abs(array) <= LARGEST)
    raise ValueError(
        f"{name} must hold finite numbers up to {LARGEST:g}, got {array[wrong].flat[0]} "
        f"({wrong.sum()} of {array.size} values are wrong); find where they come from, "
        "or leave them out with x[np.isfinite(x)]"
    )
