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


def test_magnitudes_are_those_of_all_activations(images):
    model = build("deep", seed=1)
    model.layers[-1].activation = keras.activations.linear  # logits are negative, too
    found = activation_histograms(model, images, bins=64, magnitude=True)
    for name, values in all_at_once(model, images).items():
        assert (found[name].magnitude, found[name].count) == (True, values.size)
        ends = found[name].range.low, found[name].range.high, found[name].stop
        assert ends == pytest.approx((values.min(), values.max(), np.abs(values).max()), rel=1e-5)
        counts, _ = np.histogram(np.abs(values), 64, (0, found[name].stop))
        assert np.abs(counts - found[name].counts).sum() <= 2e-4 * values.size + 2
    assert found["dense2"].range.low < 0


@pytest.mark.parametrize("batch", [1, 7, 59])
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


def test_peaks_find_dead_channels(images):
    model = build("deep", seed=1)
    kernel, bias = model.get_layer("conv2").get_weights()
    kernel[..., 5], bias[5] = 0, -1
    model.get_layer("conv2").set_weights([kernel, bias])
    peaks = channel_peaks(model, images)
    expected = all_at_once(model, images)["conv2"].max(axis=(0, 1, 2))
    np.testing.assert_allclose(peaks["conv2"], expected, rtol=1e-5)
    assert peaks["conv2"][5] == 0 and peaks["conv2"].shape == (64,)


@pytest.mark.parametrize("observe", [activation_histograms, channel_peaks])
@pytest.mark.parametrize("change", [lambda x: x[:0], lambda x: x[0], lambda x: x[..., None], lambda x: x / 255])
def test_what_are_no_images(model, images, observe, change):
    with pytest.raises(ValueError, match=r"uint8 of shape \(n, 28, 28\) with at least one image, got"):
        observe(model, change(images))
