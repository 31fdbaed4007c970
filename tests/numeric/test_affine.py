import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qkit.numeric import (
    QuantParams,
    QuantSpec,
    dequantize,
    fake_quantize,
    params_from_data,
    params_from_range,
    quantize,
    share_clipped,
    straight_through,
)

ROUNDINGS = ["half_even", "half_up", "half_away"]
WEIGHTS = QuantSpec(symmetric=True, narrow_range=True)


# ---- The integers ----


@pytest.mark.parametrize(
    ("spec", "qmin", "qmax", "dtype"),
    [
        (QuantSpec(), -128, 127, np.int8),
        (QuantSpec(narrow_range=True), -127, 127, np.int8),
        (QuantSpec(signed=False), 0, 255, np.uint8),
        (QuantSpec(signed=False, narrow_range=True), 1, 255, np.uint8),
        (QuantSpec(2), -2, 1, np.int8),
        (QuantSpec(2, narrow_range=True), -1, 1, np.int8),
        (QuantSpec(9), -256, 255, np.int16),
        (QuantSpec(16), -32768, 32767, np.int16),
        (QuantSpec(16, signed=False), 0, 65535, np.uint16),
    ],
)
def test_spec_says_which_integers_there_are(spec, qmin, qmax, dtype):
    assert (spec.qmin, spec.qmax, spec.levels, spec.dtype) == (qmin, qmax, qmax - qmin + 1, dtype)


# ---- By hand ----


def test_asymmetric_by_hand():
    params = params_from_range(-1.0, 3.0, QuantSpec(4, signed=False))
    assert params.scale == 4 / 15
    assert params.zero_point == 4  # 1 / (4 / 15) = 3.75
    assert quantize([-1, 0, 0.1, 0.2, 3, 99, -99], params).tolist() == [0, 4, 4, 5, 15, 15, 0]
    np.testing.assert_allclose(dequantize(np.array([0, 4, 15]), params), [-16 / 15, 0, 44 / 15])


def test_symmetric_by_hand():
    params = params_from_range(-6.35, 2.0, WEIGHTS)
    assert params.scale == 6.35 / 127
    assert params.zero_point == 0
    assert quantize([-6.35, 2.0, 6.5], params).tolist() == [-127, 40, 127]


def test_symmetric_unsigned_starts_at_zero():
    params = params_from_range(1.0, 5.1, QuantSpec(signed=False, symmetric=True))
    assert (params.scale, params.zero_point) == (5.1 / 255, 0)


def test_symmetric_range_has_signed_zero_point_zero():
    for high in [1.0, 0.1, 1 / 3, 1e-7, 12345.678]:
        assert params_from_range(-high, high, QuantSpec()).zero_point == 0
        assert params_from_range(-high, high, QuantSpec(signed=False)).zero_point == 128


@pytest.mark.parametrize(
    ("rounding", "integers"),
    [
        ("half_even", [-2, -2, 0, 0, 0, 2, 2]),
        ("half_up", [-2, -1, 0, 0, 1, 2, 3]),
        ("half_away", [-3, -2, -1, 0, 1, 2, 3]),
    ],
)
def test_rounding_differs_at_ties_only(rounding, integers):
    params = QuantParams(0.25, 3, QuantSpec())
    ties = np.array([-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5])
    assert (quantize(ties * 0.25, params, rounding) - 3).tolist() == integers
    for nearly in (np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf)):
        expected = np.floor(ties) + (nearly > ties)
        expected[3] = 0
        assert (quantize(nearly * 0.25, params, rounding) - 3).tolist() == expected.tolist()


# ---- Against TensorFlow's fake-quant ops ----

RANGES = [
    (-1.0, 1.0),
    (-0.1, 0.1),
    (-6.0, 6.0),
    (0.0, 6.0),
    (-3.0, 0.0),
    (0.5, 2.0),
    (-2.0, -0.5),
    (-1.0, 1e-6),
    (-1e-6, 1.0),
    (-1e-30, 3e-30),
    (-1e30, 2e30),
    (-0.7, 1.3),
]


