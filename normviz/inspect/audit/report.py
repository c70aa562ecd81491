"""The result of an audit: the layers as a table, the warnings, and the explorer on any layer's input."""

from __future__ import annotations

import dataclasses
import html
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.atomic_write import write
from normviz.core.errors import unknown, whole
from normviz.core.methods import METHODS
from normviz.core.statistics import Statistics
from normviz.explorer.fragment import Fragment
from normviz.explorer.widget import Explorer
from normviz.inspect.audit import page
from normviz.inspect.audit.registry import AuditWarning
from normviz.inspect.audit.run import LayerReached, ModelRun, observe
from normviz.inspect.audit.table import NUMERIC, Row, html_box, html_table, needed_pandas, plural, times
from normviz.inspect.audit.tensors import has_values, short_name, tensors_in, unwrapped, values
from normviz.inspect.audit.torch_norms import LOCAL, OTHER, Norm


@dataclass(frozen=True, eq=False)
class NormLayer:
    """A normalization layer of a model, as `audit` found it.

    Attributes
    ----------
    name
        As in `model.named_modules()`; "(model)" for the model itself, "blocks.0:layer_norm" for a function that the
        module blocks.0 calls in the middle of its forward.
    type
        Name of the class, or of the function.
    kind
        A key of METHODS by what is pooled; GroupNorm stays "group" at any G. "local_response" has no sets, and "other"
        takes mean and variance over the spatial axes, but is not a plain normalizer (EvoNorm, GRN).
    num_groups
        G of Group Norm.
    input_shape
        Of its first use; the axes as the layer gets them.
    block, size, count
        Extents of a set along those axes, |S|, and the number of sets; None where there are no equal sets.
    channel_axis
        The axis of C: 1, or -1 where features come last.
    parameters
        Numbers that it learns.
    share
        Its part of all the cells that pass through normalizations in one run of the model.
    frozen
        Whether nothing of it would change in training: no parameter has a gradient, and running statistics stand still.
    gap
        For layers with running statistics: root mean square of the difference between the output that the batch's own
        statistics give and the one that the running statistics give, before weight and bias; 1 is a standard deviation.
        None for others, and while the running statistics are untouched (all 0 and 1).
    mode
        "train" or "eval", as the layer was in the run.
    uses
        How often the layer is called in one run; the numbers above are of the first, share is of all.
    eps
        None where it is not known.
    known_by
        "class", "call" (a function of torch.nn.functional was called inside) or "output" (the output is explained by
        sets of the input).
    fixed
        Whether it used its running statistics in the run, so that nothing was pooled; `block`, `size` and `count` are
        then those of train mode.
    """

    name: str
    type: str
    kind: str
    num_groups: int | None
    input_shape: tuple[int, ...]
    block: tuple[int, ...] | None
    size: int | None
    count: int | None
    channel_axis: int
    parameters: int
    share: float
    frozen: bool
    gap: float | None
    mode: str
    uses: int
    eps: float | None
    known_by: str
    fixed: bool = False

    @property
    def label(self) -> str:
        """The method's name as it is written in a text, with G."""
        if self.kind == LOCAL:
            return "Local Response Norm (no sets)"
        if self.kind == OTHER:
            spatial = {3: "L", 4: "H x W"}.get(len(self.input_shape), "D x H x W")
            return f"pools {spatial}, not a plain normalizer"
        return METHODS[self.kind].label + (f", G = {self.num_groups}" if self.num_groups else "")


