"""Folders that may not be entered, also by root."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def nobody_may_enter(folder: Path) -> Iterator[None]:
    """Take away all rights to a folder for a while. Root, who may do anything, becomes nobody."""
    mode, is_root = folder.stat().st_mode, os.geteuid() == 0
    folder.chmod(0)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(mode)
