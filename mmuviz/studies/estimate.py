"""Estimates of a run's time and memory before it starts, by simple arithmetic from its Scenario; and limits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from mmuviz.core.errors import InputError
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_2M, pages_per_hpage
from mmuviz.engine.choices.memory import MemslotChoices
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import size_text
from mmuviz.engine.choices.workload import TraceWorkload
from mmuviz.engine.cost_table import PS_PER_NS, cost_table
from mmuviz.engine.drivers.calc_dirty_rate import CalcDirtyRate
from mmuviz.engine.drivers.dirty_log_perf_test import DirtyLogPerfTest
from mmuviz.engine.drivers.enable_only import EnableOnly
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.drivers.live_rounds import LiveRounds
from mmuviz.engine.drivers.migrates import Migrates
from mmuviz.engine.drivers.pre_split import PreSplit
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.engine.drivers.without_logging import WithoutLogging
from mmuviz.engine.trace_file import facts_of
from mmuviz.mmu import work
from mmuviz.mmu.config import Backing
from mmuviz.workloads.pattern import PS_PER_S, Pattern

NS_AN_ACCESS: Final = 12
"""Time to simulate one hit. `make bench` on two cores of an AMD EPYC gives 0.5 ns in order to 13 ns at random."""
NS_A_FAULT: Final = 60
"""Time to simulate one fault. `make bench` gives 2 ns in order, 70 ns at random over 1.5 TiB, 45 ns with 96 vCPUs."""
PS_A_PAGE: Final = 1500
"""Time to simulate one page of an ioctl that splits and protects it. `make bench` gives 0.6 s for 1.5 TiB."""
NS_A_CHUNK: Final = 200_000
"""Time to simulate that QEMU sends one chunk of x-clear-bitmap-shift, in Python: migrations of 32 GiB took 240 us on a
busy machine of two cores."""
NS_A_CLEAR: Final = 400_000
"""Time to simulate the CLEAR of such a chunk: with 4 and 96 vCPUs the same migrations took 400 to 700 us more."""
NS_A_RING_ENTRY: Final = 1000
"""Time to simulate one entry of a dirty ring: migrations of 32 and 384 GiB took 1.3 to 2.2 us, and had less than half
of the entries that PASSES allows."""
BYTES_A_PAGE: Final = 2.15
"""Memory of the simulating host for one page of a memslot: its entry, its bit, its host page."""
BYTES_IN_A_HUGE_PAGE: Final = 1.15
"""The same if the host maps huge pages; `make bench` gives 1.13 for 1.5 TiB, and 1.12 for 12 TiB that are split."""
BYTES_AT_LEAST: Final = 300 << 20
"""Memory of the interpreter, the compiled code and a Recording: a run of 1 GiB peaks at 250 MiB."""
BYTES_A_VCPU: Final = 64 << 10
"""Assumption: bytes of a vCPU's columns, its ring and its part of the bins."""
PASSES: Final = 3
"""Assumption: number of times a migration sends all of memory; one that does not converge may take longer."""
MOST_SECONDS: Final = 120
"""Limit of time for a run without another limit, s."""
MOST_BYTES: Final = 4 << 30
"""The same for host memory, bytes."""
NS_PER_S: Final = 10**9
GIB: Final = 1 << 30


class RunCost(NamedTuple):
    """Estimated cost of a run.

    Attributes:
        accesses: accesses of the guest, upper bound.
        faults: faults of the guest, upper bound.
        memory_bytes: memory of the simulating host.
        seconds: time on one core.
        end_ns: simulated time from the clock's start to the end, if the guest's workload is endless; else 0.
    """

    accesses: int
    faults: int
    memory_bytes: int
    seconds: float
    end_ns: int = 0

    @property
    def description(self) -> str:
        """The estimate as a sentence."""
        return (
            f"about {self.accesses:.2g} accesses, at most {self.faults:.2g} faults, "
            f"{self.memory_bytes / GIB:.1f} GiB of memory and {self.seconds:.3g} s"
        )


class RunEstimate(Protocol):
    """The fields of an estimate that share_done() needs: those of a RunCost, or of a run in a queue."""

    @property
    def accesses(self) -> int:
        """Accesses of the guest, upper bound."""

    @property
    def end_ns(self) -> int:
        """Simulated time of the run, ns, or 0."""


def share_done(estimate: RunEstimate, time_ns: int, accesses: int) -> float:
    """Compute the share of a run that is done, 0 to 1: by time if that is estimated, otherwise by accesses.

    Args:
        estimate: estimate of the whole run.
        time_ns: time simulated so far, ns.
        accesses: accesses of the guest so far.
    """
    done, all_ = (time_ns, estimate.end_ns) if estimate.end_ns else (accesses, estimate.accesses)
    return min(done / all_, 1.0) if all_ else 0.0


