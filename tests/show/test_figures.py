"""Figures: what is in them, that nothing is cut off, and that a learner's own style is left alone."""

import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from qkit.numeric import Accuracy, Mean, histogram_of, thresholds
from qkit.show import figures

RNG = np.random.default_rng(0)
FLOAT = {"float": Accuracy(95, 100)}
ACCURACIES = {"a": [Accuracy(90, 100), Accuracy(20, 100)], "b": [Accuracy(80, 100), Accuracy(60, 100)]}
IMAGES = RNG.integers(0, 256, (13, 28, 28), np.uint8)
LABELS = np.arange(13) % 10
PROBABILITIES = RNG.dirichlet(np.ones(10), 13)
HISTORY = {"loss": [1.0, 0.5], "val_loss": [0.8, 0.6], "accuracy": [0.7, 0.8], "val_accuracy": [0.75, 0.78]}
COUNTED = histogram_of(np.maximum(RNG.normal(size=1000), 0), bins=200, magnitude=False)
MAGNITUDES = histogram_of(RNG.normal(size=500), bins=64)
BEST = thresholds.mse(RNG.normal(size=500), bits=4)
KERNEL = np.array([[-1, 0, 1]] * 3)
BITS, THEORY = {"xlabel": "bits", "ylabel": "error", "log": "y"}, {"theory": [0.3, 0.06, 0.01]}
PICTURES = {
    "digit_grid": lambda: figures.digit_grid(IMAGES, LABELS, "MNIST"),
    "pixel_values": lambda: figures.pixel_values(IMAGES[0, :7, :5]),
    "digit_grid, few": lambda: figures.digit_grid(IMAGES[:3], ["7 → 1\n99.9 %"] * 3, "mistakes"),
    "ruler": lambda: figures.ruler([-0.9, 0.02, 1.0], 0.25),
    "convolution": lambda: figures.convolution(np.ones((5, 5)), KERNEL, np.zeros((3, 3)), 2, 2),
    "training_curves": lambda: figures.training_curves({"shallow": HISTORY, "deep": HISTORY}),
    "bytes_by_layer": lambda: figures.bytes_by_layer(["conv", "dense"], [400, 8000], [130, 2040]),
    "accuracy_intervals": lambda: figures.accuracy_intervals({"one": Accuracy(98, 100), "two": Accuracy(50, 100)}),
    "confusion": lambda: figures.confusion(LABELS, PROBABILITIES.argmax(axis=1)),
    "frontier": lambda: figures.frontier(
        {"files": [(900, Accuracy(99, 100)), (300, Accuracy(90, 100))], "codes": [(200, Accuracy(98, 100))]}
    ),
    "frontier, bits": lambda: figures.frontier(
        {"integers": [(8.5, Mean(0.0003, (-0.0001, 0.0007), 9)), (2.5, Mean(4.0, (3.9, 4.1), 9))]}
    ),
    "histograms": lambda: figures.histograms({name: COUNTED for name in "abcd"}, "weight"),
    "chosen": lambda: figures.chosen(MAGNITUDES, {"mse": BEST, "minmax": BEST}),
    "criterion": lambda: figures.criterion({"4 bits": BEST}, "mean squared error"),
    "curves": lambda: figures.curves([8, 2], ACCURACIES, xlabel="bits", reference=FLOAT),
    "curves, numbers": lambda: figures.curves([2, 3, 4], {"measured": [0.2, 0.06, 0.01]}, reference=THEORY, **BITS),
    "curves, long": lambda: figures.curves(
        None, {"a": np.geomspace(1, 9, 99)}, xlabel="step", ylabel="error", log="xy", reference={"best": 1}
    ),
}


def lines(picture) -> dict:
    return {line.get_label(): line for axes in picture.figure.axes for line in axes.lines}


def test_every_figure_is_tested_and_named():
    assert sorted({name.split(",")[0] for name in PICTURES}) == sorted(figures.__all__) == sorted(dir(figures))


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    picture = PICTURES[name]()
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == repr(picture) and len(picture.words) > 20
    pixels = np.asarray(Image.open(io.BytesIO(data["image/png"])).convert("RGB"))
    assert pixels.shape[1] <= 1000
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert np.all(border == 255), "something is cut off at the edge"
    for axes in picture.figure.axes:
        if axes.axison and len(axes.get_xticks()):
            assert axes.get_xlabel()
    texts = picture.figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
    assert min(text.get_fontsize() for text in texts) >= (7 if name == "pixel_values" else 9)
    assert PICTURES[name]().png() == data["image/png"], "another picture at the second time"


