"""Bad input of every lab: nothing, constants, a NaN, one channel, a batch larger than the data."""

from functools import partial

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import refuses
from tests.labs.cases import KINDS, LABS, SMALL, X

labs = nv.labs
VERBS = {"training": ("measure",), "style": ("measure", "figure")}
"""figure of `training` takes what was measured."""
CASES = [(lab, kind) for lab, row in LABS.items() for kind, case in row.bad_input.items() if not isinstance(case, str)]


def test_every_lab_has_a_row_with_every_kind():
    assert set(LABS) == set(nv.labs.__all__)
    assert all(set(row.bad_input) == set(KINDS) for row in LABS.values())


def call(lab, verb, given):
    given = given if isinstance(given, dict) else {"shape" if lab == "memory" else "x": given}
    return getattr(getattr(nv.labs, lab), verb)(**LABS[lab].quick | given)


@pytest.mark.parametrize(("lab", "kind"), CASES)
def test_input_that_does_not_fit(lab, kind):
    given, message = LABS[lab].bad_input[kind]
    for verb in VERBS.get(lab, ("measure", "figure")):
        if message is None:
            continue
        # Only the picture of a strip has a maximal length.
        if lab == "memory" and kind == "N larger than the data" and verb == "measure":
            assert call(lab, verb, given).labels.size == 2304
            continue
        error = TypeError if message.startswith("shape must") else ValueError
        refuses(partial(call, lab, verb, given), error, message)


@pytest.mark.parametrize("lab", [lab for lab, row in LABS.items() if row.bad_input["one channel"][1] is None])
def test_one_channel_is_enough_where_channels_are_separate(lab):
    given = LABS[lab].bad_input["one channel"][0]
    figure, found = call(lab, "figure", given), call(lab, "measure", given)
    if lab == "batch_size":
        assert found.mean_error.shape == (3, 1)  # of 1, 2, 4 samples
        assert [step.label for step in figure.layout.sliders[0].steps] == ["0"]
    elif lab == "coupling":
        # Layer, Instance and Group Norm have one and the same set; one value by itself is its own mean.
        assert np.ptp(found.moved[1:4], axis=0).max() < 1e-12
        assert not found.moved[4].any()
    elif lab == "folding":
        np.testing.assert_allclose(found.outputs["batch folded"], found.outputs["batch"], rtol=0, atol=1e-12)
    elif lab == "memory":
        assert [len(found.runs(k)) for k in range(2)] == [1, 1]
        assert figure.layout.updatemenus[0].buttons[0].label == "Loops for NCHW"
    elif lab == "numerics":
        assert found.count == 36
        return  # where a type can't hold an offset, its line ends
    elif lab == "relatives":
        np.testing.assert_allclose(found.outputs["rms"], np.sign(given), atol=1e-2)
    elif lab == "train_eval":
        assert found.gap.shape == (2, 3, 2)  # of 2 and 4 samples
    assert np.isfinite([v for trace in figure.data if trace.type == "scatter" for v in np.ravel(trace.y)]).all()


def test_default_batch_sizes_fit_the_data():
    assert labs.batch_size.measure(X, draws=5).batch_sizes == (1, 2, 4)
    assert labs.train_eval.measure(X, steps=2, depth=1).batch_sizes == (2, 4)
    assert labs.batch_size.measure(draws=5).batch_sizes == labs.batch_size.BATCH_SIZES
    assert labs.numerics.measure(X, offsets=[0]).count == 36


def test_equal_means_give_no_effective_number():
    """Samples with equal means count for infinitely many values, and there is no line to draw."""
    same = nv.normalize(X, "instance")
    figure = labs.batch_size.figure(same, draws=5)
    assert figure.layout.annotations[0].text == "Mean: a map of 9 cells counts as ∞"
    coins = np.tile([0.0, 1.0], 18).reshape(4, 1, 9)
    figure = labs.batch_size.figure(coins, draws=5)
    assert set(figure.data[5].y) == {None}


def test_sets_of_one_cell_have_no_gradient():
    norms = labs.gradients.measure(SMALL[..., :1, :1]).norms
    assert np.isnan(norms["instance"]).all()
    assert np.isfinite(norms["layer"]).all()
