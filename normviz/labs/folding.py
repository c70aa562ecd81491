"""Batch Norm folded into the convolution before it: the same output for less work. Group Norm does not fold.

In eval mode Batch Norm is y * a + b with a and b fixed per channel, and so is part of the convolution's weights. Group
Norm's a and b follow from the sample: folded with the statistics of one sample, they are wrong for the next.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normviz.core.errors import check_keywords
from normviz.core.statistics import Statistics
from normviz.functions.normalize import normalize
from normviz.functions.reduce import moments
from normviz.labs import checks, look
from normviz.samples import photographs

EPS = 1e-5
# What else the machine does is no part of the time of a thread; Windows counts that too coarsely.
CLOCK = time.thread_time if sys.platform in ("linux", "darwin") else time.perf_counter
DOTS, SAMPLES = 400, 8
"""Cells of a sample, and samples, that the figure draws at most."""


@dataclass(frozen=True)
class Folding:
    """What folding does to the output, and what each way costs.

    Attributes
    ----------
    outputs
        Four (N, C, H, W) arrays: "batch", "batch folded", "group", "group folded".
    errors
        {"batch": ..., "group": ...}: the largest difference of folded from true output, each as a (N,) array a sample.
    seconds
        {"convolution", "batch", "batch folded", "group"}: shortest time of the convolution alone and with what follows,
        of the thread that computes.
    operations
        The same keys: multiplications and additions a value of the output, counted.
    """

    outputs: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    seconds: dict[str, float]
    operations: dict[str, int]


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Return the correlation of x (N, Cin, H, W) with the kernel (Cout, Cin, k, k), no padding, plus the bias (Cout,).

    As torch.nn.functional.conv2d.
    """
    k = kernel.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))
    N, _, H, W = windows.shape[:4]
    columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * H * W, -1)
    y = columns @ kernel.reshape(len(kernel), -1).T
    if bias is not None:
        y += bias
    return y.reshape(N, H, W, -1).transpose(0, 3, 1, 2)


