"""Where to clip: the histogram of a layer, what every method would choose, and a threshold under the learner's hand."""

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial

import numpy as np

from qkit.numeric import Histogram, histogram_of
from qkit.numeric.curves import clipping_errors, reference_and_merged, squared_errors
from qkit.numeric.histogram import magnitudes_of
from qkit.numeric.thresholds import Threshold, aciq_gauss, aciq_laplace, admm, kl, minmax, mse, percentile
from qkit.show.canvas import Stage, as_drawable, write
from qkit.show.explorer import BITS, Explorer, choice, slider, stops
from qkit.show.numerals import number, share
from qkit.show.picture import CLIPPED, CLIPPED_TEXT, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style


def kl_plain(x: Histogram, bits: int = 8) -> Threshold:
    """Choose without the remedies of ``kl``: zeros are counted, and the first candidate has one bin a level."""
    return kl(x, bits, drop_zeros=False, start=min(levels_of(x, bits), len(x.counts)))


ROWS = (
    (minmax, "minmax", "-"),
    (percentile, "percentile", "--"),
    (mse, "mse", "-."),
    (kl, "kl", ":"),
    (kl_plain, "kl, no remedies", (0, (1, 3))),
    (admm, "admm", (0, (6, 2, 1, 2, 1, 2))),
    (aciq_laplace, "aciq, Laplace", (0, (8, 4))),
    (aciq_gauss, "aciq, Gauss", (0, (3, 1, 1, 1))),
)
"""Every method: its function, what it is called on the screen, and how its line is dashed."""
METHODS = {method.__name__: method for method, _, _ in ROWS}
NAMES = {method.__name__: name for method, name, _ in ROWS}
PERCENTILES = 95.0, 96.0, 97.0, 98.0, 99.0, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99, 99.999, 100.0
CURVES = {
    "clipping": ("--", CLIPPED, 1.5, 0, 0.254, "-- clipping"),
    "rounding": (":", QUANTIZED_TEXT, 2, 0, 0.222, "·· rounding"),
    "theory": ("-.", GUIDE, 1.5, 0, 0.19, "-· theory"),
    "path": ("D", GUIDE, 0, 6, 0.19, "◆ steps"),
    "sum": ("-", ERROR, 2, 0, 0.286, "— sum"),
    "divergence": (".-", ERROR, 2, 4, 0.286, "gaps: ∞"),  # a candidate between two infinite ones is no line
}
"""Style, colour, width and size of marks of each curve, from back to front; how high its key stands, and the key."""
LEAST, MOST, THINNEST, CELLS = 0.3, 30, 1e-3, 128
"""Which part of a curve is shown, in multiples of its least; the lowest density, where the mean is 1; how many bars."""


