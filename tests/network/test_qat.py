"""Quantization-aware training: quantizers and their gradients, what is trained, what is kept, what is converted."""

import re
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from tensorflow_model_optimization.quantization import keras as tfmot

from qkit import QuantSpec, fake_quantize, params_from_range
from qkit.network import (
    Simulation,
    activation_histograms,
    build,
    kernels_replaced,
    predict,
    predict_quantized,
    qat,
    recipe,
    train,
    trained,
)
from qkit.network.backend import keras, tf
from qkit.network.chain import ends_in_softmax, fold
from qkit.network.cnn import as_input
from qkit.network.integer import IntegerNetwork
from qkit.network.qat import RATE, LayerConfig, LearnedStep, Settings, read_ranges, with_quantizers, write_ranges
from qkit.numeric import thresholds
from tests.network.models import MODELS, L, conv, randomized, sequential

IN_LITERT = [(8, 8, "lsq"), (4, 8, "lsq"), (8, 8, "stock")]
CALIBRATION_IMAGES = qat.CALIBRATION_IMAGES


@pytest.fixture(scope="module", autouse=True)
def few_to_calibrate():
    """They are half of the time of a short training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qat, "CALIBRATION_IMAGES", 200)
        yield


@pytest.fixture(scope="module")
def model(shallow):
    return shallow


@pytest.fixture(scope="module")
def network_of(model, few_digits):
    """Train with quantization, once for all tests of these settings."""

    @cache
    def network(*settings, **more):
        images = 1_000 if settings in IN_LITERT else 256
        return qat.train(model, few_digits, *settings, **{"images": images} | more)

    return network


def right(probabilities, digits):
    return np.mean(probabilities.argmax(axis=1) == digits.y_test)


# The learned step

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


def spec_of(bits, signed, per_channel):
    return QuantSpec(bits, signed, symmetric=True, narrow_range=signed, axis=-1 if per_channel else None)


def learned(x, step, *case):
    return LearnedStep(spec_of(*case))(x, True, {"log": tf.math.log(step) / RATE})


def test_learned_steps_quantize_as_numpy_does():
    for bits, signed, per_channel in CASES:
        x, step = step_and_data(bits, signed, per_channel)
        spec = spec_of(bits, signed, per_channel)
        params = params_from_range(step * spec.qmin, step * spec.qmax, spec)
        found = learned(tf.constant(x), tf.constant(step), bits, signed, per_channel)
        np.testing.assert_allclose(found, fake_quantize(x, params, "half_up"), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_that_differentiation_finds_when_rounding_is_skipped():
    """The formulas of the paper, against TensorFlow's own derivative of clipping, rounding passed straight through."""
    for bits, signed, per_channel in CASES:
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
    calibrated = qat.train(model, few_digits, 8, 7, "lsq", epochs=0)
    network, before = calibrated.model, calibrated.ranges
    network.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", run_eagerly=True)
    network.train_on_batch(as_input(few_digits.x_train[:64]), few_digits.y_train[:64])
    after = read_ranges(network)
    for tensor in ("conv1/kernel", "conv1", "dense1/kernel"):
        change = np.abs(np.log(after[tensor].scale / before[tensor].scale))
        assert np.max(change) < 1.001 * RATE * 0.002
        assert np.max(change) > 0.5 * RATE * 0.002


# Quantizers in a network


def test_ranges_are_read_as_they_were_written(model, few_digits):
    for settings in (Settings(3, 4, "lsq"), Settings(3, 4, "plain"), Settings(4, 8, "lsq"), Settings(8, 8, "plain")):
        network = with_quantizers(model, settings)
        params = params_from_range(-1.0, 2.0, QuantSpec(8, signed=False))
        kernel = QuantSpec(settings.weight_bits, symmetric=True, narrow_range=True)
        channels = QuantSpec(settings.weight_bits, symmetric=True, narrow_range=True, axis=-1)
        ends = np.linspace(0.5, 1.5, 32)
        dense = params_from_range(-ends[:10], ends[:10], channels)
        ranges = {
            "image": params,
            "conv1/kernel": params_from_range(-ends, ends, channels),
            "conv1": params_from_range(0.0, 3.0, QuantSpec(settings.activation_bits, signed=False)),
            "dense1/kernel": params_from_range(-2.0, 2.0, kernel) if settings.runs_in_litert else dense,
            "logits": params,
        }
        write_ranges(network, ranges)
        found = read_ranges(network)
        assert set(found) == set(ranges)
        for tensor, params in ranges.items():
            np.testing.assert_allclose(found[tensor].scale, params.scale, rtol=1e-5)
            np.testing.assert_array_equal(found[tensor].zero_point, params.zero_point)
            assert (found[tensor].spec.bits, found[tensor].spec.axis) == (params.spec.bits, params.spec.axis)


