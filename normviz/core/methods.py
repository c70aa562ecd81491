"""The methods, one row each: which block of (N, C, *spatial) shares one statistic, and which statistic that is.

The extents are data, so Python and the browser do the same arithmetic with the same table. A new method is a new row.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from normviz.core.errors import unknown
from normviz.core.references import cite

Extent = Literal["one", "all", "group"]
Statistic = Literal["mean and variance", "mean square", "squared norm"]
Affine = Literal[
    "per channel",
    "per channel of a group",
    "per element",
    "scale per channel",
    "scale per channel of a group",
    "scale per output channel",
    "none",
]


@dataclass(frozen=True)
class Method:
    """One normalization method.

    Attributes
    ----------
    name, label
        The name in code, and the name for readers.
    n, c, spatial
        Extent of the block along the samples, the channels, and every spatial axis: "one" cell, "all" of them, or
        "group": C / num_groups channels, or N / num_groups samples.
    affine
        Which parameters PyTorch's layer (or the paper) learns by default: "per channel", "per channel of a group" (one
        weight for all groups, of C / num_groups entries), "per element" of one sample, "scale per channel", "scale per
        channel of a group", "scale per output channel", or "none".
    torch
        PyTorch's equivalent.
    reference
        The paper that introduced the method.
    statistic
        What is computed for each set. Only "mean and variance" subtracts a mean. With "mean square" and "squared norm"
        (the sum of squares), `Statistics.mean` is 0 and `Statistics.var` holds that number.
    axes
        "activations" for x of shape (N, C, *spatial); "weights" for the weights of a convolution, (Cout, Cin, *kernel),
        where Cout takes the place of N, and Cin that of C.
    place
        Where it is usually found, in a few words.
    """

    name: str
    label: str
    n: Extent
    c: Extent
    spatial: Extent
    affine: Affine
    torch: str
    reference: str
    statistic: Statistic = "mean and variance"
    axes: Literal["activations", "weights"] = "activations"
    place: str = ""

    @property
    def centered(self) -> bool:
        """Whether a mean is subtracted."""
        return self.statistic == "mean and variance"

    @property
    def couples_samples(self) -> bool:
        """Whether the output for one sample depends on the others in the batch."""
        return self.n != "one"

    @property
    def has_groups(self) -> bool:
        """Whether the method takes num_groups."""
        return "group" in (self.n, self.c)

    @property
    def grouped_axis(self) -> int:
        """The axis that num_groups cuts: 0, the samples, for Ghost Batch Norm; 1, the channels, for Group Norm."""
        return 0 if self.n == "group" else 1

    @property
    def affine_axis(self) -> int:
        """The axis that weight and bias run along: 1, the channels, or 0, the output channels of weights."""
        return 0 if self.axes == "weights" else 1

    def named(self, num_groups: int | None) -> str:
        """Return the name for readers, with the number of groups if there is one.

        >>> METHODS["group"].named(4), METHODS["batch"].named(None)
        ('Group Norm with G = 4', 'Batch Norm')
        """
        return self.label + (f" with G = {num_groups}" if num_groups else "")

    def pooled_axes(self, rank: int) -> tuple[int, ...]:
        """Return the axes of x that every set spans whole; an axis that is cut into groups is not one of them."""
        extents = (self.n, self.c, *[self.spatial] * (rank - 2))
        return tuple(axis for axis, extent in enumerate(extents) if extent == "all")

    @property
    def elementwise(self) -> bool:
        """Whether weight and bias may have the shape of one sample, as torch.nn.LayerNorm's do."""
        return self.affine == "per element"

    @property
    def shared(self) -> bool:
        """Whether all groups may share one weight and bias of C / num_groups entries, as the heads of attention do."""
        return self.affine.endswith("of a group")


class MethodTable(Mapping[str, Method]):
    """The methods by name, read-only. A copy or an unpickled one is the table itself."""

    def __init__(self, rows: Iterable[Method]) -> None:
        self._rows = {row.name: row for row in rows}

    def __getitem__(self, name: str) -> Method:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"METHODS({', '.join(self._rows)})"

    def __reduce__(self) -> str:
        return "METHODS"


