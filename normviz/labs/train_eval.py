"""Running against batch statistics: how they settle, what inference then gets wrong, and how that grows with depth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.functions.normalize import normalize
from normviz.functions.running import RunningStatistics
from normviz.labs import checks, look

BATCH_SIZES = (2, 4, 8, 16, 32)
MOMENTA = (0.01, 0.1, 0.5)


@dataclass(frozen=True, eq=False)
class TrainEval:
    """What Batch Norm keeps while it trains, and how far inference with it is from training.

    Attributes
    ----------
    batch_sizes, momenta
        (B,) values of N and (M,) momenta, the weight of the newest batch as in PyTorch.
    channel
        Whose statistics are told step by step.
    batch_mean, batch_var
        (B, T) mean and biased variance of every step's batch, in units of x and of x squared.
    running_mean, running_var
        (B, M, T) running mean and unbiased running variance after every step; they start at 0 and 1.
    data_mean, data_var
        Mean and biased variance of all the data.
    gap
        (B, M, L) root mean square difference, in the standard deviation of a normalized value, between what inference
        gives after layer 1 to L and what training does, for the same batches of N. The first is a layer by itself,
        the others have the layers before them in the same mode.
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
    x: Any = None,
    *,
    batch_sizes: Iterable[int] | None = None,
    momenta: Iterable[float] = MOMENTA,
    steps: int = 60,
    depth: int = 6,
    channel: int = 0,
    seed: int = 0,
) -> TrainEval:
    """Train the running statistics of a stack of Batch Norms, then compare inference with training.

    Parameters
    ----------
    x
        Shape (N, C, *spatial), at least 2 samples; None takes 64 real activations.
    batch_sizes
        Values of N, none larger than the data; None takes those of 2, 4 to 32 that are not.
    momenta
        Each from 0 to 1.
    steps
        Batches that are seen, their samples drawn without replacement within a batch.
    depth
        Layers: each is Batch Norm, ReLU and a fixed mixing of the channels at every position (1 x 1 convolution).
        Nothing is learnt; weights stay as drawn.
    channel
        Whose statistics are told.
    seed
        Of the weights and the batches.

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
    x = checks.tensor(x, 64, least=2)
    x = x.reshape(*x.shape[:2], -1)
    C = x.shape[1]
    sizes = checks.batch_sizes(batch_sizes, BATCH_SIZES, len(x))
    momenta = tuple(checks.number(m, "momentum") for m in checks.several(momenta, "momenta", "(0.1, 0.5)"))
    steps = checks.whole(steps, "steps", 1)
    depth, channel = checks.whole(depth, "depth", 1), checks.whole(channel, "channel", 0, C - 1, "a channel of x")
    if x.shape[2] * sizes[0] < 2:
        raise ValueError(f"a batch of N={sizes[0]} has one cell a channel, which has no variance; use a larger batch")
    rng = np.random.default_rng(checks.seed(seed))
    weights = [rng.normal(size=(C, C)) * np.sqrt(2 / C) for _ in range(depth - 1)]
    shape = len(sizes), len(momenta)
    batch = np.empty((2, len(sizes), steps))
    running = np.empty((2, *shape, steps))
    gap = np.zeros((*shape, depth))
    for b, N in enumerate(sizes):
        kept = [[RunningStatistics(C, momentum=m) for _ in range(depth)] for m in momenta]
        for t in range(steps):
            layers = _train(x[rng.choice(len(x), N, replace=False)], weights)
            for stack in kept:
                for one, (inside, _) in zip(stack, layers, strict=True):
                    one.update(inside)
            first = layers[0][0][:, channel]
            batch[:, b, t] = first.mean(), first.var()
            running[:, b, :, t] = [[s[0].mean[channel] for s in kept], [s[0].var[channel] for s in kept]]
        trials = [x[rng.choice(len(x), N, replace=False)] for _ in range(max(2, 32 // N))]
        for m, stack in enumerate(kept):
            squares = [
                [
                    ((a - y) ** 2).mean()
                    for a, (_, y) in zip(_infer(one, weights, stack), _train(one, weights), strict=True)
                ]
                for one in trials
            ]
            gap[b, m] = np.sqrt(np.mean(squares, axis=0))
    whole = x[:, channel]
    return TrainEval(
        sizes,
        momenta,
        channel,
        batch[0],
        batch[1],
        running[0],
        running[1],
        float(whole.mean()),
        float(whole.var()),
        gap,
    )


def _train(x: np.ndarray, weights: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what goes into every Batch Norm and what comes out of it, by the batch's own statistics."""
    layers = [(x, normalize(x, "batch"))]
    for w in weights:
        x = w @ np.maximum(layers[-1][1], 0)
        layers.append((x, normalize(x, "batch")))
    return layers


