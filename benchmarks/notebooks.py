"""Every notebook, Run All in a fresh kernel: seconds, and the most memory that its kernel held.

python -m benchmarks.notebooks [notebook ...]     Linux only: the kernel's peak is read from /proc
"""

import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PEAK = "print('peak', __import__('re').search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"


def main(paths: list[Path]) -> None:
    """Print one row for each notebook."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.append(new_code_cell(PEAK))
        start = time.perf_counter()
        place = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=900, kernel_name="python3", resources=place).execute()
        seconds = time.perf_counter() - start
        digits = re.search(r"(MNIST|stand-in digits|your digits) \(", str(notebook.cells))[1]
        kilobytes = int(re.search(r"peak (\d+)", notebook.cells[-1].outputs[-1].text)[1])
        print(f"{path.stem:30} {seconds:6.1f} s   peak {kilobytes * 1024 / 1e6:6,.0f} MB   [{digits}]", flush=True)


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")))
