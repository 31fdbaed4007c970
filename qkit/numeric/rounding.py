"""Weights rounded for what they do: not each to its nearest level, but all together for a layer's outputs.

A layer with inputs A, of shape (samples, inputs), and a kernel W, (inputs, outputs), returns A W. Quantized to W_q it
is off by A (W_q - W), whose sum of squares needs no more of A than its ``gram`` matrix H = AᵀA, (inputs, inputs), which
can be added up batch by batch:

    ||A (W_q - W)||² = trace((W_q - W)ᵀ H (W_q - W))

Rounding to the nearest level makes W_q - W small. Inputs that rise and fall together let errors cancel that are
larger: so the outputs come closer while the weights move away. A convolution is the same with a row for each patch.
"""

import numpy as np
from scipy.linalg import solve_triangular

from qkit.numeric.affine import QuantParams, checked, fake_quantize, float64s, whole
from qkit.numeric.formats import BlockFormat


def gptq(kernel: np.ndarray, params: QuantParams | BlockFormat, gram: np.ndarray, damping: float = 0.01) -> np.ndarray:
    """Round one row of weights after the other, each so that it makes up for the errors before it: GPTQ.

    With U, the upper Cholesky factor of H⁻¹ (so H⁻¹ = UᵀU), for i = 0, 1, … over the inputs:

        wanted = W[i] - sum_{j < i} U[j, i] e_j
        W_q[i] = nearest(wanted)
        e_i = (wanted - W_q[i]) / U[i, i]

    The rows ``wanted`` are where ``||A (W_q - W)||²`` is least once those before are fixed, and all others are free.
    ``damping`` times the mean of H's diagonal is added to its diagonal: so it has an inverse, and W_q does not bend to
    the few samples there are.

    ``kernel`` is (inputs, outputs), ``params`` its grid, with one scale or, along the last axis, one for each output;
    or a format whose blocks run along the inputs: their scales are chosen when the first row of a block is reached, for
    the rows ``wanted`` then. ``gram`` is H = AᵀA. Returns W_q, on the grid, in the shape and type of the kernel, at
    least float32. A ValueError if shapes do not agree, or ``damping`` is not positive. Source: Frantar et al. 2022,
    arXiv:2210.17323. Taught in notebook 09, section 6, and with blocks in notebook 11, section 4.

    >>> from qkit.numeric import QuantSpec
    >>> params, inputs = QuantParams(1.0, 0, QuantSpec(4)), np.array([[1.0, 1.0], [2.0, 2.1]])
    >>> gptq([[0.4], [0.4]], params, inputs.T @ inputs)  # to nearest 0 and 0, and so would be all outputs
    array([[0.],
           [1.]])
    """
    weights, gram = _checked(kernel, gram)
    blocks = params.quantize(weights.T) if isinstance(params, BlockFormat) else None
    if not damping > 0:
        raise ValueError(f"damping must be positive, got {damping}")
    damped = gram + damping * (np.mean(np.diag(gram)) or 1.0) * np.eye(len(gram))
    # H = R Rᵀ with an upper R, which is the lower factor of H with rows and columns in reverse; then U = R⁻¹.
    factor = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    upper = solve_triangular(factor, np.eye(len(gram)), check_finite=False)
    rounded, errors = np.empty_like(weights), np.empty_like(weights)
    for i in range(len(weights)):
        wanted = weights[i] - upper[:i, i] @ errors[:i]
        if blocks is None:
            rounded[i] = fake_quantize(wanted[None], params)
        else:
            if i % params.block == 0:
                rows = slice(i, i + params.block)
                fitted = params.quantize((weights[rows] - upper[:i, rows].T @ errors[:i]).T, blocks.tensor_scale)
            rounded[i] = fitted.nearest(wanted)
        errors[i] = (wanted - rounded[i]) / upper[i, i]
    return rounded.astype(np.result_type(np.asarray(kernel), np.float32))


def adaround(kernel: np.ndarray, params: QuantParams, gram: np.ndarray, steps: int = 1000) -> np.ndarray:
    """Learn for every weight whether it goes up or down: AdaRound.

    With Z the zero-point, and one number v for each weight:

        h = clip(1.2 sigmoid(v) - 0.1, 0, 1)        W_q = scale * (clip(floor(W / scale) + Z + h, qmin, qmax) - Z)

    so h, which starts where W_q is W, is 0 for down and 1 for up. Adam lowers the squared output error in units of the
    grid, ``||A (W_q - W) / scale||²``, H having a mean diagonal of 1, plus ``sum(1 - |2h - 1|**beta)`` after a fifth of
    the ``steps``; beta falls from 20 to 2, which drives every h to 0 or 1. On the grid no weight passes a level beside
    it. Each of the ``steps`` costs a product with H: of 1,600 inputs and 128 outputs a thousand take tens of seconds,
    dozens of times as long as :func:`gptq`.

    Kernel, gram and result are those of :func:`gptq`, and ``params`` a grid. Source: Nagel et al. 2020, "Up or Down?",
    arXiv:2004.10568, which trains on batches of inputs, and weighs the sum with 0.01 beside errors in units of the
    outputs. Taught in notebook 09, section 6.

    >>> from qkit.numeric import QuantSpec
    >>> params, inputs = QuantParams(1.0, 0, QuantSpec(4)), np.array([[1.0, 1.0], [2.0, 2.1]])
    >>> adaround([[0.4], [0.45]], params, inputs.T @ inputs).T
    array([[0., 1.]])
    """
    weights, gram = _checked(kernel, gram)
    whole(steps, "steps", 1, 10**6)
    scale, zero_point = checked(params, QuantParams).beside(weights)
    spec, places = params.spec, (weights / scale + zero_point).astype(np.float32)
    gram = (gram / (np.mean(np.diag(gram)) or 1.0)).astype(np.float32)
    below = np.floor(places)
    v = -np.log(1.2 / (places - below + 0.1) - 1)
    mean = square = np.zeros_like(v)
    for step in range(1, steps + 1):
        sigmoid = 1 / (1 + np.exp(-v))
        h = np.clip(1.2 * sigmoid - 0.1, 0, 1)
        slope = 2 * (gram @ (np.clip(below + h, spec.qmin, spec.qmax) - places))
        if (late := (step / steps - 0.2) / 0.8) > 0:
            beta, side = 11 + 9 * np.cos(np.pi * late), 2 * h - 1
            slope -= 2 * beta * np.sign(side) * np.abs(side) ** (beta - 1)
        slope *= 1.2 * sigmoid * (1 - sigmoid) * ((h > 0) & (h < 1))
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        # Adam moves each v by about 0.1 in a step.
        v -= 0.1 * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    up = 1.2 / (1 + np.exp(-v)) - 0.1 >= 0.5
    rounded = scale * (np.clip(below + up, spec.qmin, spec.qmax) - zero_point)
    return rounded.astype(np.result_type(np.asarray(kernel), np.float32))


def _checked(kernel: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, gram = float64s(kernel, "kernel"), float64s(gram, "gram")
    if kernel.ndim != 2 or kernel.size == 0 or gram.shape != 2 * kernel.shape[:1]:
        wanted = "kernel must be (inputs, outputs), and gram (inputs, inputs)"
        raise ValueError(f"{wanted}, got shapes {kernel.shape} and {gram.shape}")
    return kernel, gram
