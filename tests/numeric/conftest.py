"""TensorFlow and LiteRT as oracles: loaded when a test asks for them."""

import warnings

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tf():
    from qkit.network import backend

    return backend.tf


@pytest.fixture(scope="session")
def kernels():
    """Weights of a convolution and a dense layer, Keras's layout, with long tails and awkward channels."""
    rng = np.random.default_rng(0)
    conv = (0.1 * rng.standard_t(4, (3, 3, 2, 16))).astype(np.float32)
    dense = (0.1 * rng.standard_t(4, (256, 64))).astype(np.float32)
    conv[..., 1] = 0
    conv[..., 2] = np.abs(conv[..., 2])
    dense[:, 3] = -0.25
    dense[:, 4] *= 1000
    return {"conv": conv, "dense": dense}


@pytest.fixture(scope="session")
def convert(tf, kernels):
    """Convert a network with these kernels to int8: a function of its inputs, to details by tensor shape."""
    from ai_edge_litert.interpreter import Interpreter

    from qkit.network.backend import keras, quiet

    network = keras.Sequential(
        [
            keras.layers.Input((6, 6, 2)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64),
        ]
    )
    network.set_weights([kernels["conv"], np.ones(16), kernels["dense"], np.ones(64)])

    def run(inputs: np.ndarray, per_channel: bool = True) -> dict:
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter._experimental_disable_per_channel = not per_channel
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = Interpreter(model_content=converter.convert())
        shapes = {(1, 6, 6, 2): "input", (16, 3, 3, 2): "conv", (64, 256): "dense"}
        found = {}
        for tensor in interpreter.get_tensor_details():
            name = shapes.get(tuple(int(n) for n in tensor["shape"]))
            if name:
                integers = None if name == "input" else interpreter.get_tensor(tensor["index"])
                numbers = tensor["quantization_parameters"]
                found[name] = (numbers["scales"], numbers["zero_points"], integers)
        return found

    return run
