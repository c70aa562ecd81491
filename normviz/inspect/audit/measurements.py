"""What an audit measures at every use of a normalization, so that no activation has to be kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normviz.core.moments import Moments
from normviz.core.pooling import canonical
from normviz.functions.reduce import moments
from normviz.inspect.audit.detect import DEFAULT_EPS
from normviz.inspect.audit.tensors import has_values, values
from normviz.inspect.audit.torch_norms import Norm

CORRELATION = 4.4
"""How much larger the error of a batch's mean is than for independent cells, as measured on filter responses of
photographs: neighbouring cells of a map are correlated, so N * H * W of them count like N * H * W / 4.4^2."""
DEAD = 1e-5
"""A channel whose standard deviation is below this part of the layer's root mean square is constant to rounding."""

LARGE_EPS = 0.01
"""The largest eps in use is 1e-3, that of Keras."""
TRACE = 0.03
"""An output whose root mean square, before weight and bias, is below this is as good as constant."""
FIRST = 0.999
"""The part that a first update replaces, if the running mean is the average of all batches so far."""


@dataclass(frozen=True)
class Measurements:
    """Numbers of one use of a layer, taken during the run so that no activation has to be kept."""

    # finite_in, finite_out, finite_state: whether input, output, and running statistics with weight and bias have no
    # NaN or infinity
    finite_in: bool = True
    finite_out: bool = True
    finite_state: bool = True
    constant: bool = False  # whether every channel of the output has one value, looked at if the weight is 0
    gap: float | None = None  # as `NormLayer.gap`
    ratio: float | None = None  # mean over the channels of the example's variance, unbiased, over the running one
    independent: float | None = None  # `independent_values` of the example
    dead: tuple[int, ...] = ()  # channels that carry nothing: constant, or with the weight 0 while others are not 0
    dtype: str = "float32"  # of the input
    eps_lost_in: str = ""  # the dtype of the weight, or of the input if there is none, if eps is 0 in it
    momentum: float | None = None  # the part of the running mean that this use replaced, of a norm known by its output
    # how many sets of the input, which are not constant, left no trace in the output; of how many; "overflow" or "eps"
    vanished: tuple[int, int, str] = (0, 0, "")

    def and_then(self, later: Measurements) -> Measurements:
        """Return this with a later use of the same layer: gap and ratio stay those of the first use."""
        finite = {k: getattr(self, k) and getattr(later, k) for k in ("finite_in", "finite_out", "finite_state")}
        dead = tuple(c for c in self.dead if c in later.dead)
        return replace(self, **finite, dead=dead, vanished=max(self.vanished, later.vanished))


def measure_use(norm: Norm, x: Any, y: Any, *, dead: bool) -> Measurements:
    """Measure one use: its input x and output y are torch tensors, y may be None."""
    if not has_values(x) or not (y is None or has_values(y)):
        return Measurements()
    low, high = _range(x)
    finite_out = y is None or all(map(math.isfinite, _range(y)))
    found = Measurements(math.isfinite(high - low), finite_out, norm.parameters_finite)
    found = replace(found, dtype=str(x.dtype).removeprefix("torch."), eps_lost_in=_eps_lost_in(norm, x))
    if not found.finite_in or not found.finite_state:
        return found
    if dead and 2 <= x.ndim <= 5 and norm.shape[0] * norm.cells > 1:
        found = replace(found, dead=_dead_channels(values(x), norm))
    if y is not None and norm.weight is not None and has_values(norm.weight) and not norm.weight.any():
        found = replace(found, constant=_is_constant(y, norm))
    if y is not None and finite_out and norm.own and norm.size not in (None, 0, 1):
        found = replace(found, vanished=_vanished_sets(norm, x, y, max(-low, high)))
    if norm.running is None or (norm.running_untouched and norm.mean_after is None):
        return found
    atoms = moments(values(x).reshape(norm.shape), channel_axis=norm.channel_axis)
    if norm.mean_after is not None and norm.own:
        found = replace(found, momentum=_replaced_part(atoms, norm))
    if norm.running_untouched:
        return found
    gap, ratio = _gap(atoms, norm)
    independent = independent_values(norm.shape[0] if norm.kind == "batch" else 1, norm.cells)
    return replace(found, gap=gap, independent=independent, ratio=ratio * independent / max(independent - 1, 1))


