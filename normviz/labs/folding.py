"""Batch Norm folded into the convolution before it: the same output for less work. Group Norm cannot be folded.

At inference Batch Norm is a * y + b with a and b fixed for each channel, which the convolution's weights and bias can
include. Group Norm's a and b depend on the sample: folded for one sample, they are wrong for the next.

`measure` computes outputs with NumPy. `measure_cost` times PyTorch's layers on the reader's machine, and `recorded`
loads such times that are part of the package. `python -m normviz.labs.folding` records them again.
"""

import json
import platform
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz import atomic_write
from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.functions.normalize import normalize
from normviz.functions.reduce import moments
from normviz.labs import input_checks
from normviz.samples import photographs

EPS = 1e-5
# A thread's own time excludes other programs; on Windows its resolution is too low.
CLOCK = time.thread_time if sys.platform in ("linux", "darwin") else time.perf_counter
MAX_DOTS, MAX_SAMPLES = 200, 8
"""Cells of a sample, and samples, that the figure draws at most."""
CHANNELS = (3, 8, 16, 32, 64, 128, 256)
COUT, SIZE, GROUPS = 64, 56, 32
"""What is timed: a 3 x 3 convolution of one sample from Cin channels to COUT maps of SIZE x SIZE."""


@dataclass(frozen=True)
class Folding:
    """Outputs with and without folding.

    Attributes
    ----------
    outputs
        Four (N, C, H, W) arrays: "batch", "batch folded", "group", "group folded".
    errors
        "batch" and "group": for each sample the largest difference between folded and true output, (N,).
    """

    outputs: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]


@dataclass(frozen=True)
class Cost:
    """What a normalizer after a convolution costs, by the number of input channels Cin.

    Attributes
    ----------
    channels
        (K,) the numbers of input channels.
    seconds
        (K,) median time of the convolution alone.
    extra
        "batch", "group" and "folded": for each Cin the quartiles of the extra time, as shares of the convolution's
        time in the same round, (K, 3).
    rounds, machine
        Number of rounds, and PyTorch's version, the processor and the number of threads.
    """

    channels: tuple[int, ...]
    seconds: tuple[float, ...]
    extra: dict[str, tuple[tuple[float, float, float], ...]]
    rounds: int
    machine: str


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
    kernel: Any, mean: Any, var: Any, *, conv_bias: Any = None, weight: Any = None, bias: Any = None, eps: float = EPS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel (Cout, Cin, k, k) and the bias (Cout,) of one convolution that includes Batch Norm.

    With a = weight / sqrt(var + eps), the kernel is a * w and the bias is bias + a * (conv_bias - mean), where
    conv_bias is the convolution's own bias, and mean and var are those of its output, bias included. PyTorch:
    torch.nn.utils.fusion.fuse_conv_bn_weights.

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
    given = {"mean": mean, "var": var, "weight": 1 if weight is None else weight}
    given |= {name: 0 if value is None else value for name, value in (("bias", bias), ("conv_bias", conv_bias))}
    for name, value in given.items():
        if np.shape(value) not in ((), (Cout,)):
            needed = f"a kernel of Cout={Cout} folds with ({Cout},), one value per filter"
            raise ValueError(f"{name} has shape {np.shape(value)}; {needed}")
        if not np.isfinite(value).all() or (name == "var" and np.min(value) < 0):
            raise ValueError(f"{name} holds a value that is {'below 0 or ' if name == 'var' else ''}not finite")
    scale = np.broadcast_to(given["weight"] / np.sqrt(np.asarray(var, dtype=np.float64) + eps), (Cout,))
    shift = np.asarray(given["conv_bias"], dtype=np.float64) - mean
    return kernel * scale[:, None, None, None], given["bias"] + scale * shift


