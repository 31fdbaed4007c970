"""A quantized network: its answers, how far they are off, what it weighs."""

from dataclasses import replace

import numpy as np
import pytest

from qkit import QuantSpec, fake_quantize, params_from_data, params_from_range
from qkit.network import Accuracy, Measured, QuantizedNetwork, build, kernels_replaced, predict, predict_quantized
from qkit.network.backend import keras
from qkit.network.forward import layers_of, weights_of
from qkit.numeric import sqnr_db

UNSIGNED = QuantSpec(3, signed=False)
OUTPUT = params_from_range(0.0, 0.4, UNSIGNED)


@pytest.fixture(scope="module")
def model():
    return build("shallow", seed=1)


@pytest.fixture(scope="module")
def network(model):
    """With kernels in 4 bits, one of them per channel, and one output in 3 bits."""
    weights = weights_of(model)
    spec = QuantSpec(4, symmetric=True, narrow_range=True)
    kernels = {
        "conv1": params_from_data(weights["conv1"].kernel, replace(spec, axis=-1)),
        "dense1": params_from_data(weights["dense1"].kernel, spec),
    }
    return QuantizedNetwork(layers_of(model), weights, kernels, {"conv1": OUTPUT})


def test_without_grids_it_is_keras(model, few_digits):
    images = few_digits.x_test[:600]
    np.testing.assert_allclose(predict_quantized(model, images, {}), predict(model, images), atol=1e-6)


def test_quantized_activations_are_those_of_numpy(model, few_digits):
    images = few_digits.x_test[:50]
    pooled = keras.Model(model.inputs, model.get_layer("pool1").output)(images[..., None] / 255.0).numpy()
    rest = keras.Model(model.get_layer("flatten").input, model.output)
    expected = rest(fake_quantize(pooled, OUTPUT, "half_up")).numpy()
    found = predict_quantized(model, images, {"pool1": OUTPUT})
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(found - predict(model, images)).max() > 1e-3
    np.testing.assert_array_equal(found, predict_quantized(model, images, {"conv1": OUTPUT}))


def test_quantized_kernels_are_those_of_numpy(model, network, few_digits):
    images = few_digits.x_test[:300]
    kernels = {name: fake_quantize(weights_of(model)[name].kernel, grid) for name, grid in network.kernels.items()}
    with kernels_replaced(model, kernels):
        expected = predict_quantized(model, images, network.activations)
    np.testing.assert_array_equal(network.predict(images), expected)


def test_a_part_of_a_network_answers_with_what_its_last_layer_hands_on(model, few_digits):
    body = keras.Sequential(model.layers[:-1])
    found = predict_quantized(body, few_digits.x_test[:9], {"pool1": OUTPUT})
    assert found.shape == (9, 13 * 13 * 32)
    assert set(np.round(np.unique(found) / OUTPUT.scale, 4)) == set(range(8))


def test_measured_against_the_float_network(model, network, few_digits):
    images, labels = few_digits.x_test, few_digits.y_test
    measured = network.measure(images, labels)
    said, said_in_float = network.predict(images).argmax(axis=1), predict(model, images).argmax(axis=1)
    assert measured.accuracy == Accuracy.of(said, labels)
    assert measured.float_accuracy == Accuracy.of(said_in_float, labels)
    assert measured.changed == np.sum(said != said_in_float) > 0
    x = images[..., None] / np.float32(255)
    pooled = keras.Model(model.inputs, model.get_layer("pool1").output)(x).numpy()
    quantized = build("shallow", seed=1)
    for name, grid in network.kernels.items():
        layer = quantized.get_layer(name)
        layer.kernel.assign(fake_quantize(layer.kernel.numpy(), grid))
    pooled_hat = fake_quantize(keras.Model(quantized.inputs, quantized.get_layer("pool1").output)(x).numpy(), OUTPUT)
    logits, logits_hat = (
        pool.reshape(len(images), -1) @ net.layers[-1].kernel.numpy()
        for pool, net in ((pooled, model), (pooled_hat, quantized))
    )
    expected = {"image": np.inf, "conv1": sqnr_db(pooled, pooled_hat), "dense1": sqnr_db(logits, logits_hat)}
    assert measured.sqnr == pytest.approx(expected, abs=1e-3)


