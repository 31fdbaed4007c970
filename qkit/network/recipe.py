"""What the networks are made of, how they are trained, and what else is known of them without TensorFlow."""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, check_like, data_home, key, read_arrays
from qkit.numeric import QuantParams, quantize

VERSION = 1
"""Goes up when the same settings train other weights: then all networks are trained again."""

NETWORKS = {
    "shallow": (("conv1", 32), ("pool1", 2), ("dense1", 10)),
    "deep": (("conv1", 32), ("pool1", 2), ("conv2", 64), ("pool2", 2), ("dense1", 128), ("dense2", 10)),
    "small": (("conv1", 8), ("pool1", 2), ("conv2", 16), ("pool2", 2), ("dense1", 48), ("dense2", 10)),
    "separable": (
        *(("conv1", 16), ("depthwise2", 1), ("pointwise2", 32), ("depthwise3", 2), ("pointwise3", 48)),
        *(("depthwise4", 1), ("pointwise4", 48), ("depthwise5", 1), ("pointwise5", 48), ("depthwise6", 1)),
        *(("pointwise6", 48), ("depthwise7", 2), ("pointwise7", 96), ("depthwise8", 1), ("pointwise8", 96)),
        *(("mean", 1), ("dense1", 10)),
    ),
}
"""Layers from input to output: 3 × 3 filters, side of the pooled square, or neurons.

In ``separable`` the first layer takes every second pixel. Then a filter of 3 × 3 for each channel alone, at every pixel
or every second, takes turns with filters of 1 × 1, which mix the channels. BatchNormalization follows each of them.
"""
KERNELS = {
    "shallow": {"conv1": (3, 3, 1, 32), "dense1": (5408, 10)},
    "deep": {"conv1": (3, 3, 1, 32), "conv2": (3, 3, 32, 64), "dense1": (1600, 128), "dense2": (128, 10)},
    "small": {"conv1": (3, 3, 1, 8), "conv2": (3, 3, 8, 16), "dense1": (400, 48), "dense2": (48, 10)},
}

Grids = Mapping[str, QuantParams]
"""By layer, or by tensor, ``conv1/kernel``."""
Shape = tuple[int, ...]
DIGIT = 28, 28, 1
"""Of an image, as the networks of the course take it."""

BATCH_SIZE = 128


class Training(NamedTuple):
    """How a network is trained: with Adam, or SGD where there is a momentum; ``l2`` times kernels² are added."""

    epochs: int = 4
    learning_rate: float = 2e-3
    momentum: float = 0.0
    l2: float = 0.0


TRAINING = dict.fromkeys(NETWORKS, Training()) | {"separable": Training(3, 0.2, 0.9, 5e-4)}
EPOCHS, LEARNING_RATE, *_ = Training()
VALIDATION_IMAGES = 5_000
THREADS = 2
"""Fixed, because the order in which threads add up changes the last digits."""
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")


class Weights(NamedTuple):
    """What one layer has learned: ``kernel``, the last axis counting outputs, and ``bias``; float32."""

    kernel: np.ndarray
    bias: np.ndarray


def layers_of(name: str) -> tuple[tuple[str, int], ...]:
    """Return the layers of a network, or a ValueError that has all names."""
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]


def trained_weights(name: str, digits: Digits, seed: int = 0) -> dict[str, Weights]:
    """Return the weights of a trained network by layer. Taught in notebook 03, section 2.

    Where it has been trained before they are only read, without TensorFlow: that saves its seconds and its 500 MB. Else
    :func:`qkit.network.trained` trains it. Those of ``"separable"`` are a ValueError: its BatchNormalization changes
    them, and ``fold(trained("separable", digits))`` has them.
    """
    layers_of(name)
    if name not in KERNELS:
        raise ValueError(f"{name} has BatchNormalization; its weights are in fold(trained({name!r}, digits)), by layer")
    path = kept_path(name, digits, seed)
    like = [np.empty(shape, np.float32) for kernel in KERNELS[name].values() for shape in (kernel, kernel[-1:])]
    try:
        arrays = read_arrays(path)
        check_like(arrays, to_keep(like, dict.fromkeys(CURVES, np.empty(EPOCHS))), name)
        weights = [arrays[f"weight/{place}"] for place in range(len(like))]
    except (OSError, ValueError):
        from qkit.network import trained

        weights = trained(name, digits, seed).get_weights()
    return dict(zip(KERNELS[name], map(Weights, weights[::2], weights[1::2]), strict=True))


