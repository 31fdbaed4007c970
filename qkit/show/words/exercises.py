"""The words that a learner reads in answers to exercises, apart from the logic, ready for a second language.

``{...}`` are filled in by the check. Each exercise has what to say when it is right, and hints from gentle
to strong.
"""

STATUS = {"right": "✓ Right.", "wrong": "✗ Not yet.", "unanswered": "… Not answered yet.", "measured": "→"}

GENERAL = {
    "unanswered": "Put your answer in place of the dots and run this cell again.",
    "unknown": "There is no exercise {number}. The numbers are: {known}.",
    "not a number": "A number is wanted here, and {got} is not one.",
    "not a choice": "One letter is wanted here, in quotes: {choices}. Got {got}.",
    "wrong choice": "{got} is not the one.",
    "too small": "{got} is too small.",
    "too large": "{got} is too large.",
    "not a function": "A function is wanted here: write its name without brackets. Got {got}.",
    "function failed": "For {case} your function stopped with {error}.",
    "returns nothing": "Your function returns nothing yet: put its result in place of the dots after return.",
    "cannot be checked": "Your answer stopped the check with {error}.",
    "wrong result": "For {case} your function returns {got}.",
    "no guess": "Measured: {measured}. (You made no guess.)",
    "guess": "You guessed {guess}; measured: {measured}. {gap}",
    "guess right": "Spot on.",
    "guess close": "Close.",
    "guess other": "A different answer.",
    "guess far": "Off by a factor of {factor}: worth asking why.",
}

