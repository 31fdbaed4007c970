"""The most memory that this process has held, on every system."""

import re
import sys
from pathlib import Path


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in megabytes (10^6 bytes)."""
    if sys.platform == "linux":
        # Not getrusage: there a process inherits the peak of the one that started it.
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    import psutil

    return psutil.Process().memory_info().peak_wset / 1e6
