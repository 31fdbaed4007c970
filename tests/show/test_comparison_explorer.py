"""The explorer that compares two methods: its numbers against their definitions, its words, its picture."""

import re
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from qkit.numeric import Accuracy, Paired
from qkit.show import explorers
from qkit.show.canvas import Stage, framed, p_value, points
from qkit.show.explorers.comparison import Measured
from qkit.show.explorers.comparison_picture import GAP, TILE, Parts

RNG = np.random.default_rng(21)
LABELS = RNG.integers(0, 10, 500).astype(np.uint8)
IMAGES = RNG.integers(0, 256, (500, 12, 10)).astype(np.uint8)
BITS = [(2, 8), (4, 4), (8, 8)]
SHARES = {"float": 0.02, "PTQ": 0.2, "QAT": 0.06}
"""How many answers of each method are wrong."""


@dataclass(frozen=True)
class Cell:
    """As a study of whole networks records its predictions."""

    network: str
    method: str
    weight_bits: int
    activation_bits: int
    seed: int


def answers(wrong: float) -> np.ndarray:
    """Right answers but for a share."""
    other = (LABELS + RNG.integers(1, 10, 500)) % 10
    return np.where(RNG.random(500) < wrong, other, LABELS).astype(np.uint8)


def study(networks=("deep", "shallow"), bits=BITS, seeds=(0, 1)) -> SimpleNamespace:
    predicted = {}
    for network in networks:
        for seed in seeds:
            predicted[Cell(network, "float", 32, 32, seed)] = answers(SHARES["float"])
            for method in ("PTQ", "QAT"):
                predicted |= {Cell(network, method, *pair, seed): answers(SHARES[method]) for pair in bits}
    return SimpleNamespace(labels=LABELS, predicted=predicted)


STUDY = study()


def stage_of(results, **chosen):
    measured = Measured(results)
    parts = Stage(9, 5.9, lambda figure: Parts(figure, IMAGES, measured, 8)).parts
    compared = measured.compare(
        **{"network": "deep", "bits": (2, 8), "first": "PTQ", "second": "QAT", "seed": 0} | chosen
    )
    parts.show(compared)
    return parts, compared


