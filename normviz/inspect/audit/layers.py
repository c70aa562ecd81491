"""One normalization in a model: which cells it takes together, and what is known of the layer that does it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import pooling

LOCAL = "local_response"
"""Not a row of METHODS: every cell has a window of channels of its own, so there are no sets that share numbers."""


@dataclass(frozen=True, eq=False)
class Norm:
    """One normalization of one input.

    Attributes
    ----------
    kind
        A key of METHODS, or LOCAL.
    shape, block
        Of the input and of a set, in the input's own order of axes; block is None where the sets are no equal boxes.
    channel_axis
        Where C is: 1 or -1.
    num_groups, eps
        As the layer was asked for them, or as they were found.
    weight, bias
        What the output is scaled and shifted by: tensors, or None.
    running
        Running mean and variance as they were before the run, float64, shape (C,).
    own
        Whether the input's own statistics were used, rather than the running ones.
    grouped
        Whether somebody asked for groups: GroupNorm(C, C) did, InstanceNorm did not.
    """

    kind: str
    shape: tuple[int, ...]
    block: tuple[int, ...] | None
    channel_axis: int = 1
    num_groups: int | None = None
    eps: float | None = None
    weight: Any = None
    bias: Any = None
    running: tuple[np.ndarray, np.ndarray] | None = None
    own: bool = True
    grouped: bool = False

    @property
    def size(self) -> int | None:
        """|S|, the number of cells in a set."""
        return None if self.block is None else math.prod(self.block)

    @property
    def count(self) -> int | None:
        """The number of sets."""
        return None if self.block is None else math.prod(self.shape) // max(math.prod(self.block), 1)

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[self.channel_axis]

    @property
    def cells(self) -> int:
        """Cells of one channel of one sample."""
        return math.prod(self.shape[1:]) // max(self.channels, 1)

    @property
    def one_channel(self) -> bool:
        """Whether each set has cells of one channel alone, so that a bias before it cannot reach its output."""
        return self.block is not None and self.block[self.channel_axis] == 1 and self.centered

    @property
    def centered(self) -> bool:
        """Whether a mean is subtracted."""
        return self.kind in METHODS and METHODS[self.kind].centered

    def canonical(self, values: Sequence[int]) -> tuple[int, ...]:
        """Return values, one an axis, in the order (N, C, *spatial)."""
        others = [v for a, v in enumerate(values) if a != self.channel_axis % len(values)]
        return (others[0], values[self.channel_axis], *others[1:])

    def labels(self) -> np.ndarray:
        """Return which set each cell is in, an int array of `shape`."""
        if self.block is None:
            raise ValueError(f"there are no equal sets of {self.kind} on shape {self.shape}")
        labels = np.zeros(self.shape, int)
        for axis, (length, extent) in enumerate(zip(self.shape, self.block, strict=True)):
            numbers = np.arange(length) // extent
            lined = numbers.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
            labels = labels * (length // extent) + lined
        return labels

    def is_method(self) -> bool:
        """Whether the sets are just those of METHODS[kind], which an explorer can be given by name."""
        shape = self.canonical(self.shape)
        if self.block is None or self.kind not in METHODS or not 2 <= len(shape) <= 5:
            return False
        groups = self.num_groups if METHODS[self.kind].has_groups else None
        return pooling(self.kind, shape, groups).block == self.canonical(self.block)


@dataclass(frozen=True, eq=False)
class Layer:
    """A normalization layer of a model, as `audit` saw it.

    Attributes
    ----------
    name
        As in `model.named_modules()`; "(model)" for the model itself, "blocks.0:layer_norm" for a function that the
        module blocks.0 calls in the midst of its forward.
    type
        Name of the class, or of the function.
    kind
        A key of METHODS by what is pooled, or "local_response", which has no sets. GroupNorm stays "group" at any G.
    num_groups
        G of Group Norm.
    input_shape
        Of its first use; the axes as the layer gets them.
    block, size, count
        Extents of a set along those axes, |S|, and the number of sets; None where there are no equal sets.
    channel_axis
        Where C is: 1, or -1 where features come last.
    parameters
        Numbers that it learns.
    share
        Its part of all the cells that pass through normalizations in one run of the model.
    frozen
        Whether nothing of it would change in training: no parameter has a gradient, and running statistics stand still.
    gap
        For layers with running statistics: root mean square of the difference between the output that the batch's own
        statistics give and the one that the running statistics give, before weight and bias; 1 is a standard deviation.
        None for others, and while the running statistics are untouched (all 0 and 1).
    mode
        "train" or "eval", as the layer was in the run.
    uses
        How often the layer is called in one run; the numbers above are of the first, share is of all.
    eps
        None where it could not be told.
    known_by
        "class", "call" (a function of torch.nn.functional was seen inside) or "output" (the output is explained by
        sets of the input).
    """

    name: str
    type: str
    kind: str
    num_groups: int | None
    input_shape: tuple[int, ...]
    block: tuple[int, ...] | None
    size: int | None
    count: int | None
    channel_axis: int
    parameters: int
    share: float
    frozen: bool
    gap: float | None
    mode: str
    uses: int
    eps: float | None
    known_by: str

    @property
    def label(self) -> str:
        """The kind as a person calls it."""
        if self.kind == LOCAL:
            return "Local Response Norm (no sets)"
        groups = f", G = {self.num_groups}" if self.num_groups else ""
        return METHODS[self.kind].label + groups
