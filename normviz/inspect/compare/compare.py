"""Find the first normalization layer at which two torch models part on one example."""

from __future__ import annotations

import html
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from numbers import Real
from typing import Any

import numpy as np

from normviz.core.errors import brief, check_keywords, unknown
from normviz.inspect.audit.run import ModelRun, NormCall, RunningModule, check_model, materialized, observe
from normviz.inspect.audit.table import html_box, html_table, times
from normviz.inspect.audit.tensors import attribute, copied_values, first_tensor, has_values, short_name, values
from normviz.inspect.audit.torch_norms import Norm
from normviz.inspect.compare.layer_diff import LayerPair, LayerUse, compare_layers, relative_difference, tolerance_of

HEADS = ("a", "b", "kind", "input differs", "output differs", "settings that differ")
MAX_OTHERS = 8
"""Pairs other than the first that a text lists."""


@check_keywords
def compare(
    model_a: Any, model_b: Any, example: Any, *, names: Mapping[str, str] | None = None, tolerance: float | None = None
) -> Comparison:
    """Run two torch models on one example, and find the first normalization layer at which they part.

    Parameters
    ----------
    model_a, model_b
        Two torch.nn.Module, for instance a model and its port; each is run in its present mode, train or eval.
    example
        The input of both: a tensor, a tuple of arguments, or a dict of keyword arguments.
    names
        A layer's name in model_a -> its name in model_b, where they differ.
    tolerance
        The largest difference, relative to the root mean square of the numbers, that counts as rounding. None takes
        it by dtype: 1e-10 for float64, 1e-5 for float32, 5e-3 for float16, 5e-2 for bfloat16.

    Returns
    -------
    Comparison
        `.same`, `.first` (the pair of layers where they part), `.between`, `.pairs`, `.only_a`, `.only_b`.

    Raises
    ------
    TypeError
        If one is not a torch.nn.Module.
    ValueError
        If a model raises on the example, or a name is not that of a normalization layer in the run.

    Notes
    -----
    Layers are paired by name where names agree, and in the order of use otherwise, layers of one kind and number of
    channels first. Both runs start from the same random state. Models, example and random state are left as they
    were. Inputs and outputs of all normalizations are in memory until the two models have been compared.

    Examples
    --------
    >>> import normviz as nv, torch
    >>> ours, port = (torch.nn.Sequential(torch.nn.GroupNorm(2, 8, eps=eps)) for eps in (1e-5, 1e-3))
    >>> found = nv.compare(ours, port, torch.randn(1, 8, 6, 6))
    >>> found.first.name, [str(d) for d in found.first.differences]
    ('0', ['eps is 1e-05 in a and 0.001 in b'])
    """
    models = (model_a, "model_a"), (model_b, "model_b")
    for model, who in models:
        check_model(model, who)
    if not isinstance(names, Mapping | None):
        raise TypeError(f"names is of type {type(names).__name__}; give a dict of a name in model_a -> one in model_b")
    names = names or {}
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance={brief(tolerance)} is not a relative difference; give a number from 0 to below 1")
    a, b = (observe(materialized(model, example, who), example, Recording, who) for model, who in models)
    in_a, in_b = a.in_order(), b.in_order()
    _check_names(names, in_a, "model_a")
    _check_names(names.values(), in_b, "model_b")
    matched = align(in_a, in_b, names)
    paired_a, paired_b = {i for i, _ in matched}, {j for _, j in matched}
    return Comparison(
        pairs=[compare_layers(in_a[i], in_b[j], tolerance) for i, j in matched],
        only_a=[use.without_activations() for i, use in enumerate(in_a) if i not in paired_a],
        only_b=[use.without_activations() for j, use in enumerate(in_b) if j not in paired_b],
        output_difference=relative_difference(a.output, b.output),
        tolerance=tolerance_of(*(use.dtype for use in (*in_a, *in_b))) if tolerance is None else tolerance,
    )


