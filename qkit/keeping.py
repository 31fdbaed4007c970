"""Where qkit keeps what it downloads, draws and trains, how it keeps that safely, and the bar shown meanwhile.

A kept file is whole or not there. When several notebooks want the same file at once, one makes it and the others wait.
"""

import hashlib
import os
import sys
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import AcquireReturnProxy, FileLock, Timeout
from tqdm import tqdm

Arrays = dict[str, np.ndarray]
MOST_BYTES = 500_000_000
"""What the arrays of a file may take: nine times MNIST. A zip file of a few kilobytes can unpack to any size."""


def checkout() -> Path:
    """Return the folder that holds ``qkit/``, ``notebooks/`` and ``data/``."""
    return Path(__file__).resolve().parents[1]


def data_home() -> Path:
    """Return the folder for downloads and results: ``QKIT_DATA`` (relative to the checkout), else ``data/``."""
    named = os.environ.get("QKIT_DATA") or "data"
    try:
        return checkout() / Path(named).expanduser()
    except RuntimeError as problem:
        warnings.warn(f"QKIT_DATA={named} is no folder ({problem}); data/ is used instead.", stacklevel=2)
        return checkout() / "data"


def key(version: int, **what: object) -> str:
    """Return 12 hexadecimal digits for all that could change a result; ``version`` is raised by hand with the code.

    >>> key(1, seed=0), key(1, seed=1)
    ('338b758c4ae8', 'e91eb8061b37')
    """
    return hashlib.sha256(repr([version, sorted(what.items())]).encode()).hexdigest()[:12]


def kept(
    path: Path, make: Callable[[], Arrays], *, what: str, accept: Callable[[Arrays], object] = lambda arrays: None
) -> Arrays:
    """Return the arrays kept in the ``.npz`` file ``path``; where there are none, make them once and keep them.

    ``accept`` raises a ValueError for arrays that are not wanted: see :func:`check_like`. A file that cannot be read or
    is not accepted is replaced, with a warning; where the folder cannot be written, nothing is kept, with a warning.
    ``what`` names the thing in these messages.
    """

    def read() -> Arrays:
        arrays = read_arrays(path)
        accept(arrays)
        return arrays

    def say_not_kept(problem: Exception) -> None:
        advice = "it will be made anew next time. Set QKIT_DATA to a folder that can be written."
        warnings.warn(f"{what} cannot be kept in {path.parent} ({problem}); {advice}", stacklevel=4)

    with suppress(FileNotFoundError, ValueError):
        return read()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = alone(path, what)
    except (OSError, NotImplementedError) as problem:
        say_not_kept(problem)
        return make()
    with lock:
        try:
            return read()  # another process may have made it meanwhile
        except FileNotFoundError:
            pass
        except ValueError as problem:
            warnings.warn(f"{problem} It is made again.", stacklevel=3)
        arrays = make()
        try:
            write_whole(path, lambda file: np.savez(file, **arrays))
        except OSError as problem:
            say_not_kept(problem)
        return arrays


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file, whole or not at all: an OSError leaves at ``path`` what was there before."""
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def alone(path: Path, what: str) -> AcquireReturnProxy:
    """Return a held lock, for ``with``: others that make ``path`` wait. OSError, NotImplementedError: no locks here."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"Another notebook is making {what}; waiting for it.", flush=True)
        return lock.acquire()


def read_arrays(path: Path) -> Arrays:
    """Read an ``.npz`` file; checksums are verified, nothing is ever unpickled.

    Raises a FileNotFoundError, or a ValueError that names the file: unreadable, no .npz, or more than 500 MB unpacked.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(12)
            if not start.startswith(b"PK"):
                raise ValueError(f"not an .npz file, for it begins with {start!r}: a web page, or a Git-LFS pointer?")
            members = zipfile.ZipFile(file)
            size = sum(member.file_size for member in members.infolist())
            if size > MOST_BYTES:
                raise ValueError(f"its arrays take {size:,} bytes, more than {MOST_BYTES:,}")
            names = [name.removesuffix(".npy") for name in members.namelist()]
            return {name: np.lib.format.read_array(members.open(f"{name}.npy"), allow_pickle=False) for name in names}
    except FileNotFoundError:
        raise
    except Exception as problem:
        # A damaged zip file makes NumPy and zipfile raise almost anything.
        raise ValueError(f"{path.name} cannot be read ({problem}).") from problem


def check_like(arrays: Arrays, like: Arrays, what: str) -> None:
    """Refuse arrays (ValueError) whose names, shapes or types are not those of others, or that are not finite."""
    found, wanted = ({name: (array.shape, array.dtype) for name, array in each.items()} for each in (arrays, like))
    if found != wanted:
        raise ValueError(f"The file kept for {what} does not hold what it should.")
    if not all(np.all(np.isfinite(array)) for array in arrays.values()):
        raise ValueError(f"The file kept for {what} holds numbers that are not finite.")


def progress(iterable=None, **settings) -> tqdm:
    """Wrap an iterable in a bar, with the settings of ``tqdm``; or, with ``total`` alone, count by ``bar.update()``.

    The bar leaves no trace: a stored notebook stays clean. A log file, which cannot redraw a line, gets none.
    """
    can_redraw_a_line = sys.stdout.isatty() or "ipykernel" in sys.modules
    return tqdm(iterable, file=sys.stdout, leave=False, disable=not can_redraw_a_line, **settings)
