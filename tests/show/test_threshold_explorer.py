"""The explorer of clipping thresholds: its numbers against their definitions, its words, its picture."""

import re

import numpy as np
import pytest

from qkit.numeric import Histogram, Range, histogram_of, thresholds
from qkit.numeric.curves import clipping_errors, reference_and_merged
from qkit.show import explorers
from qkit.show.explorers.threshold import (
    CELLS,
    METHODS,
    NAMES,
    bar_heights,
    costs,
    curves_of,
    levels_of,
    nearest,
    outlines,
)
from qkit.show.numerals import number, share

RNG = np.random.default_rng(11)
GAUSS = RNG.normal(size=20_000)
SPARSE = np.maximum(RNG.standard_t(3, size=20_000) - 1, 0)
SPARSE[:3000] = 0.37
LAYERS = {"gauss": histogram_of(GAUSS), "sparse": histogram_of(SPARSE)}
SETS = {"few": {"gauss": GAUSS[:50], "sparse": SPARSE[:4000]}, "many": LAYERS}
EVENLY = np.arange(1, 101) / 100


def spread(histogram: Histogram, parts: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes spread evenly over their bins, and the share of each; exact zeros stay zeros."""
    width = histogram.stop / len(histogram.counts)
    places = histogram.edges[:-1, None] + width * (np.arange(parts) + 0.5) / parts
    return places.ravel(), np.repeat(histogram.nonzero_counts / parts / histogram.count, parts)


def curves(name, bits, method, at=()):
    chosen = METHODS[method](LAYERS[name], bits)
    return chosen, curves_of(method, chosen, LAYERS[name], bits, [*EVENLY * LAYERS[name].largest, *at])


@pytest.mark.parametrize("name", LAYERS)
def test_the_errors_at_the_hand_are_those_of_brute_force(name):
    explorer, largest = explorers.threshold(LAYERS, layer=name), LAYERS[name].largest
    assert largest == np.max(np.abs({"gauss": GAUSS, "sparse": SPARSE}[name]))
    a, shares = spread(LAYERS[name])
    for bits in (2, 4, 8):
        steps = 2 ** (bits - (name == "gauss")) - 1
        for end in (1, 12.5, 40, 77, 100):
            hand = end / 100 * largest
            error = (a - hand / steps * np.minimum(np.rint(a / hand * steps), steps)) ** 2
            clipped = a > hand
            clipping, rounding = (found.item() for found in costs(LAYERS[name], bits, np.array([hand])))
            assert clipping == pytest.approx((error * shares)[clipped].sum(), rel=1e-3, abs=1e-12)
            assert clipping + rounding == pytest.approx((error * shares).sum(), rel=5e-3)
            beyond = float(LAYERS[name].beyond(hand)[0])
            assert beyond == pytest.approx(shares[clipped].sum(), abs=2e-4)
            assert (
                f"Your threshold {number(hand)}, {number(end)} % of the largest, clips {share(beyond)} of the values: "
                f"clipping error {number(clipping)} + rounding error {number(rounding)} = MSE "
                f"{number(clipping + rounding)}."
            ) in explorer.set(bits=bits, end=end).words


def test_clipping_errors_are_exact_for_values_spread_over_bins():
    # Bins of width 1: two values over [0, 1], one over [2, 3].
    histogram = Histogram(np.array([2, 0, 1]), 0, 0.0, 3.0, Range(0.1, 3.0), True)
    found = clipping_errors(histogram, np.array([0, 0.5, 1, 2, 2.5, 3, 4]))
    beyond = np.array([2 / 3 + 19 / 3, 2 * 0.125 / 3 + (2.5**3 - 1.5**3) / 3, 7 / 3, 1 / 3, 0.125 / 3, 0, 0])
    assert found == pytest.approx(beyond / 3)


@pytest.mark.parametrize("name", LAYERS)
def test_thresholds_are_those_of_the_methods(name):
    explorer, histogram = explorers.threshold(LAYERS, layer=name), LAYERS[name]
    direct = {method: getattr(thresholds, method) for method in METHODS if method != "kl_plain"}
    assert {method: METHODS[method] for method in direct} == direct
    for bits in (2, 5, 8):
        for method in METHODS:
            found = METHODS[method](histogram, bits)
            called = "percentile 99.9" if method == "percentile" else NAMES[method]
            explorer.set(bits=bits, method=method)
            assert f"{name}, {bits} bits, " in explorer.words
            clips = f"{called} clips at {number(found.value)}, {share(found.value / histogram.stop)} of the largest"
            assert clips in explorer.words
            assert found.why.replace("e-", "e−") in explorer.words
            assert f"{called} at {share(found.value / histogram.stop)}" in explorer.words.split("All thresholds: ")[1]


def test_kl_without_remedies_starts_with_a_bin_a_level():
    for name, bits, first in (("gauss", 4, 8), ("sparse", 4, 16), ("sparse", 8, 256)):
        found = METHODS["kl_plain"](LAYERS[name], bits)
        assert found.candidates[0] == pytest.approx(first / 2048 * LAYERS[name].stop)
        assert "with exact zeros" in found.why
    # A histogram with fewer bins than levels has a single candidate.
    assert len(METHODS["kl_plain"](histogram_of(SPARSE, bins=40), 8).candidates) == 1


@pytest.mark.parametrize("name", LAYERS)
def test_the_percentile_moves_its_own_threshold_alone(name):
    explorer = explorers.threshold(LAYERS, layer=name)
    before = explorer.words.split("All thresholds: ")[1].split("; ")
    for kept in (97, 99.99, 100):
        value = thresholds.percentile(LAYERS[name], share=kept).value
        after = explorer.set(percentile=kept).words.split("All thresholds: ")[1].split("; ")
        assert after[1] == f"percentile {kept:g} at {share(value / LAYERS[name].stop)}"
        assert after[:1] + after[2:] == before[:1] + before[2:]


@pytest.mark.parametrize("name", LAYERS)
def test_the_two_curves_add_up_to_the_mean_squared_error(name):
    for bits in (2, 8):
        hand = 0.4321 * LAYERS[name].largest
        chosen, found = curves(name, bits, "mse", at=[hand])
        assert list(found) == ["clipping", "rounding", "sum"]
        (at, clipping), (_, rounding), (_, both) = found.values()
        assert np.all(np.diff(at) >= 0)
        assert clipping + rounding == pytest.approx(both)
        assert both == pytest.approx(np.interp(at, chosen.candidates, chosen.curve), rel=0.05)
        assert both[at == hand] == sum(costs(LAYERS[name], bits, np.array([hand]))) == nearest(at, both, hand)
        assert nearest(at, both, chosen.value) == pytest.approx(chosen.curve.min(), rel=1e-6)
        # What the mark on the curve stands at.
        explorer = explorers.threshold(LAYERS, layer=name, bits=bits)
        assert f"least mean squared error, {chosen.curve.min():.3g},".replace("e-", "e−") in explorer.words


def test_theory_is_drawn_on_the_scale_of_the_error_of_all_values():
    for name, method in (("gauss", "aciq_gauss"), ("gauss", "aciq_laplace"), ("sparse", "aciq_laplace")):
        chosen, found = curves(name, 4, method)
        at, theory = found["theory"]
        assert at[np.argmin(theory)] == pytest.approx(chosen.value, rel=1e-2)
        if method == "aciq_gauss":  # where the theory holds
            assert theory[::64] == pytest.approx(np.interp(at, *found["sum"])[::64], rel=0.3)
        assert theory == pytest.approx(np.mean({"gauss": GAUSS, "sparse": SPARSE}[name] != 0) * chosen.curve)


def test_admm_shows_its_steps():
    chosen, found = curves("gauss", 4, "admm")
    assert found["path"] == (chosen.candidates, chosen.curve)
    assert chosen.curve[-1] == pytest.approx(nearest(*found["sum"], chosen.value), rel=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_p_and_q_have_the_divergence_of_the_curve(name):
    for method, bits in (("kl", 2), ("kl", 4), ("kl", 8), ("kl_plain", 4), ("kl_plain", 8)):
        chosen, found = curves(name, bits, method)
        assert found == {"divergence": (chosen.candidates, chosen.curve)}
        counts = LAYERS[name].nonzero_counts if method == "kl" else LAYERS[name].counts
        for index in np.flatnonzero(np.isfinite(chosen.curve))[::97]:
            kept = int(np.rint(chosen.candidates[index] / LAYERS[name].stop * 2048))
            p, q = reference_and_merged(counts, levels_of(LAYERS[name], bits), kept)
            on = p > 0
            assert np.sum(p[on] * np.log(p[on] / q[on])) == pytest.approx(chosen.curve[index], abs=1e-9)


def test_outlines_hold_the_same_values_before_and_after():
    hand = 0.6 * LAYERS["gauss"].largest
    (before, borders), (after, levels) = outlines(LAYERS["gauss"], 4, "mse", hand)
    assert before @ np.diff(borders) == pytest.approx(np.mean(np.abs(GAUSS) <= hand), abs=2e-4)
    assert after @ np.diff(levels) == pytest.approx(1)
    assert len(after) == 8
    for density, borders in outlines(LAYERS["sparse"], 4, "kl", 0.6 * LAYERS["sparse"].largest):
        assert density @ np.diff(borders) == pytest.approx(1)
        assert len(density) <= CELLS


def test_a_divergence_can_be_infinite_or_missing_and_the_words_say_so():
    explorer, largest = explorers.threshold(LAYERS, layer="sparse", method="kl"), LAYERS["sparse"].largest
    chosen = thresholds.kl(LAYERS["sparse"], 4)
    percents = np.arange(2, 200) / 2
    found = np.array([nearest(chosen.candidates, chosen.curve, percent / 100 * largest) for percent in percents])
    infinite, finite = percents[np.isinf(found)][0], percents[np.isfinite(found)][0]
    assert "The divergence there is infinite: values are clipped" in explorer.set(end=infinite).words
    value = number(found[percents == finite][0])
    assert f"The divergence there is {value} nats." in explorer.set(end=finite).words
    low, high = (number(100 * end / largest) for end in chosen.candidates[[0, -1]])
    tried = f"This method tries no threshold below {low} % or above {high} % of the largest."
    assert np.isnan(found[0]) and tried in explorer.set(end=1).words
    assert not re.search("nan|inf ", explorer.words)
    assert "ivergence there" not in explorer.set(method="mse").words


def test_a_histogram_in_which_a_method_finds_nothing_still_shows_the_others():
    x = np.zeros(100_000)
    x[:50] = RNG.random(50)
    explorer = explorers.threshold(x)
    assert "; percentile 99.9 nowhere; " in explorer.words and "; mse at " in explorer.words
    words = explorer.words
    explorer.controls["method"].value = "percentile"
    assert "would clip everything" in repr(explorer)
    assert explorer.words == words
    assert "; kl nowhere; " in explorers.threshold(histogram_of(GAUSS, bins=40)).words


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "x",
    [
        np.zeros(5),
        np.full(5, 0.5),
        np.arange(-5, 6),
        GAUSS * 1e-30,
        GAUSS * 1e99,
        np.array([5e-324, 1e-310]),
        histogram_of(np.ones(3), within=Range(0, 9)),
        0.7,
    ],
    ids=["zeros", "constant", "integers", "tiny", "huge", "denormal", "wide histogram", "number"],
)
def test_any_values_can_be_explored(x):
    explorer = explorers.threshold(x)
    for bits, end in ((2, 1), (8, 100)):
        for method in METHODS:
            assert "nan" not in explorer.set(bits=bits, method=method, end=end).words
    all_zero = explorer.words == "x: all values are 0, and every threshold holds them."
    assert all_zero == (not isinstance(x, Histogram) and np.max(np.abs(x)) < 1e-250)


def test_zeros_are_said_and_left_out():
    zeros = np.mean(SPARSE == 0)
    assert zeros > 0.5
    assert (
        f" {share(zeros)} of the values are exactly 0 and left out of the histogram."
        in explorers.threshold(SPARSE).words
    )
    assert "exactly 0" not in explorers.threshold(GAUSS).words


def test_bars_are_logarithms_of_counts_on_one_scale():
    reach, bars = bar_heights({"few": histogram_of(GAUSS[:50]), "many": LAYERS["gauss"]})
    assert reach == np.abs(GAUSS).max()
    most = np.histogram(np.abs(GAUSS), CELLS, (0, reach))[0].max()
    for name, values in (("few", GAUSS[:50]), ("many", GAUSS)):
        counts = np.histogram(np.abs(values), CELLS, (0, reach))[0]
        expected = np.log(np.maximum(2 * counts, 1)) / np.log(2 * most)
        assert bars[name][counts > 1] == pytest.approx(expected[counts > 1], abs=0.1)
    assert bars["many"].max() == 1


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
    assert explorer.set(layer="sparse").words.startswith("sparse, many, 3 bits, unsigned: mse clips at ")


def test_beyond_the_largest_of_a_set_nothing_is_clipped():
    explorer = explorers.threshold(SETS, bits=3, end=100)
    a, shares = spread(histogram_of(GAUSS[:50]))
    step = np.abs(GAUSS).max() / 3
    for method in METHODS:
        words = explorer.set(method=method).words
        assert "clips 0 % of the values: clipping error 0 + rounding error " in words
        rounding = float(re.search(r"rounding error ([\d.]+) = MSE", words)[1])
        assert rounding == pytest.approx(shares @ (a - step * np.rint(a / step)) ** 2, rel=1e-2)
        assert ("tries no threshold" in words) == method.startswith("kl")


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
        ({"few": {"a": GAUSS}, "many": {"b": GAUSS}}, {}, "all sets the same; 'many' does not hold a"),
        ({"gauss": GAUSS, "few": LAYERS}, {}, "all sets the same; 'gauss' does not hold gauss, sparse"),
        ([], {}, "must hold at least one value"),
        ({"a": []}, {}, "the values of 'a' must hold at least one value"),
        ({"a": [1.0, np.nan]}, {}, "the values of 'a' must"),
        ({"a": histogram_of(GAUSS, magnitude=False)}, {}, "x must be a histogram of |x|, got one of x"),
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
    for method in METHODS:
        monkeypatch.setitem(METHODS, method, None)
    before = explorer.png()
    explorer.set(end=30, method="kl").set(bits=4).set(images="many")
    assert explorer.png() != before
    monkeypatch.setitem(METHODS, "percentile", thresholds.percentile)
    explorer.set(percentile=99)
