"""Build the site: notebooks, wheels, JupyterLite's pages and, on demand, a copy of Pyodide."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from normviz.lite import wheels

MODULES = ("jupyterlite_core", "jupyterlite_pyodide_kernel", "jupyter_server")
KERNEL = "@jupyterlite/pyodide-kernel-extension"
EXTENSIONS = {
    "jupyterlite-pyodide-kernel": KERNEL,
    "jupyterlab-widgets": "@jupyter-widgets/jupyterlab-manager",
    "anywidget": "anywidget",
    "plotly": "jupyterlab-plotly",
}
"""What runs Python (the first) and draws explorers and charts in JupyterLab: packages and names of their extensions."""
NAME = "normviz"
CONFIG = "jupyter-lite.json"
APPS = ("lab", "notebooks", "tree")
NARROW = 800
"""Pixels: in a narrower window a lab with its list of files leaves no room for a notebook."""

RUNTIME = ("pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
SCRIPTS = ("pyodide.asm.js", "pyodide.asm.mjs")
"""The first until Pyodide 0.29, the second since."""
LOADED = ("ipython", "jedi", "micropip", "numpy", "packaging", "traitlets")
"""What Pyodide loads of its own packages before a notebook runs."""
LOADED_IF_APART = ("sqlite3", "ssl")
"""Pyodide before 314 has these apart from the standard library, and the kernel asks for them."""


def build(folder: Path, notebooks: Path, pyodide: Path | None = None) -> None:
    """Write a JupyterLite site with the notebooks, completely or not at all.

    Parameters
    ----------
    folder
        A new or an empty folder, or one with an earlier site, which is replaced. Hidden files, such as `.git`, stay.
    notebooks
        The folder of the course.
    pyodide
        A folder with Pyodide. What the site needs of it is copied, and the site then asks no other server. Without it
        the reader's browser loads Pyodide from the CDN that the kernel names.

    Raises
    ------
    ModuleNotFoundError
        If JupyterLite is not installed.
    ValueError
        If one of the folders cannot be used.
    RuntimeError
        If JupyterLite cannot build the site.
    """
    if not all(map(find_spec, MODULES)):
        raise ModuleNotFoundError(
            'JupyterLite is not installed; install it with: python -m pip install "normviz[lite]"'
        )
    folder = folder.resolve()
    check_folder(folder)
    extensions = [extension(package, name) for package, name in EXTENSIONS.items()]
    copied = needed_of(pyodide, *kernel_needs()) if pyodide else ()
    # The folder itself may be all that this user can write to, and may be the working directory.
    place = next(path for path in (folder, *folder.parents) if path.exists())
    with TemporaryDirectory(prefix=".normviz-lite-", dir=place) as made:
        source, site = Path(made, "source"), Path(made, "site")
        (source / "pypi").mkdir(parents=True)
        made_wheels = [wheels.write_wheel(package, source / "pypi") for package in wheels.needed()]
        own = [path.name for path in (*made_wheels, wheels.write_stand_in(source / "pypi"))]
        if pyodide:
            (source / "static" / "pyodide").mkdir(parents=True)
            for name in copied:
                shutil.copyfile(pyodide / name, source / "static" / "pyodide" / name)
        for name, content in configuration(own, notebooks, extensions, copied).items():
            (source / name).write_text(json.dumps(content, indent=1), "utf-8")
        run_jupyterlite(source, site)
        begin_with(min(notebooks.glob("*.ipynb")).name, site / "index.html")
        (earlier := Path(made, "earlier")).mkdir()
        folder.mkdir(parents=True, exist_ok=True)
        move(
            [(path, earlier / path.name) for path in shown(folder)]
            + [(path, folder / path.name) for path in shown(site)]
        )


def shown(folder: Path) -> list[Path]:
    """Return what a folder holds, without hidden files: `.git` and `.nojekyll` belong to who publishes the site."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def move(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Rename each first path to the second, all of them or none."""
    moved: list[tuple[Path, Path]] = []
    try:
        for old, new in pairs:
            old.rename(new)
            moved.append((old, new))
    except BaseException:
        for old, new in reversed(moved):
            new.rename(old)
        raise


