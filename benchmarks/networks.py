"""The two networks: training time, test accuracy and peak memory, each in a process of its own.

With seed 0 once more without oneDNN, which TensorFlow takes by itself on some processors, and qkit on all.

python -m benchmarks.networks [seeds]
"""

import os
import subprocess
import sys

WITHOUT = {"TF_ENABLE_ONEDNN_OPTS": "0"}

TRAIN = """
import sys, time
from benchmarks.peak import peak_megabytes
from qkit import load_digits
from qkit.network import build, predict, train
from qkit.numeric import Accuracy
name, seed = sys.argv[1], int(sys.argv[2])
digits = load_digits()
model = build(name, seed)
start = time.perf_counter()
train(model, digits, seed=seed)
seconds = time.perf_counter() - start
accuracy = Accuracy.of(predict(model, digits.x_test).argmax(axis=1), digits.y_test)
print(f"{name:8} seed {seed}  {seconds:5.1f} s  {accuracy}  peak {peak_megabytes():,.0f} MB  [{digits.name}]")
"""


def main(seeds: int) -> None:
    """Print one row for each network and seed."""
    for name in ("shallow", "deep"):
        for seed, settings, note in [*((seed, {}, "") for seed in range(seeds)), (0, WITHOUT, "  without oneDNN")]:
            command = [sys.executable, "-c", TRAIN, name, str(seed)]
            result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | settings)
            print(result.stdout.splitlines()[-1] + note, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
