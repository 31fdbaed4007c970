"""A whole network at any bits: how often it is still right, and where on the way its numbers go wrong."""

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes

from qkit.numeric import Accuracy
from qkit.show.canvas import Stage, write
from qkit.show.explorer import PER_CHANNEL, Explorer, choice, stops, switch
from qkit.show.explorers.threshold import METHODS, NAMES
from qkit.show.numerals import decibels, percent, size, with_interval
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

BITS = {bits: str(bits) for bits in range(2, 9)} | {"float": "float"}
ACTIVATION_METHODS = NAMES | {"percentile": "percentile 99.9"}
# KL without its remedies is a lesson about the zeros that ReLU makes, and kernels have few.
WEIGHT_METHODS = {method: name for method, name in ACTIVATION_METHODS.items() if method != "kl_plain"}
LEAST_WRONG, MOST_DB = 0.002, 60


@in_style
def network(simulation, images: np.ndarray, labels: np.ndarray, **start) -> Explorer:
    """Show how often a quantized network is right, beside the float one, and the SQNR after each layer.

    ``simulation`` is a :class:`qkit.network.Simulation`; ``images`` are as the network takes them, with a label each: a
    ValueError if not, or if there are none. At most 2,000 of them, evenly chosen, are measured. ``start`` are values of
    the controls: ``weight_bits`` and ``activation_bits``, from 2 to 8 or ``"float"``; ``per_channel``;
    ``weight_method`` and ``activation_method``, such as ``"mse"``; and for each layer by its name, whether it is
    quantized. Taught in notebook 05, section 8.
    """
    some, labels = evenly_chosen(images, labels, 2_000)
    which = f"All {len(some):,} images"
    if len(some) < len(images):
        which = f"{len(some):,} of the {len(images):,} images, evenly chosen"
    layers, rows = simulation.layers, ("image", *simulation.layers)
    original = simulation.quantized(None, None)
    in_float = list(original.outputs(some))

    height = 2.5 + 0.3 * len(layers)
    bottom, share = 0.6 / height, (height - 1.6) / height
    stage = Stage(9, height)
    looks = ("o-", {"color": FLOAT, "mfc": "white", "mew": 2}), ("s-", {"color": QUANTIZED, "mec": "black"})
    wrong, show = wrong_answers(stage, (0.11, bottom, 0.38, share), looks, labels)
    wrong.set_yticklabels(["float", "quantized"])
    exact = stage.axes(0.62, bottom, 0.26, share, xlim=(0, MOST_DB), ylim=(len(rows) - 0.4, -0.6))
    exact.set(yticks=range(len(rows)), yticklabels=rows, xlabel="SQNR in dB: how exact each layer's output still is")
    bars = [stage.moving(bar) for bar in exact.barh(range(len(rows)), 1, 0.7, linewidth=1.2)]
    ratios = [stage.label(exact, MOST_DB + 2, row, ha="left", fontsize=10) for row in range(len(rows))]
    stage.label(stage.figure, 0.11, 1 - 0.95 / height, which, ha="left", va="bottom", color=GUIDE)
    names = "right, quantized", "right, float", "changed answers", "parameters"
    tiles = stage.numbers(0.12, 0.88, names, (QUANTIZED_TEXT, FLOAT, "black", QUANTIZED_TEXT))

    # A learner goes to and fro between settings, and a result takes no room.
    @lru_cache(maxsize=1024)
    def measured(weight_bits, activation_bits, per_channel, weight_method, activation_method, **on):
        bits = (None if each == "float" else each for each in (weight_bits, activation_bits))
        methods = {"weight_method": METHODS[weight_method], "activation_method": METHODS[activation_method]}
        off = tuple(layer for layer in layers if not on[layer])
        now = simulation.quantized(*bits, per_channel=per_channel, in_float=off, **methods)
        return now.measure(some, labels, in_float), {*now.kernels, *now.activations}, now.bytes

    def update(**settings):
        found, quantized, count = measured(**settings)
        both = found.float_accuracy, found.accuracy
        show(both)
        for name, bar, text in zip(rows, bars, ratios, strict=True):
            on, ratio = name in quantized, found.sqnr[name]
            bar.set(width=np.clip(ratio, 0, MOST_DB), hatch="///" if on else "")
            bar.set(facecolor=QUANTIZED if on else "white", edgecolor="black" if on else FLOAT)
            text.set(text=decibels(ratio) + ("" if on else ", float"), color=QUANTIZED_TEXT if on else FLOAT)
        changed = f"{found.changed:,} of {len(some):,}"
        write(tiles, [*(percent(each.value) for each in reversed(both)), changed, size(count)])
        in_float_right, right = map(with_interval, both)
        return stage.png(), (
            f"{describe(**settings)}. {which}: {right} right, in float {in_float_right}. "
            f"Answers that differ from float: {found.changed:,}. "
            f"SQNR: {', '.join(f'{name} {decibels(ratio)}' for name, ratio in found.sqnr.items())}. "
            f"Parameters: {size(count)}, in float {size(original.bytes)}."
        )

    of_weights = "How many bits each weight has; float leaves all of them as they are"
    between = "How many bits each number between two layers has; image and logits keep 8. Float leaves all as they are"
    chosen = "How the thresholds of the {} are chosen"
    controls = {
        "weight_bits": stops("weight bits", of_weights, 4, BITS),
        "activation_bits": stops("activation bits", between, 8, BITS),
        "per_channel": switch(*PER_CHANNEL, True),
        "weight_method": choice("weights by", chosen.format("weights"), "mse", WEIGHT_METHODS),
        "activation_method": choice("activations by", chosen.format("activations"), "mse", ACTIVATION_METHODS),
    }
    on = "Quantize the weights of {} and the numbers it hands on; else both stay in float"
    controls |= {layer: switch(layer, on.format(layer), True) for layer in layers}
    return Explorer(controls, update, stage.size, start)


