"""Which cells torch's own normalizations pool, read from the arguments of the function that a layer calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import pooling
from normviz.inspect._call import RESOLUTION
from normviz.inspect.audit.tensors import attribute, class_name, has_values, is_scripted, values

LOCAL = "local_response"
"""Not a row of METHODS: every cell has a window of channels of its own, so no two cells share statistics."""
OTHER = "other"
"""Not a row of METHODS: mean and variance over the spatial axes decide the output, but not as those of a normalizer."""

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
_DEFAULTS = {"training": False, "use_input_stats": True, "eps": 1e-5, "momentum": 0.1}

BuffersBefore = Mapping[int, np.ndarray]
"""Buffers before the run, by id: in train mode a call changes them."""


@dataclass(frozen=True, eq=False)
class Norm:
    """One normalization of one input."""

    kind: str  # a key of METHODS, LOCAL or OTHER
    # shape, block: of the input and of a set, in the input's own order of axes; block is None where the sets are not
    # equal boxes
    shape: tuple[int, ...]
    block: tuple[int, ...] | None
    channel_axis: int = 1  # the axis of C: 1 or -1
    # num_groups, eps: the layer's own arguments, or what was found from its output
    num_groups: int | None = None
    eps: float | None = None
    # weight, bias: scale and shift of the output: tensors, or None
    weight: Any = None
    bias: Any = None
    # running: running mean and variance before the run, float64, shape (C,)
    running: tuple[np.ndarray, np.ndarray] | None = None
    own: bool = True  # whether the input's own statistics were used, rather than the running ones
    grouped: bool = False  # whether the layer takes a number of groups: GroupNorm(C, C) does, InstanceNorm does not
    momentum: float | None = None  # the call's own, in torch's sense
    # stored, mean_after: of a norm known by its output: as `running`, also if it is frozen for good, or all that its
    # module holds; and the running mean after the call
    stored: tuple[np.ndarray, ...] | None = None
    mean_after: np.ndarray | None = None
    sure: bool = True  # False if a weight was fitted, or a function may follow: then it might be no normalization

    @property
    def size(self) -> int | None:
        """|S|, the number of cells in a set."""
        return None if self.block is None else math.prod(self.block)

    @property
    def count(self) -> int | None:
        """The number of sets."""
        return None if self.block is None else math.prod(self.shape) // max(math.prod(self.block), 1)

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[self.channel_axis]

    @property
    def cells(self) -> int:
        """Cells of one channel of one sample."""
        return math.prod(self.shape[1:]) // max(self.channels, 1)

    @property
    def centered(self) -> bool:
        """Whether a mean is subtracted."""
        return self.kind in METHODS and METHODS[self.kind].centered

    @property
    def parameters_finite(self) -> bool:
        """Whether weight, bias and running statistics have no NaN or infinity."""
        tensors = [t for t in (self.weight, self.bias) if t is not None and has_values(t)]
        return all(np.isfinite(a).all() for a in (*map(values, tensors), *(self.running or self.stored or ())))

    @property
    def running_untouched(self) -> bool:
        """Whether the running statistics are still the 0 and 1 that they start with."""
        return self.running is not None and not self.running[0].any() and bool((self.running[1] == 1).all())

    @property
    def refusal_code(self) -> str | None:
        """The code of the warning that says why torch raises on such a call, or None."""
        if self.block is None and self.kind == "group" and (self.num_groups or 0) > 0:
            return "groups-do-not-divide"
        return "one-value-per-set" if self.size == 1 and self.own else None

    def canonical(self, per_axis: Sequence[int]) -> tuple[int, ...]:
        """Return one number per axis in the order (N, C, *spatial)."""
        others = [v for a, v in enumerate(per_axis) if a != self.channel_axis % len(per_axis)]
        return (others[0], per_axis[self.channel_axis], *others[1:])

    def labels(self) -> np.ndarray:
        """Return the number of the set of each cell, an int array of `shape`."""
        if self.block is None:
            raise ValueError(f"{self.kind} has no equal sets on shape {self.shape}")
        grid = [length // extent for length, extent in zip(self.shape, self.block, strict=True)]
        labels = np.arange(math.prod(grid)).reshape(grid)
        for axis, extent in enumerate(self.block):
            labels = labels.repeat(extent, axis)
        return labels

    def is_method(self) -> bool:
        """Whether the sets are those of METHODS[kind], so that the method's name describes them."""
        shape = self.canonical(self.shape)
        if self.block is None or self.kind not in METHODS or not 2 <= len(shape) <= 5:
            return False
        groups = self.num_groups if METHODS[self.kind].has_groups else None
        return pooling(self.kind, shape, groups).block == self.canonical(self.block)


