"""The explorer of clipping thresholds: its numbers against their definitions, its words, its picture."""

import re

import numpy as np
import pytest

from qkit.numeric import thresholds
from qkit.numeric.clipping import clipping_errors
from qkit.numeric.histogram import Histogram, Range, histogram_of
from qkit.numeric.magnitudes import Bins
from qkit.show import explorers
from qkit.show.explorers.threshold import FUNCTIONS, Layer
from qkit.show.explorers.threshold_picture import before_and_after, beside, coarser, reference_and_merged
from qkit.show.words.engine import number
from qkit.show.words.explorers import METHODS

RNG = np.random.default_rng(11)
GAUSS = RNG.normal(size=20_000)
SPARSE = np.maximum(RNG.standard_t(3, size=20_000) - 1, 0)
SPARSE[:3000] = 0.37
LAYERS = {"gauss": histogram_of(GAUSS), "sparse": histogram_of(SPARSE)}


def spread(histogram: Histogram, parts: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes spread evenly over their bins, and the share of each; exact zeros stay zeros."""
    width = histogram.stop / len(histogram.counts)
    places = histogram.edges[:-1, None] + width * (np.arange(parts) + 0.5) / parts
    shares = np.repeat(histogram.nonzero_counts / parts / histogram.count, parts)
    return places.ravel(), shares


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("end", [1, 12.5, 40, 77, 100])
@pytest.mark.parametrize("name", LAYERS)
def test_the_split_at_the_hand_is_that_of_brute_force(name, end, bits):
    layer = Layer(name, LAYERS[name])
    split = layer.split(bits, end)
    a, shares = spread(layer.histogram)
    step = split.value / layer.steps(bits)
    error = (a - step * np.minimum(np.rint(a / step), layer.steps(bits))) ** 2
    clipped = a > split.value
    assert split.value == pytest.approx(end / 100 * layer.largest)
    assert split.clipped == pytest.approx(shares[clipped].sum(), abs=2e-4)
    assert split.clipping == pytest.approx((error * shares)[clipped].sum(), rel=1e-3, abs=1e-12)
    assert split.sum == pytest.approx((error * shares).sum(), rel=5e-3)


def test_clipping_errors_are_exact_for_values_spread_over_bins():
    # Bins of width 1: two values over [0, 1], one over [2, 3].
    values = Bins(Histogram(np.array([2, 0, 1]), 0, 0.0, 3.0, Range(0.1, 3.0), True))
    found = clipping_errors(values, np.array([0, 0.5, 1, 2, 2.5, 3, 4]))
    beyond = np.array([2 / 3 + 19 / 3, 2 * 0.125 / 3 + (2.5**3 - 1.5**3) / 3, 7 / 3, 1 / 3, 0.125 / 3, 0, 0])
    assert found == pytest.approx(beyond / 3)


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_thresholds_are_those_of_the_methods(name, bits):
    explorer, histogram = explorers.threshold(LAYERS, layer=name), LAYERS[name]
    for method, found in Layer(name, histogram).try_all(bits).items():
        assert found.value == FUNCTIONS[method](histogram, bits).value
        explorer.set(bits=bits, method=method)
        assert f"{METHODS[method]} clips at {number(found.value)}," in explorer.words
        assert found.why.replace("e-", "e−") in explorer.words
    assert Layer(name, histogram).threshold(bits, "mse").value == thresholds.mse(histogram, bits).value
    assert Layer(name, histogram).threshold(bits, "kl").value == thresholds.kl(histogram, bits).value


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_the_two_curves_add_up_to_the_mean_squared_error(name, bits):
    layer = Layer(name, LAYERS[name])
    edges, clipping, rounding = layer.errors(bits)
    chosen = thresholds.mse(LAYERS[name], bits)
    assert edges == pytest.approx(chosen.candidates)
    assert clipping + rounding == pytest.approx(chosen.curve, rel=1e-9)
    split = layer.split(bits, 100 * edges[700] / layer.largest)
    assert (split.clipping, split.rounding) == pytest.approx((clipping[700], rounding[700]), rel=1e-6)


@pytest.mark.parametrize(("method", "bits"), [("kl", 2), ("kl", 4), ("kl", 8), ("kl_plain", 4), ("kl_plain", 8)])
@pytest.mark.parametrize("name", LAYERS)
def test_p_and_q_have_the_divergence_of_the_curve(name, method, bits):
    layer = Layer(name, LAYERS[name])
    chosen = layer.threshold(bits, method)
    for index in np.flatnonzero(np.isfinite(chosen.curve))[::97]:
        kept = int(np.rint(chosen.candidates[index] / layer.values.unit))
        p, q = reference_and_merged(layer.histogram, layer.levels(bits), kept, method == "kl")
        on = p > 0
        assert np.sum(p[on] * np.log(p[on] / q[on])) == pytest.approx(chosen.curve[index], abs=1e-9)


def test_before_and_after_hold_the_same_values():
    layer = Layer("gauss", LAYERS["gauss"])
    borders, before, middles, after = before_and_after(layer, 7, 0.6 * layer.largest)
    kept = 1 - layer.split(4, 60).clipped
    assert before @ np.diff(borders) == pytest.approx(kept)
    assert after @ np.diff(middles) == pytest.approx(1)
    assert len(after) == 8


def test_a_divergence_can_be_infinite_or_missing_and_the_words_say_so():
    explorer = explorers.threshold(LAYERS, layer="sparse", method="kl")
    layer = Layer("sparse", LAYERS["sparse"])
    chosen = layer.threshold(4, "kl")
    percents = np.arange(2, 200) / 2
    found = np.array([beside(chosen.candidates, chosen.curve, p / 100 * layer.largest) for p in percents])
    assert np.isinf(found).any()
    infinite, finite = percents[np.isinf(found)][0], percents[np.isfinite(found)][0]
    assert "The divergence there is infinite" in explorer.set(end=infinite).words
    assert f"{number(found[percents == finite][0])} nats." in explorer.set(end=finite).words
    assert "this method tries no threshold" in explorer.set(end=1).words
    assert not re.search("nan|inf ", explorer.words)


def test_a_histogram_in_which_a_method_finds_nothing_still_shows_the_others():
    x = np.zeros(100_000)
    x[:50] = RNG.random(50)
    explorer = explorers.threshold(x)
    assert explorer.words.endswith("No threshold here: percentile 99.9.")
    words = explorer.words
    explorer.controls["method"].value = "percentile"
    assert "would clip everything" in repr(explorer)
    assert explorer.words == words
    few = explorers.threshold(histogram_of(GAUSS, bins=40))
    assert "No threshold here: kl." in few.words


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "x",
    [
        np.zeros(5),
        np.full(5, 0.5),
        np.arange(-5, 6),
        GAUSS * 1e-30,
        GAUSS * 1e299,
        np.array([5e-324, 1e-310]),
        histogram_of(np.ones(3), within=Range(0, 9)),
        0.7,
    ],
    ids=["zeros", "constant", "integers", "tiny", "huge", "denormal", "wide histogram", "number"],
)
def test_any_values_can_be_explored(x):
    explorer = explorers.threshold(x)
    for bits in (2, 8):
        for method in METHODS:
            for end in (1, 100):
                explorer.set(bits=bits, method=method, end=end)
                assert "nan" not in explorer.words


def test_zeros_are_said_and_left_out():
    layer = Layer("sparse", LAYERS["sparse"])
    assert layer.zeros == np.mean(SPARSE == 0) > 0.5
    assert "of the values are exactly 0 and left out" in explorers.threshold(SPARSE).words
    assert "exactly 0" not in explorers.threshold(GAUSS).words


def test_coarser_keeps_all_counts():
    counts = RNG.integers(0, 9, 1000)
    sums, borders = coarser(counts)
    assert sums.sum() == counts.sum()
    assert len(sums) == len(borders) - 1 <= 128
    assert (borders[0], borders[-1]) == (0, 1000)


def test_one_histogram_or_array_has_no_layer_to_choose():
    for one in (GAUSS, LAYERS["gauss"], {"only": GAUSS}):
        explorer = explorers.threshold(one, bits=3, method="kl", end=50)
        assert explorer.values == {"bits": 3, "method": "kl", "end": 50}
    assert explorers.threshold(LAYERS, layer="sparse").values["layer"] == "sparse"


@pytest.mark.parametrize(
    ("histograms", "start", "message"),
    [
        ({}, {}, "must hold at least one layer"),
        ([], {}, "must hold at least one value"),
        ({"a": []}, {}, "the values of 'a' must hold at least one value"),
        ({"a": [1.0, np.nan]}, {}, "the values of 'a' must"),
        ({3: GAUSS}, {}, "layers must have names, got 3"),
        ({"a": histogram_of(GAUSS, magnitude=False)}, {}, "'a' cannot be used: x must be a histogram of"),
        (LAYERS, {"layer": "c"}, "layer must be one of 'gauss', 'sparse', got 'c'"),
        (GAUSS, {"method": "best"}, "method must be one of 'minmax', "),
        (GAUSS, {"bits": 9}, "bits must be a whole number from 2 to 8, got 9"),
        (GAUSS, {"end": 0}, "end must be a number from 1 to 100, got 0"),
    ],
)
def test_what_cannot_be_used_is_refused(histograms, start, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explorers.threshold(histograms, **start)


def test_answers_are_remembered_but_not_without_end():
    layer = Layer("gauss", LAYERS["gauss"])
    for bits in range(2, 9):
        layer.try_all(bits)
        layer.errors(bits)
    before = layer.threshold.cache_info()
    layer.try_all(8)
    layer.split(8, 50)
    after = layer.threshold.cache_info()
    assert after.misses == before.misses
    assert after.currsize <= after.maxsize == 64
    assert layer.errors.cache_info().maxsize == 16


def test_a_step_of_the_hand_chooses_nothing_anew(monkeypatch):
    explorer = explorers.threshold(LAYERS)
    for method in FUNCTIONS:
        monkeypatch.setitem(FUNCTIONS, method, None)
    before = explorer.png()
    explorer.set(end=30)
    assert explorer.png() != before
