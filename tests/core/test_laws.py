"""Laws that hold for every tensor, tried on the tensors that hypothesis finds.

Values lie within +-1000. Tolerances: 1e-11 of the largest value where only the order of a sum differs; 1e-9 for mean 0
and variance 1; 1e-6 for invariance, whose input s * x + t is itself rounded; 1e-6 for finite differences.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import normviz as nv
from tests.core.cases import configurations, one_each, two_groups, values

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 3, 4, 6]), *[st.integers(1, 4)] * 3).flatmap(
    lambda five: st.integers(2, 5).map(lambda rank: five[:rank])
)
tensors = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-1e3, 1e3, width=32)))
methods = st.sampled_from(list(nv.METHODS))


@st.composite
def configured(draw, of=tensors, among=methods):
    """Draw (tensor or shape, method, num_groups)."""
    x, method = draw(of), draw(among)
    shape = x.shape if isinstance(x, np.ndarray) else x
    return x, method, draw(st.sampled_from([G for name, G in configurations(shape) if name == method]))


def same(found, expected, scale=1e3):
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-11, atol=1e-11 * scale)
    np.testing.assert_allclose(found.var, expected.var, rtol=1e-11, atol=1e-11 * scale**2)


def per_set(a, p):
    """Rows of cells, one a set, in the order of the sets' numbers."""
    return a.reshape(-1)[np.argsort(p.labels(), axis=None, kind="stable")].reshape(p.count, p.size)


@given(configured(of=shapes), seeds)
def test_sets_partition_the_tensor(case, seed):
    shape, method, num_groups = case
    p = nv.pooling(method, shape, num_groups)
    labels = p.labels()
    assert np.bincount(labels.ravel()).tolist() == [p.size] * p.count
    cell = tuple(np.random.default_rng(seed).integers(0, shape).tolist())
    box = np.zeros(shape, bool)
    box[p.set_of(cell)] = True
    np.testing.assert_array_equal(box, labels == p.set_number(cell))


@given(arrays(np.float64, (2, 4, 9), elements=st.floats(-1e3, 1e3, width=32)), seeds)
def test_merging_in_any_order_agrees(x, seed):
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(np.arange(1, 9), 3, replace=False))
    parts = [nv.moments(part) for part in np.split(x, cuts, axis=2)]
    a, b, c, d = (parts[i] for i in rng.permutation(4))
    whole = nv.moments(x).sweep()
    for total in (((a + b) + c) + d, a + (b + (c + d)), (a + b) + (c + d), sum(parts, start=nv.Moments.zero)):
        for key, found in total.sweep().items():
            same(found, whole[key])


@given(tensors)
def test_one_group_is_layer_and_a_group_a_channel_is_instance(x):
    sweep = nv.sweep(x)
    np.testing.assert_array_equal(sweep["group", 1].mean[:, 0], sweep["layer", None].mean)
    np.testing.assert_array_equal(sweep["group", 1].var[:, 0], sweep["layer", None].var)
    np.testing.assert_array_equal(sweep["group", x.shape[1]].mean, sweep["instance", None].mean)
    np.testing.assert_array_equal(sweep["group", x.shape[1]].var, sweep["instance", None].var)


@given(tensors)
def test_instance_is_batch_with_one_sample(x):
    expected = np.concatenate([nv.normalize(x[n : n + 1], "batch") for n in range(len(x))])
    np.testing.assert_allclose(nv.normalize(x, "instance"), expected, rtol=1e-12, atol=1e-12)


@given(tensors)
def test_the_sweep_is_each_method_by_itself(x):
    for (method, num_groups), found in nv.sweep(x).items():
        same(found, nv.statistics(x, method, num_groups=num_groups))


@given(configured())
def test_every_set_has_mean_0_and_variance_1(case):
    x, method, num_groups = case
    eps = 1e-5
    rows = per_set(nv.normalize(x, method, num_groups=num_groups, eps=eps), nv.pooling(method, x.shape, num_groups))
    var = nv.statistics(x, method, num_groups=num_groups).var.ravel()
    row = nv.METHODS[method]
    mean = rows.mean(1) if row.centered else 0
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    # eps keeps the variance (or mean square, or squared norm) a little below 1, by exactly this much.
    found = (rows**2).sum(1) if row.statistic == "squared norm" else (rows**2).mean(1)
    np.testing.assert_allclose(found, var / (var + eps), atol=1e-9)


