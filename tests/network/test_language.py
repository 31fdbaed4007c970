"""The language model against plain loops and TensorFlow: what it reads, expects, learns, keeps, writes and loses."""

import doctest
import subprocess
import sys
from functools import partial
from zlib import crc32

import numpy as np
import pytest
from scipy.special import log_softmax

from qkit.network import language
from qkit.network.language import (
    CHARACTERS,
    CONTEXT,
    MATRICES,
    Cache,
    bits,
    decode,
    encode,
    logits,
    passages,
    quantized,
    text,
    train,
    trained,
    untrained,
    write,
)
from qkit.numeric.formats import FORMATS, integers
from qkit.numeric.rounding import gptq


@pytest.fixture(scope="module")
def weights():
    """The model after 20 steps: no more than the frequencies of the characters is learned."""
    return train(untrained(0), encode(text()[0]), seed=0, steps=20)


@pytest.fixture(scope="module")
def lively():
    """A model that expects something else after other characters; no gain is 1, no bias 0."""
    rng = np.random.default_rng(1)
    return {name: (array + rng.normal(0, 0.1, array.shape)).astype(np.float32) for name, array in untrained(1).items()}


@pytest.fixture
def instant(monkeypatch):
    """Training takes no time; the list counts it."""
    calls = []
    monkeypatch.setattr(language, "train", lambda weights, *_: calls.append(1) or weights)
    return calls


def some(count, length=CONTEXT + 1, seed=0):
    return passages(text()[1])[seed : seed + count, :length]


def kept_files(folder):
    return sorted((folder / "networks").glob("language-*.npz"))


def test_examples_in_docstrings():
    assert doctest.testmod(language) == (0, 1)


# Text


def test_every_python_reads_the_same_text(capsys):
    train_on, test_on = text()
    if "lacks" in capsys.readouterr().out:
        pytest.skip("a version of Python whose manual is another")
    assert (len(train_on), len(test_on)) == (245_894, 21_576)
    assert (crc32(train_on.encode()), crc32(test_on.encode())) == (1700055680, 1596600732)


def test_nothing_is_tested_that_was_trained_on():
    train_on, test_on = (part.split("\n\n") for part in text())
    assert len({*train_on, *test_on}) == len(train_on) + len(test_on)
    seen = {bytes(each) for each in np.lib.stride_tricks.sliding_window_view(encode(text()[0]).astype(np.uint8), 65)}
    assert not any(bytes(each.astype(np.uint8)) in seen for each in passages(text()[1]))


def test_another_python_lacks_paragraphs(monkeypatch, capsys):
    whole = text()
    monkeypatch.setattr("pydoc_data.topics.topics", {"one": f"\n{whole[0]}\n", "other": "What no other Python has."})
    train_on, test_on = text()
    assert train_on == whole[0] and set(test_on) == {"\n"}
    assert "lacks" in capsys.readouterr().out


def test_characters_are_numbers_and_back():
    everything = "\n" + "".join(map(chr, range(32, 127)))
    assert encode(everything).tolist() == list(range(96)) and decode(encode(everything)) == everything
    assert decode(encode("é–\t\x7f\0")) == "??\n\n\n"
    assert encode("a").dtype == np.int32 and encode("").shape == (0,)


def test_passages_share_their_ends_and_nothing_else():
    found = passages("".join(CHARACTERS[i % 96] for i in range(200)))
    np.testing.assert_array_equal(found, (np.arange(65) + 64 * np.arange(3)[:, None]) % 96)
    assert passages("x" * 65).shape == (1, 65) and passages("x" * 128).shape == (1, 65)
    for short in ("", "x", "x" * 64):
        with pytest.raises(ValueError, match=f"at least 65 characters for a passage, got {len(short)}"):
            passages(short)


# What the model expects