def test_calibration_takes_its_method_for_kernels_and_the_least_squared_error_for_activations(model, few_digits):
    simulation = Simulation(model, few_digits.x_train[: qat.CALIBRATION_IMAGES])
    for name, method in (("plain", thresholds.minmax), ("lsq", thresholds.mse)):
        ranges = qat.train(model, few_digits, 2, 3, name, epochs=0).ranges
        chosen = simulation.quantized(2, 3, weight_method=method)
        for tensor, params in (("conv1/kernel", chosen.kernels["conv1"]), ("conv1", chosen.activations["conv1"])):
            np.testing.assert_allclose(ranges[tensor].scale, params.scale, rtol=1e-5)


def test_without_learned_steps_it_is_what_tfmot_makes(model, few_digits):
    """At 8 bits, dense layers per tensor: the same numbers as ``quantize_model``, also after some training."""
    ours, theirs = with_quantizers(model, Settings(8, 8, "stock")), tfmot.quantize_model(model)
    for network in (ours, theirs):
        network.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", run_eagerly=True)
        for start in (0, 100):
            batch = slice(start, start + 100)
            network.train_on_batch(as_input(few_digits.x_train[batch]), few_digits.y_train[batch])
    np.testing.assert_array_equal(predict(ours, few_digits.x_test), predict(theirs, few_digits.x_test))


def test_the_float_network_stays_as_it_is(model, few_digits):
    before = model.get_weights()
    network = with_quantizers(model, Settings(2, 2))
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
        with_quantizers(model, Settings(4, 4))


def test_a_config_survives_being_rebuilt_or_fails():
    config = {"weight_attrs": ["kernel"], "activation_attrs": [], "kernel": QuantSpec(3), "output": QuantSpec(4)}
    config |= {"learned": True, "is_last": False}
    assert LayerConfig(**config).get_config() == LayerConfig.from_config(config).get_config() == config
    with pytest.raises(TypeError, match=r"weight_attrs.*learned.* and .*is_last"):
        LayerConfig.from_config({"kernel": QuantSpec(3), "output": QuantSpec(4)})


# Training


def by_hand(model, network, images):
    """What the network answers, put together from the course's own functions."""
    linear = keras.models.clone_model(model)
    linear.layers[-1].activation = keras.activations.linear
    ranges, kernels = network.ranges, network.kernels
    for layer, (_, bias) in qat.latent_weights(network.model).items():
        linear.get_layer(layer).bias.assign(bias)
    quantized = {name: fake_quantize(kernel, ranges[f"{name}/kernel"], "half_up") for name, kernel in kernels.items()}
    activations = {"image": ranges["image"], "conv1": ranges["conv1"], "dense1": ranges["logits"]}
    with kernels_replaced(linear, quantized):
        return tf.nn.softmax(predict_quantized(linear, images, activations)).numpy()


@pytest.mark.parametrize("settings", [(2, 2, "lsq"), (3, 4, "plain"), *IN_LITERT[1:]], ids=str)
def test_it_computes_with_quantized_numbers(model, network_of, few_digits, settings):
    network, (weight_bits, activation_bits, _) = network_of(*settings), settings
    expected = by_hand(model, network, few_digits.x_test)
    found = network.predict(few_digits.x_test)
    # A sum may end beside the middle of two steps here and there.
    assert np.mean(np.abs(found - expected).max(axis=1) < 1e-3) > 0.98
    assert {tensor: params.spec.bits for tensor, params in network.ranges.items()} == {
        "image": 8,
        "conv1/kernel": weight_bits,
        "conv1": activation_bits,
        "dense1/kernel": weight_bits,
        "logits": 8,
    }
    assert np.ndim(network.ranges["conv1/kernel"].scale) == 1
    assert np.ndim(network.ranges["dense1/kernel"].scale) == (not network.settings.runs_in_litert)
    assert network.model.jit_compile is False  # XLA's fake quantization is wrong


def test_training_recovers_what_two_bits_cost(network_of, few_digits):
    before = network_of(2, 2, "plain", epochs=0).predict(few_digits.x_test)
    after = network_of(2, 2, "plain", images=5_000).predict(few_digits.x_test)
    assert right(after, few_digits) > right(before, few_digits) + 0.05


