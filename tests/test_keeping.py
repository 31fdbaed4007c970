"""Files are whole or not there: damage, a kill in the middle of writing, several processes at once, missing rights."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qkit import keeping
from qkit.keeping import check_like, data_home, kept, key, read_arrays
from tests.rights import nobody_may_enter

MAKE = """
import sys, time, pathlib, numpy as np
from qkit import keeping
path, log, go = map(pathlib.Path, sys.argv[1:])
def make():
    with log.open("a") as file: file.write("made\\n")
    while not go.exists(): time.sleep(0.02)
    return {"a": np.arange(1_000_000)}
print(keeping.kept(path, make, what="the thing")["a"].sum(), flush=True)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor such rights")


@pytest.fixture
def start(tmp_path):
    """Start processes that make ``x.npz``, note so in ``log``, and go on when there is a file ``go``."""
    processes = []

    def run(program=MAKE, output=None):
        files = [str(tmp_path / name) for name in ("x.npz", "log", "go")]
        processes.append(subprocess.Popen([sys.executable, "-c", program, *files], stdout=output, text=True))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def count(calls):
    def make():
        calls.append(1)
        return {"a": np.arange(5)}

    return make


def test_made_once_then_read(tmp_path):
    calls = []
    for _ in range(3):
        np.testing.assert_array_equal(kept(tmp_path / "x.npz", count(calls), what="it")["a"], np.arange(5))
    assert len(calls) == 1


def test_a_damaged_file_is_said_and_made_again(tmp_path):
    path, calls = tmp_path / "x.npz", []
    whole = kept(path, count(calls), what="it")
    for damaged in (b"", path.read_bytes()[:-40], b"not a zip file", b"<!DOCTYPE html>"):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"x\.npz cannot be read .* It is made again"):
            kept(path, count(calls), what="it")
        np.testing.assert_array_equal(read_arrays(path)["a"], whole["a"])
    assert len(calls) == 5


def test_arrays_that_are_not_accepted_are_made_again(tmp_path):
    def accept(arrays):
        if len(arrays["a"]) != 5:
            raise ValueError("Five numbers are wanted.")

    np.savez(tmp_path / "x.npz", a=np.arange(4))
    with pytest.warns(UserWarning, match="Five numbers are wanted. It is made again"):
        assert len(kept(tmp_path / "x.npz", count([]), what="it", accept=accept)["a"]) == 5


def test_what_is_no_npz_file_is_called_so(tmp_path):
    page, pointer = b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:731c"
    for content in (page, pointer, b""):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npz cannot be read \(not an \.npz file.*web page, or a Git-LFS") as e:
            read_arrays(tmp_path / "x.npz")
        assert "pickle" not in str(e.value)


def test_members_that_are_no_arrays_are_refused(tmp_path):
    for name, content in (("a.npy", b"no array"), ("a.txt", b"text")):
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
            file.writestr(name, content)
        with pytest.raises(ValueError, match="cannot be read"):
            read_arrays(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        read_arrays(tmp_path / "x.npz")


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(40_000_000, np.uint8))
    assert len(read_arrays(tmp_path / "x.npz")["a"]) == 40_000_000
    monkeypatch.setattr(keeping, "MOST_BYTES", 39_000_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="its arrays take 40,000,128 bytes, more than 39,000,000"):
        read_arrays(tmp_path / "x.npz")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_any_flipped_byte_is_noticed(tmp_path):
    """A zip file's headers are not covered by its checksums: whatever their damage raises must be caught."""
    path, rng = tmp_path / "x.npz", np.random.default_rng(0)
    arrays = {"a": np.arange(5), "b": np.arange(3.0)}
    np.savez(path, **arrays)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_arrays(path)
            check_like(found, arrays, "it")
        except ValueError:
            refused += 1
        else:
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array)
    assert refused > len(whole) // 2


