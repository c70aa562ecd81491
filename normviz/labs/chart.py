"""Parts of the labs' charts: template, panels, traces, controls, and room for title, controls and caption.

A figure is drawn for a width and stacks, from the top: title, buttons, legend, plot, slider, caption. `finish` computes
the heights. A figure contains everything that its controls change, so that it works without a kernel.
"""

import math
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz.explorer.constants import DARK as EXPLORER_DARK
from normviz.explorer.constants import LIGHT as EXPLORER_LIGHT
from normviz.explorer.plotly_figure import Figure
from normviz.explorer.svg.palette import HIGH, LOW, MIDDLE, hexed

COLOURS = {"blue": "#2f7de1", "orange": "#d9730d", "green": "#1a9a68"}
COLOURS |= {"pink": "#c65aa0", "grey": "#7d8694", "red": "#d9534a"}
"""After Okabe & Ito 2008; a contrast of at least 3 : 1 on the light and on the dark page."""
METHOD_COLOURS = {"batch": "blue", "layer": "orange", "instance": "green", "group": "pink", "positional": "grey"}
"""The colour of a method, the same in every lab."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
"""Lines must be distinguishable without colour."""
DIVERGING: dict[str, Any] = {"colorscale": [[0, hexed(LOW)], [0.5, hexed(MIDDLE)], [1, hexed(HIGH)]]}
DIVERGING |= {"showscale": False}
"""A heat map's scale: teal below 0, plum above."""
NO_TICKS: dict[str, Any] = {"showticklabels": False, "ticks": "", "showgrid": False}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
NARROW = 640
"""Pixels: below this width, panels are stacked."""
LETTER = 6.3
"""Pixels: the largest average width of a letter of a caption."""
LINE, BUTTONS, AXIS, SLIDER = 17, 38, 50, 90
"""Pixels: heights of a caption's line, a row of buttons, an axis with its title, and a slider."""
NOT_NEEDED = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]
NOT_NEEDED += ["sendChartToCloud"]
"""Of plotly's toolbar only the button that saves a picture stays; dragging zooms and a double click zooms out."""


def template(dark: bool = False) -> go.layout.Template:
    """Return the light or the dark template."""
    on = EXPLORER_DARK if dark else EXPLORER_LIGHT
    rule, text, ticks = on["line"], {"font": {"color": on["ink"]}}, {"tickcolor": on["muted"]}
    axis = {"gridcolor": rule, "zerolinecolor": rule, "zerolinewidth": 1, "showline": True, "linecolor": on["muted"]}
    axis |= {"ticks": "outside", **ticks, "title": {"font": {"size": 13}, "standoff": 8}, "automargin": False}
    slider = {"bgcolor": rule, "activebgcolor": on["accent"], "bordercolor": on["muted"], **ticks, **text}
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": on["ink"]},
            "paper_bgcolor": on["page"],
            "plot_bgcolor": on["page"],
            "colorway": list(COLOURS.values()),
            "xaxis": axis,
            "yaxis": axis,
            "modebar": {"color": on["muted"], "activecolor": on["ink"], "bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {"bgcolor": on["card"], "bordercolor": on["line"], **text},
            "annotationdefaults": {**text, "showarrow": False},
            "sliderdefaults": slider,
            # Plotly draws a pressed button almost white in every template, so the text on it must be dark.
            "updatemenudefaults": {"bgcolor": "#e3e8ee", "bordercolor": "#8a94a3", "font": {"color": "#14181f"}},
        }
    )


def panels(
    titles: Sequence[str], width: int, *, gap: float = 0.11, stacked_gap: float | None = None
) -> tuple[Any, list[dict[str, Any]]]:
    """Return a figure of panels, side by side or, on a narrow page, stacked; and the row and column of each.

    `gap` and `stacked_gap` are the space between two panels, as shares of the figure's width and height.
    """
    count = len(titles)
    rows, cols = (count, 1) if width < NARROW else (1, count)
    vertical = 0.34 / count if stacked_gap is None else stacked_gap
    spacing: dict[str, Any] = {"horizontal_spacing": gap, "vertical_spacing": vertical}
    places = [{"row": row + 1, "col": col + 1} for row in range(rows) for col in range(cols)]
    figure = make_subplots(rows=rows, cols=cols, **spacing, subplot_titles=list(titles), figure=Figure())
    return figure, places


