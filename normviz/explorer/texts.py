"""What the explorer says about a method: words, symbols, and the same normalization as code in four frameworks.

The code is meant to be copied and run: it takes `x` in the layout that was given to normviz and makes `y` in the same
layout. tests/test_texts.py runs every snippet on the installed frameworks and compares y with a plain computation, and
checks what the comments say of defaults.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..methods import Method

WIDTH = 62
"""Longest line of code that a panel of 420 px shows without scrolling."""
GROUPS = "{G}"
"""Stands for the number of groups; the browser puts the number in."""
SPATIAL = {2: "", 3: "L", 4: "HW", 5: "DHW"}

CAUTIONS = {
    "batch": "The batch is normalized by the biased variance (divided by |S|), but PyTorch keeps a running variance that "
    "is unbiased (divided by |S| − 1).",
    "layer": "This is not a transformer’s layer norm, which pools the channels of one position: see Positional. And "
    "GroupNorm(1, C) has the same statistics, but a weight per channel where LayerNorm([C, H, W]) has one per element.",
    "instance": "PyTorch’s InstanceNorm learns no weight and bias unless asked; GroupNorm(C, C), which has the same "
    "statistics, does.",
    "group": "Weight and bias are per channel, C of each, never one per group. A group is C/G channels that are "
    "neighbours in index.",
    "positional": "This is what transformers and ConvNeXt call layer norm: LayerNorm(C), channels last. Layer Norm over "
    "(C, H, W) pools the positions too.",
    "rms": "Without centring, y ignores the scale of x but not a shift. PyTorch’s RMSNorm learns a weight per channel "
    "and no bias.",
}
"""The best-known confusion about each method."""


def words(method: Method, shape: Sequence[int] = (1, 1, 1, 1)) -> dict[str, str]:
    """Return what to tell a student about `method`, as HTML.

    Parameters
    ----------
    method
        A row of METHODS.
    shape
        (N, C, *spatial); only its rank counts, for the names of the spatial axes.

    Returns
    -------
    dict
        "words", what is pooled, in one sentence; "symbol", the condition that j in S_i meets; "statistics", the
        symbolic shape of the statistics; "caution", the best-known confusion.
    """
    positions = SPATIAL[len(shape)]
    pooled = {
        "all": "all channels",
        "one": "one channel",
        "group": "C/G neighbouring channels",
    }[method.c]
    where = {"all": "over all positions", "one": "at one position"}[method.spatial] if positions else ""
    of = {"all": "of all samples together", "one": "of one sample"}[method.n]
    what = "mean and one variance" if method.centered else "mean square, and no mean is subtracted"
    place = " ".join(part for part in (pooled, of, where) if part)
    conditions = [
        *["<i>n<sub>j</sub></i> = <i>n</i>"] * (method.n == "one"),
        *{
            "one": ["<i>c<sub>j</sub></i> = <i>c</i>"],
            "group": ["⌊<i>c<sub>j</sub></i>/(C/G)⌋ = ⌊<i>c</i>/(C/G)⌋"],
            "all": [],
        }[method.c],
        *[f"<i>{a}<sub>j</sub></i> = <i>{a}</i>" for a in positions.lower() if method.spatial == "one"],
    ]
    letters = [
        *["N"] * (method.n == "one"),
        *{"one": ["C"], "group": ["G"], "all": []}[method.c],
        *[a for a in positions if method.spatial == "one"],
    ]
    return {
        "words": f"{place[0].upper()}{place[1:]} share one {what}.",
        "symbol": ", ".join(conditions),
        "statistics": f"({letters[0]},)" if len(letters) == 1 else f"({', '.join(letters)})",
        "caution": CAUTIONS.get(method.name, ""),
    }


def code(
    method: Method,
    shape: Sequence[int],
    *,
    eps: float,
    channel_axis: int = 1,
    affine: bool | Collection[str],
    elementwise: bool = False,
    mode: str = "train",
) -> dict[str, str]:
    """Return the same normalization as source code in PyTorch, NumPy, JAX/Flax and Keras.

    Parameters
    ----------
    method
        A row of METHODS.
    shape
        (N, C, *spatial), whatever channel_axis is.
    channel_axis
        Where C is in the `x` that the code takes.
    affine
        Whether arrays `weight` and `bias` are there to scale and shift; or the names of those that are.
    elementwise
        Whether they have the shape of one sample instead of (C,).
    mode
        "train", or "eval": by the arrays `running_mean` and `running_var` of Batch Norm.

    Returns
    -------
    dict
        Source by framework; "{G}" stands where the number of groups goes, and nowhere else.
    """
    given = (("weight", "bias") if affine else ()) if isinstance(affine, bool) else affine
    choice = Choice(
        method,
        tuple(shape),
        float(eps),
        channel_axis % len(shape),
        tuple(p for p in ("weight", "bias") if p in given),
        elementwise,
        mode == "eval",
    )
    writers = {"PyTorch": pytorch, "NumPy": numpy, "JAX/Flax": flax, "Keras": keras}
    return {name: "\n".join(writer(choice)) for name, writer in writers.items()}


@dataclass(frozen=True)
class Choice:
    """What the code is to do."""

    method: Method
    shape: tuple[int, ...]
    eps_value: float
    axis: int
    given: tuple[str, ...]
    elementwise: bool
    evaluating: bool
    rank: int = field(init=False)
    C: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", len(self.shape))
        object.__setattr__(self, "C", self.shape[1])

    @property
    def eps(self) -> str:
        return repr(self.eps_value).replace("e-0", "e-")

    @property
    def cells(self) -> int:
        """Cells of one channel of one sample."""
        return math.prod(self.shape[2:])

    @property
    def last(self) -> bool:
        return self.axis == self.rank - 1

    def laid_out(self, items: Sequence, axis: int) -> list:
        """(N, C, *spatial) put into the order that has C at `axis`."""
        n, c, *spatial = items
        order = [n, *spatial]
        order.insert(axis, c)
        return order

    def layout(self, axis: int) -> str:
        return f"({', '.join(self.laid_out('NC' + SPATIAL[self.rank], axis))})"

    @property
    def header(self) -> str:
        return f"# x: {self.layout(self.axis)} = {tuple(self.laid_out(self.shape, self.axis))}"

    def along(self, name: str) -> str:
        """A parameter of shape (C,) so that it broadcasts along x's channel axis."""
        after = self.rank - 1 - self.axis
        if not after or self.elementwise:
            return name
        return f"{name}.reshape({', '.join([str(self.C), *['1'] * after])})"


