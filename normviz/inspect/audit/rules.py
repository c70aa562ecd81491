"""What an audit warns of: codes, thresholds with their reasons, and the sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from normviz.core.methods import METHODS
from normviz.core.pooling import divisors
from normviz.inspect.audit.layers import Norm
from normviz.inspect.audit.measures import effective, untouched_running

if TYPE_CHECKING:
    from normviz.inspect.audit.seen import Seen

SMALL_SET = 8
"""Fewer cells than this in a set are warned of. Mean and variance take two of |S| degrees of freedom: of 8 a quarter,
of 4 half, and of 2 all but the sign. The variance of 8 independent cells is off by sqrt(2 / 7), 53 %, of itself."""
NOISE = 0.2
"""Relative noise of Batch Norm's mean that is warned of, in standard deviations. ResNet-50's last maps are 7 x 7: at 16
images it is 0.16 there, and at 8 it is 0.22; between the two Batch Norm falls behind Group Norm (Wu & He 2018, Table 2:
23.7 against 24.2 at 16, 24.8 against 24.0 at 8)."""
GAP = 0.5
"""Half a standard deviation between train and eval output, beyond what the example's own few values explain."""
GAP_NOISE = {False: 3.0, True: 2.0}
"""How often the gap that chance gives, by whether 8 channels or more are averaged: of many the mean strays less."""
SHRUNK = 0.25
"""An example whose variance is a quarter of the running one on average comes out half as wide in eval mode; the gap,
which cannot pass 1 on that side, would not show it."""

DEFAULT = {
    "one-value-per-set": "each set has one cell, so that the output is the bias whatever the input",
    "small-set": f"sets of fewer than {SMALL_SET} cells",
    "accidental-instance": "Group Norm with G = C, which is Instance Norm",
    "small-batch": "Batch Norm's statistics would be noisy at training_batch samples",
    "non-finite": "NaN or infinity",
    "train-eval-gap": "running statistics that do not fit the example's own",
    "groups-do-not-divide": "a number of groups that does not divide C",
}
OPT_IN = {
    "train-mode": "a layer with running statistics is in train mode",
    "running-untouched": "running statistics that are still 0 and 1",
    "dead-channel": "channels that carry nothing",
    "bias-before-norm": "a bias that the normalization takes out again",
    "group-one": "Group Norm with one group",
    "back-to-back": "a normalization right after another one",
}
CODES = DEFAULT | OPT_IN


@dataclass(frozen=True)
class Trouble:
    """Something about a layer that an audit warns of.

    Attributes
    ----------
    code
        What it is; a key of CODES.
    layer
        Name of the layer.
    message, remedy
        One sentence with the sizes, and what to do about it.
    numbers
        What the message says in numbers, by name.
    """

    code: str
    layer: str
    message: str
    remedy: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code} at {self.layer}: {self.message}; {self.remedy}"


def find_troubles(seen: Iterable[Seen], training_batch: int | None, codes: Iterable[str]) -> list[Trouble]:
    """Return the troubles with these codes: those of single layers in order of use, then those of the model."""
    seen, codes = list(seen), set(codes)
    per_layer = [t for s in seen for rule in _PER_LAYER for t in rule(s, training_batch)]
    names = {s.name for s in seen}
    model = [*_non_finite(seen), *_small_batch(seen, training_batch)]
    model += [t for s in seen for t in _back_to_back(s, names)]
    return [t for t in [*per_layer, *model] if t.code in codes]


def _size(norm: Norm, training_batch: int | None, own: bool) -> int | None:
    """|S| as in training; None where the example cannot tell, whose number of samples need not be training's."""
    if norm.kind != "batch" or norm.size is None:
        return norm.size
    if training_batch is not None:
        return norm.size // norm.shape[0] * training_batch
    return norm.size if own and norm.size == 1 else None


