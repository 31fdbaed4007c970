"""The explorers: their numbers without the widgets, their words, and pictures that follow the controls."""

import inspect
import io
import re
import subprocess
import sys
from collections import namedtuple
from functools import cache, partial
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from fake_simulation import FakeSimulation, FakeTreatments, fake_digits
from PIL import Image

from qkit.numeric import (
    Convolution,
    QuantParams,
    QuantSpec,
    fake_quantize,
    params_from_data,
    params_from_range,
    sqnr_db,
)
from qkit.numeric.codebook import Codebook, entropy
from qkit.numeric.formats import FLOATS, FORMATS, integers
from qkit.show import explorers
from qkit.show.canvas import as_channels, reach_of
from qkit.show.explorers.channels import judge
from qkit.show.explorers.codes import compared, make_code, with_moved
from qkit.show.explorers.float_format import reckon
from qkit.show.explorers.images import relu_convolution
from qkit.show.explorers.number_line import follow, written_integers
from qkit.show.explorers.tensor import lay_grids, packed_bytes, spread, sqnr_by_bits
from qkit.show.numerals import decibels, number, share, size

RNG = np.random.default_rng(7)
WEIGHTS = (RNG.normal(size=(3, 3, 4, 8)) * np.geomspace(0.01, 1, 8)).astype(np.float32)
ROWS = (np.random.default_rng(8).normal(size=(6, 192)) * np.geomspace(1, 0.2, 192)).astype(np.float32)
IMAGE = RNG.random((12, 10))
KERNEL = RNG.normal(size=(3, 3, 1, 9))
CONVOLUTION = {"kernel": KERNEL, "bias": np.linspace(-0.5, 0.5, 9)}
ONE = {"kernel": np.ones((1, 1, 1, 1)), "bias": np.zeros(1)}
LAYER = Convolution(
    **{"name": "conv", "source": "image", "shape": (6, 5, 4), "activation": "RELU"},
    **{"x": QuantParams(0.01, -128, QuantSpec()), "y": QuantParams(0.02, -128, QuantSpec())},
    w=QuantParams(np.full(4, 0.01), np.zeros(4, int), QuantSpec(symmetric=True, narrow_range=True, axis=0)),
    q_weights=RNG.integers(-127, 128, (4, 3, 3, 2)).astype(np.int8),
    q_bias=RNG.integers(-99, 99, 4).astype(np.int32),
    **{"size": (3, 3), "strides": (1, 1), "same": False},
)
Q_INPUTS = RNG.integers(-128, 128, (3, 8, 7, 2)).astype(np.int8)
DIGITS = RNG.random((300, 8, 8))
PROBABILITIES = RNG.dirichlet(np.ones(10), 300)
CELLS = [(network, "float", 32, 32, seed) for network in "ab" for seed in (0, 1)]
CELLS += [(*cell[:1], method, bits, 8, cell[-1]) for cell in CELLS for method in ("PTQ", "QAT") for bits in (2, 4)]
CELL = namedtuple("Cell", ["network", "method", "weight_bits", "activation_bits", "seed"])
STUDY = SimpleNamespace(
    labels=np.arange(300) % 10,
    predicted={CELL(*cell): np.where(RNG.random(300) < 0.2, 3, np.arange(300) % 10) for cell in CELLS},
)

