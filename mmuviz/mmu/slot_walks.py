"""Walks over the tables of one slot: splitting, arming, collapsing, of L1's tables and an L2's."""

from __future__ import annotations

from typing import Final

from mmuviz.ground.pages import BITS_PER_LONG, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_2M
from mmuviz.mmu import state as layout
from mmuviz.mmu import work
from mmuviz.mmu.collapse import collapse_slot, zap_collapsible_leaves
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.dirty_log import arm_words
from mmuviz.mmu.protect import clear_leaf_bits
from mmuviz.mmu.rmap import end_split_call, split_rmaps_of_level
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.stage2 import stage2_split
from mmuviz.mmu.state import DIRTY, I64, WRITABLE, MmuState
from mmuviz.mmu.tracking import split_restless
from mmuviz.mmu.vm import Vm

ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
HUGE_LEVELS: Final = (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)


class SlotWalks(Vm):
    """A VM and the walks that its ioctls are made of."""

    def __init__(self, config: VmConfig, *, record: bool = False) -> None:
        """Create the VM.

        Args:
            config: what was chosen; checked already.
            record: keep every event until take_events().
        """
        super().__init__(config, record=record)
        self._rounds: dict[int, I64] = {}

    def _split_range(self, tables: MmuState, start: int, end: int) -> None:
        """Eager splitting when logging starts. Kernel: kvm_mmu_slot_try_split_huge_pages(), mmu.c."""
        splitter, target = tables.conf[layout.CONF_SPLITTER], tables.conf[layout.CONF_TRACK_LEVEL]
        if not tables.conf[layout.CONF_EAGER]:
            return
        if splitter == layout.SPLITTER_TDP:
            self._walk(start, end, lambda gfn: try_split_huge_pages(tables, gfn, end, target))
        elif splitter == layout.SPLITTER_STAGE2:
            self._walk(start, end, lambda gfn: stage2_split(tables, gfn, end))
        elif splitter == layout.SPLITTER_RMAP:
            self._walk(start, end, lambda gfn: split_rmaps_of_level(tables, gfn, end, PG_LEVEL_1G))
            self._walk(start, end, lambda gfn: split_rmaps_of_level(tables, gfn, end, PG_LEVEL_2M))
            end_split_call(tables)

    def _arm_range(self, tables: MmuState, start: int, end: int) -> None:
        """Clear dirty bits for PML, then write access of all that PML does not track."""
        protected = ALL_LEVELS
        if tables.conf[layout.CONF_PML]:
            levels = ALL_LEVELS if tables.conf[layout.CONF_TDP_MMU] else 1 << PG_LEVEL_4K
            self._walk(start, end, lambda gfn: clear_leaf_bits(tables, gfn, end, levels, DIRTY))
            protected = HUGE_LEVELS if tables.conf[layout.CONF_TRACK_LEVEL] == PG_LEVEL_4K else 1 << PG_LEVEL_1G
        self._walk(start, end, lambda gfn: clear_leaf_bits(tables, gfn, end, protected, WRITABLE))

    def _collapse(self, tables: MmuState, row: int) -> None:
        """Zap or recover what could be huge; the shadow MMU and recovery flush once, else each zap does.

        Kernel: kvm_mmu_zap_collapsible_sptes() up to 6.12, kvm_mmu_recover_huge_pages() from 6.13
        """
        stat, kernel, tdp = tables.stat, self.config.kernel, tables.conf[layout.CONF_TDP_MMU]
        by_table = bool(tdp) and kernel.disable_zaps_tables
        start, end = (int(tables.slots[row, column]) for column in (layout.SLOT_BASE, layout.SLOT_END))
        step = collapse_slot if by_table else zap_collapsible_leaves
        before = int(stat[layout.STAT_TABLES_COLLAPSED]), int(stat[layout.STAT_PAGES : layout.STAT_TABLE_PAGES].sum())
        self._walk(start, end, lambda gfn: step(tables, row, gfn))
        collapsed = int(stat[layout.STAT_TABLES_COLLAPSED]) - before[0]
        zapped = before[1] - int(stat[layout.STAT_PAGES : layout.STAT_TABLE_PAGES].sum())
        changed = collapsed if by_table else zapped
        once = not tdp or kernel.recovers_huge_pages_in_place
        stat[layout.STAT_TLB_FLUSHES] += min(changed, 1) if once else changed

    def _span(self, row: int) -> tuple[int, int]:
        """First gfn and number of pages of a slot."""
        base, end = (int(self._state.slots[row, column]) for column in (layout.SLOT_BASE, layout.SLOT_END))
        return base, end - base

    def _bitmap(self, row: int, first_word: int, words: int) -> I64:
        """Words of KVM's own bitmap of a slot: a view."""
        at = int(self._state.slots[row, layout.SLOT_DIRTY_AT]) + first_word
        return self._state.dirty[at : at + words]

    def _before_arming(self, slot_id: int, row: int, first_word: int, masks: I64) -> int:
        """What comes before L1's tables are armed: the hybrid's splits, the tables of an L2.

        Returns:
            Masks armed so far, for _flush_if_armed().
        """
        armed = int(self._state.stat[layout.STAT_MASKS_ARMED])
        rounds, limit, l2 = self._rounds.get(slot_id), self.config.tracking.rounds_to_4k, self._l2
        if rounds is not None and limit is not None:
            base = self._span(row)[0]
            first = base + first_word * BITS_PER_LONG
            part = rounds[(first >> SHIFT_2M) - (base >> SHIFT_2M) :]
            self._walk(0, len(part), lambda at: split_restless(self._state, first, masks, part, limit, at))
        if l2 is not None:
            mine = masks.copy()
            self._walk(0, len(mine), lambda word: arm_words(l2, row, first_word, mine, word))
        return armed

    def _flush_if_armed(self, before: int) -> None:
        """One flush at the end of a call that armed anything. Kernel: kvm_flush_remote_tlbs_memslot()."""
        armed, mode = int(self._state.stat[layout.STAT_MASKS_ARMED]) != before, self.config.dirty_log_mode
        entry = work.WORK_CLEAR_FLUSH if mode.manual else work.WORK_GET_FLUSH
        self._state.work[work.WORK_RING_FLUSH if mode.ring else entry] += armed
        self._state.stat[layout.STAT_TLB_FLUSHES] += armed
