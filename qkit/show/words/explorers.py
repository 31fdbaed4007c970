"""Labels, tooltips and sentences of the explorers.

``CONTROLS`` holds label and tooltip of each control; the other names hold what one explorer writes into its
picture and under it. Braces are filled in by the explorer.
"""

CONTROLS = {
    "bits": ("bits", "How many bits each integer has: every further bit doubles the number of levels"),
    "value": ("value x", "The real number that makes the journey"),
    "range": ("range", "The real numbers that the levels are spread over; what lies outside is clipped"),
    "symmetric": ("symmetric", "Zero-point 0, and as much range below zero as above"),
    "signed": ("signed", "Integers around zero, such as −128 to 127, instead of 0 to 255"),
    "narrow_range": ("narrow", "Leave the lowest integer out, so that −127 to 127 is even on both sides"),
    "per_channel": ("per channel", "A scale of its own for every output channel, instead of one for all"),
    "channel": ("channel", "The channel whose numbers are written out"),
    "per_map": ("a scale per map", "A scale of its own for every feature map, instead of one for all"),
    "layer": ("layer", "Whose values are clipped and quantized"),
    "method": ("method", "Which way to choose a threshold is explained, with its curve"),
    "end": ("yours, %", "The threshold under your hand, in per cent of the largest magnitude"),
    "weight_bits": ("weight bits", "How many bits each weight has; float leaves all of them as they are"),
    "activation_bits": (
        "activation bits",
        "How many bits each number between two layers has; image and logits keep 8. Float leaves all as they are",
    ),
    "weight_method": ("weights by", "How the thresholds of the weights are chosen"),
    "activation_method": ("activations by", "How the thresholds of the activations are chosen"),
    "all_images": ("all {count:,} images", "Measure all images instead of 2,000: a narrower interval, a longer wait"),
    "kernels": ("kernels too", "Quantize the kernels with the same number of bits before the maps are computed"),
}

NUMBER_LINE = {
    "steps": ("x", "x / S", "+ Z", "round", "clip", "S · (q − Z) = x̂", "error"),
    "real": "real\nnumbers",
    "integers": "integers",
    "error": "error x̂ − x",
    "grid": "{bits} bits: {levels} integers, {qmin} to {qmax}. Step S = {scale}, zero-point Z = {zero_point}.",
    "inside": "x = {x} lands at {shifted} on the integer line, rounds to {q} and comes back as {x_hat}: "
    "error {error}, at most half a step.",
    "outside": "x = {x} lands at {shifted} on the integer line, beyond the last integer: clipped to {q}, "
    "it comes back as {x_hat}: error {error}, more than half a step.",
    "values": "Values in the array: {count}, SQNR {sqnr}, {clipped} clipped.",
}

TENSOR = {
    "tiles": ("SQNR", "exactly zero", "levels used", "size"),
    "float": "float weights",
    "quantized": "quantized",
    "levels_of": "levels of\n{count} channels",
    "levels_of_one": "levels",
    "bits": "bits",
    "curve": "SQNR in dB",
    "per_tensor": "per tensor",
    "per_channel": "per channel",
    "rule": "6.02 dB per bit",
    "used": "{used} of {levels}",
    "one_grid": "{bits} bits give {levels} levels, the same for all channels, a step of {scale} apart.",
    "many_grids": "{bits} bits give {levels} levels to every channel, with steps from {smallest} to {largest}.",
    "result": "SQNR {sqnr}; {zeros} of the weights become exactly 0; {used} of {levels} levels are used; "
    "{packed} instead of {float32} as float32.",
    "next_bit": "One more bit would bring {gain}.",
}

CHANNELS = {
    "title": "weights: the range of every channel, and the levels inside it",
    "usable": "usable\nbits",
    "channel": "output channel",
    "one_grid": "{bits} bits, one scale for all channels: channel {widest} sets it, "
    "and {reach} of {levels} levels are left for channel {poorest}.",
    "many_grids": "{bits} bits, a scale for every channel: each spreads its own {levels} levels.",
    "one": "Channel {channel} spans {low} to {high}; levels within its range: {reach}; SQNR {sqnr}, {other} {instead}.",
    "instead_own": "with a scale of its own",
    "instead_shared": "with the scale of all",
}

IMAGES = {
    "float": "float",
    "quantized": "{bits} bits",
    "error": "error",
    "image": "image",
    "map": "map {index}",
    "image_words": "{bits} bits: the image has {found} of {levels} levels of grey, SQNR {sqnr}.",
    "maps_words": "Of {count} feature maps, number {worst_map} fares worst with {worst}, "
    "number {best_map} best with {best}.",
}

METHODS = {
    "minmax": "minmax",
    "percentile": "percentile 99.9",
    "mse": "mse",
    "kl": "kl",
    "kl_plain": "kl, no remedies",
    "admm": "admm",
    "aciq": "aciq, Laplace",
}
"""What the methods are called in the picture and in the list to choose from."""

THRESHOLD = {
    "tiles": ("your threshold", "clipped", "clipping error", "rounding error", "their sum, MSE"),
    "yours": "yours",
    "axis": "threshold in % of the largest magnitude",
    "largest": "largest |x| = {largest}",
    "histogram": "how many |x|,\nlog scale",
    "zeros": "{zeros} exact zeros left out",
    "curves": {"mse": "mean squared error, log scale", "kl": "divergence in nats, log scale"},
    "clipping": "-- clipping",
    "rounding": "·· rounding",
    "sum": "— sum",
    "theory": "-· theory",
    "path": "◆ steps",
    "here": "yours: {divergence}",
    "gaps": "gaps: ∞",
    "kl_panel": ("filled: reference P", "outline: quantized Q"),
    "other_panel": ("filled: before", "outline: after"),
    "panel": "{name}, up to yours",
    "panel_axis": "share of your threshold",
    "panel_density": "density, log scale",
    "chosen": "{bits} bits, {kind}: {name} clips at {value}, {share} of the largest magnitude: {why}.",
    "signed": "signed",
    "unsigned": "unsigned",
    "hand": "Your threshold {value}, {percent} % of the largest, clips {clipped} of the values: "
    "clipping error {clipping} + rounding error {rounding} = MSE {sum}.",
    "divergence": "The divergence there is {divergence} nats.",
    "infinite": "The divergence there is infinite: values are clipped into a bin that is empty.",
    "no_candidate": "Below {percent} % of the largest, this method tries no threshold.",
    "all_zero": "All values are 0: every threshold holds them.",
    "left_out": "{zeros} of the values are exactly 0 and left out of the histogram.",
    "impossible": "No threshold here: {methods}.",
}
