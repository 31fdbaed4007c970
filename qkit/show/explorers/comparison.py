"""Two ways to quantize on the same test images: how often each is right, which images decide, and what is shown."""

from functools import cache
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from qkit.numeric import Accuracy, Paired
from qkit.show.canvas import Label, Numeral, Pixels, Stage, framed, named_numbers, round_up, write
from qkit.show.explorer import Explorer, choice, stops
from qkit.show.numerals import number, p_value, points
from qkit.show.picture import GOOD, GUIDE, in_style

UNQUANTIZED = 32, 32
"""The bits that a float network is recorded with; it is compared at all bits."""

FIRST, SECOND = "black", GOOD
"""The colours of the two methods, everywhere in the picture."""

TICKS = 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100
"""Wrong answers in per cent."""

SHOWN, TILE, GAP = 8, 0.82, 0.07
"""How many images the strip has; in inches, how large each is, and the gap after it."""


@in_style
def comparison(results: Any, images: np.ndarray, **start) -> Explorer:
    """Show the accuracies of all methods at some bits, and two of them side by side, image by image.

    A ValueError, if there are no predictions or shapes do not agree. Taught in notebook 08, section 4.

    Parameters
    ----------
    results
        With ``labels``, (n,), and ``predicted``, a mapping of cells to predictions, (n,). A cell has the attributes
        ``network``, ``method``, ``weight_bits``, ``activation_bits`` and ``seed``; those of a float network are
        recorded with 32 bits each.
    images : ndarray, shape (n, height, width)
        The images that were predicted, from 0, white, to their largest value, black.
    **start
        Where the controls start: ``first`` and ``second``, names of methods, and, where there are several,
        ``network``, ``bits``, pairs such as (2, 8) of weight and activation bits, and ``seed``. By default the first
        method that quantizes is compared with the last one, at the fewest bits.
    """
    labels, images = np.asarray(results.labels), np.asarray(images)
    predicted = {}
    for cell, said in results.predicted.items():
        bits = cell.weight_bits, cell.activation_bits
        predicted[cell.network, cell.method, bits, cell.seed] = np.asarray(said)
    if not predicted:
        raise ValueError("results.predicted must hold the predictions of one network at least, got none")
    accuracies = {key: Accuracy.of(said, labels) for key, said in predicted.items()}
    if images.ndim != 3 or len(images) != len(labels):
        raise ValueError(f"images must have shape ({len(labels)}, height, width), got {images.shape}")
    networks, methods, pairs, seeds = (list(dict.fromkeys(column)) for column in zip(*predicted, strict=True))
    quantizing = [m for m in methods if (m, UNQUANTIZED) not in {key[1:3] for key in predicted}] or methods
    pairs, seeds = sorted(set(pairs) - {UNQUANTIZED}) or [UNQUANTIZED], sorted(seeds)
    named = {pair: f"{pair[0]} / {pair[1]}" for pair in pairs}
    digits, black = np.arange(int(labels.max()) + 1), images.max() or 1
    stage = Stage(9, 5.9)

    def wrong(right):  # in per cent; where there are none, a little that a logarithmic axis can show
        return max(100 * (1 - right), 20 / len(labels))

    @cache
    def interval(key):
        low, high = accuracies[key].interval
        return wrong(high), wrong(accuracies[key].value), wrong(low)

    def text(axes, x, y, words="", kind=Label, fontsize=10, **looks):
        return stage.moving(axes.add_artist(kind(x, y, words, fontsize=fontsize, **looks)))

    tiles = "gain, points", "only second right", "only first right", "p, McNemar's test", "a difference is"
    numbers = named_numbers(stage, 0.09, 0.88, tiles, (GUIDE, SECOND, FIRST, GUIDE, GUIDE))

    rows = stage.axes(0.2, 0.475, 0.4, 0.355, xscale="log", ylim=(len(methods) - 0.4, -0.6), xticks=[], yticks=[])
    rows.xaxis.set_minor_locator(NullLocator())
    more = "; ○ other seeds" if len(seeds) > 1 else ""
    rows.set_xlabel(f"wrong answers in %, log scale, 95 % interval{more}", fontsize=10, labelpad=22)
    grid = stage.moving(*rows.plot([], [], color="#DDDDDD", linewidth=0.8))
    below = {"transform": rows.get_xaxis_transform(), "ha": "center", "va": "top"}
    ticks = [text(rows, 1, -0.03, **below) for _ in TICKS]
    looks = {"lw": 4, "solid_capstyle": "butt", "mfc": "white", "mew": 2, "markevery": (1, 4)}
    spans = [  # of all other methods, the first, the second; each is three points, the middle one marked, and a gap
        stage.moving(*rows.plot([], [], style, color=colour, ms=size, **looks))
        for style, colour, size in (("D-", GUIDE, 6), ("o-", FIRST, 9), ("s-", SECOND, 9))
    ]
    others = stage.moving(*rows.plot([], [], "o", color=GUIDE, markersize=5, markerfacecolor="none"))
    beside = {"transform": rows.get_yaxis_transform(), "va": "center"}
    rows.text(1.03, -0.75, "% right", ha="left", color=GUIDE, fontsize=10, **beside)
    values = [text(rows, 1.03, y, kind=Numeral, ha="left", **beside) for y in range(len(methods))]
    names = [text(rows, -0.03, y, method, ha="right", **beside) for y, method in enumerate(methods)]

    count = stage.axes(0.735, 0.475, 0.25, 0.285, xlim=(-0.7, digits[-1] + 0.7), ylim=(-1, 1), xticks=digits)
    count.set_yticks([-1, 0, 1], ["", "0", ""])
    count.set_xlabel("digit", fontsize=10)
    count.axhline(0, color=GUIDE, linewidth=0.8)
    edges = (digits[:, None] + [-0.38, 0.38]).ravel()
    bars = [stage.moving(count.stairs(0 * edges[1:], edges, fill=True, color=c)) for c in (FIRST, SECOND)]
    ends = [text(count, -0.95, y, ha="right", va="center", fontsize=11) for y in (-1, 1)]
    legends = [text(count, 0, y, color=c, transform=count.transAxes) for y, c in ((1.05, FIRST), (1.17, SECOND))]

    pitch = TILE + GAP  # inches, as are all numbers on the strip
    strip = stage.axes(0.2, 0.8 / 5.9, SHOWN * pitch / 9, pitch / 5.9, xlim=(0, SHOWN * pitch), ylim=(0, pitch))
    strip.set_axis_off()
    strip.text(0, pitch + 0.12, "some of the images that only one of the two gets right", va="center", fontsize=10)
    pixels = stage.moving(Pixels(strip))
    middles = TILE / 2 + pitch * np.arange(SHOWN)
    looks = [{"y": y, "color": c, "va": "center"} for y, c in ((-0.09, GUIDE), (-0.33, FIRST), (-0.57, SECOND))]
    heads = [text(strip, -0.15, ha="right", **each) for each in looks]
    answers = [[text(strip, x, ha="center", fontsize=11, **each) for x in middles] for each in looks]

    def update(first, second, network=networks[0], bits=pairs[0], seed=seeds[0]):
        # By method, by seed, what has been measured at these bits, or without any quantization.
        found = {method: {} for method in methods}
        for key in predicted:
            if key[0] == network and key[2] in (UNQUANTIZED, bits):
                found[key[1]][key[3]] = key
        for method in (first, second):
            if seed not in found[method]:
                raise ValueError(f"{method} has not been measured with {network} at {named[bits]} bits and seed {seed}")
        both = {each: (key, found[second][each]) for each, key in found[first].items() if each in found[second]}
        paired = {each: Paired.of(predicted[one], predicted[other], labels) for each, (one, other) in both.items()}
        test, p = paired[seed], paired[seed].p_value
        one, other = (predicted[key] == labels for key in both[seed])
        lost, won = np.flatnonzero(one & ~other), np.flatnonzero(other & ~one)
        shown = "shown" if p < 0.05 else "not shown"
        write(numbers, [points(test.gain), str(test.only_second), str(test.only_first), p_value(p), shown])

        here = {method: keys[seed] for method, keys in found.items() if seed in keys}
        write(values, [f"{100 * accuracies[here[m]].value:.2f}" if m in here else "–" for m in methods])
        for method, *texts in zip(methods, names, values, strict=True):
            colour = SECOND if method == second else FIRST if method == first else GUIDE
            for each in texts:
                each.set(color=colour, weight="bold" if method in (first, second) else "normal")
        groups = [method for method in here if method not in (first, second)], [first], [second]
        for line, group in zip(spans, groups, strict=True):
            places = np.repeat([methods.index(method) for method in group], 4)
            line.set_data([x for method in group for x in (*interval(here[method]), np.nan)], places)
        dots = [(key, y + 0.3) for y, keys in enumerate(found.values()) for key in keys.values() if key[-1] != seed]
        others.set_data([wrong(accuracies[key].value) for key, _ in dots], [y for _, y in dots])
        drawn = [*others.get_xdata(), *(x for key in here.values() for x in interval(key))]
        low, high = 0.85 * min(drawn), 1.15 * max(drawn)
        rows.set_xlim(low, high)
        at = TICKS if high > 10 * low else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        at = [x for x in at if low <= x <= high]
        grid.set_data(np.repeat(at, 3), np.tile([-0.6, len(methods) - 0.4, np.nan], len(at)))
        write(ticks, map(number, at))
        for tick, x in zip(ticks, at, strict=False):
            tick.set_x(x)

        of_digit = [np.bincount(labels[which], minlength=len(digits)) for which in (lost, won)]
        most = round_up(max(1, np.max(of_digit)))
        for patch, heights in zip(bars, (-of_digit[0] / most, of_digit[1] / most), strict=True):
            patch.set_data(np.insert(heights, range(1, len(digits)), 0))
        write(ends, 2 * [number(most)])
        write(legends, [f"▼ only {first} right", f"▲ only {second} right"])

        some = lost[: SHOWN - min(len(won), SHOWN // 2)]
        some = np.concatenate([some, won[: SHOWN - len(some)]])
        pixels.rgba[:] = 255
        for place, index in enumerate(some):
            grey = np.uint8(255 * (1 - np.clip(images[index] / black, 0, 1)))
            tile = framed(np.repeat(grey[..., None], 3, axis=-1), TILE, GAP)
            pixels.rgba[: len(tile), place * len(tile) : (place + 1) * len(tile)] = tile
        write(heads, ["label", first, second])
        write(answers[0], labels[some].astype(str))
        for texts, key in zip(answers[1:], both[seed], strict=True):
            said = predicted[key][some]
            write(texts, np.where(said == labels[some], "✓", said.astype(str)))

        of_first, of_second = (f"{100 * accuracies[key].value:.2f} %" for key in both[seed])
        words = [
            f"{network}, {bits[0]}-bit weights, {bits[1]}-bit activations, seed {seed}, {len(labels):,} images: "
            f"{first} {of_first} right, {second} {of_second}.",
            f"{points(test.gain)} points: {test.only_second} images only {second} gets right, {test.only_first} only "
            f"{first}; McNemar's test: p {p_value(p)}, {'a difference' if p < 0.05 else 'no difference shown'}.",
        ]
        for what, heights in zip(("lost", "won"), of_digit, strict=True):
            if heights.any():
                words.append(f"Most are {what} among the {heights.argmax()}s: {heights.max()}.")
        if len(paired) > 1:
            gains = ", ".join(points(each.gain) for each in paired.values())
            words.append(f"Gains with seeds {', '.join(map(str, paired))}: {gains} points.")
        return stage.png(), " ".join(words)

    same_names, green = {m: m for m in methods}, "The method that is compared, in green; a gain is more right answers"
    repetition = "Which repetition of the training is compared, image by image"
    controls = {
        "network": choice("network", "The network whose answers are compared", networks[0], {n: n for n in networks}),
        "bits": stops("bits w / a", "Bits of the weights / bits of the activations", pairs[0], named),
        "first": choice("first", "The method that is compared with, in black", quantizing[0], same_names),
        "second": choice("second", f"{green} than the first", quantizing[-1], same_names),
        "seed": choice("seed", repetition, seeds[0], {seed: str(seed) for seed in seeds}),
    }
    alone = [name for name in ("network", "bits", "seed") if len(controls[name].options) == 1]
    return Explorer({k: c for k, c in controls.items() if k not in alone}, update, stage.size, start, lines=3)