def test_parts_merge_to_the_whole(network, few_digits):
    images, labels = few_digits.x_test[:300], few_digits.y_test[:300]
    whole = network.measure(images, labels)
    parts = [network.measure(images[part], labels[part]) for part in (slice(0, 70), slice(70, 300))]
    merged = parts[0].merge(parts[1])
    assert (merged.accuracy, merged.float_accuracy) == (whole.accuracy, whole.float_accuracy)
    assert merged.changed == whole.changed
    assert merged.sqnr == pytest.approx(whole.sqnr, rel=1e-5)


def test_float_outputs_can_be_kept(network, few_digits):
    images, labels = few_digits.x_test[:300], few_digits.y_test[:300]
    in_float = replace(network, kernels={}, activations={}).outputs(images)
    assert network.measure(images, labels, in_float) == network.measure(images, labels)
    with pytest.raises(ValueError, match="outputs for these 299 images, got those of others"):
        network.measure(images[1:], labels[1:], in_float)


def test_sqnr_at_its_ends():
    none = Accuracy(1, 1)
    energies = {"exact": (2.0, 0.0), "float32": (1e9, 1e-6), "silent": (0.0, 0.0), "noise alone": (0.0, 1.0)}
    sqnr = Measured(none, none, 0, energies | {"ten": (10, 1)}).sqnr
    assert sqnr == {"exact": np.inf, "float32": np.inf, "silent": np.inf, "noise alone": -np.inf, "ten": 10}


def test_an_image_has_eight_bits_anyway(model, few_digits):
    eight = {"image": params_from_range(np.float32(0), np.float32(1), QuantSpec(8, signed=False))}
    network = QuantizedNetwork(layers_of(model), weights_of(model), {}, eight)
    assert network.measure(few_digits.x_test[:20], few_digits.y_test[:20]).sqnr["image"] == np.inf


def test_bytes(model, network):
    conv, dense = 9 * 32, 5408 * 10
    assert network.bytes == conv // 2 + 4 * 32 + dense // 2 + 4 * 1 + 4 * (32 + 10)
    weights = weights_of(model)
    assert QuantizedNetwork(layers_of(model), weights, {}, {}).bytes == sum(
        array.nbytes for array in model.get_weights()
    )
    three = params_from_data(weights["conv1"].kernel, QuantSpec(3))
    assert QuantizedNetwork(layers_of(model), weights, {"conv1": three}, {}).bytes == 108 + 4 + 4 * (dense + 42)


def test_it_says_what_is_quantized(network):
    spec = QuantSpec(4, symmetric=True, narrow_range=True)
    channels = params_from_range(np.full(32, -1.0), np.linspace(0.7, 1.4, 32), replace(spec, axis=-1))
    network = replace(network, kernels={"conv1": channels, "dense1": params_from_range(-0.7, 0.7, spec)})
    assert repr(network).splitlines() == [
        f"QuantizedNetwork: {network.bytes:,} bytes of parameters",
        "  image: output in float",
        "  conv1: kernel 4 bits, -1.4 to 1.4, 32 scales; output 3 bits, 0 to 0.4",
        "  dense1: kernel 4 bits, -0.7 to 0.7; output in float",
    ]


@pytest.mark.parametrize(
    ("kernels", "activations", "message"),
    [
        ({}, {"conv9": OUTPUT}, "there is no layer 'conv9'; there are conv1, dense1, flatten, image, pool1"),
        ({"image": OUTPUT}, {}, "there is no layer 'image'; there are conv1, dense1"),
        (
            {},
            {"conv1": params_from_range([0.0], [1.0], QuantSpec(axis=-1))},
            "per tensor, got .* per channel for 'conv1'",
        ),
    ],
)
def test_grids_that_do_not_fit(network, kernels, activations, message):
    with pytest.raises(ValueError, match=message):
        replace(network, kernels=kernels, activations=activations)


def test_channels_that_do_not_fit(network):
    wrong = params_from_range(-np.ones(5), np.ones(5), QuantSpec(8, axis=-1))
    with pytest.raises(ValueError, match="these parameters are for 5 channels"):
        replace(network, kernels={"conv1": wrong}).predict(np.zeros((1, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((0, 28, 28), np.uint8), ((28, 28), np.uint8), ((5, 28, 28, 1), np.uint8), ((5, 28, 28), np.float32)],
)
def test_images_that_do_not_fit(network, shape, dtype):
    with pytest.raises(ValueError, match=r"uint8 of shape \(n, 28, 28\) with at least one image, got"):
        network.predict(np.ones(shape, dtype))


def test_labels_that_do_not_fit(network, few_digits):
    with pytest.raises(ValueError, match="two lists of the same length"):
        network.measure(few_digits.x_test[:5], few_digits.y_test[:4])
