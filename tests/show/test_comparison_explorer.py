"""The explorer that compares two methods: its numbers against their definitions, its words, its picture."""

import io
import re
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from qkit.numeric import Accuracy, Paired
from qkit.show import explorers
from qkit.show.canvas import Label, Stage, framed
from qkit.show.numerals import p_value, points

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


def predicted_by(first: np.ndarray, second: np.ndarray) -> SimpleNamespace:
    predicted = {Cell("deep", "PTQ", 2, 8, 0): first, Cell("deep", "QAT", 2, 8, 0): second}
    return SimpleNamespace(labels=LABELS, predicted=predicted)


def spoilt(*wrong: int) -> np.ndarray:
    """All answers right but those of some images."""
    predicted = LABELS.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
    return predicted


@pytest.fixture
def drawn(monkeypatch):
    """Return what makes an explorer and gives it with the axes of its picture: table, rows and strip."""
    stages = []

    def recorded(*size):
        stages.append(Stage(*size))
        return stages[-1]

    monkeypatch.setattr(sys.modules["qkit.show.explorers.comparison"], "Stage", recorded)

    def draw(results, images=IMAGES, **start):
        explorer = explorers.comparison(results, images, **start)
        assert explorer.error is None
        return explorer, *stages[-1].figure.axes

    return draw


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.findobj(Label)]


def test_words_tell_the_counts_the_test_the_digits_and_the_seeds():
    explorer = explorers.comparison(STUDY, IMAGES, network="shallow")
    for bits, seed in product(BITS, (0, 1)):
        words = explorer.set(bits=bits, seed=seed).words
        pairs = [[STUDY.predicted[Cell("shallow", m, *bits, s)] for m in ("PTQ", "QAT")] for s in (0, 1)]
        first, second = pairs[seed]
        lost = Counter(LABELS[i] for i in range(500) if first[i] == LABELS[i] != second[i])
        won = Counter(LABELS[i] for i in range(500) if second[i] == LABELS[i] != first[i])
        test = Paired.of(first, second, LABELS)
        right = [100 * np.mean(each == LABELS) for each in (first, second)]
        how = f"{bits[0]}-bit weights, {bits[1]}-bit activations"
        assert f"shallow, {how}, seed {seed}, 500 images: " in words
        assert f"PTQ {right[0]:.2f} % right, QAT {right[1]:.2f} %. {points(test.gain)} points: " in words
        assert f"{won.total()} images only QAT gets right, {lost.total()} only PTQ; " in words
        verdict = "a difference" if test.p_value < 0.05 else "no difference shown"
        assert f"McNemar's test: p {p_value(test.p_value)}, {verdict}." in words
        for what, counts in (("lost", lost), ("won", won)):
            said = re.search(rf"Of those {what}, (\d)s are the most: (\d+)\.", words)
            (digit, most), (_, next_most) = counts.most_common(2)
            assert (said and said.groups()) == ((str(digit), str(most)) if most > next_most else None)
        gains = ", ".join(points(Paired.of(*pair, LABELS).gain) for pair in pairs)
        assert words.endswith(f"Gains with seeds 0, 1: {gains} points.")


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


def test_rows_show_wilsons_interval_in_per_cent_wrong(drawn):
    for bits in BITS:  # a float network stands beside all of them
        _, _, rows, _ = drawn(STUDY, network="deep", bits=bits, seed=1, first="float", second="QAT")
        cells = Cell("deep", "float", 32, 32, 1), Cell("deep", "QAT", *bits, 1)
        _, *spans = rows.lines
        for y, (span, cell) in enumerate(zip(spans, cells, strict=True)):
            accuracy = Accuracy.of(STUDY.predicted[cell], LABELS)
            low, high = accuracy.interval
            x, places = span.get_data()
            assert x == pytest.approx([1 - right for right in (high, accuracy.value, low)])
            assert set(places) == {y}
            assert rows.get_xlim()[0] < x.min() and x.max() < rows.get_xlim()[1]
        assert texts(rows) == ["float", "QAT"]


def test_the_table_counts_all_images(drawn):
    for bits in BITS:
        _, table, *_ = drawn(STUDY, bits=bits)
        first, second = (STUDY.predicted[Cell("deep", method, *bits, 0)] == LABELS for method in ("PTQ", "QAT"))
        expected = [one + 2 * other for one, other in zip(~second, ~first, strict=True)]
        assert texts(table)[:2] == ["PTQ", "QAT"]
        assert texts(table)[2:] == np.bincount(expected, minlength=4).astype(str).tolist()


