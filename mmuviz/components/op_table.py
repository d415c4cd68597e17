"""What each op of a recording did, a row an op."""

from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.recording.columns import Recording
from mmuviz.recording.labels import op_label
from mmuviz.recording.totals import dirty_pages_by_op, faults_by_op, splits_by_op

TELLS_DIRTY: Final = frozenset({"get", "ring_collect"})
HEADINGS: Final = {
    "Op": "what userspace or the guest did",
    "Faults": "page faults that KVM handled in this op",
    "Splits": "huge pages split in this op",
    "1G": "1G pages mapped after it",
    "2M": "2M pages mapped after it",
    "4K": "4K pages mapped after it",
    "Tables": "page-table pages after it",
    "Dirty": "dirty pages that this op told userspace of",
}


def op_table(recording: Recording) -> Component:
    """List the ops; each row's button shows the map after it.

    Args:
        recording: what is shown.

    Returns:
        The table in its frame.
    """
    head = [html.Th(html.Abbr(name, title=meaning), scope="col") for name, meaning in HEADINGS.items()]
    columns = recording.op_columns
    figures = zip(
        faults_by_op(recording).tolist(),
        splits_by_op(recording).tolist(),
        columns.pages_1g.tolist(),
        columns.pages_2m.tolist(),
        columns.pages_4k.tolist(),
        columns.table_pages.tolist(),
        dirty_pages_by_op(recording).tolist(),
        strict=True,
    )
    rows = [_row(recording, index, list(row)) for index, row in enumerate(figures)]
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="op-table", id=Id.OPS)
    return html.Div(table, className="table-frame")


def _row(recording: Recording, index: int, figures: list[int]) -> Component:
    tells = recording.ops[index].kind in TELLS_DIRTY
    texts = [f"{value:,}" for value in figures[:-1]] + [f"{figures[-1]:,}" if tells else ""]
    names = list(HEADINGS)[1:]
    cells = [
        html.Td(text, **attributes(data_label=name), className="zero" if text in ("0", "") else None)
        for name, text in zip(names, texts, strict=True)
    ]
    label = op_label(recording, index)
    button = html.Button([html.Span(str(index + 1), className="op-number"), label], className="op-button")
    return html.Tr([html.Th(button, scope="row"), *cells], **attributes(data_op=str(index)))
