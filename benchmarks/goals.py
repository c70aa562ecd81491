"""What is to be reached, as data, and what of it a run has reached: `judged(report)`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

METHODS = ("group", "batch", "layer")


@dataclass(frozen=True)
class Goal:
    """A limit for a ratio of two times.

    Attributes
    ----------
    said
        The goal in words.
    what, lines
        The operation, and the lines of the tables to which it applies.
    ours
        Which of our candidates.
    limit
        Least ratio of torch's time to ours or, with `most`, the largest ratio of our time to the copy's.
    cells, nbytes
        The sizes to which it applies: from, and up to.
    """

    said: str
    what: str
    lines: tuple[str, ...]
    ours: str
    limit: float
    most: bool = False
    cells: tuple[float, float] = (0, 1e12)
    nbytes: tuple[float, float] = (0, 1e12)

    def ratio(self, seconds: dict[str, float]) -> float:
        """Return how many times as fast as torch we are, or how many copies we cost."""
        return seconds[self.ours] / seconds["copy"] if self.most else seconds["torch"] / seconds[self.ours]

    def applies(self, row: dict[str, Any]) -> bool:
        """Is it about this row, which one thread has measured?"""
        return (
            row["what"] == self.what
            and row["line"] in self.lines
            and row["threads"] == 1
            and self.cells[0] <= row["cells"] <= self.cells[1]
            and self.nbytes[0] <= row["bytes"] <= self.nbytes[1]
        )


LARGE = (1e8, 1e12)
GOALS = (
    Goal("forward, below 50,000 cells", "forward", METHODS, "compiled", 0.4, cells=(0, 49_999)),
    Goal("forward, 50,000 cells to 26 MB", "forward", METHODS, "compiled", 0.85, cells=(5e4, 1e12), nbytes=(0, 26e6)),
    Goal("forward, 100 MB and more", "forward", METHODS, "compiled", 2.2, nbytes=LARGE),
    Goal("gradient, own statistics, from 50,000 cells", "gradient", METHODS, "compiled", 0.6, cells=(5e4, 1e12)),
    Goal("gradient, statistics given, from 50,000 cells", "gradient", METHODS, "compiled, given", 1, cells=(5e4, 1e12)),
    Goal("gradient, own statistics, 100 MB and more", "gradient", METHODS, "compiled", 1.3, nbytes=LARGE),
    Goal("forward, channels last", "forward", tuple(f"{m}, channels last" for m in METHODS[:2]), "compiled", 1),
    Goal("forward, half precision", "forward", ("group, float16", "group, bfloat16"), "compiled", 1),
    Goal("sweep, 100 MB and more", "sweep", ("sweep",), "compiled", 1.2, most=True, nbytes=LARGE),
    Goal("forward with NumPy alone, 9,000 to 300,000 cells", "forward", METHODS, "numpy", 0.15, cells=(9e3, 3e5)),
)  # fmt: skip
SCRIPT = 5.0
"""Milliseconds: 95 of 100 changes in JupyterLab are to need no more script."""


def judged(report: dict[str, Any]) -> Iterator[tuple[str, str, int, list[str]]]:
    """Yield each goal in words, its limit, on how many rows it was tried, and what missed it with its figure."""
    for goal in GOALS:
        limit = f"at most {goal.limit:g} copies" if goal.most else f"at least {goal.limit:g} x torch"
        tried = [row for row in report["cpu"]["rows"] if goal.applies(row) and goal.ours in row["seconds"]]
        missed = []
        for row in tried:
            ratio = goal.ratio(row["seconds"])
            if (ratio > goal.limit) if goal.most else (ratio < goal.limit):
                missed.append(f"{row['line']} {tuple(row['shape'])}: {ratio:.3g}")
        yield goal.said, limit, len(tried), missed
    costs = report.get("lab", {}).get("changes", {})
    in_lab = {name: cost["script"][1] for name, cost in costs.items() if name.startswith("JupyterLab")}
    missed = [f"{name}: {script:.1f} ms" for name, script in in_lab.items() if script > SCRIPT]
    yield "script of 95 of 100 changes in JupyterLab", f"at most {SCRIPT:g} ms", len(in_lab), missed
