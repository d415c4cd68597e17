"""The ioctls of dirty logging in time: each walks in steps, and changes the tables at a step's beginning."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.cost_table import PS_PER_NS
from mmuviz.engine.ioctl_cost import topping_up_ps
from mmuviz.engine.timed import SLOT, TimedMachine, resume
from mmuviz.ground.pages import (
    BITS_PER_LONG,
    PAGES_PER_1G,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
)
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_log import clear_dirty_log_protect, get_dirty_log_protect
from mmuviz.mmu.dirty_ring import ALL_MASKS, dirty_ring_reset
from mmuviz.mmu.locks import Path, drops_lock_to_allocate
from mmuviz.mmu.rmap import end_split_call, split_rmaps_of_level
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.tracking import regions_of
from mmuviz.mmu.work import WORK_CLEAR, WORK_GET


class TimedIoctls(TimedMachine):
    """The ioctls that the drivers call."""

    # Enabling

    def enable(self, slot_id: int = SLOT) -> None:
        """KVM_SET_USER_MEMORY_REGION with KVM_MEM_LOG_DIRTY_PAGES."""
        with self.call("enable"):
            self.meter.take()
            self.enable_dirty_logging(slot_id)
            self.elapse_work()
            if not self.config.dirty_log_mode.initially_set:
                self.flush()

    def _fill_bitmap(self, row: int) -> None:
        """The fixed part of enabling, before any walk."""
        super()._fill_bitmap(row)
        self.elapse_work()

    def _units(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Steps of a walk: 2 MiB while vCPUs run, else 1 GiB."""
        size = PAGES_PER_1G if self.quiet else PAGES_PER_2M
        return pairwise([start, *range((start // size + 1) * size, end, size), end])

    def _split_range(self, tables: MmuState, start: int, end: int) -> None:
        """Eager splitting when logging starts; the shadow MMU goes over the slot level by level."""
        if not tables.conf[mmu.CONF_EAGER] or tables.conf[mmu.CONF_SPLITTER] == mmu.SPLITTER_NONE:
            return
        path = Path.L2_ENABLE_SPLIT if tables.conf[mmu.CONF_L2] else Path.ENABLE_SPLIT
        self.lock(path)
        if tables.conf[mmu.CONF_SPLITTER] == mmu.SPLITTER_RMAP:
            for level in (PG_LEVEL_1G, PG_LEVEL_2M):
                for low, high in self._units(start, end):
                    self._split_unit(tables, low, high, level, path, end - start)
            end_split_call(tables)
        else:
            for low, high in self._units(start, end):
                self._split_unit(tables, low, high, 0, path, end - start)
        self.unlock()

    def _split_unit(self, tables: MmuState, low: int, high: int, level: int, path: Path, pages: int) -> None:
        """One step of splitting: of one level by rmap, or of all."""
        before, topups = int(tables.stat[mmu.STAT_TABLE_PAGES]), int(tables.stat[mmu.STAT_SPLIT_TOPUPS])
        tlbis = int(tables.stat[mmu.STAT_TLBIS])
        if level:
            self._walk(low, high, lambda gfn: split_rmaps_of_level(tables, gfn, high, level))
        else:
            super()._split_range(tables, low, high)
        splits = int(tables.stat[mmu.STAT_TABLE_PAGES]) - before
        if not splits:
            self.elapse_work(pages)
            return
        drops = drops_lock_to_allocate(self.config, l2=bool(tables.conf[mmu.CONF_L2]))
        if not self.quiet and (drops == "always" or tables.stat[mmu.STAT_SPLIT_TOPUPS] != topups):
            self.relock(path)
        if tables.stat[mmu.STAT_TLBIS] != tlbis:
            self.broadcast(int(tables.stat[mmu.STAT_TLBIS]) - tlbis)
        self.elapse_work(pages)

    def _arm_range(self, tables: MmuState, start: int, end: int) -> None:
        """Arming when logging starts."""
        self.lock(Path.L2_ENABLE_PROTECT if tables.conf[mmu.CONF_L2] else Path.ENABLE_PROTECT)
        for low, high in self._units(start, end):
            super()._arm_range(tables, low, high)
            self.elapse_work(end - start)
        self.unlock()

    def pre_split(self) -> None:
        """The pre-split of 2020, before logging starts: a dummy vCPU faults every page."""
        with self.call("pre_split"):
            self.split_by_faulting(SLOT)

    def _fault_range(self, vcpu: int, row: int, level: int, start: int, end: int) -> None:
        """The pre-splitting thread's faults; it holds mmu_lock for so short a while that nobody queues for it."""
        for low, high in self._units(start, end):
            super()._fault_range(vcpu, row, level, low, high)
            calls = regions_of(low, high - low) if level == PG_LEVEL_2M else high - low
            self.elapse(calls * self.prices.host["pre_split_ns"] * PS_PER_NS)

    # The log

    def get(self, slot_id: int = SLOT) -> I64:
        """KVM_GET_DIRTY_LOG of the slot.

        Args:
            slot_id: the slot.

        Returns:
            int64[words], 64 pages a word.
        """
        with self.call("get"):
            return self._get_manual(slot_id) if self.config.dirty_log_mode.manual else self._get_legacy(slot_id)

    def _get_manual(self, slot_id: int) -> I64:
        self.meter.take()
        bits = self.get_dirty_log(slot_id)
        self.elapse_work()
        return bits

    def _get_legacy(self, slot_id: int) -> I64:
        self.meter.take()
        self._state.work[WORK_GET] += 1
        self.elapse_work()
        row = self._row(slot_id)
        words = -(-self._span(row)[1] // BITS_PER_LONG)
        buffer = np.zeros(words, dtype=np.int64)
        self.lock(Path.GET)
        armed = self._before_arming(slot_id, row, 0, self._bitmap(row, 0, words))
        for first, stop in self._words(words):
            self._get_unit(row, first, buffer[:stop], words)
        self._end_of_words(armed)
        return buffer

    def _get_unit(self, row: int, first: int, part: I64, words: int) -> None:
        """One step of GET: words `first` to the end of `part`."""
        self._walk(first, len(part), lambda word: get_dirty_log_protect(self._state, row, part, word))
        self.elapse_work(words * BITS_PER_LONG)

    def clear(self, first_page: int, bits: I64, slot_id: int = SLOT) -> None:
        """KVM_CLEAR_DIRTY_LOG of a range of the slot.

        Args:
            first_page: of the range, counted from the slot's start.
            bits: int64[words] of the range.
            slot_id: the slot.
        """
        with self.call("clear"):
            self.meter.take()
            self._state.work[WORK_CLEAR] += 1
            self.elapse_work()
            row, first_word = self._row(slot_id), first_page // BITS_PER_LONG
            self.lock(Path.CLEAR)
            held = bits & self._bitmap(row, first_word, len(bits))
            # An L2's tables are split and armed for the whole call before any word of L1's is.
            armed = self._before_arming(slot_id, row, first_word, held)
            self.elapse_work(len(bits) * BITS_PER_LONG)
            for first, stop in self._words(len(bits)):
                self._clear_unit(row, first_word, first, bits[:stop], len(bits))
            self._end_of_words(armed)

    def _clear_unit(self, row: int, first_word: int, first: int, part: I64, words: int) -> None:
        """One step of CLEAR: words `first` to the end of `part`."""
        stat = self._state.stat
        before, topups, tlbis = self.table_pages(), int(stat[mmu.STAT_SPLIT_TOPUPS]), int(stat[mmu.STAT_TLBIS])
        self._walk(first, len(part), lambda word: clear_dirty_log_protect(self._state, row, first_word, part, word))
        splits = self.table_pages() - before
        topups, tlbis = int(stat[mmu.STAT_SPLIT_TOPUPS]) - topups, int(stat[mmu.STAT_TLBIS]) - tlbis
        if splits and not self.quiet and (drops_lock_to_allocate(self.config) == "always" or topups):
            self.relock(Path.CLEAR)
        if splits and tlbis:
            self.broadcast(tlbis)
        self.elapse(topping_up_ps(self.prices, topups))
        self.elapse_work(words * BITS_PER_LONG)

    def _words(self, words: int) -> Iterator[tuple[int, int]]:
        """Steps of GET and CLEAR, in words: 2 MiB while vCPUs run, else 1 GiB."""
        size = (PAGES_PER_1G if self.quiet else PAGES_PER_2M) // BITS_PER_LONG
        return pairwise([*range(0, words, size), words])

    def _end_of_words(self, armed: int) -> None:
        flushes = int(self._state.stat[mmu.STAT_TLB_FLUSHES])
        self._flush_if_armed(armed)
        self.unlock()
        self.elapse_work()
        if int(self._state.stat[mmu.STAT_TLB_FLUSHES]) != flushes:
            self.flush()

    def reap(self) -> int:
        """The reaper harvests every ring, and KVM_RESET_DIRTY_RINGS arms the pages again.

        Returns:
            Entries harvested.
        """
        stat, clock = self._state.stat, self.clock
        with self.call("reset"):
            self.meter.take()
            entries = sum(len(pages) for _, pages in self.collect_dirty_rings())
            self.elapse_work()
            armed = int(stat[mmu.STAT_MASKS_ARMED])
            self.reset_dirty_rings()
            self.elapse_work()
            if int(stat[mmu.STAT_MASKS_ARMED]) != armed:
                self.flush()
        for vcpu in np.flatnonzero(clock.phase == layout.RING_FULL):
            resume(clock, int(vcpu), max(self.time, int(clock.now[vcpu])))
        return entries

    def _reset_ring(self, tables: MmuState, vcpu: int) -> None:
        """One ring; while vCPUs run, mmu_lock is taken anew for each mask of up to 64 pages."""
        at = self._state.ring_at[vcpu]
        self.elapse_work()
        while at[mmu.RING_RESET_INDEX] < at[mmu.RING_HARVEST_INDEX]:
            self.lock(Path.RING_RESET)
            dirty_ring_reset(tables, vcpu, ALL_MASKS if self.quiet else 1)
            self._drain()
            self.elapse_work()
            self.unlock()

    def let_run(self, until: int) -> None:
        """Userspace waits for the vCPUs, and reaps the rings whenever one is full.

        Args:
            until: the time up to which it waits, unless they are done before.
        """
        clock = self.clock
        while (clock.phase == layout.RING_FULL).any() or self.run_until(until, reaps=True):
            full = clock.now[clock.phase == layout.RING_FULL]
            self.time = max(self.time, int(full.min()))
            self.reap()

    # Disabling

    def disable(self, slot_id: int = SLOT) -> None:
        """KVM_SET_USER_MEMORY_REGION without the flag."""
        with self.call("disable"):
            self.meter.take()
            self.disable_dirty_logging(slot_id)
            self.elapse_work()

    def _collapse(self, tables: MmuState, row: int) -> None:
        """Zap or recover; for the walk the slot is as long as the step, so that it ends there."""
        self.elapse_work()
        self.lock(Path.L2_DISABLE if tables.conf[mmu.CONF_L2] else Path.DISABLE)
        slot, stat = tables.slots[row], tables.stat
        start, end = int(slot[mmu.SLOT_BASE]), int(slot[mmu.SLOT_END])
        flushes = int(stat[mmu.STAT_TLB_FLUSHES])
        # The TDP MMU before it recovered huge pages in place flushes for each of them.
        once = not tables.conf[mmu.CONF_TDP_MMU] or self.config.kernel.recovers_huge_pages_in_place
        whole = self._slots[int(slot[mmu.SLOT_ID])].backing.level == PG_LEVEL_1G or self.quiet
        size = PAGES_PER_1G if whole else PAGES_PER_2M
        for low, high in pairwise([start, *range((start // size + 1) * size, end, size), end]):
            before = int(stat[mmu.STAT_TLB_FLUSHES])
            slot[mmu.SLOT_BASE], slot[mmu.SLOT_END] = low, high
            super()._collapse(tables, row)
            slot[mmu.SLOT_BASE], slot[mmu.SLOT_END] = start, end
            self.elapse_work()
            if not once:
                self.flush(int(stat[mmu.STAT_TLB_FLUSHES]) - before)
        asked = int(stat[mmu.STAT_TLB_FLUSHES]) - flushes
        if once and asked:
            stat[mmu.STAT_TLB_FLUSHES] = flushes + 1
        self.unlock()
        if once and asked:
            self.flush()
