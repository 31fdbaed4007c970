"""The most memory that this process has held, on every system."""

import sys


def peak_megabytes() -> float:
    """Return the peak resident memory of this process in megabytes (10^6 bytes)."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
