"""One number's journey through a layer of integers: window, weights, int32 sum, multiplier, rounding, clip.

q = clip(round((q_bias - Z_x · Σ q_w + Σ q_x · q_w) · M) + Z_y)
"""

from functools import lru_cache

import numpy as np

from qkit.numeric.affine import reals
from qkit.numeric.fixed_point import RUNTIMES, Requantized, Runtime
from qkit.numeric.integer_layers import Dense, Trace
from qkit.show.canvas import Stage, exact, number
from qkit.show.explorer import Explorer, choice, slider
from qkit.show.explorers.journey_picture import Parts
from qkit.show.words import explorers as words
from qkit.show.words.explorers import CONTROLS, JOURNEY


def journey(
    layer: Dense,
    q_inputs: np.ndarray,
    floats: np.ndarray | None = None,
    *,
    image: int = 0,
    row: int | None = None,
    column: int | None = None,
    channel: int = 0,
    runtime: Runtime = "xnnpack",
) -> Explorer:
    """Follow one output number of an int8 convolution or dense layer from its int8 inputs to the int8 result.

    Parameters
    ----------
    layer : Dense or Convolution
        From :mod:`qkit.numeric.integer_layers`: one of ``IntegerNetwork.layers``.
    q_inputs : ndarray of int8, shape (n, ...)
        The layer's input for some images: what ``IntegerNetwork.run`` has under the name ``layer.source``.
    floats : ndarray of float, shape (n, *layer.shape), optional
        The float network's own output of this layer, to stand beside.
    image, row, column, channel, kernels
        Where the controls start: by default in the middle of the first image.

    Returns
    -------
    Explorer
        With the controls ``image``, ``channel``, ``runtime``; and ``row`` and ``column`` for a convolution.

    Raises
    ------
    ValueError
        If the inputs or the floats are not those of this layer, or a control does not offer what it should start
        with.
    """
    q_inputs, floats = _as_inputs(layer, q_inputs), _as_floats(layer, floats, len(q_inputs))
    stage = Stage(9, 5.6, Parts)

    @lru_cache(maxsize=8)
    def output(image: int, runtime: Runtime) -> np.ndarray:
        return layer.run(q_inputs[image][None], runtime)[0]

    def update(image, channel, runtime, **place) -> tuple[bytes, str]:
        position = (*place.values(), channel)
        step = layer.trace(q_inputs[image], position, runtime)
        answers = {name: layer.requantizer.steps(step.acc, channel, name) for name in RUNTIMES}
        beside = None if floats is None else float(floats[(image, *position)])
        stage.parts.show(output(image, runtime), step, answers, beside)
        return stage.png(), say(layer, image, step, answers, beside)

    controls = {"image": slider(*CONTROLS["image"], 0, 0, len(q_inputs) - 1)}
    start = {"image": image}
    for name, value, count in zip(("row", "column"), (row, column), layer.shape[:-1], strict=False):
        controls[name] = slider(*CONTROLS[name], 0, 0, count - 1)
        start[name] = count // 2 if value is None else value
    controls["channel"] = slider(*CONTROLS["output_channel"], 0, 0, layer.shape[-1] - 1)
    controls["runtime"] = choice(*CONTROLS["rounding"], "xnnpack", words.RUNTIMES)
    return Explorer(controls, update, stage.size, start | {"channel": channel, "runtime": runtime})


def say(layer: Dense, image: int, step: Trace, answers: dict[str, Requantized], beside: float | None) -> str:
    """Say in words what the picture shows."""
    now = step.requantized
    others = {words.RUNTIMES[name]: answer.q for name, answer in answers.items() if answer.q != now.q}
    sentences = [
        JOURNEY["sums"].format(
            layer=layer.name,
            image=image,
            position=", ".join(map(str, step.position)),
            count=step.q_patch.size,
            folded=exact(step.folded_bias),
            acc=exact(step.acc),
            real=number(step.real),
        ),
        JOURNEY["once" if now.halfway is None else "twice"].format(
            product=exact(now.product),
            runtime=words.RUNTIMES[now.runtime],
            halfway=exact(now.halfway or 0),
            rounded=exact(now.rounded),
        ),
        JOURNEY["kept" if now.q == now.shifted else "clipped"].format(
            zero_point=number(layer.y.zero_point),
            shifted=exact(now.shifted),
            q=number(now.q),
            real_hat=number(step.real_hat),
        ),
    ]
    if beside is not None:
        sentences.append(JOURNEY["float_words"].format(value=number(beside)))
    if others:
        listed = ", ".join(f"{name} {number(q)}" for name, q in others.items())
        sentences.append(JOURNEY["differ"].format(others=listed))
    else:
        sentences.append(JOURNEY["agree"].format(q=number(now.q)))
    return " ".join(sentences)


def _as_inputs(layer: Dense, q_inputs: np.ndarray) -> np.ndarray:
    q_inputs = np.asarray(q_inputs)
    if q_inputs.dtype != np.int8 or q_inputs.ndim != layer.q_weights.ndim or len(q_inputs) == 0:
        raise ValueError(
            f"q_inputs must be the int8 inputs of {layer.name} for at least one image, which are the outputs of "
            f"{layer.source}; got {q_inputs.dtype} of shape {q_inputs.shape}"
        )
    layer.sums(q_inputs[:1])  # refuses another shape
    return q_inputs


def _as_floats(layer: Dense, floats: np.ndarray | None, count: int) -> np.ndarray | None:
    if floats is None:
        return None
    floats = reals(floats, "floats")
    if floats.shape != (count, *layer.shape):
        raise ValueError(f"floats must have shape {(count, *layer.shape)}, as the outputs, got {floats.shape}")
    return floats
