"""Source code for a choice: a framework's own layer, or the calculation written out.

The frameworks and the requirements of their layers are in frameworks.py.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from normviz.core.methods import Method

WIDTH = 62
"""The longest line of code that a panel of 420 px shows without scrolling."""
GROUPS = "{G}"
"""Placeholder for the number of groups, which changes in the browser."""
GROUPS_DIGITS = 4
"""Digits that the line length leaves room for in place of `GROUPS`."""
SPATIAL = {2: "", 3: "L", 4: "HW", 5: "DHW"}
"""Names of the spatial axes, by rank."""
METHOD_NOTES = {"frn": "Then max(y, tau), with a tau for each channel."}
"""Notes on a method for all frameworks."""


@dataclass(frozen=True)
class Choice:
    """The normalization that a snippet computes, of an x of shape (N, C, *spatial).

    Attributes
    ----------
    axis
        The axis of C in the x that the snippet takes, 0 or more.
    eps
        As source.
    given, per_element
        Which of "weight" and "bias" are given, and which of them have the shape of one sample instead of (C,).
    evaluating
        Whether running statistics are used.
    """

    method: Method
    shape: tuple[int, ...]
    axis: int
    eps: str
    given: tuple[str, ...]
    per_element: tuple[str, ...]
    evaluating: bool

    @property
    def rank(self) -> int:
        """How many axes x has."""
        return len(self.shape)

    @property
    def C(self) -> int:
        """The number of channels."""
        return self.shape[1]

    @property
    def positions(self) -> int:
        """Cells of one channel of one sample."""
        return math.prod(self.shape[2:])

    def order(self, items: Sequence, axis: int) -> list:
        """Return items, given as (n, c, *spatial), in the order that has c at `axis`."""
        n, c, *spatial = items
        result = [n, *spatial]
        result.insert(axis, c)
        return result

    def layout(self, axis: int) -> str:
        """Return the layout as text, such as "(N, H, W, C)"."""
        names = ["N", "C", *SPATIAL[self.rank]]
        if self.method.axes == "weights":
            names = ["Cout", "Cin", *(f"k{a}" for a in SPATIAL[self.rank])]
        return f"({', '.join(self.order(names, axis))})"

    @property
    def first(self) -> int:
        """The axis of N."""
        return 0 if self.axis else 1


@dataclass(frozen=True)
class Layer:
    """A framework's layer for a choice.

    Attributes
    ----------
    name, arguments
        Of its constructor; empty arguments are left out.
    axis
        The axis of the channels that it takes; None for any.
    note
        A note on it, one or two lines.
    holds
        Its own names for arrays that the snippet takes; arrays without a name here are applied outside the layer.
    apply
        How it is called.
    """

    name: str
    arguments: Sequence[Any]
    axis: int | None
    note: Sequence[str]
    holds: Mapping[str, str]
    apply: str = "norm(x)"


@dataclass(frozen=True)
class Framework:
    """The spelling of a framework.

    Attributes
    ----------
    imports, convert
        Lines; the last one makes x its own.
    array, shaped, reshape, move, sqrt, mean, var, sum
        Expressions; {} stands for the operand. The first two make an array of the framework.
    prefix
        The module of its layers.
    layer
        Its layer for a choice; None if no layer takes this x.
    fill
        The lines that set the arrays of a layer `norm`, from pairs of its own name and the snippet's.
    notes
        Notes on methods that are written out, mostly that the layer does not take this x.
    """

    imports: Sequence[str]
    convert: str
    array: str
    move: str
    shaped: str
    sqrt: str
    reshape: str = "{}.reshape({})"
    mean: str = "{}.mean(axis={}, keepdims=True)"
    var: str = "{}.var(axis={}, keepdims=True)"
    sum: str = "{}.sum(axis={}, keepdims=True)"
    prefix: str = ""
    layer: Callable[[Choice], Layer | None] = lambda choice: None
    fill: Callable[[Choice, list[tuple[str, str]]], list[str]] = lambda choice, pairs: []
    notes: Mapping[str, str] = field(default_factory=dict)

    def write(self, choice: Choice) -> list[str]:
        """Return the snippet."""
        layer = self.layer(choice)
        # A calculation that is written out needs only the first import, of the arrays.
        imports = self.imports if layer else self.imports[:1]
        header = f"# x: {choice.layout(choice.axis)} = {tuple(choice.order(choice.shape, choice.axis))}"
        lines = [*imports, "", header, self.convert]
        if layer is None:
            notes = [notes[choice.method.name] for notes in (METHOD_NOTES, self.notes) if choice.method.name in notes]
            return [*lines, *self.by_hand(choice), *self.scaled(choice, choice.given), *(f"# {note}" for note in notes)]
        wanted = choice.axis if layer.axis is None else layer.axis
        arrays = [*choice.given, *(["running_mean", "running_var"] if choice.evaluating else [])]
        move = [f"x = {self.moved('x', choice, choice.axis, wanted)}  # {choice.layout(wanted)}"]
        return [
            *lines,
            *(move if wanted != choice.axis else []),
            *call(f"norm = {self.prefix}{layer.name}", layer.arguments),
            *self.fill(choice, [(layer.holds[name], name) for name in arrays if name in layer.holds]),
            f"y = {self.moved(layer.apply, choice, wanted, choice.axis)}",
            *self.scaled(choice, [name for name in choice.given if name not in layer.holds]),
            *(f"# {line}" for line in layer.note if not choice.evaluating),
        ]

    def moved(self, source: str, choice: Choice, start: int, end: int) -> str:
        """Return `source` with its channels moved from axis `start` to `end`."""
        axes = [-1 if axis == choice.rank - 1 else axis for axis in (start, end)]
        return source if start == end else self.move.format(source, *axes)

    def along(self, choice: Choice, name: str) -> str:
        """Return the array called `name`, shaped to broadcast against x in its own layout."""
        source = self.array.format(name)
        if name in choice.per_element:
            return source if choice.axis else f"{source}[:, None]"
        along = choice.method.affine_axis
        after = choice.rank - 1 - (choice.axis if along else choice.first)
        return self.shaped.format(name, ", ".join([str(choice.shape[along]), *"1" * after])) if after else source

    def scaled(self, choice: Choice, names: Sequence[str]) -> list[str]:
        """Return weight and bias written out, in x's own layout."""
        sign = {"weight": "*", "bias": "+"}
        return [f"y = y {sign[name]} {self.along(choice, name)}" for name in names]

    def by_hand(self, choice: Choice) -> list[str]:
        """Return the calculation: view x by blocks, reduce, normalize, without a branch for each method."""
        method = choice.method
        extents = choice.order([method.n, method.c, *[method.spatial] * (choice.rank - 2)], choice.axis)
        lengths = [str(n) for n in choice.order([-1, *choice.shape[1:]], choice.axis)]
        z, view, back = "x", [], []
        if method.has_groups:  # the grouped axis becomes two, such as (G, C/G), and the second one is pooled
            at, inside = (choice.axis, f"{choice.C} // {GROUPS}") if method.grouped_axis else (choice.first, "-1")
            extents[at : at + 1] = ["one", "all"]
            lengths[at : at + 1] = [GROUPS, inside]
            z, view = "z", [f"z = {self.reshape.format('x', ', '.join(lengths))}"]
            back = [f"y = {self.reshape.format('y', '*x.shape')}"]
        pooled = [axis for axis, extent in enumerate(extents) if extent == "all"]
        axes = str(pooled[0]) if len(pooled) == 1 else f"({', '.join(map(str, pooled))})"
        divisor = self.sqrt.format(f"var + {choice.eps}")
        if choice.evaluating:
            mean, var = (self.along(choice, name) for name in ("running_mean", "running_var"))
            return [f"mean = {mean}", f"var = {var}", f"y = (x - mean) / {divisor}"]
        if not method.centered:
            pool = self.sum if method.statistic == "squared norm" else self.mean
            square = pool.format(f"({z}**2)", axes) if pooled else f"{z}**2"
            line = f"y = {z} / {self.sqrt.format(f'square + {choice.eps}')}  # no mean"
            return [*view, f"square = {square}", line, *back]
        if not pooled:  # some frameworks reduce over all axes if none is given
            return ["y = x - x  # every set is one cell, its own mean"]
        mean, var = self.mean.format(z, axes), self.var.format(z, axes)
        line = f"var = {var}  # biased"
        variance = line if len(line) <= WIDTH else f"var = {var}"
        return [*view, f"mean = {mean}", variance, f"y = ({z} - mean) / {divisor}", *back]


def call(start: str, arguments: Sequence[Any]) -> list[str]:
    """Return `start(arguments)`, on one line where it fits, else with the arguments on lines of their own."""
    sources = [str(a) for a in arguments if a != ""]
    whole = f"{start}({', '.join(sources)})"
    if len(whole.replace(GROUPS, "1" * GROUPS_DIGITS)) <= WIDTH:
        return [whole]
    lines = [""]
    for source in sources:
        if lines[-1] and len(f"{lines[-1]} {source},".replace(GROUPS, "1" * GROUPS_DIGITS)) > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else '    '}{source},"
    return [f"{start}(", *lines[:-1], f"{lines[-1][:-1]})"]
