"""Formats against ml_dtypes and gguf, which others wrote, against their definitions, and down to their bytes."""

import gguf
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from qkit.numeric import QuantParams, QuantSpec, quantize
from qkit.numeric.formats import E8M0, FLOATS, FORMATS, integers

pytestmark = pytest.mark.filterwarnings("error")

ML_DTYPES = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
every_float = pytest.mark.parametrize("name", ML_DTYPES)

ALL = FORMATS | {form.name: form for form in (integers(2, 4), integers(3, 5), integers(4, 32), integers(8, 7))}
every_format = pytest.mark.parametrize("form", ALL.values(), ids=ALL)

GGML = {"q4_0": gguf.GGMLQuantizationType.Q4_0, "q4_1": gguf.GGMLQuantizationType.Q4_1}
GGML |= {"q8_0": gguf.GGMLQuantizationType.Q8_0}


def weights(seed, blocks=1000, block=64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(blocks, block)).astype(np.float32) * np.float32(10) ** rng.integers(-3, 3, (blocks, 1))


def rows(data, blocks):
    return np.frombuffer(data, np.uint8).reshape(blocks, -1)


# Floats


@pytest.mark.parametrize(
    ("name", "bias", "largest", "least", "numbers"),
    [
        ("e4m3", 7, 448, 2**-9, 253),
        ("e5m2", 15, 57344, 2**-16, 247),
        ("e3m2", 3, 28, 2**-4, 63),
        ("e2m3", 1, 7.5, 2**-3, 63),
        ("e2m1", 1, 6, 2**-1, 15),
    ],
)
def test_what_the_specifications_say_of_floats(name, bias, largest, least, numbers):
    form = FLOATS[name]
    finite = np.unique(form.values[np.isfinite(form.values)])
    assert (form.bias, form.largest, finite[finite > 0].min(), len(finite)) == (bias, largest, least, numbers)


@every_float
def test_every_code_of_a_float(name):
    codes = np.arange(2 ** FLOATS[name].bits, dtype=np.uint8)
    expected = codes.view(ML_DTYPES[name]).astype(np.float32)
    found = FLOATS[name].values
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    assert found.dtype == np.float32


@every_float
def test_a_million_numbers_as_floats(name):
    form, rng = FLOATS[name], np.random.default_rng(0)
    finite = np.unique(form.values[np.isfinite(form.values)])
    ties = (finite[1:] + finite[:-1]) / 2
    special = np.concatenate(
        [finite, ties, np.nextafter(ties, np.float32(-np.inf)), np.nextafter(ties, np.float32(9e9))]
    )
    patterns = rng.integers(0, 2**32, 300_000, np.uint32).view(np.float32)
    spread = rng.normal(size=400_000) * 2.0 ** rng.integers(-20, 20, 400_000)
    x = np.concatenate([special, -special, patterns[np.isfinite(patterns)], spread, rng.normal(size=303_000)])
    x = x.astype(np.float32)
    assert len(x) > 1_000_000
    codes = form.quantize(x)
    # Beyond their largest number ml_dtypes' E4M3 becomes NaN and its E5M2 infinity, where OCP MX saturates.
    expected = np.clip(x, -form.largest, form.largest).astype(ML_DTYPES[name])
    np.testing.assert_array_equal(codes, expected.view(np.uint8))
    assert codes.dtype == np.uint8


def test_floats_round_once():
    """By way of float32 this would be a tie, which goes to 1."""
    assert FLOATS["e4m3"].quantize(1.0625 + 1e-12) == FLOATS["e4m3"].quantize(1.125)


def test_scales_of_powers_of_two_are_e8m0():
    codes = np.arange(255, dtype=np.uint8)
    np.testing.assert_array_equal(E8M0.values, codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float32))


# Blocks of others


