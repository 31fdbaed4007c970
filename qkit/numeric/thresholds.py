"""How clipping thresholds are chosen: one function a method, all called alike.

A threshold alpha clips values to the range from -alpha to alpha, or from 0 to alpha where none is negative. A small
one makes the step small, and so the rounding error of what it keeps; a large one keeps more. Every method is
another answer to which error counts.

``method(x, bits=8, signed=None, ...)`` takes an array, or the :class:`Histogram` of its magnitudes, which can be
counted batch by batch, and returns a :class:`Threshold`. Where a method looks at a grid, it is the one that ends
at the threshold: ``alpha = Q * scale``, where Q is the highest integer, ``2**(bits - 1) - 1`` signed and
``2**bits - 1`` unsigned. Others write ``2**(bits - 1) * scale`` (ACIQ, PPQ): compare scales, not thresholds.

Values that are all 0 get the threshold 0, since every grid holds them; parameters made of it have scale 1. What
cannot be used raises a ValueError or TypeError that says why: no value at all, NaN, negative values for unsigned
integers, a histogram of ``x`` instead of ``|x|``, nothing but magnitudes below 1e-100.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import numpy as np

from qkit.numeric.affine import LARGEST, QuantParams, QuantSpec, checked_spec, is_integer, params_from_range, reals
from qkit.numeric.curves import divergences, squared_errors
from qkit.numeric.histogram import Histogram, Samples, histogram_of

__all__ = ["Threshold", "aciq_gauss", "aciq_laplace", "admm", "kl", "minmax", "mse", "per_channel", "percentile"]

CANDIDATES = 2048
"""How many thresholds are tried on an array, evenly spaced up to its largest magnitude."""

TINIEST = 1e-100
"""If the largest magnitude is smaller, no threshold is chosen: squares of such numbers are 0 in float64."""


@dataclass(frozen=True, eq=False, repr=False)
class Threshold:
    """Where to clip, and why there.

    Taught in notebook 04, section 2.

    Parameters
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
        object.__setattr__(self, "value", float(self.value))
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


