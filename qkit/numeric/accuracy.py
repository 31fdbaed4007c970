"""How often a network is right, whether another is right more often, and how far to trust those numbers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Accuracy:
    """``correct`` right answers out of ``total``."""

    correct: int
    total: int

    @classmethod
    def of(cls, predicted: np.ndarray, labels: np.ndarray) -> "Accuracy":
        """Count where ``predicted`` (n,) equals ``labels`` (n,).

        Raises
        ------
        ValueError
            If the shapes differ, or there is nothing to count.
        """
        right = _right(predicted, labels)
        return cls(int(right.sum()), len(right))

    def merge(self, other: "Accuracy") -> "Accuracy":
        """Return the accuracy on both together, which are different images."""
        return Accuracy(self.correct + other.correct, self.total + other.total)

    @property
    def value(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % confidence interval for the accuracy on ever more images of the same kind.

        References
        ----------
        E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
        """
        # Here, not above: it takes longer to load than all of qkit, and not every notebook needs it.
        from scipy.stats import binomtest

        interval = binomtest(self.correct, self.total).proportion_ci(0.95, method="wilson")
        return interval.low, interval.high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2%} (95 % interval {low:.2%} to {high:.2%}, {self.total:,} images)"

    def __format__(self, spec: str) -> str:
        """Format the share, as in ``f"{accuracy:.2%}"``; without a format, say all."""
        return format(self.value, spec) if spec else str(self)


@dataclass(frozen=True)
class Paired:
    """Two networks on the same ``total`` images: how many ``only_first`` gets right, and how many ``only_second``."""

    only_first: int
    only_second: int
    total: int

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> "Paired":
        """Count the images that only one of two predictions (n,) gets right.

        Raises
        ------
        ValueError
            If the shapes differ, or there is nothing to count.
        """
        one, other = _right(first, labels), _right(second, labels)
        return cls(int(np.sum(one & ~other)), int(np.sum(other & ~one)), len(one))

    @property
    def gain(self) -> float:
        """The accuracy of the second minus that of the first, -1 to 1."""
        return (self.only_second - self.only_first) / self.total

    @property
    def p_value(self) -> float:
        """McNemar's exact test: how likely so uneven a split is if neither network is better.

        Images that both get right, or both wrong, say nothing about which is better. Of the others each network
        should win half: a two-sided binomial test.

        References
        ----------
        Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
        Psychometrika 12 (1947).
        """
        from scipy.stats import binomtest

        disagreements = self.only_first + self.only_second
        return float(binomtest(self.only_second, disagreements).pvalue) if disagreements else 1.0

    def __str__(self) -> str:
        p_value = f"= {self.p_value:.2g}" if self.p_value >= 1e-6 else "< 0.000001"
        verdict = "no difference shown" if self.p_value >= 0.05 else "a difference"
        return (
            f"{100 * self.gain:+.2f} points: only the first right {self.only_first}, only the second "
            f"{self.only_second}; p {p_value}, {verdict}"
        )


def _right(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(
            f"predicted and labels must be two lists of the same length, got shapes {predicted.shape} and "
            f"{labels.shape}. Probabilities of shape (n, 10) become predictions by .argmax(axis=1)."
        )
    return predicted == labels
