"""A full-int8 .tflite file, run in NumPy as integer hardware runs it, and equal to LiteRT bit for bit.

The file says which layers there are; :mod:`qkit.numeric.integer_layers` computes them. TensorFlow is not needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from qkit.network.recipe import as_input, check_names
from qkit.network.tflite import WEIGHTED, Operator, Tensor, read_operators
from qkit.numeric import QuantParams, QuantSpec
from qkit.numeric import integer_layers as kinds
from qkit.numeric.fixed_point import Activation, Runtime
from qkit.numeric.integer_layers import Layer, Trace

BATCH = 25
"""Images at a time: their sums still fit into the processor's cache."""
WINDOWED = kinds.Convolution, kinds.Depthwise, kinds.MaxPool, kinds.AveragePool
LAYERS = {layer.op: layer for layer in (*WINDOWED, kinds.Dense, kinds.Mean, kinds.Reshape, kinds.Softmax)}


@dataclass(frozen=True, eq=False, repr=False)
class IntegerNetwork:
    """An int8 network: layers one after the other, from an image to an answer. Taught in notebook 06.

    ``shape`` is that of one image, and ``image`` the grid of the input. What turns floats or uint8 into int8 at the
    beginning of a file, and back at its end, is left out.

    >>> network = IntegerNetwork.read("digits.tflite")  # doctest: +SKIP
    >>> network.predict(digits.x_test, runtime="reference").argmax(axis=1)  # doctest: +SKIP
    """

    shape: tuple[int, ...]
    image: QuantParams
    layers: tuple[Layer, ...]

    @classmethod
    def read(cls, file: str | Path | bytes) -> "IntegerNetwork":
        """Read a .tflite file, by its path or by its bytes; a ValueError if it holds what is not known here."""
        content = bytes(file) if isinstance(file, bytes | bytearray) else Path(file).read_bytes()
        try:
            steps = read_operators(content)
            steps = steps[_turns(steps[0]) : len(steps) - _turns(steps[-1])]
            image = steps[0].inputs[0]
            return cls(image.shape[1:], image.grid, _layers(image, steps))
        except (ArithmeticError, AttributeError, LookupError, TypeError) as problem:
            raise ValueError(f"this .tflite file of {len(content):,} bytes is damaged ({problem})") from problem

    def predict(self, images: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        """Return the output of the last layer: int8 (n, classes).

        ``images`` are grey levels, uint8 (n, *shape), which stand for 0 to 1; a last side of 1 may be left out. Or they
        are floats (n, *shape), or their integers, int8. The ``runtime`` is one of :data:`qkit.numeric.RUNTIMES`.
        """
        return np.concatenate([outputs[self.layers[-1].name] for outputs in self._batches(images, runtime)])

    def run(self, images: np.ndarray, runtime: Runtime = "xnnpack") -> dict[str, np.ndarray]:
        """Return the input and each layer's output by name, ``"image"``, ``"conv1"``, …: 400 MB for 10,000 images."""
        batches = list(self._batches(images, runtime))
        return {name: np.concatenate([outputs.pop(name) for outputs in batches]) for name in list(batches[0])}

    def layer(self, name: str) -> Layer:
        layers = {layer.name: layer for layer in self.layers}
        check_names([name], layers)
        return layers[name]

    def trace(self, image: np.ndarray, name: str, position: tuple[int, ...], runtime: Runtime = "xnnpack") -> Trace:
        """Follow one number of a convolution's or dense layer's output, from the int8 inputs to the int8 result.

        ``position`` is (row, column, channel), or (channel,) of a dense layer; ``image`` is one of :meth:`predict`'s.
        """
        layer = self.layer(name)
        if not isinstance(layer, kinds.Dense):
            raise ValueError(f"only convolutions and dense layers can be followed; {name} is a {layer.op}")
        return layer.trace(self.run(np.asarray(image)[None], runtime)[layer.source][0], position, runtime)

    def __repr__(self) -> str:
        lines = [f"IntegerNetwork: {self.shape} -> {self.layers[-1].shape}"]
        for layer in self.layers:
            grid = f"step {layer.y.scale:.4g}, real 0 is {layer.y.zero_point}"
            lines.append(f"{layer.name:12} {layer.op:16} {layer.shape!s:15} {grid}")
        return "\n".join(lines)

    def _batches(self, images: np.ndarray, runtime: Runtime) -> Iterator[dict[str, np.ndarray]]:
        x = np.asarray(images)
        are_integers = x.dtype == np.int8 and x.size and x.shape[1:] == self.shape
        if not are_integers:
            x = as_input(x, self.shape, self.image)
        for start in range(0, len(x), BATCH):
            outputs = {"image": x[start : start + BATCH]}
            for layer in self.layers:
                try:
                    outputs[layer.name] = layer.run(outputs[layer.source], runtime)
                except OverflowError as problem:
                    raise ValueError(f"the scales of {layer.name} do not fit together ({problem})") from problem
            yield outputs


def _turns(step: Operator) -> bool:
    """Whether an operator only turns floats, or uint8 of the same scale, into int8, or int8 into them."""
    x, y = step.inputs[0], step.output
    same = {x.dtype, y.dtype} == {"int8", "uint8"} and np.array_equal(x.scale, y.scale)
    return step.kind in ("QUANTIZE", "DEQUANTIZE") and (same or {x.dtype, y.dtype} == {"int8", "float32"})


def _layers(image: Tensor, operators: list[Operator]) -> tuple[Layer, ...]:
    names, layers = {image.index: "image"}, []
    for step in operators:
        # What Keras calls the layer; softmax, which it has no layer for, and what comes twice, get names of their own.
        name = "softmax" if step.kind == "SOFTMAX" else step.layer
        count = 1 + sum(other.partition(" ")[0] == name for other in names.values())
        name = name if count == 1 else f"{name} {count}"
        layers.append(_layer(step, name, names.get(step.inputs[0].index)))
        names[step.output.index] = name
    return tuple(layers)


def _layer(step: Operator, name: str, source: str | None) -> Layer:
    kind, (x, *constants), y = step.kind, step.inputs, step.output
    if kind not in LAYERS:
        way_out = "leave that layer out; BatchNormalization belongs directly after a layer with weights"
        if kind == "GATHER":  # the converter's first step of a Dense on more than one axis
            way_out = "before Dense put Flatten, or use Conv2D with 1 × 1 filters"
        raise ValueError(f"{name} is a {kind}; {way_out}. Known here are {', '.join(LAYERS)}")
    types = [tensor.dtype for tensor in (x, y, *constants)]
    if types[:2] != ["int8"] * 2 or (kind in WEIGHTED and types[2:] not in (["int8"], ["int8", "int32"])):
        way_out = 'only networks of int8, with biases of int32, can be run: convert(model, "int8", images)'
        raise ValueError(f"{name}, a {kind}, has {', '.join(types)}; {way_out}")
    if source is None:
        raise ValueError(f"the input of {name} must be the image or another layer's output, got {x.name!r}")
    if step.activation not in get_args(Activation):
        raise ValueError(f"{name}, a {kind}, ends with {step.activation}; known here are ReLU and ReLU6")
    if kind == "SOFTMAX" and (step.options.beta, y.grid.scale, y.grid.zero_point) != (1, 1 / 256, -128):
        raise ValueError(f"{name} must have beta 1, scale 1/256, got {step.options.beta:g} and {y.grid}")
    if kind == "MEAN" and (step.options.keepDims or sorted(constants[0].values % len(x.shape)) != [1, 2]):
        raise ValueError(f"{name} must be the mean of rows and columns, as GlobalAveragePooling2D(keepdims=False) is")
    layer = LAYERS[kind]
    more = _weights(step) if kind in WEIGHTED else {}
    more |= _window(step, name) if layer in WINDOWED else {}
    more |= {"activation": step.activation} if layer in (*WINDOWED, kinds.Dense) else {}
    return layer(name=name, source=source, x=x.grid, y=y.grid, shape=y.shape[1:], **more)


def _weights(step: Operator) -> dict:
    weights, *bias = step.inputs[1:]
    many = weights.scale.size > 1
    scale, zero_point = (each if many else each.item() for each in (weights.scale, weights.zero_point))
    spec = QuantSpec(symmetric=True, narrow_range=True, axis=0 if many else None)
    q_weights = weights.values if step.kind != "DEPTHWISE_CONV_2D" else np.moveaxis(weights.values[0], -1, 0)[..., None]
    q_bias = bias[0].values if bias else np.zeros(len(q_weights), np.int32)
    return {"q_weights": q_weights, "q_bias": q_bias, "w": QuantParams(scale, zero_point, spec)}


def _window(step: Operator, name: str) -> dict:
    options, sides, found = step.options, step.inputs[0].shape[1:3], step.output.shape[1:3]
    if getattr(options, "dilationHFactor", 1) != 1 or getattr(options, "dilationWFactor", 1) != 1:
        raise ValueError(f"{name} is dilated; only convolutions without gaps are known here")
    size = step.inputs[1].shape[1:3] if step.kind in WEIGHTED else (options.filterHeight, options.filterWidth)
    strides, same = (options.strideH, options.strideW), options.padding == 0  # SAME
    along = zip(sides, size, strides, [same] * 2, strict=True)
    if min(size + strides) < 1 or found != tuple(kinds.windows_along(*each) for each in along):
        raise ValueError(f"the file is damaged: windows of {size} every {strides} do not lead from {sides} to {found}")
    return {"size": size, "strides": strides, "same": same}
