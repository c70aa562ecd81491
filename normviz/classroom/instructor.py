"""The instructor's version of the course: the notebooks with the exercises solved, and notes for whoever teaches.

A student's notebook has for each exercise a cell to fill in. What goes there is kept apart, one Markdown file a
notebook in ``solutions/``: text before its first ``## `` is a note for the whole notebook; a section ``## cell-id`` has
the solution of that cell as its first block of code, and notes, among them wrong answers, around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normviz.core.errors import unknown

SOLUTIONS = Path(__file__).parent / "solutions"
BLOCK = re.compile(r"^```python\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
BANNER = "**Instructor's version.** Solutions and notes are in place; students get the notebook without them.\n\n"


@dataclass(frozen=True)
class Solution:
    """What the teacher has for one exercise.

    Attributes
    ----------
    code
        What belongs into the student's cell.
    note
        What to say about it, in Markdown.
    wrong
        Answers that are often given, and that the exercise refuses.
    """

    code: str
    note: str = ""
    wrong: tuple[str, ...] = field(default=())


def read_solutions(text: str) -> tuple[str, dict[str, Solution]]:
    r"""Return the note for the whole notebook, and a Solution for each cell that a file of solutions names.

    Raises
    ------
    ValueError
        A section has no block of code, or names a cell a second time.

    Examples
    --------
    >>> note, solutions = read_solutions("Ten minutes.\n\n## size-code\n```python\nsize = 8\n```\nEasy.\n")
    >>> note, solutions["size-code"].code, solutions["size-code"].note
    ('Ten minutes.', 'size = 8', 'Easy.')
    """
    first, *sections = re.split(r"^## +", text, flags=re.MULTILINE)
    note = re.sub(r"^# [^\n]*\n", "", first).strip()
    found: dict[str, Solution] = {}
    for section in sections:
        name, _, body = section.partition("\n")
        code, *wrong = [block.rstrip("\n") for block in BLOCK.findall(body)] or [""]
        if not code:
            raise ValueError(f"the solution of {name} has no block of code; put one between ```python and ```")
        if name in found:
            raise ValueError(f"{name} is solved twice; join its two sections")
        found[name] = Solution(code, BLOCK.sub("", body, count=1).strip(), tuple(wrong))
    return note, found


def with_solutions(notebook: dict[str, Any], text: str) -> dict[str, Any]:
    """Return the instructor's version of a notebook.

    Parameters
    ----------
    notebook
        As JSON; it is left as it is.
    text
        Its file of solutions.

    Raises
    ------
    ValueError
        The file solves a cell that the notebook does not have.
    """
    note, solutions = read_solutions(text)
    cells: list[dict[str, Any]] = []
    left = dict(solutions)
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = source.replace("<details>", "<details open>")
        solution = left.pop(cell["id"], None)
        if solution and solution.note:
            cells.append(_markdown(f"{cell['id']}-note", f"**For the teacher.** {solution.note}"))
        cells.append({**cell, "source": solution.code if solution else source})
        if len(cells) == 1:
            cells.append(_markdown("for-the-teacher", BANNER + note))
    if left:
        known = [cell["id"] for cell in notebook["cells"]]
        raise ValueError(f"no such exercise: {unknown('cell', next(iter(left)), known)}")
    return {**notebook, "cells": cells}


def _markdown(ident: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": ident, "metadata": {}, "source": source}


def versions(course: Path) -> Iterator[tuple[str, str]]:
    """Go through the course: the name of each notebook, and the text of its instructor's version.

    Parameters
    ----------
    course
        The folder of the students' notebooks. One without exercises is given as it is.
    """
    for path in sorted(course.glob("*.ipynb")):
        text, solved = path.read_text("utf-8"), SOLUTIONS / f"{path.stem}.md"
        if solved.is_file():
            made = with_solutions(json.loads(text), solved.read_text("utf-8"))
            text = json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        yield path.name, text
