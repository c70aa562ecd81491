"""All checks of what an explorer shows, and of its state, for the widget, `show` and the exported page.

A *subject* is a tensor with all that stays fixed while a person looks at it; a *state* is what a click can change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from operator import index as as_int
from typing import Any

import numpy as np

from normviz.arrays.arguments import check_eps
from normviz.core.array_kinds import host, real_numbers
from normviz.core.errors import brief, unknown
from normviz.core.methods import METHODS, Method, find
from normviz.core.pooling import canonical, check_cell, check_groups, divisors, fitting_divisor, fitting_num_groups
from normviz.explorer import scene
from normviz.explorer.recipe import Recipe, fill_anew, of_given
from normviz.explorer.svg.geometry import bins
from normviz.explorer.timeline import Timeline
from normviz.samples import activations

COLORS = ("set", "partition", "value", "normalized", "gradient")
CHOICES = {"view": ("samples", "paper"), "color": COLORS, "mode": ("train", "eval")}
MOST_LABEL = 2**31 - 1
MOST_CELLS = 2**36
"""Of a tensor, which may repeat a few cells without end."""
MOST_WORDS = 2000
"""Characters that the page may say of an answer."""
STEPS = 6
"""Pick, gather, mean, variance, normalize, scale and shift."""

SUBJECT = ("weight", "bias", "eps", "statistics", "channel_axis", "labels", "marks", "title", "editable")
STATE = ("method", "num_groups", "index", "step", "view", "color", "mode", "controls", "predict", "presenter")
KEYWORDS = (*STATE, *SUBJECT)


@dataclass(frozen=True)
class Subject:
    """A tensor with everything that its scene is made of, checked.

    Attributes
    ----------
    x, tensor
        The array as it was given, and its values and moments, read once.
    weight, bias, per_output
        float64 of shape (C,) or, for Layer Norm alone, (C, *spatial); with `per_output` they are for weights, (Cout,).
    running
        Running mean and variance, each (C,) float64.
    labels, sets, marks
        Which given set each cell of `values` is in, the statistics of these sets, and which cells are marked.
    recipe
        How x is made, where the reader of the page may change x; None where x is fixed.
    time
        What a recording has of a layer, whose tensor has no values.
    """

    x: Any
    tensor: scene.Tensor
    channel_axis: int = 1
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    eps: float = 1e-5
    running: tuple[np.ndarray, np.ndarray] | None = None
    labels: np.ndarray | None = None
    sets: scene.GivenSets | None = None
    marks: np.ndarray | None = None
    title: str | None = None
    per_output: bool = False
    recipe: Recipe | None = None
    time: Timeline | None = None

    @property
    def values(self) -> np.ndarray:
        """The values in host memory with axes (N, C, *spatial)."""
        assert self.tensor.source is not None, "only what travels to a page is kept"
        return self.tensor.source

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, *spatial)."""
        return self.tensor.shape

    @property
    def says_more(self) -> bool:
        """Whether the explorer has texts or controls that x alone does not ask for, or notes on how x is drawn."""
        if self.time is not None:
            return bool(self.time.warnings) or len(self.shape) == 5
        given = (self.weight, self.bias, self.running, self.labels, self.marks, self.title)
        return any(each is not None for each in given) or len(self.shape) == 5 or max(bins(self.shape)) > 1

    @cached_property
    def scene(self) -> dict[str, Any]:
        """All that the browser needs, as JSON."""
        return scene.build(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the scene, which can be built again."""
        return {name: value for name, value in vars(self).items() if name != "scene"}

    def travelling(self) -> Subject:
        """The same without what a page does not need, so that a large x is not kept in memory."""
        return replace(self, x=None, tensor=self.tensor.travelling())

    def with_x(self, x: Any) -> Subject:
        """The same with another tensor; parameters that do not fit it are refused."""
        shape = checked_shape(x, self.channel_axis)
        for name in ("weight", "bias"):
            parameter(name, getattr(self, name), shape, per_output=self.per_output)
        if self.running is not None:
            channels("statistics", self.running[0], shape)
        for name in ("labels", "marks"):
            overlay(name, getattr(self, name), shape)
        tensor = scene.read(x, self.channel_axis)
        made = None if self.recipe is None else of_given(shape, self.channel_axis)
        return replace(self, x=x, tensor=tensor, sets=scene.given_sets(tensor, self.labels), recipe=made)

    def opened(self, fill: str = "file") -> Subject:
        """The same for a page whose reader may change x; ValueError beside what belongs to one x."""
        for name, given in (("labels", self.labels), ("marks", self.marks), ("statistics", self.running)):
            if given is not None:
                raise ValueError(f"editable=True lets x change, and {name} belong to one x; leave out one of the two")
        made = of_given(self.shape, self.channel_axis, fill)
        return replace(self, recipe=made, channel_axis=made["channel_axis"])

    def filled(self, given: Any) -> Subject:
        """The same with an x filled anew by some entries of a recipe."""
        if self.recipe is None:
            raise ValueError("recipe belongs to an explorer with editable=True; set editable first")
        return self.made(*fill_anew(self.recipe, given))

    def made(self, recipe: Recipe, values: np.ndarray) -> Subject:
        """The same with an x of a recipe and its values; weight and bias follow the number of channels."""
        axis = recipe["channel_axis"]
        on = replace(self.for_shape(values.shape), channel_axis=axis)
        return replace(on.with_x(np.ascontiguousarray(np.moveaxis(values, 1, axis))), recipe=recipe)

    def back_to(self, first: Subject) -> Subject:
        """The same with the tensor of an earlier one."""
        on = self.for_shape(first.shape)
        return replace(on, x=first.x, tensor=first.tensor, channel_axis=first.channel_axis, recipe=first.recipe)

    def for_shape(self, shape: tuple[int, ...]) -> Subject:
        """The same with a weight and a bias that fit a tensor of this shape."""
        length = shape[0 if self.per_output else 1]
        weight, bias = (of_length(array, shape, length) for array in (self.weight, self.bias))
        return replace(self, weight=weight, bias=bias)

    def with_parameter(self, name: str, value: Any, method: str) -> Subject:
        """The same with another weight, bias or eps; a weight or bias is laid out like x and must fit `method`."""
        if name == "eps":
            return replace(self, eps=check_eps(value))
        other = self.bias if name == "weight" else self.weight
        per_output = takes_weights(method) if other is None else self.per_output
        array = parameter(name, value, self.shape, self.channel_axis, per_output=per_output)
        check_taken(array, method, self.shape)
        return replace(self, per_output=per_output, **{name: array})


def subject(
    x: Any,
    *,
    channel_axis: int = 1,
    eps: float = 1e-5,
    title: str | None = None,
    room: scene.Room = scene.USUAL_ROOM,
    **more: Any,
) -> Subject:
    """Check a tensor and its fixed parameters; ValueError or TypeError in one sentence."""
    shape = checked_shape(x, channel_axis)
    statistics, method = more.get("statistics"), more.get("method")
    per_output = takes_weights(method)
    spread = partial(for_all_groups, method=method, num_groups=more.get("num_groups"), shape=shape)
    weight, bias = spread(more.get("weight")), spread(more.get("bias"))
    checked = {
        "weight": parameter("weight", weight, shape, channel_axis, per_output=per_output),
        "bias": parameter("bias", bias, shape, channel_axis, per_output=per_output),
        "eps": check_eps(eps),
        "running": None if statistics is None else running(statistics, shape),
        "labels": overlay("labels", more.get("labels"), shape),
        "marks": overlay("marks", more.get("marks"), shape),
        "title": None if title is None else drawable(title),
    }
    tensor = scene.read(x, channel_axis, room)
    sets = scene.given_sets(tensor, checked["labels"])
    return Subject(x=x, tensor=tensor, channel_axis=channel_axis, per_output=per_output, sets=sets, **checked)


def checked_shape(x: Any, channel_axis: int) -> tuple[int, ...]:
    """The shape (N, C, *spatial) of a tensor that can be read in reasonable time."""
    shape = canonical(host(x), channel_axis).shape
    if math.prod(shape) > MOST_CELLS:
        size = f"x of shape {shape} has {math.prod(shape)} cells"
        raise ValueError(f"{size}; at most {MOST_CELLS} can be shown, so give a smaller part")
    return shape


def drawable(title: Any) -> str:
    """A title without the characters that XML forbids: control characters and surrogates."""
    try:
        text = str(title)
    except Exception as error:  # of the caller's own class, or a list nested too deep
        raise TypeError(f"title must be text, not {brief(title)}") from error
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", " ".join(text.split()))


def takes_weights(method: Any) -> bool:
    """Whether x stands for weights, (Cout, Cin, *kernel)."""
    return isinstance(method, str) and method in METHODS and METHODS[method].axes == "weights"


def parameter(
    name: str, value: Any, shape: tuple[int, ...], channel_axis: int = 1, *, per_output: bool = False
) -> np.ndarray | None:
    """A weight or bias as float64: (C,), or (C, *spatial) if given like one sample of x; for weights (Cout,)."""
    if value is None:
        return None
    array, C = real_numbers(value, name), shape[1:2]
    if per_output:
        if array.shape != shape[:1]:
            raise ValueError(f"{name} has shape {array.shape}; for weights it needs {shape[:1]}, one entry a filter")
        return array.astype(np.float64)
    axis = max(channel_axis % len(shape) - 1, 0)
    sample = (*shape[2 : 2 + axis], *C, *shape[2 + axis :])
    if array.shape not in (C, sample):
        raise ValueError(f"{name} has shape {array.shape}; it needs {C}, or {sample} for Layer Norm")
    return (array if array.ndim == 1 else np.moveaxis(array, axis, 0)).astype(np.float64)


def of_length(array: np.ndarray | None, shape: tuple[int, ...], length: int) -> np.ndarray | None:
    """A weight or bias cut or repeated to a length, as the page does; none if each element of a sample had its own."""
    if array is None or array.shape in ((length,), shape[1:]):
        return array
    return None if array.ndim > 1 else np.resize(array, length)


def for_all_groups(value: Any, method: Any, num_groups: Any, shape: tuple[int, ...]) -> Any:
    """A weight or bias that all groups share as one with an entry for each channel, which every method takes.

    `num_groups` is None for the usual one. Any other value stays as it is.
    """
    row = METHODS.get(method) if isinstance(method, str) else None
    if value is None or row is None or not row.shared:
        return value
    C, G, array = shape[1], fitting_num_groups(row, shape) if num_groups is None else num_groups, host(value)
    return np.tile(array, C // array.size) if G in divisors(C) and array.shape == (C // G,) else value


def check_taken(array: np.ndarray | None, method: str, shape: tuple[int, ...]) -> None:
    """One weight for each element belongs to Layer Norm alone."""
    if array is not None and array.ndim > 1 and method != "layer":
        took = f"{method!r} takes {shape[1:2]}"
        raise ValueError(f"weight or bias of shape {shape[1:]} belongs to method 'layer'; {took}")


def channels(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """One number for each channel, as a float64 copy."""
    array = np.array(value, np.float64)  # a copy: running statistics may be updated in place
    if array.shape != shape[1:2]:
        raise ValueError(f"{name} is for {array.size} channels, but x has C={shape[1]}, shape {shape}")
    return array


def running(statistics: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a RunningStatistics or Statistics of Batch Norm."""
    if not (hasattr(statistics, "mean") and hasattr(statistics, "var")):
        raise TypeError(f"statistics must be a RunningStatistics or Statistics, not {type(statistics).__name__}")
    return channels("statistics", statistics.mean, shape), channels("statistics", statistics.var, shape)


def overlay(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Labels as int32 or marks as bool, one for each cell of (N, C, *spatial)."""
    if value is None:
        return None
    array = host(value)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; it needs one entry for each cell of (N, C, ...), {shape}")
    if name == "labels":
        if array.dtype.kind not in "iub":
            raise TypeError(f"labels must be whole numbers from 0, one for each set; these are {array.dtype}")
        if array.min() < 0 or array.max() > MOST_LABEL:
            ends = f"{array.min()} to {array.max()}"
            raise ValueError(f"labels must be whole numbers from 0 to {MOST_LABEL}, one for each set; these are {ends}")
        return array.astype(np.int32)
    return array.astype(bool)


# ---- the state -------------------------------------------------------------------------------------------------------


def check_method(method: Any, on: Subject) -> str:
    """A key of METHODS, or "given" where labels are given."""
    if on.labels is not None and isinstance(method, str) and method == "given":
        return method
    return find(method).name


def grouped(method: str) -> Method:
    """The method that num_groups belongs to: this one, or Group Norm if this one has no groups."""
    row = METHODS.get(method)
    return row if row is not None and row.has_groups else METHODS["group"]


def each_method(methods: Sequence[str], num_groups: int | None, index: Any) -> list[dict[str, Any]]:
    """The keywords of each method; G belongs to those that take one, of which there must be one."""
    if isinstance(index, Iterator):  # which can be read once; an index has at most 5 entries
        index = tuple(islice(index, 6))
    taking = [name for name in methods if grouped(name).name == name] if num_groups is not None else []
    if num_groups is not None and not taking:
        raise ValueError(f"num_groups={brief(num_groups)} means nothing to methods {', '.join(methods)}; leave it out")
    return [{"method": name, "num_groups": num_groups if name in taking else None, "index": index} for name in methods]


def check_step(step: Any) -> int:
    """0 (pick) to 5 (scale and shift)."""
    if isinstance(step, bool) or not hasattr(step, "__index__") or not 0 <= as_int(step) < STEPS:
        raise ValueError(f"step={brief(step)} is not one of the steps 0 to {STEPS - 1}")
    return as_int(step)


def check_choice(name: str, value: Any, on: Subject) -> str:
    """A view, a colour or a mode."""
    if not isinstance(value, str) or value not in CHOICES[name]:
        raise ValueError(unknown(name, value, CHOICES[name]))
    if value == "eval" and on.running is None:
        raise ValueError("mode='eval' needs running statistics; give statistics=RunningStatistics(...)")
    return value


def check_answer(answer: Mapping[str, Any], on: Subject) -> Mapping[str, Any]:
    """The entries of a revealed prediction, as the page sends them."""
    kinds = {
        **dict.fromkeys(("method", "says"), str),
        **dict.fromkeys(("num_groups", "right", "missed", "extra"), int),
        **dict.fromkeys(("index", "ranges", "truth"), (list, tuple)),
    }
    for name, value in answer.items():
        if not isinstance(value, kinds.get(name, ())):
            raise ValueError(f"answer may have the entries {', '.join(kinds)}, as the page sends them")
        if name == "method":
            check_method(value, on)
        elif name == "says" and len(value) > MOST_WORDS:
            raise ValueError(f"answer says {len(value)} characters; at most {MOST_WORDS} are taken")
        elif name == "index":
            check_cell(value, on.shape)
        elif name in ("ranges", "truth"):
            starts, stops = zip(*value, strict=True)
            check_cell(starts, on.shape)
            check_cell([stop - 1 for stop in stops], on.shape)
    return answer


def first_state(on: Subject, given: Mapping[str, Any]) -> dict[str, Any]:
    """A complete, checked state from the given keywords."""
    method = check_method(given.get("method", "group" if on.labels is None else "given"), on)
    if given.get("predict") and on.labels is not None:
        raise ValueError("predict=True asks for a method's set, and labels are sets of their own; leave out one")
    num_groups = given.get("num_groups")
    row = grouped(method)
    if num_groups is not None and method != row.name:
        raise ValueError(f"num_groups={brief(num_groups)} means nothing to method {method!r}; leave it out")
    for array in (on.weight, on.bias):
        check_taken(array, method, on.shape)
    groups = fitting_num_groups(row, on.shape) if num_groups is None else check_groups(num_groups, row, on.shape)
    index = given.get("index")
    return {
        "method": method,
        "num_groups": groups,
        "index": (0,) * len(on.shape) if index is None else check_cell(index, on.shape),
        "step": check_step(given.get("step", 0)),
        **{name: check_choice(name, given.get(name, CHOICES[name][0]), on) for name in CHOICES},
        "controls": bool(given.get("controls", True)),
        **{name: bool(given.get(name, False)) for name in ("predict", "presenter")},
    }


def snapped(num_groups: int, method: str, on: Subject) -> int:
    """G, or the next lower divisor of the length that the method divides into groups."""
    return fitting_divisor(on.shape[grouped(method).grouped_axis], num_groups)


def fitted_state(state: Mapping[str, Any], on: Subject) -> dict[str, Any]:
    """The part of a state that changes with another tensor: G snaps to a divisor, the index is clipped."""
    index = list(state["index"])[: len(on.shape)] + [0] * (len(on.shape) - len(state["index"]))
    return {
        "num_groups": snapped(state["num_groups"], state["method"], on),
        "index": tuple(min(i, n - 1) for i, n in zip(index, on.shape, strict=True)),
    }


def start(x: Any, keywords: Mapping[str, Any], **options: Any) -> tuple[Subject, dict[str, Any]]:
    """Check all arguments of an explorer of x, or of the sample activations; a misspelt keyword is a TypeError.

    `options` go to `subject` unchecked.
    """
    for name in keywords:
        if name not in KEYWORDS:
            raise TypeError(f"Explorer(): {unknown('keyword', name, KEYWORDS)}")
    fixed = {key: keywords[key] for key in SUBJECT if key in keywords}
    chosen = {key: keywords.get(key) for key in ("method", "num_groups")}
    on = subject(activations() if x is None else x, **chosen, **fixed, **options)
    if keywords.get("editable"):
        on = on.opened("sample" if x is None else "file")
    return on, first_state(on, {key: keywords[key] for key in STATE if key in keywords})
