"""How thresholds are chosen: against the plain loops of the docstrings, by hand, and by what every method promises."""

import inspect
import re
import textwrap
import tracemalloc
import warnings
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import lambertw

from qkit.numeric import (
    Histogram,
    QuantSpec,
    Range,
    Samples,
    Threshold,
    fake_quantize,
    histogram_of,
    params_from_range,
    thresholds,
)
from qkit.numeric.curves import clipping_errors, divergences, reference_and_merged, squared_errors

METHODS = [
    thresholds.minmax,
    thresholds.percentile,
    thresholds.mse,
    thresholds.kl,
    thresholds.aciq_laplace,
    thresholds.aciq_gauss,
    thresholds.admm,
]
every_method = pytest.mark.parametrize("method", METHODS)
WIDTHS = range(2, 9)


def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    gauss = rng.normal(size=100_000).astype(np.float32)
    spiky = np.maximum(rng.normal(size=100_000), 0)
    spiky[:60_000] = rng.choice([0, 0.25, 1.3], 60_000)  # what a bias makes of a black background
    return {
        "gauss": gauss,
        "laplace": rng.laplace(size=100_000).astype(np.float32),
        "relu": np.maximum(gauss - 1, 0),  # 84 % zeros
        "spiky": spiky,
        "sparse": gauss * (rng.random(100_000) < 0.1),
        "student": rng.standard_t(3, 100_000),  # most of its bins are empty
        "image": rng.choice(256, 100_000, p=np.r_[0.8, np.full(255, 0.2 / 255)]) / 255,
        "small": rng.normal(size=300),
    }


TENSORS = tensors()
every_tensor = pytest.mark.parametrize("name", TENSORS)


# The plain loops of the docstrings


def plain_loop(function, **given) -> dict:
    """Run the loop that stands in a function's docstring, and return its variables."""
    (loop,) = re.findall(r"::\n\n((?:    .*\n)+)", inspect.getdoc(function) + "\n")
    variables = {"np": np, **given}
    exec(textwrap.dedent(loop), variables)
    return variables


def plain_errors(x: np.ndarray, candidates: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    a, steps = np.abs(x.astype(np.float64)), 2 ** (bits - signed) - 1
    return np.array(plain_loop(thresholds.mse, a=a, candidates=candidates, Q=steps)["errors"])


def plain_error(x: np.ndarray, threshold: float, bits: int, signed: bool) -> float:
    return plain_errors(x, [threshold], bits, signed).item()


def plain_divergences(counts: np.ndarray, levels: int, first: int) -> np.ndarray:
    names = {"counts": counts, "levels": levels, "start": first, "reference_and_merged": reference_and_merged}
    return np.array(plain_loop(thresholds.kl, **names)["divergences"])


# Kullback–Leibler divergence


def test_eight_bins_in_two_levels_by_hand():
    """The example of NVIDIA's slides: 1+0+2+3 over 3 bins, 5+3+1+7 over 4."""
    p, q = reference_and_merged(np.array([1, 0, 2, 3, 5, 3, 1, 7]), levels=2, kept=8)
    assert (p * 22).tolist() == pytest.approx([1, 0, 2, 3, 5, 3, 1, 7])
    assert (q * 22).tolist() == pytest.approx([2, 0, 2, 2, 4, 4, 4, 4])
    by_hand = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a)
    assert divergences([1, 0, 2, 3, 5, 3, 1, 7], 2, 8) == pytest.approx([by_hand])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 12), st.data())
