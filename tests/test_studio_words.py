"""What the studio says: every method's sets in numbers, which are the same here, and who computed the statistics."""

import numpy as np
import pytest

import normviz as nv
from normviz.studio import panel, words
from tests.core import stand_in
from tests.studio_panel import control, letters, refused, shown


@pytest.fixture
def studio():
    return nv.Studio()


# ---- what it says ----------------------------------------------------------------------------------------------------


SAID = [
    ((4, 16, 12, 12), 4, [words.HINT]),
    ((1, 16, 12, 12), 4, ["N = 1: Batch Norm’s sets are Instance Norm’s now, 16 sets of 144 values."]),
    ((4, 1, 12, 12), 1, ["C = 1: Layer Norm’s and Group Norm’s sets are Instance Norm’s now, 4 sets of 144 values."]),
    ((1, 1, 12, 12), 1, [
        "N = 1 and C = 1: Batch Norm’s, Layer Norm’s and Group Norm’s sets are Instance Norm’s now, 1 set of 144 "
        "values, the whole of x.",
    ]),
    ((4, 8, 1, 1), 4, ["Sets of one value: Instance Norm."]),
    ((4, 8), 8, ["G = C: Group Norm’s sets are Instance Norm’s now, 32 sets of 1 value.",
                 "Sets of one value: Instance Norm and Group Norm."]),
    ((4, 8, 3), 1, ["G = 1: Group Norm’s sets are Layer Norm’s now, 4 sets of 24 values."]),
    ((1, 8, 1, 1), 8, [
        "N = 1 and G = C: Batch Norm’s and Group Norm’s sets are Instance Norm’s now, 8 sets of 1 value.",
        "Sets of one value: Batch Norm, Instance Norm and Group Norm.",
    ]),
    ((1, 8, 5, 5), 1, [
        "N = 1: Batch Norm’s sets are Instance Norm’s now, 8 sets of 25 values.",
        "G = 1: Group Norm’s sets are Layer Norm’s now, 1 set of 200 values, the whole of x.",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "groups", "said"), SAID)
def test_which_methods_are_the_same(shape, groups, said):
    found = words.notes(shape, "group", groups)
    assert len(found) == len(said)
    assert all(a.startswith(b) for a, b in zip(found, said, strict=True)), found


@pytest.mark.parametrize(
    ("shape", "method", "groups", "said"),
    [
        ((4, 8, 1, 1), "positional", 2, "H = W = 1: Positional Layer Norm’s sets are Layer Norm’s now"),
        ((4, 8, 2, 2), "ghost", 1, "G = 1: Ghost Batch Norm’s sets are Batch Norm’s now, 8 sets of 16 values."),
        ((4, 8, 2, 2), "ghost", 4, "G = N: Ghost Batch Norm’s sets are Instance Norm’s now"),
        ((1, 8, 2, 2), "ghost", 1, "N = 1: Batch Norm’s and Ghost Batch Norm’s sets are Instance Norm’s now"),
        ((4, 8, 2, 2), "frn", 2, words.HINT),  # the same sets as Instance Norm's, but another statistic
        ((4, 8, 2, 2), "weight_norm", 2, words.HINT),
    ],
)
def test_relatives_are_compared_when_they_are_shown(shape, method, groups, said):
    assert words.notes(shape, method, groups)[0].startswith(said)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (3, 1, 4), (3, 6, 1), (1, 1, 1, 1), (2, 6, 3, 3), (1, 4, 2, 1, 1)])
def test_what_is_said_to_be_the_same_has_the_same_labels(shape):
    """Asked of every cell, against the sentences."""
    for groups in nv.divisors(shape[1]):
        labels = {name: nv.pooling(name, shape, groups if name == "group" else None).labels() for name in words.FOUR}
        said = " ".join(words.notes(shape, "group", groups))
        for name, found in labels.items():
            others = [n for n, other in labels.items() if n != name and np.array_equal(found, other)]
            assert (f"{nv.METHODS[name].label}’s" in said.replace(words.HINT, "")) == bool(others), (name, groups, said)


