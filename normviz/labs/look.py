"""How the charts of the labs look: one template, light and dark, and where title, controls and caption go.

A figure is drawn for a width and stacks, from the top: title, buttons, legend, plot, slider, caption. `finish` finds
the heights and sets them. Everything a control changes is in the figure, so no kernel is asked.
"""

import math
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz.explorer.svg.palette import DARK as EXPLORER_DARK
from normviz.explorer.svg.palette import LIGHT as EXPLORER_LIGHT
from normviz.labs.page import alt as alt
from normviz.labs.page import keys_script as keys_script
from normviz.labs.page import to_html as to_html

COLOURS = {
    "blue": "#2f7de1",
    "orange": "#d9730d",
    "green": "#1a9a68",
    "pink": "#c65aa0",
    "grey": "#7d8694",
    "red": "#d9534a",
}
"""After Okabe & Ito 2008; 3 : 1 against the light and the dark page alike."""
METHODS = {"batch": "blue", "layer": "orange", "instance": "green", "group": "pink", "positional": "grey"}
"""Which of them a method has in every lab."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
"""Colour alone must not tell lines apart."""
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
NARROW = 640
"""Pixels: below this, panels are stacked."""
LETTER = 6.3
"""Pixels: the widest that a letter of a caption is on average."""
LINE, BUTTONS, AXIS, SLIDER = 17, 38, 50, 90
NOT_NEEDED = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]
"""Of plotly's own small buttons: a drag zooms and a double click goes back; what is left takes a picture."""


def template(dark: bool = False) -> go.layout.Template:
    """Return the template, light or dark."""
    on = EXPLORER_DARK if dark else EXPLORER_LIGHT
    axis = {
        "gridcolor": on["rule"],
        "linecolor": on["muted"],
        "zerolinecolor": on["rule"],
        "zerolinewidth": 1,
        "showline": True,
        "ticks": "outside",
        "tickcolor": on["muted"],
        "title": {"font": {"size": 13}, "standoff": 8},
        "automargin": False,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": on["ink"]},
            "paper_bgcolor": on["card"],
            "plot_bgcolor": on["card"],
            "colorway": list(COLOURS.values()),
            "xaxis": axis,
            "yaxis": axis,
            "modebar": {"color": on["muted"], "activecolor": on["ink"], "bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {"bgcolor": on["panel"], "bordercolor": on["rule"], "font": {"color": on["ink"]}},
            "annotationdefaults": {"font": {"color": on["ink"]}, "showarrow": False},
            "sliderdefaults": {
                "bgcolor": on["rule"],
                "activebgcolor": on["accent"],
                "bordercolor": on["muted"],
                "tickcolor": on["muted"],
                "font": {"color": on["ink"]},
            },
            # plotly paints the pressed button almost white in every template, so the text on it has to be dark.
            "updatemenudefaults": {"bgcolor": "#e3e8ee", "bordercolor": "#8a94a3", "font": {"color": "#14181f"}},
        }
    )


def slider(steps: Sequence[dict[str, Any]], prefix: str, active: int = 0, suffix: str = "") -> dict[str, Any]:
    """Return a slider of `step`s; `prefix` stands before the label of the one chosen."""
    return {
        "steps": list(steps),
        "active": active,
        "currentvalue": {"prefix": prefix, "suffix": suffix, "font": {"size": 14}, "xanchor": "left"},
        "xanchor": "left",
        "yanchor": "top",
        "x": 0,
        "y": 0,
        "len": 1,
    }


def step(
    label: str, traces: dict[str, list] | None = None, indices: Iterable[int] = (), **layout: Any
) -> dict[str, Any]:
    """Return one step of a slider, or one button.

    Parameters
    ----------
    label
        What it is called.
    traces
        What it sets in the traces `indices`: {"y": [one entry a trace]}. Everything has to be a list or a string.
    indices
        The traces.
    layout
        What it sets in the layout, with two underscores for a dot: xaxis__title__text="G".
    """
    changed = {key.replace("__", "."): value for key, value in layout.items()}
    return {"label": label, "method": "update", "args": [traces or {}, changed, list(indices)]}


def buttons(steps: Sequence[dict[str, Any]], name: str, active: int = 0, *, menu: bool = False) -> dict[str, Any]:
    """Return a row of buttons, or a menu, of `step`s; `name` says to who does not see it what they choose."""
    return {
        "name": name,
        "buttons": list(steps),
        "active": active,
        "type": "dropdown" if menu else "buttons",
        "direction": "down" if menu else "right",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
    }


def broken(text: str, width: float, letter: float = LETTER) -> str:
    """Return text with a <br> where a line of `width` pixels is full."""
    return "<br>".join(wrap(text, max(20, int(width / letter))))


