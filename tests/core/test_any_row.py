"""Rows that the table of methods does not have: the engine takes any extents, also sets within one position."""

import numpy as np
import pytest

import normviz as nv
from normviz.core.methods import Method
from tests.core import reference
from tests.core.cases import values

# Extents along the samples, the channels and each spatial axis, and the key of a set.
ROWS = {
    "a head": ("one", "group", "one", lambda n, c, s, per: (n, c // per, *s)),
    "a head of all samples": ("all", "group", "one", lambda n, c, s, per: (c // per, *s)),
    "a cell of all samples": ("all", "one", "one", lambda n, c, s, per: (c, *s)),
    "a cell of a slice": ("group", "one", "one", lambda n, c, s, per: (n // per, c, *s)),
    "a position of a slice": ("group", "all", "one", lambda n, c, s, per: (n // per, *s)),
    "a position of all samples": ("all", "all", "one", lambda n, c, s, per: tuple(s) or (0,)),
    "a cell": ("one", "one", "one", lambda n, c, s, per: (n, c, *s)),
    "channels of all samples": ("all", "group", "all", lambda n, c, s, per: (c // per,)),
}
STATISTICS = ("mean and variance", "mean square")


@pytest.fixture(params=[f"{sets}, {statistic}" for sets in ROWS for statistic in STATISTICS])
def row(request, monkeypatch):
    """One of these rows, in the table and in the plain loops."""
    name = request.param  # poolings are kept by name
    sets, statistic = name.split(", ")
    n, c, spatial, key = ROWS[sets]
    added = Method(name, name, n, c, spatial, "per channel", torch="none", reference="none", statistic=statistic)
    monkeypatch.setitem(nv.METHODS._rows, name, added)
    monkeypatch.setitem(reference.KEYS, name, key)
    for table, belongs in (("NO_MEAN", not added.centered), ("OF_SAMPLES", n == "group")):
        monkeypatch.setattr(reference, table, (*getattr(reference, table), *[name] * belongs))
    return added


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5), (4, 6, 2, 3)], ids=str)
def test_it_is_what_plain_loops_make_of_it(row, shape, backend):
    num_groups = (
        3 if row.has_groups else None
    )  # of 6 channels or samples; the other axis has 4, which 3 does not divide
    shape = (6, 4, *shape[2:]) if row.n == "group" else shape
    x, grad, weight, bias = values(shape), values(shape, 1), values(shape[1:2], 2), values(shape[1:2], 3)
    sets = reference.sets(row.name, shape, num_groups)
    labels = np.empty(shape, int)
    for number, cells in enumerate(sets.values()):
        for cell in cells:
            labels[cell] = number
    pool = nv.pooling(row.name, shape, num_groups)
    assert (pool.count, pool.size) == (len(sets), len(next(iter(sets.values()))))
    assert all(len(np.unique(labels[pool.labels() == number])) == 1 for number in range(pool.count))

    options = {"num_groups": num_groups, "backend": backend}
    found = nv.statistics(x, row.name, **options)
    mean, var = reference.statistics(x, row.name, num_groups)
    numbers = [pool.set_number(sets[key][0]) for key in mean]
    np.testing.assert_allclose(found.mean.ravel()[numbers], list(mean.values()), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found.var.ravel()[numbers], list(var.values()), rtol=1e-11, atol=1e-11)
    given = {"weight": weight, "eps": 1e-3}
    y = nv.normalize(x, row.name, **given, bias=bias, **options)
    expected = reference.normalize(x, row.name, num_groups, weight, bias, eps=1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)
    slope = nv.gradient(x, grad, row.name, **given, **options).input
    expected = reference.gradient(x, grad, row.name, num_groups, weight, eps=1e-3)
    np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-9)


def test_moments_refuse_what_keeps_positions_apart(row):
    moments = nv.moments(values((4, 6, 2)))
    options = {"num_groups": 2 if row.has_groups else None}
    if row.spatial == "all":
        np.testing.assert_allclose(
            moments.pool(row.name, **options).var, nv.statistics(values((4, 6, 2)), row.name, **options).var, rtol=1e-12
        )
    else:
        with pytest.raises(ValueError, match="keeps positions apart"):
            moments.pool(row.name, **options)