EXERCISES = {
    "0.1": {
        "right": "An int8 takes one byte where a float32 takes four.",
        "hints": (
            "How many bits does a float32 have, and how many an int8?",
            "32 bits before, 8 bits after: before divided by after is asked.",
        ),
    },
    "0.2": {
        "right": (
            "No training data, a finished network, 8 bits: that is post-training quantization. Quantization-aware "
            "training would need the data and the time to train."
        ),
        "hints": (
            "What does quantization-aware training need that you do not have here?",
            "Without training data nothing can be trained. What is left?",
        ),
    },
    "1.1": {
        "right": "3 positions across and 3 down: 9.",
        "hints": (
            "Slide the window by hand: where can its left edge stand?",
            "Its left edge can stand at 0, 1 and 2, so one row has three results. How many rows?",
        ),
    },
    "1.2": {
        "right": "Nine products, added up: a multiply-accumulate for each weight. In int8 it is the very same sum.",
        "hints": (
            "Multiply number by number; then add all nine up. (Neural networks do not flip the kernel first.)",
            "np.sum(patch * kernel) does it; patch @ kernel is the matrix product, another thing.",
        ),
    },
    "1.3": {
        "right": "Each filter has a weight for every pixel of its window in every input channel, and one bias.",
        "hints": (
            "One filter looks at 3 × 3 pixels of all input channels at once. How many weights is that?",
            "Weights: 3 · 3 · channels_in for each of the filters. And one bias for each filter.",
        ),
    },
    "1.4": {
        "right": (
            "Half a point of 1,000 images is 5 images, and the interval around each accuracy is wider than that: "
            "far too little to say that B is better, and no proof that they are equal."
        ),
        "hints": (
            "Compare the difference with the width of the interval for this number of images.",
            "At 98 % of 1,000 images the interval is almost a point wide to each side.",
        ),
    },
    "1.5": {
        "right": "Weights go from four bytes to one. The biases, which stay, hardly matter beside them.",
        "hints": (
            "How many bytes does one weight take before, and after?",
            "4 bytes a parameter before, 1 byte a weight after; the few biases hardly matter. Before divided by after?",
        ),
    },
    "2.1": {
        "right": "One step fewer than there are integers: four marks have three gaps.",
        "hints": (
            "How wide is the range, and how many gaps are there between its marks?",
            "2**bits marks have 2**bits - 1 gaps. Divide the width of the range by that.",
        ),
    },
    "2.2": {
        "right": "The zero-point is how many steps the range reaches below 0, rounded, because it must be an integer.",
        "hints": (
            "How many steps is it from the low end of the range up to 0?",
            "-low / scale steps, rounded to an integer: round(-low / scale).",
        ),
    },
    "2.3": {
        "right": "Half of all levels: symmetric int8 spends -128 to -1 on numbers that ReLU never makes.",
        "hints": (
            "Which integers stand for negative numbers when the zero-point is 0?",
            "-128, -127, ..., -1 are never used. How many is that?",
        ),
    },
    "2.4": {
        "right": "Three bits, 6.02 dB each: the error has grown 64-fold.",
        "hints": (
            "Six decibels per bit, and how many bits?",
            "Three bits of 10 · log10(4) dB each.",
        ),
    },
    "2.5": {
        "right": "One for each output channel. All weights that are added up share one: so integers can add up.",
        "hints": (
            "How many output channels does the layer have, and what shares a scale within one of them?",
            "One scale for each of the 64 filters.",
        ),
    },
    "3.1": {
        "right": "The outlier alone sets the scale, and everything below half a step becomes 0.",
        "hints": (
            "The scale is largest / 3. Which of the numbers are larger than half of that?",
            "Half a step is 4 / 3 / 2 = 0.67. Count the numbers above it.",
        ),
    },
    "3.2": {
        "right": "No integer is spent on negative numbers. (Signed with Z = −128 is the same grid; LiteRT takes that.)",
        "hints": (
            "What is the smallest number that comes out of a ReLU?",
            "Nothing is negative. Which of the three grids has no negative numbers on it?",
        ),
    },
    "3.3": {
        "right": "A dead channel is all zeros after ReLU, and every grid holds 0 exactly. It could even be removed.",
        "hints": (
            "What numbers come out of a dead channel, and which number does every grid hold?",
            "Only zeros come out, and zero is exact. How large is the error?",
        ),
    },
    "4.1": {
        "right": "Clipping at 1 costs one large error and makes the other nine small.",
        "hints": (
            "Quantize the ten numbers with both ranges and compare the mean squared errors.",
            "mse(ten, fake_quantize(ten, params_from_range(-end, end, spec))) for end = 1.0 and end = 1.3.",
        ),
    },
    "4.2": {
        "right": "Eight of ten values are 0, so half of all values are reached at 0 already.",
        "hints": (
            "Sort the ten numbers. What stands in the middle?",
            "0, 0, 0, 0, 0, 0, 0, 0, ...: which threshold keeps half of them?",
        ),
    },
    "4.3": {
        "right": "All that is clipped comes from the fifth that is not zero: 1 % of all is 5 % of those.",
        "hints": (
            "Of 1,000 activations, how many are clipped, and how many are not zero?",
            "10 are clipped, and all of them are among the 200 that are not zero. How many per cent is that?",
        ),
    },
    "4.4": {
        "right": "It weighs the logarithm of the ratio with P: 0 only where the two agree everywhere.",
        "hints": (
            "Sum P · log(P / Q), and leave out where P is 0: nothing is lost there.",
            "ln is np.log. keep = p > 0; np.sum(p[keep] * np.log(p[keep] / q[keep]))",
        ),
    },
    "4.5": {
        "right": "With codes fixed, the error is a parabola in the scale, and its lowest point is Σqx / Σq².",
        "hints": (
            "Set the derivative of Σ(x − S·q)² with respect to S to zero.",
            "Σ q·(x − S·q) = 0. Solve for S.",
        ),
    },
    "4.6": {
        "right": "Both others may flatten the very value that matters, and at 8 bits MinMax costs little.",
        "hints": (
            "Which of the three never clips a value that calibration has seen?",
            "Clipped, an alarm looks like a moderate value; and 8 bits leave 256 steps, enough for a long range.",
        ),
    },
    "5.1": {
        "right": "Integers all the way through the sum; both scales once, at the end.",
        "hints": (
            "Take the zero-point from the inputs' integers first; multiply, add up, and scale last.",
            "s_x * s_w * np.sum((q_x - z_x) * q_w), with q_x and q_w as int32: products do not fit into int8.",
        ),
    },
    "5.2": {
        "right": "The rest of the file, about a twentieth, says what is computed, and holds scales and names.",
        "hints": (
            "How many of the 225,034 parameters are not biases?",
            "224,800 weights of one byte, and 234 biases of four.",
        ),
    },
    "5.3": {
        "right": "The same formula as in notebook 02; only the range is measured anew for every array.",
        "hints": (
            "The range must hold 0, even if no number is negative: min(x.min(), 0) is its lower end.",
            "From the lower end to max(x.max(), 0) there are 255 steps.",
        ),
    },
    "5.4": {
        "right": "Dynamic quantization stores weights in 8 bits and measures activations when it runs.",
        "hints": (
            "Which of the three need calibration images, and which makes the file only half as large?",
            "float16 halves the file; static int8 has to know ranges in advance.",
        ),
    },
    "5.5": {
        "right": "The test found no difference that chance would not make. That is not a proof that there is none.",
        "hints": (
            "p says how often chance alone makes a split at least as uneven as this one.",
            "Half of the time, chance does as much. And not showing a difference is not showing equality.",
        ),
    },
    "6.1": {
        "right": "Products of 8-bit integers, added up in 32 bits: an accumulator.",
        "hints": (
            "Take the zero-point from every integer of the patch, multiply by the kernel, add up, add the bias.",
            "np.sum((patch.astype(np.int32) - z_x) * kernel.astype(np.int32)) + bias",
        ),
    },
    "6.2": {
        "right": "It depends on weights and zero-point only: computed once, before the first image.",
        "hints": (
            "Σ(q_x − Z_x)·q_w = Σ q_x·q_w − Z_x·Σ q_w. Which part does not depend on the image?",
            "The new bias is bias − z_x · (the sum of the kernel).",
        ),
    },
    "6.3": {
        "right": "An integer of 31 bits, and a shift by 31 + n: no float is left.",
        "hints": (
            "Double M until it is at least 1/2, and count: that is n. M0 is what you have then, times 2^31.",
            "fraction, exponent = math.frexp(m) does the doubling; round(fraction * 2**31) is M0.",
        ),
    },
    "6.4": {
        "right": "0 is stored as −128, the lowest integer there is: the clamp of int8 is the ReLU.",
        "hints": (
            "Which integer stands for the real 0 when the zero-point is −128?",
            "ReLU lets nothing below the zero-point through, and there is no integer below −128 anyway.",
        ),
    },
    "6.5": {
        "right": "Rescaling keeps the order of numbers, so the largest stays the largest. Pool first: less work.",
        "hints": (
            "Let a be at least b. After the same multiplication, rounding and clamping, can b become larger than a?",
            "The order is kept (they may become equal), so the maximum is the same, before or after.",
        ),
    },
    "7.1": {
        "right": "Inside the range the gradient passes as it is; a clipped weight gets none.",
        "hints": (
            "Forward the staircase, backward a line of slope 1 inside the range. And outside?",
            "Return upstream itself if low <= w <= high, and else 0.",
        ),
    },
    "7.2": {
        "right": "−1, 0 and 1, times the step: a ternary weight.",
        "hints": (
            "2 bits have four integers, −2 to 1. Which one is left out?",
            "Without −2 there remain −1, 0 and 1.",
        ),
    },
    "7.3": {
        "right": "After a whole epoch hardly a tenth of the way is done.",
        "hints": (
            "One batch multiplies the end by 0.999. And 94 batches?",
            "By 0.999 to the power of 94. Keep the sign.",
        ),
    },
    "7.4": {
        "right": "The weights are untouched; ranges that nobody has measured clip or blur every activation.",
        "hints": (
            "What has such a network seen when it is just built?",
            "Its weights are those of the float network. What is new are the ranges, and who set them?",
        ),
    },
    "8.1": {
        "right": "Only what goes beyond that control is owed to quantization.",
        "hints": (
            "Two things changed at once: quantizers, and an epoch of training. How do you tell them apart?",
            "Train the float network for the same epoch and compare with that.",
        ),
    },
    "8.2": {
        "right": "One such split in thirteen comes by chance alone: no difference shown.",
        "hints": (
            "How many of the 2^16 ways to throw 16 coins have 4 heads or fewer? Both sides count.",
            "4 or fewer heads: 1 + 16 + 120 + 560 + 1820 ways. 4 or fewer tails are as many; divide by all ways.",
        ),
    },
    "8.3": {
        "right": "Nothing is shown to be lost; and if a tenth of a point mattered, more images would tell first.",
        "hints": (
            "What does p = 0.4 say about the difference of 0.1 points?",
            "Chance makes such a difference four times in ten. Two weeks for that?",
        ),
    },
}
