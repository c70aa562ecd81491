"""Texts on a method: sentences, symbols, and the same normalization as code in four frameworks."""

from collections.abc import Mapping, Sequence

from normviz.core.methods import Method
from normviz.explorer.axis_names import axis_names, length_names
from normviz.explorer.sentences import CATALOG, fill, say
from normviz.explorer.snippets.frameworks import FRAMEWORKS
from normviz.explorer.snippets.templates import Choice


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


def code(
    method: Method,
    shape: Sequence[int],
    *,
    eps: float,
    channel_axis: int = 1,
    affine: bool | Mapping[str, Sequence[int]],
    mode: str = "train",
) -> dict[str, str]:
    """Return the same normalization as source code in PyTorch, NumPy, JAX/Flax and Keras.

    The code is meant to be copied and run: it takes `x` in the layout that normviz was given, and makes `y` in the same
    layout, whatever layout the framework prefers in between.

    Parameters
    ----------
    method
        A row of METHODS.
    shape
        (N, C, *spatial), whatever channel_axis is.
    eps
        Added to the variance.
    channel_axis
        The axis of C in the `x` that the code takes.
    affine
        Whether arrays `weight` and `bias`, both of shape (C,) (for weights (Cout,)), scale and shift; or the shapes of
        those that do, such as {"weight": (8,)}. A shape of more than one axis is one sample's, and belongs to Layer
        Norm alone.
    mode
        "train", or "eval": by the arrays `running_mean` and `running_var` of Batch Norm.

    Returns
    -------
    dict
        Source by framework; "{G}" stands where the number of groups goes, and nowhere else.
    """
    if isinstance(affine, bool):
        affine = dict.fromkeys(("weight", "bias"), (shape[method.affine_axis],)) if affine else {}
    per_element = tuple(name for name in affine if len(affine[name]) > 1)
    fitting = affine if method.elementwise else [name for name in affine if name not in per_element]
    choice = Choice(
        method=method,
        shape=tuple(shape),
        axis=channel_axis % len(shape),
        eps=repr(float(eps)).replace("e-0", "e-"),
        given=tuple(name for name in ("weight", "bias") if name in fitting),
        per_element=per_element if method.elementwise else (),
        evaluating=mode == "eval",
    )
    return {name: "\n".join(framework.write(choice)) for name, framework in FRAMEWORKS.items()}