def norm_functions() -> dict[Any, tuple[str, list[str]]]:
    """Return torch's functions that normalize: function -> (name, arguments)."""
    import torch

    return {
        getattr(home, name): (name, arguments.split())
        for home, table in ((torch.nn.functional, _FUNCTIONAL), (torch, _DIRECT))
        for name, arguments in table.items()
        if hasattr(home, name)
    }


def norm_calls(observe: Callable) -> Any:
    """Return the context in which calls of torch's functions that normalize go through `observe`.

    It gets the function, its name, the names of its arguments, and the arguments; it returns what the call returns.
    """
    from torch.overrides import TorchFunctionMode

    functions = norm_functions()

    class NormCalls(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
            known = functions.get(func)
            if known is None:
                return func(*args, **(kwargs or {}))
            return observe(func, *known, args, kwargs or {})

    return NormCalls()


def norm_of_call(name: str, arguments: Mapping[str, Any], before: BuffersBefore) -> Norm | None:
    """Return what a call of one of torch's functions normalizes; None if its input has too few axes to say."""
    given = {**_DEFAULTS, **arguments}
    shape, own = tuple(given["input"].shape), bool(given["training" if name == "batch_norm" else "use_input_stats"])
    rows: dict[str, Callable[[], dict[str, Any] | None]] = {
        "batch_norm": lambda: {"kind": "batch", "block": (shape[0], 1, *shape[2:]), "own": own},
        "instance_norm": lambda: {"kind": "instance", "block": (1, 1, *shape[2:]), "own": own},
        "layer_norm": lambda: _last_axes(shape, given["normalized_shape"], "layer", "positional"),
        "rms_norm": lambda: _last_axes(shape, given["normalized_shape"], "rms", "rms"),
        "group_norm": lambda: _group(shape, int(given["num_groups"])),
        "local_response_norm": lambda: {"kind": LOCAL, "block": None},
    }
    if len(shape) < 2 and not (len(shape) == 1 and name in ("layer_norm", "rms_norm")):
        return None
    row = rows[name]()
    if row is None:
        return None
    if len(shape) == 1:
        shape, row["block"] = (1, *shape), (1, *row["block"])
    state = [given.get("running_mean"), given.get("running_var")]
    readable = all(buffer is not None and has_values(buffer) for buffer in state)
    now = [np.array(values(buffer), np.float64) for buffer in state] if readable else []
    running = tuple(before.get(id(buffer), new) for buffer, new in zip(state, now, strict=True)) if readable else None
    # Without an eps torch's RMSNorm takes the distance from 1 to the next number of x's dtype.
    dtype = str(given["input"].dtype).removeprefix("torch.")
    eps = RESOLUTION.get(dtype, RESOLUTION["float32"]) if given["eps"] is None else float(given["eps"])
    affine = {k: v if hasattr(v, "shape") else None for k, v in given.items() if k in ("weight", "bias")}
    momentum = given["momentum"] if isinstance(given["momentum"], int | float) else None
    numbers = {"eps": eps if name != "local_response_norm" else None, "momentum": momentum if readable else None}
    return Norm(shape=shape, running=running, **numbers, **row, **affine)  # type: ignore[arg-type]


def _group(shape: tuple[int, ...], groups: int) -> dict[str, Any]:
    fits = groups >= 1 and shape[1] % groups == 0
    block = (1, shape[1] // groups, *shape[2:]) if fits else None
    return {"kind": "group", "block": block, "num_groups": groups, "grouped": True}


def _last_axes(shape: tuple[int, ...], normalized: Any, whole_sample: str, last_axis: str) -> dict[str, Any] | None:
    """Pool the last axes: one axis is the features of each position, all but the first are a whole sample."""
    pooled = tuple(map(int, normalized)) if isinstance(normalized, tuple | list) else (int(normalized),)
    if shape[len(shape) - len(pooled) :] != pooled:
        return None
    block = (1,) * (len(shape) - len(pooled)) + pooled
    if len(pooled) == 1 and len(shape) > 2:
        return {"kind": last_axis, "block": block, "channel_axis": -1}
    return {"kind": whole_sample, "block": block}


@cache
def _norm_classes() -> dict[type, str]:
    """Return torch's layers: class -> the function that its forward calls with its attributes as arguments."""
    from torch import nn

    return {
        nn.modules.batchnorm._BatchNorm: "batch_norm",
        nn.modules.instancenorm._InstanceNorm: "instance_norm",
        nn.LayerNorm: "layer_norm",
        nn.RMSNorm: "rms_norm",
        nn.GroupNorm: "group_norm",
        nn.LocalResponseNorm: "local_response_norm",
        nn.CrossMapLRN2d: "local_response_norm",
    }


def function_of(module: Any) -> str | None:
    """Return the function that one of torch's normalization layers calls, or None for any other module.

    A subclass with its own forward does not count as torch's, except inside torch. A module that torch.jit has compiled
    is known by the name of its class.
    """
    from torch import nn

    scripted = is_scripted(module)
    cls = getattr(nn, class_name(module), None) if scripted else type(module)
    function = next((f for base, f in _norm_classes().items() if isinstance(cls, type) and issubclass(cls, base)), None)
    if function is None or scripted:
        return function
    home = next(c for c in type(module).__mro__ if "forward" in vars(c)).__module__
    return function if home.startswith("torch.") else None


def arguments_of(module: Any, function: str, x: Any) -> dict[str, Any]:
    """Return the arguments with which the forward of one of torch's layers calls its function."""
    given = {}
    for name in set(_FUNCTIONAL[function].split()) - {"input", "training", "use_input_stats"}:
        # A parametrized weight is a property, which the forward calls as well.
        is_property = isinstance(getattr(type(module), name, None), property)
        value = getattr(module, name) if is_property else attribute(module, name, _MISSING)
        if value is not _MISSING:
            given[name] = value
    given["input"] = x
    if function in ("batch_norm", "instance_norm"):
        # Batch Norm in eval mode uses the buffers that it has, and Instance Norm those that it tracks.
        tracks = attribute(module, "track_running_stats", True) is not False
        has_state = given.get("running_mean") is not None
        if function == "batch_norm":
            given["training"] = module.training or not has_state
            if module.training and not tracks:
                given["running_mean"] = given["running_var"] = None
        else:
            given["use_input_stats"] = module.training or not (has_state and tracks)
    spatial_axes = [int(c) for c in class_name(module) if c.isdigit()][-1:]  # of InstanceNorm2d, for instance
    if function == "instance_norm" and [x.ndim - 1] == spatial_axes:
        given["input"] = x[None]  # one sample without its axis
    return given


_MISSING = object()


def bias_axis(module: Any) -> int | None:
    """Return the axis along which a layer adds a bias to its output; None if it adds none."""
    from torch import nn

    axes = {nn.Linear: -1, nn.modules.conv._ConvNd: 1}
    axis = next((a for cls, a in axes.items() if issubclass(type(module), cls)), None)
    return axis if axis is not None and attribute(module, "bias") is not None else None
