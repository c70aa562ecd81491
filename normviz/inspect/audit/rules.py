"""The rules that turn what an audit measured into warnings.

To add a warning, add one function with the decorator `rule`, and its cause and remedy in `inspect/codes.json`. Its code
is then known to `audit`, to the command line and to the messages about unknown codes. A number that it needs from the
run goes into `Measurements`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from normviz.core.methods import METHODS
from normviz.core.pooling import divisors
from normviz.inspect.audit.fixes import group_norm, path_to, replace_by
from normviz.inspect.audit.measurements import independent_values
from normviz.inspect.audit.tensors import short_name

if TYPE_CHECKING:
    from normviz.inspect.audit.run import LayerRecord

SMALL_SET = 8
"""Sets of fewer cells are warned of. Mean and variance take two of |S| degrees of freedom: of 8 a quarter, of 4 half,
and of 2 all but the sign. The variance of 8 independent cells is off by sqrt(2 / 7), 53 %, of itself."""
NOISE = 0.2
"""Relative noise of Batch Norm's mean that is warned of, in standard deviations. ResNet-50's last maps are 7 x 7: at 16
images it is 0.16 there, and at 8 it is 0.22; between the two Batch Norm falls behind Group Norm (Wu & He 2018, Table 2:
23.7 against 24.2 at 16, 24.8 against 24.0 at 8)."""
GAP = 0.5
"""Half a standard deviation between train and eval output, beyond what the example's own few values explain."""
GAP_NOISE = {False: 3.0, True: 2.0}
"""How many times the gap expected by chance, by whether 8 channels or more are averaged, which makes it steadier."""
SHRUNK = 0.25
"""An example whose variance is a quarter of the running one on average comes out half as wide in eval mode; the gap,
which cannot exceed 1 on that side, would not show it."""
_LOAD = 'model.load_state_dict(torch.load("checkpoint.pt"), strict=True)  # with the buffers running_mean, running_var'
_REFUSED = " (torch refuses to run it; the audit continued with its input)"


@dataclass(frozen=True)
class AuditWarning:
    """One thing about a layer that an audit warns of.

    Attributes
    ----------
    code
        A key of RULES.
    layer
        Name of the layer.
    message, remedy
        One sentence with the sizes, and how to mend it.
    numbers
        The numbers of the message, by name.
    fix
        The remedy as one or two lines of Python, in which `model` is the model; not part of the JSON.
    """

    code: str
    layer: str
    message: str
    remedy: str
    numbers: dict[str, Any] = field(default_factory=dict)
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.code} at {short_name(self.layer)}: {self.message}; {self.remedy}"


Text = tuple[str, str, dict[str, Any]] | tuple[str, str, dict[str, Any], str]
"""What a rule yields for a warning: message, remedy, the numbers by name, and the remedy as code."""


class Rule(NamedTuple):
    """A function that may warn, and when and on what it is called."""

    apply: Callable
    default: bool
    of_model: bool


RULES: dict[str, Rule] = {}
"""Code -> rule, filled by the decorator `rule`."""


def rule(code: str, *, default: bool = True, of_model: bool = False) -> Callable:
    """Make a function a rule of every audit or, if it is not a `default`, of those that ask for its code.

    It gets the record of one layer and `training_batch`, and yields a Text if it warns. A rule `of_model` gets the
    records of all layers instead, in order of use, and yields pairs of a record and a Text.
    """

    def register(apply: Callable) -> Callable:
        RULES[code] = Rule(apply, default, of_model)
        return apply

    return register


def find_warnings(layers: Sequence[LayerRecord], training_batch: int | None, codes: set[str]) -> list[AuditWarning]:
    """Return the warnings with these codes: those of single layers in order of use, then those of the model."""
    rules = [(code, row) for code, row in RULES.items() if code in codes]
    found = [(c, r, t) for r in layers for c, row in rules if not row.of_model for t in row.apply(r, training_batch)]
    found += [(c, r, t) for c, row in rules if row.of_model for r, t in row.apply(layers, training_batch)]
    return [AuditWarning(code, record.name, *text) for code, record, text in found]


