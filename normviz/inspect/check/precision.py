"""Rounding: cancellation, sums and squares in float16, constant sets, and the dtype of the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from normviz.inspect._call import FunctionUnderTest, Refusal, owner
from normviz.inspect._snapshot import is_array, package
from normviz.inspect.audit.torch_norms import norm_calls
from normviz.inspect.check.layer_state import attribute, find_parameters
from normviz.inspect.check.setup import Subject
from normviz.inspect.check.simulate import Recipe, Scene, divisor, mean_square, nothing, plain, right, x_hat
from normviz.inspect.check.verdict import Mismatch

HINTS = {
    "cancellation": "Try x + 10000: the variance should not change. E[x^2] - E[x]^2 takes a small number as the "
    "difference of two large ones. Is there a formula that subtracts the mean before it squares?",
    "float16-accumulation": "The largest number of float16 is 65504, and a sum reaches it quickly. In what dtype are "
    "your sums?",
    "float16-overflow": "The largest number of float16 is 65504, and 256 squared is more. In what dtype is x squared, "
    "and in what dtype is its variance?",
    "wrong-dtype": "What is the dtype of each array that you combine with x? One of them changes the dtype of the "
    "result.",
    "nan-on-constant": "Give fn a set of equal numbers and follow the variance. Where does it compute 0 / 0, or the "
    "square root of a negative number?",
}


def rounding_errors(subject: Subject, recipe: Recipe, tolerance: float) -> Iterator[Mismatch]:
    """Call fn with inputs on which rounding errors show; `recipe` is what explains its other outputs."""
    labels = recipe.cut.labels(subject.pool)
    rng = np.random.default_rng(subject.call.seed + 1)
    found = []
    # float16 rounds an eps below its smallest number to 0.
    if subject.call.dtype != "float16" or recipe.eps > 1e-7:
        found += _constant_sets(subject, recipe, labels, rng)
    if recipe.spread is not mean_square:
        found += _cancellation(subject, recipe, labels, 2.0**28 if tolerance < 1e-8 else 2.0**13)
    # Either of those makes a formula fail for large means too, whatever the dtype of its sums.
    yield from [*found, *_float16_range(subject, recipe, labels, rng, with_means=not found)]
    yield from _float32_output(subject)


def library_layer(call: FunctionUnderTest) -> str | None:
    """Return the name of a framework if fn is a layer or function of it whose fast variance is a documented choice."""
    names = {"keras": "Keras", "flax": "Flax", "jax": "JAX"}
    modules = [type(value).__module__ for value in call.snapshot.objects]
    modules = [m for m in modules if "normalization" in m] + [str(attribute(call.fn, "__module__"))]
    return next((names[package(module)] for module in modules if package(module) in names), None)


def torch_function(subject: Subject) -> str | None:
    """Return "PyTorch" if fn calls a function of it that normalizes: its kernels for channels last cancel."""
    if subject.call.framework != "torch":
        return None
    called = []

    def observe(func: Callable, name: str, names: Any, args: tuple, kwargs: dict) -> Any:
        called.append(name)
        return func(*args, **kwargs)

    with norm_calls(observe):
        subject.output(subject.first[0])
    return "PyTorch" if called else None


def float16_inside(subject: Subject) -> Mismatch | None:
    """Return a mismatch if numbers beyond the range of float16 overflow though fn is given them in a wider dtype."""
    rng = np.random.default_rng(subject.call.seed + 4)
    scene, y = subject.output(plain(subject.pool.shape, rng) * 1e5)
    wrong = ~np.isfinite(y)
    if subject.call.resolution > 2.0**-23 or not wrong.any():
        return None
    text = (
        "computes its statistics in float16: they are right to three digits, and numbers beyond 65504, its maximum, "
        f"give NaN or infinity in {wrong.sum()} of {wrong.size} cells"
    )
    return Mismatch("float16-accumulation", text, scene.x, y, scene.output(right(subject.pool, 0.0)), wrong)


def _constant_sets(
    subject: Subject, recipe: Recipe, labels: np.ndarray, rng: np.random.Generator
) -> Iterator[Mismatch]:
    constant = 0.0 if recipe.subtract is nothing else 3.0
    scene, y = subject.output(np.where(labels % 2 == 0, constant, plain(labels.shape, rng)))
    expected = scene.output(recipe)
    wrong = ~np.isfinite(y) & scene.holds(expected)
    if wrong.any():
        text = f"gives NaN or infinity for {wrong.sum()} cells of an input with constant sets, where x_hat is 0"
        yield Mismatch("nan-on-constant", text, scene.x, y, expected, wrong)


def _cancellation(subject: Subject, recipe: Recipe, labels: np.ndarray, far: float) -> Iterator[Mismatch]:
    too_large = np.bincount(labels.ravel()).max() > 2048
    if subject.call.resolution > 2.0**-23 or too_large or recipe.affine.before is not None:
        return
    scene, y = subject.output(_plus_minus_one(labels, 8.0))
    if not _about(y, scene, 0.05, recipe).all():
        return
    scene, y = subject.output(_plus_minus_one(labels, far))
    expected = scene.output(recipe)
    wrong = ~_about(y, scene, 0.3, recipe)
    if wrong.any():
        text = (
            f"loses the variance where the mean is large: on {far:.6g} - 1 and {far:.6g} + 1, whose variance is 1, "
            f"{wrong.sum()} of {wrong.size} cells are wrong, and none on 7 and 9"
        )
        yield Mismatch("cancellation", text, scene.x, y, expected, wrong)


def _float32_output(subject: Subject) -> Iterator[Mismatch]:
    """Find out whether float32 stays float32, unless an array of the user's in float64 may widen it."""
    call = subject.call
    finer = any(is_array(a) and str(getattr(a, "dtype", "")).endswith("float64") for a in call.snapshot.objects)
    if call.dtype != "float64" or finer or find_parameters(owner(call.fn)):
        return
    before = call.dtype, call.resolution
    call.dtype = "float32"
    try:
        answer = call.ask(subject.first[0])
    except Refusal:
        return
    finally:
        call.dtype, call.resolution = before
    if answer.dtype != "float32":
        yield Mismatch("wrong-dtype", f"returns {answer.dtype} for float32", pair=("float32", answer.dtype))


