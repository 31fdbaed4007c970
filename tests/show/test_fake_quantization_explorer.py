"""The explorer of fake quantization: its numbers against their definitions, its words, its pictures."""

import re

import numpy as np
import pytest

from qkit.numeric import QuantParams, QuantSpec, fake_quantize, params_from_range, straight_through
from qkit.show import explorers
from qkit.show.canvas import Stage
from qkit.show.explorers.fake_quantization import follow, update_by_hand
from qkit.show.explorers.fake_quantization_picture import ByHand, Replay

RNG = np.random.default_rng(12)
LATENT = np.cumsum(RNG.normal(scale=0.1, size=(40, 3)), axis=0).astype(np.float32)
SCALES = np.linspace(0.2, 0.3, 40).astype(np.float32)


def weights(bits: int) -> QuantSpec:
    return QuantSpec(bits, symmetric=True, narrow_range=True)


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("w", [-1.3, -1.0, -0.31, 0.0, 0.5, 1.0, 1.01])
def test_an_update_by_hand_is_descent_on_the_straight_through_gradient(w, bits):
    params = params_from_range(-1.0, 1.0, weights(bits))
    moment = update_by_hand(w, 0.2, params)
    assert moment.after == (w - 0.2 if abs(w) <= 1 else w)
    assert (moment.w_hat, moment.after_hat) == (fake_quantize(w, params), fake_quantize(moment.after, params))
    assert moment.jumps == (moment.after_hat != moment.w_hat)
    assert moment.passes == (abs(w) <= 1)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_path_is_quantized_step_by_step(bits):
    w = LATENT[:, 1]
    path = follow(w, SCALES, bits)
    for step, scale in enumerate(SCALES):
        params = QuantParams(scale, 0, weights(bits))
        assert path.w_hat[step] == fake_quantize(w[step], params)
        assert path.passes[step] == straight_through(w[step], params)
        assert path.q[step] == round(path.w_hat[step] / scale)
        moment = path.at(step)
        assert (moment.w, moment.w_hat, moment.passes) == (w[step], path.w_hat[step], path.passes[step])
        later = min(step + 1, 39)
        assert (moment.after, moment.after_hat) == (w[later], path.w_hat[later])
        assert moment.jumps == (path.q[later] != path.q[step])


def test_jumps_and_turns_are_counted():
    path = follow(np.array([0, 1, 0, 0, 1, 2, 1, 9]), np.ones(8), bits=3)
    assert path.q.tolist() == [0, 1, 0, 0, 1, 2, 1, 3]
    assert path.jumps.tolist() == [0, 1, 2, 2, 3, 4, 5, 6]
    assert path.turns.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]


def test_a_target_between_two_levels_makes_a_weight_oscillate():
    """The loop that a learner may write: the best weight is 0.3, and the levels are 0 and 1."""
    params, w, latent = QuantParams(1.0, 0, weights(2)), 0.2, []
    for _ in range(200):
        latent.append(w)
        w -= 0.05 * (fake_quantize(w, params) - 0.3) * straight_through(w, params)
    path = follow(np.array(latent), np.ones(200), 2)
    settled = path.w[50:]
    assert np.all(np.abs(settled - 0.5) < 0.06)
    assert path.turns[-1] > 20
    assert np.mean(path.q[50:]) == pytest.approx(0.3, abs=0.02)
    explorer = explorers.fake_quantization(latent, 1, bits=2).set(step=199)
    assert f"Jumps of ŵ so far: {path.jumps[-1]}, of which back: {path.turns[-1]}." in explorer.words


