"""Published errors of Batch Norm, Group Norm and relatives, as tables with their sources; nothing is measured."""

from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from normviz.charts import chart
from normviz.core.errors import check_keywords, unknown
from normviz.explorer.plotly_figure import Figure

WU_HE = "Wu & He 2018, Group Normalization, arXiv 1803.08494"
ERROR = "ImageNet validation error (%)"
COLOURS = {"Batch Norm": "blue", "BN*, frozen": "blue", "Group Norm": "pink", "GN": "pink"}
COLOURS |= {"GN, head only": "orange", "FRN + TLU": "orange", "top-5": "grey"}
"""The colour of a series, as in the other labs; green for every other name."""


@dataclass(frozen=True)
class Series:
    """One row of a table, drawn as a line or as single marks.

    Attributes
    ----------
    name
        The method or network.
    values
        One value for each tick of the table's axis, in the table's unit; None where the source has none.
    checked
        Whether each value was read in the source itself; False for a secondary copy. Empty: all were.
    """

    name: str
    values: tuple[float | None, ...]
    checked: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Table:
    """One published table.

    Attributes
    ----------
    key, title, finding, source
        Short name, subject, what the numbers say, and paper and table.
    axis, ticks, unit
        Title and values of the axis, and unit of the numbers; the title may be empty.
    series
        The rows.
    higher_is_better
        True for AP and accuracy, False for errors.
    joined
        Whether the axis is ordered, so that lines join the values.
    decimals, note
        Number of decimals in the source, and a remark shown beside the numbers.
    """

    key: str
    title: str
    finding: str
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
        """Whether some values are from a secondary copy."""
        return not all(ok for series in self.series for ok in series.checked)


@dataclass(frozen=True)
class Published:
    """The published `tables`, in the order of the menu."""

    tables: tuple[Table, ...]

    def __getitem__(self, key: str) -> Table:
        """Return the table with this key; raise KeyError if there is none."""
        tables = {table.key: table for table in self.tables}
        if key not in tables:
            raise KeyError(unknown("table", key, tables))
        return tables[key]


