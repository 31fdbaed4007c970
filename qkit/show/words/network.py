"""Words of the explorers about a whole network's answers."""

IMAGES = ("images", "How many test images each network answers")
ACCURACY_A = ("A right", "Share of right answers of network A, in percent")
ACCURACY_B = ("B right", "Share of right answers of network B, in percent")
TWO_ACCURACIES = "{images:,} images: A {a}, B {b}. {verdict}"
APART = "The intervals do not touch: B and A differ by more than the noise."
OVERLAP = "The intervals overlap: these numbers alone do not tell A from B."

RANK = ("rank", "From the surest mistake on the left, past the closest calls, to right answers")
ANSWER = (
    "Rank {rank:,} of {shown:,}, test image {index}: label {label}, the network says {said}, {sure:.1%} sure. {verdict}"
)
RIGHT = "Right."
WRONG = "Wrong."
LABEL = "▼ marks the label"
