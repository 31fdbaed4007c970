"""Softmax from int8 to int8, as LiteRT's runtimes compute it: with a table of floats, or with integers alone.

    p_i = e^(S * (q_i - max q)) / Σ_j e^(S * (q_j - max q))        q_p = round(256 * p) - 128

Only differences count, so the zero-point does not matter; the output always has scale 1/256 and zero-point -128.

Sources: LiteRT ``kernels/internal/reference`` and ``kernels/internal/optimized``; gemmlowp ``fixedpoint/fixedpoint.h``.
"""

import numpy as np

from qkit.numeric.fixed_point import divide_away, high_product, quantize_multiplier, rescale

ONE = 2**31 - 1
"""As near as an int32 of 2^-31 steps comes to 1."""


def softmax_by_table(q: np.ndarray, scale: float) -> np.ndarray:
    """Look the 256 possible exponentials up, and add and divide in float32: LiteRT's default on x86.

    (On ARM it has another table, of integers.) ``q`` is int8, (n, ..., classes), in steps of ``scale`` S; the result
    likewise, in steps of 1/256. Taught in notebook 06, section 5.

    >>> softmax_by_table(np.int8([[0, 10]]), scale=0.1)  # 256 / (1 + e) and 256 e / (1 + e), both minus 128
    array([[-59,  59]], dtype=int8)
    """
    steps = np.float32(-scale) * np.arange(256, dtype=np.float32)
    # In float64, because NumPy's float32 exponential misses the nearest float32 in one of three.
    table = np.exp(steps.astype(np.float64)).astype(np.float32)
    exponentials = table[q.max(axis=-1, keepdims=True).astype(np.int16) - q]
    # np.sum adds in another order, and another order rounds otherwise.
    total = np.cumsum(exponentials, axis=-1, dtype=np.float32)[..., -1:]
    share = exponentials * (np.float32(1) / (total * np.float32(1 / 256)))
    return np.clip(np.floor(share.astype(np.float64) + 0.5) - 128, -128, 127).astype(np.int8)


def softmax_in_integers(q: np.ndarray, scale: float) -> np.ndarray:
    """Use integers only, as LiteRT's reference runtime does; the ``scale`` S is at most 16.

    ``q`` are int8, shape (n, ..., classes); so is what is returned. Taught in notebook 06, section 5.

    >>> softmax_in_integers(np.int8([[0, 10]]), scale=0.1)
    array([[-59,  59]], dtype=int8)
    """
    multiplier = quantize_multiplier(scale * 2**26)
    # Further below the maximum, S * difference would leave the 5 bits before the point.
    lowest = -((31 << 26) >> max(multiplier.shift, 0))
    below = q.astype(np.int64) - q.max(axis=-1, keepdims=True)
    exponentials = exponential_of_negative(rescale(np.maximum(below, lowest), multiplier, "double").astype(np.int64))
    exponentials[below < lowest] = 0
    total = divide_away(exponentials, 12).sum(axis=-1, keepdims=True)  # steps of 2^-19
    bits = np.frexp(total)[1]
    shares = high_product(reciprocal(total << (32 - bits)), exponentials)
    return np.clip(divide_away(shares, bits + 3) - 128, -128, 127).astype(np.int8)


def exponential_of_negative(x: np.ndarray) -> np.ndarray:
    """Return e^x in steps of 2^-31, for x from -32 to 0 in steps of 2^-26: integers for integers, int64."""
    quarter = 1 << 24
    rest = (x & (quarter - 1)) - quarter  # from -1/4 up to, not including, 0
    # Taylor's polynomial of degree 4 around -1/8.
    around, factor = (rest << 5) + (1 << 28), round(2**31 * np.exp(-1 / 8))
    square = high_product(around, around)
    third = high_product(divide_away(high_product(square, square), 2) + high_product(square, around), round(2**31 / 3))
    result = factor + high_product(factor, around + divide_away(third + square, 1))
    # x = rest - Σ 2^k, over the bits that are set in what is left: e^x is a product.
    for k in range(-2, 5):
        bit = (rest - x) & (1 << (26 + k)) != 0
        result = np.where(bit, high_product(result, round(2**31 * np.exp(-(2.0**k)))), result)
    return np.where(x == 0, ONE, result)


def reciprocal(total: np.ndarray) -> np.ndarray:
    """Return 2^62 / total, at most 2^31 - 1, in about 29 bits, for totals from 2^31 to 2^32, int64: Newton's method."""
    half = total >> 1
    x = round(2**29 * 48 / 17) + high_product(half, round(2**29 * -32 / 17))
    for _ in range(3):
        x += high_product(x, (1 << 29) - high_product(half, x)) << 2
    return np.minimum(x << 1, ONE)
