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
    "guess other": "A different answer: find out why below.",
    "guess far": "That is off by a factor of {factor}. What did you not think of?",
}

EXERCISES = {
    "0.1": {
        "right": "An int8 takes one byte where a float32 takes four.",
        "hints": (
            "How many bits does a float32 have, and how many an int8?",
            "32 bits against 8: how many times smaller?",
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
        "right": "A window of 3 fits into 5 places at 3 positions, in each direction.",
        "hints": (
            "Slide the window by hand: where can its left edge stand?",
            "Its left edge can stand at 0, 1 and 2, so one row has three results. How many rows?",
        ),
    },
    "1.2": {
        "right": "Nine products, added up: a multiply-accumulate for each weight. In int8 it is the very same sum.",
        "hints": (
            "Multiply number by number, not row by column; then add all nine up.",
            "np.sum(patch * kernel) does it. Why would patch @ kernel be something else?",
        ),
    },
    "1.3": {
        "right": "Each filter has a weight for every pixel of its window in every input channel, and one bias.",
        "hints": (
            "One filter looks at 3 × 3 pixels of all input channels at once. How many weights is that?",
            "Weights: 3 · 3 · channels_in for each of the channels_out filters. And one bias for each filter.",
        ),
    },
    "1.4": {
        "right": (
            "Half a point of 1,000 images is 5 images, and the interval around each accuracy is wider than that. "
            "These numbers alone cannot tell the two networks apart."
        ),
        "hints": (
            "Compare the difference with the width of the interval for this number of images.",
            "At 98 % of 1,000 images the interval is almost a point wide to each side.",
        ),
    },
    "1.5": {
        "right": "Weights go from four bytes to one. Scales and biases hardly matter beside them.",
        "hints": (
            "How many bytes does one weight take before, and after?",
            "Before: 4 bytes a parameter. After: 1 byte a weight; the few biases hardly matter. What is the ratio?",
        ),
    },
}
