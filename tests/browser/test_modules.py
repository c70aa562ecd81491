"""The files of the front-end work as ES modules too, as an editor and a checker of types read them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

import normviz as nv
from tests.browser import host

PACKAGE = Path(nv.__file__).parent
SERVER = "http://normviz.test"
TYPES = {".js": "text/javascript", ".json": "application/json"}
PAGES = {
    "explorer/js/hosts/plain_page.js": lambda: nv.to_html(nv.show(host.tensor(3, 8, 4, 5), color="partition")),
    "explorer/js/hosts/editable_page.js": lambda: nv.to_html(nv.show(host.tensor(3, 8, 4, 5), editable=True)),
    "classroom/quiz.js": lambda: nv.quiz(questions=1, seed=3).to_html(),
    "method_chooser/chooser.js": lambda: nv.chooser().to_html(),
}


@pytest.mark.parametrize("entry", PAGES)
def test_the_modules_draw_what_the_joined_script_draws(
    new_page: Callable[..., Page], tmp_path: Path, entry: str
) -> None:
    joined = str(PAGES[entry]())
    apart, scripts = re.subn(
        r'<script type="module">.*?</script>',
        f'<script type="module" src="{SERVER}/{entry}"></script>',
        joined,
        flags=re.DOTALL,
    )
    assert scripts == 1
    asked: list[str] = []

    def serve(route: Route) -> None:
        name = route.request.url.removeprefix(f"{SERVER}/")
        asked.append(name)
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": TYPES[Path(name).suffix]}
        route.fulfill(path=PACKAGE / name, headers=headers)

    def drawn(text: str, name: str) -> str:
        page = new_page()
        page.route(f"{SERVER}/**", serve)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        page.goto(path.as_uri())
        page.locator(".normviz[data-ready]").wait_for()
        return page.locator(".normviz").evaluate("(root) => root.outerHTML")

    picture = drawn(joined, "joined.html")
    assert asked == []
    assert drawn(apart, "apart.html") == picture
    assert asked[0] == entry
    assert "explorer/js/core/geometry.js" in asked
