"""Rounding for the outputs, against its definition, the best of all roundings, and what no rounding may do."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_data
from qkit.numeric.formats import FORMATS, integers
from qkit.numeric.rounding import adaround, gptq

BOTH = pytest.mark.parametrize("method", [gptq, adaround])
ALL = FORMATS | {form.name: form for form in (integers(2, 4), integers(3, 5), integers(4, 32))}
every_format = pytest.mark.parametrize("form", ALL.values(), ids=ALL)


def output_error(kernel, rounded, gram):
    """Return ``||A (W_q - W)||² = trace((W_q - W)ᵀ H (W_q - W))`` as a share of ``||A W||²``, as its root."""
    squares, in_all = (np.sum(each * (gram @ each)) for each in (rounded - kernel, kernel))
    return np.sqrt(squares / in_all)


def problem(seed, inputs=6, outputs=3, bits=3, axis=-1):
    """Return a kernel, its grid, and inputs that rise and fall together, as those of a layer do."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(inputs, outputs)).astype(np.float32)
    samples = rng.normal(size=(50, inputs)) + 2 * rng.normal(size=(50, 1))
    return kernel, params_from_data(kernel, QuantSpec(bits, symmetric=True, narrow_range=True, axis=axis)), samples


@pytest.mark.parametrize("axis", [None, 1, -1])
def test_gptq_solves_for_the_rows_still_to_come(axis):
    kernel, params, samples = problem(0, axis=axis)
    damped = samples.T @ samples
    damped += 0.01 * np.mean(np.diag(damped)) * np.eye(6)
    wanted, rounded = kernel.astype(np.float64), np.empty((6, 3))
    for i in range(6):
        rounded[i] = fake_quantize(wanted, params)[i]
        # Least squares: the errors of the rows so far are what they are, those of the others are free.
        fixed = rounded[: i + 1] - kernel[: i + 1]
        free = np.linalg.solve(damped[i + 1 :, i + 1 :], -damped[i + 1 :, : i + 1] @ fixed)
        wanted[i + 1 :] = kernel[i + 1 :] + free
    found = gptq(kernel, params, samples.T @ samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rounded, rtol=1e-6)


@every_format
def test_gptq_chooses_a_scale_when_it_reaches_a_block(form):
    inputs = 2 * form.block
    kernel, _, samples = problem(1, inputs)
    kernel[:, 1] *= 0.01
    damped = samples.T @ samples
    damped += 0.01 * np.mean(np.diag(damped)) * np.eye(inputs)
    tensor_scale = form.quantize(kernel.T).tensor_scale
    wanted, rounded = kernel.astype(np.float64), np.empty((inputs, 3))
    for i in range(inputs):
        if i % form.block == 0:
            fitted = form.quantize(wanted[i : i + form.block].T, tensor_scale)
            minima = np.zeros((3, 1)) if fitted.minima is None else fitted.minima
            grids = form.levels * (fitted.scales * tensor_scale) + minima
        nearest = np.abs(grids - wanted[i][:, None]).argmin(axis=1)
        rounded[i] = grids[np.arange(3), nearest]
        fixed = rounded[: i + 1] - kernel[: i + 1]
        free = np.linalg.solve(damped[i + 1 :, i + 1 :], -damped[i + 1 :, : i + 1] @ fixed)
        wanted[i + 1 :] = kernel[i + 1 :] + free
    found = gptq(kernel, form, samples.T @ samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rounded, rtol=1e-5, atol=1e-7)


def test_a_block_as_long_as_the_inputs_is_a_scale_for_each_output():
    kernel, _, samples = problem(2, inputs=24, outputs=5)
    form, gram = integers(4, 24), samples.T @ samples
    scales = form.quantize(kernel.T).scales[:, 0]
    params = QuantParams(scales, np.zeros(5, int), QuantSpec(4, symmetric=True, narrow_range=True, axis=-1))
    np.testing.assert_allclose(gptq(kernel, form, gram), gptq(kernel, params, gram), rtol=1e-6)


@every_format
def test_in_every_format_outputs_come_closer(form):
    kernel, _, samples = problem(4, inputs=2 * form.block, outputs=20)
    kernel[:, 0] = 0
    gram, nearest = samples.T @ samples, form.quantize(kernel.T).dequantize().T
    found = gptq(kernel, form, gram)
    assert output_error(kernel, found, gram) < 0.8 * output_error(kernel, nearest, gram)
    assert not found[:, 0].any()


