"""A small convolutional net on scikit-learn's digits: Batch Norm against Group Norm against no normalizer.

`measure` trains on the reader's machine (about a minute on two cores; needs PyTorch and scikit-learn). `recorded` loads
a run that is part of the package, so that `figure` needs neither. `python -m normviz.labs.training` records it again.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz import atomic_write
from normviz.charts import chart
from normviz.core.errors import check_keywords, unknown
from normviz.labs import input_checks
from normviz.streaming.progress import NoBar

METHODS = {"batch": "Batch Norm", "group": "Group Norm", "none": "no normalizer"}
COLOURS = {"batch": "blue", "group": "pink", "none": "grey"}
BATCH_SIZES = (32, 16, 8, 4, 2)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
RATE, REFERENCE = 0.1, 32
"""The learning rate at a batch of 32; it is proportional to the batch size, as in Wu & He 2018."""
TRAIN = 1297
"""Number of training images; the other 500 of the 1797 are the test images."""
GROUPS = 4
INSTALL = 'pip install "normviz[torch]" scikit-learn'
RECORDED = (
    "In training, Batch Norm uses the statistics of each batch; the test error, with running statistics, hardly "
    "changes on such an easy task. Without a normalizer a learning rate of 0.3 already fails. "
)
"""The result of the recorded run; a test compares it with the numbers."""


@dataclass(frozen=True)
class Run:
    """One training of one net.

    Attributes
    ----------
    method, batch_size, learning_rate, seed
        Settings of the training; the method is "batch", "group" or "none".
    loss
        Mean cross-entropy over the steps of each epoch; None once it is not finite.
    error
        Error on the test images after each epoch, in percent, in eval mode.
    """

    method: str
    batch_size: int
    learning_rate: float
    seed: int
    loss: tuple[float | None, ...]
    error: tuple[float, ...]


@dataclass(frozen=True)
class Training:
    """The runs of a measurement.

    Attributes
    ----------
    runs
        The runs against batch size, then those against learning rate at a batch of 32.
    epochs, seconds
        Passes over the 1297 training images in each run, and total time in seconds.
    machine
        PyTorch's version and the number of threads.
    """

    runs: tuple[Run, ...]
    epochs: int
    seconds: float
    machine: str

    def values(
        self, what: str, method: str, *, batch_size: int = REFERENCE, learning_rate: float | None = None
    ) -> np.ndarray:
        """Return "error" in percent or "loss" of the runs with these settings, (seeds, epochs); NaN if not finite."""
        settings = (method, batch_size, scaled(batch_size) if learning_rate is None else learning_rate)
        runs = [run for run in self.runs if (run.method, run.batch_size, run.learning_rate) == settings]
        return np.array([getattr(run, what) for run in runs], dtype=float)

    @property
    def batch_sizes(self) -> list[int]:
        """The measured batch sizes, from large to small."""
        return sorted({r.batch_size for r in self.runs if r.learning_rate == scaled(r.batch_size)}, reverse=True)

    @property
    def learning_rates(self) -> list[float]:
        """The measured learning rates at a batch of 32."""
        return sorted({r.learning_rate for r in self.runs if r.batch_size == REFERENCE})


def scaled(batch_size: int) -> float:
    """Return the learning rate for a batch size, 0.1 * N / 32.

    >>> scaled(16)
    0.05
    """
    return RATE * batch_size / REFERENCE


@check_keywords
def measure(
    *, methods: Sequence[str] = tuple(METHODS), batch_sizes: Iterable[int] = BATCH_SIZES,
    learning_rates: Iterable[float] = RATES, epochs: int = 4, seeds: int = 1, progress: bool = True,
) -> Training:  # fmt: skip
    """Train the net with every normalizer at every batch size, and at every learning rate.

    Parameters
    ----------
    methods
        Some of "batch", "group" (4 groups) and "none".
    batch_sizes
        Whole numbers from 2 to 1297; the learning rate is 0.1 * N / 32.
    learning_rates
        Positive numbers; each is measured with a batch of 32.
    epochs, seeds
        Passes over the data, and runs of each setting, at least 1. A seed draws the weights and the order of images.
    progress
        Whether to show a progress bar, if tqdm is installed.

    Raises
    ------
    ImportError
        Without PyTorch or scikit-learn, with the command that installs them.
    ValueError, TypeError
        If a method is unknown, a number is outside its range, or there is nothing to train.
    """
    methods = input_checks.several(methods, "methods", '("batch", "group")')
    for method in methods:
        if method not in METHODS:
            raise ValueError(unknown("method", method, METHODS))
    epochs, seeds = input_checks.whole(epochs, "epochs", 1), input_checks.whole(seeds, "seeds", 1)
    sizes = input_checks.several(batch_sizes, "batch_sizes", "(2, 32)", least=0)
    sizes = [input_checks.whole(n, "batch size", 2, TRAIN, "the number of training images") for n in sizes]
    rates = input_checks.several(learning_rates, "learning_rates", "(0.1, 0.3)", least=0)
    rates = [input_checks.number(rate, "learning rate", positive=True, largest=1e30) for rate in rates]
    if not (sizes or rates):
        raise ValueError("nothing to train: give at least one batch size or learning rate")
    torch, data = load()
    # A learning rate that is also that of a batch size is trained once.
    settings = dict.fromkeys([*((size, scaled(size)) for size in sizes), *((REFERENCE, rate) for rate in rates)])
    plan = [(method, *setting, seed) for setting in settings for method in methods for seed in range(seeds)]
    steps = sum(epochs * (TRAIN // size) for _, size, _, _ in plan)
    threads, start = torch.get_num_threads(), perf_counter()
    with progress_bar(steps, progress) as bar:
        # The nets are so small that a second thread costs more than it gains.
        torch.set_num_threads(1)
        try:
            runs = tuple(train(torch, data, *setting, epochs=epochs, bar=bar) for setting in plan)
        finally:
            torch.set_num_threads(threads)
    return Training(runs, epochs, perf_counter() - start, f"PyTorch {torch.__version__.split('+')[0]}, one thread")


def progress_bar(steps: int, progress: bool) -> Any:
    """Return a progress bar of tqdm, or an object that shows nothing."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        progress = False
    return tqdm(total=steps, desc="training", unit="step", mininterval=0.5) if progress else NoBar()