def plain(weights, ids):
    """The model for one line of characters, in loops, with float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    rows = [w["embedding"][i] + w["position"][place] for place, i in enumerate(ids)]

    def normalized(row, gain):
        return row / np.sqrt(np.mean(row**2) + 1e-5) * w[gain]

    for block in ("block1", "block2"):
        queries, keys, values = [], [], []
        for row in rows:
            joined = normalized(row, f"{block}/gain1") @ w[f"{block}/attention"]
            for place, each in enumerate((queries, keys, values)):
                each.append(joined[96 * place : 96 * (place + 1)])
        for place in range(len(rows)):
            taken = np.zeros(96)
            for head in (slice(0, 24), slice(24, 48), slice(48, 72), slice(72, 96)):
                fits = [np.exp(queries[place][head] @ keys[other][head] / 24**0.5) for other in range(place + 1)]
                for fit, value in zip(fits, values[: place + 1], strict=True):
                    taken[head] += fit / sum(fits) * value[head]
            rows[place] = rows[place] + taken @ w[f"{block}/mix"]
        for place, row in enumerate(rows):
            up = normalized(row, f"{block}/gain2") @ w[f"{block}/up"] + w[f"{block}/up_bias"]
            rows[place] = row + up.clip(0) @ w[f"{block}/down"] + w[f"{block}/down_bias"]
    return np.array([normalized(row, "gain") @ w["head"] for row in rows])


def test_logits_are_those_of_plain_loops(weights, lively):
    ids = some(3, 20)
    for each in (weights, lively):
        found = logits(each, ids)
        expected = np.array([plain(each, line) for line in ids])
        assert found.shape == (3, 20, 96) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_tensorflow_gets_what_numpy_gets(weights, lively):
    from qkit.network.backend import tf

    ids = some(4, CONTEXT)
    for each in (weights, lively):
        with_tensorflow = tf.function(partial(logits, xp=tf.experimental.numpy))
        found, expected = logits(each, ids), with_tensorflow(each, ids).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_no_answer_depends_on_what_comes_later(lively):
    ids = some(1, CONTEXT)
    before = logits(lively, ids)
    for place in (1, 30, 63):
        changed = ids.copy()
        changed[0, place] = (changed[0, place] + 1) % 96
        after = logits(lively, changed)
        np.testing.assert_allclose(after[:, :place], before[:, :place], rtol=0, atol=1e-6)
        assert np.all(np.abs(after - before)[:, place:].max(axis=-1) > 1e-4)  # each that comes later has heard of it


def test_each_passage_is_read_by_itself(lively):
    ids = some(5, CONTEXT)
    for line, found in zip(ids, logits(lively, ids), strict=True):
        np.testing.assert_allclose(found, logits(lively, line[None])[0], atol=1e-4)


def test_bits_are_the_cross_entropy(weights, lively):
    from qkit.network.backend import tf

    read = some(6)
    for each in (weights, lively):
        z = tf.cast(logits(each, read[:, :-1]), tf.float64)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(read[:, 1:], z).numpy()
        found = bits(each, read)
        np.testing.assert_allclose(found, entropy.mean(axis=1) / np.log(2), rtol=1e-5)
        assert found.dtype == np.float64 and found.shape == (6,)


def test_who_expects_nothing_takes_log2_of_all(lively):
    blind = lively | {"head": np.zeros_like(lively["head"])}
    np.testing.assert_allclose(bits(blind, some(3)), np.log2(96), rtol=1e-6)


def test_every_product_can_be_changed(lively):
    ids, seen = some(2, 10), {}

    def multiply(name, x, kernel):
        seen[name] = x.shape, kernel
        return x @ kernel

    np.testing.assert_array_equal(logits(lively, ids, multiply), logits(lively, ids))
    assert {name: kernel.shape for name, (_, kernel) in seen.items()} == MATRICES
    for name, (shape, kernel) in seen.items():
        assert shape == (2, 10, MATRICES[name][0]) and kernel is lively[name]
        others = partial(lambda this, name, x, kernel: x @ kernel * (1 + (name == this)), name)
        assert np.abs(logits(lively, ids, others) - logits(lively, ids)).max() > 1e-3


def coarse(x):
    return np.round(4 * x) / np.float32(4)


@pytest.mark.parametrize("rounding", [None, coarse])
@pytest.mark.parametrize("steps", [[1] * 12, [5, 1, 6], [12]])
def test_character_by_character_is_all_at_once(lively, rounding, steps):
    ids = some(3, 12)
    at_once = logits(lively, ids, store=lambda name, x: rounding(x)) if rounding else logits(lively, ids)
    cache, found, start = Cache(rounding) if rounding else Cache(), [], 0
    for length in steps:
        found.append(logits(lively, ids[:, start : start + length], store=cache, start=start))
        start += length
    np.testing.assert_allclose(np.concatenate(found, axis=1), at_once, atol=1e-5 * np.abs(at_once).max())
    assert {name: kept.shape for name, kept in cache.items()} == {
        f"block{block}/{what}": (3, 4, 12, 24) for block in (1, 2) for what in ("keys", "values")
    }
    if rounding:
        assert np.abs(at_once - logits(lively, ids)).max() > 1e-2
        for kept in cache.values():
            np.testing.assert_array_equal(kept, coarse(kept))


# Training


def test_weights_are_as_many_as_is_said():
    start = untrained(0)
    assert sum(array.size for array in start.values()) == 247_200
    assert sum(start[name].size for name in MATRICES) == 230_400
    assert {name: start[name].shape for name in MATRICES} == MATRICES
    for name, shape in MATRICES.items():
        assert start[name].max() == pytest.approx((6 / sum(shape)) ** 0.5, rel=0.01)
    assert np.all(untrained(1)["head"] != start["head"])


def test_training_goes_down_the_slope_of_these_bits(monkeypatch):
    """Adam's first step moves each weight by the learning rate, against its slope; here of one passage, 32 times."""
    from qkit.network.backend import tf

    monkeypatch.setattr(tf, "function", lambda **_: lambda step: step)  # XLA takes six seconds, a step a third of one
    read, start = some(1, seed=5), untrained(2)
    moved = train(start, read[0], seed=0, steps=1)
    start, rng = {name: array.astype(np.float64) for name, array in start.items()}, np.random.default_rng(0)
    sure = 0
    for name, array in start.items():
        used = read[0, :-1] if name == "embedding" else np.arange(len(array))
        for index in ((rng.choice(used), *map(rng.integers, array.shape[1:])) for _ in range(3)):
            ends = []
            for side in (-1e-4, 1e-4):
                there = array.copy()
                there[index] += side
                ends.append(bits(start | {name: there}, read)[0])
            slope = (ends[1] - ends[0]) / 2e-4
            step = moved[name][index] - array[index]
            if abs(slope) > 3e-3:  # against the little that Adam adds to it, which slows small ones
                sure += 1
                assert step == pytest.approx(-3e-3 * np.sign(slope), rel=0.01), name
    assert sure > 20


