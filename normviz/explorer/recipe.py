"""The recipe of an x that the reader of an editable explorer makes: Python sets one, and takes one from the page.

The keys of a recipe:

- `shape`: (N, C, *spatial), whatever `channel_axis` is.
- `fill`: one of FILLS; "file" for values of one's own, and "edited" for cells that were typed over.
- `seed`: of the fill.
- `channel_axis`: 1 or -1, where C is in x.
- `edits`: for each cell that was typed over, [[n, c, *spatial], value].
- `base`: the fill below the edits; only if `fill` is "edited".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from normviz.core.errors import brief, unknown, whole, whole_within
from normviz.core.pooling import check_cell, check_shape
from normviz.explorer.constants import LIMITS
from normviz.samples import FILLS, filled

Recipe = dict[str, Any]

KEYS = ("shape", "fill", "seed", "channel_axis", "edits")
OWN = ("file", "edited")
"""What is called a fill and cannot be filled anew."""
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""In an edit these stand for the numbers that JSON lacks."""
DTYPES = {"float32": "<f4", "float64": "<f8"}
"""The types in which a page sends values, and how NumPy calls them: little-endian."""
MOST_CELLS: int = LIMITS["filled"]
"""Of a tensor that is filled, or that comes from a page."""
PIECE: int = LIMITS["piece"]
"""The most bytes of one message of the page, which cuts its values into pieces."""
LAST_REVISION = 2**53
"""The page's whole numbers are exact up to this one."""


def of_given(shape: tuple[int, ...], channel_axis: int, fill: str = "file") -> Recipe:
    """The recipe of an x that Python gives; ValueError if its channels stand neither first nor last."""
    last = len(shape) - 1
    if channel_axis % len(shape) not in (1, last):
        raise ValueError(f"editable=True takes channels first or last, channel_axis=1 or -1, not {channel_axis}")
    axis = -1 if channel_axis in (-1, last) and channel_axis != 1 else 1
    return {"shape": list(shape), "fill": fill, "seed": 0, "channel_axis": axis, "edits": []}


