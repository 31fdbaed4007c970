"""The integer network against LiteRT: how many numbers differ, layer by layer; its time and memory.

python -m benchmarks.integer [seeds]

Both networks, each trained with ``seeds`` seeds (three), and converted after training (PTQ) and after a moment of
quantization-aware training (QAT), with a weight scale per channel and per tensor: every number of every layer for all
test images, from LiteRT's three runtimes and from ours. Then how far the runtimes differ from one another. Last, in a
process of its own with one thread, the seconds for all test images, and the peak memory.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.machine import machine
from qkit import load_digits, trained
from qkit.network import IntegerNetwork
from qkit.network.litert import RESOLVERS as LITERT
from qkit.numeric import RUNTIMES
from tests.network.int8_files import litert_outputs, post_training, quantization_aware

BATCH = 500
LAYERS = "conv1", "pool1", "conv2", "pool2", "flatten", "dense1", "dense2", "softmax"
MEASURE = """
import sys
from time import perf_counter, process_time
from benchmarks.peak import peak_megabytes
from qkit import load_digits
from qkit.network import IntegerNetwork
images, network, seconds, busy = load_digits().x_test, IntegerNetwork.read(sys.argv[1]), [], []
before = peak_megabytes()
for _ in range(7):
    start, busy_start = perf_counter(), process_time()
    network.predict(images, sys.argv[2])
    seconds.append(perf_counter() - start)
    busy.append(process_time() - busy_start)
after = peak_megabytes()
network.run(images, sys.argv[2])
megabytes = f"{before:9.0f} | {after:10.0f} | {peak_megabytes():13.0f}"
print(f"{sorted(seconds)[3]:15.2f} | {min(seconds):7.2f} | {sorted(busy)[3]:16.2f} | {megabytes}")
"""


def main(seeds: int) -> None:
    """Print the tables."""
    digits = load_digits()
    images = digits.x_test
    print(f"{len(images):,} test images ({digits.name}), {machine()}\n")
    print("numbers that differ from LiteRT's".ljust(44), *(f"{layer:>9}" for layer in LAYERS), sep=" | ", flush=True)
    first = {}
    for name, seed in itertools.product(("shallow", "deep"), range(seeds)):
        model = trained(name, digits, seed)
        for way, per_channel in itertools.product(("PTQ", "QAT"), (True, False)):
            if way == "PTQ":
                content = post_training(model, digits.x_train[:200], per_channel)
            else:
                content = quantization_aware(model, digits, per_channel)
            first.setdefault(name, content)
            for runtime in LITERT:
                found = differences(content, runtime, images)
                row = f"{name:7} seed {seed} {way} per {'channel' if per_channel else 'tensor':7} {runtime}"
                cells = (f"{found[layer]:9,}" if layer in found else 9 * " " for layer in LAYERS)
                print(row.ljust(44), *cells, sep=" | ", flush=True)
    heads = (f"{layer:>9}" for layer in (*LAYERS, "answer"))
    print("\nruntimes against one another, PTQ, seed 0".ljust(45), *heads, sep=" | ")
    for name, content in first.items():
        for one, other in itertools.combinations(RUNTIMES, 2):
            found = between(content, one, other, images)
            cells = (f"{found[layer]:9,}" if layer in found else 9 * " " for layer in (*LAYERS, "answer"))
            print(f"{name:7} {one}, {other}".ljust(44), *cells, sep=" | ", flush=True)
    print(
        "\none thread".ljust(22),
        "seconds, median | fastest | of the processor | MB before | MB predict | MB all layers",
        sep=" | ",
    )
    for name, runtime in itertools.product(first, RUNTIMES):
        print(f"{name:7} {runtime:12}".ljust(21), measured(first[name], runtime), sep=" | ", flush=True)


def differences(content: bytes, runtime: str, images: np.ndarray) -> Counter:
    """Return for every layer how many numbers of it differ from LiteRT's."""
    network, found = IntegerNetwork.read(content), Counter()
    for start in range(0, len(images), BATCH):
        ours = network.run(images[start : start + BATCH], runtime)
        theirs = litert_outputs(content, runtime, ours["image"])
        for layer, output in zip(network.layers, theirs, strict=True):
            found[layer.name] += int(np.sum(ours[layer.name] != output))
    return found


def between(content: bytes, one: str, other: str, images: np.ndarray) -> Counter:
    """Return for every layer how many numbers differ between two runtimes, and how many digits they answer."""
    network, found = IntegerNetwork.read(content), Counter()
    for start in range(0, len(images), BATCH):
        first, second = (network.run(images[start : start + BATCH], runtime) for runtime in (one, other))
        for name in first:
            found[name] += int(np.sum(first[name] != second[name]))
        found["answer"] += int(np.sum(first["softmax"].argmax(axis=1) != second["softmax"].argmax(axis=1)))
    return found


def measured(content: bytes, runtime: str) -> str:
    """Return seconds and megabytes for all images on one thread, as a row."""
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(content)
        command = [sys.executable, "-c", MEASURE, str(path), runtime]
        done = subprocess.run(command, env=one_thread, capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
