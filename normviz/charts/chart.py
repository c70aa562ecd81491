"""Parts of the labs' charts: template, panels, traces, controls, and room for title, controls and caption.

A figure is drawn for a `Room`, a page or a projector, and stacks, from the top: title, buttons, legend, plot, slider,
caption. `finish` computes the heights. A figure contains everything that its controls change, so that it works without
a kernel. The pattern of a lab::

    def figure(x=None, *, width: int | None = None, presenter: bool = False) -> go.Figure:
        room = chart.room(width, presenter)
        result = measure(x)
        drawing, places = chart.panels(["One", "Other"], room)
        drawing.add_scatter(x=..., y=..., name="Batch Norm", **chart.line(0, "blue"), **places[0])
        drawing.update_yaxes(range=[0, 1], **places[0])
        chart.add_slider(drawing, [chart.step(...), ...], "N = ")
        return chart.finish(drawing, title, caption, alt, room=room, ends=[chart.Ends([0, 1])])

A lab gives all its sizes as on a page: font sizes, line widths, marks, margins. For a projector `finish` enlarges them,
fits the height to the screen and leaves the caption to screen readers. The title is the finding, from the measured
numbers. `ends` puts the names of lines at their right ends, in place of the legend.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz.charts.chart_labels import Ends, label_ends, steps_of
from normviz.core.errors import given
from normviz.explorer.constants import CONSTANTS
from normviz.explorer.constants import DARK as EXPLORER_DARK
from normviz.explorer.constants import LIGHT as EXPLORER_LIGHT
from normviz.explorer.plotly_figure import WIDTH, Figure
from normviz.explorer.svg.palette import HIGH, LOW, MIDDLE, hexed

NAMES = ("blue", "orange", "green", "pink", "cyan", "red", "yellow", "grey")
COLOURS = {name: hexed(tuple(rgb)) for name, rgb in zip(NAMES, CONSTANTS["lines"], strict=True)}
"""The explorer's hues, in the shades for lines."""
METHOD_COLOURS = {"batch": "blue", "layer": "orange", "instance": "green", "group": "pink", "positional": "grey"}
"""The colour of a method, the same in every lab."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
"""Lines must be distinguishable without colour."""
DIVERGING: dict[str, Any] = {"colorscale": [[0, hexed(LOW)], [0.5, hexed(MIDDLE)], [1, hexed(HIGH)]]}
DIVERGING |= {"showscale": False}
"""A heat map's scale: teal below 0, plum above."""
PANEL = "title of a panel"
NO_TICKS: dict[str, Any] = {"showticklabels": False, "ticks": "", "showgrid": False}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
NARROW = 640
"""Pixels: below this width, panels are stacked."""
LETTER = 6.3
"""Pixels: the largest average width of a letter of a caption."""
LINE, BUTTONS, AXIS, SLIDER = 17, 38, 50, 90
"""Pixels: heights of a caption's line, a row of buttons, an axis with its title, and a slider."""
PROJECTED, HEIGHT, TEXT = 1240, 670, 20
"""Pixels: width and height of a figure for a projector of 1280 x 720, and its smallest text."""
NOT_NEEDED = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]
NOT_NEEDED += ["sendChartToCloud"]
"""Of plotly's toolbar only the button that saves a picture stays; dragging zooms and a double click zooms out."""


@dataclass(frozen=True)
class Room:
    """Where a figure is shown.

    Attributes
    ----------
    width
        Width of the figure in pixels.
    presenter
        Whether it is for a projector, with larger text, lines and marks, and a height that fits the screen.
    """

    width: int
    presenter: bool = False

    @property
    def scale(self) -> float:
        """How many times as large as on a page text, lines and marks are."""
        return TEXT / 12 * max(1, self.width / PROJECTED) if self.presenter else 1

    @property
    def narrow(self) -> bool:
        """Whether panels are stacked."""
        return self.width < NARROW

    @property
    def letter(self) -> float:
        """The largest average width of a letter of the usual text."""
        return LETTER * self.scale

    def text(self, size: float) -> float:
        """Return the font size for a text that has this size on a page, in pixels; a projector shows none under 20."""
        return round(max(size, 12) * self.scale) if self.presenter else size


def room(width: int | None, presenter: bool) -> Room:
    """Return the room of a figure; a width of None is 760 pixels on a page and 1240 for a projector."""
    if not isinstance(presenter, bool):
        raise TypeError(f"presenter must be True or False, not {given(presenter)}")
    usual = PROJECTED if presenter else WIDTH
    return Room(usual if width is None else pixels(width, 800 if presenter else 320), presenter)


