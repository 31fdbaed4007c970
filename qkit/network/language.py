"""A small language model: the text it reads, its arithmetic, its training, its bits per character, what it writes.

It guesses the next character. All of it is one function, :func:`logits`, of a dictionary of arrays. TensorFlow trains
with that function; whatever comes after runs it in NumPy, and can change each array, each product and what is stored.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from zlib import crc32

import numpy as np
from scipy.special import log_softmax, softmax

from qkit.keeping import Arrays, check_like, data_home, kept, key, progress
from qkit.network import recipe
from qkit.numeric.affine import reals, whole
from qkit.numeric.formats import BlockFormat
from qkit.numeric.rounding import gptq

VERSION = 1
"""Goes up when the same text and settings train other weights: a test says so."""

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
WIDTH, HEADS, BLOCKS, CONTEXT = 96, 4, 2, 64
STEPS, BATCH, LEARNING_RATE = 1600, 32, 3e-3

SHAPES = {"attention": (WIDTH, 3 * WIDTH), "mix": (WIDTH, WIDTH), "up": (WIDTH, 4 * WIDTH), "down": (4 * WIDTH, WIDTH)}
MATRICES = {f"block{place}/{name}": SHAPES[name] for place in range(1, BLOCKS + 1) for name in SHAPES}
MATRICES["head"] = WIDTH, len(CHARACTERS)
"""The matrices that characters are multiplied with, (inputs, outputs): 230,400 of the model's 247,200 weights."""

Multiply = Callable[[str, np.ndarray, np.ndarray], np.ndarray]
Store = Callable[[str, np.ndarray], np.ndarray]


def text() -> tuple[str, str]:
    """Return the characters to train on and those to test with: 246,000 and 22,000 of the manual that Python carries.

    ``pydoc_data.topics`` differs a little between versions of Python. Of its paragraphs those are taken that 3.10.13,
    3.11.2, 3.11.7, 3.12.1 and 3.13.0 share (``paragraphs.json`` has their checksums), each once, though many stand
    under several topics: else the model would be tested on what it was trained on. Every twelfth is for the test. How
    many another Python lacks is printed. Taught in notebook 11, section 1.
    """
    from pydoc_data.topics import topics

    paragraphs = (paragraph for topic in topics.values() for paragraph in re.split(r"\n\s*\n", topic.strip("\n")))
    found = {crc32(paragraph.encode()): paragraph for paragraph in paragraphs}
    wanted = json.loads(Path(__file__).with_name("paragraphs.json").read_text(encoding="utf-8"))
    if missing := sum(code not in found for code in wanted):
        print(f"This Python's manual lacks {missing} of the {len(wanted):,} paragraphs: figures will differ a little.")
    split = [], []
    for place, code in enumerate(wanted):
        split[place % 12 == 2].append(found.get(code, ""))
    return tuple("\n\n".join(part) for part in split)


def encode(characters: str) -> np.ndarray:
    """Return the numbers of characters, int32: 0 for the end of a line, 1 for a space; ``?`` for what is not ASCII.

    Tabs and other control characters become ends of lines.

    >>> encode("a b")
    array([66,  1, 67], dtype=int32)
    """
    codes = np.frombuffer(characters.encode("ascii", "replace"), np.uint8).astype(np.int32)
    return np.maximum(codes - 31, 0) % len(CHARACTERS)


def decode(ids: np.ndarray) -> str:
    """Return the characters that have these numbers."""
    return "".join(CHARACTERS[i] for i in ids)


def checked_ids(ids: np.ndarray, name: str, least: int, most: int) -> np.ndarray:
    """Return characters' numbers, if they are from 0 to 95 and (n, ``least`` to ``most``); else a ValueError."""
    ids = reals(ids, name, integers=True)
    if ids.ndim != 2 or not least <= ids.shape[1] <= most or not ids.size:
        raise ValueError(f"{name} must be (n, {least} to {most}), as passages(text) makes them, got shape {ids.shape}")
    if ids.min() < 0 or ids.max() >= len(CHARACTERS):
        raise ValueError(f"{name} must be from 0 to 95, as encode(text) makes them, got {ids.min()} to {ids.max()}")
    return ids


