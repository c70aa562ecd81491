"""How many kernels a call launches: each costs microseconds on the host, which for small tensors is all the time."""

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import values
from tests.cuda import emulate


@pytest.fixture
def launched(emulated_cupy):
    """The names of the kernels launched so far."""
    names = emulate.module().launched
    names.clear()
    return names


LAST = {"channel_axis": -1}
NORMALIZED = {
    "batch": ((8, 6, 10, 10), {}, ["moments", "merge", "table", "affine"]),
    "instance": ((8, 6, 10, 10), {}, ["moments", "table", "affine"]),
    "group": ((8, 6, 10, 10), {"num_groups": 3}, ["moments", "table", "affine"]),
    "layer": ((8, 10, 10, 6), LAST, ["moments", "table", "affine_grid"]),
    "positional": ((8, 20, 64), LAST, ["moments", "table", "affine_grid"]),
    "rms": ((8, 6, 10, 10), {}, ["column_moments", "table", "affine_grid"]),
}


@pytest.mark.parametrize("method", NORMALIZED)
def test_a_normalize_takes_three_or_four(method, launched, emulated_cupy):
    shape, options, expected = NORMALIZED[method]
    x = values(shape, dtype=np.float32)
    parameters = {"weight": values(6 if 64 not in shape else 64), "bias": values(6 if 64 not in shape else 64, 1)}
    y = nv.normalize(emulated_cupy.asarray(x), method, **parameters, **options)
    assert [name.partition("<")[0] for name in launched] == expected
    exact = nv.normalize(x.astype(float), method, **parameters, **options)
    np.testing.assert_allclose(y.get(), exact, rtol=1e-5, atol=1e-5)


def test_given_statistics_take_two(launched, emulated_cupy):
    x = emulated_cupy.asarray(values((8, 6, 10, 10), dtype=np.float32))
    nv.normalize(x, "batch", statistics=nv.statistics(x, "batch"))
    assert [name.partition("<")[0] for name in launched[-2:]] == ["table", "affine"]
    assert sum("table" in name for name in launched) == 1


def test_a_module_is_compiled_when_its_type_is_met(launched, emulated_cupy, monkeypatch):
    compiled = []

    def raw_module(code, options, name_expressions):
        compiled.append(name_expressions)
        return emulate.module()

    monkeypatch.setattr(emulated_cupy, "RawModule", raw_module)
    for dtype in ("f4", "f4", "f2"):
        nv.normalize(emulated_cupy.asarray(values((4, 6, 50), dtype=dtype)), "instance")
    assert [names[0] for names in compiled[-3:]] == ["moments<float,float,4>", "merge", "moments<__half,float,4>"]
    assert not any("__half" in name for name in compiled[-3])
    assert len(compiled) <= 4  # these, and the check of the compiler
