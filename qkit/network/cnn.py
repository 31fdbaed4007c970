"""The two digit classifiers of the course: built, trained once, kept."""

import numpy as np

from qkit.digits import Digits
from qkit.network import recipe
from qkit.network.backend import keras, tf
from qkit.network.recipe import BATCH_SIZE, EPOCHS, LEARNING_RATE, VALIDATION_IMAGES
from qkit.progress import progress
from qkit.storage import Arrays, kept_arrays


def build(name: str, seed: int = 0) -> "keras.Sequential":
    """Return an untrained network for images (n, 28, 28, 1) in [0, 1]; it answers probabilities (n, 10).

    Raises
    ------
    ValueError
        If ``name`` is neither ``"shallow"`` nor ``"deep"``.
    """
    layers = [_layer(*layer) for layer in recipe.layers_of(name)]
    first_dense = next(place for place, layer in enumerate(layers) if isinstance(layer, keras.layers.Dense))
    layers.insert(first_dense, keras.layers.Flatten(name="flatten"))
    layers[-1].activation = keras.activations.softmax
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.layers.Input((28, 28, 1), name="image"), *layers], name=name)


def as_input(images: np.ndarray) -> np.ndarray:
    """Turn grey levels (n, 28, 28), 0 to 255, into what the networks take: float32 (n, 28, 28, 1), 0 to 1."""
    return images[..., None].astype(np.float32) / 255


def train(model: "keras.Sequential", digits: Digits, epochs: int = EPOCHS, seed: int = 0) -> None:
    """Train on all but the last 5,000 training images, and watch the accuracy on those.

    Adam on the cross-entropy, batches of 128, the learning rate falling from 0.002 to 0 along a cosine.
    Afterwards ``model.curves`` holds ``loss``, ``accuracy``, ``val_loss`` and ``val_accuracy``, one number an
    epoch. (Keras's own ``model.history`` is empty again after the next ``evaluate`` or ``predict``.)
    """
    keras.utils.set_random_seed(seed)
    x, y = digits.x_train[:-VALIDATION_IMAGES], digits.y_train[:-VALIDATION_IMAGES]
    x_validation, y_validation = digits.x_train[-VALIDATION_IMAGES:], digits.y_train[-VALIDATION_IMAGES:]
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed).batch(BATCH_SIZE)
    # Images become floats a batch at a time: all at once they would take 190 MB, twice.
    batches = batches.map(lambda images, labels: (tf.cast(images[..., None], tf.float32) / 255, labels))
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, decay_steps=epochs * len(batches))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        batches,
        epochs=epochs,
        validation_data=(as_input(x_validation), y_validation),
        validation_batch_size=1_000,
        verbose=0,
        callbacks=[_Progress()],
    )
    model.curves = model.history.history


def trained(name: str, digits: Digits, seed: int = 0, epochs: int = EPOCHS) -> "keras.Sequential":
    """Return the network, trained: from ``data/networks/`` when it has been trained before, else trained now.

    What is kept depends on everything that could change it: architecture, digits, settings, library versions.
    Two notebooks that ask at the same time train once; a damaged file is said, and the network trained again.
    """
    model = build(name, seed)

    def make() -> Arrays:
        print(f"Training {name} on {digits.name}.", flush=True)
        train(model, digits, epochs, seed)
        arrays = {f"curve/{key}": np.array(values) for key, values in model.curves.items()}
        for layer in _learning(model):
            arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"] = layer.get_weights()
        return arrays

    def accept(arrays: Arrays) -> None:
        kept = {layer: [array.shape for array in weights] for layer, weights in recipe.weights_in(arrays).items()}
        if kept != {layer.name: [array.shape for array in layer.get_weights()] for layer in _learning(model)}:
            raise ValueError(f"The file kept for {name} does not hold its weights.")

    path = recipe.kept_path(name, digits, seed, epochs)
    arrays = kept_arrays(path, make, what=f"the {name} network", accept=accept)
    for layer, weights in recipe.weights_in(arrays).items():
        model.get_layer(layer).set_weights(weights)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    curves = [key for key in arrays if key.startswith("curve/")]
    model.curves = {key.removeprefix("curve/"): arrays[key].tolist() for key in curves}
    accuracy = model.curves["val_accuracy"][-1]
    print(f"{name}, trained on {digits.name}: {accuracy:.2%} of {VALIDATION_IMAGES:,} validation images right")
    return model


def predict(model: "keras.Sequential", images: np.ndarray) -> np.ndarray:
    """Return the probabilities, float32 (n, 10), for grey levels (n, 28, 28)."""
    parts = [model(as_input(images[start : start + 500]), training=False) for start in range(0, len(images), 500)]
    return np.concatenate(parts)


def _layer(name: str, size: int) -> "keras.layers.Layer":
    kind = name.rstrip("0123456789")
    if kind == "conv":
        return keras.layers.Conv2D(size, 3, activation="relu", name=name)
    if kind == "pool":
        return keras.layers.MaxPooling2D(size, name=name)
    return keras.layers.Dense(size, activation="relu", name=name)


def _learning(model: "keras.Sequential") -> list:
    return [layer for layer in model.layers if layer.get_weights()]


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
