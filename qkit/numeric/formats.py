"""Number formats of language models: floats of 4 to 8 bits, and blocks of numbers that share a scale.

    x ≈ scale * values[code] + minimum        code: 2 to 8 bits for each number; scale, minimum: one for each block

:data:`FLOATS` are small floats, each number by itself; :data:`FORMATS` are blocks of 16 to 64 numbers as they are
published, down to the bytes; :func:`integers` makes blocks of ordinary integers. A short block costs bits for its
scale, in a long one more numbers suffer from an outlier.

NaN and infinity are a ValueError, what is no number at all is a TypeError. Blocks are made of float32: numbers beyond
its largest, and empty arrays, are a ValueError, too.

Sources: OCP 8-bit Floating Point Specification (OFP8) 1.0 and OCP Microscaling Formats (MX) Specification 1.0, 2023;
NVIDIA 2025, "Pretraining Large Language Models with NVFP4", arXiv:2509.25149; ggml-quants.c and gguf-py of llama.cpp;
Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, and ``create_normal_map`` of bitsandbytes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np

from qkit.numeric.affine import float32s, float64s, half_away, read_only, whole
from qkit.numeric.codebook import Codebook


@dataclass(frozen=True)
class FloatFormat:
    """A small float: a sign bit, ``exponent`` bits e, ``mantissa`` bits m. Taught in notebook 11, section 2.

        value = ±2^(e - bias) * (1 + m / 2^mantissa), but where e is 0, "subnormal", ±2^(1 - bias) * m / 2^mantissa
        bias = 2^(exponent - 1) - 1

    Of the codes of either sign the last ``specials`` are no finite numbers. If it is one, that is NaN; if more, the
    first of them is infinity and the others are NaN, as in IEEE 754. Fields are not checked: those of :data:`FLOATS`
    are the ones that are used.

    >>> FLOATS["e2m1"]
    FloatFormat(name='e2m1', exponent=2, mantissa=1, specials=0)
    """

    name: str
    exponent: int
    mantissa: int
    specials: int = 0

    @property
    def bits(self) -> int:
        return 1 + self.exponent + self.mantissa

    @property
    def bias(self) -> int:
        return 2 ** (self.exponent - 1) - 1

    @property
    def largest(self) -> float:
        """The largest finite value."""
        return float(self.values[self._last])

    @property
    def _last(self) -> int:
        return 2 ** (self.bits - 1) - 1 - self.specials

    @cached_property
    def values(self) -> np.ndarray:
        """What each code stands for: float32, shape (2**bits,), rising from 0, then falling from -0.

        >>> FLOATS["e2m1"].values[:8]
        array([0. , 0.5, 1. , 1.5, 2. , 3. , 4. , 6. ], dtype=float32)
        """
        e, m = np.divmod(np.arange(2 ** (self.bits - 1)), 2**self.mantissa)
        ones = np.where(e > 0, 2.0**self.mantissa, 0)
        magnitudes = (ones + m) * 2.0 ** (np.maximum(e, 1) - self.bias - self.mantissa)
        magnitudes[self._last + 1 :] = np.nan
        if self.specials > 1:
            magnitudes[self._last + 1] = np.inf
        return read_only(np.append(magnitudes, -magnitudes).astype(np.float32))

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Return the code of the nearest finite value, uint8 in the shape of ``x``; a tie goes to the even code.

        What lies beyond the largest value becomes it, "saturates"; a negative number that becomes 0 keeps its sign.

        >>> FLOATS["e4m3"].quantize([0.0, 1.0, 1.0625, 1000.0, -0.001])
        array([  0,  56,  56, 126, 129], dtype=uint8)
        """
        x = float64s(x)
        # Codes count the values from 0 up: 2^mantissa of them below the lowest normal power, and in each from there on.
        lowest = 1 - self.bias
        powers = np.where(x == 0, lowest, np.maximum(np.frexp(x)[1] - 1, lowest))
        steps = np.rint(np.abs(x) * 2.0 ** (self.mantissa - powers))
        codes = np.minimum(steps + (powers - lowest) * 2**self.mantissa, self._last)
        return np.asarray(codes + np.signbit(x) * 2 ** (self.bits - 1), np.uint8)


