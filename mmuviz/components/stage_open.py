"""Parts of the page for opening a file: the card that reports on the file, and the cover shown while one is dragged."""

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button


def opened_card() -> Component:
    """Make the card that reports on an opened file, closed.

    Returns:
        A tree that assets/stage/open-file.js fills.
    """
    beside = html.Button(
        "Show beside", type="button", className="tool", hidden=True, **attributes(data_act="open-beside")
    )
    close = button("Close", "close-opened", "Close what is said of the file")
    return html.Section(
        [html.P("", role="status"), beside, close],
        id="stage-opened",
        className="note-card opened-card",
        hidden=True,
        **attributes(aria_label="The file that was opened"),
    )


def drop_veil() -> Component:
    """Make the cover that the page shows while a file is dragged over it."""
    return html.Div(
        html.P("Let go to open it: a Scenario (TOML or JSON), or up to four Recordings beside each other"),
        id="stage-drop",
        className="drop-veil",
        hidden=True,
    )
