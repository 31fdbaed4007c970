"""Exercises answer every answer, in a few words and within seconds, and never raise."""

import doctest
import random
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qkit.show import check, exercises, reveal
from qkit.show.questions import QUESTIONS


@pytest.fixture(autouse=True)
def first_attempt(monkeypatch):
    """Forget earlier answers, and let a busy machine take its time."""
    exercises._wrong_before.clear()
    monkeypatch.setattr(exercises, "SECONDS", 300)


class Hostile:
    """Raises at whatever is done to it."""

    def __getattribute__(self, name):
        raise RuntimeError("no attribute")

    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        raise RuntimeError("no equality")

    def __bool__(self):
        raise RuntimeError("no truth")

    def __float__(self):
        raise RuntimeError("no float")

    def __len__(self):
        raise RuntimeError("no length")

    def __call__(self, *args):
        raise RuntimeError("no call")


def is_silent(*args):
    """Stop without a reason."""
    raise ValueError


def says_why(*args):
    """Stop with a reason that fills a page."""
    raise ValueError("why " * 10**5)


deep = []
for _ in range(100_000):
    deep = [deep]

VALUES = [0, -1.5, np.nan, np.inf, True, "", "b", " A ", "ä" * 1000, "9" * 10**5, b"x", [], [1, 2], {}, ..., None]
VALUES += [10**400, Fraction(1, 3), 1e-320, 1e308, 1j, np.longdouble(3), np.datetime64("nat")]
VALUES += [np.zeros((3, 3)), np.array(4), np.array([]), np.zeros((1000, 1000)), np.array(["a"]), np.array([None, {}])]
VALUES += [np.ma.masked, list(range(10**5)), (1, (2, 3)), range(9)]
VALUES += [len, type, Hostile, says_why, is_silent]
VALUES += [lambda: 1, lambda *args: args, lambda *args: 1 / 0, lambda *args: "nine", lambda *args: Hostile()]
NASTY = [sparse.eye(3), pd.DataFrame({"a": [1, 2]}), 10**6000, -(10**6000), deep, lambda *args: deep, Hostile()]


def is_readable(feedback):
    return len(repr(feedback)) < 1000 and len(feedback._repr_html_()) < 2000


@pytest.mark.slow
def test_check_answers_every_answer():
    for number in QUESTIONS:
        for answer in VALUES + NASTY:
            feedback = check(number, answer)
            assert feedback.status in ("right", "wrong", "unanswered")
            assert "did not come back" not in feedback.message and is_readable(feedback)


def test_reveal_answers_guesses_and_measurements():
    for value in VALUES + NASTY:
        for guess, measured in [(value, 0.125), (value, "dense1"), (3, value), ("conv1", value), (..., value)]:
            feedback = reveal(guess, measured, "%")
            wanted = ("measured", "unanswered") if guess is ... or guess is None else ("measured",)
            assert feedback.status in wanted and is_readable(feedback)


@settings(max_examples=300, deadline=None)
@given(
    number=st.sampled_from(list(QUESTIONS)),
    answer=st.one_of(st.integers(), st.floats(), st.text(), st.lists(st.floats()), st.none()),
)
def test_never_raises_on_anything(number, answer):
    status = "unanswered" if answer is None else "measured"
    assert reveal(answer, 0.125).status == reveal(answer, "dense1").status == status
    assert check(number, answer).status in ("right", "wrong", "unanswered")


def test_unknown_numbers_are_told_the_known_ones():
    for number in ("", None, [], "9" * 10**6, "9.99"):
        feedback, near = check(number, 1), number == "9.99"
        assert feedback.status == "unanswered" and is_readable(feedback)
        assert "9.1, 9.2" in feedback.message and ("1.1, 1.2" in feedback.message) != near
    assert check(1.1, 1).message == check("1.1", 1).message.replace(QUESTIONS["1.1"].strong, QUESTIONS["1.1"].gentle)


def wrong_answer(question):
    if callable(question.expected):
        return lambda *args: -12345
    if isinstance(question.expected, str):
        return next(letter for letter in question.letters if letter != question.expected)
    return -12345


def test_hints_get_stronger_and_are_not_used_up_by_nonsense():
    for number, question in QUESTIONS.items():
        assert check(number).status == "unanswered"
        nonsense = check(number, "nonsense").message
        assert question.gentle not in nonsense and question.strong not in nonsense
        said = [check(number, wrong_answer(question)).message for _ in range(3)]
        assert said[0].endswith(f" Hint: {question.gentle}")
        assert said[1] == said[2] and said[1].endswith(f" Hint: {question.strong}")


def test_a_number_is_told_its_direction_but_not_the_answer():
    assert check("1.1", 8).message.startswith("8 is too small.")
    assert check("1.1", 25).message.startswith("25 is too large.")


