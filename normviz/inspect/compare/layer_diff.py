"""Two layers, one of each model: which settings differ, and by how much their numbers do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.inspect.audit.torch_norms import LOCAL

TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 5e-3, "bfloat16": 5e-2}
EPS_DIFFERS, FITTED_EPS_DIFFERS = 1e-3, 0.1
"""Relative differences of eps above this are a setting; an eps found from an output is less exact."""


@dataclass(frozen=True, eq=False)
class LayerUse:
    """One use of a normalization layer in one of the models, axes as (N, C, *spatial).

    Attributes
    ----------
    name, type, kind, num_groups, block, input_shape, eps, mode, known_by
        As in `NormLayer`.
    momentum
        The share of the newest batch in the running statistics; None for a cumulative mean, and where there are none.
    weight, bias
        Flat, float64; None where there is none.
    running
        Running mean and variance before the run; None where there are none.
    own
        Whether the input's own statistics were used.
    before
        The module or function that made the input, where it is known.
    dtype
        Of the input.
    x, y
        Input and output during the comparison; None afterwards, and where a tensor has no values to read.
    """

    order: int
    name: str
    type: str
    kind: str
    num_groups: int | None
    block: tuple[int, ...] | None
    input_shape: tuple[int, ...]
    eps: float | None
    momentum: float | None
    running: tuple[np.ndarray, np.ndarray] | None
    own: bool
    mode: str
    known_by: str
    before: str | None
    dtype: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    x: np.ndarray | None = None
    y: np.ndarray | None = None

    def without_activations(self) -> LayerUse:
        """Return this without the input and the output."""
        return replace(self, x=None, y=None)


@dataclass(frozen=True, eq=False)
class SettingDifference:
    """One setting in which two layers differ.

    Attributes
    ----------
    what
        "kind", "num_groups", "block", "input_shape", "eps", "mode", "momentum", "running", "running_mean",
        "running_var", "affine", "weight" or "bias".
    a, b
        The two values.
    message
        Both as a text.
    acts
        Whether it can change an output or a state in the mode that the models are in.
    """

    what: str
    a: Any
    b: Any
    message: str
    acts: bool = True

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
        Root mean square of the difference over that of the numbers; infinite where shapes differ; None where a tensor
        has no values to read.
    tolerance
        Larger differences are more than rounding.
    """

    a: LayerUse
    b: LayerUse
    differences: tuple[SettingDifference, ...]
    input_difference: float | None
    output_difference: float | None
    tolerance: float

    @property
    def name(self) -> str:
        """The name, or both where they differ."""
        return self.a.name if self.a.name == self.b.name else f"{self.a.name} / {self.b.name}"

    @property
    def input_parts(self) -> bool:
        """Whether the inputs differ by more than rounding."""
        return (self.input_difference or 0.0) > self.tolerance

    @property
    def output_parts(self) -> bool:
        """Whether the outputs differ by more than rounding."""
        return (self.output_difference or 0.0) > self.tolerance

    @property
    def acting(self) -> tuple[SettingDifference, ...]:
        """The differences that can change something in this mode."""
        return tuple(d for d in self.differences if d.acts)


def compare_layers(a: LayerUse, b: LayerUse, tolerance: float | None) -> LayerPair:
    """Compare two uses; the pair does not keep their activations."""
    tolerance = tolerance_of(a.dtype, b.dtype) if tolerance is None else tolerance
    return LayerPair(
        a=a.without_activations(),
        b=b.without_activations(),
        differences=tuple(_differences(a, b, tolerance)),
        input_difference=relative_difference(a.x, b.x),
        output_difference=relative_difference(a.y, b.y),
        tolerance=tolerance,
    )


def tolerance_of(*dtypes: str) -> float:
    """Return the relative difference that rounding makes in the coarsest of the dtypes."""
    return max((TOLERANCES.get(d, TOLERANCES["float32"]) for d in dtypes), default=TOLERANCES["float32"])


def relative_difference(a: np.ndarray | None, b: np.ndarray | None) -> float | None:
    """Return the relative difference of two arrays of the models; None if one of them is None."""
    return None if a is None or b is None else relative(a, b)


