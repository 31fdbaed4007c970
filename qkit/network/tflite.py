"""What stands in a .tflite file: operators in the order in which they run, and the tensors between them.

The file is a FlatBuffer: its numbers lie in it as they lie in memory. So the arrays here are views. Those of a
``bytearray`` can be written to, and that changes the file; its size stays.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

ROLES = {"CONV_2D": ("weights", "bias"), "FULLY_CONNECTED": ("weights", "bias"), "RESHAPE": ("shape",)}
"""What an operator takes beside the numbers that flow through the network."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the file.

    Attributes
    ----------
    index : int
        Its place in the file.
    name : str
        As TensorFlow called it; tensors need not have one.
    shape : tuple of int
    dtype : str
        Such as ``"int8"``.
    scale : ndarray of float32, shape (channels,)
        One number for a tensor that is quantized as a whole, none for one that is not quantized.
    zero_point : ndarray of int64, shape (channels,)
    data : ndarray of uint8, shape (bytes,)
        The bytes that are stored: none for what is computed when the network runs.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.ndarray
    zero_point: np.ndarray
    data: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The stored numbers, in their shape."""
        return self.data.view(self.dtype).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Operator:
    """One step of the computation: ``kind``, such as ``CONV_2D``, what it takes, and what it returns.

    ``activation``, such as ``RELU`` or ``NONE``, is part of it. ``options`` has what else the schema knows of it.
    """

    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    activation: str
    options: Any

    @property
    def layer(self) -> str:
        """The Keras layer that it is part of: TensorFlow calls its tensors ``network/layer/operation;...``."""
        _, *layer = self.output.name.split(";")[0].split("/")
        return layer[0].removeprefix("quant_") if layer else self.kind.lower()


def read_operators(content: bytes | bytearray) -> list[Operator]:
    """Return the operators of a file, in the order in which they run.

    Two operators that share a tensor share the object. A bias that is left out because it is 0 is not among the
    inputs.

    Raises
    ------
    ImportError
        If LiteRT is not installed.
    """
    schema = import_litert("schema_py_generated")
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
        operators.append(
            Operator(
                kind=kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())],
                inputs=tuple(tensors[place] for place in operator.InputsAsNumpy() if place >= 0),
                output=tensors[operator.Outputs(0)],
                activation=activations[getattr(options, "fusedActivationFunction", 0)],
                options=options,
            )
        )
    return operators


def named_tensors(operators: list[Operator]) -> dict[tuple[str, str], Tensor]:
    """Return the tensors by layer and role, in the order of the computation.

    The layers are those of the Keras network, and ``image``. The roles are ``weights``, ``bias``, ``output``, and
    ``logits`` for what the softmax of the last layer takes. Float16 weights come with what they are turned into
    when the file is loaded: ``weights, as float32``.
    """
    stored = {step.output: step.inputs[0] for step in operators if _widens(step)}
    steps = [step for step in operators if not _widens(step)]
    found = {("image", "input"): steps[0].inputs[0]}
    layer = "image"
    for step in steps:
        if step.kind == "SOFTMAX":
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
    """Import a module of LiteRT, of which there is none for some computers.

    Raises
    ------
    ImportError
        If LiteRT is not installed.
    """
    try:
        return import_module(f"ai_edge_litert.{module}")
    except ImportError as problem:
        raise ImportError(
            f"LiteRT, which runs the converted networks, cannot be loaded ({problem}). `make lab` installs it as the "
            "package ai-edge-litert. For Macs with an Intel processor there is none: use another computer, or Binder."
        ) from problem


def _widens(step: Operator) -> bool:
    """Say whether the step turns stored numbers into floats."""
    return step.kind == "DEQUANTIZE" and step.inputs[0].data.size > 0


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
