"""Notebooks are committed clean, and every exercise in them works."""

import ast
import json
import re

import nbformat
import numpy as np
import pytest

import qkit
from qkit.show import exercises
from qkit.show.words.exercises import EXERCISES
from tests.conftest import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


@each
def test_committed_clean(path):
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    text = json.dumps(outputs)
    assert path.stat().st_size <= 1_500_000
    assert "widgets" not in notebook.metadata
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run make store"
    assert not [cell.metadata for cell in code if "execution" in cell.metadata], "timestamps"
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert "application/vnd.jupyter.widget-view+json" not in text
    assert not re.search(r"(/home/|/root/|/Users/|/tmp/|[A-Z]:\\\\)", text), "a path of one machine"
    assert not re.search(r"\d\d:\d\d<| at 0x[0-9a-f]", text), "a progress bar or an address"


@each
def test_code_is_not_cut_off_at_the_right(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert max(map(len, cell.source.splitlines())) <= 100, cell.source


@each
def test_every_picture_has_words(path):
    for cell in read(path).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 20


@each
def test_says_which_digits_were_used(path):
    outputs = [output for cell in read(path).cells for output in cell.get("outputs", [])]
    text = " ".join(output.get("data", {}).get("text/plain", "") for output in outputs)
    assert re.search(r"(MNIST|stand-in digits|your digits) \(", text)


@each
def test_opens_and_closes_as_a_lesson(path):
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert cells[0].startswith("# ") and all(
        word in cells[0] for word in ("After this page you can", "**Time**", "**Needs**")
    )
    assert "## Recap" in cells[-1] and "**Sources.**" in cells[-1]


@each
def test_links_lead_somewhere(path):
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", cell.source):
                assert (path.parent / target).exists(), target


def stubs_and_solutions(path):
    """Pairs of code: the cell with the question's dots, and the solution folded away below it."""
    cells = read(path).cells
    stubs = [cell.source for cell in cells if cell.cell_type == "code" and re.search(r"^check\(", cell.source, re.M)]
    folded = [re.findall(r"<details>.*?```python\n(.*?)```", cell.source, re.S) for cell in cells]
    return stubs, [solution for found in folded for solution in found]


def answer(program, namespace):
    """Run a program that ends in ``check(...)`` and return what check said."""
    tree = ast.parse(program)
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "solution", "exec"), namespace)
    return eval(compile(last, "solution", "eval"), namespace)


@each
def test_stubs_are_not_accepted_and_solutions_are(path):
    stubs, solutions = stubs_and_solutions(path)
    assert len(stubs) == len(solutions) > 0
    number = re.compile(r'check\("([\d.]+)"')
    assert [number.search(stub)[1] for stub in stubs] == [number.search(solution)[1] for solution in solutions]
    for stub in stubs:
        assert answer(stub, {"check": exercises.check, "np": np}).status == "unanswered", stub
    context = {"check": exercises.check, "np": np} | CONTEXT.get(path.stem[:2], {})
    for solution in solutions:
        assert answer(solution, dict(context)).status == "right", solution


CONTEXT = {
    "00": {"values": np.zeros(5, np.float32), "q": np.zeros(5, np.int8)},
    "01": {"before": [1280, 73984, 819712, 5160], "after": [416, 18688, 205312, 1320]},
    "02": {"kernel": np.zeros((3, 3, 32, 64))},
    "04": {
        "ten": np.array([-1, -2 / 3, -1 / 3, 0, 0, 1 / 3, 1 / 3, 2 / 3, 1, 1.3]),
        "spec": qkit.QuantSpec(3, symmetric=True, narrow_range=True),
        "mse": qkit.numeric.mse,
        "fake_quantize": qkit.fake_quantize,
        "params_from_range": qkit.params_from_range,
    },
    "03": {
        "five": np.array([0.10, -0.20, 0.15, 0.05, 4.00]),
        "spec": qkit.QuantSpec(bits=3, symmetric=True, narrow_range=True),
        "fake_quantize": qkit.fake_quantize,
        "params_from_data": qkit.params_from_data,
    },
}
"""What earlier cells of a notebook leave behind for its solutions."""


def test_exercises_and_words_are_the_same():
    asked = [re.search(r'check\("([\d.]+)"', stub)[1] for path in PATHS for stub in stubs_and_solutions(path)[0]]
    assert asked == list(EXERCISES) == list(exercises._VERIFIERS)
