"""The chooser: a page of questions that ends in advice on which normalizer to use, with its pooling set.

The page contains all questions and all advice once; the browser follows the answers and draws the sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from normviz.core.errors import check_keywords, unknown
from normviz.core.methods import METHODS
from normviz.explorer import scene
from normviz.explorer.sentences import say
from normviz.explorer.standalone_page import StandalonePage
from normviz.explorer.svg.writer import Pen
from normviz.method_chooser import diagram
from normviz.method_chooser.content import ADVICE, FIRST, QUESTIONS, Advice, Drawn, Question, paths, reachable


@dataclass(frozen=True, eq=False, repr=False)
class Chooser(StandalonePage):
    """A decision guide as plain output: it needs no kernel, now or later.

    Attributes
    ----------
    answers
        The answers given so far, by question, in the order of the path; read-only.
    """

    TITLE = say("chooser.title")
    KIND = say("chooser.kind")
    SCRIPT, STYLE = "method_chooser/chooser.js", "method_chooser/chooser.css"
    SIZE = diagram.WIDTH, diagram.HEIGHT
    HEIGHTS = (
        *((0, 1740), (320, 1625), (340, 1585), (374, 1515), (440, 1415)),
        *((479, 1155), (599, 1100), (630, 990), (760, 930), (880, 760)),
    )

    answers: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", MappingProxyType(dict(self.answers)))

    def __reduce__(self) -> tuple[type[Chooser], tuple[dict[str, str]]]:
        # A read-only view of a mapping cannot be pickled or copied.
        return Chooser, (dict(self.answers),)

    @property
    def _end(self) -> str:
        """Key of the question or the advice that the answers lead to."""
        at = FIRST
        for key, answer in self.answers.items():
            at = QUESTIONS[key].option(answer).to
        return at

    @property
    def question(self) -> Question | None:
        """The next open question, or None if the answers lead to an advice."""
        return QUESTIONS.get(self._end)

    @property
    def advice(self) -> Advice | None:
        """The advice that the answers lead to, or None while a question is open."""
        return ADVICE.get(self._end)

    def __repr__(self) -> str:
        given = "".join(f"{key}={answer!r}, " for key, answer in self.answers.items())
        end = "advice" if self.advice else "question"
        return f"Chooser({given}{end}={self._end!r})"

    def _picture(self, theme: str = "auto") -> str:
        pen = Pen(theme)
        return self._svg(pen, diagram.tree(pen, self.TITLE, self.answers))

    def _description(self) -> str:
        return diagram.description()

    def _data(self) -> dict[str, Any]:
        return {"title": self.TITLE, "answers": dict(self.answers), **tables()}


def tables() -> dict[str, Any]:
    """Return the questions, the advice, and the rows of METHODS that are drawn, as JSON."""
    order = list(reachable(FIRST, QUESTIONS))
    advice = [ADVICE[key] for key in order]
    names = dict.fromkeys(drawn.method for each in advice for drawn in each.drawn)
    return {
        "first": FIRST,
        "methods": {name: {key: getattr(METHODS[name], key) for key in scene.ROW} for name in names},
        "questions": [_question(row) for row in QUESTIONS.values()],
        "advice": [_advice(row) for row in advice],
    }


def _question(row: Question) -> dict[str, Any]:
    within = list(reachable(row.key, QUESTIONS))
    options = []
    for option in row.options:
        kept = set(reachable(option.to, QUESTIONS))
        # The advice that this answer rules out: no later answer leads to it.
        options.append(asdict(option) | {"drops": [key for key in within if key not in kept]})
    return {"key": row.key, "text": row.text, "note": row.note, "options": options}


def _advice(row: Advice) -> dict[str, Any]:
    strings = {key: getattr(row, key) for key in ("key", "label", "why", "watch", "consider", "code")}
    return strings | {"evidence": list(map(asdict, row.evidence)), "drawn": list(map(_drawn, row.drawn))}


def _drawn(one: Drawn) -> dict[str, Any]:
    own = asdict(one)
    return own | {"G": own.pop("num_groups"), "bins": scene.bins(one.shape)}


@partial(check_keywords, renamed={"positions": "data"})
def chooser(
    *,
    data: str | None = None,
    erase: str | None = None,
    style: str | None = None,
    centring: str | None = None,
    vectors: str | None = None,
    pretrained: str | None = None,
    tuning: str | None = None,
    samples: str | None = None,
    inference: str | None = None,
    freedom: str | None = None,
) -> Chooser:
    """Ask which normalizer fits, beginning with what one sample of your data looks like. Needs no kernel.

    Every keyword answers a question in advance, along one path; without any, the guide begins at the first question.

    Parameters
    ----------
    data
        What does one sample look like? "maps", "tokens", "vector", "steps" (recurrent), "weights" (no data at all).
    erase
        May the layer erase each channel's own mean and contrast? "yes", "partly" (its scale), "no".
    style
        What sets the contrast afterwards? "none", "list" (of styles), "image".
    centring
        Should each token lose its mean as well? "yes", "no".
    vectors
        How many samples per GPU? "few" (1 to 31, or it changes), "many" (32 and more).
    pretrained
        Do the weights come with Batch Norm? "keep", "swap", "no".
    tuning
        How many samples per GPU in fine-tuning? "many" (9 and more), "devices" (many on several GPUs), "few".
    samples
        How many per GPU in training: "one", "few" (2 to 8), "some" (9 to 31), "many" (32 to 256), "huge", "changes".
    inference
        What matters at inference? "fold", "any", "same" (as in training).
    freedom
        What else may change? "nothing", "devices", "weights", "learn".

    Returns
    -------
    Chooser
        Displays itself as HTML and as a still picture of the whole tree; `to_html` and `to_svg` write files. `advice`
        is the result of the answers and `question` the next open question; one of them is None.

    Raises
    ------
    ValueError, TypeError
        For an unknown answer, or an answer to a question that the path does not ask, in one sentence.

    Examples
    --------
    >>> import normviz as nv
    >>> nv.chooser(data="tokens")
    Chooser(data='tokens', question='centring')
    >>> nv.chooser(data="tokens").question.text
    'Should each token lose its mean as well?'
    >>> nv.chooser(data="tokens", centring="no").advice.label
    'RMS Norm'
    """
    every = (data, erase, style, centring, vectors, pretrained, tuning, samples, inference, freedom)
    given = {key: value for key, value in zip(QUESTIONS, every, strict=True) if value is not None}
    for key, value in given.items():
        known = [option.key for option in QUESTIONS[key].options]
        if not isinstance(value, str):
            raise TypeError(f"{key} must be a name such as {known[0]!r}, not {type(value).__name__}")
        if value not in known:
            raise ValueError(unknown(f"answer to {key}", value, known))
    answers: dict[str, str] = {}
    at = FIRST
    while at in given:
        answers[at] = given[at]
        at = QUESTIONS[at].option(given[at]).to
    if len(answers) < len(given):
        raise ValueError(_not_asked(next(key for key in given if key not in answers), given, answers, at))
    return Chooser(MappingProxyType(answers))


def _not_asked(key: str, given: Mapping[str, str], answers: Mapping[str, str], at: str) -> str:
    path = ", ".join(f"{name}={answer!r}" for name, answer in answers.items())
    after = f" after {path}" if path else ""
    subject = f"{key}={given[key]!r} answers a question that is not asked{after}"
    if at in ADVICE:
        return f"{subject}, which leads to {ADVICE[at].label}; leave {key} out"
    if not any(key in ahead for ahead in paths(at, QUESTIONS)):
        return f"{subject}; leave {key} out"
    known = " or ".join(repr(option.key) for option in QUESTIONS[at].options)
    return f"{subject}: {at} comes first; give {at}={known}, or leave {key} out"


__all__ = ["Chooser", "chooser"]
