"""The dialog behind "More": every field of a Scenario as a text box, with its range, unit and default."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import SHOWN, VCPUS, button
from mmuviz.components.stage_migration import FIELDS as MIGRATION_FIELDS
from mmuviz.components.text_box import refusal, text_box

PARTS: Final = {
    "vm": "VM",
    "memory": "First memslot",
    "workload": "What the guest does",
    "driver": "What userspace does",
    "host": "Host",
}

ELSEWHERE: Final = SHOWN | {each.field for each in MIGRATION_FIELDS}
"""Fields that also have a control in the row of controls or in the migration sheet."""
UNITS: Final = {
    "size": "in B, KiB, MiB, GiB, TiB",
    "time": "in ns, us, ms, s, min",
    "rate": "kbit/s, Mbit/s, Gbit/s, Tbit/s",
}
"""The end of Field.values for sizes, times and rates."""


class Field(NamedTuple):
    """A field of a Scenario.

    Attributes:
        name: dotted name, e.g. memory[0].size.
        values: allowed values and units, as text.
        default: default value, empty if it has none.
        description: its description.
        types: values and descriptions of the types that the field selects; empty if it selects none.
    """

    name: str
    values: str
    default: str
    description: str
    types: tuple[tuple[str, str], ...] = ()

    @property
    def part(self) -> str:
        """The part of the Scenario that has the field, e.g. memory."""
        return self.name.partition(".")[0].partition("[")[0]

    @property
    def unit(self) -> str:
        """The unit of a plain integer: "size" (bytes), "time" (ns), "rate" (bytes per second), or "" for a count."""
        return next((unit for unit, ending in UNITS.items() if self.values.endswith(ending)), "")


def row(field: Field, threads: Mapping[str, int]) -> Component:
    """Make the row of a field: its name, its text box and its allowed values."""
    # If a field has a control elsewhere, that control holds its value, and this box only lets the user type another.
    kind = "field" if field.name in ELSEWHERE else "control"
    typed = html.Div(text_box(field.name, field.name, data_mmuviz=kind, data_unit=field.unit), className="field-box")
    rule = f"{field.values}; default {field.default}" if field.default else field.values
    # The host has fewer threads than the type allows: a script says how many.
    limits = {"data_threads": json.dumps(threads)} if field.name == VCPUS else {}
    says = [html.Span(f"{field.description}. "), html.Span(rule, className="field-rule", **attributes(**limits))]
    return html.Div(
        [
            html.Code(field.name, className="field-name"),
            typed,
            html.Span(says, className="field-says"),
            refusal(),
            *type_list(field.types),
        ],
        className="field-row",
    )


def type_list(types: Sequence[tuple[str, str]]) -> list[Component]:
    """Make the list of types, closed at first; nothing if there are none."""
    if not types:
        return []
    rows = [html.Div([html.Dt(html.Code(name)), html.Dd(description)]) for name, description in types]
    return [html.Details([html.Summary("What these are"), html.Dl(rows)], className="field-types")]


def fields_dialog(fields: Sequence[Field], threads: Mapping[str, int]) -> Component:
    """Make the dialog of all fields, grouped by part.

    Args:
        fields: fields of a Scenario, in order.
        threads: hardware threads of each host profile.

    Returns:
        A dialog that a script opens.
    """
    groups = []
    for part, title in PARTS.items():
        rows = [row(each, threads) for each in fields if each.part == part]
        groups.append(html.Section([html.H3(title), *rows], className="field-group"))
    head = html.Div(
        [html.H2("Every field of the Scenario"), button("Close", "close-more", "Close")], className="dialog-head"
    )
    note = html.P(
        "Press Enter to run with a new value. Sizes and times as in a file: 4 GiB, 300 ms. What cannot be is refused "
        "with its rule, and nothing changes.",
        className="field-note",
    )
    return html.Dialog([head, note, *groups], id="stage-more", className="help more", **attributes(aria_label="Fields"))