def predicted_by(first: np.ndarray, second: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(
        labels=LABELS,
        predicted={Cell("deep", "PTQ", 2, 8, 0): first, Cell("deep", "QAT", 2, 8, 0): second},
    )


def spoilt(*wrong: int) -> np.ndarray:
    """All answers right but those of some images."""
    predicted = LABELS.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
    return predicted


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("bits", BITS)
def test_numbers_are_those_of_the_paired_images(bits, seed):
    compared = Measured(STUDY).compare("shallow", bits, "PTQ", "QAT", seed)
    first, second = (STUDY.predicted[Cell("shallow", method, *bits, seed)] for method in ("PTQ", "QAT"))
    assert compared.test == Paired.of(first, second, LABELS)
    assert compared.p_value == compared.test.p_value
    assert compared.differs == (compared.p_value < 0.05)
    for images, only, other in ((compared.lost, first, second), (compared.won, second, first)):
        assert images.tolist() == [i for i in range(500) if only[i] == LABELS[i] != other[i]]
    for digit in range(10):
        for counts, images in zip(compared.classes, (compared.lost, compared.won), strict=True):
            assert counts[digit] == sum(LABELS[i] == digit for i in images)
    assert compared.accuracies["PTQ"][seed] == Accuracy.of(first, LABELS)
    assert set(compared.paired) == {0, 1}


def test_float_networks_stand_beside_all_bits():
    measured = Measured(STUDY)
    assert measured.bits == BITS
    found = [measured.compare("deep", bits, "float", "QAT", 0).accuracies["float"] for bits in BITS]
    assert found[0] == found[1] == found[2]
    assert found[0][1] == Accuracy.of(STUDY.predicted[Cell("deep", "float", 32, 32, 1)], LABELS)


def test_words_say_gain_test_and_seeds():
    explorer = explorers.comparison(STUDY, IMAGES, network="shallow", bits=(4, 4), seed=1)
    compared = Measured(STUDY).compare("shallow", (4, 4), "PTQ", "QAT", 1)
    value = {method: 100 * compared.accuracies[method][1].value for method in ("PTQ", "QAT")}
    assert f"PTQ {value['PTQ']:.2f} % right, QAT {value['QAT']:.2f} %." in explorer.words
    assert "shallow, 4-bit weights, 4-bit activations, seed 1, 500 images" in explorer.words
    assert f"{len(compared.won)} images only QAT gets right, {len(compared.lost)} only PTQ" in explorer.words
    assert "p < 0.0001, a difference." in explorer.words
    assert f"{compared.classes[1].max()}." in explorer.words
    gains = [points(compared.paired[seed].gain) for seed in (0, 1)]
    assert f"Gains with seeds 0, 1: {gains[0]}, {gains[1]} points." in explorer.words


def test_five_to_nothing_shows_no_difference_and_six_to_nothing_does():
    five = explorers.comparison(predicted_by(spoilt(*range(5)), LABELS), IMAGES)
    assert "+1.00 points" in five.words and "p = 0.062, no difference shown." in five.words
    six = explorers.comparison(predicted_by(spoilt(*range(6)), LABELS), IMAGES)
    assert "p = 0.031, a difference." in six.words
    other = explorers.comparison(predicted_by(LABELS, spoilt(*range(6))), IMAGES)
    assert "−1.20 points: 0 images only QAT gets right, 6 only PTQ" in other.words


def test_numbers_are_written_for_readers():
    assert [points(x) for x in (0.0123, -0.0005, 0)] == ["+1.23", "−0.05", "+0.00"]
    assert [p_value(x) for x in (1.0, 0.0517, 0.00051, 1e-9)] == ["= 1", "= 0.052", "= 0.00051", "< 0.0001"]


def test_rows_show_wilsons_interval_and_the_other_seeds():
    parts, compared = stage_of(STUDY)
    for place, method in ((1, "PTQ"), (2, "QAT")):
        accuracy, y = compared.accuracies[method][0], parts.methods[method]
        low, high = accuracy.interval
        x, ys = parts.intervals[place].get_data()
        assert x[:2] == pytest.approx([100 * (1 - high), 100 * (1 - low)])
        assert set(ys) == {y}
        assert parts.marks[place].get_xdata() == pytest.approx([100 * (1 - accuracy.value)])
        assert parts.values[y].get_text() == f"{100 * accuracy.value:.2f}"
    other = [100 * (1 - compared.accuracies[method][1].value) for method in ("float", "PTQ", "QAT")]
    assert parts.other_seeds.get_xdata() == pytest.approx(other)
    low, high = parts.axes.get_xlim()
    drawn = np.concatenate([line.get_xdata() for line in (*parts.intervals, *parts.marks, parts.other_seeds)])
    assert low < np.nanmin(drawn) and np.nanmax(drawn) < high
    assert sum(text.get_text() != "" for text in parts.ticks) >= 3


def test_bars_are_won_and_lost_images_of_each_digit():
    parts, compared = stage_of(STUDY)
    most = float(parts.ends[0].get_text())
    for patch, counts, sign in zip(parts.bars, compared.classes, (-1, 1), strict=True):
        assert most * patch.get_data().values[::2] == pytest.approx(sign * counts)
        assert not patch.get_data().values[1::2].any()
    assert compared.classes.max() <= most


@pytest.mark.parametrize(
    ("only_second", "only_first", "expected"),
    [
        (20, 20, [100, 101, 102, 103, 0, 1, 2, 3]),
        (20, 1, [100, 0, 1, 2, 3, 4, 5, 6]),
        (0, 20, [100, 101, 102, 103, 104, 105, 106, 107]),
        (2, 1, [100, 0, 1]),
        (0, 0, []),
    ],
)
def test_the_strip_shows_images_of_both_kinds(only_second, only_first, expected):
    first, second = spoilt(*range(only_second)), spoilt(*range(100, 100 + only_first))
    parts, _ = stage_of(predicted_by(first, second))
    shown = [[text.get_text() for text in row] for row in parts.answers]
    blank = [""] * (8 - len(expected))
    assert shown[0] == [str(LABELS[i]) for i in expected] + blank
    for row, predicted in zip(shown[1:], (first, second), strict=True):
        assert row == ["✓" if predicted[i] == LABELS[i] else str(predicted[i]) for i in expected] + blank
    rest = parts.pixels.rgba
    for index in expected:
        grey = np.repeat(255 - IMAGES[index][..., None], 3, axis=-1)
        tile = framed(grey, TILE, GAP)
        there, rest = rest[: len(tile), : len(tile)], rest[:, len(tile) :]
        assert np.max(np.abs(there.astype(int) - tile)) <= 1
    assert (rest == 255).all()


def test_what_was_not_measured_is_said():
    results = study(seeds=(0,))
    del results.predicted[Cell("deep", "QAT", 8, 8, 0)]
    explorer = explorers.comparison(results, IMAGES)
    words = explorer.words
    explorer.controls["bits"].value = (8, 8)
    assert "QAT has not been measured with deep at 8 / 8 bits and seed 0" in repr(explorer)
    assert explorer.words == words
    assert "float" in explorer.set(second="float").words
    assert explorer.set(network="shallow", second="QAT").error is None


def test_a_method_without_this_seed_keeps_its_other_dots():
    results = study(networks=("deep",))
    del results.predicted[Cell("deep", "float", 32, 32, 0)]
    parts, compared = stage_of(results)
    assert set(compared.accuracies["float"]) == {1}
    assert parts.values[parts.methods["float"]].get_text() == "–"
    assert parts.methods["float"] + 0.3 in parts.other_seeds.get_ydata()


def test_a_method_compared_with_itself_gains_nothing():
    explorer = explorers.comparison(STUDY, IMAGES, first="QAT", second="QAT")
    assert "+0.00 points" in explorer.words and "no difference shown" in explorer.words


def test_there_are_controls_only_where_there_is_a_choice():
    everything = {"network", "bits", "first", "second", "seed"}
    assert set(explorers.comparison(STUDY, IMAGES).controls) == everything
    assert set(explorers.comparison(study(("deep",), BITS[:1], (3,)), IMAGES).controls) == {"first", "second"}
    floats = SimpleNamespace(labels=LABELS, predicted={Cell("deep", "float", 32, 32, 0): LABELS})
    explorer = explorers.comparison(floats, IMAGES / 255)
    assert "deep, 32-bit weights" in explorer.words and "100.00 % right" in explorer.words


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("images", [IMAGES / 255, np.zeros((500, 3, 3)), np.ones((500, 40, 100)), IMAGES > 90])
def test_any_images_can_be_shown(images):
    assert explorers.comparison(STUDY, images).set(bits=(8, 8)).error is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("first", [LABELS, (LABELS + 1) % 10])
@pytest.mark.parametrize("second", [LABELS, (LABELS + 1) % 10])
def test_all_right_and_all_wrong_can_be_drawn(first, second):
    explorer = explorers.comparison(predicted_by(first, second), IMAGES)
    assert not re.search(r"nan|[{}]", explorer.words)


@pytest.mark.parametrize(
    ("results", "images", "start", "message"),
    [
        (SimpleNamespace(labels=LABELS, predicted={}), IMAGES, {}, "must hold the predictions of one network"),
        (STUDY, IMAGES[:9], {}, "images must have shape (500, height, width), got (9, 12, 10)"),
        (STUDY, IMAGES[..., None], {}, "images must have shape"),
        (predicted_by(LABELS[:9], LABELS), IMAGES, {}, "two lists of the same length"),
        (STUDY, IMAGES, {"first": "best"}, "first must be one of 'float', 'PTQ', 'QAT', got 'best'"),
        (STUDY, IMAGES, {"bits": (2, 2)}, "bits must be one of (2, 8), (4, 4), (8, 8), got (2, 2)"),
        (STUDY, IMAGES, {"method": "PTQ"}, "there is no control 'method'"),
    ],
)
def test_what_cannot_be_used_is_refused(results, images, start, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explorers.comparison(results, images, **start)
