"""The sweep of G as a moving picture: one still picture for each divisor, drawn by resvg and joined by Pillow."""

from __future__ import annotations

import io
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normviz.core.pooling import divisors
from normviz.explorer.svg import picture

COLOURS = 160


def write(scene: Mapping[str, Any], state: Mapping[str, Any], path: Path, *, width: int, duration: int) -> None:
    """Write the sweep to `path`; the arguments are those of `Explorer.to_gif`."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "to_gif() needs resvg-py and Pillow, and one of them is missing: pip install normviz[gif]"
        ) from error
    for name, value, least, most in (("width", width, 160, 4000), ("duration", duration, 20, 60_000)):
        try:
            fits = least <= operator.index(value) <= most
        except TypeError:
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}") from None
        if not fits:
            raise ValueError(f"{name}={value} is out of range: {least} to {most}")
    frames = []
    for groups in divisors(scene["shape"][1]):
        now = {**state, "method": "group", "num_groups": groups, "mode": "train", "predict": False}
        png = resvg_py.svg_to_bytes(svg_string=picture.svg(scene, now, theme="light"), width=width, background="white")
        frame = Image.open(io.BytesIO(bytes(png))).convert("RGB")
        frames.append(frame.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
    first, *rest = frames
    first.save(path, "GIF", save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)
