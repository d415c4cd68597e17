"""What the colours and stripes of the maps say; assets/map-painter.js paints the swatches."""

from collections.abc import Sequence
from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.recording.columns import Recording

LEGEND: Final = {
    "1g": "1G",
    "2m": "2M",
    "4k": "4K",
    "dirty": "dirty",
    "protected": "write-protected",
    "armed": "dirty bit clear (PML)",
    "none": "not mapped",
}
NOT_ARMED: Final = {"manual_initially_set": "dirty, or not armed yet", "ring_initially_set": "dirty, or never armed"}
"""What looks dirty where enabling the log leaves all entries as they are: no write to them is noticed."""


def legend(sides: Sequence[Recording]) -> Component:
    """List the looks that can occur.

    Args:
        sides: both recordings.

    Returns:
        A list, each look beside its name.
    """
    needless = set() if any(side.config.pml for side in sides) else {"armed"}
    if not any(side.slot.backing == "hugetlb_1g" for side in sides):
        needless.add("1g")
    modes = {side.config.dirty_log_mode for side in sides}
    dirty = next((text for mode, text in NOT_ARMED.items() if mode in modes), LEGEND["dirty"])
    items = [
        html.Li([html.Canvas(className="swatch", **attributes(data_look=look, aria_hidden="true")), text])
        for look, text in (LEGEND | {"dirty": dirty}).items()
        if look not in needless
    ]
    # Where it is wider than its place, keys scroll it.
    return html.Ul(items, className="legend", tabIndex=0, **attributes(aria_label="Legend"))