# fmt: off
TABLES = (
    Table("batch size", "ResNet-50: error against batch size",
          "At 2 images per GPU Batch Norm’s error is 11.1 points higher than at 32, Group Norm’s is the same",
          f"{WU_HE}, Table 2",
          "batch size (images per GPU)", ("32", "16", "8", "4", "2"), ERROR,
          (Series("Batch Norm", (23.6, 23.7, 24.8, 27.3, 34.7)),
           Series("Group Norm", (24.1, 24.2, 24.0, 24.2, 24.1))), joined=True),
    Table("G", "ResNet-50: error against the number of groups",
          "32 groups are best, 24.1; one group, with Layer Norm’s statistics, is worst, 25.3",
          f"{WU_HE}, Table 3",
          "number of groups G", ("64", "32", "16", "8", "4", "2", "1"), ERROR,
          (Series("Group Norm", (24.6, 24.1, 24.6, 24.4, 24.6, 24.7, 25.3)),), joined=True),
    Table("channels", "ResNet-50: error against channels per group",
          "One channel per group, with Instance Norm’s statistics, is worst: 28.4",
          f"{WU_HE}, Table 3",
          "channels per group", ("64", "32", "16", "8", "4", "2", "1"), ERROR,
          (Series("Group Norm", (24.4, 24.5, 24.2, 24.3, 24.8, 25.6, 28.4), (False,) * 5 + (True,) * 2),), joined=True),
    Table("four", "ResNet-50: the four at 32 images per GPU",
          "At 32 images per GPU Batch Norm is best, 0.5 ahead of Group Norm",
          f"{WU_HE}, Table 1",
          "normalizer", ("Batch", "Layer", "Instance", "Group"), ERROR,
          (Series("32 images per GPU", (23.6, 25.3, 28.4, 24.1)),)),
    Table("ResNet-101", "ResNet-101: error at 32 and at 2 images per GPU",
          "At 2 images per GPU ResNet-101 with Batch Norm is 8.9 points behind Group Norm",
          f"{WU_HE}, in its text",
          "batch size (images per GPU)", ("32", "2"), ERROR,
          (Series("Batch Norm", (22.0, 31.9)), Series("Group Norm", (22.4, 23.0))), joined=True),
    Table("Batch Renorm", "Batch Renorm at 4 images per GPU",
          "At 4 images per GPU Batch Renorm is 1.0 better than Batch Norm, Group Norm 3.1 better",
          f"{WU_HE}, Batch Renorm in its text, the others in Table 2",
          "normalizer", ("Batch", "Batch Renorm", "Group"), ERROR,
          (Series("4 images per GPU", (27.3, 26.3, 24.2)),)),
    Table("COCO box", "COCO, Mask R-CNN: box AP",
          "Group Norm is 0.9 to 1.7 box AP above a frozen Batch Norm, with long training up to 2.2",
          f"{WU_HE}, Tables 4, 5 and 6",
          "backbone (table)", ("R50-C4 (4)", "R50-FPN (5)", "R50 (6)", "R101 (6)"), "box AP (%)",
          (Series("BN*, frozen", (37.7, 38.6, 38.6, 40.9)),
           Series("GN, head only", (None, 39.5, None, None)),
           Series("GN", (38.8, 40.0, 40.3, 41.8)),
           Series("GN, long training", (None, None, 40.8, 42.3))), higher_is_better=True),
    Table("COCO mask", "COCO, Mask R-CNN: mask AP",
          "Group Norm is 0.4 to 1.2 mask AP above a frozen Batch Norm, with long training up to 1.6",
          f"{WU_HE}, Tables 4, 5 and 6",
          "backbone (table)", ("R50-C4 (4)", "R50-FPN (5)", "R50 (6)", "R101 (6)"), "mask AP (%)",
          (Series("BN*, frozen", (32.8, 34.2, 34.5, 36.4)),
           Series("GN, head only", (None, 34.4, None, None)),
           Series("GN", (33.6, 34.8, 35.7, 36.8)),
           Series("GN, long training", (None, None, 36.1, 37.2))), higher_is_better=True),
    Table("Switchable Norm", "ResNet-50: accuracy with Switchable Norm",
          "Switchable Norm is best down to 4 images per GPU; at 2 images Group Norm is best, by 0.3",
          "Luo et al. 2018, Switchable Normalization, arXiv 1806.10779",
          "(GPUs, images per GPU)", ("(8, 32)", "(8, 16)", "(8, 8)", "(8, 4)", "(8, 2)"), "ImageNet top-1 accuracy (%)",
          (Series("Batch Norm", (76.4, 76.3, 75.2, 72.7, 65.3)),
           Series("Group Norm", (75.9, 75.8, 76.0, 75.8, 75.9)),
           Series("Switchable Norm", (76.9, 76.7, 76.7, 75.9, 75.6))),
          higher_is_better=True, joined=True, note="at (8, 2) Group Norm is ahead of Switchable"),
    Table("Weight Standardization", "Weight Standardization with Group Norm",
          "Weight Standardization with Group Norm: 23.72 top-1 error for ResNet-50, 22.10 for ResNet-101",
          "the authors’ repository of Qiao et al. 2019, Weight Standardization, arXiv 1903.10520",
          "network", ("ResNet-50", "ResNet-101"), "ImageNet error (%)",
          (Series("top-1", (23.72, 22.10)), Series("top-5", (6.99, 6.07))),
          decimals=2, note="baselines without it are unverified, so none is drawn"),
    Table("FRN", "Filter Response Norm: paper and reproduction",
          "FRN was 1.0 better than Batch Norm in its paper, and 0.4 worse in an independent reproduction",
          "Singh & Krishnan 2020, Filter Response Norm, arXiv 1911.09737, and FRN-on-common-ImageNet-baseline",
          "", ("paper, ResNetV2-50", "independent reproduction"), "ImageNet top-1 error (%)",
          (Series("Batch Norm", (23.8, 23.6)), Series("FRN + TLU", (22.8, 24.0))), note="the two disagree"),
)
# fmt: on
"""Every value was checked in its source; values from a secondary copy alone are marked."""


def measure() -> Published:
    """Return the published tables, each with its source.

    >>> measure()["batch size"].series[0].values
    (23.6, 23.7, 24.8, 27.3, 34.7)
    """
    return Published(TABLES)


