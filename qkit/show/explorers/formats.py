"""A tensor in every number format: a block's values on its histogram, one weight's arithmetic, and error over bits."""

from functools import cache, lru_cache

import numpy as np

from qkit.numeric import sqnr_db
from qkit.numeric.formats import FORMATS, integers
from qkit.show.canvas import Stage, as_drawable, round_up, write
from qkit.show.explorer import Explorer, choice, slider, stops
from qkit.show.numerals import decibels, number
from qkit.show.picture import CLIPPED_TEXT, ERROR, FLOAT, GOOD, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

INTEGERS, GROUPS = {f"int{bits}": bits for bits in range(2, 9)}, (16, 32, 64, 128, 256)
MOST_DB, MOST_DRAWN = 60, 256  # where the axis of the SQNR ends; of more weights every second, third, … is drawn
FAMILIES = {
    "int": ("s-", GUIDE, "integers"),
    "q": ("^", CLIPPED_TEXT, "GGML's"),
    "nf": ("D", GOOD, "NF4"),
    "mx": ("o", FLOAT, "MXFP"),
    "nv": ("*", ERROR, "NVFP4"),
}
"""How the names of formats begin, their marker and colour, and what they are called together."""


@in_style
def formats(weights: np.ndarray, **start) -> Explorer:
    """Show what a number format makes of one of the ``weights``, of the block that it is in, and of all of them.

    Above, the arithmetic of one weight w: divided by the scale S of its block, it goes to the nearest level, whose code
    is kept; level times S is ŵ, what comes back. Some formats take off the block's minimum before. Left, the histogram
    of the weights, as far as the values of the block reach, and these values; below, what becomes of the block's
    weights, of 256 at most. Right, the SQNR of every format over the bits of a weight, its part of the scale included.
    Taught in notebook 11, section 3.

    ``weights`` are finite float32 numbers, whose blocks run along the last axis: of a Keras kernel (inputs, outputs)
    pass ``kernel.T``. A ValueError if there are none, or the length of that axis is no multiple of 16; a format whose
    blocks do not fit is not offered. ``start`` are values of the controls: ``format`` ("int2" to "int8" or a name in
    :data:`~qkit.numeric.formats.FORMATS`); ``group``, how many integers share a scale (16 to 256, or a whole row);
    ``row`` and ``column`` of the weight, from 0.
    """
    x = as_drawable(weights, "weights")
    if x.ndim == 0 or x.shape[-1] % GROUPS[0]:
        wanted = f"weights must have a last axis whose length is a multiple of {GROUPS[0]}, got shape {x.shape}"
        raise ValueError(f"{wanted}; blocks run along the inputs of a layer: of a Keras kernel pass kernel.T")
    length, rows, ordered = x.shape[-1], x.reshape(-1, x.shape[-1]), np.sort(x, axis=None)
    groups = {size: str(size) for size in sorted({*GROUPS, length}) if length % size == 0}
    names = [*INTEGERS, *(name for name, form in FORMATS.items() if length % form.block == 0)]

    # A learner goes to and fro between the formats; each one kept takes a little more memory than the weights.
    @lru_cache(maxsize=32)
    def laid(name, group):
        blocks = (integers(INTEGERS[name], group) if name in INTEGERS else FORMATS[name]).quantize(rows)
        return blocks, blocks.dequantize()

    @cache
    def judged(name, group):
        blocks, x_hat = laid(name, group)
        return blocks.format.bits_per_weight, sqnr_db(rows, x_hat)

    stage = Stage(9, 5.4)
    stations = "weight w", "scale S", "", "nearest level", "its code", "", "error ŵ − w"
    steps = stage.numbers(0.06, 0.93, stations, [FLOAT, GUIDE, GUIDE, *3 * [QUANTIZED_TEXT], ERROR])
    columns = np.linspace(0.06, 0.93, len(stations))
    formulas = [stage.label(stage.figure, x, 0.985, va="top", color=GUIDE) for x in columns[[2, 5]]]

    # The axes always reach as far as the block's values: what is drawn is a share of that, only the ticks' words move.
    top = stage.axes(0.06, 0.41, 0.56, 0.4, xlim=(-1, 1), ylim=(0, 1.12), xticks=[], yticks=[], ylabel="weights")
    edges, ticks = np.linspace(-1, 1, 121), np.linspace(-1, 1, 5)
    histogram = stage.moving(top.stairs(0 * edges[1:], edges, fill=True, color=FLOAT, alpha=0.45, label="all weights"))
    grid = stage.line(top, color=QUANTIZED, label="values of the block")
    top.legend(loc="lower left", bbox_to_anchor=(0.15, 1), ncols=2, borderaxespad=0)
    heights = {"ylim": (-0.5, 1.4), "yticks": [0, 1], "yticklabels": ["ŵ", "w"]}
    below = stage.axes(0.06, 0.14, 0.56, 0.25, xlim=(-1, 1), xticks=ticks, xticklabels=[], **heights)
    below.set_xlabel("weights of the block, and what becomes of them", labelpad=20)
    written = [stage.label(below, tick, -0.63, va="top") for tick in ticks]
    moves, path = stage.line(below, color=GUIDE, linewidth=0.8), stage.line(below, ":", color="black", linewidth=2)
    marks = []
    for size, edge in ((5, "none"), (11, "black")):
        for style, colour in (("o", FLOAT), ("s", QUANTIZED)):
            marks.append(stage.line(below, style, color=colour, markersize=size, markeredgecolor=edge))

    right = stage.axes(0.69, 0.14, 0.295, 0.56, xlim=(1.5, 10.5), ylim=(-6, 1.05 * MOST_DB), xlabel="bits per weight")
    right.set_ylabel("SQNR in dB", labelpad=1)
    tiles = stage.numbers(0.75, 0.925, ["SQNR", "bits per weight"], [QUANTIZED_TEXT] * 2, top=0.84)
    curves = []
    for begin, (style, colour, family) in FAMILIES.items():
        members = [place for place, name in enumerate(names) if name.startswith(begin)]
        if members:
            curves.append((stage.line(right, style, color=colour, label=family), members))
    right.legend(loc="upper left", borderaxespad=0, fontsize=10, handlelength=1.2)
    ring = stage.line(right, "o", markersize=14, markerfacecolor="none", color="black", markeredgewidth=2)
    chosen = stage.label(right, 0, 0, ha="left", va="top", weight="bold")

    def update(format, group, row, column):
        blocks, x_hat = laid(format, group)
        form, (bits, sqnr) = blocks.format, judged(format, group)
        block, place = divmod(row * length + column, form.block)
        w, w_hat = (each.reshape(-1, form.block)[block].astype(float) for each in (rows, x_hat))
        scale, code = float(blocks.scales[block, 0] * blocks.tensor_scale), int(blocks.codes[block, place])
        lowest = 0.0 if blocks.minima is None else float(blocks.minima[block, 0])
        values = form.levels.astype(float) * scale + lowest
        one, one_hat = w[place], w_hat[place]

        end = round_up(1.02 * np.max(np.abs([*values, *w])))
        counts = np.diff(np.searchsorted(ordered, edges * end))
        histogram.set_data(counts / max(1, counts.max()))
        grid.set(data=(np.repeat(values / end, 3), np.tile([0, 1.12, np.nan], values.size)))
        grid.set_linewidth(1.8 if values.size <= 16 else 0.6)
        write(written, [number(end * tick) for tick in ticks])
        step = -(-w.size // MOST_DRAWN)
        drawn = np.stack([w, w_hat, w_hat], 1)[::step] / end
        moves.set_data(drawn.ravel(), np.tile([1, 0, np.nan], len(drawn)))
        path.set_data([one / end, one_hat / end], [1, 0])
        for mark, places, height in zip(marks, (*drawn.T[:2], one / end, one_hat / end), (1, 0, 1, 0), strict=True):
            mark.set_data(np.atleast_1d(places), np.full(np.size(places), height))

        found = np.array([judged(name, group) for name in names])
        points = np.clip(found, 0, MOST_DB)
        for curve, members in curves:
            curve.set_data(points[members].T)
        x, y = points[names.index(format)]
        ring.set_data([x], [y])
        chosen.set(text=format, x=x + 0.35, y=y - 1.5)
        write(tiles, [decibels(sqnr), number(bits)])

        best = names[np.argmax(np.where(found[:, 0] <= bits, found[:, 1], -np.inf))]
        highest = judged(best, group)[1]
        rival = "no other has more" if decibels(highest) == decibels(sqnr) else f"{best} has {decibels(highest)}"
        least = "" if blocks.minima is None else f" and its minimum {number(lowest)}"
        divided, back = ("(w − min) ÷ S", "× S + min = ŵ") if least else ("w ÷ S", "× S = ŵ")
        write(formulas, [divided, back])
        level, ratio = float(form.element.values[code]), (one - lowest) / scale if scale else np.nan
        found = [*map(number, (one, scale, ratio, level)), f"{code:0{form.element.bits}b}"]
        found += [*map(number, (one_hat, one_hat - one))]
        write(steps, found)
        return stage.png(), (
            f"{format}: {number(bits)} bits per weight in blocks of {form.block}, SQNR {decibels(sqnr)}; "
            f"with as few bits {rival}. The weight at row {row}, column {column} is {found[0]}, the scale of its block "
            f"{found[1]}{least}: {divided} = {found[2]}, nearest level {found[3]}, code {found[4]}. Back comes "
            f"{found[5]}, error {found[6]}. Values of the block in use: {np.unique(w_hat).size} of {values.size}."
        )

    of = "Of the weight that is written out:"
    controls = {
        "format": choice("format", "How the weights are written", "int4", {name: name for name in names}),
        "group": stops("group", "How many integers share a scale", 32 if 32 in groups else 16, groups),
        "row": slider("row", f"{of} which output of the layer it belongs to", 0, 0, len(rows) - 1),
        "column": slider("column", f"{of} which input of the layer it is multiplied by", 0, 0, length - 1),
    }
    return Explorer(controls, update, stage.size, start, lines=4)