def evenly_chosen(images: np.ndarray, labels: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most so many of the images with their labels; a ValueError if these are not as many, or none."""
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(f"images and labels must be as many, one at least, got {len(images)} and {len(labels)}")
    step = -(-len(images) // most)
    return np.asarray(images)[::step], np.asarray(labels)[::step]


def wrong_answers(
    stage: Stage, place: tuple[float, float, float, float], looks: Iterable[tuple[str, dict]], labels: np.ndarray
) -> tuple[Axes, Callable[[Iterable[Accuracy]], None]]:
    """Return axes with a row for each of two accuracies, and what shows two: wrong answers with their intervals."""
    ticks = 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1
    axes = stage.axes(*place, xscale="log", xlim=(LEAST_WRONG, 1), ylim=(1.6, -0.6), yticks=[0, 1])
    axes.set(xticks=ticks, xticklabels=[f"{100 * tick:g}" for tick in ticks])
    axes.set_xlabel("wrong answers in %, with 95 % interval, log scale")
    axes.minorticks_off()
    axes.grid(axis="x", color="#DDDDDD")
    guessed = 1 - 1 / max(2, len(np.unique(labels)))
    axes.axvline(guessed, color=GUIDE, linestyle=":", linewidth=1.5)
    axes.text(0.91 * guessed, -0.5, "guessing", ha="right", va="center", color=GUIDE, fontsize=10)
    both = {"linewidth": 4, "markersize": 10, "markevery": [1], "clip_on": False, "zorder": 3}
    lines = [stage.line(axes, style, **both, **more) for style, more in looks]

    def show(accuracies):
        for row, (line, accuracy) in enumerate(zip(lines, accuracies, strict=True)):
            low, high = accuracy.interval
            line.set_data(np.maximum([1 - high, 1 - accuracy.value, 1 - low], LEAST_WRONG), np.full(3, row))

    return axes, show


def describe(weight_bits, activation_bits, per_channel, weight_method, activation_method, **on) -> str:
    """Say how the network is quantized; ``on`` has the layers, and whether each is."""
    weights = activations = "float"
    if weight_bits != "float":
        scales = "a scale per channel" if per_channel else "one scale per layer"
        weights = f"{weight_bits} bits, {scales}, by {WEIGHT_METHODS[weight_method]}"
    if activation_bits != "float":
        activations = f"{activation_bits} bits by {ACTIVATION_METHODS[activation_method]}"
    off = ", ".join(layer for layer in on if not on[layer])
    return f"Weights in {weights}; activations in {activations}" + (f"; {off} left in float" if off else "")
