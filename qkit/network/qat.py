"""Quantization-aware training: a trained network goes on training with quantized weights and activations.

    latent float weights → quantizer → layer → quantizer → next layer

The forward pass computes with what will be left after quantization; the backward pass moves the latent weights
(:mod:`qkit.network.quantizers`). It starts where post-training quantization ends: ranges are calibrated first.
Whatever it gains is to be compared with :func:`fine_tuned`, the float network that sees the same images again.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, key
from qkit.network import cnn, recipe, simulate
from qkit.network.backend import keras
from qkit.network.calibrate import calibrated_ranges
from qkit.network.conversion import convert
from qkit.network.litert import LiteModel
from qkit.network.quantizers import latent_kernels, read_ranges, with_quantizers, write_ranges
from qkit.numeric import QuantParams, thresholds

VERSION = 1
"""Goes up when the same network, digits and settings train other weights."""
METHODS = ("lsq", "plain", "stock")
CALIBRATION_IMAGES = 1_000
IMAGES = 12_000
LEARNING_RATE = 3e-4
LEARNING_RATES = {2: 2e-3, 3: 1e-3, 4: 1e-3}
"""By the fewest bits in the network. Where there are few levels, a weight has far to go to the next one."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained with quantization; :func:`train` says what it all means.

    Raises
    ------
    ValueError
        If bits are not integers from 2 to 8, the method is unknown, or ``epochs`` not from 0 to 9,999.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    method: str = "lsq"
    seed: int = 0
    images: int = IMAGES
    epochs: int = 1

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits"):
            if getattr(self, name) not in range(2, 9):
                raise ValueError(f"{name} must be an integer from 2 to 8, got {getattr(self, name)!r}")
            object.__setattr__(self, name, int(getattr(self, name)))
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.epochs not in range(10_000):
            raise ValueError(f"epochs must be an integer from 0 to 9,999, got {self.epochs}")

    @property
    def runs_in_litert(self) -> bool:
        """Whether the network can be converted: LiteRT has weights of 4 and 8 bits, activations of 8."""
        return self.weight_bits in (4, 8) and self.activation_bits == 8

    @property
    def learning_rate(self) -> float:
        """Where the cosine starts."""
        return LEARNING_RATES.get(min(self.weight_bits, self.activation_bits), LEARNING_RATE)

    def __str__(self) -> str:
        return f"{self.weight_bits}-bit weights, {self.activation_bits}-bit activations, {self.method}"


class WeightPath(NamedTuple):
    """The latent kernel of the first layer, and its scales, before training and after every step.

    ``latent``: float32, shape (steps + 1, height, width, inputs, channels); ``scale``: float32, (steps + 1, channels).
    """

    latent: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, eq=False)
