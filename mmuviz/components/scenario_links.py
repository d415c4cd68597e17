"""The choice among the scenarios that come with the package."""

from collections.abc import Sequence
from typing import NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


class ScenarioLink(NamedTuple):
    """One scenario.

    Attributes:
        name: its name in the page's address.
        title: what tells it apart from the others.
    """

    name: str
    title: str


def scenario_links(links: Sequence[ScenarioLink], shown: str) -> Component:
    """List the scenarios as links.

    Args:
        links: in the order in which they are shown.
        shown: name of the one on the page.

    Returns:
        A navigation landmark, or a sentence where there are none.
    """
    if not links:
        return html.P("No recordings came with this package.")
    items = [
        html.Li(
            html.A(
                link.title,
                href=f"?scenario={link.name}",
                className="scenario-link",
                **(attributes(aria_current="page") if link.name == shown else {}),
            )
        )
        for link in links
    ]
    return html.Nav(
        [
            html.H2("Recordings of real KVM, replayed by the model", className="scenarios-title"),
            html.Ul(items, className="scenarios"),
        ],
        **attributes(aria_label="Recordings"),
    )
