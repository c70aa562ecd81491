"""What a function takes besides x, by the names of its parameters, and the arrays in what it returns."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from normviz.inspect._snapshot import LIBRARIES, codes, package

WEIGHT = ("weight", "gamma", "scale", "w", "weights", "g")  # `weights` of Keras is the list of all arrays
BIAS = ("bias", "biases", "beta", "shift", "offset", "b")
GRAD = ("grad_output", "grad_out", "grad", "dout", "d_out", "dy", "dY", "grad_y", "upstream")
X = ("x", "input", "inputs", "images", "tokens", "hidden_states", "features", "data", "tensor")
STATE = ("running_mean", "running_var")

TRAINING = ("training", "is_training", "train", "is_train", "train_mode", "use_input_stats", "learning")
EVALUATION = ("use_running_average", "use_global_stats", "inference", "is_inference", "test", "testing", "evaluating")
"""Names of flags that are true while a layer learns, and of those that are true while it is evaluated."""
TEXTS = (("train", "training"), ("test", "eval", "evaluation", "infer", "inference", "predict", "valid", "val"))
"""The texts that a mode may be set to, for training and for evaluation."""
TEXT_MODES = ("mode", "phase")
MODES = (*TRAINING, *EVALUATION, *TEXT_MODES)

_AVERAGED = ("running", "moving", "run", "move", "mov", "pop", "population", "ra", "ema", "global", "avg", "r", "m")
_AVERAGED += ("movingavg", "movingaverage", "runningavg", "runningaverage")
_OF_A_BATCH = {"mean": ("var", "variance"), "avg": ("var",), "mu": ("var", "sigma2", "sigmasq")}
RUNNING = {
    named(mean + plural): tuple(named(variance + plural) for variance in variances)
    for which in (*_AVERAGED, "")
    for named in ((which + "{}").format, ("{}" + which).format)
    for plural in ("", "s")
    for mean, variances in _OF_A_BATCH.items()
} | {"rm": ("rv",), "mm": ("mv",)}
"""Names of a running mean, `plain`, and those of the running variance that may stand beside it."""

ROLES = {
    "x": X,
    "weight": WEIGHT,
    "bias": BIAS,
    "training": MODES,
    "num_groups": ("num_groups", "n_groups", "groups", "group", "num_heads", "n_heads", "heads", "G"),
    "eps": ("eps", "epsilon"),
    "momentum": ("momentum", "decay"),
    "normalized_shape": ("normalized_shape", "norm_shape"),
    "axis": ("axis", "axes", "dim", "dims", "reduction_axes", "norm_axes"),
    "channel_axis": ("channel_axis", "channel_dim", "feature_axis", "feature_axes"),
    "data_format": ("data_format", "layout"),
    "channels": ("num_features", "num_channels", "channels", "C"),
    "samples": ("batch_size", "N"),
    "positions": ("HxW",),
    "cudnn": ("cudnn_enabled", "cudnn_enable"),
}
"""What a parameter is for, by its name; `role_of` also knows the names of statistics and of dicts."""
_ROLES = {variance: "running_var" for variances in RUNNING.values() for variance in variances}
_ROLES |= dict.fromkeys(RUNNING, "running_mean") | dict.fromkeys(_OF_A_BATCH, "mean")
_ROLES |= {variance: "var" for variances in _OF_A_BATCH.values() for variance in variances}
_ROLES |= {name: role for role, names in ROLES.items() for name in names}
FILLED = ("eps", "axis", "normalized_shape", "num_groups", "channel_axis")
"""Roles of optional parameters that are handed over where the default is None, and to functions of a framework."""
_DICT = re.compile(r"(.*_)?(params?|parameters|states?|stats|config|cfg|variables|buffers|opts?|options)")


def plain(name: str) -> str:
    """A name in small letters, without underscores, and without the layer in front of a dot."""
    return name.rpartition(".")[2].replace("_", "").lower()


def role_of(name: str) -> str | None:
    """What a parameter of this name, or an entry of a dict, is for; None if it is unknown."""
    return _ROLES.get(name) or (_ROLES.get(name.lower()) if len(name) > 1 else None) or _ROLES.get(plain(name))


def entry_role(key: str) -> str:
    """What an entry of a dict is for: in a dict of state, a mean and a variance are the running ones."""
    found = role_of(key) or ""
    return f"running_{found}" if found in ("mean", "var") else found


@dataclass
class Takes:
    """What a function takes besides x, and how it is handed over.

    `names` maps a role to the parameter that takes it; `dicts` maps a parameter that takes a dict to {role: key}.
    """

    names: dict[str, str] = field(default_factory=dict)
    dicts: dict[str, dict[str, str]] = field(default_factory=dict)
    positional: list[str] = field(default_factory=list)  # parameters that are handed over by position
    x: str | None = None  # the parameter that takes x, unless it is the first one
    spread: tuple[bool, bool] = (False, False)  # whether it has *args and **kwargs
    required: list[str] = field(default_factory=list)  # parameters without which it cannot be called
    texts: frozenset[str] = frozenset()  # the texts in its code

    @property
    def roles(self) -> set[str]:
        """The roles of the parameters, and of the entries of dicts."""
        return self.names.keys() | {role for keys in self.dicts.values() for role in keys}

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of each parameter."""

        def of(names: Mapping[str, str]) -> dict[str, Any]:
            found = {name: values[role] for role, name in names.items() if values.get(role) is not None}
            if (mode := names.get("training")) in found:
                found[mode] = mode_value(mode, found[mode], texts=self.texts)
            return found

        return of(self.names) | {name: of(keys) for name, keys in self.dicts.items()}

    def call(self, fn: Callable, first: Iterable[Any], arguments: Mapping[str, Any]) -> Any:
        """Call fn with the arrays that come first, and the arguments."""
        given = dict(arguments)
        before = [given.pop(name) for name in self.positional if name in given]
        if self.x is not None:
            (given[self.x],) = first
            return fn(**given)
        return fn(*first, *before, **given)

    def missing(self, arguments: Mapping[str, Any]) -> str:
        """Return a sentence about the required parameters that have no argument; empty if there are none."""
        lacking = [name for name in self.required if name not in arguments]
        if not lacking:
            return ""
        taken = ", ".join(
            ["x", *(self.names[role] for role in ("weight", "bias") if self.names.get(role) in arguments)]
        )
        values = ", ".join(f"{name}=..." for name in lacking)
        return (
            f"fn requires {' and '.join(lacking)}, for which no value is known; pass a function that holds one, such "
            f"as lambda {taken}: fn({taken}, {values})"
        )

    def handed(self, arguments: Mapping[str, Any], given: bool = False, flat: int = 0) -> str:
        """Say which arguments a function got beyond what its caller gave; empty if there are none.

        `given` says whether the caller gave weight and bias; those that lie along the axes of x have `flat` numbers.
        """
        shapes: dict[str, dict[str, Any]] = {}
        others = []
        for which, name in self.names.items():
            value = arguments.get(name)
            of_caller = given and which in ("weight", "bias")
            if (shape := shape_of(value)) is not None and (flat or not of_caller):
                kind = "the batch's own" if which in ("mean", "var") else "a" if of_caller else "a random"
                shapes.setdefault(kind, {})[which] = shape
            elif shape is None and value is not None:
                others.append(f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value!r}")
        others += [f"{name} with {', '.join(keys.values())}" for name, keys in self.dicts.items() if keys]
        passed = [
            f"{kind} {' and '.join(of)} of shape {' and '.join(dict.fromkeys(map(str, of.values())))}"
            + f", where a caller has ({flat},)" * bool(flat)
            for kind, of in shapes.items()
        ]
        return ", and ".join(passed + [" and ".join(others)] * bool(others))

    def learn(self, error: Exception, values: Mapping[str, Any]) -> bool:
        """Take what fn complains about as missing for a parameter, or for a key of a dict; return whether one is."""
        found = []
        if isinstance(error, KeyError) and error.args and isinstance(key := error.args[0], str):
            if (which := entry_role(key)) in values:
                found = [keys.setdefault(which, key) for keys in self.dicts.values() if which not in keys]
        elif isinstance(error, TypeError) and any(self.spread) and " missing " in str(error):
            for name in re.findall(r"['\"](\w+)['\"]", str(error)):
                if (which := role_of(name) or "") in values and which not in self.names:
                    self.names[which] = name
                    self.positional += [name] * (not self.spread[1])
                    found.append(name)
        return bool(found)