MAKE = {
    "journey": lambda **start: explorers.journey(LAYER, Q_INPUTS, **start),
    "number_line": lambda **start: explorers.number_line([-1.2, -0.5, 0, 0.3, 2.1], **start),
    "tensor": lambda **start: explorers.tensor(WEIGHTS, **start),
    "channels": lambda **start: explorers.channels(WEIGHTS, **start),
    "codes": lambda **start: explorers.codes(WEIGHTS, **start),
    "comparison": lambda **start: explorers.comparison(STUDY, DIGITS, **start),
    "fake_quantization": explorers.fake_quantization,
    "float_format": explorers.float_format,
    "formats": lambda **start: explorers.formats(ROWS, **start),
    "images": lambda **start: explorers.images(IMAGE, **CONVOLUTION, **start),
    "threshold": lambda **start: explorers.threshold(
        {"one": {"a": WEIGHTS, "b": np.maximum(WEIGHTS, 0)}, "two": {"a": 2 * WEIGHTS, "b": WEIGHTS + 1}}, **start
    ),
    "network": lambda **start: explorers.network(FakeSimulation(), *fake_digits(4_500), **start),
    "doctor": lambda **start: explorers.doctor(FakeTreatments(), *fake_digits(1_500), **{"layer": "conv1"} | start),
    "answers": lambda **start: explorers.answers(DIGITS, np.arange(300) % 10, PROBABILITIES, **start),
    "two_accuracies": explorers.two_accuracies,
}
MOVES = {
    "journey": {"image": 2, "row": 1, "column": 4, "channel": 3, "runtime": "builtin"},
    "number_line": {
        "bits": 4,
        "value": -0.31,
        "range": (-1, 1),
        "symmetric": True,
        "signed": False,
        "narrow_range": True,
    },
    "tensor": {"bits": 6, "per_channel": True, "symmetric": False},
    "channels": {"bits": 6, "channel": 5, "per_channel": True, "symmetric": False},
    "codes": {"code": "powers", "count": 15, "which": 3, "moved": 0.5},
    "comparison": {"network": "b", "bits": (4, 8), "first": "float", "second": "PTQ", "seed": 1},
    "fake_quantization": {"bits": 2, "clip": 0.6, "w": -0.8, "push": -0.2},
    "float_format": {"format": "e2m1", "zoom": 2} | {f"bit{bit}": bit in (1, 3, 7) for bit in range(8)},
    "formats": {"format": "q4_1", "group": 192, "row": 4, "column": 70},
    "images": {"bits": 3, "quantize_kernel": True, "per_map": True},
    "threshold": {"images": "two", "layer": "b", "bits": 3, "method": "kl", "percentile": 99, "end": 33.5},
    "network": {
        "weight_bits": 3,
        "activation_bits": "float",
        "per_channel": False,
        "weight_method": "minmax",
        "activation_method": "kl_plain",
        "conv1": False,
        "dense1": False,
    },
    "doctor": {
        "weight_bits": 3,
        "activation_bits": 5,
        "per_channel": True,
        "equalized": True,
        "corrected": True,
        "scales": "eq",
        "rounding": "gptq",
        "layer": "dense1",
        "layer_bits": 6,
    },
    "answers": {"rank": 30},
    "two_accuracies": {"images": 5000, "a": 96.5, "b": 99},
}
each = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def explorer(kind):
    """Each kind once, at its start, for all tests that move it."""
    made = make_once(kind)
    start = made.values
    yield made
    made.set(**start)


@cache
def make_once(kind):
    return MAKE[kind]()


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def together(kind):
    """Return the moves of all controls; of a number line, symmetric unsigned integers would stand for no negatives."""
    return {name: value for name, value in MOVES[kind].items() if name != "signed"}


@each
def test_every_control_changes_picture_and_words_and_back(kind, explorer):
    assert set(explorer.controls) == set(MOVES[kind])
    before, words = explorer.png(), explorer.words
    for name, control in explorer.controls.items():
        assert control.description and len(control.tooltip) > 20
        start = control.value
        control.value = MOVES[kind][name]
        assert explorer.error is None
        assert (pixels(explorer.png()) != pixels(before)).any(), name
        assert explorer.words != words, name
        control.value = start
        assert (explorer.png(), explorer.words) == (before, words), name


@each
def test_a_moved_explorer_equals_one_that_starts_there(kind, explorer):
    parameters = inspect.signature(getattr(explorers, kind.split(",")[0])).parameters
    # A number line that starts with another range shows another part of the line.
    moves = {name: value for name, value in together(kind).items() if name != "range"}
    if "start" not in parameters:
        moves = {name: value for name, value in moves.items() if name in parameters}
    if moves:
        started = MAKE[kind](**moves)
        assert explorer.set(**moves).png() == started.png()
        assert explorer.words == started.words


@each
def test_the_stored_output_is_a_whole_picture_with_its_words(kind, explorer):
    for moves in ({}, together(kind)):
        explorer.set(**moves)
        data, metadata = explorer._repr_mimebundle_()
        seen = pixels(data["image/png"])
        border = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
        assert np.all(border == 255), "something is cut off at the edge"
        words = explorer.words
        assert metadata["image/png"]["alt"] == words == data["text/plain"].splitlines()[0]
        assert words.endswith(".") and not re.search(r"[{}]|nan|\b1 levels\b|-\d", words)


