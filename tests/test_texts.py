"""The explorer's texts: every snippet is run on the installed frameworks and must do what normviz draws."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from normviz.core.methods import METHODS, Method
from normviz.explorer import texts
from normviz.explorer.snippets.templates import WIDTH
from tests.core import reference
from tests.snippets import NEEDS, choices, every_code, language, run

# Beside float64 arithmetic. The layers are float32, one step of which is 1.2e-7; x and y are of the order of 1 to 10.
# Keras on PyTorch takes most variances as E[x^2] - E[x]^2, which loses digits where a set is near constant.
TOLERANCE = {"PyTorch": 1e-4, "NumPy": 1e-12, "JAX/Flax": 1e-4, "Keras": 1e-4, "Keras on PyTorch": 5e-3}
LONGEST = 14
ONCE = [name for name in NEEDS if name != "Keras on PyTorch"]


def expected(choice, x, arrays):
    """Return what normviz draws, from plain loops in float64 that know nothing of blocks."""
    name, _, G, _, _, eps, mode = choice
    x, arrays = x.astype(np.float64), {p: a.astype(np.float64) for p, a in arrays.items()}
    weight, bias = arrays.get("weight"), arrays.get("bias")
    if mode == "train":
        return reference.normalize(x, name, G, weight, bias, eps)
    mean, var = (arrays[f"running_{p}"] for p in ("mean", "var"))
    rows = np.moveaxis(x, 1, -1)
    rows = (rows - mean) / np.sqrt(var + eps) * (1 if weight is None else weight) + (0 if bias is None else bias)
    return np.moveaxis(rows, -1, 1)


def user_layout(x, channel_axis):
    """(N, C, *spatial) as a person with that channel_axis has it."""
    return np.moveaxis(x, 1, channel_axis)


def made(choice):
    """Return the arrays of a choice, canonical; in units that make eps count."""
    name, shape, _, _, given, _, mode = choice
    rng = np.random.default_rng(sum(shape) + len(name))
    x = (0.2 * rng.normal(size=shape) + 0.5).astype(np.float32)
    size = shape[METHODS[name].affine_axis]
    arrays = {name: (rng.normal(size=size) + 1).astype(np.float32) for name in given}
    if mode == "eval":
        arrays["running_mean"] = rng.normal(size=shape[1]).astype(np.float32)
        arrays["running_var"] = rng.uniform(0.01, 2, size=shape[1]).astype(np.float32)
    return x, arrays


def compare(framework, cases, wanted, described):
    off = [
        (float(np.abs(y - want).max()), source, what)
        for y, want, (source, _), what in zip(run(framework, cases), wanted, cases, described, strict=True)
        if y.shape != want.shape or not np.allclose(y, want, rtol=TOLERANCE[framework], atol=TOLERANCE[framework])
    ]
    assert not off, f"{len(off)} of {len(cases)} are off; by {off[0][0]}, {off[0][2]}:\n{off[0][1]}"


@pytest.mark.parametrize("framework", NEEDS)
def test_every_snippet_normalizes_as_normviz_does(framework):
    cases, wanted, described = [], [], []
    for choice in choices():
        name, shape, G, channel_axis, given, eps, mode = choice
        x, arrays = made(choice)
        affine = dict.fromkeys(given, (shape[METHODS[name].affine_axis],))
        code = texts.code(METHODS[name], shape, eps=eps, channel_axis=channel_axis, affine=affine, mode=mode)[
            language(framework)
        ]
        cases.append((code.replace("{G}", str(G)), {"x": user_layout(x, channel_axis), **arrays}))
        wanted.append(user_layout(expected(choice, x, arrays), channel_axis))
        described.append(choice)
    compare(framework, cases, wanted, described)


@pytest.mark.parametrize("spatial", ["one", "all"])
@pytest.mark.parametrize("statistic", ["mean and variance", "mean square"])
@pytest.mark.parametrize("of", ["group", "ghost"])
def test_a_row_that_is_not_in_the_table_needs_no_code_of_its_own(of, statistic, spatial):
    """Groups with every statistic, such as a norm per head, written out in NumPy."""
    x = np.random.default_rng(0).normal(1, 1, (4, 6, 3, 2))
    row = replace(METHODS[of], name="new", statistic=statistic, spatial=spatial)
    code = texts.code(row, x.shape, eps=1e-3, channel_axis=1, affine=False)["NumPy"].replace("{G}", "2")
    (y,) = run("NumPy", [(code, {"x": x})])
    # Two groups, then the axes that a set extends over.
    parts, pooled = (x.reshape(4, 2, 3, 3, 2), (2,)) if of == "group" else (x.reshape(2, 2, 6, 3, 2), (1,))
    pooled += (3, 4) if spatial == "all" else ()
    mean = parts.mean(pooled, keepdims=True) if statistic == "mean and variance" else 0
    wanted = (parts - mean) / np.sqrt(((parts - mean) ** 2).mean(pooled, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, wanted.reshape(x.shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("framework", ONCE)
def test_a_weight_for_each_element_belongs_to_layer_norm(framework):
    cases, wanted, described = [], [], []
    rng = np.random.default_rng(0)
    per_element = [("weight", "bias"), ("weight",), ("bias",)]  # What is not named here is per channel.
    for shape, channel_axis, names in itertools.product([(2, 6, 5), (2, 4, 3, 2)], (1, -1, 0), per_element):
        x = rng.normal(size=shape).astype(np.float32)
        arrays = {
            p: rng.normal(size=shape[1:] if p in names else shape[1]).astype(np.float32) for p in ("weight", "bias")
        }
        # In the layout of one of the user's samples, as torch.nn.LayerNorm has it.
        theirs = {p: np.moveaxis(a, 0, max(channel_axis - 1, -1) if channel_axis else 0) for p, a in arrays.items()}
        affine = {p: a.shape for p, a in theirs.items()}
        code = texts.code(METHODS["layer"], shape, eps=1e-5, channel_axis=channel_axis, affine=affine)[
            language(framework)
        ]
        cases.append((code, {"x": user_layout(x, channel_axis), **theirs}))
        wanted.append(
            user_layout(
                reference.normalize(x.astype(np.float64), "layer", None, arrays["weight"], arrays["bias"]), channel_axis
            )
        )
        described.append((shape, channel_axis, names))
    compare(framework, cases, wanted, described)
    # For any other method there is nothing to multiply with.
    for other in ("batch", "group", "positional"):
        plain = texts.code(METHODS[other], (2, 4, 3, 2), eps=1e-5, affine=False)
        assert texts.code(METHODS[other], (2, 4, 3, 2), eps=1e-5, affine={"weight": (4, 3, 2)}) == plain


@pytest.mark.parametrize("framework", ONCE)
def test_a_new_row_of_the_table_has_code_at_once(framework):
    """No framework has a layer for it, so the recipe is written out."""
    row = Method("new", "New", "all", "all", "all", "per channel", "none", "nobody", statistic="mean square")
    cases, wanted, described = [], [], []
    for shape, channel_axis in itertools.product([(2, 3), (2, 3, 4, 2)], (1, -1)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        arrays = {"weight": np.arange(1.0, 4), "bias": np.arange(3.0)}
        code = texts.code(row, shape, eps=1e-5, channel_axis=channel_axis, affine=True)[language(framework)]
        cases.append((code, {"x": user_layout(x, channel_axis), **arrays}))
        x = x.astype(np.float64)
        y = np.moveaxis(x / np.sqrt((x**2).mean() + 1e-5), 1, -1) * arrays["weight"] + arrays["bias"]
        wanted.append(user_layout(np.moveaxis(y, -1, 1), channel_axis))
        described.append((shape, channel_axis))
    compare(framework, cases, wanted, described)


def test_the_comparison_can_fail():
    """Each of these slips in a snippet is one that a framework's defaults invite."""
    x = np.float32(0.2) * np.random.default_rng(0).normal(size=(2, 4, 3, 3)).astype(np.float32)
    want = reference.normalize(x.astype(np.float64), "group", 2, eps=1e-3)
    source = texts.code(METHODS["group"], x.shape, eps=1e-3, affine=False)["NumPy"].replace("{G}", "2")
    compare("NumPy", [(source, {"x": x})], [want], ["right"])
    for slip in [
        ("+ 0.001", "+ 1e-05"),
        ("2, 4 // 2", "4, 4 // 4"),
        ("keepdims=True)  #", "keepdims=True, ddof=1)  #"),
    ]:
        assert slip[0] in source
        with pytest.raises(AssertionError, match="are off"):
            compare("NumPy", [(source.replace(*slip), {"x": x})], [want], [slip])
    with pytest.raises(AssertionError, match="snippets fail"):
        run("NumPy", [("y = nothing", {})])


def test_snippets_fit_a_narrow_panel():
    for name, framework, source in every_code():
        lines = source.replace("{G}", "1024").split("\n")
        assert max(map(len, lines)) <= WIDTH, f"{name}, {framework}:\n{source}"
        assert len(lines) <= LONGEST, f"{name}, {framework}:\n{source}"
        assert all(line == line.rstrip() for line in lines)


def test_braces_stand_only_for_the_number_of_groups():
    for name, framework, source in every_code():
        assert not set(source.replace("{G}", "")) & set("{}"), f"{name}, {framework}:\n{source}"
        assert ("{G}" in source) == METHODS[name].has_groups, f"{name}, {framework}:\n{source}"


def test_true_means_weight_and_bias_per_channel():
    for method in METHODS.values():
        both = dict.fromkeys(("weight", "bias"), ((2, 8, 4)[method.affine_axis],))
        assert texts.code(method, (2, 8, 4), eps=1e-5, affine=True) == texts.code(
            method, (2, 8, 4), eps=1e-5, affine=both
        )
        assert texts.code(method, (2, 8, 4), eps=1e-5, affine=False) == texts.code(
            method, (2, 8, 4), eps=1e-5, affine={}
        )
