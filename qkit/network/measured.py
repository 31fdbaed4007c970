"""What is found when a quantized network answers the same images as the float one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qkit.network.accuracy import Accuracy


@dataclass(frozen=True)
class Measured:
    """A quantized network beside the float one, on the same images.

    Attributes
    ----------
    accuracy, float_accuracy : Accuracy
    changed : int
        How many images the two answer differently: a right answer that is now wrong, and a wrong one that is now
        right, cancel in the accuracy, but not here.
    energies : dict of str to (float, float)
        Of the image, and of the output of each layer with weights: half the sum of the float numbers' squares, and
        half that of the differences' squares.
    """

    accuracy: Accuracy
    float_accuracy: Accuracy
    changed: int
    energies: Mapping[str, tuple[float, float]]

    @property
    def sqnr(self) -> dict[str, float]:
        """The SQNR in dB of the image, and of what each layer hands on, errors of the layers before it included.

        After the pool, where there is one; of the last layer, what softmax gets. Infinite where only the rounding of
        float32 is left.
        """
        found = {}
        for name, (signal, noise) in self.energies.items():
            exact = noise <= signal * 2.0**-46
            found[name] = np.inf if exact else float(10 * np.log10(signal / noise)) if signal else -np.inf
        return found

    def merge(self, other: "Measured") -> "Measured":
        """Return what both together measure, on other images each."""
        return Measured(
            self.accuracy.merge(other.accuracy),
            self.float_accuracy.merge(other.float_accuracy),
            self.changed + other.changed,
            {name: tuple(np.add(energy, other.energies[name])) for name, energy in self.energies.items()},
        )
