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
    "none": "not mapped",
    "protected": "write-protected",
    "armed": "dirty bit clear (PML)",
    "dirty": "dirty",
}


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
    items = [
        html.Li([html.Canvas(className="swatch", **attributes(data_look=look, aria_hidden="true")), text])
        for look, text in LEGEND.items()
        if look not in needless
    ]
    return html.Ul(items, className="legend", **attributes(aria_label="Legend"))
