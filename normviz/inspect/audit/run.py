"""One run of a torch model under observation: which module or function normalizes what.

Hooks for all modules see every call, also inside compiled wrappers, and leave the model's own hooks alone. A torch
function mode sees the functions that a forward calls. Everything else is recognized by its output.
"""

from __future__ import annotations

import copy
import inspect
import math
import sys
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

import numpy as np

from normviz.inspect._snapshot import first_line, restore_after
from normviz.inspect.audit.detect import (
    EPS_NAMES,
    MAX_CELLS,
    is_activation,
    is_outshone,
    norm_around_call,
    norm_by_output,
)
from normviz.inspect.audit.measurements import Measurements, measure_use
from normviz.inspect.audit.tensors import (
    MODEL,
    attribute,
    buffers,
    class_name,
    first_tensor,
    has_children,
    has_values,
    in_memory,
    is_scripted,
    is_torchs_own,
    is_uninitialized,
    is_view_of,
    leaves,
    named_modules,
    parameters,
    short_name,
    tensors_in,
    unwrapped,
    values,
    version,
)
from normviz.inspect.audit.torch_norms import Norm, arguments_of, bias_axis, function_of, norm_calls, norm_of_call
from normviz.inspect.audit.trial import norm_by_trial

AnyRun = TypeVar("AnyRun", bound="ModelRun")
MAX_SHAPES = 8
"""Shapes of an example that a message names."""


class LayerReached(BaseException):
    """The input that was wanted is there, so the run can end; a model's `except Exception` does not catch this."""


@dataclass
class LayerRecord:
    """A normalization layer, with all its uses in the run; its attributes are explained in `NormLayer`."""

    order: int
    name: str
    type: str
    norm: Norm
    known_by: str
    parameters: int
    frozen: bool
    mode: str
    measured: Measurements
    before: str | None
    bias_before: bool
    updates: int | None = None
    momentum: float | None = None
    held: bool = False  # whether its parameters, or those of the module around it if it has none, get no gradient
    moves: bool = False  # whether a run in this mode changes its running statistics
    refused: str | None = None
    stored_as: dict[str, str] = field(default_factory=dict)  # the names in the module of weight, eps and momentum
    is_call: bool = False  # whether it is the call of a function in the middle of a module's forward
    uses: int = 0
    cells: int = 0
    smallest: Norm = field(init=False)

    def __post_init__(self) -> None:
        self.smallest = self.norm

    def add_use(self, norm: Norm, measured: Measurements) -> None:
        """Count one more use."""
        self.uses += 1
        self.cells += math.prod(norm.shape)
        if (norm.size or 0) < (self.smallest.size or 0):
            self.smallest = norm
        self.measured = self.measured.and_then(measured)


@dataclass
class NormCall:
    """One call of a module or a function that normalizes."""

    order: int
    function: str
    label: str
    norm: Norm
    measured: Measurements
    y: Any
    before: tuple[str | None, bool]
    refused: str | None


@dataclass
class RunningModule:
    """A module whose forward is running."""

    # module, order, shape: the module, the number of its call, and the shape of its input
    module: Any
    order: int
    function: str | None  # the function that it calls if it is one of torch's normalization layers
    shape: tuple[int, ...] | None
    x: Any = None  # a copy of its input, if it may have to be recognized by its output
    calls: list[NormCall] = field(default_factory=list)  # the functions that normalize, called in its forward
    labels: dict[tuple, str] = field(default_factory=dict)  # names of these calls, by function and weight
    arguments: tuple[tuple, dict] = ((), {})  # those of its call, once it has returned
    has_norms: bool = False  # whether it is a normalization, or one was found inside
    refused: str | None = None  # the code of the reason for which torch raised in it


class TensorOrigins:
    """Which module or function made a tensor; no tensor is kept alive."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[weakref.ref, int, str, Any]] = {}

    def before(self, x: Any, norm: Norm) -> tuple[str | None, bool]:
        """Return which module or function made x, and whether it added a bias to each of the norm's channels."""
        if not self._knows(x):
            return None, False
        _, _, name, module = self._by_id[id(x)]
        axis = bias_axis(module)
        return name, axis is not None and axis % x.ndim == norm.channel_axis % x.ndim

    def add(self, y: Any, name: str, module: Any = None) -> None:
        """Remember who made y: the innermost module, and not one that returns its input."""
        if not self._knows(y):
            self._by_id[id(y)] = (weakref.ref(y), version(y), name, module)

    def _knows(self, x: Any) -> bool:
        """Whether x is known, and has not been written to since."""
        made = self._by_id.get(id(x))
        return made is not None and made[0]() is x and made[1] == version(x)


