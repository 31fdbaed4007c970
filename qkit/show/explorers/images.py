"""A picture and what the first layer sees in it, at few bits beside the float ones."""

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb

from qkit.numeric.affine import QuantSpec, fake_quantize, params_from_data
from qkit.numeric.errors import sqnr_db
from qkit.show.canvas import Pixels, Stage, as_drawable, decibels, framed, label
from qkit.show.explorer import Explorer, slider, switch
from qkit.show.picture import ERROR, FLOAT, QUANTIZED_TEXT
from qkit.show.words.explorers import CONTROLS, IMAGES

MOST_BITS = 8
MOST_MAPS = 6
# In inches: a tile, the gap after it, and the room around all tiles.
TILE, TILE_ALONE, GAP, LEFT, TOP, BOTTOM = 1.1, 1.6, 0.08, 0.7, 0.35, 0.35


def images(
    image: np.ndarray,
    feature_maps: np.ndarray | None = None,
    *,
    kernel: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    bits: int = 4,
    per_map: bool = False,
    kernels: bool = False,
) -> Explorer:
    """Show an image and feature maps in float, quantized, and their difference.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, 1)
        Real numbers.
    feature_maps : array_like, shape (height, width, maps), optional
        What a layer made of the image; the first six are shown.
    kernel, bias : array_like, shapes (rows, columns, 1, maps) and (maps,), optional
        Instead of ``feature_maps``: a Keras convolution, computed here with ReLU and without padding.
    bits, per_map, kernels
        Where the controls start.

    Returns
    -------
    Explorer
        With the controls ``bits``; ``per_map`` where there are maps; ``kernels`` where there is a kernel.

    Raises
    ------
    ValueError
        If an array has another shape or holds NaN or infinity, or both feature maps and a kernel are given.
    """
    if kernel is not None and feature_maps is not None:
        raise ValueError("give either feature_maps or a kernel that makes them, got both")
    image = _as_image(image)
    controls = {"bits": slider(*CONTROLS["bits"], 4, 2, MOST_BITS)}
    start: dict = {"bits": bits}
    maps = np.zeros((1, 1, 0))
    if kernel is not None:
        kernel, bias = _as_layer(kernel, bias, image)
        maps = relu_convolution(image, kernel, bias)
        controls["kernels"] = switch(*CONTROLS["kernels"], False)
        start["kernels"] = kernels
    elif feature_maps is not None:
        maps = _as_maps(feature_maps)
    if maps.size:
        controls["per_map"] = switch(*CONTROLS["per_map"], False)
        start["per_map"] = per_map
    columns = len(_columns(image, maps))
    tile = TILE if columns > 1 else TILE_ALONE
    width, height = LEFT + columns * (tile + GAP), TOP + 3 * (tile + GAP) + BOTTOM
    stage = Stage(width, height, lambda figure: Parts(figure, image, maps, tile))

    def update(bits, per_map=False, kernels=False) -> tuple[bytes, str]:
        seen = first_layer(image, maps, kernel, bias, bits, per_map, kernels)
        stage.parts.show(seen)
        return stage.png(), say(seen, maps.shape[-1])

    return Explorer(controls, update, stage.size, start)


@dataclass(frozen=True, eq=False)
class Seen:
    """An image and its maps at few bits.

    Attributes
    ----------
    bits : int
    image : ndarray, shape (height, width)
    maps : ndarray, shape (height, width, maps)
    sqnr : ndarray, shape (1 + maps,)
        In dB, of the image and of each map, against the float ones.
    """

    bits: int
    image: np.ndarray
    maps: np.ndarray
    sqnr: np.ndarray


def first_layer(
    image: np.ndarray,
    maps: np.ndarray,
    kernel: np.ndarray | None,
    bias: np.ndarray | None,
    bits: int,
    per_map: bool,
    kernels: bool,
) -> Seen:
    """Quantize an image, and the maps a layer makes of it.

    With a kernel, the maps are computed from the quantized image, else ``maps`` are quantized as they are. Their
    grid is laid over the float ``maps`` either way, as calibration would.
    """
    seen_image = fake_quantize(image, params_from_data(image, QuantSpec(bits, signed=False)))
    seen_maps = maps
    if maps.size:
        if kernel is not None:
            spec = QuantSpec(bits, symmetric=True, narrow_range=True, axis=-1)
            used = fake_quantize(kernel, params_from_data(kernel, spec)) if kernels else kernel
            seen_maps = relu_convolution(seen_image, used, bias)
        spec = QuantSpec(bits, signed=False, axis=-1 if per_map else None)
        seen_maps = fake_quantize(seen_maps, params_from_data(maps, spec))
    pairs = [(image, seen_image), *zip(np.moveaxis(maps, -1, 0), np.moveaxis(seen_maps, -1, 0), strict=True)]
    return Seen(bits, seen_image, seen_maps, np.array([sqnr_db(x, x_hat) for x, x_hat in pairs]))


