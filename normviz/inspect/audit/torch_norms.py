"""What torch's own normalizations pool, read from the arguments of the function that does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from normviz.inspect.audit.layers import LOCAL, Norm

# By name of the function: its arguments in order, in torch.nn.functional and in torch itself.
_FUNCTIONAL = {
    "batch_norm": "input running_mean running_var weight bias training momentum eps",
    "instance_norm": "input running_mean running_var weight bias use_input_stats momentum eps",
    "layer_norm": "input normalized_shape weight bias eps",
    "rms_norm": "input normalized_shape weight eps",
    "group_norm": "input num_groups weight bias eps",
    "local_response_norm": "input size alpha beta k",
}
_DIRECT = _FUNCTIONAL | {
    "batch_norm": "input weight bias running_mean running_var training momentum eps",
    "instance_norm": "input weight bias running_mean running_var use_input_stats momentum eps",
}
_DEFAULTS = {"training": False, "use_input_stats": True, "eps": 1e-5}

# By name of the class: the function that its forward calls, with the module's attributes for arguments.
_CLASSES = {
    "_BatchNorm": "batch_norm",
    "_InstanceNorm": "instance_norm",
    "LayerNorm": "layer_norm",
    "RMSNorm": "rms_norm",
    "GroupNorm": "group_norm",
    "LocalResponseNorm": "local_response_norm",
    "CrossMapLRN2d": "local_response_norm",
}
Originals = Mapping[int, np.ndarray]
"""Running statistics before the run, by id of the buffer: in train mode a call changes them."""


def functions(torch: Any) -> dict[Any, tuple[str, list[str]]]:
    """Return torch's functions that normalize: function -> (name, arguments)."""
    homes = ((torch.nn.functional, _FUNCTIONAL), (torch, _DIRECT))
    return {
        getattr(home, name): (name, arguments.split())
        for home, table in homes
        for name, arguments in table.items()
        if hasattr(home, name)
    }


def of_call(name: str, arguments: Mapping[str, Any], originals: Originals) -> Norm | None:
    """Return what a call of one of torch's functions normalizes; None if its input has too few axes to say."""
    given = {**_DEFAULTS, **arguments}
    shape = tuple(given["input"].shape)
    rows: dict[str, Callable[[], dict[str, Any] | None]] = {
        "batch_norm": lambda: _batch(shape, given),
        "instance_norm": lambda: {"kind": "instance", "block": (1, 1, *shape[2:]), "own": given["use_input_stats"]},
        "layer_norm": lambda: _layer(shape, given["normalized_shape"], "layer", "positional"),
        "rms_norm": lambda: _layer(shape, given["normalized_shape"], "rms", "rms"),
        "group_norm": lambda: _group(shape, given["num_groups"]),
        "local_response_norm": lambda: {"kind": LOCAL, "block": None},
    }
    if len(shape) < 2 and not (len(shape) == 1 and name in ("layer_norm", "rms_norm")):
        return None
    row = rows[name]()
    if row is None:
        return None
    if len(shape) == 1:
        shape, row["block"] = (1, *shape), (1, *row["block"])
    found = [given.get("running_mean"), given.get("running_var")]
    running = None if any(f is None or f.is_meta for f in found) else tuple(_running(f, originals) for f in found)
    eps = _machine_eps(given["input"]) if given["eps"] is None else given["eps"]
    affine = {k: v if hasattr(v, "shape") else None for k, v in given.items() if k in ("weight", "bias")}
    return Norm(shape=shape, running=running, eps=eps if name != "local_response_norm" else None, **row, **affine)  # type: ignore[arg-type]


def _batch(shape: tuple[int, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "batch", "block": (shape[0], 1, *shape[2:]), "own": bool(given["training"])}


def _group(shape: tuple[int, ...], groups: int) -> dict[str, Any]:
    fits = groups >= 1 and shape[1] % groups == 0
    block = (1, shape[1] // groups, *shape[2:]) if fits else None
    return {"kind": "group", "block": block, "num_groups": int(groups), "grouped": True}


def _layer(shape: tuple[int, ...], normalized: Any, whole: str, last: str) -> dict[str, Any] | None:
    """The last axes alone: of one axis the features of each position, of all but the samples a whole sample."""
    pooled = (normalized,) if isinstance(normalized, int) else tuple(normalized)
    if shape[len(shape) - len(pooled) :] != pooled:
        return None
    block = (1,) * (len(shape) - len(pooled)) + pooled
    if len(pooled) == 1 and len(shape) > 2:
        return {"kind": last, "block": block, "channel_axis": -1}
    return {"kind": whole, "block": block}


def _running(buffer: Any, originals: Originals) -> np.ndarray:
    kept = originals.get(id(buffer))
    return buffer.detach().cpu().double().numpy() if kept is None else kept


def _machine_eps(x: Any) -> float:
    """What torch's RMSNorm takes where eps is None: the distance from 1 to the next number of x's dtype."""
    bits = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}
    return 2.0 ** -bits.get(str(x.dtype).removeprefix("torch."), 23)


def of_module(module: Any, torch: Any) -> str | None:
    """Return the function that a module of torch's own is the layer of, or None.

    A subclass with a forward of its own is not torch's own any more, except inside torch. What torch.jit has compiled
    keeps the name of the class.
    """
    if isinstance(module, torch.jit.ScriptModule):
        name = str(getattr(module, "original_name", ""))
        return next((f for c, f in _CLASSES.items() if name == c or (c[0] == "_" and _numbered(name, c[1:]))), None)
    for cls, function in _CLASSES.items():
        base = getattr(torch.nn, cls, None) or getattr(torch.nn.modules.batchnorm, cls, None)
        base = base or getattr(torch.nn.modules.instancenorm, cls, None)
        if base is not None and isinstance(module, base):
            home = next(c for c in type(module).__mro__ if "forward" in vars(c)).__module__
            return function if home.startswith("torch.") else None
    return None


def _numbered(name: str, stem: str) -> bool:
    return name in (f"{stem}1d", f"{stem}2d", f"{stem}3d", "SyncBatchNorm" if stem == "BatchNorm" else None)


def module_arguments(module: Any, function: str, x: Any) -> dict[str, Any]:
    """Return the arguments that a module's forward calls its function with."""
    names = [n for n in _FUNCTIONAL[function].split() if hasattr(module, n)]
    given = {n: getattr(module, n) for n in names} | {"input": x}
    if function in ("batch_norm", "instance_norm"):
        tracked = given.get("running_mean") is not None
        given["training" if function == "batch_norm" else "use_input_stats"] = module.training or not tracked
    if function == "instance_norm" and x.ndim == _features_rank(module) - 1:
        given["input"] = x[None]  # one sample without its axis
    return given


def _features_rank(module: Any) -> int:
    name = str(getattr(module, "original_name", type(module).__name__))
    digits = [int(c) for c in name if c.isdigit()]
    return digits[-1] + 2 if digits else 0


def broken(norm: Norm) -> str | None:
    """Return the code of what makes torch refuse such a call, or None."""
    if norm.block is None and norm.kind == "group":
        return "groups-do-not-divide"
    if norm.size == 1 and norm.own:
        return "one-value-per-set"
    return None