def cost_of(scenario: Scenario) -> RunCost:
    """Estimate a run.

    Args:
        scenario: the input of the run.

    Returns:
        Accesses and faults as upper bounds, memory and time estimated from them.
    """
    if isinstance(scenario.driver, ListedOps):
        return _listed(scenario)
    pages = sum(slot.pages for slot in scenario.memory)
    populate = sum(slot.pages for slot in scenario.ram)
    end_ns = _end_ns(scenario)
    running = _accesses(scenario, end_ns)
    walks, arms = _walks_and_arms(scenario)
    faults = _leaves(scenario.ram) + min(running, populate * arms)
    seconds = ((populate + running) * NS_AN_ACCESS + faults * NS_A_FAULT) / NS_PER_S
    seconds += pages * walks * PS_A_PAGE / PS_PER_S + _qemu_seconds(scenario, min(running, populate * arms))
    return RunCost(
        accesses=populate + running,
        faults=faults,
        memory_bytes=BYTES_AT_LEAST + _page_bytes(scenario) + scenario.vm.vcpus * BYTES_A_VCPU,
        seconds=round(seconds, 3),
        end_ns=end_ns,
    )


def _qemu_seconds(scenario: Scenario, dirtied: int) -> float:
    """Estimate the time to simulate QEMU's own work in a migration, s.

    Args:
        scenario: the input of the run.
        dirtied: how often a page is newly dirty, upper bound.
    """
    driver, mode = scenario.driver, scenario.vm.dirty_log_mode
    if not isinstance(driver, QemuPrecopy):
        return 0.0
    chunks = sum(-(-slot.pages >> driver.clear_bitmap_shift) for slot in scenario.memory if slot.logged)
    each_ns = NS_A_CHUNK + (NS_A_CLEAR if mode.manual and not mode.ring else 0)
    entries_ns = dirtied * NS_A_RING_ENTRY if mode.ring else 0
    return (PASSES * chunks * each_ns + entries_ns) / NS_PER_S


def _page_bytes(scenario: Scenario) -> int:
    """Return the memory of the simulating host for all pages of the guest, bytes."""
    small = sum(slot.pages for slot in scenario.memory if slot.backing.level == 1)
    huge = sum(slot.pages for slot in scenario.memory) - small
    return round(small * BYTES_A_PAGE + huge * BYTES_IN_A_HUGE_PAGE)


class Ioctls(NamedTuple):
    """Estimated times of the ioctls, ns, from the cost of the work that they always do.

    Attributes:
        enable: time to enable logging of all memslots.
        each_round: time of a GET and its CLEARs of all pages.
        disable: time to disable logging of all memslots.
    """

    enable: int
    each_round: int
    disable: int


