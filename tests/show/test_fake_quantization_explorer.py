"""The explorer of fake quantization: its numbers against their definitions, its words, its pictures."""

import re
import sys
from itertools import product

import numpy as np
import pytest

from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_range, straight_through
from qkit.show import explorers
from qkit.show.canvas import Stage
from qkit.show.numerals import number

RNG = np.random.default_rng(12)
LATENT = np.cumsum(RNG.normal(scale=0.1, size=(40, 3)), axis=0).astype(np.float32)
SCALES = np.linspace(0.2, 0.3, 40).astype(np.float32)


def weights(bits: int) -> QuantSpec:
    return QuantSpec(bits, symmetric=True, narrow_range=True)


@pytest.fixture
def drawn(monkeypatch):
    """Return what makes an explorer and gives the lines of its picture, by the axes they are in."""
    stages = []

    def recorded(*size):
        stages.append(Stage(*size))
        return stages[-1]

    monkeypatch.setattr(sys.modules["qkit.show.explorers.fake_quantization"], "Stage", recorded)

    def draw(*arguments, **start):
        explorers.fake_quantization(*arguments, **start)
        return [axes.lines for axes in stages[-1].figure.axes]

    return draw


def said(w, w_hat, after, after_hat, passes, jumps) -> str:
    """What the words must hold."""
    back = f"straight-through takes {int(passes)}"
    if after == w:
        return f"Forward, w = {number(w)} becomes ŵ = {number(w_hat)}. .*{back}.* leaves w where it is"
    update = f"ŵ jumps to {number(after_hat)}" if jumps else f"ŵ stays on its level {number(after_hat)}, but"
    move = f"moves w by {number(after - w)} to {number(after)}; {update}"
    return f"Forward, w = {number(w)} becomes ŵ = {number(w_hat)}. .*{back}.* {move}"


def test_an_update_by_hand_is_descent_on_the_straight_through_gradient():
    explorer = explorers.fake_quantization()
    for bits, w, push in product((2, 3, 8), (-1.3, -1.0, -0.31, 0.0, 0.5, 1.0, 1.01), (0.2, -0.01)):
        params = params_from_range(-1.0, 1.0, weights(bits))
        after = w - push if abs(w) <= 1 else w
        w_hat, after_hat = (float(fake_quantize(x, params)) for x in (w, after))
        expected = said(w, w_hat, after, after_hat, abs(w) <= 1, after_hat != w_hat)
        assert re.search(expected, explorer.set(bits=bits, w=w, push=push).words)
        grid = f"{bits} bits: {params.spec.levels} levels, a step of {number(params.scale)} apart, from −1 to 1."
        assert explorer.words.startswith(grid)


def test_a_path_is_quantized_step_by_step():
    w = LATENT[:, 1]
    for bits in (2, 4):
        explorer = explorers.fake_quantization(LATENT, SCALES, bits=bits, weight=1)
        grids = [QuantParams(scale, 0, weights(bits)) for scale in SCALES]
        w_hat = [float(fake_quantize(x, params)) for x, params in zip(w, grids, strict=True)]
        q = np.rint(np.divide(w_hat, SCALES)).astype(int)
        for step, params in enumerate(grids):
            after = min(step + 1, 39)
            passes, jumps = straight_through(w[step], params), q[after] != q[step]
            expected = said(float(w[step]), w_hat[step], float(w[after]), w_hat[after], passes, jumps)
            words = explorer.set(step=step).words
            assert re.search(expected, words)
            assert words.startswith(f"Step {step} of 39. {bits} bits: ")
            assert f"Jumps of ŵ so far: {np.count_nonzero(np.diff(q[: step + 1]))}, " in words


def test_jumps_and_turns_are_counted():
    explorer = explorers.fake_quantization([0, 1, 0, 0, 1, 2, 1, 9], 1, bits=3)
    for step, (jumps, turns) in enumerate(zip([0, 1, 2, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2, 3, 4], strict=True)):
        assert explorer.set(step=step).words.endswith(f"Jumps of ŵ so far: {jumps}, of which back: {turns}.")


def test_a_target_between_two_levels_makes_a_weight_oscillate():
    """The loop that a learner may write: the best weight is 0.3, and the levels are 0 and 1."""
    params, w, latent = QuantParams(1.0, 0, weights(2)), 0.2, []
    for _ in range(200):
        latent.append(w)
        w -= 0.05 * (fake_quantize(w, params) - 0.3) * straight_through(w, params)
    assert np.all(np.abs(np.array(latent[50:]) - 0.5) < 0.06)
    assert np.mean(fake_quantize(latent[50:], params)) == pytest.approx(0.3, abs=0.02)
    words = explorers.fake_quantization(latent, 1, bits=2, step=199).words
    jumps, turns = map(int, re.search(r"so far: (\d+), of which back: (\d+)\.", words).groups())
    assert jumps > turns > 20


def test_the_largest_weight_of_a_float32_tensor_is_not_clipped():
    scales = [params_from_range(-largest, largest, weights(8)).scale for largest in RNG.random(50).astype(np.float32)]
    explorer = explorers.fake_quantization(np.float32(np.multiply(127, scales)), np.float32(scales), bits=8)
    for step in range(50):
        assert "straight-through takes 1" in explorer.set(step=step).words


