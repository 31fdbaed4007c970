"""Quantization tried out before conversion: any number of bits, any way to choose scales, layer by layer.

Weights stand on symmetric grids without the lowest integer, activations on asymmetric ones: as in LiteRT's int8 files.
Between two layers all numbers are on their grids, halves rounded up. Within a layer, sums and biases are float32; an
int8 file has int32 there, which is no coarser.

All that quantization changes is an input of one pass through the network: kernels, scales, whether a layer is
quantized at all. So TensorFlow compiles it once, and no slider makes it compile again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np

from qkit.keeping import progress
from qkit.network.backend import keras, tf
from qkit.network.chain import LayerPlan, fold, plan_of, weights_of
from qkit.network.recipe import Grids, Weights, check_names, input_batches
from qkit.numeric import Accuracy, QuantParams, QuantSpec, fake_quantize, params_from_range, thresholds
from qkit.numeric.histogram import Histogram, Range, histogram_of, range_of

VERSION = 1
"""Goes up when the same network, images and settings give other grids or other answers."""
BATCH = 250
"""Images at a time: what a layer writes is still in the cache when the next one reads it."""

Method = Callable[..., thresholds.Threshold]
"""Chooses a threshold: ``method(histogram_of_magnitudes, bits=8)``; of weights, also ``signed=True``."""


class Simulation:
    """A network that can be quantized in many ways: its weights, and what its activations were on some images.

    What is simulated is a copy of the model's plain form (:func:`qkit.network.fold`, with its ValueErrors). The
    ``calibration_images``, as :func:`qkit.network.predict` takes them, are training images, never the test images.
    Taught in notebook 05, section 8.

    ``layers`` are those with weights. ``histograms`` are of the magnitudes of the image, of these layers' outputs
    (before the pool), and of global averages; the last one is of the logits, which softmax gets.
    """

    def __init__(self, model: keras.Model, calibration_images: np.ndarray) -> None:
        model = fold(model)
        self._plan, self._weights = plan_of(model), weights_of(model)
        self.layers = tuple(self._weights)
        if self._plan[-1].activation == "softmax":
            model.layers[-1].activation = keras.activations.linear
        observed = activation_histograms(model, calibration_images, magnitude=True)
        self.histograms = {layer.name: observed[layer.name] for layer in self._plan if layer.grid_of == layer.name}
        # A learner goes to and fro between settings, and a search for thresholds takes longer than all the rest.
        self._kernel_params = lru_cache(maxsize=512)(self._kernel_params)
        self._activation_params = lru_cache(maxsize=512)(self._activation_params)

    def quantized(
        self,
        weight_bits: int | None = 8,
        activation_bits: int | None = 8,
        *,
        per_channel: bool = True,
        weight_method: Method = thresholds.mse,
        activation_method: Method = thresholds.mse,
        in_float: tuple[str, ...] = (),
    ) -> "QuantizedNetwork":
        """Return the network at these settings.

        Bits go from 2 to 16; ``None`` leaves all weights, or all activations with image and logits, in float. Else
        image and logits have 8 bits, and grids that span all that was seen: two equal logits have no larger one, so few
        bits there would measure something else. With ``per_channel`` each output channel has a scale. Methods choose
        thresholds: those of :mod:`qkit.numeric.thresholds`, or one of yours. ``in_float`` names layers whose weights
        and output stay in float, with averages of it; ``"image"`` can be among them.
        """
        check_names(in_float, self.histograms)
        kernels, activations, ends = {}, {}, ("image", list(self.histograms)[-1])
        for layer in self._plan:
            name = layer.name
            if name in self.layers or name == "image":
                stays_in_float = name in in_float
            if stays_in_float or layer.grid_of in in_float:
                continue
            if weight_bits is not None and name in self.layers:
                kernels[name] = self._kernel_params(name, weight_bits, weight_method, per_channel)
            if activation_bits is not None and (name in self.histograms or layer.kind == "AveragePooling2D"):
                how = (8, thresholds.minmax) if layer.grid_of in ends else (activation_bits, activation_method)
                activations[name] = self._activation_params(layer.grid_of, *how)
        return QuantizedNetwork(self._plan, self._weights, kernels, activations)

    def _kernel_params(self, name: str, bits: int, method: Method, per_channel: bool) -> QuantParams:
        def choose(weights: np.ndarray, *_) -> thresholds.Threshold:
            # A histogram is several times faster than the weights, and this one fine enough for 8 bits.
            return method(histogram_of(weights, bins=1024), bits=bits, signed=True)

        kernel = self._weights[name].kernel
        spec = QuantSpec(bits, symmetric=True, narrow_range=True, axis=-1 if per_channel else None)
        return thresholds.per_channel(choose, kernel, spec) if per_channel else choose(kernel).params(spec)

    def _activation_params(self, name: str, bits: int, method: Method) -> QuantParams:
        seen, largest = self.histograms[name].range, method(self.histograms[name], bits=bits).value
        return params_from_range(max(seen.low, -largest), min(seen.high, largest), QuantSpec(bits, signed=False))


@dataclass(frozen=True, eq=False, repr=False)
class QuantizedNetwork:
    """A network, and the grids that its numbers stand on; what has none stays in float.

    ``plan`` says what its layers do, and ``weights`` are theirs, in float. ``kernels`` and ``activations`` are grids of
    kernels and outputs, by layer; ``"image"`` has an output too, and that of the last layer is what softmax gets.
    """

    plan: tuple[LayerPlan, ...]
    weights: Mapping[str, Weights]
    kernels: Grids
    activations: Grids

    def __post_init__(self) -> None:
        check_names(self.kernels, self.weights)
        check_names(self.activations, [layer.name for layer in self.plan])
        for name, params in self.activations.items():
            if params.spec.axis is not None:
                raise ValueError(f"activations are quantized per tensor, got parameters per channel for {name!r}")

    @property
    def bytes(self) -> int:
        """What the parameters take: integers packed tightly, and 4 bytes for each scale, bias and float weight."""
        total = 0
        for name, (kernel, bias) in self.weights.items():
            params = self.kernels.get(name)
            bits, scales = (32, 0) if params is None else (params.spec.bits, np.size(params.scale))
            total += -(-kernel.size * bits // 8) + 4 * (scales + bias.size)
        return total

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return what the network answers, float32 (n, classes), for images as :func:`qkit.network.predict` does."""
        last = np.concatenate([batch[-1] for batch in self.outputs(images)])
        return tf.nn.softmax(last).numpy() if self.plan[-1].activation == "softmax" else last

    def measure(
        self, images: np.ndarray, labels: np.ndarray, in_float: Iterable[list[tf.Tensor]] | None = None
    ) -> "Measured":
        """Compare with the float network, whose :meth:`outputs` for ``images`` are ``in_float``.

        By default they are those of these weights in float, which takes twice the time; where weights were rounded or
        biases corrected, that is another network: then pass them.
        """

        def compared(floats: list[tf.Tensor], quantized: list[tf.Tensor]) -> tuple[np.ndarray, list[np.ndarray], float]:
            pairs = zip(floats, quantized, strict=True)
            energies = np.array([[float(tf.nn.l2_loss(each)) for each in (x, x - x_hat)] for x, x_hat in pairs])
            answers = [np.argmax(network[-1], axis=1) for network in (floats, quantized)]
            sure, less = (tf.gather(tf.nn.softmax(floats[-1]), each, batch_dims=1) for each in answers)
            return energies, answers, float(tf.reduce_sum(sure - less))

        in_float = in_float or replace(self, kernels={}, activations={}).outputs(images)
        # By map, which unlike a loop keeps no batch while the next one is computed.
        energies, answers, lost = zip(*map(compared, in_float, self.outputs(images)), strict=True)
        said_in_float, said = np.concatenate(answers, axis=1)
        by_tensor = dict(zip(("image", *self.weights), map(tuple, sum(energies).tolist()), strict=True))
        changed = int(np.sum(said != said_in_float))
        return Measured(Accuracy.of(said, labels), Accuracy.of(said_in_float, labels), changed, sum(lost), by_tensor)

    def outputs(self, images: np.ndarray) -> Iterator[list[tf.Tensor]]:
        """Yield the image and what each layer with weights hands on, after its pool, for 250 images at a time.

        An image takes 32 kB for ``deep``, 150 kB for ``separable``.
        """
        weights = {}
        for name, (kernel, bias) in self.weights.items():
            on_its_grid = fake_quantize(kernel, self.kernels[name]) if name in self.kernels else kernel
            weights[name] = Weights(tf.constant(on_its_grid), tf.constant(bias))
        grids = tf.constant([grid_row(self.activations.get(layer.name)) for layer in self.plan])
        for batch in input_batches(images, self.plan[0].shape, BATCH):
            yield compiled(self.plan)(tf.constant(batch), weights, grids)

    def __repr__(self) -> str:
        lines = [f"QuantizedNetwork: {self.bytes:,} bytes of parameters"]
        for name in ("image", *self.weights):
            kernel = f"kernel {_in_words(self.kernels.get(name))}; " if name in self.weights else ""
            lines.append(f"{name}: {kernel}output {_in_words(self.activations.get(name))}")
        return "\n  ".join(lines)


