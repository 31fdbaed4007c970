"""How Sphinx renders the book. Formulas become MathML, which browsers draw themselves: no script, no request."""

from pathlib import Path

import matplotlib
from docutils import nodes
from fontTools.ttLib import TTFont
from math_core import LatexToMathML

project = "qkit"
extensions = ["myst_nb", "sphinx.ext.githubpages"]
exclude_patterns = ["qkit", "tests"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 6
myst_heading_slug_func = "builtins.str"  # an anchor is its title, as in JupyterLab

html_theme = "furo"
html_title = "qkit"
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["static"]
html_css_files, html_js_files = ["book.css"], ["book.js"]
templates_path = ["templates"]
html_math_renderer = "mathml"
html_copy_source = html_show_copyright = html_show_sphinx = html_use_index = False
html_show_search_summary = False  # it would read the pages, which a browser refuses to do from file://

MATHML = LatexToMathML()
HEIGHTS = {
    "SubscriptShiftDown": 0.15,
    "SuperscriptShiftUp": 0.36,
    "SuperscriptBottomMin": 0.12,
    "SuperscriptBaselineDropMax": 0.38,
}
"""How far indices and exponents are moved, in units of the font's size."""


def inline_formula(page, node):
    """Write a formula within a line."""
    page.body.append(MATHML.convert_with_local_state(node.astext(), displaystyle=False))
    raise nodes.SkipNode


def formula(page, node):
    """Write a formula that has its own line."""
    page.body.append(MATHML.convert_with_local_state(node.astext(), displaystyle=True))
    raise nodes.SkipNode


def write_font(app, error):
    """Give the book a font with growing brackets, for computers without one: matplotlib's, its indices set better."""
    font = TTFont(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSerif.ttf"))
    for name, height in HEIGHTS.items():
        getattr(font["MATH"].table.MathConstants, name).Value = round(height * font["head"].unitsPerEm)
    font.save(Path(app.outdir, "_static/formulas.ttf"))


def setup(app):
    """Tell Sphinx of the formulas."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline_formula, None), block_renderers=(formula, None))
    app.connect("build-finished", write_font)