class ModelRun:
    """A run of a torch model; `layers` holds the records of its normalizations by name.

    Where a layer raises for the reason of a warning, the run goes on, unless `ignore` has its code. `dead` looks for
    channels that carry nothing, which takes a pass over every input. `take` gets the name of a layer, the number of the
    use, its input, which the model may write into later, and its Norm; it may end the run with LayerReached.
    """

    def __init__(
        self,
        model: Any,
        *,
        ignore: Collection[str] = (),
        dead: bool = False,
        take: Callable[[str, int, Any, Norm], None] | None = None,
    ) -> None:
        self.modules = [*named_modules(model)]
        self.names = {id(module): name or MODEL for name, module in self.modules}
        self.ignore, self.dead, self.take = ignore, dead, take
        self.layers: dict[str, LayerRecord] = {}
        self.stack: list[RunningModule] = []
        self._called: set[int] = set()
        self._tried: dict[tuple, Norm | None] = {}
        self._paused = False
        self._unreadable: dict[str, str] = {}
        self._order, self._thread = count(1), threading.get_ident()
        self._origins = TensorOrigins()
        self._uses: Counter[str] = Counter()
        # In train mode the run changes buffers.
        kept = [b for b in buffers(model).values() if in_memory(b) and b.ndim < 2 and not b.is_complex()]
        self._buffers_before = {id(b): np.array(values(b), np.float64) for b in kept}
        weights = [p for p in parameters(model).values() if in_memory(p)]
        self._weight_storages = {p.untyped_storage().data_ptr() for p in weights} - {0}

    def run(self, call: Callable[[], Any]) -> None:
        """Call the model and observe it; what the model raises is not caught."""
        import torch

        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(_eager())
            stack.enter_context(module_hooks(self._enter, self._leave))
            stack.enter_context(norm_calls(self.function))
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile")  # that hooks are called for a wrapper as well
            try:
                call()
            except LayerReached:
                return

    def where(self) -> tuple[str, tuple[int, ...] | None]:
        """Return the innermost module that did not return, and the shape of its input."""
        if not self.stack:
            return MODEL, None
        return self._name(self.stack[-1].module), self.stack[-1].shape

    def unseen(self) -> dict[str, str]:
        """Return why the run could not show some modules: name -> reason."""
        reasons = dict(self._unreadable)
        inside: set[int] = set()
        for _, module in self.modules:
            name, scripted = self._name(module), is_scripted(module)
            if id(module) not in inside and name not in self.layers:
                if scripted:
                    classes = sorted({class_name(m) for _, m in named_modules(module)})
                    norms = ", ".join(short_name(c) for c in classes if "Norm" in c)
                    reasons[name] = "compiled by torch.jit, and no call inside can be seen"
                    reasons[name] += norms and f"; it holds {norms}"
                elif function_of(module) and id(module) not in self._called:
                    reasons[name] = f"{short_name(class_name(module))} is not called in this run"
            if scripted:
                inside |= {id(m) for _, m in named_modules(module)}
        return reasons

    def _observes(self, module: Any) -> bool:
        return not self._paused and threading.get_ident() == self._thread and id(module) in self.names

    def _name(self, module: Any) -> str:
        return self.names.get(id(module), MODEL)

    def _enter(self, module: Any, args: tuple) -> None:
        if not self._observes(module):
            return
        self._called.add(id(module))
        x, kept = first_tensor(args), None
        function = function_of(module)
        leaf = function is None and not is_torchs_own(module) and not has_children(module)
        if leaf and x is not None and has_values(x) and x.numel() <= MAX_CELLS:
            kept = x.detach().clone()  # the module may write into its input
        shape = None if x is None else tuple(x.shape)
        self.stack.append(RunningModule(module, next(self._order), function, shape, kept))

    def _leave(self, module: Any, args: tuple, kwargs: dict, output: Any) -> None:
        if not self._observes(module) or not any(running.module is module for running in self.stack):
            return
        while (running := self.stack.pop()).module is not module:
            pass
        x, y = first_tensor((*args, *kwargs.values())), first_tensor(output)
        if x is not None:
            running.arguments = args, kwargs
            self._classify(running, x, y)
        elif running.function:
            self._unreadable[self._name(module)] = "its input is not a tensor of one shape"
        if running.has_norms and self.stack:
            self.stack[-1].has_norms = True
        if y is not None:
            self._origins.add(y, self._name(module), module)

    def _classify(self, running: RunningModule, x: Any, y: Any) -> None:
        """Decide whether the module that has just returned is a normalization, or calls some, or neither."""
        module, name = running.module, self._name(running.module)
        before = self._buffers_before
        if running.function:
            norm = norm_of_call(running.function, arguments_of(module, running.function, x), before)
            if norm is not None:
                self._record(name, running, norm, "class", x, x, y)
            running.has_norms = True
            return
        given, x = x, x if running.x is None else running.x
        readable = y is not None and x.shape == y.shape and has_values(x) and has_values(y) and x.numel() <= MAX_CELLS
        if running.calls:
            call, *others = running.calls
            alone = readable and not others and not running.has_norms
            norm = norm_around_call(module, call.norm, call.y, x, y, before) if alone else None
            running.has_norms = True
            if norm is not None:
                self._offer(name, x, norm)
                self._add(name, module, norm, "call", call)
            else:
                for call in running.calls:
                    self._add(call.label, module, call.norm, "call", call)
        elif readable and not (running.has_norms or is_torchs_own(module) or is_activation(module, x, y)):
            norm = self._norm_by_trial(running, x) if is_outshone(x) else None
            norm = norm or norm_by_output(module, x, y, before)
            if norm is None or not norm.sure:
                norm = self._norm_by_trial(running, x, norm)
            if norm is not None:
                running.has_norms = True
                self._record(name, running, norm, "output", given, x, y)

    def _norm_by_trial(self, running: RunningModule, x: Any, guess: Norm | None = None) -> Norm | None:
        """Call a module without layers inside again, unobserved, to see what it normalizes; once for each shape."""
        module = running.module
        if is_scripted(module) or any("." in name for name in (*parameters(module), *buffers(module))):
            return guess
        key = id(module), tuple(x.shape)
        if key not in self._tried:
            self._paused = True
            try:
                self._tried[key] = norm_by_trial(module, *running.arguments, x, self._buffers_before, guess)
            finally:
                self._paused = False
        return self._tried[key]

    def _record(self, name: str, running: RunningModule, norm: Norm, known_by: str, given: Any, x: Any, y: Any) -> None:
        """Record a use of a module that is a normalization; x is its input `given`, or a copy from before the call."""
        self._offer(name, x, norm)
        measured, before = measure_use(norm, x, y, dead=self.dead), self._origins.before(given, norm)
        function = class_name(running.module)
        call = NormCall(running.order, function, name, norm, measured, None, before, running.refused)
        self._add(name, running.module, norm, known_by, call)

    def _add(self, name: str, module: Any, norm: Norm, known_by: str, call: NormCall) -> None:
        if name not in self.layers:
            self.layers[name] = self._new_record(name, module, norm, known_by, call)
        self.layers[name].add_use(norm, call.measured)

    def _new_record(self, name: str, module: Any, norm: Norm, known_by: str, call: NormCall) -> LayerRecord:
        import torch

        is_call = name != self._name(module)
        learned = [*parameters(module).values()]
        if is_call:
            learned = [p for p in (norm.weight, norm.bias) if isinstance(p, torch.nn.Parameter)]
        momentum, updates = norm.momentum, attribute(module, "num_batches_tracked")
        if not is_call and known_by != "output":
            momentum = attribute(module, "momentum", momentum)
        elif known_by == "output":
            momentum = call.measured.momentum
        moves = norm.running is not None and norm.own and momentum != 0
        has_state = norm.running is not None or not norm.own
        updated = self._buffers_before.get(id(updates), np.zeros(()))
        return LayerRecord(
            order=call.order,
            name=name,
            type=call.function if is_call else class_name(module),
            norm=norm,
            known_by=known_by,
            parameters=sum(p.numel() for p in learned),
            frozen=bool(learned or has_state) and not moves and not any(p.requires_grad for p in learned),
            mode="train" if attribute(module, "training", False) is True else "eval",
            measured=call.measured,
            before=call.before[0],
            bias_before=call.before[1],
            updates=None if updates is None or updated.size != 1 else int(updated.item()),
            momentum=float(momentum) if isinstance(momentum, int | float) else None,
            held=moves and self._gets_no_gradient(learned, name),
            moves=moves,
            refused=call.refused,
            stored_as=_stored_as(module, norm, momentum),
            is_call=is_call,
        )

    def _gets_no_gradient(self, learned: list[Any], name: str) -> bool:
        """Whether no parameter of a layer, or of the innermost module around it if it has none, gets a gradient."""
        modules = dict(self.modules)
        while not learned and name not in ("", MODEL):
            name = name.rpartition(":" if ":" in name else ".")[0]
            learned = [*parameters(modules[name]).values()] if name in modules else []
        return bool(learned) and not any(p.requires_grad for p in learned)

    def _offer(self, name: str, x: Any, norm: Norm) -> None:
        """Hand the input of one use of a layer to whoever takes inputs."""
        number, self._uses[name] = self._uses[name], self._uses[name] + 1
        if self.take is not None:
            self.take(name, number, x.detach(), norm)

    def function(self, func: Callable, name: str, arguments: list[str], args: tuple, kwargs: dict) -> Any:
        """Call one of torch's functions that normalize, and record the call."""
        given = dict(zip(arguments, args, strict=False)) | kwargs
        x, refused = given.get("input"), None
        if x is None or first_tensor(x) is not x:
            return func(*args, **kwargs)
        try:
            norm = norm_of_call(name, given, self._buffers_before)
        except Exception:  # the arguments have other types, which torch refuses in its own words
            norm = None
        try:
            y = func(*args, **kwargs)
        except Exception:
            refused = norm and norm.refusal_code
            if not refused or refused in self.ignore:
                raise
            y = x.clone()  # so that the rest of the model can be observed as well
        in_run = bool(self.stack) and not self._paused and threading.get_ident() == self._thread
        if norm is None or not in_run or is_view_of(x, self._weight_storages):
            return y  # a view of a weight: weight standardization normalizes no activations
        running = self.stack[-1]
        if running.function:
            running.refused = running.refused or refused
            return y
        label = call_label(running.labels, self._name(running.module), name, given.get("weight"))
        self._offer(label, x, norm)
        before, measured = self._origins.before(x, norm), measure_use(norm, x, y, dead=self.dead)
        running.calls.append(NormCall(next(self._order), name, label, norm, measured, y, before, refused))
        if len(running.calls) > 1:
            running.calls[0].y = running.calls[-1].y = None  # only a single call can make its module a normalization
        self._origins.add(y, label)
        return y


