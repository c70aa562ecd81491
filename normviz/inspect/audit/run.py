"""Run a torch model on an example under observation, and leave both as they were."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from normviz.inspect._snapshot import first_line, restore_after
from normviz.inspect.audit.hooks import MODEL, ModelRun
from normviz.inspect.audit.tensors import (
    buffers,
    is_uninitialized,
    named_modules,
    parameters,
    short_name,
    tensors_in,
    unwrapped,
)

AnyRun = TypeVar("AnyRun", bound=ModelRun)


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
    """Return the model; if it has lazy layers, a copy in which they have parameters, as that cannot be undone."""
    import torch

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


MAX_SHAPES = 8
"""Shapes of an example that a message names."""


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
