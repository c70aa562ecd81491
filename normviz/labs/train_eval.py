"""Running against batch statistics: how they converge, and how training and inference differ through depth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords
from normviz.functions.normalize import normalize
from normviz.functions.running import RunningStatistics
from normviz.labs import input_checks

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
    """Draw the means of batches and the running means over the steps, and the gap through depth; a slider chooses N.

    Arguments and errors are those of `measure`. `width` is in pixels; `presenter` makes a figure for a projector.

    >>> [step.label for step in figure(steps=5, depth=2).layout.sliders[0].steps]
    ['2', '4', '8', '16', '32']
    """
    room = chart.room(width, presenter)
    result = measure(x, batch_sizes=batch_sizes, momenta=momenta, steps=steps, depth=depth, channel=channel, seed=seed)
    c = result.channel
    titles = [f"Mean of channel {c} (dots: batches)", "Inference against training"]
    drawing, places = chart.panels(titles, room, gap=0.1)
    every, layers = list(range(1, steps + 1)), list(range(1, depth + 1))
    names = [f"momentum {m:g}" for m in result.momenta]
    colours, grey = ("blue", "orange", "green", "pink", "red"), chart.COLOURS["grey"]
    # The noisy line of a large momentum is drawn first and thin, so that it covers no other.
    order = sorted(range(len(names)), key=lambda m: -result.momenta[m])
    widths = {m: 1.5 + rank / 2 for rank, m in enumerate(order)}
    styles = [chart.line(m, colours[m % len(colours)], size=9, line_width=widths[m]) for m in range(len(names))]
    dots = {"size": 4, "color": grey, "opacity": 0.6}
    drawing.add_scatter(x=every, mode="markers", marker=dots, name="each batch", showlegend=False, **places[0])
    for m in order:
        line = styles[m]["line"] | {"dash": "solid"}
        drawing.add_scatter(x=every, mode="lines", line=line, name=names[m], **places[0])
    straight = {"width": 2, "color": grey, "dash": "dash"}
    drawing.add_scatter(x=every, mode="lines", line=straight, name="all the data", **places[0])
    for name, style in zip(names, styles, strict=True):
        drawing.add_scatter(x=layers, name=name, **style, **places[1])
    running = result.running_mean
    low = min(0, float(min(result.batch_mean.min(), running.min())))
    high = float(max(np.quantile(result.batch_mean, 0.995), running.max(), result.data_mean))
    drawing.update_xaxes(title_text="step", **places[0])
    drawing.update_yaxes(title_text="units of x", range=[low * 1.08, high * 1.08 or 1], **places[0])
    drawing.update_xaxes(title_text="layer", tickvals=layers[:: 1 + depth // 10], **places[1])
    highest = float(result.gap.max()) * 1.08 or 1
    drawing.update_yaxes(title_text="gap (std of outputs)", range=[0, highest], **places[1])

    def step(b: int) -> dict[str, Any]:
        data = np.full(steps, result.data_mean)
        lines = [result.batch_mean[b], *(running[b, m] for m in order), data, *result.gap[b]]
        changed = {"y": [chart.rounded(values) for values in lines]}
        return chart.step(str(result.batch_sizes[b]), changed, range(len(lines)), title__text=_finding(result, b))

    chart.add_slider(drawing, [step(b) for b in range(len(result.batch_sizes))], "Batch size N = ")
    first, second = range(1, len(names) + 2), range(len(names) + 2, 2 * len(names) + 2)
    return chart.finish(
        drawing, _finding(result, 0),
        "Training normalizes by each batch (dots), inference by the running statistics (lines; a mean starts at 0). "
        "With a small momentum they converge slowly, with a large one they stay noisy. The gap: root mean square "
        f"difference of the two modes on the same batches after {steps} steps, through {depth} layers of Batch Norm, "
        "ReLU and fixed random 1 × 1 weights. Measured here.",
        "Two charts. Over the steps, the mean of each batch scatters around that of all the data, and lines of "
        "running means approach it, one per momentum. Over depth, the difference between inference and training. A "
        "slider chooses the batch size: larger batches scatter less and have a smaller gap.",
        room=room, height=(300, 600),
        ends=[chart.Ends(first), chart.Ends(second, [f"{m:g}" for m in result.momenta])],
    )  # fmt: skip


def _finding(result: TrainEval, b: int) -> str:
    """Say how far inference is from training at a batch size, with the momentum nearest to the usual 0.1."""
    m = min(range(len(result.momenta)), key=lambda m: abs(result.momenta[m] - 0.1))
    depth = result.gap.shape[2]
    return (
        f"Batches of {result.batch_sizes[b]}, momentum {result.momenta[m]:g}: "
        f"inference is {result.gap[b, m, -1]:.2g} standard deviations from training at layer {depth}"
    )
