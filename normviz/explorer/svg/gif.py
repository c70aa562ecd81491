"""The sweep of G as an animated GIF: one still picture for each divisor, drawn by resvg and joined by Pillow."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from normviz.core.pooling import divisors
from normviz.explorer.svg import picture
from normviz.explorer.svg.geometry import clamp
from normviz.explorer.svg.readout import State

if TYPE_CHECKING:
    from normviz.explorer.validation import Subject

COLORS = 160


def sweep(on: Subject, state: State, *, width: int, duration: int, caption: bool) -> bytes:
    """The sweep as the bytes of a GIF file; width, duration and caption are those of `Explorer.to_gif`."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        message = 'to_gif() needs resvg-py and Pillow, and one of them is missing: pip install "normviz[gif]"'
        raise ImportError(message) from error
    # Letters keep their size from the smallest to the usual width; beyond, the whole picture grows.
    drawn = int(clamp(width, 480, picture.WIDTH))
    group, frames = {**state, "method": "group", "mode": "train", "predict": False}, []
    every = ({**group, "num_groups": groups} for groups in divisors(on.shape[1]))
    stills = [picture.still(on, now, width=drawn, theme="light") for now in every]
    most = max(len(still.caption) for still in stills)
    for still in stills:
        # All frames are equally high.
        text = replace(still, caption=[*still.caption, *[""] * (most - len(still.caption))]).svg(caption=caption)
        png = resvg_py.svg_to_bytes(svg_string=text, width=width, background="white")
        frame = Image.open(io.BytesIO(bytes(png))).convert("RGB")
        frames.append(frame.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
    file, (first, *rest) = io.BytesIO(), frames
    first.save(file, "GIF", save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)
    return file.getvalue()
