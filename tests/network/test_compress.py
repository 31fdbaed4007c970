"""Pruning, shared values and distillation: what is trained, what is kept, and that each has its control."""

import numpy as np
import pytest

from qkit.digits import Digits, draw_digits
from qkit.network import build, compress, predict, train, trained
from qkit.network.backend import keras
from qkit.network.chain import kernel_of
from tests.network.models import MODELS


@pytest.fixture
def kept(kept_folder, shallow, monkeypatch):
    """The folder where the shallow network, and what is made of it, is kept for the whole session."""
    monkeypatch.setenv("QKIT_DATA", str(kept_folder))
    return kept_folder


def kernels(model):
    return {layer.name: kernel_of(layer).numpy() for layer in model.layers if kernel_of(layer) is not None}


def with_training(digits, x_train, y_train):
    return Digits(x_train, y_train, digits.x_test, digits.y_test, digits.name, "others to train on")


def right(model, digits):
    return np.mean(predict(model, digits.x_test).argmax(axis=1) == digits.y_test)


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.99])
def test_one_threshold_for_all_layers(share):
    for model in (build("deep"), *(make() for make in MODELS.values())):
        if not kernels(model):
            continue
        found = kernels(model)
        shares = compress.shares_below(model, share)
        assert shares.keys() == found.keys()
        everything = np.sort(np.concatenate([np.abs(kernel).ravel() for kernel in found.values()]))
        below = sum(shares[name] * kernel.size for name, kernel in found.items())
        assert abs(below - share * len(everything)) <= 1
        for name, kernel in found.items():
            smallest_left = np.sort(np.abs(kernel), axis=None)[round(shares[name] * kernel.size) :]
            assert np.all(smallest_left >= everything[max(0, round(below) - 1)])


def test_what_cannot_be_is_refused(few_digits, monkeypatch):
    monkeypatch.setattr(compress.cnn, "trained", None)  # nothing is trained first
    for share in (-0.1, 1.0, 80, np.nan):
        for ask in (compress.shares_below, lambda model, share: compress.pruned("shallow", few_digits, share)):
            with pytest.raises(ValueError, match="from 0 to below 1, got"):
                ask(build("shallow"), share)
    for values in (1, 4.5):
        with pytest.raises(ValueError, match="values must be an integer from 2 to 256, got"):
            compress.clustered("shallow", few_digits, values)
    for temperature in (0.01, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"temperature must be from 0\.1 to 100, got"):
            compress.distilled("small", few_digits, "shallow", temperature)
    for smaller in (compress.pruned, compress.clustered):
        with pytest.raises(ValueError, match="separable has depthwise layers, whose weights"):
            smaller("separable", few_digits, 2)
    with pytest.raises(ValueError, match="name must be one of"):
        compress.pruned("large", few_digits, 0.5)


def test_a_layer_is_not_pruned_as_a_whole(kept, few_digits):
    with pytest.raises(ValueError, match=r"with a share of 0\.9999 a layer has no weights left"):
        compress.pruned("shallow", few_digits, 0.9999)


def test_pruned_weights_are_0_and_the_others_go_on_training(kept, few_digits):
    start = trained("shallow", few_digits)
    pruned = compress.pruned("shallow", few_digits, 0.8)
    for name, share in compress.shares_below(start, 0.8).items():
        kernel = kernels(pruned)[name]
        assert np.sum(kernel == 0) == round(share * kernel.size)
        left = kernel != 0
        assert np.mean(kernel[left] == kernels(start)[name][left]) < 0.1
    assert [type(layer) for layer in pruned.layers] == [type(layer) for layer in start.layers]
    assert right(pruned, few_digits) > right(start, few_digits) - 0.03


def test_the_share_is_reached_however_short_the_training(few_digits, monkeypatch):
    monkeypatch.setattr(compress.cnn, "trained", lambda name, *_, **__: build(name))
    few = with_training(few_digits, few_digits.x_train[:90], few_digits.y_train[:90])
    found = kernels(compress.pruned("small", few, 0.5))  # in a single batch
    for name, share in compress.shares_below(build("small"), 0.5).items():
        assert np.sum(found[name] == 0) == round(share * found[name].size)


