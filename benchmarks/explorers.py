"""How fast explorers follow a slider, and what they cost.

python -m benchmarks.explorers [--browser]

A step is one new value of the bits slider (or the next channel, zoom or row, where there is none), from there to the
finished picture in the widget: the first visit of a value, and a later one, when the explorer may remember what it
computed. It is compared with the same picture drawn as a whole and saved as the inline backend does. (``interact`` with
pyplot makes the figure and its axes anew on top.) Both take turns within one run, so that a busy machine slows both.
``--browser`` measures what a learner sees: from the key press to the new picture, decoded, in JupyterLab in
Chromium.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import numpy as np

from benchmarks.machine import machine
from qkit.show import canvas
from qkit.show.canvas import Stage
from qkit.show.explorer import Explorer

ROOT = Path(__file__).resolve().parents[1]
SETUP = """\
from collections import namedtuple
from types import SimpleNamespace
import numpy as np
from qkit.digits import draw_digits
from qkit.show import explorers
rng = np.random.default_rng(0)
weights = (rng.normal(size=(3, 3, 32, 64)) * np.exp(rng.normal(-3, 0.5, 64))).astype(np.float32)
kernel = (rng.normal(size=(3, 3, 1, 32)) * 0.3).astype(np.float32)
dense = (rng.normal(size=(1600, 128)) * 0.05).astype(np.float32)
sets = {f"{n} rows": {"dense": dense[:n], "after ReLU": np.maximum(dense[:n] - 0.05, 0)} for n in (16, 1600)}
image = draw_digits(1)[0][0]
from qkit.numeric import Convolution, QuantParams, QuantSpec
layer = Convolution(
    name="conv2", source="pool1", shape=(11, 11, 64), activation="RELU",
    x=QuantParams(0.003, -128, QuantSpec()), y=QuantParams(0.01, -128, QuantSpec()),
    w=QuantParams(np.full(64, 0.002), np.zeros(64, int), QuantSpec(symmetric=True, narrow_range=True, axis=0)),
    q_weights=rng.integers(-127, 128, (64, 3, 3, 32)).astype(np.int8), q_bias=np.zeros(64, np.int32),
    size=(3, 3), strides=(1, 1), same=False)
q_inputs = rng.integers(-128, 128, (8, 13, 13, 32)).astype(np.int8)
labels = rng.integers(0, 10, 10_000, np.uint8)
digits = rng.integers(0, 256, (10_000, 28, 28), np.uint8)
cell = namedtuple("Cell", ["network", "method", "weight_bits", "activation_bits", "seed"])
cells = [cell("deep", method, bits, 8, seed) for method in "abcd" for bits in range(2, 9) for seed in range(3)]
cells += [cell("deep", method, 32, 32, seed) for method in ("float", "float, tuned") for seed in range(3)]
right = {each: np.where(rng.random(10_000) < 0.1 / each.weight_bits, 3, labels) for each in cells}
results = SimpleNamespace(labels=labels, predicted=right)"""
EXPLORERS = {
    "number_line": "explorers.number_line([-1.2, -0.5, 0, 0.3, 2.1])",
    "tensor": "explorers.tensor(weights)",
    "tensor, dense": "explorers.tensor(dense)",
    "channels": "explorers.channels(weights)",
    "comparison": "explorers.comparison(results, digits)",
    "fake_quantization": "explorers.fake_quantization()",
    "float_format": "explorers.float_format()",
    "formats": "explorers.formats(dense.T)",
    "images": "explorers.images(image, kernel=kernel, bias=np.zeros(32))",
    "threshold": "explorers.threshold(sets, images='1600 rows', bits=2)",
    "journey": "explorers.journey(layer, q_inputs)",
}
IMPORT = "from time import perf_counter; start = perf_counter(); import qkit; print(perf_counter() - start)"
MEMORY = f"""\
import ipykernel.kernelapp, psutil
{SETUP}
{EXPLORERS["tensor"]}.set(bits=5)
print(psutil.Process().memory_info().rss / 1e6)"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", action="store_true", help="measure in JupyterLab in Chromium too")
    options = parser.parse_args()
    print(machine() + "\n")
    print("slider step in the kernel, ms   | first  |    p95 | again  |    p95 | drawn whole | times faster, first")
    for name, first, again, whole in kernel_steps():
        ratio = statistics.median(whole) / statistics.median(first)
        print(f"{name:31} | {_both(first)} | {_both(again)} | {statistics.median(whole):11.1f} | {ratio:12.1f}")
    if options.browser:
        print("\nkey press to picture, ms        | median |    p95")
        for name, steps in browser_steps():
            print(f"{name:31} | {_both(steps)}")
    seconds = statistics.median(float(_python(IMPORT)) for _ in range(5))
    print(f"\nimport qkit: {seconds:.3f} s")
    print(f"memory of a kernel that shows an explorer: {float(_python(MEMORY)):.0f} MB")


