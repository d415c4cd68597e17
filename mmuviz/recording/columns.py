"""A Recording: everything that the page shows of one run, as columns that nobody can change.

The clock is (op, access inside the op). A step is one row of `Runs`: the same event over entries at
equal distances, all inside one access; its place in the column is the cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Value = int | str | bool

# Bits of an SPTE's word. 0 is "none"; a leaf has PRESENT.
PRESENT: Final = 1
WRITABLE: Final = 2
MMU_WRITABLE: Final = 4
DIRTY: Final = 8
TABLE: Final = 16

# Kinds of events. The first four are tracepoints of KVM.
SPTE: Final = 1
SPLIT: Final = 2
FAULT: Final = 3
FAST: Final = 4
CPU_DIRTY: Final = 5
"""The processor set the dirty bit of the leaf that maps the gfn; KVM is not told."""
UNTRACED: Final = 6
"""An entry was found changed after the op, where no tracepoint of KVM tells when."""

# `Runs.detail` of FAULT and of FAST.
READ_NOT_PRESENT: Final = 0
WRITE_NOT_PRESENT: Final = 1
READ_PROTECTED: Final = 2
WRITE_PROTECTED: Final = 3
FAST_FIXED: Final = 0
FAST_DECLINED: Final = 1


class Config(NamedTuple):
    """The choices that made the VM, in the words of the recording's schema.

    Attributes:
        dirty_log_mode: legacy, manual, manual_initially_set, ring or ring_initially_set.
        eager_page_split: the module parameter as the VM began.
        tdp_mmu: the TDP MMU, or the shadow MMU mapping directly.
        vcpus: number of vCPUs.
        ring_entries: entries of each vCPU's dirty ring, 0 for none.
        vendor: amd or intel.
        pml: whether page-modification logging is on.
    """

    dirty_log_mode: str
    eager_page_split: bool
    tdp_mmu: bool
    vcpus: int
    ring_entries: int
    vendor: str
    pml: bool


class Slot(NamedTuple):
    """The memslot.

    Attributes:
        base_gfn: first guest frame.
        pages: 4K pages.
        backing: 4k, thp, hugetlb_2m or hugetlb_1g.
        hva_offset_pages: pages between the start of the host mapping (a multiple of 1 GiB) and page 0.
        host_populated: whether the host touched every page before.
    """

    base_gfn: int
    pages: int
    backing: str
    hva_offset_pages: int
    host_populated: bool


class Op(NamedTuple):
    """One op as it was asked for; the pages that it touches are in `Recording.touches`.

    Attributes:
        kind: the op's name in the recording's schema, e.g. "write".
        fields: its other fields, by name, in alphabetical order.
    """

    kind: str
    fields: tuple[tuple[str, Value], ...]

    def field(self, name: str, default: Value = 0) -> Value:
        """One field of the op, or the default where it has none."""
        return dict(self.fields).get(name, default)


class OpColumns(NamedTuple):
    """One row an op; counts are those after it.

    Attributes:
        first_run: int64[ops + 1], first row of `Runs`; the last entry is the number of rows.
        first_touch: int64[ops + 1], first row of `Touches`.
        first_range: int64[ops + 1], first row of `DirtyRanges`.
        logging: uint8, 1 where the slot is logged.
        pages_1g, pages_2m, pages_4k: int64, leaves by level.
        table_pages: int64, as KVM counts them.
        pf_taken, pf_fixed, pf_fast, pf_spurious: int64, faults since the slot was made.
        pml_full_exits: int64, since the VM was made.
        table_bytes, header_bytes, vcpu_cache_bytes, split_cache_bytes, rmap_bytes,
            dirty_bitmap_bytes, ring_bytes: int64, memory overhead of the whole VM.
    """

    first_run: I64
    first_touch: I64
    first_range: I64
    logging: U8
    pages_1g: I64
    pages_2m: I64
    pages_4k: I64
    table_pages: I64
    pf_taken: I64
    pf_fixed: I64
    pf_fast: I64
    pf_spurious: I64
    pml_full_exits: I64
    table_bytes: I64
    header_bytes: I64
    vcpu_cache_bytes: I64
    split_cache_bytes: I64
    rmap_bytes: I64
    dirty_bitmap_bytes: I64
    ring_bytes: I64


class Runs(NamedTuple):
    """The event log in order, one row a step.

    Attributes:
        kind: uint8, SPTE to UNTRACED.
        level: uint8, PG_LEVEL_4K to PG_LEVEL_512G of SPTE, SPLIT and UNTRACED; else 0.
        old: uint8, word before, of SPTE, SPLIT and UNTRACED.
        new: uint8, word after, of SPTE and UNTRACED.
        detail: uint8, what kind of fault, or the result of fast_page_fault().
        vcpu: int64, of FAULT and FAST.
        access: int64, the access inside the op that it belongs to; 0 where the op makes none. What
            ring-full handling does belongs to the access that waits for it, and UNTRACED to the last.
        gfn: int64, first guest frame.
        stride: int64, frames from one entry to the next; 0 for a single one.
        entries: int64, at least 1.
    """

    kind: U8
    level: U8
    old: U8
    new: U8
    detail: U8
    vcpu: I64
    access: I64
    gfn: I64
    stride: I64
    entries: I64


class Touches(NamedTuple):
    """What the guest touched, in order: runs of pages counted from the slot's start, one an access.

    In a parallel op access i is made by vCPU i modulo the number of vCPUs.

    Attributes:
        page: int64, first page.
        stride: int64, pages from one access to the next.
        accesses: int64, at least 1.
    """

    page: I64
    stride: I64
    accesses: I64


class DirtyRanges(NamedTuple):
    """Dirty pages that an op told userspace of: first page and pages, int64 each, counted from the slot's start."""

    page: I64
    pages: I64