class QatNetwork:
    """A network trained with quantization.

    Attributes
    ----------
    model : keras.Sequential
        tfmot's: it computes in float with numbers that all lie on grids, and answers probabilities (n, 10).
        ``model.curves`` is that of :func:`qkit.network.train`. Keras saves it, but cannot read it again, neither
        ``.keras`` nor ``.h5``: :func:`trained` keeps arrays instead.
    settings : Settings
    path : WeightPath
    """

    model: "keras.Sequential"
    settings: Settings
    path: WeightPath

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities, float32 (n, 10), for grey levels (n, 28, 28)."""
        return cnn.predict(self.model, images)

    @property
    def ranges(self) -> dict[str, QuantParams]:
        """The grid of every tensor: ``image``, ``conv1/kernel``, ``conv1``, …, ``logits``."""
        return read_ranges(self.model)

    @property
    def kernels(self) -> dict[str, np.ndarray]:
        """The latent kernels by layer.

        The network computes with ``fake_quantize(kernel, ranges["conv1/kernel"], "half_up")``, but for a few numbers
        in a million so close to the middle of two steps that float32 rounds them the other way.
        """
        return {layer: kernel.numpy() for layer, (kernel, _) in latent_kernels(self.model).items()}

    def to_litert(self) -> LiteModel:
        """Convert to a file that takes and returns int8.

        Weights of 4 bits take half a byte each.

        Raises
        ------
        ValueError
            If LiteRT cannot run it: if activations have fewer than 8 bits, or weights neither 4 nor 8.
        """
        if not self.settings.runs_in_litert:
            raise ValueError(
                f"LiteRT runs 4- and 8-bit weights with 8-bit activations, so this network ({self.settings}) can only "
                "be simulated; train it with weight_bits=4 or 8 and activation_bits=8 to convert it"
            )
        return convert(self.model, "int8")


def train(
    model: "keras.Sequential",
    digits: Digits,
    weight_bits: int = 8,
    activation_bits: int = 8,
    method: str = "lsq",
    seed: int = 0,
    images: int = IMAGES,
    epochs: int = 1,
) -> QatNetwork:
    """Train a copy of a trained network with quantization.

    Kernels have symmetric grids without the lowest integer, as in LiteRT (2 bits: -1, 0, 1), one a channel. But each
    dense layer has a single one where LiteRT could run the network (4- or 8-bit weights, 8-bit activations): the
    converter fails on more. What ReLU returns has integers from 0 up. The image and the logits always have 8 bits,
    and biases stay float.

    Parameters
    ----------
    model : keras.Sequential
        Trained, of convolutions, pooling and dense layers, with ReLU inside and softmax at the end. Stays as it is.
    digits : Digits
        The first 1,000 training images calibrate.
    weight_bits, activation_bits : int
        From 2 to 8.
    method : {"lsq", "plain", "stock"}
        ``"lsq"`` learns the steps of kernels and activations, starting from those of the least squared error
        (:class:`qkit.network.quantizers.LearnedStep`). ``"plain"`` takes tfmot's own quantizers: the range of a
        kernel is that of its weights, the range of an activation a moving average, starting from the least squared
        error. ``"stock"`` is the same without calibration, as in tfmot's guide: averages start at -6 to 6, and
        after 100 steps 90 % of that is still there.
    seed : int
        Decides the order of the images.
    images, epochs : int
        Train on the first ``images``, ``epochs`` times, as :func:`qkit.network.train` does: with a learning rate
        falling from 0.0003 (from 0.001 where anything has 3 or 4 bits, from 0.002 where anything has 2). 0 epochs
        only calibrate: that is post-training quantization.

    Raises
    ------
    ValueError
        If bits are not integers from 2 to 8, the method is unknown, ``epochs`` not from 0 to 9,999, there are not so
        many images, or the network has other layers or activations.
    """
    settings = Settings(weight_bits, activation_bits, method, seed, images, epochs)
    quantized = _with_quantizers(model, settings)
    if method != "stock":
        kernel_method = thresholds.mse if method == "lsq" else thresholds.minmax
        some = digits.x_train[:CALIBRATION_IMAGES]
        dense_per_channel = not settings.runs_in_litert
        ranges = calibrated_ranges(model, some, weight_bits, activation_bits, kernel_method, dense_per_channel)
        write_ranges(quantized, ranges)
    record = _Record(quantized)
    if epochs > 0:
        cnn.train(quantized, digits, epochs, seed, images, settings.learning_rate, [record])
    return QatNetwork(quantized, settings, record.path())


def trained(
    name: str,
    digits: Digits,
    weight_bits: int = 8,
    activation_bits: int = 8,
    method: str = "lsq",
    seed: int = 0,
    images: int = IMAGES,
    epochs: int = 1,
) -> QatNetwork:
    """Return what :func:`train` makes of the trained network: kept in ``data/networks/``, or trained now.

    Parameters
    ----------
    name : {"shallow", "deep"}
    digits, weight_bits, activation_bits, method, images
        As for :func:`train`.
    seed : int
        Another seed is also another float network.
    epochs : int
        At least 1.

    Raises
    ------
    ValueError
        As :func:`train`, and if ``name`` is unknown.
    """
    settings = Settings(weight_bits, activation_bits, method, seed, images, epochs)
    model = _with_quantizers(cnn.build(name, seed), settings)

    def make() -> Arrays:
        network = train(cnn.trained(name, digits, seed), digits, **asdict(settings))
        return cnn.arrays_of(network.model) | {f"path/{key}": array for key, array in network.path._asdict().items()}

    steps = epochs * -(-images // recipe.BATCH_SIZE) + 1
    kernel = next(iter(latent_kernels(model).values()))[0]
    path = {
        "path/latent": np.empty((steps, *kernel.shape), np.float32),
        "path/scale": np.empty((steps, kernel.shape[-1]), np.float32),
    }
    file, what = _path(name, digits, seed, settings), f"{name}, {settings}"
    arrays = cnn.kept_model(model, file, make, what=what, digits=digits, epochs=epochs, also=path)
    return QatNetwork(model, settings, WeightPath(*(arrays[f"path/{key}"] for key in WeightPath._fields)))


def fine_tuned(name: str, digits: Digits, seed: int = 0, images: int = IMAGES, epochs: int = 1) -> "keras.Sequential":
    """Return the control: the trained network, trained on in float on the same images as by :func:`trained`.

    What quantization-aware training has beyond this is owed to its quantizers, and at 4 bits or fewer also to its
    learning rate, which is higher there (:data:`LEARNING_RATES`).
    """
    model = cnn.build(name, seed)

    def make() -> Arrays:
        network = cnn.trained(name, digits, seed)
        cnn.train(network, digits, epochs, seed, images, LEARNING_RATE)
        return cnn.arrays_of(network)

    file, what = _path(name, digits, seed, ("float", images, epochs)), f"{name}, trained on in float"
    cnn.kept_model(model, file, make, what=what, digits=digits, epochs=epochs)
    return model


def _with_quantizers(model: "keras.Sequential", settings: Settings) -> "keras.Sequential":
    bits = settings.weight_bits, settings.activation_bits
    return with_quantizers(model, *bits, settings.method == "lsq", dense_per_channel=not settings.runs_in_litert)


def _path(name: str, digits: Digits, seed: int, settings: object) -> Path:
    """Name another file for everything that could change the weights: float network, code, settings, tfmot."""
    base, tfmot = recipe.kept_path(name, digits, seed), version("tensorflow-model-optimization")
    made_from = key(VERSION, simulate=simulate.VERSION, network=base.name, settings=repr(settings), tfmot=tfmot)
    return base.with_name(f"{name}-qat-{made_from}.npz")


class _Record(keras.callbacks.Callback):
    """Follow the kernel of the first layer, step by step."""

    def __init__(self, network: "keras.Sequential"):
        super().__init__()
        self.network, self.latent, self.scale = network, [], []
        self.on_train_batch_end()

    def on_train_batch_end(self, batch: int = 0, logs: dict | None = None) -> None:
        layer, (kernel, _) = next(iter(latent_kernels(self.network).items()))
        self.latent.append(kernel.numpy())
        self.scale.append(read_ranges(self.network)[f"{layer}/kernel"].scale)

    def path(self) -> WeightPath:
        return WeightPath(np.array(self.latent, np.float32), np.array(self.scale, np.float32))
