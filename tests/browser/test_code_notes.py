"""What the comments in the explorer's code say of the frameworks, asked of the installed versions."""

import math
import re

import numpy as np
import pytest

from normviz.core.methods import METHODS
from tests.browser import snippets
from tests.browser.snippets import case, every_code
from tests.core import reference

HOMES = {
    "PyTorch": ("import torch", "torch.nn"),
    "JAX/Flax": ("from flax import nnx", "nnx"),
    "Keras": ("import keras", "keras.layers"),
}


@pytest.mark.parametrize("framework", HOMES)
def test_comments_give_the_installed_defaults(code_of, framework):
    claims, cases = [], []
    imports, home = HOMES[framework]
    for _, of, source in every_code(code_of):
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
    for claim, default in zip(claims, snippets.run(framework, cases), strict=True):
        value = math.nan if claim[2] == "None" else float(claim[2])
        assert np.array_equal(default, value, equal_nan=True), f"{claim}, but it is {default}"


def outcomes(framework, sources, **arrays):
    """Run several lines each, in one process."""
    arrays = {name: np.asarray(a, np.float32) for name, a in arrays.items()}
    return dict(
        zip(sources, snippets.run(framework, [("\n".join(lines), arrays) for lines in sources.values()]), strict=True)
    )


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
def test_pytorch_refuses_sets_of_one_cell_as_the_comment_says(code_of, layer, x):
    torch = pytest.importorskip("torch", reason="torch not installed: pip install torch")
    with pytest.raises(ValueError, match="Expected more than 1"):
        eval(f"torch.nn.{layer}", {"torch": torch})(torch.zeros(x))
    name = {"B": "batch", "I": "instance", "G": "group"}[layer[0]]
    (code,) = code_of([case(METHODS[name], x, 4)])
    assert "PyTorch's layer refuses this x" in code["PyTorch"]


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


def test_what_the_comment_says_of_one_pass_in_javascript(code_of, run):
    """E[x^2] - E[x]^2 in float32 fails at an offset of 10,000; without an offset, and in two passes, it does not."""
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 6)).astype(np.float32)
    (code,) = code_of([case(METHODS["group"], x.shape, 2)])
    two_passes = one_pass = code["JavaScript"]
    assert "fails at x + 10000" in two_passes
    for old, new in [
        ("Array(sets).fill(0)", "new Float32Array(sets)"),
        ("(v - mean[S(i)]) ** 2", "v ** 2"),
        ("M2.map((v) =>", "M2.map((v, k) =>"),
        ("v / size + 1e-5", "Math.max(v / size - mean[k] ** 2, 0) + 1e-5"),
    ]:
        assert old in one_pass
        one_pass = one_pass.replace(old, new)
    off = {}
    for offset in (0, 10_000):
        moved = x + np.float32(offset)
        cases = [(source, {"x": moved}) for source in (two_passes, one_pass)]
        wanted = reference.normalize(moved.astype(np.float64), "group", 2)
        off[offset] = [float(np.abs(y - wanted).max()) for y in run("JavaScript", cases)]
    assert max(*off[0], off[10_000][0]) < 1e-4
    assert off[10_000][1] > 0.1