def relu_convolution(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Slide ``kernel`` over ``image`` without padding, add ``bias``, and cut off what is negative."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2])
    return np.maximum(np.tensordot(windows, kernel[:, :, 0], axes=2) + bias, 0)


def say(seen: Seen, maps: int) -> str:
    """Say in words what the picture shows."""
    sentence = IMAGES["image_words"].format(
        bits=seen.bits, levels=2**seen.bits, found=np.unique(seen.image).size, sqnr=decibels(seen.sqnr[0])
    )
    if not maps:
        return sentence
    worst, best = int(np.argmin(seen.sqnr[1:])), int(np.argmax(seen.sqnr[1:]))
    return f"{sentence} " + IMAGES["maps_words"].format(
        count=maps,
        worst=decibels(seen.sqnr[1 + worst]),
        worst_map=worst,
        best=decibels(seen.sqnr[1 + best]),
        best_map=best,
    )


class Parts:
    """The artists: a column for the image and each map; float above, quantized below it, and the difference."""

    def __init__(self, figure, image: np.ndarray, maps: np.ndarray, tile: float):
        self.image, self.maps, self.tile = image, maps, tile
        columns = _columns(image, maps)
        self.ranges = [_range(x) for x in columns]
        width, height = figure.get_size_inches()
        pitch = tile + GAP
        strips, labels = [], []
        for row, colour in enumerate((FLOAT, QUANTIZED_TEXT, ERROR)):
            bottom = height - TOP - (row + 1) * pitch
            axes = figure.add_axes((LEFT / width, bottom / height, len(columns) * pitch / width, pitch / height))
            axes.set_axis_off()
            strips.append(Pixels(axes))
            place = (LEFT - 0.12) / width, (bottom + GAP + tile / 2) / height
            labels.append(label(figure, *place, "", ha="right", va="center", color=colour, weight="bold"))
        labels[0].set_text(IMAGES["float"])
        labels[2].set_text(IMAGES["error"])
        strips[0].rgba = self._grey(image, maps)
        figure.add_artist(strips[0])
        self.quantized, self.error = strips[1:]
        self.label = labels[1]
        self.sqnr = []
        for column in range(len(columns)):
            middle = (LEFT + column * pitch + tile / 2) / width
            title = IMAGES["map"].format(index=column - 1) if column else IMAGES["image"]
            figure.text(middle, 1 - 0.1 / height, title, ha="center", va="top")
            self.sqnr.append(label(figure, middle, 0.1 / height, "", ha="center", va="bottom", color=QUANTIZED_TEXT))
        self.moving = [self.quantized, self.error, self.label, *self.sqnr]

    def show(self, seen: Seen) -> None:
        """Move every artist to what is seen now."""
        self.quantized.rgba = self._grey(seen.image, seen.maps)
        self.error.rgba = self._difference(seen)
        self.label.set_text(IMAGES["quantized"].format(bits=seen.bits))
        for text, sqnr in zip(self.sqnr, seen.sqnr, strict=False):
            text.set_text(decibels(sqnr))

    def _grey(self, image: np.ndarray, maps: np.ndarray) -> np.ndarray:
        """Lay the tiles side by side, each from black to white over its own float range."""
        tiles = []
        for x, (low, high) in zip(_columns(image, maps), self.ranges, strict=True):
            grey = np.uint8(255 * np.clip((x - low) / (high - low), 0, 1))
            tiles.append(framed(np.repeat(grey[..., None], 3, axis=-1), self.tile, GAP))
        return np.concatenate(tiles, axis=1)

    def _difference(self, seen: Seen) -> np.ndarray:
        """Colour each pixel by its error: full at the largest that two bits can make, a sixth of the range."""
        tiles = []
        white, full = np.full(3, 255.0), 255 * np.array(to_rgb(ERROR))
        floats = _columns(self.image, self.maps)
        for x, x_hat, (low, high) in zip(floats, _columns(seen.image, seen.maps), self.ranges, strict=True):
            share = np.clip(6 * np.abs(x_hat - x) / (high - low), 0, 1)[..., None]
            tiles.append(framed(np.uint8(white + share * (full - white)), self.tile, GAP))
        return np.concatenate(tiles, axis=1)


def _columns(image: np.ndarray, maps: np.ndarray) -> list[np.ndarray]:
    return [image, *np.moveaxis(maps[..., :MOST_MAPS], -1, 0)]


def _range(x: np.ndarray) -> tuple[float, float]:
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    return (low, high) if low < high else (0.0, 1.0)


def _as_image(image: np.ndarray) -> np.ndarray:
    image = as_drawable(image, "image")
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2:
        raise ValueError(f"image must have shape (height, width) or (height, width, 1), got {image.shape}")
    return image


def _as_maps(maps: np.ndarray) -> np.ndarray:
    maps = as_drawable(maps, "feature_maps")
    if maps.ndim != 3:
        raise ValueError(f"feature_maps must have shape (height, width, maps), got {maps.shape}")
    return maps


def _as_layer(kernel: np.ndarray, bias: np.ndarray | None, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel = as_drawable(kernel, "kernel")
    if kernel.ndim != 4 or kernel.shape[2] != 1:
        raise ValueError(f"kernel must have shape (rows, columns, 1, maps), got {kernel.shape}")
    if kernel.shape[0] > image.shape[0] or kernel.shape[1] > image.shape[1]:
        raise ValueError(f"kernel of shape {kernel.shape} does not fit into an image of shape {image.shape}")
    bias = np.zeros(kernel.shape[-1]) if bias is None else as_drawable(bias, "bias")
    if bias.shape != kernel.shape[-1:]:
        raise ValueError(f"bias must have shape {kernel.shape[-1:]}, got {bias.shape}")
    return kernel, bias
