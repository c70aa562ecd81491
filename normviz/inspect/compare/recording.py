"""One run of a torch model in which the numbers at every normalization are kept, to be held against another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from normviz.inspect.audit.hooks import Watch
from normviz.inspect.audit.layers import Norm
from normviz.inspect.audit.measures import values
from normviz.inspect.audit.seen import Call, Frame
from normviz.inspect.audit.tensors import first, plain
from normviz.inspect.compare.comparison import Side


class Recording(Watch):
    """A run of a model, with what goes into and comes out of each use of a normalization.

    Attributes
    ----------
    sides
        Order -> one use, its numbers with it.
    output
        The first tensor that the model returned; None where it has no numbers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.sides: dict[int, Side] = {}
        self.output: np.ndarray | None = None
        self._kept: dict[int, tuple[np.ndarray | None, np.ndarray | None, str, Any]] = {}

    def run(self, call: Callable[[], Any]) -> None:
        """Call the model, and keep what it returns as well."""

        def kept() -> None:
            y = first(call())
            self.output = None if y is None or not plain(y) else np.array(values(y))

        super().run(kept)

    def in_order(self) -> list[Side]:
        """Return the uses in the order of the run."""
        return [self.sides[order] for order in sorted(self.sides)]

    def function(self, func: Callable, name: str, arguments: list[str], args: tuple, kwargs: dict) -> Any:
        """Call one of torch's functions that normalize, and keep its numbers."""
        calls = self.stack[-1].calls if self.stack else []
        known = len(calls)
        y = super().function(func, name, arguments, args, kwargs)
        if len(calls) > known:
            given = dict(zip(arguments, args, strict=False)) | kwargs
            self._keep(calls[-1].order, calls[-1].norm, given["input"], y, given.get("momentum"))
        return y

    def _record(self, name: str, frame: Frame, norm: Norm, known_by: str, x: Any, y: Any, got: Any = None) -> None:
        self._keep(frame.order, norm, x, y, None)
        super()._record(name, frame, norm, known_by, x, y, got)

    def _keep(self, order: int, norm: Norm, x: Any, y: Any, momentum: Any) -> None:
        """Keep copies with axes (N, C, *spatial), so that ports with the channels last can be compared."""
        kept = [
            np.array(np.moveaxis(values(t).reshape(norm.shape), norm.channel_axis, 1))
            if t is not None and plain(t) and t.numel() == x.numel()
            else None
            for t in (x, y)
        ]
        self._kept[order] = kept[0], kept[1], str(x.dtype).removeprefix("torch."), momentum

    def _add(self, name: str, module: Any, norm: Norm, known_by: str, call: Call) -> None:
        super()._add(name, module, norm, known_by, call)
        x, y, dtype, momentum = self._kept[call.order]
        flat = {k: _flat(getattr(norm, k)) for k in ("weight", "bias")}
        self.sides[call.order] = Side(
            order=call.order,
            name=name,
            type=self.seen[name].type,
            kind=norm.kind,
            num_groups=norm.num_groups,
            block=None if norm.block is None else norm.canonical(norm.block),
            input_shape=norm.canonical(norm.shape),
            eps=norm.eps,
            momentum=getattr(module, "momentum", momentum) if norm.running is not None else None,
            running=norm.running,
            own=norm.own,
            mode=self.seen[name].mode,
            known_by=known_by,
            before=call.before[0],
            dtype=dtype,
            x=x,
            y=y,
            **flat,
        )


def _flat(tensor: Any) -> np.ndarray | None:
    if not isinstance(tensor, torch.Tensor) or not plain(tensor):
        return None
    return np.array(values(tensor), np.float64).reshape(-1)
