"""The stand-in digits: what they cost to draw, and how close they are to MNIST as a network sees it.

python -m benchmarks.digits [seeds]     needs MNIST (see the README)
"""

import os
import subprocess
import sys

from qkit import load_digits, trained
from qkit.network import predict
from qkit.numeric import Accuracy

DRAW = """
import time
from benchmarks.peak import peak_megabytes
from qkit.digits import draw_digits
start = time.perf_counter()
draw_digits(20_000), draw_digits(10_000, split=1)
seconds = time.perf_counter() - start
print(f"{seconds:.1f} s, peak memory {peak_megabytes():.0f} MB")
"""


def main(seeds: int) -> None:
    """Print both tables."""
    drawn = subprocess.run([sys.executable, "-c", DRAW], capture_output=True, text=True, check=True).stdout
    print(f"30,000 stand-in digits drawn: {drawn.strip()}")
    mnist = load_digits()
    if mnist.name != "MNIST":
        sys.exit(f"MNIST is needed to compare with, and there is none here: {mnist}")
    os.environ["QKIT_MNIST"] = "stand-in"
    stand_in = load_digits()
    print("deep network, accuracy on all 10,000 test images of the other kind")
    for seed in range(seeds):
        for learned, tested in ((mnist, stand_in), (stand_in, mnist), (mnist, mnist), (stand_in, stand_in)):
            model = trained("deep", learned, seed=seed)
            accuracy = Accuracy.of(predict(model, tested.x_test).argmax(axis=1), tested.y_test)
            print(f"seed {seed}: trained on {learned.name}, tested on {tested.name}: {accuracy}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
