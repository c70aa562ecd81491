"""What breaks numeric code at its edges: the ends of a type's range, and warnings that nobody should see."""

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import values


def test_squares_beyond_float64_warn_nobody():
    x = np.full((200, 32, 1), 1e200)
    for method in ("rms", "frn", "weight_norm"):
        assert np.isinf(nv.statistics(x, method).var).all()


def test_a_weight_beyond_float32_warns_nobody(backend):
    y = nv.normalize(values((2, 3, 4)).astype(np.float32), "batch", weight=[1e300, 1, 1], backend=backend)
    assert not np.isfinite(y[:, 0]).any()


def test_float32_up_to_its_ends(backend):
    x = values((4, 6, 7, 9), loc=0)
    x[0] = np.where(x[0] > -1, 3e38, -3e38)  # from a mean of 1e38 these are 4e38 away
    x[1, :3] *= 1e-42  # with eps=1e-300 the inverse of their deviation exceeds 3e38
    x[1, 3:] = 1e31
    x[2, :3] = 0
    x = x.astype(np.float32)
    for method, num_groups in (("instance", None), ("group", 2), ("frn", None), ("positional", None)):
        for eps in (1e-5, 1e-300):
            options = {"num_groups": num_groups, "eps": eps, "bias": np.arange(6.0)}
            y = nv.normalize(x, method, backend=backend, **options)
            np.testing.assert_allclose(y, nv.normalize(x.astype(float), method, **options), rtol=1e-6, atol=1e-6)


def test_ends_in_one_set_change_no_digit_of_another():
    x = values((4, 6, 7, 9)).astype(np.float32)
    wild = x.copy()
    wild[0, 0] *= 3e37
    wild[0, 1] *= 1e-40
    options = {"weight": np.arange(6.0), "bias": np.ones(6), "eps": 1e-100}
    found, expected = (nv.normalize(a, "instance", **options) for a in (wild, x))
    np.testing.assert_array_equal(found[:, 2:], expected[:, 2:])
    np.testing.assert_array_equal(found[1:], expected[1:])


HUGE = np.array([1e300, -1e308, np.nan, np.inf])
STYLES = {"style": [0, 1, 0], "weight": np.stack([HUGE, HUGE])}
LOGITS = {"mean_weights": [1e308, -1e308, 0], "weight": HUGE}
RELATIVES = {
    "frn": {"tau": np.zeros(4), "weight": HUGE},
    "frn_gradient": {"tau": np.zeros(4), "weight": HUGE},
    "switchable": LOGITS,
    "switchable_gradient": LOGITS,
    "conditional_instance": STYLES,
    "conditional_instance_gradient": STYLES,
    "adain": {"alpha": 0.5},
    "adain_gradient": {"alpha": 0.5},
    "weight_norm": {"g": HUGE[:3], "eps": 1e-300},
    "weight_norm_gradient": {"g": HUGE[:3], "eps": 1e-300},
    "weight_standardization": {"unbiased": True},
    "weight_standardization_gradient": {"unbiased": True},
}


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200, 1e308])
@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_warn_of_nothing(name, bad):
    """What cannot be computed is NaN or infinite in the result, and that says it."""
    x, good = values((3, 4, 5), loc=0), values((3, 4, 5), 1)
    x[0, 0, 0] = bad
    for first, second in ((x, good), (good, x), (x, x)):
        arrays = (first, second) if name.endswith("gradient") else (first,)
        options = RELATIVES[name] | ({"style": x} if name.startswith("adain") else {})
        getattr(nv.relatives, name)(*arrays, **options)


NOT_FINITE = {
    "one infinity": ([np.inf, 1, 2], np.inf),
    "after a finite value": ([1, -np.inf, 2], -np.inf),
    "infinities alone": ([np.inf, np.inf, np.inf], np.inf),
    "of both signs": ([np.inf, 1, -np.inf], np.nan),
    "NaN and an infinity": ([1, np.inf, np.nan], np.nan),
}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("length", [3, 300, 30_000, 300_000])
@pytest.mark.parametrize("case", NOT_FINITE)
def test_one_rule_for_infinities_and_nan(case, length, dtype):
    """The rule of `Backend.moments`, whatever path the size takes, and in merges."""
    cells, mean = NOT_FINITE[case]
    x = np.ones((2, 2, length), dtype)
    x[0, 1, -3:] = cells
    square = np.nan if np.isnan(mean) else np.inf
    for method in ("instance", "layer", "batch"):
        found = nv.statistics(x, method)
        at = {"instance": (0, 1), "layer": 0, "batch": 1}[method]
        np.testing.assert_array_equal([found.mean[at], found.var[at]], [mean, np.nan])
        merged = nv.moments(x).pool(method)
        np.testing.assert_array_equal([merged.mean[at], merged.var[at]], [mean, np.nan])
        assert np.isnan(nv.normalize(x, method)[0, 1]).all()
    np.testing.assert_array_equal(nv.statistics(x, "frn").var, [[1, square], [1, 1]])
    np.testing.assert_array_equal(nv.statistics(x, "weight_norm").var, [square, 2 * length])
    y, finite = nv.normalize(x, "frn")[0, 1], np.isfinite(x[0, 1])
    np.testing.assert_array_equal(y, np.where(finite, 0, np.nan) if square == np.inf else np.nan)


@pytest.mark.parametrize("length", [2, 300, 30_000, 300_000])
def test_the_mean_of_finite_values_is_finite(length):
    x = np.full((2, 2, length), 1e308)
    x[..., ::2] = -1e308
    for method in ("instance", "layer", "batch"):
        for found in (nv.statistics(x, method), nv.moments(x).pool(method)):
            np.testing.assert_allclose(found.mean, 0, atol=1e294)
            assert np.isinf(found.var).all()
