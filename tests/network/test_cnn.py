"""The networks: their shape, their training, and that it happens once."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from qkit.digits import Digits
from qkit.network import build, layer_costs, predict, recipe, trained, trained_weights
from qkit.network.backend import tf


@pytest.fixture(scope="module")
def one_epoch(few_digits, tmp_path_factory):
    """A shallow network after one short epoch, and the folder that keeps it."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("kept")
        patch.setenv("QKIT_DATA", str(folder))
        return trained("shallow", few_digits, epochs=1), folder


def with_training(digits, x_train, y_train):
    return Digits(x_train, y_train, digits.x_test, digits.y_test, digits.name, digits.source)


def kept(folder):
    return list((folder / "networks").glob("*.npz"))


def test_layers_are_those_of_the_articles():
    kinds = [[type(layer).__name__ for layer in build(name).layers] for name in ("shallow", "deep")]
    assert kinds == [
        ["Conv2D", "MaxPooling2D", "Flatten", "Dense"],
        ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dense"],
    ]


@pytest.mark.parametrize("name", ["shallow", "deep"])
def test_costs_agree_with_keras_and_with_tensorflows_profiler(name):
    model = build(name)
    costs = layer_costs(model)
    assert costs["parameters"].sum() == model.count_params()
    assert costs["bytes"].sum() == sum(array.nbytes for array in model.get_weights())
    assert costs.loc["conv1", "output"] == "26 × 26 × 32"
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, 28, 28, 1))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    per_node = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
    # The profiler counts a multiplication and an addition, and the additions of biases and the like.
    twice = 2 * costs["multiply-accumulates"].sum()
    assert twice <= per_node.total_float_ops <= 1.15 * twice


def test_unknown_network():
    with pytest.raises(ValueError, match="one of shallow, deep, got 'wide'"):
        build("wide")


def test_same_seed_same_network():
    for first, second in zip(build("deep", seed=3).get_weights(), build("deep", seed=3).get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(build("deep", seed=3).get_weights()[0], build("deep", seed=4).get_weights()[0])


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


def test_the_second_time_it_is_read(one_epoch, few_digits, monkeypatch):
    model, folder = one_epoch
    monkeypatch.setenv("QKIT_DATA", str(folder))
    monkeypatch.setattr("qkit.network.cnn.train", lambda *args, **kwargs: pytest.fail("trained again"))
    again = trained("shallow", few_digits, epochs=1)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert again.curves == model.curves
    assert again.evaluate(few_digits.x_test[..., None] / 255.0, few_digits.y_test, verbose=0)[1] > 0.3


def test_training_again_gives_the_same_weights(one_epoch, few_digits):
    model, _ = one_epoch
    again = trained("shallow", few_digits, epochs=1)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 2}, {"name": "deep"}])
def test_other_settings_are_another_file(one_epoch, few_digits, monkeypatch, change):
    _, folder = one_epoch
    monkeypatch.setenv("QKIT_DATA", str(folder))
    before = kept(folder)
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    trained(**{"name": "shallow", "digits": few_digits, "epochs": 1} | change)
    assert len(kept(folder)) == len(before) + 1


def test_other_digits_are_another_file(one_epoch, few_digits, monkeypatch):
    _, folder = one_epoch
    monkeypatch.setenv("QKIT_DATA", str(folder))
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    before = kept(folder)
    flipped = with_training(few_digits, 255 - few_digits.x_train, few_digits.y_train)
    trained("shallow", flipped, epochs=1)
    assert len(kept(folder)) == len(before) + 1


def test_an_edit_of_the_code_is_another_file(few_digits, monkeypatch):
    before = recipe.kept_path("shallow", few_digits)
    monkeypatch.setattr(recipe.Path, "read_bytes", lambda path: b"edited")
    assert recipe.kept_path("shallow", few_digits) != before


