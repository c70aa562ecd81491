"""The texts of the page: filled as Python fills them, and none of them left out or unfilled."""

import dataclasses
import random
import re

import numpy as np
import pytest

import normviz as nv
from normviz.explorer import texts
from normviz.explorer.scene import ROW
from normviz.explorer.sentences import fill
from tests.browser import host, reading
from tests.browser.reading import choose, drawn, open_file

PIECES = ["{a}", "{b?cell|cells}", "{a?|s}", "{c1?<i>x</i>|²}", "{ j : {b} }", " of ", "$&", "G = ", "|", "?", "}", "{"]
VALUES = [0, 1, 2, 17, "1", "0", "1\u202f024", "", "{a}", "{b?x|y}", "<b>3</b>", "$1", "≥ 3.92"]


def test_a_text_is_filled_as_in_python(call):
    draw = random.Random(0)
    cases = [
        ["".join(draw.choices(PIECES, k=draw.randint(0, 6))), {name: draw.choice(VALUES) for name in ("a", "b", "c1")}]
        for _ in range(2000)
    ]
    filled = call("return given.map(([text, values]) => front.fillText(text, values))", cases)
    assert filled == [fill(text, values) for text, values in cases]
    assert len(set(filled)) > 1000


@pytest.mark.parametrize("values", ["{}", "{ method: 'x' }", "{ method: 'x', G: null }", "Object.create({ G: 1 })"])
def test_a_value_that_is_missing_is_named(call, values):
    said = f"try {{ return front.say('common.named', {values}); }} catch (error) {{ return error.message; }}"
    assert re.search(r'needs a value for "(G|method)"', call(said))


@pytest.mark.parametrize("key", ["common.nothing", "nothing.named", "common", "status.constructor"])
def test_a_text_that_is_missing_is_named(call, key):
    said = f"try {{ return front.say('{key}'); }} catch (error) {{ return error.message; }}"
    assert call(said) == f'there is no text "{key}"'


def test_the_texts_on_every_method_at_every_rank_are_pythons(call):
    """The page fills them by itself, so that it can do so for a shape that Python has not seen."""
    shapes = [(2, 8), (2, 6, 5), (2, 8, 3, 4), (1, 1, 1, 1), (2, 4, 2, 3, 2)]
    cases = [[{key: getattr(method, key) for key in ROW}, shape] for method in nv.METHODS.values() for shape in shapes]
    said = call(
        "return given.map(([row, shape]) => ({"
        "  ...front.methodTexts(row, shape), caution: front.cautionOf(row, shape) }));",
        cases,
    )
    for (row, shape), found in zip(cases, said, strict=True):
        assert found == texts.words(nv.METHODS[row["name"]], shape), (row["name"], shape)


def test_a_method_without_a_caution_has_none(call):
    new = dataclasses.replace(nv.METHODS["group"], name="new")
    row = {key: getattr(new, key) for key in ROW}
    assert call("return front.cautionOf(given, [2, 4, 3, 3])", row) == texts.words(new)["caution"] == ""


def whole(root) -> str:
    """All that a person reads or hears of an explorer."""
    drawn(root.page)
    names = "all => all.flatMap((e) => [e.getAttribute('aria-label'), e.title, e.getAttribute('aria-valuetext')])"
    return " ".join([root.inner_text(), *filter(None, root.locator("*").evaluate_all(names))])


def test_no_text_is_left_unfilled(page, tmp_path):
    """In no method, view or step does a page show a placeholder, or a value that is not there."""
    for shape in [(2, 6), (20, 40, 3, 3), (2, 4, 2, 3, 2)]:
        x = host.tensor(*shape)
        nv.to_html(nv.show(x, weight=np.ones(shape[1]), index=(1,) * len(shape)), tmp_path / "page.html")
        root = open_file(page, tmp_path / "page.html")
        for row in nv.METHODS.values():
            choose(root, row.label)
            for _ in range(6):
                assert not re.search(r"undefined|null|NaN|\[object|\{\w|\w\}", whole(root).replace("{ j", ""))
                root.get_by_role("button", name="Next", exact=True).press("Enter")
            assert texts.words(row, shape)["words"] in whole(root)


def test_in_eval_mode_the_panel_speaks_of_no_set(page, tmp_path):
    """Nothing is pooled there, so there is no set, no number of sets and no cell in one."""
    x = host.tensor(3, 4, 5, 5)
    running = nv.RunningStatistics(4)
    running.update(x)
    nv.to_html(nv.show(x, "batch", statistics=running, mode="eval"), tmp_path / "eval.html")
    root = open_file(page, tmp_path / "eval.html")
    drawn(page)
    text = root.locator(".nv-panel").inner_text()
    assert "Fixed numbers per channel; no cells are pooled." in text
    assert not re.search(r"\bsets?\b|S\W*i\b", text), text
    assert not re.search(r"\bset\b", reading.status(root))
    root.get_by_role("radio", name="Train", exact=True).click()
    drawn(page)
    assert "sets in all" in root.locator(".nv-panel").inner_text()


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (np.linspace(0, 1, 4000), ["≤ 0.02", "≥ 0.98"]),
        (np.r_[np.zeros(3900), np.full(100, 9.0)], ["0", "9"]),
        (np.r_[np.zeros(3950), np.full(50, 9.0)], ["0", "≥ 0"]),
        (np.r_[np.linspace(-0.5, 1, 3999), 7], ["-0.97", "≥ 0.97"]),
    ],
)
def test_the_legend_says_where_values_lie_beyond_its_colors(page, tmp_path, values, ends):
    x = np.random.default_rng(0).permutation(values).reshape(2, 20, 10, 10)
    nv.to_html(nv.show(x, color="value"), tmp_path / "legend.html")
    root = open_file(page, tmp_path / "legend.html")
    assert root.locator(".nv-swatch:has(.nv-scale)").inner_text().split("\n") == ends
