"""Two ways to quantize on the same test images: how often each is right, which images decide, and what is shown."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qkit.numeric.accuracy import Accuracy, Paired
from qkit.show.canvas import Stage, p_value, points
from qkit.show.explorer import Explorer, choice, stops
from qkit.show.explorers.comparison_picture import Parts
from qkit.show.words.explorers import COMPARISON, CONTROLS

UNQUANTIZED = 32, 32
"""The bits that a float network is recorded with; it is compared at all bits."""

MOST_SHOWN = 8


def comparison(results: Any, images: np.ndarray, **start) -> Explorer:
    """Show the accuracies of all methods at some bits, and two of them side by side, image by image.

    Parameters
    ----------
    results
        With ``labels``, (n,), and ``predicted``, a mapping of cells to predictions, (n,). A cell has the attributes
        ``network``, ``method``, ``weight_bits``, ``activation_bits`` and ``seed``; those of a float network are
        recorded with 32 bits each.
    images : ndarray, shape (n, height, width)
        The images that were predicted, from 0, white, to their largest value, black.
    start
        Where the controls start.

    Returns
    -------
    Explorer
        With the controls ``first`` and ``second``, names of methods, and, where there are several, ``network``,
        ``bits``, pairs such as (2, 8) of weight and activation bits, and ``seed``. By default the first method that
        quantizes is compared with the last one, at the fewest bits.

    Raises
    ------
    ValueError
        If there are no predictions, shapes do not agree, or a control does not offer what it should start with.
    """
    measured, images = Measured(results), np.asarray(images)
    if images.ndim != 3 or len(images) != len(measured.labels):
        raise ValueError(f"images must have shape ({len(measured.labels)}, height, width), got {images.shape}")
    stage = Stage(9, 5.9, lambda figure: Parts(figure, images, measured, MOST_SHOWN))
    defaults = {"network": measured.networks[0], "bits": measured.bits[0], "seed": measured.seeds[0]}

    def update(**chosen) -> tuple[bytes, str]:
        compared = measured.compare(**defaults | chosen)
        stage.parts.show(compared)
        return stage.png(), say(compared)

    methods = {method: method for method in measured.methods}
    quantizing = [method for method in methods if method not in measured.unquantized] or list(methods)
    pairs = {pair: COMPARISON["bits"].format(pair) for pair in measured.bits}
    controls = {
        "network": choice(*CONTROLS["network"], defaults["network"], {name: name for name in measured.networks}),
        "bits": stops(*CONTROLS["bits_of_both"], defaults["bits"], pairs),
        "first": choice(*CONTROLS["first"], quantizing[0], methods),
        "second": choice(*CONTROLS["second"], quantizing[-1], methods),
        "seed": choice(*CONTROLS["seed"], defaults["seed"], {seed: str(seed) for seed in measured.seeds}),
    }
    for name, offered in (("network", measured.networks), ("bits", measured.bits), ("seed", measured.seeds)):
        if len(offered) == 1:
            del controls[name]
    return Explorer(controls, update, stage.size, start, lines=3)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two methods at the same bits.

    Attributes
    ----------
    network, bits, seed
        What is compared.
    first, second : str
        The two methods.
    accuracies : dict
        For every method of the network at these bits, and float ones: :class:`Accuracy` by seed.
    paired : dict
        :class:`Paired` of the two methods, by seed.
    p_value : float
        Of McNemar's test of the two, with the chosen seed.
    lost, won : ndarray of int
        The images that only the first, and only the second method gets right.
    classes : ndarray of int, shape (2, classes)
        How many of these there are of each digit: lost, won.
    answers : ndarray of int, shape (3, n)
        Labels, and what the two methods say.
    """

    network: str
    bits: tuple[int, int]
    seed: int
    first: str
    second: str
    accuracies: dict[str, dict[int, Accuracy]]
    paired: dict[int, Paired]
    p_value: float
    lost: np.ndarray
    won: np.ndarray
    classes: np.ndarray
    answers: np.ndarray

    @property
    def test(self) -> Paired:
        """The paired counts of the chosen seed."""
        return self.paired[self.seed]

    @property
    def differs(self) -> bool:
        """Whether the test shows a difference."""
        return self.p_value < 0.05


