"""The number of pages that a pass sent, derived from the syncs if the recording has only the stream's bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import KvmSlot, Qemu
from mmuviz.studies.migrations.document import Runs
from mmuviz.studies.migrations.plan import MIGRATION_THREADS, Event, Pass

DIRTY_PAGES = re.compile(r"dirty_pages (\d+)")
PENDING = re.compile(r"exact pending size (\d+)")


@dataclass(frozen=True)
class SyncFacts:
    """Facts of a recording on the sync that ends a pass.

    Attributes:
        left: pages left after it; None if unknown.
        fresh: possible numbers of new pages: the reported number, and its increase since the last sync.
        page: the page that is sent next; None if unknown.
    """

    left: int | None
    fresh: tuple[int, ...]
    page: int | None


def pages_of_pass(qemu: Qemu, events: list[Event], current: Pass) -> int:
    """Find the number of pages sent between two syncs.

    The number of new pages of the second sync depends on it: a page that was sent and written again is new, one that
    was not sent is not. The recording may also have the amount left after the sync, and the page sent next.

    Args:
        qemu: the QEMU, in its state after the first sync.
        events: events of the recording.
        current: the pass between the syncs.
    """
    order, dirty = _order(qemu), _flat(qemu)
    found = _found(qemu, events, current.sync_at)
    sizes = np.arange(len(order) + 1)
    again = np.concatenate(([0], np.cumsum(found[order], dtype=np.int64)))
    fresh = again + np.count_nonzero(found & ~dirty)
    facts = _facts_of_sync(qemu, events, current.sync_at)
    fits = np.ones(len(sizes), np.bool_)
    for wanted, holds in (
        (facts.left is not None, len(order) - sizes + fresh == facts.left),
        (bool(facts.fresh), np.isin(fresh, facts.fresh)),
        (facts.page is not None, _next_pages(order, found) == facts.page),
    ):
        if wanted and (fits & holds).any():
            fits &= holds
    return int(np.flatnonzero(fits)[-1])


def _next_pages(order: Any, found: Any) -> Any:  # noqa: ANN401  # arrays
    """Return the page that is sent next after a sync, for each number of pages that the pass may have sent.

    Args:
        order: int64[n], pages in the order in which the pass sends them.
        found: bool[pages], pages that the sync reports dirty.

    Returns:
        int64[n + 1], indexed by the number of pages sent; -1 if no dirty page is left.
    """
    total = len(found)
    ends = np.concatenate(([order[0] if len(order) else 0], order + 1))
    unsent = np.concatenate((order, [-1]))
    ahead = np.where(unsent < 0, total, (unsent - ends) % total)
    pages = np.flatnonzero(found)
    if not len(pages):
        return unsent
    near = pages[np.searchsorted(pages, ends) % len(pages)]
    return np.where((near - ends) % total < ahead, near, unsent)


def _starts(qemu: Qemu) -> dict[str, int]:
    sizes = np.cumsum([0, *(block.pages for block in qemu.blocks)])
    return {block.name: int(start) for block, start in zip(qemu.blocks, sizes[:-1], strict=True)}


def _flat(qemu: Qemu) -> Any:  # noqa: ANN401  # an array of bool
    return np.concatenate([block.bmap.bits for block in qemu.blocks if isinstance(block.bmap, Pages)])


def _order(qemu: Qemu) -> Any:  # noqa: ANN401  # an array of numbers
    """Return the pages in the order in which they will be sent, numbered through all blocks."""
    begin = list(_starts(qemu).values())[qemu.ram.block] + qemu.ram.page
    pages = np.flatnonzero(_flat(qemu))
    return np.concatenate((pages[pages >= begin], pages[pages < begin]))


def _found(qemu: Qemu, events: list[Event], sync_at: int) -> Any:  # noqa: ANN401  # an array of bool
    """Return the mask of pages that the next sync's GETs report."""
    starts, found = _starts(qemu), np.zeros(sum(block.pages for block in qemu.blocks), np.bool_)
    slots: dict[tuple[int, int], KvmSlot] = {
        (slot.address_space, slot.number): slot for each in qemu.slots for slot in each
    }
    for event in events[sync_at:]:
        if event["op"] == "TRACE" and event["ev"] == "migration_bitmap_sync_end":
            break
        for row in event["l"] if event["op"] == "GET" and event["by"] in MIGRATION_THREADS else ():
            slot = slots.get((row[0], row[1]))
            if slot is not None:
                at = starts[slot.block.name] + slot.offset
                found[at : at + slot.pages] |= Runs(row[3], row[2]).known(slot.pages)
    return found


def _facts_of_sync(qemu: Qemu, events: list[Event], sync_at: int) -> SyncFacts:
    starts, left, found = _starts(qemu), None, list[int]()
    for event in events[:sync_at]:
        text = DIRTY_PAGES.match(event["a"]) if event["op"] == "TRACE" else None
        found += [int(text.group(1))] if text else []
    before, fresh = found[-1] if found else 0, tuple[int, ...]()
    for event in events[sync_at + 1 :]:
        if event["op"] == "CHUNK":
            page = starts[event["v"][0]] + int(event["v"][3]) if event["v"][0] in starts else None
            return SyncFacts(left, fresh, page)
        if event["op"] != "TRACE":
            continue
        text, exact = DIRTY_PAGES.match(event["a"]), PENDING.match(event["a"])
        if text and not fresh:
            fresh = (int(text.group(1)), int(text.group(1)) - before)
        if exact and left is None:
            left = int(exact.group(1)) // PAGE_BYTES
        elif event["ev"] == "migration_thread_low_pending" and event["a"].isdigit() and left is None:
            left = int(event["a"]) // PAGE_BYTES
    return SyncFacts(left, fresh, None)
