"""The rules of the house: format, lint, imports that only go down, an instant import, every Python."""

import json
import re
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


LIGHT = ["qkit.digits", "qkit.numeric", "qkit.show", "qkit.show.figures", "qkit.show.explorers"]


def test_every_lazy_name_is_there():
    """Of modules without TensorFlow; for the others, see tests/network/test_backend.py."""
    program = (
        "from importlib import import_module\n"
        f"for module in map(import_module, {LIGHT}):\n"
        "    for name in module.__all__:\n"
        "        getattr(module, name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_python_that_is_promised_is_tested():
    """On one Python for a push; at night on all, from the oldest to the newest."""
    oldest, newest = re.search(r"With Python 3\.(\d+) to 3\.(\d+) on", (ROOT / "README.md").read_text("utf-8")).groups()
    promised = [f"3.{minor}" for minor in range(int(oldest), int(newest) + 1)]
    lists = re.findall(r"'(\[\"3[^']*)'", (ROOT / ".github/workflows/test.yml").read_text("utf-8"))
    one, every = map(json.loads, lists)
    assert every == promised and len(one) == 1 and one[0] in every
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'requires-python = ">= 3.{oldest}, < 3.{int(newest) + 1}"' in project
    start = (ROOT / "tools/start.py").read_text("utf-8")
    assert f"OLDEST, NEWEST = (3, {oldest}), (3, {newest})" in start
