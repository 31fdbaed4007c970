"""A chosen threshold, and what every method that chooses one asks of its input.

----

ACIQ: thresholds from theory, where the distribution of the values is known but for its width.

----

How clipping thresholds are chosen: one function a method, all called alike.

A threshold alpha clips values to the range from -alpha to alpha, or from 0 to alpha where none is negative. A small
one makes the step small, and so the rounding error of what it keeps; a large one keeps more. Every method is
another answer to which error counts.

``method(x, bits=8, signed=None, ...)`` takes an array, or the :class:`Histogram` of its magnitudes, which can be
counted batch by batch, and returns a :class:`Threshold`. Where a method looks at a grid, it is the one that ends
at the threshold: ``alpha = Q * scale``, where Q is the highest integer, ``2**(bits - 1) - 1`` signed and
``2**bits - 1`` unsigned. Others write ``2**(bits - 1) * scale`` (ACIQ, PPQ): compare scales, not thresholds.

Values that are all 0 get the threshold 0, since every grid holds them; parameters made of it have scale 1. What
cannot be used raises a ValueError or TypeError that says why: no value at all, NaN, negative values for unsigned
integers, a histogram of ``x`` instead of ``|x|``.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from qkit.numeric.affine import LARGEST, QuantParams, QuantSpec, params_from_range, reals
from qkit.numeric.curves import alternate, divergences, errors_at_edges, squared_errors
from qkit.numeric.histogram import Bins, Histogram, Samples, histogram_of

CANDIDATES = 2048
"""How many thresholds are tried on an array, evenly spaced up to its largest magnitude."""


@dataclass(frozen=True, eq=False, repr=False)
class Threshold:
    """Where to clip, and why there.

    Attributes
    ----------
    value : float
        The largest magnitude that is kept.
    method : str
        The function that chose it.
    why : str
        What made it this one.
    signed : bool
        Whether there are negative values to keep.
    candidates, curve : ndarray of float64
        Every threshold that was considered, and the method's criterion there; empty where it has none.
    """

    value: float
    method: str
    why: str
    signed: bool
    candidates: np.ndarray | tuple = ()
    curve: np.ndarray | tuple = ()

    def __post_init__(self) -> None:
        for name in ("candidates", "curve"):
            array = np.array(getattr(self, name), np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def low(self) -> float:
        """The smallest value that is kept: ``-value``, or 0 where none is negative."""
        return -self.value if self.signed else 0.0

    def params(self, spec: QuantSpec) -> QuantParams:
        """Lay a grid over the kept range, as :func:`params_from_range` does.

        A symmetric grid maps ``value`` to ``qmax``. An asymmetric one has all its integers between ``low`` and
        ``value``: int8 stands for the same numbers as uint8 then, which is how LiteRT stores what ReLU returns.
        """
        return params_from_range(self.low, self.value, spec)

    def __repr__(self) -> str:
        return f"Threshold: {self.method} keeps {self.low:.4g} to {self.value:.4g}: {self.why}"


class Calibration:
    """What every method asks of its input, whether array or histogram."""

    def __init__(self, x: np.ndarray | Histogram, bits: int, signed: bool | None) -> None:
        self.values = Bins(x) if isinstance(x, Histogram) else Samples(x)
        low = self.values.low
        self.signed = low < 0 if signed is None else bool(signed)
        if low < 0 and not self.signed:
            raise ValueError(f"unsigned integers cannot stand for negative numbers, got {low:g}; use signed=True")
        self.steps = QuantSpec(bits, self.signed, symmetric=True, narrow_range=self.signed).qmax
        self.levels = self.steps + 1
        self.largest = max(abs(low), abs(self.values.high))

    def threshold(self, value: float, method: str, why: str, candidates=(), curve=()) -> Threshold:
        return Threshold(float(value), method, why, self.signed, candidates, curve)

    def nothing(self, method: str) -> Threshold:
        return self.threshold(0.0, method, "all values are 0, which every grid holds")

    def squared_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the candidate thresholds and the error of each, in ``values.unit``."""
        if isinstance(self.values, Bins):
            return np.arange(1, self.values.bins + 1), errors_at_edges(self.values, self.steps)
        candidates = np.arange(1, CANDIDATES + 1) / CANDIDATES
        return candidates, squared_errors(self.values, candidates, self.steps)


