"""What right kernels do, as functions of the launches, so that a test can show them a wrong kernel."""

import ml_dtypes
import numpy as np

from normviz.backends.cuda.layout import entries
from tests.core import stand_in

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


def table(dtype, count, seed, mean=True):
    """Parameters, and the table made of them."""
    work = np.float64 if dtype == "float64" else np.float32
    cupy = stand_in.module()
    scale, centre, shift = np.random.default_rng(seed).normal(1, 0.3, (3, count))
    given = [on_device(p) for p in ((centre if mean else np.zeros(count)), scale, np.ones(count), shift)]
    return (scale, centre if mean else np.zeros(count), shift), lambda fold: entries(cupy, work, (count,), given, fold)


def close(y, expected):
    """To a rounding or two of the type of y."""
    eps = {"bfloat16": 2.0**-8, "float16": 2.0**-11}.get(y.dtype.name) or 4 * np.finfo(y.dtype).eps
    np.testing.assert_allclose(y.astype(float), expected, rtol=eps, atol=8 * eps)


def check_affine(kernels, dtype, rows, L, skip=0):
    values = normal(rows * L + skip, dtype)[skip:]
    y = np.full(rows * L + skip, 7, values.dtype)
    (scale, mean, shift), made = table(dtype, rows, 1)
    kernels.affine(on_device(values), on_device(y[skip:]), made(True))
    exact = values.astype(float).reshape(rows, L)
    close(y[skip:].reshape(rows, L), (exact - mean[:, None]) * scale[:, None] + shift[:, None])
    assert (y[:skip] == 7).all()


def check_affine_grid(kernels, dtype, tables, K, B, with_rows):
    values = normal((tables, K, B), dtype)
    y = np.empty_like(values)
    (scale, mean, shift), columns = table(dtype, tables * B, 2)
    (row_scale, _, row_shift), rows = table(dtype, tables * K, 3, mean=False)
    kernels.affine_grid(on_device(values), on_device(y), rows(False) if with_rows else None, columns(False), B)
    a, m, b = (p.reshape(tables, 1, B) for p in (scale, mean, shift))
    if with_rows:
        a, b = a * row_scale.reshape(tables, K, 1), b + row_shift.reshape(tables, K, 1)
    close(y, (values.astype(float) - m) * a + b)


def check_all(kernels):
    """One of each, quick, on sizes that leave something over everywhere."""
    for dtype in TYPES:
        check_rows(kernels, dtype, 3, 1003)
        check_columns(kernels, dtype, 2, 101, 12)
        check_affine(kernels, dtype, 5, 203)
        check_affine_grid(kernels, dtype, 2, 3, 16, True)
    check_merge(kernels, 2, 1500, 3, 4)
