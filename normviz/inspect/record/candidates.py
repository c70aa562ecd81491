"""Whether a model can normalize at all, and whether it is compiled, as far as that is known before it is called."""

from __future__ import annotations

import builtins
from types import FunctionType, MethodType, ModuleType
from typing import Any

from normviz.inspect._snapshot import codes, globals_of
from normviz.inspect.audit.tensors import (
    MODEL,
    attribute,
    has_children,
    is_compiled,
    is_scripted,
    is_torchs_own,
    named_modules,
)
from normviz.inspect.audit.torch_norms import function_of, norm_functions


def compiled_parts(model: Any) -> list[str]:
    """Return the names of the modules that torch.compile has compiled."""
    named = [(name or MODEL, module) for name, module in named_modules(model)]
    return [name for name, m in named if is_compiled(m) or attribute(m, "_compiled_call_impl") is not None]


def may_normalize(model: Any) -> bool:
    """Whether a module of the model is a normalization, may be one by its output, or may call a function for it."""
    for _, module in named_modules(model):
        if function_of(module) or is_scripted(module):
            return True
        if not is_torchs_own(module) and (not has_children(module) or _may_call(module)):
            return True
    return False


def _may_call(module: Any) -> bool:
    """Whether the forward of a module, and the functions that it calls, may call a function that normalizes.

    True also where that cannot be told.
    """
    functions = norm_functions()
    names = {name for name, _ in functions.values()}
    own = [v for k, v in vars(module).items() if not k.startswith("_") and callable(v)]
    left, seen = [type(module).forward, *own], set()
    while left:
        thing = left.pop()
        thing = thing.__func__ if isinstance(thing, MethodType) else thing
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, ModuleType | type) or str(getattr(thing, "__module__", None)).startswith("torch"):
            home = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
            if not str(home).startswith(("torch", "builtins", "math", "typing", "functools", "collections")):
                return True
            if not isinstance(thing, ModuleType | type) and thing in functions:
                return True
        elif isinstance(thing, FunctionType):
            named = {name for code in codes(thing.__code__) for name in code.co_names}
            if named & names:
                return True
            left += [f for name in named if isinstance(f := getattr(type(module), name, None), FunctionType)]
            left += [thing.__globals__[name] for name in globals_of(thing.__code__) if name in thing.__globals__]
            left += [cell.cell_contents for cell in thing.__closure__ or () if callable(cell.cell_contents)]
        elif callable(thing) and getattr(builtins, getattr(thing, "__name__", ""), None) is not thing:
            return True
    return False
