"""The main area of the page: what the address asks for, shown."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from mmuviz.components.ids import Id
from mmuviz.components.op_table import op_table
from mmuviz.components.scenario_links import scenario_links
from mmuviz.components.still_map import still_map
from mmuviz.recording.words import sentence, title
from mmuviz.web.shipped import DEFAULT, Scenario, Shelf

MAX_QUERY = 2_000


class Asked(NamedTuple):
    """What an address asks for.

    Attributes:
        scenario: name of a scenario that exists.
        complaint: what was wrong with the address, or nothing.
    """

    scenario: str
    complaint: str


def asked(query: str, known: Callable[[str], bool]) -> Asked:
    """Read the address's query.

    Args:
        query: with its question mark, or empty.
        known: whether a scenario exists.

    Returns:
        A scenario to show, whatever the query.
    """
    try:
        fields = parse_qs(query[:MAX_QUERY].removeprefix("?"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return Asked(DEFAULT, "This address cannot be read; here is the default recording.")
    names = fields.pop("scenario", [DEFAULT])
    if fields:
        return Asked(
            names[0] if known(names[0]) else DEFAULT,
            f"{next(iter(fields))!r:.40} is not a field of this page's address and was left out.",
        )
    if len(names) != 1 or not known(names[0]):
        return Asked(DEFAULT, f"There is no recording named {names[0]!r:.60}; here is the default one.")
    return Asked(names[0], "")


def layout(shelf: Shelf) -> Component:
    """Make the page around what is shown; the address is known to the browser alone, which asks for the rest.

    Args:
        shelf: the scenarios.

    Returns:
        The content of the page's main element.
    """
    waiting = [scenario_links(shelf.links, ""), html.P("Loading the recording …")]
    return html.Div([dcc.Location(id=Id.URL, refresh=False), html.Div(waiting, id=Id.SHOWN, className="shown")])


def shown(query: str, shelf: Shelf) -> list[Component]:
    """Show what the address asks for.

    Args:
        query: the address's query.
        shelf: the scenarios.

    Returns:
        A message where the address was wrong, the choice of scenarios, the map and the table.
    """
    name, complaint = asked(query, shelf.scenarios.__contains__)
    message = [html.P(complaint, className="message", role="alert")] if complaint else []
    return [*message, scenario_links(shelf.links, name), *_scenario(shelf.scenarios[name])]


def _scenario(scenario: Scenario) -> list[Component]:
    recording = scenario.recording
    heading = html.Div(
        [
            html.H2(title(recording)),
            html.P(sentence(recording)),
            html.P([html.Code(scenario.name), " · ", recording.note], className="origin"),
        ],
        className="scenario-heading",
    )
    map_and_ops = html.Div([still_map(recording, scenario.address), op_table(recording)], className="map-and-ops")
    return [heading, map_and_ops]


def register(app: Dash, shelf: Shelf) -> None:
    """Let the page follow its address.

    Args:
        app: the Dash app.
        shelf: the scenarios.
    """
    app.callback(Output(Id.SHOWN, "children"), Input(Id.URL, "search"), prevent_initial_call=False)(
        lambda query: shown(query or "", shelf)
    )
