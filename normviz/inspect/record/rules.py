"""What a recording warns of, and the step at which each began.

To add a warning, add one function with the decorator `rule`, and its cause and remedy in `inspect/codes.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.inspect.audit.measurements import DEAD, independent_values
from normviz.inspect.audit.statistics_rules import GAP, GAP_NOISE
from normviz.inspect.audit.tensors import short_name

if TYPE_CHECKING:
    from normviz.inspect.record.layer import LayerRecording

NEAR_ZERO = 0.01
"""A weight below this part of the layer's largest one is near 0. A layer whose weights all start at 0 has none."""
LASTING = 3
"""Recorded steps in a row from which on a state counts, unless it lasts to the end of the recording."""
WARM_UP = 30
"""Training forwards after which, with the usual momentum of 0.1, less than 5 % of the initial 0 and 1 is left."""

Found = tuple[int, str, dict[str, Any]]
"""What a rule yields: the index of the recorded step, the message, and its numbers."""
RECORD_RULES: dict[str, tuple[Callable[[Sequence[int], Any], Iterator[Found]], str]] = {}
"""By code: a function of the steps and a layer, which yields at most one warning, and the remedy."""


@dataclass(frozen=True)
class RecordWarning:
    """One thing about a layer that a recording warns of.

    Attributes
    ----------
    code
        A key of RECORD_RULES.
    layer
        Name of the layer.
    step
        The recorded step at which it began.
    message, remedy
        One sentence with the sizes, and how to mend it.
    numbers
        The numbers of the message, by name.
    """

    code: str
    layer: str
    step: int
    message: str
    remedy: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} at {short_name(self.layer)}, from step {self.step} on: {self.message}; {self.remedy}"


def find_warnings(steps: Sequence[int], layers: Sequence[LayerRecording]) -> list[RecordWarning]:
    """Return the warnings about all layers, in the order of their steps."""
    found = []
    for layer in layers:
        for code, (apply, remedy) in RECORD_RULES.items():
            with np.errstate(all="ignore"):
                for index, message, numbers in apply(steps, layer):
                    found.append(RecordWarning(code, layer.name, steps[index], message, remedy, numbers))
    return sorted(found, key=lambda warning: warning.step)


def rule(code: str, remedy: str) -> Callable:
    """Register a function as the rule of a code."""

    def register(apply: Callable) -> Callable:
        RECORD_RULES[code] = apply, remedy
        return apply

    return register


@rule("non-finite", "look at the layers before it, lower the learning rate, or clip the gradient")
def _non_finite(steps: Sequence[int], layer: LayerRecording) -> Iterator[Found]:
    """NaN or infinity in the input, the running statistics, weight or bias."""
    names = ("mean", "var", "running_mean", "running_var", "weight", "bias")
    bad = {name: ~np.isfinite(a).all(1) & layer.called for name in names if (a := getattr(layer, name)) is not None}
    if not any(b.any() for b in bad.values()):
        return
    first = min(int(b.argmax()) for b in bad.values() if b.any())
    where = [name for name, b in bad.items() if b[first]]
    if "mean" in where or "var" in where:
        where = ["input", *(name for name in where if name not in ("mean", "var"))]
    yield first, f"NaN or infinity in {', '.join(name.replace('_', ' ') for name in where)}", {"where": where}


@rule("variance-below-eps", "scale its input up, or use a smaller eps")
def _variance_below_eps(steps: Sequence[int], layer: LayerRecording) -> Iterator[Found]:
    """The variance of a set is below eps, so eps decides the output."""
    if not layer.eps:
        return
    below = layer.set_var < layer.eps
    if below[:, 0].any():
        t = int(below[:, 0].argmax())
        part = "all sets have" if below[t, 4] else "half of the sets have" if below[t, 2] else "some sets have"
        least = float(layer.set_var[t, 0])
        numbers = {"least": least, "eps": layer.eps}
        yield t, f"{part} a variance below eps = {layer.eps:g}, the smallest {least:.2g}", numbers


@rule("running-behind", "use a larger momentum or a lower learning rate, or renew the statistics before inference")
def _running_behind(steps: Sequence[int], layer: LayerRecording) -> Iterator[Found]:
    """Running statistics that do not follow those of the batches."""
    squares = layer.squared_gaps()
    if squares is None:
        return
    gaps, limits = np.full((2, len(steps)), np.nan)
    for t in np.flatnonzero(layer.called & layer.own):
        gaps[t] = np.sqrt(squares[t].mean())
        samples = int(layer.samples[t])
        chance = np.sqrt(1.5 / independent_values(samples, int(layer.count[t]) // max(samples, 1)))
        limits[t] = max(GAP, GAP_NOISE[layer.mean.shape[1] >= 8] * chance)
    for first, last in _stretches(gaps > limits):
        if first == 0 and last < len(steps) - 1 and steps[last] < WARM_UP:
            continue  # what a run starts with has not been forgotten yet
        gap = float(np.median(gaps[first : last + 1]))
        message = f"the outputs by its running and by the batch's statistics are {gap:.2g} standard deviations apart"
        yield first, message, {"gap": gap, "limit": float(limits[first]), "until": steps[last]}
        return


@rule("dead-channel", "look at the layers before it, lower the learning rate, or prune the channel")
def _dead_channel(steps: Sequence[int], layer: LayerRecording) -> Iterator[Found]:
    """A channel of the input has one value."""
    size = np.mean(layer.var + np.square(layer.mean), 1, keepdims=True)
    counted = (layer.called & (layer.count > 1))[:, None]
    yield from _of_channels(counted & (layer.var <= DEAD**2 * size), "the input is constant in")


@rule("weight-near-zero", "prune the channel, or exclude norm layers from weight decay")
def _weight_near_zero(steps: Sequence[int], layer: LayerRecording) -> Iterator[Found]:
    """A weight that is nearly 0, while others of the layer are not."""
    if layer.weight is not None:
        size = np.abs(layer.weight)
        largest = size.max(1, keepdims=True)
        yield from _of_channels((size <= NEAR_ZERO * largest) & (largest > 0), "the weight is near 0 in")


@rule("batch-of-one", "drop an incomplete last batch, or use Group Norm")
def _batch_of_one(steps: Sequence[int], layer: LayerRecording) -> Iterator[Found]:
    """Batch Norm on one sample."""
    alone = (layer.samples == 1) & layer.own
    if layer.kind == "batch" and alone.any():
        yield int(alone.argmax()), "the batch has one sample, so its statistics are those of this sample", {}


def _of_channels(bad: np.ndarray, what: str) -> Iterator[Found]:
    """Yield the first lasting stretch of any channel."""
    found = {}
    for c in np.flatnonzero(bad.any(0)):
        for first, _ in _stretches(bad[:, c]):
            found[int(c)] = first
            break
    if found:
        channels = sorted(found)
        some = ", ".join(map(str, channels[:8])) + ", ..." * (len(channels) > 8)
        message = f"{what} {len(channels)} of C = {bad.shape[1]} channels ({some})"
        yield min(found.values()), message, {"channels": channels}


def _stretches(bad: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last index of each stretch of True that lasts."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(int)))
    pairs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(a, b) for a, b in pairs if b - a + 1 >= LASTING or b == len(bad) - 1]
