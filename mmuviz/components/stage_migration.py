"""The migration sheet: the fields of a migration, opened under the control "Event"."""

from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import Choice, Control, select
from mmuviz.components.text_box import refusal, text_box

PAGE_SHIFT: Final = 12
UNITS: Final = (("GiB", 30), ("MiB", 20), ("KiB", 10))
SHIFTS: Final = (6, 9, 12, 14, 16, 18, 20, 22, 24)


class Typed(Control):
    """A field with a text box and buttons for common values; values and units as in a Scenario file."""

    @property
    def unit(self) -> str:
        """The unit of a plain integer, as Field.unit of stage_fields: "rate" or "time"."""
        return "rate" if self.field in (BANDWIDTH, LINK) else "time"


def _chunk(shift: int) -> Choice:
    bits = shift + PAGE_SHIFT
    unit, size = next(each for each in UNITS if bits >= each[1])
    return str(shift), f"{1 << (bits - size)} {unit}"


def _texts(*values: str) -> tuple[Choice, ...]:
    return tuple((f'"{value}"', value) for value in values)


BANDWIDTH: Final = "driver.bandwidth"
LINK: Final = "driver.link"
_RATES: Final = ("1 Gbit/s", "10 Gbit/s", "25 Gbit/s", "100 Gbit/s")
TYPED: Final = (
    Typed(BANDWIDTH, "Bandwidth limit", (*_texts("128 MiB/s"), *_texts(*_RATES))),
    Typed(LINK, "Link", _texts(*_RATES)),
    Typed("driver.downtime_limit", "Downtime limit", _texts("30 ms", "300 ms", "1 s", "5 s")),
)
CHOSEN: Final = (
    Control("driver.clear_bitmap_shift", "Chunk of a CLEAR", tuple(_chunk(shift) for shift in SHIFTS)),
    Control("driver.auto_converge", "Auto-converge", (("false", "off"), ("true", "on"))),
    Control(
        "vm.ring_entries",
        "Entries of a ring",
        tuple((str(1 << power), f"{1 << power:,}") for power in (10, 12, 14, 16)),
    ),
    Control(
        "driver.multifd_channels",
        "Multifd channels",
        (("0", "off"), *((str(each), str(each)) for each in (2, 4, 8, 16))),
    ),
    Control("driver.most_rounds", "Give up after", tuple((str(each), f"{each} syncs") for each in (4, 8, 16, 50))),
)
POSTCOPY: Final = Typed("driver.postcopy_after", "Post-copy after", (("0", "never"), *_texts("1 s", "5 s", "30 s")))
FIELDS: Final = (*TYPED, *CHOSEN, POSTCOPY)


def _typed_row(field: Typed) -> Component:
    box = text_box(field.field, field.label, data_mmuviz="control", data_unit=field.unit)
    offered = [
        html.Button(
            text, type="button", className="migration-value", **attributes(data_value=sent, aria_pressed="false")
        )
        for sent, text in field.choices
    ]
    values = html.Div(offered, className="migration-values", role="group", **attributes(aria_label=field.label))
    return _row(field, [box, values])


def _row(field: Control, inside: list[Component]) -> Component:
    return html.Div(
        [html.Span(field.label, className="migration-label"), *inside, refusal()],
        className="field-row migration-row",
        **attributes(data_row=field.field),
    )


def _chosen_row(field: Control) -> Component:
    part = select(field._replace(label=""))
    chosen = part.children[0]
    setattr(chosen, "aria-label", field.label)
    return _row(field, [part])


def migration_sheet() -> Component:
    """Make the sheet, closed.

    Returns:
        A panel that assets/stage/migration-sheet.js opens under its button; its fields are fields of the Scenario.
    """
    rings = html.Button(
        "off",
        type="button",
        id="stage-migration-ring",
        className="tool migration-ring",
        role="switch",
        **attributes(aria_checked="false", aria_label="Dirty ring in place of a bitmap"),
    )
    ring = html.Div([html.Span("Dirty ring", className="migration-label"), rings], className="field-row migration-row")
    chosen = [_chosen_row(each) for each in CHOSEN]
    rows = [*(_typed_row(each) for each in TYPED), *chosen[:2], ring, *chosen[2:], _typed_row(POSTCOPY)]
    note = html.P("Enter runs with what is typed. What cannot be is refused at its field.", className="field-note")
    return html.Section(
        [html.H2("Migration", className="migration-title"), note, *rows],
        id="stage-migration",
        className="floats popup migration-sheet",
        hidden=True,
        **attributes(aria_label="Migration"),
    )
