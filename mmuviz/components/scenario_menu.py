"""The choice among the scenarios, closed until it is asked for."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


class ScenarioLink(NamedTuple):
    """One scenario.

    Attributes:
        name: its name in the page's address.
        group: the topic under which it stands.
        title: what tells it apart from the others of its group.
    """

    name: str
    group: str
    title: str


def scenario_menu(links: Sequence[ScenarioLink], shown: str) -> Component:
    """List the scenarios as links, topic by topic.

    Args:
        links: in the order in which they are shown; those of a group stand together.
        shown: name of the one on the page.

    Returns:
        A menu that opens over the page, or a sentence where there are no scenarios.
    """
    if not links:
        return html.P("No scenarios came with this package.")
    groups = [
        html.Section([html.H2(group), html.Ul(_items(members, shown))], className="menu-group")
        for group, members in groupby(links, key=lambda link: link.group)
    ]
    title = next((link.title for link in links if link.name == shown), "")
    summary = html.Summary(
        [html.Span("Scenario", className="menu-word"), html.Span(title, className="menu-shown")],
        className="menu-button",
    )
    # Columns inside what scrolls: of limited height themselves, they would go on to the right, out of sight.
    columns = html.Div(groups, className="menu-columns")
    navigation = html.Nav(columns, className="menu-sheet", **attributes(aria_label="Scenarios"))
    return html.Details([summary, navigation], className="menu")


def _items(links: Iterable[ScenarioLink], shown: str) -> list[Component]:
    return [
        html.Li(
            html.A(
                [html.Span(link.name, className="scenario-name"), " ", html.Span(link.title)],
                href=f"?scenario={link.name}",
                className="scenario-link",
                **(attributes(aria_current="page") if link.name == shown else {}),
            )
        )
        for link in links
    ]
