"""Run all notebooks and make of them a site that needs no kernel, no server and no network: book/index.html.

Each explorer's main controls move there (moving.py). The notebooks' files stay as they are.
"""

import base64
import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools/book")]

from moving import as_webp, pixels  # noqa: E402
from store import NOTEBOOKS, run  # noqa: E402

MOVING = f"import sys; sys.path.insert(0, {str(ROOT / 'tools/book')!r}); import moving"
"""Runs before the first cell of a notebook."""
LARGEST = 8_000_000
"""How many bytes a page may have, with all the pictures in it."""
INDEX = """\
# qkit

{motto}

These pages are the course's notebooks as they ran, on {digits}. Under the pictures with controls, sliders, lists and
buttons move what the page holds; everything else, and your own code, needs the notebooks in JupyterLab: `make lab`.

{table}

```{{toctree}}
:hidden:
:glob:

notebooks/*
```
"""


def render(notebooks: dict, digits: str, folder: Path) -> None:
    """Write the site of these notebooks, by file name, that ran on those digits. A dead link or formula ends it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    motto = next(line for line in readme.splitlines() if line.startswith("**"))
    course = readme.split("## The course")[1].split("\n## ")[0]
    table = "\n".join(line for line in course.splitlines() if line.startswith("|"))
    with tempfile.TemporaryDirectory() as source:
        for linked in ("qkit", "tests"):
            shutil.copytree(ROOT / linked, Path(source, linked), ignore=shutil.ignore_patterns("__pycache__"))
        Path(source, "index.md").write_text(INDEX.format(motto=motto, digits=digits, table=table), encoding="utf-8")
        Path(source, "notebooks").mkdir()
        for name, notebook in notebooks.items():
            nbformat.write(with_words(notebook), Path(source, "notebooks", name))
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(ROOT / "tools/book")]
        subprocess.run([*command, "-d", str(Path(source, "doctrees")), source, str(folder)], check=True)
    for page in folder.rglob("*.html"):
        if page.stat().st_size > LARGEST:
            sys.exit(f"{page} has {page.stat().st_size:,} bytes, more than {LARGEST:,}: lower BYTES in moving.py.")


def with_words(notebook):
    """Give every stored picture its words, where Sphinx would leave them out."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).pop("image/png", None)
            if png and "text/html" not in output.data:
                words = html.escape(output.metadata["image/png"]["alt"])
                picture = as_webp(pixels(base64.b64decode(png)))
                output.data["text/html"] = f'<img alt="{words}" src="{picture}">'
    return notebook


if __name__ == "__main__":
    from qkit import load_digits

    notebooks = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(path.name, flush=True)
        notebooks[path.name] = run(path, first=MOVING)
    render(notebooks, load_digits().name, ROOT / "book")
