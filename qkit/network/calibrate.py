"""Calibration: a grid for every tensor of a float network, from its weights and a few images."""

from collections.abc import Callable

import numpy as np

from qkit.network.backend import keras
from qkit.network.simulate import Simulation
from qkit.numeric import QuantParams, Threshold


def calibrated_ranges(
    model: "keras.Sequential",
    images: np.ndarray,
    weight_bits: int,
    activation_bits: int,
    kernel_method: Callable[..., Threshold],
    dense_per_channel: bool,
) -> dict[str, QuantParams]:
    """Choose the grids of ``image``, ``conv1/kernel``, ``conv1``, …, ``logits``: those of :class:`Simulation`.

    Kernels have signed symmetric grids without the lowest integer, those of convolutions one a channel; what ReLU
    returns has unsigned integers and the threshold of the least squared error. The image and the logits (all of
    their ranges) have 8 bits.

    Parameters
    ----------
    model : keras.Sequential
        With softmax at the end, and ReLU after every other layer that has weights.
    images : ndarray of uint8, shape (n, 28, 28)
    weight_bits, activation_bits : int
    kernel_method : function
        One of :mod:`qkit.numeric.thresholds`.
    dense_per_channel : bool
        Whether dense layers, too, have one grid a channel.

    Raises
    ------
    ValueError
        If there is no image, or a layer that cannot be simulated.
    """
    simulation = Simulation(model, images)
    per_tensor, per_channel = (
        simulation.quantized(weight_bits, activation_bits, per_channel=each, weight_method=kernel_method)
        for each in (False, True)
    )
    ranges = dict(per_channel.activations)
    ranges["logits"] = ranges.pop(simulation.layers[-1])
    for name in simulation.layers:
        is_coarse = isinstance(model.get_layer(name), keras.layers.Dense) and not dense_per_channel
        ranges[f"{name}/kernel"] = (per_tensor if is_coarse else per_channel).kernels[name]
    return ranges
