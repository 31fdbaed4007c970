"""The straight-through gradient against TensorFlow's op, and by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_data, params_from_range, straight_through

RNG = np.random.default_rng(5)
SPECS = [QuantSpec(3), QuantSpec(8, signed=False), QuantSpec(4, symmetric=True, narrow_range=True)]


@pytest.mark.parametrize("narrow_range", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8, 16])
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (-0.7, 2.3), (0, 6), (-3e-4, 1e-4)])
def test_equals_the_gradient_of_tensorflow(tf, low, high, bits, narrow_range):
    spec = QuantSpec(bits, signed=False, narrow_range=narrow_range)
    params = params_from_range(np.float32(low), np.float32(high), spec)
    # Ranges such as -1 to 1 are ties, and float32's rounding errors decide TensorFlow's zero-point.
    params = QuantParams(params.scale, tensorflow_zero_point(tf, params, low, high), spec)
    x = RNG.uniform(1.3 * low - 0.1 * high, 1.3 * high, 1000).astype(np.float32)
    x = np.append(x, fake_quantize(x, params))
    incoming = RNG.normal(size=x.shape).astype(np.float32)
    theirs = tf.quantization.fake_quant_with_min_max_args_gradient(
        incoming, x, low, high, num_bits=bits, narrow_range=narrow_range
    ).numpy()
    ours = straight_through(x, params)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(incoming * ours, theirs)
    assert 0 < ours.mean() < 1


def tensorflow_zero_point(tf, params, low, high):
    spec = params.spec
    lowest = tf.quantization.fake_quant_with_min_max_args([-1e38], low, high, spec.bits, spec.narrow_range).numpy()
    return spec.qmin - round(float(lowest[0]) / params.scale)


@pytest.mark.parametrize("bits", [2, 8])
def test_equals_the_gradient_of_tensorflow_per_channel(tf, bits):
    spec = QuantSpec(bits, signed=False, axis=-1)
    low, high = np.float32([0, -0.1, -0.52, -2]), np.float32([1, 0.03, 3, 0.5])
    params = params_from_range(low, high, spec)
    x = RNG.normal(size=(300, 4)).astype(np.float32)
    incoming = RNG.normal(size=x.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        outputs = tf.quantization.fake_quant_with_min_max_vars_per_channel(inputs, low, high, bits)
    theirs = tape.gradient(outputs, inputs, output_gradients=tf.constant(incoming)).numpy()
    np.testing.assert_array_equal(incoming * straight_through(x, params), theirs)


@given(
    hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32)),
    st.sampled_from(SPECS),
)
def test_levels_pass_and_what_lies_beyond_them_does_not(x, spec):
    params = params_from_data(x, spec)
    assert np.all(straight_through(fake_quantize(x, params), params) == 1)
    beyond = np.array([params.low - params.scale / 4, params.high + params.scale / 4])
    assert np.all(straight_through(beyond, params) == 0)


def test_shapes_types_and_what_is_refused():
    params = params_from_range(-1.0, 1.0, QuantSpec(4))
    assert straight_through(np.float64(0.5), params).dtype == np.float64
    assert straight_through(np.float16([0.5, 9]), params).tolist() == [1, 0]
    assert straight_through(np.zeros((0, 3)), params).shape == (0, 3)
    assert straight_through(3, params) == 0
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite numbers"):
            straight_through([wrong], params)
    with pytest.raises(TypeError, match="integers or floats"):
        straight_through(["a"], params)
    with pytest.raises(ValueError, match="for 2 channels along axis -1, got an array of shape"):
        straight_through(np.zeros((3, 4)), params_from_range([0, 0], [1, 1], QuantSpec(axis=-1)))
