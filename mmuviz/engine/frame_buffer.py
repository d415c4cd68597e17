"""Frames of the guest's memory at the end of each bin, kept by compiled code until Python fetches them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import PAGES_PER_1G, PAGES_PER_2M
from mmuviz.engine import clock as layout
from mmuviz.engine.account import widen_bins
from mmuviz.engine.clock import FOREVER, Clock
from mmuviz.mmu.cells import CELL_1G, CELL_2M, CELL_4K, CELL_DIRTY, CELL_PROTECTED
from mmuviz.mmu.examples import EX_SEEN, EXAMPLE_COLUMNS, EXAMPLES
from mmuviz.mmu.state import (
    I64,
    RING_DIRTY_INDEX,
    RING_HARVEST_INDEX,
    SLOT_DIRTY_PAGES,
    SLOT_UNREPORTED_PAGES,
    STAT_LEFT_LOG,
    STAT_TABLE_PAGES,
    MmuState,
)
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]

FULL: Final = 255
SHARES: Final = 8
SHARE_NONE: Final = 0
SHARE_MAPPED: Final = 1
"""SHARE_MAPPED plus a column of a cell's counts: the share of that count."""

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
"""State of the whole guest in each frame: the columns of `FrameBuffer.states` up to LEFT_LOG."""
STATE_TABLE_PAGES: Final = STATES.index("table_pages")
STATE_MAPPED: Final = STATES.index("pages_4k")
"""STATE_MAPPED plus a column of a cell's counts: that count for the whole guest, in pages of its level."""
STATE_DIRTY: Final = STATES.index("dirty_pages")
STATE_UNREPORTED: Final = STATES.index("unreported_pages")
LEFT_LOG: Final = len(STATES)
"""Column after STATES: pages that left the dirty log so far."""
STATE_COLUMNS: Final = LEFT_LOG + 1


