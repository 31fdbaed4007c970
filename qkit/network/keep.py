"""Models kept in ``data/networks/`` as arrays: what :func:`qkit.network.trained` does for any Keras model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, kept_arrays
from qkit.network import recipe
from qkit.network.backend import keras
from qkit.network.cnn import compile_for_digits, validation_images


def arrays_of(model: "keras.Sequential") -> Arrays:
    """Return weights and curves. Weights by place: the names that tfmot gives count the models made before."""
    arrays = {f"weight/{place}": array for place, array in enumerate(model.get_weights())}
    return arrays | {f"curve/{curve}": np.array(model.curves[curve]) for curve in recipe.CURVES}


def kept(
    model: "keras.Sequential", path: Path, make: Callable[[], Arrays], *, what: str, digits: Digits, epochs: int
) -> Arrays:
    """Give ``model`` the weights and curves kept at ``path``; where there are none, make them once and keep them.

    Parameters
    ----------
    model : keras.Sequential
        Of the layers whose weights are kept.
    path : Path
        The ``.npz`` file.
    make : callable
        Trains, and returns :func:`arrays_of` the result, and more if need be.
    what : str
        The name of the thing, for messages.
    digits : Digits
    epochs : int
        How many numbers each curve has.

    Returns
    -------
    dict of str to ndarray
        All of the file.

    Raises
    ------
    ValueError
        If ``epochs`` is less than 1.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1 for a network to be kept, got {epochs}")
    shapes = {f"weight/{place}": array.shape for place, array in enumerate(model.get_weights())}
    wanted = shapes | {f"curve/{curve}": (epochs,) for curve in recipe.CURVES}

    def accept(arrays: Arrays) -> None:
        if wanted.items() - {(name, array.shape) for name, array in arrays.items()}:
            raise ValueError(f"The file kept for {what} does not hold its weights.")
        if not all(np.all(np.isfinite(array)) for array in arrays.values()):
            raise ValueError(f"The file kept for {what} holds numbers that are not finite.")

    def say_and_make() -> Arrays:
        print(f"Training on {digits.name}: {what}", flush=True)
        return make()

    arrays = kept_arrays(path, say_and_make, what=what, accept=accept)
    model.set_weights([arrays[name] for name in shapes])
    compile_for_digits(model)
    model.curves = {curve: arrays[f"curve/{curve}"].tolist() for curve in recipe.CURVES}
    accuracy = model.curves["val_accuracy"][-1]
    print(f"{what}: {accuracy:.2%} of {validation_images(digits):,} validation images right")
    return arrays
