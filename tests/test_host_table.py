"""The tables of hosts and engines: written by whole runs alone, and the docs say no more than they do."""

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the hosts are looked at with playwright")

from tests.hosts.host import Engine, Host, environment

ROOT = Path(__file__).parent.parent
TABLES = json.loads((ROOT / "docs" / "hosts.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "teach" / "hosts.md").read_text("utf-8")
NOT_TRIED = re.findall(r"^\| (\w[^|]*) \|", PAGE.partition("## Not tried")[2], re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def tested() -> list[list[str]]:
    """The rows that the tests of hosts fill in: table, name and note."""
    command = [sys.executable, "-m", "pytest", "tests/hosts", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[[")))


def test_every_row_has_a_test_and_every_test_a_row(tested):
    """With the note that the test has today."""
    there = [[table, name, row["note"]] for table, rows in TABLES.items() for name, row in rows.items()]
    assert sorted(tested) == sorted(there)


@pytest.mark.parametrize("kind", [Host, Engine])
def test_a_row_says_what_was_seen_in_which_version_and_when(kind):
    for name, row in TABLES[kind.table].items():
        assert list(row) == ["version", *kind.columns, "note", "date"], name
        assert {row[column] for column in kind.columns} <= set(kind.states), name
        assert re.match(r"\d+\.\d", row["version"]), name
        assert date.fromisoformat(row["date"]) <= date.today(), name


def test_the_page_explains_every_state_and_shows_every_table():
    for state in Host.states:
        assert re.search(rf"^\| {state} \|", PAGE, re.MULTILINE), state
    assert re.findall(r"^```\{hosts\} (\w+)$", PAGE, re.MULTILINE) == [Host.table, Engine.table]
    assert len(NOT_TRIED) > 8
    assert not set(NOT_TRIED) & set(TABLES[Host.table])


def test_nothing_that_was_not_tried_is_called_working():
    """A sentence that names such a host says so, or makes no claim."""
    claims = re.compile(r"\b(works?|working|runs?|alive|live|tested|supported|supports?|shows)\b")
    names = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in [*NOT_TRIED, "Colab", "Safari"]))
    system = {"Windows", "macOS"}  # the tests' workflow has a job for each
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for sentence in re.split(r"(?<=[.!?:])\s|\n\n|\n\||\n- ", path.read_text("utf-8")):
            named = set(names.findall(sentence)) - system
            if named and "not tried" not in sentence.lower():
                assert not claims.search(sentence), f"{path.name} claims something of {named}: {sentence}"


def test_what_is_called_alive_has_a_row():
    known = " ".join(TABLES[Host.table]) + " ".join(TABLES[Engine.table])
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"\b(?:alive|works) in ([A-Z]\w+)", path.read_text("utf-8")):
            assert name in known, f"{path.name} calls {name} alive, and no test has seen it"


# ---- how the tables are written --------------------------------------------------------------------------------------

FILE = """\
import os
import pytest
from tests.hosts.host import Engine
HOST = Engine("An engine", note="of no browser")

@pytest.mark.parametrize("part", Engine.columns)
def test_all(part):
    HOST.version = "1.2"
    if part == os.environ.get("INTERRUPTED"):
        raise KeyboardInterrupt
    HOST.saw(part, "works")

def test_quiz_again():
    assert "FAILS" not in os.environ
"""
MISSING = """\
from tests.hosts.host import Host
HOST = Host("A missing host", ("normviz",))

def test_show(host):
    host.saw("show", "alive")
"""


@pytest.fixture
def played(tmp_path):
    """Run the files, and give what was said and the rows of the table afterwards."""
    (tmp_path / "test_engine.py").write_text(FILE)
    (tmp_path / "test_missing.py").write_text(MISSING)
    table = tmp_path / "hosts.json"
    table.write_text(json.dumps({"hosts": {"Another": {"version": "1.0"}}}))

    def play(file, *arguments, **variables):
        command = [sys.executable, "-m", "pytest", "-p", "tests.hosts.conftest", "-c", ROOT / "pyproject.toml", file]
        done = subprocess.run(
            [*map(str, command), *arguments, "--rootdir", tmp_path, "--table", table, "-p", "no:cacheprovider"],
            cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT), **variables), capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout + done.stderr, json.loads(table.read_text())

    return play


def test_only_a_whole_run_writes_a_row_and_a_failed_test_is_the_worst_state(played):
    for part in (("-k", "quiz"), ("-k", "not quiz_again")):
        said, tables = played("test_engine.py", *part)
        assert list(tables) == ["hosts"]
        assert "Not seen to the end" in said
    _, tables = played("test_engine.py", INTERRUPTED="chooser")
    assert list(tables) == ["hosts"]
    said, tables = played("test_engine.py", FAILS="1")
    assert tables["hosts"] == {"Another": {"version": "1.0"}}
    row = tables["engines"]["An engine"]
    assert row["quiz"] == "fails", said
    assert {row[part] for part in Engine.columns} - {"fails"} == {"works"}
    assert (row["version"], row["date"]) == ("1.2", date.today().isoformat())
    before = tables
    assert played("test_engine.py", INTERRUPTED="quiz")[1] == before


def test_a_host_without_an_environment_is_told_in_one_sentence_and_keeps_its_row(played):
    said, tables = played("test_missing.py", PIP_NO_INDEX="1")
    assert re.search("The environment of A missing host could not be made, so it was not tried: .+", said), said
    assert list(tables["hosts"]) == ["Another"]
