"""The study of notebook 08 in full: a table of every network, method, number of bits and seed, and its picture.

python -m benchmarks.study [seeds]

Writes benchmarks/results/study-<digits>.csv and .png. What has been measured is kept in data/, so a run that was
stopped goes on where it was.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from qkit import load_digits
from qkit.network import study

RESULTS = Path(__file__).parent / "results"
BITS = (8, 4, 3, 2)
STYLES = {
    "PTQ MinMax": ("#E69F00", "o"),
    "PTQ MSE": ("#009E73", "s"),
    "QAT plain": ("#CC79A7", "D"),
    "QAT LSQ": ("#000000", "^"),
}


def main(seeds: int) -> None:
    """Measure, print, and write."""
    digits = load_digits()
    results = study.run(study.cells(bits=BITS, seeds=range(seeds)), digits)
    RESULTS.mkdir(exist_ok=True)
    name = f"study-{digits.name.lower().replace(' ', '-')}"
    table = results.table()
    table.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.6g")
    groups = table.groupby(["network", "method", "weight_bits"])["accuracy"]
    print(f"{digits.name}, {seeds} seeds: accuracy, mean and spread (lowest to highest)\n")
    print(groups.agg(["mean", "min", "max"]).map("{:.2%}".format).to_string())
    for network in ("deep", "shallow"):
        for bits in BITS:
            for seed in range(seeds):
                first, second = (study.Cell(network, m, bits, bits, seed) for m in ("PTQ MSE", "QAT LSQ"))
                control = study.Cell(network, "float, tuned", 32, 32, seed)
                print(f"{network} W{bits} A{bits} seed {seed}: PTQ MSE → QAT LSQ {results.paired(first, second)}")
                print(f"{'':24} float, tuned → QAT LSQ {results.paired(control, second)}")
    figure, both = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    for axes, network in zip(both, ("deep", "shallow"), strict=True):
        here = table[table["network"] == network]
        floats = here[here["method"] == "float"]["accuracy"]
        axes.axhline(1 - floats.mean(), color="#0072B2", label="float")
        for method, (colour, marker) in STYLES.items():
            rows = here[here["method"] == method]
            means = rows.groupby("weight_bits")["accuracy"].mean().loc[list(BITS)]
            axes.plot(BITS, 1 - means, color=colour, marker=marker, mfc="white", label=method)
            axes.plot(rows["weight_bits"], 1 - rows["accuracy"], marker, color=colour, ms=3)
        axes.set(
            title=f"{network}, {digits.name}, {seeds} seeds", xlabel="bits of weights and activations", yscale="log"
        )
        axes.set_xticks(BITS)
        axes.set_yticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.minorticks_off()
        axes.invert_xaxis()
    both[0].set_ylabel("wrong answers, log scale (small: each seed)")
    both[1].legend(loc="upper left")
    figure.savefig(RESULTS / f"{name}.png", dpi=100)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
