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
FIRST_PAGE = "notebooks/00_start_here.ipynb"


def install(locks):
    """Make .venv and install each lock file into it, unless it already holds just this."""
    for lock in locks:
        if not installed(lock):
            add(lock)
            (VENV / f"installed-{lock}").write_text(stamp(lock), encoding="utf-8")


def installed(lock):
    """Say whether .venv was made by this script from this very lock file."""
    path = VENV / f"installed-{lock}"
    return PYTHON.exists() and path.exists() and path.read_text(encoding="utf-8") == stamp(lock)


def stamp(lock):
    """Return what tells one installation from another. A virtual environment cannot be moved: hence ROOT."""
    said = (ROOT / lock).read_text(encoding="utf-8") + str(ROOT)
    return hashlib.sha256(said.encode()).hexdigest()


def add(lock):
    """Install one lock file; for the course's own, into a fresh .venv and with qkit itself."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(
            "qkit needs Python {}.{} to {}.{}, and this is Python {}. Install one of those and start with it: "
            "python3.12 tools/start.py lab, or make lab PYTHON=python3.12".format(
                *OLDEST, *NEWEST, sys.version.split()[0]
            )
        )
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if lock == COURSE and free < GIGABYTES_NEEDED and not VENV.exists():
        stop(f"The disk is full: {free:.1f} GB are free in {ROOT}, and qkit needs {GIGABYTES_NEEDED} GB.")
    print(f"Installing {lock} into .venv (one or two minutes, the first time only) ...", flush=True)
    uv = shutil.which("uv")
    if uv:
        make_venv = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)]
        install_into = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(PYTHON)]
    else:
        make_venv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        install_into = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    failed = "The packages could not be installed; the first ERROR above says why. Is the network there, the disk full?"
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
    check_port(options.port)
    command = [str(PYTHON), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    command += [f"--LabApp.default_url=/lab/tree/{FIRST_PAGE}", "--ip=127.0.0.1", f"--port={options.port}"]
    command += ["--ServerApp.port_retries=0", "--ServerApp.answer_yes=True", "--log-level=WARN"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    screen = (
        os.name == "nt" or sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if options.no_browser or not screen:
        command.append("--no-browser")
        print("Open the address below that begins with http://127.0.0.1 in a browser.", flush=True)
    hand_over(command)


def test(words):
    """Run every test and every notebook."""
    install(DEVELOPER)
    hand_over([str(PYTHON), "-m", "pytest", *words])


def notebooks(words):
    """Run every notebook, from the first cell to the last."""
    test(["notebooks", *words])


def store(words):
    """Run the notebooks and store their outputs, clean, in the files."""
    install(DEVELOPER)
    hand_over([str(PYTHON), str(ROOT / "tools/store.py"), *words])


def book(words):
    """Render the notebooks, as they are stored, to book/*.html."""
    install(LEARNER)
    pages = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    command = [str(PYTHON), "-m", "nbconvert", "--to", "html", "--output-dir", str(ROOT / "book"), *pages, *words]
    hand_over(command)


COMMANDS = {command.__name__: command for command in (lab, test, notebooks, store, book)}


def check_port(port):
    """End with one clear sentence where JupyterLab could not open this port."""
    another = f"python tools/start.py lab --port {port + 1}" if os.name == "nt" else f"make lab PORT={port + 1}"
    with contextlib.closing(socket.socket()) as probe:
        # Without this a port that was closed a moment ago still counts as taken on Linux and macOS.
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OverflowError:
            stop(f"There is no port {port}; they go from 1 to 65535. Leave it out to take 8888.")
        except PermissionError:
            stop(f"Port {port} is not for you to open. Take one above 1024, or leave it out to take 8888.")
        except OSError:
            stop(f"Port {port} is taken, perhaps by another JupyterLab. Take the next one: {another}")


def hand_over(command):
    """Let the command go on in place of this script, so that Ctrl-C reaches it and nothing else."""
    os.chdir(str(ROOT))
    if os.name != "nt":
        os.execv(command[0], command)
    process = subprocess.Popen(command)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            pass  # It has had the same Ctrl-C, and decides for itself when to end.


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
        COMMANDS[sys.argv[1]](sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
