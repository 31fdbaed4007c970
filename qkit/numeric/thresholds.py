"""How clipping thresholds are chosen: one function a method, all called alike.

A threshold alpha clips values to the range from -alpha to alpha, or from 0 to alpha where none is negative. A small
one makes the step small, and so the rounding error of what it keeps; a large one keeps more. Every method is
another answer to which error counts.

``method(x, bits=8, signed=None, ...)`` takes an array, or the :class:`Histogram` of its magnitudes, which can be
counted batch by batch, and returns a :class:`Threshold`. ``bits`` are 2 to 16; ``signed`` says whether there are
negative integers, by default if there are negative values. Where a method looks at a grid, it is the one that ends
at the threshold: ``alpha = Q * scale``, where Q is the highest integer, ``2**(bits - 1) - 1`` signed and
``2**bits - 1`` unsigned. Others write ``2**(bits - 1) * scale`` (ACIQ, PPQ): compare scales, not thresholds.

Values that are all 0 get the threshold 0, since every grid holds them; parameters made of it have scale 1. Empty
arrays, NaN, and negative values where ``signed`` is False are a ValueError, what is no number a TypeError.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from qkit.numeric.affine import LARGEST, QuantParams, QuantSpec, checked, params_from_range, reals, whole
from qkit.numeric.curves import divergences, squared_errors
from qkit.numeric.histogram import Histogram, Samples, histogram_of, magnitudes_of

CANDIDATES = 2048
"""How many thresholds are tried on an array, evenly spaced up to its largest magnitude."""

Values = np.ndarray | Histogram | Samples


@dataclass(frozen=True, eq=False, repr=False)
class Threshold:
    """Where to clip, and why there.

    ``value`` is the largest magnitude that is kept. The ``method`` chose it. The ``curve`` is its criterion at the
    ``candidates``: arrays of float64, empty where it has none.
    """

    value: float
    method: str
    why: str
    signed: bool
    candidates: np.ndarray = field(default_factory=lambda: np.empty(0))
    curve: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))  # of a float32, the step would be one, too

    @property
    def low(self) -> float:
        """The smallest value that is kept: ``-value``, or 0 where not ``signed``."""
        return -self.value if self.signed else 0.0

    def params(self, spec: QuantSpec) -> QuantParams:
        """Lay a grid over the kept range, as :func:`params_from_range` does.

        A symmetric grid maps ``value`` to ``qmax``. An asymmetric one has all its integers between ``low`` and
        ``value``: where ``low`` is 0, int8 stands for the same numbers as uint8.
        """
        return params_from_range(self.low, self.value, spec)

    def __repr__(self) -> str:
        return f"Threshold: {self.method} keeps {self.low:.4g} to {self.value:.4g}: {self.why}"


def minmax(x: Values, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Clip nothing: the threshold is ``max(|x|)``, the largest magnitude, outlier or not.

    It minimises the clipping error, which becomes 0, whatever rounding then costs: ``bits`` make no difference.
    ``signed`` is by default whether there are negative values. Source: Jacob et al. 2018, arXiv:1712.05877, section
    3.1. Taught in notebook 04, section 2.

    >>> minmax([0.5, -2.0, 1.0])
    Threshold: minmax keeps -2 to 2: the largest magnitude, so that nothing is clipped
    """
    values, signed, _ = _read(x, bits, signed)
    return Threshold(values.largest, "minmax", "the largest magnitude, so that nothing is clipped", signed)