def finish(
    figure: Any,
    title: str,
    caption: str,
    alt: str,
    *,
    width: int = 900,
    height: int = 340,
    left: int = 64,
    right: int = 20,
    subplot_titles: bool = False,
    above: int = 0,
    names: Sequence[str] | None = None,
) -> go.Figure:
    """Give a figure its template, title, caption and alt text, and room for all that is around the plot.

    Parameters
    ----------
    figure
        With its traces, axes, sliders and buttons (at most one of each) in place.
    title, caption
        Shown above and under the chart, broken into lines that fit.
    alt
        What the picture shows, for who does not see it: `layout.meta["alt"]`, and `to_html` says it aloud.
    width, height
        Pixels, of the whole figure, and of the plot alone; with stacked panels, of all of them.
    left, right
        Pixels beside the plot.
    subplot_titles
        Whether titles stand above the panels.
    above
        Pixels kept free between legend and plot, for an annotation.
    names
        The longest legend of any state, where that is not the first one's.
    """
    # Beside the title there is room for the switch, and for plotly's button that takes a picture.
    narrow = width < NARROW
    title_lines = broken(title, width - (108 if narrow else 172), 9.6)
    caption_lines = broken(caption, width - 28)
    menus = list(figure.layout.updatemenus)
    rows = _legend_rows(figure, width - left - right, names)
    legend = 24 * rows + (8 if rows else 0)
    over = above + (22 if subplot_titles else 8)
    top = 18 + 22 * (title_lines.count("<br>") + 1) + (BUTTONS if menus else 0) + legend + over
    has_slider = bool(figure.layout.sliders)
    under = AXIS + (SLIDER if has_slider else 0)
    bottom = under + LINE * (caption_lines.count("<br>") + 1) + 14
    switch = {
        "name": "Dark / light",
        "type": "buttons",
        "showactive": False,
        "active": -1,  # a press of an active button takes args2
        "buttons": [
            {
                "label": "◐" if narrow else "◐ Dark / light",
                "method": "relayout",
                "args": [{"template": template(dark=True).to_plotly_json()}],
                "args2": [{"template": template().to_plotly_json()}],
            }
        ],
        "x": 1,
        "xanchor": "right",
        "y": 1,
        "yanchor": "top",
        "pad": {"t": -(top - 8), "r": 46 - right},
        "font": {"size": 11},
    }
    if subplot_titles:
        figure.update_annotations(font_size=13)
    for menu in menus:
        menu.pad = {"l": 12 - left, "b": legend + over}
    figure.update_layout(
        template=template(),
        width=width,
        height=top + height + bottom,
        margin={"l": left, "r": right, "t": top, "b": bottom},
        title={
            "text": f"<b>{title_lines}</b>",
            "font": {"size": 16},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 14, "t": 14 + 11 * title_lines.count("<br>")},
        },
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1 + over / height,
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        updatemenus=[*menus, switch],
        modebar={"remove": [*NOT_NEEDED, "sendChartToCloud"]},
        meta={"alt": alt, "caption": caption},
    )
    for one in figure.layout.sliders:
        one.pad = {"l": 0, "r": 0, "t": AXIS + 2}
    x = {"x": 0, "xref": "paper", "xanchor": "left", "xshift": 14 - left}
    y = {"y": 0, "yref": "paper", "yanchor": "top", "yshift": -under}
    figure.add_annotation(text=caption_lines, name="caption", align="left", showarrow=False, font_size=12, **x, **y)
    return figure


def _legend_rows(figure: Any, span: float, names: Sequence[str] | None = None) -> int:
    """Return how many rows plotly will need for the legend."""
    names = names or [
        str(t.name)
        for t in figure.data
        if getattr(t, "showlegend", False) is not False and t.name and t.visible is not False
    ]
    if not names or figure.layout.showlegend is False or len(names) == 1:
        return 0
    long = [len(name) * 6.4 + 42 for name in names]
    return 1 if sum(long) <= span else math.ceil(len(names) / max(1, span // max(long)))


def panels(count: int, stacked: bool, titles: Sequence[str], gap: float | None = None) -> go.Figure:
    """Return a figure of `count` panels side by side or, on a narrow page, stacked."""
    rows, columns = (count, 1) if stacked else (1, count)
    return make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(titles),
        horizontal_spacing=(0.11 if gap is None else gap) if columns > 1 else 0,
        vertical_spacing=0.34 / rows if rows > 1 else 0,
    )


def place(panel: int, stacked: bool) -> dict[str, Any]:
    """Return the row and column of a panel of `panels`."""
    return {"row": panel + 1, "col": 1} if stacked else {"row": 1, "col": panel + 1}


def rounded(values: Any, digits: int = 4) -> list[float | None]:
    """Return values as a list of `digits` digits, None where not finite, so that a figure stays small."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in map(float, values)]


def log_ticks(values: Any) -> dict[str, Any]:
    """Return ticks for a logarithmic axis over all values: 1, 2, 5 a decade, or decades alone where there are many.

    >>> log_ticks([0.05, 0.3])["ticktext"]
    ['0.02', '0.05', '0.1', '0.2', '0.5']
    """
    good = [float(v) for v in values if math.isfinite(v) and v > 0] or [1.0]
    low, high = math.floor(math.log10(min(good))), math.ceil(math.log10(max(good)))
    digits = (1, 2, 5) if high - low <= 3 else (1,)
    every = [float(f"{d}e{e}") for e in range(low, high + 1) for d in digits]
    shown = [v for v in every if min(good) / 2.5 <= v <= max(good) * 2.5] or every
    return {"tickvals": shown, "ticktext": [f"{v:g}" for v in shown]}
