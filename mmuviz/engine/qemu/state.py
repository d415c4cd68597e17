"""QEMU's state during a migration: RAM blocks, KVM memslots, and the mutexes that each thread holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmuviz.core.pages import BITS_PER_LONG
from mmuviz.engine.qemu.page_set import Pages, PageSet

BIG_LOCK: Final = "big lock"
BITMAP_MUTEX: Final = "bitmap_mutex"
RAM_LIST_MUTEX: Final = "ram_list.mutex"
SLOTS_LOCK: Final = "kml_slots_lock"

LOG_DIRTY_PAGES: Final = 1
READONLY: Final = 2

GLOBAL_DIRTY_MIGRATION: Final = 1
GLOBAL_DIRTY_DIRTY_RATE: Final = 2
GLOBAL_DIRTY_LIMIT: Final = 4
"""Reasons for dirty tracking: enum of include/exec/memory.h."""


@dataclass(frozen=True)
class QemuFeatures:
    """Behaviour of a QEMU release; one field per behaviour.

    Attributes:
        setup_under_big_lock: the setup section is written to the stream under the BQL.
        bitmap_mutex_in_completion: the last pages are sent under bitmap_mutex too.
        syncs_while_throttling: with auto-converge, the main thread syncs if there was no sync for 5 s.
        limits_flushed_bytes: the rate limit counts flushed bytes, not those still in QEMU's buffer.
        zero_pages_in_channels: multifd channels detect zero pages, not the migration thread (since 9.1).
        dirty_limit: the capability dirty-limit exists (since 8.1).
    """

    setup_under_big_lock: bool
    bitmap_mutex_in_completion: bool
    syncs_while_throttling: bool
    limits_flushed_bytes: bool
    zero_pages_in_channels: bool
    dirty_limit: bool


FEATURES: Final = {
    "7.2": QemuFeatures(
        setup_under_big_lock=False,
        bitmap_mutex_in_completion=False,
        syncs_while_throttling=False,
        limits_flushed_bytes=False,
        zero_pages_in_channels=False,
        dirty_limit=False,
    ),
    "10.0": QemuFeatures(
        setup_under_big_lock=True,
        bitmap_mutex_in_completion=True,
        syncs_while_throttling=True,
        limits_flushed_bytes=True,
        zero_pages_in_channels=True,
        dirty_limit=True,
    ),
}


@dataclass(eq=False)
class RamBlock:
    """A RAM block (RAMBlock).

    Attributes:
        name: its idstr.
        pages: its length in 4K pages.
        host_pages: 4K pages per page of the backing file system: 512 on 2M hugetlbfs.
        bmap: pages still to be sent.
        dirty_memory: pages found dirty and not yet merged into bmap (ram_list.dirty_memory).
        clear_bmap: chunks that need a CLEAR before their first page is sent; None before setup.
        chunk_shift: log2 of the pages of a chunk.
    """

    name: str
    pages: int
    host_pages: int
    bmap: PageSet
    dirty_memory: PageSet
    clear_bmap: NDArray[np.bool_] | None = None
    chunk_shift: int = 18

    @property
    def in_whole_words(self) -> bool:
        """Whether its bitmap is a whole number of words; offsets of blocks always are."""
        return self.pages % BITS_PER_LONG == 0


@dataclass(eq=False)
class KvmSlot:
    """A memslot as QEMU sees it (KVMSlot).

    Attributes:
        address_space: 0, or 1 for system management mode.
        number: its id within the address space.
        base_gfn: its first gfn.
        pages: its size in pages.
        flags: the flags set in KVM.
        block: the RAM block that it maps.
        offset: its first page in the block.
        dirty_bmap: pages reported by KVM and not cleared yet.
        shown: a display keeps it logged at all times.
    """

    address_space: int
    number: int
    base_gfn: int
    pages: int
    flags: int
    block: RamBlock
    offset: int
    dirty_bmap: PageSet
    shown: bool = False

    @property
    def logged(self) -> bool:
        """Whether KVM logs its dirty pages."""
        return bool(self.flags & LOG_DIRTY_PAGES)


@dataclass
class RamState:
    """Progress of sending RAM (RAMState).

    Attributes:
        dirty_pages: pages still to be sent (migration_dirty_pages).
        period_pages: pages that became dirty in this dirty-rate period (num_dirty_pages_period).
        sync_count: syncs so far (dirty_sync_count).
        left_at_sync: pages to be sent after the last sync.
        block: index of the block where the search continues.
        page: page in that block where the search continues.
        postcopy: whether the guest runs on the destination already.
    """

    dirty_pages: int = 0
    period_pages: int = 0
    sync_count: int = 0
    left_at_sync: int = 0
    block: int = 0
    page: int = 0
    postcopy: bool = False


@dataclass
class Qemu:
    """A QEMU process with its guest.

    Attributes:
        features: behaviour of the QEMU release.
        blocks: RAM blocks that migrate, in ram_list's order.
        slots: memslots of each address space, by base_gfn.
        manual_protect: GET leaves pages writable and CLEAR write-protects them.
        ring: dirty rings instead of bitmaps.
        chunk_shift: x-clear-bitmap-shift.
        page_set: creates an empty set for a number of pages.
        ram: progress of sending RAM.
        dirty_tracking: reasons for dirty tracking (global_dirty_tracking).
        postponed_stop: reasons whose stop is postponed until the guest runs.
        running: whether the guest runs.
    """

    features: QemuFeatures
    blocks: list[RamBlock]
    slots: list[list[KvmSlot]]
    manual_protect: bool
    ring: bool
    chunk_shift: int
    page_set: Callable[[int], PageSet] = Pages.none_of
    ram: RamState = field(default_factory=RamState)
    dirty_tracking: int = 0
    postponed_stop: int = 0
    running: bool = True


class Thread:
    """A thread of QEMU and the mutexes that it holds."""

    def __init__(self) -> None:
        self._held: list[str] = []

    @contextmanager
    def holding(self, *mutexes: str) -> Iterator[None]:
        """Hold mutexes for a block of code; those already held are not acquired again."""
        taken = [each for each in mutexes if each not in self._held]
        self._held += taken
        try:
            yield
        finally:
            for each in taken:
                self._held.remove(each)

    @property
    def held(self) -> tuple[bool, int]:
        """Return whether the BQL is held, and the number of mutexes held."""
        return BIG_LOCK in self._held, len(self._held)
