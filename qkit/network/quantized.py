"""A network with quantized kernels and activations, computed in float: what it answers, and how far it is off.

Between two layers all numbers are on their grids, where halves are rounded up. Within a layer, sums and biases are
float32; an int8 file has int32 there, which is no coarser.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qkit.network.accuracy import Accuracy
from qkit.network.backend import keras, tf
from qkit.network.cnn import as_input
from qkit.network.forward import Layer, compiled, layers_of, rows_of, weights_of
from qkit.network.images import check_images
from qkit.network.measured import Measured
from qkit.network.recipe import Weights
from qkit.numeric.affine import QuantParams, fake_quantize

BATCH = 250
"""Images at a time: few enough that what one layer writes is still in the cache when the next one reads it."""


Outputs = list[list["tf.Tensor"]]
"""Of every batch, the images and the outputs of the layers with weights: see :meth:`QuantizedNetwork.outputs`."""


@dataclass(frozen=True, eq=False, repr=False)
class QuantizedNetwork:
    """A network, and the grids that its numbers stand on.

    Attributes
    ----------
    layers : tuple of Layer
    weights : dict of str to Weights
        In float, by layer.
    kernels, activations : dict of str to QuantParams
        By layer, the grids of kernels and of outputs; ``"image"`` has an output too, and that of the last layer is
        what softmax gets. Whatever has no grid stays in float.

    Raises
    ------
    ValueError
        If there is no such layer, or parameters of activations are per channel.
    """

    layers: tuple[Layer, ...]
    weights: Mapping[str, Weights]
    kernels: Mapping[str, QuantParams]
    activations: Mapping[str, QuantParams]

    def __post_init__(self) -> None:
        outputs = "image", *(layer.name for layer in self.layers)
        for grids, places in ((self.kernels, self.weights), (self.activations, outputs)):
            for name in grids:
                if name not in places:
                    raise ValueError(f"there is no layer {name!r}; there are {', '.join(sorted(places))}")
        for name, params in self.activations.items():
            if params.spec.axis is not None:
                raise ValueError(f"activations are quantized per tensor, got parameters per channel for {name!r}")

    @property
    def bytes(self) -> int:
        """What the parameters take: integers packed tightly, and 4 bytes for each scale, bias and float weight."""
        total = 0
        for name, (kernel, bias) in self.weights.items():
            params = self.kernels.get(name)
            bits, scales = (32, 0) if params is None else (params.spec.bits, np.size(params.scale))
            total += -(-kernel.size * bits // 8) + 4 * (scales + bias.size)
        return total

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities, float32 (n, 10), for grey levels, uint8 (n, 28, 28).

        Raises
        ------
        ValueError
            If there is no image, or the shape or type is another one.
        """
        last = np.concatenate([outputs[-1] for outputs in self._passes(images)])
        return tf.nn.softmax(last).numpy() if self.layers[-1].activation == "softmax" else last

    def measure(self, images: np.ndarray, labels: np.ndarray, in_float: Outputs | None = None) -> Measured:
        """Compare the network with the float one: on ``images`` (n, 28, 28), whose ``labels`` (n,) are known.

        Parameters
        ----------
        images, labels
        in_float : Outputs, optional
            The float network's :meth:`outputs` for these images: half of the time, for who measures them often.

        Raises
        ------
        ValueError
            If there is no image, the shape or type is another one, or there are not as many labels, or outputs.
        """
        if in_float is None:
            in_float = QuantizedNetwork(self.layers, self.weights, {}, {})._passes(images)
        elif sum(len(batch[-1]) for batch in in_float) != len(images):
            raise ValueError(f"in_float must be the outputs for these {len(images)} images, got those of others")
        names = "image", *self.weights
        energies, said, said_in_float = np.zeros((len(names), 2)), [], []
        for pair in zip(in_float, self._passes(images), strict=True):
            energies += [
                [float(tf.nn.l2_loss(each)) for each in (x, x - x_hat)] for x, x_hat in zip(*pair, strict=True)
            ]
            for answers, outputs in zip((said_in_float, said), pair, strict=True):
                answers.append(np.argmax(outputs[-1], axis=1))
        said_in_float, said = np.concatenate(said_in_float), np.concatenate(said)
        return Measured(
            Accuracy.of(said, labels),
            Accuracy.of(said_in_float, labels),
            int(np.sum(said != said_in_float)),
            {name: tuple(row) for name, row in zip(names, energies.tolist(), strict=True)},
        )

    def outputs(self, images: np.ndarray) -> Outputs:
        """Return the images and what each layer with weights hands on, batch by batch: 32 kB an image for ``deep``.

        Raises
        ------
        ValueError
            If there is no image, or the shape or type is another one.
        """
        return list(self._passes(images))

    def _passes(self, images: np.ndarray) -> Iterator[list["tf.Tensor"]]:
        """Yield for each batch the image and the outputs of the layers with weights."""
        images = check_images(images)
        weights = {
            name: Weights(tf.constant(self._kernel(name)), tf.constant(bias))
            for name, (_, bias) in self.weights.items()
        }
        grids = tf.constant(rows_of(("image", *(layer.name for layer in self.layers)), self.activations))
        forward = compiled(self.layers)
        for start in range(0, len(images), BATCH):
            outputs = forward(tf.constant(as_input(images[start : start + BATCH])), weights, grids)
            yield [outputs[name] for name in ("image", *self.weights)]

    def _kernel(self, name: str) -> np.ndarray:
        kernel, params = self.weights[name].kernel, self.kernels.get(name)
        return kernel if params is None else fake_quantize(kernel, params)

    def __repr__(self) -> str:
        lines = [f"QuantizedNetwork: {self.bytes:,} bytes of parameters"]
        for name in ("image", *self.weights):
            kernel = f"kernel {_in_words(self.kernels.get(name))}; " if name in self.weights else ""
            lines.append(f"{name}: {kernel}output {_in_words(self.activations.get(name))}")
        return "\n  ".join(lines)


def predict_quantized(
    model: "keras.Sequential", images: np.ndarray, activations: Mapping[str, QuantParams]
) -> np.ndarray:
    """Return the answers, float32 (n, 10), with the outputs of some layers fake-quantized.

    Parameters
    ----------
    model : keras.Sequential
    images : ndarray of uint8, shape (n, 28, 28)
    activations : mapping of layer name, or ``"image"``, to QuantParams
        Per tensor. The output of a convolution may be quantized before or after its pool: rounding and clipping keep
        the order of numbers, so the largest one stays the largest.

    Raises
    ------
    ValueError
        If there is no such layer, it cannot be simulated, or the parameters are per channel.
    """
    return QuantizedNetwork(layers_of(model), weights_of(model), {}, activations).predict(images)


def _in_words(grid: QuantParams | None) -> str:
    if grid is None:
        return "in float"
    scales = f", {np.size(grid.scale)} scales" if np.size(grid.scale) > 1 else ""
    return f"{grid.spec.bits} bits, {np.min(grid.low):.4g} to {np.max(grid.high):.4g}{scales}"