def call(start: str, *arguments: str) -> list[str]:
    """`start(arguments)`, on one line where it fits, else with the arguments on lines of their own."""
    arguments = tuple(a for a in arguments if a)
    whole = f"{start}({', '.join(arguments)})"
    if len(whole) <= WIDTH:
        return [whole]
    lines = [""]
    for argument in arguments:
        if lines[-1] and len(lines[-1]) + len(argument) + 6 > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else '    '}{argument},"
    return [f"{start}(", *lines, ")"]


# --- NumPy, and whatever has no layer for it: the recipe by hand ---------------------------------------------------------


def numpy(choice: Choice) -> list[str]:
    """NumPy has no layers, so the recipe itself."""
    return [
        "import numpy as np",
        "",
        choice.header,
        "x = np.asarray(x, dtype=np.float64)",
        *by_hand(choice, "np", lambda f, axes: f"{f}(axis={axes}, keepdims=True)"),
    ]


def by_hand(choice: Choice, module: str, reduce) -> list[str]:
    """View x by blocks, reduce, normalize: one recipe for every row of the table."""
    method = choice.method
    grouped = method.c == "group"
    names = choice.laid_out(["n", "c", *["spatial"] * (choice.rank - 2)], choice.axis)
    lengths = [str(n) for n in choice.laid_out(["-1", *choice.shape[1:]], choice.axis)]
    if grouped:  # The channel axis becomes two, (G, C/G), and the second one is pooled.
        lengths[choice.axis : choice.axis + 1] = [GROUPS, f"{choice.C} // {GROUPS}"]
        names[choice.axis : choice.axis + 1] = ["G", "c"]
    pooled = [k for k, name in enumerate(names) if getattr(method, name, "one") in ("all", "group")]
    axes = str(pooled[0]) if len(pooled) == 1 else f"({', '.join(map(str, pooled))})"
    z = "z" if grouped else "x"
    lines = [f"z = x.reshape({', '.join(lengths)})"] if grouped else []
    if choice.evaluating:
        lines += [f"mean = {choice.along('running_mean')}", f"var = {choice.along('running_var')}"]
        lines += [f"y = (x - mean) / {module}.sqrt(var + {choice.eps})"]
    elif not method.centered:
        lines += [f"square = {reduce('(x**2).mean', axes)}", f"y = x / {module}.sqrt(square + {choice.eps})"]
    elif not pooled:
        lines += ["y = x - x  # every set is one cell, its own mean"]
    else:
        lines += [
            f"mean = {reduce(f'{z}.mean', axes)}",
            f"var = {reduce(f'{z}.var', axes)}  # biased",
            f"y = ({z} - mean) / {module}.sqrt(var + {choice.eps})",
        ]
    lines += ["y = y.reshape(x.shape)"] if grouped else []
    return lines + scale_and_shift(choice)


