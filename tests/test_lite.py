"""The parts of the static JupyterLite site that need no JupyterLite; tests/hosts/test_jupyterlite.py runs the site."""

import base64
import csv
import hashlib
import io
import json
import os
import posixpath
import subprocess
import sys
import zipfile
from collections import defaultdict
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest

from normviz import cli
from normviz.lite import site, wheels
from tools.make_book import ROOT, as_chapter

PYODIDE = ("pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip")
RELEASE = ("version", "0.27")
LOCK = {
    **{name: (f"{name}-1.whl", ()) for name in ("micropip", "numpy", "packaging", "traitlets", "pandas", "sqlite3")},
    "ipython": ("ipython-1.whl", ("prompt_toolkit",)),
    "jedi": ("jedi-1.whl", ("parso",)),
    "parso": ("parso-1.whl", ()),
    "prompt-toolkit": ("prompt_toolkit-1.whl", ()),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Some of the wheels by name: normviz, the small ones, and one that is compiled on most machines."""
    folder = tmp_path_factory.mktemp("wheels")
    names = ("normviz", "anywidget", "comm", "psygnal")
    found = {name: wheels.write_wheel(distribution(name), folder) for name in names}
    return found | {"nbformat": wheels.write_stand_in(folder)}


# ---- wheels ----------------------------------------------------------------------------------------------------------


def test_the_wheels_are_what_pyodide_lacks():
    names = {wheels.normal(package.name) for package in wheels.needed()}
    assert {"normviz", "anywidget", "click", "comm", "ipywidgets", "narwhals", "plotly", "psygnal"} <= names
    assert names.isdisjoint({"numpy", "ipython", "traitlets", "widgetsnbextension", "colorama", "torch", "sphinx"})


def test_a_missing_package_is_named(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(wheels, "distribution", absent)
    with pytest.raises(ValueError, match=r"^normviz is not installed, and the site needs it: python -m pip install "):
        wheels.needed()


def test_every_file_is_recorded(made):
    for path in made.values():
        assert path.name.endswith("-py3-none-any.whl")
        with zipfile.ZipFile(path) as wheel:
            record = next(name for name in wheel.namelist() if name.endswith("/RECORD"))
            rows = {name: rest for name, *rest in csv.reader(io.StringIO(wheel.read(record).decode()))}
            assert set(rows) == set(wheel.namelist())
            for name, (digest, size) in rows.items():
                data = wheel.read(name)
                code = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert name == record or (digest, size) == (f"sha256={code}", str(len(data)))


def test_nothing_compiled_and_no_notebook_is_inside(made):
    names = {name for path in made.values() for name in zipfile.ZipFile(path).namelist()}
    assert not [name for name in names if name.endswith((".so", ".pyd", ".pyc", ".pth", ".ipynb", "direct_url.json"))]
    assert {"normviz/explorer/js/explorer.js", "normviz/samples/activations.npz"} <= names


def test_the_same_bytes_again(made, tmp_path):
    assert wheels.write_wheel(distribution("comm"), tmp_path).read_bytes() == made["comm"].read_bytes()


def test_pip_installs_them(made, tmp_path):
    run = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", tmp_path]
    subprocess.run([*run, *made.values()], check=True)
    code = (
        "import normviz as nv, psygnal, anywidget; from importlib.metadata import version\n"
        "nv.Explorer(nv.samples.activations()).to_svg('x.svg')\n"
        "print(nv.__file__, psygnal.__file__, version('normviz'), version('nbformat'))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        str(tmp_path / "normviz" / "__init__.py"),
        str(tmp_path / "psygnal" / "__init__.py"),
        distribution("normviz").version,
        "4.2.0",
    ]


@pytest.fixture
def fast(tmp_path):
    """A function that makes an installed package of these files."""

    def make(*names):
        info = tmp_path / "fast-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fast\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
        return Distribution.at(info)

    return make


def test_what_python_and_numba_compiled_is_left_out(fast):
    package = fast("fast.py", "__pycache__/fast.cpython-311.pyc", "fast/__pycache__/loop-1a2b.bin")
    assert [name for name, _ in wheels.contents(package)] == ["fast.py"]


def test_a_package_without_its_source_is_refused(fast):
    with pytest.raises(ValueError, match=r"^fast is compiled, and fast/loop\.py is missing, so no browser can run it$"):
        list(wheels.contents(fast("fast/loop.abi3.so", "fast/__init__.py")))


# ---- the folder and Pyodide ------------------------------------------------------------------------------------------


def test_only_an_earlier_site_is_replaced(tmp_path):
    site.check_folder(tmp_path / "new")
    site.check_folder(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds other files than an earlier site; name a new folder$"):
        site.check_folder(tmp_path)
    for text in ("", "[]", '{"jupyter-config-data": {"appName": "JupyterLite"}}'):
        (tmp_path / "jupyter-lite.json").write_text(text)
        with pytest.raises(ValueError, match="holds other files"):
            site.check_folder(tmp_path)
    ours = site.configuration([], Path(), [Path()], [])["jupyter-lite.json"]
    (tmp_path / "jupyter-lite.json").write_text(json.dumps(ours))
    site.check_folder(tmp_path)


def test_hidden_files_are_no_hindrance(tmp_path):
    (tmp_path / ".git").mkdir()
    site.check_folder(tmp_path)
    assert site.shown(tmp_path) == []


def test_an_earlier_site_comes_back_if_a_file_cannot_be_moved(tmp_path):
    (tmp_path / "earlier").mkdir()
    for name in ("index.html", "lab"):
        (tmp_path / name).touch()
    pairs = [(tmp_path / name, tmp_path / "earlier" / name) for name in ("index.html", "lab", "absent")]
    with pytest.raises(FileNotFoundError, match="absent"):
        site.move(pairs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "index.html", "lab"]
    assert not any((tmp_path / "earlier").iterdir())


@pytest.fixture
def pyodide(tmp_path):
    """A folder with the names of Pyodide's files."""
    for name in (*PYODIDE, *(file for file, _ in LOCK.values())):
        (tmp_path / name).touch()
    packages = {name: {"file_name": file, "depends": depends} for name, (file, depends) in LOCK.items()}
    (tmp_path / "pyodide-lock.json").write_text(json.dumps({"info": {"version": "0.27.7"}, "packages": packages}))
    return tmp_path


def test_only_what_is_needed_of_pyodide_is_copied(pyodide):
    needed = site.needed_of(pyodide, "pyodide.js", RELEASE)
    assert len(set(needed)) == len(needed)
    assert set(needed) == {file.name for file in pyodide.iterdir()} - {"pandas-1.whl"}


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("pyodide.js", "is no folder with Pyodide: pyodide.js is not there"),
        ("pyodide-lock.json", "is no folder with Pyodide: pyodide-lock.json is not there"),
        ("pyodide.asm.js", "is no folder with Pyodide: pyodide.asm.js is not there"),
        ("numpy-1.whl", "lacks the package numpy; give the folder of a full release of Pyodide"),
        ("parso-1.whl", "lacks the package parso; give"),
    ],
)
def test_a_folder_without_pyodide_is_refused(pyodide, missing, said):
    (pyodide / missing).unlink()
    with pytest.raises(ValueError, match=said):
        site.needed_of(pyodide, "pyodide.js", RELEASE)


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_an_unreadable_list_of_packages_is_named(pyodide, text):
    (pyodide / "pyodide-lock.json").write_text(text)
    with pytest.raises(ValueError, match=r"pyodide-lock\.json does not list the packages of Pyodide$"):
        site.needed_of(pyodide, "pyodide.js", RELEASE)


