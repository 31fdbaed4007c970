"""What is in a full-int8 .tflite file: its operators, one by one, as layers of integers.

The schema that comes with LiteRT reads it; TensorFlow is not needed.
"""

import struct
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from qkit.network.tflite import import_litert
from qkit.numeric.grid import QuantParams, QuantSpec
from qkit.numeric.integer_layers import Convolution, Dense, Layer
from qkit.numeric.unweighted import Dequantize, MaxPool, Quantize, Reshape, Shift, Softmax

OPERATORS = "CONV_2D", "MAX_POOL_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"
"""What is known here."""


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
    try:
        image, operators = _parse(content)
    except (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"this .tflite file of {len(content):,} bytes is damaged or cut off ({error})") from error
    names, layers = {image.index: "image"}, []
    for operator in operators:
        name = _short_name(operator, names.values())
        if operator.kind not in OPERATORS:
            raise ValueError(f"{name} is a {operator.kind}; known here are {', '.join(OPERATORS)}")
        x = operator.inputs[0]
        if x.index not in names:
            raise ValueError(f"the input of {name} must be the image or the output of another layer, got {x.name!r}")
        layers.append(_layer(operator, name, names[x.index]))
        names[operator.output.index] = name
    return image.shape[1:], _grid(image), tuple(layers)


class _Tensor(NamedTuple):
    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    values: np.ndarray | None


class _Operator(NamedTuple):
    kind: str
    inputs: list[_Tensor]
    output: _Tensor
    options: Any
    activation: str
    same: bool


def _parse(content: bytes) -> tuple[_Tensor, list[_Operator]]:
    """Return the input and all operators. Any error in here is the file's fault."""
    # Here, not above: only reading needs it.
    schema, utils = import_litert("schema_py_generated"), import_litert("tools.flatbuffer_utils")

    model = utils.convert_bytearray_to_object(bytearray(content))
    graph = model.subgraphs[0]
    types, activations = (
        {code: name for name, code in vars(enumeration).items()}
        for enumeration in (schema.TensorType, schema.ActivationFunctionType)
    )
    dtypes = {"INT8": np.int8, "INT32": np.int32}

    def tensor(index: int) -> _Tensor:
        stored = graph.tensors[index]
        kind, shape, grid = types[stored.type], tuple(int(n) for n in stored.shape), stored.quantization
        quantized = grid is not None and grid.scale is not None
        data = model.buffers[stored.buffer].data
        known = data is not None and kind in dtypes
        return _Tensor(
            int(index),
            (stored.name or b"").decode(),
            kind,
            shape,
            np.array(grid.scale if quantized else [], np.float32),
            np.array(grid.zeroPoint if quantized else [], np.int64),
            int(grid.quantizedDimension) if quantized else 0,
            np.frombuffer(bytes(data), dtypes[kind]).reshape(shape) if known else None,
        )

    operators = [
        _Operator(
            str(utils.opcode_to_name(model, operator.opcodeIndex)),
            [tensor(index) for index in operator.inputs if index >= 0],  # -1 is a bias of zeros, left out
            tensor(operator.outputs[0]),
            operator.builtinOptions,
            activations[getattr(operator.builtinOptions, "fusedActivationFunction", 0)],
            getattr(operator.builtinOptions, "padding", None) == schema.Padding.SAME,
        )
        for operator in graph.operators
    ]
    return tensor(graph.inputs[0]), operators


def _short_name(operator: _Operator, taken: Collection[str]) -> str:
    """Return what Keras calls the layer: ``conv1`` for ``deep/quant_conv1/Relu;deep/quant_conv1/BiasAdd``."""
    path = operator.output.name.split(";")[0].split("/")
    named = len(path) > 1 and operator.kind not in ("SOFTMAX", "QUANTIZE", "DEQUANTIZE")
    name = path[-2].removeprefix("quant_") if named else operator.kind.lower()
    count = 1 + sum(other.partition(" ")[0] == name for other in taken)
    return name if count == 1 else f"{name} {count}"


def _layer(operator: _Operator, name: str, source: str) -> Layer:
    kind, (x, *constants), y, options, activation, _ = operator
    common = {"name": name, "source": source, "x": _grid(x), "y": _grid(y), "shape": y.shape[1:]}
    if kind == "QUANTIZE" and (x.type, y.type) == ("FLOAT32", "INT8"):
        return Quantize(**common)
    if kind == "QUANTIZE" and {x.type, y.type} == {"INT8", "UINT8"} and x.scale == y.scale:
        return Shift(**common)
    if kind == "DEQUANTIZE" and (x.type, y.type) == ("INT8", "FLOAT32"):
        return Dequantize(**common)
    weights = constants[0] if kind in ("CONV_2D", "FULLY_CONNECTED") else None
    types = [tensor.type for tensor in (x, weights, y) if tensor]
    if set(types) != {"INT8"} or kind in ("QUANTIZE", "DEQUANTIZE"):
        raise ValueError(
            f"{name}, a {kind}, has {', '.join(types)}; only networks of INT8 throughout can be run here: convert "
            "with optimizations = [tf.lite.Optimize.DEFAULT], a representative_dataset, and "
            "target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]"
        )
    if activation != "NONE" and not (weights and activation == "RELU"):
        raise ValueError(f"{name}, a {kind}, ends with {activation}, which is not known here")
    if kind == "RESHAPE":
        return Reshape(**common)
    if kind == "SOFTMAX":
        if (options.beta, *_only(y)) != (1, 1 / 256, -128):
            raise ValueError(
                f"{name} must have beta 1, scale 1/256 and zero-point -128, got {options.beta}, {_only(y)}"
            )
        return Softmax(**common)
    if kind == "MAX_POOL_2D":
        return MaxPool(**common, **_window(operator, (options.filterHeight, options.filterWidth)))
    per_channel = weights.scale.size > 1
    spec = QuantSpec(symmetric=True, narrow_range=True, axis=weights.axis if per_channel else None)
    common |= {
        "q_weights": weights.values,
        "q_bias": constants[1].values if constants[1:] else np.zeros(weights.shape[0], np.int32),
        "w": QuantParams(*((weights.scale, weights.zero_point) if per_channel else _only(weights)), spec),
        "relu": activation == "RELU",
    }
    if kind == "FULLY_CONNECTED":
        return Dense(**common)
    if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
        raise ValueError(f"{name} is dilated; only convolutions without gaps are known here")
    return Convolution(**common, **_window(operator, weights.shape[1:3]))


def _window(operator: _Operator, size: tuple[int, int]) -> dict:
    return {"size": size, "strides": (operator.options.strideH, operator.options.strideW), "same": operator.same}


def _grid(tensor: _Tensor) -> QuantParams | None:
    """Return scale and zero-point of an activation."""
    if tensor.type not in ("INT8", "UINT8"):
        return None
    return QuantParams(*_only(tensor), QuantSpec(signed=tensor.type == "INT8"))


def _only(tensor: _Tensor) -> tuple[float, int]:
    return tensor.scale.item(), tensor.zero_point.item()
