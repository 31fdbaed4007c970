"""A network that loses its accuracy to quantization, repaired without training; and what tells where it loses it.

Every repair takes a network of Keras and returns another, in the plain form of :func:`qkit.network.chain.fold`, to
simulate, to convert, or to repair further.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd

from qkit.network.backend import keras, tf
from qkit.network.chain import fold, outputs_last, weights_of
from qkit.network.recipe import as_input, check_images, check_names
from qkit.network.simulate import Method, QuantizedNetwork, Simulation, grid_row, on_grid
from qkit.numeric import QuantParams, fake_quantize, thresholds
from qkit.numeric.affine import whole
from qkit.numeric.rounding import gptq

SHARES = np.linspace(1, 0.2, 21)
"""Of MinMax's range, which :func:`easyquant` tries."""

Rounding = Callable[[np.ndarray, QuantParams, np.ndarray], np.ndarray]
"""``rounding(kernel, params, gram)``: those of :mod:`qkit.numeric.rounding`, or one of yours."""


def rescaled(model: keras.Model, spread: float, seed: int = 0) -> keras.Sequential:
    """Return the same function, badly scaled: each channel of a layer divided by a factor that the next one undoes.

    ReLU passes positive factors, ``relu(x / s) = relu(x) / s``, and so do pools and means. With a factor s for each
    output of a layer, drawn between ``spread**-0.5`` and ``spread**0.5`` (its logarithm evenly),

        W_1[..., i] / s_i,   b_1[i] / s_i,   W_2[..., i, :] * s_i

    is a network with the same answers, to the rounding of float32, whose channels lie ``spread`` times further apart.
    Two layers between which a Reshape mixes the channels stay as they are. A ValueError, if ``spread`` is below 1, or a
    layer ends in ReLU6, which passes no factors. Taught in notebook 09, section 2.
    """
    if not 1 <= spread < np.inf:
        raise ValueError(f"spread must be 1 or more, how many times the channels are moved apart, got {spread}")
    model, rng = fold(model), np.random.default_rng(seed)
    for first, second in _neighbours(model):
        _divide(first, second, np.exp(rng.uniform(-0.5, 0.5, first.bias.shape[0]) * np.log(spread)))
    return model


def equalize(model: keras.Model, rounds: int = 20) -> keras.Sequential:
    """Return the same function with channels of equal range: cross-layer equalization.

    With r_1 the largest weight (its magnitude) that makes an output channel of a layer, and r_2 the largest that the
    next layer multiplies it with, the channel is divided by s, and those weights multiplied by it:

        s = √(r_1 r_2) / r_2        so that both become √(r_1 r_2)

    One pair of layers after the other, ``rounds`` times, because a layer is the second of one pair and the first of
    the next. A channel without weights on one side stays as it is, and so do two layers between which a Reshape mixes
    the channels. No image is needed, and no answer changes by more than float32 rounds. A ValueError, if a layer ends
    in ReLU6, which passes no factors. Taught in notebook 09, section 4.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
    arXiv:1906.04721, section 4.1.

    >>> equalize(rescaled(trained("deep", digits), 1000))  # doctest: +SKIP
    """
    model = fold(model)
    for _ in range(whole(rounds, "rounds", 0, 1_000_000)):
        for first, second in _neighbours(model):
            channels = first.bias.shape[0]
            r_1 = np.abs(outputs_last(first, first.get_weights()[0])).reshape(-1, channels).max(axis=0)
            by_input = np.moveaxis(np.abs(second.get_weights()[0]), -2, 0)
            r_2 = by_input.reshape(-1, channels, by_input[0].size).max(axis=(0, 2))
            both = (r_1 > 0) & (r_2 > 0)
            _divide(first, second, np.where(both, np.sqrt(r_1 * r_2) / np.where(both, r_2, 1), 1))
    return model


