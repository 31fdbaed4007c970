"""Exercises that answer back: ``check("1.2", answer)`` says at once whether an answer is right, and if not, why.

Nothing here ever raises, whatever the answer: Run All always reaches the end of a notebook.
"""

import copy
import html
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from qkit.numeric import QuantSpec, params_from_range, quantize_multiplier
from qkit.show.picture import ERROR, FLOAT, GOOD, GUIDE
from qkit.show.words.exercises import EXERCISES, GENERAL, STATUS

Problem = tuple[str, dict]
"""A key of ``words.GENERAL`` and what to fill into it."""
Verifier = Callable[[object], "Problem | None"]

_COLOURS = {"right": GOOD, "wrong": ERROR, "unanswered": GUIDE, "measured": FLOAT}
_FORM = ("not a number", "not a choice", "not a function", "function failed", "cannot be checked")
"""Problems with the form of an answer: they say themselves what to do, and use up no hint."""
_wrong_attempts: Counter = Counter()


@dataclass(frozen=True)
class Feedback:
    """What a learner reads: ``status`` is ``"right"``, ``"wrong"``, ``"unanswered"`` or ``"measured"``."""

    status: str
    message: str

    def __repr__(self) -> str:
        return f"{STATUS[self.status]} {self.message}"

    def _repr_html_(self) -> str:
        return (
            f'<div role="status" style="border-left: 5px solid {_COLOURS[self.status]}; padding: 4px 12px">'
            f"<b>{STATUS[self.status]}</b> {html.escape(self.message)}</div>"
        )


def check(number: str, answer: object = ...) -> Feedback:
    """Check the answer to an exercise.

    Parameters
    ----------
    number : str
        The number of the exercise: ``"1.2"``.
    answer : object
        A number, an array, a letter or a function, as the exercise asks; ``...`` is "not yet".

    Returns
    -------
    Feedback
        Why it is right; or the case that fails with a hint, a stronger one from the second time on.
    """
    number = str(number)
    if number not in _VERIFIERS:
        return Feedback("unanswered", GENERAL["unknown"].format(number=number, known=", ".join(_VERIFIERS)))
    if answer is ... or answer is None:
        return Feedback("unanswered", GENERAL["unanswered"])
    words = EXERCISES[number]
    try:
        problem = _VERIFIERS[number](answer)
    except (Exception, SystemExit) as error:
        problem = "cannot be checked", {"error": type(error).__name__ + _reason(error)}
    if problem is None:
        return Feedback("right", words["right"])
    key, details = problem
    if key == "returns nothing":
        return Feedback("unanswered", GENERAL[key])
    if key in _FORM:
        return Feedback("wrong", GENERAL[key].format(**details))
    hint = words["hints"][min(_wrong_attempts[number], len(words["hints"]) - 1)]
    _wrong_attempts[number] += 1
    return Feedback("wrong", f"{GENERAL[key].format(**details)} Hint: {hint}")


def reveal(guess: object, measured: object, unit: str = "") -> Feedback:
    """Set a guess made before a run beside what the run measured.

    ``guess`` and ``measured`` are both numbers, or both words; ``...`` is "no guess".
    """
    value, guessed = _as_float(measured), _as_float(_parsed(guess))
    number = "{:,}" if isinstance(measured, Integral) else "{:.4g}"
    said = f"{measured if value is None else number.format(measured)} {unit}".strip()
    if guess is ... or guess is None:
        return Feedback("measured", GENERAL["no guess"].format(measured=said))
    if value is None or guessed is None:
        gap = GENERAL["guess right" if _plain(guess) == _plain(measured) else "guess other"]
    elif value == guessed:
        gap = GENERAL["guess right"]
    elif value == 0 or guessed == 0 or (value < 0) != (guessed < 0):
        gap = GENERAL["guess other"]
    else:
        factor = max(guessed / value, value / guessed)
        gap = GENERAL["guess close" if factor < 1.25 else "guess far"].format(factor=f"{factor:,.2g}")
    return Feedback("measured", GENERAL["guess"].format(guess=_short(guess), measured=said, gap=gap))


