"""Explorers in JupyterLab as a learner meets them: run the notebook, move a slider with the keyboard, look."""

import re

import nbformat
import pytest
from lab import ARTIFACTS, ROOT, focus_slider, run
from playwright.sync_api import expect

from qkit.show import explorers

CELLS = {
    "answers": "explorers.answers(rng.random((300, 28, 28)), labels, rng.dirichlet(np.ones(10), 300))",
    "two_accuracies": "explorers.two_accuracies()",
    "number_line": "explorers.number_line([-1.2, -0.5, 0, 0.3, 2.1])",
    "tensor": "explorers.tensor(weights)",
    "channels": "explorers.channels(weights)",
    "codes": "explorers.codes(weights)",
    "comparison": "explorers.comparison(results, rng.random((300, 28, 28)))",
    "fake_quantization": "explorers.fake_quantization()",
    "float_format": "explorers.float_format()",
    "formats": "explorers.formats(weights.reshape(-1, 128))",
    "images": "explorers.images(draw_digits(1)[0][0], kernel=weights[:, :, :1], bias=np.zeros(16))",
    "threshold": "explorers.threshold({'few': {'all': weights[:1], 'some': weights[:1, ..., :2]}, "
    "'many': {'all': weights, 'some': weights[..., :2]}})",
    "journey": "explorers.journey(layer, np.arange(-100, 98, dtype=np.int8).reshape(2, 99))",
    "network": """\
from qkit.network import Simulation, build
x, y = draw_digits(2_400)
explorers.network(Simulation(build("shallow"), x[:50]), x, y)""",
    "doctor": """\
from qkit.network.repair import treatments
explorers.doctor(treatments(build("deep"), x[:50]), x[:200], y[:200], weight_bits=3)""",
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
    name="dense", source="flatten", shape=(16,), activation="RELU", x=QuantParams(0.01, -128, QuantSpec()),
    y=QuantParams(0.02, -128, QuantSpec()), w=QuantParams(0.01, 0, QuantSpec(symmetric=True, narrow_range=True)),
    q_weights=np.random.default_rng(1).integers(-127, 128, (16, 99)).astype(np.int8), q_bias=np.zeros(16, np.int32))
rng = np.random.default_rng(0)
labels = rng.integers(0, 10, 300)
cell = namedtuple("Cell", ["network", "method", "weight_bits", "activation_bits", "seed"])
cells = [cell("deep", method, bits, 8, 0) for method in ("PTQ", "QAT") for bits in (2, 4, 8)]
predicted = {each: np.where(rng.random(300) < 0.3 / each.weight_bits, 3, labels) for each in cells}
results = SimpleNamespace(labels=labels, predicted=predicted)"""


BUSY = """\
import io, pathlib, time
from matplotlib import pyplot as plt
def figure():
    fig = plt.figure(figsize=(3, 2)); plt.plot([0, 1], [0, 1]); plt.title('mine')
    file = io.BytesIO(); plt.savefig(file, metadata={'Software': None}); plt.close(fig)
    return file.getvalue()
first, end, count = figure(), time.time() + 120, 0
while not pathlib.Path('enough').exists() and time.time() < end:
    assert figure() == first
    count += 1
