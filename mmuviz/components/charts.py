"""Places for charts that are drawn once; assets/chart-cursor.js moves a line over each."""

from typing import Any, Final, NamedTuple

from dash import dcc, html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id

CONFIG: Final[Any] = {
    "displayModeBar": False,
    "responsive": True,
    "doubleClick": False,
    "scrollZoom": False,
    "showTips": False,
}


PX_PER_REM: Final = 16


class Chart(NamedTuple):
    """One chart.

    Attributes:
        id: its id.
        title: what it shows.
        figure: a Plotly figure, as JSON.
        op_ends: where each op ends on its x axis, a JSON list; empty where that axis is the clock of playing.
        follows: whether it has the clock as its x axis, so that a line shows where the story is.
    """

    id: Id
    title: str
    figure: Any
    op_ends: str = ""
    follows: bool = True


def charts_place(script: str) -> Component:
    """Keep the place of the charts.

    Args:
        script: address of Plotly's bundle, which is loaded when the charts are wanted.

    Returns:
        An empty section.
    """
    return html.Section(id=Id.CHARTS, className="charts", **attributes(aria_label="Charts", data_script=script))


def chart(shown: Chart) -> Component:
    """Put one chart into a place of fixed height.

    Args:
        shown: the chart.

    Returns:
        A figure with its caption; a click on it goes to that time.
    """
    title = f"{shown.id}-title"
    graph = dcc.Graph(id=shown.id, figure=shown.figure, config=CONFIG, responsive=True, className="graph")
    cursor = [html.Div(className="cursor", hidden=True)] if shown.follows else []
    ends = attributes(data_op_ends=shown.op_ends) if shown.op_ends else {}
    frame = html.Div([graph, *cursor], className="chart-frame", **ends)
    return html.Figure(
        [html.Figcaption(shown.title, id=title, className="chart-title"), frame],
        className="chart",
        style={"--chart-height": f"{shown.figure['layout']['height'] / PX_PER_REM:g}rem"},
        **attributes(aria_labelledby=title),
    )
