"""The self-test draws fairly, knows its answers, and bears whatever is typed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric import Paired, QuantSpec, params_from_range, quantize_multiplier, straight_through
from qkit.show import SelfTest
from qkit.show.self_test import POOL, Asked, drawn
from tests.conftest import ROOT


def test_two_questions_of_every_notebook_in_order():
    numbers = {int(path.name[:2]) for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(POOL) >= 60
    for seed in range(50):
        pages = [one.page for one in SelfTest(seed).asked]
        assert pages == sorted([*numbers, *numbers])


def test_other_questions_with_other_numbers_each_time():
    tests = [[one.text for one in SelfTest().asked] for _ in range(10)]
    assert len({tuple(each) for each in tests}) == 10
    assert SelfTest(3).asked == SelfTest(3).asked
    # All of the pool is asked sooner or later.
    pool, asked, seed = {question["why"] for question in POOL}, set(), 0
    while asked < pool and seed < 100:
        asked |= {one.why for one in SelfTest(seed).asked}
        seed += 1
    assert asked == pool


@pytest.mark.parametrize("question", POOL, ids=lambda question: question["text"][:40])
def test_every_question_accepts_its_answer_and_no_other(question):
    for seed in range(20):
        one = drawn(question, np.random.default_rng(seed))
        assert "{" not in one.text and one.solution
        if one.options:
            assert [one.accepts(option) for option in one.options].count(True) == 1
            assert len(set(one.options)) == len(one.options) >= 3
        else:
            assert math.isfinite(one.answer)
            assert one.accepts(repr(one.answer)) and one.accepts(
                f"{one.answer:.3g}" if one.answer % 1 else f" {one.answer:.0f} "
            )
            for wrong in (one.answer + max(1, abs(one.answer)), one.answer - max(1, abs(one.answer))):
                assert not one.accepts(repr(wrong))


def answer(begin, **numbers):
    """Return the answer to the question whose text begins so, with these numbers."""
    question = next(each for each in POOL if each["text"].startswith(begin))
    only = question | {"numbers": {name: [value] for name, value in numbers.items()}}
    return drawn(only, np.random.default_rng(0)).answer


def test_formulas_say_what_qkit_computes():
    for low, high, bits in [(-1, 3, 4), (-2, 6, 8), (-1, 6, 8)]:
        params = params_from_range(low, high, QuantSpec(bits, signed=False))
        assert answer(
            "The range from {low} to {high}, {bits} bits: what is the step", low=low, high=high, bits=bits
        ) == pytest.approx(params.scale)
        assert (
            answer("The range from {low} to {high}, {bits} bits, unsigned", low=low, high=high, bits=bits)
            == params.zero_point
        )
    narrow = QuantSpec(4, symmetric=True, narrow_range=True)
    params = params_from_range(-1.4, 1.4, narrow)
    assert answer("A symmetric grid", bits=4, threshold=1.4) == pytest.approx(params.scale)
    assert answer("How many values can a weight", bits=4) == narrow.levels
    for w in (0.4, 1.2):
        assert answer("The range is −1 to 1", w=w, upstream=0.3) == 0.3 * straight_through(
            w, params_from_range(-1, 1, narrow)
        )
    assert answer("M = {m}", m=0.03) == -quantize_multiplier(0.03).shift
    assert answer("Network A alone", first=2, second=8) == pytest.approx(Paired(2, 8, 10_000).p_value)
    assert answer("Of 10,000 images", first=12, second=40) == pytest.approx(100 * Paired(12, 40, 10_000).gain)


def test_numbers_may_be_written_in_several_ways():
    third = Asked(2, "", 1 / 3, "")
    assert all(third.accepts(given) for given in ("0.333", "0,333", "1/3", " 3.33e-1 "))
    assert not third.accepts("0.33") and not third.accepts("85/256")
    assert Asked(2, "", -2.0, "").accepts("−2")
    assert not Asked(2, "", 7.0, "").accepts("7.01") and not Asked(2, "", 25.0, "").accepts("2,5")
    assert all(Asked(1, "", 102_400.0, "").accepts(given) for given in ("102400", "102,400", "1.024e5"))
    assert all(third.accepts(given) is None for given in ("", "abc", "3*5", "1/0"))


@given(st.text() | st.sampled_from(["1e999999999", "1/0", "nan", "inf", "1/2/3", "1_0", None]))
def test_whatever_is_typed_is_an_answer(typed):
    assert Asked(0, "", "a", "", ("a", "b")).accepts(typed) is (None if typed is None else typed == "a")
    if typed is not None:
        assert Asked(0, "", 0.123, "").accepts(typed) in (True, False, None)


def test_the_button_says_what_is_right_and_what_to_read():
    test = SelfTest(1)
    for one, box in zip(test.asked[1:], test.boxes[1:], strict=True):
        box.value = one.answer if one.options else repr(one.answer)
    count = len(test.asked)
    assert test.check() == count - 1
    assert f"{count - 1} of {count}" in test.score.value and "again: 00" in test.score.value
    assert ["✓" in verdict.value for verdict in test.verdicts] == [False] + (count - 1) * [True]
    assert test.asked[0].why not in test.verdicts[0].value  # what is not answered is not given away
    test.boxes[0].value = test.asked[0].answer if test.asked[0].options else repr(test.asked[0].answer)
    assert test.check() == count and "Nothing" in test.score.value


def test_a_page_without_a_kernel_shows_questions_and_folded_answers():
    test = SelfTest(2)
    data, count = test._repr_mimebundle_(), len(test.asked)
    assert "application/vnd.jupyter.widget-view+json" in data and f"{count} questions" in data["text/plain"]
    assert data["text/html"].count("<details>") == count
    assert data["text/html"].count("<li>") == count + sum(len(one.options) for one in test.asked)
