"""Layers in integers, against plain loops in unlimited ones. LiteRT itself is the oracle in tests/network."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric.affine import QuantParams, QuantSpec
from qkit.numeric.fixed_point import RUNTIMES
from qkit.numeric.integer_layers import (
    AveragePool,
    Convolution,
    Dense,
    Depthwise,
    Layer,
    MaxPool,
    Mean,
    Reshape,
    Softmax,
)
from qkit.numeric.softmax import softmax_by_table, softmax_in_integers

RNG = np.random.default_rng(3)


def activation(scale=0.05, zero_point=-128, signed=True) -> QuantParams:
    return QuantParams(scale, zero_point, QuantSpec(signed=signed))


def common(shape=(), x=None, y=None) -> dict:
    return {"name": "layer", "source": "image", "shape": shape, "x": x, "y": y}


def weighted(q_weights, zero_point=-7, then="RELU") -> dict:
    channels = len(q_weights)
    return {
        "x": activation(0.01, zero_point),
        "y": activation(0.4, -20),
        "q_weights": q_weights,
        "q_bias": RNG.integers(-3000, 3000, channels).astype(np.int32),
        "w": QuantParams(np.linspace(0.01, 0.03, channels), np.zeros(channels, int), QuantSpec(symmetric=True, axis=0)),
        "activation": then,
    }


def dense(inputs=30, channels=4, q_weights=None, **how) -> Dense:
    if q_weights is None:
        q_weights = RNG.integers(-127, 128, (channels, inputs)).astype(np.int8)
    return Dense(**common((len(q_weights),)) | weighted(q_weights, **how))


def convolution(height, width, size, strides, same, inputs=2, channels=3) -> Convolution:
    shape = tuple(
        -(-side // stride) if same else (side - length) // stride + 1
        for side, length, stride in zip((height, width), size, strides, strict=True)
    )
    q_weights = RNG.integers(-127, 128, (channels, *size, inputs)).astype(np.int8)
    what = common((*shape, channels)) | weighted(q_weights)
    return Convolution(**what, size=size, strides=strides, same=same)


def padding_before(side: int, size: int, stride: int, same: bool) -> int:
    return max((-(-side // stride) - 1) * stride + size - side, 0) // 2 if same else 0


windows = given(
    st.tuples(st.integers(3, 8), st.integers(3, 8)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
)


@windows
def test_convolutions_sum_what_their_window_sees(sides, size, strides, same):
    layer = convolution(*sides, size, strides, same)
    q_x = RNG.integers(-128, 128, (2, *sides, 2)).astype(np.int8)
    found = layer.sums(q_x)
    assert found.dtype == np.int32 and found.shape == (2, *layer.shape)
    start = [padding_before(*which, same) for which in zip(sides, size, strides, strict=True)]
    for image, row, column, channel in np.ndindex(found.shape):
        total = int(layer.q_bias[channel])
        for down, across, k in np.ndindex(*size, 2):
            y, x = row * strides[0] + down - start[0], column * strides[1] + across - start[1]
            if 0 <= y < sides[0] and 0 <= x < sides[1]:  # what is padded is real 0
                total += (int(q_x[image, y, x, k]) + 7) * int(layer.q_weights[channel, down, across, k])
        assert found[image, row, column, channel] == total


@windows
def test_pools_take_the_largest(sides, size, strides, same):
    shape = convolution(*sides, size, strides, same).shape
    layer = MaxPool(**common(shape, y=activation()), size=size, strides=strides, same=same)
    q_x = RNG.integers(-128, 128, (2, *sides, 3)).astype(np.int8)
    found = layer.run(q_x)
    assert found.dtype == np.int8 and found.shape == (2, *shape)
    start = [padding_before(*which, same) for which in zip(sides, size, strides, strict=True)]
    for row, column in np.ndindex(shape[:2]):
        y, x = row * strides[0] - start[0], column * strides[1] - start[1]
        seen = q_x[:, max(y, 0) : y + size[0], max(x, 0) : x + size[1]]
        np.testing.assert_array_equal(found[:, row, column], seen.max(axis=(1, 2)))


@windows
def test_depthwise_layers_sum_one_channel(sides, size, strides, same):
    shape = convolution(*sides, size, strides, same).shape[:2]
    q_weights = RNG.integers(-127, 128, (6, *size, 1)).astype(np.int8)
    layer = Depthwise(**common((*shape, 6)) | weighted(q_weights), size=size, strides=strides, same=same)
    q_x = RNG.integers(-128, 128, (2, *sides, 3)).astype(np.int8)
    found = layer.sums(q_x)
    for channel in range(6):  # two for each of three inputs: the same as convolutions of one channel
        one = weighted(q_weights[channel, None]) | {"q_bias": layer.q_bias[channel, None]}
        alone = Convolution(**common((*shape, 1)) | one, size=size, strides=strides, same=same)
        np.testing.assert_array_equal(found[..., channel], alone.sums(q_x[..., channel // 2, None])[..., 0])


@windows
def test_averages_are_means_of_what_lies_in_the_image(sides, size, strides, same):
    shape = convolution(*sides, size, strides, same).shape
    layer = AveragePool(**common(shape, y=activation(1, 0)), size=size, strides=strides, same=same)
    q_x = RNG.integers(-128, 128, (2, *sides, 3)).astype(np.int8)
    found = layer.run(q_x)
    assert found.dtype == np.int8
    start = [padding_before(*which, same) for which in zip(sides, size, strides, strict=True)]
    for image, row, column, channel in np.ndindex(found.shape):
        y, x = row * strides[0] - start[0], column * strides[1] - start[1]
        seen = q_x[image, max(y, 0) : y + size[0], max(x, 0) : x + size[1], channel]
        mean = Fraction(int(seen.sum(dtype=int)), seen.size)
        assert found[image, row, column, channel] == int(abs(mean) + Fraction(1, 2)) * (1 if mean > 0 else -1)


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 1), st.floats(0.02, 0.9), st.integers(-128, 127))
def test_means_over_the_image_are_near_the_real_ones(height, width, x_scale, ratio, zero_point):
    layer = Mean(**common((2,), activation(x_scale, zero_point), activation(x_scale * ratio, -zero_point - 1)))
    q_x = RNG.integers(-128, 128, (3, height, width, 2)).astype(np.int8)
    real = (q_x.astype(float) - zero_point).mean(axis=(1, 2)) / ratio + layer.y.zero_point
    for runtime in RUNTIMES:
        found = layer.run(q_x, runtime)
        assert found.dtype == np.int8
        # Two roundings, the first perhaps to halves, can miss by a half and a quarter.
        most = 0.502 if runtime in ("xnnpack", "single") else 0.751
        assert np.abs(found - np.clip(real, -128, 127)).max() < most
    with pytest.raises(ValueError, match="runtime must be one of"):
        layer.run(q_x, "neon")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_depthwise_trace_ends_at_the_output(runtime):
    q_weights = RNG.integers(-127, 128, (10, 2, 3, 1)).astype(np.int8)
    layer = Depthwise(**common((5, 5, 10)) | weighted(q_weights, then="NONE"), size=(2, 3), strides=(1, 1), same=False)
    q_x = RNG.integers(-128, 128, (6, 7, 5)).astype(np.int8)
    outputs = layer.run(q_x[None], runtime)[0]
    for position in np.ndindex(layer.shape):
        step = layer.trace(q_x, position, runtime)
        assert step.requantized.q == outputs[position] and step.q_patch.shape == (2, 3, 1)
    with pytest.raises(ValueError, match="position must lie"):
        layer.trace(q_x, (), runtime)


@pytest.mark.parametrize("inputs", [1000, 1032, 1033, 1100, 50_000])
def test_sums_are_exact_however_large(inputs):
    """Up to 2^24 in float32: 127 * 128 * 1032; beyond, float64 takes over."""
    layer = dense(q_weights=np.full((3, inputs), 127, np.int8) * np.int8([[1], [-1], [1]]), zero_point=127)
    q_x = np.stack([np.full(inputs, 127), np.full(inputs, -128), RNG.integers(-128, 128, inputs)]).astype(np.int8)
    expected = (q_x.astype(np.int64) - 127) @ layer.q_weights.T.astype(np.int64) + layer.q_bias
    np.testing.assert_array_equal(layer.sums(q_x), expected)


@pytest.mark.parametrize("inputs", [1032, 1034, 2000])
def test_odd_sums_around_the_bound_are_exact(inputs):
    """With two inputs more than 1,032, float32 would skip every odd number."""
    layer = dense(q_weights=np.full((1, inputs), 127, np.int8))
    q_x = np.full((64, inputs), -128, np.int8)
    q_x[np.arange(64), np.arange(64)] += np.arange(64, dtype=np.int8)
    expected = (q_x.astype(np.int64) + 7) @ layer.q_weights.T.astype(np.int64) + layer.q_bias
    np.testing.assert_array_equal(layer.sums(q_x), expected)
    assert np.abs(layer.sums(q_x) - layer.folded_bias).max() > 0.999 * 2**24


def test_only_int8_of_the_right_shape_is_taken():
    for wrong in (np.zeros((1, 30), np.uint8), np.zeros((1, 29), np.int8)):
        message = rf"layer takes int8 .* of shape \(4,\), got {wrong.dtype} inputs of shape \(1, \d\d\)"
        with pytest.raises(ValueError, match=message):
            dense().run(wrong)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_trace_tells_the_sum_and_ends_at_the_output(runtime):
    layer = convolution(6, 7, (3, 2), (1, 2), True)
    q_x = RNG.integers(-128, 128, (6, 7, 2)).astype(np.int8)
    sums, outputs = layer.sums(q_x[None])[0], layer.run(q_x[None], runtime)[0]
    for position in np.ndindex(layer.shape):
        step = layer.trace(q_x, position, runtime)
        channel = position[-1]
        assert step.q_patch.shape == step.q_weights.shape == (3, 2, 2)
        assert step.products == np.sum(step.q_patch.astype(int) * step.q_weights)
        shifted = step.q_patch.astype(int) - step.x_zero_point
        assert step.acc == step.products + step.folded_bias == np.sum(shifted * step.q_weights) + step.q_bias
        assert step.acc == sums[position]
        assert step.requantized.q == outputs[position]
        assert step.real == pytest.approx(0.01 * layer.w.scale[channel] * step.acc)
        assert step.real_hat == pytest.approx(0.4 * (step.requantized.q + 20))
        # A ReLU cuts below 0, int8 above 58.8; between, half a step is lost.
        assert abs(step.real_hat - np.clip(step.real, 0, 58.8)) <= 0.2 * 1.01


def test_a_dense_trace_has_one_index():
    layer = dense()
    q_x = RNG.integers(-128, 128, 30).astype(np.int8)
    step = layer.trace(q_x, (2,), "builtin")
    assert step.requantized.q == layer.run(q_x[None], "builtin")[0, 2]
    np.testing.assert_array_equal(step.q_patch, q_x)
    np.testing.assert_array_equal(step.q_weights, layer.q_weights[2])


@pytest.mark.parametrize("position", [(4,), (-1,), (0, 0), ()])
def test_positions_outside(position):
    with pytest.raises(ValueError, match=r"in the output of layer, shape \(4,\), got"):
        dense().trace(np.zeros(30, np.int8), position)
    with pytest.raises(ValueError, match="runtime must be one of"):
        dense().trace(np.zeros(30, np.int8), (0,), "neon")


def test_convolutions_and_dense_layers_are_requantized_as_what_they_are():
    """The reference runtime takes a float64 for dense layers, and M0 and shift for convolutions."""
    assert dense().trace(np.zeros(30, np.int8), (0,), "reference").requantized.fixed is None
    layer = convolution(4, 4, (2, 2), (1, 1), False)
    assert layer.trace(np.zeros((4, 4, 2), np.int8), (0, 0, 0), "reference").requantized.fixed is not None


def test_layers_that_move_numbers():
    q_x = RNG.integers(-128, 128, (2, 3, 4)).astype(np.int8)
    assert Reshape(**common((12,))).run(q_x).tolist() == q_x.reshape(2, 12).tolist()
    layer, logits = Softmax(**common((4,), x=activation(0.05, 3))), q_x[0]
    for runtime in RUNTIMES:
        softmax = softmax_in_integers if runtime == "reference" else softmax_by_table
        np.testing.assert_array_equal(layer.run(logits, runtime), softmax(logits, 0.05))
    for each in (layer, Reshape(**common((12,)))):
        with pytest.raises(ValueError, match="runtime must be one of"):
            each.run(logits, "xnpack")
    with pytest.raises(NotImplementedError):
        Layer(**common()).run(q_x)


def test_sums_beyond_int32_are_refused():
    with pytest.raises(ValueError, match="the sums of layer may become more than an int32 holds"):
        dense(q_weights=np.full((1, 140_000), 127, np.int8))
    few, most = np.full((1, 10), 127, np.int8), np.array([2**31 - 1], np.int32)
    for bias in (most, -most):  # the products are few: it is the bias that is too large
        with pytest.raises(ValueError, match="more than an int32 holds"):
            Dense(**common((1,)) | weighted(few) | {"q_bias": bias})
