"""The exercises: open in a student's notebook, solved in the instructor's; their checks reject wrong answers."""

import copy
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from normviz import cli
from normviz.classroom import instructor

COURSE = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(path for path in COURSE.glob("*.ipynb") if "-grade" in path.read_text("utf-8"))
GRADES = re.compile(r"exercise-[a-z]+-grade")


def read(path):
    return nbformat.read(path, as_version=4)


def solutions(path):
    return instructor.read_solutions((instructor.SOLUTIONS / f"{path.stem}.md").read_text("utf-8"))


def exercises(notebook):
    return [cell.id.removesuffix("-grade") for cell in notebook.cells if GRADES.fullmatch(cell.id)]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_chapters_2_to_8_have_exercises():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["02", "03", "04", "05", "06", "07", "08"]


def test_every_exercise_has_its_cells_and_its_solution(path):
    notebook = read(path)
    names, (note, found) = exercises(notebook), solutions(path)
    assert 2 <= len(names) <= 4
    assert set(found) == {f"{name}-code" for name in names}
    assert 20 <= len(note.split()) <= 220
    by_id = {cell.id: cell for cell in notebook.cells}
    for number, name in enumerate(names, start=1):
        assert by_id[name].cell_type == "markdown"
        assert by_id[name].source.startswith(f"### Exercise {number}: ")
        assert "..." in by_id[f"{name}-code"].source
        assert found[f"{name}-code"].code not in by_id[f"{name}-grade"].source
        assert found[f"{name}-code"].wrong, f"{name} says no wrong answer"


@pytest.mark.timeout(600)
def test_open_answers_and_wrong_ones_are_refused_and_the_solution_is_not(path, tmp_path):
    """In one kernel: first the open cell, then each wrong answer in its place, and then the solution."""
    notebook, (_, found) = read(path), solutions(path)
    cells, expected = [], {}

    def grade(cell, code, what, number):
        for source, role in ((code, "code"), (cell.source, "grade")):
            new = copy.deepcopy(cell)
            new.source, new.id = source, f"{cell.id[:40]}-{role}-{number}"
            cells.append(new)
        expected[cells[-1].id] = (cell.id, what)

    numbers = {name: k for k, name in enumerate(exercises(notebook), start=1)}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cells.append(cell)
        if not GRADES.fullmatch(cell.id):
            continue
        name = cell.id.removesuffix("-grade")
        expected[cell.id] = (cell.id, f"Exercise {numbers[name]}: not yet")
        solution = found[f"{name}-code"]
        for k, wrong in enumerate(solution.wrong):
            grade(cell, wrong, f"Exercise {numbers[name]}: not yet", k)
        grade(cell, solution.code, f"Exercise {numbers[name]}: right.", 99)

    notebook.cells = cells
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in notebook.cells:
        if cell.id in expected:
            name, begin = expected[cell.id]
            printed = "".join(out.get("text", "") for out in cell.outputs if out.get("name") == "stdout")
            said = [line for line in printed.splitlines() if line.startswith("Exercise ")]
            assert len(said) == 1, f"{name} said {printed!r}"
            assert said[0].startswith(begin), f"{name} said {said[0]!r} to\n{cell.id}"
            assert not [out for out in cell.outputs if out.get("name") == "stderr"]


def test_the_instructor_s_version_is_the_notebook_with_solutions_and_notes(path):
    theirs = json.loads(path.read_text("utf-8"))
    note, found = solutions(path)
    made = dict(instructor.versions(COURSE))[path.name]
    mine = nbformat.reads(made, as_version=4)
    nbformat.validate(mine)
    by_id = {cell.id: cell for cell in mine.cells}
    assert "Instructor's version" in mine.cells[1].source
    assert note in mine.cells[1].source
    for name, solution in found.items():
        assert by_id[name].source == solution.code
        assert solution.note in by_id[f"{name}-note"].source
    assert "<details>" not in made
    kept = [cell["id"] for cell in theirs["cells"]]
    assert [cell.id for cell in mine.cells if not cell.id.endswith("-note") and cell.id != "for-the-teacher"] == kept


def test_no_solution_is_in_what_a_student_gets(tmp_path):
    cli.copy_new(cli.shipped_notebooks(), tmp_path)
    for path in NOTEBOOKS:
        text = (tmp_path / path.name).read_text("utf-8")
        cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(text)["cells"]}
        for name, solution in solutions(path)[1].items():
            assert solution.code not in cells[name]
    assert not list(tmp_path.rglob("*.md"))


# ---- The command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_all_notebooks_and_keeps_what_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [path.name for path in sorted(COURSE.glob("*.ipynb"))]
    (tmp_path / "normviz-instructor").mkdir()
    (tmp_path / "normviz-instructor" / names[0]).write_text("mine")
    assert cli.main(["instructor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Written to normviz-instructor: {', '.join(names[1:])}",
        f"Kept as they are in normviz-instructor: {names[0]}",
    ]
    assert (tmp_path / "normviz-instructor" / names[0]).read_text() == "mine"
    assert (tmp_path / "normviz-instructor" / names[1]).read_text("utf-8") == (COURSE / names[1]).read_text("utf-8")


def test_the_command_says_what_is_in_its_way(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["instructor", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err


CELL = {"cell_type": "code", "id": "size-code", "metadata": {}, "outputs": [], "execution_count": None}
OPEN = {"cells": [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# T"}, {**CELL, "source": "..."}]}


def test_solutions_for_a_cell():
    text = "# T\n\nTen minutes.\n\n## size-code\n\n```python\nsize = 8\n```\n\nNot:\n\n```python\nsize = 9\n```\n"
    made = instructor.with_solutions(OPEN, text)
    assert [cell["id"] for cell in made["cells"]] == ["title", "for-the-teacher", "size-code-note", "size-code"]
    assert made["cells"][3]["source"] == "size = 8"
    assert made["cells"][2]["source"] == "**For the teacher.** Not:\n\n```python\nsize = 9\n```"
    assert OPEN["cells"][1]["source"] == "..."
    assert instructor.read_solutions(text)[1]["size-code"].wrong == ("size = 9",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("## size-code\nnone", "the solution of size-code has no block of code; put one between ```python and ```"),
        (
            "## siz-code\n```python\n1\n```\n",
            "no such exercise: unknown cell 'siz-code'; did you mean 'size-code'? (known: title, size-code)",
        ),
        (
            "## a\n```python\n1\n```\n## a\n```python\n1\n```\n",
            "a is solved twice; join its two sections",
        ),
    ],
)
def test_solutions_that_do_not_fit(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        instructor.with_solutions(OPEN, text)
