"""The code that the page writes is run on the installed frameworks, and must do what normviz draws."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from normviz.core.methods import METHODS, Method
from normviz.core.pooling import pooling
from tests.browser.snippets import NEEDS, case, choices, every_code, language, library
from tests.core import reference

# Beside float64 arithmetic. The layers are float32, one step of which is 1.2e-7; x and y are of the order of 1 to 10.
# Keras on PyTorch takes most variances as E[x^2] - E[x]^2, which loses digits where a set is near constant.
TOLERANCE = {
    "PyTorch": 1e-4,
    "NumPy": 1e-12,
    "JAX/Flax": 1e-4,
    "Keras": 1e-4,
    "Keras on PyTorch": 5e-3,
    "JavaScript": 1e-11,
}
WRITTEN_OUT = ("NumPy", "JavaScript")
WIDTH = 62
"""The longest line of code that a panel of 420 px shows without scrolling."""
LONGEST = {"JavaScript": 16}
"""How many lines a snippet may have, 14 where nothing else is said."""
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


@pytest.fixture
def compare(run):
    def compare(framework, cases, wanted, described):
        off = [
            (float(np.abs(y - want).max()), source, what)
            for y, want, (source, _), what in zip(run(framework, cases), wanted, cases, described, strict=True)
            if y.shape != want.shape or not np.allclose(y, want, rtol=TOLERANCE[framework], atol=TOLERANCE[framework])
        ]
        assert not off, f"{len(off)} of {len(cases)} are off; by {off[0][0]}, {off[0][2]}:\n{off[0][1]}"

    return compare


@pytest.fixture(scope="module")
def every(code_of):
    """(choice, code in all frameworks, arrays, what y must be) for all choices; made once for all frameworks."""
    every = list(dict.fromkeys(choices()))
    codes = code_of([case(METHODS[name], *rest) for name, *rest in every])
    found = []
    for choice, code in zip(every, codes, strict=True):
        x, arrays = made(choice)
        wanted = user_layout(expected(choice, x, arrays), choice[3])
        found.append((choice, code, {"x": user_layout(x, choice[3]), **arrays}, wanted))
    return found


def without_comments(source):
    return "\n".join(line.partition("  #")[0] for line in source.split("\n") if line[:1] != "#")


@pytest.mark.parametrize("framework", NEEDS)
def test_every_snippet_normalizes_as_normviz_does(compare, framework, every):
    found = {}
    for k, (choice, code, arrays, wanted) in enumerate(every):
        source = code[language(framework)]
        # JAX compiles for every shape anew, and takes any: there, statements that differ in numbers alone run once.
        statements = re.sub(r"\d+", "0", without_comments(source)) if library(framework) == "jax" else k
        found.setdefault((len(choice[1]), statements), ((source, arrays), wanted, choice))
    assert len(found) > 200
    compare(framework, *zip(*found.values(), strict=True))


def test_pytorch_is_said_to_refuse_only_sets_of_one_cell(every):
    refused = {choice[:3] for choice, code, *_ in every if "refuses this x" in code["PyTorch"]}
    assert {pooling(*choice).size for choice in refused} == {1}
    assert {name for name, *_ in refused} == {"batch", "layer", "instance", "group"}


@pytest.mark.parametrize("spatial", ["one", "all"])
@pytest.mark.parametrize("statistic", ["mean and variance", "mean square"])
@pytest.mark.parametrize("of", ["group", "ghost"])
def test_a_row_that_is_not_in_the_table_needs_no_code_of_its_own(run, code_of, of, statistic, spatial):
    """Groups with every statistic, such as a norm per head, written out in NumPy."""
    x = np.random.default_rng(0).normal(1, 1, (4, 6, 3, 2))
    row = replace(METHODS[of], name="new", statistic=statistic, spatial=spatial)
    (code,) = code_of([case(row, x.shape, 2, eps=1e-3)])
    (y,) = run("NumPy", [(code["NumPy"], {"x": x})])
    # Two groups, then the axes that a set extends over.
    parts, pooled = (x.reshape(4, 2, 3, 3, 2), (2,)) if of == "group" else (x.reshape(2, 2, 6, 3, 2), (1,))
    pooled += (3, 4) if spatial == "all" else ()
    mean = parts.mean(pooled, keepdims=True) if statistic == "mean and variance" else 0
    wanted = (parts - mean) / np.sqrt(((parts - mean) ** 2).mean(pooled, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, wanted.reshape(x.shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("framework", ONCE)
@pytest.mark.parametrize("statistic", ["mean and variance", "mean square"])
def test_heads_may_share_a_weight(compare, code_of, framework, statistic):
    """The same code takes an entry for each channel and C/G entries for all heads."""
    row, G, rng = replace(METHODS["group"], name="new", spatial="one", statistic=statistic), 3, np.random.default_rng(0)
    cases, wanted, described = [], [], []
    of = [((4, 6), 1), ((4, 6), 0), ((2, 6, 5), -1), ((2, 6, 3, 1), 0), ((2, 6, 2, 1, 3), 1), ((2, 6, 2, 1, 3), -1)]
    for shape, channel_axis in of:
        x = rng.normal(0.5, 1, size=shape).astype(np.float32)
        (code,) = code_of([case(row, shape, G, channel_axis, ("weight", "bias"))])
        for entries in (2, 6):
            arrays = {name: rng.normal(1, 1, entries).astype(np.float32) for name in ("weight", "bias")}
            y = np.empty(shape)
            for first in range(0, 6, 2):
                head = x[:, first : first + 2].astype(np.float64)
                head -= 0 if statistic == "mean square" else head.mean(1, keepdims=True)
                y[:, first : first + 2] = head / np.sqrt((head**2).mean(1, keepdims=True) + 1e-5)
            weight, bias = (np.tile(a.astype(np.float64), 6 // entries) for a in arrays.values())
            y = np.moveaxis(np.moveaxis(y, 1, -1) * weight + bias, -1, 1)
            cases.append((code[language(framework)], {"x": user_layout(x, channel_axis), **arrays}))
            wanted.append(user_layout(y, channel_axis))
            described.append((shape, channel_axis, entries))
    assert any("Norm" in source for source, _ in cases) == (framework not in WRITTEN_OUT)
    compare(framework, cases, wanted, described)


@pytest.mark.parametrize("framework", ONCE)
def test_a_weight_for_each_element_belongs_to_layer_norm(compare, code_of, framework):
    choices, wanted, described, given = [], [], [], []
    rng = np.random.default_rng(0)
    per_element = [("weight", "bias"), ("weight",), ("bias",)]  # What is not named here is per channel.
    for shape, channel_axis, names in itertools.product([(2, 6, 5), (2, 4, 3, 2)], (1, -1, 0), per_element):
        x = rng.normal(size=shape).astype(np.float32)
        arrays = {
            p: rng.normal(size=shape[1:] if p in names else shape[1]).astype(np.float32) for p in ("weight", "bias")
        }
        # In the layout of one of the user's samples, as torch.nn.LayerNorm has it.
        theirs = {p: np.moveaxis(a, 0, max(channel_axis - 1, -1) if channel_axis else 0) for p, a in arrays.items()}
        choices.append(case(METHODS["layer"], shape, None, channel_axis, {p: a.shape for p, a in theirs.items()}))
        given.append({"x": user_layout(x, channel_axis), **theirs})
        wanted.append(
            user_layout(
                reference.normalize(x.astype(np.float64), "layer", None, arrays["weight"], arrays["bias"]), channel_axis
            )
        )
        described.append((shape, channel_axis, names))
    sources = [code[language(framework)] for code in code_of(choices)]
    compare(framework, list(zip(sources, given, strict=True)), wanted, described)


def test_for_another_method_a_weight_for_each_element_is_no_weight(code_of):
    for other in map(METHODS.get, ("batch", "group", "positional")):
        with_one, without = code_of([case(other, (2, 4, 3, 2), 2, affine=a) for a in ({"weight": (4, 3, 2)}, {})])
        assert with_one == without


@pytest.mark.parametrize("framework", ONCE)
def test_a_new_row_of_the_table_has_code_at_once(compare, code_of, framework):
    """No framework has a layer for it, so the recipe is written out."""
    row = Method("new", "New", "all", "all", "all", "per channel", "none", "nobody", statistic="mean square")
    cases, wanted, described = [], [], []
    for shape, channel_axis in itertools.product([(2, 3), (2, 3, 4, 2)], (1, -1)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        arrays = {"weight": np.arange(1.0, 4), "bias": np.arange(3.0)}
        (code,) = code_of([case(row, shape, None, channel_axis, ("weight", "bias"))])
        cases.append((code[language(framework)], {"x": user_layout(x, channel_axis), **arrays}))
        x = x.astype(np.float64)
        y = np.moveaxis(x / np.sqrt((x**2).mean() + 1e-5), 1, -1) * arrays["weight"] + arrays["bias"]
        wanted.append(user_layout(np.moveaxis(y, -1, 1), channel_axis))
        described.append((shape, channel_axis))
    compare(framework, cases, wanted, described)


def test_the_comparison_can_fail(run, compare, code_of):
    """Each of these slips in a snippet is one that a framework's defaults invite."""
    x = np.float32(0.2) * np.random.default_rng(0).normal(size=(2, 4, 3, 3)).astype(np.float32)
    want = reference.normalize(x.astype(np.float64), "group", 2, eps=1e-3)
    source = code_of([case(METHODS["group"], x.shape, 2, eps=1e-3)])[0]["NumPy"]
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


