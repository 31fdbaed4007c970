"""Words of the explorers about a whole network's answers."""

IMAGES = ("images: 10 ^", "How many test images each network answers, as a power of ten: 3 is 1,000")
ACCURACY_A = ("A right", "Share of right answers of network A, in percent")
ACCURACY_B = ("B right", "Share of right answers of network B, in percent")
TWO_ACCURACIES = "{images:,} images: A {a}, B {b}. {verdict}"
APART = "The intervals do not touch: B and A differ by more than the noise."
OVERLAP = "The intervals overlap: these numbers alone do not tell A from B."

RANK = ("image", "From the surest mistake (left end) to the surest right answer (right end)")
ANSWER = (
    "Test image {index}, rank {rank:,} of {count:,}: label {label}, the network says {said}, {sure:.1%} sure. {verdict}"
)
RIGHT = "Right."
WRONG = "Wrong."
LABEL = "▼ marks the label"
