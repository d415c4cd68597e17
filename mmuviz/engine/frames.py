"""The state of the guest's memory at the end of each bin: what a Recording shows over time."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.ground.compiled import compiled
from mmuviz.ground.pages import GFN_BITS, PAGES_PER_1G, PAGES_PER_2M, SHIFT_1G, SHIFT_2M
from mmuviz.mmu.cells import CELL_1G, CELL_2M, CELL_4K, CELL_CHANGED, CELL_DIRTY, CELL_PROTECTED
from mmuviz.mmu.examples import EX_SEEN, EXAMPLE_COLUMNS, EXAMPLES
from mmuviz.mmu.state import (
    I64,
    RING_DIRTY_INDEX,
    RING_HARVEST_INDEX,
    SLOT_DIRTY_PAGES,
    SLOT_UNREPORTED_PAGES,
    STAT_TABLE_PAGES,
    MmuState,
)

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]

MOST_CELLS: Final = 2048
FULL: Final = 255
SHARES: Final = 8
SHARE_NONE: Final = 0
SHARE_MAPPED: Final = 1
"""Of this column and one of the counts of a cell is that of their share."""

STATES: Final = (
    "table_pages",
    "pages_4k",
    "pages_2m",
    "pages_1g",
    "protected_4k",
    "protected_2m",
    "protected_1g",
    "dirty_pages",
    "unreported_pages",
)
"""What is noted of the whole guest in each frame."""


@compiled
def share_of(pages: int, whole: int) -> int:
    """A part as a share of 255: 0 only where there is nothing, 255 only where it is all."""
    if pages <= 0:
        return 0
    if pages >= whole:
        return FULL
    return min(max((2 * pages * FULL + whole) // (2 * whole), 1), FULL - 1)


@compiled
def changed_shares(cells: I64, pages: I64, shares: U8, changed: I32, every: int) -> int:
    """Bring the shares of all cells that changed up to date.

    Args:
        cells: int64[cells, CELL_COLUMNS]; the marks of change are taken away.
        pages: int64[cells], pages of memslots in each.
        shares: uint8[cells, 8], changed in place.
        changed: int32[cells], filled with the cells whose shares are others now, ascending.
        every: 1 to look at all cells, 0 for those that are marked.

    Returns:
        How many `changed` holds.
    """
    found = 0
    for cell in range(cells.shape[0]):
        if (cells[cell, CELL_CHANGED] == 0 and every == 0) or pages[cell] == 0:
            continue
        cells[cell, CELL_CHANGED] = 0
        whole = pages[cell]
        mapped = cells[cell, CELL_4K] + cells[cell, CELL_2M] + cells[cell, CELL_1G]
        differs = False
        for column in range(SHARES):
            now = share_of(whole - mapped if column == SHARE_NONE else cells[cell, column - SHARE_MAPPED], whole)
            differs = differs or now != shares[cell, column]
            shares[cell, column] = now
        if differs or every != 0:
            changed[found] = cell
            found += 1
    return found


@compiled
def states_now(state: MmuState, pages: I64, rings: int, out: I64) -> None:
    """Fill in STATES of the tables that the guest runs on.

    Args:
        state: the tables.
        pages: int64[cells], pages of memslots in each; those without are not shown.
        rings: whether pages are reported by dirty rings.
        out: int64[len(STATES)], all 0 before.
    """
    out[0] = state.stat[STAT_TABLE_PAGES]
    for cell in range(state.cells.shape[0]):
        if pages[cell] > 0:
            for column in range(CELL_DIRTY):
                out[1 + column] += state.cells[cell, column]
    for column in range(1, CELL_DIRTY, CELL_PROTECTED):
        out[1 + column] //= PAGES_PER_2M
        out[2 + column] //= PAGES_PER_1G
    for slot in range(state.slots.shape[0]):
        out[7] += state.slots[slot, SLOT_DIRTY_PAGES]
        out[8] += state.slots[slot, SLOT_UNREPORTED_PAGES]
    if rings != 0:
        out[8] = 0
        for vcpu in range(state.ring_at.shape[0]):
            out[8] += state.ring_at[vcpu, RING_DIRTY_INDEX] - state.ring_at[vcpu, RING_HARVEST_INDEX]


@compiled
def take_examples(examples: I64, seen: I64) -> int:
    """Take the rows of examples that are filled; returns how many: they are the first of `seen`, the kind last."""
    found = 0
    for kind in range(examples.shape[0]):
        if examples[kind, EX_SEEN] != 0:
            for column in range(EXAMPLE_COLUMNS):
                seen[found, column] = examples[kind, column]
            seen[found, EXAMPLE_COLUMNS] = kind
            examples[kind, EX_SEEN] = 0
            found += 1
    return found


class CellMap(NamedTuple):
    """Where the cells lie.

    Attributes:
        shift: a cell spans 2 ** shift pages, in the order of the 1 GiB regions of guest memory.
        first_gfn: int64[cells].
        pages: int64[cells], pages of memslots in each; 0 where none is shown. The last of them, of a region of their
            own, are for memory that is never shown.
    """

    shift: int
    first_gfn: I64
    pages: I64


def cell_map(spans: list[tuple[int, int]]) -> CellMap:
    """Lay cells over guest memory: at most 2,048, each a power-of-two number of 2M regions.

    Args:
        spans: first gfn and number of pages of each memslot that is shown.

    Returns:
        The map; cells follow each other as the 1 GiB regions do that memslots touch.
    """
    regions = regions_of_spans(spans)
    whole = len(regions) << SHIFT_1G
    shift = SHIFT_2M
    while whole > MOST_CELLS << shift:
        shift += 1
    cells = -(-whole >> shift) + max(PAGES_PER_1G >> shift, 1)
    first = np.arange(cells, dtype=np.int64) << shift
    region = np.append(regions, 0)[np.minimum(first >> SHIFT_1G, len(regions))]
    gfns = (region << SHIFT_1G) | (first & (PAGES_PER_1G - 1))
    pages = np.zeros(cells, dtype=np.int64)
    rows = cell_rows(spans, shift)
    for base, count in spans:
        gfn, end = base, base + count
        while gfn < end:
            stop = min(end, ((gfn >> SHIFT_1G) + 1) << SHIFT_1G)
            linear = (int(rows[gfn >> SHIFT_1G]) << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))
            low, high = linear >> shift, (linear + stop - gfn - 1) >> shift
            edges = np.clip(np.arange(low, high + 2, dtype=np.int64) << shift, linear, linear + stop - gfn)
            pages[low : high + 1] += np.diff(edges)
            gfn = stop
    return CellMap(shift, gfns, pages)


def cell_rows(spans: list[tuple[int, int]], shift: int) -> I32:
    """Where the cells of each 1 GiB region begin, in the order of the regions, those not shown behind all others.

    Args:
        spans: first gfn and number of pages of each memslot that is shown.
        shift: a cell spans 2 ** shift pages.

    Returns:
        int32[2**18].
    """
    regions = regions_of_spans(spans)
    last = -(-(len(regions) << SHIFT_1G) >> shift) << shift >> SHIFT_1G
    rows = np.full(1 << (GFN_BITS - SHIFT_1G), last, dtype=np.int32)
    rows[regions] = np.arange(len(regions), dtype=np.int32)
    return rows


def regions_of_spans(spans: list[tuple[int, int]]) -> I64:
    """The 1 GiB regions that memslots touch, ascending."""
    found = [np.arange(base >> SHIFT_1G, ((base + pages - 1) >> SHIFT_1G) + 1) for base, pages in spans]
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]))


class Frame(NamedTuple):
    """What was seen at a stop.

    Attributes:
        end_ps: when.
        states: int64[len(STATES)].
        cells: int32[changed], cells whose shares changed since the frame before.
        shares: uint8[changed, 8].
        examples: int64[seen, EXAMPLE_COLUMNS + 1], those since the frame before, the kind last.
    """

    end_ps: int
    states: I64
    cells: I32
    shares: U8
    examples: I64


class Frames:
    """Looks at a VM's tables again and again, and keeps what changed."""

    def __init__(self, cells: CellMap, *, rings: bool, offset: I64) -> None:
        """Begin.

        Args:
            cells: of the VM.
            rings: whether pages are reported by dirty rings.
            offset: int64[STAT_ENTRIES], what KVM's counters are counted from.
        """
        self.map = cells
        self.taken: list[Frame] = []
        self._rings = int(rings)
        self._shares = np.zeros((len(cells.pages), SHARES), dtype=np.uint8)
        self._changed = np.zeros(len(cells.pages), dtype=np.int32)
        self._examples = np.zeros((EXAMPLES, EXAMPLE_COLUMNS + 1), dtype=np.int64)
        self._offset = offset

    def take(self, state: MmuState, end_ps: int, *, every: bool = False) -> None:
        """Look now.

        Args:
            state: the tables that the guest runs on.
            end_ps: what time it is.
            every: keep all cells, not only those that changed.
        """
        states = np.zeros(len(STATES), dtype=np.int64)
        states_now(state, self.map.pages, self._rings, states)
        states[0] = max(states[0] - self._offset[STAT_TABLE_PAGES], 0)
        found = changed_shares(state.cells, self.map.pages, self._shares, self._changed, int(every))
        cells = self._changed[:found].copy()
        rows = take_examples(state.examples, self._examples)
        self.taken.append(Frame(end_ps, states, cells, self._shares[cells], self._examples[:rows].copy()))