@every_format
def test_in_every_format_inputs_that_do_not_go_together_leave_nothing_to_gain(form):
    kernel, _, _ = problem(5, inputs=3 * form.block)
    nearest = form.quantize(kernel.T).dequantize().T
    found = gptq(kernel, form, np.diag(np.arange(1.0, len(kernel) + 1)))
    if form.unrounded:  # GGML rounds by a scale that it then rounds, and is not always nearest
        assert np.mean(np.isclose(found, nearest, rtol=1e-6)) > 0.99
    else:
        np.testing.assert_allclose(found, nearest, rtol=1e-6)


def test_adaround_mostly_finds_the_best():
    """All ways to send each of six weights up or down are tried; it knows no others."""
    ranks, losses = [], []
    for seed in range(40):
        kernel, params, samples = problem(seed, outputs=1)
        below, gram = np.floor(kernel / params.scale), samples.T @ samples
        ways = (np.clip(below + np.reshape(way, (6, 1)), -3, 3) * params.scale for way in product((0, 1), repeat=6))
        errors = np.array([output_error(kernel, way, gram) for way in ways])
        learned = output_error(kernel, adaround(kernel, params, gram, steps=300), gram)
        assert np.min(np.abs(errors - learned)) < 1e-6
        ranks.append(np.sum(errors < learned - 1e-6))
        losses.append(learned / errors.min())
    assert np.mean(np.array(ranks) == 0) > 0.5
    assert np.mean(losses) < 1.1


@BOTH
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), bits=st.integers(2, 8), axis=st.sampled_from([None, -1]))
def test_weights_are_on_the_grid_and_zeros_stay(method, seed, bits, axis):
    kernel, params, samples = problem(seed, bits=bits, axis=axis)
    kernel[:, 0] = 0
    found = method(kernel, params, samples.T @ samples)
    np.testing.assert_array_equal(found, fake_quantize(found, params))
    assert not found[:, 0].any()


@BOTH
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_inputs_that_do_not_go_together_leave_nothing_to_gain(method, seed):
    kernel, params, _ = problem(seed)
    gram = np.diag([3.0, 1.0, 2.0, 0.5, 4.0, 0.0 if method is gptq else 1.0])
    np.testing.assert_allclose(method(kernel, params, gram), fake_quantize(kernel, params), rtol=1e-6)


@BOTH
@pytest.mark.parametrize("symmetric", [True, False])
def test_outputs_come_closer_while_weights_move_away(method, symmetric):
    kernel, params, samples = problem(3, inputs=60, outputs=20, bits=2)
    if not symmetric:
        params = params_from_data(kernel, QuantSpec(3, signed=False))
    gram, nearest = samples.T @ samples, fake_quantize(kernel, params)
    found = method(kernel, params, gram)
    np.testing.assert_array_equal(found, fake_quantize(found, params))
    assert output_error(kernel, found, gram) < 0.5 * output_error(kernel, nearest, gram)
    assert np.linalg.norm(found - kernel) > np.linalg.norm(nearest - kernel)


@BOTH
def test_what_cannot_be_rounded(method):
    params = QuantParams(1.0, 0, QuantSpec(4))
    for kernel, gram in ((np.ones(3), np.eye(3)), (np.ones((3, 2)), np.eye(2)), (np.ones((0, 2)), np.eye(0))):
        with pytest.raises(ValueError, match=r"kernel must be \(inputs, outputs\), and gram \(inputs, inputs\), got"):
            method(kernel, params, gram)
    with pytest.raises(ValueError, match="gram must hold finite numbers"):
        method(np.ones((1, 1)), params, [[np.nan]])
    with pytest.raises(TypeError, match="params must be a QuantParams"):
        method(np.ones((1, 1)), 4, np.eye(1))
    with pytest.raises(ValueError, match="the last axis must be a multiple of 4 long"):
        gptq(np.ones((6, 2)), integers(4, 4), np.eye(6))
    with pytest.raises(ValueError, match="damping must be positive, got 0"):
        gptq(np.ones((1, 1)), params, np.eye(1), damping=0)
    with pytest.raises(ValueError, match="steps must be an integer from 1 to 1,000,000, got 0"):
        adaround(np.ones((1, 1)), params, np.eye(1), steps=0)