def test_reference_and_merged_bin_by_bin(counts, levels, data):
    kept = data.draw(st.integers(1, len(counts)))
    p, q = counts[:kept], [0.0] * kept
    for level in range(levels):
        bins = [j for j in range(kept) if j * levels // kept == level and counts[j] > 0]
        for j in bins:
            q[j] = sum(counts[i] for i in bins) / len(bins)
    p[-1] += sum(counts[kept:])
    for found, expected in zip(reference_and_merged(np.array(counts), levels, kept), (p, q), strict=True):
        np.testing.assert_allclose(found, np.array(expected) / (sum(expected) or 1), rtol=1e-12)


@every_tensor
def test_divergences_equal_the_plain_loop(name):
    histogram = histogram_of(TENSORS[name], bins=300)
    for counts in (histogram.counts, histogram.nonzero_counts):
        for levels in 2 ** np.arange(1, 9):
            found, expected = divergences(counts, levels, 128), plain_divergences(counts, levels, 128)
            np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_divergences_at_full_size_equal_the_plain_loop():
    for name, levels in (("laplace", 128), ("relu", 256)):
        counts = histogram_of(TENSORS[name]).nonzero_counts
        expected = plain_divergences(counts, levels, 2 * levels)
        np.testing.assert_allclose(divergences(counts, levels, 2 * levels), expected, rtol=0, atol=1e-10)
        assert np.isinf(expected).any()


def test_divergences_of_more_cells_than_are_remembered():
    for bins, levels in ((2**17, 2**16), (2**13, 2**11)):
        counts = histogram_of(TENSORS["gauss"], bins).nonzero_counts
        tracemalloc.start()
        found = divergences(counts, levels, bins - 2**22 // levels)
        assert tracemalloc.get_traced_memory()[1] < 25e6
        tracemalloc.stop()
        np.testing.assert_allclose(found[-20:], plain_divergences(counts, levels, bins - 19), rtol=0, atol=1e-10)


@given(
    hnp.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0, 0, 0.25, 1, 3, 1e6])).filter(np.any),
    st.integers(1, 50),
    st.data(),
)
def test_divergences_of_any_counts_equal_the_plain_loop(counts, levels, data):
    first = data.draw(st.integers(1, len(counts)))
    with np.errstate(invalid="ignore"):  # where everything is clipped, Q is all 0
        expected = plain_divergences(counts, levels, first)
    np.testing.assert_allclose(divergences(counts, levels, first), expected, rtol=0, atol=1e-10)


@every_tensor
def test_kl_chooses_as_the_plain_loop_does(name):
    histogram = histogram_of(TENSORS[name], bins=1024)
    for bits in WIDTHS:
        found = thresholds.kl(histogram, bits)
        levels = 2 ** (bits - found.signed)
        first = max(2 * levels, 128)
        # The fast curve is the plain loop's by the tests above, so that comparing a few candidates is enough.
        assert found.curve.shape == found.candidates.shape == (1024 + 1 - first,)
        expected = plain_divergences(histogram.nonzero_counts, levels, 1000)
        np.testing.assert_allclose(found.curve[-25:], expected, rtol=0, atol=1e-10)
        best = np.flatnonzero(found.curve <= found.curve.min() + 1e-12)[-1]
        assert found.value == found.candidates[best] == histogram.edges[first + best]


def test_kl_of_equal_divergences_takes_the_largest_threshold():
    found = thresholds.kl(np.repeat([0.1, 1.0], [99, 1]))
    assert (found.value, found.curve[-1]) == (1, 0)
    assert np.isinf(found.curve[:-1]).all()
    even = thresholds.kl(Histogram(np.full(256, 7), 0, 0.0, 1.0, Range(-1.0, 1.0), True), bits=5)
    assert even.value == 1
    assert np.flatnonzero(even.curve < 1e-12).tolist() == [128]


def test_kl_with_the_zero_peak_left_in_keeps_least():
    """The failure that the remedies are for: with 84 % zeros the threshold falls to the first candidates.

    At 8 bits, the first 129 of them have no more bins than levels, and nothing is merged.
    """
    histogram = histogram_of(TENSORS["relu"])
    for bits in WIDTHS:
        bad = thresholds.kl(histogram, bits, drop_zeros=False, start=128)
        good = thresholds.kl(histogram, bits)
        if 2 < bits < 8:
            assert bad.value == bad.candidates[0] == histogram.edges[128]
        assert bad.value <= histogram.edges[256]
        assert good.value > 4 * bad.value


def test_kl_that_starts_at_one_bin_a_level_sees_no_rounding():
    histogram = histogram_of(np.abs(TENSORS["student"]), bins=1024)
    merged, not_merged = (divergences(histogram.counts, levels, 128)[:129] for levels in (256, 1024))
    np.testing.assert_allclose(merged, not_merged, rtol=0, atol=1e-12)
    # Before a long tail, the second remedy only stops the fall earlier.
    tail = histogram_of(np.random.default_rng(3).exponential(size=100_000) ** 3)
    assert thresholds.kl(tail, bits=8, start=128).value <= tail.edges[256]
    assert thresholds.kl(tail, bits=8).value == tail.edges[512]


def test_kl_falls_for_another_peak_with_both_remedies_on():
    """As its documentation says: here a fifth of all values are 1.3."""
    x = TENSORS["spiky"]
    found, best = thresholds.kl(x, 8), thresholds.mse(histogram_of(x), 8)
    assert 1.3 <= found.value < 1.31
    assert plain_error(x, found.value, 8, False) > 1000 * best.curve.min()


