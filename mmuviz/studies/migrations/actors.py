"""Threads of the modelled QEMU, run up to the next call that a recording shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmuviz.engine.qemu import kvm_all
from mmuviz.engine.qemu.calls import (
    Call,
    ClearChunk,
    ClearDirtyLog,
    GetDirtyLog,
    ResetRings,
    SetMemslot,
    Steps,
    SyncEnd,
    SyncStart,
)
from mmuviz.engine.qemu.dirtyrate import (
    calculate_dirtyrate_dirty_bitmap,
    calculate_dirtyrate_dirty_ring,
    vcpu_dirty_rate_stat_collect,
    vcpu_dirty_rate_stat_finish,
    vcpu_dirty_rate_stat_start,
)
from mmuviz.engine.qemu.memory import memory_vm_change_state_handler
from mmuviz.engine.qemu.migration import migration_bitmap_sync_by_timer
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.state import BIG_LOCK, READONLY, Qemu, Thread
from mmuviz.studies.migrations.machine import GuestMap
from mmuviz.studies.migrations.plan import MAIN_THREAD, Event

Row = list[Any]


class Actor:
    """One thing that a thread does, run call by call.

    Args:
        name: the thread's.
        steps: makes the generator for a thread's locks.
        answer: answers the calls that a recording does not show.
        shown: kinds of calls that it shows.
    """

    def __init__(
        self,
        name: str,
        steps: Callable[[Thread], Steps],
        answer: Callable[[Actor, Call], object],
        shown: tuple[type[Call], ...],
    ) -> None:
        self.name = name
        self.done = False
        self._steps = steps(Thread())
        self._answer = answer
        self._shown = shown
        self._reply: object = None
        self._waiting: Call | None = None

    def peek(self, enough: Callable[[], bool] = lambda: False) -> Call | None:
        """The next call that a recording shows; None when the thread is done or, before one, enough() holds."""
        while self._waiting is None and not self.done and not enough():
            try:
                call = self._steps.send(self._reply)
            except StopIteration:
                self.done = True
                return None
            self._reply = None
            if isinstance(call, self._shown):
                self._waiting = call
            else:
                self._reply = self._answer(self, call)
        return self._waiting

    def went_on(self, reply: object = None) -> None:
        """The call that peek() told was made, with this answer."""
        self._waiting, self._reply = None, reply


def shown_calls(events: list[Event]) -> tuple[type[Call], ...]:
    """Kinds of calls that a recording shows; chunks are known from QEMU's tracepoint only."""
    always = (SetMemslot, GetDirtyLog, ClearDirtyLog, ResetRings, SyncStart, SyncEnd)
    return (*always, ClearChunk) if any(event["op"] in ("CHUNK", "ELIDED") for event in events) else always


