"""The language model of notebook 11 in every format: bits a weight against bits per character, over seeds.

python -m benchmarks.language [seeds]

Writes ``results/language.csv``, a row for each model, and ``results/language.png``, the notebook's figure, of seed 0.
All is measured on the same passages, and what a format costs, in pairs: the rise over float, and of GPTQ over nearest.
The 95 % intervals are over passages, each for its comparison alone: of many that leave 0 out, one in twenty may do so
where there is no difference. Set OPENBLAS_NUM_THREADS=1 where the seconds are to be compared.
"""

import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from benchmarks.machine import machine
from qkit.network import language
from qkit.numeric import Mean
from qkit.numeric.formats import FORMATS, integers
from qkit.show import figures

RESULTS = Path(__file__).with_name("results")
LADDER = tuple(f"int{bits}" for bits in (8, 6, 5, 4, 3, 2))
FAMILIES = {"integers": LADDER, "MX floats": ("mxfp8", "mxfp6", "mxfp4"), "q8_0, q4_1, q4_0": ("q8_0", "q4_1", "q4_0")}
FAMILIES |= {"nvfp4": ("nvfp4",), "nf4": ("nf4",)}
"""Rounded to nearest, fourteen points of the figure. Integers by GPTQ are six more."""


def main(seeds: int) -> None:
    """Measure, print and write."""
    rows = [row for seed in range(seeds) for row in measured(seed)]
    table = pd.DataFrame(rows)
    table.to_csv(RESULTS / "language.csv", index=False)
    print(f"{machine()}\n{table.to_string(index=False, na_rep='')}")


def measured(seed: int) -> list[dict]:
    """Return a row for every model that starts from the training with one seed; print seconds, and draw seed 0."""
    formats = FORMATS | {"nf4": replace(FORMATS["nf4"], block=32, stored=FORMATS["q4_0"].stored)}
    formats |= {name: integers(int(name[3:]), 32) for name in LADDER}
    to_read, to_test = language.text()
    passages, windows = language.passages(to_test), language.passages(to_read)[:, :-1]
    read = windows[np.random.default_rng(0).choice(len(windows), 64, replace=False)]
    weights = language.trained(seed)
    in_float = language.bits(weights, passages)
    rows = [{"seed": seed, "format": "float32", "rounding": "", "bits a weight": 32}]
    rows[0] |= with_ends("bits per character", in_float)
    models, points, seconds = {}, {}, {}
    for name, form in formats.items():
        found = {}
        for way, examples in (("nearest", None), ("GPTQ", read)):
            start = perf_counter()
            model = models[name, way] = language.quantized(weights, form, examples)
            rounded = perf_counter()
            found[way] = language.bits(model, passages)
            points[name, way] = form.bits_per_weight, Mean.of(found[way] - in_float)
            seconds[name, way] = rounded - start, perf_counter() - start
            row = {"seed": seed, "format": name, "rounding": way, "bits a weight": form.bits_per_weight}
            row |= with_ends("bits per character", found[way]) | with_ends("rise", found[way] - in_float)
            rows.append(row)
        row |= with_ends("GPTQ - nearest", found["GPTQ"] - found["nearest"])
        row["differ"] = row["GPTQ - nearest, low"] > 0 or row["GPTQ - nearest, high"] < 0
    shown = {family: [(name, "nearest") for name in names] for family, names in FAMILIES.items()}
    shown["integers, GPTQ"] = [(name, "GPTQ") for name in LADDER]
    whole = sum(seconds[key][1] for keys in shown.values() for key in keys)
    print(f"seed {seed}: the figure's 20 points {whole:.1f} s, int4 by GPTQ {seconds['int4', 'GPTQ'][0]:.2f} s")
    if seed == 0:
        picture = figures.frontier({family: [points[key] for key in keys] for family, keys in shown.items()})
        (RESULTS / "language.png").write_bytes(picture.png())
        said = {"float32": weights} | {name: models[name, "nearest"] for name in ("int8", "int4", "int3", "int2")}
        for name, model in said.items():
            print(f"- {name}\n{language.write(model, 'The function ', 150)}\n")
    return rows


def with_ends(name: str, numbers: np.ndarray) -> dict[str, float]:
    mean = Mean.of(numbers)
    low, high = (round(end, 5) for end in mean.interval)
    return {name: round(mean.value, 5), f"{name}, low": low, f"{name}, high": high}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