def test_kl_at_too_few_candidates_is_minmax():
    """ONNX Runtime's default: as many bins as levels, so that there is one candidate."""
    found = thresholds.kl(histogram_of(TENSORS["gauss"], bins=128), start=128)
    assert found.curve.size == 1
    assert found.value == thresholds.minmax(TENSORS["gauss"]).value


def test_kl_is_for_at_most_eight_bits():
    for x in (TENSORS["small"], np.zeros(3), histogram_of(TENSORS["small"], 2**13)):
        for bits in (9, 16):
            with pytest.raises(ValueError, match=f"kl counts in at most 256 levels, 8 bits, got {bits} bits; use mse"):
                thresholds.kl(x, bits)


def test_kl_of_a_histogram_wider_than_its_data():
    for largest in (1.0, 5.3, 9.0, 40.0):
        ones = histogram_of(np.ones(100), within=Range(0.0, largest))
        assert thresholds.kl(ones, 2).value == 1
        x = TENSORS["gauss"]
        found = thresholds.kl(histogram_of(x, bins=4096, within=Range(-largest - 10, largest + 10)))
        assert found.value <= found.candidates[-1] == np.abs(x).max()
        assert np.all(np.diff(found.candidates) > 0)


# Mean squared error


@every_tensor
def test_mse_of_samples_equals_the_plain_loop(name):
    x = TENSORS[name][:3000]
    for bits in WIDTHS:
        found = thresholds.mse(x, bits)
        few = slice(None, None, 97)
        expected = plain_errors(x, found.candidates[few], bits, found.signed)
        np.testing.assert_allclose(found.curve[few], expected, rtol=1e-9, atol=1e-13 * np.mean(x**2))
        assert plain_error(x, found.value, bits, found.signed) == pytest.approx(found.curve.min(), rel=1e-7, abs=1e-13)
        assert found.candidates.tolist() == pytest.approx(np.linspace(0, np.abs(x).max(), 2049)[1:].tolist())


def test_mse_of_a_histogram_is_near_that_of_the_samples():
    for name in ("gauss", "laplace", "relu", "sparse"):
        x = TENSORS[name]
        histogram = histogram_of(x)
        for bits, tolerance in ((2, 3e-4), (4, 5e-4), (6, 2e-3), (8, 7e-3)):
            found = thresholds.mse(histogram, bits)
            exact = thresholds.mse(x, bits)
            np.testing.assert_allclose(found.candidates, exact.candidates)
            np.testing.assert_allclose(found.curve[63:], exact.curve[63:], rtol=tolerance)
            regret = np.interp(found.value, exact.candidates, exact.curve) / exact.curve.min() - 1
            assert regret < 1e-3


def test_mse_needs_zeros_left_out_of_their_bin():
    histogram = histogram_of(TENSORS["sparse"])
    spread = Histogram(histogram.counts, 0, histogram.start, histogram.stop, histogram.range, True)
    right, wrong = (thresholds.mse(h).curve[-1] for h in (histogram, spread))
    assert right == pytest.approx(thresholds.mse(TENSORS["sparse"]).curve[-1], rel=5e-3)
    assert wrong > 1.1 * right


def test_errors_at_edges_equal_those_at_any_threshold():
    histogram = histogram_of(TENSORS["spiky"], bins=1100)
    edges = histogram.edges[1:]
    for steps in (1, 3, 127, 255, 2047):
        # With one threshold more they are no longer the edges, and take the slow way.
        slow = squared_errors(histogram, np.append(edges, 2 * edges[-1]), steps)[:-1]
        np.testing.assert_allclose(squared_errors(histogram, edges, steps), slow, rtol=1e-7)


def test_errors_of_a_histogram_are_those_of_values_spread_over_its_bins():
    """A thousand values in every bin, evenly spaced, are as good as the exact integral to a millionth."""
    counts, zeros = np.array([7, 0, 3, 5, 1, 2]), 4
    histogram = Histogram(counts, zeros, 0.0, 3.0, Range(-2.9, 3.0), True)
    values = ((np.arange(6000) + 0.5) / 2000, np.repeat([3, 0, 3, 5, 1, 2], 1000) / 1000 / 18)
    at = np.array([0.1, 0.5, 1.2, 2.0, 2.9, 3.0, 5.0])
    for steps in (1, 2, 7):
        scales = at[:, None] / steps
        q = np.minimum(np.rint(values[0] / scales), steps)
        expected = (values[0] - scales * q) ** 2 @ values[1]
        np.testing.assert_allclose(squared_errors(histogram, at, steps), expected, rtol=1e-5, atol=1e-9)
    expected = np.maximum(values[0] - at[:, None], 0) ** 2 @ values[1]
    np.testing.assert_allclose(clipping_errors(histogram, at), expected, rtol=2e-5, atol=1e-9)
    assert clipping_errors(histogram, [3.0, 9.0]).tolist() == [0, 0]