def _float16_range(
    subject: Subject, recipe: Recipe, labels: np.ndarray, rng: np.random.Generator, with_means: bool
) -> Iterator[Mismatch]:
    """Call fn with numbers that float16 holds, as it does their deviations, but not their sums or squares.

    NumPy keeps sums and squares of float16 in float16, so that is a bug only where float16 was requested.
    """
    if subject.call.dtype != "float16":
        return
    m, before = int(np.bincount(labels.ravel()).max()), recipe.affine.before is not None
    x = _plus_minus_one(labels, 0.0)
    if recipe.subtract is nothing:  # so that no cell, and no set of one cell, need be 0
        x = np.where(x == 0, 1.0, x)
    x *= rng.uniform(0.75, 1, labels.shape)
    # What fn divides by, in units of x: the root of a sum of squares is larger than x, and float16 may not hold it.
    root = max(1.0, divisor(subject.scene(x).parts(recipe)[1], recipe).max())
    adds = f"adds up in float16, whose largest number is 65504: {m} cells of about {{:.0f}}, or their squares"
    overflows = (
        "overflows in float16, whose largest number is 65504, on cells of about {:.0f}, whose squares are larger"
    )
    sums, squares = "float16-accumulation", "float16-overflow"
    for code, wanted, large in (
        (sums, m >= 4 and not before, x * 200),
        (squares, root < 100, x * 400),
        (squares, root < 100 and not before, x * min(54000, 60000 / root)),
        (sums, m >= 4 and with_means and subject.pool.row.centered and not before, x * 200 + min(90000 / m, 40000)),
    ):
        if not wanted:
            continue
        scene, y = subject.output(large)
        expected = scene.output(recipe)
        wrong = ~_about(y, scene, 0.4, recipe) & scene.holds(expected)
        if wrong.any():
            text = adds if code == sums else overflows
            yield Mismatch(code, text.format(np.abs(scene.x).mean()), scene.x, y, expected, wrong)
            return


def _plus_minus_one(labels: np.ndarray, far: float) -> np.ndarray:
    """Return far + 1 and far - 1, as many of each in every set; an odd set has one cell of `far`."""
    order = np.argsort(labels.ravel(), kind="stable")
    _, sizes = np.unique(labels, return_counts=True)
    place = np.arange(labels.size) - (np.cumsum(sizes) - sizes).repeat(sizes)
    step = np.where(place % 2 == 0, 1.0, -1.0)
    step[(place == sizes.repeat(sizes) - 1) & (place % 2 == 0)] = 0.0
    x = np.empty(labels.size)
    x[order] = far + step
    return x.reshape(labels.shape)


def _about(y: np.ndarray, scene: Scene, share: float, recipe: Recipe) -> np.ndarray:
    """Return which cells are right to within a share of x_hat's root mean square, scaled by weight and bias."""
    w, b = scene.parameters(recipe.affine)
    numerator, spread = scene.parts(recipe)
    normalized = x_hat(numerator, divisor(spread, recipe), recipe)
    unit = np.sqrt(scene.statistics(recipe).average(np.square(normalized)))
    expected = scene.apply_affine(normalized, recipe.affine)
    close = np.abs(y - expected) <= share * (np.abs(w) * unit + np.abs(b) / 16 + np.abs(expected) / 4)
    return close | (y == expected) | ~np.isfinite(expected)
