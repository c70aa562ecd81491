"""The benchmark's plan and table, and all of its measurements once, on the emulation."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu.cases import CASES, FIRST, SHAPES, Case, Limit
from benchmarks.gpu.layers import LAYERS
from benchmarks.gpu.measures import Bench
from benchmarks.gpu.table import table
from benchmarks.gpu.timing import apart
from tests.core import stand_in

torch = pytest.importorskip("torch")


def test_the_plan():
    assert {case.dtype for case in CASES} == {"float32", "bfloat16", "float16", "float64"}
    assert all(case.shape[1] % case.num_groups == 0 for case in CASES)
    assert len(CASES) == 2 * len(SHAPES) + 2 * 3
    assert [case.dtype for case in CASES[:FIRST]] == ["float32", "float32", "bfloat16"]
    for case in CASES:
        assert case.copies(50 << 20) * case.nbytes > 8 * (50 << 20)
        assert case.copies(50 << 20) * case.nbytes < 60e9
    assert Limit(0).over()
    assert not Limit(100).over(spare=50)


def test_the_table_leaves_out_what_was_not_measured():
    rows = [
        {"kind": "moments", "dtype": "float32", "shape": [2, 3, 4, 5], "GB": 1.5, "ms": 0.51234},
        {"kind": "host", "what": "moments", "GB": 2.0, "s": 0.25, "GBs": 8.0},
    ]
    report = {"device": "a GPU", "versions": {"normviz": "1"}, "date": "2000-01-01", "rows": rows}
    assert table(report) == (
        "a GPU, normviz 1, 2000-01-01\n\nhost\nwhat     GB  s     GBs\nmoments  2   0.25  8\n\n"
        "moments\ndtype    shape    GB   ms     of_read\nfloat32  2x3x4x5  1.5  0.512"
    )


@pytest.fixture
def bench(emulated_cupy, monkeypatch):
    monkeypatch.setattr(
        "normviz.backends.dispatch.on_gpu", lambda x: isinstance(x, torch.Tensor | stand_in.DeviceArray)
    )
    monkeypatch.setattr(stand_in.DeviceArray, "__dlpack_device__", lambda self: (1, 0))
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    emulated_cupy.RawKernel = lambda source, name: lambda grid, block, arguments: None

    def timed(call, buffers, window=40, windows=7):
        for buffer in buffers:
            call(buffer)
        return 1.0

    monkeypatch.setattr("benchmarks.gpu.measures.LAYERS", [])
    return Bench(emulated_cupy, torch, "cpu", timed, lambda call, x: (call(x) is None, 1.0), cells=1 << 16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_every_measurement_runs(bench, dtype):
    torch.manual_seed(0)
    case = Case((2, 4, 5, 3), dtype, 2, compiled=True)
    rows = list(bench.run([case], Limit(1000)))
    kinds = [row["kind"] for row in rows if row["kind"] not in ("host", "layer", "gradient")]
    assert kinds == ["ceilings", "error", "moments", "forward", "sweep"]
    forward, sweep = rows[3:5]
    assert {"torch_compile_ms", "of_copy"} <= forward.keys()
    assert sweep["vs_one_pass"] == 1
    errors = next(row for row in rows if row["kind"] == "error")
    assert errors["m2_relative"] < (1e-12 if dtype == "float64" else 1e-6)
    assert errors["output"] < {"float64": 1e-12, "float32": 2e-6, "float16": 5e-3, "bfloat16": 3e-2}[dtype]


def test_layers_do_what_torch_s_do(bench, monkeypatch):
    shapes = [(2, 32, 2, 3)] * 4 + [(2, 3, 8)] * 2
    small = [replace(layer, shape=shape) for layer, shape in zip(LAYERS, shapes, strict=True)]
    monkeypatch.setattr("benchmarks.gpu.measures.LAYERS", small)
    rows = list(bench.run([], Limit(1000)))
    layers = [row for row in rows if row["kind"] == "layer"]
    assert [row["what"] for row in layers] == [layer.name for layer in LAYERS for _ in range(2)]
    assert sum(row["kind"] == "gradient" for row in rows) == 2 * sum(layer.gradient for layer in LAYERS)
    for row in rows:
        if row["kind"] in ("layer", "gradient"):
            assert row["difference"] < {"float32": 2e-5, "bfloat16": 0.1}[row["dtype"]], row


def test_without_torch_s_compiler_the_rest_is_measured(bench, monkeypatch):
    def refuse(function, dynamic):
        raise RuntimeError("no C compiler\nfound")

    monkeypatch.setattr(torch, "compile", refuse)
    rows = list(bench.run([Case((2, 4, 5, 3), "float32", 2, compiled=True)], Limit(1000)))
    (forward,) = (row for row in rows if row["kind"] == "forward")
    assert forward["torch_compile_error"] == "RuntimeError: no C compiler"
    assert rows[-1]["kind"] == "host"
    assert "sweep" in {row["kind"] for row in rows}


def test_the_host_and_the_gpu_are_timed_apart():
    """The GPU is asleep while the host queues the calls."""
    done = []
    event = SimpleNamespace(record=lambda: done.append("event"), synchronize=lambda: None)
    cupy = SimpleNamespace(cuda=SimpleNamespace(Event=lambda: event, get_elapsed_time=lambda a, b: 60.0))
    queue = SimpleNamespace(synchronize=lambda: None, _sleep=lambda cycles: done.append("sleep"))
    host, device = apart(cupy, SimpleNamespace(cuda=queue), done.append, "call", calls=3)
    assert done == ["call", "sleep", "event", "call", "call", "call", "event"]
    assert (host >= 0, device) == (True, 20)


def test_it_stops_in_time_and_writes_what_it_has(bench, monkeypatch, folder, capsys):
    monkeypatch.setattr(Bench, "on_cuda", lambda: bench)
    monkeypatch.setattr(program, "CASES", [Case((2, 4, 5, 3), "float32", 2)])
    program.main(["some.json", "--limit", "0"])
    report = json.loads((folder / "some.json").read_text())
    assert {row["kind"] for row in report["rows"]} == {"ceilings"}
    assert report["versions"].keys() == {"normviz", "cupy", "torch"}
    assert "not finished" in capsys.readouterr().out
    program.main(["some.json"])
    written = json.loads((folder / "some.json").read_text())["rows"]
    assert [row["kind"] for row in written][:5] == ["ceilings", "error", "moments", "forward", "sweep"]
    assert {row["kind"] for row in written[5:]} == {"host"}
    assert np.isfinite([row.get("ms", 0) for row in report["rows"]]).all()


def test_without_a_gpu_it_says_so():
    from normviz.backends import dispatch as backends

    if backends.cupy_problem() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="backend 'cupy' cannot be used"):
        program.main(["never.json"])
