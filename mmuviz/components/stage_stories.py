"""The question in the bar, the menu of stories that it opens, and the menu of guests."""

from collections.abc import Sequence
from typing import NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


class StoryItem(NamedTuple):
    """An entry of the menu of stories, which shows a catalogue entry.

    Attributes:
        name: name of the catalogue entry.
        title: its question.
        group: its group in the menu; empty for the stories at the top.
        facts: fields of its Scenarios, as JSON, from which a script makes the chips.
    """

    name: str
    title: str
    group: str
    facts: str


class LessonItem(NamedTuple):
    """A lesson in the menu.

    Attributes:
        name: its name in links.
        title: its question.
        story: name of the catalogue entry that it uses.
        stops: its questions, as JSON, from which a script makes the card.
    """

    name: str
    title: str
    story: str
    stops: str


class GuestItem(NamedTuple):
    """A predefined guest.

    Attributes:
        title: its size.
        description: its description, e.g. that it is extrapolated.
        change: its request, as JSON: {base, set, policies}.
    """

    title: str
    description: str
    change: str


OPENS = html.Span("a Scenario or a Recording; or drop it anywhere on the page", className="fact-line")


LESSONS = "Lessons: predict, watch, explain"


def story() -> Component:
    """Make the question, its facts, and the button that opens the menu; scripts fill them."""
    opens = html.Button(
        "",
        id="stage-story",
        type="button",
        className="story-open",
        **attributes(aria_label="Other stories", aria_haspopup="true"),
    )
    facts = html.P("", id="stage-facts", className="fact-line")
    return html.Div([html.H1("", id="stage-question", className="question"), facts, opens], className="story")


def _item(title: str, lines: Sequence[Component], **data: str) -> Component:
    inside = [html.Span(title, className="story-title"), *lines]
    return html.Li(html.Button(inside, type="button", className="story-item", **attributes(**data)))


def _lesson_items(lessons: Sequence[LessonItem]) -> Component:
    stops = html.Span("three stops: predict, watch, explain", className="fact-line")
    items = [
        _item(each.title, [stops], data_lesson=each.name, data_of=each.story, data_stops=each.stops) for each in lessons
    ]
    return html.Details([html.Summary(LESSONS), html.Ul(items)])


def stories_menu(stories: Sequence[StoryItem], lessons: Sequence[LessonItem]) -> Component:
    """Make the menu of all stories: those without a group, then the lessons, then the groups.

    Args:
        stories: stories, in order.
        lessons: lessons, in order.

    Returns:
        A panel, closed.
    """
    listed = {group: html.Ul([]) for group in dict.fromkeys(each.group for each in stories)}
    for each in stories:
        listed[each.group].children.append(_item(each.title, [], data_story=each.name, data_facts=each.facts))
    folded = [html.Details([html.Summary(group), items]) for group, items in listed.items() if group]
    groups = [listed[""], _lesson_items(lessons), *folded]
    file = html.Ul([_item("Open a file …", [OPENS], data_act="open-file")], className="story-file")
    return html.Section(
        [*groups, file], id="stage-stories", className="floats popup", hidden=True, **attributes(aria_label="Stories")
    )


def guests_menu(guests: Sequence[GuestItem], form: Sequence[Component] = ()) -> Component:
    """Make the menu of guests.

    Args:
        guests: predefined guests, in order.
        form: components above them.

    Returns:
        A panel, closed.
    """
    items = [
        _item(each.title, [html.Span(each.description, className="fact-line")], data_preset=each.change)
        for each in guests
    ]
    return html.Section(
        [*form, html.Ul(items)],
        id="stage-guests",
        className="floats popup guests",
        hidden=True,
        **attributes(aria_label="My guest"),
    )


def stale_bar() -> Component:
    """Make the bar that is shown while another result is computed, with a button back to the result before."""
    buttons = [
        html.Button("Try again", id="stage-stale-again", type="button", className="tool", hidden=True),
        html.Button("Cancel", id="stage-stale-cancel", type="button", className="tool"),
    ]
    share = html.Progress("", id="stage-stale-share", max="1", **attributes(aria_label="Done"))
    return html.Div(
        [html.Span("", id="stage-stale-text"), share, *buttons], id="stage-stale", className="stage-stale", hidden=True
    )


def lesson_card() -> Component:
    """Make the card with a lesson's question and explanation; a script fills it."""
    return html.Section(
        [],
        id="stage-lesson",
        className="lesson-card",
        hidden=True,
        **attributes(aria_label="Lesson", aria_live="polite", data_mmuviz="lesson"),
    )
