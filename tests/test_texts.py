"""The explorer's texts: every snippet is run on the installed frameworks and must do what normviz draws."""

import html.parser
import itertools
import math
import os
import pickle
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from normviz.blocks import divisors, pooling
from normviz.explorer import texts
from normviz.explorer.snippets import WIDTH
from normviz.methods import METHODS, Method
from tests.core import reference

NEEDS = {
    "PyTorch": ("torch",),
    "NumPy": ("numpy",),
    "JAX/Flax": ("jax", "flax"),
    "Keras": ("keras", "jax"),
    "Keras on PyTorch": ("keras", "torch"),
}
# Beside float64 arithmetic. The layers are float32, one step of which is 1.2e-7; x and y are of the order of 1 to 10.
# Keras on PyTorch takes most variances as E[x^2] - E[x]^2, which loses digits where a set is near constant.
TOLERANCE = {"PyTorch": 1e-4, "NumPy": 1e-12, "JAX/Flax": 1e-4, "Keras": 1e-4, "Keras on PyTorch": 5e-3}
LONGEST = 14
ONCE = [name for name in NEEDS if name != "Keras on PyTorch"]


def language(framework):
    return framework.split(" on ")[0]


def run(framework, cases):
    """Run (source, arrays) pairs where that framework lives, and return what each makes of y."""
    missing = [name for name in NEEDS[framework] if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install {' '.join(missing)}")
    environment = os.environ | {"KERAS_BACKEND": NEEDS[framework][-1], "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("snippet_runner.py"))]
    done = subprocess.run(command, input=pickle.dumps(cases), capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    results = pickle.loads(done.stdout)
    broken = [(case[0], result) for case, result in zip(cases, results, strict=True) if isinstance(result, str)]
    assert not broken, "\n".join([f"{len(broken)} of {len(cases)} snippets fail; the first:", *broken[0]])
    return results


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


SHAPES = [(3, 8), (1, 1), (2, 6, 5), (1, 4, 1), (2, 8, 4, 3), (2, 8, 1, 1), (1, 4, 1, 1), (2, 4, 2, 3, 2)]
PARTS = [(), ("weight", "bias"), ("weight",), ("bias",)]


def choices():
    """(method, shape, G, channel_axis, given, eps, mode); every axis of choice, but not every product of all."""
    for name, shape in itertools.product(METHODS, SHAPES):
        groups = sorted({1, 2, shape[1]} & set(divisors(shape[1]))) if METHODS[name].has_groups else [None]
        modes = ["train", "eval"] if name == "batch" else ["train"]
        for G, mode in itertools.product(groups, modes):
            yield name, shape, G, 1, (), 1e-5, mode
            yield name, shape, G, 1, ("weight", "bias"), 1e-5, mode
            yield name, shape, G, -1, ("weight", "bias"), 1e-3, mode
        if shape == (2, 8, 4, 3):
            for given, axis, mode in itertools.product(PARTS, (-1, 0, 2), modes):
                yield name, shape, groups[-1], axis, given, 1e-3, mode
            for given in PARTS[2:]:
                yield name, shape, groups[-1], 1, given, 1e-3, modes[-1]


def made(choice):
    """Return the arrays of a choice, canonical; in units that make eps count."""
    name, shape, _, _, given, _, mode = choice
    rng = np.random.default_rng(sum(shape) + len(name))
    x = (0.2 * rng.normal(size=shape) + 0.5).astype(np.float32)
    arrays = {name: (rng.normal(size=shape[1]) + 1).astype(np.float32) for name in given}
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
        affine = dict.fromkeys(given, shape[1:2])
        code = texts.code(METHODS[name], shape, eps=eps, channel_axis=channel_axis, affine=affine, mode=mode)[
            language(framework)
        ]
        cases.append((code.replace("{G}", str(G)), {"x": user_layout(x, channel_axis), **arrays}))
        wanted.append(user_layout(expected(choice, x, arrays), channel_axis))
        described.append(choice)
    compare(framework, cases, wanted, described)


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
    row = Method("frn", "FRN", "one", "one", "all", "per channel", "none", "Singh & Krishnan 2020", centered=False)
    cases, wanted, described = [], [], []
    for shape, channel_axis in itertools.product([(2, 3), (2, 3, 4, 2)], (1, -1)):
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        arrays = {"weight": np.arange(1.0, 4), "bias": np.arange(3.0)}
        code = texts.code(row, shape, eps=1e-5, channel_axis=channel_axis, affine=True)[language(framework)]
        cases.append((code, {"x": user_layout(x, channel_axis), **arrays}))
        x = x.astype(np.float64)
        square = (x**2).mean(axis=tuple(range(2, x.ndim)), keepdims=True) if x.ndim > 2 else x**2
        y = np.moveaxis(x / np.sqrt(square + 1e-5), 1, -1) * arrays["weight"] + arrays["bias"]
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


# --- The form of the snippets ----------------------------------------------------------------------------------------


def every_code():
    for name, shape, _, channel_axis, given, eps, mode in choices():
        affine = dict.fromkeys(given, shape[1:2])
        codes = texts.code(METHODS[name], shape, eps=eps, channel_axis=channel_axis, affine=affine, mode=mode)
        yield from ((name, framework, source) for framework, source in codes.items())
    for name, shape in itertools.product(METHODS, [(32, 256, 14, 14), (32, 1024, 16, 28, 28)]):
        for channel_axis in (1, -1):
            codes = texts.code(METHODS[name], shape, eps=1e-5, channel_axis=channel_axis, affine=True)
            yield from ((name, framework, source) for framework, source in codes.items())


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
    both = {"weight": (8,), "bias": (8,)}
    for method in METHODS.values():
        assert texts.code(method, (2, 8, 4), eps=1e-5, affine=True) == texts.code(
            method, (2, 8, 4), eps=1e-5, affine=both
        )
        assert texts.code(method, (2, 8, 4), eps=1e-5, affine=False) == texts.code(
            method, (2, 8, 4), eps=1e-5, affine={}
        )


# --- What the comments say -------------------------------------------------------------------------------------------

HOMES = {
    "PyTorch": ("import torch", "torch.nn"),
    "JAX/Flax": ("from flax import nnx", "nnx"),
    "Keras": ("import keras", "keras.layers"),
}


@pytest.mark.parametrize("framework", HOMES)
def test_comments_give_the_installed_defaults(framework):
    claims, cases = [], []
    imports, home = HOMES[framework]
    for _, of, source in every_code():
        note = " ".join(line for line in source.split("\n") if line.startswith("#"))
        if of != framework or "By default" not in note:
            continue
        layer = re.search(rf"norm = {re.escape(home)}\.(\w+)\(", source).group(1)
        for option, value in re.findall(r"(\w+)=([-\w.]+\w)", note):
            claim = (layer, option, value)
            if claim not in claims:
                claims.append(claim)
                default = f"inspect.signature({home}.{layer}.__init__).parameters['{option}'].default"
                cases.append((f"import inspect\n{imports}\nd = {default}\ny = float('nan') if d is None else d", {}))
    assert len(claims) >= 6
    for claim, default in zip(claims, run(framework, cases), strict=True):
        value = math.nan if claim[2] == "None" else float(claim[2])
        assert np.array_equal(default, value, equal_nan=True), f"{claim}, but it is {default}"


def outcomes(framework, sources, **arrays):
    """Run several lines each, in one process."""
    arrays = {name: np.asarray(a, np.float32) for name, a in arrays.items()}
    return dict(zip(sources, run(framework, [("\n".join(lines), arrays) for lines in sources.values()]), strict=True))


def test_what_the_comments_say_of_pytorch():
    shapes = {"LayerNorm([8, 4, 2])": (8, 4, 2), "LayerNorm(8)": (8,), "GroupNorm(2, 8)": (8,), "BatchNorm2d(8)": (8,)}
    batch = [
        "import torch",
        "norm = torch.nn.BatchNorm1d(1)",
        "norm(torch.tensor([[0.0], [2.0]]))",
        "y = norm.running_var",
    ]
    held = "y = [len(list(norm.parameters())), len(list(norm.buffers()))]"
    y = outcomes(
        "PyTorch",
        {
            **{
                layer: [f"import torch\nnorm = torch.nn.{layer}", "y = [p.shape for p in norm.parameters()]"]
                for layer in shapes
            },
            "running": batch,
            "instance": ["import torch\nnorm = torch.nn.InstanceNorm2d(8)", held],
            "rms": ["import torch\nnorm = torch.nn.RMSNorm(8)", held],
            "tiny": ["import torch\ny = torch.nn.RMSNorm(1)(torch.full((1, 1), 1e-4))"],
        },
    )
    for layer, shape in shapes.items():
        assert y[layer].tolist() == [list(shape)] * 2, layer
    assert y["running"] == pytest.approx(0.9 * 1 + 0.1 * 2)  # The biased variance would give 1.
    assert y["instance"].tolist() == [0, 0]
    assert y["rms"].tolist() == [1, 0]  # A weight and no bias.
    assert y["tiny"] == pytest.approx(1e-4 / math.sqrt(1e-8 + np.finfo(np.float32).eps), rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        ("BatchNorm1d(4)", (1, 4)),
        ("InstanceNorm1d(4)", (1, 4, 1)),
        ("InstanceNorm2d(4)", (2, 4, 1, 1)),
        ("GroupNorm(4, 4)", (1, 4)),
    ],
)
def test_pytorch_refuses_sets_of_one_cell_as_the_comment_says(layer, x):
    torch = pytest.importorskip("torch", reason="torch not installed: pip install torch")
    with pytest.raises(ValueError, match="Expected more than 1"):
        eval(f"torch.nn.{layer}", {"torch": torch})(torch.zeros(x))
    name = {"B": "batch", "I": "instance", "G": "group"}[layer[0]]
    assert "PyTorch's layer refuses this x" in texts.code(METHODS[name], x, eps=1e-5, affine=False)["PyTorch"]


FAR = 4096 + np.random.default_rng(0).normal(size=(64, 4))
"""Mean and standard deviation are 4096 to 1: E[x^2] - E[x]^2 in float32 keeps no digit of the variance."""


def test_what_the_comments_say_of_flax():
    start = ["import inspect", "import jax.numpy as jnp", "from flax import nnx"]
    layers = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm")
    default = "y = inspect.signature(nnx.{}.__init__).parameters['use_fast_variance'].default"
    norm = "norm = nnx.BatchNorm(4, use_running_average=False, use_fast_variance={}, rngs=nnx.Rngs(0))"
    y = outcomes(
        "JAX/Flax",
        {
            **{layer: [*start, default.format(layer)] for layer in layers},
            True: [*start, norm.format(True), "y = norm(jnp.asarray(x)).std()"],
            False: [*start, norm.format(False), "y = norm(jnp.asarray(x)).std()"],
            "momentum": [*start, norm.format(False), "norm(jnp.ones((3, 4)))", "y = norm.mean[...]"],
        },
        x=FAR,
    )
    assert [y[layer] for layer in layers] == [1, 1, 1, 1]
    assert y[False] == pytest.approx(1, rel=0.01)
    assert abs(y[True] - 1) > 0.05
    assert y["momentum"] == pytest.approx(0.01)


@pytest.mark.parametrize("framework", ["Keras", "Keras on PyTorch"])
def test_what_the_comments_say_of_keras(framework):
    own = {"BatchNormalization()": "(x, training=True)", "LayerNormalization()": "(x)", "GroupNormalization(1)": "(x)"}
    element = "norm = keras.layers.LayerNormalization(axis=[1, 2, 3])"
    batch = "norm = keras.layers.BatchNormalization()"
    y = outcomes(
        framework,
        {
            **{layer: ["import keras", f"y = keras.layers.{layer}{call}"] for layer, call in own.items()},
            "element": ["import keras", element, "norm.build((2, 4, 3, 8))", "y = norm.gamma.shape"],
            "momentum": ["import keras", batch, "norm(x * 0 + 1, training=True)", "y = norm.moving_mean.value"],
        },
        x=FAR,
    )
    assert y["element"].tolist() == [4, 3, 8]
    assert y["momentum"] == pytest.approx(0.01)
    for layer in own:
        cancels = framework == "Keras on PyTorch" and layer != "LayerNormalization()"
        right = abs(y[layer].std() - 1) < 0.05  # Not so for NaN, which a variance below zero gives.
        assert right != cancels, layer


# --- Words and symbols -----------------------------------------------------------------------------------------------


class Balanced(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def plain(markup):
    parser = Balanced()
    parser.feed(markup)
    parser.close()
    assert not parser.open
    assert parser.seen <= {"i", "sub"}
    return parser.text


@pytest.mark.parametrize("shape", [(3, 8), (2, 6, 5), (2, 8, 3, 4), (2, 4, 2, 3, 2)])
@pytest.mark.parametrize("name", METHODS)
def test_the_symbol_says_which_cells_are_pooled(name, shape):
    """Read the formula as Python, and ask it of every pair of cells."""
    G = 2 if METHODS[name].has_groups else None
    said = texts.words(METHODS[name], shape)
    formula = (
        plain(said["symbol"])
        .replace("⌊", "math.floor(")
        .replace("⌋", ")")
        .replace(" = ", " == ")
        .replace(", ", " and ")
    )
    condition = compile(formula, "<symbol>", "eval")
    letters = ["n", "c", *texts.SPATIAL[len(shape)].lower()]
    labels = pooling(name, shape, G).labels()
    cells = list(np.ndindex(shape))
    for j in cells[:: max(1, len(cells) // 40)]:
        for i in cells:
            names = dict(zip(letters, i, strict=True)) | {f"{a}j": v for a, v in zip(letters, j, strict=True)}
            same = eval(condition, {"math": math, "C": shape[1], "G": G}, names)
            assert same == (labels[i] == labels[j]), (formula, i, j)


@pytest.mark.parametrize("name", METHODS)
def test_the_symbolic_shape_of_the_statistics(name):
    for shape in [(3, 8), (2, 6, 5), (2, 8, 3, 4), (2, 4, 2, 3, 5)]:
        G = 2 if METHODS[name].has_groups else None
        lengths = dict(zip("NC" + texts.SPATIAL[len(shape)], shape, strict=True)) | {"G": G}
        said = texts.words(METHODS[name], shape)["statistics"]
        assert eval(said, lengths) == pooling(name, shape, G).statistics_shape


def test_words_are_sentences_for_students():
    sentences = {name: texts.words(row) for name, row in METHODS.items()}
    assert all(set(said) == {"words", "symbol", "statistics", "caution"} for said in sentences.values())
    for said in sentences.values():
        for text in (plain(said["words"]), plain(said["caution"])):
            assert text[0].isupper()
            assert text.endswith(".")
            assert len(text) < 260
    assert sentences["group"]["words"] == (
        "The cells of C/G neighbouring channels, in one sample at all positions, share one mean and one variance."
    )
    assert "no mean is subtracted" in sentences["rms"]["words"]
    assert "position" not in texts.words(METHODS["positional"], (3, 8))["words"]  # (N, C) has none.