def test_mse_of_what_lies_on_a_grid_is_nothing_and_clips_nothing():
    x = np.repeat(np.arange(16) * 0.1, 10)
    found = thresholds.mse(x, bits=4)
    assert found.value == pytest.approx(1.5)
    assert found.curve[-1] == pytest.approx(0, abs=1e-15)
    assert found.curve.min() >= 0


def test_mse_of_equal_errors_takes_the_largest_threshold():
    """On the grid -s, 0, s: at 1.5 everything is off, 3 · 0.5² + 1.5²; at 3 the ones are lost, 3 · 1²."""
    found = thresholds.mse([1.0, 1.0, 1.0, -3.0], bits=2)
    assert found.curve[1023] == pytest.approx(3 / 4) == found.curve[-1] == found.curve.min()
    assert found.value == 3


def test_mse_of_sixteen_bits():
    """Fewer candidates than by default, which take seconds at this width."""
    x = TENSORS["small"]
    largest = np.abs(x).max()
    found = thresholds.mse(histogram_of(x, bins=40), bits=16)
    assert found.value == largest
    candidates = largest * np.array([0.9, 1.0])
    exact = squared_errors(Samples(x), candidates, 2**15 - 1)
    np.testing.assert_allclose(exact, plain_errors(x, candidates, 16, True), rtol=1e-6, atol=1e-15)
    assert exact[1] == pytest.approx((largest / (2**15 - 1)) ** 2 / 12, rel=0.1)


# Alternating minimization


def global_optimum(x: np.ndarray, steps: int) -> tuple[float, float]:
    """Return the best scale of all, and its mean squared error.

    As the scale falls from infinity, the integer of x_i goes from k-1 to k at |x_i| / (k - 1/2). Between two such
    points the integers are fixed, and the best scale for them leaves mean(x²) - (mean(x q))² / mean(q²).
    """
    a = np.abs(x[x != 0])
    k = np.arange(1, steps + 1)
    order = np.argsort(-(a[:, None] / (k - 0.5)).ravel())
    product = np.cumsum(np.repeat(a, steps)[order]) / len(x)
    energy = np.cumsum(np.tile(2 * k - 1.0, len(a))[order]) / len(x)
    best = np.argmax(product**2 / energy)
    return product[best] / energy[best], np.mean(x**2) - product[best] ** 2 / energy[best]


samples = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-8, 8, width=32)).filter(
    lambda x: np.abs(x).max() > 1e-3
)


@given(samples, st.sampled_from([2, 3, 4, 8]), st.sampled_from(["search", "max", 0.1]))
def test_half_steps_only_go_down_and_never_below_the_optimum(x, bits, start):
    if start == 0.1:
        start = 0.1 * np.abs(x).max()
    found = thresholds.admm(x, bits, signed=True, start=start)
    slack = 1e-12 * np.mean(x**2)
    assert np.all(np.diff(found.curve) <= slack)
    optimum = global_optimum(x, 2 ** (bits - 1) - 1)[1]
    assert found.curve[-1] >= optimum - slack
    assert found.value == found.candidates[-1]
    assert plain_error(x, found.value, bits, True) == pytest.approx(found.curve[-1], rel=1e-6, abs=slack)


def test_search_then_alternate_reaches_the_optimum():
    for name in ("gauss", "laplace", "relu", "sparse"):
        for bits in (2, 3, 4, 8):
            x = TENSORS[name][:2000].astype(np.float64)
            found = thresholds.admm(x, bits)
            steps = 2 ** (bits - found.signed) - 1
            scale, optimum = global_optimum(x, steps)
            assert optimum == pytest.approx(plain_error(x, scale * steps, bits, found.signed), rel=1e-6)
            # At 8 bits with only 200 values that are not 0, the optimum is a chance beyond the largest of them.
            near = {False: 1.0005, True: 1.005} if name != "sparse" else {False: 1.001, True: 1.1}
            assert found.curve[-1] <= optimum * near[bits == 8]
            assert found.curve[-1] <= thresholds.mse(x, bits).curve.min() * (1 + 1e-9)


