"""Fake quantization in training: forward a staircase, back the straight-through gradient, and a weight in between."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qkit.numeric.affine import (
    QuantParams,
    QuantSpec,
    fake_quantize,
    params_from_range,
    quantize,
    reals,
    straight_through,
)
from qkit.show.canvas import Stage, number
from qkit.show.explorer import Explorer, choice, slider
from qkit.show.explorers.fake_quantization_picture import ByHand, Replay
from qkit.show.words.explorers import CONTROLS, FAKE_QUANTIZATION

VIEW = 1.55
"""How far from 0 the weight under the hand can get; its controls go less far."""


def fake_quantization(
    latent: np.ndarray | None = None, scales: np.ndarray | None = None, *, bits: int = 3, **start
) -> Explorer:
    """Show the fake quantizer of a weight, its gradient, and an update; by hand, or as a training went.

    Parameters
    ----------
    latent : array_like, shape (steps,) or (steps, weights), optional
        The float weights that training moved: one weight, or a few, at every training step.
    scales : array_like, shape (), (steps,) or (steps, weights)
        With ``latent``: the step of the grid that each weight was quantized on. The grid is symmetric and narrow,
        as that of weights is: with ``bits`` bits its integers go from −(2^(bits−1) − 1) up to 2^(bits−1) − 1.
    bits
        Where the control starts; with ``latent``, what it was trained at.
    start
        Where the other controls start.

    Returns
    -------
    Explorer
        By hand, with the controls ``bits``, ``clip``, ``w`` and ``push``; of a training, with ``step`` and, where
        there are several weights, ``weight``.

    Raises
    ------
    ValueError
        If only one of ``latent`` and ``scales`` is given, their shapes do not agree, there are fewer than two steps,
        a value is not finite, a scale is not positive, or a control does not offer what it should start with.
    """
    if (latent is None) != (scales is None):
        raise ValueError("latent and scales belong together, got only one of them")
    return _by_hand(bits, start) if latent is None else _replay(_paths(latent, scales, bits), start)


@dataclass(frozen=True)
class Moment:
    """A weight on its grid, and where the next update takes it.

    Attributes
    ----------
    w, w_hat : float
        The latent weight and the quantized one.
    after, after_hat : float
        The same after the update.
    passes : bool
        Whether the straight-through gradient is 1, or 0 because the weight is clipped.
    jumps : bool
        Whether the update changes the integer.
    params : QuantParams
        The grid before the update.
    """

    w: float
    w_hat: float
    after: float
    after_hat: float
    passes: bool
    jumps: bool
    params: QuantParams


def update_by_hand(w: float, push: float, params: QuantParams) -> Moment:
    """Move ``w`` against the gradient: by ``push``, which is learning rate times gradient, if that passes."""
    passes = bool(straight_through(w, params))
    after = w - push * passes
    w_hat, after_hat = fake_quantize(np.array([w, after]), params).tolist()
    return Moment(w, w_hat, after, after_hat, passes, after_hat != w_hat, params)


@dataclass(frozen=True, eq=False)
class Path:
    """One weight through a training; arrays of shape (steps,).

    Attributes
    ----------
    w, w_hat, scale : ndarray of float
    q : ndarray of int
        The integer that ``w`` is quantized to.
    passes : ndarray of bool
    jumps, turns : ndarray of int
        How often ``q`` has changed up to a step, and how often in the direction opposite to the change before.
    bits : int
    """

    w: np.ndarray
    w_hat: np.ndarray
    scale: np.ndarray
    q: np.ndarray
    passes: np.ndarray
    jumps: np.ndarray
    turns: np.ndarray
    bits: int

    def at(self, step: int) -> Moment:
        """Return where the weight is at ``step``, and at the next one; after the last step it stays."""
        after = min(step + 1, len(self.w) - 1)
        here, there = ((float(self.w[i]), float(self.w_hat[i])) for i in (step, after))
        params = QuantParams(float(self.scale[step]), 0, _spec(self.bits))
        return Moment(*here, *there, bool(self.passes[step]), self.q[after] != self.q[step], params)


def follow(w: np.ndarray, scale: np.ndarray, bits: int) -> Path:
    """Quantize a weight at every step of its training, and count its jumps."""
    # Steps of training take the place of channels: each has a grid of its own.
    params = QuantParams(scale, np.zeros(len(w), int), _spec(bits, axis=0))
    q = quantize(w, params).astype(int)
    moves = np.diff(q, prepend=q[0])
    jumped = np.flatnonzero(moves)
    turned = jumped[1:][moves[jumped[1:]] * moves[jumped[:-1]] < 0]
    jumps, turns = (np.cumsum(np.isin(np.arange(len(w)), steps)) for steps in (jumped, turned))
    return Path(w, fake_quantize(w, params), params.scale, q, straight_through(w, params) == 1, jumps, turns, bits)


def say(moment: Moment) -> str:
    """Say in words what happens forward, back, and in the update."""
    spec = moment.params.spec
    words = FAKE_QUANTIZATION
    grid = words["grid"].format(
        bits=spec.bits, levels=spec.levels, scale=number(moment.params.scale), clip=number(moment.params.high)
    )
    forward = words["forward"].format(w=number(moment.w), w_hat=number(moment.w_hat))
    back = words["passes" if moment.passes else "clipped"]
    if moment.after == moment.w:
        return f"{grid} {forward} {back} {words['stands']}"
    update = words["jumps" if moment.jumps else "stays"].format(
        move=number(moment.after - moment.w), after=number(moment.after), after_hat=number(moment.after_hat)
    )
    return f"{grid} {forward} {back} {update}"


def _by_hand(bits: int, start: dict) -> Explorer:
    stage = Stage(9, 4.9, lambda figure: ByHand(figure, VIEW))

    def update(bits, clip, w, push) -> tuple[bytes, str]:
        moment = update_by_hand(w, push, params_from_range(-clip, clip, _spec(bits)))
        stage.parts.show(moment)
        return stage.png(), say(moment)

    controls = {
        "bits": slider(*CONTROLS["bits"], 3, 2, 8),
        "clip": slider(*CONTROLS["clip"], 1, 0.2, 1.2, step=0.05),
        "w": slider(*CONTROLS["w"], 0.55, -1.4, 1.4, step=0.01),
        "push": slider(*CONTROLS["push"], 0.1, -0.3, 0.3, step=0.01),
    }
    return Explorer(controls, update, stage.size, {"bits": bits} | start, lines=3)


def _replay(paths: list[Path], start: dict) -> Explorer:
    # Each weight has axes of its own; a picture of a few megabytes is kept for each of the last ones.
    @lru_cache(maxsize=8)
    def stage(weight: int) -> Stage:
        return Stage(9, 4.9, lambda figure: Replay(figure, paths[weight]))

    def update(step, weight=0) -> tuple[bytes, str]:
        path, shown = paths[weight], stage(weight)
        moment = path.at(step)
        shown.parts.show(moment, step)
        where = FAKE_QUANTIZATION["where"].format(step=step, last=len(path.w) - 1)
        counts = FAKE_QUANTIZATION["counts"].format(jumps=path.jumps[step], turns=path.turns[step])
        return shown.png(), f"{where} {say(moment)} {counts}"

    steps = len(paths[0].w)
    controls = {"step": slider(*CONTROLS["step"], (steps - 1) // 2, 0, steps - 1)}
    if len(paths) > 1:
        controls["weight"] = choice(*CONTROLS["weight"], 0, {i: str(i) for i in range(len(paths))})
    return Explorer(controls, update, stage(0).size, start, lines=3)


def _paths(latent: np.ndarray, scales: np.ndarray, bits: int) -> list[Path]:
    latent, scales = reals(latent, "latent"), reals(scales, "scales")
    if latent.ndim not in (1, 2) or len(latent) < 2 or latent.size == 0:
        raise ValueError(
            f"latent must have shape (steps,) or (steps, weights), with two steps or more, got {latent.shape}"
        )
    if scales.shape not in ((), latent.shape, latent.shape[:1]):
        raise ValueError(
            f"scales must be one number or have shape {latent.shape[:1]} or {latent.shape}, got {scales.shape}"
        )
    latent = latent.reshape(len(latent), -1)
    scales = np.broadcast_to(scales[:, None] if scales.ndim == 1 else scales, latent.shape)
    return [follow(w, scale, bits) for w, scale in zip(latent.T, scales.T, strict=True)]


def _spec(bits: int, axis: int | None = None) -> QuantSpec:
    return QuantSpec(bits, symmetric=True, narrow_range=True, axis=axis)