def test_explorers_start_where_they_are_told():
    start = {"bits": 2, "range": (-0.5, 1), "value": 0.4, "symmetric": True, "signed": True, "narrow_range": True}
    assert explorers.number_line(**start).values == start
    assert explorers.number_line([-2, 3]).values["range"] == (-2, 3)
    assert explorers.tensor(WEIGHTS, bits=3, per_channel=True).values["per_channel"]
    assert explorers.channels(WEIGHTS, channel=3).values["channel"] == 3
    with pytest.raises(ValueError, match="bits must be a whole number from 2 to 16, got 17"):
        explorers.tensor(WEIGHTS, bits=17)
    with pytest.raises(ValueError, match=r"range must be a pair \(low, high\) from -2\.5 to 2\.5, got \(1, -2\)"):
        explorers.number_line(range=(1, -2))
    with pytest.raises(ValueError, match="there is no control 'bit'; this explorer has bits, per_channel, symmetric"):
        explorers.tensor(WEIGHTS, bit=3)


ARRAYS = {
    "a whole number": 7,
    "a constant": np.full((4, 3), 0.5),
    "zeros": np.zeros((2, 3, 4)),
    "one side": np.abs(WEIGHTS) + 1,
    "tiny": WEIGHTS * 1e-30,
    "denormal": np.array([[1e-310, -2e-310], [0, 5e-324]]),
    "denormal in float32": np.array([[1e-45, -4e-45], [0, 7e-45]]),
    "huge": WEIGHTS.astype(float) * 1e99,
    "a dead channel, half precision": (WEIGHTS * (np.arange(8) > 0)).astype(np.float16),
    "many channels": RNG.normal(size=(2, 300)),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ARRAYS)
def test_any_array_can_be_explored(name):
    x = ARRAYS[name]
    line, weights, ranges = explorers.number_line(x), explorers.tensor(x), explorers.channels(x)
    if name == "huge":
        with pytest.raises(ValueError, match="x must hold numbers of float32"):
            explorers.codes(x)
    else:
        coded = explorers.codes(x)
        for code, moved in product(("uniform", "powers", "kmeans"), (-0.9, 0, 0.9)):
            assert "nan" not in coded.set(code=code, count=5, moved=moved).words
    picture = explorers.images(np.reshape(x, (len(np.atleast_1d(x)), -1)), **ONE)
    for explorer in (line, weights, ranges, picture):
        for bits in (2, 8):
            assert "nan" not in explorer.set(bits=bits).words
    ranges.set(per_channel=True, symmetric=False)
    weights.set(bits=16, per_channel=True, symmetric=False)
    line.set(bits=16, symmetric=True)


def test_nothing_and_what_is_no_number_is_refused():
    for wrong in ([], np.zeros((0, 3)), [[1.0, np.nan]], [[np.inf, 0.0]]):
        whole = explorers.tensor, explorers.channels, explorers.codes, explorers.formats
        for explore in (*whole, partial(explorers.images, **ONE)):
            with pytest.raises(ValueError, match=r"weights must|image must"):
                explore(wrong)
        if np.size(wrong):
            with pytest.raises(ValueError, match="values must"):
                explorers.number_line(wrong)
    for explore in (explorers.tensor, explorers.channels, explorers.codes):
        with pytest.raises(TypeError, match="weights must hold integers or floats"):
            explore(["a"])


def test_an_impossible_grid_is_explained_in_the_widget():
    line = explorers.number_line()
    line.controls["signed"].value = False
    picture = line.png()
    line.controls["symmetric"].value = True
    assert "symmetric unsigned integers cannot stand for negative numbers" in repr(line)
    assert line.png() == picture
    line.controls["range"].value = (0, 1)
    assert line.error is None


def test_images_says_what_shape_it_wants():
    wrong = [
        ({"image": np.zeros(5)}, "image must have shape"),
        ({"kernel": np.zeros((3, 3, 2, 4))}, "kernel must have shape"),
        ({"kernel": np.zeros((20, 3, 1, 4))}, r"fit into the image, .* got \(20, 3, 1, 4\)"),
        ({"bias": np.zeros(3)}, r"bias shape \(maps,\), got .* 9\) and \(3,\)"),
        ({"bias": 1.0}, r"bias shape \(maps,\), got .* 9\) and \(\)"),
    ]
    for arguments, message in wrong:
        with pytest.raises(ValueError, match=message):
            explorers.images(**{"image": IMAGE} | CONVOLUTION | arguments)


