"""How fast a whole network is quantized and measured again, and whether LiteRT's int8 file answers the same.

python -m benchmarks.simulate [rounds]

A step is one new setting: thresholds are chosen, kernels quantized, and the float and the quantized network both
answer all images. The first visit of a setting searches for thresholds, a later one remembers them.
"""

import os
import statistics
import sys
import warnings
from collections.abc import Callable
from itertools import product
from time import perf_counter

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.peak import peak_megabytes
from qkit import load_digits, trained
from qkit.network import Accuracy, Measured, Simulation
from qkit.network.backend import quiet, tf
from qkit.network.cnn import as_input
from qkit.numeric import thresholds

STEPS = [
    {"weight_bits": weight_bits, "activation_bits": activation_bits, "per_channel": per_channel}
    for per_channel, weight_bits, activation_bits in product((True, False), (8, 6, 5, 4, 3, 2), (8, 4, 2))
]
MINMAX = {"weight_method": thresholds.minmax, "activation_method": thresholds.minmax}


def main(rounds: int) -> None:
    """Print the tables."""
    digits = load_digits()
    for name in ("shallow", "deep"):
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {rounds} rounds")
        model, calibration_images = trained(name, digits), digits.x_train[:1000]
        seconds, simulation = timed(Simulation, model, calibration_images)
        some, all_images = (digits.x_test[:2000], digits.y_test[:2000]), (digits.x_test, digits.y_test)
        first, _ = timed(measure, simulation, *some, {"weight_bits": 7})
        print(f"observing 1,000 images: {seconds:.2f} s; the very first step, compilation included: {first:.2f} s\n")
        print("one step, ms                             | median |    p95 |    max")
        for what, run, images, visits in (
            ("2,000 images, first visit", measure, some, 1),
            ("2,000 images, later visits", measure, some, rounds),
            ("2,000 images, without SQNR", answer, some, rounds),
            ("10,000 images", measure, all_images, 1),
            ("10,000 images, without SQNR", answer, all_images, 1),
        ):
            times = [1e3 * timed(run, simulation, *images, settings)[0] for settings in STEPS * visits]
            print(f"{what:40} | {statistics.median(times):6.0f} | {np.percentile(times, 95):6.0f} | {max(times):6.0f}")
        print(f"peak memory so far: {peak_megabytes():,.0f} MB\n")

        simulated = answer(simulation, *all_images, MINMAX)
        in_the_file = litert_answers(model, calibration_images, digits.x_test)
        print(f"simulated, 8 bits, MinMax: {Accuracy.of(simulated, digits.y_test)}")
        print(f"LiteRT's int8 file:        {Accuracy.of(in_the_file, digits.y_test)}")
        print(f"the same answer for {np.mean(simulated == in_the_file):.2%} of the images\n")


def measure(simulation: Simulation, images: np.ndarray, labels: np.ndarray, settings: dict) -> Measured:
    """Take one step with accuracies and SQNR of every layer."""
    return simulation.quantized(**settings).measure(images, labels)


def answer(simulation: Simulation, images: np.ndarray, labels: np.ndarray, settings: dict) -> np.ndarray:
    """Take one step with answers alone."""
    return simulation.quantized(**settings).predict(images).argmax(axis=1)


def litert_answers(model, calibration_images: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Convert a model to int8 and return what the file answers."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([as_input(image[None])] for image in calibration_images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(model_content=converter.convert())
        takes, gives = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        interpreter.resize_tensor_input(takes, (len(images), 28, 28, 1))
        interpreter.allocate_tensors()
        interpreter.set_tensor(takes, (images[..., None].astype(np.int16) - 128).astype(np.int8))
        interpreter.invoke()
    return interpreter.get_tensor(gives).argmax(axis=1)


def timed(run: Callable, *arguments: object) -> tuple[float, object]:
    """Return the seconds it takes, and the result."""
    start = perf_counter()
    result = run(*arguments)
    return perf_counter() - start, result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
