"""How many kernels a call launches: each costs microseconds on the host, which for small tensors is all the time."""

import numpy as np
import pytest

import normviz as nv
from normviz.arrays.request import resolve
from tests.core import stand_in
from tests.core.cases import values
from tests.cuda import emulate
from tests.cuda.checks import TYPES


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32"])
@pytest.mark.parametrize("method", ["batch", "per_head", "layer"])
def test_parameters_on_the_device_stay_there(method, dtype, launched, emulated_cupy, monkeypatch):
    shape = (4, 6, 5, 8)
    num_groups = 3 if method == "per_head" else None
    x = values(shape, dtype=np.float32)
    weight, bias = (
        values({"batch": 6, "per_head": 2, "layer": shape[1:]}[method], i).astype(TYPES.get(dtype, dtype))
        for i in (1, 2)
    )
    exact = [a.astype(float) for a in (x, weight, bias)]
    options = {"num_groups": num_groups}
    expected = nv.normalize(exact[0], method, weight=exact[1], bias=exact[2], **options)
    slope = nv.gradient(exact[0], exact[0], method, weight=exact[1], **options)
    there = [a.view(stand_in.DeviceArray) for a in (x, weight, bias)]
    gradient = nv.gradient(there[0], there[0], method, weight=there[1], **options)
    np.testing.assert_allclose(gradient.input.get(), slope.input, rtol=1e-4, atol=1e-5)
    assert gradient.weight.shape == weight.shape
    monkeypatch.setattr(stand_in.DeviceArray, "get", None)
    monkeypatch.setattr(emulated_cupy, "asarray", stand_in._on_device)  # nothing comes from the host either
    y = np.empty_like(there[0])
    nv.normalize(there[0], method, weight=there[1], bias=there[2], out=y, **options)
    np.testing.assert_allclose(y.view(np.ndarray), expected, rtol=1e-5, atol=1e-5)


def test_a_wrong_parameter_on_the_device_is_refused(launched, emulated_cupy):
    x, wrong = (a.view(stand_in.DeviceArray) for a in (values((4, 6, 5)), values(5)))
    with pytest.raises(ValueError, match=r"weight has shape \(5,\); method 'batch' on C=6 channels needs \(6,\)"):
        nv.normalize(x, "batch", weight=wrong)
    with pytest.raises(TypeError, match="bias has dtype complex128; use a float"):
        nv.normalize(x, "batch", bias=np.ones(6, complex).view(stand_in.DeviceArray))


def test_parameters_follow_x_to_the_host(launched, emulated_cupy):
    x, weight = (a.view(stand_in.DeviceArray) for a in (values((4, 6, 5)), values(6, 1, np.float32)))
    request = resolve(x, "batch", weight=weight).on_the_host()
    for found, expected in ((request.view, x), (request.weight.reshape(-1), weight)):
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected.view(np.ndarray))


GRADIENTS = {
    "batch": ((8, 6, 10, 10), {}, ["moments", "merge", "table", "row_slopes", "slopes"]),
    "instance": ((8, 10, 10, 6), LAST, ["column_moments", "merge", "table", "column_slopes", "slopes"]),
    "positional": ((8, 20, 64), LAST, ["moments", "table", "row_slopes", "column_slopes", "slopes"]),
    "rms": ((8, 6, 10, 10), {}, ["column_moments", "table", "column_slopes", "row_slopes", "slopes"]),
}


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_gradient_takes_five(method, launched, emulated_cupy):
    shape, options, expected = GRADIENTS[method]
    x, g = (values(shape, seed, np.float32) for seed in (0, 1))
    found = nv.gradient(emulated_cupy.asarray(x), emulated_cupy.asarray(g), method, **options)
    assert [name.partition("<")[0] for name in launched] == expected
    exact = nv.gradient(x.astype(float), g.astype(float), method, **options)
    np.testing.assert_allclose(found.input.get(), exact.input, rtol=1e-5, atol=1e-5)


def test_the_gradient_with_statistics_that_are_given(launched, emulated_cupy):
    x, g = (values((8, 6, 10, 10), seed, np.float32) for seed in (0, 1))
    there = [emulated_cupy.asarray(a) for a in (x, g)]
    running = nv.RunningStatistics(6)
    running.update(g)
    for statistics in (nv.statistics(x, "batch"), running):
        launched.clear()
        found = nv.gradient(*there, "batch", statistics=statistics)
        assert [name.partition("<")[0] for name in launched] == ["table", "row_slopes", "slopes"]
        exact = nv.gradient(x.astype(float), g.astype(float), "batch", statistics=statistics)
        np.testing.assert_allclose(found.input.get(), exact.input, rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_stays_in_its_set(launched, emulated_cupy):
    x, g = (values((4, 6, 10), seed, np.float32) for seed in (0, 1))
    clean = nv.gradient(emulated_cupy.asarray(x), emulated_cupy.asarray(g), "instance").input.get()
    running = nv.RunningStatistics(6)
    for statistics, hit in ((None, np.s_[1, 2]), (running, np.s_[1, 2, 3])):
        method = "instance" if statistics is None else "batch"
        before = clean if statistics is None else nv.gradient(x, g, method, statistics=running).input
        wrong = g.copy()
        wrong[1, 2, 3] = np.nan
        given = [emulated_cupy.asarray(a) for a in (x, wrong)]
        after = nv.gradient(*given, method, statistics=statistics).input.get()
        assert np.isnan(after[hit]).all()
        after[hit] = before[hit]
        np.testing.assert_allclose(after, before, rtol=1e-5)
