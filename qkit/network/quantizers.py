"""Fake quantization inside a Keras network: what tensorflow-model-optimization (tfmot) puts around its layers.

Every kernel, every activation, the image and the logits go through a quantizer: float numbers in, float numbers
on a grid out. Rounding has no useful derivative, so the gradient passes straight through where nothing is clipped,
and stops where something is: the straight-through estimator. The weights that an optimizer moves stay float, and
are called latent.

The image and the logits always have 8 bits: with few levels, the logits of two digits are too often equal.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from qkit.network.backend import keras, tf
from qkit.network.simulate import plan_of
from qkit.numeric import QuantParams, QuantSpec, params_from_range

# After the backend, which decides for tf_keras.
import tensorflow_model_optimization as tfmot  # isort: skip

LastValueQuantizer = tfmot.quantization.keras.quantizers.LastValueQuantizer
MovingAverageQuantizer = tfmot.quantization.keras.quantizers.MovingAverageQuantizer

RATE = 10.0
"""How much faster than the optimizer's learning rate the logarithm of a learned step moves."""


class LearnedStep(tfmot.quantization.keras.quantizers.Quantizer):
    """A quantizer whose step is trained like a weight (LSQ, learned step size quantization).

    Where x / step is inside the grid, the derivative of the result is 1 with respect to x, and
    round(x / step) - x / step with respect to the step; where it is clipped, 0 and the end of the grid.
    The latter is multiplied by 1 / sqrt(n * qmax), where n weights, or n activations of an image, share the step.

    The trained variable is log(step) / RATE, not the step. Adam moves every variable by about the learning rate,
    however small it is: an 8-bit step of 0.001 can become negative within an epoch, and then its channel is lost,
    which the accuracy hardly shows. With the logarithm a step stays positive, and changes by as large a share of
    itself as weights around 1 / RATE do. (Adam also undoes constant factors of a gradient: the one above matters
    to other optimizers.)

    Parameters
    ----------
    bits : int
    signed : bool
        For kernels; else for what ReLU returns.
    per_channel : bool
        One step for each index of the last axis.

    References
    ----------
    Esser et al. 2020, "Learned Step Size Quantization", arXiv:1902.08153; for the logarithm, Jain et al. 2020,
    "Trained Quantization Thresholds", arXiv:1903.08066.
    """

    def __init__(self, bits: int, signed: bool, per_channel: bool):
        self.bits, self.signed, self.per_channel = bits, signed, per_channel

    def build(self, tensor_shape, name: str, layer) -> dict[str, tf.Variable]:
        """Add the trained variable to ``layer``; :func:`write_ranges` sets it."""
        shape = tensor_shape[-1:] if self.per_channel else ()
        return {"log": layer.add_weight(name=f"{name}_log", shape=shape, initializer="zeros")}

    def __call__(self, inputs, training, weights, **kwargs):
        """Return the inputs on the grid."""
        spec = _step_spec(self.bits, self.signed, self.per_channel)
        sharing = inputs.shape[-1] if self.per_channel else 1 if self.signed else tf.shape(inputs)[0]
        n = tf.cast(tf.size(inputs) // sharing, tf.float32)
        fake_quantize = tf.quantization.fake_quant_with_min_max_vars
        if self.per_channel:
            fake_quantize = tf.quantization.fake_quant_with_min_max_vars_per_channel

        @tf.custom_gradient
        def on_grid(x, step):
            x_hat = fake_quantize(x, spec.qmin * step, spec.qmax * step, self.bits, spec.narrow_range)

            def gradient(upstream):
                inside = (x >= spec.qmin * step) & (x <= spec.qmax * step)
                by_step = upstream * (x_hat - tf.where(inside, x, 0.0)) / step
                by_step = tf.reduce_sum(by_step, tf.range(tf.rank(x) - len(step.shape)))
                return tf.where(inside, upstream, 0.0), by_step / tf.sqrt(n * spec.qmax)

            return x_hat, gradient

        return on_grid(inputs, tf.exp(RATE * weights["log"]))

    def get_config(self) -> dict:
        """Return what the constructor takes."""
        return {"bits": self.bits, "signed": self.signed, "per_channel": self.per_channel}


class LayerConfig(tfmot.quantization.keras.QuantizeConfig):
    """Which quantizers a layer gets: one for its kernel, one for what it returns.

    tfmot rebuilds configs from ``get_config()``. One that forgets something there trains in float, silently:
    so nothing here has a default, and all of it is plain numbers.
    """

    def __init__(self, weight_bits: int, activation_bits: int, learned: bool, per_channel: bool):
        self.weight_bits, self.activation_bits = weight_bits, activation_bits
        self.learned, self.per_channel = learned, per_channel

    def get_weights_and_quantizers(self, layer) -> list:
        """Quantize the kernel."""
        if self.learned:
            return [(layer.kernel, LearnedStep(self.weight_bits, True, self.per_channel))]
        return [(layer.kernel, LastValueQuantizer(self.weight_bits, self.per_channel, True, True))]

    def get_activations_and_quantizers(self, layer) -> list:
        """Quantize what ReLU returns, and what softmax takes: the logits."""
        is_last = layer.activation is keras.activations.softmax
        if self.learned and not is_last:
            return [(layer.activation, LearnedStep(self.activation_bits, False, False))]
        bits = 8 if is_last else self.activation_bits
        return [(layer.activation, MovingAverageQuantizer(bits, False, False, False))]

    def set_quantize_weights(self, layer, quantize_weights) -> None:
        """Let the layer compute with the quantized kernel."""
        layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer, quantize_activations) -> None:
        """Let the layer return quantized activations."""
        layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer) -> list:
        """Quantize nothing more."""
        return []

    def get_config(self) -> dict:
        """Return what the constructor takes."""
        return dict(vars(self))


