"""Forward, gradient and sweep: our backends beside torch and a copy of the array, each with the same arguments."""

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import normviz as nv

from .cases import Case
from .timing import Job, medians

FEW = 3e8
"""Bytes: from here on there are three rounds."""
VAR_MEAN = 30e6
"""Bytes: on more, one torch.var_mean for each configuration takes minutes."""


def backends() -> list[str]:
    """Return those of our CPU backends that work here."""
    found = []
    for name in ("numpy", "compiled"):
        try:
            nv.normalize(np.ones((1, 2, 2), np.float32), "layer", backend=name)
        except (ImportError, RuntimeError, ValueError):
            continue
        found.append(name)
    return found


def rows(cases: Iterable[Case], threads: Iterable[int], rounds: int, budget: float) -> Iterator[dict[str, Any]]:
    """Yield what each case took, in seconds, with each number of threads."""
    ours = backends()
    for case in cases:
        jobs = {"forward": forward, "gradient": gradient, "sweep": sweep}[case.what](case, ours)
        for count in threads:
            os.environ["NORMVIZ_NUM_THREADS"] = str(count)
            torch.set_num_threads(count)
            about = {"what": case.what, "line": case.line, "shape": case.shape, "cells": case.cells}
            yield {
                **about,
                "bytes": case.nbytes,
                "threads": count,
                "seconds": medians(jobs, rounds if case.nbytes < FEW else 3, budget),
            }


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal values."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tensors(case: Case) -> tuple[Any, Any, torch.Tensor, dict[str, Any], list[torch.Tensor]]:
    """Return x and an output for us, x for torch, and weight and bias for both.

    x is a NumPy array, or a tensor of torch for bfloat16, which NumPy lacks. Layer Norm's weight and bias have a value
    for each cell of a sample, as PyTorch's LayerNorm has on maps.
    """
    t = torch.from_numpy(normal(case.shape)).to(getattr(torch, case.dtype))
    x = t if case.dtype == "bfloat16" else t.numpy()
    size = case.shape[1:] if case.method == "layer" else (case.channels,)
    affine = [normal(size, 1), normal(size, 2)]
    out = torch.empty_like(t) if x is t else np.empty_like(x)
    given = dict(zip(("weight", "bias"), affine, strict=True))
    return x, out, t, given, [torch.from_numpy(each) for each in affine]


def normalized(case: Case, t: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Torch's forward pass."""
    if case.last and case.method != "positional":
        t = t.movedim(-1, 1)  # the layout that torch calls channels_last
    if case.method == "group":
        return F.group_norm(t, case.num_groups or 1, weight, bias)
    if case.method == "batch":
        return F.batch_norm(t, None, None, weight, bias, training=True)
    return F.layer_norm(t, weight.shape, weight, bias)


def forward(case: Case, ours: list[str]) -> dict[str, Job]:
    """The output, ours into memory that is there; torch allocates its own."""
    x, out, t, given, affine = tensors(case)
    options = {"num_groups": case.num_groups, "channel_axis": -1 if case.last else 1, "out": out, **given}
    jobs: dict[str, Job] = {
        name: lambda name=name: nv.normalize(x, case.method, backend=name, **options) for name in ours
    }
    return jobs | {"torch": lambda: normalized(case, t, *affine), "copy": copying(x, out)}


def gradient(case: Case, ours: list[str]) -> dict[str, Job]:
    """The gradients of x, weight and bias; torch has saved the statistics, ours are computed anew or given."""
    x, out, t, given, affine = tensors(case)
    leaves = [each.requires_grad_() for each in (t.clone(), *affine)]
    y = normalized(case, *leaves)
    g = torch.from_numpy(normal(case.shape, 3)).to(t.dtype)
    grad = g if x is t else g.numpy()
    theirs = g.movedim(-1, 1) if case.last and case.method != "positional" else g
    options = {"num_groups": case.num_groups, "channel_axis": -1 if case.last else 1}
    saved = nv.statistics(x, case.method, **options)
    jobs: dict[str, Job] = {}
    for name in ours:
        own = {**options, "weight": given["weight"], "backend": name}
        jobs[name] = lambda own=own: nv.gradient(x, grad, case.method, **own)
        jobs[f"{name}, given"] = lambda own=own: nv.gradient(x, grad, case.method, statistics=saved, **own)
    return jobs | {
        "torch": lambda: torch.autograd.grad(y, leaves, theirs, retain_graph=True),
        "copy": copying(x, out),
    }


def sweep(case: Case, ours: list[str]) -> dict[str, Job]:
    """Batch Norm's statistics and those of every G, beside one call for each of these configurations."""
    x = normal(case.shape)
    t, every_g = torch.from_numpy(x), nv.divisors(case.channels)
    jobs: dict[str, Job] = {name: lambda name=name: nv.sweep(x, backend=name) for name in ours}

    def norms() -> None:
        F.batch_norm(t, None, None, training=True)
        for g in every_g:
            F.group_norm(t, g)

    def var_mean() -> None:
        torch.var_mean(t, (0, 2, 3), correction=0)
        for g in every_g:
            torch.var_mean(t.view(len(t), g, -1), 2, correction=0)

    jobs["torch"] = norms
    if math.prod(case.shape) * 4 < VAR_MEAN:
        jobs["var_mean"] = var_mean
    return jobs | {"copy": copying(x, np.empty_like(x))}


def copying(x: Any, out: Any) -> Job:
    """Copy x into the output."""
    return (lambda: out.copy_(x)) if isinstance(x, torch.Tensor) else (lambda: np.copyto(out, x))
