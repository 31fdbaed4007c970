"""Quantization-aware training: what is trained, what is kept, what is converted."""

import numpy as np
import pytest

from qkit import fake_quantize
from qkit.network import Simulation, kernels_replaced, predict, predict_quantized, qat, recipe, train, trained
from qkit.network.backend import keras, tf

FEW = {"images": 256}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder for the whole module: the float network is trained once."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def model(few_digits, folder):
    """The shallow network, trained in float."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QKIT_DATA", str(folder))
        return trained("shallow", few_digits)


def right(probabilities, digits):
    return np.mean(probabilities.argmax(axis=1) == digits.y_test)


def by_hand(model, network, images):
    """What the network answers, put together from the course's own functions."""
    linear = keras.models.clone_model(model)
    linear.layers[-1].activation = keras.activations.linear
    ranges, kernels = network.ranges, network.kernels
    for layer, (_, bias) in qat.latent_kernels(network.model).items():
        linear.get_layer(layer).bias.assign(bias)
    quantized = {name: fake_quantize(kernel, ranges[f"{name}/kernel"], "half_up") for name, kernel in kernels.items()}
    activations = {"image": ranges["image"], "conv1": ranges["conv1"], "dense1": ranges["logits"]}
    with kernels_replaced(linear, quantized):
        return tf.nn.softmax(predict_quantized(linear, images, activations)).numpy()


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "method"), [(2, 2, "lsq"), (4, 8, "lsq"), (3, 4, "plain"), (8, 8, "stock")]
)
def test_it_computes_with_quantized_numbers(model, few_digits, weight_bits, activation_bits, method):
    network = qat.train(model, few_digits, weight_bits, activation_bits, method, **FEW)
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


def test_training_recovers_what_two_bits_cost(model, few_digits):
    before = qat.train(model, few_digits, 2, 2, "plain", epochs=0).predict(few_digits.x_test)
    after = qat.train(model, few_digits, 2, 2, "plain", images=5_000).predict(few_digits.x_test)
    assert right(after, few_digits) > right(before, few_digits) + 0.05


@pytest.mark.parametrize("method", ["lsq", "plain"])
def test_calibrated_networks_are_good_before_the_first_step(model, few_digits, method):
    network = qat.train(model, few_digits, method=method, epochs=0)
    agree = network.predict(few_digits.x_test).argmax(axis=1) == predict(model, few_digits.x_test).argmax(axis=1)
    assert agree.mean() > 0.98
    assert network.path.latent.shape == (1, 3, 3, 1, 32)


def test_stock_ranges_start_far_off_and_stay_there(model, few_digits):
    """The start that tfmot chooses: the image has no range at all, and activations have -6 to 6."""
    before = qat.train(model, few_digits, method="stock", epochs=0)
    assert len(set(before.predict(few_digits.x_test).argmax(axis=1))) == 1
    after = qat.train(model, few_digits, method="stock", **FEW).ranges["conv1"]
    assert after.low < -5.9 and after.high > 5.9
    calibrated = qat.train(model, few_digits, method="plain", **FEW).ranges["conv1"]
    assert calibrated.low == 0 and calibrated.high < 5


def test_the_path_goes_from_the_float_kernel_to_the_trained_one(model, few_digits):
    network = qat.train(model, few_digits, 2, 2, **FEW)
    latent, scale = network.path
    assert latent.shape == (3, 3, 3, 1, 32) and scale.shape == (3, 32)
    np.testing.assert_array_equal(latent[0], model.get_layer("conv1").kernel)
    np.testing.assert_array_equal(latent[-1], network.kernels["conv1"])
    np.testing.assert_allclose(scale[-1], network.ranges["conv1/kernel"].scale, rtol=1e-6)
    assert np.any(latent[0] != latent[1]) and np.any(latent[1] != latent[2])


