"""The stand-in digits: the same everywhere, in MNIST's layout, with MNIST's statistics."""

import hashlib

import numpy as np
import pytest

from qkit.digits import draw_digits

# On every machine and every NumPy that requirements.txt allows; CI runs this on three systems.
FIRST_2500 = "5c623d2a826779c9e58808b20225e4d56fef7360a75891efc90dfc75fffc4197"


@pytest.fixture(scope="module")
def digits():
    return draw_digits(5_000)


def test_same_bytes_everywhere(digits):
    images, labels = digits
    assert hashlib.sha256(images[:2500].tobytes() + labels[:2500].tobytes()).hexdigest() == FIRST_2500


def test_fewer_images_are_the_first_of_more(digits):
    for count in (1, 2_500, 2_501):
        images, labels = draw_digits(count)
        np.testing.assert_array_equal(images, digits[0][:count])
        np.testing.assert_array_equal(labels, digits[1][:count])


def test_splits_share_no_image(digits):
    training = {image.tobytes() for image in digits[0]}
    assert len(training) == len(digits[0])
    assert not training & {image.tobytes() for image in draw_digits(2_500, split=1)[0]}


def test_layout_and_balance(digits):
    images, labels = digits
    assert images.shape == (5_000, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (5_000,) and labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [500] * 10


def test_statistics_are_those_of_mnist(digits):
    """MNIST's training set: mean 0.1307, standard deviation 0.3081, 19.1 % of pixels inked."""
    images = digits[0] / 255
    assert images.mean() == pytest.approx(0.1307, abs=0.005)
    assert images.std() == pytest.approx(0.3081, abs=0.010)
    assert np.mean(images > 0) == pytest.approx(0.191, abs=0.015)


def test_ink_stays_inside_and_in_the_middle(digits):
    images = digits[0].astype(float)
    border = np.ones((28, 28), bool)
    border[2:-2, 2:-2] = False
    assert np.mean(images[:, border] > 0) < 0.01
    rows = np.sum(images.sum(axis=2) * np.arange(28), axis=1) / images.sum(axis=(1, 2))
    columns = np.sum(images.sum(axis=1) * np.arange(28), axis=1) / images.sum(axis=(1, 2))
    assert np.abs(rows - 14).max() < 2.5 and np.abs(columns - 14).max() < 2.5
    assert rows.mean() == pytest.approx(14, abs=0.2) and columns.mean() == pytest.approx(14, abs=0.2)


def test_count_must_be_positive():
    for count in (0, -1):
        with pytest.raises(ValueError, match="count must be at least 1"):
            draw_digits(count)
