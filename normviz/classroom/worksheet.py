"""Worksheets to print: blank cubes with one cell marked, room for the answer, and a key with the sets lit."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from normviz.atomic_write import check_path, write
from normviz.classroom.quiz import method_names
from normviz.core.errors import brief, check_keywords
from normviz.core.methods import METHODS, Method
from normviz.core.pooling import divisors, pooling
from normviz.explorer import validation
from normviz.explorer.axis_names import axis_names, length_names
from normviz.explorer.constants import LIGHT
from normviz.explorer.html_page import scriptless
from normviz.explorer.sentences import say
from normviz.explorer.svg.picture import blank, still
from normviz.explorer.svg.readout import Readout, State, measure, name_of, span
from normviz.explorer.validation import Subject

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 186mm; padding: 8mm; background: var(--page); color: var(--ink); font: 11pt/1.45 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
h1 { font-size: 17pt; margin: 0 0 2mm; } h2 { font-size: 12.5pt; margin: 0 0 1.5mm; }
p { margin: 0 0 2mm; } .who { display: flex; flex-wrap: wrap; gap: 3mm 10mm; margin: 0 0 4mm; }
section { break-inside: avoid; margin: 0 0 6mm; }
svg { display: block; width: 100%; height: auto; }
.room { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: 2.5mm 7mm; margin: 2.5mm 0 0; }
.room > span { display: flex; align-items: end; gap: 2mm; white-space: nowrap; }
.line { flex: 1; min-width: 12mm; border-bottom: 0.3mm solid; height: 1.5em; }
.key { break-before: page; }
@media (max-width: 480px) { .room { grid-template-columns: 1fr; } body { padding: 4mm; } }
@page { margin: 12mm 14mm; }
@media print { body { padding: 0; max-width: none; } section { margin: 0 0 5mm; } svg { width: 152mm; } }
"""  # noqa: E501
COLORS_STYLE = f":root {{ --page: {LIGHT['page']}; --ink: {LIGHT['ink']}; }}"
USUAL = 4
"""The number of groups that a question takes if it can."""
SHAPE = (4, 8, 4, 4)
FOUR = ("batch", "layer", "instance", "group")
WIDTH = 590
"""Pixels of a figure, whose letters are 13 pixels high. On paper it is a little larger, so they have 9.5 points."""
TITLE = say("worksheet.title")
LINE = '<span class="line"></span>'


