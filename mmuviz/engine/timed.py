"""A machine in time: the thread that calls the ioctls, mmu_lock as it holds it, and the vCPUs meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import FOREVER, Clock, bin_of, charge_rarely, note_tables, push
from mmuviz.engine.cost_table import PS_PER_NS, Prices
from mmuviz.engine.exits import use_big_lock
from mmuviz.engine.ioctl_cost import Meter, step_ps
from mmuviz.engine.lock import enqueue, grant_next, open_to_readers, open_to_writers
from mmuviz.engine.vcpu import LOG_LOW, STOPPED_RING, run_guests
from mmuviz.ground.compiled import compiled
from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import Memslot, Mmu
from mmuviz.mmu.dirty_ring import flush_pml_buffer
from mmuviz.mmu.locks import Lock, Path, lock_of
from mmuviz.mmu.machine import Machine
from mmuviz.mmu.state import DONE, I64, STOP_RING_FULL, MmuState
from mmuviz.mmu.work import WORK_VCPU_THREAD
from mmuviz.workloads import stream as program

SLOT: Final = 0
LAST: Final = FOREVER - 1


@dataclass(frozen=True)
class Call:
    """One ioctl.

    Attributes:
        name: enable, get, clear, disable or pre_split.
        iteration: of the driver's loop; 0 before it.
        start_ps: when it was called.
        end_ps: when it came back.
        hold_ps: the longest stretch for which it held mmu_lock.
        wait_ps: how long it waited for mmu_lock and for the big lock in all.
        tables: table pages that it added.
        flushes: remote TLB flushes that it asked for.
    """

    name: str
    iteration: int
    start_ps: int
    end_ps: int
    hold_ps: int
    wait_ps: int
    tables: int
    flushes: int

    @property
    def took_ps(self) -> int:
        """How long the caller waited."""
        return self.end_ps - self.start_ps


@compiled
def note_ioctl(clock: Clock, time: int, stat: I64, ioctl_ps: int) -> None:
    """Note the tables and leaves, and time spent in an ioctl, in the series."""
    at = bin_of(clock, time)
    note_tables(clock.series, at, stat)
    clock.series[at, layout.IOCTL] += ioctl_ps


@compiled
def ask(clock: Clock, time: int, reads: int) -> int:
    """The ioctl thread asks for mmu_lock; 1 where it has it at once."""
    if open_to_readers(clock, time) if reads else open_to_writers(clock, time):
        return 1
    clock.at[layout.VMM_WAITS] = 1
    enqueue(clock, clock.now.shape[0], reads)
    grant_next(clock)
    return 0


@compiled
def release(clock: Clock, time: int, reads: int) -> None:
    """The ioctl thread gives mmu_lock back."""
    if reads:
        clock.at[layout.VMM_READS] = 0
        clock.at[layout.READERS_END] = max(clock.at[layout.READERS_END], time)
    else:
        clock.at[layout.FREE_AT] = time
    grant_next(clock)


@compiled
def start_all(clock: Clock, time: int) -> None:
    """All vCPUs begin a pass at a time."""
    clock.at[layout.HEAP_SIZE] = 0
    clock.at[layout.RUNNING_VCPUS] = clock.now.shape[0]
    for vcpu in range(clock.now.shape[0]):
        clock.now[vcpu] = time + clock.price[layout.ENTER]
        clock.phase[vcpu] = layout.RUNNING
        clock.stream[vcpu, program.POSITION] = 0
        clock.stream[vcpu, program.PASS] += 1
        period = clock.stream[vcpu, program.EXIT_PERIOD]
        clock.exit_at[vcpu] = time + period * (vcpu + 1) // clock.now.shape[0] if period else FOREVER
        push(clock.heap, clock.now, clock.at, vcpu)


class TimedMachine(Machine):
    """A machine with one memslot, a clock, and a thread that calls the ioctls.

    It changes nothing of what `Machine` does; it only does it in steps, each at its time.
    """

    def __init__(
        self, prices: Prices, memslot: Memslot | None, stream: I64, *, record: bool = False, big_lock: bool = False
    ) -> None:
        """Create the VM and its one memslot.

        Args:
            prices: of its configuration on a host.
            memslot: slot 0; None where the slots come later.
            stream: int64[vcpus, columns], what each vCPU does.
            record: keep every event.
            big_lock: the thread that calls ioctls holds the lock that exits to userspace need.
        """
        super().__init__(prices.config, record=record)
        self.prices = prices
        self.clock = layout.new_clock(stream, prices.guest, prices.slow, prices.host["cores"])
        self.time = 0
        self.calls: list[Call] = []
        self.iteration = 0
        self.big_lock = big_lock
        self._held: Lock = Lock.NONE
        self._since = self._hold = self._wait = 0
        self.meter = Meter(self._state.work)
        self._set_locks()
        if memslot is not None:
            self.add_memslot(SLOT, memslot)
            self._load(np.arange(self.config.vcpus), l2=self.config.mmu is Mmu.NESTED)

    def _set_locks(self) -> None:
        at, mode = self.clock.at, self.config.mmu
        at[layout.WRITE_LOCKS] = mode.shadows
        at[layout.ZAPS] = mode is not Mmu.TDP or not self.config.kernel.fault_splits_in_place

    @property
    def guest_tables(self) -> MmuState:
        """The tables that the vCPUs run on: an L2's, if there is one."""
        return self._all_tables()[0]

    def table_pages(self) -> int:
        """Table pages now; an L2's tables share L1's counters."""
        return int(self._state.stat[mmu.STAT_TABLE_PAGES])

    @property
    def quiet(self) -> bool:
        """Whether no vCPU runs or waits."""
        return not self.clock.at[layout.RUNNING_VCPUS]

    def run_until(self, until: int, *, reaps: bool = False) -> bool:
        """Let the vCPUs run up to a time, or until the ioctl thread has what it waits for.

        Args:
            until: the time.
            reaps: whether the ioctl thread has time for a ring that is full; else its vCPU waits and the others run on.

        Returns:
            Whether it stopped for a ring.
        """
        while not self.quiet:
            why = run_guests(self.guest_tables, self.clock, until)
            if why == LOG_LOW:
                self._drain()
            elif why != STOPPED_RING:
                return False
            elif reaps:
                return True
        return False

    def elapse(self, took_ps: int) -> None:
        """Time passes for the ioctl thread."""
        start = self.time
        self.time += took_ps
        note_ioctl(self.clock, start, self.guest_tables.stat, took_ps)
        self.run_until(self.time)

    def elapse_work(self, pages: int = 0) -> None:
        """Time passes for the ioctls' work since the last call of this; the whole ioctl goes over so many pages."""
        self.elapse(step_ps(self.prices, self.meter.take(), pages))

    def start_anew(self) -> None:
        """Forget all time so far."""
        self.time = 0
        self.calls = []
        self.clock = layout.new_clock(self.clock.stream, self.clock.price, self.clock.slow, self.prices.host["cores"])
        self._set_locks()

    def wait(self, took_ps: int) -> None:
        """Time passes in which userspace does nothing."""
        self.time += took_ps
        self.run_until(self.time)

    def halt(self) -> None:
        """Every vCPU exits to userspace where it stands."""
        clock, at = self.clock, self.clock.at
        for vcpu in np.flatnonzero(clock.phase != layout.FINISHED):
            flush_pml_buffer(self.guest_tables, int(vcpu))
        clock.phase[:] = layout.FINISHED
        for entry in (layout.HEAP_SIZE, layout.RUNNING_VCPUS, layout.QUEUE_COUNT, layout.READERS_GRANTED):
            at[entry] = 0
        at[layout.PENDING] = 0
        at[[layout.FREE_AT, layout.READERS_END]] = np.minimum(at[[layout.FREE_AT, layout.READERS_END]], self.time)

    # mmu_lock

    def lock(self, path: Path) -> None:
        """Take mmu_lock as a path holds it, waiting for whoever came before."""
        self._held = lock_of(path, self.config)
        if self._held is Lock.NONE:
            return
        reads = int(self._held is Lock.READ)
        self.run_until(self.time)
        if not self.quiet and not ask(self.clock, self.time, reads):
            self._wait_for_lock()
        if reads:
            self.clock.at[layout.VMM_READS] = 1
        else:
            self.clock.at[layout.PENDING] = 0
            self.clock.at[layout.FREE_AT] = FOREVER
        self._since = self.time

    def _wait_for_lock(self) -> None:
        asked, at = self.time, self.clock.at
        while at[layout.VMM_GRANT] == FOREVER:
            self.run_until(LAST)
        self.time = max(asked, int(at[layout.VMM_GRANT]))
        at[layout.VMM_GRANT] = FOREVER
        at[layout.VMM_WAITS] = 0
        self.run_until(self.time)
        self._wait += self.time - asked

    def unlock(self) -> None:
        """Give mmu_lock back, if it is held."""
        if self._held is Lock.NONE:
            return
        hold, at = self.time - self._since, self.clock.at
        self._hold = max(self._hold, hold)
        at[layout.HOLD_SUM] += hold
        at[layout.HOLD_MAX] = max(int(at[layout.HOLD_MAX]), hold)
        release(self.clock, self.time, int(self._held is Lock.READ))
        self._held = Lock.NONE

    def relock(self, path: Path) -> None:
        """Drop mmu_lock to allocate, and take it again behind all who wait."""
        self.unlock()
        self.lock(path)

    def flush(self, times: int = 1) -> None:
        """TLB flushes by the ioctl thread; every vCPU in the guest is kicked, but on arm64, which broadcasts."""
        if self.config.mmu is Mmu.STAGE2:
            self.broadcast(times)
        else:
            self._kick(times)

    def _kick(self, times: int) -> None:
        """Kick every vCPU in the guest, and wait for them."""
        host, clock = self.prices.host, self.clock
        running = (clock.phase == layout.RUNNING) & (clock.outside <= self.time)
        clock.debt[running] += times * host["kick_ns"] * PS_PER_NS
        self.elapse(times * (host["flush_ns"] + int(running.sum()) * host["ack_ns"]) * PS_PER_NS)

    def broadcast(self, times: int) -> None:
        """TLBIs of arm64; the whole machine does one at a time."""
        at = self.clock.at
        free = max(int(at[layout.TLBI_FREE]), self.time) + times * int(self.prices.host["tlbi_ns"]) * PS_PER_NS
        at[layout.TLBI_FREE] = free
        self.elapse(free - self.time)

    # Accesses that are listed, as Machine.run() has them

    def _touch_in(self, tables: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        """Each vCPU touches its own accesses in order, in time; where all cost the same they take turns."""
        every = np.broadcast_to(vcpus, len(gfns))[start:]
        order = np.argsort(every, kind="stable")
        self.clock = clock = self.clock._replace(listed=np.ascontiguousarray(gfns[start:][order]))
        counts = np.bincount(every, minlength=self.config.vcpus)
        clock.stream[:] = 0
        clock.stream[:, program.KIND] = program.LISTED
        clock.stream[:, program.FIRST_GFN] = np.cumsum(counts) - counts
        clock.stream[:, program.ACCESSES] = counts
        clock.stream[:, program.WRITE_PERMILLE] = write * program.ALWAYS
        if len(vcpus) > 1:
            self.wait(int((counts > 0).sum()) * self.prices.step(WORK_VCPU_THREAD))
        start_all(clock, self.time)
        while True:
            why = run_guests(tables, clock, LAST)
            if why == LOG_LOW:
                self._drain()
            elif tables.stat[mmu.STAT_ZAP_END]:
                self._zap_beside(tables)
            else:
                break
        done = start + int(clock.stream[:, program.POSITION].sum())
        self.time = max(self.time, int(clock.now.max()))
        if why != STOPPED_RING:
            return DONE, done
        clock.at[[layout.HEAP_SIZE, layout.RUNNING_VCPUS]] = 0
        clock.phase[:] = layout.FINISHED
        return STOP_RING_FULL, done

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """One ioctl; what it took is noted at its end.

        Args:
            name: see Call.

        Yields:
            Nothing.
        """
        stat, start = self._state.stat, self.time
        self._hold = self._wait = 0
        self._take_big_lock()
        tables, flushes = self.table_pages(), int(stat[mmu.STAT_TLB_FLUSHES])
        yield
        self._drop_big_lock()
        added, asked = self.table_pages() - tables, int(stat[mmu.STAT_TLB_FLUSHES]) - flushes
        self.calls.append(Call(name, self.iteration, start, self.time, self._hold, self._wait, max(added, 0), asked))

    def _take_big_lock(self) -> None:
        """Userspace's own lock, where the thread that calls ioctls holds it over them."""
        if not self.big_lock:
            return
        self.run_until(self.time)
        free = int(self.clock.at[layout.BIG_LOCK_FREE])
        self.clock.at[layout.BIG_LOCK_HELD] = 1
        if free > self.time:
            self._wait += free - self.time
            self.wait(free - self.time)

    def _drop_big_lock(self) -> None:
        clock = self.clock
        if not clock.at[layout.BIG_LOCK_HELD]:
            return
        clock.at[layout.BIG_LOCK_HELD] = 0
        clock.at[layout.BIG_LOCK_FREE] = self.time
        blocked = np.flatnonzero(clock.phase == layout.BLOCKED)
        for vcpu in blocked[np.argsort(clock.now[blocked], kind="stable")]:
            serve(clock, int(vcpu))


@compiled
def serve(clock: Clock, vcpu: int) -> None:
    """A vCPU that waited for the big lock has it in its turn, and goes back to the guest."""
    clock.now[vcpu] = use_big_lock(clock, vcpu, clock.now[vcpu])
    clock.phase[vcpu] = layout.RUNNING
    push(clock.heap, clock.now, clock.at, vcpu)


@compiled
def resume(clock: Clock, vcpu: int, time: int) -> None:
    """A vCPU whose ring was full goes on; how long it stood is its stall."""
    enters = time + clock.price[layout.ENTER]
    charge_rarely(clock, vcpu, layout.RING, clock.now[vcpu], enters - clock.now[vcpu])
    clock.now[vcpu] = clock.outside[vcpu] = enters
    clock.phase[vcpu] = layout.RUNNING
    push(clock.heap, clock.now, clock.at, vcpu)