def test_same_seed_same_network(model, few_digits):
    first, second, other = (qat.train(model, few_digits, 4, 4, seed=seed, **FEW) for seed in (0, 0, 1))
    for one, two in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.kernels["conv1"], other.kernels["conv1"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_bits": 1}, "weight_bits must be an integer from 2 to 8, got 1"),
        ({"activation_bits": 9}, "activation_bits must be an integer from 2 to 8, got 9"),
        ({"activation_bits": 2.5}, "got 2.5"),
        ({"weight_bits": float("nan")}, "got nan"),
        ({"weight_bits": "8"}, "got '8'"),
        ({"method": "LSQ"}, "method must be one of lsq, plain, stock, got 'LSQ'"),
        ({"epochs": -1}, "epochs must be an integer from 0 to 9,999, got -1"),
        ({"images": 0}, "images must be from 1 to the 5,850 training images"),
        ({"images": 6_000}, "images must be from 1 to the 5,850 training images of stand-in digits, got 6,000"),
    ],
)
def test_settings_that_cannot_be(model, few_digits, settings, message):
    with pytest.raises(ValueError, match=message):
        qat.train(model, few_digits, **settings)


@pytest.mark.parametrize(
    ("layer", "last", "message"),
    [
        (keras.layers.BatchNormalization(name="norm"), "softmax", "'norm' .* cannot be simulated"),
        (keras.layers.Conv2D(2, 3), "softmax", "need ReLU, .* got linear, softmax"),
        (keras.layers.Conv2D(2, 3, activation="relu"), "linear", "the last one softmax, .* got relu, linear"),
    ],
)
@pytest.mark.parametrize("method", ["plain", "stock"])
def test_networks_that_cannot_be(few_digits, layer, last, message, method):
    layers = [type(layer).from_config(layer.get_config()), keras.layers.Flatten(), keras.layers.Dense(10, last)]
    model = keras.Sequential([keras.layers.Input((28, 28, 1)), *layers])
    with pytest.raises(ValueError, match=message):
        qat.train(model, few_digits, method=method, epochs=0)


def test_without_training_it_is_post_training_quantization(model, few_digits):
    network = qat.train(model, few_digits, 4, 4, epochs=0)
    simulated = Simulation(model, few_digits.x_train[: qat.CALIBRATION_IMAGES]).quantized(4, 4)
    apart = np.abs(network.predict(few_digits.x_test) - simulated.predict(few_digits.x_test)).max(axis=1)
    assert np.mean(apart < 1e-3) > 0.98  # as in test_it_computes_with_quantized_numbers


@pytest.mark.parametrize(
    ("bits", "rate"), [((8, 8), 3e-4), ((5, 8), 3e-4), ((4, 8), 1e-3), ((8, 3), 1e-3), ((2, 4), 2e-3), ((8, 2), 2e-3)]
)
def test_fewer_bits_learn_faster(model, few_digits, monkeypatch, bits, rate):
    seen = []
    monkeypatch.setattr("qkit.network.cnn.train", lambda *arguments: seen.append(arguments[5]))
    qat.train(model, few_digits, *bits)
    assert seen == [rate]


# What LiteRT runs