@check_keywords
def worksheet(
    x: Any = None,
    methods: str | Iterable[str] = FOUR,
    num_groups: int | None = None,
    index: Iterable[int] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    key: str | os.PathLike[str] | None = None,
    title: str = TITLE,
) -> str | None:
    """Questions to print, and their key: for each method a blank cube with one cell marked and room for its set.

    They print on A4 and on letter paper, two questions per sheet for up to five samples. No two questions have the same
    answer: a method whose sets are those of an earlier question is left out, and the page says so.

    Parameters
    ----------
    x
        An array as `Explorer` takes it, or a shape (N, C, *spatial); None takes the shape (4, 8, 4, 4).
    methods
        One or more keys of METHODS, one question each.
    num_groups
        G for those of the methods that take one. None takes the divisor next to 4 that is larger than 1 and smaller
        than C (for "ghost" than N); without such a divisor the question is left out. With 1 or C you get a UserWarning,
        because then the sets are those of another method.
    index
        The marked cell, (n, c, *spatial); None takes a cell on the visible front of the second sample.
    path
        Where to write the questions.
    key
        Where to write the key. None takes the name of `path` with "-key" at its end: "sheet.html" and "sheet-key.html".
        With `path` again, both are one file.
    title
        The heading.

    Returns
    -------
    str or None
        Without `path` one page of questions and key, which has no script and makes no network request. None once the
        pages are written.

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
    files = _files(path, key)
    heading, sheet, answers = parts(x, methods, num_groups, index, title)
    both = page(heading, f'{sheet}<div class="key">{answers}</div>')
    if not files:
        return both
    texts = [both] if len(files) == 1 else [page(heading, sheet), page(heading, answers)]
    for file, text in zip(files, texts, strict=True):
        write(file, text)
    return None


def parts(
    x: Any = None,
    methods: str | Iterable[str] = FOUR,
    num_groups: int | None = None,
    index: Iterable[int] | None = None,
    title: str = TITLE,
) -> tuple[str, str, str]:
    """Return the heading, the questions and the key as HTML, for `page`; the arguments are those of `worksheet`."""
    names = method_names("methods", methods)
    if not names:
        raise ValueError("worksheet() has nothing to ask: methods is empty; give it at least one")
    subject = validation.subject(_of_shape(SHAPE if x is None else x) if x is None or isinstance(x, tuple) else x)
    if index is None:
        N, _, *spatial = subject.shape
        index = (min(1, N - 1), 0, *(length // 2 for length in spatial))
    given = validation.each_method(names, num_groups, index)
    asked, notes = distinct(subject.shape, given)
    if not asked:
        raise ValueError(f"worksheet() has nothing to ask: {notes[0]}")
    states = [validation.first_state(subject, each) for each in asked]
    ends = list(filter(None, (end_of(subject.shape, each) for each in given)))
    for end in ends:
        warnings.warn(end, UserWarning, stacklevel=4)
    questions, keys = map(
        "".join, zip(*(_sections(subject, state, k) for k, state in enumerate(states, 1)), strict=True)
    )
    heading = escape(validation.drawable(title))
    who = f"<span>{say('worksheet.name')} {22 * '_'}</span><span>{say('worksheet.date')} {12 * '_'}</span>"
    said = "".join(f"<p>{escape(note)}</p>\n" for note in [*ends, *notes])
    sheet = f'<h1>{heading}</h1>\n<p class="who">{who}</p>\n<p>{say("worksheet.task")}</p>\n{questions}\n{said}'
    answers = f"<h1>{say('worksheet.key', title=heading)}</h1>\n{keys}"
    return heading, sheet, answers


def _files(path: Any, key: Any) -> list[Path]:
    """Where to write the questions and the key, checked; one file if both are to be in it, none without a path."""
    if path is None:
        if key is not None:
            raise ValueError(f"key={brief(key)} needs a path for the questions; give path, too")
        return []
    file = check_path(path)
    if key is None:
        # A device or a pipe, such as /dev/stdout, has no second name.
        single = file.exists() and not file.is_file()
        key = file if single else file.with_name(f"{file.stem}-key{file.suffix}")
    other = check_path(key)
    # One file may have two names: relative and absolute, or a link.
    return [file] if other.resolve() == file.resolve() else [file, other]


def distinct(shape: Sequence[int], given: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Choose the questions whose sets all differ.

    Parameters
    ----------
    shape
        (N, C, *spatial).
    given
        The keywords of each method, with its G or None.

    Returns
    -------
    asked, notes
        The keywords of each question, with G where the method has groups; and a sentence on each method left out.
    """
    taken: dict[tuple[int, ...], str] = {}
    asked, notes = {}, []

    def choice(k: int) -> tuple[bool, bool]:
        return given[k]["num_groups"] is None, METHODS[given[k]["method"]].has_groups

    # A G that was asked for comes first, and methods without groups before those that still choose theirs.
    for k in sorted(range(len(given)), key=choice):
        row, G = METHODS[given[k]["method"]], given[k]["num_groups"]
        length, choose = shape[row.grouped_axis], choice(k) == (True, True)
        every = sorted(divisors(length)[1:-1], key=lambda g: (abs(g - USUAL), g)) if choose else [G]
        blocks = {pooling(row.name, shape, each).block: each for each in every}
        block = next((each for each in blocks if each not in taken), None)
        if block is not None:
            taken[block] = row.named(blocks[block])
            asked[k] = {**given[k], "num_groups": blocks[block]}
        elif choose:
            axis = length_names(shape, row.axes)[row.grouped_axis]
            notes.append(say("worksheet.no-groups", name=row.label, axis=axis, length=length))
        else:
            notes.append(say("worksheet.same-sets", name=row.named(G), other=taken[next(iter(blocks))]))
    return [asked[k] for k in sorted(asked)], notes


def end_of(shape: Sequence[int], given: Mapping[str, Any]) -> str | None:
    """Return a sentence on whose statistics the smallest and the largest G give; None for any other G."""
    row, G = METHODS[given["method"]], given["num_groups"]
    if not row.has_groups or G not in (1, shape[row.grouped_axis]):
        return None

    def key(other: Method, extent: str) -> tuple[str, ...]:
        extents = (extent if each == "group" else each for each in (other.n, other.c, other.spatial))
        return (*extents, other.statistic, other.axes)

    wanted = key(row, "all" if G == 1 else "one")
    other = next((each.label for each in METHODS.values() if key(each, "group") == wanted), None)
    name = row.named(G)
    return say("worksheet.end-cell", name=name) if other is None else say("worksheet.end", name=name, other=other)


def page(heading: str, body: str) -> str:
    """A page without scripts; `heading` and `body` are HTML."""
    return scriptless(say("worksheet.page", title=heading), COLORS_STYLE + STYLE, f"<main>\n{body}\n</main>")


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
