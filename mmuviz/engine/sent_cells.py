"""Cells of guest memory whose pages a migration has sent, over time, for a Recording's memory maps."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.core.jit import jit
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_1G, SHIFT_1G, WORD_SHIFT
from mmuviz.engine.frames import CellMap, regions_of_spans
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.page_words import ALL_BITS
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.mmu.counting import bits_of
from mmuviz.mmu.state import I64
from mmuviz.recording.schema import FULL_SHARE

LAST_BIT: Final = BITS_PER_LONG - 1
MOST_ROWS: Final = 1 << 18
"""Row count above which rows that no Recording shows are dropped."""
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
    """First page of each cell in a RAM block.

    Attributes:
        starts: int64[n + 1], first page of each cell in the block, ascending; the last entry is the block's end.
        cells: int64[n], cell numbers.
    """

    starts: I64
    cells: I64


class SentCells:
    """Cumulative number of pages sent in each cell, with a row per batch and cell."""

    def __init__(self, cells: CellMap, spans: list[tuple[int, int]]) -> None:
        """Start with no page sent.

        Args:
            cells: the cells' layout.
            spans: first gfn and number of pages of each memslot that is shown.
        """
        self.map = cells
        self._regions = regions_of_spans(spans)
        self._sent = np.zeros(len(cells.pages), np.int64)
        self._again = np.zeros(len(cells.pages), np.int64)
        self._parts: list[I64] = []
        self._rows = 0

    def begin(self, time_ps: int) -> None:
        """Begin a migration: reset all counts, since pages sent by an earlier migration do not help it."""
        cells = np.flatnonzero(self._sent)
        self._sent[:] = self._again[:] = 0
        self._keep(np.full(len(cells), time_ps, np.int64), cells)

    def blocks(self, qemu: Qemu) -> dict[str, BlockCells]:
        """Return the first page of each cell in each RAM block, by the memslots that map it."""
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
        """Record a batch that is sent evenly over a time.

        Args:
            counts: its pages by cell.
            begin_ps: start of sending.
            end_ps: end of sending.
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

    def drop_replaced_rows(self, width: int) -> None:
        """Drop rows that a later row of the same bin and cell replaces, if there are many rows."""
        if self._rows > MOST_ROWS:
            self._parts = [last_of_bins(np.concatenate(self._parts), width)]
            self._rows = len(self._parts[0])

    def table(self, bins: int, width: int) -> dict[str, npt.ArrayLike]:
        """Return the shares of each cell at the end of each bin in which they changed.

        Args:
            bins: number of the Recording's bins.
            width: width of a bin, ps.

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
    """Return the last row of each bin and cell, ordered by bin and then by cell.

    Args:
        rows: int64[n, 4], see COLUMNS; ordered by time.
        width: width of a bin, ps.
    """
    bins = np.maximum(rows[:, 0] - 1, 0) // width
    order = np.lexsort((rows[:, 1], bins))
    bins, cells = bins[order], rows[order, 1]
    last = np.append((np.diff(bins) != 0) | (np.diff(cells) != 0), np.ones(min(len(rows), 1), np.bool_))
    found: I64 = rows[order[last]]
    return found


def shares_of(pages: I64, whole: I64) -> I64:
    """Convert page counts of cells to shares of 255: 0 only for none, 255 only for all or more than all."""
    nearest = (2 * pages * FULL_SHARE + whole) // (2 * np.maximum(whole, 1))
    inside = np.clip(nearest, 1, FULL_SHARE - 1)
    return np.where(pages == 0, 0, np.where(pages >= whole, FULL_SHARE, inside))


def differs(cells: I64, shares: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rows differ from the previous row of the same cell; a cell's shares are 0 before its first row.

    Args:
        cells: int64[n].
        shares: int64[n, 2], ordered by time.
    """
    order = np.argsort(cells, kind="stable")
    before = np.zeros_like(shares)
    same = np.flatnonzero(np.diff(cells[order]) == 0) + 1
    before[order[same]] = shares[order[same - 1]]
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (shares != before).any(axis=1)
    return found


def hold(once: Pages, where: BlockCells, pages: I64) -> CellCounts:
    """Add pages to a set, and count by cell which were new and which were already in it.

    Args:
        once: the set; contains all of the pages afterwards.
        where: cells of the RAM block.
        pages: int64[n], ascending, at least one.
    """
    low, high = (int(np.searchsorted(where.starts, page, side="right")) - 1 for page in (pages[0], pages[-1]))
    counts = np.zeros((2, high - low + 1), np.int64)
    hold_pages(once.words, pages, where.starts[low : high + 2], counts)
    some = counts.any(axis=0)
    return CellCounts(where.cells[low : high + 1][some], counts[0, some], counts[1, some])


@jit
def hold_pages(words: I64, pages: I64, starts: I64, counts: I64) -> None:
    """Set the bits of pages, and count them by cell: in row 0 those that were clear, in row 1 those already set."""
    at, each = 0, 0
    while each < pages.shape[0]:
        page = pages[each]
        while page >= starts[at + 1]:
            at += 1
        word, last = page >> WORD_SHIFT, each + LAST_BIT
        if page & LAST_BIT == 0 and last < pages.shape[0] and pages[last] == page + LAST_BIT < starts[at + 1]:
            again = bits_of(words[word])  # all pages of a word, in one cell
            words[word] = ALL_BITS
            counts[0, at] += BITS_PER_LONG - again
            counts[1, at] += again
            each += BITS_PER_LONG
            continue
        bit = 1 << (page & LAST_BIT)
        had = 0 if words[word] & bit == 0 else 1
        words[word] |= bit
        counts[had, at] += 1
        each += 1