def test_words_tell_what_the_update_does():
    explorer = explorers.fake_quantization(bits=3, clip=1, w=0.55, push=0.1)
    assert "w = 0.55 becomes ŵ = 0.667." in explorer.words
    assert "straight-through takes 1" in explorer.words
    assert "moves w by −0.1 to 0.45; ŵ jumps to 0.333." in explorer.words
    assert "ŵ stays on its level 0.667, but w remembers" in explorer.set(push=-0.1).words
    assert "leaves w where it is." in explorer.set(push=0).words
    clipped = explorer.set(w=1.2, push=0.1).words
    assert "straight-through takes 0" in clipped and "leaves w where it is." in clipped


def test_words_of_a_replay_at_its_ends():
    explorer = explorers.fake_quantization(LATENT, SCALES, bits=2, step=39)
    assert explorer.words.startswith("Step 39 of 39.")
    assert "leaves w where it is." in explorer.words
    assert explorer.set(step=0).words.endswith("Jumps of ŵ so far: 0, of which back: 0.")


def test_the_staircase_is_the_fake_quantizer(drawn):
    for bits in (2, 5, 8):
        params = params_from_range(-0.9, 0.9, weights(bits))
        above, below = drawn(bits=bits, clip=0.9)
        x, y = next(line for line in above if line.get_label() == "quantizer").get_data()
        between, flat = (x[1:] + x[:-1]) / 2, np.diff(x) > 0
        np.testing.assert_allclose(y[1:][flat], fake_quantize(between[flat], params))
        gradients = {line.get_label(): line for line in below}
        inside = np.array([-0.95, -0.85, 0, 0.85, 0.95])
        through = np.interp(inside, *gradients["straight-through"].get_data())
        np.testing.assert_array_equal(through, straight_through(inside, params))
        assert np.sum(gradients["true slope"].get_ydata() > 0) == params.spec.levels - 1


def test_the_replay_draws_the_path_up_to_the_step(drawn):
    *_, path, enlarged = drawn(LATENT[:, 0], SCALES, bits=2, step=17)
    w_hat = [fake_quantize(w, QuantParams(s, 0, weights(2))) for w, s in zip(LATENT[:18, 0], SCALES[:18], strict=True)]
    lines = {line.get_label(): line for line in path}
    np.testing.assert_array_equal(lines["w"].get_data(), [np.arange(18), LATENT[:18, 0]])
    np.testing.assert_allclose(lines["ŵ"].get_data(), [np.arange(18), w_hat])
    assert any(np.array_equal(line.get_ydata(), (LATENT[:, 0] / SCALES.astype(float))[:18]) for line in enlarged)


def test_scales_may_be_one_number_or_one_a_step_or_one_a_weight():
    latent, start = LATENT[:6], {"bits": 2, "step": 4}
    pngs = {
        explorers.fake_quantization(latent, scales, weight=1, **start).png()
        for scales in (0.25, np.full(6, 0.25), np.full((6, 3), 0.25))
    }
    assert len(pngs) == 1
    alone = explorers.fake_quantization(latent[:, 1], 0.25, **start)
    assert set(alone.controls) == {"step"}
    assert alone.png() in pngs
    assert set(explorers.fake_quantization(latent, 0.25).controls) == {"step", "weight"}


@pytest.mark.filterwarnings("error")
def test_any_path_can_be_explored():
    for latent, scales, bits in (
        (np.zeros(2), 1, 2),
        (np.arange(-4, 5), 2, 2),
        (LATENT * 1e-30, 1e-31, 8),
        (LATENT.astype(float) * 1e90, 1e89, 8),
        (LATENT.astype(np.float16), np.float16(0.25), 2),
        (LATENT, 1e-9, 2),  # all clipped
        (LATENT, 1e9, 8),  # all on 0
        (np.zeros((3000, 1)), 0.1, 8),
    ):
        explorer = explorers.fake_quantization(latent, scales, bits=bits)
        for step in (0, len(latent) - 1):
            assert not re.search(r"nan|inf\b|\{", explorer.set(step=step).words)


def test_what_cannot_be_used_is_refused():
    for arguments, message in (
        ({"latent": LATENT}, "latent and scales belong together"),
        ({"scales": SCALES}, "latent and scales belong together"),
        ({"latent": LATENT[:1], "scales": 1}, "with two steps or more, got (1, 3)"),
        ({"latent": np.zeros((4, 0)), "scales": 1}, "latent must have shape"),
        ({"latent": np.zeros((4, 2, 2)), "scales": 1}, "latent must have shape"),
        ({"latent": 0.5, "scales": 1}, "latent must have shape"),
        ({"latent": LATENT, "scales": np.ones(3)}, "scales must be one number or have shape ("),
        ({"latent": LATENT, "scales": 0}, "scale must be positive"),
        ({"latent": LATENT * np.nan, "scales": 1}, "latent must hold finite numbers"),
        ({"latent": LATENT, "scales": np.inf}, "scales must hold finite numbers"),
        ({"latent": LATENT, "scales": 1, "bits": 1}, "bits must be an integer from 2 to 16, got 1"),
        ({"latent": LATENT, "scales": 1, "w": 0.5}, "there is no control 'w'; this explorer has step, weight"),
        ({"step": 1}, "there is no control 'step'; this explorer has bits, clip, w, push"),
        ({"latent": LATENT, "scales": 1, "weight": 3}, "weight must be one of 0, 1, 2, got 3"),
        ({"bits": 9}, "bits must be a whole number from 2 to 8, got 9"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            explorers.fake_quantization(**arguments)