def minmax(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Clip nothing: the threshold is the largest magnitude ``max(|x|)``, outlier or not.

    It minimises the clipping error, which becomes 0, whatever rounding then costs. Taught in notebook 04, section 2.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Any shape; at least one value.
    bits : int
        From 2 to 16; here it makes no difference.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.

    Returns
    -------
    Threshold

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says.

    References
    ----------
    Jacob et al. 2018, arXiv:1712.05877, section 3.1 (weights).

    Examples
    --------
    >>> minmax([0.5, -2.0, 1.0])
    Threshold: minmax keeps -2 to 2: the largest magnitude, so that nothing is clipped
    """
    values, signed, _ = _read(x, bits, signed)
    largest = max(abs(values.low), abs(values.high))
    return Threshold(largest, "minmax", "the largest magnitude, so that nothing is clipped", signed)


def percentile(
    x: np.ndarray | Histogram,
    bits: int = 8,
    signed: bool | None = None,
    share: float = 99.9,
    count_zeros: bool = True,
) -> Threshold:
    """Keep a share of the values: the smallest magnitude that at least ``share`` % of them do not exceed.

    Of n magnitudes in order, a_1 ≤ a_2 ≤ … a_n, it is the one with the rank ``ceil(share / 100 * n)``: one of the
    magnitudes, not a point between two. A histogram gives it to within one bin; toolkits round to the lower edge of
    that bin. Taught in notebook 04, section 2.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Any shape; at least one value.
    bits : int
        From 2 to 16; here it makes no difference.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.
    share : float
        In per cent: above 1, because 0.999 is meant as 99.9, to 100, which is :func:`minmax`.
    count_zeros : bool
        Whether exact zeros count as values. After ReLU most are zeros, and then 99 % of all values are far fewer
        of those that need the grid.

    Returns
    -------
    Threshold

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says, ``share`` is not in
        per cent, or that share of the values is 0.

    References
    ----------
    McKinstry et al. 2018, "Discovering Low-Precision Networks Close to Full-Precision Networks for Efficient Embedded
    Inference", arXiv:1809.04191.

    Examples
    --------
    >>> percentile([0.0, 0.0, 1.0, 2.0, 100.0], share=80).value
    2.0
    """
    values, signed, _ = _read(x, bits, signed)
    if not 1 < share <= 100:
        raise ValueError(f"share must be in per cent, above 1 to 100 (99.9, not 0.999), got {share}")
    if values.largest == 0:
        return _all_zero("percentile", signed)
    left_out = 0 if count_zeros else values.zeros
    # The slack is for products such as 0.07 * 100, which is a little more than 7.
    rank = math.ceil(share / 100 * (values.count - left_out) * (1 - 1e-14))
    rank -= values.zeros - left_out  # zeros that count are the smallest magnitudes
    if rank < 1:
        raise ValueError(
            f"{values.zeros / values.count:.1%} of the values are 0, so share={share} would clip everything; "
            "take a larger share, or count_zeros=False"
        )
    what = "all values" if count_zeros else "the values that are not 0"
    return Threshold(values.ranked(rank), "percentile", f"{share:g} % of {what} do not exceed it", signed)


def mse(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Make the mean squared error of clipping and rounding together as small as any candidate does.

    With a = |x|, Q the highest integer and the threshold Qs, it minimises

        mean((a - s q)²),    q = min(round(a / s), Q)

    By its definition, in a loop::

        errors = []
        for threshold in candidates:
            s = threshold / Q
            q = np.minimum(np.rint(a / s), Q)
            errors.append(np.mean((a - s * q) ** 2))

    :func:`qkit.numeric.curves.squared_errors` has the same errors, but for the rounding of float64, without touching
    every value for every candidate. Taught in notebook 04, section 3.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Of an array, 2,048 thresholds are tried, evenly spaced; of a histogram, whose values spread evenly over their
        bins, the upper edges of all bins. Above 8 bits, this can take seconds.
    bits : int
        From 2 to 16.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.

    Returns
    -------
    Threshold
        Its ``curve`` has the errors. Of equal ones the largest threshold is taken.

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says.

    References
    ----------
    Sung, Shin and Hwang 2015, "Resiliency of Deep Neural Networks under Quantization", arXiv:1511.06488 (the search
    for the step with the least L2 error).

    Examples
    --------
    Two bits, signed, hold -s, 0 and s: clipping -2 to -1 is cheaper than rounding all the ones to 0.

    >>> mse([1.0, 1.0, 1.0, 1.0, -2.0], bits=2).value
    1.2001953125
    """
    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero("mse", signed)
    candidates = _candidates(values)
    errors = squared_errors(values, candidates, steps)
    best = _last_minimum(errors, 1e-14 * values.square)
    why = f"the least mean squared error, {errors[best]:.3g}, of {len(errors)} candidates"
    return Threshold(candidates[best], "mse", why, signed, candidates, errors)


def kl(
    x: np.ndarray | Histogram,
    bits: int = 8,
    signed: bool | None = None,
    drop_zeros: bool = True,
    start: int | None = None,
) -> Threshold:
    """Lose least information: TensorRT's entropy method, with every candidate and at any width.

    A candidate keeps the first bins of the histogram of magnitudes. P is the histogram after clipping, with what is
    clipped added to the last kept bin. Q is the kept part merged into ``2**(bits - 1)`` levels, or ``2**bits``
    unsigned, and each level's mass spread evenly over its bins that are not empty. Both sum to 1, and it minimises

        D(P || Q) = sum_j P_j ln(P_j / Q_j)

    By its definition, in a loop, where ``counts`` are those of the bins::

        divergences = []
        for kept in range(start, len(counts) + 1):
            p, q = reference_and_merged(counts, levels, kept)
            p, q = p[p > 0], q[p > 0]
            divergences.append(np.sum(p * np.log(p / q)) if q.all() else np.inf)

    :mod:`qkit.numeric.curves` has the same much faster, and makes P and Q. Its ruler is the bin: the number of bins
    changes the criterion. Two remedies, without which it can destroy a network, are on:

    * exact zeros are left out. They are the peak in the first bin after ReLU, and a grid holds them without error;
      left in, they make it look cheap to clip everything else.
    * the first candidate keeps ``max(2 * levels, 128)`` bins. With about one bin a level, merging changes nothing,
      and clipping looks free of rounding errors.

    They do not cure everything. Where most values lie in few bins, at another peak (what a bias makes of a black
    background) or before a long tail, clipping the others still looks cheap. Compare with :func:`mse`. Taught in
    notebook 04, section 4.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        An array is counted first: in 2,048 bins, or in 8 for every level if that is more. Then every bit takes four
        times as long: seconds at 12 bits, minutes at 15.
    bits : int
        From 2 to 16.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.
    drop_zeros : bool
        The first remedy.
    start : int, optional
        How many bins the first candidate keeps; by default, the second remedy. TensorRT's slides start at 128.

    Returns
    -------
    Threshold
        Its ``curve`` is in nats, and infinite at candidates that clip something and whose last bin is empty. Of
        divergences that are equal to within 1e-12 the largest threshold is taken.

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says, or there are fewer
        bins than the first candidate keeps.

    References
    ----------
    Migacz 2017, "8-bit inference with TensorRT", GTC slides s7310.

    Examples
    --------
    >>> bell = np.random.default_rng(0).normal(size=10_000)
    >>> kl(bell, bits=4)
    Threshold: kl keeps -2.525 to 2.525: the least divergence, 0.0237 nats, of 1921 candidates, without exact zeros
    """
    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero("kl", signed)
    levels = steps + 1
    histogram = values if isinstance(values, Histogram) else histogram_of(values.x, max(CANDIDATES, 8 * levels))
    counts = histogram.nonzero_counts if drop_zeros else histogram.counts
    first = max(2 * levels, 128) if start is None else start
    if not (is_integer(first) and 1 <= first <= len(counts)):
        raise ValueError(
            f"the first candidate must keep a whole number of bins, from 1 to all {len(counts)} bins, got {first}; "
            f"{bits} bits have {levels} levels and need two bins for each: count {max(2 * levels, 128)} bins or more, "
            "or use mse"
        )
    # Bins beyond the largest value, in a histogram wider than its data, are no candidates: they would clip nothing.
    end = max(int(first), np.flatnonzero(counts)[-1] + 1)
    candidates = np.minimum(histogram.edges[first : end + 1], values.largest)
    curve = divergences(counts[:end], levels, int(first))
    best = _last_minimum(curve, 1e-12)
    zeros = "without exact zeros" if drop_zeros else "with exact zeros"
    why = f"the least divergence, {curve[best]:.3g} nats, of {len(curve)} candidates, {zeros}"
    return Threshold(candidates[best], "kl", why, signed, candidates, curve)


def admm(
    x: np.ndarray | Histogram,
    bits: int = 8,
    signed: bool | None = None,
    start: str | float = "search",
    rounds: int = 300,
) -> Threshold:
    """Alternate: the best integers for the scale, then the best scale for the integers, until neither changes.

    With a = |x|, Q the highest integer and the threshold Qs, two half-steps take turns,

        q = min(round(a / s), Q)        s = sum(a q) / sum(q²)

    and each lowers the same error ``mean((a - s q)²)`` that :func:`mse` minimises, down to the nearest local minimum.
    From a bad start that is a bad one: at 8 bits, and in small tensors, this can end far above the best. MNN calls it
    ADMM, after the method of which it is one step: training with ADMM, where weights also move.

    An integer q is at least k where a lies beyond the midpoint (k - 1/2)s. So sum(a q) is the sum over k of all a
    beyond it, and sum(q²) that of 2k - 1 for each of them. Taught in notebook 04, section 5.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Any shape; at least one value.
    bits : int
        From 2 to 16.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.
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

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says, ``start`` or
        ``rounds`` cannot, or ``start`` is so large that every value rounds to 0.

    References
    ----------
    Leng et al. 2018, "Extremely Low Bit Neural Network: Squeeze the Last Bit Out with ADMM", AAAI,
    arXiv:1707.09870; MNN's ``QuantizeWeightADMM`` and ``computeScaleADMM``, https://github.com/alibaba/MNN

    Examples
    --------
    On the grid -s, 0, s: at s = 3 both 2 and 6 become s, and the best s for them is their mean.

    >>> admm([-1.0, 2.0, 6.0], bits=2, start=3.0).candidates
    array([3., 4., 4., 4.])
    """
    values, signed, steps = _read(x, bits, signed)
    if not (start in ("search", "max") if isinstance(start, str) else isinstance(start, Real) and 0 < start <= LARGEST):
        raise ValueError(f"start must be 'search', 'max' or a positive threshold, got {start!r}")
    if not (is_integer(rounds) and rounds >= 1):
        raise ValueError(f"rounds must be a whole number, at least 1, got {rounds}")
    if values.largest == 0:
        return _all_zero("admm", signed)
    if start == "search":
        start = mse(values, bits, signed).value
    elif start == "max":
        start = values.largest
    k = np.arange(1, steps + 1)
    scale, scales, errors, settled = start / steps, [], [], False
    while not settled and len(scales) < 2 * rounds:
        shares, sums = values.beyond(scale * (k - 0.5))
        product, energy = sums.sum(), shares @ (2.0 * k - 1)  # mean(a q) and mean(q²) with the best integers
        if energy <= 0:
            raise ValueError(f"start={start:g} is so large that every value rounds to 0")
        better = product / energy
        scales += [scale, better]
        errors += [values.square - 2 * scale * product + scale**2 * energy, values.square - product**2 / energy]
        settled = abs(better - scale) <= 1e-12 * scale
        scale = better
    candidates, curve = steps * np.array(scales), np.maximum(errors, 0)
    what = "the scale no longer moves" if settled else "that was the last allowed"
    why = f"after {len(curve) // 2} rounds from {start:.4g} {what}; mean squared error {curve[-1]:.3g}"
    return Threshold(candidates[-1], "admm", why, signed, candidates, curve)


def aciq_laplace(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Take the threshold from theory, for values with a Laplace distribution: ACIQ.

    The distribution has one number, ``b = mean(|x|)``. It minimises an approximation of the mean squared error, with
    rounding errors spread evenly over steps of ``2 alpha / 2**M``, alpha being the threshold, M the number of bits:

        2 b² exp(-alpha / b) + alpha² / (3 * 4**M)

    Its least is where ``alpha = b W(3 * 4**M)``, with Lambert's function W: at 2.83 b, 3.89 b and 5.03 b for 2, 3
    and 4 bits. It has ``2**M`` steps between -alpha and alpha. A grid with 0 in its middle has two fewer, and so
    another best threshold: 2.00 b at 2 bits, where ACIQ's costs 18 % more error.

    Unsigned values are taken as the right half of a distribution around 0, as ACIQ does after ReLU: they have M =
    ``bits + 1``. Exact zeros are left out, since ReLU, or pruning, made them. Taught in notebook 04, section 6.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Any shape; at least one value.
    bits : int
        From 2 to 16.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.

    Returns
    -------
    Threshold
        Never above the largest magnitude; its ``curve`` is what is minimised, at 2,048 candidates.

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says.

    References
    ----------
    Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment" (ACIQ),
    arXiv:1810.05723.

    Examples
    --------
    >>> aciq_laplace(np.random.default_rng(0).laplace(size=10_000), bits=4)
    Threshold: aciq_laplace keeps -5.053 to 5.053: 5.029 b, where b is 1.005
    """
    from scipy.special import lambertw

    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero("aciq_laplace", signed)
    b = float(values.beyond(0.0)[1]) / (1 - values.zeros / values.count)
    fine = 12.0 * (steps + 1) ** 2  # 3 * 4**M
    factor = float(lambertw(fine).real)
    alpha = np.arange(1, CANDIDATES + 1) / CANDIDATES * values.largest
    curve = 2 * b**2 * np.exp(-alpha / b) + alpha**2 / fine
    return _from_theory(values, signed, "aciq_laplace", factor, "b", b, alpha, curve)


def aciq_gauss(x: np.ndarray | Histogram, bits: int = 8, signed: bool | None = None) -> Threshold:
    """Take the threshold from theory, for values with a normal distribution: ACIQ.

    The distribution has one number, ``sigma = sqrt(mean(x²))``. With ``u = alpha / sigma``, alpha being the threshold
    and M the number of bits, it minimises an approximation of the mean squared error,

        sigma² ((1 + u²) erfc(u / sqrt(2)) - sqrt(2 / pi) u exp(-u² / 2)) + alpha² / (3 * 4**M)

    whose least is at 1.71, 2.15 and 2.55 sigma for 2, 3 and 4 bits. A grid with 0 in its middle has its best
    threshold at 1.22 sigma for 2 bits, where ACIQ's costs 34 % more error.

    Unsigned values are taken as the right half of a distribution around 0, as ACIQ does after ReLU: they have M =
    ``bits + 1``. Exact zeros are left out, since ReLU, or pruning, made them. Taught in notebook 04, section 6.

    Parameters
    ----------
    x : array_like of real numbers, or Histogram of magnitudes
        Any shape; at least one value.
    bits : int
        From 2 to 16.
    signed : bool, optional
        Whether the integers are signed; by default, if there are negative values.

    Returns
    -------
    Threshold
        Never above the largest magnitude; its ``curve`` is what is minimised, at 2,048 candidates.

    Raises
    ------
    TypeError, ValueError
        If ``x``, ``bits`` or ``signed`` cannot be used, as :mod:`qkit.numeric.thresholds` says.

    References
    ----------
    Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment" (ACIQ),
    arXiv:1810.05723.

    Examples
    --------
    >>> aciq_gauss(np.random.default_rng(0).normal(size=10_000), bits=4)
    Threshold: aciq_gauss keeps -2.56 to 2.56: 2.556 sigma, where sigma is 1.001
    """
    from scipy.special import erfc

    values, signed, steps = _read(x, bits, signed)
    if values.largest == 0:
        return _all_zero("aciq_gauss", signed)
    sigma = math.sqrt(values.square / (1 - values.zeros / values.count))
    fine = 12.0 * (steps + 1) ** 2  # 3 * 4**M
    low, high = 0.0, 10.0
    while high - low > 1e-12:  # what is minimised is convex: halve where its slope changes sign
        u = (low + high) / 2
        slope = u * (math.erfc(u / math.sqrt(2)) + 1 / fine) - math.sqrt(2 / math.pi) * math.exp(-(u**2) / 2)
        low, high = (u, high) if slope < 0 else (low, u)
    alpha = np.arange(1, CANDIDATES + 1) / CANDIDATES * values.largest
    u = alpha / sigma
    clipping = (1 + u**2) * erfc(u / np.sqrt(2)) - np.sqrt(2 / np.pi) * u * np.exp(-(u**2) / 2)
    return _from_theory(values, signed, "aciq_gauss", low, "sigma", sigma, alpha, sigma**2 * clipping + alpha**2 / fine)


def per_channel(method: Callable[..., Threshold], x: np.ndarray, spec: QuantSpec, **options: object) -> QuantParams:
    """Choose a threshold for every channel by itself.

    Taught in notebook 04, section 8.

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

    Raises
    ------
    TypeError
        If ``x`` does not hold real numbers, or ``spec`` is not a :class:`QuantSpec`.
    ValueError
        If ``spec`` has no axis, or the method refuses a channel.

    Examples
    --------
    >>> kernel = np.array([[1.0, 0.1], [-0.5, 0.2]])
    >>> per_channel(minmax, kernel, QuantSpec(symmetric=True, narrow_range=True, axis=-1)).high
    array([1. , 0.2])
    """
    x = reals(x)
    if checked_spec(spec).axis is None:
        raise ValueError("spec must say which axis counts the channels, got None; for Keras kernels, axis=-1")
    # Asymmetric grids put all integers where the values are: they have as many steps as an unsigned one.
    signed = spec.signed if spec.symmetric else None
    found = [method(channel, spec.bits, signed, **options) for channel in np.moveaxis(x, spec.axis_of(x), 0)]
    ends = np.array([(threshold.low, threshold.value) for threshold in found]).reshape(-1, 2)
    return params_from_range(ends[:, 0], ends[:, 1], spec)


def _read(
    x: np.ndarray | Histogram | Samples, bits: int, signed: bool | None
) -> tuple[Histogram | Samples, bool, int]:
    """Return the magnitudes of ``x``, whether the integers are signed, and the highest of them, Q."""
    values = x if isinstance(x, Histogram | Samples) else Samples(x)
    if isinstance(values, Histogram):
        values.check_magnitudes()
    if 0 < values.largest < TINIEST:
        raise ValueError(
            f"the largest magnitude must be 0 or at least {TINIEST:g}, got {values.largest:g}, whose square is 0 in "
            "float64; scale x up, and the threshold down again"
        )
    signed = values.low < 0 if signed is None else bool(signed)
    if values.low < 0 and not signed:
        raise ValueError(f"unsigned integers cannot stand for negative numbers, got {values.low:g}; use signed=True")
    return values, signed, QuantSpec(bits, signed, symmetric=True, narrow_range=signed).qmax


def _all_zero(method: str, signed: bool) -> Threshold:
    return Threshold(0.0, method, "all values are 0, which every grid holds", signed)


def _candidates(values: Histogram | Samples) -> np.ndarray:
    if isinstance(values, Histogram):
        return values.edges[1:]
    return np.arange(1, CANDIDATES + 1) / CANDIDATES * values.largest


def _last_minimum(curve: np.ndarray, tolerance: float) -> int:
    """Return the index of the last value that is the least, rounding errors apart: it clips least."""
    return int(np.flatnonzero(curve <= curve.min() + tolerance)[-1])


def _from_theory(
    values: Histogram | Samples,
    signed: bool,
    method: str,
    factor: float,
    name: str,
    spread: float,
    candidates: np.ndarray,
    curve: np.ndarray,
) -> Threshold:
    why = f"{factor:.3f} {name}, where {name} is {spread:.4g}"
    if factor * spread > values.largest:
        why += "; but the largest magnitude is less"
    return Threshold(min(factor * spread, values.largest), method, why, signed, candidates, curve)