def test_the_learners_random_numbers_are_left_alone(few_digits):
    random.seed(7)
    expected = random.random()
    random.seed(7)
    before = np.random.get_state()[1]  # noqa: NPY002 - the old, global generator is what must not change
    trained("shallow", few_digits, epochs=1)
    assert random.random() == expected
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_few_images_are_enough_and_too_few_are_said(few_digits):
    some = with_training(few_digits, few_digits.x_train[:200], few_digits.y_train[:200])
    assert len(trained("shallow", some, epochs=2).curves["val_accuracy"]) == 2
    with pytest.raises(ValueError, match="at least ten training images are needed, got 9"):
        trained("shallow", with_training(some, some.x_train[:9], some.y_train[:9]))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((0, 28, 28), np.uint8), ((28, 28), np.uint8), ((5, 28, 28, 1), np.uint8), ((5, 28, 28), np.float32)],
)
def test_no_images_to_predict(shape, dtype):
    with pytest.raises(ValueError, match=r"uint8 of shape \(n, 28, 28\) with at least one image, got"):
        predict(build("shallow"), np.ones(shape, dtype))


DAMAGE = {
    "nothing": b"",
    "not a zip": b"half a file",
    "other shapes": {"conv1/kernel": np.zeros(3), "conv1/bias": np.zeros(3)},
    "no curves": {"curve/loss": None},
    "not finite": {"dense1/bias": np.full(10, np.nan, np.float32)},
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_said_and_trained_again(few_digits, data_home, monkeypatch, content):
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    trained("shallow", few_digits)
    (path,) = kept(data_home)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        arrays = dict(np.load(path)) | content
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.warns(UserWarning, match=r"It is made again"):
        model = trained("shallow", few_digits)
    assert [array.shape for array in model.get_weights()] == [(3, 3, 1, 32), (32,), (5408, 10), (10,)]


def fake_training(model, digits, epochs, seed):
    model.curves = {curve: [0.1] * epochs for curve in recipe.CURVES}


def test_weights_are_those_of_the_network(few_digits, monkeypatch):
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    weights = trained_weights("deep", few_digits)
    again = trained_weights("deep", few_digits)
    model = trained("deep", few_digits)
    assert list(weights) == list(again) == ["conv1", "conv2", "dense1", "dense2"]
    for layer in weights:
        for ours, read, kept in zip(weights[layer], again[layer], model.get_layer(layer).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, kept)
            np.testing.assert_array_equal(read, kept)


def test_kept_weights_are_read_without_tensorflow(data_home):
    program = TRAIN.replace("x, y = draw_digits(5_500)", "import sys; x, y = draw_digits(5_500)")
    read = program.replace("import trained", "import trained_weights").replace(
        'trained("shallow"', 'trained_weights("shallow"'
    )
    read = read.replace(", epochs=1", "") + "print('tensorflow' in sys.modules)"
    train = program.replace(", epochs=1", "")
    for source, loaded in ((train, None), (read, "False")):
        result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=200, check=True)
        assert loaded is None or result.stdout.strip() == loaded


TRAIN = """
from qkit.digits import Digits, draw_digits
from qkit.network import trained
x, y = draw_digits(5_500)
trained("shallow", Digits(x, y, x[:10], y[:10], "stand-in digits", "a test"), epochs=1)
"""


def test_two_notebooks_train_once(data_home):
    processes = [subprocess.Popen([sys.executable, "-c", TRAIN], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "".join(outputs).count("Training shallow") == 1
    assert len(kept(data_home)) == 1


def test_two_processes_learn_the_same(tmp_path):
    """Bit for bit: seeds, deterministic kernels and a fixed number of threads."""
    found = []
    for folder in ("one", "two"):
        environment = os.environ | {"QKIT_DATA": str(tmp_path / folder)}
        subprocess.run([sys.executable, "-c", TRAIN], env=environment, check=True, timeout=200, capture_output=True)
        (path,) = kept(tmp_path / folder)
        found.append(dict(np.load(path)))
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name])


def test_a_folder_that_cannot_be_written_loses_nothing(few_digits, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QKIT_DATA", str(tmp_path / "file"))
    monkeypatch.setattr("qkit.network.cnn.train", fake_training)
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert list(trained_weights("shallow", few_digits)) == ["conv1", "dense1"]


def test_a_log_gets_plain_lines_and_no_bar():
    output = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, timeout=200)
    assert output.returncode == 0
    lines = output.stdout.splitlines()
    assert lines[0] == "Training shallow on stand-in digits."
    assert lines[1].startswith("epoch 1 of 1: training loss ")
    assert lines[2].startswith("shallow, trained on stand-in digits: ")
    assert "\r" not in output.stdout and len(lines) == 3
    assert output.stderr == ""
