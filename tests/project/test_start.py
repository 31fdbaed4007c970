"""`make lab` as a learner types it, and one clear sentence for everything that can go wrong."""

import ast
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import namedtuple
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, ROOT

PYTHON_VERSION = namedtuple("PYTHON_VERSION", "major minor micro releaselevel serial")


def load_start():
    """Return tools/start.py as a module."""
    spec = importlib.util.spec_from_file_location("start", ROOT / "tools/start.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Give tools/start.py with an empty folder for its .venv."""
    module = load_start()
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv/bin/python")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, 10**12))
    monkeypatch.setattr(module.subprocess, "call", lambda *args, **kwargs: pytest.fail("something was started"))
    return module


def sentence(start, words=()):
    with pytest.raises(SystemExit) as stopped:
        start.lab(list(words))
    text = str(stopped.value).strip()
    assert "\n" not in text
    return text


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_python_too_old_or_too_new(start, monkeypatch, version):
    monkeypatch.setattr(start.sys, "version_info", PYTHON_VERSION(*version, "final", 0))
    assert sentence(start).startswith("qkit needs Python 3.10 to 3.13, and this is Python")


def test_disk_full(start, monkeypatch):
    monkeypatch.setattr(start.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12, 10**9))
    assert sentence(start) == f"The disk is full: 1.0 GB are free in {ROOT}, and qkit needs 4 GB."


def test_venv_missing(start, monkeypatch):
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    assert sentence(start).endswith("On Debian or Ubuntu: sudo apt install python3-venv")


def test_venv_fails(start, monkeypatch):
    monkeypatch.setattr(start.subprocess, "call", lambda command: 1)
    assert sentence(start) == f"No virtual environment could be made in {start.VENV}, see above."


def test_venv_is_a_file(start):
    start.VENV.write_text("")
    assert sentence(start) == f"{start.VENV} is a file, and qkit needs a folder of that name. Move the file away."


def test_checkout_cannot_be_written(start):
    Path(f"{start.VENV}.lock").mkdir()
    said = sentence(start)
    assert said.startswith("qkit installs into its own folder, and cannot write there: [Errno ")
    assert said.endswith(". Copy it to a place of yours.")


def test_no_network(start, monkeypatch):
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    monkeypatch.setattr(start.subprocess, "call", lambda command: int("pip" in command))
    assert sentence(start).startswith("The packages could not be installed; the first ERROR says why.")
    assert not list(start.VENV.glob("installed-*"))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_where_uv_cannot_install_pip_does(start, monkeypatch, capsys, lock):
    calls = []
    monkeypatch.setattr(start.shutil, "which", lambda name: name)
    monkeypatch.setattr(start.subprocess, "call", lambda command: calls.append(command[:4]) or int(command[0] == "uv"))
    monkeypatch.setattr(start.subprocess, "Popen", lambda command: None)
    start.add(lock)
    assert calls[-1] == [str(start.PYTHON), "-m", "pip", "install"]
    assert "uv could not install the packages, see above; now pip tries." in capsys.readouterr().out


def test_port_taken(start, monkeypatch):
    monkeypatch.setattr(start, "install", lambda locks: None)
    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        another = f"python tools/start.py lab --port {port + 1}" if os.name == "nt" else f"make lab PORT={port + 1}"
        assert sentence(start, ["--port", str(port)]) == (
            f"Port {port} is taken, perhaps by another JupyterLab. Take the next one: {another}"
        )


