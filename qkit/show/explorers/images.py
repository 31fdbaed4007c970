"""A picture and what the first layer sees in it, at few bits beside the float ones."""

import numpy as np
from matplotlib.colors import to_rgb

from qkit.numeric import QuantSpec, fake_quantize, params_from_data, sqnr_db
from qkit.show.canvas import Pixels, Stage, as_drawable, framed, write
from qkit.show.explorer import BITS, Explorer, slider, switch
from qkit.show.numerals import decibels
from qkit.show.picture import ERROR, FLOAT, QUANTIZED_TEXT, in_style

MOST_MAPS = 6
# In inches: the side of a tile, the gap after it, and the room around all tiles.
TILE, GAP, LEFT, TOP, BOTTOM = 1.1, 0.08, 0.7, 0.35, 0.35
BLACK, WHITE, FULL = np.zeros(3), np.full(3, 255.0), 255 * np.array(to_rgb(ERROR))


@in_style
def images(image: np.ndarray, *, kernel: np.ndarray, bias: np.ndarray, **start) -> Explorer:
    """Show an image and what a convolution makes of it, in float, quantized, and their difference.

    A column for the image and for each of the first six feature maps, from black to white over its own float range; an
    error is full-coloured from a sixth of that range, the largest that two bits can make.

    ``image`` has shape (height, width) or (height, width, 1). ``kernel``, (rows, columns, 1, maps), and ``bias``,
    (maps,), are a Keras convolution, computed here with ReLU and without padding. A ValueError if an array has another
    shape, or holds NaN or infinity. ``start`` are values of the controls: ``bits`` (2 to 8), ``per_map``,
    ``quantize_kernel``. Taught in notebook 02, section 8.
    """
    image, kernel, bias = as_drawable(image, "image"), as_drawable(kernel, "kernel"), as_drawable(bias, "bias")
    image = image[..., 0] if image.shape[2:] == (1,) else image
    if image.ndim != 2:
        raise ValueError(f"image must have shape (height, width) or (height, width, 1), got {image.shape}")
    fits = kernel.ndim == 4 and kernel.shape[2] == 1 and np.all(np.less_equal(kernel.shape[:2], image.shape))
    if not fits or bias.shape != kernel.shape[-1:]:
        wanted = "shape (rows, columns, 1, maps) and fit into the image, and bias shape (maps,)"
        raise ValueError(f"kernel must have {wanted}, got {kernel.shape} and {bias.shape} for {image.shape}")
    maps = relu_convolution(image, kernel, bias)

    floats = [image, *np.moveaxis(maps, -1, 0)]
    shown = floats[: 1 + MOST_MAPS]
    lows = [min(x.min(), 0.0) for x in shown]
    spans = [max(x.max(), 0.0) - low or 1.0 for x, low in zip(shown, lows, strict=True)]
    pitch = TILE + GAP

    def strip(shares, none, full):
        """Lay tiles side by side; a share of 0 has the colour ``none``, 1 the colour ``full``."""
        tiles = [none + np.clip(share, 0, 1)[..., None] * (full - none) for share in shares]
        return np.concatenate([framed(np.uint8(each), TILE, GAP) for each in tiles], axis=1)

    def grey(arrays):
        return strip([(x - low) / span for x, low, span in zip(arrays, lows, spans, strict=False)], BLACK, WHITE)

    width, height = LEFT + len(shown) * pitch, TOP + 3 * pitch + BOTTOM
    stage = Stage(width, height)
    strips, names = [], []
    for row, (text, colour) in enumerate((("float", FLOAT), ("", QUANTIZED_TEXT), ("error", ERROR))):
        bottom = height - TOP - (row + 1) * pitch
        axes = stage.axes(LEFT / width, bottom / height, len(shown) * pitch / width, pitch / height)
        axes.set_axis_off()
        strips.append(stage.moving(Pixels(axes)))
        place = (LEFT - 0.12) / width, (bottom + GAP + TILE / 2) / height
        names.append(stage.label(stage.figure, *place, text, ha="right", color=colour, weight="bold"))
    in_float, quantized, error = strips
    in_float.rgba = grey(shown)
    beneath = []
    for column in range(len(shown)):
        middle = (LEFT + column * pitch + TILE / 2) / width
        stage.figure.text(middle, 1 - 0.1 / height, f"map {column - 1}" if column else "image", ha="center", va="top")
        beneath.append(stage.label(stage.figure, middle, 0.1 / height, va="bottom", color=QUANTIZED_TEXT))

    def update(bits, quantize_kernel, per_map):
        seen_image = fake_quantize(image, params_from_data(image, QuantSpec(bits, signed=False)))
        spec = QuantSpec(bits, symmetric=True, narrow_range=True, axis=-1)
        used = fake_quantize(kernel, params_from_data(kernel, spec)) if quantize_kernel else kernel
        # The grid is laid over the float maps, as calibration would.
        spec = QuantSpec(bits, signed=False, axis=-1 if per_map else None)
        seen_maps = fake_quantize(relu_convolution(seen_image, used, bias), params_from_data(maps, spec))
        seen = [seen_image, *np.moveaxis(seen_maps, -1, 0)]
        sqnr = [sqnr_db(*pair) for pair in zip(floats, seen, strict=True)]

        quantized.rgba = grey(seen)
        errors = [6 * np.abs(x_hat - x) / span for x, x_hat, span in zip(shown, seen, spans, strict=False)]
        error.rgba = strip(errors, WHITE, FULL)
        names[1].set_text(f"{bits} bits")
        said, found = [decibels(ratio) for ratio in sqnr], np.unique(seen_image).size
        write(beneath, said[: len(beneath)])
        worst, best = np.argmin(sqnr[1:]), np.argmax(sqnr[1:])
        return stage.png(), (
            f"{bits} bits: the image has {found} of {2**bits} levels of grey, SQNR {said[0]}. Of {len(sqnr) - 1} "
            f"feature maps, number {worst} fares worst with {said[1 + worst]}, number {best} best with "
            f"{said[1 + best]}."
        )

    too = "Quantize the kernels with the same number of bits before the maps are computed"
    controls = {
        "bits": slider(*BITS, 4, 2, 8),
        "quantize_kernel": switch("kernels too", too, False),
        "per_map": switch("a scale per map", "A scale of its own for every feature map, instead of one for all", False),
    }
    return Explorer(controls, update, stage.size, start)


def relu_convolution(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Slide ``kernel`` over ``image`` without padding, add ``bias``, and cut off what is negative."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2])
    return np.maximum(np.tensordot(windows, kernel[:, :, 0], axes=2) + bias, 0)
