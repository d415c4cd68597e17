"""Sensitivity of a migration's results to the plausible ranges of the host's constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from mmuviz.costs.hosts import MEANING, PROFILES
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.cost_table import CostTable, cost_table
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges
from mmuviz.studies.overrides import overridden

MOST: Final = 3
"""Most constants whose ranges are varied together."""
UNITS: Final = ("ps", "ns", "ms", "percent")
"""Units of the constants that are varied, times and shares of time; e.g. the number of CPUs of a host is known."""
DIRECT: Final = (
    "zero_check_ns",
    "send_page_ns",
    "zero_page_ns",
    "postcopy_fault_ns",
    "multifd_page_ns",
    "sync_word_ps",
    "sync_dirty_ns",
    "device_state_ns",
    "miss_ps",
)
"""Constants that are not in a CostTable: costs of userspace's own work, and of a walk that misses the cache."""
POSTCOPY: Final = ("postcopy_after", "postcopy_after_rounds")
AS_GOOD: Final = 0.01
"""Changes of a quantity by less than this share are ignored: QEMU's windows of 100 ms alone cause as much."""
QUANTITIES: Final = ("total_ns", "downtime_ns", "stall_ns")
Runs = Callable[[Sequence[Scenario]], Sequence[Recording]]


@dataclass(frozen=True)
class Swing:
    """The effect of one constant's range on a migration's results.

    Attributes:
        name: name of the constant, see `mmuviz costs`.
        unit: unit of its value.
        low: the least plausible value.
        high: the greatest plausible value.
        fitted: whether it was fitted to measurements of the host; else it is a fact or an assumption.
        at_low: QUANTITIES of the run with `low`, ns.
        at_high: QUANTITIES of the run with `high`, ns.
        converges: whether the migration converges with `low`, and with `high`.
    """

    name: str
    unit: str
    low: int
    high: int
    fitted: bool
    at_low: Mapping[str, int]
    at_high: Mapping[str, int]
    converges: tuple[bool, bool]


@dataclass(frozen=True)
class Span:
    """The spread of a migration's results over the ranges of its constants.

    Attributes:
        constants: the constants that matter most, in descending order of their effect.
        quantities: QUANTITIES -> least and greatest value of all runs, ns.
        converges: whether the migration converges with the given constants and at all ends and corners of their ranges:
            in all of these runs (True), in none (False), or in some (None).
        parts: the constants were chosen by runs with one of this number of parts of the guest's memory, and their
            swings are those of these runs unless `converges` is None; 1: with all of it.
    """

    constants: tuple[Swing, ...]
    quantities: Mapping[str, tuple[int, int]]
    converges: bool | None
    parts: int = 1


class Part(NamedTuple):
    """A migration of the same guest with a part of its memory, see fewest_pages().

    Attributes:
        scenario: the migration.
        parts: number of parts.
    """

    scenario: Scenario
    parts: int


def quantities_of(recording: Recording) -> dict[str, int]:
    """Return QUANTITIES of a run, ns."""
    totals = recording.totals
    took = totals["migration"]
    return {
        "total_ns": int(took["total_ns"]),
        "downtime_ns": int(took["downtime_ns"]),
        "stall_ns": int(totals["stall_total_ns"]),
    }


def constants_of(scenario: Scenario) -> list[str]:
    """List the constants that can change a migration: those that change this VM's CostTable, and those in DIRECT."""
    given, unused = scenario.host.overrides, unused_by(scenario)
    before = cost_table(scenario.vm.config(), scenario.host.values())
    found = []
    for name, (unit, low, high, _) in MEANING.items():
        if unit not in UNITS or name in given or name in unused:
            continue
        ends = (cost_table(scenario.vm.config(), changed(scenario, {name: end}).host.values()) for end in (low, high))
        if name in DIRECT or any(not same_prices(before, each) for each in ends):
            found.append(name)
    return found


def unused_by(scenario: Scenario) -> set[str]:
    """Return the constants of features that the VM does not have or use."""
    vm, profile, driver = scenario.vm, scenario.host.values(), scenario.driver
    patterns = [timed.pattern for timed in scenario.timeline()]
    has = {
        ("tlbi_ns", "local_tlbi_ns"): vm.vendor == "arm64",
        ("rmap_head_ps", "rmap_arm_ps", "rmap_add_ps", "rmap_busy_percent"): vm.mmu not in ("tdp", "stage2"),
        ("spin_percent",): vm.vcpus >= profile["cores"],
        ("userspace_ns",): vm.dirty_log_mode.ring or any(each.exit_rate_hz for each in patterns),
        ("recover_ns",): vm.config().kernel.recovers_huge_pages_in_place,
        ("zero_ps",): not all(slot.host_populated for slot in scenario.memory),
        ("zero_page_ns",): bool(getattr(driver, "zero_percent", 0)),
        ("multifd_page_ns",): bool(getattr(driver, "multifd_channels", 0)),
        ("postcopy_fault_ns",): any(getattr(driver, name, 0) for name in POSTCOPY),
    }
    return {name for names, used in has.items() if not used for name in names}


def same_prices(one: CostTable, other: CostTable) -> bool:
    """Whether two cost tables have the same prices."""
    arrays = ((each.guest, each.steps, each.with_spinner, each.slowdown_1024) for each in (one, other))
    return all(np.array_equal(*pair) for pair in zip(*arrays, strict=True))


def changed(scenario: Scenario, constants: Mapping[str, int]) -> Scenario:
    """Make a Scenario with other constants of its host."""
    overrides: dict[str, Any] = {f"host.overrides.{name}": value for name, value in constants.items()}
    return Scenario.model_validate(overridden(scenario.given(), overrides)) if overrides else scenario