def tensorflow_grid(tf, params, low, high):
    """Ask TensorFlow's op for its scale (exactly) and its zero-point."""
    spec = params.spec
    probe = np.array([-1e38, 1e38, -params.scale, params.scale], np.float32)
    fake = tf.quantization.fake_quant_with_min_max_vars(
        probe, np.float32(low), np.float32(high), spec.bits, spec.narrow_range
    ).numpy()
    scale = max(-fake[2], fake[3])  # one of these is a grid point, 0 or one step away
    return scale, spec.qmin - round(float(fake[0]) / float(scale))


@pytest.mark.parametrize("narrow_range", [False, True])
@pytest.mark.parametrize("bits", range(2, 17))
def test_equals_fake_quant_with_min_max_vars(tf, bits, narrow_range):
    spec = QuantSpec(bits, signed=False, narrow_range=narrow_range)
    rng = np.random.default_rng(bits)
    steps = spec.qmax - spec.qmin
    ranges = RANGES + [tuple(sorted(rng.normal(scale=10 ** rng.uniform(-4, 4), size=2))) for _ in range(8)]
    for low, high in np.float32(ranges):
        params = params_from_range(low, high, spec)
        low, high = min(low, np.float32(0)), max(high, np.float32(0))  # the op does not widen the range itself
        scale, zero_point = tensorflow_grid(tf, params, low, high)
        assert np.float32(params.scale) == params.scale == scale
        # The op finds the zero-point with up to four roundings to float32: it is off by at most this.
        doubt = Fraction(4 * steps, 2**24)
        exact = -Fraction(float(low)) * steps / (Fraction(float(high)) - Fraction(float(low)))
        if abs(exact - exact.__floor__() - Fraction(1, 2)) > doubt:
            assert params.zero_point == zero_point
        assert abs(params.zero_point - zero_point) <= 1

        params = QuantParams(scale, zero_point, spec)
        x = rng.uniform(1.2 * low - 0.1 * high, 1.2 * high - 0.1 * low, 500).astype(np.float32)
        x = np.concatenate([x, np.float32([low, high, 0])])
        theirs = tf.quantization.fake_quant_with_min_max_vars(x, low, high, bits, narrow_range).numpy()
        ours = fake_quantize(x, params, "half_up")
        assert ours.dtype == np.float32
        # Likewise it finds x / scale with up to four roundings to float32, of numbers up to `steps`.
        where = x.astype(np.float64) / scale
        near_tie = np.abs(where - np.floor(where) - 0.5) <= 4 * steps * 2.0**-24
        np.testing.assert_array_equal(ours[~near_tie], theirs[~near_tie])
        assert np.max(np.abs(np.rint((ours.astype(np.float64) - theirs) / scale))) <= 1


def test_equals_fake_quant_at_exact_ties(tf):
    """With a power of two for a step, TensorFlow's float32 is exact, and so must be the ties."""
    x = np.arange(-300, 300, dtype=np.float32) / 8
    params = params_from_range(np.float32(-32), np.float32(31.75), QuantSpec(signed=False))
    theirs = tf.quantization.fake_quant_with_min_max_vars(x, -32.0, 31.75, 8).numpy()
    np.testing.assert_array_equal(fake_quantize(x, params, "half_up"), theirs)
    assert np.any(fake_quantize(x, params, "half_even") != theirs)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_equals_fake_quant_per_channel(tf, bits):
    rng = np.random.default_rng(1)
    # Steps that are powers of two, so that float32 is exact, and zero-points of all kinds.
    spec = QuantSpec(bits, signed=False, axis=-1)
    scale = 2.0 ** np.arange(-6, 6)
    zero_point = rng.integers(0, spec.qmax, 12, endpoint=True)
    low, high = np.float32(-zero_point * scale), np.float32((spec.qmax - zero_point) * scale)
    params = params_from_range(low, high, spec)
    np.testing.assert_array_equal(params.scale, scale)
    np.testing.assert_array_equal(params.zero_point, zero_point)
    x = (np.round(rng.uniform(low - scale, high + scale, (4, 5, 12)) / scale * 2) / 2 * scale).astype(np.float32)
    theirs = tf.quantization.fake_quant_with_min_max_vars_per_channel(x.reshape(20, 12), low, high, bits)
    np.testing.assert_array_equal(fake_quantize(x, params, "half_up"), theirs.numpy().reshape(x.shape))


