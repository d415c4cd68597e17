"""Columns of a Recording's tables: name, type, shape, unit, range and meaning of each.

docs/recording-file.md shows the same tables to readers of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

SCHEMA: Final = "mmuviz-recording/1"

MAX_BINS: Final = 512
MAX_CELLS: Final = 2048
MAX_VCPUS: Final = 4096
"""KVM_MAX_VCPUS on x86 is at most this."""
MAX_LONGEST: Final = 100
MAX_EXAMPLES_PER_BIN: Final = 24
MAX_EVENTS: Final = 500_000
MAX_LEVEL: Final = 4
BUCKETS: Final = 512
MAX_COUNT: Final = (1 << 53) - 1
"""Largest number in a Recording: JavaScript is exact up to it, and sums over all bins fit in 64 bits."""

# Bits of an SPTE in the columns `old` and `new`; a leaf has PRESENT and no TABLE.
PRESENT: Final = 1
WRITABLE: Final = 2
MMU_WRITABLE: Final = 4
DIRTY: Final = 8
TABLE: Final = 16
SPTE_BITS: Final = PRESENT | WRITABLE | MMU_WRITABLE | DIRTY | TABLE

FULL_SHARE: Final = 255
"""A share of 255 is the whole cell or bin; 0 is nothing at all."""

CAUSES: Final = (
    "exit_and_fault",
    "lock_wait",
    "split_or_zap",
    "allocation",
    "tlb_flush",
    "ring_full",
    "pml_full",
    "userspace_lock",
)
"""Causes of a vCPU's stalls."""
WHOLE_FAULT: Final = len(CAUSES)
"""The last row of `stalls.hist`: whole faults, whatever their causes."""

CALL_KINDS: Final = (
    "enable",
    "get",
    "clear",
    "reset",
    "disable",
    "pre_split",
    "populate",
    "dirty",
    "lead",
    "tail",
    "interval",
    "op",
    "round",
    "downtime",
    "setup",
    "postcopy",
)
"""Values of `calls.kind`, by name; the first IOCTL_COUNT kinds are ioctls, the others phases of a driver."""
IOCTL_COUNT: Final = 6

PATHS: Final = ("none", "not_present", "fast", "slow_protected", "spurious")
"""Values of `examples.path`: how a fault was handled. "none" is no fault."""

EVENT_KINDS: Final = ("none", "spte", "split", "fault", "fast", "cpu_dirty", "dirty_log", "initial_state")
"""Values of `events.kind`. "spte" to "fast" are tracepoints of KVM; "spte" is an entry that changed, traced or not.

"cpu_dirty" is a dirty bit set by the CPU, "dirty_log" a page that entered the dirty log (new 1) or left it (old 1),
"initial_state" an entry's state at the start of the log. For a fault, `old` is an index of FAULT_EVENTS; for
"fast" it is 0 if fast_page_fault() fixed the fault, 1 if it declined. A leaf that becomes a table ("spte", old a leaf,
new a table) is split: the table's entries have its bits.
"""
FAULT_EVENTS: Final = ("read_not_present", "write_not_present", "read_protected", "write_protected")

EXAMPLE_KINDS: Final = (
    "none",
    "map_4k",
    "map_2m",
    "map_1g",
    "fix_4k",
    "fix_huge",
    "slow_fix",
    "split_2m",
    "split_1g",
    "zap_4k",
    "zap_2m",
    "zap_1g",
    "protect_4k",
    "protect_2m",
    "protect_1g",
    "clear_dirty_4k",
    "clear_dirty_huge",
    "link_table",
    "remove_table",
    "cpu_dirty",
    "pml_full",
    "ring_full",
    "userspace_exit",
    "spurious",
    "longest",
)
"""Values of `examples.kind`; "longest" is the fault of a bin that stalled a vCPU longest."""

WALKS: Final = (
    "none",
    "split",
    "write_protect",
    "collapse_tables",
    "collapse_leaves",
    "get",
    "clear",
    "reset",
    "pre_split",
    "arm",
    "split_non_converging",
    "clear_dirty",
)
"""Values of `bins.walk`: the ioctl thread's current walk; "arm" is a GET or CLEAR in the tables of an L2."""