class Redrawn(Stage):
    """Stands in for a stage, and draws everything each time, as the inline backend does."""

    def moving(self, artist):
        """Let ``artist`` be one like all others."""
        return artist

    def png(self) -> bytes:
        """Draw and save the whole figure."""
        file = io.BytesIO()
        self.figure.set_layout_engine("none")  # the last savefig left the style's own behind
        self.figure.savefig(file, bbox_inches="tight")
        return file.getvalue()


def make(name: str) -> Explorer:
    """Return the explorer of that name; its weights are those of a convolution with 64 channels."""
    scope: dict = {}
    exec(SETUP, scope)
    return eval(EXPLORERS[name], scope)


def kernel_steps(rounds: int = 4):
    """Yield for each explorer the milliseconds of first visits, later visits, and whole redrawings, taking turns."""
    for name in EXPLORERS:
        first, again, whole_steps = [], [], []
        for _ in range(rounds):
            canvas._written.cache_clear()
            explorer = make(name)
            module = sys.modules[f"qkit.show.explorers.{name.split(',')[0]}"]
            with patch.object(module, "Stage", Redrawn):
                whole = make(name)
            count = len(values_of(explorer)[1]) - 1
            for turn in range(count):
                first.append(step(explorer))
                if turn % 3 == 0:
                    whole_steps.append(step(whole))
            again += [step(explorer) for _ in range(count)]
        yield name, first, again, whole_steps


def step(explorer: Explorer) -> float:
    """Move its slider on by one, from the end to the beginning; return the milliseconds it took."""
    slider, values = values_of(explorer)
    value = values[(values.index(slider.value) + 1) % len(values)]
    start = perf_counter()
    slider.value = value
    return 1e3 * (perf_counter() - start)


def values_of(explorer: Explorer) -> tuple:
    """Return the slider that is moved, and all its values."""
    slider = next(explorer.controls[name] for name in ("bits", "channel", "zoom", "row") if name in explorer.controls)
    if hasattr(slider, "options"):
        return slider, [value for _, value in slider.options]
    return slider, list(range(slider.min, slider.max + 1))


def browser_steps(rounds: int = 40):
    """Yield for each explorer the milliseconds from a key press to the new picture in JupyterLab."""
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    import lab
    import nbformat

    with tempfile.TemporaryDirectory() as folder, lab.launch() as browser:
        work = Path(folder) / "work"
        work.mkdir()
        cells = [nbformat.v4.new_code_cell(cell) for cell in (SETUP, *EXPLORERS.values())]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), work / "b.ipynb")
        with lab.serve(Path(folder)) as url, lab.new_page(browser) as page:
            errors = lab.open_and_run(page, url("b.ipynb"))
            if errors:
                sys.exit(f"the notebook fails: {errors}")
            for name, explorer in zip(EXPLORERS, lab.explorers(page, len(EXPLORERS)), strict=True):
                yield name, [_key_step(page, explorer, lab) for _ in range(rounds)][2:]


def _key_step(page, explorer, lab) -> float:
    handle, _ = lab.focus_slider(explorer)
    if handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax"):
        page.keyboard.press("Home")
        page.wait_for_timeout(300)
    explorer.evaluate(WATCH)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => window.qkitStep !== null")
    # As a learner: the next key comes when this picture has been seen.
    page.wait_for_timeout(50)
    return page.evaluate("() => window.qkitStep")


WATCH = """explorer => {
    window.qkitStep = null
    let pressed
    explorer.addEventListener('keydown', () => { pressed = performance.now() }, {capture: true, once: true})
    const watcher = new MutationObserver(async () => {
        watcher.disconnect()
        await explorer.querySelector('.qkit-picture').decode()
        window.qkitStep = performance.now() - pressed
    })
    watcher.observe(explorer.querySelector('.qkit-picture').parentNode, {childList: true})
}"""


def _both(steps: list[float]) -> str:
    return f"{statistics.median(steps):6.1f} | {np.percentile(steps, 95):6.1f}"


def _python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()[-1]


if __name__ == "__main__":
    main()
