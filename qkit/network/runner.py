"""A .tflite file loaded into LiteRT, ready to answer."""

import numpy as np

from qkit.network.recipe import quiet
from qkit.network.tflite import import_litert
from qkit.numeric.affine import QuantParams, QuantSpec, dequantize, quantize

RUNTIMES = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
"""What can compute, and LiteRT's name for it: the default, its own fast kernels, and its plain C++ loops.

XNNPACK leaves what it does not know to LiteRT's own kernels: softmax on integers, and everything on int16.
"""


class Runner:
    """One network, for batches of one size.

    Parameters
    ----------
    content : bytes
        The file.
    batch : int
    runtime : str
        One of ``RUNTIMES``.
    threads : int
    keep : bool
        Whether to keep the numbers between the layers, for :meth:`tensor`.

    Raises
    ------
    ValueError
        If the content is not a whole .tflite file, the kernels are unknown, or there is no thread.
    ImportError
        If LiteRT is not installed.
    """

    def __init__(self, content: bytes, batch: int, runtime: str, threads: int, keep: bool = False) -> None:
        if runtime not in RUNTIMES:
            raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
        litert = import_litert("interpreter")
        with quiet():
            interpreter = litert.Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_preserve_all_tensors=keep,
                experimental_op_resolver_type=litert.OpResolverType[RUNTIMES[runtime]],
            )
            self._first, self._last = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            self.input_shape = tuple(self._first["shape"][1:].tolist())
            self.output_shape = tuple(self._last["shape"][1:].tolist())
            if batch > 1:
                interpreter.resize_tensor_input(self._first["index"], (batch, *self.input_shape))
            interpreter.allocate_tensors()
        self._interpreter = interpreter

    def as_input(self, images: np.ndarray) -> np.ndarray:
        """Turn grey levels (n, 28, 28) into the network's numbers (n, 28, 28, 1).

        There are only 256 grey levels, so each is quantized once.
        """
        levels = np.arange(256, dtype=np.float32) / 255
        if self._first["dtype"] != np.float32:
            levels = quantize(levels, _grid(self._first))
        return levels[images][..., None]

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the network's output as it is for a batch of its numbers."""
        self._interpreter.set_tensor(self._first["index"], inputs)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._last["index"])

    def tensor(self, index: int) -> np.ndarray:
        """Return any tensor of the last batch, by its place in the file."""
        return self._interpreter.get_tensor(index)

    def as_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the real numbers that the network's output stands for, float32."""
        if outputs.dtype == np.float32:
            return outputs
        return dequantize(outputs, _grid(self._last)).astype(np.float32)


def _grid(end: dict) -> QuantParams:
    (scale,), (zero_point,) = (end["quantization_parameters"][name] for name in ("scales", "zero_points"))
    dtype = np.dtype(end["dtype"])
    return QuantParams(scale, zero_point, QuantSpec(8 * dtype.itemsize, signed=dtype.kind == "i"))
