"""The player's controls; assets/transport.js fills in the scrubber and the marks of the ops."""

from typing import Final, NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id

SPEEDS: Final = ("0.25", "0.5", "1", "2", "4", "8", "16")
"""As in assets/player.js."""
USUAL_SPEED: Final = "1"


class Control(NamedTuple):
    """One button.

    Attributes:
        id: its id.
        act: what it does, a name in assets/keys.js.
        sign: what it shows.
        word: what it shows beside or under that.
        label: what it is called.
    """

    id: Id
    act: str
    sign: str
    word: str
    label: str


BACK: Final = (
    Control(Id.FIRST, "first", "|←", "start", "Back to the start"),
    Control(Id.BACK_OP, "backOp", "←", "op", "Back one op"),
    Control(Id.BACK_ACCESS, "backAccess", "←", "access", "Back one guest access"),
    Control(Id.BACK, "back", "←", "step", "Step back"),
)
PLAY: Final = Control(Id.PLAY, "toggle", "", "", "Play")
ON: Final = (
    Control(Id.NEXT, "next", "→", "step", "Next step"),
    Control(Id.NEXT_ACCESS, "nextAccess", "→", "access", "Next guest access"),
    Control(Id.NEXT_OP, "nextOp", "→", "op", "Next op"),
    Control(Id.LAST, "last", "→|", "end", "End"),
)


def transport() -> Component:
    """Make the controls: marks of the ops over the scrubber, buttons, clock and speed.

    Returns:
        A group that stays at the bottom of the screen.
    """
    track = html.Div(
        [
            html.Div(id=Id.OP_MARKS, className="op-marks", **attributes(aria_hidden="true")),
            html.Div(id=Id.SCRUB_BOX, className="scrub-box"),
        ],
        className="track",
    )
    clock = html.P(
        [html.Span("Loading the recordings …", className="clock-op"), html.Span(className="clock-step")],
        id=Id.CLOCK,
        className="clock",
    )
    buttons = html.Div([_button(each) for each in (*BACK, PLAY, *ON)], className="transport-buttons")
    row = html.Div([buttons, clock, _speed()], className="transport-row")
    return html.Div(
        [track, row], id=Id.TRANSPORT, className="transport", role="group", **attributes(aria_label="Player")
    )


def _button(control: Control) -> Component:
    texts = [html.Span(control.sign, className="sign"), html.Span(control.word, className="word")]
    return html.Button(
        html.Span(texts, className="button-face", **attributes(aria_hidden="true")),
        id=control.id,
        className="button",
        type="button",
        **attributes(data_act=control.act, aria_label=control.label),
    )


def _speed() -> Component:
    # dcc.Dropdown is no native select; this one is, with its options as plain elements.
    options = [html.Option(f"{speed}\N{MULTIPLICATION SIGN}", value=speed) for speed in SPEEDS]
    return html.Label(
        [
            html.Span("Speed", className="speed-word"),
            html.Select(options, id=Id.SPEED, **attributes(aria_label="Speed")),
        ],
        className="speed",
    )
