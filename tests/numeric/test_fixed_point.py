from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric import FixedPointMultiplier, quantize_multiplier, rescale
from qkit.numeric.fixed_point import divide_away, high_product, rescale_float32, rescale_float64

reals = st.floats(2.0**-31, 0.999)  # no shift to the left
int32s = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-300, 300), st.sampled_from([-(2**31), 2**31 - 1]))


def towards_zero(a: int, b: int) -> int:
    """Integer division as C++ does it, for b above 0."""
    return a // b if a >= 0 else -(-a // b)


def gemmlowp(acc: int, m0: int, shift: int) -> int:
    """Retell SaturatingRoundingDoublingHighMul and RoundingDivideByPOT with Python's unlimited integers."""
    product = (acc << max(shift, 0)) * m0
    nudge = 2**30 if product >= 0 else 1 - 2**30
    high = towards_zero(product + nudge, 2**31)
    mask = (1 << max(-shift, 0)) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> max(-shift, 0)) + (1 if high & mask > threshold else 0)


def half_up(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def exact(m: FixedPointMultiplier) -> Fraction:
    return Fraction(m.m0) * Fraction(2) ** (m.shift - 31)


# ---- The multiplier ----


def test_published_multiplier():
    m = quantize_multiplier(0.00202749)
    assert m.shift == -8
    assert m.m0 == round(Fraction(0.00202749) * 2**39)
    assert (quantize_multiplier(1.0).m0, quantize_multiplier(1.0).shift) == (2**30, 1)
    assert (quantize_multiplier(0.75).m0, quantize_multiplier(0.75).shift) == (3 * 2**29, 0)


@given(st.floats(2.0**-32, 2.0**30))
def test_multiplier_is_within_its_relative_error(real):
    m = quantize_multiplier(real)
    assert 2**30 <= m.m0 < 2**31
    assert -31 <= m.shift <= 31
    assert abs(exact(m) - Fraction(real)) <= Fraction(real) / 2**31
    assert Fraction(float(m.real)) == exact(m)


def test_multiplier_just_below_a_power_of_two_carries():
    m = quantize_multiplier(np.nextafter(0.5, 0))
    assert (m.m0, m.shift) == (2**30, 0)


def test_vanishing_multiplier_is_zero():
    m = quantize_multiplier([1e-12, 2.0**-32, 0.5])
    assert m.m0.tolist() == [0, 2**30, 2**30]
    assert m.real.tolist() == [0, 2.0**-32, 0.5]
    assert rescale([2**31 - 1] * 3, m, "single").tolist() == [0, 0, 2**30]
    assert rescale([2**31 - 1] * 3, m, "double").tolist() == [0, 1, 2**30]  # rounded to 2^30 first, half of 2^31


@pytest.mark.parametrize("real", [0.0, -1.0, 2.0**31, [0.5, 0.0]])
def test_multiplier_refuses(real):
    with pytest.raises(ValueError, match=r"a multiplier must be above 0 and at most 2\*\*30"):
        quantize_multiplier(real)


def test_multiplier_refuses_nan():
    with pytest.raises(ValueError, match="real must hold finite numbers"):
        quantize_multiplier(np.nan)


# ---- Rescaling ----


def test_published_double_rounding():
    """The exact product is 118.49868: rounded to 118.5 first, then up."""
    m = quantize_multiplier(0.00202749)
    assert [rescale(58446, m, way) for way in ("single", "double", "double_up")] == [118, 119, 119]
    assert rescale_float32(58446, 0.00202749) == 118


def test_published_ties_of_negative_sums():
    """-246 times M is -0.49876, which a first rounding makes -0.5: gemmlowp says -1, ruy on x86 0."""
    m = FixedPointMultiplier(1114626607, -8)
    assert [rescale(-246, m, way) for way in ("single", "double", "double_up")] == [0, -1, 0]


@given(int32s, reals)
def test_equals_exact_integers(acc, real):
    m = quantize_multiplier(real)
    assert rescale(acc, m, "single") == half_up(acc * exact(m))
    assert rescale(acc, m, "double") == gemmlowp(acc, m.m0, m.shift)
    right = max(-m.shift, 0)
    first = half_up(Fraction(acc * m.m0, 2**31))
    assert rescale(acc, m, "double_up") == half_up(Fraction(first, 2**right))


@given(st.integers(-(2**10), 2**10), st.floats(1.0, 2.0**19))
def test_multipliers_above_one(acc, real):
    m = quantize_multiplier(real)
    assert rescale(acc, m, "single") == half_up(acc * exact(m))
    assert rescale(acc, m, "double") == rescale(acc, m, "double_up") == gemmlowp(acc, m.m0, m.shift)


@given(int32s, reals)
def test_float32_equals_exact_fractions(acc, real):
    """One rounding of the sum to float32, one of the product, one to the integer, each half to even."""
    scale = Fraction(float(np.float32(real)))
    product = Fraction(float(np.float32(acc))) * scale
    rounded = np.float32(float(product))  # at most 48 bits: the float64 is exact
    assert rescale_float32(acc, real) == round(Fraction(float(rounded)))


@pytest.mark.parametrize("rounding", ["single", "double", "double_up"])
def test_per_channel_is_one_multiplier_for_each_last_index(rounding):
    rng = np.random.default_rng(0)
    acc = rng.integers(-(2**20), 2**20, (4, 5, 3)).astype(np.int32)
    real = np.array([0.9, 0.0123, 2.5])
    found = rescale(acc, quantize_multiplier(real), rounding)
    assert (found.dtype, found.shape) == (np.int32, acc.shape)
    for channel in range(3):
        alone = rescale(acc[..., channel], quantize_multiplier(real[channel]), rounding)
        np.testing.assert_array_equal(found[..., channel], alone)


def test_float32_per_channel():
    found = rescale_float32(np.array([[3, 3], [5, -5]]), [0.5, 1.0])
    assert found.tolist() == [[2, 3], [2, -5]]
    assert found.dtype == np.int32


def test_roundings_differ_rarely_and_by_one():
    acc = np.arange(-200_000, 200_000)
    m = quantize_multiplier(0.00202749)
    ways = np.array([rescale(acc, m, way) for way in ("single", "double", "double_up")])
    spread = np.ptp(ways, axis=0)
    assert spread.max() == 1
    assert 0 < spread.mean() < 0.01


def test_scalars_and_empty_arrays():
    m = quantize_multiplier([0.5, 0.25])
    assert rescale(np.zeros((0, 2), np.int32), m).shape == (0, 2)
    assert rescale_float32(np.zeros((0, 2), np.int32), [0.5, 0.25]).dtype == np.int32
    assert np.shape(rescale(8, quantize_multiplier(0.5))) == ()
    one_channel = quantize_multiplier([0.5])
    assert one_channel.real.shape == (1,)
    assert rescale([[8], [9]], one_channel).tolist() == [[4], [5]]


def test_rescale_refuses():
    m = quantize_multiplier([0.5, 0.25])
    with pytest.raises(ValueError, match="must be 'single', 'double' or 'double_up', got 'triple'"):
        rescale([1, 2], m, "triple")
    for act in (rescale, lambda acc, m: rescale_float32(acc, m.real)):
        with pytest.raises(TypeError, match="acc must hold integers, got float64"):
            act([1.0, 2.0], m)
        with pytest.raises(ValueError, match=r"the 2 channels, got shape \(3,\)"):
            act([1, 2, 3], m)
        with pytest.raises(ValueError, match=r"the 2 channels, got shape \(\)"):
            act(1, m)
        with pytest.raises(OverflowError, match="2147483648 is more than an int32 holds"):
            act([0, 2**31], m)


@pytest.mark.parametrize("rounding", ["single", "double", "double_up"])
def test_results_beyond_int32_are_refused(rounding):
    with pytest.raises(OverflowError, match="is more than an int32 holds"):
        rescale(2**30, quantize_multiplier(3.0), rounding)


def test_float32_results_beyond_int32_are_refused():
    with pytest.raises(OverflowError, match="is more than an int32 holds"):
        rescale_float32(2**30, 3.0)
    with pytest.raises(OverflowError, match="2147483648 to 2147483648 is more than an int32 holds"):
        rescale_float32(2**31 - 1, 1.0)  # which float32 turns into 2^31


# ---- What softmax and the explorer need ----


@given(int32s, st.floats(0.0001, 0.9))
def test_float64_rounds_half_away_from_zero(acc, real):
    product = Fraction(float(acc) * real)
    expected = half_up(product) if product >= 0 else -half_up(-product)
    assert rescale_float64(acc, real) == expected


def test_float64_ties():
    assert rescale_float64([-3, -1, 0, 1, 3], 0.5).tolist() == [-2, -1, 0, 1, 2]
    assert rescale_float64(1, np.nextafter(0.5, 0)) == 0
    assert rescale_float64([[1, 1]], [1.0, 2.0]).tolist() == [[1, 2]]


@given(int32s, int32s, st.integers(0, 31))
def test_gemmlowps_operators(a, b, exponent):
    a, b = max(a, -(2**31) + 1), max(b, -(2**31) + 1)
    x = np.array([a], np.int64)
    assert high_product(x, np.int64(b)).tolist() == [half_up(Fraction(a * b, 2**31))]
    exact = Fraction(abs(a), 2**exponent)
    assert divide_away(x, exponent).tolist() == [half_up(exact) if a >= 0 else -half_up(exact)]
    assert x.tolist() == [a]


def test_one_channels_multiplier():
    m = quantize_multiplier([0.5, 0.011])
    assert (m[1].m0, m[1].shift) == (quantize_multiplier(0.011).m0, quantize_multiplier(0.011).shift)