FLOATS = {
    each.name: each
    for each in (
        FloatFormat("e4m3", 4, 3, specials=1),
        FloatFormat("e5m2", 5, 2, specials=4),
        FloatFormat("e3m2", 3, 2),
        FloatFormat("e2m3", 2, 3),
        FloatFormat("e2m1", 2, 1),
    )
}
"""The floats of OCP's specifications: FP8 (E4M3 has NaN but no infinity, E5M2 is as IEEE 754), FP6 and FP4."""

E8M0 = Codebook(2.0 ** np.arange(-127, 128))
"""MX's scales, powers of two: the byte is the exponent + 127, and 255 is NaN."""

FLOAT16, FLOAT32 = np.dtype("<f2"), np.dtype("<f4")


@dataclass(frozen=True)
class Integers:
    """Integers from ``low`` to ``high`` in ``bits`` bits: ``code = (q + offset) mod 2^bits``.

    With offset 0 this is two's complement. ``rounding`` is applied after the offset is added.
    """

    bits: int
    low: int
    high: int
    rounding: Callable[[np.ndarray], np.ndarray] = np.rint
    offset: int = 0

    @cached_property
    def values(self) -> np.ndarray:
        """What each code stands for: float32, shape (2**bits,); NaN for the one that symmetric integers leave out."""
        values, q = np.full(2**self.bits, np.nan, np.float32), np.arange(self.low, self.high + 1)
        values[(q + self.offset) % 2**self.bits] = q
        return read_only(values)

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Return codes, uint8; beyond ``low`` and ``high`` numbers saturate."""
        shifted = self.rounding(x + np.float32(self.offset))
        shifted = np.clip(shifted, self.low + self.offset, self.high + self.offset)
        return (shifted.astype(np.int16) % 2**self.bits).astype(np.uint8)


@dataclass(frozen=True, eq=False, repr=False)
class BlockFormat:
    """Numbers in blocks that share a scale, down to the bytes. Taught in notebook 11, section 3.

    Fields are not checked: change those of :data:`FORMATS` one at a time, with ``dataclasses.replace``.

    >>> FORMATS["q4_0"]
    BlockFormat: q4_0, 4.5 bits a weight, 16 levels from -8 to 7 in blocks of 32

    Parameters
    ----------
    name : str
    block : int, how many numbers, one after the other along the last axis, share a scale
    element : what a number divided by its scale becomes: it has ``bits``, ``values`` of all codes, and ``quantize``
    scale : function of blocks and levels that returns a scale for each block
    stored : what scales are rounded to: NumPy's type, or a list of values whose index is a byte
    nibbles : which of a block's numbers share a byte: neighbours, the first in the low half ("low first") or in the
        high one ("high first"); or one of the first half of the block, low, and one of the second ("halves")
    unrounded : bool, codes are chosen with 1 / scale from before the scale was rounded, as GGML does
    minimum : bool, the minimum of each block is taken off first, and stored behind the scale
    tensor : bool, one float32 for all brings the largest scale to the largest that can be stored
    """

    name: str
    block: int
    element: FloatFormat | Integers | Codebook
    scale: Callable[[np.ndarray, np.ndarray], np.ndarray]
    stored: np.dtype | FloatFormat | Codebook
    nibbles: Literal["low first", "high first", "halves"] = "low first"
    unrounded: bool = False
    minimum: bool = False
    tensor: bool = False

    @property
    def bits_per_weight(self) -> float:
        """Bits that a number takes with its part of the scale and minimum; nvfp4's one float32 is not counted.

        >>> FORMATS["mxfp4"].bits_per_weight, integers(3, block=64).bits_per_weight
        (4.25, 3.25)
        """
        return 8 * self._row.itemsize / self.block

    @cached_property
    def levels(self) -> np.ndarray:
        """What codes stand for before the scale: float32, rising, without duplicates, NaN and infinity."""
        return read_only(np.unique(self.element.values[np.isfinite(self.element.values)]))

    def quantize(self, x: np.ndarray, tensor_scale: np.float32 | None = None) -> "Blocks":
        """Return the codes and scales of ``x``, whose last axis must be a multiple of ``block`` long.

        The blocks of a Keras kernel, (inputs, outputs), run along its inputs: pass ``kernel.T``. A ValueError also
        where a scale or minimum is beyond float16, in the formats that store them so. A block whose scale is stored as
        0 comes back as zeros, in q4_1 as its minimum. ``tensor_scale`` is that of a tensor that ``x`` is part of.

        >>> x = np.arange(32)  # the scale is 4, so that 31 becomes 6 * 4
        >>> FORMATS["mxfp4"].quantize(x).dequantize()[[0, 1, 5, 16, 31]]
        array([ 0.,  0.,  4., 16., 24.], dtype=float32)
        """
        x = float32s(x)
        blocks, minima = x.reshape(self._count(x.shape), self.block), None
        with np.errstate(over="ignore", divide="ignore"):
            if not self.tensor:
                tensor_scale = 1.0
            elif tensor_scale is None:
                tensor_scale = np.abs(x).max() / float(self.levels[-1] * self.stored.largest)
            tensor_scale = np.float32(tensor_scale)
            blocks = _divide(blocks, tensor_scale)
            if self.minimum:
                lowest = blocks.min(axis=1, keepdims=True)
                blocks, minima = blocks - lowest, self._load(self._save(lowest))
            wanted = self.scale(blocks, self.levels)
            scales = self._load(self._save(wanted))
            if self.unrounded:
                ratios = blocks * np.nan_to_num(1 / wanted)  # finite, so that 0 times it is 0
            else:
                ratios = _divide(blocks, scales)
        return Blocks(self, x.shape, self.element.quantize(ratios), scales, minima, tensor_scale)

    def unpack(self, data: bytes, shape: int | tuple[int, ...]) -> "Blocks":
        """Return what :meth:`Blocks.pack` wrote for an array of that shape.

        A ValueError if that takes another number of bytes, or they stand for anything but finite numbers.

        >>> data = FORMATS["q4_0"].quantize(np.linspace(-1, 1, 64)).pack()
        >>> len(data), FORMATS["q4_0"].unpack(data, 64).dequantize()[[0, 63]]
        (36, array([-1.,  1.], dtype=float32))
        """
        shape = tuple(whole(length, "shape", 1, 10**9) for length in np.atleast_1d(shape))
        count, start = self._count(shape), 4 * self.tensor
        if len(data) != (wanted := start + count * self._row.itemsize):
            raise ValueError(f"shape {shape} in {self.name} takes {wanted} bytes, got {len(data)}; try another shape")
        tensor_scale = np.frombuffer(data[:start], FLOAT32)[0] if self.tensor else np.float32(1)
        rows = np.frombuffer(data, self._row, offset=start)
        bits = np.unpackbits(rows["codes"], axis=1, count=self.block * self.element.bits, bitorder="little")
        codes = np.empty((count, self.block), np.uint8)
        codes[:, self._order] = np.packbits(bits.reshape(count, self.block, -1), axis=2, bitorder="little")[..., 0]
        minima = self._load(rows["minima"]) if self.minimum else None
        blocks = Blocks(self, shape, codes, self._load(rows["scales"]), minima, tensor_scale)
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.all(np.isfinite(blocks.dequantize())):
                raise ValueError(f"data holds what is no finite number in {self.name}; was it another format?")
        return blocks

    def __repr__(self) -> str:
        levels = f"{len(self.levels)} levels from {self.levels[0]:g} to {self.levels[-1]:g}"
        return f"BlockFormat: {self.name}, {self.bits_per_weight:g} bits a weight, {levels} in blocks of {self.block}"

    def _count(self, shape: tuple[int, ...]) -> int:
        """Return how many blocks an array of this shape has."""
        if not shape or shape[-1] % self.block:
            way_out = "transpose x, or take integers(bits, block) with a block that divides it"
            raise ValueError(f"the last axis must be a multiple of {self.block} long, got shape {shape}; {way_out}")
        return math.prod(shape) // self.block

    @cached_property
    def _row(self) -> np.dtype:
        """The bytes of one block."""
        stored = self.stored if isinstance(self.stored, np.dtype) else np.uint8
        heads = ["scales", "minima"][: 1 + self.minimum]
        code_bytes = -(-self.block * self.element.bits // 8)
        return np.dtype([*((head, stored, (1,)) for head in heads), ("codes", np.uint8, (code_bytes,))])

    @cached_property
    def _order(self) -> np.ndarray:
        """The positions of a block in the order they are packed in, from the low bits of the first byte on."""
        positions = np.arange(self.block)
        if self.nibbles == "halves":
            return positions.reshape(2, -1).T.ravel()
        return positions.reshape(-1, 2)[:, ::-1].ravel() if self.nibbles == "high first" else positions

    def _save(self, scales: np.ndarray) -> np.ndarray:
        """Round scales to what is stored of them, of the same shape."""
        if not isinstance(self.stored, np.dtype):
            return self.stored.quantize(scales)
        stored = scales.astype(self.stored)
        if not np.all(np.isfinite(stored)):
            limit = f"{self.name} stores scales as {self.stored}, up to {np.finfo(self.stored).max:,.0f}"
            raise ValueError(f"{limit}, got {np.abs(scales).max():.4g}; divide all of x by one number first")
        return stored

    def _load(self, stored: np.ndarray) -> np.ndarray:
        """Return the scales that are so stored, float32."""
        if isinstance(self.stored, np.dtype):
            return stored.astype(np.float32)
        return np.append(self.stored.values, np.float32(np.nan))[stored]


@dataclass(frozen=True, eq=False, repr=False)
class Blocks:
    """An array in blocks: ``values[codes] * (scales * tensor_scale) + minima``. Taught in notebook 11, section 3.

    >>> integers(4, block=4).quantize([[0.1, -0.2, 0.3, 0.7], [7.0, 1.0, 0.4, 0.0]])
    Blocks: shape (2, 4), int4 in blocks of 4, scales 0.09998 to 1
    """

    format: BlockFormat
    shape: tuple[int, ...]  # of the array
    codes: np.ndarray  # uint8, (blocks, block)
    scales: np.ndarray  # float32, (blocks, 1), as they are stored
    minima: np.ndarray | None  # likewise
    tensor_scale: np.float32  # 1 but in nvfp4

    def dequantize(self) -> np.ndarray:
        """Return the numbers, float32, in the shape of the array."""
        x = self.format.element.values[self.codes] * (self.scales * self.tensor_scale)
        return (x if self.minima is None else x + self.minima).reshape(self.shape)

    def nearest(self, x: np.ndarray) -> np.ndarray:
        """Return numbers, one for each block, float32 (blocks,), as the nearest values that those blocks have.

        >>> integers(4, block=2).quantize([[1.0, 7.0], [3.5, 0.0]]).nearest([2.3, 2.3])
        array([2. , 2.5], dtype=float32)
        """
        minima = 0 if self.minima is None else self.minima
        ratios = _divide(float32s(x)[:, None] - minima, self.scales * self.tensor_scale)
        return replace(self, shape=ratios.shape[:1], codes=self.format.element.quantize(ratios)).dequantize()

    def pack(self) -> bytes:
        """Return the bytes: of each block the scale, the minimum if there is one, and the codes without gaps.

        In GGML's formats and mxfp4 they are those of a GGUF file. Elsewhere nothing says where scales are: OCP leaves
        it open, bitsandbytes and NVIDIA's checkpoints keep them in an array of their own; nf4's codes share bytes as
        in bitsandbytes. nvfp4 begins with its float32.

        >>> FORMATS["q4_0"].quantize(np.arange(-16, 16)).pack()[:4].hex(" ")  # the float16 2.0, 0 and 8, 1 and 9
        '00 40 80 91'
        """
        form = self.format
        rows = np.empty(len(self.codes), form._row)
        rows["scales"] = form._save(self.scales)
        if form.minimum:
            rows["minima"] = form._save(self.minima)
        bits = (self.codes[:, form._order, None] >> np.arange(form.element.bits, dtype=np.uint8)) & 1
        rows["codes"] = np.packbits(bits.reshape(len(rows), -1), axis=1, bitorder="little")
        return (self.tensor_scale.astype(FLOAT32).tobytes() if form.tensor else b"") + rows.tobytes()

    def __repr__(self) -> str:
        span = f"scales {self.scales.min():.4g} to {self.scales.max():.4g}"
        return f"Blocks: shape {self.shape}, {self.format.name}, {span}"


def integers(bits: int, block: int) -> BlockFormat:
    """Return the format of ordinary symmetric integers in blocks, each with a float16 scale.

        scale = float16(max |x| / qmax)        q = clip(round(x / scale), -qmax, qmax)        qmax = 2^(bits - 1) - 1

    ``bits`` is 2 to 8; a tie goes to the even integer; codes are two's complement. Taught in notebook 11, section 3.

    >>> integers(2, block=4).quantize([0.1, -0.2, 0.6, -1.0]).dequantize()
    array([ 0.,  0.,  1., -1.], dtype=float32)
    """
    bits, block = whole(bits, "bits", 2, 8), whole(block, "block", 1, 10**6)
    top = 2 ** (bits - 1) - 1
    return BlockFormat(f"int{bits} in blocks of {block}", block, Integers(bits, -top, top), _largest, FLOAT16)


def _largest(blocks: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return scales that bring the largest magnitude to the highest level."""
    return np.abs(blocks).max(axis=1, keepdims=True) / levels[-1]


