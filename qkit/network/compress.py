"""Smaller networks: most weights pruned to 0, few values that weights share, and a small network that imitates.

Each is trained from the trained networks of the course, kept like them, and measured against a control.
"""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from qkit.digits import Digits
from qkit.keeping import Arrays, key, progress
from qkit.network import cnn, recipe
from qkit.network.backend import keras, tf
from qkit.network.chain import image_shape, kernel_of
from qkit.numeric.affine import whole
from qkit.numeric.codebook import MOST, kmeans

# After the backend, which decides for tf_keras.
from tensorflow_model_optimization.clustering import keras as clustering  # isort: skip
from tensorflow_model_optimization.sparsity import keras as sparsity  # isort: skip

VERSION = 1
"""Goes up when the same network, digits and settings give other weights than before: a test says so."""


def shares_below(model: "keras.Sequential", share: float) -> dict[str, float]:
    """Return, by layer, the share of weights whose size is below the one threshold that a ``share`` of all is below.

    So the smallest weights of a network are pruned, wherever they are: the same share of every layer would take from a
    small first layer what it cannot spare. A ValueError if the share is not from 0 to below 1. Taught in notebook 10,
    section 5.
    """
    _check_share(share)
    sizes = {layer.name: np.abs(kernel_of(layer).numpy()) for layer in model.layers if kernel_of(layer) is not None}
    threshold = np.quantile(np.concatenate([size.ravel() for size in sizes.values()]), share)
    return {name: float(np.mean(size < threshold)) for name, size in sizes.items()}


def pruned(name: str, digits: Digits, share: float, seed: int = 0, epochs: int = 1) -> "keras.Sequential":
    """Return the trained network ``name``, trained on while a ``share`` of its weights becomes 0.

    A share s of a layer is reached in tfmot's schedule: after t of the first T batches, 3/10 of the training, the
    smallest s · (1 - (1 - t / T)³) of its weights are 0; those that remain train on in between and afterwards. All
    images are used, with Adam, the learning rate falling from 0.002 to 0. Which share a layer gets,
    :func:`shares_below` says; biases stay. A ``share`` of 0 is the control: the same training, nothing pruned. A
    ValueError if the share is not from 0 to below 1, or leaves a layer without weights, or layers are depthwise.

    Sources: Zhu and Gupta 2017, "To prune, or not to prune", arXiv:1710.01878; Han et al. 2015, "Learning both weights
    and connections for efficient neural networks", arXiv:1506.02626. Taught in notebook 10, section 5.
    """
    _check_layers(name)
    _check_share(share)  # before the network is trained

    def make() -> Arrays:
        network = cnn.trained(name, digits, seed, say=False)
        shares, images = shares_below(network, share), len(digits.x_train) - cnn.validation_images(digits)
        if max(shares.values()) == 1:
            raise ValueError(f"with a share of {share} a layer has no weights left; prune fewer")
        end = max(1, int(0.3 * epochs * images / recipe.BATCH_SIZE))

        def growing(layer: keras.layers.Layer) -> keras.layers.Layer:
            if not shares.get(layer.name):
                return layer
            schedule = sparsity.PolynomialDecay(0.0, shares[layer.name], 0, end, frequency=1)
            return sparsity.prune_low_magnitude(layer, schedule)

        network = keras.models.clone_model(network, clone_function=growing)
        cnn.train(network, digits, epochs, seed, callbacks=[sparsity.UpdatePruningStep()])
        return recipe.to_keep(sparsity.strip_pruning(network).get_weights(), network.curves)

    return _kept(name, digits, seed, epochs, f"{share} of its weights pruned" if share else "trained on", make)


def clustered(name: str, digits: Digits, values: int, seed: int = 0, images: int = 12_000) -> "keras.Sequential":
    """Return the trained network ``name``, trained on while the weights of each layer share so many ``values``.

    They start as those of :func:`qkit.numeric.codebook.kmeans`, which is the control. tfmot trains them and the weights
    behind them: each time, a weight takes the value nearest to it, and the gradient of a value is the sum over the
    weights that share it, as in Han et al. Adam, the learning rate falling from 0.0003 to 0, once on the first so many
    ``images``. A layer of fewer weights stays as it is. A ValueError if ``values`` are not from 2 to 256, or layers are
    depthwise.

    Source: Han et al. 2016, "Deep Compression", arXiv:1510.00149. Taught in notebook 10, section 4.
    """
    _check_layers(name)
    values = whole(values, "values", 2, MOST)

    def make() -> Arrays:
        evenly = clustering.CentroidInitialization.LINEAR
        network = clustering.cluster_weights(cnn.trained(name, digits, seed, say=False), values, evenly)
        for layer in network.layers:
            for weight, centroids in getattr(layer, "cluster_centroids", {}).items():
                kernel = layer.original_clusterable_weights[weight].numpy()
                centroids.assign(kmeans(kernel, values).values)
        cnn.train(network, digits, 1, seed, images, 3e-4)
        return recipe.to_keep(clustering.strip_clustering(network).get_weights(), network.curves)

    return _kept(name, digits, seed, 1, f"{values} values a layer, trained on {images:,} images", make)


