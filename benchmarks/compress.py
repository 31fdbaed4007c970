"""Smaller networks: bytes against accuracy for every way of notebook 10, with controls, over seeds.

python -m benchmarks.compress [seeds]

Writes ``results/compress-….csv``, a row for each network, and a figure of seed 0. Accuracies are in per cent. *p* is
McNemar's, against float and against the control: for what was pruned, the network trained as long without pruning; for
a student, the same network taught by labels; else the float network.
"""

import heapq
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.machine import machine
from qkit import load_digits, trained
from qkit.network import compress, convert, kernels_replaced, predict
from qkit.network.chain import weights_of
from qkit.numeric import Accuracy, Paired, codebook
from qkit.numeric.codebook import Codebook
from qkit.show import figures

RESULTS = Path(__file__).with_name("results")


def main(seeds: int) -> None:
    """Measure, print and write."""
    digits = load_digits()
    rows = [row for seed in range(seeds) for row in measured(digits, seed)]
    table = pd.DataFrame(rows)
    name = f"compress-{digits.name.lower().replace(' ', '-')}"
    table.drop(columns="counted").to_csv(RESULTS / f"{name}.csv", index=False)
    families = {}
    for row in rows:
        if row["seed"] == 0:
            families.setdefault(row["family"], []).append((row["bytes"], row["counted"]))
    (RESULTS / f"{name}.png").write_bytes(figures.frontier(families).png())
    print(f"{digits.name}, {machine()}\n{table.drop(columns='counted').to_string(index=False)}")


def measured(digits, seed: int) -> list[dict]:
    """Return a row for every network that starts from the training with one seed."""
    deep, small = trained("deep", digits, seed), trained("small", digits, seed)
    in_float, by_labels = answers(deep, digits), answers(small, digits)
    rows = []

    def add(family: str, point: str, size: int, said: np.ndarray, control: np.ndarray) -> None:
        counted = Accuracy.of(said, digits.y_test)
        paired = {
            f"p, {name}": float(f"{Paired.of(other, said, digits.y_test).p_value:.2g}")
            for name, other in (("float", in_float), ("control", control))
        }
        low, high = (round(100 * end, 2) for end in counted.interval)
        right = {"accuracy": round(100 * counted.value, 2), "low": low, "high": high}
        rows.append({"seed": seed, "family": family, "point": point, "bytes": size} | right | paired)
        rows[-1]["counted"] = counted

    def add_coded(family: str, point: str, network, books: dict[str, Codebook], bits_of, control: np.ndarray) -> None:
        kernels = {name: weights.kernel for name, weights in weights_of(network).items()}
        q = {name: books[name].quantize(kernel) for name, kernel in kernels.items()}
        size = sum(bits_of(q[name], book) / 8 + 4 * len(book.values) for name, book in books.items())
        size += sum(weights.bias.nbytes for weights in weights_of(network).values())
        with kernels_replaced(network, {name: books[name].dequantize(q[name]) for name in books}):
            add(family, point, round(size), answers(network, digits), control)

    students = {"small": small, "small, distilled": compress.distilled("small", digits, "deep", seed=seed)}
    for name, network in {"deep": deep, **students}.items():
        for form in ("float32", "int8"):
            file = convert(network, form, digits.x_train[:1_000])
            said = file.predict(digits.x_test).argmax(axis=1)
            add(f"{name}, file", form, file.size, said, in_float if name == "deep" else by_labels)
    kernels = {name: weights.kernel for name, weights in weights_of(deep).items()}
    for count in (16, 8, 4, 2):
        books = {name: codebook.kmeans(kernel, count) for name, kernel in kernels.items()}
        add_coded("deep, k-means", f"{count} values", deep, books, index_bits, in_float)
    control = answers(compress.pruned("deep", digits, 0, seed), digits)
    for share in (0.8, 0.9):
        network = compress.pruned("deep", digits, share, seed)
        for count in (16, 8, 4):
            books = {name: sparse_book(weights.kernel, count) for name, weights in weights_of(network).items()}
            add_coded(f"pruned {100 * share:g} %, gaps", f"{count} values", network, books, gap_bits, control)
    for count in (4, 2):
        network = compress.clustered("deep", digits, count, seed)
        books = {name: Codebook(np.unique(weights.kernel)) for name, weights in weights_of(network).items()}
        add_coded("deep, values trained", f"{count} values", network, books, index_bits, in_float)
    return rows


def answers(network, digits) -> np.ndarray:
    return predict(network, digits.x_test).argmax(axis=1)


def sparse_book(kernel: np.ndarray, count: int) -> Codebook:
    return Codebook(np.unique([0.0, *codebook.kmeans(kernel[kernel != 0], count - 1).values]))


def index_bits(q: np.ndarray, book: Codebook) -> int:
    return 8 * len(book.pack(q))


def gap_bits(q: np.ndarray, book: Codebook) -> int:
    at = np.flatnonzero(book.values[q.ravel()] != 0)
    return sum(map(huffman_bits, (np.diff(at, prepend=-1) - 1, q.ravel()[at])))


def huffman_bits(symbols: np.ndarray) -> int:
    """Return the bits of Huffman's words: the two rarest symbols get one more each, and are one from then on."""
    counts = np.bincount(symbols)
    heap, bits = [int(count) for count in counts if count], 8 * len(counts)
    heapq.heapify(heap)
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        bits += both
        heapq.heappush(heap, both)
    return bits


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