class Audit(Fragment):
    """The normalizations of a model, made by `audit`.

    Attributes
    ----------
    layers
        A list of NormLayer, in order of use.
    warnings
        A list of AuditWarning: `.code`, `.layer`, `.message`, `.remedy`, `.numbers`, `.fix`.
    unseen
        Name -> reason, for modules that may normalize and that the run could not show.
    """

    def __init__(
        self,
        *,
        layers: list[NormLayer],
        warnings: list[AuditWarning],
        unseen: dict[str, str],
        model: Any,
        example: Any,
        random_state: Any,
    ) -> None:
        self.layers, self.warnings, self.unseen = layers, warnings, unseen
        self._model, self._example, self._random_state = model, example, random_state

    def __getitem__(self, name: str) -> NormLayer:
        """Return the layer called `name`; KeyError names the nearest one."""
        by_name = {layer.name: layer for layer in self.layers}
        if not isinstance(name, str) or name not in by_name:
            raise KeyError(unknown("layer", name, map(short_name, by_name)))
        return by_name[name]

    def explore(self, name: str, *, use: int = 0, **keywords: Any) -> Explorer:
        """Open the Explorer on the input of a layer.

        The model is run again, up to that layer, on the example of the audit and with its random state. So the explorer
        shows the model as it is now.

        Parameters
        ----------
        name
            A layer's name.
        use
            Which of its uses, counted from 0.
        keywords
            As for Explorer; they replace those that follow from the layer.

        Raises
        ------
        ValueError
            If there is no such layer or use, or if it has no sets to show.
        """
        try:
            layer = self[name]
        except KeyError as error:
            raise ValueError(*error.args) from None
        use = whole(use, "use")
        if not 0 <= use < layer.uses:
            raise ValueError(f"use={use}: {short_name(name)!r} is used {layer.uses} times in a run; count from 0")
        subject = f"layer {short_name(name)!r}"
        if layer.block is None:
            raise ValueError(f"{subject} has no sets to explore: {_without_sets(layer)}")
        reached: list[tuple[Any, Norm]] = []

        def take(at: str, number: int, x: Any, norm: Norm) -> None:
            if (at, number) == (name, use):
                reached.append((x.clone(), norm))
                raise LayerReached

        self._run_again(take)
        if not reached:
            raise ValueError(f"{subject} was not reached this time, because the model has changed; audit it again")
        (x, norm), *_ = reached
        if not has_values(x):
            raise ValueError(f"{subject} gets an input of shape {norm.shape} that has no values to read")
        return Explorer(**(_shown(layer, norm, x) | keywords))

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Return one page of the audit that needs no Python and no network, or write it to `path` and return None.

        The page has the table, each warning with its numbers and its remedy, and the input of each layer, of its first
        use, in an explorer that opens on demand. The model is run again, as by `explore`.

        Parameters
        ----------
        path
            Where to write it.

        Notes
        -----
        The page of a model as large as ResNet-50 has less than 3 MB. So a large input is drawn by the means of several
        cells each; the mean and the variance of every set are those of all cells. A layer is left out, with the reason,
        where it has no sets to show, or where so many samples and channels would take more room.
        """
        warned = {warning.layer for warning in self.warnings}
        room = page.rooms({layer.name for layer in self.layers}, warned)
        made: dict[str, str] = {}
        reasons: dict[str, str] = {}

        def take(name: str, number: int, x: Any, norm: Norm) -> None:
            if number:
                return
            layer = self[name]
            if layer.block is None or not has_values(x):
                no_sets = f"there are no sets to show, because {_without_sets(layer)}"
                reasons[name] = "its input has no values to read" if layer.block else no_sets
                return
            try:
                made[name] = page.explorer(_shown(layer, norm, x), room[name])
            except (ValueError, TypeError) as error:
                reasons[name] = f"it cannot be shown: {error}"

        self._run_again(take)
        kept = page.fitting(made, warned)
        reasons |= dict.fromkeys(made.keys() - kept, "the page has no room for its input; use explore() instead")
        missing = room.keys() - made.keys() - reasons.keys()
        reasons |= dict.fromkeys(missing, "was not reached this time, because the model has changed")
        title = f"Audit of {type(unwrapped(self._model)).__name__}"
        absent = {**self.unseen, **reasons}
        as_defined = (
            "These sets explain its output. The explorer shows the method as it is defined. Use nv.check "
            "to see whether "
        )
        as_defined += "the layer computes exactly that."
        notes = {layer.name: as_defined for layer in self.layers if layer.known_by == "output"}
        text = page.page(title, self._about(), HEADS, self._rows(), self.warnings, kept, notes, absent)
        return text if path is None else write(path, text)

    def _about(self) -> str:
        shapes = [times(x.shape) for x in tensors_in(self._example)]
        mode = "train" if self._model.training else "eval"
        example = f" on an example of {' and '.join(shapes)}" if shapes else ""
        return f"{self._summary()[:1].upper()}{self._summary()[1:]}. The model was run once, in {mode} mode{example}."

    def _run_again(self, take: Callable[[str, int, Any, Norm], None]) -> None:
        """Run the model on the example once more, with the random state of the audit."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            observe(self._model, self._example, lambda model: ModelRun(model, take=take))

    def to_dict(self) -> dict[str, Any]:
        """Return layers, warnings and unseen as plain values that JSON can hold."""
        rows = {name: [_plain(dataclasses.asdict(v)) for v in getattr(self, name)] for name in ("layers", "warnings")}
        for warning in rows["warnings"]:
            del warning["fix"]
        return {**rows, "unseen": dict(self.unseen)}

    def to_frame(self) -> Any:
        """Return the layers as a pandas.DataFrame, one row per layer.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed_pandas(" (without it there is to_dict)")
        columns = [field.name for field in dataclasses.fields(NormLayer)]
        return pandas.DataFrame([dataclasses.asdict(layer) for layer in self.layers], columns=columns)

    def __str__(self) -> str:
        columns = []
        for head, *cells in zip(HEADS, *map(_row, self.layers), strict=True):
            width = max(map(len, (head, *cells)))
            columns.append([f"{cell:{'>' if head in NUMERIC else '<'}{width}}" for cell in (head, *cells)])
        lines = ["  ".join(row).rstrip() for row in zip(*columns, strict=True)] if self.layers else []
        lines += ["", f"{self._summary()}."]
        lines += [f"! {warning}" for warning in self.warnings]
        lines += [f"? {short_name(name)}: {reason}" for name, reason in self.unseen.items()]
        return "\n".join(lines).strip("\n")

    def __repr__(self) -> str:
        return f"<Audit: {self._summary()}>"

    def _repr_html_(self) -> str:
        items = [item for code in dict.fromkeys(w.code for w in self.warnings) for item in self._warning_items(code)]
        items += [
            f'<li class="unseen"><b>{html.escape(short_name(name))}</b>: {html.escape(reason)}.</li>'
            for name, reason in self.unseen.items()
        ]
        table = html_table([*HEADS], self._rows(), caption=self._summary())
        return html_box(table + (f"<ul>{''.join(items)}</ul>" * bool(items)))

    def _rows(self) -> list[Row]:
        """Return the cells of each layer, one for each of HEADS, and the code of its first warning."""
        marked = [(name, w.code) for w in self.warnings for name in (w.layer, *w.numbers.get("layers", ()))]
        codes = dict(reversed(marked))
        return [(_row(layer), codes.get(layer.name)) for layer in self.layers]

    def _warning_items(self, code: str) -> list[str]:
        """Return the warnings of one code as list items, all but the first MAX_SHOWN folded away."""
        mark = f"<code>{html.escape(code)}</code>"
        items = [
            f"<li>{mark} <b>{html.escape(short_name(w.layer))}</b>: {html.escape(w.message)}.<br>"
            f"{html.escape(w.remedy[:1].upper() + w.remedy[1:])}.</li>"
            for w in self.warnings
            if w.code == code
        ]
        shown, more = items[:MAX_SHOWN], items[MAX_SHOWN:]
        if more:
            head = f"<summary>{len(more)} more of {mark}</summary>"
            shown.append(f"<li><details>{head}<ul>{''.join(more)}</ul></details></li>")
        return shown

    def _summary(self) -> str:
        return f"{plural(len(self.layers), 'normalization layer')}, {plural(len(self.warnings), 'warning')}"


def _without_sets(layer: NormLayer) -> str:
    reasons = {LOCAL: "each cell has a window of channels of its own", OTHER: "it is not a plain normalizer"}
    return reasons.get(layer.kind, "groups differ in size")


def _shown(layer: NormLayer, norm: Norm, tensor: Any) -> dict[str, Any]:
    """Return what an explorer of a layer's input takes: labels of the sets if they are not those of a method."""
    x = values(tensor).reshape(norm.shape)
    options = {"title": f"{short_name(layer.name)}: {layer.label}", "channel_axis": norm.channel_axis}
    options |= {"eps": norm.eps} if norm.eps else {}
    if not norm.is_method():
        labels = norm.labels()
        if x.ndim > 5:  # an explorer has five axes at most
            merged = (x.shape[0], -1, x.shape[-1]) if norm.channel_axis == -1 else (*x.shape[:2], -1)
            x, labels = x.reshape(merged), labels.reshape(merged)
        return options | {"x": x, "labels": np.moveaxis(labels, norm.channel_axis, 1)}
    # With running statistics Instance Norm has one mean and variance a channel, as Batch Norm has.
    method = norm.kind if norm.own else "batch"
    options |= {"x": x, "method": method, "num_groups": norm.num_groups}
    for name in ("weight", "bias"):
        tensor = getattr(norm, name)
        if tensor is not None and (tensor.numel() == norm.channels or norm.kind == "layer"):
            array = values(tensor)
            options[name] = array.reshape(-1) if array.size == norm.channels else array
    if norm.running is not None and method == "batch":
        options["statistics"] = Statistics(mean=norm.running[0], var=norm.running[1], count=norm.size or 1)
        options["mode"] = "train" if norm.own else "eval"
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


