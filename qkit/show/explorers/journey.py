"""One number's journey through a layer of integers: window, weights, int32 sum, multiplier, rounding, clip.

q = clip(round((q_bias - Z_x · Σ q_w + Σ q_x · q_w) · M) + Z_y)
"""

from functools import lru_cache, partial

import numpy as np
from matplotlib.patches import Rectangle

from qkit.numeric import Dense
from qkit.show.canvas import Pixels, Stage, write
from qkit.show.explorer import Explorer, choice, slider
from qkit.show.numerals import exact, number, raised
from qkit.show.picture import CLIPPED, ERROR, FLOAT, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

NAMES = {"xnnpack": "XNNPACK", "builtin": "built-in", "reference": "reference", "single": "rounded once"}
"""What the runtimes are called in the picture and in the list to choose from."""
MOST_WRITTEN = 16  # numbers of a window that are written out; of more, only their grey is shown


@in_style
def journey(layer: Dense, q_inputs: np.ndarray, **start) -> Explorer:
    """Follow one output number of an int8 convolution or dense layer from its int8 inputs to the int8 result.

    ``layer`` is one of ``IntegerNetwork.layers``; ``q_inputs`` its int8 input for some images, which
    ``IntegerNetwork.run`` has under the name ``layer.source``; a ValueError if they are not those of this layer.
    ``start`` are values of the controls: ``image``, ``channel``, ``runtime``; and ``row`` and ``column`` of a
    convolution, by default in the middle. Taught in notebook 06, section 5.
    """
    q_inputs = np.asarray(q_inputs)
    if q_inputs.dtype != np.int8 or q_inputs.ndim != layer.q_weights.ndim or len(q_inputs) == 0:
        wanted = f"the int8 inputs of {layer.name} for at least one image, which are the outputs of {layer.source}"
        raise ValueError(f"q_inputs must be {wanted}; got {q_inputs.dtype} of shape {q_inputs.shape}")
    layer.sums(q_inputs[:1])  # refuses another shape
    output = lru_cache(maxsize=8)(lambda image, runtime: layer.run(q_inputs[image][None], runtime)[0])

    # All places are in inches from the bottom left.
    wide, high, left, bottom, side, gap = 9, 5.6, 0.12, 3.6, 1.5, 0.25
    stage = Stage(wide, high)
    inches = stage.figure.dpi_scale_trans
    still = partial(stage.figure.text, ha="center", va="center", transform=inches)
    moving = partial(stage.label, stage.figure, transform=inches)

    def frame(title, x, width, **looks):
        axes = stage.axes(x / wide, bottom / high, width / wide, side / high, xticks=[], yticks=[], **looks)
        axes.set_title(title, fontsize=11)
        axes.spines[:].set(visible=True, color="#bbbbbb")
        return axes

    panels = []
    for title, sign in (("output q, framed", ""), ("inputs q_x", ""), ("weights q_w", "×"), ("products", "=")):
        still(left - gap / 2, bottom + side / 2, sign, fontsize=15)
        axes = frame(title, left, side, xlim=(0, 1), ylim=(1, 0))
        pixels = stage.moving(Pixels(axes))
        if not panels:
            axes.set_xlabel("black −128, white 127", fontsize=9)
            here = stage.moving(axes.add_patch(Rectangle((0, 0), 0, 0, fill=False, edgecolor=QUANTIZED, linewidth=2.5)))
        cells = [stage.label(axes, 0, 0) for _ in range(MOST_WRITTEN)]
        panels.append((pixels, cells))
        left += side + gap
    growth = frame("the sum grows", left, wide - left - 0.12, xlim=(-0.04, 1.04))
    growth.set_xlabel("● folded bias  ■ acc  ╌ 0", fontsize=9)
    stage.line(growth, "--", [0, 1], [0, 0], color=GUIDE, linewidth=1)
    path = stage.line(growth, "-", color=QUANTIZED, linewidth=1.5, drawstyle="steps-post")
    first = stage.line(growth, "o", color="black", markersize=6, markevery=[0])
    last = stage.line(growth, "s", color=QUANTIZED, markersize=8, markeredgecolor="black", markevery=[-1])

    names = "Σ q_x · q_w", "+ folded bias", "= acc, int32", "acc · M", "rounded", "+ Z", "q, int8"
    colours = [*2 * [GUIDE], *2 * ["black"], *3 * [QUANTIZED_TEXT]]
    steps = stage.numbers(0.75 / wide, 1 - 0.75 / wide, names, colours, top=3.275 / high)
    clipped = moving(wide - 0.75, 2.69, color=CLIPPED)
    folded = moving(0.3, 2.42, ha="left", color=GUIDE, fontsize=10)
    real = moving(0.3, 2.14, ha="left", color=FLOAT, fontsize=10)

    columns = {"M as they hold it": 3.6, "acc · M": 5.3, "rounded first": 6.65, "rounded": 7.6, "q": 8.6}
    still(0.35, 1.62, "four runtimes", ha="left", color=GUIDE)
    for name, x in columns.items():
        still(x, 1.62, name, ha="right", color=GUIDE)
    rows = []
    for y, name in zip(1.62 - 0.3 * np.arange(1, 5), NAMES.values(), strict=True):
        still(0.35, y, name, ha="left")
        values = [moving(x, y, ha="right") for x in columns.values()]
        rows.append([moving(0.23, y, color=QUANTIZED_TEXT), *values, moving(8.75, y, color=ERROR)])

    def update(image, channel, runtime, **place):
        position = (*place.values(), channel)
        # Not of its requantizer: a depthwise layer does not requantize all channels by the same rule.
        traces = {name: layer.trace(q_inputs[image], position, name) for name in NAMES}
        answers = {name: each.requantized for name, each in traces.items()}
        step, now = traces[runtime], answers[runtime]
        products = step.q_patch.astype(np.int64) * step.q_weights

        outputs = output(image, runtime)[..., channel] if place else output(image, runtime)
        tables = [as_table(table) for table in (outputs, step.q_patch, step.q_weights, products)]
        for (pixels, cells), table in zip(panels, tables, strict=True):
            most = max(128, np.nanmax(np.abs(table)))
            pixels.rgba = as_grey(table, most, pixels.height, pixels.width)
            written = np.argwhere(~np.isnan(table)) if table.size <= MOST_WRITTEN else []
            write(cells, [exact(table[row, column]) for row, column in written])
            for cell, (row, column) in zip(cells, written, strict=False):
                cell.set_position(((column + 0.5) / table.shape[1], (row + 0.5) / table.shape[0]))
                colour = "white" if table[row, column] < 0.1 * most else "black"
                cell.set(color=colour, fontsize=11 if most < 1000 else 8)
        height, width = tables[0].shape
        row, column = place.values() if place else divmod(channel, width)
        here.set(x=column / width, y=row / height, width=1 / width, height=1 / height)

        sums = step.folded_bias + np.append(0, np.cumsum(products))
        lowest, highest = min(0, sums.min()), max(1, sums.max())
        room = 0.06 * (highest - lowest)
        growth.set_ylim(lowest - room, highest + room)
        for line in (path, first, last):
            line.set_data(np.linspace(0, 1, len(sums)), sums)

        numbers = step.products, step.folded_bias, step.acc, now.product, now.rounded, now.shifted, now.q
        write(steps, [exact(value, 5) for value in numbers])
        is_clipped = now.q != now.shifted
        steps[-1].set_color(CLIPPED if is_clipped else QUANTIZED_TEXT)
        clipped.set_text("clipped" if is_clipped else "")
        weights = exact(np.sum(step.q_weights, dtype=np.int64))
        bias = f"{exact(step.q_bias)} − ({exact(step.x_zero_point)} · {weights})  =  {exact(step.folded_bias)}"
        folded.set_text(f"folded bias:  b − Z_x · Σ q_w  =  {bias}")
        real.set_text(f"acc stands for {number(step.real)},  q for {number(step.real_hat)}")

        for row, (name, answer) in zip(rows, answers.items(), strict=True):
            held = f"{answer.multiplier:.8g}, float{32 if answer.runtime == 'xnnpack' else 64}"
            if answer.fixed:
                held = f"{answer.fixed.m0} · 2{raised(number(answer.fixed.shift - 31))}"
            halfway = "" if answer.halfway is None else exact(answer.halfway)
            chosen, differs = name == runtime, "" if answer.q == now.q else "≠"
            values = held, exact(answer.product), halfway, exact(answer.rounded), exact(answer.q)
            write(row, ["▶" if chosen else "", *values, differs])
            for text in row:
                text.set_weight("bold" if chosen else "normal")

        others = ", ".join(f"{NAMES[name]} {number(answer.q)}" for name, answer in answers.items() if answer.q != now.q)
        at = ", ".join(map(str, position))
        twice = "" if now.halfway is None else f"{exact(now.halfway)}, then to "
        unclipped = f"{exact(now.shifted)}, clipped to " if is_clipped else ""
        differ = f"Others differ: {others}." if others else f"All four runtimes give {number(now.q)}."
        return stage.png(), (
            f"{layer.name}, image {image}, position {at}: {step.q_patch.size} products and the folded bias "
            f"{exact(step.folded_bias)} add up to {exact(step.acc)}, which stands for {number(step.real)}. Times M "
            f"that is {exact(now.product)}; the {NAMES[runtime]} runtime rounds it to {twice}{exact(now.rounded)}. "
            f"Plus {number(layer.y.zero_point)}: {unclipped}q = {number(now.q)}, which stands for "
            f"{number(step.real_hat)}. {differ}"
        )

    controls = {"image": slider("image", "Which image goes through the layer", 0, 0, len(q_inputs) - 1)}
    for name, count in zip(("row", "column"), layer.shape[:-1], strict=False):
        controls[name] = slider(name, f"The {name} of the output number that is followed", count // 2, 0, count - 1)
    tooltip = "The output channel of the number that is followed: each has weights of its own"
    controls["channel"] = slider("channel", tooltip, 0, 0, layer.shape[-1] - 1)
    controls["runtime"] = choice("runtime", "Whose rounding the steps follow; the table has all four", "xnnpack", NAMES)
    return Explorer(controls, update, stage.size, start)


def as_table(q: np.ndarray) -> np.ndarray:
    """Return integers in rows and columns, NaN where there is none.

    A window has a row for each place in it and a column for each input channel; a vector is folded to a square.
    """
    if q.ndim == 1:
        columns = int(np.ceil(np.sqrt(len(q))))
        q = np.pad(q.astype(float), (0, -len(q) % columns), constant_values=np.nan).reshape(-1, columns)
    elif q.ndim == 3:
        q = q[..., 0] if q.shape[-1] == 1 else q.reshape(-1, q.shape[-1])
    return q.astype(float)


def as_grey(table: np.ndarray, most: float, height: int, width: int) -> np.ndarray:
    """Return pixels, black for -most, white for most: uint8 RGBA; see-through for NaN."""
    rows, columns = table.shape
    level = np.nan_to_num(127.5 * (1 + table / most), nan=255).astype(np.uint8)
    rgba = np.repeat(level[..., None], 4, axis=-1)
    rgba[..., 3] = np.where(np.isnan(table), 0, 255)
    # Rows, then columns: several times as fast as both in one index.
    return rgba[np.arange(height) * rows // height][:, np.arange(width) * columns // width]
