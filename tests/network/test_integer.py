"""The integer network: bit for bit what LiteRT computes; and what it says about files that it cannot run."""

import subprocess
import sys

import numpy as np
import pytest

from qkit.network import IntegerNetwork, convert
from qkit.network.backend import keras, tf
from qkit.network.litert import RESOLVERS as LITERT
from qkit.network.tflite import WEIGHTED, import_litert, named_tensors, read_operators
from qkit.numeric.fixed_point import RUNTIMES
from tests.network.int8_files import check_against_litert, packed, post_training, quantization_aware, unpacked

FILES = [(way, per_channel) for way in ("PTQ", "QAT") for per_channel in (True, False)]


@pytest.fixture(scope="module")
def files(deep, few_digits):
    """The .tflite files of the deep network, whose layers are those of the shallow one and more."""

    def made(way, per_channel):
        if way == "QAT":
            return quantization_aware(deep, few_digits, per_channel, steps=2)
        return post_training(deep, few_digits.x_train[:50], per_channel)

    return {file: made(*file) for file in FILES}


@pytest.fixture(scope="module")
def content(files):
    return files["PTQ", True]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_layer_is_litert(files, file, few_digits):
    check_against_litert(files[file], few_digits.x_test[:300])


@pytest.mark.parametrize("io", [tf.float32, tf.uint8])
def test_other_inputs_and_outputs_are_left_out(deep, few_digits, io):
    content = post_training(deep, few_digits.x_train[:50], io=io)
    network, images = IntegerNetwork.read(content), few_digits.x_test[:50]
    assert (network.layers[0].name, network.layers[-1].name) == ("conv1", "softmax")
    np.testing.assert_array_equal(network.predict(images), network.predict(images[..., None] / np.float32(255)))
    with pytest.raises(ValueError, match="images must hold finite numbers"):
        network.predict(np.full((2, 28, 28, 1), np.nan, np.float32))
    check_against_litert(content, images)
    if io == tf.uint8:
        file = unpacked(content)
        for index in (*file.subgraphs[0].inputs, *file.subgraphs[0].outputs):
            other = unpacked(content)
            other.subgraphs[0].tensors[index].quantization.scale = [0.5]
            with pytest.raises(ValueError, match=r"is a QUANTIZE; leave that layer out"):
                IntegerNetwork.read(packed(other))


@pytest.mark.parametrize(("padding", "per_channel"), [("same", True), ("valid", False)])
def test_paddings_strides_and_negative_outputs(padding, per_channel):
    """Without ReLU negative sums are not clipped, so that ties of both signs count; noise fills the range."""
    model = keras.Sequential(
        [
            keras.layers.Input((14, 15, 2)),
            keras.layers.Conv2D(24, (3, 5), padding=padding, name="conv"),
            keras.layers.MaxPooling2D(3, 2, padding=padding, name="pool"),
            keras.layers.Conv2D(40, 2, 2, padding=padding, activation="relu", name="strided"),
            keras.layers.Flatten(),
            keras.layers.Dense(200, name="dense"),
            keras.layers.Dense(10, use_bias=False, name="no_bias"),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.3, size=weights.shape) for weights in model.get_weights()])
    content = post_training(model, rng.normal(size=(30, 14, 15, 2)).astype(np.float32), per_channel)
    images = rng.integers(-128, 128, (300, 14, 15, 2)).astype(np.int8)
    check_against_litert(content, images)


