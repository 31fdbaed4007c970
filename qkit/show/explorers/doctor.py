"""A network that quantization harms, and the repairs: which layer loses what, and what helps, with what else."""

from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np

from qkit.numeric.histogram import channel_ranges, channel_shares
from qkit.show.canvas import Stage, write
from qkit.show.explorer import PER_CHANNEL, Explorer, choice, stops, switch
from qkit.show.explorers.network import evenly_chosen
from qkit.show.numerals import decibels, number, percent, size, with_interval
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

BITS = {bits: str(bits) for bits in range(2, 9)}
SCALES = {"minmax": "MinMax", "mse": "MSE", "eq": "EQ (100 images)"}
ROUNDINGS = {"nearest": "to nearest", "gptq": "by GPTQ"}
LEAST, MOST_DB = 1e-4, 60


@in_style
def doctor(treated: Callable, images: np.ndarray, labels: np.ndarray, **start) -> Explorer:
    """Try repairs on a network: channels' ranges, the SQNR after each layer, right answers and bytes follow.

    ``treated`` is what :func:`qkit.network.repair.treatments` returns for the network; ``images`` are as it takes them,
    with a label each: a ValueError if not, or if there are none. At most 1,000 of them, evenly chosen, are measured. A
    repair takes a second or more when it is tried for the first time, EQ and GPTQ several.

    ``start`` are values of the controls: ``weight_bits`` and ``activation_bits``, from 2 to 8; ``per_channel``;
    ``scales``, ``"minmax"``, ``"mse"`` or ``"eq"``; ``equalized``; ``rounding``, ``"nearest"`` or ``"gptq"``;
    ``corrected``; ``layer``, the name of one with other ``layer_bits``. Taught in notebook 09, sections 3 to 5.
    """
    images, labels = evenly_chosen(images, labels, 1_000)
    layers = tuple(treated(None, None).weights)
    rows = "image", *layers

    height = 2.0 + 0.26 * len(rows)
    bottom, share = 0.6 / height, (height - 1.55) / height
    stage = Stage(9, height)
    names = "right, quantized", "right, float", "changed answers", "parameters"
    tiles = stage.numbers(0.12, 0.88, names, (QUANTIZED_TEXT, FLOAT, "black", QUANTIZED_TEXT))
    place = {"ylim": (len(rows) - 0.4, -0.6), "yticks": range(len(rows))}
    wide = stage.axes(0.2, bottom, 0.37, share, xscale="log", xlim=(LEAST, 1.15), **place, yticklabels=rows)
    wide.set(xlabel="range of each channel, largest in the layer = 1")
    wide.set_xticks(ticks := 10.0 ** np.arange(-4, 1), [f"{tick:g}" for tick in ticks])
    wide.minorticks_off()
    exact = stage.axes(0.62, bottom, 0.26, share, xlim=(0, MOST_DB), **place, yticklabels=[])
    exact.set_xlabel("SQNR in dB, after each layer")
    wide.set_title("| weights", color=FLOAT, fontsize=11, loc="left")
    wide.set_title("| numbers handed on", color=GUIDE, fontsize=11, loc="right")
    borders = np.arange(len(layers))[:, None] + [0.5, 1.5, np.nan]
    borders[0, 0] = -0.6  # beside the label
    lost = stage.line(wide, ":", 0 * borders.ravel(), borders.ravel(), color=QUANTIZED_TEXT, linewidth=2)
    below = stage.label(wide, LEAST, 0, ha="right", color=QUANTIZED_TEXT, fontsize=10)
    marks = [stage.line(wide, "|", color=colour, markersize=8, markeredgewidth=1.2) for colour in (FLOAT, GUIDE)]
    bars = [stage.moving(bar) for bar in exact.barh(range(len(rows)), 1, 0.7, color=QUANTIZED, edgecolor="black")]
    ratios = [stage.label(exact, MOST_DB + 2, row, ha="left", fontsize=10) for row in range(len(rows))]

    @cache
    def in_float(equalized):
        network = treated(None, None, equalized=equalized)
        ranges = [list(map(channel_ranges, batch)) for batch in network.outputs(images)]
        kernels = [network.weights[layer].kernel for layer in layers]
        by_input = [np.moveaxis(kernel, -2, -1) for kernel in kernels]
        channels = (map(channel_shares, each) for each in (kernels, by_input, zip(*ranges, strict=True)))
        return network.bytes, *map(list, channels)

    @lru_cache(maxsize=1024)
    def measured(**settings):
        # Rounding and correcting change weights: the network itself does not know any more what they were in float.
        network, original = treated(**settings), treated(None, None, equalized=settings["equalized"])
        largest = [np.max(np.abs(original.weights[layer].kernel)) or 1.0 for layer in layers]
        half = [np.max(network.kernels[layer].scale) / 2 for layer in layers]
        return network.measure(images, labels, original.outputs(images)), network.bytes, np.divide(half, largest)

    def update(**settings):
        found, count, half = measured(**settings)
        original, kernels, by_input, handed_on = in_float(settings["equalized"])
        for mark, channels, first, beside in zip(marks, (kernels, handed_on), (1, 0), (-0.18, 0.18), strict=True):
            rows_of = [np.full(len(each), row + beside) for row, each in enumerate(channels, first)]
            mark.set_data(np.maximum(np.concatenate(channels), LEAST), np.concatenate(rows_of))
        # Half a step, where a layer's largest weight is 1: to the nearest, a channel that is smaller becomes all 0.
        lost.set(xdata=np.repeat(half, 3), visible=not settings["per_channel"])
        name = "left of it: 0" if settings["rounding"] == "nearest" else "half a step"
        below.set(x=0.9 * half[0], text="" if settings["per_channel"] else name)
        ratio = list(found.sqnr.values())
        for row, (bar, text) in enumerate(zip(bars, ratios, strict=True)):
            bar.set_width(np.clip(ratio[row], 0, MOST_DB))
            text.set_text(decibels(ratio[row]))
        changed = f"{found.changed:,} of {found.accuracy.total:,}"
        write(tiles, [percent(found.accuracy.value), percent(found.float_accuracy.value), changed, size(count)])

        worst = rows.index(found.weakest[0])
        in_float_right, right = map(with_interval, (found.float_accuracy, found.accuracy))
        apart = [number(1 / np.median(x[worst - 1])) for x in (kernels, by_input, handed_on)]
        return stage.png(), (
            f"{describe(**settings)}. {found.accuracy.total:,} images: {right} right, in float {in_float_right}. "
            f"Answers that differ from float: {found.changed:,}. Most harmful is {rows[worst]}, which takes "
            f"{decibels(ratio[worst - 1])} and hands on {decibels(ratio[worst])}; at the end: {decibels(ratio[-1])}. "
            f"Its largest channel is {apart[0]} times the median one in weights by output, {apart[1]} times by input, "
            f"{apart[2]} times in what it takes. Parameters: {size(count)}, in float {size(original)}."
        )

    every, no_layer = {layer: layer for layer in layers}, {"": "no layer"}
    controls = {
        "weight_bits": stops("weight bits", "How many bits each weight has", 8, BITS),
        "activation_bits": stops("activation bits", "How many bits each number between two layers has", 8, BITS),
        "per_channel": switch(*PER_CHANNEL, False),
        "equalized": switch("equalize", "Bring the ranges of a layer's channels together first; needs no image", False),
        "corrected": switch("correct biases", "Make the mean of every channel what it is in float", False),
        "scales": choice("scales", "How the scales of weights and activations are chosen", "minmax", SCALES),
        "rounding": choice("rounding", "To which of its levels a weight goes", "nearest", ROUNDINGS),
        "layer": choice("other bits for", "A layer whose weights have bits of their own", "", no_layer | every),
        "layer_bits": stops("its bits", "How many bits each weight of that layer has", 8, BITS),
    }
    return Explorer(controls, update, stage.size, start, lines=4)


def describe(
    weight_bits, activation_bits, per_channel, equalized, corrected, scales, rounding, layer, layer_bits
) -> str:
    """Say what is done to the network, in the order in which it is done."""
    grids = f"{'a scale per channel' if per_channel else 'one scale per layer'} by {SCALES[scales]}"
    other = f", {layer}'s in {layer_bits}" if layer else ""
    weights = f"{'Equalized, weights' if equalized else 'Weights'} in {weight_bits} bits{other}, {grids}"
    last = ", biases corrected" if corrected else ""
    return f"{weights}, rounded {ROUNDINGS[rounding]}, activations in {activation_bits}{last}"
