"""The rendered book, read by axe-core, as somebody with a screen reader or weak eyes would meet it."""

import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe
from lab import ROOT, new_page

NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """All pages, rendered as `python tools/start.py book` does, and no network to load formulas from."""
    folder = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "nbconvert", "--config", str(ROOT / "tools/book/config.py")]
    subprocess.run([*command, "--output-dir", str(folder)], check=True, capture_output=True, cwd=folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing(browser, book, name):
    with new_page(browser) as page:
        page.goto((book / f"{name}.html").as_uri(), wait_until="domcontentloaded")
        # Answers are folded; what is in them is to be read, too.
        page.evaluate("() => document.querySelectorAll('details').forEach(each => { each.open = true })")
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_their_words_and_links_lead_to_pages(browser, book, name):
    with new_page(browser) as page:
        page.goto((book / f"{name}.html").as_uri(), wait_until="domcontentloaded")
        words = page.eval_on_selector_all("main img", "images => images.map(image => image.alt)")
        assert words and all(len(each) > 20 and not each.startswith("No description") for each in words)
        links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
        pages = {link.split("#")[0] for link in links if ".html" in link and not link.startswith("http")}
        assert pages <= {f"{each}.html" for each in NAMES}
        assert not [link for link in links if ".ipynb" in link]
