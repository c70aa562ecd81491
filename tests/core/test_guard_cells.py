"""No backend reads or writes a cell beside the arrays that it is given.

Beside an input lie cells of NaN, which would show in the result; beside the output lies another number, because a loop
that goes too far would write NaN there.
"""

import numpy as np
import pytest

import normviz as nv
from normviz.backends import threads
from tests.core.cases import configurations, one_each, values

GUARD = 67
ORDERS = {"channels first": (0, 1, 2, 3), "channels last": (0, 2, 3, 1), "samples last": (1, 2, 3, 0)}


def guarded(x, order, beside=np.nan):
    """A copy of x with its axes in this order of memory, and the line that it lies in, between other cells."""
    line = np.full(x.size + 2 * GUARD, beside, x.dtype)
    view = line[GUARD:-GUARD].reshape([x.shape[axis] for axis in order]).transpose(np.argsort(order))
    view[...] = x
    return view, line


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_cells_beside_an_array_are_not_touched(dtype, order, count, backend, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 1)
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", str(count))
    shape = (2, 6, 5, 7)
    x, x_line = guarded(values(shape, dtype=dtype), ORDERS[order])
    grad, grad_line = guarded(values(shape, seed=3, dtype=dtype), ORDERS[order])
    before = x_line.copy(), grad_line.copy()
    for method, num_groups in configurations(shape):
        each = values(one_each(method, shape), seed=5)
        options = {"num_groups": num_groups, "backend": backend}
        y, line = guarded(np.zeros_like(x), ORDERS[order], 77)
        nv.normalize(x, method, weight=each, bias=each, out=y, **options)
        assert np.isfinite(y).all(), method
        assert (line[:GUARD] == 77).all(), method
        assert (line[-GUARD:] == 77).all(), method
        found = nv.gradient(x, grad, method, weight=each, **options)
        for part in (found.input, found.weight, found.bias, nv.statistics(x, method, **options).var):
            assert np.isfinite(part).all(), method
    for line, old in zip((x_line, grad_line), before, strict=True):
        np.testing.assert_array_equal(line, old)
