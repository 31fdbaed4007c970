"""The explorers of a network's answers and of two accuracies: the order, the words, the verdicts."""

import re

import numpy as np
import pytest

from qkit.numeric import Accuracy
from qkit.show import explorers

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (200, 8, 8))
PROBABILITIES = RNG.dirichlet(np.full(10, 0.2), 200)
SAID, SURE = PROBABILITIES.argmax(axis=1), PROBABILITIES.max(axis=1)
LABELS = np.where(RNG.random(200) < 0.9, SAID, (SAID + 1) % 10)


def test_answers_run_from_the_surest_mistake_to_right_answers():
    explorer = explorers.answers(IMAGES, LABELS, PROBABILITIES)
    mistakes = int(np.sum(SAID != LABELS))
    shown = explorer.controls["rank"].max
    assert shown == 2 * mistakes + 50 < 200
    seen = []
    for rank in range(1, shown + 1):
        words = explorer.set(rank=rank).words
        index = int(re.search(r"test image (\d+)", words)[1])
        verdict = "Right" if SAID[index] == LABELS[index] else "Wrong"
        assert words == (
            f"Rank {rank} of {shown}, test image {index}: label {LABELS[index]}, the network says {SAID[index]}, "
            f"{100 * SURE[index]:.1f} % sure. {verdict}."
        )
        seen.append(index)
    wrong, right = seen[:mistakes], seen[mistakes:]
    assert sorted(wrong) == np.flatnonzero(SAID != LABELS).tolist()
    assert np.all(np.diff(SURE[wrong]) <= 0)
    assert SURE[right].tolist() == sorted(SURE[SAID == LABELS])[: len(right)]


def test_few_answers_are_all_shown_and_it_starts_where_it_is_told():
    explorer = explorers.answers(IMAGES[:9], LABELS[:9], PROBABILITIES[:9], rank=9)
    assert explorer.words.startswith("Rank 9 of 9, ")
    with pytest.raises(ValueError, match="rank must be a whole number from 1 to 9, got 10"):
        explorers.answers(IMAGES[:9], LABELS[:9], PROBABILITIES[:9], rank=10)


def test_answers_that_do_not_belong_together_are_refused():
    for images, labels, probabilities in (
        (IMAGES[:0], LABELS[:0], PROBABILITIES[:0]),
        (IMAGES, LABELS[1:], PROBABILITIES),
        (IMAGES[1:], LABELS, PROBABILITIES),
        (IMAGES, LABELS, PROBABILITIES[1:]),
        (IMAGES[..., None], LABELS, PROBABILITIES),
        (IMAGES, LABELS, SAID),
    ):
        with pytest.raises(ValueError, match=re.escape(f"{images.shape}, {labels.shape}, {probabilities.shape}")):
            explorers.answers(images, labels, probabilities)


def test_two_accuracies_overlap_or_do_not():
    explorer = explorers.two_accuracies()
    verdicts = set()
    for images, a, b in (
        (300, 95, 100),
        (1_000, 98, 98.5),
        (10_000, 98, 98.5),
        (1_000_000, 98.5, 98.45),
        (500, 99, 99),
    ):
        measured = [Accuracy(round(share / 100 * images), images) for share in (a, b)]
        said = [
            "{:.2f} % ({:.2f} % to {:.2f} %)".format(*(100 * x for x in (each.value, *each.interval)))
            for each in measured
        ]
        words = explorer.set(images=images, a=a, b=b).words
        assert words.startswith(f"{images:,} images: A {said[0]}, B {said[1]}. ")
        (low_a, high_a), (low_b, high_b) = (each.interval for each in measured)
        apart = high_a < low_b or high_b < low_a
        assert ("The intervals do not touch: a clear difference." in words) == apart
        equal = measured[0] == measured[1]
        assert ("The intervals overlap: no clear difference; only a test of the" in words) == (not apart and not equal)
        assert ("The two are the same." in words) == equal
        verdicts.add(apart)
    assert verdicts == {True, False}
    assert explorers.two_accuracies(a=99.5).values["a"] == 99.5
    with pytest.raises(ValueError, match="a must be a number from 95 to 100, got 90"):
        explorers.two_accuracies(a=90)
