"""The relatives against plain loops, PyTorch's autograd and finite differences; float64 to 1e-10."""

import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import normviz as nv
from normviz import relatives
from tests.core.cases import on_axis, values
from tests.core.reference_relatives import Loops, Torch
from tests.core.stand_in import DeviceArray

EPS = 1e-3
SHAPES = [(3, 4), (2, 4, 5), (2, 4, 3, 2), (3, 2, 2, 3, 2)]


@dataclass
class Case:
    """One call: an array, what else is differentiated, what is not, and what the gradients are called.

    Attributes
    ----------
    name
        Of the function.
    x
        The array that comes first.
    learned
        Arrays with a gradient each, by keyword.
    fixed
        Everything else, by keyword.
    named
        Which attribute of the gradients is x's.
    """

    name: str
    x: np.ndarray
    learned: dict[str, np.ndarray] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    named: str = "input"

    def __str__(self):
        return f"{self.name}{self.x.shape}{''.join(f' {k}={v}' for k, v in self.fixed.items() if k != 'style')}"

    def forward(self, x=None, **changed):
        return getattr(relatives, self.name)(self.x if x is None else x, **{**self.learned, **self.fixed, **changed})

    def gradients(self, grad, x=None, **changed):
        """By name, x's included. A bias that plays no part in the gradients is not asked for."""
        function = getattr(relatives, f"{self.name}_gradient")
        arguments = {**self.learned, **self.fixed, **changed}
        if self.name == "switchable":
            arguments.pop("bias")
        found = function(self.x if x is None else x, grad, **arguments)
        if self.name == "weight_standardization":
            return {"x": found}
        return {"x": getattr(found, self.named)} | {name: getattr(found, name) for name in self.learned}


def cases():
    for shape in SHAPES:
        N, C = shape[:2]
        x, affine = values(shape), {"weight": values(C, 1), "bias": values(C, 2)}
        yield Case("frn", x, affine | {"tau": values(C, 3, loc=1, scale=0.5)}, {"eps": EPS})
        yield Case("frn", x, affine | {"tau": np.full(C, -1e9)}, {"eps": EPS})
        logits = {"mean_weights": np.array([0.3, -1, 2]), "var_weights": np.array([-0.5, 1, 0.2])}
        yield Case("switchable", x, logits | affine, {"eps": EPS})
        tables = {"weight": values((3, C), 1), "bias": values((3, C), 2)}
        if len(shape) > 2:
            yield Case("conditional_instance", x, tables, {"style": np.arange(N) % 2 * 2, "eps": EPS})
            for samples, alpha in ((N, 1.0), (1, 0.25)):
                style = {"style": values((samples, C, 4, 3)[: len(shape)], 5, loc=3)}
                yield Case("adain", x, style, {"alpha": alpha, "eps": EPS})
        yield Case("weight_norm", x, {"g": values(N, 1)}, named="v")
        for unbiased in (False, True):
            yield Case("weight_standardization", x, fixed={"eps": EPS, "unbiased": unbiased})


CASES = list(cases())
every = pytest.mark.parametrize("case", CASES, ids=str)


