"""What is known of a bug: how it changes the right recipe, and for which normalizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from normviz.core.pooling import Pooling
from normviz.inspect.check.simulate import Affine, Recipe


@dataclass(frozen=True)
class Change:
    """One version of a bug."""

    fields: dict[str, Any]  # the fields of the recipe that it changes
    text: str  # what fn does, in words that follow "fn "
    details: dict[str, Any] = field(default_factory=dict)  # numbers and axes, for a `Finding`
    code: str = ""  # the name of the bug; `changes` fills it in

    @cached_property
    def parts(self) -> frozenset[str]:
        """The parts of the recipe that it changes: one may give weight and bias a layout, and another exchange them."""
        affine = self.fields.get("affine")
        if affine is None:
            return frozenset(self.fields)
        both = affine.before is not None or affine.shift_first
        parts = {"layout"} if both or affine.layout is not None else set()
        parts |= {"pick"} if both or affine.pick is not Affine.pick else set()
        return frozenset(self.fields) - {"affine"} | parts


@dataclass(frozen=True)
class Explanation:
    """Changes that together reproduce the output for every input."""

    changes: tuple[Change, ...]
    recipe: Recipe

    @property
    def codes(self) -> frozenset[str]:
        """The names of the bugs."""
        return frozenset(change.code for change in self.changes)


@dataclass(frozen=True)
class Case:
    """The normalizer that fn should be: the right sets, eps, and weight and bias (None where fn has none)."""

    pool: Pooling
    eps: float
    channel_axis: int
    weight: np.ndarray | None
    bias: np.ndarray | None
    flattens: bool = False  # whether fn itself gives weight and bias their shape, and takes (1, C, 1, 1) no other way
    measured: np.ndarray | None = None  # the sets that fn has, as labels of the shape of x; None if they are not known


def along_axis(case: Case, at: int) -> Iterator[tuple[str, Affine]]:
    """Yield ways to apply a weight and a bias of one number for each channel along another axis of canonical x."""
    shape, axis = case.pool.shape, case.pool.row.affine_axis
    arrays = {role: p for role, p in (("weight", case.weight), ("bias", case.bias)) if p is not None}
    if shape[axis] != shape[at] or any(p.shape[axis] != p.size for p in arrays.values()):
        return
    for roles in dict.fromkeys(((*arrays,), *((role,) for role in arrays))) if arrays else ():

        def moved(p: np.ndarray, role: str, roles: tuple[str, ...] = roles) -> np.ndarray:
            return np.moveaxis(p, axis, at) if role in roles else p

        where = "axis 1" if case.channel_axis % len(shape) == len(shape) - 1 else "the last axis"
        yield " and ".join(roles), Affine(layout=moved, name=f"{' and '.join(roles)} along {where}")


def pattern(labels: np.ndarray) -> bytes:
    """Return the same bytes for the same sets, whatever their numbers."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32).tobytes()
