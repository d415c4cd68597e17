"""Sizes, colours, axes and units of figures; the colours are visible on light and on dark ground."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it ships no types

ROW_PX: Final = 118
TITLE_PX: Final = 21
LEGEND_PX: Final = 20
MORE_LEGEND_PX: Final = 24
"""Height of each line of a legend except the first."""
SPACE_PX: Final = 12
BOTTOM_PX: Final = 34
LEFT_PX: Final = 58
RIGHT_PX: Final = 12

# Okabe and Ito's colours that are distinct from white and from near-black.
BLUE: Final = "#0072b2"
SKY: Final = "#56b4e9"
ORANGE: Final = "#e69f00"
RED: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#cc79a7"
GREY: Final = "#8a8f98"
GRID: Final = "rgba(128,128,128,0.25)"


class Unit(NamedTuple):
    """A unit of memory.

    Attributes:
        name: e.g. "MiB".
        size: bytes.
    """

    name: str
    size: int


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
        name: the quantity.
        values: int64[n] or float64[n], one per position on the x axis.
        colour: CSS colour.
        dash: Plotly's name of a dash style.
    """

    name: str
    values: Any
    colour: str
    dash: str = "solid"


class Row(NamedTuple):
    """One chart of several above each other.

    Attributes:
        title: the quantity, with its unit.
        height_px: height of the plot area.
        legend_lines: most lines of its legend.
        above_px: height reserved for the axis labels of the chart above.
    """

    title: str
    height_px: int = ROW_PX
    legend_lines: int = 1
    above_px: int = 0

    @property
    def legend_px(self) -> int:
        """Height of the legend, between the title and the plot area."""
        return LEGEND_PX + MORE_LEGEND_PX * (self.legend_lines - 1) if self.legend_lines else 0


def unit_for(most: int) -> Unit:
    """Return the largest unit in which the largest value is at least two."""
    units = [Unit("bytes", 1), Unit("KiB", 1 << 10), Unit("MiB", 1 << 20), Unit("GiB", 1 << 30), Unit("TiB", 1 << 40)]
    return next((unit for unit in reversed(units) if most >= 2 * unit.size), units[0])


def framed(rows: list[Row], axis: dict[str, Any]) -> go.Figure:
    """Make the axes of charts above each other; they share one x axis, below the last chart.

    Args:
        rows: charts from the top.
        axis: properties of the x axis.

    Returns:
        A figure without lines: y axes "y", "y2", …
    """
    heads = [TITLE_PX + row.legend_px + row.above_px for row in rows]
    inner = sum(row.height_px for row in rows) + sum(heads[1:]) + SPACE_PX * (len(rows) - 1)
    figure = go.Figure()
    figure.update_layout(
        height=heads[0] + inner + BOTTOM_PX,
        margin={"l": LEFT_PX, "r": RIGHT_PX, "t": heads[0], "b": BOTTOM_PX, "pad": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 11},
        showlegend=True,
        hovermode=False,
        dragmode=False,
        xaxis={
            **axis,
            "gridcolor": GRID,
            "zeroline": False,
            "fixedrange": True,
            "anchor": f"y{len(rows)}" if len(rows) > 1 else "y",
        },
    )
    top = float(inner)
    for index, row in enumerate(rows):
        domain = (max(0.0, (top - row.height_px) / inner), top / inner)
        _add_row(figure, index, row, domain)
        top -= row.height_px + SPACE_PX + heads[(index + 1) % len(rows)]
    return figure


def _add_row(figure: go.Figure, index: int, row: Row, domain: tuple[float, float]) -> None:
    name = axis_name(index)
    axis = {
        "rangemode": "tozero",
        "domain": domain,
        "gridcolor": GRID,
        "zeroline": False,
        "fixedrange": True,
        "nticks": 4,
    }
    legend = {"orientation": "h", "x": 0, "xanchor": "left", "y": domain[1], "yanchor": "bottom", "font": {"size": 11}}
    bare = {"bgcolor": "rgba(0,0,0,0)", "itemclick": False, "itemdoubleclick": False}
    figure.update_layout({f"yaxis{name}": axis, f"legend{name}": {**legend, **bare}})
    figure.add_annotation(
        text=f"<b>{row.title}</b>",
        x=0,
        y=domain[1],
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        xshift=-LEFT_PX + 4,
        yshift=max(row.legend_px, 5),
        showarrow=False,
        font={"size": 12},
    )


def axis_name(row: int) -> str:
    """Return Plotly's suffix of "yaxis" and "legend" for a chart, 0 at the top."""
    return "" if row == 0 else str(row + 1)


def add_lines(
    figure: go.Figure, row: int, x: npt.ArrayLike, lines: list[Line], *, stacked: bool, shape: str = "hv"
) -> None:
    """Draw lines; a value holds until the next point unless another shape is given.

    Args:
        figure: a figure made by framed().
        row: the chart, 0 at the top.
        x: float64[n], positions on the x axis.
        lines: lines in the order of the legend.
        stacked: whether each is stacked on the one before.
        shape: Plotly's name of a line shape.
    """
    name = axis_name(row)
    for line in lines:
        style = {"color": line.colour, "width": 1 if stacked else 2, "dash": line.dash, "shape": shape}
        stack = {"stackgroup": f"row{row}", "fillcolor": line.colour} if stacked else {}
        figure.add_trace(
            go.Scatter(
                x=np.asarray(x),
                y=np.asarray(line.values),
                name=line.name,
                mode="lines",
                line=style,
                yaxis=f"y{name}",
                legend=f"legend{name}",
                **stack,
            )
        )
