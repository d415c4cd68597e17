"""The Share menu: commands to copy and to save, and the title and note of a link."""

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button

ITEMS = (
    ("Copy link to this moment", "copy-link"),
    ("Copy report (plain text)", "copy-report"),
    ("Save Scenario file", "save-scenario"),
    ("Save picture (PNG)", "export-png"),
    ("Save calls (CSV)", "save-calls"),
    ("Save time series (CSV)", "save-bins"),
)


def typed(label: str, name: str) -> Component:
    """Make a text box whose text becomes part of the link."""
    line = html.Div(
        "",
        id=f"stage-share-{name}",
        className="field-input",
        role="textbox",
        tabIndex="0",
        contentEditable="plaintext-only",
        **attributes(aria_label=label),
    )
    return html.Div([html.Span(label, className="control-label"), line], className="share-typed")


def share_menu() -> Component:
    """Make the menu, closed.

    Returns:
        A tree that assets/stage/share-menu.js opens and fills.
    """
    items = [button(text, act, text) for text, act in ITEMS]
    text = html.Textarea(
        "", id="stage-share-text", readOnly="readOnly", hidden=True, **attributes(aria_label="To copy")
    )
    said = html.P("", id="stage-share-said", className="share-said", role="status")
    return html.Section(
        [*items, typed("Title", "title"), typed("Note", "note"), text, said],
        id="stage-share-menu",
        className="floats share-menu",
        hidden=True,
        **attributes(aria_label="Share"),
    )