@check_keywords
def fold(
    kernel: Any, mean: Any, var: Any, *, weight: Any = None, bias: Any = None, eps: float = EPS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel (Cout, Cin, k, k) and the bias (Cout,) that do a convolution and Batch Norm in one.

    w' = w * weight / sqrt(var + eps) and b' = bias - mean * weight / sqrt(var + eps), as in
    torch.nn.utils.fusion.fuse_conv_bn_eval.

    Raises
    ------
    ValueError
        If a statistic has not one value a filter, is not finite, or a variance is below 0.

    Examples
    --------
    >>> kernel, bias = fold(np.ones((1, 1, 3, 3)), mean=2.0, var=3.0, eps=1.0)
    >>> float(kernel[0, 0, 0, 0]), bias.tolist()
    (0.5, [-1.0])
    """
    kernel = np.asarray(kernel, dtype=np.float64)
    if kernel.ndim != 4:
        raise ValueError(f"kernel has shape {kernel.shape}; it needs four axes (Cout, Cin, k, k)")
    Cout = len(kernel)
    given = {"mean": mean, "var": var, "weight": 1 if weight is None else weight, "bias": 0 if bias is None else bias}
    for name, value in given.items():
        if np.shape(value) not in ((), (Cout,)):
            raise ValueError(
                f"{name} has shape {np.shape(value)}; a kernel of Cout={Cout} folds with ({Cout},), one value a filter"
            )
        if not np.isfinite(value).all() or (name == "var" and np.min(value) < 0):
            raise ValueError(f"{name} holds a value that is {'below 0 or ' if name == 'var' else ''}not finite")
    scale = np.broadcast_to(given["weight"] / np.sqrt(np.asarray(var, dtype=np.float64) + eps), (Cout,))
    return kernel * scale[:, None, None, None], given["bias"] - np.asarray(mean, dtype=np.float64) * scale


@check_keywords
def measure(x: Any = None, *, num_channels: int = 8, num_groups: int = 4, repeats: int = 15, seed: int = 0) -> Folding:
    """Convolve x, normalize, and do the same with folded weights.

    Parameters
    ----------
    x
        (N, Cin, H, W), N >= 2; None takes the eight photographs, from 0 to 1.
    num_channels, num_groups
        Filters of the 3 x 3 convolution, and groups of its Group Norm.
    repeats
        Timings of which the shortest is taken, the one least disturbed; 1 for a quick look.
    seed
        Of the filters and of weight and bias.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> found = measure(repeats=1)
    >>> bool(found.errors["batch"].max() < 1e-12 < found.errors["group"][1:].min())
    True
    """
    x = photographs() / 255 if x is None else checks.tensor(x, 0, least=2)
    if x.ndim != 4 or len(x) < 2 or min(x.shape[2:], default=0) < 4:
        raise ValueError(f"x has shape {x.shape}; folding needs (N, Cin, H, W) with N >= 2 and maps of 4 x 4 or more")
    num_channels, repeats = checks.whole(num_channels, "num_channels", 1), checks.whole(repeats, "repeats", 1)
    random = np.random.default_rng(checks.seed(seed))
    kernel = random.normal(size=(num_channels, x.shape[1], 3, 3)) / 3
    weight, bias = 1 + 0.2 * random.normal(size=num_channels), 0.2 * random.normal(size=num_channels)
    y = convolve(x, kernel)
    found = moments(y)
    batch = found.pool("batch")
    affine = {"weight": weight, "bias": bias, "eps": EPS}

    def group(y: np.ndarray) -> np.ndarray:
        return normalize(y, "group", num_groups=num_groups, **affine)

    # The best that can be done: the statistics of the first sample, as if they were everybody's.
    groups = found.pool("group", num_groups=num_groups)
    first = Statistics(
        mean=np.repeat(groups.mean[0], num_channels // num_groups),
        var=np.repeat(groups.var[0], num_channels // num_groups),
        count=groups.count,
    )
    folded = {
        name: fold(kernel, s.mean, s.var, weight=weight, bias=bias) for name, s in (("batch", batch), ("group", first))
    }
    outputs = {
        "batch": normalize(y, "batch", statistics=batch, **affine),
        "batch folded": convolve(x, *folded["batch"]),
        "group": group(y),
        "group folded": convolve(x, *folded["group"]),
    }
    errors = {m: np.abs(outputs[f"{m} folded"] - outputs[m]).max(axis=(1, 2, 3)) for m in ("batch", "group")}
    ways = {
        "convolution": lambda: convolve(x, kernel),
        "batch": lambda: normalize(convolve(x, kernel), "batch", statistics=batch, **affine),
        "batch folded": lambda: convolve(x, *folded["batch"]),
        "group": lambda: group(convolve(x, kernel)),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):  # in turns, so that a busy moment of the machine does not fall on one of them
        for name, way in ways.items():
            start = CLOCK()
            way()
            taken[name].append(max(CLOCK() - start, 1e-9))
    products = 2 * kernel[0].size
    # Batch Norm in eval mode subtracts, multiplies, adds; Group Norm's statistics add, subtract, square and add before.
    operations = {"convolution": products - 1, "batch": products + 2, "batch folded": products, "group": products + 6}
    return Folding(outputs, errors, {name: min(times) for name, times in taken.items()}, operations)


@check_keywords
def figure(
    x: Any = None, *, num_channels: int = 8, num_groups: int = 4, repeats: int = 15, seed: int = 0, width: int = 900
) -> go.Figure:
    """Draw the folded output against the true one, sample by sample, and what each way costs.

    The slider chooses the sample. Arguments are those of `measure`, and `width` in pixels, at least 320.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> len(figure(repeats=1).layout.sliders[0].steps)
    8
    """
    width = checks.width(width)
    found = measure(x, num_channels=num_channels, num_groups=num_groups, repeats=repeats, seed=seed)
    wide = width >= look.NARROW
    N = len(found.outputs["batch"])
    titles = ["Batch Norm, in eval mode", f"Group Norm, G = {num_groups}", "What each way costs"]
    chart = make_subplots(
        **({"cols": 3, "horizontal_spacing": 0.1} if wide else {"rows": 3, "vertical_spacing": 0.13}),
        subplot_titles=titles,
    )
    random = np.random.default_rng(0)
    cells = found.outputs["batch"][0].size
    chosen = np.sort(random.permutation(cells)[:DOTS])
    every = [found.outputs[key].reshape(N, -1)[:, chosen] for key in ("batch", "batch folded", "group", "group folded")]
    low, high = min(float(y.min()) for y in every), max(float(y.max()) for y in every)

    def place(k: int) -> dict[str, int]:
        return {"row": 1, "col": k + 1} if wide else {"row": k + 1, "col": 1}

    def dots(n: int) -> dict[str, list]:
        return {
            axis: [found.outputs[method + how][n].ravel()[chosen].round(4).tolist() for method in ("batch", "group")]
            for axis, how in (("x", ""), ("y", " folded"))
        }

    # On sample 0 both ways agree; the next one shows what the lab is about.
    start = 1
    first = dots(start)
    for k, method in enumerate(("batch", "group")):
        chart.add_scatter(
            x=first["x"][k], y=first["y"][k], mode="markers", name=titles[k], showlegend=False,
            marker={"size": 5, "opacity": 0.6, "color": look.COLOURS[look.METHODS[method]]},
            hovertemplate="true %{x:.3f}, folded %{y:.3f}<extra></extra>", **place(k),
        )  # fmt: skip
    for k in range(2):
        chart.add_scatter(
            x=[low, high], y=[low, high], mode="lines", line={"color": look.COLOURS["grey"], "width": 1, "dash": "dot"},
            hoverinfo="skip", showlegend=False, **place(k),
        )  # fmt: skip
    alone = found.seconds["convolution"]
    names = {
        "convolution": "convolution<br>alone",
        "batch": "then<br>Batch",
        "batch folded": "Batch<br>folded",
        "group": "then<br>Group",
    }
    chart.add_bar(
        x=list(names.values()), y=[found.seconds[key] / alone for key in names], showlegend=False,
        marker={"color": [look.COLOURS[c] for c in ("grey", "blue", "blue", "pink")],
                "pattern": {"shape": ["", "", "/", ""]}},
        text=[f"{found.seconds[key] / alone:.2f}<br>{found.operations[key]} op" for key in names],
        textposition="outside", textfont={"size": 11},
        hovertemplate="%{y:.2f} times the convolution alone<extra></extra>", **place(2),
    )  # fmt: skip
    steps = [
        look.step(
            str(n),
            dots(n),
            [0, 1],
            xaxis__title__text=f"true output<br>folded is off by {found.errors['batch'][n]:.0e}",
            xaxis2__title__text=f"true output<br>folded is off by {found.errors['group'][n]:.2g}",
        )
        for n in range(min(N, SAMPLES))
    ]
    for k, key in enumerate(("xaxis", "xaxis2")):
        title = {"text": steps[start]["args"][1][f"{key}.title.text"], "standoff": 2}
        chart.update_layout(
            {key: {"range": [low, high], "title": title}, f"yaxis{k + 1 if k else ''}": {"range": [low, high]}}
        )
    chart.update_layout(
        yaxis={"title": {"text": "with folded weights"}},
        yaxis3={"title": {"text": "time, convolution = 1"}, "range": [0, 1.25 * max(found.seconds.values()) / alone]},
        sliders=[look.slider(steps, "sample ", start)],
    )
    return look.finish(
        chart,
        "Batch Norm folds into the convolution before it, Group Norm does not",
        "In eval mode Batch Norm is a fixed affine map a channel, so scaled filters and a new bias give the same "
        "output. Group Norm’s map follows from each sample: folded with the statistics of sample 0, it is right for "
        "that sample and wrong for the next. Bars: shortest time of a 3 × 3 convolution in NumPy here and what "
        "follows it, relative to the convolution alone, and the operations counted for a value of the output. "
        f"Drawn: {min(DOTS, cells)} of {cells} cells.",
        "Two scatter plots of outputs with folded weights against true outputs: for Batch Norm all dots lie on the "
        "diagonal, for Group Norm only those of sample 0 do. Beside them bars of the time of each way.",
        width=width,
        height=300 if wide else 860,
        subplot_titles=True,
    )