def fill_anew(recipe: Recipe, given: Any) -> tuple[Recipe, np.ndarray]:
    """Fill a tensor by a recipe, of which some entries are given; the edits among them go over it.

    Parameters
    ----------
    recipe
        Where the other entries come from, but its edits.
    given
        A mapping with some of KEYS.

    Returns
    -------
    recipe, values
        The complete recipe, and x with axes (N, C, *spatial): float32, or float64 with edits.

    Raises
    ------
    ValueError, TypeError, IndexError
        For an entry that cannot be taken, in one sentence.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"recipe must be a dict with some of {', '.join(KEYS)}, not {brief(given)}")
    for name in given:
        if name not in KEYS:
            raise ValueError(unknown("key of a recipe", name, KEYS))
    fill = given.get("fill", recipe.get("base", recipe["fill"]))
    if isinstance(fill, str) and fill in OWN:
        cannot = "cannot be set" if "fill" in given else "cannot be filled anew"
        remedy = f"assign values of your own to x, or give one of {', '.join(FILLS)}, with edits for single cells"
        raise ValueError(f"fill={fill!r} {cannot}; {remedy}")
    seed = given.get("seed", recipe["seed"])
    values = filled(given.get("shape", recipe["shape"]), fill, seed)
    edits = checked_edits(given.get("edits", []), values.shape)
    made = {"shape": list(values.shape), "fill": fill, "seed": whole(seed, "seed") % 2**32}
    made |= {"channel_axis": checked_axis(given.get("channel_axis", recipe["channel_axis"])), "edits": edits}
    if edits:
        values = values.astype(np.float64)
        for cell, value in edits:
            values[tuple(cell)] = float(value)
        made |= {"fill": "edited", "base": fill}
    return made, values


def checked_axis(axis: Any) -> int:
    """1 or -1."""
    if whole(axis, "channel_axis") not in (1, -1):
        raise ValueError(f"channel_axis={brief(axis)} in a recipe must be 1, channels first, or -1, channels last")
    return int(axis)


def checked_edits(edits: Any, shape: tuple[int, ...]) -> list[list[Any]]:
    """Each edit as [[n, c, *spatial], value]."""
    form = "edits must be a list of [(n, c, ...), value]"
    if not isinstance(edits, Sequence) or isinstance(edits, str):
        raise TypeError(f"{form}, not {brief(edits)}")
    found = []
    for edit in edits:
        if not isinstance(edit, Sequence) or isinstance(edit, str) or len(edit) != 2:
            raise TypeError(f"{form}; {brief(edit)} is none")
        cell, value = edit
        found.append([list(check_cell(cell, shape)), checked_value(value)])
    return found


def checked_value(value: Any) -> float | str:
    """A number as JSON takes it."""
    if isinstance(value, str) and value in NOT_FINITE:
        return value
    if isinstance(value, (bool, np.bool_)) or not hasattr(type(value), "__float__"):
        raise TypeError(f"the value of an edit must be a number, not {brief(value)}")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"the value of an edit, {brief(value)}, is beyond float64") from error
    if math.isfinite(number):
        return number
    return NOT_FINITE[0 if math.isnan(number) else 1 if number > 0 else 2]


# ---- what comes from the page ----------------------------------------------------------------------------------------


class Arrivals:
    """What the page of a widget sends of a tensor: pieces of its values, and then its recipe. All of it is checked.

    Attributes
    ----------
    revision
        The number of the tensor that was taken last: an older one that comes late is refused. 0 is a tensor of Python.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._coming = 0
        self._parts: list[bytes] = []

    def checked_revision(self, revision: Any) -> int:
        """The number of a tensor that comes after the last one."""
        return whole_within(revision, "revision", self.revision + 1, LAST_REVISION)

    def piece(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Keep a piece: pieces come in their order, each in a message of its own."""
        revision, data = self.checked_revision(message["revision"]), checked_bytes(buffers)
        parts = whole_within(message["parts"], "parts", 1, 8 * MOST_CELLS // PIECE)
        part = whole_within(message["part"], "part", 0, parts - 1)
        if part == 0:
            self._coming, self._parts = revision, []
        if revision != self._coming or part != len(self._parts):
            self._parts = []
            raise ValueError(f"piece {part} of {parts} does not follow the one before")
        self._parts.append(data)

    def made(self, message: Mapping[str, Any], buffers: Sequence[Any]) -> tuple[int, Recipe, np.ndarray]:
        """The number of a tensor, its recipe, and its values with axes (N, C, *spatial).

        Raises
        ------
        ValueError, TypeError, IndexError, KeyError
            For a message of another form.
        """
        revision, given = self.checked_revision(message["revision"]), message["recipe"]
        parts = self._parts if revision == self._coming else []
        self._parts = []
        given = {name: given[name] for name in (*KEYS, *(["base"] if given["fill"] == "edited" else []))}
        if given["fill"] not in OWN:
            return revision, *fill_anew(given, given)
        shape, base = check_shape(given["shape"]), given.get("base", given["fill"])
        if message["dtype"] not in DTYPES or base not in (*FILLS, "file") or message["shape"] != list(shape):
            raise ValueError("a tensor has no such dtype, shape or base")
        if math.prod(shape) > MOST_CELLS:
            raise ValueError(f"shape {shape} has more than {MOST_CELLS} cells")
        edits = checked_edits(given["edits"], shape)
        given |= {"shape": list(shape), "seed": whole(given["seed"], "seed") % 2**32, "edits": edits}
        given["channel_axis"] = checked_axis(given["channel_axis"])
        data = b"".join(parts) + (checked_bytes(buffers) if buffers else b"")
        values = np.frombuffer(data, DTYPES[message["dtype"]])
        if values.size != math.prod(shape):
            raise ValueError(f"shape {shape} needs {math.prod(shape)} values, not {values.size}")
        return revision, given, values.reshape(shape).astype(message["dtype"])


def with_none(value: Any) -> Any:
    """Return what a page sent, with None for each null: Pyodide 0.28 and newer have an object of their own for it."""
    if isinstance(value, dict):
        return {name: with_none(part) for name, part in value.items()}
    if isinstance(value, list):
        return [with_none(part) for part in value]
    return None if type(value).__name__ == "JsNull" else value


def checked_bytes(buffers: Sequence[Any]) -> bytes:
    """The bytes of a message that carries one buffer."""
    (data,) = buffers
    if not 0 < memoryview(data).nbytes <= PIECE:
        raise ValueError(f"a piece has 1 to {PIECE} bytes")
    return bytes(data)
