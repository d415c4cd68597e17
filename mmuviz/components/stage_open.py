"""Opening a file: what is said of it, and the veil over the page while one is dragged."""

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button


def opened_card() -> Component:
    """What became of a file, closed.

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
    """What a page says while a file is held over it."""
    return html.Div(
        html.P("Let go to open it: a Scenario (TOML or JSON), or up to four Recordings beside each other"),
        id="stage-drop",
        className="drop-veil",
        hidden=True,
    )
