"""What an audit has found: the table, the warnings, and the explorer on any layer's activations."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.errors import unknown
from normviz.inspect.audit.audit import watched
from normviz.inspect.audit.layers import LOCAL, Layer, Norm
from normviz.inspect.audit.measures import values
from normviz.inspect.audit.rules import Trouble
from normviz.inspect.audit.tables import page, summary, text

if TYPE_CHECKING:
    from normviz.explorer.widget import Explorer
    from normviz.inspect.audit.seen import Seen


class Audit:
    """The normalizations of a model, made by `audit`.

    Attributes
    ----------
    layers
        A list of Layer, in order of use.
    warnings
        A list of Trouble: `.code`, `.layer`, `.message`, `.remedy`, `.numbers`.
    unseen
        Name -> why, for modules that may normalize and that the run could not show.
    """

    def __init__(
        self,
        *,
        layers: list[Layer],
        warnings: list[Trouble],
        unseen: dict[str, str],
        model: Any,
        example: Any,
        random_state: Any,
        seen: dict[str, Seen],
    ) -> None:
        self.layers, self.warnings, self.unseen = layers, warnings, unseen
        self._model, self._example, self._random_state, self._seen = model, example, random_state, seen

    def __getitem__(self, name: str) -> Layer:
        """Return the layer called `name`; KeyError names the nearest one."""
        if name not in self._seen:
            raise KeyError(unknown("layer", name, self._seen))
        return next(layer for layer in self.layers if layer.name == name)

    def explore(self, name: str, *, use: int = 0, **keywords: Any) -> Explorer:
        """Open the Explorer on the activations that a layer gets.

        The model is run again, up to that layer, on the example of the audit and with its random state: it shows the
        model as it is now.

        Parameters
        ----------
        name
            A layer's name.
        use
            Which of its uses, counted from 0.
        keywords
            As for Explorer; they win over what the layer would say.

        Raises
        ------
        ValueError
            If there is no such layer or use, or if it has no sets to show.
        """
        if name not in self._seen:
            raise ValueError(unknown("layer", name, self._seen))
        layer = self[name]
        if not 0 <= use < layer.uses:
            raise ValueError(f"use={use}: {name!r} is used {layer.uses} times in a run; count from 0")
        if layer.block is None:
            why = "each cell has a window of channels of its own" if layer.kind == LOCAL else "groups differ in size"
            raise ValueError(f"layer {name!r} has no sets to explore: {why}")
        import torch

        from normviz.inspect.audit.tensors import plain

        state = torch.get_rng_state()
        torch.set_rng_state(self._random_state)
        try:
            watch = watched(self._model, self._example, want=(name, use))
        finally:
            torch.set_rng_state(state)
        if watch.wanted is None:
            raise ValueError(f"layer {name!r} was not reached this time: the model is not as it was; audit it again")
        x, norm = watch.wanted
        if not plain(x):
            raise ValueError(f"layer {name!r} gets an input of shape {norm.shape} that has no numbers to look at")
        return _explorer(layer, norm, values(x).reshape(norm.shape), keywords)

    def to_dict(self) -> dict[str, Any]:
        """Return layers, warnings and unseen as plain values that JSON can hold."""
        rows = {name: [_plain(dataclasses.asdict(v)) for v in getattr(self, name)] for name in ("layers", "warnings")}
        return {**rows, "unseen": dict(self.unseen)}

    def to_frame(self) -> Any:
        """Return the layers as a pandas.DataFrame, one row a layer.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "to_frame needs pandas; install it with: python -m pip install pandas (without it there is to_dict)"
            ) from error
        columns = [field.name for field in dataclasses.fields(Layer)]
        return pandas.DataFrame([dataclasses.asdict(layer) for layer in self.layers], columns=columns)

    def __str__(self) -> str:
        return text(self.layers, self.warnings, self.unseen)

    def __repr__(self) -> str:
        return f"<Audit: {summary(self.layers, self.warnings)}>"

    def _repr_html_(self) -> str:
        return page(self.layers, self.warnings, self.unseen)


def _explorer(layer: Layer, norm: Norm, x: np.ndarray, keywords: dict[str, Any]) -> Explorer:
    """Make the explorer by the method's name if the sets are its, and on given sets otherwise."""
    from normviz.explorer.widget import Explorer

    first = {"title": f"{layer.name}: {layer.label}", "channel_axis": norm.channel_axis}
    if norm.eps:
        first["eps"] = norm.eps
    if not norm.is_method():
        labels = norm.labels()
        if x.ndim > 5:  # an explorer has five axes at most
            keep = (x.shape[0], -1, x.shape[-1]) if norm.channel_axis == -1 else (*x.shape[:2], -1)
            x, labels = x.reshape(keep), labels.reshape(keep)
        return Explorer(x, **{**first, "labels": np.moveaxis(labels, norm.channel_axis, 1), **keywords})
    first |= {"method": norm.kind, "num_groups": norm.num_groups}
    for name in ("weight", "bias"):
        given = getattr(norm, name)
        if given is not None and (given.numel() == norm.channels or norm.kind == "layer"):
            found = values(given)
            first[name] = found.reshape(-1) if given.numel() == norm.channels else found
    if norm.running is not None and norm.kind == "batch":
        from normviz.core.statistics import Statistics

        first["statistics"] = Statistics(mean=norm.running[0], var=norm.running[1], count=norm.size or 1)
        first["mode"] = "train" if norm.own else "eval"
    return Explorer(x, **(first | keywords))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
