"""Texts on a method: sentences, symbols, and the same normalization as code in four frameworks."""

from collections.abc import Mapping, Sequence

from normviz.core.methods import Method
from normviz.explorer.snippets.frameworks import FRAMEWORKS
from normviz.explorer.snippets.templates import SPATIAL, Choice
from normviz.explorer.svg.axis_names import axis_names, length_names

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
    "frn": "It comes with a learned threshold per channel, y = max(y, τ), instead of ReLU; that is not drawn here. On "
    "1×1 maps each value is divided by its own size, and little but its sign is left.",
    "ghost": "G counts slices of the batch, not groups of channels: G = 1 is Batch Norm, G = N has Instance Norm’s "
    "statistics. Batch Norm on several devices that do not talk is this.",
    "weight_norm": "Here x is no activation but the weights of a convolution, (Cout, Cin, kH, kW), and the weight g of "
    "each filter is its new norm. No data are pooled. The gradient with respect to x is orthogonal to x.",
    "weight_standardization": "Here x is no activation but the weights of a convolution, (Cout, Cin, kH, kW). The "
    "authors’ code takes the unbiased deviation and adds ε to it outside the root.",
}
"""The most common confusion about each method."""


def words(method: Method, shape: Sequence[int] = (1, 1, 1, 1)) -> dict[str, str]:
    """Return the texts about `method` for a student, as HTML.

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
        symbolic shape of the statistics; "caution", the most common confusion.
    """
    names = axis_names(shape, {"axes": method.axes})
    lengths = length_names(shape, {"axes": method.axes})
    extents = [method.n, method.c, *[method.spatial] * (len(shape) - 2)]
    symbol = []
    for name, length, extent in zip(names, lengths, extents, strict=True):
        j, i = f"<i>{name}<sub>j</sub></i>", f"<i>{name}</i>"
        symbol += {"all": [], "one": [f"{j} = {i}"], "group": [f"⌊{j}/({length}/G)⌋ = ⌊{i}/({length}/G)⌋"]}[extent]
    kept = [(length, extent) for length, extent in zip(lengths, extents, strict=True) if extent != "all"]
    letters = ["G" if extent == "group" else length for length, extent in kept]
    return {
        "words": sentence(method, bool(SPATIAL[len(shape)])),
        "symbol": ", ".join(symbol),
        "statistics": f"({', '.join(letters)}{',' if len(letters) == 1 else ''})",
        "caution": CAUTIONS.get(method.name, ""),
    }


def sentence(method: Method, positions: bool) -> str:
    """Which cells are pooled, and which statistics they share."""
    share = "mean and one variance" if method.centered else f"{method.statistic}, and no mean is subtracted"
    if method.axes == "weights":
        kernel = " and kernel positions" if positions else ""
        return f"The weights of one filter, of all input channels{kernel}, share one {share}."
    what = {"all": "all channels", "one": "one channel", "group": "C/G neighbouring channels"}[method.c]
    whose = {"all": "all samples", "one": "one sample", "group": "a slice of N/G samples"}[method.n]
    where = {"all": " at all positions", "one": " at one position"}[method.spatial] if positions else ""
    return f"The cells of {what}, in {whose}{where}, share one {share}."


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
