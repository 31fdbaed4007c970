"""A network that loses its accuracy to quantization, repaired without training; and what tells where it loses it.

Every repair takes a network of Keras and returns another, in the plain form of :func:`qkit.network.chain.fold`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from qkit.network.backend import keras, tf
from qkit.network.chain import LayerPlan, fold, plan_of, weights_of
from qkit.network.recipe import Grids, Weights, as_input, check_names
from qkit.network.simulate import Measured, Method, QuantizedNetwork, Simulation, apply_layer, grid_row, on_grid
from qkit.numeric import QuantParams, fake_quantize, share_clipped, thresholds
from qkit.numeric.affine import whole
from qkit.numeric.histogram import channel_ranges, channel_shares
from qkit.numeric.integer_layers import windows
from qkit.numeric.rounding import gptq

Rounding = Callable[[np.ndarray, QuantParams, np.ndarray], np.ndarray]
"""``rounding(kernel, params, gram)``: those of :mod:`qkit.numeric.rounding`, or one of yours."""


def rescaled(model: keras.Model, spread: float, seed: int = 0) -> keras.Sequential:
    """Return the same function, badly scaled: each channel of a layer divided by a factor that the next one undoes.

    ReLU passes positive factors, ``relu(x / s) = relu(x) / s``, and so do pools and means. With a factor s for each
    output of a layer, drawn between ``spread**-0.5`` and ``spread**0.5`` (its logarithm evenly),

        W_1[..., i] / s_i,   b_1[i] / s_i,   W_2[..., i, :] * s_i

    is a network with the same answers, to the rounding of float32, whose channels lie ``spread`` times further apart.
    Two layers between which a Reshape mixes the channels stay as they are. A ValueError if ``spread`` is below 1, or a
    layer ends in ReLU6, which passes no factors. Taught in notebook 09, section 2.

    >>> model = keras.Sequential([keras.layers.Dense(2, "relu", input_shape=(2,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[4, 1], [-8, 0]]), np.array([16, 3]), np.array([[2], [-9]]), np.zeros(1)])
    >>> worse, image = rescaled(model, 100), np.array([[1.0, 2.0]])
    >>> np.allclose(worse(image), model(image)), np.allclose(worse.get_weights()[0], model.get_weights()[0])
    (True, False)
    """
    if not 1 <= spread < np.inf:
        raise ValueError(f"spread must be 1 or more, how many times the channels are moved apart, got {spread}")
    model, rng = fold(model), np.random.default_rng(seed)
    for first, second in _neighbours(model):
        _divide(first, second, np.exp(rng.uniform(-0.5, 0.5, first.bias.shape[0]) * np.log(spread)))
    return model


def equalize(model: keras.Model, rounds: int = 20) -> keras.Sequential:
    """Return the same function, each channel as large in a layer's weights as in the next's: cross-layer equalization.

    With r_1 the largest weight (its magnitude) that makes an output channel of a layer, and r_2 the largest that the
    next layer multiplies it with, the channel is divided by s, and those weights multiplied by it:

        s = √(r_1 r_2) / r_2        so that both become √(r_1 r_2)

    One pair of layers after the other, ``rounds`` times, because a layer is the second of one pair and the first of the
    next. A channel without weights on one side stays as it is, and so do two layers between which a Reshape mixes the
    channels. No image is needed, and no answer changes by more than float32 rounds. A ValueError if a layer ends in
    ReLU6, which passes no factors. Taught in notebook 09, section 4.

    Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
    arXiv:1906.04721, section 4.1.

    >>> model = keras.Sequential([keras.layers.Dense(2, "relu", input_shape=(2,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[4, 1], [-8, 0]]), np.array([16, 3]), np.array([[2], [-9]]), np.zeros(1)])
    >>> equalize(model).get_weights()[0]
    array([[ 2.,  3.],
           [-4.,  0.]], dtype=float32)
    """
    model = fold(model)
    for _ in range(whole(rounds, "rounds", 0, 1_000_000)):
        for first, second in _neighbours(model):
            channels = first.bias.shape[0]
            # In float64, as the product of two tiny numbers is 0 in float32.
            r_1 = np.abs(first.get_weights()[0]).reshape(-1, channels).max(axis=0).astype(np.float64)
            by_input = np.moveaxis(np.abs(second.get_weights()[0]), -2, 0)
            r_2 = by_input.reshape(-1, channels, by_input[0].size).max(axis=(0, 2))
            both = (r_1 > 0) & (r_2 > 0)
            _divide(first, second, np.where(both, np.sqrt(r_1 * r_2) / np.where(both, r_2, 1), 1))
    return model


def rounded(
    model: keras.Model, kernels: Grids, rounding: Rounding | None = None, images: np.ndarray | None = None
) -> keras.Sequential:
    """Return the network with its weights on grids, as floats, and nothing else changed.

    ``kernels`` are grids by layer, of one scale or, along ``axis=-1``, one a channel, such as those of
    ``Simulation(model, images).quantized(3)`` or of :func:`easyquant`; layers that are not named stay in float. Weights
    go to their nearest levels; or as ``rounding`` has it, :func:`~qkit.numeric.rounding.gptq` or
    :func:`~qkit.numeric.rounding.adaround`, for what each layer gets of ``images`` through those rounded before it. A
    depthwise layer is rounded channel by channel. A ValueError if a layer is not there, or ``rounding`` has no
    ``images``. Taught in notebook 09, sections 5 and 6.

    >>> model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,), name="only")])
    >>> model.set_weights([np.array([[0.4], [0.45]]), np.zeros(1)])
    >>> images = np.array([[1, 1], [2, 2.1]], np.float32)
    >>> from qkit.numeric import QuantSpec
    >>> kernels = {"only": QuantParams(1.0, 0, QuantSpec(4))}
    >>> [rounded(model, kernels, how, images).get_weights()[0].ravel().tolist() for how in (None, gptq)]
    [[0.0, 0.0], [0.0, 1.0]]
    """
    model = fold(model)
    check_names(kernels, [layer.name for layer in model.layers if layer.weights])
    if rounding and images is None:
        raise ValueError("a rounding for the outputs needs images, a few hundred of those the network was trained on")
    x = tf.constant(as_input(images, model.input_shape[1:])) if rounding else None
    for layer in model.layers:
        if layer.name in kernels:
            kernel, bias = layer.get_weights()
            rows, params = kernel.reshape(-1, len(bias)), kernels[layer.name]
            rows = _for_outputs(layer, x, rows, params, rounding) if rounding else fake_quantize(rows, params)
            layer.set_weights([rows.reshape(kernel.shape), bias])
        x = layer(x) if rounding else None
    return model


def correct_bias(model: keras.Model, quantized: keras.Model, images: np.ndarray) -> keras.Sequential:
    """Return ``quantized`` with other biases: the mean of every channel before its activation is as in ``model``.

    Layer by layer, with what goes into it through the layers corrected before, over images and positions:

        b_q -= mean(W_q * x_q + b_q) - mean(W * x + b)

    ``quantized`` has the layers of ``model`` and other kernels, such as :func:`rounded` makes; ``images``, a thousand
    of the training images, go through together: 0.5 GB for ``deep``. Equalize before: that moves biases, too. A
    ValueError if the two networks differ in more than numbers. Taught in notebook 09, section 5.

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2 and appendix D.

    >>> model, coarse = (keras.Sequential([keras.layers.Dense(1, input_shape=(2,), name="only")]) for _ in range(2))
    >>> model.set_weights([np.array([[0.4], [0.45]]), np.zeros(1)])
    >>> coarse.set_weights([np.zeros((2, 1)), np.zeros(1)])
    >>> kernel, bias = correct_bias(model, coarse, np.array([[1, 1], [2, 2.1]])).get_weights()
    >>> kernel.ravel(), np.round(bias, 3)
    (array([0., 0.], dtype=float32), array([1.297], dtype=float32))
    """
    model, quantized = fold(model), fold(quantized)
    if [layer.get_config() for layer in model.layers] != [layer.get_config() for layer in quantized.layers]:
        raise ValueError("quantized must have the layers of model, alike in name, kind and size")
    weights, weights_q = weights_of(model), weights_of(quantized)
    x = x_q = tf.constant(as_input(images, model.input_shape[1:]))
    for plan, layer in zip(plan_of(model)[1:], quantized.layers, strict=True):
        if not layer.weights:
            x, x_q = layer(x), layer(x_q)
            continue
        y = _before_activation(plan, x, weights[plan.name])
        y_q = _before_activation(plan, x_q, weights_q[plan.name])
        moved = tf.reduce_mean(y_q, range(len(y.shape) - 1)) - tf.reduce_mean(y, range(len(y.shape) - 1))
        layer.bias.assign_sub(moved)
        x, x_q = layer.activation(y), layer.activation(y_q - moved)
    return quantized


def easyquant(
    model: keras.Model, images: np.ndarray, weight_bits: int = 8, activation_bits: int = 8, per_channel: bool = True
) -> QuantizedNetwork:
    """Return the network on grids whose scales keep the direction of every layer's outputs: EasyQuant, ncnn's EQ.

    A layer returns y in float, before its activation, and ŷ when its weights and inputs stand on grids. Beginning with
    those of MinMax, shares of their ranges are tried, from 1 to 0.2, and the one is taken with the largest

        cos(y, ŷ) = sum(y ŷ) / √(sum(y²) sum(ŷ²))

    over all images and positions: first for the weights, each channel by itself with ``per_channel``; then, with these,
    for the inputs; then once more for both. ``images``, a hundred or two, go through together: 50 MB for a hundred and
    ``deep``. What no other layer takes keeps MinMax. Taught in notebook 09, section 7.

    Source: Wu et al. 2020, "EasyQuant: Post-training Quantization via Scale Optimization", arXiv:2006.16669.

    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.layers.Dense(16, "relu", input_shape=(8,)), keras.layers.Dense(3, name="last")])
    >>> images = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    >>> round(easyquant(model, images, 3).measure(images, np.zeros(100)).sqnr["last"], 1)  # by MinMax 14.3
    15.8
    """
    whole(weight_bits, "weight_bits", 2, 16)
    whole(activation_bits, "activation_bits", 2, 16)
    model, methods = fold(model), {"weight_method": thresholds.minmax, "activation_method": thresholds.minmax}
    network = Simulation(model, images).quantized(weight_bits, activation_bits, per_channel=per_channel, **methods)
    kernels, activations = dict(network.kernels), dict(network.activations)
    x = tf.constant(as_input(images, model.input_shape[1:]))
    for before, layer in pairwise(network.plan):
        name, weights = layer.name, network.weights.get(layer.name)
        if weights:
            kernels[name], inputs = _by_cosine(layer, x, weights, kernels[name], activations[before.grid_of])
            alike = [each.name for each in network.plan if each.grid_of == before.grid_of]
            activations |= {each: inputs for each in alike if each in activations}
        x = apply_layer(layer, x, weights)
    return replace(network, kernels=kernels, activations=activations)


def _by_cosine(
    layer: LayerPlan, x: tf.Tensor, weights: Weights, kernel: QuantParams, inputs: QuantParams
) -> tuple[QuantParams, QuantParams]:
    """Return the grids of a layer's kernel and inputs that :func:`easyquant` finds, from those of MinMax on."""
    y, shares = _before_activation(layer, x, weights), np.linspace(1, 0.2, 21)

    def narrowed(grid: QuantParams, share: float | np.ndarray) -> QuantParams:
        return QuantParams(grid.scale * share, grid.zero_point, grid.spec)

    def cosine(kernel: QuantParams, inputs: QuantParams, each_channel: bool) -> np.ndarray:
        on_grids = weights._replace(kernel=fake_quantize(weights.kernel, kernel))
        y_q = _before_activation(layer, on_grid(x, grid_row(inputs)), on_grids)
        axes = range(len(y.shape) - each_channel)
        both, one, other = (tf.reduce_sum(a * b, axes) for a, b in ((y, y_q), (y, y), (y_q, y_q)))
        return tf.math.divide_no_nan(both, tf.sqrt(one * other)).numpy()

    best = kernel, inputs
    for _ in range(2):
        found = [cosine(narrowed(kernel, share), best[1], kernel.spec.axis is not None) for share in shares]
        best = narrowed(kernel, shares[np.argmax(found, axis=0)]), best[1]
        found = [cosine(best[0], narrowed(inputs, share), False) for share in shares]
        best = best[0], narrowed(inputs, shares[np.argmax(found)])
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

    =================  ============================================================================================
    weights by output  largest range of the weights of one output, in multiples of the median output's
    weights by input   the same of single inputs, which have one scale also per channel; 1 for a depthwise layer
    handed on          the same of the channels that the layer hands on, which have one scale together
    clipped            share of the numbers it hands on that lie beyond their grid, 0 to 1
    SQNR in, out       of what it takes and of what it hands on, in dB, with the errors of all layers before
    verdict            whether the network holds, or else which layer harms it, and by what; how many answers change
    =================  ============================================================================================

    An answer that changes is expected to cost what the float network gave it, a probability, minus what it gave the new
    one. The network holds, if that makes at most 0.3 points of accuracy, and nowhere SQNR is below 6 dB. Else the layer
    is named, up to there or of all, that adds most noise: it "breaks here" if that is half of the noise there or more,
    else "loses most here"; and what does most harm when quantized alone: its weights, what it takes or what it hands
    on. One channel far below the others does not show in ``handed on``, but in the weights that multiply it back.
    Settings are those of :meth:`Simulation.quantized`, by default LiteRT's; ``images``, a thousand of the training
    images, as :func:`~qkit.network.predict` takes them. Taught in notebook 09, section 3.

    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.layers.Dense(16, "relu", input_shape=(8,)), keras.layers.Dense(3, name="last")])
    >>> images = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    >>> diagnose(rescaled(model, 10_000), images, per_channel=False).loc["last", "verdict"]
    'breaks here, for what it takes (290 : 1): 48 of 100 answers change, expected to cost 11.58 points of accuracy'
    """
    whole(weight_bits, "weight_bits", 2, 16)
    whole(activation_bits, "activation_bits", 2, 16)
    methods = {"weight_method": weight_method, "activation_method": activation_method}
    network = Simulation(model, images).quantized(weight_bits, activation_bits, per_channel=per_channel, **methods)

    def measured(kernels: Grids, activations: Grids) -> Measured:
        return replace(network, kernels=kernels, activations=activations).measure(images, np.zeros(len(images)))

    found = measured(network.kernels, network.activations)
    sqnr, (worst, how) = pd.Series(found.sqnr), found.weakest
    ranges, clipped = {name: [] for name in sqnr.index}, dict.fromkeys(sqnr.index, 0.0)
    owner, owners = "image", {}
    for layer in network.plan:  # what stands behind a layer with weights belongs to it: means have a grid of their own
        owner = layer.name if layer.name in ranges else owner
        owners[layer.name] = owner

    def handed_on(name: str) -> Grids:
        return {layer: grid for layer, grid in network.activations.items() if owners[layer] == name}

    for batch in replace(network, kernels={}, activations={}).outputs(images):
        for name, x in zip(sqnr.index, batch, strict=True):
            ranges[name].append(channel_ranges(x))
            clipped[name] += share_clipped(x, list(handed_on(name).values())[-1]) * len(x) / len(images)
    kernels = pd.Series({name: kernel for name, (kernel, _) in network.weights.items()})
    table = pd.DataFrame(index=sqnr.index.rename("layer"))
    table["weights by output"] = kernels.map(_ratio)
    table["weights by input"] = kernels.map(lambda kernel: _ratio(np.moveaxis(kernel, -2, -1)))
    table["handed on"], table["clipped"] = pd.Series(ranges).map(_ratio), pd.Series(clipped)
    table["SQNR in"], table["SQNR out"], table["verdict"] = sqnr.shift(fill_value=np.inf), sqnr, ""

    if how == "holds":
        table.iloc[-1, -1] = f"the network holds: {found}"
        return table
    before = sqnr.index[sqnr.index.get_loc(worst) - 1]
    by = "weights by input" if per_channel else table.loc[worst, "weights by output":"weights by input"].idxmax()
    causes = {
        f"its {by}": (table.loc[worst, by], {worst: network.kernels[worst]}, {}),
        "what it takes": (table.loc[before, "handed on"], {}, handed_on(before)),
        "what it hands on": (table.loc[worst, "handed on"], {}, handed_on(worst)),
    }
    cause = min(causes, key=lambda cause: measured(*causes[cause][1:]).sqnr[worst])
    table.loc[worst, "verdict"] = f"{how}, for {cause} ({causes[cause][0]:.3g} : 1): {found}"
    return table


def _ratio(x: np.ndarray) -> float:
    return float(1 / np.median(channel_shares(x)))


def allocate_bits(losses: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """Return how many bits each layer's weights get for the least loss that at most ``budget`` bytes can have.

    ``losses`` say what each number of bits costs, by layer: ``{"conv1": {2: 0.31, 4: 0.02, 8: 0.0}, …}``, accuracy
    lost, or noise in the logits, when that layer alone is quantized. They are added up, as if layers did not know of
    each other. ``sizes`` are numbers of weights; n weights of b bits take ``ceil(n b / 8)`` bytes.

    After each layer, a choice is dropped that another one, of no more bytes, beats. A ValueError if the fewest bits do
    not fit, layers differ, or a loss is not finite. Taught in notebook 09, section 8.

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


