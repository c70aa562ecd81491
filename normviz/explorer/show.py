"""Explorers as plain output: `show` and `compare_methods` for a notebook, `to_html` for a page.

A page runs the widget's own front-end on a small stand-in for the model. It makes no network requests: style, script
and numbers are in the page, which tells the browser to refuse every request.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from normviz.atomic_write import check_path, write
from normviz.core.array_kinds import no_array
from normviz.core.errors import unknown, whole_within
from normviz.core.pooling import divisors, pooling
from normviz.explorer import frame_height, js, validation
from normviz.explorer.fragment import Framed
from normviz.explorer.html_page import as_json, document, over
from normviz.explorer.scene import without_zeros
from normviz.explorer.sentences import say
from normviz.explorer.svg import gif, picture
from normviz.explorer.svg.picture import Still
from normviz.explorer.svg.readout import State, enumerated, name_of, row_of
from normviz.explorer.validation import Subject

MOST_COMPARED = 4
WIDEST_EDITABLE = 1200
"""Pixels of an explorer whose panel "Tensor" stands beside the cubes."""
ARRAYS = ("__array__", "__array_interface__", "__cuda_array_interface__", "__dlpack__")
"""Attributes that arrays have."""

Part = tuple[Subject, State]
"""A checked tensor, and the state in which it is shown."""


class PagePart(Framed):
    """What `to_html` puts on a page: one explorer, or several of one tensor that stand side by side and are linked."""

    def page_parts(self) -> Sequence[Part]:
        """The tensor and the state of each explorer."""
        raise NotImplementedError

    def _bundle(self, theme: str) -> dict[str, str]:
        return mimebundle(self.page_parts(), theme)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """A self-contained page, alive with no kernel and no network; or None once it is written to `path`."""
        return to_html([self], path)

    def to_svg(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        caption: bool = True,
        width: int = picture.WIDTH,
        theme: str = "auto",
        alone: bool = False,
    ) -> str | None:
        """The still picture, for a paper or a slide; of several explorers one below the other.

        Parameters
        ----------
        path
            Where to write it.
        caption
            Write the set, its size, mean and variance under the cubes.
        width
            In pixels, at least 320; the height follows. Letters keep their size.
        theme
            "light", "dark", or "auto", which follows the reader's.
        alone
            Draw the cubes alone, on a transparent ground: no title, no legend and no line of numbers.

        Returns
        -------
        str or None
            The picture, or None once it is written.

        Raises
        ------
        ValueError, TypeError
            For a width or a theme that does not fit.
        """
        width = whole_within(width, "width", picture.LEAST_WIDTH, picture.MOST_WIDTH)
        stills = [picture.still(*part, width=width, theme=theme, alone=bool(alone)) for part in self.page_parts()]
        text = picture.stacked(stills, caption=bool(caption))
        return text if path is None else write(path, text)


class OneExplorer(PagePart):
    """A page part that is one explorer."""

    def to_gif(
        self, path: str | os.PathLike[str], *, width: int = 960, duration: int = 1200, caption: bool = True
    ) -> None:
        """The sweep of G as an endless moving picture on a light ground, for slides.

        Parameters
        ----------
        path
            Where to write it.
        width
            In pixels; below 480 the letters are small.
        duration
            Of each G, in milliseconds.
        caption
            Write the set, its size, mean and variance under the cubes.

        Raises
        ------
        ImportError
            Without the extra `gif` (resvg-py and Pillow).
        """
        check_path(path)
        sizes = {
            "width": whole_within(width, "width", 160, picture.MOST_WIDTH),
            "duration": whole_within(duration, "duration", 20, 60_000),
        }
        write(path, gif.sweep(*self.page_parts()[0], **sizes, caption=bool(caption)))


# ---- pages and fragments ---------------------------------------------------------------------------------------------


def page(rows: Iterable[Sequence[Part]], *, framed: bool = False, theme: str = "auto") -> str:
    """A self-contained page of any number of explorers.

    Parameters
    ----------
    rows
        The parts of each explorer, or of several that stand side by side and are linked.
    framed
        Leave out the still pictures, for the frame that lies over one.
    theme
        Of such a frame; "auto" follows the reader's.
    """
    rows = list(rows)
    names = [_name(part) for row in rows for part in row]
    title = names[0] if len(names) == 1 else say("picture.page", name=names[0], more=len(names) - 1)
    body, explorers = [], []
    for number, row in enumerate(rows):
        first, sections = len(explorers), []
        for subject, state in row:
            still = "" if framed else figure(picture.still(subject, state))
            label = escape(names[len(explorers)])
            sections.append(f'<section class="nvp-explorer" aria-label="{label}">{still}</section>')
            # Linked explorers show one tensor, which travels once.
            shared = len(explorers) > first and subject is row[0][0]
            link = {"link": number} if len(row) > 1 else {}
            scene = first if shared else without_zeros(subject.scene)
            explorers.append({"scene": scene, "state": dict(state), **link})
        text = "\n".join(sections)
        body.append(f'<div class="nvp-row">{text}</div>' if len(row) > 1 else text)
    editable = any(subject.recipe is not None for row in rows for subject, _ in row)
    time = any(subject.time is not None for row in rows for subject, _ in row)
    script, style = js.page(editable=editable, time=time), js.stylesheet(editable=editable, time=time)
    return document(
        title, "".join(body), as_json(explorers), script, style=style, framed=framed, theme=theme, editable=editable
    )


def mimebundle(parts: Sequence[Part], theme: str = "auto") -> dict[str, str]:
    """The explorers for a notebook's output, as HTML and as a still picture.

    The HTML is a page in a sandboxed frame over the still picture, which shows where frames or scripts are refused.
    """
    stills = [picture.still(*part, theme=theme) for part in parts]
    title = say("picture.frame", names=enumerated([name_of(state) for _, state in parts]))
    alt, words = (" ".join(getattr(still, name) for still in stills) for name in ("status", "words"))
    still, size = picture.stacked(stills, caption=False), picture.stacked_size(stills, caption=False)
    controls, more = any(state["controls"] for _, state in parts), any(subject.says_more for subject, _ in parts)
    editable = any(subject.recipe is not None for subject, _ in parts)
    time = any(subject.time is not None for subject, _ in parts)
    heights = frame_height.of_explorers(len(parts), controls=controls, more=more, editable=editable, time=time)
    widest = 1600 if len(parts) > 1 else WIDEST_EDITABLE if editable else picture.WIDTH
    live = page([parts], framed=True, theme=theme)
    html = over(still, live, size, title, alt, words, heights, widest=widest, theme=theme, editable=editable)
    # Two types and no widget: a widget in the bundle is what goes blank in a notebook that is opened again.
    return {"text/html": html, "image/svg+xml": picture.stacked(stills)}


def figure(still: Still) -> str:
    """A still picture with its words, as HTML."""
    words = escape(still.words, quote=False)
    return f'<figure class="nvp-still">{still.svg(caption=False)}<figcaption>{words}</figcaption></figure>'


def _name(part: Part) -> str:
    subject, state = part
    return f"{subject.title}: {name_of(state)}" if subject.title else name_of(state)


# ---- plain output ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class _Output(PagePart):
    """What `Shown` and `Compared` have in common."""

    subject: Subject

    @property
    def scene(self) -> Mapping[str, Any]:
        """All that the browser needs, as JSON."""
        return self.subject.scene


@dataclass(frozen=True, eq=False, repr=False)
class Shown(_Output, OneExplorer):
    """An explorer as plain output: it needs no kernel and no widget manager, now or later.

    Attributes
    ----------
    subject, state
        The tensor, without what a page does not need of it, and the state in which it is shown.
    scene
        The tensor as JSON.
    """

    state: Mapping[str, Any]

    def page_parts(self) -> Sequence[Part]:
        """The tensor with its state."""
        return [(self.subject, self.state)]

    def __repr__(self) -> str:
        groups = f", num_groups={self.state['num_groups']}" if row_of(self.state).has_groups else ""
        index = tuple(self.state["index"])
        return f"Shown(shape={self.subject.shape}, method={self.state['method']!r}{groups}, index={index})"


@dataclass(frozen=True, eq=False, repr=False)
class Compared(_Output):
    """Linked explorers as plain output: they need no kernel and no widget manager, now or later.

    Attributes
    ----------
    subject, states
        The tensor that all of them show, without what a page does not need of it, and the state of each explorer.
    scene
        The tensor as JSON.
    """

    states: tuple[Mapping[str, Any], ...]

    def page_parts(self) -> Sequence[Part]:
        """The tensor with each state."""
        return [(self.subject, state) for state in self.states]

    def __repr__(self) -> str:
        methods = [state["method"] for state in self.states]
        return f"Compared(shape={self.subject.shape}, methods={methods})"


def show(x: Any = None, method: str | None = None, num_groups: int | None = None, **keywords: Any) -> Shown:
    """Show an explorer that needs no kernel: alive in the notebook, in the saved notebook and in pages made from it.

    Parameters
    ----------
    x, method, num_groups, **keywords
        As `Explorer` takes them, without x the sample activations: index, step, view, color, mode, controls, weight,
        bias, eps, statistics, channel_axis, labels, marks, title, predict, presenter, editable.

    Returns
    -------
    Shown
        Displays itself as HTML and as a still picture; `to_html` and `to_svg` write files.

    Raises
    ------
    ValueError, TypeError, IndexError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> import numpy as np, normviz as nv
    >>> nv.show(np.zeros((2, 8, 4, 4)), method="group", num_groups=4)
    Shown(shape=(2, 8, 4, 4), method='group', num_groups=4, index=(0, 0, 0, 0))
    """
    given = {"num_groups": num_groups} | ({} if method is None else {"method": method})
    subject, state = validation.start(x, given | keywords)
    return Shown(subject.travelling(), state)


def compare_methods(
    x: Any = None, methods: Iterable[str] = ("batch", "group"), num_groups: int | None = None, **keywords: Any
) -> Compared:
    """Show two to four methods on one tensor side by side: the same cell, and a change in one is made in all.

    Parameters
    ----------
    x
        As `Explorer` takes it; without one, the sample activations.
    methods
        Two to four keys of METHODS; on a narrow screen they stand one below the other.
    num_groups
        G of Group Norm among them. None takes a G whose sets differ in size from those of the other methods, if there
        is one, because two sets of equal size look like one rule.
    **keywords
        What else `show` takes: index, step, view, color, controls, weight, bias, eps, statistics, channel_axis, marks,
        title, predict, presenter, editable.

    Returns
    -------
    Compared
        Displays itself as HTML and as a still picture; `to_html` and `to_svg` write files, and `nv.to_html` takes it.

    Raises
    ------
    ValueError, TypeError, IndexError
        For arguments that do not fit, in one sentence.

    Examples
    --------
    >>> import numpy as np, normviz as nv
    >>> nv.compare_methods(np.zeros((2, 8, 4, 4)), ["batch", "group"], num_groups=4)
    Compared(shape=(2, 8, 4, 4), methods=['batch', 'group'])
    """
    names = [methods] if isinstance(methods, str) else list(methods)
    if not 2 <= len(names) <= MOST_COMPARED:
        raise ValueError(f"compare_methods() shows 2 to {MOST_COMPARED} methods side by side, not {len(names)}")
    refused = ("method", "labels")
    for name in refused:
        if name in keywords:
            known = ("methods", *(key for key in validation.KEYWORDS if key not in refused))
            raise TypeError(f"compare_methods(): {unknown('keyword', name, known)}")
    given = validation.each_method(names, num_groups, keywords.get("index"))
    started = [validation.start(x, keywords | each) for each in given]
    (subject, _), states = started[0], [state for _, state in started]
    if num_groups is None:
        states = different_sizes(subject.shape, states)
    return Compared(subject.travelling(), tuple(states))


def beside_given_sets(x: Any, labels: Any, **keywords: Any) -> Compared:
    """Show a method beside given sets of the same tensor: `labels` has the number of the set of each cell.

    Arguments and errors are those of `show`.
    """
    given = {key: value for key, value in keywords.items() if key != "num_groups"} | {"method": "given"}
    started = [validation.start(x, one | {"labels": labels, "controls": False}) for one in (keywords, given)]
    (subject, _), states = started[0], [state for _, state in started]
    return Compared(subject.travelling(), tuple(states))


def different_sizes(shape: tuple[int, ...], states: Sequence[State]) -> list[State]:
    """The states with numbers of groups whose sets are not as large as another method's, where there are such."""
    found = []
    for state in states:
        row, G = row_of(state), state["num_groups"]
        if row.has_groups:
            taken = {size_of(shape, other) for other in [*found, *states[len(found) + 1 :]]}
            # The usual G first, then those close to it; 1 and the largest, the sets of other methods, last.
            ends = (1, shape[row.grouped_axis])
            every = sorted(divisors(ends[1]), key=lambda g: (g != G, g in ends, abs(math.log(g / G)), g))
            other = (g for g in every if size_of(shape, {**state, "num_groups": g}) not in taken)
            state = {**state, "num_groups": next(other, G)}
        found.append(state)
    return found


