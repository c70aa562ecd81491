"""A lab's figure as HTML: named for a screen reader, with controls for the keyboard, as a page or a part of one."""

from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go

EQUIP = """{
  const chart = document.getElementById("{plot_id}");
  normvizKeys.equip(chart.closest("figure"), chart, Plotly);
}"""
"""Plotly puts the id in, and runs it when the chart is drawn."""
CONFIG = {"displaylogo": False, "showSendToCloud": False}
"""Nothing here leads to another site."""


def alt(figure: Any) -> str:
    """Return the alt text of a lab's figure."""
    return figure.layout.meta["alt"]


@cache
def keys_script() -> str:
    """Return the script that gives plotly's sliders, buttons and menus to the keyboard and to screen readers.

    It is a classic script, which also loads as a module, and needs nothing. A page that draws charts by itself loads it
    from where it keeps its scripts, and calls for each chart, once that is drawn::

        await Plotly.newPlot(chart, data, layout);
        normvizKeys.equip(figure, chart, Plotly);

    `chart` is the element that plotly drew in, `figure` a <figure> or another element around it. Each slider gets an
    <input type="range">, each row of buttons <button>s and each menu a <select>. They lie unseen over plotly's own, do
    the same, follow it when it is used, and show by a ring where the focus is. From `layout.meta` come the figure's
    label ("alt") and a caption for listeners ("caption"). equip returns a function that takes all this away.
    """
    return (files("normviz.labs") / "keys.js").read_text(encoding="utf-8")


def to_html(figure: go.Figure, **options: Any) -> str:
    """Return plotly's own HTML within a <figure> that a screen reader names by its alt text and the keyboard can use.

    Parameters
    ----------
    figure
        A lab's.
    options
        As plotly.graph_objects.Figure.to_html takes: include_plotlyjs=True makes it stand alone, and full_html=True a
        page.
    """
    whole = options.pop("full_html", False)
    given = {"include_plotlyjs": True, **options, "config": CONFIG | (options.get("config") or {})}
    after = given.pop("post_script", None) or []
    given["post_script"] = [EQUIP, *([after] if isinstance(after, str) else after)]
    inside = figure.to_html(full_html=False, **given)
    label = escape(alt(figure), quote=True)
    part = f'<figure aria-label="{label}" style="margin:0"><script>{keys_script()}</script>{inside}</figure>'
    if not whole:
        return part
    title = figure.layout.title.text.removeprefix("<b>").removesuffix("</b>").replace("<br>", " ")
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><body><main>{part}</main></body></html>"
    )
