"""Warnings about the sets that a layer pools, and about the numbers that go through it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import divisors
from normviz.inspect.audit.fixes import group_norm, path_to, replace_by, setting
from normviz.inspect.audit.measurements import independent_values
from normviz.inspect.audit.registry import Text, rule
from normviz.inspect.audit.tensors import has_values, short_name, values

if TYPE_CHECKING:
    from normviz.inspect.audit.run import LayerRecord

SMALL_SET = 8
"""Sets of fewer cells are warned of. Mean and variance take two of |S| degrees of freedom: of 8 a quarter, of 4 half,
and of 2 all but the sign. The variance of 8 independent cells is off by sqrt(2 / 7), 53 %, of itself."""
NOISE = 0.2
"""Relative noise of Batch Norm's mean that is warned of, in standard deviations. ResNet-50's last maps are 7 x 7: at 16
images it is 0.16 there, and at 8 it is 0.22; between the two Batch Norm falls behind Group Norm (Wu & He 2018, Table 2:
23.7 against 24.2 at 16, 24.8 against 24.0 at 8)."""
SMALL_BATCH = 8
"""A smaller training_batch is warned of however large the maps are: in that table Batch Norm is 3.1 behind at 4."""
_REFUSED = " (torch refuses to run it; the audit continued with its input)"


@rule("one-value-per-set")
def _one_value_per_set(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Each set has one cell, so that the output is the bias whatever the input."""
    if _set_size(layer, training_batch) == 1:
        where, remedy, numbers, fix = _set_words(layer, 1, training_batch)
        message = f"{where} has one cell in each set, so its output is the bias for every input"
        yield message + _REFUSED * bool(layer.refused), remedy, numbers, fix


