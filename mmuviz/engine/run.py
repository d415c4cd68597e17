"""Scenario -> Run: the driver's loop over the timed machine.

The order inside a step:

1. Of all vCPUs the one whose time is earliest goes on, the lowest number first where two are equal;
   the ioctl thread goes on when no vCPU is earlier.
2. A kick that it has not paid for yet is paid first.
3. Accesses that retire run on, unseen by others, up to the next event of the ioctl thread: in leaves that
   belong to one vCPU alone, and anywhere once no fault can split or zap a huge page any more. Nobody
   runs on while a kick may come, which is while there are huge pages that a fault would zap. One
   exception: after logging was disabled under running vCPUs, a fault that maps a huge page over a table
   kicks too; who ran on then pays at its next event.
4. A write that sets a dirty bit, and a fault that fast_page_fault() fixes, take no lock; in leaves that
   belong to one vCPU alone they run on as well.
5. Any other fault happens at its own time alone: exit; mmu_lock, at once or in its turn; the tables
   change when the lock is there; what changed in KVM's counters is what it costs; entry.
6. Who waits for mmu_lock has it in the order of asking.
7. The ioctl thread walks in steps, of 2 MiB while any vCPU runs; each changes the tables at its
   beginning and then takes its time.
8. An exit to userspace happens at the first access at or behind its time, under the program's big
   lock. Where the ioctl thread holds that, who exits meanwhile is served after the ioctl, in the order
   of exiting.
9. A vCPU whose ring is full waits for the ioctl thread, which harvests all rings, resets them under
   mmu_lock mask by mask, flushes once, and then lets it go on; what is in an ioctl comes to it later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mmuviz.costs.hosts import PROFILES
from mmuviz.engine import clock as layout
from mmuviz.engine.cost_table import PS_PER_NS, price_list
from mmuviz.engine.ioctls import TimedIoctls
from mmuviz.engine.scenario import Driver, Scenario
from mmuviz.engine.timed import LAST, Call, start_all
from mmuviz.ground.pages import SPTE_ENT_SHIFT
from mmuviz.mmu.state import I64, STAT_PF_TAKEN
from mmuviz.workloads import stream as program
from mmuviz.workloads.pattern import PS_PER_S
from mmuviz.workloads.sequential import Sequential

PS_PER_MS = 10**6 * PS_PER_NS


@dataclass(frozen=True)
class Pass:
    """One pass of all vCPUs.

    Attributes:
        name: populate, dirty, or before and after enabling.
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

    @property
    def accesses_per_s(self) -> float:
        """Guest progress, of all vCPUs together."""
        return self.accesses * PS_PER_S / self.took_ps if self.took_ps else 0.0


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
        self.machine = TimedIoctls(prices, slot, stream, record=scenario.record, big_lock=scenario.big_lock)
        self.machine.clock.at[layout.LEAF_SHIFT] = SPTE_ENT_SHIFT * (slot.backing.level - 1)
        self.host = host
        self.passes: list[Pass] = []
        self.streams = stream.copy()
        self.parts = Sequential().streams(slot.base_gfn, slot.pages, scenario.vm.vcpus)

    def populate(self) -> None:
        """Every page once, written, in order: dirty_log_perf_test's iteration 0."""
        clock, shared = self.machine.clock, self.scenario.workload.shared
        clock.stream[:] = self.parts
        clock.at[layout.EXCLUSIVE] = 1
        self.pass_("populate", 0)
        clock.stream[:] = self.streams
        clock.at[layout.EXCLUSIVE] = not shared

    def begin(self) -> None:
        """Start a pass."""
        machine, host = self.machine, self.host
        spins = machine.config.vcpus >= host["cpus"]
        machine.clock.at[layout.SHARED_UNTIL] = machine.time + host["share_ms"] * PS_PER_MS if spins else 0
        start_all(machine.clock, machine.time)

    def pass_(self, name: str, iteration: int) -> None:
        """One pass of all vCPUs, waited for."""
        with self.noted(name, iteration):
            self.begin()
            self.let_run()
            self.machine.time = max(self.machine.time, int(self.machine.clock.now.max()))

    def let_run(self) -> None:
        """Until the pass is over; a reaper that comes by itself does so meanwhile."""
        machine, period = self.machine, self.scenario.reap_ms * PS_PER_MS
        while period and machine.config.dirty_log_mode.ring and not machine.quiet:
            until = machine.time + period
            machine.let_run(until)
            if not machine.quiet:
                machine.time = max(machine.time, until)
                machine.reap()
        machine.let_run(LAST)

    @contextmanager
    def noted(self, name: str, iteration: int) -> Iterator[None]:
        """Note what the guest does meanwhile as a pass.

        Args:
            name: see Pass.
            iteration: see Pass.

        Yields:
            Nothing.
        """
        machine = self.machine

        def figures() -> list[int]:
            clock = machine.clock
            stat = machine.state.stat
            return [int(clock.at[layout.RETIRED_ALL]), int(stat[STAT_PF_TAKEN]), int(clock.stall.sum())]

        start, before = machine.time, figures()
        yield
        did = [after - was for after, was in zip(figures(), before, strict=True)]
        self.passes.append(Pass(name, iteration, start, machine.time, *did))

    def wait(self, took_ps: int) -> None:
        """The guest goes on for a time."""
        until = self.machine.time + took_ps
        self.machine.let_run(until)
        self.machine.time = max(self.machine.time, until)

    def run_on(self) -> None:
        """The guest goes on and on with its workload."""
        if self.streams[:, program.ACCESSES].any():
            self.machine.clock.stream[:, program.ACCESSES] = layout.FOREVER
            self.begin()

    def enable_only(self) -> None:
        """Populate, and enable logging, before and after which the guest may run for a while."""
        scenario, machine = self.scenario, self.machine
        self.populate()
        if scenario.lead_ms or scenario.tail_ms:
            self.run_on()
        with self.noted("before", 0):
            self.wait(scenario.lead_ms * PS_PER_MS)
        machine.enable()
        with self.noted("after", 1):
            self.wait(scenario.tail_ms * PS_PER_MS)
        machine.halt()

    def without_logging(self) -> None:
        """The passes of dirty_log_perf_test alone: what logging is compared with."""
        self.populate()
        for iteration in range(1, self.scenario.iterations + 1):
            self.pass_("dirty", iteration)

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
            self.run_on()
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
    drivers = {
        Driver.DIRTY_LOG_PERF_TEST: loop.dirty_log_perf_test,
        Driver.PRE_SPLIT: loop.pre_split,
        Driver.ENABLE_ONLY: loop.enable_only,
        Driver.WITHOUT_LOGGING: loop.without_logging,
    }
    drivers[scenario.driver]()
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
