"""Files are whole or not there: damage, a kill in the middle of writing, two processes at once."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from qkit.keeping import kept_arrays, read_arrays

MAKE = """
import sys, time, pathlib, numpy as np
from qkit import keeping
path, log, seconds = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
def make():
    with log.open("a") as file: file.write("made\\n")
    time.sleep(seconds)
    return {"a": np.arange(1_000_000)}
print(keeping.kept_arrays(path, make, what="the thing")["a"].sum(), flush=True)
"""


def start(path, log, seconds=0.0, program=MAKE):
    command = [sys.executable, "-c", program, str(path), str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def count(calls):
    def make():
        calls.append(1)
        return {"a": np.arange(5)}

    return make


def test_made_once_then_read(tmp_path):
    calls = []
    for _ in range(3):
        np.testing.assert_array_equal(kept_arrays(tmp_path / "x.npz", count(calls), what="it")["a"], np.arange(5))
    assert len(calls) == 1


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-40], lambda data: b"not a zip file"])
def test_a_damaged_file_is_said_and_made_again(tmp_path, damage):
    path, calls = tmp_path / "x.npz", []
    kept_arrays(path, count(calls), what="it")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"x\.npz cannot be read .* It is made again"):
        kept_arrays(path, count(calls), what="it")
    assert len(calls) == 2
    np.testing.assert_array_equal(read_arrays(path)["a"], np.arange(5))


def test_arrays_that_are_not_accepted_are_made_again(tmp_path):
    def refuse(arrays):
        if len(arrays["a"]) != 5:
            raise ValueError("Five numbers are wanted.")

    path, calls = tmp_path / "x.npz", []
    np.savez(path, a=np.arange(4))
    with pytest.warns(UserWarning, match="Five numbers are wanted. It is made again"):
        assert len(kept_arrays(path, count(calls), what="it", accept=refuse)["a"]) == 5


def test_any_flipped_byte_is_noticed(tmp_path):
    """A zip file's headers are not covered by its checksums: whatever their damage raises must be caught."""
    path, rng = tmp_path / "x.npz", np.random.default_rng(0)
    np.savez(path, a=np.arange(5), b=np.arange(3.0))
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            read_arrays(path)


def test_two_processes_make_it_once(tmp_path):
    path, log = tmp_path / "x.npz", tmp_path / "log"
    processes = [start(path, log, 3.0) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert log.read_text() == "made\n"
    assert all(output.endswith("499999500000\n") for output in outputs)
    assert any("waiting" in output for output in outputs)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_while_making(tmp_path):
    path, log = tmp_path / "x.npz", tmp_path / "log"
    process = start(path, log, 60)
    wait_for(lambda: log.exists() and log.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    assert start(path, log).communicate(timeout=60)[0] == "499999500000\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_while_writing(tmp_path):
    """The process dies with half of the file written: the next one finds nothing, and starts over."""
    dies = MAKE.replace(
        "def make()", "keeping.np.savez = lambda file, **a: (file.write(b'half'), file.flush(), die())\ndef make()"
    )
    dies = "import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n" + dies
    path, log = tmp_path / "x.npz", tmp_path / "log"
    process = start(path, log, program=dies)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not path.exists()
    assert (tmp_path / "x.npz.part").read_bytes() == b"half"
    assert start(path, log).communicate(timeout=60)[0] == "499999500000\n"
    assert not (tmp_path / "x.npz.part").exists()


def test_a_failure_while_making_leaves_nothing(tmp_path):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_arrays(tmp_path / "x.npz", fail, what="it")
    assert not (tmp_path / "x.npz").exists()
    kept_arrays(tmp_path / "x.npz", count([]), what="it")


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    def full(*args, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qkit.keeping.np.savez", full)
    with pytest.warns(UserWarning, match="cannot be kept .*No space left.*Set QKIT_DATA"):
        arrays = kept_arrays(tmp_path / "x.npz", count([]), what="it")
    np.testing.assert_array_equal(arrays["a"], np.arange(5))
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_folder_that_cannot_be_made_loses_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="it cannot be kept"):
        arrays = kept_arrays(tmp_path / "file" / "x.npz", count([]), what="it")
    np.testing.assert_array_equal(arrays["a"], np.arange(5))


def test_a_shared_folder_that_is_read_only_can_be_read(tmp_path, monkeypatch):
    kept_arrays(tmp_path / "x.npz", count([]), what="it")
    monkeypatch.setattr("qkit.keeping.FileLock", lambda *args: pytest.fail("a lock was wanted"))
    np.testing.assert_array_equal(kept_arrays(tmp_path / "x.npz", count([]), what="it")["a"], np.arange(5))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
