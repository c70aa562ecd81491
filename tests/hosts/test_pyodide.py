"""The course and the widget in Pyodide 0.27.7 (Python 3.12, NumPy 2.0) under Node, as somebody without a server has it.

There are no threads, no numba, no PyTorch and no dask.
"""

import ast
import json
import shutil

import nbformat
import pytest

from tests.course import FORGET, NOTEBOOKS, answers_to, verdicts, with_answers
from tests.hosts.host import ROOT, run, wheel
from tests.hosts.pyodide_files import pure_wheels, pyodide

HERE = ROOT / "tests" / "hosts"
PACKAGES = ["numpy", "ipython", "traitlets", "packaging"]  # of Pyodide's own
ABSENT = "This needs PyTorch, which is not installed here.\n"


def in_pyodide(cells, folder):
    """Run code cells, {"id": ..., "source": ...}, in a new Pyodide; return what each gave."""
    node = shutil.which("node")
    assert node, "Pyodide is not tried, because there is no Node here; install Node 20 or newer"
    job, result = folder / "job.json", folder / "result.json"
    wheels = [str(wheel()), *map(str, pure_wheels())]
    asked = {"pyodide": str(pyodide()), "packages": PACKAGES, "wheels": wheels, "cells": cells, "result": str(result)}
    job.write_text(json.dumps({**asked, "script": str(HERE / "pyodide_cells.py")}), "utf-8")
    run(node, HERE / "pyodide_node.mjs", job)
    return json.loads(result.read_text("utf-8"))


def problem(cell):
    """Say why a cell failed, or nothing. IPython prints the error of an object that is shown, and goes on."""
    printed = cell["printed"] if "Traceback (most recent call last)" in cell["printed"] else ""
    silent = cell["source"] != FORGET and speaks(cell["source"]) and not (cell["printed"] or cell["shown"])
    return cell["error"] or cell["warned"] or printed or ("it gives nothing" if silent else "")


def speaks(source):
    """Return whether a cell prints something outside its functions, or ends with an expression."""
    body = ast.parse(source).body
    flow = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    calls = [node for part in flow for node in ast.walk(part) if isinstance(node, ast.Call)]
    prints = any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)
    return prints or isinstance(body[-1], ast.Expr)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_cells_of_a_chapter_give_something_and_its_exercises_are_graded(path, tmp_path):
    """What needs PyTorch or dask says so; everything else runs, and all answers of the teacher's version are graded."""
    cells = with_answers(nbformat.read(path, as_version=4).cells, answers_to(path))
    cells = [{"id": cell.id, "source": cell.source} for cell in cells if cell.cell_type == "code"]
    ran = {cell["id"]: cell for cell in in_pyodide(cells, tmp_path)}
    failed = [f"{name}: {said}" for name, cell in ran.items() if (said := problem(cell))]
    assert not failed, "\n".join(failed)
    for name, (verdict, _) in verdicts(path).items():
        said = ran[name]["printed"]
        assert verdict in said or ("if torch:" in ran[name]["source"] and said == ABSENT), f"{name} said {said}"


PAGE = """
import numpy as np
import normviz as nv
from pyodide.code import run_js
from pyodide_js import toPy

def page_sends(explorer, data, buffers="[]"):
    explorer._handle_msg(toPy(run_js(f"({{content: {{data: {data}}}, buffers: {buffers}}})")))
"""
LARGE = """
large = nv.Explorer(np.arange(2.0**18).reshape(4, 16, 64, 64), num_groups=4)
answers = []
large.send = answers.append
page_sends(large, '{method: "custom", content: {index: [1, 2, 3, 4], method: "group", num_groups: 4}}')
page_sends(large, '{method: "update", state: {method: "layer", index: [1, 2, 3, 4], step: 3}, buffer_paths: []}')
mean, var = answers[0].pop("mean"), answers[0].pop("var")
assert np.allclose((mean, var), [(f(large.x[1, :4])) for f in (np.mean, np.var)])
print(answers, large.method, large.index, large.step)
"""
MADE = """
own = nv.Explorer(editable=True)
recipe = '{shape: [1, 2, 2], fill: "file", seed: 0, channel_axis: 1, edits: []}'
page_sends(
    own,
    '{method: "custom", content: {kind: "made", recipe: %s, revision: 1, dtype: "float32", shape: [1, 2, 2]}}' % recipe,
    "[new DataView(new Float32Array([1, 2, 3, 4]).buffer)]",
)
page_sends(own, '{method: "custom", content: {kind: "parameters", eps: 0.5, weight: null, bias: [0, 1], revision: 2}}')
print(own.x.tolist(), own.eps, own.weight, list(own.bias))
"""


DEVICES = """
import os
x = np.ones((4, 4, 256, 256))
os.environ["NORMVIZ_NUM_THREADS"] = "4"
assert nv.normalize(x, "batch").shape == x.shape
for name, said in nv.devices().items():
    print(f"{name}: {said}")
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the cells above print, in one Pyodide."""
    cells = {"page": PAGE, "large": LARGE, "made": MADE, "devices": DEVICES}
    cells = [{"id": name, "source": code} for name, code in cells.items()]
    ran = {cell["id"]: cell for cell in in_pyodide(cells, tmp_path_factory.mktemp("pyodide"))}
    return lambda name: problem(ran[name]) or ran[name]["printed"]


def test_python_answers_what_a_page_asks_of_a_large_tensor(printed):
    """The messages are JavaScript objects, which JupyterLite's kernel converts by `toPy`."""
    answer = "{'kind': 'cell', 'key': 'group/4/1,2,3,4', 'x': 73924.0}"
    assert printed("large") == f"[{answer}] layer (1, 2, 3, 4) 3\n"


def test_python_gets_the_tensor_that_a_reader_makes(printed):
    assert printed("made") == "[[[1.0, 2.0], [3.0, 4.0]]] 0.5 None [0, 1]\n"


def test_one_thread_and_numpy_are_what_there_is(printed):
    numpy, *others = printed("devices").splitlines()
    assert numpy.endswith("; threads for large arrays: 1, because Python cannot start another one here")
    assert others == ["compiled: numba runs in no browser", "cupy: CuPy runs in no browser"]
