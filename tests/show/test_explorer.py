"""The engine: controls move, a picture and words follow, mistakes are said and never lost."""

import base64
import html
import re
from unittest.mock import MagicMock, patch

import numpy as np
import pytest
from ipywidgets import Widget

from qkit.show.explorer import Explorer, choice, slider, span, stops, switch


def shown(explorer):
    """Return picture, alternative text and the line under it as the browser gets them, and the HTML of that line."""
    state = Widget.get_manager_state()["state"]

    def below(model):
        yield state[model]
        for child in state[model]["state"].get("children", []):
            yield from below(child.removeprefix("IPY_MODEL_"))

    view = explorer._repr_mimebundle_()[0]["application/vnd.jupyter.widget-view+json"]
    models = below(view["model_id"])
    picture, line = (model["state"]["value"] for model in models if model["model_name"] == "HTMLModel")
    data = base64.b64decode(re.search('base64,([^"]+)"', picture)[1])
    alternative = html.unescape(re.search('alt="([^"]*)"', picture)[1])
    return data, alternative, html.unescape(re.sub("<[^>]*>", "", line)), picture + line


def draw(bits, gain, ends, loud):
    """A stand-in for an explorer's picture: the words are the values, and three bits cannot be drawn."""
    if bits == 3:
        raise ValueError('three <b>bits</b> are "odd"')
    words = f"{bits} bits & {gain:g} from {ends[0]:g} to {ends[1]:g} <{'loud' if loud else 'quiet'}>"
    return b"\x89PNG" + words.encode(), words


def test_a_choice_takes_its_values_and_shows_their_names():
    controls = {"method": choice("method", "which one", "mse", {"mse": "least squares", "kl": "divergence"})}
    explorer = Explorer(controls, lambda method: (b"", f"by {method}"), (9, 9))
    assert explorer.set(method="kl").words == "by kl"
    assert explorer.controls["method"].label == "divergence"
    for wrong in ("divergence", 1, None, np.zeros(2)):
        with pytest.raises(ValueError, match="method must be one of 'mse', 'kl', got"):
            explorer.set(method=wrong)
    assert explorer.values == {"method": "kl"}
    explorer.controls["method"].index = 0  # as the browser does
    assert explorer.words == "by mse"


@pytest.fixture
def explorer():
    controls = {
        "bits": slider("bits", "how many bits", 4, 2, 8),
        "gain": slider("gain", "how much", 0.5, 0, 2, step=0.1),
        "ends": span("ends", "from where to where", (-1, 1), -2, 2, step=0.1),
        "loud": switch("loud", "or quiet", False),
    }
    return Explorer(controls, draw, (400, 200))


def test_a_message_of_a_control_does_not_end_like_a_cell(explorer):
    """A cell's end makes matplotlib's inline backend close the figures that another thread is drawing."""
    data = {"method": "update", "state": {"value": 6}, "buffer_paths": []}
    shell = MagicMock()
    with patch("IPython.get_ipython", lambda: shell):
        explorer.controls["bits"].comm.handle_msg({"content": {"data": data}, "buffers": []})
    assert explorer.values["bits"] == 6
    assert not shell.events.trigger.called


def test_start_values_are_checked(explorer):
    controls = {"bits": slider("bits", "how many bits", 4, 2, 8)}
    assert Explorer(controls, lambda bits: (b"", f"{bits} bits"), (9, 9), {"bits": 7}).words == "7 bits"
    with pytest.raises(ValueError, match="bits must be a whole number from 2 to 8, got 9"):
        Explorer(controls, lambda bits: (b"", f"{bits} bits"), (9, 9), {"bits": 9})


def test_stops_are_numbers_that_are_not_evenly_spaced():
    explorer = Explorer(
        {"share": stops("share", "how many", 99.9, {95.0: "95", 99.9: "99.9", 100.0: "100"})},
        lambda share: (b"", f"{share:g} %"),
        (9, 9),
    )
    assert explorer.words == "99.9 %"
    assert explorer.set(share=np.int64(95)).values == {"share": 95.0}
    for wrong in (99, "95", None, (95.0, 100.0)):
        with pytest.raises(ValueError, match=r"share must be one of 95.0, 99.9, 100.0, got"):
            explorer.set(share=wrong)
    explorer.controls["share"].index = 2  # as the browser does
    assert explorer.words == "100 %"


def test_stops_may_be_pairs_with_names():
    control = stops("bits", "weights / activations", (2, 8), {(2, 8): "2 / 8", (4, 4): "4 / 4"})
    explorer = Explorer({"bits": control}, lambda bits: (b"", f"{bits[0]} and {bits[1]}"), (9, 9))
    assert explorer.set(bits=(4, 4)).words == "4 and 4"
    assert control.label == "4 / 4"
    for wrong in ("4 / 4", (4, 8), [4, 4], 4):
        with pytest.raises(ValueError, match=r"bits must be one of \(2, 8\), \(4, 4\), got"):
            explorer.set(bits=wrong)
    control.index = 0  # as the browser does
    assert explorer.words == "2 and 8"