class Measured:
    """Predictions by network, method, bits and seed."""

    def __init__(self, results: Any) -> None:
        self.labels = np.asarray(results.labels)
        self.predicted = {
            (cell.network, cell.method, (int(cell.weight_bits), int(cell.activation_bits)), int(cell.seed)): predicted
            for cell, predicted in results.predicted.items()
        }
        if not self.predicted:
            raise ValueError("results.predicted must hold the predictions of one network at least, got none")
        self.accuracies = {key: Accuracy.of(predicted, self.labels) for key, predicted in self.predicted.items()}
        networks, methods, bits, seeds = zip(*self.predicted, strict=True)
        self.networks, self.methods = list(dict.fromkeys(networks)), list(dict.fromkeys(methods))
        self.bits = sorted(set(bits) - {UNQUANTIZED}) or [UNQUANTIZED]
        self.seeds = sorted(set(seeds))
        self.unquantized = {method for _, method, pair, _ in self.predicted if pair == UNQUANTIZED}
        self.classes = int(self.labels.max()) + 1

    def compare(self, network: str, bits: tuple[int, int], first: str, second: str, seed: int) -> Comparison:
        """Compare two methods on the images, and say how often all others are right.

        Raises
        ------
        ValueError
            If one of the two has not been measured there.
        """
        keys = {method: self._keys(network, method, bits) for method in self.methods}
        for method in (first, second):
            if seed not in keys[method]:
                where = COMPARISON["bits"].format(bits)
                raise ValueError(f"{method} has not been measured with {network} at {where} bits and seed {seed}")
        accuracies = {
            method: {each: self.accuracies[key] for each, key in of_seed.items()} for method, of_seed in keys.items()
        }
        both = {each: (keys[first][each], keys[second][each]) for each in keys[first] if each in keys[second]}
        pairs = {each: [self.predicted[key] for key in pair] for each, pair in both.items()}
        paired = {each: Paired.of(*pair, self.labels) for each, pair in pairs.items()}
        answers = np.stack([self.labels, *pairs[seed]])
        one, other = answers[1:] == answers[0]
        lost, won = np.flatnonzero(one & ~other), np.flatnonzero(other & ~one)
        classes = np.stack([np.bincount(self.labels[which], minlength=self.classes) for which in (lost, won)])
        return Comparison(
            network, bits, seed, first, second, accuracies, paired, paired[seed].p_value, lost, won, classes, answers
        )

    def _keys(self, network: str, method: str, bits: tuple[int, int]) -> dict[int, tuple]:
        """Return by seed what has been measured at these bits, or without any quantization."""
        keys = [(network, method, pair, seed) for pair in (UNQUANTIZED, bits) for seed in self.seeds]
        return {key[-1]: key for key in keys if key in self.predicted}


def say(compared: Comparison) -> str:
    """Say in words what the picture shows."""
    test, words = compared.test, COMPARISON
    first, second = (compared.accuracies[method][compared.seed] for method in (compared.first, compared.second))
    names = {"first": compared.first, "second": compared.second}
    sentences = [
        words["accuracies"].format(
            network=compared.network,
            weight=compared.bits[0],
            activation=compared.bits[1],
            seed=compared.seed,
            images=first.total,
            of_first=f"{100 * first.value:.2f}",
            of_second=f"{100 * second.value:.2f}",
            **names,
        ),
        words["test"].format(
            gain=points(test.gain),
            won=test.only_second,
            lost=test.only_first,
            p=p_value(compared.p_value),
            verdict=words["differs" if compared.differs else "no_difference"],
            **names,
        ),
    ]
    for words_of, counts in zip(words["most"], compared.classes, strict=True):
        if counts.any():
            sentences.append(words_of.format(digit=counts.argmax(), count=counts.max()))
    if len(compared.paired) > 1:
        gains = ", ".join(points(each.gain) for each in compared.paired.values())
        sentences.append(words["seeds"].format(seeds=", ".join(map(str, compared.paired)), gains=gains))
    return " ".join(sentences)
