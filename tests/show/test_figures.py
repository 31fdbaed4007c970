"""Figures: what is in them, that nothing is cut off, and that a learner's own style is left alone."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from qkit.numeric import Accuracy, histogram_of, thresholds
from qkit.show import figures

RNG = np.random.default_rng(0)
ACCURACIES = {"a": [Accuracy(90, 100), Accuracy(20, 100)], "b": [Accuracy(80, 100), Accuracy(60, 100)]}
IMAGES = RNG.integers(0, 256, (23, 28, 28), np.uint8)
LABELS = np.arange(23) % 10
PROBABILITIES = RNG.dirichlet(np.ones(10), 23)
CURVES = {"loss": [1.0, 0.5], "val_loss": [0.8, 0.6], "accuracy": [0.7, 0.8], "val_accuracy": [0.75, 0.78]}
COUNTED = histogram_of(np.maximum(RNG.normal(size=1000), 0), bins=200, magnitude=False)
KERNEL = np.array([[-1, 0, 1]] * 3)
PICTURES = {
    "digit_grid": lambda: figures.digit_grid(IMAGES, LABELS, "MNIST"),
    "pixel_values": lambda: figures.pixel_values(IMAGES[0]),
    "mistakes": lambda: figures.mistakes(IMAGES, LABELS, PROBABILITIES),
    "ruler": lambda: figures.ruler(np.array([-0.9, 0.02, 1.0]), 0.25),
    "convolution": lambda: figures.convolution(np.ones((5, 5)), KERNEL, np.zeros((3, 3)), 2, 2),
    "training_curves": lambda: figures.training_curves({"shallow": CURVES, "deep": CURVES}),
    "accuracy_intervals": lambda: figures.accuracy_intervals({"one": Accuracy(98, 100), "two": Accuracy(50, 100)}),
    "confusion": lambda: figures.confusion(LABELS, PROBABILITIES.argmax(axis=1)),
    "bytes_by_layer": lambda: figures.bytes_by_layer(["conv", "dense"], [400, 8000], [130, 2040]),
}
PICTURES |= {
    "histograms": lambda: figures.histograms(
        {"one": COUNTED, "two": COUNTED, "three": COUNTED, "four": COUNTED}, "weight"
    ),
    "clipping_and_rounding": lambda: figures.clipping_and_rounding([1, 2, 3], [0.5, 0.2, 0.1], [0.1, 0.2, 0.4]),
    "error_by_bits": lambda: figures.error_by_bits([2, 3, 4], [0.2, 0.06, 0.01], [0.3, 0.06, 0.01]),
    "accuracy_by_bits": lambda: figures.accuracy_by_bits([8, 2], ACCURACIES, Accuracy(95, 100)),
}
PICTURES["sqnr_and_accuracy"] = lambda: figures.sqnr_and_accuracy(
    [8, 2], {"a": [40, 2], "b": [38, -1]}, ACCURACIES, Accuracy(95, 100)
)
COUNTED_MAGNITUDES = histogram_of(RNG.normal(size=500), bins=64)
TEN = thresholds.mse(RNG.normal(size=500), bits=4)
PICTURES |= {
    "chosen": lambda: figures.chosen(COUNTED_MAGNITUDES, {"mse": TEN, "minmax": TEN}),
    "criterion": lambda: figures.criterion({"4 bits": TEN}, "mean squared error"),
    "descent": lambda: figures.descent({"from the largest": [3.0, 2.0, 1.1]}, 1.0),
}
each = pytest.mark.parametrize("name", PICTURES)


def test_every_figure_is_tested():
    assert sorted(PICTURES) == sorted(figures.__all__)


@each
def test_png_and_words(name):
    picture = PICTURES[name]()
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(picture) and len(picture.words) > 20
    pixels = np.asarray(Image.open(io.BytesIO(data["image/png"])).convert("RGB"))
    assert pixels.shape[1] <= 1000
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert np.all(border == 255), "something is cut off at the edge"


@each
def test_axes_are_labelled_where_there_are_ticks(name):
    for axes in PICTURES[name]().figure.axes:
        if axes.axison and len(axes.get_xticks()):
            assert axes.get_xlabel()


@each
def test_text_is_large_enough_to_read(name):
    from matplotlib.text import Text

    texts = PICTURES[name]().figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
    assert min(text.get_fontsize() for text in texts) >= (7 if name == "pixel_values" else 9)


@each
def test_same_bytes_twice(name):
    assert PICTURES[name]().png() == PICTURES[name]().png()


def test_the_learners_style_is_left_alone():
    before = dict(matplotlib.rcParams)
    PICTURES["ruler"]()
    assert dict(matplotlib.rcParams) == before


def test_without_mistakes():
    perfect = np.eye(10)[LABELS]
    assert figures.mistakes(IMAGES, LABELS, perfect).words.startswith("The surest of 0 mistakes")


def test_without_confusion():
    assert figures.confusion(LABELS, LABELS).words.endswith("0 are wrong.")


def test_a_minimum_is_marked_where_it_is():
    on_a_grid = thresholds.mse([-1.0, 0.0, 1.0], bits=2)
    assert on_a_grid.curve[-1] == 0
    (axes,) = figures.criterion({"ten": TEN, "zero": on_a_grid}, "error").figure.axes
    curve, mark, other = axes.lines  # none marks the 0
    assert mark.get_xydata().tolist() == [[TEN.value, TEN.curve.min()]]
    assert len(curve.get_xdata()) == 2048 and len(other.get_xdata()) < 2048


NO_CURVE = {
    "minmax": thresholds.minmax([1.0, 2.0]),
    "average": thresholds.moving_average([[1.0], [2.0]]),
    "zeros": thresholds.mse(np.zeros(3)),
    "constant": thresholds.kl(np.ones(3)),
}


@pytest.mark.parametrize("name", NO_CURVE)
def test_without_a_curve(name):
    with pytest.raises(ValueError, match=f"'{name}' has no curve to draw: Threshold: "):
        figures.criterion({"ten": TEN, name: NO_CURVE[name]}, "error")


def test_wrong_answers_are_drawn_with_their_intervals():
    (axes,) = figures.accuracy_by_bits([8, 2], ACCURACIES, Accuracy(95, 100)).figure.axes
    reference, _, a, b = axes.lines
    np.testing.assert_allclose(reference.get_ydata(), 0.05)
    np.testing.assert_allclose(a.get_xydata(), [[8, 0.1], [2, 0.8]])
    for line, bars, accuracies in zip((a, b), axes.collections, ACCURACIES.values(), strict=True):
        ends = np.sort([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, [sorted(1 - np.array(each.interval)) for each in accuracies])
        np.testing.assert_array_equal(bars.get_color()[0][:3], to_rgb(line.get_color()))


def test_words_say_what_the_figure_shows():
    words = figures.confusion(np.array([3, 3, 5]), np.array([3, 5, 5])).words
    assert "2 on the diagonal are right, 1 are wrong" in words and "a 3 called 5, 1 times" in words
