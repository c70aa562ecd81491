"""Batch Norm folded into the convolution before it: the same output for less work. Group Norm cannot be folded.

In eval mode Batch Norm is y * a + b with a and b fixed for each channel, which the convolution's weights can include.
Group Norm's a and b depend on the sample: folded with the statistics of one sample, they are wrong for the next.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.explorer.plotly_figure import WIDTH
from normviz.functions.normalize import normalize
from normviz.functions.reduce import moments
from normviz.labs import chart, input_checks
from normviz.samples import photographs

EPS = 1e-5
# A thread's own time excludes other programs; on Windows its resolution is too low.
CLOCK = time.thread_time if sys.platform in ("linux", "darwin") else time.perf_counter
MAX_DOTS, MAX_SAMPLES = 400, 8
"""Cells of a sample, and samples, that the figure draws at most."""


@dataclass(frozen=True)
class Folding:
    """Outputs with and without folding, and their costs.

    Attributes
    ----------
    outputs
        Four (N, C, H, W) arrays: "batch", "batch folded", "group", "group folded".
    errors
        "batch" and "group": for each sample the largest difference between folded and true output, (N,).
    seconds
        "convolution" (alone), "batch", "batch folded" and "group": shortest time of the computing thread in seconds.
    operations
        The same keys: multiplications and additions for each value of the output.
    """

    outputs: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    seconds: dict[str, float]
    operations: dict[str, int]


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Return the correlation of x (N, Cin, H, W) with the kernel (Cout, Cin, k, k), without padding, plus bias (Cout,).

    PyTorch: torch.nn.functional.conv2d(x, kernel, bias).
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
    """Return the kernel (Cout, Cin, k, k) and the bias (Cout,) of one convolution that includes Batch Norm.

    w' = w * weight / sqrt(var + eps) and b' = bias - mean * weight / sqrt(var + eps), as in
    torch.nn.utils.fusion.fuse_conv_bn_eval.

    Raises
    ------
    ValueError
        If an argument does not have one value for each filter, is not finite, or a variance is below 0.

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
            needed = f"a kernel of Cout={Cout} folds with ({Cout},), one value per filter"
            raise ValueError(f"{name} has shape {np.shape(value)}; {needed}")
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
    repeats, seed
        Number of timings, of which the shortest is taken; and seed of the filters, weight and bias.

    Raises
    ------
    ValueError, TypeError
        If x is not of this shape or has values that do not fit, or num_groups does not divide num_channels.

    Examples
    --------
    >>> found = measure(repeats=1)
    >>> bool(found.errors["batch"].max() < 1e-12 < found.errors["group"][1:].min())
    True
    """
    x = photographs() / 255 if x is None else input_checks.tensor(x, least=2)
    if x.ndim != 4 or min(x.shape[2:]) < 4:
        raise ValueError(f"x has shape {x.shape}; folding needs (N, Cin, H, W) with N >= 2 and maps of 4 x 4 or more")
    num_channels = input_checks.whole(num_channels, "num_channels", 1)
    repeats = input_checks.whole(repeats, "repeats", 1)
    random = np.random.default_rng(input_checks.seed(seed))
    kernel = random.normal(size=(num_channels, x.shape[1], 3, 3)) / 3
    weight, bias = 1 + 0.2 * random.normal(size=num_channels), 0.2 * random.normal(size=num_channels)
    y = convolve(x, kernel)
    maps = moments(y)
    batch, groups = maps.pool("batch"), maps.pool("group", num_groups=num_groups)
    affine = {"weight": weight, "bias": bias, "eps": EPS}

    def normalized(y: np.ndarray, method: str) -> np.ndarray:
        fixed = {"statistics": batch} if method == "batch" else {"num_groups": num_groups}
        return normalize(y, method, **fixed, **affine)

    # Group Norm is folded with the statistics of the first sample.
    first = [np.repeat(s[0], num_channels // num_groups) for s in (groups.mean, groups.var)]
    folded = {"batch": fold(kernel, batch.mean, batch.var, **affine), "group": fold(kernel, *first, **affine)}
    outputs = {}
    for method, weights in folded.items():
        outputs |= {method: normalized(y, method), f"{method} folded": convolve(x, *weights)}
    errors = {m: np.abs(outputs[f"{m} folded"] - outputs[m]).max(axis=(1, 2, 3)) for m in ("batch", "group")}
    timed = {
        "convolution": lambda: convolve(x, kernel),
        "batch": lambda: normalized(convolve(x, kernel), "batch"),
        "batch folded": lambda: convolve(x, *folded["batch"]),
        "group": lambda: normalized(convolve(x, kernel), "group"),
    }
    seconds = dict.fromkeys(timed, np.inf)
    for _ in range(repeats):  # in turns, so that a busy moment of the machine affects them all
        for name, function in timed.items():
            start = CLOCK()
            function()
            seconds[name] = min(seconds[name], max(CLOCK() - start, 1e-9))
    products = 2 * kernel[0].size
    # Batch Norm in eval mode subtracts, multiplies and adds; Group Norm's statistics add, subtract, square and add too.
    operations = {"convolution": products - 1, "batch": products + 2, "batch folded": products, "group": products + 6}
    return Folding(outputs, errors, seconds, operations)


@check_keywords
def figure(
    x: Any = None, *, num_channels: int = 8, num_groups: int = 4, repeats: int = 15, seed: int = 0, width: int = WIDTH
) -> go.Figure:
    """Draw the folded output against the true one for the slider's sample, and the cost of each way.

    Arguments are those of `measure`, and `width` in pixels, at least 320; the errors are the same too.

    >>> len(figure(repeats=1).layout.sliders[0].steps)
    8
    """
    width = input_checks.width(width)
    result = measure(x, num_channels=num_channels, num_groups=num_groups, repeats=repeats, seed=seed)
    titles = ["Batch Norm, in eval mode", f"Group Norm, G = {num_groups}", "What each way costs"]
    drawing, places = chart.panels(titles, width, gap=0.1, stacked_gap=0.13)
    N, cells = len(result.outputs["batch"]), result.outputs["batch"][0].size
    chosen = np.sort(np.random.default_rng(0).permutation(cells)[:MAX_DOTS])
    dots = {key: y.reshape(N, -1)[:, chosen] for key, y in result.outputs.items()}
    span = [min(float(y.min()) for y in dots.values()), max(float(y.max()) for y in dots.values())]
    methods = ("batch", "group")
    for method, title, place in zip(methods, titles, places, strict=False):
        drawing.add_scatter(
            mode="markers", name=title, showlegend=False,
            marker={"size": 5, "opacity": 0.6, "color": chart.COLOURS[chart.METHOD_COLOURS[method]]},
            hovertemplate="true %{x:.3f}, folded %{y:.3f}<extra></extra>", **place,
        )  # fmt: skip
    diagonal = {"color": chart.COLOURS["grey"], "width": 1, "dash": "dot"}
    for place in places[:2]:
        drawing.add_scatter(x=span, y=span, mode="lines", line=diagonal, hoverinfo="skip", showlegend=False, **place)
    names = ["alone", "then<br>Batch", "Batch<br>folded", "then<br>Group"]
    relative = {key: seconds / result.seconds["convolution"] for key, seconds in result.seconds.items()}
    drawing.add_bar(
        x=names, y=list(relative.values()), showlegend=False,
        marker={"color": [chart.COLOURS[c] for c in ("grey", "blue", "blue", "pink")],
                "pattern": {"shape": ["", "", "/", ""]}},
        text=[f"{ratio:.2f}<br>{result.operations[key]} op" for key, ratio in relative.items()],
        textposition="outside", textfont={"size": 11},
        hovertemplate="%{y:.2f} times the convolution alone<extra></extra>", **places[2],
    )  # fmt: skip

    def step(n: int) -> dict[str, Any]:
        true, folded = ([dots[method + way][n].round(4).tolist() for method in methods] for way in ("", " folded"))
        batch, group = (result.errors[method][n] for method in methods)
        layout = {
            "xaxis__title__text": f"true output<br>folded is off by {batch:.0e}",
            "xaxis2__title__text": f"true output<br>folded is off by {group:.2g}",
        }
        return chart.step(str(n), {"x": true, "y": folded}, [0, 1], **layout)

    for place in places[:2]:
        drawing.update_xaxes(range=span, title_standoff=2, **place)
        drawing.update_yaxes(range=span, **place)
    drawing.update_xaxes(title_text="the convolution", tickangle=0, **places[2])
    drawing.update_yaxes(title_text="with folded weights", **places[0])
    drawing.update_yaxes(title_text="time, convolution = 1", range=[0, 1.25 * max(relative.values())], **places[2])
    # On sample 0 both agree, so the next one is shown first.
    chart.add_slider(drawing, [step(n) for n in range(min(N, MAX_SAMPLES))], "sample ", 1)
    return chart.finish(
        drawing, "Batch Norm folds into the convolution before it, Group Norm does not",
        "In eval mode Batch Norm is a fixed affine map of each channel, so scaled filters and a new bias give the same "
        "output. Group Norm’s map depends on the sample: folded with the statistics of sample 0, it is right for "
        "that sample and wrong for the next. Bars: shortest time of a 3 × 3 convolution with its normalizer in NumPy, "
        "relative to the convolution alone, and the number of operations for each value of the output. "
        f"Drawn: {min(MAX_DOTS, cells)} of {cells} cells.",
        "Two scatter plots of outputs with folded weights against true outputs: for Batch Norm all dots lie on the "
        "diagonal, for Group Norm only those of sample 0 do. Beside them, bars of the time that each takes.",
        # The titles and the names of the bars have two lines.
        width=width, height=(300, 860), axis=chart.AXIS + chart.LINE,
    )  # fmt: skip