def _number(expected: float, tolerance: float = 0.0) -> Verifier:
    def verify(answer: object) -> Problem | None:
        value = _as_float(_parsed(answer))
        if value is None:
            return "not a number", {"got": _short(answer)}
        if abs(value - expected) <= tolerance:
            return None
        return "too small" if value < expected else "too large", {"got": _short(answer)}

    return verify


def _choice(right: str, choices: str) -> Verifier:
    def verify(answer: object) -> Problem | None:
        letter = answer.strip().lower() if isinstance(answer, str) else ""
        if letter not in tuple(choices):
            return "not a choice", {"choices": " ".join(choices), "got": _short(answer)}
        return None if letter == right else ("wrong choice", {"got": repr(letter)})

    return verify


def _function(reference: Callable, cases: list[tuple], tolerance: float = 0.0) -> Verifier:
    """Accept a function that agrees with ``reference`` on every case; name the first where it does not."""
    names = list(inspect.signature(reference).parameters)

    def verify(answer: object) -> Problem | None:
        if not callable(answer):
            return "not a function", {"got": _short(answer)}
        for place, case in enumerate(cases):
            said = ", ".join(f"{name} = {_short(argument)}" for name, argument in zip(names, case, strict=True))
            expected = reference(*case)
            try:
                result = answer(*copy.deepcopy(case))
            except (Exception, SystemExit) as error:
                return "function failed", {"case": said, "error": type(error).__name__ + _reason(error)}
            if place == 0 and (result is ... or result is None):
                return "returns nothing", {}
            if _number(expected, tolerance)(result) is not None:
                return "wrong result", {"case": said, "got": _short(result)}
        return None

    return verify


def _parsed(guess: object) -> object:
    """Read a number that was written in quotes."""
    try:
        return float(guess) if isinstance(guess, str) else guess
    except ValueError:
        return guess


def _plain(value: object) -> str:
    """Write words without their case, and any sequence of numbers as a list."""
    if isinstance(value, tuple | np.ndarray):
        value = np.asarray(value).tolist()
    return _short(value).strip("'\" ").lower()


def _reason(error: Exception) -> str:
    return f" ({error})" if str(error) else ""


