"""Whatever normalize is asked to do, a probe of it finds that again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from normviz.core.pooling import divisors
from normviz.inspect.probe.sets import find_sets, number

RTOL = {"float64": 1e-6, "float32": 1e-3, "float16": 5e-2}


@st.composite
def configurations(draw):
    shape = draw(st.tuples(st.integers(2, 5), st.sampled_from([2, 3, 4, 6, 8]))) + tuple(
        draw(st.lists(st.integers(2, 5), max_size=3))
    )
    row = draw(st.sampled_from([row for row in nv.METHODS.values() if row.axes == "activations"]))
    groups = draw(st.sampled_from(divisors(shape[row.grouped_axis]))) if row.has_groups else None
    return {
        "method": row.name,
        "shape": shape,
        "num_groups": groups,
        "last": draw(st.booleans()),
        "eps": 10.0 ** draw(st.floats(-12, -1)),
        # The elements of a vector are its channels.
        "affine": draw(st.sampled_from(["none", "channel", *["element"] * (row.elementwise and len(shape) > 2)])),
        "dtype": draw(st.sampled_from(list(RTOL))),
        "seed": draw(st.integers(0, 99)),
    }


@given(configurations())
def test_what_normalize_does_is_found_again(c):
    axis = -1 if c["last"] else 1
    pool = nv.pooling(c["method"], c["shape"], c["num_groups"])
    shape = (c["shape"][0], *c["shape"][2:], c["shape"][1]) if c["last"] else c["shape"]
    rng = np.random.default_rng(c["seed"])
    size = {"none": None, "channel": c["shape"][1:2], "element": shape[1:]}[c["affine"]]
    weight, bias = (None, None) if size is None else (rng.uniform(0.5, 2, size), rng.uniform(-1, 1, size))
    options = {"num_groups": c["num_groups"], "weight": weight, "bias": bias, "eps": c["eps"], "channel_axis": axis}

    found = nv.probe(lambda x: nv.normalize(x.astype(c["dtype"]), c["method"], **options), shape, channel_axis=axis)

    labels = np.moveaxis(found.labels, -1, 1) if c["last"] else found.labels
    assert np.array_equal(labels, pool.labels())
    assert found.calls <= 60
    if pool.size == 1:  # nothing is left to measure but the bias
        assert found.eps is found.unbiased is found.centered is None
        return
    assert np.array_equal(nv.pooling(found.method, c["shape"], found.num_groups).labels(), pool.labels())
    assert found.couples_samples == nv.METHODS[c["method"]].couples_samples or pool.block[0] == 1
    assert found.centered == nv.METHODS[c["method"]].centered
    assert found.unbiased in (False, None)
    assert (found.unbiased is None) == ("unbiased" in found.undetermined)
    assert found.is_normalizer
    assert not found.elementwise
    assert not found.stochastic
    rtol = RTOL[c["dtype"]]
    if found.eps is None:  # float16 ends at 6e-8
        assert c["dtype"] == "float16"
        assert "eps" in found.undetermined
    else:
        assert found.eps == pytest.approx(c["eps"], rel=max(rtol, 1e-3))
        assert found.eps_inside
    assert found.affine == c["affine"]
    if weight is not None:
        np.testing.assert_allclose(found.weight, weight, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(found.bias, bias, rtol=rtol, atol=rtol)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 99))
def test_any_partition_is_found(labels, seed):
    labels = number(np.array(labels)).reshape(len(labels), 1)

    def answers(mask):
        return np.isin(labels, labels[mask])

    found = find_sets(answers, labels.shape, np.random.default_rng(seed))
    assert found.proven
    assert np.array_equal(found.labels, labels)
    sizes = np.bincount(labels.ravel())
    both = sizes.min() == 1 < sizes.max()  # two calls more tell single cells from sets
    assert len(found.log) <= 3 * np.ceil(np.log2(labels.max() + 2)) + 10 + 2 * both


def test_many_sets_need_few_calls():
    for count in (4, 144, 1152):
        labels = np.arange(1152).reshape(4, 288) * count // 1152
        found = find_sets(lambda mask, labels=labels: np.isin(labels, labels[mask]), (4, 288), np.random.default_rng(0))
        assert found.proven
        assert len(found.log) <= 2 * np.log2(count) + 5


def test_neighbourhoods_are_no_sets():
    found = find_sets(lambda mask: mask | np.roll(mask, 1), (1, 40), np.random.default_rng(0))
    assert not found.proven
    assert len(found.log) < 30
