"""The networks: their shape, their training, that it happens once, and what happens to kept files that do not fit."""

import random
import re
import subprocess
import sys

import numpy as np
import pytest

from qkit.digits import Digits, draw_digits
from qkit.network import build, fold, kernels_replaced, layer_costs, predict, recipe, train, trained, trained_weights
from qkit.network.backend import keras, tf
from qkit.network.cnn import kept_model
from qkit.network.recipe import as_input, check_images, input_batches, to_keep
from qkit.numeric import QuantParams, QuantSpec, quantize

NOTEBOOK = """
import sys
from qkit.digits import Digits, draw_digits
from qkit.network import FUNCTION
x, y = draw_digits(600)
found = FUNCTION("shallow", Digits(x, y, x[:10], y[:10], "stand-in digits", "a test"))
print("tensorflow" in sys.modules)
"""


@pytest.fixture(scope="module")
def one_epoch(few_digits, tmp_path_factory):
    """A shallow network after one short epoch, and the folder that keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("kept")
        patch.setenv("QKIT_DATA", str(folder))
        return trained("shallow", few_digits, epochs=1), folder


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """What a notebook prints that trains, and a second that comes later; and the folder that keeps the network.

    While the first one trains, the network is wanted here, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("notebooks")
        patch.setenv("QKIT_DATA", str(folder))
        first = start("trained")
        said = first.stdout.readline()
        patch.setattr("qkit.network.cnn.train", lambda *_: pytest.fail("trained twice"))
        trained("shallow", tiny_digits())
        second = start("trained_weights")
        outputs = [process.communicate(timeout=300) for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0)
        return [(said + outputs[0][0], outputs[0][1]), outputs[1]], folder


def tiny_digits():
    x, y = draw_digits(600)
    return Digits(x, y, x[:10], y[:10], "stand-in digits", "a test")


def start(function):
    program = NOTEBOOK.replace("FUNCTION", function)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def instant(monkeypatch):
    """Training that takes no time, and the list of what was trained."""
    trained = []

    def train(model, digits, epochs, *_):
        trained.append(model.name)
        model.curves = {curve: [0.1] * epochs for curve in recipe.CURVES}

    monkeypatch.setattr("qkit.network.cnn.train", train)
    return trained


def with_training(digits, x_train, y_train):
    return Digits(x_train, y_train, digits.x_test, digits.y_test, digits.name, digits.source)


def kept_files(folder):
    return list((folder / "networks").glob("*.npz"))


def assert_equal(weights, others):
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_are_those_of_the_articles():
    kinds = [[type(layer).__name__ for layer in build(name).layers] for name in ("shallow", "deep")]
    assert kinds == [
        ["Conv2D", "MaxPooling2D", "Flatten", "Dense"],
        ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dense"],
    ]
    with pytest.raises(ValueError, match="one of shallow, deep, small, separable, got 'wide'"):
        build("wide")


def test_costs_agree_with_keras_and_with_tensorflows_profiler():
    for model in (build("shallow"), build("deep"), fold(build("separable"))):
        costs = layer_costs(model)
        assert costs["parameters"].sum() == model.count_params()
        assert costs["bytes"].sum() == sum(array.nbytes for array in model.get_weights())
        sides = model.get_layer("conv1").output_shape[1:]
        assert costs.loc["conv1", "output"] == " × ".join(map(str, sides))
        graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, 28, 28, 1))).graph
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        per_node = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
        # The profiler counts a multiplication and an addition, and the additions of biases and the like.
        twice = 2 * costs["multiply-accumulates"].sum()
        assert twice <= per_node.total_float_ops <= 1.15 * twice
    channels_first = keras.layers.Conv2D(8, 3, data_format="channels_first", name="conv")
    costs = layer_costs(keras.Sequential([keras.layers.Input((1, 28, 28)), channels_first]))
    assert costs.loc["conv", "multiply-accumulates"] == 9 * 8 * 26 * 26
    costs = layer_costs(build("separable"))
    assert costs.loc["depthwise3", ["output", "multiply-accumulates"]].tolist() == ["7 × 7 × 32", 9 * 7 * 7 * 32]
    assert costs.loc["depthwise3_norm", ["parameters", "multiply-accumulates"]].tolist() == [4 * 32, 7 * 7 * 32]