@in_style
def threshold(histograms: Mapping | Histogram | np.ndarray, **start) -> Explorer:
    """Show what every method that chooses a clipping threshold would choose, beside one chosen by hand.

    ``histograms`` are of magnitudes, of the activations or weights of each layer: ``{"dense1": histogram, ...}``, or
    only one of them. To compare what images the activations were counted on, there is one such mapping for each set:
    ``{"10 images": {"dense1": histogram, ...}, "1,000 images": ...}``. An array is counted in 2,048 bins first. A
    ValueError if one is empty, a value is not finite, or not all sets have the same layers.

    ``start`` are values of the controls: ``bits``; ``method``, the one that is explained; ``percentile``; ``end``, the
    threshold by hand in per cent of the largest magnitude; and, where there are several, ``images`` and ``layer``.
    Taught in notebook 04, section 7.
    """
    sets = comparable(histograms)
    first, layers = next((images, list(each)) for images, each in sets.items())
    bars = {name: bar_heights({images: sets[images][name] for images in sets}) for name in layers}
    find = lru_cache(maxsize=256)(lambda method, *args, **more: METHODS[method](*args, **more))

    stage = Stage(9, 6.2)
    text = partial(stage.label, ha="left", fontsize=10)
    left, width, row, faint = 0.175, 0.475, 0.118, {"color": "#DDDDDD", "linewidth": 0.8}
    # The histogram is 1 high; above it, each method has a row of its own.
    *places, last = 1 + row * np.arange(len(METHODS) + 1, 0, -1)
    above = stage.axes(left, 0.415, width, 0.485, xlim=(0, 101), ylim=(0, places[0] + row / 2), yticks=[])
    above.set_xticks(range(0, 101, 20), [])
    above.spines["left"].set_visible(False)
    above.text(-2, 0.5, "how many |x|,\nlog scale", ha="right", va="center", color=FLOAT)
    above.text(-2, last, "yours", ha="right", va="center", fontsize=10, weight="bold")
    above.hlines([*places, last], 0, 100, **faint)
    looks = {"fill": True, "color": FLOAT, "alpha": 0.5}
    counts = stage.moving(above.stairs(np.zeros(CELLS), np.linspace(0, 100, CELLS + 1), **looks))
    hatch = stage.clipped(above)
    hatch.set_height(1 / above.get_ylim()[1])
    stem = partial(stage.line, above, markevery=[1], clip_on=False)  # a line with a mark on its upper end
    rows = [(stem("s", [0, 0], [0, y]), text(above, -2, y, ha="right"), text(above, 103, y)) for y in places]
    hand_stem = stem("o-k", [0, 0], [0, last], linewidth=1.6, markersize=8)
    hand_percent = text(above, 103, last, weight="bold")

    below = stage.axes(left, 0.095, width, 0.25, xlim=(0, 101), yscale="log", ylim=(LEAST, MOST))
    below.set(xticks=range(0, 101, 20), xlabel="threshold in % of the largest magnitude", axisbelow=True)
    below.set_yticks([1, 3, 10, 30], ["1×", "3×", "10×", "30×"], fontsize=10)
    below.minorticks_off()
    below.grid(axis="y", **faint)
    unit, curves = text(stage.figure, left, 0.375, fontsize=11), []
    for name, (style, color, thickness, marks, y, key) in CURVES.items():
        line = stage.line(below, style, color=color, linewidth=thickness, markersize=marks, markeredgewidth=0)
        color = CLIPPED_TEXT if color == CLIPPED else color
        curves.append((name, line, text(stage.figure, 0.665, y, text=key, color=color)))
    lines = [stage.moving(below.axvline(0, color=c, linewidth=w)) for c, w in ((QUANTIZED_TEXT, 2.5), ("black", 1.6))]
    dot = {"markersize": 9, "markeredgecolor": "black", "clip_on": False}
    marks = [stage.line(below, style, color=c, **dot) for style, c in (("s", QUANTIZED), ("o", "black"))]
    stage.figure.text(0.665, 0.31, "yours / least:", fontsize=10, weight="bold")
    times = text(stage.figure, 0.785, 0.31, va="baseline", weight="bold")

    beside = stage.axes(0.765, 0.415, 0.215, 0.32, xlim=(0, 1.01), yscale="log", ylim=(THINNEST, 400))
    beside.set(xticks=[0, 0.5, 1], yticks=[], xlabel="share of your threshold", ylabel="density, log scale")
    beside.minorticks_off()
    stage.figure.text(0.98, 0.875, "|x|, up to yours", ha="right", va="center")
    both = looks, {"color": QUANTIZED, "linewidth": 1.8}
    patches = [stage.moving(beside.stairs([0], [0, 1], baseline=THINNEST, **each)) for each in both]
    at = (0.83, FLOAT), (0.785, QUANTIZED_TEXT), (0.14, "black"), (0.095, "black"), (0.05, "black")
    facts = [text(stage.figure, 0.98, y, ha="right", fontsize=11, color=colour) for y, colour in at]
    headings = "your threshold", "clipped", "clipping error", "rounding error", "their sum, MSE"
    tiles = stage.numbers(0.1, 0.9, headings, ["black", CLIPPED_TEXT, CLIPPED_TEXT, QUANTIZED_TEXT, ERROR], top=0.99)

    def update(bits, method, percentile, end, images=first, layer=layers[0]):
        histogram, (reach, heights), is_kl = sets[images][layer], bars[layer], method.startswith("kl")

        def choose(method):
            return find(method, histogram, bits, **({"share": percentile} if method == "percentile" else {}))

        chosen, found = choose(method), dict.fromkeys(METHODS)
        for each in METHODS:
            with suppress(ValueError):  # such as 99.9 % of values that are 0
                found[each] = choose(each)
        called = NAMES | {"percentile": f"percentile {percentile:g}"}
        hand, zeros = end / 100 * reach, histogram.zeros / histogram.count
        clipped = float(histogram.beyond(hand)[0]) if hand < histogram.largest else 0.0
        clipping, rounding = (error.item() for error in costs(histogram, bits, np.array([hand])))
        shown = curves_of(method, chosen, histogram, bits, [*reach * (np.arange(1, 201) / 200), hand])
        criterion = found[method if is_kl else "mse"].curve
        curve = shown["divergence" if is_kl else "sum"]
        usable = np.append(criterion, curve[1])  # the slider may go farther than this set's largest value
        usable = usable[np.isfinite(usable) & (usable > 0)]
        least = usable.min() if usable.size else np.nan
        at_chosen, at_hand = (nearest(*curve, x) for x in (chosen.value, hand))

        counts.set_data(heights[images])
        hatch.set(x=end, width=100 - end)
        hand_stem.set_xdata([end, end])
        hand_percent.set_text(f"{number(end)} %")
        for (each, one), (line, name, percent), (*_, dashes) in zip(found.items(), rows, ROWS, strict=True):
            colour, weight, dashes, thickness, size = GUIDE, "normal", dashes, 1.1, 5
            if each == method:
                colour, weight, dashes, thickness, size = QUANTIZED_TEXT, "bold", "-", 3, 9
            x = 100 * (one.value / reach) if one else np.nan
            line.set(xdata=[x, x], color=colour, linestyle=dashes, linewidth=thickness, markersize=size)
            name.set(text=called[each], color=colour, weight=weight)
            percent.set(text=share(x / 100) if one else "–", color=colour, weight=weight)

        for name, line, key in curves:
            x, y = shown.get(name, ((), ()))
            line.set(data=(100 * np.divide(x, reach), np.divide(y, least)), visible=name in shown)
            key.set_visible(name in shown and not (is_kl and np.isfinite(chosen.curve).all()))
        at = (100 * (chosen.value / reach), at_chosen / least), (end, at_hand / least)
        for line, mark, (x, y) in zip(lines, marks, at, strict=True):
            line.set_xdata([x, x])
            mark.set_data([x], [np.clip(y, LEAST, MOST)])
        marks[1].set_marker("^" if at_hand / least > MOST else "o")  # the curve is above the picture

        for patch, (density, borders) in zip(patches, outlines(histogram, bits, method, hand), strict=True):
            patch.set_data(np.maximum(density, THINNEST), borders)
        title, left_out = f"{layer}, {images}" if images else layer, f"{share(zeros)} exact zeros"
        left_out += " counted in P" if method == "kl_plain" else " left out"
        unit.set_text(f"{'divergence' if is_kl else 'mean squared error'} / the least, log scale")
        keys = ("filled: reference P", "outline: quantized Q") if is_kl else ("filled: before", "outline: after")
        write(facts, [*keys, title, f"100 % is |x| = {number(reach)}", left_out if zeros else ""])
        # Of an error of 0 nothing is a multiple.
        times.set_text(number(at_hand / least if np.all(criterion) else np.nan))
        by_hand = number(hand), share(clipped), *map(number, (clipping, rounding, clipping + rounding))
        write(tiles, by_hand)
        if histogram.largest == 0:
            return stage.png(), f"{title}: all values are 0, and every threshold holds them."
        sign, why = "signed" if histogram.low < 0 else "unsigned", chosen.why.replace("e-", "e−")
        sentences = [
            f"{title}, {bits} bits, {sign}: {called[method]} clips at {number(chosen.value)}, "
            f"{share(chosen.value / reach)} of the largest magnitude: {why}.",
            "Your threshold {}, {} % of the largest, clips {} of the values: clipping error {} + rounding error {} = "
            "MSE {}.".format(by_hand[0], number(end), *by_hand[1:]),
        ]
        if is_kl:
            low, high = (number(100 * (x / reach)) for x in chosen.candidates[[0, -1]])
            there = f"The divergence there is {number(at_hand)} nats."
            if np.isnan(at_hand):
                there = f"This method tries no threshold below {low} % or above {high} % of the largest."
            elif np.isinf(at_hand):
                there = "The divergence there is infinite: values are clipped into a bin that is empty."
            sentences.append(there)
        if zeros:
            sentences.append(f"{share(zeros)} of the values are exactly 0 and left out of the histogram.")
        if histogram.largest < reach:
            largest = number(histogram.largest)
            sentences.append(f"The largest magnitude in all sets is {number(reach)}, in this one {largest}.")
        places = {each: f"at {share(one.value / reach)}" if one else "nowhere" for each, one in found.items()}
        sentences.append(f"All thresholds: {'; '.join(f'{called[each]} {place}' for each, place in places.items())}.")
        return stage.png(), " ".join(sentences)

    counted_on = "The images from which the values were counted; the axis stays the same"
    whose, controls = "Whose values are clipped and quantized", {}
    for name, tooltip, options in (("images", counted_on, list(sets)), ("layer", whose, layers)):
        if len(options) > 1:
            controls[name] = choice(name, tooltip, options[0], {each: each for each in options})
    kept = "The share of the values that the method called percentile keeps; no other moves"
    by_hand = "The threshold under your hand, in per cent of the largest magnitude"
    controls |= {
        "bits": slider(*BITS, 4, 2, 8),
        "method": choice("method", "Which way to choose a threshold is explained, with its curve", "mse", NAMES),
        "percentile": stops("percentile", kept, 99.9, {each: f"{each:g}" for each in PERCENTILES}),
        "end": slider("yours, %", by_hand, 60, 1, 100, step=0.5),
    }
    return Explorer(controls, update, stage.size, start, lines=6)


