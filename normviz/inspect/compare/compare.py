"""Find the first normalization layer at which two torch models part on one example."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any

from normviz.core.errors import brief, check_keywords, unknown
from normviz.inspect.audit.run import check_model, materialized, observe
from normviz.inspect.audit.tensors import short_name
from normviz.inspect.compare.cause import causes, measured
from normviz.inspect.compare.comparison import Comparison
from normviz.inspect.compare.layer_diff import LayerPair, tolerance_of
from normviz.inspect.compare.matching import relative
from normviz.inspect.compare.pairing import Pairing
from normviz.inspect.compare.recording import LayerUse, Recording


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
    """
    models = (model_a, "model_a"), (model_b, "model_b")
    for model, who in models:
        check_model(model, who)
    if not isinstance(names, Mapping | None):
        raise TypeError(f"names is of type {type(names).__name__}; give a dict of a name in model_a -> one in model_b")
    names = names or {}
    if tolerance is not None and not (isinstance(tolerance, Real) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance={brief(tolerance)} is not a relative difference; give a number from 0 to below 1")
    a, in_a = _run(model_a, example, "model_a", {*names})
    # A module called like a norm of the other model is looked at, even if nothing shows that it normalizes.
    b, in_b = _run(model_b, example, "model_b", [*(use.name for use in in_a if use.name not in names), *names.values()])
    back = {v: k for k, v in names.items() if isinstance(v, str)}
    missing = {back.get(use.name, use.name) for use in in_b} - {use.name for use in in_a}
    if missing & {*a.names.values()}:
        a, in_a = _run(model_a, example, "model_a", missing | {*names})
    _check_names(names, in_a, "model_a")
    _check_names(names.values(), in_b, "model_b")
    pairing = Pairing(in_a, in_b, names, tolerance)
    found = Comparison(
        pairs=pairing.in_order(),
        only_a=pairing.alone(0),
        only_b=pairing.alone(1),
        output_difference=None if a.output is None or b.output is None else relative(a.output, b.output),
        tolerance=tolerance_of(*(use.dtype for use in (*in_a, *in_b))) if tolerance is None else tolerance,
    )
    if found.first is not None and found.between is None and found.first.output_parts:
        _explain(found, found.first, pairing, {"a": a, "b": b})
    return found


def _run(model: Any, example: Any, who: str, named: Collection[str]) -> tuple[Recording, list[LayerUse]]:
    run = observe(materialized(model, example, who), example, partial(Recording, named=named), who)
    return run, run.in_order()


def _explain(found: Comparison, first: LayerPair, pairing: Pairing, runs: Mapping[str, Recording]) -> None:
    """Note what explains the difference of the first pair; if nothing does, what probe measures."""
    name = short_name(first.name)
    found.notes += [f"{name}: {text}." for text in causes(*pairing.uses_of(first))]
    if not found.notes and not first.differences and not first.pools:
        for m, use in (("a", first.a), ("b", first.b)):
            if use.known_by in ("output", "name"):
                modules = [module for _, module in runs[m].modules if runs[m].names[id(module)] == use.name]
                found.measured += measured(name, m, modules[0], use) if modules else []


def _check_names(names: Iterable[str], uses: Sequence[LayerUse], who: str) -> None:
    known = dict.fromkeys(use.name for use in uses)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"names: {unknown(f'layer of {who}', name, map(short_name, known))}")
