"""The plain form of a network: a chain of layers, each with its bias and its activation in it, and nothing besides.

People write the same network in many ways: BatchNormalization and ReLU as layers of their own, Dropout in between, a
functional model. What quantizes a network here begins with :func:`fold`, and knows the plain form only.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from qkit.network.backend import keras, tf
from qkit.network.recipe import Shape, Weights

PLAIN = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding"),
    "DepthwiseConv2D": ("depth_multiplier", "kernel_size", "strides", "padding"),
    "Dense": ("units",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": ("keepdims",),
    "Flatten": (),
    "Reshape": ("target_shape",),
    "Activation": ("activation",),
}
"""The layers of the plain form, by their class in Keras, and what is kept of them besides weights and activation.
``Activation`` is only the softmax of a last layer without weights."""
LEARNING = "Conv2D", "DepthwiseConv2D", "Dense", "BatchNormalization"
"""Layers with weights, as learners write them."""
DROPPED = "InputLayer", "Dropout", "SpatialDropout2D"
"""Layers that do nothing when a network answers."""
ACTIVATIONS = "Activation", "ReLU", "Softmax"
KINDS = {*PLAIN, *LEARNING, *DROPPED, *ACTIVATIONS}
FUNCTIONS = {
    keras.activations.linear: "linear",
    keras.activations.relu: "relu",
    tf.nn.relu: "relu",
    tf.nn.relu6: "relu6",
    keras.activations.softmax: "softmax",
    tf.nn.softmax: "softmax",
}
OPTIONS = {"data_format": "channels_last", "dilation_rate": (1, 1), "groups": 1}
"""What all layers must have, where they have such a thing."""
KNOWN = f"{', '.join(PLAIN)}, BatchNormalization, ReLU, Dropout; as activations relu, relu6, and softmax at the end"
BEGIN = "begin the network with keras.layers.Input, and the shape that the images have"
RELU = "train the network with ReLU instead"
CONVERT = 'LiteRT alone may take it as it is, convert(model, "int8", images)'
RENAMED = "give it another, name=…, and the new network the same weights: new.set_weights(model.get_weights())"
WAYS_OUT = json.loads(Path(__file__).with_name("ways_out.json").read_text(encoding="utf-8"))
"""What to do instead of a layer that cannot be quantized here, by its class in Keras."""


def fold(model: keras.Model) -> keras.Sequential:
    """Return the plain form of a network: a new model that computes the same, to the rounding of float32.

    In it every Conv2D, DepthwiseConv2D and Dense has a bias and its activation: ``linear``, ``relu``, ``relu6``, or at
    the end ``softmax``, which is a layer of its own only after one without weights. Layers keep their names.
    BatchNormalization, with learned γ and β and the running mean μ and variance σ², is a factor and a shift of every
    channel, and so goes into the layer before it:

        γ (w · x + b - μ) / √(σ² + ε) + β  =  (f w) · x  +  f (b - μ) + β,      f = γ / √(σ² + ε)

    A ReLU after a pool that takes the largest, or after Flatten or Reshape, goes into the layer before those. Dropout
    is gone. Of a network in plain form this is a copy.

    The ``model`` is Sequential or functional, without branches, of Conv2D, DepthwiseConv2D, Dense, MaxPooling2D,
    AveragePooling2D, GlobalAveragePooling2D, Flatten, Reshape, BatchNormalization, ReLU, ReLU6, Dropout and softmax.
    Anything else is a ValueError that names the layer, and says what can be done. Taught in notebook 09, section 1.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", arXiv:1712.05877, section 3.2.

    >>> [layer.name for layer in fold(keras.Sequential([
    ...     keras.layers.Input((28, 28, 1)), keras.layers.Conv2D(8, 3, name="conv1"), keras.layers.BatchNormalization(),
    ...     keras.layers.ReLU(), keras.layers.Flatten(name="flatten"), keras.layers.Dense(10, name="dense1")])).layers]
    ['conv1', 'flatten', 'dense1']
    """
    parts: list[_Part] = []
    for layer in _layers(model):
        kind = type(layer).__name__
        if kind not in KINDS:
            _refuse(layer, f"cannot be quantized here; {WAYS_OUT.get(kind, f'{CONVERT}; what can: {KNOWN}')}")
        if type(layer) is not getattr(keras.layers, kind):
            _refuse(layer, f"is a class of your own, which may compute something else; use keras.layers.{kind}")
        for option, plain in OPTIONS.items():
            if getattr(layer, option, plain) != plain:
                _refuse(layer, f"has {option} {getattr(layer, option)}, and cannot be quantized here; give it {plain}")
        if kind in LEARNING and not layer.built:
            _refuse(layer, f"has no weights yet; {BEGIN}")
        if kind in ACTIVATIONS:
            _activate(parts, layer, getattr(layer, "activation", layer))
        elif kind == "BatchNormalization":
            _normalize(parts, layer)
        elif kind in PLAIN:
            parts.append(_Part(layer))
            if layer.weights:
                _activate(parts, layer, layer.activation)
    for part in parts[:-1]:
        if part.activation == "softmax":
            _refuse(part.layer, "ends with softmax, which only the last layer can; leave it out")
    return _built(model, parts)


class LayerPlan(NamedTuple):
    """What a layer of the plain form does, without its numbers."""

    name: str
    kind: str  # its class in Keras
    activation: str
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    shape: Shape  # of what it makes of one image
    grid_of: str  # the layer whose grid its numbers stand on: itself, or one before; of softmax, its logits


def plan_of(plain: keras.Sequential) -> tuple[LayerPlan, ...]:
    """Return what the layers of a network in plain form do; before them, ``"image"``, which takes the images as is."""
    grid_of = "image"
    plan = [LayerPlan("image", "InputLayer", "linear", (), (), "", plain.input_shape[1:], grid_of)]
    for layer in plain.layers:
        # What takes the largest of numbers, or moves them, makes no new ones; and the means of a pool, but not those of
        # all positions, have the grid of what it takes, as LiteRT wants it.
        if layer.weights or isinstance(layer, keras.layers.GlobalAveragePooling2D):
            grid_of = layer.name
        activation = FUNCTIONS[getattr(layer, "activation", keras.activations.linear)]
        window, strides = getattr(layer, "pool_size", ()), getattr(layer, "strides", ())
        padding, shape = getattr(layer, "padding", "").upper(), layer.output_shape[1:]
        plan.append(LayerPlan(layer.name, type(layer).__name__, activation, window, strides, padding, shape, grid_of))
    return tuple(plan)


def weights_of(plain: keras.Sequential) -> dict[str, Weights]:
    """Return the weights of a network in plain form, by layer."""
    return {
        layer.name: Weights(outputs_last(layer, kernel_of(layer).numpy()), layer.bias.numpy())
        for layer in plain.layers
        if layer.weights
    }


class _Part:
    """A layer of the plain form in the making."""

    def __init__(self, layer: keras.layers.Layer, activation: str = "linear") -> None:
        self.layer, self.activation = layer, activation
        if layer.weights:
            kernel, *bias = layer.get_weights()
            self.kernel = outputs_last(layer, kernel)
            self.bias = bias[0] if bias else np.zeros(self.kernel.shape[-1], np.float32)

    def built(self) -> keras.layers.Layer:
        kind, activation = type(self.layer), {"activation": self.activation} if self.layer.weights else {}
        settings = {name: getattr(self.layer, name) for name in PLAIN[kind.__name__]}
        return kind(name=self.layer.name, **settings, **activation)


def outputs_last(layer: keras.layers.Layer, kernel: np.ndarray) -> np.ndarray:
    """Return a kernel whose last axis counts outputs: that of a DepthwiseConv2D as (height, width, 1, outputs).

    Keras has it as (height, width, inputs, outputs of each).
    """
    return kernel.reshape(*kernel.shape[:2], 1, -1) if isinstance(layer, keras.layers.DepthwiseConv2D) else kernel


def kernel_of(layer: keras.layers.Layer) -> tf.Variable | None:
    """Return the variable that is the kernel of a layer, under whatever name Keras has it."""
    return getattr(layer, "depthwise_kernel", getattr(layer, "kernel", None))


def ends_in_softmax(model: keras.Model) -> bool:
    """Whether the answers are probabilities; tfmot may have wrapped the last layer, and its activation."""
    last = getattr(model.layers[-1], "layer", model.layers[-1])
    if isinstance(last, keras.Model):
        return ends_in_softmax(last)
    activation = getattr(last, "activation", last)
    return _name_of(getattr(activation, "activation", activation)) == "softmax"


def image_shape(model: keras.Model | keras.layers.Layer) -> Shape:
    """Return the shape of one image that a model takes, or a layer."""
    shape = getattr(model, "input_shape", None)
    # Keras does not know it of a Sequential that was made of another model's layers, nor of layers that stand in two.
    if shape is None and isinstance(model, keras.Sequential) and model.layers:
        return image_shape(model.layers[0])
    if shape is None and not isinstance(model, keras.Model) and model.inbound_nodes:
        shape = model.get_input_shape_at(0)
    if not isinstance(shape, tuple):
        raise ValueError(f"{model.name!r} must take one image, of a shape that is known; {BEGIN}")
    return shape[1:]


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Return the layers of a model, and of models in it, from input to output."""
    flavour = "a network must be a Sequential or functional model of the keras that qkit.network.backend has, tf_keras"
    if not isinstance(model, keras.Model) or not (model.inputs or isinstance(model, keras.Sequential)):
        raise ValueError(f"{flavour}; this one is a {type(model).__module__}.{type(model).__name__}")
    if type(model).call not in (keras.Sequential.call, keras.Sequential.__base__.call):
        raise ValueError(f"the network {model.name!r} has a call of its own; {flavour}, without one")
    if model.inputs and not len(model.inputs) == len(model.outputs) == 1:
        found = f"has {len(model.inputs)} inputs and {len(model.outputs)} outputs, and must have one of each"
        raise ValueError(f"the network {model.name!r} {found}; quantize keras.Model(an input, an output) by itself")
    # ``model.layers`` has a layer once, however often it is called; what a model computes are its nodes, the calls.
    if not model.inputs:
        for layer in model._self_tracked_trackables:
            yield from _layers(layer) if isinstance(layer, keras.Model) else [layer]
        return
    x = model.inputs[0]
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not isinstance(node.layer, keras.layers.InputLayer):
                if len(node.keras_inputs) != 1 or node.keras_inputs[0] is not x:
                    way_out = f"a network must be one chain of layers here, without branches and joins; {CONVERT}"
                    _refuse(node.layer, f"does not take just what the layer before it returns; {way_out}")
                x = node.outputs
            yield from _layers(node.layer) if isinstance(node.layer, keras.Model) else [node.layer]


