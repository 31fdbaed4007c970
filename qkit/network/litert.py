"""A digit classifier as LiteRT runs it: one .tflite file, what stands in it, its answers and its speed.

:func:`convert` makes one of a Keras network, :func:`deploy` writes our own thresholds into it. To read and to run one
needs no TensorFlow.
"""

import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from qkit.network.recipe import check_images, quiet
from qkit.network.tflite import grid_of, import_litert, named_tensors, on_input_grid, read_operators, with_scales
from qkit.numeric import Accuracy, QuantParams, dequantize

KINDS = ("float32", "float16", "dynamic", "int8", "int16x8")
INTEGERS = {
    "int8": ("int8", "TFLITE_BUILTINS_INT8"),
    "int16x8": ("int16", "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"),
}
BATCH = 250
RESOLVERS = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
"""The runtimes, and LiteRT's names for them: the default, its own fast code, and its plain C++ loops.

XNNPACK leaves what it does not know to LiteRT's own: softmax on integers, and everything on int16.
"""


def convert(
    model: "keras.Sequential",  # noqa: F821
    kind: str,
    calibration: np.ndarray | None = None,
    per_channel: bool = True,
) -> "LiteModel":
    """Convert a network by LiteRT's converter: post-training quantization. The same arguments give the same bytes.

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

    The converter of TensorFlow 2.21 has no other. Weights alone in int8, with all arithmetic in floats, need a package
    of their own, AI Edge Quantizer; here float16 is what shrinks the file and changes nothing else.

    Parameters
    ----------
    model : keras.Sequential
        For int8 also one from quantization-aware training, which has learned its ranges and needs no calibration.
    kind : {"float32", "float16", "dynamic", "int8", "int16x8"}
        Images and probabilities are integers too in the last two.
    calibration : ndarray of uint8, shape (n, 28, 28), optional
        The representative images that int8 and int16x8 need: the converter takes the smallest and the largest
        number that each layer returns for them as its range. The other kinds do not look at them.
    per_channel : bool
        One scale for each output of a layer, or one for all its weights.

    Returns
    -------
    LiteModel

    Raises
    ------
    ValueError
        If the kind is unknown, the calibration images are missing, none, or no grey levels, a weight is not finite,
        or the network does not turn images (28, 28, 1) into 10 numbers.
    ImportError
        If LiteRT is not installed.

    References
    ----------
    https://developers.google.com/edge/litert/conversion/tensorflow/quantization/post_training_quantization

    Taught in notebook 05, section 2.

    Examples
    --------
    >>> convert(trained("deep", digits), "int8", digits.x_train[:200])  # doctest: +SKIP
    LiteModel: 235,176 bytes, int8 in, int8 out
    """
    from qkit.network.backend import tf

    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not all(np.all(np.isfinite(weights)) for weights in model.get_weights()):
        raise ValueError("the network has weights that are not finite: train it again")
    _check_shapes(model.input_shape[1:], model.output_shape[1:])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    # A private name, but there is no other to ask for one scale a tensor.
    converter._experimental_disable_per_channel = not per_channel
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in INTEGERS:
        dtype, operators = INTEGERS[kind]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
        if calibration is not None:
            images = on_input_grid(check_images(calibration), None)
            converter.representative_dataset = lambda: ([image[None]] for image in images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet[operators]]
        elif kind != "int8" or not any(hasattr(layer, "quantize_config") for layer in model.layers):
            raise ValueError(f"{kind} needs calibration images, a few hundred of those the network was trained on")
    with quiet():
        return LiteModel(converter.convert())


@dataclass(frozen=True)
class Latency:
    """How long an image takes.

    Attributes
    ----------
    seconds : tuple of float
        For one image, in each repeat.
    batch, threads : int
    runtime : str
    """

    seconds: tuple[float, ...]
    batch: int
    threads: int
    runtime: str

    @property
    def microseconds(self) -> float:
        """The median of the repeats."""
        return 1e6 * statistics.median(self.seconds)

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{self.microseconds:.1f} µs an image (batch {self.batch}, {threads}, {self.runtime}, "
            f"median of {len(self.seconds)})"
        )


