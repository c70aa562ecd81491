"""The notebooks of the course, each run once for all tests of a session, by the worker that needs it first.

One kernel runs the notebook with what an exercise is answered by, and then all of its code cells again. The tests of
the notebooks, of the exercises and of the book read the outputs.
"""

import asyncio
import copy
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
from filelock import FileLock
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from normviz.classroom import instructor

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
GRADES = re.compile(r"exercise-[a-z]+-grade")
GRADED = re.compile(rf"{GRADES.pattern}-(right|wrong)(-\d+)?")
VARIANTS = Path(__file__).parent / "answers"
"""More answers to the exercises than a teacher wants to read: a file for a notebook, "## exercise-NAME-code" before the
blocks of an exercise, and after "```python" the word "right", or "wrong: " and words that the hint must contain."""
VARIANT = re.compile(r"^```python (right|wrong: ([^\n]+))\n(.*?)^```", re.MULTILINE | re.DOTALL)

# What an answer defines is gone afterwards, so no later cell can depend on it.
KEEP = "_kept = {name: value for name, value in globals().items() if name[0] != '_'}"
FORGET = """\
for _name in [name for name in globals() if name[0] != "_" and name not in _kept]:
    del globals()[_name]
globals().update(_kept)"""


@dataclass(frozen=True)
class Run:
    """What the cells of a notebook gave.

    Attributes
    ----------
    first
        The notebook with its outputs and the state of its widgets.
    again
        Its code cells with the outputs of the second time in the same kernel.
    answers
        The graded answers of exercises: cells named "exercise-NAME-grade-ANSWER", where ANSWER is a key of
        `answers_to`.
    files
        Names of the files that the kernel left in its folder.
    """

    first: NotebookNode
    again: NotebookNode
    answers: NotebookNode
    files: list[str]


class Course:
    """The runs of this session, in a folder that all workers share.

    Attributes
    ----------
    executed
        The folder of the notebooks that were run, with the outputs of the first time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.executed = folder / "executed"
        self.executed.mkdir(parents=True, exist_ok=True)

    def run(self, path: Path) -> Run:
        """Run a notebook, unless a worker has run it already; AssertionError with what it said if a cell fails."""
        with FileLock(self._folder / f"{path.stem}.lock"):
            rest = self._folder / path.name
            if not rest.exists():
                nbformat.write(nbformat.v4.new_notebook(metadata=self._made(path)), rest)
        kept = nbformat.read(rest, as_version=4).metadata
        assert "error" not in kept, kept["error"]
        return Run(nbformat.read(self.executed / path.name, as_version=4), **kept)

    def _made(self, path: Path) -> dict[str, object]:
        try:
            made = run(nbformat.read(path, as_version=4), answers_to(path), self._folder / path.stem)
        except CellExecutionError as error:
            return {"error": str(error)}
        nbformat.write(made.first, self.executed / path.name)
        return {"again": made.again, "answers": made.answers, "files": made.files}


@dataclass(frozen=True)
class Answer:
    """An answer to an exercise: its code, and the words of the hint that it must get; None for a right answer."""

    code: str
    hint: str | None


def answers_to(path: Path) -> dict[str, dict[str, Answer]]:
    """All answers to the exercises of a notebook: {"exercise-NAME-grade": {"wrong-1": Answer, ..., "right": Answer}}.

    First those of the teacher's version, of which the last is the solution, and then the variants.
    """
    solutions = instructor.SOLUTIONS / f"{path.stem}.md"
    if not solutions.exists():
        return {}
    _, found = instructor.read_solutions(solutions.read_text("utf-8"))
    more = variants(path)
    assert set(more) <= set(found), f"no such exercise in {path.name}: {sorted(set(more) - set(found))}"
    answers: dict[str, dict[str, Answer]] = {}
    for name, solution in found.items():
        wrong = [Answer(code, "") for code in solution.wrong] + [v for v in more.get(name, ()) if v.hint is not None]
        right = [v for v in more.get(name, ()) if v.hint is None]
        answers[f"{name.removesuffix('-code')}-grade"] = {
            **{f"wrong-{k}": answer for k, answer in enumerate(wrong, start=1)},
            "right": Answer(solution.code, None),
            **{f"right-{k}": answer for k, answer in enumerate(right, start=2)},
        }
    return answers


def variants(path: Path) -> dict[str, list[Answer]]:
    """The variants of the answers to each exercise of a notebook."""
    file = VARIANTS / f"{path.stem}.md"
    if not file.exists():
        return {}
    _, *sections = re.split(r"^## +", file.read_text("utf-8"), flags=re.MULTILINE)
    found = {}
    for section in sections:
        name, _, body = section.partition("\n")
        blocks = VARIANT.findall(body)
        assert len(blocks) == body.count("```python"), f"{file.name}, {name}: a block is neither right nor wrong"
        found[name] = [Answer(code.rstrip("\n"), hint if kind != "right" else None) for kind, hint, code in blocks]
    return found


def verdicts(path: Path) -> dict[str, tuple[str, str]]:
    """How the line begins by which an exercise grades its open cell and each answer, and words of the hint."""
    found = {}
    for number, (grade, answers) in enumerate(answers_to(path).items(), start=1):
        found[grade] = f"Exercise {number}: not yet", ""
        for name, answer in answers.items():
            said = "right." if answer.hint is None else "not yet"
            found[f"{grade}-{name}"] = f"Exercise {number}: {said}", answer.hint or ""
    return found


def with_answers(cells: list[NotebookNode], answers: dict[str, dict[str, Answer]]) -> list[NotebookNode]:
    """The cells, and after each exercise its answers and how the exercise grades them."""
    found: list[NotebookNode] = []
    for cell in cells:
        found.append(cell)
        if codes := answers.get(cell.id):
            found.append(nbformat.v4.new_code_cell(KEEP))
            for name, answer in codes.items():
                found += [nbformat.v4.new_code_cell(answer.code)]
                found += [nbformat.v4.new_code_cell(cell.source, id=f"{cell.id}-{name}")]
            found.append(nbformat.v4.new_code_cell(FORGET))
    return found


def run(notebook: NotebookNode, answers: dict[str, dict[str, Answer]], folder: Path) -> Run:
    """Run a notebook in a new folder and a new kernel; after each exercise its answers; and all code cells again."""
    folder.mkdir()
    first, again = copy.deepcopy(notebook), copy.deepcopy(notebook)
    again.cells = [cell for cell in again.cells if cell.cell_type == "code"]
    shown = first.cells
    first.cells = with_answers(shown, answers)
    graded = [cell for cell in first.cells if GRADED.fullmatch(cell.id)]
    execute(first, again, folder=folder)
    first.cells = shown
    return Run(first, again, nbformat.v4.new_notebook(cells=graded), sorted(path.name for path in folder.iterdir()))


def execute(*notebooks: NotebookNode, folder: Path) -> None:
    """Run notebooks one after the other in one kernel, for as long as they take."""

    # pytest ends what hangs, so nothing here has a limit that a slow machine could reach.
    options = {"timeout": None, "startup_timeout": 1800, "record_timing": False}
    options["resources"] = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebooks[0], kernel_name="python3", **options)

    async def run_all() -> None:
        async with client.async_setup_kernel():
            for client.nb in notebooks:
                await client.async_execute(cleanup_kc=False)

    # In a thread of its own: a browser's loop may run in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(run_all())).result()
