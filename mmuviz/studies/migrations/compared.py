"""Comparisons of single events with the model: calls, writes, tracepoints, QEMU's counters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.calls import Call, ClearDirtyLog
from mmuviz.engine.qemu.migration import migration_update_counters
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import KvmSlot, Qemu
from mmuviz.studies.migrations.document import Runs
from mmuviz.studies.migrations.partly_known import PartlyKnown
from mmuviz.studies.migrations.plan import Event
from mmuviz.studies.migrations.stream import Written

DIRTY_PAGES: Final = re.compile(r"dirty_pages (\d+)")
EXACT: Final = re.compile(r"exact pending size (\d+) \(pre = (\d+) post=(\d+)\)")
DEFAULT_DOWNTIME_MS: Final = 300

Found = Iterator[tuple[str, object, object]]
"""Values to compare, as (field, recorded value, value of the model)."""


def call_text(call: Call | None) -> str:
    """Describe a call, for a message."""
    if call is None:
        return "no call"
    slot = getattr(call, "slot", None)
    where = f" [{slot.address_space}, {slot.number}]" if isinstance(slot, KvmSlot) else ""
    return type(call).__name__ + where


def locks(event: Event, call: Call) -> Found:
    """Compare the mutexes that the calling thread holds."""
    yield "big lock", bool(event["bql"]), call.big_lock
    yield "locks", event["locks"], call.locks


def clear(row: list[Any], call: ClearDirtyLog) -> Found:
    """Compare the arguments of a CLEAR."""
    got = [call.slot.address_space, call.slot.number, call.first_page, call.num_pages]
    yield "CLEAR [as, slot, first_page, num_pages]", row[:4], got
    if row[:4] == got:
        yield from clear_bits(row, call)


def clear_bits(row: list[Any], call: ClearDirtyLog) -> Found:
    """Compare the bits of a CLEAR, as far as both sides know them."""
    runs, bits = Runs(row[5], row[4]), call.bits
    listed = runs.known(call.num_pages)[: call.num_pages]
    if isinstance(bits, Pages):
        sure, maybe, count = bits.bits, np.zeros(len(bits.bits), np.bool_), bits.count()
    else:
        assert isinstance(bits, PartlyKnown)  # noqa: S101  # there is no third kind
        sure, maybe = bits.sure, bits.maybe
        least = int(np.count_nonzero(sure))
        most = least + int(np.count_nonzero(maybe)) if bits.owed is None else least + bits.owed
        count = min(max(row[4], least if bits.owed is None else most), most)
    yield "CLEAR bits", row[4], count
    known = slice(0, None if runs.complete else sum(runs.rows[-1]) + 1 if runs.rows else 0)
    wrong = ((listed & ~sure & ~maybe) | (sure & ~listed))[known]
    if wrong.any():
        page = int(wrong.argmax())
        yield f"CLEAR bits, page {page}", bool(listed[page]), bool(sure[page])


def write(event: Event, written: Written) -> Found:
    """Compare first and last page of a write."""
    yield "first page", event.get("first"), written.first
    yield "last page", event.get("last"), written.last


def write_locks(event: Event, written: Written) -> Found:
    """Compare the mutexes that a thread holds while it writes pages.

    Without the big lock, the last write of an iteration comes after bitmap_mutex was released.
    """
    yield "big lock", bool(event["bql"]), written.call.big_lock
    if written.call.big_lock or event["locks"] != written.call.locks - 1:
        yield "locks", event["locks"], written.call.locks


def section(event: Event, qemu: Qemu, phase: str) -> Found:
    """Compare the mutexes that are held by a write of other data than pages.

    Args:
        event: the write.
        qemu: the QEMU that is played back.
        phase: "setup" until pages are sent, then "running", and "stopping" from the stop of the guest on; before that
            "unlisted" if the recording does not distinguish writes of pages from others.
    """
    early = int(qemu.features.setup_under_big_lock)
    allowed = {
        "setup": [(early, early)],
        "unlisted": [(early, early), (0, 0), (0, 1)],
        "running": [(0, 0), (0, 1)],
    }.get(phase, [(1, 1), (1, 1 + qemu.features.bitmap_mutex_in_completion)])
    got = (event["bql"], event["locks"])
    if got not in allowed and not qemu.ram.postcopy:
        yield f"[big lock, locks] in {phase}", list(got), list(allowed[0])


def channel(event: Event) -> Found:
    """Check a write of a multifd thread: no lock is held, and its payload is not counted as pages."""
    yield "[big lock, locks, pages]", [event["bql"], event["locks"], event["normal"] + event["zero"]], [0, 0, 0]


def pending(event: Event, qemu: Qemu) -> Found:
    """Compare the amount left to send with QEMU's tracepoints."""
    left = qemu.ram.left_at_sync * PAGE_BYTES
    if event["ev"] == "migration_thread_low_pending":
        yield "bytes left", event["a"], str(left)
    numbers = EXACT.match(event["a"]) if event["ev"] == "migrate_pending_exact" else None
    if numbers is not None:
        whole, pre, post = (int(each) for each in numbers.groups())
        yield "bytes left", whole, left
        yield "bytes left, pre and post together", pre + post, left


def pending_text(event: Event, qemu: Qemu) -> str:
    """Return the text of a tracepoint with the amount that the model has left."""
    left = qemu.ram.left_at_sync * PAGE_BYTES
    if event["ev"] == "migration_thread_low_pending":
        return str(left)
    numbers = EXACT.match(event["a"]) if event["ev"] == "migrate_pending_exact" else None
    if numbers is None:
        return str(event["a"])
    before, after = (0, left) if numbers.group(2) == "0" else (left, 0)
    return f"exact pending size {left} (pre = {before} post={after})"


def bandwidth(event: Event, downtime_limits: tuple[int, ...]) -> Found:
    """Compare bandwidth and threshold of a window; the downtime limit may be set while the window ends.

    Args:
        event: a write or an update of the bandwidth.
        downtime_limits: the downtime limit and the one before it, ms.
    """
    value = event["v"] if event["op"] == "BW_UPDATE" else event.get("bw_last")
    if value is None:
        return
    transferred, spent, rate, threshold = value
    if spent <= 0:
        yield "bandwidth's window in ms", spent, "more than 0"
        return
    fitting = [migration_update_counters(transferred, spent, limit) for limit in downtime_limits]
    yield "bandwidth", rate, fitting[0][0]
    yield "threshold", threshold, threshold if threshold in [each[1] for each in fitting] else fitting[0][1]
