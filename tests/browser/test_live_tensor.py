"""An editable widget: what its page makes reaches Python, what Python makes reaches the page, each of them once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import normviz as nv
from tests.browser import host
from tests.browser.reading import ready, status, wait_for


class Live:
    """A page on the bare host, and the explorer in Python that it shows; `exchange` carries their messages."""

    def __init__(self, page: Page, path: Any, explorer: nv.Explorer) -> None:
        self.page, self.explorer = page, explorer
        self.heard: list[str] = []
        explorer.observe(lambda change: self.heard.append(change["new"]["fill"]), "recipe")
        traits = {name: value for name, value in explorer.get_state().items() if name[0] != "_"}
        page.goto(host.write(path, [traits | {"_scene": explorer._scene}]).as_uri())
        self.root = ready(page)

    def exchange(self, messages: int) -> list[str]:
        """Wait for so many messages, hand them to Python, give the page what Python shows, and give their kinds."""
        # (A question about a cell of a large tensor has no kind.)
        self.page.wait_for_function("n => models[0].sent.filter(({ kind }) => kind).length >= n", arg=messages)
        sent = [message for message in self.page.evaluate("models[0].sent.splice(0)") if "kind" in message]
        for message in sent:
            buffers = [memoryview(bytes(each)) for each in message.pop("buffers", [])]
            self.explorer._hear(self.explorer, message, buffers)
        self.show()
        return [message["kind"] for message in sent]

    def show(self) -> None:
        """Send the page what Python shows."""
        new = {
            "_scene": self.explorer._scene,
            "index": list(self.explorer.index),
            "num_groups": self.explorer.num_groups,
        }
        self.page.evaluate("values => models[0].receive(values)", new)

    def number(self, name: str, value: object) -> None:
        field = self.root.get_by_role("spinbutton", name=name, exact=True)
        field.fill(str(value))
        field.press("Enter")


@pytest.fixture
def live(page, tmp_path) -> Callable[..., Live]:
    return lambda *given, **keywords: Live(page, tmp_path / "host.html", nv.Explorer(*given, editable=True, **keywords))


def test_what_the_page_makes_reaches_python_once(live):
    """Fill, seed, shape, typed cells, parameters; no message goes round, and the page is not made anew."""
    at = live(method="batch")
    at.root.evaluate("root => { root.dataset.mark = 'the first'; }")
    at.root.get_by_label("Fill", exact=True).select_option("loud channel")
    assert at.exchange(1) == ["made"]
    at.number("Seed", 7)
    assert at.exchange(1) == ["made"]
    at.number("N", 1)
    assert at.exchange(1) == ["made"]
    filled = nv.samples.filled((1, 16, 12, 12), "loud channel", 7)
    np.testing.assert_array_equal(at.explorer.x, filled)
    assert at.heard == ["loud channel"] * 3

    value = at.root.get_by_role("textbox", name="Value", exact=True)
    value.fill("nan")
    value.press("Enter")
    assert at.exchange(1) == ["made"]
    filled = filled.astype(float)
    filled[0, 0, 0, 0] = np.nan
    np.testing.assert_array_equal(at.explorer.x, filled)
    assert at.explorer.recipe["edits"] == [[[0, 0, 0, 0], "NaN"]]
    assert at.explorer.recipe["base"] == "loud channel"
    eps = at.root.get_by_role("textbox", name="eps", exact=True)
    eps.fill("0.25")
    eps.press("Enter")
    assert at.exchange(1) == ["parameters"]
    assert at.explorer.eps == 0.25
    expect(at.root).to_have_attribute("data-mark", "the first")
    assert at.page.evaluate("models[0].sent") == []

    # And back: Python's tensor takes the place of the page's, which does not send it back.
    at.explorer.recipe = {"shape": (2, 6, 5), "fill": "ramp", "channel_axis": -1}
    at.show()
    wait_for(at.root, shape="2,6,5", fill="ramp", ready="true")
    expect(at.root).not_to_have_attribute("data-mark", "the first")
    assert "10 cells, mean 17, variance 227" in status(at.root)
    assert at.page.evaluate("models[0].sent") == []
    at.number("L", 2)
    assert at.exchange(1) == ["made"]
    np.testing.assert_array_equal(at.explorer.x, np.arange(24, dtype=np.float32).reshape(2, 6, 2).transpose(0, 2, 1))


def test_values_of_ones_own_travel_as_bytes(live):
    x = host.tensor(3, 4, 5, 2)
    at = live(x, weight=[1, 2, 3, 4])
    at.number("N", 1)
    at.number("C", 6)
    at.exchange(2)
    expected = x[:1, [0, 1, 2, 3, 0, 1]]
    np.testing.assert_array_equal(at.explorer.x, expected)
    assert at.explorer.x.dtype == np.float32
    assert (at.explorer.recipe["fill"], at.explorer.recipe["base"]) == ("edited", "file")
    np.testing.assert_array_equal(at.explorer.weight, [1, 2, 3, 4, 1, 2])
    at.number("N", 3)
    at.number("C", 4)
    at.exchange(2)
    np.testing.assert_array_equal(at.explorer.x, x)
    assert at.explorer.recipe["fill"] == "file"
    np.testing.assert_array_equal(at.explorer.weight, [1, 2, 3, 4])


def test_a_large_tensor_travels_in_pieces_and_undo_leads_back_to_pythons(live):
    """The page has means of a large tensor alone; its worker hands out the values."""
    x = host.tensor(8, 16, 64, 65)
    at = live(x)
    at.root.get_by_label("Fill", exact=True).select_option("ramp")
    assert at.exchange(1) == ["made"]
    value = at.root.get_by_role("textbox", name="Value", exact=True)
    value.fill("-5")
    value.press("Enter")
    assert at.exchange(3) == ["piece", "piece", "made"]
    expected = np.arange(x.size, dtype=float).reshape(x.shape)
    expected[0, 0, 0, 0] = -5
    np.testing.assert_array_equal(at.explorer.x, expected)
    for _ in range(2):
        at.root.get_by_role("button", name="Undo", exact=True).click()
    assert at.exchange(2) == ["made", "first"]
    assert at.explorer.x is x
    assert at.explorer.recipe["fill"] == "file"