METHODS = MethodTable(
    (
        Method(
            name="batch",
            label="Batch Norm",
            n="all",
            c="one",
            spatial="all",
            affine="per channel",
            torch="torch.nn.BatchNorm2d(C)",
            reference=cite("Ioffe & Szegedy 2015"),
            place="images, large batches",
        ),
        Method(
            name="layer",
            label="Layer Norm",
            n="one",
            c="all",
            spatial="all",
            affine="per element",
            torch="torch.nn.LayerNorm([C, H, W])",
            reference=cite("Ba, Kiros & Hinton 2016"),
            place="recurrent networks",
        ),
        Method(
            name="instance",
            label="Instance Norm",
            n="one",
            c="one",
            spatial="all",
            affine="none",
            torch="torch.nn.InstanceNorm2d(C)",
            reference=cite("Ulyanov, Vedaldi & Lempitsky 2016"),
            place="style transfer",
        ),
        Method(
            name="group",
            label="Group Norm",
            n="one",
            c="group",
            spatial="all",
            affine="per channel",
            torch="torch.nn.GroupNorm(G, C)",
            reference=cite("Wu & He 2018"),
            place="small batches: detection, video, denoisers",
        ),
        Method(
            name="positional",
            label="Positional Layer Norm",
            n="one",
            c="all",
            spatial="one",
            affine="per channel",
            torch="torch.nn.LayerNorm(C), channels last",
            reference=cite("Ba, Kiros & Hinton 2016", "Li et al. 2019"),
            place="transformers, ConvNeXt",
        ),
        Method(
            name="rms",
            label="RMS Norm",
            n="one",
            c="all",
            spatial="one",
            affine="scale per channel",
            torch="torch.nn.RMSNorm(C), channels last",
            reference=cite("Zhang & Sennrich 2019"),
            place="language models (LLaMA)",
            statistic="mean square",
        ),
        Method(
            name="per_head",
            label="Per-Head Layer Norm",
            n="one",
            c="group",
            spatial="one",
            affine="per channel of a group",
            torch="torch.nn.LayerNorm(C // G) on x.unflatten(-1, (G, C // G)), channels last",
            reference=cite("Dehghani et al. 2023"),
            place="queries, keys of attention",
        ),
        Method(
            name="per_head_rms",
            label="Per-Head RMS Norm",
            n="one",
            c="group",
            spatial="one",
            affine="scale per channel of a group",
            torch="torch.nn.RMSNorm(C // G) on x.unflatten(-1, (G, C // G)), channels last",
            reference=cite("Zhang & Sennrich 2019") + ", on the queries and keys of each attention head",
            place="queries, keys of attention",
            statistic="mean square",
        ),
        Method(
            name="frn",
            label="Filter Response Norm",
            n="one",
            c="one",
            spatial="all",
            affine="per channel",
            torch="none; relatives.frn adds the threshold that belongs to it",
            reference=cite("Singh & Krishnan 2020"),
            place="images, with its threshold",
            statistic="mean square",
        ),
        Method(
            name="ghost",
            label="Ghost Batch Norm",
            n="group",
            c="one",
            spatial="all",
            affine="per channel",
            torch="torch.nn.BatchNorm2d(C) on each of x.chunk(G)",
            reference=cite("Hoffer, Hubara & Soudry 2017"),
            place="very large batches; several GPUs",
        ),
        Method(
            name="weight_norm",
            label="Weight Norm",
            n="one",
            c="all",
            spatial="all",
            affine="scale per output channel",
            torch="torch.nn.utils.parametrizations.weight_norm(layer), with no eps",
            reference=cite("Salimans & Kingma 2016"),
            place="proposed for recurrent networks",
            statistic="squared norm",
            axes="weights",
        ),
        Method(
            name="weight_standardization",
            label="Weight Standardization",
            n="one",
            c="all",
            spatial="all",
            affine="none",
            torch="none; torch.nn.functional.layer_norm(w, w.shape[1:]) has the same numbers",
            reference=cite("Qiao et al. 2019"),
            place="convolutions, with Group Norm",
            axes="weights",
        ),
    )
)


def find(method: str) -> Method:
    """Return the row called `method`; raise ValueError with the nearest name where there is none.

    >>> find("group").has_groups
    True
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be a name such as 'batch', not {type(method).__name__}")
    try:
        return METHODS[method]
    except KeyError:
        problem = unknown("method", method, METHODS)
        if method.lower().replace("_", "").replace(" ", "") == "layernorm":
            problem += (
                "; 'layer' pools (C, H, W), and 'positional' the C features of each token, as torch.nn.LayerNorm(C)"
            )
        raise ValueError(problem) from None
