"""What stands in a .tflite file: operators in the order in which they run, the tensors between them, their scales.

The file is a FlatBuffer: its numbers lie in it as they lie in memory. So the arrays here are views. Those of a
``bytearray`` can be written to, and that changes the file. LiteRT's schema reads it; TensorFlow is not needed.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from qkit.numeric import QuantParams, QuantSpec

WEIGHTED = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
ROLES = {"CONV_2D": ("weights", "bias"), "FULLY_CONNECTED": ("weights", "bias"), "RESHAPE": ("shape",)}
"""What an operator takes beside the numbers that flow through."""
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
        _, *layer = self.name.split(";")[0].split("/")
        return layer[0].removeprefix("quant_") if layer else ""


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
            fits = (scale > 0) & np.isfinite(scale) & (zero_point >= lowest) & (zero_point <= highest)
            if not np.all(fits) or (fits.size == 0 and tensor.dtype in ("int8", "int16")):
                raise ValueError(f"{tensor.name} of {tensor.dtype} has scale {scale} and zero-point {zero_point}")
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

    A ValueError, if it is not a .tflite file, is damaged or cut off. (LiteRT believes what it reads: one wrong byte of
    a zero-point could end the process.)
    """
    schema, magic = import_litert("schema_py_generated"), bytes(content[4:8])
    if magic != b"TFL3":
        raise ValueError(f"this is not a .tflite file: bytes 4 to 8 of one are b'TFL3', here they are {magic!r}")
    try:
        operators = _operators(schema, content)
        named_tensors(operators)
    except Exception as problem:
        # Numbers that stand for nothing make the reader raise almost anything.
        raise ValueError(f"this .tflite file of {len(content):,} bytes is damaged or cut off ({problem})") from problem
    return operators


def named_tensors(operators: list[Operator]) -> dict[tuple[str, str], Tensor]:
    """Return the tensors by layer and role, in the order of the computation.

    The roles are ``input`` (of ``image``), ``weights``, ``bias``, ``output``, and ``logits`` for what the last softmax
    takes. Float16 weights come with what they are turned into when the file is loaded: ``weights, as float32``.
    """
    widened = [step for step in operators if step.kind == "DEQUANTIZE" and step.inputs[0].data.size > 0]
    stored = {step.output: step.inputs[0] for step in widened}
    steps = [step for step in operators if step.output not in stored]
    found = {("image", "input"): steps[0].inputs[0]}
    layer = "image"
    for step in steps:
        if step.kind == "SOFTMAX" and (layer, "output") in found:
            found[layer, "logits"] = found.pop((layer, "output"))
        else:
            layer = step.layer
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
    tensors = [_tensor(model, graph.Tensors(index), index, dtypes) for index in range(graph.TensorsLength())]
    operators = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        options = schema.OperatorT.InitFromObj(operator).builtinOptions
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = tuple(tensors[place] for place in operator.InputsAsNumpy() if place >= 0)
        activation = activations[getattr(options, "fusedActivationFunction", 0)]
        operators.append(Operator(kind, inputs, tensors[operator.OutputsAsNumpy()[0]], activation, options))
    return operators


def _tensor(model, tensor, index: int, dtypes: dict[int, str]) -> Tensor:
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
    )
