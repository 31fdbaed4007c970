from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qkit.numeric import Histogram, Range, Samples, histogram_of, range_of, thresholds
from qkit.numeric.histogram import channel_shares

# Values on bin borders, repeated values and zeros are likely.
values = st.one_of(st.integers(-8, 8).map(float), st.floats(-10, 10).map(lambda x: round(x, 9)), st.just(0.0))
arrays = hnp.arrays(np.float64, st.integers(1, 60), elements=values)


def same(a: Histogram, b: Histogram) -> bool:
    fields = [(h.counts.tolist(), h.zeros, h.start, h.stop, h.range, h.magnitude) for h in (a, b)]
    return fields[0] == fields[1]


def test_by_hand():
    x = np.array([[-4.0, 0.0, 0.5], [1.0, 3.9, 0.0]], np.float32)
    found = histogram_of(x, bins=4)
    assert found.counts.tolist() == [3, 1, 0, 2]
    assert found.nonzero_counts.tolist() == [1, 1, 0, 2]
    assert (found.zeros, found.count, found.magnitude) == (2, 6, True)
    assert found.edges.tolist() == [0, 1, 2, 3, 4]
    assert found.range == Range(-4.0, float(np.float32(3.9)))


def test_signed_by_hand():
    found = histogram_of([-1.0, 0.0, 3.0, 2.9], bins=4, magnitude=False)
    assert found.edges.tolist() == [-1, 0, 1, 2, 3]
    assert found.counts.tolist() == [1, 1, 0, 2]
    assert found.nonzero_counts.tolist() == [1, 0, 0, 2]


@given(arrays, st.integers(1, 40), st.booleans())
def test_equals_numpy(x, bins, magnitude):
    found = histogram_of(x, bins, magnitude)
    counts, edges = np.histogram(np.abs(x) if magnitude else x, bins, (found.start, found.stop))
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.edges, edges)
    assert found.count == x.size
    assert found.range == Range(x.min(), x.max())
    np.testing.assert_array_equal(
        found.nonzero_counts, np.histogram(np.abs(x[x != 0]) if magnitude else x[x != 0], edges)[0]
    )


@given(arrays, st.integers(1, 40), st.booleans(), st.data())
def test_independent_of_batches_and_order(x, bins, magnitude, data):
    whole = histogram_of(x, bins, magnitude)
    cuts = sorted(data.draw(st.lists(st.integers(0, x.size), max_size=5)))
    order = data.draw(st.permutations(range(x.size)))
    batches = [batch for batch in np.split(x[order], cuts) if batch.size]
    assert reduce(Range.merge, map(range_of, batches)) == whole.range
    parts = [histogram_of(batch, bins, magnitude, within=whole.range) for batch in batches]
    assert same(reduce(Histogram.merge, parts), whole)


@given(arrays, arrays, arrays, st.booleans())
def test_merge_is_associative_and_commutative(x, y, z, magnitude):
    whole = histogram_of(np.concatenate([x.ravel(), y.ravel(), z.ravel()]), 7, magnitude)
    a, b, c = (histogram_of(part, 7, magnitude, whole.range) for part in (x, y, z))
    assert same(a.merge(b).merge(c), whole)
    assert same(a.merge(b.merge(c)), whole)
    assert same(c.merge(a).merge(b), whole)


def test_float32_goes_where_its_exact_value_does():
    edges = histogram_of(np.array([1.0]), bins=10).edges
    x = np.float32([0.1, 0.3, 0.7])  # above, above and below the float64 numbers of the same name
    expected = np.histogram(x.astype(np.float64), edges)[0]
    assert histogram_of(x, bins=10, within=Range(0, 1)).counts.tolist() == expected.tolist()


@pytest.mark.parametrize("value", [5.0, -3.0, 0.0, 1e-300, 1e100])
@pytest.mark.parametrize("magnitude", [True, False])
def test_constants(value, magnitude):
    found = histogram_of(np.full(3, value), bins=8, magnitude=magnitude)
    assert found.count == 3
    assert found.zeros == (3 if value == 0 else 0)
    assert found.start <= found.stop
    assert found.nonzero_counts.sum() == 3 - found.zeros


def test_range_with_negative_numbers_only_ends_at_zero():
    found = histogram_of([-4.0, -0.0, -1.0], bins=4, magnitude=False)
    assert found.edges.tolist() == [-4, -3, -2, -1, 0]
    assert found.nonzero_counts.tolist() == [1, 0, 0, 1]


def test_repr_teaches():
    assert repr(histogram_of([-1.0, 0.0, 2.0], bins=8)) == (
        "Histogram: 3 values of |x| (1 exact zeros) in 8 bins from 0 to 2; x from -1 to 2"
    )
    assert " 2 values of x " in repr(histogram_of([1.0, 2.0], magnitude=False))


