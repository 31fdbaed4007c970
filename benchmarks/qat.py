"""Quantization-aware training: accuracy before and after, against the float control, time, agreement with the file.

python -m benchmarks.qat [seed] [network ...]

Every network is trained anew, so that its time is measured. "before" is the same network without a step of training,
"same" the share of test images to which the LiteRT file gives the answer of the simulation. The learning rates were
chosen on the validation images, after first trials that looked at the test images.
"""

import sys
from contextlib import redirect_stdout
from io import StringIO
from time import perf_counter

import numpy as np

from benchmarks.machine import machine
from qkit import load_digits, trained
from qkit.digits import Digits
from qkit.network import NETWORKS, predict, qat
from qkit.network.cnn import validation_images
from qkit.numeric import Accuracy

RUNS = [
    *((method, bits, bits) for method in qat.METHODS for bits in (8, 4, 3, 2)),
    *((method, bits, 8) for method in ("plain", "lsq") for bits in (4, 3, 2)),
]


def main(seed: int, names: list[str]) -> None:
    """Print the tables."""
    digits = load_digits()
    print(f"{machine()}, {digits.name}, seed {seed}")
    for name in names:
        with redirect_stdout(StringIO()):
            model, control = trained(name, digits, seed), qat.fine_tuned(name, digits, seed)
        print(f"\n{name}: float {of(predict(model, digits.x_test), digits)}")
        print(f"{name}: trained further in float {of(predict(control, digits.x_test), digits)}\n")
        print(
            "method | weights | activations | images | before |  after | 95 % interval    | seconds |    file, B | same"
        )
        for method, weight_bits, activation_bits in RUNS:
            print(row(model, digits, method, weight_bits, activation_bits, seed), flush=True)
        for method in ("plain", "lsq"):
            print(row(model, digits, method, 2, 2, seed, len(digits.x_train) - validation_images(digits)), flush=True)


def row(
    model, digits: Digits, method: str, weight_bits: int, activation_bits: int, seed: int, images=qat.IMAGES
) -> str:
    """Train once and return the line of the table."""
    settings = {"weight_bits": weight_bits, "activation_bits": activation_bits, "method": method, "seed": seed}
    before = of(qat.train(model, digits, epochs=0, **settings).predict(digits.x_test), digits)
    start = perf_counter()
    with redirect_stdout(StringIO()):
        network = qat.train(model, digits, images=images, **settings)
    seconds = perf_counter() - start
    predicted = network.predict(digits.x_test)
    after = of(predicted, digits)
    size, same = "simulated", ""
    if network.settings.runs_in_litert:
        file = network.to_litert()
        agree = np.mean(file.predict(digits.x_test).argmax(axis=1) == predicted.argmax(axis=1))
        size, same = f"{file.size:,}", f"{agree:.2%}"
    low, high = after.interval
    return (
        f"{method:6} | {weight_bits:7} | {activation_bits:11} | {images:6,} | {before.value:6.2%} | {after.value:6.2%} "
        f"| {low:.2%} to {high:.2%} | {seconds:7.1f} | {size:>10} | {same}"
    )


def of(probabilities: np.ndarray, digits: Digits) -> Accuracy:
    """Count the right answers on the test images."""
    return Accuracy.of(probabilities.argmax(axis=1), digits.y_test)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2:] or list(NETWORKS))
