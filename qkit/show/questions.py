"""The questions of the course, in the order of the notebooks: what is wanted, and what a learner reads about it.

The answers stand here, the words in ``questions.json``: what to say when one is ``right``, a ``gentle`` and a
``strong`` hint.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qkit.numeric import Paired, QuantSpec, params_from_range, quantize_multiplier


@dataclass(frozen=True)
class Question:
    """What is expected: a number; one of some ``letters``; or a function, which a learner's has to agree with.

    It has to on every one of the ``cases``; the names of its parameters are what a learner reads.
    """

    expected: float | str | Callable
    tolerance: float = 1e-9
    letters: str = "abc"
    cases: Sequence[tuple] = ()


_RANGES = [(-1.0, 2.0, 2), (0.0, 6.0, 8), (-1.0, 3.0, 4), (-0.5, 0.2, 3)]
"""Low end, high end, bits."""

QUESTIONS = {
    "0.1": Question(4),
    "0.2": Question("a"),
    "0.a": Question(256),
    "0.b": Question(0.05, tolerance=1e-6),
    "0.c": Question(30, tolerance=1e-6),
    "1.1": Question(9),
    "1.2": Question(
        lambda patch, kernel: np.sum(patch * kernel),
        cases=[
            (np.array([[0, 0, 9]] * 3), np.array([[-1, 0, 1]] * 3)),
            (np.arange(9).reshape(3, 3), np.eye(3, dtype=int)),
            (np.array([[1, 2, 0], [0, 5, 1], [3, 0, 2]]), np.array([[0, 1, 0], [2, 0, 0], [0, 0, -1]])),
        ],
    ),
    "1.3": Question(
        lambda channels_in, filters: (3 * 3 * channels_in + 1) * filters, cases=[(1, 32), (32, 64), (3, 16)]
    ),
    "1.4": Question("c"),
    "1.5": Question(4, tolerance=0.05),
    "1.a": Question(0.01),
    "1.b": Question(-3),
    "1.c": Question("a"),
    "2.1": Question(lambda low, high, bits: (high - low) / (2**bits - 1), cases=_RANGES),
    "2.2": Question(
        lambda low, high, bits: params_from_range(low, high, QuantSpec(bits, signed=False)).zero_point, cases=_RANGES
    ),
    "2.3": Question(128),
    "2.4": Question(18, tolerance=0.1),
    "2.5": Question(64),
    "2.a": Question(252_000),
    "2.b": Question(5, tolerance=1e-6),
    "2.c": Question("b"),
    "3.1": Question(1),
    "3.2": Question("b"),
    "3.3": Question(0),
    "3.a": Question(0.3, tolerance=1e-6),
    "3.b": Question(3 * 3 * 8 * 16),
    "3.c": Question("b"),
    "4.1": Question("b", letters="ab"),
    "4.2": Question(0),
    "4.3": Question(5, tolerance=0.01),
    "4.4": Question(
        lambda p, q: np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])),
        cases=[
            (np.array([0.5, 0.5]), np.array([0.5, 0.5])),
            (np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])),
            (np.array([0.5, 0.0, 0.5]), np.array([0.4, 0.2, 0.4])),
        ],
    ),
    "4.5": Question(
        lambda x, q: np.sum(q * x) / np.sum(q * q),
        cases=[(np.array([0.9, -0.4, 0.1]), np.array([2, -1, 0])), (np.array([0.5, 1.5, -3.0]), np.array([1, 3, -3]))],
    ),
    "4.6": Question("c"),
    "4.a": Question(5),
    "4.b": Question(10, tolerance=1),
    "4.c": Question("b"),
    "5.1": Question(
        lambda q_x, q_w, s_x, z_x, s_w: s_x * s_w * np.sum((q_x.astype(int) - z_x) * q_w.astype(int)),
        cases=[
            (np.array([0, 128, 255], np.uint8), np.array([48, -95, 16], np.int8), 0.004, 0, 0.006),
            (np.array([-128, 0, 100], np.int8), np.array([127, -127, 5], np.int8), 0.02, -10, 0.001),
        ],
        tolerance=1e-6,  # float32 will do
    ),
    "5.2": Question(224_800 + 4 * 234),
    "5.3": Question(
        lambda x: (max(x.max(), 0) - min(x.min(), 0)) / 255,
        cases=[(np.array([-1.0, 0.5, 2.0]),), (np.array([0.5, 3.0]),), (np.array([-4.0, -1.0]),)],
    ),
    "5.4": Question("a"),
    "5.5": Question("c"),
    "5.a": Question(6),
    "5.b": Question(16, tolerance=0.5),
    "5.c": Question("b"),
    "6.1": Question(
        lambda patch, z_x, kernel, bias: np.sum((patch.astype(int) - z_x) * kernel.astype(int)) + bias,
        cases=[
            (np.array([[-128, 60], [0, 127]], np.int8), -128, np.array([[-127, 90], [3, 127]], np.int8), 250),
            (np.full((3, 3), 5, np.int8), 5, np.full((3, 3), 7, np.int8), -12),
        ],
    ),
    "6.2": Question(
        lambda z_x, kernel, bias: bias - z_x * kernel.astype(int).sum(),
        cases=[(-128, np.array([[127, 127], [100, -3]], np.int8), 250), (0, np.array([1, 2], np.int8), -7)],
    ),
    "6.3": Question(lambda m: quantize_multiplier(m).m0, cases=[(0.4,), (0.002,), (0.25,), (0.75,)]),
    "6.4": Question("a"),
    "6.5": Question("b"),
    "6.a": Question(169),
    "6.b": Question(7),
    "6.c": Question("a"),
    "7.1": Question(
        lambda w, upstream, low, high: upstream if low <= w <= high else 0.0,
        cases=[(0.3, 0.5, -1, 1), (1.2, 0.5, -1, 1), (-0.8, 0.5, -0.5, 1), (-0.5, -2.0, -0.5, 1), (1.0, 0.5, -0.5, 1)],
    ),
    "7.2": Question(3),
    "7.3": Question(-6 * 0.999**94, tolerance=0.01),
    "7.4": Question("b"),
    "7.a": Question(0.3),
    "7.b": Question(30, tolerance=1e-6),
    "7.c": Question("a"),
    "8.1": Question("b"),
    "8.2": Question(2 * 2517 / 2**16, tolerance=0.0005),
    "8.3": Question("a"),
    "8.a": Question(100),
    "8.b": Question(-78),
    "8.c": Question(
        lambda x, step, qmin, qmax: np.clip(np.round(x / step), qmin, qmax) - x / step * (qmin <= x / step <= qmax),
        cases=[(0.35, 0.5, -1, 1), (-0.95, 0.5, -1, 1), (0.2, 0.5, -1, 1), (3.3, 1.0, 0, 3), (-0.4, 0.5, 0, 3)],
    ),
    "9.1": Question(lambda r1, r2: (r1 / r2) ** 0.5, cases=[(4.0, 1.0), (100.0, 0.008), (0.02, 8.0)]),
    "9.2": Question(-1),
    "9.3": Question(-0.25),
    "9.4": Question("a"),
    "9.a": Question(0),
    "9.b": Question("c"),
    "9.c": Question(1e-4),
    "10.1": Question(
        lambda x, values: values[np.abs(values - x).argmin()],
        cases=[(x, np.array([-1.0, 0.0, 0.5, 1.0])) for x in (0.3, 0.1, -7.0, 0.9)],
    ),
    "10.2": Question(23 / 3, tolerance=0.01),
    "10.3": Question(0.9071, tolerance=0.0001),
    "10.4": Question(2),
    "10.5": Question("b"),
    "10.a": Question(0.02, tolerance=1e-6),
    "10.b": Question(-0.2, tolerance=1e-6),
    "10.c": Question("c"),
    "11.1": Question(
        lambda p: -np.mean(np.log2(p)),
        cases=[(np.array([0.5, 0.25, 1.0]),), (np.array([0.1]),), (np.array([0.9, 0.01, 0.3, 0.3]),)],
    ),
    "11.2": Question(2.5),
    "11.3": Question(
        lambda bits, block, stored: bits + stored / block, cases=[(4, 32, 16), (4, 32, 32), (4, 32, 8), (8, 64, 32)]
    ),
    "11.4": Question(3.9375, tolerance=0.05),
    "11.5": Question("b"),
    "11.a": Question("b"),
    "11.b": Question(0.5),
    "11.c": Question(4.16, tolerance=0.001),
    "12.1": Question(
        lambda x, y_scale, y_zero_point: np.clip(np.rint(x / y_scale) + y_zero_point, -128, 127),
        cases=[(0.3, 0.25, 3), (0.125, 0.25, 3), (0.375, 0.25, 4), (40.0, 0.25, 3), (-1.7, 0.01, -5)],
    ),
    "12.2": Question(
        lambda row, column, channel, height, width, channels: (channel * height + row) * width + column,
        cases=[(1, 0, 1, 2, 2, 2), (0, 3, 0, 5, 5, 64), (4, 4, 63, 5, 5, 64), (1, 2, 3, 4, 6, 8)],
    ),
    "12.3": Question(961),
    "12.4": Question(600, tolerance=1e-6),
    "12.5": Question(50),
    "12.6": Question("b"),
    "12.7": Question(0.1, tolerance=1e-6),
    "12.a": Question(50, tolerance=1e-6),
    "12.b": Question(0.01),
    "12.c": Question(4.5),
    "13.1": Question(1, tolerance=0.05),
    "13.2": Question("b"),
    "13.3": Question("c"),
    "13.4": Question("a"),
    "13.5": Question(
        lambda x, largest, bits: np.round(x / largest * (2 ** (bits - 1) - 1)),
        cases=[(0.26, 0.5, 8), (-0.5, 0.5, 8), (0.3, 1.2, 4), (-0.9, 1.0, 2)],
    ),
    "13.6": Question("c"),
    "13.7": Question(8),
    "13.a": Question(1.75, tolerance=1e-6),
    "13.b": Question(2),
    "13.c": Question(1.5),
    "14.1": Question(
        lambda b, c, n: Paired(b, c, n).interval[0], cases=[(1, 1, 5), (30, 10, 10_000), (0, 0, 500), (12, 40, 2_000)]
    ),
    "14.2": Question(6147, tolerance=60),
    "14.3": Question("b"),
    "14.4": Question(8.532, tolerance=0.05),
    "14.5": Question("b"),
    "14.a": Question(204_928),
    "14.b": Question(0.0025, tolerance=1e-6),
    "14.c": Question(2),
}
WORDS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
