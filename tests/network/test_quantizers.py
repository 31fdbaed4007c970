"""Quantizers in a network: what they compute, what their gradients are, and that tfmot loses none of them."""

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot

from qkit import QuantSpec, fake_quantize, params_from_range
from qkit.network import Simulation, activation_histograms, build, predict
from qkit.network.backend import keras, tf
from qkit.network.calibrate import calibrated_ranges
from qkit.network.cnn import as_input
from qkit.network.quantizers import RATE, LayerConfig, LearnedStep, read_ranges, with_quantizers, write_ranges
from qkit.numeric import thresholds


@pytest.fixture(scope="module")
def model():
    return build("shallow", seed=1)


CASES = [
    (bits, signed, per_channel)
    for bits in (2, 5, 8)
    for signed, per_channel in ((True, True), (True, False), (False, False))
]


def step_and_data(bits, signed, per_channel):
    rng = np.random.default_rng(bits)
    x = rng.normal(size=(6, 5, 4)).astype(np.float32)
    step = np.float32(1.7 / 2 ** (bits - 1)) * (np.float32([0.5, 1, 1.5, 2]) if per_channel else np.float32(1))
    return (x if signed else x.clip(0)), step


def learned(x, step, bits, signed, per_channel):
    return LearnedStep(bits, signed, per_channel)(x, True, {"log": tf.math.log(step) / RATE})


@pytest.mark.parametrize(("bits", "signed", "per_channel"), CASES)
def test_learned_steps_quantize_as_numpy_does(bits, signed, per_channel):
    x, step = step_and_data(bits, signed, per_channel)
    spec = QuantSpec(bits, signed, symmetric=True, narrow_range=signed, axis=-1 if per_channel else None)
    params = params_from_range(step * spec.qmin, step * spec.qmax, spec)
    found = learned(tf.constant(x), tf.constant(step), bits, signed, per_channel)
    np.testing.assert_allclose(found, fake_quantize(x, params, "half_up"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("bits", "signed", "per_channel"), CASES)
def test_gradients_are_those_that_differentiation_finds_when_rounding_is_skipped(bits, signed, per_channel):
    """The formulas of the paper, against TensorFlow's own derivative of clipping, rounding passed straight through."""
    x, step = (tf.Variable(value) for value in step_and_data(bits, signed, per_channel))
    qmax = 2.0 ** (bits - signed) - 1
    qmin = -qmax if signed else 0.0
    upstream = tf.constant(np.random.default_rng(1).normal(size=x.shape).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        steps = tf.clip_by_value(x / step, qmin, qmax)
        passed = steps + tf.stop_gradient(tf.floor(steps + 0.5) - steps)
        expected = tape.gradient(passed * step, [x, step], upstream)
        found = tape.gradient(learned(x, step, bits, signed, per_channel), [x, step], upstream)
    sharing = 4 if per_channel else 1 if signed else 6
    factor = 1 / np.sqrt(6 * 5 * 4 / sharing * qmax)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1], expected[1] * factor, rtol=1e-3, atol=1e-4)


