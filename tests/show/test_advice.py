"""The decision tree gives every case one advice, and names notebooks and sections that there are."""

import io
import json
import re
from itertools import product

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from qkit.show import advise
from qkit.show.advice import BITS, DATA, TREE, Advice, chart
from tests.conftest import ROOT

CASES = list(product(DATA, BITS, [None, -0.1, 0.5, 0.6]))


def ends(here=TREE):
    return [end for way in here["ways"] for end in ends(way["go"])] if "ways" in here else [Advice(**here)]


def forks(here=TREE):
    return [here, *(fork for way in here["ways"] for fork in forks(way["go"]))] if "ways" in here else []


def test_every_case_has_one_advice_and_every_advice_a_case():
    assert {advise(data, bits, 0.5, lost) for data, bits, lost in CASES} == set(ends())
    assert len(set(ends())) == len(ends())


def test_ways_of_a_fork_do_not_overlap():
    for fork in forks():
        answers = [answer for way in fork["ways"] for answer in way["when"]]
        assert len(answers) == len(set(answers)) and len(fork["ways"]) > 1


@pytest.mark.parametrize("advice", ends(), ids=lambda advice: advice.first)
def test_where_it_is_taught_there_is_such_a_section(advice):
    cells = json.loads((ROOT / "notebooks" / f"{advice.notebook}.ipynb").read_text("utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert re.search(rf"^## {advice.section} · ", text, re.M)
    assert all(len(line) <= 110 for line in repr(advice).splitlines())


def test_what_the_course_says_first():
    assert advise("none").first.startswith("dynamic")
    assert advise("unlabelled").first == advise("labelled", 8).first and "static" in advise("unlabelled").first
    assert advise("labelled", 2).first.startswith("QAT") and "QAT" not in advise("unlabelled", 2).first
    assert all("equalize" in advise("none", bits, lost=50).first for bits in (4, 8))
    assert "QAT" not in advise("labelled", 4, lost=50).first and "QAT" in advise("labelled", 3, lost=50).first
    assert advise("labelled", 8, loss=1, lost=1) == advise("none", 2, loss=3, lost=-2)
    assert advise("labelled", np.int64(8), np.float64(1), np.float32(2)).section == 3


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"data": "images"}, "'none', 'unlabelled', 'labelled', got 'images'"),
        ({"data": None}, "data must be one of"),
        *(
            ({"data": "none", "bits": bits}, "bits must be 16, or an integer from 2 to 8")
            for bits in (1, 12, "8", True)
        ),
        *(({"data": "none", "loss": loss}, "loss must be .* above 0") for loss in (0, -1, 101, np.nan, "1", None)),
        *(({"data": "none", "lost": lost}, "lost must be .* or None") for lost in (np.inf, 101, "1", True)),
    ],
)
def test_bad_input(case, message):
    with pytest.raises(ValueError, match=message):
        advise(**case)
    with pytest.raises(ValueError, match=message):
        chart(**case)


@pytest.mark.parametrize("case", [{}, {"data": "labelled", "bits": 3, "lost": 2.0}])
def test_chart(case):
    picture = chart(**case)
    pixels = np.asarray(Image.open(io.BytesIO(picture.png())).convert("RGB"))
    assert pixels.shape[1] <= 1000
    assert np.all(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]) == 255), "cut off at the edge"
    texts = [text for text in picture.figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 9
    boxes = [text.get_window_extent() for text in texts]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place]), "one text covers another"
    assert all(
        f"{advice.first} ({advice.notebook[:2]}, section {advice.section})" in repr(picture) for advice in ends()
    )
    thick = [line for line in picture.figure.axes[0].lines if line.get_linewidth() > 2]
    assert len(thick) == (3 if case else 0)
    assert (
        ("this case leads to: " + advise(**case).first in repr(picture)) if case else "this case" not in repr(picture)
    )
