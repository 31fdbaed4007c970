"""The rules of the house: format, lint, imports that only go down, an instant import."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.mark.parametrize("command", [["ruff", "format", "--check"], ["ruff", "check"], ["lint-imports"]])
def test_rule(command):
    result = subprocess.run([SCRIPTS / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_import_loads_nothing_heavy():
    heavy = "numpy", "scipy", "pandas", "matplotlib", "ipywidgets", "tensorflow", "keras"
    program = f"import sys, qkit; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_every_lazy_name_is_there():
    modules = "qkit qkit.digits qkit.network qkit.numeric qkit.show qkit.show.figures qkit.show.explorers"
    program = (
        "from importlib import import_module\n"
        f"for module in map(import_module, '{modules}'.split()):\n"
        "    for name in module.__all__:\n"
        "        getattr(module, name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