def percentile(
    x: Values, bits: int = 8, signed: bool | None = None, share: float = 99.9, count_zeros: bool = True
) -> Threshold:
    """Keep a share of the values: the smallest magnitude that at least ``share`` % of them do not exceed.

    Of n magnitudes in order, it is the one with the rank ``ceil(share / 100 * n)``: one of the magnitudes, not a point
    between two. A histogram gives it to within one bin; toolkits round to the lower edge of that bin. ``bits`` make no
    difference; ``signed`` is by default whether there are negative values. A ``share`` of 1 or less is refused, because
    0.999 is meant as 99.9. ``count_zeros`` says whether exact zeros count as values: after ReLU most are, and then
    99 % of all values are far fewer of those that need the grid. If all that it keeps is 0, that is a ValueError.
    Source: McKinstry et al. 2018, arXiv:1809.04191. Taught in notebook 04, section 2.

    >>> percentile([0.0, 0.0, 1.0, 2.0, 100.0], share=80).value
    2.0
    """
    values, signed, _ = _read(x, bits, signed)
    if not 1 < share <= 100:
        raise ValueError(f"share must be in per cent, above 1 to 100 (99.9, not 0.999), got {share}")
    if values.largest == 0:
        return _all_zero("percentile", signed)
    first = values.zeros if count_zeros else 0  # zeros that count have the first ranks
    # The slack is for products such as 0.07 * 100, which is a little more than 7.
    rank = math.ceil(share / 100 * (values.count - values.zeros + first) * (1 - 1e-14)) - first
    if rank < 1:
        why = f"{values.zeros / values.count:.1%} of the values are 0, so share={share} would clip everything"
        raise ValueError(f"{why}; take a larger share, or count_zeros=False")
    what = "all values" if count_zeros else "the values that are not 0"
    return Threshold(values.ranked(rank), "percentile", f"{share:g} % of {what} do not exceed it", signed)