def test_images_takes_a_keras_image():
    assert explorers.images(IMAGE[..., None], **CONVOLUTION).words == explorers.images(IMAGE, **CONVOLUTION).words


def test_a_trip_ends_where_fake_quantization_does():
    for bits in (2, 3, 8):
        params = params_from_range(-1.0, 1.0, QuantSpec(bits))
        for x in (-3.0, -0.9, 0.0, 0.123, 0.5, 3.0):
            trip = follow(x, params)
            assert trip.x_hat == fake_quantize(x, params)
            assert trip.error == pytest.approx(trip.x_hat - x, abs=1e-9 * params.scale)
            assert (trip.x, trip.steps) == (x, x / params.scale)
            assert trip.shifted == trip.rounded + params.zero_point
            assert trip.q == np.clip(trip.shifted, params.spec.qmin, params.spec.qmax)
            assert (trip.shifted != trip.q) == (abs(x) > 1.5)
            assert trip.shifted != trip.q or abs(trip.error) <= params.scale / 2 * (1 + 1e-12)


def test_a_number_on_a_level_has_no_error():
    trip = follow(1.4, params_from_range(-1.0, 2.0, QuantSpec(4)))
    assert trip.x_hat - 1.4 != 0
    assert trip.error == 0


def test_integers_are_written_where_there_is_room():
    few = params_from_range(-1.0, 1.0, QuantSpec(3))
    assert written_integers(few, 1.5) == pytest.approx({q: q * few.scale for q in range(-4, 4)})
    many = params_from_range(-1.0, 1.0, QuantSpec(8))
    assert written_integers(many, 1.5) == pytest.approx({0: 0, -128: -128 * many.scale, 127: 127 * many.scale})
    # Beyond the end of the axis, and where the zero-point stands, none is written.
    assert list(written_integers(params_from_range(0.0, 2.0, QuantSpec(8)), 1.5)) == [-128]


def test_grids_are_judged_as_by_definition():
    rows, explorer = as_channels(WEIGHTS, "weights"), explorers.tensor(WEIGHTS)
    assert np.array_equal(rows[3], WEIGHTS[..., 3].ravel())
    for bits, symmetric, per_channel in product((2, 5, 8, 11, 16), (True, False), (True, False)):
        axis = 0 if per_channel else None
        spec = QuantSpec(bits, symmetric=symmetric, narrow_range=symmetric, axis=axis)
        back = fake_quantize(rows, params_from_data(rows, spec))
        found = [np.unique(grid, return_counts=True) for grid in (back if per_channel else [back])]
        _, levels, counts, _ = lay_grids(rows, bits, symmetric, per_channel)
        assert np.array_equal(levels, np.concatenate([levels for levels, _ in found]))
        assert np.array_equal(counts, np.concatenate([counts for _, counts in found]))
        sqnr = sqnr_db(rows, back)
        assert sqnr == sqnr_by_bits(rows, symmetric, per_channel)[bits - 2]
        words = explorer.set(bits=bits, symmetric=symmetric, per_channel=per_channel).words
        assert f" SQNR {decibels(sqnr)}; {share(np.mean(back == 0))} of the weights become exactly 0; " in words
        assert f" {number(len(levels) / len(found))} of {spec.levels} levels are used; " in words


def test_uniform_weights_gain_six_decibels_per_bit():
    rows = RNG.uniform(-1, 1, (1, 20_000))
    gains = np.diff(sqnr_by_bits(rows, False, False))
    assert np.all(np.abs(gains[3:] - 6.02) < 0.2)


def test_spread_keeps_every_weight_within_half_a_step():
    rows, edges = as_channels(WEIGHTS, "weights"), np.linspace(-5, 5, 4001)
    for bits, per_channel in product((2, 4, 12), (True, False)):
        _, levels, counts, steps = lay_grids(rows, bits, True, per_channel)
        density = spread(levels, counts, steps, edges)
        assert np.sum(density * np.diff(edges)) == pytest.approx(rows.size)
        assert density.min() > -1e-6
        # Against the definition: each weight's own little bar.
        low, high = -0.4, 0.7
        inside = np.clip((high - levels) / steps + 0.5, 0, 1) - np.clip((low - levels) / steps + 0.5, 0, 1)
        found = spread(levels, counts, steps, np.array([low, high]))[0] * (high - low)
        assert found == pytest.approx(np.sum(counts * inside))


