"""The study of notebook 08 in full: a table of every network, method, number of bits and seed, and its picture.

What trains sees all training images once more, not the notebook's 12,000.

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
from qkit.network.cnn import validation_images

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
    images = len(digits.x_train) - validation_images(digits)
    results = study.run(study.cells(bits=BITS, seeds=range(seeds)), digits, images=images)
    RESULTS.mkdir(exist_ok=True)
    name = f"study-{digits.name.lower().replace(' ', '-')}"
    table = results.table()
    table.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.6g")
    groups = table.groupby(["network", "method", "weight_bits"])["accuracy"]
    of_seeds = "1 seed" if seeds == 1 else f"{seeds} seeds"
    print(f"{digits.name}, {of_seeds}, {images:,} images: accuracy, mean and spread (lowest to highest)\n")
    print(groups.agg(["mean", "min", "max"]).map("{:.2%}".format).to_string())
    for network in ("deep", "shallow"):
        for bits in BITS:
            for seed in range(seeds):
                learned = study.Cell(network, "QAT LSQ", bits, bits, seed)
                for method in ("float", "float, tuned", "PTQ MSE"):
                    at = bits if method.startswith("PTQ") else study.FLOAT_BITS
                    other = study.Cell(network, method, at, at, seed)
                    print(f"{network} W{bits}A{bits} seed {seed}: {method} to QAT LSQ {results.paired(other, learned)}")
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
        axes.set(title=f"{network}, {digits.name}, {of_seeds}", xlabel="bits of weights and activations", yscale="log")
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
