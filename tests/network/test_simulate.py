"""Other kernels for a while, and the old ones back whatever happens."""

import numpy as np
import pytest

from qkit import QuantSpec, fake_quantize, params_from_range
from qkit.network import build, kernels_replaced, predict, predict_quantized
from qkit.network.backend import keras


@pytest.fixture
def model():
    return build("shallow", seed=1)


def test_replaced_and_put_back(model, few_digits):
    images = few_digits.x_test[:20]
    before = predict(model, images)
    kernel = np.zeros((5408, 10), np.float32)
    with kernels_replaced(model, {"dense1": kernel}) as same:
        assert same is model
        np.testing.assert_allclose(predict(model, images), 0.1, atol=1e-7)
    np.testing.assert_array_equal(predict(model, images), before)


def test_put_back_after_an_error(model, few_digits):
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt), kernels_replaced(model, {"dense1": np.zeros((5408, 10))}):
        raise KeyboardInterrupt
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ({"dense1": np.zeros((3, 3))}, r"kernel of dense1 has shape \(5408, 10\), got \(3, 3\)"),
        ({"pool1": np.zeros((3, 3))}, "kernel of pool1 has shape None"),
        ({"conv9": np.zeros((3, 3))}, "conv9"),
    ],
)
def test_kernels_that_do_not_fit_change_nothing(model, kernels, message):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message), kernels_replaced(model, {"conv1": np.ones((3, 3, 1, 32))} | kernels):
        pytest.fail("must not get here")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_without_quantized_activations_nothing_changes(model, few_digits):
    images = few_digits.x_test[:600]
    np.testing.assert_allclose(predict_quantized(model, images, {}), predict(model, images), atol=1e-6)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantized_activations_are_those_of_numpy(model, few_digits, bits):
    images = few_digits.x_test[:50]
    params = params_from_range(0.0, 0.4, QuantSpec(bits, signed=False))
    pooled = keras.Model(model.inputs, model.get_layer("pool1").output)(images[..., None] / 255.0).numpy()
    rest = keras.Model(model.get_layer("flatten").input, model.output)
    expected = rest(fake_quantize(pooled, params, "half_up")).numpy()
    found = predict_quantized(model, images, {"pool1": params})
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(found - predict(model, images)).max() > 1e-3 or bits == 8


def test_after_the_pool_is_the_same_as_before(model, few_digits):
    params = params_from_range(0.0, 0.4, QuantSpec(3, signed=False))
    images = few_digits.x_test[:50]
    after = predict_quantized(model, images, {"pool1": params})
    np.testing.assert_array_equal(after, predict_quantized(model, images, {"conv1": params}))


def test_the_image_can_be_quantized(model, few_digits):
    images = few_digits.x_test[:20]
    eight = predict_quantized(model, images, {"image": params_from_range(0.0, 1.0, QuantSpec(8, signed=False))})
    np.testing.assert_allclose(eight, predict(model, images), atol=1e-6)  # images have 8 bits anyway


def test_parameters_that_do_not_fit(model, few_digits):
    images = few_digits.x_test[:5]
    params = params_from_range(0.0, 1.0, QuantSpec(8, signed=False))
    with pytest.raises(ValueError, match="there is no layer 'conv9'; there are conv1, dense1, flatten, image, pool1"):
        predict_quantized(model, images, {"conv9": params})
    per_channel = params_from_range(np.zeros(32), np.ones(32), QuantSpec(8, signed=False, axis=-1))
    with pytest.raises(ValueError, match="per tensor, got parameters per channel for 'conv1'"):
        predict_quantized(model, images, {"conv1": per_channel})
