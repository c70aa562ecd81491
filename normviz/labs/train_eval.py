"""Running against batch statistics: how they converge, and how training and inference differ through depth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.functions.normalize import normalize
from normviz.functions.running import RunningStatistics
from normviz.labs import chart, input_checks

BATCH_SIZES = (2, 4, 8, 16, 32)
MOMENTA = (0.01, 0.1, 0.5)


@dataclass(frozen=True, eq=False)
class TrainEval:
    """Running statistics during training, and the difference between inference with them and training.

    Attributes
    ----------
    batch_sizes, momenta
        (B,) values of N and (M,) momenta, the weight of the newest batch as in PyTorch.
    channel
        The channel of the statistics below.
    batch_mean, batch_var
        (B, T) mean and biased variance of the batch of each step, in units of x and of x squared.
    running_mean, running_var
        (B, M, T) running mean and unbiased running variance after every step; they start at 0 and 1.
    data_mean, data_var
        Mean and biased variance of all the data.
    gap
        (B, M, L) root mean square difference between the outputs of layers 1 to L in inference and in training, for the
        same batches of N, in units of the standard deviation of a normalized value. All layers of a stack are in the
        same mode.
    """

    batch_sizes: tuple[int, ...]
    momenta: tuple[float, ...]
    channel: int
    batch_mean: np.ndarray
    batch_var: np.ndarray
    running_mean: np.ndarray
    running_var: np.ndarray
    data_mean: float
    data_var: float
    gap: np.ndarray


@check_keywords
def measure(
    x: Any = None, *, batch_sizes: Iterable[int] | None = None, momenta: Iterable[float] = MOMENTA, steps: int = 60,
    depth: int = 6, channel: int = 0, seed: int = 0,
) -> TrainEval:  # fmt: skip
    """Update the running statistics of a stack of Batch Norms, then compare inference with training.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 samples; None takes 64 real activations.
    batch_sizes
        Values of N, none larger than the data; None takes 2, 4, ... 32 as far as they are not.
    momenta
        Weights of the newest batch, each from 0 to 1, as in PyTorch.
    steps
        Number of batches; the samples of a batch are drawn without replacement.
    depth
        Number of layers: each is Batch Norm, ReLU and a 1 x 1 convolution with fixed random weights. Nothing is learnt.
    channel, seed
        The channel whose statistics are returned, and the seed of the weights and the batches.

    Raises
    ------
    ValueError, TypeError
        If x is empty, has a NaN or a constant channel, a batch is larger than x, or a momentum is not from 0 to 1.

    Examples
    --------
    >>> result = measure(batch_sizes=[8], steps=5, depth=2)
    >>> result.running_mean.shape, result.gap.shape
    ((1, 3, 5), (1, 3, 2))
    """
    x = input_checks.tensor(x, 64, least=2)
    x = x.reshape(*x.shape[:2], -1)
    C = x.shape[1]
    sizes = input_checks.batch_sizes(batch_sizes, BATCH_SIZES, len(x))
    momenta = tuple(input_checks.number(m, "momentum") for m in input_checks.several(momenta, "momenta", "(0.1, 0.5)"))
    steps, depth = input_checks.whole(steps, "steps", 1), input_checks.whole(depth, "depth", 1)
    channel = input_checks.whole(channel, "channel", 0, C - 1, "a channel of x")
    if x.shape[2] * sizes[0] < 2:
        raise ValueError(f"a batch of N={sizes[0]} has one cell per channel, which has no variance; use a larger batch")
    rng = np.random.default_rng(input_checks.seed(seed))
    weights = [rng.normal(size=(C, C)) * np.sqrt(2 / C) for _ in range(depth - 1)]
    batch, running = np.empty((2, len(sizes), steps)), np.empty((2, len(sizes), len(momenta), steps))
    gap = np.zeros((len(sizes), len(momenta), depth))
    for b, N in enumerate(sizes):
        stacks = [[RunningStatistics(C, momentum=m) for _ in range(depth)] for m in momenta]
        for t in range(steps):
            layers = _train(x[rng.choice(len(x), N, replace=False)], weights)
            for stack in stacks:
                for kept, (layer_input, _) in zip(stack, layers, strict=True):
                    kept.update(layer_input)
            values = layers[0][0][:, channel]
            batch[:, b, t] = values.mean(), values.var()
            running[:, b, :, t] = [[s[0].mean[channel] for s in stacks], [s[0].var[channel] for s in stacks]]
        trials = [x[rng.choice(len(x), N, replace=False)] for _ in range(max(2, 32 // N))]
        for m, stack in enumerate(stacks):
            pairs = [zip(_infer(trial, weights, stack), _train(trial, weights), strict=True) for trial in trials]
            squares = [[((y - trained) ** 2).mean() for y, (_, trained) in layers] for layers in pairs]
            gap[b, m] = np.sqrt(np.mean(squares, axis=0))
    mean, var = (float(of(x[:, channel])) for of in (np.mean, np.var))
    return TrainEval(sizes, momenta, channel, batch[0], batch[1], running[0], running[1], mean, var, gap)


def _train(x: np.ndarray, weights: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the input and the output of every Batch Norm in training mode."""
    layers = [(x, normalize(x, "batch"))]
    for w in weights:
        x = w @ np.maximum(layers[-1][1], 0)
        layers.append((x, normalize(x, "batch")))
    return layers