def size_of(shape: tuple[int, ...], state: State) -> int:
    """Cells in a set."""
    row = row_of(state)
    return pooling(row.name, shape, state["num_groups"] if row.has_groups else None).size


def to_html(items: Any, path: str | os.PathLike[str] | None = None) -> str | None:
    """One self-contained page of explorers, shown objects and arrays, or of a single one.

    On what was made with `editable=True` the reader of the page can make a tensor.

    The page makes no request, and keeps what is chosen in its address: `#method=batch&i=0,3,1,1`; the keys of its
    second explorer begin with `2.`.

    Parameters
    ----------
    items
        A list (or tuple) of explorers, of what `show` and `compare_methods` returned, and of arrays.
    path
        Where to write the page. An existing file is replaced only once the new one is complete.

    Returns
    -------
    str or None
        The page, or None once it is written.

    Raises
    ------
    TypeError, ValueError
        For an item that has no place on the page, in one sentence.

    Examples
    --------
    >>> import numpy as np, normviz as nv
    >>> text = nv.to_html([nv.show(method="batch"), np.zeros((2, 8, 4, 4))])
    >>> text.count('<section class="nvp-explorer"')
    2
    """
    items = items if isinstance(items, (list, tuple)) else [items]
    if not items:
        raise ValueError("to_html() has nothing to show: the list is empty; give it at least one explorer or array")
    if path is not None:
        check_path(path)
    text = page([_parts_of(item) for item in items])
    return text if path is None else write(path, text)


def _parts_of(item: Any) -> Sequence[Part]:
    if isinstance(item, PagePart):
        return item.page_parts()
    if isinstance(item, (list, tuple)) and any(isinstance(each, PagePart) for each in item):
        raise TypeError("to_html() takes one flat list; compare_methods() puts explorers of one tensor side by side")
    if isinstance(item, (list, tuple)) or any(hasattr(type(item), name) for name in ARRAYS):
        return [validation.start(item, {})]
    name, remedy = type(item).__name__ if item is not None else "None", ""
    if hasattr(type(item), "explore"):
        remedy = "; pass what its explore() returns"
    elif hasattr(type(item), "to_html"):
        remedy = "; its own to_html() makes a page of it"
    elif isinstance(item, (str, os.PathLike, Mapping)):
        remedy = "; " + (no_array(item) or "").partition("; ")[2]
    known = "explorers, what show() and compare_methods() returned, and arrays"
    raise TypeError(f"to_html() takes {known}, not {name}{remedy}")
