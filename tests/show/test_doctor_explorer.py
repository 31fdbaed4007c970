"""The explorer of repairs: what it asks for, and what it says and draws of the answers."""

import sys

import numpy as np
import pytest
from fake_simulation import FakeTreatments, fake_digits

from qkit.show import explorers

doctor_module = sys.modules["qkit.show.explorers.doctor"]


def doctor(count=900, **start):
    treated = FakeTreatments()
    return treated, explorers.doctor(treated, *fake_digits(count), **start)


@pytest.mark.slow
def test_controls_become_repairs():
    treated, explorer = doctor()
    start = {"weight_bits": 8, "activation_bits": 8, "per_channel": False, "corrected": False, "scales": "minmax"}
    start |= {"rounding": "nearest", "layer": "", "layer_bits": 8}
    assert treated.settings == [start]
    moved = {"weight_bits": 3, "rounding": "gptq", "corrected": True, "layer": "conv1", "layer_bits": 5, "scales": "eq"}
    explorer.set(**moved, equalized=True)
    assert treated.settings[1] == start | moved
    explorer.set(rounding="nearest").set(rounding="gptq")
    assert len(treated.settings) == 3  # what was measured is remembered


def test_words():
    _, explorer = doctor()
    assert explorer.words == (
        "Weights in 8 bits, one scale per layer by MinMax, rounded to nearest, activations in 8. 900 images: 94.44 % "
        "(92.75 % to 95.76 %) right, in float 100.00 % (99.57 % to 100.00 %). Answers that differ from float: 50. "
        "Most harmful is dense1, which takes 45.2 dB and hands on 39.1 dB; at the end: 39.1 dB. Its largest channel is "
        "2 times the median one in weights by output, 1 times by input, 2 times in what it takes. "
        "Parameters: 8 kB, in float 9 kB."
    )
    explorer.set(equalized=True, corrected=True, weight_bits=3, per_channel=True, layer="dense1", layer_bits=4)
    assert explorer.words.startswith(
        "Equalized, weights in 3 bits, dense1's in 4, a scale per channel by MinMax, rounded to nearest, activations "
        "in 8, biases corrected. 900 images: "
    )
    assert "Its largest channel is 1 times the median one in weights by output, 1 times by input" in explorer.words
    assert "Most harmful is conv1, which takes " in doctor(weight_bits=2, activation_bits=2)[1].words


def test_half_a_step_is_that_of_each_layer(monkeypatch):
    stages, make = [], doctor_module.Stage
    monkeypatch.setattr(doctor_module, "Stage", lambda *size: stages.append(make(*size)) or stages[-1])
    _, explorer = doctor(weight_bits=4)
    wide = stages[0].figure.axes[0]
    (line,) = (line for line in wide.lines if line.get_linestyle() == ":")
    label = next(text for text in wide.texts if text.get_text() == "left of it: 0")

    def halves():
        x, y = line.get_data()
        return [x[np.nonzero(y == row + 0.5)].tolist() for row in (1, 2)]  # below each layer's row

    assert halves()[1] == pytest.approx([0.5 / 7]) and line.get_visible()
    explorer.set(scales="mse")
    assert halves()[1] == pytest.approx([0.25 / 7])
    explorer.set(scales="minmax", layer="dense1", layer_bits=8)
    assert halves()[0] == pytest.approx([0.5 / 7, 0.5 / 127]) and halves()[1] == pytest.approx([0.5 / 127])
    explorer.set(rounding="gptq")  # which may round a small weight up
    assert label.get_text() == "half a step"
    explorer.set(per_channel=True)
    assert label.get_text() == "" and not line.get_visible()


def test_at_most_a_thousand_images_evenly_chosen():
    assert "750 images: " in doctor(1_500)[1].words
    assert "1,000 images: " in doctor(10_000)[1].words


def test_images_and_labels_that_do_not_fit():
    for images, labels in ((0, 0), (5, 4)):
        with pytest.raises(ValueError, match=f"as many, one at least, got {images} and {labels}"):
            explorers.doctor(FakeTreatments(), fake_digits(images)[0], fake_digits(labels)[1])
