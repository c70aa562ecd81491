"""Warnings about the running statistics of Batch Norm and Instance Norm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from normviz.inspect.audit.fixes import for_each, setting
from normviz.inspect.audit.registry import Text, rule
from normviz.inspect.audit.tensors import has_values, values

if TYPE_CHECKING:
    from normviz.inspect.audit.run import LayerRecord

GAP = 0.5
"""Half a standard deviation between train and eval output, beyond what the example's own few values explain."""
GAP_NOISE = {False: 3.0, True: 2.0}
"""How many times the gap expected by chance, by whether 8 channels or more are averaged, which makes it steadier."""
SHRUNK = 0.25
"""An example whose variance is a quarter of the running one on average comes out half as wide in eval mode; the gap,
which cannot exceed 1 on that side, would not show it."""
MANY = 1000
"""Numbers that are needed to judge a distribution."""
INITIAL = (1.0, 0.02)
"""Mean and standard deviation of the weights with which pix2pix, CycleGAN and DCGAN start; their biases are 0."""
MOST_MOMENTUM = 0.5
"""Larger ones come from frameworks in which momentum is the part that stays, such as 0.9 or 0.99."""
_LOAD = 'model.load_state_dict(torch.load("checkpoint.pt"), strict=True)  # with the buffers running_mean, running_var'


@rule("train-eval-gap")
def _train_eval_gap(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Running statistics that do not fit the example's own."""
    gap, ratio, independent = layer.measured.gap, layer.measured.ratio, layer.measured.independent
    if gap is None or ratio is None or independent is None or layer.frozen:
        return
    channels = layer.norm.channels
    # The mean of n independent values varies by 1 / n of the variance, and the standard deviation by 1 / 2n.
    chance = math.sqrt(1.5 / independent)
    limit = max(GAP, GAP_NOISE[channels >= 8] * chance)
    shrunk = min(SHRUNK, 1 - 3 * math.sqrt(2 / (independent * min(channels, 16))))
    if not gap > limit and not ratio < shrunk:
        return
    message = (
        f"with running statistics its output is {gap:.2g} standard deviations from that with the example's own "
        f"(chance alone: {chance:.2g}), and the example's variance {ratio:.2g} times the running one"
    )
    updates, momentum = layer.updates, layer.momentum
    if updates and momentum and (start := (1 - momentum) ** updates) > 0.05:
        s = "s" * (updates > 1)
        message += f"; after {updates} update{s} {start:.0%} of the initial 0 and 1 remains in them"
    remedy = "give an example like the training data; if it is one, run the model in train mode over more batches"
    numbers = {"gap": gap, "chance": chance, "limit": limit, "variance_ratio": ratio}
    fix = "torch.optim.swa_utils.update_bn(training_batches, model)"
    yield message, f"{remedy} to update the statistics", numbers, fix


@rule("train-mode", default=False)
def _train_mode(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    if layer.norm.running is not None and layer.mode == "train":
        effect = "running it changes its running statistics"
        if layer.norm.kind == "batch":
            effect = "its output depends on the other samples, and each run changes its running statistics"
        yield f"it is in train mode, so that {effect}", "call model.eval() before inference", {}, "model.eval()"


@rule("running-untouched", default=False)
def _running_untouched(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Running statistics that are still 0 and 1."""
    if layer.norm.running_untouched:
        message = f"its running statistics are still 0 and 1 in all C = {layer.norm.channels} channels"
        yield message, "train it, or load the buffers along with the weights", {}, _LOAD


@rule("statistics-not-loaded", of_model=True)
def _statistics_not_loaded(
    layers: Sequence[LayerRecord], training_batch: int | None
) -> Iterator[tuple[LayerRecord, Text]]:
    """Running statistics in use that are still 0 and 1, while the layer has been trained: one warning."""
    used = [layer for layer in layers if layer.norm.running_untouched and not layer.norm.own]
    learned = not _drawn_at_random(used)
    bad = [layer for layer in used if (learned and _varies(layer)) or _was_updated(layer)]
    if bad:
        why = "its weight or bias differ between channels" if _varies(bad[0]) else f"it counts {bad[0].updates} updates"
        message = f"it uses running statistics that are still 0 and 1, although {why}{_others(bad)}"
        remedy = "load running_mean and running_var along with the weights"
        yield bad[0], (message, remedy, {"layers": [layer.name for layer in bad]}, _LOAD)


@rule("frozen-but-training", of_model=True)
def _frozen_but_training(
    layers: Sequence[LayerRecord], training_batch: int | None
) -> Iterator[tuple[LayerRecord, Text]]:
    """No parameter has a gradient, and running the model still changes the running statistics: one warning."""
    bad = [layer for layer in layers if layer.held]
    if bad:
        message = "its parameters are frozen by requires_grad=False, but in train mode its running statistics change{}"
        remedy = "call .eval() on it after each model.train()"
        fix = for_each(bad, lambda _: "{}.eval()")
        yield bad[0], (message.format(_others(bad)), remedy, {"layers": [layer.name for layer in bad]}, fix)


@rule("momentum-reversed", of_model=True)
def _momentum_reversed(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    """Each batch replaces more than half of the running statistics: one warning."""
    bad = [r for r in layers if r.norm.running is not None and (r.momentum or 0) > MOST_MOMENTUM and not r.frozen]
    if bad:
        momentum = bad[0].momentum or 0.0
        right = float(f"{1 - momentum:.3g}") or 0.1
        message = f"momentum = {momentum:.4g}: each batch replaces {100 * momentum:.3g}% of the running statistics"
        remedy = f"use {right:g}, which is what TensorFlow and Keras call {1 - right:g}"
        fix = for_each(bad, lambda layer: setting(layer, "momentum", right))
        yield bad[0], (message + _others(bad), remedy, {"momentum": momentum, "layers": [r.name for r in bad]}, fix)


def _varies(layer: LayerRecord) -> bool:
    """Whether weight or bias differ between channels, as they do after training."""
    return any(np.ptp(numbers) > 0 for numbers in _affine(layer))


def _affine(layer: LayerRecord) -> list[np.ndarray]:
    return [values(t).reshape(-1) for t in (layer.norm.weight, layer.norm.bias) if t is not None and has_values(t)]


def _drawn_at_random(layers: Sequence[LayerRecord]) -> bool:
    """Whether all weights, and all biases, are one sample of a normal distribution, as RepVGG and DCGAN start.

    Trained ones have heavy tails. So skewness and kurtosis tell, if there are enough numbers; of few only INITIAL.
    """
    together = [np.concatenate(each) for each in zip(*map(_affine, layers), strict=False)]
    for numbers in together:
        n, mean, spread = numbers.size, numbers.mean(dtype=np.float64), numbers.std(dtype=np.float64)
        off = math.hypot((mean - INITIAL[0]) / INITIAL[1], (spread / INITIAL[1] - 1) * math.sqrt(2))
        if n < MANY and (not spread or off < 5 / math.sqrt(n)):
            continue
        z = (numbers - mean) / (spread or 1.0)
        if (
            n < MANY
            or abs(np.mean(z**3)) > 5 * math.sqrt(6 / n)
            or (spread and abs(np.mean(z**4) - 3) > 5 * math.sqrt(24 / n))
        ):
            return False
    return bool(together)


def _was_updated(layer: LayerRecord) -> bool:
    return bool(layer.updates) and layer.momentum != 0


def _others(layers: Sequence[LayerRecord]) -> str:
    more = len(layers) - 1
    return f" ({more} later layer{'s' * (more > 1)} as well)" if more else ""
