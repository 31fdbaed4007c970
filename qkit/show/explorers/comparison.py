"""Two ways to quantize on the same test images: how often each is right, and on which images they part."""

from typing import Any

import numpy as np

from qkit.numeric import Accuracy, Paired
from qkit.show.canvas import Pixels, Stage, framed, write
from qkit.show.explorer import Explorer, choice, stops
from qkit.show.explorers.network import wrong_answers
from qkit.show.numerals import p_value, percent, points
from qkit.show.picture import GOOD, GUIDE, in_style

UNQUANTIZED = 32, 32  # the bits that a float network is recorded with; it is compared at all bits
FIRST, SECOND = "black", GOOD  # the colours of the two methods, everywhere in the picture
SHOWN, TILE, GAP = 8, 0.82, 0.07  # how many images the strip has; in inches, how large each is, and the gap after it


@in_style
def comparison(results: Any, images: np.ndarray, **start) -> Explorer:
    """Show how often two methods are right at some bits, and the images that only one of them gets right.

    ``results`` have ``labels``, (n,), and ``predicted``, a mapping of cells to predictions, (n,). A cell has the
    attributes ``network``, ``method``, ``weight_bits``, ``activation_bits`` and ``seed``; those of a float network are
    recorded with 32 bits each. ``images``, (n, height, width), are what was predicted, from 0, white, to their largest
    value, black. A ValueError if there are no predictions or shapes do not agree.

    ``start`` are values of the controls: ``first`` and ``second``, names of methods, and, where there are several,
    ``network``, ``bits``, pairs such as (2, 8) of weight and activation bits, and ``seed``. By default the first method
    that quantizes is compared with the last one, at the fewest bits. Taught in notebook 08, section 4.
    """
    labels, images = np.asarray(results.labels), np.asarray(images)
    predicted = {
        (cell.network, cell.method, (cell.weight_bits, cell.activation_bits), cell.seed): np.asarray(said)
        for cell, said in results.predicted.items()
    }
    if not predicted:
        raise ValueError("results.predicted must hold the predictions of one network at least, got none")
    if images.ndim != 3 or len(images) != len(labels):
        raise ValueError(f"images must have shape ({len(labels)}, height, width), got {images.shape}")
    networks, methods, pairs, seeds = (list(dict.fromkeys(column)) for column in zip(*predicted, strict=True))
    quantizing = [m for m in methods if (m, UNQUANTIZED) not in {key[1:3] for key in predicted}] or methods
    pairs, seeds = sorted(set(pairs) - {UNQUANTIZED}) or [UNQUANTIZED], sorted(seeds)
    for (network, method, bits, seed), said in list(predicted.items()):
        if bits == UNQUANTIZED:
            predicted |= {(network, method, pair, seed): said for pair in pairs}
    accuracies = {key: Accuracy.of(said, labels) for key, said in predicted.items()}
    named, black = {pair: f"{pair[0]} / {pair[1]}" for pair in pairs}, images.max() or 1

    height, pitch = 5.2, TILE + GAP
    stage = Stage(9, height)
    tiles = "right, first", "right, second", "gain, points", "p, McNemar's test", "a difference is"
    numbers = stage.numbers(0.1, 0.9, tiles, (FIRST, SECOND, GUIDE, GUIDE, GUIDE))

    table = stage.axes(0.17, 0.49, 0.24, 0.23, xlim=(0, 2), ylim=(2, 0))
    table.set_axis_off()
    for lines in (table.hlines, table.vlines):
        lines(range(3), 0, 2, color="#BBBBBB", linewidth=0.8, clip_on=False)
    table.text(1, 2.36, "how many images each gets right", ha="center", va="center")
    for place, word in ((0.5, "right"), (1.5, "wrong")):
        table.text(place, -0.25, word, ha="center", va="center", color=SECOND)
        table.text(-0.1, place, word, ha="right", va="center", color=FIRST)
    heads = [stage.label(table, -0.1, -0.25, color=FIRST, ha="right"), stage.label(table, 1, -0.7, color=SECOND)]
    looks, inks = {"fontsize": 14, "weight": "bold"}, (GUIDE, FIRST, SECOND, GUIDE)
    counts = [stage.label(table, 0.5 + i % 2, 0.5 + i // 2, color=ink, **looks) for i, ink in enumerate(inks)]

    looks = ("o-", {"color": FIRST, "mfc": "white", "mew": 2}), ("s-", {"color": SECOND, "mfc": "white", "mew": 2})
    rows, show = wrong_answers(stage, (0.58, 0.49, 0.39, 0.27), looks, labels)
    rows.set_yticklabels([])
    beside = {"transform": rows.get_yaxis_transform(), "ha": "right"}
    heads += [stage.label(rows, -0.03, y, color=colour, **beside) for y, colour in enumerate((FIRST, SECOND))]

    # Inches, as are all numbers on the strip.
    strip = stage.axes(0.2, 0.8 / height, SHOWN * pitch / 9, pitch / height, xlim=(0, SHOWN * pitch), ylim=(0, pitch))
    strip.set_axis_off()
    strip.text(0, pitch + 0.12, "some of the images that only one of the two gets right", va="center", fontsize=10)
    pixels = stage.moving(Pixels(strip))
    answers = []
    for y, colour in ((-0.09, GUIDE), (-0.33, FIRST), (-0.57, SECOND)):
        answers.append([stage.label(strip, -0.15, y, color=colour, ha="right", fontsize=10)])
        answers[-1] += [stage.label(strip, TILE / 2 + pitch * i, y, color=colour) for i in range(SHOWN)]

    def update(first, second, network=networks[0], bits=pairs[0], seed=seeds[0]):
        keys = {each: [(network, method, bits, each) for method in (first, second)] for each in seeds}
        for key in keys[seed]:
            if key not in predicted:
                raise ValueError(f"{key[1]} has not been measured with {network} at {named[bits]} bits and seed {seed}")
        found = {each: [predicted[key] for key in both if key in predicted] for each, both in keys.items()}
        paired = {each: Paired.of(*said, labels) for each, said in found.items() if len(said) == 2}
        test, p, both = paired[seed], paired[seed].p_value, [accuracies[key] for key in keys[seed]]
        one, other = (said == labels for said in found[seed])
        lost, won = np.flatnonzero(one & ~other), np.flatnonzero(other & ~one)

        right = [percent(each.value) for each in both]
        write(numbers, [*right, points(test.gain), p_value(p), "shown" if p < 0.05 else "not shown"])
        write(heads, 2 * [first, second])
        write(counts, [f"{np.sum(each):,}" for each in (one & other, one & ~other, other & ~one, ~(one | other))])
        show(both)

        some = np.append(lost[: SHOWN - min(len(won), SHOWN // 2)], won)[:SHOWN]
        pixels.rgba[:] = 255
        for place, grey in enumerate(np.uint8(255 * (1 - np.clip(images[some] / black, 0, 1)))):
            tile = framed(np.repeat(grey[..., None], 3, axis=-1), TILE, GAP)
            pixels.rgba[:, place * len(tile) : (place + 1) * len(tile)] = tile
        write(answers[0], ["label", *labels[some].astype(str)])
        for texts, method, said in zip(answers[1:], (first, second), found[seed], strict=True):
            write(texts, [method, *np.where(said == labels, "✓", said.astype(str))[some]])

        how = f", {bits[0]}-bit weights, {bits[1]}-bit activations" if bits != UNQUANTIZED else ""
        if how and any((network, method, UNQUANTIZED, seed) in predicted for method in (first, second)):
            how += " unless in float"
        words = [
            f"{network}{how}, seed {seed}, {len(labels):,} images: {first} {right[0]} right, {second} {right[1]}.",
            f"{points(test.gain)} points: {test.only_second} images only {second} gets right, {test.only_first} only "
            f"{first}; McNemar's test: p {p_value(p)}, {'a difference' if p < 0.05 else 'no difference shown'}.",
        ]
        for what, which in (("lost", lost), ("won", won)):
            if which.size:
                of_digit = np.bincount(labels[which])
                if np.sum(of_digit == of_digit.max()) == 1:
                    words.append(f"Of those {what}, {of_digit.argmax()}s are the most: {of_digit.max()}.")
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
