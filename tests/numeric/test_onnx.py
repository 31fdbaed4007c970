"""Integers against ONNX's own reference evaluator: more than 100,000 for each operator."""

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from qkit.numeric import QuantParams, QuantSpec, dequantize, params_from_data, quantize
from qkit.numeric.integer_layers import Convolution, Dense

OPSET = 21
"""From here on QuantizeLinear has 4 and 16 bits."""

SPECS = {
    "int8": QuantSpec(),
    "uint8": QuantSpec(signed=False),
    "int16": QuantSpec(16),
    "uint16": QuantSpec(16, signed=False),
    "int4": QuantSpec(4),
    "uint4": QuantSpec(4, signed=False),
}
each_type = pytest.mark.parametrize("name", SPECS)


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def onnx_says(kind: str, outputs: int = 1, axis: int | None = None, **inputs: np.ndarray) -> list[np.ndarray]:
    """Run a graph of one node; its arguments are called and ordered as in the definition of the operator."""
    takes = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    gives = [helper.make_empty_tensor_value_info(f"output{place}") for place in range(outputs)]
    how = {} if axis is None else {"axis": axis}
    node = helper.make_node(kind, list(inputs), [info.name for info in gives], **how)
    graph = helper.make_graph([node], kind, takes, gives)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return ReferenceEvaluator(model).run(None, inputs)


def stored(name: str, integers: np.ndarray) -> np.ndarray:
    """Return integers as ONNX's type of this name; NumPy has none of 4 bits."""
    tensor_type = getattr(helper.TensorProto, name.upper())
    return np.asarray(integers).astype(helper.tensor_dtype_to_np_dtype(tensor_type))


def random_params(rng: np.random.Generator, spec: QuantSpec, channels: int | None = None) -> QuantParams:
    """Return grids with scales of float32 and with zero-points from everywhere."""
    scale = np.exp(rng.uniform(-6, 0, channels)).astype(np.float32)
    return QuantParams(scale, rng.integers(spec.qmin, spec.qmax + 1, channels), spec)