def test_histogram_refuses():
    for bins in (0, -1, 2**20 + 1, 10**9, "10", 10.0, True, None):
        with pytest.raises(ValueError, match=r"bins must be an integer from 1 to 1,048,576, got"):
            histogram_of([1.0], bins=bins)
    assert histogram_of([1.0], bins=np.uint8(200)).counts.size == 200
    with pytest.raises(ValueError, match=r"within Range\(low=0, high=1\), got Range\(low=0.5, high=2.0\)"):
        histogram_of([0.5, 2.0], within=Range(0, 1))
    with pytest.raises(ValueError, match=r"x must hold finite numbers .* got nan"):
        histogram_of([[1.0], [np.nan]])
    masked = np.ma.masked_array([1.0, 1e6], [False, True])
    with pytest.raises(ValueError, match=r"x has 1 masked entries"):
        histogram_of(masked)
    assert histogram_of(masked.compressed()).range.high == 1
    for nothing in ([], np.zeros((0, 3))):
        with pytest.raises(ValueError, match="x must hold at least one value"):
            range_of(nothing)
        with pytest.raises(ValueError, match="x must hold at least one value"):
            histogram_of(nothing, within=Range(0, 1))


@pytest.mark.parametrize("change", [{"bins": 4}, {"magnitude": False}, {"within": Range(-1, 2)}])
def test_merge_refuses_other_bins(change):
    bins = {"bins": 8, "magnitude": True, "within": Range(0, 1)}
    with pytest.raises(ValueError, match="only histograms with the same bins can be merged"):
        histogram_of([0.5], **bins).merge(histogram_of([0.5], **(bins | change)))


# What thresholds ask


magnitudes = hnp.arrays(np.float64, st.integers(1, 40), elements=st.one_of(st.integers(-8, 8).map(float), st.just(0.0)))


@given(magnitudes, hnp.arrays(np.float64, 5, elements=st.floats(0, 12)))
def test_samples_answer_exactly(x, t):
    a = np.abs(x)
    found = Samples(x)
    assert (found.low, found.largest) == (x.min(), a.max())
    assert (found.count, found.zeros) == (x.size, np.sum(x == 0))
    assert [found.ranked(rank + 1) for rank in range(x.size - found.zeros)] == sorted(a[a > 0])
    shares, sums, squares = found.beyond(t)
    np.testing.assert_allclose(shares, [np.mean(a >= each) for each in t], rtol=1e-12)
    np.testing.assert_allclose(sums, [np.sum(a[a >= each]) / x.size for each in t], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(squares, [np.sum(x[a >= each] ** 2) / x.size for each in t], rtol=1e-12, atol=1e-12)
    assert found.beyond(float(t[0])) == (shares[0], sums[0], squares[0])


@given(magnitudes.filter(np.any), st.integers(1, 9), hnp.arrays(np.float64, 5, elements=st.floats(0, 12)))
def test_histograms_answer_as_if_values_spread_evenly_over_their_bins(x, bins, t):
    """The oracle cuts every bin at t and takes what lies above, with its centre."""
    found, counts, edges = histogram_of(x, bins), *np.histogram(np.abs(x[x != 0]), bins, (0, np.abs(x).max()))
    assert (found.low, found.largest) == (x.min(), np.abs(x).max())
    from_here = np.clip(t[:, None], edges[:-1], edges[1:])
    part = (edges[1:] - from_here) / (edges[1:] - edges[:-1])
    shares, sums, squares = found.beyond(t)
    np.testing.assert_allclose(shares, part @ counts / x.size, atol=1e-12)
    np.testing.assert_allclose(sums, (part * (from_here + edges[1:]) / 2) @ counts / x.size, atol=1e-12)
    thirds = (edges[1:] ** 3 - from_here**3) / 3 / (edges[1:] - edges[:-1])
    np.testing.assert_allclose(squares, thirds @ counts / x.size, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.beyond(edges), found.beyond_edges, atol=1e-12)
    ranks = np.arange(counts.sum()) + 1
    ranked = np.array([found.ranked(rank) for rank in ranks])
    # Up to a magnitude of this rank lie as many.
    np.testing.assert_allclose((1 - found.zeros / x.size - found.beyond(ranked)[0]) * x.size, ranks, atol=1e-9)


@pytest.mark.parametrize("largest", [0.3, 2.1, 7.7])
def test_nothing_lies_beyond_the_last_edge(largest):
    for bins in range(1, 301):
        histogram = histogram_of([largest], bins)
        for t in (histogram.edges[-1], largest, 2 * largest):
            assert np.max(np.abs(histogram.beyond(t))) <= 1e-12 * max(1, largest**2)


def test_the_lowest_integer_has_a_magnitude():
    assert channel_shares(np.int8([[-128, 64]])).tolist() == channel_shares([[-128, 64]]).tolist() == [1, 0.5]
    assert channel_shares(2.0).tolist() == [1]


def test_only_histograms_of_magnitudes_are_asked():
    for asked in (lambda h: h.beyond(1.0), lambda h: h.beyond_edges, lambda h: h.shares):
        with pytest.raises(ValueError, match=r"must be a histogram of \|x\|, got one of x"):
            asked(histogram_of([-1.0, 2.0], magnitude=False))


def test_what_is_counted_cannot_be_changed():
    """Not even by way of a threshold, whose candidates are the edges."""
    found = histogram_of([1.0, 2.0, 2.0], bins=8)
    for array in (found.counts, found.edges, found.shares, thresholds.mse(found).candidates):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9


def test_samples_refuse():
    with pytest.raises(ValueError, match=r"at least one value, got shape \(0, 2\)"):
        Samples(np.zeros((0, 2)))
    with pytest.raises(TypeError, match="integers or floats"):
        Samples("abc")
