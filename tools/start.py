#!/usr/bin/env python3
"""Everything `make` does, for every system: python tools/start.py lab | check | test | notebooks | store | book.

The first time it makes `.venv` and installs the tested versions into it; nothing outside this folder changes.
Needs only Python's own library. Arguments after the command go on to the program that it starts.
"""

# This file is read by whatever Python a learner has: what Python 2.7 cannot read, it cannot refuse in words.
from __future__ import print_function

import sys

OLDEST, NEWEST = (3, 10), (3, 13)
WRONG_PYTHON = (
    "qkit needs Python {}.{} to {}.{}, and this is Python {}. Install one of those and start with it: "
    "python3.12 tools/start.py lab, or make lab PYTHON=python3.12"
).format(*(OLDEST + NEWEST + (sys.version.split()[0],)))
if sys.version_info < (3, 6):
    sys.exit("\n" + WRONG_PYTHON)

import argparse
import contextlib
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
GIGABYTES_NEEDED = 4
COURSE = "requirements.lock"
LEARNER, DEVELOPER = [COURSE], [COURSE, "requirements-dev.lock"]
FIRST_PAGE = "notebooks/00_start_here.ipynb"
# Two files at a time where there is memory for it (conftest.py), each from its first test to its last.
PYTEST = ["-m", "pytest", "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder", "--durations", "25"]
QUICK = ["tests/project/test_rules.py", "tests/test_keeping.py", "tests/digits", "tests/numeric", "tests/show"]


def install(locks):
    """Make .venv and install each lock file into it, unless it already holds just this."""
    if all(installed(lock) for lock in locks):
        return
    with alone():
        for lock in locks:
            if not installed(lock):
                add(lock)
                (VENV / ("installed-" + lock)).write_bytes(stamp(lock))


def installed(lock):
    """Say whether .venv was made by this script from this very lock file."""
    path = VENV / ("installed-" + lock)
    return PYTHON.exists() and path.exists() and path.read_bytes() == stamp(lock)


def stamp(lock):
    """Return what tells one installation from another. A virtual environment cannot be moved: hence ROOT."""
    said = (ROOT / lock).read_text(encoding="utf-8") + str(ROOT)
    return hashlib.sha256(said.encode()).hexdigest().encode()


@contextlib.contextmanager
def alone():
    """Let one start at a time install; another says that it waits. The lock ends with the process that holds it."""
    try:
        file = open(str(VENV) + ".lock", "w")
    except OSError as problem:
        stop("qkit installs into its own folder, and cannot write there: {}. Copy it to a place of yours.", problem)
    with file:
        said = False
        while not locked(file):
            if not said:
                print("Another start is installing into .venv; waiting for it ...", flush=True)
            said = True
            time.sleep(0.5)
        yield


def locked(file):
    """Take the lock of an open file; False if another has it. Where the disk knows no locks, go on without."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        return not isinstance(problem, (BlockingIOError, PermissionError))
    return True


def add(lock, with_uv=True):
    """Install one lock file; for the course's own, into a fresh .venv and with qkit itself."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop(WRONG_PYTHON)
    if VENV.exists() and not VENV.is_dir():
        stop("{} is a file, and qkit needs a folder of that name. Move the file away.", VENV)
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if lock == COURSE and free < GIGABYTES_NEEDED and not VENV.exists():
        stop("The disk is full: {:.1f} GB are free in {}, and qkit needs {} GB.", free, ROOT, GIGABYTES_NEEDED)
    uv = shutil.which("uv") if with_uv else None
    print("Installing {} into .venv (one or two minutes, the first time only) ...".format(lock), flush=True)
    make_venv = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    install_into = [str(PYTHON), "-m", "pip", "install", "--no-compile", "--quiet", "--disable-pip-version-check"]
    if uv:
        install_into = [uv, "pip", "install", "--quiet", "--python", str(PYTHON)]
    packages = [["-r", str(ROOT / lock)]]
    if lock == COURSE:
        if importlib.util.find_spec("ensurepip") is None:
            if not uv:
                stop("This Python cannot make virtual environments. On Debian or Ubuntu: sudo apt install python3-venv")
            make_venv.insert(-1, "--without-pip")
        if subprocess.call(make_venv) != 0:
            stop("No virtual environment could be made in {}, see above.", VENV)
        packages.append(["--no-deps", "--editable", str(ROOT)])
    failed = any(subprocess.call(install_into + each) != 0 for each in packages)
    if failed and uv:
        # It does not read pip's settings, which may name a company's own index.
        print("uv could not install the packages, see above; now pip tries.", flush=True)
        add(lock, with_uv=False)
    elif failed:
        stop("The packages could not be installed; the first ERROR says why. Is the network there, the disk full?")
    elif lock == COURSE:
        # As pip and uv could, but nobody waits, and not their tests; a developer's packages are compiled when imported.
        not_these = r"[/\\]tests[/\\]"
        subprocess.Popen([str(PYTHON), "-m", "compileall", "-qq", "-x", not_these, str(VENV), str(ROOT / "qkit")])


