"""What the two networks are made of and how they are trained: plain data, read without TensorFlow.

``shallow`` is Conv32-Pool-Dense10 and ``deep`` is Conv32-Pool-Conv64-Pool-Dense128-Dense10, as in the articles
that the course grew from.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qkit.digits import Digits
from qkit.storage import Arrays, data_home, read_arrays

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
    """Return where a trained network is kept: another file for everything that could change its weights."""
    recipe = [
        layers_of(name),
        [epochs, BATCH_SIZE, LEARNING_RATE, VALIDATION_IMAGES, THREADS, seed],
        digits.fingerprint,
        [version("tensorflow"), version("tf_keras")],
    ]
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    return data_home() / "networks" / f"{name}-{key}.npz"


def trained_weights(name: str, digits: Digits, seed: int = 0) -> dict[str, Weights]:
    """Return the weights of a trained network by layer.

    Where it has been trained before they are only read, and TensorFlow is not loaded: that saves its seconds
    and its 500 MB. Else :func:`qkit.network.trained` trains it.
    """
    path = kept_path(name, digits, seed)
    try:
        arrays = read_arrays(path)
    except ValueError:
        from qkit.network.cnn import trained

        trained(name, digits, seed)
        arrays = read_arrays(path)
    return weights_in(arrays)


def weights_in(arrays: Arrays) -> dict[str, Weights]:
    """Pick the weights, kept as ``layer/kernel`` and ``layer/bias``, out of the arrays of a file."""
    layers = [name.removesuffix("/kernel") for name in arrays if name.endswith("/kernel")]
    return {layer: Weights(arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]) for layer in layers}
