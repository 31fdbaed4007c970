#!/usr/bin/env python3
"""Everything `make` does, for every system: python tools/start.py lab | test | notebooks | store | book.

The first time it makes `.venv` and installs the tested versions into it; nothing outside this folder changes.
Needs only Python's own library. Arguments after the command go on to the program that it starts.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 10), (3, 13)
GIGABYTES_NEEDED = 4
COURSE = "requirements.lock"
LEARNER, DEVELOPER = [COURSE], [COURSE, "requirements-dev.lock"]
FIRST_PAGE = "00_start_here.ipynb"


def install(locks):
    """Make .venv and install each lock file into it, unless it already holds just this."""
    for lock in locks:
        said = (ROOT / lock).read_text(encoding="utf-8") + sys.version + str(ROOT)
        wanted = hashlib.sha256(said.encode()).hexdigest()
        stamp = VENV / f"installed-{lock}"
        if not (PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted):
            add(lock)
            stamp.write_text(wanted)


def add(lock):
    """Install one lock file; for the course's own, into a fresh .venv and with qkit itself."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "qkit needs Python {}.{} to {}.{}, and this is Python {}. Install one of those and name it: "
            "make lab PYTHON=python3.12".format(*OLDEST, *NEWEST, sys.version.split()[0])
        )
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if lock == COURSE and free < GIGABYTES_NEEDED and not VENV.exists():
        stop(f"The disk is full: {free:.1f} GB are free in {ROOT}, and qkit needs {GIGABYTES_NEEDED} GB.")
    print(f"Installing {lock} into .venv (one or two minutes, the first time only) ...", flush=True)
    uv = shutil.which("uv")
    if uv:
        make_venv = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)]
        install_into = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(PYTHON)]
    else:
        make_venv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        install_into = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    failed = f"The packages could not be installed, see above: is the network there, are {GIGABYTES_NEEDED} GB free?"
    if lock == COURSE:
        run_or_stop(
            make_venv,
            "No virtual environment could be made, see above. On Debian or Ubuntu: sudo apt install python3-venv",
        )
    run_or_stop([*install_into, "-r", str(ROOT / lock)], failed)
    if lock == COURSE:
        run_or_stop([*install_into, "--no-deps", "--editable", str(ROOT)], failed)


def lab(words):
    """Start JupyterLab on the first page of the course."""
    options = argparse.ArgumentParser(prog="start.py lab")
    options.add_argument("--port", type=int, default=8888)
    options.add_argument("--no-browser", action="store_true", help="only print the address")
    options = options.parse_args(words)
    install(LEARNER)
    with contextlib.closing(socket.socket()) as probe:
        # Without this a port that was closed a moment ago still counts as taken on Linux and macOS.
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", options.port))
        except OSError:
            stop(
                f"Port {options.port} is taken, perhaps by another JupyterLab. "
                f"Take the next one: make lab PORT={options.port + 1}"
            )
    command = [str(PYTHON), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT / 'notebooks'}"]
    command += [f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}", "--ip=127.0.0.1", f"--port={options.port}"]
    command += ["--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    screen = (
        os.name == "nt" or sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if options.no_browser or not screen:
        command.append("--no-browser")
        print("Open the address below that begins with http://127.0.0.1 in a browser.", flush=True)
    return subprocess.call(command)


def test(words):
    """Run every test and every notebook."""
    install(DEVELOPER)
    return subprocess.call([str(PYTHON), "-m", "pytest", *words], cwd=str(ROOT))


def notebooks(words):
    """Run every notebook, from the first cell to the last."""
    return test(["notebooks", *words])


def store(words):
    """Run the notebooks and store their outputs, clean, in the files."""
    install(DEVELOPER)
    return subprocess.call([str(PYTHON), str(ROOT / "tools/store.py"), *words], cwd=str(ROOT))


def book(words):
    """Render the notebooks, as they are stored, to book/*.html."""
    install(LEARNER)
    pages = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    command = [str(PYTHON), "-m", "nbconvert", "--to", "html", "--output-dir", str(ROOT / "book"), *pages, *words]
    return subprocess.call(command)


COMMANDS = {command.__name__: command for command in (lab, test, notebooks, store, book)}


def run_or_stop(command, sentence):
    """Run a command; when it fails, end with one sentence that says what to do."""
    if subprocess.call(command) != 0:
        stop(sentence)


def stop(sentence):
    """End with one clear sentence."""
    sys.exit("\n" + sentence)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        sys.exit("\n".join(f"{name:10} {command.__doc__}" for name, command in COMMANDS.items()))
    try:
        sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(0)
