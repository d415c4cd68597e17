"""The page tables at any cursor, as a fold over the event log.

What each event does to the map:

* SPTE and UNTRACED put a word into an entry. Where a table takes the place of a leaf, its 512
  children get the leaf's word (no tracepoint fires for them: a split); where it takes the place of
  nothing they are empty. What lies below a leaf or nothing does not count.
* FAST with FAST_FIXED makes the leaf that maps the gfn writable, without an SPTE event.
* CPU_DIRTY sets that leaf's dirty bit; KVM is not told of it.
* SPLIT and FAULT change nothing: the SPTE event before a SPLIT did.

With the shadow MMU only UNTRACED changes the map (Recording.map_by_op).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmuviz.ground.pages import (
    PAGES_PER_1G,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
    round_up,
)
from mmuviz.recording.columns import (
    CPU_DIRTY,
    DIRTY,
    FAST,
    FAST_FIXED,
    I64,
    PRESENT,
    SPTE,
    TABLE,
    U8,
    UNTRACED,
    WRITABLE,
    Recording,
    Slot,
)


class PageMap(NamedTuple):
    """Page tables of the whole gigabytes that a slot touches; changed in place by the fold.

    Attributes:
        origin: first gfn, a multiple of 1 GiB.
        l3: uint8[regions], words at 1G.
        l2: uint8[regions * 512], words at 2M; they count where l3 says TABLE.
        l1: uint8[regions * 262144], words at 4K; they count where l2 says TABLE.
    """

    origin: int
    l3: U8
    l2: U8
    l1: U8


def empty_map(slot: Slot) -> PageMap:
    """A map in which nothing is mapped."""
    origin = slot.base_gfn >> SHIFT_1G << SHIFT_1G
    regions = (round_up(slot.base_gfn + slot.pages, PAGES_PER_1G) - origin) >> SHIFT_1G
    return PageMap(
        origin=origin,
        l3=np.zeros(regions, dtype=np.uint8),
        l2=np.zeros(regions << SHIFT_2M, dtype=np.uint8),
        l1=np.zeros(regions << SHIFT_1G, dtype=np.uint8),
    )


def start_map(recording: Recording) -> PageMap:
    """The map before the first op.

    Args:
        recording: its `start` leaves lie under tables.

    Returns:
        A map of its own.
    """
    page_map, start = empty_map(recording.slot), recording.start
    for row in range(len(start.gfn)):
        gfns = start.gfn[row] + start.stride[row] * np.arange(start.entries[row])
        level, word = int(start.level[row]), int(start.word[row])
        for above in range(PG_LEVEL_1G, level, -1):
            _link_tables(page_map, above, gfns)
        set_entries(page_map, level, gfns, word)
    return page_map


def _link_tables(page_map: PageMap, level: int, gfns: I64) -> None:
    at = _index(page_map, level, gfns)
    entries = page_map.l3 if level == PG_LEVEL_1G else page_map.l2
    entries[at] = TABLE


def map_after(recording: Recording, runs: int) -> PageMap:
    """The map after the first rows of the event log.

    Args:
        recording: not changed.
        runs: the cursor, 0 to the number of rows.

    Returns:
        A map of its own.
    """
    page_map = start_map(recording)
    fold(page_map, recording, 0, runs)
    return page_map


def map_after_op(recording: Recording, op: int) -> PageMap:
    """The map after an op, by its index."""
    return map_after(recording, recording.runs_of_op(op).stop)


def fold(page_map: PageMap, recording: Recording, first: int, stop: int) -> None:
    """Apply rows [first, stop) of the event log.

    Args:
        page_map: the map after `first` rows; changed in place.
        recording: not changed.
        first: row to begin with.
        stop: row behind the last.
    """
    runs = recording.runs
    wanted = (UNTRACED,) if recording.map_by_op else (SPTE, FAST, CPU_DIRTY, UNTRACED)
    for row in first + np.flatnonzero(np.isin(runs.kind[first:stop], wanted)):
        gfns = runs.gfn[row] + runs.stride[row] * np.arange(runs.entries[row])
        kind = runs.kind[row]
        if kind in (SPTE, UNTRACED):
            set_entries(page_map, int(runs.level[row]), gfns, int(runs.new[row]))
        elif kind == CPU_DIRTY:
            add_bits(page_map, gfns, DIRTY)
        elif runs.detail[row] == FAST_FIXED:
            add_bits(page_map, gfns, WRITABLE)


def _index(page_map: PageMap, level: int, gfns: I64) -> I64:
    """Where the entries of a level that map these gfns stand."""
    shift = {PG_LEVEL_4K: 0, PG_LEVEL_2M: SHIFT_2M, PG_LEVEL_1G: SHIFT_1G}[level]
    index: I64 = (gfns - page_map.origin) >> shift
    return index


def set_entries(page_map: PageMap, level: int, gfns: I64, word: int) -> None:
    """Put a word into entries of a level; a table over a leaf hands the leaf's word down.

    Args:
        page_map: changed in place.
        level: PG_LEVEL_4K to PG_LEVEL_512G, which lies above the map.
        gfns: int64[n], distinct.
        word: SPTE bits.
    """
    if level > PG_LEVEL_1G:
        return
    at = _index(page_map, level, gfns)
    if level == PG_LEVEL_4K:
        page_map.l1[at] = word
        return
    entries, below = (page_map.l3, page_map.l2) if level == PG_LEVEL_1G else (page_map.l2, page_map.l1)
    if word == TABLE:
        old = entries[at]
        children = np.where(old & PRESENT, old, np.uint8(0))
        below.reshape(-1, SPTE_ENT_PER_PAGE)[at] = children[:, np.newaxis]
    entries[at] = word


def add_bits(page_map: PageMap, gfns: I64, bits: int) -> None:
    """Set bits of the leaf that maps each gfn.

    Args:
        page_map: changed in place.
        gfns: int64[n]; each is mapped.
        bits: WRITABLE or DIRTY.
    """
    for gfn in gfns:
        page = int(gfn) - page_map.origin
        if not page_map.l3[page >> SHIFT_1G] & TABLE:
            page_map.l3[page >> SHIFT_1G] |= bits
        elif not page_map.l2[page >> SHIFT_2M] & TABLE:
            page_map.l2[page >> SHIFT_2M] |= bits
        else:
            page_map.l1[page] |= bits


def leaves(page_map: PageMap, slot: Slot) -> tuple[U8, U8]:
    """Level and word of the leaf that maps each page of a slot.

    Args:
        page_map: not changed.
        slot: the slot.

    Returns:
        uint8[pages] levels, 0 where nothing is mapped, and uint8[pages] words.
    """
    inside = slice(slot.base_gfn - page_map.origin, slot.base_gfn - page_map.origin + slot.pages)
    l3 = np.repeat(page_map.l3, PAGES_PER_1G)[inside]
    l2 = np.repeat(page_map.l2, SPTE_ENT_PER_PAGE)[inside]
    word = np.where(l3 & TABLE, np.where(l2 & TABLE, page_map.l1[inside], l2), l3)
    level = np.where(l3 & TABLE, np.where(l2 & TABLE, PG_LEVEL_4K, PG_LEVEL_2M), PG_LEVEL_1G)
    return np.where(word & PRESENT, level, 0).astype(np.uint8), word.astype(np.uint8)