def finite(z: np.ndarray) -> np.ndarray:
    """Return what the model expects, if it is finite; else a ValueError."""
    if not np.all(np.isfinite(z)):
        raise ValueError("the model's logits are not finite: look for NaN and infinity in weights, multiply and store")
    return z


def passages(characters: str) -> np.ndarray:
    """Cut a text into passages of 64 characters and one more, the first of the next: int32, (passages, 65)."""
    ids = encode(characters)
    count = (len(ids) - 1) // CONTEXT
    if count < 1:
        raise ValueError(f"a text must have at least {CONTEXT + 1} characters for a passage, got {len(ids)}")
    return np.lib.stride_tricks.sliding_window_view(ids, CONTEXT + 1)[::CONTEXT][:count]


def logits(
    weights: Arrays,
    ids: np.ndarray,
    multiply: Multiply = lambda name, x, kernel: x @ kernel,
    store: Store = lambda name, x: x,
    start: int = 0,
    xp=np,
):
    """Return for each character how strongly the model expects which to follow: (n, length, 96).

    A character is a vector of 96 numbers, its embedding, plus that of its position. Each block adds to it twice. In
    attention, it takes from itself and the characters before it: of each, its value v, weighed by how well its key k
    fits the query q, softmax(q kᵀ / √24); four heads of 24 numbers do so side by side. Then two dense layers with ReLU
    between them work on each character alone. Before each, a vector is divided by its root mean square, and multiplied
    by a gain. Sources: Vaswani et al. 2017, arXiv:1706.03762; Zhang and Sennrich 2019, arXiv:1910.07467.
    Taught in notebook 11, section 1.

    ``ids`` are integers (n, length) from 0 to 95. ``multiply`` is what each of :data:`MATRICES` does: from its name,
    inputs (n, length, inputs) and the kernel to outputs; ``store`` leads from a name and the keys or values of these
    characters, (n, 4, length, 24), to those of all so far. ``start`` characters came before these, which ``store`` has
    kept; together they are at most 64: else a ValueError. ``xp`` is NumPy, or TensorFlow's counterpart, for training.
    """
    if xp is np:
        start = whole(start, "start", 0, CONTEXT - 1)
        ids = checked_ids(ids, "ids", 1, CONTEXT - start)
    length = ids.shape[1]

    def normalized(x, gain):
        return x / xp.sqrt(xp.mean(x * x, -1, keepdims=True) + 1e-5) * weights[gain]

    x = xp.take(weights["embedding"], ids, axis=0) + weights["position"][start : start + length]
    for block in (f"block{place}" for place in range(1, BLOCKS + 1)):
        joined = multiply(f"{block}/attention", normalized(x, f"{block}/gain1"), weights[f"{block}/attention"])
        heads = xp.reshape(joined, (-1, length, 3, HEADS, WIDTH // HEADS))
        q, k, v = (heads[:, :, place] for place in range(3))
        q, k, v = (xp.transpose(each, (0, 2, 1, 3)) for each in (q, k, v))
        k, v = store(f"{block}/keys", k), store(f"{block}/values", v)
        if k.shape[2] != start + length:
            raise ValueError(f"store has {k.shape[2]} characters for start={start} and {length} new; take a new Cache?")
        later = np.triu(np.full((length, start + length), -1e9, np.float32), 1 + start)
        fit = q @ xp.transpose(k, (0, 1, 3, 2)) / (WIDTH // HEADS) ** 0.5 + later
        share = xp.exp(fit - xp.max(fit, -1, keepdims=True))
        taken = (share / xp.sum(share, -1, keepdims=True)) @ v
        taken = xp.reshape(xp.transpose(taken, (0, 2, 1, 3)), (-1, length, WIDTH))
        x = x + multiply(f"{block}/mix", taken, weights[f"{block}/mix"])

        up = multiply(f"{block}/up", normalized(x, f"{block}/gain2"), weights[f"{block}/up"])
        up = xp.maximum(up + weights[f"{block}/up_bias"], np.float32(0))
        x = x + multiply(f"{block}/down", up, weights[f"{block}/down"]) + weights[f"{block}/down_bias"]
    return multiply("head", normalized(x, "gain"), weights["head"])


def bits(weights: Arrays, passages: np.ndarray, **how) -> np.ndarray:
    """Return for each passage how many bits its characters take on average, float64 (passages,).

    A character that the model expects with probability p takes -log2 p bits, as in a file that spends on each as many
    as it surprises. All 96 alike would be log2 96 = 6.58. The first of a passage is guessed from one, the last from 64.
    ``passages`` are those of :func:`passages`, integers (n, 2 to 65) from 0 to 95, else a ValueError; ``how`` can have
    ``multiply`` and ``store`` for :func:`logits`. Taught in notebook 11, section 1.
    """
    ids = checked_ids(passages, "passages", 2, CONTEXT + 1)
    expected = log_softmax(finite(logits(weights, ids[:, :-1], **how)), axis=-1)
    return -np.take_along_axis(expected, ids[:, 1:, None], axis=-1).mean(axis=(1, 2), dtype=np.float64) / np.log(2)


class Cache(dict):
    """Keys and values of all characters so far, for :func:`logits` to ``store``; each is rounded once, when it comes.

    ``rounding`` is a function of arrays (n, heads, characters, 24). Taught in notebook 11, section 8.
    """

    def __init__(self, rounding: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> None:
        super().__init__()
        self.rounding = rounding

    def __call__(self, name: str, x: np.ndarray) -> np.ndarray:
        new = self.rounding(x)
        self[name] = np.concatenate([self[name], new], axis=2) if name in self else new
        return self[name]


def write(
    weights: Arrays,
    start: str,
    count: int = 200,
    seed: int = 0,
    temperature: float = 0.7,
    rounding: Callable[[np.ndarray], np.ndarray] = lambda x: x,
) -> str:
    """Let the model continue a text by ``count`` characters, each drawn by its probabilities softmax(z / temperature).

    Keys and values of earlier characters come from a :class:`Cache`. At the start, and when it holds 64 characters, the
    last 32 are read into an empty one. Returns ``start`` and what follows. Taught in notebook 11, section 5.
    """
    count, rng, ids = whole(count, "count", 1, 100_000), np.random.default_rng(seed), list(encode(start))
    if not ids or not temperature > 0:
        raise ValueError(f"to write, a start and a positive temperature are needed, got {start!r} and {temperature}")
    position = CONTEXT
    for _ in range(count):
        if position == CONTEXT:
            cache, position, new = Cache(rounding), 0, ids[-CONTEXT // 2 :]
        z = finite(logits(weights, np.array([new]), store=cache, start=position)[0, -1])
        position += len(new)
        new = [rng.choice(len(CHARACTERS), p=softmax((z - z.max()).astype(np.float64) / temperature))]
        ids += new
    return decode(ids)


def quantized(weights: Arrays, form: BlockFormat, read: np.ndarray | None = None) -> Arrays:
    """Return the weights with all :data:`MATRICES` in a block format: what a file in that format gives back.

    Each weight goes to the nearest value; or, with passages to ``read``, (n, length) integers, by
    :func:`~qkit.numeric.rounding.gptq` layer after layer, for the inputs that each gets once those before it are
    rounded. All else, 7 % of the weights, stays. Blocks run along a matrix's inputs, or, where a block does not
    divide them, through all of the matrix, output after output; that gptq refuses. Taught in notebook 11, section 4.
    """
    if not isinstance(form, BlockFormat):
        raise TypeError(f"form must be a BlockFormat, such as FORMATS['q4_0'], got {form!r}")
    rounded = dict(weights)

    def multiply(name: str, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        rounded[name] = gptq(kernel, form, rows.T @ rows)
        return x @ rounded[name]

    if read is not None:
        logits(weights, read, multiply)
        return rounded
    for name, (inputs, outputs) in MATRICES.items():
        rows = weights[name].T if inputs % form.block == 0 else weights[name].T.ravel()
        rounded[name] = form.quantize(rows).dequantize().reshape(outputs, inputs).T
    return rounded


def trained(seed: int = 0, steps: int = STEPS) -> Arrays:
    """Return the model's weights, trained: from ``data/networks/`` when it has been trained before, else trained now.

    Each step reads 32 passages from random places of the training text: Adam, the learning rate falling from 0.003 to
    0, the gradient's norm clipped to 1. ``seed`` decides about the weights at the start and the places. Taught in
    notebook 11, section 1.
    """
    seed, steps = whole(seed, "seed", 0, 2**32 - 1), whole(steps, "steps", 1, 10**6)
    characters, _ = text()
    libraries = [version(library) for library in ("tensorflow", "tf_keras")]
    settings = WIDTH, HEADS, BLOCKS, CONTEXT, BATCH, LEARNING_RATE, recipe.THREADS, seed, steps
    made_from = key(VERSION, settings=settings, text=crc32(characters.encode()), libraries=libraries)
    what, like = f"a language model (seed {seed})", untrained(seed)
    path = data_home() / "networks" / f"language-{made_from}.npz"
    accept = partial(check_like, like=like, what=what)
    return kept(path, lambda: train(like, encode(characters), seed, steps), what=what, accept=accept)


def untrained(seed: int) -> Arrays:
    """Return the weights at the start: matrices uniform (Glorot and Bengio), embeddings normal, gains 1, biases 0."""
    rng, weights = np.random.default_rng(seed), {"gain": np.ones(WIDTH)}
    for name, length in (("embedding", len(CHARACTERS)), ("position", CONTEXT)):
        weights[name] = rng.normal(0, 0.05, (length, WIDTH))
    for name, (inputs, outputs) in MATRICES.items():
        weights[name] = rng.uniform(-1, 1, (inputs, outputs)) * (6 / (inputs + outputs)) ** 0.5
    for block in (f"block{place}" for place in range(1, BLOCKS + 1)):
        ones = {f"{block}/gain1": np.ones(WIDTH), f"{block}/gain2": np.ones(WIDTH)}
        weights |= ones | {f"{block}/up_bias": np.zeros(4 * WIDTH), f"{block}/down_bias": np.zeros(WIDTH)}
    return {name: array.astype(np.float32) for name, array in weights.items()}


def train(weights: Arrays, ids: np.ndarray, seed: int, steps: int) -> Arrays:
    """Return weights after so many steps of training on a text."""
    from qkit.network.backend import keras, tf  # here, because whoever finds the weights kept needs no TensorFlow

    variables = {name: tf.Variable(array) for name, array in weights.items()}
    rates = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.Adam(rates, beta_2=0.99, global_clipnorm=1.0)

    # Compiled by XLA; TensorFlow's own optimizer adds slopes up in another order each time.
    @tf.function(jit_compile=True)
    def step(passages: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            values = {name: variable.value() for name, variable in variables.items()}
            z = logits(values, passages[:, :-1], xp=tf.experimental.numpy)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(passages[:, 1:], z))
        optimizer.minimize(loss, list(variables.values()), tape=tape)

    rng, windows = np.random.default_rng(seed), np.lib.stride_tricks.sliding_window_view(ids, CONTEXT + 1)
    with progress(range(steps), desc="training a language model", unit=" steps") as bar:
        if bar.disable:
            print("Training a language model.", flush=True)
        for _ in bar:
            step(windows[rng.integers(0, len(windows), BATCH)])
    return {name: variable.numpy() for name, variable in variables.items()}
