"""Where in memory a migration has sent pages: by cell and time, as a Recording's maps show it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.core.jit import jit
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_1G, SHIFT_1G, WORD_SHIFT
from mmuviz.engine.frames import CellMap, regions_of_spans
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.mmu.state import I64
from mmuviz.recording.schema import FULL_SHARE

LAST_BIT: Final = BITS_PER_LONG - 1
MOST_ROWS: Final = 1 << 18
"""Rows that are kept before those that no Recording shows are dropped."""
COLUMNS: Final = ("time_ps", "cell", "sent", "again")


class CellCounts(NamedTuple):
    """Pages of one batch by cell, in the order in which they are sent.

    Attributes:
        cells: int64[n], ascending.
        first: int64[n], pages that were not sent before.
        again: int64[n], the others.
    """

    cells: I64
    first: I64
    again: I64


class BlockCells(NamedTuple):
    """Where the cells begin in a RAM block.

    Attributes:
        starts: int64[n + 1], pages of the block, ascending; the last is its end.
        cells: int64[n].
    """

    starts: I64
    cells: I64


class SentCells:
    """Pages sent so far, cell by cell, whenever a batch was sent."""

    def __init__(self, cells: CellMap, spans: list[tuple[int, int]]) -> None:
        """Nothing was sent yet.

        Args:
            cells: where the cells lie.
            spans: first gfn and number of pages of each memslot that is shown.
        """
        self.map = cells
        self._regions = regions_of_spans(spans)
        self._sent = np.zeros(len(cells.pages), np.int64)
        self._again = np.zeros(len(cells.pages), np.int64)
        self._parts: list[I64] = []
        self._rows = 0

    def begin(self, time_ps: int) -> None:
        """A migration begins: whatever another one sent is of no use to it."""
        cells = np.flatnonzero(self._sent)
        self._sent[:] = self._again[:] = 0
        self._keep(np.full(len(cells), time_ps, np.int64), cells)

    def blocks(self, qemu: Qemu) -> dict[str, BlockCells]:
        """Where the cells begin in each RAM block, by the memslots that map it."""
        return {block.name: self._block(qemu, block) for block in qemu.blocks}

    def _block(self, qemu: Qemu, block: RamBlock) -> BlockCells:
        starts, cells, shift = [], [], self.map.shift
        for slot in sorted((each for each in qemu.slots[0] if each.block is block), key=lambda each: each.offset):
            region = int(np.searchsorted(self._regions, slot.base_gfn >> SHIFT_1G))
            linear = (region << SHIFT_1G) | (slot.base_gfn & (PAGES_PER_1G - 1))
            inside = np.arange(linear >> shift, ((linear + slot.pages - 1) >> shift) + 1, dtype=np.int64)
            cells.append(inside)
            starts.append(np.maximum(inside << shift, linear) - linear + slot.offset)
        return BlockCells(np.concatenate([*starts, [block.pages]]), np.concatenate(cells))

    def note(self, counts: CellCounts, begin_ps: int, end_ps: int) -> None:
        """A batch was sent, evenly over a time.

        Args:
            counts: its pages.
            begin_ps: when the first of them left.
            end_ps: when all had.
        """
        np.add.at(self._sent, counts.cells, counts.first)
        np.add.at(self._again, counts.cells, counts.again)
        done = np.cumsum(counts.first + counts.again)
        times = begin_ps + (done * ((end_ps - begin_ps) / int(done[-1]))).astype(np.int64)
        times[-1] = end_ps
        self._keep(times, counts.cells)

    def _keep(self, times: I64, cells: I64) -> None:
        self._parts.append(np.stack([times, cells, self._sent[cells], self._again[cells]], axis=1))
        self._rows += len(cells)

    def drop_unseen(self, width: int) -> None:
        """Drop what a later row of the same bin and cell hides, once there is much of it."""
        if self._rows > MOST_ROWS:
            self._parts = [last_of_bins(np.concatenate(self._parts), width)]
            self._rows = len(self._parts[0])

    def table(self, bins: int, width: int) -> dict[str, npt.ArrayLike]:
        """The shares of each cell at the end of each bin in which they became others.

        Args:
            bins: of the Recording.
            width: of a bin, ps.

        Returns:
            Columns of the table `sent_cells`.
        """
        shown = np.flatnonzero(self.map.pages)
        number = np.full(len(self.map.pages), -1, np.int64)
        number[shown] = np.arange(len(shown))
        rows = last_of_bins(np.concatenate([np.zeros((0, len(COLUMNS)), np.int64), *self._parts]), width)
        rows = rows[number[rows[:, 1]] >= 0]
        bin_of = np.minimum(np.maximum(rows[:, 0] - 1, 0) // width, bins - 1)
        whole = self.map.pages[rows[:, 1]]
        shares = np.stack([shares_of(rows[:, 2], whole), shares_of(rows[:, 3], whole)], axis=1)
        others = differs(rows[:, 1], shares)
        counts = np.bincount(bin_of[others] + 1, minlength=bins + 1)
        return {
            "frame_start": np.concatenate([[0], np.cumsum(counts)]),
            "cell": number[rows[others, 1]],
            "shares": shares[others],
        }


def last_of_bins(rows: I64, width: int) -> I64:
    """The last row of each bin and cell, by bin and then by cell; rows come in the order of time.

    Args:
        rows: int64[n, 4], see COLUMNS.
        width: of a bin, ps.
    """
    bins = np.maximum(rows[:, 0] - 1, 0) // width
    order = np.lexsort((rows[:, 1], bins))
    bins, cells = bins[order], rows[order, 1]
    last = np.append((np.diff(bins) != 0) | (np.diff(cells) != 0), np.ones(min(len(rows), 1), np.bool_))
    found: I64 = rows[order[last]]
    return found


def shares_of(pages: I64, whole: I64) -> I64:
    """Parts of cells as shares of 255: 0 only where there is nothing, 255 only where it is all, or more than all."""
    nearest = (2 * pages * FULL_SHARE + whole) // (2 * np.maximum(whole, 1))
    inside = np.clip(nearest, 1, FULL_SHARE - 1)
    return np.where(pages == 0, 0, np.where(pages >= whole, FULL_SHARE, inside))


def differs(cells: I64, shares: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows have other shares than the row before of the same cell; before the first there is nothing.

    Args:
        cells: int64[n].
        shares: int64[n, 2], in the order of time.
    """
    order = np.argsort(cells, kind="stable")
    before = np.zeros_like(shares)
    same = np.flatnonzero(np.diff(cells[order]) == 0) + 1
    before[order[same]] = shares[order[same - 1]]
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (shares != before).any(axis=1)
    return found


def hold(once: Pages, where: BlockCells, pages: I64) -> CellCounts:
    """Put pages into a set, and count by cell which of them it had not, and had.

    Args:
        once: the set; all of the pages are in it afterwards.
        where: of the RAM block.
        pages: int64[n], ascending, at least one.
    """
    low, high = (int(np.searchsorted(where.starts, page, side="right")) - 1 for page in (pages[0], pages[-1]))
    counts = np.zeros((2, high - low + 1), np.int64)
    hold_pages(once.words, pages, where.starts[low : high + 2], counts)
    some = counts.any(axis=0)
    return CellCounts(where.cells[low : high + 1][some], counts[0, some], counts[1, some])


@jit
def hold_pages(words: I64, pages: I64, starts: I64, counts: I64) -> None:
    """Set the bits of pages, and count them in their cell: in row 0 those that were clear, in row 1 the others."""
    at = 0
    for each in range(pages.shape[0]):
        page = pages[each]
        while page >= starts[at + 1]:
            at += 1
        word, bit = page >> WORD_SHIFT, 1 << (page & LAST_BIT)
        had = 0 if words[word] & bit == 0 else 1
        words[word] |= bit
        counts[had, at] += 1