def _normalize(parts: list[_Part], layer: keras.layers.BatchNormalization) -> None:
    before = parts[-1] if parts else None
    if before is None or not before.layer.weights or before.activation != "linear":
        what = "must come directly after a layer with weights, before its activation, to be folded into it"
        _refuse(layer, f"{what}; move it there, or leave it out, and train again")
    if list(layer.axis) != [layer.input_spec.ndim - 1]:
        _refuse(layer, f"normalizes axis {list(layer.axis)}; give it the last one, axis=-1, that of the channels")
    mean, variance = (np.float64(each.numpy()) for each in (layer.moving_mean, layer.moving_variance))
    beta = layer.beta.numpy() if layer.center else 0
    gamma = layer.gamma.numpy() if layer.scale else 1
    factor = gamma / np.sqrt(variance + layer.epsilon)
    before.kernel = (before.kernel * factor).astype(np.float32)
    before.bias = (factor * (before.bias - mean) + beta).astype(np.float32)


def _activate(parts: list[_Part], layer: keras.layers.Layer, function: Callable) -> None:
    name = _name_of(function)
    if name == "linear":
        return
    if name is None:
        given = getattr(function, "__name__", f"{type(function).__name__}, as it is set")
        way_out = f"and softmax at the end (for a sigmoid there, two outputs and softmax), or else: {CONVERT}"
        _refuse(layer, f"has an activation that cannot be quantized here ({given}); {RELU}, {way_out}")
    if name == "softmax" and parts and not parts[-1].layer.weights and parts[-1].activation != "softmax":
        parts.append(_Part(keras.layers.Activation("softmax", name=layer.name), "softmax"))
        return
    # The largest of four numbers after ReLU is ReLU of the largest.
    through = () if name == "softmax" else ("Flatten", "Reshape", "MaxPooling2D")
    before = [part for part in parts if type(part.layer).__name__ not in through][-1:]
    # ReLU of ReLU is ReLU, but softmax of softmax is something else.
    if before and (before[0].activation not in ("linear", name) or before[0].activation == "softmax"):
        _refuse(layer, f"comes after another activation, {before[0].activation}; leave one of them out")
    if not before or not before[0].layer.weights:
        way_out = "must follow a layer with weights, with only MaxPooling2D, Flatten or Reshape between"
        _refuse(layer, f"{way_out}; move it there, or leave it out")
    before[0].activation = name


