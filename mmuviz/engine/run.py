"""Scenario -> Run: the driver's loop over the timed machine.

The order inside a step:

1. Of all vCPUs the one whose time is earliest goes on, the lowest number first where two are equal;
   the ioctl thread goes on when no vCPU is earlier.
2. A kick that it has not paid for yet is paid first.
3. Accesses that retire run on, unseen by others: up to the next event of the ioctl thread, or of any
   vCPU where faults zap and vCPUs share memory.
4. A write that sets a dirty bit, and a fault that fast_page_fault() fixes, take no lock; where vCPUs
   do not share memory they run on as well.
5. Any other fault happens at its own time alone: exit; mmu_lock, at once or in its turn; the tables
   change when the lock is there; what changed in KVM's counters is what it costs; entry.
6. Who waits for mmu_lock has it in the order of asking.
7. The ioctl thread walks in steps, of 2 MiB while any vCPU runs; each changes the tables at its
   beginning and then takes its time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.ioctls import TimedIoctls
from mmuviz.engine.prices import PS_PER_NS, price_list
from mmuviz.engine.scenario import Driver, Scenario
from mmuviz.engine.timed import LAST, Call, start_all
from mmuviz.mmu.state import I64, STAT_PF_TAKEN
from mmuviz.workloads import stream as program
from mmuviz.workloads.sequential import Sequential


@dataclass(frozen=True)
class Pass:
    """One pass of all vCPUs.

    Attributes:
        name: populate or dirty.
        iteration: of the driver's loop; 0 for populate.
        start_ps: when they all begin.
        end_ps: when the last one is done.
        accesses: that retired.
        faults: page faults taken.
        stall_ps: of all vCPUs together.
    """

    name: str
    iteration: int
    start_ps: int
    end_ps: int
    accesses: int
    faults: int
    stall_ps: int

    @property
    def took_ps(self) -> int:
        """From the first to the last."""
        return self.end_ps - self.start_ps


@dataclass(frozen=True)
class Run:
    """What a Scenario did.

    Attributes:
        scenario: what was run.
        machine: as it stands at the end.
        calls: ioctls in order.
        passes: of the guest in order.
        end_ps: simulated time in all.
    """

    scenario: Scenario
    machine: TimedIoctls
    calls: tuple[Call, ...]
    passes: tuple[Pass, ...]
    end_ps: int


class _Loop:
    """A driver under way."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        host = PROFILES[scenario.host]
        prices = price_list(scenario.vm, host, tlb=scenario.tlb_reach)
        slot, workload = scenario.memslot, scenario.workload
        stream = workload.streams(slot.base_gfn, slot.pages, scenario.vm.vcpus)
        self.machine = TimedIoctls(prices, slot, stream, record=scenario.record)
        self.machine.clock.at[layout.EXCLUSIVE] = not workload.shared
        self.host = host
        self.passes: list[Pass] = []
        self.streams = stream.copy()
        self.parts = Sequential().streams(slot.base_gfn, slot.pages, scenario.vm.vcpus)

    def populate(self) -> None:
        """Every page once, written, in order: dirty_log_perf_test's iteration 0."""
        self.machine.clock.stream[:] = self.parts
        self.pass_("populate", 0)
        self.machine.clock.stream[:] = self.streams

    def begin(self) -> None:
        """Start a pass."""
        machine, host = self.machine, self.host
        spins = machine.config.vcpus >= host["cpus"]
        machine.clock.at[layout.SHARED_UNTIL] = machine.time + host["share_ms"] * 10**6 * PS_PER_NS if spins else 0
        start_all(machine.clock, machine.time)

    def pass_(self, name: str, iteration: int) -> None:
        """One pass of all vCPUs, waited for."""
        machine = self.machine
        start, stat = machine.time, machine.state.stat
        faults = int(stat[STAT_PF_TAKEN])
        retired = int(machine.clock.at[layout.RETIRED_ALL])
        stall = int(machine.clock.stall.sum())
        self.begin()
        machine.run_until(LAST)
        machine.time = max(start, int(machine.clock.now.max()))
        self.passes.append(
            Pass(
                name,
                iteration,
                start,
                machine.time,
                int(machine.clock.at[layout.RETIRED_ALL]) - retired,
                int(stat[STAT_PF_TAKEN]) - faults,
                int(machine.clock.stall.sum()) - stall,
            )
        )

    def pre_split(self) -> None:
        """Populate, split every page by faulting, enable, and rounds of writes."""
        self.populate()
        self.machine.pre_split()
        self.machine.enable()
        for iteration in range(1, self.scenario.iterations + 1):
            self.machine.iteration = iteration
            self.pass_("dirty", iteration)

    def round(self) -> None:
        """Userspace learns of the dirty pages and has them armed again."""
        mode = self.scenario.vm.dirty_log_mode
        if mode.ring:
            self.machine.reap()
            return
        bits = self.machine.get()
        if mode.manual:
            self.machine.clear(0, bits)

    def dirty_log_perf_test(self) -> None:
        """Populate, enable, rounds of dirty, GET and CLEAR, disable."""
        machine = self.machine
        self.populate()
        machine.enable()
        for iteration in range(1, self.scenario.iterations + 1):
            machine.iteration = iteration
            self.pass_("dirty", iteration)
            self.round()
        if self.scenario.runs_while_disabling:
            machine.clock.stream[:, program.ACCESSES] = layout.FOREVER
            self.begin()
        machine.disable()
        machine.halt()


def simulate(scenario: Scenario) -> Run:
    """Run a Scenario.

    Args:
        scenario: what to run.

    Returns:
        The Run; the same Scenario gives the same.
    """
    loop = _Loop(scenario)
    if scenario.driver is Driver.DIRTY_LOG_PERF_TEST:
        loop.dirty_log_perf_test()
    elif scenario.driver is Driver.PRE_SPLIT:
        loop.pre_split()
    else:
        loop.populate()
        loop.machine.enable()
    machine = loop.machine
    return Run(scenario, machine, tuple(machine.calls), tuple(loop.passes), machine.time)


def stall_quantile(hist: I64, share: float) -> int:
    """The upper edge of the bucket that a share of all stalls does not exceed, ps."""
    total = int(hist.sum())
    if total == 0:
        return 0
    at = int(np.searchsorted(np.cumsum(hist), share * total))
    return bucket_end(at)


def bucket_end(bucket: int) -> int:
    """The longest stall that falls in a bucket, ps: see clock.bucket_of()."""
    octave = 1 << layout.SUB_BITS
    if bucket < 2 * octave:
        return bucket
    exponent = (bucket >> layout.SUB_BITS) - 1
    return ((octave + (bucket & (octave - 1)) + 1) << exponent) - 1
