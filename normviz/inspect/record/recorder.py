"""Watch a torch model while it trains, by hooks that change nothing.

Hooks for all modules see every call inside the model, and a torch function mode sees the functions that a forward
calls, as in an audit. A copy of the model therefore has no hook of ours, and so is not recorded.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import pooling
from normviz.inspect._snapshot import first_line, restore_after
from normviz.inspect.audit.detect import MAX_CELLS, is_activation, is_outshone, norm_around_call, norm_by_output
from normviz.inspect.audit.run import call_label, module_hooks
from normviz.inspect.audit.tensors import (
    MODEL,
    attribute,
    buffers,
    class_name,
    first_tensor,
    has_children,
    has_values,
    in_memory,
    is_torchs_own,
    is_view_of,
    named_modules,
    parameters,
    values,
)
from normviz.inspect.audit.torch_norms import Norm, arguments_of, function_of, norm_calls, norm_of_call
from normviz.inspect.audit.trial import norm_by_trial
from normviz.inspect.record.measure import Measured, Unreadable, first_sets, measure, per_channel, quartiles

Row = dict[str, Any]
WAITING = 64
"""Of each layer, this many forwards without gradient are kept in mind: activation checkpointing may repeat them."""


@dataclass(eq=False)
class Use:
    """One use of a normalization in a forward that is recorded, or several of them merged."""

    order: int
    norm: Norm
    type: str
    measured: Measured
    running: tuple[Any, Any]  # the buffers, or None
    weight: np.ndarray | None
    bias: np.ndarray | None
    momentum: float | None
    squares: list[list[float]]  # of each use, the sums of squares of the gradients that have come
    graded: bool  # whether a gradient can come


@dataclass(eq=False)
class Frame:
    """A module whose forward is running."""

    module: Any
    function: str | None
    error: BaseException | None  # what was being handled when the forward began
    x: Any = None  # a copy of its input, if it may have to be recognized by its output
    early: Measured | None = None  # of its input, if the module may write into it
    calls: list[tuple[str, Use, Any]] = field(default_factory=list)  # label, use, and output of the call
    labels: dict[tuple, str] = field(default_factory=dict)
    has_norms: bool = False


@dataclass(eq=False)
class Series:
    """What is known of a layer so far."""

    norm: Norm
    type: str
    momentum: float | None
    rows: dict[int, Row] = field(default_factory=dict)  # by the number of the recorded step
    resized: tuple[int, int] | None = None  # step, and the number of channels that it then had


class Recorder:
    """Hooks on a model; `series` holds what they saw, by layer, in the order of first call."""

    def __init__(self, model: Any, every: int, layers: Collection[str] | None) -> None:
        self.model: Any = model
        self.every, self.wanted = every, layers
        self.steps: list[int] = []
        self.series: dict[str, Series] = {}
        self.calls = self.trained = self.elsewhere = 0
        self.changed: tuple[int, list[str]] | None = None
        self.unreadable: dict[str, str] = {}
        self._training_forwards = self._depth = 0
        self._active = self._paused = self._is_training = False
        self._repeating: int | None = None  # the thread of a backward in which a part of a forward is repeated
        self._again: Any = None  # the function mode of that time: torch calls Tensor.backward outside the other one
        self._waiting: dict[str, deque[tuple[np.ndarray, list[list[float]]]]] = {}  # mean of a use, and its squares
        self._frames: list[Frame] = []
        self._uses: dict[str, Use] = {}
        self._names: dict[int, str] = {}
        self._modules: dict[int, Any] = {}
        self._as_layer: dict[int, bool] = {}  # whether a module that calls one function is itself a normalization
        self._by_output: dict[int, Norm | None] = {}
        self._weights: set[int] | None = None
        self._handles: list[Any] = []
        self._stack = ExitStack()
        self._thread, self._order = 0, count()
        self._is_compiling: Callable[[], bool] = bool
        self._backward: Callable[[], int] = int

    def start(self) -> None:
        """Set the hooks, for calls from this thread."""
        import torch

        self._is_compiling = torch.compiler.is_compiling
        self._backward = torch._C._current_graph_task_id  # -1 where no backward runs
        self._thread = threading.get_ident()
        self._stack.enter_context(module_hooks(self._enter, self._leave, also_if_raised=True))
        self._stack.enter_context(norm_calls(partial(self._function, False)))

    def stop(self) -> None:
        """Remove the hooks, and let go of the model."""
        self._stack.close()
        self._end_repeating()
        for handle in self._handles:
            handle.remove()
        for name in ("_frames", "_handles", "_modules", "_names", "_as_layer", "_by_output", "_uses", "_waiting"):
            getattr(self, name).clear()
        self._active, self.model = False, None

    # ---- the forward of the model ----

    def _begin(self) -> None:
        self.calls += 1
        self._frames, self._repeating = [], None  # torch calls no hook after what KeyboardInterrupt has ended
        self._is_training = self.model.training
        self.trained += self._is_training
        self._active = self._is_training and self._training_forwards % self.every == 0
        if not self._active:
            return
        self._uses, self._weights = {}, None
        modules = [*named_modules(self.model)]
        names = {id(module): name or MODEL for name, module in modules}
        if self._names and names != self._names and self.changed is None:
            different = sorted({*names.items()} ^ {*self._names.items()}, key=lambda item: item[1])
            self.changed = self._training_forwards, list(dict.fromkeys(name for _, name in different))
        self._names = names
        self._modules |= {id(module): module for _, module in modules}  # alive, so that no id is used again

    def _end(self, raised: bool) -> None:
        active, self._active = self._active, False
        if raised or not self._is_training:
            return
        if active:
            step = len(self.steps)
            self.steps.append(self._training_forwards)
            for name, use in sorted(self._uses.items(), key=lambda item: item[1].order):
                self._add_row(name, use, step)
            self._frames, self._uses = [], {}
        self._training_forwards += 1

    def _add_row(self, name: str, use: Use, step: int) -> None:
        if name not in self.series:
            self.series[name] = Series(use.norm, use.type, use.momentum)
        series = self.series[name]
        if not series.norm.shape[0]:
            series.norm = use.norm  # an empty batch says nothing about the layer
        if use.norm.channels != series.norm.channels:
            series.resized = series.resized or (self.steps[step], use.norm.channels)
            return
        running = [None if b is None or not has_values(b) else np.array(values(b), np.float64) for b in use.running]
        measured = use.measured
        series.rows[step] = {
            "mean": measured.mean,
            "var": measured.var,
            "set_mean": quartiles(measured.set_mean),
            "set_var": quartiles(measured.set_var),
            **first_sets(use.norm, measured),
            "running_mean": running[0],
            "running_var": running[1],
            "weight": use.weight,
            "bias": use.bias,
            "samples": measured.samples,
            "count": measured.count,
            "own": use.norm.own,
            "squares": use.squares,
        }

    # ---- a part of a forward that activation checkpointing repeats in a backward ----

    def _begin_repeating(self, thread: int) -> None:
        from torch.overrides import _get_current_function_mode

        self._repeating, self._frames = thread, []
        # After an interrupt the one of before is gone: autograd restores the modes of each node.
        if self._again is None or _get_current_function_mode() is not self._again:
            self._again = norm_calls(partial(self._function, True))
            self._again.__enter__()

    def _end_repeating(self) -> None:
        from torch.overrides import _get_current_function_mode

        self._repeating = None
        if self._again is not None and _get_current_function_mode() is self._again:
            self._again.__exit__(None, None, None)
            self._again = None

    # ---- every module ----

    def _enter(self, module: Any, args: tuple) -> None:
        if self._is_compiling():  # compiled code must stay what it is without us
            return
        is_root, thread = module is self.model, threading.get_ident()
        repeats = self._backward() != -1
        if repeats and self._repeating is None and not self._active and any(self._waiting.values()):
            self._begin_repeating(thread)
        if thread not in (self._thread, self._repeating):
            self.elsewhere += is_root and not repeats
            return
        if self._paused:
            return
        if is_root and not repeats:
            self._depth = self._depth + 1 if self._depth and _is_inside_itself(module) else 1
            if self._depth == 1:
                self._begin()
        watched = self._active or self._repeating == thread
        if (watched and id(module) in self._names) or (is_root and not repeats):
            frame = Frame(module, function_of(module), sys.exception())
            self._frames.append(frame)
            if watched and frame.function is None and not is_torchs_own(module) and not has_children(module):
                self._look_early(frame, first_tensor(args))

    def _look_early(self, frame: Frame, x: Any) -> None:
        """Keep the input of a module that is unknown so far, or measure it: the module may write into it."""
        if x is None or not has_values(x):
            return
        norm = self._by_output.get(id(frame.module))
        if id(frame.module) not in self._by_output and x.numel() <= MAX_CELLS:
            frame.x = x.detach().clone()
        elif norm is not None:
            frame.early = self._guarded(frame.module, lambda: measure(_resized(norm, x), x))

    def _leave(self, module: Any, args: tuple, *rest: Any) -> None:
        if self._is_compiling() or self._paused:
            return
        thread = threading.get_ident()
        if thread not in (self._thread, self._repeating):
            return
        if not any(frame.module is module for frame in self._frames):
            return
        while (frame := self._frames.pop()).module is not module:
            pass
        raised = sys.exception() is not None and sys.exception() is not frame.error
        if (self._active or self._repeating == thread) and not raised:
            *kwargs, output = rest
            self._guarded(module, lambda: self._classify(frame, args, kwargs[0] if kwargs else {}, output))
            if frame.has_norms and self._frames:
                self._frames[-1].has_norms = True
        if self._repeating == thread:
            if not self._frames:
                self._end_repeating()
        elif module is self.model:
            self._depth -= 1
            if self._depth == 0:
                self._end(raised)

    def _guarded(self, module: Any, do: Callable[[], Any]) -> Any:
        """Do something of ours; what it raises is kept for the end and does not end the training."""
        try:
            return do()
        except Exception as error:
            name = self._names.get(id(module), MODEL)
            why = first_line(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {first_line(error)}"
            self.unreadable.setdefault(name, why)

    def _classify(self, frame: Frame, args: tuple, kwargs: dict, output: Any) -> None:
        """Add what a module, which has just returned, normalized, or what the functions that it called did."""
        module, name = frame.module, self._names[id(frame.module)]
        x, y = first_tensor((*args, *kwargs.values())), first_tensor(output)
        if frame.function:
            frame.has_norms = True
            if x is not None:
                given = arguments_of(module, frame.function, x)
                norm = norm_of_call(frame.function, given, {})
                if norm is not None:
                    momentum = attribute(module, "momentum")
                    self._add(name, self._use(norm, class_name(module), x, y, given, momentum))
        elif frame.calls:
            self._add_calls(frame, name, x if frame.x is None else frame.x, y, nested=frame.has_norms)
            frame.has_norms = True
        elif x is not None and y is not None and not frame.has_norms:
            norm = self._norm_by_output(frame, args, kwargs, x, y)
            if norm is not None:
                frame.has_norms = True
                self._add(name, self._use_by_output(frame, norm, x, y))

    def _add_calls(self, frame: Frame, name: str, x: Any, y: Any, *, nested: bool) -> None:
        """Add the functions that a module called; as the module itself if its one call makes it a normalization."""
        module = frame.module
        if id(module) not in self._as_layer:
            _, use, call_output = frame.calls[0]
            alone = len(frame.calls) == 1 and not nested and _comparable(x, y)
            found = norm_around_call(module, use.norm, call_output, x, y, {}) if alone else None
            self._as_layer[id(module)] = found is not None
        for label, use, _ in frame.calls:
            as_layer = self._as_layer[id(module)]
            self._add(name if as_layer else label, replace(use, type=class_name(module)) if as_layer else use)

    def _norm_by_output(self, frame: Frame, args: tuple, kwargs: dict, x: Any, y: Any) -> Norm | None:
        """Return what a module without others inside normalizes; its output tells, the first time that it is seen."""
        module, given = frame.module, x if frame.x is None else frame.x
        if is_torchs_own(module) or has_children(module):
            return None
        if id(module) not in self._by_output and _comparable(given, y):
            norm = None
            if not is_activation(module, given, y):
                norm = None if is_outshone(given) else norm_by_output(module, given, y, {})
                if norm is None or not norm.sure:
                    norm = self._by_trial(module, args, kwargs, given, norm)
            self._by_output[id(module)] = norm
        return self._by_output.get(id(module))

    def _by_trial(self, module: Any, args: tuple, kwargs: dict, x: Any, guess: Norm | None) -> Norm | None:
        """Call a module again, unobserved, on noise; it, and all that is random, are then as they were."""
        import torch

        if any("." in name for name in (*parameters(module), *buffers(module))):
            return guess
        self._paused = True
        try:
            with restore_after(module), torch.no_grad():
                return norm_by_trial(module, args, kwargs, x, {}, guess)
        finally:
            self._paused = False

    def _use_by_output(self, frame: Frame, norm: Norm, x: Any, y: Any) -> Use:
        given = {"running_mean": None, "running_var": None}
        if norm.stored is not None:
            own = {n: t for n, t in buffers(frame.module).items() if t.numel() == norm.channels}
            for word in ("mean", "var"):
                given[f"running_{word}"] = next((t for n, t in own.items() if word in n), None)
        momentum = attribute(frame.module, "momentum")
        x = x if frame.x is None else frame.x
        return self._use(_resized(norm, x), class_name(frame.module), x, y, given, momentum, frame.early)

    # ---- functions, and what both have in common ----

    def _function(
        self, repeats: bool, func: Callable, name: str, arguments: list[str], args: tuple, kwargs: dict
    ) -> Any:
        """Call one of torch's functions that normalize, and measure its input."""
        y = func(*args, **kwargs)
        if self._is_compiling() or self._paused or not self._frames or self._frames[-1].function:
            return y
        observing = self._repeating if repeats else self._thread if self._active else None
        if threading.get_ident() == observing:
            self._guarded(self._frames[-1].module, lambda: self._note_call(name, arguments, args, kwargs, y))
        return y

    def _note_call(self, name: str, arguments: list[str], args: tuple, kwargs: dict, y: Any) -> None:
        given, frame = dict(zip(arguments, args, strict=False)) | kwargs, self._frames[-1]
        x = given.get("input")
        if x is None or first_tensor(x) is not x or self._is_weight(x):
            return  # a view of a weight: weight standardization normalizes no activations
        norm = norm_of_call(name, given, {})
        if norm is not None:
            label = call_label(frame.labels, self._names[id(frame.module)], name, given.get("weight"))
            use = self._use(norm, name, x, y, given, norm.momentum)
            frame.calls.append((label, use, None if id(frame.module) in self._as_layer or frame.calls else y))

    def _is_weight(self, x: Any) -> bool:
        if self._weights is None:
            weights = [p for p in parameters(self.model).values() if in_memory(p)]
            self._weights = {p.untyped_storage().data_ptr() for p in weights} - {0}
        return is_view_of(x, self._weights)

    def _use(
        self, norm: Norm, kind: str, x: Any, y: Any, given: dict, momentum: Any, measured: Measured | None = None
    ) -> Use:
        squares: list[float] = []
        graded = y is not None and y.requires_grad
        if y is not None and graded:
            # Instance Norm returns a view. A step in place after it, such as a ReLU, would bypass a hook on the view.
            whole = y._base if y._is_view() and y._base.numel() == y.numel() and y._base.requires_grad else y
            self._handles = [handle for handle in self._handles if handle.hooks_dict_ref() is not None]
            self._handles.append(whole.register_hook(partial(_note_gradient, squares)))
        return Use(
            next(self._order),
            replace(norm, weight=None, bias=None, running=None, stored=None, mean_after=None),
            kind,
            measure(norm, x) if measured is None else measured,
            (given.get("running_mean"), given.get("running_var")),
            per_channel(norm.weight, norm),
            per_channel(norm.bias, norm),
            momentum if isinstance(momentum, int | float) else None,
            [squares],
            graded,
        )

    def _add(self, name: str, use: Use) -> None:
        """Add a use to those of this forward; the calls of a tied layer are merged."""
        if self.wanted is not None and name not in self.wanted:
            return
        if self._repeating is not None:
            self._add_gradients(name, use)
            return
        own, first = use.measured.mean, self._uses.get(name)
        if first is None:
            first = self._uses[name] = use
        elif first.norm.channels == use.norm.channels:
            first.measured += use.measured
            first.squares += use.squares
        elif name in self.series:
            self.series[name].resized = self.series[name].resized or (self._training_forwards, use.norm.channels)
            return
        if not use.graded:
            self._waiting.setdefault(name, deque(maxlen=WAITING)).append((own, first.squares))

    def _add_gradients(self, name: str, use: Use) -> None:
        """Let the gradient of a repeated use count for the one that it repeats: that with the same numbers."""
        waiting = self._waiting.get(name, ())
        for k, (mean, squares) in enumerate(waiting):
            if use.graded and np.allclose(mean, use.measured.mean, rtol=1e-5, atol=0):
                squares += use.squares
                del waiting[k]  # type: ignore[attr-defined]
                return