@check_keywords
def measure(x: Any = None, *, num_channels: int = 8, num_groups: int = 4, seed: int = 0) -> Folding:
    """Convolve x with a bias, normalize, and do the same with folded weights.

    Parameters
    ----------
    x
        (N, Cin, H, W), N >= 2; None takes the eight photographs, from 0 to 1.
    num_channels, num_groups
        Filters of the 3 x 3 convolution, and groups of its Group Norm.
    seed
        Seed of the filters, their bias, and the normalizer's weight and bias.

    Raises
    ------
    ValueError, TypeError
        If x is not of this shape or has values that do not fit, or num_groups does not divide num_channels.

    Examples
    --------
    >>> found = measure()
    >>> bool(found.errors["batch"].max() < 1e-12 < found.errors["group"][1:].min())
    True
    """
    x = photographs() / 255 if x is None else input_checks.tensor(x, least=2)
    if x.ndim != 4 or min(x.shape[2:]) < 4:
        raise ValueError(f"x has shape {x.shape}; folding needs (N, Cin, H, W) with N >= 2 and maps of 4 x 4 or more")
    num_channels = input_checks.whole(num_channels, "num_channels", 1)
    random = np.random.default_rng(input_checks.seed(seed))
    kernel = random.normal(size=(num_channels, x.shape[1], 3, 3)) / 3
    conv_bias, weight, bias = 0.2 * random.normal(size=(3, num_channels))
    affine = {"weight": 1 + weight, "bias": bias, "eps": EPS}
    y = convolve(x, kernel, conv_bias)
    maps = moments(y)
    batch, groups = maps.pool("batch"), maps.pool("group", num_groups=num_groups)
    # Group Norm is folded with the statistics of the first sample.
    first = [np.repeat(s[0], num_channels // num_groups) for s in (groups.mean, groups.var)]
    folded = {"batch": (batch.mean, batch.var), "group": first}
    outputs = {
        "batch": normalize(y, "batch", statistics=batch, **affine),
        "group": normalize(y, "group", num_groups=num_groups, **affine),
    }
    for method, statistics in folded.items():
        outputs[f"{method} folded"] = convolve(x, *fold(kernel, *statistics, conv_bias=conv_bias, **affine))
    errors = {m: np.abs(outputs[f"{m} folded"] - outputs[m]).max(axis=(1, 2, 3)) for m in folded}
    return Folding(outputs, errors)


@check_keywords
def measure_cost(*, channels: Iterable[int] = CHANNELS, rounds: int = 60) -> Cost:
    """Time a convolution of PyTorch's alone, followed by Batch Norm or Group Norm, and with folded weights.

    One sample, 64 filters of 3 x 3 with a bias, maps of 56 x 56, float32, one thread; in each round every layer is
    timed once, so that a busy moment of the machine affects them all.

    Parameters
    ----------
    channels
        Numbers of input channels.
    rounds
        Number of timings of each, at least 1.

    Raises
    ------
    ImportError
        Without PyTorch, with the command that installs it.
    ValueError, TypeError
        If a number is not a whole number within its range.
    """
    given = input_checks.several(channels, "channels", "(3, 64)")
    channels = tuple(input_checks.whole(Cin, "channels", 1, 4096) for Cin in given)
    rounds = input_checks.whole(rounds, "rounds", 1)
    try:
        import torch
    except ImportError:
        raise ImportError('timing needs torch: pip install "normviz[torch]"; recorded() does not') from None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            timed = [_rounds(_layers(torch, Cin), rounds) for Cin in channels]
    finally:
        torch.set_num_threads(threads)
    alone = [times["alone"] for times in timed]
    extra = {
        name: tuple(tuple(np.quantile(times[name] / times["alone"] - 1, (0.25, 0.5, 0.75)).tolist()) for times in timed)
        for name in ("batch", "group", "folded")
    }
    machine = f"PyTorch {torch.__version__.split('+')[0]}, one CPU thread ({platform.machine()})"
    return Cost(channels, tuple(float(np.median(t)) for t in alone), extra, rounds, machine)


def _layers(torch: Any, Cin: int) -> dict[str, Callable[[], Any]]:
    """Return what is timed, ready to run."""
    nn = torch.nn
    x = torch.randn(1, Cin, SIZE, SIZE)
    convolution, batch = nn.Conv2d(Cin, COUT, 3, padding=1).eval(), nn.BatchNorm2d(COUT).eval()
    folded = nn.utils.fusion.fuse_conv_bn_eval(convolution, batch)
    group = nn.GroupNorm(GROUPS, COUT)
    return {
        "alone": lambda: convolution(x),
        "batch": lambda: batch(convolution(x)),
        "group": lambda: group(convolution(x)),
        "folded": lambda: folded(x),
    }


def _rounds(layers: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Return the seconds of each layer in each round, (rounds,)."""

    def seconds(layer: Callable[[], Any], times: int) -> float:
        start = CLOCK()
        for _ in range(times):
            layer()
        return max(CLOCK() - start, 1e-9) / times

    # The first calls prepare the layers; then each timing lasts a few milliseconds.
    slowest = max(seconds(layer, 2) for layer in layers.values())
    times = max(1, round(0.004 / slowest))
    found = np.array([[seconds(layer, times) for layer in layers.values()] for _ in range(rounds)])
    return dict(zip(layers, found.T, strict=True))


def recorded() -> Cost:
    """Return the times that are part of normviz, on one core of a server that had other work too.

    >>> recorded().channels
    (3, 8, 16, 32, 64, 128, 256)
    """
    stored = json.loads((files("normviz.labs") / "folding.json").read_text())
    extra = {name: tuple(map(tuple, rows)) for name, rows in stored.pop("extra").items()}
    return Cost(**stored | {"channels": tuple(stored["channels"]), "seconds": tuple(stored["seconds"]), "extra": extra})


def record(path: Path | None = None, **options: Any) -> None:
    """Write the result of `measure_cost` to `path` or to the file that `recorded` reads."""
    found = asdict(measure_cost(**options))
    found["seconds"] = [float(f"{s:.4g}") for s in found["seconds"]]
    found["extra"] = {name: [[round(v, 4) for v in row] for row in rows] for name, rows in found["extra"].items()}
    atomic_write.write(path or Path(__file__).parent / "folding.json", json.dumps(found) + "\n")


@check_keywords
def figure(
    x: Any = None, *, num_channels: int = 8, num_groups: int = 4, seed: int = 0, cost: Cost | None = None,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw the folded output against the true one for the slider's sample, and what not folding costs.

    Arguments are those of `measure`, and the errors are the same too.

    Parameters
    ----------
    x, num_channels, num_groups, seed
        As in `measure`.
    cost
        A result of `measure_cost`; None takes the recorded times.
    width, presenter
        Pixels, at least 320; and whether the figure is for a projector.

    Examples
    --------
    >>> len(figure().layout.sliders[0].steps)
    8
    """
    room = chart.room(width, presenter)
    result = measure(x, num_channels=num_channels, num_groups=num_groups, seed=seed)
    cost = recorded() if cost is None else cost
    if not isinstance(cost, Cost):
        raise TypeError(f"cost must be what measure_cost() returns, or None, not {type(cost).__name__}")
    titles = ["Batch Norm, folded", f"Group Norm, G = {num_groups}", "Time of not folding"]
    drawing, places = chart.panels(titles, room, gap=0.1, stacked_gap=0.13)
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
    names = {"group": ("Group", "pink"), "batch": ("Batch", "blue"), "folded": ("folded", "grey")}
    for k, (key, (name, colour)) in enumerate(names.items()):
        low, middle, high = 100 * np.array(cost.extra[key]).T
        bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 3, "array": chart.rounded(high - middle)}
        drawing.add_scatter(
            x=list(cost.channels), y=chart.rounded(middle, 3), name=name,
            error_y=bars | {"arrayminus": chart.rounded(middle - low)},
            hovertemplate="Cin = %{x}: %{y:.3g} % more time", **chart.line(k, colour), **places[2],
        )  # fmt: skip

    def step(n: int) -> dict[str, Any]:
        true, folded = ([dots[method + way][n].round(4).tolist() for method in methods] for way in ("", " folded"))
        batch, group = (result.errors[method][n] for method in methods)
        layout = {
            "xaxis__title__text": f"true output<br>off by {batch:.0e}",
            "xaxis2__title__text": f"true output<br>off by {group:.2g}"
            if n
            else "true output<br>its own sample: exact",
        }
        return chart.step(str(n), {"x": true, "y": folded}, [0, 1], **layout)

    for place in places[:2]:
        drawing.update_xaxes(range=span, title_standoff=2, **place)
        drawing.update_yaxes(range=span, **place)
    drawing.update_xaxes(title_text="input channels", type="log", **chart.ticks(cost.channels[::2]), **places[2])
    drawing.update_yaxes(title_text="output with folded weights", **places[0])
    quartiles = 100 * np.concatenate([*cost.extra.values()])
    drawing.update_yaxes(title_text="extra time (%)", range=[1.1 * quartiles.min(), 1.1 * quartiles.max()], **places[2])
    # On sample 0 both agree, so the next one is shown first.
    steps = [step(n) for n in range(min(N, MAX_SAMPLES))]
    chart.add_slider(drawing, steps, "Folded for sample 0; shown: sample ", 1)
    first, last = (100 * row[1] for row in (cost.extra["batch"][0], cost.extra["batch"][-1]))
    Cin = cost.channels
    return chart.finish(
        drawing, _finding(result),
        "At inference Batch Norm computes a · y + b, with a and b fixed for each channel: a = γ / √(σ² + ε). The "
        "convolution can do the same: filters times a, and the bias β + a · (its own bias − μ). Group Norm’s a and b "
        "depend on the sample, so folded for sample 0 they are wrong for all others. "
        f"Right: a separate Batch Norm takes {first:.0f} % more time than the convolution alone at {Cin[0]} input "
        f"channels and {last:.0f} % at {Cin[-1]}. Its work does not depend on the input channels, the "
        "convolution’s does. "
        f"Medians of {cost.rounds} rounds, bars: the middle half; {COUT} filters of 3 × 3, maps of {SIZE} × {SIZE}, "
        f"{cost.machine}. Drawn on the left: {min(MAX_DOTS, cells)} of {cells} cells.",
        "Two scatter plots of outputs with folded weights against true outputs: for Batch Norm all dots lie on the "
        "diagonal, for Group Norm only those of sample 0 do. Beside them, the extra time of a separate Batch Norm or "
        "Group Norm, in percent of the convolution’s, which falls with the number of input channels; folded it is 0.",
        # The titles of the axes have two lines.
        room=room, height=(300, 860), axis=chart.AXIS + chart.LINE, ends=[chart.Ends([4, 5, 6])],
    )  # fmt: skip


def _finding(result: Folding) -> str:
    """Say what folding does to the outputs for this x."""
    wrong = result.errors["group"][1:].max()
    if wrong < 1e-9:
        return "Here folding is exact for both: all samples have the same group statistics"
    return f"Folded, Batch Norm stays exact; Group Norm is off by up to {wrong:.2g} on other samples"


if __name__ == "__main__":
    record()
