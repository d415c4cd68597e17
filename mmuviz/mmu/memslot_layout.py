"""Layout of a new memslot: its row in the slot table, its bitmap, its host pages."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_2M, PG_LEVEL_1G, PG_LEVEL_2M, SHIFT_1G, SHIFT_2M, round_up
from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import Backing, Memslot
from mmuviz.mmu.host import HOST_NONE, HOST_PRESENT, MAPPED_BY_4K
from mmuviz.mmu.state import I64, MmuState

T = TypeVar("T", bound=np.generic)
HOST_PAGES_PER_BYTE: Final = 4
ALL_PRESENT: Final = 0xFF
"""Four host pages of two bits each, all HOST_PRESENT."""


def append_memslot(state: MmuState, slot_id: int, memslot: Memslot) -> MmuState:
    """Append a memslot to the slot table, with room for its dirty bitmap and host pages.

    The host mapping starts at a multiple of 1 GiB and ends with the slot (rounded up to the huge
    page size for hugetlb), so a transparent huge page fits a region only if the mapping covers all of it.

    Args:
        state: the machine's arrays; not changed.
        slot_id: userspace's number of the slot.
        memslot: the slot.

    Returns:
        The state with larger arrays.
    """
    backing = memslot.backing
    shift = SHIFT_1G if backing.level == PG_LEVEL_1G else SHIFT_2M
    mapped = memslot.hva_offset_pages + memslot.pages
    regions = round_up(mapped, 1 << shift) >> shift
    paged = backing in (Backing.PAGES_4K, Backing.THP)
    row = np.zeros(mmu.SLOT_COLUMNS, dtype=np.int64)
    row[mmu.SLOT_BASE] = memslot.base_gfn
    row[mmu.SLOT_END] = memslot.base_gfn + memslot.pages
    row[mmu.SLOT_DIRTY_AT] = len(state.dirty)
    row[mmu.SLOT_HVA_OFFSET] = memslot.hva_offset_pages
    row[mmu.SLOT_ALIGNED_LEVEL] = memslot.aligned_level
    row[mmu.SLOT_HOST_LEVEL] = backing.level
    row[mmu.SLOT_HOST_PRESENT] = memslot.host_populated
    row[mmu.SLOT_HOST_REGION_AT] = len(state.host_region)
    row[mmu.SLOT_HOST_PAGE_AT] = len(state.host_page) * HOST_PAGES_PER_BYTE
    row[mmu.SLOT_HOST_PAGES] = mapped
    row[mmu.SLOT_HOST_HUGETLB] = backing.hugetlb
    row[mmu.SLOT_ID] = slot_id
    row[mmu.SLOT_FORCED_LEVEL] = PG_LEVEL_1G
    row[mmu.SLOT_READ_ONLY] = memslot.read_only
    host_region = np.full(regions, MAPPED_BY_4K, dtype=np.uint8)
    huge = regions if backing.hugetlb else (mapped // PAGES_PER_2M if backing is Backing.THP else 0)
    host_region[:huge] = HOST_PRESENT if memslot.host_populated else HOST_NONE
    host_bytes = round_up(mapped, PAGES_PER_2M) // HOST_PAGES_PER_BYTE if paged else 0
    return state._replace(
        slots=np.vstack([state.slots, row]),
        dirty=_extended(state.dirty, -(-memslot.pages // BITS_PER_LONG)),
        host_region=np.concatenate([state.host_region, host_region]),
        host_page=_extended(state.host_page, host_bytes),
    )


def without_slot(state: MmuState, row: int) -> MmuState:
    """Remove a memslot from the slot table, with its bitmap and host pages.

    Args:
        state: the machine's arrays; not changed.
        row: row of the slot.

    Returns:
        The state with smaller arrays; the rows after the removed one point to the new offsets of their arrays.
    """
    slots = np.delete(state.slots, row, axis=0)
    bitmap, region = (_slice_of_slot(state, row, column) for column in (mmu.SLOT_DIRTY_AT, mmu.SLOT_HOST_REGION_AT))
    page = _slice_of_slot(state, row, mmu.SLOT_HOST_PAGE_AT)
    for column, part in (
        (mmu.SLOT_DIRTY_AT, bitmap),
        (mmu.SLOT_HOST_REGION_AT, region),
        (mmu.SLOT_HOST_PAGE_AT, page),
    ):
        slots[row:, column] -= part.stop - part.start
    page = slice(page.start // HOST_PAGES_PER_BYTE, page.stop // HOST_PAGES_PER_BYTE)
    return state._replace(
        slots=slots,
        dirty=np.delete(state.dirty, bitmap),
        host_region=np.delete(state.host_region, region),
        host_page=np.delete(state.host_page, page),
    )


def _slice_of_slot(state: MmuState, row: int, column: int) -> slice:
    """Return one slot's part of an array; a column of the slot table is the part's offset."""
    ends = {
        mmu.SLOT_DIRTY_AT: len(state.dirty),
        mmu.SLOT_HOST_REGION_AT: len(state.host_region),
        mmu.SLOT_HOST_PAGE_AT: len(state.host_page) * HOST_PAGES_PER_BYTE,
    }
    starts = [*state.slots[:, column].tolist(), ends[column]]
    return slice(starts[row], starts[row + 1])


def _extended(array: npt.NDArray[T], more: int) -> npt.NDArray[T]:
    grown = np.zeros(len(array) + more, dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def materialise_host_pages(state: MmuState, row: int) -> None:
    """Store the state of each host page of a populated slot, before one of them changes.

    Args:
        state: host pages, changed in place.
        row: row of the slot.
    """
    slot = state.slots[row]
    if not slot[mmu.SLOT_HOST_PRESENT]:
        return
    slot[mmu.SLOT_HOST_PRESENT] = 0
    if not slot[mmu.SLOT_HOST_HUGETLB]:
        at = int(slot[mmu.SLOT_HOST_PAGE_AT]) // HOST_PAGES_PER_BYTE
        first, pages = _mapped_by_pages(slot)
        state.host_page[at + first // HOST_PAGES_PER_BYTE : at + pages // HOST_PAGES_PER_BYTE] = ALL_PRESENT


def _mapped_by_pages(slot: I64) -> tuple[int, int]:
    """Return the host pages [first, end) of a slot whose states must be stored one by one, in whole regions.

    Pages before the slot in its mapping are never read. A transparent huge page has one state for its
    region until it is split; only the last, incomplete region has single pages.
    """
    pages = int(slot[mmu.SLOT_HOST_PAGES])
    first = pages if slot[mmu.SLOT_HOST_LEVEL] == PG_LEVEL_2M else int(slot[mmu.SLOT_HVA_OFFSET])
    return first - first % PAGES_PER_2M, round_up(pages, PAGES_PER_2M)