def distilled(
    name: str, digits: Digits, teacher: str = "deep", temperature: float = 4.0, seed: int = 0, epochs: int = 4
) -> "keras.Sequential":
    """Return the network ``name`` trained to answer as the trained ``teacher`` does; it never sees a label.

    With the logits z of both divided by a temperature T, so that small probabilities count, what falls is the mean of

        -T² Σ_i p_i log q_i,     p = softmax(z_teacher / T),  q = softmax(z / T).

    The factor T² keeps gradients as large as at T = 1. Images, their order, weights at the start and learning rates are
    those of :func:`qkit.network.trained`, which is the control: the same network, taught by labels. (But
    ``"separable"`` is trained otherwise.)

    A ValueError if the temperature is not from 0.1 to 100, where float32 has digits enough for p. Source: Hinton et al.
    2015, "Distilling the knowledge in a neural network", arXiv:1503.02531. Taught in notebook 10, section 7.
    """
    if not 0.1 <= temperature <= 100:
        raise ValueError(f"temperature must be from 0.1 to 100, got {temperature}")

    def make() -> Arrays:
        student, held_out = cnn.build(name, seed), cnn.validation_images(digits)
        images, shape = digits.x_train[:-held_out], image_shape(student)
        # softmax(z / T) from probabilities: p^(1 / T), made to add up to 1.
        soft = cnn.predict(cnn.trained(teacher, digits, seed, say=False), images) ** (1 / temperature)
        soft /= soft.sum(axis=1, keepdims=True)
        to_learn = cnn.batches(images, soft, shape, np.random.default_rng(seed))
        seen = cnn.batches(images, digits.y_train[:-held_out], shape)
        unseen = cnn.batches(digits.x_train[-held_out:], digits.y_train[-held_out:], shape)
        measured = []
        student.layers[-1].activation = keras.activations.linear
        rates = keras.optimizers.schedules.CosineDecay(recipe.LEARNING_RATE, epochs * len(to_learn))
        cnn.compile_for_digits(student, rates)

        @tf.function
        def step(image: tf.Tensor, p: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                z = student(image, training=True)
                loss = tf.reduce_mean(temperature**2 * tf.nn.softmax_cross_entropy_with_logits(p, z / temperature))
            student.optimizer.minimize(loss, student.trainable_variables, tape=tape)

        with progress(total=epochs * len(to_learn), desc=f"teaching {name}", unit=" batches") as bar:
            for _ in range(epochs):
                for batch in to_learn:
                    step(*batch)
                    bar.update()
                measured.append([*student.evaluate(seen, verbose=0), *student.evaluate(unseen, verbose=0)])
        return recipe.to_keep(student.get_weights(), dict(zip(recipe.CURVES, np.transpose(measured), strict=True)))

    how = f"taught by {teacher} at temperature {temperature}".removesuffix(".0")
    return _kept(name, digits, seed, epochs, how, make, recipe.kept_path(teacher, digits, seed).name)


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"the share of weights to prune must be from 0 to below 1, got {share}")


def _check_layers(name: str) -> None:
    if any(layer.startswith("depthwise") for layer, _ in recipe.layers_of(name)):
        raise ValueError(f"{name} has depthwise layers, whose weights tfmot leaves as they are; name another network")


def _kept(
    name: str, digits: Digits, seed: int, epochs: int, how: str, make: Callable[[], Arrays], teacher: str = ""
) -> "keras.Sequential":
    """Return the network that ``make`` trains; its file has another name for everything that could change it."""
    model, base = cnn.build(name, seed), recipe.kept_path(name, digits, seed)
    tfmot = version("tensorflow-model-optimization")
    made_from = key(VERSION, network=base.name, teacher=teacher, how=how, epochs=epochs, tfmot=tfmot)
    cnn.kept_model(model, base.with_name(f"{name}-smaller-{made_from}.npz"), make, f"{name}, {how}", digits, epochs)
    return model
