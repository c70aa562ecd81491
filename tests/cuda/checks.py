"""What right kernels do, as functions of the launches, so that a test can show them a wrong kernel."""

import ml_dtypes
import numpy as np

import normviz as nv
from normviz.backends.cuda.gradient import gradient
from normviz.backends.cuda.kernels import KINDS, Found
from normviz.backends.cuda.kernels import atoms as kernel_atoms
from normviz.backends.cuda.layout import contiguous, tables
from normviz.core.moments import mean_and_var
from tests.core import stand_in
from tests.core.cases import one_each

TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
# Relative, of M2; float32's accuracy is a few of its roundings over a tile of at most 32 values.
M2 = {"float64": 1e-12}


def on_device(values):
    """The values in memory of the stand-in's, unaligned where they were."""
    return values.reshape(-1).view(stand_in.DeviceArray)


def plain(found):
    return np.asarray(found).view(np.ndarray)


def normal(shape, dtype, loc=1.0, scale=2.0, seed=0):
    return np.random.default_rng(seed).normal(loc, scale, shape).astype(TYPES.get(dtype, dtype))


def moments(values, axis):
    """Mean and M2 in the longest type there is."""
    exact = values.astype(np.longdouble)
    mean = exact.mean(axis, keepdims=True)
    return np.squeeze(mean, axis), ((exact - mean) ** 2).sum(axis)


def agree(atoms, values, axis, rtol=None):
    mean, m2 = (np.ravel(a) for a in moments(values, axis))
    rtol = rtol or M2.get(values.dtype.name, 5e-7)
    spread = np.sqrt(m2 / values.shape[axis])
    atoms = plain(atoms)
    assert atoms.shape == (mean.size, 2)
    with np.errstate(invalid="ignore"):
        assert (abs(atoms[:, 0] - mean) <= rtol * spread + 1e-15 * abs(mean)).all()
    np.testing.assert_allclose(atoms[:, 1], m2.astype(float), rtol=rtol)


def check_rows(kernels, dtype, rows, L):
    values = normal((rows, L), dtype)
    agree(kernels.rows(on_device(values), rows, L), values, 1)


def check_columns(kernels, dtype, outer, K, B):
    values = normal((outer, K, B), dtype)
    agree(kernels.columns(on_device(values), outer, K, B), values, 1)


def check_merge(kernels, outer, K, inner, cells):
    values = normal((outer, K, cells, inner), "float64")
    atoms = np.stack(moments(values, 2), axis=-1).astype(float).reshape(-1, 2)
    whole = values.reshape(outer, K * cells, inner)
    agree(kernels.merge(on_device(atoms).reshape(-1, 2), outer, K, inner, cells), whole, 1)


def table(dtype, count, seed, form="centred"):
    """Scale, mean and shift, and the table that holds them in one of the two forms."""
    work = np.float64 if dtype == "float64" else np.float32
    scale, mean, shift = np.random.default_rng(seed).normal(1, 0.3, (3, count)).astype(work).astype(float)
    if form == "scaled":
        return (scale, 0 * mean, shift), on_device(np.stack([scale, shift], -1).astype(work))
    return (scale, mean, shift), on_device(np.stack([np.ones(count), -mean, scale, shift], -1).astype(work))


def close(y, expected):
    """To a rounding or two of the type of y."""
    eps = {"bfloat16": 2.0**-8, "float16": 2.0**-11}.get(y.dtype.name) or 4 * np.finfo(y.dtype).eps
    np.testing.assert_allclose(y.astype(float), expected, rtol=eps, atol=8 * eps)


def check_affine(kernels, dtype, rows, L, skip=0):
    values = normal(rows * L + skip, dtype)[skip:]
    y = np.full(rows * L + skip, 7, values.dtype)
    (scale, mean, shift), made = table(dtype, rows, 1)
    kernels.affine(on_device(values), on_device(y[skip:]), made)
    exact = values.astype(float).reshape(rows, L)
    close(y[skip:].reshape(rows, L), (exact - mean[:, None]) * scale[:, None] + shift[:, None])
    assert (y[:skip] == 7).all()


