"""One VM without dirty logging: memslots, guest accesses, statistics and the event log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.errors import KvmEexist, KvmEinval, KvmEnoent, KvmEnomem
from mmuviz.ground.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G
from mmuviz.mmu import state as layout
from mmuviz.mmu.config import DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.dirty_ring import flush_pml_buffer
from mmuviz.mmu.fault import CACHE_OBJECTS
from mmuviz.mmu.hostmap import lay_host_memory
from mmuviz.mmu.state import I64, STOP_LOG_FULL, STOP_RING_FULL, MmuState
from mmuviz.mmu.stats import MemoryOverhead, overhead_now, overhead_peak
from mmuviz.mmu.touch import guest_access

MAX_MEMSLOTS: Final = 32_764
"""Kernel: KVM_USER_MEM_SLOTS, include/linux/kvm_host.h."""
Step = Callable[[int], int]


class RunExit(NamedTuple):
    """Why KVM_RUN came back.

    Attributes:
        ring_full: KVM_EXIT_DIRTY_RING_FULL; otherwise all accesses retired.
        retired: accesses that retired.
    """

    ring_full: bool
    retired: int


@dataclass(frozen=True)
class Counters:
    """KVM's statistics of the VM: page counts as they are, faults since the VM was made."""

    pages_4k: int
    pages_2m: int
    pages_1g: int
    pf_taken: int
    pf_fixed: int
    pf_fast: int
    pf_spurious: int
    table_pages: int
    pml_full_exits: int