VOCABULARIES: Final = {
    "call_kinds": CALL_KINDS,
    "example_kinds": EXAMPLE_KINDS,
    "paths": PATHS,
    "event_kinds": EVENT_KINDS,
    "walks": WALKS,
}
MEMORY_PARTS: Final = ("headers", "vcpu_caches", "split_caches", "rmap", "bitmaps", "rings")
FAULT_PATHS: Final = ("not_present", "fast", "slow_protected", "spurious")
SIZES: Final = ("4k", "2m", "1g")
SPLIT_PLACES: Final = ("enable", "clear", "fault", "pre_split")
CELL_SHARES: Final = ("none", "4k", "2m", "1g", "protected_4k", "protected_2m", "protected_1g", "dirty")
SENT_SHARES: Final = ("sent", "again")
"""Shares of a cell's pages that a migration has sent, and sent again; each repetition counts, up to the whole cell."""
VCPU_SHARES: Final = ("running", "in_fault", "lock_wait", "blocked")

ANY: Final = -MAX_COUNT
"""Value of `Column.low` for any number, positive or negative."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its attribute's name in `recording.<table>.<name>`.
        dtype: type of its elements, little-endian.
        unit: "ps", "pages", "gfn", … or "" for a plain count or code.
        meaning: one sentence.
        rows: name of its length: "calls", "changes", "sent_changes", "longest", "examples", "events" and "rounds" may
            be any number, "frames" is bins + 2, "hists" causes + 1, "vcpu_bins" bins * vcpus; "bins", "cells" and
            "vcpus" are the Recording's numbers of these.
        fields: names of the second axis, for a column with two axes.
        low: the smallest value allowed.
        high: the largest value allowed; None for the type's largest, at most MAX_COUNT.
        codes: the header's vocabulary that names its values, or "causes".
    """

    name: str
    dtype: np.dtype[np.int64] | np.dtype[np.int32] | np.dtype[np.int16] | np.dtype[np.uint8]
    unit: str
    meaning: str
    rows: str
    fields: tuple[str, ...] = ()
    low: int = 0
    high: int | None = None
    codes: str = ""


I64: Final = np.dtype("<i8")
I32: Final = np.dtype("<i4")
I16: Final = np.dtype("<i2")
U8: Final = np.dtype("u1")


def _calls() -> tuple[Column, ...]:
    of = "calls"
    counters = {
        "pages_4k": ("pages", "4K leaves after the call."),
        "pages_2m": ("pages", "2M leaves after the call."),
        "pages_1g": ("pages", "1G leaves after the call."),
        "table_pages": (
            "pages",
            "Page-table pages after the call, without the root and tables of 512G entries: splits add none of these.",
        ),
        "pf_taken": ("", "Faults that KVM took until the call ended."),
        "pf_fixed": ("", "Faults that KVM fixed until the call ended."),
        "pf_fast": ("", "Faults that fast_page_fault() fixed until the call ended."),
        "pf_spurious": ("", "Spurious faults until the call ended."),
    }
    return (
        Column("kind", U8, "", "What it is.", of, codes="call_kinds"),
        Column("iteration", I32, "", "Iteration or round of the driver; 0 before the first.", of, low=-1),
        Column("op", I32, "", "Number of the op that made it, -1 where the driver is no list of ops.", of, low=-1),
        Column("vcpu", I16, "", "The vCPU, -1 for the thread that calls ioctls.", of, low=-1),
        Column(
            "slot",
            I32,
            "",
            "KVM's number of the memslot, 65536 more in the second address space; -1: none.",
            of,
            low=-1,
        ),
        Column("start_ps", I64, "ps", "When it began.", of),
        Column("end_ps", I64, "ps", "When it ended.", of),
        Column("wait_ps", I64, "ps", "Time that it waited for locks.", of),
        Column("hold_ps", I64, "ps", "The longest time that it held mmu_lock without a break.", of),
        Column("reported_pages", I64, "pages", "Dirty pages that it reported, -1 where it reports none.", of, low=-1),
        Column("tables_added", I64, "pages", "Page-table pages that it added, less those it freed.", of, low=ANY),
        Column("splits", I64, "", "Huge pages split during it.", of),
        Column("zaps", I64, "", "Huge pages and tables zapped during it.", of),
        Column("tlb_flushes", I64, "", "Remote TLB flushes during it.", of),
        Column("accesses", I64, "", "Guest accesses that retired during it.", of),
        Column("faults", I64, "", "Faults that began during it.", of),
        Column("stall_ps", I64, "ps", "Stall of all vCPUs during it.", of),
        *(Column(name, I64, unit, meaning, of) for name, (unit, meaning) in counters.items()),
    )