class Recording(ModelRun):
    """A run of a model, with the input and output of each use of a normalization."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.output: np.ndarray | None = None  # the first tensor that the model returned, if it has values to read
        self._layer_uses: dict[int, LayerUse] = {}
        self._activations: dict[int, dict[str, Any]] = {}

    def run(self, call: Callable[[], Any]) -> None:
        """Call the model, and keep its output as well."""

        def keep_output() -> None:
            y = first_tensor(call())
            self.output = None if y is None or not has_values(y) else copied_values(y)

        super().run(keep_output)

    def in_order(self) -> list[LayerUse]:
        """Return the uses in the order of the run."""
        return [self._layer_uses[order] for order in sorted(self._layer_uses)]

    def function(self, func: Callable, name: str, arguments: list[str], args: tuple, kwargs: dict) -> Any:
        """Call one of torch's functions that normalize, and keep its numbers."""
        calls = self.stack[-1].calls if self.stack else []
        known = len(calls)
        y = super().function(func, name, arguments, args, kwargs)
        if len(calls) > known:
            given = dict(zip(arguments, args, strict=False)) | kwargs
            self._keep(calls[-1].order, calls[-1].norm, given["input"], y, given.get("momentum"))
        return y

    def _record(self, name: str, running: RunningModule, norm: Norm, known_by: str, given: Any, x: Any, y: Any) -> None:
        self._keep(running.order, norm, x, y, None)
        super()._record(name, running, norm, known_by, given, x, y)

    def _keep(self, order: int, norm: Norm, x: Any, y: Any, momentum: Any) -> None:
        """Keep copies with axes (N, C, *spatial), so that a port with the channels last can be compared."""
        kept: dict[str, Any] = {"dtype": str(x.dtype).removeprefix("torch."), "momentum": momentum}
        for name, t in (("x", x), ("y", y)):
            if t is not None and has_values(t) and t.numel() == x.numel():
                kept[name] = np.array(np.moveaxis(values(t).reshape(norm.shape), norm.channel_axis, 1))
        self._activations[order] = kept

    def _add(self, name: str, module: Any, norm: Norm, known_by: str, call: NormCall) -> None:
        super()._add(name, module, norm, known_by, call)
        kept, layer = self._activations[call.order], self.layers[name]
        momentum = attribute(module, "momentum", kept["momentum"])
        kept["momentum"] = momentum if norm.running is not None and isinstance(momentum, int | float) else None
        self._layer_uses[call.order] = LayerUse(
            order=call.order,
            name=name,
            type=layer.type,
            block=None if norm.block is None else norm.canonical(norm.block),
            input_shape=norm.canonical(norm.shape),
            mode=layer.mode,
            known_by=known_by,
            before=call.before[0],
            weight=_flat(norm.weight),
            bias=_flat(norm.bias),
            **{k: getattr(norm, k) for k in ("kind", "num_groups", "eps", "running", "own")},
            **kept,
        )


def _flat(tensor: Any) -> np.ndarray | None:
    if tensor is None or not has_values(tensor):
        return None
    return np.array(values(tensor), np.float64).reshape(-1)


def _check_names(names: Iterable[str], uses: Sequence[LayerUse], who: str) -> None:
    known = dict.fromkeys(use.name for use in uses)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"names: {unknown(f'layer of {who}', name, map(short_name, known))}")


