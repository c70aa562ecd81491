"""Sphinx's settings for the book; `make book` copies notebooks and pages into one folder and builds it from there."""

import os
import re

import normviz

project = "normviz"
author = "normviz contributors"
copyright = "normviz contributors, MIT licence"
release = version = normviz.__version__

extensions = ["myst_nb", "normviz.book", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
language = "en"

html_theme = "pydata_sphinx_theme"
html_title = "normviz"
html_static_path = ["_static"]
html_css_files = ["book-theme.css"]
html_favicon = "_static/logo.svg"
html_extra_path = ["downloads"]
exclude_patterns = ["downloads"]
html_copy_source = False
html_show_sphinx = False
# On the disk a page may not read another, so there would be no excerpts but errors.
html_show_search_summary = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "text": "normviz"},
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "back_to_top_button": False,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "collapse_navigation": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"index": [], "**": ["sidebar-nav-bs"]}

# Notebooks come without outputs, so every page is what this version really does.
nb_execution_mode = os.environ.get("NORMVIZ_BOOK_EXECUTION", "force")
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a notebook's sections may begin where the page's title has ended

# Docstrings are read in an editor more often than here, so they are plain text with `code` in backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True


def _plain(_app: object, _what: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
    """Keep stars and bars what they are: "(N, C, *spatial)" begins no emphasis, and |S| names no substitution."""
    lines[:] = [line if ">>>" in line else re.sub(r"(?<!\\)([*|])", r"\\\1", line) for line in lines]


def setup(app: object) -> None:
    """Take docstrings as they are written."""
    app.connect("autodoc-process-docstring", _plain, priority=400)  # type: ignore[attr-defined]