def test_packed_bytes_count_integers_scales_and_zero_points():
    rows = np.ones((2, 5))
    for per_channel, symmetric, bits, count in ((False, True, 3, 4 + 4), (True, False, 8, 10 + 16)):
        params, *_ = lay_grids(rows, bits, symmetric, per_channel)
        assert packed_bytes(10, params) == count


def test_channels_with_a_shared_scale_keep_few_levels():
    rows = np.array([[-1, 0.5, 1], [-0.07, 0, 0.07], [0, 0, 0]])
    _, shared, shared_sqnr = judge(rows, 4, True, False)
    _, own, own_sqnr = judge(rows, 4, True, True)
    assert list(shared) == [15, 1, 1]
    assert list(own) == [15, 15, 1]
    assert own_sqnr[1] > shared_sqnr[1] == 0
    explorer = explorers.channels(rows.T, channel=1)
    assert "channel 0 sets it" in explorer.words
    assert "levels it spans: 1; SQNR 0.0 dB, ∞ dB with a scale of its own" in explorer.words


def test_channels_that_set_an_asymmetric_grid():
    """It reaches from the lowest weight of all to the highest, and to 0: the two can be of different channels."""
    explorer = explorers.channels(np.array([[0.1, -2.0, 3.0], [-0.1, 0.5, -1.0]]), symmetric=False)
    assert "channels 1 and 2 set it, and" in explorer.words
    assert "channel 2 sets it, and" in explorer.set(symmetric=True).words
    one = np.array([[0.1, -2.0, 1.0], [-0.1, 3.0, -1.0]])
    for weights, channel in ((one, 1), (np.abs(one), 1), (0 * one, 0)):
        assert f"channel {channel} sets it, and" in explorers.channels(weights, symmetric=False).words


def test_a_number_at_the_end_of_the_range_is_off_by_half_a_step():
    """Halfway to a level that is not there it is rounded up, and clipped; but no more than rounding it down costs."""
    for bits in (2, 3, 8, 16):
        explorer = explorers.number_line(range=(-1.0, 1.0), bits=bits, value=1.0)
        assert f"is {(2**bits - 1) / 2} steps, rounded" in explorer.words
        assert "beyond the last integer: clipped to" in explorer.words and "at most half a step" in explorer.words
    assert "more than half a step" in explorer.set(value=1.02).words


def test_a_tie_on_the_screen_is_rounded_as_one():
    """A slider's numbers are not quite those that it shows: the 52nd from −2.5 on is 0.10000000000000009."""
    params = params_from_range(-1.0, 2.0, QuantSpec(4))
    for halves in range(-9, 20, 2):
        for x in (round(0.1 * halves, 1), -2.5 + round((0.1 * halves + 2.5) / 0.05) * 0.05):
            trip = follow(x, params)
            assert (trip.steps, trip.rounded) == (halves / 2, round(halves / 2))
    assert "is 0.5 steps, rounded 0;" in explorers.number_line(range=(-1.0, 2.0), bits=4, value=0.1).words
    assert "x = −0.001 is 0 steps" in explorers.number_line(value=-0.001).words


def test_every_level_of_every_grid_lies_in_the_picture():
    for weights in (WEIGHTS, np.r_[np.full(50, -1.0), np.full(50, 0.6)][:, None], np.ones((3, 2)), np.zeros((2, 2))):
        rows = as_channels(weights, "weights")
        for bits, symmetric, per_channel in product(range(2, 17), (True, False), (True, False)):
            levels = lay_grids(rows, bits, symmetric, per_channel)[1]
            assert np.max(np.abs(levels)) <= 1.04 * reach_of(rows)


def test_relu_convolution_is_the_one_of_keras():
    bias = RNG.normal(size=9)
    maps = relu_convolution(IMAGE, KERNEL, bias)
    assert maps.shape == (10, 8, 9)
    for row, column, m in [(0, 0, 0), (9, 7, 8), (4, 2, 5)]:
        patch = IMAGE[row : row + 3, column : column + 3]
        assert maps[row, column, m] == pytest.approx(max(0, np.sum(patch * KERNEL[:, :, 0, m]) + bias[m]))


