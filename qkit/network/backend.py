"""The one place where TensorFlow is loaded and set up, and where the flavour of Keras is decided.

tensorflow-model-optimization understands tf_keras (Keras 2), not the Keras 3 that TensorFlow 2.16 and later
bring, so qkit imports ``keras`` from here. Two threads and deterministic operations make a run repeatable on
one machine; another processor may still differ in the last digits.
"""

import os
import warnings

from qkit.network.recipe import THREADS, quiet

__all__ = ["keras", "quiet", "tf"]

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow takes oneDNN by itself on newer processors only. Older ones train faster with it, too (see
# benchmarks/networks.py), and round more alike.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
with quiet():
    import tensorflow as tf
    import tf_keras as keras
# All networks are compiled by the same code, and TensorFlow takes the fifth for the first one compiled again.
tf.get_logger().addFilter(lambda record: "retracing" not in record.getMessage())

try:
    # The same arithmetic for everyone; and where there is no graphics card, looking for one prints errors.
    with quiet():
        tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
except RuntimeError:
    warnings.warn(
        "TensorFlow was used before qkit.network was imported: threads and devices cannot be fixed any more, "
        "so results may differ in the last digits. Restart the kernel and import qkit first.",
        stacklevel=2,
    )
tf.config.experimental.enable_op_determinism()
# With determinism on, TensorFlow refuses to draw random numbers without a seed.
tf.random.set_seed(0)
