"""Quantization-aware training: a trained network goes on training with quantized weights and activations.

    latent float weights → quantizer → layer → quantizer → next layer

Every kernel, every activation, the image and the logits go through a quantizer, which tensorflow-model-optimization
(tfmot) puts there: floats in, floats on a grid out. Rounding has no useful derivative, so the gradient passes straight
through where nothing is clipped, and stops where something is. The weights that an optimizer moves stay float, and are
called latent. Ranges are calibrated first: it starts where post-training quantization ends.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, key
from qkit.network import cnn, recipe, simulate
from qkit.network.backend import keras, tf
from qkit.network.chain import fold, outputs_last, plan_of
from qkit.network.litert import LiteModel, convert
from qkit.network.recipe import Grids
from qkit.network.simulate import Simulation
from qkit.numeric import QuantParams, QuantSpec, params_from_range, thresholds
from qkit.numeric.affine import whole

# After the backend, which decides for tf_keras. The first is a private name, but there is no other.
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (  # isort: skip
    default_8bit_quantize_registry as stock,
)
from tensorflow_model_optimization.quantization import keras as tfmot  # isort: skip

VERSION = 2
"""Goes up when the same network, digits and settings give other weights, or their file another form: tests say so."""
METHODS = ("lsq", "plain", "stock")
CALIBRATION_IMAGES = 1_000
IMAGES = 12_000
LEARNING_RATE = 3e-4
LEARNING_RATES = {2: 2e-3, 3: 1e-3, 4: 1e-3}
"""By the fewest bits in the network. Where there are few levels, a weight has far to go to the next one."""
RATE = 10.0
"""How much faster than the optimizer's learning rate the logarithm of a learned step moves."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained with quantization: bits from 2 to 8, and a ``method``.

    ``"lsq"`` learns the steps of kernels and activations (:class:`LearnedStep`), starting from the least squared error.
    ``"plain"`` takes tfmot's own quantizers: the range of a kernel is that of its weights, that of an activation a
    moving average, with the same start. ``"stock"`` is that without calibration, as in tfmot's guide: averages start at
    -6 to 6, of which 90 % are left after 100 steps. The rest is as for :func:`qkit.network.train`, the learning rate
    falling from 0.0003 (0.001 where anything has 3 or 4 bits, 0.002 where 2). 0 epochs: post-training quantization.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    method: str = "lsq"
    seed: int = 0
    images: int = IMAGES
    epochs: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (("weight_bits", 2, 8), ("activation_bits", 2, 8), ("epochs", 0, 9_999)):
            object.__setattr__(self, name, whole(getattr(self, name), name, low, high))
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")

    @property
    def runs_in_litert(self) -> bool:
        """Whether the network can be converted: LiteRT has weights of 4 and 8 bits, activations of 8."""
        return self.weight_bits in (4, 8) and self.activation_bits == 8

    def __str__(self) -> str:
        return f"{self.weight_bits}-bit weights, {self.activation_bits}-bit activations, {self.method}"


class WeightPath(NamedTuple):
    """The first layer's latent kernel and its scales, float32: before training, and after every step."""

    latent: np.ndarray  # (steps + 1, height, width, inputs, channels)
    scale: np.ndarray  # (steps + 1, channels)