def test_a_code_says_what_it_costs():
    for code, count in product(("uniform", "powers", "kmeans"), (2, 7, 16)):
        book = make_code(WEIGHTS, code, count)
        assert len(book.values) == ({2: 3, 7: 7, 16: 15}[count] if code == "powers" else count)
        q = book.quantize(WEIGHTS)
        words = explorers.codes(WEIGHTS, code=code, count=count).words
        assert code == "kmeans" or f"% above k-means with at most {max(count, len(book.values))} values." in words
        assert f": {len(book.values)} values, SQNR {decibels(sqnr_db(WEIGHTS, book.dequantize(q)))}. With" in words
        assert f"takes {book.bits} bits, by its entropy at least {number(entropy(q))}; " in words
        assert f"a weight takes {number(book.bits_per_weight(q.size))} bits with the codebook" in words


def test_no_value_of_kmeans_moves_to_advantage():
    explorer = explorers.codes(WEIGHTS)
    assert "moved" not in explorer.words and "the mean squared error is that of k-means" in explorer.words
    for count, which, moved in product((2, 5), (1, 2, 5), (-0.9, -0.05, 0.05, 0.9)):
        words = explorer.set(count=count, which=which, moved=moved).words
        assert f"With value {min(count, which)} moved from" in words and "% above k-means with" in words


def test_a_moved_value_stays_between_its_neighbours():
    book = Codebook([0.0, 1.0, 3.0])
    moves = [(0, 0.5, [0.5, 1, 3]), (0, -0.5, [-0.5, 1, 3]), (1, 0.5, [0, 2, 3]), (1, -0.5, [0, 0.5, 3])]
    for place, moved, values in [*moves, (2, 0.5, [0, 1, 4]), (2, 0, [0, 1, 3])]:
        assert with_moved(book, place, moved).values.tolist() == values
    assert with_moved(Codebook([1.0]), 0, 0.5).values.tolist() == [1]
    assert "With value 1 at 0.7, " in explorers.codes(np.full(4, 0.7), moved=0.5).words
    # To float32's next number, and beyond its largest.
    for values, moved in (([1, 1 + 2**-23], 0.9), ([-3e38, 3e38], -0.9)):
        book = Codebook(values)
        assert with_moved(book, 0, moved).values.tolist() == book.values.tolist()


def test_errors_are_compared():
    ends = [compared(*errors)[26:] for errors in ((2, 1), (1, 1), (0, 0), (1, 0), (0.9, 1))]
    above = ["100 % above k-means", "that of k-means", "that of k-means", "above the 0 of k-means"]
    assert ends == [*above, "10 % below k-means"]


def test_numbers_are_written_for_readers():
    assert [number(x) for x in (-0.03123, 3.0, -32768, 1234567.0, 0)] == ["−0.0312", "3", "−32768", "1.23e+06", "0"]
    shares = ["0 %", "< 0.1 %", "0.4 %", "31 %", "99.9 %", "100 %"]
    assert [share(x) for x in (0, 1e-6, 0.004, 0.314, 0.9999, 1)] == shares
    ratios = ["−3.2 dB", "0.0 dB", "−250.0 dB", "∞ dB", "∞ dB", "−∞ dB", "nan dB"]
    assert [decibels(x) for x in (-3.21, -0.04, -250, 320.0, np.inf, -np.inf, np.nan)] == ratios
    assert [size(x) for x in (12, 4608, 999_600, 1_605_632, 2e9)] == ["12 B", "4.61 kB", "1 MB", "1.61 MB", "2 GB"]


