"""Run the notebooks and store their outputs in the files, so that a second run gives the same bytes.

What is random or belongs to one machine (widget ids and states, timings, standard error, redrawn lines of
progress bars) is not stored. The notebooks start from an empty data folder, as a learner does.

    python tools/store.py [notebook ...]
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"


def store(path: Path) -> None:
    """Execute one notebook and write it back with clean outputs."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, record_timing=False, kernel_name="python3", resources=place).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = clean(cell.outputs)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def clean(outputs: list) -> list:
    """Drop what only a live page can show, and join what was printed in pieces."""
    kept = []
    for output in outputs:
        output.get("data", {}).pop(WIDGET, None)
        if output.get("name") == "stderr":
            continue
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
    with tempfile.TemporaryDirectory() as empty:
        os.environ["QKIT_DATA"] = empty
        for path in paths:
            print(path.name, flush=True)
            store(path)
