"""A full-int8 .tflite file, run in NumPy as integer hardware runs it, and equal to LiteRT bit for bit.

The file says which layers there are, with which integers, scales and zero-points; :mod:`qkit.numeric.integer_layers`
and :mod:`qkit.numeric.integer_layers` compute them, :mod:`qkit.numeric.fixed_point` names the kernels whose rounding is
followed. TensorFlow is not needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qkit.network.int8_file import read_layers
from qkit.numeric.affine import QuantParams, quantize, reals
from qkit.numeric.fixed_point import Runtime, check_runtime
from qkit.numeric.integer_layers import Dense, Layer, Trace

BATCH = 25
"""Images at a time: their sums still fit into the processor's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class IntegerNetwork:
    """An int8 network: layers one after the other, from an image to an answer.

    Attributes
    ----------
    shape : tuple of int
        Of one image.
    image : QuantParams or None
        Scale and zero-point of the input; ``None`` for a network that takes float32.
    layers : tuple of Layer
        In the order in which they are computed. Each has ``name``, ``op``, ``x`` and ``y`` (scale and zero-point of
        its input and output), ``shape``; convolutions and dense layers have weights and a bias too.

    Examples
    --------
    >>> network = IntegerNetwork.read("digits.tflite")  # doctest: +SKIP
    >>> network.predict(digits.x_test, runtime="reference").argmax(axis=1)  # doctest: +SKIP
    """

    shape: tuple[int, ...]
    image: QuantParams | None
    layers: tuple[Layer, ...]

    @classmethod
    def read(cls, file: str | Path | bytes) -> "IntegerNetwork":
        """Read a .tflite file, by its path or by its bytes.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is not a .tflite file, is cut off, holds a network of floats, or has a layer that is not known
            here. Known are convolutions, max pooling, reshaping, dense layers, softmax, quantizing, dequantizing.
        """
        content = bytes(file) if isinstance(file, bytes | bytearray) else Path(file).read_bytes()
        return cls(*read_layers(content))

    def predict(self, images: np.ndarray, runtime: Runtime = "xnnpack") -> np.ndarray:
        """Return the output of the last layer.

        Parameters
        ----------
        images : ndarray
            Grey levels, uint8 (n, height, width), which stand for 0 to 1; or what the network takes itself, such
            as int8 (n, height, width, 1).
        runtime : {"xnnpack", "builtin", "reference", "single"}
            Whose rounding to follow; see :mod:`qkit.numeric.fixed_point`.

        Returns
        -------
        ndarray of int8, shape (n, classes)
            float32 or uint8, where the network ends so.

        Raises
        ------
        ValueError
            If there is no image, the images have another shape or type or hold NaN or infinity, or ``runtime`` is
            unknown.
        """
        return np.concatenate([outputs[self.layers[-1].name] for outputs in self._batches(images, runtime)])

    def run(self, images: np.ndarray, runtime: Runtime = "xnnpack") -> dict[str, np.ndarray]:
        """Return the input and the output of every layer, by name: ``"image"``, ``"conv1"`` and so on.

        10,000 images take 400 MB. Parameters and errors are those of :meth:`predict`.
        """
        whole: dict[str, np.ndarray] = {}
        for index, outputs in enumerate(self._batches(images, runtime)):
            for name, part in outputs.items():
                if name not in whole:
                    whole[name] = np.empty((len(images), *part.shape[1:]), part.dtype)
                whole[name][index * BATCH : index * BATCH + len(part)] = part
        return whole

    def layer(self, name: str) -> Layer:
        """Return one layer by its name.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        layers = {layer.name: layer for layer in self.layers}
        if name not in layers:
            raise ValueError(f"there is no layer {name!r}; there are {', '.join(layers)}")
        return layers[name]

    def trace(self, image: np.ndarray, name: str, position: tuple[int, ...], runtime: Runtime = "xnnpack") -> Trace:
        """Follow one number of one layer's output, from the int8 inputs to the int8 result.

        Parameters
        ----------
        image : ndarray
            One image, as one of those that :meth:`predict` takes.
        name : str
            The name of a convolution or a dense layer.
        position : tuple of int
            (row, column, channel), or (channel,) of a dense layer.
        runtime : {"xnnpack", "builtin", "reference", "single"}

        Raises
        ------
        ValueError
            If there is no such layer or position, or the image or ``runtime`` is not what :meth:`predict` takes.
        """
        layer = self.layer(name)
        if not isinstance(layer, Dense):
            raise ValueError(f"only convolutions and dense layers can be followed; {name} is a {layer.op}")
        return layer.trace(self.run(np.asarray(image)[None], runtime)[layer.source][0], position, runtime)

    def __repr__(self) -> str:
        lines = [f"IntegerNetwork: {self.shape} -> {self.layers[-1].shape}"]
        for layer in self.layers:
            scale = "float32" if layer.y is None else f"step {layer.y.scale:.4g}, real 0 is {layer.y.zero_point}"
            lines.append(f"{layer.name:12} {layer.op:16} {layer.shape!s:15} {scale}")
        return "\n".join(lines)

    def _batches(self, images: np.ndarray, runtime: Runtime) -> Iterator[dict[str, np.ndarray]]:
        check_runtime(runtime)
        x = self._input(np.asarray(images))
        for start in range(0, len(x), BATCH):
            outputs = {"image": x[start : start + BATCH]}
            for layer in self.layers:
                outputs[layer.name] = layer.run(outputs[layer.source], runtime)
            yield outputs

    def _input(self, images: np.ndarray) -> np.ndarray:
        """Return images as the network takes them."""
        dtype = np.dtype(np.float32) if self.image is None else self.image.spec.dtype
        if images.size and images.dtype == dtype and images.shape[1:] == self.shape:
            return reals(images, "images")
        if images.size and images.dtype == np.uint8 and (*images.shape[1:], 1) == self.shape:
            levels = np.arange(256, dtype=np.float32) / 255
            return (levels if self.image is None else quantize(levels, self.image))[images[..., None]]
        raise ValueError(
            f"images must be grey levels, uint8 of shape (n, {', '.join(map(str, self.shape[:-1]))}), or {dtype} of "
            f"shape (n, {', '.join(map(str, self.shape))}), at least one; got {images.dtype} of shape {images.shape}"
        )