def _rounds() -> tuple[Column, ...]:
    of = "rounds"
    return (
        Column("migration", I32, "", "1, or 2 in a second migration.", of, low=1),
        Column("round", I32, "", "Number of the sync that begins it: `calls.iteration` of its calls.", of, low=1),
        Column("start_ps", I64, "ps", "When it began.", of),
        Column("end_ps", I64, "ps", "When it ended.", of),
        Column("pages_sent", I64, "pages", "Pages sent in the round.", of),
        Column("zero_pages", I64, "pages", "Those of them that hold only zeros, so that a byte is sent for each.", of),
        Column("bytes_sent", I64, "bytes", "Bytes of the stream for them, headers included.", of),
        Column("resent_pages", I64, "pages", "Those of them that an earlier round had sent.", of),
        Column(
            "rewritten_pages",
            I64,
            "pages",
            "Those of these that the guest wrote since; -1 where the log tracks 4K pages.",
            of,
            low=-1,
        ),
        Column("new_dirty_pages", I64, "pages", "Pages that its sync found and that did not wait to be sent yet.", of),
        Column("remaining_pages", I64, "pages", "Pages to be sent after its sync.", of),
        Column("sync_ps", I64, "ps", "Time of its sync: GETs, and what userspace does with their bitmaps.", of),
        Column("get_ps", I64, "ps", "Time in GET.", of),
        Column("clear_ps", I64, "ps", "Time in CLEAR.", of),
        Column("dirty_rate_pps", I64, "pages/s", "Dirty rate as the migration thread has it at the round's end.", of),
        Column("bandwidth_bytes_per_s", I64, "bytes/s", "Bandwidth of the last window of 100 ms, there.", of),
        Column("threshold_bytes", I64, "bytes", "What may be left for the downtime, there.", of),
        Column("expected_downtime_ps", I64, "ps", "Downtime that QEMU expects, there.", of),
        Column(
            "throttle_percent",
            I64,
            "percent",
            "Share of its time that auto-converge has a vCPU sleep, there.",
            of,
            high=99,
        ),
        Column("throttled_ps", I64, "ps", "Sleep by auto-converge or a dirty limit that began in it.", of),
        Column("accesses", I64, "", "Guest accesses that retired in it.", of),
    )


def _sums(of: str, where: str) -> tuple[Column, ...]:
    """Columns that `bins` and `vcpus` share."""
    return (
        *(Column(f"stall_{cause}_ps", I64, "ps", f"Stall {where} by {cause}.", of) for cause in CAUSES),
        Column("slow_write_ps", I64, "ps", f"Time {where} by which logging makes writes slower; no stall.", of),
        Column("throttled_ps", I64, "ps", f"Sleep {where} by auto-converge or a dirty limit; no stall.", of),
        Column("accesses", I64, "", f"Guest accesses that retired {where}.", of),
        *(Column(f"faults_{kind}", I64, "", f"Faults {where}: {kind}.", of) for kind in FAULT_PATHS),
    )


def _bins() -> tuple[Column, ...]:
    of = "bins"
    counts = {
        "zaps": "Huge pages and tables zapped in the bin.",
        "tlb_flushes": "Remote TLB flushes in the bin.",
        "pml_full_exits": "Exits in the bin because a PML buffer was full.",
        "ring_full_exits": "Exits in the bin because a dirty ring was full.",
        "userspace_exits": "Exits to userspace in the bin.",
    }
    states = {
        "table_pages": "Page-table pages at the bin's end, without the root and tables of 512G entries.",
        **{f"pages_{size}": f"{size.upper()} leaves at the bin's end." for size in SIZES},
        **{f"protected_{size}": f"Write-protected {size.upper()} leaves at the bin's end." for size in SIZES},
        "dirty_pages": "Pages in KVM's dirty log at the bin's end: set in the bitmap, or in a ring and not yet reset.",
        "unreported_pages": "Pages in the dirty log at the bin's end that were not yet reported to userspace.",
    }
    return (
        *_sums(of, "in the bin"),
        *(Column(f"splits_{place}", I64, "", f"Huge pages split in the bin by {place}.", of) for place in SPLIT_PLACES),
        *(Column(name, I64, "", meaning, of) for name, meaning in counts.items()),
        Column("ioctl_ps", I64, "ps", "Time in the bin that the ioctl thread spent in calls.", of),
        Column("bytes_sent", I64, "bytes", "Bytes of a migration's stream that were sent in the bin.", of),
        Column("dirtied_pages", I64, "pages", "Pages that writes brought into the dirty log in the bin.", of),
        *(Column(name, I64, "pages", meaning, of) for name, meaning in states.items()),
        Column("walk", U8, "", "What the ioctl thread goes over at the bin's end.", of, codes="walks"),
        Column("walk_gfn", I64, "gfn", "Where it is there, -1 for nowhere.", of, low=-1),
    )


