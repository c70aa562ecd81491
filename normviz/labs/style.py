"""Style as statistics: AdaIN, conditional Instance Norm and Instance Norm on photographs, in a space without weights.

The features are an oriented pyramid, a tight frame: windows on the spectrum whose squares sum to 1, so that the same
windows lead back and nothing is lost. No network is asked, so what changes is the statistics' doing alone.
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
from normviz.core.errors import check_keywords
from normviz.explorer.svg.palette import HIGH, LOW, MIDDLE, hexed
from normviz.functions.normalize import normalize
from normviz.functions.reduce import moments
from normviz.labs import checks, look
from normviz.samples import PHOTOGRAPHS, photographs

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
STYLES = (1, 2, 6)
SCALES, ORIENTATIONS = 3, 4
EPS = 1e-12
"""Far below the variance of the faintest feature."""


@dataclass(frozen=True)
class Style:
    """A photograph in the styles of others.

    Attributes
    ----------
    content, styles
        Which photographs.
    alphas
        How much of the style each picture has.
    images
        (styles, alphas, 3, 64, 64), from 0 to 1 where not clipped.
    conditional
        (styles, 3, 64, 64): by conditional Instance Norm, whose tables hold the styles' deviations and means.
    grams
        "content" (K, K), "style", "result" and "conditional" (styles, K, K): means of products of features, of AdaIN's
        result at alpha = 1.
    contrast
        "before", "instance", "batch": (8,), the deviation of each photograph's features, as the mean over them.
    reconstruction
        The largest error of there and back.
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
        # From 0 to 1 over an octave; sine and cosine keep the squares' sum.
        turn = np.clip(octave + scale, -1, 0) + 1
        high, lower = low * np.sin(turn * np.pi / 2), low * np.cos(turn * np.pi / 2)
        # cos^6 at 4 angles sums to 5/4: an angle and its opposite get the same, which keeps the features real.
        found += [high * np.abs(np.cos(angle - k * np.pi / ORIENTATIONS)) ** 3 / 1.25**0.5 for k in range(ORIENTATIONS)]
        low = lower
    found = np.stack([low, *found])
    # The frequency of half a turn a pixel is its own opposite in one axis only; evening it out keeps all real.
    flipped = np.roll(found[:, ::-1, ::-1], 1, axis=(1, 2))
    even = np.sqrt((found**2 + flipped**2) / 2)
    return even / np.sqrt((even**2).sum(axis=0))


def features(images: np.ndarray) -> np.ndarray:
    """Return the features of images, (N, 3, S, S), as (N, 39, S, S)."""
    spectrum = np.fft.fft2(images)[:, :, None] * windows(images.shape[-1])
    return np.fft.ifft2(spectrum).real.reshape(len(images), -1, *images.shape[2:])


def invert(found: np.ndarray) -> np.ndarray:
    """Return the images with these features."""
    N, S = len(found), found.shape[-1]
    return np.fft.ifft2((np.fft.fft2(found.reshape(N, 3, -1, S, S)) * windows(S)).sum(axis=2)).real


def gram(found: np.ndarray) -> np.ndarray:
    """Return the means of products of features, (N, K, K)."""
    flat = found.reshape(*found.shape[:2], -1)
    return flat @ flat.transpose(0, 2, 1) / flat.shape[2]


