"""One run of a torch model in which inputs and outputs of its normalizations are kept, to be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from normviz.inspect.audit.hooks import ModelRun, NormCall, RunningModule
from normviz.inspect.audit.tensors import attribute, copied_values, first_tensor, has_values, values
from normviz.inspect.audit.torch_norms import Norm
from normviz.inspect.compare.layer_diff import LayerUse


class Recording(ModelRun):
    """A run of a model, with the input and output of each use of a normalization."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.output: np.ndarray | None = None  # the first tensor that the model returned, if it has values to read
        self._layer_uses: dict[int, LayerUse] = {}
        self._activations: dict[int, dict[str, Any]] = {}

    def run(self, call: Callable[[], Any]) -> None:
        """Call the model, and keep its output as well."""

        def keep_output() -> None:
            y = first_tensor(call())
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

    def _keep(self, order: int, norm: Norm, x: Any, y: Any, momentum: Any) -> None:
        """Keep copies with axes (N, C, *spatial), so that a port with the channels last can be compared."""
        kept: dict[str, Any] = {"dtype": str(x.dtype).removeprefix("torch."), "momentum": momentum}
        for name, t in (("x", x), ("y", y)):
            if t is not None and has_values(t) and t.numel() == x.numel():
                kept[name] = np.array(np.moveaxis(values(t).reshape(norm.shape), norm.channel_axis, 1))
        self._activations[order] = kept

    def _add(self, name: str, module: Any, norm: Norm, known_by: str, call: NormCall) -> None:
        super()._add(name, module, norm, known_by, call)
        kept, layer = self._activations[call.order], self.layers[name]
        momentum = attribute(module, "momentum", kept["momentum"])
        kept["momentum"] = momentum if norm.running is not None and isinstance(momentum, int | float) else None
        self._layer_uses[call.order] = LayerUse(
            order=call.order,
            name=name,
            type=layer.type,
            block=None if norm.block is None else norm.canonical(norm.block),
            input_shape=norm.canonical(norm.shape),
            mode=layer.mode,
            known_by=known_by,
            before=call.before[0],
            weight=_flat(norm.weight),
            bias=_flat(norm.bias),
            **{k: getattr(norm, k) for k in ("kind", "num_groups", "eps", "running", "own")},
            **kept,
        )


def _flat(tensor: Any) -> np.ndarray | None:
    if tensor is None or not has_values(tensor):
        return None
    return np.array(values(tensor), np.float64).reshape(-1)
