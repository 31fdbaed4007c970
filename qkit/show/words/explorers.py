"""Labels, tooltips and sentences of the explorers.

``CONTROLS`` holds label and tooltip of each control; the other names hold what one explorer writes into its
picture and under it. Braces are filled in by the explorer.
"""

CONTROLS = {
    "bits": ("bits", "How many bits each integer has: every further bit doubles the number of levels"),
    "per_channel": ("per channel", "A scale of its own for every output channel, instead of one for all"),
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
