"""The questions of the course, in the order of the notebooks: what is wanted, and what a learner reads about it.

They stand in ``questions.json``; the functions that some of them ask for stand here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np

from qkit.numeric import Paired, QuantSpec, params_from_range, quantize_multiplier


@dataclass(frozen=True)
class Question:
    """What is expected: a number; one of some ``letters``; or a function, which a learner's has to agree with.

    It has to on every one of the ``cases``; the names of its parameters are what a learner reads. ``right`` is said
    then, and else a ``gentle`` hint, or a ``strong`` one.
    """

    expected: float | str | Callable
    cases: Sequence[tuple] = ()
    _: KW_ONLY
    right: str
    gentle: str
    strong: str
    tolerance: float = 1e-9
    letters: str = "abc"


_RANGES = [(-1.0, 2.0, 2), (0.0, 6.0, 8), (-1.0, 3.0, 4), (-1.0, 2.5, 4), (-0.5, 0.2, 3)]  # low end, high end, bits

FUNCTIONS = {
    "1.2": (
        lambda patch, kernel: np.sum(patch * kernel),
        [
            (np.array([[0, 0, 9]] * 3), np.array([[-1, 0, 1]] * 3)),
            (np.arange(9).reshape(3, 3), -np.eye(3, dtype=int)),
            (np.array([[1, 2, 0], [0, 5, 1], [3, 0, 2]]), np.array([[0, 1, 0], [2, 0, 0], [0, 0, -1]])),
        ],
    ),
    "1.3": (lambda channels_in, filters: (3 * 3 * channels_in + 1) * filters, [(1, 32), (32, 64), (3, 16)]),
    "2.1": (lambda low, high, bits: (high - low) / (2**bits - 1), _RANGES),
    "2.2": (lambda low, high, bits: params_from_range(low, high, QuantSpec(bits, signed=False)).zero_point, _RANGES),
    "4.4": (
        lambda p, q: np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])),
        [
            (np.array([0.5, 0.5]), np.array([0.5, 0.5])),
            (np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])),
            (np.array([0.5, 0.0, 0.5]), np.array([0.4, 0.2, 0.4])),
        ],
    ),
    "4.5": (
        lambda x, q: np.sum(q * x) / np.sum(q * q),
        [(np.array([0.9, -0.4, 0.1]), np.array([2, -1, 0])), (np.array([0.5, 1.5, -3.0]), np.array([1, 3, -3]))],
    ),
    "5.1": (
        lambda q_x, q_w, s_x, z_x, s_w: s_x * s_w * np.sum((q_x.astype(int) - z_x) * q_w.astype(int)),
        [
            (np.array([0, 128, 255], np.uint8), np.array([48, -95, 16], np.int8), 0.004, 0, 0.006),
            (np.array([-128, 0, 100], np.int8), np.array([127, -127, 5], np.int8), 0.02, -10, 0.001),
        ],
    ),
    "5.3": (
        lambda x: (max(x.max(), 0) - min(x.min(), 0)) / 255,
        [(np.array([-1.0, 0.5, 2.0]),), (np.array([0.5, 3.0]),), (np.array([-4.0, -1.0]),)],
    ),
    "6.1": (
        lambda patch, z_x, kernel, bias: np.sum((patch.astype(int) - z_x) * kernel.astype(int)) + bias,
        [
            (np.array([[-128, 60], [0, 127]], np.int8), -128, np.array([[-127, 90], [3, 127]], np.int8), 250),
            (np.full((3, 3), 5, np.int8), 5, np.full((3, 3), 7, np.int8), -12),
        ],
    ),
    "6.2": (
        lambda z_x, kernel, bias: bias - z_x * kernel.astype(int).sum(),
        [(-128, np.array([[127, 127], [100, -3]], np.int8), 250), (0, np.array([1, 2], np.int8), -7)],
    ),
    "6.3": (lambda m: quantize_multiplier(m).m0, [(0.4,), (0.002,), (0.25,), (0.75,)]),
    "7.1": (
        lambda w, upstream, low, high: upstream if low <= w <= high else 0.0,
        [(0.3, 0.5, -1, 1), (1.2, 0.5, -1, 1), (-0.8, 0.5, -0.5, 1), (-0.5, -2.0, -0.5, 1), (1.0, 0.5, -0.5, 1)],
    ),
    "8.c": (
        lambda x, step, qmin, qmax: np.clip(np.round(x / step), qmin, qmax) - x / step * (qmin <= x / step <= qmax),
        [(0.35, 0.5, -1, 1), (-0.95, 0.5, -1, 1), (0.2, 0.5, -1, 1), (3.3, 1.0, 0, 3), (-0.4, 0.5, 0, 3)],
    ),
    "9.1": (lambda r1, r2: (r1 / r2) ** 0.5, [(4.0, 0.25), (100.0, 0.01), (0.02, 8.0)]),
    "10.1": (
        lambda x, values: values[np.abs(values - x).argmin()],
        [(x, np.array([-1.0, 0.0, 0.5, 1.0])) for x in (0.3, 0.1, -7.0, 0.9)],
    ),
    "11.1": (
        lambda p: -np.mean(np.log2(p)),
        [(np.array([0.5, 0.25, 1.0]),), (np.array([0.1]),), (np.array([0.9, 0.01, 0.3, 0.3]),)],
    ),
    "11.3": (lambda bits, block, stored: bits + stored / block, [(4, 32, 16), (4, 32, 32), (4, 32, 8), (8, 64, 32)]),
    "12.1": (
        lambda x, y_scale, y_zero_point: np.clip(np.rint(x / y_scale) + y_zero_point, -128, 127),
        [(0.3, 0.25, 3), (0.125, 0.25, 3), (0.375, 0.25, 4), (40.0, 0.25, 3), (-1.7, 0.01, -5)],
    ),
    "12.2": (
        lambda row, column, channel, height, width, channels: (channel * height + row) * width + column,
        [(1, 0, 1, 2, 2, 2), (0, 3, 0, 5, 5, 64), (4, 4, 63, 5, 5, 64), (1, 2, 3, 4, 6, 8)],
    ),
    "13.5": (
        lambda x, largest, bits: np.round(x / largest * (2 ** (bits - 1) - 1)),
        [(0.26, 0.5, 8), (-0.5, 0.5, 8), (0.3, 1.2, 4), (-0.9, 1.0, 2)],
    ),
    "14.1": (lambda b, c, n: Paired(b, c, n).interval[0], [(1, 1, 5), (30, 10, 10_000), (0, 0, 500), (12, 40, 2_000)]),
}
"""The right function where one is asked for, and what it and a learner's are called with."""

_entries = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
QUESTIONS = {number: Question(*FUNCTIONS.get(number, ()), **entry) for number, entry in _entries.items()}