@pytest.mark.parametrize(
    ("padding", "channels"), [("valid", 1), ("same", 7), ("valid", 8), ("same", 20), ("valid", 20)]
)
def test_each_channel_by_itself_and_means(padding, channels):
    """Of other channels than multiples of eight, the built-in runtime rounds the last otherwise."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((11, 12, channels)),
            layers.DepthwiseConv2D((3, 2), 2, padding, name="slim") if channels > 8 else layers.DepthwiseConv2D(3),
            layers.AveragePooling2D((2, 3), 1, padding),
            layers.DepthwiseConv2D((2, 3), padding=padding, depth_multiplier=3, activation="relu6"),
            layers.AveragePooling2D(2, padding=padding),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(9),
        ]
    )
    check_with_noise(model, per_channel=padding == "same")


def check_with_noise(model, per_channel):
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.5, size=weights.shape) for weights in model.get_weights()])
    shape = model.input_shape[1:]
    content = bytearray(post_training(model, rng.normal(size=(30, *shape)).astype(np.float32), per_channel))
    images = rng.integers(-128, 128, (200, *shape)).astype(np.int8)
    check_against_litert(bytes(content), images)
    # Other scales than those that the converter chooses: 6 lies within the integers, and means on ties.
    for step in (steps := read_operators(content)):
        if step.activation == "RELU6":
            step.output.scale[:] = 6 / 40.5
        elif step.kind == "MEAN":
            step.output.scale[:], step.output.zero_point[:] = step.inputs[0].scale, 3
    for step in steps:
        if step.kind == "AVERAGE_POOL_2D":
            step.output.scale[:] = step.inputs[0].scale
        elif step.kind in WEIGHTED:
            for bias in step.inputs[2:]:
                bias.scale[:] = step.inputs[0].scale * step.inputs[1].scale
    check_against_litert(bytes(content), images)


def test_single_rounding_is_another_answer_to_the_same_sums(content, few_digits):
    """It differs from every runtime, but only here and there and by one."""
    network = IntegerNetwork.read(content)
    first = {runtime: network.run(few_digits.x_test[:300], runtime)["conv1"].astype(int) for runtime in RUNTIMES}
    for runtime in LITERT:
        difference = np.abs(first[runtime] - first["single"])
        assert difference.max() <= 1
        assert difference.mean() < 1e-3
    assert (first["builtin"] != first["single"]).any()


# ---- The network itself ----


def test_layers_are_named_as_in_keras_and_say_what_is_in_the_file(files):
    network = IntegerNetwork.read(files["QAT", True])
    assert [layer.name for layer in network.layers] == [
        *("conv1", "pool1", "conv2", "pool2", "flatten", "dense1", "dense2", "softmax")
    ]
    conv = network.layer("conv2")
    assert (conv.op, conv.shape, conv.q_weights.shape, conv.w.scale.shape) == (
        "CONV_2D",
        (11, 11, 64),
        (64, 3, 3, 32),
        (64,),
    )
    assert conv.x.scale == network.layers[1].y.scale and conv.activation == "RELU"
    assert conv.source == "pool1" and network.layers[0].source == "image"
    assert "conv2        CONV_2D          (11, 11, 64)" in repr(network)


def test_files_can_be_given_by_path(content, tmp_path):
    path = tmp_path / "deep.tflite"
    path.write_bytes(content)
    assert repr(IntegerNetwork.read(path)) == repr(IntegerNetwork.read(str(path))) == repr(IntegerNetwork.read(content))
    with pytest.raises(FileNotFoundError):
        IntegerNetwork.read(tmp_path / "other.tflite")


def test_prediction_is_the_last_layer_whatever_the_batches(content, few_digits):
    network = IntegerNetwork.read(content)
    images = few_digits.x_test[:61]
    outputs = network.run(images)
    assert outputs["image"].shape == (61, 28, 28, 1) and outputs["image"].dtype == np.int8
    np.testing.assert_array_equal(outputs["image"][..., 0], images.astype(int) - 128)
    np.testing.assert_array_equal(network.predict(images), outputs["softmax"])
    np.testing.assert_array_equal(network.predict(outputs["image"]), outputs["softmax"])
    np.testing.assert_array_equal(network.predict(images[7:8]), outputs["softmax"][7:8])


def test_a_trace_ends_where_the_network_does(content, few_digits):
    network = IntegerNetwork.read(content)
    for runtime in RUNTIMES:
        outputs = network.run(few_digits.x_test[:9], runtime)
        for layer, position in (("conv1", (25, 0, 31)), ("conv2", (4, 7, 9)), ("dense2", (3,))):
            for image in range(9):
                step = network.trace(few_digits.x_test[image], layer, position, runtime)
                assert step.requantized.q == outputs[layer][(image, *position)]


def test_traces_are_refused(content, few_digits):
    network = IntegerNetwork.read(content)
    with pytest.raises(ValueError, match="only convolutions and dense layers can be followed; pool1 is a MAX_POOL_2D"):
        network.trace(few_digits.x_test[0], "pool1", (0, 0, 0))
    with pytest.raises(ValueError, match="there is no layer 'conv3'; there are conv1, pool1, conv2"):
        network.trace(few_digits.x_test[0], "conv3", (0, 0, 0))
    with pytest.raises(ValueError, match=r"in the output of conv1, shape \(26, 26, 32\), got \(0, 26, 0\)"):
        network.trace(few_digits.x_test[0], "conv1", (0, 26, 0))


def test_tensorflow_is_not_loaded(content, tmp_path):
    path = tmp_path / "deep.tflite"
    path.write_bytes(content)
    program = (
        "import sys, numpy; from qkit.network import IntegerNetwork;"
        f"print(IntegerNetwork.read({str(path)!r}).predict(numpy.zeros((1, 28, 28), numpy.uint8)).shape);"
        "print(sorted({'tensorflow', 'tf_keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["(1, 10)", "[]"]


# ---- What is refused ----


def test_images_of_another_kind(content):
    network = IntegerNetwork.read(content)
    for images, message in (
        (np.zeros((2, 28, 27), np.uint8), r"got uint8 of shape \(2, 28, 27\)"),
        (np.zeros((28, 28), np.uint8), r"got uint8 of shape \(28, 28\)"),
        (np.zeros((2, 28, 28), np.float32), r"or floats of shape \(n, 28, 28, 1\) as the network takes them"),
        (np.zeros((2, 28, 28), np.int8), r"uint8 of shape \(n, 28, 28\), or"),
        (np.zeros((0, 28, 28), np.uint8), r"at least one, got uint8 of shape \(0, 28, 28\)"),
        (np.zeros((0, 28, 28, 1), np.int8), r"at least one, got int8 of shape \(0, 28, 28, 1\)"),
        (np.uint8(3), r"got uint8 of shape \(\)"),
    ):
        for act in (network.predict, network.run):
            with pytest.raises(ValueError, match=message):
                act(images)


def test_unknown_runtimes(content, few_digits):
    with pytest.raises(ValueError, match="runtime must be one of xnnpack, builtin, reference, single, got 'ruy'"):
        IntegerNetwork.read(content).predict(few_digits.x_test[:1], "ruy")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file", b"\x89HDF\r\n\x1a\n" * 99])
def test_other_files(content):
    with pytest.raises(ValueError, match=r"not a .tflite file: bytes 4 to 8"):
        IntegerNetwork.read(content)


def test_files_cut_off(content):
    """Wherever it is cut, it is refused, or, where only padding is lost, it is the same network."""
    whole = repr(IntegerNetwork.read(content))
    refused = 0
    for length in [*range(8, 200, 3), *np.linspace(200, len(content) - 1, 60).astype(int)]:
        try:
            assert repr(IntegerNetwork.read(content[:length])) == whole
        except ValueError as error:
            assert "damaged or cut off" in str(error)
            refused += 1
    assert refused > 100


def test_files_that_are_whole_but_not_known(content):
    changed = bytearray(content)
    probabilities = read_operators(changed)[-1].output
    probabilities.scale[:] *= 2
    with pytest.raises(ValueError, match=r"softmax must have beta 1, scale 1/256, got 1 and .* step 0\.0078"):
        IntegerNetwork.read(bytes(changed))


def test_a_bias_of_floats_is_not_taken_for_integers(content):
    schema = import_litert("schema_py_generated")
    file = unpacked(content)
    (bias,) = (tensor for tensor in file.subgraphs[0].tensors if tensor.type == 2 and list(tensor.shape) == [32])
    bias.type = schema.TensorType.FLOAT32
    with pytest.raises(ValueError, match="conv1, a CONV_2D, has int8, int8, int8, float32;"):
        IntegerNetwork.read(packed(file))


def test_tensors_need_no_names(content, few_digits):
    file = unpacked(content)
    for tensor in file.subgraphs[0].tensors:
        tensor.name = None
    nameless, images = IntegerNetwork.read(packed(file)), few_digits.x_test[:5]
    np.testing.assert_array_equal(nameless.predict(images), IntegerNetwork.read(content).predict(images))


def test_networks_of_floats(deep):
    """Also where some of the weights are int8."""
    with pytest.raises(ValueError, match=r"conv1, a CONV_2D, has float32.*only networks of int8.*convert"):
        IntegerNetwork.read(convert(deep, "dynamic").content)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [keras.layers.ZeroPadding2D(name="edge")],
            "edge is a PAD; leave that layer out.* Known here are CONV_2D, DEPTH",
        ),
        (
            [keras.layers.MaxPooling2D(), keras.layers.BatchNormalization(name="norm")],
            "norm is a MUL; .* after a layer with weights",
        ),
        ([keras.layers.Conv2D(4, 3, dilation_rate=2, name="wide")], "is a SPACE_TO_BATCH_ND"),
        ([keras.layers.GlobalAveragePooling2D(keepdims=True, name="means")], "means must be the mean of rows and colu"),
    ],
)
def test_layers_that_are_not_known(layers, message):
    model = keras.Sequential([keras.layers.Input((9, 9, 2)), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])
    images = np.random.default_rng(0).random((5, 9, 9, 2), np.float32)
    with pytest.raises(ValueError, match=message):
        IntegerNetwork.read(post_training(model, images))


def test_scales_and_windows_that_contradict_one_another(content, few_digits):
    """What is whole for LiteRT, one operator at a time, need not fit together."""
    changed = bytearray(content)
    named_tensors(read_operators(changed))["conv2", "output"].scale[:] = 1e-30
    with pytest.raises(ValueError, match="the scales of conv2 do not fit together"):
        IntegerNetwork.read(bytes(changed)).predict(few_digits.x_test[:1])
    for name in ("strideW", "filterHeight"):
        for value in (0, 3):
            file = unpacked(content)
            setattr(file.subgraphs[0].operators[1].builtinOptions, name, value)
            with pytest.raises(ValueError, match=r"damaged: windows of .* do not lead from \(26, 26\) to \(13, 13\)"):
                IntegerNetwork.read(packed(file))
