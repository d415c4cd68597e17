"""A timed machine with the interface of a replay: every op of a recording takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.timed_ioctls import TimedIoctls, note_ring_full
from mmuviz.engine.timed_machine import LAST, TimedMachine, resume_after_ring_full
from mmuviz.mmu import work
from mmuviz.mmu.config import Memslot, VmConfig
from mmuviz.mmu.counters import Counters
from mmuviz.mmu.dirty_ring import ring_soft_full
from mmuviz.mmu.kvm_run import RunExit
from mmuviz.mmu.state import DONE, I64, LOG_COLUMNS, STOP_RING_FULL, MmuState
from mmuviz.mmu.stats import MemoryOverhead
from mmuviz.workloads import stream as columns

if TYPE_CHECKING:
    from mmuviz.mmu.vm import Vm

NO_EVENTS: Final = np.zeros((0, LOG_COLUMNS), dtype=np.int64)


class ListedAccesses:
    """The access loop of a VM, created before the VM's machine: see Vm.run()."""

    def __init__(self) -> None:
        """Create it without a machine."""
        self.machine: TimedMachine | None = None
        self.ring_full: Callable[[], None] | None = None

    def __call__(self, tables: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        """Execute each vCPU's accesses in order, over time; if all accesses cost the same, the vCPUs alternate."""
        machine = self.machine
        if machine is None:
            raise ValueError("the machine is not there yet")
        every = np.broadcast_to(vcpus, len(gfns))[start:]
        order = np.argsort(every, kind="stable")
        clock = machine.clock = machine.clock._replace(listed=np.ascontiguousarray(gfns[start:][order]))
        counts = np.bincount(every, minlength=machine.vm.config.vcpus)
        passes = clock.stream[:, columns.PASS].copy()
        clock.stream[:] = 0
        clock.stream[:, columns.PASS] = passes
        clock.stream[:, columns.KIND] = columns.LISTED
        clock.stream[:, columns.FIRST_PAGE] = np.cumsum(counts) - counts
        clock.stream[:, columns.ACCESSES] = counts
        clock.stream[:, columns.WRITE_PERMILLE] = write * columns.ALWAYS
        if len(vcpus) > 1:
            machine.wait(int((counts > 0).sum()) * machine.costs.step(work.WORK_VCPU_THREAD))
        machine.start_pass()
        while machine.run_until(LAST, reaps=True):
            if not self._serve_full_ring(machine, tables):
                machine.halt()
                return STOP_RING_FULL, start + int(clock.stream[:, columns.POSITION].sum())
        machine.let_finish()
        return DONE, len(gfns)

    def _serve_full_ring(self, machine: TimedMachine, tables: MmuState) -> bool:
        """Have a full ring harvested and reset; returns whether its vCPU may continue."""
        clock = machine.clock
        full = np.flatnonzero(clock.phase == layout.RING_FULL)
        machine.time = max(machine.time, int(clock.now[full].min()))
        machine.mark()
        machine.note(layout.RING_FULLS, len(full))
        note_ring_full(machine.vm.state, int(full[0]))
        machine.mark()
        if self.ring_full is not None:
            self.ring_full()
        for vcpu in np.flatnonzero(clock.phase == layout.RING_FULL):
            if ring_soft_full(tables, int(vcpu)):
                return False
            resume_after_ring_full(clock, int(vcpu), max(machine.time, int(clock.now[vcpu])))
        return True


class TimedVm:
    """The interface that a replay needs, with each op over time: see mmuviz.mmu.drivable.Drivable."""

    def __init__(self, ioctls: TimedIoctls, accesses: ListedAccesses, *, answers: bool = False) -> None:
        """Create it.

        Args:
            ioctls: the machine's ioctl thread.
            accesses: the access loop that its VM was made with.
            answers: whether the replay gets the events, instead of the recorder.
        """
        self._ioctls = ioctls
        self._accesses = accesses
        self._vm: Vm = ioctls.machine.vm
        self._answers = answers
        accesses.machine = ioctls.machine

    @contextmanager
    def _other_call(self, *, whole: bool = False) -> Iterator[None]:
        """A call that takes the time of its work and has no row in the log; see TimedMachine.work_ps() for `whole`."""
        machine = self._ioctls.machine
        machine.mark()
        machine.forget_work()
        yield
        machine.wait(machine.work_ps(whole=whole))

    @property
    def config(self) -> VmConfig:
        """The VM's configuration."""
        return self._vm.config

    def run(
        self, vcpus: int | I64, gfns: I64, *, write: bool, start: int = 0, ring_full: Callable[[], None] | None = None
    ) -> RunExit:
        """See Vm.run(); full rings are served while the others run."""
        self._accesses.ring_full = ring_full
        return self._vm.run(vcpus, gfns, write=write, start=start)

    def add_memslot(self, slot_id: int, memslot: Memslot, *, logged: bool = False) -> None:
        """See Vm."""
        with self._other_call():
            self._vm.add_memslot(slot_id, memslot, logged=logged)

    def move_memslot(self, slot_id: int, base_gfn: int) -> None:
        """See Vm."""
        with self._other_call():
            self._vm.move_memslot(slot_id, base_gfn)

    def set_read_only(self, slot_id: int, *, value: bool) -> None:
        """See Vm."""
        self._vm.set_read_only(slot_id, value=value)

    def delete_memslot(self, slot_id: int) -> None:
        """See Vm."""
        with self._other_call():
            self._vm.delete_memslot(slot_id)

    def enable_dirty_logging(self, slot_id: int) -> None:
        """See Vm."""
        self._ioctls.enable(slot_id)

    def disable_dirty_logging(self, slot_id: int) -> None:
        """See Vm."""
        self._ioctls.disable(slot_id)

    def get_dirty_log(self, slot_id: int) -> I64:
        """See Vm."""
        return self._ioctls.get(slot_id)

    def clear_dirty_log(self, slot_id: int, first_page: int, num_pages: int, bits: I64) -> None:
        """See Vm."""
        self._ioctls.clear(slot_id, first_page, num_pages, bits)

    def collect_dirty_rings(self) -> list[tuple[int, I64]]:
        """See Vm."""
        return self._ioctls.collect_rings()

    def reset_dirty_rings(self) -> int:
        """See Vm."""
        return self._ioctls.reset_rings()

    def set_eager_page_split(self, *, value: bool) -> None:
        """See Vm."""
        with self._other_call():
            self._vm.set_eager_page_split(value=value)

    def madvise_dontneed(self, slot_id: int, start: int, count: int) -> None:
        """See Vm; it involves host faults and the MMU notifier, as faults of the guest do."""
        with self._other_call(whole=True):
            self._vm.madvise_dontneed(slot_id, start, count)

    def host_write(self, slot_id: int, offsets: I64) -> None:
        """See Vm; it involves host faults and the MMU notifier, as faults of the guest do."""
        with self._other_call(whole=True):
            self._vm.host_write(slot_id, offsets)

    def counters(self) -> Counters:
        """See Vm."""
        return self._vm.counters()

    def memory_overhead(self) -> MemoryOverhead:
        """See Vm."""
        return self._vm.memory_overhead()

    def take_events(self) -> I64:
        """See Vm."""
        return self._vm.take_events() if self._answers else NO_EVENTS