def test_a_step_of_adam_changes_no_learned_step_by_more_than_its_share(model, few_digits):
    """Were the step itself the variable, 8-bit steps of 0.001 would change by the whole learning rate, below 0."""
    network = with_quantizers(model, 8, 8, learned=True, dense_per_channel=True)
    write_ranges(network, calibrated_ranges(model, few_digits.x_train[:50], 8, 8, thresholds.mse, True))
    before = read_ranges(network)
    network.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy")
    network.train_on_batch(as_input(few_digits.x_train[:64]), few_digits.y_train[:64])
    after = read_ranges(network)
    for tensor in ("conv1/kernel", "conv1", "dense1/kernel"):
        change = np.abs(np.log(after[tensor].scale / before[tensor].scale))
        assert np.max(change) < 1.001 * RATE * 0.002
        assert np.max(change) > 0.5 * RATE * 0.002


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("dense_per_channel", [True, False])
def test_ranges_are_read_as_they_were_written(model, few_digits, learned, dense_per_channel):
    network = with_quantizers(model, 3, 4, learned, dense_per_channel)
    ranges = calibrated_ranges(model, few_digits.x_train[:50], 3, 4, thresholds.mse, dense_per_channel)
    write_ranges(network, ranges)
    found = read_ranges(network)
    assert set(found) == set(ranges) == {"image", "conv1/kernel", "conv1", "dense1/kernel", "logits"}
    for tensor, params in ranges.items():
        np.testing.assert_allclose(found[tensor].scale, params.scale, rtol=1e-5)
        np.testing.assert_array_equal(found[tensor].zero_point, params.zero_point)
        assert (found[tensor].spec.bits, found[tensor].spec.axis) == (params.spec.bits, params.spec.axis)
    assert [found[tensor].spec.bits for tensor in ("image", "conv1/kernel", "conv1", "logits")] == [8, 3, 4, 8]
    assert np.ndim(found["dense1/kernel"].scale) == dense_per_channel


def test_calibration_takes_its_method_for_kernels_and_the_least_squared_error_for_activations(model, few_digits):
    images = few_digits.x_train[:50]
    ranges = calibrated_ranges(model, images, 2, 3, thresholds.minmax, dense_per_channel=True)
    simulation = Simulation(model, images)
    kernels = simulation.quantized(2, 3, weight_method=thresholds.minmax).kernels
    activations = simulation.quantized(2, 3, activation_method=thresholds.mse).activations
    for tensor, params in (("conv1/kernel", kernels["conv1"]), ("conv1", activations["conv1"])):
        np.testing.assert_array_equal(ranges[tensor].scale, params.scale)


def test_without_learned_steps_it_is_what_tfmot_makes(model, few_digits):
    """At 8 bits, dense layers per tensor: the same numbers as ``quantize_model``, also after some training."""
    ours = with_quantizers(model, 8, 8, learned=False, dense_per_channel=False)
    theirs = tfmot.quantization.keras.quantize_model(model)
    for network in (ours, theirs):
        network.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
        for start in (0, 100):
            batch = slice(start, start + 100)
            network.train_on_batch(as_input(few_digits.x_train[batch]), few_digits.y_train[batch])
    np.testing.assert_array_equal(predict(ours, few_digits.x_test), predict(theirs, few_digits.x_test))


def test_the_float_network_stays_as_it_is(model, few_digits):
    before = model.get_weights()
    network = with_quantizers(model, 2, 2, learned=True, dense_per_channel=True)
    network.get_layer("quant_conv1").weights[0].assign_add(tf.ones((3, 3, 1, 32)))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "pool1" in activation_histograms(model, few_digits.x_train[:10])  # its layers are in no other network


@pytest.mark.parametrize(
    ("forgotten", "message"),
    [
        ("get_weights_and_quantizers", "left these in float: conv1/kernel, dense1/kernel"),
        ("get_activations_and_quantizers", "left these in float: conv1, logits"),
    ],
)
def test_what_stays_in_float_is_said(model, monkeypatch, forgotten, message):
    monkeypatch.setattr(LayerConfig, forgotten, lambda self, layer: [])
    monkeypatch.setattr(LayerConfig, "set_quantize_weights", lambda self, layer, weights: None)
    monkeypatch.setattr(LayerConfig, "set_quantize_activations", lambda self, layer, activations: None)
    with pytest.raises(RuntimeError, match=message):
        with_quantizers(model, 4, 4, learned=True, dense_per_channel=True)


def test_a_config_survives_being_rebuilt_or_fails():
    config = LayerConfig(3, 4, True, False)
    assert vars(LayerConfig.from_config(config.get_config())) == vars(config)
    with pytest.raises(TypeError, match="per_channel"):
        LayerConfig.from_config({"weight_bits": 3, "activation_bits": 4, "learned": True})