def comparable(histograms: Mapping | Histogram | np.ndarray) -> dict[str, dict[str, Histogram]]:
    """Return the histogram of every layer, for every set of images; without sets, for one that has no name."""
    sets = histograms if isinstance(histograms, Mapping) else {"x": histograms}
    if not any(isinstance(each, Mapping) for each in sets.values()):
        sets = {"": sets}
    names = next(list(each) for each in sets.values() if isinstance(each, Mapping))
    for images, layers in sets.items():
        if not (names and isinstance(layers, Mapping) and set(layers) == set(names)):
            wanted = f"at least one layer, and all sets the same; {images!r} does not hold {', '.join(names) or 'any'}"
            raise ValueError(f"histograms must hold {wanted}")
    return {images: {name: counted(layers[name], name) for name in names} for images, layers in sets.items()}


def counted(x: np.ndarray | Histogram, name: str) -> Histogram:
    """Return the histogram of magnitudes that ``x`` is, or is counted in."""
    return magnitudes_of(x if isinstance(x, Histogram) else histogram_of(as_drawable(x, f"the values of {name!r}")))


def bar_heights(sets: dict[str, Histogram]) -> tuple[float, dict[str, np.ndarray]]:
    """Return where the axis that all sets share ends, and the bars of each: logarithms in shares of the highest."""
    reach = max(each.largest for each in sets.values()) or 1.0
    edges = np.linspace(0, reach, CELLS + 1)
    # Twice the count, so that a single value has a bar.
    twice = {name: np.maximum(-2 * each.count * np.diff(each.beyond(edges)[0]), 1) for name, each in sets.items()}
    highest = np.log(max(2, *(each.max() for each in twice.values())))
    return reach, {name: np.log(each) / highest for name, each in twice.items()}