def _examples() -> tuple[Column, ...]:
    of = "examples"
    return (
        Column("bin", I32, "", "The bin of time that it is an example of.", of),
        Column("time_ps", I64, "ps", "When it happened.", of),
        Column("vcpu", I16, "", "The vCPU, -1 for the thread that calls ioctls.", of, low=-1),
        Column("kind", U8, "", "What happened.", of, codes="example_kinds"),
        Column("level", U8, "", "PG_LEVEL of the entry, 0 where there is none.", of, high=MAX_LEVEL),
        Column("old", U8, "", "Bits of the entry before.", of, high=SPTE_BITS),
        Column("new", U8, "", "Bits of the entry after.", of, high=SPTE_BITS),
        Column("gfn", I64, "gfn", "First guest frame, -1 where there is none.", of, low=-1),
        Column("path", U8, "", "How the fault was handled.", of, codes="paths"),
        Column("stall_ps", I64, "ps", "How long the vCPU stalled for it.", of),
    )


def _events() -> tuple[Column, ...]:
    of = "events"
    return (
        Column("time_ps", I64, "ps", "When it happened.", of),
        Column("vcpu", I16, "", "The vCPU, -1 for the thread that calls ioctls.", of, low=-1),
        Column("kind", U8, "", "What happened.", of, codes="event_kinds"),
        Column("level", U8, "", "PG_LEVEL of the entry, 0 where there is none.", of, high=MAX_LEVEL),
        Column("old", U8, "", "Bits of the entry before.", of, high=SPTE_BITS),
        Column("new", U8, "", "Bits of the entry after.", of, high=SPTE_BITS),
        Column("gfn", I64, "gfn", "First guest frame.", of),
        Column("stride", I64, "pages", "Frames from one entry to the next, 0 for a single one.", of, low=ANY),
        Column("entries", I64, "", "Entries that changed in the same way.", of, low=1),
        Column("traced", U8, "", "1 where a tracepoint of KVM reports it.", of, high=1),
    )


TABLES: Final[dict[str, tuple[Column, ...]]] = {
    "calls": _calls(),
    "bins": _bins(),
    "cells": (
        Column("frame_start", I32, "", "First row of each frame: the state at time 0, then each bin's end.", "frames"),
        Column("cell", I32, "", "The cell whose shares changed since the frame before, ascending.", "changes"),
        Column("shares", U8, "1/255", "Shares of the cell's pages, new.", "changes", fields=CELL_SHARES),
    ),
    "cell_map": (
        Column("first_gfn", I64, "gfn", "First guest frame of the cell.", "cells"),
        Column("pages", I64, "pages", "Pages of memslots in the cell.", "cells", low=1),
    ),
    "vcpus": (
        *_sums("vcpus", "of the vCPU"),
        Column("stall_max_ps", I64, "ps", "The longest stall of the vCPU.", "vcpus"),
    ),
    "vcpu_bins": (
        Column("shares", U8, "1/255", "How each vCPU spent a bin; bins * vcpus.", "vcpu_bins", fields=VCPU_SHARES),
        Column("gfn", I64, "gfn", "The page of its next access at the bin's end, -1 for none.", "vcpu_bins", low=-1),
    ),
    "stalls": (
        Column(
            "hist",
            I64,
            "",
            "Stalls by length, a row a cause and the last row of whole faults; see stall_buckets.py.",
            "hists",
            fields=tuple(str(bucket) for bucket in range(BUCKETS)),
        ),
    ),
    "longest": (
        Column("time_ps", I64, "ps", "When the stall began.", "longest"),
        Column("vcpu", I16, "", "The vCPU.", "longest"),
        Column("gfn", I64, "gfn", "The guest frame, -1 where there is none.", "longest", low=-1),
        Column("cause", U8, "", "What took most of it.", "longest", codes="causes"),
        Column("stall_ps", I64, "ps", "How long it was.", "longest"),
    ),
    "examples": _examples(),
    "events": _events(),
    "rounds": _rounds(),
    "sent_cells": (
        Column("frame_start", I32, "", "First row of each frame: the state at time 0, then each bin's end.", "frames"),
        Column("cell", I32, "", "The cell of which more was sent since the frame before, ascending.", "sent_changes"),
        Column("shares", U8, "1/255", "Shares of the cell's pages, new.", "sent_changes", fields=SENT_SHARES),
    ),
}
"""Columns of each table, in the order of the file."""
