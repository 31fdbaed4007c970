"""Our own thresholds in a real int8 file.

LiteRT's converter knows one calibration method, MinMax. But a .tflite file is only integers and the scales that say
what they stand for, so other scales can be written into it, and weights and biases be quantized again with them. That
takes milliseconds and is exact. (The other way, fake-quantization nodes before conversion, takes a conversion each
time, and TensorFlow 2.21 fails to convert them on the weights of a dense layer per channel.)
"""

from collections.abc import Iterable, Mapping

import numpy as np

from qkit.network.backend import keras
from qkit.network.litert import LiteModel
from qkit.network.tflite import Operator, Tensor, named_tensors, read_operators
from qkit.numeric.affine import QuantParams, quantize


def deploy(
    model: "keras.Sequential",
    converted: LiteModel,
    activations: Mapping[str, QuantParams] | None = None,
    weights: Mapping[str, QuantParams] | None = None,
) -> LiteModel:
    """Return the converted network with other scales and zero-points, weights and biases quantized anew.

    Everything that is not named keeps the converter's scale. The softmax's output has always 1/256.

    Parameters
    ----------
    model : keras.Sequential
        The network that was converted.
    converted : LiteModel
        From ``convert(model, "int8", ...)``.
    activations : mapping of layer name, ``"image"`` or ``"logits"``, to QuantParams, optional
        With 8 bits, per tensor; unsigned ones are stored as int8, which stands for the same numbers. The output
        of a pooling layer has the scale of the layer before it: name either.
        ``"logits"`` is what the softmax of the last layer takes.
    weights : mapping of layer name to QuantParams, optional
        Symmetric, per tensor or along the last axis, at most 8 bits with a narrow range: fewer bits use fewer of
        int8's integers, and save no byte.

    Returns
    -------
    LiteModel
        Its scales are those of the parameters, rounded to float32.

    Raises
    ------
    ValueError
        If the network was not converted to int8, is another one, or has no such layer; if parameters cannot be
        stored in int8, a bias does not fit into int32 at such small scales, or LiteRT cannot compute with them.
    """
    activations, weights = activations or {}, weights or {}
    content = bytearray(converted.content)
    operators = read_operators(content)
    _lay_grids(operators, activations)
    layers = [step for step in operators if step.kind in ("CONV_2D", "FULLY_CONNECTED")]
    _refuse_unknown(weights, [step.layer for step in layers], "weights")
    for step in layers:
        inputs, kernel, *bias = step.inputs
        real_kernel, real_bias = model.get_layer(step.layer).get_weights()
        _refuse_another(step.layer, real_kernel, real_bias, kernel, bias)
        if step.layer in weights:
            _store_kernel(step.layer, real_kernel, weights[step.layer], kernel)
        for stored in bias:
            _store_bias(step.layer, real_bias, inputs.scale * kernel.scale, stored)
    try:
        return LiteModel(bytes(content))
    except RuntimeError as problem:
        raise ValueError(f"LiteRT's kernels cannot compute with scales so far apart ({problem})") from problem


def _lay_grids(operators: list[Operator], activations: Mapping[str, QuantParams]) -> None:
    tensors = named_tensors(operators)
    names = {
        "logits" if role == "logits" else layer: tensor
        for (layer, role), tensor in tensors.items()
        if role in ("input", "output", "logits") and tensor is not operators[-1].output
    }
    if names["image"].dtype != "int8":
        raise ValueError(
            f"only a network converted to int8 can take other scales, this one takes {names['image'].dtype}"
        )
    _refuse_unknown(activations, names, "outputs to quantize")
    # The largest of some integers is one of them: such operators hand on integers as they are, and so their scale.
    origin = {tensor: tensor for tensor in names.values()}
    for step in operators:
        if step.kind in ("MAX_POOL_2D", "RESHAPE"):
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
        scale = np.float32(params.scale)
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
