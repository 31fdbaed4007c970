import doctest
import subprocess
import sys
from importlib import import_module

import pytest

import qkit


@pytest.mark.parametrize("name", ["affine", "fixed_point", "thresholds"])
def test_examples_in_docstrings(name):
    found = doctest.testmod(import_module(f"qkit.numeric.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_name_can_be_had_without_tensorflow():
    code = """
import sys, qkit.numeric
names = [getattr(qkit.numeric, name) for name in qkit.numeric.__all__]
assert callable(qkit.numeric.histogram_of) and len(names) > 15
assert not {"tensorflow", "tf_keras", "ai_edge_litert"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_learners_reach_the_names_they_need_most():
    assert qkit.quantize is qkit.numeric.quantize
    assert qkit.params_from_data([0.0, 255.0], qkit.QuantSpec(signed=False)).scale == 1