def rounded(
    model: keras.Model,
    kernels: Mapping[str, QuantParams],
    rounding: Rounding | None = None,
    images: np.ndarray | None = None,
) -> keras.Sequential:
    """Return the network with its weights on grids, as floats, and nothing else changed.

    ``kernels`` are grids by layer, such as those of ``Simulation(model, images).quantized(3)`` or of
    :func:`easyquant`; layers that are not named stay in float. Weights go to their nearest levels; or as ``rounding``
    has it, :func:`~qkit.numeric.rounding.gptq` or :func:`~qkit.numeric.rounding.adaround`, for what each layer gets of
    ``images`` through those rounded before it. A depthwise layer is rounded channel by channel. A ValueError, if a
    layer is not there, or images are wanted. Taught in notebook 09, sections 5 and 6.

    >>> rounded(model, network.kernels, gptq, digits.x_train[:1000])  # doctest: +SKIP
    """
    model = fold(model)
    check_names(kernels, [layer.name for layer in model.layers if layer.weights])
    if rounding and images is None:
        raise ValueError("a rounding for the outputs needs images, some hundred of those the network was trained on")
    x = _input(model, images) if rounding else None
    for layer in model.layers:
        if layer.name in kernels:
            kernel, bias = layer.get_weights()
            rows, params = outputs_last(layer, kernel).reshape(-1, len(bias)), kernels[layer.name]
            rows = _for_outputs(layer, x, rows, params, rounding) if rounding else fake_quantize(rows, params)
            layer.set_weights([rows.reshape(kernel.shape), bias])
        x = layer(x) if rounding else None
    return model


def correct_bias(model: keras.Model, quantized: keras.Model, images: np.ndarray) -> keras.Sequential:
    """Return ``quantized`` with other biases: the mean of every channel before its activation is as in ``model``.

    Rounded weights are off, and what comes in is not 0 on average, so that every output moves by a constant of its
    own. Layer by layer, with what goes into it through the layers corrected before, and over images and positions:

        b_q -= mean(W_q * x_q + b_q) - mean(W * x + b)

    ``quantized`` has the layers of ``model`` and other kernels, such as :func:`rounded` makes; ``images`` are as
    :func:`~qkit.network.predict` takes them, a thousand of those the network was trained on. Equalize before: that
    moves biases, too. A ValueError, if the two networks differ in more than numbers. Taught in notebook 09, section 5.

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2 and appendix D.

    >>> correct_bias(model, rounded(model, network.kernels), digits.x_train[:1000])  # doctest: +SKIP
    """
    model, quantized = fold(model), fold(quantized)
    if [layer.get_config() for layer in model.layers] != [layer.get_config() for layer in quantized.layers]:
        raise ValueError("quantized must have the layers of model, alike in name, kind and size")
    x = x_q = _input(model, images)
    for layer, layer_q in zip(model.layers, quantized.layers, strict=True):
        if not layer.weights:
            x, x_q = layer(x), layer_q(x_q)
            continue
        y, y_q = _before_activation(layer, x), _before_activation(layer_q, x_q)
        moved = tf.reduce_mean(y_q, range(len(y.shape) - 1)) - tf.reduce_mean(y, range(len(y.shape) - 1))
        layer_q.bias.assign_sub(moved)
        x, x_q = layer.activation(y), layer.activation(y_q - moved)
    return quantized


