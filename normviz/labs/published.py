"""Published errors of Batch and Group Norm and of relatives, as their tables have them: nothing here is measured."""

from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from normviz.core.errors import check_keywords
from normviz.labs import checks, look
from normviz.labs.tables import TABLES, Published, Series, Table


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
    11
    """
    width = checks.width(width)
    tables = measure().tables
    drawing: Any = go.Figure()
    owners = []
    for table in tables:
        for one in table.series:
            drawing.add_trace(_trace(table, one, 10 if _crowded(table) and width < look.NARROW else 12))
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
            xaxis__categoryarray=_ticks(table),
            xaxis__range=_span(table),
            annotations_0_text=_source(table, width),
        )
        for table in tables
    ]
    for entry in steps:
        entry["args"][1]["annotations[0].text"] = entry["args"][1].pop("annotations_0_text")
    drawing.update_layout(
        updatemenus=[look.buttons(steps, "Table", menu=True)],
        xaxis={
            "title": {"text": first.axis},
            "type": "category",
            "categoryorder": "array",
            "categoryarray": _ticks(first),
            "range": _span(first),
        },
        yaxis={"title": {"text": _unit(first)}, "range": _range(first)},
    )
    caption = (
        "Numbers as their authors published them, for one architecture and one training recipe each; the menu has the "
        "other tables. Axes do not start at zero. A hollow mark was read from a secondary copy of the table. Nothing "
        "here was measured by normviz."
    )
    alt = (
        f"A chart of published numbers with a menu of {len(tables)} tables. The first: ImageNet error of ResNet-50 "
        "against batch size; Batch Norm's rises from 23.6 percent at 32 images to 34.7 at 2, Group Norm's stays at "
        "about 24.1."
    )
    drawing.update_layout(showlegend=True)
    names = max(([one.name for one in table.series] for table in tables), key=len)
    above = _lines(width) * 16
    return look.finish(drawing, "What was published", caption, alt, width=width, right=28, above=above, names=names)


COLOURS = {
    "Batch Norm": "blue",
    "BN*, frozen": "blue",
    "Group Norm": "pink",
    "GN": "pink",
    "GN, head only": "orange",
    "FRN + TLU": "orange",
    "top-5": "grey",
}
"""As in the other labs, green where a name has none."""


def _trace(table: Table, one: Series, size: int) -> go.Scatter:
    k = table.series.index(one)
    colour = look.COLOURS[COLOURS.get(one.name, "green")]
    checked = one.checked or (True,) * len(one.values)
    texts, sides = _numbers(table, one)
    return go.Scatter(
        x=_ticks(table),
        y=list(one.values),
        name=one.name,
        mode="lines+markers+text" if table.joined else "markers+text",
        text=texts,
        textposition=sides,
        textfont={"size": size},
        cliponaxis=False,
        line={"color": colour, "width": 2, "dash": look.DASHES[k]},
        marker={
            "size": 11,
            "color": colour,
            "symbol": [look.SYMBOLS[k] if ok else f"{look.SYMBOLS[k]}-open" for ok in checked],
            "line": {"width": 2, "color": colour},
        },
        hovertemplate=f"{table.axis} %{{x}}".strip() + f"<br>%{{y:.{table.decimals}f}} %<extra>{one.name}</extra>",
    )


def _numbers(table: Table, one: Series) -> tuple[list[str], list[str]]:
    """Return the numbers at the marks of a series, and where each stands."""
    texts, sides = [], []
    for at in zip(*(s.values for s in table.series), strict=True):
        value, highest = at[table.series.index(one)], max(v for v in at if v is not None)
        told = "" if value is None else f"{value:.{table.decimals}f}"
        if _crowded(table):
            # Three lines leave no room between them: all the numbers stand over the highest.
            names = ["".join(word[0] for word in s.name.split()) for s in table.series]
            every = [f"{name} {v:.{table.decimals}f}" for name, v in zip(names, at, strict=True)]
            told = "<br>".join(every) if value == highest else ""
        texts.append(told)
        sides.append("middle right" if not table.joined else "top center" if value == highest else "bottom center")
    return texts, sides


def _crowded(table: Table) -> bool:
    return table.joined and len(table.series) > 2


def _ticks(table: Table) -> list[str]:
    return ["<br>".join(wrap(tick, 14)) for tick in table.ticks]


def _span(table: Table) -> list[float]:
    """Return the range of an axis of places 0, 1, ..., with room for the numbers beside and above the marks."""
    beside = 0.35 if table.joined and not _crowded(table) else 0.6
    return [-beside, len(table.ticks) - 1 + beside]


def _unit(table: Table) -> str:
    return f"{table.unit}, {'higher' if table.higher_is_better else 'lower'} is better"


def _range(table: Table) -> list[float]:
    values = [v for one in table.series for v in one.values if v is not None]
    room = (max(values) - min(values)) * 0.16
    return [min(values) - room, max(values) + room * (1.5 if _crowded(table) else 1)]


def _lines(width: int) -> int:
    return max(_source(table, width).count("<br>") + 1 for table in TABLES)


def _source(table: Table, width: int) -> str:
    hollow = "hollow: from a secondary copy" if table.unchecked else ""
    return look.broken("; ".join(filter(None, (f"Source: {table.source}", hollow, table.note))), width - 84)
