"""Every lab given nothing, constants, a NaN, one channel, or a batch larger than the data: a sentence or a figure."""

from functools import partial

import numpy as np
import pytest

import normviz as nv
from tests.core.cases import refuses

labs = nv.labs
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3, 3))
SMALL = X[:2]
WIDE = RNG.normal(size=(4, 3, 6, 6))
"""Folding's convolution takes a margin of its maps."""
KINDS = ("empty", "constant", "NaN", "one channel", "N larger than the data")


def holed(x):
    return np.where(np.arange(x.size).reshape(x.shape) == 5, np.nan, x)


def flat(x):
    return x * (np.arange(x.shape[1]) != 2).reshape(1, -1, 1, 1)


def on_tensor(x):
    """What every lab says of a tensor that is none."""
    shape = (0, *x.shape[1:])
    return {
        "empty": (x[:0], f"x has an empty axis, shape {shape}; every axis needs at least one cell"),
        "constant": (flat(x), "channel 2 of x is constant, 0; pass values that vary"),
        "NaN": (holed(x), f"x holds 1 of {x.size} values that are NaN or infinite; replace them first"),
        "one channel": (x[:, :1], None),
    }


# For each lab and each kind of bad input: what is given and what is said to it; None for a figure that comes out; or
# why the lab can't be given such a thing, as a sentence.
NO_BATCH = "it draws no batch: all of x is one"
NO_DATA = "the numbers are the papers'; figure takes a width alone"
GIVEN = {
    "batch_size": on_tensor(X)
    | {
        "N larger than the data": (
            {"x": X, "batch_sizes": [2, 8]},
            "batch size=8 is not from 1 to 4, the number of samples in x",
        )
    },
    "coupling": on_tensor(X) | {"N larger than the data": NO_BATCH},
    "folding": on_tensor(WIDE) | {"N larger than the data": NO_BATCH},
    "gradients": on_tensor(SMALL)
    | {
        "one channel": (SMALL[:, :1], "x has C=1 channels; this lab needs at least 2"),
        "N larger than the data": NO_BATCH,
    },
    "memory": {
        "empty": ((0, 4, 3, 3), "x has an empty axis, shape (0, 4, 3, 3); every axis needs at least one cell"),
        "constant": "it takes a shape and no values",
        "NaN": ((2, 4, np.nan, 3), "shape must be 2 to 5 whole numbers, (N, C, *spatial), not (2, 4, nan, 3)"),
        "one channel": ((2, 1, 3, 3), None),
        "N larger than the data": (
            (64, 4, 3, 3),
            "shape (64, 4, 3, 3) has 2304 cells; a strip can show 400, so make the axes shorter",
        ),
    },
    "numerics": on_tensor(X)
    | {
        "constant": (X * 0, "the first 36 values of channel 0 of x are constant; pass values that vary"),
        "N larger than the data": (
            {"x": X, "count": 99},
            "count=99 is not from 2 to 36, the cells of a channel of x",
        ),
    },
    "published": dict.fromkeys(KINDS, NO_DATA),
    "relatives": on_tensor(X) | {"N larger than the data": NO_BATCH},
    "spectrum": on_tensor(X)
    | {
        "one channel": (X[:, :1], "x has C=1 channels; this lab needs at least 2"),
        "N larger than the data": NO_BATCH,
    },
    "style": {
        "empty": ({"styles": []}, "styles is empty; pass at least one, such as (1, 2)"),
        "constant": "it takes the number of a photograph, and none of the eight is constant",
        "NaN": ({"alphas": [np.nan]}, "alpha=nan is not between 0 (x as it is) and 1 (the style whole)"),
        "one channel": "photographs have three colours",
        "N larger than the data": ({"content": 9}, "content=9 is not from 0 to 7"),
    },
    "train_eval": on_tensor(X)
    | {
        "N larger than the data": (
            {"x": X, "batch_sizes": [5]},
            "batch size=5 is not from 1 to 4, the number of samples in x",
        )
    },
    "training": {
        "empty": (
            {"batch_sizes": [], "learning_rates": []},
            "nothing to train: give at least one batch size or learning rate",
        ),
        "constant": "it learns from scikit-learn's digits and takes no other data",
        "NaN": ({"learning_rates": [np.nan]}, "learning rate=nan must be finite"),
        "one channel": "the digits have one channel, and their net four layers of more",
        "N larger than the data": (
            {"batch_sizes": [5000]},
            "batch size=5000 is not from 2 to 1297, the images to learn from",
        ),
    },
}
VERBS = {"training": ("measure",), "style": ("measure", "figure")}
"""figure of `training` takes what was measured."""
CASES = [(lab, kind) for lab, kinds in GIVEN.items() for kind in kinds if not isinstance(GIVEN[lab][kind], str)]


def test_every_lab_has_an_answer_to_every_kind():
    assert set(GIVEN) == set(nv.labs.__all__)
    assert all(set(kinds) == set(KINDS) for kinds in GIVEN.values())


def call(lab, verb, given):
    given = given if isinstance(given, dict) else {"shape" if lab == "memory" else "x": given}
    quick = {"folding": {"repeats": 1}, "batch_size": {"draws": 5}, "train_eval": {"steps": 3, "depth": 2}}
    return getattr(getattr(nv.labs, lab), verb)(**quick.get(lab, {}) | given)


@pytest.mark.parametrize(("lab", "kind"), CASES)
def test_input_that_does_not_fit(lab, kind):
    given, message = GIVEN[lab][kind]
    for verb in VERBS.get(lab, ("measure", "figure")):
        if message is None:
            continue
        # A strip of memory is as long as you like; only its picture is not.
        if lab == "memory" and kind == "N larger than the data" and verb == "measure":
            assert call(lab, verb, given).labels.size == 2304
            continue
        error = TypeError if message.startswith("shape must") else ValueError
        refuses(partial(call, lab, verb, given), error, message)


@pytest.mark.parametrize("lab", [lab for lab, kind in CASES if kind == "one channel" and GIVEN[lab][kind][1] is None])
def test_one_channel_is_enough_where_channels_are_apart(lab):
    given = GIVEN[lab]["one channel"][0]
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


def test_batch_sizes_that_nobody_asked_for_fit_the_data():
    assert labs.batch_size.measure(X, draws=5).batch_sizes == (1, 2, 4)
    assert labs.train_eval.measure(X, steps=2, depth=1).batch_sizes == (2, 4)
    assert labs.batch_size.measure(draws=5).batch_sizes == labs.batch_size.BATCH_SIZES
    assert labs.numerics.measure(X, offsets=[0]).count == 36


def test_maps_that_tell_nothing_of_each_other_are_said_to():
    """Samples with one and the same mean count for infinitely many values, and there is no line to draw."""
    same = nv.normalize(X, "instance")
    figure = labs.batch_size.figure(same, draws=5)
    assert figure.layout.annotations[0].text == "Mean: a map of 9 cells counts as ∞"
    coins = np.tile([0.0, 1.0], 18).reshape(4, 1, 9)
    figure = labs.batch_size.figure(coins, draws=5)
    assert set(figure.data[5].y) == {None}


def test_sets_of_one_cell_let_no_gradient_through():
    norms = labs.gradients.measure(SMALL[..., :1, :1]).norms
    assert np.isnan(norms["instance"]).all()
    assert np.isfinite(norms["layer"]).all()
