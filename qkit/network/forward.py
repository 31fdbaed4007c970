"""One pass through a network in which everything that quantization changes is an input.

Kernels, scales and whether a layer is quantized at all are tensors, so TensorFlow compiles the pass once, and a
slider can move every one of them without compiling again.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from qkit.network.backend import keras, tf
from qkit.network.recipe import Weights
from qkit.numeric.affine import QuantParams


class Layer(NamedTuple):
    """What a layer does, without its numbers."""

    name: str
    kind: str
    activation: str = ""
    window: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    padding: str = ""


def layers_of(model: "keras.Sequential") -> tuple[Layer, ...]:
    """Return what the layers of a model do.

    Raises
    ------
    ValueError
        If there is another layer than Conv2D and Dense with a bias, alone, with ReLU, or with softmax at the end;
        MaxPooling2D; and Flatten.
    """
    layers = tuple(_layer(layer) for layer in model.layers)
    for layer, original in zip(layers, model.layers, strict=True):
        if layer is None or (layer.activation == "softmax" and layer is not layers[-1]):
            raise ValueError(
                f"layer {original.name!r} ({type(original).__name__}) cannot be simulated; what can: Conv2D and Dense "
                "with a bias, alone, with ReLU, or with softmax at the end; MaxPooling2D; Flatten"
            )
    return layers


def weights_of(model: "keras.Sequential") -> dict[str, Weights]:
    """Return a copy of the weights, by layer."""
    return {layer.name: Weights(*layer.get_weights()) for layer in model.layers if layer.get_weights()}


def rows_of(names: Sequence[str], params: Mapping[str, QuantParams]) -> np.ndarray:
    """Return the step of each name's grid, and its lowest and highest multiple; zeros where there are no params.

    Returns
    -------
    ndarray of float32, shape (names, 3)
    """
    rows = np.zeros((len(names), 3), np.float32)
    for row, grid in zip(rows, map(params.get, names), strict=True):
        if grid is not None:
            row[:] = grid.scale, grid.spec.qmin - grid.zero_point, grid.spec.qmax - grid.zero_point
    return rows


@cache
def compiled(layers: tuple[Layer, ...]) -> Callable:
    """Return the pass through these layers, compiled.

    It takes images (n, 28, 28, 1) from 0 to 1, the weights by layer, and the grids: :func:`rows_of` ``"image"`` and
    all layers. It returns the image and the output of every layer with weights: what the next one of them gets, after
    the pool if one follows; of the last one, what softmax gets.
    """

    @tf.function(reduce_retracing=True)
    def forward(images: "tf.Tensor", weights: dict[str, Weights], grids: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        name, x = "image", on_grid(images, grids[0])
        outputs, waiting = {name: x}, []
        for place, layer in enumerate(layers, start=1):
            name = layer.name if layer.name in weights else name
            x = _apply(layer, x, weights.get(layer.name))
            waiting.append(grids[place])
            # Rounding and clipping keep the order of numbers, so the largest of four stays the largest: after the
            # pool the result is the same, and there are four times fewer numbers to quantize.
            if place == len(layers) or layers[place].kind != "MaxPooling2D":
                for grid in waiting:
                    x = on_grid(x, grid)
                waiting.clear()
            outputs[name] = x
        return outputs

    return forward


def on_grid(x: "tf.Tensor", grid: "tf.Tensor") -> "tf.Tensor":
    """Fake-quantize to ``step * k``, with k from ``lowest`` to ``highest``; a step of 0 leaves ``x`` in float.

    Halves are rounded up, as TensorFlow's own op does; that one would have to be compiled for every number of bits.
    """
    step, lowest, highest = tf.unstack(grid)
    return tf.cond(step > 0, lambda: step * tf.clip_by_value(tf.floor(x / step + 0.5), lowest, highest), lambda: x)


def _layer(layer: "keras.layers.Layer") -> Layer | None:
    kind, config = type(layer).__name__, layer.get_config()
    if kind == "Flatten":
        return Layer(layer.name, kind)
    if kind == "MaxPooling2D":
        return Layer(layer.name, kind, "", layer.pool_size, layer.strides, layer.padding.upper())
    if (
        kind not in ("Conv2D", "Dense")
        or not layer.use_bias
        or config["activation"] not in ("linear", "relu", "softmax")
    ):
        return None
    if kind == "Dense":
        return Layer(layer.name, kind, config["activation"])
    if layer.dilation_rate != (1, 1):
        return None
    return Layer(layer.name, kind, config["activation"], (), layer.strides, layer.padding.upper())


def _apply(layer: Layer, x: "tf.Tensor", weights: Weights | None) -> "tf.Tensor":
    if layer.kind == "Flatten":
        return tf.reshape(x, (-1, math.prod(x.shape[1:])))
    if layer.kind == "MaxPooling2D":
        return tf.nn.max_pool2d(x, layer.window, layer.strides, layer.padding)
    if layer.kind == "Conv2D":
        x = tf.nn.conv2d(x, weights.kernel, layer.strides, layer.padding) + weights.bias
    else:
        x = x @ weights.kernel + weights.bias
    return tf.nn.relu(x) if layer.activation == "relu" else x
