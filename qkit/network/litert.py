"""A digit classifier as LiteRT runs it: one .tflite file, what stands in it, its answers and its speed.

:func:`convert` makes one of a Keras network, :func:`deploy` writes our own thresholds into it. To read and to run one
needs no TensorFlow, but LiteRT: without it, all here is an ImportError.
"""

import math
import statistics
import timeit
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qkit.keeping import write_whole
from qkit.network.recipe import Grids, Weights, as_input, check_names, quiet
from qkit.network.tflite import WEIGHTED, Operator, import_litert, named_tensors, read_operators
from qkit.numeric import Accuracy, QuantParams, dequantize, quantize

if TYPE_CHECKING:
    from qkit.network.backend import keras

KINDS = ("float32", "float16", "dynamic", "int8", "int16x8")
INTEGERS = {"int8": "TFLITE_BUILTINS_INT8", "int16x8": "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"}
BATCH = 250
NUMBERS = 2**25
"""Of one batch and one layer, at most: of large images it has fewer."""
SAME_SCALE = "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE"
"""Operators that hand on integers, or means of integers, as they are: their output has the scale of their input."""
ANY_SCALE = *WEIGHTED, "SOFTMAX", "MEAN"
"""Operators that LiteRT computes with whatever scales the file has; the biases of those with weights depend on them."""
RESOLVERS = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
"""LiteRT's names for the runtimes: the default, its own fast code, and its plain C++ loops."""
CANNOT_RUN = (
    "LiteRT cannot run this file with the runtime {} ({}); if the file is not damaged, another runtime may, such as "
    'predict(images, "builtin"), or a file of another kind, such as convert(model, "dynamic")'
)


