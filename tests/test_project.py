"""The project's own files: what ships, what is run by `make` and the workflows, and what is named nowhere."""

import graphlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
import yaml

import normviz as nv

ROOT = Path(__file__).parent.parent
TEXT = {".cff", ".css", ".html", ".ipynb", ".js", ".md", ".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml", ""}

# Put together from parts, for this file is searched with all the others.
HOSTS = re.compile(
    "|".join(
        rf"\b{name}\.{ending}\b"
        for name, ending in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("pytorch", "org/whl"),
            ("npmjs", "(org|com)"),
            ("yarnpkg", "com"),
            ("unpkg", "com"),
            ("jsdelivr", "net"),
            ("esm", "sh"),
            ("cdnjs", "cloudflare"),
            ("anaconda", "(org|com)"),
            ("prefix", "dev"),
            ("debian", "org"),
            ("ubuntu", "com"),
            ("fedoraproject", "org"),
            ("crates", "io"),
        )
    ),
    re.IGNORECASE,
)
MACHINE = re.compile(r"(?<![\w.~}-])/(work|root|home|Users|opt)/\w|\b[C-Z]:\\\\?[A-Z]")


def tracked(pattern: str = "*") -> list[Path]:
    """The project's own files: git's, or in a copy without git all but what is built."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        built = {".git", ".venv", "__pycache__", "build", "dist"}
        paths = [path for path in ROOT.rglob("*") if not built & set(path.relative_to(ROOT).parts)]
    return sorted(path for path in paths if path.is_file() and path.match(pattern))


def texts() -> list[tuple[Path, str]]:
    """The project's text files with their text."""
    paths = [path for path in tracked() if path.suffix in TEXT or path.name.startswith(".")]
    return [(path.relative_to(ROOT), path.read_text(encoding="utf-8")) for path in paths]


