"""What flows through a network: the activations of every layer, batch by batch, kept only as histograms."""

from collections.abc import Callable, Iterator

import numpy as np

from qkit.keeping import progress
from qkit.network.backend import keras
from qkit.network.cnn import as_input
from qkit.network.images import check_images
from qkit.numeric.histogram import Histogram, Range, histogram_of, range_of

BATCH = 250


def activation_histograms(
    model: "keras.Sequential", images: np.ndarray, bins: int = 2048, magnitude: bool = False
) -> dict[str, Histogram]:
    """Count the activations of every layer over ``images``, in two passes.

    Parameters
    ----------
    model : keras.Sequential
    images : ndarray of uint8, shape (n, 28, 28)
    bins : int
    magnitude : bool
        Count the absolute values.

    Returns
    -------
    dict of str to Histogram
        By layer, from ``"image"`` (the input) to the output; ``flatten``, which changes no number, is left out.
        How the images are cut into batches matters no more than the last digit of a sum does.

    Raises
    ------
    ValueError
        If there is no image, or they are not uint8 of shape (n, 28, 28).
    """
    ranges = _gather(model, images, "ranges", lambda name, values: range_of(values), Range.merge)

    def count(name: str, values: np.ndarray) -> Histogram:
        within = ranges[name]
        # Kernels that add up in another order the second time may end a last digit beyond the range.
        return histogram_of(values.clip(within.low, within.high), bins, magnitude, within)

    return _gather(model, images, "histograms", count, Histogram.merge)


def channel_peaks(model: "keras.Sequential", images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the largest activation of every channel over ``images``, by layer: float32, shape (channels,).

    A channel whose peak is 0 after ReLU is dead: nothing in these images wakes it.

    Raises
    ------
    ValueError
        If there is no image, or they are not uint8 of shape (n, 28, 28).
    """
    return _gather(
        model, images, "channels", lambda name, values: values.reshape(-1, values.shape[-1]).max(axis=0), np.maximum
    )


def _gather(model, images: np.ndarray, what: str, measure: Callable, merge: Callable) -> dict:
    """Measure every layer's output batch by batch, and merge what was measured."""
    found: dict = {}
    for outputs in _outputs(model, images, what):
        for name, values in outputs.items():
            here = measure(name, values)
            found[name] = merge(found[name], here) if name in found else here
    return found


def _outputs(model: "keras.Sequential", images: np.ndarray, what: str) -> Iterator[dict[str, np.ndarray]]:
    images = check_images(images)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.Flatten)]
    probe = keras.Model(model.inputs, {layer.name: layer.output for layer in layers})
    for start in progress(range(0, len(images), BATCH), description=what, unit=" batches"):
        batch = as_input(images[start : start + BATCH])
        outputs = {name: np.asarray(values) for name, values in probe(batch, training=False).items()}
        yield {"image": batch} | {layer.name: outputs[layer.name] for layer in layers}
