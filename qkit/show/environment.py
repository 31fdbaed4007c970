"""Is this machine ready for the course? Versions, memory and disk against what the notebooks need."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import pandas as pd
import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from qkit.keeping import data_home

MEMORY_NEEDED = 2
"""Gigabytes, for one notebook that trains a network beside JupyterLab."""
DISK_NEEDED = 0.5
"""Gigabytes in the data folder: MNIST or the stand-in digits, and the trained networks."""


def check_environment() -> pd.DataFrame:
    """Return a table: one row for each thing the course needs, what is here, and whether that is enough."""
    wanted, python = SpecifierSet(metadata("qkit")["Requires-Python"]), platform.python_version()
    rows = [("Python", str(wanted), python, _enough(wanted.contains(python)))]
    for line in requires("qkit") or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            rows.append(_package(requirement))
    rows.append(_room("memory", MEMORY_NEEDED, _memory() / 1e9))
    home = data_home()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    rows.append(_room("free disk", DISK_NEEDED, shutil.disk_usage(there).free / 1e9))
    return pd.DataFrame(rows, columns=["what", "needed", "here", "enough"]).set_index("what")


def _package(requirement: Requirement) -> tuple[str, str, str, str]:
    try:
        here = version(requirement.name)
    except PackageNotFoundError:
        return requirement.name, str(requirement.specifier), "not installed", "NO: run make lab"
    return requirement.name, str(requirement.specifier), here, _enough(requirement.specifier.contains(here))


def _memory() -> float:
    """Return the bytes that this machine, or the container that a hub gives a learner, may use."""
    limit = Path("/sys/fs/cgroup/memory.max")
    contained = limit.read_text().strip() if limit.exists() else "max"
    total = psutil.virtual_memory().total
    return total if contained == "max" else min(total, int(contained))


def _room(name: str, needed: float, here: float) -> tuple[str, str, str, str]:
    said = f"{here:.1f} GB" if here < 10 else "more than 10 GB"
    return name, f"{needed} GB", said, _enough(here >= needed)


def _enough(is_enough: bool) -> str:
    return "yes" if is_enough else "NO"
