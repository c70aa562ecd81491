"""The catalog of sentences: every key is used and has its values, and no sentence stands outside it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from normviz.core.methods import METHODS
from normviz.explorer import sentences
from normviz.explorer.sentences import CATALOG, PLACE, fill, say

PACKAGE = Path(sentences.__file__).parents[1]
SCRIPTS = [
    *(PACKAGE / "explorer/js").rglob("*.js"),
    PACKAGE / "classroom/quiz.js",
    PACKAGE / "method_chooser/chooser.js",
    PACKAGE / "inspect/audit/page.js",
    PACKAGE / "inspect/record/page.js",
]
MODULES = [
    *(PACKAGE / "explorer/svg").glob("*.py"),
    PACKAGE / "explorer/html_page.py",
    PACKAGE / "explorer/plotly_cube.py",
    PACKAGE / "explorer/plotly_figure.py",
    PACKAGE / "explorer/show.py",
    PACKAGE / "explorer/standalone_page.py",
    PACKAGE / "explorer/texts.py",
    PACKAGE / "classroom/quiz.py",
    PACKAGE / "classroom/worksheet.py",
    PACKAGE / "method_chooser/chooser.py",
    PACKAGE / "method_chooser/diagram.py",
]


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


# ---- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{n} {n?cell|cells}", {"n": 1}, "1 cell"),
        ("{n} {n?cell|cells}", {"n": "1"}, "1 cell"),
        ("{n} {n?cell|cells}", {"n": 0}, "0 cells"),
        ("a{n?|s} <i>{n}</i>", {"n": 2}, "as <i>2</i>"),
        ("{a}{b}", {"a": "{b}", "b": "{a?x|y}"}, "{b}{a?x|y}"),
        ("<i>S</i> = { <i>j</i> : {a} }", {"a": ""}, "<i>S</i> = { <i>j</i> :  }"),
    ],
)
def test_a_text_is_filled(text, values, expected):
    assert fill(text, values) == expected


@pytest.mark.parametrize("values", [{}, {"method": "Group Norm"}, {"method": "Group Norm", "G": None}])
def test_a_value_that_is_missing_is_named(values):
    with pytest.raises(KeyError, match=r"'(G|method)'"):
        say("common.named", **values)


@pytest.mark.parametrize("key", ["common.nothing", "nothing.named", "common", ""])
def test_a_text_that_is_missing_is_named(key):
    with pytest.raises(KeyError, match=f"there is no text '{key}'"):
        say(key)


def test_texts_have_the_form_that_both_languages_read():
    """Only marks that `rich` knows, closed in order, and braces only around a value."""
    for section, texts in CATALOG.items():
        assert re.fullmatch("[a-z]+", section)
        for key, text in texts.items():
            assert re.fullmatch(r"[a-z][a-z_]*(-[a-z]+)*", key), key
            rest = PLACE.sub("", text)
            assert not re.search(r"\{\w|[|?]\w*\}", rest), text
            opened = []
            for close, tag in re.findall(r"<(/?)([^>]*)>", rest):
                assert tag in ("i", "b", "sub", "sup"), text
                assert opened.pop() == tag if close else not opened.append(tag), text
            assert not opened, text


# ---- what stands outside ---------------------------------------------------------------------------------------------

WORD = r"(?<![\w./=#-])[A-Za-z][a-z']+(?![\w/=(-])"


def is_said(text: str) -> bool:
    """Whether a text with `{}` for values is for readers: two words, one word with a value, or one capitalized word.

    An assignment is source code, whose words are names.
    """
    if re.match(r"[a-z]+ = ", text):
        return False
    plain = re.sub(r"<[^<>]*>?|normviz", " ", text).strip()
    words = re.findall(WORD, plain.replace("{}", " "))
    if not re.search(r"\s", plain):
        return bool(re.fullmatch(r"[A-Z][a-z]+\W?", plain))
    return len(words) > 1 or (len(words) == 1 and ("{}" in plain or words[0][0].isupper()))


TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`|[{}]"""
    r"""|(?<=[(,=:])\s*/(?![/*])(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n[])+/""",
    re.DOTALL,
)


def literals(code: str) -> list[tuple[str, str]]:
    """The string and template literals of a script, each with the code before it; `{}` stands for a value."""
    found: list[tuple[str, str]] = []

    def read(at: int, nested: bool) -> int:
        depth = 0
        while token := TOKEN.search(code, at):
            at = token.end()
            if token[0] == "{":
                depth += 1
            elif token[0] == "}":
                if nested and not depth:
                    return at
                depth -= 1
            elif token[0] == "`":
                text = ""
                while code[at] != "`":
                    if code.startswith("${", at):
                        text, at = text + "{}", read(at + 2, True)
                    else:
                        text, at = text + code[at], at + 1
                at += 1
                found.append((code[: token.start()], text))
            elif token[0][0] in "\"'":
                found.append((code[: token.start()], token[0][1:-1]))
        return at

    read(0, False)
    return found