@rule("small-set")
def _small_set(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Sets of fewer than SMALL_SET cells."""
    size = _set_size(layer, training_batch)
    if size is not None and 1 < size < SMALL_SET and layer.smallest.kind != "batch":
        where, remedy, numbers, fix = _set_words(layer, size, training_batch)
        lost = min(2 if layer.smallest.centered else 1, size)
        message = f"{where} has {size} cells in each set, and the statistics use up {lost} degrees of freedom"
        yield message, remedy, numbers, fix


def _set_size(layer: LayerRecord, training_batch: int | None) -> int | None:
    """Return |S| in training; None if it is not known, as the example may have another number of samples."""
    norm = layer.smallest
    if norm.kind != "batch" or norm.size is None:
        return norm.size if norm.own else None  # with running statistics Instance Norm pools nothing
    if layer.frozen:
        return None
    if training_batch is not None:
        return norm.size // norm.shape[0] * training_batch
    return norm.size if norm.own and norm.size == 1 else None


def _set_words(layer: LayerRecord, size: int, training_batch: int | None) -> tuple[str, str, dict[str, Any], str]:
    """Return the place, and the remedy, numbers and code of a warning about the size of sets."""
    norm = layer.smallest
    where = f"{METHODS[norm.kind].label} on {norm.shape}"
    if norm.kind == "batch" and training_batch is not None:
        where += f" with {training_batch} sample{'s' * (training_batch > 1)} in training"
    remedies = {
        "batch": "use more samples or larger maps, or a norm within each sample",
        "group": "use fewer groups, or larger maps",
    }
    remedies |= dict.fromkeys(("instance", "frn"), "use Group Norm with several channels to a group, or larger maps")
    remedy = remedies.get(norm.kind, "pool more channels, or leave it out here")
    fix = group_norm(layer, least_size=SMALL_SET) if norm.kind in remedies else replace_by(layer, "torch.nn.Identity()")
    return where, remedy, {"size": size, "block": norm.block, "input_shape": norm.shape}, fix


@rule("accidental-instance", of_model=True)
def _accidental_instance(
    layers: Sequence[LayerRecord], training_batch: int | None
) -> Iterator[tuple[LayerRecord, Text]]:
    """Group Norm with G = C, which is Instance Norm; a G that suits wider layers is often set for all of a model."""
    elsewhere = {G for G, C, _ in map(_groups, layers) if G < C}
    for layer in layers:
        G, C, numbers = _groups(layer)
        if G == C > 1:
            message = f"Group Norm with G = C = {C} has one channel to a group: it is Instance Norm"
            message += f" here, and Group Norm in the wider layers with G = {G}" * (G in elsewhere)
            remedy = "use fewer groups, or InstanceNorm if you want that method"
            yield layer, (message, remedy, numbers, group_norm(layer, most_groups=C // 2))


@rule("small-batch", of_model=True)
def _small_batch(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    """Batch Norm's statistics would be noisy at training_batch samples: one warning, of the noisiest layer."""
    coupled = [layer for layer in layers if layer.norm.kind == "batch" and not layer.frozen]
    if training_batch is None or not coupled:
        return
    noise = {r.name: 1 / math.sqrt(independent_values(training_batch, r.smallest.cells)) for r in coupled}
    few = training_batch < SMALL_BATCH
    noisy = [layer for layer in coupled if few or noise[layer.name] > NOISE]
    if not noisy:
        return
    worst = max(noisy, key=lambda layer: (noise[layer.name], -layer.smallest.cells))
    of_mean, cells = noise[worst.name], training_batch * worst.smallest.cells
    of_std = of_mean / math.sqrt(2)
    message = (
        f"at training_batch={training_batch} the statistics of {len(noisy)} of {len(coupled)} Batch Norm layers are "
        f"noisy: at {short_name(worst.name)}, with {cells} cells in a set, the mean by about {of_mean:.2g} standard "
        f"deviations and the standard deviation by {of_std:.0%}, if cells are as alike as for photographs"
    )
    if few:
        message += (
            "; with ResNet-50 the error rises from 23.6 % at 32 samples to 27.3 % at 4 and 34.7 % at 2, and with Group "
            "Norm it stays at 24.1 % (Wu and He 2018, Table 2)"
        )
    numbers = {"training_batch": training_batch, "noise": of_mean, "noise_std": of_std}
    remedy = "use Group Norm, synchronize the statistics over devices, or freeze them"
    fix = f"{group_norm(worst)}; or, with several devices:\n"
    fix += "model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)"
    yield worst, (message, remedy, {**numbers, "layers": [layer.name for layer in noisy]}, fix)


@rule("non-finite", of_model=True)
def _non_finite(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    """NaN or infinity: one warning, of the first layer, as the later ones get its output."""
    bad = [r for r in layers if not (r.measured.finite_in and r.measured.finite_out and r.measured.finite_state)]
    if not bad:
        return
    first, path = bad[0].measured, path_to(bad[0].name)
    if not first.finite_state:
        message, remedy = "its weight, bias or running statistics hold NaN or infinity", "load a checkpoint from before"
        fix = 'model.load_state_dict(torch.load("before.pt"))'
    elif not first.finite_in:
        message, remedy = "its input holds NaN or infinity", "look for the cause between it and the layer before it"
        fix = f"{path}.register_forward_pre_hook(lambda _, args: print(args[0].isfinite().all()))"
    else:
        message, remedy = "its input is finite and its output is not", "use a larger eps, or float32 in this layer"
        fix = setting(bad[0], "eps", 1e-5).format(path)
    if len(bad) > 1:
        message += f" ({len(bad) - 1} later layer{'s' * (len(bad) > 2)} as well)"
    yield bad[0], (message, remedy, {"layers": [layer.name for layer in bad]}, fix)


@rule("constant-output", of_model=True)
def _constant_output(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    """The output does not depend on the input, which is not constant."""
    weights = {r.name: values(w) for r in layers if (w := r.norm.weight) is not None and has_values(w)}
    empty = {name for name, weight in weights.items() if not weight.any()}
    # Layers that end a residual branch start with the weight 0, and are of no concern while nothing is trained.
    trained = any(np.ptp(weight) > 0 for weight in weights.values()) or len(empty) == len(weights)
    for layer in layers:
        vanished, sets, why = layer.measured.vanished
        numbers = {"sets": vanished, "eps": layer.norm.eps}
        where = f" in {vanished:,} of {sets:,} sets" if vanished < sets else ""
        bias, path = layer.norm.bias, path_to(layer.name)
        biased = bias is not None and has_values(bias) and values(bias).any()
        what = "output is the bias alone" if biased else "output all 0"
        if layer.name in empty and layer.measured.constant and trained and layer.norm.size != 1:
            fix = f"torch.nn.init.ones_({path}.{layer.stored_as.get('weight', 'weight')})"
            yield (
                layer,
                (f"{what} whatever the input: its weight is 0", "set it to 1, or remove the layer", numbers, fix),
            )
        elif vanished and why == "eps":
            message = f"{what.replace('all', 'nearly')} from a non-zero input{where}: the variance is far below eps = "
            fix = setting(layer, "eps", 1e-5).format(path)
            yield layer, (f"{message}{layer.norm.eps:g}", "use a smaller eps, such as 1e-5", numbers, fix)
        elif vanished:
            message = f"{what} from a non-zero input{where}: squares overflow in {layer.measured.dtype}"
            fix = f"x = x.float()  # first in the forward of {path}; last: y.to(torch.{layer.measured.dtype})"
            yield layer, (message, "compute the statistics in float32", numbers, fix)


@rule("groups-do-not-divide")
def _groups_do_not_divide(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    G, C, numbers = _groups(layer)
    if G and C % G:
        message = f"num_groups={G} does not divide C={C}"
        message += _REFUSED if layer.refused else ", so groups differ in size"
        yield message, f"use one of {', '.join(map(str, divisors(C)))}", numbers, group_norm(layer, most_groups=G)


def _groups(layer: LayerRecord) -> tuple[int, int, dict[str, Any]]:
    """Return G, C, and both by name; G is 0 if the layer does not take a number of groups."""
    G, C = (layer.norm.num_groups or 0) * layer.norm.grouped, layer.norm.channels
    return G, C, {"num_groups": G, "channels": C}


@rule("dead-channel", default=False)
def _dead_channel(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    if dead := layer.measured.dead:
        first = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
        message = f"{len(dead)} of C = {layer.norm.channels} channels are constant on this example: {first}"
        fix = f"nv.audit(model, example).explore({short_name(layer.name)!r})"
        yield message, "look at the layers before it, or prune them", {"channels": dead}, fix


@rule("bias-before-norm", default=False)
def _bias_before_norm(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """A bias that the normalization takes out again: every set lies in one channel and loses its mean."""
    norm = layer.norm
    per_channel = norm.centered and norm.block is not None and norm.block[norm.channel_axis] == 1
    if layer.bias_before and per_channel and not layer.frozen:
        before = short_name(str(layer.before))
        message = f"the mean removes the bias of {before}, because each set is one channel"
        numbers = {"before": layer.before, "parameters": layer.norm.channels}
        yield message, f"give {before} bias=False", numbers, f"{path_to(str(layer.before))}.bias = None"


@rule("group-one", default=False)
def _group_one(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    G, C, numbers = _groups(layer)
    if G == 1 < C:
        message = f"Group Norm with one group pools all C = {C} channels: it has Layer Norm's statistics"
        yield message, "use more groups if you want Group Norm", numbers, group_norm(layer)


@rule("back-to-back", default=False, of_model=True)
def _back_to_back(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    names = {layer.name for layer in layers}
    for layer in layers:
        before = next((n for n in (layer.before, str(layer.before).partition(":")[0]) if n in names), None)
        if before:
            message = f"its input is the output of {short_name(before)}, with no layer in between"
            fix = replace_by(layer, "torch.nn.Identity()")
            yield layer, (message, "remove one of the two", {"before": before}, fix)


@rule("eps-underflow", default=False)
def _eps_underflow(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    if dtype := layer.measured.eps_lost_in:
        message = f"eps = {layer.norm.eps:g} is 0 in {dtype}"
        own = "a forward that computes in float32 keeps eps, any other loses it"
        torchs = "torch's own kernels add eps in float32, but an exported layer loses it"
        message += f"; {own if layer.known_by == 'output' else torchs}"
        fix = setting(layer, "eps", 1e-5).format(path_to(layer.name))
        yield message, "use a larger eps, such as 1e-5, or compute in float32", {"eps": layer.norm.eps}, fix
