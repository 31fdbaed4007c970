"""The closing project: hidden images are new, conditions are met or not for the right reason, no file raises."""

import gzip
import re
from dataclasses import replace

import numpy as np
import pytest

from qkit.digits import Digits
from qkit.network import build, convert, predict, project
from qkit.network.backend import keras, quiet, tf
from qkit.network.project import Brief, hand_in, hidden
from qkit.numeric import Accuracy, Paired
from tests.network.models import L, randomized, sequential


@pytest.fixture(scope="module")
def easy(shallow, few_digits):
    """A brief that an int8 file meets."""
    return Brief("Easy", shallow, few_digits, 60_000, 20, images=few_digits.x_train[:100])


@pytest.fixture(scope="module")
def file(shallow_files):
    return shallow_files["int8"]


def conditions(report):
    return {condition.name: condition for condition in report.conditions}


def test_hidden_images_are_the_test_images_changed_a_little(few_digits):
    images, labels = hidden(few_digits, 3)
    again, _ = hidden(few_digits, 3)
    others, _ = hidden(few_digits, 4)
    assert images.dtype == np.uint8 and images.shape == few_digits.x_test.shape
    np.testing.assert_array_equal(images, again)
    assert not np.array_equal(images, others)
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(few_digits.y_test))
    stored = {image.tobytes() for image in np.concatenate([few_digits.x_train, few_digits.x_test])}
    assert not stored & {image.tobytes() for image in images}


def test_hidden_images_are_moved_turned_and_dimmed_as_promised():
    """A bright square and a dark frame: its weight, its centre and its directions can be measured."""
    square = np.zeros((300, 28, 28), np.uint8)
    square[:, 10:18, 8:20] = 240
    labels = np.arange(300) % 10
    images, _ = hidden(Digits(square, labels, square, labels, "squares", "drawn here"))
    light = images.sum(axis=(1, 2)) / square[0].sum()
    assert 0.78 < light.min() < 0.82 and 0.98 < light.max() < 1.02
    places, ink = np.indices((28, 28)) - 13.5, images / images.sum(axis=(1, 2), keepdims=True)
    centre = np.einsum("nij,dij->nd", ink, places)
    assert np.all(np.abs(centre) < 1.3) and np.all(np.abs(centre).max(axis=0) > 0.9)
    apart = places - centre[:, :, None, None]
    spread = np.einsum("nij,ndij,neij->nde", ink, apart, apart)
    angle = np.rad2deg(0.5 * np.arctan2(2 * spread[:, 0, 1], spread[:, 1, 1] - spread[:, 0, 0]))
    assert 9 < np.abs(angle).max() < 11 and abs(angle.mean()) < 1.5


def test_no_more_images_than_it_says():
    digits = Digits(*[np.zeros((6_000, 28, 28), np.uint8), np.zeros(6_000, np.uint8)] * 2, "blank", "drawn here")
    assert len(hidden(digits)[0]) == project.IMAGES


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_seeds_that_are_none(few_digits, seed):
    with pytest.raises(ValueError, match="seed must be an integer from 0"):
        hidden(few_digits, seed)


def test_a_report_has_what_was_measured(easy, file):
    report = hand_in(easy, file, seed=1)
    images, labels = hidden(easy.digits, 1)
    answers = file.predict(images).argmax(axis=1)
    assert report.met and list(conditions(report)) == ["size", "accuracy", "numbers"]
    assert report.size == file.size
    assert report.accuracy == Accuracy.of(answers, labels)
    assert report.paired == Paired.of(predict(easy.network, images).argmax(axis=1), answers, labels)
    said = str(report)
    assert "seed 1" in said and said.count("✓") == 3 and "→ " not in said.replace("float → file", "")
    assert f"{file.size:,} bytes" in said and str(report.accuracy) in said


def test_bytes_and_paths_are_files_too(easy, file, tmp_path):
    file.save(tmp_path / "digits.tflite")
    reports = {str(hand_in(easy, one)) for one in (file, file.content, tmp_path / "digits.tflite")}
    assert reports == {str(hand_in(easy, str(tmp_path / "digits.tflite")))}


def test_size_is_that_of_the_file_or_packed(easy, file):
    packed = len(gzip.compress(file.content, mtime=0))
    assert packed < file.size
    for brief, size in ((easy, file.size), (replace(easy, packed=True), packed)):
        for most in (size - 1, size):
            report = hand_in(replace(brief, most_bytes=most), file)
            assert report.size == size and conditions(report)["size"].met is (most == size)
            notebook = "notebook 10" if brief.packed else "notebook 05"
            assert (f"→ size: {notebook}" in str(report)) is (most < size)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("float32", "float32 in image"),
        ("dynamic", "float32 in"),
        ("float16", "float16 in"),
        ("int8", ""),
        ("int16x8", ""),
    ],
)
def test_numbers_are_integers_from_end_to_end_or_not(easy, shallow_files, kind, found):
    numbers = conditions(hand_in(easy, shallow_files[kind]))["numbers"]
    assert numbers.met is (found == "") and (found or "none of") in numbers.found


def test_numbers_may_be_any_where_the_brief_says_nothing_of_them(easy, file):
    assert "numbers" not in conditions(hand_in(replace(easy, integers=False), file))


