"""The plain form of a network computes what Keras computes with all its layers; what has none is refused by name."""

import numpy as np
import pytest

from qkit.network import predict
from qkit.network.backend import keras, tf
from qkit.network.chain import ends_in_softmax, fold
from tests.network.models import MODELS, L, conv, functional, nested, randomized, sequential


def residual():
    x = inputs = L.Input((8, 8, 3))
    x = L.Conv2D(3, 3, padding="same", name="conv")(x)
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(L.Add(name="add")([inputs, x]))))


def branched():
    inputs = L.Input((8, 8, 3))
    left, right = (L.Flatten(name=name)(inputs) for name in ("left", "right"))
    return keras.Model(inputs, L.Concatenate()([left, right]))


def repeated():
    inputs, layer = L.Input((4,)), L.Dense(4, name="again")
    return keras.Model(inputs, layer(layer(inputs)))


def repeated_in_a_row():
    layer = L.Dense(4, name="again")
    return sequential((4,), layer, layer, L.Dense(2))


def repeated_without_input():
    layer = L.Dense(4, name="again")
    layer(np.zeros((1, 4)))
    return keras.Sequential([layer, layer])


def repeated_pool():
    pool = L.MaxPooling2D(name="again")
    return sequential((12, 12, 1), conv(2), pool, conv(2), pool, L.Flatten(), L.Dense(2))


def repeated_model():
    inner = sequential((4,), L.Dense(4, name="again"))
    return sequential((4,), inner, inner, L.Dense(2))


def namesakes():
    one, other = (keras.Sequential([L.Input((4,)), L.Dense(4, name="again")]) for _ in range(2))
    return keras.Sequential([one, other])


class Dense(L.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class ReLU(L.ReLU):
    def call(self, inputs):
        return -super().call(inputs)


class Doubled(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training, mask)


class Trained(keras.Model):
    """Learners write a training step of their own; what the network answers is the same."""

    def train_step(self, data):
        return {}


def two_outputs():
    inputs = L.Input((4,))
    x = L.Dense(3)(inputs)
    return keras.Model(inputs, [x, L.Dense(2)(x)])


def two_inputs():
    one, other = L.Input((4,)), L.Input((4,))
    return keras.Model([one, other], L.Dense(2)(one))


def a_function():
    inputs = L.Input((4,))
    return keras.Model(inputs, tf.nn.relu(L.Dense(2)(inputs)))


def of_tfmot():
    tfmot = pytest.importorskip("tensorflow_model_optimization")
    return tfmot.quantization.keras.quantize_model(sequential((4,), L.Dense(2)))


def test_a_model_with_its_own_training_step():
    inputs = L.Input((4,))
    model = randomized(Trained(inputs, L.Dense(2)(inputs)))
    images = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    np.testing.assert_allclose(fold(model)(images), model(images), rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_plain_form_computes_the_same(name):
    model = randomized(MODELS[name]())
    plain = fold(model)
    shape = plain.input_shape[1:]
    images = np.random.default_rng(1).normal(size=(20, *shape)).astype(np.float32)
    expected, found = model(images).numpy(), plain(images).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    probabilities = np.allclose(expected.sum(axis=-1), 1)
    assert ends_in_softmax(model) == ends_in_softmax(plain) == probabilities
    assert np.ptp(expected, axis=0).min() > 0  # the answers depend on the images
    for layer in plain.layers:
        assert not isinstance(layer, (L.BatchNormalization, L.Dropout, L.ReLU)) and len(layer.weights) in (0, 2)
    again = fold(plain)
    np.testing.assert_array_equal(again(images), found)
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in plain.layers]


def test_layers_keep_their_names_and_the_model_its_weights():
    model = randomized(MODELS["everything apart"]())
    before = model.get_weights()
    plain = fold(model)
    for weight in plain.weights:
        weight.assign(0 * weight)
    for kept, weight in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, kept)
    names = {layer.name for layer in model.layers}
    assert {layer.name for layer in plain.layers} < names and plain.name == model.name
    activations = [layer.get_config()["activation"] for layer in plain.layers if layer.weights]
    assert activations == ["relu", "relu6", "relu", "softmax"]


def test_a_layer_that_is_also_in_other_models():
    layers = [L.Flatten(), L.Dense(3, activation="relu"), L.Dense(2)]
    first = functional((4, 4, 1), *layers)
    second = functional((4, 4, 1), *layers)  # the same layers, called again on another input
    images = np.random.default_rng(0).normal(size=(5, 4, 4, 1)).astype(np.float32)
    for model in (first, second):
        np.testing.assert_allclose(fold(model)(images), model(images), rtol=1e-6)


@pytest.mark.parametrize("make", [sequential, functional])
def test_a_relu_that_is_called_wherever_one_is_wanted(make):
    relu, dropout = L.ReLU(), L.Dropout(0.5)
    model = randomized(make((5,), L.Dense(6), relu, dropout, L.Dense(6), relu, dropout, L.Dense(6), relu))
    images = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    np.testing.assert_allclose(fold(model)(images), model(images), rtol=1e-5)