def test_separable_is_its_plain_form_with_normalization(few_digits):
    model, training = build("separable"), recipe.TRAINING["separable"]
    plain = fold(model)
    assert model.count_params() == 29_994
    kinds = {type(layer).__name__ for layer in plain.layers}
    assert kinds == {"Conv2D", "DepthwiseConv2D", "GlobalAveragePooling2D", "Dense"}
    assert [layer.name for layer in plain.layers] == [name for name, _ in recipe.layers_of("separable")]
    regularized = [layer for layer in model.layers if layer.losses]
    assert len(regularized) == 15
    for layer in regularized:
        np.testing.assert_allclose(layer.losses[0], training.l2 * np.sum(layer.get_weights()[0] ** 2), rtol=1e-5)
    with pytest.raises(ValueError, match=r"separable has BatchNormalization; its weights are in fold\(trained\('sep"):
        trained_weights("separable", few_digits)


def test_same_seed_same_network():
    assert_equal(build("deep", seed=3).get_weights(), build("deep", seed=3).get_weights())
    assert not np.array_equal(build("deep", seed=3).get_weights()[0], build("deep", seed=4).get_weights()[0])


TINY = {
    "separable": [2.62052933, 2.49017734, 2.49977046, 2.54705835, 0.202558627, 0.149580158, 0.0428242743, 0.10447684],
    "deep": [2.25588986, 1.97643389, 2.05493499, 1.94268048, 0.0035518541, 0.00382814891, 0.00363324489, 0.00381819076],
}
"""After two epochs on 300 images: loss and validation loss, and how far the first kernels' weights moved on average.

``"shallow"`` and ``"small"`` have the layers of ``"deep"`` and its training.
"""


def test_the_version_goes_up_with_what_is_trained():
    # In float64: in float32 BatchNormalization makes of the last digits, which differ between processors, the first.
    keras.backend.set_floatx("float64")
    try:
        found = {name: tiny(name) for name in TINY}
    finally:
        keras.backend.set_floatx("float32")
    for name, stored in TINY.items():
        assert found[name] == pytest.approx(stored, rel=1e-6), (
            "Training gives other weights than before. If that is meant, raise VERSION in qkit/network/recipe.py, or "
            f"learners keep the old ones; then store these numbers: {found[name]}"
        )


def tiny(name):
    x, y = draw_digits(500)
    few = Digits(x[:400], y[:400], x[400:], y[400:], "stand-in digits", "a test")
    model, (_, rate, momentum, _) = build(name), recipe.TRAINING[name]
    before = model.get_weights()
    train(model, few, epochs=2, images=300, learning_rate=rate, momentum=momentum)
    moved = [
        float(np.mean(np.abs(new - old)))
        for new, old, weight in zip(model.get_weights(), before, model.weights, strict=True)
        if "kernel" in weight.name
    ]
    return [*model.curves["loss"], *model.curves["val_loss"], *moved[:4]]


