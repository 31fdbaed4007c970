"""How large the pages of the book are, and how fast their explorers follow a slider in Chromium.

python -m benchmarks.book [folder]

The book must be there: ``make book``. A step is one press of an arrow key on the first slider of an explorer, or its
first list, from there to the next picture, decoded, with its words in place. Each goes through its values and back.
"""

import statistics
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import machine

ROOT = Path(__file__).resolve().parents[1]
WATCH = """explorer => {
    window.qkitStep = new Promise(done => {
        let pressed
        explorer.addEventListener('keydown', () => { pressed = performance.now() }, {capture: true, once: true})
        explorer.addEventListener('input', async () => {
            await explorer.querySelector('img').decode()
            done(performance.now() - pressed)
        }, {once: true})
    })
}"""


def main() -> None:
    """Print the table."""
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    import lab

    folder = Path(*sys.argv[1:] or [ROOT / "book"]).resolve()
    pages = sorted(folder.glob("notebooks/*.html"))
    if not pages:
        sys.exit(f"There is no book in {folder}: run make book first.")
    print(machine() + "\n")
    print("page, kB                           | states | step, ms: median |    p95 | largest")
    with lab.launch() as browser, lab.new_page(browser) as page:
        for path in pages:
            print(f"{path.stem:28} {path.stat().st_size / 1e3:5.0f} |")
            page.goto(path.as_uri())
            for explorer in page.locator(".explorer").all():
                states = explorer.locator("script").evaluate("data => JSON.parse(data.textContent).length")
                times = steps(page, explorer)
                row = f"{statistics.median(times):16.1f} | {np.percentile(times, 95):6.1f} | {max(times):6.1f}"
                print(f"{'':34} | {states:6} | {row}")


def steps(page, explorer) -> list[float]:
    """Return the milliseconds of each step of an explorer's first slider, or first list, if it has no slider."""
    control = explorer.locator("input, select").first
    places = control.evaluate("control => control.options ? control.options.length : 1 + Number(control.max)")
    control.scroll_into_view_if_needed()
    control.focus()
    page.keyboard.press("Home")
    times = []
    for key in (places - 1) * ["ArrowRight"] + (places - 1) * ["ArrowLeft"]:
        # As a reader: the next key comes when this picture has been seen.
        page.wait_for_timeout(50)
        explorer.evaluate(WATCH)
        page.keyboard.press(key)
        times.append(page.evaluate("() => window.qkitStep"))
    return times


if __name__ == "__main__":
    main()
