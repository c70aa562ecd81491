"""Run a torch model, and keep the input and output of each use of a normalization."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from normviz.inspect._signature import BIAS, WEIGHT
from normviz.inspect.audit.run import ModelRun, NormCall, RunningModule
from normviz.inspect.audit.tensors import (
    attribute,
    buffers,
    class_name,
    copied_values,
    first_tensor,
    has_values,
    is_torchs_own,
    parameters,
    tensors_in,
    values,
)
from normviz.inspect.audit.torch_norms import OTHER, Norm

UNKNOWN = "unknown"
"""The kind of a module that is named like a normalization, and whose output no sets of its input explain."""
NORM_NAME = re.compile(r"[Nn]orm|RMS|(^|[^A-Za-z])([blgi]n|[BLGI]N|rms)\d*$")


@dataclass(frozen=True, eq=False)
class LayerUse:
    """One use of a normalization layer in one of the models, axes as (N, C, *spatial).

    Attributes
    ----------
    name, type, kind, num_groups, block, input_shape, eps, mode, known_by
        As in `NormLayer`; kind is "unknown" for a module that is called a norm, and whose output no sets of its input
        explain.
    momentum
        The share of the newest batch in the running statistics; None for a cumulative mean, and where there are none.
    weight, bias
        Flat, float64; None where there is none.
    running
        Running mean and variance before the run; None where there are none.
    own
        Whether the input's own statistics were used.
    before
        The module or function that made the input, where it is known.
    dtype
        Of the input.
    channel_axis
        The axis of C as the layer gets its input: 1 or -1.
    calls
        How many calls of the layer this stands for.
    x, y
        Input and output during the comparison; None afterwards, and where a tensor has no values to read.
    scale, shift
        Weight and bias, as they broadcast against x; None where there is none, and after the comparison.
    labels
        A function that returns the number of each cell's set, an array like x; None where the sets are not known, and
        after the comparison.
    """

    name: str
    type: str
    kind: str
    num_groups: int | None
    block: tuple[int, ...] | None
    input_shape: tuple[int, ...]
    eps: float | None
    momentum: float | None
    running: tuple[np.ndarray, np.ndarray] | None
    own: bool
    mode: str
    known_by: str
    before: str | None
    dtype: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    channel_axis: int = 1
    calls: int = 1
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    labels: Callable[[], np.ndarray] | None = None

    def without_activations(self) -> LayerUse:
        """Return this without the input and the output."""
        return replace(self, x=None, y=None, scale=None, shift=None, labels=None)


def together(uses: Sequence[LayerUse]) -> LayerUse:
    """Return several uses as one, along the first axis where their shapes allow it, else flat."""
    first = uses[0]
    along = all(use.input_shape[1:] == first.input_shape[1:] for use in uses)

    def joined(arrays: Sequence[Any]) -> np.ndarray | None:
        if any(array is None for array in arrays):
            return None
        return np.concatenate([array if along else array.reshape(-1) for array in arrays])

    def labels() -> np.ndarray:
        found, start = [], 0
        for use in uses:
            found.append(use.labels() + start)  # type: ignore[misc]
            start = int(found[-1].max()) + 1
        return joined(found)  # type: ignore[return-value]

    same_affine = along and all(use.name == first.name for use in uses)
    return replace(
        first,
        x=joined([use.x for use in uses]),
        y=joined([use.y for use in uses]),
        scale=first.scale if same_affine else None,
        shift=first.shift if same_affine else None,
        labels=None if any(use.labels is None for use in uses) else labels,
        calls=len(uses),
    )


class Recording(ModelRun):
    """A run of a model, with the input and output of each use of a normalization.

    `named` holds names of modules that count as normalizations whatever their output.
    """

    def __init__(self, model: Any, named: Collection[str] = ()) -> None:
        super().__init__(model)
        self.named, self.output_dtype = named, ""
        self.output: np.ndarray | None = None  # the first tensor that the model returned, if it has values to read
        self.outputs = 0  # how many tensors it returned
        self._layer_uses: dict[int, LayerUse] = {}
        self._activations: dict[int, dict[str, Any]] = {}

    def run(self, call: Callable[[], Any]) -> None:
        """Call the model, and keep its output as well."""

        def keep_output() -> None:
            returned = call()
            y, self.outputs = first_tensor(returned), sum(1 for _ in tensors_in(returned))
            self.output_dtype = "" if y is None else str(y.dtype).removeprefix("torch.")
            self.output = None if y is None or not has_values(y) else copied_values(y)

        super().run(keep_output)

    def in_order(self) -> list[LayerUse]:
        """Return the uses in the order of the run."""
        return [self._layer_uses[order] for order in sorted(self._layer_uses)]

    def function(self, func: Callable, name: str, arguments: list[str], args: tuple, kwargs: dict) -> Any:
        """Call one of torch's functions that normalize, and keep its numbers."""
        calls = self.stack[-1].calls if self.stack else []
        known = len(calls)
        y = super().function(func, name, arguments, args, kwargs)
        if len(calls) > known:
            given = dict(zip(arguments, args, strict=False)) | kwargs
            self._keep(calls[-1].order, calls[-1].norm, given["input"], y, given.get("momentum"))
        return y

    def _record(self, name: str, running: RunningModule, norm: Norm, known_by: str, given: Any, x: Any, y: Any) -> None:
        self._keep(running.order, norm, x, y, None)
        super()._record(name, running, norm, known_by, given, x, y)

    def _classify(self, running: RunningModule, x: Any, y: Any) -> None:
        super()._classify(running, x, y)
        module, name = running.module, self._name(running.module)
        if running.has_norms or y is None or x.shape != y.shape or x.ndim < 2 or not (has_values(x) and has_values(y)):
            return
        called_norm = (
            name in self.named or NORM_NAME.search(class_name(module)) or NORM_NAME.search(name.split(".")[-1])
        )
        sizes = [[n for n in p.shape if n > 1] for p in parameters(module).values()]
        has_matrices = any(len(s) > 1 and s != [n for n in x.shape[1:] if n > 1] for s in sizes)
        if not called_norm or has_matrices or is_torchs_own(module):
            return
        last = [x.shape[-1]] in sizes and (x.ndim == 3 or [x.shape[1]] not in sizes)
        eps = next((e for e in (attribute(module, n) for n in ("eps", "epsilon")) if isinstance(e, float)), None)
        norm = Norm(UNKNOWN, tuple(x.shape), None, -1 if last else 1, eps=eps)
        given = x if running.x is None else running.x
        self._keep(running.order, norm, given, y, None)
        mode, before = "train" if attribute(module, "training") is True else "eval", self._origins.before(x, norm)[0]
        self._add_use(running.order, name, class_name(module), mode, module, norm, "name", before)

    def _keep(self, order: int, norm: Norm, x: Any, y: Any, momentum: Any) -> None:
        """Keep copies with axes (N, C, *spatial), so that a port with the channels last can be compared."""
        kept: dict[str, Any] = {"dtype": str(x.dtype).removeprefix("torch."), "momentum": momentum}
        for name, t in (("x", x), ("y", y)):
            if t is not None and has_values(t) and t.numel() == x.numel():
                kept[name] = np.array(np.moveaxis(values(t).reshape(norm.shape), norm.channel_axis, 1))
        self._activations[order] = kept

    def _add(self, name: str, module: Any, norm: Norm, known_by: str, call: NormCall) -> None:
        super()._add(name, module, norm, known_by, call)
        layer = self.layers[name]
        self._add_use(call.order, name, layer.type, layer.mode, module, norm, known_by, call.before[0])

    def _add_use(
        self, order: int, name: str, type_: str, mode: str, module: Any, norm: Norm, known_by: str, before: str | None
    ) -> None:
        kept = self._activations[order]
        momentum = attribute(module, "momentum", kept["momentum"])
        kept["momentum"] = momentum if norm.running is not None and isinstance(momentum, int | float) else None
        weight, bias = norm.weight, norm.bias
        if known_by in ("output", "name"):
            weight, bias = (_of_role(module, norm, *row) for row in ((weight, WEIGHT), (bias, BIAS)))
        self._layer_uses[order] = LayerUse(
            name=name,
            type=type_,
            block=None if norm.block is None else norm.canonical(norm.block),
            input_shape=norm.canonical(norm.shape),
            mode=mode,
            known_by=known_by,
            before=before,
            weight=_flat(weight),
            bias=_flat(bias),
            scale=_broadcast(weight, norm),
            shift=_broadcast(bias, norm),
            labels=None if norm.block is None else lambda: np.moveaxis(norm.labels(), norm.channel_axis, 1),
            kind=UNKNOWN if norm.kind == OTHER else norm.kind,
            **{k: getattr(norm, k) for k in ("num_groups", "eps", "running", "own", "channel_axis")},
            **kept,
        )


