"""From sums to int8: four roundings of the same product, and the steps between."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric.affine import QuantParams, QuantSpec
from qkit.numeric.fixed_point import RUNTIMES, Requantizer, check_runtime, integer_range

SCALES = np.float32([0.0021, 0.00185, 0.0007]).astype(np.float64)
X_SCALE, Y_SCALE = float(np.float32(1 / 255)), float(np.float32(0.0029))


def requantizer(zero_point=-128, activation="NONE", dense=False, w_scale=SCALES) -> Requantizer:
    return Requantizer(X_SCALE, w_scale, QuantParams(Y_SCALE, zero_point, QuantSpec()), activation, dense)


def half_up(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def half_away(x: Fraction) -> int:
    return half_up(x) if x >= 0 else ceil(x - Fraction(1, 2))


@given(st.integers(-(2**20), 2**20), st.sampled_from(range(3)), st.booleans())
def test_single_and_dense_reference_round_the_exact_product_once(acc, channel, per_channel):
    w_scale = SCALES if per_channel else float(SCALES[0])
    exact = acc * Fraction(X_SCALE * np.ravel(w_scale)[channel if per_channel else 0] / Y_SCALE)
    for dense, runtime, rounding in ((False, "single", half_up), (True, "reference", half_away)):
        steps = requantizer(3, dense=dense, w_scale=w_scale).steps(acc, channel, runtime)
        # A multiplier of 31 bits, and the product in float64, may only miss next to a tie.
        if abs(exact % 1 - Fraction(1, 2)) > Fraction(1, 10**4):
            assert steps.rounded == rounding(exact)
        assert steps.product == pytest.approx(float(exact), rel=1e-9)


@given(
    st.integers(-(2**22), 2**22),
    st.sampled_from(range(3)),
    st.sampled_from(RUNTIMES),
    st.booleans(),
    st.sampled_from(["NONE", "RELU"]),
)
def test_steps_lead_to_what_arrays_give(acc, channel, runtime, dense, activation):
    layer = requantizer(-7, activation, dense)
    steps = layer.steps(acc, channel, runtime)
    sums = np.full((2, 3), acc, np.int32)
    assert (layer.run(sums, runtime)[:, channel] == steps.q).all()
    assert steps.shifted == steps.rounded - 7
    assert steps.q == min(max(steps.shifted, -128 if activation == "NONE" else -7), 127)
    assert abs(steps.product - steps.rounded) <= 0.502  # half, and what the first rounding has added
    assert (steps.fixed is None) == (runtime == "xnnpack" or (runtime == "reference" and dense))
    assert (steps.halfway is None) == (steps.fixed is None or runtime == "single")
    if steps.halfway is not None:
        first = half_up(Fraction(acc * steps.fixed.m0, 2**31))
        assert Fraction(steps.halfway) == Fraction(first, 2**-steps.fixed.shift)
    if runtime == "xnnpack":  # in float32, whatever integer the sum is
        assert np.float32(steps.product) == steps.product == layer.steps(np.int64(acc), channel, runtime).product


def test_runtimes_differ_rarely_and_by_one():
    layer = requantizer(0)
    sums = np.arange(-200_000, 200_000, dtype=np.int32)[:, None] * np.ones(3, np.int32)
    found = {runtime: layer.run(sums, runtime).astype(int) for runtime in RUNTIMES}
    for runtime in ("xnnpack", "builtin", "reference"):
        difference = np.abs(found[runtime] - found["single"])
        assert difference.max() <= 1
        assert difference.mean() < 0.002
    assert (found["builtin"] != found["single"]).any()
    twice = found["builtin"] != found["reference"]  # they part only at ties of negative numbers
    assert twice.any() and (sums[twice] < 0).all()


@given(st.integers(-(2**22), 2**22), st.floats(1e-4, 1e-2), st.sampled_from(RUNTIMES), st.booleans())
def test_one_channel_is_an_array_of_channels(acc, w_scale, runtime, dense):
    """NumPy 2.2 makes a single number of an array with one, which then has no channel 0."""
    alone = requantizer(-7, dense=dense, w_scale=np.array([w_scale]))
    pair = requantizer(-7, dense=dense, w_scale=np.array([w_scale, 2 * w_scale]))
    steps = alone.steps(acc, 0, runtime)
    assert vars_of(steps) == vars_of(pair.steps(acc, 0, runtime))
    assert alone.run(np.full((3, 1), acc, np.int32), runtime).tolist() == [[steps.q]] * 3


def vars_of(steps) -> dict:
    return {**vars(steps), "fixed": steps.fixed and (steps.fixed.m0, steps.fixed.shift)}


def test_twice_rounded():
    """The published sum, whose exact product is 118.49868."""
    layer = Requantizer(1.0, 0.00202749, QuantParams(1.0, -128, QuantSpec()), "RELU", dense=False)
    steps = {runtime: layer.steps(58446, 0, runtime) for runtime in RUNTIMES}
    assert [steps[runtime].rounded for runtime in RUNTIMES] == [118, 119, 119, 118]
    assert [steps[runtime].halfway for runtime in RUNTIMES] == [None, 118.5, 118.5, None]
    assert steps["builtin"].fixed.shift == -8
    assert (steps["builtin"].shifted, steps["builtin"].q) == (-9, -9)


def test_a_relu6_clips_at_six():
    for scale, zero_point, even, away in (
        (0.1, -100, -40, -40),
        (12, -100, -100, -99),
        (2.4, 0, 2, 3),
        (0.01, -128, 127, 127),
    ):
        y = QuantParams(scale, zero_point, QuantSpec())
        for runtime in RUNTIMES:
            highest = even if runtime == "xnnpack" else away
            assert integer_range(y, "RELU6", runtime) == (zero_point, highest)
            layer = Requantizer(1.0, 1.0, y, "RELU6", dense=False)
            assert layer.run(np.int32([-(10**6), 10**6]), runtime).tolist() == [zero_point, highest]
            assert layer.steps(10**6, 0, runtime).q == highest
    with pytest.raises(ValueError, match="activation must be one of NONE, RELU, RELU6, got 'TANH'"):
        integer_range(y, "TANH")


def test_a_relu_clips_at_the_zero_point():
    sums = np.int32([[-9_000_000, -5, 9_000_000]])
    for runtime in RUNTIMES:
        assert requantizer(-20, activation="RELU").run(sums, runtime).tolist() == [[-20, -20, 127]]
        assert requantizer(-20).run(sums, runtime).tolist() == [[-128, -20, 127]]


def test_dense_layers_with_one_scale_multiply_it_in_float32():
    w_scale = float(SCALES[0])
    by_float32 = np.float64(np.float32(X_SCALE) * np.float32(w_scale)) / Y_SCALE
    dense, convolution = requantizer(dense=True, w_scale=w_scale), requantizer(w_scale=w_scale)
    assert dense.steps(1, 0, "builtin").multiplier == pytest.approx(by_float32, rel=2**-31)
    assert convolution.steps(1, 0, "builtin").multiplier == pytest.approx(convolution.multiplier, rel=2**-31)
    assert abs(by_float32 / convolution.multiplier - 1) > 2**-30


def test_refusals():
    message = "runtime must be one of xnnpack, builtin, reference, single, got 'gemmlowp'"
    for act in (check_runtime, lambda name: requantizer().steps(1, 0, name), lambda name: requantizer().run([], name)):
        with pytest.raises(ValueError, match=message):
            act("gemmlowp")
    for runtime in RUNTIMES:
        with pytest.raises(ValueError, match="the 3 channels"):
            requantizer().run(np.zeros((2, 4), np.int32), runtime)