def ioctls_of(scenario: Scenario) -> Ioctls:
    """Compute the time of the ioctls, as if every page were dirty in every round."""
    config, logged = scenario.vm.config(), [slot for slot in scenario.memory if slot.logged]
    costs = cost_table(config, scenario.host.values(), scenario.host.instructions())
    pages = sum(slot.pages for slot in logged)
    huge = sum(slot.pages for slot in logged if slot.backing is not Backing.PAGES_4K)
    split_ps = huge // PAGES_PER_2M * costs.step(work.WORK_SPLIT_ENABLE_2M) if scenario.vm.splits_eagerly else 0
    small = pages if scenario.vm.splits_eagerly else pages - huge
    mode = config.dirty_log_mode
    word, page = (
        (work.WORK_CLEAR_WORD, work.WORK_CLEAR_PAGE) if mode.manual else (work.WORK_GET_WORD, work.WORK_GET_PAGE)
    )
    round_ps = pages * costs.step(page) + pages // BITS_PER_LONG * costs.step(word)
    enable_ps = split_ps + small * costs.step(work.WORK_PROTECT_4K)
    if mode.initially_set:
        enable_ps, round_ps = 0, round_ps + split_ps
    return Ioctls(enable_ps // PS_PER_NS, 0 if mode.ring else round_ps // PS_PER_NS, split_ps // PS_PER_NS)


def _end_ns(scenario: Scenario) -> int:
    """Return the simulated end of an endless workload, ns; 0 for other workloads."""
    driver = scenario.driver
    if isinstance(driver, EnableOnly):
        return int(driver.lead + ioctls_of(scenario).enable + driver.tail)
    if isinstance(driver, LiveRounds):
        took = ioctls_of(scenario)
        rounds = driver.rounds * max(driver.interval, took.each_round)
        return int(driver.lead + took.enable + rounds + driver.tail + (took.disable if driver.disable else 0))
    if isinstance(driver, Migrates):
        return int(driver.lead + migration_ns(scenario, driver))
    if isinstance(driver, CalcDirtyRate):
        took = ioctls_of(scenario)
        return int(driver.lead + took.enable + took.each_round + driver.calc_time + took.disable)
    return int(driver.duration) if isinstance(driver, WithoutLogging) else 0


def migration_ns(scenario: Scenario, driver: Migrates) -> int:
    """Estimate the length of a migration, ns."""
    sent = (
        sum(slot.size for slot in scenario.memory if slot.logged)
        * NS_PER_S
        // min(getattr(driver, "bandwidth", driver.link), driver.link)
    )
    if isinstance(driver, QemuPrecopy):
        first = min(driver.longest, driver.cancel_at or driver.longest, PASSES * sent)
        again = driver.restart_after + min(driver.longest, PASSES * sent) if driver.restart_after else 0
        return first + again
    return PASSES * sent


def _leaves(ram: tuple[MemslotChoices, ...]) -> int:
    """Return the number of faults that map the guest before logging is enabled."""
    return sum(-(-slot.pages // pages_per_hpage(slot.backing.level)) for slot in ram)


def _accesses(scenario: Scenario, lasts_ns: int) -> int:
    """Return an upper bound of the accesses after the guest is mapped; `lasts_ns`: duration of an endless workload."""
    vcpus, driver = scenario.vm.vcpus, scenario.driver
    if isinstance(driver, DirtyLogPerfTest | PreSplit) or (isinstance(driver, WithoutLogging) and driver.iterations):
        return _pass(scenario, scenario.workload.pattern_of()) * driver.iterations
    if not isinstance(driver, EnableOnly | LiveRounds | WithoutLogging | Migrates | CalcDirtyRate):
        return 0
    if isinstance(scenario.workload, TraceWorkload):
        return facts_of(
            Path(scenario.workload.file), vcpus, [(each.base_gfn, each.pages) for each in scenario.ram]
        ).accesses
    parts = scenario.timeline()
    found, cycle_ns = 0, sum(duration_ns for _, duration_ns in parts)
    if scenario.repeats:
        cycle = sum(vcpus * duration_ns * _rate(scenario, pattern) // NS_PER_S for pattern, duration_ns in parts)
        found, lasts_ns = lasts_ns // cycle_ns * cycle, lasts_ns % cycle_ns
    for pattern, duration_ns in parts:
        part_ns = min(duration_ns, lasts_ns) if duration_ns else lasts_ns
        found += vcpus * part_ns * _rate(scenario, pattern) // NS_PER_S
        lasts_ns -= part_ns
    return found


def _pass(scenario: Scenario, pattern: Pattern) -> int:
    pages, vcpus = scenario.ram_pages, scenario.vm.vcpus
    return vcpus * pattern.accesses(pages if pattern.shared else -(-pages // vcpus))


def _rate(scenario: Scenario, pattern: Pattern) -> int:
    """Return the accesses per second and vCPU: the workload's rate, or that of accesses without pauses."""
    if not pattern.accesses(scenario.ram_pages):
        return 0
    fastest = NS_PER_S // max(scenario.host.values()["read_ns"], 1)
    return min(pattern.rate_hz, fastest) if pattern.rate_hz else fastest


def _walks_and_arms(scenario: Scenario) -> tuple[int, int]:
    """Return the number of ioctl walks over all pages, and the most faults of one page caused by arming it."""
    driver = scenario.driver
    if isinstance(driver, EnableOnly):
        return 1, 1
    if isinstance(driver, WithoutLogging):
        return 0, 0
    if isinstance(driver, Migrates):
        return 2 + 2 * PASSES, 1 + PASSES
    if isinstance(driver, CalcDirtyRate):
        return 2 + 2, 2
    rounds = driver.rounds if isinstance(driver, LiveRounds) else getattr(driver, "iterations", 0)
    pre_split = 1 if isinstance(driver, PreSplit) else 0
    return 2 + 2 * rounds + pre_split, 1 + rounds


def _listed(scenario: Scenario) -> RunCost:
    accesses = pages = 0
    for op in scenario.ops():
        listed = op.get("pages")
        if op["op"] == "slot":
            pages += int(listed) if isinstance(listed, int) else 0
        elif isinstance(listed, list):
            accesses += len(listed)
        elif isinstance(listed, dict):
            accesses += int(listed["count"])
        elif op["op"] == "parallel_write":
            accesses += op["count"] * (scenario.vm.vcpus if op["how"] == "same" else 1)
    seconds = accesses * (NS_AN_ACCESS + NS_A_FAULT) / NS_PER_S + len(scenario.ops()) * pages * PS_A_PAGE / PS_PER_S
    return RunCost(accesses, accesses, BYTES_AT_LEAST + round(pages * BYTES_A_PAGE), round(seconds, 3))


def check_cost(scenario: Scenario, *, most_seconds: float = MOST_SECONDS, most_bytes: int = MOST_BYTES) -> RunCost:
    """Refuse a run that takes too long or too much memory.

    Args:
        scenario: the input of the run.
        most_seconds: limit of time, s.
        most_bytes: limit of the simulating host's memory, bytes.

    Returns:
        The estimate.

    Raises:
        InputError: the estimate is over a limit.
    """
    cost = cost_of(scenario)
    limits = (
        (cost.seconds > most_seconds, f"{most_seconds:g} s", f"--limit-seconds {math.ceil(cost.seconds)}"),
        (
            cost.memory_bytes > most_bytes,
            f"{size_text(most_bytes)} of memory",
            f"--limit-memory {math.ceil(cost.memory_bytes / GIB)}GiB",
        ),
    )
    raised = " ".join(option for over, _, option in limits if over)
    for over, limit, _ in limits:
        if over:
            raise InputError(
                f"the run needs {cost.description}, over the limit of {limit}; give less memory, a shorter time or a "
                f"lower rate_hz, or raise the limit: {raised}"
            )
    return cost