def _of_role(module: Any, norm: Norm, found: Any, names: Collection[str]) -> Any:
    """Return the weight or the bias of a module that may call it by another usual name."""
    if found is not None:
        return found
    own = {name: t for name, t in (parameters(module) | buffers(module)).items() if t.numel() in (norm.channels, 1)}
    return next((t for name, t in own.items() if name in names or name.lower() in names), None)


def _flat(tensor: Any) -> np.ndarray | None:
    if tensor is None or not has_values(tensor):
        return None
    return np.array(values(tensor), np.float64).reshape(-1)


def _broadcast(tensor: Any, norm: Norm) -> np.ndarray | None:
    """Return a parameter as it broadcasts against an input with axes (N, C, *spatial); None if that is not known."""
    flat = _flat(tensor)
    if flat is None:
        return None
    rank, shape = len(norm.shape), tuple(tensor.shape)
    last = rank - len(shape)
    pools_them = norm.block is not None and norm.block == (1,) * last + norm.shape[last:] and norm.shape[last:] == shape
    if pools_them and norm.kind in ("layer", "positional", "rms"):  # one for each cell that is pooled
        return np.moveaxis(flat.reshape((1,) * last + shape), norm.channel_axis, 1)
    if flat.size in (1, norm.channels):
        return flat.reshape(1, -1, *[1] * (rank - 2))
    if flat.size == np.prod(norm.shape[1:]):
        return np.moveaxis(flat.reshape(1, *norm.shape[1:]), norm.channel_axis, 1)
    return None