@pytest.mark.parametrize("method", ["lsq", "plain"])
def test_calibrated_networks_are_good_before_the_first_step(model, network_of, few_digits, method):
    network = network_of(8, 8, method, epochs=0)
    agree = network.predict(few_digits.x_test).argmax(axis=1) == predict(model, few_digits.x_test).argmax(axis=1)
    assert agree.mean() > 0.98
    assert network.path.latent.shape == (1, 3, 3, 1, 32)


def test_stock_ranges_start_far_off_and_stay_there(network_of, few_digits):
    """The start that tfmot chooses: the image has no range at all, and activations have -6 to 6."""
    before = network_of(8, 8, "stock", epochs=0)
    assert len(set(before.predict(few_digits.x_test).argmax(axis=1))) == 1
    after = network_of(8, 8, "stock").ranges["conv1"]
    assert after.low < -5.9 and after.high > 5.9
    calibrated = network_of(3, 4, "plain").ranges["conv1"]
    assert calibrated.low == 0 and calibrated.high < 5


def test_the_path_goes_from_the_float_kernel_to_the_trained_one(model, network_of):
    network = network_of(2, 2, "lsq")
    latent, scale = network.path
    assert latent.shape == (3, 3, 3, 1, 32) and scale.shape == (3, 32)
    np.testing.assert_array_equal(latent[0], model.get_layer("conv1").kernel)
    np.testing.assert_array_equal(latent[-1], network.kernels["conv1"])
    np.testing.assert_allclose(scale[-1], network.ranges["conv1/kernel"].scale, rtol=1e-6)
    assert np.any(latent[0] != latent[1]) and np.any(latent[1] != latent[2])


def test_same_seed_same_network(model, network_of, few_digits):
    first, other = network_of(2, 2, "lsq"), network_of(2, 2, "lsq", seed=1)
    second = qat.train(model, few_digits, 2, 2, "lsq", images=256)
    for one, two in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.kernels["conv1"], other.kernels["conv1"])


def test_settings_are_told_where_they_are_typed():
    (told,) = re.findall(r"``(weight_bits=.*?)``", qat.train.__doc__, re.DOTALL)
    assert eval(f"dict({told})") == vars(Settings())


def test_settings_that_cannot_be(model, few_digits):
    for settings, message in (
        ({"weight_bits": 1}, "weight_bits must be an integer from 2 to 8, got 1"),
        ({"activation_bits": 9}, "activation_bits must be an integer from 2 to 8, got 9"),
        ({"activation_bits": 2.5}, "got 2.5"),
        ({"weight_bits": float("nan")}, "got nan"),
        ({"weight_bits": "8"}, "got '8'"),
        ({"method": "LSQ"}, "method must be one of lsq, plain, stock, got 'LSQ'"),
        ({"epochs": -1}, "epochs must be an integer from 0 to 9,999, got -1"),
        ({"images": 6_000}, "images must be from 1 to the 5,850 training images of stand-in digits, got 6,000"),
    ):
        with pytest.raises(ValueError, match=message):
            qat.train(model, few_digits, **settings)


class Images(NamedTuple):
    """Images of a learner's own, with labels of which the network is right about most."""

    x_train: np.ndarray
    y_train: np.ndarray
    name: str = "images"

    @classmethod
    def of(cls, model, count=260):
        images = np.random.default_rng(0).integers(0, 256, (count, *fold(model).input_shape[1:]), np.uint8)
        return cls(images, predict(model, images).argmax(axis=-1))


@pytest.mark.parametrize(
    "name", ["everything apart", "activations after pools", "without a dense layer", "a model in a model"]
)
def test_networks_of_learners(name):
    """Before any training they compute what is simulated; average pools aside, whose numbers stay between the steps."""
    model = randomized(MODELS[name]())
    few, method = Images.of(model), "plain" if name == "without a dense layer" else "lsq"
    network = qat.train(model, few, 5, 6, method, epochs=0)
    simulation = Simulation(model, few.x_train[: qat.CALIBRATION_IMAGES])
    weights = thresholds.minmax if method == "plain" else thresholds.mse
    simulated = simulation.quantized(5, 6, weight_method=weights).predict(few.x_train)
    expected = simulated if ends_in_softmax(model) else tf.nn.softmax(simulated).numpy()
    apart = np.abs(network.predict(few.x_train) - expected).max(axis=1)
    averages = any(isinstance(layer, L.AveragePooling2D) for layer in model.layers)
    assert np.mean(apart < (0.1 if averages else 1e-3)) > 0.95