@pytest.mark.parametrize("narrow_range", [False, True])
@pytest.mark.parametrize("bits", range(2, 17))
def test_equals_fake_quant_per_channel_on_any_ranges(tf, bits, narrow_range):
    spec = QuantSpec(bits, signed=False, narrow_range=narrow_range, axis=-1)
    steps = spec.qmax - spec.qmin
    rng = np.random.default_rng(bits)
    ends = np.sort(rng.normal(scale=10 ** rng.uniform(-4, 4, (40, 1)), size=(40, 2)), axis=1).astype(np.float32)
    low, high = np.minimum(ends[:, 0], 0), np.maximum(ends[:, 1], 0)
    params = params_from_range(low, high, spec)
    x = rng.uniform(1.2 * low - 0.1 * high, 1.2 * high - 0.1 * low, (300, 40)).astype(np.float32)
    theirs = tf.quantization.fake_quant_with_min_max_vars_per_channel(x, low, high, bits, narrow_range).numpy()
    ours = fake_quantize(x, params, "half_up")
    where = x.astype(np.float64) / params.scale
    # As per tensor: the op's zero-point and its x / scale are off by at most four roundings to float32.
    doubt = 4 * steps * 2.0**-24
    share = -low.astype(np.float64) / (high.astype(np.float64) - low) * steps
    sure = (np.abs(where - np.floor(where) - 0.5) > doubt) & (np.abs(share - np.floor(share) - 0.5) > doubt)
    np.testing.assert_array_equal(ours[sure], theirs[sure])
    assert np.max(np.abs(np.rint((ours.astype(np.float64) - theirs) / params.scale))) <= 1
    assert sure.mean() > (0.9 if bits <= 12 else 0.3)


# ---- Against TensorFlow's converter ----


@pytest.mark.parametrize(("low", "high"), [(-0.7, 1.3), (0.5, 2.0), (-2.0, -0.1), (-1.0, 3.0)])
def test_equals_activations_of_litert(convert, low, high):
    inputs = np.random.default_rng(0).uniform(low, high, (20, 6, 6, 2)).astype(np.float32)
    scale, zero_point, _ = convert(inputs)["input"]
    params = params_from_data(inputs, QuantSpec())
    assert (np.float32(params.scale), params.zero_point) == (scale[0], zero_point[0])


def test_litert_breaks_the_tie_of_symmetric_activations_the_other_way(convert):
    inputs = np.linspace(-1, 1, 72, dtype=np.float32).reshape(1, 6, 6, 2)
    scale, zero_point, _ = convert(inputs)["input"]
    params = params_from_data(inputs, QuantSpec())
    assert np.float32(params.scale) == scale[0]
    assert (params.zero_point, zero_point[0]) == (0, -1)


@pytest.mark.parametrize("per_channel", [True, False])
def test_equals_weights_of_litert(convert, kernels, per_channel):
    inputs = np.random.default_rng(0).uniform(0, 1, (20, 6, 6, 2)).astype(np.float32)
    converted = convert(inputs, per_channel)
    for layer in ("conv", "dense"):
        scale, zero_point, integers = converted[layer]
        kernel = np.moveaxis(kernels[layer], -1, 0)  # LiteRT puts the output channels first
        spec = QuantSpec(symmetric=True, narrow_range=True, axis=0 if per_channel else None)
        params = params_from_data(kernel, spec)
        ours = quantize(kernel, params, "half_away")
        # The converter divides in float32: what comes within its rounding of a tie may go to the other side.
        where = np.abs(kernel.astype(np.float64)) / params.beside(kernel)[0]
        sure = np.abs(where - np.floor(where) - 0.5) > 2 * 127 * 2.0**-24
        np.testing.assert_array_equal(ours[sure], integers[sure])
        assert sure.mean() > 0.999 and np.max(np.abs(ours.astype(int) - integers)) <= 1
        assert not zero_point.any()
        # A channel of zeros: we write 1, LiteRT the step for a range of 1e-6. Its integers are 0 either way.
        alive = np.reshape(params.scale, -1) != 1
        assert alive.sum() == len(scale) - (per_channel and layer == "conv")
        np.testing.assert_array_equal(np.float32(params.scale).reshape(-1)[alive], scale[alive])


# ---- Laws ----

