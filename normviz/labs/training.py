"""A small convolutional net on views of scikit-learn's digits: Batch Norm, Group Norm or no normalizer.

A batch holds two views of each of its images, as the batches of a detector hold crops of few images and those of a
video frames of few scenes. At N = 2 a pooling set of Batch Norm then comes from one image alone.

`measure` trains on the reader's machine (some minutes; needs PyTorch and scikit-learn). `recorded` loads a run that is
part of the package and `recording` its statistics over time, so that these and `figure` need neither.
`python -m normviz.labs.training` records all of it again.
"""

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import plotly.graph_objects as go

from normviz import atomic_write
from normviz.charts import chart
from normviz.core.errors import brief, check_keywords, unknown
from normviz.inspect.record.layer import LayerRecording
from normviz.inspect.record.record import record as watch
from normviz.inspect.record.recording import Recording
from normviz.labs import input_checks
from normviz.streaming.progress import NoBar

METHODS = {"batch": "Batch Norm", "group": "Group Norm", "none": "no normalizer"}
CAUSES = {
    "error": ("Running", "blue"), "exact_error": ("Exact", "orange"), "batch_error": ("Batch", "green"),
    "train_error": ("Training", "grey"),
}  # fmt: skip
"""Names and colours of the errors that the view "Why" compares."""
COLOURS = {"batch": "blue", "group": "pink", "none": "grey"}
BATCH_SIZES = (32, 8, 2)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
RATE, REFERENCE = 0.1, 32
"""The learning rate at a batch of 32; it is proportional to the batch size, as in Wu & He 2018."""
TRAIN = 1297
"""Number of training images; the other 500 of the 1797 are the test images."""
GROUPS = 4
VIEWS, IN_BATCH = 8, 2
"""Views of each image, drawn once, and how many of them a batch holds."""
EPOCHS, SEEDS = 3, 3
EVERY = 64
"""Every how many-th step of a batch of 2 is kept in its recording; of larger batches proportionally more."""
RECORDINGS = tuple((method, size) for method in ("batch", "group") for size in (2, 32))
INSTALL = 'pip install "normviz[torch]" scikit-learn'
RECORDED = (
    "Both samples of a batch of 2 show one digit, so Batch Norm learns with statistics of one digit and is tested with "
    "statistics of all. With unlike images in a batch of 2, the error hardly rises on such an easy task. "
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
    train_error
        The same on the training images, after the last epoch.
    exact_error
        Error on the test images after the last epoch, with the statistics of all training images instead of the
        running ones.
    batch_error
        The same with the statistics of each batch, where a batch holds views of test images as in training. Without
        Batch Norm, both are the error in eval mode.
    """

    method: str
    batch_size: int
    learning_rate: float
    seed: int
    loss: tuple[float | None, ...]
    error: tuple[float, ...]
    train_error: float
    exact_error: float
    batch_error: float


@dataclass(frozen=True)
class Training:
    """The runs of a measurement.

    Attributes
    ----------
    runs
        The runs against batch size, then those against learning rate at a batch of 32.
    epochs, seconds
        Passes over the 1297 training images, two views of each, in each run, and total time in seconds.
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
        """Return an attribute of the runs with these settings, by its name; NaN if not finite.

        "loss" and "error" have the shape (seeds, epochs), the other errors (seeds,). Errors are in percent.
        """
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
    learning_rates: Iterable[float] = RATES, epochs: int = EPOCHS, seeds: int = 1, progress: bool = True,
) -> Training:  # fmt: skip
    """Train the net with every normalizer at every batch size, and at every learning rate.

    Parameters
    ----------
    methods
        Some of "batch", "group" (4 groups) and "none".
    batch_sizes
        Even numbers from 2 to 2594; the learning rate begins with 0.1 * N / 32 and falls linearly to zero.
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
    largest = IN_BATCH * TRAIN, "two views of each training image"
    sizes = [input_checks.whole(n, "batch size", 2, *largest) for n in sizes]
    for n in sizes:
        if n % IN_BATCH:
            raise ValueError(f"batch size={n} is odd; a batch holds two views of each of its images, so take {n + 1}")
    rates = input_checks.several(learning_rates, "learning_rates", "(0.1, 0.3)", least=0)
    rates = [input_checks.number(rate, "learning rate", positive=True, largest=1e30) for rate in rates]
    if not (sizes or rates):
        raise ValueError("nothing to train: give at least one batch size or learning rate")
    torch, data = load()
    # A learning rate that is also that of a batch size is trained once.
    settings = dict.fromkeys([*((size, scaled(size)) for size in sizes), *((REFERENCE, rate) for rate in rates)])
    plan = [(method, *setting, seed) for setting in settings for method in methods for seed in range(seeds)]
    steps = sum(epochs * steps_of_epoch(size) for _, size, _, _ in plan)
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
    """Return torch, and the digits as tensors: views of training images, their labels, and the same for testing.

    Views have the shape (images, VIEWS, 1, 8, 8). Each has a contrast, a brightness and noise of its own.
    """
    try:
        import torch
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            f"training needs {error.name}, which is not installed: {INSTALL}; recorded() needs neither"
        ) from None
    digits: Any = load_digits()
    random = np.random.default_rng(0)
    order = random.permutation(len(digits.images))
    one = len(order), VIEWS, 1, 1, 1
    contrast, brightness = np.exp(random.uniform(-0.3, 0.3, one)), random.normal(0, 0.3, one)
    views = contrast * digits.images[order, None, None] / 16 + brightness
    views = views + random.normal(0, 0.1, views.shape)
    images, labels = torch.tensor(views, dtype=torch.float32), torch.tensor(digits.target[order])
    return torch, (images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])


def steps_of_epoch(size: int) -> int:
    """Return how many batches of this size have two views of each training image; what is left over is left out."""
    return TRAIN // (size // IN_BATCH)


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


def train(
    torch: Any, data: Any, method: str, size: int, rate: float, seed: int, *, epochs: int, bar: Any, model: Any = None
) -> Run:
    """Train one net, by default a new one; `bar.update(1)` is called after every step."""
    images, labels, test_images, test_labels = data
    model, random = model or net(method, seed), np.random.default_rng(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    steps, losses, errors = steps_of_epoch(size), [], []
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, epochs * steps)
    for _ in range(epochs):
        model.train()
        order = random.permutation(TRAIN)[: steps * (size // IN_BATCH)].reshape(steps, -1)
        total = 0.0
        for batch in order:
            views = np.array([random.permutation(VIEWS)[:IN_BATCH] for _ in batch])
            x, y = images[batch[:, None], views].flatten(0, 1), labels[batch].repeat_interleave(IN_BATCH)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            decay.step()
            total += loss.item()
            bar.update(1)
        losses.append(round(total / steps, 5) if np.isfinite(total) else None)
        errors.append(error_of(torch, model.eval(), test_images[:, :1], test_labels))
    trained = error_of(torch, model, images[:, :1], labels)
    exact = batch = errors[-1]
    if method == "batch":
        copied = copy.deepcopy(model).train()
        batch = error_of(torch, copied, test_images[:, :IN_BATCH], test_labels, size // IN_BATCH)
        for module in copied.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = 1.0  # the statistics of the next batch replace the running ones
        with torch.no_grad():
            copied(images[:, 0])
        exact = error_of(torch, copied.eval(), test_images[:, :1], test_labels)
    return Run(method, int(size), float(rate), seed, tuple(losses), tuple(errors), trained, exact, batch)


def error_of(torch: Any, model: Any, images: Any, labels: Any, size: int | None = None) -> float:
    """Return the error of a model in percent, on all views of images (n, views, 1, 8, 8), `size` images at a time."""
    views, wrong, n = images.shape[1], 0, len(images)
    with torch.no_grad():
        for start in range(0, n, size or n):
            part = slice(start, start + (size or n))
            found = model(images[part].flatten(0, 1)).argmax(1)
            wrong += (found != labels[part].repeat_interleave(views)).sum().item()
    return round(100 * wrong / (n * views), 2)


def recorded() -> Training:
    """Return the run that is part of normviz: three seeds of every setting, on one core of a server's CPU.

    >>> recorded().batch_sizes
    [32, 8, 2]
    """
    stored = json.loads((files("normviz.labs") / "training.json").read_text())
    runs = tuple(Run(**run | {"loss": tuple(run["loss"]), "error": tuple(run["error"])}) for run in stored.pop("runs"))
    return Training(runs, **stored)


@check_keywords
def recording(method: str, batch_size: int) -> Recording:
    """Return the statistics of the four norm layers over the recorded run with seed 0, as `record` saw them.

    Parameters
    ----------
    method
        "batch" or "group".
    batch_size
        2 or 32. At 2 every 64th step was recorded, at 32 every fourth, so that both have 61 recorded steps.

    Raises
    ------
    ValueError
        For another method or batch size.

    Examples
    --------
    >>> r = recording("batch", 2)
    >>> r.layers, len(r.steps), r["10"].mean.shape
    (['1', '4', '7', '10'], 61, (61, 32))
    """
    if not any(method == name and batch_size == size for name, size in RECORDINGS):
        raise ValueError(
            f"no recording of method={brief(method)} at batch size={brief(batch_size)} is part of normviz; "
            'take method "batch" or "group", and batch size 2 or 32, or record your own with nv.record(model)'
        )
    with as_file(files("normviz.labs") / "recordings" / f"{method}_{batch_size}.npz") as path:
        return Recording.load(path)


def record(path: Path | None = None, **options: Any) -> None:
    """Write the result of `measure`, by default with three seeds, to `path` or to the file that `recorded` reads."""
    options.setdefault("seeds", SEEDS)
    result = asdict(measure(**options))
    runs = ",\n".join(json.dumps(run) for run in result.pop("runs"))
    head = json.dumps(result | {"seconds": round(result["seconds"], 1)})[:-1]
    atomic_write.write(path or Path(__file__).parent / "training.json", f'{head}, "runs": [\n{runs}\n]}}\n')


def rounded(layer: LayerRecording) -> LayerRecording:
    """Return a layer with 10 bits of each number, so that it takes little room once it is packed."""

    def short(values: np.ndarray) -> np.ndarray:
        mantissa, exponent = np.frexp(values)
        return np.ldexp(np.round(mantissa * 1024) / 1024, exponent)

    arrays = {name: values for name, values in vars(layer).items() if isinstance(values, np.ndarray)}
    return replace(layer, **{name: short(values) for name, values in arrays.items() if values.dtype == float})


def record_statistics(
    folder: Path | None = None, *, epochs: int = EPOCHS, recordings: Iterable[tuple[str, int]] = RECORDINGS
) -> dict[tuple[str, int], Run]:
    """Train again under `nv.record` with seed 0, write what `recording` reads, and return the runs.

    Of each number 10 bits are kept, which are three digits, so that the files are small.
    """
    torch, data = load()
    runs = {}
    for method, size in recordings:
        model = net(method)
        with watch(model, every=EVERY // (size // 2)) as seen:
            runs[method, size] = train(
                torch, data, method, size, scaled(size), 0, epochs=epochs, bar=NoBar(), model=model
            )
        seen._layers = {name: rounded(layer) for name, layer in seen._layers.items()}
        seen.save((folder or Path(__file__).parent / "recordings") / f"{method}_{size}.npz")
    return runs


@check_keywords
def figure(measured: Training | None = None, *, width: int | None = None, presenter: bool = False) -> go.Figure:
    """Draw error or loss against batch size and learning rate, or the error's causes; the slider chooses the epoch.

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
    ['Test error', 'Training loss', 'Why']
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

    def draw(quantity: str, place: Any, name: str, text: list[str], values: Any, style: dict[str, Any]) -> None:
        """Add a line; values have the shape (places, seeds, epochs)."""
        lines.append((quantity, np.array(values)))
        drawing.add_scatter(
            x=list(range(len(text))), text=text, hovertemplate="%{text}: %{y:.3f}", error_y=bars, name=name,
            legendgroup=name, showlegend=place == places[0], **style, **place,
        )  # fmt: skip

    of_sizes, of_rates = [f"N = {n}" for n in sizes], [f"rate {r:g}" for r in rates]
    for quantity in ("error", "loss"):
        for k, method in enumerate(present):
            style = chart.line(k, COLOURS[method], size=9, line_width=2.5)
            by_size = [measured.values(quantity, method, batch_size=n) for n in sizes]
            by_rate = [measured.values(quantity, method, learning_rate=r) for r in rates]
            draw(quantity, places[0], METHODS[method], of_sizes, by_size, style)
            draw(quantity, places[1], METHODS[method], of_rates, by_rate, style)
    causes = CAUSES if {"batch", "group"} <= {*present} else {}
    for place, method in zip(places, ("batch", "group"), strict=True):
        for k, (quantity, (name, colour)) in enumerate(causes.items()):
            if method == "batch" or quantity in ("error", "train_error"):
                found = [measured.values(quantity, method, batch_size=n) for n in sizes]
                last = [of[..., -1:] if quantity == "error" else of[:, None] for of in found]
                values = np.repeat(last, measured.epochs, axis=-1)
                draw("why", place, name, of_sizes, values, chart.line(k, colour, size=9, line_width=2.5))

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
        highest = min(every.max() * 1.25, 10 if quantity == "loss" else 115)
        span = [float(np.log10(every.min() * 0.8)), float(np.log10(highest))]
        layout = {f"{y}__{key}": v for y in ("yaxis", "yaxis2") for key, v in (("title__text", title), ("range", span))}
        layout["title__text"] = _finding(measured, quantity)
        of_panels = (f"{beside}, Batch Norm", f"{beside}, Group Norm") if quantity == "why" else (beside, of_rate)
        for x, words, values in zip(
            ("xaxis", "xaxis2"), of_panels, (sizes, sizes if quantity == "why" else rates), strict=True
        ):
            # Places 0, 1, ... instead of categories, which plotly forgets when the slider moves.
            ticks = chart.ticks(values) | {"tickvals": list(range(len(values)))}
            layout |= {f"{x}__{key}": v for key, v in ticks.items()} | {f"{x}__title__text": words}
            layout[f"{x}__range"] = [-0.25, len(values) - 0.75]
        return chart.step(label, {"visible": [of == quantity for of, _ in lines]}, range(len(lines)), **layout)

    beside, of_rate = "batch size N", f"learning rate, at N = {REFERENCE}"
    digits = chart.ticks(float(f"{digit}e{power}") for power in range(-4, 3) for digit in (1, 2, 5))
    drawing.update_yaxes(type="log", **digits)
    choices = [choice("error", "Test error", "test error, %"), choice("loss", "Training loss", "training loss")]
    choices += [choice("why", "Why", "error after the last epoch, %")] if causes else []
    chart.add_buttons(drawing, choices, "Error, loss or causes")
    # The lines are error then loss, by method, by panel, then the causes. Names stand beside the first panel; in the
    # other a line may end early.
    M = len(present)
    firsts = [range(0, 2 * M, 2), range(2 * M, 4 * M, 2), range(4 * M, 4 * M + len(causes))][: len(choices)]
    names = [method.capitalize() if method != "none" else method for method in present]
    named = [names, names, [name for name, _ in causes.values()]]
    spans = [choice["args"][1]["yaxis.range"] for choice in choices]
    ends = [chart.Ends(*group) for group in zip(firsts, named, spans, strict=False)]
    chart.add_slider(drawing, [step(epoch) for epoch in range(measured.epochs)], "after epoch ", measured.epochs - 1)
    points = f"Means of {seeds} seeds, bars from the least to the largest" if seeds > 1 else "One seed"
    return chart.finish(
        drawing, _finding(measured, "error"),
        f"{finding}A net of four convolutions on scikit-learn’s 8 × 8 digits, {TRAIN} to learn from and 500 to test. "
        f"Every image has {VIEWS} views, each with a contrast, a brightness and noise of its own, and a batch holds "
        f"two views of each of its images. SGD with momentum 0.9; the learning rate falls linearly to zero, from "
        f"{RATE} · N / {REFERENCE} in the batch-size runs. {points}; the vertical axes are logarithmic. “Why” has the "
        "test error with running statistics, with exact ones (of all training images) and with those of each batch, "
        f"and the training error with running statistics. Measured with {measured.machine}, in "
        f"{measured.seconds:.0f} s for all. A missing point: the loss was no longer finite. One small net on small "
        "data is an illustration, not a benchmark.",
        "Two line charts with three lines each, Batch Norm, Group Norm and no normalizer: test error or training loss "
        "against batch size from large to small, and against learning rate. A third view has the errors of Batch Norm "
        "by the statistics that are used, and those of Group Norm.",
        room=room, height=(320, 560), ends=ends,
    )  # fmt: skip


