"""What a watched run has shown so far: calls, layers, and who made which tensor."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass, field
from typing import Any

import torch

from normviz.inspect.audit.layers import Norm
from normviz.inspect.audit.measures import Measured
from normviz.inspect.audit.tensors import version


@dataclass
class Seen:
    """A normalization, with all its uses in the run."""

    order: int
    name: str
    type: str
    norm: Norm
    known_by: str
    parameters: int
    frozen: bool
    mode: str
    measured: Measured
    before: str | None
    bias_before: bool
    tracked: int | None = None
    momentum: float | None = None
    broken: str | None = None
    uses: int = 0
    cells: int = 0
    smallest: Norm = field(init=False)

    def __post_init__(self) -> None:
        self.smallest = self.norm

    def again(self, norm: Norm, measured: Measured) -> None:
        """Count one more use."""
        self.uses += 1
        self.cells += math.prod(norm.shape)
        if (norm.size or 0) < (self.smallest.size or 0):
            self.smallest = norm
        self.measured = self.measured.and_then(measured)


@dataclass
class Call:
    """A function that normalizes, called in the midst of a forward."""

    order: int
    function: str
    label: str
    norm: Norm
    measured: Measured
    y: Any
    before: tuple[str | None, bool]
    broken: str | None


@dataclass
class Frame:
    """A module that is being called."""

    module: Any
    order: int
    function: str | None
    shape: tuple[int, ...] | None
    kept: Any = None
    calls: list[Call] = field(default_factory=list)
    labels: dict[tuple, str] = field(default_factory=dict)
    found: bool = False
    broken: str | None = None


class Origins:
    """Which module or function made a tensor; it keeps no tensor alive."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[weakref.ref, int, str, Any]] = {}

    def before(self, x: Any, norm: Norm) -> tuple[str | None, bool]:
        """Return which module or function made x, and whether it added a bias to each of the norm's channels."""
        made = self._made.get(id(x))
        if made is None or made[0]() is not x or made[1] != version(x):
            return None, False
        _, _, name, module = made
        axes = {torch.nn.Linear: -1, torch.nn.modules.conv._ConvNd: 1}
        axis = next((a for cls, a in axes.items() if isinstance(module, cls)), None)
        biased = axis is not None and getattr(module, "bias", None) is not None
        return name, biased and axis % x.ndim == norm.channel_axis % x.ndim

    def made(self, y: Any, name: str, module: Any = None) -> None:
        """Remember who made y, the innermost one; a module that hands its input on has not made it."""
        made = self._made.get(id(y))
        if made is None or made[0]() is not y or made[1] != version(y):
            self._made[id(y)] = (weakref.ref(y), version(y), name, module)
