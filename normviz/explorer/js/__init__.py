"""The front-end: ES modules and a stylesheet, joined into one text each, with no build step.

A widget, a saved notebook and a page each contain the whole front-end, so that nothing has to be fetched.
"""

from __future__ import annotations

import json
import posixpath
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from normviz.explorer.constants import CONSTANTS, DARK, LIGHT

IMPORT = re.compile(r'^import (\w+|\{[^}]*\}) from "(\.[^"]+)"(?: with \{ type: "json" \})?;\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async|class|const|function|let)\b)", re.MULTILINE)
TOP_LEVEL = re.compile(r"^(?:async )?(?:class|const|function|let) (\w+)", re.MULTILINE)
NOT_JOINED = re.compile(r"^(?:import|var|export(?! default )|(?:const|let) (?:[{[]|\w+,)).*", re.MULTILINE)

NOT_NEEDED = re.compile(r"^(?:[ \t]*(?:/\*(?:(?!\*/).)*\*/[ \t]*\n|//[^\n]*\n))*[ \t]*", re.MULTILINE | re.DOTALL)

SIGNS = r"[=,;:?(){}<>*&|!\[\]]"
SPACES = re.compile(f" (?={SIGNS})|(?<={SIGNS}) |(?<![+-]) (?=[+-] [^+-])|(?<=[^+-] [+-]) (?![+-])")
STRING = re.compile(r'("(?:[^"\\]|\\.)*"|`[^`]*`)')
KEPT = re.compile("['`]|(?<! )/|/(?! )")
"""Beside the strings of a line that may hold a regular expression."""
CONST = re.compile(r"\bconst ")
COMMENT = re.compile("(?<=;) //.*")
BREAKS = re.compile(r"(?<=[;,({[])\n+(?!export)|\n+(?=[]).}?:&|])")
"""Ends of lines that a script does not need."""
STYLE_SPACES = re.compile(r";?\s*(?=\})|\s*(?=[{>])|(?<=[:;,{}>])\s+")

WORKER = re.compile(r'new URL\("(\./[^"]+)", import\.meta\.url\)')

SECTION = re.compile(r"^/\* ---- (.*?) ---- \*/\n", re.MULTILINE)

PACKAGE = files("normviz")


def module(*, editable: bool = False) -> str:
    """The text of the ES module, as anywidget wants it; `editable` as in `page`."""
    return joined(f"explorer/js/hosts/{'editable' if editable else 'plain'}_widget.js")


def page(*, editable: bool = False, time: bool = False) -> str:
    """The script of an exported page: explorers, a stand-in for the model, and the state in the address.

    Parameters
    ----------
    editable
        Bring along the panel in which the reader makes a tensor.
    time
        Bring along the part for recordings over time.
    """
    host = ("full" if time else "editable") if editable else "time" if time else "plain"
    return joined(f"explorer/js/hosts/{host}_page.js")


@cache
def joined(entry: str, package: Traversable = PACKAGE) -> str:
    """The file `entry` and all that it imports, as one ES module without imports."""
    texts, data = collected(entry, package)
    lines = COMMENT.sub("", NOT_NEEDED.sub("", "\n".join(texts.values()))).split("\n")
    script = BREAKS.sub("", "\n".join(map(compact, lines)))
    return "".join(f"{constant(what, package.joinpath(path), script)}\n" for what, path in data.items()) + script


def collected(entry: str, package: Traversable = PACKAGE) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of the file `entry` and of all that it imports, by path; and the paths of JSON files, by their names.

    A file comes after those that it imports. They share one scope, so a name at the top level stands in one file only.

    Raises
    ------
    ValueError
        If two files declare the same name, or if a line of a file has a form that is not joined.
    """
    texts: dict[str, str] = {}
    data: dict[str, str] = {}
    owners: dict[str, str] = {}

    def add(name: str) -> None:
        texts[name] = ""
        text = package.joinpath(name).read_text(encoding="utf-8")
        for what, path in IMPORT.findall(text):
            imported = beside(name, path)
            if imported.endswith(".json"):
                data[what] = imported
            elif imported not in texts:
                add(imported)
        text = EXPORT.sub("", IMPORT.sub("", text))
        text = WORKER.sub(lambda found: carried(beside(name, found[1]), package), text)
        if found := NOT_JOINED.search(text):
            raise ValueError(f"{name}: the line {found[0]!r} has a form that the files of the front-end must not use")
        for top in TOP_LEVEL.findall(text):
            if (other := owners.setdefault(top, name)) != name:
                raise ValueError(f"{other} and {name} both declare {top} at the top level: rename one of the two")
        del texts[name]  # so that it comes after what it imports
        texts[name] = text

    add(entry)
    return texts, data


def beside(name: str, path: str) -> str:
    """The file to which a relative path in the file `name` leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))