def treatments(model: keras.Model, images: np.ndarray) -> Callable[..., QuantizedNetwork]:
    """Return ``treated(**settings)``, which tries every repair of a network with every other, for ``explorers.doctor``.

    It returns the network quantized, after repairs in the order in which they belong. ``equalized`` is the result of
    :func:`equalize`; ``scales`` are by ``"minmax"``, ``"mse"`` or ``"eq"``, :func:`easyquant` of the first 100 images;
    ``rounding`` is to ``"nearest"`` or by ``"gptq"``; ``corrected`` is that of :func:`correct_bias`. The weights of
    ``layer``, if any, have bits of their own. With ``None`` for both, weights and activations, the network is in float.
    ``images`` are training images. Grids that were found once are kept. Taught in notebook 09, section 3.

    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.layers.Dense(16, "relu", input_shape=(8,)), keras.layers.Dense(3, name="last")])
    >>> images = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    >>> treated, labels = treatments(rescaled(model, 10_000), images), np.zeros(100)
    >>> [round(treated(equalized=how).measure(images, labels).sqnr["last"]) for how in (False, True)]
    [0, 39]
    """

    @cache
    def begun(equalized: bool) -> tuple[keras.Sequential, Simulation]:
        plain = equalize(model) if equalized else fold(model)
        return plain, Simulation(plain, images)

    @cache
    def on_grids(equalized: bool, scales: str, per_channel: bool, *bits: int | None) -> QuantizedNetwork:
        model, simulation = begun(equalized)
        if scales == "eq" and bits != (None, None):  # in float there are no grids to find
            return easyquant(model, images[:100], *bits, per_channel)
        method = {"minmax": thresholds.minmax, "mse": thresholds.mse, "eq": thresholds.minmax}[scales]
        return simulation.quantized(*bits, per_channel=per_channel, weight_method=method, activation_method=method)

    def treated(
        weight_bits: int | None = 8,
        activation_bits: int | None = 8,
        per_channel: bool = False,
        equalized: bool = False,
        scales: str = "minmax",
        rounding: str = "nearest",
        corrected: bool = False,
        layer: str = "",
        layer_bits: int = 8,
    ) -> QuantizedNetwork:
        network = on_grids(equalized, scales, per_channel, weight_bits, activation_bits)
        if layer:
            other = on_grids(equalized, scales, per_channel, layer_bits, activation_bits)
            network = replace(network, kernels={**network.kernels, layer: other.kernels[layer]})
        if rounding == "nearest" and not corrected:
            return network
        model, _ = begun(equalized)
        found = rounded(model, network.kernels, {"nearest": None, "gptq": gptq}[rounding], images)
        found = correct_bias(model, found, images) if corrected else found
        return replace(network, weights=weights_of(found))

    return treated


