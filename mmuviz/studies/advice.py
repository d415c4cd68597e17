"""Advice for a migration: the Scenarios that are run, one for every policy and chunk size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.recording.quantities import bytes_text
from mmuviz.studies.estimate import PASSES
from mmuviz.studies.overrides import overridden
from mmuviz.studies.policies import POLICIES, policy_name
from mmuviz.studies.sending_speed import (
    CHANNELS,
    GBIT,
    LINKS,
    MOST_LONGEST_NS,
    NS_PER_S,
    full_bytes,
    one_pass_ns,
    threads_bytes_per_s,
)

SHIFTS: Final = (9, 14, 18)
"""Values of x-clear-bitmap-shift that are run: chunks of 2 MiB (a huge page), 64 MiB, and 1 GiB (QEMU's default)."""
MINUTE_NS: Final = 60 * NS_PER_S


@dataclass(frozen=True)
class Candidate:
    """A policy, and a chunk size of CLEAR if it clears in chunks.

    Attributes:
        policy: name of the policy.
        chunk_bytes: bytes that one CLEAR covers; None if the policy does not clear in chunks.
        scenario: the Scenario that is run.
        own: whether it is the scenario that the user asked about.
    """

    policy: str
    chunk_bytes: int | None
    scenario: Scenario
    own: bool


class Refused(NamedTuple):
    """A policy that the scenario does not allow, and the reason."""

    policy: str
    why: str


class NotRun(NamedTuple):
    """A candidate that was not run, and the reason."""

    candidate: Candidate
    why: str


def migration_of(base: Scenario, bandwidth: int | str | None = None, downtime: int | str | None = None) -> Scenario:
    """Make the migration that advice is given for.

    Args:
        base: a Scenario; if its driver migrates nothing, it is replaced by QEMU's pre-copy.
        bandwidth: speed of the link and bandwidth limit of userspace, bytes per second, or as text; None keeps the
            Scenario's.
        downtime: downtime limit, ns, or as text; None keeps the Scenario's.

    Raises:
        InputError: the resulting Scenario is refused.
    """
    if isinstance(base.driver, ListedOps):
        raise InputError(
            "driver.kind=listed_ops has a guest that does what is listed and then stops; advice needs one that runs "
            "on: name a scenario with a workload"
        )
    changed: dict[str, Any] = {}
    if not isinstance(base.driver, Migrates):
        changed["driver.kind"] = QemuPrecopy.model_fields["kind"].default
    if bandwidth is not None:
        changed["driver.link"] = bandwidth
        if not isinstance(base.driver, Migrates) or "bandwidth" in type(base.driver).model_fields:
            changed["driver.bandwidth"] = bandwidth
    if downtime is not None:
        changed["driver.downtime_limit"] = downtime
    return changed_scenario(base, changed)


class Patient(NamedTuple):
    """A migration with enough time for one pass over its memory, and a notice if it was given more time than it had."""

    scenario: Scenario
    notice: str


def patient(scenario: Scenario) -> Patient:
    """Give a migration the time that it needs at least; without it, it would end alike under every policy.

    Args:
        scenario: a migration; driver.longest is raised if one pass takes longer, or if it was not given.

    Raises:
        InputError: no time that driver.longest may have is enough for one pass.
    """
    driver, pass_ns = scenario.driver, one_pass_ns(scenario)
    if not isinstance(driver, QemuPrecopy):
        return Patient(scenario, "")
    is_chosen = "longest" in driver.model_fields_set
    if driver.longest > (pass_ns if is_chosen else PASSES * pass_ns):
        return Patient(scenario, "")
    longest = min(PASSES * pass_ns // NS_PER_S + 1, MOST_LONGEST_NS // NS_PER_S) * NS_PER_S
    one_pass = f"to send {bytes_text(full_bytes(scenario))} once takes {long_text(pass_ns)} at least"
    if longest <= pass_ns:
        faster = _faster_options(scenario, driver.multifd_channels)
        raise InputError(
            f"driver.longest={long_text(driver.longest)} ends every migration in its first pass: {one_pass}, and "
            f"{long_text(MOST_LONGEST_NS)} is the most that there is; send faster, e.g. {faster}"
        )
    given = "the most that there is" if longest == MOST_LONGEST_NS else f"time for {PASSES} passes (assumption)"
    return Patient(
        changed_scenario(scenario, {"driver.longest": longest}),
        f"driver.longest={long_text(longest)} here, {given}, and not {long_text(driver.longest)}: {one_pass}.",
    )


def _faster_options(scenario: Scenario, now: int) -> str:
    """Return options with which one pass fits into the most time that there is; `now`: multifd channels."""
    for link in LINKS:
        channels = next((each for each in (now, *CHANNELS) if threads_bytes_per_s(scenario, each) >= link), None)
        if channels is not None and full_bytes(scenario) * NS_PER_S // link < MOST_LONGEST_NS:
            threads = f" --set driver.multifd_channels={channels}" if channels != now else ""
            return f"--bandwidth {link // GBIT}Gbit{threads}"
    return "by less memory"


def long_text(time_ns: int) -> str:
    """Format a time of seconds or minutes, e.g. "45 s", "70.4 min"."""
    return f"{time_ns / MINUTE_NS:.3g} min" if time_ns >= 2 * MINUTE_NS else f"{time_ns / NS_PER_S:.3g} s"


def changed_scenario(scenario: Scenario, overrides: Mapping[str, Any]) -> Scenario:
    """Apply overrides to a Scenario.

    Raises:
        InputError: they are refused.
    """
    if not overrides:
        return scenario
    return Scenario.model_validate(overridden(scenario.given(), overrides))


def candidates(scenario: Scenario, shifts: Sequence[int] = SHIFTS) -> tuple[list[Candidate], list[Refused]]:
    """Make a candidate of every policy, and of several chunk sizes if the policy clears in chunks.

    Args:
        scenario: a migration. All candidates have its accesses.
        shifts: values of x-clear-bitmap-shift beside the scenario's own.

    Returns:
        The candidates in the order in which they matter: the scenario itself, every policy with its chunk size, then
        the other chunk sizes; and each policy that the kernel, the MMU or the driver refuses.
    """
    found: dict[str, Candidate] = {}
    refused: list[Refused] = []
    for policy in POLICIES:
        try:
            each = changed_scenario(scenario, {"policy": policy})
        except MmuvizError as error:
            refused.append(Refused(policy, str(error)))
            continue
        for one in _chunked(each, shifts):
            found.setdefault(one.digest(), _candidate(one, scenario))
    found.setdefault(scenario.digest(), _candidate(scenario, scenario))
    chunk_bytes = PAGE_BYTES << getattr(scenario.driver, "clear_bitmap_shift", 0)

    def place(each: Candidate) -> tuple[bool, bool]:
        return not each.own, each.chunk_bytes not in (None, chunk_bytes)

    return sorted(found.values(), key=place), refused


def _chunked(scenario: Scenario, shifts: Sequence[int]) -> Iterator[Scenario]:
    """Yield the Scenario with each chunk size, including its own; unchanged if it does not clear in chunks."""
    if chunk_bytes_of(scenario) is None or not isinstance(scenario.driver, QemuPrecopy):
        yield scenario
        return
    for shift in sorted({*shifts, scenario.driver.clear_bitmap_shift}):
        yield changed_scenario(scenario, {"driver.clear_bitmap_shift": shift})


def _candidate(scenario: Scenario, own: Scenario) -> Candidate:
    is_own = scenario.digest() == own.digest()
    return Candidate(policy_name(scenario.vm), chunk_bytes_of(scenario), scenario, is_own)


def chunk_bytes_of(scenario: Scenario) -> int | None:
    """Return the bytes that one CLEAR of QEMU covers; None if it issues none."""
    mode = scenario.vm.dirty_log_mode
    if not isinstance(scenario.driver, QemuPrecopy) or mode.ring or not mode.manual:
        return None
    return PAGE_BYTES << scenario.driver.clear_bitmap_shift
