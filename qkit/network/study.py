"""PTQ against QAT as an experiment: every network, method, number of bits and seed is measured once, and kept.

All start from the same trained networks and end on the same test images; methods that train take the same number of
steps. The answers are kept image by image, so that any two methods can be compared on the images where they differ.
"""

import contextlib
import io
import threading
from collections.abc import Iterable
from concurrent.futures import Executor, as_completed
from dataclasses import astuple, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from qkit.digits import Digits
from qkit.keeping import Arrays, check_like, data_home, kept, key, progress
from qkit.network import qat, recipe, simulate
from qkit.network.backend import keras
from qkit.network.cnn import predict, trained
from qkit.numeric import Accuracy, Paired, holm, thresholds

VERSION = 1
"""Goes up when cells are measured in another way. They are measured again after recipe's, simulate's and qat's, too."""
FLOAT_BITS = 32
PTQ = {"PTQ MinMax": thresholds.minmax, "PTQ MSE": thresholds.mse}
QAT = {"QAT plain": "plain", "QAT LSQ": "lsq"}
TRAINING = ("float, tuned", *QAT)
METHODS = ("float", "float, tuned", *PTQ, *QAT)
"""``float, tuned`` is the control: it trains on as long as QAT, but without quantization, so that nobody takes the gain
of more training for QAT's. (Its learning rate is QAT's at 8 bits; at 4 and fewer QAT has a higher one.)"""


