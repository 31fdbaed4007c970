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