class Leaves(NamedTuple):
    """Leaves that stood before the first op: level and word (uint8), gfn, stride and entries as in `Runs`."""

    level: U8
    word: U8
    gfn: I64
    stride: I64
    entries: I64


@dataclass(frozen=True, eq=False)
class Recording:
    """One run.

    Attributes:
        name: the scenario.
        kernel: the kernel that was modelled, as `uname -r` gives it.
        note: what the guest did, one sentence.
        config: the VM.
        slot: the memslot.
        ops: what was asked for, in order.
        op_columns: one row an op.
        runs: the event log.
        touches: the guest's accesses.
        ranges: dirty pages that userspace was told of.
        start: leaves before the first op.
    """

    name: str
    kernel: str
    note: str
    config: Config
    slot: Slot
    ops: tuple[Op, ...]
    op_columns: OpColumns
    runs: Runs
    touches: Touches
    ranges: DirtyRanges
    start: Leaves

    def __post_init__(self) -> None:
        """Close every column against writing."""
        for table in (self.op_columns, self.runs, self.touches, self.ranges, self.start):
            for column in table:
                column.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        """Whether every field and every column is the same."""
        if not isinstance(other, Recording):
            return NotImplemented
        plain = ("name", "kernel", "note", "config", "slot", "ops")
        tables = ("op_columns", "runs", "touches", "ranges", "start")
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            np.array_equal(mine, its)
            for name in tables
            for mine, its in zip(getattr(self, name), getattr(other, name), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # its content hash is that of its bytes

    @property
    def map_by_op(self) -> bool:
        """Whether the map changes at the end of ops only: the shadow MMU has no tracepoint of its SPTEs."""
        return not self.config.tdp_mmu

    def runs_of_op(self, op: int) -> slice:
        """Rows of `runs` that belong to an op."""
        return slice(int(self.op_columns.first_run[op]), int(self.op_columns.first_run[op + 1]))

    def touches_of_op(self, op: int) -> Touches:
        """The guest's accesses in one op."""
        rows = slice(self.op_columns.first_touch[op], self.op_columns.first_touch[op + 1])
        return Touches._make(column[rows] for column in self.touches)

    def ranges_of_op(self, op: int) -> DirtyRanges:
        """Dirty pages that one op told of."""
        rows = slice(self.op_columns.first_range[op], self.op_columns.first_range[op + 1])
        return DirtyRanges._make(column[rows] for column in self.ranges)
