"""What is measured at a normalization while the model runs, so that no activation need be kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normviz.core.moments import Moments
from normviz.core.pooling import canonical
from normviz.functions.reduce import moments
from normviz.inspect.audit.layers import Norm

CORRELATION = 4.4
"""How much larger the error of a batch's mean is than for independent cells, as measured on filter responses of
photographs: neighbouring cells of a map resemble each other, so N * H * W of them count like N * H * W / 4.4^2."""
EPS = 1e-5
"""What is taken where a layer's own eps could not be told."""
DEAD = 1e-5
"""A channel whose standard deviation is below this part of the layer's root mean square is constant to rounding."""


@dataclass(frozen=True)
class Measured:
    """What one use of a layer showed.

    Attributes
    ----------
    finite_in, finite_out, finite_state
        Whether input, output, and running statistics with weight and bias have finite numbers alone.
    gap
        As `Layer.gap`.
    ratio
        Mean over the channels of the example's variance, unbiased, over the running one.
    independent
        How many independent values the example's cells of a channel count like.
    dead
        Channels that carry nothing: constant, or given the weight 0 while others are not.
    """

    finite_in: bool = True
    finite_out: bool = True
    finite_state: bool = True
    gap: float | None = None
    ratio: float | None = None
    independent: float | None = None
    dead: tuple[int, ...] = ()

    def and_then(self, later: Measured) -> Measured:
        """Return this with what a later use adds: the numbers stay the first one's."""
        finite = {k: getattr(self, k) and getattr(later, k) for k in ("finite_in", "finite_out", "finite_state")}
        return replace(self, **finite, dead=tuple(c for c in self.dead if c in later.dead))


def effective(samples: int, cells: int) -> float:
    """Return how many independent values `samples` maps of `cells` cells count like; each sample is one at least.

    >>> effective(32, 1), effective(8, 49)  # vectors; ResNet-50's last maps
    (32.0, 20.247933884297517)
    """
    return max(float(samples), samples * cells / CORRELATION**2)


def values(x: Any) -> np.ndarray:
    """Return a torch tensor of any device and floating dtype as a NumPy array; no copy where none is needed."""
    x = x.detach()
    if x.is_quantized:
        x = x.dequantize()
    if str(x.dtype) not in ("torch.float16", "torch.float32", "torch.float64"):
        x = x.float()
    return np.from_dlpack(x.cpu())  # x.numpy() would forbid x, and so a parameter, ever to be resized


def measure(norm: Norm, x: Any, y: Any, *, dead: bool) -> Measured:
    """Measure one use: its input x and output y are torch tensors."""
    from normviz.inspect.audit.tensors import plain

    if not plain(x) or not (y is None or plain(y)):
        return Measured()
    found = Measured(
        finite_in=_finite(x),
        finite_out=y is None or _finite(y),
        finite_state=all(_finite(t) for t in (norm.weight, norm.bias) if t is not None)
        and all(np.isfinite(r).all() for r in norm.running or ()),
    )
    if dead and 2 <= x.ndim <= 5 and norm.shape[0] * norm.cells > 1 and found.finite_in:
        found = replace(found, dead=_dead(values(x), norm))
    if norm.running is None or untouched_running(norm) or not (found.finite_in and found.finite_state):
        return found
    atoms = moments(values(x).reshape(norm.shape), channel_axis=norm.channel_axis)
    gap, ratio = _gap(atoms, norm)
    samples = norm.shape[0] if norm.kind == "batch" else 1
    independent = effective(samples, norm.cells)
    return replace(found, gap=gap, independent=independent, ratio=ratio * independent / max(independent - 1, 1))


def untouched_running(norm: Norm) -> bool:
    """Whether the running statistics are still the 0 and 1 that they start with."""
    return norm.running is not None and not norm.running[0].any() and bool((norm.running[1] == 1).all())


def _gap(atoms: Moments, norm: Norm) -> tuple[float, float]:
    """Compare normalizing by the sets' own statistics with normalizing by the running ones.

    Of z by the sets' own, a + b z is what the running ones give, so the mean square of the difference follows from the
    sets' means and variances: a^2 + (b - 1)^2 var(z).
    """
    own, eps = atoms.pool("batch" if norm.kind == "batch" else "instance"), EPS if norm.eps is None else norm.eps
    mean, var = norm.running  # type: ignore[misc]
    spread = np.sqrt(var + eps)
    with np.errstate(all="ignore"):
        a, b = (own.mean - mean) / spread, np.sqrt(own.var + eps) / spread
        square = np.square(a) + np.square(b - 1) * own.var / (own.var + eps)
        return float(np.sqrt(square.mean())), float(np.mean((own.var + eps) / (var + eps)))


def _dead(x: np.ndarray, norm: Norm) -> tuple[int, ...]:
    view = canonical(x, norm.channel_axis)
    spread = np.sqrt(moments(view).pool("batch").var)
    dead = spread <= DEAD * np.sqrt(np.square(view, dtype=np.float64).mean())
    if norm.weight is not None and norm.weight.numel() == view.shape[1]:
        weight = np.abs(values(norm.weight).reshape(-1))
        dead |= (weight <= DEAD * weight.max()) & bool(weight.any())  # all of them 0 is a start that is meant
    return tuple(np.flatnonzero(dead).tolist())


def _finite(x: Any) -> bool:
    x = x.dequantize() if x.is_quantized else x
    return not x.is_floating_point() or bool(x.isfinite().all())
