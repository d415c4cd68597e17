"""One side of the comparison: its map, the sentence about its last event and its figures; scripts fill them."""

from collections.abc import Sequence
from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.ground.pages import PAGES_PER_2M
from mmuviz.recording.columns import Recording, Slot
from mmuviz.recording.totals import huge_zaps_in_faults, splits_by_place

FAULTS_LOGGED: Final = "faults_logged"
"""All faults in ops during which the slot is logged; assets/readouts.js adds them up."""

MOST_PAGES_AS_CELLS: Final = 32_768
MOST_CELLS: Final = 2_048
TILE_ACROSS: Final = 32
TILE_DOWN: Final = 16
"""As in assets/map-view.js."""
WIDE: Final = (1.4, 2.0)
NARROW: Final = (0.8, 1.5)
"""Width by height that suits a pane, at least and at most."""

MAIN: Final = {
    FAULTS_LOGGED: "faults so far, log on",
    "splits_fault": "splits in faults",
    "zaps_fault": "zaps in faults",
    "table_bytes": "page-table memory",
}
"""The figures that the eye meets first."""

MORE: Final = {
    "pages_1g": "1G pages mapped",
    "pages_2m": "2M pages mapped",
    "pages_4k": "4K pages mapped",
    "table_pages": "page-table pages",
    "faults_not_present": "faults: not present",
    "faults_fast": "faults: fast_page_fault()",
    "faults_slow": "faults: slow path",
    "pending": "written, not yet told of",
    "splits_enable": "splits at enable",
    "splits_clear": "splits in CLEAR",
    "splits_ring_reset": "splits in ring reset",
    "told": "told by the last GET",
}


def main_figures(sides: Sequence[Recording]) -> list[str]:
    """Choose the figures that come first: zaps only where a fault zaps, splits unless all faults zap.

    Args:
        sides: both recordings.

    Returns:
        Names of MAIN, in its order, the same for both panes.
    """
    zaps = any(huge_zaps_in_faults(side) for side in sides)
    splits = any("fault" in splits_by_place(side) for side in sides)
    left_out = ({"zaps_fault"} if not zaps else set()) | ({"splits_fault"} if zaps and not splits else set())
    return [name for name in MAIN if name not in left_out]


def map_aspect(slot: Slot, suits: tuple[float, float]) -> float:
    """Choose the shape of the maps' boxes, so that the tiles of the whole slot fill them well.

    Args:
        slot: the memslot.
        suits: WIDE or NARROW.

    Returns:
        Width by height of a layout of the tiles: one that suits, and of those the one with the fewest empty places.
    """
    span = 1
    if slot.pages > MOST_PAGES_AS_CELLS:
        span = PAGES_PER_2M
        while -(-slot.pages // span) > MOST_CELLS:
            span *= 2
    per_tile = TILE_ACROSS * TILE_DOWN * span
    tiles = -(-(slot.base_gfn + slot.pages) // per_tile) - slot.base_gfn // per_tile
    least, most = suits

    def unfit(across: int) -> tuple[float, int]:
        down = -(-tiles // across)
        shape = across * TILE_ACROSS / (down * TILE_DOWN)
        return max(least - shape, shape - most, 0.0), across * down - tiles

    across = min(range(1, tiles + 1), key=unfit)
    # The gaps between tiles take a little more of the height than of the width.
    return round(0.97 * across * TILE_ACROSS / (-(-tiles // across) * TILE_DOWN), 3)


def pane(index: int, title: str, main: Sequence[str]) -> Component:
    """Make one pane.

    Args:
        index: 0 for the left one, 1 for the right one.
        title: what it is called.
        main: the figures that come first, from main_figures().

    Returns:
        A section.
    """
    summary = f"{Id.MAP_SUMMARY}-{index}"
    canvas = html.Canvas(
        id=f"{Id.MAP}-{index}",
        role="img",
        tabIndex=0,
        className="map",
        **attributes(aria_label=f"Guest memory map, {title}", aria_describedby=summary),
    )
    marks = html.Canvas(className="marks", **attributes(aria_hidden="true"))
    others = [name for name in (*MAIN, *MORE) if name not in main]
    names = {**MAIN, **MORE}
    say = html.P([html.Span(className="say-text"), " ", html.Code()], className="say")
    return html.Section(
        [
            html.H3(title, className="pane-title"),
            html.Dl(
                [_figure(name, names[name]) for name in main],
                className="figures figures-main",
                style={"--between": str(len(main) - 2)},
            ),
            html.Div([canvas, marks], className="map-box"),
            say,
            html.P(id=summary, className="unseen"),
            html.Dl([_figure(name, names[name]) for name in others], className="figures figures-more"),
        ],
        className="pane",
        **attributes(data_pane=str(index), aria_label=title),
    )


def _figure(name: str, label: str) -> Component:
    return html.Div([html.Dt(label), html.Dd("0", **attributes(data_figure=name, data_value="0"))], className="figure")
