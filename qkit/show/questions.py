"""The questions of the course, in the order of the notebooks: what is wanted, and what a learner reads about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qkit.numeric import QuantSpec, params_from_range, quantize_multiplier


@dataclass(frozen=True)
class Question:
    """What is expected, what to say when it is right, and a gentle and a strong hint.

    ``expected`` is a number; or one of some ``letters``; or a function, with which the answer has to agree on every
    one of the ``cases``: the names of its parameters are what a learner reads.
    """

    expected: float | str | Callable
    right: str
    gentle: str
    strong: str
    tolerance: float = 1e-9
    letters: str = "abc"
    cases: Sequence[tuple] = ()


_RANGES = [(-1.0, 2.0, 2), (0.0, 6.0, 8), (-1.0, 3.0, 4), (-0.5, 0.2, 3)]
"""Low end, high end, bits."""

QUESTIONS: dict[str, Question] = {
    "0.1": Question(
        4,
        right="An int8 takes one byte where a float32 takes four.",
        gentle="How many bits does a float32 have, and how many an int8?",
        strong="32 bits before, 8 bits after: before divided by after is asked.",
    ),
    "0.2": Question(
        "a",
        right=(
            "No training data, a finished network, 8 bits: that is post-training quantization. Quantization-aware "
            "training would need the data and the time to train."
        ),
        gentle="What does quantization-aware training need that you do not have here?",
        strong="Without training data nothing can be trained. What is left?",
    ),
    "0.a": Question(
        256,
        right="Eight bits, each 0 or 1: 2^8 combinations. So an int8 can be one of 256 integers, and no more.",
        gentle="Each of the eight bits is 0 or 1. How many combinations are there?",
        strong="Two values for one bit, four for two bits, eight for three. And for eight bits?",
    ),
    "0.b": Question(
        0.05,
        tolerance=1e-6,
        right="The signs vanish, and the two large errors count nine times as much as the two small ones.",
        gentle="Square each of the four numbers first; then add up, and divide by four.",
        strong="0.01 + 0.01 + 0.09 + 0.09, divided by 4.",
    ),
    "0.c": Question(
        30,
        tolerance=1e-6,
        right="Every factor of 10 adds 10: these are decibels, and you meet them in notebook 02.",
        gentle="To which power must 10 be raised to give 1,000?",
        strong="1,000 is 10 to the power of 3, so its logarithm to base 10 is 3. And ten times that?",
    ),
    "1.1": Question(
        9,
        right="3 positions across and 3 down: 9.",
        gentle="Slide the window by hand: where can its left edge stand?",
        strong="Its left edge can stand at 0, 1 and 2, so one row has three results. How many rows?",
    ),
    "1.2": Question(
        lambda patch, kernel: np.sum(patch * kernel),
        cases=[
            (np.array([[0, 0, 9]] * 3), np.array([[-1, 0, 1]] * 3)),
            (np.arange(9).reshape(3, 3), np.eye(3, dtype=int)),
            (np.array([[1, 2, 0], [0, 5, 1], [3, 0, 2]]), np.array([[0, 1, 0], [2, 0, 0], [0, 0, -1]])),
        ],
        right="Nine products, added up: a multiply-accumulate for each weight. In int8 it is the very same sum.",
        gentle="Multiply number by number; then add all nine up. (Neural networks do not flip the kernel first.)",
        strong="np.sum(patch * kernel) does it; patch @ kernel is the matrix product, another thing.",
    ),
    "1.3": Question(
        lambda channels_in, filters: (3 * 3 * channels_in + 1) * filters,
        cases=[(1, 32), (32, 64), (3, 16)],
        right="Each filter has a weight for every pixel of its window in every input channel, and one bias.",
        gentle="One filter looks at 3 × 3 pixels of all input channels at once. How many weights is that?",
        strong="Weights: 3 · 3 · channels_in for each of the filters. And one bias for each filter.",
    ),
    "1.4": Question(
        "c",
        right=(
            "Half a point of 1,000 images is 5 images, and the interval around each accuracy is wider than that: "
            "far too little to say that B is better, and no proof that they are equal."
        ),
        gentle="Compare the difference with the width of the interval for this number of images.",
        strong="At 98 % of 1,000 images the interval is almost a point wide to each side.",
    ),
    "1.5": Question(
        4,
        tolerance=0.05,
        right="Weights go from four bytes to one. The biases, which stay, hardly matter beside them.",
        gentle="How many bytes does one weight take before, and after?",
        strong=(
            "4 bytes a parameter before, 1 byte a weight after; the few biases hardly matter. Before divided by after?"
        ),
    ),
    "1.a": Question(
        0.01,
        right="Half a step, wherever the number lies on the grid.",
        gentle="Which place between two levels is furthest from both?",
        strong="Halfway between two levels the error is half of 0.02.",
    ),
    "1.b": Question(
        -3,
        right="−1.6 / 0.5 is −3.2, and the nearest integer is −3. It comes back as −1.5.",
        gentle="Divide by the scale, then round.",
        strong="−1.6 / 0.5 = −3.2. Which integer is nearest?",
    ),
    "1.c": Question(
        "a",
        right="Calibration: run the images, note the ranges, fix the scales before the network is used.",
        gentle="When are the scales fixed, and what has to be trained for it?",
        strong="Fixed beforehand from typical images, without labels and without training: which of the three is that?",
    ),
    "2.1": Question(
        lambda low, high, bits: (high - low) / (2**bits - 1),
        cases=_RANGES,
        right="One step fewer than there are integers: four levels have three gaps.",
        gentle="How wide is the range, and how many gaps are there between its levels?",
        strong="2**bits levels have 2**bits - 1 gaps. Divide the width of the range by that.",
    ),
    "2.2": Question(
        lambda low, high, bits: params_from_range(low, high, QuantSpec(bits, signed=False)).zero_point,
        cases=_RANGES,
        right="The zero-point is how many steps the range reaches below 0, rounded, because it must be an integer.",
        gentle="How many steps is it from the low end of the range up to 0?",
        strong="-low / scale steps, rounded to an integer: round(-low / scale).",
    ),
    "2.3": Question(
        128,
        right="Half of all levels: symmetric int8 spends -128 to -1 on numbers that ReLU never makes.",
        gentle="Which integers stand for negative numbers when the zero-point is 0?",
        strong="-128, -127, ..., -1 are never used. How many is that?",
    ),
    "2.4": Question(
        18,
        tolerance=0.1,
        right="Three bits, 6.02 dB each: the error has grown 64-fold.",
        gentle="Six decibels per bit, and how many bits?",
        strong="Three bits of 10 · log10(4) dB each.",
    ),
    "2.5": Question(
        64,
        right="One for each output channel. All weights that are added up share one: so integers can add up.",
        gentle="How many output channels does the layer have, and what shares a scale within one of them?",
        strong="One scale for each of the 64 filters.",
    ),
    "2.a": Question(
        252_000,
        right="One byte a weight and four a bias. The biases hardly matter, and stay as fine as they were.",
        gentle="How many bytes does one weight take, and how many one bias?",
        strong="250,000 times 1 byte, and 500 times 4 bytes.",
    ),
    "2.b": Question(
        5,
        tolerance=1e-6,
        right="The width goes with 1 over the root of the number of images.",
        gentle="Notebook 01: a hundred times the images make the interval ten times narrower.",
        strong="The root of 25.",
    ),
    "2.c": Question(
        "b",
        right="Dynamic quantization measures the activations while the network runs; nothing has to be known before.",
        gentle="Which of the three needs images for calibration, and which needs them for training?",
        strong="Static needs typical images beforehand, and training needs the training images. What is left?",
    ),
    "3.1": Question(
        1,
        right="The outlier alone sets the scale, and everything below half a step becomes 0.",
        gentle="The scale is largest / 3. Which of the numbers are larger than half of that?",
        strong="Half a step is 4 / 3 / 2 = 0.67. Count the numbers above it.",
    ),
    "3.2": Question(
        "b",
        right="No integer is spent on negative numbers. (Signed with Z = −128 is the same grid; LiteRT takes that.)",
        gentle="What is the smallest number that comes out of a ReLU?",
        strong="Nothing is negative. Which of the three grids has no negative numbers on it?",
    ),
    "3.3": Question(
        0,
        right="A dead channel is all zeros after ReLU, and every grid holds 0 exactly. It could even be removed.",
        gentle="What numbers come out of a dead channel, and which number does every grid hold?",
        strong="Only zeros come out, and zero is exact. How large is the error?",
    ),
    "3.a": Question(
        0.3,
        tolerance=1e-6,
        right="Symmetric and narrow: the largest magnitude meets the highest integer, 2.1 / 7.",
        gentle="Which integers do 4 bits leave without the lowest one? The largest magnitude meets the highest.",
        strong="The integers go from -7 to 7. Divide 2.1 by 7.",
    ),
    "3.b": Question(
        3 * 3 * 8 * 16,
        right="Each of the 16 filters looks at 3 × 3 places of all 8 channels at once.",
        gentle="How many weights has one filter, if it looks at all input channels?",
        strong="3 · 3 · 8 for each of the 16 filters.",
    ),
    "3.c": Question(
        "b",
        right="Zeros come in thousands, and all would be off in the same direction: in a sum that adds up.",
        gentle="What comes of one small error if it is the same, in the same direction, for very many numbers?",
        strong="Think of padding and ReLU: how many exact zeros does a layer add up, and do their errors cancel?",
    ),
    "4.1": Question(
        "b",
        letters="ab",
        right="Clipping at 1 costs one large error and makes the other nine small.",
        gentle="Quantize the ten numbers with both ranges and compare the mean squared errors.",
        strong="mse(ten, fake_quantize(ten, params_from_range(-end, end, spec))) for end = 1.0 and end = 1.3.",
    ),
    "4.2": Question(
        0,
        right="Eight of ten values are 0, so half of all values are reached at 0 already.",
        gentle="Sort the ten numbers. What stands in the middle?",
        strong="0, 0, 0, 0, 0, 0, 0, 0, ...: which threshold keeps half of them?",
    ),
    "4.3": Question(
        5,
        tolerance=0.01,
        right="All that is clipped comes from the fifth that is not zero: 1 % of all is 5 % of those.",
        gentle="Of 1,000 activations, how many are clipped, and how many are not zero?",
        strong="10 are clipped, and all of them are among the 200 that are not zero. How many per cent is that?",
    ),
    "4.4": Question(
        lambda p, q: np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])),
        cases=[
            (np.array([0.5, 0.5]), np.array([0.5, 0.5])),
            (np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])),
            (np.array([0.5, 0.0, 0.5]), np.array([0.4, 0.2, 0.4])),
        ],
        right="It weighs the logarithm of the ratio with P: 0 only where the two agree everywhere.",
        gentle="Sum P · log(P / Q), and leave out where P is 0: nothing is lost there.",
        strong="ln is np.log. keep = p > 0; np.sum(p[keep] * np.log(p[keep] / q[keep]))",
    ),
    "4.5": Question(
        lambda x, q: np.sum(q * x) / np.sum(q * q),
        cases=[(np.array([0.9, -0.4, 0.1]), np.array([2, -1, 0])), (np.array([0.5, 1.5, -3.0]), np.array([1, 3, -3]))],
        right="With codes fixed, the error is a parabola in the scale, and its lowest point is Σqx / Σq².",
        gentle="Set the derivative of Σ(x − S·q)² with respect to S to zero.",
        strong="Σ q·(x − S·q) = 0. Solve for S.",
    ),
    "4.6": Question(
        "c",
        right="Both others may flatten the very value that matters, and at 8 bits MinMax costs little.",
        gentle="Which of the three never clips a value that calibration has seen?",
        strong="Clipped, an alarm looks like a moderate value; and 8 bits leave 256 steps, enough for a long range.",
    ),
    "4.a": Question(
        5,
        right="The step is 6 / 15 = 0.4, and from -2 up to 0 it is 5 steps.",
        gentle="Find the step first: the width of the range, and how many gaps do 16 levels have?",
        strong="The step is 6 / 15 = 0.4. How many of them are there from -2 up to 0?",
    ),
    "4.b": Question(
        10,
        tolerance=1,
        right="The width goes with one over the square root of the number of images.",
        gentle="A hundred times the images do not make the interval a hundred times narrower.",
        strong="Take the square root of 100.",
    ),
    "4.c": Question(
        "b",
        right="Largest over typical is 10 in B, 3 in A: the largest sets the step, and most others fall below half.",
        gentle="Which number tells how much room the typical weights have below the largest one?",
        strong="Compare largest / σ of both layers.",
    ),
    "5.1": Question(
        lambda q_x, q_w, s_x, z_x, s_w: s_x * s_w * np.sum((q_x.astype(int) - z_x) * q_w.astype(int)),
        cases=[
            (np.array([0, 128, 255], np.uint8), np.array([48, -95, 16], np.int8), 0.004, 0, 0.006),
            (np.array([-128, 0, 100], np.int8), np.array([127, -127, 5], np.int8), 0.02, -10, 0.001),
        ],
        right="Integers all the way through the sum; both scales once, at the end.",
        gentle="Take the zero-point from the inputs' integers first; multiply, add up, and scale last.",
        strong="s_x * s_w * np.sum((q_x - z_x) * q_w), with q_x and q_w as int32: products do not fit into int8.",
    ),
    "5.2": Question(
        224_800 + 4 * 234,
        right="The rest of the file, about a twentieth, says what is computed, and holds scales and names.",
        gentle="How many of the 225,034 parameters are not biases?",
        strong="224,800 weights of one byte, and 234 biases of four.",
    ),
    "5.3": Question(
        lambda x: (max(x.max(), 0) - min(x.min(), 0)) / 255,
        cases=[(np.array([-1.0, 0.5, 2.0]),), (np.array([0.5, 3.0]),), (np.array([-4.0, -1.0]),)],
        right="The same formula as in notebook 02; only the range is measured anew for every array.",
        gentle="The range must hold 0, even if no number is negative: min(x.min(), 0) is its lower end.",
        strong="From the lower end to max(x.max(), 0) there are 255 steps.",
    ),
    "5.4": Question(
        "a",
        right="Dynamic quantization stores weights in 8 bits and measures activations when it runs.",
        gentle="Which of the three need calibration images, and which makes the file only half as large?",
        strong="float16 halves the file; static int8 has to know ranges in advance.",
    ),
    "5.5": Question(
        "c",
        right="The test found no difference that chance would not make. That is not a proof that there is none.",
        gentle="p says how often chance alone makes a split at least as uneven as this one.",
        strong="Half of the time, chance does as much. And not showing a difference is not showing equality.",
    ),
    "5.a": Question(
        6,
        right="S = 3.1 / 31 = 0.1, and 0 lies six steps above −0.6.",
        gentle="Five bits make 32 levels. How many steps lie between the first and the last?",
        strong="S = (2.5 + 0.6) / 31. How many such steps is it from −0.6 up to 0?",
    ),
    "5.b": Question(
        16,
        tolerance=0.5,
        right="Two bits fewer: steps four times as wide, and S²/12 sixteen times as large.",
        gentle="What does one bit fewer do to the step, and what has the error to do with the step?",
        strong="The mean squared error is S²/12, and S becomes four times as large.",
    ),
    "5.c": Question(
        "b",
        right="The bin at 0 outweighs all others, so a threshold that spoils the rest looks good. Drop the zeros.",
        gentle="Which of the three does a ReLU make, in great number?",
        strong="What a ReLU cuts off becomes one and the same number.",
    ),
    "6.1": Question(
        lambda patch, z_x, kernel, bias: np.sum((patch.astype(int) - z_x) * kernel.astype(int)) + bias,
        cases=[
            (np.array([[-128, 60], [0, 127]], np.int8), -128, np.array([[-127, 90], [3, 127]], np.int8), 250),
            (np.full((3, 3), 5, np.int8), 5, np.full((3, 3), 7, np.int8), -12),
        ],
        right="Products of 8-bit integers, added up in 32 bits: an accumulator.",
        gentle="Take the zero-point from every integer of the patch, multiply by the kernel, add up, add the bias.",
        strong="np.sum((patch.astype(np.int32) - z_x) * kernel.astype(np.int32)) + bias",
    ),
    "6.2": Question(
        lambda z_x, kernel, bias: bias - z_x * kernel.astype(int).sum(),
        cases=[(-128, np.array([[127, 127], [100, -3]], np.int8), 250), (0, np.array([1, 2], np.int8), -7)],
        right="It depends on weights and zero-point only: computed once, before the first image.",
        gentle="Σ(q_x − Z_x)·q_w = Σ q_x·q_w − Z_x·Σ q_w. Which part does not depend on the image?",
        strong="The new bias is bias − z_x · (the sum of the kernel).",
    ),
    "6.3": Question(
        lambda m: quantize_multiplier(m).m0,
        cases=[(0.4,), (0.002,), (0.25,), (0.75,)],
        right="An integer of 31 bits, and a shift by 31 + n: no float is left.",
        gentle="Double M until it is at least 1/2, and count: that is n. M0 is what you have then, times 2^31.",
        strong="fraction, exponent = math.frexp(m) does the doubling; round(fraction * 2**31) is M0.",
    ),
    "6.4": Question(
        "a",
        right="0 is stored as −128, the lowest integer there is: the clamp of int8 is the ReLU.",
        gentle="Which integer stands for the real 0 when the zero-point is −128?",
        strong="ReLU lets nothing below the zero-point through, and there is no integer below −128 anyway.",
    ),
    "6.5": Question(
        "b",
        right="Rescaling keeps the order of numbers, so the largest stays the largest. Pool first: less work.",
        gentle="Let a be at least b. After the same multiplication, rounding and clamping, can b become larger than a?",
        strong="The order is kept (they may become equal), so the maximum is the same, before or after.",
    ),
    "6.a": Question(
        169,
        right="26 × 26 places have a whole 3 × 3 patch, and the pool keeps one of four.",
        gentle="In how many places of a row does a window three wide fit, among 28 pixels?",
        strong="The convolution returns 26 × 26 numbers; the pool halves both sides.",
    ),
    "6.b": Question(
        7,
        right="2³ − 1: three below 0, three above, and 0 itself.",
        gentle="Three bits make eight integers, and narrow leaves out one of them.",
        strong="The integers are −3 to 3.",
    ),
    "6.c": Question(
        "a",
        right="Its scales come from the calibration images alone, so real images are clipped in every layer.",
        gentle="From which images does a static file have its scales, and when?",
        strong="A static file was given small ranges. What happens to numbers beyond the end of a range?",
    ),
    "7.1": Question(
        lambda w, upstream, low, high: upstream if low <= w <= high else 0.0,
        cases=[(0.3, 0.5, -1, 1), (1.2, 0.5, -1, 1), (-0.8, 0.5, -0.5, 1), (-0.5, -2.0, -0.5, 1), (1.0, 0.5, -0.5, 1)],
        right="Inside the range the gradient passes as it is; a clipped weight gets none.",
        gentle="Forward the staircase, backward a line of slope 1 inside the range. And outside?",
        strong="Return upstream itself if low <= w <= high, and else 0.",
    ),
    "7.2": Question(
        3,
        right="−1, 0 and 1, times the step: a ternary weight.",
        gentle="2 bits have four integers, −2 to 1. Which one is left out?",
        strong="Without −2 there remain −1, 0 and 1.",
    ),
    "7.3": Question(
        -6 * 0.999**94,
        tolerance=0.01,
        right="After a whole epoch hardly a tenth of the way is done.",
        gentle="One batch multiplies the end by 0.999. And 94 batches?",
        strong="By 0.999 to the power of 94. Keep the sign.",
    ),
    "7.4": Question(
        "b",
        right="The weights are untouched; ranges that nobody has measured clip or blur every activation.",
        gentle="What has such a network seen when it is just built?",
        strong="Its weights are those of the float network. What is new are the ranges, and who set them?",
    ),
    "7.a": Question(
        0.3,
        right="S = α / q_max, and q_max is 7.",
        gentle="Which integers does the grid have, and how many steps lie between 0 and α?",
        strong="Without −8 the integers go from −7 to 7: seven steps from 0 to 2.1.",
    ),
    "7.b": Question(
        30,
        tolerance=1e-6,
        right="The accumulator counts in steps of 0.5 · 0.02 = 0.01, and the bias is added to it.",
        gentle="A bias is added to sums of products. In steps of what do these count?",
        strong="Its scale is that of the input times that of the kernel. How many of these steps are 0.3?",
    ),
    "7.c": Question(
        "a",
        right="The step is the largest weight. Whatever is smaller than half of it becomes 0, and that is nearly all.",
        gentle="MinMax lets the outer levels be the largest magnitude. Where is the border to 0?",
        strong="The border is half the largest weight. How much of a bell lies further out?",
    ),
    "8.1": Question(
        "b",
        right="Only what goes beyond that control is owed to quantization.",
        gentle="Two things changed at once: quantizers, and an epoch of training. How do you tell them apart?",
        strong="Train the float network for the same epoch and compare with that.",
    ),
    "8.2": Question(
        2 * 2517 / 2**16,
        tolerance=0.0005,
        right="One such split in thirteen comes by chance alone: no difference shown.",
        gentle="How many of the 2^16 ways to throw 16 coins have 4 heads or fewer? Both sides count.",
        strong="4 or fewer heads: 1 + 16 + 120 + 560 + 1820 ways. 4 or fewer tails are as many; divide by all ways.",
    ),
    "8.3": Question(
        "a",
        right="Nothing is shown to be lost; and if a tenth of a point mattered, more images would tell first.",
        gentle="What does p = 0.4 say about the difference of 0.1 points?",
        strong="Chance makes such a difference four times in ten. Two weeks for that?",
    ),
    "8.a": Question(
        100,
        right="The width goes with 1 / √n.",
        gentle="How does the width of the interval depend on the number of images?",
        strong="The width goes with 1 / √n, and √n has to grow tenfold.",
    ),
    "8.b": Question(
        -78,
        right="1,000 · 0.05 = 50 steps of the output, counted from −128.",
        gentle="How many steps of the output are 1,000 steps of the accumulator? And where does the output's 0 lie?",
        strong="1,000 times 0.05, rounded, plus the zero-point.",
    ),
    "8.c": Question(
        lambda x, step, qmin, qmax: np.clip(np.round(x / step), qmin, qmax) - x / step * (qmin <= x / step <= qmax),
        cases=[(0.35, 0.5, -1, 1), (-0.95, 0.5, -1, 1), (0.2, 0.5, -1, 1), (3.3, 1.0, 0, 3), (-0.4, 0.5, 0, 3)],
        right="Inside the rounding error in steps, and where it is clipped the integer at that end.",
        gentle="There are three cases: x / step inside the range, below it and above it.",
        strong="Inside it is round(x / step) − x / step. Outside it is qmin or qmax.",
    ),
}
