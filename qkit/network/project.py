"""The closing project: a brief says what a client gives and wants, and the file that is handed in is measured.

:func:`brief` has three, :class:`Brief` makes one of your own. Taught in notebook 14.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qkit.digits import Digits
from qkit.network import repair
from qkit.network.backend import keras
from qkit.network.chain import image_shape
from qkit.network.cnn import predict, trained
from qkit.network.litert import LiteModel
from qkit.network.recipe import check_images
from qkit.numeric import Accuracy, Paired
from qkit.numeric.affine import whole

IMAGES = 5_000
"""How many hidden images are drawn; of fewer test images, all."""
FILES = "notebook 05, section 2: hand in what convert(network, kind, images) returns"
BYTES = "notebook 05, section 3: file.summary() has the bytes of each tensor, and its scales"
PACKS = "notebook 10, sections 5 to 8: what takes weights away, and what packs well?"
BROKEN = "something broke: notebook 09, section 3, finds the layer; 04, section 9: calibration?"
LOST = "a loss to win back: scales (notebooks 04, 09), training (07), a milder choice (10)"
UNSURE = "the loss may be small enough, but so few images do not show it: change fewer answers"
KINDS = "notebook 05, section 2: which kind is integer from end to end, and what does it need?"


@dataclass(frozen=True, eq=False, repr=False)
class Brief:
    """What is given, and what is wanted of the file. Taught in notebook 14, section 2.

    Given are a float ``network`` that reads 28 × 28 grey levels, ``images`` or none, and their ``labels`` or none.
    Wanted is a .tflite file of at most ``most_bytes``, as it is or ``packed`` by gzip; with ``integers`` from end to
    end; and shown to lose less than so many ``points``: all of the 95 % interval of its accuracy minus the float
    network's lies above ``-points``, on hidden images from the test images of ``digits``.

    >>> Brief("My own", model, digits, most_bytes=30_000, points=1.0)  # doctest: +SKIP
    """

    name: str
    network: keras.Model
    digits: Digits
    most_bytes: int
    points: float
    packed: bool = False
    integers: bool = True
    images: np.ndarray | None = None
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not 0 < self.points <= 100:
            raise ValueError(f"points must be from above 0, for no test shows a loss of 0, to 100, got {self.points}")
        check_images(self.digits.x_test[:1], image_shape(self.network))

    def __repr__(self) -> str:
        images = "no images" if self.images is None else f"{len(self.images):,} images"
        labels = "" if self.images is None else " without labels" if self.labels is None else " with labels"
        lines = [
            self.name,
            f"  given     a float network of {self.network.count_params():,} parameters, {images}{labels}",
            f"  size      at most {self.most_bytes:,} bytes{', packed by gzip' * self.packed}",
            f"  accuracy  shown to lose less than {self.points:g} point{'s' * (self.points != 1)} against float",
        ]
        if self.integers:
            lines.append("  numbers   integers from end to end")
        return "\n".join(lines)


class Condition(NamedTuple):
    """One thing that is wanted, what was found, and where to look if it is not met."""

    name: str
    met: bool
    found: str
    look: str


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What :func:`hand_in` measured; of a file that does not run, neither size nor accuracy."""

    title: str
    conditions: list[Condition]
    size: int | None = None
    accuracy: Accuracy | None = None
    paired: Paired | None = None

    @property
    def met(self) -> bool:
        return all(condition.met for condition in self.conditions)

    def __repr__(self) -> str:
        found = [f"{'✓' if each.met else '✗'} {each.name:8}  {each.found}" for each in self.conditions]
        look = [f"→ {each.name}: {each.look}" for each in self.conditions if not each.met]
        return "\n".join([self.title, *found, *look])


def brief(number: int, digits: Digits) -> Brief:
    """Return brief 1, 2 or 3, the hardest, else a ValueError; networks are trained if needed. Taught in notebook 14."""
    images = digits.x_train
    if whole(number, "number", 1, 3) == 2:
        network = repair.rescaled(trained("separable", digits, say=False), spread=1_000)
        return Brief("Brief 2, a phone", network, digits, 45_000, 0.5, images=images[:100])
    network = trained("deep", digits, say=False)
    if number == 1:
        return Brief("Brief 1, a chip", network, digits, 240_000, 0.5, images=images[:1_000])
    return Brief("Brief 3, a slow line", network, digits, 35_000, 1, packed=True, images=images, labels=digits.y_train)