specs = st.one_of(
    st.builds(QuantSpec, bits=st.integers(2, 16), signed=st.booleans(), narrow_range=st.booleans()),
    st.builds(QuantSpec, bits=st.integers(2, 16), symmetric=st.just(True), narrow_range=st.booleans()),
)


def arrays(dtype=np.float64, limit=1e6, **shape):
    width = np.dtype(dtype).itemsize * 8
    return hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=6, **shape),
        elements=st.floats(-limit, limit, width=width),
    )


roundings = st.sampled_from(ROUNDINGS)


@given(arrays(), specs, roundings)
def test_error_is_at_most_half_a_step(x, spec, rounding):
    params = params_from_data(x, spec)
    q = quantize(x, params, rounding)
    assert q.dtype == spec.dtype
    assert np.all((q >= spec.qmin) & (q <= spec.qmax))
    assert np.max(np.abs(x - dequantize(q, params))) <= (0.5 + spec.levels * 2.0**-50) * params.scale


@given(arrays(np.float32, 2.0**99), specs, roundings)
def test_error_of_float32_is_at_most_half_a_step(x, spec, rounding):
    """The float32 scale, and the float32 result, cost up to two roundings more."""
    params = params_from_data(x, spec)
    x_hat = fake_quantize(x, params, rounding)
    assert np.max(np.abs(x.astype(np.float64) - x_hat)) <= (0.5 + spec.levels * 2.0**-22) * params.scale


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), specs, roundings, st.data())
def test_monotone_idempotent_and_zero_stays(a, b, spec, rounding, data):
    params = params_from_range(min(a, b), max(a, b), spec)
    x = np.sort(data.draw(hnp.arrays(np.float64, 20, elements=st.floats(-2e6, 2e6))))
    q = quantize(x, params, rounding)
    assert np.all(np.diff(q.astype(int)) >= 0)
    np.testing.assert_array_equal(quantize(dequantize(q, params), params, rounding), q)
    x_hat = fake_quantize(x, params, rounding)
    np.testing.assert_array_equal(fake_quantize(x_hat, params, rounding), x_hat)
    assert dequantize(quantize(0.0, params, rounding), params) == 0


@given(arrays(min_side=1), specs, st.integers(0, 2))
def test_per_channel_is_one_grid_for_each_slice(x, spec, axis):
    assume(axis < x.ndim)
    fields = dict(bits=spec.bits, signed=spec.signed, symmetric=spec.symmetric, narrow_range=spec.narrow_range)
    q_all = [
        quantize(x, params_from_data(x, spec_along), "half_up")
        for spec_along in (QuantSpec(**fields, axis=axis), QuantSpec(**fields, axis=axis - x.ndim))
    ]
    for index in range(x.shape[axis]):
        channel = x.take(index, axis)
        alone = quantize(channel, params_from_data(channel, spec), "half_up")
        for q in q_all:
            np.testing.assert_array_equal(q.take(index, axis), alone)


def best_mse(x, bits):
    """The smallest MSE of any symmetric grid, found by trying every scale at which an integer changes."""
    qmax = 2 ** (bits - 1) - 1
    size = np.abs(x[x != 0])
    best = np.mean(x**2)
    for turn in np.unique(np.outer(size, 1 / (np.arange(qmax) + 0.5))):
        # Just below the turn, the integers are fixed, and the best scale for them is a projection.
        q = np.clip(np.rint(size / (turn * (1 - 1e-12))), 0, qmax)
        scale = size @ q / (q @ q)
        best = min(best, np.sum((size - scale * q) ** 2) / x.size)
    return best


@given(hnp.arrays(np.float64, (2, 5), elements=st.floats(-10, 10).map(lambda v: round(v, 3))), st.integers(2, 3))
def test_best_scales_gain_from_channels_and_bits(x, bits):
    whole = best_mse(x, bits)
    tolerance = 1e-9 * np.mean(x**2)
    assert np.mean([best_mse(channel, bits) for channel in x]) <= whole + tolerance
    assert best_mse(x, bits + 1) <= whole + tolerance


def minmax_mse(x, spec):
    return np.mean((x - fake_quantize(x, params_from_data(x, spec))) ** 2)