def _infer(x: np.ndarray, weights: list[np.ndarray], kept: list[RunningStatistics]) -> list[np.ndarray]:
    """Return the output of every Batch Norm in inference, with the running statistics."""
    outputs = [normalize(x, "batch", statistics=kept[0])]
    for w, statistics in zip(weights, kept[1:], strict=True):
        outputs.append(normalize(w @ np.maximum(outputs[-1], 0), "batch", statistics=statistics))
    return outputs


@check_keywords
def figure(
    x: Any = None, *, batch_sizes: Iterable[int] | None = None, momenta: Iterable[float] = MOMENTA, steps: int = 60,
    depth: int = 6, channel: int = 0, seed: int = 0,
    width: int | None = None, presenter: bool = False,
) -> go.Figure:  # fmt: skip
    """Draw running and batch statistics over the steps and the gap through depth; a slider chooses N.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [step.label for step in figure(steps=5, depth=2).layout.sliders[0].steps]
    ['2', '4', '8', '16', '32']
    """
    room = chart.room(width, presenter)
    result = measure(x, batch_sizes=batch_sizes, momenta=momenta, steps=steps, depth=depth, channel=channel, seed=seed)
    c = result.channel
    titles = [f"Mean of channel {c}", f"Variance of channel {c}", "Inference against training"]
    drawing, places = chart.panels(titles, room, gap=0.085)
    ticks, layers = list(range(1, steps + 1)), list(range(1, depth + 1))
    grey, lines = chart.COLOURS["grey"], []
    colours = ("blue", "orange", "green", "pink", "red")
    styles = [chart.line(m, colours[m % len(colours)], size=7) for m in range(len(result.momenta))]
    quantities = (
        ("units of x", result.batch_mean, result.running_mean, result.data_mean),
        ("units of x²", result.batch_var, result.running_var, result.data_var),
    )
    for place, (unit, batch, running, data) in zip(places, quantities, strict=False):
        options = {"x": ticks, "showlegend": place == places[0], **place}
        lines += [batch, *np.moveaxis(running, 1, 0), np.full_like(batch, data)]
        drawing.add_scatter(mode="markers", marker={"size": 4, "color": grey}, name="each batch", **options)
        for momentum, style in zip(result.momenta, styles, strict=True):
            name = f"running, momentum {momentum:g}"
            drawing.add_scatter(mode="lines", line=style["line"], name=name, **options)
        drawing.add_scatter(mode="lines", line={"width": 1.5, "color": grey}, name="all the data", **options)
        drawing.update_xaxes(title_text="step", **place)
        low = min(0, float(min(batch.min(), running.min())))
        high = float(max(np.quantile(batch, 0.995), running.max(), data))
        drawing.update_yaxes(title_text=unit, range=[low, high * 1.08], **place)
    lines += [*np.moveaxis(result.gap, 1, 0)]
    for momentum, style in zip(result.momenta, styles, strict=True):
        drawing.add_scatter(x=layers, name=f"momentum {momentum:g}", showlegend=False, **style, **places[2])
    drawing.update_xaxes(title_text="layer", tickvals=layers[:: 1 + depth // 10], **places[2])
    drawing.update_yaxes(title_text="gap (std of outputs)", range=[0, float(result.gap.max()) * 1.08], **places[2])
    heights = [{"y": [chart.rounded(values[b]) for values in lines]} for b in range(len(result.batch_sizes))]
    moved = [chart.step(str(N), y, range(len(lines))) for N, y in zip(result.batch_sizes, heights, strict=True)]
    chart.add_slider(drawing, moved, "Batch size N = ")
    return chart.finish(
        drawing, "Batch statistics in training, running ones at inference",
        "Training normalizes by each batch (dots), inference by the running statistics (lines; they start at mean 0 "
        "and variance 1). With a small momentum they converge slowly, with a large one they stay noisy. The gap: "
        f"root mean square difference of the two modes on the same batches after {steps} steps, through {depth} "
        "layers of Batch Norm, ReLU and fixed random 1 × 1 weights; it is larger for small batches and grows with "
        "depth. Measured here.",
        "Three charts. Over the steps, the mean and the variance of each batch scatter around those of all the data, "
        "and lines of running statistics approach them, one per momentum. Over depth, the difference between inference "
        "and training. A slider chooses the batch size: larger batches scatter less and have a smaller gap.",
        room=room, height=(300, 800),
    )  # fmt: skip