TINY = 0.0621789, 4.66465
"""The mean of |weights| after 20 steps, and the bits a character of the text to test with."""


def test_the_version_goes_up_with_what_is_trained(weights):
    size = float(np.mean(np.abs(np.concatenate([array.ravel() for array in weights.values()]))))
    found = size, float(bits(weights, passages(text()[1])).mean())
    assert found == pytest.approx(TINY, rel=1e-3), (
        "Training gives other weights than before. If that is meant, raise VERSION in qkit/network/language.py, or "
        f"learners keep the old ones; then store these numbers: {found}"
    )


def test_the_same_seed_trains_the_same(weights, monkeypatch):
    found = [trained(seed=0, steps=20)]
    monkeypatch.setattr(language, "train", None)
    found.append(trained(seed=0, steps=20))
    for other in found:
        assert other.keys() == weights.keys()
        for name, array in other.items():
            np.testing.assert_array_equal(array, weights[name])


def test_what_is_kept_needs_no_tensorflow(instant):
    trained(steps=4)
    code = """
import sys
from qkit.network import language
from qkit.numeric.formats import FORMATS
language.train = None
language.write(language.quantized(language.trained(steps=4), FORMATS["q4_0"]), "a", 3)
assert not {"tensorflow", "tf_keras"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_that_matters_is_another_file(instant, monkeypatch, data_home):
    usual = {"seed": 0, "steps": 5}
    for number, change in enumerate(({}, {"seed": 1}, {"steps": 6}), start=1):
        trained(**usual | change)
        assert len(kept_files(data_home)) == len(instant) == number
    for name, value in (
        ("VERSION", language.VERSION + 1),
        ("LEARNING_RATE", 1e-3),
        ("version", lambda library: f"{library} of tomorrow"),
        ("text", lambda: ("other characters", "")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(language, name, value)
            trained(**usual)
            number += 1
            assert len(kept_files(data_home)) == len(instant) == number
    trained(**usual)
    assert len(instant) == number


def test_kept_files_that_do_not_fit_are_said_and_made_again(instant, data_home):
    good = trained(steps=5)
    (path,) = kept_files(data_home)
    wrong_shape, not_finite = good | {"head": good["head"][:, :9]}, good | {"gain": np.full_like(good["gain"], np.nan)}
    for wrong, why in ((wrong_shape, "does not hold what it should"), (not_finite, "numbers that are not finite")):
        np.savez(path, **wrong)
        with pytest.warns(UserWarning, match=rf"a language model \(seed 0\).* {why}.* It is made again"):
            again = trained(steps=5)
        np.testing.assert_array_equal(again["head"], good["head"])
    assert len(instant) == 3


# Writing


def test_the_same_seed_writes_the_same(weights):
    first = write(weights, "The ", 150, seed=1)
    assert len(first) == 154 and first.startswith("The ") and set(first) <= set(CHARACTERS)
    assert write(weights, "The ", 150, seed=1) == first
    assert write(weights, "The ", 150, seed=2) != first


def test_it_writes_what_it_expects_most(lively):
    """At so low a temperature. After 64 characters it goes on from the last 32, and begins with no more of them."""
    for start in ("a", "a" * 40, text()[1][:100]):
        ids = encode(start).tolist()
        begin = max(0, len(ids) - 32)
        for _ in range(80):
            if len(ids) - begin > CONTEXT:
                begin = len(ids) - 32
            ids.append(int(logits(lively, np.array([ids[begin:]]))[0, -1].argmax()))
        assert write(lively, start, 80, temperature=1e-6) == decode(ids)


def test_characters_are_drawn_by_their_probabilities(weights):
    expected = np.exp(log_softmax(logits(weights, encode("e")[None])[0, -1].astype(np.float64) / 1.5))
    drawn = [encode(write(weights, "e", 1, seed, temperature=1.5))[-1] for seed in range(600)]
    found = np.bincount(drawn, minlength=96) / 600
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(expected.max() / 600))
    assert found[expected.argsort()[-10:]].sum() == pytest.approx(expected[expected.argsort()[-10:]].sum(), abs=0.08)


def test_it_writes_with_a_rounded_cache(lively):
    as_it_is = write(lively, "The ", 60, temperature=1e-6)
    assert write(lively, "The ", 60, temperature=1e-6, rounding=lambda x: np.round(x)) != as_it_is


# Formats


@pytest.mark.parametrize("form", [*FORMATS.values(), integers(4, 96), integers(2, 32)], ids=repr)
def test_weights_are_what_a_file_gives_back(lively, form):
    before = {name: array.copy() for name, array in lively.items()}
    found = quantized(lively, form)
    for name, array in lively.items():
        np.testing.assert_array_equal(array, before[name])
        assert found[name].shape == array.shape and found[name].dtype == np.float32
        if name not in MATRICES:
            np.testing.assert_array_equal(found[name], array)
            continue
        rows = array.T.ravel()  # blocks never reach from one output to the next, where they divide the inputs
        expected = form.unpack(form.quantize(rows).pack(), rows.shape).dequantize()
        np.testing.assert_array_equal(found[name].T.ravel(), expected)
        again = form.quantize(found[name].T.ravel()).dequantize()
        np.testing.assert_allclose(again, expected, rtol=1e-6)


def test_every_bit_less_costs_more(weights):
    read = some(40)
    in_float, rises = bits(weights, read).mean(), []
    for count in (8, 4, 2):
        rises.append(abs(bits(quantized(weights, integers(count, 32)), read).mean() - in_float))
    assert rises[0] < 0.005
    assert rises == sorted(rises) and rises[2] > 20 * rises[0]


@pytest.mark.parametrize("form", [FORMATS["q4_1"], FORMATS["nvfp4"], integers(4, 96)], ids=repr)
def test_gptq_rounds_layer_after_layer(lively, form):
    """Each matrix for the inputs that it has when those before it are rounded, those after it not yet."""
    read, so_far = some(6, CONTEXT), dict(lively)
    found = quantized(lively, form, read)
    for name in MATRICES:
        inputs = {}

        def multiply(at, x, kernel, inputs=inputs):
            inputs[at] = x.reshape(-1, x.shape[-1]).astype(np.float64)
            return x @ kernel

        logits(so_far, read, multiply)
        gram = inputs[name].T @ inputs[name]
        so_far[name] = gptq(lively[name], form, gram)
        np.testing.assert_array_equal(found[name], so_far[name])
        nearest = form.quantize(lively[name].T).dequantize().T
        by_gptq, by_nearest = (np.sum(e * (gram @ e)) for e in (found[name] - lively[name], nearest - lively[name]))
        assert by_gptq < by_nearest
    assert found.keys() == lively.keys()
    assert all(found[name] is lively[name] for name in found.keys() - MATRICES.keys())


# What cannot be


def test_what_cannot_be_read(lively):
    for wrong in (np.zeros(65, int), np.zeros((2, 1), int), np.zeros((2, 66), int), np.zeros((0, 65), int)):
        with pytest.raises(ValueError, match=r"passages must be \(n, 2 to 65\), as passages\(text\) makes them, got"):
            bits(lively, wrong)
    for wrong in (np.zeros(5, int), np.zeros((2, 0), int), np.zeros((1, 65), int), np.zeros((1, 2, 3), int)):
        with pytest.raises(ValueError, match=r"ids must be \(n, 1 to 64\), as passages\(text\) makes them, got shape"):
            logits(lively, wrong)
    with pytest.raises(ValueError, match=r"ids must be \(n, 1 to 4\), "):
        logits(lively, np.zeros((1, 5), int), start=60)
    for wrong in (-1, 96):
        for ask in (bits, logits, lambda weights, ids: quantized(weights, FORMATS["q4_0"], ids)):
            with pytest.raises(ValueError, match=rf"must be from 0 to 95, as encode\(text\) makes them, got .*{wrong}"):
                ask(lively, np.array([[3, wrong]]))
    for wrong in (np.zeros((1, 5)), [["a", "b"]]):
        with pytest.raises(TypeError, match="must hold integers"):
            bits(lively, wrong)
    last = some(1).copy()
    last[0, -1] = 96  # nothing is expected from the last, but it is expected
    with pytest.raises(ValueError, match="passages must be from 0 to 95"):
        bits(lively, last)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["embedding", "block1/up", "gain"])
def test_weights_that_are_no_numbers(lively, name, wrong):
    array = lively[name].copy()
    array.flat[:] = wrong
    broken = lively | {name: array}
    with np.errstate(invalid="ignore", over="ignore"):
        for ask in (lambda: bits(broken, some(1)), lambda: write(broken, "a", 3)):
            with pytest.raises(ValueError, match="logits are not finite: look for NaN and infinity in weights, multi"):
                ask()
        if name in MATRICES:
            for read in (None, some(1, CONTEXT)):
                with pytest.raises(ValueError, match="must hold finite numbers"):
                    quantized(broken, FORMATS["q4_0"], read)


def test_a_cache_of_other_characters(lively):
    cache = Cache()
    logits(lively, some(1, 10), store=cache)
    with pytest.raises(ValueError, match=r"store has 20 characters for start=0 and 10 new; take a new Cache\?"):
        logits(lively, some(1, 10), store=cache)
    with pytest.raises(ValueError, match="store has 3 characters for start=5 and 3 new"):
        logits(lively, some(1, 3), start=5)


def test_what_cannot_be_written(lively):
    for start, temperature in (("", 0.7), ("a", 0), ("a", -1), ("a", np.nan)):
        with pytest.raises(ValueError, match="to write, a start and a positive temperature are needed, got"):
            write(lively, start, temperature=temperature)
    for count in (0, 1.5):
        with pytest.raises(ValueError, match="count must be an integer from 1 to 100,000, got"):
            write(lively, "a", count)


def test_what_cannot_be_trained_or_rounded(lively):
    for seed in (-1, 0.5):
        with pytest.raises(ValueError, match="seed must be an integer from 0"):
            trained(seed)
    with pytest.raises(ValueError, match="steps must be an integer from 1"):
        trained(steps=0)
    with pytest.raises(TypeError, match=r"form must be a BlockFormat, such as FORMATS\['q4_0'\], got 'q4_0'"):
        quantized(lively, "q4_0")
    with pytest.raises(ValueError, match=r"the last axis must be a multiple of 64 long, got shape .*; transpose x, or"):
        quantized(lively, FORMATS["nf4"], some(1, CONTEXT))
    with pytest.raises(ValueError, match="the last axis must be a multiple of 31 long"):
        quantized(lively, integers(4, 31))
