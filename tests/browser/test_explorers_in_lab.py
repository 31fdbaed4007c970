"""Explorers in JupyterLab as a learner meets them: run the notebook, move a slider with the keyboard, look."""

import re

import nbformat
import pytest
from lab import ROOT, explorers, focus_slider, open_and_run

ARTIFACTS = ROOT / "tests" / "artifacts"

CELLS = {
    "number_line": "explorers.number_line([-1.2, -0.5, 0, 0.3, 2.1])",
    "tensor": "explorers.tensor(weights)",
    "channels": "explorers.channels(weights)",
    "comparison": "explorers.comparison(results, rng.random((300, 28, 28)))",
    "fake_quantization": "explorers.fake_quantization()",
    "fake_quantization_replay": "explorers.fake_quantization(path, 0.1, bits=2)",
    "images": "explorers.images(draw_digits(1)[0][0], kernel=weights[:, :, :1])",
    "threshold": "explorers.threshold({'few': {'all': weights[:1], 'some': weights[:1, ..., :2]}, "
    "'many': {'all': weights, 'some': weights[..., :2]}})",
    "journey": "explorers.journey(layer, np.arange(-100, 98, dtype=np.int8).reshape(2, 99))",
    "network": """\
from qkit.network import Simulation, build
x, y = draw_digits(2_400)
explorers.network(Simulation(build("shallow"), x[:50]), x, y)""",
}
SETUP = """\
from collections import namedtuple
from types import SimpleNamespace
import numpy as np
from qkit.digits import draw_digits
from qkit.show import explorers
weights = np.random.default_rng(0).normal(size=(3, 3, 8, 16)) * np.geomspace(0.02, 1, 16)
from qkit.numeric import Dense, QuantParams, QuantSpec
layer = Dense(
    name="dense", source="flatten", shape=(16,), relu=True, x=QuantParams(0.01, -128, QuantSpec()),
    y=QuantParams(0.02, -128, QuantSpec()), w=QuantParams(0.01, 0, QuantSpec(symmetric=True, narrow_range=True)),
    q_weights=np.random.default_rng(1).integers(-127, 128, (16, 99)).astype(np.int8), q_bias=np.zeros(16, np.int32))
rng = np.random.default_rng(0)
path = np.cumsum(rng.normal(scale=0.02, size=(94, 2)), axis=0)
labels = rng.integers(0, 10, 300)
cell = namedtuple("Cell", ["network", "method", "weight_bits", "activation_bits", "seed"])
cells = [cell("deep", method, bits, 8, 0) for method in ("PTQ", "QAT") for bits in (2, 4, 8)]
predicted = {each: np.where(rng.random(300) < 0.3 / each.weight_bits, 3, labels) for each in cells}
results = SimpleNamespace(labels=labels, predicted=predicted)"""


def with_explorers() -> list[str]:
    """Return the course's notebooks that show an explorer.

    Those from 05 on compute for minutes before they show one; their explorers are among ``CELLS``.
    """
    paths = sorted((ROOT / "notebooks").glob("0[0-4]*.ipynb"))
    return [path.name for path in paths if "explorers." in path.read_text(encoding="utf-8")]


