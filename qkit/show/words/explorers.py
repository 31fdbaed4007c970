"""Labels, tooltips and sentences of the explorers.

``CONTROLS`` holds label and tooltip of each control; the other names hold what one explorer writes into its
picture and under it. Braces are filled in by the explorer.
"""

CONTROLS = {
    "bits": ("bits", "How many bits each integer has: every further bit doubles the number of levels"),
    "per_channel": ("per channel", "A scale of its own for every output channel, instead of one for all"),
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
    "clip": ("clip at", "The end of the range: what lies beyond is clipped, on both sides of 0"),
    "w": ("weight w", "The latent weight: the real number that training keeps and moves"),
    "push": ("η · gradient", "Learning rate times the gradient that arrives at ŵ; the update goes against it"),
    "step": ("step", "The step of the training: each is one update of the weight"),
    "weight": ("weight", "Which of the recorded weights is shown"),
    "network": ("network", "The network whose answers are compared"),
    "bits_of_both": ("bits w / a", "Bits of the weights / bits of the activations"),
    "first": ("first", "The method that is compared with, in black"),
    "second": ("second", "The method that is compared, in green; a gain is more right answers than the first"),
    "seed": ("seed", "Which repetition of the training is compared, image by image"),
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

FAKE_QUANTIZATION = {
    "tiles": ("w", "quantized ŵ", "step S", "gradient ×", "w after", "ŵ after"),
    "jumps_tile": "jumps so far",
    "latent": "latent w",
    "quantized": "quantized ŵ",
    "identity": "identity",
    "staircase": "quantizer",
    "beyond": "clipped",
    "slope": "slope",
    "true": "true slope",
    "through": "straight-through",
    "step": "training step",
    "levels": "levels",
    "midpoints": "midpoints",
    "enlarged": "w / S, enlarged: at a dotted midpoint, ŵ jumps",
    "grid": "{bits} bits: {levels} levels, a step of {scale} apart, from −{clip} to {clip}.",
    "forward": "Forward, w = {w} becomes ŵ = {w_hat}.",
    "passes": "Back, the true slope is 0 between the jumps; straight-through takes 1, for w is inside the range.",
    "clipped": "Back, straight-through takes 0, as the true slope is: w is clipped.",
    "stands": "The update leaves w where it is.",
    "stays": "The update moves w by {move} to {after}; ŵ stays on its level {after_hat}, but w remembers the move.",
    "jumps": "The update moves w by {move} to {after}; ŵ jumps to {after_hat}.",
    "where": "Step {step} of {last}.",
    "counts": "Jumps of ŵ so far: {jumps}, of which back: {turns}.",
}

COMPARISON = {
    "bits": "{0[0]} / {0[1]}",
    "tiles": ("gain, points", "only second right", "only first right", "p, McNemar's test", "a difference is"),
    "shown": "shown",
    "not_shown": "not shown",
    "wrong": "wrong answers in %, log scale, 95 % interval",
    "wrong_of_seeds": "wrong answers in %, log scale, 95 % interval; ○ other seeds",
    "right": "% right",
    "digit": "digit",
    "only_right": ("▼ only {name} right", "▲ only {name} right"),
    "strip": "some of the images that only one of the two gets right",
    "label": "label",
    "accuracies": "{network}, {weight}-bit weights, {activation}-bit activations, seed {seed}, {images:,} images: "
    "{first} {of_first} % right, {second} {of_second} %.",
    "test": "{gain} points: {won} images only {second} gets right, {lost} only {first}; "
    "McNemar's test: p {p}, {verdict}.",
    "differs": "a difference",
    "no_difference": "no difference shown",
    "most": ("Most are lost among the {digit}s: {count}.", "Most are won among the {digit}s: {count}."),
    "seeds": "Gains with seeds {seeds}: {gains} points.",
}
