"""Walks of ioctls over tables, bitmaps and rings, part by part, in compiled code.

The caller sets the size of the parts, so that time can pass between them. A part begins, runs, possibly
in several calls between which the event log is emptied, and ends.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.collapse import collapse_slot, zap_collapsible_leaves
from mmuviz.mmu.config import MAX_GFN
from mmuviz.mmu.counting import leaves_of
from mmuviz.mmu.dirty_log import arm_words, clear_dirty_log_protect, get_dirty_log_protect
from mmuviz.mmu.dirty_ring import ALL_MASKS, dirty_ring_reset
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.presplit import fault_pages
from mmuviz.mmu.protect import clear_leaf_bits
from mmuviz.mmu.rmap import split_rmaps_of_level
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.stage2 import stage2_split
from mmuviz.mmu.state import (
    CONF_PML,
    CONF_SPLITTER,
    CONF_TDP_MMU,
    CONF_TRACK_LEVEL,
    DIRTY,
    I64,
    PRESENT,
    RING_RESET_INDEX,
    SLOT_BASE,
    SPLITTER_RMAP,
    SPLITTER_STAGE2,
    STAT_SPLIT_TOPUPS,
    STAT_SPLITS,
    STAT_TABLE_PAGES,
    STAT_TABLES_COLLAPSED,
    STAT_TLB_FLUSHES,
    STAT_TLBIS,
    STAT_ZAPS,
    WRITABLE,
    MmuState,
)
from mmuviz.mmu.tracking import split_non_converging

ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
HUGE_LEVELS: Final = (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)

# Kinds of walks.
SPLIT: Final = 0
WRITE_PROTECT: Final = 1
"""Clear write access of every leaf that PML does not track."""
COLLAPSE_TABLES: Final = 2
COLLAPSE_LEAVES: Final = 3
GET_WORDS: Final = 4
CLEAR_WORDS: Final = 5
RESET_RING: Final = 6
PRE_SPLIT: Final = 7
ARM_WORDS: Final = 8
"""GET and CLEAR in the tables of an L2; the bitmap is not touched."""
SPLIT_NON_CONVERGING: Final = 9
"""Split the 2M regions that do not converge before GET and CLEAR, see mmu/tracking.py.

Recordings call this walk split_non_converging."""
CLEAR_DIRTY: Final = 10
"""Clear dirty bits, for PML."""

# Entries of `Walk.at`: the request.
KIND: Final = 0
SLOT: Final = 1
"""Row of the memslot, if the kind needs it."""
LEVEL: Final = 2
"""Level of a walk over one level; rounds_to_4k of SPLIT_NON_CONVERGING; otherwise 0."""
VCPU: Final = 3
FIRST_WORD: Final = 4
"""Word of the bitmap at which the buffer begins; in SPLIT_NON_CONVERGING the gfn of its first page."""
UNIT: Final = 5
"""Pages per unit of AT and END: 1, 64 if they count words, 512 if they count regions."""
LEAST: Final = 6
"""Least number of pages of a part."""
ALWAYS_DROPS: Final = 7
"""Whether each part that links tables drops mmu_lock for them."""
FLUSHES_EACH: Final = 8
"""Whether each part that zaps flushes at once."""
MOVES_INDEX: Final = 9
"""For RESET_RING, whether the reset index moves: not if the entries are walked for other tables next."""
# Progress.
AT: Final = 10
END: Final = 11
INSIDE: Final = 12
"""Whether a part is under way."""
LOW: Final = 13
HIGH: Final = 14
"""Begin and end of the current part."""
# KVM's counters when the part began, and their growth during it.
BEFORE: Final = 15
SPLITS: Final = 0
ZAPS: Final = 1
TABLES: Final = 2
TOPUPS: Final = 3
TLBIS: Final = 4
COLLAPSED: Final = 5
LEAVES: Final = 6
FLUSHED: Final = 7
COUNTERS: Final = 8
"""Number of counters: entry BEFORE + n is the value of counter n when the part began, GROWTH + n its growth."""
GROWTH: Final = BEFORE + COUNTERS
FLUSHES: Final = GROWTH + COUNTERS
"""TLB flushes that are still to be charged."""
DROPS: Final = FLUSHES + 1
"""Whether mmu_lock was dropped for memory in the part."""
COLLAPSED_ALL: Final = DROPS + 1
"""Tables or leaves that a collapse removed so far."""
WALK_ENTRIES: Final = COLLAPSED_ALL + 1

# Results of change_next().
PART_DONE: Final = 0
LOG_LOW: Final = 1
OVER: Final = 2

NO_BUFFER: Final = np.zeros(0, dtype=np.int64)


class Walk(NamedTuple):
    """A walk over tables, a bitmap or a ring.

    Attributes:
        tables: index in VmArrays.tables of the tables that it changes.
        at: int64[WALK_ENTRIES], changed in place.
        buffer: int64[words], userspace's bitmap; GET_WORDS writes it.
        rounds: int64[regions] of SPLIT_NON_CONVERGING, see mmuviz/mmu/tracking.py.
    """

    tables: int
    at: I64
    buffer: I64
    rounds: I64

    @property
    def collapsed(self) -> int:
        """Tables or leaves that a collapse removed."""
        return int(self.at[COLLAPSED_ALL])


def new_walk(
    kind: int,
    first: int,
    end: int,
    chosen: dict[int, int],
    *,
    tables: int,
    buffer: I64 = NO_BUFFER,
    rounds: I64 = NO_BUFFER,
) -> Walk:
    """Create a walk from `first` to `end`.

    Args:
        kind: kind of the walk.
        first: gfn, word or entry of a ring to begin with.
        end: the one after the last.
        chosen: other entries of `Walk.at`, by index.
        tables: see Walk.
        buffer: see Walk.
        rounds: see Walk.
    """
    at = np.zeros(WALK_ENTRIES, dtype=np.int64)
    at[KIND], at[AT], at[END] = kind, first, end
    at[UNIT] = at[LEAST] = 1
    for entry, value in chosen.items():
        at[entry] = value
    return Walk(tables, at, buffer, rounds)


@jit_inline_source
def count_now(stat: I64, at: I64, first: int) -> None:
    """Write KVM's counters to the entries of `at` from `first` on."""
    at[first + SPLITS], at[first + ZAPS] = stat[STAT_SPLITS], stat[STAT_ZAPS]
    at[first + TABLES], at[first + TOPUPS] = stat[STAT_TABLE_PAGES], stat[STAT_SPLIT_TOPUPS]
    at[first + TLBIS], at[first + COLLAPSED] = stat[STAT_TLBIS], stat[STAT_TABLES_COLLAPSED]
    at[first + LEAVES], at[first + FLUSHED] = leaves_of(stat), stat[STAT_TLB_FLUSHES]


