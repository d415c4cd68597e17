"""Policies: names for the combinations of a dirty-log mode and a way of splitting huge pages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_2M
from mmuviz.engine.choices.vm import VmChoices
from mmuviz.mmu.config import DirtyLogMode

DEFAULT_CHUNK: Final = PAGES_PER_2M * PAGE_BYTES
"""split_chunk of an eager policy on arm64 if none is given, bytes."""


class Policy(NamedTuple):
    """A policy.

    Attributes:
        name: its name in files and commands.
        mode: value of vm.dirty_log_mode.
        eager: whether huge pages are split eagerly: vm.eager_page_split; on arm64 vm.split_chunk, which is then the
            given one or 2 MiB.
        title: its title, different for all policies.
        short: a short title, used if no compared policy has the same one.
        description: its treatment of huge pages, as text.
    """

    name: str
    mode: DirtyLogMode
    eager: bool
    title: str
    short: str
    description: str


_ALL: Final = (
    Policy(
        "lazy",
        DirtyLogMode.MANUAL_INITIALLY_SET,
        eager=False,
        title="Lazy after CLEAR",
        short="Lazy",
        description="all bits are set at first; CLEAR protects huge pages, and the first write to each splits it",
    ),
    Policy(
        "eager_at_enable",
        DirtyLogMode.MANUAL,
        eager=True,
        title="Eager at enable",
        short="Eager",
        description="the ioctl that enables logging splits every huge page and protects all",
    ),
    Policy(
        "eager_in_clear",
        DirtyLogMode.MANUAL_INITIALLY_SET,
        eager=True,
        title="Eager in CLEAR",
        short="Eager in CLEAR",
        description="all bits are set at first; CLEAR splits the huge pages of its range and protects them",
    ),
    Policy(
        "legacy_lazy",
        DirtyLogMode.LEGACY,
        eager=False,
        title="Lazy, legacy",
        short="Lazy",
        description="enabling protects huge pages, the first write to each splits it; GET protects again",
    ),
    Policy(
        "legacy_eager",
        DirtyLogMode.LEGACY,
        eager=True,
        title="Eager, legacy",
        short="Eager",
        description="enabling splits every huge page; GET protects again",
    ),
    Policy(
        "manual_lazy",
        DirtyLogMode.MANUAL,
        eager=False,
        title="Lazy at enable",
        short="Lazy",
        description="enabling protects huge pages, the first write to each splits it; GET copies, CLEAR protects",
    ),
    Policy(
        "ring_lazy",
        DirtyLogMode.RING,
        eager=False,
        title="Lazy, ring",
        short="Lazy, ring",
        description="a dirty ring for each vCPU; the first write splits a huge page",
    ),
    Policy(
        "ring_eager",
        DirtyLogMode.RING,
        eager=True,
        title="Eager, ring",
        short="Eager, ring",
        description="a dirty ring for each vCPU; enabling splits every huge page",
    ),
)
POLICIES: Final = {each.name: each for each in _ALL}


def no_policy(where: str, value: object) -> str:
    """The refusal of a name that no policy has; `where`: what holds it."""
    near = difflib.get_close_matches(str(value)[:60], POLICIES, 1, 0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{where}={short_repr(value)} must be one of {', '.join(POLICIES)}{hint}"


def policy_overrides(name: object, vm: object) -> dict[str, Any]:
    """Return the overrides of a policy.

    Fields that the policy's mode does not have are removed: ring_entries and reap_interval without rings, clear_chunk
    without CLEAR.

    Args:
        name: name of the policy.
        vm: fields of vm as given; arm64 splits in chunks.

    Returns:
        Dotted name -> value; None removes a field.

    Raises:
        InputError: there is no such policy.
    """
    if not isinstance(name, str) or name not in POLICIES:
        raise InputError(no_policy("policy", name))
    policy, given = POLICIES[name], vm if isinstance(vm, Mapping) else {}
    found: dict[str, Any] = {"vm.dirty_log_mode": str(policy.mode)}
    if given.get("vendor") == "arm64" or given.get("mmu") == "stage2":
        chunk = given.get("split_chunk") or DEFAULT_CHUNK
        found["vm.split_chunk"] = chunk if policy.eager else 0
    else:
        found["vm.eager_page_split"] = policy.eager
    if not policy.mode.ring:
        found |= {"vm.ring_entries": None, "driver.reap_interval": None}
    if policy.mode.ring or not policy.mode.manual:
        found["driver.clear_chunk"] = None
    return found


def policy_name(vm: VmChoices) -> str:
    """Return the name of a VM's policy; if none has its mode and way of splitting, both as text."""
    for policy in POLICIES.values():
        if policy.mode is vm.dirty_log_mode and policy.eager == vm.splits_eagerly:
            return policy.name
    return f"{vm.dirty_log_mode}, {'eager' if vm.splits_eagerly else 'lazy'}"
