"""The machine's state: page tables, dirty bitmaps, rings and buffers as flat NumPy arrays.

Guest memory is held in rows of 1 GiB, one row for each 1 GiB region that a memslot touches. A row
has one byte at 1G, 512 bytes at 2M and 262,144 bytes at 4K; memory that was never touched is never
committed by the host. A byte is an SPTE:

* an empty entry is 0; a leaf has PRESENT and some of WRITABLE, MMU_WRITABLE, DIRTY;
* TABLE marks an entry that points to a table one level down; a 4K byte is nonzero only below one;
* IN_1G marks the 2M entries under a 1G leaf, which repeat its bits, so that a guest access reads
  one byte (huge) or two (4K);
* ORPHAN marks an entry whose table the shadow MMU unlinked and will reuse;
* LINKED, with ORPHAN at 2M, says that the entry still points to that table inside an unlinked 1G table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.core.pages import GFN_BITS, PAGES_PER_1G, SHIFT_1G, SPTE_ENT_PER_PAGE
from mmuviz.mmu.work import WORK_ENTRIES

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

PRESENT: Final = 1
WRITABLE: Final = 2
WRITABLE_SHIFT: Final = 1
"""WRITABLE >> WRITABLE_SHIFT == PRESENT."""
MMU_WRITABLE: Final = 4
DIRTY: Final = 8
TABLE: Final = 16
IN_1G: Final = 32
ORPHAN: Final = 64
LINKED: Final = 128
LEAF_BITS: Final = PRESENT | WRITABLE | MMU_WRITABLE | DIRTY
SPTE_WRITABLE: Final = LEAF_BITS
"""The SPTE that make_spte() installs if guest and host may write."""
SPTE_READ_ONLY: Final = PRESENT

# Columns of `MmuState.slots`, one row per memslot.
SLOT_BASE: Final = 0
SLOT_END: Final = 1
SLOT_LOGGING: Final = 2
SLOT_DIRTY_AT: Final = 3
SLOT_HVA_OFFSET: Final = 4
SLOT_ALIGNED_LEVEL: Final = 5
SLOT_HOST_LEVEL: Final = 6
SLOT_HOST_PRESENT: Final = 7
SLOT_HOST_REGION_AT: Final = 8
SLOT_HOST_PAGE_AT: Final = 9
SLOT_HOST_PAGES: Final = 10
SLOT_HOST_HUGETLB: Final = 11
SLOT_ID: Final = 12
SLOT_FORCED_LEVEL: Final = 13
SLOT_READ_ONLY: Final = 14
SLOT_DIRTY_PAGES: Final = 15
SLOT_UNREPORTED_PAGES: Final = 16
SLOT_COLUMNS: Final = 17

# Entries of `MmuState.conf`: the configuration from the VM's creation, and eager_page_split.
CONF_RING: Final = 0
CONF_MANUAL: Final = 1
CONF_INIT_SET: Final = 2
CONF_EAGER: Final = 3
CONF_TDP_MMU: Final = 4
CONF_PML: Final = 5
CONF_RING_LIMIT: Final = 6
CONF_FAULT_SPLITS: Final = 7
CONF_CLEAR_END_EXCLUSIVE: Final = 8
CONF_RECOVERS: Final = 9
CONF_PML_OLDEST_FIRST: Final = 10
CONF_HUGE_ZERO_ALLOCATES: Final = 11
CONF_DONTNEED_FREES_TABLES: Final = 12
CONF_LOGGING_SLOTS: Final = 13
CONF_LINEAR: Final = 14
CONF_FAST_FIXES_HUGE: Final = 15
CONF_PREFETCH_FINISHES: Final = 16
CONF_ZAPS_LEAVES_ONLY: Final = 17
CONF_FAST_FAULT: Final = 18
CONF_SPLITTER: Final = 19
CONF_TRACK_LEVEL: Final = 20
CONF_STAGE2: Final = 21
CONF_L2: Final = 22
CONF_NESTED: Final = 23
CONF_SPLIT_CACHES: Final = 24
CONF_MMU_PAGES: Final = 25
CONF_CHUNK_PAGES: Final = 26
CONF_LOG: Final = 27
CONF_FOCUS_FIRST: Final = 28
CONF_FOCUS_END: Final = 29
CONF_CELL_SHIFT: Final = 30
CONF_ENTRIES: Final = 31
NOT_LINEAR: Final = -1
"""CONF_LINEAR if the rows' regions are not consecutive; otherwise it is the gfn of l1[0]."""

# Values of CONF_LOG.
LOG_NOTHING: Final = 0
LOG_TRACED: Final = 1
"""Events of KVM's tracepoints."""
LOG_ALL: Final = 2
"""LOG_TRACED, plus every change of an entry or of the dirty log that no tracepoint reports."""

# Values of CONF_SPLITTER: the code that splits eagerly if eager_page_split is on.
SPLITTER_NONE: Final = 0
SPLITTER_TDP: Final = 1
SPLITTER_RMAP: Final = 2
SPLITTER_STAGE2: Final = 3

