"""Codebooks against all there could be: partitions, codes, bytes; and SciPy's k-means."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from qkit.numeric.codebook import Codebook, entropy, kmeans, powers_of_two
from qkit.numeric.errors import mse

pytestmark = pytest.mark.filterwarnings("error")

NUMBERS = st.lists(st.floats(-1000, 1000, width=32) | st.integers(-3, 3).map(float), min_size=1, max_size=9)


def error(x, codebook) -> float:
    return mse(x, codebook.dequantize(codebook.quantize(x)))


def least_error(x, count) -> float:
    """Return the least mean squared error over all ways to cut the sorted numbers into ``count`` runs."""
    x = np.sort(np.float64(x))
    ways = combinations(range(1, len(x)), min(count, len(x)) - 1)
    return min(sum(np.sum((run - run.mean()) ** 2) for run in np.split(x, way)) for way in ways) / len(x)


TENSORS = {
    "gauss": lambda rng: rng.normal(size=3000),
    "far outliers": lambda rng: rng.standard_cauchy(3000),
    "pruned": lambda rng: np.where(rng.random(3000) < 0.9, 0, rng.normal(size=3000)),
    "gaps": lambda rng: rng.integers(0, 30, 3000) + 0.01 * rng.normal(size=3000),
    "far from 0": lambda rng: 1e5 + rng.normal(size=3000),
}
every_tensor = pytest.mark.parametrize(
    "tensor", [make(np.random.default_rng(0)) for make in TENSORS.values()], ids=TENSORS
)


# k-means


@settings(max_examples=200)
@given(NUMBERS, st.integers(1, 9))
def test_kmeans_is_the_best_of_all_partitions(x, count):
    found = kmeans(x, count)
    assert len(found.values) == min(count, len(set(x)))
    assert error(x, found) == pytest.approx(least_error(x, count), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("count", [2, 3, 7, 40])
@every_tensor
def test_kmeans_equals_the_plain_recursion(tensor, count):
    """The recursion of the docstring, with every border tried, on sums of squares instead of what is saved."""
    x = np.sort(tensor[:300].astype(np.float32)).astype(np.float64)
    x -= x.mean()
    n, s1, s2 = len(x), np.append(0, np.cumsum(x)), np.append(0, np.cumsum(x**2))
    a, b = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    cost = np.where(a < b, s2[b] - s2[a] - (s1[b] - s1[a]) ** 2 / np.maximum(b - a, 1), np.inf)
    best = cost[0]
    for _ in range(min(count, len(set(x))) - 1):
        best = np.min(best[:, None] + cost, axis=0)
    found = error(tensor[:300].astype(np.float32), kmeans(tensor[:300], count))
    assert found == pytest.approx(best[n] / n, rel=1e-4, abs=1e-13 * np.mean(tensor**2))


@pytest.mark.parametrize("count", [2, 5, 16])
@every_tensor
def test_no_other_kmeans_is_better(tensor, count):
    found, x = kmeans(tensor, count), tensor.astype(np.float32)
    least, slack = error(x, found), 1 + 1e-6
    centred = x - np.float64(x.mean())
    for seed in range(3):
        others, labels = kmeans2(centred, count, minit="++", rng=seed)
        assert least <= np.mean((centred - others[labels]) ** 2) * slack
    best = found.values - np.float64(x.mean())
    for start in (np.linspace(centred.min(), centred.max(), count), best):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of empty clusters
            others, _ = kmeans2(centred, start, minit="matrix")
        assert least <= error(x, Codebook(np.unique(np.float32(others + x.mean(dtype=np.float64))))) * slack
    np.testing.assert_allclose(others, best, rtol=1e-5, atol=1e-6 * np.abs(x).max())  # no step moves them


def test_kmeans_by_hand():
    assert kmeans([0, 0, 10], 1).values.tolist() == pytest.approx([10 / 3])
    assert kmeans([-7.0, 3.0, 3.0, -7.0], 5).values.tolist() == [-7, 3]
    tiny = kmeans([1e-30, 2e-30, 3e-30, 1.0, 1e5], 4).values  # in float64, 1e5 + 1e-30 is 1e5
    assert len(tiny) == 4 and tiny[-1] == np.float32(1e5)
    for outlier in (1e10, 1e19, 1e38):
        assert kmeans([3.0, 2.0, 4.0, -5.0, outlier], 4).values[-1] == np.float32(outlier)


# Codebooks


@given(NUMBERS, st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=6, unique=True).map(sorted))
def test_every_number_goes_to_its_nearest_value(x, values):
    distances = np.abs(np.float64(x)[:, None] - np.float64(values))
    q = Codebook(values).quantize(x)
    np.testing.assert_allclose(distances[np.arange(len(x)), q], distances.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(Codebook(values).quantize(values), np.arange(len(values)))


@pytest.mark.parametrize(("count", "bits"), [(1, 0), (2, 1), (3, 2), (16, 4), (17, 5), (256, 8)])
def test_bits_of_an_index(count, bits):
    book = Codebook(np.arange(count))
    assert book.bits == bits
    assert book.quantize([0, count]).dtype == np.uint8
    assert book.quantize(np.zeros((2, 0))).shape == (2, 0)
    assert not book.values.flags.writeable


@pytest.mark.parametrize("bits", range(9))
def test_packed_indices_follow_each_other(bits):
    rng = np.random.default_rng(bits)
    book = Codebook(np.arange(2**bits))
    for shape in ((), (0,), (1,), (7, 3), (2, 3, 4)):
        q = rng.integers(0, 2**bits, shape)
        data = book.pack(q)
        assert len(data) == np.ceil(q.size * bits / 8)
        # As one large number, whose lowest bits are the first index.
        expected = sum(int(index) << (bits * i) for i, index in enumerate(q.ravel()))
        assert int.from_bytes(data, "little") == expected


# Powers of two


@pytest.mark.parametrize("bits", range(2, 9))
def test_products_with_powers_of_two_are_shifts(bits):
    rng = np.random.default_rng(bits)
    weights, inputs = rng.laplace(size=200), rng.integers(-128, 128, 200)
    book = powers_of_two(weights, bits)
    q = book.quantize(weights)
    values = book.values[q].astype(np.float64)
    assert len(book.values) == 2**bits - 1 and book.bits == bits
    lowest = int(np.log2(book.values[book.values > 0].min()))
    accumulator = 0
    for value, x in zip(values, inputs.tolist(), strict=True):
        if value:
            accumulator += int(np.sign(value)) * (x << (int(np.log2(abs(value))) - lowest))
    assert accumulator * 2.0**lowest == inputs @ values


@given(NUMBERS, st.integers(2, 4), st.integers(-7, 0))
def test_no_other_highest_power_is_better(x, bits, below):
    largest = np.max(np.abs(x))
    found = powers_of_two(x, bits)
    if largest == 0:
        assert found.values.tolist() == [0]
        return
    highest = int(np.ceil(np.log2(largest))) + below
    powers = 2.0 ** np.arange(highest, highest - 2 ** (bits - 1) + 1, -1)
    powers = powers[powers >= 2.0**-149]
    assert error(np.float32(x), found) <= error(np.float32(x), Codebook(np.unique([*-powers, 0, *powers])))
    magnitudes = np.unique(np.abs(found.values))[1:]
    assert np.all(np.frexp(magnitudes)[0] == 0.5) and np.all(magnitudes[1:] == 2 * magnitudes[:-1])


def test_an_outlier_is_cut_off_where_that_costs_less():
    weights = np.append(np.repeat([-1.0, 1.0], 5000), 100.0)
    assert powers_of_two(weights, 2).values.tolist() == [-1, 0, 1]
    assert powers_of_two(weights, 5).values.max() == 128
    assert powers_of_two([3e38, 1e-45], 8).values.max() == 2.0**127
    assert powers_of_two([1e-45], 8).values.tolist() == [-(2.0**-149), 0, 2.0**-149]


# What is stored


def test_entropy():
    assert entropy([7, 7, 7]) == 0
    assert entropy(np.arange(16).reshape(4, 4)) == 4
    assert entropy(np.repeat([0, 1], [1, 3])) == pytest.approx(2 - 0.75 * np.log2(3))


def test_bits_per_weight_include_the_codebook():
    rng = np.random.default_rng(0)
    weights = rng.laplace(size=(40, 30))
    book = kmeans(weights, 16)
    q = book.quantize(weights)
    assert book.bits_per_weight(q.size) == pytest.approx(8 * (len(book.pack(q)) + book.values.nbytes) / weights.size)


# What cannot be done


@pytest.mark.parametrize("method", [lambda x: kmeans(x, 4), lambda x: powers_of_two(x, 4)])
def test_numbers_that_have_no_code(method):
    for x in ([np.nan, 1.0], [1.0, -np.inf]):
        with pytest.raises(ValueError, match="x must hold finite numbers"):
            method(x)
    with pytest.raises(ValueError, match="x must hold at least one value"):
        method([])
    with pytest.raises(ValueError, match="x must hold numbers of float32"):
        method([1e39])
    with pytest.raises(TypeError, match="x must hold integers or floats"):
        method(["a"])


def test_bad_arguments():
    book = Codebook([0.0, 1.0, 2.0])
    for values in ([1.0, 0.0], [0.0, 0.0], [[0.0, 1.0]], 0.0, [1.0, 1.0 + 1e-12], np.arange(257)):
        with pytest.raises(ValueError, match=r"each larger than the one before, got shape .* puts them in order"):
            Codebook(values)
    with pytest.raises(ValueError, match="values must hold at least one value"):
        Codebook([])
    for bad in ([3], [-1]):
        for method in (book.dequantize, book.pack):
            with pytest.raises(ValueError, match="q must hold indices from 0 to 2 of this codebook"):
                method(bad)
    with pytest.raises(TypeError, match="q must hold integers"):
        book.pack([0.5])
    with pytest.raises(ValueError, match="count must be an integer from 1 to 256, got 0"):
        kmeans([1.0], 0)
    for bits in (1, 9, 4.0):
        with pytest.raises(ValueError, match="bits must be an integer from 2 to 8"):
            powers_of_two([1.0], bits)