def pixels(value: Any, least: int = 320) -> int:
    """Return the width of a figure in pixels, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not least <= value < 10000:
        which = "width" if least == 320 else "the width of a figure for a projector"
        raise ValueError(f"{which} must be a number of pixels from {least} to 9999, not {given(value)}")
    return int(value)


def template(dark: bool = False, room: Room = Room(WIDTH)) -> go.layout.Template:
    """Return the light or the dark template."""
    on = EXPLORER_DARK if dark else EXPLORER_LIGHT
    rule, text, ticks = on["line"], {"font": {"color": on["ink"]}}, {"tickcolor": on["muted"]}
    axis = {"gridcolor": rule, "zerolinecolor": rule, "zerolinewidth": 1, "showline": True, "linecolor": on["muted"]}
    titles = {"font": {"size": room.text(13)}, "standoff": round(8 * room.scale)}
    axis |= {"ticks": "outside", **ticks, "title": titles, "automargin": False}
    slider = {"bgcolor": rule, "activebgcolor": on["accent"], "bordercolor": on["muted"], **ticks, **text}
    slider["currentvalue"] = text  # also where the labels of the steps have another colour
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": room.text(12), "color": on["ink"]},
            "paper_bgcolor": on["page"],
            "plot_bgcolor": on["page"],
            "colorway": list(COLOURS.values()),
            # Else plotly takes names such as "1" and "4" for numbers, also again after each change of the data.
            "autotypenumbers": "strict",
            "xaxis": axis,
            "yaxis": axis,
            "modebar": {"color": on["muted"], "activecolor": on["ink"], "bgcolor": "rgba(0,0,0,0)"},
            "hoverlabel": {
                "bgcolor": on["card"],
                "bordercolor": on["line"],
                "font": {"color": on["ink"], "size": room.text(13)},
            },
            "annotationdefaults": {**text, "showarrow": False},
            "sliderdefaults": slider,
            # Plotly draws a pressed button almost white in every template, so the text on it must be dark.
            "updatemenudefaults": {"bgcolor": "#e3e8ee", "bordercolor": "#8a94a3", "font": {"color": "#14181f"}},
        }
    )


def panels(
    titles: Sequence[str], room: Room, *, gap: float = 0.11, stacked_gap: float | None = None
) -> tuple[Any, list[dict[str, Any]]]:
    """Return a figure of panels, side by side or, on a narrow page, stacked; and the row and column of each.

    `gap` and `stacked_gap` are the space between two panels, as shares of the figure's width and height.
    """
    count = len(titles)
    rows, cols = (count, 1) if room.narrow else (1, count)
    if room.presenter:
        gap *= max(1, room.scale * WIDTH / room.width)
    vertical = 0.34 / count if stacked_gap is None else stacked_gap
    spacing: dict[str, Any] = {"horizontal_spacing": gap, "vertical_spacing": vertical}
    places = [{"row": row + 1, "col": col + 1} for row in range(rows) for col in range(cols)]
    figure: Any = make_subplots(rows=rows, cols=cols, **spacing, subplot_titles=list(titles), figure=Figure())
    for title, axis in zip(figure.layout.annotations, figure.select_xaxes(), strict=False):
        title.update(x=axis.domain[0], xanchor="left", align="left", name=PANEL)
    return figure, places


def line(k: int, colour: str, *, size: float = 8, line_width: float = 2) -> dict[str, Any]:
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
    figure: Any, title: str, caption: str, alt: str, *, room: Room, height: int | tuple[int, int] = 340,
    left: int = 64, right: int = 20, above: int | None = None, axis: int = AXIS,
    names: Sequence[str] | None = None, ends: Sequence[Ends] = (),
) -> go.Figure:  # fmt: skip
    """Add template, title, caption and alt text to a figure, and set its size and margins.

    All sizes are those on a page, in pixels.

    Parameters
    ----------
    figure
        A figure with its traces, axes, slider and buttons (at most one row or menu).
    title, caption
        Shown above and under the chart, broken into lines that fit; a figure for a projector shows no caption. The
        title is the finding; a `step` gives another one by title__text.
    alt
        The alt text, kept as `layout.meta["alt"]`; `chart_html.to_html` puts it on the page.
    room
        Where the figure is shown.
    left, right
        Margins.
    height
        Height of the plot without margins, or its heights on a wide and on a narrow page. A figure for a projector is
        as high as the screen instead.
    above
        Pixels between legend and plot for an annotation; None keeps room for the titles of panels, if there are any.
    axis
        Pixels below the plot for the lowest axis, its ticks and its title.
    names
        The longest legend of all states, if that is not the first state's.
    ends
        Lines that get their names at their right ends; no line of these names is in the legend. Their vertical axis
        needs a range.
    """
    # Beside the title stand the switch and plotly's button that saves a picture.
    scale, narrow = room.scale, room.narrow
    left, right, axis = (round(scale * v) for v in (left, right, axis))
    panel_titles = above is None and bool(figure.layout.annotations)
    if room.presenter:
        _enlarge(figure, room)
    labelled = {figure.data[k].name for group in ends for k in group.lines}
    for trace in figure.data:
        if trace.name in labelled:
            trace.showlegend = False
    panel_lines = _break_panel_titles(figure, room.width - left - right, 7.2 * scale)
    sign = narrow or room.presenter
    layouts = [{"title.text": title}, *(s.args[1] for s in steps_of(figure) if "title.text" in s.args[1])]
    title_lines = 1
    for layout in layouts:
        text = broken(layout["title.text"], room.width - scale * (108 if sign else 172), 9.6 * scale)
        title_lines = max(title_lines, text.count("<br>") + 1)
        # Plotly draws several lines higher than one, by the height of a capital letter.
        layout |= {"title.text": f"<b>{text}</b>", "title.pad.t": 14 + round(0.7 * room.text(16) * ("<br>" in text))}
    caption_lines = "" if room.presenter else broken(caption, room.width - 28)
    menus = list(figure.layout.updatemenus)
    rows = legend_rows(figure, room.width - left - right, names, scale)
    legend_height = round(scale * (24 * rows + (8 if rows else 0)))
    over = round(scale * ((above or 0) + (22 + LINE * (panel_lines - 1) if panel_titles else 8)))
    title_height = round(scale * 22)
    buttons_height = round(scale * BUTTONS) if menus else 0
    top = 18 + title_height * title_lines + buttons_height + legend_height + over
    under = axis + (round(SLIDER + 50 * (scale - 1)) if figure.layout.sliders else 0)
    bottom = under + (LINE * (caption_lines.count("<br>") + 1) + 14 if caption_lines else 0)
    if room.presenter:
        plot = round(HEIGHT * max(1, room.width / PROJECTED)) - top - bottom
    else:
        plot = height[narrow] if isinstance(height, tuple) else height
    dark, light = ([{"template": template(dark, room).to_plotly_json()}] for dark in (True, False))
    button = {"label": "◐" if sign else "◐ Dark / light", "method": "relayout", "args": dark, "args2": light}
    # -1, because pressing an active button applies args2.
    switch = {"name": "Dark / light", "type": "buttons", "showactive": False, "active": -1, "buttons": [button]}
    switch |= {"pad": {"t": -(top - 8), "r": 46 - right}, "font": {"size": room.text(11)}, **_at(1, "right", 1, "top")}
    if panel_titles:
        figure.update_annotations(font_size=room.text(13))
    for menu in menus:
        menu.pad = {"l": 12 - left, "b": legend_height + over}
    heading = {"text": layouts[0]["title.text"], "font": {"size": room.text(16)}, **_at(0, "left", 1, "top")}
    heading |= {"xref": "container", "yref": "container", "pad": {"l": 14, "t": layouts[0]["title.pad.t"]}}
    legend = {"orientation": "h", "itemclick": False, "itemdoubleclick": False}
    figure.update_layout(
        {"width": room.width, "height": top + plot + bottom, "margin": {"l": left, "r": right, "t": top, "b": bottom}},
        template=template(room=room),
        title=heading,
        legend=legend | _at(0, "left", 1 + over / plot, "bottom"),
        updatemenus=[*menus, switch],
        modebar={"remove": NOT_NEEDED},
        meta={"alt": alt, "caption": caption},
    )
    for slider in figure.layout.sliders:
        slider.pad = {"l": 0, "r": 0, "t": axis + 2}
    label_ends(figure, ends, (room.width - left - right, plot), room.text(12), right)
    if caption_lines:
        place = {"xref": "paper", "yref": "paper", "xshift": 14 - left, "yshift": -under, **_at(0, "left", 0, "top")}
        figure.add_annotation(text=caption_lines, name="caption", align="left", showarrow=False, font_size=12, **place)
    return figure


def _break_panel_titles(figure: Any, span: float, letter: float) -> int:
    """Break the titles of panels where they would reach the next panel, in every state; return their most lines."""
    titles = [(k, title) for k, title in enumerate(figure.layout.annotations) if title.name == PANEL]
    layouts = [s.args[1] for s in steps_of(figure)]
    most = 1
    for k, title in titles:
        beside = [other.x for _, other in titles if other.x > title.x and other.y == title.y]
        end = min(beside, default=1 + 12 / span)
        for held, key in ((title, "text"), *((layout, f"annotations[{k}].text") for layout in layouts)):
            if key in held:
                held[key] = broken(held[key], (end - title.x) * span - 12, letter)
                most = max(most, held[key].count("<br>") + 1)
    return most


SIZES = ("line.width", "marker.size", "marker.line.width", "textfont.size", "error_y.thickness", "error_y.width")
"""The sizes of a trace."""


def _enlarge(figure: Any, room: Room) -> None:
    """Enlarge text, lines and marks for a projector."""
    for trace in figure.data:
        for path in SIZES:
            held = trace
            *parents, name = path.split(".")
            for parent in parents:
                held = held[parent] if held is not None and parent in held else None
            if held is not None and name in held and (size := held[name]) is not None:
                held[name] = room.text(size) if parents[-1] == "textfont" else np.multiply(size, room.scale).tolist()
    texts = [*figure.layout.annotations, *(slider.currentvalue for slider in figure.layout.sliders)]
    for text in texts:
        if text.font.size:
            text.font.size = room.text(text.font.size)


def legend_rows(figure: Any, span: float, names: Sequence[str] | None, scale: float) -> int:
    """Return how many rows the legend needs in `span` pixels; `names` as in `finish`."""
    shown = [t for t in figure.data if getattr(t, "showlegend", False) is not False and t.visible is not False]
    names = names or [str(t.name) for t in shown if t.name]
    if figure.layout.showlegend is False or len(names) <= 1:
        return 0
    widths = [len(name) * 6.4 * scale + 42 for name in names]
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
