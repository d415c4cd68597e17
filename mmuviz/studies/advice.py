"""Advice for a migration: a run of every policy, and changes with which a migration that does not converge would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.phases import LONGEST_NS
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import rate_text, time_text
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges, leftover_of, switched
from mmuviz.studies.overrides import overridden
from mmuviz.studies.policies import POLICIES, policy_name

SHIFTS: Final = (9, 14, 18)
"""Values of x-clear-bitmap-shift that are run: chunks of 2 MiB (a huge page), 64 MiB, and 1 GiB (QEMU's default)."""
GBIT: Final = 10**9 // 8
LINKS: Final = tuple(each * GBIT for each in (1, 10, 25, 40, 100, 200, 400))
"""Speeds of Ethernet links, bytes per second."""
NS_PER_S: Final = 10**9
DOWNTIMES: Final = tuple(each * NS_PER_S // 10 for each in (3, 5, 10, 20, 50, 100, 300))
"""Downtime limits that are tried, ns: from QEMU's default of 300 ms to half a minute."""
Run = Callable[[Scenario], Recording]


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


class Remedy(NamedTuple):
    """A change of the scenario that was tried to make the migration converge.

    Attributes:
        name: kind of change, e.g. bandwidth.
        change: the smallest change of this kind that converges, else the largest that was tried.
        works: whether the migration converges with it.
        recording: Recording of the run with the change; None if the change was refused.
        why: reason of the refusal, or why no larger change was tried.
    """

    name: str
    change: str
    works: bool
    recording: Recording | None
    why: str = ""


class Step(NamedTuple):
    """One value of a kind of change, and the overrides that make it."""

    change: str
    value: int
    overrides: Mapping[str, Any]


ROUNDS_OF_THROTTLING: Final = 60
"""Syncs that auto-converge gets: QEMU throttles more at every second sync, from 20 % to 99 % in nine steps, so that 20
would do if each were over the threshold; three times as many (assumption)."""
TIMES_LONGER: Final = 10
"""Times the longest duration of the scenario that it gets, as a throttled guest needs more rounds (assumption)."""


def switches(driver: QemuPrecopy) -> list[tuple[str, Step]]:
    """List changes with one value each; those that the driver has already are left out.

    Auto-converge works by many rounds: limits that would cancel the migration before it throttles fully are raised.
    """
    patience = {
        "driver.most_rounds": max(driver.most_rounds, ROUNDS_OF_THROTTLING),
        "driver.longest": min(driver.longest * TIMES_LONGER, max(LONGEST_NS, driver.longest)),
    }
    throttled = Step(
        f"on, for at most {patience['driver.most_rounds']} syncs", 1, {"driver.auto_converge": True, **patience}
    )
    # QEMU's second sync ends the first pass.
    postcopy = Step("after the first pass", 2, {"driver.postcopy_after_rounds": 2})
    found = [] if driver.auto_converge else [("auto-converge", throttled)]
    return found if driver.postcopy_after or driver.postcopy_after_rounds else [*found, ("post-copy", postcopy)]


def migration_of(base: Scenario, bandwidth: int | None = None, downtime_ns: int | None = None) -> Scenario:
    """Make the migration that advice is given for.

    Args:
        base: a Scenario; if its driver migrates nothing, it is replaced by QEMU's pre-copy.
        bandwidth: speed of the link and bandwidth limit of userspace, bytes per second; None keeps the Scenario's.
        downtime_ns: downtime limit, ns; None keeps the Scenario's.

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
    if downtime_ns is not None:
        changed["driver.downtime_limit"] = downtime_ns
    return changed_scenario(base, changed)


def changed_scenario(scenario: Scenario, overrides: Mapping[str, Any]) -> Scenario:
    """Apply overrides to a Scenario.

    Raises:
        InputError: they are refused.
    """
    if not overrides:
        return scenario
    return Scenario.model_validate(overridden(scenario.given(), overrides))


def candidates(scenario: Scenario) -> tuple[list[Candidate], list[Refused]]:
    """Make a candidate of every policy, and of each chunk size in SHIFTS if the policy clears in chunks.

    Args:
        scenario: a migration. All candidates have its accesses.

    Returns:
        The candidates, policy by policy; and each policy that the kernel, the MMU or the driver refuses.
    """
    found: dict[str, Candidate] = {}
    refused: list[Refused] = []
    for policy in POLICIES:
        try:
            each = changed_scenario(scenario, {"policy": policy})
        except MmuvizError as error:
            refused.append(Refused(policy, str(error)))
            continue
        for one in _chunked(each):
            found.setdefault(one.digest(), _candidate(one, scenario))
    own = scenario.digest()
    if own not in found:
        found = {own: _candidate(scenario, scenario), **found}
    return list(found.values()), refused


def _chunked(scenario: Scenario) -> Iterator[Scenario]:
    """Yield the Scenario with each chunk size, including its own; unchanged if it does not clear in chunks."""
    if chunk_bytes_of(scenario) is None or not isinstance(scenario.driver, QemuPrecopy):
        yield scenario
        return
    for shift in sorted({*SHIFTS, scenario.driver.clear_bitmap_shift}):
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


def remedies(scenario: Scenario, recording: Recording, run: Run) -> list[Remedy]:
    """Find the smallest change of each kind with which a migration converges.

    Args:
        scenario: a migration that does not converge.
        recording: its Recording.
        run: function that runs a Scenario; its InputError refuses that change.

    Returns:
        A Remedy for each kind of change that the driver supports and that is not made already.
    """
    driver, leftover = scenario.driver, leftover_of(recording)
    if not isinstance(driver, Migrates):
        return []
    pace = sendable(driver)
    needed = leftover.left_bytes * NS_PER_S
    kinds = [
        ("bandwidth", link_steps(scenario), needed // driver.downtime_limit),
        ("downtime limit", downtime_steps(scenario), needed // pace),
    ]
    found = []
    for name, steps, at_least in kinds:
        start = next((at for at, step in enumerate(steps) if step.value >= at_least), len(steps) - 1)
        found += [smallest(name, scenario, steps, start, run)] if steps else []
    if found and found[0].name == "bandwidth" and not found[0].works:
        found[0] = found[0]._replace(
            why=f"one thread checks and copies {bits_text(thread_bytes_per_s(scenario))} at most"
        )
    if isinstance(driver, QemuPrecopy):
        found += [_tried(name, scenario, step, run) for name, step in switches(driver)]
    return found


def sendable(driver: Migrates) -> int:
    """Return the bytes per second that are sent while the guest runs: the lower of link and bandwidth limit."""
    return int(min(driver.link, getattr(driver, "bandwidth", driver.link)))


def link_steps(scenario: Scenario) -> list[Step]:
    """List faster links, up to the first that one thread, which checks and copies page after page, cannot fill."""
    driver = scenario.driver
    if not isinstance(driver, Migrates):
        return []
    thread = thread_bytes_per_s(scenario)
    has_bandwidth, pace = "bandwidth" in type(driver).model_fields, sendable(driver)
    values = sorted({*(each for each in LINKS if each > pace), *((driver.link,) if driver.link > pace else ())})
    filled = [each for each in values if each < thread]
    values = values[: len(filled) + 1] if pace < thread else []
    steps = []
    for value in values:
        fields: dict[str, Any] = {"driver.link": max(value, driver.link)}
        if has_bandwidth:
            fields["driver.bandwidth"] = value
        steps.append(Step(rate_text(value), value, fields))
    return steps


def thread_bytes_per_s(scenario: Scenario) -> int:
    """Return the most bytes per second that one userspace thread sends: it checks each page for zeros and copies it."""
    host = scenario.host.values()
    return PAGE_BYTES * NS_PER_S // (host["zero_check_ns"] + host["send_page_ns"])


def bits_text(bytes_per_s: int) -> str:
    """Format a speed in bits, as networks have it, e.g. "12.4 Gbit/s"."""
    return f"{bytes_per_s / GBIT:.1f} Gbit/s"


def downtime_steps(scenario: Scenario) -> list[Step]:
    """List the longer downtime limits."""
    driver = scenario.driver
    if not isinstance(driver, Migrates):
        return []
    longer = [each for each in DOWNTIMES if each > driver.downtime_limit]
    return [Step(time_text(each), each, {"driver.downtime_limit": each}) for each in longer]


def smallest(name: str, scenario: Scenario, steps: Sequence[Step], start: int, run: Run) -> Remedy:
    """Find the smallest step that converges; a larger step must not help less than a smaller one.

    Args:
        name: kind of change.
        scenario: the Scenario to change.
        steps: steps, small to large.
        start: index of the step that is tried first. If it fails, larger ones are tried up to the first that works; if
            it works, smaller ones down to the last that works.
        run: see remedies().
    """
    at = start
    found = _tried(name, scenario, steps[at], run)
    while not found.works and found.recording is not None and at + 1 < len(steps):
        at += 1
        found = _tried(name, scenario, steps[at], run)
    while found.works and 0 < at <= start:
        at -= 1
        smaller = _tried(name, scenario, steps[at], run)
        if not smaller.works:
            break
        found = smaller
    return found


def _tried(name: str, scenario: Scenario, step: Step, run: Run) -> Remedy:
    try:
        recording = run(changed_scenario(scenario, step.overrides))
    except InputError as error:
        return Remedy(name, step.change, works=False, recording=None, why=str(error))
    return Remedy(name, step.change, converges(recording) or switched(recording), recording)
