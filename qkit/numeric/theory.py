"""ACIQ: thresholds from theory, where the distribution of the values is known but for its width."""

import math
from collections.abc import Callable

import numpy as np

from qkit.numeric.choice import CANDIDATES, Calibration, Threshold, rescaled
from qkit.numeric.histogram import Histogram


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