@every
def test_forward_by_plain_loops(case, backend):
    expected = getattr(Loops, case.name)(case.x, **case.learned, **case.fixed)
    found = case.forward(backend=backend)
    assert (type(found), found.dtype) == (np.ndarray, np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@every
def test_forward_and_gradient_by_pytorch(case, backend):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
    arrays = {"x": case.x, **case.learned}
    leaves = {name: torch.tensor(a, requires_grad=True) for name, a in arrays.items()}
    fixed = {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in case.fixed.items()}
    x, *rest = leaves.values()
    y = getattr(Torch, case.name)(x, **dict(zip(case.learned, rest, strict=True)), **fixed)
    np.testing.assert_allclose(case.forward(backend=backend), y.detach(), rtol=1e-10, atol=1e-10)
    g = values(case.x.shape, seed=9)
    y.backward(torch.from_numpy(g))
    found = case.gradients(g, backend=backend)
    assert found.keys() == leaves.keys()
    for name, leaf in leaves.items():
        assert found[name].shape == leaf.shape
        np.testing.assert_allclose(found[name], leaf.grad, rtol=1e-9, atol=1e-9, err_msg=name)


@every
def test_gradient_by_finite_differences(case):
    """The change along a random direction of everything at once."""
    g, h = values(case.x.shape, seed=9), 1e-6
    arrays = {"x": case.x, **case.learned}
    ways = {name: values(a.shape, seed=20 + k, loc=0, scale=1) for k, (name, a) in enumerate(arrays.items())}
    ends = [case.forward(**{name: a + s * ways[name] for name, a in arrays.items()}) for s in (h, -h)]
    expected = (g * (ends[0] - ends[1])).sum() / (2 * h)
    found = sum((case.gradients(g)[name] * way).sum() for name, way in ways.items())
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


@every
def test_a_wrong_gradient_would_be_seen(case):
    """Each gradient moves what it is compared with: none is nothing but zeros, and none ignores grad_output."""
    for name, found in case.gradients(values(case.x.shape, seed=9)).items():
        other = case.gradients(values(case.x.shape, seed=10))[name]
        single = case.x.ndim == 2 and name == "x" and case.name == "adain"
        assert single or (name == "tau" and case.learned["tau"].max() < -1e8) or not np.allclose(found, other)


@pytest.mark.parametrize("axis", [-1, 0])
def test_channel_axis(axis):
    for case in CASES:
        if case.x.shape != (2, 4, 3, 2) or "weight_" in case.name:
            continue
        g = values(case.x.shape, seed=9)
        there = {"channel_axis": axis}
        if case.name == "adain":
            there["style"] = on_axis(case.learned["style"], axis)
        y = case.forward(on_axis(case.x, axis), **there)
        np.testing.assert_allclose(y, on_axis(case.forward(), axis), rtol=1e-12, atol=1e-12)
        found = case.gradients(on_axis(g, axis), on_axis(case.x, axis), **there)
        for name, expected in case.gradients(g).items():
            moved = on_axis(expected, axis) if name in ("x", "style") else expected
            np.testing.assert_allclose(found[name], moved, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dim", [-1, 1, 2])
def test_filters_on_any_axis(dim):
    """Keras and Flax have (kH, kW, Cin, Cout)."""
    v, g, grad = values((3, 4, 2, 2)), values(3, 1), values((3, 4, 2, 2), 9)
    there, out = (np.moveaxis(a, 0, dim) for a in (v, grad))
    moved = lambda a: np.moveaxis(a, 0, dim)  # noqa: E731
    np.testing.assert_allclose(relatives.weight_norm(there, g, dim=dim), moved(relatives.weight_norm(v, g)))
    ours, theirs = (relatives.weight_norm_gradient(*a) for a in ((v, grad, g), (v, grad, g)))
    theirs = relatives.weight_norm_gradient(there, out, g, dim=dim)
    np.testing.assert_allclose(theirs.v, moved(ours.v), atol=1e-12)
    np.testing.assert_allclose(theirs.g, ours.g)
    for unbiased in (False, True):
        options = {"unbiased": unbiased}
        y = relatives.weight_standardization(there, dim=dim, **options)
        np.testing.assert_allclose(y, moved(relatives.weight_standardization(v, **options)), atol=1e-12)
        found = relatives.weight_standardization_gradient(there, out, dim=dim, **options)
        np.testing.assert_allclose(
            found, moved(relatives.weight_standardization_gradient(v, grad, **options)), atol=1e-12
        )


@every
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("float32", 2e-6)])
def test_dtypes_are_kept(case, dtype, tolerance):
    x = case.x.astype(dtype)
    y = case.forward(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, case.forward(x.astype(float)), rtol=tolerance, atol=tolerance)
    found = case.gradients(values(x.shape, seed=9), x)
    assert found.pop("x").dtype == dtype
    assert {a.dtype for a in found.values()} <= {np.dtype(float)}


def large(case):
    """The same call on 4 MB of float32."""
    shape = (16, 16, 64, 64)
    learned = {
        name: a if name.endswith("_weights") else np.resize(a, shape if a.ndim == 4 else (*a.shape[:-1], 16))
        for name, a in case.learned.items()
    }
    fixed = case.fixed | ({"style": np.arange(16) % 3} if "style" in case.fixed else {})
    return Case(case.name, values(shape, dtype=np.float32), learned, fixed, case.named)


