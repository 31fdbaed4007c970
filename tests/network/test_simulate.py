"""Networks quantized in many ways, against their definitions and LiteRT; and kernels replaced for a while."""

import numpy as np
import pytest

from qkit import QuantSpec, fake_quantize
from qkit.network import Simulation, build, convert, kernels_replaced, predict, train
from qkit.network.backend import keras
from qkit.network.cnn import as_input
from qkit.network.forward import compiled
from qkit.network.simulate import CHANNEL_BINS
from qkit.numeric import histogram_of, mse, thresholds
from qkit.show import explorers


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


@pytest.fixture(scope="module")
def trained(few_digits):
    model = build("deep", seed=1)
    train(model, few_digits, epochs=1)
    return model


@pytest.fixture(scope="module")
def simulation(trained, few_digits):
    return Simulation(trained, few_digits.x_train[:200])


def test_thresholds_are_those_of_the_method(trained, simulation):
    network = simulation.quantized(4, 3, weight_method=thresholds.kl, activation_method=thresholds.percentile)
    kernel = trained.get_layer("conv2").kernel.numpy()
    for channel in (0, 63):
        counted = histogram_of(kernel[..., channel], CHANNEL_BINS)
        assert network.kernels["conv2"].high[channel] == pytest.approx(thresholds.kl(counted, 4, True).value)
    assert network.activations["dense1"].high == pytest.approx(
        thresholds.percentile(simulation.histograms["dense1"], 3).value
    )


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("method", [thresholds.minmax, thresholds.mse, thresholds.aciq_laplace])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_kernels_are_nearly_as_from_all_weights(trained, simulation, bits, method, per_channel):
    spec = QuantSpec(bits, symmetric=True, narrow_range=True, axis=-1 if per_channel else None)
    found = simulation.quantized(bits, weight_method=method, per_channel=per_channel).kernels
    for layer in ("conv2", "dense1"):
        kernel = trained.get_layer(layer).kernel.numpy()
        exact = thresholds.per_channel(method, kernel, spec) if per_channel else method(kernel, bits).params(spec)
        if method is thresholds.minmax:
            np.testing.assert_array_equal(found[layer].scale, exact.scale)
        best, here = (mse(kernel, fake_quantize(kernel, params)) for params in (exact, found[layer]))
        assert here == pytest.approx(best, rel=0.01)


def test_the_ends_of_the_network(trained, simulation, few_digits):
    """Image and logits are not clipped, whatever the method, and have 8 bits, or as many as are asked for."""
    images = few_digits.x_train[:200]
    before, last = keras.Model(trained.inputs, trained.layers[-2].output), trained.layers[-1]
    logits = (before(as_input(images)) @ last.kernel + last.bias).numpy()
    for bits, more in ((8, {}), (5, {"input_bits": 5, "logit_bits": 5})):
        activations = simulation.quantized(8, 2, **more).activations
        assert [activations[name].spec.bits for name in ("image", "conv2", "dense2")] == [bits, 2, bits]
        assert (activations["image"].low, activations["image"].high) == pytest.approx((0, 1))
        ends = activations["dense2"]
        assert (ends.low, ends.high) == pytest.approx((logits.min(), logits.max()), abs=ends.scale)


def test_none_is_float(trained, simulation, few_digits):
    images = few_digits.x_test[:300]
    in_float = simulation.quantized(None, None)
    np.testing.assert_allclose(in_float.predict(images), predict(trained, images), atol=1e-6)
    assert (in_float.kernels, in_float.activations) == ({}, {})
    assert set(simulation.quantized(None, 4).activations) == {"image", "conv1", "conv2", "dense1", "dense2"}
    assert simulation.quantized(None, 4).kernels == simulation.quantized(4, None).activations == {}


def test_layers_in_float(simulation, few_digits):
    images, labels = few_digits.x_test[:100], few_digits.y_test[:100]
    network = simulation.quantized(3, 3, in_float=("image", "conv1", "dense2"))
    assert set(network.kernels) == set(network.activations) == {"conv2", "dense1"}
    sqnr = network.measure(images, labels).sqnr
    assert sqnr["image"] == sqnr["conv1"] == np.inf > sqnr["conv2"]
    assert simulation.quantized(2, 2, in_float=tuple(simulation.histograms)).measure(images, labels).changed == 0


