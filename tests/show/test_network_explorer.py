"""The explorer of whole networks: what it asks of the simulation, and what it says."""

import numpy as np
import pytest
from fake_simulation import FakeSimulation, fake_digits

from qkit.numeric import thresholds
from qkit.show import explorers
from qkit.show.canvas import Stage
from qkit.show.explorers.network import wrong_answers
from qkit.show.explorers.threshold import METHODS


def network(count=4_500, **start):
    simulation = FakeSimulation()
    return simulation, explorers.network(simulation, *fake_digits(count), **start)


@pytest.mark.slow
def test_controls_become_settings():
    simulation, explorer = network()
    assert simulation.settings[-1] == (
        4,
        8,
        {"per_channel": True, "weight_method": thresholds.mse, "activation_method": thresholds.mse, "in_float": ()},
    )
    explorer.set(weight_bits="float", activation_method="kl_plain", dense1=False, per_channel=False)
    assert simulation.settings[-1] == (
        None,
        8,
        {
            "per_channel": False,
            "weight_method": thresholds.mse,
            "activation_method": METHODS["kl_plain"],
            "in_float": ("dense1",),
        },
    )
    explorer.set(weight_bits=2, activation_bits="float")
    assert simulation.settings[-1][:2] == (2, None)


def test_words():
    _, explorer = network()
    assert explorer.words == (
        "Weights in 4 bits, a scale per channel, by mse; activations in 8 bits by mse. "
        "1,500 of the 4,500 images, evenly chosen: 87.00 % (85.20 % to 88.61 %) right, "
        "in float 99.00 % (98.36 % to 99.39 %). Answers that differ from float: 97. "
        "SQNR: image ∞ dB, conv1 24.1 dB, dense1 24.1 dB. Parameters: 34 kB, in float 40 kB."
    )
    explorer.set(weight_bits="float", activation_bits=5, conv1=False, activation_method="percentile")
    assert explorer.words.startswith(
        "Weights in float; activations in 5 bits by percentile 99.9; conv1 left in float. "
    )
    explorer.set(weight_bits=2, activation_bits="float", per_channel=False)
    assert explorer.words.startswith("Weights in 2 bits, one scale per layer, by mse; activations in float; conv1 ")


def test_few_images_are_all_measured():
    simulation, explorer = network(count=1_999)
    assert " All 1,999 images: " in explorer.words
    assert [len(labels) for _, labels in simulation.measured] == [1_999]


def test_of_many_images_some_are_measured_evenly_chosen():
    simulation, _ = network(count=4_500)
    ((images, labels),) = simulation.measured
    np.testing.assert_array_equal(images, labels)
    assert labels.tolist() == list(range(0, 4_500, 3))


def test_what_was_measured_is_remembered():
    simulation, explorer = network()
    explorer.set(weight_bits=3).set(weight_bits=4).set(weight_bits=3)
    assert len(simulation.measured) == 2


def test_any_accuracy_can_be_drawn():
    _, explorer = network(count=15)
    assert "100.00 %" not in explorer.words
    explorer.set(weight_bits=8)  # no answer wrong
    assert "100.00 %" in explorer.words
    explorer.set(weight_bits=2, activation_bits=2)
    assert explorer.error is None


def test_a_setting_without_threshold_is_said():
    simulation, explorer = network()
    picture = explorer.png()

    def refuse(*settings, **more):
        raise ValueError("99.9% of the values are 0")

    simulation.quantized = refuse
    explorer.controls["weight_bits"].value = 2
    assert "99.9% of the values are 0" in repr(explorer)
    assert explorer.png() == picture


def test_images_and_labels_that_do_not_fit():
    for images, labels in ((0, 0), (5, 4)):
        with pytest.raises(ValueError, match=f"as many, one at least, got {images} and {labels}"):
            explorers.network(FakeSimulation(), fake_digits(images)[0], fake_digits(labels)[1])


def test_it_starts_where_it_is_told():
    start = {"weight_bits": "float", "activation_bits": 2, "per_channel": False, "weight_method": "minmax"}
    start |= {"activation_method": "kl_plain", "conv1": False}
    values = network(**start)[1].values
    assert values | start == values
    with pytest.raises(ValueError, match=r"weight_method must be one of .*, got 'kl_plain'"):
        network(weight_method="kl_plain")


def test_guessing_is_marked_for_as_many_classes_as_there_are():
    for classes, wrong in ((2, 0.5), (10, 0.9)):
        axes, _ = wrong_answers(Stage(4, 3), (0.1, 0.1, 0.8, 0.8), (), np.arange(classes))
        assert axes.lines[-1].get_xdata()[0] == wrong
