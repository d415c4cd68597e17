"""A migration of the same guest with less memory: it shows within seconds which constants of the host matter most."""

from __future__ import annotations

from typing import Any, Final

from mmuviz.core.errors import MmuvizError
from mmuviz.core.pages import PAGE_BYTES, pages_per_hpage
from mmuviz.engine.choices.phases import PhasesWorkload
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.workload import KernelNoiseWorkload, TraceWorkload
from mmuviz.engine.drivers.migrates import NS_PER_MS, Migrates
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.studies.estimate import NS_PER_S
from mmuviz.studies.overrides import overridden
from mmuviz.studies.sensitivity import Part

LEAST_PASS_NS: Final = 200 * NS_PER_MS
"""Shortest first pass: two of the windows of 100 ms in which QEMU measures its bandwidth, below which these decide."""
MOST_PARTS: Final = 64
TIMED: Final = ("cancel_at", "restart_after", "postcopy_after")
"""Times of a driver that are as long in proportion to a pass; the shortest is 1 ms."""
FIXED_TIMES: Final = ("auto_converge", "dirty_limit")
"""Options of QEMU that act every second, however long a pass takes."""


def smaller(scenario: Scenario, parts: int) -> Scenario | None:
    """Divide a migration's memory, and its times that belong to a pass, by a number.

    A pass then takes a part of the time, in which each page is written as often as before.

    Args:
        scenario: a migration.
        parts: number of parts.

    Returns:
        The migration of one part; None if its memory cannot be divided so, or if something of it has a time of its own:
        phases, a trace, timer ticks, auto-converge, a dirty limit.
    """
    driver, workload = scenario.driver, scenario.workload
    if not isinstance(driver, Migrates) or isinstance(workload, PhasesWorkload | TraceWorkload | KernelNoiseWorkload):
        return None
    if any(getattr(driver, name, None) for name in FIXED_TIMES):
        return None
    if any(slot.size % (parts * pages_per_hpage(slot.backing.level) * PAGE_BYTES) for slot in scenario.memory):
        return None
    changes: dict[str, Any] = {f"memory[{at}].size": slot.size // parts for at, slot in enumerate(scenario.memory)}
    changes["driver.downtime_limit"] = _part_of_ms(driver.downtime_limit, parts)
    changes |= {f"driver.{name}": _part_of_ms(time, parts) for name in TIMED if (time := getattr(driver, name, 0))}
    try:
        return Scenario.model_validate(overridden(scenario.given(), changes))
    except MmuvizError:
        return None


def _part_of_ms(time_ns: int, parts: int) -> int:
    return max(time_ns // parts // NS_PER_MS, 1) * NS_PER_MS


def fewest_pages(scenario: Scenario) -> Part | None:
    """Find the smallest guest whose first pass is still long enough for QEMU's loop.

    Args:
        scenario: a migration.

    Returns:
        The smaller migration, and the number of parts, a power of two from 2 to MOST_PARTS; None if there is none.
    """
    if not isinstance(scenario.driver, Migrates):
        return None
    driver = scenario.driver
    rate = min(driver.bandwidth, driver.link) if isinstance(driver, QemuPrecopy) else driver.link
    pass_ns = sum(slot.size for slot in scenario.memory if slot.logged) * NS_PER_S // rate
    parts = MOST_PARTS
    while parts > 1:
        found = smaller(scenario, parts) if pass_ns >= parts * LEAST_PASS_NS else None
        if found is not None:
            return Part(found, parts)
        parts //= 2
    return None