def signature(fn: Callable, leading: int = 1, texts: frozenset[str] = frozenset(), state: bool = True) -> Takes:
    """Return what fn takes besides its `leading` arrays, by the names of its parameters.

    An optional parameter is left out, unless it is None or `fn` is a function of a framework; a weight, a bias and a
    mode are always taken, and with `state` running statistics. Two required parameters of unknown names are taken for
    weight and bias, one for the weight. `texts` are those in the code of fn.
    """
    takes, unnamed = Takes(texts=texts), []
    parameters, of_library = _parameters(fn)
    takes.spread = any(p.kind is _ARGS for p in parameters), any(p.kind is _KWARGS for p in parameters)
    parameters = [p for p in parameters if p.kind not in (_ARGS, _KWARGS)]
    roles = {p.name: role_of(p.name) for p in parameters}
    if leading == 1 and len(parameters) > 1 and roles[parameters[0].name] != "x" and "x" in roles.values():
        takes.x = next(name for name, which in roles.items() if which == "x")
        parameters = [p for p in parameters if p.name != takes.x]
    else:
        parameters = parameters[leading:]
    averaged = {roles[p.name] for p in parameters} & {"training", "momentum", "running_mean"}
    state = state or any(roles[p.name] in STATE and p.default is p.empty for p in parameters)
    for p in parameters:
        which, required = roles[p.name], p.default is p.empty
        if which in ("mean", "var") and averaged:
            which = f"running_{which}"
        wanted = which in ("weight", "bias") or (state and which in ("training", *STATE))
        filled = which in FILLED and (p.default is None or of_library)
        if which is not None and which not in takes.names and (required or wanted or filled):
            takes.names[which] = p.name
        elif required and which is None and _DICT.fullmatch(p.name.lower()):
            takes.dicts[p.name] = {}
        elif required:
            unnamed.append(p.name)
    kept = {name for name in takes.dicts if re.search("stat|buffer|running", name)} or takes.dicts.keys()
    for name in takes.dicts:
        wanted = ["weight", "bias"] if name not in kept or kept == takes.dicts.keys() else []
        takes.dicts[name] = _entries(texts, [*wanted, *(["training", *STATE] if state and name in kept else [])])
    if not {"weight", "bias"} & takes.roles and 0 < len(unnamed) <= 2:
        takes.names |= dict(zip(("weight", "bias"), unnamed, strict=False))
    takes.required = [p.name for p in parameters if p.default is p.empty]
    taken = {*takes.names.values(), *takes.dicts}
    takes.positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in taken]
    return takes