def test_a_network_that_ends_in_logits_learns_the_same():
    x, y = draw_digits(300)
    losses = []
    for activation in ("softmax", "linear"):
        model = build("shallow")
        model.layers[-1].activation = getattr(keras.activations, activation)
        train(model, Digits(x, y, x, y, "stand-in digits", "a test"), epochs=1)
        losses.append(model.curves["loss"] + model.curves["val_loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_training_learns_and_keeps_its_history(one_epoch, few_digits):
    model, _ = one_epoch
    assert sorted(model.curves) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert model.curves["val_accuracy"][0] > 0.3
    assert np.mean(predict(model, few_digits.x_test).argmax(axis=1) == few_digits.y_test) > 0.3


def test_predict_gives_what_keras_gives(one_epoch, few_digits):
    model, _ = one_epoch
    ours = predict(model, few_digits.x_test)
    assert ours.shape == (500, 10) and ours.dtype == np.float32
    theirs = model.predict(few_digits.x_test[..., None].astype(np.float32) / 255, verbose=0)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # More than a batch is compiled.
    images = few_digits.x_train[:1_100]
    parts = np.concatenate([predict(model, images[start : start + 500]) for start in (0, 500, 1_000)])
    np.testing.assert_allclose(predict(model, images), parts, atol=1e-6)


def test_the_first_layers_of_a_network_are_one(one_epoch, few_digits):
    model, _ = one_epoch
    images = few_digits.x_test[:3]
    floats = images[..., None] / np.float32(255)
    keras.Sequential(model.layers[:2])(floats)  # then its first layer has two input shapes
    for count in (1, 2):
        first = keras.Sequential(model.layers[:count])
        np.testing.assert_array_equal(predict(first, images), first(floats))


def test_the_second_time_it_is_read(one_epoch, few_digits, monkeypatch, instant):
    model, folder = one_epoch
    monkeypatch.setenv("QKIT_DATA", str(folder))
    again = trained("shallow", few_digits, epochs=1)
    assert instant == []
    assert_equal(model.get_weights(), again.get_weights())
    assert again.curves == model.curves
    assert again.evaluate(few_digits.x_test[..., None] / 255.0, few_digits.y_test, verbose=0)[1] > 0.3


def test_other_settings_or_digits_or_code_are_another_file(few_digits, monkeypatch, data_home, instant):
    flipped = with_training(few_digits, 255 - few_digits.x_train, few_digits.y_train)
    usual = {"name": "shallow", "digits": few_digits, "epochs": 1}
    for number, change in enumerate(({}, {"seed": 1}, {"epochs": 2}, {"name": "deep"}, {"digits": flipped}), start=1):
        trained(**usual | change)
        assert len(kept_files(data_home)) == len(instant) == number
    monkeypatch.setattr(recipe, "version", lambda library: f"{library} of tomorrow")
    trained(**usual)
    monkeypatch.setattr(recipe, "VERSION", recipe.VERSION + 1)
    trained(**usual)
    monkeypatch.setattr(recipe, "BATCH_SIZE", 64)
    trained(**usual)
    assert len(kept_files(data_home)) == len(instant) == number + 3
    trained(**usual)
    assert len(instant) == number + 3


def test_the_learners_random_numbers_are_left_alone(few_digits):
    random.seed(7)
    expected = random.random()
    random.seed(7)
    before = np.random.get_state()[1]  # noqa: NPY002 - the old, global generator is what must not change
    train(build("shallow"), few_digits, epochs=1, images=100)
    assert random.random() == expected
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_few_images_are_enough_and_too_few_are_said(few_digits):
    some = with_training(few_digits, few_digits.x_train[:200], few_digits.y_train[:200])
    assert len(trained("shallow", some, epochs=2).curves["val_accuracy"]) == 2
    with pytest.raises(ValueError, match="at least ten training images are needed, got 9"):
        trained("shallow", with_training(some, some.x_train[:9], some.y_train[:9]))
    for images in (0, 181):
        with pytest.raises(ValueError, match="images must be from 1 to the 180 training images of stand-in digits"):
            train(build("shallow"), some, images=images)
    with pytest.raises(ValueError, match="epochs must be at least 1 for a network to be kept, got 0"):
        trained("shallow", some, epochs=0)
    train(build("shallow"), with_training(some, some.x_train, some.y_train[:, None]), images=9, epochs=1)
    no_list, no_class = "y_train must be 200 integers, got", r"have labels from .* answers with shape \(10,\)"
    for labels, message in (
        (np.eye(10)[some.y_train], no_list),
        (some.y_train[:-1], no_list),
        (some.y_train[:0], no_list),
        (some.y_train.astype(str), no_list),
        (some.y_train.astype(int) - 1, no_class),
        (some.y_train + 1, no_class),
    ):
        with pytest.raises(ValueError, match=message):
            train(build("shallow"), with_training(some, some.x_train, labels))


def test_answers_are_float32_whatever_the_network_computes_in():
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, dtype="float64")])
    assert predict(model, np.ones((2, 4), np.float32)).dtype == np.float32


def test_a_network_made_of_another_ones_layers_is_trained(few_digits):
    """Its weights are not there before; and each image is learned from once an epoch, in another order each time."""
    seen = []
    network = keras.Sequential([*build("shallow").layers[:-1], keras.layers.Dense(10, "softmax")])
    network.compile = lambda *args, **settings: keras.Sequential.compile(network, *args, run_eagerly=True, **settings)
    step = network.train_step
    network.train_step = lambda data: seen.append(data) or step(data)
    some = with_training(few_digits, few_digits.x_train[:200], few_digits.y_train[:200])
    train(network, some, epochs=2)
    assert [len(labels) for _, labels in seen] == [128, 52, 128, 52]
    known = {image.tobytes(): label for image, label in zip(as_input(some.x_train[:180]), some.y_train, strict=False)}
    images, labels = (np.concatenate(part) for part in zip(*seen, strict=True))
    order = [image.tobytes() for image in images]
    assert set(order[:180]) == set(order[180:]) == set(known) and order[:180] != order[180:]
    assert [known[image] for image in order] == labels.tolist()


