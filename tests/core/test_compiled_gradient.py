"""The compiled loops of the gradient at sizes with several rows, strips and parts, in every layout and dtype."""

import numpy as np
import pytest

import normviz as nv
from normviz.backends import dispatch, threads
from tests.core.cases import configurations, values
from tests.core.test_normalize import parameters

if problem := dispatch.compiled_problem():
    pytest.skip(problem, allow_module_level=True)

# Rows of 35 cells; strips of 300 columns and more; short rows.
SHAPES = [(4, 8, 5, 7), (2, 4, 300), (40, 24), (3, 16, 4, 3)]


def as_last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def reversed_axes(a):
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]


def every_other(a):
    wide = np.zeros([2 * a.shape[0], *a.shape[1:-1], a.shape[-1] + 3], a.dtype)
    view = wide[::2, ..., 1:-2]
    view[...] = a
    return view


LAYOUTS = {
    "channels first": np.copy,
    "channels last": as_last,
    "Fortran": np.asfortranarray,
    "backwards": reversed_axes,
    "with gaps": every_other,
}


def float64(a):
    return np.asarray(a, np.float64)


def agree(found, expected, tolerance=1e-11):
    """A gradient is a difference of terms, so its largest value sets the tolerance."""
    for name in ("input", "weight", "bias"):
        a, b = (float64(getattr(g, name)) for g in (found, expected))
        close = tolerance if name == "input" else 1e-11
        np.testing.assert_allclose(a, b, rtol=close, atol=close * (1 + abs(b).max()), err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_method_layout_and_weight(shape, layout):
    x, g = (LAYOUTS[layout](values(shape, seed)) for seed in (0, 3))
    for method, num_groups in configurations(shape):
        saved = nv.statistics(x, method, num_groups=num_groups, backend="numpy")
        for weight, _ in parameters(method, shape, num_groups):
            for statistics in (None, saved):
                options = {"num_groups": num_groups, "weight": weight, "statistics": statistics}
                found, expected = (nv.gradient(x, g, method, backend=b, **options) for b in ("compiled", "numpy"))
                agree(found, expected)


@pytest.mark.parametrize(
    ("name", "tolerance", "layout", "methods"),
    [  # each half with one of the two loops, which take long to compile
        ("float32", 2e-6, "channels first", ["group", "batch", "positional", "weight_norm"]),
        ("float32", 2e-6, "channels last", ["group", "batch", "positional", "weight_norm"]),
        ("float16", 2e-3, "channels last", ["group", "batch"]),
        ("bfloat16", 1e-2, "channels first", ["group", "batch", "weight_norm"]),
    ],
)
def test_dtypes(name, tolerance, layout, methods):
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else np.dtype(name)
    x, g = (LAYOUTS[layout](values((4, 8, 9, 7), seed).astype(dtype)) for seed in (0, 3))
    weight = values((8,), 5)
    for method in methods:
        w = weight[:4] if method == "weight_norm" else weight
        options = {"num_groups": 2 if method == "group" else None, "weight": w}
        expected = nv.gradient(float64(x), float64(g), method, backend="numpy", **options)
        found = nv.gradient(x, g, method, backend="compiled", **options)
        agree(found, expected, tolerance)
        assert found.input.dtype == x.dtype
        if name == "float32" and layout == "channels first" and method == "group":
            agree(nv.gradient(x, float64(g), method, backend="compiled", **options), expected, tolerance)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
@pytest.mark.parametrize("method", ["group", "layer", "batch", "positional"])
def test_finite_differences(method, layout):
    """The derivative of the sum of g * normalize(x) along random directions of x."""
    shape, options = (3, 6, 8, 9), {"num_groups": 2 if method == "group" else None, "weight": values((6,), 5)}
    x, g = (LAYOUTS[layout](values(shape, seed)) for seed in (0, 3))
    found = nv.gradient(x, g, method, backend="compiled", **options).input
    for seed in (7, 8):
        step = 1e-5 * values(shape, seed, loc=0)
        up, down = ((g * nv.normalize(x + sign * step, method, backend="numpy", **options)).sum() for sign in (1, -1))
        np.testing.assert_allclose((found * step).sum(), (up - down) / 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_large_arrays_against_torch_on_any_number_of_threads(layout, monkeypatch):
    """More cells than the smallest array that is divided, with few sets and with many."""
    torch = pytest.importorskip("torch")
    x, g = (LAYOUTS[layout](values((2, 8, 260, 256), seed).astype(np.float32)) for seed in (0, 3))
    assert x.nbytes >= threads.WORTH
    weight = values((8,), 5)
    tx, tw = torch.tensor(x, dtype=torch.float64, requires_grad=True), torch.tensor(weight, requires_grad=True)
    bias = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    positions_last = (0, 2, 3, 1)
    outputs = {
        ("group", 4): torch.nn.functional.group_norm(tx, 4, tw, bias),
        ("layer", None): torch.nn.functional.group_norm(tx, 1, tw, bias),
        ("batch", None): torch.nn.functional.batch_norm(tx, None, None, tw, bias, True),
        ("positional", None): torch.nn.functional.layer_norm(tx.permute(positions_last), (8,), tw, bias).permute(
            0, 3, 1, 2
        ),
    }
    for (method, num_groups), output in outputs.items():
        expected = torch.autograd.grad(output, (tx, tw, bias), torch.tensor(g, dtype=torch.float64))
        found = []
        for count in "1", "4":
            monkeypatch.setenv("NORMVIZ_NUM_THREADS", count)
            options = {"num_groups": num_groups, "weight": weight, "backend": "compiled"}
            found.append(nv.gradient(x, g, method, **options))
        for name, of_torch in zip(("input", "weight", "bias"), expected, strict=True):
            one, four = (getattr(f, name) for f in found)
            np.testing.assert_array_equal(one, four)
            limit = 1e-5 if name == "input" else 1e-8 * x.size**0.5
            np.testing.assert_allclose(one, of_torch, rtol=1e-5 if name == "input" else 1e-9, atol=limit)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_nan_stays_in_its_set_and_changes_no_digit_elsewhere(layout):
    x, g = (LAYOUTS[layout](values((4, 8, 9, 7), seed).astype(np.float32)) for seed in (0, 3))
    cell = (2, 5, 4, 3)
    for method, num_groups in configurations(x.shape):
        pool = nv.pooling(method, x.shape, num_groups)
        if pool.size == 1:
            continue
        for bad in (np.nan, np.inf, 3e38, 1e-40):
            wild = x.copy(order="K")
            wild[pool.set_of(cell)] *= np.float32(1e-5)
            wild[cell] = bad
            options = {"num_groups": num_groups, "backend": "compiled"}
            found, clean = (nv.gradient(a, g, method, **options).input for a in (wild, x))
            inside = np.zeros(x.shape, bool)
            inside[pool.set_of(cell)] = True
            np.testing.assert_array_equal(found[~inside], clean[~inside])
            if not np.isfinite(bad):
                assert np.isnan(found[inside]).all()
            else:
                exact = nv.gradient(float64(wild), g, method, num_groups=num_groups, backend="numpy").input[inside]
                np.testing.assert_allclose(found[inside], exact, rtol=1e-5, atol=2e-6 * abs(exact).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_far_from_zero_and_a_first_cell_far_from_the_rest(dtype):
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    for layout in ("channels first", "channels last"):
        x = values((4, 8, 9, 7), loc=1e4, scale=1e-2)
        x[0, 0, 0, 0] += 5000
        x[:, 1] = 3e4
        x = LAYOUTS[layout](x.astype(dtype))
        g = LAYOUTS[layout](values(x.shape, 3))
        for method, num_groups in (("group", 4), ("batch", None), ("positional", None), ("instance", None)):
            options = {"num_groups": num_groups, "eps": 1e-8}
            found = nv.gradient(x, g, method, backend="compiled", **options)
            expected = nv.gradient(float64(x), g, method, backend="numpy", **options)
            np.testing.assert_allclose(
                found.input, expected.input, rtol=tolerance, atol=tolerance * abs(expected.input).max()
            )


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_other_layouts_and_dtypes_of_the_gradient_of_the_output(layout):
    shape = (4, 8, 9, 7)
    x = LAYOUTS[layout](values(shape))
    wide = values((*shape[:-1], 14), 4)
    gradients = {
        "one number": np.broadcast_to(np.float64(0.5), shape),
        "one a channel": np.broadcast_to(values((8, 1, 1), 4), shape),
        "every other": wide[..., ::2],
        "transposed": values(shape[::-1], 4).T,
        "integers": (10 * values(shape, 4)).astype(int),
        "big-endian": values(shape, 4).astype(">f4"),
    }
    for name, g in gradients.items():
        g.flags.writeable = False
        before = g.copy()
        for method, num_groups in (("group", 4), ("batch", None), ("positional", None), ("layer", None)):
            options = {"num_groups": num_groups, "weight": values((8,), 5)}
            found, expected = (nv.gradient(x, g, method, backend=b, **options) for b in ("compiled", "numpy"))
            agree(found, expected)
        np.testing.assert_array_equal(g, before, err_msg=name)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_a_sample_has_the_same_digits_in_every_batch(layout, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 1)  # so that these arrays count as large
    x, g = (LAYOUTS[layout](values((4, 8, 61, 70), seed)) for seed in (0, 3))
    for method, num_groups in (("instance", None), ("group", 4), ("layer", None), ("positional", None)):
        for weight in (None, values((8,), 5)):
            options = {"num_groups": num_groups, "weight": weight, "backend": "compiled"}
            together = nv.gradient(x, g, method, **options).input
            for count in 1, 3:
                alone = nv.gradient(x[:count], g[:count], method, **options).input
                np.testing.assert_array_equal(alone, together[:count])
