"""RAM in the migration stream: migration/ram.c."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from mmuviz.core.pages import round_up
from mmuviz.engine.qemu.calls import (
    Call,
    ClearChunk,
    QueuedPage,
    Room,
    RoomLeft,
    SendPages,
    Sent,
    Steps,
    SyncEnd,
    SyncStart,
)
from mmuviz.engine.qemu.kvm_all import kvm_physical_log_clear
from mmuviz.engine.qemu.memory import (
    memory_global_dirty_log_start,
    memory_global_dirty_log_stop,
    memory_global_dirty_log_sync,
)
from mmuviz.engine.qemu.state import (
    BIG_LOCK,
    BITMAP_MUTEX,
    GLOBAL_DIRTY_MIGRATION,
    RAM_LIST_MUTEX,
    Qemu,
    RamBlock,
    RamState,
    Thread,
)


def ram_save_setup(qemu: Qemu, thread: Thread) -> Steps:
    """Mark every page to be sent, enable logging and sync once.

    QEMU: ram_save_setup() > ram_init_all() > ram_init_bitmaps()
    """
    qemu.ram = RamState()
    with thread.holding(BIG_LOCK, RAM_LIST_MUTEX):
        ram_list_init_bitmaps(qemu)
        yield from memory_global_dirty_log_start(qemu, thread, GLOBAL_DIRTY_MIGRATION)
        yield from migration_bitmap_sync(qemu, thread)


def ram_list_init_bitmaps(qemu: Qemu) -> None:
    """Set every page's bit in bmap; no chunk needs a CLEAR before the first sync.

    QEMU: ram_list_init_bitmaps()
    """
    for block in qemu.blocks:
        block.bmap.add_all()
        block.chunk_shift = qemu.chunk_shift
        block.clear_bmap = np.zeros(-(-block.pages >> block.chunk_shift) or 1, np.bool_)
        qemu.ram.dirty_pages += block.pages


def migration_bitmap_sync(qemu: Qemu, thread: Thread) -> Steps:
    """Read the dirty log and merge it into the blocks' bmap.

    QEMU: migration_bitmap_sync()
    """
    ram = qemu.ram
    ram.sync_count += 1
    yield SyncStart(*thread.held)
    yield from memory_global_dirty_log_sync(qemu, thread)
    with thread.holding(BITMAP_MUTEX):
        for block in qemu.blocks:
            yield from ramblock_sync_dirty_bitmap(qemu, thread, block)
    ram.left_at_sync = ram.dirty_pages
    if (yield SyncEnd(*thread.held, ram.period_pages)):
        ram.period_pages = 0


def ramblock_sync_dirty_bitmap(qemu: Qemu, thread: Thread, block: RamBlock) -> Steps:
    """Merge one block's dirty pages into its bmap; pages already in bmap are not counted again.

    Every chunk of the block is set in clear_bmap, dirty or not. If the block's size is not a whole number of
    words, its pages are checked one by one and cleared at once, and no chunk is set.

    QEMU: ramblock_sync_dirty_bitmap() > cpu_physical_memory_sync_dirty_bitmap()
    """
    fresh = block.bmap.add(0, block.dirty_memory)
    block.dirty_memory.drop(0, block.pages)
    qemu.ram.dirty_pages += fresh
    qemu.ram.period_pages += fresh
    if block.in_whole_words and block.clear_bmap is not None:
        block.clear_bmap[:] = True
        return
    for page in range(block.pages):
        yield from kvm_physical_log_clear(qemu, thread, block, page, page + 1)


def migration_clear_memory_region_dirty_bitmap(qemu: Qemu, thread: Thread, block: RamBlock, page: int) -> Steps:
    """CLEAR the chunk of a page that is about to be sent, once per sync.

    QEMU: migration_bitmap_clear_dirty() > migration_clear_memory_region_dirty_bitmap()
    """
    chunk = page >> block.chunk_shift
    if block.clear_bmap is None or not block.clear_bmap[chunk]:
        return
    block.clear_bmap[chunk] = False
    pages = 1 << block.chunk_shift
    first = chunk * pages
    yield ClearChunk(*thread.held, block, first, pages, page)
    yield from kvm_physical_log_clear(qemu, thread, block, first, first + pages)


def find_dirty_block(qemu: Qemu) -> tuple[RamBlock, int] | None:
    """Return the next page to send: search once around all blocks from where the last search ended.

    QEMU: find_dirty_block() > pss_find_next_dirty()
    """
    ram, count = qemu.ram, len(qemu.blocks)
    for step in range(count + 1):
        index = (ram.block + step) % count
        block = qemu.blocks[index]
        page = block.bmap.next_page(0 if step else ram.page)
        if page is not None and (step < count or page < ram.page):
            ram.block = index
            return block, page
    return None


def get_queued_page(qemu: Qemu, block: RamBlock, page: int) -> tuple[RamBlock, int]:
    """Return the page that the destination requested, if any; the search continues after it.

    QEMU: get_queued_page()
    """
    qemu.ram.block = qemu.blocks.index(block)
    return block, page


def ram_find_and_save_block(qemu: Qemu, thread: Thread, room: int | None) -> Generator[Call, Any, int]:
    """Send the next pages, up to their chunk's end and at most `room`; return how many were sent.

    QEMU sends one host page at a time; between host pages of one chunk it makes no call that is modelled.

    QEMU: ram_find_and_save_block() > ram_save_host_page()
    """
    found = (yield QueuedPage(*thread.held)) if qemu.ram.postcopy else None
    found = find_dirty_block(qemu) if found is None else get_queued_page(qemu, *found)
    if found is None:
        return 0
    block, page = found
    yield from migration_clear_memory_region_dirty_bitmap(qemu, thread, block, page)
    room = yield RoomLeft(*thread.held, room, (block, page))
    stop = min(((page >> block.chunk_shift) + 1) << block.chunk_shift, block.pages)
    sent: Sent | None = block.bmap.take(page, stop, room)
    if sent is None:
        return 0
    qemu.ram.dirty_pages -= sent.pages
    qemu.ram.page = min(round_up(sent.last + 1, block.host_pages), block.pages)
    yield SendPages(*thread.held, block, sent)
    return sent.pages


def ram_save_iterate(qemu: Qemu, thread: Thread) -> Steps:
    """Send pages until the rate limit or 50 ms end the iteration.

    QEMU: ram_save_iterate()
    """
    with thread.holding(BITMAP_MUTEX):
        room: int | None = yield Room(*thread.held)
        while room is None or room > 0:
            sent = yield from ram_find_and_save_block(qemu, thread, room)
            if not sent:
                return
            room = yield RoomLeft(*thread.held, None if room is None else room - sent, None)


def ram_save_complete(qemu: Qemu, thread: Thread) -> Steps:
    """Send all remaining pages of the stopped guest, after one more sync unless post-copy is running.

    QEMU: ram_save_complete(), called with the big lock held.
    """
    if not qemu.ram.postcopy:
        yield from migration_bitmap_sync(qemu, thread)
    mutexes = (BITMAP_MUTEX,) if qemu.features.bitmap_mutex_in_completion else ()
    with thread.holding(*mutexes):
        while (yield from ram_find_and_save_block(qemu, thread, None)):
            pass


def ram_postcopy_send_discard_bitmap(qemu: Qemu, thread: Thread) -> Steps:
    """Sync for the last time before the destination runs, and restart the search at the first page of the first block.

    The destination discards and requests whole host pages, so partially dirty host pages are sent whole.

    QEMU: ram_postcopy_send_discard_bitmap(), postcopy_chunk_hostpages_pass()
    """
    yield from migration_bitmap_sync(qemu, thread)
    qemu.ram.block = qemu.ram.page = 0
    for block in qemu.blocks:
        if block.host_pages > 1:
            qemu.ram.dirty_pages += block.bmap.widen(block.host_pages)


def ram_save_cleanup(qemu: Qemu, thread: Thread) -> Steps:
    """Disable logging after the migration's end or cancellation.

    QEMU: ram_save_cleanup(), in the main thread with the big lock held.
    """
    with thread.holding(BIG_LOCK):
        yield from memory_global_dirty_log_stop(qemu, thread, GLOBAL_DIRTY_MIGRATION)