def lab(words):
    """Start JupyterLab on the first page of the course."""
    options = argparse.ArgumentParser(prog="start.py lab")
    options.add_argument("--port", type=int, default=8888)
    options.add_argument("--no-browser", action="store_true", help="only print the address")
    options = options.parse_args(words)
    install(LEARNER)
    check_port(options.port)
    command = ["-m", "jupyterlab", "--ServerApp.root_dir={}".format(ROOT)]
    command += ["--LabApp.default_url=/lab/tree/" + FIRST_PAGE, "--ip=127.0.0.1", "--port={}".format(options.port)]
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


def check(words):
    """Run what a contributor runs all day: format, lint, imports, digits, numeric and show, in a minute."""
    # Without the options for notebooks, of which there are none here, and without what runs them.
    test(["-o", "addopts=", "-p", "no:nbval", "-m", "not slow"] + QUICK + words)


def test(words):
    """Run every test and every notebook."""
    install(DEVELOPER)
    hand_over(PYTEST + words)


def notebooks(words):
    """Run every notebook, from the first cell to the last."""
    test(["notebooks"] + words)


def store(words):
    """Run the notebooks and store their outputs, clean, in the files."""
    install(DEVELOPER)
    hand_over([str(ROOT / "tools/store.py")] + words)


def book(words):
    """Run every notebook and make a site of them, book/index.html, whose explorers move without a kernel."""
    if not PYTHON.exists() and sys.version_info < (3, 11):
        stop("The book needs Python 3.11 or newer: make book PYTHON=python3.12")
    install(DEVELOPER)
    if subprocess.call([str(PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]) != 0:
        stop("The book needs Python 3.11 or newer: delete .venv, then make book PYTHON=python3.12")
    hand_over([str(ROOT / "tools/book/build.py")] + words)


COMMANDS = {command.__name__: command for command in (lab, check, test, notebooks, store, book)}


def check_port(port):
    """End with one clear sentence where JupyterLab could not open this port."""
    another = ("python tools/start.py lab --port {}" if os.name == "nt" else "make lab PORT={}").format(port + 1)
    with contextlib.closing(socket.socket()) as probe:
        # Without this a port that was closed a moment ago still counts as taken on Linux and macOS.
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OverflowError:
            stop("There is no port {}; they go from 1 to 65535. Leave it out to take 8888.", port)
        except OSError as problem:
            if isinstance(problem, PermissionError) and port < 1024:
                stop("Port {} is not for you to open. Take one above 1024, or leave it out to take 8888.", port)
            stop("Port {} is taken, perhaps by another JupyterLab. Take the next one: {}", port, another)


def hand_over(words):
    """Let .venv's Python go on in place of this script, so that Ctrl-C reaches it and nothing else."""
    command = [str(PYTHON)] + words
    os.chdir(str(ROOT))
    if os.name != "nt":
        os.execv(command[0], command)
    process = subprocess.Popen(command)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            pass  # It has had the same Ctrl-C, and decides for itself when to end.


def stop(sentence, *values):
    """End with one clear sentence."""
    sys.exit("\n" + sentence.format(*values))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(__doc__)
        sys.exit("\n".join("{:10} {}".format(name, command.__doc__) for name, command in COMMANDS.items()))
    try:
        COMMANDS[sys.argv[1]](sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