def found(pattern: re.Pattern[str], files: list[tuple[Path, str]]) -> list[str]:
    """Where a pattern occurs, as file:line: text."""
    return [
        f"{path}:{number}: {line.strip()[:200]}"
        for path, text in files
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_the_search_covers_the_whole_project():
    names = {str(path) for path, _ in texts()}
    assert {"Makefile", ".ci/run", "README.md", "environment.yml", "normviz/cli.py", "tests/test_project.py"} <= names
    assert any(name.endswith(".js") for name in names)
    assert any(name.endswith(".ipynb") for name in names)


def test_nothing_names_a_registry():
    planted = "pip install -i https://" + ".".join(("test", "pypi", "org")) + "/simple"
    assert found(HOSTS, [(Path("x"), planted)]) == [f"x:1: {planted}"]
    assert found(HOSTS, texts()) == []


def test_nothing_names_somebody_s_machine():
    planted = ["see /" + "home/ada/x.npy", "C:" + r"\Users\ada", "'/" + "root/x'"]
    assert len(found(MACHINE, [(Path("x"), "\n".join(planted))])) == 3
    assert found(MACHINE, texts()) == []


# Where conda's name is another. CuPy is one package there: the CUDA release is conda's to choose.
CONDA_NAMES = {
    "torch": "pytorch",
    "cupy-cuda12x[ctk]": "cupy",
    "cupy-cuda13x[ctk]": "cupy",
    "dask[array]": "dask",
    "ml-dtypes": "ml_dtypes",
}


def conda(requirements: list[str]) -> set[str]:
    """Requirements under the names that conda has for them."""
    return {re.sub(r"^[^<>=~!]+", lambda name: CONDA_NAMES.get(name[0], name[0]), item) for item in requirements}


def test_conda_names():
    assert conda(["numpy>=2.0", "dask[array]>=1", "cupy-cuda12x[ctk]>=14"]) == {"numpy>=2.0", "dask>=1", "cupy>=14"}


def test_environment_yml_is_in_step(project):
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    listed = yaml.safe_load(text)
    needed = {item for item in listed["dependencies"] if isinstance(item, str)}
    extras = project["optional-dependencies"]
    assert needed == {f"python{project['requires-python']}", "pip"} | conda(
        project["dependencies"] + extras["lab"] + extras["fast"]
    )
    optional = set(re.findall(r"^  # - (\S+)$", text, re.MULTILINE))
    assert optional == conda(
        [item for name in ("book", "cuda12", "cuda13", "dask", "progress", "torch") for item in extras[name]]
        + [item for item in extras["gif"] if not item.startswith("resvg")]  # which conda lacks
    )
    assert [item for item in listed["dependencies"] if isinstance(item, dict)] == [{"pip": ["-e ."]}]


def test_the_extras_are_there(project):
    assert {"lab", "fast", "cuda12", "cuda13", "dask", "torch", "dev"} <= set(project["optional-dependencies"])
    assert project["requires-python"] == ">=3.11"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_what_the_documents_tell_to_make_can_be_made(document, make_targets):
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    told = set(re.findall(r"\bmake ([a-z-]+)\b", code))
    assert {"test"} <= told <= make_targets
    if document == "README.md":
        assert "lab" in told


PYTHON_BLOCKS = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_every_python_block_of_the_readme_runs_as_printed(folder):
    blocks = PYTHON_BLOCKS.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 5
    names = {"__name__": "readme"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README.md, Python block {number}", "exec"), names)
    assert (folder / "page.html").stat().st_size > 100_000


def commands(workflow: dict) -> list[str]:
    """The shell commands of a workflow, one a line."""
    runs = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    return [line for run in runs for line in run.splitlines()]


@pytest.mark.parametrize("path", tracked(".github/workflows/*.yml"), ids=lambda path: path.stem)
def test_workflows_run_only_what_is_there(path, make_targets, project):
    lines = commands(yaml.safe_load(path.read_text(encoding="utf-8")))
    text = "\n".join(lines)
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= make_targets
    files = re.findall(r"\b(?:tools|tests|normviz)/[\w/.]+", text)
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert set(re.findall(r"\.\[([a-z,]+)\]", text)) <= set(project["optional-dependencies"])
    assert all(line.split()[0] in {"make", "python", "sudo", "test"} for line in lines), lines


def test_the_tests_run_on_every_python_that_the_classifiers_name(project):
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert {"os": "ubuntu-latest", "python": project["requires-python"].removeprefix(">="), "lowest": 1} in matrix[
        "include"
    ]
    extras = {name for names in jobs["extras"]["strategy"]["matrix"]["extras"] for name in names.split(",")}
    # GitHub's machines have no GPU; the tests install dev; samples is for one script.
    assert extras == {"", *project["optional-dependencies"]} - {"cuda12", "cuda13", "dev", "samples"}


def test_what_pip_installs_stands_in_double_quotes():
    """Of an extra. The shells of Windows and macOS do not take single quotes or none."""
    wrong = re.compile(r"pip install[^\"'`\n]*'?(?<!\")(normviz|\.)\[[a-z]")
    planted = ["pip install 'normviz[gif]'", "pip install normviz[gif]", 'pip install "normviz[gif]"']
    assert [bool(wrong.search(line)) for line in planted] == [True, True, False]
    documents = [
        (path, text) for path, text in texts() if path.suffix in (".md", ".ipynb") or path.parts[0] == "normviz"
    ]
    assert found(wrong, documents) == []


PUBLISHED = re.compile(r"https://(?:[\w-]+\.github\.io/|github\.com/[\w-]+/|)normviz\b[^\s)\"'<>\\]*")


def test_links_to_the_site_and_the_repository_are_those_of_the_setting(project):
    urls = project["urls"]
    owner = urls["Repository"].split("/")[3]
    assert urls["Homepage"] == f"https://{owner}.github.io/normviz/"
    files = [(path, text) for path, text in texts() if path != Path("tests/test_project.py")]
    linked = {(str(path), link) for path, text in files for link in PUBLISHED.findall(text)}
    assert {link for _, link in linked} <= set(urls.values())
    assert {("README.md", urls[name]) for name in ("Homepage", "Playground", "Course", "Teaching kit")} <= linked
    # The placeholder, until somebody replaces it in these two files; CONTRIBUTING.md says how.
    named = {str(path) for path, text in files if re.search(r"\bOWNER\b", text)}
    assert named - {"CONTRIBUTING.md"} == ({"pyproject.toml", "README.md"} if owner == "OWNER" else set())


def import_circle(package: str) -> list[str]:
    """Return the modules of one circle of imports, or nothing; imports inside functions and of packages count."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    imports: dict[str, set[str]] = {}
    for module in graph.modules:
        imports[module] = graph.find_modules_directly_imported_by(module)
        # `import a.b.c` runs a/__init__.py and a/b/__init__.py too, unless the importer lies in that package.
        for imported in tuple(imports[module]):
            parents = {imported.rsplit(".", k)[0] for k in range(1, imported.count(".") + 1)}
            imports[module] |= {parent for parent in parents if not f"{module}.".startswith(f"{parent}.")}
    try:
        tuple(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_import_circle():
    assert import_circle("normviz") == []


@pytest.mark.parametrize(
    ("first", "second", "circle"),
    [
        ("from planted import second", "def f():\n    from planted.first import f", True),
        ("from planted.part import inner", "", True),
        (
            "from planted import second",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING: import planted.first",
            False,
        ),
    ],
    ids=["in a function", "by a package", "for type checkers"],
)
def test_a_planted_import_circle_is_found(tmp_path, monkeypatch, first, second, circle):
    (tmp_path / "planted" / "part").mkdir(parents=True)
    files = {
        "__init__": "",
        "first": first,
        "second": second,
        "part/__init__": "import planted.first",
        "part/inner": "",
    }
    for name, text in files.items():
        (tmp_path / "planted" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert bool(import_circle("planted")) is circle


def test_modules_have_names_of_the_field():
    odd = "asking held seen ledger starting listening words choosing untouched troubles worked look made".split()
    names = [path.stem for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "normviz")]
    assert "pooling" in names
    assert set(names) & set(odd) == set()


def test_make_help_tells_every_target(make_targets):
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^make ([a-z-]+) ", told, re.MULTILINE)) == make_targets


def test_make_lab_opens_the_tour():
    would = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (notebook,) = re.findall(r"-m jupyterlab --LabApp\.default_url=/lab/tree/(\S+)", would)
    assert notebook == "notebooks/00_tour.ipynb"
    assert (ROOT / notebook).is_file()


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        ([], ".venv"),
        ([f"PYTHON={sys.executable}"], f".venv-{sys.version_info[0]}.{sys.version_info[1]}"),
        ([f"PYTHON={sys.executable}", "LOWEST=1"], f".venv-{sys.version_info[0]}.{sys.version_info[1]}-lowest"),
        (["PYTHON=/none"], ".venv-none"),
    ],
)
def test_each_python_has_an_environment_of_its_own(options, environment):
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "LOWEST", "VENV")}
    command = ["make", "-n", "lint", *options]
    would = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=True).stdout
    assert f"\n{environment}/bin/python -m ruff check" in f"\n{would}"
    assert ("--resolution lowest-direct" in would) == ("LOWEST=1" in options)


def test_ci_runs_the_same_tests():
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o100
    assert "make --no-print-directory test" in run.read_text(encoding="utf-8")


def test_citation_and_changelog_name_this_version_and_its_date():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == nv.__version__
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[heads[0] == "Unreleased"] == f"{nv.__version__} ({citation['date-released']})"
