"""Find the digits: real MNIST where it can be had, drawn stand-ins where it cannot, and always say which.

MNIST is looked for in the file named by ``QKIT_MNIST``, in the data folder, in Keras's own cache, and on the network
(never with ``QKIT_OFFLINE=1``). ``QKIT_MNIST=stand-in`` asks for the drawn digits outright.
"""

import hashlib
import os
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from qkit.digits.standin import VERSION, draw_digits
from qkit.keeping import Arrays, alone, checkout, data_home, kept, progress, read_arrays

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MNIST_SHA256_OF_PARTS = "c5abf2a1a20805a281d928073bf82786dd8ec75d7583c2bf7be2c4b06dffa5ad"
"""Of the bytes of x_test, y_test and y_train: tells MNIST from other digits in the same layout."""
PARTS = ("x_train", "y_train", "x_test", "y_test")


class Digits:
    """Images of handwritten digits in the layout of MNIST.

    Images ``x`` are uint8 (n, 28, 28), 0 for paper and 255 for ink; labels ``y`` are uint8 (n,), 0 to 9. The ``name``
    is ``"MNIST"``, ``"stand-in digits"`` or, for others in a file of yours, ``"your digits"``; ``source`` says in words
    where they came from. ``fingerprint``, eight hexadecimal digits, changes when any image or label does. Most
    notebooks never look at the training images: where there is a ``file``, they are read when first asked for.
    """

    def __init__(
        self,
        x_train: np.ndarray,
        y_train: np.ndarray,
        x_test: np.ndarray,
        y_test: np.ndarray,
        name: str,
        source: str,
        file: Path | None = None,
    ):
        self.y_train, self.x_test, self.y_test = y_train, x_test, y_test
        self.name, self.source = name, source
        self.fingerprint = _sha256(x_train, y_train, x_test, y_test)[:8]
        self._file = file
        self._x_train = x_train if file is None else None

    @property
    def x_train(self) -> np.ndarray:
        if self._x_train is None:
            self._x_train = _parts(read_arrays(self._file))["x_train"]
        return self._x_train

    def __getstate__(self) -> dict:
        """Leave out the training images where they can be read again: 9 MB to other processes instead of 56."""
        return vars(self) | ({} if self._file is None else {"_x_train": None})

    def __repr__(self) -> str:
        images = f"{len(self.y_train):,} training and {len(self.y_test):,} test images, 28 × 28 pixels, uint8"
        return f"{self.name} ({self.source}): {images}"


def load_digits() -> Digits:
    """Return MNIST from the first place that has it, else the stand-in digits.

    A file named by ``QKIT_MNIST`` that is missing, unreadable or of another layout is a ValueError; other places are
    only warned about.
    """
    named = os.environ.get("QKIT_MNIST", "")
    if named == "stand-in":
        return _stand_in("drawn by qkit, as QKIT_MNIST asks")
    if named:
        path = checkout() / os.path.expanduser(named)
        try:
            return read_digits(path, "the file named by QKIT_MNIST")
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist. Name an mnist.npz, or leave QKIT_MNIST empty.") from None
    home = data_home()
    cache = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")) / "datasets" / "mnist.npz"
    for path, source in ((home / "mnist.npz", f"{home.name}/mnist.npz"), (cache, "Keras's cache")):
        try:
            return read_digits(path, source)
        except FileNotFoundError:
            continue
        except ValueError as problem:
            warnings.warn(f"{problem} Looking elsewhere.", stacklevel=2)
    if os.environ.get("QKIT_OFFLINE") == "1":
        return _stand_in(
            "drawn by qkit: no MNIST in the data folder or Keras's cache, and QKIT_OFFLINE=1 forbids the network"
        )
    try:
        return read_digits(download_mnist(home), f"downloaded to {home.name}/mnist.npz")
    except (OSError, ValueError, NotImplementedError) as problem:
        short = f"{type(problem).__name__}: {problem}"[:120]
        instead = "You are working with STAND-IN digits, drawn by qkit; every result will say so."
        way_out = "To use MNIST, put mnist.npz into that folder; QKIT_OFFLINE=1 skips this."
        warnings.warn(f"MNIST could not be downloaded to {home} ({short}). {instead} {way_out}", stacklevel=2)
        return _stand_in("drawn by qkit: MNIST could not be downloaded")


def read_digits(path: Path, source: str) -> Digits:
    """Read an ``.npz`` file in the layout of ``keras.datasets.mnist``; a ValueError if it is none.

    A FileNotFoundError if there is no file.
    """
    parts = _parts(read_arrays(path))
    is_mnist = _sha256(parts["x_test"], parts["y_test"], parts["y_train"]) == MNIST_SHA256_OF_PARTS
    return Digits(**parts, name="MNIST" if is_mnist else "your digits", source=source, file=path)


def download_mnist(folder: Path, url: str = MNIST_URL, sha256: str = MNIST_SHA256) -> Path:
    """Download MNIST into ``folder`` and return its path; a file is there only when it is whole and right.

    After three tries: an OSError if the network does not answer, a ValueError if what arrives has another SHA-256.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")
    hashes = {"mnist.npz": f"sha256:{sha256}"}
    store = pooch.create(folder, base_url="", registry=hashes, urls={"mnist.npz": url}, retry_if_failed=2)
    folder.mkdir(parents=True, exist_ok=True)
    bar = progress(total=1, desc="MNIST", unit="B", unit_scale=True)
    with alone(folder / "mnist.npz", "the copy of MNIST"), bar:
        # 2 s to connect, for each address that the name has: behind a silent firewall all of them are waited for.
        path = Path(store.fetch("mnist.npz", downloader=pooch.HTTPDownloader(progressbar=bar, timeout=(2, 5))))
        with suppress(OSError):  # another's file, or a disk without rights
            path.chmod(0o644)  # pooch leaves it to its owner, and a teacher shares it
        return path


def _stand_in(source: str) -> Digits:
    def draw() -> Arrays:
        return dict(zip(PARTS, draw_digits(20_000, split=0) + draw_digits(10_000, split=1), strict=True))

    path = data_home() / f"standin-{VERSION}.npz"
    parts = _parts(kept(path, draw, what="the stand-in digits", accept=_parts))
    return Digits(**parts, name="stand-in digits", source=source, file=path if os.path.exists(path) else None)


def _parts(arrays: Arrays) -> Arrays:
    """Return the four arrays of a file, uint8; a ValueError if it holds no digits."""
    for split in ("train", "test"):
        if missing := {f"x_{split}", f"y_{split}"} - set(arrays):
            raise ValueError(f"These are not digits: there is no array named {min(missing)!r}.")
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or len(images) == 0:
            got = f"got {images.dtype} of shape {images.shape}"
            raise ValueError(f"x_{split} must be uint8 images of shape (n, 28, 28), {got}.")
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or not np.all((0 <= labels) & (labels <= 9)):
            raise ValueError(f"y_{split} must hold one integer from 0 to 9 for each image.")
    return {name: arrays[name].astype(np.uint8, copy=False) for name in PARTS}


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
