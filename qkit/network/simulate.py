"""Quantization tried out before conversion: any number of bits, any way to choose scales, layer by layer.

Weights stand on symmetric grids without the lowest integer, activations on asymmetric ones: as in LiteRT's int8 files.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

import numpy as np

from qkit.network.backend import keras
from qkit.network.forward import layers_of, weights_of
from qkit.network.observe import activation_histograms
from qkit.network.quantized import QuantizedNetwork
from qkit.numeric import thresholds
from qkit.numeric.affine import QuantParams, QuantSpec, params_from_range
from qkit.numeric.histogram import histogram_of
from qkit.numeric.thresholds import Threshold

CHANNEL_BINS = 1024
"""Of the histogram of a kernel's channel: several times faster than its weights, and fine enough for 8 bits."""

Method = Callable[..., Threshold]
"""Chooses a threshold: ``method(histogram_of_magnitudes, bits=8)``; of weights, also ``signed=True``."""


class Simulation:
    """A network that can be quantized in many ways: its weights, and what its activations were on some images.

    Parameters
    ----------
    model : keras.Sequential
        What it has learned is copied: later changes to the model do not matter.
    calibration_images : ndarray of uint8, shape (n, 28, 28)
        For the ranges of the activations; training images, never the test images.

    Attributes
    ----------
    layers : tuple of str
        The layers with weights.
    histograms : dict of str to Histogram
        The magnitudes of the image, and of each of these layers' outputs (before the pool); of the last one, of its
        logits, which softmax gets.

    Raises
    ------
    ValueError
        If there is no image, or a layer that cannot be simulated.
    """

    def __init__(self, model: "keras.Sequential", calibration_images: np.ndarray) -> None:
        self._plan, self._weights = layers_of(model), weights_of(model)
        self.layers = tuple(self._weights)
        twin = keras.models.clone_model(model)
        twin.set_weights(model.get_weights())
        twin.layers[-1].activation = keras.activations.linear
        observed = activation_histograms(twin, calibration_images, magnitude=True)
        self.histograms = {name: observed[name] for name in ("image", *self.layers)}
        # A learner goes to and fro between settings, and a search for thresholds takes longer than all the rest.
        self._kernel_params = lru_cache(maxsize=512)(self._kernel_params)
        self._activation_params = lru_cache(maxsize=512)(self._activation_params)

    def quantized(
        self,
        weight_bits: int | None = 8,
        activation_bits: int | None = 8,
        *,
        per_channel: bool = True,
        weight_method: Method = thresholds.mse,
        activation_method: Method = thresholds.mse,
        in_float: tuple[str, ...] = (),
        input_bits: int = 8,
        logit_bits: int = 8,
    ) -> QuantizedNetwork:
        """Return the network at these settings.

        Parameters
        ----------
        weight_bits, activation_bits : int or None
            From 2 to 16; ``None`` leaves all weights, or all activations with image and logits, in float.
        per_channel : bool
            A scale for every output channel of a kernel, or one for all.
        weight_method, activation_method : function
            How thresholds are chosen: one of :mod:`qkit.numeric.thresholds`, or one of yours.
        in_float : tuple of str
            Layers whose weights and output stay in float; ``"image"`` can be among them.
        input_bits, logit_bits : int
            Of the two ends of the network, whose grids always span all that was seen. Few bits there would measure
            something else: two equal logits have no larger one.

        Raises
        ------
        ValueError, TypeError
            If there is no such layer or number of bits, or the method finds no threshold.
        """
        for name in in_float:
            if name not in self.histograms:
                raise ValueError(
                    f"there is no layer {name!r} to leave in float; there are {', '.join(self.histograms)}"
                )
        kernels, activations = {}, {}
        if weight_bits is not None:
            kernels = {name: self._kernel_params(name, weight_bits, weight_method, per_channel) for name in self.layers}
        if activation_bits is not None:
            chosen = dict.fromkeys(self.histograms, (activation_bits, activation_method))
            chosen |= {"image": (input_bits, thresholds.minmax), self.layers[-1]: (logit_bits, thresholds.minmax)}
            activations = {name: self._activation_params(name, *how) for name, how in chosen.items()}
        for name in in_float:
            kernels.pop(name, None)
            activations.pop(name, None)
        return QuantizedNetwork(self._plan, self._weights, kernels, activations)

    def _kernel_params(self, name: str, bits: int, method: Method, per_channel: bool) -> QuantParams:
        kernel = self._weights[name].kernel
        spec = QuantSpec(bits, symmetric=True, narrow_range=True, axis=-1 if per_channel else None)

        def choose(weights: np.ndarray, bits: int = bits, signed: bool = True) -> Threshold:
            return method(histogram_of(weights, CHANNEL_BINS), bits=bits, signed=signed)

        return thresholds.per_channel(choose, kernel, spec) if per_channel else choose(kernel).params(spec)

    def _activation_params(self, name: str, bits: int, method: Method) -> QuantParams:
        seen, largest = self.histograms[name].range, method(self.histograms[name], bits=bits).value
        return params_from_range(max(seen.low, -largest), min(seen.high, largest), QuantSpec(bits, signed=False))


@contextlib.contextmanager
def kernels_replaced(model: "keras.Sequential", kernels: Mapping[str, np.ndarray]) -> Iterator["keras.Sequential"]:
    """Give layers other kernels within a ``with`` block; afterwards they have their own again.

    Parameters
    ----------
    model : keras.Sequential
    kernels : mapping of layer name to ndarray
        Of the shapes that the layers' kernels have; typically ``fake_quantize(kernel, params)``.

    Raises
    ------
    ValueError
        If there is no layer of that name, or a kernel has another shape; then nothing is changed.
    """
    layers = {name: model.get_layer(name) for name in kernels}
    for name, kernel in kernels.items():
        wanted = tuple(layers[name].kernel.shape) if hasattr(layers[name], "kernel") else None
        if np.shape(kernel) != wanted:
            raise ValueError(f"the kernel of {name} has shape {wanted}, got {np.shape(kernel)}")
    before = {name: layer.kernel.numpy() for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.kernel.assign(kernels[name])
        yield model
    finally:
        for name, layer in layers.items():
            layer.kernel.assign(before[name])