def test_no_images_to_predict():
    for shape, dtype in (
        ((0, 28, 28), np.uint8),
        ((28, 28), np.uint8),
        ((5, 28, 28, 3), np.uint8),
        ((5, 28, 28), np.float32),
        ((5, 28, 28, 1), np.int64),
        ((), np.uint8),
    ):
        with pytest.raises(ValueError, match=r"uint8 of shape \(n, 28, 28\), or floats of shape .* at least one, got"):
            predict(build("shallow"), np.ones(shape, dtype))
    with pytest.raises(ValueError, match="finite numbers, got NaN"):
        predict(build("shallow"), np.full((1, 28, 28, 1), np.nan, np.float32))
    with pytest.raises(ValueError, match="finite numbers, got NaN or infinity"):
        check_images(np.full((1, 28, 28, 1), 1e300))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_floats_of_another_width_are_taken_as_keras_takes_them(dtype):
    model, images = build("shallow"), np.random.default_rng(0).random((3, 28, 28, 1)).astype(dtype)
    answers = predict(model, images)
    np.testing.assert_array_equal(answers, predict(model, images.astype(np.float32)))
    np.testing.assert_allclose(answers, model.predict(images, verbose=0), atol=1e-6)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (8, 6, 3), (12,), (5, 1)])
def test_images_of_any_shape(shape):
    rng = np.random.default_rng(0)
    grey, grid = rng.integers(0, 256, (7, *shape), np.uint8), QuantParams(0.5, -3, QuantSpec())
    expected = (grey / 255).astype(np.float32)
    forms = [grey, grey[..., 0]] if shape[-1] == 1 else [grey]
    for images in (*forms, expected):
        batches = list(input_batches(images, shape, 3))
        assert [len(batch) for batch in batches] == [3, 3, 1] and batches[0].dtype == np.float32
        np.testing.assert_allclose(np.concatenate(batches), expected, rtol=1e-7)
        np.testing.assert_array_equal(as_input(images, shape, grid), quantize(expected, grid))
    with pytest.raises(ValueError, match=r"grey levels, uint8 of shape \(n, .*, at least one, got uint8"):
        check_images(grey[:, :1], shape)


KERNEL = np.zeros((3, 3, 1, 32), np.float32)
MISFITS = {
    "nothing": b"",
    "not a zip": b"half a file",
    "a kernel of another shape": {"weight/0": np.zeros((5, 5, 1, 32), np.float32)},
    "one dimension": {"weight/0": KERNEL.ravel()},
    "a name missing": {"weight/1": None},
    "no curve": {"curve/loss": None},
    "another length": {"curve/loss": np.zeros(3)},
    "a name too many": {"weight/4": KERNEL},
    "not finite": {"weight/3": np.full(10, np.nan, np.float32)},
    "too large": {"weight/0": KERNEL.astype(float) + 1e300},
} | {dtype: {"weight/0": KERNEL.astype(dtype)} for dtype in ("complex64", "bool", "datetime64[s]", "float64", "U3")}


def test_kept_files_that_do_not_fit_are_said_and_made_again(few_digits, data_home, instant):
    trained("shallow", few_digits)
    (path,) = kept_files(data_home)
    whole = path.read_bytes()
    right = trained_weights("shallow", few_digits)
    assert instant == ["shallow"]
    for content in MISFITS.values():
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_bytes(whole)
            arrays = dict(np.load(path)) | content
            np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
        with pytest.warns(UserWarning, match="It is made again"):
            found = trained_weights("shallow", few_digits)
        assert_equal(found["conv1"] + found["dense1"], right["conv1"] + right["dense1"])
        assert_equal(dict(np.load(path)).values(), [*right["conv1"], *right["dense1"], *[np.full(4, 0.1)] * 4])
    assert len(instant) == 1 + len(MISFITS)