class Starter:
    """What a thread other than the migration's begins to do, told from the first call that it makes.

    Args:
        guest: the QEMU and its memory map.
        events: of the recording.
    """

    def __init__(self, guest: GuestMap, events: list[Event]) -> None:
        self._guest = guest
        self._events = events
        self.measuring = ""
        self.cancelled = False
        self.limit_wanted = False
        self.throttles = False

    def steps_of(self, name: str, index: int, row: Row | None) -> Callable[[Thread], Steps] | None:
        """What begins with an event.

        Args:
            name: of the thread.
            index: of the event.
            row: of a SET_MEM, the row that begins it.
        """
        event = self._events[index]
        if event["op"] in ("SET_MEM", "GET") or (event["op"] == "RESET_RINGS" and deletes_next(self._events, index)):
            change = self._memory_change(index, row)
            if change is not None:
                return change
        return self._by_thread(name, event["op"])

    def _memory_change(self, index: int, row: Row | None) -> Callable[[Thread], Steps] | None:
        """A slot that is deleted or created, when the memory map changes."""
        qemu, event = self._guest.qemu, self._events[index]
        if event["op"] in ("GET", "RESET_RINGS"):
            row = next((each for each in self._rows_after(index) if each[4] == 0), None)
            if row is None or (event["by"] == MAIN_THREAD and self._syncs(index)):
                return None
        if row is None:
            return None
        address_space, number, flags, base, pages = row[:5]
        if address_space not in range(len(qemu.slots)):
            return None
        same = [slot for slot in qemu.slots[address_space] if slot.number == number]
        if pages == 0 and same:
            return lambda thread: _locked(thread, kvm_all.kvm_set_phys_mem_delete(qemu, thread, same[0]))
        near = [each for each in qemu.slots[address_space] if each.base_gfn < base + pages]
        if pages and not any(base < each.base_gfn + each.pages for each in near):  # KVM has no two slots in one place
            slot = self._guest.slot_at(address_space, base, pages, flags & READONLY)
            return lambda thread: _locked(thread, kvm_all.kvm_set_phys_mem_add(qemu, thread, slot))
        return None

    def _rows_after(self, index: int) -> list[Row]:
        """Rows of the next SET_MEM of the thread of an event."""
        by = self._events[index]["by"]
        later = (each for each in self._events[index + 1 :] if each["op"] == "SET_MEM" and each["by"] == by)
        return list(next(later, {"l": []})["l"])

    def _syncs(self, index: int) -> bool:
        """Whether the sync before an event has not ended."""
        for event in reversed(self._events[:index]):
            if event["op"] == "TRACE" and event["ev"].startswith("migration_bitmap_sync_"):
                return bool(event["ev"] == "migration_bitmap_sync_start")
        return False

    def _by_thread(self, by: str, op: str) -> Callable[[Thread], Steps] | None:
        qemu = self._guest.qemu
        if by in ("get_dirtyrate", "mig/dirtyrate"):
            measure = calculate_dirtyrate_dirty_ring if "ring" in self.measuring else calculate_dirtyrate_dirty_bitmap
            return lambda thread: measure(qemu, thread)
        if by == "dirtyrate-stat":
            return self._dirty_limit(qemu, op)
        if by == "kvm-reaper" and op == "RESET_RINGS":
            return kvm_all.kvm_dirty_ring_reaper_thread
        if by.startswith("CPU ") and op == "RESET_RINGS":
            return kvm_all.kvm_dirty_ring_full
        if by == MAIN_THREAD:
            return self._main(qemu, op)
        return None

    def _dirty_limit(self, qemu: Qemu, op: str) -> Callable[[Thread], Steps]:
        if op != "SET_MEM":
            return lambda thread: vcpu_dirty_rate_stat_collect(qemu, thread)
        begin = vcpu_dirty_rate_stat_start if self.limit_wanted else vcpu_dirty_rate_stat_finish
        return lambda thread: begin(qemu, thread)

    def _main(self, qemu: Qemu, op: str) -> Callable[[Thread], Steps] | None:
        if op in ("GET", "TRACE", "RESET_RINGS"):
            if not (qemu.features.syncs_while_throttling and self.throttles):
                return None
            return lambda thread: migration_bitmap_sync_by_timer(qemu, thread)
        if op == "SET_MEM" and self.cancelled:
            self.cancelled = False
            return lambda thread: ram_save_cleanup(qemu, thread)
        return lambda thread: _locked(thread, memory_vm_change_state_handler(qemu, thread))


def deletes_next(events: list[Event], index: int) -> bool:
    """Whether the thread of an event deletes a slot with its next call; rings are reaped before."""
    by = events[index]["by"]
    later = next((each for each in events[index + 1 :] if each.get("by") == by), None)
    return later is not None and later["op"] == "SET_MEM" and any(row[4] == 0 for row in later["l"])


def _locked(thread: Thread, steps: Steps) -> Steps:
    """Steps of a thread that holds the big lock already."""
    with thread.holding(BIG_LOCK):
        yield from steps