def scale_and_shift(choice: Choice) -> list[str]:
    """Weight and bias by hand, in x's own layout."""
    return [f"y = y {'*' if name == 'weight' else '+'} {choice.along(name)}" for name in choice.given]


# --- PyTorch ---------------------------------------------------------------------------------------------------------------


def pytorch(choice: Choice) -> list[str]:
    """PyTorch's layer, channels on axis 1 but for the layers that normalize the last axes."""
    lines = ["import torch", "", choice.header, "x = torch.as_tensor(x).float()"]
    row = pytorch_layer(choice)
    if row is None:
        if choice.given:
            lines += [f"{name} = torch.as_tensor({name})" for name in choice.given]
        lines += by_hand(choice, "torch", torch_reduce)
        return [*lines, *pytorch_refuses(choice)]
    constructor, axis, notes = row
    lines += moved(choice, axis, "x = x.movedim({0}, {1})  # {2}")
    lines += constructor
    copies = [name for name in choice.given if not (name == "bias" and choice.method.name == "rms")]
    copies += ["running_mean", "running_var"] if choice.evaluating else []
    if copies:
        lines.append("with torch.no_grad():")
        lines += [f"    norm.{name}.copy_(torch.as_tensor({name}))" for name in copies]
    lines += ["norm.eval()"] if choice.evaluating else []
    lines.append("y = norm(x)")
    if choice.method.name == "rms" and "bias" in choice.given:
        lines.append("y = y + torch.as_tensor(bias)  # RMSNorm has none")
    lines += moved(choice, axis, "y = y.movedim({1}, {0})")
    return lines + notes


def torch_reduce(function: str, axes: str) -> str:
    correction = "correction=0, " if function.endswith("var") else ""
    return f"{function}({axes}, {correction}keepdim=True)"