@pytest.mark.parametrize("name", GGML)
def test_ggml_writes_the_same_bytes(name):
    rng = np.random.default_rng(0)
    whole = rng.integers(-300, 300, (1000, 64)) / np.float32(8)  # full of ties
    ends = np.repeat(np.float32([[-8.0, 7.0, 15.0, 127.0, 0.0, 5.0, -1.0, 2.0**-20]]), 8, axis=1)
    below = np.float32(
        [[0, 15, np.nextafter(np.float32(0.5), np.float32(0)), *range(13), *[0] * 16]]
    )  # in float32, + 0.5 is 1
    for x in (weights(1, 20_000), whole, ends, rng.permuted(ends, axis=1), below, np.zeros((1, 32), np.float32)):
        with np.errstate(divide="ignore"):  # of gguf
            expected = gguf.quantize(x, GGML[name])
        blocks = FORMATS[name].quantize(x)
        assert blocks.pack() == expected.tobytes()
        np.testing.assert_array_equal(blocks.dequantize(), gguf.dequantize(expected, GGML[name]))


def test_ggml_writes_the_same_mxfp4():
    """But for ties, of which it takes the smaller magnitude, and -0, which it writes as 0."""
    form, x = FORMATS["mxfp4"], weights(2, 20_000)
    blocks = form.quantize(x)
    np.testing.assert_array_equal(
        blocks.dequantize(), gguf.dequantize(rows(blocks.pack(), len(x)), gguf.GGMLQuantizationType.MXFP4)
    )
    blocks.codes[blocks.codes == 8] = 0
    assert blocks.pack() == gguf.quantize(x, gguf.GGMLQuantizationType.MXFP4).tobytes()


@pytest.mark.parametrize(
    ("name", "element", "emax"),
    [("mxfp4", "e2m1", 2), ("mxfp6", "e2m3", 2), ("mxfp6_e3m2", "e3m2", 4), ("mxfp8", "e4m3", 8)],
)
def test_mx_follows_its_specification(name, element, emax):
    x = np.concatenate([weights(3), np.exp2(np.random.default_rng(3).integers(-149, 128, (100, 64))).astype("f4")])
    blocks = FORMATS[name].quantize(x)
    for block, scale, codes in zip(x.reshape(-1, 32), blocks.scales[:, 0], blocks.codes, strict=True):
        expected = 2.0 ** max(np.floor(np.log2(np.abs(block.astype(np.float64)).max())) - emax, -127)
        assert scale == expected
        element_values = np.clip(block / expected, -FLOATS[element].largest, FLOATS[element].largest)
        np.testing.assert_array_equal(codes, element_values.astype(ML_DTYPES[element]).view(np.uint8))


def test_nvfp4_follows_its_definition():
    x = weights(4, 200)
    x[7] *= 1e-9  # so small that the scale, in E4M3, is 0
    blocks = FORMATS["nvfp4"].quantize(x)
    tensor_scale = np.float32(np.abs(x).max() / (6 * 448))
    assert blocks.tensor_scale == tensor_scale
    raw = np.frombuffer(blocks.pack(), np.uint8)
    assert raw[:4].view("<f4")[0] == tensor_scale
    raw = raw[4:].reshape(-1, 9)
    largest = np.abs(x.reshape(-1, 16)).max(axis=1) / tensor_scale / 6
    np.testing.assert_array_equal(raw[:, 0], largest.astype(ml_dtypes.float8_e4m3fn).view(np.uint8))
    scales = raw[:, :1].view(ml_dtypes.float8_e4m3fn).astype(np.float32) * tensor_scale
    codes = np.stack([raw[:, 1:] & 15, raw[:, 1:] >> 4], axis=2).reshape(-1, 16)
    x_hat = codes.view(ml_dtypes.float4_e2m1fn).astype(np.float32) * scales
    np.testing.assert_array_equal(blocks.dequantize(), x_hat.reshape(x.shape))
    assert np.all(scales.reshape(200, 4)[7] == 0)