def test_any_kind_of_number_will_do():
    for nine in (9, 9.0, np.int64(9), np.array([9]), np.array([[9]]).view(np.matrix), Fraction(9), "9"):
        assert check("1.1", nine).status == "right"
    for written in ("9,0", "9,00", " 9 %"):
        assert check("1.1", written).status == "right"
    assert check("5.2", "225 736").status == check("5.2", "225,736").status == "right"
    assert check("5.2", "0,225").message.startswith("'0,225' is too small")
    for share in (0.077, "0.077", "7.7 %", "7,7%"):
        assert check("8.2", share).status == "right"
    assert check("8.2", "5 %").message.startswith("'5 %' is too small") and check("10.b", "-20 %").status == "wrong"
    assert check("8.2", 7.7).status == check("8.2", "77 %").status == "wrong"
    assert check("1.1", "−9").message.startswith("'−9' is too small")
    for not_nine in (10**400, 9.001, "nine", [9], True):
        assert check("1.1", not_nine).status == "wrong"
    assert check("3.1", True).status == check("3.1", np.True_).status == "wrong"
    assert "an array of shape (28, 28) is not one" in check("1.1", np.zeros((28, 28))).message


def test_numbers_that_are_rounded_will_do():
    assert check("1.5", 3.97).status == "right" and check("1.5", 3.9).status == "wrong"
    for number, exact in (("2.4", 30 * np.log10(4)), ("10.2", 23 / 3), ("13.1", 40 / 13), ("14.4", 1_920 / 225.034)):
        assert check(number, exact).status == check(number, round(exact, 1)).status == "right"


def test_a_function_may_compute_in_float32_but_integers_are_to_be_met():
    assert check("11.1", lambda p: -np.mean(np.log2(p.astype(np.float32)))).status == "right"
    assert check("11.1", lambda p: -1.00001 * np.mean(np.log2(p))).status == "wrong"
    m0 = QUESTIONS["6.3"].expected
    assert check("6.3", m0).status == "right" and check("6.3", lambda m: m0(m) + 1).status == "wrong"


def test_what_is_nearly_right_is_wrong():
    assert check("1.2", lambda patch, kernel: abs(np.sum(patch * kernel))).status == "wrong"
    for rounding in (np.floor, np.ceil):
        assert (
            check("2.2", lambda low, high, bits, to=rounding: to(-low * (2**bits - 1) / (high - low))).status == "wrong"
        )
    assert check("7.3", -6 * 0.999**93).status == "wrong" and check("7.3", -5.46).status == "right"


def test_a_function_that_returns_no_number_is_told_so():
    hint = QUESTIONS["9.1"].gentle
    for result in (np.nan, np.inf, 2j, "two", [2.0], (2.0, 1.0), np.ones(2), np.ones((3, 1)), True, {}):
        message = check("9.1", lambda r1, r2, result=result: result).message
        assert message.startswith("For r1 = 4.0, r2 = 0.25 your function returns ")
        assert message.endswith(f"; a number is wanted. Hint: {hint}")
        hint = QUESTIONS["9.1"].strong


def test_a_gradient_that_is_wrong_somewhere():
    def none_where_clipped(w, upstream, low, high):
        return upstream if low <= w <= high else None

    assert check("7.1", none_where_clipped).message.startswith("For w = 1.2, upstream = 0.5, low = -1, high = 1 your")
    assert check("7.1", lambda w, upstream, low, high: upstream * (abs(w) <= high)).status == "wrong"
    assert check("7.1", lambda w, upstream, low, high: upstream * (low < w < high)).status == "wrong"


def test_a_function_is_told_the_case_that_fails():
    message = check("1.3", lambda channels_in, filters: 9 * channels_in * filters).message
    assert message.startswith("For channels_in = 1, filters = 32 your function returns 288.")
    assert check("1.3", lambda *args: 1 / 0).message.endswith("stopped with ZeroDivisionError (division by zero).")
    assert check("1.3", lambda one: one).message.endswith("argument but 2 were given).")
    assert check("1.3", lambda *args: ...).message.endswith("in place of the dots after return.")
    assert check("1.3", lambda *args: None).message.endswith("returns nothing yet: end it with return and the result.")


def test_a_function_may_change_its_arguments():
    def in_place(patch, kernel):
        patch *= kernel
        return patch.sum()

    assert [check("1.2", in_place).status for _ in range(2)] == ["right", "right"]


def test_a_function_may_try_to_leave():
    def interrupt(*args):
        raise KeyboardInterrupt

    assert "SystemExit" in check("1.3", lambda channels_in, filters: exit()).message
    assert "KeyboardInterrupt" in check("1.3", interrupt).message


def test_a_matrix_product_is_not_a_convolution():
    assert check("1.2", lambda patch, kernel: np.sum(patch @ kernel)).status == "wrong"


