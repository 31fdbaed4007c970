"""What explorers are drawn on: a picture whose still parts are drawn once, and what several of them show in it.

Drawing axes, ticks and words costs most of the time of a matplotlib picture, and a learner waits for each.
``benchmarks/explorers.py`` measures what is saved here.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import zip_longest

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

from qkit.numeric import QuantParams, QuantSpec, params_from_data
from qkit.numeric.affine import some
from qkit.show.numerals import number
from qkit.show.picture import CLIPPED, GUIDE, QUANTIZED

DPI = 100


class Stage:
    """A figure of ``width`` by ``height`` inches, ``size`` in pixels, without pyplot; what was named moving moves.

    The first picture is to be drawn in a function that is :data:`~qkit.show.picture.in_style`. Later ones leave
    matplotlib's settings alone, because another thread may be drawing a learner's own figure then.
    """

    def __init__(self, width: float, height: float):
        self.figure = Figure(figsize=(width, height), dpi=DPI, layout="none")
        self._canvas, self._moving, self._still = FigureCanvasAgg(self.figure), [], None
        self.size = self._canvas.get_width_height()

    def axes(self, left: float, bottom: float, width: float, height: float, **looks) -> Axes:
        """Return axes, placed in shares of the figure; ``looks`` are those of ``Axes.set``."""
        return self.figure.add_axes((left, bottom, width, height), **looks)

    def moving(self, artist: Artist) -> Artist:
        """Draw ``artist`` anew for every picture, over those named before it and all that stands still; return it."""
        artist.set_animated(True)
        self._moving.append(artist)
        return artist

    def png(self) -> bytes:
        """Draw the moving artists where they are now and return the picture as the bytes of a PNG file."""
        if self._still is None:
            self._canvas.draw()
            self._still = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            (artist.axes or self.figure).draw_artist(artist)
        return encode(np.asarray(self._canvas.buffer_rgba()))

    def line(self, axes: Axes, style: str = "-", x: Sequence = (), y: Sequence = (), **looks) -> Line2D:
        """Return a line that moves; ``style`` is a format of ``Axes.plot``."""
        return self.moving(*axes.plot(x, y, style, **looks))

    def label(self, place: Axes | Figure, x: float, y: float, text: str = "", **looks) -> "Label":
        """Return a line of text that moves, centred in data of axes, in shares of a figure, or by a ``transform``."""
        return self.moving(place.add_artist(Label(x, y, text, **{"ha": "center", "va": "center"} | looks)))

    def clipped(self, axes: Axes) -> Rectangle:
        """Return a hatched stretch of the axis that moves, for what is clipped; set its ``x`` and ``width``."""
        looks = {"facecolor": "none", "edgecolor": CLIPPED, "hatch": "//", "linewidth": 0, "alpha": 0.8}
        return self.moving(axes.axvspan(0, 1, **looks))

    def numbers(
        self, left: float, right: float, names: Sequence[str], colours: Sequence[str], top: float = 0.985
    ) -> list["Label"]:
        """Write ``names`` side by side with room for a number under each; return the numbers, which move."""
        below, numbers = top - 0.325 / self.figure.get_figheight(), []
        for x, name, colour in zip(np.linspace(left, right, len(names)), names, colours, strict=True):
            self.figure.add_artist(Label(x, top, name, ha="center", va="top", color=GUIDE))
            numbers.append(self.label(self.figure, x, below, color=colour, fontsize=14, weight="bold"))
        return numbers


def encode(rgba: np.ndarray) -> bytes:
    """Return pixels (height, width, 4) as the bytes of a PNG file.

    Pillow tries five filters for every row. Each row minus the row above is nearly the best for pictures with
    much empty space, and takes less than half the time.
    """
    height, width, _ = rgba.shape
    rows = rgba.reshape(height, -1)
    filtered = np.full((height, 1 + 4 * width), 2, np.uint8)  # the number of that filter, then the row
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    png = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(filtered, level=1)), (b"IEND", b"")):
        png += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return png


@lru_cache
def _font(weight: str, size: float) -> ImageFont.FreeTypeFont:
    path = findfont(FontProperties(weight=weight))
    return ImageFont.truetype(path, size * DPI / 72, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=512)
def _written(text: str, colour: str, weight: str, size: float, ha: str, va: str) -> tuple[np.ndarray, float, float]:
    """Return the pixels of ``text``, and where their lower left corner lies from its position."""
    em, ink, font = size * DPI / 72, to_hex(colour), _font(weight, size)
    width, edge = font.getlength(text), round(em / 2)
    paper = Image.new("RGBA", (round(width) + 2 * edge, 4 * edge), f"{ink}00")
    ImageDraw.Draw(paper).text((edge, 3 * edge), text, ink, font, anchor="ls")
    left = {"left": 0, "center": -width / 2, "right": -width}[ha]
    below = {"bottom": 0.24 * em, "baseline": 0, "center": -0.37 * em, "top": -0.76 * em}[va]  # of an l and a p
    return np.asarray(paper), left - edge, below - edge


class Label(Text):
    """A line of text that Pillow writes, and whose pixels are kept.

    Writing takes matplotlib about a millisecond a word: more for twenty words than all the rest of a picture.
    """

    def draw(self, renderer) -> None:
        """Write the text at its position; called by the figure."""
        if self.get_visible() and self.get_text():
            looks = self.get_color(), self.get_weight(), self.get_fontsize(), self.get_ha(), self.get_va()
            rgba, left, below = _written(self.get_text(), *looks)
            x, y = self.get_transform().transform(self.get_unitless_position())
            renderer.draw_image(renderer.new_gc(), round(x + left), round(y + below), rgba[::-1])


def plain_ticks(axis: Axis, most: int = 6) -> None:
    """Write a few ticks as the sentences do, without an exponent in the corner of the picture."""
    axis.set(major_locator=MaxNLocator(most), major_formatter=lambda value, position: number(value))


def round_up(largest: float) -> float:
    """Round up to 1, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten, so that the ticks are round numbers."""
    if largest == 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(largest))
    return next(float(f * power) for f in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if f * power >= largest * (1 - 1e-12))


class Pixels(Artist):
    """Pixels laid on the rectangle of ``axes`` as they are: an axes image of that size takes five times as long.

    ``rgba``, which starts see-through, must stay ``height`` by ``width``; its first row is the top one.
    """

    def __init__(self, axes: Axes):
        super().__init__()
        self.set_figure(axes.figure)
        left, bottom, right, top = (round(edge) for edge in axes.bbox.extents)
        self.width, self.height = right - left, top - bottom
        self.rgba = np.zeros((self.height, self.width, 4), np.uint8)
        self._corner = left, bottom

    def draw(self, renderer) -> None:
        """Lay the pixels over what has been drawn so far; called by the figure."""
        renderer.draw_image(renderer.new_gc(), *self._corner, self.rgba[::-1])


def framed(pixels: np.ndarray, side: float, gap: float) -> np.ndarray:
    """Enlarge an image to a square of ``side`` inches, in proportion and framed, with a white gap right and below.

    Takes uint8 of shape (height, width, 3), returns uint8 of shape (rows, columns, 4) for :class:`Pixels`.
    """
    height, width, _ = pixels.shape
    inside, outside = round(side * DPI), round(gap * DPI)
    down, across = (max(1, round(inside * length / max(height, width))) for length in (height, width))
    tile = np.full((inside + outside, inside + outside, 4), 255, np.uint8)
    big = pixels[np.arange(down) * height // down][:, np.arange(across) * width // across]
    big[[0, -1]] = big[:, [0, -1]] = 190
    tile[:down, :across, :3] = big
    return tile


def level_pixels(params: QuantParams, low: float, high: float, pixels: int) -> np.ndarray:
    """Return which of the ``pixels`` from ``low`` to ``high`` lie on a level, two wide: bool, a row for each scale."""
    scale, zero_point = np.atleast_1d(params.scale)[:, None], np.atleast_1d(params.zero_point)[:, None]
    places = np.arange(pixels)
    ends = low + (high - low) * np.stack([places - 0.5, places + 1.5])[:, None] / pixels
    with np.errstate(over="ignore"):  # a channel of tiny numbers beside huge ones
        levels_below = np.clip(np.floor(ends / scale) + zero_point, params.spec.qmin - 1, params.spec.qmax)
    return levels_below[1] > levels_below[0]


def level_colours(on: np.ndarray) -> np.ndarray:
    """Return the colours of :func:`level_pixels`: levels orange, the rest see-through; uint8 RGBA."""
    colours = np.array([to_rgba(QUANTIZED, 0), to_rgba(QUANTIZED)])
    return np.round(255 * colours).astype(np.uint8)[on.astype(int)]


def as_drawable(x: np.ndarray, name: str) -> np.ndarray:
    """Return ``x`` as finite float64 numbers that an axis can show; at least one."""
    x = some(x, name).astype(np.float64)
    # Ticks and densities of a shorter axis do not fit into a float.
    return np.where(np.abs(x) < 1e-250, 0.0, x)


def as_channels(x: np.ndarray, name: str) -> np.ndarray:
    """Return ``x`` as :func:`as_drawable` does, of shape (channels, values of each): a vector is one channel."""
    x = as_drawable(x, name)
    return x.reshape(1, -1) if x.ndim < 2 else np.moveaxis(x, -1, 0).reshape(x.shape[-1], -1)


def reach_of(rows: np.ndarray) -> float:
    """Return how far from 0 the numbers of :func:`as_channels` lie, and the levels of any grid that is laid over them.

    An asymmetric grid is moved by up to half a step, for 0 to be a level: with more than 4 bits, too little to matter.
    """
    specs = (QuantSpec(bits, axis=axis) for bits in (2, 3, 4) for axis in (None, 0))
    grids = [params_from_data(rows, spec) for spec in specs]
    return max(np.max(np.abs(each)) for each in (rows, *(end for grid in grids for end in (grid.low, grid.high))))


def write(texts: Iterable[Text], words: Iterable[str]) -> None:
    """Write a word into each of ``texts``, and nothing into those that are left."""
    for text, word in zip_longest(texts, words, fillvalue=""):
        text.set_text(word)
