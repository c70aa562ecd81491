"""The methods, one row each: which block of (N, C, *spatial) shares one statistic.

The extents are data, not code, so that Python and the browser do the same arithmetic on the same table. Adding a method
adds a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from .errors import unknown

Extent = Literal["one", "all", "group"]


@dataclass(frozen=True)
class Method:
    """One normalization method.

    Attributes
    ----------
    name, label
        What the code calls it, and what a person does.
    n, c, spatial
        Extent of the block along the samples, the channels, and every spatial axis: "one" cell, "all" of them, or
        "group" (channels only: C / num_groups).
    affine
        What PyTorch's layer learns by default: "per channel", "per element" of one sample, "scale per channel", or
        "none".
    torch
        PyTorch's equivalent.
    reference
        Where the method comes from.
    centered
        False when no mean is subtracted; the statistics then are mean 0 and, as var, the mean square.
    """

    name: str
    label: str
    n: Extent
    c: Extent
    spatial: Extent
    affine: Literal["per channel", "per element", "scale per channel", "none"]
    torch: str
    reference: str
    centered: bool = True

    @property
    def couples_samples(self) -> bool:
        """Whether the output for one sample depends on the others in the batch."""
        return self.n == "all"

    @property
    def has_groups(self) -> bool:
        """Whether the method takes num_groups."""
        return self.c == "group"

    @property
    def elementwise(self) -> bool:
        """Whether weight and bias may have the shape of one sample, as torch.nn.LayerNorm's do."""
        return self.affine == "per element"


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        row.name: row
        for row in (
            Method(
                name="batch",
                label="Batch Norm",
                n="all",
                c="one",
                spatial="all",
                affine="per channel",
                torch="torch.nn.BatchNorm2d(C)",
                reference="Ioffe & Szegedy 2015 (arXiv 1502.03167)",
            ),
            Method(
                name="layer",
                label="Layer Norm",
                n="one",
                c="all",
                spatial="all",
                affine="per element",
                torch="torch.nn.LayerNorm([C, H, W])",
                reference="Ba, Kiros & Hinton 2016 (arXiv 1607.06450)",
            ),
            Method(
                name="instance",
                label="Instance Norm",
                n="one",
                c="one",
                spatial="all",
                affine="none",
                torch="torch.nn.InstanceNorm2d(C)",
                reference="Ulyanov, Vedaldi & Lempitsky 2016 (arXiv 1607.08022)",
            ),
            Method(
                name="group",
                label="Group Norm",
                n="one",
                c="group",
                spatial="all",
                affine="per channel",
                torch="torch.nn.GroupNorm(G, C)",
                reference="Wu & He 2018 (arXiv 1803.08494)",
            ),
            Method(
                name="positional",
                label="Positional Layer Norm",
                n="one",
                c="all",
                spatial="one",
                affine="per channel",
                torch="torch.nn.LayerNorm(C), channels last",
                reference="Ba, Kiros & Hinton 2016 (arXiv 1607.06450); Li et al. 2019 (arXiv 1907.04312)",
            ),
            Method(
                name="rms",
                label="RMS Norm",
                n="one",
                c="all",
                spatial="one",
                affine="scale per channel",
                torch="torch.nn.RMSNorm(C), channels last",
                reference="Zhang & Sennrich 2019 (arXiv 1910.07467)",
                centered=False,
            ),
        )
    }
)


def find(method: str) -> Method:
    """Return the row called `method`; ValueError names the nearest one.

    >>> find("group").has_groups
    True
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be a name such as 'batch', not {type(method).__name__}")
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    return METHODS[method]
