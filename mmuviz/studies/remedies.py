"""Changes of a migration that does not converge, with which it would: the smallest of each kind."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import InputError
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import rate_text, time_text
from mmuviz.engine.choices.workload import TraceWorkload
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.engine.drivers.qemu_precopy import MIB, QemuPrecopy
from mmuviz.engine.qemu.dirtylimit import TOLERANCE_MIB
from mmuviz.recording.recording import Recording
from mmuviz.studies.advice import changed_scenario
from mmuviz.studies.convergence import cancelled, converges, leftover_of, lost_pages, switched
from mmuviz.studies.sending_speed import (
    CHANNELS,
    GBIT,
    LINKS,
    MOST_LONGEST_NS,
    NS_PER_S,
    channels_for,
    channels_of,
    sendable,
    threads_bytes_per_s,
)

DOWNTIMES: Final = tuple(each * NS_PER_S // 10 for each in (3, 5, 10, 20, 50, 100, 300))
"""Downtime limits that are tried, ns: from QEMU's default of 300 ms to half a minute."""
DIRTY_LIMITS: Final = tuple(each * MIB for each in (256, 64, 16, 4, 1))
"""Dirty limits that are tried, bytes per second for each vCPU, down to the smallest that QEMU takes."""
ROUNDS_OF_LIMIT: Final = 20
"""Syncs that a dirty limit gets: it begins after two bad periods, and then approaches its value every second
(assumption)."""
ROUNDS_OF_THROTTLING: Final = 60
"""Syncs that throttling gets: auto-converge throttles more at every second sync, from 20 % to 99 % in nine steps, so
that 20 would do if each were over the threshold; three times as many (assumption)."""
TIMES_LONGER: Final = 10
"""Times the longest duration of the scenario that it gets, as a throttled guest needs more rounds (assumption)."""

BANDWIDTH: Final = "bandwidth"
MULTIFD: Final = "multifd"
BOTH: Final = "bandwidth and multifd"
DOWNTIME_LIMIT: Final = "downtime limit"
AUTO_CONVERGE: Final = "auto-converge"
DIRTY_LIMIT: Final = "dirty limit"
POSTCOPY: Final = "post-copy"
NO_CANCEL: Final = "no cancel"


class Remedy(NamedTuple):
    """A change of the scenario that was tried to make the migration converge.

    Attributes:
        name: kind of change, e.g. BANDWIDTH.
        change: the smallest change of this kind that converges, else the largest that was tried.
        works: whether the migration converges with it, or switches to post-copy, and loses no page.
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


Answer = Recording | InputError
"""Result of a run, or the reason why it was refused."""
Trial = Generator[Scenario, Answer, Remedy]
"""Yields Scenarios, is sent the Answer to each, and returns a Remedy."""
Search = Generator[Scenario, Answer, list[Remedy]]
"""The same for several kinds of change, of which the next is tried if one does not work."""
RunSome = Callable[[Sequence[Scenario], Callable[[int, Answer], None]], None]
"""Runs Scenarios, and calls a function with the index of each and its Answer."""


def searches_of(scenario: Scenario, recording: Recording) -> dict[str, Search]:
    """Make the searches for changes with which a migration converges.

    Args:
        scenario: a migration that does not converge.
        recording: its Recording.

    Returns:
        Name of the kind that is tried first -> search, for kinds that the driver has and that are not made already.
    """
    driver, left_bytes = scenario.driver, leftover_of(recording).left_bytes
    if not isinstance(driver, Migrates):
        return {}
    if cancelled(recording):
        return {NO_CANCEL: _without_cancel(scenario)}
    pace, needed = sendable(driver), left_bytes * NS_PER_S
    found = {}
    if kinds := _ways_to_send_faster(scenario):
        found[next(iter(kinds))] = _faster(scenario, kinds, needed // driver.downtime_limit)
    if steps := downtime_steps(scenario):
        found[DOWNTIME_LIMIT] = _smallest(DOWNTIME_LIMIT, scenario, steps, _first(steps, needed // pace))
    if isinstance(driver, QemuPrecopy):
        found |= _measures(scenario, driver)
    return found


def remedies(searches: Mapping[str, Search], run_some: RunSome, tell: Callable[[str, list[Remedy]], None]) -> None:
    """Carry out searches together: the next run of each is made side by side with those of the others.

    Args:
        searches: see searches_of().
        run_some: makes runs.
        tell: called with the name of each search that ends, and what it found.
    """
    asked: dict[str, Scenario] = {}

    def go_on(name: str, answer: Answer | None) -> None:
        try:
            asked[name] = next(searches[name]) if answer is None else searches[name].send(answer)
        except StopIteration as ended:
            tell(name, ended.value)

    for name in searches:
        go_on(name, None)
    while asked:
        names, scenarios = tuple(asked), tuple(asked.values())
        asked.clear()

        def answered(index: int, answer: Answer, names: tuple[str, ...] = names) -> None:
            go_on(names[index], answer)

        run_some(scenarios, answered)


# Sending faster


def threads_text(scenario: Scenario, channels: int) -> str:
    """Say what userspace's threads send at most."""
    speed = f"{threads_bytes_per_s(scenario, channels) / GBIT:.1f} Gbit/s at most"
    return f"{channels} multifd channels send {speed}" if channels else f"one thread checks and copies {speed}"


