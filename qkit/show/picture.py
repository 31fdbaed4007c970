"""One look for every picture: colours with one meaning each, text at reading size.

Colours are from the Okabe-Ito palette, which people with any kind of colour vision can tell apart; a line
style, marker or hatch always says the same thing a second time. A :class:`Picture` is a figure together with
the words that say what it shows.
"""

import io
from collections.abc import Callable
from functools import wraps

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FLOAT = "#0072B2"
QUANTIZED = "#E69F00"
QUANTIZED_TEXT = "#8F6200"  # the same hue, dark enough to read
CLIPPED = "#CC79A7"
CLIPPED_TEXT = "#A0487A"  # as above
ERROR = "#D55E00"
GOOD = "#009E73"
GUIDE = "#666666"

RC = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
"""matplotlib settings; used through :data:`in_style` so that a learner's own figures stay as they are."""

in_style = matplotlib.rc_context(RC)
"""Decorates a function that draws: the style holds while it runs."""


class Picture:
    """A finished matplotlib ``figure`` and ``words`` for it.

    In JupyterLab, on GitHub and in a rendered page it is a PNG; the words are its text for people who do not
    see it. It is built without pyplot, so that drawing in one thread cannot disturb another.
    """

    def __init__(self, figure: Figure, words: str):
        self.figure, self.words = figure, words

    def __repr__(self) -> str:
        return self.words

    def png(self) -> bytes:
        """Return the picture as the bytes of a PNG file."""
        file = io.BytesIO()
        FigureCanvasAgg(self.figure).print_png(file, metadata={"Software": None})
        return file.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return {"image/png": self.png(), "text/plain": self.words}, {"image/png": {"alt": self.words}}


def picture(draw: Callable[..., tuple[Figure, str]]) -> Callable[..., Picture]:
    """Turn a function that returns a figure and words into one that returns a :class:`Picture` in qkit's style."""

    @wraps(draw)
    @in_style
    def drawn(*args, **kwargs) -> Picture:
        made = Picture(*draw(*args, **kwargs))
        # Layout and fonts are settled here, while the style holds.
        made.figure.draw_without_rendering()
        return made

    return drawn
