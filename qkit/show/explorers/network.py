"""A whole network at any bits: how often it is still right, and where on the way its numbers go wrong."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from qkit.show.canvas import Stage, decibels, label, named_numbers, size
from qkit.show.explorer import Explorer, choice, stops, switch
from qkit.show.explorers.threshold_numbers import FUNCTIONS
from qkit.show.picture import FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT
from qkit.show.words.explorers import CONTROLS
from qkit.show.words.explorers import METHODS as NAMES
from qkit.show.words.network import NETWORK as WORDS

SUBSET = 2_000
BITS: dict[int | str, str] = {bits: str(bits) for bits in range(2, 9)} | {"float": WORDS["float"]}
METHODS = NAMES | {"percentile": f"{NAMES['percentile']} 99.9"}
# KL without its remedies is a lesson about the zeros that ReLU makes, and kernels have few.
WEIGHT_METHODS = {name: text for name, text in METHODS.items() if name != "kl_plain"}


def network(
    simulation,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    weight_bits: int | str = 4,
    activation_bits: int | str = 8,
    per_channel: bool = True,
    weight_method: str = "mse",
    activation_method: str = "mse",
) -> Explorer:
    """Show how often a quantized network is right, beside the float one, and the SQNR after each layer.

    A step measures at most 2,000 images, evenly chosen; one switch makes it all of them, 2,000 at a time.

    Parameters
    ----------
    simulation : qkit.network.Simulation
    images : ndarray, shape (n, 28, 28)
    labels : ndarray of int, shape (n,)
    weight_bits, activation_bits, per_channel, weight_method, activation_method
        Where the controls start; bits are 2 to 8 or ``"float"``.

    Returns
    -------
    Explorer
        With these controls, a switch for each layer by its name, and ``all_images`` where there are more than 2,000.

    Raises
    ------
    ValueError
        If there are no images, there are not as many labels, or a control does not offer what it should start with.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(f"images and labels must be as many, one at least, got {len(images)} and {len(labels)}")
    layers = simulation.layers
    parts = -(-len(images) // SUBSET)
    stage = Stage(9, 2.5 + 0.3 * len(layers), lambda figure: Parts(figure, ("image", *layers)))
    original = simulation.quantized(None, None)

    def quantized(weight_bits, activation_bits, per_channel, weight_method, activation_method, **on):
        return simulation.quantized(
            None if weight_bits == "float" else weight_bits,
            None if activation_bits == "float" else activation_bits,
            per_channel=per_channel,
            weight_method=FUNCTIONS[weight_method],
            activation_method=FUNCTIONS[activation_method],
            in_float=tuple(layer for layer in layers if not on[layer]),
        )

    # What the float network makes of 2,000 images takes tens of megabytes.
    @lru_cache(maxsize=1)
    def in_float(part: int):
        return original.outputs(images[part::parts])

    # A learner goes to and fro between settings, and a result takes no room.
    @lru_cache(maxsize=1024)
    def measured(part: int, **settings):
        return quantized(**settings).measure(images[part::parts], labels[part::parts], in_float(part))

    def update(all_images=False, **settings) -> Iterator[tuple[bytes, str]]:
        here, found = quantized(**settings), None
        for part in range(parts if all_images else 1):
            found = found.merge(measured(part, **settings)) if found else measured(part, **settings)
            kind = "all" if part == parts - 1 else "so_far" if all_images else "some"
            which = WORDS[kind].format(total=found.accuracy.total, count=len(images))
            stage.parts.show(here, found, which)
            yield stage.png(), say(settings, which, found, here.bytes, original.bytes)

    controls = {
        "weight_bits": stops(*CONTROLS["weight_bits"], 4, BITS),
        "activation_bits": stops(*CONTROLS["activation_bits"], 8, BITS),
        "per_channel": switch(*CONTROLS["per_channel"], True),
        "weight_method": choice(*CONTROLS["weight_method"], "mse", WEIGHT_METHODS),
        "activation_method": choice(*CONTROLS["activation_method"], "mse", METHODS),
    }
    controls |= {layer: switch(layer, WORDS["layer"].format(layer=layer), True) for layer in layers}
    if parts > 1:
        words, tooltip = CONTROLS["all_images"]
        controls["all_images"] = switch(words.format(count=len(images)), tooltip, False)
    start = {
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "per_channel": per_channel,
        "weight_method": weight_method,
        "activation_method": activation_method,
    }
    return Explorer(controls, update, stage.size, start)


def say(settings: dict, which: str, found, bytes_now: int, bytes_in_float: int) -> str:
    """Say in words what the picture shows, and on ``which`` images."""
    weight_bits, activation_bits = settings["weight_bits"], settings["activation_bits"]
    off = [name for name, on in settings.items() if name in found.sqnr and not on]
    how = [
        WORDS["weights_float" if weight_bits == "float" else "weights"].format(
            bits=weight_bits,
            scales=WORDS["per_channel" if settings["per_channel"] else "per_layer"],
            method=METHODS[settings["weight_method"]],
        ),
        WORDS["activations_float" if activation_bits == "float" else "activations"].format(
            bits=activation_bits, method=METHODS[settings["activation_method"]]
        ),
        *([WORDS["off"].format(layers=", ".join(off))] if off else []),
    ]
    sentences = [
        "; ".join(how),
        WORDS["result"].format(
            which=which, quantized=_accuracy(found.accuracy), original=_accuracy(found.float_accuracy)
        ),
        WORDS["changed"].format(changed=found.changed),
        WORDS["sqnr"].format(sqnr=", ".join(f"{name} {decibels(x)}" for name, x in found.sqnr.items())),
        WORDS["bytes"].format(now=size(bytes_now), original=size(bytes_in_float)),
    ]
    return " ".join(f"{sentence}." for sentence in sentences)


def _accuracy(accuracy) -> str:
    low, high = accuracy.interval
    return WORDS["accuracy"].format(value=accuracy.value, low=low, high=high)


class Parts:
    """The artists: wrong answers with their intervals on the left, SQNR on the right, numbers above."""

    LEAST = 0.002
    """Of the wrong answers; a log scale has no 0."""
    MOST_DB = 60

    def __init__(self, figure, names: tuple[str, ...]):
        _, self.numbers = named_numbers(
            figure, np.linspace(0.12, 0.88, 4), 0.985, WORDS["tiles"], [QUANTIZED_TEXT, FLOAT, "black", QUANTIZED_TEXT]
        )
        height = figure.get_figheight()
        bottom, share = 0.6 / height, (height - 1.6) / height
        self._errors(figure.add_axes((0.11, bottom, 0.38, share)))
        self._sqnr(figure.add_axes((0.62, bottom, 0.26, share)), names)
        self.which = label(figure, 0.11, 1 - 0.95 / height, "", ha="left", va="bottom", color=GUIDE)
        self.moving = [*self.intervals, *self.bars, *self.sqnr, self.which, *self.numbers]

    def _errors(self, axes) -> None:
        axes.set_xscale("log")
        axes.set(xlim=(self.LEAST, 1), ylim=(1.6, -0.6), xlabel=WORDS["wrong"])
        axes.set_yticks([0, 1], WORDS["rows"])
        ticks = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
        axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.grid(axis="x", color="#DDDDDD")
        axes.axvline(0.9, color=GUIDE, linestyle=":", linewidth=1.5)
        axes.text(0.82, -0.5, WORDS["guessing"], ha="right", va="center", color=GUIDE, fontsize=10)
        looks = dict(color=FLOAT, marker="o"), dict(color=QUANTIZED, marker="s", markeredgecolor="black")
        self.intervals = [
            axes.plot([], [], linewidth=4, markersize=10, markevery=[1], clip_on=False, zorder=3, **look)[0]
            for look in looks
        ]
        self.intervals[0].set(markerfacecolor="white", markeredgewidth=2)

    def _sqnr(self, axes, names: tuple[str, ...]) -> None:
        rows = np.arange(len(names))
        axes.set(xlim=(0, self.MOST_DB), ylim=(len(names) - 0.4, -0.6), xlabel=WORDS["decibels"])
        axes.set_yticks(rows, names)
        self.names = names
        self.bars = list(axes.barh(rows, 1, 0.7, linewidth=1.2))
        self.sqnr = [label(axes, self.MOST_DB + 2, row, "", ha="left", va="center", fontsize=10) for row in rows]

    def show(self, network, found, which: str) -> None:
        """Move every artist to what was found on ``which`` images."""
        self.which.set_text(which)
        for row, (line, accuracy) in enumerate(
            zip(self.intervals, (found.float_accuracy, found.accuracy), strict=True)
        ):
            low, high = accuracy.interval
            line.set_data(np.maximum([1 - high, 1 - accuracy.value, 1 - low], self.LEAST), np.full(3, row))
        for name, bar, text in zip(self.names, self.bars, self.sqnr, strict=True):
            sqnr, on = found.sqnr[name], name in network.kernels or name in network.activations
            bar.set_width(np.clip(sqnr, 0, self.MOST_DB))
            bar.set(
                facecolor=QUANTIZED if on else "white", edgecolor="black" if on else FLOAT, hatch="///" if on else ""
            )
            text.set_text(decibels(sqnr) if on else WORDS["in_float"].format(sqnr=decibels(sqnr)))
            text.set_color(QUANTIZED_TEXT if on else FLOAT)
        texts = (
            f"{found.accuracy.value:.2%}",
            f"{found.float_accuracy.value:.2%}",
            WORDS["of"].format(changed=found.changed, total=found.accuracy.total),
            size(network.bytes),
        )
        for text, words in zip(self.numbers, texts, strict=True):
            text.set_text(words)
