"""What an audit measures at every use of a normalization, so that no activation has to be kept."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Measurements:
    """Numbers of one use of a layer, taken during the run so that no activation has to be kept."""

    # finite_in, finite_out, finite_state: whether input, output, and running statistics with weight and bias have no
    # NaN or infinity
    finite_in: bool = True
    finite_out: bool = True
    finite_state: bool = True
    gap: float | None = None  # as `NormLayer.gap`
    ratio: float | None = None  # mean over the channels of the example's variance, unbiased, over the running one
    independent: float | None = None  # `independent_values` of the example
    dead: tuple[int, ...] = ()  # channels that carry nothing: constant, or with the weight 0 while others are not 0

    def and_then(self, later: Measurements) -> Measurements:
        """Return this with a later use of the same layer: gap and ratio stay those of the first use."""
        finite = {k: getattr(self, k) and getattr(later, k) for k in ("finite_in", "finite_out", "finite_state")}
        return replace(self, **finite, dead=tuple(c for c in self.dead if c in later.dead))


def measure_use(norm: Norm, x: Any, y: Any, *, dead: bool) -> Measurements:
    """Measure one use: its input x and output y are torch tensors, y may be None."""
    if not has_values(x) or not (y is None or has_values(y)):
        return Measurements()
    found = Measurements(_finite(x), y is None or _finite(y), norm.parameters_finite)
    if dead and 2 <= x.ndim <= 5 and norm.shape[0] * norm.cells > 1 and found.finite_in:
        found = replace(found, dead=_dead_channels(values(x), norm))
    if norm.running is None or norm.running_untouched or not (found.finite_in and found.finite_state):
        return found
    gap, ratio = _gap(moments(values(x).reshape(norm.shape), channel_axis=norm.channel_axis), norm)
    independent = independent_values(norm.shape[0] if norm.kind == "batch" else 1, norm.cells)
    return replace(found, gap=gap, independent=independent, ratio=ratio * independent / max(independent - 1, 1))


def independent_values(samples: int, cells: int) -> float:
    """Return how many independent values would have the same error of the mean as `samples` maps of `cells` cells.

    Each sample counts as at least one.

    >>> independent_values(32, 1), independent_values(8, 49)  # vectors; ResNet-50's last maps
    (32.0, 20.247933884297517)
    """
    return max(float(samples), samples * cells / CORRELATION**2)


def _gap(atoms: Moments, norm: Norm) -> tuple[float, float]:
    """Compare the output by the sets' own statistics with the one by the running statistics.

    If z is the output by the sets' own, then a + b z is the output by the running ones. So the mean square of the
    difference follows from the sets' means and variances: a^2 + (b - 1)^2 var(z).
    """
    own, eps = atoms.pool("batch" if norm.kind == "batch" else "instance"), norm.eps
    eps = DEFAULT_EPS if eps is None else eps
    mean, var = norm.running  # type: ignore[misc]
    spread = np.sqrt(var + eps)
    with np.errstate(all="ignore"):
        a, b = (own.mean - mean) / spread, np.sqrt(own.var + eps) / spread
        square = np.square(a) + np.square(b - 1) * own.var / (own.var + eps)
        return float(np.sqrt(square.mean())), float(np.mean((own.var + eps) / (var + eps)))


def _dead_channels(x: np.ndarray, norm: Norm) -> tuple[int, ...]:
    view = canonical(x, norm.channel_axis)
    spread = np.sqrt(moments(view).pool("batch").var)
    dead = spread <= DEAD * np.sqrt(np.square(view, dtype=np.float64).mean())
    if norm.weight is not None and norm.weight.numel() == view.shape[1]:
        weight = np.abs(values(norm.weight).reshape(-1))
        dead |= (weight <= DEAD * weight.max()) & bool(weight.any())  # a layer whose weights are all 0 starts so
    return tuple(np.flatnonzero(dead).tolist())


def _finite(x: Any) -> bool:
    return bool((x.dequantize() if x.is_quantized else x).isfinite().all())
