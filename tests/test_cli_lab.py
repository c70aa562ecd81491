"""``normviz lab``: the copied files, the kept files, and a JupyterLab that opens on the tour."""

import contextlib
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from normviz import cli
from tests.server import until


@pytest.fixture
def lab(monkeypatch):
    """Record the arguments of JupyterLab instead of starting it."""
    started = []
    module = types.ModuleType("jupyterlab.labapp")
    module.LabApp = types.SimpleNamespace(launch_instance=started.append)
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", module)
    return started


def test_lab_copies_the_course_and_never_overwrites(folder, lab, capsys):
    shipped = {path.name for path in cli.shipped_notebooks().glob("*.ipynb")}
    assert {"00_tour.ipynb", "01_pooling_sets.ipynb"} <= shipped
    mine = folder / "normviz-notebooks" / "00_tour.ipynb"
    mine.parent.mkdir()
    mine.write_text("my own notes")

    assert cli.main(["lab", "--no-browser"]) == 0
    assert mine.read_text() == "my own notes"
    assert shipped <= {path.name for path in mine.parent.iterdir()}
    copied, kept = capsys.readouterr().out.splitlines()
    assert copied.startswith("Copied to normviz-notebooks: ")
    assert "01_pooling_sets.ipynb" in copied
    assert "00_tour.ipynb" not in copied
    assert kept == "Kept as they are in normviz-notebooks: 00_tour.ipynb"

    assert cli.main(["lab"]) == 0
    assert mine.read_text() == "my own notes"
    again = capsys.readouterr().out.splitlines()
    assert len(again) == 1
    assert again[0].startswith("Kept as they are in normviz-notebooks: 00_tour.ipynb, 01_pooling_sets.ipynb")

    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    options = ["--LabApp.default_url=/lab/tree/normviz-notebooks/00_tour.ipynb", *root]
    assert lab == [[*options, "--no-browser"], options]


def test_copying_goes_into_folders_but_leaves_checkpoints(tmp_path):
    source = tmp_path / "source"
    for name in ("a.ipynb", "images/a.svg", ".ipynb_checkpoints/a.ipynb", "__pycache__/a.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    target = tmp_path / "target"
    target.mkdir()
    (target / "a.ipynb").symlink_to(tmp_path / "nowhere")
    copied, kept = cli.copy_new(source, target)
    assert (copied, kept) == ([str(Path("images/a.svg"))], ["a.ipynb"])
    assert not (tmp_path / "nowhere").exists()


def test_lab_without_jupyterlab_says_how_to_get_it(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    assert cli.main(["lab"]) == 2
    assert capsys.readouterr().err == (
        'normviz: JupyterLab is not installed; install it with: python -m pip install "normviz[lab]"\n'
    )
    assert list(folder.iterdir()) == []


def test_lab_starts_jupyterlab_on_the_tour(folder):
    command = [sys.executable, "-m", "normviz", "lab", "--no-browser", "--port=0", "--IdentityProvider.token=letmein"]
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    with (folder / "log").open("wb") as log:
        lab = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)

    def told() -> re.Match[str] | None:
        text = (folder / "log").read_text()
        assert lab.poll() is None, text
        return re.search(r"(http://\S+)/lab/tree/(normviz-notebooks/00_tour\.ipynb)\?", text)

    def answered() -> dict | None:
        # The address is printed shortly before the server listens there.
        with contextlib.suppress(URLError), urlopen(f"{server}/api/contents/{notebook}?token=letmein") as answer:
            return json.load(answer)

    try:
        server, notebook = until(told, "JupyterLab to print its address").groups()
        assert until(answered, "JupyterLab to answer")["type"] == "notebook"
    finally:
        lab.kill()
        lab.wait()
