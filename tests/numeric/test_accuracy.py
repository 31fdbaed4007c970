"""Accuracies and means, their intervals and paired tests, against published numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.numeric import Accuracy, Mean, Paired, holm


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (Wilson without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_is_wilsons(correct, total, low, high):
    assert Accuracy(correct, total).interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_value(counts):
    low, high = Accuracy(*counts).interval
    assert 0 <= low <= counts[0] / counts[1] <= high <= 1


def test_counting():
    measured = Accuracy.of(np.array([1, 2, 3, 4]), [1, 2, 3, 5])
    assert measured == Accuracy(3, 4)
    assert str(measured) == "75.00 % (95 % interval 30.06 % to 95.44 %, 4 images)"
    assert str(Accuracy(9913, 10_000)) == "99.13 % (95 % interval 98.93 % to 99.29 %, 10,000 images)"


@pytest.mark.parametrize(
    ("predicted", "labels"),
    [([], []), ([1, 2], [1]), (np.zeros((5, 10)), np.zeros(5)), (np.zeros((2, 2)), np.zeros((2, 2)))],
)
def test_shapes_that_do_not_fit(predicted, labels):
    with pytest.raises(ValueError, match="two lists of the same length"):
        Accuracy.of(predicted, labels)
    with pytest.raises(ValueError, match="two lists of the same length"):
        Paired.of(predicted, predicted, labels)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        # Two-sided tails of the binomial distribution with p = 1/2, in fractions of powers of two.
        (0, 5, 2 / 2**5),
        (1, 5, 2 * (1 + 6) / 2**6),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_paired_test_is_mcnemars(only_first, only_second, p_value):
    assert Paired(only_first, only_second, 100).p_value == pytest.approx(p_value)
    assert Paired(only_second, only_first, 100).p_value == pytest.approx(p_value)


def test_paired_counting():
    labels = np.array([1, 2, 3, 4, 5])
    paired = Paired.of(np.array([1, 2, 0, 0, 5]), np.array([1, 0, 3, 4, 5]), labels)
    assert paired == Paired(only_first=1, only_second=2, total=5) and paired.gain == 0.2
    assert str(paired) == "+20.00 points: only the first right 1, only the second 2; p = 1, no difference shown"


@pytest.mark.parametrize(
    ("b", "c", "n", "low", "high"),
    [
        # As diffpropci computes it, A. Agresti's own program (users.stat.ufl.edu/~aa/cda/R/matched).
        (1, 4, 18, 3 / 20 - 1.96 * (6 - 9 / 20) ** 0.5 / 20, 3 / 20 + 1.96 * (6 - 9 / 20) ** 0.5 / 20),
        (0, 0, 998, -1.96 / 1000, 1.96 / 1000),
        (2, 0, 2, -1, -0.5 + 1.96 * (3 - 1) ** 0.5 / 4),
    ],
)
def test_paired_interval_is_that_of_agresti_and_min(b, c, n, low, high):
    assert Paired(b, c, n).interval == pytest.approx((low, high))
    assert Paired(c, b, n).interval == pytest.approx((-high, -low))


def test_paired_interval_holds_the_true_difference_19_times_in_20():
    """Of 20,000 experiments with 1,000 images each, of which 0.5 % and 1.5 % differ each way."""
    counts = np.random.default_rng(0).multinomial(1_000, [0.015, 0.005, 0.98], 20_000)
    held = [low < -0.01 < high for low, high in (Paired(b, c, 1_000).interval for b, c, _ in counts.tolist())]
    assert 0.94 < np.mean(held) < 0.97


def test_an_accuracy_says_all_without_a_format():
    assert f"{Accuracy(4, 8)}" == "50.00 % (95 % interval 21.52 % to 78.48 %, 8 images)"


def test_the_interval_of_a_mean_is_the_normal_one_where_samples_are_many():
    numbers = np.random.default_rng(0).exponential(size=2_000)
    found, half = Mean.of(numbers), 1.96 * numbers.std() / 2_000**0.5
    assert (found.value, found.total) == (pytest.approx(numbers.mean()), 2_000)
    np.testing.assert_allclose(found.interval, [found.value - half, found.value + half], atol=0.15 * half)
    assert Mean.of(list(numbers)) == found  # and the same each time


def test_the_interval_of_a_mean_mostly_holds_the_truth():
    rng = np.random.default_rng(1)
    held = [low <= 2 <= high for low, high in (Mean.of(rng.normal(2, 3, 40)).interval for _ in range(300))]
    assert 0.90 < np.mean(held) < 0.98


def test_a_mean_goes_with_its_numbers():
    numbers = np.random.default_rng(2).normal(size=50)
    found, moved = Mean.of(numbers), Mean.of(4 * numbers + 3)
    np.testing.assert_allclose([moved.value, *moved.interval], 4 * np.array([found.value, *found.interval]) + 3)
    same = Mean.of([0.25, 0.25, 0.25])
    assert (same.value, same.interval) == (0.25, (0.25, 0.25))
    coarse = np.float16(1000 + 1000 * numbers)  # whose sum float16 could not hold
    assert Mean.of(coarse) == Mean.of(coarse.astype(float))
    assert str(Mean.of(np.array([1, 2]))) == "1.5000 (95 % interval 1.0000 to 2.0000, 2 samples)"


def test_pairs_show_a_difference_that_means_hide():
    rng = np.random.default_rng(3)
    before = rng.normal(2, 1, 100)
    after = before + rng.normal(0.05, 0.1, 100)
    assert Mean.of(after).interval[0] < Mean.of(before).interval[1]
    assert Mean.of(after - before).interval[0] > 0


def test_what_has_no_mean():
    for wrong in ([1.0], [[1.0, 2.0]], 1.0):
        with pytest.raises(ValueError, match="numbers must be a list of at least two, got shape"):
            Mean.of(wrong)
    with pytest.raises(ValueError, match="numbers must hold at least one value"):
        Mean.of([])
    with pytest.raises(ValueError, match="numbers must hold finite numbers"):
        Mean.of([1.0, np.nan])


def plain_holm(p_values: list[float], level: float) -> list[bool]:
    """The rule in words: the smallest below level / m, the next below level / (m - 1), until one is not."""
    stands, asked = [False] * len(p_values), sorted(range(len(p_values)), key=lambda i: p_values[i])
    for place, index in enumerate(asked):
        if p_values[index] >= level / (len(p_values) - place):
            break
        stands[index] = True
    return stands


def test_holm_by_hand():
    # Thresholds 0.0125, 0.01667, 0.025 and 0.05: the third fails, and takes the fourth with it.
    assert holm([0.03, 0.01, 0.035, 0.015]).tolist() == [False, True, False, True]
    assert holm([0.05]).tolist() == [False] and holm([0.0499]).tolist() == [True]  # below, not at
    assert holm([0.02, 0.02]).tolist() == [True, True]
    assert holm([0.03, 0.03]).tolist() == [False, False]
    assert holm([0.0] * 9).all() and not holm([1.0] * 9).any()
    assert holm([]).tolist() == [] and holm([]).dtype == bool
    assert holm([0.04, 0.2], level=0.1).tolist() == [True, False]


@given(st.lists(st.sampled_from([0, 1e-9, 0.002, 0.004, 0.01, 0.02, 0.03, 0.05, 0.3, 1.0])), st.floats(0.001, 0.3))
def test_holm_is_the_rule_in_words(p_values, level):
    found = holm(p_values, level)
    assert found.tolist() == plain_holm(p_values, level)
    # Never fewer than Bonferroni's correction lets stand, and never more than without one.
    assert np.all(found >= (np.array(p_values) < level / max(len(p_values), 1)))
    assert np.all(found <= (np.array(p_values) < level))


def test_holm_refuses():
    with pytest.raises(ValueError, match="p_values must hold finite numbers"):
        holm([np.nan])
    with pytest.raises(TypeError, match="p_values must hold integers or floats"):
        holm(["0.1"])
    for shape in ((), (2, 2)):
        with pytest.raises(ValueError, match="p_values must be a list, got shape"):
            holm(np.full(shape, 0.01))