def _name_of(function: Callable) -> str | None:
    if type(function) is keras.layers.Softmax:
        return "softmax" if function.axis == -1 else None
    if type(function) is keras.layers.ReLU:
        settings = function.get_config()
        most = settings["max_value"] if not settings["negative_slope"] and not settings["threshold"] else 0
        return "relu" if most is None else "relu6" if most == 6 else None
    return FUNCTIONS.get(function)


def _built(model: keras.Model, parts: list[_Part]) -> keras.Sequential:
    if not any(part.layer.weights for part in parts):
        raise ValueError(f"the network {model.name!r} has no layer with weights: there is nothing to quantize")
    named = {}
    for part in parts:
        # What the last layer returns is called logits anyway.
        if part.layer.name == "image" or (part.layer.name == "logits" and part is not parts[-1]):
            _refuse(part.layer, f"has a name that stands for something else here; {RENAMED}")
        other = named.setdefault(part.layer.name, part)
        if other.layer is not part.layer:
            _refuse(part.layer, f"has the name of another layer; {RENAMED}")
        if other is not part:
            _refuse(part.layer, "is used twice; write two layers, also where they are alike")
    # Not that of the first layer, which may have stood in another network before.
    shape = tuple(model.inputs[0].shape[1:]) if model.inputs else image_shape(parts[0].layer)
    if None in shape:
        _refuse(parts[0].layer, f"takes images of any size; {BEGIN}")
    folded = keras.Sequential([keras.layers.Input(shape, name="image"), *(part.built() for part in parts)], model.name)
    for part, layer in zip(parts, folded.layers, strict=True):
        if isinstance(layer, keras.layers.Dense) and len(layer.input_shape) > 2:
            _refuse(layer, "takes more than one axis; put Flatten before it, or use Conv2D with 1 × 1 filters")
        if layer.weights:
            layer.set_weights([part.kernel.reshape(layer.weights[0].shape), part.bias])
    return folded


def _refuse(layer: keras.layers.Layer, why: str) -> NoReturn:
    raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}) {why}")
