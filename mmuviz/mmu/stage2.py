"""arm64: write protection first, then splitting, each block by break-before-make.

Follows the source (arch/arm64/kvm/mmu.c and hyp/pgtable.c of 6.12), not recordings. The guest's tables
have four levels, as on x86. Events describe the changes in the TDP MMU's terms, although arm64 has no
such tracepoints. It has no dirty bit either: a leaf that was ever writable keeps DIRTY.
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_exported
from mmuviz.core.pages import (
    BITS_PER_LONG,
    PAGES_PER_1G,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
)
from mmuviz.mmu import work
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.protect import clear_leaf_bits
from mmuviz.mmu.split import split_1g, split_2m
from mmuviz.mmu.state import (
    CONF_CHUNK_PAGES,
    CONF_INIT_SET,
    PRESENT,
    STAT_SPLIT_CACHE,
    STAT_SPLIT_TOPUPS,
    STAT_TLBIS,
    TABLE,
    WRITABLE,
    MmuState,
)

ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
TABLES_OF_1G: Final = SPTE_ENT_PER_PAGE + 1
"""Tables that split a 1G block straight down to 4K."""


@jit_inline_exported
def cache_capacity(chunk_pages: int) -> int:
    """Tables that the split cache holds for a chunk. Kernel: kvm_mmu_split_nr_page_tables()."""
    return -(-chunk_pages // PAGES_PER_1G) + -(-chunk_pages // PAGES_PER_2M)


@jit
def stage2_split(state: MmuState, start: int, end: int, entry: int = work.WORK_SPLIT_ENABLE_2M) -> int:
    """Split every block of [start, end), chunk by chunk; the cache is refilled before a chunk unless it is full.

    Args:
        state: stage-2 tables, changed in place.
        start: first gfn.
        end: gfn after the last.
        entry: work entry that counts splits of 2M; the next entry counts those of 1G.

    Returns:
        The gfn to continue from; at least `end` when done, less when the event log must be emptied.

    Kernel: kvm_mmu_split_huge_pages(), arch/arm64/kvm/mmu.c
    """
    chunk = int(state.conf[CONF_CHUNK_PAGES])
    capacity = cache_capacity(chunk)
    at = start
    while at < end:
        if end - start > BITS_PER_LONG and log_is_low(state):
            return at
        if state.stat[STAT_SPLIT_CACHE] < capacity:
            state.stat[STAT_SPLIT_CACHE] = capacity
            state.stat[STAT_SPLIT_TOPUPS] += 1
        stop = min((at // chunk + 1) * chunk, end)
        row = int(state.row_of[at >> SHIFT_1G])
        if row >= 0:
            split_chunk(state, row, at & (PAGES_PER_1G - 1), (stop - 1) & (PAGES_PER_1G - 1), entry)
        at = stop
    return end


@jit
def split_chunk(state: MmuState, row: int, first: int, last: int, entry: int) -> None:
    """Split the blocks that map pages first to last of one 1 GiB row.

    A 1G block is broken once and split straight to 4K if the cache holds all tables for it. Otherwise it is
    split to 2M, and the walk continues with the 2M blocks of the chunk. Each break is one TLBI by address.

    Kernel: stage2_split_walker() and stage2_try_break_pte(), arch/arm64/kvm/hyp/pgtable.c
    """
    if state.l3[row] & PRESENT:
        state.stat[STAT_TLBIS] += 1
        whole = state.stat[STAT_SPLIT_CACHE] >= TABLES_OF_1G
        split_1g(state, row)
        state.work[entry + 1] += 1
        state.stat[STAT_SPLIT_CACHE] -= 1
        if whole:
            for index in range(SPTE_ENT_PER_PAGE):
                split_2m(state, row, index)
            state.work[entry] += SPTE_ENT_PER_PAGE
            state.stat[STAT_SPLIT_CACHE] -= SPTE_ENT_PER_PAGE
            return
    if state.l3[row] & TABLE:
        for index in range(first >> SHIFT_2M, (last >> SHIFT_2M) + 1):
            if state.l2[(row << SHIFT_2M) | index] & PRESENT:
                state.stat[STAT_TLBIS] += 1
                split_2m(state, row, index)
                state.work[entry] += 1
                state.stat[STAT_SPLIT_CACHE] -= 1


@jit
def stage2_enable_log_dirty_pt_masked(state: MmuState, start: int, end: int, verb: int) -> None:
    """Arm the pages of one mask: protect all pages from its first to its last, blocks included.

    Under initially-all-set the blocks are split afterwards, so their children stay protected.

    Args:
        state: stage-2 tables, changed in place.
        start: gfn of the mask's lowest bit.
        end: gfn after that of its highest bit.
        verb: work entry of a word.

    Kernel: kvm_arch_mmu_enable_log_dirty_pt_masked(), arch/arm64/kvm/mmu.c
    """
    clear_leaf_bits(state, start, end, ALL_LEVELS, WRITABLE, verb + work.PAGE)
    if state.conf[CONF_INIT_SET] != 0 and state.conf[CONF_CHUNK_PAGES] != 0:
        stage2_split(state, start, end, work.WORK_SPLIT_CLEAR_2M)
