"""The sets that a function under test has, measured with the experiments of `probe`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from normviz.arrays.arguments import native_order, uncanonical
from normviz.inspect._call import Refusal
from normviz.inspect.check.bug import Case, Explanation
from normviz.inspect.check.set_bugs import reshape_of
from normviz.inspect.check.setup import Subject
from normviz.inspect.probe.perturbation import Perturbation
from normviz.inspect.probe.reading import misread

MOST_CELLS = 1 << 18
"""Larger inputs take seconds to measure, and show no more than smaller ones."""


class _Function:
    """A function under test as `Perturbation` calls it."""

    def __init__(self, subject: Subject, shape: tuple[int, ...]) -> None:
        self.subject, self.round = subject, subject.call.round
        self.dtype, self.resolution = subject.call.dtype, subject.call.resolution
        same = shape == subject.pool.shape
        self.returned = subject.first[1].shape if same else native_order(shape, subject.call.channel_axis)

    def __call__(self, x: np.ndarray, *, fresh: bool = False) -> np.ndarray:
        answer = self.subject.call.ask(x, fresh=fresh)
        if answer.shape != self.returned:
            raise Refusal(f"fn returned shape {answer.shape}")
        return self.subject.flat(answer.y).reshape(x.shape)


def measured_sets(subject: Subject, shape: tuple[int, ...] | None = None) -> np.ndarray | None:
    """Return the sets of fn as labels of the shape (N, C, *spatial), its own or another; None if none are found.

    fn is called about 15 times, and at most 80 times.
    """
    shape = shape or subject.pool.shape
    if math.prod(shape) > MOST_CELLS:
        return None
    fn: Any = _Function(subject, shape)
    try:
        perturbation = Perturbation(fn, shape, np.random.default_rng(subject.call.seed), first=False)
        sets = perturbation.find(disjoint_alone=True) if perturbation.finite else None
    except Refusal:
        return None
    return sets.labels if sets is not None and sets.proven else None


def renamed_on_another_shape(found: Explanation, subject: Subject, case: Case) -> Explanation:
    """Name a reshape where only the lengths of this shape make its sets those of another bug.

    A map of H = 8 rows, for instance: Group Norm of (N, H, W, C) that is read as (N, G, H, W, C/G) with G = 4 pools two
    rows at a time, as if the rows were the channels. With 9 rows the two differ.
    """
    pool, axis = case.pool, case.channel_axis
    N, C, *spatial = pool.shape
    larger = (N, C, *(n + i for i, n in enumerate(spatial, 1))) if spatial else (N + 1, C)
    methods = [(pool.row, pool.num_groups)]
    for change in found.changes:
        if "cut" not in change.fields or change.code in ("interleaved-groups", "reshape-not-transpose"):
            continue
        here = misread(uncanonical(change.fields["cut"].labels(pool), axis), axis, methods)
        if not here or (measured := measured_sets(subject, larger)) is None:
            continue
        there = {(r.order, r.read) for r in misread(uncanonical(measured, axis), axis, methods)}
        for reading in [r for r in here if (r.order, r.read) in there][:1]:
            changes = (reshape_of(reading, c.fields) if c is change else c for c in found.changes)
            return replace(found, changes=tuple(changes))
    return found
