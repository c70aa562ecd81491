"""Style as statistics: AdaIN, conditional Instance Norm and Instance Norm on photographs, without a network.

The features are an oriented pyramid, a tight frame: windows on the spectrum whose squares sum to 1, so that the same
windows invert it without loss. No network is involved, so every change is due to the statistics alone.
"""

import struct
import zlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz import relatives
from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.explorer.plotly_figure import Figure
from normviz.functions.normalize import normalize
from normviz.functions.reduce import moments
from normviz.labs import input_checks
from normviz.samples import PHOTOGRAPHS, photographs

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
STYLES = (1, 2, 6)
SCALES, ORIENTATIONS = 3, 4
EPS = 1e-12
"""Far below the smallest variance of a feature."""


@dataclass(frozen=True)
class Style:
    """A photograph in the styles of others.

    Attributes
    ----------
    content, styles, alphas
        Numbers of the photographs, and strengths of the style, from 0 to 1.
    images
        (styles, alphas, 3, 64, 64): AdaIN's results, nominally from 0 to 1 but not clipped.
    conditional
        (styles, 3, 64, 64): results of conditional Instance Norm, whose tables hold the styles' standard deviations and
        means.
    grams
        Gram matrices: "content" (K, K), "style" and "conditional" (styles, K, K), and "result" of AdaIN
        (styles, alphas, K, K).
    contrast
        "before", "instance", "batch": (8,), each photograph's standard deviation of a feature, averaged over features.
    reconstruction
        The largest difference between the photographs and the inverse of their features.
    """

    content: int
    styles: tuple[int, ...]
    alphas: tuple[float, ...]
    images: np.ndarray
    conditional: np.ndarray
    grams: dict[str, np.ndarray]
    contrast: dict[str, np.ndarray]
    reconstruction: float


def windows(size: int) -> np.ndarray:
    """Return the windows on the spectrum, (13, size, size): a low pass, then 3 scales of 4 orientations each."""
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)
    octave = np.log2(np.maximum(np.hypot(fx, fy), 1e-9) * 4)
    angle = np.arctan2(fy, fx)
    low, found = np.ones((size, size)), []
    for scale in range(SCALES):
        # From 0 to 1 over an octave; the squares of sine and cosine sum to 1.
        turn = np.clip(octave + scale, -1, 0) + 1
        high, lower = low * np.sin(turn * np.pi / 2), low * np.cos(turn * np.pi / 2)
        # cos^6 at 4 angles sums to 5/4. Opposite angles have equal windows, so the features are real.
        found += [high * np.abs(np.cos(angle - k * np.pi / ORIENTATIONS)) ** 3 / 1.25**0.5 for k in range(ORIENTATIONS)]
        low = lower
    found = np.stack([low, *found])
    # The Nyquist frequency is its own negative along one axis only; averaging the two keeps the features real.
    flipped = np.roll(found[:, ::-1, ::-1], 1, axis=(1, 2))
    even = np.sqrt((found**2 + flipped**2) / 2)
    return even / np.sqrt((even**2).sum(axis=0))


def features(images: np.ndarray) -> np.ndarray:
    """Return the features of images, (N, 3, S, S), as (N, 39, S, S)."""
    spectrum = np.fft.fft2(images)[:, :, None] * windows(images.shape[-1])
    return np.fft.ifft2(spectrum).real.reshape(len(images), -1, *images.shape[2:])


def invert(found: np.ndarray) -> np.ndarray:
    """Return the images, (N, 3, S, S), with these features, (N, 39, S, S)."""
    N, S = len(found), found.shape[-1]
    return np.fft.ifft2((np.fft.fft2(found.reshape(N, 3, -1, S, S)) * windows(S)).sum(axis=2)).real


def gram(found: np.ndarray) -> np.ndarray:
    """Return the Gram matrices of features (N, K, S, S): the means of their products, (N, K, K)."""
    flat = found.reshape(*found.shape[:2], -1)
    return flat @ flat.transpose(0, 2, 1) / flat.shape[2]