def _infer(x: np.ndarray, weights: list[np.ndarray], kept: list[RunningStatistics]) -> list[np.ndarray]:
    """Return what comes out of every Batch Norm by the running statistics."""
    outputs = [normalize(x, "batch", statistics=kept[0])]
    for w, one in zip(weights, kept[1:], strict=True):
        outputs.append(normalize(w @ np.maximum(outputs[-1], 0), "batch", statistics=one))
    return outputs


@check_keywords
def figure(
    x: Any = None,
    *,
    batch_sizes: Iterable[int] | None = None,
    momenta: Iterable[float] = MOMENTA,
    steps: int = 60,
    depth: int = 6,
    channel: int = 0,
    seed: int = 0,
    width: int = 900,
) -> go.Figure:
    """Draw running and batch statistics over the steps and the gap through depth; a slider has N.

    Parameters
    ----------
    x, batch_sizes, momenta, steps, depth, channel, seed
        As in `measure`.
    width
        Pixels, of the whole figure; at least 320.

    Examples
    --------
    >>> [step.label for step in figure(steps=5, depth=2).layout.sliders[0].steps]
    ['2', '4', '8', '16', '32']
    """
    width = checks.width(width)
    result = measure(x, batch_sizes=batch_sizes, momenta=momenta, steps=steps, depth=depth, channel=channel, seed=seed)
    narrow = width < look.NARROW
    c = result.channel
    titles = [f"Mean of channel {c}", f"Variance of channel {c}", "Inference against training"]
    drawing = look.panels(3, narrow, titles, gap=0.085)
    at, deep = list(range(1, steps + 1)), list(range(1, depth + 1))
    grey, every = look.COLOURS["grey"], []
    pairs = (
        (result.batch_mean, result.running_mean, result.data_mean),
        (result.batch_var, result.running_var, result.data_var),
    )
    colours = [list(look.COLOURS.values())[k] for k in (0, 1, 2, 3, 5)]
    for panel, (batch, running, whole) in enumerate(pairs):
        place, first = look.place(panel, narrow), panel == 0
        every.append(batch)
        drawing.add_scatter(
            x=at, y=look.rounded(batch[0]), mode="markers", marker={"size": 4, "color": grey}, name="each batch",
            showlegend=first, **place,
        )  # fmt: skip
        for m, momentum in enumerate(result.momenta):
            every.append(running[:, m])
            drawing.add_scatter(
                x=at, y=look.rounded(running[0, m]), mode="lines", name=f"running, momentum {momentum:g}",
                line={"width": 2, "color": colours[m % 5], "dash": look.DASHES[m % 6]}, showlegend=first, **place,
            )  # fmt: skip
        every.append(np.full((len(result.batch_sizes), steps), whole))
        drawing.add_scatter(
            x=at, y=look.rounded(every[-1][0]), mode="lines", line={"width": 1.5, "color": grey}, name="all the data",
            showlegend=first, **place,
        )  # fmt: skip
        drawing.update_xaxes(title_text="step", **place)
        low = min(0, float(min(batch.min(), running.min())))
        high = float(max(np.quantile(batch, 0.995), running.max(), whole))
        drawing.update_yaxes(title_text=("units of x", "units of x²")[panel], range=[low, high * 1.08], **place)
    place = look.place(2, narrow)
    for m, momentum in enumerate(result.momenta):
        every.append(result.gap[:, m])
        drawing.add_scatter(
            x=deep, y=look.rounded(result.gap[0, m]), mode="lines+markers", showlegend=False,
            name=f"momentum {momentum:g}",
            line={"width": 2, "color": colours[m % 5], "dash": look.DASHES[m % 6]},
            marker={"symbol": look.SYMBOLS[m % 6], "size": 7}, **place,
        )  # fmt: skip
    drawing.update_xaxes(title_text="layer", tickvals=deep[:: 1 + depth // 10], **place)
    drawing.update_yaxes(title_text="gap (std of outputs)", range=[0, float(result.gap.max()) * 1.08], **place)
    moved = [
        look.step(str(N), {"y": [look.rounded(values[b]) for values in every]}, range(len(every)))
        for b, N in enumerate(result.batch_sizes)
    ]
    drawing.update_layout(sliders=[look.slider(moved, "Batch size N = ")])
    caption = (
        "Training normalizes by each batch (dots), inference by the running statistics (lines; they start at mean 0 "
        "and variance 1). A small momentum is slow to arrive, a large one keeps the noise. The gap: root mean square "
        f"difference of the two modes on the same batches after {steps} steps, through {depth} layers of Batch Norm, "
        "ReLU and fixed random 1 × 1 weights; a small batch has the larger one, and depth adds to it. Measured here."
    )
    alt = (
        "Three charts. Over the steps, the mean and the variance of each batch scatter around those of all the data, "
        "and lines of running statistics approach them, one a momentum. Over depth, the difference between inference "
        "and training. A slider has the batch size: larger batches scatter less and have a smaller gap."
    )
    title = "Batch statistics in training, running ones at inference"
    height = 800 if narrow else 300
    return look.finish(drawing, title, caption, alt, width=width, height=height, subplot_titles=True)