@pytest.mark.parametrize("method", ["lsq", "plain"])
def test_an_average_pool_before_weights_has_the_grid_of_what_it_takes(method):
    """By itself tfmot quantizes its means, from -6 to 6 whatever they are."""
    layers = conv(4, activation="relu", name="large"), L.AveragePooling2D(name="mean"), conv(4, 2, activation="relu")
    model = randomized(sequential((8, 8, 3), *layers, L.Flatten(), L.Dense(3)))
    model.get_layer("large").set_weights([30 * each for each in model.get_layer("large").get_weights()])
    few = Images.of(model)
    network = qat.train(model, few, 8, 8, method, epochs=0)
    assert network.ranges["large"].high > 12
    assert [layer.op for layer in IntegerNetwork.read(network.to_litert().content).layers][1] == "AVERAGE_POOL_2D"
    np.testing.assert_allclose(network.predict(few.x_train), tf.nn.softmax(predict(model, few.x_train)), atol=0.1)


def test_every_learned_step_is_trained():
    layers = (
        L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="depthwise"),
        L.Conv2D(4, 1, activation=tf.nn.relu6, name="conv"),
        L.GlobalAveragePooling2D(name="mean"),
        L.Dense(3, name="dense"),
    )
    model = randomized(sequential((8, 8, 3), *layers))
    few = Images.of(model)
    start, network = (qat.train(model, few, 3, 4, images=234, epochs=epochs) for epochs in (0, 1))
    learned = {"depthwise/kernel", "depthwise", "conv/kernel", "conv", "mean", "dense/kernel"}
    assert set(network.ranges) == learned | {"image", "logits"}
    assert network.ranges["depthwise/kernel"].scale.shape == (6,) and network.kernels["depthwise"].shape == (3, 3, 1, 6)
    for tensor in learned:
        assert np.mean(network.ranges[tensor].scale != start.ranges[tensor].scale) > 0.7  # a channel can be dead


def test_networks_that_cannot_be(few_digits):
    wide, relu = L.Conv2DTranspose(2, 3, name="wide"), conv(2, activation="relu")
    for shape, layers, message in (
        ((28, 28, 1), (wide, L.Flatten(), L.Dense(10)), "'wide' .* cannot be quantized here; .*what can"),
        ((28, 28, 1), (conv(2, name="conv"), L.Flatten(), L.Dense(10)), "'conv' has no ReLU: .* method='plain'"),
        ((28, 28, 1), (L.Flatten(), L.Dense(10, "relu", name="last")), "'last' must end with softmax, or have weights"),
        ((28, 28, 1), (relu, L.Flatten(), L.Dense(5)), r"labels from 0 to 9, but .* answers with shape \(5,\)"),
        ((28, 28, 1), (conv(10),), r"answers with shape \(26, 26, 10\)"),
        ((9, 9, 3), (L.Flatten(), L.Dense(10)), r"uint8 of shape \(n, 9, 9, 3\).* got uint8 of .*1, 28, 28\)"),
    ):
        with pytest.raises(ValueError, match=message):
            qat.train(sequential(shape, *layers), few_digits, epochs=0)


def test_dense_layers_alone(few_digits):
    """Nothing stands between their image and the Flatten, where tfmot puts no quantizer by itself."""
    rng = np.random.default_rng(0)
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(20, "relu", name="dense1"),
        keras.layers.Dense(10, "softmax", name="dense2"),
    ]
    model = keras.Sequential([keras.layers.Input((28, 28, 1)), *layers])
    model.set_weights([rng.normal(scale=0.1, size=weights.shape) for weights in model.get_weights()])
    network = qat.train(model, few_digits, epochs=0)
    assert set(network.ranges) == {"image", "dense1/kernel", "dense1", "dense2/kernel", "logits"}
    assert network.ranges["image"].high == pytest.approx(1, abs=0.01)
    theirs, ours = (each.predict(few_digits.x_test) for each in (network.to_litert(), network))
    np.testing.assert_allclose(theirs, ours, atol=0.03)


def test_without_training_it_is_post_training_quantization(model, few_digits, network_of):
    network = network_of(4, 4, "lsq", epochs=0)
    simulated = Simulation(model, few_digits.x_train[: qat.CALIBRATION_IMAGES]).quantized(4, 4)
    apart = np.abs(network.predict(few_digits.x_test) - simulated.predict(few_digits.x_test)).max(axis=1)
    assert np.mean(apart < 1e-3) > 0.98  # as in test_it_computes_with_quantized_numbers


