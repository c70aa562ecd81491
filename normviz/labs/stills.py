"""The labs' charts as still pictures: an SVG of each, for paper, slides and pages without scripts.

`make pictures` draws them anew in a browser. A test compares their words with those of today's figures.
"""

from functools import cache
from importlib.resources import files

from normviz.core.errors import unknown
from normviz.labs import __all__ as LABS


@cache
def still(lab: str) -> str:
    """Return the SVG of a lab's figure as it is first shown, in light colours and without its controls.

    It is 760 pixels wide and has the finding as its title; `<desc>` has the alt text and the caption.

    Raises
    ------
    ValueError
        If there is no such lab.

    Examples
    --------
    >>> still("published")[:4]
    '<svg'
    """
    if lab not in LABS:
        raise ValueError(unknown("lab", lab, LABS))
    return (files("normviz.labs") / "stills" / f"{lab}.svg").read_text(encoding="utf-8")