def load() -> tuple[Any, Any]:
    """Return torch, and the digits as tensors: training images, their labels, test images, their labels."""
    try:
        import torch
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            f"training needs {error.name}, which is not installed: {INSTALL}; recorded() needs neither"
        ) from None
    digits: Any = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = torch.tensor(digits.images[order, None] / 8 - 1, dtype=torch.float32)
    labels = torch.tensor(digits.target[order])
    return torch, (images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])


def net(method: str, seed: int = 0) -> Any:
    """Return the net: four 3 x 3 convolutions with 16, 16, 32 and 32 channels, each normalized, down to 2 x 2 maps."""
    torch = load()[0]
    nn = torch.nn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make = {"batch": nn.BatchNorm2d, "group": lambda C: nn.GroupNorm(GROUPS, C), "none": lambda C: nn.Identity()}
        layers, before = [], 1
        for channels, stride in ((16, 1), (16, 2), (32, 1), (32, 2)):
            convolution = nn.Conv2d(before, channels, 3, stride=stride, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, make[method](channels), nn.ReLU()]
            before = channels
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def train(torch: Any, data: Any, method: str, size: int, rate: float, seed: int, *, epochs: int, bar: Any) -> Run:
    """Train one net; `bar.update(1)` is called after every step."""
    images, labels, test_images, test_labels = data
    model, order = net(method, seed), np.random.default_rng(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    steps, losses, errors = TRAIN // size, [], []
    for _ in range(epochs):
        model.train()
        # An incomplete last batch is left out, so that every batch has the same size.
        batches = torch.tensor(order.permutation(TRAIN)[: steps * size].reshape(steps, size))
        total = 0.0
        for batch in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item()
            bar.update(1)
        model.eval()
        with torch.no_grad():
            wrong = (model(test_images).argmax(1) != test_labels).float().mean().item()
        losses.append(round(total / steps, 5) if np.isfinite(total) else None)
        errors.append(round(100 * wrong, 2))
    return Run(method, int(size), float(rate), seed, tuple(losses), tuple(errors))


def recorded() -> Training:
    """Return the run that is part of normviz: three seeds of every setting, on two cores of a server's CPU.

    >>> recorded().batch_sizes
    [32, 16, 8, 4, 2]
    """
    stored = json.loads((files("normviz.labs") / "training.json").read_text())
    runs = tuple(Run(**run | {"loss": tuple(run["loss"]), "error": tuple(run["error"])}) for run in stored.pop("runs"))
    return Training(runs, **stored)


def record(path: Path | None = None, **options: Any) -> None:
    """Write the result of `measure`, by default with three seeds, to `path` or to the file that `recorded` reads."""
    options.setdefault("seeds", 3)
    result = asdict(measure(**options))
    runs = ",\n".join(json.dumps(run) for run in result.pop("runs"))
    head = json.dumps(result | {"seconds": round(result["seconds"], 1)})[:-1]
    atomic_write.write(path or Path(__file__).parent / "training.json", f'{head}, "runs": [\n{runs}\n]}}\n')


@check_keywords
def figure(measured: Training | None = None, *, width: int | None = None, presenter: bool = False) -> go.Figure:
    """Draw error or loss against batch size, and against learning rate; the slider chooses the epoch.

    Parameters
    ----------
    measured
        A result of `measure` with at least one batch size and one learning rate; None takes the recorded run.
    width, presenter
        Pixels, at least 320; and whether the figure is for a projector.

    Raises
    ------
    TypeError, ValueError
        If `measured` is not such a result, or width is too small.

    Examples
    --------
    >>> [button.label for button in figure().layout.updatemenus[0].buttons]
    ['Training loss', 'Test error']
    """
    room = chart.room(width, presenter)
    finding = RECORDED if measured is None else ""
    measured = recorded() if measured is None else measured
    if not isinstance(measured, Training):
        raise TypeError(f"measured must be what measure() returns, or None, not {type(measured).__name__}")
    sizes, rates = measured.batch_sizes, measured.learning_rates
    if not sizes or not rates:
        raise ValueError("measured has no run against batch size or none against learning rate; measure both")
    drawing, places = chart.panels(["", ""], room, gap=0.1, stacked_gap=0.2)
    if not room.narrow:  # the first panel has the names of the lines beside it
        drawing.update_layout(xaxis_domain=[0, 0.56], xaxis2_domain=[0.64, 1])
    present = [m for m in METHODS if any(run.method == m for run in measured.runs)]
    seeds = 1 + max(run.seed for run in measured.runs)
    bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 4}
    lines: list[tuple[str, np.ndarray]] = []
    for quantity in ("loss", "error"):
        for k, method in enumerate(present):
            panels = (
                ([f"N = {n}" for n in sizes], [measured.values(quantity, method, batch_size=n) for n in sizes]),
                ([f"rate {r:g}" for r in rates], [measured.values(quantity, method, learning_rate=r) for r in rates]),
            )
            for place, (text, values) in zip(places, panels, strict=True):
                lines.append((quantity, np.array(values)))
                drawing.add_scatter(
                    x=list(range(len(values))), text=text, hovertemplate="%{text}: %{y:.3f}", error_y=bars,
                    name=METHODS[method], legendgroup=method, showlegend=place == places[0],
                    **chart.line(k, COLOURS[method], size=9, line_width=2.5), **place,
                )  # fmt: skip

    def step(epoch: int) -> dict[str, Any]:
        """Show the means over seeds, and bars from the least to the largest value."""
        means, above, below = [], [], []
        for _, values in lines:
            values = values[..., epoch]
            mean = values.mean(axis=1)
            means.append(_decimals(mean))
            above.append(_decimals(values.max(axis=1) - mean))
            below.append(_decimals(mean - values.min(axis=1)))
        changed = {"y": means, "error_y.array": above, "error_y.arrayminus": below}
        return chart.step(str(epoch + 1), changed, range(len(lines)))

    def choice(quantity: str, label: str, title: str) -> dict[str, Any]:
        every = np.concatenate([values.ravel() for of, values in lines if of == quantity])
        every = every[np.isfinite(every) & (every > 0)]
        highest = min(every.max() * 1.25, 115 if every.max() > 50 else 10)
        span = [float(np.log10(every.min() * 0.8)), float(np.log10(highest))]
        layout = {f"{y}__{key}": v for y in ("yaxis", "yaxis2") for key, v in (("title__text", title), ("range", span))}
        layout["title__text"] = _finding(measured, quantity)
        return chart.step(label, {"visible": [of == quantity for of, _ in lines]}, range(len(lines)), **layout)

    digits = chart.ticks(float(f"{digit}e{power}") for power in range(-4, 3) for digit in (1, 2, 5))
    drawing.update_yaxes(type="log", **digits)
    for place, title, values in zip(places, ("batch size N", "learning rate, at N = 32"), (sizes, rates), strict=True):
        # Places 0, 1, ... instead of categories, which plotly forgets when the slider moves.
        ticks = chart.ticks(values) | {"tickvals": list(range(len(values)))}
        drawing.update_xaxes(title_text=title, **ticks, **place)
    choices = [choice("loss", "Training loss", "training loss"), choice("error", "Test error", "test error, %")]
    chart.add_buttons(drawing, choices, "Loss or error")
    # The lines are loss then error, by method, by panel. Names stand beside the first panel; in the other a line may
    # end early.
    M = len(present)
    firsts = [range(2 * M * k, 2 * M * (k + 1), 2) for k in range(2)]
    names = [method.capitalize() if method != "none" else method for method in present]
    spans = [choice["args"][1]["yaxis.range"] for choice in choices]
    ends = [chart.Ends(of, names, span) for of, span in zip(firsts, spans, strict=True)]
    chart.add_slider(drawing, [step(epoch) for epoch in range(measured.epochs)], "after epoch ", measured.epochs - 1)
    points = f"Means of {seeds} seeds, bars from the least to the largest" if seeds > 1 else "One seed"
    return chart.finish(
        drawing, _finding(measured, "loss"),
        f"{finding}A net of four convolutions on scikit-learn’s 8 × 8 digits, {TRAIN} to learn from and 500 to test, "
        f"SGD with momentum 0.9, learning rate {RATE} · N / {REFERENCE} in the batch-size runs. {points}; the vertical "
        f"axes are logarithmic. Measured with {measured.machine}, in {measured.seconds:.0f} s for all. A missing "
        "point: the loss was no longer finite. One small net on small data is an illustration, not a benchmark.",
        "Two line charts with three lines each, Batch Norm, Group Norm and no normalizer: test error or training loss "
        "against batch size from large to small, and against learning rate.",
        room=room, height=(320, 560), ends=ends,
    )  # fmt: skip


def _finding(measured: Training, quantity: str) -> str:
    """Say how loss or error after the last epoch changes from the largest to the smallest batch."""
    large, small = measured.batch_sizes[0], measured.batch_sizes[-1]

    def said(method: str) -> str:
        before, after = (measured.values(quantity, method, batch_size=n)[:, -1].mean() for n in (large, small))
        if quantity == "error":
            return f"goes from {before:.1f} to {after:.1f}\N{NO-BREAK SPACE}%"
        return f"grows {after / before:.1f}-fold" if after > 1.1 * before else "does not grow"

    if large == small or any(measured.values("loss", m, batch_size=large).size == 0 for m in ("batch", "group")):
        return "Training loss and test error on digits, by batch size and learning rate"
    batch, group = said("batch"), said("group")
    what = "training loss" if quantity == "loss" else "test error"
    return f"From N = {large} to {small}, the {what} with Batch Norm {batch}; with Group Norm it {group}"


def _decimals(values: np.ndarray) -> list[float | None]:
    return [round(float(v), 5) if np.isfinite(v) else None for v in values]


if __name__ == "__main__":
    record()
