"""Calibration: a grid for every tensor of a float network, from its weights and a few images."""

from collections.abc import Callable

import numpy as np

from qkit.network.backend import keras
from qkit.network.observe import activation_histograms
from qkit.numeric import QuantParams, QuantSpec, Threshold, params_from_range, thresholds


def calibrated_ranges(
    model: "keras.Sequential",
    images: np.ndarray,
    weight_bits: int,
    activation_bits: int,
    kernel_method: Callable[..., Threshold],
    dense_per_channel: bool,
) -> dict[str, QuantParams]:
    """Choose the grids of ``image``, ``conv1/kernel``, ``conv1``, …, ``logits``.

    Kernels have signed symmetric grids without the lowest integer, those of convolutions one a channel; what ReLU
    returns has unsigned integers and the threshold of the least squared error. The image (0 to 1) and the logits
    (all of their range) have 8 bits.

    Parameters
    ----------
    model : keras.Sequential
        With softmax at the end, and ReLU after every other layer that has weights.
    images : ndarray of uint8, shape (n, 28, 28)
    weight_bits, activation_bits : int
    kernel_method : function
        One of :mod:`qkit.numeric.thresholds`.
    dense_per_channel : bool
        Whether dense layers, too, have one grid a channel.

    Raises
    ------
    ValueError
        If there is no image.
    """
    last = model.layers[-1]

    def with_logits(layer):
        return type(layer).from_config(layer.get_config() | ({"activation": "linear"} if layer is last else {}))

    probe = keras.models.clone_model(model, clone_function=with_logits)
    probe.set_weights(model.get_weights())
    histograms = activation_histograms(probe, images, magnitude=True)
    eight, logits = QuantSpec(8, signed=False), histograms[last.name].range
    ranges = {"image": params_from_range(0.0, 1.0, eight), "logits": params_from_range(logits.low, logits.high, eight)}
    of_kernels = QuantSpec(weight_bits, symmetric=True, narrow_range=True)
    for layer in (layer for layer in model.layers if layer.weights):
        kernel = layer.kernel.numpy()
        if dense_per_channel or isinstance(layer, keras.layers.Conv2D):
            params = thresholds.per_channel(kernel_method, kernel, -1, of_kernels)
        else:
            params = kernel_method(kernel, weight_bits, signed=True).params(of_kernels)
        ranges[f"{layer.name}/kernel"] = params
        if layer is not last:
            threshold = thresholds.mse(histograms[layer.name], activation_bits)
            ranges[layer.name] = threshold.params(QuantSpec(activation_bits, signed=False))
    return ranges
