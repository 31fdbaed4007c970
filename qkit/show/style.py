"""One look for every picture: colours with one meaning each, text at reading size.

Colours are from the Okabe-Ito palette, which people with any kind of colour vision can tell apart; a line
style, marker or hatch always says the same thing a second time.
"""

FLOAT = "#0072B2"
QUANTIZED = "#E69F00"
QUANTIZED_TEXT = "#8F6200"  # the same hue, dark enough to read
CLIPPED = "#CC79A7"
CLIPPED_TEXT = "#A0487A"  # as above
ERROR = "#D55E00"
GOOD = "#009E73"
GUIDE = "#666666"

RC = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
"""matplotlib settings; used through ``rc_context`` so that a learner's own figures stay as they are."""
