"""Models that are no torch modules: any callable on arrays, its output, and what probe measures of the norms named."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order
from normviz.core.array_kinds import host, is_bfloat16, kind
from normviz.core.errors import brief
from normviz.core.pooling import canonical
from normviz.inspect._call import Forward, Refusal, hand_over, take_back
from normviz.inspect._snapshot import first_line, is_array, restore_after
from normviz.inspect.audit.tensors import leaves
from normviz.inspect.compare.layer_diff import broadcast_difference, parameter_in_words, pools_in_words, tolerance_of
from normviz.inspect.compare.matching import match, relative, same_partition
from normviz.inspect.compare.recording import LayerUse
from normviz.inspect.probe.probe import probe
from normviz.inspect.probe.report import Probe

MOST_PROBED = 2**15
"""Cells of an input up to which a layer is probed, which takes some 30 calls."""
WEIGHT_DIFFERS = 1e-3
"""A relative difference above this of two measured weights is more than the error of measuring them."""


def is_module(model: Any) -> bool:
    """Whether a model is a torch module, whose layers can be observed."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def output_of(fn: Callable, example: Any, who: str) -> tuple[np.ndarray, str, str]:
    """Return the first array that a callable returns for the example, its dtype, and the framework of what fn took.

    The arrays of the example go in as those of the framework that fn takes, in their own dtypes. fn is left as it was.
    """
    refusals: list[Exception] = []
    torch = sys.modules.get("torch")
    with restore_after(fn) as snapshot:
        for framework in Forward(fn, snapshot).frameworks():
            snapshot.restore()
            try:
                given = as_arrays_of(framework, example)
                kwargs = given if isinstance(given, dict) else {}
                args = () if kwargs else given if isinstance(given, tuple) else (given,)
                with torch.no_grad() if torch is not None else nullcontext(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    y = fn(*args, **kwargs)
            except Exception as error:  # whatever it raises on arrays of another framework
                refusals.append(error)
                continue
            found = next((leaf for leaf in leaves(y) if is_array(leaf) or hasattr(leaf, "__array__")), None)
            if found is None:
                raise TypeError(f"{who} returned a {type(y).__name__} without an array in it; return the output")
            dtype = "bfloat16" if is_bfloat16(found) else str(found.dtype).removeprefix("torch.")
            return take_back(found), dtype, framework
    error = refusals[0]
    shapes = ", ".join(str(tuple(leaf.shape)) for leaf in leaves(example) if is_array(leaf))
    what = f"{who} raised {type(error).__name__} on an example of shape {shapes}: {first_line(error)}"
    raise ValueError(f"{what}; give an example that it takes") from error


def as_arrays_of(framework: str, value: Any) -> Any:
    """Return a copy of an example with its arrays as those of a framework, in their own dtypes."""
    if is_array(value):
        if kind(value) == framework:
            return value.clone() if framework == "torch" else value.copy()
        dtype = "bfloat16" if is_bfloat16(value) else str(value.dtype).removeprefix("torch.")
        return hand_over(host(value), framework, "float32" if (dtype, framework) == ("bfloat16", "numpy") else dtype)
    if isinstance(value, Mapping):
        return {k: as_arrays_of(framework, v) for k, v in value.items()}
    return type(value)(as_arrays_of(framework, v) for v in value) if type(value) in (tuple, list) else value


def compare_outputs(a: np.ndarray, b: np.ndarray, tolerance: float) -> tuple[float, str]:
    """Return the relative difference of two outputs, whose axes may be in another order, and a remark on the layout."""
    difference = relative(a, b)
    if difference <= tolerance:
        return difference, ""
    if a.shape == b.shape and np.isinf(difference):
        return difference, "One output has NaN or infinite numbers where the other has none."
    found = match(a, b, tolerance)
    if a.shape == b.shape:
        return difference, "" if found.why else "The outputs hold the same numbers in another order."
    shapes = f"a returns shape {a.shape}, b {b.shape}"
    if a.size != b.size:
        return difference, f"The outputs have other shapes: {shapes}."
    # The axes of b may be those of a in another order; then no other reading is meant.
    orders = [p for p in permutations(range(a.ndim)) if tuple(a.shape[i] for i in p) == b.shape]
    if orders:
        each = {p: relative(a.transpose(p), b) for p in orders}
        best = min(each, key=each.__getitem__)
        if each[best] <= tolerance:
            return each[best], f"The axes of the output of b are those of a in the order {best}."
        if relative(a.reshape(-1), b.reshape(-1)) <= tolerance:
            return each[best], f"The outputs hold the same numbers: b is a reshaped, not transposed ({shapes})."
        return each[best], f"The axes of the output of b were taken for those of a in the order {best}."
    if not found.why and found.clear is None:
        return found.difference, f"The outputs hold the same numbers in other shapes: {shapes}."
    return np.inf, f"The outputs have other shapes: {shapes}, and no order of the axes makes one the other."


@dataclass(frozen=True)
class NamedNorm:
    """A norm that the caller names: how to call it, on which shape, and where its channels are."""

    name: str  # its name in texts
    fn: Callable
    shape: tuple[int, ...] | None = None
    channel_axis: int | None = None
    framework: str | None = None  # None: it is to be found out


def named_norm(given: Any, who: str, framework: str | None) -> NamedNorm:
    """Return the norm that a callable, or (callable, shape), or (callable, shape, channel_axis) stands for."""
    fn, *more = given if isinstance(given, tuple) else (given,)
    if not callable(fn) or len(more) > 2:
        remedy = "give a layer's name in a torch model, a callable on arrays, or (callable, shape, channel_axis)"
        raise TypeError(f"norms: {brief(given)} does not name a norm of {who}; {remedy}")
    shape, axis = (*more, None, None)[:2]
    name = getattr(fn, "__name__", type(fn).__name__)
    name = "the norm" if name == "<lambda>" else name
    return NamedNorm(name, fn, None if shape is None else tuple(shape), axis, framework)


def measure(a: NamedNorm, b: NamedNorm, last: bool) -> tuple[list[str], list[Probe]]:
    """Probe two norms on one shape, and return sentences on what differs, and both results.

    `last`: where nothing says otherwise, the channels of a function are taken to be on the last axis, not on axis 1.
    """
    known = next(((n.shape, n.channel_axis or 1) for n in (a, b) if n.shape is not None), ((4, 8, 6, 6), 1))
    per_axis = canonical(np.empty(known[0], np.int8), known[1]).shape
    found: list[list[Probe]] = []
    for m, norm in (("a", a), ("b", b)):
        axes = [-1, 1] if last else [1, -1]
        if norm.channel_axis is not None or len(per_axis) < 3:
            axes = [norm.channel_axis or 1]
        probes, problem = [], ""
        # The framework of the port comes first: a layout that does not fit would be tried in every one.
        for framework in dict.fromkeys((norm.framework, None)):
            for axis in axes if not probes else ():
                shape = norm.shape or native_order(per_axis, axis)
                try:
                    probes.append(probe(norm.fn, shape, channel_axis=axis, framework=framework))
                except (TypeError, ValueError) as error:
                    problem = problem or str(error)
        if not probes:
            return [f"The norm of {m} could not be measured: {problem}"], []
        found.append(probes)
    # Where nobody says on which axis the channels are, the layouts in which the two are most alike are meant.
    ways = [(differences_of(p, q), p, q) for p in found[0] for q in found[1]]
    texts, p, q = min(ways, key=lambda way: len(way[0]))
    measured = [f"Measured of {n.name} in {m}: {_summary(x)}." for m, n, x in (("a", a, p), ("b", b, q))]
    subject = a.name if a.name == b.name else f"{a.name} / {b.name}"
    told = [f"{subject}{' ' if text.startswith(('pools', 'takes')) else ': '}{text}." for text in texts]
    told = told or _directly((a, p), (b, q), subject)
    for m, norm, x in (("a", a, p), ("b", b, q)):
        if norm.channel_axis is None and len(per_axis) > 2:
            how = "if they are elsewhere, give (callable, shape, channel_axis)"
            told.append(f"The channels in {m} were taken to be on axis {x.channel_axis}; {how}.")
    return measured + told, [p, q]


def _directly(a: tuple[NamedNorm, Probe], b: tuple[NamedNorm, Probe], subject: str) -> list[str]:
    """Return sentences on two norms of which probe measures no difference: on their outputs for the same input."""
    unknown = [f"{subject}: {text}." for text in not_measured(a[1], b[1])]
    shapes = {canonical(np.empty(p.shape, np.int8), p.channel_axis).shape for _, p in (a, b)}
    untold = "No other difference between the two norms could be measured."
    if len(shapes) > 1:
        return [*unknown, untold]
    ordinary, difference = np.random.default_rng(0).normal(0.5, 2, shapes.pop()), 0.0
    for x in (ordinary, ordinary * 1e-3):  # eps shows in small numbers
        outputs = []
        for norm, p in (a, b):
            with restore_after(norm.fn) as snapshot, np.errstate(all="ignore"):
                forward = Forward(norm.fn, snapshot, channel_axis=p.channel_axis, framework=p.framework)
                try:
                    outputs.append(forward.start(x))
                except Refusal:
                    return [*unknown, untold]
        difference = max(difference, relative(*outputs))
    if difference > 10 * tolerance_of(a[1].dtype, b[1].dtype):
        return [f"{subject}: for the same input their outputs differ by {difference:.2g} (relative).", *unknown]
    return ["The two norms give the same output for the same input, so the cause is somewhere else."]


def not_measured(a: Probe, b: Probe) -> list[str]:
    """Return what probe could measure in one of two norms alone, in words."""
    texts = []
    for name, in_words in (
        ("centered", lambda p: f"what is subtracted is {'the mean' if p.centered else 'nothing'}"),
        ("unbiased", lambda p: f"the divisor of the sum of squares is {'|S| - 1' if p.unbiased else '|S|'}"),
        ("eps", lambda p: f"eps is {p.eps:.4g}"),
        ("eps_inside", lambda p: f"eps is {'inside' if p.eps_inside else 'outside'} the root"),
        ("affine", lambda p: f"weight and bias: {'none' if p.affine == 'none' else 'one for each ' + p.affine}"),
    ):
        for m, p, n, other in (("a", a, "b", b), ("b", b, "a", a)):
            if getattr(p, name) is None and getattr(other, name) is not None:
                texts.append(f"{in_words(other)} in {n}, and could not be measured in {m}")
    return texts


def measured(name: str, m: str, module: Any, use: LayerUse) -> list[str]:
    """Return a sentence on what probe measures of a layer whose settings do not explain its output."""
    shape = native_order(use.input_shape, use.channel_axis)
    if not callable(module) or math.prod(shape) > MOST_PROBED or not 2 <= len(shape) <= 5:
        return []
    try:
        return [f"Measured of {name} in {m}: {_summary(probe(module, shape, channel_axis=use.channel_axis))}."]
    except (TypeError, ValueError):  # it takes something else, or only numbers that probe does not give it
        return []


def _summary(p: Probe) -> str:
    if p.elementwise:
        return "no sets, as each output depends on its own input alone"
    sets = p.sets_in_words() or f"no sets, as {p.undetermined.get('labels', 'none were found')}"
    parts = [sets, p.form and f"it gives {p.form}"]
    if p.eps is not None:
        parts.append(f"eps is {p.eps:.4g}" + ("" if not p.eps or p.eps_inside else ", outside the root"))
    return "; ".join(filter(None, parts))


def differences_of(a: Probe, b: Probe) -> list[str]:
    """Return what differs between two measured norms, in words."""
    fixed = [m for m, p in (("a", a), ("b", b)) if p.elementwise]
    if len(fixed) == 1:
        return [f"takes no statistics of its input in {fixed[0]}, as in eval mode"]
    texts = []
    labels = [canonical(p.labels, p.channel_axis) for p in (a, b) if p.labels is not None]
    if len(labels) == 2:
        text = pools_in_words(*labels)
        others = labels[0].shape == labels[1].shape and not same_partition(*(x.reshape(-1) for x in labels))
        texts += [text] if others or "both" not in text else []
    for name, subject, yes, no in (
        ("centered", "what is subtracted", "the mean", "nothing"),
        ("unbiased", "the divisor of the sum of squares", "|S| - 1", "|S|"),
        ("eps_inside", "eps", "inside the root", "outside the root"),
    ):
        x, y = getattr(a, name), getattr(b, name)
        if None not in (x, y) and x != y:
            texts.append(f"{subject} is {yes if x else no} in a and {yes if y else no} in b")
    if a.form and b.form and a.form != b.form and a.centered == b.centered:
        texts.append(f"a gives {a.form}, b {b.form}")
    if a.eps is not None and b.eps is not None and not math.isclose(a.eps, b.eps, rel_tol=0.05):
        texts.append(f"eps is {a.eps:.4g} in a and {b.eps:.4g} in b")
    if a.affine and b.affine:
        for name, default in (("weight", 1.0), ("bias", 0.0)):
            x, y = (np.reshape(default if getattr(p, name) is None else getattr(p, name), -1) for p in (a, b))
            if (by := broadcast_difference(x, y, 1.0)) > WEIGHT_DIFFERS:
                texts.append(parameter_in_words(name, by, x, y, WEIGHT_DIFFERS))
    return texts