def test_relu_of_relu_is_relu():
    layers = L.Dense(6, activation="relu"), L.ReLU(), L.Dense(6), L.ReLU(6), L.ReLU(6), L.Dense(3)
    model = randomized(sequential((5,), *layers))
    images = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    np.testing.assert_allclose(fold(model)(images), model(images), rtol=1e-5)


REFUSED = [
    (residual, r"'add' \(Add\) does not take just what the layer before it returns; .* and joins; LiteRT alone may"),
    (branched, r"'right' \(Flatten\) does not take just"),
    (repeated, r"'again' \(Dense\) is used twice; write two layers"),
    (repeated_in_a_row, r"'again' \(Dense\) is used twice; write two layers"),
    (repeated_without_input, r"'again' \(Dense\) is used twice; write two layers"),
    (repeated_pool, r"'again' \(MaxPooling2D\) is used twice; write two layers"),
    (repeated_model, r"'again' \(Dense\) is used twice; write two layers"),
    (namesakes, r"'again' \(Dense\) has the name of another layer; give it another, name=…, .* same weights"),
    (lambda: sequential((8, 8, 1), conv(2, dilation_rate=2)), r"\(Conv2D\) has dilation_rate \(2, 2\), .* give it"),
    (lambda: sequential((8, 8, 4), conv(2, groups=2)), "has groups 2, and cannot be quantized here; give it 1"),
    (lambda: sequential((8, 8, 4), L.Flatten(data_format="channels_first"), L.Dense(2)), "give it channels_last"),
    (
        lambda: sequential((8, 8, 1), L.BatchNormalization(name="norm")),
        r"'norm' \(BatchNo.* directly after a layer with",
    ),
    (
        lambda: sequential((8,), L.Dense(2, activation="relu"), L.BatchNormalization()),
        "before its activation.* move it",
    ),
    (lambda: sequential((8, 8, 4), conv(8, 1), L.BatchNormalization(axis=1)), r"axis \[1\]; give it the last one"),
    (lambda: sequential((8,), L.Dense(2), L.LeakyReLU()), r"\(LeakyReLU\) cannot .*; train the network with ReLU"),
    (lambda: sequential((8, 8, 1), L.Rescaling(1 / 255)), "if it divides by 255, leave it out"),
    (lambda: sequential((8, 8, 1), L.SeparableConv2D(2, 3)), "write it as DepthwiseConv2D and Conv2D"),
    (lambda: sequential((8, 8), L.LSTM(2, name="m")), r"'m' \(LSTM\) .* with unroll=True, convert\(model, \"dynamic"),
    (lambda: sequential((8, 8), L.Bidirectional(L.GRU(2))), r"\(Bidirectional\) .* keeps a state; LiteRT alone takes"),
    (lambda: sequential((8,), L.Dense(2), L.LayerNormalization(name="n")), r"'n' \(Lay.* BatchNormalization instead, "),
    (lambda: sequential((8, 8), L.Conv1D(2, 3, name="c")), r"'c' \(Conv1D\) .*; write it as Reshape\(.* height of 1"),
    (lambda: sequential((8,), L.Embedding(9, 2)), r"\(Embedding\) .* looks numbers up in a table; LiteRT alone may"),
    (lambda: sequential((8, 8, 1), L.UpSampling2D()), r"\(UpSampling2D\) .*; LiteRT alone may .* what can: Conv2D"),
    (
        lambda: sequential((8,), L.Dense(2, "swish", name="d")),
        r"'d' \(Dense\) .* here \(swish\); train .* with ReLU inst",
    ),
    (
        lambda: sequential((8,), L.Dense(2), L.ReLU(5)),
        r"\(ReLU\) has an activation .* here \(ReLU, as it is set\); train",
    ),
    (lambda: sequential((8,), L.Dense(2), L.ReLU(threshold=1)), r"an activation that cannot .* \(ReLU, as it is set\)"),
    (
        lambda: sequential((8, 8), L.Dense(2), L.Softmax(axis=1)),
        r"an activation that cannot .* \(Softmax, as it is set",
    ),
    (lambda: sequential((8,), L.Dense(2, activation="softmax"), L.Dense(2)), "softmax, which only the last layer ca"),
    (lambda: sequential((8,), L.ReLU(), L.Dense(2)), r"\(ReLU\) must follow a layer with weights, .*; move it"),
    (lambda: sequential((8, 8, 1), conv(2), L.AveragePooling2D(), L.ReLU()), r"\(ReLU\) must follow a layer with w"),
    (lambda: sequential((8,), L.Dense(2, activation="relu"), L.ReLU(6)), "after another activation, relu; leave one"),
    (
        lambda: sequential((8,), L.Dense(5, "softmax"), L.Softmax(name="s")),
        r"'s' \(Softmax\) comes after another activation, softmax; leave one of them out",
    ),
    (
        lambda: sequential((8, 8, 1), conv(2), L.Flatten(), L.Softmax(), L.Softmax(name="s")),
        r"'s' \(Softmax\) comes after another activation, softmax; leave one of them out",
    ),
    (lambda: sequential((8,), Dense(2, name="own")), r"'own' .* a class of your own, .*; use keras.layers.Dense"),
    (lambda: sequential((8,), L.Dense(2), ReLU()), r"\(ReLU\) is a class of your own, .*; use keras.layers.ReLU"),
    (lambda: sequential((8,), L.Dense(2, activation=ReLU())), r"\(Dense\) has an activation that cannot be"),
    (lambda: Doubled([L.Input((8,)), L.Dense(2)]), "has a call of its own; a network must be a Sequential or"),
    (two_outputs, "has 1 inputs and 2 outputs, and must have one of each; quantize keras.Model"),
    (two_inputs, "has 2 inputs and 1 outputs, and must have one of each; quantize keras.Model"),
    (lambda: sequential((8, 8, 1), L.ZeroPadding2D(), conv(2)), 'give the layer after it padding="same"'),
    (lambda: sequential((8, 8, 1), conv(2), L.GlobalMaxPooling2D()), "write it as MaxPooling2D of the size"),
    (lambda: sequential((8,), L.Dense(2), L.Lambda(abs)), r"\(Lambda\) .* as a layer of keras.layers, such as ReLU"),
    (a_function, r"\(TFOpLambda\) .* as a layer of keras.layers, such as ReLU"),
    (of_tfmot, r"\(QuantizeLayer\) .* give the float network that was trained"),
    (lambda: sequential((8,), L.Dense(1, activation="sigmoid")), "for a sigmoid there, two outputs and softmax"),
    (lambda: sequential((8,), L.Dense(2, "relu"), L.BatchNormalization()), "leave it out, and train again"),
    (lambda: sequential((8, 8, 1), L.Flatten()), "has no layer with weights"),
    (lambda: sequential((8,), L.Softmax()), r"\(Softmax\) must follow a layer with weights"),
    (
        lambda: sequential((8,), L.Dense(4, name="logits"), L.Dense(2)),
        r"stands for something else here; give it another, name=…, .* new\.set_weights\(model\.get_weights",
    ),
    (lambda: sequential((8,), L.Dense(2, name="image")), "stands for something else here; give it another"),
    (lambda: sequential((None, None, 3), conv(2), L.GlobalAveragePooling2D()), "images of any size; begin the"),
    (lambda: keras.Sequential([L.Dense(2)]), r"\(Dense\) has no weights yet; begin the network with keras.layers.In"),
    (lambda: keras.Sequential([L.Flatten(), nested()]), "must take one image, of a shape that is known; begin"),
    (lambda: keras.Sequential([]), "has no layer with weights"),
    (lambda: 3, "Sequential or functional model of the keras that .* this one is a builtins.int"),
]


