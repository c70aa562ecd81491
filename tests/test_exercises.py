"""The exercises: open in a student's notebook, solved in the instructor's; their checks reject wrong answers."""

import json
import re

import nbformat
import pytest

from normviz import cli
from normviz.classroom import instructor
from tests.course import GRADES, answers_to, verdicts
from tests.course import NOTEBOOKS as ALL

COURSE = ALL[0].parent
NOTEBOOKS = [path for path in ALL if "-grade" in path.read_text("utf-8")]


def read(path):
    return nbformat.read(path, as_version=4)


def solutions(path):
    return instructor.read_solutions((instructor.SOLUTIONS / f"{path.stem}.md").read_text("utf-8"))


def exercises(notebook):
    return [cell.id.removesuffix("-grade") for cell in notebook.cells if GRADES.fullmatch(cell.id)]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_chapters_1_to_11_have_exercises():
    numbers = [path.stem.partition("_")[0] for path in NOTEBOOKS]
    assert numbers == ["01", "02", "03", "03b", "04", "05", "06", "07", "08", "09", "10", "11"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_chapter_has_notes_for_the_teacher(path):
    note, _ = solutions(path)
    assert 20 <= len(note.split()) <= 220
    plan, *others = re.findall(r"^\*\*(.+?)\*\*", note, flags=re.M)
    assert re.fullmatch(r"Plan, \d+ minutes\.", plan)
    assert others == ["What students get wrong.", "Ask in class.", "To extend."]


def test_every_exercise_has_its_cells_and_its_solution(path):
    notebook = read(path)
    names, (_, found) = exercises(notebook), solutions(path)
    assert 2 <= len(names) <= (12 if path.stem == "10_real_bugs" else 4)
    assert set(found) == {f"{name}-code" for name in names}
    by_id = {cell.id: cell for cell in notebook.cells}
    for number, name in enumerate(names, start=1):
        assert by_id[name].cell_type == "markdown"
        assert by_id[name].source.startswith(f"### Exercise {number}: ")
        assert "..." in by_id[f"{name}-code"].source
        assert found[f"{name}-code"].code not in by_id[f"{name}-grade"].source
        assert found[f"{name}-code"].wrong, f"{name} says no wrong answer"


def test_open_answers_and_wrong_ones_are_refused_and_the_solution_is_not(path, course):
    """In one kernel: first the open cell, then each wrong answer in its place, and then the solution."""
    done = course.run(path)
    cells = {cell.id: cell for cell in (*done.first.cells, *done.answers.cells)}
    expected = verdicts(path)
    assert len(expected) == len(exercises(read(path))) + len(done.answers.cells)
    for ident, (verdict, hint) in expected.items():
        said = [line for line in printed(cells[ident]).splitlines() if line.startswith("Exercise ")]
        assert len(said) == 1, f"{ident} said {said}"
        assert said[0].startswith(verdict), f"{ident} said {said[0]!r}"
        assert hint in text_of(cells[ident]), f"{ident} does not say {hint!r}, but: {text_of(cells[ident])}"
        assert not [out for out in cells[ident].outputs if out.get("name") == "stderr"]


def printed(cell):
    return "".join(out.get("text", "") for out in cell.outputs if out.get("name") == "stdout")


def text_of(cell):
    """What a cell printed, and its other outputs as text."""
    return printed(cell) + "".join(out.data.get("text/plain", "") for out in cell.outputs if "data" in out)


def test_ten_wrong_answers_and_five_right_ones_are_tried_for_each_exercise(path):
    for name, answers in answers_to(path).items():
        right = [answer for answer in answers.values() if answer.hint is None]
        assert len(right) >= 5, name
        assert len(answers) - len(right) >= 10, name


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
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
    written = {name: (tmp_path / "normviz-instructor" / name).read_text("utf-8") for name in names[1:]}
    assert written == {name: text for name, text in instructor.versions(COURSE) if name != names[0]}


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
