"""What stands in a .tflite file: operators in the order in which they run, the tensors between them, their scales.

The file is a FlatBuffer: its numbers lie in it as they lie in memory. So the arrays here are views. Those of a
``bytearray`` can be written to, and that changes the file; its size stays. The schema that comes with LiteRT reads it;
TensorFlow is not needed.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from qkit.numeric import QuantParams, QuantSpec, quantize

WEIGHTED = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
ROLES = {"CONV_2D": ("weights", "bias"), "FULLY_CONNECTED": ("weights", "bias"), "RESHAPE": ("shape",)}
"""What an operator takes beside the numbers that flow through the network."""
ZERO_POINTS = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1)}
"""The lowest and the highest of each type; of any other, such as the int32 of biases, it is 0."""
SAME_SCALE = "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE"
"""Operators that hand on integers, or means of integers, as they are: their output has the scale of their input."""
ANY_SCALE = "CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "ADD", "MEAN"
"""Operators that LiteRT computes with whatever scales the file has; the biases of the first two depend on them."""
FAULTS = (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError)
"""What reading numbers that stand for nothing ends in."""


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

    @property
    def grid(self) -> QuantParams | None:
        """The grid of an image or an activation; ``None`` for floats."""
        return grid_of(self.dtype, self.scale, self.zero_point)

    @property
    def layer(self) -> str:
        """The Keras layer that it belongs to: TensorFlow calls tensors ``network/layer/operation;...``; else ""."""
        _, *layer = self.name.split(";")[0].split("/")
        return layer[0].removeprefix("quant_") if layer else ""


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
        """The Keras layer that it is part of: of a convolution and the ReLU layer after it, the convolution."""
        named = self.inputs[1] if self.kind in WEIGHTED else self.output
        return named.layer or self.output.layer or self.kind.lower()


def read_operators(content: bytes | bytearray) -> list[Operator]:
    """Return the operators of a file, in the order in which they run.

    Two operators that share a tensor share the object. A bias that is left out because it is 0 is not among the
    inputs.

    Raises
    ------
    ValueError
        If it is not a .tflite file, is damaged or cut off. LiteRT believes what it reads: one wrong byte, such as one
        of a zero-point, could end the process.
    ImportError
        If LiteRT is not installed.
    """
    schema, magic = import_litert("schema_py_generated"), bytes(content[4:8])
    if magic != b"TFL3":
        raise ValueError(f"this is not a .tflite file: bytes 4 to 8 of one are b'TFL3', here they are {magic!r}")
    try:
        return _operators(schema, content)
    except FAULTS as problem:
        raise ValueError(f"this .tflite file of {len(content):,} bytes is damaged or cut off ({problem})") from problem


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


def grid_of(dtype: str, scale: np.ndarray, zero_point: np.ndarray) -> QuantParams | None:
    """Return the grid of an image or an activation, of whose scale and zero-point the file has arrays of one number.

    ``None`` stands for floats.
    """
    if dtype not in ("int8", "uint8", "int16"):
        return None
    bits = 8 * np.dtype(dtype).itemsize
    return QuantParams(scale.item(), zero_point.item(), QuantSpec(bits, signed=dtype != "uint8"))


def on_input_grid(images: np.ndarray, grid: QuantParams | None) -> np.ndarray:
    """Turn grey levels (n, height, width) into what a network takes (n, height, width, 1): floats, or integers.

    There are only 256 grey levels, so each is quantized once.
    """
    levels = np.arange(256, dtype=np.float32) / 255
    return (levels if grid is None else quantize(levels, grid))[images][..., None]


def with_scales(
    content: bytes,
    layers: Mapping[str, list[np.ndarray]],
    activations: Mapping[str, QuantParams],
    weights: Mapping[str, QuantParams],
) -> bytes:
    """Return the file with other scales and zero-points, weights and biases quantized anew with them.

    Parameters and errors are those of :func:`qkit.network.deploy`; ``layers`` are the float kernels and biases by name.
    (The other way, fake-quantization nodes before conversion, takes a conversion each time, and TensorFlow 2.21 fails
    to convert them on the weights of a dense layer per channel.)
    """
    changed = bytearray(content)
    operators = read_operators(changed)
    for step in operators:
        if step.kind not in (*SAME_SCALE, *ANY_SCALE):
            raise ValueError(
                f"{step.layer} is a {step.kind}; scales can be changed in networks of "
                f"{', '.join(sorted({*SAME_SCALE, *ANY_SCALE}))}: leave the converter's scales in this one"
            )
    _lay_grids(operators, activations)
    steps = {step.layer: step for step in operators if step.kind in WEIGHTED}
    _refuse_unknown(weights, steps, "weights")
    for layer, step in steps.items():
        inputs, kernel, *q_bias = step.inputs
        real_kernel, *real_bias = layers.get(layer, [np.zeros(0)])
        real_bias = real_bias[0] if real_bias else np.zeros(kernel.shape[0])
        _refuse_another(layer, real_kernel, real_bias, kernel, q_bias)
        if layer in weights:
            _store_kernel(layer, real_kernel, weights[layer], kernel)
        for bias in q_bias:
            _store_bias(layer, real_bias, inputs.scale * kernel.scale, bias)
    return bytes(changed)


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
        step = Operator(
            kind=kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())],
            inputs=tuple(tensors[place] for place in operator.InputsAsNumpy() if place >= 0),
            output=tensors[operator.OutputsAsNumpy()[0]],
            activation=activations[getattr(options, "fusedActivationFunction", 0)],
            options=options,
        )
        _check(step)
        operators.append(step)
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


def _check(step: Operator) -> None:
    """Refuse what would end the process in LiteRT, which does not look."""
    for tensor in (*step.inputs, step.output):
        scale, zero_point = tensor.scale, tensor.zero_point
        lowest, highest = ZERO_POINTS.get(tensor.dtype, (0, 0))
        fits = (scale > 0) & np.isfinite(scale) & (zero_point >= lowest) & (zero_point <= highest)
        if not np.all(fits) or (fits.size == 0 and tensor.dtype in ("int8", "int16")):
            raise ValueError(f"{tensor.name} of {tensor.dtype} has scale {scale} and zero-point {zero_point}")
    if step.kind == "SOFTMAX" and not np.all(step.options.beta * step.inputs[0].scale > 2**-26):
        raise ValueError(f"softmax of numbers times {step.options.beta:g}, scale {step.inputs[0].scale}")
    if step.kind == "RESHAPE" and any(
        (shape.dtype, shape.shape) != ("int32", (len(step.output.shape),)) for shape in step.inputs[1:]
    ):
        raise ValueError(f"{step.output.name} has shape {step.output.shape}, but is told another one")


def _widens(step: Operator) -> bool:
    """Say whether the step turns stored numbers into floats."""
    return step.kind == "DEQUANTIZE" and step.inputs[0].data.size > 0


def _lay_grids(operators: list[Operator], activations: Mapping[str, QuantParams]) -> None:
    fixed = [step.output for step in operators if step.kind == "SOFTMAX"]
    names = {
        "logits" if role == "logits" else layer: tensor
        for (layer, role), tensor in named_tensors(operators).items()
        if role in ("input", "output", "logits") and tensor not in fixed
    }
    if names["image"].dtype != "int8":
        raise ValueError(
            f"only a network converted to int8 can take other scales, this one takes {names['image'].dtype}"
        )
    _refuse_unknown(activations, names, "outputs to quantize")
    origin = {tensor: tensor for tensor in names.values()}
    for step in operators:
        if step.kind in SAME_SCALE:
            origin[step.output] = origin[step.inputs[0]]
    laid = {}
    for name, params in activations.items():
        spec = params.spec
        if spec.bits != 8 or spec.narrow_range or spec.axis is not None:
            raise ValueError(f"outputs need all 256 integers of 8 bits, and one scale; got for {name} {params}")
        grid = _scale(name, params), params.zero_point - (0 if spec.signed else 128)
        if laid.setdefault(origin[names[name]], grid) != grid:
            raise ValueError(f"{name} has the scale of the layer before it, and that is given another one")
    for tensor, source in origin.items():
        if source in laid:
            tensor.scale[:], tensor.zero_point[:] = laid[source]


def _store_kernel(layer: str, real: np.ndarray, params: QuantParams, kernel: Tensor) -> None:
    spec = params.spec
    if kernel.dtype != "int8":
        raise ValueError(f"weights can be written where there are int8 ones, {layer} has {kernel.dtype}")
    if not (spec.symmetric and spec.signed and spec.qmin >= -127):
        raise ValueError(
            f"weights need signed, symmetric integers from -127 at the lowest (narrow_range), got for {layer} {params}"
        )
    if spec.axis is not None and (spec.axis_of(real) != real.ndim - 1 or len(kernel.scale) == 1):
        raise ValueError(
            f"weights have a scale for each index of the last axis, in a file converted with per_channel=True; got "
            f"for {layer} {params} and a file with {len(kernel.scale)}"
        )
    scale = _scale(layer, params)
    q_kernel = quantize(real, QuantParams(scale, params.zero_point, spec))
    kernel.scale[:] = scale
    kernel.values[:] = np.moveaxis(q_kernel, -1, 0)


def _store_bias(layer: str, real: np.ndarray, scale: np.ndarray, bias: Tensor) -> None:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        q_bias = np.rint(real / scale.astype(np.float64))
    if not np.all(np.abs(q_bias) < 2**31):
        raise ValueError(f"the bias of {layer} does not fit into int32 at scales as small as {scale.min():g}")
    bias.scale[:] = scale
    bias.values[:] = q_bias


def _scale(name: str, params: QuantParams) -> np.ndarray:
    with np.errstate(under="ignore", over="ignore"):
        scale = np.asarray(params.scale).astype(np.float32)
    if not np.all((scale > 0) & np.isfinite(scale)):
        raise ValueError(f"the file holds scales as float32, and that of {name} does not fit: {params}")
    return scale


def _refuse_unknown(params: Mapping[str, QuantParams], known: Iterable[str], what: str) -> None:
    for name in params:
        if name not in known:
            raise ValueError(f"there are no {what} called {name!r}; there are {', '.join(known)}")


def _refuse_another(layer: str, kernel: np.ndarray, bias: np.ndarray, q_kernel: Tensor, q_bias: list[Tensor]) -> None:
    same = np.moveaxis(kernel, -1, 0).shape == q_kernel.shape
    for tensor in q_bias if same else ():
        scale = tensor.scale.astype(np.float64)
        same = np.all(np.abs(bias - scale * tensor.values) <= scale)
    if not same:
        raise ValueError(f"the file was not converted from this network: {layer} has other weights there")