def kept_path(name: str, digits: Digits, seed: int = 0, epochs: int | None = None) -> Path:
    """Return where a trained network is kept: another file for everything that could change its weights."""
    layers, training = layers_of(name), TRAINING[name]
    epochs, more = training.epochs if epochs is None else epochs, training[2:] if any(training[2:]) else ()
    settings = layers, BATCH_SIZE, training.learning_rate, VALIDATION_IMAGES, THREADS, seed, epochs, *more
    libraries = [version(library) for library in ("tensorflow", "tf_keras")]
    made_from = key(VERSION, settings=settings, digits=digits.fingerprint, libraries=libraries)
    return data_home() / "networks" / f"{name}-{made_from}.npz"


def to_keep(weights: Sequence[np.ndarray], curves: Mapping[str, Sequence[float]]) -> Arrays:
    """Return what is kept of a network, weights by place: the names of Keras and tfmot count the models made before."""
    kept = {f"weight/{place}": array for place, array in enumerate(weights)}
    return kept | {f"curve/{curve}": np.array(numbers) for curve, numbers in curves.items()}


def as_input(images: np.ndarray, shape: Shape = DIGIT, grid: QuantParams | None = None) -> np.ndarray:
    """Return checked images as networks take them: float32 (n, *shape), grey levels 0 to 1; or ``grid``'s integers."""
    images = check_images(images, shape)
    if images.dtype != np.uint8:
        return images if grid is None else quantize(images, grid)
    levels = np.arange(256, dtype=np.float32) / 255
    return (levels if grid is None else quantize(levels, grid))[images].reshape(len(images), *shape)


def check_images(images: np.ndarray, shape: Shape = DIGIT) -> np.ndarray:
    """Return the images as an array, if a network can take them whose input has this ``shape``; else a ValueError.

    Grey levels, uint8 (n, *shape), stand for 0 to 1; a last side of 1 may be left out. Floats (n, *shape) are taken as
    they are, in float32 as in Keras, and must be finite.
    """
    given = images = np.asarray(images)
    if np.issubdtype(images.dtype, np.floating):
        with np.errstate(over="ignore"):  # then they are infinite
            images = images.astype(np.float32, copy=False)
    grey = shape[:-1] if shape[-1:] == (1,) else shape
    fit = {"uint8": (grey, shape), "float32": (shape,)}
    if images.size == 0 or images.shape[1:] not in fit.get(images.dtype.name, ()):
        grey, floats = (", ".join(map(str, ("n", *sides))) for sides in (grey, shape))
        wanted = f"grey levels, uint8 of shape ({grey}), or floats of shape ({floats}) as the network takes them"
        raise ValueError(f"images must be {wanted}, at least one, got {given.dtype} of shape {given.shape}")
    if images.dtype == np.float32 and not np.all(np.isfinite(images)):
        raise ValueError("images must hold finite numbers, got NaN or infinity")
    return images


def input_batches(images: np.ndarray, shape: Shape, size: int) -> Iterator[np.ndarray]:
    """Check the images, and turn them :func:`as_input`, so many at a time."""
    images = check_images(images, shape)  # all of them, before the first is used
    return (as_input(images[start : start + size], shape) for start in range(0, len(images), size))


def check_names(names: Iterable[str], known: Collection[str], what: str = "is no layer") -> None:
    """Refuse a name that is not known (ValueError); the message begins ``there is no layer 'conv3'``."""
    for name in names:
        if name not in known:
            raise ValueError(f"there {what} {name!r}; there are {', '.join(known)}")


_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings, log messages, and what C++ code writes to standard error past Python; exceptions pass."""
    # All of these belong to the whole process.
    with _ONE_AT_A_TIME, open(os.devnull, "w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        saved, logged = os.dup(2), logging.root.manager.disable
        os.dup2(nowhere.fileno(), 2)
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logged)
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
