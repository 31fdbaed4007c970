"""Repairs: the same function where it must be the same, and otherwise what their formulas say, computed another way."""

import doctest
import re
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkit.network import Simulation, fold, predict, repair
from qkit.network.backend import keras, tf
from qkit.network.chain import weights_of
from qkit.network.repair import (
    allocate_bits,
    correct_bias,
    diagnose,
    easyquant,
    equalize,
    rescaled,
    rounded,
    treatments,
)
from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_data, thresholds
from qkit.numeric.rounding import gptq
from qkit.show import explorers
from tests.network.models import MODELS, L, conv, depthwise, randomized, sequential

RNG = np.random.default_rng(0)
EVERY_KIND = [
    *(conv(6, padding="same", strides=2, use_bias=False, name="conv1"), L.BatchNormalization(), L.ReLU()),
    *(depthwise(3, depth_multiplier=2, padding="same", activation="relu", name="deep1"), L.AveragePooling2D(2)),
    *(conv(8, 1, name="conv2"), L.MaxPooling2D(2, 1), L.Flatten(), L.Dense(7, activation="relu", name="dense1")),
    *(L.Reshape((1, 1, 7)), L.GlobalAveragePooling2D(), L.Dense(5, name="dense2")),
]
MINMAX = {"weight_method": thresholds.minmax, "activation_method": thresholds.minmax}
ONLY_RELU = [name for name in MODELS if name not in ("everything apart", "activations after pools")]


@pytest.fixture(scope="module")
def network():
    """A network with every kind of layer that factors go through."""
    return randomized(sequential((12, 12, 2), *EVERY_KIND))


@pytest.fixture(scope="module")
def images():
    return np.abs(np.random.default_rng(1).normal(size=(60, 12, 12, 2)).astype(np.float32))


def test_examples_in_docstrings(monkeypatch):
    monkeypatch.setattr("qkit.network.simulate.progress", lambda batches, **_: batches)
    found = doctest.testmod(repair)
    assert found.failed == 0 and found.attempted >= 32


def before_activations(model, images):
    """Return what each layer with weights computes before its activation, by its name."""
    model = fold(model)
    found, x = {}, images
    for layer in model.layers:
        activation = getattr(layer, "activation", None)
        if layer.weights:
            layer.activation = keras.activations.linear
            found[layer.name] = np.array(layer(x))
            layer.activation = activation
        x = layer(x)
    return found


def assert_same_function(one, other, images):
    expected = np.array(fold(one)(images))
    np.testing.assert_allclose(fold(other)(images), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ONLY_RELU)
def test_the_function_stays_the_same(name):
    model = randomized(MODELS[name]())
    images = np.random.default_rng(1).normal(size=(20, *fold(model).input_shape[1:])).astype(np.float32)
    model(images)
    before = model.get_weights()
    for other in (rescaled(model, 100, seed=3), equalize(model), equalize(rescaled(model, 100))):
        assert_same_function(model, other, images)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_factors_go_through_every_kind_of_layer(network, images):
    bad = rescaled(network, 1e4, seed=1)
    assert_same_function(network, bad, images)
    for name, (_, bias) in weights_of(fold(network)).items():
        spread = bias / weights_of(bad)[name].bias
        if name == "dense2":
            np.testing.assert_array_equal(spread, 1)
        else:
            assert 1e-2 < spread.min() < 1 < spread.max() < 1e2 and np.ptp(np.log(spread)) > 2, name
            assert len(np.unique(spread)) == len(bias)
    assert rescaled(network, 10, seed=2).get_weights()[0].tolist() != bad.get_weights()[0].tolist()


