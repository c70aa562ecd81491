"""Error messages: one sentence with the subject, the sizes and the remedy."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from operator import index
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Say that `name` is no known `kind`, and name the nearest one.

    >>> unknown("method", "grup", ["batch", "group"])
    "unknown method 'grup'; did you mean 'group'? (known: batch, group)"
    >>> unknown("method", "dropout", ["batch", "group"])
    "unknown method 'dropout' (known: batch, group)"
    """
    known = list(known)
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    question = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{question} (known: {', '.join(known)})"


def whole(value: Any, name: str, remedy: str = "") -> int:
    """Return a whole number as an int; TypeError for all else, booleans and floats included."""
    try:
        if not isinstance(value, bool):
            return index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be a whole number, not {value!r}{remedy}")


def check_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Make a misspelt keyword a TypeError that names the nearest one, as Python itself does only from 3.13 on."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind in by_name and p.name != "self"]
    allowed = frozenset(known)
    caller = function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not allowed.issuperset(kwargs):
            wrong = next(k for k in kwargs if k not in allowed)
            raise TypeError(f"{caller}(): {unknown('keyword', wrong, known)}")
        return function(*args, **kwargs)

    return checked
