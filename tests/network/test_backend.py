"""TensorFlow is set up in one place, quietly, and says when it came too late."""

import subprocess
import sys


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_loading_is_silent():
    result = run(
        "from qkit.network.backend import keras, tf; keras.Sequential([keras.layers.Dense(2)])(tf.zeros((1, 2)))"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_threads_and_kernels_are_fixed():
    from tensorflow.python.framework.config import is_op_determinism_enabled

    from qkit.network.backend import tf

    assert is_op_determinism_enabled()
    assert tf.config.threading.get_intra_op_parallelism_threads() == 2
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1
    assert tf.config.get_visible_devices("GPU") == []


def test_tfmot_accepts_our_networks():
    """With Keras 3 it would say: `to_quantize` can only either be a keras Sequential or Functional model."""
    result = run(
        "from qkit.network import build\n"
        "import tensorflow_model_optimization as tfmot\n"
        "print(type(tfmot.quantization.keras.quantize_model(build('deep'))).__name__)"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Sequential\n"


def test_too_late_to_fix_the_threads():
    result = run("import tensorflow as tf; tf.zeros(1) + 1; import qkit.network.backend")
    assert result.returncode == 0
    assert "Restart the kernel and import qkit first" in result.stderr
