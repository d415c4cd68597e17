"""The operator's form, with a guest, its link and its downtime limit; and the card with the answer in one sentence."""

from collections.abc import Sequence
from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button
from mmuviz.components.stage_stories import GuestItem
from mmuviz.components.text_box import refusal, text_box

TYPED: Final = (
    ("vm.vcpus", "vCPUs"),
    ("memory[0].size", "Memory"),
    ("workload.rate_hz", "Pages that a vCPU writes in a second"),
    ("workload.hot_percent", "Part of memory that is written, %"),
    ("driver.link", "Link"),
    ("driver.downtime_limit", "Downtime limit"),
    ("driver.multifd_channels", "Multifd channels, 0 for none"),
)
CHOSEN: Final = (
    (
        "memory[0].backing",
        "Pages",
        (("hugetlb_1g", "1G"), ("hugetlb_2m", "2M"), ("thp", "THP"), ("4k", "4K")),
    ),
    (
        "policies",
        "Huge pages are split",
        (
            ("eager_in_clear,lazy", "both ways"),
            ("eager_in_clear", "in CLEAR"),
            ("lazy", "at first writes"),
        ),
    ),
)


def _typed(field: str, label: str) -> Component:
    return _row(label, text_box(field, label, data_mmuviz="guest-field"))


def _chosen(field: str, label: str, choices: Sequence[tuple[str, str]]) -> Component:
    options = [html.Option(text, value=value) for value, text in choices]
    chosen = html.Select(
        options,
        className="control-select",
        **attributes(data_mmuviz="guest-field", data_field=field, aria_label=label),
    )
    return _row(label, chosen)


def _row(label: str, box: Component) -> Component:
    return html.Div([html.Span(label, className="migration-label"), box, refusal()], className="field-row guest-row")


def guest_form(guests: Sequence[GuestItem], hosts: Sequence[str]) -> list[Component]:
    """Make the form.

    Args:
        guests: predefined guests that fill the form; the first one is filled in at the start.
        hosts: names of host profiles.

    Returns:
        Components for the menu of guests, above its list.
    """
    presets = [
        html.Button(
            each.title,
            type="button",
            className="migration-value",
            title=each.description,
            **attributes(data_guest=each.change, aria_pressed="false"),
        )
        for each in guests
    ]
    rows = [_typed(*each) for each in TYPED] + [_chosen(*each) for each in CHOSEN]
    rows.append(_chosen("host.profile", "Host", [(each, each) for each in hosts]))
    buttons = [
        button("Answer", "guest-answer", "Migrate this guest and answer"),
        button("Cancel", "guest-cancel", "Cancel, and keep the result before", hidden=True),
    ]
    said = html.P("", id="stage-guest-said", className="field-note", role="status")
    return [
        html.H2("Does my guest migrate?", className="migration-title"),
        html.Div(presets, className="migration-values", role="group", **attributes(aria_label="Guests")),
        html.P("", id="stage-guest-says", className="field-note"),
        *rows,
        html.Div(buttons, className="guest-buttons"),
        said,
        html.H2("Or what does enabling logging cost it?", className="migration-title"),
    ]


def answer_card() -> Component:
    """Make the card of the answer: one sentence, and a report for a mail."""
    buttons = [
        button("Copy mail report", "copy-answer", "Copy the report as plain text for a mail"),
        button("Close", "close-answer", "Close the answer"),
    ]
    text = html.Textarea(
        "", id="stage-answer-text", readOnly="readOnly", hidden=True, **attributes(aria_label="To copy")
    )
    said = html.P("", id="stage-answer-said", className="share-said", role="status")
    return html.Section(
        [html.P("", id="stage-answer-sentence"), html.Div(buttons, className="guest-buttons"), text, said],
        id="stage-answer",
        className="answer-card",
        hidden=True,
        **attributes(aria_label="Answer"),
    )
