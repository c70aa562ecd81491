"""An explorer as the files of an anywidget, for hosts that run no Python, such as MyST's directive `{anywidget}`."""

from __future__ import annotations

from normviz.explorer import js
from normviz.explorer.html_page import as_json
from normviz.explorer.scene import without_zeros
from normviz.explorer.show import OneExplorer

MODULE, STYLE, MODEL = "explorer.mjs", "explorer.css", "model.json"


def contents(explorer: OneExplorer) -> dict[str, str]:
    """The files by name: the ES module, which holds the tensor and makes no requests, its style, and its model.

    The model is the state in which the explorer starts, with the names of `show`: {"method": "group", ...}. The module
    knows it too, so a host may give any part of it.
    """
    ((subject, state),) = explorer.page_parts()
    exported = as_json({"scene": without_zeros(subject.travelling().scene), "state": state})
    script = js.joined("explorer/js/hosts/static_widget.js")
    module, style = f"{script}\nexport default widgetOf({exported});", js.stylesheet(editable=False)
    return {MODULE: f"{module}\n", STYLE: f"{style}\n", MODEL: f"{as_json(state)}\n"}


def directive(folder: str, model: str) -> str:
    """The directive for a MyST page that stands beside the folder of the files."""
    return f"```{{anywidget}} {folder}/{MODULE}\n:css: {folder}/{STYLE}\n{model.strip()}\n```"
