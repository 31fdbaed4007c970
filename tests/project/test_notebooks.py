"""Notebooks are committed clean, and every exercise in them works."""

import ast
import json
import re
import symtable
from functools import cache
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from qkit.network.recipe import Weights
from qkit.show.questions import QUESTIONS
from tests.conftest import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@cache
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
    numbers = [(output.get("execution_count"), cell.execution_count) for cell in code for output in cell.outputs]
    assert all(mine in (None, its) for mine, its in numbers), "an output of another run"
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
def test_every_guess_is_answered(path):
    """JupyterLab shows what ``reveal`` returns only where a cell ends with it."""
    for cell in read(path).cells:
        if cell.cell_type == "code" and "reveal(" in cell.source:
            *before, last = ast.parse(cell.source).body
            assert ast.unparse(last).startswith("reveal("), cell.source
            assert not any("reveal(" in ast.unparse(each) for each in before), cell.source


@each
def test_every_picture_has_words(path):
    for cell in read(path).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"]["alt"]) > 20


@each
def test_says_which_digits_or_text_were_used(path):
    outputs = [output for cell in read(path).cells for output in cell.get("outputs", [])]
    text = " ".join(output.get("data", {}).get("text/plain", "") + output.get("text", "") for output in outputs)
    assert re.search(r"(MNIST|stand-in digits|your digits) \(|characters of Python's manual", text)


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


STUB = re.compile(r'^check\("([\w.]+)"', re.M)
SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```", re.S)


def stubs_and_solutions(path):
    """Return two lists of pairs, a program and the code cells above it: questions with dots, folded solutions."""
    stubs, solutions, above = [], [], []
    for cell in read(path).cells:
        if cell.cell_type == "code":
            stubs += [(cell.source, list(above))] if STUB.search(cell.source) else []
            above.append(cell.source)
        else:
            solutions += [(solution, list(above)) for solution in SOLUTION.findall(cell.source)]
    return stubs, solutions


def names(source):
    """Return the names that code gives a value, and those that have to have one before."""
    top = symtable.symtable(source, "cell", "exec")
    inner = list(top.get_children())
    for table in inner:
        inner += table.get_children()
    given = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    used = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    used |= {symbol.get_name() for table in inner for symbol in table.get_symbols() if symbol.is_global()}
    return given, used


def run(program, above):
    """Run a program that ends in ``check(...)`` and return what check said.

    Of the cells above it those statements run first that make what it needs, and what they need in turn: each name
    as it was given a value last. Only the networks are not trained.
    """
    wanted, chosen = names(program)[1] - UNTRAINED.keys(), []
    for statement in reversed([statement for source in above for statement in ast.parse(source).body]):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            statement.names = [alias for alias in statement.names if (alias.asname or alias.name) in wanted]
            given, used = {alias.asname or alias.name for alias in statement.names}, set()
        else:
            given, used = names(ast.unparse(statement))
        if given & wanted:
            chosen.insert(0, statement)
            wanted = (wanted - given) | (used - UNTRAINED.keys())
    tree = ast.parse(program)
    last = ast.Expression(tree.body.pop().value)
    namespace = dict(UNTRAINED)
    exec(compile(ast.Module(chosen + tree.body, []), "notebook", "exec"), namespace)
    return eval(compile(last, "check", "eval"), namespace)


SHAPES = {"conv1": (3, 3, 1, 32), "conv2": (3, 3, 32, 64), "dense1": (1600, 128), "dense2": (128, 10)}
DEEP = {name: Weights(np.zeros(shape, np.float32), np.zeros(shape[-1], np.float32)) for name, shape in SHAPES.items()}
UNTRAINED = {
    "digits": None,
    "deep": SimpleNamespace(
        layers=[SimpleNamespace(name=name, get_weights=lambda pair=pair: pair) for name, pair in DEEP.items()]
    ),
    "trained_weights": lambda name, digits: {"deep": DEEP}[name],
}
"""What takes the notebooks minutes: the deep network, with its shapes, and zeros in place of what it has learned."""


@each
def test_stubs_are_not_accepted_and_solutions_are(path):
    stubs, solutions = stubs_and_solutions(path)
    assert len(stubs) > 0
    assert [STUB.search(stub)[1] for stub, _ in stubs] == [STUB.search(solution)[1] for solution, _ in solutions]
    for stub, above in stubs:
        assert run(stub, above).status == "unanswered", stub
    for solution, above in solutions:
        assert run(solution, above).status == "right", solution


def test_every_question_is_asked_once_and_in_order():
    asked = [STUB.search(stub)[1] for path in PATHS for stub, _ in stubs_and_solutions(path)[0]]
    assert asked == list(QUESTIONS)
