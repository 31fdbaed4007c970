"""The gradient of fake quantization, as training takes it.

A staircase has slope 0 between its jumps and none at them: nothing could be learned through it. The
straight-through estimator pretends on the way back that a value inside the range was not rounded at all:

    ∂x̂ / ∂x := 1 where low ≤ x ≤ high, else 0

where ``low`` and ``high`` are the ends of the grid. Beyond them a value is clipped: a small change of it changes
nothing, and there the estimator says so.

References
----------
Bengio, Léonard and Courville 2013, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
Computation", arXiv:1308.3432; with the clipped range, TensorFlow's ``fake_quant_with_min_max_vars_gradient``.
"""

import numpy as np

from qkit.numeric.affine import QuantParams
from qkit.numeric.checks import reals


def straight_through(x: np.ndarray, params: QuantParams) -> np.ndarray:
    """Return what a gradient is multiplied by on its way back through :func:`~qkit.numeric.affine.fake_quantize`.

    Parameters
    ----------
    x : array_like of real numbers
        What was fake-quantized. Any shape, also empty; per channel, ``x.shape[axis]`` is the number of channels.
    params : QuantParams

    Returns
    -------
    ndarray of float, same shape as ``x``
        1 inside the range, its ends included, and 0 outside; in the type of ``x``, float32 at least.

    Raises
    ------
    ValueError
        If ``x`` holds NaN or infinity, or its channels are not those of ``params``.
    TypeError
        If ``x`` does not hold real numbers.

    Examples
    --------
    >>> from qkit.numeric import QuantSpec, params_from_range
    >>> params = params_from_range(-1.0, 1.0, QuantSpec(bits=2, symmetric=True, narrow_range=True))
    >>> straight_through([-1.2, -1.0, 0.3, 1.0, 1.2], params)
    array([0., 1., 1., 1., 0.])
    """
    x = reals(x)
    dtype = np.result_type(x.dtype, np.float32)
    scale, zero_point = params.beside(x)
    low, high = (scale * (q - zero_point) for q in (params.spec.qmin, params.spec.qmax))
    # In the type of x: a float32 value on the last level must not lie beyond it by a rounding error.
    with np.errstate(over="ignore"):
        inside = (x >= np.asarray(low).astype(dtype)) & (x <= np.asarray(high).astype(dtype))
    return inside.astype(dtype)