@dataclass(frozen=True)
class Measured:
    """A quantized network beside the float one, on the same images.

    ``changed`` images the two answer differently: what is now wrong and what is now right cancel in the accuracy, but
    not here. That is expected to cost ``lost`` right answers, if the float network's probabilities are true: the sum,
    over images, of what it gave its own answer minus what it gave the other one. ``energies`` are, by tensor, half the
    sum of the float numbers' squares, and of the differences' squares.
    """

    accuracy: Accuracy
    float_accuracy: Accuracy
    changed: int
    lost: float
    energies: Mapping[str, tuple[float, float]]

    @property
    def sqnr(self) -> dict[str, float]:
        """The SQNR in dB of the image and of each layer's output, with the errors of the layers before it.

        After the pool; of the last layer, what softmax gets. Infinite where only the rounding of float32 is left.
        A ValueError, where squares overflow float32.
        """
        for name, energy in self.energies.items():
            if not np.all(np.isfinite(energy)):
                way_out = "equalize the network, or divide its weights"
                raise ValueError(f"layer {name!r} hands on numbers whose squares overflow float32; {way_out}")
        with np.errstate(divide="ignore"):
            return {
                name: np.inf if noise <= signal * 2.0**-44 else float(10 * np.log10(signal / noise))
                for name, (signal, noise) in self.energies.items()
            }

    @property
    def weakest(self) -> tuple[str, str]:
        """The layer that harms the network most, and how: ``"breaks here"``, ``"loses most here"`` or ``"holds"``.

        A network breaks at the first layer where the noise exceeds half of the signal, less than 6 dB. If there is
        none, and at most 0.3 points of accuracy are ``lost``, it holds. Meant is the layer, up to there or of all, that
        adds most noise: the network breaks here if that is half of the noise where it breaks, or more.
        """
        noise = 10 ** (-np.array(list(self.sqnr.values())) / 20)
        broken = 1 + np.flatnonzero(noise[1:] > 0.5)
        added = np.diff(noise[: broken[0] + 1] if broken.size else noise)
        worst = int(np.argmax(added))
        how = "loses most here" if broken.size or self.lost > 0.003 * self.accuracy.total else "holds"
        if broken.size and added[worst] >= 0.5 * noise[broken[0]]:
            how = "breaks here"
        return list(self.energies)[1 + worst], how

    def __str__(self) -> str:
        total, points = self.accuracy.total, 100 * self.lost / self.accuracy.total
        return f"{self.changed:,} of {total:,} answers change, expected to cost {points:.2f} points of accuracy"