def easyquant(
    model: keras.Model, images: np.ndarray, weight_bits: int = 8, activation_bits: int = 8, per_channel: bool = True
) -> QuantizedNetwork:
    """Return the network on grids whose scales keep the direction of every layer's outputs: EasyQuant, ncnn's EQ.

    A layer returns y in float, before its activation, and ŷ when its weights and inputs stand on grids. Beginning with
    those of MinMax, shares of their ranges are tried, from 1 to 0.2, and the one is taken with the largest

        cos(y, ŷ) = sum(y ŷ) / √(sum(y²) sum(ŷ²))

    over all images and positions: first for the weights, each channel by itself where it has a scale, ``per_channel``;
    then, with these, for the inputs; then once more for both. ``images`` are as :func:`~qkit.network.predict` takes
    them, a hundred or two. The grids are ``kernels`` and ``activations`` of the result; what no other layer takes keeps
    MinMax. Taught in notebook 09, section 7.

    Source: Wu et al. 2020, "EasyQuant: Post-training Quantization via Scale Optimization", arXiv:2006.16669.

    >>> easyquant(model, digits.x_train[:200], 4).measure(digits.x_test, digits.y_test).accuracy  # doctest: +SKIP
    """
    _check_bits(weight_bits, activation_bits)
    model, methods = fold(model), {"weight_method": thresholds.minmax, "activation_method": thresholds.minmax}
    network = Simulation(model, images).quantized(weight_bits, activation_bits, per_channel=per_channel, **methods)
    kernels, activations = dict(network.kernels), dict(network.activations)
    x, alike = _input(model, images), ["image"]
    for layer in model.layers:
        x_next = layer(x)
        if layer.weights:
            found = _by_cosine(layer, x, kernels[layer.name], activations[alike[0]])
            kernels[layer.name], activations = found[0], activations | dict.fromkeys(alike, found[1])
            alike = [layer.name]
        elif layer.name in activations:
            # A pool's numbers stay on the grid of those it takes; the mean of all positions has its own.
            alike = [*alike, layer.name] if isinstance(layer, keras.layers.AveragePooling2D) else [layer.name]
        x = x_next
    return replace(network, kernels=kernels, activations=activations)


def _by_cosine(
    layer: keras.layers.Layer, x: tf.Tensor, weights: QuantParams, inputs: QuantParams
) -> tuple[QuantParams, QuantParams]:
    """Return the grids of a layer's weights and inputs that :func:`easyquant` finds, from those of MinMax on."""
    y, kernel = _before_activation(layer, x), layer.get_weights()[0]
    rows, per_channel = outputs_last(layer, kernel), weights.spec.axis is not None

    def narrowed(grid: QuantParams, share: float | np.ndarray) -> QuantParams:
        return QuantParams(grid.scale * share, grid.zero_point, grid.spec)

    def cosine(weights: QuantParams, inputs: QuantParams, each_channel: bool) -> np.ndarray:
        layer.weights[0].assign(fake_quantize(rows, weights).reshape(kernel.shape))
        y_q = _before_activation(layer, on_grid(x, grid_row(inputs)))
        axes = range(len(y.shape) - each_channel)
        both, one, other = (tf.reduce_sum(a * b, axes) for a, b in ((y, y_q), (y, y), (y_q, y_q)))
        return tf.math.divide_no_nan(both, tf.sqrt(one * other)).numpy()

    best = weights, inputs
    for _ in range(2):
        found = [cosine(narrowed(weights, share), best[1], per_channel) for share in SHARES]
        best = narrowed(weights, SHARES[np.argmax(found, axis=0)]), best[1]
        found = [cosine(best[0], narrowed(inputs, share), False) for share in SHARES]
        best = best[0], narrowed(inputs, SHARES[np.argmax(found)])
    return best


