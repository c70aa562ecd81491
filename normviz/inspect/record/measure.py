"""The numbers of one use of a normalization: its channels' mean and variance, and those of its pooling sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.backends.dispatch import cupy_problem
from normviz.core.methods import METHODS
from normviz.core.moments import Moments, merge_two
from normviz.functions.reduce import moments
from normviz.inspect.audit.tensors import has_values, values
from normviz.inspect.audit.torch_norms import Norm

QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
FIRST_SETS = 64
"""Of the first pooling sets, this many have their statistics kept, or C if that is more."""


class Unreadable(ValueError):
    """The reason why a layer cannot be measured, as a sentence."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One use, or several uses merged."""

    samples: int
    count: int  # cells of a channel
    # mean, m2: of the channels, (C,)
    mean: np.ndarray
    m2: np.ndarray
    # set_mean, set_var: one number a set, flat, in the order of the first cells of the sets in (N, C, *spatial)
    set_mean: np.ndarray
    set_var: np.ndarray

    def __add__(self, other: Measured) -> Measured:
        """Merge the uses of a layer that is called several times."""
        with np.errstate(all="ignore"):
            merged = merge_two((self.count, self.mean, self.m2), (other.count, other.mean, other.m2))
        sets = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("set_mean", "set_var"))
        return Measured(self.samples + other.samples, *merged, *sets)

    @property
    def var(self) -> np.ndarray:
        """Biased variance of the channels."""
        with np.errstate(all="ignore"):
            return self.m2 / max(self.count, 1)


def measure(norm: Norm, x: Any) -> Measured:
    """Measure the input of one use of a normalization; NaN if it has none, Unreadable if they cannot be read."""
    import torch

    samples, cells = norm.shape[0], norm.shape[0] * norm.cells
    if not math.prod(norm.shape):
        none = np.full(norm.channels, np.nan)
        return Measured(samples, cells, none, none, np.empty(0), np.empty(0))
    if not has_values(x):
        raise Unreadable("the values of its input cannot be read, as inside torch.func or on the meta device")
    with torch.no_grad(), np.errstate(all="ignore"):
        x = x.detach().reshape(norm.shape)
        view, axis = (x, norm.channel_axis) if x.ndim <= 5 else (x.movedim(norm.channel_axis, 1).flatten(2), 1)
        atoms = _moments(view, axis)
        channels = atoms.pool("batch")
        set_mean, set_var = _of_sets(norm, x, atoms)
        return Measured(samples, cells, channels.mean, channels.var * cells, set_mean.ravel(), set_var.ravel())


def quartiles(of_sets: np.ndarray) -> np.ndarray:
    """Return minimum, quartiles and maximum; NaN without sets, or where one of them is no number."""
    if not len(of_sets) or np.isnan(of_sets).any():
        return np.full(len(QUARTILES), np.nan)
    with np.errstate(all="ignore"):
        return np.quantile(of_sets, QUARTILES)


def first_sets(norm: Norm, measured: Measured) -> dict[str, np.ndarray | None]:
    """Return mean and variance of the first sets, by name; None where the sets are the channels."""
    most, sets = max(FIRST_SETS, norm.channels), {"first_mean": measured.set_mean, "first_var": measured.set_var}
    return {name: None if norm.kind == "batch" else array[:most].copy() for name, array in sets.items()}


def per_channel(parameter: Any, norm: Norm) -> np.ndarray | None:
    """Return a weight or bias as one number per channel; the mean over a channel if each element has one of its own."""
    if parameter is None or not has_values(parameter):
        return None
    array = np.array(values(parameter), np.float64)
    if array.size % norm.channels:
        return None
    return (
        array.reshape(norm.channels, -1).mean(1) if norm.channel_axis == 1 else array.reshape(-1, norm.channels).mean(0)
    )


def _of_sets(norm: Norm, x: Any, atoms: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the sets; 0 and the mean square where the method takes no mean."""
    if norm.block is None:
        return np.empty(0), np.empty(0)
    if norm.is_method() and METHODS[norm.kind].spatial == "all":
        pooled = atoms.pool(norm.kind, norm.num_groups if METHODS[norm.kind].has_groups else None)
        return pooled.mean, pooled.var
    # A set is a box of cells: each axis is cut into pieces, and the cells of a box become a row.
    pairs = [part for n, b in zip(norm.shape, norm.block, strict=True) for part in (n // b, b)]
    grid = [*range(0, len(pairs), 2)]
    grid.insert(1, grid.pop(norm.channel_axis))
    boxes = x.reshape(pairs).permute(*grid, *range(1, len(pairs), 2))
    found = _moments(boxes.reshape(1, -1, math.prod(norm.block)), 1)
    mean, var = found.mean[0], found.m2[0] / found.count
    return (mean, var) if norm.centered else (np.zeros_like(mean), var + np.square(mean))


def _moments(x: Any, channel_axis: int) -> Moments:
    """Return the moments of a tensor on the device where it is; torch computes them on a GPU without CuPy."""
    if x.device.type != "cuda":
        return moments(values(x), channel_axis=channel_axis)
    return moments(x, channel_axis=channel_axis) if cupy_problem() is None else moments_by_torch(x, channel_axis)


def moments_by_torch(x: Any, channel_axis: int) -> Moments:
    """Return the moments of a tensor, computed by torch in float64."""
    atoms = x.movedim(channel_axis, 1).reshape(x.shape[0], x.shape[channel_axis], -1).double()
    mean = atoms.mean(2)
    m2 = (atoms - mean[..., None]).square().sum(2)
    return Moments(count=atoms.shape[2], mean=mean.cpu().numpy(), m2=m2.cpu().numpy(), backend="torch")
