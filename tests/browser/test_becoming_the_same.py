"""Which methods become the same on a shape: for every pair, against the labels that `nv.pooling` gives to the cells."""

import itertools
import re
from functools import cache

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import scene
from tests.browser import host

ROWS = [{key: getattr(row, key) for key in scene.ROW} for row in nv.METHODS.values()]
SPATIAL = {2: [], 3: ["L"], 4: ["H", "W"], 5: ["D", "H", "W"]}


@pytest.fixture
def ask(page, tmp_path):
    """For each (shape, method, G): the methods that are the same, with their G and the reasons; and the sentences."""
    path = host.write(tmp_path / "module.html", entry="explorer/js/core/same_sets.js")
    page.goto(path.as_uri())
    page.wait_for_function("window.loaded")
    code = """([rows, cases]) => cases.map(([shape, method, G]) => {
        const methods = Object.fromEntries(rows.map((row) => [row.name, row]));
        const data = { shape, methods, order: Object.keys(methods) };
        const twins = front.twinsOf(rows, methods[method], G, shape);
        return [
          twins.map(({ row, G: g }) => [row.name, front.hasGroups(row) ? g : null,
            front.whyAlike(methods[method], G, row, shape)]),
          front.sameAs(data, { method, G })
        ];
      })"""
    return lambda cases: page.evaluate(code, [ROWS, cases])


def configured(shape):
    """Every method with every G on a shape."""
    for name, row in nv.METHODS.items():
        for G in nv.divisors(shape[row.grouped_axis]) if row.has_groups else [None]:
            yield name, G


@cache
def partition(name, shape, G):
    """The sets, numbered in the order in which their first cells come, and what is measured in them."""
    labels = nv.pooling(name, shape, G).labels().ravel()
    _, first, where = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[where].tobytes(), nv.METHODS[name].statistic, nv.METHODS[name].axes


def same(name, shape, G):
    own = partition(name, shape, G)
    return [[other, g] for other, g in configured(shape) if other != name and partition(other, shape, g) == own]


def named(shape, axes):
    letters = (
        ["Cout", "Cin", *(f"k{a}" for a in SPATIAL[len(shape)])]
        if axes == "weights"
        else ["N", "C", *SPATIAL[len(shape)]]
    )
    return dict(zip(letters, shape, strict=True))


SHAPES = [
    shape
    for rank in (2, 3, 4, 5)
    for shape in itertools.product(*[(1, 2), (1, 2, 4), *[(1, 3)] * min(rank - 2, 2), *[(1,)] * (rank == 5)])
]


def test_for_every_pair_the_claim_and_its_reason_are_true(ask):
    cases = [(shape, name, G) for shape in SHAPES for name, G in configured(shape)]
    answers = ask([[shape, name, G or 4] for shape, name, G in cases])
    count = 0
    for (shape, name, G), (twins, said) in zip(cases, answers, strict=True):
        assert [twin[:2] for twin in twins] == same(name, shape, G), (shape, name, G)
        lengths = named(shape, nv.METHODS[name].axes) | {"G": G}
        for other, _, reasons in twins:
            for reason in reasons:
                count += 1
                broken = list(shape)
                if reason == "x has no spatial axes":
                    assert len(shape) == 2
                    broken.append(2)
                    assert other not in [twin for twin, _ in same(name, tuple(broken), G)]
                    continue
                *letters, value = reason.split(" = ")
                assert {lengths[letter] for letter in letters} == {int(value)}, (shape, name, G, reason)
                # Without it they differ. A reason about G is broken by twice as many channels, or samples.
                axes = [list(lengths).index(letter) for letter in letters if letter != "G"]
                for axis in axes or [nv.METHODS[name].grouped_axis]:
                    broken[axis] *= 2
                groups = 2 if letters == ["G"] else G
                assert other not in [twin for twin, _ in same(name, tuple(broken), groups)], (shape, name, G, reason)
            assert any(nv.METHODS[other].label in sentence for sentence in said)
        size = nv.pooling(name, shape, G).size
        assert (size == 1) == any(sentence.startswith("Every set is one cell") for sentence in said)
        assert len(said) > 0 or not twins
    assert count > 200


def test_the_sentences(ask):
    (_, batch), (_, layer), (_, group), (_, head), (_, weights), (_, cell) = ask(
        [
            [[1, 6, 3, 4], "batch", 2],
            [[2, 6, 3, 4], "layer", 2],
            [[2, 6, 1, 1], "group", 2],
            [[2, 6, 3, 4], "per_head_rms", 1],
            [[2, 1, 1, 1], "weight_standardization", 1],
            [[2, 6], "instance", 1],
        ]
    )
    assert batch == [
        "Because N = 1, Batch Norm has the same sets and the same mean and variance as Instance Norm and Group Norm "
        "with G = C = 6.",
        "On every shape, Batch Norm has the same sets and the same mean and variance as Ghost Batch Norm with G = 1.",
        "By default the learned numbers differ: Batch Norm, Group Norm with G = C = 6 and Ghost Batch Norm with G = 1 "
        "have a weight and a bias per channel; Instance Norm has no weight and no bias.",
        "At inference Batch Norm and Ghost Batch Norm with G = 1 take running statistics; Instance Norm and Group Norm "
        "with G = C = 6 take the same sets as in training.",
    ]
    assert layer == [
        "On every shape, Layer Norm has the same sets and the same mean and variance as Group Norm with G = 1.",
        "By default the learned numbers differ: Layer Norm has a weight and a bias per element of a sample; Group Norm "
        "with G = 1 has a weight and a bias per channel.",
    ]
    assert group[0] == (
        "Because H = W = 1, Group Norm has the same sets and the same mean and variance as Per-Head Layer Norm with "
        "G = 2."
    )
    assert head[0] == "Because G = 1, Per-Head RMS Norm has the same sets and the same mean square as RMS Norm."
    assert weights == ["Every set is one cell. Its mean is x itself, so x̂ is 0."]
    assert cell[1:3] == [
        "Because x has no spatial axes, Instance Norm has the same sets and the same mean and variance as Per-Head "
        "Layer Norm with G = C = 6.",
        "On every shape, Instance Norm has the same sets and the same mean and variance as Group Norm with G = C = 6 "
        "and Ghost Batch Norm with G = N = 2.",
    ]
    assert all(re.fullmatch(r"[A-Z].*\.", sentence) for sentence in (*batch, *layer, *group, *head, *cell))