def test_picture_words_and_alternative_text_say_the_same(explorer):
    words = "4 bits & 0.5 from -1 to 1 <quiet>"
    assert explorer.words == repr(explorer) == words
    assert shown(explorer)[:3] == (b"\x89PNG" + words.encode(), words, words)
    assert explorer.png() == shown(explorer)[0]
    assert 'width="400" height="200"' in shown(explorer)[3]  # the room for the picture is kept


def test_every_control_moves_the_picture(explorer):
    seen = {explorer.words}
    for name, value in {"bits": 5, "gain": 1.5, "ends": (0, 1), "loud": True}.items():
        explorer.controls[name].value = value
        assert shown(explorer)[1] == explorer.words
        seen.add(explorer.words)
    assert len(seen) == 5


def test_set_moves_all_controls_and_draws_once(explorer):
    drawn = []

    def update(**values):
        drawn.append(values)
        return draw(**values)

    explorer = Explorer(explorer.controls, update, (400, 200))
    drawn.clear()
    assert explorer.set(bits=np.int64(8), gain=np.float32(2), ends=[0, 2], loud=np.True_) is explorer
    assert drawn == [{"bits": 8, "gain": 2, "ends": (0, 2), "loud": True}]
    assert explorer.values == drawn[0]
    assert explorer.words == "8 bits & 2 from 0 to 2 <loud>"


REFUSED = [
    ({"bit": 4}, "there is no control 'bit'; this explorer has bits, gain, ends, loud"),
    ({"bits": 9}, "bits must be a whole number from 2 to 8, got 9"),
    ({"bits": 2.5}, "bits must be a whole number from 2 to 8, got 2.5"),
    ({"bits": True}, "bits must be a whole number from 2 to 8, got True"),
    ({"bits": "4"}, "bits must be a whole number from 2 to 8, got '4'"),
    ({"gain": -0.1}, "gain must be a number from 0 to 2, got -0.1"),
    ({"gain": float("nan")}, "gain must be a number from 0 to 2, got nan"),
    ({"ends": 1}, "ends must be a pair (low, high) from -2 to 2, got 1"),
    ({"ends": (1, -1)}, "ends must be a pair (low, high) from -2 to 2, got (1, -1)"),
    ({"ends": (-3, 1)}, "ends must be a pair (low, high) from -2 to 2, got (-3, 1)"),
    ({"ends": ("a", "b")}, "ends must be a pair (low, high) from -2 to 2, got ('a', 'b')"),
    ({"loud": "no"}, "loud must be True or False, got 'no'"),
]


def test_set_refuses_what_a_control_does_not_offer(explorer):
    before = explorer.values
    for values, message in REFUSED:
        with pytest.raises(ValueError, match=re.escape(message)):
            explorer.set(**{"gain": 1, **values})
        assert explorer.values == before


def test_an_error_in_a_callback_is_shown_and_the_picture_stays(explorer):
    before = shown(explorer)
    explorer.controls["bits"].value = 3
    picture, alternative, text, code = shown(explorer)
    assert (picture, alternative) == before[:2]
    assert text.startswith('This setting cannot be drawn: three <b>bits</b> are "odd".')
    assert 'class="qkit-problem"' in code and "<b>" not in code
    assert isinstance(explorer.error, ValueError)
    assert "cannot be drawn" in repr(explorer)
    explorer.controls["bits"].value = 4
    assert shown(explorer) == before
    assert explorer.error is None


def test_an_error_in_set_is_raised_and_nothing_moves(explorer):
    before, values = shown(explorer), explorer.values
    with pytest.raises(ValueError, match="odd"):
        explorer.set(bits=3, loud=True)
    assert (shown(explorer), explorer.values) == (before, values)
    explorer.controls["loud"].value = True
    assert explorer.words.endswith("<loud>")


def test_an_error_while_building_is_raised():
    with pytest.raises(ValueError, match="odd"):
        Explorer({"bits": slider("bits", "", 3, 2, 8)}, lambda bits: draw(bits, 0, (0, 0), False), (1, 1))


def test_one_output_holds_widget_picture_and_text(explorer):
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert data["image/png"] == explorer.png()
    assert data["text/plain"].splitlines()[0] == explorer.words
    assert "bits, gain, ends, loud" in data["text/plain"]
    assert metadata == {"image/png": {"alt": explorer.words}}


def test_every_control_has_a_label_and_a_tooltip(explorer):
    for control in explorer.controls.values():
        assert control.description
        assert control.tooltip


def test_stops_take_numbers_and_words():
    options = {2: "2", 8: "8", "float": "in float"}
    explorer = Explorer({"bits": stops("bits", "how many bits", 8, options)}, lambda bits: (b"", f"{bits}"), (9, 9))
    assert explorer.set(bits="float").words == "float"
    explorer.controls["bits"].index = 0  # as the browser does
    assert explorer.words == "2"
    for wrong in (3, "2", None, 2.5):
        with pytest.raises(ValueError, match="bits must be one of 2, 8, 'float', got"):
            explorer.set(bits=wrong)
