"""How weight and bias are laid out: one for all, a group, a channel, or an element of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normviz.inspect.probe.forms import Line, x_hat
from normviz.inspect.probe.sets import number


@dataclass(frozen=True)
class Affine:
    """Weight and bias as they were measured.

    Attributes
    ----------
    kind
        "none", "channel", "group", "element", or None where they follow none of these.
    weight, bias
        In the shape that goes with it: (C,), (G,) or (C, *spatial); None with kind "none" or None.
    uniform
        The one weight of all cells, if there is one.
    """

    kind: str | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    uniform: float | None = None


def layout(
    line: Line,
    labels: np.ndarray,
    *,
    eps: float,
    inside: bool,
    resolution: float,
    factor: np.ndarray,
    axis: int = 1,
) -> Affine:
    """Return the simplest layout whose weights and biases explain the output as well as those of single cells do.

    `factor` is what the weights of the line are to be multiplied by, cell by cell: it is 1 unless the sum of squares is
    divided by something else than the number of cells. The channels are those of `axis`: 0 for the weights of a layer.
    """
    hats = [x_hat(x, labels, line.form, eps, inside) / factor for x, _ in line.pairs]
    odd = [z for _, z in line.pairs]
    shape = labels.shape
    others = [a for a in range(len(shape)) if a != axis]
    channel = np.broadcast_to(np.expand_dims(np.arange(shape[axis]), others), shape)
    element = np.broadcast_to(np.arange(labels[0].size).reshape(shape[1:]), shape)
    fits = _Fits(hats, odd, line.bias, line.error, channel, resolution)
    one = np.zeros(shape, int)
    weight, bias = fits.solve(one)
    if not np.any(weight) and fits.holds(one, weight, bias):
        return Affine("channel", np.zeros(shape[axis]), np.full(shape[axis], bias[0]), 0.0)
    if fits.holds(one, np.ones(1), np.zeros(1)):
        return Affine("none", uniform=1.0)
    if fits.holds(one, weight, bias):
        return Affine("channel", np.full(shape[axis], weight[0]), np.full(shape[axis], bias[0]), float(weight[0]))
    layouts = [("channel", channel), ("element", element)]
    groups = _groups(labels)
    if groups is not None:
        layouts.insert(0, ("group", np.broadcast_to(groups.reshape(-1, *[1] * (len(shape) - 2)), shape)))
    for kind, where in layouts:
        weight, bias = fits.solve(where)
        if fits.holds(where, weight, bias):
            final = shape[1:] if kind == "element" else (-1,)
            return Affine(kind, weight.reshape(final), bias.reshape(final))
    return Affine()


class _Fits:
    """Least squares with one weight and one bias for each part of the cells."""

    def __init__(
        self, hats: list, odd: list, bias: np.ndarray, error: np.ndarray, channel: np.ndarray, u: float
    ) -> None:
        self.hats, self.odd, self.bias, self.channel = hats, odd, bias, channel
        size = np.sqrt(self._mean(np.square(odd).mean(0))) + np.sqrt(self._mean(np.square(bias)))
        # What the rounding of a set's mean does to all of its cells alike is no noise between them.
        self.noise = 4 * np.sqrt(self._mean(np.square(error))) + (4 * u if u > 1e-4 else max(32 * u, 1e-12)) * size

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over each channel."""
        return np.bincount(self.channel.ravel(), values.ravel()) / np.bincount(self.channel.ravel())

    def solve(self, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = where.ravel()
        count = np.bincount(flat)
        below = np.bincount(flat, np.square(self.hats).sum(0).ravel())
        across = np.bincount(flat, np.multiply(self.hats, self.odd).sum(0).ravel())
        weight = np.divide(across, below, out=np.zeros(below.shape), where=below > 0)
        return weight, np.bincount(flat, self.bias.ravel()) / count

    def holds(self, where: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> bool:
        """Whether every channel is explained to within its noise."""
        left = [np.square(z - weight[where] * h) for h, z in zip(self.hats, self.odd, strict=True)]
        left = [*left, np.square(self.bias - bias[where])]
        return all(bool((np.sqrt(self._mean(part)) <= self.noise).all()) for part in left)


def _groups(labels: np.ndarray) -> np.ndarray | None:
    """Which group each channel is in, where the sets group the channels of a sample."""
    by_channel = labels[0].reshape(labels.shape[1], -1)
    if not (by_channel == by_channel[:, :1]).all():
        return None
    groups = number(by_channel[:, 0])
    return groups if 1 < groups.max() + 1 < len(groups) else None
