"""PTQ against QAT as an experiment: every network, method, number of bits and seed is measured once, and kept.

Everything starts from the same trained networks and ends on the same test images; the methods that train go on for
the same number of steps. What is kept are the answers, image by image: so any two methods can be compared on the
images where they differ.
"""

import contextlib
import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from qkit.digits import Digits
from qkit.keeping import Arrays, data_home, kept_arrays, progress
from qkit.network import qat
from qkit.network.accuracy import Accuracy, Paired
from qkit.network.cnn import predict, train, trained
from qkit.network.recipe import layers_of
from qkit.network.simulate import Simulation
from qkit.numeric import thresholds

FLOAT_BITS = 32


@dataclass(frozen=True, order=True)
class Cell:
    """One thing to measure: a ``network``, quantized by a ``method`` to so many bits, from the training with ``seed``.

    Methods that leave the network in float have 32 bits.
    """

    network: str
    method: str
    weight_bits: int
    activation_bits: int
    seed: int = 0


def _as_trained(cell: Cell, model, digits: Digits, images: int) -> np.ndarray:
    return predict(model, digits.x_test)


def _tuned(cell: Cell, model, digits: Digits, images: int) -> np.ndarray:
    train(model, digits, epochs=1, seed=cell.seed, images=images, learning_rate=qat.LEARNING_RATE)
    return predict(model, digits.x_test)


def _ptq(method: Callable) -> Callable:
    def predictions(cell: Cell, model, digits: Digits, images: int) -> np.ndarray:
        simulation = Simulation(model, digits.x_train[: qat.CALIBRATION_IMAGES])
        network = simulation.quantized(
            cell.weight_bits, cell.activation_bits, weight_method=method, activation_method=method
        )
        return network.predict(digits.x_test)

    return predictions


def _qat(method: str) -> Callable:
    def predictions(cell: Cell, model, digits: Digits, images: int) -> np.ndarray:
        bits = cell.weight_bits, cell.activation_bits
        network = qat.train(model, digits, *bits, method, seed=cell.seed, images=images)
        return network.predict(digits.x_test)

    return predictions


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "float": _as_trained,
    "float, tuned": _tuned,
    "PTQ MinMax": _ptq(thresholds.minmax),
    "PTQ MSE": _ptq(thresholds.mse),
    "QAT plain": _qat("plain"),
    "QAT LSQ": _qat("lsq"),
}
"""What turns a trained network into answers for the test images. ``float, tuned`` is the control: training goes on
with the images and for the steps of QAT, but without quantization: nobody shall take the gain of more training for
QAT's. (Its learning rate is QAT's at 8 bits; at 4 and fewer QAT has a higher one.) Each gets a cell, the network, the
digits, and how many images to go on with."""
TRAINING = ("float, tuned", "QAT plain", "QAT LSQ")
"""The methods that go on training."""


