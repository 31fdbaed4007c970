"""The two digit classifiers of the course: built, trained once, kept."""

from collections.abc import Sequence

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, kept_arrays, progress
from qkit.network import recipe
from qkit.network.backend import keras
from qkit.network.images import check_images
from qkit.network.recipe import BATCH_SIZE, EPOCHS, LEARNING_RATE, VALIDATION_IMAGES


def build(name: str, seed: int = 0) -> "keras.Sequential":
    """Return an untrained network for images (n, 28, 28, 1) in [0, 1]; it answers probabilities (n, 10).

    Raises
    ------
    ValueError
        If ``name`` is neither ``"shallow"`` nor ``"deep"``.
    """
    layers = [_layer(layer, size, 1000 * seed + place) for place, (layer, size) in enumerate(recipe.layers_of(name))]
    first_dense = next(place for place, layer in enumerate(layers) if isinstance(layer, keras.layers.Dense))
    layers.insert(first_dense, keras.layers.Flatten(name="flatten"))
    layers[-1].activation = keras.activations.softmax
    return keras.Sequential([keras.layers.Input((28, 28, 1), name="image"), *layers], name=name)


def as_input(images: np.ndarray) -> np.ndarray:
    """Turn grey levels (n, 28, 28), 0 to 255, into what the networks take: float32 (n, 28, 28, 1), 0 to 1."""
    return images[..., None].astype(np.float32) / 255


def train(
    model: "keras.Sequential",
    digits: Digits,
    epochs: int = EPOCHS,
    seed: int = 0,
    images: int | None = None,
    learning_rate: float = LEARNING_RATE,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
) -> None:
    """Train on all but the last 5,000 training images (a tenth, if there are few), and watch the accuracy on those.

    Adam on the cross-entropy, batches of 128, the learning rate falling from ``learning_rate`` to 0 along a cosine.
    Afterwards ``model.curves`` holds ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, one number an
    epoch. (Keras's own ``model.history`` is empty again after the next ``evaluate`` or ``predict``.)

    Parameters
    ----------
    model : keras.Sequential
    digits : Digits
    epochs, seed : int
        The seed decides the order of the images.
    images : int, optional
        Train on the first so many only.
    learning_rate : float
    callbacks : sequence of keras.callbacks.Callback
        What else happens after every batch.

    Raises
    ------
    ValueError
        If there are fewer than ten training images, or not as many as ``images``.
    """
    held_out = validation_images(digits)
    if held_out == 0:
        raise ValueError(f"at least ten training images are needed, got {len(digits.x_train)}")
    available = len(digits.x_train) - held_out
    images = available if images is None else images
    if not 1 <= images <= available:
        raise ValueError(f"images must be from 1 to the {available:,} training images of {digits.name}, got {images:,}")
    batches = _Batches(digits.x_train[:images], digits.y_train[:images], np.random.default_rng(seed))
    compile_for_digits(model, keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=epochs * len(batches)))
    model.fit(
        batches,
        shuffle=False,
        epochs=epochs,
        validation_data=_Batches(digits.x_train[-held_out:], digits.y_train[-held_out:]),
        verbose=0,
        callbacks=[_Progress(), *callbacks],
    )
    model.curves = model.history.history


def trained(name: str, digits: Digits, seed: int = 0, epochs: int = EPOCHS) -> "keras.Sequential":
    """Return the network, trained: from ``data/networks/`` when it has been trained before, else trained now.

    What is kept depends on everything that could change it: code, digits, settings, library versions. Two
    notebooks that ask at the same time train once; a damaged file is said, and the network trained again.
    """
    model = build(name, seed)

    def make() -> Arrays:
        print(f"Training {name} on {digits.name}.", flush=True)
        train(model, digits, epochs, seed)
        arrays = {f"curve/{curve}": np.array(model.curves[curve]) for curve in recipe.CURVES}
        for layer in model.layers:
            if layer.get_weights():
                arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"] = layer.get_weights()
        return arrays

    arrays = kept_arrays(
        recipe.kept_path(name, digits, seed, epochs),
        make,
        what=f"the {name} network",
        accept=lambda arrays: recipe.check_arrays(name, arrays),
    )
    for layer, weights in recipe.weights_in(arrays).items():
        model.get_layer(layer).set_weights(weights)
    compile_for_digits(model)
    model.curves = {curve: arrays[f"curve/{curve}"].tolist() for curve in recipe.CURVES}
    accuracy = model.curves["val_accuracy"][-1]
    print(f"{name}, trained on {digits.name}: {accuracy:.2%} of {validation_images(digits):,} validation images right")
    return model


def compile_for_digits(model: "keras.Sequential", rate=LEARNING_RATE) -> None:
    """Give a model its optimizer (Adam), loss (cross-entropy) and metric (accuracy)."""
    # Not XLA: its fake quantization can be off by a whole step (tensorflow/tensorflow issue 117962).
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)


def validation_images(digits: Digits) -> int:
    """Return how many training images are held back: 5,000, or a tenth where that is less."""
    return min(VALIDATION_IMAGES, len(digits.x_train) // 10)


def predict(model: "keras.Sequential", images: np.ndarray) -> np.ndarray:
    """Return the probabilities, float32 (n, 10), for grey levels, uint8 (n, 28, 28).

    Raises
    ------
    ValueError
        If there is no image, or the shape or type is another one.
    """
    images = check_images(images)
    parts = [model(as_input(images[start : start + 500]), training=False) for start in range(0, len(images), 500)]
    return np.concatenate(parts)


def _layer(name: str, size: int, seed: int) -> "keras.layers.Layer":
    # Seeds of their own, because a global one would also reset the random numbers of whoever calls this.
    start = keras.initializers.GlorotUniform(seed)
    kind = name.rstrip("0123456789")
    if kind == "conv":
        return keras.layers.Conv2D(size, 3, activation="relu", kernel_initializer=start, name=name)
    if kind == "pool":
        return keras.layers.MaxPooling2D(size, name=name)
    return keras.layers.Dense(size, activation="relu", kernel_initializer=start, name=name)


class _Batches(keras.utils.Sequence):
    """Images as floats, a batch at a time: all at once they would take 190 MB, twice.

    With an ``rng`` they come in another order every epoch.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator | None = None):
        self.images, self.labels, self.rng = images, labels, rng
        self.order = np.arange(len(images))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.images) // BATCH_SIZE)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        these = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        return as_input(self.images[these]), self.labels[these]

    def on_epoch_end(self) -> None:
        if self.rng is not None:
            self.rng.shuffle(self.order)


class _Progress(keras.callbacks.Callback):
    """A bar while an epoch runs, one plain line when it is over."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.bar = progress(total=self.params["steps"], description=f"epoch {epoch + 1}", unit=" batches")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.bar.update(1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.bar.close()
        print(
            f"epoch {epoch + 1} of {self.params['epochs']}: training loss {logs['loss']:.4f}, "
            f"validation accuracy {logs['val_accuracy']:.2%}",
            flush=True,
        )