def align(a: Sequence[LayerUse], b: Sequence[LayerUse], names: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return which layer of a is which of b: by name, between those by kind and channels, and then by order."""
    keys: list[tuple[Callable[[LayerUse], Hashable], Callable[[LayerUse], Hashable]]] = [
        (lambda use: names.get(use.name, use.name), lambda use: use.name),
        (lambda use: (use.kind, use.input_shape[1:]), lambda use: (use.kind, use.input_shape[1:])),
        (lambda use: use.input_shape[1:], lambda use: use.input_shape[1:]),
    ]
    return _align_by(keys, a, b, 0, 0)


def _align_by(keys: list, a: Sequence[LayerUse], b: Sequence[LayerUse], i: int, j: int) -> list[tuple[int, int]]:
    """Align by the first key, and by the others between the matches; a and b start at i and j of the whole."""
    if not keys:
        return [(i + k, j + k) for k in range(min(len(a), len(b)))]
    (of_a, of_b), *rest = keys
    blocks = SequenceMatcher(None, [of_a(u) for u in a], [of_b(u) for u in b], autojunk=False).get_matching_blocks()
    found, p, q = [], 0, 0
    for block in blocks:  # the last one is empty and stands at the end of both
        found += _align_by(rest, a[p : block.a], b[q : block.b], i + p, j + q)
        found += [(i + block.a + k, j + block.b + k) for k in range(block.size)]
        p, q = block.a + block.size, block.b + block.size
    return found


@dataclass(kw_only=True, eq=False, repr=False)
class Comparison:
    """Where two models part, made by `compare`.

    Attributes
    ----------
    pairs
        A list of LayerPair, in order of use.
    only_a, only_b
        Lists of LayerUse: layers without a counterpart in the other model.
    first
        The first pair at which the numbers part. If all agree, the first with a setting that differs and acts, such as
        an eps far below the variance, or momentum in train mode. None if there is neither.
    between
        If the inputs of `first` part already, the cause is not a normalization layer of both models: then the names of
        the layer before, whose outputs agree, and of `first`. "(input)" and "(output)" stand for the models' ends.
    same
        Whether all numbers agree, no setting that acts differs, and every layer has a counterpart.
    output_difference, tolerance
        Of the models' first output.
    """

    pairs: list[LayerPair]
    only_a: list[LayerUse]
    only_b: list[LayerUse]
    output_difference: float | None
    tolerance: float

    def __post_init__(self) -> None:
        self.first: LayerPair | None = None
        self.between: tuple[str, str] | None = None
        before = "(input)"
        for pair in self.pairs:
            if pair.input_parts or pair.output_parts:
                self.first, self.between = pair, (before, pair.name) if pair.input_parts else None
                break
            before = pair.name
        else:
            if (self.output_difference or 0.0) > self.tolerance:
                self.between = (before, "(output)")
            self.first = next((p for p in self.pairs if p.acting), None) if self.between is None else None
        self.same = self.first is None and self.between is None and not self.only_a and not self.only_b

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._cause(), *self._others()])

    def __repr__(self) -> str:
        where = "the same" if self.same else f"part at {short_name(self.first.name)}" if self.first else "not the same"
        return f"<Comparison of {len(self.pairs)} pairs of layers: {where}>"

    def _repr_html_(self) -> str:
        rows = []
        for p in self.pairs:
            differences = _number(p.input_difference), _number(p.output_difference)
            settings = "; ".join(map(str, p.differences)) or "–"
            cells = (short_name(p.a.name), short_name(p.b.name), p.a.kind, *differences, settings)
            rows.append((cells, "" if p is self.first else None))
        items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in [*self._cause(), *self._others()])
        headline = f"<p><b>{html.escape(self._headline())}</b></p>" + (f"<ul>{items}</ul>" if items else "")
        return html_box(headline + (html_table(HEADS, rows, wide=HEADS[-1]) if rows else ""))

    def _headline(self) -> str:
        if self.same:
            many = f"{len(self.pairs)} pair{'s' * (len(self.pairs) != 1)} of normalization layers"
            return f"The two models agree at {many} and in their output, on this example."
        if self.between:
            before, after = self.between
            start = "the input" if before == "(input)" else f"{short_name(before)}, whose outputs agree,"
            end = "the output"
            if self.first:
                end = f"{short_name(after)}, whose inputs {_differ(self.first.input_difference)}"
            return f"The two models part between {start} and {end}: no normalization layer of both is the cause."
        if self.first and self.first.output_parts:
            p = self.first
            return (
                f"The two models part at {short_name(p.name)}: inputs agree "
                f"(they differ by {_number(p.input_difference)}), outputs differ by {_number(p.output_difference)} "
                f"(relative; {p.tolerance:g} counts as rounding)."
            )
        if self.first:
            return f"All numbers agree on this example, but {short_name(self.first.name)} is set differently."
        return "All numbers that can be compared agree, but not every layer has a counterpart."

    def _cause(self) -> list[str]:
        """Return lines on what differs in the first pair, or before it."""
        p = self.first
        if p is None:
            return [f"  The outputs {_differ(self.output_difference)}."] if self.between else []
        name = short_name(p.name)
        if self.between:
            made = [f"{short_name(use.before)} in {m}" for m, use in (("a", p.a), ("b", p.b)) if use.before]
            return [f"  The input of {name} is made by {' and '.join(made)}."] if made else []
        if p.differences:
            return [f"  {name}: {d}." for d in p.differences]
        if "output" in (p.a.known_by, p.b.known_by):
            return [f"  {name} is known by its output alone, so weight and bias could not be compared."]
        return [f"  No setting of {name} differs: its arithmetic does, or it enlarges a difference of its inputs."]

    def _others(self) -> list[str]:
        lines = [
            f"  Only in {m}: {short_name(use.name)} ({short_name(use.type)}, input {times(use.input_shape)})."
            for m, uses in (("a", self.only_a), ("b", self.only_b))
            for use in uses
        ]
        others = [p for p in self.pairs if p is not self.first and p.differences]
        lines += [f"  Also: {short_name(p.name)}: {'; '.join(map(str, p.differences))}." for p in others[:MAX_OTHERS]]
        if len(others) > MAX_OTHERS:
            lines.append(f"  Also: {len(others) - MAX_OTHERS} more pairs are set differently; see .pairs.")
        return lines


def _differ(value: float | None) -> str:
    return "have other shapes" if value is not None and np.isinf(value) else f"differ by {_number(value)}"


def _number(value: float | None) -> str:
    return "–" if value is None else "0" if value == 0 else "shape" if np.isinf(value) else f"{value:.2g}"
