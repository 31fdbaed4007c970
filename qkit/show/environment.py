"""Is this machine ready for the course? Versions, memory and disk against what the notebooks need."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import pandas as pd
import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from qkit.keeping import data_home

# Gigabytes: for one notebook that trains a network beside JupyterLab; for MNIST or the stand-in, and trained networks.
MEMORY_NEEDED, DISK_NEEDED = 2, 0.5


def check_environment() -> pd.DataFrame:
    """Return a table: what the course needs, what is here, whether it is enough. Taught in notebook 00, section 1."""
    wanted, python = SpecifierSet(metadata("qkit")["Requires-Python"]), platform.python_version()
    rows = [("Python", str(wanted), python, "yes" if wanted.contains(python) else "NO")]
    for requirement in map(Requirement, requires("qkit") or []):
        if requirement.marker is None or requirement.marker.evaluate():
            try:
                here = version(requirement.name)
                enough = "yes" if requirement.specifier.contains(here) else "NO"
            except PackageNotFoundError:
                here, enough = "not installed", "NO: run make lab"
            rows.append((requirement.name, str(requirement.specifier), here, enough))
    there = next(folder for folder in (data_home(), *data_home().parents) if os.path.exists(folder))
    memory, limit = psutil.virtual_memory().total, Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (given := limit.read_text().strip()) != "max":  # a container that a hub gives a learner
        memory = min(memory, int(given))
    rooms = [("memory", MEMORY_NEEDED, memory)]
    if there != data_home() or os.access(there, os.W_OK):  # else a teacher has filled it
        rooms.append(("free disk", DISK_NEEDED, shutil.disk_usage(there).free))
    for name, needed, size in rooms:
        here = f"{size / 1e9:.1f} GB" if size < 1e10 else "more than 10 GB"
        rows.append((name, f"{needed} GB", here, "yes" if round(size / 1e6) >= 1000 * needed else "NO"))
    return pd.DataFrame(rows, columns=["what", "needed", "here", "enough"]).set_index("what")
