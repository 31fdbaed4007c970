"""Full-int8 .tflite files, and what LiteRT computes from them: for tests and benchmarks."""

import platform
from itertools import compress

import flatbuffers
import numpy as np

from qkit.network.backend import keras, quiet, tf
from qkit.network.cnn import as_input
from qkit.network.integer import IntegerNetwork
from qkit.network.litert import RESOLVERS as LITERT
from qkit.network.litert import LiteModel, Runner
from qkit.network.tflite import import_litert, read_operators

X86 = platform.machine().lower() in ("x86_64", "amd64")


def post_training(model, images: np.ndarray, per_channel: bool = True, io=tf.int8) -> bytes:
    """Quantize a float network, calibrated on grey levels (n, 28, 28) or on its own floating inputs."""
    inputs = as_input(images) if images.dtype == np.uint8 else images
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.representative_dataset = lambda: ([one[None]] for one in inputs)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter._experimental_disable_per_channel = not per_channel
    return _convert(converter, io)


def quantization_aware(model, digits, per_channel: bool = True, steps: int = 50) -> bytes:
    """Train on with fake quantization for a moment, and convert.

    Per channel, convolutions are (tfmot leaves dense layers per tensor).
    """
    with quiet():
        import tensorflow_model_optimization as tfmot
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
            default_8bit_quantize_registry as registry,
        )
    quantization = tfmot.quantization.keras
    per_tensor = registry.Default8BitQuantizeConfig(["kernel"], ["activation"], False)

    def annotate(layer):
        if isinstance(layer, keras.layers.Conv2D) and not per_channel:
            return quantization.quantize_annotate_layer(layer, per_tensor)
        return quantization.quantize_annotate_layer(layer)

    annotated = keras.models.clone_model(model, clone_function=annotate)
    annotated.set_weights(model.get_weights())
    with quantization.quantize_scope({"Default8BitQuantizeConfig": registry.Default8BitQuantizeConfig}):
        aware = quantization.quantize_apply(annotated)
    aware.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", run_eagerly=True)
    for step in range(steps):
        these = slice(128 * step, 128 * (step + 1))
        aware.train_on_batch(as_input(digits.x_train[these]), digits.y_train[these])
    return _convert(tf.lite.TFLiteConverter.from_keras_model(aware), tf.int8)


def _convert(converter, io) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = io
    with quiet():
        return converter.convert()


def litert_outputs(content: bytes, runtime: str, x: np.ndarray) -> list[np.ndarray]:
    """Return what LiteRT computes from inputs ``x``: the output of every operator, in the order of the file."""
    run = Runner(content, len(x), runtime, keep=True)
    run(x)
    return [run.interpreter.get_tensor(operator.output.index) for operator in read_operators(content)]


def check_against_litert(content: bytes, images: np.ndarray) -> None:
    """Compare in LiteRT's three runtimes every layer that behaves the same on this machine."""
    network = IntegerNetwork.read(content)
    inside = [step.kind not in ("QUANTIZE", "DEQUANTIZE") for step in read_operators(content)]
    for runtime in LITERT:
        if runtime == "builtin" and not X86:
            continue  # it rounds in another way there, and so does the softmax that XNNPACK leaves to it
        found = network.run(images, runtime)
        x = found["image"] if images.dtype == np.int8 else LiteModel(content)._inputs(images)
        expected = list(compress(litert_outputs(content, runtime, x), inside))
        assert len(expected) == len(network.layers)
        for layer, output in zip(network.layers, expected, strict=True):
            if layer.op == "SOFTMAX" and runtime != "reference" and not X86:
                break
            assert found[layer.name].dtype == output.dtype
            np.testing.assert_array_equal(found[layer.name], output, err_msg=f"{layer.name}, {runtime}")


def unpacked(content: bytes):
    """Return the schema's objects for a file, which can be changed."""
    schema = import_litert("schema_py_generated")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def packed(file) -> bytes:
    """Return the file that the schema's objects describe."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(file.Pack(builder), b"TFL3")
    return bytes(builder.Output())