def test_the_search_begins_where_mse_ends():
    for x in ([2.0], [0.0, -1.0, 0.0], [-8.0, -2.0, 6.0, 1.0]):
        for bins in (3, 4, 17):  # several thresholds have the same error here
            histogram = histogram_of(x, bins)
            assert thresholds.admm(histogram, 2).candidates[0] == pytest.approx(thresholds.mse(histogram, 2).value)


def test_plain_start_ends_in_a_bad_minimum_at_eight_bits():
    x = TENSORS["gauss"]
    plain, searched = (thresholds.admm(x, 8, start=start) for start in ("max", "search"))
    assert plain.curve[-1] > 1.03 * searched.curve[-1]
    assert plain.candidates[0] == np.abs(x).max()


def test_alternation_by_hand():
    """-1, 2 and 6 on the grid -1, 0, 1: at scale 6 only 6 becomes 1, and 6 is its best scale."""
    found = thresholds.admm([-1.0, 2.0, 6.0], bits=2, start="max")
    assert found.candidates == pytest.approx([6, 6])
    assert found.curve == pytest.approx([5 / 3, 5 / 3])
    found = thresholds.admm([-1.0, 2.0, 6.0], bits=2, start=3.0)  # now 2 becomes 1, too: the best scale is 4
    assert found.candidates == pytest.approx([3, 4, 4, 4])
    assert found.curve == pytest.approx([11 / 3, 3, 3, 3])
    assert found.why == "after 2 rounds from 3 the scale no longer moves; mean squared error 3"
    found = thresholds.admm([-1.0, 2.0, 6.0], bits=2, start=3.0, rounds=1)
    assert found.candidates == pytest.approx([3, 4])
    assert "after 1 rounds from 3 that was the last allowed" in found.why


@every_tensor
def test_alternation_is_the_plain_loop(name):
    x = TENSORS[name][:300] + np.random.default_rng(0).normal(scale=1e-3, size=300)
    for bits, rounds in ((2, 1), (3, 4), (8, 30)):
        start, steps = np.abs(x).max(), 2 ** (bits - 1) - 1
        plain = plain_loop(thresholds.admm, a=np.abs(x), s=start / steps, Q=steps, rounds=rounds)
        found = thresholds.admm(x, bits, signed=True, start="max", rounds=rounds)
        assert found.value == pytest.approx(plain["s"] * steps, rel=1e-6)


# Of as many values as a power of two means are exact, and so are ties.
counts = st.sampled_from([1, 2, 4, 8])


@given(
    counts.flatmap(lambda n: st.lists(st.integers(-9, 9), min_size=n, max_size=n)).filter(any),
    st.sampled_from([2, 3, 4]),
)
def test_alternation_is_the_plain_loop_where_values_are_halfway(x, bits):
    a, steps, rounds = np.abs(x), 2 ** (bits - 1) - 1, 20
    plain = plain_loop(thresholds.admm, a=a, s=a.max() / steps, Q=steps, rounds=rounds)
    found = thresholds.admm(x, bits, signed=True, start=np.float32(a.max()), rounds=rounds)
    assert found.value == pytest.approx(plain["s"] * steps, rel=1e-9)


def test_alternation_stops_at_a_fixed_point():
    found = thresholds.admm([1.0, 2.0, 3.0], bits=3, signed=True, start=3.0)
    assert found.candidates == pytest.approx([3, 3])
    assert found.curve == pytest.approx([0, 0])


def test_alternation_on_a_histogram():
    histogram = histogram_of(TENSORS["laplace"])
    found = thresholds.admm(histogram, 4)
    assert np.all(np.diff(found.curve) <= 1e-12)
    assert found.value == pytest.approx(thresholds.admm(TENSORS["laplace"], 4).value, rel=0.01)
    assert thresholds.admm(histogram, 4, rounds=2, start="max").curve.shape == (4,)


# Theory


def test_aciq_constants():
    """The table of ACIQ's authors; they round down here and there."""
    for bits, laplace, gauss in ((2, 2.83, 1.71), (3, 3.89, 2.15), (4, 5.03, 2.55), (8, 9.89, 3.92)):
        x = TENSORS["laplace"] * 3
        assert thresholds.aciq_laplace(x, bits).value / np.abs(x).mean(dtype=float) == pytest.approx(laplace, abs=0.011)
        x = TENSORS["gauss"] * 3
        found = thresholds.aciq_gauss(x, bits).value / np.sqrt(np.mean(x.astype(float) ** 2))
        assert found == pytest.approx(gauss, abs=0.011)


