"""Exported pages and what `show` puts into a notebook: whole, small, closed, and safe with any text."""

import base64
import html
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import normviz as nv
from normviz.classroom.quiz import Quiz
from normviz.explorer import js, validation
from normviz.explorer.constants import DARK, LIGHT
from normviz.explorer.show import page
from normviz.method_chooser.chooser import Chooser
from tests.pages import HOSTILE, Reader, X, data_of, inside

# ---- the page ------------------------------------------------------------------------------------------------------


def test_a_page_is_whole():
    text = nv.to_html(X)
    reader = Reader(text)
    assert text.startswith("<!doctype html>")
    assert reader.find("html") == [{"lang": "en"}]
    metas = {m.get("name") or m.get("http-equiv"): m.get("content") for m in reader.find("meta") if "content" in m}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "default-src 'none'" in metas["Content-Security-Policy"]
    assert "<title>Group Norm, G = 4 · normviz</title>" in text
    assert "<noscript>" in text
    scripts = reader.find("script")
    assert [s["type"] for s in scripts] == ["application/json", "module"]
    assert not [s for s in scripts if "src" in s]


def test_a_page_holds_the_module_once_however_many_explorers_it_has():
    explorer = nv.Explorer(X, "batch")
    text = nv.to_html([explorer, nv.show(X, "layer"), X])
    assert text.count("function render(") == 1
    assert text.count('<section class="nvp-explorer"') == 3
    assert [each["state"]["method"] for each in data_of(text)] == ["batch", "layer", "group"]
    assert "<title>Batch Norm and 2 more · normviz</title>" in text


def test_a_page_shows_the_picture_until_its_script_runs():
    text = nv.to_html(X)
    still = re.search(r'<figure class="nvp-still">(<svg.*?</svg>)<figcaption>', text, re.DOTALL).group(1)
    assert still == nv.show(X).to_svg(caption=False)
    ET.fromstring(still)


def test_nothing_in_a_page_leads_out():
    text = nv.to_html([X, X])
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z.]+[^\s\"'`)]*", text, re.IGNORECASE))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}, addresses
    # (The code that it shows for PyTorch may call model.eval().)
    for word in (
        r"(?<![.\w])eval\(",
        "new Function",
        r"fetch\(",
        "XMLHttpRequest",
        r"import\(",
        "@import",
        "sendBeacon",
    ):
        assert not re.search(word, text), word
    for _, attributes in Reader(text).tags:
        assert not {"src", "href", "action", "srcset"} & set(attributes)


def test_the_front_end_may_stand_in_a_script_element():
    for text in (js.module(), js.page(), js.stylesheet()):
        assert not re.search(r"</script|<!--|</style", text, re.IGNORECASE)


def modules() -> dict[str, str]:
    """The names and texts of all ES modules; the script of charts is none."""
    package = Path(nv.__file__).parent
    paths = [path for path in package.rglob("*.js") if path.name != "keys.js"]
    return {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in paths}


PAGES = tuple(f"explorer/js/hosts/{kind}_page.js" for kind in ("plain", "editable", "time", "full"))
WIDGETS = tuple(f"explorer/js/hosts/{kind}_widget.js" for kind in ("plain", "editable", "static"))


def test_every_module_is_part_of_a_page():
    others = (
        "explorer/js/tensor/worker.js",
        "inspect/audit/page.js",
        "inspect/record/page.js",
        "book/book.js",
        "kit/lecture.js",
    )
    entries = (*PAGES, *WIDGETS, *others, Quiz.SCRIPT, Chooser.SCRIPT)
    assert {name for entry in entries for name in js.collected(entry)[0]} == set(modules())


def test_names_at_the_top_level_are_unique_across_all_files():
    counts = Counter(top for text in modules().values() for top in js.TOP_LEVEL.findall(js.EXPORT.sub("", text)))
    assert len(counts) > 150
    assert {name: count for name, count in counts.items() if count > 1} == {}


