"""One run of a torch model, watched: which module or function normalizes what.

torch's hooks for all modules see every call, also inside compiled wrappers, and leave the model's own hooks alone.
A mode of torch's sees the functions that a forward calls. What neither can name is recognized by its output.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from normviz.inspect.audit import torch_norms as norms
from normviz.inspect.audit.detect import MOST_WORK, by_output, whole
from normviz.inspect.audit.layers import Norm
from normviz.inspect.audit.measures import measure, values
from normviz.inspect.audit.seen import Call, Frame, Origins, Seen
from normviz.inspect.audit.tensors import eager, empty, first, plain, torchs, weights_of

MODEL = "(model)"


class Reached(BaseException):
    """The layer asked for has been reached, and the rest of the run is not needed; no model catches this."""


class Watch:
    """A run of a model.

    Parameters
    ----------
    model
        A torch.nn.Module.
    ignore
        Codes of what makes a layer raise that are no longer to be worked around.
    dead
        Whether to look for channels that carry nothing, which takes a pass over every input.
    want
        Name and number of the use whose input is to be kept, after which the run ends.

    Attributes
    ----------
    seen
        The layers by name.
    wanted
        A copy of the input asked for, and what is normalized of it; None until it is reached.
    """

    def __init__(
        self, model: Any, *, ignore: Collection[str] = (), dead: bool = False, want: tuple[str, int] | None = None
    ) -> None:
        self.names = {id(m): n.replace("_orig_mod", "").replace("..", ".").strip(".") for n, m in model.named_modules()}
        self.model, self.ignore, self.dead, self.want, self.wanted = model, ignore, dead, want, None
        self.seen: dict[str, Seen] = {}
        self.called: set[int] = set()
        self.blind: dict[str, str] = {}
        self.stack: list[Frame] = []
        self._order, self._thread = 0, threading.get_ident()
        self._origins = Origins()
        self._uses: Counter[str] = Counter()
        kept = [b for b in model.buffers() if b.ndim < 2 and not empty(b) and not b.is_meta]
        # Copies: in train mode the run changes them.
        self._originals = {id(b): np.array(values(b), np.float64) for b in kept}
        self._weights = {p.untyped_storage().data_ptr() for p in model.parameters() if not empty(p)} - {0}

    def run(self, call: Callable[[], Any]) -> None:
        """Call the model and watch.

        Raises
        ------
        Exception
            What the model raises.
        """
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(eager())
            for handle in (
                register_module_forward_pre_hook(self._enter),
                register_module_forward_hook(self._leave, with_kwargs=True),
            ):
                stack.callback(handle.remove)
                # torch's own removal forgets this one, and warns for ever that there are hooks.
                flags = getattr(torch.nn.modules.module, "_global_forward_hooks_with_kwargs", {})
                stack.callback(flags.pop, handle.id, None)
            stack.enter_context(_Functions(self))
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile")  # that hooks are called for a wrapper as well
            try:
                call()
            except Reached:
                return

    def where(self) -> tuple[str, tuple[int, ...] | None]:
        """Return the innermost module that did not return, and the shape it was given."""
        if not self.stack:
            return MODEL, None
        return self._name(self.stack[-1].module), self.stack[-1].shape

    def unseen(self) -> dict[str, str]:
        """Return why the run could not show some modules: name -> reason."""
        reasons = dict(self.blind)
        inside: set[int] = set()
        for module in self.model.modules():
            name, scripted = self._name(module), isinstance(module, torch.jit.ScriptModule)
            if id(module) not in inside and name not in self.seen:
                if scripted:
                    classes = {str(getattr(m, "original_name", "")) for m in module.modules()}
                    held = ", ".join(sorted(c for c in classes if "Norm" in c))
                    reasons[name] = "compiled by torch.jit, and no call inside can be seen" + (
                        held and f"; it holds {held}"
                    )
                elif norms.of_module(module, torch) and id(module) not in self.called:
                    reasons[name] = f"{type(module).__name__} is not called in this run"
            if scripted:
                inside |= {id(m) for m in module.modules()}
        return reasons

    # ---- modules ----

    def _mine(self, module: Any) -> bool:
        return threading.get_ident() == self._thread and id(module) in self.names

    def _name(self, module: Any) -> str:
        return self.names.get(id(module)) or MODEL

    def _enter(self, module: Any, args: tuple) -> None:
        if not self._mine(module):
            return
        self.called.add(id(module))
        x = first(args)
        function = norms.of_module(module, torch)
        alone = function is None and not torchs(module) and next(module.children(), None) is None
        kept = None
        if alone and x is not None and plain(x) and x.numel() <= MOST_WORK:
            kept = x.detach().clone()  # it may write into its input
        self.stack.append(Frame(module, self._next(), function, None if x is None else tuple(x.shape), kept))

    def _leave(self, module: Any, args: tuple, kwargs: dict, output: Any) -> None:
        if not self._mine(module) or not any(f.module is module for f in self.stack):
            return
        while (frame := self.stack.pop()).module is not module:
            pass
        x, y = first((*args, *kwargs.values())), first(output)
        if x is not None:
            self._judge(frame, x, y)
        elif frame.function:
            self.blind[self._name(module)] = "its input is no tensor of one shape"
        if frame.found and self.stack:
            self.stack[-1].found = True
        if y is not None:
            self._origins.made(y, self._name(module), module)

    def _judge(self, frame: Frame, x: Any, y: Any) -> None:
        """Decide whether the module that has just returned is a normalization, or calls some, or neither."""
        module, name = frame.module, self._name(frame.module)
        if frame.function:
            norm = norms.of_call(frame.function, norms.module_arguments(module, frame.function, x), self._originals)
            if norm is not None:
                self._record(name, frame, norm, "class", x, y)
            frame.found = True
            return
        got, x = x, x if frame.kept is None else frame.kept
        same = y is not None and x.shape == y.shape and plain(x) and plain(y) and x.numel() <= MOST_WORK
        if frame.calls:
            alone = len(frame.calls) == 1 and same and not frame.found
            norm = whole(module, frame.calls[0], x, y, self._originals) if alone else None
            frame.found = True
            for call in frame.calls:
                if norm is not None:
                    self._want(name, x, norm)
                    self._add(name, module, norm, "call", call)
                else:
                    self._add(call.label, module, call.norm, "call", call)
        elif same and not frame.found and not torchs(module):
            norm = by_output(module, x, y, self._originals)
            if norm is not None:
                frame.found = True
                self._record(name, frame, norm, "output", x, y, got)

    def _record(self, name: str, frame: Frame, norm: Norm, known_by: str, x: Any, y: Any, got: Any = None) -> None:
        """Take note of a use of a module that is a normalization; `got` is its input itself where x is a copy."""
        self._want(name, x, norm)
        measured, before = measure(norm, x, y, dead=self.dead), self._origins.before(x if got is None else got, norm)
        call = Call(frame.order, type(frame.module).__name__, name, norm, measured, None, before, frame.broken)
        self._add(name, frame.module, norm, known_by, call)

    def _add(self, name: str, module: Any, norm: Norm, known_by: str, call: Call) -> None:
        if name not in self.seen:
            part = name != self._name(module)
            parameters = [p for p in (norm.weight, norm.bias) if isinstance(p, torch.nn.Parameter)]
            parameters = parameters if part else list(module.parameters())
            momentum, tracked = getattr(module, "momentum", None), getattr(module, "num_batches_tracked", None)
            moves = norm.running is not None and (norm.own if part else module.training) and momentum != 0
            state = norm.running is not None or not norm.own
            self.seen[name] = Seen(
                order=call.order,
                name=name,
                type=call.function if part else str(getattr(module, "original_name", type(module).__name__)),
                norm=norm,
                known_by=known_by,
                parameters=sum(p.numel() for p in parameters),
                frozen=bool(parameters or state) and not moves and not any(p.requires_grad for p in parameters),
                mode="train" if module.training else "eval",
                measured=call.measured,
                before=call.before[0],
                bias_before=call.before[1],
                tracked=None if tracked is None else int(self._originals.get(id(tracked), 0)),
                momentum=momentum if isinstance(momentum, float) else None,
                broken=call.broken,
            )
        self.seen[name].again(norm, call.measured)

    def _want(self, name: str, x: Any, norm: Norm) -> None:
        """Keep an input that was asked for, and end the run there."""
        number, self._uses[name] = self._uses[name], self._uses[name] + 1
        if (name, number) == self.want:
            self.wanted = x.detach().clone(), norm
            raise Reached

    # ---- functions ----

    def function(self, func: Callable, name: str, arguments: list[str], args: tuple, kwargs: dict) -> Any:
        """Call one of torch's functions that normalize, and take note of it."""
        given = dict(zip(arguments, args, strict=False)) | kwargs
        x, problem = given.get("input"), None
        if x is None or first(x) is None:
            return func(*args, **kwargs)
        norm = norms.of_call(name, given, self._originals)
        try:
            y = func(*args, **kwargs)
        except Exception:
            problem = norm and norms.broken(norm)
            if not problem or problem in self.ignore:
                raise
            y = x.clone()  # so that the rest of the model can be seen as well
        if norm is None or not self.stack or threading.get_ident() != self._thread or weights_of(x, self._weights):
            return y
        frame = self.stack[-1]
        if frame.function:
            frame.broken = frame.broken or problem
            return y
        label = self._label(frame, name, given.get("weight"))
        self._want(label, x, norm)
        measured = measure(norm, x, y, dead=self.dead)
        frame.calls.append(Call(self._next(), name, label, norm, measured, y, self._origins.before(x, norm), problem))
        if len(frame.calls) > 1:
            frame.calls[0].y = frame.calls[-1].y = None  # only one call alone can make its module a normalization
        self._origins.made(y, label)
        return y

    def _label(self, frame: Frame, name: str, weight: Any) -> str:
        """Name a call after its module and function; calls with one weight are uses of one layer."""
        key = (name, len(frame.labels) if weight is None else id(weight))
        if key not in frame.labels:
            number = 1 + sum(function == name for function, _ in frame.labels)
            frame.labels[key] = f"{self._name(frame.module)}:{name}" + (f"#{number}" if number > 1 else "")
        return frame.labels[key]

    def _next(self) -> int:
        self._order += 1
        return self._order


class _Functions(TorchFunctionMode):
    """Hands torch's normalizing functions to a watch, and lets all others pass."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch, self.table = watch, norms.functions(torch)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        known = self.table.get(func)
        if known is None:
            return func(*args, **(kwargs or {}))
        return self.watch.function(func, *known, args, kwargs or {})
