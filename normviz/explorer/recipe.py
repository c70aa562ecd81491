"""The recipe of a tensor that the reader of an editable explorer makes: its shape, its fill, and the cells typed over.

The keys of a recipe:

- `shape`: (N, C, *spatial), whatever `channel_axis` is.
- `fill`: a key of FILLS; "file" for values of one's own, and "edited" where cells were typed over.
- `seed`: of the fill.
- `channel_axis`: 1 or -1, where C is in x.
- `edits`: [[n, c, *spatial], value] for each cell that was typed over.
- `base`: only of "edited", the fill below the edits.
"""

from __future__ import annotations

from typing import Any

Recipe = dict[str, Any]


def of_given(shape: tuple[int, ...], channel_axis: int, fill: str = "file") -> Recipe:
    """The recipe of a tensor that Python gives."""
    last = len(shape) - 1
    if channel_axis % len(shape) not in (1, last):
        raise ValueError(f"editable=True takes channels first or last, channel_axis=1 or -1, not {channel_axis}")
    axis = -1 if channel_axis in (-1, last) and channel_axis != 1 else 1
    return {"shape": list(shape), "fill": fill, "seed": 0, "channel_axis": axis, "edits": []}
