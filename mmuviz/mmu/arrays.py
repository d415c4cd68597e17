"""Arrays of one VM, and the parts that all operations on them share: slots by id, the event log, walks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from mmuviz.core.errors import KvmEinval, KvmEnoent
from mmuviz.mmu import state as mmu
from mmuviz.mmu.cell_count import count_all
from mmuviz.mmu.cells import CELL_COLUMNS
from mmuviz.mmu.conf import shadow_of_l2, write_conf
from mmuviz.mmu.config import Memslot, Mmu, VmConfig
from mmuviz.mmu.examples import EXAMPLE_COLUMNS, EXAMPLES
from mmuviz.mmu.fault import unmap_gfn_range
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.stats import MemoryOverhead, overhead_peak

MAX_MEMSLOTS: Final = 32_764
"""Kernel: KVM_USER_MEM_SLOTS, include/linux/kvm_host.h."""
WalkStep = Callable[[int], int]
"""A compiled walk: takes the position to continue from, returns the position at which it stopped."""


class VmArrays:
    """State shared by all operations of one VM.

    Attributes:
        config: the VM's configuration.
        state: L1's tables and everything else that compiled code reads.
        l2: the tables of an L2, if there is one.
        memslots: userspace's memslots by id.
        fetched: slots whose bitmap userspace has fetched before, so that its buffer for it is populated.
        rounds: by logged slot, the number of successive GETs in which each 2M region was dirty.
    """

    def __init__(self, config: VmConfig, *, record: bool) -> None:
        """Create the arrays of a VM without memslots.

        Args:
            config: the VM's configuration, already checked.
            record: keep every event until take_events().
        """
        self.config = config
        ring_entries = (config.ring_entries or 0) if config.dirty_log_mode.ring else 0
        self.state = mmu.new_state(config.vcpus, ring_entries, record=record)
        self.memslots: dict[int, Memslot] = {}
        self.fetched: set[int] = set()
        self.rounds: dict[int, I64] = {}
        self._events: list[I64] = []
        self._peak = MemoryOverhead(0, 0, 0, 0, 0, 0, 0)
        write_conf(self.state.conf, config)
        self.state.conf[mmu.CONF_LOG] = mmu.LOG_TRACED if record else mmu.LOG_NOTHING
        self.l2 = shadow_of_l2(self.state, config) if config.mmu is Mmu.NESTED else None
        self.reset_tables_above(self.state)

    def reset_tables_above(self, state: MmuState) -> None:
        """Reset the count of the tables above 1 GiB to the root of L1's tables."""
        state.stat[mmu.STAT_TABLES_ABOVE] = 1
        state.stat[mmu.STAT_SHADOW_PAGES] = 0 if state.conf[mmu.CONF_TDP_MMU] else 1

    @property
    def tables(self) -> list[MmuState]:
        """The tables of an L2, if there is one, then L1's: the order in which KVM handles them."""
        return [self.state] if self.l2 is None else [self.l2, self.state]

    # Memslots by id

    def row(self, slot_id: int) -> int:
        """Row of a memslot in the slot table.

        Raises:
            KvmEinval: no such slot id can exist.
            KvmEnoent: the slot is absent.
        """
        self.check_slot_id(slot_id)
        if slot_id not in self.memslots:
            raise KvmEnoent(f"slot={slot_id} does not exist; slots: {sorted(self.memslots)}")
        return int(np.flatnonzero(self.state.slots[:, mmu.SLOT_ID] == slot_id)[0])

    def check_slot_id(self, slot_id: int) -> None:
        """Refuse an id that KVM cannot have.

        Raises:
            KvmEinval: the id is out of range.
        """
        if not 0 <= slot_id < MAX_MEMSLOTS:
            raise KvmEinval(f"slot={slot_id} must be 0 to {MAX_MEMSLOTS - 1}")

    def span(self, row: int) -> tuple[int, int]:
        """First gfn and number of pages of a slot."""
        base, end = (int(self.state.slots[row, column]) for column in (mmu.SLOT_BASE, mmu.SLOT_END))
        return base, end - base

    def bitmap(self, row: int, first_word: int, words: int) -> I64:
        """Words of KVM's own bitmap of a slot: a view."""
        at = int(self.state.slots[row, mmu.SLOT_DIRTY_AT]) + first_word
        return self.state.dirty[at : at + words]

    # Walks and the log

    def walk(self, start: int, end: int, step: WalkStep) -> None:
        """Repeat a compiled walk until it reaches the end, emptying the event log between calls."""
        at = start
        while True:
            at = step(at)
            if at >= end:
                return
            self.drain_log()

    def unmap(self, tables: MmuState, first: int, end: int) -> None:
        """Call the MMU notifier for gfns [first, end) of some tables."""
        self.walk(first, end, lambda gfn: unmap_gfn_range(tables, gfn, end))

    def zap_other_tables(self, done: MmuState) -> None:
        """Zap the other tables of a nested VM after the MMU notifier has zapped some; one flush serves both."""
        stat = self.state.stat
        first, end = int(stat[mmu.STAT_ZAP_FIRST]), int(stat[mmu.STAT_ZAP_END])
        stat[mmu.STAT_ZAP_END] = 0
        flushes = int(stat[mmu.STAT_TLB_FLUSHES])
        for tables in self.tables:
            if tables is not done and end:
                self.unmap(tables, first, end)
        if stat[mmu.STAT_ZAP_FLUSHED]:
            stat[mmu.STAT_TLB_FLUSHES] = flushes

    def drain_log(self) -> None:
        """Move the events from compiled code's log to the list of events, to make room in the log."""
        rows = int(self.state.stat[mmu.STAT_LOG_ENTRIES])
        if rows:
            self._events.append(self.state.log[:rows].copy())
            self.state.stat[mmu.STAT_LOG_ENTRIES] = 0

    def take_events(self) -> I64:
        """Events since the last call: int64[n, LOG_COLUMNS] runs, see MmuState."""
        self.drain_log()
        taken = np.concatenate(self._events) if self._events else np.zeros((0, mmu.LOG_COLUMNS), dtype=np.int64)
        self._events = []
        return taken

    def log_all(self, mode: int, first_gfn: int, end_gfn: int) -> None:
        """Choose what is logged, and of which pages, from now on.

        Args:
            mode: LOG_NOTHING, LOG_TRACED or LOG_ALL.
            first_gfn: first page of the focus.
            end_gfn: the page after its last.
        """
        log = self.state.log
        if mode != mmu.LOG_NOTHING and not len(log):
            log = np.zeros((mmu.LOG_ROWS, mmu.LOG_COLUMNS), dtype=np.int64)
        self.state = self.state._replace(log=log)
        self.l2 = None if self.l2 is None else self.l2._replace(log=log)
        for tables in self.tables:
            tables.conf[mmu.CONF_LOG] = mode
            tables.conf[[mmu.CONF_FOCUS_FIRST, mmu.CONF_FOCUS_END]] = first_gfn, end_gfn

    def count_cells(self, cell_row: mmu.I32, cells: int, shift: int) -> None:
        """From now on, count cells of the tables that the innermost guest runs on, and keep examples.

        Args:
            cell_row: int32[2**18], see MmuState.
            cells: number of cells.
            shift: a cell spans 2 ** shift pages.
        """
        examples = np.zeros((EXAMPLES, EXAMPLE_COLUMNS), dtype=np.int64)
        counts, rows = np.zeros((cells, CELL_COLUMNS), dtype=np.int64), np.ascontiguousarray(cell_row)
        shown: dict[str, Any] = {"examples": examples, "dirty_cells": counts, "cell_row": rows}
        shown["cell_changed"] = np.zeros(cells, dtype=np.uint8)
        self.state = self.state._replace(**shown)
        if self.l2 is None:
            self.state = self.state._replace(cells=counts)
        else:
            self.l2 = self.l2._replace(cells=counts, **shown)
        for tables in self.tables:
            tables.conf[mmu.CONF_CELL_SHIFT] = shift
        count_all(self.tables[0])

    def recount(self) -> None:
        """Count the cells again after tables were removed without an event for each entry."""
        if len(self.tables[0].cells):
            count_all(self.tables[0])

    # Memory

    def note_peak(self) -> MemoryOverhead:
        """Update the peak of the memory overhead; returns the largest value of each part so far."""
        self._peak = overhead_peak(self.state, self._peak)
        return self._peak
