"""Whether a module is a normalization, judged by what it gave for what it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from normviz.inspect.audit.layers import Norm
from normviz.inspect.audit.measures import values
from normviz.inspect.audit.recognition import recognise, runs_on
from normviz.inspect.audit.seen import Call
from normviz.inspect.audit.tensors import empty

MOST_WORK = 2**24
"""Cells of an input above which a module is not recognized by its output: that would take longer than the run."""


def whole(module: Any, call: Call, x: Any, y: Any, originals: Mapping[int, np.ndarray]) -> Norm | None:
    """Return what the module normalizes if the one function it calls makes it a normalization; None otherwise."""
    if call.y is not None and call.norm.shape == tuple(x.shape):
        return call.norm if runs_on(values(call.y), values(y)) else None
    norm = by_output(module, x, y, originals, eps=call.norm.eps)
    if norm is None or norm.size != call.norm.size:
        return None
    groups = call.norm.num_groups if call.norm.kind == "group" else norm.num_groups
    kind = "group" if call.norm.kind == "group" else norm.kind
    affine = {"weight": call.norm.weight, "bias": call.norm.bias, "eps": call.norm.eps}
    return replace(norm, kind=kind, num_groups=groups, grouped=call.norm.grouped, **affine)


def by_output(
    module: Any, x: Any, y: Any, originals: Mapping[int, np.ndarray], *, eps: float | None = None
) -> Norm | None:
    """Return what a module normalizes if sets of its input explain its output; None otherwise.

    Running statistics are those of `originals`, by id of the buffer: from before the run.
    """
    if not 2 <= x.ndim <= 5:
        return None
    C = {x.shape[1], x.shape[-1]}
    parameters = dict(module.named_parameters())
    per_sample = [tuple(n for n in p.shape if n > 1) for p in parameters.values()]
    if any(len(s) > 1 and s != tuple(n for n in x.shape[1:] if n > 1) for s in per_sample):
        return None  # it has matrices, as no normalization does
    own = {n: t for n, t in [*parameters.items(), *module.named_buffers()] if t.ndim and not empty(t)}
    own = {n: t for n, t in own.items() if t.numel() in C or t.shape == x.shape[1:]}
    if eps is None:
        found = [getattr(module, n, None) for n in ("eps", "epsilon", "variance_epsilon")]
        eps = next((float(e) for e in found if isinstance(e, float)), None)
    arrays = {n: values(t).reshape(-1) if t.numel() in C else values(t) for n, t in own.items()}
    if not own and runs_on(values(x), values(y)):
        return None  # an activation, and the commonest case
    match = recognise(values(x), values(y), parameters=arrays, eps=eps)
    asked = [getattr(module, n, None) for n in ("num_groups", "n_groups", "groups", "num_group", "G")]
    G = next((g for g in asked if type(g) is int and g > 1), None)
    affine = own.get("weight"), own.get("bias")
    if match is None:
        uneven = G is not None and _uneven(values(x), values(y), G, arrays, eps)
        return Norm("group", tuple(x.shape), None, 1, G, eps, *affine, grouped=True) if uneven else None
    grouped = G is not None and (match.num_groups == G or (match.kind == "instance" and x.shape[1] == G))
    state = {k: next((n for n in own if k in n), None) for k in ("mean", "var")}
    running = None
    if match.kind == "batch" and all(state.values()) and (match.own or parameters):  # frozen for good has none
        running = tuple(originals.get(id(own[n]), arrays[n]) for n in state.values())
    return Norm(
        "group" if grouped else match.kind,
        tuple(x.shape),
        match.block,
        match.channel_axis,
        G if grouped else match.num_groups,
        eps,
        *affine,
        running,  # type: ignore[arg-type]
        match.own,
        grouped,
    )


def _uneven(x: np.ndarray, y: np.ndarray, G: int, own: Mapping[str, np.ndarray], eps: float | None) -> bool:
    """Whether y is x normalized in G groups of channels that differ in size, as chunk or array_split cut them."""
    C = x.shape[1]
    if G >= C or C % G == 0:
        return False
    size = -(-C // G)
    for ends in (range(size, C, size), [len(part) for part in np.array_split(range(C), G)][:-1]):
        cuts = [0, *(ends if isinstance(ends, range) else np.cumsum(ends)), C]
        seen = 0
        for a, b in pairwise(cuts):
            mine = {k: v.reshape(C)[a:b] for k, v in own.items() if v.size == C}
            if np.ptp(y[:, a:b]) == 0:
                continue  # an activation has left nothing of these channels
            match = recognise(x[:, a:b], y[:, a:b], parameters=mine, eps=eps)
            if match is None or match.block != (1, b - a, *x.shape[2:]):
                break
            seen += 1
        else:
            return seen > 1
    return False
