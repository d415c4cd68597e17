"""How sure a migration's answer is: the constants of the host that matter most, and what their ranges make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmuviz.costs.hosts import MEANING, PROFILES
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.cost_table import CostTable, cost_table
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges
from mmuviz.studies.overrides import overridden

MOST: Final = 3
"""Constants whose ranges are taken."""
UNITS: Final = ("ps", "ns", "ms", "percent")
"""Of constants that are times or shares of time; how many CPUs a host has is known of it."""
DIRECT: Final = ("zero_check_ns", "send_page_ns", "zero_page_ns", "postcopy_ns", "multifd_page_ns", "miss_ps")
"""Constants that stand in no cost table: a page sent costs them, or a walk that leaves the cache."""
AS_GOOD: Final = 0.01
"""What moves a quantity by less than this share of it does not matter: windows of 100 ms alone do that."""
QUANTITIES: Final = ("total_ns", "downtime_ns", "stall_ns")
Runs = Callable[[Sequence[Scenario]], Sequence[Recording]]


@dataclass(frozen=True)
class Swing:
    """One constant, and what its range alone makes of the answer.

    Attributes:
        name: of the constant, see `mmuviz costs`.
        unit: of its value.
        low: the least plausible value.
        high: the greatest.
        fitted: it was fitted to measurements of the host; else it is a fact or an assumption.
        at_low: QUANTITIES at `low`, ns.
        at_high: the same at `high`.
    """

    name: str
    unit: str
    low: int
    high: int
    fitted: bool
    at_low: Mapping[str, int]
    at_high: Mapping[str, int]


@dataclass(frozen=True)
class Span:
    """What a migration takes over the ranges of its constants.

    Attributes:
        constants: those that matter most, the first most.
        quantities: QUANTITIES -> the least and the greatest of all that were run, ns.
        converges: whether it does as it stands and with all of them at either end, never (False), or in some (None).
    """

    constants: tuple[Swing, ...]
    quantities: Mapping[str, tuple[int, int]]
    converges: bool | None


def quantities_of(recording: Recording) -> dict[str, int]:
    """QUANTITIES of a run, ns."""
    totals = recording.totals
    took = totals["migration"]
    return {
        "total_ns": int(took["total_ns"]),
        "downtime_ns": int(took["downtime_ns"]),
        "stall_ns": int(totals["stall_total_ns"]),
    }


def constants_of(scenario: Scenario) -> list[str]:
    """Constants that may change a migration at all: those that change a price of this VM, and what sending costs."""
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
    """Constants of what a VM has not, or never does."""
    vm, profile = scenario.vm, scenario.host.values()
    patterns = [timed.pattern for timed in scenario.timeline()]
    has = {
        ("tlbi_ns", "local_tlbi_ns"): vm.vendor == "arm64",
        ("rmap_head_ps", "rmap_arm_ps", "rmap_add_ps", "rmap_busy_percent"): vm.mmu not in ("tdp", "stage2"),
        ("spin_percent",): vm.vcpus >= profile["cores"],
        ("userspace_ns",): vm.dirty_log_mode.ring or any(each.exit_rate_hz for each in patterns),
        ("recover_ns",): vm.config().kernel.recovers_huge_pages_in_place,
        ("zero_ps",): not all(slot.host_populated for slot in scenario.memory),
    }
    return {name for names, used in has.items() if not used for name in names}


def same_prices(one: CostTable, other: CostTable) -> bool:
    """Whether two cost tables have the same prices."""
    arrays = ((each.guest, each.steps, each.with_spinner, each.slowdown_1024) for each in (one, other))
    return all(np.array_equal(*pair) for pair in zip(*arrays, strict=True))


def changed(scenario: Scenario, constants: Mapping[str, int]) -> Scenario:
    """A Scenario with other constants of its host."""
    overrides: dict[str, Any] = {f"host.overrides.{name}": value for name, value in constants.items()}
    return Scenario.model_validate(overridden(scenario.given(), overrides)) if overrides else scenario


def swings(scenario: Scenario, run: Runs) -> list[Swing]:
    """One constant at a time: each at both ends of its range, all others as they are.

    Args:
        scenario: a migration.
        run: runs Scenarios.

    Returns:
        A Swing a constant, in the order of the ledger.
    """
    names = constants_of(scenario)
    ends = [{name: end} for name in names for end in MEANING[name][1:3]]
    found = [quantities_of(each) for each in run([changed(scenario, each) for each in ends])]
    fitted = PROFILES[scenario.host.profile].fitted
    return [
        Swing(name, *MEANING[name][:3], name in fitted, found[2 * at], found[2 * at + 1])
        for at, name in enumerate(names)
    ]


def parts_of(moves: Mapping[str, Mapping[str, int]], least: Mapping[str, float]) -> dict[str, float]:
    """Each constant's part of what all of them move of each quantity, summed up over the quantities.

    So one that decides the whole migration's time comes before one of many that each change the stall a little.

    Args:
        moves: name -> quantity -> by how much it moves it, ns.
        least: quantity -> what is no more than this does not matter, ns.
    """
    parts = dict.fromkeys(moves, 0.0)
    for quantity in QUANTITIES:
        some = {name: each[quantity] for name, each in moves.items() if each[quantity] > least[quantity]}
        whole = sum(some.values())
        for name, moved in some.items():
            parts[name] += moved / whole
    return parts


def most_important(found: Sequence[Swing], before: Mapping[str, int]) -> tuple[Swing, ...]:
    """The constants that matter most: see parts_of().

    Args:
        found: from swings().
        before: quantities of the run itself, ns.

    Returns:
        At most MOST, the first most; those that change nothing are left out.
    """
    moves = {each.name: {key: width(each, key) for key in QUANTITIES} for each in found}
    parts = parts_of(moves, {key: AS_GOOD * before[key] for key in QUANTITIES})
    return tuple(sorted((each for each in found if parts[each.name]), key=lambda each: -parts[each.name])[:MOST])


def width(swing: Swing, quantity: str) -> int:
    """How far a constant's range alone moves a quantity, ns."""
    return abs(swing.at_high[quantity] - swing.at_low[quantity])


