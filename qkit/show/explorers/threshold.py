"""Where to clip: the histogram of a layer, what every method would choose, and a threshold under the learner's hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qkit.numeric import thresholds
from qkit.numeric.choice import Data, Threshold
from qkit.numeric.clipping import clipping_errors, squared_errors
from qkit.numeric.histogram import Histogram, histogram_of
from qkit.show.explorer import Explorer, choice, slider
from qkit.show.explorers.parts import as_drawable
from qkit.show.explorers.threshold_picture import Parts, beside
from qkit.show.stage import Stage
from qkit.show.words.engine import number, share
from qkit.show.words.explorers import CONTROLS, METHODS, THRESHOLD


def threshold(
    histograms: Mapping[str, Histogram | np.ndarray] | Histogram | np.ndarray,
    *,
    layer: str | None = None,
    bits: int = 4,
    method: str = "mse",
    end: float = 60.0,
) -> Explorer:
    """Show what every method that chooses a clipping threshold would choose, beside one chosen by hand.

    Parameters
    ----------
    histograms : mapping of names to histograms, or one
        Of magnitudes, of the activations or weights of each layer. An array is counted in 2,048 bins first.
    layer
        Where the control starts: by default, the first name.
    bits, method, end
        Where the controls start; ``end`` is the threshold by hand, in per cent of the largest magnitude.

    Returns
    -------
    Explorer
        With the controls ``bits``, ``method``, ``end`` and, where there are several, ``layer``.

    Raises
    ------
    ValueError
        If there is nothing to count, a value is not finite, a histogram is not one of magnitudes, or a control does
        not offer what it should start with.
    """
    layers = {name: Layer(name, each) for name, each in _named(histograms).items()}
    first = next(iter(layers))
    if layer is not None and layer not in layers:
        raise ValueError(f"layer must be one of {', '.join(map(repr, layers))}, got {layer!r}")
    stage = Stage(9, 6.2, Parts)

    def update(bits, method, end, layer=first) -> tuple[bytes, str]:
        here = layers[layer]
        chosen, hand = here.threshold(bits, method), here.split(bits, end)
        stage.parts.show(here, bits, method, chosen, hand)
        return stage.png(), say(here, bits, method, chosen, hand)

    controls = {"layer": choice(*CONTROLS["layer"], first, {name: name for name in layers})} if len(layers) > 1 else {}
    controls |= {
        "bits": slider(*CONTROLS["bits"], 4, 2, 8),
        "method": choice(*CONTROLS["method"], "mse", METHODS),
        "end": slider(*CONTROLS["end"], 60, 1, 100, step=0.5),
    }
    start = {"bits": bits, "method": method, "end": end}
    if len(layers) > 1 and layer is not None:
        start["layer"] = layer
    return Explorer(controls, update, stage.size, start)


FUNCTIONS: dict[str, Callable[[Histogram, int], Threshold]] = {
    "minmax": thresholds.minmax,
    "percentile": thresholds.percentile,
    "mse": thresholds.mse,
    "kl": thresholds.kl,
    # As TensorRT's slides at 8 bits: the first candidate has one bin a level.
    "kl_plain": lambda x, bits: thresholds.kl(
        x, bits, drop_zeros=False, start=min(2 ** (bits - (x.range.low < 0)), len(x.counts))
    ),
    "admm": thresholds.admm,
    "aciq": thresholds.aciq_laplace,
}


@dataclass(frozen=True)
class Split:
    """The mean squared error at a threshold, and what of it is clipping and what rounding."""

    value: float
    clipped: float
    clipping: float
    rounding: float

    @property
    def sum(self) -> float:
        """The mean squared error."""
        return self.clipping + self.rounding


class Layer:
    """A histogram of magnitudes, and what the explorer asks about it; the answers are remembered, but not many."""

    def __init__(self, name: str, x: Histogram | np.ndarray) -> None:
        self.name = name
        histogram = x if isinstance(x, Histogram) else histogram_of(as_drawable(x, f"the values of {name!r}"))
        try:
            data = Data(histogram, 8, None)
        except ValueError as error:
            raise ValueError(f"{name!r} cannot be used: {error}") from None
        self.histogram, self.values, self.signed = histogram, data.values, data.signed
        self.largest = data.largest
        self.threshold = lru_cache(maxsize=64)(self._threshold)
        self.errors = lru_cache(maxsize=16)(self._errors)

    @property
    def zeros(self) -> float:
        """The share of exact zeros."""
        return self.histogram.zeros / self.histogram.count

    def levels(self, bits: int) -> int:
        """How many levels the divergence merges magnitudes into."""
        return 2 ** (bits - self.signed)

    def steps(self, bits: int) -> int:
        """The highest integer."""
        return self.levels(bits) - 1

    def percent(self, threshold: np.ndarray) -> np.ndarray:
        """Return thresholds in per cent of the largest magnitude."""
        return 100 * (np.asarray(threshold) / (self.largest or 1.0))

    def split(self, bits: int, end: float) -> Split:
        """Return the errors at ``end`` per cent of the largest magnitude; values spread evenly over their bins."""
        value = end / 100 * self.largest
        if value == 0:
            return Split(0.0, 0.0, 0.0, 0.0)
        unit = self.values.unit
        t = np.array([value / unit])
        clipping = clipping_errors(self.values, t)
        rounding = np.maximum(squared_errors(self.values, t, self.steps(bits)) - clipping, 0)
        clipped = float(self.values.beyond(t)[0][0]) if end < 100 else 0.0
        scaled = thresholds.rescaled(np.append(clipping, rounding), unit)
        return Split(value, max(clipped, 0.0), float(scaled[0]), float(scaled[1]))

    def try_all(self, bits: int) -> dict[str, Threshold | None]:
        """Return the threshold of every method; none where it finds none, such as 99.9 % of values that are 0."""
        found: dict[str, Threshold | None] = {}
        for method in FUNCTIONS:
            try:
                found[method] = self.threshold(bits, method)
            except ValueError:
                found[method] = None
        return found

    def _threshold(self, bits: int, method: str) -> Threshold:
        return FUNCTIONS[method](self.histogram, bits)

    def _errors(self, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the upper edges of the bins, and there the error of clipping and of rounding."""
        edges = np.arange(1, self.values.bins + 1)
        sums = self.threshold(bits, "mse").curve
        if self.largest == 0:
            return np.zeros((3, 0))
        clipping = thresholds.rescaled(clipping_errors(self.values, edges), self.values.unit)
        with np.errstate(invalid="ignore"):  # beyond 1e308
            return edges * self.values.unit, clipping, np.maximum(sums - clipping, 0)