def check_folder(folder: Path) -> None:
    """Raise ValueError for a folder that holds anything but an earlier site."""
    if not folder.exists() or not shown(folder):
        return
    try:
        name = json.loads((folder / CONFIG).read_text("utf-8"))["jupyter-config-data"]["appName"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    if name != NAME:
        raise ValueError(f"{folder} holds other files than an earlier site; name a new folder")


def needed_of(pyodide: Path, start: str, release: tuple[str, str]) -> list[str]:
    """Return the names of the files that the site needs of a folder with Pyodide; for the rest see `kernel_needs`.

    Raise ValueError if one of the files is not there, or Pyodide is another release than the kernel needs.
    """
    lock = pyodide / "pyodide-lock.json"
    runtime = [start, *RUNTIME, next((name for name in SCRIPTS if (pyodide / name).exists()), SCRIPTS[0])]
    if absent := [name for name in runtime if not (pyodide / name).is_file()]:
        raise ValueError(f"{pyodide} is no folder with Pyodide: {absent[0]} is not there")
    try:
        listed = json.loads(lock.read_text("utf-8"))
        packages, info = listed["packages"], listed["info"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{lock} does not list the packages of Pyodide") from error
    key, wanted = release
    if not f"{info.get(key)}.".startswith(f"{wanted}."):
        of = "Python" if key == "python" else "Pyodide"
        raise ValueError(
            f"{pyodide} holds {of} {info.get(key)}, and the installed kernel of JupyterLite needs {of} {wanted}"
        )
    names = [*LOADED, *(name for name in LOADED_IF_APART if name in packages)]
    files: dict[str, str] = {}
    while names:
        name = wheels.normal(names.pop())
        if name not in files:
            found = packages.get(name)
            if found is None or not (pyodide / found["file_name"]).is_file():
                raise ValueError(f"{pyodide} lacks the package {name}; give the folder of a full release of Pyodide")
            files[name] = found["file_name"]
            names += found["depends"]
    return [*runtime, *files.values()]


def kernel_needs() -> tuple[str, tuple[str, str]]:
    """Return the file by which the installed kernel starts Pyodide, and what Pyodide has to say of its release."""
    from jupyterlite_pyodide_kernel import constants

    if python := getattr(constants, "PYODIDE_PYTHON_VERSION", None):
        return constants.PYODIDE_MJS, ("python", python)
    # Pyodide 0.27.7 serves a kernel that was made for 0.27.6.
    return "pyodide.js", ("version", constants.PYODIDE_VERSION.rpartition(".")[0])


def extension(package: str, name: str) -> Path:
    """Return the folder of an extension of JupyterLab that a package has installed; raise ValueError if it has not."""
    end = f"share/jupyter/labextensions/{name}/package.json"
    for file in distribution(package).files or ():
        if str(file).replace("\\", "/").endswith(end):
            return Path(str(file.locate())).resolve().parent
    raise ValueError(f"{package} has installed no extension of JupyterLab, so its outputs would not be shown")


def configuration(
    own: Sequence[str], notebooks: Path, extensions: Sequence[Path], copied: Sequence[str]
) -> dict[str, Any]:
    """Return the contents of JupyterLite's files of settings, by name.

    `own` are the names of the site's wheels, `copied` those of the files of Pyodide, none if a CDN gives it. The
    first of the extensions is that of the kernel.
    """
    # The worker that runs Python lies in extensions/@jupyterlite/pyodide-kernel-extension/static, and asks from there.
    # Addresses and names both count as packages, so Pyodide loads all of them at once, before micropip is there.
    loaded = [f"../../../../pypi/{name}" for name in own]
    loaded += [f"pypi/{path.name}" for path in sorted((extensions[0] / "static" / "pypi").glob("*kernel-*.whl"))]
    apart = [name for name in LOADED_IF_APART if any(file.startswith(f"{name}-") for file in copied)]
    pyodide = {
        "disablePyPIFallback": bool(copied),
        "loadPyodideOptions": {
            "packages": [*loaded, *LOADED, *apart],
            # Otherwise plotly puts its whole script into the first output with a chart.
            "env": {"PLOTLY_RENDERER": "plotly_mimetype"},
            # Pyodide since 0.28 has an object of its own for null, which no trait of a widget takes for None.
            "convertNullToNone": True,
        },
    }
    return {
        CONFIG: {
            "jupyter-lite-schema-version": 0,
            "jupyter-config-data": {"appName": NAME, "litePluginSettings": {f"{KERNEL}:kernel": pyodide}},
        },
        "overrides.json": {"@jupyterlab/apputils-extension:themes": {"adaptive-theme": True}},
        "jupyter_lite_config.json": {
            "LiteBuildConfig": {
                "apps": list(APPS),
                "contents": [str(notebooks.resolve())],
                "federated_extensions": list(map(str, extensions)),
                "ignore_sys_prefix": True,
                "no_sourcemaps": True,
                "no_unused_shared_packages": True,
            }
        },
    }


def begin_with(notebook: str, page: Path) -> None:
    """Let the site's first page lead to a notebook: the one that its address names (`?path=`), or this one.

    JupyterLite leads to an empty lab. On a phone a lab has no room for the notebook, so the notebook alone opens there.
    """
    there = f"""const app = innerWidth < {NARROW} ? "notebooks" : "lab";
      location.replace(`${{app}}/index.html${{location.search || "?path={notebook}"}}`);"""
    text = page.read_text("utf-8")
    page.write_text(text.replace("await import('./config-utils.js');", there), "utf-8")


def run_jupyterlite(source: Path, site: Path) -> None:
    """Let JupyterLite build a site from a folder of sources; raise RuntimeError if it cannot."""
    command = [sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", source, "--output-dir", site]
    # Neither the user's settings nor advice to install more has a place here.
    environment = os.environ | {"JUPYTER_NO_CONFIG": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([*map(str, command)], cwd=source, env=environment, capture_output=True, text=True)
    if done.returncode or not (site / "lab" / "index.html").exists():
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise RuntimeError(f"JupyterLite could not build the site; its last line is: {said}")