def _is_inside_itself(model: Any) -> bool:
    """Whether a forward of the model runs inside another one of it, as far as the stack of calls says."""
    import torch

    code, frame, running = torch.nn.Module._call_impl.__code__, sys._getframe(), 0
    while frame is not None:
        running += frame.f_code is code and frame.f_locals.get("self") is model
        frame = frame.f_back
    return running > 1


def _note_gradient(squares: list[float], gradient: Any) -> None:
    import torch

    if has_values(gradient):
        gradient = gradient.detach()
        if gradient.device.type == "mps":  # it has no float64
            gradient = gradient.cpu()
        squares.append(float(torch.linalg.vector_norm(gradient, dtype=torch.float64)) ** 2)


def _comparable(x: Any, y: Any) -> bool:
    if x is None or y is None or x.shape != y.shape or x.numel() > MAX_CELLS:
        return False
    return has_values(x) and has_values(y)


def _resized(norm: Norm, x: Any) -> Norm:
    """Return what was found from an output, for an input of another size."""
    shape = tuple(x.shape)
    if shape == norm.shape:
        return norm
    block = None
    if norm.is_method() and len(shape) == len(norm.shape):
        groups = norm.num_groups if METHODS[norm.kind].has_groups else None
        n, c, *spatial = pooling(norm.kind, norm.canonical(shape), groups).block
        block = (n, c, *spatial) if norm.channel_axis == 1 else (n, *spatial, c)
    return replace(norm, shape=shape, block=block)