def test_minmax_per_channel_can_be_worse_than_per_tensor():
    """With 3 bits, the tensor's step is 6 / 3 = 2, and all is exact; the second channel's own is 4 / 3."""
    x = np.array([[6.0, 6.0], [4.0, 2.0]])
    spec = {"bits": 3, "symmetric": True, "narrow_range": True}
    assert minmax_mse(x, QuantSpec(**spec)) == 0
    assert minmax_mse(x, QuantSpec(**spec, axis=0)) == pytest.approx(1 / 9)


def test_minmax_with_one_more_bit_can_be_worse():
    """With 2 bits the step is 3 / 3 = 1, and all is exact; with 3 bits it is 3 / 7, and 1 is not on the grid."""
    x = np.array([0.0, 1.0, 3.0])
    assert minmax_mse(x, QuantSpec(2, signed=False)) == 0
    assert minmax_mse(x, QuantSpec(3, signed=False)) == pytest.approx((1 / 7) ** 2 / 3)


# ---- Strange but allowed ----


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("spec", [QuantSpec(), QuantSpec(signed=False), WEIGHTS], ids=str)
@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 5e-324, -1e-190, -1e-40, 1e100, -1e100])
def test_constant_arrays(value, spec, rounding):
    x = np.full((2, 3), value)
    params = params_from_data(x, spec)
    assert params.scale > 0
    assert np.max(np.abs(fake_quantize(x, params, rounding) - x)) <= params.scale / 2
    np.testing.assert_allclose(fake_quantize(x, params, rounding), x, rtol=1e-15, atol=1e-200)


def test_range_of_zeros_has_scale_one():
    assert (params_from_range(0.0, 0.0, QuantSpec()).scale, params_from_data([0, 0], WEIGHTS).scale) == (1, 1)
    per_channel = params_from_data(np.array([[0.0, 1.27], [0.0, -1.0]]), QuantSpec(symmetric=True, axis=1))
    assert per_channel.scale.tolist() == [1, 0.01]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_largest_numbers_of_small_types(dtype):
    largest = np.finfo(dtype).max
    x = np.array([-largest, 0, largest], dtype)
    x_hat = fake_quantize(x, params_from_data(x, QuantSpec(2)))
    assert x_hat.dtype == np.float32
    assert np.all(np.isfinite(x_hat))
    assert x_hat[1] == 0 and x_hat[0] < 0 < x_hat[2]


def test_tiny_float32_range_keeps_its_precision():
    x = np.array([0, 1e-44, 2e-43], np.float32)
    assert params_from_data(x, QuantSpec(signed=False)).scale == float(x[2]) / 255


def test_float32_is_divided_in_float64():
    x = np.random.default_rng(0).uniform(-1, 1, 50_000).astype(np.float32)
    params = params_from_range(-1.0, 1.0, QuantSpec(16))
    np.testing.assert_array_equal(quantize(x, params), quantize(x.astype(np.float64), params))


