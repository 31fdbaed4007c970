"""Exercises that answer back: ``check("1.2", answer)`` says at once whether an answer is right, and if not, why.

Nothing here raises, hangs or floods a page, whatever the answer: Run All always reaches the end of a notebook.
"""

import copy
import html
import inspect
import io
import math
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from qkit.show.picture import ERROR, FLOAT, GOOD, GUIDE
from qkit.show.questions import QUESTIONS, Question

SECONDS = 5.0
"""How long an answer may take."""
_LONGEST = 80
"""Characters that a value may take in a sentence."""
_STATUS = {
    "right": ("✓ Right.", GOOD),
    "wrong": ("✗ Not yet.", ERROR),
    "unanswered": ("… Not answered yet.", GUIDE),
    "measured": ("→", FLOAT),
}
_wrong_before: set[str] = set()
"""Exercises that have been answered wrongly: the next hint is the strong one."""


@dataclass(frozen=True)
class Feedback:
    """What a learner reads: ``status`` is ``"right"``, ``"wrong"``, ``"unanswered"`` or ``"measured"``."""

    status: str
    message: str

    def __repr__(self) -> str:
        return f"{_STATUS[self.status][0]} {self.message}"

    def _repr_html_(self) -> str:
        said, colour = _STATUS[self.status]
        return (
            f'<div role="status" style="border-left: 5px solid {colour}; padding: 4px 12px">'
            f"<b>{said}</b> {html.escape(self.message)}</div>"
        )


def check(number: str, answer: object = ...) -> Feedback:
    """Check the answer to an exercise; whatever the answer, this never raises.

    A function is called with several cases, and stopped after 5 seconds. The first 20 lines that it prints are
    shown. Filters of warnings and the states of ``random`` and ``np.random`` are afterwards what they were before.

    Parameters
    ----------
    number : str
        The number of the exercise: ``"1.2"``.
    answer : object
        A number, a letter in quotes or a function, as the exercise asks; ``...`` is "not yet".

    Returns
    -------
    Feedback
        Why it is right; or the case that fails with a hint, a stronger one from the second time on.

    Examples
    --------
    >>> check("1.1", 9)
    ✓ Right. 3 positions across and 3 down: 9.

    Taught in notebook 00, section 2.
    """
    late = f"Your function did not come back within {SECONDS:g} seconds: does one of its loops never end?"
    return _alone(lambda: _checked(str(number), answer), Feedback("wrong", late))


def reveal(guess: object, measured: object, unit: str = "") -> Feedback:
    """Set a guess made before a run beside what the run measured; whatever they are, this never raises.

    Parameters
    ----------
    guess, measured : object
        Two numbers, two words or two sequences of numbers; ``...`` is "no guess".
    unit : str
        What stands behind the number that was measured: ``"%"``.

    Returns
    -------
    Feedback
        Both, and whether they are the same; for two numbers by what factor they differ.

    Examples
    --------
    >>> reveal(3, 27)
    → You guessed 3; measured: 27. Off by a factor of 9: worth asking why.

    Taught in notebook 00, section 2.
    """
    return _alone(lambda: _revealed(guess, measured, unit), Feedback("measured", "This cannot be shown."))


def _checked(number: str, answer: object) -> Feedback:
    if number not in QUESTIONS:
        known = ", ".join(QUESTIONS)
        return Feedback("unanswered", f"There is no exercise {_cut(number)}. The numbers are: {known}.")
    if answer is ... or answer is None:
        return Feedback("unanswered", "Put your answer in place of the dots and run this cell again.")
    question = QUESTIONS[number]
    if callable(question.expected):
        problem = _problem_of_function(question, answer)
    elif isinstance(question.expected, str):
        problem = _problem_of_letter(question, answer)
    else:
        problem = _problem_of_number(question, answer)
    if problem is None:
        return Feedback("right", question.right)
    if isinstance(problem, Feedback):
        return problem
    hint = question.strong if number in _wrong_before else question.gentle
    _wrong_before.add(number)
    return Feedback("wrong", f"{problem} Hint: {hint}")


Problem = Feedback | str | None
"""None if an answer is right, a sentence if a hint helps, all there is to say if not even its form is right."""


def _problem_of_number(question: Question, answer: object) -> Problem:
    value = _as_float(answer)
    if value is None:
        return Feedback("wrong", f"A number is wanted here, and {_short(answer)} is not one.")
    if abs(value - question.expected) <= question.tolerance:
        return None
    return f"{_short(answer)} is too {'small' if value < question.expected else 'large'}."


def _problem_of_letter(question: Question, answer: object) -> Problem:
    letter = answer.strip().lower() if isinstance(answer, str) else ""
    if letter not in tuple(question.letters):
        choices = " ".join(question.letters)
        return Feedback("wrong", f"One letter is wanted here, in quotes: {choices}. Got {_short(answer)}.")
    return None if letter == question.expected else f"{letter!r} is not the one."


