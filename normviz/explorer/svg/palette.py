"""The colours of the still picture, sets and values, light and dark: those of cube.js and explorer.css."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rgb = tuple[int, int, int]
WHITE, INK = (255, 255, 255), (20, 24, 32)

# The colours of explorer.css, so that no colour changes when the explorer replaces the picture.
LIGHT = {
    "card": "#fff", "ink": "#1b1f27", "muted": "#565f6d", "rule": "#d8dce3", "panel": "#f6f7f9",
    "here": "#e6effb", "accent": "#2166c4",
    "rest-top": "#fbfbfc", "rest-front": "#eff0f2", "rest-side": "#dfe1e5", "grid": "#3a4250", "outline": "#14181f",
    "set-top": "#5b9bf0", "set-front": "#2f77dd", "set-side": "#1d5cbb", "set-edge": "#0d3f8f", "ghost": "#2f77dd",
    "cell-top": "#ffb25e", "cell-front": "#ff9a2e", "cell-side": "#e07d10", "cell-edge": "#8f4700", "ring": "#e8770a",
}  # fmt: skip
DARK = {
    "card": "#14171c", "ink": "#e8ebf1", "muted": "#a9b2c0", "rule": "#3a424e", "panel": "#1c2027", "here": "#22324a",
    "accent": "#7db4ff",
    "rest-top": "#444c59", "rest-front": "#363d48", "rest-side": "#2a3039", "grid": "#6b7585", "outline": "#c9d1dd",
    "set-top": "#82b8ff", "set-front": "#4c93f2", "set-side": "#2f6fce", "set-edge": "#d6e7ff", "ghost": "#8fbdff",
    "cell-top": "#ffc27d", "cell-front": "#ffa544", "cell-side": "#e88a1f", "cell-edge": "#fff0dc", "ring": "#ffa544",
}  # fmt: skip

# Distinguishable with any colour vision (after Okabe & Ito 2008); every set also has its number.
HUES = (
    (74, 141, 221), (236, 158, 50), (66, 170, 122), (211, 112, 180),
    (84, 184, 217), (228, 108, 80), (205, 184, 58), (140, 148, 162),
)  # fmt: skip
LEVELS = 24
LOW, MIDDLE, HIGH = (8, 112, 128), (247, 246, 242), (136, 36, 110)


def mix(a: Rgb, b: Rgb, t: float) -> Rgb:
    """A colour between two."""
    return tuple(int(np.floor(p + (q - p) * t + 0.5)) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def hexed(rgb: Rgb) -> str:
    """#rrggbb, or #rgb where that is the same colour."""
    text = "".join(f"{v:02x}" for v in rgb)
    return f"#{text[::2]}" if text[::2] == text[1::2] else f"#{text}"


def toned(rgb: Rgb, face: str) -> str:
    """The colour of a face: light falls from above."""
    return hexed(mix(rgb, WHITE, 0.14) if face == "top" else mix(rgb, INK, 0.2) if face == "side" else rgb)


def partition_color(at: Sequence[int], grid: Sequence[int]) -> Rgb:
    """Hue by sample, shade by group; where sets span all samples, hue by channel. `at` is the set's place in `grid`."""
    n, c, h, w = at
    across = grid[0] == 1
    hue = HUES[(c if across else n) % len(HUES)]
    if grid[2] * grid[3] > 1:
        return mix(hue, WHITE, (0, 0.34, 0.68, 0.17, 0.51)[(h * 2 + w) % 5])
    place, of = (c // len(HUES), -(-grid[1] // len(HUES))) if across else (c, grid[1])
    if of == 1:
        return mix(hue, WHITE, 0.16)
    ramp = place / (of - 1)
    return mix(hue, WHITE, 0.66 * (ramp if of <= 6 else 0.5 * ramp + 0.5 * (place % 2)))


def level_color(level: int) -> Rgb:
    """Colour of a level: teal below zero, plum above, grey where the value is not finite (-1)."""
    if level < 0:
        return 128, 128, 128
    t = level / (LEVELS - 1) * 2 - 1
    return mix(MIDDLE, LOW, -t) if t < 0 else mix(MIDDLE, HIGH, t)


def levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The level of each value: diverging about zero if there are two signs, else from light to dark."""
    if low < 0 < high:
        t = values / max(abs(low), abs(high))
    else:
        t = (values - (low if low >= 0 else high)) / ((high - low) or 1)
    finite = np.isfinite(t)
    level = np.floor((np.clip(np.where(finite, t, 0), -1, 1) + 1) / 2 * (LEVELS - 1) + 0.5)
    return np.where(finite, level, -1).astype(int)


def legend(low: float, high: float) -> list[str]:
    """The colours of the legend, from the lowest level in use to the highest."""
    first, last = (0 if low < 0 else LEVELS >> 1), (LEVELS - 1 if high > 0 else LEVELS >> 1)
    return [hexed(level_color(level)) for level in range(first, last + 1)]
