"""TensorFlow is set up in one place, quietly, and says when it came too late."""

import subprocess
import sys

import tensorflow_model_optimization as tfmot
from tensorflow.python.framework.config import is_op_determinism_enabled

from qkit.network import build
from qkit.network.backend import tf

SILENT = """
import qkit
from qkit.network.backend import keras, tf
keras.Sequential([keras.layers.Dense(2)])(tf.zeros((1, 2)))
for _ in range(6):
    tf.function(lambda x: x)(tf.zeros(1))
for module in (qkit, qkit.network):
    for name in module.__all__:
        getattr(module, name)
"""
TOO_LATE = "import tensorflow as tf; tf.zeros(1) + 1; import qkit.network.backend"


def test_loading_is_silent_but_says_when_it_is_too_late_to_fix_the_threads():
    """And every lazy name is there, in the same process, as TensorFlow takes seconds to load."""
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for program in (SILENT, TOO_LATE)
    ]
    silent, too_late = (process.communicate(timeout=300) for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert silent == ("", "")
    assert "Restart the kernel and import qkit first" in too_late[1]


def test_threads_and_arithmetic_are_fixed():
    assert is_op_determinism_enabled()
    assert tf.config.threading.get_intra_op_parallelism_threads() == 2
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert tf.config.get_visible_devices("GPU") == []


def test_tfmot_accepts_our_networks():
    """With Keras 3 it would say: `to_quantize` can only either be a keras Sequential or Functional model."""
    assert type(tfmot.quantization.keras.quantize_model(build("deep"))).__name__ == "Sequential"
