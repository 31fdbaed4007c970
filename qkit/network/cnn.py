"""The two digit classifiers of the course: built, trained once, kept.

``shallow`` is Conv32-Pool-Dense10 and ``deep`` is Conv32-Pool-Conv64-Pool-Dense128-Dense10, as in the
articles that the course grew from.
"""

import hashlib
import json

import numpy as np

from qkit.digits import Digits
from qkit.network.backend import THREADS, keras, tf
from qkit.progress import progress
from qkit.storage import Arrays, data_home, kept_arrays

NETWORKS = ("shallow", "deep")
EPOCHS = 4
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
VALIDATION_IMAGES = 5_000


def build(name: str, seed: int = 0) -> "keras.Sequential":
    """Return an untrained network for images (n, 28, 28, 1) in [0, 1]; it answers probabilities (n, 10).

    Raises
    ------
    ValueError
        If ``name`` is neither ``"shallow"`` nor ``"deep"``.
    """
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, got {name!r}")
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    middle = [
        layers.Conv2D(64, 3, activation="relu", name="conv2"),
        layers.MaxPooling2D(name="pool2"),
        layers.Flatten(name="flatten"),
        layers.Dense(128, activation="relu", name="dense1"),
    ]
    return keras.Sequential(
        [
            layers.Input((28, 28, 1), name="image"),
            layers.Conv2D(32, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            *(middle if name == "deep" else [layers.Flatten(name="flatten")]),
            layers.Dense(10, activation="softmax", name="dense2" if name == "deep" else "dense1"),
        ],
        name=name,
    )


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
    recipe = {
        "network": [layer.get_config() for layer in model.layers],
        "digits": digits.fingerprint,
        "training": [epochs, BATCH_SIZE, LEARNING_RATE, VALIDATION_IMAGES, seed, THREADS],
        "versions": [tf.__version__, keras.__version__],
    }
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True, default=str).encode()).hexdigest()[:12]
    shapes = [weights.shape for weights in model.get_weights()]

    def make() -> Arrays:
        print(f"Training {name} on {digits.name}.", flush=True)
        train(model, digits, epochs, seed)
        weights = {f"weights_{index}": array for index, array in enumerate(model.get_weights())}
        return weights | {f"curve_{key}": np.array(values) for key, values in model.curves.items()}

    def accept(arrays: Arrays) -> None:
        if [array.shape for array in _with_prefix("weights_", arrays).values()] != shapes:
            raise ValueError(f"The file kept for {name} does not hold its weights.")

    path = data_home() / "networks" / f"{name}-{key}.npz"
    arrays = kept_arrays(path, make, what=f"the {name} network", accept=accept)
    model.set_weights(list(_with_prefix("weights_", arrays).values()))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.curves = {key: values.tolist() for key, values in _with_prefix("curve_", arrays).items()}
    accuracy = model.curves["val_accuracy"][-1]
    print(f"{name}, trained on {digits.name}: {accuracy:.2%} of {VALIDATION_IMAGES:,} validation images right")
    return model


def predict(model: "keras.Sequential", images: np.ndarray) -> np.ndarray:
    """Return the probabilities, float32 (n, 10), for grey levels (n, 28, 28)."""
    parts = [model(as_input(images[start : start + 500]), training=False) for start in range(0, len(images), 500)]
    return np.concatenate(parts)


def _with_prefix(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


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
