"""The book as its readers meet it: without a kernel, from a file, by keyboard, and read by axe-core."""

import html
import importlib.util
import json
import re
import sys
from math import prod
from urllib.parse import unquote

import nbformat
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from lab import ARTIFACTS, ROOT, new_page
from playwright.sync_api import expect

from qkit.show import explorers

if sys.version_info < (3, 11):
    pytest.skip("what renders the book needs Python 3.11", allow_module_level=True)
RUN = "02_scale_and_zero_point"
EVERY_CONTROL = """\
import io
import numpy as np
from PIL import Image
from qkit.show.explorer import Explorer, choice, slider, span, stops, switch

def update(colour, lightness, width, striped, images, edge, shift):
    if colour == "green" and striped:
        raise ValueError("green has no stripes")
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :width * 5, ["red", "green"].index(colour)] = 80 + 17 * lightness
    pixels[::2 if striped else 40] = 0
    Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
    looks = "striped" if striped else "plain"
    return file.getvalue(), f"{colour}, {lightness} light, {width} wide, {looks}, {images:g}"

Explorer({
    "colour": choice("the colour", "Which of two colours", "red", {"red": "like blood", "green": "like grass"}),
    "lightness": stops("lightness", "How light the colour is", 4, {4: "dim", 10: "bright"}),
    "width": slider("width", "How wide the coloured part is", 3, 1, 5),
    "striped": switch("striped", "Every other line is black", False),
    "images": slider("images", "It only changes the words", 1000, 10, 2000),
    "edge": span("edge", "It changes nothing", (-1, 1), -2, 2, 0.5),
    "shift": slider("shift", "It changes nothing either", 0, -1, 1, step=0.25)}, update, (60, 40))"""
ONE_OF_EACH_KIND = r"""() => {
    const looks = [
        'color', 'backgroundColor', 'backgroundImage', 'fontSize', 'fontWeight', 'opacity', 'position', 'textShadow']
    const kinds = new Map(), longest = new Map()
    for (const node of document.querySelectorAll('body *')) {
        const style = getComputedStyle(node)
        const kind = [kinds.get(node.parentElement), node.localName, ...looks.map(name => style[name])].join()
        kinds.set(node, kind)
        // axe says nothing of a text of one letter, and skips one of none.
        const words = [...node.childNodes].map(child => child instanceof Text ? child.data : '').join('')
        const letters = words.replace(/[^\p{L}\p{N}]/gu, '').length
        if (node.checkVisibility() && !(longest.get(kind)?.letters >= letters)) longest.set(kind, {node, letters})
    }
    for (const {node} of longest.values()) node.setAttribute('data-contrast', '')
    for (const word of document.querySelectorAll('.highlight span:not([data-contrast])'))
        word.replaceWith(...word.childNodes)
}"""
"""Of all that looks the same, also in what lies around it, the contrast of one is enough: axe takes 3 ms for each."""
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PAGES = ["index", "search", "notebooks/made", *(f"notebooks/{name}" for name in NAMES)]


def load(name):
    """Return tools/book/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/book/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The book: one notebook as it runs, one made here with every kind of control, the others as they are stored."""
    build = load("build")
    folder = tmp_path_factory.mktemp("book")
    cells = [nbformat.v4.new_markdown_cell("# Made"), nbformat.v4.new_code_cell(EVERY_CONTROL)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "made.ipynb")
    notebooks = {f"{name}.ipynb": nbformat.read(ROOT / f"notebooks/{name}.ipynb", 4) for name in NAMES if name != RUN}
    notebooks["made.ipynb"] = build.run(folder / "made.ipynb", first=build.MOVING)
    few_states = f"{build.MOVING}; moving.STATES = 60"
    notebooks[f"{RUN}.ipynb"] = build.run(ROOT / f"notebooks/{RUN}.ipynb", first=few_states)
    build.render(notebooks, "some digits", folder / "book")
    return folder / "book"


