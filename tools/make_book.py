"""Build the book into build/book/html (`make book`): the notebooks, the pages of docs, and the reference.

    python tools/make_book.py [FOLDER [EXECUTED]] [--lite ADDRESS]

Sphinx needs all sources in one folder, so they are copied there first. The last printed line is the pages' folder.
Notebooks that are in the folder EXECUTED keep the outputs that they have there; Sphinx runs all others. ADDRESS is that
of a site that `normviz lite` wrote, as seen from the book's first page: every chapter then links to its notebook there.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from normviz import kit
from normviz.cli import write_new

ROOT = Path(__file__).parent.parent
HINT = (
    '<p class="notebook-hint">This page shows a notebook; its pictures and charts are interactive. To change and run '
    'the code, or to solve exercises, {run}<a href="../notebooks/{name}" download>download the notebook</a>, or get '
    "all of them by <code>normviz lab</code>.</p>"
)
RUN = '<a href="../{lite}index.html?path={name}">run it in the browser</a> (nothing is installed), '
NOT_PAGES = ("__pycache__", "images")


def gather(source: Path, executed: Path | None, lite: str | None) -> None:
    """Copy all sources of the book into one folder, and remove those of an earlier build."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns(*NOT_PAGES))
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    titles = {path.name: nbformat.read(path, as_version=4).cells[0].source.split("\n")[0][2:] for path in notebooks}
    (source / "downloads" / "notebooks").mkdir(parents=True)
    for path in notebooks:
        shutil.copyfile(path, source / "downloads" / "notebooks" / path.name)
        ran = executed / path.name if executed else None
        chapter = as_chapter(ran if ran and ran.exists() else path, titles, lite)
        if any(cell.get("outputs") for cell in chapter.cells):
            chapter.metadata["mystnb"] = {"execution_mode": "off"}
        nbformat.write(chapter, source / "course" / path.name)
    shutil.copyfile(ROOT / "CHANGELOG.md", source / "changelog.md")
    shutil.copytree(ROOT / "normviz" / "labs" / "stills", source / "look" / "stills")
    shutil.copyfile(ROOT / "normviz" / "kit" / "lesson_plans.md", source / "teach" / "lesson_plans.md")
    write_new(kit.contents(), source / "downloads" / "kit")


def as_chapter(path: Path, titles: dict[str, str], lite: str | None = None) -> nbformat.NotebookNode:
    """Turn a notebook into a chapter: links by title, a hint on how to run it, and folded answers."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\[`(\w+\.ipynb)`\]", lambda link: f"[{titles[link[1]]}]", cell.source)
        elif cell.id.endswith("-answer"):
            # The question stands directly above, so the answer is hidden until the reader opens it.
            words = "Answer" if cell.source.startswith("# Answer") else "What normviz says"
            cell.metadata = {"tags": ["hide-cell"], "mystnb": {"code_prompt_show": words, "code_prompt_hide": words}}
        elif cell.id.endswith("-grade"):
            words = {"code_prompt_show": "What grades it", "code_prompt_hide": "What grades it"}
            cell.metadata = {"tags": ["hide-input", "remove-output"], "mystnb": words}
        if cell.id.startswith("exercise-") and cell.cell_type == "markdown":
            cell.source += "\n\n*Solve it in the notebook, where it is graded.*"
    title, _, rest = notebook.cells[0].source.partition("\n")
    run = RUN.format(lite=lite, name=path.name) if lite else ""
    notebook.cells[0].source = f"{title}\n\n{HINT.format(name=path.name, run=run)}\n{rest}"
    return notebook


def main(build: Path, executed: Path | None = None, lite: str | None = None) -> int:
    """Build the book and return Sphinx's exit code; any warning is an error."""
    source, pages = build / "source", build / "html"
    gather(source, executed, lite)
    shutil.rmtree(pages, ignore_errors=True)
    print("Running the notebooks and writing the pages; this takes a few minutes ...", flush=True)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-b", "html"]
    command += [*map(str, ("-d", build / "doctrees", source, pages))]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr or ():
            # Every kernel prints this warning about its connection within the machine.
            if "Kernel is running over TCP" not in line:
                print(line, end="", file=sys.stderr, flush=True)
    if not running.returncode:
        print(f"The book needs no server; open index.html in\n{pages}")
    return running.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path, nargs="?", default=ROOT / "build" / "book", metavar="FOLDER")
    parser.add_argument("executed", type=Path, nargs="?", metavar="EXECUTED")
    parser.add_argument("--lite", metavar="ADDRESS")
    sys.exit(main(**vars(parser.parse_args())))
