"""The digit classifiers of the course: built, trained once and kept, asked for answers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from qkit.digits import Digits
from qkit.keeping import Arrays, check_like, kept, progress
from qkit.network import recipe
from qkit.network.backend import keras, tf
from qkit.network.chain import ends_in_softmax, image_shape, kernel_of, outputs_last
from qkit.network.recipe import CURVES, EPOCHS, LEARNING_RATE, Shape, as_input, check_images, input_batches, to_keep

PREDICT_BATCH = 500


def build(name: str, seed: int = 0) -> keras.Sequential:
    """Return an untrained network: images (n, 28, 28, 1), 0 to 1, to probabilities.

    ``"shallow"``, ``"deep"`` and ``"small"`` are plain; ``"separable"`` has depthwise convolutions and
    BatchNormalization.
    """
    layers = [keras.layers.Input((28, 28, 1), name="image")]
    for place, (layer, size) in enumerate(recipe.layers_of(name)):
        # Seeds of their own, because a global one would also reset the random numbers of whoever calls this.
        initializer = keras.initializers.GlorotUniform(1000 * seed + place)
        l2 = keras.regularizers.L2(recipe.TRAINING[name].l2)
        plain = {"activation": "relu", "kernel_initializer": initializer, "name": layer}
        normalized = {"padding": "same", "use_bias": False, "name": layer}
        match layer.rstrip("0123456789"):
            case "pool":
                layers.append(keras.layers.MaxPooling2D(size, name=layer))
            case "mean":
                layers.append(keras.layers.GlobalAveragePooling2D(name=layer))
            case "dense":
                if isinstance(layers[-1], keras.layers.MaxPooling2D):
                    layers.append(keras.layers.Flatten(name="flatten"))
                layers.append(keras.layers.Dense(size, **plain))
            case "conv" if name != "separable":
                layers.append(keras.layers.Conv2D(size, 3, **plain))
            case "depthwise":
                of_depth = {"depthwise_initializer": initializer, "depthwise_regularizer": l2}
                layers.append(keras.layers.DepthwiseConv2D(3, size, **normalized, **of_depth))
            case kind:
                side, stride = (3, 2) if kind == "conv" else (1, 1)
                of_kernel = {"kernel_initializer": initializer, "kernel_regularizer": l2}
                layers.append(keras.layers.Conv2D(size, side, stride, **normalized, **of_kernel))
        if not getattr(layers[-1], "use_bias", True):
            layers.append(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{layer}_norm"))
            layers.append(keras.layers.ReLU(name=f"{layer}_relu"))
    layers[-1].activation = keras.activations.softmax
    return keras.Sequential(layers, name=name)


def layer_costs(model: keras.Sequential) -> pd.DataFrame:
    """Return a row for every layer of a ``Sequential`` model. Taught in notebook 01, section 3.

    Columns: ``output`` (shape for one image), ``parameters``, ``multiply-accumulates`` (for one image; 0 for
    layers that only move, compare or average numbers), ``bytes`` (the parameters as float32).
    """
    rows = {}
    for layer in model.layers:
        output, kernel = layer.output_shape[1:], kernel_of(layer)
        # Each output number is a dot product with all weights of its channel; or a factor and a shift make it.
        products = 1 if isinstance(layer, keras.layers.BatchNormalization) else 0
        if kernel is not None:
            products = math.prod(outputs_last(layer, kernel.numpy()).shape[:-1])
        rows[layer.name] = {
            "output": " × ".join(f"{side:,}" for side in output),
            "parameters": layer.count_params(),
            "multiply-accumulates": products * math.prod(output),
            "bytes": 4 * layer.count_params(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def train(
    model: keras.Sequential,
    digits: Digits,
    epochs: int = EPOCHS,
    seed: int = 0,
    images: int | None = None,
    learning_rate: float = LEARNING_RATE,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    momentum: float = 0.0,
) -> None:
    """Train on all but the last 5,000 training images (a tenth, if there are few), and watch the accuracy on those.

    Adam (or SGD, where it has a ``momentum``) on the cross-entropy, batches of 128, the learning rate falling from
    ``learning_rate`` to 0 along a cosine. The ``seed`` decides the order of the images, of which only the first so many
    are used if ``images`` says so. Afterwards ``model.curves`` holds ``loss``, ``accuracy``, ``val_loss`` and
    ``val_accuracy``, one number an epoch: Keras's own ``model.history`` is soon empty again. A ValueError if there are
    fewer than ten training images, ``images`` is not from 1 to those that are left, or a label is not a class's number.
    """
    held_out = validation_images(digits)
    if held_out == 0:
        raise ValueError(f"at least ten training images are needed, got {len(digits.x_train)}")
    available = len(digits.x_train) - held_out
    images = available if images is None else images
    if not 1 <= images <= available:
        raise ValueError(f"images must be from 1 to the {available:,} training images of {digits.name}, got {images:,}")
    shape = image_shape(model)
    if not model.built:  # made of another model's layers
        model.build((None, *shape))
    labels = checked_labels(digits, model)
    to_learn = batches(digits.x_train[:images], labels[:images], shape, np.random.default_rng(seed))
    to_watch = batches(digits.x_train[-held_out:], labels[-held_out:], shape)
    steps = epochs * len(to_learn)
    compile_for_digits(model, keras.optimizers.schedules.CosineDecay(learning_rate, steps), momentum)
    with progress(total=steps, desc=f"training {model.name}", unit=" batches") as bar:
        if bar.disable:
            print(f"Training {model.name} on {digits.name}.", flush=True)
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: bar.update())
        model.fit(to_learn, epochs=epochs, validation_data=to_watch, verbose=0, callbacks=[count, *callbacks])
    model.curves = model.history.history


def trained(name: str, digits: Digits, seed: int = 0, epochs: int | None = None, say: bool = True) -> keras.Sequential:
    """Return the network, trained: from ``data/networks/`` when it has been trained before, else trained now.

    What is kept depends on all that could change it: digits, settings, versions of libraries and of this code. How good
    it is, is said in a line, unless ``say`` is false. Taught in notebook 01, section 3.
    """
    model, what = build(name, seed), f"{name}, trained on {digits.name}"
    training = recipe.TRAINING[name]
    epochs = training.epochs if epochs is None else epochs

    def make() -> Arrays:
        train(model, digits, epochs, seed, None, training.learning_rate, (), training.momentum)
        return to_keep(model.get_weights(), model.curves)

    kept_model(model, recipe.kept_path(name, digits, seed, epochs), make, what, digits, epochs, say=say)
    return model


def predict(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """Return what a network answers, float32 (n, classes); ours: the probabilities of ten digits.

    Images are grey levels from 0 to 255, uint8 (n, 28, 28), or of whatever shape the network takes; or what it takes
    itself, floats (n, 28, 28, 1), for ours 0 to 1. Other shapes and types are a ValueError.
    """
    batches, forward = input_batches(images, image_shape(model), PREDICT_BATCH), partial(model, training=False)
    if len(images) > PREDICT_BATCH:
        # In two thirds of the time; but to compile takes as long as one batch.
        forward = tf.function(forward, reduce_retracing=True)
    return np.concatenate([forward(batch) for batch in batches]).astype(np.float32, copy=False)


@contextmanager
def kernels_replaced(model: keras.Sequential, kernels: Mapping[str, np.ndarray]) -> Iterator[keras.Sequential]:
    """Give layers other kernels within a ``with`` block; afterwards they have their own again.

    Typically they are ``fake_quantize(kernel, params)``. Where one does not fit, Keras says so, and nothing is changed.
    Taught in notebook 03, section 5.
    """
    with ExitStack() as undo:
        for name, kernel in kernels.items():
            variable = kernel_of(model.get_layer(name))
            if variable is None:
                raise ValueError(f"{name} has no kernel to replace; give those of convolutions and dense layers")
            undo.callback(variable.assign, variable.numpy())
            variable.assign(kernel)
        yield model


def kept_model(
    model: keras.Sequential,
    path: Path,
    make: Callable[[], Arrays],
    what: str,
    digits: Digits,
    epochs: int,
    also: Arrays | None = None,
    say: bool = True,
) -> Arrays:
    """Give a model the weights and curves kept at ``path``, and ``say`` how good it is; return all that is kept.

    Where there is no such file, or one that does not fit, ``make`` trains, and returns what to keep: weights, curves,
    and arrays with the names, shapes and types of ``also``. ``what`` is the name of the thing, for messages.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1 for a network to be kept, got {epochs}")
    like = to_keep(model.get_weights(), dict.fromkeys(CURVES, np.empty(epochs))) | (also or {})
    arrays = kept(path, make, what=what, accept=lambda arrays: check_like(arrays, like, what))
    model.set_weights([arrays[name] for name in like if name.startswith("weight/")])
    compile_for_digits(model)
    model.curves = {curve: arrays[f"curve/{curve}"].tolist() for curve in CURVES}
    if say:
        right = 100 * model.curves["val_accuracy"][-1]
        print(f"{what}: {right:.2f} % of {validation_images(digits):,} validation images right")
    return arrays


