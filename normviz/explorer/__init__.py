"""The explorer: one scene computed in Python, one front-end that runs in a notebook, in a saved one and in a page."""

from normviz.explorer.compare import Compared, compare_methods
from normviz.explorer.page import Shown, show, to_html
from normviz.explorer.widget import Explorer
from normviz.explorer.worksheets import worksheet

__all__ = ["Compared", "Explorer", "Shown", "compare_methods", "show", "to_html", "worksheet"]
