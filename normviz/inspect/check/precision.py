"""What only rounding shows: cancellation, sums in float16, constant sets, and the dtype that comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.pooling import canonical
from normviz.inspect._call import Asked, Refusal, owner
from normviz.inspect._snapshot import is_array
from normviz.inspect.check import held, inputs
from normviz.inspect.check.setup import Started
from normviz.inspect.check.simulate import BEFORE, Recipe, Scene, right


@dataclass(frozen=True)
class Trouble:
    """A code, what is said of it, and the input and output that show it, on the cells where `wrong`."""

    code: str
    said: str
    scene: Scene | None = None
    y: np.ndarray | None = None
    expected: np.ndarray | None = None
    wrong: np.ndarray | None = None
    pair: tuple[str, str] | None = None


def troubles(started: Started, recipe: Recipe, tolerance: float) -> Iterator[Trouble]:
    """Ask fn for the inputs on which rounding shows; `recipe` is what else it does."""
    labels = recipe.cut.labels(started.pool)
    rng = np.random.default_rng(started.asked.seed + 1)
    # Below its smallest number float16 takes eps for 0.
    found = [*_constant(started, recipe, labels, rng)] if started.asked.dtype != "float16" or recipe.eps > 1e-7 else []
    if recipe.centre != "square":
        found += _cancellation(started, recipe, labels, 2.0**28 if tolerance < 1e-8 else 2.0**13)
    # Either of those makes a formula fail on large numbers too, whatever its sums are in.
    yield from found or _float16(started, recipe, labels, rng)
    yield from _float32(started)


def _constant(started: Started, recipe: Recipe, labels: np.ndarray, rng: np.random.Generator) -> Iterator[Trouble]:
    x = inputs.constants(labels, inputs.plain(labels.shape, rng), recipe.centre == "mean")
    scene, y = _ask(started, x)
    expected = scene.output(recipe)
    wrong = ~np.isfinite(y) & np.isfinite(expected)
    if wrong.any():
        said = f"gives NaN or infinity for {wrong.sum()} cells of an input with constant sets, where x_hat is 0"
        yield Trouble("nan-on-constant", said, scene, y, expected, wrong)


def _cancellation(started: Started, recipe: Recipe, labels: np.ndarray, far: float) -> Iterator[Trouble]:
    if started.asked.resolution > 2.0**-23 or np.bincount(labels.ravel()).max() > 2048 or recipe.affine in BEFORE:
        return
    close, y = _ask(started, inputs.offset(labels, 8.0))
    if not _about(y, close.output(recipe), close, 0.05, recipe.affine).all():
        return
    scene, y = _ask(started, inputs.offset(labels, far))
    expected = scene.output(recipe)
    wrong = ~_about(y, expected, scene, 0.3, recipe.affine)
    if wrong.any():
        said = (
            f"loses the variance where the mean is large: on {far:.6g} - 1 and {far:.6g} + 1, whose variance is 1, "
            f"{wrong.sum()} of {wrong.size} cells are wrong, and none on 7 and 9"
        )
        yield Trouble("cancellation", said, scene, y, expected, wrong)


def _float32(started: Started) -> Iterator[Trouble]:
    """Whether float32 stays float32. An array of the caller's in float64 may well decide otherwise."""
    asked = started.asked
    finer = [a for a in asked.found.objects if is_array(a) and str(getattr(a, "dtype", "")).endswith("float64")]
    if asked.dtype != "float64" or finer or held.parameters(owner(asked.fn)):
        return
    try:
        with _as(asked, "float32"):
            answer = asked.ask(started.first[0])
    except Refusal:
        return
    if answer.dtype != "float32":
        yield Trouble("wrong-dtype", f"returns {answer.dtype} for float32", pair=("float32", answer.dtype))


def _float16(started: Started, recipe: Recipe, labels: np.ndarray, rng: np.random.Generator) -> Iterator[Trouble]:
    asked, m = started.asked, int(np.bincount(labels.ravel()).max())
    statistic = METHODS[started.pool.method].statistic
    # In a wider dtype it is no one's fault: sums of float16 that NumPy takes by default overflow too.
    if m < 4 or recipe.affine in BEFORE or asked.dtype != "float16":
        return
    scene, y = _ask(started, inputs.heavy(labels, m, statistic == "mean and variance", rng))
    expected = scene.output(recipe)
    wrong = ~_about(y, expected, scene, 0.4, recipe.affine)
    if recipe.power == 0.5 and wrong.any():
        said = (
            f"adds up in float16: with {m} cells of about {np.abs(scene.x).mean():.0f} in a set, whose sum float16 "
            f"cannot hold, {wrong.sum()} of {wrong.size} cells are wrong"
        )
        yield Trouble("float16-accumulation", said, scene, y, expected, wrong)


def library(asked: Asked) -> str | None:
    """Keras or Flax, if the normalizer is a layer of their own; its fast variance is their choice, and documented."""
    for value in asked.found.objects:
        module = type(value).__module__
        if "normalization" in module and module.partition(".")[0] in ("keras", "flax"):
            return module.partition(".")[0].capitalize()
    return None


def float16_inside(started: Started) -> Trouble | None:
    """Whether numbers beyond float16 are too large for fn, though it was given them in a wider dtype."""
    rng = np.random.default_rng(started.asked.seed + 4)
    scene, y = _ask(started, inputs.plain(started.pool.shape, rng) * 1e5)
    expected = scene.output(right(started.pool, 0.0))
    wrong = ~np.isfinite(y)
    if started.asked.resolution > 2.0**-23 or not wrong.any():
        return None
    said = (
        "takes its statistics in float16: they are right to three digits, and numbers beyond 65504, its end, give NaN "
        f"or infinity in {wrong.sum()} of {wrong.size} cells"
    )
    return Trouble("float16-accumulation", said, scene, y, expected, wrong)


class _as:
    """Ask in another dtype for a while."""

    def __init__(self, asked: Asked, dtype: str) -> None:
        self.asked, self.dtype, self.before = asked, dtype, (asked.dtype, asked.resolution)

    def __enter__(self) -> None:
        self.asked.dtype = self.dtype

    def __exit__(self, *exc: object) -> None:
        self.asked.dtype, self.asked.resolution = self.before


def _ask(started: Started, x: np.ndarray) -> tuple[Scene, np.ndarray]:
    asked = started.asked
    x = asked.round(x)
    answer = asked.ask(x)
    y = started.arrange(answer.y)
    scene = Scene(started.pool, x, started.weight, started.bias, slice(None))
    return scene, canonical(y, asked.channel_axis).reshape(-1)


@np.errstate(all="ignore")
def _about(y: np.ndarray, expected: np.ndarray, scene: Scene, share: float, affine: str) -> np.ndarray:
    """Which cells are right to within a share of x_hat's unit, each in its channel's own."""
    w, b = scene.parameters(affine)
    left = np.abs(y - expected) <= share * (np.abs(w) + np.abs(b) / 16 + np.abs(expected) / 4)
    return left | (y == expected) | ~np.isfinite(expected)