def pytorch_layer(choice: Choice) -> tuple[list[str], int | None, list[str]] | None:
    """The layer's constructor, the channel axis it wants (None: any), and what to know; None if it refuses this x."""
    N, C, cells, eps = choice.shape[0], choice.C, choice.cells, f"eps={choice.eps}"
    dims = max(choice.rank - 2, 1)
    nn = "norm = torch.nn."
    off = "" if choice.given else "affine=False"
    name = choice.method.name
    if name == "batch" and (choice.evaluating or N * cells > 1):
        notes = ["# By default eps=1e-5, momentum=0.1; running_var is unbiased."]
        return call(f"{nn}BatchNorm{dims}d", str(C), eps, off), 1, [] if choice.evaluating else notes
    if name == "layer" and (not choice.given or choice.elementwise):
        inner = choice.laid_out(choice.shape, choice.axis)[1:]
        off = "" if choice.given else "elementwise_affine=False"
        notes = [f"# Its default affine has shape {tuple(inner)}, one an", "# element; transformers use LayerNorm(C)."]
        return call(f"{nn}LayerNorm", str(inner), eps, off), None, notes
    if name == "layer" and N * C * cells > 1:
        notes = ["# LayerNorm([C, ...]) has the same statistics, but weight", "# and bias one an element, not one a channel."]
        return call(f"{nn}GroupNorm", "1", str(C), eps), 1, notes
    if name == "instance" and cells > 1:
        notes = ["# By default no affine and no running statistics."]
        return call(f"{nn}InstanceNorm{dims}d", str(C), eps, "affine=True" if choice.given else ""), 1, notes
    if name == "group" and N * cells > 1:
        notes = ["# By default eps=1e-5, and an affine per channel."]
        return call(f"{nn}GroupNorm", GROUPS, str(C), eps, off), 1, notes
    off = "" if choice.given else "elementwise_affine=False"
    if name == "positional":
        notes = ["# The layer norm of transformers and ConvNeXt."]
        return call(f"{nn}LayerNorm", str(C), eps, off), choice.rank - 1, notes
    if name == "rms":
        notes = ["# By default eps=None: 1.2e-7, the dtype's own step."]
        return call(f"{nn}RMSNorm", str(C), eps, off), choice.rank - 1, notes
    return None


def pytorch_refuses(choice: Choice) -> list[str]:
    layer = {"batch": "BatchNorm", "instance": "InstanceNorm", "group": "GroupNorm", "layer": "GroupNorm"}
    if choice.method.name not in layer:
        return []
    return [f"# torch.nn.{layer[choice.method.name]} refuses sets of one cell."]


def moved(choice: Choice, axis: int | None, line: str) -> list[str]:
    """The line that moves the channels, if they have to be moved."""
    if axis is None or axis == choice.axis:
        return []
    before, after = (a if a != choice.rank - 1 else -1 for a in (choice.axis, axis))
    return [line.format(before, after, choice.layout(axis))]


# --- JAX with Flax (nnx) ---------------------------------------------------------------------------------------------------


def flax(choice: Choice) -> list[str]:
    """Flax's nnx layer, channels last."""
    method, C, last = choice.method, choice.C, choice.rank - 1
    layer, options, notes = {
        "batch": (
            "BatchNorm",
            [f"use_running_average={choice.evaluating}"],
            ["# By default epsilon=1e-5; momentum=0.99 is PyTorch's 0.01."],
        ),
        "layer": (
            "LayerNorm",
            [f"reduction_axes={tuple(range(1, choice.rank))}" if last > 1 else ""],
            ["# By default epsilon=1e-6, over the channels alone."],
        ),
        "instance": ("InstanceNorm", [], ["# By default epsilon=1e-6, and an affine per channel."]),
        "group": ("GroupNorm", [f"num_groups={GROUPS}"], ["# By default epsilon=1e-6, num_groups=32."]),
        "positional": ("LayerNorm", [], ["# By default epsilon=1e-6, as here over the last axis."]),
        "rms": ("RMSNorm", [], ["# By default epsilon=1e-6; it has no bias."]),
    }[method.name]
    by_layer = () if choice.elementwise else choice.given
    by_layer = tuple(name for name in by_layer if not (name == "bias" and method.name == "rms"))
    off = [
        "" if "weight" in by_layer else "use_scale=False",
        "" if "bias" in by_layer or method.name == "rms" else "use_bias=False",
    ]
    fast = "use_fast_variance=False" if method.centered else ""
    lines = ["import jax.numpy as jnp", "from flax import nnx", "", choice.header]
    lines.append("x = jnp.asarray(x, dtype=jnp.float32)")
    lines += moved(choice, last, "x = jnp.moveaxis(x, {0}, {1})  # Flax: {2}")
    lines += call(f"norm = nnx.{layer}", str(C), *options, f"epsilon={choice.eps}", *off, fast, "rngs=nnx.Rngs(0)")
    attribute = {"weight": "scale", "bias": "bias"}
    lines += [f"norm.{attribute[name]} = nnx.Param(jnp.asarray({name}))" for name in by_layer]
    if choice.evaluating:
        lines += [f"norm.{name} = nnx.BatchStat(jnp.asarray(running_{name}))" for name in ("mean", "var")]
    lines.append("y = norm(x)")
    if method.name == "rms" and "bias" in choice.given:
        lines.append("y = y + jnp.asarray(bias)  # RMSNorm has none")
    lines += moved(choice, last, "y = jnp.moveaxis(y, {1}, {0})")
    if choice.elementwise:
        lines += scale_and_shift(choice)
    fast_note = ["# Its fast variance, the default, is E[x^2] - E[x]^2."] if fast else []
    return lines + ([] if choice.evaluating else notes + fast_note)