def with_quantizers(
    model: "keras.Sequential", weight_bits: int, activation_bits: int, learned: bool, dense_per_channel: bool
) -> "keras.Sequential":
    """Return a copy of a float network with quantizers around its layers, and the same weights.

    Convolutions have one grid a channel. The ranges are still tfmot's, -6 to 6 (the image: 0 to 0), and learned
    steps are 1: the copy is of little use before :func:`write_ranges` or some training.

    Parameters
    ----------
    model : keras.Sequential
        With ReLU after every layer that has weights, but softmax after the last.
    weight_bits, activation_bits : int
    learned : bool
        Whether the steps of kernels and activations are trained (:class:`LearnedStep`), or tfmot's quantizers used.
    dense_per_channel : bool
        Whether dense layers, too, have one grid a channel.

    Raises
    ------
    ValueError
        If there is a layer of another kind, or another activation.
    RuntimeError
        If tfmot left something in float.
    """
    activations = [layer.activation for layer in plan_of(model) if layer.activation]
    if activations != ["relu"] * (len(activations) - 1) + ["softmax"]:
        raise ValueError(f"layers need ReLU, and the last one softmax, to be trained; got {', '.join(activations)}")

    def annotated(layer):
        copy = type(layer).from_config(layer.get_config())
        if not layer.weights:
            return copy
        per_channel = dense_per_channel or isinstance(layer, keras.layers.Conv2D)
        config = LayerConfig(weight_bits, activation_bits, learned, per_channel)
        return tfmot.quantization.keras.quantize_annotate_layer(copy, config)

    with tfmot.quantization.keras.quantize_scope({"LayerConfig": LayerConfig}):
        copy = tfmot.quantization.keras.quantize_apply(keras.models.clone_model(model, clone_function=annotated))
    layers = [layer.name for layer in model.layers if layer.weights]
    wanted = {"image", *(f"{layer}/kernel" for layer in layers), *layers[:-1], "logits"}
    if missing := wanted - set(_quantizers(copy)):
        raise RuntimeError(f"tfmot left these in float: {', '.join(sorted(missing))}")
    for layer, (kernel, bias) in latent_kernels(copy).items():
        kernel.assign(model.get_layer(layer).kernel)
        bias.assign(model.get_layer(layer).bias)
    return copy


def latent_kernels(model: "keras.Sequential") -> dict[str, tuple[tf.Variable, tf.Variable]]:
    """Return the variables that an optimizer moves, by layer: kernel and bias, both in float."""
    layers = {layer.name.removeprefix("quant_"): layer.weights for layer in model.layers}
    return {name: tuple(weights[:2]) for name, weights in layers.items() if weights and _stem(weights[0]) == "kernel"}


def read_ranges(model: "keras.Sequential") -> dict[str, QuantParams]:
    """Return the grids of a network with quantizers, by tensor: ``image``, ``conv1/kernel``, ``conv1``, …, ``logits``.

    They are those that an evaluation would use now. (tfmot's ``LastValueQuantizer`` takes the range of a kernel when
    a training step begins, and the step moves the weights.)
    """
    ranges = {}
    for tensor, (bits, variables) in _quantizers(model).items():
        is_kernel, values = tensor.endswith("/kernel"), {name: v.numpy() for name, v in variables.items()}
        if "log" in values:
            step = np.exp(RATE * values["log"])
            spec = _step_spec(bits, is_kernel, step.ndim == 1)
            ranges[tensor] = QuantParams(step, np.zeros(step.shape, int), spec)
        else:
            per_channel = values["max"].ndim == 1
            spec = _step_spec(bits, True, per_channel) if is_kernel else QuantSpec(bits, signed=False)
            ranges[tensor] = params_from_range(values["min"], values["max"], spec)
    return ranges


def write_ranges(model: "keras.Sequential", ranges: Mapping[str, QuantParams]) -> None:
    """Let a network with quantizers use these grids; learned steps and moving averages go on from there."""
    quantizers = _quantizers(model)
    for tensor, params in ranges.items():
        values = {"log": np.log(params.scale) / RATE, "min": params.low, "max": params.high}
        for name, variable in quantizers[tensor].variables.items():
            variable.assign(values[name])


class _Quantizer(NamedTuple):
    """Its variables are ``log`` of a learned step, or ``min`` and ``max``."""

    bits: int
    variables: dict[str, tf.Variable]


def _quantizers(model: "keras.Sequential") -> dict[str, _Quantizer]:
    """Find the quantizers of all tensors."""
    found: dict[str, _Quantizer] = {}
    for layer in model.layers:
        name, config = layer.name.removeprefix("quant_"), getattr(layer, "quantize_config", None)
        if isinstance(config, LayerConfig):
            tensors = {
                "kernel": (f"{name}/kernel", config.weight_bits),
                "post_activation": (name, config.activation_bits),
                "pre_activation": ("logits", 8),
            }
        else:
            tensors = {layer.name: ("image", 8)}
        for variable in layer.weights:
            part, _, what = _stem(variable).rpartition("_")
            if part in tensors:
                tensor, bits = tensors[part]
                found.setdefault(tensor, _Quantizer(bits, {})).variables[what] = variable
    return found


def _stem(variable: tf.Variable) -> str:
    return variable.name.split("/")[-1].removesuffix(":0")


def _step_spec(bits: int, signed: bool, per_channel: bool) -> QuantSpec:
    """Return the grid of a kernel, as LiteRT has it, or of what ReLU returns."""
    return QuantSpec(bits, signed, symmetric=True, narrow_range=signed, axis=-1 if per_channel else None)
