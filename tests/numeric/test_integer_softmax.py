"""Softmax in int8: close to the exact one, whatever the logits. LiteRT itself is the oracle in tests/network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from qkit.numeric.softmax import ONE, exponential_of_negative, reciprocal, softmax_by_table, softmax_in_integers

logits = arrays(np.int8, st.tuples(st.integers(1, 5), st.integers(2, 20)))

scales = st.floats(2**-10, 4, width=32)


@pytest.mark.parametrize("integer_softmax", [softmax_by_table, softmax_in_integers])
@given(q=logits, scale=scales)
def test_within_a_step_of_the_exact_softmax(integer_softmax, q, scale):
    found = integer_softmax(q, scale)
    exact = np.clip(256 * softmax(scale * q.astype(float), axis=1) - 128, -128, 127)
    assert found.dtype == np.int8
    assert np.abs(found - exact).max() <= (0.51 if integer_softmax is softmax_by_table else 0.6)


@given(q=logits, scale=scales)
def test_larger_logits_never_get_less(q, scale):
    for integer_softmax in (softmax_by_table, softmax_in_integers):
        found = np.take_along_axis(integer_softmax(q, scale).astype(int), np.argsort(q, axis=1), axis=1)
        assert (np.diff(found, axis=1) >= 0).all()


def test_a_sure_answer_saturates():
    for integer_softmax in (softmax_by_table, softmax_in_integers):
        assert integer_softmax(np.int8([[127, -128, -128]]), 1.0).tolist() == [[127, -128, -128]]


def test_each_pixel_of_an_image_has_its_own_softmax():
    q = np.random.default_rng(0).integers(-128, 128, (2, 3, 4, 5), np.int8)
    for integer_softmax in (softmax_by_table, softmax_in_integers):
        by_pixel = integer_softmax(q.reshape(-1, 5), 0.05).reshape(q.shape)
        np.testing.assert_array_equal(integer_softmax(q, 0.05), by_pixel)


def test_exponential_is_good_to_seven_digits():
    x = -np.arange(0, 2**31, 99_991)
    found = exponential_of_negative(x) / 2**31
    np.testing.assert_allclose(found, np.exp(x / 2.0**26), atol=3e-8, rtol=3e-7)
    assert exponential_of_negative(np.zeros(1, np.int64)).tolist() == [ONE]


def test_reciprocal_is_good_to_eight_digits():
    total = np.arange(2**31, 2**32, 99_991)
    np.testing.assert_allclose(reciprocal(total) / 2**31, 2.0**31 / total, rtol=1e-8)


def test_a_scale_that_is_too_large():
    with pytest.raises(ValueError, match=r"a multiplier must be above 0 and at most 2\*\*30"):
        softmax_in_integers(np.int8([[1, 2]]), 17.0)
