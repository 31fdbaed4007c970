import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric import (
    QuantParams,
    QuantSpec,
    cosine_similarity,
    effective_bits,
    fake_quantize,
    max_error,
    mse,
    params_from_data,
    params_from_range,
    share_clipped,
    sqnr_db,
)

MEASURES = [mse, max_error, sqnr_db, cosine_similarity]


def test_by_hand():
    x, x_hat = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[3.0, 4.5], [0.0, 0.0]])
    assert mse(x, x_hat) == 0.25 / 4
    assert max_error(x, x_hat) == 0.5
    assert sqnr_db(x, x_hat) == pytest.approx(20)  # 25 / 0.25
    assert cosine_similarity(x, x_hat) == pytest.approx(27 / (5 * np.sqrt(9 + 4.5**2)))


def test_sums_are_in_float64():
    x = np.full(1_000, 1e4, np.float16)
    assert mse(x, np.zeros_like(x)) == 1e8
    assert max_error(np.uint8([3]), np.uint8([5])) == 2


def test_cosine_does_not_see_a_factor():
    x = np.array([1.0, -2.0, 3.0])
    assert cosine_similarity(x, 7 * x) == pytest.approx(1)
    assert cosine_similarity(x, -x) == pytest.approx(-1)


def test_cosine_is_never_above_one():
    for x in np.random.default_rng(0).normal(size=(100, 5)):
        assert 1 - 1e-15 <= cosine_similarity(x, x) <= 1


def test_no_error_and_no_signal():
    x, zeros = np.array([1.0, 2.0]), np.zeros(2)
    assert [measure(x, x) for measure in MEASURES] == [0, 0, np.inf, pytest.approx(1)]
    assert [measure(zeros, zeros) for measure in MEASURES] == [0, 0, np.inf, 1]
    assert [measure(zeros, x) for measure in MEASURES] == [2.5, 2, -np.inf, 0]
    assert [measure(x, zeros) for measure in MEASURES] == [2.5, 2, 0, 0]


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200, 1e299])
def test_ratios_survive_tiny_and_huge_numbers(size):
    x, x_hat = size * np.array([1.0, 2.0]), size * np.array([1.0, 2.5])
    assert sqnr_db(x, x_hat) == pytest.approx(10 * np.log10(20))
    assert cosine_similarity(x, x_hat) == pytest.approx(6 / np.sqrt(5 * 7.25))


def test_effective_bits():
    assert effective_bits(49.92) == pytest.approx(8, abs=1e-3)
    assert effective_bits(1.76) == pytest.approx(0, abs=1e-3)
    assert effective_bits(-10) < 0
    assert (effective_bits(np.inf), effective_bits(-np.inf)) == (np.inf, -np.inf)


@pytest.mark.parametrize("bits", [6, 8, 12])
def test_a_full_sine_wave_is_worth_its_bits(bits):
    """A little less: nudging clips one end by half a step."""
    x = np.sin(np.linspace(0, 2 * np.pi * 1001, 200_000))
    x_hat = fake_quantize(x, params_from_data(x, QuantSpec(bits)))
    assert effective_bits(sqnr_db(x, x_hat)) == pytest.approx(bits, abs=0.1)


def test_share_clipped_by_hand():
    params = QuantParams(1.0, 0, QuantSpec(2))  # -2, -1, 0, 1
    x = np.array([-2.6, -2.5, -2.4, 0.0, 1.0, 1.4, 1.5, 1.6])
    assert share_clipped(x, params) == 2 / 8
    assert share_clipped(x[3:6], params) == 0
    assert share_clipped(1e300, QuantParams(1e-300, 0, QuantSpec())) == 1


def test_share_clipped_per_channel():
    params = params_from_range([-1.0, -10.0], [1.0, 10.0], QuantSpec(axis=1))
    assert share_clipped(np.array([[5.0, 5.0], [0.5, 20.0]]), params) == 2 / 4


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1),
    st.integers(2, 16),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
)
def test_minmax_clips_nothing(values, bits, symmetric, dtype):
    x = np.array(values, dtype)
    assert share_clipped(x, params_from_data(x, QuantSpec(bits, symmetric=symmetric))) == 0


def test_minmax_clips_nothing_half_a_step_away():
    """A symmetric range is nudged by exactly half a step, give or take the rounding of its scale."""
    for high in np.random.default_rng(0).uniform(0, 10, 50).astype(np.float32):
        x = np.array([-high, high])
        assert share_clipped(x, params_from_data(x, QuantSpec(16))) == 0


@pytest.mark.parametrize("measure", MEASURES)
def test_measures_refuse(measure):
    with pytest.raises(ValueError, match=r"the same shape, got \(2,\) and \(2, 1\)"):
        measure(np.zeros(2), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"x must hold at least one value, got shape \(0,\)"):
        measure(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"x_hat must hold finite numbers .* got nan"):
        measure(np.zeros(2), np.array([0, np.nan]))


def test_share_clipped_refuses():
    params = params_from_range([-1.0, -10.0], [1.0, 10.0], QuantSpec(axis=1))
    with pytest.raises(ValueError, match="x must hold at least one value"):
        share_clipped(np.zeros((0, 2)), params)
    with pytest.raises(ValueError, match="for 2 channels along axis 1"):
        share_clipped(np.zeros((2, 3)), params)
