"""The chart of the page on speed: how many times as fast as torch, against the size of x."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz.charts import chart

PANELS = {
    "Forward": ("forward", ""),
    "Gradient with its own statistics": ("gradient", ""),
    "Gradient with statistics given": ("gradient", ", given"),
}
LINES = {"group": "Group", "batch": "Batch", "layer": "Layer", "tokens": "Tokens"}
COLOURS = {**chart.METHOD_COLOURS, "tokens": "grey"}
BACKENDS = {"compiled": "compiled", "numpy": "NumPy"}
HEIGHT = 250
"""Pixels of a panel."""
NARROWEST = 330
"""Pixels: title and legend are broken for this width, and fit into any larger one."""


def figure(report: dict[str, Any]) -> go.Figure:
    """Return the chart of one thread, as wide as its page."""
    rows = [row for row in report["cpu"]["rows"] if row["threads"] == 1]
    panels = {"rows": len(PANELS), "cols": 1, "shared_xaxes": True, "vertical_spacing": 0.07}
    drawn = make_subplots(**panels, subplot_titles=list(PANELS))
    ratios, named = [1.0], set()
    for place, (what, suffix) in enumerate(PANELS.values(), 1):
        for kind, (backend, name) in enumerate(BACKENDS.items()):
            for line, method in LINES.items():
                found = [
                    (row["bytes"], row["seconds"]["torch"] / row["seconds"][backend + suffix])
                    for row in rows
                    if (row["what"], row["line"]) == (what, line) and backend + suffix in row["seconds"]
                ]
                if not found:
                    continue
                x, y = zip(*sorted(found), strict=True)
                ratios += y
                # The legend tells colours; dashes are the backends, as the caption says.
                told = f"{method}, {name}<br>%{{x:.3s}}B: %{{y:.2f}} x torch<extra></extra>"
                shown = {"name": method, "legendgroup": method, "showlegend": line not in named, "row": place, "col": 1}
                named.add(line)
                style = chart.line(kind, COLOURS[line], size=6)
                drawn.add_scatter(x=x, y=chart.rounded(y, 3), hovertemplate=told, **style, **shown)
        drawn.add_hline(y=1, line={"color": chart.COLOURS["grey"], "width": 1}, row=place, col=1)
    drawn.update_yaxes(type="log", **chart.log_ticks(ratios), title="x torch")
    drawn.update_xaxes(type="log", tickvals=[1e3, 1e5, 1e7, 1e9], ticktext=["1 kB", "100 kB", "10 MB", "1 GB"])
    drawn.update_xaxes(title="bytes of x", row=len(PANELS), col=1)
    done = chart.finish(
        drawn,
        "Torch's time over ours",
        "One thread. Above 1 we are faster than torch. Group, Batch and Layer Norm on maps, Layer Norm on tokens. "
        "Solid lines with circles are the compiled backend, dashed lines with squares are NumPy.",
        "Torch's time divided by ours against the bytes of x, for forward and gradient; the tables hold the numbers.",
        room=chart.Room(NARROWEST),
        height=HEIGHT * len(PANELS),
    )
    done.layout.width = None
    return done
