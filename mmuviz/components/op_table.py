"""What each op did on both sides, a row an op."""

from collections.abc import Sequence
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
    "Faults": "page faults that KVM handled in this op",
    "Splits": "huge pages split in this op",
    "1G": "1G pages mapped after it",
    "2M": "2M pages mapped after it",
    "4K": "4K pages mapped after it",
    "Tables": "page-table pages after it",
    "Dirty": "dirty pages that this op told userspace of",
}
SIDES: Final = ("left", "right")


def op_table(sides: Sequence[Recording]) -> Component:
    """List the ops; a row's button goes to its end.

    Args:
        sides: two recordings of the same ops.

    Returns:
        The table in its frame.
    """
    upper = [html.Th("Op", rowSpan=2, scope="col")]
    upper += [
        html.Th(html.Abbr(name, title=meaning), colSpan=2, scope="colgroup") for name, meaning in HEADINGS.items()
    ]
    lower = [html.Th(side, scope="col") for _ in HEADINGS for side in SIDES]
    figures = [_figures(side) for side in sides]
    rows = [_row(sides[0], index, [side[index] for side in figures]) for index in range(len(sides[0].ops))]
    head = html.Thead([html.Tr(upper), html.Tr(lower)])
    table = html.Table([head, html.Tbody(rows)], className="op-table", id=Id.OPS)
    return html.Div(table, className="table-frame")


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


def _row(recording: Recording, index: int, figures: list[tuple[int, ...]]) -> Component:
    tells = recording.ops[index].kind in TELLS_DIRTY
    cells = []
    for name, values in zip(HEADINGS, zip(*figures, strict=True), strict=True):
        texts = [f"{value:,}" if tells or name != "Dirty" else "" for value in values]
        cells += [_cell(name, side, text, texts[0] != texts[1]) for side, text in zip(SIDES, texts, strict=True)]
    label = op_label(recording, index)
    button = html.Button([html.Span(str(index + 1), className="op-number"), label], className="op-button")
    return html.Tr([html.Th(button, scope="row"), *cells], **attributes(data_op=str(index)))


def _cell(name: str, side: str, text: str, differs: bool) -> Component:  # noqa: FBT001 - one call above
    looks = ["zero"] * (text in ("0", "")) + ["differs"] * differs + [f"of-{side}"]
    return html.Td(text, className=" ".join(looks), **attributes(data_label=f"{name} {side}"))