def _finding(measured: Training, quantity: str) -> str:
    """Say how loss or error after the last epoch changes from the largest to the smallest batch, or why."""
    large, small = measured.batch_sizes[0], measured.batch_sizes[-1]

    def last(method: str, what: str = quantity) -> list[float]:
        found = (measured.values(what, method, batch_size=n) for n in (large, small))
        return [float((of[:, -1] if of.ndim == 2 else of).mean()) for of in found]

    def said(method: str) -> str:
        before, after = last(method)
        if quantity == "error":
            verb = "rises" if after > before + 0.05 else "falls" if after < before - 0.05 else "goes"
            return f"{verb} from {before:.1f} to {after:.1f}\N{NO-BREAK SPACE}%"
        return f"grows {after / before:.1f}-fold" if after > 1.1 * before else "does not grow"

    if large == small or any(measured.values("loss", m, batch_size=large).size == 0 for m in ("batch", "group")):
        return "Training loss and test error on digits, by batch size and learning rate"
    if quantity == "why":
        running, exact, batch = (last("batch", what)[1] for what in ("error", "exact_error", "batch_error"))
        return (
            f"Batch Norm at N = {small}: {running:.0f}\N{NO-BREAK SPACE}% wrong with running statistics, {exact:.0f} "
            f"with exact ones, {batch:.0f} with those of each batch"
        )
    what = "training loss" if quantity == "loss" else "test error"
    return (
        f"From N = {large} to {small}, the {what} with Batch Norm {said('batch')}; with Group Norm it {said('group')}"
    )


def _decimals(values: np.ndarray) -> list[float | None]:
    return [round(float(v), 5) if np.isfinite(v) else None for v in values]


if __name__ == "__main__":
    record_statistics()
    record()