class Vm:
    """A VM's page tables under KVM; `Machine` adds dirty logging to it.

    A method that raises has changed nothing.
    """

    def __init__(self, config: VmConfig, *, record: bool = False) -> None:
        """Create the VM.

        Args:
            config: what was chosen; checked already.
            record: keep every event until take_events().
        """
        self.config = config
        ring_entries = (config.ring_entries or 0) if config.dirty_log_mode.ring else 0
        self._state = layout.new_state(config.vcpus, ring_entries, record=record)
        self._slots: dict[int, Memslot] = {}
        self._events: list[I64] = []
        self._peak = MemoryOverhead(0, 0, 0, 0, 0, 0, 0)
        kernel, conf = config.kernel, self._state.conf
        mode: DirtyLogMode = config.dirty_log_mode
        conf[layout.CONF_RING] = mode.ring
        conf[layout.CONF_MANUAL] = mode.manual
        conf[layout.CONF_INIT_SET] = mode.initially_set
        conf[layout.CONF_EAGER] = config.splits_eagerly
        conf[layout.CONF_TDP_MMU] = config.tdp_mmu
        conf[layout.CONF_PML] = config.pml
        conf[layout.CONF_RING_LIMIT] = config.ring_limit
        conf[layout.CONF_FAULT_SPLITS] = kernel.fault_splits_in_place
        conf[layout.CONF_CLEAR_END_EXCLUSIVE] = kernel.clear_split_end_exclusive
        conf[layout.CONF_RECOVERS] = kernel.recovers_huge_pages_in_place
        conf[layout.CONF_PML_OLDEST_FIRST] = kernel.pml_oldest_first
        conf[layout.CONF_HUGE_ZERO_ALLOCATES] = kernel.huge_zero_write_allocates
        conf[layout.CONF_FAST_FIXES_HUGE] = kernel.fast_fixes_huge_pages
        conf[layout.CONF_PREFETCH_FINISHES] = kernel.prefetch_finishes_run
        conf[layout.CONF_ZAPS_LEAVES_ONLY] = kernel.zaps_leaves_only
        conf[layout.CONF_DONTNEED_FREES_TABLES] = kernel.dontneed_frees_page_tables
        self._state.stat[layout.STAT_TABLES_ABOVE] = 1  # the root

    @property
    def state(self) -> MmuState:
        """The arrays, for compiled loops and views; whoever changes them answers for it."""
        return self._state

    # Memslots

    def add_memslot(self, slot_id: int, memslot: Memslot) -> None:
        """KVM_SET_USER_MEMORY_REGION of a new slot, dirty logging off.

        Args:
            slot_id: userspace's number of the slot.
            memslot: where it lies and what stands behind it.

        Raises:
            KvmEinval: the id is not one KVM takes, or is in use (a slot cannot be resized).
            KvmEexist: it overlaps another slot.
            KvmEnomem: its host mapping is beyond what a machine can hold.
        """
        if not 0 <= slot_id < MAX_MEMSLOTS:
            raise KvmEinval(f"slot={slot_id} must be 0 to {MAX_MEMSLOTS - 1}")
        if slot_id in self._slots:
            raise KvmEinval(f"slot={slot_id} exists; delete it first, a slot cannot be resized")
        for other_id, other in self._slots.items():
            if memslot.base_gfn < other.base_gfn + other.pages and other.base_gfn < memslot.base_gfn + memslot.pages:
                raise KvmEexist(f"base_gfn={memslot.base_gfn} pages={memslot.pages} overlaps slot {other_id}")
        last = (memslot.base_gfn + memslot.pages - 1) >> SHIFT_1G
        try:
            grown = layout.with_regions(self._state, memslot.base_gfn >> SHIFT_1G, last)
            grown = lay_host_memory(grown, slot_id, memslot)
        except (MemoryError, ValueError) as error:
            raise KvmEnomem(f"pages={memslot.pages}: this computer has no address space for the slot") from error
        self._state = grown
        self._slots[slot_id] = memslot

    def delete_memslot(self, slot_id: int) -> None:
        """KVM_SET_USER_MEMORY_REGION with size 0: the whole VM's mappings are zapped.

        Raises:
            KvmEinval: no such slot.

        Kernel: kvm_mmu_zap_all_fast(), arch/x86/kvm/mmu/mmu.c
        """
        if slot_id not in self._slots:
            raise KvmEinval(f"slot={slot_id} does not exist; slots: {sorted(self._slots)}")
        row = self._row(slot_id)
        state = self._state
        if state.slots[row, layout.SLOT_LOGGING]:
            state.conf[layout.CONF_LOGGING_SLOTS] -= 1
        self._note_peak()
        slots = np.delete(state.slots, row, axis=0)
        self._state = state._replace(slots=slots, l1=np.zeros(len(state.l1), dtype=np.uint8))
        del self._slots[slot_id]
        for table in (state.l4, state.l3, state.l2):
            table[:] = 0
        state.stat[layout.STAT_PAGES : layout.STAT_TABLE_PAGES + 1] = 0
        state.stat[layout.STAT_TABLES_ABOVE] = 1

    def _row(self, slot_id: int) -> int:
        rows = np.flatnonzero(self._state.slots[:, layout.SLOT_ID] == slot_id)
        return int(rows[0])

    def _known(self, slot_id: int) -> int:
        if not 0 <= slot_id < MAX_MEMSLOTS:
            raise KvmEinval(f"slot={slot_id} must be 0 to {MAX_MEMSLOTS - 1}")
        if slot_id not in self._slots:
            raise KvmEnoent(f"slot={slot_id} does not exist; slots: {sorted(self._slots)}")
        return self._row(slot_id)

    # Guest accesses

    def run(self, vcpus: int | I64, gfns: I64, *, write: bool, start: int = 0) -> RunExit:
        """KVM_RUN: the guest touches pages in order, then exits to userspace.

        Args:
            vcpus: the vCPU, or int64[n] the vCPU of each access (they take turns).
            gfns: int64[n], absolute, each inside a memslot.
            write: whether the accesses write.
            start: access to go on from after a ring-full exit.

        Returns:
            Whether a ring was full, and how many accesses have retired in all.

        Raises:
            KvmEinval: a vCPU or a gfn that does not exist.
        """
        each_vcpu = np.atleast_1d(np.asarray(vcpus, dtype=np.int64))
        pages = np.ascontiguousarray(gfns, dtype=np.int64)
        self._check_accesses(each_vcpu, pages)
        if len(pages) == 0:
            return RunExit(ring_full=False, retired=0)
        self._load(each_vcpu)
        stop, index = self._touch(each_vcpu, pages, int(write), start)
        if stop != STOP_RING_FULL:
            for vcpu in np.unique(each_vcpu):  # the vCPUs exit to userspace
                flush_pml_buffer(self._state, int(vcpu))
        return RunExit(ring_full=stop == STOP_RING_FULL, retired=index)

    def _touch(self, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        """guest_access() to the end or to a full ring, keeping the log from filling up."""
        stop, index = guest_access(self._state, vcpus, gfns, write, start)
        while stop == STOP_LOG_FULL:
            self._drain()
            stop, index = guest_access(self._state, vcpus, gfns, write, index)
        return stop, index

    def _check_accesses(self, vcpus: I64, gfns: I64) -> None:
        if len(vcpus) != 1 and len(vcpus) != len(gfns):
            raise KvmEinval(
                f"vcpus has {len(vcpus)} entries; it must have one, or one for each of {len(gfns)} accesses"
            )
        if len(vcpus) and (vcpus.min() < 0 or vcpus.max() >= self.config.vcpus):
            raise KvmEinval(f"vcpu={int(vcpus.max())} must be 0 to {self.config.vcpus - 1}")
        inside = np.zeros(len(gfns), dtype=np.bool_)
        for memslot in self._slots.values():
            inside |= (gfns >= memslot.base_gfn) & (gfns < memslot.base_gfn + memslot.pages)
        if not inside.all():
            raise KvmEinval(f"gfn={int(gfns[~inside][0])} must lie inside a memslot")

    def _load(self, vcpus: I64) -> None:
        """Fill a vCPU's caches at its first run; the first one takes the root. Kernel: kvm_mmu_load()."""
        first_run = not self._state.cache.any()
        for vcpu in np.unique(vcpus):
            if self._state.cache[vcpu] == 0:
                self._state.cache[vcpu] = CACHE_OBJECTS - (1 if first_run else 0)
                first_run = False

    # Looking

    def counters(self) -> Counters:
        """KVM's statistics as they are now."""
        stat = [int(value) for value in self._state.stat]
        return Counters(
            pages_4k=stat[layout.STAT_PAGES + PG_LEVEL_4K],
            pages_2m=stat[layout.STAT_PAGES + PG_LEVEL_2M],
            pages_1g=stat[layout.STAT_PAGES + PG_LEVEL_1G],
            pf_taken=stat[layout.STAT_PF_TAKEN],
            pf_fixed=stat[layout.STAT_PF_FIXED],
            pf_fast=stat[layout.STAT_PF_FAST],
            pf_spurious=stat[layout.STAT_PF_SPURIOUS],
            table_pages=stat[layout.STAT_TABLE_PAGES],
            pml_full_exits=stat[layout.STAT_PML_FULL_EXITS],
        )

    def memory_overhead(self) -> MemoryOverhead:
        """Host memory that mapping and logging take now."""
        return overhead_now(self._state)

    def memory_overhead_peak(self) -> MemoryOverhead:
        """The largest value of each part so far."""
        self._note_peak()
        return self._peak

    def _note_peak(self) -> None:
        self._peak = overhead_peak(self._state, self._peak)

    def take_events(self) -> I64:
        """Events since the last call, in order: int64[n, 4] runs of (code, first gfn, stride, count)."""
        self._drain()
        taken = np.concatenate(self._events) if self._events else np.zeros((0, 4), dtype=np.int64)
        self._events = []
        return taken

    # The log

    def _drain(self) -> None:
        rows = int(self._state.stat[layout.STAT_LOG_ENTRIES])
        if rows:
            self._events.append(self._state.log[:rows].copy())
            self._state.stat[layout.STAT_LOG_ENTRIES] = 0

    def _room(self) -> None:
        if len(self._state.log) and len(self._state.log) - self._state.stat[layout.STAT_LOG_ENTRIES] < layout.LOG_ROOM:
            self._drain()

    def _walk(self, start: int, end: int, step: Step) -> None:
        """Call a compiled walk until it is through, emptying the log in between."""
        at = start
        while True:
            at = step(at)
            if at >= end:
                self._note_peak()
                return
            self._drain()
