"""The page of an audit in a browser: an explorer opens where it is asked for, by mouse and by keyboard."""

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from torch import nn

import normviz as nv
from tests.browser.reading import choose, expect, state, statistics_of, status


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(8, 8), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4))
    found = nv.audit(model, torch.randn(2, 3, 9, 9))
    found.to_html(tmp_path / "audit.html")
    return found, (tmp_path / "audit.html").as_uri()


@pytest.mark.parametrize("width", [1280, 340])
def test_the_explorer_of_a_layer_opens_and_closes(page, written, width):
    found, address = written
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    assert page.locator(".normviz[data-ready]").count() == 0
    opener = page.get_by_role("button", name="Show its input")
    opener.focus()
    page.keyboard.press("Enter")
    root = page.locator(".normviz[data-ready]")
    root.wait_for()
    assert state(root)["method"] == "group"
    expect(opener).to_have_attribute("aria-expanded", "true")
    # The numbers are those of Python's explorer of the layer, also after a change of the method.
    explorer = found.explore("1")
    for label, method in (("Group Norm", "group"), ("Layer Norm", "layer")):
        choose(root, label)
        explorer.method = method
        size, mean, _ = statistics_of(status(root))
        assert size == explorer.pooling.size
        assert float(mean) == pytest.approx(float(explorer.statistics.mean.flat[0]), rel=1e-3)
    # Another layer takes its place, and Close gives the keyboard back.
    other = page.locator("tbody").get_by_role("button", name="3", exact=True)
    other.click()
    page.wait_for_function("document.querySelector('.normviz[data-ready]')?.dataset.method === 'batch'")
    expect(opener).to_have_attribute("aria-expanded", "false")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width > 400:
        assert Axe().run(page).violations_count == 0
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator(".normviz[data-ready]")).to_have_count(0)
    expect(other).to_be_focused()