def test_sizes_are_products_of_the_lengths(studio):
    studio.shape = (3, 16, 12, 6)
    text = shown(studio)
    for row in (
        "<th scope=\"row\">Batch Norm</th><td>N·H·W = 3·12·6</td><td>216</td><td>16</td>",
        "<th scope=\"row\">Layer Norm</th><td>C·H·W = 16·12·6</td><td>1\u202f152</td><td>3</td>",
        "<th scope=\"row\">Instance Norm</th><td>H·W = 12·6</td><td>72</td><td>48</td>",
        "<th scope=\"row\">Group Norm, G = 4</th><td>(C/G)·H·W = 4·12·6</td><td>288</td><td>12</td>",
    ):  # fmt: skip
        assert row in text
    assert "x: N × C × H × W = 3 × 16 × 12 × 6 = 3\u202f456 values, float32." in text


def test_the_explorer_s_method_is_followed(studio):
    studio.explorer.method = "batch"
    assert 'aria-current="true"><th scope="row">Batch Norm' in shown(studio)
    studio.explorer.method, studio.explorer.num_groups = "group", 16
    assert "G = C: Group Norm’s sets are Instance Norm’s now, 64 sets of 144 values." in shown(studio)
    studio.explorer.method = "weight_norm"
    assert letters(studio) == "CoutCinkHkW"


def test_a_prediction_is_not_given_away(studio):
    studio.explorer.predict = True
    assert words.PREDICT in shown(studio)
    for word in ("576", "<table", "Instance Norm", "Computed by"):
        assert word not in shown(studio)
    assert "x: N × C × H × W = 4 × 16 × 12 × 12" in shown(studio)
    studio.explorer.predict = False
    assert "576" in shown(studio)


# ---- who computes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", nv.METHODS)
def test_the_numbers_are_those_of_the_explorer(studio, method):
    studio.explorer.method = method
    text = shown(studio)
    assert "Computed by numpy: " in text
    assert text.endswith("; the explorer shows the same numbers.</p></div>")
    pool = studio.explorer.pooling
    expected = nv.statistics(studio.x, method, num_groups=pool.num_groups)
    np.testing.assert_array_equal(studio.statistics.var, expected.var)


def test_other_numbers_would_be_noticed(studio, monkeypatch):
    found = nv.statistics(studio.x, "group", num_groups=4)
    for mean, var in ((found.mean + 1e-3, found.var), (found.mean, found.var * 1.001)):
        wrong = nv.Statistics(mean=mean, var=var, count=found.count, backend="cupy")
        monkeypatch.setattr(panel, "statistics", lambda *_, wrong=wrong, **__: wrong)
        studio._tell()
        assert "Computed by cupy: 16 means and 16 variances; the explorer shows other numbers." in shown(studio)


@pytest.mark.parametrize(
    "x", [np.full((3, 7, 5, 3), 0.1), np.full((2, 4), 1e300), np.array([[np.nan, 1.0], [2.0, 3.0]])]
)
def test_rounding_is_no_difference(x):
    studio = nv.Studio(file=x)
    for method in nv.METHODS:
        studio.explorer.method = method
        assert "the explorer shows the same numbers" in shown(studio), method


def test_cupy_computes_where_it_is_there(studio):
    with stand_in.installed(stand_in.NoKernels):
        control(studio, "Backend").value = "cupy"
        assert (studio.backend, studio.statistics.backend, refused(studio)) == ("cupy", "cupy", "")
        assert "Computed by cupy: 16 means and 16 variances; the explorer shows the same numbers." in shown(studio)


def test_numbers_that_stay_with_python_are_not_compared():
    studio = nv.Studio(file=np.random.default_rng(0).normal(size=(3, 4, 300, 300)), method="rms")
    assert "Computed by numpy: 270\u202f000 mean squares; the explorer asks for them one by one." in shown(studio)
