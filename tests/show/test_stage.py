"""The stage: moving artists over a saved background look like a picture drawn as a whole."""

import io
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from qkit.show.canvas import Numeral, Pixels, Stage, encode, label
from qkit.show.picture import RC


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def build(figure):
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    line = axes.plot([], [], linewidth=5)[0]
    text = figure.text(0.5, 0.5, "")
    return SimpleNamespace(line=line, text=text, moving=[line, text])


@pytest.fixture
def stage():
    return Stage(3, 2, build)


def test_moved_artists_look_as_in_a_whole_new_drawing(stage):
    for end in (0.2, 0.9, 0.5):
        stage.parts.line.set_data([0, 1], [0.1, end])
        stage.parts.text.set_text(f"{end}")
        moved = pixels(stage.png()).astype(int)
    for artist in stage.parts.moving:
        artist.set_animated(False)
    canvas = FigureCanvasAgg(stage.figure)
    with matplotlib.rc_context(RC):
        canvas.draw()
    whole = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    # Only where the line crosses the frame of the axes does the order of drawing differ.
    assert np.mean(np.abs(moved - whole).max(axis=-1) > 8) < 0.002
    assert moved.shape[1::-1] == stage.size == (300, 200)


def test_nothing_is_left_of_an_earlier_picture(stage):
    empty = stage.png()
    stage.parts.line.set_data([0, 1], [0, 1])
    assert stage.png() != empty
    stage.parts.line.set_data([], [])
    assert stage.png() == empty


def test_matplotlib_settings_and_pyplot_stay_as_they_were():
    settings = dict(matplotlib.rcParams)
    Stage(3, 2, build).png()
    assert dict(matplotlib.rcParams) == settings
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (40, 60)])
def test_encoded_pixels_come_back(shape):
    rgba = np.random.default_rng(0).integers(0, 256, (*shape, 4)).astype(np.uint8)
    rgba[..., 3] = 255
    assert np.array_equal(pixels(encode(rgba)), rgba[..., :3])


def test_pixels_lie_where_their_axes_are():
    def build(figure):
        axes = figure.add_axes((0.1, 0.5, 0.2, 0.25))
        axes.set_axis_off()
        return SimpleNamespace(moving=[Pixels(axes)])

    stage = Stage(2, 1, build)
    artist = stage.parts.moving[0]
    assert artist.rgba.shape == (artist.height, artist.width, 4) == (25, 40, 4)
    artist.rgba[:5] = (255, 0, 0, 255)
    artist.rgba[5:, :3] = (0, 0, 255, 255)
    drawn = pixels(stage.png())
    assert np.all(drawn[25:30, 20:60] == (255, 0, 0))
    assert np.all(drawn[30:50, 20:23] == (0, 0, 255))
    drawn = drawn.copy()
    drawn[25:50, 20:60] = 255
    assert np.all(drawn == 255)


def test_a_label_looks_like_matplotlib_s_own_text():
    looks = {"ha": "center", "va": "top", "color": "#8F6200", "fontsize": 14, "weight": "bold"}

    def drawn(write):
        def build(figure):
            axes = figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
            return SimpleNamespace(moving=[write(axes, 0.5, 0.5, "−12.5 dB", **looks)])

        return pixels(Stage(2, 1, build).png()).astype(int)

    ours, own = drawn(label), drawn(Axes.text)
    ink, own_ink = np.argwhere(ours.min(axis=-1) < 128), np.argwhere(own.min(axis=-1) < 128)
    assert len(ink) > 100
    assert np.all(np.abs(ink.min(axis=0) - own_ink.min(axis=0)) <= 1)
    assert np.all(np.abs(ink.max(axis=0) - own_ink.max(axis=0)) <= 1)
    assert abs(ours.sum() - own.sum()) < 0.1 * (255 * own.size - own.sum())


def test_a_label_keeps_what_it_has_written_and_moves_it():
    stage = Stage(2, 1, lambda figure: SimpleNamespace(moving=[label(figure, 0.2, 0.5, "a")]))
    text = stage.parts.moving[0]
    here = pixels(stage.png())
    text.set_position((0.5, 0.5))
    there = pixels(stage.png())
    assert np.array_equal(there[:, 60:], here[:, :-60])
    text.set_text("b")
    assert not np.array_equal(pixels(stage.png()), there)
    text.set_text("a")
    assert np.array_equal(pixels(stage.png()), there)
    for i in range(2 * text.MOST_KEPT):
        text.set_text(f"{i}")
        stage.png()
    assert len(text._written) <= text.MOST_KEPT


@pytest.mark.parametrize("ha", ["left", "center", "right"])
@pytest.mark.parametrize("words", ["−12.5", "1847451953 · 2⁻⁴⁰", "b − (−128 · 29)"])
def test_a_numeral_looks_like_matplotlib_s_own_text(words, ha):
    looks = {"ha": ha, "va": "baseline", "color": "#8F6200", "fontsize": 14, "weight": "bold"}

    def drawn(write):
        return pixels(Stage(5, 1, lambda figure: SimpleNamespace(moving=[write(figure)])).png()).astype(int)

    ours = drawn(lambda figure: figure.add_artist(Numeral(0.5, 0.5, words, **looks)))
    own = drawn(lambda figure: figure.text(0.5, 0.5, words, **looks))
    ink, own_ink = np.argwhere(ours.min(axis=-1) < 128), np.argwhere(own.min(axis=-1) < 128)
    assert len(ink) > 100
    assert np.all(np.abs(ink.min(axis=0) - own_ink.min(axis=0)) <= 2)
    assert np.all(np.abs(ink.max(axis=0) - own_ink.max(axis=0)) <= 2)
    assert abs(ours.sum() - own.sum()) < 0.1 * (255 * own.size - own.sum())


def test_a_numeral_can_say_nothing():
    stage = Stage(2, 1, lambda figure: SimpleNamespace(moving=[figure.add_artist(Numeral(0.5, 0.5, ""))]))
    assert np.all(pixels(stage.png()) == 255)
    stage.parts.moving[0].set_text("1 2")
    assert not np.all(pixels(stage.png()) == 255)