@given(configured(), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_scale_and_shift_of_the_input_change_nothing(case, s, t):
    x, method, num_groups = case
    t = t if nv.METHODS[method].centered else 0.0
    expected = nv.normalize(x, method, num_groups=num_groups, eps=1e-3)
    found = nv.normalize(s * x + t, method, num_groups=num_groups, eps=1e-3 * s * s)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("method", [row.name for row in nv.METHODS.values() if not row.centered])
def test_a_shift_does_change_what_takes_no_mean(method):
    x, options = values((2, 4, 3)), {"num_groups": two_groups(method)}
    assert not np.allclose(nv.normalize(x + 1, method, **options), nv.normalize(x, method, **options), atol=0.1)


@given(tensors)
def test_a_slice_of_the_whole_batch_is_batch_and_of_one_sample_is_instance(x):
    np.testing.assert_array_equal(nv.normalize(x, "ghost", num_groups=1), nv.normalize(x, "batch"))
    np.testing.assert_array_equal(nv.normalize(x, "ghost", num_groups=len(x)), nv.normalize(x, "instance"))


@given(tensors)
def test_weights_have_layer_norm_s_statistics(x):
    """A filter is to weights what a sample is to activations; its norm is the root of |S| times its mean square."""
    same(nv.statistics(x, "weight_standardization"), nv.statistics(x, "layer"))
    norm, layer = nv.statistics(x, "weight_norm"), nv.statistics(x, "layer")
    square = (layer.var + layer.mean**2) * layer.count
    np.testing.assert_allclose(norm.var, square, rtol=1e-11, atol=1e-11 * 1e6)


@given(configured(of=shapes), seeds)
def test_the_gradient_agrees_with_finite_differences(case, seed):
    shape, method, num_groups = case
    x, g, direction = (values(shape, seed=(seed, i)) for i in range(3))
    weight = values(one_each(method, shape), seed=(seed, 3))

    def loss(x, w):
        return (g * nv.normalize(x, method, num_groups=num_groups, weight=w, bias=w, eps=0.1)).sum()

    h, dw = 1e-4, values(one_each(method, shape), seed=(seed, 4))
    found = nv.gradient(x, g, method, num_groups=num_groups, weight=weight, eps=0.1)
    by_x = (loss(x + h * direction, weight) - loss(x - h * direction, weight)) / (2 * h)
    by_w = (loss(x, weight + h * dw) - loss(x, weight - h * dw)) / (2 * h)
    size = np.abs(g).sum() * (1 + np.abs(weight).max()) * (1 + np.abs(direction).max()) ** 3
    assert (found.input * direction).sum() == pytest.approx(by_x, abs=1e-6 * size)
    assert ((found.weight + found.bias) * dw).sum() == pytest.approx(by_w, abs=1e-6 * size)


@given(configured(of=shapes), seeds)
def test_the_gradient_does_not_move_a_set_s_mean_or_scale(case, seed):
    """What normalize ignores in x, the gradient does not change: a shift, and (as eps vanishes) a scale."""
    shape, method, num_groups = case
    x, g = (values(shape, seed=(seed, i)) for i in range(2))
    p = nv.pooling(method, shape, num_groups)
    found = nv.gradient(x, g, method, num_groups=num_groups, eps=1e-12).input
    rows, centred = per_set(found, p), per_set(x, p)
    if nv.METHODS[method].centered:
        centred = centred - centred.mean(1, keepdims=True)
    well_spread = (centred**2).mean(1) > 1e-3
    if nv.METHODS[method].centered:
        np.testing.assert_allclose(rows.sum(1)[well_spread], 0, atol=1e-9)
    np.testing.assert_allclose((rows * centred).sum(1)[well_spread], 0, atol=1e-6)


@given(configured(), seeds)
def test_a_sample_is_touched_by_others_only_where_the_table_says_so(case, seed):
    x, method, num_groups = case
    other = x.copy()
    other[1:] = values(other[1:].shape, seed=seed)
    first, second = (nv.normalize(a, method, num_groups=num_groups)[0] for a in (x, other))
    if not nv.METHODS[method].couples_samples:
        np.testing.assert_array_equal(first, second)