@pytest.mark.parametrize(
    ("key", "wanted", "said"), [("version", "0.2", "Pyodide 0.27.7"), ("python", "3.14", "Python None")]
)
def test_another_release_is_refused(pyodide, key, wanted, said):
    with pytest.raises(ValueError, match=f"holds {said}, and the installed kernel of JupyterLite needs "):
        site.needed_of(pyodide, "pyodide.js", (key, wanted))


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(tmp_path):
    """The folder of the kernel's extension."""
    folder = tmp_path / "kernel"
    (folder / "static" / "pypi").mkdir(parents=True)
    for name in ("ipykernel-6-py3-none-any.whl", "pyodide_kernel-1-py3-none-any.whl", "widgetsnbextension-4-any.whl"):
        (folder / "static" / "pypi" / name).touch()
    return folder


def test_everything_is_loaded_before_a_notebook_runs(kernel, tmp_path):
    made = site.configuration(["normviz-1-py3-none-any.whl"], tmp_path, [kernel, tmp_path], [])
    data = made["jupyter-lite.json"]["jupyter-config-data"]
    options = data["litePluginSettings"]["@jupyterlite/pyodide-kernel-extension:kernel"]
    addresses = [name for name in options["loadPyodideOptions"]["packages"] if name.endswith(".whl")]
    # From the place of the kernel's worker.
    worker = "extensions/@jupyterlite/pyodide-kernel-extension/static"
    assert [posixpath.normpath(f"{worker}/{address}") for address in addresses] == [
        "pypi/normviz-1-py3-none-any.whl",
        f"{worker}/pypi/ipykernel-6-py3-none-any.whl",
        f"{worker}/pypi/pyodide_kernel-1-py3-none-any.whl",
    ]
    assert {"numpy", "ipython"} <= set(options["loadPyodideOptions"]["packages"])
    assert made["jupyter_lite_config.json"]["LiteBuildConfig"]["federated_extensions"] == [str(kernel), str(tmp_path)]