@pytest.mark.parametrize("bits", range(2, 17))
def test_aciq_of_a_laplace_distribution_is_lamberts_w(bits):
    x = np.append(TENSORS["laplace"], np.float32([-99, 99]))
    b = np.abs(x).mean(dtype=float)
    assert thresholds.aciq_laplace(x, bits).value == pytest.approx(b * lambertw(3 * 4**bits).real, rel=1e-6)


def test_aciq_is_least_where_its_curve_is():
    for method in (thresholds.aciq_laplace, thresholds.aciq_gauss):
        for bits in (2, 4, 8):
            for name in ("laplace", "gauss", "relu"):
                found = method(TENSORS[name], bits)
                step = found.candidates[0]
                assert found.value == pytest.approx(found.candidates[np.argmin(found.curve)], abs=step)
                assert method(histogram_of(TENSORS[name]), bits).value == pytest.approx(found.value, rel=1e-3)


def test_aciqs_curve_is_about_the_error():
    """Where there are many levels, the approximation is a good one."""
    for name, method in (("laplace", thresholds.aciq_laplace), ("gauss", thresholds.aciq_gauss)):
        found, exact = method(TENSORS[name], 6), thresholds.mse(TENSORS[name], 6)
        near = slice(600, 1500)
        np.testing.assert_allclose(found.candidates, exact.candidates)
        np.testing.assert_allclose(found.curve[near], exact.curve[near], rtol=0.15)


def test_aciq_takes_unsigned_values_for_half_of_a_distribution():
    x = TENSORS["laplace"]
    half = np.where(x > 0, x, 0)
    for method in (thresholds.aciq_laplace, thresholds.aciq_gauss):
        assert method(half, 3).value == pytest.approx(method(x, 4).value, rel=0.01)


def test_aciq_never_exceeds_the_largest_magnitude():
    for method in (thresholds.aciq_laplace, thresholds.aciq_gauss):
        found = method([1.0, -1.0])
        assert found.value == 1
        assert "the largest magnitude is less" in found.why


def test_aciq_is_not_the_best_threshold_of_two_bits():
    """On the grid -1, 0, 1, as its documentation says: 18 % and 34 % more error."""
    for name, method, more in (("laplace", thresholds.aciq_laplace, 1.18), ("gauss", thresholds.aciq_gauss, 1.34)):
        x = TENSORS[name]
        ratio = plain_error(x, method(x, 2).value, 2, True) / thresholds.mse(x, 2).curve.min()
        assert ratio == pytest.approx(more, abs=0.02)


# Percentile


def test_percentile_by_hand():
    x = np.array([0, 0, 0, 0, 0, -1, 2, -3, 4, 5.0])
    shares = {60: 1, 61: 2, 70: 2, 90: 4, 91: 5, 100: 5}
    assert {share: thresholds.percentile(x, share=share).value for share in shares} == shares
    assert thresholds.percentile(x, share=60, count_zeros=False).value == 3
    histogram = histogram_of(x, bins=5)  # 1 lies at the start of the bin from 1 to 2, 4 and 5 both in the last
    assert thresholds.percentile(histogram, share=60).value == 2
    assert thresholds.percentile(histogram, share=90).value == 4.5
    with pytest.raises(ValueError, match=r"50.0% of the values are 0, so share=50 would clip everything"):
        thresholds.percentile(x, share=50)


def test_percentile_of_a_histogram_is_within_a_bin():
    for x in (tensor[:20_000] for tensor in TENSORS.values()):
        histogram = histogram_of(x)
        for share in (95, 99, 99.9, 99.99, 100):
            for count_zeros in (False, True):
                exact = thresholds.percentile(x, share=share, count_zeros=count_zeros).value
                found = thresholds.percentile(histogram, share=share, count_zeros=count_zeros).value
                assert found == pytest.approx(exact, abs=histogram.edges[1])


def test_percentile_keeps_at_least_its_share():
    for count in (7, 10, 100, 1000, 1001):
        x = np.arange(1.0, count + 1)
        for share in (7, 33.3, 50, 70, 99.9):
            value = thresholds.percentile(x, share=share).value
            assert np.mean(x <= value) >= share / 100 - 1e-12
            assert np.mean(x < value) < share / 100


def test_percentile_of_everything_is_minmax():
    for x in TENSORS.values():
        for data in (x, histogram_of(x), histogram_of(x, within=Range(-99.0, 99.0))):
            assert thresholds.percentile(data, share=100).value == thresholds.minmax(data).value == np.abs(x).max()


# What all methods share


