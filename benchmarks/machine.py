"""What a benchmark ran on, on every system."""

import os


def machine() -> str:
    """Return how many processors there are and, where the system tells it (Windows does not), how busy they are."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} CPUs{load}"
