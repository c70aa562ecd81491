"""Texts on a method: sentences and symbols."""

from collections.abc import Sequence

from normviz.core.methods import Method
from normviz.explorer.axis_names import axis_names, length_names
from normviz.explorer.sentences import CATALOG, fill, say


def words(method: Method, shape: Sequence[int] = (1, 1, 1, 1)) -> dict[str, str]:
    """Return the texts about `method` for a student, as HTML: those that a page fills by itself.

    Parameters
    ----------
    method
        A row of METHODS.
    shape
        (N, C, *spatial); only its rank counts, for the names of the axes and their lengths.

    Returns
    -------
    dict
        "words", what is pooled, in one sentence; "symbol", the condition that every j in S_i meets; "statistics", the
        symbolic shape of the statistics; "caution", the most common confusion, or "".
    """
    lengths, kernels = length_names(shape, method.axes), method.axes == "weights"
    extents = [method.n, method.c, *[method.spatial] * (len(shape) - 2)]
    axes = list(zip(axis_names(shape, method.axes), lengths, extents, strict=True))
    same = [say(f"sets.same-{extent}", axis=axis, length=length) for axis, length, extent in axes if extent != "all"]
    kept = ["G" if extent == "group" else length for _, length, extent in axes if extent != "all"]
    where = "kernel" if kernels else method.spatial
    pooled = {
        "samples": say(f"sets.samples-{method.n}"),
        "channels": say(f"sets.channels-{method.c}"),
        "positions": f" {say(f'sets.positions-{where}')}" if len(shape) > 2 else "",
        "numbers": say("sets.mean") if method.centered else say("sets.no-mean", statistic=method.statistic),
    }
    named = {"axes": ", ".join(lengths), "sample": ", ".join(lengths[1:])}
    return {
        "words": say("sets.words-weights" if kernels else "sets.words", **pooled),
        "symbol": ", ".join(same),
        "statistics": f"({', '.join(kept)}{',' if len(kept) == 1 else ''})",
        "caution": fill(CATALOG["cautions"].get(method.name, ""), named),
    }
