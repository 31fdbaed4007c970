"""A simulation without a network: it answers what an explorer asks at once, and TensorFlow loads when it does."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from qkit.numeric import Accuracy, thresholds


class FakeSimulation:
    """Stands in for ``qkit.network.Simulation``, and records what is asked of it."""

    layers = "conv1", "dense1"

    def __init__(self):
        self.settings, self.measured = [], []

    def quantized(self, weight_bits=8, activation_bits=8, **more):
        self.settings.append((weight_bits, activation_bits, more))
        in_float = more.get("in_float", ())
        kernels = {name: weight_bits for name in self.layers if weight_bits and name not in in_float}
        activations = {name: activation_bits for name in self.layers if activation_bits and name not in in_float}
        methods = more.get("weight_method"), more.get("activation_method")
        worse = sum(method is not thresholds.mse for method in methods) + (not more.get("per_channel", True))
        return FakeNetwork(kernels, activations, worse, self.measured)


@dataclass(frozen=True)
class FakeNetwork:
    """Each bit below 9 costs a layer 6 dB, and one answer in a hundred."""

    kernels: dict[str, int]
    activations: dict[str, int]
    worse: int
    measured: list

    @property
    def bytes(self):
        return 40_000 - 5_000 * len(self.kernels) + 500 * sum(self.kernels.values())

    def outputs(self, images):
        return images[:, 0, 0]

    def measure(self, images, labels, in_float):
        from qkit.network.simulate import Measured

        np.testing.assert_array_equal(in_float, images[:, 0, 0])
        self.measured.append((images[:, 0, 0], labels))
        missing = {
            name: 18 - self.kernels.get(name, 9) - self.activations.get(name, 9) for name in FakeSimulation.layers
        }
        wrong = len(labels) * (1 + sum(missing.values()) + self.worse) // 100
        return Measured(
            Accuracy(len(labels) - wrong, len(labels)),
            Accuracy(len(labels) * 99 // 100, len(labels)),
            wrong // 2,
            wrong / 4,
            {"image": (1.0, 0.0)} | {name: (1.0, 0.25 ** (10 - bits)) for name, bits in missing.items()},
        )


class FakeTreatments:
    """Stands in for ``qkit.network.repair.treatments``: channels lie far apart until the network is equalized."""

    def __init__(self):
        self.settings = []

    def __call__(self, weight_bits, activation_bits, equalized=False, **more):
        if weight_bits is None:
            return FakeTreated(0, 9, equalized)
        self.settings.append({**more, "weight_bits": weight_bits, "activation_bits": activation_bits})
        other = FakeSimulation.layers.index(more["layer"]) + 9 - more["layer_bits"] if more["layer"] else 0
        chosen = (more["scales"] == "minmax") + 2 * (more["rounding"] == "nearest")
        missing = 18 - weight_bits - activation_bits + other + chosen - more["corrected"] - more["per_channel"]
        bits = {name: more["layer_bits"] if name == more["layer"] else weight_bits for name in FakeSimulation.layers}
        width = 1.0 if more["scales"] == "minmax" else 0.5
        grids = {name: SimpleNamespace(scale=width / (2 ** (each - 1) - 1)) for name, each in bits.items()}
        return FakeTreated(missing, weight_bits, equalized, grids)


@dataclass(frozen=True)
class FakeTreated:
    """Hands on channels of 1 and of 1, or a thousandth, and a dead one; each missing bit costs a layer 3 dB."""

    missing: int
    bits: int
    equalized: bool
    kernels: dict[str, SimpleNamespace] | None = None

    @property
    def bytes(self):
        return 1_000 * self.bits

    @property
    def weights(self):
        kernel = np.array([[1.0, 1.0 if self.equalized else 0.001, 0.0]])
        return {name: SimpleNamespace(kernel=kernel) for name in FakeSimulation.layers}

    def outputs(self, images):
        return [[each[:, :1, :1], *[self.weights["conv1"].kernel] * 2] for each in np.array_split(images, 2)]

    def measure(self, images, labels, in_float):
        from qkit.network.simulate import Measured

        for batch, expected in zip(in_float, FakeTreated(0, 9, self.equalized).outputs(images), strict=True):
            np.testing.assert_equal(batch, expected)
        wrong = self.missing * (1 if self.equalized else 10)
        lost = {"conv1": (1.0, 0.5 ** (20 - self.missing)), "dense1": (1.0, 0.5 ** (18 - self.missing))}
        right = Accuracy(len(labels) - wrong, len(labels))
        return Measured(right, Accuracy(len(labels), len(labels)), wrong, wrong, {"image": (1.0, 0.0)} | lost)


def fake_digits(count):
    """Images that carry their number in the first pixel, and labels that say it too."""
    images = np.zeros((count, 28, 28), np.int64)
    images[:, 0, 0] = np.arange(count)
    return images, np.arange(count)
