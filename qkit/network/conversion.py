"""From a Keras network to a .tflite file: post-training quantization by LiteRT's converter.

=========  ==============================  =========================  =================================
kind       weights and biases in the file  between the layers         computed with
=========  ==============================  =========================  =================================
float32    float32                         float32                    float32
float16    float16                         float32                    float32
dynamic    int8; float32 where there are   float32                    int8 and int8 weights, scaled anew
           few, and for biases                                        for every image
int8       int8, biases int32              int8, calibrated           int8
int16x8    int8, biases int64              int16, calibrated          int16 and int8
=========  ==============================  =========================  =================================

The converter of TensorFlow 2.21 has no other mode. Weights alone in int8, with all arithmetic in floats, need a
package of their own, AI Edge Quantizer; here float16 is what shrinks the file and changes nothing else.

References
----------
https://developers.google.com/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from collections.abc import Iterator

import numpy as np

from qkit.network.backend import keras, quiet, tf
from qkit.network.litert import LiteModel
from qkit.network.recipe import as_input, check_images

KINDS = ("float32", "float16", "dynamic", "int8", "int16x8")
INTEGERS = {
    "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
    "int16x8": (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
}


def convert(
    model: "keras.Sequential", kind: str, calibration: np.ndarray | None = None, per_channel: bool = True
) -> LiteModel:
    """Convert a network; the same arguments give the same bytes.

    Parameters
    ----------
    model : keras.Sequential
        A network of :func:`qkit.network.trained`; for int8 also one from quantization-aware training, which has
        learned its ranges and needs no calibration.
    kind : {"float32", "float16", "dynamic", "int8", "int16x8"}
        Images and probabilities are integers too in the last two.
    calibration : ndarray of uint8, shape (n, 28, 28), optional
        The representative images that int8 and int16x8 need: the converter takes the smallest and the largest
        number that each layer returns for them as its range. The other kinds do not look at them.
    per_channel : bool
        One scale for each output of a layer, or one for all its weights.

    Raises
    ------
    ValueError
        If the kind is unknown, the calibration images are missing, none, or no grey levels, or a weight is not
        finite.
    ImportError
        If LiteRT is not installed.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not all(np.all(np.isfinite(weights)) for weights in model.get_weights()):
        raise ValueError("the network has weights that are not finite: train it again")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    # A private name, but there is no other to ask for one scale a tensor.
    converter._experimental_disable_per_channel = not per_channel
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in INTEGERS:
        operators, dtype = INTEGERS[kind]
        converter.inference_input_type = converter.inference_output_type = dtype
        if calibration is not None:
            images = check_images(calibration)
            converter.representative_dataset = lambda: _one_by_one(images)
            converter.target_spec.supported_ops = [operators]
        elif kind != "int8" or not any(hasattr(layer, "quantize_config") for layer in model.layers):
            raise ValueError(f"{kind} needs calibration images, a few hundred of those the network was trained on")
    with quiet():
        return LiteModel(converter.convert())


def _one_by_one(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    for image in as_input(images):
        yield [image[None]]
