"""A number in a float format: its bits, the arithmetic that they stand for, and its place among all values."""

import numpy as np
from matplotlib.patches import Rectangle

from qkit.numeric.formats import FLOATS, FloatFormat
from qkit.show.canvas import Stage, write
from qkit.show.explorer import Explorer, choice, slider, switch
from qkit.show.numerals import exact, number, raised
from qkit.show.picture import FLOAT, GOOD, GUIDE, QUANTIZED, QUANTIZED_TEXT, in_style

MOST_BITS, START = 8, 0b01110101  # bits of the widest format, and what they are at the start: 208 in E4M3
EDGE, BEYOND = 1.03, 1.012  # where the line ends, and where a number beyond it is marked; its largest value is at 1
SIGN, EXPONENT, MANTISSA = GUIDE, GOOD, FLOAT  # the colours of the fields


@in_style
def float_format(**start) -> Explorer:
    """Switch the bits of a small float; see what number they stand for, and all numbers of the format on a line.

    Above, the sign s, the exponent e and the mantissa m of M bits, and the number that they stand for,
    (−1)^s · 2^(e − bias) · (1 + m / 2^M); where all bits of e are 0, (−1)^s · 2^(1 − bias) · m / 2^M. Below, all
    values of the format, whose gaps double whenever e, from 1 on, grows by one; and signed integers of as many bits,
    with the same gap everywhere and a scale that lets them reach as far. Taught in notebook 11, section 2.

    ``start`` are values of the controls: ``format`` ("e4m3", "e5m2", "e3m2", "e2m3" or "e2m1"); ``zoom`` (0 to 6), how
    often the part of the line that is shown is halved; and True or False for each of ``bit7`` to ``bit0``, of which a
    format with fewer bits takes the last.
    """
    stage = Stage(9, 4.9)
    names = "the number", "gap to the next", "gap of the integers", "smallest above 0", "largest"
    numbers = stage.numbers(0.1, 0.91, names, [QUANTIZED_TEXT, QUANTIZED_TEXT, GUIDE, *2 * [QUANTIZED_TEXT]])

    field = stage.axes(0.11, 0.57, 0.78, 0.27, xlim=(-MOST_BITS, 0), ylim=(0, 1))
    field.set_axis_off()
    boxes = [stage.moving(field.add_patch(Rectangle((-bit - 0.97, 0.27), 0.94, 0.46))) for bit in range(MOST_BITS)]
    looks = {"color": "white", "fontsize": 17, "weight": "bold"}
    digits = [stage.label(field, -bit - 0.5, 0.5, **looks) for bit in range(MOST_BITS)]
    worths = [stage.label(field, -bit - 0.5, 0.13, color=GUIDE) for bit in range(MOST_BITS)]
    titles = [stage.label(field, 0, 0.89, color=colour) for colour in (SIGN, EXPONENT, MANTISSA)]
    formula = stage.label(stage.figure, 0.5, 0.53, fontsize=15)
    remark = stage.label(stage.figure, 0.5, 0.46, color=GUIDE)

    ticks = np.linspace(-1, 1, 9)
    line = stage.axes(0.1, 0.08, 0.87, 0.32, xlim=(-EDGE, EDGE), ylim=(0, 1), xticks=ticks, xticklabels=[], yticks=[])
    line.spines["left"].set_visible(False)
    under = [stage.label(line, tick, -0.07, va="top") for tick in ticks]
    rows = []
    for height, marker, colour, ink in ((0.7, "s", QUANTIZED, QUANTIZED_TEXT), (0.22, "o", GUIDE, GUIDE)):
        strokes, heads = stage.line(line, color=colour, linewidth=1), stage.line(line, marker, color=colour)
        label = stage.label(line, -EDGE - 0.015, height, color=ink, ha="right")
        rows.append((height, strokes, heads, label))
    drop = stage.line(line, ":", color="black", linewidth=1.5)
    here = stage.line(line, color=QUANTIZED, markersize=11, markeredgecolor="black", clip_on=False)

    def update(format, zoom, **on):
        chosen, name = FLOATS[format], format.upper()
        bits, exponent, mantissa = chosen.bits, chosen.exponent, chosen.mantissa
        code = sum(on[f"bit{bit}"] << bit for bit in range(bits))
        x, (e, m, equation, kind) = float(chosen.values[code]), reckon(chosen, code)
        formula.set_text(equation)
        remark.set_text(kind)
        write(digits, reversed(f"{code:0{bits}b}"))
        parts = [f"1/{2 ** (mantissa - bit)}" for bit in range(mantissa)]
        write(worths, [*parts, *(f"{2**bit}" for bit in range(exponent)), "±"])
        write(titles, ["sign", f"exponent {e}", f"mantissa {m}"])
        for title, middle in zip(titles, (0.5 - bits, -mantissa - exponent / 2, -mantissa / 2), strict=True):
            title.set_x(middle)
        for bit, box in enumerate(boxes):
            controls[f"bit{bit}"].disabled = bit >= bits
            box.set(visible=bit < bits, color=MANTISSA if bit < mantissa else EXPONENT if bit < bits - 1 else SIGN)

        values = np.unique(chosen.values[np.isfinite(chosen.values)]).astype(float)
        largest, most = values[-1], 2 ** (bits - 1) - 1
        step, above = largest / most, values[values > abs(x)]
        gap = above[0] - abs(x) if above.size else largest - values[-2] if abs(x) == largest else np.nan
        write(numbers, map(number, (x, gap, step, values[values > 0][0], largest)))

        end, counts = largest / 2**zoom, []
        write(under, [exact(end * tick, 4) for tick in ticks])
        series = (name, values), (f"int{bits}", step * np.arange(-most, most + 1))
        for (height, strokes, heads, label), (word, all_values) in zip(rows, series, strict=True):
            shown = all_values[np.abs(all_values) <= end] / end
            strokes.set_data(np.repeat(shown, 3), np.tile([height - 0.18, height + 0.18, np.nan], shown.size))
            heads.set(data=(shown, np.full(shown.size, height)), markersize=max(0, 8 - shown.size // 8))
            label.set_text(word)
            counts.append(f"{shown.size} of {word}")
        at, height = np.clip(x / end, -BEYOND, BEYOND), rows[0][0]
        drop.set_data([at, at], [0, height if abs(at) < BEYOND else 0])
        here.set(data=([at], [height]), marker="s" if abs(at) < BEYOND else ">" if x > 0 else "<")

        gaps = f" The gap to the next value{'' if above.size else ' towards 0'} is {number(gap)}; "
        gaps += f"that of int{bits} is {number(step)} everywhere."
        return stage.png(), (
            f"{name}, bits {code:0{bits}b}, exponent {e}, mantissa {m}: {equation}, {kind}."
            f"{gaps if np.isfinite(x) else ''} Values from −{exact(end)} to {exact(end)}: {', '.join(counts)}."
        )

    formats = {name: name.upper() for name in FLOATS}
    controls = {"format": choice("format", "How many bits are exponent and how many are mantissa", "e4m3", formats)}
    for bit in reversed(range(MOST_BITS)):
        tooltip = f"Whether bit {bit} of the code is 1; bit 0 is the last"
        controls[f"bit{bit}"] = switch(f"bit {bit}", tooltip, bool(START >> bit & 1))
    controls["zoom"] = slider("zoom", "How often the part of the line that is shown is halved", 0, 0, 6)
    return Explorer(controls, update, stage.size, start, lines=3)


def reckon(chosen: FloatFormat, code: int) -> tuple[int, int, str, str]:
    """Return exponent and mantissa of a code, how the number is reckoned from them, and of what kind it is."""
    sign, e, m = code >> (chosen.bits - 1), (code >> chosen.mantissa) % 2**chosen.exponent, code % 2**chosen.mantissa
    x, share = float(chosen.values[code]), f"{m}/{2**chosen.mantissa}"
    if np.isnan(x):
        why = "but the sign are 1" if chosen.specials == 1 else "of the exponent are 1, and the mantissa is not 0"
        return e, m, "NaN", f"not a number: all bits {why}"
    if np.isinf(x):
        return e, m, number(x), "infinity: all exponent bits are 1, all mantissa bits 0"
    power, kind = f"{e}−{chosen.bias}", "a normal number: its leading 1 is not stored"
    if e == 0:
        power, kind = f"1−{chosen.bias}", "a subnormal number: all exponent bits are 0, so it has no leading 1"
    product = f"(−1){raised(str(sign))} · 2{raised(power)} · {f'(1 + {share})' if e else share}"
    return e, m, f"{product} = {exact(x, 16)}", kind if x else "zero, which has two codes"
