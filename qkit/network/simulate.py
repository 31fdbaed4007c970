"""A network with quantized weights or activations, in float: how quantization is tried out before conversion."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from qkit.network.backend import keras, tf
from qkit.network.cnn import as_input
from qkit.numeric.grid import QuantParams


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


def predict_quantized(
    model: "keras.Sequential", images: np.ndarray, activations: Mapping[str, QuantParams]
) -> np.ndarray:
    """Return the probabilities, float32 (n, 10), with the outputs of some layers fake-quantized.

    Parameters
    ----------
    model : keras.Sequential
    images : ndarray of uint8, shape (n, 28, 28)
    activations : mapping of layer name, or ``"image"``, to QuantParams
        Per tensor. After a pooling layer it is exact, and four times cheaper, to quantize its output instead of
        the convolution's: rounding and clipping keep the order of numbers, so the largest one stays the largest.

    Raises
    ------
    ValueError
        If there is no such layer, or the parameters are per channel.
    """
    known = {"image", *(layer.name for layer in model.layers)}
    for name, params in activations.items():
        if name not in known:
            raise ValueError(f"there is no layer {name!r}; there are {', '.join(sorted(known))}")
        if params.spec.axis is not None:
            raise ValueError(f"activations are quantized per tensor, got parameters per channel for {name!r}")

    def quantized(name: str, x):
        if name not in activations:
            return x
        params = activations[name]
        spec = params.spec
        return tf.quantization.fake_quant_with_min_max_vars(x, params.low, params.high, spec.bits, spec.narrow_range)

    parts = []
    for start in range(0, len(images), 500):
        x = quantized("image", tf.constant(as_input(images[start : start + 500])))
        for layer in model.layers:
            x = quantized(layer.name, layer(x))
        parts.append(x.numpy())
    return np.concatenate(parts)
