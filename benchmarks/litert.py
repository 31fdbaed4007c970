"""The deep network in every kind of .tflite file: bytes, accuracy, microseconds an image.

python -m benchmarks.litert [rounds]

The files take turns within one run, so that a busy machine slows all of them; times are medians of the rounds, on
XNNPACK. Accuracies are those on all test images.
"""

import statistics
import sys
from time import perf_counter

import numpy as np

from benchmarks.machine import machine
from qkit import QuantSpec, load_digits, trained
from qkit.network import LiteModel, activation_histograms, convert, deploy, predict
from qkit.numeric import Accuracy, thresholds

CALIBRATION = 500
SETTINGS = ((1, 1), (250, 1), (250, 2))
"""Batch and threads."""


def main(rounds: int) -> None:
    """Print the table."""
    digits = load_digits()
    network = trained("deep", digits)
    print(f"Keras: {Accuracy.of(predict(network, digits.x_test).argmax(axis=1), digits.y_test)}")
    calibration = digits.x_train[:CALIBRATION]
    files = {kind: convert(network, kind, calibration) for kind in ("float32", "float16", "dynamic", "int8", "int16x8")}
    files["int8 per tensor"] = convert(network, "int8", calibration, per_channel=False)
    own = chosen(network, calibration)
    seconds = []
    for _ in range(rounds):
        start = perf_counter()
        files["int8, our MSE"] = deploy(network, files["int8"], own)
        seconds.append(perf_counter() - start)
    apart = scales_apart(files["int8, our MSE"], own)
    times = in_turns(files, digits.x_test[:250], rounds)
    print(f"{digits.name}, {CALIBRATION} calibration images, {rounds} rounds, {machine()}\n")
    heads = [f"µs, batch {batch}, {threads} thread{'s' * (threads > 1)}" for batch, threads in SETTINGS]
    print(f"{'file':15} | {'bytes':>7} | of float32 | {'accuracy':>8} | 95 % interval   | {' | '.join(heads)}")
    for name, file in files.items():
        accuracy = file.accuracy(digits.x_test, digits.y_test)
        low, high = accuracy.interval
        cells = [f"{time:{len(head)}.1f}" for time, head in zip(times[name], heads, strict=True)]
        print(
            f"{name:15} | {file.size:7,} | {file.size / files['float32'].size:10.1%} | {accuracy.value:8.2%} "
            f"| {low:.2%}–{high:.2%}   | {' | '.join(cells)}",
            flush=True,
        )
    print(f"\nOur MSE thresholds were written in {1000 * statistics.median(seconds):.1f} ms. Scales read back from")
    print(f"the file differ by at most {apart:.1e} of ours, where float32 allows {np.finfo(np.float32).eps / 2:.1e}.")


def chosen(network, calibration: np.ndarray) -> dict:
    """Choose a threshold for the output of every hidden layer."""
    histograms = activation_histograms(network, calibration, magnitude=True)
    return {name: thresholds.mse(histograms[name]).params(QuantSpec()) for name in ("conv1", "conv2", "dense1")}


def scales_apart(file: LiteModel, own: dict) -> float:
    """Return the largest relative difference between the scales in the file and ours."""
    table = file.tensors()
    return max(abs(table.loc[(name, "output"), "scale"] / params.scale - 1) for name, params in own.items())


def in_turns(files: dict[str, LiteModel], images: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """Return for each file the median time in every setting, in microseconds an image."""
    found = {name: [[] for _ in SETTINGS] for name in files}
    for _ in range(rounds):
        for name, file in files.items():
            for (batch, threads), times in zip(SETTINGS, found[name], strict=True):
                times.append(file.latency(images, batch, repeats=1, threads=threads))
    return {name: [statistics.median(times) for times in columns] for name, columns in found.items()}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
