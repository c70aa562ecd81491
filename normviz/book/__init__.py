"""A Sphinx extension for course books made with MyST-NB: explorers and charts work offline and without a kernel.

In ``conf.py``::

    extensions = ["myst_nb", "normviz.book"]

Explorers are shown by their HTML, not as widgets, which would need a kernel. Plotly's figures, including those of
`normviz.labs`, are drawn by one copy of plotly.js in the book, when they come near the visible part of the page. Their
sliders and buttons work by keyboard. Charts and explorers follow the book's light and dark theme. No page makes a
network request.
"""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import normviz
from normviz.atomic_write import write
from normviz.charts.chart_html import keys_script
from normviz.explorer import js
from normviz.explorer.html_page import as_json
from normviz.explorer.plotly_figure import plain
from normviz.explorer.validation import drawable

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
EXTENSION = "normviz.book"


class Charts:
    """Renders plotly's figures for MyST-NB, in books that use this extension."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[Any] | None:
        """Return the nodes of a figure, or None for any other output, which MyST-NB renders."""
        environment = getattr(renderer.renderer, "sphinx_env", None)
        if inline or data.mime_type != PLOTLY or environment is None or EXTENSION not in environment.app.extensions:
            return None
        if not isinstance(data.content, dict):
            return None
        from docutils import nodes

        return [nodes.raw(text=chart(data.content), format="html", classes=["output", "text_html"])]


def chart(figure: dict[str, Any]) -> str:
    """Return the HTML of a chart: its data, and an empty element into which the book's script draws it.

    Parameters
    ----------
    figure
        As plotly's JSON: data and layout. Of the layout, `height` and `width` are used if they are positive numbers,
        and `title` and `meta["alt"]` if they are text.
    """
    # JSON has no NaN and no Infinity; plotly reads null as a missing value.
    figure = json.loads(json.dumps(figure), parse_constant=lambda _: None)
    layout = figure.get("layout")
    title = _member(layout, "title", "text") or _member(layout, "title")
    title = drawable(plain(title)) if isinstance(title, str) else ""
    title = title or "Chart"
    alt = _member(layout, "meta", "alt")
    alt = drawable(alt) if isinstance(alt, str) and alt else title
    height, width = (_member(layout, key) for key in ("height", "width"))
    size = f"min-height:{height if _is_size(height) else 450}px" + (f";width:{width}px" if _is_size(width) else "")
    content = as_json({key: figure[key] for key in ("data", "layout") if key in figure})
    return (
        f'<div class="normviz-wide" tabindex="0" role="group" aria-label="{escape(title)}: chart">'
        f'<figure class="normviz-chart" role="group" aria-label="{escape(alt)}">'
        f'<div class="normviz-plot" style="{size}"></div>'
        f'<script type="application/json">{content}</script>'
        f"<noscript>{escape(alt)}</noscript></figure></div>"
    )


def _member(value: Any, *keys: str) -> Any:
    """Return a member of nested JSON objects, or None if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _configure(_app: Any, config: Any) -> None:
    """Prefer outputs that work without a kernel, and load no script for widgets."""
    first = [("html", PLOTLY, 1), ("html", "text/html", 2), ("html", WIDGET, None)]
    config.nb_mime_priority_overrides = [*first, *config.nb_mime_priority_overrides]
    config.nb_ipywidgets_js = {}


def _write_static(app: Any, _exception: Any = None) -> None:
    """Write plotly.js, the keyboard script of the charts, and the book's script and style beside its pages."""
    if _exception or app.builder.format != "html":
        return
    import plotly.offline

    static = Path(app.outdir) / "_static"
    static.mkdir(exist_ok=True)
    write(static / "normviz-plotly.min.js", plotly.offline.get_plotlyjs())
    write(static / "normviz-keys.js", keys_script())
    # No module, which a page on the disk may not load.
    write(static / "normviz-book.js", f'"use strict";(() => {{\n{js.joined("book/book.js")}\n}})();')
    write(static / "normviz-book.css", (files(__name__) / "book.css").read_bytes())


def setup(app: Any) -> dict[str, Any]:
    """Connect the extension with Sphinx."""
    app.setup_extension("myst_nb")
    app.connect("config-inited", _configure)
    app.connect("build-finished", _write_static)
    app.add_js_file("normviz-keys.js")
    app.add_js_file("normviz-book.js", loading_method="defer")
    app.add_css_file("normviz-book.css")
    return {"version": normviz.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
