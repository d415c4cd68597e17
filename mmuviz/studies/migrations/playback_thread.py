"""Threads of the modelled QEMU, each executed up to its next call of a kind that a recording contains."""

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


class PlaybackThread:
    """A function of a QEMU thread, executed call by call.

    Args:
        name: name of the thread.
        steps: function that makes the generator of calls, given the locks of the thread.
        answer: function that answers the calls that a recording does not contain.
        shown: kinds of calls that a recording contains.
    """

    def __init__(
        self,
        name: str,
        steps: Callable[[Thread], Steps],
        answer: Callable[[PlaybackThread, Call], object],
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
        """Execute up to the next call of a recorded kind; return it, or None if the thread ends or enough() is true."""
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

    def resume(self, reply: object = None) -> None:
        """Pass the answer to the call that peek() returned."""
        self._waiting, self._reply = None, reply


def shown_calls(events: list[Event]) -> tuple[type[Call], ...]:
    """Return the kinds of calls that a recording contains; cleared chunks are known only from QEMU's tracepoint."""
    always = (SetMemslot, GetDirtyLog, ClearDirtyLog, ResetRings, SyncStart, SyncEnd)
    return (*always, ClearChunk) if any(event["op"] in ("CHUNK", "ELIDED") for event in events) else always


class Starter:
    """Selects the function that a thread other than the migration thread executes, from its first recorded call.

    Args:
        guest: the QEMU and its memory map.
        events: events of the recording.
    """

    def __init__(self, guest: GuestMap, events: list[Event]) -> None:
        self._guest = guest
        self._events = events
        self.measuring = ""
        self.cancelled = False
        self.limit_wanted = False
        self.throttles = False

    def steps_of(self, name: str, index: int, row: Row | None) -> Callable[[Thread], Steps] | None:
        """Return the function that begins with an event; None if no function does.

        Args:
            name: name of the thread.
            index: index of the event.
            row: the first row of the event, if it is a SET_MEM.
        """
        event = self._events[index]
        if event["op"] in ("SET_MEM", "GET") or (event["op"] == "RESET_RINGS" and deletes_next(self._events, index)):
            change = self._memory_change(index, row)
            if change is not None:
                return change
        return self._by_thread(name, event["op"])

    def _memory_change(self, index: int, row: Row | None) -> Callable[[Thread], Steps] | None:
        """Return the function that deletes or creates a memslot; None if the event does not change the memory map."""
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
        if pages and not any(base < each.base_gfn + each.pages for each in near):  # memslots of KVM do not overlap
            slot = self._guest.slot_at(address_space, base, pages, flags & READONLY)
            return lambda thread: _locked(thread, kvm_all.kvm_set_phys_mem_add(qemu, thread, slot))
        return None

    def _rows_after(self, index: int) -> list[Row]:
        """Return the rows of the next SET_MEM by the thread of an event."""
        by = self._events[index]["by"]
        later = (each for each in self._events[index + 1 :] if each["op"] == "SET_MEM" and each["by"] == by)
        return list(next(later, {"l": []})["l"])

    def _syncs(self, index: int) -> bool:
        """Whether an event is inside a sync."""
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
    """Whether the next call of an event's thread deletes a memslot; rings are reaped before that."""
    by = events[index]["by"]
    later = next((each for each in events[index + 1 :] if each.get("by") == by), None)
    return later is not None and later["op"] == "SET_MEM" and any(row[4] == 0 for row in later["l"])


def _locked(thread: Thread, steps: Steps) -> Steps:
    """Yield the steps of a thread that already holds the big lock."""
    with thread.holding(BIG_LOCK):
        yield from steps
