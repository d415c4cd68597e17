"""The state of the guest's memory at the end of each bin, as a Recording shows it over time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmuviz.core.pages import GFN_BITS, PAGES_PER_1G, SHIFT_1G, SHIFT_2M
from mmuviz.engine.clock import Clock
from mmuviz.engine.frame_buffer import (
    CELLS,
    FRAMES,
    I32,
    ROWS,
    STATE_TABLE_PAGES,
    U8,
    new_buffer,
    take_frame,
)
from mmuviz.mmu.state import I64, STAT_TABLE_PAGES, MmuState
from mmuviz.recording.schema import MAX_CELLS


class CellMap(NamedTuple):
    """The cells' layout.

    Attributes:
        shift: a cell spans 2 ** shift pages, in order of the 1 GiB regions of guest memory.
        first_gfn: int64[cells].
        pages: int64[cells], pages of memslots in each; 0 where none is shown. The last cells, in a region of
            their own, are for memory that is never shown.
    """

    shift: int
    first_gfn: I64
    pages: I64


def cell_map(spans: list[tuple[int, int]]) -> CellMap:
    """Lay cells over guest memory: at most 2,048, each a power-of-two number of 2M regions.

    Args:
        spans: first gfn and number of pages of each memslot that is shown.

    Returns:
        The map; cells are in the order of the 1 GiB regions that memslots touch.
    """
    regions = regions_of_spans(spans)
    whole = len(regions) << SHIFT_1G
    shift = SHIFT_2M
    while whole > MAX_CELLS << shift:
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
    """First cell position of each 1 GiB region, in order of the regions; regions not shown come after all others.

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


class FrameLog(NamedTuple):
    """The frames so far, stop by stop.

    Attributes:
        ends: int64[stops], time of each stop, ps.
        states: int64[stops, STATE_COLUMNS].
        walks: int64[stops, 2], the ioctl thread's walk, and the gfn that it had reached.
        gfns: int64[stops, vcpus], the page of each vCPU's next access, -1 for none.
        cell_starts: int64[stops + 1], begin of each stop's cells.
        cells: int32[n], cells whose shares changed since the previous stop; `shares` uint8[n, 8].
        examples: int64[m, EXAMPLE_COLUMNS + 1], those since the previous stop, the kind in the last column.
    """

    ends: I64
    states: I64
    walks: I64
    gfns: I64
    cell_starts: I64
    cells: I32
    shares: U8
    examples: I64


class Frames:
    """Takes frames of a VM's tables repeatedly, and keeps the changes.

    Attributes:
        map: the cells' layout.
        buffer: buffer in which compiled code keeps frames until fetch().
    """

    def __init__(self, cells: CellMap, vcpus: int, *, rings: bool, offset: I64) -> None:
        """Create it.

        Args:
            cells: the cells' layout.
            vcpus: number of vCPUs.
            rings: whether pages are reported by dirty rings.
            offset: int64[STAT_ENTRIES], values of KVM's counters from which the run counts.
        """
        self.map = cells
        self.buffer = new_buffer(cells.pages, vcpus, rings=rings)
        self._parts: list[FrameLog] = []
        self._offset = offset

    def take(self, state: MmuState, clock: Clock, end_ps: int, *, every: bool = False) -> None:
        """Take a frame now.

        Args:
            state: the tables that the guest runs on.
            clock: the streams of its accesses.
            end_ps: time of the frame, ps.
            every: keep all cells, not only those that changed.
        """
        self.fetch()
        take_frame(state, clock, self.buffer, end_ps, int(every))
        self.fetch()

    def fetch(self) -> None:
        """Empty the buffer."""
        buffer, at = self.buffer, self.buffer.at
        frames, cells, rows = at[[FRAMES, CELLS, ROWS]].tolist()
        if frames == 0:
            return
        states = buffer.states[:frames].copy()
        table_pages = states[:, STATE_TABLE_PAGES]
        table_pages[:] = np.maximum(table_pages - self._offset[STAT_TABLE_PAGES], 0)  # now, as the offset changes
        self._parts.append(
            FrameLog(
                buffer.ends[:frames].copy(),
                states,
                buffer.walks[:frames].copy(),
                buffer.gfns[:frames].copy(),
                buffer.stops[:frames, 0].copy(),  # end of each stop's cells, in this part
                buffer.cells[:cells].copy(),
                buffer.cell_shares[:cells].copy(),
                buffer.rows[:rows].copy(),
            )
        )
        at[[FRAMES, CELLS, ROWS]] = 0

    def frame_log(self) -> FrameLog:
        """All frames fetched so far."""
        before = np.cumsum([0, *(len(each.cells) for each in self._parts)])
        starts = [each.cell_starts + first for each, first in zip(self._parts, before.tolist(), strict=False)]
        ends, states, walks, gfns, _, *changes = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        return FrameLog(ends, states, walks, gfns, np.concatenate([[0], *starts]), *changes)
