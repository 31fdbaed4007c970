"""What to do first with a network that is to be quantized: the course as one decision tree.

The tree stands in ``advice.json``: a fork ``asks`` for one thing and has ``ways`` to go on, each for some answers; its
ends are advice. :func:`advise` walks it for one case, :func:`chart` draws all of it.
"""

import json
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qkit.show.picture import FLOAT, GOOD, GUIDE, picture

TREE = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
DATA, BITS = ("none", "unlabelled", "labelled"), (*range(2, 9), 16)


@dataclass(frozen=True)
class Advice:
    """What to do ``first``, ``why``, and what ``then``, if that is not enough; and where it is taught."""

    first: str
    why: str
    then: str
    notebook: str
    section: int

    def __repr__(self) -> str:
        where = f"{self.notebook}.ipynb, section {self.section}"
        return f"First:  {self.first}\nWhy:    {self.why}\nThen:   {self.then}\nTaught: {where}"


def advise(data: str, bits: int = 8, loss: float = 0.5, lost: float | None = None) -> Advice:
    """Say what to do first, why, what comes then, and which section of the course teaches it.

    Parameters
    ----------
    data : {"none", "unlabelled", "labelled"}
        What is at hand: no images of the kind the network will see, images alone, or images with labels and the code
        that trained the network.
    bits : 16, or int from 2 to 8
        What the hardware runs, or the weights may take.
    loss : float
        How many percentage points of accuracy matter to you: a smaller loss is none.
    lost : float or None
        The points that the quantized network has lost so far, on test images; None, where nothing is measured yet.

    A ValueError if one of these cannot be. Taught in notebook 13, section 10.

    Examples
    --------
    >>> advise("unlabelled", bits=8)
    First:  static int8, with a few hundred images
    Why:    One scale for all inputs, found beforehand: everything runs in integers, nothing is trained.
    Then:   Pair its answers with the float network's on other images; ask again with what is lost.
    Taught: 05_post_training_quantization.ipynb, section 2
    """
    return Advice(**_ways(data, bits, loss, lost)[-1]["go"])


@picture
def chart(**case) -> tuple[Figure, str]:
    """Draw the decision tree; and the way of one ``case``, given as for :func:`advise`, thick and black.

    Taught in notebook 13, section 10.
    """
    taken = list(map(id, _ways(**case))) if case else []
    axes = Figure(figsize=(9.9, 7.4)).subplots()
    said: list[str] = []
    _draw(axes, TREE, (), taken, said)
    axes.set(xlim=(-0.62, 9.45), ylim=(len(said) - 0.5, -0.6))
    axes.axis("off")
    ours = f" The way of this case leads to: {advise(**case).first}." if case else ""
    return axes.figure, f"A tree of {len(said)} ways. {'; '.join(said)}.{ours}"


def _ways(data: str, bits: int = 8, loss: float = 0.5, lost: float | None = None) -> list[dict]:
    """Return the ways that a case takes, from the first fork to its advice."""
    if data not in DATA:
        raise ValueError(f"data must be one of {', '.join(map(repr, DATA))}, got {data!r}")
    if bits not in BITS:
        raise ValueError(f"bits must be 16, or an integer from 2 to 8, got {bits!r}")
    if not _points(loss) or loss <= 0:
        raise ValueError(f"loss must be the points that matter, a number above 0 and at most 100, got {loss!r}")
    if lost is not None and not _points(lost):
        wanted = "the points lost so far, at most 100, or None if nothing is measured yet"
        raise ValueError(f"lost must be {wanted}, got {lost!r}")
    measured = "not measured" if lost is None else "more" if lost > loss else "no more"
    answers, here, ways = {"data": data, "bits": bits, "lost": measured}, TREE, []
    while "asks" in here:
        ways.append(next(way for way in here["ways"] if answers[here["asks"]] in way["when"]))
        here = ways[-1]["go"]
    return ways


def _points(number: object) -> bool:
    return isinstance(number, Real) and not isinstance(number, bool) and -100 <= number <= 100


PLACES = 0, 2.2, 3.85, 5.45  # where forks of the first, second and third kind stand, and the ends


def _draw(axes: Axes, here: dict, so_far: tuple[str, ...], taken: list[int], said: list[str]) -> float:
    """Draw a fork, or an end, and all behind it; return its height, counted in ends."""
    box = {"boxstyle": "round,pad=0.35", "fc": "white", "lw": 1.5}
    if "asks" not in here:
        place = len(said)
        where = f"{here['notebook'][:2]}, section {here['section']}"
        said.append(f"{' → '.join(so_far)}: {here['first']} ({where})".replace("\n", " "))
        axes.text(PLACES[-1], place, here["first"], va="center", fontsize=10.5, bbox=box | {"ec": GOOD})
        axes.text(9.45, place, where.replace("section", "§"), va="center", ha="right", fontsize=10, color=GUIDE)
        return place
    heights = [_draw(axes, way["go"], (*so_far, way["say"]), taken, said) for way in here["ways"]]
    middle, x = (heights[0] + heights[-1]) / 2, PLACES[len(so_far)]
    for way, height in zip(here["ways"], heights, strict=True):
        end = PLACES[len(so_far) + 1] if "asks" in way["go"] else PLACES[-1]
        ours = id(way) in taken
        looks = {"color": "black" if ours else GUIDE, "lw": 3.5 if ours else 1, "zorder": ours}
        axes.plot([x, x + 0.62, x + 0.62, end], [middle, middle, height, height], **looks)
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(x + 0.7, height, way["say"], va="center", fontsize=10, bbox=paper)
    axes.text(x, middle, here["say"], va="center", ha="center", fontsize=10.5, bbox=box | {"ec": FLOAT})
    return middle