@pytest.mark.parametrize(
    ("between", "ends", "found"),
    [([], tf.float32, "float32 in image input"), ([L.Lambda(tf.floor)], tf.int8, "float32 in dequantize output")],
)
def test_integers_inside_or_at_the_ends_are_not_enough(easy, between, ends, found):
    converter = tf.lite.TFLiteConverter.from_keras_model(sequential((28, 28, 1), L.Flatten(), *between, L.Dense(10)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None, ..., None] / np.float32(255)] for image in easy.images)
    converter.inference_input_type = converter.inference_output_type = ends
    with quiet():
        numbers = conditions(hand_in(easy, converter.convert()))["numbers"]
    assert not numbers.met and found in numbers.found


@pytest.mark.parametrize(
    ("only_float", "only_file", "points", "met", "look"),
    [
        (20, 20, 0.5, True, "so few images"),
        (20, 20, 0.1, False, "so few images"),
        (60, 10, 0.5, False, "to win back"),
        (4_000, 0, 0.5, False, "something broke"),
        (0, 0, 0.05, True, ""),
        (0, 0, 0.03, False, "so few images"),
        (0, 0, 0.0393, True, ""),  # the low end is -0.0392, to be seen as -0.04
        (20, 20, 0.2505, False, "so few images"),  # -0.2509, to be seen as -0.25
    ],
)
def test_accuracy_is_shown_by_the_low_end(only_float, only_file, points, met, look):
    paired = Paired(only_float, only_file, 5_000)
    condition = project._accuracy(Accuracy(4_900, 5_000), paired, points)
    assert condition.met is met is (100 * paired.interval[0] > -points)
    assert look in condition.look


def of_other_answers(easy, *layers):
    network = randomized(sequential((28, 28, 1), *layers))
    return convert(network, "int8", easy.images)


def test_whatever_is_handed_in_gets_a_report(easy, file, tmp_path):
    small = randomized(sequential((14, 14, 1), L.Flatten(), L.Dense(10)))
    of_small = convert(small, "int8", np.zeros((5, 14, 14), np.uint8))
    broken = bytearray(file.content)
    broken[len(broken) // 2 :] = b""
    never = {
        "a file is wanted": [..., None, 5, easy.network, [file]],
        "not a .tflite file": [b"", b"hello", b"\x00" * 5_000, np.random.default_rng(0).bytes(60_000)],
        "damaged or cut off": [bytes(broken)],
        "No such file": [str(tmp_path / "nowhere.tflite"), tmp_path / "nowhere.tflite"],
        "uint8 of shape \\(n, 14, 14\\)": [of_small],
        "an image wants ten finite numbers": [
            of_other_answers(easy, L.Flatten(), L.Dense(5)),
            of_other_answers(easy, L.Conv2D(10, 3, padding="same")),
        ],
    }
    for sentence, files in never.items():
        for one in files:
            report = hand_in(easy, one)
            assert not report.met and report.accuracy is None and report.size is None
            assert list(conditions(report)) == ["runs"] and re.search(sentence, str(report)), str(report)
            assert "→ runs: notebook 05" in str(report)
    assert not hand_in(easy, tmp_path).met  # a folder


def test_another_network_may_be_handed_in(easy, few_digits):
    other = keras.Sequential([L.Input((28, 28)), L.Flatten(), L.Dense(10)])
    report = hand_in(easy, convert(other, "int8", easy.images))
    assert conditions(report)["size"].met and not conditions(report)["accuracy"].met
    assert "something broke" in str(report)


def test_a_brief_says_what_is_given_and_wanted(easy, few_digits):
    assert str(easy) == (
        "Easy\n"
        "  given     a float network of 54,410 parameters, 100 images without labels\n"
        "  size      at most 60,000 bytes\n"
        "  accuracy  shown to lose less than 20 points against float\n"
        "  numbers   integers from end to end"
    )
    said = str(replace(easy, packed=True, integers=False, labels=few_digits.y_train[:100]))
    assert "packed by gzip" in said and "with labels" in said and "numbers" not in said
    assert "no images" in str(replace(easy, images=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 0}, "points must be"),
        ({"points": np.nan}, "points must be"),
        ({"points": 101}, "points must be"),
        ({"network": sequential((14, 14, 1), L.Flatten(), L.Dense(10))}, "images must be"),
    ],
)
def test_briefs_that_cannot_be(easy, change, message):
    with pytest.raises(ValueError, match=message):
        replace(easy, **change)


def test_the_three_briefs_are_given_what_they_say(few_digits, monkeypatch):
    monkeypatch.setattr(project, "trained", lambda name, digits, say: build(name))
    first, second, third = (project.brief(number, few_digits) for number in (1, 2, 3))
    assert first.labels is None and len(first.images) == 1_000
    assert second.labels is None and len(second.images) == 100
    assert third.labels is few_digits.y_train and third.images is few_digits.x_train and third.packed
    assert all(brief.integers for brief in (first, second, third))
    for number in (0, 4, 1.0, "1"):
        with pytest.raises(ValueError, match="number must be an integer from 1 to 3"):
            project.brief(number, few_digits)
