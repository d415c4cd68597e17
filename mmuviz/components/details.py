"""What experts look for: where each side comes from, its choices, and the maps as a table."""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.recording.columns import Recording
from mmuviz.recording.words import BACKINGS, MODES, kernel_name, size_text


def map_table() -> Component:
    """Make the place of the table of the maps; assets/map-table.js fills it while the story rests.

    Returns:
        A section that can be opened.
    """
    table = html.Table(id=Id.MAP_TABLE, className="map-table")
    return _opened("The maps as a table", table)


def origins(titles: Sequence[str], sides: Sequence[Recording]) -> Component:
    """Say what was recorded or modelled, side by side.

    Args:
        titles: of the panes.
        sides: both recordings.

    Returns:
        A table, a choice a row.
    """
    facts = [_facts(side) for side in sides]
    head = html.Tr([html.Th("Choice", scope="col"), *(html.Th(title, scope="col") for title in titles)])
    rows = [html.Tr([html.Th(name, scope="row"), *(html.Td(each[name]) for each in facts)]) for name in facts[0]]
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="origins")
    return _opened("Kernel, mode and origin", table)


def _opened(title: str, table: Component) -> Component:
    # Where it is wider than the screen, keys scroll it.
    frame = html.Div(table, className="table-frame", role="region", tabIndex=0, **attributes(aria_label=title))
    return html.Details([html.Summary(title), frame], className="more")


def _facts(side: Recording) -> dict[str, str | Component]:
    config = side.config
    return {
        "Kernel": side.kernel if side.kernel[0].isdigit() else kernel_name(side),
        "Dirty logging": MODES[config.dirty_log_mode],
        "eager_page_split": "Y" if config.eager_page_split else "N",
        "MMU": "TDP MMU" if config.tdp_mmu else "shadow MMU",
        "Processor": f"{config.vendor}{', PML' if config.pml else ''}",
        "vCPUs": str(config.vcpus),
        "Slot": f"{size_text(side.slot.pages)} of {BACKINGS[side.slot.backing]}, from gfn {side.slot.base_gfn:#x}",
        "Recording": html.Code(side.name),
        "Origin": side.note,
    }
