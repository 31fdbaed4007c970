"""A self-test over the whole course: two questions of every notebook, drawn anew each time and with other numbers.

They stand in ``self_test.json`` in the course's order. Each has a ``page``, its notebook's number; a ``text``; and
``why``, a sentence for those who were wrong. One that asks for a number has ``numbers`` to draw from, whose names stand
in the text, and ``right``, a formula of them; one that offers sentences has the ``right`` and the ``wrong`` ones.
"""

import html
import json
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd

from qkit.show.exercises import Feedback

POOL: list[dict] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Asked:
    """A question as it was drawn: the ``answer`` is a number, or one of the ``options``."""

    page: int
    text: str
    answer: float | str
    why: str
    options: tuple[str, ...] = ()

    def accepts(self, given: str | None) -> bool | None:
        """Whether an answer is right, None where there is none: an option; or a number, 0.25, 0,25, 1,000 or 2/15."""
        if self.options:
            return None if given is None else given == self.answer
        readings = [given.replace(",", ".")]
        if re.fullmatch(r"\d{1,3}(,\d{3})+", given.strip()):  # 1,234 is either
            readings.append(given.replace(",", ""))
        found = [value for value in map(_value, readings) if value is not None]
        # Whole numbers are to be met, others may be rounded to three digits: to two, 255 and 256 steps look the same.
        slack = 0 if self.answer % 1 == 0 else 0.5 * 10.0 ** (math.floor(math.log10(abs(self.answer))) - 2)
        return any(abs(value - self.answer) <= slack + 1e-9 for value in found) if found else None

    @property
    def solution(self) -> str:
        """The answer, and why."""
        answer = self.answer if self.options else f"{self.answer:.4g}" if self.answer % 1 else f"{self.answer:.0f}"
        return f"{answer}. {self.why} (Notebook {self.page:02}.)"


class SelfTest:
    """Ask two questions of every notebook; answer, and press the button.

    A ``seed`` asks the same again. A page without a kernel shows each question with its answer folded under it.
    Taught at the end of notebook 14.

    Examples
    --------
    >>> SelfTest()
    A self-test of 30 questions: run this notebook in JupyterLab, answer, and press the button.
    """

    def __init__(self, seed: int | None = None):
        rng = np.random.default_rng(seed)
        places = rng.permutation(len(POOL))
        pages = pd.Series([POOL[place]["page"] for place in places], places)
        self.asked = [drawn(POOL[place], rng) for place in sorted(pages.groupby(pages).head(2).index)]
        choose = partial(widgets.RadioButtons, value=None, description="Answer:", layout={"width": "max-content"})
        write = partial(widgets.Text, description="Answer:", placeholder="whole: exact; else 3 digits")
        self.boxes = [choose(options=one.options) if one.options else write() for one in self.asked]
        self.verdicts = [widgets.HTML() for _ in self.asked]
        self.score = widgets.HTML()

    def check(self, button: widgets.Button | None = None) -> int:
        """Say of each answer whether it is right, and why; return how many are."""
        right = [one.accepts(box.value) for one, box in zip(self.asked, self.boxes, strict=True)]
        for one, is_right, verdict in zip(self.asked, right, self.verdicts, strict=True):
            said = Feedback("right" if is_right else "wrong", f"The answer: {one.solution}")
            if is_right is None:
                said = Feedback("unanswered", "Choose one." if one.options else "A number is wanted here.")
            verdict.value = said._repr_html_()
        again = sorted({f"{one.page:02}" for one, is_right in zip(self.asked, right, strict=True) if not is_right})
        advice = f"Worth reading again: {', '.join(again)}." if again else "Nothing to read again."
        self.score.value = f"<b>{right.count(True)} of {len(right)} right.</b> {advice}"
        return right.count(True)

    def __repr__(self) -> str:
        count = len(self.asked)
        return f"A self-test of {count} questions: run this notebook in JupyterLab, answer, and press the button."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        button = widgets.Button(description="Check my answers", button_style="primary")
        button.on_click(self.check)
        rows = [
            widgets.VBox([widgets.HTML(f"<b>{place}.</b> {html.escape(one.text)}"), box, verdict])
            for place, (one, box, verdict) in enumerate(zip(self.asked, self.boxes, self.verdicts, strict=True), 1)
        ]
        items = ""
        for one in self.asked:
            options = "".join(f"<li>{html.escape(option)}</li>" for option in one.options)
            items += f"<li>{html.escape(one.text)}{f'<ul>{options}</ul>' if options else ''}"
            items += f"<details><summary>Answer</summary>{html.escape(one.solution)}</details></li>"
        live = widgets.VBox([*rows, button, self.score])._repr_mimebundle_()
        return dict(live) | {"text/html": f"<ol>{items}</ol>", "text/plain": repr(self)}


def drawn(question: dict, rng: np.random.Generator) -> Asked:
    """Draw the numbers of a question, or the order of its options."""
    page, text, right, why = (question[part] for part in ("page", "text", "right", "why"))
    if "wrong" in question:
        return Asked(page, text, right, why, tuple(rng.permutation([right, *question["wrong"]]).tolist()))
    numbers = {name: values[rng.integers(len(values))] for name, values in question["numbers"].items()}
    # The formulas are part of the package, as its code is: nobody else's words get here.
    answer = eval(right, vars(math) | numbers)
    return Asked(page, re.sub(r"(?<!\w)-(?=\d)", "−", text.format(**numbers)), float(answer), why)


def _value(written: str) -> float | None:
    above, _, below = written.replace("−", "-").partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ArithmeticError):
        return None
