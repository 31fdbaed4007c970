"""The riddle is one: nothing to see in float, all the more on a grid, and it can be solved."""

import numpy as np

from qkit.network import Simulation, predict
from qkit.network.repair import equalize
from qkit.network.riddle import broken
from tests.network.models import L, conv, randomized, sequential


def test_answers_are_the_same_in_float_and_others_on_a_grid_until_it_is_solved():
    layers = conv(8, activation="relu"), conv(8, activation="relu"), L.Flatten(), L.Dense(5, activation="softmax")
    model = randomized(sequential((10, 10, 2), *layers))
    images = np.random.default_rng(1).random((200, 10, 10, 2), np.float32)
    answers = predict(model, images).argmax(axis=1)
    network = broken(model)
    np.testing.assert_allclose(predict(network, images), predict(model, images), atol=1e-4)

    def changed(model):
        return Simulation(model, images).quantized(8, 8).measure(images, answers).changed

    assert changed(network) > 5 * changed(equalize(network))