_ARGS, _KWARGS = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


def _parameters(fn: Callable) -> tuple[list[inspect.Parameter], bool]:
    """Return the parameters of fn, and whether it is a function of a framework."""
    # Looked up without the object's own `__getattr__`, which may invent an attribute.
    names = [n for n in ("call", "forward") if inspect.getattr_static(fn, n, None) is not None]
    try:
        named = getattr(fn, names[0]) if names and not issubclass(type(fn), MethodType) else fn
        is_function = not names and isinstance(getattr(fn, "__qualname__", None), str)
        return [*inspect.signature(named).parameters.values()], is_function and package(fn.__module__) in LIBRARIES
    except Exception:  # what signature meets may be code of the object
        pass
    try:  # a function of PyTorch that is written in C++
        if "torch" not in sys.modules:
            return [], False
        found = import_module("torch.fx.operator_schemas").get_signature_for_torch_op(fn)
        return [*found[0].parameters.values()], True
    except Exception:
        return [], False


def _entries(texts: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Return {role: key} for the entries of a dict that a function reads: the texts in its code that have a role."""
    found: dict[str, str] = {}
    for text in sorted(texts, key=lambda text: (text not in TEXT_MODES, role_of(text) in ("mean", "var"), text)):
        if (which := entry_role(text)) in wanted:
            found.setdefault(which, text)
    return found


def texts_of(objects: Iterable[Any]) -> frozenset[str]:
    """The texts in the code of the functions among the objects, and "is_grad_enabled" if one calls it."""
    found: set[Any] = set()
    for fn in objects:
        if issubclass(type(fn), FunctionType) and package(fn.__module__) not in LIBRARIES:
            for code in codes(fn.__code__):
                found.update(_texts(code), {"is_grad_enabled"} & {*code.co_names})
    return frozenset(found)


def _texts(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        parts = constant if isinstance(constant, tuple | frozenset) else (constant,)
        yield from (part for part in parts if isinstance(part, str))


def mode_value(name: str, training: bool, now: Any = None, texts: Collection[str] = ()) -> Any:
    """Return what the flag or the text called `name` is set to for training, or for evaluation.

    `now` is its present value, if there is one, and `texts` are the texts in the code that reads it.
    """
    if isinstance(now, str) or (now is None and plain(name) in TEXT_MODES):
        return next((text for text in TEXTS[not training] if text in texts), TEXTS[not training][0])
    return training != (name.lower().strip("_") in EVALUATION)


def arrays_in(output: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Yield the arrays in a tuple, list, dict or dataclass, and where each is."""
    if issubclass(type(output), Mapping):
        parts = [(f"entry {key!r}", part) for key, part in output.items()]
    elif is_dataclass(type(output)):
        parts = [(f"field {f.name}", getattr(output, f.name, None)) for f in fields(output)]
    elif isinstance(output, tuple | list):
        named = getattr(output, "_fields", ())
        parts = [(f"field {named[i]}" if named else f"element {i}", part) for i, part in enumerate(output[:64])]
    else:
        return
    for where, part in parts:
        if shape_of(part) is not None:
            yield where, part
        elif depth > 1:
            yield from ((f"{inner} of {where}", array) for inner, array in arrays_in(part, depth - 1))


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of an array; None if value is no array."""
    try:
        return tuple(int(n) for n in value.shape) if hasattr(value, "dtype") else None
    except Exception:
        return None


def output_of(output: Any, shape: tuple[int, ...]) -> tuple[Any, str]:
    """Return the first array of `shape` in what a function returned, else the first array, and where it is."""
    if shape_of(output) is not None:
        return output, ""
    arrays = [*arrays_in(output)]
    fitting = [pair for pair in arrays if shape_of(pair[1]) == shape] or arrays
    return (fitting[0][1], fitting[0][0]) if fitting else (output, "")


def general_values(shape: tuple[int, ...], channel_axis: int, seed: int) -> dict[str, Any]:
    """Return values by role that follow from the canonical shape of x alone."""
    rng, (N, C, *spatial) = np.random.default_rng(seed), shape
    return {
        "training": True,
        "momentum": 0.1,
        "eps": 1e-5,
        "running_mean": rng.uniform(-1, 1, C),
        "running_var": rng.uniform(0.5, 2, C),
        "channel_axis": channel_axis,
        "channels": C,
        "samples": N,
        "positions": math.prod(spatial),
        "cudnn": False,
    }
