"""Files that LiteRT runs: what is in them, what they answer, and our own thresholds in them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkit import QuantSpec, dequantize, fake_quantize, params_from_data, params_from_range, quantize
from qkit.network import (
    IntegerNetwork,
    LiteModel,
    activation_histograms,
    build,
    convert,
    deploy,
    kernels_replaced,
    litert,
    predict,
    predict_quantized,
)
from qkit.network.backend import keras, tf
from qkit.network.litert import KINDS, RESOLVERS
from qkit.network.tflite import import_litert, named_tensors, read_operators
from qkit.numeric import QuantParams, thresholds
from tests.network.int8_files import packed, unpacked

WEIGHTS = QuantSpec(symmetric=True, narrow_range=True, axis=-1)
METHODS = ["minmax", "percentile", "mse", "kl", "admm", "aciq_laplace", "aciq_gauss"]


@pytest.fixture(scope="module")
def network(shallow):
    return shallow


@pytest.fixture(scope="module")
def calibration(few_digits):
    return few_digits.x_train[:100]


@pytest.fixture(scope="module")
def files(shallow_files):
    return shallow_files


@pytest.fixture(scope="module")
def per_tensor(network, calibration):
    return convert(network, "int8", calibration, per_channel=False)


@pytest.fixture(scope="module")
def images(few_digits):
    return few_digits.x_test[:260]  # a whole batch, and a rest


def stored(model, layer, role):
    return named_tensors(read_operators(model.content))[layer, role]


def integers(model, layer, role, dtype):
    tensor = stored(model, layer, role)
    return tensor.data.view(dtype).reshape(tensor.shape)


# What is in the file


def test_types_and_size(files):
    for kind, dtypes, largest in (
        ("float32", ("float32", "float32", "float32", "float32"), 1.0),
        ("float16", ("float32", "float16", "float16", "float32"), 0.52),
        ("dynamic", ("float32", "int8", "float32", "float32"), 0.27),
        ("int8", ("int8", "int8", "int32", "int8"), 0.27),
        ("int16x8", ("int16", "int8", "int64", "int16"), 0.27),
    ):
        table = files[kind].tensors()
        places = [("image", "input"), ("dense1", "weights"), ("dense1", "bias"), ("dense1", "output")]
        assert tuple(table.loc[places, "dtype"]) == dtypes
        assert table["bytes"].sum() < files[kind].size <= largest * files["float32"].size
        assert files[kind].size == len(files[kind].content)
        assert repr(files[kind]) == f"LiteModel: {files[kind].size:,} bytes, {dtypes[0]} in, {dtypes[3]} out"


def test_a_summary_has_its_scales_in_words(files):
    table, scale = files["int8"].tensors(), files["int8"].summary()["scale"]
    many = table.loc[("conv1", "weights"), "scale"]
    assert scale["conv1", "weights"] == f"32 scales, {many.min():.2g} to {many.max():.2g}"
    assert scale["image", "input"] == "0.003922" and scale["flatten", "shape"] == "–"
    assert files["int8"].summary().drop(columns="scale").equals(table.drop(columns="scale"))


def test_dynamic_leaves_a_small_layer_in_float(files):
    assert files["dynamic"].tensors().loc[("conv1", "weights"), "dtype"] == "float32"


def test_float16_is_computed_in_float32(files):
    table = files["float16"].tensors()
    assert table.loc[("conv1", "weights"), ["dtype", "bytes"]].tolist() == ["float16", 2 * 288]
    assert table.loc[("conv1", "weights, as float32"), ["dtype", "bytes"]].tolist() == ["float32", 0]


def test_the_table_is_what_litert_reads(files):
    from ai_edge_litert.interpreter import Interpreter

    for file in files.values():
        theirs = {
            (
                d["name"],
                tuple(d["shape"]),
                np.dtype(d["dtype"]).name,
                *map(bytes, list(d["quantization_parameters"].values())[:2]),
            )
            for d in Interpreter(model_content=file.content).get_tensor_details()
        }
        ours = {
            (t.name, t.shape, t.dtype, bytes(t.scale), bytes(t.zero_point.astype(np.int32)))
            for t in named_tensors(read_operators(file.content)).values()
        }
        assert ours <= theirs and len(ours) >= 11


def test_one_scale_a_channel_or_a_tensor(files, per_tensor):
    for model, counts in ((files["int8"], [32, 10]), (per_tensor, [1, 1])):
        for layer, count in zip(("conv1", "dense1"), counts, strict=True):
            assert np.size(model.tensors().loc[(layer, "weights"), "scale"]) == count
            assert np.size(model.tensors().loc[(layer, "bias"), "scale"]) == count


def test_biases_have_the_scale_of_the_products(files):
    for kind in ("int8", "int16x8"):
        table = files[kind].tensors()
        for layer, before in (("conv1", ("image", "input")), ("dense1", ("flatten", "output"))):
            products = np.float32(table.loc[before, "scale"]) * table.loc[(layer, "weights"), "scale"]
            np.testing.assert_array_equal(table.loc[(layer, "bias"), "scale"], products)


def test_softmax_has_its_fixed_scale(files):
    assert files["int8"].tensors().loc[("dense1", "output"), ["scale", "zero_point"]].tolist() == [1 / 256, -128]
    assert files["int16x8"].tensors().loc[("dense1", "output"), ["scale", "zero_point"]].tolist() == [1 / 2**15, 0]


def test_the_converters_calibration_is_minmax(files, network, calibration):
    table = files["int8"].tensors()
    for name, histogram in activation_histograms(network, calibration).items():
        if name != "dense1":  # that is after the softmax
            ours = params_from_range(histogram.range.low, histogram.range.high, QuantSpec())
            theirs = table.loc[(name, "input" if name == "image" else "output")]
            assert theirs["zero_point"] == ours.zero_point
            assert theirs["scale"] == pytest.approx(ours.scale, rel=3e-7)  # sums of floats in another order


def test_the_same_again_and_nothing_is_said(files, network, calibration, images, capfd, caplog, recwarn):
    caplog.set_level("INFO", "tensorflow")  # as TensorFlow does in a notebook
    for kind in KINDS:
        again = convert(network, kind, calibration)
        assert again == files[kind]
        again.predict(images[:2])
    assert capfd.readouterr() == ("", "")
    assert caplog.records == [] and len(recwarn) == 0


def test_after_quantization_aware_training(network, calibration):
    import tensorflow_model_optimization as tfmot

    table = convert(tfmot.quantization.keras.quantize_model(network), "int8").tensors()
    assert table.loc[[("image", "input"), ("conv1", "weights"), ("dense1", "output")], "dtype"].tolist() == ["int8"] * 3


def test_bad_conversions(network, calibration):
    for wrong, message in (
        ({"kind": "int4"}, "one of float32, float16, dynamic, int8, int16x8, got 'int4'"),
        ({"calibration": None}, "int8 needs calibration images"),
        ({"kind": "int16x8", "calibration": None}, "int16x8 needs calibration images"),
        ({"calibration": np.zeros((0, 28, 28), np.uint8)}, r"at least one, got uint8 of shape \(0, 28, 28\)"),
        ({"calibration": np.zeros((5, 28, 28, 3), np.uint8)}, r"got uint8 of shape \(5, 28, 28, 3\)"),
        ({"calibration": np.full((5, 28, 28), np.nan)}, "uint8 .* got float64"),
        ({"calibration": 3}, "got int64 of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(**{"model": network, "kind": "int8", "calibration": calibration} | wrong)


def test_weights_that_are_not_finite(network, calibration):
    broken = keras.models.clone_model(network)
    broken.set_weights([weights * np.nan for weights in network.get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        convert(broken, "int8", calibration)


def test_models_in_models_that_were_never_called():
    """With its weights and its shape it is converted; without, Keras would speak of ``input_shape`` only."""
    positive = keras.initializers.RandomUniform(0, 1, seed=0)  # where sums cancel, few digits are the same
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(3, kernel_initializer=positive)
    inner = keras.Sequential([keras.layers.Input((6, 6, 2)), flat, dense])
    images = np.ones((2, 6, 6, 2), np.float32)
    found = convert(keras.Sequential([inner]), "float32").predict(images)
    np.testing.assert_allclose(found, inner(images), rtol=1e-5)
    for layers, message in (
        (
            [keras.Sequential([keras.layers.Flatten(), dense])],
            "must take one image, of a shape .*; begin the network with",
        ),
        ([inner, keras.layers.Dense(2, name="new")], "'new' has no weights yet; begin the network .* call it once"),
        ([inner, keras.Sequential([keras.layers.Dense(2)], name="new")], "has no weights yet; begin the network with"),
    ):
        with pytest.raises(ValueError, match=message):
            convert(keras.Sequential(layers), "float32")


def test_layers_of_models_in_models_are_named():
    layers = [keras.layers.Conv2D(3, 3, name="conv1"), keras.layers.MaxPooling2D(2, name="pool1")]
    layers += [keras.layers.AveragePooling2D(2, name="pool2"), keras.layers.Flatten(name="flatten")]
    model = keras.Sequential([keras.layers.Input((12, 12, 1)), keras.Sequential(layers), keras.layers.Dense(2)])
    steps = read_operators(convert(model, "int8", np.ones((2, 12, 12, 1), np.float32)).content)
    assert [step.layer for step in steps][:4] == ["conv1", "pool1", "pool2", "flatten"]


def test_errors_of_the_converter_are_heard():
    unknown = keras.layers.Lambda(lambda x: tf.math.igamma(x, x))
    with pytest.raises(Exception, match="Igamma"):
        layers = [unknown, keras.layers.Flatten(), keras.layers.Dense(10)]
        convert(keras.Sequential([keras.layers.Input((28, 28, 1)), *layers]), "float32")


# What it answers


def test_float32_answers_as_keras(files, network, images):
    for runtime in RESOLVERS:
        found = files["float32"].predict(images, runtime)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, predict(network, images), atol=1e-5)


def test_the_others_answer_almost_so(files, network, images):
    expected = predict(network, images)
    for kind, apart in (("float16", 2e-3), ("dynamic", 0.03), ("int8", 0.08), ("int16x8", 1e-2)):
        found = files[kind].predict(images)
        np.testing.assert_allclose(found, expected, atol=apart)
        assert not np.array_equal(found, expected)


def test_a_constant_that_is_no_weight_needs_a_scale():
    """LiteRT does not look: it would end the process."""
    two = np.array([1.0, 2.0], np.float32)
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Lambda(lambda x: x + two), keras.layers.Dense(2)])
    content = bytearray(convert(model, "int8", np.eye(2, dtype=np.float32)).content)
    added = next(step for step in read_operators(content) if step.kind == "ADD")
    next(tensor for tensor in added.inputs if tensor.data.size).scale[:] = 0
    with pytest.raises(ValueError, match="has scale"):
        read_operators(content)


def test_a_channel_without_weights_has_no_scale_with_16_bits(network, images):
    kernel, bias = network.get_layer("conv1").get_weights()
    kernel[..., 0], bias[0] = 0, 0
    dead = keras.models.clone_model(network)
    dead.set_weights([kernel, bias, *network.get_weights()[2:]])
    np.testing.assert_allclose(convert(dead, "int16x8", images).predict(images), predict(dead, images), atol=1e-2)


def test_every_runtime_answers_in_steps_of_the_output(files, images):
    for runtime in RESOLVERS:
        found = files["int8"].predict(images, runtime)
        np.testing.assert_array_equal(found * 256 % 1, 0)
        assert np.mean(found.argmax(axis=1) == files["int8"].predict(images).argmax(axis=1)) > 0.98


def test_what_every_operator_hands_on(files, images):
    conv1, pool1, flat, logits, answers = files["int8"].outputs(images)
    assert np.array_equal(conv1.reshape(-1, 13, 2, 13, 2, 32).max(axis=(2, 4)), pool1)
    assert np.array_equal(pool1.reshape(flat.shape), flat) and logits.dtype == np.int8
    assert np.array_equal((answers + 128.0) / 256, files["int8"].predict(images))


def test_accuracy_lies_in_the_interval_of_the_float_network(files, few_digits):
    accuracies = {kind: model.accuracy(few_digits.x_test, few_digits.y_test) for kind, model in files.items()}
    low, high = accuracies["float32"].interval
    assert accuracies["float32"].total == 500
    assert all(low <= accuracy.value <= high for accuracy in accuracies.values())


def test_latency_is_the_median_of_the_repeats_without_the_first(files, images, monkeypatch):
    def repeated(run, number, repeat):
        assert (len(run()), number, repeat) == (2, 1, 4)
        return [9, 4, 2, 8]

    monkeypatch.setattr(litert.timeit, "repeat", repeated)
    found = files["int8"].latency(images[:50], batch=20, repeats=3, threads=2, runtime="builtin")
    assert found == pytest.approx(1e6 * 4 / 40)


def test_bad_questions(files, images):
    for ask, message in (
        (lambda model, images: model.predict(images[:0]), "at least one, got"),
        (lambda model, images: model.predict(images[0]), r"shape \(28, 28\)"),
        (lambda model, images: model.predict(images / 255), "got float64 of shape"),
        (lambda model, images: model.predict(images, "gpu"), "one of xnnpack, builtin, reference, got 'gpu'"),
        (lambda model, images: model.latency(images, threads=0), "threads should >= 1"),
        (lambda model, images: model.accuracy(images, [1, 2]), "two lists of the same length"),
        (lambda model, images: model.latency(images, batch=1000), "from 1 to the 260 images"),
        (lambda model, images: model.latency(images, repeats=0), "repeats 0 at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            ask(files["int8"], images)


def test_saved_and_read(files, tmp_path):
    path = tmp_path / "network.tflite"
    files["int8"].save(path)
    assert LiteModel.read(path) == LiteModel.read(str(path)) == files["int8"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_saved_whole_or_not_at_all(files, tmp_path, monkeypatch):
    path = tmp_path / "network.tflite"
    files["int8"].save(path)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for there in (path, tmp_path / "another.tflite"):
        with pytest.raises(OSError, match="No space left"):
            files["float32"].save(there)
    assert list(tmp_path.iterdir()) == [path] and LiteModel.read(path) == files["int8"]


def test_a_damaged_file(files, tmp_path):
    path, content = tmp_path / "network.tflite", files["int8"].content
    for damaged in (b"", content[:-1], content[: len(content) // 2], b"PK" * 99):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"network\.tflite: .*(damaged or cut off|not a \.tflite file)"):
            LiteModel.read(path)


def test_scales_and_zero_points_that_stand_for_nothing(files):
    """The first of them once ended the process in LiteRT."""
    for role, name, value in (
        ("output", "zero_point", 1_459_617_792),
        ("output", "zero_point", -129),
        ("weights", "zero_point", 1 << 40),
        ("bias", "zero_point", 1),
        ("weights", "scale", -1e-3),
        ("output", "scale", 0),
        ("output", "scale", np.nan),
        ("bias", "scale", np.inf),
    ):
        content = bytearray(files["int8"].content)
        getattr(named_tensors(read_operators(content))["conv1", role], name)[0] = value
        for read in (LiteModel, IntegerNetwork.read):
            with pytest.raises(ValueError, match=r"damaged or cut off, .*conv1.* has scale"):
                read(bytes(content))
    file = unpacked(files["int8"].content)
    file.subgraphs[0].tensors[9].quantization.scale = None  # of the logits: fatal to the reference softmax
    with pytest.raises(ValueError, match=r"dense1.* of int8 has scale \[\]"):
        LiteModel(packed(file))


def test_a_file_that_asks_for_all_memory(files):
    file = unpacked(files["int8"].content)
    image = file.subgraphs[0].tensors[file.subgraphs[0].inputs[0]]
    image.shape = [1, 1 << 30, 28, 1]
    with pytest.raises(ValueError, match="at most 67,108,864 numbers"):
        LiteModel(packed(file))
    image.shape = [50, 28, 28, 1]  # how many images a file says does not matter
    LiteModel(packed(file))
    for size in (1 << 30, 0, -1):
        image.shape = [size, 28, 28, 1]
        with pytest.raises(ValueError, match="at most 67,108,864 numbers"):
            LiteModel(packed(file))


def test_what_could_end_the_process(files):
    """A variable, a result in the place of the image, an operator of another kind with two inputs too few."""
    schema = import_litert("schema_py_generated")

    def variable(graph, codes):
        graph.tensors[graph.operators[1].outputs[0]].isVariable = True

    def twice(graph, codes):
        graph.operators[-1].outputs = graph.inputs

    def few(graph, codes):
        codes[graph.operators[-1].opcodeIndex].builtinCode = schema.BuiltinOperator.STRIDED_SLICE

    def stateful(graph, codes):
        codes[graph.operators[-1].opcodeIndex].builtinCode = schema.BuiltinOperator.ASSIGN_VARIABLE

    for damage, message in (
        (variable, "kept from one image to the next"),
        (twice, "computed twice, or from what is not computed yet"),
        (few, "a STRIDED_SLICE, is computed from 1 tensors"),
        (stateful, "ASSIGN_VARIABLE is no operator of a network for images"),
    ):
        file = unpacked(files["int8"].content)
        damage(file.subgraphs[0], file.operatorCodes)
        for read in (LiteModel, IntegerNetwork.read):
            with pytest.raises(ValueError, match=message):
                read(packed(file))


FLIPS = """
import sys
from pathlib import Path
import numpy as np
from qkit.network import IntegerNetwork, LiteModel
content, images = Path(sys.argv[1]).read_bytes(), np.zeros((2, 28, 28), np.uint8)
rng, answers = np.random.default_rng(0), 0
places = [*rng.integers(len(content) - 3500, len(content), 250), *rng.integers(0, len(content), 50)]
for place in places:
    damaged = bytearray(content)
    damaged[place] = rng.integers(256)
    print(place, damaged[place], flush=True)
    for read in (LiteModel, IntegerNetwork.read):
        try:
            answers += len(read(bytes(damaged)).predict(images))
        except ValueError:
            pass
