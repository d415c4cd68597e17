"""The story of one scenario: its point, both panes and the player, in the order in which they are read."""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id
from mmuviz.components.legend import legend
from mmuviz.components.pane import NARROW, WIDE, main_figures, map_aspect, pane
from mmuviz.components.transport import transport
from mmuviz.recording.columns import Recording


def story(address: str, step: str, point: str, titles: Sequence[str], sides: Sequence[Recording]) -> Component:
    """Make what plays.

    Args:
        address: where the bytes of the pair are fetched.
        step: where to pause, in digits; empty to play.
        point: one sentence that says what there is to see.
        titles: of the panes.
        sides: both recordings.

    Returns:
        A section that assets/story.js brings to life.
    """
    main = main_figures(sides)
    tools = html.Div(
        [
            html.Nav(id=Id.VIEW_PATH, className="view-path", **attributes(aria_label="Part of the memory shown")),
            html.P(id=Id.MAP_SCALE, className="map-scale"),
        ],
        className="map-tools",
    )
    slot = sides[0].slot
    shapes = {"--map-wide": str(map_aspect(slot, WIDE)), "--map-narrow": str(map_aspect(slot, NARROW))}
    panes = html.Div(
        [pane(index, title, main) for index, title in enumerate(titles)],
        className="panes",
        style=shapes,
    )
    return html.Section(
        [
            html.H2(point, className="point"),
            tools,
            legend(sides),
            panes,
            transport(),
            html.P(id=Id.LIVE, role="status", className="unseen", **attributes(aria_live="polite")),
        ],
        id=Id.STORY,
        className="story",
        **attributes(data_recording=address, data_step=step, aria_label="Story"),
    )