@dataclass(frozen=True, repr=False)
class LiteModel:
    """A network in LiteRT's format.

    Taught in notebook 05, sections 3 and 4.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    ValueError
        If that is not a whole .tflite file, LiteRT cannot run it, or the network does not turn images (28, 28, 1)
        into 10 numbers.
    ImportError
        If LiteRT is not installed.

    Examples
    --------
    >>> file = LiteModel.read("digits.tflite")  # doctest: +SKIP
    >>> file.predict(digits.x_test).argmax(axis=1)  # doctest: +SKIP
    """

    content: bytes

    def __post_init__(self) -> None:
        read_operators(self.content)
        runner = Runner(self.content, 1, "xnnpack", 1)
        _check_shapes(*runner.shapes)

    @classmethod
    def read(cls, path: str | Path) -> "LiteModel":
        """Read a file.

        Raises
        ------
        OSError
            If there is none, or it cannot be read.
        ValueError, ImportError
            As for the class.
        """
        try:
            return cls(Path(path).read_bytes())
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from problem

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all; its name ends in ``.tflite`` by custom.

        Raises
        ------
        OSError
            If it cannot be written; what was there before is left as it was.
        """
        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                file.write(self.content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return len(self.content)

    def tensors(self) -> pd.DataFrame:
        """Return a table of all that the network stores and computes, as the file has it.

        The rows stand in the order of the computation, by ``layer`` and ``role``. Columns: ``shape``, with the
        outputs of a kernel first; ``dtype``; ``scale``, one number, or an array with one for each output;
        ``zero_point``; ``bytes`` in the file, 0 for what is computed when the network runs. Floats have neither
        scale nor zero-point.
        """
        rows = [
            {
                "layer": layer,
                "role": role,
                "shape": tensor.shape,
                "dtype": tensor.dtype,
                "scale": tensor.scale if len(tensor.scale) > 1 else next(iter(tensor.scale.tolist()), None),
                # LiteRT wants 0 wherever there is more than one.
                "zero_point": tensor.zero_point[0] if len(tensor.zero_point) else None,
                "bytes": tensor.data.nbytes,
            }
            for (layer, role), tensor in named_tensors(read_operators(self.content)).items()
        ]
        return pd.DataFrame(rows).set_index(["layer", "role"]).astype({"scale": object, "zero_point": "Int64"})

    def summary(self) -> pd.DataFrame:
        """Return :meth:`tensors` to be looked at: with the scales in words, also where there are many."""
        table = self.tensors()
        table["scale"] = [
            f"{np.size(scale)} scales, {np.min(scale):.2g} to {np.max(scale):.2g}"
            if np.size(scale) > 1
            else f"{scale:.4g}"
            for scale in table["scale"].fillna(np.nan)
        ]
        return table

    def predict(self, images: np.ndarray, runtime: str = "xnnpack", threads: int = 1) -> np.ndarray:
        """Return the probabilities, float32 (n, 10); those of a quantized output are multiples of its scale.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, 28, 28)
        runtime : {"xnnpack", "builtin", "reference"}
            They do not round alike: an integer inside the network may be one more or less.
        threads : int

        Raises
        ------
        ValueError
            If there is no image, or its shape or type is another one; if the runtime is unknown.
        """
        images = check_images(images)
        runner = cache(lambda batch: Runner(self.content, batch, runtime, threads))
        parts = []
        for start in range(0, len(images), BATCH):
            some = images[start : start + BATCH]
            run = runner(len(some))
            answers = run(on_input_grid(some, run.image))
            parts.append(answers if run.answer is None else dequantize(answers, run.answer).astype(np.float32))
        return np.concatenate(parts)

    def outputs(self, images: np.ndarray, runtime: str = "xnnpack") -> list[np.ndarray]:
        """Return what each operator of the file hands on, in the order of the computation, as the file stores it.

        Parameters and errors are those of :meth:`predict`. All numbers of all images at once: 40 kB an image.
        """
        images = check_images(images)
        run = Runner(self.content, len(images), runtime, 1, keep=True)
        run(on_input_grid(images, run.image))
        return [run.tensor(step.output.index) for step in read_operators(self.content)]

    def accuracy(self, images: np.ndarray, labels: np.ndarray, runtime: str = "xnnpack", threads: int = 1) -> Accuracy:
        """Return how often the network is right; parameters and errors as for :meth:`predict`."""
        return Accuracy.of(self.predict(images, runtime, threads).argmax(axis=1), labels)

    def latency(
        self, images: np.ndarray, batch: int = 1, repeats: int = 9, threads: int = 1, runtime: str = "xnnpack"
    ) -> Latency:
        """Measure the time an image takes, from handing a batch over to having its answers.

        The grey levels are turned into the network's numbers before that. One repeat more, the first, is not
        counted; images beyond the last whole batch are left out.

        Raises
        ------
        ValueError
            As for :meth:`predict`; and if a batch is larger than there are images, or nothing is to be repeated.
        """
        images = check_images(images)
        if not 1 <= batch <= len(images) or repeats < 1:
            raise ValueError(
                f"batch must be from 1 to the {len(images)} images and repeats at least 1, got {batch} and {repeats}"
            )
        run = Runner(self.content, batch, runtime, threads)
        count = len(images) // batch
        batches = np.split(on_input_grid(images[: count * batch], run.image), count)
        seconds = []
        for _ in range(repeats + 1):
            start = perf_counter()
            for inputs in batches:
                run(inputs)
            seconds.append((perf_counter() - start) / (count * batch))
        return Latency(tuple(seconds[1:]), batch, threads, runtime)

    def __repr__(self) -> str:
        dtypes = self.tensors()["dtype"]
        return f"LiteModel: {self.size:,} bytes, {dtypes.iloc[0]} in, {dtypes.iloc[-1]} out"


def deploy(
    model: "keras.Sequential",  # noqa: F821
    converted: LiteModel,
    activations: Mapping[str, QuantParams] | None = None,
    weights: Mapping[str, QuantParams] | None = None,
) -> LiteModel:
    """Return the converted network with other scales and zero-points, weights and biases quantized anew.

    LiteRT's converter knows one calibration method, MinMax. But a .tflite file is only integers and the scales that
    say what they stand for, so those of any other method can be written into it. That takes milliseconds and is
    exact. Everything that is not named keeps the converter's scale. The softmax's output has always 1/256.

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
        If the network was not converted to int8, is another one, or has no such layer, or one whose scales cannot be
        changed here; if parameters cannot be stored in int8, a bias does not fit into int32 at such small scales, or
        LiteRT cannot compute with them.

    Taught in notebook 05, section 6.

    Examples
    --------
    >>> params = thresholds.mse(histograms["conv1"]).params(QuantSpec())  # doctest: +SKIP
    >>> deploy(deep, convert(deep, "int8", images), {"conv1": params})  # doctest: +SKIP
    LiteModel: 235,176 bytes, int8 in, int8 out
    """
    for layer in model.layers:
        if layer.weights and not hasattr(layer, "kernel"):
            raise ValueError(
                f"the weights of layer {layer.name!r} ({type(layer).__name__}) do not stand in the file as they are: "
                "scales can be changed in networks of Conv2D and Dense, pooling and Flatten. Fold BatchNormalization "
                "into the weights before it, and convert that"
            )
    layers = {layer.name: layer.get_weights() for layer in model.layers}
    content = with_scales(converted.content, layers, activations or {}, weights or {})
    try:
        return LiteModel(content)
    except ValueError as problem:
        raise ValueError(
            f"LiteRT cannot compute with scales so far apart ({problem.__cause__ or problem})"
        ) from problem


class Runner:
    """A .tflite file loaded into LiteRT, ready for batches of one size; errors as for :class:`LiteModel`.

    ``image`` and ``answer`` are the grids of its two ends, ``None`` for floats, and ``shapes`` their shapes. With
    ``keep`` it keeps the numbers between the layers, for :meth:`tensor`.
    """

    def __init__(self, content: bytes, batch: int, runtime: str, threads: int, keep: bool = False) -> None:
        if runtime not in RESOLVERS:
            raise ValueError(f"runtime must be one of {', '.join(RESOLVERS)}, got {runtime!r}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        litert = import_litert("interpreter")
        try:
            with quiet():
                self._interpreter = litert.Interpreter(
                    model_content=content,
                    num_threads=threads,
                    experimental_preserve_all_tensors=keep,
                    experimental_op_resolver_type=litert.OpResolverType[RESOLVERS[runtime]],
                )
                ends = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
                self._first, self._last = (end["index"] for end in ends)
                self.shapes = tuple(tuple(end["shape"][1:].tolist()) for end in ends)
                if batch > 1:
                    self._interpreter.resize_tensor_input(self._first, (batch, *self.shapes[0]))
                self._interpreter.allocate_tensors()
            self.image, self.answer = (
                grid_of(np.dtype(end["dtype"]).name, *list(end["quantization_parameters"].values())[:2]) for end in ends
            )
        except (RuntimeError, ValueError, IndexError) as problem:
            raise ValueError(
                f"LiteRT cannot run these {len(content):,} bytes: they are damaged or cut off, or not for its runtime "
                f"{runtime} ({problem})"
            ) from problem

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's output as it is for a batch of its numbers."""
        self._interpreter.set_tensor(self._first, inputs)
        try:
            self._interpreter.invoke()
        except RuntimeError as problem:
            raise ValueError(f"LiteRT cannot run this file, which must be damaged ({problem})") from problem
        return self._interpreter.get_tensor(self._last)

    def tensor(self, index: int) -> np.ndarray:
        """Return any tensor of the last batch, by its place in the file."""
        return self._interpreter.get_tensor(index)


def _check_shapes(image: tuple, answer: tuple) -> None:
    if (image, answer) != ((28, 28, 1), (10,)):
        raise ValueError(
            f"the network must turn images (28, 28, 1) into 10 numbers, its shapes are {(image, answer)}; "
            "it should begin with keras.layers.Input((28, 28, 1)) and end with keras.layers.Dense(10)"
        )