def test_arrays_that_are_not_like_others():
    like = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(3)}
    check_like({"b": np.ones(3), "a": np.ones((2, 3), np.float32)}, like, "it")
    for change in (
        {"c": np.ones(1)},
        {"a": np.ones((3, 2), np.float32)},
        {"a": np.ones(6, np.float32)},
        *({"a": np.ones((2, 3)).astype(dtype)} for dtype in (float, complex, bool, int, "datetime64[s]", object, str)),
        {"a": np.full((2, 3), 1e300)},
    ):
        with pytest.raises(ValueError, match="The file kept for it does not hold what it should"):
            check_like(like | change, like, "it")
    with pytest.raises(ValueError, match="does not hold"):
        check_like({"a": like["a"]}, like, "it")
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="The file kept for it holds numbers that are not finite"):
            check_like(like | {"b": np.array([0, wrong, 0])}, like, "it")


def test_a_key_is_another_for_another_version_or_setting():
    keys = [key(1, seed=0, name="a"), key(2, seed=0, name="a"), key(1, seed=1, name="a"), key(1, seed=0, name="b")]
    assert len(set(keys)) == 4 and all(len(each) == 12 for each in keys)
    assert key(1, name="a", seed=0) == keys[0]


def test_several_processes_make_it_once(tmp_path, start):
    outputs = [tmp_path / str(number) for number in range(3)]
    for output in outputs:
        with output.open("w") as file:
            start(output=file)
    wait_for(lambda: sum("waiting" in output.read_text() for output in outputs) == 2)
    (tmp_path / "go").touch()
    wait_for(lambda: all(output.read_text().endswith("499999500000\n") for output in outputs))
    assert (tmp_path / "log").read_text() == "made\n"


@posix
def test_killed_while_making(tmp_path, start):
    process = start()
    wait_for(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "x.npz").exists()
    (tmp_path / "go").touch()
    assert start(output=subprocess.PIPE).communicate(timeout=60)[0] == "499999500000\n"


@posix
def test_killed_while_writing(tmp_path, start):
    """The process dies with half of the file written: the next one finds nothing, and starts over."""
    dies = MAKE.replace(
        "def make()", "keeping.np.savez = lambda file, **a: (file.write(b'half'), file.flush(), die())\ndef make()"
    )
    (tmp_path / "go").touch()
    process = start("import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n" + dies)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "x.npz").exists()
    assert (tmp_path / "x.npz.part").read_bytes() == b"half"
    assert start(output=subprocess.PIPE).communicate(timeout=60)[0] == "499999500000\n"
    assert not (tmp_path / "x.npz.part").exists()


def test_a_failure_while_making_leaves_nothing(tmp_path):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "x.npz", fail, what="it")
    assert not (tmp_path / "x.npz").exists()
    kept(tmp_path / "x.npz", count([]), what="it")


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    def full(*args, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("qkit.keeping.np.savez", full)
    with pytest.warns(UserWarning, match="cannot be kept .*No space left.*Set QKIT_DATA"):
        arrays = kept(tmp_path / "x.npz", count([]), what="it")
    np.testing.assert_array_equal(arrays["a"], np.arange(5))
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_folder_that_cannot_be_made_or_entered_loses_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "closed").mkdir()
    for folder in ("file", "x" * 300, *["closed"] * (os.name == "posix")):
        with nobody_may_enter(tmp_path / folder) if folder == "closed" else contextlib.nullcontext():
            with pytest.warns(UserWarning, match="it cannot be kept"):
                arrays = kept(tmp_path / folder / "x.npz", count([]), what="it")
        np.testing.assert_array_equal(arrays["a"], np.arange(5))


@posix
def test_a_home_that_there_is_not(monkeypatch):
    monkeypatch.setenv("QKIT_DATA", "~nosuchuser/x")
    with pytest.warns(UserWarning, match="QKIT_DATA=~nosuchuser/x is no folder .* data/ is used instead"):
        assert data_home() == Path(__file__).parents[1] / "data"
    monkeypatch.setenv("QKIT_DATA", "~")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data_home() == Path.home()


def test_a_shared_folder_that_is_read_only_can_be_read(tmp_path, monkeypatch):
    kept(tmp_path / "x.npz", count([]), what="it")
    monkeypatch.setattr("qkit.keeping.FileLock", lambda *args: pytest.fail("a lock was wanted"))
    np.testing.assert_array_equal(kept(tmp_path / "x.npz", count([]), what="it")["a"], np.arange(5))