def carried(entry: str, package: Traversable) -> str:
    """An expression for the address of the joined script of a worker, which the page carries as a text."""
    text = json.dumps(joined(entry, package), ensure_ascii=False).replace("<", "\\u003c")
    return f'URL.createObjectURL(new Blob([{text}], {{ type: "text/javascript" }}))'


def compact(line: str) -> str:
    """A line in fewer bytes: without the spaces around signs, and with `let` for `const`; strings stay as they are."""
    parts = STRING.split(line)  # code and strings take turns
    # A template in a template would end its text; and the export stays easy to find.
    if line.count("`") > 2 or line.startswith("export ") or any(map(KEPT.search, parts[::2])):
        return line
    return "".join(part if k % 2 else CONST.sub("let ", SPACES.sub("", part)) for k, part in enumerate(parts))


def constant(name: str, file: Traversable, script: str) -> str:
    """The parts of a JSON file that a script names (`name.part`, or a text that begins with "part."), as a constant."""
    parts = json.loads(file.read_text(encoding="utf-8"))
    named = {part for pair in re.findall(rf'\b{name}\.(\w+)|["`](\w+)\.', script) for part in pair}
    used = {part: value for part, value in parts.items() if part in named}
    return f"const {name} = {json.dumps(used, ensure_ascii=False, separators=(',', ':'))};"


@cache
def stylesheet(*, editable: bool = True, time: bool = False) -> str:
    """The text of the explorer's stylesheet; every rule stands under `.normviz`.

    Parameters
    ----------
    editable
        With the rules of the panel in which the reader makes a tensor.
    time
        With the rules of the part for recordings over time.
    """
    without = {"", *(["the tensor panel"] if not editable else []), *(["time"] if not time else [])}
    names = [name for name in sections() if name not in without]
    return with_variables(part_of_style(*names))


@cache
def rules(own: str, *names: str) -> str:
    """The explorer's common rules, those of the named sections and for paper, and those of the file `own`."""
    return with_variables(part_of_style(*names, "on paper") + read(own))


@cache
def sections() -> dict[str, str]:
    """The sections of the explorer's stylesheet by their names; the rules before the first one are called ""."""
    pairs = SECTION.split(PACKAGE.joinpath("explorer/js/explorer.css").read_text(encoding="utf-8"))
    return dict(zip(["", *pairs[1::2]], pairs[::2], strict=True))


def part_of_style(*names: str) -> str:
    """The common rules and those of these sections, without indentation and comments."""
    return NOT_NEEDED.sub("", "".join(sections()[name] for name in ("", *names)))


def with_variables(style: str) -> str:
    """A stylesheet after rules that give those variables of constants.json a value that it uses."""
    used = set(re.findall(r"var\(--([\w-]+)\)", style))
    light, dark = ({name: value for name, value in look.items() if name in used} for look in variables())
    changed = {name: value for name, value in dark.items() if value != light[name]}
    looks = {".normviz": light, '.normviz[data-theme="dark"]': changed}
    lines = (
        f"{where} {{{';'.join(f'--{name}:{value}' for name, value in look.items())}}}" for where, look in looks.items()
    )
    return STYLE_SPACES.sub("", "\n".join([*lines, style]))


def variables() -> tuple[dict[str, str], dict[str, str]]:
    """The CSS variables of constants.json in the light and in the dark theme, without the dashes before their names."""
    kinds = (("stroke", "strokes"), ("opacity", "opacity"), ("dash", "dashes"))
    both = {f"{kind}-{name.replace('_', '-')}": str(v) for kind, key in kinds for name, v in CONSTANTS[key].items()}
    both |= {f"hue-{k}": f"rgb({r} {g} {b})" for k, (r, g, b) in enumerate(CONSTANTS["hues"])}
    for name in ("usual", "tall", "narrow"):
        least, share, most = CONSTANTS["stage"][name]
        both[f"stage-{name}"] = f"clamp({least}px,{100 * share:g}cqw,{most}px)"
    return LIGHT | both, DARK | both


@cache
def read(name: str) -> str:
    """The text of a file below `normviz/` without indentation and comment lines, which are a tenth of a page."""
    return NOT_NEEDED.sub("", PACKAGE.joinpath(name).read_text(encoding="utf-8"))
