"""The page of an audit: findings and table as plain HTML, and each layer's input in an explorer that opens on demand.

The script and the stylesheet stand in the page once. The explorers stand in it packed, each by itself, so that a page
opens as fast with fifty layers as with one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from normviz.explorer import js, scene, validation
from normviz.explorer.html_page import as_json, document, packed
from normviz.inspect.audit.table import STYLE, Row, html_table, plural
from normviz.inspect.audit.tensors import short_name

if TYPE_CHECKING:
    from normviz.inspect.audit.registry import AuditWarning

MOST_PACKED = 2_500_000
"""Bytes that the explorers of a page take up, packed. Script, table and findings of ResNet-50 take less than 300 kB."""
LONGEST = 24
"""Entries of a list that a finding shows."""


def rooms(layers: Collection[str], warned: Collection[str]) -> dict[str, scene.Room]:
    """Return how many cells of each layer's input a page has room for; the layers with warnings share a third of it."""
    shares = ((warned, MOST_PACKED // 3), ({*layers} - {*warned}, MOST_PACKED - MOST_PACKED // 3))
    return {name: _room(most * 3 // 4 // len(names)) for names, most in shares for name in names}  # base64: 4 for 3


def _room(share: int) -> scene.Room:
    coarse, positions = (min(share // part, scene.MOST_COARSE) for part in (2, 16))
    return scene.Room(values=min(share // 4, scene.MOST_VALUES), coarse=coarse, positions=positions)


def explorer(given: dict[str, Any], room: scene.Room) -> str:
    """Pack the explorer of an input, given as keywords of `Explorer`; ValueError if it cannot be shown."""
    on, state = validation.start(given.pop("x"), given, room=room)
    shown = {**scene.without_zeros(on.travelling().scene)}
    del shown["methods"]  # all explorers of a page share them
    return packed(as_json({"scene": shown, "state": dict(state)}))


def fitting(explorers: Mapping[str, str], first: Collection[str]) -> dict[str, str]:
    """Return the explorers that a page has room for, those of the layers `first` before the others."""
    kept: dict[str, str] = {}
    left = MOST_PACKED
    for name in sorted(explorers, key=lambda name: name not in first):
        if len(explorers[name]) <= left:
            kept[name] = explorers[name]
            left -= len(explorers[name])
    return kept


def page(
    title: str,
    about: str,
    heads: Mapping[str, str],
    rows: Sequence[Row],
    warnings: Sequence[AuditWarning],
    explorers: Mapping[str, str],
    notes: Mapping[str, str],
    absent: Mapping[str, str],
) -> str:
    """Return the page of an audit.

    Parameters
    ----------
    title, about
        Of the page, and a sentence about the run.
    heads, rows
        Of the table, as `html_table` takes them; a row begins with the name of a layer, and `heads` tells what a column
        says.
    warnings
        The findings.
    explorers, notes, absent
        By the name of a layer: its packed explorer, what is to be said above that, and why it has none.
    """
    number = {short_name(layer): k for k, layer in enumerate(explorers)}

    def opener(layer: str, words: str) -> str:
        if layer not in number:
            return escape(words)
        return f'<button type="button" class="nva-open" data-layer="{number[layer]}">{escape(words)}</button>'

    def finding(warning: AuditWarning) -> str:
        layer = short_name(warning.layer)
        return _finding(warning, layer, opener(layer, "Show its input") if layer in number else "")

    table = html_table([*heads], rows, first=lambda layer: opener(layer, layer))
    alike: dict[str, list[str]] = {}
    for layer, why in absent.items():
        alike.setdefault(why, []).append(layer)
    others = "".join(
        f'<li class="unseen"><b>{escape(_words(layers))}</b>: {escape(why)}.</li>' for why, layers in alike.items()
    )
    columns = "".join(f"<dt>{escape(head)}</dt><dd>{escape(words)}</dd>" for head, words in heads.items())
    parts = [
        f'<p class="nva-about">{escape(about)}</p>',
        f"<section><h2>{plural(len(warnings), 'warning')}</h2>{''.join(map(finding, warnings))}</section>",
        f"<section><h2>{plural(len(rows), 'normalization layer')}</h2>"
        f'<p class="nva-about">Choose a layer to see its input, and the cells that share a mean and a variance.</p>'
        f'<div class="normviz-audit">{table}</div>'
        f'<details><summary>What the columns mean</summary><dl class="nva-list">{columns}</dl></details></section>',
        f'<section class="normviz-audit"><h2>Not shown</h2><ul>{others}</ul></section>' * bool(others),
    ]
    shown = {"names": [*explorers], "explorers": [*explorers.values()], "notes": [notes.get(n, "") for n in explorers]}
    style = js.stylesheet(editable=False) + STYLE + js.read("inspect/audit/page.css")
    script, data = js.joined("inspect/audit/page.js"), as_json({"methods": scene.rows(), **shown})
    return document(title, f'<div class="nva-page">{"".join(parts)}</div>', data, script, style=style, what="explorers")


def _finding(warning: AuditWarning, layer: str, opener: str) -> str:
    numbers = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(_words(value))}</dd>"
        for key, value in warning.numbers.items()
    )
    remedy = warning.remedy[:1].upper() + warning.remedy[1:]
    return (
        f'<article class="nva-finding normviz-audit"><h3><code>{escape(warning.code)}</code> {escape(layer)}</h3>'
        f"<p>{escape(warning.message[:1].upper() + warning.message[1:])}.</p>"
        + f'<details><summary>Numbers</summary><dl class="nva-list">{numbers}</dl></details>' * bool(numbers)
        + f"<p><b>Remedy.</b> {escape(remedy)}.</p>"
        + f"<pre><code>{escape(warning.fix)}</code></pre>" * bool(warning.fix)
        + f"<p>{opener}</p>" * bool(opener)
        + "</article>"
    )


def _words(value: Any) -> str:
    """Return a number, a shape or a list of names of a finding as text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
        more = f" and {len(value) - LONGEST} more" if len(value) > LONGEST else ""
        return ", ".join(map(short_name, value[:LONGEST])) + more
    return str(value)
