"""Worksheets on paper: blank cubes with a cell marked, room for the answer, and a key with the sets lit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from normviz.atomic_write import check_path, write
from normviz.explorer import validation as state
from normviz.explorer.html_page import POLICY
from normviz.explorer.svg import picture
from normviz.explorer.svg import question as asking
from normviz.explorer.svg.axis_names import axis_names
from normviz.explorer.svg.readout import Data, measure, name_of, span

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
LINE = '<span class="line"></span>'


def worksheet(
    x: Any = None,
    methods: str | Iterable[str] = ("batch", "layer", "instance", "group"),
    num_groups: int | None = None,
    index: Iterable[int] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "Which cells share mean and variance?",
) -> str | None:
    """A page to print: for each method a blank cube with one cell marked and room for its set, then the key.

    It prints on A4 and on letter, two questions a sheet; the key begins on a sheet of its own.

    Parameters
    ----------
    x
        An array as `Explorer` takes it, or only a shape, (N, C, *spatial); without one, (4, 8, 4, 4).
    methods
        One or more keys of METHODS, a question each.
    num_groups
        G of Group Norm among them.
    index
        The marked cell, (n, c, *spatial); None takes one on the visible front of the second sample.
    path
        Where to write the page.
    title
        The heading.

    Returns
    -------
    str or None
        The page, with no script and no outside request; or None once it is written.

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
    names = [methods] if isinstance(methods, str) else list(methods)
    if not names:
        raise ValueError("worksheet() has nothing to ask: methods is empty; give it at least one")
    if x is None or isinstance(x, tuple):
        x = _of_shape((4, 8, 4, 4) if x is None else x)
    if path is not None:
        check_path(path)
    grouped = [name for name in names if state.grouped(name).name == name]
    if num_groups is not None and not grouped:
        raise ValueError(f"num_groups={num_groups} means nothing to methods {', '.join(names)}; leave it out")
    questions, key = [], []
    scene: dict[str, Any] | None = None
    for k, name in enumerate(names):
        given: dict[str, Any] = {"method": name, "index": index}
        subject, now = state.start(x, given | ({"num_groups": num_groups} if name in grouped else {}))
        if index is None:
            shape = subject.shape
            now["index"] = (min(1, shape[0] - 1), 0, *(length // 2 for length in shape[2:]))
        scene = subject.scene() if scene is None else scene
        data = Data(scene)
        shown = measure(data, now)
        heading = f"<h2>{k + 1}. {escape(name_of(data, now))}</h2>"
        blank = picture.svg(data, asking.blank(now), theme="light", cube_only=True)
        lit = picture.svg(data, now, theme="light", cube_only=True)
        axes = axis_names(data.shape, shown.method)
        index_words = f"<i>i</i> = ({', '.join(str(i) for i in now['index'])})"
        ranges = [f"<span><i>{axis}</i> from {LINE} to {LINE}</span>" for axis in axes]
        asked = ["cells in the set", "sets in all"]
        lines = [*ranges, *(f"<span>{text} {LINE}</span>" for text in asked), "<span>couples samples: yes / no</span>"]
        questions.append(f'<section>{heading}{blank}<div class="room">{"".join(lines)}</div></section>')
        answer = ", ".join(f"<i>{axis}</i> {span(r)}" for axis, r in zip(axes, shown.ranges or (), strict=True))
        key.append(
            f"<section>{heading}{lit}<p>{index_words}: {answer}. Cells in the set: <b>{shown.size}</b>. Sets in all: "
            f"<b>{shown.sets}</b>. Couples samples: {picture.couples(shown, data.shape[0])}.</p></section>"
        )
    who = '<p class="who"><span>Name ______________________</span><span>Date ____________</span></p>'
    heading = escape(state.drawable(title))
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading} · normviz</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{who}
<p>Shade the set of the marked cell <i>i</i>, and write it down.</p>
{"".join(questions)}
<div class="key"><h1>Key</h1>
{"".join(key)}</div>
</main>
</body>
</html>
"""
    return text if path is None else write(path, text)


def _of_shape(shape: tuple[int, ...]) -> np.ndarray:
    """Values for a shape, the same each time; nothing on the sheet depends on them."""
    try:
        return np.random.default_rng(0).normal(size=shape).astype(np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"worksheet() takes an array or a shape (N, C, ...) of whole numbers, not {shape!r}") from None
