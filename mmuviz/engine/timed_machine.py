"""A VM under a clock: its vCPUs, mmu_lock, and the thread that calls ioctls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.account import charge_rarely, spread, spread_column, widen_bins
from mmuviz.engine.clock import FOREVER, Clock, push
from mmuviz.engine.cost_table import PS_PER_NS, CostTable
from mmuviz.engine.ioctl_cost import Meter, step_ps
from mmuviz.engine.lock import enqueue, grant_next, open_to_readers, open_to_writers
from mmuviz.engine.vcpu import LOG_LOW, STOPPED_RING, ZAP_OTHERS, run_guests
from mmuviz.ground.compiled import compiled
from mmuviz.ground.pages import PAGES_PER_1G, PAGES_PER_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.dirty_ring import flush_pml_buffer
from mmuviz.mmu.locks import Lock, Path, lock_of
from mmuviz.mmu.state import USERSPACE, MmuState
from mmuviz.mmu.vm import Vm
from mmuviz.workloads import stream as program

LAST: Final = FOREVER - 1
"""As a time to run to: until the pass is over, or whatever is waited for has come."""


@compiled
def request_mmu_lock(clock: Clock, time: int, reads: int) -> int:
    """The ioctl thread asks for mmu_lock; 1 where it has it at once."""
    if open_to_readers(clock, time) if reads else open_to_writers(clock, time):
        return 1
    clock.regs[layout.VMM_WAITS] = 1
    enqueue(clock, clock.now.shape[0], reads)
    grant_next(clock)
    return 0


@compiled
def release_mmu_lock(clock: Clock, time: int, reads: int) -> None:
    """The ioctl thread gives mmu_lock back."""
    if reads:
        clock.regs[layout.VMM_READS] = 0
        clock.regs[layout.READERS_END] = max(clock.regs[layout.READERS_END], time)
    else:
        clock.regs[layout.FREE_AT] = time
    grant_next(clock)


@compiled
def start_all(clock: Clock, time: int) -> None:
    """All vCPUs begin a pass at a time."""
    clock.regs[layout.HEAP_SIZE] = 0
    clock.regs[layout.RUNNING_VCPUS] = clock.now.shape[0]
    enters = time + clock.price[layout.ENTER]
    for vcpu in range(clock.now.shape[0]):
        since = clock.idle_since[vcpu]
        if since < enters:
            idle = (-1, vcpu, layout.LANE_IDLE)
            spread(clock.series, clock.lanes, clock.regs, idle, since, enters - since)
        clock.idle_since[vcpu] = FOREVER
        clock.now[vcpu] = clock.in_kernel_until[vcpu] = enters
        clock.phase[vcpu] = layout.RUNNING
        clock.stream[vcpu, program.POSITION] = 0
        clock.stream[vcpu, program.PASS] += 1
        period = clock.stream[vcpu, program.EXIT_PERIOD]
        clock.exit_at[vcpu] = time + period * (vcpu + 1) // clock.now.shape[0] if period else FOREVER
        push(clock.heap, clock.now, clock.regs, vcpu)


@compiled
def resume_after_ring_full(clock: Clock, vcpu: int, time: int) -> None:
    """A vCPU whose ring was full goes on; how long it stood is its stall."""
    enters = time + clock.price[layout.ENTER]
    charge_rarely(clock, vcpu, layout.RING, clock.now[vcpu], enters - clock.now[vcpu], 0)
    clock.now[vcpu] = clock.in_kernel_until[vcpu] = enters
    clock.phase[vcpu] = layout.RUNNING
    push(clock.heap, clock.now, clock.regs, vcpu)


class TimedMachine:
    """A Vm whose guest runs, and whose ioctls take their time, on one clock.

    It changes nothing of what the Vm does; it only lets time pass between the Vm's own steps.

    Attributes:
        vm: the VM.
        costs: of its configuration on a host.
        meter: the work of the thread that calls ioctls.
        clock: of the vCPUs.
        time: of the thread that calls ioctls, ps.
        wait_ps: how long that thread waited for locks; `longest_hold_ps` the longest that it held mmu_lock.
        stops: asked for the next time at which somebody wants to look, and told when it has come; a stop changes
            nothing of the run.
    """

    def __init__(self, vm: Vm, costs: CostTable, clock: Clock) -> None:
        """Put a VM under a clock that stands at 0.

        Args:
            vm: the VM.
            costs: of its configuration on a host.
            clock: see new_clock().
        """
        self.vm = vm
        self.costs = costs
        self.clock = clock
        self.time = 0
        self.wait_ps = 0
        self.longest_hold_ps = 0
        self.meter = Meter(vm.state.work)
        self.next_stop: Callable[[], int] = lambda: FOREVER
        self.at_stop: Callable[[int], None] = lambda _: None
        self._held: Lock = Lock.NONE
        self._since = 0
        config = vm.config
        tables = vm.guest_tables
        clock.regs[layout.WRITE_LOCKS] = lock_of(self.fault_path, config) is Lock.WRITE
        clock.regs[layout.FAULT_ZAPS] = not (tables.conf[mmu.CONF_FAULT_SPLITS] and tables.conf[mmu.CONF_TDP_MMU])

    @property
    def fault_path(self) -> Path:
        """Whose tables the vCPUs fault on."""
        return Path.L2_FAULT if self.vm.config.mmu is Mmu.NESTED else Path.FAULT

    @property
    def guest_tables(self) -> MmuState:
        """The tables that the vCPUs run on: an L2's, if there is one."""
        return self.vm.guest_tables

    @property
    def quiet(self) -> bool:
        """Whether no vCPU runs or waits."""
        return not self.clock.regs[layout.RUNNING_VCPUS]

    def unit(self) -> int:
        """Pages of a step of an ioctl: 2 MiB while vCPUs run, else 1 GiB."""
        return PAGES_PER_1G if self.quiet else PAGES_PER_2M

    # Time

    def reset_clock(self) -> None:
        """Forget all time so far: the clock stands at 0 again, and no vCPU runs."""
        old, self.time = self.clock, 0
        shift = int(old.regs[layout.BIN_SHIFT])
        cores = int(old.regs[layout.CORES])
        self.clock = layout.new_clock(old.stream, old.ram, old.price, old.slowdown_1024, cores, shift)
        kept = [layout.EXCLUSIVE, layout.FAULT_ZAPS, layout.WRITE_LOCKS, layout.LEAF_SHIFT, layout.ONE_BY_ONE]
        self.clock.regs[kept] = old.regs[kept]
        self.mark()

    def run_until(self, until: int, *, reaps: bool = False) -> bool:
        """Let the vCPUs run up to a time, or until the ioctl thread has what it waits for.

        Args:
            until: the time, or LAST.
            reaps: whether the ioctl thread has time for a ring that is full; else its vCPU waits and the others go on.

        Returns:
            Whether it ended for a ring.
        """
        while True:
            stop = self.next_stop()
            if not self.quiet and self._run_guests(min(until, stop), reaps=reaps):
                return True
            granted = self.clock.regs[layout.VMM_GRANT] != FOREVER
            if stop > until or granted or (self.quiet and (reaps or until == LAST)):
                return False  # no look at what is later than the guest's last moment
            self.at_stop(stop)

    def _run_guests(self, until: int, *, reaps: bool) -> bool:
        tables = self.guest_tables
        while not self.quiet:
            why = run_guests(tables, self.clock, until)
            if why == LOG_LOW:
                self.vm.drain_log()
            elif why == ZAP_OTHERS:
                self.vm.zap_other_tables(tables)
            elif why != STOPPED_RING:
                return False
            elif reaps:
                return True
        return False

    def advance(self, took_ps: int) -> None:
        """The ioctl thread works for a time."""
        spread_column(self.clock.series, self.clock.lanes, self.clock.regs, layout.IOCTL, self.time, took_ps)
        self.wait(took_ps)

    def work_ps(self, pages: int = 0, *, whole: bool = False) -> int:
        """What the ioctl thread's work since this was called last takes.

        Args:
            pages: that the whole ioctl goes over.
            whole: see Meter.take().
        """
        return step_ps(self.costs, self.meter.take(whole=whole), pages)

    def advance_work(self, pages: int = 0) -> None:
        """The ioctl thread's work takes its time: see work_ps()."""
        self.advance(self.work_ps(pages))

    def wait(self, took_ps: int) -> None:
        """Time passes in which userspace does nothing."""
        self.time += took_ps
        self.run_until(self.time)
        self.mark()

    def mark(self) -> None:
        """What happens now is done by the ioctl thread."""
        stat = self.vm.state.stat
        stat[mmu.STAT_STAMP], stat[mmu.STAT_WHO] = self.time, USERSPACE

    def let_finish(self) -> None:
        """The guest's pass goes on to its end."""
        self.run_until(LAST)
        self.time = max(self.time, int(self.clock.now.max()))
        self.run_until(self.time)
        self.mark()

    def start_pass(self) -> None:
        """All vCPUs begin their streams."""
        start_all(self.clock, self.time)

    def halt(self) -> None:
        """Every vCPU exits to userspace where it is."""
        clock, regs = self.clock, self.clock.regs
        for vcpu in np.flatnonzero(clock.phase != layout.FINISHED):
            flush_pml_buffer(self.guest_tables, int(vcpu))
            clock.idle_since[vcpu] = self.time
        clock.pending_kick_ps[:] = 0
        clock.phase[:] = layout.FINISHED
        for entry in (layout.HEAP_SIZE, layout.RUNNING_VCPUS, layout.QUEUE_COUNT, layout.READERS_GRANTED):
            regs[entry] = 0
        regs[layout.PENDING] = 0
        regs[[layout.FREE_AT, layout.READERS_END]] = np.minimum(regs[[layout.FREE_AT, layout.READERS_END]], self.time)

    # mmu_lock

    def acquire_mmu_lock(self, path: Path) -> None:
        """Take mmu_lock as a path holds it, waiting for whoever came before."""
        self._held = lock_of(path, self.vm.config)
        if self._held is Lock.NONE:
            return
        reads = int(self._held is Lock.READ)
        if not self.quiet and not request_mmu_lock(self.clock, self.time, reads):
            self._wait_for_lock()
        if reads:
            self.clock.regs[layout.VMM_READS] = 1
        else:
            self.clock.regs[layout.PENDING] = 0
            self.clock.regs[layout.FREE_AT] = FOREVER
        self._since = self.time

    def _wait_for_lock(self) -> None:
        asked, regs = self.time, self.clock.regs
        while regs[layout.VMM_GRANT] == FOREVER:
            self.run_until(LAST)
        self.time = max(asked, int(regs[layout.VMM_GRANT]))
        regs[layout.VMM_GRANT] = FOREVER
        regs[layout.VMM_WAITS] = 0
        self.run_until(self.time)
        self.mark()
        self.wait_ps += self.time - asked

    def release_mmu_lock(self) -> None:
        """Give mmu_lock back, if it is held."""
        if self._held is Lock.NONE:
            return
        hold, regs = self.time - self._since, self.clock.regs
        self.longest_hold_ps = max(self.longest_hold_ps, hold)
        regs[layout.HOLD_SUM] += hold
        regs[layout.HOLD_MAX] = max(int(regs[layout.HOLD_MAX]), hold)
        release_mmu_lock(self.clock, self.time, int(self._held is Lock.READ))
        self._held = Lock.NONE

    # TLBs

    def flush(self, times: int = 1) -> None:
        """TLB flushes by the ioctl thread; every vCPU in the guest is kicked, but on arm64, which broadcasts."""
        self.note(layout.FLUSHES, times)
        if self.vm.config.mmu is Mmu.STAGE2:
            self.broadcast(times)
            return
        host, clock = self.costs.host, self.clock
        running = (clock.phase == layout.RUNNING) & (clock.in_kernel_until <= self.time)
        clock.pending_kick_ps[running] += times * host["kick_ns"] * PS_PER_NS
        self.advance(times * (host["flush_ns"] + int(running.sum()) * host["ack_ns"]) * PS_PER_NS)

    def note(self, column: int, count: int) -> None:
        """Add to a sum over time, now."""
        clock = self.clock
        if self.time >> clock.regs[layout.BIN_SHIFT] >= layout.BINS:
            widen_bins(clock.series, clock.lanes, clock.regs, self.time)
        clock.series[self.time >> int(clock.regs[layout.BIN_SHIFT]), column] += count

    def broadcast(self, times: int) -> None:
        """TLBIs of arm64; the whole machine does one at a time."""
        regs = self.clock.regs
        free = max(int(regs[layout.TLBI_FREE]), self.time) + times * int(self.costs.host["tlbi_ns"]) * PS_PER_NS
        regs[layout.TLBI_FREE] = free
        self.advance(free - self.time)
