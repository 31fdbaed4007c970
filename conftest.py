"""How the suite runs: how many files at a time, which ones first, and on which digits."""

import os
from fnmatch import fnmatch
from pathlib import Path

import psutil
import pytest

LONG = [
    "notebooks/01",  # Trains the networks that the others wait for.
    "tests/network/test_integer",
    "notebooks/08",  # Trains networks that 07 finds then.
    "notebooks/09",
    "notebooks/1",
    "tests/network/test_qat",
    "tests/browser",
    "notebooks/05",
    "notebooks/04",
    "notebooks/03",
    "notebooks",
    "tests/network",
    "tests/show",
]
"""What takes longest starts first, so that at the end no worker is left alone with it."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many files run at a time: one for each core and each 4 GB, a worker's TensorFlow and its notebook's."""
    cores = psutil.cpu_count()
    workers = max(1, min(cores, psutil.virtual_memory().total // 4_000_000_000))
    # The workers inherit it. OpenBLAS waits for a thread by spinning: two processes with as many threads as there
    # are cores hold each other up, and a matrix product takes ten times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(max(1, cores // workers)))
    return workers


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what CI asks for: all in one run, so that no core waits for the last notebook on the first digits."""
    text = "run the notebooks whose names match, such as 0[0-2]*, once more on the stand-in digits"
    parser.addoption("--stand-in-too", metavar="PATTERN", default="", help=text)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a notebook with digits a second time, if that is asked for; the first time nbval has done it."""
    if file_path.suffix != ".ipynb" or not fnmatch(file_path.name, parent.config.option.stand_in_too):
        return None
    if "load_digits()" not in file_path.read_text(encoding="utf-8"):
        return None
    from nbval.plugin import IPyNbFile  # here, because it takes seconds, and `make check` runs no notebook

    nodeid = f"{parent.nodeid}/{file_path.name} on stand-in digits"
    notebook = IPyNbFile.from_parent(parent, path=file_path, nodeid=nodeid)

    def start_kernel() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QKIT_MNIST", "stand-in")
            IPyNbFile.setup(notebook)

    notebook.setup = start_kernel
    return notebook


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; within a file the order stays. What is compared with TensorFlow is slow."""
    for item in items:
        if "tf" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    items.sort(key=lambda item: next((i for i, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG)))
