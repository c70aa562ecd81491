"""A prediction whose cells lie inside the cube, where no face shows them."""

from tests.browser.reading import drawn
from tests.browser.test_classroom import mark, opened


def test_what_is_marked_inside_is_seen_as_a_dashed_box(page, tmp_path):
    root = opened(page, tmp_path / "p.html", predict=True)
    mark(root, n=(1, 1), c=(5, 6), h=(2, 3), w=(2, 3))
    drawn(page)
    assert not root.locator(".nv-answer.guess").get_attribute("d")
    inside = root.locator(".nv-guess-ghost").get_attribute("d")
    assert inside
    mark(root, n=(1, 2))
    drawn(page)
    assert len(root.locator(".nv-guess-ghost").get_attribute("d")) > 1.5 * len(inside)
    mark(root, c=(0, 15), h=(0, 5), w=(0, 6))
    drawn(page)
    assert root.locator(".nv-answer.guess").get_attribute("d")