def test_every_bit_is_worth_six_decibels(simulation, few_digits):
    images, labels = few_digits.x_test, few_digits.y_test
    sqnr = [simulation.quantized(bits, None).measure(images, labels).sqnr["dense2"] for bits in (4, 6, 8)]
    assert np.diff(sqnr) == pytest.approx([12, 12], abs=2)


def test_settings_compile_nothing(simulation, few_digits):
    images, labels = few_digits.x_test[:100], few_digits.y_test[:100]
    compiled.cache_clear()
    for weight_bits, activation_bits in ((8, 8), (2, 3), (None, 4), (5, None)):
        for more in ({}, {"per_channel": False}, {"in_float": ("conv1",)}, {"activation_method": thresholds.minmax}):
            network = simulation.quantized(weight_bits, activation_bits, **more)
            network.measure(images, labels)
            network.predict(images)
    assert compiled(network.layers).experimental_get_tracing_count() == 1


def test_a_search_is_made_once(simulation):
    calls = []

    def method(histogram, bits, signed=None):
        calls.append(bits)
        return thresholds.minmax(histogram, bits, signed)

    for in_float in ((), ("conv1",)):
        simulation.quantized(4, 4, weight_method=method, activation_method=method, in_float=in_float)
        assert len(calls) == 32 + 64 + 128 + 10 + 3


def test_the_model_is_left_alone(few_digits):
    model = build("shallow", seed=1)
    images, before = few_digits.x_test[:20], model.get_weights()
    answers = predict(model, images)
    simulation = Simulation(model, few_digits.x_train[:20])
    simulated = simulation.quantized(2, 2).predict(images)
    np.testing.assert_array_equal(predict(model, images), answers)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.set_weights([0 * weights for weights in before])
    np.testing.assert_array_equal(simulation.quantized(2, 2).predict(images), simulated)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"weight_bits": 1}, ValueError, "bits must be an integer from 2 to 16, got 1"),
        ({"activation_bits": 17}, ValueError, "bits must be an integer from 2 to 16, got 17"),
        ({"logit_bits": None}, TypeError, "bits must be an integer from 2 to 16, got None"),
        ({"weight_bits": 2.5}, TypeError, "bits must be an integer from 2 to 16, got 2.5"),
        ({"in_float": ("pool1",)}, ValueError, "no layer 'pool1' .*; there are image, conv1, conv2, dense1, dense2"),
    ],
)
def test_settings_that_do_not_exist(simulation, settings, error, message):
    with pytest.raises(error, match=message):
        simulation.quantized(**settings)


def test_nothing_to_calibrate_with():
    with pytest.raises(ValueError, match="at least one image"):
        Simulation(build("shallow"), np.zeros((0, 28, 28), np.uint8))


@pytest.mark.parametrize("per_channel", [True, False])
def test_eight_bits_are_those_of_litert(trained, few_digits, per_channel):
    """MinMax on the same images gives the scales of the converter's int8 file, and its answers."""
    images = few_digits.x_train[:200]
    file = convert(trained, "int8", images, per_channel)
    network = Simulation(trained, images).quantized(
        per_channel=per_channel, weight_method=thresholds.minmax, activation_method=thresholds.minmax
    )
    theirs = file.tensors()
    for name, params in network.kernels.items():
        np.testing.assert_allclose(theirs.loc[(name, "weights"), "scale"], params.scale, rtol=1e-6)
    for name, params in network.activations.items():
        role = {"image": "input", network.layers[-1].name: "logits"}.get(name, "output")
        assert theirs.loc[(name, role), "scale"] == pytest.approx(params.scale, rel=1e-5)
        assert theirs.loc[(name, role), "zero_point"] == params.zero_point - 128
    said = network.predict(few_digits.x_test).argmax(axis=1)
    same = said == file.predict(few_digits.x_test).argmax(axis=1)
    assert np.mean(same) >= 0.998  # one of 500 may be a tie


def test_the_explorer_shows_what_is_measured(simulation, few_digits):
    explorer = explorers.network(simulation, few_digits.x_test, few_digits.y_test, activation_bits=3)
    explorer.set(weight_bits="float", per_channel=False, conv1=False, activation_method="minmax")
    network = simulation.quantized(None, 3, activation_method=thresholds.minmax, in_float=("conv1",))
    measured = network.measure(few_digits.x_test, few_digits.y_test)
    assert f"All 500 images: {measured.accuracy.value:.2%} (" in explorer.words
    assert f"conv2 {measured.sqnr['conv2']:.1f} dB" in explorer.words