def test_fewer_bits_learn_faster(model, few_digits, monkeypatch):
    seen = []
    monkeypatch.setattr("qkit.network.cnn.train", lambda *arguments: seen.append(arguments[5]))
    for bits, rate in (((5, 8), 3e-4), ((4, 8), 1e-3), ((8, 3), 1e-3), ((2, 4), 2e-3)):
        qat.train(model, few_digits, *bits, "stock")  # the method without calibration
        assert seen.pop() == rate


# What LiteRT runs


@pytest.mark.parametrize("settings", IN_LITERT, ids=str)
def test_the_file_answers_what_the_simulation_answers(network_of, few_digits, settings, capfd, recwarn):
    network = network_of(*settings)
    before = network.model.get_weights()
    capfd.readouterr()
    file = network.to_litert()
    assert capfd.readouterr() == ("", "") and not [w for w in recwarn if "litert" in str(w.filename)]
    for old, new in zip(before, network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    dtypes = file.tensors()["dtype"]
    assert dtypes["image", "input"] == dtypes.iloc[-1] == "int8"
    theirs, ours = file.predict(few_digits.x_test), network.predict(few_digits.x_test)
    assert np.mean(theirs.argmax(axis=1) == ours.argmax(axis=1)) >= 0.998
    assert np.mean(np.abs(theirs - ours) < 0.01) > 0.98
    assert file.size / 54_080 == pytest.approx(0.5 if settings[0] <= 4 else 1, abs=0.1)  # bytes a dense weight


def test_what_litert_cannot_run_is_only_simulated(network_of):
    for bits in ((4, 4), (3, 8)):
        network = network_of(*bits, "lsq", epochs=0)
        with pytest.raises(
            ValueError,
            match=f"{bits[0]}-bit weights, {bits[1]}-bit .* can only be simulated; train it with weight_bits=4 or 8",
        ):
            network.to_litert()


# What is kept


def fake_training(model, digits, epochs, seed, *args):
    model.curves = {curve: [0.1] * epochs for curve in recipe.CURVES}


def kept(folder):
    return list((folder / "networks").glob("*-qat-*.npz"))


def test_the_second_time_it_is_read(few_digits, shallow, kept_folder, monkeypatch):
    """Not with Keras: tfmot cannot read the ``.keras`` file of a network that it made."""
    monkeypatch.setenv("QKIT_DATA", str(kept_folder))
    first = qat.trained("shallow", few_digits, 2, 4, images=128)
    monkeypatch.setattr("qkit.network.cnn.train", lambda *args: pytest.fail("trained again"))
    again = qat.trained("shallow", few_digits, 2, 4, images=128)
    np.testing.assert_array_equal(again.predict(few_digits.x_test), first.predict(few_digits.x_test))
    for ours, kept_array in zip(first.path, again.path, strict=True):
        np.testing.assert_array_equal(ours, kept_array)
    assert again.settings == first.settings and again.model.curves == first.model.curves
    assert again.model.seconds == first.model.seconds > 0
    _, accuracy = again.model.evaluate(few_digits.x_test[..., None] / 255.0, few_digits.y_test, verbose=0)
    assert accuracy == pytest.approx(right(first.predict(few_digits.x_test), few_digits), abs=0.005)


def test_everything_that_matters_is_another_file(few_digits, data_home, monkeypatch):
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    network = with_quantizers(build("shallow"), Settings(4, 4, "plain"))
    monkeypatch.setattr(qat, "with_quantizers", lambda *_: network)  # which one is kept does not matter here
    settings = {"weight_bits": 4, "activation_bits": 4, "method": "stock", "seed": 0, "images": 128, "epochs": 1}
    changes = [{}, *({name: value} for name, value in zip(settings, (3, 3, "plain", 1, 9, 2), strict=True))]
    for count, change in enumerate(changes, start=1):
        qat.trained("shallow", few_digits, **settings | change)
        assert len(kept(data_home)) == count
    qat.fine_tuned("shallow", few_digits, images=128)
    monkeypatch.setattr(qat, "VERSION", qat.VERSION + 1)
    qat.trained("shallow", few_digits, **settings)
    assert len(kept(data_home)) == len(changes) + 2
    qat.trained("shallow", few_digits, **settings)
    assert len(kept(data_home)) == len(changes) + 2


def test_a_file_holds_what_its_version_says(few_digits, data_home, monkeypatch):
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    qat.trained("shallow", few_digits, 4, 4, "stock", images=256)
    qat.fine_tuned("shallow", few_digits, images=256)
    found = [{name: array.shape for name, array in np.load(path).items()} for path in kept(data_home)]
    beside = [{name: shape for name, shape in each.items() if not name.startswith("weight/")} for each in found]
    curves = {f"curve/{curve}": (1,) for curve in recipe.CURVES}
    fine_tuned = curves | {"seconds": ()}
    quantized = fine_tuned | {"path/latent": (1, 3, 3, 1, 32), "path/scale": (1, 32)}
    assert sorted(map(len, found)) == [9, 25] and sorted(beside, key=len) == [fine_tuned, quantized], (
        "raise VERSION in qkit/network/qat.py, or what learners have kept is called damaged"
    )


STORED = {
    (2, 2, "lsq"): [0.120821, 0.280886, 0.00209392, 2.24675],
    (4, 8, "lsq"): [0.0258593, 0.712487, 0.00144435, 2.33458],
    (3, 3, "plain"): [0.0614214, 0.457537, 0.00150548, 2.42334],
    (8, 8, "stock"): [0.00145197, 6.00657, 0.000491143, 2.55745],
}
"""Mean step of conv1's kernels, end of conv1's range, mean way of conv1's weights, validation loss: of three steps."""


def test_what_was_kept_is_what_would_be_trained_today(few_digits, monkeypatch):
    monkeypatch.setattr(qat, "CALIBRATION_IMAGES", CALIBRATION_IMAGES)
    rng, model = np.random.default_rng(0), build("shallow")
    model.set_weights([rng.normal(scale=0.1, size=weights.shape) for weights in model.get_weights()])
    for settings, expected in STORED.items():
        network = qat.train(model, few_digits, *settings, images=384)
        latent, scale = network.path
        found = [scale[-1].mean(), network.ranges["conv1"].high, np.abs(latent[-1] - latent[0]).mean()]
        found += network.model.curves["val_loss"]
        assert found == pytest.approx(expected, rel=1e-3), (
            f"raise VERSION in qkit/network/qat.py and store these numbers for {settings}: {found}"
        )


def test_a_damaged_file_is_said_and_trained_again(few_digits, data_home, monkeypatch):
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    whole = qat.trained("shallow", few_digits, 4, 4, "stock")
    (path,) = kept(data_home)
    arrays = dict(np.load(path))
    for damage in ({}, {"weight/0": np.zeros(3)}, {"weight/1": np.float32(np.nan)}):
        if damage:
            np.savez(path, **arrays | damage)
        else:
            path.write_bytes(b"half a file")
        with pytest.warns(UserWarning, match="It is made again"):
            again = qat.trained("shallow", few_digits, 4, 4, "stock")
        np.testing.assert_array_equal(again.predict(few_digits.x_test[:9]), whole.predict(few_digits.x_test[:9]))


def test_nothing_is_kept_of_a_training_that_was_stopped(few_digits, data_home, monkeypatch):
    def stopped(model, digits, epochs, seed, *more):
        if more:
            raise KeyboardInterrupt
        fake_training(model, digits, epochs, seed)

    monkeypatch.setattr("qkit.network.cnn.train", stopped)
    with pytest.raises(KeyboardInterrupt):
        qat.trained("shallow", few_digits, 4, 4, "stock")
    assert not kept(data_home)


def test_the_control_sees_the_same_images_in_float(few_digits, shallow, kept_folder, monkeypatch):
    monkeypatch.setenv("QKIT_DATA", str(kept_folder))
    control = qat.fine_tuned("shallow", few_digits, images=256)
    expected = trained("shallow", few_digits)
    train(expected, few_digits, 1, 0, 256, qat.LEARNING_RATE)
    for ours, theirs in zip(control.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr("qkit.network.cnn.train", lambda *args: pytest.fail("trained again"))
    again = qat.fine_tuned("shallow", few_digits, images=256)
    assert again.seconds == control.seconds > 0
    np.testing.assert_array_equal(predict(again, few_digits.x_test), predict(control, few_digits.x_test))


def test_what_cannot_be_kept(few_digits):
    with pytest.raises(ValueError, match="epochs must be at least 1 for a network to be kept"):
        qat.trained("shallow", few_digits, epochs=0)
    with pytest.raises(ValueError, match="one of shallow, deep, small, separable, got 'wide'"):
        qat.trained("wide", few_digits)
