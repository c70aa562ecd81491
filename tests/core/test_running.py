import copy
import pickle

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import values


@pytest.mark.parametrize("momentum", [0.1, 0.5, 1, 0, None])
def test_update(momentum, backend):
    running, mean, var = nv.RunningStatistics(3, momentum=momentum), np.zeros(3), np.ones(3)
    for step in range(1, 5):
        x = values((4, 3, 5), seed=step)
        assert running.update(x, backend=backend) is None
        m = 1 / step if momentum is None else momentum
        mean = (1 - m) * mean + m * x.mean((0, 2))
        var = (1 - m) * var + m * x.var((0, 2), ddof=1)
    np.testing.assert_allclose(running.mean, mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(running.var, var, rtol=1e-12, atol=1e-15)
    assert running.num_batches_tracked == 4
    assert repr(running) == f"RunningStatistics(3, momentum={momentum}, num_batches_tracked=4)"


def test_start():
    running = nv.RunningStatistics(2)
    assert (running.mean.tolist(), running.var.tolist(), running.num_batches_tracked) == ([0, 0], [1, 1], 0)
    assert running.momentum == 0.1


def test_moments_of_a_batch_on_several_devices_do_as_well():
    x = values((4, 3, 5))
    whole, parts = nv.RunningStatistics(3), nv.RunningStatistics(3)
    whole.update(x)
    parts.update(nv.Moments.concatenate([nv.moments(x[:1]), nv.moments(x[1:])]))
    np.testing.assert_allclose(parts.var, whole.var, rtol=1e-12)


def test_channels_last(backend):
    x = values((4, 3, 5))
    first, last = nv.RunningStatistics(3), nv.RunningStatistics(3)
    first.update(x)
    last.update(np.moveaxis(x, 1, -1), channel_axis=-1, backend=backend)
    np.testing.assert_allclose(last.var, first.var, rtol=1e-12)


def test_views_are_read_only():
    running = nv.RunningStatistics(2)
    for view in (running.mean, running.var):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    with pytest.raises(AttributeError):
        running.mean = np.zeros(2)


def test_in_use(backend):
    x, running = values((4, 3, 5)), nv.RunningStatistics(3, momentum=1)
    running.update(x)
    y = nv.normalize(x, "batch", statistics=running, eps=1e-3, backend=backend)
    expected = (x - x.mean((0, 2))[:, None]) / np.sqrt(x.var((0, 2), ddof=1)[:, None] + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


def test_a_refused_batch_changes_nothing():
    running = nv.RunningStatistics(2)
    for bad in (np.zeros((1, 2)), np.zeros((4, 3))):
        with pytest.raises(ValueError):
            running.update(bad)
    assert (running.num_batches_tracked, running.mean.tolist(), running.var.tolist()) == (0, [0, 0], [1, 1])


def pickled(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_updated_by_itself(duplicate):
    running = nv.RunningStatistics(2)
    running.update(values((4, 2, 3)))
    before = running.mean.copy(), running.var.copy(), running.num_batches_tracked
    other = duplicate(running)
    other.update(values((4, 2, 3), seed=1))
    np.testing.assert_array_equal(running.mean, before[0])
    np.testing.assert_array_equal(running.var, before[1])
    assert (running.num_batches_tracked, other.num_batches_tracked) == (before[2], 2)
    assert not np.array_equal(other.mean, running.mean)