def test_flipped_bytes_of_a_kept_file_never_raise(few_digits, data_home, instant, recwarn):
    """Those of the zip directory, which no checksum covers: arrays vanish from it, or change their names."""
    model = trained("shallow", few_digits)
    (path,) = kept_files(data_home)
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    for place in range(start, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        found = trained_weights("shallow", few_digits)
        assert_equal([*found["conv1"], *found["dense1"]], model.get_weights())
    assert len(instant) > 20


def test_what_else_is_kept_must_fit_too(few_digits, tmp_path):
    model = build("shallow")
    model.curves = {curve: [0.1] for curve in recipe.CURVES}
    how = {"what": "it", "digits": few_digits, "epochs": 1, "also": {"path": np.empty(7, np.float32)}}

    def make():
        return to_keep(model.get_weights(), model.curves) | {"path": np.arange(7, dtype=np.float32)}

    assert kept_model(model, tmp_path / "x.npz", make, **how)["path"][6] == 6
    for wrong in ({"path": np.zeros(6, np.float32)}, {"path": np.zeros(7)}, {}):
        np.savez(tmp_path / "x.npz", **to_keep(model.get_weights(), model.curves), **wrong)
        with pytest.warns(UserWarning, match="It is made again"):
            assert kept_model(model, tmp_path / "x.npz", make, **how)["path"][6] == 6


@pytest.mark.parametrize("name", ["deep", "small"])
def test_weights_are_those_of_the_network(few_digits, instant, name):
    weights = trained_weights(name, few_digits)
    again = trained_weights(name, few_digits)
    model = trained(name, few_digits)
    assert list(weights) == list(again) == ["conv1", "conv2", "dense1", "dense2"] and instant == [name]
    for layer in weights:
        assert_equal(weights[layer], model.get_layer(layer).get_weights())
        assert_equal(again[layer], weights[layer])


def test_two_notebooks_train_once_and_kept_weights_need_no_tensorflow(notebooks):
    outputs, folder = notebooks
    assert len(kept_files(folder)) == 1
    assert outputs[1] == ("False\n", "")


def test_a_log_gets_plain_lines_and_no_bar(notebooks):
    output, errors = notebooks[0][0]
    lines = output.splitlines()
    assert lines[0] == "Training shallow on stand-in digits."
    assert re.fullmatch(r"shallow, trained on stand-in digits: \d\d\.\d\d % of 60 validation images right", lines[1])
    assert "\r" not in output and lines[2:] == ["True"]
    assert errors == ""


def test_another_process_learns_the_same(notebooks, data_home):
    """Bit for bit: seeds, deterministic operations and a fixed number of threads."""
    trained("shallow", tiny_digits())
    (here,), (there,) = kept_files(data_home), kept_files(notebooks[1])
    assert here.name == there.name
    assert_equal(dict(np.load(here)).values(), dict(np.load(there)).values())


def test_a_folder_that_cannot_be_written_loses_nothing(few_digits, tmp_path, monkeypatch, instant):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QKIT_DATA", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert list(trained_weights("shallow", few_digits)) == ["conv1", "dense1"]


def test_kernels_are_replaced_and_put_back(few_digits):
    model, images = build("shallow", seed=1), few_digits.x_test[:20]
    answers = predict(model, images)
    with kernels_replaced(model, {"dense1": np.zeros((5408, 10), np.float32)}) as same:
        assert same is model
        np.testing.assert_allclose(predict(model, images), 0.1, atol=1e-7)
    np.testing.assert_array_equal(predict(model, images), answers)
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt), kernels_replaced(model, {"dense1": np.zeros((5408, 10))}):
        raise KeyboardInterrupt
    assert_equal(before, model.get_weights())
    depthwise = build("separable")
    before = depthwise.get_weights()
    with kernels_replaced(depthwise, {"depthwise2": np.zeros((3, 3, 16, 1))}):
        assert not depthwise.get_layer("depthwise2").get_weights()[0].any()
    assert_equal(before, depthwise.get_weights())


def test_kernels_that_do_not_fit_change_nothing():
    model = build("shallow", seed=1)
    before, fits = model.get_weights(), {"conv1": np.ones((3, 3, 1, 32))}
    for name, message in (
        ("dense1", r"dense1.* shape \(5408, 10\), and the assigned value shape \(3, 3\)"),
        ("pool1", "pool1 has no kernel to replace; give those of convolutions and dense layers"),
        ("conv9", "conv9"),
    ):
        with pytest.raises(ValueError, match=message), kernels_replaced(model, fits | {name: np.zeros((3, 3))}):
            pytest.fail("must not get here")
        assert_equal(before, model.get_weights())
