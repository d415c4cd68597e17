"""What charts are of, said above them, and the figures of simulated time below them."""

import json
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.recording.time_words import Row
from mmuviz.recording.timing import Timing

TITLE = "Simulated time in figures"
COUNTED = "A recording of real KVM tells what happened in which order, not when: these charts count."


def charts_heading(title: str, says: str) -> Component:
    """Say what the charts below are of.

    Args:
        title: in a word or two.
        says: one or two sentences.

    Returns:
        A heading and a text.
    """
    return html.Div([html.H2(title), html.P(says)], className="charts-head")


def time_table(titles: Sequence[str], rows: Sequence[Row]) -> list[Component]:
    """Show the figures that the charts of time come to.

    Args:
        titles: of the panes.
        rows: from time_words.time_rows().

    Returns:
        A heading and a table.
    """
    head = html.Tr([html.Th("Figure", scope="col"), *(html.Th(title, scope="col") for title in titles)])
    body = [html.Tr([html.Th(name, scope="row"), html.Td(left), html.Td(right)]) for name, left, right in rows]
    table = html.Table([html.Thead(head), html.Tbody(body)], id=Id.TIMES, className="time-table")
    frame = html.Div(table, className="table-frame", role="region", tabIndex=0, **attributes(aria_label=TITLE))
    return [html.H2(TITLE), frame]


def op_ends(timing: Timing) -> str:
    """When each op ends in simulated time, for assets/chart-cursor.js: ms, JSON."""
    return json.dumps([round(each, 9) for each in timing.op_end_ms.tolist()], separators=(",", ":"))