# Values of CONF_SPLIT_CACHES: VM-wide caches of an eager split.
CACHES_NONE: Final = 0
CACHES_LAST: Final = 1
CACHES_A_CALL: Final = 2

# Entries of `MmuState.stat`: KVM's statistics, and the cursor of the event log.
STAT_PAGES: Final = 0  # + level: pages_4k, pages_2m, pages_1g
STAT_TABLE_PAGES: Final = 4
STAT_PF_TAKEN: Final = 5
STAT_PF_FIXED: Final = 6
STAT_PF_FAST: Final = 7
STAT_PF_SPURIOUS: Final = 8
STAT_PML_FULL_EXITS: Final = 9
STAT_TABLE_PAGES_PEAK: Final = 10
STAT_LOG_ENTRIES: Final = 11
STAT_TABLES_ABOVE: Final = 12  # the root, and tables at 512G, which the recordings leave out
STAT_TLB_FLUSHES: Final = 13
STAT_TLBIS: Final = 14
STAT_LOCAL_TLBIS: Final = 15
STAT_MASKS_ARMED: Final = 16
STAT_SHADOW_PAGES: Final = 17
STAT_SPLIT_CACHE: Final = 18
STAT_SPLIT_DESCS: Final = 19
STAT_SPLIT_TOPUPS: Final = 20
STAT_SPLITS_REFUSED: Final = 21
STAT_ZAP_FIRST: Final = 22  # with the next: the range that the other tables of a nested VM must still zap
STAT_ZAP_END: Final = 23
STAT_ZAP_FLUSHED: Final = 24
STAT_TABLES_COLLAPSED: Final = 25
STAT_STAMP: Final = 26  # the caller's stamp on events: a time, or 0
STAT_WHO: Final = 27  # a vCPU's number, or USERSPACE
STAT_SPLITS: Final = 28
STAT_ZAPS: Final = 29
STAT_EXAMPLES: Final = 30  # rows of `examples` written so far
STAT_MMIO_EXITS: Final = 31
STAT_LEFT_LOG: Final = 32  # pages that left the dirty log so far, less those that came into it without a write
STAT_ENTRIES: Final = 33
USERSPACE: Final = -1
"""STAT_WHO for actions of the ioctl thread or of the host."""

PML_ENTITY_NUM: Final = 512
"""Entries of a vCPU's PML buffer. Kernel: arch/x86/kvm/vmx/vmx.h."""

# Columns of `MmuState.ring_at`, one row per vCPU.
RING_DIRTY_INDEX: Final = 0
RING_HARVEST_INDEX: Final = 1
RING_RESET_INDEX: Final = 2
RING_SLOT_SHIFT: Final = 40

# Columns of `MmuState.log`, one row per run of events.
LOG_CODE: Final = 0
LOG_GFN: Final = 1
LOG_STRIDE: Final = 2
LOG_COUNT: Final = 3
LOG_STAMP: Final = 4
LOG_WHO: Final = 5
LOG_COLUMNS: Final = 6
LOG_ROOM: Final = 270_000
"""Rows that the largest single step can write: a 1G table of single 4K entries zapped at once."""
LOG_ROWS: Final = 1 << 20

# Reasons for which a compiled loop stops.
DONE: Final = 0
STOP_LOG_FULL: Final = 1
STOP_RING_FULL: Final = 2
STOP_INVALIDATED: Final = 3


class MmuState(NamedTuple):
    """Arrays of one VM, changed in place by the compiled functions.

    Attributes:
        row_of: int32[2**18], the row of a 1 GiB region of guest memory, or -1.
        region_of: int64[rows], the region (gfn >> 18) of a row.
        l4: uint8[512], 1 where a table covers this 512 GiB.
        l3: uint8[rows], SPTEs at 1G.
        l2: uint8[rows * 512], SPTEs at 2M.
        l1: uint8[rows * 262144], SPTEs at 4K.
        dirty: int64[words], KVM's own dirty bitmaps, one slot after another, 64 pages per word.
        slots: int64[slots, SLOT_COLUMNS], in order of creation.
        conf: int64[CONF_ENTRIES].
        stat: int64[STAT_ENTRIES]; `work` int64[WORK_ENTRIES], counts of the kernel's work, see mmuviz/mmu/work.py.
        pml: int64[vcpus, 512] gfns; `pml_count` int64[vcpus].
        ring: int64[vcpus, entries], slot id << 40 | page offset; `ring_at` int64[vcpus, 3].
        cache: int64[vcpus], objects in the vCPU's page-table caches.
        host_region: uint8, host mapping of a 2 MiB (1 GiB for hugetlb_1g) region.
        host_page: uint8, two bits per host page, for regions that are mapped by 4K pages.
        log: int64[rows, LOG_COLUMNS], runs of events (code, first gfn, stride, count, stamp, who); no rows if events
            are not recorded.
        cells: int64[cells, CELL_COLUMNS], see mmuviz/mmu/cells.py; empty if not counted.
        dirty_cells: the array that counts dirty pages: `cells`; in a nested VM also L1's, which has no `cells`.
        cell_changed: uint8[cells], 1 if a row of either array changed since the last reading.
        cell_row: int32[2**18], the number of a 1 GiB region in the order of the cells; empty if not counted.
        examples: int64[EXAMPLES, EXAMPLE_COLUMNS], see mmuviz/mmu/examples.py; empty if not kept.
    """

    row_of: I32
    region_of: I64
    l4: U8
    l3: U8
    l2: U8
    l1: U8
    dirty: I64
    slots: I64
    conf: I64
    stat: I64
    work: I64
    pml: I64
    pml_count: I64
    ring: I64
    ring_at: I64
    cache: I64
    host_region: U8
    host_page: U8
    log: I64
    cells: I64
    dirty_cells: I64
    cell_changed: U8
    cell_row: I32
    examples: I64


