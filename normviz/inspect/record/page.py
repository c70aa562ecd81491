"""The page of a recording: its chart at several widths, its warnings, and a table of its layers."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from plotly.offline import get_plotlyjs

from normviz.charts import chart, chart_html
from normviz.explorer.html_page import RUN_SCRIPT, as_json, document, packed
from normviz.inspect.audit.table import html_box
from normviz.inspect.record.figure import drawn
from normviz.inspect.record.runs import lines_of_all, matched

if TYPE_CHECKING:
    from normviz.inspect.record.recording import Recording

WIDTHS = (1080, 720, 340)
"""Pixels of the chart; the page takes the widest one that it has room for."""
NUMBERS = 1_200_000
"""Numbers of all layers' lines. A number of four digits takes about 2.3 bytes of a page, packed."""
CHANNELS = 4
TITLE = "Normalization layers over a training run"


def page(recording: Recording, summary: str, warnings: str, table: str) -> str:
    """Return the page; `warnings` and `table` are HTML."""
    runs, alone = matched(recording)
    of_layers, most = lines_of_all(runs, NUMBERS, CHANNELS)
    widest = _as_plotly_reads_it(drawn(runs, alone, chart.Room(WIDTHS[0]), of_layers, most))
    # The lines are those of the widest chart, so the others are drawn with a few points.
    few = [[line._replace(x=line.x[:2], y=line.y[:2]) for line in of] for of in of_layers]
    others = [drawn(runs, alone, chart.Room(width), few, most) for width in WIDTHS[1:]]
    layouts = [widest["layout"], *(_as_plotly_reads_it(figure)["layout"] for figure in others)]
    for layout in layouts:
        for axis in {f"yaxis{n}" for n in range(5, 8)} & layout.keys():
            layout[axis] |= {key: v for key, v in layouts[0][axis].items() if key in ("range", "tickvals", "ticktext")}
    # What a step or a button changes of the lines is the same at each width, and stands on the page once.
    steps = [step.pop("args") for step in layouts[0].get("sliders", [{"steps": []}])[0]["steps"]]
    buttons = [button["args"][0] for button in layouts[0]["updatemenus"][0]["buttons"]]
    looks = layouts[0]["updatemenus"][-1]["buttons"][0]
    for layout in layouts:
        for step in layout.get("sliders", [{"steps": []}])[0]["steps"]:
            step.pop("args", None)
        for button in layout["updatemenus"][0]["buttons"]:
            button["args"][0] = None
        # The page has a switch of its own.
        layout["updatemenus"].pop()
        del layout["template"]
    data: dict[str, Any] = {"data": widest["data"], "layouts": layouts, "steps": steps, "buttons": buttons}
    data |= {"dark": looks["args"][0]["template"], "light": looks["args2"][0]["template"]}
    script = (files("normviz.inspect.record") / "page.js").read_text("utf-8")
    style = (files("normviz.inspect.record") / "page.css").read_text("utf-8")
    listed = f'<section aria-label="Warnings"><h2>Warnings</h2>{html_box(warnings)}</section>' if warnings else ""
    body = (
        f'<header class="nvr-head"><p>{summary}.</p><button type="button" id="nvr-look">Dark / light</button></header>'
        f'<figure class="nvr-chart"><div id="nvr-chart"></div></figure>{listed}'
        f'<section aria-label="Layers"><h2>Layers</h2>{html_box(table)}</section>'
    )
    code = packed(f"{get_plotlyjs()}\n{chart_html.keys_script()}\n{script}")
    data_text = as_json(packed(as_json(data)))
    return document(TITLE, body, data_text, RUN_SCRIPT % code, style=style, what="chart", charts=True)


def _as_plotly_reads_it(figure: Any) -> dict[str, Any]:
    return json.loads(figure.to_json())