@jit_inline_llvm
def share_of(pages: int, whole: int) -> int:
    """A part as a share of 255: 0 only for nothing, 255 only for everything."""
    if pages <= 0:
        return 0
    if pages >= whole:
        return FULL
    return min(max((2 * pages * FULL + whole) // (2 * whole), 1), FULL - 1)


FRAMES_KEPT: Final = 64
CELLS_AT_ONCE: Final = 64
"""Cells checked together; usually none of them changed between two frames."""
CHANGES_KEPT: Final = 8
"""A buffer has room for FRAMES_KEPT frames, and for the changes that CHANGES_KEPT frames have at most."""

# Entries of `FrameBuffer.at`.
LAST: Final = 0
"""Time of the last frame; FOREVER in a run without frames."""
PERIOD: Final = 1
"""Interval between frames in ps, 0 for the end of each bin."""
ALARM: Final = 2
"""Time at which Python is called, FOREVER for none."""
LEFT: Final = 3
"""Frames that may still be taken without calling Python."""
FRAMES: Final = 4
"""Number of frames in the buffer; `CELLS` and `ROWS`: numbers of changes of cells and of examples."""
CELLS: Final = 5
ROWS: Final = 6
RINGS: Final = 7
"""Whether pages are reported by dirty rings."""
WALK: Final = 8
"""Current walk of the ioctl thread: kind of walk plus 1, or 0 for none; `WALK_GFN`: the page it has reached."""
WALK_GFN: Final = 9
BUFFER_ENTRIES: Final = 10
NOWHERE: Final = -1
"""The gfn that means none."""


class FrameBuffer(NamedTuple):
    """Frames that are not fetched yet, and the state that the next one is compared with.

    Attributes:
        at: int64[BUFFER_ENTRIES].
        pages: int64[cells], pages of memslots in each; 0 where none is shown.
        shares: uint8[cells, 8], shares of each cell in the last frame; `counts` int64[cells, CELL_DIRTY] its pages.
        totals: int64[CELL_DIRTY], pages of all cells that are shown.
        ends: int64[FRAMES_KEPT], time of each frame, ps.
        states: int64[FRAMES_KEPT, STATE_COLUMNS], STATES and LEFT_LOG.
        walks: int64[FRAMES_KEPT, 2], WALK and WALK_GFN.
        gfns: int64[FRAMES_KEPT, vcpus], the page of each vCPU's next access, NOWHERE for none.
        stops: int64[FRAMES_KEPT, 2], end of its changes of cells and of its examples.
        cells: int32[n], cells that changed, ascending in each frame; `cell_shares` uint8[n, 8].
        rows: int64[m, EXAMPLE_COLUMNS + 1], examples, the kind last.
    """

    at: I64
    pages: I64
    shares: U8
    counts: I64
    totals: I64
    ends: I64
    states: I64
    walks: I64
    gfns: I64
    stops: I64
    cells: I32
    cell_shares: U8
    rows: I64


def new_buffer(pages: I64, vcpus: int, *, rings: bool) -> FrameBuffer:
    """An empty buffer before the first frame.

    Args:
        pages: int64[cells], pages of memslots in each.
        vcpus: number of vCPUs.
        rings: whether pages are reported by dirty rings.
    """
    at, room = np.zeros(BUFFER_ENTRIES, dtype=np.int64), CHANGES_KEPT * len(pages)
    at[LAST] = at[ALARM] = FOREVER
    at[RINGS], at[WALK_GFN] = int(rings), NOWHERE
    return FrameBuffer(
        at=at,
        pages=pages,
        shares=np.zeros((len(pages), SHARES), dtype=np.uint8),
        counts=np.zeros((len(pages), CELL_DIRTY), dtype=np.int64),
        totals=np.zeros(CELL_DIRTY, dtype=np.int64),
        ends=np.zeros(FRAMES_KEPT, dtype=np.int64),
        states=np.zeros((FRAMES_KEPT, STATE_COLUMNS), dtype=np.int64),
        walks=np.zeros((FRAMES_KEPT, 2), dtype=np.int64),
        gfns=np.zeros((FRAMES_KEPT, vcpus), dtype=np.int64),
        stops=np.zeros((FRAMES_KEPT, 2), dtype=np.int64),
        cells=np.zeros(room, dtype=np.int32),
        cell_shares=np.zeros((room, SHARES), dtype=np.uint8),
        rows=np.zeros((CHANGES_KEPT * EXAMPLES, EXAMPLE_COLUMNS + 1), dtype=np.int64),
    )


def no_buffer() -> FrameBuffer:
    """The buffer of a run without frames."""
    return new_buffer(np.zeros(0, dtype=np.int64), 0, rings=False)


@jit_inline_source
def changed_share(cells: I64, buffer: FrameBuffer, cell: int, every: int) -> bool:
    """Update the shares of a cell; returns whether they changed, or all are wanted."""
    whole, differs = buffer.pages[cell], every != 0
    for column in range(CELL_DIRTY):
        buffer.totals[column] += cells[cell, column] - buffer.counts[cell, column]
        buffer.counts[cell, column] = cells[cell, column]
    mapped = cells[cell, CELL_4K] + cells[cell, CELL_2M] + cells[cell, CELL_1G]
    for column in range(SHARES):
        now = share_of(whole - mapped if column == SHARE_NONE else cells[cell, column - SHARE_MAPPED], whole)
        differs = differs or now != buffer.shares[cell, column]
        buffer.shares[cell, column] = now
    return differs


@jit_inline_source
def changed_shares(cells: I64, changed: U8, buffer: FrameBuffer, every: int) -> None:
    """Update the shares of all changed cells, and keep the cells whose shares changed.

    Args:
        cells: int64[cells, CELL_COLUMNS].
        changed: uint8[cells], 1 where a cell changed; all are 0 afterwards.
        buffer: changed in place.
        every: 1 to keep all cells, 0 for those whose shares changed.
    """
    found = buffer.at[CELLS]
    for first in range(0, cells.shape[0], CELLS_AT_ONCE):
        end, some = min(first + CELLS_AT_ONCE, cells.shape[0]), every
        for cell in range(first, end):
            some |= changed[cell]
        if some == 0:
            continue
        for cell in range(first, end):
            if (changed[cell] != 0 or every != 0) and buffer.pages[cell] != 0:
                changed[cell] = 0
                if changed_share(cells, buffer, cell, every):
                    buffer.cells[found] = cell
                    for column in range(SHARES):
                        buffer.cell_shares[found, column] = buffer.shares[cell, column]
                    found += 1
    buffer.at[CELLS] = found


@jit_inline_source
def states_now(state: MmuState, totals: I64, rings: int, out: I64) -> None:
    """Write STATES of the tables that the guest runs on.

    Args:
        state: the tables.
        totals: `FrameBuffer.totals`.
        rings: whether pages are reported by dirty rings.
        out: int64[STATE_COLUMNS], all 0 before.
    """
    out[LEFT_LOG] = state.stat[STAT_LEFT_LOG]
    out[STATE_TABLE_PAGES] = state.stat[STAT_TABLE_PAGES]
    for column in range(CELL_DIRTY):
        out[STATE_MAPPED + column] = totals[column]
    for column in range(1, CELL_DIRTY, CELL_PROTECTED):
        out[STATE_MAPPED + column] //= PAGES_PER_2M
        out[STATE_MAPPED + column + 1] //= PAGES_PER_1G
    for slot in range(state.slots.shape[0]):
        out[STATE_DIRTY] += state.slots[slot, SLOT_DIRTY_PAGES]
        out[STATE_UNREPORTED] += state.slots[slot, SLOT_UNREPORTED_PAGES]
    if rings != 0:
        out[STATE_UNREPORTED] = 0
        for vcpu in range(state.ring_at.shape[0]):
            out[STATE_UNREPORTED] += state.ring_at[vcpu, RING_DIRTY_INDEX] - state.ring_at[vcpu, RING_HARVEST_INDEX]


@jit_inline_source
def take_examples(examples: I64, buffer: FrameBuffer) -> None:
    """Take the filled rows of examples, with the kind as last column."""
    found = buffer.at[ROWS]
    for kind in range(examples.shape[0]):
        if examples[kind, EX_SEEN] != 0:
            for column in range(EXAMPLE_COLUMNS):
                buffer.rows[found, column] = examples[kind, column]
            buffer.rows[found, EXAMPLE_COLUMNS] = kind
            examples[kind, EX_SEEN] = 0
            found += 1
    buffer.at[ROWS] = found


@jit_inline_source
def note_places(clock: Clock, buffer: FrameBuffer, number: int) -> None:
    """Record the positions of the vCPUs and of the ioctl thread."""
    buffer.walks[number, 0], buffer.walks[number, 1] = buffer.at[WALK], buffer.at[WALK_GFN]
    for vcpu in range(buffer.gfns.shape[1]):
        gfn, position = NOWHERE, clock.stream[vcpu, columns.POSITION]
        if position < clock.stream[vcpu, columns.ACCESSES]:
            gfn = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position)
        buffer.gfns[number, vcpu] = gfn


@jit
def take_frame(state: MmuState, clock: Clock, buffer: FrameBuffer, end_ps: int, every: int) -> None:
    """Take a frame of the tables that the guest runs on, and of all positions; has_room() holds.

    Args:
        state: the tables.
        clock: the streams of accesses.
        buffer: changed in place.
        end_ps: time of the frame, ps.
        every: 1 to keep all cells, 0 for those that changed.
    """
    at = buffer.at
    number = at[FRAMES]
    changed_shares(state.cells, state.cell_changed, buffer, every)
    take_examples(state.examples, buffer)
    for column in range(STATE_COLUMNS):
        buffer.states[number, column] = 0
    states_now(state, buffer.totals, at[RINGS], buffer.states[number])
    note_places(clock, buffer, number)
    buffer.ends[number] = at[LAST] = end_ps
    buffer.stops[number, 0], buffer.stops[number, 1] = at[CELLS], at[ROWS]
    at[FRAMES] = number + 1


@jit_inline_llvm
def has_room(buffer: FrameBuffer) -> bool:
    """Whether another frame fits, with any number of changes."""
    at, most = buffer.at, buffer.pages.shape[0]
    rows = at[ROWS] + EXAMPLES <= buffer.rows.shape[0]
    return bool(rows and at[FRAMES] < FRAMES_KEPT and at[CELLS] + most <= buffer.cells.shape[0])


@jit
def make_room(clock: Clock, time: int) -> None:
    """Widen the bins until they reach a time, even if nothing is recorded there."""
    if time - 1 >> clock.regs[layout.BIN_SHIFT] >= layout.BINS:
        widen_bins(clock.series, clock.lanes, clock.regs, time - 1)


@jit
def next_stop(clock: Clock, at: I64) -> int:
    """Time of the next frame or call of Python."""
    if at[LAST] == FOREVER:
        return FOREVER
    if at[PERIOD] > 0:
        return int(at[LAST] + at[PERIOD])
    shift = clock.regs[layout.BIN_SHIFT]
    return int(min(((at[LAST] >> shift) + 1) << shift, at[ALARM]))


@jit
def ends_bin(clock: Clock, time: int) -> int:
    """1 if a bin ends at a time, else 0."""
    return int(time & ((1 << clock.regs[layout.BIN_SHIFT]) - 1) == 0)


@jit_inline_source
def take_frames_compiled(state: MmuState, clock: Clock, buffer: FrameBuffer, time: int) -> bool:
    """Take the frame of a stop in compiled code, at the end of a bin; False if Python must be called instead."""
    if buffer.at[LEFT] <= 0 or time >= buffer.at[ALARM] or not has_room(buffer):
        return False
    buffer.at[LEFT] -= 1
    make_room(clock, time)
    if ends_bin(clock, time) != 0:
        take_frame(state, clock, buffer, time, 0)
    return True
