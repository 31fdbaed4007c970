"""The package as a whole: examples that run, lessons that exist, names that cost nothing until they are used."""

import doctest
import inspect
import json
import re
import subprocess
import sys
from importlib import import_module

import pytest

import qkit
from tests.conftest import ROOT

MODULES = [path.stem for path in sorted((ROOT / "qkit/numeric").glob("[!_]*.py"))]
LEAST_EXAMPLES = {"accuracy": 3, "affine": 6, "codebook": 7, "curves": 4, "errors": 3, "fixed_point": 6}
LEAST_EXAMPLES |= {"formats": 12, "histogram": 5, "integer_layers": 0, "rounding": 3, "softmax": 2, "thresholds": 8}


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    found = doctest.testmod(import_module(f"qkit.numeric.{name}"))
    assert found.failed == 0
    assert found.attempted >= LEAST_EXAMPLES[name]


def documented(name: str) -> dict[str, str]:
    """Return the docstring of every public function and class of a module."""
    module = import_module(f"qkit.numeric.{name}")
    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {key: inspect.getdoc(value) for key, value in own.items() if not key.startswith("_") and callable(value)}


def test_lessons_that_docstrings_name_are_there():
    sections, named = {}, 0
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        sections[path.name[:2]] = set(re.findall(r"^## (\d+) ·", text, re.MULTILINE))
    for path in (ROOT / "qkit").rglob("*.py"):
        words = " ".join(path.read_text("utf-8").split())
        for notebook, numbers in re.findall(r"notebook (\d\d), sections? ([\d, and to]*\d)", words):
            named += 1
            assert set(re.findall(r"\d+", numbers)) <= sections[notebook], path
    assert named > 80


def test_every_threshold_method_stands_alone():
    for name, text in documented("thresholds").items():
        if name not in ("Threshold", "per_channel"):
            for part in (">>> ", "Source: ", "Taught in", "signed"):
                assert part in " ".join(text.split()), f"{name} lacks {part}"
            assert "As for" not in text


def test_every_name_can_be_had_without_tensorflow():
    code = """
import sys, qkit.numeric
names = [getattr(qkit.numeric, name) for name in qkit.numeric.__all__]
assert callable(qkit.numeric.histogram_of) and len(names) > 25
assert not {"tensorflow", "tf_keras", "ai_edge_litert"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_learners_reach_the_names_they_need_most():
    assert qkit.quantize is qkit.numeric.quantize
    assert qkit.params_from_data([0.0, 255.0], qkit.QuantSpec(signed=False)).scale == 1
