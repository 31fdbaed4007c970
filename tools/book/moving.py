"""Run in a notebook's kernel: every explorer that the notebook shows becomes a figure that moves without a kernel.

Its main controls are tried in all combinations, and the figure holds words and a picture for each of these states: of
the picture what differs from the first one, which stays behind it. So a state takes 1 to 17 kB.
"""

import base64
import html
import io
import itertools
import json
import re

import ipywidgets as widgets
import numpy as np
from IPython import get_ipython
from PIL import Image
from scipy.ndimage import binary_dilation

STATES = 420
"""How many states an explorer may have; a control that would make them more keeps its value."""
BYTES = 4_500_000
"""How much its pictures may take; while it is more, the control that was chosen last keeps its value."""
FIRST = "bits", "weight_bits", "activation_bits", "per_channel", "symmetric", "method", "end"
"""Names of controls that move before others; the others follow in their order."""
LETTERS = 100
"""How many letters a line has about: room is kept for the longest words, so that nothing jumps."""
MOST, PLACES = 16, 7
"""A slider with at most so many numbers has them all in the book; one with more has so many places."""


def figure(explorer) -> str:
    """Return the explorer as HTML: controls, picture, words, and all states for book.js. It stays as it is."""
    start, first = explorer.values, pixels(explorer.png())
    chosen = main_controls(explorer.controls)
    states = {}
    for setting in itertools.product(*chosen.values()):
        try:
            explorer.set(**dict(zip(chosen, setting, strict=True)))
            states[setting] = explorer.words, as_webp(difference(pixels(explorer.png()), first))
        except ValueError as error:
            problem = f"This setting cannot be drawn: {error}. The picture still shows the setting before it."
            states[setting] = problem, ""
    explorer.set(**start)
    while sum(len(picture) for _, picture in states.values()) > BYTES:
        name, _ = chosen.popitem()
        states = {setting[:-1]: state for setting, state in states.items() if setting[-1] == start[name]}

    steps, step = {}, len(states)
    for name, values in chosen.items():
        step //= len(values)
        steps[name] = step
    moving = [(each, chosen[name], steps[name]) for name, each in explorer.controls.items() if name in chosen]
    others = [each for name, each in explorer.controls.items() if name not in chosen]
    fixed = html.escape("; ".join(f"{label(each)}: {shown(each, each.value)}" for each in others))
    note = f'<p class="fixed">These move in the notebook only: {fixed}.</p>' if others else ""
    words, (height, width, _), picture = html.escape(explorer.words), first.shape, as_webp(first)
    lines = -(-max(len(said) for said, _ in states.values()) // LETTERS)
    data = json.dumps(list(states.values()), ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<figure class="explorer"><div class="controls">{"".join(control_html(*each) for each in moving)}</div>{note}'
        f'<img alt="{words}" width="{width}" height="{height}" decoding="sync" src="{picture}" '
        f'style="background-image: url({picture})">'
        f'<figcaption aria-live="polite" style="min-height: {lines}lh">{words}</figcaption>'
        f'<script type="application/json">{data}</script></figure>'
    )


def main_controls(controls: dict) -> dict[str, list]:
    """Return the values of the controls that move in the book: each in turn that leaves the states few enough."""
    chosen, states = {}, 1
    for name in sorted(controls, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        values = values_of(controls[name])
        if len(values) > 1 and states * len(values) <= STATES:
            chosen[name] = values
            states *= len(values)
    return chosen


def values_of(control) -> list:
    """Return the values that a control has in the book: all that it offers; of many numbers some, evenly spread."""
    if isinstance(control, widgets.ToggleButton):
        return [False, True]
    if isinstance(control, widgets.Dropdown | widgets.SelectionSlider):
        return [value for _, value in control.options]
    if isinstance(control, widgets.FloatRangeSlider):
        return [control.value]
    numbers = control.min + control.step * np.arange(round((control.max - control.min) / control.step) + 1)
    numbers = np.where(np.abs(numbers) < 1e-9 * control.step, 0, numbers)  # a sum of steps may just miss it
    if numbers.size > MOST:
        numbers = numbers[np.linspace(0, numbers.size - 1, PLACES).round().astype(int)]
    # The one nearest to the value that the explorer starts with gives way to it.
    values = numbers.tolist()
    values[int(np.argmin(np.abs(numbers - control.value)))] = control.value
    return values


def control_html(control, values: list, step: int) -> str:
    """Return a slider, a list or a button of the page; ``step`` states lie between one of its values and the next."""
    at, names = values.index(control.value), [shown(control, value) for value in values]
    name, more = html.escape(label(control)), f'data-step="{step}" title="{html.escape(tooltip(control))}"'
    if isinstance(control, widgets.ToggleButton):
        return f'<button type="button" aria-pressed="{str(control.value).lower()}" {more}>{name}</button>'
    if isinstance(control, widgets.Dropdown):
        options = (f"<option{' selected' * (i == at)}>{html.escape(each)}</option>" for i, each in enumerate(names))
        return f'<label>{name} <select autocomplete="off" {more}>{"".join(options)}</select></label>'
    now, names = html.escape(names[at]), html.escape(json.dumps(names, ensure_ascii=False))
    return (
        f'<label>{name} <input type="range" min="0" max="{len(values) - 1}" value="{at}" aria-valuetext="{now}" '
        f'autocomplete="off" data-names="{names}" {more}><output>{now}</output></label>'
    )


def label(control) -> str:
    """Return what is written beside a control, without the mark of a button and without tags."""
    return html.unescape(re.sub(r"<[^>]*>|^[☑☐] ", "", control.description))


def tooltip(control) -> str:
    """Return what a control does; a list keeps it in its label."""
    found = re.search(r'title="([^"]*)"', control.description)
    return html.unescape(found[1]) if found else control.tooltip


def shown(control, value) -> str:
    """Return a value as the control shows it."""
    if isinstance(control, widgets.ToggleButton):
        return "on" if value else "off"
    if isinstance(control, widgets.Dropdown | widgets.SelectionSlider):
        return next(name for name, option in control.options if option == value)
    if isinstance(control, widgets.FloatRangeSlider):
        return " to ".join(format(end, control.readout_format) for end in value)
    return format(value, control.readout_format)


def pixels(png: bytes) -> np.ndarray:
    """Return red, green, blue and opacity of every pixel."""
    return np.array(Image.open(io.BytesIO(png)).convert("RGBA"))


def difference(image: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the image, transparent but for what differs from the first one, and a pixel around it.

    Without that pixel a browser that draws the two smaller or larger would mix a trace of the first into the edges.
    """
    image, first = image.view(np.uint32), first.view(np.uint32)  # one number for each pixel
    differs = binary_dilation((image != first)[:, :, 0])[:, :, np.newaxis]
    return (image * differs).view(np.uint8)


def as_webp(image: np.ndarray) -> str:
    """Return the address of a picture that is part of the page: every pixel as it was, in a third of PNG's bytes."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True, method=1)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


if kernel := get_ipython():
    kernel.display_formatter.formatters["text/html"].for_type_by_name("qkit.show.explorer", "Explorer", figure)
