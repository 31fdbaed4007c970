"""One progress bar for a terminal, JupyterLab and a CI log.

The bar is plain text on standard output and leaves no trace: a stored notebook stays clean, and a log
file, which cannot redraw a line, gets no bar at all.
"""

import sys

from tqdm import tqdm


def progress(iterable=None, *, total: int | None = None, description: str = "", unit: str = "") -> tqdm:
    """Wrap an iterable, or with ``total`` alone count by hand: ``bar.update(1)``; ``bar.close()`` at the end."""
    can_redraw_a_line = sys.stdout.isatty() or "ipykernel" in sys.modules
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        file=sys.stdout,
        leave=False,
        disable=not can_redraw_a_line,
        mininterval=0.3,
        dynamic_ncols=sys.stdout.isatty(),
    )
