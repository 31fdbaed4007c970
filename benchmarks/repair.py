"""A network that 8 bits break and its repair: accuracies over seeds, in real files and at few bits.

python -m benchmarks.repair [seeds]

Each seed trains a ``separable`` network of its own and scales it badly in a way of its own. Accuracies are those on all
test images, in per cent; *p* is McNemar's, of the repaired file against the float network.
"""

import sys
from time import perf_counter

import pandas as pd

from benchmarks.machine import machine
from qkit import load_digits, trained
from qkit.network import Simulation, convert, fold, predict, repair
from qkit.numeric import Accuracy, Paired, thresholds
from qkit.numeric.rounding import gptq

SPREADS = 1, 100, 1_000
PAGE = {"weight_method": thresholds.minmax, "per_channel": False}


def main(seeds: int) -> None:
    """Print the tables."""
    digits = load_digits()
    calibration, labels = digits.x_train[:1_000], digits.y_test
    in_files, few_bits = {}, {}
    for seed in range(seeds):
        plain = fold(trained("separable", digits, seed))
        in_float = answers(plain, digits)
        bad = {f"spread {spread:,}": repair.rescaled(plain, spread, seed) for spread in SPREADS}
        bad["repaired"] = repair.equalize(bad["spread 1,000"])
        column = {"float": percent(in_float, labels)}
        for name, network in bad.items():
            for per_channel in (False, True):
                file = convert(network, "int8", calibration[:200], per_channel)
                said = file.predict(digits.x_test).argmax(axis=1)
                column[f"{name}, {'per channel' if per_channel else 'per tensor'}"] = percent(said, labels)
        column["p"] = f"{Paired.of(in_float, said, labels).p_value:.2g}"
        start = perf_counter()
        repair.diagnose(bad["spread 1,000"], calibration)
        column["seconds to diagnose"] = f"{perf_counter() - start:.1f}"
        in_files[seed] = column
        for bits in (4, 3):
            for name, network in steps(plain, bits, calibration).items():
                few_bits.setdefault((bits, name), {})[seed] = percent(answers(network, digits), labels)
    print(f"{digits.name}, {machine()}\n\nint8 files\n{pd.DataFrame(in_files).to_string()}\n")
    print(f"weights of few bits, one scale for each tensor, MinMax\n{pd.DataFrame(few_bits).T.to_string()}")


def steps(plain, bits, calibration) -> dict:
    """Return the network with weights of few bits, repaired in more and more ways."""
    level, found = repair.equalize(plain), {}
    for name, network in (("nothing", plain), ("equalized", level)):
        kernels = Simulation(network, calibration).quantized(bits, None, **PAGE).kernels
        found[name] = repair.rounded(network, kernels)
        found[f"{name}, bias"] = repair.correct_bias(network, found[name], calibration)
    rounded = repair.rounded(level, kernels, gptq, calibration)
    return found | {"equalized, GPTQ, bias": repair.correct_bias(level, rounded, calibration)}


def answers(network, digits):
    return predict(network, digits.x_test).argmax(axis=1)


def percent(said, labels) -> str:
    return f"{100 * Accuracy.of(said, labels).value:.2f}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
