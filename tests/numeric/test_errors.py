import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric import (
    QuantParams,
    QuantSpec,
    fake_quantize,
    mse,
    params_from_data,
    params_from_range,
    share_clipped,
    sqnr_db,
)

MEASURES = [mse, sqnr_db]


def test_by_hand():
    x, x_hat = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[3.0, 4.5], [0.0, 0.0]])
    assert mse(x, x_hat) == 0.25 / 4
    assert sqnr_db(x, x_hat) == pytest.approx(20)  # 25 / 0.25


def test_sums_are_in_float64():
    x = np.full(1_000, 1e4, np.float16)
    assert mse(x, np.zeros_like(x)) == 1e8
    assert mse(np.uint8([3]), np.uint8([5])) == 4


def test_no_error_and_no_signal():
    x, zeros = np.array([1.0, 2.0]), np.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [measure(x, x) for measure in MEASURES] == [0, np.inf]
        assert [measure(zeros, zeros) for measure in MEASURES] == [0, np.inf]
        assert [measure(zeros, x) for measure in MEASURES] == [2.5, -np.inf]
        assert [measure(x, zeros) for measure in MEASURES] == [2.5, 0]


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-200, 1e98])
def test_ratios_survive_tiny_and_huge_numbers(size):
    x, x_hat = size * np.array([10.0, 20.0]), size * np.array([10.0, 25.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sqnr_db(x, x_hat) == pytest.approx(10 * np.log10(20), rel=1e-3)
        assert sqnr_db(x, [1.0, 1.0]) < 0 or size > 1
        assert sqnr_db([1.0, 1.0], x) == pytest.approx(0) or size > 1


@pytest.mark.parametrize("bits", [6, 8, 12])
def test_a_full_sine_wave_is_worth_its_bits(bits):
    """6.02 dB a bit and 1.76 dB for the sine (IEEE Std 1241); a little less, since nudging clips half a step."""
    x = np.sin(np.linspace(0, 2 * np.pi * 1001, 200_000))
    x_hat = fake_quantize(x, params_from_data(x, QuantSpec(bits)))
    assert sqnr_db(x, x_hat) == pytest.approx(6.02 * bits + 1.76, abs=0.6)


def test_share_clipped_by_hand():
    params = QuantParams(1.0, 0, QuantSpec(2))  # -2, -1, 0, 1
    x = np.array([-2.6, -2.5, -2.4, 0.0, 1.0, 1.4, 1.5, 1.6])
    assert share_clipped(x, params) == 2 / 8
    assert share_clipped(x[3:6], params) == 0
    assert share_clipped(1e100, QuantParams(1e-200, 0, QuantSpec())) == 1


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
    with pytest.raises(ValueError, match=r"x must hold finite numbers up to 1e\+100, got 1e\+101"):
        measure(np.array([0, 1e101]), np.zeros(2))


def test_share_clipped_refuses():
    params = params_from_range([-1.0, -10.0], [1.0, 10.0], QuantSpec(axis=1))
    with pytest.raises(ValueError, match="x must hold at least one value"):
        share_clipped(np.zeros((0, 2)), params)
    with pytest.raises(ValueError, match="for 2 channels along axis 1"):
        share_clipped(np.zeros((2, 3)), params)
    with pytest.raises(TypeError, match=r"params must be a QuantParams; params_from_data\(x, spec\) makes one"):
        share_clipped(np.zeros(2), QuantSpec())
