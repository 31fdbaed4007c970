"""A network with other weights for a while: how quantization is tried out before anything is converted."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from qkit.network.backend import keras


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
