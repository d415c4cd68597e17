"""Places for charts that are drawn once; assets/chart-cursor.js moves a line over each."""

from typing import Any, Final, NamedTuple

from dash import dcc, html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id

CONFIG: Final[dict[str, Any]] = {
    "displayModeBar": False,
    "responsive": True,
    "doubleClick": False,
    "scrollZoom": False,
    "showTips": False,
}


class Chart(NamedTuple):
    """One chart.

    Attributes:
        id: its id.
        title: what it shows.
        figure: a Plotly figure.
    """

    id: Id
    title: str
    figure: Any


def charts(shown: list[Chart]) -> Component:
    """Put charts side by side, each in a place of fixed height.

    Args:
        shown: in order.

    Returns:
        A section; a click on a chart goes there.
    """
    return html.Section([_chart(each) for each in shown], className="charts", **attributes(aria_label="Charts"))


def _chart(chart: Chart) -> Component:
    title = f"{chart.id}-title"
    graph = dcc.Graph(id=chart.id, figure=chart.figure, config=CONFIG, responsive=True, className="graph")
    frame = html.Div([graph, html.Div(className="cursor", hidden=True)], className="chart-frame")
    return html.Figure(
        [html.Figcaption(chart.title, id=title, className="chart-title"), frame],
        className="chart",
        **attributes(aria_labelledby=title),
    )
