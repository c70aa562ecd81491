"""A small convolutional net on scikit-learn's digits: Batch Norm against Group Norm against none.

`measure` trains on the reader's machine (about a minute on two cores; needs PyTorch and scikit-learn), `recorded` is
such a run that ships, so that `figure` shows without them. `python -m normviz.labs.training` makes the recording again.
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
from plotly.subplots import make_subplots

from normviz.core.errors import check_keywords, unknown
from normviz.labs import checks, look
from normviz.labs.digits import TRAIN, Run, bar_of, load, train

METHODS = {"batch": "Batch Norm", "group": "Group Norm", "none": "no normalizer"}
BATCH_SIZES = (32, 16, 8, 4, 2)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
RATE, REFERENCE = 0.1, 32
"""The learning rate at a batch of 32; it is scaled in proportion to the batch, as in Wu & He 2018."""


@dataclass(frozen=True)
class Training:
    """Every run of a measurement.

    Attributes
    ----------
    runs
        First those against batch size, then those against learning rate at a batch of 32.
    epochs
        Passes over the 1297 training images in each run.
    seconds
        How long all of it took.
    machine
        Versions and number of threads.
    """

    runs: tuple[Run, ...]
    epochs: int
    seconds: float
    machine: str

    def values(
        self, what: str, method: str, *, batch_size: int = REFERENCE, learning_rate: float | None = None
    ) -> np.ndarray:
        """Return "error" in percent or "loss" of the runs with these settings, (seeds, epochs); NaN: not finite."""
        rate = scaled(batch_size) if learning_rate is None else learning_rate
        asked = (method, batch_size, rate)
        return np.array(
            [getattr(r, what) for r in self.runs if (r.method, r.batch_size, r.learning_rate) == asked], dtype=float
        )

    @property
    def batch_sizes(self) -> list[int]:
        """The batch sizes measured, from large to small."""
        return sorted({r.batch_size for r in self.runs if r.learning_rate == scaled(r.batch_size)}, reverse=True)

    @property
    def learning_rates(self) -> list[float]:
        """The learning rates measured at a batch of 32."""
        return sorted({r.learning_rate for r in self.runs if r.batch_size == REFERENCE})


def scaled(batch_size: int) -> float:
    """Return the learning rate for a batch: 0.1 at 32, in proportion.

    Examples
    --------
    >>> scaled(16)
    0.05
    """
    return RATE * batch_size / REFERENCE


RECORDED = (
    "From a batch of 32 to one of 2, Batch Norm’s training loss, taken by each batch’s own statistics, grows about "
    "eightfold, and Group Norm’s does not. The test error is that of another function, with running statistics: on so "
    "easy a task it hardly follows. Without a normalizer a learning rate of 0.3 already fails. "
)
"""What the recorded run shows; a test holds it to the numbers."""


@check_keywords
def measure(
    *,
    methods: Sequence[str] = tuple(METHODS),
    batch_sizes: Iterable[int] = BATCH_SIZES,
    learning_rates: Iterable[float] = RATES,
    epochs: int = 4,
    seeds: int = 1,
    progress: bool = True,
) -> Training:
    """Train the net with every normalizer at every batch size, and at every learning rate.

    Parameters
    ----------
    methods
        Some of "batch", "group" (4 groups) and "none".
    batch_sizes
        Whole numbers from 2 to 1297; the learning rate is 0.1 * N / 32.
    learning_rates
        Positive; each with a batch of 32.
    epochs, seeds
        Passes over the data, and runs of each setting, from 1 up. A seed draws the weights and the order of the images.
    progress
        A bar, where tqdm is installed.

    Raises
    ------
    ImportError
        Without PyTorch or scikit-learn, with the command that installs them.
    ValueError, TypeError
        For arguments that do not fit, in one sentence.
    """
    methods = checks.several(methods, "methods", '("batch", "group")')
    for method in methods:
        if method not in METHODS:
            raise ValueError(unknown("method", method, METHODS))
    epochs, seeds = checks.whole(epochs, "epochs", 1), checks.whole(seeds, "seeds", 1)
    sizes = checks.several(batch_sizes, "batch_sizes", "(2, 32)", least=0)
    batch_sizes = [checks.whole(n, "batch size", 2, TRAIN, "the images to learn from") for n in sizes]
    rates = checks.several(learning_rates, "learning_rates", "(0.1, 0.3)", least=0)
    learning_rates = [checks.number(rate, "learning rate") for rate in rates]
    if not (batch_sizes or learning_rates):
        raise ValueError("nothing to train: give at least one batch size or learning rate")
    if learning_rates and min(learning_rates) <= 0:
        raise ValueError(f"learning rate={min(learning_rates):g} must be above 0")
    torch, data = load()
    settings = [(size, scaled(size)) for size in batch_sizes] + [(REFERENCE, rate) for rate in learning_rates]
    # A rate that is also that of a batch is trained once.
    plan = [(m, *s, seed) for s in dict.fromkeys(settings) for m in methods for seed in range(seeds)]
    steps = sum(epochs * (TRAIN // size) for _, size, _, _ in plan)
    threads, start = torch.get_num_threads(), perf_counter()
    bar = bar_of(steps, progress)
    # The nets are so small that a second thread costs more than it brings.
    torch.set_num_threads(1)
    try:
        runs = tuple(train(torch, data, *setting, epochs=epochs, bar=bar) for setting in plan)
    finally:
        torch.set_num_threads(threads)
        bar.close()
    return Training(runs, int(epochs), perf_counter() - start, f"PyTorch {torch.__version__.split('+')[0]}, one thread")


def recorded() -> Training:
    """Return the run that ships with normviz: three seeds of every setting, on two cores of a server's CPU.

    Examples
    --------
    >>> recorded().batch_sizes
    [32, 16, 8, 4, 2]
    """
    stored = json.loads((files("normviz.labs") / "training.json").read_text())
    runs = tuple(Run(**run | {"loss": tuple(run["loss"]), "error": tuple(run["error"])}) for run in stored.pop("runs"))
    return Training(runs, **stored)


def record(path: Path | None = None) -> None:
    """Train with three seeds and write training.json beside this file: `python -m normviz.labs.training`."""
    found = asdict(measure(seeds=3))
    runs = ",\n".join(json.dumps(run) for run in found.pop("runs"))
    head = json.dumps(found | {"seconds": round(found["seconds"], 1)})[:-1]
    (path or Path(__file__).parent / "training.json").write_text(f'{head}, "runs": [\n{runs}\n]}}\n')


@check_keywords
def figure(measured: Training | None = None, *, width: int = 900) -> go.Figure:
    """Draw error or loss against batch size, and against learning rate; the slider walks the epochs.

    Parameters
    ----------
    measured
        What `measure` returned, with at least one batch size and one learning rate; None takes the recorded run.
    width
        Pixels, at least 320.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> [button.label for button in figure().layout.updatemenus[0].buttons]
    ['Training loss', 'Test error']
    """
    width = checks.width(width)
    said = RECORDED if measured is None else ""
    measured = recorded() if measured is None else measured
    if not isinstance(measured, Training):
        raise TypeError(f"measured must be what measure() returns, or None, not {type(measured).__name__}")
    if not measured.batch_sizes or not measured.learning_rates:
        raise ValueError("measured has no run against batch size or none against learning rate; measure both")
    wide = width >= look.NARROW
    chart = make_subplots(**({"cols": 2, "horizontal_spacing": 0.1} if wide else {"rows": 2, "vertical_spacing": 0.2}))
    present = [m for m in METHODS if any(r.method == m for r in measured.runs)]
    seeds = 1 + max(r.seed for r in measured.runs)
    lines: list[tuple[str, str, dict[str, Any], np.ndarray]] = []
    for what in ("loss", "error"):
        for method in present:
            sizes = np.array([measured.values(what, method, batch_size=n) for n in measured.batch_sizes])
            rates = np.array([measured.values(what, method, learning_rate=r) for r in measured.learning_rates])
            lines += [(what, method, {"text": [f"N = {n}" for n in measured.batch_sizes]}, sizes)]
            lines += [(what, method, {"text": [f"rate {r:g}" for r in measured.learning_rates]}, rates)]
    colours = {"batch": "blue", "group": "pink", "none": "grey"}
    for k, (what, method, x, values) in enumerate(lines):
        right = k % 2
        chart.add_scatter(
            **x, x=list(range(len(values))), **_band(values[..., -1]), name=METHODS[method], mode="lines+markers",
            visible=what == "loss",
            showlegend=not right, legendgroup=method, line={"color": look.COLOURS[colours[method]], "width": 2.5,
            "dash": look.DASHES[present.index(method)]},
            marker={"size": 9, "symbol": look.SYMBOLS[present.index(method)]},
            hovertemplate="%{text}: %{y:.3f}", row=1 + right * (not wide), col=1 + right * wide,
        )  # fmt: skip
    titles = {"error": "test error, %", "loss": "training loss"}
    steps = []
    for epoch in range(measured.epochs):
        bands = [_band(values[..., epoch]) for *_, values in lines]
        changed = {"y": [b["y"] for b in bands]}
        changed |= {f"error_y.{key}": [b["error_y"][key] for b in bands] for key in ("array", "arrayminus")}
        steps.append(look.step(str(epoch + 1), changed, range(len(lines))))
    switch = [
        look.step(
            label,
            {"visible": [what == of for of, *_ in lines]},
            range(len(lines)),
            yaxis__title__text=titles[what],
            yaxis2__title__text=titles[what],
            **{f"yaxis{n}__range": _range([v for of, *_, v in lines if of == what]) for n in ("", "2")},
        )
        for what, label in (("loss", "Training loss"), ("error", "Test error"))
    ]
    ticks = [float(f"{digit}e{power}") for power in range(-4, 3) for digit in (1, 2, 5)]
    axis = {
        "title": {"text": titles["loss"]},
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{v:g}" for v in ticks],
        "range": switch[0]["args"][1]["yaxis.range"],
    }
    chart.update_layout(
        xaxis={"title": {"text": "batch size N"}, **_ticks(measured.batch_sizes)},
        xaxis2={"title": {"text": "learning rate, at N = 32"}, **_ticks(measured.learning_rates)},
        yaxis=axis,
        yaxis2=axis,
        updatemenus=[look.buttons(switch, "Loss or error")],
        sliders=[look.slider(steps, "after epoch ", measured.epochs - 1)],
    )
    points = f"Means of {seeds} seeds, bars from the least to the largest" if seeds > 1 else "One seed"
    return look.finish(
        chart,
        "Batch Norm, Group Norm or none, trained on digits",
        f"{said}A net of four convolutions on scikit-learn’s 8 × 8 digits, {TRAIN} to learn from and 500 to test, SGD "
        f"with momentum 0.9, learning rate {RATE} · N / {REFERENCE} in the batch-size runs. {points}; the vertical "
        f"axes are logarithmic. Measured with {measured.machine}, in {measured.seconds:.0f} s for all. A missing "
        "point: the loss was no longer finite. Small data and one small net: an illustration, no benchmark.",
        "Two line charts with three lines each, Batch Norm, Group Norm and no normalizer: test error or training loss "
        "against batch size from large to small, and against learning rate.",
        width=width,
        height=320 if wide else 560,
    )


def _ticks(values: list) -> dict[str, Any]:
    """Return an axis of places 0, 1, ...: when a slider moves, plotly forgets that an axis was one of categories."""
    return {"tickvals": list(range(len(values))), "ticktext": [f"{v:g}" for v in values]}


def _band(values: np.ndarray) -> dict[str, Any]:
    """Return the mean over seeds of every point, and how far the seeds reach; None where one is not finite."""
    middle, low, high = values.mean(1), values.min(1), values.max(1)

    def listed(a: np.ndarray) -> list[float | None]:
        return [round(float(v), 5) if np.isfinite(v) else None for v in a]

    bars = {"type": "data", "symmetric": False, "array": listed(high - middle), "arrayminus": listed(middle - low)}
    return {"y": listed(middle), "error_y": bars | {"thickness": 1, "width": 4}}


def _range(values: list[np.ndarray]) -> list[float]:
    """Return the logarithms between which all values lie."""
    every = np.concatenate([v.ravel() for v in values])
    every = every[np.isfinite(every) & (every > 0)]
    return [
        float(np.log10(every.min() * 0.8)),
        float(np.log10(min(every.max() * 1.25, 115 if every.max() > 50 else 10))),
    ]


if __name__ == "__main__":
    record()