@check_keywords
def figure(*, width: int | None = None, presenter: bool = False) -> go.Figure:
    """Draw one table and its source; a menu chooses the table. `presenter` makes a figure for a projector.

    `width` is in pixels.

    >>> [button.label for button in figure().layout.updatemenus[0].buttons][:1]
    ['ResNet-50: error against batch size']
    """
    room = chart.room(width, presenter)
    drawing: Any = Figure()
    rows = [(table, series) for table in TABLES for series in table.series]
    for table, series in rows:
        drawing.add_trace(_trace(table, series, 10 if _crowded(table) and room.narrow else 12))
    drawing.add_annotation(
        x=1, xref="paper", xanchor="right", y=1, yref="paper", yanchor="bottom",
        yshift=4, showarrow=False, align="right", font={"size": 11.5},
    )  # fmt: skip

    def step(table: Table) -> dict[str, Any]:
        visible = [of == table for of, _ in rows]
        better = "higher" if table.higher_is_better else "lower"
        beside = 0.35 if table.joined and not _crowded(table) else 0.6
        layout = {
            "xaxis__title__text": table.axis,
            "yaxis__title__text": table.unit if presenter else f"{table.unit}, {better} is better",
            "yaxis__range": _span(table),
            "xaxis__categoryarray": _ticks(table),
            # Categories are at 0, 1, ...; there is room for the numbers beside the marks.
            "xaxis__range": [-beside, len(table.ticks) - 1 + beside],
            "annotations[0].text": _source(table, room),
            "title__text": table.finding,
        }
        return chart.step(table.title, {"visible": visible}, range(len(rows)), **layout)

    drawing.update_layout(xaxis={"type": "category", "categoryorder": "array"}, showlegend=True)
    # Lines have their names at their ends, where there is room; marks have them in the legend.
    lined = [table for table in TABLES if table.joined and len(table.series) > 1 and not room.narrow]
    ends = [chart.Ends([k for k, (of, _) in enumerate(rows) if of is table], span=_span(table)) for table in lined]
    chart.add_buttons(drawing, [step(table) for table in TABLES], "Table", menu=True)
    names = max(([series.name for series in table.series] for table in TABLES if table not in lined), key=len)
    above = 16 * max(_source(table, room).count("<br>") + 1 for table in TABLES)
    return chart.finish(
        drawing, TABLES[0].finding,
        "Numbers as their authors published them, for one architecture and one training recipe each; the menu has the "
        "other tables. Axes do not start at zero. A hollow mark was read from a secondary copy of the table. Nothing "
        "here was measured by normviz.",
        f"A chart of published numbers with a menu of {len(TABLES)} tables. The first: ImageNet error of ResNet-50 "
        "against batch size; Batch Norm's rises from 23.6 percent at 32 images to 34.7 at 2, Group Norm's stays at "
        "about 24.1.",
        room=room, right=28, above=above, names=names, ends=ends,
    )  # fmt: skip


def _trace(table: Table, series: Series, size: int) -> go.Scatter:
    k = table.series.index(series)
    colour = chart.COLOURS[COLOURS.get(series.name, "green")]
    symbols = [chart.SYMBOLS[k] + ("" if ok else "-open") for ok in series.checked or (True,) * len(series.values)]
    texts, sides = _numbers(table, series)
    return go.Scatter(
        x=_ticks(table), y=list(series.values), name=series.name,
        mode="lines+markers+text" if table.joined else "markers+text", cliponaxis=False,
        text=texts, textposition=sides, textfont={"size": size},
        line={"color": colour, "width": 2, "dash": chart.DASHES[k]},
        marker={"size": 11, "color": colour, "symbol": symbols, "line": {"width": 2, "color": colour}},
        hovertemplate=f"{table.axis} %{{x}}".strip() + f"<br>%{{y:.{table.decimals}f}} %<extra>{series.name}</extra>",
    )  # fmt: skip


def _numbers(table: Table, series: Series) -> tuple[list[str], list[str]]:
    """Return the texts at the marks of a series, and the position of each."""
    texts, sides = [], []
    for column in zip(*(s.values for s in table.series), strict=True):
        value, highest = column[table.series.index(series)], max(v for v in column if v is not None)
        text = "" if value is None else f"{value:.{table.decimals}f}"
        if _crowded(table):
            # Three lines leave no room between them, so all numbers stand over the highest.
            names = ["".join(word[0] for word in s.name.split()) for s in table.series]
            every = [f"{name} {v:.{table.decimals}f}" for name, v in zip(names, column, strict=True)]
            text = "<br>".join(every) if value == highest else ""
        texts.append(text)
        sides.append("middle right" if not table.joined else "top center" if value == highest else "bottom center")
    return texts, sides


def _span(table: Table) -> list[float]:
    """Return the range of the vertical axis, with room for the numbers at the marks."""
    values = [v for series in table.series for v in series.values if v is not None]
    margin = (max(values) - min(values)) * 0.16
    return [min(values) - margin, max(values) + margin * (1.5 if _crowded(table) else 1)]


def _crowded(table: Table) -> bool:
    return table.joined and len(table.series) > 2


def _ticks(table: Table) -> list[str]:
    return ["<br>".join(wrap(tick, 14)) for tick in table.ticks]


def _source(table: Table, room: chart.Room) -> str:
    hollow = "hollow: from a secondary copy" if table.unchecked else ""
    return chart.broken(
        "; ".join(filter(None, (f"Source: {table.source}", hollow, table.note))), room.width - 84, room.letter
    )