def check_affine_grid(kernels, dtype, outer, K, B, hold):
    values = normal((outer, K, B), dtype)
    y = np.full_like(values, 7)
    (a, m, b), columns = table(dtype, outer * B, 2, "scaled" if hold == 1 else "centred")
    a, m, b = (p.reshape(outer, 1, B) for p in (a, m, b))
    expected = values.astype(float)
    if hold == 0:
        rows = None
    else:
        parameters, rows = table(dtype, outer * K, 3, "centred" if hold == 1 else "scaled")
        row_a, row_m, row_b = (p.reshape(outer, K, 1) for p in parameters)
    if hold == 1:
        expected = (expected - row_m) * row_a + row_b
    expected = (expected - m) * a + b
    if hold == 2:
        expected = expected * row_a + row_b
    kernels.affine_grid(on_device(values), on_device(y), rows, columns, hold, (outer, K, B))
    close(y, expected)


def check_table(kernels, lengths, block, weight, bias, work, statistic):
    """The entries of the tables, at every cell, against NumPy's broadcasting; weight and bias are (dtype, axes)."""
    rng = np.random.default_rng(len(lengths) + sum(lengths))
    grid = [n // b for n, b in zip(lengths, block, strict=True)]
    found = np.stack([rng.normal(1e3, 2, grid), rng.uniform(1, 9, grid)], -1)
    if work == "float32" and statistic == CENTRED:  # the ends of float32: with a factor of 1, one of them is infinite
        found[(0,) * len(grid)], found[(-1,) * len(grid)] = (2e38, 1e82), (1e-40, 1e-77)
    steps = [2 * int(np.prod(grid[axis + 1 :])) if n > 1 else 0 for axis, n in enumerate(grid)]
    parameters, strides, exact = [], [], []
    for given in (weight, bias):
        if given is None:
            parameters.append(None), strides.append(None), exact.append(None)
            continue
        dtype, axes = given
        shape = [n if axis in axes else 1 for axis, n in enumerate(lengths)]
        p = rng.normal(1, 1, shape).astype(TYPES[dtype])
        parameters.append(p.view(stand_in.DeviceArray))
        strides.append(tuple(s // p.itemsize if n > 1 else 0 for s, n in zip(p.strides, shape, strict=True)))
        exact.append(p.astype(float))
    layout = tables(tuple(lengths), 8 if work == "float64" else 4, tuple(block), tuple(steps), *strides)
    device = found.view(stand_in.DeviceArray)
    given = Found(device[..., 0], device[..., 1], tuple(block), tuple(steps), KINDS[statistic], 7.0, EPS)
    rows, columns = kernels.table(np.dtype(work).type, given, *parameters, layout)

    mean, m2 = (np.kron(found[..., i], np.ones(block)) for i in (0, 1))
    x = mean + np.sqrt(m2) * rng.normal(0, 1, lengths)
    mean, var = mean_and_var(mean, m2, 7.0, statistic)
    rstd = 1 / np.sqrt(var + EPS)
    expected = (x - mean) * rstd * (1 if exact[0] is None else exact[0]) + (0 if exact[1] is None else exact[1])
    outer, K, B = layout.grid
    y = x.reshape(outer, K, B) if columns is not None else x.reshape(rows.size // 4, -1)
    forms = {None: [(rows, 4, (-1, 1))], 0: [(columns, 4, (outer, 1, B))]}
    forms[1] = [(rows, 4, (outer, K, 1)), (columns, 2, (outer, 1, B))]
    forms[2] = [(columns, 4, (outer, 1, B)), (rows, 2, (outer, K, 1))]
    with np.errstate(all="ignore"):  # the entries of a wrong kernel may be anything
        for made, width, shape in forms[None if columns is None else layout.hold]:
            entry = [plain(made).reshape(-1, width)[:, i].astype(float).reshape(shape) for i in range(width)]
            y = (y * entry[0] + entry[1]) * entry[2] + entry[3] if width == 4 else y * entry[0] + entry[1]
        close(y.reshape(lengths).astype(work), expected)


CENTRED, SQUARE, NORM = KINDS
EPS = 1e-78
# Rows that hold everything; rows of statistics; columns of statistics; columns of everything; parameters of every type.
TABLES = [
    ((4, 6, 50), (1, 3, 50), ("float32", (1,)), ("float16", (1,)), "float32", CENTRED),
    ((4, 5, 6), (1, 1, 6), ("bfloat16", (2,)), None, "float32", SQUARE),
    ((2, 40, 3), (1, 40, 1), ("float64", (1,)), ("float64", (1,)), "float64", CENTRED),
    ((2, 9, 4, 6), (1, 9, 4, 3), ("float32", (3,)), ("bfloat16", (3,)), "float64", CENTRED),
    ((2, 3, 2, 3, 4), (2, 3, 1, 3, 4), None, ("float32", (0, 1, 2, 3, 4)), "float32", NORM),
    ((4, 6, 5), (2, 1, 5), None, None, "float32", CENTRED),
]


# Statistics and weight both change from row to row; both from column to column, also of very few columns; the one
# from row to row, the other from column to column; and the other way round.
GRADIENTS = [
    ("batch", (3, 4, 7, 5), None, 1),
    ("group", (2, 6, 8, 12), 3, 1),
    ("layer", (2, 3, 40, 64), None, 1),
    ("batch", (3, 6, 5, 7), None, -1),
    ("group", (2, 3, 96, 4), 3, -1),
    ("positional", (2, 64, 9), None, -1),
    ("per_head_rms", (3, 36, 7), 4, -1),
    ("positional", (2, 5, 6, 8), None, 1),
    ("weight_norm", (5, 6, 4, 5), None, 1),
    ("instance", (3, 16, 1), None, 1),  # one cell a set: all that is left is rounding, times 1 / sqrt(eps)
    ("instance", (1, 2, 4500), None, 1),  # long rows, in pieces
    ("batch", (1, 64, 1000, 4), None, -1),  # many rows of columns
]


def check_gradient(kernels, dtype, method, shape, num_groups, channel_axis, fixed=False, scale=1.0):
    """The gradients by input, weight and bias against NumPy's in float64, for x of `shape` with C moved to its axis."""
    x, g = (np.moveaxis(normal(shape, dtype, scale, 2 * scale, seed), 1, channel_axis).copy() for seed in (1, 2))
    pool = nv.pooling(method, shape, num_groups)
    weight = np.random.default_rng(3).normal(1, 0.3, one_each(method, shape)).astype(np.float32).astype(float)
    options = {"num_groups": num_groups, "channel_axis": channel_axis, "weight": weight, "backend": "numpy"}
    if fixed:
        running = nv.RunningStatistics(shape[1])
        running.update(normal(shape, "float64", seed=4))
        options["statistics"] = running
    expected = nv.gradient(x.astype(float), g.astype(float), method, **options)
    x, g, out = (np.moveaxis(a.view(stand_in.DeviceArray), channel_axis, 1) for a in (x, g, np.empty_like(x)))
    atoms, steps = kernel_atoms(kernels, x, pool.block)
    found = Found(
        atoms[:, 0], atoms[:, 1], pool.block, tuple(2 * s for s in steps), KINDS[pool.row.statistic], pool.size, 1e-5
    )
    if fixed:
        mean, var = (a.copy().view(stand_in.DeviceArray) for a in (running.mean, running.var))
        found = Found(mean, var, pool.block, contiguous(pool.grid), 0, 1.0, 1e-5)
    given = weight.reshape(pool.parameter_shape).view(stand_in.DeviceArray)
    of_weight, of_bias = gradient(kernels, x, g, pool, given, found, fixed, out)
    y = np.moveaxis(plain(out), 1, channel_axis)
    if dtype == "float64":  # a product that is not rounded less one that is, times 1 / sqrt(eps)
        np.testing.assert_allclose(y, expected.input, rtol=1e-13, atol=1e-12)
    else:
        close(y, expected.input)
    for ours, exact in ((of_weight, expected.weight), (of_bias, expected.bias)):
        each = 1e-13 if dtype == "float64" else 1e-7  # of a cell; as many of them are added up
        atol = each * scale * x.size / exact.size
        np.testing.assert_allclose(plain(ours).reshape(-1), exact, rtol=each, atol=atol)


def check_all(kernels):
    """One of each, quick, on sizes that leave something over everywhere."""
    for dtype in TYPES:
        check_rows(kernels, dtype, 3, 1003)
        check_columns(kernels, dtype, 2, 101, 12)
        check_affine(kernels, dtype, 5, 203)
        for hold in range(3):
            check_affine_grid(kernels, dtype, 2, 3, 16, hold)
    check_affine_grid(kernels, "float32", 1, 4000, 64, 0)  # so many rows that a thread walks
    check_affine_grid(kernels, "float32", 2, 96, 3, 0)  # so short ones that several are read as one
    tiny = normal((2, 64), "float32", 0, 1e-24)
    agree(kernels.rows(on_device(tiny), 2, 64), tiny, 1)
    check_merge(kernels, 2, 1500, 3, 4)
    for case in TABLES:
        check_table(kernels, *case)
    for case in GRADIENTS:
        check_gradient(kernels, "float32", *case)
    for dtype in TYPES:
        check_gradient(kernels, dtype, *GRADIENTS[0], fixed=True)
    check_gradient(kernels, "float32", *GRADIENTS[0], scale=1e35)