def rescaled(errors: np.ndarray, unit: float) -> np.ndarray:
    """Return squared errors in the unit of the data; beyond 1e308 they are infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return errors * unit * unit


def aciq_laplace(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Take the threshold from theory, for values with a Laplace distribution: ACIQ.

    The distribution has one number, ``b = mean(|x|)``. The objective is an approximation of the mean squared
    error, with rounding errors spread evenly over steps of ``2 alpha / 2**M``, M being the number of bits:

        2 b² exp(-alpha / b) + alpha² / (3 * 4**M)

    Its least is where ``alpha = b W(3 * 4**M)``, with Lambert's function W: at 2.83 b, 3.89 b and 5.03 b for 2, 3
    and 4 bits. It has ``2**M`` steps between -alpha and alpha. A grid with 0 in its middle has two fewer, and so
    another best threshold: 2.00 b at 2 bits, where ACIQ's costs 18 % more error.

    Unsigned values are taken as the right half of a distribution around 0, as ACIQ does after ReLU: they have M =
    ``bits + 1``. Exact zeros are left out, since ReLU, or pruning, made them. The threshold is never above the
    largest magnitude; its ``curve`` is the objective. Parameters as for :func:`minmax`.

    References
    ----------
    Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment" (ACIQ),
    arXiv:1810.05723.
    """
    from scipy.special import lambertw

    data = Calibration(x, bits, signed)
    if data.largest == 0:
        return data.nothing("aciq_laplace")
    mean = float(data.values.beyond(np.zeros(1))[1][0]) / (1 - data.values.zeros / data.values.count)
    fine = 12.0 * data.levels**2  # 3 * 4**M

    def objective(u: np.ndarray) -> np.ndarray:
        return 2 * np.exp(-u) + u**2 / fine

    return _from_theory(data, "aciq_laplace", "b", mean * data.values.unit, float(lambertw(fine).real), objective)