@check_keywords
def measure(content: int = 0, styles: Any = STYLES, *, alphas: Any = ALPHAS) -> Style:
    """Put the statistics of some photographs into another.

    Parameters
    ----------
    content
        Which of the eight photographs, 0 to 7.
    styles
        Some of them; one picture each.
    alphas
        From 0, the content as it is, to 1, the style whole.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> found = measure(0, [1], alphas=[0.5, 1.0])
    >>> found.images.shape, bool(np.allclose(found.images[0, 1], found.conditional[0]))
    ((1, 2, 3, 64, 64), True)
    """
    content = checks.whole(content, "content", 0, 7)
    styles = tuple(checks.whole(s, "style", 0, 7) for s in checks.several(styles, "styles", "(1, 2)"))
    alphas = checks.several(alphas, "alphas", "(0, 1)")
    pictures = photographs() / 255
    every = features(pictures)
    x = every[[content]]
    changed = [[relatives.adain(x, every[[s]], alpha=a, eps=EPS) for a in alphas] for s in styles]
    whole = np.concatenate([relatives.adain(x, every[[s]], eps=EPS) for s in styles])
    found = moments(every[list(styles)]).pool("instance")
    tables: dict[str, Any] = {"weight": np.sqrt(found.var + EPS), "bias": found.mean}
    chosen = relatives.conditional_instance(np.repeat(x, len(styles), 0), np.arange(len(styles)), eps=EPS, **tables)

    def deviation(y: np.ndarray) -> np.ndarray:
        return y.std(axis=(2, 3)).mean(axis=1)

    return Style(
        content,
        styles,
        alphas,
        np.stack([np.stack([invert(y)[0] for y in row]) for row in changed]),
        invert(chosen),
        {
            "content": gram(x)[0],
            "style": gram(every[list(styles)]),
            "result": gram(whole),
            "conditional": gram(chosen),
        },
        {"before": deviation(every)} | {m: deviation(normalize(every, m, eps=EPS)) for m in ("instance", "batch")},
        float(np.abs(invert(every) - pictures).max()),
    )


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
def figure(content: int = 0, styles: Any = STYLES, *, alphas: Any = ALPHAS, width: int = 900) -> go.Figure:
    """Draw the content in a style by AdaIN and by conditional Instance Norm, Gram matrices and contrast.

    Buttons choose the style, the slider AdaIN's alpha.

    Arguments are those of `measure`, and `width` in pixels, at least 320.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> [button.label for button in figure().layout.updatemenus[0].buttons]
    ['coffee', 'brick', 'grass']
    """
    width = checks.width(width)
    found = measure(content, styles, alphas=alphas)
    pictures, k = photographs() / 255, len(found.styles)
    wide = width >= look.NARROW
    # Where the content, both results and the style stand; their Gram matrices come `under` rows below.
    places, under = ([(1, 1), (1, 2), (1, 3), (1, 4)], 1) if wide else ([(1, 1), (2, 1), (2, 2), (1, 2)], 2)
    rows, cols = (3, 4) if wide else (5, 2)
    names = {"content": "its Gram", "AdaIN": "at alpha = 1", "conditional IN": "its Gram", "style": "its Gram"}
    titles = dict(zip(places, names, strict=True))
    titles |= {(row + under, col): gram for (row, col), gram in zip(places, names.values(), strict=True)}
    chart = make_subplots(
        rows=rows, cols=cols, vertical_spacing=0.09 if wide else 0.055, horizontal_spacing=0.03 if wide else 0.06,
        specs=[*[[{}] * cols] * (rows - 1), [{"colspan": cols}, *[None] * (cols - 1)]],
        subplot_titles=[titles[r, c] for r in range(1, rows) for c in range(1, cols + 1)]
        + ["contrast of each photograph"],
    )  # fmt: skip
    scale = [[0, hexed(LOW)], [0.5, hexed(MIDDLE)], [1, hexed(HIGH)]]
    detail = np.flatnonzero(np.arange(len(found.grams["content"])) % (SCALES * ORIENTATIONS + 1))

    def shown(g: np.ndarray) -> list:
        g = g[np.ix_(detail, detail)]  # beside the brightness in the low passes nothing else would be seen
        return (np.sign(g) * np.sqrt(np.abs(g) / np.abs(g).max())).round(2).tolist()

    def draw(source: np.ndarray, g: np.ndarray, place: tuple[int, int], visible: bool = True) -> None:
        (row, col), look = place, {"colorscale": scale, "zmid": 0, "showscale": False}
        chart.add_image(source=png(source), visible=visible, row=row, col=col)
        chart.add_heatmap(z=shown(g), visible=visible, **look, row=row + under, col=col)

    draw(pictures[found.content], found.grams["content"], places[0])
    for j, s in enumerate(found.styles):
        three = (found.images[j, -1], "result"), (found.conditional[j], "conditional"), (pictures[s], "style")
        for (image, key), place in zip(three, places[1:], strict=True):
            draw(image, found.grams[key][j], place, j == 0)
    for (key, name), colour in zip(
        {"before": "before", "instance": "Instance Norm", "batch": "Batch Norm"}.items(),
        ("grey", "green", "blue"), strict=True,
    ):  # fmt: skip
        y = (found.contrast[key] / found.contrast[key].mean()).round(4).tolist()
        chart.add_bar(x=list(PHOTOGRAPHS), y=y, name=name, marker_color=look.COLOURS[colour], row=rows, col=1)
    # The content has two traces, and so has each of a style's three pictures.
    results = [2 + 6 * j for j in range(k)]
    steps = [
        look.step(f"{a:g}", {"source": [png(found.images[j, i]) for j in range(k)]}, results)
        for i, a in enumerate(found.alphas)
    ]
    switch = [
        look.step(PHOTOGRAPHS[s], {"visible": [i // 6 == j for i in range(6 * k)]}, range(2, 2 + 6 * k))
        for j, s in enumerate(found.styles)
    ]
    for row, col in places:
        for at, last in ((row, pictures.shape[-1] - 0.5), (row + under, len(detail) - 0.5)):
            flat = {"showticklabels": False, "ticks": "", "showgrid": False, "row": at, "col": col}
            chart.update_xaxes(range=[-0.5, last], **flat)
            chart.update_yaxes(range=[last, -0.5], **flat)
    chart.update_yaxes(title_text="mean = 1", row=rows, col=1)
    chart.update_layout(
        updatemenus=[look.buttons(switch, "Style")], sliders=[look.slider(steps, "alpha = ", len(steps) - 1)]
    )
    return look.finish(
        chart,
        "Style as statistics: AdaIN without a network",
        "AdaIN gives the content’s 39 features (3 colours × an oriented pyramid of 13) the means and deviations of the "
        "style’s, and goes back to pixels. Conditional Instance Norm reads them from a table instead, one row a style: "
        "with these numbers in it the button picks the row, and the picture is AdaIN’s at alpha = 1. "
        f"There and back alone is off by {found.reconstruction:.0e}. Gram matrices hold the products of "
        "features, here without the low passes and coloured by their roots. Below: Instance "
        "Norm makes every photograph’s contrast the same, Batch Norm keeps which is strong and which is faint.",
        "A photograph, the same with the colours and contrasts of another, by AdaIN and by conditional Instance Norm, "
        "which agree, and that other; under each its Gram matrix; "
        "bars of contrast before and after Instance Norm, all equal, and Batch Norm, still different.",
        width=width,
        height=700 if wide else 900,
        subplot_titles=True,
    )
