"""A probe in words, as a table, and in the explorer."""

import numpy as np
import pytest

import normviz as nv
from tests.inspect.zoo import BIAS, INTERLEAVED, INTERLEAVED_SETS, LAST, WEIGHT, hat


def test_in_words():
    found = nv.probe(lambda x: nv.normalize(x, "group", num_groups=4, weight=WEIGHT, bias=BIAS, eps=1e-3))
    assert str(found) == (
        "Group Norm with G = 4: 16 sets of 72 cells each, in boxes of 1 × 2 × 6 × 6. "
        "The output for a sample does not depend on other samples. The mean of the set is subtracted, "
        "and the result is divided by the square root of the variance, with eps = 0.001 under the root. "
        f"One weight and one bias for each channel: weights {WEIGHT.min():.4g} to {WEIGHT.max():.4g}, "
        f"biases {BIAS.min():.4g} to {BIAS.max():.4g}. "
        f"({found.calls} calls with float64 of shape (4, 8, 6, 6), numpy.)"
    )
    assert repr(found) == f"<Probe: Group Norm with G = 4, {found.calls} calls>"


WORDS = {
    "The output for a sample depends on other samples.": lambda x: hat(x, (0, 2, 3)),
    "the first cell's set has cells of channels 0, 4.": INTERLEAVED,
    "(unbiased: divided by |S| - 1)": lambda x: hat(x, (2, 3), ddof=1),
    "with eps = 0.01 outside the root": lambda x: hat(x, (2, 3), 0.01, outside=True),
    "of the variance, with no eps.": lambda x: hat(x, (2, 3), 0),
    "No mean is subtracted, and x is divided by the square root of the mean square": lambda x: hat(
        x, (2, 3), centered=False
    ),
    "Not a normalizer: the output is the input.": lambda x: x,
    "Batch Norm does this in eval mode": lambda x: 2 * x + 1,
    "all 1152 cells share one set": lambda x: hat(x, None),
    "It is random": lambda x: x + np.random.normal(size=x.shape),  # noqa: NPY002
    "It gives x / std.": lambda x: x / x.std((2, 3), keepdims=True),
    "Not a normalizer, although outputs depend on other cells": lambda x: x - x.mean((2, 3), keepdims=True),
    "Not a normalizer. Could not be measured: method,": lambda x: x + np.roll(x, 1, 3),
    "Perhaps a normalizer. Could not be measured": lambda x: x * np.nan,
    "is not linear in it": np.tanh,
    "No weight or bias is applied.": lambda x: hat(x, (2, 3)),
}


@pytest.mark.parametrize("words", WORDS)
def test_a_word_for_each_finding(words):
    said = str(nv.probe(WORDS[words]))
    assert words in said
    assert "None" not in said
    assert ".." not in said


def test_the_sets_alone_in_words():
    found = nv.probe(lambda x: hat(x, (3,)), LAST, channel_axis=-1)
    assert found.sets_in_words() == "144 sets of 8 cells each, in boxes of 1 × 1 × 1 × 8"
    assert nv.probe(lambda x: x + np.roll(x, 1, 3)).sets_in_words() is None


def test_boxes_that_part_the_last_axis():
    """With the channels last, the first box along them is followed by the others of the same position."""

    def heads(x):
        return hat(x.reshape(*x.shape[:-1], -1, 4), -1, centered=False).reshape(x.shape)

    for shape, boxes in (
        ((2, 6, 16), "48 sets of 4 cells each, in boxes of 1 × 1 × 4"),
        ((2, 3, 2, 8), "1 × 1 × 1 × 4"),
    ):
        found = nv.probe(heads, shape, channel_axis=-1)
        assert f"in boxes of {boxes.split('boxes of ')[-1]}." in str(found)
        assert found.block == (*[1] * (len(shape) - 1), 4)


def test_the_table_is_escaped():
    def fn(x):
        if np.nanmax(np.abs(x)) > 100:
            raise ValueError("<b>large</b>")
        return hat(x, (2, 3))

    html = nv.probe(fn)._repr_html_()
    assert "&lt;b&gt;large&lt;/b&gt;" in html
    assert "<b>" not in html
    assert "<th style='text-align:left'>eps_inside</th>" in html


def test_explore_shows_the_measured_sets():
    explorer = nv.probe(INTERLEAVED).explore(index=(0, 4, 0, 0))
    assert explorer.method == "given"
    assert np.array_equal(explorer.set, INTERLEAVED_SETS[0, 4, 0, 0] == INTERLEAVED_SETS)
    assert explorer.eps == pytest.approx(1e-5)


def test_explore_takes_a_tensor_and_what_an_explorer_takes():
    found = nv.probe(
        lambda x: nv.normalize(x, "group", num_groups=2, channel_axis=-1, weight=WEIGHT), LAST, channel_axis=-1
    )
    assert found.block == (1, 6, 6, 4)
    x = np.random.default_rng(1).normal(size=LAST)
    explorer = found.explore(x, step=2, title="mine")
    assert explorer.x is x
    assert explorer.step == 2
    assert explorer.set.shape == (4, 8, 6, 6)
    assert explorer.set[0, :4].all()
    assert explorer.set.sum() == 4 * 36
    np.testing.assert_allclose(explorer.weight, WEIGHT)
    with pytest.raises(TypeError, match="unknown keyword 'stepp'; did you mean 'step'"):
        found.explore(stepp=3)


def test_a_weight_for_each_element_does_not_stand_in_the_way():
    weight = np.random.default_rng(2).uniform(1, 2, (8, 6, 6))
    found = nv.probe(lambda x: nv.normalize(x, "layer", weight=weight))
    assert found.affine == "element"
    assert found.explore().method == "given"


def test_element_weights_are_laid_out_as_the_function_has_them():
    weight = np.random.default_rng(2).uniform(1, 2, (6, 5, 8))
    found = nv.probe(lambda x: nv.normalize(x, "layer", weight=weight, channel_axis=-1), (4, 6, 5, 8), channel_axis=-1)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-6)
