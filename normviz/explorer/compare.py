"""Methods side by side: linked explorers of one tensor. A cell, a step or a view chosen in one is chosen in all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from normviz.core.errors import unknown
from normviz.explorer import show as page
from normviz.explorer import validation as state
from normviz.explorer.svg import picture

MOST = 4


@dataclass(frozen=True, eq=False, repr=False)
class Compared:
    """Linked explorers as plain output: they need no kernel and no widget manager, now or later.

    Attributes
    ----------
    scene
        What all of them show, as JSON.
    states
        One for each explorer.
    """

    scene: Mapping[str, Any]
    states: tuple[Mapping[str, Any], ...]

    @property
    def parts(self) -> list[page.Parts]:
        """The scene with each state, for `to_html`."""
        return [(self.scene, now) for now in self.states]

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The page, or None once it is written to `path`."""
        return page.to_html([self], path)

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """The still pictures, one below the other; or None once they are written to `path`."""
        text = picture.stacked(self.parts)
        return text if path is None else page.write(path, text)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": page.fragment(*self.parts), "image/svg+xml": picture.stacked(self.parts)}

    def __repr__(self) -> str:
        return f"Compared(shape={tuple(self.scene['shape'])}, methods={[now['method'] for now in self.states]})"


def compare_methods(
    x: Any = None, methods: Iterable[str] = ("batch", "group"), num_groups: int | None = None, **keywords: Any
) -> Compared:
    """Show two to four methods on one tensor side by side: the same cell, and what is moved in one moves in all.

    Parameters
    ----------
    x
        As `Explorer` takes it; without one, the sample activations.
    methods
        Two to four keys of METHODS; on a narrow screen they stand one below the other.
    num_groups
        G of Group Norm among them.
    **keywords
        What else `show` takes: index, step, view, color, controls, weight, bias, eps, statistics, channel_axis, marks,
        title, predict, presenter.

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
    if not 2 <= len(names) <= MOST:
        raise ValueError(f"compare_methods() shows 2 to {MOST} methods side by side, not {len(names)}")
    for name in ("method", "labels"):
        if name in keywords:
            known = ("methods", *(key for key in (*state.STATE, *state.SUBJECT) if key not in ("method", "labels")))
            raise TypeError(f"compare_methods(): {unknown('keyword', name, known)}")
    grouped = [name for name in names if state.grouped(name).name == name] if num_groups is not None else []
    if num_groups is not None and not grouped:
        raise ValueError(f"num_groups={num_groups} means nothing to methods {', '.join(names)}; leave it out")
    found = [
        state.start(x, {**keywords, "method": name, **({"num_groups": num_groups} if name in grouped else {})})
        for name in names
    ]
    return Compared(found[0][0].scene(), tuple(now for _, now in found))
