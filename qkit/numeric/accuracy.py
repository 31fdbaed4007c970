"""How often a network is right, whether another is right more often, and how far to trust those numbers."""

from dataclasses import dataclass

import numpy as np

from qkit.numeric.affine import float64s, some


@dataclass(frozen=True)
class Accuracy:
    """``correct`` right answers out of ``total``. Taught in notebook 01, section 4.

    >>> print(Accuracy.of([3, 1, 4, 1], [3, 1, 4, 2]))
    75.00 % (95 % interval 30.06 % to 95.44 %, 4 images)
    """

    correct: int
    total: int

    @classmethod
    def of(cls, predicted: np.ndarray, labels: np.ndarray) -> "Accuracy":
        """Count where ``predicted`` (n,) equals ``labels`` (n,)."""
        right = _right(predicted, labels)
        return cls(int(right.sum()), len(right))

    @property
    def value(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval for the accuracy on ever more images of the same kind.

        Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
        """
        # Here, not above: it takes longer to load than all of qkit, and not every notebook needs it.
        from scipy.stats import binomtest

        return binomtest(self.correct, self.total).proportion_ci(0.95, method="wilson")

    def __str__(self) -> str:
        value, low, high = (f"{100 * share:.2f} %" for share in (self.value, *self.interval))
        return f"{value} (95 % interval {low} to {high}, {self.total:,} images)"


@dataclass(frozen=True)
class Paired:
    """Two networks on the same ``total`` images: how many ``only_first`` gets right, and how many ``only_second``.

    Taught in notebook 08, section 4.

    >>> print(Paired.of([1, 2, 0, 0, 5], [1, 0, 3, 4, 5], [1, 2, 3, 4, 5]))
    +20.00 points: only the first right 1, only the second 2; p = 1, no difference shown
    """

    only_first: int
    only_second: int
    total: int

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> "Paired":
        """Count the images that only one of two predictions (n,) gets right."""
        one, other = _right(first, labels), _right(second, labels)
        return cls(int(np.sum(one & ~other)), int(np.sum(other & ~one)), len(one))

    @property
    def gain(self) -> float:
        """The accuracy of the second minus that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """A 95 % confidence interval for the gain on ever more images of the same kind, -1 to 1.

        Of n images the first alone gets b right and the second alone c. Their difference on one image is -1, 0 or 1,
        so the gain (c - b) / n has the standard error √(b + c - (c - b)² / n) / n, and the interval reaches 1.96 of
        them to both sides. Where few differ it is too short, so half an image is added to b, to c, and to those that
        both get right and both wrong: n is 2 more. Source: A. Agresti, Y. Min, "Simple improved confidence intervals
        for comparing matched proportions", Statistics in Medicine 24 (2005). Taught in notebook 14, section 1.
        """
        b, c, n = self.only_first + 0.5, self.only_second + 0.5, self.total + 2
        gain, half = (c - b) / n, 1.96 * (b + c - (c - b) ** 2 / n) ** 0.5 / n
        return max(-1.0, gain - half), min(1.0, gain + half)

    @property
    def p_value(self) -> float:
        """McNemar's exact test: how likely a split at least so uneven is if neither network is better.

        Images that both get right, or both wrong, say nothing about which is better. Of the others each should win
        half: a two-sided binomial test. Source: Q. McNemar, "Note on the sampling error of the difference between
        correlated proportions or percentages", Psychometrika 12 (1947).
        """
        from scipy.stats import binomtest

        disagreements = self.only_first + self.only_second
        return float(binomtest(self.only_second, disagreements).pvalue) if disagreements else 1.0

    def __str__(self) -> str:
        only = f"only the first right {self.only_first}, only the second {self.only_second}"
        p_value = f"= {self.p_value:.2g}" if self.p_value >= 1e-6 else "< 0.000001"
        verdict = "no difference shown" if self.p_value >= 0.05 else "a difference"
        return f"{100 * self.gain:+.2f} points: {only}; p {p_value}, {verdict}"


@dataclass(frozen=True)
class Mean:
    """The mean of a number that each of ``total`` samples has; ``Mean.of(after - before)`` compares in pairs.

    Taught in notebook 11, section 1.

    >>> print(Mean.of([2.0, 4.0, 3.0, 3.0]))
    3.0000 (95 % interval 2.2500 to 3.7500, 4 samples)
    """

    value: float
    interval: tuple[float, float]
    total: int

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Mean":
        """Take the mean of ``numbers`` (n,), and the 95 % interval that the bootstrap gives.

        A thousand times, n of them are drawn with replacement: 95 % of the thousand means lie in the interval. Of few
        numbers it is too short, and fewer than two are a ValueError. Source: Efron 1979, "Bootstrap methods: another
        look at the jackknife", The Annals of Statistics 7(1).
        """
        from scipy.stats import bootstrap

        numbers = float64s(some(numbers, "numbers"))
        if numbers.ndim != 1 or len(numbers) < 2:
            raise ValueError(f"numbers must be a list of at least two, got shape {numbers.shape}")
        draws = bootstrap([numbers], np.mean, n_resamples=1000, method="percentile", random_state=0)
        return cls(float(np.mean(numbers)), tuple(map(float, draws.confidence_interval)), len(numbers))

    def __str__(self) -> str:
        value, low, high = (f"{round(each, 4) + 0.0:.4f}" for each in (self.value, *self.interval))  # never -0
        return f"{value} (95 % interval {low} to {high}, {self.total:,} samples)"


def holm(p_values: np.ndarray, level: float = 0.05) -> np.ndarray:
    """Say which of several differences stand, each shown by a test with a p-value of its own.

    Holm's rule keeps the chance that any of them is wrong below ``level``: sort the m p-values; the i-th, from the
    smallest on, must be below ``level / (m + 1 - i)``, until one is not. That one and all after it do not stand.
    Returns an array of bool, shape (m,), in the order of ``p_values``; a ValueError if they are no list. Source: S.
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979). Taught
    in notebook 08, section 4.

    >>> holm([0.04, 0.01, 0.045])  # 0.01 < 0.05 / 3, but 0.04 > 0.05 / 2: then 0.045 does not stand either
    array([False,  True, False])
    """
    p_values = float64s(p_values, "p_values")
    if p_values.ndim != 1:
        raise ValueError(f"p_values must be a list, got shape {p_values.shape}")
    order = np.argsort(p_values)
    stands = np.logical_and.accumulate(p_values[order] < level / np.arange(len(p_values), 0, -1))
    return stands[np.argsort(order)]


def _right(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
        got = f"shapes {predicted.shape} and {labels.shape}; probabilities become predictions by .argmax(axis=1)"
        raise ValueError(f"predicted and labels must be two lists of the same length, got {got}")
    return predicted == labels