@jit_inline_llvm
def gfn_of(state: MmuState, at: I64) -> int:
    """The page that a walk has reached; -1 for a walk over a ring."""
    kind = at[KIND]
    if kind == RESET_RING:
        return -1
    if kind == SPLIT_NON_CONVERGING:
        return int(at[FIRST_WORD] + at[AT] * at[UNIT])
    if kind in (GET_WORDS, CLEAR_WORDS, ARM_WORDS):
        return int(state.slots[at[SLOT], SLOT_BASE] + (at[FIRST_WORD] + at[AT]) * BITS_PER_LONG)
    return int(at[AT])


@jit_inline_llvm
def is_1g_leaf(state: MmuState, gfn: int) -> bool:
    """Whether a 1G leaf maps a gfn."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    return row >= 0 and int(state.l3[row]) & PRESENT != 0


@jit_inline_source
def begin_part(state: MmuState, at: I64, pages: int) -> None:
    """Begin the next part; it ends at the next multiple of its size, or with the walk."""
    at[INSIDE], at[LOW] = 1, at[AT]
    if at[KIND] == RESET_RING:
        at[HIGH] = at[END] if pages >= PAGES_PER_1G else at[AT] + 1
    else:
        size = max(max(pages, at[LEAST]) // at[UNIT], 1)
        at[HIGH] = min((at[AT] // size + 1) * size, at[END])
    if at[KIND] in (WRITE_PROTECT, CLEAR_DIRTY) and is_1g_leaf(state, at[AT]):
        at[HIGH] = min(((at[AT] >> SHIFT_1G) + 1) << SHIFT_1G, at[END])  # at least one entry, however small the part
    count_now(state.stat, at, BEFORE)


@jit
def clear_dirty(state: MmuState, start: int, end: int) -> int:
    """Clear dirty bits of leaves; returns the gfn to continue from. Kernel: kvm_mmu_slot_leaf_clear_dirty()."""
    levels = ALL_LEVELS if state.conf[CONF_TDP_MMU] != 0 else 1 << PG_LEVEL_4K
    return clear_leaf_bits(state, start, end, levels, DIRTY, work.WORK_PROTECT_4K)


@jit
def write_protect(state: MmuState, start: int, end: int) -> int:
    """Clear write access of leaves; returns the gfn to continue from. Kernel: kvm_mmu_slot_remove_write_access()."""
    levels = ALL_LEVELS
    if state.conf[CONF_PML] != 0:
        levels = HUGE_LEVELS if state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K else 1 << PG_LEVEL_1G
    return clear_leaf_bits(state, start, end, levels, WRITABLE, work.WORK_PROTECT_4K)


@jit
def split(state: MmuState, at: I64) -> None:
    """Split by the splitter of these tables."""
    splitter, entry = state.conf[CONF_SPLITTER], work.WORK_SPLIT_ENABLE_2M
    if splitter == SPLITTER_RMAP:
        at[AT] = split_rmaps_of_level(state, at[AT], at[HIGH], at[LEVEL], entry)
    elif splitter == SPLITTER_STAGE2:
        at[AT] = stage2_split(state, at[AT], at[HIGH], entry)
    else:
        at[AT] = try_split_huge_pages(state, at[AT], at[HIGH], state.conf[CONF_TRACK_LEVEL], entry)


@jit_inline_source
def change_words(state: MmuState, walk: Walk) -> None:
    """Continue a part of GET, CLEAR, a ring reset, or of a walk that precedes them."""
    at, kind, words = walk.at, walk.at[KIND], walk.buffer
    if kind == GET_WORDS:
        at[AT] = get_dirty_log_protect(state, at[SLOT], words[: at[HIGH]], at[AT])
    elif kind == CLEAR_WORDS:
        at[AT] = clear_dirty_log_protect(state, at[SLOT], at[FIRST_WORD], words[: at[HIGH]], at[AT])
    elif kind == ARM_WORDS:
        at[AT] = arm_words(state, at[SLOT], at[FIRST_WORD], words[: at[HIGH]], at[AT])
    elif kind == SPLIT_NON_CONVERGING:
        at[AT] = split_non_converging(state, at[FIRST_WORD], words, walk.rounds[: at[HIGH]], at[LEVEL], at[AT])
    else:
        at[AT] = dirty_ring_reset(state, at[VCPU], at[AT], ALL_MASKS if at[HIGH] > at[LOW] + 1 else 1)
        if at[MOVES_INDEX] != 0:
            state.ring_at[at[VCPU], RING_RESET_INDEX] = at[AT]


@jit_inline_source
def change_some(state: MmuState, walk: Walk) -> None:
    """Continue the part, to its end or until the event log must be emptied."""
    at, kind = walk.at, walk.at[KIND]
    if kind == SPLIT:
        split(state, at)
    elif kind == WRITE_PROTECT:
        at[AT] = write_protect(state, at[AT], at[HIGH])
    elif kind == CLEAR_DIRTY:
        at[AT] = clear_dirty(state, at[AT], at[HIGH])
    elif kind == COLLAPSE_TABLES:
        at[AT] = collapse_slot(state, at[SLOT], at[AT], at[HIGH])
    elif kind == COLLAPSE_LEAVES:
        at[AT] = zap_collapsible_leaves(state, at[SLOT], at[AT], at[HIGH])
    elif kind == PRE_SPLIT:
        at[AT] = fault_pages(state, at[VCPU], at[SLOT], at[LEVEL], at[AT], at[HIGH])
    else:
        change_words(state, walk)


@jit_inline_source
def end_part(state: MmuState, at: I64) -> None:
    """End the part: compute the growth of KVM's counters, and the flushes and lock drops that follow from it."""
    kind = at[KIND]
    at[INSIDE] = at[DROPS] = 0
    if kind != RESET_RING:
        at[AT] = at[HIGH]
    count_now(state.stat, at, GROWTH)
    for each in range(COUNTERS):
        at[GROWTH + each] -= at[BEFORE + each]
    links = kind in (SPLIT, CLEAR_WORDS, ARM_WORDS) and at[GROWTH + TABLES] != 0
    if links and (at[ALWAYS_DROPS] != 0 or at[GROWTH + TOPUPS] != 0):
        at[DROPS] = 1
    at[FLUSHES] = at[GROWTH + FLUSHED]
    if kind in (COLLAPSE_TABLES, COLLAPSE_LEAVES):
        at[FLUSHES] = 0
        gone = at[GROWTH + COLLAPSED] if kind == COLLAPSE_TABLES else -at[GROWTH + LEAVES]
        at[COLLAPSED_ALL] += gone
        if at[FLUSHES_EACH] != 0:
            at[FLUSHES] = gone
            state.stat[STAT_TLB_FLUSHES] += gone


@jit
def change_next(state: MmuState, walk: Walk, pages: int) -> int:
    """Run the next part of a walk, or continue the current one.

    Args:
        state: the walk's tables, changed in place.
        walk: changed in place.
        pages: most pages of a part; in a ring, a part is one mask if this is below 1 GiB, else all of them.

    Returns:
        PART_DONE; LOG_LOW if the event log must be emptied first; OVER.
    """
    at = walk.at
    if at[INSIDE] == 0:
        if at[AT] >= at[END]:
            return OVER
        begin_part(state, at, pages)
    if log_is_low(state):
        return LOG_LOW
    change_some(state, walk)
    if at[AT] < at[HIGH]:
        return LOG_LOW
    end_part(state, at)
    return PART_DONE


def walk_at_once(vm: VmArrays, walk: Walk) -> None:
    """Run a walk at once, in one part."""
    while True:
        why = change_next(vm.tables[walk.tables], walk, MAX_GFN)
        if why == OVER:
            return
        if why == LOG_LOW:
            vm.drain_log()