def _set_size(s: Seen, training_batch: int | None) -> Iterator[Trouble]:
    norm = s.smallest
    size = _size(norm, training_batch, norm.own)
    if size is None or size >= SMALL_SET or (s.frozen and norm.kind == "batch"):
        return
    numbers = {"size": size, "block": norm.block, "input_shape": norm.shape}
    where = f"{METHODS[norm.kind].label} on {norm.shape}"
    if norm.kind == "batch" and training_batch is not None:
        where += f" with {training_batch} sample{'s' * (training_batch > 1)} in training"
    if size == 1:
        said = f"{where} has one cell in each set, so that its output is the bias whatever the input"
        if s.broken:
            said += " (torch refuses to run it; the audit went on with its input)"
        yield Trouble("one-value-per-set", s.name, said, _larger(norm), numbers)
    elif norm.kind != "batch":
        lost = 2 if norm.centered else 1
        said = (
            f"{where} has {size} cells in each set, of which the statistics take {min(lost, size)} degrees of freedom"
        )
        yield Trouble("small-set", s.name, said, _larger(norm), numbers)


def _larger(norm: Norm) -> str:
    if norm.kind == "batch":
        return "use more samples or larger maps, or a norm within each sample"
    if norm.kind in ("instance", "frn"):
        return "use Group Norm with several channels to a group, or larger maps"
    return "use fewer groups, or larger maps" if norm.kind == "group" else "pool more channels, or leave it out here"


def _groups(s: Seen, _: int | None) -> Iterator[Trouble]:
    norm, G = s.norm, s.norm.num_groups
    if not norm.grouped or not G:
        return
    C, numbers = norm.channels, {"num_groups": G, "channels": norm.channels}
    if C % G:
        said = f"num_groups={G} does not divide C={C}" + (
            " (torch refuses to run it; the audit went on with its input)" if s.broken else ", so groups differ in size"
        )
        fit = ", ".join(map(str, divisors(C)))
        yield Trouble("groups-do-not-divide", s.name, said, f"use one of {fit}", numbers)
    elif G == C and G > 1:
        said = f"Group Norm with G = C = {C} has one channel to a group: it is Instance Norm"
        yield Trouble("accidental-instance", s.name, said, "use fewer groups, or InstanceNorm if it is meant", numbers)
    elif G == 1 and C > 1:
        said = f"Group Norm with one group pools all C = {C} channels: it has Layer Norm's statistics"
        yield Trouble("group-one", s.name, said, "use more groups if they are meant", numbers)


def _train_eval_gap(s: Seen, _: int | None) -> Iterator[Trouble]:
    gap, ratio, independent = s.measured.gap, s.measured.ratio, s.measured.independent
    if gap is None or ratio is None or independent is None or s.frozen:
        return
    channels = s.norm.channels
    # Of n independent values the mean strays by 1 / n of the variance and the standard deviation by 1 / 2n.
    chance = math.sqrt(1.5 / independent)
    limit = max(GAP, GAP_NOISE[channels >= 8] * chance)
    shrunk = min(SHRUNK, 1 - 3 * math.sqrt(2 / (independent * min(channels, 16))))
    if not gap > limit and not ratio < shrunk:
        return
    said = f"with running statistics its output is {gap:.2g} standard deviations from that with the example's own"
    said += f" (chance alone: {chance:.2g}), and the example's variance {ratio:.2g} times the running one"
    if s.tracked and s.momentum and (start := (1 - s.momentum) ** s.tracked) > 0.05:
        said += f"; after {s.tracked} update{'s' * (s.tracked > 1)} {start:.0%} of the initial 0 and 1 is still in them"
    remedy = "give an example like the training data; if it is one, run the model in train mode over more batches"
    numbers = {"gap": gap, "chance": chance, "limit": limit, "variance_ratio": ratio}
    yield Trouble("train-eval-gap", s.name, said, f"{remedy} to renew the statistics", numbers)


