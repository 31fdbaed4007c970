"""Activations, streamed: the same as looking at all of them at once, however they are cut into batches."""

import numpy as np
import pytest

from qkit.network import activation_histograms, build, channel_peaks, observe
from qkit.network.backend import keras


@pytest.fixture(scope="module")
def model():
    return build("deep", seed=1)


@pytest.fixture(scope="module")
def images(few_digits):
    return few_digits.x_test[:60]


def all_at_once(model, images):
    """Every activation of every layer, by Keras itself."""
    x = images[..., None].astype(np.float32) / 255
    layers = [layer for layer in model.layers if layer.name != "flatten"]
    outputs = keras.Model(model.inputs, [layer.output for layer in layers]).predict(x, verbose=0)
    return {"image": x} | {layer.name: values for layer, values in zip(layers, outputs, strict=True)}


def test_histograms_are_those_of_all_activations(model, images):
    found = activation_histograms(model, images, bins=64)
    expected = all_at_once(model, images)
    assert list(found) == list(expected) == ["image", "conv1", "pool1", "conv2", "pool2", "dense1", "dense2"]
    for name, values in expected.items():
        assert found[name].count == values.size
        assert found[name].zeros == np.sum(values == 0)
        assert found[name].range.high == pytest.approx(values.max(), rel=1e-5)
        counts, _ = np.histogram(values, 64, (found[name].start, found[name].stop))
        # Keras and the stream may differ in a last digit, which moves a value on an edge to the next bin.
        assert np.abs(counts - found[name].counts).sum() <= 2e-4 * values.size + 2


@pytest.mark.parametrize("batch", [7, 60, 1000])
def test_batches_do_not_matter(model, images, monkeypatch, batch):
    # Sums of a convolution can differ in the last digit with the size of the batch; the input cannot.
    reference = activation_histograms(model, images)
    monkeypatch.setattr(observe, "BATCH", batch)
    again = activation_histograms(model, images)
    np.testing.assert_array_equal(reference["image"].counts, again["image"].counts)
    for name, histogram in reference.items():
        assert again[name].count == histogram.count
        assert again[name].range.high == pytest.approx(histogram.range.high, rel=1e-5)
        assert np.abs(again[name].counts - histogram.counts).sum() <= 2e-3 * histogram.count + 2


def test_peaks_find_dead_channels(model, images):
    kernel, bias = model.get_layer("conv2").get_weights()
    kernel[..., 5], bias[5] = 0, -1
    model.get_layer("conv2").set_weights([kernel, bias])
    peaks = channel_peaks(model, images)
    expected = all_at_once(model, images)["conv2"].max(axis=(0, 1, 2))
    np.testing.assert_allclose(peaks["conv2"], expected, rtol=1e-5)
    assert peaks["conv2"][5] == 0 and peaks["conv2"].shape == (64,)


def test_no_images(model):
    with pytest.raises(ValueError, match="at least one image"):
        activation_histograms(model, np.zeros((0, 28, 28), np.uint8))
    with pytest.raises(ValueError, match="at least one image"):
        channel_peaks(model, np.zeros((0, 28, 28), np.uint8))
