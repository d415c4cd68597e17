"""What each op did on both sides, a row an op."""

import json
from collections.abc import Sequence
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.recording.columns import Recording
from mmuviz.recording.labels import op_label
from mmuviz.recording.totals import dirty_pages_by_op, faults_by_op, splits_by_op

TELLS_DIRTY: Final = frozenset({"get", "ring_collect"})
HEADINGS: Final = {
    "Faults": "page faults that KVM handled in this op",
    "Splits": "huge pages split in this op",
    "1G": "1G pages mapped after it",
    "2M": "2M pages mapped after it",
    "4K": "4K pages mapped after it",
    "Tables": "page-table pages after it",
    "Dirty": "dirty pages that this op told userspace of",
}
DIRTY: Final = list(HEADINGS).index("Dirty")


def op_table(sides: Sequence[Recording]) -> Component:
    """List the ops; a row's button goes to its end. assets/op-table.js makes the rows from the figures.

    Args:
        sides: two recordings of the same ops.

    Returns:
        The table in its frame.
    """
    figures = {"headings": list(HEADINGS.items()), "rows": op_rows(sides)}
    text = json.dumps(figures, separators=(",", ":"))
    table = html.Table(className="op-table", id=Id.OPS, **attributes(data_figures=text))
    return html.Div(table, className="table-frame")


def op_rows(sides: Sequence[Recording]) -> list[list[Any]]:
    """What the table says.

    Args:
        sides: two recordings of the same ops.

    Returns:
        A row an op: its label, then left and right of each heading; None where an op tells nothing.
    """
    figures = [_figures(side) for side in sides]
    rows = []
    for index, op in enumerate(sides[0].ops):
        pairs = [list(pair) for pair in zip(*(side[index] for side in figures), strict=True)]
        if op.kind not in TELLS_DIRTY:
            pairs[DIRTY] = [None, None]
        rows.append([op_label(sides[0], index), *pairs])
    return rows


def _figures(recording: Recording) -> list[tuple[int, ...]]:
    """By op, in the order of HEADINGS."""
    columns = recording.op_columns
    return list(
        zip(
            faults_by_op(recording).tolist(),
            splits_by_op(recording).tolist(),
            columns.pages_1g.tolist(),
            columns.pages_2m.tolist(),
            columns.pages_4k.tolist(),
            columns.table_pages.tolist(),
            dirty_pages_by_op(recording).tolist(),
            strict=True,
        )
    )
