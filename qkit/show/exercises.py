"""Exercises that answer back: ``check("1.2", answer)`` says at once whether an answer is right, and if not, why.

Nothing here raises or floods a page, whatever the answer, and what loops in Python is stopped: Run All reaches its end.
"""

import copy
import html
import inspect
import io
import math
import random
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from threading import Thread

import numpy as np

from qkit.show import numerals
from qkit.show.picture import ERROR, FLOAT, GOOD
from qkit.show.questions import QUESTIONS, Question

SECONDS = 5.0  # how long an answer may take
_LOOKS = {
    "right": ("✓ Right. ", f"border-left: 5px solid {GOOD}; padding: 4px 12px"),
    "wrong": ("✗ Not yet. ", f"border-left: 5px solid {ERROR}; padding: 4px 12px"),
    "measured": ("→ ", f"border-left: 5px solid {FLOAT}; padding: 4px 12px"),
    "unanswered": ("", "font-size: small; opacity: 0.7"),
}
_wrong_before: set[str] = set()  # exercises that have been answered wrongly: the next hint is the strong one


@dataclass(frozen=True)
class Feedback:
    """What a learner reads: ``"right"``, ``"wrong"`` or ``"measured"`` in a box, ``"unanswered"`` as a quiet line."""

    status: str
    message: str

    def __repr__(self) -> str:
        return _LOOKS[self.status][0] + self.message

    def _repr_html_(self) -> str:
        said, looks = _LOOKS[self.status]
        said = f"<b>{said}</b>" if said else ""
        return f'<div role="status" style="{looks}">{said}{html.escape(self.message)}</div>'


def check(number: str, answer: object = ...) -> Feedback:
    """Check the answer to an exercise, ``"1.2"``: why it is right, or else a hint, a stronger one the second time.

    ``answer`` is a number, a letter in quotes or a function, as the exercise asks; ``...`` is "not yet". This never
    raises. A function is called with several cases, and stopped after 5 seconds; the first 20 lines that it prints are
    shown; the states of ``random`` and ``np.random`` are what they were. Taught in notebook 00, section 2.

    Examples
    --------
    >>> check("1.1", 9)
    ✓ Right. 3 positions across and 3 down: 9.
    """
    return _alone(lambda: _checked(str(number), answer))


def reveal(guess: object, measured: object, unit: str = "") -> Feedback:
    """Set a guess made before a run beside what the run measured, and say by what factor two numbers differ.

    Both are numbers, words or sequences of numbers; a guess of ``...`` is none. ``unit`` stands behind the number that
    was measured. Whatever they are, this never raises. Taught in notebook 00, section 2.

    Examples
    --------
    >>> reveal(3, 27)
    → You guessed 3; measured: 27. Off by a factor of 9: worth asking why.
    """
    try:
        value, guessed = _plain(measured), _plain(guess)
        said = measured if isinstance(measured, str) else _short(measured)
        if isinstance(value, float):
            said = f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
        said = _cut(f"{said} {unit}".strip())
        if guess is ... or guess is None:
            return Feedback("unanswered", f"Measured: {said}.")
        if np.array_equal(value, guessed):
            gap = "Spot on."
        elif not (isinstance(value, float) and isinstance(guessed, float)) or np.sign(value) != np.sign(guessed):
            gap = "A different answer."
        else:
            factor = max(guessed / value, value / guessed)
            times = numerals.number(float(f"{factor:.2g}"))
            gap = "Close." if factor < 1.25 else f"Off by a factor of {times}: worth asking why."
        return Feedback("measured", f"You guessed {_short(guess)}; measured: {said}. {gap}")
    except Exception as error:
        return Feedback("measured", f"This cannot be compared ({type(error).__name__}).")


def _checked(number: str, answer: object) -> Feedback:
    question = QUESTIONS.get(number)
    if question is None:
        near = [known for known in QUESTIONS if known.split(".")[0] == number.split(".")[0]]
        return Feedback("unanswered", f"There is no exercise {_cut(number)}. There are {', '.join(near or QUESTIONS)}.")
    if answer is ... or answer is None:
        message = f"Exercise {number}: put your answer in place of the dots and run this cell again."
        return Feedback("unanswered", message)
    problem = _problem(question, answer)
    if isinstance(problem, Feedback):
        return problem
    if not problem:
        return Feedback("right", question.right)
    hint = question.strong if number in _wrong_before else question.gentle
    _wrong_before.add(number)
    return Feedback("wrong", f"{problem} Hint: {hint}")