@check_keywords
def measure(content: int = 0, styles: Any = STYLES, *, alphas: Any = ALPHAS) -> Style:
    """Put the statistics of some photographs into another.

    Parameters
    ----------
    content, styles
        Number of a photograph, and numbers of those whose statistics it gets.
    alphas
        From 0, the content as it is, to 1, all of the style.

    Raises
    ------
    ValueError, TypeError
        If there is no such photograph, or an alpha is not from 0 to 1.

    Examples
    --------
    >>> found = measure(0, [1], alphas=[0.5, 1.0])
    >>> found.images.shape, bool(np.allclose(found.images[0, 1], found.conditional[0]))
    ((1, 2, 3, 64, 64), True)
    """
    last = len(PHOTOGRAPHS) - 1
    content = input_checks.whole(content, "content", 0, last)
    styles = tuple(input_checks.whole(s, "style", 0, last) for s in input_checks.several(styles, "styles", "(1, 2)"))
    alphas = input_checks.several(alphas, "alphas", "(0, 1)")
    pictures = photographs() / 255
    every = features(pictures)
    x, style = every[[content]], every[list(styles)]
    blended = np.array([[relatives.adain(x, s[None], alpha=a, eps=EPS)[0] for a in alphas] for s in style])
    results = np.array([invert(maps) for maps in blended])
    found = moments(style).pool("instance")
    tables: dict[str, Any] = {"weight": np.sqrt(found.var + EPS), "bias": found.mean, "eps": EPS}
    conditional = relatives.conditional_instance(np.repeat(x, len(styles), 0), np.arange(len(styles)), **tables)
    grams = {"content": gram(x)[0], "style": gram(style), "conditional": gram(conditional)}
    grams["result"] = np.array([gram(maps) for maps in blended])
    normalized = {method: normalize(every, method, eps=EPS) for method in ("instance", "batch")}
    contrast = {name: y.std(axis=(2, 3)).mean(axis=1) for name, y in ({"before": every} | normalized).items()}
    error = float(np.abs(invert(every) - pictures).max())
    return Style(content, styles, alphas, results, invert(conditional), grams, contrast, error)


def png(image: np.ndarray) -> str:
    """Return an image (3, H, W), from 0 to 1, as a data URI."""
    rows = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


