"""A Sphinx extension for course books made with MyST-NB: explorers and charts stay alive, offline and with no kernel.

In ``conf.py``::

    extensions = ["myst_nb", "normviz.book"]

Explorers are shown by their own HTML rather than as widgets that would need a kernel. Plotly's figures, those of
`normviz.labs` among them, are drawn by one copy of plotly.js that the book carries, when they come near the screen;
their sliders and buttons take the keyboard, and they follow the book's light and dark theme, as the explorers do. No
page asks the network for anything.
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import normviz
from normviz.labs import look

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
EXTENSION = "normviz.book"


class Charts:
    """Renders plotly's figures for MyST-NB, in books that use this extension."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[Any] | None:
        """Return the nodes of a figure, or None for what is left to MyST-NB."""
        environment = getattr(renderer.renderer, "sphinx_env", None)
        if inline or data.mime_type != PLOTLY or environment is None or EXTENSION not in environment.app.extensions:
            return None
        from docutils import nodes

        return [nodes.raw(text=chart(data.content), format="html", classes=["output", "text_html"])]


def chart(figure: dict[str, Any]) -> str:
    """Return the place where the book's script draws a figure, with the figure in it.

    Parameters
    ----------
    figure
        As plotly's JSON: data and layout.
    """
    layout = figure.get("layout", {})
    meta = layout.get("meta")
    title = re.sub("<[^>]+>", " ", (layout.get("title") or {}).get("text") or "Chart").strip()
    alt = meta["alt"] if isinstance(meta, dict) and "alt" in meta else title
    height, width = layout.get("height", 450), layout.get("width")
    text = json.dumps({key: figure[key] for key in ("data", "layout") if key in figure}, separators=(",", ":"))
    size = f"min-height:{height}px" + (f";width:{width}px" if width else "")
    return (
        f'<div class="normviz-wide" tabindex="0" role="group" aria-label="{escape(title)}: chart">'
        f'<figure class="normviz-chart" role="group" aria-label="{escape(alt)}">'
        f'<div class="normviz-plot" style="{size}"></div>'
        f'<script type="application/json">{text.replace("<", chr(92) + "u003c")}</script>'
        f"<noscript>{escape(alt)}</noscript></figure></div>"
    )


def _configure(_app: Any, config: Any) -> None:
    """Prefer what is alive by itself; load nothing for widgets, which would need a kernel and a network."""
    config.nb_mime_priority_overrides = [
        ("html", PLOTLY, 1),
        ("html", "text/html", 2),
        ("html", WIDGET, None),
        *config.nb_mime_priority_overrides,
    ]
    config.nb_ipywidgets_js = {}


def _write_static(app: Any, _exception: Any = None) -> None:
    """Put plotly.js, the charts' keys and the scripts of the book beside its pages."""
    if _exception or app.builder.format != "html":
        return
    import plotly.offline

    static = Path(app.outdir) / "_static"
    static.mkdir(exist_ok=True)
    (static / "normviz-plotly.min.js").write_text(plotly.offline.get_plotlyjs(), encoding="utf-8")
    (static / "normviz-keys.js").write_text(look.keys_script(), encoding="utf-8")
    for name in ("book.js", "book.css"):
        (static / f"normviz-{name}").write_text((files(__name__) / name).read_text("utf-8"), encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Connect with Sphinx."""
    app.setup_extension("myst_nb")
    app.connect("config-inited", _configure)
    app.connect("build-finished", _write_static)
    app.add_js_file("normviz-keys.js")
    app.add_js_file("normviz-book.js", loading_method="defer")
    app.add_css_file("normviz-book.css")
    return {"version": normviz.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
