"""Words of the explorers about a whole network's answers."""

IMAGES = ("images", "How many test images each network answers")
ACCURACY_A = ("A right", "Share of right answers of network A, in percent")
ACCURACY_B = ("B right", "Share of right answers of network B, in percent")
ACCURACY = "accuracy, with 95 % interval"
TWO_ACCURACIES = "{images:,} images: A {a}, B {b}. {verdict}"
APART = "The intervals do not touch: a clear difference."
OVERLAP = "The intervals overlap: no clear difference; only a test of the difference itself could still find one."

RANK = ("rank", "From the surest mistake on the left, past the closest calls, to right answers")
ANSWER = (
    "Rank {rank:,} of {shown:,}, test image {index}: label {label}, the network says {said}, {sure:.1%} sure. {verdict}"
)
RIGHT = "Right."
WRONG = "Wrong."
DIGIT, PROBABILITY = "digit", "probability"
LABEL = "▼ marks the label"

NETWORK = {
    "float": "float",
    "layer": "Quantize the weights of {layer} and the numbers it hands on; else both stay in float",
    "tiles": ("right, quantized", "right, float", "changed answers", "parameters"),
    "rows": ("float", "quantized"),
    "wrong": "wrong answers in %, with 95 % interval, log scale",
    "guessing": "guessing",
    "decibels": "SQNR in dB: how exact each layer's output still is",
    "in_float": "{sqnr}, float",
    "of": "{changed:,} of {total:,}",
    "all": "All {total:,} images",
    "some": "{total:,} of the {count:,} images, evenly chosen",
    "so_far": "{total:,} of the {count:,} images so far",
    "weights": "Weights in {bits} bits, {scales}, by {method}",
    "weights_float": "Weights in float",
    "per_channel": "a scale per channel",
    "per_layer": "one scale per layer",
    "activations": "activations in {bits} bits by {method}",
    "activations_float": "activations in float",
    "off": "{layers} left in float",
    "result": "{which}: {quantized} right, in float {original}",
    "accuracy": "{value:.2%} ({low:.2%} to {high:.2%})",
    "changed": "Answers that differ from float: {changed:,}",
    "sqnr": "SQNR: {sqnr}",
    "bytes": "Parameters: {now}, in float {original}",
}
