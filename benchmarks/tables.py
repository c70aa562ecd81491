"""The tables of the page on speed, in Markdown, each made of what the benchmarks have written: `TABLES[part][name]`."""

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.goals import METHODS, judged

Report = dict[str, Any]
OURS = {"numpy": "NumPy", "compiled": "compiled"}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def size(nbytes: float) -> str:
    """Return such as "25.7 MB", without a place to break."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.3g}\u00a0{name}"
    return f"{nbytes:.0f}\u00a0bytes"


def tensor(row: Report) -> str:
    """Return such as "(2, 8, 4, 4), 1.02 kB"."""
    shape = str(tuple(row["shape"])).replace(" ", "\u00a0")
    return f"{shape}, {size(row['bytes'])}"


def ratio(value: float) -> str:
    """Return two digits, or all before the point."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def machine(report: Report) -> str:
    """Return a sentence on the machine of the last run of the CPU benchmark."""
    part = report["cpu"]
    about = part["machine"]
    caches = ", ".join(f"{size_} {level}" for level, size_ in about["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{part['date']}: {about['processor']} (family, model and stepping {about['family']}), {about['cores']} cores, "
        f"{about['GiB']:.0f} GiB of memory; caches {caches}; features {', '.join(about['features'])}. {versions}."
    )


def grouped(report: Report, what: str) -> dict[tuple, dict[str, dict[int, Report]]]:
    """Return the rows of an operation by tensor, line and number of threads, in the order of the run."""
    found: dict[tuple, dict[str, dict[int, Report]]] = {}
    for row in report["cpu"]["rows"]:
        if row["what"] == what:
            lines = found.setdefault((tensor(row), row["bytes"]), {})
            lines.setdefault(row["line"], {})[row["threads"]] = row
    return found


def against(rows: dict[int, Report] | None, other: str, ours: str, *, inverse: bool = False) -> str:
    """Return the other's time divided by ours, with one thread and with two; `inverse`: ours by the other's."""
    found = []
    for _, row in sorted((rows or {}).items()):
        times = row["seconds"]
        if ours in times and other in times:
            found.append(ratio(times[ours] / times[other] if inverse else times[other] / times[ours]))
    return " / ".join(found) or "–"


def summary(report: Report) -> str:
    """The least, the median and the largest ratio of each operation in three ranges of sizes, with one thread."""
    rows = [row for row in report["cpu"]["rows"] if row["threads"] == 1 and row["line"] in METHODS]
    ranges = {
        "below 50,000 cells": lambda row: row["cells"] < 5e4,
        "50,000 cells to 26 MB": lambda row: row["cells"] >= 5e4 and row["bytes"] <= 26e6,
        "100 MB and more": lambda row: row["bytes"] >= 1e8,
    }

    def cell(what: str, ours: str, fits: Callable[[Report], bool]) -> str:
        times = [row["seconds"] for row in rows if row["what"] == what and fits(row) and ours in row["seconds"]]
        found = sorted(each["torch"] / each[ours] for each in times)
        if not found:
            return "–"
        return f"{ratio(found[0])} to {ratio(found[-1])}, median {ratio(statistics.median(found))}"

    kinds = {"forward": ("forward", ""), "gradient": ("gradient", "")}
    kinds["gradient, statistics given"] = ("gradient", ", given")
    return table(
        ["torch's time divided by ours", *OURS.values()],
        (
            [f"{name}, {span}", *(cell(what, ours + suffix, fits) for ours in OURS)]
            for name, (what, suffix) in kinds.items()
            for span, fits in ranges.items()
        ),
    )


def compared(what: str, *, given: bool = False) -> Callable[[Report], str]:
    """Return a function that makes the table of the three main methods."""
    suffix = ", given" if given else ""

    def each(report: Report) -> str:
        head = ["x (float32)", *(f"{method}, {name}" for method in METHODS for name in OURS.values())]
        head.append("copies")
        rows = [
            [
                name,
                *(against(lines.get(m), "torch", ours + suffix) for m in METHODS for ours in OURS),
                against(lines.get("group"), "copy", "compiled" + suffix, inverse=True),
            ]
            for (name, _), lines in grouped(report, what).items()
            if "group" in lines
        ]
        return table(head, rows)

    return each


def others(report: Report) -> str:
    """Half precision, channels last and tokens."""
    backward = grouped(report, "gradient")
    found = [
        (line, name, rows, backward.get((name, nbytes), {}).get(line))
        for (name, nbytes), lines in grouped(report, "forward").items()
        for line, rows in lines.items()
        if line not in METHODS
    ]
    head = ["what", "x", *(f"{what}, {name}" for what in ("forward", "gradient") for name in OURS.values())]
    return table(
        [*head, "copies"],
        (
            [
                line,
                name,
                *(against(rows, "torch", ours) for rows in (forward, gradient) for ours in OURS),
                against(forward, "copy", "compiled", inverse=True),
            ]
            for line, name, forward, gradient in sorted(found, key=lambda each: (each[0] == "tokens", each[0]))
        ),
    )


def sweeps(report: Report) -> str:
    """One pass for every configuration."""
    head = ["x (float32)", "torch's norm layers", "torch.var_mean", "NumPy, in copies", "compiled, in copies"]
    rows = []
    for (name, _), lines in grouped(report, "sweep").items():
        found = lines["sweep"]
        best = "compiled" if any("compiled" in row["seconds"] for row in found.values()) else "numpy"
        copies = [against(found, "copy", ours, inverse=True) for ours in OURS]
        rows.append([name, against(found, "torch", best), against(found, "var_mean", best), *copies])
    return table(head, rows)


def accuracy(report: Report) -> str:
    """The worst errors."""
    rows = report["accuracy"]["rows"]
    shown = [name for name in OURS if name in rows[0]]
    head = ["case", *(f"{what}, {OURS[name]}" for what in ("variance", "output") for name in shown)]
    return table(head, ([row["name"], *(f"{row[name][k]:.1e}" for k in (0, 1) for name in shown)] for row in rows))


def memory(report: Report) -> str:
    """Peaks of memory."""
    rows = report["memory"]["rows"]
    return table(
        ["what", *(f"{name}, MiB" for name in OURS.values())],
        ([row["name"], *(f"{row[each]:.2f}" if each in row else "–" for each in OURS)] for row in rows),
    )


def streams(report: Report) -> str:
    """Files and dask."""
    return table(
        ["1 GiB of float32: ours / the other", "ours", "the other", "ratio"],
        (
            [row["name"], f"{row['ours']:.3f} s", f"{row['other']:.3f} s", f"{row['ours'] / row['other']:.2f}"]
            for row in report["streams"]["rows"]
        ),
    )


def imports(report: Report) -> str:
    """What an import costs."""
    found = report["import"]
    ours, numpy = 1e3 * found["normviz"], 1e3 * found["numpy"]
    return f"`import normviz` took {ours:.1f} ms, `import numpy` alone {numpy:.1f} ms: {ours - numpy:+.1f} ms."


def first_calls(report: Report) -> str:
    """What the first use of the compiled backend costs."""
    return table(
        ["processor time in a new process", "first time on a machine", "every other time"],
        ([row["name"], f"{row['first']:.2f} s", f"{row['again']:.2f} s"] for row in report["first-call"]["rows"]),
    )


def goals(report: Report) -> str:
    """What was to be reached, and what misses, as a list."""
    told = []
    for said, limit, tried, missed in judged(report):
        reached = f"reached in {tried - len(missed)} of {tried}" if tried else "not measured"
        told.append(f"- **{said}**, {limit}: {reached}." + (f" Missed: {'; '.join(missed)}." if missed else ""))
    return "\n".join(told)


def changes(report: Report) -> str:
    """What a change costs in the browser."""
    kinds = {"script": "script", "of it the explorer's": "own", "input to paint": "paint", "all work": "work"}
    return table(
        ["ms a change, p50 / p95", *kinds],
        (
            [
                name,
                *(f"{cost[kind][0]:.1f} / {cost[kind][1]:.1f}" if cost.get(kind) else "–" for kind in kinds.values()),
            ]
            for name, cost in report["lab"]["changes"].items()
        ),
    )


def pictures(report: Report) -> str:
    """How soon the first picture is there."""
    return table(
        ["ms to the first picture", "from the command", "from the output"],
        ([name, f"{whole:.0f}", f"{arrived:.0f}"] for name, (whole, arrived) in report["lab"]["first"].items()),
    )


def page(report: Report) -> str:
    """A page of the book."""
    found = report["page"]
    times = [f"{what} after {value:.2f} s" for what, value in found["seconds"].items()]
    return f"{'; '.join(times)}. The page has {found['MB']:.2f} MB with all that it loads, uncompressed."


def made(report: Report) -> str:
    """A tensor that is made in the page."""
    found = report["tensor"]
    rows = [[shape, *(f"{a:.1f} / {b:.1f}" for a, b in cost)] for shape, cost in found["changes"].items()]
    file, (before, after) = found["file"], found["kept"]["MB of heap"]
    return (
        table(["shape", "script, p50 / p95 in ms", "input to paint, p50 / p95 in ms"], rows)
        + f"\n\nA .npy file of {file['MB']:.0f} MB has its first picture in the page after {file['page']:.2f} s; "
        f"`np.load` and `nv.show` take {file['python']:.2f} s for it in Python. After 10,000 more changes of N, seed, "
        f"value and method the page keeps {after:.1f} MB of heap; before it kept {before:.1f} MB."
    )


TABLES: dict[str, dict[str, Callable[[Report], str]]] = {
    "cpu": {
        "machine": machine,
        "summary": summary,
        "forward": compared("forward"),
        "gradient": compared("gradient"),
        "gradient-given": compared("gradient", given=True),
        "others": others,
        "sweep": sweeps,
        "goals": goals,
    },
    "accuracy": {"accuracy": accuracy},
    "import": {"import": imports},
    "first-call": {"first-call": first_calls},
    "memory": {"memory": memory},
    "streams": {"streams": streams},
    "lab": {"changes": changes, "pictures": pictures},
    "tensor": {"tensor": made},
    "page": {"page": page},
}
"""The tables of each part of the file."""
