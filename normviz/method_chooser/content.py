"""The content of the decision guide: questions, their options, and the advice at the end of each path.

`content.toml` holds the texts. Each option of a question leads to a later question or to an advice, so the guide is a
graph without circles, and a path through it is a list of answers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, TypeVar

from normviz.core.errors import unknown
from normviz.core.methods import find

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """One answer to a question.

    Attributes
    ----------
    key, label, hint
        Its name in code, its text for the reader, and when it applies.
    to, against
        Key of the next question or of the advice; why the advice that the other answers lead to does not fit.
    """

    key: str
    label: str
    hint: str
    to: str
    against: str


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    key, text, short
        Its name in code, its text for the reader, and a shorter text for the printed tree.
    note, options
        What the reader needs to know to answer, with the source of every number in it; the answers.
    """

    key: str
    text: str
    short: str
    note: str
    options: tuple[Option, ...]

    def option(self, key: str) -> Option:
        """Return the option with that key."""
        return next(option for option in self.options if option.key == key)


@dataclass(frozen=True)
class Evidence:
    """A measured or published fact, with its source.

    Attributes
    ----------
    text, source
        The fact, and where it was published.
    rows
        The numbers as a table; the first row holds the column heads.
    """

    text: str
    source: str
    rows: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        numbers = "; ".join(f"{row[0]} {', '.join(row[1:])}".strip() for row in self.rows)
        return f"{self.text}{': ' if numbers else ''}{numbers} ({self.source})"


@dataclass(frozen=True)
class Drawn:
    """A pooling set to draw.

    Attributes
    ----------
    method, num_groups
        As `pooling` takes them.
    shape
        The tensor: maps (N, C, H, W), tokens (N, C, L), vectors (N, C), or weights (Cout, Cin, kH, kW).
    title
        The heading of the drawing.
    pooled
        False for frozen statistics: the layer uses stored ones, so no set is lit.
    """

    method: str
    num_groups: int | None = None
    shape: tuple[int, ...] = (4, 8, 6, 6)
    title: str = ""
    pooled: bool = True


@dataclass(frozen=True)
class Advice:
    """A normalizer, with the reasons for and against it.

    Attributes
    ----------
    key, label
        Its name in code, and its name for the reader.
    why, watch, consider
        One sentence each: why it fits, what to look out for, and which other one may fit.
    code, drawn, evidence
        The layer in PyTorch, its pooling sets, and the published facts that support the advice.
    method
        The key of METHODS whose pooling sets it has, or None where it has several kinds of sets, or none.
    """

    key: str
    label: str
    why: str
    watch: str
    consider: str
    code: str
    drawn: tuple[Drawn, ...]
    evidence: tuple[Evidence, ...]
    method: str | None = None

    @property
    def num_groups(self) -> int | None:
        """G on the tensor that is drawn, where the method takes one."""
        return next((one.num_groups for one in self.drawn if one.method == self.method), None)


def load(text: str) -> tuple[dict[str, Question], dict[str, Advice]]:
    """Return the questions and the advice of a TOML file by key, in the order of the file.

    Raises
    ------
    ValueError
        A key is missing, unknown, given twice or of the wrong type; a method is unknown; an option leads nowhere or to
        an earlier question; or no path reaches an advice.
    """
    given = tomllib.loads(text)
    tables = {key: _record(Evidence, row, rows=_rows(key, row)) for key, row in given.get("tables", {}).items()}
    questions = [
        _record(Question, row, options=tuple(_record(Option, option) for option in row.get("options", ())))
        for row in given.get("questions", ())
    ]
    advice = [_advice(row, tables) for row in given.get("advice", ())]
    keys = [row.key for row in (*questions, *advice)]
    for k, row in enumerate(questions):
        if len(row.options) < 2:
            raise ValueError(f"question {row.key!r} needs at least two options")
        for option in row.options:
            if option.to not in keys[k + 1 :]:
                place = f"option {option.key!r} of question {row.key!r} leads to"
                raise ValueError(f"{place} {option.to!r}, which is not the key of a later question or of an advice")
    reached = {option.to for row in questions for option in row.options}
    for k, key in enumerate(keys):
        if key in keys[:k]:
            raise ValueError(f"the key {key!r} is given twice; every question and every advice needs its own")
        if k and key not in reached:
            raise ValueError(f"no option leads to {key!r}; name it in an option's `to`, or take it out")
    return {row.key: row for row in questions}, {row.key: row for row in advice}


def _advice(row: dict[str, Any], tables: Mapping[str, Evidence]) -> Advice:
    named = row.pop("tables", [])
    for name in named:
        if name not in tables:
            raise ValueError(f"advice {row.get('key')!r}: {unknown('table', name, tables)}")
    facts = [_record(Evidence, each) for each in row.get("evidence", ())]
    shapes = [{"shape": tuple(each["shape"])} if "shape" in each else {} for each in row.get("drawn", ())]
    drawn = tuple(_record(Drawn, each, **shape) for each, shape in zip(row.get("drawn", ()), shapes, strict=True))
    for name in filter(None, [row.get("method"), *(one.method for one in drawn)]):
        find(name)
    return _record(Advice, row, drawn=drawn, evidence=(*(tables[name] for name in named), *facts))


def _rows(key: str, row: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    rows = tuple(map(tuple, row.get("rows", ())))
    if len(rows) < 2 or len({len(each) for each in rows}) != 1:
        raise ValueError(f"table {key!r} needs a row of column heads and further rows of the same length")
    return rows


def _record(kind: type[T], given: Mapping[str, Any], **parts: Any) -> T:
    """Build a dataclass from an entry of the file; in prose, line breaks become spaces."""
    name = f"{kind.__name__.lower()} {given.get('key', given.get('text', ''))!r}"
    prose = [field.name for field in fields(kind) if field.type == "str"]  # type: ignore[arg-type]
    values = {**given, **parts}
    for key in prose:
        if not isinstance(values.get(key, ""), str):
            raise ValueError(f"{name}: {key} must be text, not {values[key]!r}")
        if key in values and key != "code":
            values[key] = " ".join(values[key].split())
    try:
        return kind(**values)
    except TypeError as error:  # a key that is missing or unknown
        raise ValueError(f"{name}: {str(error).partition('() ')[2]}") from None


def reachable(key: str, questions: Mapping[str, Question]) -> Iterator[str]:
    """Yield the keys of all advice that a question (or an advice itself) can lead to, in order and each once."""
    found: dict[str, None] = {}
    for option in questions[key].options if key in questions else ():
        found |= dict.fromkeys(reachable(option.to, questions))
    yield from found if key in questions else (key,)


def paths(key: str, questions: Mapping[str, Question]) -> Iterator[dict[str, str]]:
    """Yield every path from a question to an advice, as answers by question."""
    if key not in questions:
        yield {}
        return
    for option in questions[key].options:
        for rest in paths(option.to, questions):
            yield {key: option.key, **rest}


QUESTIONS, ADVICE = load(files("normviz.method_chooser").joinpath("content.toml").read_text(encoding="utf-8"))
FIRST = next(iter(QUESTIONS))
"""Key of the question with which every path begins."""