def test_snippets_fit_a_narrow_panel(code_of):
    for name, framework, source in every_code(code_of):
        lines = source.split("\n")
        assert max(map(len, lines)) <= WIDTH, f"{name}, {framework}:\n{source}"
        assert len(lines) <= LONGEST.get(framework, 14), f"{name}, {framework}:\n{source}"
        assert all(line == line.rstrip() for line in lines)
        assert not set(source) & set("{}"), f"{name}, {framework}:\n{source}"


def test_code_depends_on_g_where_the_method_takes_it(code_of):
    for row in METHODS.values():
        one, two = code_of([case(row, (4, 8, 3), G) for G in (1, 2)])
        assert [one[name] != two[name] for name in one] == [row.has_groups] * 5, row.name


@pytest.mark.parametrize("eps", [0, 1e-12, 1.5e-5, 1e-5, 0.0001, 0.1, 2.5, 1e300])
def test_eps_is_written_exactly_and_briefly(code_of, eps):
    for code in code_of([case(METHODS[name], (2, 4, 3), 2, eps=eps) for name in ("batch", "ghost", "rms")]):
        for source in code.values():
            (written,) = re.findall(r"(?:eps=|epsilon=|(?:var|square|size|v) \+ )([\w.+-]+)", without_comments(source))
            assert float(written) == eps
            assert len(written) <= len(repr(float(eps)))
