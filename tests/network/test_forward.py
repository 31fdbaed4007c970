"""The compiled pass: Keras's numbers in float, NumPy's and TensorFlow's on grids, compiled once."""

import numpy as np
import pytest

from qkit import QuantSpec, fake_quantize, params_from_range
from qkit.network import build, predict
from qkit.network.backend import keras, tf
from qkit.network.cnn import as_input
from qkit.network.forward import compiled, layers_of, on_grid, rows_of, weights_of

RNG = np.random.default_rng(5)
UNSIGNED = {bits: QuantSpec(bits, signed=False) for bits in (2, 3, 8)}


def with_biases(name):
    model = build(name, seed=1)
    for layer in model.layers:
        if layer.get_weights():
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, RNG.normal(size=bias.shape) / 10])
    return model


@pytest.fixture(scope="module", params=["shallow", "deep"])
def model(request):
    return with_biases(request.param)


def run(model, images, params=None, weights=None):
    layers = layers_of(model)
    grids = rows_of(["image", *(layer.name for layer in layers)], params or {})
    outputs = compiled(layers)(tf.constant(as_input(images)), weights or weights_of(model), tf.constant(grids))
    return {name: output.numpy() for name, output in outputs.items()}


def grid(spec, low, high):
    params = params_from_range(low, high, spec)
    return params, tf.constant(rows_of(["x"], {"x": params})[0])


@pytest.mark.parametrize(
    "spec", [QuantSpec(b, *more) for b in (2, 3, 8, 16) for more in ((False,), (), (True, True, True))]
)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.7, 2.9), (-3.0, 0.0)])
def test_a_grid_is_that_of_numpy_and_of_tensorflow(spec, low, high):
    if spec.symmetric:
        low, high = -max(-low, high), max(-low, high)
    params, row = grid(spec, low, high)
    x = np.append(RNG.uniform(1.3 * low - 0.1, 1.3 * high + 0.1, 5_000), 0).astype(np.float32)
    found = on_grid(tf.constant(x), row).numpy()
    theirs = tf.quantization.fake_quant_with_min_max_vars(x, params.low, params.high, spec.bits, spec.narrow_range)
    for expected in (fake_quantize(x, params, "half_up"), theirs.numpy()):
        steps = np.abs(found - expected) / params.scale
        # What float32 takes for halfway between two grid points may go to either.
        from_half = np.abs(x.astype(float) / params.scale % 1 - 0.5)
        assert np.all(steps[from_half > 1e-6 * spec.levels] < 0.01)
        assert np.all(steps < 1.01)
    assert found[-1] == 0


def test_halves_go_up():
    _, row = grid(QuantSpec(4), -8.0, 7.0)
    found = on_grid(tf.constant([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 99, -99], tf.float32), row)
    assert found.numpy().tolist() == [-2, -1, 0, 1, 2, 3, 7, -8]


def test_without_a_grid_numbers_stay():
    x = RNG.normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(on_grid(tf.constant(x), tf.zeros(3)), x)


def test_in_float_it_is_keras(model, few_digits):
    images = few_digits.x_test[:100]
    outputs = run(model, images)
    assert sorted(outputs) == sorted(["image", *weights_of(model)])
    np.testing.assert_array_equal(outputs["image"], as_input(images))
    np.testing.assert_allclose(tf.nn.softmax(outputs[model.layers[-1].name]), predict(model, images), atol=1e-6)


@pytest.mark.parametrize("bits", UNSIGNED)
def test_every_layer_is_that_of_numpy(model, few_digits, bits):
    """Each from what the pass handed to it, so that a number on the edge between two steps spoils nothing after it."""
    images = few_digits.x_test[:40]
    params = {
        name: params_from_range(min(0.0, 0.77 * x.min()), 0.77 * x.max(), UNSIGNED[bits])
        for name, x in run(model, images).items()
    }
    outputs = run(model, images, params)
    name, expected = "image", {"image": fake_quantize(as_input(images), params["image"], "half_up")}
    for layer in model.layers:
        if layer.name not in params:  # here the pool comes after the grid
            expected[name] = layer(expected[name]).numpy()
            continue
        before, name = outputs[name], layer.name
        x = before @ layer.kernel + layer.bias if layer is model.layers[-1] else layer(before)
        expected[name] = fake_quantize(x.numpy(), params[name], "half_up")
    assert set(expected) == set(params)
    for name, x in expected.items():
        steps = np.abs(outputs[name] - x) / params[name].scale
        assert np.mean(steps > 0.01) < 2e-5
        assert np.all(steps < 1.01)


def test_compiled_once(few_digits):
    model = with_biases("shallow")
    compiled.cache_clear()
    forward = compiled(layers_of(model))
    for bits, spec in UNSIGNED.items():
        run(model, few_digits.x_test[:50], {"conv1": params_from_range(0.0, 1.0, spec)})
        run(model, few_digits.x_test[:50], {"image": params_from_range(0.0, bits / 2, spec)})
    run(
        model,
        few_digits.x_test[:50],
        weights={name: w._replace(kernel=0 * w.kernel) for name, w in weights_of(model).items()},
    )
    run(with_biases("shallow"), few_digits.x_test[:50])
    assert forward.experimental_get_tracing_count() == 1
    for count in (7, 49, 3):  # a last batch, and then any
        run(model, few_digits.x_test[:count])
    assert forward.experimental_get_tracing_count() == 2


LAYERS = {
    "dropout": keras.layers.Dropout(0.5),
    "tanh": keras.layers.Conv2D(2, 3, activation="tanh"),
    "softmax in the middle": keras.layers.Conv2D(2, 3, activation="softmax"),
    "no bias": keras.layers.Conv2D(2, 3, use_bias=False),
    "dilated": keras.layers.Conv2D(2, 3, dilation_rate=2),
    "transposed": keras.layers.Conv2DTranspose(2, 3),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_other_layers_are_refused(kind):
    layer = LAYERS[kind]
    model = keras.Sequential([keras.layers.Input((28, 28, 1)), layer, keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(ValueError, match=rf"layer '{layer.name}' \({type(layer).__name__}\) cannot be simulated"):
        layers_of(model)


def test_padded_and_overlapping(few_digits):
    """Neither of the two networks needs it, but the pass takes it over from the layers."""
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28, 1)),
            keras.layers.Conv2D(4, 5, strides=2, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(3, strides=2, padding="same"),
            keras.layers.Conv2D(3, (2, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    images = few_digits.x_test[:20]
    np.testing.assert_allclose(run(model, images)[model.layers[-1].name], predict(model, images), atol=1e-5)
