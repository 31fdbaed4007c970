"""Networks as learners write them, small, with random weights: what reads a network is tested with each."""

import numpy as np

from qkit.network.backend import keras, tf

L = keras.layers


def conv(filters, size=3, **options):
    return L.Conv2D(filters, size, **options)


def depthwise(size=3, **options):
    return L.DepthwiseConv2D(size, **options)


def nested():
    inner = keras.Sequential([L.Input((6, 6, 2)), L.Flatten(name="flatten"), L.Dense(3, name="dense")])
    return keras.Sequential([inner, L.Softmax()])


def functional(shape, *layers):
    x = inputs = L.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def sequential(shape, *layers):
    return keras.Sequential([L.Input(shape), *layers])


def randomized(model, seed=0):
    """Give a model random weights, and BatchNormalization statistics as training might have left them."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, L.BatchNormalization):
            for weight in layer.weights:
                spread = (
                    rng.uniform(0.05, 4, weight.shape) if "variance" in weight.name else rng.normal(size=weight.shape)
                )
                weight.assign(spread)
        elif isinstance(layer, (L.Conv2D, L.Dense, L.DepthwiseConv2D)):
            layer.set_weights([rng.normal(0, 0.5, weight.shape) for weight in layer.weights])
    return model


MODELS = {
    "plain": lambda: sequential(
        (9, 7, 2), conv(4, activation="relu", name="conv1"), L.MaxPooling2D(2, name="pool1"), L.Flatten(name="flatten"),
        L.Dense(5, activation="softmax", name="dense1"),
    ),
    "everything apart": lambda: functional(
        (9, 9, 3), L.Dropout(0.5), conv(4, (3, 2), strides=(2, 1), use_bias=False, padding="same"),
        L.BatchNormalization(), L.ReLU(), depthwise(3, strides=2, padding="same", use_bias=False),
        L.BatchNormalization(center=False, epsilon=0.1), L.ReLU(6.0), conv(5, 1), L.BatchNormalization(scale=False),
        L.Activation("relu"), L.SpatialDropout2D(0.1), L.GlobalAveragePooling2D(), L.Dropout(0.5), L.Dense(7),
        L.BatchNormalization(), L.Softmax(),
    ),
    "depth multiplier": lambda: sequential(
        (6, 6, 3), depthwise((2, 3), depth_multiplier=2), L.BatchNormalization(), conv(2, activation=tf.nn.relu6)
    ),
    "activations after pools": lambda: sequential(
        (12,), L.Reshape((2, 6, 1)), conv(3, 2, padding="same"), L.Dropout(0.1), L.BatchNormalization(),
        L.MaxPooling2D((1, 2), (1, 1), padding="same"), L.Activation(tf.nn.relu), L.AveragePooling2D(2, padding="same"),
        L.Flatten(), L.Dense(4, activation=L.ReLU(6)), L.Activation("linear"), L.Dense(2),
    ),
    "without a dense layer": lambda: sequential(
        (6, 6, 1), conv(4, 3, activation="relu"), conv(3, 1), L.GlobalAveragePooling2D(keepdims=True), L.Flatten(),
        L.Activation(tf.nn.softmax, name="answer"),
    ),
    "a model in a model": nested,
    "five kinds of coloured images": lambda: sequential(
        (16, 16, 3), conv(8), L.BatchNormalization(), L.ReLU(), L.AveragePooling2D(), L.Flatten(), L.Dense(5)
    ),
}  # fmt: skip
