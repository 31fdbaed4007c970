"""The explorer of one number's journey: its words and its picture tell what the layer computes."""

import numpy as np
import pytest

from qkit.numeric import RUNTIMES, Dense, QuantParams, QuantSpec
from qkit.numeric.integer_layers import Depthwise
from qkit.show import explorers
from qkit.show.explorers.journey import NAMES, as_grey, as_table
from qkit.show.numerals import exact, number
from tests.show.test_explorers import LAYER, Q_INPUTS


def dense(inputs=7, w_scale=0.01, activation="RELU") -> Dense:
    rng = np.random.default_rng(2)
    return Dense(
        name="dense",
        source="flatten",
        shape=(5,),
        x=QuantParams(0.01, -128, QuantSpec()),
        y=QuantParams(0.02, -128, QuantSpec()),
        w=QuantParams(w_scale, 0, QuantSpec(symmetric=True, narrow_range=True)),
        activation=activation,
        q_weights=rng.integers(-127, 128, (5, inputs)).astype(np.int8),
        q_bias=rng.integers(-999, 999, 5).astype(np.int32),
    )


def test_the_words_tell_what_the_layer_computes():
    assert tuple(NAMES) == tuple(RUNTIMES)
    explorer = explorers.journey(LAYER, Q_INPUTS)
    for runtime in RUNTIMES:
        outputs = LAYER.run(Q_INPUTS, runtime)
        for image, row, column, channel in [(0, 0, 0, 0), (2, 5, 4, 3), (1, 3, 2, 1)]:
            words = explorer.set(image=image, row=row, column=column, channel=channel, runtime=runtime).words
            acc = LAYER.sums(Q_INPUTS)[image, row, column, channel]
            q = int(outputs[image, row, column, channel])
            assert f"conv, image {image}, position {row}, {column}, {channel}: 18 products" in words
            assert f"add up to {exact(acc)}, which stands for {number(1e-4 * acc)}." in words
            assert f"; the {NAMES[runtime]} runtime rounds it to " in words
            assert f"q = {number(q)}, which stands for {number(0.02 * (q + 128))}" in words
            assert ("clipped to" in words) == (acc * 0.005 < -0.5 or acc * 0.005 > 255.5)


def test_it_starts_in_the_middle_and_where_it_is_told():
    start = {"image": 0, "row": 3, "column": 2, "channel": 0, "runtime": "xnnpack"}
    assert explorers.journey(LAYER, Q_INPUTS).values == start
    told = {"image": 2, "row": 0, "runtime": "single"}
    assert explorers.journey(LAYER, Q_INPUTS, **told).values == start | told
    with pytest.raises(ValueError, match="row must be a whole number from 0 to 5, got 6"):
        explorers.journey(LAYER, Q_INPUTS, row=6)
    with pytest.raises(ValueError, match="there is no control 'row'"):
        explorers.journey(dense(), np.zeros((1, 7), np.int8), row=0)


def test_runtimes_that_differ_are_named():
    """The sum 58446 and the multiplier 0.00202749: 118.4987, which a first rounding turns into 118.5."""
    layer = Dense(
        name="one",
        source="image",
        shape=(1,),
        x=QuantParams(1.0, 0, QuantSpec()),
        y=QuantParams(1.0, 0, QuantSpec()),
        w=QuantParams([0.00202749], [0], QuantSpec(symmetric=True, axis=0)),
        activation="NONE",
        q_weights=np.ones((1, 2), np.int8),
        q_bias=np.array([58446], np.int32),
    )
    explorer = explorers.journey(layer, np.zeros((1, 2), np.int8))
    assert "Others differ: built-in 119." in explorer.words
    assert "the built-in runtime rounds it to 118.5, then to 119." in explorer.set(runtime="builtin").words
    assert "XNNPACK 118, reference 118, rounded once 118" in explorer.words
    explorer = explorers.journey(layer, np.full((1, 2), 100, np.int8))
    assert "All four runtimes give 119." in explorer.words


def test_channels_that_a_runtime_leaves_to_another():
    """Of a depthwise layer the built-in runtime takes eight channels at a time, and rounds what is left otherwise."""
    layer = Depthwise(
        name="depthwise",
        source="image",
        shape=(1, 1, 1),
        x=QuantParams(1.0, 0, QuantSpec()),
        y=QuantParams(1.0, 0, QuantSpec()),
        w=QuantParams([0.25], [0], QuantSpec(symmetric=True, axis=0)),
        activation="NONE",
        q_weights=np.ones((1, 1, 1, 1), np.int8),
        q_bias=np.array([-2], np.int32),
        size=(1, 1),
        strides=(1, 1),
        same=False,
    )
    assert layer.run(np.zeros((1, 1, 1, 1), np.int8), "builtin").item() == -1
    explorer = explorers.journey(layer, np.zeros((1, 1, 1, 1), np.int8), runtime="builtin")
    assert explorer.words.endswith("q = −1, which stands for −1. Others differ: XNNPACK 0, rounded once 0.")
    assert "Others differ: built-in −1, reference −1." in explorer.set(runtime="xnnpack").words


def test_a_dense_layer_has_no_rows():
    explorer = explorers.journey(dense(1000), np.zeros((2, 1000), np.int8), channel=3)
    assert set(explorer.controls) == {"image", "channel", "runtime"}
    assert "position 3: 1000 products and" in explorer.words


@pytest.mark.parametrize(
    ("q_inputs", "message"),
    [
        (Q_INPUTS.astype(int), "q_inputs must be the int8 inputs of conv .* outputs of image; got int64"),
        (Q_INPUTS[0], r"got int8 of shape \(8, 7, 2\)"),
        (Q_INPUTS[:0], "at least one image"),
        (Q_INPUTS[:, 1:], r"conv takes int8 .* shape \(6, 5, 4\), got int8 inputs of shape \(1, 7, 7, 2\)"),
        (Q_INPUTS[..., :1], "conv takes int8 inputs"),
    ],
)
def test_refusals(q_inputs, message):
    with pytest.raises(ValueError, match=message):
        explorers.journey(LAYER, q_inputs)


def test_tables_lose_no_number():
    q = np.arange(-9, 9, dtype=np.int8)
    square, window, map_ = as_table(q), as_table(q.reshape(3, 3, 2)), as_table(q[:9].reshape(3, 3, 1))
    assert square.shape == (4, 5) and np.isnan(square).sum() == 2
    assert square[~np.isnan(square)].tolist() == q.tolist()
    assert window.shape == (9, 2) and window.ravel().tolist() == q.tolist()
    assert map_.shape == (3, 3)


def test_greys_run_from_black_to_white():
    rgba = as_grey(np.array([[-128.0, 0.0, 128.0, np.nan]]), 128, 2, 8)
    assert rgba.shape == (2, 8, 4)
    assert rgba[0, ::2].tolist() == [[0, 0, 0, 255], [127, 127, 127, 255], [255, 255, 255, 255], [255, 255, 255, 0]]
