"""What stands in a .tflite file: operators in the order in which they run, the tensors between them, their scales.

The file is a FlatBuffer: its numbers lie in it as they lie in memory. So the arrays here are views. Those of a
``bytearray`` can be written to, and that changes the file. LiteRT's schema reads it; TensorFlow is not needed.
"""

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from qkit.numeric import QuantParams, QuantSpec

WEIGHTED = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
KERNELS = "Conv2D", "convolution", "depthwise", "MatMul"
"""What Keras calls the operation of a layer with weights, whatever was fused with it."""
WEIGHTLESS = "MaxPool", "AvgPool", "Mean", "Reshape"
"""What it calls those of others, which may lie in a model in the network."""
ROLES = {kind: ("weights", "bias") for kind in WEIGHTED} | {"RESHAPE": ("shape",), "MEAN": ("axes",)}
"""What an operator takes beside the numbers that flow through."""
SHAPES = "SHAPE", "STRIDED_SLICE", "PACK"
"""Operators that only tell RESHAPE how many images there are. They are not among those that are read."""
INPUTS = (
    dict.fromkeys(("SHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "SOFTMAX", "QUANTIZE", "DEQUANTIZE"), (1,))
    | dict.fromkeys(WEIGHTED, (2, 3))
    | {"STRIDED_SLICE": (4,), "PACK": (2, 3, 4, 5, 6), "MEAN": (2,), "RESHAPE": (1, 2)}
)
"""How many tensors an operator takes."""
STATEFUL = "VAR VARIABLE HASHTABLE CALL IF WHILE CUSTOM STABLEHLO DELEGATE LSTM RNN SVDF RANDOM".split()
"""Parts of the names of operators that keep something or run something else: no image needs them."""
LARGEST = 2**26
"""Numbers that may lie between two layers: a damaged file could ask for any memory."""
ZERO_POINTS = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1)}
"""The lowest and the highest of each type; of any other, such as the int32 of biases, it is 0."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the file: its place there, TensorFlow's name for it, if any, and what it holds.

    ``scale`` and ``zero_point`` have one number, or one a channel; none, if it is not quantized.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.ndarray  # float32
    zero_point: np.ndarray  # int64
    data: np.ndarray  # the bytes that are stored: none for what is computed when the network runs
    is_image: bool  # what the network takes

    @property
    def values(self) -> np.ndarray:
        return self.data.view(self.dtype).reshape(self.shape)

    @property
    def grid(self) -> QuantParams | None:
        """The grid of an image or an activation; ``None`` for floats."""
        if self.dtype not in ("int8", "uint8", "int16"):
            return None
        spec = QuantSpec(8 * np.dtype(self.dtype).itemsize, signed=self.dtype != "uint8")
        return QuantParams(self.scale.item(), self.zero_point.item(), spec)

    @property
    def layer(self) -> str:
        """The Keras layer that it belongs to: TensorFlow calls tensors ``network/layer/operation;...``; else ""."""
        parts = [part.split("/") for part in self.name.split(";")]
        for part in parts:  # what was fused has the names of all its layers
            if len(part) > 2 and part[-1].startswith(KERNELS):
                return part[-2].removeprefix("quant_")
        own = parts[0][-2:] if parts[0][-1].startswith(WEIGHTLESS) else parts[0][1:]
        return own[0].removeprefix("quant_") if len(parts[0]) > 1 else ""


@dataclass(frozen=True, eq=False)
class Operator:
    """One step of the computation: ``kind``, such as ``CONV_2D``, what it takes and returns, what is computed last.

    ``activation`` is ``NONE``, ``RELU`` or the like; ``options`` has what else the schema knows of it.
    """

    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    activation: str
    options: Any

    def __post_init__(self) -> None:
        """Refuse what would end the process in LiteRT, which does not look."""
        for tensor in (*self.inputs, self.output):
            scale, zero_point = tensor.scale, tensor.zero_point
            lowest, highest = ZERO_POINTS.get(tensor.dtype, (0, 0))
            can_be_zero = self.kind in WEIGHTED and tensor.data.size > 0  # of a channel all of whose weights are 0
            fits = (
                ((scale > 0) | (can_be_zero & (scale == 0)))
                & np.isfinite(scale)
                & (zero_point >= lowest)
                & (zero_point <= highest)
            )
            if not np.all(fits) or (fits.size == 0 and tensor.dtype in ("int8", "int16")):
                raise ValueError(f"{tensor.name} of {tensor.dtype} has scale {scale} and zero-point {zero_point}")
            if tensor.data.size == 0 and not 1 <= min(tensor.shape, default=1) <= math.prod(tensor.shape) <= LARGEST:
                raise ValueError(f"{tensor.name} has shape {tensor.shape}; at most {LARGEST:,} numbers can be computed")
        if any(word in self.kind.split("_") or self.kind.startswith(word) for word in STATEFUL):
            raise ValueError(f"{self.kind} is no operator of a network for images")
        if len(self.inputs) not in INPUTS.get(self.kind, range(99)):
            raise ValueError(f"{self.output.name}, a {self.kind}, is computed from {len(self.inputs)} tensors")
        if self.kind in SHAPES and (self.output.dtype != "int32" or len(self.output.shape) > 1):
            raise ValueError(f"{self.output.name}, a {self.kind}, is no shape")
        if self.kind == "SOFTMAX" and not np.all(self.options.beta * self.inputs[0].scale > 2**-26):
            raise ValueError(f"softmax of numbers times {self.options.beta:g}, scale {self.inputs[0].scale}")
        wanted = "int32", (len(self.output.shape),)
        if self.kind == "RESHAPE" and any((shape.dtype, shape.shape) != wanted for shape in self.inputs[1:]):
            raise ValueError(f"{self.output.name} has shape {self.output.shape}, but is told another one")

    @property
    def layer(self) -> str:
        """The Keras layer that it is part of: of a convolution and the ReLU layer after it, the convolution."""
        named = self.inputs[1] if self.kind in WEIGHTED else self.output
        return named.layer or self.output.layer or self.kind.lower()


def read_operators(content: bytes | bytearray) -> list[Operator]:
    """Return the operators of a file, in the order in which they run. Two that share a tensor share the object.

    A ValueError if it is not a .tflite file, is damaged or cut off, or holds what no network here may. (LiteRT believes
    what it reads: one wrong byte of a zero-point could end the process.)
    """
    schema, magic = import_litert("schema_py_generated"), bytes(content[4:8])
    if magic != b"TFL3":
        raise ValueError(f"this is not a .tflite file: bytes 4 to 8 of one are b'TFL3', here they are {magic!r}")
    try:
        operators = _operators(schema, content)
        named_tensors(operators)
    except Exception as problem:
        # Numbers that stand for nothing make the reader raise almost anything.
        what = "is damaged or cut off, or holds what no network here may"
        raise ValueError(f"this .tflite file of {len(content):,} bytes {what} ({problem})") from problem
    return operators


def named_tensors(operators: list[Operator]) -> dict[tuple[str, str], Tensor]:
    """Return the tensors by layer and role, in the order of the computation.

    The roles are ``input`` (of ``image``), ``weights``, ``bias``, ``output``, and ``logits`` for what the last softmax
    takes; of a layer with several operators, the second is called ``dense 2``. Float16 weights come with what they are
    turned into when the file is loaded: ``weights, as float32``.
    """
    widened = [step for step in operators if step.kind == "DEQUANTIZE" and step.inputs[0].data.size > 0]
    stored = {step.output: step.inputs[0] for step in widened}
    steps = [step for step in operators if step.output not in stored]
    found = {("image", "input"): next(tensor for step in steps for tensor in step.inputs if tensor.is_image)}
    layer = "image"
    for step in steps:
        if step.kind == "SOFTMAX" and (layer, "output") in found:
            found[layer, "logits"] = found.pop((layer, "output"))
        else:
            count = 1 + sum(name.partition(" ")[0] == step.layer and role == "output" for name, role in found)
            layer = step.layer if count == 1 else f"{step.layer} {count}"
        for role, tensor in zip(ROLES.get(step.kind, ()), step.inputs[1:], strict=False):
            if tensor in stored:
                found[layer, role] = stored[tensor]
                role = f"{role}, as {tensor.dtype}"
            found[layer, role] = tensor
        found[layer, "output"] = step.output
    return found


def import_litert(module: str):
    """Import a module of LiteRT; an ImportError says what to do where there is none."""
    try:
        return import_module(f"ai_edge_litert.{module}")
    except ImportError as problem:
        raise ImportError(
            f"LiteRT, which runs the converted networks, cannot be loaded ({problem}). `make lab` installs it as the "
            "package ai-edge-litert. For Macs with an Intel processor there is none: use another computer, or Binder."
        ) from problem


def _operators(schema, content: bytes | bytearray) -> list[Operator]:
    kinds, activations, dtypes = (
        {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}
        for enumeration in (schema.BuiltinOperator, schema.ActivationFunctionType, schema.TensorType)
    )
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    tensors = [_tensor(model, graph, index, dtypes) for index in range(graph.TensorsLength())]
    takes = [tensors[index].dtype for index in graph.InputsAsNumpy()]
    if len(takes) != 1 or graph.OutputsLength() != 1 or takes[0] not in ("float32", *ZERO_POINTS):
        raise ValueError(f"it must take one image, not {', '.join(takes)}, and return one answer")
    operators, known = [], {*graph.InputsAsNumpy(), *(tensor.index for tensor in tensors if tensor.data.size)}
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        options = schema.OperatorT.InitFromObj(operator).builtinOptions
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = tuple(tensors[place] for place in operator.InputsAsNumpy() if place >= 0)
        activation = activations[getattr(options, "fusedActivationFunction", 0)]
        outputs = operator.OutputsAsNumpy()
        if not known.isdisjoint(outputs) or not known.issuperset(tensor.index for tensor in inputs):
            raise ValueError(f"{tensors[outputs[0]].name} is computed twice, or from what is not computed yet")
        known.update(outputs)
        operators.append(Operator(kind, inputs, tensors[outputs[0]], activation, options))
    return [step for step in operators if step.kind not in SHAPES]


def _tensor(model, graph, index: int, dtypes: dict[int, str]) -> Tensor:
    tensor = graph.Tensors(index)
    if tensor.IsVariable():  # which could end the process, where an operator writes it
        raise ValueError(f"tensor {index} is kept from one image to the next")
    buffer, grid = model.Buffers(tensor.Buffer()), tensor.Quantization()
    quantized = grid is not None and grid.ScaleLength() > 0
    return Tensor(
        index=index,
        name=(tensor.Name() or b"").decode(),
        shape=tuple(tensor.Shape(axis) for axis in range(tensor.ShapeLength())),
        dtype=dtypes[tensor.Type()].lower(),
        scale=grid.ScaleAsNumpy() if quantized else np.zeros(0, np.float32),
        zero_point=grid.ZeroPointAsNumpy() if quantized else np.zeros(0, np.int64),
        data=buffer.DataAsNumpy() if buffer.DataLength() else np.zeros(0, np.uint8),
        is_image=index == graph.Inputs(0),
    )
