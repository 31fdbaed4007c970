"""The explorer of fake quantization: its numbers against their definitions, its words, its picture."""

import re
import sys
from itertools import product

import numpy as np
import pytest

from qkit.numeric import QuantSpec, fake_quantize, params_from_range, straight_through
from qkit.show import explorers
from qkit.show.canvas import Stage
from qkit.show.numerals import number


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

    def draw(**start):
        explorers.fake_quantization(**start)
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


def test_a_weight_at_the_end_of_the_range_is_inside():
    """Where the end is a last digit off in float64 too, as three steps of 0.45 / 3 are."""
    explorer = explorers.fake_quantization()
    for bits, clip in ((3, 0.45), (3, 0.9), (5, 0.95), (2, 1.0)):
        for w in (-clip, clip):
            assert "straight-through takes 1" in explorer.set(bits=bits, clip=clip, w=w).words


def test_a_weight_that_is_halfway_on_the_screen_goes_to_the_even_level():
    explorer = explorers.fake_quantization(bits=3, clip=0.3, push=0)
    for w, level in ((0.05, 0), (-0.05, 0), (0.15, 0.2), (0.25, 0.2)):  # in float64 0.05 is more than half of 0.3 / 3
        assert f"w = {number(w)} becomes ŵ = {number(level)}." in explorer.set(w=w).words


def test_words_tell_what_the_update_does():
    explorer = explorers.fake_quantization(bits=3, clip=1, w=0.55, push=0.1)
    assert "w = 0.55 becomes ŵ = 0.667." in explorer.words
    assert "straight-through takes 1" in explorer.words
    assert "moves w by −0.1 to 0.45; ŵ jumps to 0.333." in explorer.words
    assert "ŵ stays on its level 0.667, but w remembers" in explorer.set(push=-0.1).words
    assert "leaves w where it is." in explorer.set(push=0).words
    clipped = explorer.set(w=1.2, push=0.1).words
    assert "straight-through takes 0" in clipped and "leaves w where it is." in clipped


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


def test_what_cannot_be_used_is_refused():
    for start, message in (
        ({"step": 1}, "there is no control 'step'; this explorer has bits, clip, w, push"),
        ({"bits": 9}, "bits must be a whole number from 2 to 8, got 9"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            explorers.fake_quantization(**start)
