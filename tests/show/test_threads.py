"""JupyterLab runs callbacks of widgets on a second thread while cells go on: neither side may see the other."""

import io
import sys
import threading
from time import perf_counter

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot

from qkit.show import explorers
from qkit.show.explorer import Explorer

pytestmark = pytest.mark.slow  # ten seconds in all: a thread has to meet another one often

WEIGHTS = np.random.default_rng(3).normal(size=(3, 3, 8, 16)) * np.geomspace(0.02, 1, 16)
IMAGE = np.random.default_rng(4).random((28, 28))
MAKE = {
    "number_line": explorers.number_line,
    "tensor": lambda: explorers.tensor(WEIGHTS),
    "channels": lambda: explorers.channels(WEIGHTS),
    "fake_quantization": explorers.fake_quantization,
    "images": lambda: explorers.images(IMAGE, kernel=WEIGHTS[:, :, :1], bias=np.zeros(16)),
    "threshold": lambda: explorers.threshold(WEIGHTS),
}
BITS = [2, 3, 5, 8]


@pytest.fixture(autouse=True)
def switch_often():
    """Let Python change threads a hundred times as often as usual, so that what can go wrong does."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(interval)
    pyplot.close("all")


class Thread(threading.Thread):
    """A thread whose exceptions are raised where it is joined."""

    def __init__(self, work):
        super().__init__()
        self._work, self._error = work, None

    def run(self):
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def join(self, timeout=60):
        super().join(timeout)
        assert not self.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error


def pyplot_figure(i):
    """Draw a figure as a learner's cell does, all through pyplot's current figure."""
    pyplot.figure(figsize=(3, 2))
    pyplot.plot([0, 1, 2], [i, 1, 0], label=f"line {i}")
    pyplot.title(f"$x^{i}$")
    pyplot.legend()
    file = io.BytesIO()
    pyplot.savefig(file, format="png", metadata={"Software": None})
    pyplot.close()
    return file.getvalue()


def overlaps(spans, others):
    """Count the spans of time during which one of the others went on too."""
    return sum(any(a < d and c < b for c, d in others) for a, b in spans)


@pytest.mark.parametrize("kind", MAKE)
def test_callbacks_while_a_cell_draws_with_pyplot(kind):
    explorer = MAKE[kind]()
    expected = {bits: (explorer.set(bits=bits).png(), explorer.words) for bits in BITS}
    figures = [pyplot_figure(i) for i in range(4)]
    settings = dict(matplotlib.rcParams)
    callbacks, cells = [], []

    def move():
        for bits in BITS * 250:
            # On a busy machine a figure can take as long as twenty callbacks.
            if len(callbacks) >= 20 and len(cells) >= len(figures):
                break
            start = perf_counter()
            explorer.controls["bits"].value = bits
            callbacks.append((start, perf_counter()))
            assert explorer.error is None
            assert (explorer.png(), explorer.words) == expected[bits]

    explorer.set(bits=4)
    thread = Thread(move)
    thread.start()
    while thread.is_alive():
        for i, figure in enumerate(figures):
            start = perf_counter()
            assert pyplot_figure(i) == figure
            cells.append((start, perf_counter()))
    thread.join()
    assert len(callbacks) >= 20 and len(cells) >= len(figures)
    assert overlaps(callbacks, cells) > 0.7 * len(callbacks)
    assert overlaps(cells, callbacks) > 1
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings


def test_a_cell_and_a_callback_move_the_same_explorer(monkeypatch):
    torn, pairs = [], {}

    def watched(controls, update, *more):
        def watched_update(**values):
            png, words = update(**values)
            if len(pairs) == len(settings) and pairs.get(words) != png:
                torn.append(words)
            return png, words

        return Explorer(controls, watched_update, *more)

    monkeypatch.setattr(sys.modules["qkit.show.explorers.number_line"], "Explorer", watched)
    settings = {"bits": 6, "value": -0.4, "symmetric": True}, {"bits": 2, "value": 0.7, "symmetric": False}
    explorer = explorers.number_line()
    for setting in settings:
        explorer.set(**setting)
        pairs[explorer.words] = explorer.png()
    times = {"cell": [], "callback": []}
    together = threading.Barrier(2)

    def move(who, turn):
        for step in range(30):
            together.wait(60)
            start = perf_counter()
            explorer.set(**settings[(step + turn) % 2])
            times[who].append((start, perf_counter()))

    thread = Thread(lambda: move("callback", 0))
    thread.start()
    move("cell", 1)
    thread.join()
    assert torn == []
    assert pairs[explorer.words] == explorer.png()
    assert overlaps(times["cell"], times["callback"]) > 15


def test_two_explorers_move_at_once():
    kinds = ["tensor", "channels"]
    made = [MAKE[kind]() for kind in kinds]
    expected = [{bits: explorer.set(bits=bits).png() for bits in BITS} for explorer in made]

    def move(explorer, pictures):
        for bits in BITS * 8:
            assert explorer.set(bits=bits).png() == pictures[bits]

    threads = [Thread(lambda a=a, b=b: move(a, b)) for a, b in zip(made, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
