"""The cover of the page while a file is dragged over it."""

from dash import html
from dash.development.base_component import Component


def drop_veil() -> Component:
    """Make the cover that the page shows while a file is dragged over it."""
    return html.Div(
        html.P("Let go to open it: a Scenario (TOML or JSON), or up to four Recordings beside each other"),
        id="stage-drop",
        className="drop-veil",
        hidden=True,
    )
