"""Published errors of Batch and Group Norm, as their tables have them: nothing here is measured by normviz."""

from dataclasses import dataclass

import plotly.graph_objects as go

from ..errors import check_keywords
from . import checks, look

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
        What is varied, and its values.
    unit
        Of the values.
    series
        The lines.
    higher_is_better
        True for AP and accuracy, False for errors.
    """

    key: str
    title: str
    source: str
    axis: str
    ticks: tuple[str, ...]
    unit: str
    series: tuple[Series, ...]
    higher_is_better: bool = False

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
        In the order of the buttons.
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
    ),
    Table(
        "G",
        "ResNet-50: error against the number of groups",
        f"{WU_HE}, Table 3",
        "number of groups G",
        ("64", "32", "16", "8", "4", "2", "1"),
        ERROR,
        (Series("Group Norm", (24.6, 24.1, 24.6, 24.4, 24.6, 24.7, 25.3)),),
    ),
    Table(
        "channels",
        "ResNet-50: error against channels per group",
        f"{WU_HE}, Table 3",
        "channels per group",
        ("64", "32", "16", "8", "4", "2", "1"),
        ERROR,
        (Series("Group Norm", (24.4, 24.5, 24.2, 24.3, 24.8, 25.6, 28.4), (False,) * 5 + (True,) * 2),),
    ),
    Table(
        "four",
        "ResNet-50: four normalizers at 32 images per GPU",
        f"{WU_HE}, Table 1",
        "normalizer",
        ("Batch", "Layer", "Instance", "Group"),
        ERROR,
        (Series("32 images per GPU", (23.6, 25.3, 28.4, 24.1)),),
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
)


def measure() -> Published:
    """Return the published tables, each with its source.

    Examples
    --------
    >>> measure()["batch size"].series[0].values
    (23.6, 23.7, 24.8, 27.3, 34.7)
    """
    return Published(TABLES)


@check_keywords
def figure(*, width: int = 900) -> go.Figure:
    """Draw one table at a time; a menu has the others, and the source stands on the chart.

    Parameters
    ----------
    width
        Pixels, of the whole figure; at least 320.

    Examples
    --------
    >>> len(figure().layout.updatemenus[0].buttons)
    6
    """
    width = checks.width(width)
    tables = measure().tables
    drawing, owners = go.Figure(), []
    for table in tables:
        for one in table.series:
            drawing.add_trace(_trace(table, one))
            owners.append(table.key)
    first = tables[0]
    for trace, owner in zip(drawing.data, owners, strict=True):
        trace.visible = owner == first.key
    drawing.add_annotation(
        text=_source(first, width),
        x=1, xref="paper", xanchor="right", y=1, yref="paper", yanchor="bottom",
        yshift=4, showarrow=False, align="right", font={"size": 11.5},
    )  # fmt: skip
    steps = [
        look.step(
            table.title,
            {"visible": [owner == table.key for owner in owners]},
            range(len(owners)),
            xaxis__title__text=table.axis,
            yaxis__title__text=_unit(table),
            yaxis__range=_range(table),
            xaxis__categoryarray=list(table.ticks),
            annotations_0_text=_source(table, width),
        )
        for table in tables
    ]
    for entry in steps:
        entry["args"][1]["annotations[0].text"] = entry["args"][1].pop("annotations_0_text")
    drawing.update_layout(
        updatemenus=[look.buttons(steps, menu=True)],
        xaxis={
            "title": {"text": first.axis},
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(first.ticks),
        },
        yaxis={"title": {"text": _unit(first)}, "range": _range(first)},
    )
    caption = (
        "Numbers as their authors published them, for one architecture and one training recipe each; the menu has the "
        "other tables. Axes do not start at zero. A hollow mark was read from a secondary copy of the table. Nothing "
        "here was measured by normviz."
    )
    alt = (
        "A chart of published numbers with a menu of six tables. The first: ImageNet error of ResNet-50 against batch "
        "size; Batch Norm's rises from 23.6 percent at 32 images to 34.7 at 2, Group Norm's stays at about 24.1."
    )
    drawing.update_layout(showlegend=True)
    names = max(([one.name for one in table.series] for table in tables), key=len)
    above = _lines(width) * 16
    return look.finish(drawing, "What was published", caption, alt, width=width, right=28, above=above, names=names)


def _trace(table: Table, one: Series) -> go.Scatter:
    k, line = table.series.index(one), table.ticks[0].isdigit()
    names = {"Batch Norm": "blue", "BN*, frozen": "blue", "Group Norm": "pink", "GN": "pink", "GN, head only": "orange"}
    colour = look.COLOURS[names.get(one.name, "green")]
    checked = one.checked or (True,) * len(one.values)
    highest = [max(v for v in at if v is not None) for at in zip(*(s.values for s in table.series), strict=True)]
    sides = [f"{'top' if v == high else 'bottom'} center" for v, high in zip(one.values, highest, strict=True)]
    return go.Scatter(
        x=list(table.ticks),
        y=list(one.values),
        name=one.name,
        mode="lines+markers+text" if line else "markers+text",
        text=["" if v is None else f"{v}" for v in one.values],
        textposition=sides if line else "middle right",
        cliponaxis=False,
        line={"color": colour, "width": 2, "dash": look.DASHES[k]},
        marker={
            "size": 11,
            "color": colour,
            "symbol": [look.SYMBOLS[k] if ok else f"{look.SYMBOLS[k]}-open" for ok in checked],
            "line": {"width": 2, "color": colour},
        },
        hovertemplate=f"{table.axis} %{{x}}<br>%{{y}} %<extra>{one.name}</extra>",
    )


def _unit(table: Table) -> str:
    return f"{table.unit}, {'higher' if table.higher_is_better else 'lower'} is better"


def _range(table: Table) -> list[float]:
    values = [v for one in table.series for v in one.values if v is not None]
    room = (max(values) - min(values)) * 0.16
    return [min(values) - room, max(values) + room]


def _lines(width: int) -> int:
    return max(_source(table, width).count("<br>") + 1 for table in TABLES)


def _source(table: Table, width: int) -> str:
    hollow = "; hollow: from a secondary copy" if table.unchecked else ""
    return look.broken(f"Source: {table.source}{hollow}", width - 84)
