"""The title of a pane: the policy that it shows, and the buttons that add a pane or take it away."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


class PolicyItem(NamedTuple):
    """One policy.

    Attributes:
        name: in links and files.
        title: what it is called among all of them.
        description: what happens to a huge page.
        mode: its dirty-log mode.
        eager: whether it splits eagerly.
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
    "ring_lazy": "vCPUs split; a ring a vCPU holds what is dirty",
    "ring_eager": "the ioctl splits; a ring a vCPU holds what is dirty",
    "legacy_lazy": "vCPUs split; GET protects again",
    "legacy_eager": "the ioctl splits; GET protects again",
}
"""Two short lines beside a pane's title, in the order in which policies are offered."""


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
    """What stands first in a pane's head.

    Args:
        index: of the pane.
        policies: all of them.

    Returns:
        The choice, and the buttons.
    """
    known = {each.name: each for each in policies}
    options = [_option(known[name]) for name in POLICY_TEXTS if name in known]
    chosen = html.Select(
        options,
        className="policy-select",
        **attributes(data_mmuviz="policy", aria_label=f"Policy of pane {index + 1}"),
    )
    # A select cannot break a long name into two lines: the name lies under it.
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
