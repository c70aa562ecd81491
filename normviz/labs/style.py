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

from .. import normalization, relatives
from ..errors import check_keywords
from ..explorer.colours import HIGH, LOW, MIDDLE, hexed
from ..merging import moments
from ..samples import PHOTOGRAPHS, photographs
from . import checks, look

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
        "content" (K, K), "style" and "result" (styles, K, K): means of products of features, at alpha = 1.
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
    """
    content = checks.whole(content, "content", 0, 7)
    styles, alphas = tuple(checks.whole(s, "style", 0, 7) for s in styles), tuple(alphas)
    if not styles or not alphas:
        raise ValueError("styles or alphas is empty; give at least one of each")
    pictures = photographs() / 255
    every = features(pictures)
    x = every[[content]]
    changed = [[relatives.adain(x, every[[s]], alpha=a, eps=EPS) for a in alphas] for s in styles]
    whole = np.concatenate([relatives.adain(x, every[[s]], eps=EPS) for s in styles])
    found = moments(every[list(styles)]).pool("instance")
    tables = {"weight": np.sqrt(found.var + EPS), "bias": found.mean}
    chosen = relatives.conditional_instance(np.repeat(x, len(styles), 0), np.arange(len(styles)), eps=EPS, **tables)

    def deviation(y: np.ndarray) -> np.ndarray:
        return y.std(axis=(2, 3)).mean(axis=1)

    return Style(
        content,
        styles,
        alphas,
        np.stack([np.stack([invert(y)[0] for y in row]) for row in changed]),
        invert(chosen),
        {"content": gram(x)[0], "style": gram(every[list(styles)]), "result": gram(whole)},
        {"before": deviation(every)}
        | {m: deviation(normalization.normalize(every, m, eps=EPS)) for m in ("instance", "batch")},
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
    """Draw the content in a style, Gram matrices and contrast; buttons choose the style, the slider alpha.

    Arguments are those of `measure`, and `width` in pixels, at least 320.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.
    """
    width = checks.width(width)
    found = measure(content, styles, alphas=alphas)
    pictures, k = photographs() / 255, len(found.styles)
    chart = make_subplots(
        rows=3, cols=3, specs=[[{}, {}, {}], [{}, {}, {}], [{"colspan": 3}, None, None]], vertical_spacing=0.09,
        subplot_titles=["content", "result", "style", "its Gram", "at alpha = 1", "its Gram",
        "contrast of each photograph"],
    )  # fmt: skip
    scale = [[0, hexed(LOW)], [0.5, hexed(MIDDLE)], [1, hexed(HIGH)]]

    detail = np.flatnonzero(np.arange(len(found.grams["content"])) % (SCALES * ORIENTATIONS + 1))

    def shown(g: np.ndarray) -> list:
        g = g[np.ix_(detail, detail)]  # beside the brightness in the low passes nothing else would be seen
        return (np.sign(g) * np.sqrt(np.abs(g) / np.abs(g).max())).round(2).tolist()

    chart.add_image(source=png(pictures[found.content]), row=1, col=1)
    chart.add_heatmap(z=shown(found.grams["content"]), colorscale=scale, zmid=0, showscale=False, row=2, col=1)
    for j, s in enumerate(found.styles):
        for source, col in ((png(found.images[j, -1]), 2), (png(pictures[s]), 3)):
            chart.add_image(source=source, visible=j == 0, row=1, col=col)
        for key, col in (("result", 2), ("style", 3)):
            z = shown(found.grams[key][j])
            chart.add_heatmap(z=z, colorscale=scale, zmid=0, showscale=False, visible=j == 0, row=2, col=col)
    for (key, name), colour in zip(
        {"before": "before", "instance": "Instance Norm", "batch": "Batch Norm"}.items(),
        ("grey", "green", "blue"), strict=True,
    ):  # fmt: skip
        y = found.contrast[key] / found.contrast[key].mean()
        chart.add_bar(x=list(PHOTOGRAPHS), y=y.tolist(), name=name, marker_color=look.COLOURS[colour], row=3, col=1)
    results = [2 + 4 * j for j in range(k)]
    steps = [
        look.step(f"{a:g}", {"source": [png(found.images[j, i]) for j in range(k)]}, results)
        for i, a in enumerate(found.alphas)
    ]
    switch = [
        look.step(PHOTOGRAPHS[s], {"visible": [i // 4 == j for i in range(4 * k)]}, range(2, 2 + 4 * k))
        for j, s in enumerate(found.styles)
    ]
    for n in range(1, 7):
        name = "" if n == 1 else str(n)
        last = 63.5 if n < 4 else len(detail) - 0.5
        flat = {"showticklabels": False, "ticks": "", "showgrid": False}
        chart.update_layout(
            {f"xaxis{name}": {**flat, "range": [-0.5, last]}, f"yaxis{name}": {**flat, "range": [last, -0.5]}}
        )
    chart.update_layout(
        yaxis7={"title": {"text": "mean = 1"}},
        updatemenus=[look.buttons(switch)],
        sliders=[look.slider(steps, "alpha = ", len(steps) - 1)],
    )
    return look.finish(
        chart,
        "Style as statistics: AdaIN without a network",
        "AdaIN gives the content’s 39 features (3 colours × an oriented pyramid of 13) the means and deviations of the "
        "style’s, and goes back to pixels. Conditional Instance Norm with these numbers in its table gives the same as "
        f"alpha = 1. There and back alone is off by {found.reconstruction:.0e}. Gram matrices hold the products of "
        "features, here without the low passes and coloured by their roots. Below: Instance "
        "Norm makes every photograph’s contrast the same, Batch Norm keeps which is strong and which is faint.",
        "A photograph, the same with the colours and contrasts of another, and that other; under each its Gram matrix; "
        "bars of contrast before and after Instance Norm, all equal, and Batch Norm, still different.",
        width=width,
        height=760 if width >= look.NARROW else 480,
        subplot_titles=True,
    )
