"""Compare a probe with what is known."""

import numpy as np

import normviz as nv
from normviz.inspect.probe.sets import number


def compare(case, framework):
    """Probe a case, compare every field, and return the probe."""
    calls = []

    def counted(x):
        calls.append(1)
        return case.fn(x)

    found = nv.probe(counted, case.shape, channel_axis=case.axis)
    expected = case.truth
    for name in expected:
        seen = getattr(found, name)
        if name in case.open:
            assert seen is None, (name, seen)
        elif name in ("weight", "bias", "eps") and expected[name] is not None:
            assert np.shape(seen) == np.shape(expected[name]), (name, found.undetermined)
            tolerance = case.tolerance if name != "eps" else max(case.tolerance, 1e-3)
            np.testing.assert_allclose(seen, expected[name], rtol=tolerance, atol=tolerance if name != "eps" else 0)
        else:
            assert seen == expected[name], (name, seen, found.undetermined)
            assert type(seen) is type(expected[name]), name
    assert set(found.undetermined) == case.open
    assert found.framework == framework
    assert found.calls == len(calls) <= case.calls
    if "labels" not in case.open:
        assert found.labels.shape == tuple(case.shape)
        sets = case.sets if case.sets is not None else boxes(case.shape, expected["block"])
        assert np.array_equal(number(found.labels), number(sets))
    assert str(found).endswith(f"({found.calls} calls with {found.dtype} of shape {found.shape}, {framework}.)")
    return found


def boxes(shape, block):
    """Labels of the boxes of a block, cell by cell."""
    labels = np.empty(shape, int)
    names = {}
    for cell in np.ndindex(*shape):
        box = tuple(i // b for i, b in zip(cell, block, strict=True))
        labels[cell] = names.setdefault(box, len(names))
    return labels