def new_state(vcpus: int, ring_entries: int, *, record: bool) -> MmuState:
    """Arrays of a VM that has no memslot yet.

    Args:
        vcpus: number of vCPUs.
        ring_entries: entries of each vCPU's dirty ring, 0 for none.
        record: whether there is a log of events.

    Returns:
        The state; everything zero.
    """
    return MmuState(
        row_of=np.full(1 << (GFN_BITS - SHIFT_1G), -1, dtype=np.int32),
        region_of=np.zeros(0, dtype=np.int64),
        l4=np.zeros(SPTE_ENT_PER_PAGE, dtype=np.uint8),
        l3=np.zeros(0, dtype=np.uint8),
        l2=np.zeros(0, dtype=np.uint8),
        l1=np.zeros(0, dtype=np.uint8),
        dirty=np.zeros(0, dtype=np.int64),
        slots=np.zeros((0, SLOT_COLUMNS), dtype=np.int64),
        conf=np.zeros(CONF_ENTRIES, dtype=np.int64),
        stat=np.zeros(STAT_ENTRIES, dtype=np.int64),
        work=np.zeros(WORK_ENTRIES, dtype=np.int64),
        pml=np.zeros((vcpus, PML_ENTITY_NUM), dtype=np.int64),
        pml_count=np.zeros(vcpus, dtype=np.int64),
        ring=np.zeros((vcpus, ring_entries), dtype=np.int64),
        ring_at=np.zeros((vcpus, 3), dtype=np.int64),
        cache=np.zeros(vcpus, dtype=np.int64),
        host_region=np.zeros(0, dtype=np.uint8),
        host_page=np.zeros(0, dtype=np.uint8),
        log=np.zeros((LOG_ROWS if record else 0, LOG_COLUMNS), dtype=np.int64),
        cells=np.zeros((0, 0), dtype=np.int64),
        dirty_cells=np.zeros((0, 0), dtype=np.int64),
        cell_changed=np.zeros(0, dtype=np.uint8),
        cell_row=np.zeros(0, dtype=np.int32),
        examples=np.zeros((0, 0), dtype=np.int64),
    )


def with_regions(state: MmuState, first: int, last: int) -> MmuState:
    """Add a row for each 1 GiB region from first to last that has none.

    Args:
        state: page tables; not changed.
        first: first region (gfn >> 18).
        last: last region, inclusive.

    Returns:
        The state with larger arrays, or the same if no row was missing.

    Raises:
        MemoryError: there is no address space for them.
    """
    missing = [region for region in range(first, last + 1) if state.row_of[region] < 0]
    if not missing:
        return state
    old = len(state.region_of)
    rows = old + len(missing)
    l3 = np.zeros(rows, dtype=np.uint8)
    l2 = np.zeros(rows * SPTE_ENT_PER_PAGE, dtype=np.uint8)
    l1 = np.zeros(rows * PAGES_PER_1G, dtype=np.uint8)
    l3[:old] = state.l3
    l2[: old * SPTE_ENT_PER_PAGE] = state.l2
    for row in np.flatnonzero(state.l3):  # an empty row is not copied, so it stays uncommitted
        held = slice(row * PAGES_PER_1G, (row + 1) * PAGES_PER_1G)
        l1[held] = state.l1[held]
    region_of = np.concatenate([state.region_of, np.array(missing, dtype=np.int64)])
    row_of, conf = state.row_of.copy(), state.conf.copy()
    row_of[missing] = np.arange(old, rows, dtype=np.int32)
    linear = (region_of == region_of[0] + np.arange(rows)).all()
    conf[CONF_LINEAR] = region_of[0] << SHIFT_1G if linear else NOT_LINEAR
    return state._replace(row_of=row_of, conf=conf, region_of=region_of, l3=l3, l2=l2, l1=l1)


def without_tables(state: MmuState) -> MmuState:
    """The state with no row of page tables at all, as before the first memslot.

    Args:
        state: not changed.

    Returns:
        The state with empty tables; rings, bitmaps and statistics are the same arrays.
    """
    return state._replace(
        row_of=np.full_like(state.row_of, -1),
        region_of=state.region_of[:0],
        l4=np.zeros_like(state.l4),
        l3=state.l3[:0],
        l2=state.l2[:0],
        l1=np.zeros(0, dtype=np.uint8),
    )
