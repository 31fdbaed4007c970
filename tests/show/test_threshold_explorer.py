"""The explorer of clipping thresholds: its numbers against their definitions, its words, its picture."""

import re

import numpy as np
import pytest

from qkit.numeric import thresholds
from qkit.numeric.curves import clipping_errors, reference_and_merged
from qkit.numeric.histogram import Bins, Histogram, Range, histogram_of
from qkit.show import explorers
from qkit.show.canvas import number, share
from qkit.show.explorers.threshold import say
from qkit.show.explorers.threshold_numbers import CELLS, FUNCTIONS, View, comparable, outlines
from qkit.show.words.explorers import METHODS

RNG = np.random.default_rng(11)
GAUSS = RNG.normal(size=20_000)
SPARSE = np.maximum(RNG.standard_t(3, size=20_000) - 1, 0)
SPARSE[:3000] = 0.37
LAYERS = {"gauss": histogram_of(GAUSS), "sparse": histogram_of(SPARSE)}
SETS = {"few": {"gauss": GAUSS[:50], "sparse": SPARSE[:4000]}, "many": LAYERS}


def look(name, bits=4, method="mse", percentile=99.9, end=60.0):
    """Return the view of one of the layers."""
    (layers,) = comparable(LAYERS).values()
    return View(layers[name], bits, method, percentile, end)


