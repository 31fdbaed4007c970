"""The README's commands are run, not admired."""

import os
import re
import subprocess
import sys

import nbformat
import pytest

from tests.conftest import ENVIRONMENT, ROOT
from tests.project.test_start import answers, free_port, load_start, ready, started

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_blocks_are_the_ones_tested_here_and_in_test_start():
    assert [block.splitlines()[0] for block in SHELL] == [
        "make lab",
        "python tools/start.py lab",
        "python3 -m venv .venv",
        "make check",
        "make test",
    ]
    assert len(PROGRAMS) == 1


def test_ci_calls_the_test_command():
    """With a word that only adds to it, as the next test shows."""
    line = r"^make test ARGS='--stand-in-too=0\[0-2\]\*'$"
    assert re.search(line, (ROOT / ".ci/run").read_text(encoding="utf-8"), re.M)


def test_stand_in_too_runs_named_notebooks_with_digits_on_both(tmp_path):
    says = 'import os; open("said", "a").write(os.environ["QKIT_MNIST"] + " {}\\n")'
    for name, end in (("1", "  # load_digits()"), ("2", "  # load_digits()"), ("3", "")):
        cells = [nbformat.v4.new_code_cell(says.format(name) + end)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    options = ["-p", "conftest", "-c", "pyproject.toml", f"--rootdir={tmp_path}", "--stand-in-too=[13]*"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    env = ENVIRONMENT | {"QKIT_MNIST": "mnist.npz"}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert "4 passed" in done.stdout, done.stdout
    said = sorted((tmp_path / "said").read_text().splitlines())
    assert said == ["mnist.npz 1", "mnist.npz 2", "mnist.npz 3", "stand-in 1"]


def test_make_knows_every_target_named():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"make (\w+)", " ".join(re.findall(r"`[^`]+`", TEXT)))) <= targets


def test_program():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAMS[0]], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    name, accuracy = re.search(
        r"^(MNIST|stand-in digits|your digits) (\d+\.\d\d) % \(95 %", result.stdout, re.M
    ).groups()
    assert float(accuracy) >= {"MNIST": 98.7, "stand-in digits": 98.3}.get(name, 90)


def test_by_hand_is_what_start_does(monkeypatch, tmp_path):
    """So that the installation which runs these tests proves these lines too; it is far too long to do it twice."""
    start, done = load_start(), []
    monkeypatch.setattr(start, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(start, "PYTHON", tmp_path / ".venv/bin/python")
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    monkeypatch.setattr(start.subprocess, "call", lambda command: done.append(command) or 0)
    monkeypatch.setattr(start.subprocess, "Popen", done.append)
    start.add(start.COURSE)
    short = {
        sys.executable: "python3",
        str(start.PYTHON): ".venv/bin/python",
        str(start.VENV): ".venv",
        str(ROOT / "requirements.lock"): "requirements.lock",
        "--editable": "-e",
        str(ROOT): ".",
    }
    not_typed = {"--clear", "--quiet", "--disable-pip-version-check", "--no-compile"}
    *install, _ = SHELL[2].splitlines()
    assert done.pop()[1:3] == ["-m", "compileall"]  # what pip has not done there
    assert [" ".join(short.get(word, word) for word in line if word not in not_typed) for line in done] == install


@ready
@pytest.mark.skipif(os.name == "nt", reason="this is the command for a Unix shell")
def test_lab_by_hand():
    lab = SHELL[2].splitlines()[-1].split()
    root = ["--allow-root"] if os.geteuid() == 0 else []
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={free_port()}", *root]
    with started([*lab, *options]) as (address, _):
        assert answers(address)[0] == 200