def test_the_largest_weight_of_a_float32_tensor_is_not_clipped():
    for largest in RNG.random(50).astype(np.float32):
        scale = params_from_range(-largest, largest, weights(8)).scale
        level = np.float32(127 * scale)
        assert follow(np.float32([level, level]), np.float32([scale, scale]), 8).passes.all()


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


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_the_staircase_is_the_fake_quantizer(bits):
    parts = Stage(9, 4.9, lambda figure: ByHand(figure, 1.5)).parts
    params = params_from_range(-0.9, 0.9, weights(bits))
    parts.show(update_by_hand(0.5, 0.1, params))
    x, y = parts.staircase.stairs.get_data()
    between = (x[1:] + x[:-1]) / 2
    flat = np.diff(x) > 0
    np.testing.assert_allclose(y[1:][flat], fake_quantize(between[flat], params))
    x, y = parts.staircase.through.get_data()
    inside = np.array([-0.95, -0.85, 0, 0.85, 0.95])
    np.testing.assert_array_equal(np.interp(inside, x, y), straight_through(inside, params))
    assert np.sum(parts.staircase.true.get_ydata() > 0) == params.spec.levels - 1


def test_the_replay_draws_the_path_up_to_the_step():
    path = follow(LATENT[:, 0], SCALES, 2)
    parts = Stage(9, 4.9, lambda figure: Replay(figure, path)).parts
    parts.show(path.at(17), 17)
    np.testing.assert_array_equal(parts.latent.get_ydata(), path.w[:18])
    np.testing.assert_array_equal(parts.quantized.get_ydata(), path.w_hat[:18])
    assert parts.numbers[-1].get_text() == str(path.jumps[17])


def test_scales_may_be_one_number_or_one_a_step_or_one_a_weight():
    pngs = {
        explorers.fake_quantization(LATENT, scales, bits=2, step=20, weight=1).png()
        for scales in (0.25, np.full(40, 0.25), np.full((40, 3), 0.25))
    }
    assert len(pngs) == 1
    alone = explorers.fake_quantization(LATENT[:, 1], 0.25, bits=2, step=20)
    assert set(alone.controls) == {"step"}
    assert alone.png() in pngs
    assert set(explorers.fake_quantization(LATENT, 0.25).controls) == {"step", "weight"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("latent", "scales"),
    [
        (np.zeros(2), 1),
        (np.arange(-4, 5), 2),
        (LATENT * 1e-30, 1e-31),
        (LATENT.astype(float) * 1e290, 1e289),
        (LATENT.astype(np.float16), np.float16(0.25)),
        (LATENT, 1e-9),
        (LATENT, 1e9),
        (np.zeros((3000, 1)), 0.1),
    ],
    ids=["zeros", "integers", "tiny", "huge", "half precision", "all clipped", "all on 0", "long"],
)
def test_any_path_can_be_explored(latent, scales):
    for bits in (2, 8):
        explorer = explorers.fake_quantization(latent, scales, bits=bits)
        for step in (0, len(latent) - 1):
            assert not re.search(r"nan|inf\b|\{", explorer.set(step=step).words)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent": LATENT}, "latent and scales belong together"),
        ({"scales": SCALES}, "latent and scales belong together"),
        ({"latent": LATENT[:1], "scales": 1}, "with two steps or more, got (1, 3)"),
        ({"latent": np.zeros((4, 0)), "scales": 1}, "latent must have shape"),
        ({"latent": np.zeros((4, 2, 2)), "scales": 1}, "latent must have shape"),
        ({"latent": 0.5, "scales": 1}, "latent must have shape"),
        (
            {"latent": LATENT, "scales": np.ones(3)},
            "scales must be one number or have shape (40,) or (40, 3), got (3,)",
        ),
        ({"latent": LATENT, "scales": 0}, "scale must be positive, got 0"),
        ({"latent": LATENT * np.nan, "scales": 1}, "latent must hold finite numbers"),
        ({"latent": LATENT, "scales": np.inf}, "scales must hold finite numbers"),
        ({"latent": LATENT, "scales": 1, "bits": 1}, "bits must be an integer from 2 to 16, got 1"),
        ({"latent": LATENT, "scales": 1, "w": 0.5}, "there is no control 'w'; this explorer has step, weight"),
        ({"step": 1}, "there is no control 'step'; this explorer has bits, clip, w, push"),
        ({"latent": LATENT, "scales": 1, "weight": 3}, "weight must be one of 0, 1, 2, got 3"),
        ({"bits": 9}, "bits must be a whole number from 2 to 8, got 9"),
    ],
)
def test_what_cannot_be_used_is_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explorers.fake_quantization(**arguments)
