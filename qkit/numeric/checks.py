"""What every function of :mod:`qkit.numeric` asks of its numbers."""

import numpy as np

LARGEST = 1e300
"""Larger numbers are refused, so that the width of a range, and the ends of its grid, never overflow."""


def reals(x: np.ndarray, name: str = "x") -> np.ndarray:
    """Return ``x`` as an array of its own type, and refuse what is not a finite real number.

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
    # Written so that NaN fails it too, and with float(), because a float16 would turn LARGEST into infinity.
    if array.size and not (float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST):
        wrong = ~(np.abs(array.astype(np.float64)) <= LARGEST)
        raise ValueError(
            f"{name} must hold finite numbers up to {LARGEST:g}, got {array[wrong].flat[0]} "
            f"({wrong.sum()} of {array.size} values are wrong); find where they come from, "
            "or leave them out with x[np.isfinite(x)]"
        )
    return array


def float64s(x: np.ndarray, name: str = "x") -> np.ndarray:
    """Return :func:`reals` as float64; not a copy if they are that already."""
    return reals(x, name).astype(np.float64, copy=False)
