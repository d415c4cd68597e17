"""The ioctls of dirty logging over time: the VM's own steps, each at its time and at its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import numpy as np

from mmuviz.core.jit import jit
from mmuviz.engine import clock as layout
from mmuviz.engine.calls import CallLog
from mmuviz.engine.clock import Clock, push
from mmuviz.engine.exits import use_big_lock
from mmuviz.engine.ioctl_thread import NOWHERE
from mmuviz.engine.timed_machine import TimedMachine, resume_after_ring_full
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_ring import ring_soft_full
from mmuviz.mmu.examples import RING_FULL, note_example
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.steps import Act, Step, Steps
from mmuviz.mmu.vm import Vm

T = TypeVar("T")
SPACE_SHIFT: Final = 16
"""KVM's slot number has the address space above the slot id. Kernel: kvm_vm_ioctl_set_memory_region()"""
PLACES: Final = {
    "enable": layout.SPLITS + layout.AT_ENABLE,
    "get": layout.SPLITS + layout.IN_CLEAR,
    "clear": layout.SPLITS + layout.IN_CLEAR,
    "reset": layout.SPLITS + layout.IN_CLEAR,
    "pre_split": layout.SPLITS + layout.IN_PRE_SPLIT,
}
"""Columns of an ioctl's splits; GET and a reset split as CLEAR does, in the few modes in which they split."""


@jit
def serve_exit(clock: Clock, vcpu: int) -> None:
    """Give a vCPU the big lock that it waited for; it then returns to the guest."""
    clock.now[vcpu] = use_big_lock(clock, vcpu, clock.now[vcpu])
    clock.phase[vcpu] = layout.RUNNING
    push(clock.heap, clock.now, clock.regs, vcpu)


@jit
def note_ring_full(state: MmuState, vcpu: int) -> None:
    """Keep an example of a vCPU that left the guest because its ring was full."""
    state.stat[mmu.STAT_WHO] = vcpu
    note_example(state, RING_FULL, 0, 0, 0, 0)


def slot_number(slot: int, space: int) -> int:
    """KVM's number of a memslot."""
    return space << SPACE_SHIFT | slot