def link_steps(scenario: Scenario) -> list[Step]:
    """List faster links, up to the first that userspace's threads, as many as there are, cannot fill."""
    driver = scenario.driver
    if not isinstance(driver, Migrates):
        return []
    pace, most = sendable(driver), threads_bytes_per_s(scenario, channels_of(driver))
    if pace >= most:
        return []
    values = sorted({*(each for each in LINKS if each > pace), *((driver.link,) if driver.link > pace else ())})
    filled = [each for each in values if each < most]
    return [Step(rate_text(each), each, _link_of(driver, each)) for each in values[: len(filled) + 1]]


def _link_of(driver: Migrates, bytes_per_s: int) -> dict[str, Any]:
    limit = {"driver.bandwidth": bytes_per_s} if "bandwidth" in type(driver).model_fields else {}
    return {"driver.link": max(bytes_per_s, driver.link), **limit}


def multifd_steps(scenario: Scenario) -> list[Step]:
    """List more multifd channels, up to the least number that fills the link; none if the present threads fill it."""
    driver = scenario.driver
    if not isinstance(driver, QemuPrecopy):
        return []
    pace, now = sendable(driver), driver.multifd_channels
    if threads_bytes_per_s(scenario, now) >= pace:
        return []
    enough = channels_for(scenario, pace) or CHANNELS[-1]
    more = [each for each in CHANNELS if now < each <= enough]
    return [Step(f"{each} channels", each, {"driver.multifd_channels": each}) for each in more]


def both_steps(scenario: Scenario) -> list[Step]:
    """List faster links that the present threads cannot fill, each with the multifd channels that fill it."""
    driver = scenario.driver
    if not isinstance(driver, QemuPrecopy):
        return []
    pace, most = sendable(driver), threads_bytes_per_s(scenario, driver.multifd_channels)
    steps = []
    for value in sorted({*LINKS, driver.link}):
        channels = channels_for(scenario, value)
        if value > max(pace, most) and channels is not None and channels > driver.multifd_channels:
            fields = {**_link_of(driver, value), "driver.multifd_channels": channels}
            steps.append(Step(f"{rate_text(value)} with {channels} channels", value, fields))
    return steps


def _ways_to_send_faster(scenario: Scenario) -> dict[str, list[Step]]:
    kinds = {BANDWIDTH: link_steps(scenario), MULTIFD: multifd_steps(scenario), BOTH: both_steps(scenario)}
    return {name: steps for name, steps in kinds.items() if steps}


def _faster(scenario: Scenario, kinds: Mapping[str, list[Step]], at_least: int) -> Search:
    """Try each way to send faster until one works.

    Args:
        scenario: the Scenario to change.
        kinds: name -> steps.
        at_least: bytes per second that would send what was left within the downtime limit.
    """
    found: list[Remedy] = []
    for name, steps in kinds.items():
        start = len(steps) - 1 if name == MULTIFD else _first(steps, at_least)
        remedy = yield from smallest(name, scenario, steps, start)
        if name == BANDWIDTH and not remedy.works and isinstance(scenario.driver, Migrates):
            remedy = remedy._replace(why=remedy.why or threads_text(scenario, channels_of(scenario.driver)))
        found.append(remedy)
        if remedy.works:
            break
    return found


# A longer downtime, and a slower guest


def downtime_steps(scenario: Scenario) -> list[Step]:
    """List the longer downtime limits."""
    driver = scenario.driver
    if not isinstance(driver, Migrates):
        return []
    longer = [each for each in DOWNTIMES if each > driver.downtime_limit]
    return [Step(time_text(each), each, {"driver.downtime_limit": each}) for each in longer]


def patience_of(driver: QemuPrecopy, rounds: int) -> dict[str, Any]:
    """Return limits that do not end a migration before throttling has had its effect, which takes that many rounds."""
    return {
        "driver.most_rounds": max(driver.most_rounds, rounds),
        "driver.longest": min(driver.longest * TIMES_LONGER, MOST_LONGEST_NS),
    }


def dirty_limit_steps(scenario: Scenario) -> list[Step]:
    """List the dirty limits with which all vCPUs together dirty less than is sent, from large to small; else the least.

    A VM without a dirty ring gets one, as QEMU needs it.
    """
    driver, vm = scenario.driver, scenario.vm
    if not isinstance(driver, QemuPrecopy):
        return []
    ring = {} if vm.dirty_log_mode.ring else {"policy": "ring_eager" if vm.splits_eagerly else "ring_lazy"}
    also = f", with policy {ring['policy']}" if ring else ""
    values = [each for each in DIRTY_LIMITS if not driver.dirty_limit or each < driver.dirty_limit]
    helpful = [each for each in values if each * vm.vcpus <= sendable(driver)] or values[-1:]
    fields = {**ring, **patience_of(driver, ROUNDS_OF_LIMIT)}
    return [
        Step(f"{rate_text(each)} for each vCPU{also}", -each, {**fields, "driver.dirty_limit": each})
        for each in helpful
    ]


