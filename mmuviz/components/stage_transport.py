"""The transport: playback buttons, the clock, the scrubber, and the menu of playback options."""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button


def transport() -> Component:
    """Make the playback buttons, the clock and the scrubber."""
    buttons = html.Div(
        [
            button("", "back", "Step back"),
            button("", "play", "Play", **attributes(data_mmuviz="play")),
            button("", "step", "Step"),
        ],
        className="buttons",
    )
    time = html.Output("", id="stage-time", className="time", **attributes(data_mmuviz="time", aria_live="off"))
    speeds = [("auto", "auto speed"), ("event", "one event a second")]
    speeds += [(str(10**power), text) for power, text in SPEEDS]
    options = [html.Option(text, value=value) for value, text in speeds]
    speed = html.Select(options, id="stage-speed", className="speed", **attributes(aria_label="Speed: guest time"))
    more = button("\N{HORIZONTAL ELLIPSIS}", "play-menu", "How to play: step, stop, go to, loop", id="stage-play-more")
    clock = html.Div([time, html.Div([speed, more], className="clock-options")], className="clock")
    canvas = html.Canvas(className="ribbon", **attributes(aria_hidden="true"))
    slider = html.Div(
        canvas,
        className="scrubber",
        role="slider",
        tabIndex="0",
        **attributes(data_mmuviz="scrubber", aria_label="Time", aria_valuemin="0", aria_valuenow="0"),
    )
    segments = html.Div([], id="stage-segments", className="segments", role="group", hidden=True, **PHASES)
    # A section and not a footer: the document that Dash makes has one already.
    return html.Section(
        [buttons, clock, slider, segments, play_menu()],
        className="transport",
        id="stage-transport",
        **attributes(aria_label="Time"),
    )


def play_menu() -> Component:
    """Make the menu of playback options: size of a step, stops, go to a time, loop, automatic slow-down."""
    goto = html.Div(
        "",
        id="stage-goto",
        className="field-input",
        role="textbox",
        tabIndex="0",
        contentEditable="plaintext-only",
        **attributes(aria_label="Go to a time, e.g. 45 ms"),
    )
    loop = html.Div(
        [
            button("from", "loop-from", "Loop from this moment"),
            button("to", "loop-to", "Loop to this moment"),
            button("off", "loop-off", "No loop"),
        ],
        className="play-row-buttons",
    )
    align = html.Button("moment", type="button", id="stage-align", className="tool", role="switch", **ALIGN)
    slow = html.Button("on", type="button", id="stage-slow", className="tool", role="switch", **SLOW)
    rest = html.Button("on", type="button", id="stage-rest", className="tool", role="switch", **REST)
    rows = [
        choice("stage-step", "Step", STEPS),
        choice("stage-stop", "Stop at", STOPS),
        html.Div([html.Span("Go to", className="control-label"), goto], className="play-row"),
        html.Div([html.Span("Loop", className="control-label"), loop], className="play-row"),
        html.Div([html.Span("Same in all", className="control-label"), align], className="play-row"),
        html.Div([html.Span("Slow where it splits", className="control-label"), slow], className="play-row"),
        html.Div([html.Span("Rest of charts", className="control-label"), rest], className="play-row"),
    ]
    said = html.P("", id="stage-play-said", className="share-said", role="status")
    return html.Div(
        [*rows, said],
        id="stage-play-menu",
        className="floats play-menu",
        hidden=True,
        role="group",
        **attributes(aria_label="How to play"),
    )


PHASES = attributes(aria_label="Phases")
SLOW = attributes(
    data_act="slow", aria_checked="true", aria_label="Slow down at the first split, first fault, end of enable"
)
ALIGN = attributes(data_act="align", aria_checked="false", aria_label="Align the panes at the same work, call by call")

REST = attributes(data_act="rest", aria_checked="true", aria_label="Show what is to come in charts, faintly")


def choice(name: str, label: str, values: Sequence[tuple[str, str]]) -> Component:
    """Make a small menu with its label before it."""
    options = [html.Option(text, value=value) for value, text in values]
    return html.Label([html.Span(label, className="control-label"), html.Select(options, id=name, className="speed")])


STEPS = (("event", "one event"), ("call", "one call"), ("phase", "one phase"))
STOPS = (
    ("", "nothing"),
    ("first_split", "first split"),
    ("first_fault", "first fault"),
    ("longest_stall", "longest stall"),
    ("call_end", "end of a call"),
    ("differ", "panes differ"),
)
SPEEDS = (
    (6, "1 µs a second"),
    (7, "10 µs a second"),
    (8, "100 µs a second"),
    (9, "1 ms a second"),
    (10, "10 ms a second"),
    (11, "100 ms a second"),
    (12, "1 s a second"),
    (13, "10 s a second"),
)
"""Playback speeds: the power of ten of simulated ps per second, and its text."""