def test_nf4_has_the_published_levels():
    """The list of bitsandbytes, quantiles computed in float32: its last digits are rounding errors."""
    negative = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635]
    negative += [-0.18477343022823334, -0.09105003625154495, 0.0]
    positive = [0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
    positive += [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
    levels = FORMATS["nf4"].levels
    assert levels.tolist() == negative + positive
    probabilities = np.append(np.linspace(1 - 0.9677083, 0.5, 8), np.linspace(0.5, 0.9677083, 9)[1:])
    np.testing.assert_allclose(levels, norm.ppf(probabilities) / norm.ppf(0.9677083), rtol=0, atol=4e-7)


def test_nf4_bytes_are_those_of_bitsandbytes():
    x = np.tile(FORMATS["nf4"].levels, 4) * np.float32(3)
    data = FORMATS["nf4"].quantize(x).pack()
    assert np.frombuffer(data[:4], "<f4")[0] == 3
    assert data[4:].hex() == 4 * "0123456789abcdef"


# Integers


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("block", [4, 5, 32])
def test_integers_are_those_of_affine_quantization(bits, block):
    form, x = integers(bits, block), weights(5, 100, 160)
    blocks = form.quantize(x)
    scales = (np.abs(x.reshape(-1, block)).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)).astype(np.float16)
    np.testing.assert_array_equal(blocks.scales, scales.astype(np.float32))
    params = QuantParams(blocks.scales[:, 0], np.zeros(len(scales), int), QuantSpec(bits, True, True, True, axis=0))
    q = quantize(x.reshape(-1, block), params)
    np.testing.assert_array_equal(blocks.codes, q.view(np.uint8) & (2**bits - 1))
    np.testing.assert_array_equal(blocks.dequantize().reshape(-1, block), q * blocks.scales)
    assert form.levels.tolist() == list(range(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1)))


def test_integers_as_bytes():
    assert integers(4, 4).quantize([7, -7, 1, 0]).pack().hex() == "003c" + "97" + "01"  # float16 1.0; low half first
    # 3 bits for each of 3, -3, 1, 0, 2: 011 101 001 000 010 from the lowest on, filled up with 0.
    number = 0b011 | 0b101 << 3 | 0b001 << 6 | 0b000 << 9 | 0b010 << 12
    assert integers(3, 5).quantize([3, -3, 1, 0, 2]).pack() == bytes.fromhex("003c") + number.to_bytes(2, "little")


# All


def test_published_bits_per_weight():
    published = {"mxfp4": 4.25, "q4_0": 4.5, "nf4": 4.5, "nvfp4": 4.5, "q4_1": 5, "mxfp6": 6.25, "mxfp6_e3m2": 6.25}
    published |= {"mxfp8": 8.25, "q8_0": 8.5}
    found = {name: form.bits_per_weight for name, form in FORMATS.items()}
    assert found == published
    assert list(found.values()) == sorted(found.values())


NUMBERS = st.floats(-60_000, 60_000, width=32) | st.floats(-1, 1, width=32) | st.integers(-9, 9).map(float)


@every_format
@settings(max_examples=20)
@given(data=st.data())
def test_bytes_bring_everything_back(form, data):
    shape = data.draw(st.sampled_from([(form.block,), (2, form.block), (1, 1, 2 * form.block)]))
    x = data.draw(arrays(np.float32, shape, elements=NUMBERS))
    blocks = form.quantize(x)
    written = blocks.pack()
    assert 8 * (len(written) - 4 * form.tensor) == pytest.approx(x.size * form.bits_per_weight)
    again = form.unpack(written, shape)
    np.testing.assert_array_equal(again.dequantize().view(np.uint32), blocks.dequantize().view(np.uint32))
    np.testing.assert_array_equal(again.codes, blocks.codes)
    assert again.pack() == written
    assert again.dequantize().shape == shape and again.dequantize().dtype == np.float32


