"""The machine's page tables in a Recording's form, and what changed between two looks at them."""

from __future__ import annotations

import numpy as np

from mmuviz.ground.pages import (
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SHIFT_1G,
    SHIFT_2M,
    SPTE_ENT_PER_PAGE,
    pages_per_hpage,
)
from mmuviz.mmu.events import runs_of
from mmuviz.mmu.state import IN_1G, ORPHAN, MmuState
from mmuviz.recording.columns import I64, TABLE, U8, UNTRACED
from mmuviz.recording.fold import PageMap, set_entries


def tables_of(state: MmuState, like: PageMap) -> PageMap:
    """The machine's page tables, what does not count left out.

    Args:
        state: not changed.
        like: a map of the same gigabytes.

    Returns:
        Words that are 0 wherever no table leads to them.
    """
    first = like.origin >> SHIFT_1G
    rows = state.row_of[first : first + len(like.l3)]
    keep = np.uint8(255 & ~(IN_1G | ORPHAN))
    l3 = np.where(rows >= 0, state.l3[rows], 0).astype(np.uint8) & keep
    l2 = state.l2.reshape(-1, SPTE_ENT_PER_PAGE)[rows].reshape(-1) & keep
    l2[np.repeat(l3 & TABLE == 0, SPTE_ENT_PER_PAGE)] = 0
    l1 = state.l1.reshape(-1, 1 << SHIFT_1G)[rows].reshape(-1)
    l1.reshape(-1, SPTE_ENT_PER_PAGE)[l2 & TABLE == 0] = 0
    return PageMap(like.origin, l3, l2, l1)


def changes(page_map: PageMap, target: PageMap) -> I64:
    """Bring a map to another one, entry by entry, higher levels first.

    Args:
        page_map: changed in place.
        target: from tables_of().

    Returns:
        int64[n, 7] rows of (kind, level, old, new, gfn, stride, count), kind being UNTRACED.
    """
    found: list[list[int]] = []
    for level in (PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K):
        mine, its, counts = _entries(page_map, target, level)
        differ = np.flatnonzero((mine != its) & (counts != 0))
        pairs = np.unique(mine[differ].astype(np.int64) << 8 | its[differ])
        old, new = mine[differ].copy(), its[differ].copy()
        for pair in pairs.tolist():
            at = differ[(old == pair >> 8) & (new == (pair & 255))]
            gfns = page_map.origin + at.astype(np.int64) * pages_per_hpage(level)
            found += [[UNTRACED, level, pair >> 8, pair & 255, *run] for run in runs_of(gfns).tolist()]
            set_entries(page_map, level, gfns, pair & 255)
    return np.array(found, dtype=np.int64).reshape(-1, 7)


def _entries(page_map: PageMap, target: PageMap, level: int) -> tuple[U8, U8, U8]:
    """Words of a level in both maps, and where they count."""
    if level == PG_LEVEL_1G:
        return page_map.l3, target.l3, np.ones_like(target.l3)
    if level == PG_LEVEL_2M:
        return page_map.l2, target.l2, np.repeat(target.l3 & TABLE, SPTE_ENT_PER_PAGE)
    return page_map.l1, target.l1, np.repeat(target.l2 & TABLE, 1 << SHIFT_2M)