def corners(chosen: Sequence[Swing]) -> list[dict[str, int]]:
    """All of the chosen constants at those ends that make a quantity least, and at those that make it greatest.

    Args:
        chosen: the constants; others stay as they are.

    Returns:
        Values by name, each corner once.
    """
    found: list[dict[str, int]] = []
    for quantity in QUANTITIES:
        for greatest in (False, True):
            corner = {
                each.name: each.high if (each.at_high[quantity] >= each.at_low[quantity]) == greatest else each.low
                for each in chosen
            }
            found += [corner] if corner and corner not in found else []
    return found


def span_of(scenario: Scenario, recording: Recording, run: Runs) -> Span:
    """What a migration takes over the ranges of the constants that matter most to it.

    Each of them alone at both ends, and all of them together at those ends that make a quantity least or greatest.

    Args:
        scenario: a migration.
        recording: its run, which counts too.
        run: runs Scenarios.
    """
    before = quantities_of(recording)
    chosen = most_important(swings(scenario, run), before)
    together = run([changed(scenario, each) for each in corners(chosen)])
    alone = [ends for each in chosen for ends in (each.at_low, each.at_high)]
    answers = [before, *alone, *map(quantities_of, together)]
    # A guest that was never stopped had no downtime, which is not a short one.
    values = {key: [each[key] for each in answers if each[key] or key != "downtime_ns"] or [0] for key in QUANTITIES}
    held = {converges(each) for each in (recording, *together)}
    return Span(
        chosen,
        {key: (min(each), max(each)) for key, each in values.items()},
        held.pop() if len(held) == 1 else None,
    )


def number_of_runs(scenario: Scenario) -> int:
    """How many further runs a range takes, about: two a constant, and two of all together."""
    return 2 * len(constants_of(scenario)) + 2
