"""The colours of sets and of values, by the rules of cube.js."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from normviz.explorer.constants import CONSTANTS

Rgb = tuple[int, int, int]
HUES: Sequence[Rgb] = [tuple(hue) for hue in CONSTANTS["hues"]]
"""Distinguishable with any colour vision (after Okabe & Ito 2008); every set also has its number."""
LEVELS: int = CONSTANTS["ramp"]["levels"]
LOW, MIDDLE, HIGH, ABSENT = (tuple(CONSTANTS["ramp"][name]) for name in ("low", "middle", "high", "absent"))
TONES, PARTITION = CONSTANTS["tones"], CONSTANTS["partition"]
WHITE: Rgb = tuple(TONES["white"])


def mix(a: Rgb, b: Rgb, t: float) -> Rgb:
    """A colour between two."""
    return tuple(math.floor(p + (q - p) * t + 0.5) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def hexed(rgb: Rgb) -> str:
    """#rrggbb."""
    return "#" + "".join(f"{v:02x}" for v in rgb)


def toned(rgb: Rgb, face: str) -> str:
    """The colour of a face: light falls from above."""
    light = WHITE if face == "top" else TONES["shadow"]
    return hexed(mix(rgb, light, TONES.get(face, 0)))


def partition_color(at: Sequence[int], grid: Sequence[int]) -> Rgb:
    """Hue by sample, shade by group; where sets span all samples, hue by channel. `at` is the set's place in `grid`."""
    n, c, h, w = at
    across = grid[0] == 1
    hue = HUES[(c if across else n) % len(HUES)]
    if grid[2] * grid[3] > 1:
        shade = PARTITION["positions"][(h * 2 + w + c * 3) % 5]
        return mix(hue, WHITE, shade + (c % 2) * PARTITION["between"])
    place, of = (c // len(HUES), -(-grid[1] // len(HUES))) if across else (c, grid[1])
    if of == 1:
        return mix(hue, WHITE, PARTITION["alone"])
    ramp = place / (of - 1)
    shade = ramp if of <= PARTITION["plain_groups"] else 0.5 * ramp + 0.5 * (place % 2)
    return mix(hue, WHITE, PARTITION["groups"] * shade)


@cache
def level_color(level: int) -> Rgb:
    """Colour of a level: teal below zero, plum above, grey where the value is not finite (-1)."""
    if level < 0:
        return ABSENT
    t = level / (LEVELS - 1) * 2 - 1
    return mix(MIDDLE, LOW, -t) if t < 0 else mix(MIDDLE, HIGH, t)


def level_of(value: float, low: float, high: float) -> int:
    """The level of a value: diverging about zero if there are two signs, else from light to dark; -1 if not finite."""
    if not math.isfinite(value):
        return -1
    zero = 0 if low < 0 < high else low if low >= 0 else high
    t = (value - zero) / ((max(-low, high) if low < 0 < high else high - low) or 1)
    return math.floor((min(max(t, -1), 1) + 1) / 2 * (LEVELS - 1) + 0.5)


def legend(low: float, high: float) -> list[str]:
    """The colours of the legend, from the lowest level in use to the highest."""
    first, last = (0 if low < 0 else LEVELS >> 1), (LEVELS - 1 if high > 0 else LEVELS >> 1)
    return [hexed(level_color(level)) for level in range(first, last + 1)]
