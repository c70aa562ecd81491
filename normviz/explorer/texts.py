"""What the explorer says about a method: words, symbols, and the same normalization as code in four frameworks."""

from collections.abc import Mapping, Sequence

from ..methods import Method
from .frameworks import FRAMEWORKS
from .snippets import SPATIAL, Choice

CAUTIONS = {
    "batch": "The batch is normalized by the biased variance (divided by |S|), but PyTorch keeps a running variance "
    "that is unbiased (divided by |S| − 1).",
    "layer": "This is not a transformer’s layer norm, which pools the channels of one position: see Positional. And "
    "GroupNorm(1, C) has the same statistics, but a weight per channel where LayerNorm([C, H, W]) has one per element.",
    "instance": "PyTorch’s InstanceNorm learns no weight and bias unless asked; GroupNorm(C, C), which has the same "
    "statistics, does.",
    "group": "Weight and bias are per channel, C of each, never one per group. A group is C/G channels that are "
    "neighbours in index.",
    "positional": "This is what transformers and ConvNeXt call layer norm: LayerNorm(C), channels last. Layer Norm "
    "over (C, H, W) pools the positions too.",
    "rms": "Without centring, the result ignores the scale of x but not a shift. PyTorch’s RMSNorm learns a weight per "
    "channel and no bias.",
}
"""The best-known confusion about each method."""


def words(method: Method, shape: Sequence[int] = (1, 1, 1, 1)) -> dict[str, str]:
    """Return what to tell a student about `method`, as HTML.

    Parameters
    ----------
    method
        A row of METHODS.
    shape
        (N, C, *spatial); only its rank counts, for the names of the spatial axes.

    Returns
    -------
    dict
        "words", what is pooled, in one sentence; "symbol", the condition that every j in S_i meets; "statistics", the
        symbolic shape of the statistics; "caution", the best-known confusion.
    """
    positions = SPATIAL[len(shape)]
    each = positions if method.spatial == "one" else ""
    what = {"all": "all channels", "one": "one channel", "group": "C/G neighbouring channels"}[method.c]
    whose = {"all": "all samples", "one": "one sample"}[method.n]
    where = {"all": " at all positions", "one": " at one position"}[method.spatial] if positions else ""
    share = "mean and one variance" if method.centered else "mean square, and no mean is subtracted"
    channel = {
        "all": [],
        "one": ["<i>c<sub>j</sub></i> = <i>c</i>"],
        "group": ["⌊<i>c<sub>j</sub></i>/(C/G)⌋ = ⌊<i>c</i>/(C/G)⌋"],
    }[method.c]
    sample = ["<i>n<sub>j</sub></i> = <i>n</i>"] if method.n == "one" else []
    position = [f"<i>{a}<sub>j</sub></i> = <i>{a}</i>" for a in each.lower()]
    letters = [*(["N"] if sample else []), *{"all": "", "one": "C", "group": "G"}[method.c], *each]
    return {
        "words": f"The cells of {what}, in {whose}{where}, share one {share}.",
        "symbol": ", ".join([*sample, *channel, *position]),
        "statistics": f"({', '.join(letters)}{',' if len(letters) == 1 else ''})",
        "caution": CAUTIONS.get(method.name, ""),
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
        Where C is in the `x` that the code takes.
    affine
        Whether arrays `weight` and `bias`, both of shape (C,), scale and shift; or the shapes of those that do, such as
        {"weight": (8,)}. A shape of more than one axis is one sample's, and belongs to Layer Norm alone.
    mode
        "train", or "eval": by the arrays `running_mean` and `running_var` of Batch Norm.

    Returns
    -------
    dict
        Source by framework; "{G}" stands where the number of groups goes, and nowhere else.
    """
    if isinstance(affine, bool):
        affine = dict.fromkeys(("weight", "bias"), shape[1:2]) if affine else {}
    per_element = tuple(name for name in affine if len(affine[name]) > 1)
    choice = Choice(
        method=method,
        shape=tuple(shape),
        axis=channel_axis % len(shape),
        eps=repr(float(eps)).replace("e-0", "e-"),
        given=tuple(
            name for name in ("weight", "bias") if name in affine and (method.elementwise or name not in per_element)
        ),
        per_element=per_element if method.elementwise else (),
        evaluating=mode == "eval",
    )
    return {name: "\n".join(framework.write(choice)) for name, framework in FRAMEWORKS.items()}
