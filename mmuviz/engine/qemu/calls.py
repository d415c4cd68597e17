"""What QEMU's loop asks of its surroundings: each function of the loop yields these, and is sent the answers."""

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
"""A thread of QEMU: it yields calls, is sent their answers and returns nothing."""


@dataclass(frozen=True)
class Call:
    """Something that QEMU asks of KVM or of its surroundings.

    Attributes:
        big_lock: whether the calling thread holds the big QEMU lock (BQL).
        locks: how many mutexes it holds, the big lock included.
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
    """A chunk of a RAM block is about to be cleared; QEMU's tracepoint migration_bitmap_clear_dirty.

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
    """Every vCPU is kicked out of the guest, so that all that it wrote is in its ring."""


@dataclass(frozen=True)
class HarvestRings(Call):
    """Userspace reads the entries of every dirty ring, or of one vCPU's; the answer is a Harvest.

    Attributes:
        vcpu: whose ring; None for all.
    """

    vcpu: int | None = None


@dataclass(frozen=True)
class Harvest:
    """What the rings held.

    Attributes:
        entries: how many entries; a page may stand in several.
        pages: the pages of each slot that has some.
    """

    entries: int
    pages: list[tuple[KvmSlot, PageSet]]


@dataclass(frozen=True)
class ResetRings(Call):
    """KVM_RESET_DIRTY_RINGS."""


@dataclass(frozen=True)
class SyncStart(Call):
    """A sync begins; QEMU's tracepoint of the same name."""


@dataclass(frozen=True)
class SyncEnd(Call):
    """A sync ends; the answer says whether more than a second has passed, so that a new period of the rate begins.

    Attributes:
        period_pages: pages that became dirty in this period of the dirty rate (num_dirty_pages_period).
    """

    period_pages: int


@dataclass(frozen=True)
class Pending(Call):
    """How much is left, at one of the places where QEMU compares it; the answer is the threshold in bytes.

    Attributes:
        left_bytes: bytes that are dirty.
        exact: whether a sync has just been made for it.
    """

    left_bytes: int
    exact: bool


@dataclass(frozen=True)
class PostcopyAsked(Call):
    """Whether the switch to post-copy has been asked for; the answer is a bool."""


@dataclass(frozen=True)
class QueuedPage(Call):
    """In post-copy: the page that the destination waits for, as (RamBlock, page), or None."""


@dataclass(frozen=True)
class Room(Call):
    """How many pages may be sent before the rate limit or 50 ms end the iteration; None: as many as there are."""


@dataclass(frozen=True)
class RoomLeft(Call):
    """The same again, for time has passed: chunks were cleared, or pages were sent.

    Attributes:
        room: what is left of the answer before; surroundings without a clock answer that.
        following: the block and the page that is sent next, after its chunk's CLEARs; None after pages were sent.
    """

    room: int | None
    following: tuple[RamBlock, int] | None


@dataclass(frozen=True)
class SendPages(Call):
    """Pages of one block go into the stream.

    Attributes:
        block: the RAM block.
        sent: the pages, ascending.
    """

    block: RamBlock
    sent: Sent


@dataclass(frozen=True, eq=False)
class Sent:
    """Pages of one block that are sent one after the other, all those between the first and the last that are dirty.

    Attributes:
        first: the first page.
        last: the last page.
        pages: how many.
        numbers: int64, each page; None where only the first, the last and how many are known.
    """

    first: int
    last: int
    pages: int
    numbers: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class StopVm(Call):
    """The guest is stopped for the end of the migration."""


@dataclass(frozen=True)
class WaitForMeasure(Call):
    """The time over which a dirty rate is measured passes."""
