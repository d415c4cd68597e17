"""The title of a pane: the menu of policies, and the buttons that add or remove a pane."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


class PolicyItem(NamedTuple):
    """A policy in the menu.

    Attributes:
        name: its name in links and files.
        title: its title in the menu.
        description: its treatment of huge pages, as text.
        mode: its dirty-log mode.
        eager: whether it splits huge pages eagerly.
    """

    name: str
    title: str
    description: str
    mode: str
    eager: bool


POLICY_TEXTS: Final = {
    "manual_lazy": "vCPUs split pages in their own write faults",
    "eager_at_enable": "the ioctl that enables logging splits them all",
    "eager_in_clear": "each CLEAR splits the pages of its range",
    "lazy": "nothing is protected before the first CLEAR",
    "ring_lazy": "vCPUs split; dirty pages go into rings",
    "ring_eager": "the ioctl splits; dirty pages go into rings",
    "legacy_lazy": "vCPUs split; GET protects again",
    "legacy_eager": "the ioctl splits; GET protects again",
}
"""Text beside a pane's title, two short lines, by policy; in the order of the menu."""


def _option(policy: PolicyItem) -> Component:
    return html.Option(
        policy.title,
        value=policy.name,
        title=policy.description,
        **attributes(
            data_text=POLICY_TEXTS[policy.name],
            data_title=policy.title,
            data_mode=policy.mode,
            data_eager=str(policy.eager).lower(),
        ),
    )


def policy_title(index: int, policies: Sequence[PolicyItem]) -> list[Component]:
    """Make the title of a pane.

    Args:
        index: index of the pane.
        policies: all policies.

    Returns:
        The menu of policies, and the two buttons.
    """
    known = {each.name: each for each in policies}
    options = [_option(known[name]) for name in POLICY_TEXTS if name in known]
    chosen = html.Select(
        options,
        className="policy-select",
        **attributes(data_mmuviz="policy", aria_label=f"Policy of pane {index + 1}"),
    )
    # A select cannot wrap a long name, so the name is drawn by a span under a transparent select.
    name = html.Span("", className="policy-name", **attributes(aria_hidden="true"))
    return [
        html.Span([name, chosen], className="policy-box"),
        _button("pane-remove", "\N{MULTIPLICATION SIGN}", "Take this policy away"),
        _button("pane-add", "+", "Compare one policy more"),
    ]


def _button(name: str, text: str, label: str) -> Component:
    return html.Button(
        text, type="button", className=f"pane-button {name}", title=label, hidden=True, **attributes(aria_label=label)
    )