def predict_quantized(model: keras.Model, images: np.ndarray, activations: Grids) -> np.ndarray:
    """Return the answers, with the outputs of some layers, or ``"image"``, fake-quantized per tensor.

    Layers are those of the plain form (:func:`qkit.network.fold`). Taught in notebook 04, section 8.
    """
    model = fold(model)
    return QuantizedNetwork(plan_of(model), weights_of(model), {}, activations).predict(images)


def activation_histograms(model: keras.Model, images: np.ndarray, magnitude: bool = False) -> dict[str, Histogram]:
    """Count the activations of every layer over ``images``. Taught in notebook 03, section 3.

    Layers go from ``"image"``, the input, to the output; those that change no number are left out, and so is what
    :func:`qkit.network.fold` puts into the layer before it.
    """
    model = fold(model)
    ranges = _observed(model, images, "ranges", lambda name, values: range_of(values), Range.merge)

    def count(name: str, values: np.ndarray) -> Histogram:
        within = ranges[name]
        # Sums added up in another order the second time may end a last digit beyond the range.
        return histogram_of(values.clip(within.low, within.high), magnitude=magnitude, within=within)

    return _observed(model, images, "histograms", count, Histogram.merge)


def channel_peaks(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the largest activation of every channel over ``images``, by layer: float32, shape (channels,).

    A peak of 0 after ReLU is a dead channel: nothing in these images wakes it. Taught in notebook 03, section 4.
    """
    model = fold(model)
    return _observed(model, images, "channels", lambda name, x: x.reshape(-1, x.shape[-1]).max(axis=0), np.maximum)


def grid_row(grid: QuantParams | None) -> np.ndarray:
    """Return the step of a grid, and its lowest and highest multiple, float32 (3,); zeros for none."""
    if grid is None:
        return np.zeros(3, np.float32)
    ends = grid.spec.qmin - grid.zero_point, grid.spec.qmax - grid.zero_point
    return np.array([grid.scale, *ends], np.float32)


def on_grid(x: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Fake-quantize to ``step * k``, with k from ``lowest`` to ``highest``; a step of 0 leaves ``x`` in float.

    Halves are rounded up, as TensorFlow's own op does; that one would have to be compiled for every number of bits.
    """
    step, lowest, highest = tf.unstack(row)
    return tf.cond(step > 0, lambda: step * tf.clip_by_value(tf.floor(x / step + 0.5), lowest, highest), lambda: x)


@cache
def compiled(plan: tuple[LayerPlan, ...]) -> Callable:
    """Return the pass through these layers, compiled; it returns what :meth:`QuantizedNetwork.outputs` has of a batch.

    It takes images as floats, the weights by layer, and the :func:`grid_row` of every layer.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def forward(images: tf.Tensor, weights: dict[str, Weights], grids: tf.Tensor) -> list[tf.Tensor]:
        x, waiting, outputs = images, [], []
        for place, layer in enumerate(plan):
            if layer.name in weights or layer.name == "image":
                outputs.append(x)
            x = apply_layer(layer, x, weights.get(layer.name))
            waiting.append(grids[place])
            # Rounding and clipping keep the order of numbers, so the largest of four stays the largest: after the
            # pool the result is the same, and there are four times fewer numbers to quantize.
            if place + 1 == len(plan) or plan[place + 1].kind != "MaxPooling2D":
                for row in waiting:
                    x = on_grid(x, row)
                waiting.clear()
            outputs[-1] = x
        return outputs

    return forward


def apply_layer(layer: LayerPlan, x: tf.Tensor, weights: Weights | None) -> tf.Tensor:
    """Return what a layer makes of numbers (n, ...); it leaves softmax out."""
    match layer.kind:
        case "MaxPooling2D":
            return tf.nn.max_pool2d(x, layer.window, layer.strides, layer.padding)
        case "AveragePooling2D":
            return tf.nn.avg_pool2d(x, layer.window, layer.strides, layer.padding)
        case "GlobalAveragePooling2D":
            return tf.reshape(tf.reduce_mean(x, (1, 2)), (-1, *layer.shape))
        case "Flatten" | "Reshape":
            return tf.reshape(x, (-1, *layer.shape))
        case "Conv2D":
            x = tf.nn.conv2d(x, weights.kernel, layer.strides, layer.padding)
        case "DepthwiseConv2D":
            kernel = tf.reshape(weights.kernel, (*weights.kernel.shape[:2], x.shape[-1], -1))
            x = tf.nn.depthwise_conv2d(x, kernel, (1, *layer.strides, 1), layer.padding)
        case "Dense":
            x = x @ weights.kernel
        case _:
            return x
    x = x + weights.bias
    return {"relu": tf.nn.relu, "relu6": tf.nn.relu6}.get(layer.activation, tf.identity)(x)


def _observed(model: keras.Model, images: np.ndarray, what: str, measure: Callable, merge: Callable) -> dict:
    """Measure every layer's output batch by batch, and merge what was measured."""
    found = {}
    moves = keras.layers.Flatten, keras.layers.Reshape
    layers = {layer.name: layer.output for layer in model.layers if not isinstance(layer, moves)}
    probe = keras.Model(model.inputs, layers)
    batches = input_batches(images, model.input_shape[1:], BATCH)
    for batch in progress(batches, total=-(-len(images) // BATCH), desc=what, unit=" batches"):
        outputs = {"image": batch} | probe(batch, training=False)
        for name in ("image", *layers):
            here = measure(name, np.asarray(outputs.pop(name)))  # before the next batch comes
            found[name] = merge(found[name], here) if name in found else here
    return found


def _in_words(grid: QuantParams | None) -> str:
    if grid is None:
        return "in float"
    scales = f", {np.size(grid.scale)} scales" if np.size(grid.scale) > 1 else ""
    return f"{grid.spec.bits} bits, {np.min(grid.low):.4g} to {np.max(grid.high):.4g}{scales}"
