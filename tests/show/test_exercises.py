"""Exercises answer every answer, and never raise."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.show import check, exercises, reveal
from qkit.show.words.exercises import EXERCISES


@pytest.fixture(autouse=True)
def first_attempt():
    exercises._wrong_attempts.clear()


class Hostile:
    """Raises at whatever is done to it."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        raise RuntimeError("no equality")

    def __float__(self):
        raise RuntimeError("no float")

    def __call__(self, *args):
        raise RuntimeError("no call")


ANSWERS = [0, -1.5, np.nan, np.inf, True, "", "b", " A ", "ä" * 1000, b"x", [], [1, 2], {}]
ANSWERS += [np.zeros((3, 3)), np.array(4), np.array([]), len, type, Hostile()]
ANSWERS += [lambda: 1, lambda *args: args, lambda *args: 1 / 0, lambda *args: "nine"]


@pytest.mark.parametrize("number", EXERCISES)
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_never_raises(number, answer):
    for _ in range(3):
        feedback = check(number, answer)
        assert feedback.status in ("right", "wrong", "unanswered")
        assert repr(feedback) and feedback._repr_html_()


@pytest.mark.parametrize("number", EXERCISES)
@given(answer=st.one_of(st.integers(), st.floats(), st.text(), st.lists(st.floats()), st.none()))
def test_never_raises_on_anything(number, answer):
    assert reveal(answer, 0.125).status == reveal(answer, "dense1").status == "measured"
    assert check(number, answer).status in ("right", "wrong", "unanswered")


@pytest.mark.parametrize("number", ["9.9", "", None, 1.1, []])
def test_unknown_numbers_are_told_the_known_ones(number):
    feedback = check(number, 1)
    if number == 1.1:
        assert feedback.status == "wrong"
    else:
        assert feedback.status == "unanswered" and "1.1, 1.2" in feedback.message


def never(*args):
    """Return what no exercise asks for."""
    return -12345


WRONG = {
    number: never for number in ("1.2", "1.3", "2.1", "2.2", "4.4", "4.5", "5.1", "5.3", "6.1", "6.2", "6.3", "7.1")
}
WRONG |= {
    "0.2": "c",
    "1.4": "a",
    "3.2": "a",
    "4.1": "a",
    "4.6": "a",
    "5.4": "b",
    "5.5": "a",
    "6.4": "b",
    "6.5": "a",
    "7.4": "a",
    "8.1": "a",
    "8.3": "b",
}


@pytest.mark.parametrize("number", EXERCISES)
def test_hints_get_stronger(number):
    gentle, strong = EXERCISES[number]["hints"]
    assert check(number).status == "unanswered"
    wrong = WRONG.get(number, -12345)
    assert not {gentle, strong} & {check(number, "nonsense").message[-len(hint) :] for hint in (gentle, strong)}
    assert gentle in check(number, wrong).message
    assert strong in check(number, wrong).message
    assert strong in check(number, wrong).message


def test_a_number_is_told_its_direction_but_not_the_answer():
    assert check("1.1", 8).message.startswith("8 is too small.")
    assert check("1.1", 25).message.startswith("25 is too large.")
    assert check("1.1", np.int64(9)).status == check("1.1", np.array([9])).status == check("1.1", 9.0).status == "right"


def test_a_gradient_that_is_wrong_somewhere():
    def none_where_clipped(w, upstream, low, high):
        return upstream if low <= w <= high else None

    assert check("7.1", none_where_clipped).message.startswith("For w = 1.2, upstream = 0.5, low = -1, high = 1 your")
    assert check("7.1", lambda w, upstream, low, high: upstream * (abs(w) <= high)).status == "wrong"
    assert check("7.1", lambda w, upstream, low, high: upstream * (low < w < high)).status == "wrong"


def test_a_function_is_told_the_case_that_fails():
    message = check("1.3", lambda channels_in, filters: 9 * channels_in * filters).message
    assert message.startswith("For channels_in = 1, filters = 32 your function returns 288.")
    assert "ZeroDivisionError" in check("1.3", lambda channels_in, filters: 1 / 0).message
    assert "TypeError" in check("1.3", lambda one: one).message


def test_a_function_may_change_its_arguments():
    def in_place(patch, kernel):
        patch *= kernel
        return patch.sum()

    assert [check("1.2", in_place).status for _ in range(2)] == ["right", "right"]


def test_a_function_may_try_to_leave():
    assert "SystemExit" in check("1.3", lambda channels_in, filters: exit()).message


def test_any_kind_of_number_will_do():
    assert check("1.1", Fraction(9)).status == "right"
    assert check("1.1", 10**400).status == "wrong"


def test_a_matrix_product_is_not_a_convolution():
    assert check("1.2", lambda patch, kernel: np.sum(patch @ kernel)).status == "wrong"


def test_html_is_escaped():
    assert "<script>" not in check("1.1", "<script>alert(1)</script>")._repr_html_()


@pytest.mark.parametrize(
    ("guess", "measured", "said"),
    [
        (..., 27, "Measured: 27. (You made no guess.)"),
        (27, 27, "Spot on."),
        (26, 27, "Close."),
        (3, 27, "Off by a factor of 9"),
        (-27, 27, "A different answer"),
        ("Dense1 ", "dense1", "Spot on."),
        ("conv1", "dense1", "A different answer"),
        ("a lot", 27, "A different answer"),
        (np.zeros(3), 27, "A different answer"),
        (Hostile(), 27, "A different answer"),
        ("27", 27, "Spot on."),
        ((0, 1), [0, 1], "Spot on."),
        (np.array([0, 1]), [0, 1], "Spot on."),
        ([0, 2], [0, 1], "A different answer"),
        (10**400, 27, "A different answer"),
        (0, 0, "Spot on."),
        (5, 0, "A different answer"),
    ],
)
def test_a_guess_is_set_beside_the_measurement(guess, measured, said):
    assert said in reveal(guess, measured).message


def test_measurements_are_written_for_reading():
    assert "1,234,567 bytes" in reveal(..., 1_234_567, "bytes").message
    assert "1,234,567 bytes" in reveal(..., np.int64(1_234_567), "bytes").message
    assert "Measured: 0.125." in reveal(..., 0.125).message
