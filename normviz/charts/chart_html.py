"""A lab's chart as HTML with an alt text and controls for the keyboard, as a page or as a part of one."""

import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go

from normviz.core.errors import brief
from normviz.explorer.plotly_figure import plain
from normviz.explorer.validation import drawable

EQUIP = """{
  const chart = document.getElementById("{plot_id}");
  normvizKeys.equip(chart.closest("figure"), chart, Plotly);
}"""
"""Plotly inserts the id, and runs the script once the chart is drawn."""
CONFIG = {"displaylogo": False, "showSendToCloud": False}
"""The chart links to no other site."""


def alt(figure: Any) -> str:
    """Return the alt text of a lab's figure.

    Raises
    ------
    ValueError
        If the figure has none, because no lab made it.
    """
    meta = figure.layout.meta
    if not isinstance(meta, dict) or not isinstance(text := meta.get("alt"), str):
        raise ValueError('the figure has no alt text; set figure.layout.meta = {"alt": "..."}')
    return text


@cache
def keys_script() -> str:
    """Return the script that makes plotly's sliders, buttons and menus usable with a keyboard and a screen reader.

    It is a classic script without dependencies that can also be loaded as a module. A page that draws its charts itself
    loads it and calls for each chart, once that is drawn::

        await Plotly.newPlot(chart, data, layout);
        normvizKeys.equip(figure, chart, Plotly);

    `chart` is the element that plotly drew in, `figure` a <figure> or another element around it. Each slider gets an
    <input type="range">, each row of buttons <button>s and each menu a <select>. These lie invisibly over plotly's own
    controls, have the same effect, stay in step with them, and show the focus by a ring. `layout.meta` gives the
    figure's label ("alt") and a caption for screen readers ("caption"). equip returns a function that removes all this.
    """
    return (files("normviz.charts") / "keys.js").read_text(encoding="utf-8")


def to_html(figure: go.Figure, **options: Any) -> str:
    """Return a lab's figure as plotly's HTML within a <figure> that has an alt text and works with the keyboard.

    Parameters
    ----------
    figure
        A figure of a lab.
    options
        Those of plotly.graph_objects.Figure.to_html: include_plotlyjs=True makes the HTML self-contained, and
        full_html=True makes it a page.

    Raises
    ------
    ValueError
        If the figure has no alt text, or div_id is no id.
    """
    full = options.pop("full_html", False)
    given = {"include_plotlyjs": True, **options, "config": CONFIG | (options.get("config") or {})}
    div_id = given.get("div_id")
    if div_id is not None and not (isinstance(div_id, str) and re.fullmatch(r"[\w:.-]+", div_id)):
        raise ValueError(f"div_id={brief(div_id)} is not an id; use letters, digits, -, _, : and .")
    after = given.pop("post_script", None) or []
    given["post_script"] = [EQUIP, *([after] if isinstance(after, str) else after)]
    label = escape(drawable(alt(figure)))
    chart = figure.to_html(full_html=False, **given)
    # On a narrower page the chart scrolls in its own place.
    style = "margin:0;overflow:auto hidden"
    part = f'<figure aria-label="{label}" style="{style}"><script>{keys_script()}</script>{chart}</figure>'
    if not full:
        return part
    layout: Any = figure.layout
    title = escape(drawable(plain(layout.title.text or "")))
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><body><main>{part}</main></body></html>"
    )