def call_label(labels: dict[tuple, str], module: str, function: str, weight: Any) -> str:
    """Name a call by its module and function; calls with the same weight are uses of one layer.

    `labels` holds the names so far in this call of the module, and gets a new one.
    """
    key = (function, len(labels) if weight is None else id(weight))
    if key not in labels:
        number = 1 + sum(known == function for known, _ in labels)
        labels[key] = f"{module}:{function}" + (f"#{number}" if number > 1 else "")
    return labels[key]


def _stored_as(module: Any, norm: Norm, momentum: Any) -> dict[str, str]:
    """Return the names in a module of weight, eps and momentum, of those that are known and found."""
    found = [("weight", name) for name, p in parameters(module).items() if p is norm.weight]
    for what, value, names in (("eps", norm.eps, EPS_NAMES), ("momentum", momentum, ("momentum",))):
        held = ((name, attribute(module, name)) for name in names)
        found += [(what, n) for n, v in held if isinstance(v, float) and math.isclose(v, value or 0.0, rel_tol=1e-3)]
    return dict(found)


def _eager() -> Any:
    """Return the context in which modules wrapped by torch.compile run as written: compiled code calls no hooks."""
    import torch

    stance = getattr(torch.compiler, "set_stance", None)
    return nullcontext() if stance is None or "torch._dynamo" not in sys.modules else stance("force_eager")


