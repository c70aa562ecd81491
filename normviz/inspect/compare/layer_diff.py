"""Two layers, one of each model: which settings differ, and by how much their numbers do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order
from normviz.core.methods import METHODS
from normviz.inspect.audit.torch_norms import LOCAL, OTHER
from normviz.inspect.compare.matching import Match, match, relative, same_partition
from normviz.inspect.compare.recording import UNKNOWN, LayerUse
from normviz.inspect.probe.sets import block_of, number

OTHER_ORDER = "{} is the same in a and b, but the order of its input differs"
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 5e-3, "bfloat16": 5e-2}
EPS_DIFFERS, FITTED_EPS_DIFFERS = 1e-3, 0.1
"""Relative differences of eps above this are a setting; an eps found from an output is less exact."""


@dataclass(frozen=True, eq=False)
class SettingDifference:
    """One setting in which two layers differ.

    `what` is "kind", "num_groups", "block", "input_shape", "eps", "mode", "momentum", "running", "running_mean",
    "running_var", "affine", "weight" or "bias"; a and b are the two values.
    """

    what: str
    a: Any
    b: Any
    message: str  # both as a text
    acts: bool = True  # whether it can change an output or a state in the mode that the models are in

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, eq=False)
class LayerPair:
    """A layer of model_a and its counterpart in model_b.

    Attributes
    ----------
    a, b
        The two, as LayerUse.
    differences
        The settings that differ, a tuple of SettingDifference.
    input_difference, output_difference
        Root mean square of the difference over that of the numbers, each cell of a against the cell of b that holds the
        same input, whatever the layouts; infinite where shapes differ and the inputs are not the same numbers; None
        where a tensor has no values to read.
    tolerance
        Larger differences are more than rounding.
    unmatched
        Why it is not known which cell of a is which of b; "" if it is known.
    pools
        How many cells the two pool, in words, where the sets differ; "" elsewhere.
    """

    a: LayerUse
    b: LayerUse
    differences: tuple[SettingDifference, ...]
    input_difference: float | None
    output_difference: float | None
    tolerance: float
    unmatched: str = ""
    pools: str = ""

    @property
    def name(self) -> str:
        """The name, or both where they differ."""
        return self.a.name if self.a.name == self.b.name else f"{self.a.name} / {self.b.name}"

    @property
    def matched(self) -> bool:
        """Whether both get the same numbers, in any shape and order."""
        return not self.unmatched

    @property
    def input_parts(self) -> bool:
        """Whether the inputs differ by more than rounding."""
        return (self.input_difference or 0.0) > self.tolerance

    @property
    def output_parts(self) -> bool:
        """Whether the outputs differ by more than rounding."""
        return (self.output_difference or 0.0) > self.tolerance


def compare_layers(a: LayerUse, b: LayerUse, tolerance: float | None) -> LayerPair:
    """Compare two uses; the pair does not keep their activations."""
    tolerance = tolerance_of(a.dtype, b.dtype) if tolerance is None else tolerance
    cells, inputs, outputs = Match(np.inf, why="its input has no values that can be read"), None, None
    if a.x is not None and b.x is not None:
        cells = match(a.x, b.x, tolerance)
        inputs = cells.difference
    if a.y is not None and b.y is not None:
        outputs = relative(a.y, b.y) if cells.why else relative(*cells.both(a.y, b.y))
    same_sets = _same_sets(a, b, cells)
    return LayerPair(
        a=a.without_activations(),
        b=b.without_activations(),
        differences=tuple(_differences(a, b, cells, same_sets, tolerance)),
        input_difference=inputs,
        output_difference=outputs,
        tolerance=tolerance,
        unmatched=cells.why,
        pools="" if same_sets is not False else _pools(a, b, cells),
    )


def tolerance_of(*dtypes: str) -> float:
    """Return the relative difference that rounding makes in the coarsest of the dtypes."""
    return max((TOLERANCES.get(d, TOLERANCES["float32"]) for d in dtypes), default=TOLERANCES["float32"])


def _same_sets(a: LayerUse, b: LayerUse, cells: Match) -> bool | None:
    """Whether the two pool the same cells; None if that is not known, or if one takes fixed statistics."""
    if a.labels is None or b.labels is None or not (a.own and b.own):
        return None
    if cells.why:  # in another layout, sets of one size are taken for the same
        of_one_size = np.prod(a.input_shape) == np.prod(b.input_shape) and a.calls == b.calls
        if not of_one_size:
            return None
        same = _sizes(a.labels()) == _sizes(b.labels())
        return None if same and a.input_shape == b.input_shape else same
    if cells.order is None and a.block == b.block and a.calls == b.calls == 1:
        return True
    together = same_partition(*(labels.reshape(-1) for labels in cells.both(a.labels(), b.labels())))
    return together and _sizes(a.labels()) == _sizes(b.labels())


def _sizes(labels: np.ndarray) -> tuple[int, int]:
    counts = np.bincount(labels.reshape(-1))
    return int(counts.min()), int(counts.max())


def pools_in_words(a: np.ndarray, b: np.ndarray, boxes: str = "") -> str:
    """Say how many cells two norms pool, whose sets differ, from the labels of their cells."""
    sizes = [_sizes(labels) for labels in (a, b)]
    in_a, in_b = (f"{low}" if low == high else f"{low} to {high}" for low, high in sizes)
    if sizes[0] == sizes[1]:
        return f"pools {in_a} cells in both, but not the same ones{boxes}"
    return f"pools {in_a} cells in a, {in_b} in b"


def _pools(a: LayerUse, b: LayerUse, cells: Match) -> str:
    labels, boxes = [a.labels(), b.labels()], ""  # type: ignore[misc]
    if not cells.why and cells.clear is None and labels[0].size == labels[1].size:
        in_a = np.empty(labels[0].size, int)
        in_a[slice(None) if cells.order is None else cells.order] = labels[1].reshape(-1)
        blocks = [block_of(number(of)) for of in (labels[0], in_a.reshape(labels[0].shape))]
        shape, *cut = [n and " × ".join(map(str, native_order(n, a.channel_axis))) for n in (a.input_shape, *blocks)]
        words = [
            f"boxes of {block} in {m}" if block else f"no boxes in {m}" for m, block in zip("ab", cut, strict=True)
        ]
        boxes = f": {' and '.join(words)}, as cut out of a's input of {shape}"
    text = pools_in_words(labels[0], labels[1], boxes)
    calls = f" (a calls it {times_in_words(a.calls)}, b {times_in_words(b.calls)})" if a.calls != b.calls else ""
    return text + calls


def times_in_words(calls: int) -> str:
    """Return "once" or, for instance, "3 times"."""
    return "once" if calls == 1 else f"{calls} times"


def _differences(
    a: LayerUse, b: LayerUse, cells: Match, same_sets: bool | None, tolerance: float
) -> Iterator[SettingDifference]:
    by_output = not {"output", "name"}.isdisjoint((a.known_by, b.known_by))
    known = UNKNOWN not in (a.kind, b.kind)
    if known and (a.own or b.own) and not (same_sets and _statistic(a) == _statistic(b)):
        if a.kind != b.kind:
            yield _differs("kind", _method(a), _method(b))
        elif a.num_groups != b.num_groups:
            yield _differs("num_groups", a.num_groups, b.num_groups)
        elif same_sets is False:
            yield SettingDifference("block", a.block, b.block, _pools(a, b, cells))
        elif a.block != b.block and a.input_shape == b.input_shape:
            yield _differs("block", a.block, b.block, "the block of a set")
    if cells.why and a.calls == b.calls and np.prod(a.input_shape) != np.prod(b.input_shape):
        yield _differs("input_shape", a.input_shape, b.input_shape, "the input's shape")
    if a.eps is not None and b.eps is not None and known:
        room = FITTED_EPS_DIFFERS if by_output else EPS_DIFFERS
        if abs(a.eps - b.eps) > room * max(a.eps, b.eps):
            yield _differs("eps", a.eps, b.eps)
    if known and a.own != b.own:
        own = "the batch's own" if "batch" in (a.kind, b.kind) else "the input's own"
        of_a, of_b = (own if use.own else "the running ones" for use in (a, b))
        message = f"statistics are {of_a} in a ({a.mode} mode) and {of_b} in b ({b.mode} mode)"
        yield SettingDifference("mode", a.mode, b.mode, message)
    yield from _running(a, b, cells, tolerance, by_output)
    if not by_output:  # theirs may be used in any way
        yield from affine_differences(a, b, cells, tolerance)


def _statistic(use: LayerUse) -> str:
    return METHODS[use.kind].statistic if use.kind in METHODS else use.kind


def _running(a: LayerUse, b: LayerUse, cells: Match, tolerance: float, by_output: bool) -> Iterator[SettingDifference]:
    """Compare momentum and running statistics."""
    if a.running is None or b.running is None:
        if (a.running is None) != (b.running is None) and a.kind == b.kind and not by_output:
            with_, without = ("a", "b") if b.running is None else ("b", "a")
            message = f"{with_} keeps running statistics and {without} does not"
            yield SettingDifference("running", a.running is not None, b.running is not None, message)
        return
    if a.momentum != b.momentum and not by_output:
        acts = a.own or b.own
        no_effect = "without effect while the running statistics are used"
        why = "it changes only the running statistics" if acts else no_effect
        of_a, of_b = ("cumulative" if use.momentum is None else use.momentum for use in (a, b))
        message = f"momentum is {of_a} in a and {of_b} in b ({why})"
        yield SettingDifference("momentum", a.momentum, b.momentum, message, acts)
    spread = np.sqrt(np.maximum(np.abs(a.running[1]).mean(), 1e-30))  # a mean near 0 is compared with a deviation
    acts = not (a.own and b.own)
    for k, (name, least) in enumerate((("running_mean", spread), ("running_var", 0.0))):
        of_a, of_b = a.running[k], b.running[k]
        in_order = of_a, of_b
        if cells.order is not None and a.x.ndim > 1 < b.x.ndim:  # type: ignore[union-attr]  # channels in another order
            in_order = cells.both(*(_along_channels(v, use) for v, use in ((of_a, a), (of_b, b))))
        by = broadcast_difference(*in_order, least)
        if by > tolerance:
            bad = " and ".join(m for m, v in (("a", of_a), ("b", of_b)) if not np.isfinite(v).all())
            sizes = f"has {len(of_a)} entries in a and {len(of_b)} in b"
            message = f"{name} {f'holds NaN or infinity in {bad}' if bad else sizes}"
            if np.isfinite(by) and relative(of_a, of_b) <= tolerance:
                message = OTHER_ORDER.format(name)
            elif np.isfinite(by):
                message = f"{name} differs by {by:.2g} (relative)"
            yield SettingDifference(name, of_a, of_b, message + ("" if acts else ", not used in this mode"), acts)


def _along_channels(values: np.ndarray, use: LayerUse) -> np.ndarray:
    return np.broadcast_to(values.reshape(1, -1, *[1] * (use.x.ndim - 2)), use.x.shape)  # type: ignore[union-attr]


def affine_differences(a: LayerUse, b: LayerUse, cells: Match, tolerance: float) -> Iterator[SettingDifference]:
    """Compare weights and biases cell by cell; a missing one counts as ones or zeros."""
    weights, biases = (_at_cells(a, b, cells, *row) for row in (("weight", "scale", 1.0), ("bias", "shift", 0.0)))
    if weights is None or biases is None:
        return
    (weight_a, weight_b), (bias_a, bias_b) = weights, biases
    least = 1e-6 + np.sqrt(np.square(weight_a).mean())
    by_weight, by_bias = broadcast_difference(weight_a, weight_b), broadcast_difference(bias_a, bias_b, least)
    swapped = max(broadcast_difference(weight_a, bias_b), broadcast_difference(bias_a, weight_b))
    if max(by_weight, by_bias) > tolerance >= swapped:
        yield SettingDifference("affine", "weight, bias", "bias, weight", "weight and bias are swapped")
        return
    for name, by, at_a, at_b in (("weight", by_weight, *weights), ("bias", by_bias, *biases)):
        of_a, of_b = getattr(a, name), getattr(b, name)
        if by > tolerance:
            message = parameter_in_words(name, by, of_a, of_b, tolerance, reordered=cells.order is not None)
            for m, n, use, more, less in (("a", "b", a, at_a, at_b), ("b", "a", b, at_b, at_a)):
                functional = name == "weight" and use.known_by == "call" and not (of_a is None or of_b is None)
                if functional and broadcast_difference(more, 1 + less) <= tolerance:
                    message = plus_one(m, n)
            yield SettingDifference(name, of_a, of_b, message)
        elif (of_a is None) != (of_b is None):
            with_, without = ("a", "b") if of_b is None else ("b", "a")
            message = f"{with_} learns a {name} and {without} has none (no difference yet)"
            yield SettingDifference("affine", of_a is not None, of_b is not None, message, acts=False)


def plus_one(more: str, less: str) -> str:
    """Say which model multiplies by 1 + weight."""
    return f"{less} multiplies by weight, {more} by 1 + weight"


def _at_cells(
    a: LayerUse, b: LayerUse, cells: Match, name: str, placed: str, default: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the parameter of a and of b in one order; None if it is not known which number is for which cell."""
    flat, spread = ([getattr(use, attribute) for use in (a, b)] for attribute in (name, placed))
    if any(f is not None and s is None for f, s in zip(flat, spread, strict=True)):
        return None
    if cells.why:
        flat = [np.full(1, default) if f is None else f for f in flat]
        return flat[0], flat[1]
    full = [np.full((1,) * use.x.ndim, default) if s is None else s for use, s in zip((a, b), spread, strict=True)]  # type: ignore[union-attr]
    if cells.order is None:
        both = np.broadcast_arrays(*full)
        return both[0], both[1]
    return cells.both(*(np.broadcast_to(p, use.x.shape) for p, use in zip(full, (a, b), strict=True)))  # type: ignore[union-attr]


