"""The table and the box in which audits, comparisons and recordings are shown, as HTML, and as a frame of pandas."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = tuple[Sequence[str], str | None]
"""The cells of a row and, if it is marked, a warning, which may be empty."""
NUMERIC = frozenset(["|S|", "sets", "uses", "parameters", "share", "gap"])
# The colours are the notebook's own text colour, made transparent, so that they suit a light and a dark theme.
# The room below the table is for the scroll bar, which in WebKit lies over what it scrolls.
STYLE = """
.normviz-audit{color:inherit;font-size:13px;line-height:1.45;max-width:100%}
.normviz-audit .scroll{overflow:auto;max-height:32em;border:1px solid rgba(128,128,128,.35);border-radius:6px}
.normviz-audit .scroll{padding-bottom:12px}
.normviz-audit table{table-layout:auto;font-size:inherit;border-collapse:collapse;width:100%;margin:0;color:inherit}
.normviz-audit caption{text-align:left;padding:6px 10px;font-weight:600;color:inherit}
.normviz-audit th,.normviz-audit td{padding:3px 10px;text-align:left;white-space:nowrap;color:inherit;background:none;
border:0;border-top:1px solid rgba(128,128,128,.2)}
.normviz-audit thead th{border-top:0;font-weight:600;opacity:.75}
.normviz-audit .scroll th,.normviz-audit .scroll td{text-align:left}
.normviz-audit .scroll .n{text-align:right;font-variant-numeric:tabular-nums}
.normviz-audit .scroll td.wide{white-space:normal;min-width:14em}
.normviz-audit tbody th{font-weight:500;font-family:ui-monospace,monospace}
.normviz-audit tr.warned td,.normviz-audit tr.warned th{background:rgba(230,159,0,.16)}
.normviz-audit ul{list-style:none;margin:8px 0;padding:0}
.normviz-audit li{margin:6px 0;padding:4px 10px;border-left:4px solid #e69f00;white-space:normal}
.normviz-audit li.unseen{border-color:rgba(128,128,128,.5)}
.normviz-audit code{font-family:ui-monospace,monospace;background:rgba(128,128,128,.15);padding:0 4px;border-radius:3px;
color:inherit}
"""


def html_box(content: str) -> str:
    """Return HTML in the box that audits and comparisons share."""
    return f'<div class="normviz-audit"><style>{STYLE}</style>{content}</div>'


def html_table(
    heads: Sequence[str],
    rows: Iterable[Row],
    *,
    caption: str = "",
    wide: str = "",
    first: Callable[[str], str] = html.escape,
) -> str:
    """Return a table that scrolls where it is too large, by keys as well; all texts are escaped.

    Numbers are aligned to the right in the
    columns of NUMERIC; the text of the column `wide` is wrapped. `first` makes HTML of the first cell.
    """

    def css(head: str) -> str:
        return ' class="n"' if head in NUMERIC else ' class="wide"' if head == wide else ""

    body = []
    for (name, *cells), warning in rows:
        title = f' title="{html.escape(warning)}"' if warning else ""
        mark, sign = (f' class="warned"{title}', "⚠ ") if warning is not None else ("", "")
        tds = "".join(f"<td{css(h)}>{html.escape(c)}</td>" for h, c in zip(heads[1:], cells, strict=True))
        body.append(f'<tr{mark}><th scope="row">{sign}{first(name)}</th>{tds}</tr>')
    table = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    if body:
        ths = "".join(f'<th scope="col"{css(h)}>{html.escape(h)}</th>' for h in heads)
        table += f"<thead><tr>{ths}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>{table}</table></div>'


def times(shape: Iterable[int]) -> str:
    """Return a shape as text: 2×8×7×7."""
    return "×".join(map(str, shape))


def needed_pandas(instead: str = "") -> Any:
    """Return pandas; ImportError with the command that installs it, and what there is instead."""
    try:
        import pandas
    except ImportError as error:
        remedy = f"install it with: python -m pip install pandas{instead}"
        raise ImportError(f"to_frame needs pandas; {remedy}") from error
    return pandas


def plural(count: int, noun: str) -> str:
    """Return a number of things as text: 2 warnings."""
    return f"{count} {noun}{'s' * (count != 1)}"
