"""What is released: the wheel, the sdist, and the command in an environment that has only what the wheel needs."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import normviz as nv
from normviz import cli
from tests.test_project import ROOT, tracked


def run(*command: str | Path, code: int = 0, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command; fail with what it said unless it ends with this code."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, encoding="utf-8", **options)
    assert done.returncode == code, f"{command} gave {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def build(source: Path, folder: Path, *targets: str) -> list[Path]:
    """Build by hatchling in this environment, because a build in one of its own would need the network."""
    chosen = [word for target in targets for word in ("-t", target)]
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, *chosen, cwd=source)
    return sorted(folder.iterdir())


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The sdist and the wheel of this checkout."""
    wheel, sdist = build(ROOT, tmp_path_factory.mktemp("dist"))
    return sdist, wheel


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    return built[1]


def contents(wheel: Path) -> dict[str, int]:
    """The checksum of each file in a wheel."""
    return {file.filename: file.CRC for file in zipfile.ZipFile(wheel).infolist()}


def test_both_are_fit_for_the_package_index(built):
    run(sys.executable, "-m", "twine", "check", "--strict", *built)
    run(sys.executable, "-m", "check_wheel_contents", built[1])


def test_the_wheel_has_the_package_the_course_and_nothing_else(wheel):
    names = {name for name in contents(wheel) if ".dist-info/" not in name}
    package = {path.relative_to(ROOT).as_posix() for path in tracked() if path.is_relative_to(ROOT / "normviz")}
    course = {f"normviz/notebooks/{path.name}" for path in tracked("notebooks/*.ipynb")}
    assert {".css", ".cu", ".js", ".json", ".npz", ".typed"} <= {
        Path(name).suffix or Path(name).name for name in package
    }
    assert "normviz/notebooks/00_tour.ipynb" in course
    assert names == package | course | {"normviz/CITATION.cff"}
    licences = {name for name in contents(wheel) if "/licenses/" in name}
    assert licences == {f"normviz-{nv.__version__}.dist-info/licenses/LICENSE"}


def test_the_sdist_builds_the_same_wheel(built, tmp_path):
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "dist", "wheel")
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_no_link_of_the_page_on_the_package_index_is_relative(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"normviz-{nv.__version__}.dist-info/METADATA").decode()
    repository = pyproject()["urls"]["Repository"]
    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert f"{repository}/raw/v{nv.__version__}/docs/images/explorer.png" in links
    assert f"{repository}/blob/v{nv.__version__}/docs/speed.md" in links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def needs(names: Iterable[str]) -> dict[str, Distribution]:
    """The distributions that these requirements bring, by name, as they are installed here."""
    found: dict[str, Distribution] = {}
    asked = [*names]
    while asked:
        requirement = Requirement(asked.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found[name] = distribution(name)
            asked += found[name].requires or []
    return found


@pytest.fixture(scope="module")
def empty(wheel, tmp_path_factory):
    """A function that runs a program of a new environment, which has the wheel and what it needs, and no extra."""
    folder, home = tmp_path_factory.mktemp("environment"), tmp_path_factory.mktemp("home")
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(folder)
    context = builder.ensure_directories(folder)
    said = run(context.env_exe, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    packages = Path(said.stdout.strip())
    for needed in needs(pyproject()["dependencies"]).values():
        for part in {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}:
            if not (packages / part).exists():
                (packages / part).symlink_to(needed.locate_file(part))
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "TEMP")}
    environment = {**kept, "HOME": str(home), "USERPROFILE": str(home)}
    pip = [sys.executable, "-m", "pip", "--python", context.env_exe]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, env=environment)
    run(*pip, "check", env=environment)

    def run_there(program: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return run(Path(context.bin_path) / program, *arguments, env=environment, **options)

    return run_there


RESULTS = {
    "demo": ("demo --no-open", "Wrote normviz.html"),
    "playground": ("playground --no-open -o p.html", "Wrote p.html"),
    "export": ("export --shape 2 4 3 3 -o x.svg", "Wrote x.svg"),
    "devices": ("devices", 'compiled: numba is not installed; pip install "normviz[fast]"'),
    "kit": ("kit out", 'The figures are SVG files only. For PNG files too: pip install "normviz[gif]"'),
    "instructor": ("instructor", "Written to normviz-instructor: 00_tour.ipynb"),
}
NEEDS_AN_EXTRA = {
    "audit": ("audit module:factory --shape 2 3", "torch"),
    "lab": ("lab", "lab"),
    "lite": ("lite site", "lite"),
}


def test_every_command_is_tried_here():
    hidden = {name for name, command in cli.cli.commands.items() if command.hidden}
    assert {*RESULTS, *NEEDS_AN_EXTRA} == {*cli.cli.commands} - hidden


@pytest.mark.parametrize("command", RESULTS)
def test_a_command_gives_its_result(empty, tmp_path, command):
    words, result = RESULTS[command]
    done = empty("normviz", *words.split(), cwd=tmp_path)
    assert (result in done.stdout, done.stderr) == (True, "")


@pytest.mark.parametrize("command", NEEDS_AN_EXTRA)
def test_a_command_names_the_extra_that_it_needs(empty, tmp_path, command):
    words, extra = NEEDS_AN_EXTRA[command]
    said = empty("normviz", *words.split(), cwd=tmp_path, code=2).stderr
    assert re.fullmatch(rf'normviz: .*; install it with: python -m pip install "normviz\[{extra}\]"\n', said)
    assert list(tmp_path.iterdir()) == []
    assert empty("normviz", command, "--help", cwd=tmp_path).stdout.startswith("Usage: normviz")


def test_import_brings_numpy_alone_and_not_the_checkout(empty, tmp_path):
    code = (
        "import sys; before = {*sys.modules}; import normviz; print(normviz.__file__)\n"
        "print({name.partition('.')[0] for name in {*sys.modules} - before} - sys.stdlib_module_names)"
    )
    where, brought = empty("python", "-c", code, cwd=tmp_path).stdout.splitlines()
    assert not Path(where).is_relative_to(ROOT)
    assert {name for name in ast.literal_eval(brought) if name[0] != "_"} == {"normviz", "numpy"}


def test_what_python_shows_without_an_extra(empty, tmp_path):
    code = (
        "import normviz as nv; x = nv.samples.activations(2)\n"
        "print(len(nv.show(x).to_html()) > 100_000, len(nv.Explorer(x).get_state()['_esm']) > 100_000)\n"
        "print(type(nv.labs.spectrum.figure()).__name__)\n"
        "try: nv.Explorer(x).to_gif('x.gif')\n"
        "except Exception as error: print(error)"
    )
    said = empty("python", "-c", code, cwd=tmp_path).stdout.splitlines()
    assert said[:2] == ["True True", "Figure"]
    assert said[2].endswith('one of them is missing: pip install "normviz[gif]"')
