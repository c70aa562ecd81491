"""The course: every notebook runs, runs again, and is written as a course should be."""

import json
import re

import nbformat
import pytest

from tests.course import NOTEBOOKS, Answer, Course, execute, run

LIMIT = 3_000_000
"""Bytes of a notebook with its outputs and the state of its widgets."""

QUESTION = "**Question.**"
FOLDED = "<details><summary>Answer</summary>\n\n"  # Without the empty line Markdown inside is not rendered.
UNFOLDED = "# Answer"
FOLDED_IN_JUPYTERLAB = {"jupyter": {"source_hidden": True}}


def is_folded(cell):
    """Whether JupyterLab hides the code of this cell until the reader clicks it: an answer, or what grades one."""
    return cell.cell_type == "code" and (cell.source.startswith(UNFOLDED) or cell.id.endswith(("-answer", "-grade")))


def read(path):
    return nbformat.read(path, as_version=4)


def texts(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


# --- It runs ---------------------------------------------------------------------------------------------------------


def test_runs_from_top_to_bottom_and_again(path, course):
    """Twice in one kernel and in an empty folder: no warning, no file left, the same outputs."""
    done = course.run(path)
    assert done.files == []
    first = [cell for cell in done.first.cells if cell.cell_type == "code"]
    for one, other in zip(first, done.again.cells, strict=True):
        warned = [out["text"] for out in (*one.outputs, *other.outputs) if out.get("name") == "stderr"]
        assert not warned, f"{one.id} warns: {warned[0]}"
        assert shown(one) == shown(other), f"{one.id} does something else when run again"
    assert any(cell.outputs for cell in first)
    assert (course.executed / path.name).stat().st_size < LIMIT


def shown(cell):
    """Return the text that a cell printed, and its other outputs without the identifiers of widgets."""
    printed = "".join(out["text"] for out in cell.outputs if out.output_type == "stream")
    others = [out.data for out in cell.outputs if out.output_type != "stream"]
    return printed, [{kind: value for kind, value in data.items() if "widget-view" not in kind} for data in others]


def of_cells(**codes):
    """A notebook of code cells, by name."""
    cells = [nbformat.v4.new_code_cell(code, id=name.replace("_", "-")) for name, code in codes.items()]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_cell_that_works_only_once_is_found(tmp_path):
    """A notebook that removes its own folder runs the first time."""
    source = "import os, tempfile\nname = globals().setdefault('name', tempfile.mkdtemp())\nos.rmdir(name)"
    with pytest.raises(Exception, match="FileNotFoundError"):
        run(of_cells(once=source), {}, tmp_path / "work")


def test_a_cell_that_needs_a_solution_is_found(tmp_path):
    """What an answer defines is gone before the next cell; what it replaces is there again."""
    notebook = of_cells(start="size = 1", exercise_a_grade="print(size)", after="print(size)", last="print(answer)")
    answers = {"exercise-a-grade": {"wrong-1": Answer("answer = size = 2", ""), "right": Answer("size = 3", None)}}
    with pytest.raises(Exception, match="name 'answer' is not defined"):
        run(notebook, answers, tmp_path / "work")
    del notebook.cells[-1]
    done = run(notebook, answers, tmp_path / "again")
    printed = [[cell.outputs[0].text for cell in part.cells if cell.outputs] for part in (done.first, done.answers)]
    assert printed == [["1\n", "1\n"], ["2\n", "3\n"]]


def test_a_notebook_runs_once_also_when_it_fails(tmp_path):
    count = tmp_path / "count"
    again = f"with open({str(count)!r}, 'a') as file:\n    file.write('x')"
    nbformat.write(of_cells(again=again, fails="1 / 0"), tmp_path / "own.ipynb")
    for _ in range(2):
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            Course(tmp_path / "course").run(tmp_path / "own.ipynb")
    assert count.read_text() == "x"


@pytest.mark.parametrize(
    ("name", "empty", "printed_all_the_same"),
    [
        ("09_your_own_layer", "sections 1, 4 and 5 and Exercise 3", "momentum-reversed"),
        ("10_real_bugs", "rooms 9 to 12", "affine-per-group"),
        ("11_over_time", "the trainings of sections 1 and 6", "cause 3 costs"),
    ],
)
def test_a_notebook_says_once_that_torch_is_missing(tmp_path, name, empty, printed_all_the_same):
    """What needs NumPy alone still runs."""
    notebook = read(next(path for path in NOTEBOOKS if path.stem == name))
    hide = nbformat.v4.new_code_cell("import sys\nsys.modules['torch'] = None", id="hide")
    notebook.cells = [hide, *(cell for cell in notebook.cells if cell.cell_type == "code")]
    execute(notebook, folder=tmp_path)
    printed = "".join(out["text"] for cell in notebook.cells for out in cell.outputs if out.output_type == "stream")
    assert printed.count(f"PyTorch is not installed, so {empty} stay empty") == 1
    assert printed_all_the_same in printed


def test_each_room_of_the_museum_shows_a_picture_and_the_verdict_that_the_last_table_has(course):
    """Twelve rooms of one form. The table after them has "tool: `code`" for each, and the tool says this code."""
    notebook = course.run(next(path for path in NOTEBOOKS if path.stem == "10_real_bugs")).first
    by_id = {cell.id: cell for cell in notebook.cells}
    promised = re.findall(r"^\| (\d+) \| (\w+): `(.+)` \|$", by_id["names"].source, flags=re.M)
    rooms = [cell.id for cell in notebook.cells if cell.source.startswith("## Room ")]
    assert [int(number) for number, _, _ in promised] == [*range(1, len(rooms) + 1)] == [*range(1, 13)]
    for room, (number, tool, code) in zip(rooms, promised, strict=True):
        linked = r"\[([\w.-]+/[\w.-]+) #(\d+)\]\(https://github.com/\1/(issues|pull)/\2\)"
        assert re.match(rf"## Room {number}: .+\n\n{linked}", by_id[room].source)
        assert FOLDED in by_id[f"{room}-question"].source
        assert f"`{code}`" not in by_id["guide"].source
        answer = by_id[f"{room}-answer"]
        said = "".join(out.get("text", "") or out.get("data", {}).get("text/html", "") for out in answer.outputs)
        assert f"nv.{tool}(" in answer.source
        assert code in (answer.source if tool == "probe" else said), f"{room} does not say {code}"
        assert any("<iframe" in out.get("data", {}).get("text/html", "") for out in answer.outputs), room


# --- It is written as a course should be -----------------------------------------------------------------------------


def test_there_are_the_notebooks_that_the_course_names():
    chapters = "tour pooling_sets group_norm batch_norm_breaks instance_norm_and_style wider_family numerics gradients"
    names = [*chapters.split(), "large_tensors", "your_own_layer", "real_bugs", "over_time"]
    numbered = [f"{k:02}_{name}" for k, name in enumerate(names)]
    assert [path.stem for path in NOTEBOOKS] == sorted([*numbered, "03b_small_batches_in_practice"])


def test_no_outputs_and_stable_names_of_cells(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id), f"{cell.id} is not a name that a person gave"
        assert cell.metadata == (FOLDED_IN_JUPYTERLAB if is_folded(cell) else {}), cell.id
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        if cell.source.startswith(UNFOLDED):  # JupyterLab shows the first line of hidden code
            assert cell.source.splitlines()[0] == UNFOLDED, f"{cell.id} shows its answer while it is folded"
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    written = json.dumps(json.loads(path.read_text("utf-8")), indent=1, sort_keys=True, ensure_ascii=False)
    assert path.read_text("utf-8") == f"{written}\n"


def test_goals_prerequisites_and_minutes_come_first(path):
    first = texts(read(path))[0]
    assert first.startswith("# ")
    assert "**You will be able to**" in first
    assert len(re.findall(r"^- ", first, flags=re.M)) >= 4
    assert "**You need**" in first
    minutes = re.search(r"\*\*Time\*\*: (\d+) minutes", first)[1]
    assert 5 <= int(minutes) <= (45 if path.stem.startswith("03") else 60)
    course = (path.parent.parent / "docs" / "course" / "index.md").read_text("utf-8")
    assert re.search(rf"\({path.name}\) \|.*\| (\d+) \|", course)[1] == minutes


def unanswered(notebook):
    """Return the questions that have no answer after them, and the answers that had no question."""
    found = []
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        after = following.source if following and following.cell_type == "code" else ""
        if cell.cell_type == "code":
            continue
        parts = cell.source.split(QUESTION)
        found += [parts[0]] if FOLDED in parts[0] else []
        for number, part in enumerate(parts[1:], start=2):
            folded = part.count(FOLDED) == part.count("</details>") == 1
            in_code = number == len(parts) and after
            if not folded and not (in_code and after.startswith(UNFOLDED)):
                found.append(part)
    codes = [
        k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.startswith(UNFOLDED)
    ]
    return found + [notebook.cells[k].source for k in codes if QUESTION not in notebook.cells[k - 1].source]


def test_a_question_before_each_answer_and_an_answer_after_each_question(path):
    notebook = read(path)
    assert unanswered(notebook) == []
    assert sum(text.count(QUESTION) for text in texts(notebook)) >= 8


def test_a_question_without_an_answer_is_found(path):
    for ident in [cell.id for cell in read(path).cells if cell.source.startswith(UNFOLDED)][:1]:
        notebook = read(path)
        notebook.cells = [cell for cell in notebook.cells if cell.id != ident]
        assert len(unanswered(notebook)) == 1
    notebook = read(path)
    cell = next(cell for cell in notebook.cells if FOLDED in cell.source)
    cell.source = cell.source.replace(QUESTION, "Note.")
    assert len(unanswered(notebook)) == 1


def test_text_is_short(path):
    """Cells and sentences are short enough to be read on a screen, between code cells."""
    for text in texts(read(path)):
        prose = re.sub(r"(?m)^\|.*$|\$\$.*?\$\$|<[^>]+>|`[^`]+`", " ", text, flags=re.S)
        assert len(prose.split()) <= 220, text
        for sentence in re.split(r"[.:?;]\s|\n\n|\n- |\n\d\. ", prose):
            assert len(sentence.split()) <= 36, sentence


def test_only_the_tour_uses_the_widget():
    """The other notebooks use nv.show, which works without a kernel."""
    used = {
        path.stem: sum("nv.Explorer(" in c.source for c in read(path).cells if c.cell_type == "code")
        for path in NOTEBOOKS
    }
    assert {stem: count for stem, count in used.items() if count} == {"00_tour": 1}
