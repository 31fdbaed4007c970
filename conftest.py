"""How the suite runs: how many files at a time, and which ones first."""

import os

import psutil
import pytest

LONG = [
    "notebooks/01",  # Trains the networks that the others wait for.
    "tests/network/test_integer",
    "notebooks/08",  # Trains networks that 07 finds then.
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; within a file the order stays. What is compared with TensorFlow is slow."""
    for item in items:
        if "tf" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    items.sort(key=lambda item: next((i for i, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG)))
