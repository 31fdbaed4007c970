"""Networks as learners write them, through LiteRT: converted, run, deployed, and computed again in integers.

Every row is right, bit for bit, or is refused with the layer's name and what to change.
"""

from functools import cache

import numpy as np
import pytest

from qkit.network import IntegerNetwork, LiteModel, Simulation, convert, deploy, predict
from qkit.network.backend import keras, tf
from qkit.network.chain import fold, image_shape, outputs_last
from qkit.network.litert import RESOLVERS, SAME_SCALE
from qkit.network.tflite import WEIGHTED, named_tensors, read_operators
from qkit.numeric import QuantParams, QuantSpec, thresholds
from tests.network import models
from tests.network.int8_files import check_against_litert, post_training

L = keras.layers
KERNELS = QuantSpec(symmetric=True, narrow_range=True, axis=-1)


KEPT = "without a dense layer"
"""Of :data:`models.MODELS`, the one whose global average keeps its sides: the only row that is not computed again."""
OWN = {name: made for name, made in models.MODELS.items() if name != KEPT} | {
    "LiteRT's MNIST tutorial": lambda: models.sequential(
        (28, 28), L.Reshape((28, 28, 1)), models.conv(12, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(10)
    ),
    "CIFAR": lambda: models.sequential(
        (32, 32, 3), models.conv(4, 5, strides=3), L.ReLU(), L.Flatten(), L.Dense(10)
    ),
    "averages and ReLU6": lambda: models.sequential(
        (12, 12, 1), models.conv(4, activation="relu6"), L.AveragePooling2D(3, 2, "same"), models.depthwise(),
        L.ReLU(6.0), L.GlobalAveragePooling2D(), L.Dense(10),
    ),
    "dense only": lambda: models.sequential((30,), L.Dense(16, "relu"), L.Dense(5)),
    "named logits": lambda: models.sequential((30,), L.Dense(9, "relu"), L.Dense(5, name="logits"), L.Softmax()),
    "one output": lambda: models.sequential(
        (6, 6, 1), models.conv(1, activation="relu"), L.Flatten(), L.Dense(3, "relu"), L.Dense(1)
    ),
    "softmax of every pixel": lambda: models.sequential(
        (6, 5, 1), models.conv(4, activation="relu"), models.conv(2, 1, activation="softmax")
    ),
}  # fmt: skip


@cache
def own(name):
    """Return a network, and its :func:`converted`; no test changes them."""
    model = models.randomized((OWN | models.MODELS)[name]())
    return model, *converted(model)


def converted(model):
    """Return images, the model's answers, how far int8 may be from them, and the int8 file, which is not farther."""
    images = np.random.default_rng(0).integers(0, 256, (150, *image_shape(model)), np.uint8)
    expected = predict(model, images)
    apart = 0.06 * np.ptp(expected) + 0.01
    file = convert(model, "int8", images)
    assert np.abs(file.predict(images) - expected).max() < apart
    return images, expected, apart, file


@pytest.mark.parametrize("name", OWN)
def test_a_learners_own_network(name):
    model, images, expected, apart, file = own(name)
    check_against_litert(file.content, images)
    plain = {layer.name: layer for layer in fold(model).layers if layer.weights}
    kernels = {name: outputs_last(layer, layer.get_weights()[0]) for name, layer in plain.items()}
    # Other scales everywhere: of all outputs a half more, of all weights as the converter would choose them.
    before, activations = named_tensors(read_operators(file.content)), {}
    fixed = [step.output for step in read_operators(file.content) if step.kind in ("SOFTMAX", *SAME_SCALE)]
    for (layer, role), tensor in before.items():
        if role in ("input", "output", "logits") and tensor.name not in [each.name for each in fixed]:
            grid = QuantParams(1.5 * tensor.scale.item(), int(tensor.zero_point.item() / 1.5), QuantSpec())
            activations["logits" if role == "logits" else layer] = grid
    weights = {layer: thresholds.per_channel(thresholds.minmax, kernel, KERNELS) for layer, kernel in kernels.items()}
    deployed = deploy(model, file, activations, weights)
    layers = iter(plain.items())
    for step in read_operators(deployed.content):
        if step.kind in WEIGHTED:
            x, kernel, *biases = step.inputs
            name, layer = next(layers)
            real_kernel, real_bias = kernels[name], layer.get_weights()[1]
            in_file = np.moveaxis(kernel.values, 0, 2 if step.kind == "DEPTHWISE_CONV_2D" else -1) * kernel.scale
            assert np.all(np.abs(in_file - real_kernel) <= 0.51 * kernel.scale)
            for bias in biases:
                np.testing.assert_array_equal(bias.scale, x.scale * kernel.scale)
                assert np.all(np.abs(bias.values * bias.scale.astype(float) - real_bias) <= 0.51 * bias.scale)
    assert np.abs(deployed.predict(images) - expected).max() < 1.5 * apart
    check_against_litert(deployed.content, images)


@pytest.mark.parametrize("name", ["everything apart", "activations after pools", "a model in a model"])
def test_in_float_nothing_is_lost(name):
    model, images, expected, *_ = own(name)
    np.testing.assert_allclose(convert(model, "float32").predict(images), expected, atol=1e-4)


@pytest.mark.parametrize("name", models.MODELS)
def test_what_was_simulated_is_deployed(name):
    model, images, _, apart, file = own(name)
    simulated = Simulation(model, images).quantized(8, 8)
    deployed = deploy(model, file, simulated.activations, simulated.kernels)
    assert np.abs(deployed.predict(images) - simulated.predict(images)).max() < 0.25 * apart


def test_a_residual_network_is_converted_and_refused_elsewhere():
    image = L.Input((12, 12, 1))
    seen = L.Conv2D(4, 3, padding="same")(image)
    sums = L.Add(name="add")([seen, L.Conv2D(4, 3, padding="same", activation="relu")(seen)])
    model = models.randomized(keras.Model(image, L.Dense(10)(L.Flatten()(sums))))
    *_, file = converted(model)
    with pytest.raises(ValueError, match=r"'add' \(Add\) .* one chain of layers here, .*; LiteRT alone may take it"):
        deploy(model, file)
    with pytest.raises(ValueError, match="add is a ADD; leave that layer out"):
        IntegerNetwork.read(file.content)


def test_a_loop_over_steps_is_refused_and_converted_when_it_is_unrolled():
    looped, unrolled = (models.sequential((3, 3), L.LSTM(4, unroll=u, name="m"), L.Dense(2)) for u in (False, True))
    with pytest.raises(ValueError, match=r"\); make 'm' with unroll=True and the same weights, and convert\(") as found:
        convert(looped, "float32")
    assert len(str(found.value)) < 400 and "TensorListReserve" in str(found.value.__cause__)
    unrolled.set_weights(looped.get_weights())
    images = np.random.default_rng(0).random((20, 3, 3), np.float32)
    np.testing.assert_allclose(convert(unrolled, "float32").predict(images), predict(looped, images), atol=1e-5)
    with pytest.raises(ValueError, match=r"'m' \(LSTM\) .* LiteRT alone takes it with unroll=True"):
        fold(unrolled)


@pytest.mark.parametrize("kind", [L.LSTM, L.GRU])
def test_a_sound_file_that_the_default_runtime_cannot_prepare(kind):
    """A first step that is always 0, as the top rows of digits are, gets a scale that XNNPACK does not take."""
    model = models.sequential((3, 3), kind(4, unroll=True), L.Dense(2))
    images = np.random.default_rng(0).random((50, 3, 3), np.float32)
    images[:, 0] = 0
    expected, file = predict(model, images), convert(model, "int8", images)
    way_out = r"with the runtime xnnpack \(.*XNNPACK.*\); if the file is not damaged, .*\"builtin\".*\"dynamic\""
    with pytest.raises(ValueError, match=way_out):
        file.predict(images)
    assert np.abs(file.predict(images, "builtin") - expected).max() < 0.1 * np.ptp(expected)
    np.testing.assert_allclose(convert(model, "dynamic").predict(images), expected, atol=1e-2 * np.ptp(expected))


def test_a_sound_file_that_is_not_read_is_not_just_called_damaged():
    model = models.sequential((5, 3), L.LSTM(4, unroll=True, return_sequences=True), L.Flatten(), L.Dense(2))
    with pytest.raises(ValueError, match=r"damaged or cut off, or holds what no network here may \(.*PACK, is no sh"):
        convert(model, "dynamic")


def test_what_the_converter_has_no_words_for_is_refused():
    model = models.sequential((8,), L.Dense(4), L.Lambda(lambda x: tf.linalg.pinv(x)))
    with pytest.raises(
        ValueError, match=r"TensorFlow's converter cannot take this network \(.*\); leave out the layer"
    ):
        convert(model, "float32")


def test_a_global_average_that_keeps_its_sides_is_converted_and_not_computed_again():
    *_, file = own(KEPT)
    with pytest.raises(ValueError, match="mean of rows and columns, as GlobalAveragePooling2D"):
        IntegerNetwork.read(file.content)


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 3)])
def test_a_dense_layer_on_more_than_one_axis_is_converted_and_refused_elsewhere(shape):
    layers = L.Dense(4, activation="relu", name="dense1"), L.Flatten(), L.Dense(3)
    model = models.randomized(models.sequential(shape, *layers))
    *_, file = converted(model)
    image = file.tensors().loc[("image", "input")]
    assert (image["shape"], image["dtype"]) == ((1, *shape), "int8")
    with pytest.raises(
        ValueError, match=r"'dense1' \(Dense\) .*; put Flatten before it, or use Conv2D with 1 × 1 filt"
    ):
        deploy(model, file)
    with pytest.raises(
        ValueError, match=r"dense1 is a GATHER; before Dense put Flatten, or use Conv2D with 1 × 1 filt"
    ):
        IntegerNetwork.read(file.content)


@pytest.mark.parametrize(
    ("name", "io"), [("LiteRT's MNIST tutorial", tf.uint8), ("everything apart", tf.float32)], ids=str
)
def test_other_ends(name, io):
    """A file that a learner brings, of LiteRT's documented conversion."""
    model = models.randomized(OWN[name]())
    images = np.random.default_rng(0).integers(0, 256, (60, *model.input_shape[1:]), np.uint8)
    content = post_training(model, (images / 255).astype(np.float32), io=io)
    expected = predict(model, images)
    for runtime in RESOLVERS:
        assert np.abs(LiteModel(content).predict(images, runtime) - expected).max() < 0.04 * np.ptp(expected) + 0.01
    check_against_litert(content, images)
    with pytest.raises(ValueError, match=r'convert\(model, "int8", images\) makes one; this one takes (float32|uint8)'):
        deploy(model, LiteModel(content))


def test_a_file_of_another_network_is_refused():
    model, *_, file = own("everything apart")
    other = OWN["everything apart"]()
    for kernels in (True, False):
        other.set_weights([1.1 * each if (each.ndim > 1) is kernels else each for each in model.get_weights()])
        with pytest.raises(ValueError, match=r"not converted from this network: conv2d.* has other weights there"):
            deploy(other, file)
