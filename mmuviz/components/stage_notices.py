"""Messages in the bar, one at a time: a refusal, what is said of an opened file, and the note of a link."""

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


def closing(act: str = "", label: str = "Close") -> Component:
    """Make the button that closes a message.

    Args:
        act: the action that a script does; empty if the message's own script listens.
        label: accessible name.
    """
    acts = {"data_act": act} if act else {}
    return html.Button(
        "\N{MULTIPLICATION SIGN}",
        type="button",
        className="tool",
        **attributes(aria_label=label, **acts),
    )


def refused_line() -> Component:
    """Make the line with the reason of a refusal; a script fills it."""
    return html.Div(
        [html.Span("", className="notice-text"), closing()],
        id="stage-refused",
        className="notice refused",
        role="alert",
        hidden=True,
    )


def opened_line() -> Component:
    """Make the line on an opened file, which assets/stage/open-file.js fills."""
    beside = html.Button(
        "Show beside", type="button", className="tool", hidden=True, **attributes(data_act="open-beside")
    )
    return html.Section(
        [
            html.P("", className="notice-text", role="status"),
            beside,
            closing("close-opened", "Close what is said of the file"),
        ],
        id="stage-opened",
        className="notice",
        hidden=True,
        **attributes(aria_label="The file that was opened"),
    )


def note_line() -> Component:
    """Make the line with the note of a link."""
    return html.Section(
        [html.P("", className="notice-text"), closing()],
        id="stage-note",
        className="notice",
        hidden=True,
        **attributes(aria_label="Note of the link"),
    )


def notices() -> Component:
    """Make the place of the messages: the first that is open is shown, the next when that is closed."""
    return html.Div([refused_line(), opened_line(), note_line()], className="notices")
