"""A network with something wrong in it, for a learner to find: who has not solved it yet stops reading here."""

from qkit.network.backend import keras
from qkit.network.repair import rescaled


def broken(model: keras.Model) -> keras.Sequential:
    """Return the network with a fault: the same answers in float, other ones in int8.

    The solution is :func:`qkit.network.repair.diagnose`'s to give. A ValueError if a layer ends in ReLU6. Asked in
    notebook 09, section 10.
    """
    return rescaled(model, spread=3_000, seed=3)
