"""The drawer of details: what a run is made of, and how far its numbers can be believed. Scripts fill its tabs."""

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
        name: as the field has it.
        description: what it means.
        section: where it stands.
        needed_first: whether the help lists it.
    """

    name: str
    description: str
    section: str
    needed_first: bool


class Trust(NamedTuple):
    """How far numbers can be believed.

    Attributes:
        exact: recordings of real KVM that the model answers exactly.
        recordings: how many there are.
        mmus: MMUs of their VMs.
        uncertainty: by host profile, `percent`, number of `values`, `host`, `extrapolated`.
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
    """A tab's button."""
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
    """What a tab shows."""
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
    """All terms, section by section."""
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
    """The drawer.

    Args:
        terms: the glossary.
        trust: what the labels of panes say.

    Returns:
        A dialog that does not stop the page behind it, and a place for a term's meaning.
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
    """The line under a pane that says where its counts and times come from."""
    return html.Button(
        "", type="button", className="badge", **attributes(data_act="details-evidence", data_mmuviz="badge")
    )
