"""The README's commands are run, not admired."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ENVIRONMENT, ROOT
from tests.project.test_start import answers, free_port, started

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_blocks_are_the_ones_tested_here_and_in_test_start():
    assert [block.splitlines()[0] for block in SHELL] == [
        "make lab",
        "python tools/start.py lab",
        "python3 -m venv .venv",
        "make test",
    ]
    assert len(PROGRAMS) == 1


def test_ci_calls_the_test_command():
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M)


def test_make_knows_every_target_named():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"make (\w+)", " ".join(re.findall(r"`[^`]+`", TEXT)))) <= targets


def test_program():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAMS[0]], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    name, accuracy = re.search(
        r"^(MNIST|stand-in digits|your digits) (\d+\.\d\d)% \(95 %", result.stdout, re.M
    ).groups()
    assert float(accuracy) >= {"MNIST": 98.7, "stand-in digits": 98.7}.get(name, 90)


@pytest.mark.skipif(os.name == "nt", reason="these are the commands for a Unix shell")
@pytest.mark.skipif(not os.environ.get("CI"), reason="installs 2.5 GB a second time; runs where CI is set")
def test_by_hand(tmp_path):
    clone = tmp_path / "qkit"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    *install, lab = SHELL[2].splitlines()
    for line in install:
        subprocess.run(line.replace("python3", sys.executable), shell=True, cwd=clone, check=True)
    root = ["--allow-root"] if os.geteuid() == 0 else []
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={free_port()}", *root]
    with started([*lab.split(), *options], cwd=clone) as (address, _):
        assert answers(address)[0] == 200
    shutil.rmtree(clone)
