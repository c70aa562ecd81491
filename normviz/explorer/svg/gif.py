"""The sweep of G as an animated GIF: one still picture for each divisor, drawn by resvg and joined by Pillow."""

from __future__ import annotations

import io
import operator

from normviz.core.errors import brief
from normviz.core.pooling import divisors
from normviz.explorer.svg import picture
from normviz.explorer.svg.readout import Data, State

COLORS = 160


def sweep(data: Data, state: State, *, width: int, duration: int) -> bytes:
    """The sweep as the bytes of a GIF file; width and duration are those of `Explorer.to_gif`."""
    try:
        import resvg_py
        from PIL import Image
    except ImportError as error:
        message = "to_gif() needs resvg-py and Pillow, and one of them is missing: pip install normviz[gif]"
        raise ImportError(message) from error
    for name, value, least, most in (("width", width, 160, 4000), ("duration", duration, 20, 60_000)):
        try:
            fits = least <= operator.index(value) <= most
        except TypeError:
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}") from None
        if not fits:
            raise ValueError(f"{name}={brief(value)} is out of range: {least} to {most}")
    frames = []
    for groups in divisors(data.shape[1]):
        now = {**state, "method": "group", "num_groups": groups, "mode": "train", "predict": False}
        png = resvg_py.svg_to_bytes(svg_string=picture.svg(data, now, theme="light"), width=width, background="white")
        frame = Image.open(io.BytesIO(bytes(png))).convert("RGB")
        frames.append(frame.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
    file, (first, *rest) = io.BytesIO(), frames
    first.save(file, "GIF", save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)
    return file.getvalue()
