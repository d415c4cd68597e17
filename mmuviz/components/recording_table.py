"""A table of recordings."""

from collections.abc import Sequence
from typing import NamedTuple

from dash import html
from dash.development.base_component import Component


class RecordingRow(NamedTuple):
    """What a recording says of itself.

    Attributes:
        name: the scenario that was recorded.
        kernel: ``uname -r`` of the kernel that was recorded.
        note: what the guest did.
    """

    name: str
    kernel: str
    note: str


def recording_table(rows: Sequence[RecordingRow]) -> Component:
    """List recordings.

    Args:
        rows: the recordings, in the order in which they are shown.

    Returns:
        A section with a heading and the table, or a sentence where there are none.
    """
    if not rows:
        return html.P("No recordings came with this package.")
    head = html.Thead(html.Tr([html.Th(label, scope="col") for label in ("Recording", "Kernel", "What the guest did")]))
    body = html.Tbody(
        [
            html.Tr([html.Th(html.Code(row.name), scope="row"), html.Td(html.Code(row.kernel)), html.Td(row.note)])
            for row in rows
        ]
    )
    return html.Section(
        [
            html.H2("Recordings of real KVM"),
            html.P("What Linux itself did, op by op. The model is held against every one of them."),
            html.Div(html.Table([head, body]), className="table-frame"),
        ]
    )
