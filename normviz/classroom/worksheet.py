"""Worksheets to print: blank cubes with one cell marked, room for the answer, and a key with the sets lit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from normviz.atomic_write import check_path, write
from normviz.classroom.quiz import method_names
from normviz.core.errors import brief, check_keywords
from normviz.explorer import validation
from normviz.explorer.axis_names import axis_names
from normviz.explorer.html_page import POLICY
from normviz.explorer.sentences import say
from normviz.explorer.svg.picture import blank, still
from normviz.explorer.svg.readout import Readout, State, measure, name_of, span
from normviz.explorer.validation import Subject

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 186mm; padding: 8mm; background: #fff; color: #1b1f27; font: 11pt/1.45 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
h1 { font-size: 17pt; margin: 0 0 2mm; } h2 { font-size: 12.5pt; margin: 0 0 1.5mm; }
p { margin: 0 0 2mm; } .who { display: flex; flex-wrap: wrap; gap: 3mm 10mm; margin: 0 0 4mm; }
section { break-inside: avoid; margin: 0 0 6mm; }
svg { display: block; width: 100%; height: auto; }
.room { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: 2.5mm 7mm; margin: 2.5mm 0 0; }
.room > span { display: flex; align-items: end; gap: 2mm; white-space: nowrap; }
.line { flex: 1; min-width: 12mm; border-bottom: 0.3mm solid #1b1f27; height: 1.5em; }
.key { break-before: page; }
@media (max-width: 480px) { .room { grid-template-columns: 1fr; } body { padding: 4mm; } }
@page { margin: 12mm 14mm; }
@media print { body { padding: 0; max-width: none; } section { margin: 0 0 5mm; } svg { width: 150mm; } }
"""  # noqa: E501
SHAPE = (4, 8, 4, 4)
WIDTH = 620
"""Pixels of a figure; it is printed about as large."""
TITLE = say("worksheet.title")
LINE = '<span class="line"></span>'


@check_keywords
def worksheet(
    x: Any = None,
    methods: str | Iterable[str] = ("batch", "layer", "instance", "group"),
    num_groups: int | None = None,
    index: Iterable[int] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = TITLE,
) -> str | None:
    """A page to print: for each method a blank cube with one cell marked and room for its set, then the key.

    It prints on A4 and on letter paper, two questions per sheet; the key begins on a new sheet.

    Parameters
    ----------
    x
        An array as `Explorer` takes it, or a shape (N, C, *spatial); None takes the shape (4, 8, 4, 4).
    methods
        One or more keys of METHODS, one question each.
    num_groups
        G for those of the methods that take one.
    index
        The marked cell, (n, c, *spatial); None takes a cell on the visible front of the second sample.
    path
        Where to write the page.
    title
        The heading.

    Returns
    -------
    str or None
        The page, which has no script and makes no network request; or None once it is written.

    Raises
    ------
    ValueError, TypeError, IndexError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> import normviz as nv
    >>> nv.worksheet((2, 8, 4, 4), methods=["batch", "group"], num_groups=2).count("<svg")
    4
    """
    names = method_names("methods", methods)
    if not names:
        raise ValueError("worksheet() has nothing to ask: methods is empty; give it at least one")
    if path is not None:
        check_path(path)
    subject = validation.subject(_of_shape(SHAPE if x is None else x) if x is None or isinstance(x, tuple) else x)
    if index is None:
        N, _, *spatial = subject.shape
        index = (min(1, N - 1), 0, *(length // 2 for length in spatial))
    sections = []
    for number, each in enumerate(validation.each_method(names, num_groups, index), 1):
        sections.append(_sections(subject, validation.first_state(subject, each), number))
    questions, key = map("".join, zip(*sections, strict=True))
    heading = escape(validation.drawable(title))
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{say("worksheet.page", title=heading)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
<p class="who"><span>{say("worksheet.name")} {22 * "_"}</span><span>{say("worksheet.date")} {12 * "_"}</span></p>
<p>{say("worksheet.task")}</p>
{questions}
<div class="key"><h1>{say("worksheet.key")}</h1>
{key}</div>
</main>
</body>
</html>
"""
    return text if path is None else write(path, text)


def _sections(on: Subject, state: State, number: int) -> tuple[str, str]:
    """Return the HTML of a question, and that of its answer in the key."""
    shown = measure(on, state)
    axes = axis_names(on.shape, shown.row.axes)
    heading = f"<h2>{number}. {escape(name_of(state))}</h2>"
    empty, lit = (still(on, each, width=WIDTH, theme="light").svg(caption=False) for each in (blank(state), state))
    lines = [say("worksheet.range", axis=axis, line=LINE) for axis in axes]
    lines += [f"{say('panel.fact-size')} {LINE}", f"{say('panel.fact-sets')} {LINE}", say("worksheet.couples")]
    room = "".join(f"<span>{each}</span>" for each in lines)
    ranges = ", ".join(f"<i>{axis}</i> {span(each)}" for axis, each in zip(axes, shown.ranges, strict=True))
    numbers = {"size": shown.size, "count": shown.count, "couples": couples(shown)}
    answer = say("worksheet.answer", index=", ".join(map(str, state["index"])), ranges=ranges, **numbers)
    question = f'<section>{heading}{empty}<div class="room">{room}</div></section>'
    return question, f"<section>{heading}{lit}<p>{answer}</p></section>"


def couples(shown: Readout) -> str:
    """Return whether the output for one sample depends on others, as HTML."""
    row, samples = shown.row, shown.sets.block[0] if shown.sets else 0
    if row.axes == "weights":
        return say("sets.couples-weights")
    if row.n == "group":
        return say("sets.couples-slice", count=samples)
    return say("sets.no" if row.n == "one" else "sets.yes" if samples > 1 else "sets.couples-alone")


def _of_shape(shape: tuple[int, ...]) -> np.ndarray:
    """Return random normal values of that shape, the same each time."""
    try:
        view = np.broadcast_to(np.float32(0), shape)
    except (TypeError, ValueError):
        known = "an array or a shape (N, C, ...) of whole numbers"
        raise TypeError(f"worksheet() takes {known}, not {brief(shape)}") from None
    validation.checked_shape(view, 1)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
