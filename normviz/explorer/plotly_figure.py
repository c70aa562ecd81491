"""What all plotly figures here have in common: their usual width, and words where no program draws them."""

from __future__ import annotations

import re
from html import unescape
from importlib.util import find_spec
from textwrap import fill
from typing import Any

import plotly.graph_objects as go

from normviz.explorer.sentences import say

WIDTH = 760
"""Pixels of a figure whose width is not given: the output of a notebook is hardly narrower beside a file browser."""
TAG = re.compile(r"</?(?:[abiu]|em|su[bp]|span)\b[^<>]*>")
"""What plotly reads as a tag in a text, beside <br>."""
COLUMNS = 100
"""Letters in a line of words."""


def plain(markup: str) -> str:
    """A text of plotly without its tags."""
    return unescape(TAG.sub("", markup.replace("<br>", " "))).strip()


def in_words(figure: go.Figure) -> str:
    """Title, alt text and caption of a figure, and what draws it; "" for a figure without an alt text."""
    layout: Any = figure.layout
    meta = layout.meta if isinstance(layout.meta, dict) else {}
    if not meta.get("alt"):
        return ""
    texts = plain(layout.title.text or ""), meta["alt"], meta.get("caption"), say("cube.undrawn")
    return "\n\n".join(fill(text, COLUMNS) for text in texts if text)


class Figure(go.Figure):
    """A plotly figure that has words beside plotly's data in a notebook, and is shown without nbformat, as in Pyodide.

    Plotly's data can only be drawn where its renderer is installed. The words are plain text, which a program takes if
    it knows nothing better: JupyterLab keeps a picture of each figure in a saved notebook, which stays first.
    """

    # By this name shinywidgets and Streamlit know plotly's figures.
    __module__ = go.Figure.__module__

    def __reduce__(self) -> Any:
        # pickle does not find the class by that name.
        return again, super().__reduce__()[1]

    def _ipython_display_(self) -> None:
        import plotly.io as pio
        from IPython.display import display
        from plotly.io.base_renderers import PlotlyRenderer

        named = pio.renderers.default.split("+") if pio.renderers.default else []
        alone = named and all(isinstance(pio.renderers[name], PlotlyRenderer) for name in named)
        words = in_words(self)
        if alone and words and pio.renderers.render_on_display:
            display({**self._repr_mimebundle_(), "text/plain": words}, raw=True)
        elif find_spec("nbformat") is None:  # of which plotly reads the version alone
            raise NotImplementedError  # IPython then shows what `_repr_mimebundle_` gives
        else:
            super()._ipython_display_()


def again(properties: dict[str, Any]) -> Figure:
    """The figure with these properties, for pickle."""
    return Figure(properties)