def compile_for_digits(model: keras.Sequential, rate=LEARNING_RATE, momentum: float = 0.0) -> None:
    # Not XLA: in TensorFlow 2.21 its fake quantization can be off by a whole step (tensorflow/tensorflow issue 117962).
    optimizer = keras.optimizers.SGD(rate, momentum) if momentum else keras.optimizers.Adam(rate)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not ends_in_softmax(model))
    # With the variables of metric and optimizer there, a training step is traced once; else the first trace makes them.
    accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss, metrics=[accuracy], jit_compile=False)


def checked_labels(digits: Digits, model: keras.Sequential) -> np.ndarray:
    """Return the training labels, integers (n,), each the number of a class of the model; else a ValueError."""
    labels, count, answers = np.asarray(digits.y_train), len(digits.x_train), model.output_shape[1:]
    if labels.shape == (count, 1):  # as keras.datasets has some
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        way_out = "of one-hot labels take .argmax(axis=1), of whole floats .astype(int)"
        raise ValueError(f"y_train must be {count:,} integers, got {labels.dtype} of shape {labels.shape}; {way_out}")
    if answers != (answers[-1],) or labels.min() < 0 or labels.max() >= answers[-1]:
        found = f"labels from {labels.min()} to {labels.max()}"
        raise ValueError(f"{digits.name} have {found}, but for each image this network answers with shape {answers}")
    return labels


def validation_images(digits: Digits) -> int:
    """Return how many training images are held back: 5,000, or a tenth where that is less."""
    return min(recipe.VALIDATION_IMAGES, len(digits.x_train) // 10)


def batches(
    images: np.ndarray, labels: np.ndarray, shape: Shape, rng: np.random.Generator | None = None
) -> tf.data.Dataset:
    """Return images as floats, with their labels, a batch at a time; with an ``rng`` in another order every time."""
    images, order = check_images(images, shape), np.arange(len(images))
    starts = range(0, len(images), recipe.BATCH_SIZE)

    def epoch() -> Iterator[tuple[np.ndarray, np.ndarray]]:  # because all images as floats take 190 MB, twice
        if rng:
            rng.shuffle(order)
        for start in starts:
            these = order[start : start + recipe.BATCH_SIZE]
            yield as_input(images[these], shape), labels[these]

    signature = tf.TensorSpec((None, *shape)), tf.TensorSpec((None, *labels.shape[1:]), labels.dtype)
    data = tf.data.Dataset.from_generator(epoch, output_signature=signature)
    # TensorFlow would look for a better number of threads in the background, and end up to five seconds after the data.
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.apply(tf.data.experimental.assert_cardinality(len(starts))).with_options(options)
