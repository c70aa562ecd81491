"""The quiz: a page that hides a normalization layer. The student pokes cells, sees which respond, and names the layer.

The page contains the pooling sets as labels, not the name, and compares the sets of the student's answer with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from normviz.backends.dispatch import host
from normviz.core.errors import brief, check_keywords, whole, whole_within
from normviz.core.methods import METHODS, find
from normviz.core.pooling import canonical, divisors, pooling
from normviz.explorer import scene, validation
from normviz.explorer.sentences import say
from normviz.explorer.standalone_page import StandalonePage
from normviz.explorer.svg.cube import Cubes, draw
from normviz.explorer.svg.readout import measure
from normviz.explorer.svg.writer import Pen, wrapped
from normviz.inspect.probe.probe import probe

OFFERED = ("batch", "layer", "instance", "group", "positional")
"""The methods that a drawn question hides, and that every question offers as answers."""
SHAPE = (3, 8, 5, 5)
MOST_CELLS = 2**14


@dataclass(frozen=True, eq=False, repr=False)
class Quiz(StandalonePage):
    """A quiz as plain output: it needs no kernel, now or later.

    Attributes
    ----------
    labels
        For each question an int array of x's shape (N, C, *spatial) with the number of each cell's set.
    answers
        For each question the hidden method and its G, for the teacher; None for a probed layer. Not in the page.
    pokes
        How many cells may be poked before a question is answered.
    """

    TITLE = say("quiz.title")
    KIND = "quiz"
    SCRIPT, STYLE = "classroom/quiz.js", "classroom/quiz.css"
    SIZE = 960, 560
    HEIGHTS = ((0, 880), (400, 800), (600, 700))

    labels: tuple[np.ndarray, ...]
    answers: tuple[tuple[str, int | None] | None, ...]
    pokes: int

    def __repr__(self) -> str:
        return f"Quiz(shape={self.labels[0].shape}, questions={len(self.labels)}, pokes={self.pokes})"

    def _data(self) -> dict[str, Any]:
        shape = self.labels[0].shape
        hidden = [answer[0] for answer in self.answers if answer]
        # In the order of METHODS: a hidden method beyond the usual ones must not stand out at the end.
        rows = [row for row in METHODS.values() if row.name in (*OFFERED, *hidden)]
        return {
            "title": self.TITLE,
            "shape": list(shape),
            "bins": list(scene.bins(shape)),
            "pokes": self.pokes,
            "methods": [{key: getattr(row, key) for key in scene.SETS} for row in rows],
            # "None of these" is offered for all questions if any layer is probed, as one alone would give it away.
            "none": None in self.answers,
            "questions": [{"labels": scene.pack_labels(each)} for each in self.labels],
        }

    def _description(self) -> str:
        shape = ", ".join(map(str, self.labels[0].shape))
        return say("quiz.picture", shape=shape, count=len(self.labels))

    def _picture(self, theme: str = "auto") -> str:
        """The cube with no set lit."""
        shape, pen = self.labels[0].shape, Pen(theme)
        index = tuple(0 if axis == 1 else length // 2 for axis, length in enumerate(shape))
        subject = validation.subject(np.zeros(shape))
        state = validation.first_state(subject, {"index": index, "predict": True})
        width, height = self.SIZE
        lines = wrapped(self._description(), 13, width - 56, 3)
        body = [
            pen.text(28, 40, self.TITLE, 20, bold=True),
            *(pen.text(28, 64 + 18 * k, line, 13, "muted") for k, line in enumerate(lines)),
            '<g transform="translate(16 96)">',
            *draw(pen, Cubes(subject, state, measure(subject, state), {"width": width - 32, "height": height - 132})),
            "</g>",
        ]
        return self._svg(pen, body)


@check_keywords
def quiz(
    x: Any = None,
    *,
    method: str | Sequence[str] | None = None,
    num_groups: int | None = None,
    layer: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
    questions: int | None = None,
    pokes: int = 3,
    seed: int | None = None,
    channel_axis: int = 1,
) -> Quiz:
    """Hide the method of a layer: the student pokes cells, sees which respond, and names it. Needs no kernel.

    Parameters
    ----------
    x
        An array with the shape of the questions, of at most 2**14 cells; its values do not matter. None takes
        (3, 8, 5, 5).
    method
        A key of METHODS, or several, one question each; None draws from batch, layer, instance, group, positional.
    num_groups
        G for those of the given methods that take one; None draws a divisor.
    layer
        A callable to be measured by `probe`, or several, one question each, instead of methods.
    questions
        How many are drawn; None takes 3. With `method` or `layer` there are as many as were given.
    pokes
        How many cells may be poked before a question is answered; afterwards the number is not limited.
    seed
        Draws the same questions again; None draws new ones each time.
    channel_axis
        Channel axis of x, and of what the layer takes.

    Returns
    -------
    Quiz
        Displays itself as HTML and as a still picture; `to_html` and `to_svg` write files.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> import normviz as nv
    >>> nv.quiz(seed=0)
    Quiz(shape=(3, 8, 5, 5), questions=3, pokes=3)
    >>> nv.quiz(method="group", num_groups=4).answers
    (('group', 4),)
    """
    values = np.zeros(SHAPE) if x is None else host(x)
    shape = canonical(values, channel_axis).shape
    if math.prod(shape) > MOST_CELLS:
        size = f"x of shape {shape} has {math.prod(shape)} cells"
        raise ValueError(f"{size}; a quiz takes at most {MOST_CELLS}, so give a smaller part")
    pokes = whole_within(pokes, "pokes", 1, 50)
    if layer is not None:
        if method is not None or num_groups is not None or questions is not None:
            raise TypeError("give layer= alone, or method=, num_groups= and questions=: a layer's sets are measured")
        layers = list(layer) if isinstance(layer, (list, tuple)) else [layer]
        if not layers:
            raise ValueError("layer= is empty; give at least one callable")
        labels = tuple(measured_labels(each, values.shape, channel_axis) for each in layers)
        return Quiz(labels, (None,) * len(layers), pokes)
    if seed is not None and whole(seed, "seed", "; None draws new questions each time") < 0:
        raise ValueError(f"seed={brief(seed)} is negative; give a whole number from 0 on, or None")
    random = np.random.default_rng(seed)
    if method is None:
        if num_groups is not None:
            alone = "without it the questions draw their own G"
            raise ValueError(f"num_groups={brief(num_groups)} needs method='group'; {alone}")
        names = draw_methods(3 if questions is None else whole_within(questions, "questions", 1, 50), random)
    elif questions is not None:
        raise TypeError("questions= counts what is drawn; with method= there are as many as methods, so leave it out")
    else:
        names = method_names("method", method)
        if not names:
            raise ValueError(f"method= is empty; these are known: {', '.join(activation_methods())}")
    answers = tuple((name, hidden_groups(name, num_groups, shape, random)) for name in names)
    if num_groups is not None and all(G is None for _, G in answers):
        wrong = ", ".join(names)
        raise ValueError(f"num_groups={brief(num_groups)} is for methods with groups, not for {wrong}; leave it out")
    return Quiz(tuple(pooling(name, shape, G).labels() for name, G in answers), answers, pokes)


def method_names(argument: str, value: Any) -> list[str]:
    """Return one or several keys of METHODS as a list; an unknown one is a ValueError."""
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise TypeError(f"{argument} must be a method or a list of methods, such as ['batch'], not {brief(value)}")
    return [find(name).name for name in ([value] if isinstance(value, str) else value)]


def draw_methods(number: int, random: np.random.Generator) -> list[str]:
    """Draw methods; all of them appear before any is repeated."""
    rounds = [random.permutation(OFFERED) for _ in range(-(-number // len(OFFERED)))]
    return [str(name) for name in np.concatenate(rounds)[:number]]


def hidden_groups(name: str, given: int | None, shape: tuple[int, ...], random: np.random.Generator) -> int | None:
    """Return G of a hidden method, drawn if none is given, or None for a method without groups."""
    row = find(name)
    if row.axes == "weights":
        known = ", ".join(activation_methods())
        raise ValueError(f"a quiz is about layers on activations, not method {name!r}; choose of {known}")
    if not row.has_groups or given is not None:
        return given if row.has_groups else None
    all_of = divisors(shape[row.grouped_axis])
    # G = 1 and G = C give the sets of Layer and Instance Norm, so they are drawn only if there is no other divisor.
    return int(random.choice(all_of[1:-1] or all_of))


def activation_methods() -> list[str]:
    """Return the methods that a quiz can hide."""
    return [row.name for row in METHODS.values() if row.axes == "activations"]


def measured_labels(layer: Any, shape: tuple[int, ...], channel_axis: int) -> np.ndarray:
    """Return the sets of a callable as `probe` finds them, as labels of shape (N, C, *spatial)."""
    if not callable(layer):
        raise TypeError(f"layer must be a callable (or a list of them), not {type(layer).__name__}")
    found = probe(layer, shape, channel_axis=channel_axis)
    if found.labels is None:
        why = found.undetermined.get("labels", "none was seen")
        raise ValueError(f"probe found no sets of the layer on shape {shape} ({why}), so there are none to be named")
    return np.asarray(canonical(found.labels, channel_axis))


__all__ = ["Quiz", "quiz"]