# --- Keras 3 ---------------------------------------------------------------------------------------------------------------


def keras(choice: Choice) -> list[str]:
    """Keras's layer, channels last."""
    method, last = choice.method, choice.rank - 1
    name = method.name
    if name == "layer" and choice.given and not choice.elementwise:
        name = "layer, per channel"
    usual = "# By default epsilon=1e-3"
    layer, options, notes = {
        "batch": ("BatchNormalization", [], [f"{usual}; momentum=0.99 is PyTorch's 0.01."]),
        "layer": (
            "LayerNormalization",
            [f"axis={list(range(1, choice.rank))}" if last > 1 else ""],
            [f"{usual}, axis=-1: the channels alone."],
        ),
        "layer, per channel": (
            "GroupNormalization",
            ["1"],
            ["# LayerNormalization has the same statistics, but weight", "# and bias one an element, not one a channel."],
        ),
        "instance": ("GroupNormalization", ["-1"], ["# Keras has no Instance Norm: -1 is a group a channel."]),
        "group": ("GroupNormalization", [GROUPS], [f"{usual}, groups=32."]),
        "positional": ("LayerNormalization", [], [f"{usual}, as here over the last axis."]),
        "rms": ("RMSNormalization", [], ["# By default epsilon=1e-6; it has no bias."]),
    }[name]
    by_layer = () if choice.elementwise else choice.given
    by_layer = tuple(p for p in by_layer if not (p == "bias" and name == "rms"))
    off = [] if name == "rms" else ["" if "weight" in by_layer else "scale=False", "" if "bias" in by_layer else "center=False"]
    lines = ["import keras", "", choice.header, 'x = keras.ops.convert_to_tensor(x, dtype="float32")']
    lines += moved(choice, last, "x = keras.ops.moveaxis(x, {0}, {1})  # {2}")
    lines += call(f"norm = keras.layers.{layer}", *options, f"epsilon={choice.eps}", *off)
    attribute = {
        "weight": "scale" if name == "rms" else "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    assigned = [*by_layer, *(["running_mean", "running_var"] if choice.evaluating else [])]
    if assigned:
        lines += ["norm.build(x.shape)", *(f"norm.{attribute[p]}.assign({p})" for p in assigned)]
    lines.append(f"y = norm(x, training={not choice.evaluating})" if name == "batch" else "y = norm(x)")
    if name == "rms" and "bias" in choice.given:
        lines.append("y = y + keras.ops.convert_to_tensor(bias)  # RMS has none")
    lines += moved(choice, last, "y = keras.ops.moveaxis(y, {1}, {0})")
    if choice.elementwise:
        lines += scale_and_shift(choice)
    return lines + ([] if choice.evaluating else notes)