def test_the_strip_shows_images_of_both_kinds(drawn):
    for only_second, only_first, expected in (
        (20, 20, [100, 101, 102, 103, 0, 1, 2, 3]),
        (20, 1, [100, 0, 1, 2, 3, 4, 5, 6]),
        (0, 20, [100, 101, 102, 103, 104, 105, 106, 107]),
        (2, 1, [100, 0, 1]),
        (0, 0, []),
    ):
        first, second = spoilt(*range(only_second)), spoilt(*range(100, 100 + only_first))
        explorer, *_, strip = drawn(predicted_by(first, second))
        blank = [""] * (8 - len(expected))
        marked = [["✓" if each[i] == LABELS[i] else str(each[i]) for i in expected] + blank for each in (first, second)]
        heads, *columns = np.reshape(texts(strip), (3, 9)).T.tolist()
        assert heads == ["label", "PTQ", "QAT"]
        assert np.transpose(columns).tolist() == [[str(LABELS[i]) for i in expected] + blank, *marked]
        left, bottom, right, top = np.round(strip.bbox.extents).astype(int)
        rest = np.asarray(Image.open(io.BytesIO(explorer.png())))[::-1][bottom:top, left:right][::-1]
        for index in expected:
            tile = framed(np.repeat(255 - IMAGES[index][..., None], 3, axis=-1), 0.82, 0.07)
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


def test_a_seed_that_one_method_lacks_is_left_out_of_the_gains():
    results = study(networks=("deep",))
    del results.predicted[Cell("deep", "PTQ", 2, 8, 1)]
    assert "Gains with" not in explorers.comparison(results, IMAGES).words
    assert "Gains with seeds 0, 1: " in explorers.comparison(results, IMAGES, first="float").words


def test_a_method_compared_with_itself_gains_nothing():
    explorer = explorers.comparison(STUDY, IMAGES, first="QAT", second="QAT")
    assert "+0.00 points" in explorer.words and "no difference shown" in explorer.words


def test_there_are_controls_only_where_there_is_a_choice():
    everything = {"network", "bits", "first", "second", "seed"}
    assert set(explorers.comparison(STUDY, IMAGES).controls) == everything
    assert set(explorers.comparison(study(("deep",), BITS[:1], (3,)), IMAGES).controls) == {"first", "second"}
    floats = SimpleNamespace(labels=LABELS, predicted={Cell("deep", "float", 32, 32, 0): LABELS.tolist()})
    explorer = explorers.comparison(floats, IMAGES / 255)
    assert "deep, seed 0, " in explorer.words and "100.00 % right" in explorer.words


@pytest.mark.filterwarnings("error")
def test_any_images_can_be_shown():
    for images in (IMAGES / 255, np.zeros((500, 3, 3)), np.ones((500, 40, 100)), IMAGES > 90):
        assert explorers.comparison(STUDY, images).set(bits=(8, 8)).error is None


@pytest.mark.filterwarnings("error")
def test_all_right_and_all_wrong_can_be_drawn():
    for first, second in product((LABELS, (LABELS + 1) % 10), repeat=2):
        explorer = explorers.comparison(predicted_by(first, second), IMAGES)
        assert not re.search(r"nan|[{}]", explorer.words)


def test_what_cannot_be_used_is_refused():
    for results, images, start, message in (
        (SimpleNamespace(labels=LABELS, predicted={}), IMAGES, {}, "must hold the predictions of one network"),
        (STUDY, IMAGES[:9], {}, "images must have shape (500, height, width), got (9, 12, 10)"),
        (STUDY, IMAGES[..., None], {}, "images must have shape"),
        (predicted_by(LABELS[:9], LABELS), IMAGES, {}, "two lists of the same length"),
        (STUDY, IMAGES, {"first": "best"}, "first must be one of 'float', 'PTQ', 'QAT', got 'best'"),
        (STUDY, IMAGES, {"bits": (2, 2)}, "bits must be one of (2, 8), (4, 4), (8, 8), got (2, 2)"),
        (STUDY, IMAGES, {"method": "PTQ"}, "there is no control 'method'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            explorers.comparison(results, images, **start)