def test_equalized_channels_have_one_range(network, images):
    even = equalize(rescaled(network, 1e4), rounds=100)
    kernels = {name: np.abs(kernel) for name, (kernel, _) in weights_of(even).items()}
    # Keras's layouts: (height, width, inputs, outputs); a depthwise output c of six has the kernels c // 2.
    made = {"conv1": kernels["conv1"].max((0, 1, 2)), "deep1": kernels["deep1"].max((0, 1, 2))}
    made |= {"conv2": kernels["conv2"].max((0, 1, 2)), "dense1": kernels["dense1"].max(0)}
    taken = {"conv1": kernels["deep1"].reshape(9, 6, 2).max((0, 2)), "deep1": kernels["conv2"].max((0, 1, 3))}
    taken |= {"conv2": kernels["dense1"].reshape(-1, 8, 7).max((0, 2)), "dense1": kernels["dense2"].max(1)}
    for name in made:
        np.testing.assert_allclose(made[name], taken[name], rtol=1e-3)
    # There is one such network: where the channels were before does not matter.
    for one, other in zip(even.get_weights(), equalize(network, rounds=100).get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_a_channel_that_is_tiny_on_both_sides_stays_a_number():
    model = sequential((2,), L.Dense(2, activation="relu"), L.Dense(1))
    model.set_weights([np.array([[4, 1e-23], [-8, 1e-23]]), np.zeros(2), np.array([[2], [1e-23]]), np.zeros(1)])
    x = np.array([[3.0, 1.0]], np.float32)
    np.testing.assert_allclose(equalize(model)(x), model(x), rtol=1e-6)


def test_one_round_is_the_papers_formula():
    model = sequential((2,), L.Dense(2, activation="relu"), L.Dense(1))
    model.set_weights([np.array([[4.0, 1], [-8, 0]]), np.array([16.0, 3]), np.array([[2.0], [-9]]), np.zeros(1)])
    first, bias, second, _ = equalize(model, rounds=1).get_weights()
    np.testing.assert_allclose(first, [[2, 3], [-4, 0]])
    np.testing.assert_allclose(bias, [8, 9])
    np.testing.assert_allclose(second, [[4], [-3]])


def test_dead_channels_stay_as_they_are():
    model = randomized(sequential((3,), L.Dense(4, activation="relu"), L.Dense(2)))
    first, bias, second, last = model.get_weights()
    first[:, 1], second[2] = 0, 0
    model.set_weights([first, bias, second, last])
    found = equalize(model).get_weights()
    assert all(np.isfinite(each).all() for each in found)
    for dead in (1, 2):
        np.testing.assert_array_equal(found[0][:, dead], first[:, dead])
        np.testing.assert_array_equal(found[2][dead], second[dead])


def test_a_reshape_that_mixes_channels_passes_no_factors():
    model = randomized(sequential((4, 4, 1), conv(4, 3, name="a"), L.Reshape((4, 4, 1)), conv(2, 3, name="b")))
    for one, other in zip(equalize(model).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("pool", [L.MaxPooling2D, L.AveragePooling2D])
@pytest.mark.parametrize("side", [1, 2, 8, 16])
def test_a_pool_of_reshaped_channels(pool, side):
    between = L.Reshape((256 // 4 // side, 4, side)), pool((2, 1)), L.Flatten()
    model = sequential((10, 10, 1), conv(4, 3, activation="relu", name="a"), *between, L.Dense(3, name="b"))
    images, model = np.random.default_rng(1).normal(size=(20, 10, 10, 1)), randomized(model)
    for other in (equalize(model), rescaled(model, 100)):
        assert_same_function(model, other, images.astype(np.float32))
        assert np.array_equal(other.get_weights()[0], model.get_weights()[0]) == (side % 4 > 0)


def test_a_reshape_that_is_flattened_again_mixes_nothing():
    layers = conv(4, 3, activation="relu"), L.Reshape((8, 8, 1)), L.Flatten(), L.Dense(3)
    model = randomized(sequential((6, 6, 1), *layers))
    images = np.random.default_rng(1).normal(size=(20, 6, 6, 1)).astype(np.float32)
    assert_same_function(model, rescaled(model, 100), images)
    assert not np.array_equal(rescaled(model, 100).get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("change", [equalize, lambda model: rescaled(model, 10)])
def test_relu6_is_refused_by_name(change):
    model = sequential(
        (6, 6, 1), conv(2, name="first", activation="relu"), conv(2, name="second"), L.ReLU(6), conv(2, 1)
    )
    with pytest.raises(ValueError, match="layer 'second' ends in ReLU6, which passes no factors"):
        change(model)
    change(sequential((6, 6, 1), conv(2, activation="relu"), conv(2), L.ReLU(6)))  # nothing comes after it


@pytest.mark.parametrize("spread", [0.5, np.inf, np.nan])
def test_a_spread_that_is_none(network, spread):
    with pytest.raises(ValueError, match="spread must be 1 or more"):
        rescaled(network, spread)


def grids(model, bits, per_channel=True):
    """Return a grid for each layer's weights, from MinMax."""
    spec = QuantSpec(bits, symmetric=True, narrow_range=True, axis=-1 if per_channel else None)
    return {name: params_from_data(kernel, spec) for name, (kernel, _) in weights_of(fold(model)).items()}


def test_layers_that_are_named_are_rounded(network):
    params = grids(network, 3)
    some = {name: params[name] for name in ("deep1", "dense1")}
    found = weights_of(rounded(network, some))
    for name, (kernel, bias) in weights_of(fold(network)).items():
        np.testing.assert_array_equal(found[name].kernel, fake_quantize(kernel, some[name]) if name in some else kernel)
        np.testing.assert_array_equal(found[name].bias, bias)
    with pytest.raises(ValueError, match="there is no layer 'conv9'"):
        rounded(network, {"conv9": some["deep1"]})


def test_a_rounding_gets_the_gram_matrix_of_its_layer(network, images):
    """What it stands for: the sum of squares of all that the layer returns, without its bias."""
    energies = []

    def watch(kernel, params, gram):
        energies.append(np.sum(kernel * (gram @ kernel)))
        return kernel

    same = rounded(network, grids(network, 4), watch, images)
    assert all(map(np.array_equal, same.get_weights(), fold(network).get_weights()))
    biases = {name: weights.bias for name, weights in weights_of(fold(network)).items()}
    expected = [np.sum((y - biases[name]) ** 2) for name, y in before_activations(network, images).items()]
    # One for each layer, but of a depthwise layer one for each of the six channels that it takes.
    np.testing.assert_allclose([energies[0], np.sum(energies[1:7]), *energies[7:]], expected, rtol=1e-4)


def test_gptq_brings_the_answers_closer(network, images):
    params = grids(network, 3)
    few = rounded(network, params), rounded(network, params, gptq, images)
    exact = predict(fold(network), images)
    nearest, learned = (np.linalg.norm(predict(each, images) - exact) for each in few)
    assert learned < 0.6 * nearest
    for name, (kernel, _) in weights_of(few[1]).items():
        np.testing.assert_allclose(kernel, fake_quantize(kernel, params[name]), rtol=1e-6)
    with pytest.raises(ValueError, match="needs images"):
        rounded(network, params, gptq)


@pytest.mark.parametrize("per_channel", [True, False])
def test_corrected_means_are_those_in_float(network, images, per_channel):
    coarse = rounded(network, grids(network, 3, per_channel))
    fixed = correct_bias(network, coarse, images)
    means, off, right = (
        {name: y.reshape(-1, y.shape[-1]).mean(axis=0) for name, y in before_activations(each, images).items()}
        for each in (network, coarse, fixed)
    )
    for name in means:
        size = np.abs(means[name]).max()
        assert np.abs(off[name] - means[name]).max() > 0.01 * size
        np.testing.assert_allclose(right[name], means[name], atol=1e-4 * size)
        np.testing.assert_array_equal(weights_of(fixed)[name].kernel, weights_of(coarse)[name].kernel)


def test_biases_of_another_network_are_refused(network, images):
    other = randomized(sequential((12, 12, 2), L.Flatten(), L.Dense(5)))
    with pytest.raises(ValueError, match="quantized must have the layers of model"):
        correct_bias(network, other, images)


@given(st.data())
def test_no_other_allocation_of_as_many_bytes_is_better(data):
    layers = [f"layer{i}" for i in range(data.draw(st.integers(1, 4)))]
    losses = {
        n: {b: data.draw(st.floats(0, 1)) for b in data.draw(st.sets(st.integers(2, 8), min_size=1))} for n in layers
    }
    sizes = {name: data.draw(st.integers(1, 1000)) for name in layers}

    def taken(chosen):
        return sum(-(-sizes[name] * b // 8) for name, b in chosen.items())

    def lost(chosen):
        return sum(losses[name][b] for name, b in chosen.items())

    least = taken({name: min(losses[name]) for name in layers})
    budget = least + data.draw(st.integers(0, 500))
    chosen = allocate_bits(losses, sizes, budget)
    every = [dict(zip(layers, each, strict=True)) for each in product(*losses.values())]
    assert taken(chosen) <= budget
    assert lost(chosen) == pytest.approx(min(lost(each) for each in every if taken(each) <= budget))
    message = f"the fewest bits take {least:,} bytes, more than the budget of {least - 1:,}"
    with pytest.raises(ValueError, match=message):
        allocate_bits(losses, sizes, least - 1)


def test_layers_of_an_allocation_must_agree():
    with pytest.raises(ValueError, match=r"the same layers, got \['a'\] and \['b'\]"):
        allocate_bits({"a": {2: 0.0}}, {"b": 10}, 100)


@pytest.mark.parametrize("by_bits", [{}, {2: np.nan, 4: 0.0}, {2: np.inf}])
def test_a_layer_without_a_loss(by_bits):
    with pytest.raises(ValueError, match="layer 'b' must have a loss, a finite number, for some bits, got "):
        allocate_bits({"a": {2: 0.0}, "b": by_bits}, {"a": 10, "b": 10}, 100)


@pytest.mark.parametrize("change", [diagnose, easyquant])
@pytest.mark.parametrize("bits, name", [((None, 8), "weight"), ((8, None), "activation"), ((1, 8), "weight")])
def test_bits_that_are_none(network, images, change, bits, name):
    with pytest.raises(ValueError, match=f"{name}_bits must be an integer from 2 to 16, got "):
        change(network, images, *bits)


@pytest.mark.parametrize("rounds", [-1, 1.5, None])
def test_rounds_that_are_none(network, rounds):
    with pytest.raises(ValueError, match="rounds must be an integer from 0 "):
        equalize(network, rounds)


@pytest.mark.parametrize("per_channel", [True, False])
def test_easyquant_is_a_plain_loop_over_shares(per_channel):
    """On a layer alone, with NumPy, one channel and one share after the other."""
    rng, model = np.random.default_rng(4), sequential((30,), L.Dense(5, activation="relu", name="dense"))
    model.set_weights([rng.standard_t(3, (30, 5)), rng.normal(size=5)])
    x, (kernel, bias) = rng.standard_t(3, (200, 30)).astype(np.float32), model.get_weights()
    y, shares = x @ kernel + bias, np.linspace(1, 0.2, 21)
    start = Simulation(model, x).quantized(3, 8, per_channel=per_channel, **MINMAX)
    weights, inputs = start.kernels["dense"], start.activations["image"]

    def cosine(weight_share, input_share, channels):
        narrow = [
            QuantParams(grid.scale * share, grid.zero_point, grid.spec)
            for grid, share in ((weights, weight_share), (inputs, input_share))
        ]
        y_q = fake_quantize(x, narrow[1], "half_up") @ fake_quantize(kernel, narrow[0]) + bias
        one, other = y[:, channels], y_q[:, channels]
        return np.sum(one * other) / np.sqrt(np.sum(one**2) * np.sum(other**2))

    of_weights, of_inputs = np.ones(5 if per_channel else 1), 1.0
    groups = range(5) if per_channel else [slice(None)]
    for _ in range(2):
        best = [max(shares, key=lambda share: cosine(share, of_inputs, group)) for group in groups]
        of_weights = np.array(best) if per_channel else best[0]
        of_inputs = max(shares, key=lambda share: cosine(of_weights, share, slice(None)))
    found = easyquant(model, x, 3, 8, per_channel)
    np.testing.assert_allclose(found.kernels["dense"].scale, weights.scale * of_weights)
    assert found.activations["image"].scale == pytest.approx(inputs.scale * of_inputs)
    assert np.min(of_weights) < 1 and of_inputs < 1


@pytest.fixture(scope="module")
def easy(network, images):
    return easyquant(network, images, 4, 6)


def test_easyquant_keeps_what_pools_need(network, images, easy):
    found, start = easy, Simulation(network, images).quantized(4, 6, **MINMAX)
    assert found.kernels.keys() == start.kernels.keys() and found.activations.keys() == start.activations.keys()
    for grids, before in ((found.kernels, start.kernels), (found.activations, start.activations)):
        shares = {name: grids[name].scale / before[name].scale for name in grids}
        assert all(np.all((share > 0.19) & (share < 1.01)) for share in shares.values())
        assert np.min(shares["conv1"]) < 0.99
    assert found.activations["deep1"].scale == found.activations["average_pooling2d"].scale
    assert {grid.spec.bits for grid in found.kernels.values()} == {4}


def test_treatments_are_the_repairs_one_by_one(network, images, easy):
    treated, even, start = treatments(network, images), equalize(network), {"per_channel": False, **MINMAX}
    plain = treated(3, 6)
    assert repr(plain) == repr(Simulation(network, images).quantized(3, 6, **start))
    assert repr(treated(4, 6, True, scales="eq")) == repr(easy)
    for how in ({"equalized": True}, {"scales": "eq"}):
        found = treated(None, None, **how).predict(images)
        np.testing.assert_allclose(found, predict(network, images), rtol=1e-3)
    by_mse = dict(start, weight_method=thresholds.mse, activation_method=thresholds.mse)
    by_bits = {bits: Simulation(even, images).quantized(bits, 6, **by_mse) for bits in (3, 5)}
    kernels = {**by_bits[3].kernels, "conv2": by_bits[5].kernels["conv2"]}
    by_hand = weights_of(correct_bias(even, rounded(even, kernels, gptq, images), images))
    found = treated(3, 6, False, True, "mse", "gptq", True, layer="conv2", layer_bits=5)
    assert found.activations.keys() == by_bits[3].activations.keys()
    for name in by_hand:
        assert all(map(np.array_equal, found.weights[name], by_hand[name]))
        assert repr((found.kernels[name], found.activations[name])) == repr(
            (kernels[name], by_bits[3].activations[name])
        )
    assert plain.bytes == found.bytes - 2 * 12 * 8 // 8  # two bits more for each of conv2's weights


@cache
def broken(*places):
    """Return a network of four convolutions, of which the channels of some lie far apart; no test changes it."""
    layers = [conv(8, activation="relu", name=name) for name in "abcd"]
    model = equalize(randomized(sequential((10, 10, 1), *layers, L.GlobalAveragePooling2D())))
    weights = model.get_weights()
    by = np.geomspace(1e-2, 1e2, 8).astype(np.float32)
    for place in places:
        weights[2 * place] /= by
        weights[2 * place + 1] /= by
        weights[2 * place + 2] *= by[:, None]
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_layer_that_breaks_is_found(place):
    images = RNG.random((50, 10, 10, 1), np.float32)
    table = diagnose(broken(place), images, per_channel=False)
    layers = ["image", *"abcd"]
    assert list(table.index) == layers
    verdicts = table.verdict[table.verdict != ""]
    assert len(verdicts) == 1 and verdicts.index[0] in list("abcd"[place : place + 2])
    # Numbers far apart meet weights far apart, one the other way round: either may be harmed more.
    cause, ratio = re.match(r"breaks here, for (its|what it) (.*) \((.*) : 1\): ", verdicts.iloc[0]).group(2, 3)
    row, column = (1, "handed on") if cause == "takes" else (0, cause)
    assert ratio == f"{table[column].iloc[layers.index(verdicts.index[0]) - row]:.3g}"
    assert table["handed on"].idxmax() == layers[place + 1]
    mended = diagnose(equalize(broken(place)), images, per_channel=False)
    assert list(mended.verdict[:-1]) == [""] * 4 and mended.verdict.iloc[-1].startswith("the network holds: ")
    # What the columns are, from Keras and NumPy.
    kernel = broken(place).get_layer("b").kernel.numpy()
    for by, axes in (("output", (0, 1, 2)), ("input", (0, 1, 3))):
        ranges = np.abs(kernel).max(axis=axes)
        assert table.loc["b", f"weights by {by}"] == pytest.approx(ranges.max() / np.median(ranges))
    assert table["SQNR in"].tolist()[1:] == table["SQNR out"].tolist()[:-1]


def cut_down(x, bits=8, signed=None):
    return thresholds.percentile(x, bits, signed, share=10, count_zeros=False)


@pytest.mark.parametrize(
    "cause, weight, pixel, settings",
    [
        ("its weights by output", 1e4, 0, {}),
        ("what it takes", 0, 1e4, {}),
        ("what it hands on", 0, 0, {"activation_method": cut_down}),
    ],
)
def test_the_cause_is_named(cause, weight, pixel, settings):
    """A weight too large, of a pixel that is 0; or a pixel too large, which has no weights; or outputs cut off."""
    rng, model = np.random.default_rng(2), sequential((4,), L.Dense(6, activation="relu", name="a"), L.Dense(3))
    kernel, images = rng.normal(size=(4, 6)), rng.random((50, 4), np.float32)
    kernel[3], images[:, 3] = [weight, *np.zeros(5)], pixel * images[:, 3]
    model.set_weights([kernel, np.zeros(6), rng.normal(size=(6, 3)), np.zeros(3)])
    table = diagnose(model, images, per_channel=False, **settings)
    assert table.verdict["a"].startswith(f"breaks here, for {cause} (")


def test_a_loss_of_many_layers_and_the_explorer_says_the_same():
    images = RNG.random((50, 10, 10, 1), np.float32)
    for places, bits, how in (
        ((), (4, 8), "loses most here"),
        ((2,), (3, 3), "breaks here"),
        ((), (8, 8), "the network"),
    ):
        model = broken(*places)
        table = diagnose(model, images, *bits, per_channel=False)
        told = table.verdict[table.verdict != ""]
        assert told.iloc[0].startswith(how)
        start = {"weight_bits": bits[0], "activation_bits": bits[1]}
        words = explorers.doctor(treatments(model, images), images, np.zeros(50), **start).words
        if how != "the network":
            place = list(table.index).index(told.index[0])
            apart = *table.iloc[place, :2], table["handed on"].iloc[place - 1]
            assert f"Most harmful is {told.index[0]}, which" in words
            assert (
                "{:.3g} times the median one in weights by output, {:.3g} times by input, {:.3g}".format(*apart)
                in words
            )


@pytest.mark.parametrize("equalized", [False, True])
def test_the_explorer_compares_with_the_network_before_all_repairs(equalized):
    images, model = RNG.random((50, 10, 10, 1), np.float32), broken(2)
    treated, labels = treatments(model, images), predict(model, images).argmax(axis=1)
    explorer = explorers.doctor(treated, images, labels, weight_bits=2, equalized=equalized)
    for settings in ({}, {"corrected": True}, {"corrected": False, "rounding": "gptq"}):
        explorer.set(**settings)
        changed = np.sum(treated(**explorer.values).predict(images).argmax(axis=1) != labels)
        assert changed > 0 and "in float 100.00 %" in explorer.words
        assert f"{100 - 2 * changed:.2f} % (" in explorer.words
        assert f"Answers that differ from float: {changed}." in explorer.words


def test_answers_that_change_where_there_is_hardly_noise():
    """Two outputs that are nearly the same large number: 40 dB, and which is larger is often another one."""
    rng, model = np.random.default_rng(0), sequential((2,), L.Dense(2, name="say"))
    model.set_weights([6 * np.eye(2), np.full(2, 200)])
    images = rng.random((1000, 2), np.float32)
    table = diagnose(model, images)
    assert table.loc["say", "SQNR out"] > 40
    pattern = (
        r"loses most here, for what it hands on \(.* : 1\): (\d+) of 1,000 answers change, expected to cost (.*) po.*"
    )
    changed, cost = map(float, re.fullmatch(pattern, table.verdict["say"]).groups())
    # Labels that are as the float network says, by its probabilities.
    in_float, network = predict(model, images), Simulation(model, images).quantized(8, 8, **MINMAX)
    labels = rng.random((500, 1000)) > tf.nn.softmax(in_float)[:, 0]
    said, said_in_float = network.predict(images).argmax(axis=1), in_float.argmax(axis=1)
    assert changed == np.sum(said != said_in_float)
    assert cost == pytest.approx(100 * (np.mean(said_in_float == labels) - np.mean(said == labels)), abs=0.05)
    model.set_weights([6 * np.eye(2), np.zeros(2)])
    assert diagnose(model, images).verdict["say"].startswith("the network holds: ")


def test_inputs_far_apart_are_found_also_per_channel():
    """Ten large weights of one input, that of a pixel that is hardly ever there, take the step from all others."""
    rng, model = (
        np.random.default_rng(0),
        sequential((8,), L.Dense(10, activation="relu", name="a"), L.Dense(3, name="b")),
    )
    kernel, images = rng.normal(size=(8, 10)), rng.random((200, 8), np.float32)
    kernel[3], images[:, 3] = 1000 * kernel[3], 0
    model.set_weights([kernel, np.zeros(10), rng.normal(size=(10, 3)), np.zeros(3)])
    table, by_input = diagnose(model, images), np.abs(kernel).max(axis=1)
    ratio = by_input.max() / np.median(by_input)
    assert table.loc["a", "weights by input"] == pytest.approx(ratio) and table.loc["a", "weights by output"] < 10
    assert table.verdict["a"].startswith(f"breaks here, for its weights by input ({ratio:.3g} : 1): ")


def test_one_channel_far_below_the_others_shows_in_the_weights_that_multiply_it_back():
    layers = conv(8, 1, activation="relu", name="a"), depthwise(3, activation="relu", name="b"), conv(4, 1, name="c")
    model = equalize(randomized(sequential((10, 10, 3), *layers, L.GlobalAveragePooling2D()), 3))
    kernel, bias, next_kernel, *others = model.get_weights()
    by = np.where(np.arange(8) == 2, 2000, 1).astype(np.float32)
    model.set_weights([kernel / by, bias / by, next_kernel * by[:, None], *others])
    images = np.random.default_rng(3).random((50, 10, 10, 3), np.float32)
    table = diagnose(model, images)
    assert table.loc["a", "handed on"] < 10 and table.loc["b", "weights by output"] > 1000
    assert table.verdict["b"].startswith(f"breaks here, for what it takes ({table.loc['a', 'handed on']:.3g} : 1): ")
    assert diagnose(equalize(model), images).verdict.iloc[-1].startswith("the network holds: ")


def test_the_outputs_of_a_depthwise_layer_take_one_input_each(network, images):
    assert diagnose(network, images).loc["deep1", "weights by input"] == 1


def test_a_network_whose_numbers_overflow():
    model = randomized(sequential((4,), L.Dense(5, activation="relu", name="a"), L.Dense(3, name="b")))
    model.set_weights([weight * 1e30 if place == 0 else weight for place, weight in enumerate(model.get_weights())])
    with pytest.raises(ValueError, match="layer 'a' hands on numbers whose squares overflow float32"):
        diagnose(model, RNG.random((20, 4), np.float32))


def test_what_is_clipped_is_counted(network, images):
    def cut(x, bits=8, signed=None):
        return thresholds.percentile(x, bits, signed, share=90)

    table = diagnose(network, images, activation_method=cut)
    assert diagnose(network, images).clipped.max() < 1e-6
    assert (table.clipped.drop(["image", "dense2"]) > 0.03).all() and table.clipped.max() < 0.12
    assert table.loc[["image", "dense2"], "clipped"].max() < 1e-6  # both keep all that was seen
    five_times = diagnose(network, np.tile(images, (5, 1, 1, 1)), activation_method=cut)  # 300 are two batches
    pd.testing.assert_frame_equal(five_times.iloc[:, :-1], table.iloc[:, :-1], rtol=1e-4)


def test_means_are_clipped_by_a_grid_of_their_own():
    """They are what the layer before hands on; its own grid reaches further than any of them."""
    layers = conv(4, 3, activation="relu", name="a"), L.GlobalAveragePooling2D(name="mean"), L.Dense(3, name="b")
    model = randomized(sequential((10, 10, 1), *layers), 1)
    images = np.random.default_rng(1).random((200, 10, 10, 1), np.float32)
    table = diagnose(model, images, activation_method=lambda x, bits=8: thresholds.percentile(x, bits, share=90))
    means = keras.Model(model.inputs, model.get_layer("mean").output)(images).numpy()
    assert table.loc["a", "clipped"] == pytest.approx(np.mean(means > np.quantile(means, 0.9)), abs=0.02)
