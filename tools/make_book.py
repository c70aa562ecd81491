"""Builds the book into build/book/html (`make book`): the notebooks, the pages of docs, and the reference.

    python tools/make_book.py [FOLDER]

Sphinx wants all its sources in one folder, so they are copied there first. The last line printed says where the pages
are.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import normviz as nv

ROOT = Path(__file__).parent.parent
NOT_PAGES = ("__pycache__", "images")


def gather(source: Path) -> None:
    """Copy all that the book is made of into one folder, without what an earlier build had there."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns(*NOT_PAGES))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copyfile(notebook, source / "course" / notebook.name)
    shutil.copyfile(ROOT / "CHANGELOG.md", source / "changelog.md")
    nv.worksheet((2, 4, 3, 3), path=source / "_static" / "worksheet.html")


def main(build: Path = ROOT / "build" / "book") -> int:
    """Build; any warning is an error, and the exit code is Sphinx's."""
    source, pages = build / "source", build / "html"
    gather(source)
    shutil.rmtree(pages, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-b", "html"]
    done = subprocess.run([*command, "-d", build / "doctrees", source, pages], cwd=ROOT).returncode
    if not done:
        print(f"The book needs no server; open index.html in\n{pages}")
    return done


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
