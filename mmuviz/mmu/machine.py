"""One VM, driven by the ioctls as userspace sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.errors import InputError, KvmEexist, KvmEinval, KvmEnoent, KvmEnospc, KvmEnxio
from mmuviz.ground.pages import BITS_PER_LONG, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G, SPTE_INDEX_MASK
from mmuviz.mmu import state as layout
from mmuviz.mmu.collapse import collapse_slot, zap_collapsible_leaves
from mmuviz.mmu.config import Backing, DirtyLogMode, Memslot, VmConfig, check_eager
from mmuviz.mmu.dirty_log import clear_dirty_log_protect, get_dirty_log_protect
from mmuviz.mmu.dirty_ring import dirty_ring_reset, flush_pml_buffer, ring_soft_full
from mmuviz.mmu.fault import CACHE_OBJECTS, invalidate_gfn, invalidate_host_range
from mmuviz.mmu.host import (
    FAULT_INVALIDATES,
    FAULT_LEVEL,
    drop_host_pages,
    fault_host_page,
    split_host_region,
)
from mmuviz.mmu.hostmap import lay_host_memory, materialise_host_pages
from mmuviz.mmu.protect import clear_leaf_bits
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.state import DIRTY, I64, STOP_LOG_FULL, STOP_RING_FULL, WRITABLE, MmuState
from mmuviz.mmu.stats import MemoryOverhead, overhead_now, overhead_peak
from mmuviz.mmu.touch import guest_access

MAX_MEMSLOTS: Final = 32_764
"""Kernel: KVM_USER_MEM_SLOTS, include/linux/kvm_host.h."""
Step = Callable[[int], int]
ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
HUGE_LEVELS: Final = (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)


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


class Machine:
    """A VM's page tables under KVM; each method is one thing that userspace or the guest can do.

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
            KvmEnospc: its host mapping is beyond what a machine can hold.
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
            raise KvmEnospc(f"pages={memslot.pages}: this computer has no address space for the slot") from error
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
        stop, index = guest_access(self._state, each_vcpu, pages, int(write), start)
        while stop == STOP_LOG_FULL:
            self._drain()
            stop, index = guest_access(self._state, each_vcpu, pages, int(write), index)
        if stop != STOP_RING_FULL:
            for vcpu in np.unique(each_vcpu):  # the vCPUs exit to userspace
                flush_pml_buffer(self._state, int(vcpu))
        return RunExit(ring_full=stop == STOP_RING_FULL, retired=index)

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

    # Dirty logging

    def enable_dirty_logging(self, slot_id: int) -> None:
        """Set KVM_MEM_LOG_DIRTY_PAGES on a slot.

        Under initially-all-set nothing is touched. Otherwise huge pages are split first if
        eager_page_split is on; then PML clears dirty bits and protects what is still huge, or write
        protection takes every leaf.

        Raises:
            KvmEnoent: no such slot.

        Kernel: kvm_mmu_slot_apply_flags(), arch/x86/kvm/x86.c
        """
        row = self._known(slot_id)
        state, slot = self._state, self._state.slots[row]
        if slot[layout.SLOT_LOGGING]:
            return
        slot[layout.SLOT_LOGGING] = 1
        state.conf[layout.CONF_LOGGING_SLOTS] += 1
        self._fill_bitmap(row)
        if self.config.dirty_log_mode.initially_set:
            return
        start, end = int(slot[layout.SLOT_BASE]), int(slot[layout.SLOT_END])
        tdp, pml = self.config.tdp_mmu, self.config.pml
        if state.conf[layout.CONF_EAGER] and tdp:
            self._walk(start, end, lambda gfn: try_split_huge_pages(state, gfn, end))
        if pml:
            levels = ALL_LEVELS if tdp else 1 << PG_LEVEL_4K
            self._walk(start, end, lambda gfn: clear_leaf_bits(state, gfn, end, levels, DIRTY))
        levels_protected = HUGE_LEVELS if pml else ALL_LEVELS
        self._walk(start, end, lambda gfn: clear_leaf_bits(state, gfn, end, levels_protected, WRITABLE))

    def _fill_bitmap(self, row: int) -> None:
        slot = self._state.slots[row]
        pages = int(slot[layout.SLOT_END] - slot[layout.SLOT_BASE])
        at, words = int(slot[layout.SLOT_DIRTY_AT]), -(-pages // BITS_PER_LONG)
        bitmap = self._state.dirty[at : at + words]
        if self.config.dirty_log_mode.ring or not self.config.dirty_log_mode.initially_set:
            bitmap[:] = 0
            return
        bitmap[:] = -1
        if pages % BITS_PER_LONG:
            bitmap[-1] = (1 << pages % BITS_PER_LONG) - 1

    def disable_dirty_logging(self, slot_id: int) -> None:
        """Clear KVM_MEM_LOG_DIRTY_PAGES on a slot, and let huge pages come back.

        Raises:
            KvmEnoent: no such slot.

        Kernel: kvm_mmu_slot_apply_flags(), arch/x86/kvm/x86.c
        """
        row = self._known(slot_id)
        state, slot = self._state, self._state.slots[row]
        if not slot[layout.SLOT_LOGGING]:
            return
        self._note_peak()
        slot[layout.SLOT_LOGGING] = 0
        state.conf[layout.CONF_LOGGING_SLOTS] -= 1
        tables = self.config.tdp_mmu and self.config.kernel.disable_zaps_tables
        step = collapse_slot if tables else zap_collapsible_leaves
        end = int(slot[layout.SLOT_END])
        self._walk(int(slot[layout.SLOT_BASE]), end, lambda gfn: step(state, row, gfn))

    def get_dirty_log(self, slot_id: int) -> I64:
        """KVM_GET_DIRTY_LOG. In legacy mode it clears the bitmap and arms the pages again.

        Returns:
            int64[words], 64 pages a word, lowest bit first.

        Raises:
            KvmEnxio: the VM uses a dirty ring.
            KvmEinval: no such slot id can exist.
            KvmEnoent: the slot is absent or not logging.
        """
        row = self._logged(slot_id)
        slot = self._state.slots[row]
        words = -(-int(slot[layout.SLOT_END] - slot[layout.SLOT_BASE]) // BITS_PER_LONG)
        at = int(slot[layout.SLOT_DIRTY_AT])
        if self.config.dirty_log_mode.manual:
            return self._state.dirty[at : at + words].copy()
        buffer = np.zeros(words, dtype=np.int64)
        self._walk(0, words, lambda word: get_dirty_log_protect(self._state, row, buffer, word))
        return buffer

    def clear_dirty_log(self, slot_id: int, first_page: int, num_pages: int, bits: I64) -> None:
        """KVM_CLEAR_DIRTY_LOG of a range.

        Args:
            slot_id: the slot.
            first_page: first page, counted from the slot's start; a multiple of 64.
            num_pages: pages; a multiple of 64 unless the range ends with the slot.
            bits: int64[words] of the range; bits beyond it are ignored.

        Raises:
            KvmEnxio: the VM uses a dirty ring.
            KvmEinval: the range breaks a rule.
            KvmEnoent: the slot is absent or not logging.
        """
        row = self._logged(slot_id)
        slot = self._state.slots[row]
        pages = int(slot[layout.SLOT_END] - slot[layout.SLOT_BASE])
        if first_page % BITS_PER_LONG:
            raise KvmEinval(f"first_page={first_page} must be a multiple of {BITS_PER_LONG}")
        if first_page < 0 or num_pages < 0 or first_page > pages or num_pages > pages - first_page:
            raise KvmEinval(f"first_page={first_page} num_pages={num_pages} must end at or before page {pages}")
        if num_pages % BITS_PER_LONG and first_page + num_pages != pages:
            raise KvmEinval(
                f"num_pages={num_pages} must be a multiple of {BITS_PER_LONG}, or end with the slot ({pages})"
            )
        words = -(-num_pages // BITS_PER_LONG)
        if len(bits) != words:
            raise KvmEinval(f"bits has {len(bits)} words; a range of {num_pages} pages has {words}")
        first_word = first_page // BITS_PER_LONG
        buffer = np.ascontiguousarray(bits, dtype=np.int64)
        self._walk(0, words, lambda word: clear_dirty_log_protect(self._state, row, first_word, buffer, word))

    def _logged(self, slot_id: int) -> int:
        if self.config.dirty_log_mode.ring:
            raise KvmEnxio("the VM uses a dirty ring and has no bitmap; collect and reset the rings")
        row = self._known(slot_id)
        if not self._state.slots[row, layout.SLOT_LOGGING]:
            raise KvmEnoent(f"slot={slot_id} is not logging; enable dirty logging first")
        return row

    # Dirty ring

    def collect_dirty_rings(self) -> list[tuple[int, I64]]:
        """Harvest every vCPU's ring, in order of vCPU.

        Returns:
            Pairs of slot id and int64[n] page offsets, in ring order, one pair a run of one slot.

        Raises:
            KvmEinval: the VM has no dirty ring.
        """
        self._need_ring()
        state = self._state
        found: list[tuple[int, I64]] = []
        for vcpu in range(self.config.vcpus):
            at = np.arange(state.ring_at[vcpu, layout.RING_HARVEST_INDEX], state.ring_at[vcpu, layout.RING_DIRTY_INDEX])
            entries = state.ring[vcpu, at & (state.ring.shape[1] - 1)]
            state.ring_at[vcpu, layout.RING_HARVEST_INDEX] = state.ring_at[vcpu, layout.RING_DIRTY_INDEX]
            slots, offsets = entries >> layout.RING_SLOT_SHIFT, entries & ((1 << layout.RING_SLOT_SHIFT) - 1)
            parts = np.split(np.arange(len(slots)), np.flatnonzero(np.diff(slots)) + 1)
            found += [(int(slots[part[0]]), offsets[part]) for part in parts if len(part)]
        return found

    def reset_dirty_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS: arm the harvested pages again.

        Returns:
            Entries reset.

        Raises:
            KvmEinval: the VM has no dirty ring.
        """
        self._need_ring()
        done = 0
        for vcpu in range(self.config.vcpus):
            at = self._state.ring_at[vcpu]
            done += int(at[layout.RING_HARVEST_INDEX] - at[layout.RING_RESET_INDEX])
            while dirty_ring_reset(self._state, vcpu):
                self._drain()
        return done

    def ring_is_full(self, vcpu: int) -> bool:
        """Whether KVM_RUN of a vCPU would come back at once with KVM_EXIT_DIRTY_RING_FULL."""
        return bool(ring_soft_full(self._state, vcpu))

    def _need_ring(self) -> None:
        if not self.config.dirty_log_mode.ring:
            raise KvmEinval(f"dirty_log_mode={self.config.dirty_log_mode} has no dirty ring; use GET and CLEAR")

    # The host

    def set_eager_page_split(self, *, value: bool) -> None:
        """Write the module parameter; it is read at each enable and CLEAR.

        Raises:
            InputError: the kernel has no such parameter.
        """
        check_eager(self.config.kernel, eager_page_split=value)
        self._state.conf[layout.CONF_EAGER] = value

    def host_write(self, slot_id: int, offsets: I64) -> None:
        """The host process writes to pages of a slot; dirty logging never sees it.

        Args:
            slot_id: the slot.
            offsets: int64[n], pages counted from the slot's start.

        Raises:
            KvmEnoent: no such slot.
            InputError: a page outside the slot.
        """
        row, memslot = self._known(slot_id), self._slots[slot_id]
        if len(offsets) and (offsets.min() < 0 or offsets.max() >= memslot.pages):
            raise InputError(f"a page of hostwrite lies outside the slot; pages are 0 to {memslot.pages - 1}")
        for offset in offsets:
            done = fault_host_page(self._state, row, int(offset) + memslot.hva_offset_pages, 1)
            if done & FAULT_INVALIDATES:
                self._room()
                invalidate_gfn(self._state, row, memslot.base_gfn + int(offset), done & FAULT_LEVEL)

    def madvise_dontneed(self, slot_id: int, start: int, count: int) -> None:
        """MADV_DONTNEED of the host memory behind pages of a slot.

        Args:
            slot_id: the slot.
            start: first page, counted from the slot's start.
            count: pages; rounded down to whole huge pages of hugetlb.

        Raises:
            KvmEnoent: no such slot.
            InputError: pages outside the slot.
            KvmEinval: hugetlb memory, and the range does not begin with a huge page.
        """
        row, memslot = self._known(slot_id), self._slots[slot_id]
        if start < 0 or count < 0 or start + count > memslot.pages:
            raise InputError(f"dontneed start={start} count={count} must lie inside the slot of {memslot.pages} pages")
        first = start + memslot.hva_offset_pages
        if memslot.backing.hugetlb:
            span = 1 << 9 * (memslot.backing.level - 1)
            if first % span:
                raise KvmEinval(f"dontneed start={start}: hugetlb memory wants a multiple of {span} host pages")
            count -= count % span
        if count:
            self._drop(row, first, first + count, thp=memslot.backing is Backing.THP)

    def _drop(self, row: int, first: int, end: int, *, thp: bool) -> None:
        materialise_host_pages(self._state, row)
        self._room()
        invalidate_host_range(self._state, row, first, end)
        for edge in (first, end - 1) if thp else ():
            region = edge & ~SPTE_INDEX_MASK
            whole = first <= region and region + SPTE_INDEX_MASK < end
            if not whole and split_host_region(self._state, row, edge):
                self._room()
                invalidate_host_range(self._state, row, region, region + SPTE_INDEX_MASK + 1)
        drop_host_pages(self._state, row, first, end)

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