def _problem_of_function(question: Question, answer: object) -> Problem:
    if not callable(answer):
        message = f"A function is wanted here: write its name without brackets. Got {_short(answer)}."
        return Feedback("wrong", message)
    names, end = inspect.signature(question.expected).parameters, time.monotonic() + SECONDS
    for place, case in enumerate(question.cases):
        said = ", ".join(f"{name} = {_short(argument)}" for name, argument in zip(names, case, strict=True))
        try:
            result = _called(answer, copy.deepcopy(case), end)
        except _Late:
            raise
        except BaseException as error:
            return Feedback("wrong", f"For {said} your function stopped with {_reason(error)}.")
        if place == 0 and (result is ... or result is None):
            message = "Your function returns nothing yet: put its result in place of the dots after return."
            return Feedback("unanswered", message)
        value = _as_float(result)
        if value is None or abs(value - question.expected(*case)) > question.tolerance:
            return f"For {said} your function returns {_short(result)}."
    return None


class _Late(BaseException):
    """The time of an answer is over."""


def _called(function: Callable, case: tuple, end: float) -> object:
    """Call a function, and raise :class:`_Late` at whatever line it is when the time is over.

    Not with ``PyThreadState_SetAsyncExc``: while its exception waits for a thread that sleeps, Python 3.11 stands
    still under a debugger or coverage.
    """

    def watch(frame: object, event: str, argument: object) -> Callable:
        if time.monotonic() > end:
            raise _Late
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        return function(*case)
    finally:
        sys.settrace(before)


def _revealed(guess: object, measured: object, unit: str) -> Feedback:
    value, guessed = _as_float(measured), _as_float(guess)
    if isinstance(measured, str):
        said = measured
    elif value is None:
        said = _short(measured)
    else:
        said = f"{int(measured):,}" if isinstance(measured, Integral) else f"{value:.4g}"
    said = _cut(f"{_cut(said)} {unit}".strip())
    if guess is ... or guess is None:
        return Feedback("measured", f"Measured: {said}. (You made no guess.)")
    if value is None or guessed is None:
        gap = "Spot on." if _plain(guess) == _plain(measured) else "A different answer."
    elif value == guessed:
        gap = "Spot on."
    elif np.sign(value) != np.sign(guessed):
        gap = "A different answer."
    else:
        factor = max(guessed / value, value / guessed)
        gap = "Close." if factor < 1.25 else f"Off by a factor of {factor:,.2g}: worth asking why."
    return Feedback("measured", f"You guessed {_short(guess)}; measured: {said}. {gap}")


def _as_float(value: object) -> float | None:
    """Return a finite number, also one in quotes or alone in an array, as a float, and None for anything else."""
    try:
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.flat[0]
        if isinstance(value, Real | str) and not isinstance(value, bool | np.bool_):
            number = float(value)
            return number if math.isfinite(number) else None
    except Exception:
        pass
    return None


def _short(value: object, longest: int = _LONGEST) -> str:
    """Write anything at all in a few characters."""
    try:
        if isinstance(value, np.ndarray) and value.size > longest:
            text = f"an array of shape {value.shape}"
        else:
            text = repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)
    except Exception:
        text = f"something of type {type(value).__name__}"
    return _cut(text, longest)


def _plain(value: object) -> str:
    """Write words without their case, and tuples and arrays as lists: to be compared, not read."""
    return _short(list(value) if type(value) is tuple else value, longest=10_000).strip("'\" ").lower()


def _reason(error: BaseException) -> str:
    try:
        reason = _cut(str(error), 200)
        return type(error).__name__ + (f" ({reason})" if reason else "")
    except BaseException:
        return "an error that cannot be told"


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _alone(work: Callable[[], Feedback], late: Feedback) -> Feedback:
    """Return what ``work`` returns, or ``late`` when its time is over, and undo what else it has changed.

    It runs on a thread, which can be left to itself if it sleeps; ``np.seterr`` holds only for a thread, too. What
    never comes back to Python, like ``sum(range(10**12))``, has to be stopped by hand like any other cell.
    """
    said = [late]

    def run() -> None:
        try:
            said.append(work())
        except _Late:
            pass
        except BaseException as error:
            said.append(Feedback(late.status, f"Your answer stopped the check with {_reason(error)}."))

    thread = threading.Thread(target=run, daemon=True)
    before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with redirect_stdout(_printed), redirect_stderr(_printed), warnings.catch_warnings():
        _printed.truncate(_printed.seek(0))
        try:
            thread.start()
            thread.join(SECONDS)
            frame = sys._current_frames().get(thread.ident)
            if frame and sys.version_info < (3, 12):  # where "while True: pass" is at no new line ever
                frame.f_trace_opcodes = True
            thread.join(0.1 * SECONDS)
        except RuntimeError:  # no threads here: then without a limit
            run()
        finally:
            random.setstate(before)
            np.random.set_state(numpy_before)  # noqa: NPY002
    for line in _printed.getvalue().splitlines()[:20]:
        print(line)
    return said[-1]


class _Beginning(io.StringIO):
    """Keeps the first 2,000 characters that are printed."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, 2_000 - self.tell())])
        return len(text)


_printed = _Beginning()
"""One for all calls: Python crashes if ``sys.stdout`` is freed while a thread that was left to itself prints."""