@dataclass(frozen=True, order=True)
class Cell:
    """One thing to measure: a ``network``, quantized by a ``method`` to so many bits, from the training with ``seed``.

    Bits go from 2 to 8, or are 32 where the network stays in float.
    """

    network: str
    method: str
    weight_bits: int
    activation_bits: int
    seed: int = 0

    def __post_init__(self) -> None:
        recipe.layers_of(self.network)
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        bits = {self.weight_bits, self.activation_bits}
        if not bits <= ({FLOAT_BITS} if self.method.startswith("float") else set(range(2, 9))):
            raise ValueError(f"bits must be integers from 2 to 8, or {FLOAT_BITS} for float, got {self.how}")
        # 8.0 and NumPy's 8 are the same cell, and found under the same key.
        for name in ("weight_bits", "activation_bits", "seed"):
            object.__setattr__(self, name, int(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.network}, {self.how}, seed {self.seed}"

    @property
    def how(self) -> str:
        """The method and its bits: ``"PTQ MSE W8 A8"``."""
        return f"{self.method} W{self.weight_bits} A{self.activation_bits}"


def cells(
    networks: Iterable[str] = ("shallow", "deep"),
    methods: Iterable[str] = METHODS,
    bits: Iterable[int | tuple[int, int]] = (8, 4, 3, 2),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return all combinations, each once. ``bits`` are for both, or pairs (weights, activations)."""
    every = [
        Cell(network, method, *np.broadcast_to(FLOAT_BITS if method.startswith("float") else each, 2), seed)
        for network, method, each, seed in product(networks, methods, bits, seeds)
    ]
    return list(dict.fromkeys(every))


@dataclass(frozen=True)
class Results:
    """What was measured on the test images, by cell."""

    labels: np.ndarray
    predicted: dict[Cell, np.ndarray]
    seconds: dict[Cell, float]  # from the trained float network on, more training included

    def accuracy(self, cell: Cell) -> Accuracy:
        return Accuracy.of(self.predicted[cell], self.labels)

    def paired(self, first: Cell, second: Cell) -> Paired:
        return Paired.of(self.predicted[first], self.predicted[second], self.labels)

    def table(self) -> pd.DataFrame:
        """Return a row for every cell: itself, ``accuracy``, ``low`` and ``high`` of its 95 % interval, ``seconds``."""
        rows = []
        for cell, seconds in self.seconds.items():
            accuracy = self.accuracy(cell)
            low, high = accuracy.interval
            rows.append(vars(cell) | {"accuracy": accuracy.value, "low": low, "high": high, "seconds": seconds})
        return pd.DataFrame(rows)

    def claims(self, pairs: Iterable[tuple[Cell, Cell]], level: float = 0.05) -> pd.DataFrame:
        """Put many claims to the results at once, each that the second cell of a pair is better than the first.

        Holm's rule (:func:`qkit.numeric.holm`) says which of the differences stand. Taught in notebook 08, section 4.

        A row for every pair, under its network and ``"PTQ MSE W8 A8 → QAT LSQ W8 A8"``: ``gain`` in accuracy; ``p`` of
        McNemar's test; if it ``stands``; ``verdict``, ``"wrong here"`` if the opposite stands; ``in words``, in points.
        """
        pairs = list(pairs)
        compared = [(paired.gain, paired.p_value) for paired in (self.paired(*pair) for pair in pairs)]
        rows = []
        for (gain, p), stands in zip(compared, holm([p for _, p in compared], level), strict=True):
            verdict = ("shown" if gain > 0 else "wrong here") if stands else "not shown"
            how_likely = f"p = {p:.2g}" if p >= 1e-6 else "p < 0.000001"
            words = f"{100 * gain:+.2f}, {how_likely}: {'stands' if stands else 'not shown'}"
            rows.append({"gain": gain, "p": p, "stands": stands, "verdict": verdict, "in words": words})
        names = [(first.network, f"{first.how} → {second.how}") for first, second in pairs]
        return pd.DataFrame(rows, pd.MultiIndex.from_tuples(names, names=(None, None)))


def run(cells: Iterable[Cell], digits: Digits, executor: Executor | None = None, images: int = qat.IMAGES) -> Results:
    """Measure every cell that has not been measured before, and return all.

    What is finished is kept in ``data/study/``: a run that was interrupted, or is widened, goes on where it was.
    Methods that train see so many ``images``, each once.

    The ``executor`` says where to measure: by default here, one cell after the other. A ``ProcessPoolExecutor`` must
    start new processes (``mp_context=multiprocessing.get_context("spawn")``), because TensorFlow does not survive a
    fork. A Dask cluster's is ``client.get_executor()``; its machines must see the file of the digits.
    """
    cells, found = list(cells), {}
    with progress(total=len(cells), desc="study", unit=" cells") as bar:
        if executor is None:
            for cell in cells:
                bar.set_postfix_str(str(cell))
                found[cell] = measure(cell, digits, images)
                bar.update()
        else:
            futures = {executor.submit(measure, cell, digits, images): cell for cell in cells}
            try:
                for future in as_completed(futures):
                    # A machine of a cluster keeps its results on its own disk; here they are kept again.
                    found[futures[future]] = _kept(futures[future], digits, images, future.result)
                    bar.update()
            finally:
                for future in futures:
                    future.cancel()
    predicted = {cell: found[cell]["predicted"] for cell in cells}
    return Results(digits.y_test, predicted, {cell: float(found[cell]["seconds"]) for cell in cells})


def measure(cell: Cell, digits: Digits, images: int = qat.IMAGES) -> Arrays:
    """Return ``predicted``, uint8 (n,), and ``seconds`` of one cell: kept ones, else measured now."""

    def make() -> Arrays:
        # A study has one progress bar, not one for each network in it. Standard output belongs to all threads.
        alone = threading.current_thread() is threading.main_thread()
        with contextlib.redirect_stdout(io.StringIO()) if alone else contextlib.nullcontext():
            model, seconds = network_of(cell, digits, images)
            start = perf_counter()
            predicted = answers(cell, model, digits).argmax(axis=1).astype(np.uint8)
        return {"predicted": predicted, "seconds": np.array(seconds + perf_counter() - start)}

    return _kept(cell, digits, images, make)


def network_of(cell: Cell, digits: Digits, images: int) -> tuple[keras.Sequential, float]:
    """Return the network that answers for a cell, and the seconds that training took after the float network's own."""
    # The network may have been trained before: notebook 07 keeps some of the same networks.
    settings = {"seed": cell.seed, "images": int(images)}
    if cell.method == "float, tuned":
        model = qat.fine_tuned(cell.network, digits, **settings)
    elif cell.method in QAT:
        bits = cell.weight_bits, cell.activation_bits
        model = qat.trained(cell.network, digits, *bits, QAT[cell.method], **settings).model
    else:
        return trained(cell.network, digits, cell.seed), 0.0
    return model, model.seconds


def answers(cell: Cell, model: keras.Sequential, digits: Digits) -> np.ndarray:
    """Return probabilities for the test images, float32 (n, 10): the network's, or after PTQ by the cell's method."""
    if cell.method not in PTQ:
        return predict(model, digits.x_test)
    simulation, method = simulate.Simulation(model, digits.x_train[: qat.CALIBRATION_IMAGES]), PTQ[cell.method]
    bits = cell.weight_bits, cell.activation_bits
    return simulation.quantized(*bits, weight_method=method, activation_method=method).predict(digits.x_test)


def kept_path(cell: Cell, digits: Digits, images: int = qat.IMAGES) -> Path:
    """Return where a cell is kept: another file for everything that could change it."""
    others = simulate.VERSION, qat.VERSION, version("tensorflow-model-optimization")
    network = recipe.kept_path(cell.network, digits, cell.seed).name
    images = int(images) if cell.method in TRAINING else 0
    made_from = key(VERSION, others=others, network=network, cell=astuple(cell), images=images)
    return data_home() / "study" / f"{made_from}.npz"


def _kept(cell: Cell, digits: Digits, images: int, make) -> Arrays:
    like = {"predicted": np.empty(len(digits.y_test), np.uint8), "seconds": np.empty(())}
    path = kept_path(cell, digits, images)
    return kept(path, make, what=str(cell), accept=lambda arrays: check_like(arrays, like, str(cell)))