def test_nothing_pruned_is_the_control(few_digits, monkeypatch):
    monkeypatch.setattr(compress.cnn, "trained", lambda name, *_, **__: build(name))
    some = with_training(few_digits, few_digits.x_train[:300], few_digits.y_train[:300])
    control, same = compress.pruned("small", some, 0), build("small")
    train(same, some, epochs=1)
    for found, expected in zip(control.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_clustered_weights_share_values(kept, few_digits):
    clustered = compress.clustered("shallow", few_digits, values=4, images=1_000)
    for kernel in kernels(clustered).values():
        assert 2 <= len(np.unique(kernel)) <= 4
    assert right(clustered, few_digits) > 0.8


def test_a_student_learns_from_the_teacher_alone(kept, few_digits, shallow, monkeypatch):
    monkeypatch.setattr(compress.cnn, "trained", lambda *_, **__: shallow)
    student = compress.distilled("small", few_digits, "shallow", epochs=2)
    wrong_labels = with_training(few_digits, few_digits.x_train, few_digits.y_train[::-1])
    same = compress.distilled("small", wrong_labels, "shallow", epochs=2)
    for found, expected in zip(student.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert right(student, few_digits) > 0.8
    assert student.layers[-1].activation is keras.activations.softmax


def test_at_temperature_1_a_sure_teacher_teaches_what_labels_do(kept, few_digits, monkeypatch):
    some = with_training(few_digits, few_digits.x_train[:1_000], few_digits.y_train[:1_000])
    monkeypatch.setattr(compress.cnn, "trained", lambda *_, **__: None)
    monkeypatch.setattr(compress.cnn, "predict", lambda *_: np.eye(10, dtype=np.float32)[some.y_train[:900]])
    student, control = compress.distilled("small", some, temperature=1, epochs=2), build("small")
    train(control, some, epochs=2)
    for found, expected in zip(student.get_weights(), control.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_is_kept_is_read(kept, few_digits, monkeypatch):
    make = {
        "pruned": lambda: compress.pruned("shallow", few_digits, 0.8),
        "clustered": lambda: compress.clustered("shallow", few_digits, 4, images=1_000),
    }
    first = {name: network().get_weights() for name, network in make.items()}
    files = set(kept.rglob("*.npz"))
    monkeypatch.setattr(compress.cnn, "train", None)
    for name, network in make.items():
        for found, expected in zip(network().get_weights(), first[name], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert set(kept.rglob("*.npz")) == files


def test_everything_that_matters_is_another_file(few_digits, monkeypatch):
    paths = []
    monkeypatch.setattr(compress.cnn, "kept_model", lambda model, path, *_: paths.append(path))
    for share in (0, 0.8, 0.80001):
        compress.pruned("small", few_digits, share)
    for settings in ({"values": 4}, {"values": 4, "images": 9}, {"values": 5}):
        compress.clustered("small", few_digits, **settings)
    for settings in ({}, {"teacher": "small"}, {"temperature": 4.0000001}, {"seed": 1}, {"epochs": 5}):
        compress.distilled("small", few_digits, **settings)
    assert len(set(paths)) == len(paths)
    compress.distilled("small", few_digits, "deep", 4)  # as 4.0 is
    assert paths[-1] == paths[6]
    monkeypatch.setitem(compress.recipe.TRAINING, "deep", compress.recipe.Training(epochs=5))
    compress.distilled("small", few_digits)  # by a teacher trained otherwise
    assert paths[-1] not in paths[:-1]


TINY = {"pruned": 0.0471608, "clustered": 0.0619745, "distilled": 0.0616736}
"""The mean of |weights| of the small network, after each kind of training on 300 images."""


def test_the_version_goes_up_with_what_is_trained():
    x, y = draw_digits(330)
    few = Digits(x, y, x, y, "stand-in digits", "a test")
    networks = {
        "pruned": compress.pruned("small", few, 0.5),
        "clustered": compress.clustered("small", few, 8, images=256),
        "distilled": compress.distilled("small", few, "small", epochs=1),
    }
    found = {
        name: float(np.mean(np.abs(np.concatenate([each.ravel() for each in network.get_weights()]))))
        for name, network in networks.items()
    }
    assert found == pytest.approx(TINY, rel=1e-3), (
        "Training gives other weights than before. If that is meant, raise VERSION in qkit/network/compress.py, or "
        f"learners keep the old ones; then store these numbers: {found}"
    )