def write_modules(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_a_worker_travels_as_a_text_that_ends_no_script(tmp_path):
    write_modules(
        tmp_path,
        page='export const start = () => new Worker(new URL("./worker.js", import.meta.url));\n',
        worker='import { shared } from "./shared.js";\n\npostMessage(`${shared} "</script>"`);\n',
        shared="export const shared = 1;\n",
    )
    text = js.joined("page.js", tmp_path)
    assert "import" not in text
    assert "<" not in text
    carried = re.search(r'new Blob\(\[(".*")\], ?\{ ?type', text)
    assert carried
    assert json.loads(carried[1]) == js.joined("worker.js", tmp_path)
    assert "</script>" in json.loads(carried[1])


def test_a_file_comes_after_those_that_it_imports(tmp_path):
    write_modules(
        tmp_path,
        a='import {\n  b,\n  c\n} from "./b.js";\nimport { d } from "./d.js";\n\n'
        "const a = b + c + d;\nexport default { a };\n",
        b='import { d } from "./d.js";\nimport numbers from "./numbers.json" with { type: "json" };\n'
        "export const b = numbers.x;\nexport const c = d;\n",
        d="export const d = 1;\n",
    )
    (tmp_path / "numbers.json").write_text('{"x": 2, "y": "\u2009"}', encoding="utf-8")
    assert js.joined("a.js", tmp_path).split("\n") == [
        'const numbers = {"x":2};', "let d=1;let b=numbers.x;let c=d;let a=b+c+d;",
        "export default { a };",
    ]  # fmt: skip


def test_a_script_has_the_parts_of_a_json_file_that_it_names(tmp_path):
    """As `texts.part`, or where a text or a template begins with the name."""
    line = 'const a = [texts.one, say("two.b"), say(`three.${b}`), say("b.four"), "five"];\n'
    write_modules(tmp_path, a=f'import texts from "./texts.json" with {{ type: "json" }};\n{line}')
    parts = {name: {"b": name} for name in ("one", "two", "three", "four", "five")}
    (tmp_path / "texts.json").write_text(json.dumps(parts), encoding="utf-8")
    taken = json.loads(js.joined("a.js", tmp_path).split(";", 1)[0].removeprefix("const texts = "))
    assert taken == {name: parts[name] for name in ("one", "two", "three")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'if (a && b) return f({ c: "d = { e }, \\" ; f" }, [g, h]);',
            'if(a&&b)return f({c:"d = { e }, \\" ; f"},[g,h]);',
        ),
        ("const f = (x) => x - -y + +z;", "let f=(x)=>x - -y + +z;"),
        ("const g = x++ + y - z / 2 + (a - 1);", "let g=x++ + y-z / 2+(a-1);"),
        ("const h = a / b ? `${a } / ${ b}` : c;", "let h=a / b?`${a } / ${ b}`:c;"),
        ("const t = `a ${b ? ` - ${c}` : d}`;", "const t = `a ${b ? ` - ${c}` : d}`;"),
        ("for (const [a, b] of list) {", "for(const[a,b]of list){"),
        ("const a = `b = ${c ? d : e}`;", "let a=`b = ${c ? d : e}`;"),
        ('const a = b.replace(/ = "/g, c); // = d', 'const a = b.replace(/ = "/g, c); // = d'),
    ],
)
def test_spaces_go_where_they_mean_nothing(line, expected):
    assert js.compact(line) == expected


def test_a_script_has_few_line_ends_and_no_comments(tmp_path):
    lines = ["// What", "const a = f(", "  2", ");", "const b = a; // why", "const c = {", "  d: `${a} // ${b}`", "}"]
    write_modules(tmp_path, a="\n".join([*lines, ""]))
    assert js.joined("a.js", tmp_path) == "let a=f(2);let b=a;let c={d:`${a} // ${b}`}\n"


