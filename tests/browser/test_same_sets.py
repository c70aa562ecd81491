"""The browser shows what Python computes and PyTorch normalizes to: random shapes, methods, groups and cells."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import normviz as nv
from tests.browser import host, reading

SHAPES = [
    *[(2, 6), (5, 12), (1, 4), (3, 1)],
    *[(2, 8, 5), (3, 6, 1), (1, 12, 7), (4, 5, 9)],
    *[(2, 8, 4, 4), (4, 16, 6, 6), (3, 6, 1, 5), (1, 4, 3, 2), (5, 12, 2, 3), (2, 7, 5, 1), (9, 4, 3, 3)],
    *[(2, 4, 2, 3, 3), (3, 6, 1, 2, 4), (1, 8, 3, 2, 2), (2, 5, 2, 1, 3), (1, 1, 1, 1, 1)],
]
EPS = 1e-3

# What a person does: the radio, the slider by keyboard, the steppers. All but the panel is right when the handlers are
# done, in the same turn; the panel is drawn in the next frame.
CHOOSE = """async (root, { label, presses, index }) => {
  const all = (query) => [...root.querySelectorAll(query)], slider = root.querySelector("[role=slider]");
  const press = (key) => slider.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  // The slider is Group Norm's, or that of the chosen method if it has groups of its own.
  const taken = ["ghost", "per_head", "per_head_rms"].includes(root.dataset.method);
  if (label !== "Group Norm" || taken) all("[role=radio]").find((e) => e.firstChild.textContent === label).click();
  if (presses !== null) for (const key of ["Home", ...Array(presses).fill("ArrowRight")]) press(key);
  all("input[type=number]").forEach((input, a) => {
    input.value = index[a];
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const at = { ...root.dataset }, status = root.querySelector("[role=status]").textContent;
  await new Promise(requestAnimationFrame);
  const bold = all("[data-step] .nv-result").map((e) => e.querySelector("b")?.textContent ?? null);
  const facts = Object.fromEntries(all("[data-fact]").map((e) => [e.dataset.fact, e.textContent]));
  return { at, status, bold, facts };
}"""


def draw(rng: np.random.Generator, shape: tuple[int, ...], method: str) -> dict[str, Any]:
    """A random state of a method on a shape, as the page is to be asked for it."""
    row = nv.METHODS[method]
    groups = nv.divisors(shape[row.grouped_axis])
    presses = int(rng.integers(len(groups))) if row.has_groups else None
    return {
        "method": method,
        "label": nv.METHODS[method].label,
        "presses": presses,
        "num_groups": None if presses is None else groups[presses],
        "index": [int(rng.integers(n)) for n in shape],
    }


def pytorch(x: torch.Tensor, method: str, groups: int | None, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """PyTorch's own function for the method, in float64."""
    C = x.shape[1]
    if method == "batch":
        return F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)
    if method == "instance":
        return F.instance_norm(x, weight=weight, bias=bias, eps=EPS)
    if method == "group":
        return F.group_norm(x, groups, weight, bias, EPS)
    if method == "layer":
        spread = [p.reshape(C, *[1] * (x.ndim - 2)).expand(x.shape[1:]) for p in (weight, bias)]
        return F.layer_norm(x, x.shape[1:], *spread, EPS)
    if method == "ghost":
        return torch.cat([pytorch(part, "batch", None, weight, bias) for part in x.chunk(groups)])
    if method in ("per_head", "per_head_rms"):
        heads = zip(x.chunk(groups, 1), weight.chunk(groups), bias.chunk(groups), strict=True)
        name = "positional" if method == "per_head" else "rms"
        return torch.cat([pytorch(head, name, None, *parameters) for head, *parameters in heads], 1)
    if method == "frn":
        square = x.flatten(2).square().mean(-1) if x.ndim > 2 else x.square()
        weight, bias, square = (p.reshape(*p.shape, *[1] * (x.ndim - 2)) for p in (weight, bias, square))
        return x / (square + EPS).sqrt() * weight + bias
    # The weight of this page is one a channel; weights of a convolution have one a filter, so they are left bare.
    if method == "weight_norm":
        return x / (x.flatten(1).square().sum(1) + EPS).sqrt().reshape(-1, *[1] * (x.ndim - 1))
    if method == "weight_standardization":
        return F.layer_norm(x, x.shape[1:], eps=EPS)
    last = x.movedim(1, -1)
    y = (
        F.layer_norm(last, (C,), weight, bias, EPS)
        if method == "positional"
        else F.rms_norm(last, (C,), weight, EPS) + bias
    )
    return y.movedim(-1, 1)


def expected(x: torch.Tensor, state: dict[str, Any], weight: torch.Tensor, bias: torch.Tensor) -> dict[str, float]:
    """The numbers that the panel must show."""
    method, index = state["method"], tuple(state["index"])
    where = nv.pooling(method, tuple(x.shape), state["num_groups"]).set_of(index)
    members, ones = x[where], torch.ones_like(weight)
    mean = members.mean().item() if nv.METHODS[method].centered else 0.0
    squares = (members - mean) ** 2
    var = (squares.sum() if method == "weight_norm" else squares.mean()).item()
    numbers = {"x": x[index].item(), "mean": mean, "var": var}
    if members.numel() == 1 and method in ("batch", "instance", "group", "ghost"):
        # PyTorch refuses sets of one value; normviz says y = bias.
        return numbers | {"normalized": 0.0, "y": bias[index[1]].item()}
    hat, y = (pytorch(x, method, state["num_groups"], *p)[index].item() for p in ((ones, 0 * ones), (weight, bias)))
    return numbers | {"normalized": hat, "y": y}


@pytest.fixture(scope="module")
def answers(browser, tmp_path_factory) -> Iterator[list[tuple[Any, ...]]]:
    """Every state and what the exported page showed of it: (shape, x, weight, bias, state, answer)."""
    rng, inputs = np.random.default_rng(2018), []
    for k, shape in enumerate(SHAPES):
        x = host.tensor(*shape, seed=k, dtype="float64" if k % 2 else "float32")
        weight, bias = rng.normal(1, 0.5, shape[1]), rng.normal(0, 0.5, shape[1])
        states = [draw(rng, shape, method) for method in (*nv.METHODS, *nv.METHODS, "group", "ghost")]
        rng.shuffle(states)
        inputs.append((shape, x, weight, bias, states))
    context = browser.new_context(viewport={"width": 900, "height": 900}, offline=True, bypass_csp=True)
    page = context.new_page()
    path = tmp_path_factory.mktemp("sets") / "all.html"
    nv.to_html([nv.show(x, weight=w, bias=b, eps=EPS) for _, x, w, b, _ in inputs], path)
    reading.open_file(page, path, explorers=len(SHAPES))
    roots, got = page.locator(".normviz"), []
    for k, (shape, x, weight, bias, states) in enumerate(inputs):
        shown = reading.each(roots.nth(k), CHOOSE, states)
        tensors = [torch.from_numpy(np.asarray(a, np.float64)) for a in (x, weight, bias)]
        got += [(shape, *tensors, state, answer) for state, answer in zip(states, shown, strict=True)]
    yield got
    context.close()


def test_there_are_enough_states(answers):
    assert len(answers) >= 200
    assert {len(shape) for shape, *_ in answers} == {2, 3, 4, 5}
    assert {state["method"] for *_, state, _ in answers} == set(nv.METHODS)
    # At least 200 are different.
    assert len({(shape, json.dumps(state)) for shape, _, _, _, state, _ in answers}) >= 200


def test_the_set_is_pythons(answers):
    for shape, _, _, _, state, answer in answers:
        pool = nv.pooling(state["method"], shape, state["num_groups"])
        at = answer["at"]
        assert at["method"] == state["method"], state
        assert at["index"] == ",".join(map(str, state["index"])), (shape, state)
        assert at["set"] == reading.as_text(pool.set_of(state["index"])), (shape, state)
        if state["num_groups"]:
            assert at["numGroups"] == str(state["num_groups"]), (shape, state)
        # In words: how many cells, how many sets, the statistics' shape.
        facts = answer["facts"]
        assert facts["size"].split("= ")[-1] == str(pool.size), (shape, state, facts)
        assert facts["sets"] == str(pool.count), (shape, state, facts)
        assert facts["shape"].split("= ")[-1].strip() == str(pool.statistics_shape), (shape, state, facts)


def test_the_status_line_gives_the_set_and_its_statistics(answers):
    for shape, x, weight, bias, state, answer in answers:
        want = expected(x, state, weight, bias)
        size, mean, var = reading.statistics_of(answer["status"])
        assert size == nv.pooling(state["method"], shape, state["num_groups"]).size, (shape, state, answer["status"])
        assert reading.shows(mean, want["mean"]), (shape, state, answer["status"], want)
        assert reading.shows(var, want["var"]), (shape, state, answer["status"], want)


def test_the_steps_show_pytorchs_numbers(answers):
    for shape, x, weight, bias, state, answer in answers:
        want = expected(x, state, weight, bias)
        for step, key in ((0, "x"), (2, "mean"), (3, "var"), (4, "normalized"), (5, "y")):
            text = answer["bold"][step]
            assert reading.shows(text, want[key]), (shape, state, key, text, want[key])


def test_a_wrong_number_would_be_seen():
    """The comparison itself can fail: in the last digit shown, and in the sign."""
    assert reading.shows("0.91667", 0.9166666)
    assert not reading.shows("0.91668", 0.9166666)
    assert not reading.shows("-0.91667", 0.9166666)
    assert not reading.shows("0.92", 0.9166666)


def test_the_worked_example(page, tmp_path: Path):
    """The table that every course on the subject can check by hand."""
    a, b, c = [[2, 3], [5, 7], [11, 13], [17, 19]], [[0, 1], [1, 2], [3, 5], [8, 13]], [[1, 2], [3, 4], [5, 6], [7, 8]]
    x = np.array([a, b, c], float)[:, :, None, :]
    path = tmp_path / "example.html"
    nv.to_html(nv.show(x, num_groups=2), path)
    root = reading.open_file(page, path)
    table = {"Batch Norm": ("1.5", "0.91667"), "Layer Norm": ("9.625", "35.734"), "Instance Norm": ("2.5", "0.25")}
    for label, (mean, var) in table.items():
        reading.choose(root, label)
        assert reading.statistics_of(reading.status(root))[1:] == (mean, var), label
    reading.choose(root, "Group Norm")
    assert reading.statistics_of(reading.status(root)) == (4, "4.25", "3.6875")
