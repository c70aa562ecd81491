"""Error messages: one sentence with the subject, the sizes and the remedy."""

import difflib
import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from operator import index
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong, _SHORT.maxlist, _SHORT.maxtuple = 60, 8, 8


def brief(value: object) -> str:
    """Return the repr of a value for a message, cut where it is long.

    >>> brief("group"), len(brief("x" * 1_000_000))
    ("'group'", 80)
    """
    try:
        return " ".join(_SHORT.repr(value).splitlines())  # an array's repr has several lines
    except Exception:  # a repr of the user's own may fail
        return f"<{type(value).__name__}>"


def readable_bytes(nbytes: float) -> str:
    """Return a number of bytes with a unit.

    >>> readable_bytes(1536), readable_bytes(3 << 30)
    ('1.5 KiB', '3 GiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024 or unit == "GiB":
            break
        nbytes /= 1024
    return f"{nbytes:.4g} {unit}"


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Return a message that `name` is not a known `kind`; it suggests the nearest known name.

    >>> unknown("method", "grup", ["batch", "group"])
    "unknown method 'grup'; did you mean 'group'? (known: batch, group)"
    >>> unknown("method", "dropout", ["batch", "group"])
    "unknown method 'dropout' (known: batch, group)"
    """
    known = list(known)
    # The search is quadratic in the length of the name, and a name longer than 80 characters is near to none.
    near = difflib.get_close_matches(name.lower()[:80], known, n=1) if isinstance(name, str) else []
    question = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {brief(name)}{question} (known: {', '.join(known)})"


def whole(value: Any, name: str, remedy: str = "") -> int:
    """Return a whole number as an int; raise TypeError for everything else, including booleans and floats."""
    try:
        if not isinstance(value, bool):
            return index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be a whole number, not {brief(value)}{remedy}")


def whole_within(value: Any, name: str, least: int, most: int) -> int:
    """Return a whole number from `least` to `most` as an int; raise TypeError or ValueError for everything else."""
    number = whole(value, name)
    if not least <= number <= most:
        raise ValueError(f"{name}={brief(number)} is out of range; give {least} to {most}")
    return number


def check_keywords(function: Callable[P, R], renamed: Mapping[str, str] | None = None) -> Callable[P, R]:
    """Make a misspelt keyword a TypeError that names the nearest one, and a renamed one its new name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind in by_name and p.name != "self"]
    allowed = frozenset(known)
    caller = function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if not allowed.issuperset(kwargs):
            wrong = next(k for k in kwargs if k not in allowed)
            if renamed and wrong in renamed:
                raise TypeError(f"{caller}(): the keyword {wrong!r} is now {renamed[wrong]!r}")
            raise TypeError(f"{caller}(): {unknown('keyword', wrong, known)}")
        return function(*args, **kwargs)

    return checked


def given(value: Any) -> str:
    """Return a value as text for a message, an array by its shape."""
    shape = getattr(value, "shape", None)
    return f"an array of shape {shape}" if shape else brief(value)
