"""Find the first normalization layer at which two torch models part on one example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order
from normviz.core.errors import brief, check_keywords, unknown
from normviz.inspect.audit.run import materialized, observe
from normviz.inspect.audit.tensors import short_name
from normviz.inspect.compare.cause import causes
from normviz.inspect.compare.comparison import Comparison
from normviz.inspect.compare.layer_diff import tolerance_of
from normviz.inspect.compare.pairing import Pairing
from normviz.inspect.compare.ports import (
    NamedNorm,
    as_arrays_of,
    compare_outputs,
    is_module,
    measure,
    measured,
    named_norm,
    output_of,
)
from normviz.inspect.compare.recording import LayerUse, Recording


@check_keywords
def compare(
    model_a: Any,
    model_b: Any,
    example: Any,
    *,
    names: Mapping[str, str] | None = None,
    tolerance: float | None = None,
    norms: tuple[Any, Any] | None = None,
) -> Comparison:
    """Run two models on one example, and find the first normalization layer at which they part.

    Parameters
    ----------
    model_a, model_b
        A torch.nn.Module and its port, for instance; each is run in its present mode, train or eval. Instead of a
        module also any function of arrays, in NumPy, JAX, Keras or CuPy: then the outputs are compared.
    example
        The input of both: an array, a tuple of arguments, or a dict of keyword arguments. A function of arrays gets
        those of its own framework.
    names
        A layer's name in model_a -> its name in model_b, where they differ; for two torch models.
    tolerance
        The largest difference, relative to the root mean square of the numbers, that counts as rounding. None takes
        it by dtype: 1e-10 for float64, 1e-5 for float32, 5e-3 for float16, 5e-2 for bfloat16.
    norms
        The norm of model_a and that of model_b, which `probe` measures where the outputs differ: each the name of a
        layer of a torch model, a function of arrays, or (function, shape, channel_axis). Without a shape the function
        gets that of the other norm's input, with the channels on axis 1 or last.

    Returns
    -------
    Comparison
        `.same`, `.first` (the pair of layers where they part), `.between`, `.pairs`, `.only_a`, `.only_b`, `.norms`.

    Raises
    ------
    TypeError
        If one is neither a torch.nn.Module nor a function, or returns no array.
    ValueError
        If a model raises on the example, or a name is not that of a normalization layer in the run.

    Notes
    -----
    Layers are paired by name where names agree, and in the order of use otherwise, layers of one kind and number of
    channels first; then by the values that reach them. What is compared is the numbers: each cell of a with the cell of
    b that holds the same input, whatever the shape and the order of the axes. So a norm of tokens (N, H * W, C) and one
    of maps (N, C, H, W) agree if they pool the same cells. Two calls of a layer, each on half of a batch, are compared
    with one on all of it. If the settings of a layer do not explain its output, the known bugs of `check` are tried.
    Both runs start from the same random state. Models, example and random state are left as they were. Inputs
    and outputs of all normalizations are in memory until the two models have been compared.

    Examples
    --------
    >>> import normviz as nv, torch
    >>> ours, port = (torch.nn.Sequential(torch.nn.GroupNorm(2, 8, eps=eps)) for eps in (1e-5, 1e-3))
    >>> found = nv.compare(ours, port, torch.randn(1, 8, 6, 6))
    >>> found.first.name, [str(d) for d in found.first.differences]
    ('0', ['eps is 1e-05 in a and 0.001 in b'])

    A port in NumPy that takes the root of each group's mean square, and has its channels last:

    >>> import numpy as np
    >>> def norm(x):
    ...     groups = x.reshape(len(x), -1, 2, 4)
    ...     return (groups / np.sqrt((groups**2).mean((1, 3), keepdims=True) + 1e-5)).reshape(x.shape)
    >>> found = nv.compare(ours, lambda x: norm(x.transpose(0, 2, 3, 1)), torch.randn(1, 8, 6, 6), norms=("0", norm))
    >>> print(found.measured[2])
    0 / norm: what is subtracted is the mean in a and nothing in b.
    """
    for model, who in ((model_a, "model_a"), (model_b, "model_b")):
        if not is_module(model) and (isinstance(model, type) or not callable(model)):
            what = f"of type {type(model).__name__}"
            what = f"the class {model.__name__} itself" if isinstance(model, type) else what
            raise TypeError(f"{who} is {what}, not a torch.nn.Module and not a function of arrays")
    if not isinstance(names, Mapping | None):
        raise TypeError(f"names is of type {type(names).__name__}; give a dict of a name in model_a -> one in model_b")
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance={brief(tolerance)} is not a relative difference; give a number from 0 to below 1")
    if norms is not None and not (isinstance(norms, tuple | list) and len(norms) == 2):
        raise TypeError(f"norms={brief(norms)} is not a pair; give the norm of model_a and that of model_b")
    names = names or {}
    both = is_module(model_a) and is_module(model_b)
    if names and not both:
        raise ValueError("names pairs the layers of two torch models, and one of the two is none; give norms instead")
    of_a, of_b = norms or (None, None)
    a = _Side(model_a, "model_a", example, [*names, of_a], convert=not both)
    b = _Side(model_b, "model_b", example, [*names.values(), of_b], convert=not both)
    named = [side.norm(given) for side, given in ((a, of_a), (b, of_b)) if norms]
    if both:
        found = _compare_layers(a, b, names, tolerance)
    else:
        limit = tolerance_of(a.dtype, b.dtype) if tolerance is None else tolerance
        found = _compare_ends(a, b, limit, [], [], [])
    if named and not found.outputs_agree:
        texts, found.norms = measure(named[0], named[1], _channels_moved(a.output, b.output))
        found.measured += texts
    if norms is None and not (found.outputs_agree or found.pairs or found.only_a or found.only_b):
        remedy = "name that of each model with norms=, or give it to nv.check"
        found.measured.append(f"If a norm may be the cause, {remedy}.")
    return found


class _Side:
    """One of the two, and its run: a torch model is observed, of anything else only the output is known."""

    def __init__(self, model: Any, who: str, example: Any, named: Sequence[Any], *, convert: bool) -> None:
        self.model, self.who = model, who
        self.run: Recording | None = None
        self.uses: list[LayerUse] = []
        self.output: np.ndarray | None
        self.framework: str | None = None
        if is_module(model):
            self.example = as_arrays_of("torch", example) if convert else example
            self.observe(named)
        else:
            self.output, self.dtype, self.framework = output_of(model, example, who)

    def observe(self, named: Sequence[Any]) -> None:
        """Run the torch model; modules with these names are looked at whatever their output."""
        model = materialized(self.model, self.example, self.who)
        self.run = observe(model, self.example, partial(Recording, named=named), self.who)
        self.uses, self.output, self.dtype = self.run.in_order(), self.run.output, self.run.output_dtype

    def module(self, name: str) -> Any:
        """Return the module with a name as in `LayerUse`, or None."""
        run = self.run
        return next((m for _, m in run.modules if run.names[id(m)] == name), None) if run else None

    def norm(self, given: Any) -> NamedNorm:
        """Return the norm that the caller names."""
        if not isinstance(given, str):
            return named_norm(given, self.who, self.framework)
        if self.run is None:
            problem = f"norms: {brief(given)} is the name of a layer, and {self.who} is no torch model"
            raise TypeError(f"{problem}; give a callable")
        use, module = next((use for use in self.uses if use.name == given), None), self.module(given)
        if use is None or module is None:
            known = [use.name for use in self.uses if self.module(use.name) is not None]
            raise ValueError(f"norms: {unknown(f'layer of {self.who}', given, map(short_name, known))}")
        return NamedNorm(short_name(given), module, native_order(use.input_shape, use.channel_axis), use.channel_axis)


def _compare_layers(a: _Side, b: _Side, names: Mapping[str, str], tolerance: float | None) -> Comparison:
    # A module called like a norm of the other model is looked at, even if nothing shows that it normalizes.
    a_names, b_names = ({use.name for use in side.uses} for side in (a, b))
    there = {v: k for k, v in names.items() if isinstance(v, str)}
    for side, wanted in (
        (a, {there.get(n, n) for n in b_names} - a_names),
        (b, {n for n in a_names if n not in names} - b_names),
    ):
        if any(side.module(name) is not None for name in wanted):
            side.observe([*wanted, *names, *names.values()])
    _check_names(names, a.uses, "model_a")
    _check_names(names.values(), b.uses, "model_b")
    pairing = Pairing(a.uses, b.uses, names, tolerance)
    limit = tolerance_of(*(use.dtype for use in (*a.uses, *b.uses))) if tolerance is None else tolerance
    found = _compare_ends(a, b, limit, pairing.in_order(), pairing.alone(0), pairing.alone(1))
    first = found.first
    if first is not None and found.between is None and first.output_parts:
        name = short_name(first.name)
        texts = causes(*pairing.uses_of(first))
        found.notes += [f"{name}: {text}." for text in texts]
        found.explained = bool(texts)
        if not texts and not first.differences and not first.pools:
            for m, side, use in (("a", a, first.a), ("b", b, first.b)):
                if use.known_by in ("output", "name"):
                    found.measured += measured(name, m, side.module(use.name), use)
    return found


def _compare_ends(a: _Side, b: _Side, limit: float, pairs: list, only_a: list, only_b: list) -> Comparison:
    """Compare the outputs of the models, and put what is known together."""
    difference, remark = None, ""
    if a.output is not None and b.output is not None:
        difference, remark = compare_outputs(a.output, b.output, limit)
    found = Comparison(pairs=pairs, only_a=only_a, only_b=only_b, output_difference=difference, tolerance=limit)
    found.notes += [remark] if remark else []
    if any(side.run is not None and side.run.outputs > 1 for side in (a, b)):
        found.notes.append("Of several tensors that a model returns, the first is its output here.")
    return found


def _channels_moved(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether the channels of one output stand last, and those of the other do not."""
    shapes = [() if y is None else y.shape for y in (a, b)]
    moved = [(*s[:1], *s[2:], *s[1:2]) for s in shapes]
    return len(shapes[0]) > 2 and shapes[0] != shapes[1] and (shapes[0] == moved[1] or shapes[1] == moved[0])


def _check_names(names: Iterable[str], uses: Sequence[LayerUse], who: str) -> None:
    known = dict.fromkeys(use.name for use in uses)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"names: {unknown(f'layer of {who}', name, map(short_name, known))}")
