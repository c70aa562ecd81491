"""An audit as a table: plain text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from normviz.inspect.audit.layers import Layer
from normviz.inspect.audit.rules import Trouble

HEADS = ("layer", "kind", "input", "block", "|S|", "sets", "uses", "parameters", "share", "state", "gap")
NUMERIC = frozenset(["|S|", "sets", "uses", "parameters", "share", "gap"])
SHOWN = 3
"""Of one code as many warnings are shown at once; the others are a click away."""
# Colours of the host's own text, thinned: right on light and on dark alike.
STYLE = """
.normviz-audit{color:inherit;font-size:13px;line-height:1.45;max-width:100%}
.normviz-audit .scroll{overflow:auto;max-height:32em;border:1px solid rgba(128,128,128,.35);border-radius:6px}
.normviz-audit table{table-layout:auto;font-size:inherit;border-collapse:collapse;width:100%;margin:0;color:inherit}
.normviz-audit caption{text-align:left;padding:6px 10px;font-weight:600;color:inherit}
.normviz-audit th,.normviz-audit td{padding:3px 10px;text-align:left;white-space:nowrap;color:inherit;background:none;
border:0;border-top:1px solid rgba(128,128,128,.2)}
.normviz-audit thead th{border-top:0;font-weight:600;opacity:.75}
.normviz-audit .scroll th,.normviz-audit .scroll td{text-align:left}
.normviz-audit .scroll .n{text-align:right;font-variant-numeric:tabular-nums}
.normviz-audit .scroll td.said{white-space:normal;min-width:14em}
.normviz-audit tbody th{font-weight:500;font-family:ui-monospace,monospace}
.normviz-audit tr.warned td,.normviz-audit tr.warned th{background:rgba(230,159,0,.16)}
.normviz-audit ul{list-style:none;margin:8px 0;padding:0}
.normviz-audit li{margin:6px 0;padding:4px 10px;border-left:4px solid #e69f00;white-space:normal}
.normviz-audit li.unseen{border-color:rgba(128,128,128,.5)}
.normviz-audit code{font-family:ui-monospace,monospace;background:rgba(128,128,128,.15);padding:0 4px;border-radius:3px;
color:inherit}
"""


def row(layer: Layer) -> tuple[str, ...]:
    """Return a layer as what HEADS names."""
    return (
        layer.name,
        layer.label,
        _times(layer.input_shape),
        _times(layer.block) if layer.block else "–",
        f"{layer.size:,}" if layer.size else "–",
        f"{layer.count:,}" if layer.count else "–",
        str(layer.uses),
        f"{layer.parameters:,}",
        f"{layer.share:.1%}",
        f"{layer.mode}, frozen" if layer.frozen else layer.mode,
        "–" if layer.gap is None else f"{layer.gap:.2g}",
    )


def summary(layers: Sequence[Layer], warnings: Sequence[Trouble]) -> str:
    """Return one line on how much was found."""
    return f"{_many(len(layers), 'normalization layer')}, {_many(len(warnings), 'warning')}"


def text(layers: Sequence[Layer], warnings: Sequence[Trouble], unseen: Mapping[str, str]) -> str:
    """Return the table and the warnings for a terminal."""
    rows = [HEADS, *map(row, layers)] if layers else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if head in NUMERIC else cell.ljust(width)
            for head, cell, width in zip(HEADS, cells, widths, strict=True)
        ).rstrip()
        for cells in rows
    ]
    lines += ["", f"{summary(layers, warnings)}."]
    lines += [f"! {warning}" for warning in warnings]
    lines += [f"? {name}: {why}" for name, why in unseen.items()]
    return "\n".join(lines).strip("\n")


def page(layers: Sequence[Layer], warnings: Sequence[Trouble], unseen: Mapping[str, str]) -> str:
    """Return the table and the warnings for a notebook."""
    warned = {w.layer: f"{w.code}" for w in reversed(warnings)}
    heads = "".join(f'<th scope="col"{_class(h)}>{html.escape(h)}</th>' for h in HEADS)
    body = []
    for layer in layers:
        name, *cells = row(layer)
        mark = f' class="warned" title="{html.escape(warned[name], quote=True)}"' if name in warned else ""
        sign = "⚠ " if name in warned else ""
        tds = "".join(f"<td{_class(h)}>{html.escape(c)}</td>" for h, c in zip(HEADS[1:], cells, strict=True))
        body.append(f'<tr{mark}><th scope="row">{sign}{html.escape(name)}</th>{tds}</tr>')
    items = [item for code in dict.fromkeys(w.code for w in warnings) for item in _items(code, warnings)]
    items += [f'<li class="unseen"><b>{html.escape(n)}</b>: {html.escape(why)}.</li>' for n, why in unseen.items()]
    table = f"<table><caption>{summary(layers, warnings)}</caption>"
    if layers:
        table += f"<thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody>"
    notes = f"<ul>{''.join(items)}</ul>" if items else ""
    return f'<div class="normviz-audit"><style>{STYLE}</style>{scrolled(f"{table}</table>")}{notes}</div>'


def scrolled(table: str) -> str:
    """Return a table in a box that scrolls where it is too large, by keys as well."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Table">{table}</div>'


def _items(code: str, warnings: Sequence[Trouble]) -> list[str]:
    """Return the warnings of one code as list items, those after the third folded away."""
    items = [
        f"<li><code>{html.escape(w.code)}</code> <b>{html.escape(w.layer)}</b>: {html.escape(w.message)}.<br>"
        f"{html.escape(w.remedy[:1].upper() + w.remedy[1:])}.</li>"
        for w in warnings
        if w.code == code
    ]
    shown, more = items[:SHOWN], items[SHOWN:]
    if more:
        head = f"<summary>{len(more)} more of <code>{html.escape(code)}</code></summary>"
        shown.append(f"<li><details>{head}<ul>{''.join(more)}</ul></details></li>")
    return shown


def _class(head: str) -> str:
    return ' class="n"' if head in NUMERIC else ""


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
