"""The Details drawer: a run's calls, counters, costs and evidence in tabs. Scripts fill the tabs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button


class Term(NamedTuple):
    """A term of the glossary.

    Attributes:
        name: the term, as KVM developers use it.
        description: its meaning.
        section: section of the glossary.
        needed_first: whether the help lists it.
    """

    name: str
    description: str
    section: str
    needed_first: bool


class Trust(NamedTuple):
    """Accuracy of the page's numbers.

    Attributes:
        exact: number of KVM recordings that the model reproduces exactly.
        recordings: number of KVM recordings.
        mmus: names of the MMUs of their VMs.
        uncertainty: by host profile: `percent`, number of `values`, `host`, `extrapolated`.
    """

    exact: int
    recordings: int
    mmus: Sequence[str]
    uncertainty: Mapping[str, Mapping[str, Any]]


TABS: Final = (
    ("calls", "Calls"),
    ("counters", "Counters"),
    ("map", "Map"),
    ("origins", "Origins"),
    ("ledger", "Ledger"),
    ("evidence", "Evidence"),
    ("glossary", "Glossary"),
)


def tab(name: str, title: str) -> Component:
    """Make the button of a tab."""
    return html.Button(
        title,
        type="button",
        id=f"details-tab-{name}",
        role="tab",
        tabIndex="-1",
        className="details-tab",
        **attributes(data_tab=name, aria_selected="false", aria_controls=f"details-{name}"),
    )


def panel(name: str, content: Sequence[Component] = ()) -> Component:
    """Make the content of a tab."""
    return html.Div(
        list(content),
        id=f"details-{name}",
        role="tabpanel",
        tabIndex="0",
        hidden=True,
        className="details-panel",
        **attributes(data_panel=name, aria_labelledby=f"details-tab-{name}"),
    )


def glossary(terms: Sequence[Term]) -> list[Component]:
    """Make the list of all terms, section by section."""
    sections = list(dict.fromkeys(term.section for term in terms))
    return [
        html.Section(
            [
                html.H3(section),
                html.Dl(
                    [each for term in terms if term.section == section for each in _entry(term)],
                    className="glossary-list",
                ),
            ]
        )
        for section in sections
    ]


def _entry(term: Term) -> tuple[Component, Component]:
    first = attributes(data_term=term.name, data_first=str(term.needed_first).lower())
    return html.Dt(term.name, **first), html.Dd(term.description)


def details_drawer(terms: Sequence[Term], trust: Trust) -> Component:
    """Make the drawer.

    Args:
        terms: terms of the glossary.
        trust: accuracy that the labels of panes state.

    Returns:
        A dialog that is not modal, and the empty note for a term's meaning.
    """
    head = html.Div(
        [
            html.H2("Details", id="details-title", className="details-title"),
            html.Div(
                [tab(*each) for each in TABS],
                role="tablist",
                className="details-tabs",
                **attributes(aria_label="Details"),
            ),
            button("\N{MULTIPLICATION SIGN}", "close-details", "Close details"),
        ],
        className="details-head",
    )
    panels = [panel(name, glossary(terms) if name == "glossary" else ()) for name, _ in TABS]
    meaning = html.Div(id="stage-meaning", className="meaning", role="note")
    known = attributes(
        data_exact=str(trust.exact),
        data_recordings=str(trust.recordings),
        data_mmus=" ".join(trust.mmus),
        data_uncertainty=json.dumps(trust.uncertainty),
    )
    drawer = html.Dialog(
        [head, *panels], id="stage-details", className="details", **attributes(aria_labelledby="details-title"), **known
    )
    return html.Div([drawer, meaning], className="details-place")


def badge() -> Component:
    """Make the line under a pane that names the sources of its counts and times."""
    return html.Button(
        "", type="button", className="badge", **attributes(data_act="details-evidence", data_mmuviz="badge")
    )