def diagnose(
    model: keras.Model,
    images: np.ndarray,
    weight_bits: int = 8,
    activation_bits: int = 8,
    *,
    per_channel: bool = True,
    weight_method: Method = thresholds.minmax,
    activation_method: Method = thresholds.minmax,
) -> pd.DataFrame:
    """Return what quantization does to a network: a row for the image, and each layer with weights.

    ============  =================================================================================================
    kernel ratio  largest range of an output channel's weights, in multiples of the median channel's
    output ratio  the same of the channels that the layer hands on, which have one scale together
    clipped       share of the numbers it hands on that lie beyond their grid, 0 to 1
    SQNR in, out  of what it takes and of what it hands on, in dB, with the errors of all layers before
    verdict       where the network breaks, for which scale, and the ratio of its channels; or whether it holds
    ============  =================================================================================================

    It breaks where the noise exceeds half of the signal, less than 6 dB; of the layers up to there, one is named that
    adds the most ("worst of many", if that is less than half of it all), and of its weights, what it takes and what it
    hands on that which, quantized alone, does most harm.
    Settings are those of :meth:`Simulation.quantized`, by default as LiteRT's converter chooses; ``images`` are as
    :func:`~qkit.network.predict` takes them, a thousand of those the network was trained on. Taught in notebook 09,
    section 3.

    >>> diagnose(rescaled(model, 1000), digits.x_train[:1000], per_channel=False)  # doctest: +SKIP
    """
    _check_bits(weight_bits, activation_bits)
    simulation = Simulation(model, images)
    methods = {"weight_method": weight_method, "activation_method": activation_method}
    network = simulation.quantized(weight_bits, activation_bits, per_channel=per_channel, **methods)
    in_float = simulation.quantized(None, None).outputs(images)
    answers = np.concatenate([np.argmax(batch[-1], axis=1) for batch in in_float])

    def sqnr(kernels: Mapping[str, QuantParams], activations: Mapping[str, QuantParams]) -> dict[str, float]:
        return replace(network, kernels=kernels, activations=activations).measure(images, answers, in_float).sqnr

    found = pd.Series(sqnr(network.kernels, network.activations))
    table = pd.DataFrame({"kernel ratio": np.nan, "output ratio": np.nan, "clipped": 0.0}, index=found.index)
    for place, name in enumerate(found.index):
        outputs, grid = tf.concat([batch[place] for batch in in_float], axis=0), network.activations[name]
        table.loc[name, "output ratio"] = _ratio(outputs)
        beyond = (outputs < grid.low - grid.scale / 2) | (outputs > grid.high + grid.scale / 2)
        table.loc[name, "clipped"] = np.mean(beyond)
        if place:
            table.loc[name, "kernel ratio"] = _ratio(network.weights[name].kernel)
    table["SQNR in"], table["SQNR out"], table["verdict"] = found.shift(fill_value=np.inf), found, ""

    noise = 10 ** (-found / 20)
    if not np.any(noise > 0.5):
        table.loc[found.index[-1], "verdict"] = f"the network holds: {found.iloc[-1]:.1f} dB at its end"
        return table.rename_axis("layer")
    added = noise.diff()[: np.argmax(noise > 0.5) + 1]
    worst, places = added.idxmax(), [layer.name for layer in network.plan]
    before = found.index[found.index.get_loc(worst) - 1]
    taken = {name: network.activations.get(name) for name in places[places.index(before) : places.index(worst)]}
    causes = {
        "its weights": (table.loc[worst, "kernel ratio"], {worst: network.kernels[worst]}, {}),
        "what it takes": (table.loc[before, "output ratio"], {}, {n: grid for n, grid in taken.items() if grid}),
        "what it hands on": (table.loc[worst, "output ratio"], {}, {worst: network.activations[worst]}),
    }
    cause = min(causes, key=lambda cause: sqnr(*causes[cause][1:])[worst])
    # Short enough for what pandas shows of a cell.
    how = "breaks here" if added.max() > 0.5 * noise[added.index[-1]] else "worst of many"
    table.loc[worst, "verdict"] = f"{how}, for {cause} ({causes[cause][0]:.3g} : 1)"
    return table.rename_axis("layer")


def _check_bits(weight_bits: int, activation_bits: int) -> None:
    whole(weight_bits, "weight_bits", 2, 16)
    whole(activation_bits, "activation_bits", 2, 16)


def _ratio(x: np.ndarray) -> float:
    """Return the largest magnitude of the largest channel, in multiples of the median channel's."""
    ranges = np.max(np.abs(x), axis=tuple(range(len(x.shape) - 1)))
    return float(ranges.max() / np.median(ranges[ranges > 0])) if ranges.any() else 1.0