print("answers", answers)
"""


@pytest.mark.parametrize("ours", [True, False])
def test_a_wrong_byte_gives_an_answer_or_a_value_error(files, tmp_path, ours):
    """In a process of its own, which it must not end. What is no weight stands at the end of the file."""
    file = files["int8"]
    if not ours:
        layers = [keras.layers.Reshape((28, 28, 1)), keras.layers.DepthwiseConv2D(3), keras.layers.AveragePooling2D(9)]
        model = keras.Sequential([keras.layers.Input((28, 28)), *layers, keras.layers.GlobalAveragePooling2D()])
        file = convert(model, "int8", np.full((2, 28, 28), 255, np.uint8))
    file.save(tmp_path / "network.tflite")
    command = [sys.executable, "-c", FLIPS, str(tmp_path / "network.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    last = done.stdout.splitlines()[-2:]
    assert done.returncode == 0, f"the last byte that was changed, and to what: {last}; {done.stderr[-500:]}"
    assert 0 < int(last[-1].split()[1]) < 4 * 300


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        LiteModel.read(tmp_path / "network.tflite")


def test_networks_that_do_not_take_one_image(calibration):
    image, dense = keras.layers.Input((28, 28, 1)), keras.layers.Dense(3)
    two = keras.Model([image, image_2 := keras.layers.Input((28, 28, 1))], dense(image + image_2))
    with pytest.raises(ValueError, match="must take one image"):
        convert(two, "float32")
    with pytest.raises(ValueError, match="must take one image, not float32, float32, and return one"):
        LiteModel(tf.lite.TFLiteConverter.from_keras_model(two).convert())
    with pytest.raises(ValueError, match=r"images of any size, \(None, None, 3\); begin the network with"):
        layers = [keras.layers.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
        convert(keras.Sequential(layers), "float32")
    words = keras.Sequential([keras.layers.Input((8,), dtype="int32"), keras.layers.Embedding(9, 4)])
    with pytest.raises(ValueError, match="must take one image, not int32, and"):
        convert(words, "float32")


def test_without_litert_and_without_tensorflow():
    program = (
        "import sys; sys.modules['ai_edge_litert'] = None\n"
        "from qkit.network import LiteModel\n"
        "try: LiteModel(b'TFL3')\n"
        "except ImportError as problem: print('tensorflow' in sys.modules, problem)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("False LiteRT, which runs the converted networks, cannot be loaded")


# Our own thresholds in it


def test_the_converters_own_scales_give_its_own_file(network, files, per_tensor):
    for model in (files["int8"], per_tensor):
        assert deploy(network, model) == model


def test_minmax_weights_are_the_converters(network, files, per_tensor):
    for axis, model in ((None, per_tensor), (-1, files["int8"])):
        grids = {}
        for layer in ("conv1", "dense1"):
            kernel = network.get_layer(layer).get_weights()[0]
            peaks = np.abs(kernel).max(axis=None if axis is None else tuple(range(kernel.ndim - 1)))
            grids[layer] = params_from_range(-peaks, peaks, QuantSpec(symmetric=True, narrow_range=True, axis=axis))
        found = deploy(network, model, weights=grids)
        for layer in grids:
            for role, dtype in (("weights", np.int8), ("bias", np.int32)):
                np.testing.assert_array_equal(stored(found, layer, role).scale, stored(model, layer, role).scale)
                # The converter divides in float32, where 65.499998 is 65.5, and rounds that up.
                apart = integers(found, layer, role, dtype) - integers(model, layer, role, dtype)
                assert np.abs(apart).max() <= 1 and np.mean(apart != 0) < 1e-4


@pytest.fixture(scope="module")
def magnitudes(network, calibration):
    return activation_histograms(network, calibration, magnitude=True)


@pytest.mark.parametrize("method", METHODS)
def test_thresholds_of_every_method_stand_in_the_file(network, files, magnitudes, images, method):
    choose = getattr(thresholds, method)
    activations = {"image": choose(magnitudes["image"]).params(QuantSpec())}
    activations["pool1"] = choose(magnitudes["pool1"]).params(QuantSpec())
    kernels = {layer: network.get_layer(layer).get_weights()[0] for layer in ("conv1", "dense1")}
    weights = {layer: thresholds.per_channel(choose, kernel, WEIGHTS) for layer, kernel in kernels.items()}
    model = deploy(network, files["int8"], activations, weights)
    table = model.tensors()
    for place, name in {"image": "image", "conv1": "pool1", "pool1": "pool1", "flatten": "pool1"}.items():
        row = table.loc[(place, "input" if place == "image" else "output")]
        assert (row["scale"], row["zero_point"]) == (np.float32(activations[name].scale), activations[name].zero_point)
    biases = {}
    for layer, grid in weights.items():
        np.testing.assert_array_equal(table.loc[(layer, "weights"), "scale"], grid.scale.astype(np.float32))
        in_file = integers(model, layer, "weights", np.int8)
        np.testing.assert_allclose(in_file, np.moveaxis(quantize(kernels[layer], grid), -1, 0), atol=1)
        biases[layer] = integers(model, layer, "bias", np.int32) * table.loc[(layer, "bias"), "scale"].astype(
            np.float64
        )
    for layer, before in (("conv1", "image"), ("dense1", "pool1")):
        step = np.float32(activations[before].scale) * weights[layer].scale.astype(np.float32)
        np.testing.assert_array_equal(table.loc[(layer, "bias"), "scale"], step)
        assert np.all(np.abs(biases[layer] - network.get_layer(layer).get_weights()[1]) <= 0.51 * step)
    # And LiteRT computes with them what a simulation in floats foresees.
    with kernels_replaced(network, {layer: fake_quantize(kernels[layer], weights[layer]) for layer in weights}):
        expected = predict_quantized(network, images, activations)
    found = model.predict(images)
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.97
    np.testing.assert_allclose(found, expected, atol=0.08)


@settings(max_examples=40, deadline=None)
@given(
    low=st.floats(-20, 0, width=32),
    high=st.floats(0.125, 20, width=32),
    place=st.sampled_from(["image", "conv1", "logits"]),
    signed=st.booleans(),
)
def test_any_range_stands_in_the_file(network, files, low, high, place, signed):
    params = params_from_range(low, high, QuantSpec(signed=signed))
    tensor = stored(deploy(network, files["int8"], {place: params}), *PLACES[place])
    assert tensor.scale == np.float32(params.scale)
    grid = QuantParams(tensor.scale.item(), tensor.zero_point.item(), QuantSpec())
    assert (grid.low, grid.high) == pytest.approx((params.low, params.high), rel=1e-6)


PLACES = {"image": ("image", "input"), "conv1": ("conv1", "output"), "logits": ("dense1", "logits")}


def test_weights_of_few_bits(network, files, images):
    kernel = network.get_layer("dense1").get_weights()[0]
    for bits in range(2, 9):
        params = thresholds.mse(kernel, bits).params(QuantSpec(bits, symmetric=True, narrow_range=True))
        model = deploy(network, files["int8"], weights={"dense1": params})
        in_file = integers(model, "dense1", "weights", np.int8)
        assert (in_file.min(), in_file.max()) == (params.spec.qmin, params.spec.qmax)
        np.testing.assert_allclose(dequantize(in_file, params), fake_quantize(kernel, params).T, rtol=1e-6)
        with kernels_replaced(network, {"dense1": fake_quantize(kernel, params)}):
            expected = predict(network, images)
        assert np.mean(model.predict(images).argmax(axis=1) == expected.argmax(axis=1)) > 0.97


def test_what_was_converted_is_left_as_it_was(network, files):
    before = bytes(files["int8"].content)
    changed = deploy(network, files["int8"], {"image": params_from_range(0.0, 0.5, QuantSpec())})
    assert files["int8"].content == before != changed.content and len(changed.content) == len(before)


def asymmetric(**spec):
    return params_from_range(0.0, 1.0, QuantSpec(**spec))


def symmetric(**spec):
    return params_from_range(-1.0, 1.0, QuantSpec(symmetric=True, **spec))


CHANNELS = params_from_range(-np.ones(10), np.ones(10), QuantSpec(symmetric=True, narrow_range=True, axis=-1))


def test_what_cannot_be_deployed(network, files):
    for activations, weights, message in (
        (
            {"conv9": asymmetric()},
            {},
            "no outputs to quantize called 'conv9'; there are image, conv1, pool1, flatten, dense1, log",
        ),
        ({"logits": asymmetric(), "dense1": symmetric()}, {}, "dense1 shares its grid with another name"),
        ({}, {"pool1": symmetric(narrow_range=True)}, "no weights called 'pool1'; there are conv1, dense1"),
        ({"conv1": asymmetric(bits=4)}, {}, "all 256 integers of 8 bits"),
        ({"conv1": asymmetric(narrow_range=True)}, {}, "all 256 integers of 8 bits"),
        ({"conv1": CHANNELS}, {}, "one scale; got for conv1"),
        ({"conv1": asymmetric(), "pool1": symmetric()}, {}, "pool1 shares its grid with another name"),
        ({"conv1": QuantParams(1e60, 0, QuantSpec())}, {}, "scale must"),
        ({"conv1": QuantParams(1e-20, 0, QuantSpec())}, {}, "bias of dense1 does not fit into int32"),
        ({"logits": QuantParams(1e-12, 0, QuantSpec())}, {}, "cannot compute with scales so far apart"),
        ({}, {"dense1": symmetric()}, "from -127 at the lowest"),
        ({}, {"dense1": symmetric(bits=9, narrow_range=True)}, "from -127 at the lowest"),
        ({}, {"dense1": asymmetric(symmetric=True, signed=False)}, "signed, symmetric"),
        ({}, {"dense1": asymmetric(narrow_range=True)}, "signed, symmetric"),
        ({}, {"conv1": CHANNELS}, "for 10 channels along axis -1"),
    ):
        with pytest.raises(ValueError, match=message):
            deploy(network, files["int8"], activations, weights)


def test_only_names_that_coincide_behind_a_slash_are_refused(images):
    def network(*names):
        dense = (keras.layers.Dense(10, name=name) for name in names)
        return keras.Sequential([keras.layers.Input((28, 28, 1)), keras.layers.Flatten(), *dense])

    apart = network("body/dense", "head/last")
    converted = convert(apart, "int8", images[:9])
    assert deploy(apart, converted).size == converted.size
    with pytest.raises(ValueError, match="layers body/dense and head/dense have the same name in"):
        deploy(network("body/dense", "head/dense"), converted)


def test_what_nothing_can_be_deployed_in(network, files, per_tensor):
    with pytest.raises(ValueError, match=r"only a network converted to int8 .* takes float32"):
        deploy(network, files["dynamic"])
    with pytest.raises(ValueError, match=r"only a network converted to int8 .* takes int16"):
        deploy(network, files["int16x8"])
    with pytest.raises(ValueError, match="per_channel=True"):
        deploy(network, per_tensor, weights={"dense1": CHANNELS})
    other = build("shallow", seed=1)
    every = {name: params_from_data(other.get_layer(name).kernel.numpy(), WEIGHTS) for name in ("conv1", "dense1")}
    for weights in ({}, every):  # where all weights come anew, biases tell
        with pytest.raises(ValueError, match="not converted from this network: conv1"):
            deploy(other, files["int8"], weights=weights)


def test_a_bias_that_the_converter_moved_on_is_called_that(calibration):
    model = network_with(keras.layers.Flatten(), keras.layers.Dense(4, name="first"), keras.layers.Dense(3))
    with pytest.raises(ValueError, match=r"first has no bias there: the converter moves it on .* as one layer"):
        deploy(model, convert(model, "int8", calibration))


# Networks of other layers


def network_with(*layers):
    model = keras.Sequential([keras.layers.Input((28, 28, 1), name="image"), *layers])
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(scale=0.2, size=weights.shape)) for weights in model.get_weights()])
    return model


def test_scales_in_networks_that_are_built_in_other_ways(calibration, images):
    """ReLU as a layer, logits at the end, means: twice the scale of an output is its range twice as far, no more."""
    conv, dense, flat = keras.layers.Conv2D, keras.layers.Dense, keras.layers.Flatten
    mean, all_means = keras.layers.AveragePooling2D, keras.layers.GlobalAveragePooling2D
    for model, names in (
        (network_with(conv(3, 3, name="conv1"), keras.layers.ReLU(), flat(), dense(10, name="dense1")), ["conv1"]),
        (network_with(conv(3, 3, 3, "valid", activation="relu", name="conv1"), flat(), dense(10, name="dense1")), []),
        (
            network_with(
                *(conv(3, 3, activation="relu6", name="conv1"), mean(name="mean"), conv(4, 3, name="conv2")),
                *(all_means(name="means"), dense(10, "softmax", name="dense1")),
            ),
            ["mean", "conv2", "means"],
        ),
    ):
        file = convert(model, "int8", calibration)
        table = file.tensors()
        assert ("dense1", "weights") in table.index and ("conv1", "weights") in table.index
        before = {name: table.loc[(name, "output")] for name in names}
        params = {
            name: QuantParams(2 * row["scale"], int(row["zero_point"]) // 2, QuantSpec())
            for name, row in before.items()
        }
        kernel = model.get_layer("conv1").get_weights()[0]
        weights = {"conv1": thresholds.per_channel(thresholds.minmax, kernel, WEIGHTS)}
        changed = deploy(model, file, params, weights)
        span = np.ptp(predict(model, images))
        for runtime in RESOLVERS:
            apart = np.abs(changed.predict(images, runtime) - predict(model, images)).max()
            assert apart < 0.1 * span + 0.02, (names, runtime)


def test_layers_whose_scales_cannot_be_changed_are_refused_by_name(calibration):
    conv, dense, flat = keras.layers.Conv2D, keras.layers.Dense, keras.layers.Flatten
    norm = keras.layers.BatchNormalization(name="norm")
    for layers, message in (
        ([keras.layers.MaxPooling2D(), norm], r"'norm' \(BatchNormalization\) must come directly after .*; move it"),
        (
            [keras.layers.UpSampling2D(name="large")],
            r"'large' \(UpSampling2D\) cannot be quantized here; .*what can: Conv",
        ),
    ):
        model = network_with(*layers, flat(), dense(10, "softmax"))
        file = convert(model, "int8", calibration)
        with pytest.raises(ValueError, match=message):
            deploy(model, file)
    plain = network_with(conv(3, 3), flat(), dense(10, "softmax"))
    with pytest.raises(ValueError, match=r"is a RESIZE_NEAREST_NEIGHBOR, .*; convert its plain form: convert\(fold\(m"):
        deploy(plain, file)