def parameter_in_words(
    name: str, by: float, a: np.ndarray | None, b: np.ndarray | None, tolerance: float, *, reordered: bool = False
) -> str:
    """Say how weights or biases differ, both flat; `reordered`: a's are for cells that b has in another order."""
    if a is None or b is None:
        return f"{name}: {'none' if a is None else a.size} in a and {'none' if b is None else b.size} in b"
    if a.size != b.size:
        sizes = f"{name} has {a.size} entries in a and {b.size} in b"
        return f"{sizes}, and differs by {by:.2g} (relative)" if np.isfinite(by) else sizes
    if reordered and relative(a, b) <= tolerance:
        return OTHER_ORDER.format(name)
    for m, n, more, less in (("a", "b", a, b), ("b", "a", b, a)):
        if name == "weight" and relative(more, 1 + less) <= tolerance:
            return f"the weight of {m} is 1 more than that of {n} everywhere"
    worst = int(np.abs(a - b).argmax())
    most = f"most at entry {worst}: {a[worst]:.6g} in a and {b[worst]:.6g} in b"
    if relative(np.sort(a), np.sort(b)) <= tolerance:
        return f"{name} has the same entries in another order, {most}"
    return f"{name} differs by {by:.2g} (relative), {most}"


def broadcast_difference(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Return the relative difference, where a single number is compared with all; infinite for other sizes."""
    if a.size != b.size and 1 not in (a.size, b.size):
        return np.inf
    a, b = np.broadcast_arrays(a, b)
    return relative(a, b, least)


def _method(use: LayerUse) -> str:
    if use.kind in (LOCAL, OTHER):
        return "Local Response Norm" if use.kind == LOCAL else "not a plain normalizer"
    return METHODS[use.kind].named(use.num_groups)


def _differs(what: str, a: Any, b: Any, subject: str | None = None) -> SettingDifference:
    of_a, of_b = (f"{v:g}" if isinstance(v, float) else str(v) for v in (a, b))
    return SettingDifference(what, a, b, f"{subject or what} is {of_a} in a and {of_b} in b")