def allocate_bits(losses: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """Return how many bits each layer's weights get for the least loss that at most ``budget`` bytes can have.

    ``losses`` say what each number of bits costs, by layer: ``{"conv1": {2: 0.31, 4: 0.02, 8: 0.0}, …}``, accuracy
    lost, or noise in the logits, when that layer alone is quantized. They are added up, as if layers did not know of
    each other. ``sizes`` are numbers of weights; n weights of b bits take ``ceil(n b / 8)`` bytes.

    The best of all choices is found without trying all: after each layer, a choice is dropped that another one, of no
    more bytes, beats. A ValueError, if the fewest bits do not fit, layers differ, or a loss is not finite. Taught in
    notebook 09, section 8.

    >>> losses = {"conv1": {2: 5.0, 4: 1.0, 8: 0.0}, "dense1": {2: 6.0, 4: 2.0, 8: 0.0}}
    >>> allocate_bits(losses, {"conv1": 100, "dense1": 1000}, budget=400)
    {'conv1': 8, 'dense1': 2}
    """
    if losses.keys() != sizes.keys() or not losses:
        raise ValueError(f"losses and sizes must have the same layers, got {list(losses)} and {list(sizes)}")
    for name, by_bits in losses.items():
        if not by_bits or not np.all(np.isfinite(list(by_bits.values()))):
            raise ValueError(f"layer {name!r} must have a loss, a finite number, for some bits, got {dict(by_bits)}")
    fewest = sum(-(-sizes[name] * min(losses[name]) // 8) for name in losses)
    if fewest > budget:
        raise ValueError(f"the fewest bits take {fewest:,} bytes, more than the budget of {budget:,}")
    choices = [(0, 0.0, ())]
    for name, by_bits in losses.items():
        longer = [
            (used - (-sizes[name] * bits // 8), lost + loss, (*chosen, bits))
            for used, lost, chosen in choices
            for bits, loss in by_bits.items()
        ]
        choices, least = [], np.inf
        for used, lost, chosen in sorted(longer):
            if used <= budget and lost < least:
                choices.append((used, lost, chosen))
                least = lost
    return dict(zip(losses, choices[-1][2], strict=True))


class Patient:
    """A network on which every repair can be tried, with every other: what the explorer ``doctor`` asks.

    ``images`` are training images, as :func:`~qkit.network.predict` takes them: repairs that need some get them. What
    was worked out once is kept.
    """

    def __init__(self, model: keras.Model, images: np.ndarray) -> None:
        self.images, self.layers = images, tuple(weights_of(fold(model)))

        def begin(equalized: bool) -> tuple[keras.Sequential, Simulation]:
            begun = equalize(model) if equalized else fold(model)
            return begun, Simulation(begun, images)

        self._begun, self._on_grids = cache(begin), lru_cache(maxsize=256)(self._on_grids)

    def in_float(self, equalized: bool = False) -> QuantizedNetwork:
        """Return the network in float; ``equalized`` computes the same, with other weights and outputs inside."""
        return self._begun(equalized)[1].quantized(None, None)

    def treated(
        self,
        weight_bits: int = 8,
        activation_bits: int = 8,
        per_channel: bool = False,
        equalized: bool = False,
        scales: str = "minmax",
        rounding: str = "nearest",
        corrected: bool = False,
        layer: str = "",
        layer_bits: int = 8,
    ) -> QuantizedNetwork:
        """Return the network quantized, after repairs in the order in which they belong.

        They are :func:`equalize`; scales by ``"minmax"``, ``"mse"`` or ``"eq"``, which is :func:`easyquant`;
        ``rounding`` to ``"nearest"`` or by ``"gptq"``; and :func:`correct_bias`. The weights of ``layer``, if any, have
        bits of their own.
        """
        network = self._on_grids(equalized, scales, per_channel, weight_bits, activation_bits)
        if layer:
            other = self._on_grids(equalized, scales, per_channel, layer_bits, activation_bits)
            network = replace(network, kernels={**network.kernels, layer: other.kernels[layer]})
        if rounding == "nearest" and not corrected:
            return network
        model = self._begun(equalized)[0]
        found = rounded(model, network.kernels, {"nearest": None, "gptq": gptq}[rounding], self.images)
        found = correct_bias(model, found, self.images) if corrected else found
        return replace(network, weights=weights_of(found))

    def _on_grids(
        self, equalized: bool, scales: str, per_channel: bool, weight_bits: int, activation_bits: int
    ) -> QuantizedNetwork:
        model, simulation = self._begun(equalized)
        if scales == "eq":
            return easyquant(model, self.images[:100], weight_bits, activation_bits, per_channel)
        method = {"minmax": thresholds.minmax, "mse": thresholds.mse}[scales]
        methods = {"weight_method": method, "activation_method": method}
        return simulation.quantized(weight_bits, activation_bits, per_channel=per_channel, **methods)


def _neighbours(model: keras.Sequential) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Return each layer with weights and the next, where the channels of one are the inputs of the other."""
    moves = keras.layers.Flatten, keras.layers.Reshape
    places = [place for place, layer in enumerate(model.layers) if layer.weights]
    for place, next_place in pairwise(places):
        first, second = model.layers[place], model.layers[next_place]
        if first.activation is tf.nn.relu6:
            way_out = "train it with ReLU, or replace its activation by ReLU and measure what that costs"
            why = f"layer {first.name!r} ends in ReLU6, which passes no factors: its 6 would move"
            raise ValueError(f"{why}; {way_out}")
        # Flattened or reshaped, numbers still count the channels fastest: where the last side is a multiple of them,
        # its number i is of channel i mod channels. So it must be for the second layer, and for each pool before it.
        takers = [layer for layer in model.layers[place + 1 : next_place + 1] if not isinstance(layer, moves)]
        if all(layer.input_shape[-1] % first.bias.shape[0] == 0 for layer in takers):
            yield first, second


def _divide(first: keras.layers.Layer, second: keras.layers.Layer, by: np.ndarray) -> None:
    """Divide each output of ``first``, and multiply the weights that it meets in ``second``."""
    (kernel, bias), (next_kernel, next_bias) = first.get_weights(), second.get_weights()
    first.set_weights([(outputs_last(first, kernel) / by).reshape(kernel.shape), bias / by])
    second.set_weights([next_kernel * np.resize(by, next_kernel.shape[-2])[:, None], next_bias])


def _input(model: keras.Sequential, images: np.ndarray) -> tf.Tensor:
    shape = model.input_shape[1:]
    return tf.constant(as_input(check_images(images, shape), shape))


def _before_activation(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    activation, layer.activation = layer.activation, keras.activations.linear
    try:
        return layer(x)
    finally:
        layer.activation = activation


def _for_outputs(
    layer: keras.layers.Layer, x: tf.Tensor, kernel: np.ndarray, params: QuantParams, rounding: Rounding
) -> np.ndarray:
    """Return a kernel (inputs, outputs) rounded for what the layer makes of ``x``."""
    if isinstance(layer, keras.layers.Dense):
        inputs = tf.reshape(x, (-1, x.shape[-1])).numpy()
        return rounding(kernel, params, inputs.T @ inputs)
    sides, strides = ((1, *pair, 1) for pair in (layer.kernel_size, layer.strides))
    batches = tf.split(x, [min(250, len(x) - start) for start in range(0, len(x), 250)])
    patches = (tf.image.extract_patches(each, sides, strides, (1, 1, 1, 1), layer.padding.upper()) for each in batches)
    if not isinstance(layer, keras.layers.DepthwiseConv2D):
        return rounding(kernel, params, sum(_gram(np.reshape(each, (-1, len(kernel)))) for each in patches))
    grams = sum(_gram(np.reshape(each, (-1, len(kernel), x.shape[-1])).transpose(2, 0, 1).copy()) for each in patches)
    channels = []
    for gram, part in zip(grams, np.split(np.arange(kernel.shape[1]), x.shape[-1]), strict=True):
        one = params
        if params.spec.axis is not None:
            one = QuantParams(params.scale[part], params.zero_point[part], params.spec)
        channels.append(rounding(kernel[:, part], one, gram))
    return np.concatenate(channels, axis=1)


def _gram(rows: np.ndarray) -> np.ndarray:
    return np.swapaxes(rows, -1, -2) @ rows