def line(k: int, colour: str, *, size: int = 8, line_width: float = 2) -> dict[str, Any]:
    """Return the style of the k-th line of a chart: joined marks with a dash and a symbol of its own."""
    return {
        "mode": "lines+markers",
        "line": {"color": COLOURS[colour], "width": line_width, "dash": DASHES[k % len(DASHES)]},
        "marker": {"symbol": SYMBOLS[k % len(SYMBOLS)], "size": size},
    }


def step(label: str, traces: dict[str, list], indices: Iterable[int], **layout: Any) -> dict[str, Any]:
    """Return one step of a slider, or one button.

    It sets `traces` in the traces `indices`, {"y": [one entry per trace]}, where an entry must be a list or a string,
    and None leaves the trace as it is; and `layout`, with two underscores for a dot: xaxis__title__text="G".
    """
    changed = {key.replace("__", "."): value for key, value in layout.items()}
    return {"label": label, "method": "update", "args": [traces, changed, list(indices)]}


def add_slider(figure: Any, steps: Sequence[dict[str, Any]], prefix: str, active: int = 0) -> None:
    """Add a slider of `step`s and show the active one; `prefix` stands before its label."""
    value = {"prefix": prefix, "suffix": "", "font": {"size": 14}, "xanchor": "left"}
    slider = {"steps": list(steps), "active": active, "currentvalue": value, "len": 1, **_at(0, "left", 0, "top")}
    figure.update_layout(sliders=[slider])
    _show(figure, steps[active])


def add_buttons(figure: Any, steps: Sequence[dict[str, Any]], name: str, *, menu: bool = False) -> None:
    """Add a row of buttons, or a menu, of `step`s and show the first; `name` tells screen readers what they choose."""
    kind = {"type": "dropdown", "direction": "down"} if menu else {"type": "buttons", "direction": "right"}
    buttons = {"name": name, "buttons": list(steps), "active": 0, **kind, **_at(0, "left", 1, "bottom")}
    figure.update_layout(updatemenus=[buttons])
    _show(figure, steps[0])


def _at(x: float, xanchor: str, y: float, yanchor: str) -> dict[str, Any]:
    return {"x": x, "xanchor": xanchor, "y": y, "yanchor": yanchor}


def _show(figure: Any, step: dict[str, Any]) -> None:
    """Set traces and layout as a step of a slider or a button would."""
    traces, layout, indices = step["args"]
    for key, values in traces.items():
        for index, value in zip(indices, values, strict=True):
            if value is not None:
                figure.data[index][key] = value
    for path, value in layout.items():
        figure.layout[path] = value


def broken(text: str, width: float, letter: float = LETTER) -> str:
    """Return text with a <br> where a line of `width` pixels is full."""
    return "<br>".join(wrap(text, max(20, int(width / letter))))