def write_notebook(path, cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    # Without it JupyterLab stops and asks which kernel to take.
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def wait_until_changed(page, explorer, words, picture):
    """Wait until an explorer shows other words and another picture, completely loaded."""
    page.wait_for_function(
        """([explorer, words, picture]) => {
            const image = explorer.querySelector('.qkit-picture')
            const text = explorer.querySelector('.qkit-words')
            return image && text && image.complete && image.naturalWidth > 100
                && image.src !== picture && text.innerText !== words
        }""",
        arg=[explorer.element_handle(), words, picture],
    )


def state(explorer):
    picture = explorer.locator(".qkit-picture")
    return explorer.locator(".qkit-words").inner_text(), picture.get_attribute("src")


def move_first_slider(page, explorer):
    """Press one key, and check that words, picture and alternative text follow and nothing jumps."""
    handle, key = focus_slider(explorer)
    words, picture = state(explorer)
    at, room, looks = handle.get_attribute("aria-valuenow"), explorer.bounding_box(), explorer.screenshot()
    page.keyboard.press(key)
    wait_until_changed(page, explorer, words, picture)
    assert handle.get_attribute("aria-valuenow") != at
    assert explorer.locator(".qkit-picture").get_attribute("alt") == state(explorer)[0]
    assert explorer.locator(".qkit-problem").count() == 0
    assert explorer.screenshot() != looks
    assert explorer.bounding_box()["height"] == room["height"]


@pytest.mark.parametrize("name", with_explorers())
def test_explorers_of_the_course(server, page, name):
    _, url = server
    assert open_and_run(page, url(name)) == []
    found = explorers(page)
    assert found
    for i, explorer in enumerate(found):
        move_first_slider(page, explorer)
        explorer.screenshot(path=ARTIFACTS / f"{name.removesuffix('.ipynb')}-{i}.png")
    assert page.faults == []


@pytest.fixture
def own_notebook(server, page):
    """A notebook with one explorer of each kind, open and run."""
    folder, url = server
    write_notebook(folder / "explorers.ipynb", [SETUP, *CELLS.values()])
    assert open_and_run(page, url("explorers.ipynb")) == []
    found = explorers(page)
    assert len(found) == len(CELLS)
    return dict(zip(CELLS, found, strict=True))


def test_sliders_and_switches_move_by_keyboard(own_notebook, page):
    for kind, explorer in own_notebook.items():
        move_first_slider(page, explorer)
        for switch in explorer.locator(".widget-toggle-button").all():
            label, (words, picture) = switch.inner_text(), state(explorer)
            switch.focus()
            page.keyboard.press("Space")
            wait_until_changed(page, explorer, words, picture)
            assert switch.inner_text() == label.translate(str.maketrans("☑☐", "☐☑"))
            page.keyboard.press("Space")
            explorer.locator(".qkit-words", has_text=words).wait_for()
        explorer.screenshot(path=ARTIFACTS / f"{kind}.png")
    assert page.faults == []


def test_a_choice_is_made_in_the_list(own_notebook, page):
    explorer = own_notebook["threshold"]
    for at, name in ((0, "many"), (1, "some"), (2, "kl")):
        words, picture = state(explorer)
        explorer.locator(".widget-dropdown select").nth(at).select_option(label=name)
        wait_until_changed(page, explorer, words, picture)
    assert re.match("some, many, .* kl clips at", state(explorer)[0])
    assert page.faults == []


def test_a_slider_stops_at_the_numbers_it_offers(own_notebook, page):
    explorer = own_notebook["threshold"]
    slider = explorer.locator(".widget-slider", has_text="percentile")
    for key, number in (("ArrowLeft", "99.8"), ("Home", "95"), ("End", "100")):
        words, picture = state(explorer)
        slider.locator(".noUi-handle").focus()
        page.keyboard.press(key)
        wait_until_changed(page, explorer, words, picture)
        assert slider.locator(".widget-readout").inner_text() == number
        assert f"percentile {number} at" in state(explorer)[0]
    assert page.faults == []


def test_every_control_has_a_label_and_a_tooltip(own_notebook):
    for explorer in own_notebook.values():
        named = explorer.locator(".widget-slider .widget-label, .widget-dropdown span, .widget-toggle-button").all()
        assert len(named) == explorer.locator(".widget-slider, .widget-dropdown, .widget-toggle-button").count()
        for element in named:
            assert element.inner_text().strip()
            assert len(element.get_attribute("title")) > 20


def test_an_impossible_setting_is_said_under_the_picture(own_notebook, page):
    explorer = own_notebook["number_line"]
    picture = explorer.locator(".qkit-picture")
    for name in ("signed", "symmetric"):
        explorer.get_by_role("button", name=name).click()
    problem = explorer.locator(".qkit-problem")
    problem.wait_for()
    assert "symmetric unsigned integers cannot stand for negative numbers" in problem.inner_text()
    assert picture.is_visible()
    explorer.screenshot(path=ARTIFACTS / "problem.png")
    explorer.get_by_role("button", name="signed").click()
    explorer.locator(".qkit-words").wait_for()
    assert problem.count() == 0


def test_a_slider_moves_while_a_cell_draws(server, page):
    """JupyterLab runs the callback beside the running cell; the cell checks its own figures."""
    folder, url = server
    busy = """\
import io, time
from matplotlib import pyplot as plt
def figure():
    fig = plt.figure(figsize=(3, 2)); plt.plot([0, 1], [0, 1]); plt.title('mine')
    file = io.BytesIO(); plt.savefig(file, metadata={'Software': None}); plt.close(fig)
    return file.getvalue()
first, end, count = figure(), time.time() + 6, 0
while time.time() < end:
    assert figure() == first
    count += 1
print('drew the same', count, 'times')"""
    write_notebook(folder / "busy.ipynb", [SETUP, CELLS["tensor"], "#"])
    assert open_and_run(page, url("busy.ipynb")) == []
    (explorer,) = explorers(page)
    # The kernel answers the first message of a widget on the cell's own thread, later ones on the other.
    for _ in range(2):
        move_first_slider(page, explorer)
    page.evaluate(
        """code => {
            const panel = window.jupyterapp.shell.currentWidget, notebook = panel.content
            notebook.activeCellIndex = 2
            notebook.activeCell.model.sharedModel.setSource(code)
            window.done = window.jupyterapp.commands.execute('notebook:run-cell')
        }""",
        busy,
    )
    page.locator(".jp-InputPrompt", has_text=re.compile(r"\[\*\]")).wait_for()
    _, key = focus_slider(explorer)
    moved = 0
    for _ in range(6):
        words, picture = state(explorer)
        page.keyboard.press(key)
        wait_until_changed(page, explorer, words, picture)
        moved += page.locator(".jp-InputPrompt", has_text=re.compile(r"\[\*\]")).count()
    assert page.evaluate("() => window.done")
    assert "drew the same" in page.locator(".jp-OutputArea-output").last.inner_text()
    assert moved >= 3, "the callbacks waited for the cell"
