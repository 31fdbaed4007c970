"""What is in a full-int8 .tflite file: its operators, one by one, as layers of integers.

The schema that comes with LiteRT reads it; TensorFlow is not needed.
"""

import struct
from collections.abc import Collection

import numpy as np

from qkit.network.tflite import Operator, Tensor, read_operators
from qkit.numeric.affine import QuantParams, QuantSpec
from qkit.numeric.integer_layers import (
    Convolution,
    Dense,
    Dequantize,
    Layer,
    MaxPool,
    Quantize,
    Reshape,
    Shift,
    Softmax,
)

OPERATORS = "CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"
"""What is known here."""
SAME = 0
"""What the schema calls the padding that keeps the size."""
FAULTS = (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError)
"""What reading numbers that stand for nothing ends in."""


class NotKnown(ValueError):
    """The file is whole, but has something that is not known here."""


def read_layers(content: bytes) -> tuple[tuple[int, ...], QuantParams | None, tuple[Layer, ...]]:
    """Read the bytes of a .tflite file: shape and grid (``None`` for floats) of an image, and the layers.

    Raises
    ------
    ValueError
        If it is not a .tflite file, is damaged or cut off, computes with anything but int8, or has an operator
        that is not known here.
    """
    if content[4:8] != b"TFL3":
        raise ValueError(f"this is not a .tflite file: bytes 4 to 8 of one are b'TFL3', here they are {content[4:8]!r}")
    damaged = f"this .tflite file of {len(content):,} bytes is damaged or cut off"
    try:
        operators = read_operators(content)
        image = operators[0].inputs[0]
        return image.shape[1:], _grid(image), _layers(image, operators)
    except NotKnown:
        raise
    except FAULTS as error:
        raise ValueError(f"{damaged} ({error})") from error


def _layers(image: Tensor, operators: list[Operator]) -> tuple[Layer, ...]:
    names, layers = {image.index: "image"}, []
    for operator in operators:
        name = _short_name(operator, names.values())
        if operator.kind not in OPERATORS:
            raise NotKnown(f"{name} is a {operator.kind}; known here are {', '.join(OPERATORS)}")
        x = operator.inputs[0]
        if x.index not in names:
            raise NotKnown(f"the input of {name} must be the image or the output of another layer, got {x.name!r}")
        layers.append(_layer(operator, name, names[x.index]))
        names[operator.output.index] = name
    return tuple(layers)


def _short_name(operator: Operator, taken: Collection[str]) -> str:
    """Return what Keras calls the layer; what Keras has no layer for, and what comes twice, gets a name of its own."""
    name = operator.kind.lower() if operator.kind in ("SOFTMAX", "QUANTIZE", "DEQUANTIZE") else operator.layer
    count = 1 + sum(other.partition(" ")[0] == name for other in taken)
    return name if count == 1 else f"{name} {count}"


def _layer(operator: Operator, name: str, source: str) -> Layer:
    kind, (x, *constants), y, options = operator.kind, operator.inputs, operator.output, operator.options
    common = {"name": name, "source": source, "x": _grid(x), "y": _grid(y), "shape": y.shape[1:]}
    if kind == "QUANTIZE" and (x.dtype, y.dtype) == ("float32", "int8"):
        return Quantize(**common)
    if kind == "QUANTIZE" and {x.dtype, y.dtype} == {"int8", "uint8"} and x.scale == y.scale:
        return Shift(**common)
    if kind == "DEQUANTIZE" and (x.dtype, y.dtype) == ("int8", "float32"):
        return Dequantize(**common)
    weights, bias = (*constants, None)[:2] if kind in ("CONV_2D", "FULLY_CONNECTED") else (None, None)
    types = [tensor.dtype for tensor in (x, weights, y, bias) if tensor]
    if types != ["int8"] * (3 if weights else 2) + ["int32"] * bool(bias) or kind in ("QUANTIZE", "DEQUANTIZE"):
        raise NotKnown(
            f"{name}, a {kind}, has {', '.join(types)}; only networks of int8, with biases of int32, can be run here: "
            "convert with optimizations = [tf.lite.Optimize.DEFAULT], a representative_dataset, and "
            "target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]"
        )
    activation = operator.activation
    if activation != "NONE" and not (weights and activation == "RELU"):
        raise NotKnown(f"{name}, a {kind}, ends with {activation}, which is not known here")
    if kind == "RESHAPE":
        return Reshape(**common)
    if kind == "SOFTMAX":
        if (options.beta, *_only(y)) != (1, 1 / 256, -128):
            raise NotKnown(f"{name} must have beta 1, scale 1/256 and zero-point -128, got {options.beta}, {_only(y)}")
        return Softmax(**common)
    if kind == "MAX_POOL_2D":
        return MaxPool(**common, **_window(operator, (options.filterHeight, options.filterWidth)))
    per_channel = weights.scale.size > 1
    spec = QuantSpec(symmetric=True, narrow_range=True, axis=0 if per_channel else None)
    common |= {
        "q_weights": weights.values,
        "q_bias": bias.values if bias else np.zeros(weights.shape[0], np.int32),
        "w": QuantParams(*((weights.scale, weights.zero_point) if per_channel else _only(weights)), spec),
        "relu": activation == "RELU",
    }
    if kind == "FULLY_CONNECTED":
        return Dense(**common)
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        raise NotKnown(f"{name} is dilated; only convolutions without gaps are known here")
    return Convolution(**common, **_window(operator, weights.shape[1:3]))


def _window(operator: Operator, size: tuple[int, int]) -> dict:
    options = operator.options
    return {"size": size, "strides": (options.strideH, options.strideW), "same": options.padding == SAME}


def _grid(tensor: Tensor) -> QuantParams | None:
    """Return scale and zero-point of an activation."""
    if tensor.dtype not in ("int8", "uint8"):
        return None
    return QuantParams(*_only(tensor), QuantSpec(signed=tensor.dtype == "int8"))


def _only(tensor: Tensor) -> tuple[float, int]:
    return tensor.scale.item(), tensor.zero_point.item()