@every_format
@settings(max_examples=20)
@given(data=st.data())
def test_no_level_of_its_block_is_nearer(form, data):
    x = data.draw(arrays(np.float32, form.block, elements=NUMBERS))
    blocks = form.quantize(x)
    minimum = 0 if blocks.minima is None else blocks.minima[0]
    grid = form.levels * (blocks.scales[0] * blocks.tensor_scale) + minimum
    least = np.abs(x[:, None].astype(np.float64) - grid).min(axis=1)
    # GGML rounds before its scale and minimum have been rounded to float16: at most half of 2^-10, or of 2^-24, each.
    off = form.unrounded * (2.0**-10 * np.abs(x).max() + 2.0**-24 * (np.abs(form.levels).max() + 1))
    assert np.all(np.abs(x - blocks.dequantize().astype(np.float64)) <= least * (1 + 1e-5) + off + 1e-6 * np.abs(x))


@every_format
def test_a_row_is_cut_into_blocks_along_the_last_axis(form):
    x = weights(6, 4, 3 * form.block)
    blocks = form.quantize(x)
    assert blocks.shape == x.shape
    assert blocks.codes.shape == (12, form.block) and blocks.scales.shape == (12, 1)
    if not form.tensor:
        one = form.quantize(x[1, form.block : 2 * form.block])
        np.testing.assert_array_equal(blocks.codes[4], one.codes[0])
        assert blocks.scales[4] == one.scales[0]


@every_format
def test_the_nearest_value_of_each_block(form):
    x = weights(7, 5, 3 * form.block)
    blocks, rng = form.quantize(x), np.random.default_rng(7)
    grids = form.levels * (blocks.scales * blocks.tensor_scale) + (0 if blocks.minima is None else blocks.minima)
    for wanted in (x.reshape(-1, form.block)[:, -1], *(10.0 ** rng.uniform(-3, 3, (3, 15)) * rng.normal(size=(3, 15)))):
        found = blocks.nearest(wanted)
        assert found.shape == (15,) and found.dtype == np.float32
        distance = np.abs(wanted - found.astype(np.float64))
        least = np.abs(wanted[:, None] - grids.astype(np.float64)).min(axis=1)
        np.testing.assert_allclose(distance, least, rtol=1e-5, atol=1e-6 * np.abs(grids).max(axis=1).max())
    for place in (0, form.block - 1):
        own = blocks.dequantize().reshape(-1, form.block)[:, place]
        np.testing.assert_array_equal(blocks.nearest(own), own)
    with pytest.raises(ValueError, match="x must hold finite numbers"):
        blocks.nearest(np.full(15, np.nan))


@every_format
def test_a_part_of_a_tensor_with_the_scale_of_all(form):
    x = weights(8, 4, 2 * form.block)
    everything = form.quantize(x)
    for row in range(4):
        part, rows = form.quantize(x[row], everything.tensor_scale), slice(2 * row, 2 * row + 2)
        np.testing.assert_array_equal(part.codes, everything.codes[rows])
        np.testing.assert_array_equal(part.scales, everything.scales[rows])
        np.testing.assert_array_equal(part.dequantize(), everything.dequantize()[row])


@every_format
def test_blocks_that_are_hard_to_scale(form):
    for constant in (0, 0.25, -3):
        x_hat = form.quantize(np.full(form.block, constant)).dequantize()
        np.testing.assert_allclose(x_hat, constant, rtol=2**-11)  # float16's, where 3 / 7 is a scale
    subnormal = np.full(2 * form.block, 3 * 2.0**-149, np.float32)
    subnormal[0] = -1e-38
    assert np.all(np.abs(form.quantize(subnormal).dequantize() - subnormal) <= np.float32(1e-38))


def test_scales_that_are_no_float16_take_every_float32():
    largest = np.finfo(np.float32).max
    for name in ("nf4", "nvfp4", "mxfp4", "mxfp6", "mxfp6_e3m2", "mxfp8"):
        x_hat = FORMATS[name].quantize(np.full(64, largest)).dequantize()
        assert np.all(x_hat >= 0.75 * largest)  # mxfp4's is 6 * 2^125


