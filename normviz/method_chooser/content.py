"""What a decision guide is made of: questions, their options, and the advice at the end of each path.

The tables are `questions.QUESTIONS` and `advice.ADVICE`. A question leads from each of its options to another question
or to an advice, so the guide is a graph without circles, and a path through it is a row of answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAPS = (4, 8, 6, 6)
"""The tensor on which the set of an advice is drawn, (N, C, H, W)."""
TOKENS, VECTORS, WEIGHTS = (4, 8, 6), (4, 8), (4, 6, 3, 3)
"""The same for sequences (N, C, L), for vectors (N, C), and for a convolution (Cout, Cin, kH, kW)."""


@dataclass(frozen=True)
class Option:
    """One answer.

    Attributes
    ----------
    key, label, hint
        What the code calls it, what a person reads, and when it is the answer.
    to
        Key of the question that comes next, or of the advice.
    against
        Why what the other answers would have led to does not fit.
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
        What the code calls it, what a person reads, and the same where there is little room.
    note
        What one has to know to answer, with the source of every number in it.
    options
        The answers; a path goes through one of them.
    """

    key: str
    text: str
    short: str
    note: str
    options: tuple[Option, ...]

    def option(self, key: str) -> Option:
        """The answer of that name."""
        return next(option for option in self.options if option.key == key)


@dataclass(frozen=True)
class Evidence:
    """Something measured or written, and where: numbers stand beside the table that has them.

    Attributes
    ----------
    text, source
        What is known, and where from.
    rows
        The numbers as a table, its first row the heads of its columns.
    """

    text: str
    source: str
    rows: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        numbers = "; ".join(f"{row[0]} {', '.join(row[1:])}".strip() for row in self.rows)
        return f"{self.text}{': ' if numbers else ''}{numbers} ({self.source})"


@dataclass(frozen=True)
class Drawn:
    """A pooling set to be drawn.

    Attributes
    ----------
    method, num_groups, shape
        As `pooling` takes them.
    title
        What is written above it.
    pooled
        Whether the layer pools while it is used so: frozen statistics were pooled before, and light no set.
    """

    method: str
    num_groups: int | None = None
    shape: tuple[int, ...] = MAPS
    title: str = ""
    pooled: bool = True


@dataclass(frozen=True)
class Advice:
    """A normalizer, and what speaks for and against it.

    Attributes
    ----------
    key, label
        What the code calls it, and what a person does.
    method
        The key of METHODS whose pooling set it has, or None where it is more than one set.
    num_groups
        G on the tensor that is drawn, where the method takes one.
    why, watch, consider
        One sentence each: why this one, what to look out for, and what else may fit.
    evidence
        What it rests on.
    code
        The same in PyTorch.
    drawn
        The sets that it means.
    """

    key: str
    label: str
    method: str | None
    why: str
    watch: str
    consider: str
    evidence: tuple[Evidence, ...]
    code: str
    drawn: tuple[Drawn, ...]

    @property
    def num_groups(self) -> int | None:
        """G on the tensor that is drawn, where the method takes one."""
        return next((one.num_groups for one in self.drawn if one.method == self.method), None)


def reachable(key: str, questions: Mapping[str, Question]) -> Iterator[str]:
    """The keys of all advice that a question, or an advice itself, can lead to, in order and each once."""
    found: dict[str, None] = {}
    for option in questions[key].options if key in questions else ():
        found |= dict.fromkeys(reachable(option.to, questions))
    yield from found if key in questions else (key,)


def paths(key: str, questions: Mapping[str, Question]) -> Iterator[dict[str, str]]:
    """Every way from a question to an advice, as answers by question."""
    if key not in questions:
        yield {}
        return
    for option in questions[key].options:
        for rest in paths(option.to, questions):
            yield {key: option.key, **rest}