@pytest.fixture(scope="module")
def window(browser):
    """One page for all tests: Chromium compiles axe once, not for each page of the book."""
    with new_page(browser) as page:
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page


@pytest.fixture
def opened(window, book):
    """Give a function that opens a page of the book; nothing may come from elsewhere, and no script may fail."""
    window.asked.clear()
    window.faults.clear()

    def open_page(name: str):
        window.goto((book / f"{name}.html").as_uri())
        return window

    yield open_page
    assert [url for url in window.asked if not url.startswith((book.as_uri(), "data:"))] == []
    assert window.faults == []


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(opened, name):
    page = opened(name)
    # Answers are folded; what is in them is to be read, too.
    page.evaluate("() => document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.evaluate("() => document.fonts.ready")
    page.evaluate(ONE_OF_EACH_KIND)
    page.evaluate(AXE_SCRIPT)
    page.evaluate("() => axe.configure({rules: [{id: 'color-contrast', selector: '[data-contrast]'}]})")
    found = page.evaluate("() => axe.run({resultTypes: ['violations']})")["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []
    words = page.eval_on_selector_all("article img", "images => images.map(image => image.alt)")
    assert all(len(each) > 20 and not each.startswith("No description") for each in words)
    assert words or name in ("index", "search")


def test_every_link_leads_to_a_file_of_the_book_and_a_place_in_it(book):
    text = {path.resolve(): path.read_text(encoding="utf-8") for path in book.rglob("*.html")}
    for path, page in text.items():
        # Not what a script holds.
        page = re.sub(r"(?s)<script.*?</script>", "", page)
        links = set(re.findall(r'\b(?:href|src)="(?!http|data:)([^"]*)"', page))
        assert len(links) > 10
        for link in links:
            name, _, anchor = unquote(link).partition("#")
            file = (path.parent / name.partition("?")[0]).resolve() if name else path
            assert file.is_file() and book.resolve() in file.parents, (path, link)
            assert not anchor or f'id="{anchor}"' in text[file], (path, link)
    assert {f"{name}.html" for name in NAMES} <= {path.name for path in text}


def test_the_search_finds_the_page_that_teaches_a_word(opened):
    page = opened("index")
    assert "as they ran, on some digits." in page.locator("article").inner_text()
    page.get_by_placeholder("Search").fill("zero-point")
    page.keyboard.press("Enter")
    expect(page.locator("#search-results a", has_text="Scale and zero-point").first).to_be_visible()
    page.locator("#search-results a", has_text="Scale and zero-point").first.click()
    expect(page).to_have_url(re.compile(rf"/notebooks/{RUN}\.html"))


def test_formulas_are_drawn_by_the_browser(opened):
    page = opened(f"notebooks/{RUN}")
    assert page.locator("math").count() > 50
    assert page.locator("math[display=block] mfrac").count() > 3
    assert not re.search(r"\$|\\[a-z]+\{", " ".join(page.locator("article p").all_inner_texts()))


def move(page, explorer, control, key) -> dict:
    """Press a key on a control; return what stands on the page when the next frame is drawn."""
    page.evaluate(
        """explorer => {
            window.frame = new Promise(done => {
                const [image, words] = ['img', 'figcaption'].map(name => explorer.querySelector(name))
                const look = () => requestAnimationFrame(() => done(
                    {picture: image.src, drawn: image.complete, alt: image.alt, words: words.innerText}))
                for (const kind of ['input', 'click']) explorer.addEventListener(kind, look, {once: true})
            })
        }""",
        explorer.element_handle(),
    )
    control.focus()
    page.keyboard.press(key)
    return page.evaluate("() => window.frame")


def test_explorers_of_a_lesson_follow_their_first_slider_and_their_buttons(opened):
    page = opened(f"notebooks/{RUN}")
    found = page.locator(".explorer").all()
    assert len(found) == (ROOT / f"notebooks/{RUN}.ipynb").read_text(encoding="utf-8").count('"explorers.')
    for number, explorer in enumerate(found):
        explorer.scroll_into_view_if_needed()
        seen = [explorer.screenshot()]
        first = explorer.locator("figcaption").inner_text()
        for control in explorer.locator("button, input").all()[::-1]:
            key = "ArrowRight" if control.get_attribute("type") == "range" else "Space"
            now = move(page, explorer, control, key)
            assert now["drawn"] and now["words"] != first
            assert now["alt"] == now["words"] or now["words"].startswith("This setting cannot be drawn: ")
            seen.append(explorer.screenshot())
        assert len(set(seen)) == len(seen)
        explorer.screenshot(path=ARTIFACTS / f"book-{number}.png")


def test_every_kind_of_control(opened):
    page = opened("notebooks/made")
    explorer = page.locator(".explorer")

    def words_after(control, key):
        now = move(page, explorer, control, key)
        assert now["drawn"] and now["alt"] == now["words"]
        return now["words"]

    assert explorer.locator("figcaption").inner_text() == "red, 4 light, 3 wide, plain, 1000"
    lightness, width, images = (page.get_by_role("slider", name=name) for name in ("lightness", "width", "images"))
    assert words_after(lightness, "ArrowRight") == "red, 10 light, 3 wide, plain, 1000"
    assert lightness.get_attribute("aria-valuetext") == lightness.locator("+ output").inner_text() == "bright"
    assert words_after(width, "End") == "red, 10 light, 5 wide, plain, 1000"
    assert words_after(width, "ArrowLeft") == "red, 10 light, 4 wide, plain, 1000"
    assert words_after(images, "Home") == "red, 10 light, 4 wide, plain, 10"
    striped = page.get_by_role("button", name="striped", pressed=False)
    assert words_after(striped, "Space") == "red, 10 light, 4 wide, striped, 10"
    colour = page.get_by_role("combobox", name="the colour")
    now = move(page, explorer, colour, "ArrowDown")
    assert now["alt"] == "red, 10 light, 4 wide, striped, 10"
    assert now["words"].startswith("This setting cannot be drawn: green has no stripes.")
    pressed = page.get_by_role("button", name="striped", pressed=True)
    assert words_after(pressed, "Space") == "green, 10 light, 4 wide, plain, 10"
    assert "These move in the notebook only: edge: -1 to 1; shift: 0." in explorer.inner_text()


def test_pictures_are_those_of_the_explorer(opened):
    """Of a moved explorer only what differs from the first picture is in the page."""
    page = opened("notebooks/made")
    explorer = page.locator(".explorer")
    move(page, explorer, page.get_by_role("slider", name="width"), "Home")
    picture = explorer.locator("img")
    picture.evaluate("image => { image.style.border = 0 }")
    colours = page.evaluate(
        """async image => {
            const behind = new Image()
            behind.src = image.style.backgroundImage.slice(5, -2)
            await Promise.all([behind.decode(), image.decode()])
            const canvas = new OffscreenCanvas(60, 40).getContext('2d')
            canvas.drawImage(behind, 0, 0)
            canvas.drawImage(image, 0, 0)
            return [2, 4, 5, 6, 14, 16].map(x => [...canvas.getImageData(x, 9, 1, 1).data].join())
        }""",
        picture.element_handle(),
    )
    assert colours == 2 * ["148,0,0,255"] + 4 * ["0,0,0,255"]


def test_controls_that_would_take_too_much_keep_their_values():
    moving = load("moving")
    explorer = explorers.fake_quantization(bits=4)
    before = explorer.values
    moving.STATES, counts = 60, []
    for moving.BYTES in (1_000_000, 50_000):
        page = moving.figure(explorer)
        states = json.loads(re.search(r'<script type="application/json">(.*)</script>', page)[1])
        names = [json.loads(html.unescape(found)) for found in re.findall(r'data-names="([^"]*)"', page)]
        assert len(states) == prod(map(len, names))
        assert sum(len(picture) for _, picture in states) <= moving.BYTES
        assert explorer.words in [words for words, _ in states] and explorer.values == before
        counts.append(len(states))
    assert counts == [49, 7]
