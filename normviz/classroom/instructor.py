"""The instructor's version of the course: the notebooks with solved exercises and notes for the teacher.

In a student's notebook each exercise has a cell to fill in. The solutions lie in ``solutions/``, one Markdown file per
notebook. The text before the first ``## `` is a note for the whole notebook. A section ``## cell-id`` holds the
solution of that cell as its first block of code; the rest is a note, and further blocks of code are wrong answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normviz.core.errors import unknown

SOLUTIONS = Path(__file__).parent / "solutions"
BLOCK = re.compile(r"^```python\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
BANNER = "**Instructor's version.** Solutions and notes are in place; students get the notebook without them.\n\n"


@dataclass(frozen=True)
class Solution:
    """The solution of one exercise.

    Attributes
    ----------
    code, note
        The content of the student's cell, and a note for the teacher in Markdown.
    wrong
        Frequent wrong answers, which the exercise must reject.
    """

    code: str
    note: str = ""
    wrong: tuple[str, ...] = ()


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
        As JSON; it is not changed.
    text
        The content of its file of solutions.

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
    """Yield the name of each notebook of the course, and the text of its instructor's version.

    Parameters
    ----------
    course
        The folder of the students' notebooks. One without a file of solutions is not changed.
    """
    for path in sorted(course.glob("*.ipynb")):
        text, solutions = path.read_text("utf-8"), SOLUTIONS / f"{path.stem}.md"
        if solutions.is_file():
            notebook = with_solutions(json.loads(text), solutions.read_text("utf-8"))
            text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        yield path.name, text
