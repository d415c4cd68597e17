"""The page: panes side by side, loupes and charts below them, and one clock for all of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button, controls
from mmuviz.components.stage_details import Term, Trust, badge, details_drawer
from mmuviz.components.stage_fields import Field, fields_dialog
from mmuviz.components.stage_guest_form import answer_card, guest_form
from mmuviz.components.stage_migration import migration_sheet
from mmuviz.components.stage_more_charts import chart_table, more_charts
from mmuviz.components.stage_notices import notices
from mmuviz.components.stage_open import drop_veil
from mmuviz.components.stage_policies import PolicyItem, policy_title
from mmuviz.components.stage_share import share_menu
from mmuviz.components.stage_stories import (
    GuestItem,
    LessonItem,
    StoryItem,
    guests_menu,
    lesson_card,
    stale_bar,
    stories_menu,
    story,
)
from mmuviz.components.stage_transport import transport

MOST_PANES = 4


def bar() -> Component:
    """Make the top bar: the question, which opens the menu of questions, and the tools."""
    tools = html.Div(
        [
            button("Change", "controls", "What is simulated", id="stage-change"),
            button("Details", "details", "Details: calls, counters, origins, evidence"),
            button("Expert", "expert", "Expert view: a lane for each vCPU", **attributes(aria_pressed="false")),
            button("Share", "share", "Share: link, report, files", **attributes(data_mmuviz="share")),
            button("◐", "theme", "Theme: system, light, dark or projector"),
            button("?", "help", "Keys and terms"),
        ],
        className="tools",
    )
    place = html.Div([story(), notices()], className="story-place")
    return html.Header([html.Span("MMUViz", className="brand"), place, tools], className="bar")


def number(name: str, label: str, **tag: str) -> Component:
    """Make one of the large numbers of a pane; low windows show its name in place of the label."""
    value = html.Span("", className="number-value", **attributes(data_number=name, **tag))
    unit = html.Span("", className="number-unit", **attributes(data_unit=name))
    return html.Div(
        [
            html.Div([value, unit], className="number-figure"),
            html.Div(label, className="number-label", **attributes(data_short=name)),
        ],
        className=f"number number-{name}",
    )


def pane(index: int, policies: Sequence[PolicyItem]) -> Component:
    """Make the pane of one policy: its name, numbers, map and sentence.

    Args:
        index: index of the pane.
        policies: the policies of its menu.
    """
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
            html.Div([*policy_title(index, policies), says, numbers, tables], className="pane-head"),
            html.Div(canvas, className="map-box"),
            sentence,
            badge(),
        ],
        className="pane",
        hidden=True,
        **attributes(data_mmuviz="pane", data_pane=str(index)),
    )


def figure(kind: str, name: str, title: str, unit: str) -> Component:
    """Make a canvas with a title above it."""
    caption = html.Figcaption(
        [html.B(title, className=f"title-{name}"), html.Span(unit, className="figure-unit")], className="caption"
    )
    canvas = html.Canvas(className="figure-canvas", role="img")
    # A loupe writes its own caption, in the colour of the thread that it follows.
    inside = html.Div(canvas, className="figure-box")
    return html.Figure(
        [caption, inside] if title else [inside],
        className=f"figure {kind}",
        **attributes(data_mmuviz=kind, data_name=name),
    )


class Offered(NamedTuple):
    """The choices that the page offers.

    Attributes:
        stories: entries of the catalogue.
        lessons: lessons in some of these entries.
        guests: predefined guests.
        policies: all policies.
        kernels: kernel releases, oldest first.
        hosts: hardware threads of each host profile.
        fields: every field of a Scenario.
        migrating: predefined guests for a migration.
    """

    stories: Sequence[StoryItem]
    lessons: Sequence[LessonItem]
    guests: Sequence[GuestItem]
    policies: Sequence[PolicyItem]
    kernels: Sequence[str]
    hosts: Mapping[str, int]
    fields: Sequence[Field]
    migrating: Sequence[GuestItem] = ()


def stage(offered: Offered, terms: Sequence[Term], trust: Trust) -> Component:
    """Make the whole page.

    Args:
        offered: the choices that the page offers.
        terms: terms of the glossary.
        trust: accuracy of the page's numbers.

    Returns:
        The tree that the scripts of assets/stage fill.
    """
    panes = html.Main(
        [
            *(pane(index, offered.policies) for index in range(MOST_PANES)),
            html.Div(id="stage-summary", className="summary-place", hidden=True, **attributes(data_mmuviz="summary")),
            html.P("Running the simulation …", id="stage-waiting", className="waiting", role="status"),
            stale_bar(),
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
    help_ = html.Dialog(id="stage-help", className="help", **attributes(aria_label="Keys and terms"))
    live = html.P("", id="stage-live", className="unseen", role="status", **attributes(aria_live="polite"))
    return html.Div(
        [
            bar(),
            controls(offered.kernels, list(offered.hosts)),
            panes,
            lower,
            more_charts(),
            transport(),
            help_,
            chart_table(),
            fields_dialog(offered.fields, offered.hosts),
            details_drawer(terms, trust),
            stories_menu(offered.stories, offered.lessons),
            guests_menu(offered.guests, guest_form(offered.migrating, list(offered.hosts))),
            answer_card(),
            migration_sheet(),
            lesson_card(),
            share_menu(),
            drop_veil(),
            live,
        ],
        id="stage",
        className="stage",
    )