def swings(scenario: Scenario, run: Runs, names: Sequence[str] | None = None) -> list[Swing]:
    """Run a migration with each constant at both ends of its range, the others unchanged.

    Args:
        scenario: a migration.
        run: function that runs Scenarios.
        names: the constants; None for all of constants_of().

    Returns:
        One Swing per constant, in the order of the names.
    """
    names = constants_of(scenario) if names is None else names
    ends = [{name: end} for name in names for end in MEANING[name][1:3]]
    found = run([changed(scenario, each) for each in ends])
    fitted = PROFILES[scenario.host.profile].fitted
    pairs = zip(names, found[::2], found[1::2], strict=True)
    return [
        Swing(
            name,
            *MEANING[name][:3],
            name in fitted,
            quantities_of(low),
            quantities_of(high),
            (converges(low), converges(high)),
        )
        for name, low, high in pairs
    ]


def parts_of(moves: Mapping[str, Mapping[str, int]], least: Mapping[str, float]) -> dict[str, float]:
    """Compute each constant's share of the change of each quantity, and sum the shares over the quantities.

    So a constant that alone decides a migration's time ranks above one of many that each change the stall a little.

    Args:
        moves: name -> quantity -> change by the constant's range, ns.
        least: quantity -> changes up to this are ignored, ns.
    """
    parts = dict.fromkeys(moves, 0.0)
    for quantity in QUANTITIES:
        some = {name: each[quantity] for name, each in moves.items() if each[quantity] > least[quantity]}
        whole = sum(some.values())
        for name, moved in some.items():
            parts[name] += moved / whole
    return parts


def most_important(found: Sequence[Swing], before: Mapping[str, int]) -> tuple[Swing, ...]:
    """Select the constants that matter most, ranked by parts_of().

    Args:
        found: swings of all constants, from swings().
        before: QUANTITIES of the run with the given constants, ns.

    Returns:
        At most MOST swings, in descending order; constants that change nothing are left out, and those that alone
        decide whether the migration converges come first.
    """
    moves = {each.name: {key: width(each, key) for key in QUANTITIES} for each in found}
    parts = parts_of(moves, {key: AS_GOOD * before[key] for key in QUANTITIES})
    some = [each for each in found if parts[each.name] or is_decisive(each)]
    return tuple(sorted(some, key=lambda each: (not is_decisive(each), -parts[each.name]))[:MOST])


def is_decisive(swing: Swing) -> bool:
    """Whether the migration converges at one end of a constant's range and not at the other."""
    return swing.converges[0] != swing.converges[1]


def width(swing: Swing, quantity: str) -> int:
    """Return the change of a quantity by a constant's range, ns."""
    return abs(swing.at_high[quantity] - swing.at_low[quantity])


def corners(chosen: Sequence[Swing]) -> list[dict[str, int]]:
    """List the corners of the chosen constants' ranges: for each quantity, those expected to give its extremes.

    A quantity that none of them changes has none.

    Args:
        chosen: the constants that are varied.

    Returns:
        Values by name, each corner once.
    """
    found: list[dict[str, int]] = []
    for quantity in QUANTITIES:
        for greatest in (False, True) if any(width(each, quantity) for each in chosen) else ():
            corner = {
                each.name: each.high if (each.at_high[quantity] >= each.at_low[quantity]) == greatest else each.low
                for each in chosen
            }
            found += [corner] if corner and corner not in found else []
    return found


def span_of(scenario: Scenario, recording: Recording, run: Runs, part: Part | None = None) -> Span:
    """Compute the spread of a migration's results over the ranges of the constants that matter most.

    It runs each constant alone at both ends of its range, and the chosen ones together at the corners(). With a part,
    those of one constant alone have its memory, unless the corners differ in whether the migration converges: then the
    chosen constants are also run alone with all memory, to see which of them decides.

    Args:
        scenario: a migration.
        recording: its Recording, whose results are included.
        run: function that runs Scenarios.
        part: the same with less memory, by which the constants are chosen; None to choose them by runs with all memory.
    """
    if part is None:
        chosen = most_important(swings(scenario, run), quantities_of(recording))
    else:
        chosen = most_important(swings(part.scenario, run), quantities_of(run([part.scenario])[0]))
    together = [recording, *run([changed(scenario, each) for each in corners(chosen)])]
    parts = 1 if part is None else part.parts
    if parts > 1 and len({converges(each) for each in together}) > 1:
        chosen, parts = tuple(swings(scenario, run, [each.name for each in chosen])), 1
    alone = [] if parts > 1 else [ends for each in chosen for ends in (each.at_low, each.at_high)]
    answers = [*alone, *map(quantities_of, together)]
    # A guest that was never stopped has a downtime of 0, which does not count as a short downtime.
    values = {key: [each[key] for each in answers if each[key] or key != "downtime_ns"] or [0] for key in QUANTITIES}
    held = {converges(each) for each in together} | {end for each in chosen if parts == 1 for end in each.converges}
    return Span(
        chosen,
        {key: (min(each), max(each)) for key, each in values.items()},
        held.pop() if len(held) == 1 else None,
        1 if part is None else part.parts,
    )


def number_of_runs(scenario: Scenario) -> int:
    """Estimate the number of runs of span_of(): two per constant, and two of the corners."""
    return 2 * len(constants_of(scenario)) + 2


def number_of_corners(recording: Recording) -> int:
    """Return the most corners() of a migration: two for each quantity that it has."""
    return 2 * sum(1 for each in quantities_of(recording).values() if each)