@rule("one-value-per-set")
def _one_value_per_set(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Each set has one cell, so that the output is the bias whatever the input."""
    if _set_size(layer, training_batch) == 1:
        where, remedy, numbers, fix = _set_words(layer, 1, training_batch)
        message = f"{where} has one cell in each set, so that its output is the bias whatever the input"
        yield message + _REFUSED * bool(layer.refused), remedy, numbers, fix


@rule("small-set")
def _small_set(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Sets of fewer than SMALL_SET cells."""
    size = _set_size(layer, training_batch)
    if size is not None and 1 < size < SMALL_SET and layer.smallest.kind != "batch":
        where, remedy, numbers, fix = _set_words(layer, size, training_batch)
        lost = min(2 if layer.smallest.centered else 1, size)
        message = f"{where} has {size} cells in each set, of which the statistics take {lost} degrees of freedom"
        yield message, remedy, numbers, fix


def _set_size(layer: LayerRecord, training_batch: int | None) -> int | None:
    """Return |S| in training; None if it is not known, as the example may have another number of samples."""
    norm = layer.smallest
    if norm.kind != "batch" or norm.size is None:
        return norm.size
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


@rule("accidental-instance")
def _accidental_instance(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Group Norm with G = C, which is Instance Norm."""
    G, C, numbers = _groups(layer)
    if G == C > 1:
        message = f"Group Norm with G = C = {C} has one channel to a group: it is Instance Norm"
        remedy = "use fewer groups, or InstanceNorm if it is meant"
        yield message, remedy, numbers, group_norm(layer, most_groups=C // 2)


@rule("small-batch", of_model=True)
def _small_batch(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    """Batch Norm's statistics would be noisy at training_batch samples: one warning, of the noisiest layer."""
    coupled = [layer for layer in layers if layer.norm.kind == "batch" and not layer.frozen]
    if training_batch is None or not coupled:
        return
    noise = {r.name: 1 / math.sqrt(independent_values(training_batch, r.smallest.cells)) for r in coupled}
    noisy = [layer for layer in coupled if noise[layer.name] > NOISE]
    if not noisy:
        return
    worst = max(noisy, key=lambda layer: (noise[layer.name], -layer.smallest.cells))
    of_mean, cells = noise[worst.name], training_batch * worst.smallest.cells
    of_std = of_mean / math.sqrt(2)
    message = (
        f"at training_batch={training_batch} the statistics of {len(noisy)} of {len(coupled)} Batch Norm layers are "
        f"noisy: at {short_name(worst.name)}, with {cells} cells in a set, the mean by about {of_mean:.2g} standard "
        f"deviations and the standard deviation by {of_std:.0%}"
    )
    numbers = {"training_batch": training_batch, "noise": of_mean, "noise_std": of_std}
    remedy = "use Group Norm, synchronize the statistics over devices, or freeze them"
    fix = f"{group_norm(worst)}  # or, with several devices:\n"
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
        fix = f"{path}.eps = 1e-5"
    if len(bad) > 1:
        message += f" ({len(bad) - 1} later layer{'s' * (len(bad) > 2)} as well)"
    yield bad[0], (message, remedy, {"layers": [layer.name for layer in bad]}, fix)


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
        message += f"; after {updates} update{s} {start:.0%} of the initial 0 and 1 is still in them"
    remedy = "give an example like the training data; if it is one, run the model in train mode over more batches"
    numbers = {"gap": gap, "chance": chance, "limit": limit, "variance_ratio": ratio}
    fix = "torch.optim.swa_utils.update_bn(training_batches, model)"
    yield message, f"{remedy} to renew the statistics", numbers, fix


@rule("groups-do-not-divide")
def _groups_do_not_divide(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """A number of groups that does not divide C."""
    G, C, numbers = _groups(layer)
    if G and C % G:
        message = f"num_groups={G} does not divide C={C}"
        message += _REFUSED if layer.refused else ", so groups differ in size"
        yield message, f"use one of {', '.join(map(str, divisors(C)))}", numbers, group_norm(layer, most_groups=G)


def _groups(layer: LayerRecord) -> tuple[int, int, dict[str, Any]]:
    """Return G, C, and both by name; G is 0 if the layer does not take a number of groups."""
    G, C = (layer.norm.num_groups or 0) * layer.norm.grouped, layer.norm.channels
    return G, C, {"num_groups": G, "channels": C}


@rule("train-mode", default=False)
def _train_mode(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """A layer with running statistics is in train mode."""
    if layer.norm.running is not None and layer.mode == "train":
        effect = "running it moves its running statistics"
        if layer.norm.kind == "batch":
            effect = "its output depends on the other samples and running it moves the statistics"
        yield f"it is in train mode, so that {effect}", "call model.eval() before inference", {}, "model.eval()"


@rule("running-untouched", default=False)
def _running_untouched(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Running statistics that are still 0 and 1."""
    if layer.norm.running_untouched:
        message = f"its running statistics are still 0 and 1 in all C = {layer.norm.channels} channels"
        yield message, "train it, or load the buffers along with the weights", {}, _LOAD


@rule("dead-channel", default=False)
def _dead_channel(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Channels that carry nothing."""
    if dead := layer.measured.dead:
        first = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
        message = f"{len(dead)} of C = {layer.norm.channels} channels carry nothing on this example: {first}"
        fix = f"nv.audit(model, example).explore({short_name(layer.name)!r})"
        yield message, "look at the layers before it, or prune them", {"channels": dead}, fix


@rule("bias-before-norm", default=False)
def _bias_before_norm(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """A bias that the normalization takes out again: every set lies in one channel and loses its mean."""
    norm = layer.norm
    per_channel = norm.centered and norm.block is not None and norm.block[norm.channel_axis] == 1
    if layer.bias_before and per_channel and not layer.frozen:
        before = short_name(str(layer.before))
        message = f"the bias of {before} is taken out again by the mean, as each set is one channel"
        numbers = {"before": layer.before, "parameters": layer.norm.channels}
        yield message, f"give {before} bias=False", numbers, f"{path_to(str(layer.before))}.bias = None"


@rule("group-one", default=False)
def _group_one(layer: LayerRecord, training_batch: int | None) -> Iterator[Text]:
    """Group Norm with one group."""
    G, C, numbers = _groups(layer)
    if G == 1 < C:
        message = f"Group Norm with one group pools all C = {C} channels: it has Layer Norm's statistics"
        yield message, "use more groups if they are meant", numbers, group_norm(layer)


@rule("back-to-back", default=False, of_model=True)
def _back_to_back(layers: Sequence[LayerRecord], training_batch: int | None) -> Iterator[tuple[LayerRecord, Text]]:
    """A normalization right after another one."""
    names = {layer.name for layer in layers}
    for layer in layers:
        before = next((n for n in (layer.before, str(layer.before).partition(":")[0]) if n in names), None)
        if before:
            message = f"its input is the output of {short_name(before)}, with nothing in between"
            fix = replace_by(layer, "torch.nn.Identity()")
            yield layer, (message, "leave one of them out", {"before": before}, fix)