print('drew the same', count, 'times')"""


def write_notebook(path, cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    # Without it JupyterLab stops and asks which kernel to take.
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def opened(server, run_in_lab):
    """One page for all tests: a notebook with one explorer of each kind and an empty cell, open and run."""
    folder, _ = server
    write_notebook(folder / "explorers.ipynb", [SETUP, *CELLS.values(), "#"])
    page, found = run_in_lab("explorers.ipynb", len(CELLS))
    return page, dict(zip(CELLS, found, strict=True))


@pytest.fixture
def page(opened):
    page, _ = opened
    page.faults.clear()
    yield page
    assert page.faults == []


@pytest.fixture
def kinds(opened):
    return opened[1]


def look(page, explorer, before=None):
    """Return words and picture of an explorer once they belong together and both differ from those before."""
    return page.wait_for_function(
        """([explorer, before]) => {
            const image = explorer.querySelector('.qkit-picture'), words = explorer.querySelector('.qkit-words')
            return image && words && image.complete && image.naturalWidth > 100
                // The picture comes first, then the words, which are its alternative text too.
                && image.alt === words.innerText
                && !(before && (image.src === before.picture || words.innerText === before.words))
                && {words: words.innerText, picture: image.src}
        }""",
        arg=[explorer.element_handle(), before],
    ).json_value()


def photograph(explorer):
    picture = explorer.locator(".qkit-picture")
    picture.evaluate("image => image.decode()")
    return picture.screenshot()


def move_first_slider(page, explorer):
    """Press one key, and check that picture, words and alternative text follow and nothing jumps."""
    handle, key = focus_slider(explorer)
    before, at = look(page, explorer), handle.get_attribute("aria-valuenow")
    room, looks = explorer.bounding_box(), photograph(explorer)
    page.keyboard.press(key)
    look(page, explorer, before)
    assert handle.get_attribute("aria-valuenow") != at
    assert explorer.locator(".qkit-problem").count() == 0
    assert photograph(explorer) != looks
    assert explorer.bounding_box()["height"] == room["height"]


def test_no_kind_is_missing():
    assert {re.search(r"explorers\.(\w+)", cell)[1] for cell in CELLS.values()} == set(explorers.__all__)


@pytest.mark.parametrize("kind", CELLS)
def test_sliders_and_switches_move_by_keyboard(page, kinds, kind):
    explorer = kinds[kind]
    move_first_slider(page, explorer)
    for switch in explorer.locator(".widget-toggle-button").all():
        label, before = switch.inner_text(), look(page, explorer)
        switch.focus()
        page.keyboard.press("Space")
        after = look(page, explorer, before)
        expect(switch).to_have_text(label.translate(str.maketrans("☑☐", "☐☑")))
        page.keyboard.press("Space")
        look(page, explorer, after)
        expect(explorer.locator(".qkit-words")).to_have_text(before["words"])
    explorer.screenshot(path=ARTIFACTS / f"{kind}.png")


def test_a_choice_is_made_in_the_list(page, kinds):
    explorer = kinds["threshold"]
    for at, name in ((0, "many"), (1, "some"), (2, "kl")):
        before = look(page, explorer)
        explorer.locator(".widget-dropdown select").nth(at).select_option(label=name)
        after = look(page, explorer, before)
    assert re.match("some, many, .* kl clips at", after["words"])


def test_a_slider_stops_at_the_numbers_it_offers(page, kinds):
    explorer = kinds["threshold"]
    slider = explorer.locator(".widget-slider", has_text="percentile")
    for key, number in (("Home", "95"), ("ArrowRight", "96"), ("End", "100"), ("ArrowLeft", "99.999")):
        before = look(page, explorer)
        slider.locator(".noUi-handle").focus()
        page.keyboard.press(key)
        after = look(page, explorer, before)
        expect(slider.locator(".widget-readout")).to_have_text(number)
        assert f"percentile {number} at" in after["words"]


def test_every_control_has_a_label_and_a_tooltip(kinds):
    for explorer in kinds.values():
        controls = explorer.locator(".widget-slider, .widget-dropdown, .widget-toggle-button")
        named = explorer.locator(".widget-slider .widget-label, .widget-dropdown span, .widget-toggle-button").all()
        assert len(named) == controls.count() > 0
        for element in named:
            assert element.inner_text().strip()
            assert len(element.get_attribute("title")) > 20


def test_screen_readers_find_a_name_at_every_handle(kinds):
    for explorer in kinds.values():
        for slider in explorer.locator(".widget-slider").all():
            label, handles = slider.locator(".widget-label").inner_text(), slider.get_by_role("slider")
            names = [label] if handles.count() == 1 else [f"{label} from", f"{label} to"]
            for handle, name in zip(handles.all(), names, strict=True):
                expect(handle).to_have_accessible_name(name)


def test_an_impossible_setting_is_said_under_the_picture(page, kinds):
    explorer = kinds["number_line"]
    for name in ("signed", "symmetric"):
        explorer.get_by_role("button", name=name).click()
    problem = explorer.locator(".qkit-problem")
    expect(problem).to_contain_text("symmetric unsigned integers cannot stand for negative numbers")
    expect(explorer.locator(".qkit-picture")).to_be_visible()
    explorer.screenshot(path=ARTIFACTS / "problem.png")
    explorer.get_by_role("button", name="signed").click()
    expect(problem).to_have_count(0)
    look(page, explorer)


def test_a_slider_moves_while_a_cell_draws(server, page, kinds):
    """JupyterLab runs the callback beside the running cell; the cell checks its own figures."""
    folder, _ = server
    explorer = kinds["tensor"]
    # The kernel answers the first message of a widget on the cell's own thread, later ones on the other.
    for _ in range(2):
        move_first_slider(page, explorer)
    page.evaluate(
        """code => {
            const notebook = window.jupyterapp.shell.currentWidget.content
            notebook.activeCellIndex = notebook.widgets.length - 1
            notebook.activeCell.model.sharedModel.setSource(code)
        }""",
        BUSY,
    )
    try:
        done = run(page, "notebook:run-cell")
        busy = page.locator(".jp-InputPrompt", has_text="[*]")
        expect(busy).to_have_count(1)
        _, key = focus_slider(explorer)
        after = look(page, explorer)
        for _ in range(4):
            page.keyboard.press(key)
            after = look(page, explorer, after)
        assert busy.count() == 1, "the callbacks waited for the cell"
    finally:
        (folder / "enough").touch()
    assert done()
    expect(page.locator(".jp-OutputArea-output").last).to_contain_text("drew the same")


def test_a_notebook_of_the_course(run_in_lab):
    """The light one: stored pictures give way to live ones. Every kind of explorer, also the heavy ones, is above."""
    name = "02_scale_and_zero_point.ipynb"
    count = (ROOT / "notebooks" / name).read_text(encoding="utf-8").count('"explorers.')
    page, found = run_in_lab(name, count)
    for explorer in found:
        move_first_slider(page, explorer)
    assert page.faults == []
