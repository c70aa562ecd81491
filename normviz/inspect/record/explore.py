"""A recorded layer as an explorer with a slider over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.errors import brief, unknown, whole
from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling, check_cell, pooling
from normviz.explorer.show import Shown
from normviz.explorer.timeline import MOST_BYTES, Pair, Timeline, recorded_tensor
from normviz.explorer.validation import Subject, drawable, first_state
from normviz.inspect.audit.measurements import squared_gaps
from normviz.inspect.audit.tensors import short_name
from normviz.inspect.record.layer import in_a_sentence
from normviz.inspect.record.rules import find_warnings

if TYPE_CHECKING:
    from normviz.inspect.record.layer import LayerRecording
    from normviz.inspect.record.recording import Recording

KEYWORDS = ("index", "color", "mode", "controls", "presenter", "title")
COLORS = ("set", "partition", "value")
"""Those that need no single values."""


def explored(recording: Recording, name: Any, time: Any, keywords: Mapping[str, Any]) -> Shown:
    """Return the explorer of a layer; `Recording.explore` says what it takes."""
    for keyword in keywords:
        if keyword not in KEYWORDS:
            raise TypeError(f"explore(): {unknown('keyword', keyword, ('time', *KEYWORDS))}")
    if not recording.steps:
        raise ValueError("the recording has no steps to explore; train inside its with block")
    if not isinstance(name, str) or name not in recording.layers:
        raise ValueError(unknown("layer", name, map(short_name, recording.layers)))
    layer = recording[name]
    known = recorded_sets(layer)
    time = timeline(recording.steps, layer, known, _index_of(time, recording.steps, layer))
    running = None if time.running is None else tuple(array[time.at].astype(np.float64) for array in time.running)
    weight, bias = (None if a is None else a[time.at].astype(np.float64) for a in (time.weight, time.bias))
    title = keywords.get("title")
    on = Subject(
        x=None,
        tensor=recorded_tensor(time),
        weight=weight,
        bias=bias,
        eps=layer.used_eps,
        running=running,  # type: ignore[arg-type]
        title=in_a_sentence(short_name(name), "Layer") if title is None else drawable(title),
        time=time,
    )
    return Shown(on, _state(short_name(name), on, time, keywords))


def recorded_sets(layer: LayerRecording) -> Pooling:
    """Return the layer's pooling sets on the part of its shape whose sets were recorded.

    The recording has the first sets, in the order of their first cells. So the part is the largest box that these fill.
    """
    who, found = short_name(layer.name), layer.mean if layer.kind == "batch" else layer.first_mean
    if not layer.called.any():
        raise ValueError(f"layer {who} was not called in a recorded step, so there is nothing to show")
    if layer.kind not in METHODS or found is None or not found.shape[1]:
        kind = layer.type if layer.kind not in METHODS else layer.label
        what = f"the pooling sets of layer {who} ({kind}) are not known"
        raise ValueError(f"{what}, so there is no set to show; figure() shows its channels")
    row, shape, S = METHODS[layer.kind], list(layer.shape), found.shape[1]
    sets = pooling(layer.kind, shape, layer.num_groups if row.has_groups else None)
    if _changes_positions(layer):
        # The number of a set depends on the number of positions, except for those of the first sample and group.
        shape[:2] = sets.block[:2]
    for axis, block in enumerate(sets.block):
        inner = math.prod(sets.grid[axis + 1 :])
        shape[axis] = min(shape[axis], max(S // inner, 1) * block)
        if inner <= S:  # the sets along the other axes are complete
            break
    return pooling(layer.kind, shape, shape[1] // sets.block[1] if row.has_groups else None)


def _positions(layer: LayerRecording) -> np.ndarray:
    """Return how many positions a sample has at each step, (T,), int."""
    return layer.count // np.maximum(layer.samples, 1)


def _changes_positions(layer: LayerRecording) -> bool:
    """Whether each position has a set of its own, and their number changes."""
    changed = _positions(layer)[layer.called] != math.prod(layer.shape[2:])
    return METHODS[layer.kind].spatial == "one" and bool(changed.any())


def timeline(steps: Sequence[int], layer: LayerRecording, sets: Pooling, index: int) -> Timeline:
    """Return the layer over the steps at which it was called, or an even choice of them that holds the one shown."""
    called = np.flatnonzero(layer.called)
    S, C = sets.count, sets.shape[1]
    own = Pair(layer.mean, layer.var)
    channel_mean = None if layer.kind == "batch" else layer.mean
    if layer.kind != "batch":
        assert layer.first_mean is not None
        assert layer.first_var is not None
        own = Pair(*(np.where(_numbered(layer, sets), a[:, :S], np.nan) for a in (layer.first_mean, layer.first_var)))
    has_running = layer.running_mean is not None and layer.running_var is not None
    running = Pair(layer.running_mean, layer.running_var) if has_running else None  # type: ignore[arg-type]
    widths = 2 * S + 10 + sum(C for a in (channel_mean, layer.weight, layer.bias) if a is not None)
    widths += (2 * C + S) * has_running
    wide = 8 * widths * len(called) <= MOST_BYTES
    every = max(1, -(-4 * widths * len(called) // MOST_BYTES))
    at = int(np.searchsorted(called, index))
    chosen = called[at % every :: every]

    def part(array: np.ndarray | None, width: int) -> Any:
        with np.errstate(all="ignore"):
            return None if array is None else array[chosen, :width].astype(np.float64 if wide else np.float32)

    def pair(of: Pair | None, width: int) -> Any:
        return of and Pair(*(part(array, width) for array in of))

    numbers = np.array(steps)[chosen]
    warnings = [(int(np.searchsorted(numbers, w.step)), w.code, w.message) for w in find_warnings(steps, [layer])]
    return Timeline(
        steps=numbers,
        at=at // every,
        sets=sets,
        shape=layer.shape,
        own_sets=pair(own, S),
        running=pair(running, C),
        gap=None if running is None else part(_gaps(layer, own, running, sets), S),
        weight=part(layer.weight, C),
        bias=part(layer.bias, C),
        channel_mean=part(channel_mean, C),
        quartiles=pair(Pair(layer.set_mean, layer.set_var), 5),
        own=layer.own[chosen],
        samples=layer.samples[chosen],
        count=layer.count[chosen],
        warnings=tuple((min(i, len(numbers) - 1), code, message) for i, code, message in warnings),
        every=every,
    )


def _numbered(layer: LayerRecording, sets: Pooling) -> np.ndarray:
    """Return for each step whether the recorded sets have the numbers that they have in the shape, (T, S) or (T, 1)."""
    positions = _positions(layer)[:, None]
    if not _changes_positions(layer):
        return positions > 0
    # Of tokens the first ones are the same ones. Of a map with other sides they are not.
    return np.arange(sets.count) < positions if len(sets.shape) == 3 else positions == math.prod(layer.shape[2:])


def _gaps(layer: LayerRecording, own: Pair, running: Pair, sets: Pooling) -> np.ndarray | None:
    """Return the gap of each set, (steps, S); None if a set is not of one channel."""
    if sets.block[1] != 1 or sets.row.spatial != "all":
        return None
    channel = np.arange(sets.count) % sets.shape[1]
    mean, var = (array[:, : sets.count] for array in own)
    running_mean, running_var = (array[:, channel] for array in running)
    return np.sqrt(squared_gaps(mean, var, running_mean, running_var, layer.used_eps))


def _index_of(time: Any, steps: Sequence[int], layer: LayerRecording) -> int:
    """Return which recorded step a step is; without one, the last at which the layer was called."""
    called = [int(i) for i in np.flatnonzero(layer.called)]
    if time is None:
        return called[-1]
    step = whole(time, "time")
    found = {steps[i]: i for i in called}
    if step not in found:
        near = " and ".join(map(str, sorted(sorted(found, key=lambda known: abs(known - step))[:2])))
        what = "layer {} was not called at step {}" if step in steps else "layer {} has no recorded step {}"
        said = what.format(short_name(layer.name), brief(step))
        raise ValueError(f"{said}; the nearest {'ones are' if len(found) > 1 else 'one is'} {near}")
    return found[step]


def _state(who: str, on: Subject, time: Timeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete, checked state."""
    sets, color, mode = time.sets, given.get("color", "set"), given.get("mode")
    if not isinstance(color, str) or color not in COLORS:
        raise ValueError(f"{unknown('color', color, COLORS)}; a recording has no single values")
    evaluates = sets.method == "batch" and on.running is not None
    if isinstance(mode, str) and mode == "eval" and not evaluates:
        raise ValueError(f"mode='eval' is for Batch Norm with running statistics, and layer {who} is not one")
    index = given.get("index")
    if index is not None:
        try:
            index = check_cell(index, on.shape)
        except IndexError as error:
            kept = f"; of the layer's shape {time.shape} the recording keeps the first {sets.count} sets"
            kept = "" if on.shape == time.shape else kept
            raise IndexError(f"{error}{kept}") from None
    chosen = {name: given[name] for name in ("controls", "presenter") if name in given}
    frozen = evaluates and not time.own[time.at]
    state = first_state(
        on,
        chosen
        | {"method": sets.method, "num_groups": sets.num_groups, "index": index, "color": color}
        | {"mode": ("eval" if frozen else "train") if mode is None else mode},
    )
    return state | {"time": time.step}
