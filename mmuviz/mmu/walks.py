"""What an ioctl goes over, part by part: the changes of the tables, in compiled code.

Whoever carries a walk out says how large its parts are, so that time may pass between them. A part
is begun, carried out, perhaps in several goes between which the event log is emptied, and ended.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.compiled import compiled, woven
from mmuviz.ground.pages import PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.mmu import work
from mmuviz.mmu.arrays import VmArrays
from mmuviz.mmu.collapse import collapse_slot, zap_collapsible_leaves
from mmuviz.mmu.config import MAX_GFN
from mmuviz.mmu.counting import leaves_of
from mmuviz.mmu.dirty_log import clear_dirty_log_protect, get_dirty_log_protect
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

ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
HUGE_LEVELS: Final = (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)

# What a walk does.
SPLIT: Final = 0
PROTECT: Final = 1
COLLAPSE_TABLES: Final = 2
COLLAPSE_LEAVES: Final = 3
GET_WORDS: Final = 4
CLEAR_WORDS: Final = 5
RESET_RING: Final = 6
PRE_SPLIT: Final = 7

# Entries of `Walk.at`: what is asked for.
KIND: Final = 0
SLOT: Final = 1
"""Row of the memslot, where the kind needs it."""
LEVEL: Final = 2
"""Of a walk over one level, that level; else 0."""
VCPU: Final = 3
FIRST_WORD: Final = 4
"""Of CLEAR_WORDS, the word of the bitmap at which userspace's begin."""
UNIT: Final = 5
"""Pages that one of AT and END stands for: 1, or 64 where they count words."""
LEAST: Final = 6
"""Pages that a part spans at least."""
ALWAYS_DROPS: Final = 7
"""Whether each part that links tables drops mmu_lock for them."""
FLUSHES_EACH: Final = 8
"""Whether each part that zaps flushes at once."""
LOCKS_EACH: Final = 9
"""Whether mmu_lock is taken anew for each part."""
# How far it is.
AT: Final = 10
END: Final = 11
INSIDE: Final = 12
"""Whether a part is under way."""
LOW: Final = 13
HIGH: Final = 14
"""Where that part begins and ends."""
ARMED_DIRTY: Final = 15
"""Of PROTECT, whether the part's dirty bits are cleared, and write access is next."""
# KVM's counters when the part began, and what it did to them.
WAS: Final = 16
SPLITS: Final = 0
ZAPS: Final = 1
TABLES: Final = 2
TOPUPS: Final = 3
TLBIS: Final = 4
COLLAPSED: Final = 5
LEAVES: Final = 6
COUNTED: Final = 7
"""How many counters there are: WAS and one of them is its value then, DID and one of them how much it grew."""
DID: Final = WAS + COUNTED
FLUSHES: Final = DID + COUNTED
"""TLB flushes that the part ends with."""
DROPS: Final = FLUSHES + 1
"""Whether mmu_lock was dropped for memory in the part."""
COLLAPSED_ALL: Final = DROPS + 1
"""Of a collapse, tables or leaves that went so far."""
WALK_ENTRIES: Final = COLLAPSED_ALL + 1

# What change_next() ended for.
PART_DONE: Final = 0
LOG_LOW: Final = 1
OVER: Final = 2

NO_BUFFER: Final = np.zeros(0, dtype=np.int64)


class Walk(NamedTuple):
    """A walk.

    Attributes:
        tables: which of VmArrays.tables it changes.
        at: int64[WALK_ENTRIES], changed in place.
        buffer: int64[words] of userspace, of GET_WORDS written.
    """

    tables: int
    at: I64
    buffer: I64

    @property
    def collapsed(self) -> int:
        """Tables or leaves that a collapse took."""
        return int(self.at[COLLAPSED_ALL])


def new_walk(kind: int, first: int, end: int, chosen: dict[int, int], tables: int = 0, buffer: I64 = NO_BUFFER) -> Walk:
    """A walk from `first` to `end`, not yet begun.

    Args:
        kind: what it does.
        first: gfn, word or entry of a ring to begin with.
        end: the one behind the last.
        chosen: other entries that are asked for.
        tables: see Walk.
        buffer: see Walk.
    """
    at = np.zeros(WALK_ENTRIES, dtype=np.int64)
    at[KIND], at[AT], at[END] = kind, first, end
    at[UNIT] = at[LEAST] = 1
    for entry, value in chosen.items():
        at[entry] = value
    return Walk(tables, at, buffer)


@woven
def count_now(stat: I64, at: I64, first: int) -> None:
    """Write KVM's counters to the entries from one on."""
    at[first + SPLITS], at[first + ZAPS] = stat[STAT_SPLITS], stat[STAT_ZAPS]
    at[first + TABLES], at[first + TOPUPS] = stat[STAT_TABLE_PAGES], stat[STAT_SPLIT_TOPUPS]
    at[first + TLBIS], at[first + COLLAPSED] = stat[STAT_TLBIS], stat[STAT_TABLES_COLLAPSED]
    at[first + LEAVES] = leaves_of(stat)


