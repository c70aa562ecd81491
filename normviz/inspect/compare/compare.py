"""Two torch models on one example: where they part."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from normviz.core.errors import check_keywords, unknown
from normviz.inspect._snapshot import untouched
from normviz.inspect.audit.audit import _call, _check_model, _materialized, _why
from normviz.inspect.compare.comparison import Comparison, Side, relative, tolerance_of
from normviz.inspect.compare.layer_diff import pair

if TYPE_CHECKING:
    from normviz.inspect.compare.recording import Recording


@check_keywords
def compare(
    model_a: Any,
    model_b: Any,
    example: Any,
    *,
    names: Mapping[str, str] | None = None,
    tolerance: float | None = None,
) -> Comparison:
    """Run two torch models on one example, and find the first normalization layer at which they part.

    Parameters
    ----------
    model_a, model_b
        Two torch.nn.Module, one perhaps a port of the other; each is run in the mode that it is in.
    example
        The input of both: a tensor, a tuple of arguments, or a dict of keyword arguments.
    names
        A layer's name in model_a -> its name in model_b, where these differ.
    tolerance
        The largest difference, relative to the root mean square of the numbers, that still counts as rounding. None
        takes it by dtype: 1e-10 for float64, 1e-5 for float32, 5e-3 for float16, 5e-2 for bfloat16.

    Returns
    -------
    Comparison
        `.same`, `.first` (the pair of layers where they part), `.between`, `.pairs`, `.only_a`, `.only_b`.

    Raises
    ------
    TypeError
        If one is no torch.nn.Module.
    ValueError
        If a model raises on the example, or a name is not that of a normalization layer in the run.

    Notes
    -----
    Layers are paired by name where names agree, and in the order of use otherwise, layers of one kind and number of
    channels first. Both runs start from the same random state. Models, example and random state are left as they
    were. What goes into and comes out of every normalization is in memory until the two have been compared.

    Examples
    --------
    >>> import normviz as nv, torch
    >>> ours, port = (torch.nn.Sequential(torch.nn.GroupNorm(2, 8, eps=eps)) for eps in (1e-5, 1e-3))
    >>> found = nv.compare(ours, port, torch.randn(1, 8, 6, 6))
    >>> found.first.name, [str(d) for d in found.first.differences]
    ('0', ['eps is 1e-05 in a and 0.001 in b'])
    """
    for name, model in (("model_a", model_a), ("model_b", model_b)):
        try:
            _check_model(model)
        except TypeError as error:
            raise TypeError(str(error).replace("model", name, 1)) from None
    if tolerance is not None and not 0 <= tolerance < 1:
        raise ValueError(f"tolerance={tolerance!r} is no relative difference; give a number from 0 to below 1")
    a, b = _recorded(model_a, example, "model_a"), _recorded(model_b, example, "model_b")
    in_a, in_b = a.in_order(), b.in_order()
    for name, where, sides in [(k, "model_a", in_a) for k in names or ()] + [
        (v, "model_b", in_b) for v in (names or {}).values()
    ]:
        if name not in {s.name for s in sides}:
            raise ValueError(f"names: {unknown(f'layer of {where}', name, dict.fromkeys(s.name for s in sides))}")
    matched = align(in_a, in_b, names or {})
    paired_a, paired_b = {i for i, _ in matched}, {j for _, j in matched}
    coarse = tolerance_of(*(s.dtype for s in (*in_a, *in_b))) if tolerance is None else tolerance
    output = None if a.output is None or b.output is None else relative(a.output, b.output)
    return Comparison(
        pairs=[pair(in_a[i], in_b[j], tolerance) for i, j in matched],
        only_a=[s.bare() for i, s in enumerate(in_a) if i not in paired_a],
        only_b=[s.bare() for j, s in enumerate(in_b) if j not in paired_b],
        output_difference=output,
        tolerance=coarse,
    )


def _recorded(model: Any, example: Any, which: str) -> Recording:
    """Run the model on the example, its numbers recorded, and leave both as they were."""
    try:
        model = _materialized(model, example)
    except ValueError as error:
        raise ValueError(str(error).replace("the model", which, 1)) from error.__cause__
    from normviz.inspect.compare.recording import Recording

    with untouched(getattr(model, "_orig_mod", model), example):
        recording = Recording(model)
        try:
            recording.run(_call(model, example))
        except Exception as error:
            raise ValueError(_why(error, model, example, recording).replace("the model", which, 1)) from error
    return recording


def align(a: Sequence[Side], b: Sequence[Side], names: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return which layer of a is which of b: by name, between those by kind and channels, and then by order."""
    keys: list[tuple[Callable[[Side], Hashable], Callable[[Side], Hashable]]] = [
        (lambda s: names.get(s.name, s.name), lambda s: s.name),
        (lambda s: (s.kind, s.input_shape[1:]), lambda s: (s.kind, s.input_shape[1:])),
        (lambda s: s.input_shape[1:], lambda s: s.input_shape[1:]),
    ]
    return _between(a, b, keys, 0, 0)


def _between(a: Sequence[Side], b: Sequence[Side], keys: list, i: int, j: int) -> list[tuple[int, int]]:
    if not keys:  # nothing tells them apart but their order
        return [(i + k, j + k) for k in range(min(len(a), len(b)))]
    (of_a, of_b), *rest = keys
    blocks = SequenceMatcher(None, [of_a(s) for s in a], [of_b(s) for s in b], autojunk=False).get_matching_blocks()
    found, p, q = [], 0, 0
    for block in blocks:  # the last one is empty and stands at the end of both
        found += _between(a[p : block.a], b[q : block.b], rest, i + p, j + q)
        found += [(i + block.a + k, j + block.b + k) for k in range(block.size)]
        p, q = block.a + block.size, block.b + block.size
    return found
