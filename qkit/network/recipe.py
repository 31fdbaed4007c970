"""What the two networks are made of and how they are trained: plain data, read without TensorFlow.

``shallow`` is Conv32-Pool-Dense10 and ``deep`` is Conv32-Pool-Conv64-Pool-Dense128-Dense10, as in the articles
that the course grew from.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, data_home, read_arrays

Layers = tuple[tuple[str, int], ...]
NETWORKS: dict[str, Layers] = {
    "shallow": (("conv1", 32), ("pool1", 2), ("dense1", 10)),
    "deep": (("conv1", 32), ("pool1", 2), ("conv2", 64), ("pool2", 2), ("dense1", 128), ("dense2", 10)),
}
"""Layers from input to output: 3 × 3 filters, side of the pooled square, or neurons."""

EPOCHS = 4
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
VALIDATION_IMAGES = 5_000
THREADS = 2
"""Fixed, because the order in which threads add up changes the last digits."""


CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
"""What is recorded after every epoch."""


class Weights(NamedTuple):
    """What one layer has learned: ``kernel``, the last axis counting outputs, and ``bias``; float32."""

    kernel: np.ndarray
    bias: np.ndarray


def layers_of(name: str) -> Layers:
    """Return the layers of a network.

    Raises
    ------
    ValueError
        If ``name`` is neither ``"shallow"`` nor ``"deep"``.
    """
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]


def kept_path(name: str, digits: Digits, seed: int = 0, epochs: int = EPOCHS) -> Path:
    """Return where a trained network is kept: another file for everything that could change its weights.

    That includes the code: after an edit of this module or of ``cnn.py`` the networks are trained again.
    """
    layers_of(name)
    here = Path(__file__)
    key = hashlib.sha256(here.read_bytes() + here.with_name("cnn.py").read_bytes())
    key.update(repr([epochs, seed, digits.fingerprint, version("tensorflow"), version("tf_keras")]).encode())
    return data_home() / "networks" / f"{name}-{key.hexdigest()[:12]}.npz"


def trained_weights(name: str, digits: Digits, seed: int = 0) -> dict[str, Weights]:
    """Return the weights of a trained network by layer.

    Where it has been trained before they are only read, and TensorFlow is not loaded: that saves its seconds
    and its 500 MB. Else :func:`qkit.network.trained` trains it.
    """
    path = kept_path(name, digits, seed)
    try:
        arrays = read_arrays(path)
        check_arrays(name, arrays)
        return weights_in(arrays)
    except ValueError:
        from qkit.network.cnn import trained

        model = trained(name, digits, seed)
        return {layer.name: Weights(*layer.get_weights()) for layer in model.layers if layer.get_weights()}


def check_arrays(name: str, arrays: Arrays) -> None:
    """Refuse arrays that are not the weights and the curves of this network.

    Raises
    ------
    ValueError
        If a layer or a curve is missing, a kernel ends in another number of outputs, or a number is not finite.
    """
    outputs = {layer: size for layer, size in layers_of(name) if not layer.startswith("pool")}
    weights = weights_in(arrays)
    fits = {layer: w.kernel.shape[-1:] == w.bias.shape == (outputs.get(layer),) for layer, w in weights.items()}
    if list(fits) != list(outputs) or not all(fits.values()) or not all(f"curve/{curve}" in arrays for curve in CURVES):
        raise ValueError(f"The file kept for {name} does not hold its weights.")
    if not all(np.all(np.isfinite(array)) for array in arrays.values()):
        raise ValueError(f"The file kept for {name} holds numbers that are not finite.")


def weights_in(arrays: Arrays) -> dict[str, Weights]:
    """Pick the weights, kept as ``layer/kernel`` and ``layer/bias``, out of the arrays of a file."""
    layers = [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]
    return {layer: Weights(arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]) for layer in layers}