@pytest.mark.parametrize(("weight_bits", "method"), [(4, "lsq"), (8, "lsq"), (8, "stock")])
def test_the_file_answers_what_the_simulation_answers(model, few_digits, weight_bits, method, capfd, recwarn):
    network = qat.train(model, few_digits, weight_bits, 8, method, images=2_000)
    before = network.model.get_weights()
    capfd.readouterr()
    file = network.to_litert()
    assert capfd.readouterr() == ("", "") and not recwarn.list
    for old, new in zip(before, network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    dtypes = file.tensors()["dtype"]
    assert dtypes["image", "input"] == dtypes.iloc[-1] == "int8"
    theirs, ours = file.predict(few_digits.x_test), network.predict(few_digits.x_test)
    assert np.mean(theirs.argmax(axis=1) == ours.argmax(axis=1)) >= 0.998
    assert np.mean(np.abs(theirs - ours) < 0.01) > 0.98
    assert file.size / 54_080 == pytest.approx(0.5 if weight_bits <= 4 else 1, abs=0.1)  # bytes a dense weight


@pytest.mark.parametrize("bits", [(4, 4), (3, 8)])
def test_what_litert_cannot_run_is_only_simulated(model, few_digits, bits):
    network = qat.train(model, few_digits, *bits, epochs=0)
    with pytest.raises(
        ValueError, match=f"{bits[0]}-bit weights, {bits[1]}-bit .* can only be simulated; train it with"
    ):
        network.to_litert()


# What is kept


def fake_training(model, digits, epochs, seed, *args):
    model.curves = {curve: [0.1] * epochs for curve in recipe.CURVES}


def kept(folder):
    return list((folder / "networks").glob("*-qat-*.npz"))


def test_the_second_time_it_is_read(model, few_digits, folder, monkeypatch):
    """Not with Keras: tfmot cannot read the ``.keras`` file of a network that it made."""
    monkeypatch.setenv("QKIT_DATA", str(folder))
    first = qat.trained("shallow", few_digits, 2, 4, images=128)
    monkeypatch.setattr("qkit.network.cnn.train", lambda *args: pytest.fail("trained again"))
    again = qat.trained("shallow", few_digits, 2, 4, images=128)
    np.testing.assert_array_equal(again.predict(few_digits.x_test), first.predict(few_digits.x_test))
    for ours, kept_array in zip(first.path, again.path, strict=True):
        np.testing.assert_array_equal(ours, kept_array)
    assert again.settings == first.settings and again.model.curves == first.model.curves
    _, accuracy = again.model.evaluate(few_digits.x_test[..., None] / 255.0, few_digits.y_test, verbose=0)
    assert accuracy == pytest.approx(right(first.predict(few_digits.x_test), few_digits), abs=0.005)


def test_everything_that_matters_is_another_file(few_digits, monkeypatch):
    settings = {"weight_bits": 4, "activation_bits": 4, "method": "lsq", "seed": 0, "images": 128, "epochs": 1}
    changes = [{}, *({name: value} for name, value in zip(settings, (3, 3, "plain", 1, 9, 2), strict=True))]
    paths = {qat._path("shallow", few_digits, 0, qat.Settings(**settings | change)) for change in changes}
    paths.add(qat._path("deep", few_digits, 0, qat.Settings(**settings)))
    paths.add(qat._path("shallow", few_digits, 1, qat.Settings(**settings)))
    code, read = ["qat", "quantizers", "calibrate", "simulate", "forward", "thresholds", "affine"], qat.Path.read_bytes
    for module in code:
        monkeypatch.setattr(qat.Path, "read_bytes", lambda path: b"edited" if path.stem == module else read(path))  # noqa: B023
        paths.add(qat._path("shallow", few_digits, 0, qat.Settings(**settings)))
    assert len(paths) == len(changes) + 2 + len(code)


@pytest.mark.parametrize("damage", [b"half a file", {"weight/0": np.zeros(3)}, {"weight/1": np.float32(np.nan)}])
def test_a_damaged_file_is_said_and_trained_again(few_digits, data_home, monkeypatch, damage):
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    whole = qat.trained("shallow", few_digits, 4, 4, "stock")
    (path,) = kept(data_home)
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        np.savez(path, **dict(np.load(path)) | damage)
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
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    qat.trained("shallow", few_digits, 4, 4, "stock")
    assert len(kept(data_home)) == 1


def test_the_control_sees_the_same_images_in_float(model, few_digits, folder, monkeypatch):
    monkeypatch.setenv("QKIT_DATA", str(folder))
    control = qat.fine_tuned("shallow", few_digits, **FEW)
    expected = trained("shallow", few_digits)
    train(expected, few_digits, 1, 0, 256, qat.LEARNING_RATE)
    for ours, theirs in zip(control.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr("qkit.network.cnn.train", lambda *args: pytest.fail("trained again"))
    again = qat.fine_tuned("shallow", few_digits, **FEW)
    np.testing.assert_array_equal(predict(again, few_digits.x_test), predict(control, few_digits.x_test))


def test_what_cannot_be_kept(few_digits):
    with pytest.raises(ValueError, match="epochs must be at least 1 for a network to be kept"):
        qat.trained("shallow", few_digits, epochs=0)
    with pytest.raises(ValueError, match="one of shallow, deep, got 'wide'"):
        qat.trained("wide", few_digits)