def mse(x: Values, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Make the mean squared error of clipping and rounding together as small as any candidate does.

    With a = |x|, Q the highest integer, and the threshold Qs, it minimises ``mean((a - s q)²)`` over s, where
    q = min(round(a / s), Q). By that definition, in a loop::

        errors = []
        for threshold in candidates:
            s = threshold / Q
            q = np.minimum(np.rint(a / s), Q)
            errors.append(np.mean((a - s * q) ** 2))

    :func:`qkit.numeric.curves.squared_errors` has the same errors, but for the rounding of float64, without touching
    every value for every candidate. Of an array, 2,048 thresholds are tried, evenly spaced; of a histogram, whose
    values spread evenly over their bins, all upper edges. The ``curve`` holds all errors; of equal ones it takes
    the largest threshold. More than 8 ``bits`` can take seconds; ``signed`` is by default whether there are negative
    values. Source: Sung, Shin and Hwang 2015, arXiv:1511.06488. Taught in notebook 04, section 3.

    >>> mse(np.repeat([-1.0, 3.0], [99, 1]), bits=2)
    Threshold: mse keeps -1.02 to 1.02: the least mean squared error, 0.0396, of 2048 candidates
    """
    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero("mse", signed)
    candidates = values.edges[1:] if isinstance(values, Histogram) else _evenly_spaced(values.largest)
    errors = squared_errors(values, candidates, steps)
    best = _last_minimum(errors, 1e-14 * values.beyond(0.0)[2])
    why = f"the least mean squared error, {errors[best]:.3g}, of {len(errors)} candidates"
    return Threshold(candidates[best], "mse", why, signed, candidates, errors)


def kl(
    x: Values, bits: int = 8, signed: bool | None = None, drop_zeros: bool = True, start: int | None = None
) -> Threshold:
    """Lose least information: TensorRT's entropy method, with every candidate and at any width.

    A candidate keeps the first bins of the histogram of magnitudes. P is the histogram after clipping, with what is
    clipped added to the last kept bin. Q is the kept part merged into ``2**(bits - 1)`` levels, or ``2**bits``
    unsigned, and each level's mass spread evenly over its bins that are not empty. Both sum to 1, and it minimises
    ``D(P || Q) = sum_j P_j ln(P_j / Q_j)``. By that definition, in a loop over the ``counts`` of the bins::

        divergences = []
        for kept in range(start, len(counts) + 1):
            p, q = reference_and_merged(counts, levels, kept)
            p, q = p[p > 0], q[p > 0]
            divergences.append(np.sum(p * np.log(p / q)) if q.all() else np.inf)

    :mod:`qkit.numeric.curves` makes P and Q, and has the same divergences a hundred times faster. Its ruler is the
    bin: the number of bins changes the criterion. Two remedies, without which it can destroy a network, are on:

    * exact zeros are left out. They are the peak in the first bin after ReLU, and a grid holds them without error;
      left in, they make it look cheap to clip everything else.
    * the first candidate keeps ``max(2 * levels, 128)`` bins. With about one bin a level, merging changes nothing,
      and clipping looks free of rounding errors.

    They do not cure everything: before a long tail, or at another peak, clipping the others still looks cheap. Compare
    with :func:`mse`.

    An array is counted in 2,048 bins. ``bits`` are 2 to 8: more levels need ever more bins, and time that grows with
    their square. ``signed`` is by default whether there are negative values, ``drop_zeros`` the first remedy, and
    ``start`` how many bins the first candidate keeps: by default the second remedy, in TensorRT's slides 128. The
    ``curve`` is in nats, infinite where something is clipped into an empty bin; of equal divergences, to within 1e-12,
    it takes the largest threshold. Source: Migacz 2017, "8-bit inference with TensorRT", GTC slides s7310. Taught in
    notebook 04, section 4.

    >>> kl(np.random.default_rng(0).normal(size=10_000), bits=4)
    Threshold: kl keeps -3.482 to 3.482: the least divergence, 0.0596 nats, of 1921 candidates, without exact zeros
    """
    values, signed, steps = _read(x, bits, signed)
    if bits > 8:
        raise ValueError(f"kl counts in at most 256 levels, 8 bits, got {bits} bits; use mse")
    if values.largest == 0:
        return _all_zero("kl", signed)
    histogram = values if isinstance(values, Histogram) else histogram_of(values.x)
    counts = histogram.nonzero_counts if drop_zeros else histogram.counts
    levels, least = steps + 1, max(2 * (steps + 1), 128)
    hint = f"; {bits} bits have {levels} levels: count {least} bins or more, or use mse"
    first = whole(least if start is None else start, "the first candidate's number of bins", 1, len(counts), hint)
    # Bins beyond the largest value, in a histogram wider than its data, are no candidates: they would clip nothing.
    end = max(first, np.flatnonzero(counts)[-1] + 1)
    candidates = np.minimum(histogram.edges[first : end + 1], values.largest)
    curve = divergences(counts[:end], levels, first)
    best = _last_minimum(curve, 1e-12)
    zeros = "without" if drop_zeros else "with"
    why = f"the least divergence, {curve[best]:.3g} nats, of {len(curve)} candidates, {zeros} exact zeros"
    return Threshold(candidates[best], "kl", why, signed, candidates, curve)


def admm(
    x: Values, bits: int = 8, signed: bool | None = None, start: str | float = "search", rounds: int = 300
) -> Threshold:
    """Alternate: the best integers for the scale, then the best scale for the integers, until neither changes.

    With a = |x|, Q the highest integer, and the threshold Qs, two half-steps take turns::

        for _ in range(rounds):
            q = np.minimum(np.floor(a / s + 0.5), Q)
            s = np.sum(a * q) / np.sum(q**2)

    Each lowers the same error ``mean((a - s q)²)`` that :func:`mse` minimises, down to the nearest local minimum. From
    a bad start that is a bad one: at 8 bits, and in small tensors, this can end far above the best.

    The ``candidates`` are the thresholds after every half-step, and the ``curve`` their errors: with new integers, with
    a new scale, with new integers, … MNN calls it ADMM, after the method of which it is one step. Source: Leng et al.
    2018, arXiv:1707.09870; ``QuantizeWeightADMM`` and ``computeScaleADMM`` in https://github.com/alibaba/MNN. Taught in
    notebook 04, section 5.

    It begins at what :func:`mse` finds, at the largest magnitude (``start="max"``), or at a threshold, which must not
    be so large that every value rounds to 0. MNN begins at the largest magnitude divided by 2.5 (activations) or 1.25
    (weights), and takes 300 or 1,000 rounds. ``signed`` is by default whether there are negative values.

    On the grid -s, 0, s: at s = 3 both 2 and 6 become s, and the best s for them is their mean.

    >>> admm([-1.0, 2.0, 6.0], bits=2, start=3.0).candidates
    array([3., 4., 4., 4.])
    """
    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero("admm", signed)
    if start == "search":
        start = mse(values, bits, signed).value
    elif start == "max":
        start = values.largest
    elif isinstance(start, np.floating):
        start = float(start)
    if not (isinstance(start, Real) and 0 < start <= LARGEST):
        raise ValueError(f"start must be 'search', 'max' or a positive threshold, got {start!r}")
    # No q is computed. It is at least k where a lies at or beyond the midpoint (k - 1/2) s: so sum(a q) adds up, for
    # every k, all a beyond it, and sum(q²) adds up 2k - 1 for each of them.
    midpoints, odd, square = np.arange(steps) + 0.5, 2.0 * np.arange(steps) + 1, values.beyond(0.0)[2]
    scale, scales, errors, end = start / steps, [], [], "that was the last allowed"
    for _ in range(whole(rounds, "rounds", 1, 10**6)):
        shares, sums = values.beyond(midpoints * scale, squares=False)
        aq, qq = sums.sum(), shares @ odd  # mean(a q) and mean(q²) of the best integers for the scale
        if qq <= 0:
            raise ValueError(f"start={start:g} is so large that every value rounds to 0")
        old, scale = scale, aq / qq  # the best scale for those integers
        scales += [old, scale]
        errors += [square - 2 * old * aq + old**2 * qq, square - aq**2 / qq]
        if abs(scale - old) <= 1e-12 * old:
            end = "the scale no longer moves"
            break
    candidates, curve = steps * np.array(scales), np.maximum(errors, 0)
    why = f"after {len(curve) // 2} rounds from {start:.4g} {end}; mean squared error {curve[-1]:.3g}"
    return Threshold(candidates[-1], "admm", why, signed, candidates, curve)


def aciq_laplace(x: Values, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Take the threshold from theory, for values with a Laplace distribution: ACIQ.

    The distribution has one number, ``b = mean(|x|)``. With ``u = alpha / b``, alpha being the threshold and M the
    number of bits, an approximation of the mean squared error is minimised, in which rounding errors spread evenly
    over steps of ``2 alpha / 2**M``:

        b² (2 exp(-u) + u² / (3 * 4**M))

    Its least is at u = 2.83, 3.90 and 5.03 for 2, 3 and 4 bits: Lambert's W(3 * 4**M). A grid with 0 in its middle has
    two steps fewer than ``2**M``, and its best threshold at 2.00 b for 2 bits, where ACIQ's costs 18 % more error.
    Unsigned values (``signed`` is False, by default if none is negative) are taken as the right half of a distribution
    around 0, as ACIQ does after ReLU: they have M = ``bits + 1``. Exact zeros are left out, since ReLU, or pruning,
    made them. The threshold is never above the largest magnitude. Source: Banner et al. 2019, arXiv:1810.05723. Taught
    in notebook 04, section 6.

    >>> aciq_laplace(np.random.default_rng(0).laplace(size=10_000), bits=4)
    Threshold: aciq_laplace keeps -5.045 to 5.045: 5.029 b, where b is 1.003
    """
    return _aciq("aciq_laplace", x, bits, signed, "b", lambda u: 2 * np.exp(-u))


def aciq_gauss(x: Values, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Take the threshold from theory, for values with a normal distribution: ACIQ.

    The distribution has one number, ``sigma = sqrt(mean(x²))``. With ``u = alpha / sigma``, what is minimised is

        sigma² ((1 + u²) erfc(u / sqrt(2)) - sqrt(2 / pi) u exp(-u² / 2) + u² / (3 * 4**M))

    whose least is at u = 1.71, 2.15 and 2.56 for 2, 3 and 4 bits. A grid with 0 in its middle has its best threshold
    at 1.22 sigma for 2 bits, where ACIQ's costs 34 % more error. What :func:`aciq_laplace` says of exact zeros and of
    ``signed`` holds here, too. Source: Banner et al. 2019, arXiv:1810.05723. Taught in notebook 04, section 6.

    >>> aciq_gauss(np.random.default_rng(0).normal(size=10_000), bits=4)
    Threshold: aciq_gauss keeps -2.554 to 2.554: 2.559 sigma, where sigma is 0.9981
    """
    from scipy.special import erfc

    def clipping(u: np.ndarray) -> np.ndarray:
        return (1 + u**2) * erfc(u / np.sqrt(2)) - np.sqrt(2 / np.pi) * u * np.exp(-(u**2) / 2)

    return _aciq("aciq_gauss", x, bits, signed, "sigma", clipping)


def per_channel(method: Callable[..., Threshold], x: np.ndarray, spec: QuantSpec, **options: object) -> QuantParams:
    """Choose a threshold for every channel by itself, and return one scale and zero-point for each.

    ``method`` is one of this module's functions, and ``options`` are for it. ``spec.axis`` counts the channels of the
    array: the last one of a Keras kernel. Taught in notebook 04, section 8.

    >>> kernel = np.array([[1.0, 0.1], [-0.5, 0.2]])
    >>> per_channel(minmax, kernel, QuantSpec(symmetric=True, narrow_range=True, axis=-1)).high
    array([1. , 0.2])
    """
    x = reals(x)
    if checked(spec, QuantSpec).axis is None:
        raise ValueError("spec must say which axis counts the channels, got None; for Keras kernels, axis=-1")
    # Asymmetric grids put all integers where the values are: they have as many steps as an unsigned one.
    signed = spec.signed if spec.symmetric else None
    found = [method(channel, spec.bits, signed, **options) for channel in np.moveaxis(x, spec.axis_of(x), 0)]
    return params_from_range([each.low for each in found], [each.value for each in found], spec)


def _read(x: Values, bits: int, signed: bool | None) -> tuple[Histogram | Samples, bool, int]:
    """Return the magnitudes of ``x``, whether the integers are signed, and the highest of them, Q."""
    values = magnitudes_of(x)
    signed = values.low < 0 if signed is None else bool(signed)
    if values.low < 0 and not signed:
        raise ValueError(f"unsigned integers cannot stand for negative numbers, got {values.low:g}; use signed=True")
    return values, signed, QuantSpec(bits, signed, symmetric=True, narrow_range=signed).qmax


def _all_zero(method: str, signed: bool) -> Threshold:
    return Threshold(0.0, method, "all values are 0, which every grid holds", signed)


def _evenly_spaced(largest: float) -> np.ndarray:
    return np.arange(1, CANDIDATES + 1) / CANDIDATES * largest


def _last_minimum(curve: np.ndarray, tolerance: float) -> int:
    """Return the index of the last value that is the least, rounding errors apart: it clips least."""
    return int(np.flatnonzero(curve <= curve.min() + tolerance)[-1])


def _aciq(method: str, x: Values, bits: int, signed: bool | None, name: str, clipping: Callable) -> Threshold:
    """Minimise the error of clipping and rounding, in squares of ``b`` or ``sigma``, where it has one minimum."""
    from scipy.optimize import minimize_scalar

    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero(method, signed)
    _, mean, square = np.divide(values.beyond(0.0), 1 - values.zeros / values.count)
    unit = mean if name == "b" else math.sqrt(square)

    def error(u: np.ndarray) -> np.ndarray:
        return clipping(u) + u**2 / (12 * (steps + 1) ** 2)  # 3 * 4**M

    u = minimize_scalar(error, bounds=(0, 30), method="bounded", options={"xatol": 1e-9}).x
    alpha, why = u * unit, f"{u:.3f} {name}, where {name} is {unit:.4g}"
    candidates = _evenly_spaced(values.largest)
    if alpha > values.largest:
        alpha, why = values.largest, f"{why}; but the largest magnitude is less"
    return Threshold(alpha, method, why, signed, candidates, unit**2 * error(candidates / unit))
