"""Another tensor in the same explorer: the picture is new, and how one looked at it is kept."""

from tests.browser import host
from tests.browser.reading import drawn, expect, radio, ready


def test_turn_slice_tab_and_unfolded_methods_are_kept(page, tmp_path):
    page.goto(host.write(tmp_path / "host.html", [host.model(host.tensor(3, 8, 6, 6))]).as_uri())
    root = ready(page)
    cube = root.get_by_role("application")
    straight = root.locator("svg").first.inner_html()
    for _ in range(3):
        cube.press("]")
    root.get_by_role("button", name="Slice", exact=True).click()
    root.get_by_role("button", name="Code", exact=True).click()
    root.get_by_role("button", name="JAX", exact=False).first.click()
    root.get_by_role("button", name="More", exact=True).click()
    drawn(page)
    turned = root.locator("svg").first.inner_html()
    assert turned != straight

    other = host.model(host.tensor(3, 8, 6, 6, seed=1))["_scene"]
    page.evaluate("scene => models[0].receive({ _scene: scene })", other)
    root = ready(page)
    drawn(page)
    expect(page.locator(".normviz")).to_have_count(1)
    assert root.locator("svg").first.inner_html() == turned
    expect(root.get_by_role("button", name="Slice", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(root.get_by_role("button", name="Code", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(root.get_by_role("button", name="JAX", exact=False).first).to_have_attribute("aria-pressed", "true")
    expect(radio(root, "RMS Norm")).to_be_visible()
