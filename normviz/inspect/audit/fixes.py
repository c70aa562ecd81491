"""The remedies of an audit's warnings as lines of Python, in which `model` is the model that was audited."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from normviz.core.pooling import divisors
from normviz.inspect.audit.tensors import MAX_NAME, MODEL, short_name

if TYPE_CHECKING:
    from normviz.inspect.audit.run import LayerRecord

MOST_GROUPS = 32
"""Groups of Group Norm in its paper, and of most networks since."""


def path_to(name: str) -> str:
    """Return the expression for a module with this name; of a function's call that of the module that calls it.

    >>> path_to("layer1.0.bn1"), path_to("0:layer_norm"), path_to("my-norm")
    ('model.layer1[0].bn1', 'model[0]', "model.get_submodule('my-norm')")
    """
    name = name.partition(":")[0]
    if name == MODEL:
        return "model"
    parts = name.split(".")
    if len(name) > MAX_NAME or not all(p.isdecimal() or (p.isidentifier() and not keyword.iskeyword(p)) for p in parts):
        return f"model.get_submodule({short_name(name)!r})"
    return "model" + "".join(f"[{p}]" if p.isdecimal() else f".{p}" for p in parts)


def replace_by(layer: LayerRecord, new: str) -> str:
    """Return the line that puts another module in the place of a layer, or another call in the place of a call."""
    path = path_to(layer.name)
    if layer.is_call:
        return f"x = {new}(x)  # in the forward of {path}, where it calls {layer.type}"
    if path.startswith("model.get_submodule"):
        return f"model.set_submodule({short_name(layer.name)!r}, {new})"
    return f"{path} = {new}"


def group_norm(layer: LayerRecord, most_groups: int | None = None, least_size: int = 1) -> str:
    """Return the line that makes a layer a Group Norm, of sets of `least_size` cells if there are so many."""
    norm = layer.smallest
    # As many groups as channels would be Instance Norm.
    most = min(MOST_GROUPS, max(1, norm.channels // 2)) if most_groups is None else most_groups
    groups = [g for g in divisors(norm.channels) if g <= most]
    large = [g for g in groups if norm.channels // g * norm.cells >= least_size]
    return replace_by(layer, f"torch.nn.GroupNorm({(large or [1])[-1]}, {norm.channels})") + "  # a new layer: train it"


def setting(layer: LayerRecord, what: str, value: float) -> str:
    """Return the line that sets a number of a layer, with {} for the layer; a comment if no attribute holds it."""
    name = layer.stored_as.get(what)
    return f"{{}}.{name} = {value:g}" if name else f"# in the forward of {{}}: {what} = {value:g}"


def for_each(layers: Sequence[LayerRecord], line_of: Callable[[LayerRecord], str]) -> str:
    """Return the lines for layers, with {} for a layer; a loop over the names of the modules that share a line."""
    alike: dict[str, list[str]] = {}
    for layer in layers:
        alike.setdefault(line_of(layer), []).append(layer.name)
    return "\n".join(_for_all(names, line) for line, names in alike.items())


def _for_all(names: Sequence[str], line: str) -> str:
    if len(names) == 1 or line.startswith("#"):
        return line.format(", ".join(map(path_to, names)))
    modules = ", ".join(repr(short_name(name.partition(":")[0])) for name in names)
    return f"for name in [{modules}]:\n    {line.format('model.get_submodule(name)')}"
