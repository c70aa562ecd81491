"""The gradient of one normalized cell, as pictures and pages show it: d x_hat_i / d x_j for every cell j."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import validation
from normviz.explorer.svg import cube, picture, readout
from normviz.explorer.svg.gradient import Gradient, gradient_of
from normviz.explorer.svg.writer import Pen
from tests.core import reference

SHAPES = ((4, 6), (2, 6, 3), (4, 4, 2, 2), (2, 2, 2, 1, 3))

EPS = 1e-3


@dataclass
class Case:
    """A tensor, the arguments of an explorer of it, and by name the function from x to x_hat."""

    x: np.ndarray
    given: dict[str, Any]
    name: str
    hat: Callable[[np.ndarray], np.ndarray]

    def row(self) -> np.ndarray:
        """The gradient at every cell, by central differences."""
        found, index = np.empty(self.x.shape), tuple(self.given["index"])
        for j in np.ndindex(self.x.shape):
            up, down = self.x.copy(), self.x.copy()
            up[j], down[j] = up[j] + 1e-5, down[j] - 1e-5
            found[j] = (self.hat(up)[index] - self.hat(down)[index]) / 2e-5
        return found

    def members(self) -> np.ndarray:
        """Which cells are in the set."""
        index, method = tuple(self.given["index"]), self.given["method"]
        if "labels" in self.given:
            return self.given["labels"] == self.given["labels"][index]
        found = np.zeros(self.x.shape, bool)
        if "mode" in self.given:
            found[index] = True
        else:
            found[nv.pooling(method, self.x.shape, self.given.get("num_groups")).set_of(index)] = True
        return found


def by_labels(labels: np.ndarray, eps: float) -> Callable[[np.ndarray], np.ndarray]:
    """Normalize every given set."""

    def hat(x: np.ndarray) -> np.ndarray:
        y = np.empty(x.shape)
        for label in np.unique(labels):
            values = x[labels == label]
            y[labels == label] = (values - values.mean()) / np.sqrt(values.var() + eps)
        return y

    return hat


def cases() -> Iterator[Case]:
    """Every method on every rank, running statistics, and given sets."""
    rng = np.random.default_rng(1)
    for k, shape in enumerate(SHAPES):
        x, eps = rng.normal(0.7, 1.6, shape), [1e-5, EPS][k % 2]

        def given(method: str, eps: float = eps, shape: Any = shape, **more: Any) -> dict[str, Any]:
            return {"method": method, "index": [int(rng.integers(n)) for n in shape], "eps": eps, **more}

        for name, row in nv.METHODS.items():
            G = int(rng.choice(nv.divisors(shape[row.grouped_axis]))) if row.has_groups else None
            yield Case(
                x,
                given(name, num_groups=G),
                name,
                lambda x, name=name, G=G, eps=eps: reference.normalize(x, name, G, eps=eps),
            )
        mean, var = (np.reshape(v, (-1, *[1] * (len(shape) - 2))) for v in rng.uniform(0.5, 2, (2, shape[1])))
        running = nv.Statistics(mean=mean.ravel(), var=var.ravel(), count=9)
        yield Case(
            x,
            given("batch", statistics=running, mode="eval"),
            "eval",
            lambda x, mean=mean, var=var, eps=eps: (x - mean) / np.sqrt(var + eps),
        )
        labels = rng.integers(0, 3, shape)
        yield Case(x, given("given", labels=labels), "given", by_labels(labels, eps))


CASES = [pytest.param(case, id=f"{case.name}-{case.x.ndim}") for case in cases()]


def measured(case: Case) -> tuple[Any, Any, readout.Readout, Gradient]:
    """The tensor, the state, its numbers and its gradient."""
    on, state = validation.start(case.x, case.given | {"color": "gradient"})
    shown = readout.measure(on, state)
    return on, state, shown, gradient_of(on, state, shown, shown.row)


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_finite_differences(case):
    on, state, _, found = measured(case)
    row, index = case.row(), tuple(case.given["index"])
    members = case.members()
    assert np.abs(row[~members]).max(initial=0) < 1e-10, "the gradient reaches no cell outside the set"
    values = found.at(case.x)
    values[index] = found.own
    np.testing.assert_allclose(values[members], row[members], atol=1e-8)
    assert found.total == pytest.approx(row.sum(), abs=1e-8)
    if state["method"] in nv.METHODS and case.name != "eval":
        one = np.zeros(case.x.shape)
        one[index] = 1
        more = {"num_groups": case.given.get("num_groups"), "eps": on.eps}
        np.testing.assert_allclose(row, nv.gradient(case.x, one, state["method"], **more).input, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_a_picture_paints_the_set_and_nothing_else(case):
    """Each painted box with the value of its cell; the rest of the faces stays as it is."""
    on, state, shown, found = measured(case)
    cubes = cube.Cubes(on, state, shown, {"width": 900, "height": 300})
    row, members = case.row().reshape(cubes.cube), case.members().reshape(cubes.cube)
    for k, n in enumerate(cubes.view.solids):
        value = cube.drawn_values(cubes, k)
        for box in cube.surface(cubes.view):
            (w, _), (c, _), (h, _) = box
            shade = value(box)
            assert (shade is None) == (not members[n, c, h, w])
            if shade is not None:
                expected = row[n, c, h, w] / found.end
                assert np.sign(shade) * shade**2 == pytest.approx(expected, abs=1e-6 + 1e-6 * abs(expected))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "batch"}, "sums to 0 over the set: a shift of the whole set does not change x\u0302ᵢ."),
        ({"method": "rms"}, "over the set: no mean is taken, so a shift of the whole set changes x\u0302ᵢ."),
        ({"method": "batch", "mode": "eval"}, "and 0 elsewhere: no other cell changes x\u0302ᵢ."),
    ],
)
def test_the_line_of_numbers_says_what_the_sum_over_the_set_means(given, said):
    x = np.random.default_rng(0).normal(0.7, 1, (2, 4, 3, 3))
    running = nv.Statistics(mean=np.zeros(4), var=np.full(4, 3.0), count=9)
    line = nv.show(x, **given, statistics=running, index=(1, 2, 0, 1), color="gradient").to_svg()
    line = " ".join("".join(each.itertext()) for each in ElementTree.fromstring(line).iter() if "text" in each.tag)
    assert said in line
    own, *total = re.search(r"is ([-\d.]+) at cell i and (?:sums to ([-\d.]+))?", line).groups()
    one = np.zeros(x.shape)
    one[1, 2, 0, 1] = 1
    row = nv.gradient(x, one, given["method"]).input
    if "mode" in given:
        assert own == readout.decimal(1 / np.sqrt(3 + 1e-5))
    else:
        assert own == readout.decimal(row[1, 2, 0, 1])
        assert float(total[0]) == pytest.approx(row.sum(), abs=1e-5)


@pytest.mark.parametrize("method", [*nv.METHODS, "given"])
def test_a_large_tensor_is_coloured_by_its_drawn_means_and_says_so(method):
    """The cells of a drawn cell are equal here, and their means are among the steps of a byte: nothing is lost."""
    rng, index = np.random.default_rng(3), (1, 3, 5, 9)
    x = rng.integers(0, 255, (2, 32, 32, 32)).repeat(2, axis=2).repeat(2, axis=3) / 100
    given = {"method": method, "index": index, "color": "gradient"}
    if method == "given":
        given["labels"] = rng.integers(0, 3, x.shape)
    on, state = validation.start(x, given)
    on, shown = on.travelling(), readout.measure(on, state)
    assert on.tensor.values is None
    assert "The gradient is that of the means of drawn cells." in " ".join(readout.aggregation(on, state, shown))
    one, row, members = (np.zeros(x.shape) for _ in range(3))
    one[index] = 1
    if method == "given":
        inside = given["labels"] == given["labels"][index]
        row[inside] = nv.gradient(x[inside][None], one[inside][None], "layer").input[0]
        members[inside] = 1
    else:
        groups = state["num_groups"] if nv.METHODS[method].has_groups else None
        row = nv.gradient(x, one, method, num_groups=groups).input
        members[nv.pooling(method, x.shape, groups).set_of(index)] = 1
    cubes, painted = cube.Cubes(on, state, shown, {"width": 900, "height": 300}), 0
    assert cubes.view.bins == (2, 1, 2)
    for k, n in enumerate(cubes.view.solids):
        value, end = cube.drawn_values(cubes, k), gradient_of(on, state, shown, cubes.row(k)).end
        for box in cube.surface(cubes.view):
            w, c, h = (slice(*each) for each in box)
            shade = value(box)
            assert (shade is None) == (not members[n, c, h, w].any())
            if shade is not None and shown.mean is None:  # these statistics do not travel
                assert np.isnan(shade)
                painted += 1
            elif shade is not None:
                # Of the cells of a given set the picture knows only the mean of all drawn together.
                assert np.sign(shade) * shade**2 * end == pytest.approx(
                    row[n, c, h, w].mean(), rel=1e-6, abs=1e-6 * end
                )
                painted += 1
    assert painted


def test_values_that_are_not_finite_are_grey_and_change_no_other_set():
    x = np.random.default_rng(0).normal(0.7, 1, (2, 4, 3, 3))
    x[0, 1, 1, 1] = np.nan
    for n, grey in ((0, True), (1, False)):
        text = nv.show(x, "layer", index=(n, 0, 0, 0), color="gradient").to_svg()
        assert ('fill="#808080"' in text) == grey
        assert ("The gradient of x̂ᵢ is not a number, because the set has a value that is not finite." in text) == grey


def test_the_legend_has_symmetric_ends_and_says_the_scale():
    x = np.random.default_rng(0).normal(0.7, 1, (2, 4, 3, 3))
    for given, ends in (({"method": "layer"}, ("≤ -", "≥ ")), ({"method": "layer", "view": "paper"}, ("≤ -", "≥ "))):
        on, state = validation.start(x, given | {"color": "gradient"})
        items = [
            ElementTree.fromstring(f"<g>{item}</g>")
            for _, item in picture.legend(Pen("auto"), on, state, readout.measure(on, state))
        ]
        low, high = (text.text for text in items[0].iter("text"))
        assert low.startswith(ends[0])
        assert low.removeprefix(ends[0]) == high.removeprefix(ends[1])
        (note,) = (text.text for text in items[1].iter("text"))
        assert note == f"square-root scale{' per cube' if 'view' in given else ''}; uncolored: 0"
