"""The canvas: moving artists over a saved background look like a picture drawn as a whole, labels like text."""

import io

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from qkit.numeric import QuantSpec, params_from_range
from qkit.show import canvas
from qkit.show.canvas import Label, Pixels, Stage, encode, level_pixels
from qkit.show.picture import RC, in_style


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def stage_with_a_line_and_a_text():
    stage = Stage(3, 2)
    axes = stage.axes(0.2, 0.2, 0.7, 0.7, xlim=(0, 1), ylim=(0, 1), xlabel="x")
    return stage, stage.moving(axes.plot([], [], linewidth=5)[0]), stage.moving(stage.figure.text(0.5, 0.5, ""))


@in_style
def test_moved_artists_look_as_in_a_whole_new_drawing():
    stage, line, text = stage_with_a_line_and_a_text()
    for end in (0.2, 0.9, 0.5):
        line.set_data([0, 1], [0.1, end])
        text.set_text(f"{end}")
        moved = pixels(stage.png()).astype(int)
    for artist in (line, text):
        artist.set_animated(False)
    whole = FigureCanvasAgg(stage.figure)
    whole.draw()
    drawn = np.asarray(whole.buffer_rgba())[..., :3].astype(int)
    # Only where the line crosses the frame of the axes does the order of drawing differ.
    assert np.mean(np.abs(moved - drawn).max(axis=-1) > 8) < 0.002
    assert moved.shape[1::-1] == stage.size == (300, 200)


def test_nothing_is_left_of_an_earlier_picture():
    stage, line, _ = stage_with_a_line_and_a_text()
    empty = stage.png()
    line.set_data([0, 1], [0, 1])
    assert stage.png() != empty
    line.set_data([], [])
    assert stage.png() == empty


def test_matplotlib_settings_and_pyplot_stay_as_they_were():
    settings = dict(matplotlib.rcParams)
    seen = in_style(lambda: (stage_with_a_line_and_a_text()[0].png(), matplotlib.rcParams["font.size"]))()
    assert seen[1] == RC["font.size"] != settings["font.size"]
    assert dict(matplotlib.rcParams) == settings
    assert pyplot.get_fignums() == []


def test_encoded_pixels_come_back():
    for shape in ((1, 1), (1, 7), (5, 1), (40, 60)):
        rgba = np.random.default_rng(0).integers(0, 256, (*shape, 4)).astype(np.uint8)
        rgba[..., 3] = 255
        assert np.array_equal(pixels(encode(rgba)), rgba[..., :3])


def test_pixels_lie_where_their_axes_are():
    stage = Stage(2, 1)
    axes = stage.axes(0.1, 0.5, 0.2, 0.25)
    axes.set_axis_off()
    artist = stage.moving(Pixels(axes))
    assert artist.rgba.shape == (artist.height, artist.width, 4) == (25, 40, 4)
    artist.rgba[:5] = (255, 0, 0, 255)
    artist.rgba[5:, :3] = (0, 0, 255, 255)
    drawn = pixels(stage.png())
    assert np.all(drawn[25:30, 20:60] == (255, 0, 0))
    assert np.all(drawn[30:50, 20:23] == (0, 0, 255))
    drawn = drawn.copy()
    drawn[25:50, 20:60] = 255
    assert np.all(drawn == 255)


LOOKS = {"color": "#8F6200", "fontsize": 14, "weight": "bold"}


def test_labels_look_like_matplotlib_s_own_text():
    def drawn(kind, words, **looks):
        stage = Stage(5, 1)
        stage.moving(stage.figure.add_artist(kind(0.5, 0.5, words, **looks)))
        return pixels(stage.png()).astype(int)

    for words in ("−12.5 dB", "1847451953 · 2⁻⁴⁰", "b − (−128 · 29)", "S · (q − Z) = x̂", "percentile 99.9"):
        for ha, va in (("left", "baseline"), ("center", "top"), ("right", "bottom")):
            own = drawn(Text, words, ha=ha, va=va, **LOOKS)
            own_ink = np.argwhere(own.min(axis=-1) < 128)
            assert len(own_ink) > 100
            ours = drawn(Label, words, ha=ha, va=va, **LOOKS)
            ink = np.argwhere(ours.min(axis=-1) < 128)
            near = 1 + words.endswith("x̂")  # for matplotlib the hat makes the line taller
            assert np.all(np.abs(ink.min(axis=0) - own_ink.min(axis=0)) <= near)
            assert np.all(np.abs(ink.max(axis=0) - own_ink.max(axis=0)) <= near)
            assert abs(ours.sum() - own.sum()) < 0.1 * (255 * own.size - own.sum())


def test_a_centered_label_is_centered_on_its_digits():
    stage = Stage(2, 1)
    stage.moving(stage.figure.add_artist(Label(0.5, 0.5, "0", ha="center", va="center", **LOOKS)))
    rows = np.flatnonzero((pixels(stage.png()) < 128).any(axis=(1, 2)))
    assert abs(rows.mean() - 49.5) <= 1


def test_a_label_written_before_is_kept(monkeypatch):
    stage = Stage(2, 1)
    text = stage.label(stage.figure, 0.2, 0.5, "a")
    here = pixels(stage.png())
    text.set_position((0.5, 0.5))
    there = pixels(stage.png())
    assert np.array_equal(there[:, 60:], here[:, :-60])
    text.set_text("b")
    assert not np.array_equal(pixels(stage.png()), there)
    monkeypatch.setattr(canvas, "ImageDraw", None)  # what words are written with
    text.set_text("a")
    assert np.array_equal(pixels(stage.png()), there)
    text.set_visible(False)
    assert np.all(pixels(stage.png()) == 255)


def test_labels_can_say_nothing():
    stage = Stage(2, 1)
    text = stage.moving(stage.figure.add_artist(Label(0.5, 0.5, "")))
    for words in ("", " "):
        text.set_text(words)
        assert np.all(pixels(stage.png()) == 255)
    text.set_text("1 2")
    assert not np.all(pixels(stage.png()) == 255)


def test_level_pixels_mark_each_level():
    params = params_from_range(-1.0, 1.0, QuantSpec(3, symmetric=True, narrow_range=True))
    (on,) = level_pixels(params, -1.1, 1.1, 660)
    starts = np.flatnonzero(np.diff(on.astype(int)) == 1)
    assert starts.size == 7
    assert np.allclose(np.diff(starts), 100, atol=1)
    (dense,) = level_pixels(params_from_range(-1.0, 1.0, QuantSpec(16)), -1.1, 1.1, 660)
    assert dense[40:620].all()
    assert not dense[:25].any()