def test_explorers_load_neither_pyplot_nor_tensorflow():
    code = (
        "import sys; from qkit.show import explorers; explorers.number_line().set(bits=2);"
        "print(sorted({'matplotlib.pyplot', 'tensorflow', 'tf_keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_arithmetic_of_a_float_gives_its_value():
    plain = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹·", "--0123456789*")
    for form in FLOATS.values():
        assert len(form.values) == 2**form.bits
        for code, value in enumerate(form.values.tolist()):
            _, _, equation, kind = reckon(form, code)
            if not np.isfinite(value):
                assert equation == {"inf": "∞", "-inf": "−∞", "nan": "NaN"}[str(value)]
                continue
            sign, power, rest, result = re.fullmatch(r"\(−1\)(\S+) · 2(\S+) · (\S+|\(.+\)) = (\S+)", equation).groups()
            sign, power, rest = (eval(each.translate(plain)) for each in (sign, power, rest))
            assert (-1) ** sign * 2.0**power * rest == value == float(result.translate(plain))
            assert kind.startswith("zero" if value == 0 else "a normal" if rest >= 1 else "a subnormal")


def test_a_float_is_seen_among_all_of_its_format():
    explorer = explorers.float_format()
    assert "(−1)⁰ · 2¹⁴⁻⁷ · (1 + 5/8) = 208, a normal number" in explorer.words
    assert "The gap to the next value is 16; that of int8 is 3.53 everywhere." in explorer.words
    assert explorer.words.endswith("Values from −448 to 448: 253 of E4M3, 255 of int8.")
    assert not any(control.disabled for control in explorer.controls.values())
    # 0, ½, 1, 1½, 2 and 3 on both sides, and three integers of 6/7.
    words = explorer.set(format="e2m1", zoom=1).words
    assert "bits 0101, exponent 2, mantissa 1: " in words and words.endswith(
        "Values from −3 to 3: 11 of E2M1, 7 of int4."
    )
    assert [control.disabled for control in explorer.controls.values()] == [False, *4 * [True], *5 * [False]]
    largest = {"format": "e4m3", "bit7": True, "bit3": True, "bit1": True, "bit0": False}
    assert (
        "= −448, a normal number: its leading 1 is not stored. The gap to the next value towards 0 is 32;"
        in explorer.set(**largest).words
    )
    assert "mantissa 7: NaN, not a number: all bits but the sign are 1." in explorer.set(bit0=True).words
    assert "exponent 31, mantissa 3: NaN, not a number" in explorer.set(format="e5m2").words
    assert ": −∞, infinity" in explorer.set(bit0=False, bit1=False).words


def test_a_format_makes_of_a_tensor_what_the_explorer_says():
    explorer, names = explorers.formats(ROWS), [f"int{bits}" for bits in range(2, 9)] + list(FORMATS)
    assert [name for _, name in explorer.controls["format"].options] == names
    for group, row, column in ((16, 0, 0), (192, 5, 100)):
        forms = {name: FORMATS[name] if name in FORMATS else integers(int(name[3:]), group) for name in names}
        sqnr = {name: sqnr_db(ROWS, form.quantize(ROWS).dequantize()) for name, form in forms.items()}
        for name, form in forms.items():
            blocks, words = form.quantize(ROWS), explorer.set(format=name, group=group, row=row, column=column).words
            bits = form.bits_per_weight
            assert (
                f"{name}: {number(bits)} bits per weight in blocks of {form.block}, SQNR {decibels(sqnr[name])}"
                in words
            )
            best = max((each for each in names if forms[each].bits_per_weight <= bits), key=sqnr.get)
            has, most = decibels(sqnr[name]), decibels(sqnr[best])
            rival = "no other has more" if has == most else f"{best} has {most}"
            assert f"; with as few bits {rival}. The weight at row {row}, column {column} is " in words
            code = blocks.codes.ravel()[192 * row + column]
            level, written = re.search(r"nearest level (\S+), code ([01]+)", words).groups()
            assert (level, int(written, 2)) == (number(form.element.values[code]), code)
            assert len(form.element.values) == 2 ** len(written)
            w, w_hat = ROWS[row, column], blocks.dequantize()[row, column]
            assert f"is {number(w)}, the" in words
            assert f"Back comes {number(w_hat)}, error {number(float(w_hat) - float(w))}. Values" in words
            used = np.unique(blocks.dequantize().reshape(-1, form.block)[(192 * row + column) // form.block])
            assert words.endswith(f" in use: {len(used)} of {len(form.levels)}.")


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_any_array_whose_rows_are_whole_blocks_has_formats():
    outlier = np.where(np.arange(64) == 5, 900, 0.01)
    for x in (np.zeros(64), np.full((2, 1, 64), -0.5), 1e-30 * ROWS, outlier, np.arange(128).astype(np.int8)):
        explorer = explorers.formats(x)
        for _, name in explorer.controls["format"].options:
            assert "nan" not in explorer.set(format=name, column=7).words


def test_formats_whose_blocks_do_not_fit_are_not_offered():
    explorer = explorers.formats(ROWS[:, :48])
    assert [name for _, name in explorer.controls["format"].options] == [f"int{n}" for n in range(2, 9)] + ["nvfp4"]
    assert [group for _, group in explorer.controls["group"].options] == [16, 48]
    for wrong in (ROWS[:, :40], ROWS.T, ROWS[0, 0]):
        with pytest.raises(ValueError, match=r"a last axis .* multiple of 16, got shape .* pass kernel\.T"):
            explorers.formats(wrong)