def test_a_comment_at_the_end_of_a_line_follows_a_statement():
    """There it is left out; elsewhere it would hide what follows, because lines are joined."""
    for name, text in modules().items():
        bare = re.sub(r"`[^`]*`|\"[^\"]*\"", "", text)
        assert re.findall(r"^ *[^\s/*].*[^;] //.*", bare, re.MULTILINE) == [], name


def test_templates_stay_on_one_line():
    for name, text in modules().items():
        code = re.sub(r"/\*\*.*?\*/|^//.*$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert [line for line in code.splitlines() if line.count("`") % 2] == [], name


@pytest.mark.parametrize("other", ["const a = 2;", "export async function a() {}", "export let a;", "class a {}"])
def test_two_files_may_not_declare_the_same_name(tmp_path, other):
    write_modules(tmp_path, a='import { b } from "./b.js";\nfunction a() {}\n', b=f"{other}\n")
    with pytest.raises(ValueError, match=r"b\.js and a\.js both declare a at the top level"):
        js.joined("a.js", tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        'import * as b from "./b.js";',
        'import "./b.js";',
        'import { b } from "b";',
        "import { b } from './b.js';",
        'export * from "./b.js";',
        "export { a };",
        "const { b, c } = a;",
        "let b, c;",
        "var b;",
    ],
)
def test_a_line_that_is_not_joined_is_named(tmp_path, line):
    write_modules(tmp_path, a=f"const a = 1;\n{line}\n", b="export const b = 1;\n")
    with pytest.raises(ValueError, match=rf"^a\.js: the line .{re.escape(line[:12])}"):
        js.joined("a.js", tmp_path)


@pytest.mark.parametrize("text", [HOSTILE, "]]>", "<b>", "\\u003c/script>"])
def test_any_title_is_text(text):
    made = nv.to_html(nv.show(X, title=text))
    reader = Reader(made)
    assert len(reader.scripts) == 2
    assert data_of(made)[0]["scene"]["title"] == text
    assert "<" not in reader.scripts[0]
    assert "alert(1)" not in "".join(reader.scripts[1:])
    assert reader.find("section")[0]["aria-label"] == f"{text}: Group Norm, G = 4"


def test_a_title_keeps_no_character_that_a_picture_can_not_hold():
    shown = nv.show(X, title=" a\x00b\ud800c\n d ")
    assert shown.scene["title"] == "a\ufffdb\ufffdc d"
    ET.fromstring(shown.to_svg())
    assert len(Reader(shown.to_html()).scripts) == 2


def test_the_page_of_the_sample_tensor_is_small():
    assert len(nv.to_html(nv.samples.activations()).encode()) <= 195_000


def test_the_same_things_give_the_same_bytes():
    assert nv.to_html([X, X]) == nv.to_html([X.copy(), X.copy()])
    assert nv.show(X)._repr_mimebundle_() == nv.show(X.copy())._repr_mimebundle_()
    # An archive may carry the time at which it was made, in its bytes 4 to 7.
    packed = re.search(r"atob\('([^']+)'\)", html.unescape(nv.show(X)._repr_mimebundle_()["text/html"])).group(1)
    assert base64.b64decode(packed)[4:8] == bytes(4)


# ---- writing files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_page_is_written(tmp_path, kind):
    path = tmp_path / "page.html"
    assert nv.to_html([X], kind(path)) is None
    assert path.read_text("utf-8") == nv.to_html([X])
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    new = tmp_path / "new"
    new.touch()
    assert path.stat().st_mode == new.stat().st_mode


@pytest.mark.parametrize("make", [nv.Explorer, nv.show])
def test_explorers_and_shown_objects_write_both_kinds(tmp_path, make):
    made = make(X, "instance", index=(1, 2, 3, 0))
    assert made.to_html(tmp_path / "a.html") is None
    assert made.to_svg(tmp_path / "a.svg") is None
    assert (tmp_path / "a.html").read_text("utf-8") == made.to_html()
    assert (tmp_path / "a.svg").read_text("utf-8") == made.to_svg()
    assert data_of(made.to_html())[0]["state"]["index"] == [1, 2, 3, 0]


def test_bad_input_says_what_to_do_and_writes_nothing(tmp_path):
    old = tmp_path / "old.html"
    old.write_text("old")
    with pytest.raises(ValueError, match=r"^to_html\(\) has nothing to show: the list is empty; give it at least one"):
        nv.to_html([], old)
    with pytest.raises(TypeError, match=r"^path must be a str or a Path, not int$"):
        nv.to_html([X], 3)
    with pytest.raises(IsADirectoryError, match=r"is a folder; give the name of a file in it$"):
        nv.to_html([X], tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"^there is no folder .*nowhere to write page.html into; make it first$"
    ):
        nv.to_html([X], tmp_path / "nowhere" / "page.html")
    for bad in ([X, np.zeros((0, 3))], [np.zeros(3)], ["text"], [X, None]):
        with pytest.raises((ValueError, TypeError)):
            nv.to_html(bad, old)
    assert old.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["old.html"]


def test_a_page_that_can_not_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(self, target):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        nv.to_html([X], path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_line_separators_are_escaped_for_old_readers_of_scripts():
    subject, now = validation.start(X, {})
    text = page([[(replace(subject, tensor=replace(subject.tensor, dtype="\u2028\u2029")), now)]])
    assert "\u2028" not in text
    assert data_of(text)[0]["scene"]["dtype"] == "\u2028\u2029"


def test_a_state_that_is_no_json_is_refused_rather_than_written_wrong():
    subject, now = validation.start(X, {})
    with pytest.raises(ValueError, match="JSON"):
        page([[(replace(subject, eps=float("nan")), now)]])


def test_the_playground_is_small():
    assert len(nv.show(editable=True).to_html().encode()) <= 300_000


def test_stylesheets_take_every_colour_of_the_constants_from_variables():
    package = Path(nv.__file__).parent
    literal = {value.lower() for look in (LIGHT, DARK) for value in look.values()} | {"#fff"}
    for path in (package / name for name in ("explorer/js/explorer.css", Quiz.STYLE, Chooser.STYLE)):
        assert not literal & set(re.findall(r"#[0-9a-f]{3,8}\b", path.read_text(encoding="utf-8").lower())), path
    for style in (js.stylesheet(), *(js.rules(own, "controls", "the cube") for own in (Quiz.STYLE, Chooser.STYLE))):
        given = [*re.findall(r"--([\w-]+) ?:", style), *(["columns"] if "--columns" in style else [])]  # from a script
        assert set(re.findall(r"var\(--([\w-]+)", style)) == set(given)
        assert "--cell-front:#ffa544" in style.split("}")[1]


def test_no_line_of_the_front_end_is_longer_than_120():
    lines = {name: max(map(len, text.splitlines())) for name, text in modules().items()}
    assert {name: length for name, length in lines.items() if length > 120} == {}


def policy_of(text: str) -> dict[str, list[str]]:
    policy = next(m["content"] for m in Reader(text).find("meta") if "http-equiv" in m)
    return {name: allowed for name, *allowed in (rule.split() for rule in policy.split(";"))}


def test_a_page_may_not_evaluate_text():
    nothing, inline = ["'none'"], ["'unsafe-inline'"]
    policy = {"default-src": nothing, "script-src": inline, "style-src": inline, "img-src": ["data:"]}
    policy |= {"base-uri": nothing, "form-action": nothing}
    assert policy_of(nv.to_html(X)) == policy_of(nv.quiz(seed=1).to_html()) == policy
    # Only the page on which a reader makes a tensor may calculate in a worker of its own, and save what was made.
    editable = nv.show(X, editable=True)
    framed = editable._repr_mimebundle_()["text/html"]
    for text in (nv.to_html([X, editable]), inside(framed)):
        assert policy_of(text) == {**policy, "worker-src": ["blob:"]}
    assert [frame["sandbox"] for frame in Reader(framed).find("iframe")] == ["allow-scripts allow-downloads"]
