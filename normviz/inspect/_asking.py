"""How a function under test is called: with weight and bias if it takes them, and an eye on all it does besides."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import numpy as np

from normviz.arrays.arguments import uncanonical
from normviz.inspect._call import RESOLUTION, Forward, Refusal, _dtype, _line, _no_gradients, hand_over, take_back
from normviz.inspect._snapshot import Found, seed_everything

WEIGHT = ("weight", "weights", "gamma", "scale", "w", "g")
BIAS = ("bias", "biases", "beta", "shift", "offset", "b")
GROUPS = ("num_groups", "n_groups", "groups", "group", "G")
EPS = ("eps", "epsilon")
GRAD = ("grad_output", "grad_out", "grad", "dout", "dy", "grad_y", "upstream")


@dataclass
class Takes:
    """What a function takes besides x, by role: "weight", "bias", "num_groups", "eps"; and how it is handed over."""

    names: dict[str, str] = field(default_factory=dict)
    positional: list[str] = field(default_factory=list)

    def call(self, fn: Callable, first: Sequence[Any], values: dict[str, Any]) -> Any:
        """Call fn with the arrays that come first, and the values it takes."""
        given = {role: value for role, value in values.items() if role in self.names and value is not None}
        before = [given.pop(role) for role in self.positional if role in given]
        return fn(*first, *before, **{self.names[role]: value for role, value in given.items()})


def signature(fn: Callable, leading: int = 1) -> Takes:
    """Return what fn takes after its `leading` arrays, by the names of its parameters.

    Two required parameters of other names are taken for weight and bias, one for the weight.
    """
    named = getattr(fn, "forward", None) or (None if isinstance(fn, MethodType) else getattr(fn, "call", None))
    try:
        parameters = [*inspect.signature(named or fn).parameters.values()]
    except (TypeError, ValueError):
        return Takes()
    parameters = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)][leading:]
    takes, unnamed = Takes(), []
    for p in parameters:
        required = p.default is p.empty
        role = _role(p.name)
        if role in ("weight", "bias") or (role and required):
            takes.names[role] = p.name
        elif required:
            unnamed.append(p)
    if "weight" not in takes.names and "bias" not in takes.names and 0 < len(unnamed) <= 2:
        takes.names |= {role: p.name for role, p in zip(("weight", "bias"), unnamed, strict=False)}
    by_position = {p.name for p in parameters if p.kind is p.POSITIONAL_ONLY}
    takes.positional = [role for p in parameters for role, n in takes.names.items() if n == p.name and n in by_position]
    return takes


def _role(name: str) -> str | None:
    for role, names in (("weight", WEIGHT), ("bias", BIAS), ("num_groups", GROUPS), ("eps", EPS)):
        if name in names or name.lower() in names[:-1]:
            return role
    return None


@dataclass(frozen=True)
class Answer:
    """What came back from one call.

    Attributes
    ----------
    y
        As fn has it, float64.
    shape, dtype
        As fn returned them.
    changed
        Whether the array that was handed over holds other values now.
    """

    y: np.ndarray
    shape: tuple[int, ...]
    dtype: str
    changed: bool


class Asked(Forward):
    """A function under test, called with canonical float64 arrays.

    Unlike a `Forward` it is content with any shape that comes back; and it does not feed fn what fn gives.

    Attributes
    ----------
    takes
        What fn takes besides x.
    values
        What it is given: arrays for "weight" and "bias", numbers for the others.
    before
        Called with no arguments before every call, to bring fn into its state.
    """

    def __init__(self, fn: Callable, found: Found, takes: Takes, values: dict[str, Any], **more: Any) -> None:
        super().__init__(fn, found, **more)
        self.takes, self.values = takes, values
        self.before: Callable[[], Any] = lambda: None

    def begin(self, x: np.ndarray, dtype: str | None = None) -> Answer:
        """Find out which framework and dtype fn takes, and return its answer to x; Refusal if it takes none."""
        refusal = None
        for kinds in [k for k in self._kinds() if dtype in (None, k[1])]:
            self.framework, self.dtype, self.device = kinds
            try:
                return self.ask(self.round(x))
            except Refusal as error:
                refusal = refusal or (error, kinds)
        if refusal is None:
            raise ValueError(f"framework={self.given!r} with dtype={dtype!r} cannot be used here; leave both to check")
        self.framework, self.dtype, self.device = refusal[1]
        raise refusal[0]

    def ask(self, x: np.ndarray, *, restore: bool = True, fresh: bool = False, laid_out: bool = False) -> Answer:
        """Return fn's answer to a copy of x; without `restore` fn goes on from the state that it is in.

        Raises
        ------
        Refusal
            If fn raises, or returns no array.
        """
        if restore:
            self.found.restore(randomness=not fresh)
            self.before()
        if not fresh:
            seed_everything(self.seed)
        x = x if laid_out else np.ascontiguousarray(uncanonical(x, self.channel_axis))
        given = self.native(x)
        values = {k: self.native(v) if isinstance(v, np.ndarray) else v for k, v in self.values.items()}
        self.calls += 1
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), _no_gradients():
                warnings.simplefilter("ignore")
                answer = self.takes.call(self.fn, [given], values)
        except Exception as error:
            what = f"{self.dtype} {self.framework} input of shape {x.shape}"
            raise Refusal(f"fn raised {type(error).__name__} on a {what}: {_line(error)}") from error
        if not hasattr(answer, "shape") or not hasattr(answer, "dtype"):
            raise Refusal(f"fn returned {_described(answer)}, not an array; it should return its output alone")
        dtype = _dtype(answer)
        try:
            y = np.array(take_back(answer), np.float64)
        except (TypeError, ValueError) as error:
            raise Refusal(f"fn returned an array of dtype {dtype}, which holds no real numbers") from error
        self.resolution = max(RESOLUTION[self.dtype], RESOLUTION.get(dtype, 0.0))
        changed = not np.array_equal(take_back(given), take_back(self.native(x)), equal_nan=True)
        return Answer(y, tuple(answer.shape), dtype, changed)

    def native(self, values: np.ndarray) -> Any:
        """A copy of an array as fn is given it."""
        return hand_over(values, self.framework, self.dtype, self.device)


def owner(fn: Callable) -> Any:
    """The object whose state a call works with: that of a bound method, or fn itself."""
    return fn.__self__ if isinstance(fn, MethodType) else fn


def _described(value: Any) -> str:
    if value is None:
        return "None"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"
