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
    "images": ("images", "The images from which the values were counted; the axis stays the same"),
    "layer": ("layer", "Whose values are clipped and quantized"),
    "method": ("method", "Which way to choose a threshold is explained, with its curve"),
    "percentile": ("percentile", "The share of the values that the method called percentile keeps; no other moves"),
    "end": ("yours, %", "The threshold under your hand, in per cent of the largest magnitude"),
    "image": ("image", "Which image goes through the layer"),
    "row": ("row", "The row of the output number that is followed"),
    "column": ("column", "The column of the output number that is followed"),
    "output_channel": ("channel", "The output channel of the number that is followed: each has weights of its own"),
    "rounding": ("kernels", "Whose rounding the steps follow; the table has all four"),
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
    "percentile": "percentile",
    "mse": "mse",
    "kl": "kl",
    "kl_plain": "kl, no remedies",
    "admm": "admm",
    "aciq_laplace": "aciq, Laplace",
    "aciq_gauss": "aciq, Gauss",
}
"""What the methods are called in the list to choose from; in the picture, the percentile has its number too."""

THRESHOLD = {
    "tiles": ("your threshold", "clipped", "clipping error", "rounding error", "their sum, MSE"),
    "yours": "yours",
    "axis": "threshold in % of the largest magnitude",
    "largest": "100 % is |x| = {largest}",
    "histogram": "how many |x|,\nlog scale",
    "zeros": "{zeros} exact zeros left out",
    "unit_mse": "mean squared error / the least, log scale",
    "unit_kl": "divergence / the least, log scale",
    "times": "yours / least:",
    "keys": {
        "sum": "— sum",
        "clipping": "-- clipping",
        "rounding": "·· rounding",
        "theory": "-· theory",
        "path": "◆ steps",
        "divergence": "gaps: ∞",
    },
    "kl_panel": ("filled: reference P", "outline: quantized Q"),
    "other_panel": ("filled: before", "outline: after"),
    "panel": "|x|, up to yours",
    "panel_axis": "share of your threshold",
    "panel_density": "density, log scale",
    "chosen": "{layer}, {bits} bits, {kind}: {name} clips at {value}, {share} of the largest magnitude: {why}.",
    "signed": "signed",
    "unsigned": "unsigned",
    "hand": "Your threshold {value}, {percent} % of the largest, clips {clipped} of the values: "
    "clipping error {clipping} + rounding error {rounding} = MSE {sum}.",
    "divergence": "The divergence there is {divergence} nats.",
    "infinite": "The divergence there is infinite: values are clipped into a bin that is empty.",
    "untried": "This method tries no threshold below {low} % or above {high} % of the largest.",
    "every": "All thresholds: {every}.",
    "at": "{name} at {share}",
    "nowhere": "{name} nowhere",
    "left_out": "{zeros} of the values are exactly 0 and left out of the histogram.",
    "reach": "The largest magnitude in all sets is {reach}, in this one {largest}.",
    "all_zero": "{layer}: all values are 0, and every threshold holds them.",
}

RUNTIMES = {
    "xnnpack": "XNNPACK",
    "builtin": "built-in",
    "reference": "reference",
    "single": "rounded once",
}
"""What sets of kernels are called in the picture and in the list to choose from."""

JOURNEY = {
    "panels": ("output q, framed", "inputs q_x", "weights q_w", "products"),
    "signs": ("", "×", "="),
    "greys": "black −128, white 127",
    "sum": "the sum grows",
    "ends": "● folded bias  ■ acc  ╌ 0",
    "steps": ("Σ q_x · q_w", "+ folded bias", "= acc, int32", "acc · M", "rounded", "+ Z", "q, int8"),
    "clipped_here": "clipped",
    "folded": "folded bias:  b − Z_x · Σ q_w  =  {bias} − ({zero_point} · {weights})  =  {folded}",
    "real": "acc stands for {real},  q for {real_hat}",
    "real_float": "acc stands for {real},  q for {real_hat};  the float network has {value}",
    "table": ("four kernels", "M as they hold it", "acc · M", "rounded first", "rounded", "q"),
    "fixed": "{m0} · 2{power}",
    "floating": "{m}, float{bits}",
    "chosen": "▶",
    "other": "≠",
    "sums": "{layer}, image {image}, position {position}: {count} products and the folded bias {folded} add up to "
    "{acc}, which stands for {real}.",
    "once": "Times M that is {product}; {runtime} kernels round it to {rounded}.",
    "twice": "Times M that is {product}; {runtime} kernels round it to {halfway}, then to {rounded}.",
    "kept": "Plus {zero_point}: q = {q}, which stands for {real_hat}.",
    "clipped": "Plus {zero_point}: {shifted}, clipped to q = {q}, which stands for {real_hat}.",
    "agree": "All four kernels give {q}.",
    "differ": "Others differ: {others}.",
    "float_words": "The float network has {value}.",
}