@settings(max_examples=10)
@given(data=st.data())
def test_a_histogram_of_any_batches_gives_the_same_threshold(data):
    x = TENSORS["small"]
    cuts = sorted(data.draw(st.lists(st.integers(0, x.size), max_size=4)))
    batches = [batch for batch in data.draw(st.permutations(np.split(x, cuts))) if batch.size]
    all_at_once = histogram_of(x)
    merged = reduce(Histogram.merge, [histogram_of(batch, within=all_at_once.range) for batch in batches])
    for method in METHODS:
        whole, found = method(all_at_once, 4), method(merged, 4)
        assert (found.value, repr(found)) == (whole.value, repr(whole))
        np.testing.assert_array_equal(found.curve, whole.curve)


@every_method
def test_order_of_an_array_does_not_matter_and_samples_may_be_asked_twice(method):
    x = TENSORS["laplace"][:5000]
    found = method(x)
    assert method(x[::-1].reshape(10, -1)).value == pytest.approx(found.value, rel=1e-12)
    sorted_once = Samples(x)
    for _ in range(2):
        assert (repr(method(sorted_once)), method(sorted_once).value) == (repr(found), found.value)


@every_method
def test_thresholds_grow_with_their_numbers(method):
    """From 1e-97 to 1e97; beyond 1e100 numbers are refused."""
    x = TENSORS["small"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in (1e-97, 1e97):
            for data, scaled in ((x, x * size), (histogram_of(x), histogram_of(x * size))):
                assert method(scaled, 4).value == pytest.approx(method(data, 4).value * size, rel=1e-3)


@every_method
def test_signed_or_not(method):
    x = TENSORS["relu"][:5000]
    for bits in WIDTHS:
        assert not method(x, bits).signed
        assert method(x, bits, signed=True).signed
        assert method(x - 0.1, bits).signed
        assert method(histogram_of(x - 0.1), bits).signed
        for data in (x - 0.1, histogram_of(x - 0.1)):
            with pytest.raises(
                ValueError, match=r"unsigned integers cannot stand for negative numbers, got -0\.1; use"
            ):
                method(data, bits, signed=False)


@every_method
def test_any_numbers(method):
    for x in (np.int8([-128, 5]), [1, 2, 3], np.float16([0.5, 2]), np.float64(-3)):
        assert 0 < method(x).value <= np.abs(np.asarray(x, float)).max() * (1 + 1e-12)


@every_method
def test_bits_may_be_any_integer(method):
    for integer in (np.int8, np.uint8, np.int16, np.int64):
        for bits in (2, 8):
            for data in (TENSORS["small"], np.abs(TENSORS["small"])):
                assert repr(method(data, integer(bits))) == repr(method(data, bits))


@every_method
def test_zeros_and_constants(method):
    for zeros in (np.zeros(3), np.array([-0.0]), histogram_of(np.zeros(3))):
        found = method(zeros)
        assert str(found.value) == "0.0"
        assert found.params(QuantSpec()).scale == 1
    for bits in (2, 8):
        for constant in (np.full(9, 2.5), np.full(9, -2.5)):
            assert method(constant, bits).value == 2.5
            assert method(histogram_of(constant), bits).value == pytest.approx(2.5, rel=1e-3)


@every_method
def test_bad_input(method):
    for nothing in ([], np.zeros((0, 3))):
        with pytest.raises(ValueError, match="x must hold at least one value, got shape"):
            method(nothing)
    with pytest.raises(ValueError, match=r"x must hold finite numbers .* got nan"):
        method([1.0, np.nan])
    with pytest.raises(ValueError, match=r"x must hold finite numbers up to 1e\+100, got 2e\+100"):
        method([1.0, 2e100])
    with pytest.raises(ValueError, match=r"a histogram of \|x\|, got one of x; count it with magnitude=True"):
        method(histogram_of([1.0, 2.0], magnitude=False))
    for bits in (1, 17):
        with pytest.raises(ValueError, match=f"bits must be an integer from 2 to 16, got {bits}"):
            method([1.0], bits)
    with pytest.raises(TypeError, match="x must hold integers or floats"):
        method(["a"])
    with pytest.raises(ValueError, match=r"x has 1 masked entries; leave them out with x\.compressed\(\)"):
        method(np.ma.masked_array([1.0, 1e6], [False, True]))


def test_bad_options():
    x = [1.0, 2.0]
    for share in (0.999, 0, 101, np.nan):
        with pytest.raises(ValueError, match=r"share must be in per cent, above 1 to 100 \(99.9, not 0.999\), got"):
            thresholds.percentile(x, share=share)
    with pytest.raises(ValueError, match="from 1 to 128, got 512; 8 bits have 256 levels: count 512 bins or more"):
        thresholds.kl(histogram_of(x, bins=128))
    with pytest.raises(ValueError, match="candidate's number of bins must be an integer from 1 to 2,048, got 0"):
        thresholds.kl(x, start=0)
    for start in (128.0, "max", [128], True):
        with pytest.raises(ValueError, match="candidate's number of bins must be an integer from 1 to 2,048, got"):
            thresholds.kl(x, start=start)
    for start in ("min", None, x, 0, -1.0, np.nan, np.inf, 2e100):
        with pytest.raises(ValueError, match="start must be 'search', 'max' or a positive threshold, got"):
            thresholds.admm(x, start=start)
    for rounds in (0, 2.5, None):
        with pytest.raises(ValueError, match="rounds must be an integer from 1 to 1,000,000, got"):
            thresholds.admm(x, rounds=rounds)
    for data in (x, histogram_of(x)):
        with pytest.raises(ValueError, match="start=5000 is so large that every value rounds to 0"):
            thresholds.admm(data, start=5000.0)


# From a threshold to a grid


def test_params_map_the_threshold_to_the_highest_integer():
    signed, unsigned = (Threshold(2.0, "mse", "a test", signed) for signed in (True, False))
    assert signed.params(QuantSpec(3, symmetric=True, narrow_range=True)).scale == 2 / 3
    assert unsigned.params(QuantSpec(3, signed=False, symmetric=True)).scale == 2 / 7
    int8, uint8 = (unsigned.params(QuantSpec(3, signed)) for signed in (True, False))
    assert (int8.low, int8.high, int8.zero_point) == (uint8.low, uint8.high, -4) == (0, 2, -4)
    with pytest.raises(ValueError, match="symmetric unsigned integers cannot stand for negative numbers"):
        signed.params(QuantSpec(signed=False, symmetric=True))
    with pytest.raises(TypeError, match=r"spec must be a QuantSpec, such as QuantSpec\(bits=8\), got 8"):
        signed.params(8)


def test_the_curve_is_the_error_of_the_grid():
    for bits in (2, 4, 8):
        for name in ("laplace", "relu"):
            x = TENSORS[name].astype(np.float64)
            found = thresholds.mse(x, bits)
            params = found.params(QuantSpec(bits, found.signed, symmetric=True, narrow_range=found.signed))
            assert np.mean((x - fake_quantize(x, params)) ** 2) == pytest.approx(found.curve.min(), rel=1e-6)


def test_threshold_explains_itself():
    found = thresholds.mse(np.array([-1.0, 0.0, 1.0]), bits=2)
    assert repr(found) == ("Threshold: mse keeps -1 to 1: the least mean squared error, 0, of 2048 candidates")


@every_method
def test_per_channel_is_the_method_on_each_channel(method):
    rng = np.random.default_rng(1)
    kernel = (rng.normal(size=(3, 3, 2, 5)) * [1, 2, 3, 4, 0]).astype(np.float32)
    spec = QuantSpec(4, symmetric=True, narrow_range=True, axis=-1)
    params = thresholds.per_channel(method, kernel, spec)
    assert params.spec == spec
    for channel in range(5):
        alone = method(kernel[..., channel], 4, signed=True).params(replace(spec, axis=None))
        assert params.scale[channel] == alone.scale


def test_per_channel_along_any_axis_and_on_any_grid():
    x = np.array([[1.0, 2.0, 4.0], [-8.0, 0.0, 3.0]])
    ends = params_from_range(np.array([0.0, -8.0]), np.array([4.0, 8.0]), QuantSpec(axis=0))
    found = thresholds.per_channel(thresholds.minmax, x, QuantSpec(axis=0))
    assert (found.scale.tolist(), found.zero_point.tolist()) == (ends.scale.tolist(), ends.zero_point.tolist())
    options = thresholds.per_channel(thresholds.percentile, x, QuantSpec(symmetric=True, axis=0), share=60)
    assert options.scale.tolist() == [2 / 127, 3 / 127]
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        thresholds.per_channel(thresholds.mse, x, QuantSpec(axis=2))
    with pytest.raises(ValueError, match="spec must say which axis counts the channels, got None"):
        thresholds.per_channel(thresholds.mse, x, QuantSpec())
    with pytest.raises(ValueError, match="unsigned integers cannot stand for negative numbers"):
        thresholds.per_channel(thresholds.mse, x, QuantSpec(signed=False, symmetric=True, axis=0))
    with pytest.raises(TypeError, match="spec must be a QuantSpec"):
        thresholds.per_channel(thresholds.mse, x, 8)
