"""The benchmarks: their candidates compute the same, and the page on speed is made of what they wrote."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import goals, results, tables

DOCS = Path(__file__).parent.parent / "docs"
SECONDS = {"numpy": 8.0, "compiled": 2.0, "numpy, given": 8.0, "compiled, given": 2.0, "torch": 2.0, "copy": 1.0}


def rows(**more):
    """Rows of every operation, method, size and number of threads, which all took SECONDS."""
    return [
        {"what": what, "line": line, "shape": [2, 3, 4], "cells": nbytes // 4, "bytes": nbytes, "threads": threads}
        | {"seconds": SECONDS | more}
        for what, line in [(w, m) for w in ("forward", "gradient") for m in goals.METHODS]
        + [("forward", "tokens"), ("forward", "group, float16"), ("sweep", "sweep")]
        for nbytes in (1024, 1 << 18, 1 << 28)
        for threads in (1, 2)
    ]


@pytest.fixture
def measured():
    return json.loads((DOCS / "speed.json").read_text("utf-8"))


def test_the_page_has_every_table_and_no_other():
    pytest.importorskip("plotly", reason="needs plotly (the extra lab)")
    asked = re.findall(r"^```\{speed\} (\S+)$", (DOCS / "speed.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(asked) == sorted(["chart", *(name for part in tables.TABLES.values() for name in part)])


def test_the_file_of_the_page_holds_what_every_table_needs(measured):
    assert set(measured) == set(tables.TABLES)
    for part in tables.TABLES.values():
        for name, made in part.items():
            lines = made(measured).splitlines()
            assert len({line.count("|") for line in lines if line.startswith("|")}) <= 1, name
            assert not re.search(r"None|nan|\{", "\n".join(lines)), name
    assert (DOCS / "speed.json").read_text("utf-8") == results.as_text(measured)


def test_the_chart_has_a_line_for_each_method_and_backend(measured):
    pytest.importorskip("plotly", reason="needs plotly (the extra lab)")
    from benchmarks import plot

    for report in (measured, {"cpu": {"rows": rows(compiled=4.0)}}):
        figure = plot.figure(report)
        assert {trace.name for trace in figure.data if trace.showlegend} == set(plot.LINES.values())
        assert all(np.isfinite(trace.y).all() and min(trace.y) > 0 for trace in figure.data)
    line = next(t for t in figure.data if t.name == "Group" and t.line.dash == "solid")
    assert list(line.y) == [0.5, 0.5, 0.5]


def test_ratios_have_one_number_for_each_number_of_threads():
    text = tables.compared("forward")({"cpu": {"rows": rows()}})
    assert "(2,\u00a03,\u00a04), 1.02\u00a0kB | 0.25 / 0.25 | 1.0 / 1.0 |" in text
    assert text.endswith("| 2.0 / 2.0 |")
    assert [tables.ratio(value) for value in (99.6, 9.96, 9.94, 0.994, 0.996)] == ["100", "10", "9.9", "0.99", "1.0"]


@pytest.mark.parametrize(
    ("slower", "missed"),
    [
        ({}, {"forward, 100 MB and more", "gradient, own statistics, 100 MB and more", "sweep, 100 MB and more"}),
        (
            {"torch": 5.0, "compiled": 1.0, "compiled, given": 4.0, "numpy": 50.0},
            {"forward with NumPy alone, 9,000 to 300,000 cells"},
        ),
        ({"torch": 5.0, "compiled": 1.0, "compiled, given": 6.0}, {"gradient, statistics given, from 50,000 cells"}),
    ],
)
def test_each_goal_says_what_misses_it(slower, missed):
    costs = {"JupyterLab, G by key": {"script": [1.0, 4.9]}, "page": {"script": [9.0, 9.0]}}
    found = list(goals.judged({"cpu": {"rows": rows(**slower)}, "lab": {"changes": costs}}))
    assert {said for said, _, _, misses in found if misses} == missed
    assert not any(tried for said, _, tried, _ in found if "channels last" in said)
    costs["JupyterLab, G by key"]["script"][1] = 5.1
    assert list(goals.judged({"cpu": {"rows": []}, "lab": {"changes": costs}}))[-1][3] == [
        "JupyterLab, G by key: 5.1 ms"
    ]


def test_a_run_replaces_its_own_part_of_the_file(tmp_path):
    path = tmp_path / "new" / "speed.json"
    results.save(path, "cpu", {"rows": [{"a": 1.23456}, {"a": 2}]})
    results.save(path, "page", {"MB": 1.5, "rows": []})
    report = results.save(path, "cpu", {"rows": [{"a": 3.0}]})
    assert json.loads(path.read_text("utf-8")) == report
    assert report["cpu"]["rows"] == [{"a": 3.0}]
    assert report["page"]["MB"] == 1.5
    assert report["page"]["machine"]["cores"] >= 1
    assert results.save(None, "cpu", {"rows": [{"a": 1.23456}]})["cpu"]["rows"] == [{"a": 1.235}]


@pytest.mark.parametrize("what", ["forward", "gradient"])
def test_the_candidates_compute_the_same(what):
    torch = pytest.importorskip("torch")
    from benchmarks.cpu import compute
    from benchmarks.cpu.cases import Case

    every = [("group", False), ("batch", False), ("layer", False), ("batch", True), ("positional", True)]
    tried = [(*each, "float32") for each in every] + [("group", False, half) for half in ("float16", "bfloat16")]
    for method, last, dtype in tried:
        case = Case(what, method, method, (2, 3, 4, 8) if last else (2, 8, 3, 4), dtype, last)
        found = getattr(compute, what)(case, compute.backends())
        found.pop("copy")()
        theirs = found.pop("torch")()
        theirs = theirs[0] if what == "gradient" else theirs
        theirs = theirs.movedim(1, -1) if last and theirs.shape != case.shape else theirs
        for name, job in found.items():
            ours = torch.as_tensor(job().input if what == "gradient" else job())
            bound = {"float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}[dtype]
            torch.testing.assert_close(ours.float(), theirs.float(), atol=bound, rtol=bound, msg=f"{case} {name}")


LESS = {("gradient", "batch"), ("gradient", "layer")}


def test_the_sizes_go_from_256_cells_to_1_gib():
    from benchmarks.cpu.cases import cases

    every = list(cases())
    for what, line in {(case.what, case.line) for case in every if case.line in (*goals.METHODS, "sweep")}:
        of_line = [case for case in every if (case.what, case.line) == (what, line)]
        assert of_line[0].cells == 256
        assert of_line[-1].nbytes == (124518400 if (what, line) in LESS else 1 << 30)
    assert {case.line for case in cases(quick=True)} == {case.line for case in every}
