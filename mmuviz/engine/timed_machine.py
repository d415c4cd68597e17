"""A VM under a clock: its vCPUs, mmu_lock, and the thread that calls ioctls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from mmuviz.core.jit import jit
from mmuviz.engine import clock as layout
from mmuviz.engine import ioctl_thread as thread_layout
from mmuviz.engine.account import charge_out_of_line, spread
from mmuviz.engine.clock import FOREVER, Clock, push
from mmuviz.engine.cost_table import CostTable
from mmuviz.engine.frame_buffer import next_stop, no_buffer
from mmuviz.engine.ioctl_cost import miss_hundredths
from mmuviz.engine.ioctl_thread import (
    acquire,
    advance,
    flush_ps,
    hold,
    kick_ps,
    new_thread,
    note,
    release,
    run_vcpus_until,
    walk_in_time,
    work_ps,
)
from mmuviz.engine.throttle import skip_throttling, throttle, wake
from mmuviz.engine.vcpu import STOPPED_RING, WANTS_TRACE, ZAP_OTHERS
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.locks import Lock, Path, lock_of
from mmuviz.mmu.pml import flush_pml_buffer
from mmuviz.mmu.state import USERSPACE, MmuState
from mmuviz.mmu.vm import Vm
from mmuviz.mmu.walks import Walk
from mmuviz.workloads import stream as columns

PS_PER_NS: Final = 10**3
HOLDS: Final = {Lock.NONE: thread_layout.FREE, Lock.READ: thread_layout.READS, Lock.WRITE: thread_layout.WRITES}
LAST: Final = thread_layout.LAST_TIME


@jit
def start_all(clock: Clock, time: int) -> None:
    """Let all vCPUs begin a pass at a time."""
    skip_throttling(clock, time)
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
        clock.stream[vcpu, columns.POSITION] = 0
        clock.stream[vcpu, columns.PASS] += 1
        period = clock.stream[vcpu, columns.EXIT_PERIOD]
        clock.exit_at[vcpu] = time + period * (vcpu + 1) // clock.now.shape[0] if period else FOREVER
        push(clock.heap, clock.now, clock.regs, vcpu)


@jit
def resume_after_ring_full(clock: Clock, vcpu: int, time: int) -> None:
    """Resume a vCPU whose ring was full; the time since then is its stall."""
    enters = time + clock.price[layout.ENTER]
    charge_out_of_line(clock, vcpu, layout.RING, clock.now[vcpu], enters - clock.now[vcpu], 0)
    clock.now[vcpu] = clock.in_kernel_until[vcpu] = enters
    clock.phase[vcpu] = layout.RUNNING
    push(clock.heap, clock.now, clock.regs, vcpu)


@jit
def kick_out(state: MmuState, clock: Clock, vcpu: int, time: int) -> int:
    """Kick a vCPU out to userspace by an IPI; return the time that the sender waits for it, ps."""
    clock.pending_kick_ps[vcpu] += clock.price[layout.KICK] + clock.price[layout.USERSPACE]
    flush_pml_buffer(state, vcpu)
    return int(clock.price[layout.FLUSH_VCPU] if clock.in_kernel_until[vcpu] <= time else 0)


class TimedMachine:
    """A Vm with one clock for its guest and its ioctls.

    It does not change the Vm's work; it only lets time pass between the Vm's own steps.

    Attributes:
        vm: the VM.
        costs: costs of its configuration on a host.
        clock: clock of the vCPUs.
        thread: the thread that calls ioctls.
        frames: frames taken at stops, which do not change the run; `at_stop` is called at those stops that
            compiled code leaves to Python.
        next_part: loads the next part of the trace that the vCPUs follow.
    """

    def __init__(self, vm: Vm, costs: CostTable, clock: Clock) -> None:
        """Give a VM a clock, which is at 0.

        Args:
            vm: the VM.
            costs: costs of its configuration on a host.
            clock: see new_clock().
        """
        self.vm = vm
        self.costs = costs
        self.clock = clock
        self.thread = new_thread(costs, vm.state.work)
        self.frames = no_buffer()
        self.at_stop: Callable[[int], None] = lambda _: None
        self.next_part: Callable[[], None] = lambda: None
        config = vm.config
        tables = vm.guest_tables
        clock.regs[layout.WRITE_LOCKS] = lock_of(self.fault_path, config) is Lock.WRITE
        clock.regs[layout.PERMISSIONS_READ] = lock_of(self.permission_fault_path, config) is Lock.READ
        clock.regs[layout.FAULT_ZAPS] = not (tables.conf[mmu.CONF_FAULT_SPLITS] and tables.conf[mmu.CONF_TDP_MMU])

    @property
    def fault_path(self) -> Path:
        """Path of the vCPUs' faults, by the tables that they fault on."""
        return Path.L2_FAULT if self.vm.config.mmu is Mmu.NESTED else Path.FAULT

    @property
    def permission_fault_path(self) -> Path:
        """Path of those of them that make a 4K leaf of a logged slot writable again."""
        return Path.L2_FAULT if self.vm.config.mmu is Mmu.NESTED else Path.PERMISSION_FAULT

    @property
    def guest_tables(self) -> MmuState:
        """The tables that the vCPUs run on: an L2's, if there is one."""
        return self.vm.guest_tables

    @property
    def no_vcpu_active(self) -> bool:
        """Whether no vCPU runs or waits."""
        return not self.clock.regs[layout.RUNNING_VCPUS]

    @property
    def with_spinner(self) -> bool:
        """Whether the core of the ioctl thread has a vCPU on its other thread, which spins in userspace."""
        return bool(self.thread.at[thread_layout.WITH_SPINNER])

    # Time

    @property
    def time(self) -> int:
        """The ioctl thread's time, ps."""
        return int(self.thread.at[thread_layout.TIME])

    @time.setter
    def time(self, time_ps: int) -> None:
        self.thread.at[thread_layout.TIME] = time_ps

    @property
    def wait_ps(self) -> int:
        """The ioctl thread's time of waiting for locks since begin_call(), ps."""
        return int(self.thread.at[thread_layout.WAITED])

    @property
    def longest_hold_ps(self) -> int:
        """The longest time that the ioctl thread held mmu_lock since begin_call(), ps."""
        return int(self.thread.at[thread_layout.LONGEST_HOLD])

    def reset_clock(self) -> None:
        """Discard all time so far: the clock is at 0 again, and no vCPU runs."""
        old, self.time = self.clock, 0
        shift = int(old.regs[layout.BIN_SHIFT])
        cores = int(old.regs[layout.CORES])
        self.clock = layout.new_clock(old.stream, old.ram, old.price, old.slowdown_1024, cores, shift)
        self.clock.regs[list(layout.KEPT)] = old.regs[list(layout.KEPT)]
        self.mark()

    def run_until(self, until: int, *, reaps: bool = False) -> bool:
        """Let the vCPUs run up to a time, or until the ioctl thread gets the lock that it waits for.

        Args:
            until: the time, or LAST.
            reaps: whether the ioctl thread can reap a full ring; otherwise its vCPU waits and the others continue.

        Returns:
            Whether it ended because of a full ring.
        """
        while True:
            why = run_vcpus_until(self.guest_tables, self.clock, self.frames, until, int(reaps))
            if why in (thread_layout.TIME_CAME, STOPPED_RING):
                return why == STOPPED_RING
            self._serve(why)

    def _serve(self, why: int) -> None:
        """Do the work that compiled code leaves to Python."""
        if why == thread_layout.STOP:
            self.at_stop(next_stop(self.clock, self.frames.at))
        elif why == thread_layout.WAITS:
            self._wait_for_lock()
        elif why == WANTS_TRACE:
            self.next_part()
        elif why == ZAP_OTHERS:
            self.vm.zap_other_tables(self.guest_tables)
        else:
            self.vm.drain_log()

    def begin_call(self) -> None:
        """Begin an ioctl: waits and holds of locks count from here."""
        self.thread.at[[thread_layout.WAITED, thread_layout.LONGEST_HOLD]] = 0

    def waited(self, took_ps: int) -> None:
        """Add a wait for a lock."""
        self.thread.at[thread_layout.WAITED] += took_ps

    def advance(self, took_ps: int) -> None:
        """Let the thread work for a time."""
        advance(self.clock, self.thread.at, took_ps)
        self.run_until(self.time)
        self.mark()

    def forget_work(self) -> None:
        """Mark the machine's work so far as charged."""
        self.thread.seen[:] = self.vm.state.work

    def work_ps(self, pages: int = 0, *, whole: bool = False) -> int:
        """Time of the machine's work that is not charged yet, ps; it is charged now.

        Args:
            pages: pages that the whole ioctl goes over.
            whole: include entries of faults, if the thread itself did such work and no vCPU runs.
        """
        self.thread.at[thread_layout.MISS] = miss_hundredths(self.costs, pages)
        return work_ps(self.thread, self.vm.state.work, 0 if whole else work.WORK_GUEST_END)

    def advance_work(self, pages: int = 0) -> None:
        """Let the ioctl thread's work take its time: see work_ps()."""
        self.advance(self.work_ps(pages))

    def walk(self, walk: Walk, pages: int, place: int, path: Path | None, vm: Vm | None = None) -> None:
        """Run a walk over time.

        Args:
            walk: the walk.
            pages: pages that the whole ioctl goes over.
            place: column of the series where splits are counted, NOWHERE for none.
            path: the path that takes mmu_lock again for each part, if it does.
            vm: another address space of the VM, whose tables it goes over; None for the one that vCPUs run on.
        """
        at, host = self.thread.at, self.costs.host
        at[thread_layout.MISS] = miss_hundredths(self.costs, pages)
        at[thread_layout.TOPUP] = self.costs.topup_ps * (host["spin_percent"] if self.with_spinner else 100) // 100
        at[thread_layout.DUMMY_FAULT] = host["pre_split_ns"] * PS_PER_NS
        at[thread_layout.PLACE] = place
        at[thread_layout.PHASE] = thread_layout.TO_LOCK
        at[thread_layout.LOCKS_EACH] = int(path is not None)
        if path is not None:
            self._want(path)
        while True:
            tables, guests = (vm or self.vm).tables[walk.tables], self.guest_tables
            why = walk_in_time(tables, guests, self.clock, self.thread, self.frames, walk)
            if why == thread_layout.ENDED:
                return
            self._serve(why)

    def wait(self, took_ps: int) -> None:
        """Let time pass while userspace is idle."""
        self.time += took_ps
        self.run_until(self.time)
        self.mark()

    def mark(self) -> None:
        """Attribute what happens now to the ioctl thread."""
        stat = self.vm.state.stat
        stat[mmu.STAT_STAMP], stat[mmu.STAT_WHO] = self.time, USERSPACE

    def let_finish(self) -> None:
        """Let the guest's pass run to its end."""
        self.run_until(LAST)
        self.time = max(self.time, int(self.clock.now.max()))
        self.run_until(self.time)
        self.mark()

    def spin_when_done(self) -> None:
        """At the end of a pass, let vCPUs spin in userspace until the next one; there may be one on every core."""
        self.thread.at[thread_layout.WITH_SPINNER] = self.vm.config.vcpus >= self.costs.host["cores"]

    def start_pass(self) -> None:
        """Let all vCPUs begin their streams."""
        self.thread.at[thread_layout.WITH_SPINNER] = 0
        start_all(self.clock, self.time)

    def halt(self) -> None:
        """Make every vCPU exit to userspace at its present access."""
        clock, regs = self.clock, self.clock.regs
        for vcpu in np.flatnonzero(clock.phase != layout.FINISHED):
            flush_pml_buffer(self.guest_tables, int(vcpu))
            wake(clock, int(vcpu), self.time)
            clock.idle_since[vcpu] = self.time
        clock.pending_kick_ps[:] = 0
        clock.host_ps[:] = 0
        clock.phase[:] = layout.FINISHED
        for entry in (layout.HEAP_SIZE, layout.RUNNING_VCPUS, layout.QUEUE_COUNT, layout.READERS_GRANTED):
            regs[entry] = 0
        regs[layout.WRITER_PENDING] = 0
        regs[[layout.FREE_AT, layout.READERS_END]] = np.minimum(regs[[layout.FREE_AT, layout.READERS_END]], self.time)

    def throttle(self, percent: int) -> None:
        """Make the vCPUs sleep for a share of their time, 0 to 99 percent, from now on."""
        throttle(self.clock, percent, self.time)

    # mmu_lock

    def _want(self, path: Path) -> None:
        self.thread.at[thread_layout.WANTED] = HOLDS[lock_of(path, self.vm.config)]

    def acquire_mmu_lock(self, path: Path) -> None:
        """Take mmu_lock in the mode of a path, after all earlier waiters."""
        self._want(path)
        if not acquire(self.clock, self.thread.at):
            self._wait_for_lock()

    def _wait_for_lock(self) -> None:
        asked, regs = self.time, self.clock.regs
        while regs[layout.THREAD_GRANTED_AT] == FOREVER:
            self.run_until(LAST)
        self.time = max(asked, int(regs[layout.THREAD_GRANTED_AT]))
        regs[layout.THREAD_GRANTED_AT] = FOREVER
        regs[layout.THREAD_WAITS] = 0
        self.run_until(self.time)
        self.mark()
        self.waited(self.time - asked)
        hold(self.clock, self.thread.at)

    def release_mmu_lock(self) -> None:
        """Release mmu_lock, if it is held."""
        release(self.clock, self.thread.at)

    # TLBs

    def flush(self, times: int = 1) -> None:
        """Flush TLBs from the ioctl thread: see flush_ps()."""
        self.advance(flush_ps(self.clock, self.time, times, int(self.vm.config.mmu is Mmu.STAGE2)))

    def kick(self) -> None:
        """Kick every vCPU in the guest out of it: see kick_ps()."""
        self.advance(kick_ps(self.clock, self.time, 1))

    def kick_to_userspace(self) -> None:
        """Kick every vCPU out to userspace and wait; each exit empties the vCPU's PML buffer.

        The exit costs each vCPU as much as any other exit to userspace; the thread waits for the vCPUs one by one.
        """
        for vcpu in np.flatnonzero(self.clock.phase == layout.RUNNING):
            self.wait(kick_out(self.guest_tables, self.clock, int(vcpu), self.time))

    def note(self, column: int, count: int) -> None:
        """Add to a column of the sums over time, at the present time."""
        self.note_at(self.time, column, count)

    def note_at(self, time_ps: int, column: int, count: int) -> None:
        """Add to a sum over time.

        Args:
            time_ps: time at which the amount counts.
            column: column of `Clock.series`.
            count: amount.
        """
        note(self.clock, time_ps, column, count)