def _signed_largest(blocks: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return scales, negative where they must be, that bring the number of largest magnitude to the lowest level."""
    return np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1) / levels[0]


def _power_of_two(blocks: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return scales ``2^(floor(log2(largest magnitude)) - floor(log2(highest level)))``, 0 for a block of zeros."""
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    powers = np.frexp(largest)[1] - np.frexp(levels[-1])[1]
    return np.where(largest > 0, np.ldexp(np.float32(1), powers), 0)


def _plus_half(x: np.ndarray) -> np.ndarray:
    """Round as GGML does 4 bits: add 0.5, in float32, and cut off what follows the point."""
    return np.floor(x + np.float32(0.5))


def _divide(x: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return ``x / scales``, and 0 where the scale is 0."""
    return np.divide(x, scales, where=scales != 0, out=np.zeros_like(x))


NF4 = (-1.0, -0.696192801, -0.525073051, -0.394917488, -0.284441382, -0.18477343, -0.0910500363, 0.0)
NF4 += (0.0795802996, 0.160930201, 0.246112302, 0.337915242, 0.440709829, 0.562617004, 0.722956836, 1.0)
"""Of a normal distribution seven quantiles below its median, the median, and eight above, over the highest, in float32.

The probabilities are evenly spaced on either side, to 0.9677083 = 1 - (1 / 30 + 1 / 32) / 2 as the outermost.
"""

_ggml = partial(BlockFormat, block=32, stored=FLOAT16, unrounded=True)
_mx = partial(BlockFormat, block=32, scale=_power_of_two, stored=E8M0)

FORMATS = {
    each.name: each
    for each in (
        _mx("mxfp4", element=FLOATS["e2m1"], nibbles="halves"),
        _ggml("q4_0", element=Integers(4, -8, 7, _plus_half, offset=8), scale=_signed_largest, nibbles="halves"),
        BlockFormat("nf4", 64, Codebook(NF4), _largest, FLOAT32, nibbles="high first"),
        BlockFormat("nvfp4", 16, FLOATS["e2m1"], _largest, FLOATS["e4m3"], tensor=True),
        _ggml("q4_1", element=Integers(4, 0, 15, _plus_half), scale=_largest, nibbles="halves", minimum=True),
        _mx("mxfp6", element=FLOATS["e2m3"]),
        _mx("mxfp6_e3m2", element=FLOATS["e3m2"]),
        _mx("mxfp8", element=FLOATS["e4m3"]),
        _ggml("q8_0", element=Integers(8, -127, 127, half_away), scale=_largest),
    )
}
"""The formats of files and papers, in the order of their bits per weight.

- q8_0, q4_0 and q4_1 are GGML's. In q4_0 the number of largest magnitude becomes -8, and the other side ends at 7.
- mxfp4, mxfp6 and mxfp8 are OCP's. Their scales bring the largest number to the highest level's power of two; what is
  beyond the highest level, as 31 is beyond 24 = 4 * 6, saturates.
- nvfp4 is NVIDIA's: scales of three mantissa bits, and shorter blocks.
- nf4 is QLoRA's, without its double quantization, which makes 4.127 bits of 4.5.
"""
