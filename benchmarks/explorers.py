"""How fast explorers follow a slider, and what they cost.

python -m benchmarks.explorers [--browser]

A step is one new value of the bits slider, from there to the finished picture in the widget. It is compared with
what ``interact`` and pyplot do: the same picture, by the same drawing code, on a fresh pyplot figure that is saved
as the inline backend saves it. Both take turns within one run, so that a busy machine slows both.
``--browser`` measures what a learner sees: from the key press to the new picture, decoded, in JupyterLab in
Chromium.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

from qkit.digits import draw_digits
from qkit.show import explorers
from qkit.show.explorer import Explorer
from qkit.show.style import RC

ROOT = Path(__file__).resolve().parents[1]
SETUP = """\
import numpy as np
from qkit.digits import draw_digits
from qkit.show import explorers
rng = np.random.default_rng(0)
weights = (rng.normal(size=(3, 3, 32, 64)) * np.exp(rng.normal(-3, 0.5, 64))).astype(np.float32)
kernel = (rng.normal(size=(3, 3, 1, 32)) * 0.3).astype(np.float32)
image = draw_digits(1)[0][0]"""
EXPLORERS = {
    "number_line": "explorers.number_line([-1.2, -0.5, 0, 0.3, 2.1])",
    "tensor": "explorers.tensor(weights)",
    "channels": "explorers.channels(weights)",
    "images": "explorers.images(image, kernel=kernel)",
}
IMPORT = "from time import perf_counter; start = perf_counter(); import qkit; print(perf_counter() - start)"
MEMORY = f"""\
import ipykernel.kernelapp, psutil
{SETUP}
{EXPLORERS["tensor"]}.set(bits=5)
print(psutil.Process().memory_info().rss / 1e6)"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", action="store_true", help="measure in JupyterLab in Chromium too")
    options = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print("slider step in the kernel, ms   | median |    p95 | fresh pyplot | times faster")
    for name, steps, fresh in kernel_steps():
        ratio = statistics.median(fresh) / statistics.median(steps)
        print(f"{name:31} | {_both(steps)} | {statistics.median(fresh):12.1f} | {ratio:12.1f}")
    if options.browser:
        print("\nkey press to picture, ms        | median |    p95")
        for name, steps in browser_steps():
            print(f"{name:31} | {_both(steps)}")
    seconds = statistics.median(float(_python(IMPORT)) for _ in range(5))
    print(f"\nimport qkit: {seconds:.3f} s")
    print(f"memory of a kernel that shows an explorer: {float(_python(MEMORY)):.0f} MB")
