"""A machine that also notes which access each event belongs to, and what the processor does unseen by KVM."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.ground.compiled import compiled
from mmuviz.ground.pages import SHIFT_1G, SHIFT_2M, SPTE_INDEX_MASK
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.events import FAST, FAST_FIXED, KIND_MASK, KIND_SHIFT, log_event, log_is_low
from mmuviz.mmu.state import (
    CONF_TDP_MMU,
    DIRTY,
    DONE,
    I64,
    LOG_CODE,
    LOG_COUNT,
    PRESENT,
    STAT_LOG_ENTRIES,
    STOP_LOG_FULL,
    TABLE,
    MmuState,
)
from mmuviz.mmu.touch import guest_access
from mmuviz.mmu.vm import Vm

CPU_DIRTY_CODE: Final = 5
"""Code of our own in the machine's log: no tracepoint's, so whoever asks for tracepoints never sees it."""
CHUNK: Final = 1 << 16


@compiled
def leaf_word(state: MmuState, gfn: int) -> int:
    """Bits of the leaf that maps a gfn, or of what stands in its place."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    at = (row << SHIFT_2M) | ((gfn >> SHIFT_2M) & SPTE_INDEX_MASK)
    word = int(state.l2[at])
    if word & TABLE:
        word = int(state.l1[(at << SHIFT_2M) | (gfn & SPTE_INDEX_MASK)])
    return word


@compiled
def note_cpu_dirty(state: MmuState, gfn: int, before: int, rows: int, entries: int) -> None:
    """Log that the processor set a dirty bit, where it did in an access that just retired.

    It did where the leaf had none before and KVM installed none: KVM did nothing, or only fixed the
    leaf in fast_page_fault(), which leaves the dirty bit alone.

    Args:
        state: its log grows.
        gfn: the page written.
        before: its leaf's word before the access.
        rows: rows of the log before the access.
        entries: entries of the last of them.
    """
    if not before & PRESENT or before & DIRTY or not leaf_word(state, gfn) & DIRTY:
        return
    now = int(state.stat[STAT_LOG_ENTRIES])
    quiet = now == rows and (rows == 0 or state.log[rows - 1, LOG_COUNT] == entries)
    last = int(state.log[now - 1, LOG_CODE]) if now > 0 else 0
    if quiet or (last & KIND_MASK == FAST and (last >> KIND_SHIFT) & 255 == FAST_FIXED):
        log_event(state.log, state.stat, CPU_DIRTY_CODE, gfn)


@compiled
def guest_access_noted(state: MmuState, vcpus: I64, gfns: I64, write: int, start: int, events: I64) -> tuple[int, int]:
    """guest_access(), one access at a time, counting the events of each.

    Args:
        state: changed in place.
        vcpus: int64[1] or int64[n].
        gfns: int64[n].
        write: 1 for writes, 0 for reads.
        start: access to go on from.
        events: int64[n], grows by the events that each access logged.

    Returns:
        What it stopped for, and the access that did not retire.
    """
    log = state.log
    for index in range(start, len(gfns)):
        if log_is_low(state):
            return STOP_LOG_FULL, index
        rows = int(state.stat[STAT_LOG_ENTRIES])
        entries = int(log[rows - 1, LOG_COUNT]) if rows > 0 else 0
        before = leaf_word(state, gfns[index])
        turn = index if len(vcpus) > 1 else 0
        stop, _ = guest_access(state, vcpus[turn : turn + 1], gfns[index : index + 1], write, 0)
        if stop == DONE and write and state.conf[CONF_TDP_MMU] != 0:
            note_cpu_dirty(state, gfns[index], before, rows, entries)
        if rows > 0:
            events[index] += log[rows - 1, LOG_COUNT] - entries
        for row in range(rows, state.stat[STAT_LOG_ENTRIES]):
            events[index] += log[row, LOG_COUNT]
        if stop != DONE:
            return stop, index
    return DONE, len(gfns)


class TapedMachine(Vm):
    """The machine, with `marks`: which access the events so far belong to.

    It answers exactly as Vm does. A mark (access, events) says that the events since the mark
    before it, up to the first `events` of this op, belong to that access.
    """

    def __init__(self, config: VmConfig) -> None:
        """Create the VM.

        Args:
            config: what was chosen.
        """
        super().__init__(config, record=True, access_loop=self._noting_loop)
        self.taken: I64 = np.zeros((0, 4), dtype=np.int64)
        self.marks: list[I64] = []
        self._marked = 0

    def _noting_loop(self, tables: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        """The plain loop, noting the access of each event."""
        self._mark(start, self.events_logged() - self._marked)
        stop, index = DONE, start
        while index < len(gfns):
            chunk = slice(index, index + CHUNK)
            turns = vcpus[chunk] if len(vcpus) > 1 else vcpus
            events = np.zeros(len(gfns[chunk]), dtype=np.int64)
            stop, done = guest_access_noted(tables, turns, gfns[chunk], write, 0, events)
            for access in np.flatnonzero(events):
                self._mark(index + int(access), int(events[access]))
            index += done
            if stop == STOP_LOG_FULL:
                self.drain_log()
            elif stop != DONE:
                break
        return stop, index

    def _mark(self, access: int, events: int) -> None:
        if events:
            self._marked += events
            self.marks.append(np.array([access, self._marked], dtype=np.int64))

    def take_events(self) -> I64:
        """Vm.take_events(), keeping what was taken in `taken`.

        Returns:
            int64[n, 4] runs of (code, first gfn, stride, count).
        """
        self.taken = super().take_events()
        return self.taken

    def rewind(self) -> None:
        """Forget the marks: an op begins."""
        self.marks = []
        self._marked = 0
