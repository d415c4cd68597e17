"""The main area of the page: what the address asks for, shown."""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from mmuviz.components.charts import Chart, chart, charts_place
from mmuviz.components.details import map_table, origins
from mmuviz.components.ids import Id
from mmuviz.components.op_table import op_table
from mmuviz.components.scenario_menu import scenario_menu
from mmuviz.components.story import story
from mmuviz.components.times import COUNTED, charts_heading, op_ends, time_table
from mmuviz.recording.time_words import host_words, time_rows
from mmuviz.web.document import charts_script
from mmuviz.web.shipped import DEFAULT, FIELD, Scenario, Shelf

MAX_QUERY: Final = 2_000
STEP: Final = "step"
INSTEAD: Final = "here is the default scenario"
WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,15}")


class Asked(NamedTuple):
    """What an address asks for.

    Attributes:
        scenario: name of a scenario that exists.
        step: ticks done where the page pauses; None to play.
        complaint: what was wrong with the address, or nothing.
    """

    scenario: str
    step: int | None
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
        return Asked(DEFAULT, None, f"This address cannot be read; {INSTEAD}.")
    names, steps = fields.pop(FIELD, [DEFAULT]), fields.pop(STEP, [])
    if len(names) != 1 or not known(names[0]):
        return Asked(DEFAULT, None, f"There is no scenario named {names[0]!r:.60}; {INSTEAD}.")
    if fields:
        return Asked(DEFAULT, None, f"{next(iter(fields))!r:.40} is not a field of this page's address; {INSTEAD}.")
    if steps and (len(steps) != 1 or not WHOLE_NUMBER.fullmatch(steps[0])):
        return Asked(DEFAULT, None, f"{STEP}={steps[0]!r:.40} must be a whole number; {INSTEAD}.")
    return Asked(names[0], int(steps[0]) if steps else None, "")


def inside(wish: Asked, total: int) -> Asked:
    """Hold a step against the length of its scenario.

    Args:
        wish: from asked().
        total: ticks of the scenario.

    Returns:
        The same, or the default scenario and a complaint in place of a step past the end.
    """
    if wish.step is None or wish.step <= total:
        return wish
    return Asked(DEFAULT, None, f"{STEP}={wish.step} must be 0 to {total} in {wish.scenario}; {INSTEAD}.")


def menu() -> Component:
    """Make the place of the menu.

    Returns:
        An empty place; shown() fills it.
    """
    return html.Div(id=Id.MENU, className="menu-place")


def layout() -> Component:
    """Make the page around what is shown; the address is known to the browser alone, which asks for the rest.

    Returns:
        The content of the page's main element.
    """
    waiting = html.P("Loading the recordings …", className="waiting")
    details = html.Section(id=Id.DETAILS, className="details")
    places = [html.Div(waiting, id=Id.SHOWN), charts_place(charts_script()), details]
    return html.Div([dcc.Location(id=Id.URL, refresh=False), dcc.Store(id=Id.PAINTED), *places])


def shown(query: object, shelf: Shelf) -> tuple[Component, list[Component]]:
    """Show what the address asks for.

    Args:
        query: the address's query; what is no text is taken as empty.
        shelf: the scenarios.

    Returns:
        The menu; and the story, below a message where the address was wrong.
    """
    wish = _wish(query, shelf)
    scenario = shelf.scenarios[wish.scenario]
    header = scenario.made.header
    titles = [pane["title"] for pane in header["panes"]]
    message = [html.P(wish.complaint, className="message", role="alert")] if wish.complaint else []
    at = "" if wish.step is None else str(wish.step)
    told = story(scenario.address, at, scenario.point, titles, scenario.made.pair.sides)
    return scenario_menu(shelf.links, scenario.name), [*message, told]


def below(query: object, shelf: Shelf) -> tuple[list[Component], list[Component]]:
    """Make what stands below the story; the browser asks for it once the story is painted, which need not wait for it.

    Args:
        query: the address's query; what is no text is taken as empty.
        shelf: the scenarios.

    Returns:
        The charts, and the details.
    """
    scenario = shelf.scenarios[_wish(query, shelf).scenario]
    titles = [pane["title"] for pane in scenario.made.header["panes"]]
    pair, took = scenario.made.pair, scenario.timings
    ops = [html.H2("Op by op"), op_table(pair.sides), map_table(), origins(titles, pair.sides)]
    if took is None:
        return [charts_heading("Counts", COUNTED), *_charts(scenario, [*titles, "Both sides on one scale"])], ops
    heading = charts_heading("Simulated time", f"{pair.left.note} {host_words(took[0])}")
    charts = _charts(scenario, [*titles, "Side by side"], [op_ends(each) for each in took])
    return [heading, *charts], [*time_table(titles, time_rows(pair, took)), *ops]


def _charts(scenario: Scenario, titles: list[str], ends: Sequence[str] = ()) -> list[Component]:
    """The three charts; where op ends are given the first two have simulated time as their axis, the last has none."""
    places = (Id.CHART_LEFT, Id.CHART_RIGHT, Id.CHART_BOTH)
    charts = [Chart(*each) for each in zip(places, titles, scenario.figures, strict=True)]
    if ends:
        charts = [*(each._replace(op_ends=end) for each, end in zip(charts, ends, strict=False)), charts[-1]]
        charts[-1] = charts[-1]._replace(follows=False)
    return [chart(each) for each in charts]


def _wish(query: object, shelf: Shelf) -> Asked:
    wish = asked(query if isinstance(query, str) else "", shelf.scenarios.__contains__)
    return wish if wish.step is None else inside(wish, shelf.scenarios[wish.scenario].made.timeline.total)


def register(app: Dash, shelf: Shelf) -> None:
    """Let the page follow its address.

    Args:
        app: the Dash app.
        shelf: the scenarios.
    """
    app.callback(Output(Id.MENU, "children"), Output(Id.SHOWN, "children"), Input(Id.URL, "search"))(
        lambda query: shown(query, shelf)
    )
    app.callback(
        Output(Id.CHARTS, "children"),
        Output(Id.DETAILS, "children"),
        Input(Id.PAINTED, "data"),
        State(Id.URL, "search"),
        prevent_initial_call=True,
    )(lambda _, query: below(query, shelf))