def relative(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Return the root mean square of a - b over that of the larger of them, in float64; infinite for other shapes.

    >>> relative(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1, relative(np.zeros(2), np.zeros(3))
    (True, inf)
    """
    if a.shape != b.shape:
        return np.inf
    # Along axes that are broadcast in both all numbers are the same, and the mean is that of one.
    once = tuple(slice(0, 1) if s == t == 0 else slice(None) for s, t in zip(a.strides, b.strides, strict=True))
    a, b = a[once], b[once]
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    with np.errstate(all="ignore"):
        difference = np.subtract(a, b, dtype=np.float64)
        off, size_a, size_b = (float(np.sqrt(np.square(t, dtype=np.float64).mean())) for t in (difference, a, b))
        found = off / max(size_a, size_b, least)
    return found if np.isfinite(found) else np.inf


def _differences(a: LayerUse, b: LayerUse, tolerance: float) -> Iterator[SettingDifference]:
    by_output = "output" in (a.known_by, b.known_by)
    if a.kind != b.kind:
        yield _differs("kind", _method(a), _method(b))
    elif a.num_groups != b.num_groups:
        yield _differs("num_groups", a.num_groups, b.num_groups)
    elif a.block != b.block and a.input_shape == b.input_shape:
        yield _differs("block", a.block, b.block, "the block of a set")
    if a.input_shape != b.input_shape:
        yield _differs("input_shape", a.input_shape, b.input_shape, "the input's shape")
    if a.eps is not None and b.eps is not None:
        room = FITTED_EPS_DIFFERS if by_output else EPS_DIFFERS
        if abs(a.eps - b.eps) > room * max(a.eps, b.eps):
            yield _differs("eps", a.eps, b.eps)
    if a.own != b.own and "batch" in (a.kind, b.kind):
        of_a, of_b = ("the batch's own" if use.own else "its running" for use in (a, b))
        message = f"statistics are {of_a} in a ({a.mode} mode) and {of_b} in b ({b.mode} mode)"
        yield SettingDifference("mode", a.mode, b.mode, message)
    yield from _running(a, b, tolerance, by_output)
    if not by_output:  # theirs may be stored under any name
        yield from _affine(a, b, tolerance)


def _running(a: LayerUse, b: LayerUse, tolerance: float, by_output: bool) -> Iterator[SettingDifference]:
    """Compare momentum and running statistics."""
    if a.running is None or b.running is None:
        if (a.running is None) != (b.running is None) and a.kind == b.kind and not by_output:
            with_, without = ("a", "b") if b.running is None else ("b", "a")
            message = f"{with_} keeps running statistics and {without} does not"
            yield SettingDifference("running", a.running is not None, b.running is not None, message)
        return
    if a.momentum != b.momentum:
        acts = a.own or b.own
        why = "it moves the running statistics alone"
        if not acts:
            why = "without effect while the running statistics are used"
        of_a, of_b = ("cumulative" if use.momentum is None else use.momentum for use in (a, b))
        message = f"momentum is {of_a} in a and {of_b} in b ({why})"
        yield SettingDifference("momentum", a.momentum, b.momentum, message, acts)
    spread = np.sqrt(np.maximum(np.abs(a.running[1]).mean(), 1e-30))  # a mean near 0 is compared with a deviation
    acts = not (a.own and b.own)
    for k, (name, least) in enumerate((("running_mean", spread), ("running_var", 0.0))):
        of_a, of_b = a.running[k], b.running[k]
        by = _broadcast_difference(of_a, of_b, least)
        if by > tolerance:
            message = f"{name} has {len(of_a)} entries in a and {len(of_b)} in b"
            if np.isfinite(by):
                message = f"{name} differs by {by:.2g} (relative)"
            yield SettingDifference(name, of_a, of_b, message + ("" if acts else ", not used in this mode"), acts)


def _affine(a: LayerUse, b: LayerUse, tolerance: float) -> Iterator[SettingDifference]:
    """Compare weights and biases; a missing one counts as ones or zeros."""
    weight_a, weight_b = (_filled(use.weight, use.bias, 1.0) for use in (a, b))
    bias_a, bias_b = (_filled(use.bias, use.weight, 0.0) for use in (a, b))
    least = 1e-6 + np.sqrt(np.square(weight_a).mean())
    by_weight, by_bias = _broadcast_difference(weight_a, weight_b), _broadcast_difference(bias_a, bias_b, least)
    swapped = max(_broadcast_difference(weight_a, bias_b), _broadcast_difference(bias_a, weight_b))
    if max(by_weight, by_bias) > tolerance >= swapped:
        yield SettingDifference("affine", "weight, bias", "bias, weight", "weight and bias are swapped")
        return
    for name, by in (("weight", by_weight), ("bias", by_bias)):
        of_a, of_b = getattr(a, name), getattr(b, name)
        if by > tolerance:
            yield SettingDifference(name, of_a, of_b, _affine_message(name, by, of_a, of_b))
        elif (of_a is None) != (of_b is None):
            with_, without = ("a", "b") if of_b is None else ("b", "a")
            message = f"{with_} learns a {name} and {without} has none (no difference yet)"
            yield SettingDifference("affine", of_a is not None, of_b is not None, message, acts=False)


def _affine_message(name: str, by: float, a: np.ndarray | None, b: np.ndarray | None) -> str:
    if a is None or b is None:
        return f"{name}: {'none' if a is None else a.size} in a and {'none' if b is None else b.size} in b"
    if a.size != b.size:
        return f"{name} has {a.size} entries in a and {b.size} in b"
    worst = int(np.abs(a - b).argmax())
    return f"{name} differs by {by:.2g} (relative), most at entry {worst}: {a[worst]:.6g} in a and {b[worst]:.6g} in b"


def _filled(values: np.ndarray | None, like: np.ndarray | None, value: float) -> np.ndarray:
    return np.full(1 if like is None else like.shape, value) if values is None else values


def _broadcast_difference(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> float:
    """Return the relative difference, where a single number is compared with all; infinite for other sizes."""
    if a.size != b.size and 1 not in (a.size, b.size):
        return np.inf
    a, b = np.broadcast_arrays(a, b)
    return relative(a, b, least)


def _method(use: LayerUse) -> str:
    if use.kind == LOCAL:
        return "Local Response Norm"
    return METHODS[use.kind].label + (f" with G = {use.num_groups}" if use.num_groups else "")


def _differs(what: str, a: Any, b: Any, subject: str | None = None) -> SettingDifference:
    of_a, of_b = (f"{v:g}" if isinstance(v, float) else str(v) for v in (a, b))
    return SettingDifference(what, a, b, f"{subject or what} is {of_a} in a and {of_b} in b")