def say(layer: Layer, bits: int, method: str, chosen: Threshold, hand: Split) -> str:
    """Say in words what the picture shows."""
    if layer.largest == 0:
        return THRESHOLD["all_zero"]
    sentences = [
        THRESHOLD["chosen"].format(
            bits=bits,
            kind=THRESHOLD["signed" if layer.signed else "unsigned"],
            name=METHODS[method],
            value=number(chosen.value),
            share=share(chosen.value / layer.largest),
            why=chosen.why.replace("e-", "e−"),
        ),
        THRESHOLD["hand"].format(
            value=number(hand.value),
            percent=number(100 * (hand.value / layer.largest)),
            clipped=share(hand.clipped),
            clipping=amount(hand.clipping),
            rounding=amount(hand.rounding),
            sum=amount(hand.sum),
        ),
    ]
    if method.startswith("kl"):
        found = beside(chosen.candidates, chosen.curve, hand.value)
        kind = "no_candidate" if np.isnan(found) else "divergence" if np.isfinite(found) else "infinite"
        percent = number(100 * (chosen.candidates[0] / layer.largest))
        sentences.append(THRESHOLD[kind].format(divergence=amount(found), percent=percent))
    if layer.zeros:
        sentences.append(THRESHOLD["left_out"].format(zeros=share(layer.zeros)))
    missing = [METHODS[each] for each, found in layer.try_all(bits).items() if found is None]
    if missing:
        sentences.append(THRESHOLD["impossible"].format(methods="; ".join(missing)))
    return " ".join(sentences)


def amount(x: float) -> str:
    """Write a number that may be too large for a float."""
    return number(x) if np.isfinite(x) else "∞"


def _named(histograms: Mapping | Histogram | np.ndarray) -> dict[str, Histogram | np.ndarray]:
    if not isinstance(histograms, Mapping):
        return {"values": histograms}
    if not histograms:
        raise ValueError("histograms must hold at least one layer, got none")
    for name in histograms:
        if not isinstance(name, str):
            raise ValueError(f"layers must have names, got {name!r}")
    return dict(histograms)