OTHER_USE = re.compile(
    r"(?:(?:[kK]ey|type) [=!]==|replace\(|startsWith\(|querySelector(?:All)?\(|matches(?:\?\.)?\(|closest\(|\bsay\("
    r"|Error\(|matchMedia\(|\bfrom)\s*$"
)


def said_in_script(code: str) -> list[str]:
    return [text for before, text in literals(code) if is_said(text) and not OTHER_USE.search(before)]


def messages(tree: ast.Module) -> set[ast.AST]:
    """What a module puts into the messages of errors, also before it raises them."""
    made_by = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "normviz.core.errors"
        for alias in node.names
    }
    found = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in made_by
        for part in ast.walk(node)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        raised = {part for node in ast.walk(function) if isinstance(node, ast.Raise) for part in ast.walk(node)}
        size = None
        while size != len(raised):
            size = len(raised)
            names = {node.id for node in raised if isinstance(node, ast.Name)}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and names & {
                    each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)
                }:
                    raised |= set(ast.walk(node.value))
        found |= raised
        called = {node.func.id for node in raised if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        found |= {part for other in functions if other.name in called for part in ast.walk(other)}
    return found


def text_of(node: ast.AST) -> str | None:
    """A string of Python, with `{}` for values."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


NO_TEXT = re.compile(r"<[^<>]*>|[\w:-]+=\"[^\"]*\"?|@media[^{]*\{|[^{}]*\{[^{}]+\}")
"""Tags, attributes and CSS rules."""
NO_SENTENCES = "__all__|(?:[A-Z]+_)?(?:STYLE|COMMON|POLICY|SCRIPT)"
"""Names of constants that hold no sentences: style sheets, scripts, and which requests a page may make."""


def said_in_module(source: str) -> list[str]:
    """Texts for readers in a Python module: no docstring, no message of an error, no HTML or CSS."""
    tree = ast.parse(source)
    skipped = messages(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr | ast.JoinedStr):  # a docstring stands alone; a part of an f-string is none
            skipped |= {part for part in ast.iter_child_nodes(node) if isinstance(part, ast.Constant)}
        elif isinstance(node, ast.Assign) and re.fullmatch(NO_SENTENCES, ast.unparse(node.targets[0])):
            skipped |= set(ast.walk(node))
    texts = [text_of(node) for node in ast.walk(tree) if node not in skipped]
    return [text for text in texts if text is not None and is_said(NO_TEXT.sub(" ", text))]


NOT_SAID = {
    "mean and variance": "the name of a statistic in METHODS",
    "squared norm": "the name of a statistic in METHODS",
    "mean square": "the name of a statistic in METHODS",
    "Cout": "the name of an axis",
    "Cin": "the name of an axis",
    "Keras": "the name of a framework",
    "False": "source code",
    "{}[:, None]": "source code",
    "Standardization": "the end of a method's label, which is cut where room is short",
    "Std.": "and what takes its place",
    "( Layer| Response| Batch)? Norm$": "what is cut from a label",
    "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif": "fonts",
    "Georgia,'Times New Roman',serif": "fonts",
    "{} to {}": "a range is written like a number",
    "light dark": "a value in CSS",
    "min({}px, {} * {})": "a value in CSS",
    "the cube": "a part of explorer.css",
    "True": "a word of Python",
    "loud channel": "the name of a fill",
    "loud sample": "the name of a fill",
}


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_no_sentence_stands_in_a_script(path):
    assert [text for text in said_in_script(path.read_text("utf-8")) if text not in NOT_SAID] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_sentence_stands_in_a_module(path):
    assert [text for text in said_in_module(path.read_text("utf-8")) if text not in NOT_SAID] == []


PLANTED = {
    'h("p", {}, "Every set has one mean.")': "Every set has one mean.",
    "setText(status, `${count} marked`)": "{} marked",
    'button({ class: "nv-small" }, "Reveal")': "Reveal",
    'h("dt", { "aria-label": `index ${axis}, 0 to ${last}` })': "index {}, 0 to {}",
    "put(node, `<b>no</b>: nothing is pooled, ${done ? `in ${count} sets` : 0}`)": "<b>no</b>: nothing is pooled, {}",
}


@pytest.mark.parametrize("line", PLANTED)
@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_planted_sentence_is_found_in_a_script(path, line):
    code = path.read_text("utf-8")
    at = [found.end() for found in re.finditer(r";\n", code)]
    for place in (at[0], at[len(at) // 2], at[-1]):
        assert PLANTED[line] in said_in_script(f"{code[:place]}{line};\n{code[place:]}")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_planted_sentence_is_found_in_a_module(path):
    source = path.read_text("utf-8")
    for line in (
        'TITLE = "Which cells share one mean?"',
        'def planted():\n    yield pen.text(0, 0, f"<b>{size}</b> cells", 12)',
        'def planted():\n    """A docstring."""\n    return f\'<p class="a">Shade {what}.</p>\'',
        'def planted(x):\n    if not x:\n        raise ValueError("x is empty")\n    return "x is full"',
    ):
        assert len(said_in_module(f"{source}\n\n{line}\n")) == len(said_in_module(source)) + 1


# ---- every key is used, and has its values --------------------------------------------------------------------------


def split(code: str, at: int) -> list[str]:
    """The parts between the bracket before `at` and its end that commas separate."""
    hidden = {"(": ")", "[": "]", "{": "}"}
    depth, parts, begin = 0, [], at
    strings = re.compile(r'"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`')
    while depth >= 0:
        if string := strings.match(code, at):
            at = string.end()
            continue
        depth += (code[at] in hidden) - (code[at] in hidden.values())
        if (code[at] == "," and not depth) or depth < 0:
            parts.append(code[begin:at].strip())
            begin = at + 1
        at += 1
    return [part for part in parts if part]


def values_in(code: str, at: int, expression: str) -> set[str]:
    """The keys of an object that is written out, or that was set to one before."""
    if re.fullmatch(r"\w+", expression):
        start = re.compile(rf"const {expression} = \{{").finditer(code[:at])
        place = max(found.end() for found in start)
    elif expression.startswith("{"):
        place = code.index(expression, at) + 1
    else:
        raise AssertionError(f"write the values of {expression!r} where a reader sees them")
    keys = set()
    for part in split(code, place):
        keys |= values_in(code, at, part[3:]) if part.startswith("...") else {part.partition(":")[0]}
    return keys


Call = tuple[str, list[str], set[str]]
"""Where a text is said, the keys (with `{}` for a part that depends on something), and the names of the values."""


def calls_in_script(path: Path) -> Iterator[Call]:
    code = path.read_text("utf-8")
    for call in re.finditer(r"(?<!function )\bsay\(", code):
        key, *values = split(code, call.end())
        keys = [re.sub(r"\$\{[^}]*\}", "{}", each) for each in re.findall(r'["`]([a-z]+\.[^"`]+)["`]', key)]
        yield name(path), keys, values_in(code, call.end(), values[0]) if values else set()


def calls_in_module(path: Path) -> Iterator[Call]:
    tree = ast.parse(path.read_text("utf-8"))
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "say"):
            continue
        first = call.args[0]
        branches = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
        keys = [text for text in map(text_of, branches) if text]
        given: set[str] = set()
        for keyword in call.keywords:
            if keyword.arg:
                given.add(keyword.arg)
                continue
            scope = next(f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and call in set(ast.walk(f)))
            set_to = [
                node.value
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ast.unparse(keyword.value)
            ]
            for value in set_to:
                assert isinstance(value, ast.Dict), f"{name(path)}: write out the values of {keys}"
                given |= {str(text_of(key)) for key in value.keys if key}
        yield name(path), keys, given


def matching(key: str) -> list[str]:
    """The keys of the catalog that a key with `{}` stands for."""
    section, _, short = key.partition(".")
    pattern = re.escape(short).replace(re.escape("{}"), "[a-z-]+")
    return [f"{section}.{each}" for each in CATALOG.get(section, {}) if re.fullmatch(pattern, each)]


def needed(key: str) -> set[str]:
    """The names of the values of a text."""
    section, _, short = key.partition(".")
    return {place[0] for place in PLACE.findall(CATALOG[section][short])}


@pytest.fixture(scope="module")
def calls() -> list[Call]:
    in_modules = [call for path in PACKAGE.rglob("*.py") for call in calls_in_module(path)]
    return in_modules + [call for path in SCRIPTS for call in calls_in_script(path)]


def test_every_text_that_is_said_exists_and_has_its_values(calls):
    assert len(calls) > 200
    for where, keys, given in calls:
        assert keys, f"{where}: write out the key of a text"
        for key in keys:
            assert matching(key), f"{where} says {key!r}, which is not in the catalog"
        texts = [text for key in keys for text in matching(key)]
        for text in texts:
            assert needed(text) <= given, f"{where} does not give {needed(text) - given} to {text!r}"
        assert given <= set().union(*map(needed, texts)), f"{where} gives more to {keys} than they need"


def test_every_text_of_the_catalog_is_said(calls):
    used = {text for _, keys, _ in calls for key in keys for text in matching(key)}
    every = {f"{section}.{key}" for section, texts in CATALOG.items() for key in texts if section != "cautions"}
    assert every - used == set()
    # These are looked up by a method's name, in both languages with these values.
    assert set(CATALOG["cautions"]) <= set(METHODS)
    assert {value for key in CATALOG["cautions"] for value in needed(f"cautions.{key}")} <= {"axes", "sample"}
