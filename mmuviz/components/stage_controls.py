"""The row of controls: the fields of a Scenario that are changed most often, with the values of a Scenario file."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes

Choice = tuple[str, str]
"""The value that is sent, as JSON text, and the text that is shown."""


class Control(NamedTuple):
    """A control of one field.

    Attributes:
        field: dotted name of the Scenario's field.
        label: its label on the page.
        choices: values that it offers.
    """

    field: str
    label: str
    choices: tuple[Choice, ...]


def _sizes(*names: str) -> tuple[Choice, ...]:
    return tuple((f'"{name}"', name) for name in names)


GUEST: Final = (
    Control(
        "memory[0].size",
        "Guest",
        (
            *_sizes("32 MiB", "64 MiB", "1 GiB", "4 GiB", "16 GiB", "64 GiB", "96 GiB", "384 GiB"),
            ('"1536 GiB"', "1.5 TiB"),
        ),
    ),
    Control(
        "memory[0].backing",
        "",
        (('"hugetlb_1g"', "1G pages"), ('"hugetlb_2m"', "2M pages"), ('"thp"', "THP"), ('"4k"', "4K pages")),
    ),
)
VCPUS: Final = "vm.vcpus"
MOST_VCPUS: Final = 416
WRITES: Final = (
    Control(
        "workload.pattern",
        "Writes",
        (
            ('"sequential"', "in order"),
            ('"uniform_random"', "at random"),
            ('"hot_set"', "hot set"),
            ('"zipf"', "Zipf"),
            ('"strided"', "strided"),
        ),
    ),
    Control(
        "workload.write_percent",
        "",
        (("100", "100 %"), ("50", "50 %"), ("10", "10 %"), ("1", "1 %"), ("0", "0 %")),
    ),
    Control(
        "workload.rate_hz",
        "",
        (
            ("10000", "10 k/s"),
            ("100000", "0.1 M/s"),
            ("500000", "0.5 M/s"),
            ("1000000", "1 M/s"),
            ("2000000", "2 M/s"),
            ("5000000", "5 M/s"),
            ("10000000", "10 M/s"),
            ("0", "no limit"),
        ),
    ),
)
LOG: Final = Control(
    "vm.dirty_log_mode",
    "Log",
    (
        ('"manual"', "manual"),
        ('"manual_initially_set"', "all set"),
        ('"legacy"', "legacy"),
        ('"ring"', "ring"),
    ),
)
"""Dirty-log modes of policies; choosing one selects the policies of that mode that split in the same ways."""
PML: Final = Control("vm.pml", "PML", (("true", "on"), ("false", "off")))
KERNEL: Final = "vm.kernel"
HOST: Final = "host.profile"
EVENT: Final = Control(
    "driver.kind", "Event", (('"enable_only"', "Enable logging"), ('"qemu_precopy"', "Migration (QEMU)"))
)
"""The driver: the guest's dirty logging is only enabled, or the guest is migrated."""
SHOWN: Final = {*(each.field for each in (*GUEST, *WRITES, LOG, PML, EVENT)), VCPUS, KERNEL, HOST}
"""Fields that have a control in the row."""


def select(control: Control) -> Component:
    """Make a menu and its label as one part."""
    options = [html.Option(shown, value=sent) for sent, shown in control.choices]
    chosen = html.Select(
        options,
        className="control-select",
        **attributes(data_mmuviz="control", data_field=control.field, aria_label=f"{control.label} {control.field}"),
    )
    label = [html.Span(control.label, className="control-label")] if control.label else []
    return html.Label([*label, chosen], className="control-part")


def frame(*parts: Component, name: str = "") -> Component:
    """Make a frame around controls that belong together."""
    return html.Div(list(parts), className=f"control-frame {name}".strip())


def button(text: str, act: str, label: str, **more: Any) -> Component:  # noqa: ANN401 - Dash's own properties
    """Make a button; a script handles its clicks by `act`."""
    return html.Button(text, type="button", className="tool", **attributes(data_act=act, aria_label=label), **more)


def vcpus() -> Component:
    """Make the number of vCPUs, with a button for fewer and one for more."""
    number = html.Div(
        [
            button("\N{MINUS SIGN}", "fewer-vcpus", "Fewer vCPUs"),
            html.Output(
                "4",
                className="control-number",
                **attributes(data_mmuviz="control", data_field=VCPUS, data_most=str(MOST_VCPUS)),
            ),
            button("+", "more-vcpus", "More vCPUs"),
        ],
        className="control-stepper",
    )
    return html.Div([html.Span("vCPUs", className="control-label"), number], className="control-part")


def migration_opens() -> Component:
    """Make the button that opens the fields of a migration."""
    return html.Button(
        "Fields",
        id="stage-migration-open",
        type="button",
        className="tool migration-open",
        hidden=True,
        **attributes(aria_label="Fields of the migration", aria_haspopup="true"),
    )


def controls(kernels: Sequence[str], hosts: Sequence[str]) -> Component:
    """Make the row of controls.

    Args:
        kernels: kernel releases, oldest first.
        hosts: names of host profiles.

    Returns:
        A section; every control in it has the name of its field in data-field.
    """
    kernel = Control(KERNEL, "Kernel", tuple((f'"{each}"', each) for each in kernels))
    host = Control(HOST, "Host", tuple((f'"{each}"', each) for each in hosts))
    frames = [
        frame(*(select(each) for each in GUEST)),
        frame(vcpus()),
        frame(*(select(each) for each in WRITES)),
        frame(select(kernel), select(LOG), select(PML), name="control-log"),
        frame(select(host), name="control-host"),
        frame(select(EVENT), migration_opens(), name="control-event"),
        html.Button(
            "My guest",
            id="stage-guest",
            type="button",
            className="tool",
            **attributes(aria_label="My guest: guests of operators", aria_haspopup="true"),
        ),
        button("More", "more", "Every field of the Scenario"),
    ]
    return html.Section(frames, className="controls", **attributes(aria_label="What is simulated"))