@contextmanager
def module_hooks(enter: Callable, leave: Callable, *, also_if_raised: bool = False) -> Iterator[None]:
    """Call `enter` before and `leave` after the forward of every module.

    With `also_if_raised` it is called after one that raised as well, then without the keyword arguments.
    """
    from torch.nn.modules import module as hooks

    with ExitStack() as stack:
        handles = [hooks.register_module_forward_pre_hook(enter)]
        handles.append(hooks.register_module_forward_hook(leave, with_kwargs=True, always_call=also_if_raised))
        for handle in handles:
            stack.callback(handle.remove)
            # torch's own removal forgets this entry, and would warn forever that there are hooks.
            stack.callback(getattr(hooks, "_global_forward_hooks_with_kwargs", {}).pop, handle.id, None)
        yield


def observe(model: Any, example: Any, make_run: Callable[[Any], AnyRun], who: str = "the model") -> AnyRun:
    """Run the model, observed by the run that `make_run` makes of it; ValueError with its name `who` if it raises."""
    with restore_after(unwrapped(model), example):
        run = make_run(model)
        try:
            run.run(_call(model, example))
        except Exception as error:
            raise ValueError(_what_was_raised(error, model, example, who, run)) from error
    return run


def check_model(model: Any, name: str = "model") -> None:
    """Raise TypeError unless model is a torch.nn.Module."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return
    if isinstance(model, type):
        raise TypeError(f"{name} is the class {model.__name__} itself; make a model of it first, and pass that")
    found = f"{name} is of type {type(model).__name__}"
    raise TypeError(f"{found}, not a torch.nn.Module; for a single function or layer there is nv.probe")


def materialized(model: Any, example: Any, who: str = "the model") -> Any:
    """Return the model; if it has lazy layers, a copy in which they have parameters, as that cannot be undone.

    TypeError if the example is or holds an iterator, which the first run would consume.
    """
    import torch

    for leaf in leaves(example):
        if issubclass(type(leaf), Iterator):
            given = f"the example is or holds an iterator, of type {type(leaf).__name__}"
            raise TypeError(f"{given}, which can be read only once; give its values in a list")
    lazy = [t for t in [*parameters(model).values(), *buffers(model).values()] if is_uninitialized(t)]
    if not lazy:
        return model
    # torch cannot copy a buffer that is not there yet, so a new one is given.
    new = {id(t): type(t)(device=t.device, dtype=t.dtype) for t in lazy}
    try:
        made = copy.deepcopy(model, new)
    except Exception as error:
        raise ValueError(
            f"{who} has lazy layers and cannot be copied, as that raised {type(error).__name__}: {first_line(error)}; "
            "call it once on an example, which gives them their parameters"
        ) from error
    modes = [(module, module.training) for _, module in named_modules(made)]
    with restore_after(example), torch.no_grad():
        try:
            _call(made.eval(), example)()  # in eval mode running statistics do not change
        except Exception as error:
            raise ValueError(_what_was_raised(error, model, example, who, None)) from error
    for module, mode in modes:
        module.training = mode
    return made


def _call(model: Any, example: Any) -> Callable[[], Any]:
    """Return the call of the model; a tuple or dict is its arguments, unless its forward takes it as one argument."""
    as_one = partial(model, example)
    if isinstance(example, Mapping):
        if not all(isinstance(k, str) for k in example):
            return as_one
        spread = partial(model, **example)
    elif isinstance(example, tuple | list):
        spread = partial(model, *example)
    else:
        return as_one
    try:
        inspect.signature(unwrapped(model).forward).bind(*spread.args, **spread.keywords)
    except TypeError:
        return as_one
    except Exception:  # its signature cannot be read
        return spread
    return spread


def _what_was_raised(error: Exception, model: Any, example: Any, who: str, run: ModelRun | None) -> str:
    """Return one sentence with the error, the module that raised it, and the example."""
    name, shape = run.where() if run else (MODEL, None)
    where = "" if name == MODEL else f" in {short_name(name)}"
    if where and shape:
        where += f", on an input of shape {shape}"
    message = f"{who} raised {type(error).__name__}{where}, when given {_describe(example)}: {first_line(error)}"
    devices = {str(p.device) for p in parameters(model).values()}
    others = {str(t.device) for t in tensors_in(example)} - devices
    if devices and others:
        to = sorted(devices)[0]
        return f"{message}; the example is on {', '.join(sorted(others))}, the model on {to}: move it with .to({to!r})"
    return f"{message}; give an example that it takes"


def _describe(example: Any) -> str:
    shapes = [f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in tensors_in(example)]
    if not shapes:
        return f"an example of type {type(example).__name__}"
    more = f" and {len(shapes) - MAX_SHAPES} more" if len(shapes) > MAX_SHAPES else ""
    subject = "an example of shape " if len(shapes) == 1 else "examples of shapes "
    return subject + ", ".join(shapes[:MAX_SHAPES]) + more