def test_names_say_what_they_are():
    assert repr(FORMATS["nf4"]) == "BlockFormat: nf4, 4.5 bits a weight, 16 levels from -1 to 1 in blocks of 64"
    assert integers(3, 5).name == "int3 in blocks of 5"
    assert {name: form.name for name, form in (FLOATS | FORMATS).items()} == {name: name for name in FLOATS | FORMATS}


# What cannot be done


def test_numbers_that_no_block_holds():
    form, good = FORMATS["nvfp4"], np.ones(16)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="x must hold finite numbers"):
            form.quantize(np.append(good[1:], bad))
    with pytest.raises(ValueError, match="x must hold at least one value"):
        form.quantize(np.ones((0, 16)))
    with pytest.raises(ValueError, match="x must hold numbers of float32"):
        form.quantize(1e39 * good)
    with pytest.raises(TypeError, match="x must hold integers or floats"):
        form.quantize(["a"] * 16)
    for wrong in (np.ones(17), np.ones((16, 1)), 1.0):
        with pytest.raises(ValueError, match=r"the last axis must be a multiple of 16 long, got shape .*; transpose x"):
            form.quantize(wrong)


@every_format
def test_bytes_that_are_not_those_of_the_shape(form):
    data = form.quantize(np.ones(form.block)).pack()
    for wrong in (data[:-1], data + b"0", b""):
        with pytest.raises(ValueError, match=f"takes {len(data)} bytes, got {len(wrong)}; try another"):
            form.unpack(wrong, form.block)
    with pytest.raises(ValueError, match="shape must be an integer from 1"):
        form.unpack(b"", (0, form.block))
    if form.block > 1:
        with pytest.raises(ValueError, match="the last axis must be a multiple"):
            form.unpack(data, form.block + 1)


def test_bytes_that_stand_for_no_number():
    wrong = {
        "q8_0": [b"\x00\x7c" + bytes(32), b"\x01\x7e" + bytes(32), b"\x00\x3c" + bytes(31) + b"\x80"],
        "q4_1": [b"\x00\x3c\x00\x7c" + bytes(16)],
        "mxfp4": [b"\xff" + bytes(16)],
        "mxfp8": [b"\x7f" + bytes(31) + b"\x7f", b"\xfe" + bytes(31) + b"\x7e"],
        "nvfp4": [np.float32(np.nan).tobytes() + bytes(9), np.float32(1).tobytes() + b"\x7f" + bytes(8)],
        "nf4": [np.float32(np.inf).tobytes() + bytes(32)],
    }
    for name, each in wrong.items():
        for data in each:
            with pytest.raises(
                ValueError, match=f"data holds what is no finite number in {name}; was it another format"
            ):
                FORMATS[name].unpack(data, FORMATS[name].block)


@pytest.mark.parametrize("form", [FORMATS["q8_0"], FORMATS["q4_0"], FORMATS["q4_1"], integers(4, 32)], ids=repr)
def test_scales_beyond_float16(form):
    x = np.linspace(-1, 1, 32)
    assert np.all(np.isfinite(form.quantize(60_000 * x).dequantize()))
    with pytest.raises(ValueError, match=r"stores scales as float16, up to 65,504, got .*; divide all of x by one"):
        form.quantize(1e7 * x)


def test_a_minimum_beyond_float16():
    with pytest.raises(
        ValueError, match=r"q4_1 stores scales as float16, up to 65,504, got 7e\+04; divide all of x by"
    ):
        FORMATS["q4_1"].quantize(np.full(32, 70_000.0))


def test_bad_arguments():
    for bits in (1, 9, 4.0, True):
        with pytest.raises(ValueError, match="bits must be an integer from 2 to 8"):
            integers(bits, 32)
    for block in (0, -1, 3.5):
        with pytest.raises(ValueError, match="block must be an integer from 1"):
            integers(4, block)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="x must hold finite numbers"):
            FLOATS["e5m2"].quantize([bad])
