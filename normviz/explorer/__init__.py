"""The explorer: one scene computed in Python, one front-end that runs in a notebook, in a saved one and in a page."""

from normviz.explorer.page import Shown, show, to_html
from normviz.explorer.widget import Explorer

__all__ = ["Explorer", "Shown", "show", "to_html"]