def _neighbours(model: keras.Sequential) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Return each layer with weights and the next, where the channels of one are the inputs of the other."""
    moves = keras.layers.Flatten, keras.layers.Reshape
    places = [place for place, layer in enumerate(model.layers) if layer.weights]
    for place, next_place in pairwise(places):
        first, second = model.layers[place], model.layers[next_place]
        if first.activation is tf.nn.relu6:
            way_out = "train it with ReLU, or replace its activation by ReLU and measure what that costs"
            raise ValueError(f"layer {first.name!r} ends in ReLU6, which passes no factors: 6 would move; {way_out}")
        # Flattened or reshaped, numbers still count the channels fastest: where the last side is a multiple of them,
        # its number i is of channel i mod channels. So it must be for the second layer, and for each pool before it.
        takers = [layer for layer in model.layers[place + 1 : next_place + 1] if not isinstance(layer, moves)]
        if all(layer.input_shape[-1] % first.bias.shape[0] == 0 for layer in takers):
            yield first, second


def _divide(first: keras.layers.Layer, second: keras.layers.Layer, by: np.ndarray) -> None:
    """Divide each output of ``first``, and multiply the weights that it meets in ``second``."""
    (kernel, bias), (next_kernel, next_bias) = first.get_weights(), second.get_weights()
    first.set_weights([(kernel.reshape(-1, len(by)) / by).reshape(kernel.shape), bias / by])
    second.set_weights([next_kernel * np.resize(by, next_kernel.shape[-2])[:, None], next_bias])


def _before_activation(layer: LayerPlan, x: tf.Tensor, weights: Weights) -> tf.Tensor:
    return apply_layer(layer._replace(activation="linear"), x, weights)


def _for_outputs(
    layer: keras.layers.Layer, x: tf.Tensor, kernel: np.ndarray, params: QuantParams, rounding: Rounding
) -> np.ndarray:
    """Return a kernel (inputs, outputs) rounded for what the layer makes of ``x``; depthwise, channel by channel."""
    x, groups = x.numpy(), x.shape[-1] if isinstance(layer, keras.layers.DepthwiseConv2D) else 1
    patches = [x]
    if not isinstance(layer, keras.layers.Dense):
        window = layer.kernel_size, layer.strides, layer.padding == "same", 0
        patches = (windows(x[start : start + 250], *window) for start in range(0, len(x), 250))
    rows = (each.reshape(-1, len(kernel), groups).transpose(2, 0, 1) for each in patches)
    grams = sum(np.swapaxes(each, 1, 2) @ each for each in map(np.ascontiguousarray, rows))
    channels = []
    for gram, part in zip(grams, np.split(np.arange(kernel.shape[1]), groups), strict=True):
        one = params
        if params.spec.axis is not None:
            one = QuantParams(params.scale[part], params.zero_point[part], params.spec)
        channels.append(rounding(kernel[:, part], one, gram))
    return np.concatenate(channels, axis=1)