def test_only_a_site_with_pyodide_asks_no_index(kernel, tmp_path):
    def options(*copied):
        data = site.configuration([], tmp_path, [kernel], copied)["jupyter-lite.json"]["jupyter-config-data"]
        return data["litePluginSettings"]["@jupyterlite/pyodide-kernel-extension:kernel"]

    assert options()["disablePyPIFallback"] is False
    assert "ssl" not in options()["loadPyodideOptions"]["packages"]
    assert options("pyodide.js", "ssl-1.whl")["disablePyPIFallback"] is True
    assert "ssl" in options("pyodide.js", "ssl-1.whl")["loadPyodideOptions"]["packages"]
    assert "sqlite3" not in options("pyodide.js", "ssl-1.whl")["loadPyodideOptions"]["packages"]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_without_jupyterlite_one_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jupyterlite_core", None)
    assert cli.main(["lite", str(tmp_path / "site")]) == 2
    said = capsys.readouterr().err
    assert said == 'normviz: JupyterLite is not installed; install it with: python -m pip install "normviz[lite]"\n'
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert cli.main(["lite", str(tmp_path / "site"), "--offline", str(tmp_path / "pyodide")]) == 2
    assert "pyodide' does not exist" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ---- the book beside it ----------------------------------------------------------------------------------------------


def test_a_chapter_links_to_its_notebook_only_where_the_site_is():
    path = ROOT / "notebooks" / "02_group_norm.ipynb"
    alone, beside = (as_chapter(path, defaultdict(str), lite).cells[0].source for lite in (None, "lite/"))
    assert "browser" not in alone
    # Chapters stand in the folder `course` of the book.
    assert 'solve exercises, <a href="../lite/index.html?path=02_group_norm.ipynb">run it in the browser</a>' in beside


def test_the_first_page_leads_to_the_tour(tmp_path):
    page = tmp_path / "index.html"
    page.write_text("<script type=\"module\">await import('./config-utils.js');</script>")
    site.begin_with("00_tour.ipynb", page)
    text = page.read_text()
    assert "config-utils" not in text
    assert 'innerWidth < 800 ? "notebooks" : "lab"' in text
    assert '`${app}/index.html${location.search || "?path=00_tour.ipynb"}`' in text
