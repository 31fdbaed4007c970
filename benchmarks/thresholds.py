"""How fast thresholds are searched: every candidate, against plain NumPy loops and other toolkits.

python -m benchmarks.thresholds [rounds]

All share one histogram: 1,000,000 values of a Laplace distribution. They take turns within one run, so that a busy
machine slows all of them; the ratios are those of the medians. ONNX Runtime's and PPQ's calibrators join in where
they are installed; they try fewer thresholds.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace

import numpy as np

from benchmarks.machine import machine
from qkit.numeric import Histogram, histogram_of
from qkit.numeric.curves import divergences, reference_and_merged, squared_errors


def main(rounds: int) -> None:
    """Print the tables."""
    data = np.random.default_rng(0).laplace(size=1_000_000).astype(np.float32)
    histogram = histogram_of(data)
    print(f"{machine()}, {rounds} rounds, medians\n")
    loop = "plain NumPy loop"
    searches = [("kl", 1921, "qkit", kl), ("kl", 1921, loop, plain_kl), *peers(data)]
    print("one curve at 8 bits, signed, 2048 bins    | candidates |       ms | times ours | first call | times ours")
    for some in (searches, [("mse", 2048, "qkit", mse), ("mse", 2048, loop, plain_mse)]):
        times = in_turns([lambda run=run: run(histogram) for *_, run in some], rounds)
        for (method, count, name, _), (first, later) in zip(some, times, strict=True):
            ratios = first / times[0][0], later / times[0][1]
            print(
                f"{f'{method}: {name}':41} | {count:10,} | {later:8.3f} | {ratios[1]:10.1f} "
                f"| {first:10.3f} | {ratios[0]:10.1f}"
            )
    infinite = np.isinf(kl(histogram))
    kl_off = np.abs(kl(histogram)[~infinite] - plain_kl(histogram)[~infinite])
    mse_off = np.abs(mse(histogram) / plain_mse(histogram) - 1)
    print(f"\nkl: {infinite.mean():.0%} of the candidates are infinite; worst difference from the loop")
    print(f"elsewhere {kl_off.max():.1e} nats. mse: the loop has all values at their bins' centres, which is")
    print(f"up to {mse_off[63:].max():.1%} off beyond the 64th bin.\n")
    print("all KL and MSE curves, 2 to 8 bits together | signed, ms | unsigned, ms | counting the histogram, ms")
    for bins in (512, 1024, 2048, 4096, 8192):
        some = histogram_of(data, bins)
        runs = [lambda s=some: every_curve(s, True), lambda s=some: every_curve(s, False)]
        times = in_turns([*runs, lambda n=bins: histogram_of(data, n)], rounds)
        signed, unsigned, count = (later for _, later in times)
        print(f"{f'{bins:,} bins':43} | {signed:10.2f} | {unsigned:12.2f} | {count:26.1f}")


def kl(histogram: Histogram) -> np.ndarray:
    """Compute every divergence."""
    return divergences(histogram.nonzero_counts, 128, 128)


def plain_kl(histogram: Histogram) -> np.ndarray:
    """Compute them by their definition, one candidate at a time."""
    counts, found = histogram.nonzero_counts, []
    for kept in range(128, len(counts) + 1):
        p, q = reference_and_merged(counts, 128, kept)
        p, q = p[p > 0], q[p > 0]
        found.append(np.sum(p * np.log(p / q)) if q.all() else np.inf)
    return np.array(found)


def mse(histogram: Histogram) -> np.ndarray:
    """Compute every error, of a histogram that nothing was asked yet."""
    return squared_errors(replace(histogram), histogram.edges[1:], 127)


def plain_mse(histogram: Histogram) -> np.ndarray:
    """Compute them as toolkits do: every value quantized, at the centre of its bin."""
    shares = histogram.nonzero_counts / histogram.count
    edges = histogram.edges
    centres = (edges[1:] + edges[:-1]) / 2
    found = []
    for threshold in edges[1:]:
        scale = threshold / 127
        q = np.minimum(np.rint(centres / scale), 127)
        found.append(shares @ (centres - scale * q) ** 2)
    return np.array(found)


def every_curve(histogram: Histogram, signed: bool) -> None:
    """Compute 14 curves from the counts."""
    histogram = replace(histogram)  # nothing was asked yet
    for bits in range(2, 9):
        levels = 2 ** (bits - signed)
        divergences(histogram.nonzero_counts, levels, min(max(2 * levels, 128), len(histogram.counts)))
        squared_errors(histogram, histogram.edges[1:], levels - 1)


def peers(data: np.ndarray) -> list[tuple[str, int, str, Callable]]:
    """Return for each installed toolkit its method, how many thresholds it tries, its name and its search."""
    found = []
    try:
        from onnxruntime.quantization.calibrate import HistogramCollector
    except ImportError:
        print("(ONNX Runtime is not installed)")
    else:
        end = np.abs(data).max()
        counts, edges = np.histogram(data, 2048, (-end, end))

        def onnx_runtime(histogram: Histogram) -> object:
            return HistogramCollector.get_entropy_threshold(None, (counts, edges, data.min(), data.max()), 128)

        found.append(("kl", 961, "ONNX Runtime, on both signs", onnx_runtime))
    try:
        import torch
        from ppq.quantization.observer.range import TorchHistObserver
    except ImportError:
        print("(PPQ is not installed)")
    else:
        config = SimpleNamespace(num_of_bits=8, policy=SimpleNamespace(has_property=lambda _: False), detail={})

        def ppq(histogram: Histogram) -> object:
            counts, bins = torch.tensor(histogram.counts), len(histogram.counts)
            observer = SimpleNamespace(_hist_bins=bins)
            return TorchHistObserver.hist_to_scale_offset(observer, counts, bins, histogram.stop / bins, config)

        found.append(("kl", 16, "PPQ, every 128th bin", ppq))
    return found


def in_turns(runs: list[Callable], rounds: int) -> list[tuple[float, float]]:
    """Return for each the median time of its first call in a turn, and of the later ones, in milliseconds.

    The first call finds the processor's caches full of what the others left there.
    """
    firsts, laters = [[] for _ in runs], [[] for _ in runs]
    for turn in range(rounds + 1):
        for run, first, later in zip(runs, firsts, laters, strict=True):
            seconds = [_seconds(run)]
            while len(seconds) < 2 or sum(seconds) < 0.005:
                seconds.append(_seconds(run))
            if turn:  # nobody counts the first one
                first.append(seconds[0])
                later.append(statistics.median(seconds[1:]))
    return [(1000 * statistics.median(f), 1000 * statistics.median(s)) for f, s in zip(firsts, laters, strict=True)]


def _seconds(run: Callable) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
