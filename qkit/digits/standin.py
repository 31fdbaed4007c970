"""Draw digits that look like MNIST's, for machines that cannot have MNIST.

``skeletons.json`` holds, for each digit, one to three ways of writing it, each a handful of extreme skeletons
(strokes of control points, y down, height about 1) with the same strokes. An image is drawn as a hand would::

    blend extremes -> curve -> bend -> tilt -> fit into 20 x 20 -> ink -> centre -> paint 28 x 28

All is float64, from NumPy's frozen ``RandomState`` streams: every machine draws the same bytes. Images come in
blocks with a seed each: image i does not depend on how many are asked for.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.random import RandomState

from qkit.keeping import progress

VERSION = 2
"""Goes up when the same call draws other images, or other counts of them are kept."""

BLOCK = 2_500
SIDE = 28
PEN_RADIUS, PEN_RADIUS_SPREAD = 1.22, 0.30  # median in pixels, standard deviation of its logarithm
JITTER, ELASTIC = 0.028, 0.028  # how far control points, and waves along the stroke, move: shares of the digit's height
MESSINESS = 0.42  # standard deviation of the logarithm of a factor on these two: some hands are neat, some are not
ROTATION, SHEAR, ASPECT = 0.09, 0.24, 0.17  # standard deviations: in radians, as a slope, of the width's logarithm
SLANT = (0.20, 0.26, 0.08, 0.10, 0.22, 0.18, 0.12, 0.06, 0.20, 0.10)  # mean slope to the right, by digit
NIB, PRESSURE = 0.20, 0.12  # how much the ink depends on the direction of the stroke, and on the place along it
EDGE, ROUGHNESS = 1.05, 0.10  # grey levels per pixel at the ink's edge (1 = full scale); noise on the edge in pixels
HALF_DARK = 0.25  # the height of a stroke's Gaussian field at the pen's radius


@dataclass(frozen=True, eq=False)
class _Way:
    """One way of writing a digit, which a ``share`` of people do, as a spline through control points.

    Between the ``extremes`` (e, k, 2) a hand varies, ``basis`` (p, k) turns control points into points of the curve,
    ``stroke`` (p,) says which stroke each is on, ``twin`` (k,) whose jitter a control point takes.
    """

    digit: int
    share: float
    extremes: np.ndarray
    basis: np.ndarray
    stroke: np.ndarray
    twin: np.ndarray


def draw_digits(count: int, split: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits: return images, uint8 (count, 28, 28), and labels, uint8 (count,).

    Fewer images are the first of more: ``draw_digits(10)`` starts ``draw_digits(20_000)``. Different splits are
    different images; 0 is used for training and 1 for testing.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    blocks = progress(range(-(-count // BLOCK)), desc="drawing the stand-in digits")
    images, labels = zip(*(_draw_block(split, block) for block in blocks), strict=True)
    return np.concatenate(images)[:count], np.concatenate(labels)[:count]


def _draw_block(split: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    rng = RandomState([split, block])
    labels = rng.permutation(np.arange(BLOCK) % 10).astype(np.uint8)
    images = np.empty((BLOCK, SIDE, SIDE), np.uint8)
    for digit, ways in enumerate(_alphabet()):
        places = np.flatnonzero(labels == digit)
        chosen = rng.choice(len(ways), len(places), p=[way.share for way in ways])
        for index, way in enumerate(ways):
            here = places[chosen == index]
            images[here] = _draw(rng, way, len(here))
    return images, labels


def _draw(rng: RandomState, way: _Way, n: int) -> np.ndarray:
    messiness = np.exp(MESSINESS * rng.standard_normal((n, 1, 1)))
    controls = _blend(rng, way, n, messiness)
    points = np.einsum("pk,nkd->npd", way.basis, controls, optimize=True)
    x, y = _tilt(rng, way.digit, _bend(rng, points, messiness))
    radius = np.clip(PEN_RADIUS * np.exp(PEN_RADIUS_SPREAD * rng.standard_normal(n)), 0.55, 2.9)
    x, y = _fit(x, y, radius)
    ink = _ink(rng, x, y, way.stroke)
    x, y = _centre(rng, x, ink), _centre(rng, y, ink)
    return _paint(rng, x, y, ink, radius)


def _blend(rng: RandomState, way: _Way, n: int, messiness: np.ndarray) -> np.ndarray:
    weights = rng.gamma(0.8, size=(n, len(way.extremes))) + 1e-3
    weights /= weights.sum(axis=1, keepdims=True)
    controls = np.einsum("ne,ekd->nkd", weights, way.extremes)
    # A wobbly 0 soon looks like a 6, so its points move less.
    jitter = JITTER * (0.6 if way.digit == 0 else 1.0)
    return controls + jitter * messiness * rng.standard_normal(controls.shape)[:, way.twin]


def _bend(rng: RandomState, points: np.ndarray, messiness: np.ndarray) -> np.ndarray:
    """Move the points by random plane waves."""
    n = len(points)
    for octave in (1.0, 2.0):
        wave = 3.0 * octave * rng.standard_normal((n, 2, 2))
        phase = 2 * np.pi * rng.random_sample((n, 1, 2))
        push = ELASTIC / octave * messiness * rng.standard_normal((n, 2, 2))
        points = points + np.sin(points @ wave.transpose(0, 2, 1) + phase) @ push
    return points


def _tilt(rng: RandomState, digit: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(points)
    angle = ROTATION * rng.standard_normal((n, 1))
    # People slant the 1 more freely than any other digit.
    slope = SLANT[digit] + SHEAR * (1.2 if digit == 1 else 1.0) * rng.standard_normal((n, 1))
    x, y = points[..., 0] * np.exp(ASPECT * rng.standard_normal((n, 1))), points[..., 1]
    x = x - slope * y
    return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y


def _fit(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale the digit, pen included, into MNIST's 20 x 20 box."""
    size = np.maximum(np.ptp(x, axis=1), np.ptp(y, axis=1))
    scale = ((20.4 - 2 * radius) / size)[:, None]
    return x * scale, y * scale