def _state(s: Seen, _: int | None) -> Iterator[Trouble]:
    if s.norm.running is not None and s.mode == "train":
        said = (
            "it is in train mode, so that its output depends on the other samples and running it moves the statistics"
        )
        if s.norm.kind != "batch":
            said = "it is in train mode, so that running it moves its running statistics"
        yield Trouble("train-mode", s.name, said, "call model.eval() before inference")
    if untouched_running(s.norm):
        said = f"its running statistics are still 0 and 1 in all C = {s.norm.channels} channels"
        yield Trouble("running-untouched", s.name, said, "train it, or load the buffers along with the weights")


def _dead(s: Seen, _: int | None) -> Iterator[Trouble]:
    if dead := s.measured.dead:
        first = ", ".join(map(str, dead[:8])) + (", ..." if len(dead) > 8 else "")
        said = f"{len(dead)} of C = {s.norm.channels} channels carry nothing on this example: {first}"
        yield Trouble("dead-channel", s.name, said, "look at what is before them, or prune them", {"channels": dead})


def _bias(s: Seen, _: int | None) -> Iterator[Trouble]:
    if s.bias_before and s.norm.one_channel and not s.frozen:
        said = f"the bias of {s.before} is taken out again by the mean, as each set is one channel"
        numbers = {"before": s.before, "parameters": s.norm.channels}
        yield Trouble("bias-before-norm", s.name, said, f"give {s.before} bias=False", numbers)


def _back_to_back(s: Seen, names: set[str]) -> Iterator[Trouble]:
    before = next((n for n in (s.before, str(s.before).partition(":")[0]) if n in names), None)
    if before:
        said = f"its input is the output of {before}, with nothing in between"
        yield Trouble("back-to-back", s.name, said, "leave one of them out", {"before": before})


_PER_LAYER: tuple[Callable[[Seen, int | None], Iterator[Trouble]], ...] = (
    _set_size,
    _groups,
    _train_eval_gap,
    _state,
    _dead,
    _bias,
)


def _non_finite(seen: list[Seen]) -> Iterator[Trouble]:
    """The first layer alone: what follows it was handed on."""
    bad = [s for s in seen if not (s.measured.finite_in and s.measured.finite_out and s.measured.finite_state)]
    if not bad:
        return
    s, found = bad[0], bad[0].measured
    if not found.finite_state:
        said, remedy = "its weight, bias or running statistics hold NaN or infinity", "load a checkpoint from before"
    elif not found.finite_in:
        said, remedy = "its input holds NaN or infinity", "look for the cause between it and the layer before it"
    else:
        said, remedy = "its input is finite and its output is not", "use a larger eps, or float32 in this layer"
    if len(bad) > 1:
        said += f" ({len(bad) - 1} later layer{'s' * (len(bad) > 2)} as well)"
    yield Trouble("non-finite", s.name, said, remedy, {"layers": [b.name for b in bad]})


def _small_batch(seen: list[Seen], training_batch: int | None) -> Iterator[Trouble]:
    """One line for all of Batch Norm's layers, with the numbers of the noisiest."""
    coupled = [s for s in seen if s.norm.kind == "batch" and not s.frozen]
    if training_batch is None or not coupled:
        return
    noise = {s.name: 1 / math.sqrt(effective(training_batch, s.smallest.cells)) for s in coupled}
    noisy = [s for s in coupled if noise[s.name] > NOISE]
    if not noisy:
        return
    worst = max(noisy, key=lambda s: (noise[s.name], -s.smallest.cells))
    mean = noise[worst.name]
    said = (
        f"at training_batch={training_batch} the statistics of {len(noisy)} of {len(coupled)} Batch Norm layers are "
        f"noisy: at {worst.name}, with {training_batch * worst.smallest.cells} cells in a set, the mean by about "
        f"{mean:.2g} standard deviations and the standard deviation by {mean / math.sqrt(2):.0%}"
    )
    remedy = "use Group Norm, synchronize the statistics over devices, or freeze them"
    numbers = {
        "training_batch": training_batch,
        "noise": mean,
        "noise_std": mean / math.sqrt(2),
        "layers": [s.name for s in noisy],
    }
    yield Trouble("small-batch", worst.name, said, remedy, numbers)