@woven
def begin_part(state: MmuState, at: I64, pages: int) -> None:
    """The next part: it ends where its size divides the place, or with the walk."""
    at[INSIDE], at[LOW] = 1, at[AT]
    if at[KIND] == RESET_RING:
        at[HIGH] = at[END] if pages >= PAGES_PER_1G else at[AT] + 1
    else:
        size = max(max(pages, at[LEAST]) // at[UNIT], 1)
        at[HIGH] = min((at[AT] // size + 1) * size, at[END])
    at[ARMED_DIRTY] = 0 if state.conf[CONF_PML] != 0 else 1
    count_now(state.stat, at, WAS)


@compiled
def protect(state: MmuState, at: I64) -> None:
    """Clear dirty bits for PML, then write access of all that PML does not track."""
    protected = ALL_LEVELS
    if state.conf[CONF_PML] != 0:
        if at[ARMED_DIRTY] == 0:
            levels = ALL_LEVELS if state.conf[CONF_TDP_MMU] != 0 else 1 << PG_LEVEL_4K
            at[AT] = clear_leaf_bits(state, at[AT], at[HIGH], levels, DIRTY, work.WORK_PROTECT_4K)
            if at[AT] < at[HIGH]:
                return
            at[ARMED_DIRTY], at[AT] = 1, at[LOW]
        protected = HUGE_LEVELS if state.conf[CONF_TRACK_LEVEL] == PG_LEVEL_4K else 1 << PG_LEVEL_1G
    at[AT] = clear_leaf_bits(state, at[AT], at[HIGH], protected, WRITABLE, work.WORK_PROTECT_4K)


@compiled
def split(state: MmuState, at: I64) -> None:
    """Split by whoever splits these tables."""
    splitter, entry = state.conf[CONF_SPLITTER], work.WORK_SPLIT_ENABLE_2M
    if splitter == SPLITTER_RMAP:
        at[AT] = split_rmaps_of_level(state, at[AT], at[HIGH], at[LEVEL], entry)
    elif splitter == SPLITTER_STAGE2:
        at[AT] = stage2_split(state, at[AT], at[HIGH], entry)
    else:
        at[AT] = try_split_huge_pages(state, at[AT], at[HIGH], state.conf[CONF_TRACK_LEVEL], entry)


@woven
def carry_on(state: MmuState, at: I64, buffer: I64) -> None:
    """Go on with the part, to its end or until the event log wants emptying."""
    kind = at[KIND]
    if kind == SPLIT:
        split(state, at)
    elif kind == PROTECT:
        protect(state, at)
    elif kind == COLLAPSE_TABLES:
        at[AT] = collapse_slot(state, at[SLOT], at[AT], at[HIGH])
    elif kind == COLLAPSE_LEAVES:
        at[AT] = zap_collapsible_leaves(state, at[SLOT], at[AT], at[HIGH])
    elif kind == GET_WORDS:
        at[AT] = get_dirty_log_protect(state, at[SLOT], buffer[: at[HIGH]], at[AT])
    elif kind == CLEAR_WORDS:
        at[AT] = clear_dirty_log_protect(state, at[SLOT], at[FIRST_WORD], buffer[: at[HIGH]], at[AT])
    elif kind == RESET_RING:
        left = dirty_ring_reset(state, at[VCPU], ALL_MASKS if at[HIGH] > at[LOW] + 1 else 1)
        at[AT] = at[END] - left
    else:
        at[AT] = fault_pages(state, at[VCPU], at[SLOT], at[LEVEL], at[AT], at[HIGH])


@woven
def end_part(state: MmuState, at: I64) -> None:
    """The part is over: what it did to KVM's counters, and what comes of that."""
    kind = at[KIND]
    at[INSIDE] = at[DROPS] = at[FLUSHES] = 0
    if kind != RESET_RING:
        at[AT] = at[HIGH]
    count_now(state.stat, at, DID)
    for each in range(COUNTED):
        at[DID + each] -= at[WAS + each]
    if kind in (SPLIT, CLEAR_WORDS):
        if at[DID + TABLES] != 0 and (at[ALWAYS_DROPS] != 0 or at[DID + TOPUPS] != 0):
            at[DROPS] = 1
    else:
        at[DID + TLBIS] = 0
    if kind != CLEAR_WORDS:
        at[DID + TOPUPS] = 0
    if kind in (COLLAPSE_TABLES, COLLAPSE_LEAVES):
        gone = at[DID + COLLAPSED] if kind == COLLAPSE_TABLES else -at[DID + LEAVES]
        at[COLLAPSED_ALL] += gone
        if at[FLUSHES_EACH] != 0:
            at[FLUSHES] = gone
            state.stat[STAT_TLB_FLUSHES] += gone


@compiled
def change_next(state: MmuState, at: I64, buffer: I64, pages: int) -> int:
    """Carry out the next part of a walk, or go on with the one under way.

    Args:
        state: the walk's tables, changed in place.
        at: `Walk.at`, changed in place.
        buffer: `Walk.buffer`.
        pages: that a part spans at most; of a ring, one mask below 1 GiB, else all of them.

    Returns:
        PART_DONE; LOG_LOW where the event log wants emptying before it goes on; OVER.
    """
    if at[INSIDE] == 0:
        if at[AT] >= at[END]:
            return OVER
        begin_part(state, at, pages)
    if log_is_low(state):
        return LOG_LOW
    carry_on(state, at, buffer)
    if at[AT] < at[HIGH]:
        return LOG_LOW
    end_part(state, at)
    return PART_DONE


def carry_out(vm: VmArrays, walk: Walk) -> None:
    """Carry a walk out at once, in one part."""
    while True:
        why = change_next(vm.tables[walk.tables], walk.at, walk.buffer, MAX_GFN)
        if why == OVER:
            return
        if why == LOG_LOW:
            vm.drain_log()
