"""A host in an environment of its own, with the wheel of this checkout; and what was seen in it."""

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".cache" / "hosts"
OUTPUTS = ("explorer", "show", "chart")
STATES = ("two-way", "alive", "still", "words", "dead")
"""two-way: alive, and Python reads what was clicked; words: a sentence instead; dead: nothing, or an error."""


@cache
def wheel() -> Path:
    """The wheel of this checkout."""
    folder = ROOT / "build" / "wheel"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    return max(folder.glob("normviz-*.whl"), key=os.path.getmtime)


def run(*command: str | Path, **options: object) -> str:
    """Run a command as a user does; return what it printed, and fail with what it said."""
    environment = dict(options.pop("env", os.environ))
    environment.pop("PYTHONPATH", None)  # a host has packages of its own
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, **options)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass
class Host:
    """A program that shows normviz's outputs.

    Attributes
    ----------
    name
        As the table calls it.
    requirements
        What pip installs beside normviz; the version of the first one stands in the table.
    note
        What a reader should know, such as the recipe that it takes.
    seen
        The state of each output, written by the tests once they have checked it.
    """

    name: str
    requirements: tuple[str, ...]
    note: str = ""
    seen: dict[str, str] = field(default_factory=dict)

    @cached_property
    def python(self) -> Path:
        """The Python of its environment, which is made first if there is none for these requirements.

        Hosts with the same package, such as two modes of a program, share it.
        """
        folder = ENVIRONMENTS / self.package
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        stamp = folder / "made-for"
        if not stamp.exists() or stamp.read_text() != repr(self.requirements):
            venv.create(folder, clear=True, with_pip=True)
            run(python, "-m", "pip", "install", "--quiet", wheel(), *self.requirements)
            stamp.write_text(repr(self.requirements))
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel())
        return python

    @property
    def package(self) -> str:
        """The name of the first requirement."""
        return Requirement(self.requirements[0]).name

    @cached_property
    def version(self) -> str:
        """The installed version of the host."""
        ask = f"from importlib.metadata import version; print(version({self.package!r}))"
        return run(self.python, "-c", ask).strip()

    def saw(self, output: str, state: str) -> None:
        """Note the state of an output, once it was checked."""
        assert output in OUTPUTS
        assert state in STATES
        self.seen[output] = state

    def row(self) -> dict[str, str]:
        """Its row of the table. What no test has seen alive, still or as words is dead."""
        states = {output: self.seen.get(output, "dead") for output in OUTPUTS}
        return {"version": self.version, **states, "note": self.note, "date": date.today().isoformat()}


def keep(hosts: list[Host], path: Path) -> None:
    """Write the rows of these hosts into the table; the rows of the others stay."""
    rows = json.loads(path.read_text("utf-8")) if path.exists() else {}
    rows |= {host.name: host.row() for host in hosts}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(rows.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