def aciq_gauss(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Take the threshold from theory, for values with a normal distribution: ACIQ.

    As :func:`aciq_laplace`, with ``sigma = sqrt(mean(x²))`` for b, and with ``u = alpha / sigma`` the objective

        sigma² ((1 + u²) erfc(u / sqrt(2)) - sqrt(2 / pi) u exp(-u² / 2)) + alpha² / (3 * 4**M)

    whose least is at 1.71, 2.15 and 2.55 sigma for 2, 3 and 4 bits. A grid with 0 in its middle has its best
    threshold at 1.22 sigma for 2 bits, where ACIQ's costs 34 % more error.
    """
    from scipy.special import erfc

    data = Calibration(x, bits, signed)
    if data.largest == 0:
        return data.nothing("aciq_gauss")
    sigma = math.sqrt(data.values.square / (1 - data.values.zeros / data.values.count)) * data.values.unit
    fine = 12.0 * data.levels**2  # 3 * 4**M

    def objective(u: np.ndarray) -> np.ndarray:
        return (1 + u**2) * erfc(u / np.sqrt(2)) - np.sqrt(2 / np.pi) * u * np.exp(-(u**2) / 2) + u**2 / fine

    low, high = 0.0, 10.0
    while high - low > 1e-12:  # the objective is convex: halve where its slope changes sign
        u = (low + high) / 2
        slope = u * (math.erfc(u / math.sqrt(2)) + 1 / fine) - math.sqrt(2 / math.pi) * math.exp(-(u**2) / 2)
        low, high = (u, high) if slope < 0 else (low, u)
    return _from_theory(data, "aciq_gauss", "sigma", sigma, low, objective)


def _from_theory(
    data: Calibration,
    method: str,
    name: str,
    spread: float,
    factor: float,
    objective: Callable[[np.ndarray], np.ndarray],
) -> Threshold:
    candidates = np.arange(1, CANDIDATES + 1) / CANDIDATES * data.largest
    curve = rescaled(objective(candidates / spread), spread)
    why = f"{factor:.3f} {name}, where {name} is {spread:.4g}"
    if factor * spread > data.largest:
        why += "; but the largest magnitude is less"
    return data.threshold(min(factor * spread, data.largest), method, why, candidates, curve)


__all__ = [
    "Threshold",
    "aciq_gauss",
    "aciq_laplace",
    "admm",
    "kl",
    "minmax",
    "moving_average",
    "mse",
    "per_channel",
    "percentile",
]


def minmax(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Clip nothing: the threshold is the largest magnitude, outlier or not.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Any shape; at least one value.
    bits : int
        From 2 to 16.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.
    """
    data = Calibration(x, bits, signed)
    return data.threshold(data.largest, "minmax", "the largest magnitude, so that nothing is clipped")


def moving_average(
    batches: Iterable[np.ndarray],
    bits: int = 8,
    signed: bool | None = None,
    decay: float = 0.999,
    start: float | None = None,
) -> Threshold:
    """Average the largest magnitudes of the batches: ``average = decay * average + (1 - decay) * largest``.

    As TensorFlow's quantization-aware training does for activations while it trains. One outlier counts little,
    and so do all batches but the last ``1 / (1 - decay)``. The only method here whose result depends on how the
    data are cut into batches, and on their order.

    The trap is where it starts. TensorFlow Model Optimization starts at 6, with decay 0.999: after 100 batches 90 %
    of that 6 are still there, whatever the data are.

    Parameters
    ----------
    batches : iterable of array_like
        An array is taken as batches along its first axis. Empty batches are skipped.
    bits, signed
        As for :func:`minmax`.
    decay : float
        From 0 (only the last batch counts) to below 1.
    start : float, optional
        The average before the first batch; by default, the first batch's largest magnitude.

    Returns
    -------
    Threshold
        Its ``candidates`` are the averages after every batch.
    """
    if isinstance(batches, Histogram):
        raise TypeError("a histogram no longer knows its batches; pass the list of batches")
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be from 0 to below 1, got {decay}")
    if start is not None and not (isinstance(start, Real) and 0 <= start <= LARGEST):
        raise ValueError(f"start must be a threshold, from 0 to {LARGEST:g}, or None, got {start!r}")
    average, averages, negative = start, [], False
    for x in batches:
        if np.size(x):
            data = Calibration(x, bits, signed)
            average = data.largest if average is None else decay * average + (1 - decay) * data.largest
            averages.append(average)
            negative |= data.signed
    if not averages:
        raise ValueError("batches must hold at least one value, got none; was an iterator read before?")
    left = decay ** (len(averages) - (start is None))
    why = f"the average of {len(averages)} batches, in which the start still has a share of {left:.1%}"
    return Threshold(float(average), "moving_average", why, negative, averages)


def percentile(
    x: np.ndarray | Histogram,
    bits: int = 8,
    signed: bool | None = None,
    share: float = 99.9,
    count_zeros: bool = True,
) -> Threshold:
    """Keep a share of the values: the smallest magnitude that at least ``share`` % of them do not exceed.

    It is one of the magnitudes, not a point between two; a histogram gives it to within one bin. Toolkits round
    to the lower edge of that bin.

    Parameters
    ----------
    x, bits, signed
        As for :func:`minmax`.
    share : float
        In per cent: above 1, because 0.999 is meant as 99.9, to 100, which is :func:`minmax`.
    count_zeros : bool
        Whether exact zeros count as values. After ReLU most are zeros, and then 99 % of all values are far fewer
        of those that need the grid.
    """
    data = Calibration(x, bits, signed)
    if not 1 < share <= 100:
        raise ValueError(f"share must be in per cent, above 1 to 100 (99.9, not 0.999), got {share}")
    if data.largest == 0:
        return data.nothing("percentile")
    count, zeros = data.values.count, data.values.zeros
    # The slack is for products such as 0.07 * 100, which is a little more than 7.
    rank = math.ceil(share / 100 * (count - zeros * (not count_zeros)) * (1 - 1e-14)) - zeros * count_zeros
    if rank < 1:
        raise ValueError(
            f"{zeros / count:.1%} of the values are 0, so share={share} would clip everything; "
            "take a larger share, or count_zeros=False"
        )
    what = "all values" if count_zeros else "the values that are not 0"
    return data.threshold(data.values.ranked(rank), "percentile", f"{share:g} % of {what} do not exceed it")


def mse(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Make the mean squared error of clipping and rounding together as small as any candidate does.

    The error at each candidate is exact but for float64 rounding, by the identity of :mod:`qkit.numeric.curves`;
    for a histogram, if values spread evenly over their bins. Of equal errors the largest threshold is taken.

    Parameters
    ----------
    x, bits, signed
        As for :func:`minmax`. Of an array, 2,048 thresholds are tried, evenly spaced; of a histogram, the upper
        edges of all bins. Above 8 bits, this can take seconds.
    """
    data = Calibration(x, bits, signed)
    if data.largest == 0:
        return data.nothing("mse")
    values = data.values
    candidates, errors = data.squared_errors()
    best = _last_minimum(errors, 1e-14 * values.square)
    curve = rescaled(errors, values.unit)
    why = f"the least mean squared error, {curve[best]:.3g}, of {len(curve)} candidates"
    return data.threshold(candidates[best] * values.unit, "mse", why, candidates * values.unit, curve)


def kl(
    x: np.ndarray | Histogram,
    bits: int = 8,
    signed: bool | None = None,
    drop_zeros: bool = True,
    start: int | None = None,
) -> Threshold:
    """Lose least information: TensorRT's entropy method, with every candidate and at any width.

    The criterion is the divergence of :mod:`qkit.numeric.curves`, between the histogram of the clipped magnitudes
    and the same merged into ``2**(bits - 1)`` levels, or ``2**bits`` unsigned. Its ruler is the bin: the number of
    bins changes the criterion. Two remedies, without which it can destroy a network, are on:

    * exact zeros are left out. They are the peak in the first bin after ReLU, and a grid holds them without error;
      left in, they make it look cheap to clip everything else.
    * the first candidate keeps ``max(2 * levels, 128)`` bins. With about one bin a level, merging changes nothing,
      and clipping looks free of rounding errors.

    They do not cure everything. Where most values lie in few bins, at another peak (what a bias makes of a black
    background) or before a long tail, clipping the others still looks cheap. Compare with :func:`mse`.

    Parameters
    ----------
    x, bits, signed
        As for :func:`minmax`. An array is counted first: in 2,048 bins, or in 8 for every level if that is more. Then
        every bit takes four times as long: seconds at 12 bits, minutes at 15.
    drop_zeros : bool
        The first remedy.
    start : int, optional
        How many bins the first candidate keeps; by default, the second remedy. TensorRT's slides start at 128.

    Returns
    -------
    Threshold
        Its ``curve`` is in nats, and infinite at candidates that clip something and whose last bin is empty. Of
        divergences that are equal to within 1e-12 the largest threshold is taken.

    References
    ----------
    Migacz 2017, "8-bit inference with TensorRT", GTC slides s7310.
    """
    data = Calibration(x, bits, signed)
    if data.largest == 0:
        return data.nothing("kl")
    levels = data.levels
    histogram = x if isinstance(x, Histogram) else histogram_of(data.values.x, max(CANDIDATES, 8 * levels))
    counts = histogram.nonzero_counts if drop_zeros else histogram.counts
    first = max(2 * levels, 128) if start is None else start
    if not (isinstance(first, Integral) and 1 <= first <= len(counts)):
        raise ValueError(
            f"the first candidate must keep a whole number of bins, from 1 to all {len(counts)} bins, got {first}; "
            f"{bits} bits have {levels} levels and need two bins for each: count {max(2 * levels, 128)} bins or more, "
            "or use mse"
        )
    first = int(first)
    # Bins beyond the largest value, in a histogram wider than its data, are no candidates: they would clip nothing.
    end = max(first, np.flatnonzero(counts)[-1] + 1)
    curve = divergences(counts[:end], levels, first)
    candidates = np.minimum(histogram.edges[first : end + 1], data.largest)
    best = _last_minimum(curve, 1e-12)
    zeros = "without exact zeros" if drop_zeros else "with exact zeros"
    why = f"the least divergence, {curve[best]:.3g} nats, of {len(curve)} candidates, {zeros}"
    return data.threshold(candidates[best], "kl", why, candidates, curve)


def admm(
    x: np.ndarray | Histogram,
    bits: int = 8,
    signed: bool | None = None,
    start: str | float = "search",
    rounds: int = 300,
) -> Threshold:
    """Alternate: the best integers for the scale, then the best scale for the integers, until neither changes.

        q = clip(round(x / scale), -Q, Q)        scale = sum(x q) / sum(q²)

    Each half-step lowers the same error that :func:`mse` looks at, down to the nearest local minimum. From a bad
    start that is a bad one: at 8 bits, and in small tensors, this can end far above the best. MNN calls it ADMM,
    after the method of which it is one step: training with ADMM, where weights also move.

    Parameters
    ----------
    x, bits, signed
        As for :func:`minmax`.
    start : {"search", "max"} or float
        The threshold to begin with: what :func:`mse` finds, the largest magnitude, or this one. MNN begins at the
        largest magnitude divided by 2.5 (activations) or 1.25 (weights).
    rounds : int
        How many pairs of half-steps at most. MNN always takes 300 (activations) or 1,000 (weights).

    Returns
    -------
    Threshold
        Its ``candidates`` are the thresholds after every half-step, and its ``curve`` the mean squared errors:
        with new integers, with a new scale, with new integers, …

    References
    ----------
    Leng et al. 2018, "Extremely Low Bit Neural Network: Squeeze the Last Bit Out with ADMM", AAAI,
    arXiv:1707.09870; MNN's ``QuantizeWeightADMM`` and ``computeScaleADMM``, https://github.com/alibaba/MNN
    """
    data = Calibration(x, bits, signed)
    if not (start in ("search", "max") if isinstance(start, str) else isinstance(start, Real) and 0 < start <= LARGEST):
        raise ValueError(f"start must be 'search', 'max' or a positive threshold, got {start!r}")
    if not (isinstance(rounds, Integral) and rounds >= 1):
        raise ValueError(f"rounds must be a whole number, at least 1, got {rounds}")
    if data.largest == 0:
        return data.nothing("admm")
    values = data.values
    if start == "search":
        candidates, errors = data.squared_errors()
        begin = candidates[_last_minimum(errors, 1e-14 * values.square)]
    else:
        begin = (data.largest if start == "max" else start) / values.unit
    thresholds, errors = alternate(values, begin, data.steps, rounds)
    thresholds, curve = thresholds * values.unit, rescaled(errors, values.unit)
    taken = len(curve) // 2
    settled = "the scale no longer moves" if taken < rounds else "that was the last allowed"
    why = f"after {taken} rounds from {thresholds[0]:.4g} {settled}; mean squared error {curve[-1]:.3g}"
    return data.threshold(thresholds[-1], "admm", why, thresholds, curve)


def per_channel(method: Callable[..., Threshold], x: np.ndarray, spec: QuantSpec, **options: object) -> QuantParams:
    """Choose a threshold for every channel by itself.

    Parameters
    ----------
    method : function
        One of this module's, such as :func:`mse`.
    x : array_like of real numbers
    spec : QuantSpec
        Its ``axis`` counts the channels: the last one of a Keras kernel.
    **options
        For the method.

    Returns
    -------
    QuantParams
        One scale and zero-point a channel.

    Examples
    --------
    >>> kernel = np.array([[1.0, 0.1], [-0.5, 0.2]])
    >>> per_channel(minmax, kernel, QuantSpec(symmetric=True, narrow_range=True, axis=-1)).high
    array([1. , 0.2])
    """
    x = reals(x)
    if spec.axis is None:
        raise ValueError("spec must say which axis counts the channels, got None; for Keras kernels, axis=-1")
    # Asymmetric grids put all integers where the values are: they have as many steps as an unsigned one.
    signed = spec.signed if spec.symmetric else None
    found = [method(channel, spec.bits, signed, **options) for channel in np.moveaxis(x, spec.axis_of(x), 0)]
    ends = np.array([(threshold.low, threshold.value) for threshold in found]).reshape(-1, 2)
    return params_from_range(ends[:, 0], ends[:, 1], spec)


def _last_minimum(curve: np.ndarray, tolerance: float) -> int:
    """Return the index of the last value that is the least, rounding errors apart: it clips least."""
    return int(np.flatnonzero(curve <= curve.min() + tolerance)[-1])
