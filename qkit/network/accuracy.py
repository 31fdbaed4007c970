"""How often a network is right, and how far to trust that number."""

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
        predicted, labels = np.asarray(predicted), np.asarray(labels)
        if predicted.shape != labels.shape or labels.ndim != 1 or len(labels) == 0:
            raise ValueError(
                f"predicted and labels must be two lists of the same length, got shapes {predicted.shape} and "
                f"{labels.shape}. Probabilities of shape (n, 10) become predictions by .argmax(axis=1)."
            )
        return cls(int(np.sum(predicted == labels)), len(labels))

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