def test_figures_load_neither_pyplot_nor_tensorflow():
    heavy = "matplotlib.pyplot", "tensorflow", "keras", "ipywidgets", "scipy"
    program = (
        "import sys; from qkit.show import figures\n"
        f"figures.ruler([0.5], 1); print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_learners_style_is_left_alone():
    before = dict(matplotlib.rcParams)
    PICTURES["ruler"]()
    assert dict(matplotlib.rcParams) == before


def test_wrong_answers_are_drawn_with_their_intervals():
    (axes,) = figures.curves([8, 2], ACCURACIES, xlabel="bits", reference=FLOAT).figure.axes
    reference, _, a, b = axes.lines
    np.testing.assert_allclose(reference.get_ydata(), 0.05)
    np.testing.assert_allclose(a.get_xydata(), [[8, 0.1], [2, 0.8]])
    for line, bars, accuracies in zip((a, b), axes.collections, ACCURACIES.values(), strict=True):
        ends = np.sort([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, [sorted(1 - np.array(each.interval)) for each in accuracies])
        np.testing.assert_array_equal(bars.get_color()[0][:3], to_rgb(line.get_color()))
    assert axes.xaxis_inverted() and axes.get_xticks().tolist() == [8, 2]


def test_a_frontier_reaches_as_far_as_its_points():
    (axes,) = PICTURES["frontier, bits"]().figure.axes
    low, high = axes.transData.transform([(2.5, -0.0001), (8.5, 4.1)])
    start, end = axes.bbox.get_points()
    assert np.all(start < low) and np.all(high < end)
    assert np.all(high - low > 0.85 * (end - start)), "the points take a part of the axes only"


def test_words_of_curves_tell_both_ends():
    said = (
        "Wrong answers against bits. float: 95.00 % right; a: 90.00 % right at 8, 20.00 % at 2; b: 80.00 % right at 8"
    )
    assert PICTURES["curves"]().words.startswith(said)
    said = "Error against bits. measured: 0.2 at 2, 0.01 at 4, 0.67 and 1.00 times theory."
    assert PICTURES["curves, numbers"]().words == said
    assert PICTURES["curves, long"]().words == "Error against step. a: 1 at 1, 9 at 99."


def test_curves_of_numbers_are_drawn_where_they_are():
    drawn = lines(PICTURES["curves, numbers"]())
    np.testing.assert_allclose(drawn["measured"].get_xydata(), [[2, 0.2], [3, 0.06], [4, 0.01]])
    np.testing.assert_allclose(drawn["theory"].get_ydata(), THEORY["theory"])
    picture = figures.curves(None, {"a": [3, 2], "b": [3, 2, 1]}, xlabel="step", ylabel="error", reference={"best": 1})
    assert lines(picture)["b"].get_xydata().tolist() == [[1, 3], [2, 2], [3, 1]]
    assert lines(picture)["a"].get_xdata().tolist() == [1, 2]
    assert set(lines(picture)["best"].get_ydata()) == {1}


def test_accuracies_reach_as_far_as_intervals_do_and_up_to_guessing_only_where_one_is_low():
    for right, reference, top in ((9_800, 9_900, 0.05), (5_000, 9_900, 1.1), (9_800, 9_500, 0.06)):
        drawn = {"a": [Accuracy(9_900, 10_000), Accuracy(right, 10_000)]}
        picture = figures.curves([8, 2], drawn, xlabel="bits", reference={"float": Accuracy(reference, 10_000)})
        best, worst = 1 - Accuracy(9_900, 10_000).interval[1], 1 - Accuracy(min(right, reference), 10_000).interval[0]
        bottom, end = picture.figure.axes[0].get_ylim()
        assert bottom < best < worst < end <= top
        assert ("guessing" in lines(picture)) == (right == 5_000)
        bottom, _ = figures.curves([8, 2], drawn, xlabel="bits").figure.axes[0].get_ylim()
        assert bottom < best


def test_no_two_curves_look_the_same():
    for points in (2, 30):
        many = {str(i): np.arange(points) + i for i in range(16)}
        drawn = list(lines(figures.curves(None, many, xlabel="x", ylabel="y")).values())
        assert len({line.get_color() for line in drawn[:8]}) == 8
        if points == 2:
            assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 16
    assert {line.get_linestyle() for line in drawn} >= {"-", "--", "-.", ":"}


def test_a_minimum_is_marked_where_it_is():
    on_a_grid = thresholds.mse([-1.0, 0.0, 1.0], bits=2)
    assert on_a_grid.curve[-1] == 0
    (axes,) = figures.criterion({"ten": BEST, "zero": on_a_grid}, "error").figure.axes
    curve, mark, other = axes.lines  # none marks the 0
    assert mark.get_xydata().tolist() == [[BEST.value, BEST.curve.min()]]
    assert len(curve.get_xdata()) == 2048 and len(other.get_xdata()) < 2048


def test_the_threshold_of_each_method_has_a_colour_of_its_own():
    drawn = lines(figures.chosen(MAGNITUDES, {str(i): BEST for i in range(8)})).values()
    assert len({line.get_color() for line in drawn}) == 8
    assert {tuple(line.get_xdata()) for line in drawn} == {(BEST.value, BEST.value)}


def test_without_mistakes():
    assert figures.digit_grid(IMAGES[:0], [], "mistakes").words.startswith("mistakes: 0 images")
    assert figures.confusion(LABELS, LABELS).words.endswith("0 are wrong.")


def test_words_say_what_the_figure_shows():
    assert PICTURES["digit_grid, few"]().words.endswith("its label: 7 → 1 99.9 %, 7 → 1 99.9 %, 7 → 1 99.9 %.")
    words = figures.confusion(np.array([3, 3, 5]), [3, 5, 5]).words
    assert "2 on the diagonal are right, 1 are wrong" in words and "a 3 called 5, 1 times" in words
    words = figures.pixel_values(np.eye(3, dtype=int)).words
    assert "3 rows by 3 columns" in words and words.endswith("3 of 9 pixels have ink.")


def test_what_cannot_be_drawn_is_refused_by_its_name():
    for call, message in (
        (lambda: figures.confusion(LABELS / 1, LABELS), "labels must be whole numbers from 0 to 9"),
        (lambda: figures.confusion(LABELS, PROBABILITIES), "predicted must be whole numbers from 0 to 9"),
        (lambda: figures.confusion(LABELS, LABELS[:3]), "predicted must be whole numbers from 0 to 9, one for each"),
        (lambda: figures.confusion(LABELS, LABELS + 1), "got int64 of shape (13,)"),
        (lambda: figures.pixel_values(IMAGES), "image must be whole numbers from 0 to 255 (rows, columns)"),
        (lambda: figures.pixel_values(np.full((2, 2), -1)), "got int64 of shape (2, 2)"),
        (lambda: figures.pixel_values(IMAGES[0] / 255), "got float64 of shape (28, 28)"),
        (lambda: figures.ruler([1.0, np.nan], 1), "values must hold finite numbers"),
        (lambda: figures.ruler(0.5, 0), "scale must be large enough for a ruler of 100 marks, got 0 for [0.5]"),
        (lambda: figures.ruler([1.0], np.nan), "scale must be large enough for a ruler of 100 marks, got nan"),
        (lambda: figures.ruler([1.0, 1e9], 0.1), "scale must be large enough for a ruler of 100 marks, got 0.1"),
        (lambda: figures.curves([8], {"a": [1, 2]}, xlabel="bits"), "x and y must have same first dimension"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


@pytest.mark.parametrize(
    "empty", [thresholds.minmax([1.0, 2.0]), thresholds.mse(np.zeros(3)), thresholds.kl(np.ones(3))]
)
def test_what_has_no_curve_is_named(empty):
    with pytest.raises(ValueError, match="'empty' has no curve to draw"):
        figures.criterion({"best": BEST, "empty": empty}, "error")
