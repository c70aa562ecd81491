"""Where the panels of a chart of recordings stand, on a page and for a projector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from normviz.charts import chart

PANELS = {"var": "variance of the sets", "mean": "mean of the sets", "grad": "gradient norm"}
"""The panels of the chosen layer, and the titles of their vertical axes."""
LEFT = 64
BEGINS: dict[str, Any] = {
    "name": "a warning begins",
    "mode": "lines+markers",
    "line": {"color": chart.COLOURS["red"], "width": 1.5, "dash": "dot"},
    "marker": {"size": 6, "symbol": "triangle-up"},
    "hovertemplate": "%{hovertext}<extra></extra>",
}
ROW, TALLEST, LABEL = 18, 400, 14
"""Pixels: height of a layer's row, of the heat map at most, and between two names of layers."""


def number_of(panel: str) -> int:
    """Return the number of a panel's axes; those of the heat maps are 1 and 2, and those of their rows 3 and 4."""
    return 5 + [*PANELS].index(panel)


def axes_of(panel: str, room: chart.Room) -> dict[str, str]:
    """Return the axes of a panel; for a projector all panels are one, with three vertical axes."""
    return {"xaxis": f"x{number_of('var' if room.presenter else panel)}", "yaxis": f"y{number_of(panel)}"}


class Places:
    """Where the panels stand, in pixels from the left and the top of the plot.

    On a page the heat maps stand above the panels of the layer, for a projector beside one of them.
    """

    def __init__(self, room: chart.Room, runs: int, rows: int, letters: int, panels: Sequence[str], drawing: Any,
                 legend: Sequence[str]) -> None:  # fmt: skip
        self.room, self.rows, self.panels = room, rows, panels
        scale = room.scale
        self.width = width = room.width - round(scale * LEFT) - round(scale * 20)
        start, bar = max(0, (letters * 7.3 + 12 - LEFT) * scale), 62 * scale
        tall = max(3.5 * ROW, min(ROW * rows, TALLEST))
        self.heats, self.details = [], []
        if room.presenter:
            self.height = 300  # the shares count; `finish` computes the height
            whole, half = (0, 300), (0.5 if runs == 1 else 0.6) * width
            self._beside(start, half - bar, runs, whole)
            self.details = [(half + 80 * scale, width, whole)] * len(panels)
            self.bar = half - bar + 8
            return
        if room.narrow:
            self.heats = [(start, width - bar, (k * (tall + 74), k * (tall + 74) + tall)) for k in range(runs)]
        else:
            self._beside(start, width - bar, runs, (0, tall))
        self.bar = width - bar + 8
        self.legend_top = self.heats[-1][2][1] + chart.AXIS + 6
        top = self.legend_top + 24 * chart.legend_rows(drawing, width, [*legend, BEGINS["name"]], 1) + 14
        if room.narrow:
            ends = [(top + k * 208, top + k * 208 + 150) for k in range(len(panels))]
            self.details = [(0, width, span) for span in ends]
        else:
            gap = 82
            each = (width - gap * (len(panels) - 1)) / len(panels)
            self.details = [(k * (each + gap), k * (each + gap) + each, (top, top + 180)) for k in range(len(panels))]
        self.height = round(self.details[-1][2][1])

    def _beside(self, left: float, right: float, runs: int, span: tuple[float, float]) -> None:
        each = (right - left - 14 * (runs - 1)) / runs
        self.heats = [(left + k * (each + 14), left + k * (each + 14) + each, span) for k in range(runs)]

    @property
    def legend_y(self) -> float:
        """Top of the legend, as a share of the plot's height."""
        return 1 - self.legend_top / self.height

    def lay_out(self, drawing: Any, names: Sequence[str], *, by_samples: bool) -> None:
        """Set the axes, and add the titles of the panels."""
        room, rows = self.room, self.rows
        # A projector leaves about 230 pixels.
        high = 230 / room.scale if room.presenter else self.heats[0][2][1] - self.heats[0][2][0]
        apart = -(-LABEL * rows // high)
        shown = [*range(0, rows, max(1, int(apart)))]
        for k, box in enumerate(self.heats):
            labelled = k == 0 or room.narrow
            self._axes(drawing, k + 1, box)
            left, top = drawing.layout[f"xaxis{k + 1}"].domain[0], drawing.layout[f"yaxis{k + 1}"].domain[1]
            drawing.add_annotation(
                text="", name=chart.PANEL, x=left, y=top, xanchor="left", yanchor="bottom", align="left",
                xref="paper", yref="paper", showarrow=False,
            )  # fmt: skip
            own = {"visible": False, "range": [rows - 0.5, -0.5], "title": {"text": "layer"}}
            ticks = {"tickvals": shown, "ticktext": [names[i] for i in shown], "showticklabels": labelled}
            over = {"overlaying": f"y{k + 1}", "anchor": f"x{k + 1}", "side": "left", "range": [rows - 0.5, -0.5]}
            plain = {"showgrid": False, "zeroline": False}
            drawing.update_layout({f"yaxis{k + 1}": own, f"yaxis{k + 3}": over | ticks | plain})
        across = {"title": {"text": "samples seen" if by_samples else "step"}, "nticks": 5}
        for k, (panel, box) in enumerate(zip(self.panels, self.details, strict=True)):
            n, vertical = number_of(panel), {"type": "linear" if panel == "mean" else "log", "nticks": 5}
            vertical["title"] = {"text": PANELS[panel]}
            if room.presenter and k:
                first = number_of("var")
                drawing.update_layout({f"yaxis{n}": {**vertical, "overlaying": f"y{first}", "anchor": f"x{first}"}})
                continue
            self._axes(drawing, n, box)
            drawing.update_layout({f"xaxis{n}": across, f"yaxis{n}": vertical})
        top, bottom = self.heats[0][2][0], self.heats[-1][2][1]
        bar = {"x": self.bar / self.width, "xanchor": "left", "xpad": 0, "ypad": 0, "thickness": 12 * room.scale}
        bar |= {"lenmode": "fraction", "len": (bottom - top) / self.height, "outlinewidth": 0, "ticks": "outside"}
        bar |= {"y": 1 - (top + bottom) / 2 / self.height, "yanchor": "middle"}
        drawing.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": bar})

    def _axes(self, drawing: Any, number: int, box: tuple[float, float, tuple[float, float]]) -> None:
        left, right, (top, bottom) = box
        across = [left / self.width, min(1, right / self.width)]
        up = [max(0, 1 - bottom / self.height), 1 - top / self.height]
        x, y = {"domain": across, "anchor": f"y{number}"}, {"domain": up, "anchor": f"x{number}"}
        drawing.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})
