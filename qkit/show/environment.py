"""Is this machine ready for the course? Versions, memory and disk against what the notebooks need."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version

import pandas as pd
import psutil
from packaging.requirements import Requirement

from qkit.storage import data_home

MEMORY_NEEDED = 2
"""Gigabytes, for one notebook that trains a network beside JupyterLab."""
DISK_NEEDED = 0.5
"""Gigabytes in the data folder: MNIST or the stand-in digits, and the trained networks."""


def check_environment() -> pd.DataFrame:
    """Return a table: one row for each thing the course needs, what is here, and whether that is enough."""
    rows = [("Python", "3.10 to 3.13", platform.python_version(), "yes")]
    for line in requires("qkit") or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            rows.append(_package(requirement))
    rows.append(_room("memory", MEMORY_NEEDED, psutil.virtual_memory().total / 1e9))
    home = data_home()
    rows.append(_room("free disk", DISK_NEEDED, shutil.disk_usage(home if home.exists() else home.parent).free / 1e9))
    return pd.DataFrame(rows, columns=["what", "needed", "here", "enough"]).set_index("what")


def _package(requirement: Requirement) -> tuple[str, str, str, str]:
    try:
        here = version(requirement.name)
    except PackageNotFoundError:
        return requirement.name, str(requirement.specifier), "not installed", "NO: run make lab"
    return requirement.name, str(requirement.specifier), here, _enough(requirement.specifier.contains(here))


def _room(name: str, needed: float, here: float) -> tuple[str, str, str, str]:
    said = f"{here:.1f} GB" if here < 10 else "more than 10 GB"
    return name, f"{needed} GB", said, _enough(here >= needed)


def _enough(is_enough: bool) -> str:
    return "yes" if is_enough else "NO"
