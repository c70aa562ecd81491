"""What was published about the errors of normalizers: every table with its source, nothing measured by normviz."""

from dataclasses import dataclass

WU_HE = "Wu & He 2018, Group Normalization, arXiv 1803.08494"


@dataclass(frozen=True)
class Series:
    """One line or row of bars.

    Attributes
    ----------
    name
        Who it is.
    values
        One a tick of the table's axis, in the table's unit; None where the source has none.
    checked
        Whether each value was read in the source's own text; False marks one from a secondary copy.
    """

    name: str
    values: tuple[float | None, ...]
    checked: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Table:
    """One published table.

    Attributes
    ----------
    key, title
        What it is called here.
    source
        Paper and table.
    axis, ticks
        What is varied, and its values; an empty name where the values say all.
    unit
        Of the values.
    series
        The lines.
    higher_is_better
        True for AP and accuracy, False for errors.
    joined
        Whether the axis has an order, so that lines join the values.
    decimals
        As many as the source gives.
    note
        What the reader has to know beside the numbers.
    """

    key: str
    title: str
    source: str
    axis: str
    ticks: tuple[str, ...]
    unit: str
    series: tuple[Series, ...]
    higher_is_better: bool = False
    joined: bool = False
    decimals: int = 1
    note: str = ""

    @property
    def unchecked(self) -> bool:
        """Whether it holds values from a secondary copy."""
        return any(not ok for one in self.series for ok in one.checked)


@dataclass(frozen=True)
class Published:
    """The tables.

    Attributes
    ----------
    tables
        In the order of the menu.
    """

    tables: tuple[Table, ...]

    def __getitem__(self, key: str) -> Table:
        """Return a table by its key."""
        found = {table.key: table for table in self.tables}
        if key not in found:
            raise KeyError(f"no table {key!r}; these are there: {', '.join(found)}")
        return found[key]


ERROR = "ImageNet validation error (%)"
TABLES = (
    Table(
        "batch size",
        "ResNet-50: error against batch size",
        f"{WU_HE}, Table 2",
        "batch size (images per GPU)",
        ("32", "16", "8", "4", "2"),
        ERROR,
        (
            Series("Batch Norm", (23.6, 23.7, 24.8, 27.3, 34.7)),
            Series("Group Norm", (24.1, 24.2, 24.0, 24.2, 24.1)),
        ),
        joined=True,
    ),
    Table(
        "G",
        "ResNet-50: error against the number of groups",
        f"{WU_HE}, Table 3",
        "number of groups G",
        ("64", "32", "16", "8", "4", "2", "1"),
        ERROR,
        (Series("Group Norm", (24.6, 24.1, 24.6, 24.4, 24.6, 24.7, 25.3)),),
        joined=True,
    ),
    Table(
        "channels",
        "ResNet-50: error against channels per group",
        f"{WU_HE}, Table 3",
        "channels per group",
        ("64", "32", "16", "8", "4", "2", "1"),
        ERROR,
        (Series("Group Norm", (24.4, 24.5, 24.2, 24.3, 24.8, 25.6, 28.4), (False,) * 5 + (True,) * 2),),
        joined=True,
    ),
    Table(
        "four",
        "ResNet-50: the four at 32 images per GPU",
        f"{WU_HE}, Table 1",
        "normalizer",
        ("Batch", "Layer", "Instance", "Group"),
        ERROR,
        (Series("32 images per GPU", (23.6, 25.3, 28.4, 24.1)),),
    ),
    Table(
        "ResNet-101",
        "ResNet-101: error at 32 and at 2 images per GPU",
        f"{WU_HE}, in its text",
        "batch size (images per GPU)",
        ("32", "2"),
        ERROR,
        (Series("Batch Norm", (22.0, 31.9)), Series("Group Norm", (22.4, 23.0))),
        joined=True,
    ),
    Table(
        "Batch Renorm",
        "Batch Renorm at 4 images per GPU",
        f"{WU_HE}, Batch Renorm in its text, the others in Table 2",
        "normalizer",
        ("Batch", "Batch Renorm", "Group"),
        ERROR,
        (Series("4 images per GPU", (27.3, 26.3, 24.2)),),
    ),
    Table(
        "COCO box",
        "COCO, Mask R-CNN: box AP",
        f"{WU_HE}, Tables 4, 5 and 6",
        "backbone (table)",
        ("R50-C4 (4)", "R50-FPN (5)", "R50 (6)", "R101 (6)"),
        "box AP (%)",
        (
            Series("BN*, frozen", (37.7, 38.6, 38.6, 40.9)),
            Series("GN, head only", (None, 39.5, None, None)),
            Series("GN", (38.8, 40.0, 40.3, 41.8)),
            Series("GN, long training", (None, None, 40.8, 42.3)),
        ),
        higher_is_better=True,
    ),
    Table(
        "COCO mask",
        "COCO, Mask R-CNN: mask AP",
        f"{WU_HE}, Tables 4, 5 and 6",
        "backbone (table)",
        ("R50-C4 (4)", "R50-FPN (5)", "R50 (6)", "R101 (6)"),
        "mask AP (%)",
        (
            Series("BN*, frozen", (32.8, 34.2, 34.5, 36.4)),
            Series("GN, head only", (None, 34.4, None, None)),
            Series("GN", (33.6, 34.8, 35.7, 36.8)),
            Series("GN, long training", (None, None, 36.1, 37.2)),
        ),
        higher_is_better=True,
    ),
    Table(
        "Switchable Norm",
        "ResNet-50: accuracy with Switchable Norm",
        "Luo et al. 2018, Switchable Normalization, arXiv 1806.10779",
        "(GPUs, images per GPU)",
        ("(8, 32)", "(8, 16)", "(8, 8)", "(8, 4)", "(8, 2)"),
        "ImageNet top-1 accuracy (%)",
        (
            Series("Batch Norm", (76.4, 76.3, 75.2, 72.7, 65.3)),
            Series("Group Norm", (75.9, 75.8, 76.0, 75.8, 75.9)),
            Series("Switchable Norm", (76.9, 76.7, 76.7, 75.9, 75.6)),
        ),
        higher_is_better=True,
        joined=True,
        note="at (8, 2) Group Norm is ahead of Switchable",
    ),
    Table(
        "Weight Standardization",
        "Weight Standardization with Group Norm",
        "the authors’ repository of Qiao et al. 2019, Weight Standardization, arXiv 1903.10520",
        "network",
        ("ResNet-50", "ResNet-101"),
        "ImageNet error (%)",
        (Series("top-1", (23.72, 22.10)), Series("top-5", (6.99, 6.07))),
        decimals=2,
        note="baselines without it are unverified, so none is drawn",
    ),
    Table(
        "FRN",
        "Filter Response Norm: paper and reproduction",
        "Singh & Krishnan 2020, Filter Response Norm, arXiv 1911.09737, and FRN-on-common-ImageNet-baseline",
        "",
        ("paper, ResNetV2-50", "independent reproduction"),
        "ImageNet top-1 error (%)",
        (Series("Batch Norm", (23.8, 23.6)), Series("FRN + TLU", (22.8, 24.0))),
        note="the two disagree",
    ),
)
"""What the course may show: nothing that was not checked, and what one copy alone says is marked."""
