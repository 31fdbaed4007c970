"""Other kernels for a while, and the old ones back whatever happens."""

import numpy as np
import pytest

from qkit.network import build, kernels_replaced, predict


@pytest.fixture
def model():
    return build("shallow", seed=1)


def test_replaced_and_put_back(model, few_digits):
    images = few_digits.x_test[:20]
    before = predict(model, images)
    kernel = np.zeros((5408, 10), np.float32)
    with kernels_replaced(model, {"dense1": kernel}) as same:
        assert same is model
        np.testing.assert_allclose(predict(model, images), 0.1, atol=1e-7)
    np.testing.assert_array_equal(predict(model, images), before)


def test_put_back_after_an_error(model, few_digits):
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt), kernels_replaced(model, {"dense1": np.zeros((5408, 10))}):
        raise KeyboardInterrupt
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ({"dense1": np.zeros((3, 3))}, r"kernel of dense1 has shape \(5408, 10\), got \(3, 3\)"),
        ({"pool1": np.zeros((3, 3))}, "kernel of pool1 has shape None"),
        ({"conv9": np.zeros((3, 3))}, "conv9"),
    ],
)
def test_kernels_that_do_not_fit_change_nothing(model, kernels, message):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message), kernels_replaced(model, {"conv1": np.ones((3, 3, 1, 32))} | kernels):
        pytest.fail("must not get here")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
