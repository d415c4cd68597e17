"""Calls of QEMU's loop to KVM and its environment: the loop's functions yield them and are sent the answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mmuviz.engine.qemu.page_set import PageSet
    from mmuviz.engine.qemu.state import KvmSlot, RamBlock

Steps = Generator["Call", Any, None]
"""A QEMU thread: a generator that yields calls and is sent their answers."""


@dataclass(frozen=True)
class Call:
    """A request of QEMU to KVM or to its environment.

    Attributes:
        big_lock: whether the calling thread holds the big QEMU lock (BQL).
        locks: number of mutexes it holds, the BQL included.
    """

    big_lock: bool
    locks: int


@dataclass(frozen=True)
class SetMemslot(Call):
    """KVM_SET_USER_MEMORY_REGION.

    Attributes:
        slot: the slot as it is after the call.
        flags: 1 logs dirty pages, 2 is read-only.
        pages: its size; 0 deletes it.
    """

    slot: KvmSlot
    flags: int
    pages: int


@dataclass(frozen=True)
class GetDirtyLog(Call):
    """KVM_GET_DIRTY_LOG; the answer is a PageSet of the slot's pages."""

    slot: KvmSlot


@dataclass(frozen=True)
class ClearDirtyLog(Call):
    """KVM_CLEAR_DIRTY_LOG.

    Attributes:
        slot: the slot.
        first_page: a multiple of 64, counted from the slot's start.
        num_pages: a multiple of 64, or up to the slot's end.
        bits: the pages to clear, counted from first_page.
    """

    slot: KvmSlot
    first_page: int
    num_pages: int
    bits: PageSet


@dataclass(frozen=True)
class ClearChunk(Call):
    """Announcement of a chunk of a RAM block about to be cleared; QEMU's tracepoint migration_bitmap_clear_dirty.

    Attributes:
        block: the RAM block.
        first: the chunk's first page in the block.
        pages: the chunk's size, which may reach beyond the block.
        page: the page that is about to be sent.
    """

    block: RamBlock
    first: int
    pages: int
    page: int


@dataclass(frozen=True)
class KickVcpus(Call):
    """A kick of every vCPU out of the guest, so that its ring contains all pages it wrote."""


@dataclass(frozen=True)
class HarvestRings(Call):
    """Reading the entries of every dirty ring, or of one vCPU's; the answer is a Harvest.

    Attributes:
        vcpu: index of the vCPU whose ring is read; None for all.
    """

    vcpu: int | None = None


@dataclass(frozen=True)
class Harvest:
    """Contents of the rings.

    Attributes:
        entries: number of entries; a page may occur in several.
        pages: the dirty pages of each slot that has some.
    """

    entries: int
    pages: list[tuple[KvmSlot, PageSet]]


@dataclass(frozen=True)
class ResetRings(Call):
    """KVM_RESET_DIRTY_RINGS."""


@dataclass(frozen=True)
class SyncStart(Call):
    """Start of a sync; QEMU's tracepoint of the same name."""


@dataclass(frozen=True)
class SyncEnd(Call):
    """End of a sync; the answer is whether more than a second has passed, so that a new dirty-rate period begins.

    Attributes:
        period_pages: pages that became dirty in this dirty-rate period (num_dirty_pages_period).
    """

    period_pages: int


@dataclass(frozen=True)
class Pending(Call):
    """A point where QEMU compares the remaining bytes with the threshold; the answer is the threshold in bytes.

    Attributes:
        left_bytes: dirty bytes left.
        exact: whether a sync was made just before, for this comparison.
    """

    left_bytes: int
    exact: bool


@dataclass(frozen=True)
class PostcopyAsked(Call):
    """Query whether post-copy was requested (migrate-start-postcopy); the answer is a bool."""


@dataclass(frozen=True)
class QueuedPage(Call):
    """In post-copy: query for the page the destination requested; the answer is (RamBlock, page) or None."""


@dataclass(frozen=True)
class Room(Call):
    """Query for the number of pages that fit before the rate limit or 50 ms end the iteration; None: no limit."""


@dataclass(frozen=True)
class RoomLeft(Call):
    """Room, asked again inside an iteration, after CLEARs or writes of pages that took time.

    Attributes:
        room: rest of the previous answer, which an environment without a clock returns.
        following: block and page that are sent next, after their chunk's CLEARs; None after pages were sent.
    """

    room: int | None
    following: tuple[RamBlock, int] | None


@dataclass(frozen=True)
class SendPages(Call):
    """Writing pages of one block to the stream.

    Attributes:
        block: the RAM block.
        sent: the pages, ascending.
    """

    block: RamBlock
    sent: Sent


@dataclass(frozen=True, eq=False)
class Sent:
    """Pages of one block sent back to back: all dirty pages between the first and the last.

    Attributes:
        first: the first page.
        last: the last page.
        pages: number of pages.
        numbers: int64[pages], the page numbers; None if only first, last and pages are known.
    """

    first: int
    last: int
    pages: int
    numbers: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class StopVm(Call):
    """Stop of the guest for the downtime."""


@dataclass(frozen=True)
class WaitForMeasure(Call):
    """Wait for the end of a dirty-rate measurement."""
