"""Why the outputs of two layers differ that get the same input: which known bug explains one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import Pooling
from normviz.inspect._call import RESOLUTION
from normviz.inspect.check.bug import Case
from normviz.inspect.check.known_bugs import changes
from normviz.inspect.check.search import explain
from normviz.inspect.check.simulate import Cut, Recipe, Scene, right
from normviz.inspect.compare.layer_diff import LayerPair, affine_differences, plus_one
from normviz.inspect.compare.matching import match
from normviz.inspect.compare.recording import UNKNOWN, LayerUse


@np.errstate(all="ignore")
def causes(pair: LayerPair, a: LayerUse, b: LayerUse) -> list[str]:
    """Return sentences, without a subject, on what model a or b does that its layer's own settings do not say.

    a and b are the uses of the pair, with their activations.
    """
    found: list[str] = []
    explained = True
    for m, use, other in (("a", a, b), ("b", b, a)):
        unplaced = use.weight is not None and use.scale is None  # its sets were read along other axes
        if use.kind == UNKNOWN or (unplaced and use.calls == other.calls):
            use = _as(use, other, pair.tolerance)
        elif use.eps is None:
            use = replace(use, eps=other.eps)
        texts = None if use is None else _of_one(use, pair)
        for text in texts or ():
            found.append(plus_one(m, "b" if m == "a" else "a") if text == PLUS_ONE else f"{m} {text}")
        explained = explained and texts is not None and not texts
    if explained and not pair.differences and a.x is not None and b.x is not None:
        # Both do what their weights and biases say, under whatever names these are stored.
        found += map(str, affine_differences(a, b, match(a.x, b.x, pair.tolerance), pair.tolerance))
    return found


PLUS_ONE = "1 + weight"


def _as(use: LayerUse, known: LayerUse, tolerance: float) -> LayerUse | None:
    """Return a layer of unknown kind as if it were the known one, its cells in that order; None if it cannot be."""
    if known.kind == UNKNOWN or known.x is None or use.x is None or use.y is None:
        return None
    cells = match(use.x, known.x, tolerance)
    if cells.why or cells.clear is not None or use.x.size != known.x.size:
        return None
    y = use.y if cells.order is None else use.y.reshape(-1)[cells.order].reshape(known.x.shape)
    affine = {}
    for flat, placed in (("weight", "scale"), ("bias", "shift")):
        own, theirs = getattr(use, flat), getattr(known, placed)
        affine[placed] = (
            own.reshape(theirs.shape) if own is not None and theirs is not None and own.size == theirs.size else theirs
        )
    # In another layout the axes are those that the unknown layer has.
    axis = (known if use.input_shape == known.input_shape else use).channel_axis
    return replace(known, y=y, eps=known.eps if use.eps is None else use.eps, channel_axis=axis, **affine)


def _of_one(use: LayerUse, pair: LayerPair) -> Sequence[str] | None:
    """Return what one layer does beside its settings, which is nothing if they explain its output; None if unknown."""
    known = _scene(use)
    if known is None or use.y is None or not use.own:
        return None
    scene, base = known
    y = use.y.astype(np.float64)
    tolerance = float(np.clip((pair.output_difference or 0.0) / 4, pair.tolerance / 2, 10 * pair.tolerance))
    few = scene.sample()
    y = few.flat(y)
    if few.agrees(y, base, tolerance).all():
        return ()
    case = Case(scene.pool, base.eps, use.channel_axis, scene.weight, scene.bias)
    found, _ = explain([(few, y)], changes(case), base, [tolerance])
    if len(found) == 1:
        return [_text(change) for change in found[0].changes]
    if found:
        return ("either " + ", or ".join(" and ".join(map(_text, f.changes)) for f in found[:3]),)
    return None


def _text(change: Any) -> str:
    if change.details.get("order") == PLUS_ONE:
        return PLUS_ONE
    return f"adds eps = {change.details['eps']:.4g}" if change.code == "eps-value" else change.text


def _scene(use: LayerUse) -> tuple[Scene, Recipe] | None:
    """Return the layer's input and what its settings say that it does; None if they do not say enough."""
    rank = len(use.input_shape)
    placed = all(flat is None or p is not None for flat, p in ((use.weight, use.scale), (use.bias, use.shift)))
    unknown = use.kind not in METHODS or not placed or use.calls > 1 or not 2 <= rank <= 5
    if use.x is None or use.block is None or unknown:
        return None
    groups = use.num_groups if METHODS[use.kind].has_groups else None
    pool = Pooling(use.kind, use.input_shape, groups)
    base = replace(right(pool, use.eps or 0.0), cut=Cut("block", use.block))
    resolution = RESOLUTION.get(use.dtype, RESOLUTION["float32"])
    return Scene(pool, use.x.astype(np.float64), use.scale, use.shift, resolution), base