def values_around(rng: np.random.Generator, params: QuantParams, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers over the whole grid, and a quarter beyond each end of it."""
    spec, (scale, zero_point) = params.spec, params.beside(np.empty(shape))
    beyond = spec.levels / 4
    steps = rng.uniform(spec.qmin - beyond, spec.qmax + beyond, shape) - zero_point
    return (steps * scale).astype(np.float32)


def assert_same(mine: np.ndarray, theirs: np.ndarray, real: np.ndarray) -> None:
    """Compare integers, of which only those may differ whose ``real`` float32 cannot tell from a tie.

    ``real``, in float64, is what was rounded: ONNX computes it in float32, qkit in float64.
    """
    mine, theirs = mine.astype(np.int64), theirs.astype(np.int64)
    differ = mine != theirs
    to_tie = np.abs(real - np.floor(real) - 0.5)
    assert mine.shape == theirs.shape and mine.size >= 100_000
    assert np.all(np.abs(mine - theirs) <= 1)
    assert np.all(to_tie[differ] <= np.spacing(np.abs(real[differ]).astype(np.float32)))


# ---- One operator each ----


@each_type
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_quantize_linear(name, axis, rng):
    shape, spec = (40, 50, 60), SPECS[name]
    spec = QuantSpec(spec.bits, spec.signed, axis=axis)
    params = random_params(rng, spec, None if axis is None else shape[axis])
    x = values_around(rng, params, shape)
    scale, zero_point = np.float32(params.scale), stored(name, params.zero_point)
    (theirs,) = onnx_says("QuantizeLinear", axis=axis, x=x, y_scale=np.asarray(scale), y_zero_point=zero_point)
    assert_same(quantize(x, params), theirs, x / params.beside(x)[0])


@each_type
def test_quantize_linear_at_every_tie(name):
    """Halves go to the even step, before the zero-point is added, which is odd here."""
    spec = SPECS[name]
    params = QuantParams(0.25, spec.qmin + 3, spec)
    x = (np.arange(-8, 2 * spec.levels + 8, dtype=np.float32) / 2 - 3) * np.float32(0.25)
    y_scale, y_zero_point = np.asarray(np.float32(0.25)), np.asarray(stored(name, params.zero_point))
    (theirs,) = onnx_says("QuantizeLinear", x=x, y_scale=y_scale, y_zero_point=y_zero_point)
    np.testing.assert_array_equal(quantize(x, params), theirs.astype(np.int64))
    assert np.any(quantize(x, params, "half_up") != theirs.astype(np.int64))


@each_type
@pytest.mark.parametrize("axis", [None, 1])
def test_dequantize_linear(name, axis, rng):
    shape, spec = (40, 50, 60), SPECS[name]
    spec = QuantSpec(spec.bits, spec.signed, axis=axis)
    params = random_params(rng, spec, None if axis is None else shape[axis])
    q = rng.integers(spec.qmin, spec.qmax + 1, shape)
    zero_point = np.asarray(stored(name, params.zero_point))
    x_scale = np.asarray(np.float32(params.scale))
    (theirs,) = onnx_says("DequantizeLinear", axis=axis, x=stored(name, q), x_scale=x_scale, x_zero_point=zero_point)
    np.testing.assert_array_equal(np.float32(dequantize(q, params)), theirs)


def test_dynamic_quantize_linear(rng):
    """Wherever the range lies: above 0, below, around."""
    rows = []
    for low, high in np.sort(rng.uniform(-3, 3, (300, 2))):
        x = rng.uniform(low, high, 500).astype(np.float32)
        params = params_from_data(x, SPECS["uint8"])
        theirs, scale, zero_point = onnx_says("DynamicQuantizeLinear", 3, x=x)
        assert (np.float32(params.scale), params.zero_point) == (scale, zero_point)
        rows.append((quantize(x, params), theirs, x / params.scale))
    assert_same(*map(np.concatenate, zip(*rows, strict=True)))


def integer_layer(kind: type, rng: np.random.Generator, shape: tuple, sides: tuple, **how) -> Dense:
    """Return a layer without biases and activation, with a scale for each output."""
    channels = shape[-1]
    return kind(
        name="layer",
        source="image",
        shape=shape,
        x=QuantParams(np.float32(0.02), -7, QuantSpec()),
        y=QuantParams(np.float32(0.9), -20, QuantSpec()),
        w=QuantParams(np.linspace(0.01, 0.03, channels, dtype=np.float32), np.zeros(channels, int), QuantSpec(axis=0)),
        q_weights=rng.integers(-127, 128, (channels, *sides)).astype(np.int8),
        q_bias=np.zeros(channels, np.int32),
        activation="NONE",
        **how,
    )


@pytest.fixture
def dense(rng):
    return integer_layer(Dense, rng, (256,), (300,))


@pytest.fixture
def convolution(rng):
    return integer_layer(Convolution, rng, (24, 30, 16), (3, 3, 8), size=(3, 3), strides=(1, 1), same=False)


def test_matmul_integer(dense, rng):
    q_x = rng.integers(-128, 128, (500, 300)).astype(np.int8)
    zero_point = np.asarray(np.int8(dense.x.zero_point))
    (theirs,) = onnx_says("MatMulInteger", A=q_x, B=dense.q_weights.T, a_zero_point=zero_point)
    assert theirs.size >= 100_000
    np.testing.assert_array_equal(dense.sums(q_x), theirs)


def test_conv_integer(convolution, rng):
    q_x = rng.integers(-128, 128, (10, 26, 32, 8)).astype(np.int8)
    zero_point = np.asarray(np.int8(convolution.x.zero_point))
    X, W = (each.transpose(0, 3, 1, 2) for each in (q_x, convolution.q_weights))
    (theirs,) = onnx_says("ConvInteger", x=X, w=W, x_zero_point=zero_point)
    assert theirs.size >= 100_000
    np.testing.assert_array_equal(convolution.sums(q_x), theirs.transpose(0, 2, 3, 1))


def scales_and_zero_points(layer: Dense) -> list[np.ndarray]:
    """Return those of input, weights and output, in pairs."""
    grids = layer.x, layer.w, layer.y
    return [np.asarray(part) for grid in grids for part in (np.float32(grid.scale), np.int8(grid.zero_point))]


def test_qlinear_matmul(dense, rng):
    q_x = rng.integers(-128, 128, (500, 300)).astype(np.int8)
    a_scale, a_zero, b_scale, b_zero, y_scale, y_zero = scales_and_zero_points(dense)
    inputs = {"a": q_x, "a_scale": a_scale, "a_zero": a_zero, "b": dense.q_weights.T, "b_scale": b_scale}
    inputs |= {"b_zero": b_zero, "y_scale": y_scale, "y_zero": y_zero}
    (theirs,) = onnx_says("QLinearMatMul", **inputs)
    real = dense.sums(q_x) * dense.requantizer.multiplier
    assert_same(dense.run(q_x), theirs, real)


def test_qlinear_conv(convolution, rng):
    q_x = rng.integers(-128, 128, (10, 26, 32, 8)).astype(np.int8)
    X, W = (each.transpose(0, 3, 1, 2) for each in (q_x, convolution.q_weights))
    x_scale, x_zero, w_scale, w_zero, y_scale, y_zero = scales_and_zero_points(convolution)
    inputs = {"x": X, "x_scale": x_scale, "x_zero": x_zero, "w": W, "w_scale": w_scale, "w_zero": w_zero}
    (theirs,) = onnx_says("QLinearConv", **inputs, y_scale=y_scale, y_zero=y_zero)
    real = convolution.sums(q_x) * convolution.requantizer.multiplier
    assert_same(convolution.run(q_x), theirs.transpose(0, 2, 3, 1), real)
