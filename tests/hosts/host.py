"""A host in an environment of its own, with the wheel of this checkout; and what was seen in it."""

import json
import os
import re
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import pytest
from packaging.requirements import Requirement

from normviz import atomic_write

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = (ROOT / ".cache" / "hosts").resolve()
OURS = re.compile(r"(PYTHON|PYTEST|JUPYTER|IPYTHON|PLOTLY|NORMVIZ|VIRTUAL_ENV|XDG_)")
"""Variables of the caller that would change what a host does."""


def run(*command: str | Path, **options: object) -> str:
    """Run a command as a user does; return what it printed, and fail with what it said."""
    options.setdefault("env", environment())
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    """The environment variables of this process without those that would change what a host does."""
    return {key: value for key, value in os.environ.items() if not OURS.match(key)} | more


@cache
def wheel() -> Path:
    """The wheel of this checkout."""
    folder = ROOT / "build" / "wheel"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    return max(folder.glob("normviz-*.whl"), key=os.path.getmtime)


@dataclass(eq=False)
class Row:
    """A row of the table in the docs. The tests of a file say what they saw, and `keep` writes it.

    Attributes
    ----------
    name
        As the table calls it.
    note
        What a reader should know, such as the recipe that it takes.
    seen
        The state in each column, written by the tests once they have checked it.
    """

    table: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]]
    """From the best to the worst; the worst is what a failed test leaves."""

    name: str
    note: str = field(default="", kw_only=True)
    seen: dict[str, str] = field(default_factory=dict, kw_only=True)
    failed: set[str] = field(default_factory=set, kw_only=True)

    def saw(self, column: str, state: str) -> None:
        """Note what a column shows, once it was checked."""
        assert column in self.columns, f"{column} is no column of {self.table}; these are: {', '.join(self.columns)}"
        assert state in self.states, f"{state} is no state of {self.table}; these are: {', '.join(self.states)}"
        self.seen[column] = state

    @classmethod
    def columns_of(cls, test: str) -> tuple[str, ...]:
        """The columns that the name of a test names, test_show_is_narrow: show. All of them if it names none."""
        words = test.partition("[")[0]
        return tuple(column for column in cls.columns if f"_{column}_" in f"{words}_") or cls.columns

    def row(self) -> dict[str, str] | None:
        """Its row of the table, or None if a column was not looked at."""
        if not set(self.columns) <= self.seen.keys() | self.failed:
            return None
        states = {column: self.states[-1] if column in self.failed else self.seen[column] for column in self.columns}
        return {"version": self.version, **states, "note": self.note, "date": date.today().isoformat()}


@dataclass(eq=False)
class Host(Row):
    """A program that shows normviz's outputs: `HOST` in a file of tests, or with several hosts their parameter `host`.

    The states are two-way (alive, and Python reads what was clicked), alive, still (a picture), words (a sentence
    instead), not tried (the host has it, and nothing here shows it) and dead (nothing, or an error).

    Attributes
    ----------
    requirements
        What pip installs beside normviz; the version of the first one stands in the table. Hosts with the same first
        package, such as two modes of a program, share an environment.
    home
        The home of the programs that run here, without the settings of this user.
    """

    table: ClassVar[str] = "hosts"
    columns: ClassVar[tuple[str, ...]] = ("explorer", "show", "chart")
    states: ClassVar[tuple[str, ...]] = ("two-way", "alive", "still", "words", "not tried", "dead")

    requirements: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The name of the first requirement."""
        return Requirement(self.requirements[0]).name

    @property
    def folder(self) -> Path:
        """Where its environment is."""
        return ENVIRONMENTS / self.package.lower()

    @property
    def can_be_made(self) -> bool:
        """Whether its environment is there or can be made."""
        return isinstance(environment_of(self.folder, self.requirements), Path)

    @property
    def home(self) -> Path:
        folder = self.folder / "home"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its programs."""
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        return environment(PATH=path, HOME=str(self.home), USERPROFILE=str(self.home))

    @cached_property
    def python(self) -> Path:
        """The Python of its environment, which is made first if there is none for these requirements.

        If it cannot be made, the test fails with one sentence, and the row of the table stays as it is.
        """
        made = environment_of(self.folder, self.requirements)
        if isinstance(made, str):
            pytest.fail(f"The environment of {self.name} could not be made, so it was not tried: {made}", pytrace=False)
        return made

    @cached_property
    def version(self) -> str:
        """The installed version of the host."""
        code = f"from importlib.metadata import version; print(version({self.package!r}))"
        return self.run(self.python, "-c", code).strip()

    def run(self, *command: str | Path, **options: object) -> str:
        """Run a command in its environment; return what it printed, and fail with what it said."""
        return run(*command, **{"env": self.environment} | options)


@dataclass(eq=False)
class Engine(Row):
    """A browser engine that plays normviz's pages: the parameter `host` of the tests in `engines`.

    The states are works, differs (the note says how) and fails. Its driver sets `version`.
    """

    table: ClassVar[str] = "engines"
    columns: ClassVar[tuple[str, ...]] = (
        *("page", "linked", "frame", "quiz", "predict", "worksheet", "chooser", "tensor", "audit"),
    )
    states: ClassVar[tuple[str, ...]] = ("works", "differs", "fails")

    version: str = ""


@cache
def environment_of(folder: Path, requirements: tuple[str, ...]) -> Path | str:
    """The Python of an environment with these requirements and today's wheel; or why it cannot be made."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "made-for"
    wanted = repr((sys.version_info[:2], requirements))
    install = (python, "-m", "pip", "install", "--quiet")
    try:
        if not stamp.exists() or stamp.read_text() != wanted:
            ours = wheel()
            venv.create(folder, clear=True, with_pip=True)
            run(*install, ours, *requirements)
            stamp.write_text(wanted)
        run(*install, "--no-deps", "--force-reinstall", wheel())
    except AssertionError as error:
        said = [line for line in str(error).splitlines() if line.startswith("ERROR: ")]
        return said[-1].removeprefix("ERROR: ") if said else str(error)
    return python


def read(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """The tables that a file holds, by name."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def keep(rows: list[Row], path: Path) -> dict[str, dict[str, str]]:
    """Write the rows that were seen to the end into their tables, and return them; all others stay as they are."""
    tables, made = read(path), {}
    for row in rows:
        if (one := row.row()) is not None:
            made[row.name] = tables.setdefault(row.table, {})[row.name] = one
    if made:
        path.parent.mkdir(parents=True, exist_ok=True)
        in_order = {key: dict(sorted(tables[key].items(), key=lambda item: item[0].lower())) for key in sorted(tables)}
        atomic_write.write(path, json.dumps(in_order, indent=1, ensure_ascii=False) + "\n")
    return made