@dataclass(frozen=True, eq=False)
class QatNetwork:
    """A network trained with quantization."""

    model: "keras.Sequential"  # tfmot's, in float with numbers on grids; its training took ``model.seconds``
    settings: Settings
    path: WeightPath

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities, float32 (n, classes), for images as :func:`qkit.network.predict` has."""
        return cnn.predict(self.model, images)

    @property
    def ranges(self) -> dict[str, QuantParams]:
        """The grid of every tensor: ``image``, ``conv1/kernel``, ``conv1``, …, ``logits``."""
        return read_ranges(self.model)

    @property
    def kernels(self) -> dict[str, np.ndarray]:
        """The latent kernels; computed with is ``fake_quantize(kernel, ranges["conv1/kernel"], "half_up")``."""
        kernels = {}
        for name, (kernel, _) in latent_weights(self.model).items():
            kernels[name] = outputs_last(self.model.get_layer(f"quant_{name}").layer, kernel.numpy())
        return kernels

    def to_litert(self) -> LiteModel:
        """Convert to a file that takes and returns int8, if LiteRT can run it. Taught in notebook 07, section 4."""
        if not self.settings.runs_in_litert:
            why = f"this network ({self.settings}) can only be simulated"
            way_out = "train it with weight_bits=4 or 8 and activation_bits=8 to convert it"
            raise ValueError(f"LiteRT runs 4- and 8-bit weights with 8-bit activations, so {why}; {way_out}")
        return convert(self.model, "int8")


def train(model: "keras.Sequential", digits: Digits, *settings, **named) -> QatNetwork:
    """Train a copy of a trained network with quantization.

    Kernels have symmetric grids without the lowest integer, as in LiteRT (2 bits: -1, 0, 1), one a channel; but a dense
    layer has a single one where LiteRT could run the network (4- or 8-bit weights, 8-bit activations): the converter
    fails on more. What ReLU returns has integers from 0 up. Image and logits always have 8 bits (with few levels, the
    logits of two digits are too often equal), and biases stay float.

    The ``model``, of the layers that :func:`qkit.network.fold` knows, stays as it is: what is trained is its plain
    form, with softmax where it ends in logits; layers that are frozen there are trained, too. Learned steps need ReLU
    or ReLU6 after every layer but the last. ``digits`` may be anything with ``x_train``, ``y_train`` and ``name``, of
    the network's shape; the first 1,000 training images calibrate. ``settings`` are those of :class:`Settings`, in its
    order or by name: ``weight_bits=8, activation_bits=8, method="lsq", seed=0, images=12_000, epochs=1``. A ValueError
    if a setting or the network cannot be used. Taught in notebook 07, sections 2 to 5.
    """
    settings = Settings(*settings, **named)
    return _train(with_quantizers(model, settings), model, digits, settings)


def _train(quantized: "keras.Sequential", model: "keras.Sequential", digits: Digits, settings: Settings) -> QatNetwork:
    """Train ``quantized``, which is ``model`` with quantizers around its layers."""
    start = perf_counter()
    recipe.check_images(digits.x_train[:1], quantized.input_shape[1:])
    cnn.checked_labels(digits, quantized)  # before the calibration
    if settings.method != "stock":
        write_ranges(quantized, _calibrated(model, digits.x_train[:CALIBRATION_IMAGES], settings))
    layer, (kernel, _) = next(iter(latent_weights(quantized).items()))
    first, latent, scale = quantized.get_layer(f"quant_{layer}").layer, [], []
    spec, values = _quantizers(quantized)[f"{layer}/kernel"]

    def follow(*_) -> None:
        latent.append(outputs_last(first, kernel.numpy()))
        scale.append(_grid(spec, **values).scale)

    follow()
    if settings.epochs > 0:
        rate = LEARNING_RATES.get(min(settings.weight_bits, settings.activation_bits), LEARNING_RATE)
        each_step = keras.callbacks.LambdaCallback(on_train_batch_end=follow)
        cnn.train(quantized, digits, settings.epochs, settings.seed, settings.images, rate, [each_step])
    quantized.seconds = perf_counter() - start
    return QatNetwork(quantized, settings, WeightPath(np.array(latent, np.float32), np.array(scale, np.float32)))


def trained(name: str, digits: Digits, *settings, **named) -> QatNetwork:
    """Return what :func:`train` makes of the trained network ``name``: kept in ``data/networks/``, or trained now.

    Settings and errors are those of :func:`train`; ``name`` is one of ours, and ``epochs`` at least 1.
    Another ``seed`` is also another float network.
    """
    settings = Settings(*settings, **named)
    model = with_quantizers(cnn.build(name, settings.seed), settings)

    def make() -> Arrays:
        in_float = cnn.trained(name, digits, settings.seed, say=False)
        _take_weights(model, fold(in_float))
        network = _train(model, in_float, digits, settings)
        path = {f"path/{part}": array for part, array in network.path._asdict().items()}
        return _to_keep(network.model) | path

    steps = settings.epochs * -(-settings.images // recipe.BATCH_SIZE) + 1
    kernel, _ = next(iter(latent_weights(model).values()))
    latent = np.empty((steps, *kernel.shape), np.float32)
    also = {"path/latent": latent, "path/scale": latent[:, 0, 0, 0], "seconds": np.empty(())}
    path, what = _kept_path(name, digits, settings), f"{name}, {settings}"
    arrays = cnn.kept_model(model, path, make, what, digits, settings.epochs, also)
    model.seconds = float(arrays["seconds"])
    return QatNetwork(model, settings, WeightPath(arrays["path/latent"], arrays["path/scale"]))


def fine_tuned(name: str, digits: Digits, seed: int = 0, images: int = IMAGES) -> "keras.Sequential":
    """Return the control: the trained network, trained once more in float on the same images as by :func:`trained`."""
    model, settings = cnn.build(name, seed), Settings(seed=seed, images=images)

    def make() -> Arrays:
        network = cnn.trained(name, digits, seed, say=False)
        start = perf_counter()
        cnn.train(network, digits, settings.epochs, seed, images, LEARNING_RATE)
        network.seconds = perf_counter() - start
        return _to_keep(network)

    path = _kept_path(name, digits, settings, training="float")
    what, also = f"{name}, trained further in float", {"seconds": np.empty(())}
    model.seconds = float(cnn.kept_model(model, path, make, what, digits, settings.epochs, also)["seconds"])
    return model


class LearnedStep(tfmot.quantizers.Quantizer):
    """A quantizer whose step is trained like a weight (LSQ, learned step size quantization).

        x̂ = step * clip(round(x / step), qmin, qmax)

        ∂x̂ / ∂x    = 1 where qmin ≤ x / step ≤ qmax, else 0
        ∂x̂ / ∂step = round(x / step) - x / step there, else qmin or qmax,     times 1 / sqrt(n * qmax)

    where n weights, or n activations of an image, share the step. Signed grids are for kernels, unsigned ones for what
    ReLU returns; with an axis, the last one, each index has a step. Taught in notebook 07, sections 3, 5 and 6.

    The trained variable is log(step) / RATE. Adam moves every variable by about the learning rate, however small it is:
    a step of 0.001 could become negative, and its channel be lost. The logarithm moves a step by a share of it.

    Sources: Esser et al. 2020, "Learned Step Size Quantization", arXiv:1902.08153; for the logarithm, Jain et al.
    2020, "Trained Quantization Thresholds", arXiv:1903.08066.
    """

    def __init__(self, spec: QuantSpec):
        self.spec = spec

    def build(self, tensor_shape, name: str, layer) -> dict[str, tf.Variable]:
        """Add the trained variable to ``layer``; :func:`write_ranges` sets it."""
        shape = () if self.spec.axis is None else tensor_shape[-1:]
        return {"log": layer.add_weight(name=f"{name}_log", shape=shape, initializer="zeros")}

    def __call__(self, inputs, training, weights, **kwargs):
        spec, fake_quantize = self.spec, tf.quantization.fake_quant_with_min_max_vars
        sharing = 1 if spec.signed else tf.shape(inputs)[0]
        if spec.axis is not None:
            sharing, fake_quantize = inputs.shape[-1], tf.quantization.fake_quant_with_min_max_vars_per_channel
        n = tf.cast(tf.size(inputs) // sharing, tf.float32)

        @tf.custom_gradient
        def on_grid(x, step):
            x_hat = fake_quantize(x, spec.qmin * step, spec.qmax * step, spec.bits, spec.narrow_range)

            def gradient(upstream):
                # Products, because tf.where takes longer.
                inside = tf.cast((x >= spec.qmin * step) & (x <= spec.qmax * step), x.dtype)
                by_step = upstream * (x_hat - inside * x) / step
                by_step = tf.reduce_sum(by_step, tf.range(tf.rank(x) - len(step.shape)))
                return inside * upstream, by_step / tf.sqrt(n * spec.qmax)

            return x_hat, gradient

        return on_grid(inputs, tf.exp(RATE * weights["log"]))

    def get_config(self) -> dict:
        return dict(vars(self))


class OutputsLast(tfmot.quantizers.Quantizer):
    """Shows a quantizer the kernel of a DepthwiseConv2D with its outputs along the last axis."""

    def __init__(self, quantizer: tfmot.quantizers.Quantizer):
        self.quantizer = quantizer

    def build(self, tensor_shape, name: str, layer) -> dict[str, tf.Variable]:
        height, width, inputs, each = tensor_shape
        return self.quantizer.build(tf.TensorShape((height, width, 1, inputs * each)), name, layer)

    def __call__(self, inputs, training, weights, **kwargs):
        kernel = tf.reshape(inputs, (*inputs.shape[:2], 1, -1))
        return tf.reshape(self.quantizer(kernel, training, weights, **kwargs), inputs.shape)

    def get_config(self) -> dict:
        return dict(vars(self))


class LayerConfig(stock.Default8BitQuantizeConfig):
    """Which quantizers a layer gets: one for its kernel, if it has one, and one for what it returns (or softmax takes).

    The rest is tfmot's, which rebuilds it from ``get_config()``; what is missing there trains in float: so nothing has
    a default.
    """

    def __init__(self, weight_attrs, activation_attrs, kernel: QuantSpec | None, output: QuantSpec, learned, is_last):
        super().__init__(weight_attrs, activation_attrs, quantize_output=not activation_attrs)
        self.kernel, self.output, self.learned, self.is_last = kernel, output, learned, is_last
        self.activation_quantizer.num_bits = 8 if is_last else output.bits
        if learned and not is_last:
            self.activation_quantizer = LearnedStep(output)
        if kernel is not None:
            last_value = tfmot.quantizers.LastValueQuantizer(kernel.bits, kernel.axis is not None, True, True)
            self.weight_quantizer = LearnedStep(kernel) if learned else last_value
        if "depthwise_kernel" in weight_attrs:
            self.weight_quantizer = OutputsLast(self.weight_quantizer)

    def get_config(self) -> dict:
        names = "weight_attrs", "activation_attrs", "kernel", "output", "learned", "is_last"
        return {name: getattr(self, name) for name in names}


def with_quantizers(model: "keras.Model", settings: Settings) -> "keras.Sequential":
    """Return a copy of a float network with quantizers around its layers; RuntimeError if tfmot left some in float.

    Ranges are still tfmot's, -6 to 6 (the image: 0 to 0), and learned steps 1, until :func:`write_ranges` or training.
    """
    plain = fold(model)
    learned, last = settings.method == "lsq", plain.layers[-1]
    if last.weights and last.activation is keras.activations.linear:
        last.activation = keras.activations.softmax
    own_grids = {layer.grid_of for layer in plan_of(plain)}
    *inner, end = (layer for layer in plain.layers if layer.name in own_grids)
    if getattr(last, "activation", None) is not keras.activations.softmax:
        raise ValueError(
            f"layer {last.name!r} must end with softmax, or have weights and no activation, to be trained here"
        )
    for layer in inner:
        if learned and layer.weights and layer.activation is keras.activations.linear:
            why = "has no ReLU: what it returns has both signs, and learned steps are for numbers from 0 up"
            raise ValueError(f"layer {layer.name!r} {why}; give it one, or train with method='plain'")
    output = QuantSpec(settings.activation_bits, signed=False, symmetric=learned)

    def annotated(layer):
        copy, config = type(layer).from_config(layer.get_config()), None
        if layer is end or layer in inner:
            kernel = _kernel_spec(layer, settings) if layer.weights else None
            weights = [name for name in ("kernel", "depthwise_kernel") if hasattr(layer, name)]
            # tfmot quantizes after ReLU and before softmax; of what ends otherwise, the output.
            known = getattr(layer, "activation", None) in (keras.activations.relu, keras.activations.softmax)
            config = LayerConfig(weights, ["activation"] if known else [], kernel, output, learned, layer is end)
        elif isinstance(layer, keras.layers.AveragePooling2D):
            # LiteRT rounds its means to the grid of what it takes; here they stay between the levels. tfmot would lay a
            # grid of its own over them, never calibrated.
            config = stock.default_8bit_quantize_configs.NoOpQuantizeConfig()
        # tfmot leaves an image in float that goes to a layer without quantizers.
        return tfmot.quantize_annotate_layer(copy, config) if config or layer is plain.layers[0] else copy

    with tfmot.quantize_scope({"LayerConfig": LayerConfig}):
        copy = tfmot.quantize_apply(keras.models.clone_model(plain, clone_function=annotated))
    kernels = {f"{layer.name}/kernel" for layer in plain.layers if layer.weights}
    wanted = {"image", *kernels, *(layer.name for layer in inner), "logits"}
    if missing := wanted - _quantizers(copy).keys():
        raise RuntimeError(f"tfmot left these in float: {', '.join(sorted(missing))}")
    _take_weights(copy, plain)
    return copy


def _take_weights(quantized: "keras.Sequential", plain: "keras.Sequential") -> None:
    for layer, weights in latent_weights(quantized).items():
        for latent, weight in zip(weights, plain.get_layer(layer).weights, strict=True):
            latent.assign(weight)


def latent_weights(model: "keras.Sequential") -> dict[str, tuple[tf.Variable, tf.Variable]]:
    """Return the variables that an optimizer moves, by layer: kernel and bias, both in float."""
    layers = [layer for layer in model.layers if isinstance(getattr(layer, "quantize_config", None), LayerConfig)]
    trained = [layer for layer in layers if layer.quantize_config.kernel is not None]
    return {layer.name.removeprefix("quant_"): tuple(layer.weights[:2]) for layer in trained}


def _calibrated(model: "keras.Sequential", images: np.ndarray, settings: Settings) -> dict[str, QuantParams]:
    """Return the grids that :class:`Simulation` chooses: ``image``, ``conv1/kernel``, ``conv1``, …, ``logits``."""
    simulation = Simulation(model, images)
    method = thresholds.mse if settings.method == "lsq" else thresholds.minmax
    ranges = {}
    for layer in fold(model).layers:
        if layer.weights:
            per_channel = _kernel_spec(layer, settings).axis is not None
            bits = settings.weight_bits, settings.activation_bits
            network = simulation.quantized(*bits, per_channel=per_channel, weight_method=method)
            ranges[f"{layer.name}/kernel"] = network.kernels[layer.name]
    *inner, last = simulation.histograms
    return ranges | {name: network.activations[name] for name in inner} | {"logits": network.activations[last]}


def read_ranges(model: "keras.Sequential") -> dict[str, QuantParams]:
    """Return the grids by tensor, those of an evaluation now."""
    return {tensor: _grid(spec, **values) for tensor, (spec, values) in _quantizers(model).items()}


def write_ranges(model: "keras.Sequential", ranges: Grids) -> None:
    """Let a network with quantizers use these grids; learned steps and moving averages go on from there."""
    quantizers = _quantizers(model)
    for tensor, params in ranges.items():
        values = {"log": np.log(params.scale) / RATE, "min": params.low, "max": params.high}
        for name, variable in quantizers[tensor][1].items():
            variable.assign(values[name])


def _quantizers(model: "keras.Sequential") -> dict[str, tuple[QuantSpec, dict[str, tf.Variable]]]:
    """Return for every tensor its kind of grid, and ``log`` of its step, or ``min`` and ``max`` of its range."""
    found, eight_bits = {}, QuantSpec(8, signed=False)
    for layer in model.layers:
        name, config = layer.name.removeprefix("quant_"), getattr(layer, "quantize_config", None)
        tensors = {layer.name: ("image", eight_bits)}
        if isinstance(config, LayerConfig):
            output = ("logits", eight_bits) if config.is_last else (name, config.output)
            tensors = dict.fromkeys(("kernel", "depthwise_kernel"), (f"{name}/kernel", config.kernel))
            tensors |= dict.fromkeys(("post_activation", "pre_activation", "output"), output)
        for variable in layer.weights:
            part, _, what = variable.name.split("/")[-1].removesuffix(":0").rpartition("_")
            if part in tensors:
                tensor, spec = tensors[part]
                found.setdefault(tensor, (spec, {}))[1][what] = variable
    return found


def _grid(spec: QuantSpec, **values: tf.Variable) -> QuantParams:
    if "log" not in values:
        return params_from_range(values["min"].numpy(), values["max"].numpy(), spec)
    step = np.exp(RATE * values["log"].numpy())
    return QuantParams(step, np.zeros(step.shape, int), spec)


def _kernel_spec(layer, settings: Settings) -> QuantSpec:
    per_channel = not isinstance(layer, keras.layers.Dense) or not settings.runs_in_litert
    return QuantSpec(settings.weight_bits, symmetric=True, narrow_range=True, axis=-1 if per_channel else None)


def _to_keep(model: "keras.Sequential") -> Arrays:
    return recipe.to_keep(model.get_weights(), model.curves) | {"seconds": np.array(model.seconds)}


def _kept_path(name: str, digits: Digits, settings: Settings, training: str = "quantized") -> Path:
    """Return where the result is kept: another file for everything that could change it."""
    base = recipe.kept_path(name, digits, settings.seed)
    versions = simulate.VERSION, version("tensorflow-model-optimization")
    made_from = key(VERSION, network=base.name, training=training, settings=asdict(settings), versions=versions)
    return base.with_name(f"{name}-qat-{made_from}.npz")