@check_keywords
def figure(
    content: int = 0, styles: Any = STYLES, *, alphas: Any = ALPHAS, width: int | None = None, presenter: bool = False
) -> go.Figure:
    """Draw the content in a style by AdaIN and by conditional Instance Norm, Gram matrices and contrast.

    Buttons choose the style, the slider AdaIN's alpha. Arguments and errors are those of `measure`.
    `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [button.label for button in figure().layout.updatemenus[0].buttons]
    ['coffee', 'brick', 'grass']
    """
    room = chart.room(width, presenter)
    result = measure(content, styles, alphas=alphas)
    pictures, count = photographs() / 255, len(result.styles)
    wide = not room.narrow
    # The places of content, both results and style; their Gram matrices are `under` rows below.
    places, under = ([(1, 1), (1, 2), (1, 3), (1, 4)], 1) if wide else ([(1, 1), (2, 1), (2, 2), (1, 2)], 2)
    # A projector shows no bars: the pictures need its height.
    rows, cols = (3 - presenter, 4) if wide else (5, 2)
    bars_below = [] if presenter else [[{"colspan": cols}, *[None] * (cols - 1)]]
    titles = dict(zip(places, ("content", "AdaIN", "conditional IN", "style"), strict=True))
    titles |= {(row + under, col): "Gram matrix" for row, col in places}
    drawing = make_subplots(
        rows=rows, cols=cols, vertical_spacing=0.16 if presenter else 0.09 if wide else 0.055,
        horizontal_spacing=0.03 if wide else 0.06,
        specs=[[{}] * cols] * (rows - len(bars_below)) + bars_below,
        subplot_titles=[*(titles[place] for place in sorted(titles)), "Instance Norm makes all contrasts equal"],
        figure=Figure(),
    )  # fmt: skip
    # The low passes are left out: beside the brightness in them, nothing else would be visible.
    oriented = np.flatnonzero(np.arange(len(result.grams["content"])) % (SCALES * ORIENTATIONS + 1))

    def shown(matrix: np.ndarray) -> list:
        return chart.signed_root(matrix[np.ix_(oriented, oriented)], 2)

    def draw(image: np.ndarray, matrix: np.ndarray, place: tuple[int, int]) -> None:
        row, col = place
        drawing.add_image(source=png(image), row=row, col=col)
        drawing.add_heatmap(z=shown(matrix), zmid=0, **chart.DIVERGING, row=row + under, col=col)

    draw(pictures[result.content], result.grams["content"], places[0])
    for j, s in enumerate(result.styles):
        draw(result.images[j, -1], result.grams["result"][j, -1], places[1])
        draw(result.conditional[j], result.grams["conditional"][j], places[2])
        draw(pictures[s], result.grams["style"][j], places[3])
    drawing.update_traces(visible=True)
    bars = {"before": ("before", "grey"), "instance": ("Instance Norm", "green"), "batch": ("Batch Norm", "blue")}
    for key, (name, colour) in () if presenter else bars.items():
        y = (result.contrast[key] / result.contrast[key].mean()).round(4).tolist()
        drawing.add_bar(x=list(PHOTOGRAPHS), y=y, name=name, marker_color=chart.COLOURS[colour], row=rows, col=1)
    # The content has two traces, and so has each of a style's three pictures.
    results = [2 + 6 * j + k for k in range(2) for j in range(count)]
    stays = [None] * count

    def step(k: int, alpha: float) -> dict[str, Any]:
        sources, grams = map(png, result.images[:, k]), map(shown, result.grams["result"][:, k])
        return chart.step(f"{alpha:g}", {"source": [*sources, *stays], "z": [*stays, *grams]}, results)

    steps = [step(k, alpha) for k, alpha in enumerate(result.alphas)]
    visible = [[i // 6 == j for i in range(6 * count)] for j in range(count)]
    named = [(PHOTOGRAPHS[s], {"visible": v}) for s, v in zip(result.styles, visible, strict=True)]
    switch = [chart.step(*choice, range(2, 2 + 6 * count)) for choice in named]
    for row, col in places:
        for at, size in ((row, pictures.shape[-1]), (row + under, len(oriented))):
            drawing.update_xaxes(range=[-0.5, size - 0.5], **chart.NO_TICKS, row=at, col=col)
            drawing.update_yaxes(range=[size - 0.5, -0.5], **chart.NO_TICKS, row=at, col=col)
    if bars_below:
        drawing.update_yaxes(title_text="contrast, mean = 1", row=rows, col=1)
    chart.add_buttons(drawing, switch, "Style")
    chart.add_slider(drawing, steps, "alpha = ", len(steps) - 1)
    return chart.finish(
        drawing, _finding(result, oriented),
        "The features are the 3 colors, each filtered by 13 filters: one blur, and 3 scales of 4 orientations. AdaIN "
        "gives every feature of the content the mean and the standard deviation of the style’s feature, and goes back "
        "to pixels. Conditional Instance Norm reads these numbers from a table with one row for each style; the "
        "button chooses the row, and the picture is that of AdaIN at alpha = 1. A Gram matrix has the mean product of "
        "every two features, here without the blurs; color strength is the square root. Splitting and rebuilding a "
        f"photograph without a change gives an error of {result.reconstruction:.0e}. Below: the contrast is the mean "
        "standard deviation of the features. Instance Norm makes it the same for all photographs, and Batch Norm "
        "keeps their differences.",
        "A photograph, the same with the colours and contrasts of another, by AdaIN and by conditional Instance Norm, "
        "which agree, and that other; under each its Gram matrix; bars of contrast before and after Instance Norm, "
        "all equal, and Batch Norm, still different.",
        room=room, height=(700, 900), axis=20 if presenter else chart.AXIS, left=12 if presenter else 64,
    )  # fmt: skip


def _finding(result: Style, oriented: np.ndarray) -> str:
    """Say how far AdaIN at alpha = 1, as conditional Instance Norm, brings the Gram matrix to that of the style."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm((a - b)[np.ix_(oriented, oriented)]))

    pairs = zip(result.grams["conditional"], result.grams["style"], strict=True)
    ways = [(distance(got, style), distance(result.grams["content"], style)) for got, style in pairs]
    moved = sorted(f"{100 * (1 - after / before):.0f}" for after, before in ways if before)
    if not moved:
        return "A photograph in its own style stays as it is"
    share = moved[0] if moved[0] == moved[-1] else f"{moved[0]} to {moved[-1]}"
    share += "\N{NO-BREAK SPACE}%"
    return f"New means and deviations alone bring the Gram matrix {share} of the way to that of the style"
