"""The stage: panes side by side, loupes and charts below them, and a clock that all of them follow."""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button, controls
from mmuviz.components.stage_details import Trust, Word, badge, details_drawer
from mmuviz.components.stage_fields import Field, fields_dialog
from mmuviz.components.stage_share import note_card, share_menu
from mmuviz.components.stage_transport import transport

MOST_PANES = 4
POLICY_NAMES = {
    "manual_lazy": "Lazy",
    "eager_at_enable": "Eager",
    "eager_in_clear": "Eager in CLEAR",
    "lazy": "Lazy, all set",
    "legacy_lazy": "Lazy, legacy log",
    "legacy_eager": "Eager, legacy log",
    "ring_lazy": "Lazy, dirty ring",
    "ring_eager": "Eager, dirty ring",
}
"""What a policy is called above a pane; the file's own name stands in the link and in the report."""
POLICY_TEXTS = {
    "manual_lazy": "vCPUs split pages in their own write faults",
    "eager_at_enable": "the ioctl that enables logging splits them all",
    "eager_in_clear": "each CLEAR splits the pages of its range",
    "lazy": "nothing is protected before the first CLEAR",
    "legacy_lazy": "vCPUs split; GET protects again",
    "legacy_eager": "the ioctl splits; GET protects again",
    "ring_lazy": "vCPUs split; a ring a vCPU holds what is dirty",
    "ring_eager": "the ioctl splits; a ring a vCPU holds what is dirty",
}
"""The same in two short lines beside the name."""


def bar(stories: Sequence[tuple[str, str]]) -> Component:
    """The question, which is a menu of questions, and the tools.

    Args:
        stories: name and title of each catalogue entry.
    """
    options = [html.Option(title, value=name) for name, title in stories]
    menu = html.Select(options, id="stage-story", className="story-select", **attributes(aria_label="Story"))
    question = html.Div([html.H1("", id="stage-question", className="question"), menu], className="story")
    tools = html.Div(
        [
            button("Change", "controls", "What is simulated", id="stage-change"),
            button("Details", "details", "Details: calls, counters, origins, evidence"),
            button("Expert", "expert", "Expert view: a lane for each vCPU", **attributes(aria_pressed="false")),
            button("Share", "share", "Share: link, report, files", **attributes(data_mmuviz="share")),
            button("◐", "theme", "Theme: light or dark"),
            button("?", "help", "Keys and words"),
        ],
        className="tools",
    )
    return html.Header([html.Span("MMUViz", className="brand"), question, tools], className="bar")


def number(name: str, label: str, **tag: str) -> Component:
    """One large figure of a pane."""
    value = html.Span("", className="number-value", **attributes(data_number=name, **tag))
    unit = html.Span("", className="number-unit", **attributes(data_unit=name))
    return html.Div(
        [html.Div([value, unit], className="number-figure"), html.Div(label, className="number-label")],
        className=f"number number-{name}",
    )


def pane(index: int, policies: Sequence[tuple[str, str]]) -> Component:
    """One policy: its name, its figures, its map and a sentence.

    Args:
        index: of the pane.
        policies: name and meaning of each policy.
    """
    options = [
        html.Option(POLICY_NAMES[name], value=name, title=says, **attributes(data_text=POLICY_TEXTS[name]))
        for name, says in policies
    ]
    policy = html.Select(
        options, className="policy-select", **attributes(data_mmuviz="policy", aria_label=f"Policy of pane {index + 1}")
    )
    says = html.P("", className="policy-says")
    numbers = html.Div(
        [
            number("speed", "guest speed"),
            number("stall", "stall per vCPU", data_mmuviz="stall"),
            number("ioctl", "ioctl thread"),
        ],
        className="numbers",
    )
    tables = html.Span("", className="unseen", **attributes(data_mmuviz="tables"))
    canvas = html.Canvas(className="map", role="img", tabIndex="0", **attributes(data_mmuviz="map"))
    sentence = html.P("", className="sentence", **attributes(data_mmuviz="sentence"))
    return html.Section(
        [
            html.Div([policy, says, numbers, tables], className="pane-head"),
            html.Div(canvas, className="map-box"),
            sentence,
            badge(),
        ],
        className="pane",
        hidden=True,
        **attributes(data_mmuviz="pane", data_pane=str(index)),
    )


def figure(kind: str, name: str, title: str, unit: str) -> Component:
    """A canvas with a title above it."""
    caption = html.Figcaption(
        [html.B(title, className=f"title-{name}"), html.Span(unit, className="figure-unit")], className="caption"
    )
    canvas = html.Canvas(className="figure-canvas", role="img")
    # A loupe writes its own caption, in the colour of whom it follows.
    inside = html.Div(canvas, className="figure-box")
    return html.Figure(
        [caption, inside] if title else [inside],
        className=f"figure {kind}",
        **attributes(data_mmuviz=kind, data_name=name),
    )


def stage(
    stories: Sequence[tuple[str, str]],
    policies: Sequence[tuple[str, str]],
    kernels: Sequence[str],
    hosts: Sequence[str],
    fields: Sequence[Field],
    words: Sequence[Word],
    trust: Trust,
) -> Component:
    """The whole page.

    Args:
        stories: name and title of each catalogue entry.
        policies: name and meaning of each policy.
        kernels: releases, oldest first.
        hosts: names of host profiles.
        fields: every field of a Scenario.
        words: the glossary.
        trust: how far numbers can be believed.

    Returns:
        The tree that the scripts of assets/stage fill.
    """
    panes = html.Main(
        [
            *(pane(index, policies) for index in range(MOST_PANES)),
            html.Div(id="stage-summary", className="summary-place", hidden=True, **attributes(data_mmuviz="summary")),
            html.P("Running the simulation …", id="stage-waiting", className="waiting", role="status"),
        ],
        className="panes",
    )
    lower = html.Section(
        [
            figure("loupe", "loupe-0", "", ""),
            figure("chart", "stall", "Stall per vCPU", ""),
            figure("chart", "tables", "Page tables added", ""),
            figure("loupe", "loupe-1", "", ""),
        ],
        className="lower",
        **attributes(aria_label="Charts"),
    )
    help_ = html.Dialog(id="stage-help", className="help", **attributes(aria_label="Keys and words"))
    live = html.P("", id="stage-live", className="unseen", role="status", **attributes(aria_live="polite"))
    return html.Div(
        [
            bar(stories),
            controls(kernels, hosts),
            panes,
            lower,
            transport(),
            help_,
            fields_dialog(fields),
            details_drawer(words, trust),
            share_menu(),
            note_card(),
            live,
        ],
        id="stage",
        className="stage",
    )
