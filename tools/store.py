"""Run the notebooks and store their outputs in the files, so that a second run gives the same bytes.

What is random or belongs to one machine (widget ids and states, timings, redrawn lines of
progress bars) is not stored. The notebooks start from a data folder that holds at most MNIST.

    python tools/store.py [notebook ...]
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(path: Path, first: str = ""):
    """Return a notebook as it ran, with clean outputs; ``first`` is code to run before its first cell."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=3_600, record_timing=False, kernel_name="python3", resources=place).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    del notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = clean(cell.outputs)
    return notebook


def clean(outputs: list) -> list:
    """Drop what only a live page can show, and join what was printed in pieces."""
    kept = []
    for output in outputs:
        output.get("data", {}).pop(WIDGET, None)
        if output.get("name") == "stderr":
            raise SystemExit(f"A cell wrote to standard error, which a reader should not see:\n{output.text}")
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if "text/plain" in output.get("data", {}):
            output.data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", output.data["text/plain"])
        if output.output_type == "stream":
            # A carriage return draws a line anew; what stood there before is gone.
            output.text = "\n".join(line.rsplit("\r", 1)[-1] for line in output.text.split("\n"))
    return [output for output in kept if output.get("text") != ""]


if __name__ == "__main__":
    paths = [Path(word) for word in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "data")  # by this name a page says where its digits came from
        folder.mkdir()
        named = os.environ.get("QKIT_MNIST", "")
        if named not in ("", "stand-in"):
            shutil.copy(NOTEBOOKS.parent / os.path.expanduser(named), folder / "mnist.npz")
            del os.environ["QKIT_MNIST"]
        os.environ["QKIT_DATA"] = str(folder)
        for path in paths:
            print(path.name, flush=True)
            path.write_text(nbformat.writes(run(path)) + "\n", encoding="utf-8", newline="\n")