def _as_float(value: object) -> float | None:
    """Return a finite number as a float, and None for anything else."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        return None
    try:
        number = float(value)
    except Exception:
        return None
    return number if np.isfinite(number) else None


def _short(value: object) -> str:
    try:
        text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _convolve_once(patch: np.ndarray, kernel: np.ndarray) -> float:
    return float(np.sum(patch * kernel))


def _zero_point(low: float, high: float, bits: int) -> int:
    return params_from_range(low, high, QuantSpec(bits, signed=False)).zero_point


def _integer_dot(q_x: np.ndarray, q_w: np.ndarray, s_x: float, z_x: int, s_w: float) -> float:
    return float(s_x * s_w * np.sum((q_x.astype(int) - z_x) * q_w.astype(int)))


def _straight_through(w: float, upstream: float, low: float, high: float) -> float:
    return upstream if low <= w <= high else 0.0


def _accumulate(patch: np.ndarray, z_x: int, kernel: np.ndarray, bias: int) -> int:
    return int(np.sum((patch.astype(int) - z_x) * kernel.astype(int)) + bias)


_PATCHES = [
    (np.array([[0, 0, 9], [0, 0, 9], [0, 0, 9]]), np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]])),
    (np.arange(9).reshape(3, 3), np.eye(3, dtype=int)),
    (np.array([[1, 2, 0], [0, 5, 1], [3, 0, 2]]), np.array([[0, 1, 0], [2, 0, 0], [0, 0, -1]])),
]


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    keep = p > 0
    return float(np.sum(p[keep] * np.log(p[keep] / q[keep])))


_DISTRIBUTIONS = [
    (np.array([0.5, 0.5]), np.array([0.5, 0.5])),
    (np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])),
    (np.array([0.5, 0.0, 0.5]), np.array([0.4, 0.2, 0.4])),
]
_CODES = [
    (np.array([0.9, -0.4, 0.1]), np.array([2, -1, 0])),
    (np.array([0.5, 1.5, -3.0]), np.array([1, 3, -3])),
]
_NEURONS = [
    (np.array([0, 128, 255], np.uint8), np.array([48, -95, 16], np.int8), 0.004, 0, 0.006),
    (np.array([-128, 0, 100], np.int8), np.array([127, -127, 5], np.int8), 0.02, -10, 0.001),
]
_ARRAYS = [(np.array([-1.0, 0.5, 2.0]),), (np.array([0.5, 3.0]),), (np.array([-4.0, -1.0]),)]
_INTEGER_PATCHES = [
    (
        np.array([[-128, -128, 60], [-128, 0, 127], [-128, 90, 127]], np.int8),
        -128,
        np.array([[-127, 10, 90], [-40, 3, 127], [-5, 60, 127]], np.int8),
        250,
    ),
    (np.full((3, 3), 5, np.int8), 5, np.full((3, 3), 7, np.int8), -12),
]
_FOLDS = [(-128, np.array([[127, 127], [100, -3]], np.int8), 250), (0, np.array([1, 2], np.int8), -7)]
_RANGES = [(-1.0, 2.0, 2), (0.0, 6.0, 8), (-1.0, 3.0, 4), (-0.5, 0.2, 3)]

_VERIFIERS: dict[str, Verifier] = {
    "0.1": _number(4),
    "0.2": _choice("a", "abc"),
    "1.1": _number(9),
    "1.2": _function(_convolve_once, _PATCHES, tolerance=1e-9),
    "1.3": _function(lambda channels_in, filters: (3 * 3 * channels_in + 1) * filters, [(1, 32), (32, 64), (3, 16)]),
    "1.4": _choice("c", "abc"),
    "1.5": _number(4.0, tolerance=0.05),
    "2.1": _function(lambda low, high, bits: (high - low) / (2**bits - 1), _RANGES, tolerance=1e-9),
    "2.2": _function(_zero_point, _RANGES),
    "2.3": _number(128),
    "2.4": _number(18, tolerance=0.1),
    "2.5": _number(64),
    "3.1": _number(1),
    "3.2": _choice("b", "abc"),
    "3.3": _number(0),
    "4.1": _choice("b", "ab"),
    "4.2": _number(0),
    "4.3": _number(5, tolerance=0.01),
    "4.4": _function(_divergence, _DISTRIBUTIONS, tolerance=1e-9),
    "4.5": _function(lambda x, q: float(np.sum(q * x) / np.sum(q * q)), _CODES, tolerance=1e-9),
    "4.6": _choice("c", "abc"),
    "5.1": _function(_integer_dot, _NEURONS, tolerance=1e-9),
    "5.2": _number(224_800 + 4 * 234),
    "5.3": _function(lambda x: (max(x.max(), 0) - min(x.min(), 0)) / 255, _ARRAYS, tolerance=1e-9),
    "5.4": _choice("a", "abc"),
    "5.5": _choice("c", "abc"),
    "6.1": _function(_accumulate, _INTEGER_PATCHES),
    "6.2": _function(lambda z_x, kernel, bias: int(bias - z_x * kernel.astype(int).sum()), _FOLDS),
    "6.3": _function(lambda m: quantize_multiplier(m).m0, [(0.4,), (0.002,), (0.25,), (0.75,)]),
    "6.4": _choice("a", "abc"),
    "6.5": _choice("b", "abc"),
    "7.1": _function(
        _straight_through,
        [(0.3, 0.5, -1, 1), (1.2, 0.5, -1, 1), (-2.0, -0.1, -1, 1), (0.9, -2.0, -1, 1), (-0.8, 0.5, -0.5, 1)]
        + [(end, 0.5, -0.5, 1.0) for end in (-0.5, 1.0)],
    ),
    "7.2": _number(3),
    "7.3": _number(-6 * 0.999**94, tolerance=0.01),
    "7.4": _choice("b", "abc"),
    "8.1": _choice("b", "abc"),
    "8.2": _number(2 * 2517 / 2**16, tolerance=0.0005),
    "8.3": _choice("a", "abc"),
}
