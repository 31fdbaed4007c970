"""How the suite runs: how many files at a time, and which ones first."""

import psutil
import pytest

LONG = [
    "notebooks/01",  # trains the two networks that most of the others need
    "tests/browser",
    "notebooks/07",
    "notebooks/08",
    "notebooks/05",
    "tests/network/test_qat",
    "notebooks",
    "tests/network",
    "tests/show",
]
"""What takes longest starts first, so that at the end no worker is left alone with it."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many files run at a time: one for each core and each 4 GB, a worker's TensorFlow and its notebook's."""
    return max(1, min(psutil.cpu_count(), psutil.virtual_memory().total // 4_000_000_000))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; within a file the order stays. What is compared with TensorFlow is slow."""
    for item in items:
        if "tf" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    items.sort(key=lambda item: next((i for i, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG)))
