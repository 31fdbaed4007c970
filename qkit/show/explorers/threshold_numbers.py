"""The numbers behind the threshold explorer: what every method chooses, what it looked at, and what clipping costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qkit.numeric import thresholds
from qkit.numeric.curves import clipping_errors, reference_and_merged, squared_errors
from qkit.numeric.histogram import Histogram, histogram_of
from qkit.numeric.thresholds import Calibration, Threshold, rescaled
from qkit.show.canvas import as_drawable
from qkit.show.words.explorers import METHODS

CELLS = 128
"""How many bars at most a histogram is drawn with: more would be narrower than can be seen."""

POINTS = 200
"""At how many thresholds, evenly spaced, the errors are drawn."""

FUNCTIONS: dict[str, Callable[..., Threshold]] = {
    "minmax": thresholds.minmax,
    "percentile": thresholds.percentile,
    "mse": thresholds.mse,
    "kl": thresholds.kl,
    # As TensorRT's slides at 8 bits: the first candidate has one bin a level.
    "kl_plain": lambda x, bits: thresholds.kl(
        x, bits, drop_zeros=False, start=min(2 ** (bits - (x.range.low < 0)), len(x.counts))
    ),
    "admm": thresholds.admm,
    "aciq_laplace": thresholds.aciq_laplace,
    "aciq_gauss": thresholds.aciq_gauss,
}

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Layer:
    """A histogram of magnitudes on an axis that other sets of images share.

    Attributes
    ----------
    name : str
        Of the layer, and of the images if there are several sets.
    data : Calibration
    reach : float
        Where the axis ends: the largest magnitude in all sets.
    heights : ndarray of float64, shape (CELLS,)
        Of the bars along the axis: logarithms of counts, in shares of that of the highest bar in all sets.
    """

    name: str
    data: Calibration
    reach: float
    heights: np.ndarray

    @property
    def zeros(self) -> float:
        """The share of exact zeros."""
        return self.data.values.zeros / self.data.values.count

    def percent(self, threshold: float | np.ndarray) -> float | np.ndarray:
        """Return thresholds in per cent of the axis."""
        return 100 * (threshold / self.reach)


def comparable(histograms: Mapping | Histogram | np.ndarray) -> dict[str, dict[str, Layer]]:
    """Return the layers of every set of images."""
    if not isinstance(histograms, Mapping):
        histograms = {"x": histograms}
    if not any(isinstance(each, Mapping) for each in histograms.values()):
        histograms = {"": histograms}
    names = next(list(each) for each in histograms.values() if isinstance(each, Mapping))
    if not names:
        raise ValueError("histograms must hold at least one layer, got none")
    for name in (*histograms, *names):
        if not isinstance(name, str):
            raise ValueError(f"layers and sets of images must have names, got {name!r}")
    found: dict[str, dict[str, Layer]] = {images: {} for images in histograms}
    for images, layers in histograms.items():
        if not isinstance(layers, Mapping) or set(layers) != set(names):
            raise ValueError(f"every set must hold the layers {', '.join(names)}; {images!r} does not")
    for name in names:
        data = {images: _data(name, layers[name]) for images, layers in histograms.items()}
        reach = max(each.largest for each in data.values()) or 1.0
        counts = {images: _counts(each, reach) for images, each in data.items()}
        highest = np.log(max(2, *(each.max() for each in counts.values())))
        for images, each in data.items():
            label = f"{name}, {images}" if images else name
            found[images][name] = Layer(label, each, reach, np.log(counts[images]) / highest)
    return found


@lru_cache(maxsize=256)
def find(layer: Layer, bits: int, method: str, **options: float) -> Threshold:
    """Return the threshold that a method chooses."""
    return FUNCTIONS[method](layer.data.values.histogram, bits, **options)


class View:
    """What picture and words show at one setting of the controls.

    Attributes
    ----------
    data : Calibration
        The layer's, at this number of bits.
    found : dict of str to Threshold or None
        What every method chooses; none where it finds nothing, such as 99.9 % of values that are 0.
    chosen : Threshold
        What the method that is explained chooses.
    divergence : bool
        Whether that method minimises a divergence.
    hand, clipped, clipping, rounding : float
        The threshold by hand, the share of the values that it clips, and its two errors.
    curves : dict of str to pair of ndarray
        Thresholds, and what they have: the ``"divergence"``; or the errors of ``"clipping"`` and ``"rounding"``, their
        ``"sum"``, and the ``"theory"`` or ``"path"`` of the method.
    least, at_chosen, at_hand : float
        The divergence or sum of the best candidate and of the two thresholds; NaN where there is none.

    Raises
    ------
    ValueError
        If the method that is explained finds no threshold.
    """

    def __init__(self, layer: Layer, bits: int, method: str, percentile: float, end: float) -> None:
        self.layer, self.bits, self.method, self.percentile, self.end = layer, bits, method, percentile, end
        self.data = Calibration(layer.data.values.histogram, bits, None)
        self.found: dict[str, Threshold | None] = {}
        for each in FUNCTIONS:
            try:
                self.found[each] = find(layer, bits, each, **({"share": percentile} if each == "percentile" else {}))
            except ValueError:
                if each == method:
                    raise
                self.found[each] = None
        self.chosen, self.hand = self.found[method], end / 100 * layer.reach
        self.divergence = method.startswith("kl")
        self._judge()

    def name(self, method: str) -> str:
        """Return what a method is called at this setting."""
        return f"{METHODS[method]} {self.percentile:g}" if method == "percentile" else METHODS[method]

    def _judge(self) -> None:
        layer, chosen, values = self.layer, self.chosen, self.data.values
        beyond = values.beyond(np.array([self.hand / values.unit]))[0][0]
        self.clipped = max(float(beyond), 0.0) if self.hand < layer.data.largest else 0.0
        at = np.append(layer.reach * np.arange(1, POINTS + 1) / POINTS, [chosen.value, self.hand])
        clipping, rounding = errors(self.data, at)
        self.clipping, self.rounding = float(clipping[-1]), float(rounding[-1])
        if self.divergence:
            self.curves = {"divergence": (chosen.candidates, chosen.curve)}
            marks = [beside(chosen.candidates, chosen.curve, place) for place in (chosen.value, self.hand)]
        else:
            marks = clipping[-2:] + rounding[-2:]
            order = np.argsort(at)
            parts = {"clipping": clipping, "rounding": rounding, "sum": clipping + rounding}
            self.curves = {name: (at[order], part[order]) for name, part in parts.items()}
            if self.method.startswith("aciq"):  # the theory is about the values that are not 0, the others about all
                self.curves["theory"] = chosen.candidates, chosen.curve * (1 - layer.zeros)
            elif self.method == "admm":
                self.curves["path"] = chosen.candidates, chosen.curve
        self.at_chosen, self.at_hand = map(float, marks)
        every = self.found[self.method if self.divergence else "mse"].curve
        usable = every[np.isfinite(every) & (every > 0)]
        self.least = float(usable.min()) if usable.size else np.nan


def errors(data: Calibration, at: np.ndarray) -> Curve:
    """Return the errors of clipping and of rounding at each threshold; values spread evenly over their bins."""
    values = data.values
    t = at / values.unit
    clipping = clipping_errors(values, t)
    rounding = np.maximum(squared_errors(values, t, data.steps) - clipping, 0)
    return rescaled(clipping, values.unit), rescaled(rounding, values.unit)


def beside(x: np.ndarray, curve: np.ndarray, place: float) -> float:
    """Return the curve at the candidate next to ``place``; NaN before the first one and after the last."""
    half = (x[-1] - x[0]) / len(x) / 2 if len(x) else np.nan
    inside = len(x) and x[0] - half <= place <= x[-1] + half
    return float(curve[np.argmin(np.abs(x - place))]) if inside else np.nan


def outlines(view: View) -> list[Curve]:
    """Return two densities and their edges, in shares of the threshold by hand.

    P and Q of the divergence that is explained; else the magnitudes and the levels that they land on.
    """
    values, steps = view.data.values, view.data.steps
    t = view.hand / values.unit
    if view.divergence:
        kept = int(np.clip(np.rint(t), 1, values.bins))
        borders = np.append(np.arange(0, kept, -(-kept // CELLS)), kept)
        counts = values.histogram.nonzero_counts if view.method == "kl" else values.histogram.counts
        pair = reference_and_merged(counts, view.data.levels, kept)
        return [(np.add.reduceat(mass, borders[:-1]) / np.diff(borders / t), borders / t) for mass in pair]
    edges = np.linspace(0, 1, CELLS + 1), np.clip((np.arange(steps + 2) - 0.5) / steps, 0, 1)
    before, after = (values.beyond(each * t)[0] for each in edges)
    after[-1] = 0  # what is clipped lands on the last level
    whole = max(before[0], 1e-300)
    return [
        (-np.diff(beyond) / whole / np.diff(each), each) for beyond, each in zip((before, after), edges, strict=True)
    ]


def _data(name: str, x: np.ndarray | Histogram) -> Calibration:
    histogram = x if isinstance(x, Histogram) else histogram_of(as_drawable(x, f"the values of {name!r}"))
    try:
        return Calibration(histogram, 8, None)
    except ValueError as error:
        raise ValueError(f"{name!r} cannot be used: {error}") from None


def _counts(data: Calibration, reach: float) -> np.ndarray:
    """Return twice the counts of magnitudes in the cells of the axis, and 1 where there is none."""
    beyond = data.values.beyond(np.linspace(0, reach / data.values.unit, CELLS + 1))[0]
    return np.maximum(-2 * data.values.count * np.diff(beyond), 1)
