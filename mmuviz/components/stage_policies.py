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
        says: what happens to a huge page.
        mode: its dirty-log mode.
        eager: whether it splits eagerly.
    """

    name: str
    says: str
    mode: str
    eager: bool


class PolicyWords(NamedTuple):
    """How a policy is called.

    Attributes:
        title: above its pane; no two are the same.
        short: where it stands beside no policy of the same short name.
        text: two short lines beside the title.
    """

    title: str
    short: str
    text: str


POLICY_WORDS: Final = {
    "manual_lazy": PolicyWords("Lazy", "Lazy", "vCPUs split pages in their own write faults"),
    "eager_at_enable": PolicyWords("Eager", "Eager", "the ioctl that enables logging splits them all"),
    "eager_in_clear": PolicyWords("Eager in CLEAR", "Eager in CLEAR", "each CLEAR splits the pages of its range"),
    "lazy": PolicyWords("Lazy after CLEAR", "Lazy", "nothing is protected before the first CLEAR"),
    "ring_lazy": PolicyWords("Lazy, ring", "Lazy, ring", "vCPUs split; a ring a vCPU holds what is dirty"),
    "ring_eager": PolicyWords("Eager, ring", "Eager, ring", "the ioctl splits; a ring a vCPU holds what is dirty"),
    "legacy_lazy": PolicyWords("Lazy, legacy", "Lazy", "vCPUs split; GET protects again"),
    "legacy_eager": PolicyWords("Eager, legacy", "Eager", "the ioctl splits; GET protects again"),
}
"""In the order in which they are offered; a file's own names stand in the link and in the report."""


def _option(policy: PolicyItem) -> Component:
    words = POLICY_WORDS[policy.name]
    return html.Option(
        words.title,
        value=policy.name,
        title=policy.says,
        **attributes(
            data_text=words.text,
            data_title=words.title,
            data_short=words.short,
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
    options = [_option(known[name]) for name in POLICY_WORDS if name in known]
    chosen = html.Select(
        options,
        className="policy-select",
        **attributes(data_mmuviz="policy", aria_label=f"Policy of pane {index + 1}"),
    )
    return [
        chosen,
        _button("pane-remove", "\N{MULTIPLICATION SIGN}", "Take this policy away"),
        _button("pane-add", "+", "Compare one policy more"),
    ]


def _button(name: str, text: str, label: str) -> Component:
    return html.Button(
        text, type="button", className=f"pane-button {name}", title=label, hidden=True, **attributes(aria_label=label)
    )