def convert(
    model: "keras.Sequential", kind: str, calibration: np.ndarray | None = None, per_channel: bool = True
) -> "LiteModel":
    """Convert a network by TensorFlow's converter: post-training quantization. The same arguments give the same bytes.

    =========  ==============================  =========================  =================================
    kind       weights and biases in the file  between the layers         computed with
    =========  ==============================  =========================  =================================
    float32    float32                         float32                    float32
    float16    float16                         float32                    float32
    dynamic    int8; float32 where there are   float32                    int8 and int8 weights, scaled anew
               few, and for biases                                        for every image
    int8       int8, biases int32              int8, calibrated           int8
    int16x8    int8, biases int64              int16, calibrated          int16 and int8
    =========  ==============================  =========================  =================================

    Images and answers are integers too in the last two, which need ``calibration`` images, uint8 (n, 28, 28), or
    whatever else the network takes: the smallest and the largest number that each layer returns for them is its range.
    (For int8 a network from quantization-aware training needs none: it has learned its ranges.) With ``per_channel``
    each output of a layer has a scale, else all its weights share one.

    The network takes one image of a fixed shape, with whatever layers LiteRT has; a ValueError if the converter cannot
    take one, such as a loop: LSTM and GRU need ``unroll=True``, and do best as ``dynamic``. Taught in notebook 05,
    section 2.

    Source: https://developers.google.com/edge/litert/conversion/tensorflow/quantization/post_training_quantization
    It now deprecates this, in favour of litert-quantizer, which quantizes a float32 file.

    >>> convert(trained("deep", digits), "int8", digits.x_train[:200])  # doctest: +SKIP
    LiteModel: 235,176 bytes, int8 in, int8 out
    """
    from qkit.network.backend import keras, tf
    from qkit.network.chain import BEGIN, image_shape

    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    shape = image_shape(model)
    if None in shape:
        raise ValueError(f"the network takes images of any size, {shape}; {BEGIN}")
    for layer in model._flatten_layers(include_self=False):  # those without weights have no ``build`` of their own
        if not layer.built and type(layer).build is not keras.layers.Layer.build:
            raise ValueError(f"layer {layer.name!r} has no weights yet; {BEGIN}, or call it once, model(images)")
    if isinstance(model, keras.Sequential) and isinstance(model.layers[0], keras.Model):  # it has no input of its own
        model = keras.Sequential([keras.layers.Input(shape), *model.layers])
    if not all(np.all(np.isfinite(weights)) for weights in model.get_weights()):
        raise ValueError("the network has weights that are not finite: train it again")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    # A private name, but there is no other to ask for one scale a tensor.
    converter._experimental_disable_per_channel = not per_channel
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in INTEGERS:
        converter.inference_input_type = converter.inference_output_type = getattr(tf, kind.removesuffix("x8"))
        if calibration is not None:
            images = as_input(calibration, shape)
            converter.representative_dataset = lambda: ([image[None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet[INTEGERS[kind]]]
        elif kind != "int8" or not any(hasattr(layer, "quantize_config") for layer in model.layers):
            raise ValueError(f"{kind} needs calibration images, a few hundred of those the network was trained on")
    try:
        with quiet():
            content = converter.convert()
    except Exception as problem:  # of TensorFlow's own kinds, with a page of what its compiler saw
        why, way_out = str(problem).partition("\n")[0], "leave out the layer that this is about, or write it otherwise"
        layers = model._flatten_layers()
        if loops := [repr(each.name) for each in layers if isinstance(each, keras.layers.RNN) and not each.unroll]:
            way_out = f'make {", ".join(loops)} with unroll=True and the same weights, and convert(model, "dynamic")'
        raise ValueError(f"TensorFlow's converter cannot take this network ({why}); {way_out}") from problem
    return LiteModel(content)


@dataclass(frozen=True, repr=False)
class LiteModel:
    """A network in LiteRT's format; ``content`` is the whole file. Taught in notebook 05, sections 3 and 4.

    A ValueError if LiteRT cannot run it, or it does not turn one image into one answer.

    >>> LiteModel.read("digits.tflite").predict(digits.x_test).argmax(axis=1)  # doctest: +SKIP
    """

    content: bytes

    def __post_init__(self) -> None:
        # Before LiteRT loads it: what is damaged could end the process there.
        operators = read_operators(self.content)
        first, *_, last = named_tensors(operators).values()
        largest = max(math.prod(step.output.shape[1:]) for step in operators)
        for name, value in (("_image", first), ("_answer", last), ("_batch", max(1, min(BATCH, NUMBERS // largest)))):
            object.__setattr__(self, name, value)
        Runner(self.content)

    @classmethod
    def read(cls, path: str | Path) -> "LiteModel":
        """Read a file; what is wrong with it is a ValueError that names it."""
        try:
            return cls(Path(path).read_bytes())
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from problem

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all; its name ends in ``.tflite`` by custom."""
        write_whole(Path(path), lambda file: file.write(self.content))

    @property
    def size(self) -> int:
        return len(self.content)

    def tensors(self) -> pd.DataFrame:
        """Return a table of what the network stores and computes, in the order of running, by ``layer`` and ``role``.

        Columns: ``shape``, with the outputs of a kernel first; ``dtype``; ``scale``, one number, or an array with one
        for each output; ``zero_point``; ``bytes`` in the file, 0 for what is computed when the network runs.
        """
        rows = []
        for (layer, role), tensor in named_tensors(read_operators(self.content)).items():
            scale = tensor.scale if len(tensor.scale) > 1 else next(iter(tensor.scale.tolist()), None)
            # LiteRT wants 0 wherever there is more than one.
            zero_point = tensor.zero_point[0] if len(tensor.zero_point) else None
            looks = {"shape": tensor.shape, "dtype": tensor.dtype, "scale": scale, "zero_point": zero_point}
            rows.append({"layer": layer, "role": role, **looks, "bytes": tensor.data.nbytes})
        return pd.DataFrame(rows).set_index(["layer", "role"]).astype({"scale": object, "zero_point": "Int64"})

    def summary(self) -> pd.DataFrame:
        """Return :meth:`tensors` to be looked at: with the scales in words, also where there are many."""
        table = self.tensors()
        table["scale"] = [
            f"{np.size(s)} scales, {np.min(s):.2g} to {np.max(s):.2g}"
            if np.size(s) > 1
            else f"{s:.4g}".replace("nan", "–")
            for s in table["scale"].fillna(np.nan)
        ]
        return table

    def predict(self, images: np.ndarray, runtime: str = "xnnpack") -> np.ndarray:
        """Return the answers, float32 (n, classes); those of a quantized output are multiples of its scale.

        ``images`` are as :func:`qkit.network.predict` takes them. The runtimes, ``"xnnpack"``, ``"builtin"`` and
        ``"reference"``, do not round alike: an integer inside the network may be one more or less.
        """
        runner = cache(lambda batch: Runner(self.content, batch, runtime))
        inputs, grid = self._inputs(images), self._answer.grid
        batches = (inputs[start : start + self._batch] for start in range(0, len(inputs), self._batch))
        answers = np.concatenate([runner(len(batch))(batch) for batch in batches])
        return answers if grid is None else dequantize(answers, grid).astype(np.float32)

    def outputs(self, images: np.ndarray, runtime: str = "xnnpack") -> list[np.ndarray]:
        """Return what each operator of the file hands on, in their order, as the file stores it: 40 kB an image."""
        inputs = self._inputs(images)
        run = Runner(self.content, len(inputs), runtime, keep=True)
        run(inputs)
        return [run.interpreter.get_tensor(step.output.index) for step in read_operators(self.content)]

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> Accuracy:
        return Accuracy.of(self.predict(images).argmax(axis=1), labels)

    def latency(
        self, images: np.ndarray, batch: int = 1, repeats: int = 9, threads: int = 1, runtime: str = "xnnpack"
    ) -> float:
        """Return the microseconds that an image takes, from handing a batch over to having its answers.

        The median of the repeats; the first one is not counted. Images beyond the last whole batch are left out.
        """
        inputs = self._inputs(images)
        if not 1 <= batch <= len(inputs) or repeats < 1:
            raise ValueError(f"batch {batch} must be from 1 to the {len(inputs)} images, repeats {repeats} at least 1")
        run = Runner(self.content, batch, runtime, threads)
        count = len(inputs) // batch
        batches = np.split(inputs[: count * batch], count)
        seconds = timeit.repeat(lambda: [run(some) for some in batches], number=1, repeat=1 + repeats)
        return 1e6 * statistics.median(seconds[1:]) / (count * batch)

    def _inputs(self, images: np.ndarray) -> np.ndarray:
        return as_input(images, self._image.shape[1:], self._image.grid)

    def __repr__(self) -> str:
        dtypes = self.tensors()["dtype"]
        return f"LiteModel: {self.size:,} bytes, {dtypes.iloc[0]} in, {dtypes.iloc[-1]} out"


def deploy(
    model: "keras.Sequential", converted: LiteModel, activations: Grids | None = None, weights: Grids | None = None
) -> LiteModel:
    """Return the converted network with other scales and zero-points, weights and biases quantized anew.

    A .tflite file is only integers and the scales that say what they stand for, so those of any method can be written
    into it, rounded to float32. What is not named keeps the scale that it has in ``converted``, which is
    ``convert(model, "int8", ...)``; the softmax's output has always 1/256.

    ``activations``, by layer, ``"image"`` or ``"logits"``, have 8 bits, per tensor; unsigned ones are stored as int8,
    which stands for the same numbers. What the last softmax takes is ``"logits"``, or has the name of the layer that
    returns it; the output of a pooling layer has the scale of the layer before it: name either. ``weights``, by layer,
    are symmetric, per tensor or along the last axis, with at most 8 bits and a narrow range: fewer bits save no byte.

    ``model`` is a network that :func:`qkit.network.fold` takes, and layers are called as there; the kernel of a
    DepthwiseConv2D is (height, width, 1, outputs). A ValueError if it is none, names coincide behind their last slash,
    ``converted`` is of another network, parameters do not fit into int8, a bias not into int32, or LiteRT cannot
    compute with them. Taught in notebook 05, section 6.

    >>> params = thresholds.mse(histograms["conv1"]).params(QuantSpec())  # doctest: +SKIP
    >>> deploy(deep, convert(deep, "int8", images), {"conv1": params})  # doctest: +SKIP
    LiteModel: 235,176 bytes, int8 in, int8 out
    """
    from qkit.network.chain import RENAMED, fold, weights_of

    own = weights_of(fold(model))
    ends = [name.rpartition("/")[2] for name in own]  # all that the file has of a name with slashes
    if alike := [name for name, end in zip(own, ends, strict=True) if ends.count(end) > 1]:
        raise ValueError(f"layers {' and '.join(alike)} have the same name in a .tflite file; {RENAMED}")
    content = bytearray(converted.content)
    operators = read_operators(content)
    first, *_, last = named_tensors(operators).values()
    if (first.dtype, last.dtype) != ("int8", "int8"):
        way_out = f'convert(model, "int8", images) makes one; this one takes {first.dtype}, and returns {last.dtype}'
        raise ValueError(f"only a network converted to int8 from end to end can take other scales; {way_out}")
    for step in operators:
        if step.kind not in (*SAME_SCALE, *ANY_SCALE):
            way_out = 'convert its plain form: convert(fold(model), "int8", images)'
            why = f"{step.layer} is a {step.kind}, and the scales of such a network cannot be changed here"
            raise ValueError(f"{why}; {way_out}")
    steps = [step for step in operators if step.kind in WEIGHTED]
    if len(steps) != len(own):
        found = f"{len(steps)} layers have weights, not {len(own)}"
        raise ValueError(f"the file was not converted from this network: {found}")
    # By their place, as the converter names a dense layer after the BatchNormalization that it folds into it.
    _lay_grids(operators, {step.layer: layer for step, layer in zip(steps, own, strict=True)}, _as_stored(activations))
    weights = _as_stored(weights)
    check_names(weights, own, "are no weights called")
    for step, (layer, real) in zip(steps, own.items(), strict=True):
        inputs, kernel, *q_bias = step.inputs
        if not q_bias and np.any(real.bias):
            way_out = "write the two as one layer, which computes the same, or put ReLU between them"
            why = f"{layer} has no bias there: the converter moves it on where a Dense layer follows another directly"
            raise ValueError(f"the file was converted from another network, or {why}; {way_out}")
        if not _of_this_network(real, step, layer in weights):
            raise ValueError(f"the file was not converted from this network: {layer} has other weights there")
        if layer in weights:
            _store_kernel(layer, real.kernel, weights[layer], step)
        for bias in q_bias:
            bias.scale[:] = inputs.scale * kernel.scale
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                steps_of_bias = np.rint(real.bias / bias.scale.astype(np.float64))
            if not np.all(np.abs(steps_of_bias) < 2**31):
                least = f"{bias.scale.min():g}"
                raise ValueError(f"the bias of {layer} does not fit into int32 at scales as small as {least}")
            bias.values[:] = steps_of_bias
    try:
        return LiteModel(bytes(content))
    except ValueError as problem:
        raise ValueError(f"LiteRT cannot compute with scales so far apart ({problem.__cause__})") from problem


class Runner:
    """A file loaded into LiteRT for batches of one size; with ``keep``, it keeps the numbers between the layers."""

    def __init__(self, content: bytes, batch: int = 1, runtime: str = "xnnpack", threads: int = 1, keep: bool = False):
        if runtime not in RESOLVERS:
            raise ValueError(f"runtime must be one of {', '.join(RESOLVERS)}, got {runtime!r}")
        self.runtime, litert = runtime, import_litert("interpreter")
        try:
            with quiet():
                self.interpreter = litert.Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_preserve_all_tensors=keep,
                    experimental_op_resolver_type=litert.OpResolverType[RESOLVERS[runtime]],
                )
                first, last = self.interpreter.get_input_details()[0], self.interpreter.get_output_details()[0]
                self._first, self._last = first["index"], last["index"]
                self.interpreter.resize_tensor_input(self._first, (batch, *first["shape"][1:]))
                self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError, IndexError) as problem:
            raise ValueError(CANNOT_RUN.format(runtime, problem)) from problem

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's output as it is for a batch of its numbers."""
        try:
            self.interpreter.set_tensor(self._first, inputs)
            self.interpreter.invoke()
        except RuntimeError as problem:
            raise ValueError(CANNOT_RUN.format(self.runtime, problem)) from problem
        return self.interpreter.get_tensor(self._last)


def _as_stored(grids: Grids | None) -> Grids:
    """Round the scales to float32."""
    with np.errstate(over="ignore", under="ignore"):
        return {name: QuantParams(np.float32(p.scale), p.zero_point, p.spec) for name, p in (grids or {}).items()}


def _lay_grids(operators: list[Operator], own: Mapping[str, str], activations: Grids) -> None:
    """Write the scales of outputs; ``own`` are the network's names of layers that have others in the file."""
    fixed = [step.output for step in operators if step.kind == "SOFTMAX"]
    names = {
        name: tensor
        for (layer, role), tensor in named_tensors(operators).items()
        if role in ("input", "output", "logits") and tensor not in fixed
        for name in (own.get(layer, layer), *(["logits"] if role == "logits" else []))
    }
    check_names(activations, names, "are no outputs to quantize called")
    origin = {tensor: tensor for tensor in names.values()}
    for step in operators:
        if step.kind in SAME_SCALE:
            origin[step.output] = origin[step.inputs[0]]
    laid = {}
    for name, params in activations.items():
        spec = params.spec
        if spec.bits != 8 or spec.narrow_range or spec.axis is not None:
            raise ValueError(f"outputs need all 256 integers of 8 bits, and one scale; got for {name} {params}")
        grid = params.scale, params.zero_point - (0 if spec.signed else 128)
        if laid.setdefault(origin[names[name]], grid) != grid:
            raise ValueError(f"{name} shares its grid with another name given here, whose grid differs: name only one")
    for tensor, source in origin.items():
        if source in laid:
            tensor.scale[:], tensor.zero_point[:] = laid[source]


def _q_kernel(step: Operator) -> np.ndarray:
    """Return the weights as they are in the file, with the outputs in the last axis."""
    return np.moveaxis(step.inputs[1].values, 0, 2 if step.kind == "DEPTHWISE_CONV_2D" else -1)


def _of_this_network(weights: Weights, step: Operator, new_weights: bool) -> bool:
    """Whether the file has a layer's weights and biases, to a step; of weights that come anew, only their shape."""
    (real, real_bias), q, scale = weights, _q_kernel(step), step.inputs[1].scale
    if real.shape != q.shape:
        return False
    rounding = 1e-4 * np.abs(real_bias).max()  # the converter's, where it folds BatchNormalization
    for bias in step.inputs[2:]:
        if np.any(np.abs(real_bias - bias.scale * bias.values) > bias.scale + rounding):
            return False
    most = np.abs(q).max() * scale  # what is beyond may have been clipped
    return new_weights or bool(np.all(np.abs(np.clip(real, -most, most) - q * scale) <= scale))


def _store_kernel(layer: str, real: np.ndarray, params: QuantParams, step: Operator) -> None:
    spec, kernel = params.spec, step.inputs[1]
    found = f"{layer} has {kernel.dtype}, {len(kernel.scale)} scales, got {params}"
    if kernel.dtype != "int8" or not (spec.symmetric and spec.signed and spec.qmin >= -127):
        raise ValueError(f"weights must be int8 in the file, and signed, symmetric, from -127 at the lowest; {found}")
    if spec.axis is not None and (spec.axis_of(real) != real.ndim - 1 or len(kernel.scale) != real.shape[-1]):
        where = "the last axis, in a file converted with per_channel=True"
        raise ValueError(f"scales can be one for each index of {where}; {found}")
    _q_kernel(step)[:] = quantize(real, params)
    kernel.scale[:] = params.scale