@pytest.mark.parametrize("case", [case for case in CASES if case.x.shape == (2, 4, 3, 2)], ids=str)
def test_no_copy_in_float64_is_made(case, monkeypatch):
    """The result, at most one array of its size beside it, and the blocks of one thread."""
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")
    case = large(case)
    g = values(case.x.shape, seed=9, dtype=np.float32)
    for call, arrays in ((case.forward, 2), (lambda: case.gradients(g), 4)):
        call()
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < (arrays + 1) * case.x.nbytes


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
    for case in CASES:
        if case.x.ndim != 4:
            continue
        x = torch.tensor(case.x, dtype=torch.bfloat16, requires_grad=True)
        y = case.forward(x)
        assert (type(y), y.dtype) == (torch.Tensor, torch.bfloat16)
        expected = case.forward(x.detach().float().numpy())
        np.testing.assert_allclose(y.float(), expected, rtol=1e-2, atol=1e-2)
        assert case.gradients(torch.ones_like(x), x)["x"].dtype == torch.bfloat16


def test_a_mean_far_from_zero_costs_no_digits():
    noise = values((2, 4, 30, 30), loc=0, scale=1e-2)
    x = noise + 1e6
    exact = x - 1e6
    far = {"mean_weights": [0.3, -1, 2], "var_weights": [0, 1, 2], "eps": 1e-6}
    np.testing.assert_allclose(relatives.switchable(x, **far), relatives.switchable(exact, **far), atol=1e-5)
    found, near = (relatives.switchable_gradient(a, noise, **far) for a in (x, exact))
    for name in ("input", "mean_weights", "var_weights", "weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(near, name), rtol=1e-5, atol=1e-5)


def test_frn_without_a_threshold_is_the_row_of_the_table():
    x, w = values((2, 4, 3)), values(4, 1)
    np.testing.assert_array_equal(relatives.frn(x, weight=w), nv.normalize(x, "frn", weight=w))
    found = relatives.frn_gradient(x, x, weight=w)
    np.testing.assert_array_equal(found.input, nv.gradient(x, x, "frn", weight=w).input)
    assert found.tau is None


def test_device_arrays_stay_on_the_device(stand_in_for_cupy):
    """As strict as CuPy: host and device arrays do not mix, and what goes in on the device comes back there."""
    asarray = stand_in_for_cupy.asarray
    for case in CASES:
        g = values(case.x.shape, seed=9)
        there = {"style": asarray(case.learned["style"])} if case.name == "adain" else {}
        y = case.forward(asarray(case.x), **there)
        assert type(y) is DeviceArray, case
        np.testing.assert_allclose(y.get(), case.forward(), rtol=1e-11, atol=1e-11)
        found = case.gradients(asarray(g), asarray(case.x), **there)
        for name, expected in case.gradients(g).items():
            assert (type(found[name]) is DeviceArray) == (name in ("x", "style")), (case, name)
            np.testing.assert_allclose(np.asarray(found[name]), expected, rtol=1e-10, atol=1e-10)


def test_a_value_on_its_threshold_shares_its_gradient_as_pytorch_does():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
    x, g = values((2, 3, 4)), values((2, 3, 4), seed=9)
    # Without a weight every output is the bias, and so the threshold itself.
    fixed = {"weight": np.zeros(3), "bias": np.arange(3.0), "tau": np.arange(3.0)}
    leaves = {name: torch.tensor(a, requires_grad=True) for name, a in fixed.items()}
    Torch.frn(torch.from_numpy(x), **leaves, eps=EPS).backward(torch.from_numpy(g))
    found = relatives.frn_gradient(x, g, **fixed, eps=EPS)
    for name, leaf in leaves.items():
        np.testing.assert_allclose(getattr(found, name), leaf.grad, rtol=1e-12, atol=1e-12)


def test_a_filter_of_zeros_stays_zero_where_eps_allows_it():
    v = np.zeros((2, 3))
    v[1] = [3, 4, 0]
    np.testing.assert_array_equal(nv.relatives.weight_norm(v, eps=1e-12)[0], 0)
    np.testing.assert_allclose(nv.relatives.weight_norm(v, eps=1e-12)[1], [0.6, 0.8, 0])