def test_a_function_that_does_not_come_back_is_stopped(monkeypatch):
    """Without the limit the first three would come back after some minutes."""
    monkeypatch.setattr(exercises, "SECONDS", 0.05)
    began = []

    def compute(*args):
        began.append(time.monotonic())
        while time.monotonic() < began[-1] + 300:
            pass

    def shout(*args):
        began.append(time.monotonic())
        while time.monotonic() < began[-1] + 300:
            print("Still here.")

    def go_on(*args):
        began.append(time.monotonic())
        while time.monotonic() < began[-1] + 300:
            try:
                is_silent()
            except Exception:
                pass

    def generate(*args):
        return sum(1 for _ in iter(time.monotonic, 0))

    exec("def in_one_line(*args):\n    while True: pass", code := {})
    for endless in (compute, shout, go_on, generate, code["in_one_line"]):
        threads = set(threading.enumerate())
        feedback = check("1.3", endless)
        assert feedback.status == "wrong"
        assert feedback.message.startswith("Your function did not come back within 0.05 seconds")
        for thread in set(threading.enumerate()) - threads:
            thread.join(60)
            assert not thread.is_alive(), endless
    assert QUESTIONS["1.3"].gentle in check("1.3", lambda *args: -1).message


def test_a_function_that_cannot_be_stopped_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(exercises, "SECONDS", 0.05)
    gate = threading.Event()

    class Waits:
        def __repr__(self):
            return str(gate.wait(300))

    def swallow(*args):
        while not gate.is_set():
            try:
                gate.wait(1)
            except BaseException:
                pass

    try:
        for answer in (swallow, lambda *args: gate.wait(300), lambda *args: Waits()):
            assert check("1.3", answer).message.startswith("Your function did not come back within 0.05 seconds")
    finally:
        gate.set()


def test_the_first_lines_that_a_function_prints_are_shown(capsys):
    def shout(channels_in, filters):
        for line in range(20_000):
            print("line", line)
        return (9 * channels_in + 1) * filters

    assert check("1.3", shout).status == "right"
    assert capsys.readouterr().out.splitlines() == [f"line {line}" for line in range(20)]
    check("1.3", lambda *args: print("x" * 10**7, file=sys.stderr))
    out, err = capsys.readouterr()
    assert out == "x" * 2_000 + "\n" and not err
    check("1.1", 9)
    assert capsys.readouterr() == ("", "")


def test_an_answer_leaves_no_settings_behind():
    def unsettle(*args):
        np.seterr(all="raise")
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        return 320

    def settings():
        return np.geterr(), random.getstate(), str(np.random.get_state())  # noqa: NPY002

    before = settings()
    assert "returns 320" in check("1.3", lambda *args: 320).message
    assert check("1.3", unsettle).status == "wrong"
    assert settings() == before


def test_html_is_escaped():
    assert "<script>" not in check("1.1", "<script>alert(1)</script>")._repr_html_()


def test_a_guess_is_set_beside_the_measurement():
    for guess, measured, said in [
        (27, 27, "You guessed 27; measured: 27. Spot on."),
        (26, 27, "Close."),
        (3, 27, "Off by a factor of 9:"),
        (0.1135, 11.35, "Off by a factor of 100:"),
        (1, 1e6, "Off by a factor of 1e+06"),
        (-27, 27, "A different answer"),
        ("Dense1 ", "dense1", "Spot on."),
        ("conv1", "dense1", "You guessed 'conv1'; measured: dense1. A different answer"),
        ("a lot", 27, "A different answer"),
        (np.zeros(3), 27, "A different answer"),
        ("27", 27, "Spot on."),
        ((0, 1), [0, 1], "Spot on."),
        (np.array([0, 1]), [0, 1], "Spot on."),
        ([0, 2], [0, 1], "A different answer"),
        ([0] * 40 + [1], [0] * 40 + [2], "A different answer"),
        (10**400, 27, "A different answer"),
        (0, 0, "Spot on."),
        (5, 0, "A different answer"),
        (..., True, "Measured: True."),
        (1, Fraction(1, 3), "measured: 0.3333. Off by a factor of 3"),
        (1, np.array([[1, 2]]), "measured: [[1, 2]]. A different answer."),
    ]:
        assert said in reveal(guess, measured).message


def test_what_is_not_answered_or_guessed_is_a_quiet_line():
    for feedback, said in [
        (check("7.2"), "Exercise 7.2: put your answer in place of the dots and run this cell again."),
        (reveal(..., 27, "%"), "Measured: 27 %."),
    ]:
        assert feedback.status == "unanswered" and repr(feedback) == feedback.message == said
        quiet = feedback._repr_html_()
        assert said in quiet and 'role="status"' in quiet and "border" not in quiet and "<b>" not in quiet
    for box in (check("1.1", 9), check("1.1", 8), reveal(3, 27)):
        assert "border-left" in box._repr_html_() and 'role="status"' in box._repr_html_()


def test_measurements_are_written_for_reading():
    assert "1,234,567 bytes" in reveal(..., 1_234_567, "bytes").message
    assert "1,234,567 bytes" in reveal(..., np.int64(1_234_567), "bytes").message
    assert "Measured: 0.125." in reveal(..., 0.125).message


def test_examples_in_docstrings():
    found = doctest.testmod(exercises)
    assert found.attempted == 2 and not found.failed