def spread(histogram: Histogram, parts: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes spread evenly over their bins, and the share of each; exact zeros stay zeros."""
    width = histogram.stop / len(histogram.counts)
    places = histogram.edges[:-1, None] + width * (np.arange(parts) + 0.5) / parts
    shares = np.repeat(histogram.nonzero_counts / parts / histogram.count, parts)
    return places.ravel(), shares


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("end", [1, 12.5, 40, 77, 100])
@pytest.mark.parametrize("name", LAYERS)
def test_the_errors_at_the_hand_are_those_of_brute_force(name, end, bits):
    view = look(name, bits, end=end)
    a, shares = spread(LAYERS[name])
    steps = 2 ** (bits - (name == "gauss")) - 1
    step = view.hand / steps
    error = (a - step * np.minimum(np.rint(a / step), steps)) ** 2
    clipped = a > view.hand
    assert view.hand == pytest.approx(end / 100 * np.max(np.abs({"gauss": GAUSS, "sparse": SPARSE}[name])))
    assert view.clipped == pytest.approx(shares[clipped].sum(), abs=2e-4)
    assert view.clipping == pytest.approx((error * shares)[clipped].sum(), rel=1e-3, abs=1e-12)
    assert view.clipping + view.rounding == pytest.approx((error * shares).sum(), rel=5e-3)


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
    assert list(look(name, bits).found) == list(METHODS)
    for method, found in look(name, bits).found.items():
        called = "percentile 99.9" if method == "percentile" else METHODS[method]
        assert found.value == FUNCTIONS[method](histogram, bits).value
        explorer.set(bits=bits, method=method)
        assert f"{called} clips at {number(found.value)}," in explorer.words
        assert found.why.replace("e-", "e−") in explorer.words
        assert f"{called} at {share(found.value / histogram.stop)}" in explorer.words.split("All thresholds: ")[1]
    for method in ("mse", "kl", "aciq_laplace", "aciq_gauss"):
        assert look(name, bits).found[method].value == getattr(thresholds, method)(histogram, bits).value


@pytest.mark.parametrize("name", LAYERS)
def test_the_percentile_moves_its_own_threshold_alone(name):
    before = look(name).found
    for kept in (97, 99.99, 100):
        found = look(name, percentile=kept).found
        assert found["percentile"].value == thresholds.percentile(LAYERS[name], share=kept).value
        assert all(found[method].value == before[method].value for method in METHODS if method != "percentile")
        explorer = explorers.threshold(LAYERS, layer=name, percentile=kept)
        assert f"percentile {kept:g} at {share(found['percentile'].value / LAYERS[name].stop)}" in explorer.words


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_the_two_curves_add_up_to_the_mean_squared_error(name, bits):
    view = look(name, bits, end=43.21)
    (at, clipping), (_, rounding), (_, both) = (view.curves[part] for part in ("clipping", "rounding", "sum"))
    chosen = thresholds.mse(LAYERS[name], bits)
    assert clipping + rounding == pytest.approx(both)
    assert both == pytest.approx(np.interp(at, chosen.candidates, chosen.curve), rel=0.05)
    assert np.all(np.diff(at) >= 0)
    assert both[at == view.hand] == view.at_hand == view.clipping + view.rounding
    assert both[at == chosen.value] == view.at_chosen == pytest.approx(view.least, rel=1e-6)
    assert view.least == chosen.curve.min()


@pytest.mark.parametrize(
    ("name", "method"), [("gauss", "aciq_gauss"), ("gauss", "aciq_laplace"), ("sparse", "aciq_laplace")]
)
def test_theory_is_drawn_on_the_scale_of_the_error_of_all_values(name, method):
    view = look(name, 4, method)
    at, theory = view.curves["theory"]
    assert at[np.argmin(theory)] == pytest.approx(view.chosen.value, rel=1e-2)
    if method == "aciq_gauss":  # where the theory holds
        assert theory[::64] == pytest.approx(np.interp(at, *view.curves["sum"])[::64], rel=0.3)
    kept = 1 - LAYERS[name].zeros / LAYERS[name].count
    assert theory == pytest.approx(kept * view.chosen.curve)


@pytest.mark.parametrize(("method", "bits"), [("kl", 2), ("kl", 4), ("kl", 8), ("kl_plain", 4), ("kl_plain", 8)])
@pytest.mark.parametrize("name", LAYERS)
def test_p_and_q_have_the_divergence_of_the_curve(name, method, bits):
    view = look(name, bits, method)
    chosen, width = view.chosen, LAYERS[name].stop / 2048
    counts = LAYERS[name].nonzero_counts if method == "kl" else LAYERS[name].counts
    for index in np.flatnonzero(np.isfinite(chosen.curve))[::97]:
        kept = int(np.rint(chosen.candidates[index] / width))
        p, q = reference_and_merged(counts, view.data.levels, kept)
        on = p > 0
        assert np.sum(p[on] * np.log(p[on] / q[on])) == pytest.approx(chosen.curve[index], abs=1e-9)


def test_outlines_hold_the_same_values_before_and_after():
    view = look("gauss")
    (before, borders), (after, levels) = outlines(view)
    assert before @ np.diff(borders) == pytest.approx(1 - view.clipped)
    assert after @ np.diff(levels) == pytest.approx(1)
    assert len(after) == 8
    for density, borders in outlines(look("sparse", method="kl")):
        assert density @ np.diff(borders) == pytest.approx(1)
        assert len(density) <= CELLS


def test_a_divergence_can_be_infinite_or_missing_and_the_words_say_so():
    explorer = explorers.threshold(LAYERS, layer="sparse", method="kl")
    percents = np.arange(2, 200) / 2
    found = np.array([look("sparse", method="kl", end=end).at_hand for end in percents])
    assert np.isinf(found).any()
    infinite, finite = percents[np.isinf(found)][0], percents[np.isfinite(found)][0]
    assert "The divergence there is infinite" in explorer.set(end=infinite).words
    assert f"{number(found[percents == finite][0])} nats." in explorer.set(end=finite).words
    assert "This method tries no threshold below" in explorer.set(end=1).words
    assert not re.search("nan|inf ", explorer.words)


def test_a_histogram_in_which_a_method_finds_nothing_still_shows_the_others():
    x = np.zeros(100_000)
    x[:50] = RNG.random(50)
    explorer = explorers.threshold(x)
    assert "; percentile 99.9 nowhere; mse at " in explorer.words
    words = explorer.words
    explorer.controls["method"].value = "percentile"
    assert "would clip everything" in repr(explorer)
    assert explorer.words == words
    few = explorers.threshold(histogram_of(GAUSS, bins=40))
    assert "; kl nowhere; " in few.words


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
    assert look("sparse").layer.zeros == np.mean(SPARSE == 0) > 0.5
    assert "of the values are exactly 0 and left out" in explorers.threshold(SPARSE).words
    assert "exactly 0" not in explorers.threshold(GAUSS).words


def test_bars_are_logarithms_of_counts_on_one_scale():
    few, many = (layers["gauss"] for layers in comparable(SETS).values())
    for layer, values in ((few, GAUSS[:50]), (many, GAUSS)):
        counts = np.histogram(np.abs(values), CELLS, (0, np.abs(GAUSS).max()))[0]
        most = np.histogram(np.abs(GAUSS), CELLS, (0, np.abs(GAUSS).max()))[0].max()
        expected = np.log(np.maximum(2 * counts, 1)) / np.log(2 * most)
        assert layer.heights[counts > 1] == pytest.approx(expected[counts > 1], abs=0.1)
    assert many.heights.max() == 1


def test_sets_of_images_share_an_axis():
    explorer = explorers.threshold(SETS, bits=3)
    assert list(explorer.controls)[:2] == ["images", "layer"]
    largest, all_of_them = np.abs(GAUSS[:50]).max(), np.abs(GAUSS).max()
    assert explorer.words.startswith("gauss, few, 3 bits, signed: mse clips at ")
    assert (
        f"The largest magnitude in all sets is {number(all_of_them)}, in this one {number(largest)}." in explorer.words
    )
    assert f"minmax at {share(largest / all_of_them)};" in explorer.words
    hand = f"Your threshold {number(0.6 * all_of_them)}, 60 % of the largest,"
    assert hand in explorer.words
    explorer.set(images="many")
    assert explorer.words.startswith("gauss, many, 3 bits, signed: mse clips at ")
    assert hand in explorer.words
    assert "in all sets" not in explorer.words
    same = explorers.threshold(LAYERS, bits=3)
    assert explorer.words == same.words.replace("gauss,", "gauss, many,")


def test_beyond_the_largest_of_a_set_nothing_is_clipped():
    layer = comparable(SETS)["few"]["gauss"]
    a, shares = spread(layer.data.values.histogram)
    step = np.abs(GAUSS).max() / 3
    for method in METHODS:
        view = View(layer, 3, method, 99.9, 100)
        assert (view.clipped, view.clipping) == (0, 0)
        assert view.rounding == pytest.approx(shares @ (a - step * np.rint(a / step)) ** 2, rel=1e-3)
        assert np.isnan(view.at_hand) == method.startswith("kl")
        assert ("tries no threshold" in say(view)) == method.startswith("kl")


def test_one_histogram_or_array_has_no_layer_to_choose():
    for one in (GAUSS, LAYERS["gauss"], {"only": GAUSS}):
        explorer = explorers.threshold(one, bits=3, method="kl", end=50)
        assert explorer.values == {"bits": 3, "method": "kl", "percentile": 99.9, "end": 50}
    assert explorers.threshold(LAYERS, layer="sparse").values["layer"] == "sparse"


@pytest.mark.parametrize(
    ("histograms", "start", "message"),
    [
        ({}, {}, "must hold at least one layer"),
        ({"few": {}}, {}, "must hold at least one layer"),
        ({"few": {"a": GAUSS}, "many": {"b": GAUSS}}, {}, "every set must hold the layers a; 'many' does not"),
        ({"gauss": GAUSS, "few": LAYERS}, {}, "every set must hold the layers gauss, sparse; 'gauss' does not"),
        ([], {}, "must hold at least one value"),
        ({"a": []}, {}, "the values of 'a' must hold at least one value"),
        ({"a": [1.0, np.nan]}, {}, "the values of 'a' must"),
        ({3: GAUSS}, {}, "layers and sets of images must have names, got 3"),
        ({"a": histogram_of(GAUSS, magnitude=False)}, {}, "'a' cannot be used: x must be a histogram of"),
        (LAYERS, {"layer": "c"}, "layer must be one of 'gauss', 'sparse', got 'c'"),
        (GAUSS, {"method": "best"}, "method must be one of 'minmax', "),
        (GAUSS, {"bits": 9}, "bits must be a whole number from 2 to 8, got 9"),
        (GAUSS, {"percentile": 94}, "percentile must be one of 95.0, "),
        (GAUSS, {"layer": "a"}, "there is no control 'layer'"),
        (SETS, {"images": "all"}, "images must be one of 'few', 'many', got 'all'"),
        (GAUSS, {"end": 0}, "end must be a number from 1 to 100, got 0"),
    ],
)
def test_what_cannot_be_used_is_refused(histograms, start, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explorers.threshold(histograms, **start)


def test_only_what_a_control_changes_is_chosen_anew(monkeypatch):
    explorer = explorers.threshold(SETS)
    explorer.set(images="many").set(images="few", bits=5)
    for method in FUNCTIONS:
        monkeypatch.setitem(FUNCTIONS, method, None)
    before = explorer.png()
    explorer.set(end=30, method="kl").set(bits=4).set(images="many")
    assert explorer.png() != before
    monkeypatch.setitem(FUNCTIONS, "percentile", thresholds.percentile)
    explorer.set(percentile=99)