def _problem(question: Question, answer: object) -> str | Feedback:
    """Return what is wrong, if anything, for a hint to follow; or all there is to say to an answer of another form."""
    if callable(question.expected):
        if callable(answer):
            return _tried(question, answer)
        return Feedback("wrong", f"A function is wanted here: write its name without brackets. Got {_short(answer)}.")
    if isinstance(question.expected, str):
        letter = str(answer).strip().lower()
        if letter in tuple(question.letters):
            return "" if letter == question.expected else f"{letter!r} is not the one."
        choices = " ".join(question.letters)
        return Feedback("wrong", f"One letter is wanted here, in quotes: {choices}. Got {_short(answer)}.")
    value = _as_float(answer)
    if value is None:
        return Feedback("wrong", f"A number is wanted here, such as 0.5, and {_short(answer)} is not one.")
    if isinstance(answer, str) and "%" in answer and 0 < question.expected < 1:  # 7.7 % is the share 0.077, too
        value = min(value, value / 100, key=lambda reading: abs(reading - question.expected))
    if abs(value - question.expected) <= question.tolerance:
        return ""
    return f"{_short(answer)} is too {'small' if value < question.expected else 'large'}."


def _tried(question: Question, function: Callable) -> str | Feedback:
    names = inspect.signature(question.expected).parameters
    for case in question.cases:
        said = ", ".join(f"{name} = {_short(argument)}" for name, argument in zip(names, case, strict=True))
        arguments, before = copy.deepcopy(case), sys.gettrace()
        try:
            sys.settrace(lambda frame, *event: frame.f_trace)  # only then can _stop be put on a frame
            result = function(*arguments)
        except BaseException as error:
            reason = f" ({_cut(str(error), 200)})" if str(error) else ""
            return Feedback("wrong", f"For {said} your function stopped with {type(error).__name__}{reason}.")
        finally:
            sys.settrace(before)
        if case is question.cases[0] and (result is ... or result is None):
            way_out = "end it with return and the result"
            if result is ...:
                way_out = "put its result in place of the dots after return"
            return Feedback("unanswered", f"Your function returns nothing yet: {way_out}.")
        value = _as_float(result)
        told = f"For {said} your function returns {_short(result)}"
        if value is None:
            return f"{told}; a number is wanted."
        expected = question.expected(*case)
        # What TensorFlow computes is a float32; integers are to be met.
        slack = question.tolerance + (1e-6 * abs(expected) if expected % 1 else 0)
        if abs(value - expected) > slack:
            return f"{told}."
    return ""


def _stop(*event) -> None:
    # Not PyThreadState_SetAsyncExc: while its exception waits for a thread that sleeps, Python 3.11 under a debugger
    # or coverage stands still.
    raise SystemExit


def _alone(work: Callable[[], Feedback]) -> Feedback:
    """Return what ``work`` returns within some seconds, whatever happens in it, and undo what else it has changed.

    It runs on a thread, which can be left to itself if it sleeps; ``np.seterr`` holds only for a thread, too. What
    never comes back to Python, like ``sum(range(10**12))``, has to be stopped by hand like any other cell.
    """
    late = f"Your function did not come back within {SECONDS:g} seconds: does one of its loops never end?"
    said = []

    def run() -> None:
        try:
            said.append(work())
        except BaseException as error:
            said.append(Feedback("wrong", f"Your answer stopped the check with {type(error).__name__}."))

    thread = Thread(target=run, daemon=True)
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with redirect_stdout(_printed), redirect_stderr(_printed):
        _printed.truncate(_printed.seek(0))
        try:
            thread.start()
            thread.join(SECONDS)
            feedback = said[0] if said else Feedback("wrong", late)
        finally:  # also where the learner interrupts the cell
            for _ in range(10):  # a frame that is just being entered or left escapes
                if thread.is_alive() and (frame := sys._current_frames().get(thread.ident)):
                    frame.f_trace, frame.f_trace_opcodes = _stop, True  # "while True: pass" has no second line
                    thread.join(0.01 * SECONDS)
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
    for line in _printed.getvalue().splitlines()[:20]:
        print(line)
    return feedback


class _Beginning(io.StringIO):
    """Keeps the first 2,000 characters that are printed."""

    def write(self, text: str) -> int:
        return super().write(text[: max(0, 2_000 - self.tell())])


_printed = _Beginning()
"""One for all calls: Python crashes if ``sys.stdout`` is freed while a thread that was left to itself prints."""


def _plain(value: object) -> object:
    """Return a number as a float, words without their case, and anything else as it is: to be compared."""
    number = _as_float(value)
    return number if number is not None else value.strip().lower() if isinstance(value, str) else value


def _as_float(value: object) -> float | None:
    """Return a finite number, also in quotes ("1,234", "0,5", "50 %") or alone in an array; None for anything else."""
    try:
        if isinstance(value, str):
            value = value.strip("% ").replace("−", "-")
            thousands = re.fullmatch(r"-?[1-9]\d{0,2}([,\s]\d{3})+", value)
            value = re.sub(r"[,\s]", "", value) if thousands else value.replace(",", ".")
        number = float(value.item() if isinstance(value, np.ndarray) else value)
    except Exception:
        return None
    return number if math.isfinite(number) and not isinstance(value, bool | np.bool_) else None


def _short(value: object) -> str:
    """Write a value in a few characters, and those of NumPy as Python's."""
    if isinstance(value, np.ndarray) and value.size > 80:
        return f"an array of shape {value.shape}"
    return _cut(repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value))


def _cut(text: str, longest: int = 80) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."