def levels_of(histogram: Histogram, bits: int) -> int:
    """Return how many levels magnitudes have, 0 among them."""
    return 2 ** (bits - (histogram.low < 0))


def costs(histogram: Histogram, bits: int, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what clipping and what rounding add to the mean squared error at each threshold."""
    clipping = clipping_errors(histogram, at)
    return clipping, np.maximum(squared_errors(histogram, at, levels_of(histogram, bits) - 1) - clipping, 0)


def curves_of(method: str, chosen: Threshold, histogram: Histogram, bits: int, at: list[float]) -> dict[str, tuple]:
    """Return what explains a method's choice: thresholds, and what they have, for each of some of ``CURVES``."""
    if method.startswith("kl"):
        return {"divergence": (chosen.candidates, chosen.curve)}
    at = np.sort([*at, chosen.value])
    clipping, rounding = costs(histogram, bits, at)
    curves = {"clipping": (at, clipping), "rounding": (at, rounding), "sum": (at, clipping + rounding)}
    if method.startswith("aciq"):  # the theory is about the values that are not 0, the others about all
        curves["theory"] = chosen.candidates, chosen.curve * (1 - histogram.zeros / histogram.count)
    elif method == "admm":
        curves["path"] = chosen.candidates, chosen.curve
    return curves


def nearest(x: np.ndarray, curve: np.ndarray, place: float) -> float:
    """Return the curve at the candidate next to ``place``; NaN before the first one and after the last."""
    half = (x[-1] - x[0]) / len(x) / 2 if len(x) else np.nan
    inside = len(x) and x[0] - half <= place <= x[-1] + half
    return float(curve[np.argmin(np.abs(x - place))]) if inside else np.nan


def outlines(histogram: Histogram, bits: int, method: str, hand: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return two densities and their edges, in shares of the threshold by hand.

    P and Q of the divergence that ``method`` looks at; else the magnitudes and the levels that they land on.
    """
    levels, bins = levels_of(histogram, bits), len(histogram.counts)
    if method.startswith("kl"):
        kept = int(np.clip(np.rint(hand / histogram.stop * bins), 1, bins))
        borders = np.append(np.arange(0, kept, -(-kept // CELLS)), kept)
        edges = borders * (histogram.stop / bins / hand)
        counts = histogram.nonzero_counts if method == "kl" else histogram.counts
        pair = reference_and_merged(counts, levels, kept)
        return [(np.add.reduceat(mass, borders[:-1]) / np.diff(edges), edges) for mass in pair]
    cells, landing = np.linspace(0, 1, CELLS + 1), np.clip((np.arange(levels + 1) - 0.5) / (levels - 1), 0, 1)
    before, after = (histogram.beyond(edges * hand)[0] for edges in (cells, landing))
    after[-1] = 0  # what is clipped lands on the last level
    whole = max(before[0], 1e-300)
    return [(-np.diff(beyond) / whole / np.diff(x), x) for beyond, x in ((before, cells), (after, landing))]
