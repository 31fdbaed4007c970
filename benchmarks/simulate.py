"""How fast a whole network is quantized and measured again, and whether LiteRT's int8 file answers the same.

python -m benchmarks.simulate [rounds]

A step is one new setting: thresholds are searched for and kernels quantized, and the float and the quantized network
both answer all images; in the explorer, the picture is drawn too. Thresholds are remembered, and so are the explorer's
results.
"""

import statistics
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from time import perf_counter

import numpy as np

from benchmarks.machine import machine
from benchmarks.peak import peak_megabytes
from qkit import load_digits, trained
from qkit.digits import Digits
from qkit.network import Simulation, convert
from qkit.numeric import Accuracy, thresholds
from qkit.show import explorers

STEPS = [
    {"weight_bits": weight_bits, "activation_bits": activation_bits, "per_channel": per_channel}
    for per_channel, weight_bits, activation_bits in product((True, False), (8, 6, 5, 4, 3, 2), (8, 4, 2))
]


def main(rounds: int) -> None:
    """Print the tables."""
    digits = load_digits()
    for name in ("shallow", "deep"):
        speed(name, digits, rounds)
        agreement(name, digits)
    print(f"peak memory of this process: {peak_megabytes():,.0f} MB")


def speed(name: str, digits: Digits, rounds: int) -> None:
    """Print how long it takes to observe a network, and to measure it at one setting after the other."""
    model, images, labels = trained(name, digits), digits.x_test, digits.y_test
    print(f"{machine()}, {rounds} rounds")
    observe, simulation = timed(lambda: Simulation(model, digits.x_train[:1000]))
    first, explorer = timed(lambda: explorers.network(simulation, images, labels))
    print(f"observing 1,000 images: {observe:.2f} s; the explorer, compiling included: {first:.2f} s\n")
    print("one step, ms                             | median |    p95 |    max")
    for what, run, visits in (
        ("explorer, 2,000 images, first visit", lambda how: explorer.set(**how), 1),
        ("explorer, 2,000 images, later visits", lambda how: explorer.set(**how), rounds),
        ("2,000 images", lambda how: simulation.quantized(**how).measure(images[::5], labels[::5]), rounds),
        ("2,000 images, answers alone", lambda how: simulation.quantized(**how).predict(images[::5]), rounds),
        ("10,000 images", lambda how: simulation.quantized(**how).measure(images, labels), 1),
        ("10,000 images, answers alone", lambda how: simulation.quantized(**how).predict(images), 1),
    ):
        times = [1e3 * timed(partial(run, settings))[0] for settings in STEPS * visits]
        print(f"{what:40} | {statistics.median(times):6.0f} | {np.percentile(times, 95):6.0f} | {max(times):6.0f}")


def agreement(name: str, digits: Digits) -> None:
    """Print how often a simulated network and LiteRT's file answer alike, MinMax and 8 bits everywhere."""
    model, calibration_images = trained(name, digits), digits.x_train[:1000]
    network = Simulation(model, calibration_images).quantized(
        weight_method=thresholds.minmax, activation_method=thresholds.minmax
    )
    simulated = network.predict(digits.x_test).argmax(axis=1)
    in_the_file = convert(model, "int8", calibration_images).predict(digits.x_test).argmax(axis=1)
    print(f"\nsimulated, 8 bits, MinMax: {Accuracy.of(simulated, digits.y_test)}")
    print(f"LiteRT's int8 file:        {Accuracy.of(in_the_file, digits.y_test)}")
    print(f"the same answer for {np.mean(simulated == in_the_file):.2%} of the images\n")


def timed(run: Callable) -> tuple[float, object]:
    """Return the seconds it takes, and the result."""
    start = perf_counter()
    result = run()
    return perf_counter() - start, result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