def test_the_ways_out_lead_out():
    """A Conv1D written as a Conv2D, and a layer renamed, each with the weights that the refusal names."""
    conv1d = randomized(sequential((9, 3), L.Conv1D(4, 3, 2, "same"), L.Flatten(), L.Dense(2, name="image")))
    layers = L.Reshape((1, 9, 3)), conv(4, (1, 3), strides=2, padding="same"), L.Flatten(), L.Dense(2, name="say")
    conv2d = sequential((9, 3), *layers)
    kernel, *others = conv1d.get_weights()
    conv2d.set_weights([kernel[None], *others])
    images = np.random.default_rng(0).normal(size=(5, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(fold(conv2d)(images), conv1d(images), rtol=1e-4, atol=1e-6)


def test_a_model_made_of_another_models_layers():
    body = keras.Sequential(randomized(MODELS["plain"]()).layers[:-1])  # of which Keras knows no input shape
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 2), np.uint8)
    np.testing.assert_allclose(predict(fold(body), images), predict(body, images), rtol=1e-5)


def test_layers_that_have_taken_images_of_another_size():
    layers = conv(4, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3)
    any_size, small = sequential((None, None, 1), *layers), L.Input((16, 16, 1))
    for model in (
        sequential((16, 16, 1), *sequential((28, 28, 1), *layers).layers),
        keras.Model(small, any_size(small)),
        keras.Model({"x": small}, any_size(small)),
        keras.Sequential([L.Dropout(0.1), *sequential((16, 16, 1), conv(2), L.Flatten(), L.Dense(3)).layers]),
    ):
        assert fold(model).input_shape == (None, 16, 16, 1)


def test_a_relu_that_is_called_twice_in_such_a_model():
    relu = L.ReLU()
    layers = L.Dense(6), relu, L.Dense(6), relu, L.Dense(3)
    whole = randomized(sequential((5,), *layers))
    images = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    np.testing.assert_allclose(fold(keras.Sequential(layers))(images), whole(images), rtol=1e-5)


@pytest.mark.parametrize("make, message", REFUSED)
def test_what_has_no_plain_form_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        fold(make())