def most_dirtied(scenario: Scenario) -> int | None:
    """Return the most bytes per second that a vCPU dirties, one page per access; None if the workload has no rate."""
    if isinstance(scenario.workload, TraceWorkload):
        return None
    rates = [pattern.rate_hz for pattern, _ in scenario.timeline()]
    return max(rates) * PAGE_BYTES if all(rates) else None


def _dirty_limit(scenario: Scenario, steps: list[Step]) -> Search:
    """Search for the highest dirty limit that works; none is run if QEMU would leave every vCPU alone."""
    most, ignored = most_dirtied(scenario), TOLERANCE_MIB * MIB
    rule = f"QEMU leaves a vCPU alone that dirties up to {rate_text(ignored)} more than its limit"
    if most is not None and most <= ignored - steps[-1].value:
        why = f"each vCPU dirties {rate_text(most)} at most, and {rule}"
        return [Remedy(DIRTY_LIMIT, steps[-1].change, works=False, recording=None, why=why)]
    remedy = yield from smallest(DIRTY_LIMIT, scenario, steps, 0)
    if remedy.recording is not None and not remedy.recording.totals["migration"]["throttled_ns"]:
        remedy = remedy._replace(why=f"no vCPU slept: it would when its ring is full, and {rule}")
    return [remedy]


def _measures(scenario: Scenario, driver: QemuPrecopy) -> dict[str, Search]:
    """Make the searches for QEMU's own measures; those that are on already are left out."""
    found = {}
    if not driver.auto_converge:
        fields = {"driver.auto_converge": True, **patience_of(driver, ROUNDS_OF_THROTTLING)}
        step = Step(f"on, for at most {fields['driver.most_rounds']} syncs", 1, fields)
        found[AUTO_CONVERGE] = _one(AUTO_CONVERGE, scenario, step)
    if steps := dirty_limit_steps(scenario):
        found[DIRTY_LIMIT] = _dirty_limit(scenario, steps)
    if not driver.postcopy_after and not driver.postcopy_after_rounds:
        # QEMU's second sync ends the first pass.
        step = Step("after the first pass", 2, {"driver.postcopy_after_rounds": 2})
        found[POSTCOPY] = _one(POSTCOPY, scenario, step)
    return found


# Trying


def _first(steps: Sequence[Step], at_least: int) -> int:
    """Return the index of the first step with at least this value, else of the last."""
    return next((at for at, step in enumerate(steps) if step.value >= at_least), len(steps) - 1)


def smallest(name: str, scenario: Scenario, steps: Sequence[Step], start: int) -> Trial:
    """Find the smallest step that converges; a larger step must not help less than a smaller one.

    Args:
        name: kind of change.
        scenario: the Scenario to change.
        steps: steps, small to large.
        start: index of the step that is tried first. If it fails, larger ones are tried up to the first that works; if
            it works, smaller ones down to the last that works.
    """
    at = start
    found = yield from _tried(name, scenario, steps[at])
    while not found.works and found.recording is not None and at + 1 < len(steps):
        at += 1
        found = yield from _tried(name, scenario, steps[at])
    while found.works and 0 < at <= start:
        at -= 1
        smaller = yield from _tried(name, scenario, steps[at])
        if not smaller.works:
            break
        found = smaller
    return found


def _smallest(name: str, scenario: Scenario, steps: Sequence[Step], start: int) -> Search:
    return [(yield from smallest(name, scenario, steps, start))]


def _one(name: str, scenario: Scenario, step: Step) -> Search:
    return [(yield from _tried(name, scenario, step))]


def _without_cancel(scenario: Scenario) -> Search:
    """Try the migration without its cancel; if it does not converge then, every other change too."""
    step = Step("driver.cancel_at=0", 0, {"driver.cancel_at": 0})
    found = yield from _one(NO_CANCEL, scenario, step)
    recording = found[0].recording
    if found[0].works or recording is None:
        return found
    for search in searches_of(changed_scenario(scenario, step.overrides), recording).values():
        more = yield from search
        found += [each._replace(change=f"{each.change}, and {step.change}") for each in more]
    return found


def _tried(name: str, scenario: Scenario, step: Step) -> Trial:
    try:
        changed = changed_scenario(scenario, step.overrides)
    except InputError as error:
        return Remedy(name, step.change, works=False, recording=None, why=str(error))
    answer = yield changed
    if isinstance(answer, InputError):
        return Remedy(name, step.change, works=False, recording=None, why=str(answer))
    ends = converges(answer) or switched(answer)
    return Remedy(name, step.change, ends and not lost_pages(answer), answer)