def hidden(digits: Digits, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images that are stored nowhere, uint8 (n, 28, 28), and their labels; the same for the same ``seed``.

    They are test images, none twice: turned by up to 10 degrees, moved by up to 1 pixel down or up, right or left, with
    linear interpolation, and dimmed by up to a fifth, all drawn evenly. A ValueError if the seed is not an integer from
    0 to 2³². Taught in notebook 14, section 1.
    """
    from scipy.ndimage import affine_transform  # here, because only these images need it

    rng, centre = np.random.default_rng(whole(seed, "seed", 0, 2**32)), np.full(2, 13.5)
    chosen = rng.permutation(len(digits.x_test))[:IMAGES]
    images = digits.x_test[chosen].astype(np.float32)
    for image in images:
        angle, move = np.deg2rad(rng.uniform(-10, 10)), rng.uniform(-1, 1, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        image[:] = rng.uniform(0.8, 1) * affine_transform(image, turn, centre + move - turn @ centre, order=1)
    return np.rint(images).astype(np.uint8), digits.y_test[chosen]


def hand_in(brief: Brief, file: LiteModel | bytes | str | Path, seed: int = 0) -> Report:
    """Measure a file: what :func:`~qkit.network.convert` returns, or its bytes, or where it is.

    Whatever it is, the report has of each condition what was found, and which notebook to look into if it is not met.
    By a ``seed`` not known while it was made, a file is judged, not fitted; one that :func:`hidden` does not take is a
    ValueError. Taught in notebook 14, section 2.
    """
    images, labels = hidden(brief.digits, seed)
    title = f"{brief.name}, on {len(images):,} hidden images of seed {seed}"
    try:
        if not isinstance(file, LiteModel | bytes | str | Path):
            raise ValueError(f"a file is wanted: what convert returns, bytes or a path, not {type(file).__name__}")
        model = LiteModel.read(file) if isinstance(file, str | Path) else LiteModel(getattr(file, "content", file))
        said = model.predict(images)
        if said.shape != (len(labels), 10) or not np.all(np.isfinite(said)):
            raise ValueError(f"an image wants ten finite numbers, one a digit; got shape {said.shape[1:]}, or NaN")
    except (ValueError, OSError) as problem:
        return Report(title, [Condition("runs", False, str(problem), FILES)])
    size = len(gzip.compress(model.content, mtime=0)) if brief.packed else model.size
    found = f"{size:,} bytes{', packed by gzip' * brief.packed}; at most {brief.most_bytes:,}"
    conditions = [Condition("size", size <= brief.most_bytes, found, PACKS if brief.packed else BYTES)]
    in_float, answers = predict(brief.network, images).argmax(axis=1), said.argmax(axis=1)
    accuracy, paired = Accuracy.of(answers, labels), Paired.of(in_float, answers, labels)
    conditions.append(_accuracy(accuracy, paired, brief.points))
    if brief.integers:
        dtypes = model.tensors()["dtype"]
        floats = [f"{dtype} in {' '.join(place)}" for place, dtype in dtypes.items() if dtype.startswith("float")]
        found = ", ".join(floats[:2]) + f" and {len(floats) - 2} more" * (len(floats) > 2)
        found = found or f"none of {len(dtypes)} tensors is float"
        conditions.append(Condition("numbers", not floats, found, KINDS))
    return Report(title, conditions, size, accuracy, paired)


def _accuracy(accuracy: Accuracy, paired: Paired, points: float) -> Condition:
    gain, low, high = (round(100 * each, 2) + 0.0 for each in (paired.gain, *paired.interval))  # never -0
    interval = f"(95 % interval {low:+.2f} to {high:+.2f}); its low end must be above {-points:g}"
    found = f"{accuracy}\n{'':12}float → file: {gain:+.2f} points {interval}"
    look = BROKEN if gain < -5 else LOST if gain <= -points else UNSURE
    return Condition("accuracy", 100 * paired.interval[0] > -points, found, look)