def test_types_of_results():
    params = params_from_range(0, 255, QuantSpec(signed=False))
    for dtype, result in [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i4", "f8")]:
        x = np.array([0, 1, 200], dtype)
        x_hat = fake_quantize(x, params)
        assert x_hat.dtype == result
        assert x_hat.tolist() == [0, 1, 200]
    assert dequantize(np.uint8([7]), params).dtype == np.float64


def test_scalars_and_empty_arrays():
    params = params_from_range(-1.0, 1.0, QuantSpec())
    assert quantize(0.5, params) == 64
    assert np.shape(fake_quantize(np.float32(0.5), params)) == ()
    per_channel = params_from_range([-1.0, -2.0], [1.0, 2.0], QuantSpec(axis=1))
    for made in (params, per_channel):
        empty = np.zeros((0, 2), np.float32)
        assert quantize(empty, made).shape == fake_quantize(empty, made).shape == (0, 2)
        assert quantize(empty, made).dtype == np.int8


def test_huge_values_are_clipped():
    params = params_from_range(0.0, 1e-190, QuantSpec())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rounding in ROUNDINGS:
            assert quantize([1e100, -1e100, 0], params, rounding).tolist() == [127, -128, params.zero_point]
            assert straight_through(np.float32([3e38, 0]), params).tolist() == [0, 1]
        assert straight_through(np.float32([3e38]), params_from_range(-1e60, 1e60, QuantSpec())).tolist() == [1]


# ---- What it says ----


def test_repr_teaches():
    assert repr(params_from_range(-1.0, 3.0, QuantSpec(4, signed=False))) == (
        "QuantParams: 16 integers 0 to 15 (uint8) stand for -1.067 to 2.933, step 0.2667, real 0 is 4"
    )
    spec = QuantSpec(4, symmetric=True, narrow_range=True, axis=-1)
    assert repr(params_from_data([[0.7, -1.4], [0.1, 0.2]], spec)) == (
        "QuantParams: 2 channels along axis -1, on each 15 integers -7 to 7 (int8) stand for "
        "-1.4 to 1.4 at most, step 0.1 to 0.2, real 0 is 0"
    )


def test_params_keep_their_own_numbers():
    mine = np.array([1.0, 2.0])
    params = QuantParams(mine, np.array([0, 0]), QuantSpec(axis=0))
    mine[0] = 3.0
    assert params.scale.tolist() == [1, 2]
    for numbers in (params.scale, params.zero_point):
        with pytest.raises(ValueError, match="read-only"):
            numbers[0] = 1


# ---- What it refuses ----


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 1}, "from 2 to 16, got 1; binary networks need another scheme"),
        ({"bits": 17}, "bits must be an integer from 2 to 16, got 17$"),
        ({"bits": True}, "bits must be an integer from 2 to 16, got True"),
        ({"bits": "8"}, "bits must be an integer from 2 to 16, got '8'"),
        ({"bits": 8.0}, "got 8.0"),
        ({"axis": 1.5}, "axis must be an integer from -64 to 63, got 1.5; None is one grid for all"),
        ({"axis": True}, "axis must be an integer from -64 to 63, got True"),
        ({"signed": False, "symmetric": True, "narrow_range": True}, "need 0 to stand for 0"),
    ],
)
def test_spec_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        QuantSpec(**fields)


@pytest.mark.parametrize(
    ("scale", "zero_point", "spec", "message"),
    [
        (0.0, 0, QuantSpec(), "scale must be positive, got 0"),
        (-1.0, 0, QuantSpec(), "scale must be positive, got -1"),
        (np.inf, 0, QuantSpec(), "scale must hold finite numbers"),
        (1.0, 128, QuantSpec(), "zero_point must be an integer from -128 to 127"),
        (1.0, 0.0, QuantSpec(), "zero_point must be an integer"),
        (1.0, 1, WEIGHTS, "zero_point must be an integer from 0 to 0"),
        ([1.0], [0], QuantSpec(), r"must be single numbers .* got shapes \(1,\) and \(1,\)"),
        (1.0, 0, QuantSpec(axis=0), r"must be arrays of shape \(channels,\)"),
        ([1.0, 2.0], [0], QuantSpec(axis=0), r"got shapes \(2,\) and \(1,\)"),
    ],
)
def test_params_refuse(scale, zero_point, spec, message):
    with pytest.raises(ValueError, match=message):
        QuantParams(scale, zero_point, spec)


@pytest.mark.parametrize(
    ("low", "high", "spec", "message"),
    [
        (1.0, -1.0, QuantSpec(), "low must not be above high, got 1.0 and -1.0"),
        (np.nan, 1.0, QuantSpec(), "low must hold finite numbers"),
        (0.0, np.inf, QuantSpec(), "high must hold finite numbers"),
        (-1e101, 1.0, QuantSpec(), r"up to 1e\+100, got -1e\+101"),
        (-0.1, 1.0, QuantSpec(signed=False, symmetric=True), "cannot stand for negative numbers, got low=-0.1"),
        ([0.0], [1.0], QuantSpec(), r"must be single numbers .* got shapes \(1,\) and \(1,\)"),
        (0.0, 1.0, QuantSpec(axis=0), r"must be arrays of shape \(channels,\)"),
        ([0.0, 1.0], [1.0], QuantSpec(axis=0), r"got shapes \(2,\) and \(1,\)"),
        ([0.0, 3.0, 9.0], [1.0, 2.0, 0.0], QuantSpec(axis=0), "low must not be above high, got 3.0 and 2.0$"),
    ],
)
def test_ranges_refused(low, high, spec, message):
    with pytest.raises(ValueError, match=message):
        params_from_range(low, high, spec)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad):
    x = np.array([1.0, bad, 2.0, bad], np.float32)
    params = params_from_range(0.0, 1.0, QuantSpec())
    message = rf"got {bad} \(2 of 4 values are wrong\); find where they come from"
    for act in (params_from_data, quantize, fake_quantize):
        with pytest.raises(ValueError, match=message):
            act(x, QuantSpec() if act is params_from_data else params)