def finish(
    figure: Any, title: str, caption: str, alt: str, *, width: int, height: int | tuple[int, int] = 340,
    left: int = 64, right: int = 20, above: int | None = None, axis: int = AXIS,
    names: Sequence[str] | None = None,
) -> go.Figure:  # fmt: skip
    """Add template, title, caption and alt text to a figure, and set its size and margins, all in pixels.

    Parameters
    ----------
    figure
        A figure with its traces, axes, slider and buttons (at most one row or menu).
    title, caption
        Shown above and under the chart, broken into lines that fit.
    alt
        The alt text, kept as `layout.meta["alt"]`; `chart_html.to_html` puts it on the page.
    width, left, right
        Width of the figure, and margins.
    height
        Height of the plot without margins, or its heights on a wide and on a narrow page.
    above
        Pixels between legend and plot for an annotation; None keeps room for the titles of panels, if there are any.
    axis
        Pixels below the plot for the lowest axis, its ticks and its title.
    names
        The longest legend of all states, if that is not the first state's.
    """
    # Beside the title stand the switch and plotly's button that saves a picture.
    narrow = width < NARROW
    if isinstance(height, tuple):
        height = height[narrow]
    panel_titles = above is None and bool(figure.layout.annotations)
    title_lines = broken(title, width - (108 if narrow else 172), 9.6)
    caption_lines = broken(caption, width - 28)
    menus = list(figure.layout.updatemenus)
    rows = _legend_rows(figure, width - left - right, names)
    legend_height = 24 * rows + (8 if rows else 0)
    over = (above or 0) + (22 if panel_titles else 8)
    top = 18 + 22 * (title_lines.count("<br>") + 1) + (BUTTONS if menus else 0) + legend_height + over
    under = axis + (SLIDER if figure.layout.sliders else 0)
    bottom = under + LINE * (caption_lines.count("<br>") + 1) + 14
    dark, light = ([{"template": template(dark).to_plotly_json()}] for dark in (True, False))
    button = {"label": "◐" if narrow else "◐ Dark / light", "method": "relayout", "args": dark, "args2": light}
    # -1, because pressing an active button applies args2.
    switch = {"name": "Dark / light", "type": "buttons", "showactive": False, "active": -1, "buttons": [button]}
    switch |= {"pad": {"t": -(top - 8), "r": 46 - right}, "font": {"size": 11}, **_at(1, "right", 1, "top")}
    if panel_titles:
        figure.update_annotations(font_size=13)
    for menu in menus:
        menu.pad = {"l": 12 - left, "b": legend_height + over}
    heading = {"text": f"<b>{title_lines}</b>", "font": {"size": 16}, **_at(0, "left", 1, "top")}
    heading |= {"xref": "container", "yref": "container", "pad": {"l": 14, "t": 14 + 11 * title_lines.count("<br>")}}
    legend = {"orientation": "h", "itemclick": False, "itemdoubleclick": False}
    figure.update_layout(
        {"width": width, "height": top + height + bottom, "margin": {"l": left, "r": right, "t": top, "b": bottom}},
        template=template(),
        title=heading,
        legend=legend | _at(0, "left", 1 + over / height, "bottom"),
        updatemenus=[*menus, switch],
        modebar={"remove": NOT_NEEDED},
        meta={"alt": alt, "caption": caption},
    )
    for slider in figure.layout.sliders:
        slider.pad = {"l": 0, "r": 0, "t": axis + 2}
    place = {"xref": "paper", "yref": "paper", "xshift": 14 - left, "yshift": -under, **_at(0, "left", 0, "top")}
    figure.add_annotation(text=caption_lines, name="caption", align="left", showarrow=False, font_size=12, **place)
    return figure


def _legend_rows(figure: Any, span: float, names: Sequence[str] | None) -> int:
    """Return how many rows the legend needs."""
    shown = [t for t in figure.data if getattr(t, "showlegend", False) is not False and t.visible is not False]
    names = names or [str(t.name) for t in shown if t.name]
    if figure.layout.showlegend is False or len(names) <= 1:
        return 0
    widths = [len(name) * 6.4 + 42 for name in names]
    return 1 if sum(widths) <= span else math.ceil(len(names) / max(1, span // max(widths)))


def rounded(values: Any, digits: int = 4) -> list[float | None]:
    """Return values as a list of `digits` significant digits, None where not finite, which keeps a figure small."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in map(float, values)]


def signed_root(values: np.ndarray, decimals: int = 3) -> list:
    """Return sign(v) * sqrt(|v| / max|v|) as nested lists: in a heat map the root makes small values visible."""
    return (np.sign(values) * np.sqrt(np.abs(values) / (np.abs(values).max() or 1))).round(decimals).tolist()


def log_ticks(values: Any) -> dict[str, Any]:
    """Return the ticks of a logarithmic axis: 1, 2 and 5 in each decade, or powers of ten where there are many decades.

    >>> log_ticks([0.05, 0.3])["ticktext"]
    ['0.02', '0.05', '0.1', '0.2', '0.5']
    """
    good = [float(v) for v in values if math.isfinite(v) and v > 0] or [1.0]
    low, high = math.floor(math.log10(min(good))), math.ceil(math.log10(max(good)))
    digits = (1, 2, 5) if high - low <= 3 else (1,)
    every = [float(f"{d}e{e}") for e in range(low, high + 1) for d in digits]
    shown = [v for v in every if min(good) / 2.5 <= v <= max(good) * 2.5] or every
    return ticks(shown)


def ticks(values: Iterable[float]) -> dict[str, Any]:
    """Return the ticks of an axis at these values."""
    every = list(values)
    return {"tickvals": every, "ticktext": [str(v) if isinstance(v, int) else f"{v:g}" for v in every]}