class TimedIoctls:
    """The thread that calls the ioctls of a timed machine.

    Attributes:
        machine: the machine.
        log: the log of calls.
        iteration: iteration of the driver's loop; 0 before it.
        vms: the address spaces of the VM; vCPUs run on the first.
        ring_is_full: called when a vCPU has exited because its ring is full; harvests and resets it.
    """

    def __init__(self, machine: TimedMachine, log: CallLog, *, big_lock: bool = False) -> None:
        """Create it.

        Args:
            machine: the machine.
            log: the log of calls.
            big_lock: the thread holds the lock that exits to userspace need.
        """
        self.machine = machine
        self.log = log
        self.iteration = 0
        self.vms: list[Vm] = [machine.vm]
        self.ring_is_full: Callable[[], None] = self.reset_full_rings
        self._big_lock = big_lock

    # Running steps

    @contextmanager
    def call(self, kind: str, slot: int = -1) -> Iterator[Callable[[int], None]]:
        """One ioctl, with a row in the log at its end.

        Args:
            kind: enable, get, clear, reset, disable or pre_split.
            slot: the memslot's id, -1 for all.

        Yields:
            A function to call with the number of dirty pages that it reported.
        """
        machine = self.machine
        machine.begin_call()
        reported = [-1]
        begun = self.log.begin(machine, kind, self.iteration, slot)
        if self._big_lock:
            self.take_big_lock()
        machine.mark()
        machine.forget_work()
        yield lambda pages: reported.__setitem__(0, pages)
        if self._big_lock:
            self.drop_big_lock()
        self.log.end(machine, begun, reported[0])

    def _in_time(self, kind: str, steps: Steps[T], pages: int, vm: Vm | None = None) -> T:
        """Run the steps of an ioctl.

        Args:
            kind: kind of the ioctl.
            steps: its steps.
            pages: pages that the whole call goes over.
            vm: the address space, None for the one that vCPUs run on.

        Returns:
            The ioctl's result.
        """
        place = PLACES.get(kind, NOWHERE)
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                self.machine.advance_work(pages)
                value: T = stop.value
                return value
            self._take_step(step, pages, place, vm)

    def _take_step(self, step: Step, pages: int, place: int, vm: Vm | None) -> None:
        machine = self.machine
        if step.walk is not None:
            machine.walk(step.walk, pages, place, step.path, vm)
        elif step.path is not None:
            machine.acquire_mmu_lock(step.path)
        elif step.act is Act.UNLOCK:
            machine.release_mmu_lock()
        else:
            machine.advance_work(pages)
            if step.act is Act.FLUSH:
                machine.flush()
            elif step.act is Act.KICK:
                machine.kick()

    def take_big_lock(self) -> None:
        """Take userspace's own lock, which exits need; vCPUs that exit then wait until it is dropped."""
        machine, regs = self.machine, self.machine.clock.regs
        machine.run_until(machine.time)
        free = int(regs[layout.BIG_LOCK_FREE])
        regs[layout.BIG_LOCK_HELD] = 1
        if free > machine.time:
            machine.waited(free - machine.time)
            machine.wait(free - machine.time)

    def drop_big_lock(self) -> None:
        """Drop userspace's own lock and serve the exits that wait for it, in the order of exiting."""
        clock = self.machine.clock
        if not clock.regs[layout.BIG_LOCK_HELD]:
            return
        clock.regs[layout.BIG_LOCK_HELD] = 0
        clock.regs[layout.BIG_LOCK_FREE] = self.machine.time
        blocked = np.flatnonzero(clock.phase == layout.BLOCKED)
        for vcpu in blocked[np.argsort(clock.now[blocked], kind="stable")]:
            serve_exit(clock, int(vcpu))

    # The ioctls

    def enable(self, slot: int, space: int = 0) -> None:
        """KVM_SET_USER_MEMORY_REGION with KVM_MEM_LOG_DIRTY_PAGES.

        Args:
            slot: the memslot's id.
            space: its address space.
        """
        vm = self.vms[space]
        with self.call("enable", slot_number(slot, space)):
            self._in_time("enable", vm.enable_steps(slot), vm.span(slot)[1], vm)

    def disable(self, slot: int, space: int = 0) -> None:
        """KVM_SET_USER_MEMORY_REGION without the flag: see enable()."""
        vm = self.vms[space]
        with self.call("disable", slot_number(slot, space)):
            self._in_time("disable", vm.disable_steps(slot), vm.span(slot)[1], vm)

    def pre_split(self, slot: int) -> None:
        """The pre-split of 2020, before logging starts: a dummy vCPU faults in every page."""
        vm = self.machine.vm
        with self.call("pre_split", slot):
            self._in_time("pre_split", vm.pre_split_steps(slot), vm.span(slot)[1])

    def get(self, slot: int, space: int = 0) -> I64:
        """KVM_GET_DIRTY_LOG.

        Args:
            slot: the memslot's id.
            space: its address space.

        Returns:
            int64[words], 64 pages per word.
        """
        vm = self.vms[space]
        with self.call("get", slot_number(slot, space)) as report:
            bits = self._in_time("get", vm.get_steps(slot), vm.span(slot)[1], vm)
            report(int(np.bitwise_count(bits.view(np.uint64)).sum()))
        return bits

    def clear(self, slot: int, first_page: int, num_pages: int, bits: I64, space: int = 0) -> None:
        """KVM_CLEAR_DIRTY_LOG of a range.

        Args:
            slot: the memslot's id.
            first_page: first page of the range, counted from the slot's start.
            num_pages: number of pages of the range.
            bits: int64[words] of the range.
            space: the slot's address space.
        """
        vm = self.vms[space]
        steps = vm.clear_steps(slot, first_page, num_pages, bits)
        with self.call("clear", slot_number(slot, space)):
            self._in_time("clear", steps, num_pages, vm)

    def reset_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS for the harvested entries.

        Returns:
            Entries reset.
        """
        with self.call("reset") as report:
            entries = self._reset()
            report(entries)
        return entries

    def _reset(self) -> int:
        vm = self.machine.vm
        return self._in_time("reset", vm.reset_ring_steps(), 0)

    def collect_rings(self, vcpu: int | None = None) -> list[tuple[int, I64]]:
        """Harvest every ring, or one vCPU's; this is no ioctl: see Vm.collect_dirty_rings()."""
        found, took_ps = self._harvest(vcpu)
        self.machine.wait(took_ps)
        return found

    def _harvest(self, vcpu: int | None = None) -> tuple[list[tuple[int, I64]], int]:
        """Harvest rings; return their contents and the time that takes, ps."""
        machine = self.machine
        machine.mark()
        machine.forget_work()
        found = machine.vm.collect_dirty_rings(vcpu)
        return found, machine.work_ps()

    def harvest_and_reset_rings(self) -> list[tuple[int, I64]]:
        """Harvest every ring, reset them, and resume the vCPUs whose rings were full.

        Returns:
            See Vm.collect_dirty_rings().
        """
        machine = self.machine
        with self.call("reset") as report:
            found, took_ps = self._harvest()
            machine.advance(took_ps)
            report(sum(len(pages) for _, pages in found))
            self._reset()
        self.resume_full()
        return found

    def reset_full_rings(self) -> None:
        """Harvest and reset all rings because one is full."""
        self.harvest_and_reset_rings()

    def resume_full(self) -> list[int]:
        """Resume the vCPUs whose rings are not full any more; return their numbers."""
        machine, clock = self.machine, self.machine.clock
        waiting = [int(vcpu) for vcpu in np.flatnonzero(clock.phase == layout.RING_FULL)]
        found = [vcpu for vcpu in waiting if not ring_soft_full(machine.guest_tables, vcpu)]
        for vcpu in found:
            resume_after_ring_full(clock, vcpu, max(machine.time, int(clock.now[vcpu])))
        return found

    def run_and_reap(self, until: int) -> None:
        """Wait for the vCPUs in userspace, and harvest the rings whenever one is full.

        Args:
            until: the latest time at which the wait ends, ps.
        """
        machine, clock = self.machine, self.machine.clock
        while (clock.phase == layout.RING_FULL).any() or machine.run_until(until, reaps=True):
            full = np.flatnonzero(clock.phase == layout.RING_FULL)
            machine.time = max(machine.time, int(clock.now[full].min()))
            machine.mark()
            machine.note(layout.RING_FULLS, len(full))
            note_ring_full(machine.vm.state, int(full[0]))
            machine.mark()
            self.ring_is_full()