def _ink(rng: RandomState, x: np.ndarray, y: np.ndarray, stroke: np.ndarray) -> np.ndarray:
    """How much ink each point carries: the length of line it stands for, times nib and pressure."""
    n, p = x.shape
    length = np.hypot(np.diff(x), np.diff(y)) * (np.diff(stroke) == 0)
    ink = (np.pad(length, ((0, 0), (0, 1))) + np.pad(length, ((0, 0), (1, 0)))) / 2
    direction = np.arctan2(np.gradient(y, axis=1), np.gradient(x, axis=1))
    nib_angle = 0.8 + 0.4 * rng.standard_normal((n, 1))
    ink *= 1 + NIB * np.abs(rng.standard_normal((n, 1))) * np.cos(2 * (direction - nib_angle))
    along = np.linspace(0, 1, p) * (3 + 4 * rng.random_sample((n, 1)))
    return ink * (1 + PRESSURE * np.sin(along + 2 * np.pi * rng.random_sample((n, 1))))


def _centre(rng: RandomState, coordinate: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Put the centre of mass within half a pixel of the middle, as MNIST does."""
    centre = np.sum(coordinate * ink, axis=1) / ink.sum(axis=1)
    return coordinate + (SIDE / 2 - centre + rng.random_sample(len(ink)) - 0.5)[:, None]


def _paint(rng: RandomState, x: np.ndarray, y: np.ndarray, ink: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Draw the line as a sum of Gaussians, read it back as a distance from the line, and ink what is near.

    A Gaussian is one in x times one in y, so the sum over points is one matrix product. Along a straight line
    the sum is exp(-d² / 2σ²) at distance d, which gives d back.
    """
    sigma = (radius / np.sqrt(2 * np.log(1 / HALF_DARK)))[:, None, None]
    pixels = np.arange(SIDE, dtype=np.float64)
    across = np.exp(-0.5 * ((pixels - x[..., None]) / sigma) ** 2)
    down = np.exp(-0.5 * ((pixels - y[..., None]) / sigma) ** 2)
    down *= ink[..., None] / (np.sqrt(2 * np.pi) * sigma)
    field = down.transpose(0, 2, 1) @ across
    distance = sigma * np.sqrt(-2 * np.log(np.clip(field, 1e-9, 1)))
    distance += ROUGHNESS * rng.standard_normal(distance.shape)
    sharpness = EDGE * np.exp(0.12 * rng.standard_normal((len(x), 1, 1)))
    return np.round(255 * np.clip(0.5 + sharpness * (radius[:, None, None] - distance), 0, 1)).astype(np.uint8)


@cache
def _alphabet() -> list[list[_Way]]:
    data = json.loads(files("qkit.digits").joinpath("skeletons.json").read_text(encoding="utf-8"))
    return [[_way(int(digit), **way) for way in ways] for digit, ways in data.items()]


def _way(digit: int, share: float, extremes: list) -> _Way:
    # Here, not above: it takes longer to load than most digits, and they are drawn once.
    from scipy.linalg import block_diag

    strokes = [np.array(shapes) for shapes in zip(*extremes, strict=True)]
    paths = [np.linalg.norm(np.diff(shapes, axis=1), axis=2).sum(axis=1).mean() for shapes in strokes]
    samples = [max(10, round(40 * path)) for path in paths]
    basis = block_diag(*(_catmull_rom(each.shape[1], count) for each, count in zip(strokes, samples, strict=True)))
    controls = np.concatenate(strokes, axis=1) - 0.5
    same = np.all(np.isclose(controls[:, :, None], controls[:, None]), axis=(0, 3))
    return _Way(digit, share, controls, basis, np.repeat(np.arange(len(strokes)), samples), twin=same.argmax(axis=1))


def _catmull_rom(controls: int, samples: int) -> np.ndarray:
    """Matrix (samples, controls) of the Catmull-Rom spline through the control points.

    Its slope at one of them is half the way from the one before to the one after, at an end the way to its neighbour.
    """
    from scipy.interpolate import CubicHermiteSpline

    each = np.eye(controls)
    spline = CubicHermiteSpline(np.arange(controls), each, np.gradient(each, axis=0))
    return spline(np.linspace(0, controls - 1, samples))