HEADS = {
    "layer": "Its name in the model; after a colon, a function that this module calls.",
    "kind": "The method, by the cells that share a mean and a variance.",
    "input": "The shape of its input, at its first use.",
    "block": "The lengths of a set along the axes of the input; fixed, where running statistics are used.",
    "|S|": "The number of cells in a set.",
    "sets": "The number of sets.",
    "uses": "How often the layer is called in one run.",
    "parameters": "How many numbers it learns.",
    "share": "Its part of all the cells that pass through normalization layers in one run.",
    "state": "Train or eval mode; frozen, if training does not change it.",
    "gap": "How much its outputs with batch statistics and with running statistics differ, in standard deviations.",
}
"""What each column of the table says."""
MAX_SHOWN = 3
"""Warnings of one code that are shown at once; the others are a click away."""


def _row(layer: NormLayer) -> tuple[str, ...]:
    """Return the cells of a layer, one for each of HEADS."""
    return (
        short_name(layer.name),
        layer.label,
        times(layer.input_shape),
        "fixed" if layer.fixed else times(layer.block) if layer.block else "–",
        f"{layer.size:,}" if layer.size and not layer.fixed else "–",
        f"{layer.count:,}" if layer.count and not layer.fixed else "–",
        str(layer.uses),
        f"{layer.parameters:,}",
        f"{layer.share:.1%}",
        f"{layer.mode}, frozen" if layer.frozen else layer.mode,
        "–" if layer.gap is None else f"{layer.gap:.2g}",
    )
