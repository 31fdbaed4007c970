"""A digit classifier as LiteRT runs it: one .tflite file, what stands in it, its answers and its speed.

:func:`qkit.network.convert` makes one of a Keras network. To run it needs no TensorFlow.
"""

import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from qkit.network.recipe import check_images
from qkit.network.runner import Runner
from qkit.network.tflite import named_tensors, read_operators
from qkit.numeric import Accuracy

BATCH = 250


@dataclass(frozen=True)
class Latency:
    """How long an image takes.

    Attributes
    ----------
    seconds : tuple of float
        For one image, in each repeat.
    batch, threads : int
    runtime : str
    """

    seconds: tuple[float, ...]
    batch: int
    threads: int
    runtime: str

    @property
    def microseconds(self) -> float:
        """The median of the repeats."""
        return 1e6 * statistics.median(self.seconds)

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"{self.microseconds:.1f} µs an image (batch {self.batch}, {threads}, {self.runtime} kernels, "
            f"median of {len(self.seconds)})"
        )


@dataclass(frozen=True, repr=False)
class LiteModel:
    """A network in LiteRT's format.

    Parameters
    ----------
    content : bytes
        The whole file.

    Raises
    ------
    ValueError
        If that is not a whole .tflite file, or the network does not turn images (28, 28, 1) into 10 numbers.
    ImportError
        If LiteRT is not installed.
    """

    content: bytes

    def __post_init__(self) -> None:
        try:
            runner = Runner(self.content, 1, "xnnpack", 1)
        except ValueError as problem:
            raise ValueError(f"these {self.size:,} bytes are not a whole .tflite file ({problem})") from problem
        shapes = runner.input_shape, runner.output_shape
        if shapes != ((28, 28, 1), (10,)):
            raise ValueError(f"the network must turn images (28, 28, 1) into 10 numbers, its shapes are {shapes}")

    @classmethod
    def read(cls, path: str | Path) -> "LiteModel":
        """Read a file.

        Raises
        ------
        OSError
            If there is none, or it cannot be read.
        ValueError, ImportError
            As for the class.
        """
        try:
            return cls(Path(path).read_bytes())
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from problem

    def save(self, path: str | Path) -> None:
        """Write the file; its name ends in ``.tflite`` by custom."""
        Path(path).write_bytes(self.content)

    @property
    def size(self) -> int:
        """The bytes of the file."""
        return len(self.content)

    def tensors(self) -> pd.DataFrame:
        """Return a table of all that the network stores and computes, as the file has it.

        The rows stand in the order of the computation, by ``layer`` and ``role``. Columns: ``shape``, with the
        outputs of a kernel first; ``dtype``; ``scale``, one number, or an array with one for each output;
        ``zero_point``; ``bytes`` in the file, 0 for what is computed when the network runs. Floats have neither
        scale nor zero-point.
        """
        rows = [
            {
                "layer": layer,
                "role": role,
                "shape": tensor.shape,
                "dtype": tensor.dtype,
                "scale": tensor.scale if len(tensor.scale) > 1 else next(iter(tensor.scale.tolist()), None),
                # LiteRT wants 0 wherever there is more than one.
                "zero_point": tensor.zero_point[0] if len(tensor.zero_point) else None,
                "bytes": tensor.data.nbytes,
            }
            for (layer, role), tensor in named_tensors(read_operators(self.content)).items()
        ]
        return pd.DataFrame(rows).set_index(["layer", "role"]).astype({"scale": object, "zero_point": "Int64"})

    def predict(self, images: np.ndarray, runtime: str = "xnnpack", threads: int = 1) -> np.ndarray:
        """Return the probabilities, float32 (n, 10); those of a quantized output are multiples of its scale.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, 28, 28)
        runtime : {"xnnpack", "builtin", "reference"}
            They do not round alike: an integer inside the network may be one more or less.
        threads : int

        Raises
        ------
        ValueError
            If there is no image, or its shape or type is another one; if the kernels are unknown.
        """
        images = check_images(images)
        runner = cache(lambda batch: Runner(self.content, batch, runtime, threads))
        parts = []
        for start in range(0, len(images), BATCH):
            some = images[start : start + BATCH]
            run = runner(len(some))
            parts.append(run.as_probabilities(run(run.as_input(some))))
        return np.concatenate(parts)

    def outputs(self, images: np.ndarray, runtime: str = "xnnpack") -> list[np.ndarray]:
        """Return what each operator of the file hands on, in the order of the computation, as the file stores it.

        Parameters and errors are those of :meth:`predict`. All numbers of all images at once: 40 kB an image.
        """
        images = check_images(images)
        run = Runner(self.content, len(images), runtime, 1, keep=True)
        run(run.as_input(images))
        return [run.tensor(step.output.index) for step in read_operators(self.content)]

    def accuracy(self, images: np.ndarray, labels: np.ndarray, runtime: str = "xnnpack", threads: int = 1) -> Accuracy:
        """Return how often the network is right; parameters and errors as for :meth:`predict`."""
        return Accuracy.of(self.predict(images, runtime, threads).argmax(axis=1), labels)

    def latency(
        self, images: np.ndarray, batch: int = 1, repeats: int = 9, threads: int = 1, runtime: str = "xnnpack"
    ) -> Latency:
        """Measure the time an image takes, from handing a batch over to having its answers.

        The grey levels are turned into the network's numbers before that. One repeat more, the first, is not
        counted; images beyond the last whole batch are left out.

        Raises
        ------
        ValueError
            As for :meth:`predict`; and if a batch is larger than there are images, or nothing is to be repeated.
        """
        images = check_images(images)
        if not 1 <= batch <= len(images) or repeats < 1:
            raise ValueError(
                f"batch must be from 1 to the {len(images)} images and repeats at least 1, got {batch} and {repeats}"
            )
        run = Runner(self.content, batch, runtime, threads)
        count = len(images) // batch
        batches = np.split(run.as_input(images[: count * batch]), count)
        seconds = []
        for _ in range(repeats + 1):
            start = perf_counter()
            for inputs in batches:
                run(inputs)
            seconds.append((perf_counter() - start) / (count * batch))
        return Latency(tuple(seconds[1:]), batch, threads, runtime)

    def __repr__(self) -> str:
        dtypes = self.tensors()["dtype"]
        return f"LiteModel: {self.size:,} bytes, {dtypes.iloc[0]} in, {dtypes.iloc[-1]} out"
