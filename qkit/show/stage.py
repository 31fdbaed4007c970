"""A figure whose moving parts are redrawn over a saved picture of everything that stands still.

Drawing axes, ticks and labels costs most of the time of a matplotlib picture. A stage pays it once, keeps the
pixels, and afterwards draws only the artists that moved (``benchmarks/explorers.py`` measures what that saves).
"""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qkit.show.style import RC

DPI = 100


class Stage:
    """A figure of ``width`` by ``height`` inches with moving artists, drawn without pyplot.

    Parameters
    ----------
    width, height
        In inches, at 100 pixels per inch.
    build
        Draws on the empty figure it is given, and returns an object that remembers what the caller needs to move
        later. Its attribute ``moving`` lists the artists that are drawn anew for every picture, in this order,
        over everything else. Axes in a grid are laid out once; limits and ticks stand still from then on.

    Attributes
    ----------
    parts
        What ``build`` returned.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def build(figure):
    ...     axes = figure.subplots()
    ...     return SimpleNamespace(moving=axes.plot([], []))
    >>> stage = Stage(4, 2, build)
    >>> stage.parts.moving[0].set_data([0, 1], [1, 0])
    >>> stage.png()[1:4]
    b'PNG'
    """

    def __init__(self, width: float, height: float, build: Callable[[Figure], Any]):
        # The style is read while artists and ticks are made. Moving them later leaves matplotlib's settings
        # alone, because another thread may be drawing a learner's own figure at that moment.
        with matplotlib.rc_context(RC):
            self.figure = Figure(figsize=(width, height), dpi=DPI)
            self._canvas = FigureCanvasAgg(self.figure)
            self.parts = build(self.figure)
            if any(axes.get_subplotspec() for axes in self.figure.axes):
                self.figure.draw_without_rendering()
            # A picture that shifts by a pixel while a slider moves looks broken.
            self.figure.set_layout_engine("none")
            for artist in self.parts.moving:
                artist.set_animated(True)
            self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self.figure.bbox)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self._canvas.get_width_height()

    def png(self) -> bytes:
        """Draw the moving artists where they are now and return the picture as the bytes of a PNG file."""
        self._canvas.restore_region(self._background)
        for artist in self.parts.moving:
            (artist.axes or self.figure).draw_artist(artist)
        return encode(np.asarray(self._canvas.buffer_rgba()))


def encode(rgba: np.ndarray) -> bytes:
    """Return pixels (height, width, 4) as the bytes of a PNG file.

    Pillow tries five filters for every row. Each row minus the row above is nearly the best for pictures with
    much empty space, and takes less than half the time: a learner waits for this picture.
    """
    height, width, channels = rgba.shape
    rows = rgba.reshape(height, width * channels)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered, level=1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