def test_port_that_is_not_for_everybody(start, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(start, "install", lambda locks: None)
    monkeypatch.setattr(start.socket.socket, "bind", refuse)
    assert "Port 80 is not for you to open" in sentence(start, ["--port", "80"])
    assert "Port 8888 is taken" in sentence(start)  # Windows keeps blocks of ports for itself


def test_a_book_by_an_old_python(start, monkeypatch):
    monkeypatch.setattr(start, "install", lambda locks: None)
    monkeypatch.setattr(start.subprocess, "call", lambda command: 1)
    with pytest.raises(SystemExit, match=r"delete \.venv, then make book PYTHON"):
        start.book([])
    monkeypatch.setattr(start.sys, "version_info", PYTHON_VERSION(3, 10, 0, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer: make book PYTHON"):
        start.book([])


def test_no_such_port(start, monkeypatch):
    monkeypatch.setattr(start, "install", lambda locks: None)
    assert sentence(start, ["--port", "99999"]).startswith("There is no port 99999")


def test_installs_once_and_again_after_a_change(start, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(start, "add", lambda lock: (calls.append(lock), start.VENV.mkdir(exist_ok=True)))
    monkeypatch.setattr(start, "PYTHON", start.VENV)
    start.install(start.LEARNER)
    start.install(start.LEARNER)
    assert calls == ["requirements.lock"]
    start.install(start.DEVELOPER)
    start.install(start.LEARNER)
    assert calls == ["requirements.lock", "requirements-dev.lock"]
    monkeypatch.setattr(start, "ROOT", tmp_path)
    for lock in start.DEVELOPER:
        (tmp_path / lock).write_text("other==1.0")
    start.install(start.LEARNER)
    assert calls[2:] == ["requirements.lock"]


def test_a_damaged_stamp_is_no_installation(start):
    start.PYTHON.parent.mkdir(parents=True)
    start.PYTHON.touch()
    stamp = start.VENV / f"installed-{start.COURSE}"
    stamp.write_bytes(start.stamp(start.COURSE))
    assert start.installed(start.COURSE)
    stamp.write_bytes(b"\xff\xfe")
    assert not start.installed(start.COURSE)


INSTALL_SLOWLY = f"""
import pathlib, sys, time
sys.path.insert(0, {str(ROOT / "tools")!r})
import start
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
start.VENV = start.PYTHON = folder / ".venv"
def add(lock):
    (folder / name).touch()
    while not (folder / "go on").exists():
        time.sleep(0.05)
    start.VENV.mkdir()
start.add = add
start.install(start.LEARNER)
print("ready", flush=True)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_two_at_once(tmp_path, killed):
    """One installs; the other says that it waits, and installs only if the first did not come to its end."""

    def begin(name):
        command = [sys.executable, "-c", INSTALL_SLOWLY, tmp_path, name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = begin("first")
    try:
        wait_for((tmp_path / "first").exists, "the first does not begin")
        second = begin("second")
        assert second.stdout.readline() == "Another start is installing into .venv; waiting for it ...\n"
        assert second.poll() is None and not (tmp_path / "second").exists()
        if killed:
            first.kill()
        (tmp_path / "go on").touch()
        assert second.communicate(timeout=60) == ("ready\n", None)
        assert (tmp_path / "second").exists() == killed
        assert first.communicate(timeout=60) == ("" if killed else "ready\n", None)
    finally:
        first.kill()


def old_python(version):
    """Return a Python that is too old, where this machine has one."""
    names = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for name in filter(None, names):
        if subprocess.run([name, "-c", ""], capture_output=True).returncode == 0:
            return name
    pytest.skip(f"there is no Python {version} on this machine")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9"])
def test_an_old_python_is_refused_in_one_sentence(version, tmp_path):
    clone = tmp_path / "qkit"
    (clone / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/start.py", clone / "tools")
    (clone / "requirements.lock").touch()
    command = [old_python(version), clone / "tools/start.py", "lab"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert re.fullmatch(
        rf"qkit needs Python 3\.10 to 3\.13, and this is Python {version}\.\d+\. .*", result.stderr.strip()
    )


def test_nothing_that_an_old_python_cannot_read():
    tree = ast.parse((ROOT / "tools/start.py").read_text(encoding="utf-8"))
    new = ast.JoinedStr, ast.Starred, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal
    # Python 2 knows stars among the words of a call, one and at the end.
    stars = [call.args[-1] for call in ast.walk(tree) if isinstance(call, ast.Call) and call.args]
    assert not [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, new) and node not in stars]


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(command, cwd=ROOT, seconds=180):
    """Start a JupyterLab, wait for its address, and stop it afterwards; gives the address and the process."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    # A start that hangs must not hang the test.
    alarm = threading.Timer(seconds, process.kill)
    alarm.start()
    try:
        said = ""
        for line in process.stdout:
            said += line
            address = re.search(r"http://127\.0\.0\.1:\S+", line)
            if address:
                yield address[0], process
                break
        else:
            pytest.fail("no address was printed:\n" + said)
    finally:
        alarm.cancel()
        stop(process)


def stop(process):
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        # A signal that comes before the server's loop runs is lost; no test may leave a server behind.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address):
    found = []

    def asked():
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10) as page:
            found.append((page.status, page.read().decode()))
        return found

    wait_for(asked, "JupyterLab does not answer")
    return found[0]


def wait_for(condition, problem, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, problem
        time.sleep(0.1)


def made_by_start():
    module = load_start()
    return all(module.installed(lock) for lock in module.DEVELOPER)


ready = pytest.mark.skipif(not made_by_start(), reason="would make .venv anew: it was not made by tools/start.py")


@ready
@pytest.mark.skipif(os.name == "nt" or not shutil.which("make"), reason="no make; the next test starts it without")
def test_make_lab_opens_the_first_page():
    port = free_port()
    with started(["make", "lab", f"PYTHON={sys.executable}", f"PORT={port}"]) as (address, _):
        assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/lab/tree/notebooks/00_start_here\.ipynb\?token=\w+", address)
        status, page = answers(address)
        assert status == 200 and "JupyterLab" in page


@ready
def test_start_without_make():
    port = free_port()
    with started([sys.executable, "tools/start.py", "lab", "--no-browser", "--port", str(port)]) as (address, _):
        assert f":{port}/lab/tree/notebooks/00_start_here.ipynb?token=" in address
        assert answers(address)[0] == 200


@ready
@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
def test_ctrl_c_ends_it():
    command = [sys.executable, "tools/start.py", "lab", "--no-browser", "--port", str(free_port())]
    # A shell lets what it starts in the background ignore Ctrl-C, and that is inherited.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with started(command) as (address, process):
            answers(address)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    finally:
        signal.signal(signal.SIGINT, inherited)


def test_unknown_command_lists_the_known_ones():
    result = subprocess.run([sys.executable, ROOT / "tools/start.py", "jump"], capture_output=True, text=True)
    assert result.returncode == 1
    assert re.findall(r"^(\w+) ", result.stderr, re.M) == ["lab", "check", "test", "notebooks", "store", "book"]
