"""How often a network is right: counted on plain arrays, in :mod:`qkit.numeric.accuracy`."""

from qkit.numeric.accuracy import Accuracy, Paired

__all__ = ["Accuracy", "Paired"]