def cells(
    networks: Iterable[str] = ("shallow", "deep"),
    methods: Iterable[str] = tuple(METHODS),
    bits: Iterable[int | tuple[int, int]] = (8, 4, 3, 2),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return all combinations, each once.

    Parameters
    ----------
    networks, methods, seeds
    bits : iterable of int, or of (weight bits, activation bits)

    Raises
    ------
    ValueError
        If a network or a method is unknown, or bits are not from 2 to 8.
    """
    methods, pairs = list(methods), [(each, each) if np.ndim(each) == 0 else tuple(each) for each in bits]
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    for pair in pairs:
        if len(pair) != 2 or not all(each in range(2, 9) for each in pair):
            raise ValueError(f"bits must be integers from 2 to 8, or pairs of them, got {pair}")
    networks = list(networks)
    for network in networks:
        layers_of(network)
    every = [
        Cell(network, method, int(pair[0]), int(pair[1]), seed)
        for network in networks
        for method in methods
        for pair in ([(FLOAT_BITS, FLOAT_BITS)] if method.startswith("float") else pairs)
        for seed in seeds
    ]
    return list(dict.fromkeys(every))


@dataclass(frozen=True)
class Results:
    """What was measured.

    Attributes
    ----------
    labels : ndarray of uint8, shape (n,)
        Of the test images.
    predicted : dict of Cell to ndarray of uint8, shape (n,)
        The digit that each image was taken for.
    seconds : dict of Cell to float
        What it took, training included where there is some, from the trained float network on.
    """

    labels: np.ndarray
    predicted: dict[Cell, np.ndarray]
    seconds: dict[Cell, float]

    def accuracy(self, cell: Cell) -> Accuracy:
        """Return how often one cell is right."""
        return Accuracy.of(self.predicted[cell], self.labels)

    def paired(self, first: Cell, second: Cell) -> Paired:
        """Compare two cells image by image."""
        return Paired.of(self.predicted[first], self.predicted[second], self.labels)

    def table(self) -> pd.DataFrame:
        """Return a row for every cell: what it is, ``accuracy``, the ends ``low`` and ``high`` of its 95 % interval,
        and ``seconds``.
        """
        rows = []
        for cell in self.predicted:
            accuracy = self.accuracy(cell)
            low, high = accuracy.interval
            rows.append(
                {**vars(cell), "accuracy": accuracy.value, "low": low, "high": high, "seconds": self.seconds[cell]}
            )
        return pd.DataFrame(rows)


def run(cells: Iterable[Cell], digits: Digits, executor: Executor | None = None, images: int = qat.IMAGES) -> Results:
    """Measure every cell that has not been measured before, and return all.

    What is finished is kept in ``data/study/``: a run that was interrupted, or is widened, goes on where it was.

    Parameters
    ----------
    cells
        From :func:`cells`.
    digits : Digits
    executor : concurrent.futures.Executor, optional
        Where to measure: by default here, one after the other. A ``ProcessPoolExecutor`` must start new processes
        (``mp_context=multiprocessing.get_context("spawn")``), because TensorFlow does not survive a fork. A Dask
        cluster's is ``client.get_executor()``; its machines must see the file of the digits.
    images : int
        Methods that train go on with so many training images, each once.
    """
    cells = list(cells)
    found: dict[Cell, Arrays] = {}
    with contextlib.closing(progress(total=len(cells), description="study", unit=" cells")) as bar:
        if executor is None:
            for cell in cells:
                bar.set_postfix_str(
                    f"{cell.network}, {cell.method}, W{cell.weight_bits} A{cell.activation_bits}, seed {cell.seed}"
                )
                found[cell] = measure(cell, digits, images)
                bar.update(1)
        else:
            futures = {executor.submit(measure, cell, digits, images): cell for cell in cells}
            try:
                for future in as_completed(futures):
                    cell = futures[future]
                    # A machine of a cluster keeps its results on its own disk; here they are kept again.
                    found[cell] = _kept(cell, digits, images, future.result)
                    bar.update(1)
            finally:
                for future in futures:
                    future.cancel()
    return Results(
        digits.y_test,
        {cell: found[cell]["predicted"] for cell in cells},
        {cell: float(found[cell]["seconds"]) for cell in cells},
    )


def measure(cell: Cell, digits: Digits, images: int = qat.IMAGES) -> Arrays:
    """Return ``predicted``, uint8 (n,), and ``seconds`` of one cell: kept ones, else measured now."""

    def make() -> Arrays:
        # A study has one progress bar, not one for each network in it. Standard output belongs to all threads.
        alone = threading.current_thread() is threading.main_thread()
        with contextlib.redirect_stdout(io.StringIO()) if alone else contextlib.nullcontext():
            model = trained(cell.network, digits, cell.seed)
            start = perf_counter()
            probabilities = METHODS[cell.method](cell, model, digits, images)
        return {
            "predicted": probabilities.argmax(axis=1).astype(np.uint8),
            "seconds": np.array(perf_counter() - start),
        }

    return _kept(cell, digits, images, make)


def _kept(cell: Cell, digits: Digits, images: int, make: Callable[[], Arrays]) -> Arrays:
    def check(arrays: Arrays) -> None:
        if arrays.keys() != {"predicted", "seconds"} or arrays["predicted"].shape != digits.y_test.shape:
            raise ValueError(f"The file kept for {cell} does not hold its answers.")

    return kept_arrays(kept_path(cell, digits, images), make, what=f"{cell}", accept=check)


def kept_path(cell: Cell, digits: Digits, images: int = qat.IMAGES) -> Path:
    """Return where a cell is kept: another file for everything that could change it, any line of code included."""
    trained_on = int(images) if cell.method in TRAINING else 0
    key = hashlib.sha256(repr([_CODE, cell, digits.fingerprint, trained_on]).encode())
    return data_home() / "study" / f"{key.hexdigest()[:16]}.npz"


def _code() -> str:
    """Return what tells this code and these libraries from others."""
    here, key = Path(__file__).parent, hashlib.sha256()
    for module in sorted([*here.glob("*.py"), *here.with_name("numeric").glob("*.py")]):
        key.update(module.read_bytes())
    for library in ("tensorflow", "tf_keras", "tensorflow-model-optimization"):
        key.update(version(library).encode())
    return key.hexdigest()


_CODE = _code()
"""As it was when it was loaded: what is measured after an edit, by the code from before it, is the old code's."""
