"""The guest memory map after one op; assets/still-map.js draws it."""

from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.ground.pages import PAGES_PER_2M, round_up
from mmuviz.recording.columns import Recording

CELL_4K_MAX_PAGES: Final = 32_768
"""Up to here a cell is one 4K page; assets/page-map.js has the same."""
BLOCK_ACROSS: Final = 32
BLOCK_DOWN: Final = 16
WIDE_BLOCKS: Final = 4
NARROW_BLOCKS: Final = 2

LEGEND: Final = {
    "1g": "1G page",
    "2m": "2M page",
    "4k": "4K page",
    "none": "not mapped",
    "protected": "write-protected",
    "armed": "dirty bit clear (PML)",
    "dirty": "dirty: written since it was armed",
}


def aspect(recording: Recording, most_across: int) -> float:
    """Width of the map by its height, so that its place is kept before it is drawn."""
    slot = recording.slot
    first, end = slot.base_gfn, slot.base_gfn + slot.pages
    span = 1 if slot.pages <= CELL_4K_MAX_PAGES else PAGES_PER_2M
    per_block = BLOCK_ACROSS * BLOCK_DOWN * span
    blocks = (round_up(end, per_block) - first // per_block * per_block) // per_block
    across = min(most_across, blocks)
    return across * BLOCK_ACROSS / (-(-blocks // across) * BLOCK_DOWN)


def still_map(recording: Recording, address: str) -> Component:
    """Make the map's panel.

    Args:
        recording: what is shown.
        address: where its bytes are fetched.

    Returns:
        A figure: controls, canvas, legend and the same in words.
    """
    controls = html.Div(
        [
            html.Button("← Previous op", id=Id.PREVIOUS_OP, className="step-button"),
            html.Button("Next op →", id=Id.NEXT_OP, className="step-button"),
            html.P("Loading the map …", id=Id.MAP_OP, className="map-op"),
        ],
        className="map-controls",
    )
    canvas = html.Canvas(
        id=Id.MAP,
        role="img",
        className="map-canvas",
        style={
            "--map-wide": f"{aspect(recording, WIDE_BLOCKS):g}",
            "--map-narrow": f"{aspect(recording, NARROW_BLOCKS):g}",
        },
        **attributes(data_recording=address, aria_label="Guest memory map", aria_describedby=Id.MAP_SUMMARY),
    )
    needless = set() if recording.config.pml else {"armed"}
    legend = [
        html.Li([html.Canvas(className="swatch", **attributes(data_look=look, aria_hidden="true")), text])
        for look, text in LEGEND.items()
        if look not in needless
    ]
    return html.Section(
        [
            controls,
            canvas,
            html.P(id=Id.MAP_SCALE, className="map-scale"),
            html.Ul(legend, className="legend", **attributes(aria_label="Legend")),
            html.P(id=Id.MAP_SUMMARY, className="map-summary", role="status"),
        ],
        className="map-panel",
        **attributes(aria_label="Guest memory map"),
    )