@pytest.mark.parametrize("x", [np.array(["1"]), np.array([True]), np.array([1j]), np.array([None])], ids=repr)
def test_other_than_numbers_are_refused(x):
    params = params_from_range(0.0, 1.0, QuantSpec())
    for act in (params_from_data, quantize, fake_quantize):
        with pytest.raises(TypeError, match="x must hold integers or floats"):
            act(x, QuantSpec() if act is params_from_data else params)
    with pytest.raises(TypeError, match="low must hold integers or floats"):
        params_from_range(x[0], x[0], QuantSpec())
    with pytest.raises(TypeError, match=r"q must hold integers.*quantize\(x, params\) makes them"):
        dequantize(x, params)


def test_a_spec_for_params_and_params_for_a_spec_are_told_the_way_out():
    """The likeliest mistakes of all."""
    spec, params = QuantSpec(), params_from_range(-1.0, 1.0, QuantSpec())
    way_out = r"params must be a QuantParams; params_from_data\(x, spec\) makes one, got "
    for act in (quantize, fake_quantize, straight_through, share_clipped):
        for wrong in (spec, 0.1, None, QuantParams):
            with pytest.raises(TypeError, match=way_out):
                act([1.0], wrong)
        with pytest.raises(TypeError, match=way_out):
            act(params, [1.0])  # the wrong way round
    with pytest.raises(TypeError, match=way_out):
        dequantize([1], spec)
    way_out = r"spec must be a QuantSpec, such as QuantSpec\(bits=8\), got "
    for wrong in (8, None, params, "int8", QuantSpec):
        with pytest.raises(TypeError, match=way_out):
            params_from_range(-1, 1, wrong)
        with pytest.raises(TypeError, match=way_out):
            params_from_data([1.0], wrong)
        with pytest.raises(TypeError, match=way_out):
            QuantParams(1.0, 0, wrong)


def test_masked_entries_are_refused():
    """They would set the range: NumPy forgets the mask on the way."""
    masked = np.ma.masked_array([1.0, 1e6], [False, True])
    params = params_from_range(0.0, 1.0, QuantSpec())
    for act in (quantize, fake_quantize, straight_through):
        with pytest.raises(ValueError, match=r"x has 1 masked entries; leave them out with x\.compressed\(\)"):
            act(masked, params)
    with pytest.raises(ValueError, match="x has 1 masked entries"):
        params_from_data(masked, QuantSpec())
    with pytest.raises(ValueError, match="q has 1 masked entries"):
        dequantize(np.ma.masked_array([1, 2], [False, True]), params)
    assert params_from_data(np.ma.masked_array([1.0, 2.0]), QuantSpec()).high == 2  # nothing is masked


def test_empty_data_has_no_range():
    with pytest.raises(ValueError, match=r"x must hold at least one value, got shape \(0, 3\)"):
        params_from_data(np.zeros((0, 3)), QuantSpec(axis=1))


def test_wrong_shapes_are_refused():
    params = params_from_range([-1.0, -2.0], [1.0, 2.0], QuantSpec(axis=1))
    with pytest.raises(ValueError, match=r"for 2 channels along axis 1, got an array of shape \(2, 3\)"):
        quantize(np.zeros((2, 3)), params)
    with pytest.raises(ValueError, match=r"axis 1 does not exist in an array of shape \(2,\)"):
        dequantize(np.zeros(2, np.int8), params)
    with pytest.raises(ValueError, match=r"axis 2 does not exist in an array of shape \(2, 3\)"):
        params_from_data(np.zeros((2, 3)), QuantSpec(axis=2))


def test_integers_of_another_spec_are_refused():
    params = params_from_range(-1.0, 1.0, QuantSpec(4))
    with pytest.raises(ValueError, match="q must lie from -8 to 7, got 0 to 15"):
        dequantize(np.array([0, 15], np.uint8), params)


def test_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="must be 'half_even', 'half_up' or 'half_away', got 'nearest'"):
        quantize(1.0, params_from_range(0.0, 1.0, QuantSpec()), "nearest")
