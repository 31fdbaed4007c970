"""Controls with a picture and a sentence that follow them: what every explorer of the course is made of.

JupyterLab runs them on a thread of its own while cells go on, so nothing here touches pyplot, and each explorer has a
lock. The same output holds a PNG and the words, for GitHub, nbconvert and the first look before anything has run.
"""

import base64
import html
from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from typing import Any

import ipywidgets as widgets
import numpy as np

from qkit.show.picture import ERROR

_NAME_HANDLES = """
this.closest('.widget-vbox').querySelectorAll('.widget-slider').forEach(slider =>
    slider.querySelectorAll('[role=slider]').forEach((handle, i, handles) => handle.setAttribute('aria-label',
        slider.querySelector('label').textContent + (handles.length > 1 ? [' from', ' to'][i] : ''))))
"""
"""Run by the browser when a picture has come: ipywidgets leaves the handles of sliders nameless for screen readers."""


class Explorer:
    """Controls above a picture above the words that say what the picture shows.

    Controls are widgets by name, made with :func:`slider`, :func:`span`, :func:`stops`, :func:`switch` and
    :func:`choice`; ``update`` takes their values by name and gives the bytes of a PNG file and the ``words`` that
    describe it. ``start`` are values to start with. For a picture of ``size``, width and height in pixels, and some
    ``lines`` of words room is kept, so nothing jumps. ``error`` is what went wrong at the last move, if anything did:
    the picture and the words before it stay.

    Examples
    --------
    >>> bits = slider("bits", "How many", 4, 2, 8)
    >>> explorer = Explorer({"bits": bits}, lambda bits: (b"", f"{bits} bits"), (9, 9))
    >>> explorer.set(bits=3)
    3 bits
    """

    def __init__(
        self,
        controls: dict[str, widgets.ValueWidget],
        update: Callable[..., tuple[bytes, str]],
        size: tuple[int, int],
        start: dict[str, Any] | None = None,
        lines: int = 2,
    ):
        self.controls, self.words, self.error = controls, "", None
        self._update, self._size, self._png = update, size, b""
        self._lock, self._waiting = RLock(), False
        self._picture = widgets.HTML(layout={"margin": "0"})
        self._text = widgets.HTML(layout={"margin": "0", "min_height": f"{20 * lines}px", "max_width": f"{size[0]}px"})
        row = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap", "max_width": f"{size[0]}px"})
        self._box = widgets.VBox([row, self._picture, self._text])
        self._put(start or {})
        self._draw()
        for control in controls.values():
            control.observe(self._moved, "value")
            # By default each message ends as a cell does: matplotlib's inline backend closes pyplot's figures, also the
            # one that a running cell is drawing. Neither name is public; without them the explorer works, too.
            if control.comm is not None and hasattr(control, "_handle_msg"):
                control.comm.handle_msg = control._handle_msg

    def __repr__(self) -> str:
        return self.words if self.error is None else f"{_problem(self.error)} {self.words}"

    @property
    def values(self) -> dict[str, Any]:
        """The value of every control by name."""
        return {name: control.value for name, control in self.controls.items()}

    def png(self) -> bytes:
        """Return the picture as the bytes of a PNG file."""
        return self._png

    def set(self, **values: Any) -> "Explorer":
        """Move controls, then draw once. A ValueError, and none moves, when one of them does not offer its value."""
        with self._lock:
            before, self._waiting = self.values, True
            try:
                self._put(values)
                self._draw()
            except Exception:
                self._put(before)
                raise
            finally:
                self._waiting = False
        return self

    def _put(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name not in self.controls:
                raise ValueError(f"there is no control {name!r}; this explorer has {', '.join(self.controls)}")
            _give(name, self.controls[name], value)

    def _moved(self, change=None) -> None:
        with self._lock:
            if self._waiting:
                return
            try:
                self._draw()
            except Exception as error:  # which the front end would not show
                self.error = error
                self._say("qkit-problem", f"border-left:4px solid {ERROR}; padding-left:8px", _problem(error))

    def _draw(self) -> None:
        self._png, self.words = self._update(**self.values)
        self.error = None
        (width, height), data = self._size, base64.b64encode(self._png).decode()
        self._picture.value = (
            f'<img class="qkit-picture" alt="{html.escape(self.words)}" width="{width}" height="{height}" '
            f'style="max-width:100%; height:auto" src="data:image/png;base64,{data}" onload="{_NAME_HANDLES}">'
        )
        self._say("qkit-words", "", self.words)

    def _say(self, kind: str, style: str, words: str) -> None:
        self._text.value = (
            f'<div class="{kind}" style="font-size:14px; line-height:1.4; {style}">{html.escape(words)}</div>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        with self._lock:
            data = dict(self._box._repr_mimebundle_())
            names = ", ".join(self.controls)
            data["text/plain"] = f"{self!r}\n(An explorer: run this notebook in JupyterLab and move {names}.)"
            return data | {"image/png": self._png}, {"image/png": {"alt": self.words}}


def slider(label: str, tooltip: str, value: float, low: float, high: float, step: float | None = None):
    """Return a slider over the integers from ``low`` to ``high``, or over reals when a ``step`` is given."""
    if step is None:
        return _control(widgets.IntSlider, label, tooltip, value, min=low, max=high)
    return _control(widgets.FloatSlider, label, tooltip, value, min=low, max=high, step=step, readout_format=".3g")


def span(label: str, tooltip: str, value: tuple[float, float], low: float, high: float, step: float):
    """Return a slider with two handles, the ends of a range of reals."""
    between = {"min": low, "max": high, "step": step, "readout_format": ".3g"}
    return _control(widgets.FloatRangeSlider, label, tooltip, value, width="340px", **between)


def stops(label: str, tooltip: str, value: Any, options: dict[Any, str]):
    """Return a slider that stops at a few values; ``options`` gives the name that is shown for each."""
    return _control(widgets.SelectionSlider, label, tooltip, value, **_offered(options))


def switch(label: str, tooltip: str, value: bool):
    """Return a button that is on or off; a box to tick would show no tooltip in JupyterLab."""
    names = {True: f"☑ {label}", False: f"☐ {label}"}
    button = widgets.ToggleButton(value=value, description=names[value], tooltip=tooltip, layout={"width": "auto"})
    button.observe(lambda change: button.set_trait("description", names[change["new"]]), "value")
    return button


def choice(label: str, tooltip: str, value: Any, options: dict[Any, str]):
    """Return a list to choose one value from; ``options`` gives the name that is shown for each value."""
    # A list with a label shows no tooltip in JupyterLab; the label itself can.
    label = f'<span title="{html.escape(tooltip)}">{html.escape(label)}</span>'
    return _control(widgets.Dropdown, label, tooltip, value, **_offered(options), description_allow_html=True)


def _control(kind: type[widgets.ValueWidget], label: str, tooltip: str, value: Any, width: str = "270px", **looks):
    return kind(description=label, tooltip=tooltip, value=value, layout={"width": width}, **looks)


def _offered(options: dict[Any, str]) -> dict[str, Any]:
    whole_label = {"description_width": "initial"}
    return {"options": list(zip(options.values(), options, strict=True)), "style": whole_label}


def _give(name: str, control: widgets.ValueWidget, value: Any) -> None:
    """Move a control; refuse what the widget itself would silently clip, round or take for no choice at all."""
    value = value.item() if isinstance(value, np.generic) else value
    with suppress(Exception):
        control.value = value
        if value is not None and (control.value == value or np.allclose(control.value, value, rtol=1e-9, atol=0)):
            return
    if isinstance(control, widgets.ToggleButton):
        wanted = "True or False"
    elif isinstance(control, widgets.Dropdown | widgets.SelectionSlider):
        wanted = f"one of {', '.join(repr(option) for _, option in control.options)}"
    else:
        kinds = {widgets.IntSlider: "a whole number", widgets.FloatRangeSlider: "a pair (low, high)"}
        wanted = f"{kinds.get(type(control), 'a number')} from {control.min:g} to {control.max:g}"
    raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _problem(error: Exception) -> str:
    reason = str(error) or type(error).__name__
    return f"This setting cannot be drawn: {reason}. The picture still shows the setting before it."


# The label and tooltip of controls that several explorers have.
BITS = "bits", "How many bits each integer has: every further bit doubles the number of levels"
PER_CHANNEL = "per channel", "A scale of its own for every output channel, instead of one for all"
SYMMETRIC = "symmetric", "Zero-point 0, and as much range below zero as above"
