"""How fast explorers follow a slider, and what they cost: ``python benchmarks/explorers.py [--browser]``.

A step is one new value of the bits slider, from there to the finished picture in the widget. It is compared with
what ``interact`` and pyplot do: the same picture, by the same drawing code, on a fresh pyplot figure that is saved
as the inline backend saves it. Both take turns within one run, so that a busy machine slows both.
``--browser`` measures what a learner sees: from the key press to the new picture, decoded, in JupyterLab in
Chromium.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

from qkit.digits import draw_digits
from qkit.numeric.affine import QuantSpec, params_from_range
from qkit.show import explorers
from qkit.show.explorers import channels, images, number_line, tensor
from qkit.show.explorers.grids import as_channels, lay_grids

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
WEIGHTS = (RNG.normal(size=(3, 3, 32, 64)) * np.exp(RNG.normal(-3, 0.5, 64))).astype(np.float32)
KERNEL = (RNG.normal(size=(3, 3, 1, 32)) * 0.3).astype(np.float32)
IMAGE = draw_digits(1)[0][0]
