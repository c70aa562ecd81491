"""Colours, angles, limits and margins that Python, JavaScript and CSS share: the content of constants.json.

The keys of that file:

- `colors`: light and dark, by the names of the CSS variables.
- `hues`, `ramp`, `tones`, `partition`: the colours of sets and of values, and how they are mixed. `normalized` is the
  range of values that the ramp spans for normalized values. `lines` are the hues for lines and words of charts, with a
  contrast of at least 3.5 : 1 on the light and on the dark page.
- `strokes`, `opacity`, `dashes`: of the lines of a cube, in pixels.
- `angles`: from which a cube is seen, in radians, and how far it turns.
- `lengths`: `thinnest` is the most that one side may exceed another, `deepest` the most that the channels may exceed
  the longer of the other sides; the others are of the classical figure.
- `margins`: pixels around the cubes of both views; `most` is the largest scale in pixels per cell, which in the view of
  samples is `of_length` / max(H, W), but at least `least`.
- `arrangement`: how cubes stand in rows: how much larger another arrangement must draw them, their least scale, the
  distance of two beside each other in their own widths, and the pixels that two rows keep at most beyond the margins.
- `labels`: the places of letters and titles beside the points that they name, in pixels; `letter` is the width of one.
- `limits`: how many samples, lines, bins and sets along an axis are drawn; `grid` and `border` are the least distances
  of lines, in pixels; `number` and `ring` say where there is room for the number of a set, and which cells get a ring.
  In cells: `values`, the largest tensor whose values a page contains; `coarse`, how many means it contains instead;
  `moments`, of how many (sample, channel) it contains moments; `filled`, the largest tensor that a rule fills.
- `tensor_panel`: where the sliders of N, C and the spatial axes end, how many changes can be undone, and how many rows
  and columns of a map are listed.
- `stage`: the height of the explorer's picture as [least, share of its width, most], for up to `tall_above` samples,
  for more, and where the explorer is narrow.
- `column`: the least width of explorers side by side, in pixels; `heights`: from which width on an explorer needs which
  height in the frame of `nv.show`, with its controls, without them, and with the panel in which the reader makes a
  tensor; the second height is that of one with a title, running statistics, notes and the like (`Subject.says_more`).
- `still`: the size of the still picture, in pixels.
- `files`: the most that is read of files: bytes of the `header` of a .safetensors file, of a `text`, of the `directory`
  of an .npz file, of an array when it is `inflated`; how many arrays (`members`), and the `pixels` of a picture.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

CONSTANTS: dict[str, Any] = json.loads(files(__package__ or "").joinpath("constants.json").read_text(encoding="utf-8"))

LIGHT: dict[str, str] = CONSTANTS["colors"]["light"]
DARK: dict[str, str] = CONSTANTS["colors"]["dark"]
LIMITS: dict[str, Any] = CONSTANTS["limits"]
MARGINS: dict[str, dict[str, float]] = CONSTANTS["margins"]
ANGLES: dict[str, Any] = CONSTANTS["angles"]