def _vanished_sets(norm: Norm, x: Any, y: Any, largest: float) -> tuple[int, int, str]:
    """Return how many sets of x, which are not constant, left no trace in y, of how many, and why."""
    import torch

    eps, limit = norm.eps or 0.0, math.sqrt(torch.finfo(x.dtype).max) if x.is_floating_point() else math.inf
    block, count = norm.block or (), norm.count or 0
    if eps <= LARGE_EPS and largest <= limit:
        return 0, 0, ""

    def of_sets(t: Any) -> Any:
        """Return the cells with an axis for the sets and one for the cells of a set."""
        pairs = [part for n, b in zip(norm.shape, block, strict=True) for part in (n // b, b)]
        parts = t.reshape(pairs)
        return parts.permute(*range(0, parts.ndim, 2), *range(1, parts.ndim, 2)).reshape(count, -1)

    cells = of_sets(x.double())
    if norm.centered:
        cells = cells - cells.mean(1, keepdim=True)
    if eps > LARGE_EPS:
        var = cells.square().mean(1)
        return int(((var > 0) & (var < TRACE**2 * eps)).sum()), count, "eps"
    bias = torch.zeros((), dtype=y.dtype) if norm.bias is None else norm.bias
    if bias.numel() == norm.channels and norm.channel_axis == 1:
        bias = bias.reshape(-1, *[1] * (len(norm.shape) - 2))
    # an activation may follow the bias
    all_empty = count > 1 and _is_constant(y, norm) and not _is_constant(x, norm)
    empty = of_sets(y.reshape(norm.shape) == bias).all(1) | all_empty
    return int(((cells.abs().amax(1) > limit) & empty).sum()), count, "overflow"


def _is_constant(t: Any, norm: Norm) -> bool:
    """Whether all cells of a channel have one value, in each channel."""
    of_channel = t.reshape(norm.shape).movedim(norm.channel_axis, 0).flatten(1)
    return bool((of_channel == of_channel[:, :1]).all())


def _eps_lost_in(norm: Norm, x: Any) -> str:
    """Return the dtype of the weight, or of the input if there is none, if eps is 0 in it; else an empty text."""
    import torch

    dtype = (x if norm.weight is None else norm.weight).dtype
    lost = norm.eps is not None and dtype.is_floating_point and not torch.tensor(norm.eps).to(dtype).any()
    return str(dtype).removeprefix("torch.") * bool(lost)


def _range(x: Any) -> tuple[float, float]:
    """Return the least and the largest value; NaN if there is one."""
    low, high = (x.dequantize() if x.is_quantized else x).aminmax()
    return low.item(), high.item()


def _replaced_part(atoms: Moments, norm: Norm) -> float | None:
    """Return which part of the running mean the batch's mean has replaced; None if it cannot be told.

    A cumulative average replaces all of it at its first update.
    """
    before, after = norm.running[0], norm.mean_after  # type: ignore[index]
    way = atoms.pool("batch").mean.reshape(-1) - before
    if not way.any():
        return None
    part = float(way @ (after - before) / (way @ way))
    return None if norm.running_untouched and part > FIRST else part


def independent_values(samples: int, cells: int) -> float:
    """Return how many independent values would have the same error of the mean as `samples` maps of `cells` cells.

    Each sample counts as at least one.

    >>> independent_values(32, 1), independent_values(8, 49)  # vectors; ResNet-50's last maps
    (32.0, 20.247933884297517)
    """
    return max(float(samples), samples * cells / CORRELATION**2)


def _gap(atoms: Moments, norm: Norm) -> tuple[float, float]:
    own = atoms.pool("batch" if norm.kind == "batch" else "instance")
    return gap_and_ratio(own.mean, own.var, *norm.running, DEFAULT_EPS if norm.eps is None else norm.eps)  # type: ignore[misc]


def gap_and_ratio(
    mean: np.ndarray, var: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> tuple[float, float]:
    """Return the gap of all sets together, and how much larger their variance is than the running one."""
    with np.errstate(all="ignore"):
        square = squared_gaps(mean, var, running_mean, running_var, eps)
        return float(np.sqrt(square.mean())), float(np.mean((var + eps) / (running_var + eps)))


@np.errstate(all="ignore")
def squared_gaps(
    mean: np.ndarray, var: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray, eps: float
) -> np.ndarray:
    """Compare the output by each set's own statistics with the one by the running statistics.

    If z is the output by the set's own, then a + b z is the output by the running ones. So the mean square of the
    difference follows from the set's mean and variance: a^2 + (b - 1)^2 var(z).
    """
    spread = np.sqrt(running_var + eps)
    a, b = (mean - running_mean) / spread, np.sqrt(var + eps) / spread
    return np.square(a) + np.square(b - 1) * var / (var + eps)


def _dead_channels(x: np.ndarray, norm: Norm) -> tuple[int, ...]:
    view = canonical(x, norm.channel_axis)
    spread = np.sqrt(moments(view).pool("batch").var)
    dead = spread <= DEAD * np.sqrt(np.square(view, dtype=np.float64).mean())
    if norm.weight is not None and norm.weight.numel() == view.shape[1]:
        weight = np.abs(values(norm.weight).reshape(-1))
        dead |= (weight <= DEAD * weight.max()) & bool(weight.any())  # a layer whose weights are all 0 starts so
    return tuple(np.flatnonzero(dead).tolist())
