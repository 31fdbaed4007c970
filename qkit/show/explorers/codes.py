"""A tensor in a code of your choice: a few values on its histogram, and what they cost in error and in bits."""

from functools import cache

import numpy as np

from qkit.numeric import mse, sqnr_db
from qkit.numeric.codebook import Codebook, entropy, kmeans, powers_of_two
from qkit.show.canvas import Stage, as_drawable, plain_ticks, write
from qkit.show.explorer import Explorer, choice, slider
from qkit.show.numerals import decibels, number, share
from qkit.show.picture import ERROR, FLOAT, QUANTIZED, QUANTIZED_TEXT, in_style

NAMES = {"uniform": "evenly spaced", "powers": "powers of two", "kmeans": "k-means"}


@in_style
def codes(weights: np.ndarray, **start) -> Explorer:
    """Show the values of a code on the histogram of ``weights``, the error each leaves, and the bits a weight takes.

    Above, the weights and the values that stand for them, one of which can be moved by hand; below, how much of the
    squared error the weights nearest to each value make. Evenly spaced values reach from the smallest weight to the
    largest; powers of two are as many as their bits allow, 3, 7, 15 or 31; those of
    :func:`~qkit.numeric.codebook.kmeans` make the least squared error. Taught in notebook 10, sections 2 and 3.

    ``weights`` are finite numbers of any shape, up to float32's largest; a ValueError if not, or if there are none.
    ``start`` are values of the controls: ``code`` ("uniform", "powers" or "kmeans"), ``count`` (2 to 32), ``which``
    (from 1, the lowest; the highest, where there are fewer) and ``moved`` (−0.9 to 0.9 of the way to its neighbour).
    """
    x = np.sort(as_drawable(weights, "weights"), axis=None)
    made = cache(lambda *setting: make_code(x, *setting))

    @cache
    def least_error(count):
        best = made("kmeans", count)
        return mse(x, best.dequantize(best.quantize(x)))

    farthest = max(made("powers", count).values[-1] for count in (3, 7, 15, 31))
    end = 1.05 * (float(max(-x[0], x[-1], farthest)) or 1.0)
    edges = np.linspace(-end, end, 181)

    stage = Stage(9, 4.6)
    names = "values", "SQNR", "error / k-means'", "bits an index", "its entropy", "with the codebook"
    numbers = stage.numbers(0.08, 0.89, names, [QUANTIZED_TEXT, QUANTIZED_TEXT, ERROR, *3 * [QUANTIZED_TEXT]])

    top = stage.axes(0.085, 0.4, 0.895, 0.42, xlim=(-end, end), xticks=[], yticks=[], ylabel="weights")
    density = np.histogram(x, edges)[0] / np.diff(edges)
    height = 1.12 * density.max()
    top.set_ylim(0, height)
    top.stairs(density, edges, fill=True, color=FLOAT, alpha=0.45)
    below = stage.axes(0.085, 0.13, 0.895, 0.21, xlim=(-end, end), ylim=(0, 1), yticks=[0, 0.5, 1])
    below.set(xlabel="weight", ylabel="share of the\nsquared error")
    plain_ticks(below.xaxis)
    grid = stage.line(top, color=QUANTIZED, linewidth=1.8)
    path = stage.line(top, ":", color="black", linewidth=2)
    home = stage.line(top, "s", color="white", markeredgecolor="black", markersize=8)
    hand = stage.line(top, "s", color=QUANTIZED, markeredgecolor="black", markersize=11)
    parts = stage.line(below, color=ERROR, linewidth=5, solid_capstyle="butt")

    def update(code, count, which, moved):
        still = made(code, count)
        most = max(count, len(still.values))  # of powers of two there are three at least
        least = least_error(most)
        place = min(which, len(still.values)) - 1
        book = with_moved(still, place, moved)
        values, old, new = book.values, still.values[place], book.values[place]
        q = book.quantize(x)
        x_hat = book.dequantize(q)
        error = mse(x, x_hat)

        # One line with gaps, because a line for every value would take longer than all the rest.
        grid.set_data(np.repeat(values, 3), np.tile([0, height, np.nan], len(values)))
        shares = np.bincount(q, (x - x_hat) ** 2, len(values)) / (error * x.size or 1)
        parts.set_data(np.repeat(values, 3), np.outer(shares, [0, 1, np.nan]).ravel())
        for line, places in ((path, [old, new]), (home, [old]), (hand, [new])):
            line.set_data(places, np.full(len(places), height / 2))
        sqnr, least_bits = decibels(sqnr_db(x, x_hat)), number(entropy(q))
        all_bits = number(book.bits_per_weight(x.size))
        times = number(error / least if least else 1.0 if error == 0 else np.inf)
        write(numbers, [number(len(values)), sqnr, times, number(book.bits), least_bits, all_bits])

        position = f"at {number(old)}" if new == old else f"moved from {number(old)} to {number(new)}"
        return stage.png(), (
            f"{NAMES[code].capitalize()}: {len(values)} values, SQNR {sqnr}. With value {place + 1} {position}, "
            f"{compared(error, least)} with at most {most} values. An index takes {book.bits} bits, by its entropy at "
            f"least {least_bits}; a weight takes {all_bits} bits with the codebook, where each value takes 32."
        )

    controls = {
        "code": choice("code", "Which values there are: each weight goes to the nearest", "kmeans", NAMES),
        "count": slider("values", "How many values there are at most: for 16, an index takes 4 bits", 8, 2, 32),
        "which": slider("value no.", "Which value is moved by hand, counted from the lowest", 4, 1, 32),
        "moved": slider("moved by", "Which share of the way to its neighbour it is moved", 0, -0.9, 0.9, step=0.05),
    }
    return Explorer(controls, update, stage.size, start, lines=3)


def make_code(x: np.ndarray, name: str, count: int) -> Codebook:
    """Return a code of at most ``count`` values, but of three powers of two at least."""
    if name == "uniform":
        return Codebook(np.unique(np.linspace(x.min(), x.max(), count).astype(np.float32)))
    return kmeans(x, count) if name == "kmeans" else powers_of_two(x, max(2, (count + 1).bit_length() - 1))


def with_moved(book: Codebook, place: int, moved: float) -> Codebook:
    """Return a code with one value moved by a share of the way to its neighbour, if float32 has such a number."""
    values = book.values.astype(np.float64)
    if len(values) > 1:
        gaps = np.pad(np.diff(values), 1, mode="edge")  # beyond an end as wide as before it
        values[place] += moved * gaps[place + (moved > 0)]
    try:
        return Codebook(values)
    except ValueError:
        return book


def compared(error: float, least: float) -> str:
    """Say how a mean squared error compares with that of k-means, which is the least."""
    if abs(error - least) <= 1e-6 * least:
        return "the mean squared error is that of k-means"
    if least == 0:
        return "the mean squared error is above the 0 of k-means"
    return f"the mean squared error is {share(abs(error / least - 1))} {'above' if error > least else 'below'} k-means"
