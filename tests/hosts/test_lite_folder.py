"""Where `normviz lite` writes its site: what stays, and what is left if it is interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.test_jupyterlite import HOST as JUPYTERLITE
from tests.server import until


@pytest.fixture
def folder(tmp_path):
    """A folder in which a site is to be published, with a space and other letters in its name."""
    folder = tmp_path / "Übung 中" / "the site"
    (folder / ".git").mkdir(parents=True)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_earlier_site_is_replaced_in_its_place(folder):
    """Also in the working directory, and what is hidden stays."""
    here = folder.stat().st_ino
    said = JUPYTERLITE.run(JUPYTERLITE.python, "-m", "normviz", "lite", ".", cwd=folder)
    written = names(folder)
    assert {".git", "index.html", "files", "pypi"} <= written
    assert "(0 MB)" not in said
    (folder / "static").mkdir()
    (folder / "files" / "of_an_earlier_release.ipynb").touch()
    assert f'--directory "{folder}"' in JUPYTERLITE.run(JUPYTERLITE.python, "-m", "normviz", "lite", folder)
    assert names(folder) == written
    assert "of_an_earlier_release.ipynb" not in names(folder / "files")
    assert folder.stat().st_ino == here


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal for one group of processes")
def test_an_interrupted_build_leaves_nothing(folder):
    target = folder / "a" / "b"
    command = [str(JUPYTERLITE.python), "-m", "normviz", "lite", str(target)]
    running = subprocess.Popen(command, env=JUPYTERLITE.environment, start_new_session=True)
    # JupyterLite is at work then.
    until(lambda: list(folder.glob(".normviz-lite-*/site/*")), "the build to begin")
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait() == 130
    assert names(folder) == {".git"}
