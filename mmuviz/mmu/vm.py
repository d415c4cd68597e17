"""One VM without dirty logging: memslots, guest accesses, statistics and the event log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.errors import InputError, KvmEexist, KvmEinval, KvmEnoent, KvmEnomem, shown
from mmuviz.ground.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G
from mmuviz.mmu import state as layout
from mmuviz.mmu import work
from mmuviz.mmu.config import Memslot, Mmu, VmConfig
from mmuviz.mmu.counting import count_deleted, count_run
from mmuviz.mmu.dirty_ring import flush_pml_buffer
from mmuviz.mmu.fault import CACHE_MINIMUM, CACHE_OBJECTS, unmap_gfn_range
from mmuviz.mmu.hostmap import lay_host_memory, without_slot
from mmuviz.mmu.settings import beside, mmu_pages_of, settle, shadow_of_l2
from mmuviz.mmu.state import I64, STOP_INVALIDATED, STOP_LOG_FULL, STOP_RING_FULL, MmuState
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
    """KVM's statistics of the VM: page counts as they are, all others since the VM was made.

    Attributes:
        tlb_flushes: requests to all vCPUs (remote_tlb_flush_requests; on arm64 one broadcast).
        tlbis: arm64, broadcast TLBIs by address: one a block broken, a leaf or table unmapped.
        local_tlbis: arm64, TLBIs of one CPU after permissions were relaxed.
        masks_armed: masks of up to 64 pages that GET, CLEAR or a reset armed, of an L2's tables too.
        shadow_pages: pages of the shadow MMU, its roots among them; what nr_mmu_pages limits.
        split_topups: fillings of the VM-wide split caches; each one drops mmu_lock.
        splits_refused: eager splits that ended with -ENOSPC.
    """

    pages_4k: int
    pages_2m: int
    pages_1g: int
    pf_taken: int
    pf_fixed: int
    pf_fast: int
    pf_spurious: int
    table_pages: int
    pml_full_exits: int
    tlb_flushes: int
    tlbis: int
    local_tlbis: int
    masks_armed: int
    shadow_pages: int
    split_topups: int
    splits_refused: int


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
        settle(self._state.conf, config)
        self._l2 = shadow_of_l2(self._state, config) if config.mmu is Mmu.NESTED else None
        self._state.stat[layout.STAT_TABLES_ABOVE] = 1  # the root
        self._state.stat[layout.STAT_SHADOW_PAGES] = 0 if self._state.conf[layout.CONF_TDP_MMU] else 1

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
            l2 = self._grown_l2(grown, memslot.base_gfn >> SHIFT_1G, last)
        except (MemoryError, ValueError) as error:
            raise KvmEnomem(
                f"pages={memslot.pages} hva_offset_pages={memslot.hva_offset_pages}: this computer has no memory to "
                f"model a host mapping of {memslot.pages + memslot.hva_offset_pages} pages; give less of either"
            ) from error
        self._state, self._l2 = grown, l2
        self._slots[slot_id] = memslot
        grown.work[[work.WORK_SLOT_CREATE, work.WORK_SLOT_PAGE]] += [1, memslot.pages]
        if self.config.mmu is Mmu.STAGE2:  # any slot that comes without logging has it freed
            grown.stat[layout.STAT_SPLIT_CACHE] = 0
        self._limit_mmu_pages()

    def _grown_l2(self, grown: MmuState, first: int, last: int) -> MmuState | None:
        """The tables of an L2, if there is one, with rows for the regions first to last."""
        return None if self._l2 is None else layout.with_regions(beside(self._l2, grown), first, last)

    def _limit_mmu_pages(self) -> None:
        limit = mmu_pages_of(self.config, sum(slot.pages for slot in self._slots.values()))
        for tables in self._all_tables():
            tables.conf[layout.CONF_MMU_PAGES] = limit

    def _all_tables(self) -> list[MmuState]:
        """The tables of an L2, if there is one, then L1's: in this order KVM handles them."""
        return [self._state] if self._l2 is None else [self._l2, self._state]

    def delete_memslot(self, slot_id: int) -> None:
        """KVM_SET_USER_MEMORY_REGION with size 0: the whole VM's mappings are zapped; on arm64 the slot's.

        Raises:
            KvmEinval: no such slot.
            KvmEnomem: there is no memory for what stays.

        Kernel: kvm_mmu_zap_all_fast(), arch/x86/kvm/mmu/mmu.c
        """
        if slot_id not in self._slots:
            raise KvmEinval(f"slot={slot_id} does not exist; slots: {sorted(self._slots)}")
        row = self._row(slot_id)
        was_logging = bool(self._state.slots[row, layout.SLOT_LOGGING])
        try:
            rest, l2 = self._without(row)
        except MemoryError as error:
            raise KvmEnomem(f"slot={slot_id}: this computer has no memory to model the slots that stay") from error
        self._note_peak()
        for tables in self._all_tables():
            count_deleted(tables, row)
        if self.config.mmu is Mmu.STAGE2:
            self._unmap_slot(row)
        self._state, self._l2 = rest, l2
        del self._slots[slot_id]
        self._limit_mmu_pages()
        rest.conf[layout.CONF_LOGGING_SLOTS] -= was_logging
        if self.config.mmu is Mmu.STAGE2:
            return
        rest.stat[layout.STAT_PAGES : layout.STAT_TABLE_PAGES + 1] = 0
        rest.stat[layout.STAT_TABLES_ABOVE] = 1
        rest.stat[layout.STAT_SHADOW_PAGES] = 0 if rest.conf[layout.CONF_TDP_MMU] else 1
        rest.stat[layout.STAT_TLB_FLUSHES] += 1

    def _without(self, row: int) -> tuple[MmuState, MmuState | None]:
        """All tables without one slot: empty on x86; on arm64 what the other slots map stands."""
        rest = without_slot(self._state, row)
        if self.config.mmu is Mmu.STAGE2:
            return rest, None
        rest = layout.without_tables(rest)
        l2 = None if self._l2 is None else layout.without_tables(beside(self._l2, rest))
        for base, end in rest.slots[:, [layout.SLOT_BASE, layout.SLOT_END]].tolist():
            rest = layout.with_regions(rest, base >> SHIFT_1G, (end - 1) >> SHIFT_1G)
            l2 = None if l2 is None else layout.with_regions(l2, base >> SHIFT_1G, (end - 1) >> SHIFT_1G)
        return rest, l2

    def _unmap_slot(self, row: int) -> None:
        """arm64 unmaps the slot alone. Kernel: kvm_arch_flush_shadow_memslot(), arch/arm64/kvm/mmu.c."""
        first, end = (int(self._state.slots[row, column]) for column in (layout.SLOT_BASE, layout.SLOT_END))
        self._state.stat[layout.STAT_SPLIT_CACHE] = 0
        self._unmap(self._state, first, end)

    def _unmap(self, tables: MmuState, first: int, end: int) -> None:
        self._walk(first, end, lambda gfn: unmap_gfn_range(tables, gfn, end))

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

    def run(
        self,
        vcpus: int | I64,
        gfns: I64,
        *,
        write: bool,
        start: int = 0,
        ring_full: Callable[[], None] | None = None,
        l2: bool = False,
    ) -> RunExit:
        """KVM_RUN: the guest touches pages in order, then exits to userspace.

        Args:
            vcpus: the vCPU, or int64[n] the vCPU of each access (they take turns).
            gfns: int64[n], absolute, each inside a memslot.
            write: whether the accesses write.
            start: access to go on from after a ring-full exit.
            ring_full: called at each ring-full exit; the guest then goes on, unless that freed no entry.
                So userspace harvests and resets the rings without having all accesses checked again.
            l2: the vCPUs run a nested guest, whose pages lie at the same gfns.

        Returns:
            Whether a ring was full, and how many accesses have retired in all.

        Raises:
            KvmEinval: a vCPU, a gfn or a start that does not exist.
            InputError: a nested guest where mmu is not nested.
        """
        if l2 and self._l2 is None:
            raise InputError(f"mmu={self.config.mmu} has no nested guest; choose mmu=nested")
        pages = np.ascontiguousarray(gfns, dtype=np.int64)
        each_vcpu = self._check_vcpus(vcpus, len(pages))
        self._check_gfns(pages)
        if not 0 <= start <= len(pages):
            raise KvmEinval(f"start={start} must be 0 to {len(pages)}, the number of accesses")
        if len(pages) == 0:
            return RunExit(ring_full=False, retired=0)
        running = np.unique(each_vcpu)
        self._load(running, l2=l2)
        touch = self._touch_l2 if l2 else self._touch
        stop, index = touch(each_vcpu, pages, int(write), start)
        while stop == STOP_RING_FULL and ring_full is not None:
            slots, stopped_at = self._state.slots, index
            ring_full()
            if self._state.slots is not slots:  # userspace changed the memslots meanwhile
                self._check_gfns(pages)
            stop, index = touch(each_vcpu, pages, int(write), index)
            self._state.work[work.WORK_RUN] += 1
            if index == stopped_at:
                break
        count_run(self._state.work, len(running), len(each_vcpu), index - start, write=write)
        if stop != STOP_RING_FULL:
            for vcpu in running:  # the vCPUs exit to userspace
                flush_pml_buffer(self._state, int(vcpu))
        return RunExit(ring_full=stop == STOP_RING_FULL, retired=index)

    def _touch(self, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        """guest_access() to the end or to a full ring, keeping the log from filling up."""
        return self._touch_in(self._state, vcpus, gfns, write, start)

    def _touch_l2(self, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        """_touch() of a nested guest."""
        return self._touch_in(self._all_tables()[0], vcpus, gfns, write, start)

    def _touch_in(self, tables: MmuState, vcpus: I64, gfns: I64, write: int, start: int) -> tuple[int, int]:
        stop, index = guest_access(tables, vcpus, gfns, write, start)
        while stop in (STOP_LOG_FULL, STOP_INVALIDATED):
            if stop == STOP_LOG_FULL:
                self._drain()
            else:
                self._zap_beside(tables)
            stop, index = guest_access(tables, vcpus, gfns, write, index)
        return stop, index

    def _zap_beside(self, done: MmuState) -> None:
        """The MMU notifier has zapped some tables of a nested VM; zap the others. One flush serves both."""
        stat = self._state.stat
        first, end = int(stat[layout.STAT_ZAP_FIRST]), int(stat[layout.STAT_ZAP_END])
        stat[layout.STAT_ZAP_END] = 0
        flushes = int(stat[layout.STAT_TLB_FLUSHES])
        for tables in self._all_tables():
            if tables is not done and end:
                self._unmap(tables, first, end)
        if stat[layout.STAT_ZAP_FLUSHED]:
            stat[layout.STAT_TLB_FLUSHES] = flushes

    def _check_vcpus(self, vcpus: int | I64, accesses: int) -> I64:
        """The vCPU of all accesses, or of each."""
        last = self.config.vcpus - 1
        if isinstance(vcpus, int):  # of any size; an array holds none that is too large for it
            if not 0 <= vcpus <= last:
                raise KvmEinval(f"vcpu={shown(vcpus)} must be 0 to {last}")
            return np.array([vcpus], dtype=np.int64)
        each = np.atleast_1d(np.asarray(vcpus, dtype=np.int64))
        if len(each) not in (1, accesses):
            raise KvmEinval(f"vcpus has {len(each)} entries; it must have one, or one for each of {accesses} accesses")
        if len(each) and (each.min() < 0 or each.max() > last):
            raise KvmEinval(f"vcpu={int(each[(each < 0) | (each > last)][0])} must be 0 to {last}")
        return each

    def _check_gfns(self, gfns: I64) -> None:
        if not len(gfns):
            return
        low, high = int(gfns.min()), int(gfns.max())
        if any(slot.base_gfn <= low and high < slot.base_gfn + slot.pages for slot in self._slots.values()):
            return
        inside = np.zeros(len(gfns), dtype=np.bool_)
        for slot in self._slots.values():
            inside |= (gfns >= slot.base_gfn) & (gfns < slot.base_gfn + slot.pages)
        if not inside.all():
            raise KvmEinval(f"gfn={int(gfns[~inside][0])} must lie inside a memslot")

    def _load(self, vcpus: I64, *, l2: bool) -> None:
        """Fill a vCPU's caches at its first run; the first one takes the root. Kernel: kvm_mmu_load()."""
        first_run = not self._state.cache.any()
        for vcpu in vcpus:
            if self._state.cache[vcpu] == 0:
                self._state.cache[vcpu] = CACHE_OBJECTS - (1 if first_run else 0)
                self._state.work[work.WORK_CACHE_REFILL] += CACHE_OBJECTS
                first_run = False
        if l2 and self._state.stat[layout.STAT_SHADOW_PAGES] == 0:  # the root of the L2's tables
            if self._state.cache[vcpus[0]] < CACHE_MINIMUM:
                self._state.cache[vcpus[0]] = CACHE_OBJECTS
            self._state.cache[vcpus[0]] -= 1
            self._state.stat[[layout.STAT_TABLES_ABOVE, layout.STAT_SHADOW_PAGES]] += 1

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
            tlb_flushes=stat[layout.STAT_TLB_FLUSHES],
            tlbis=stat[layout.STAT_TLBIS],
            local_tlbis=stat[layout.STAT_LOCAL_TLBIS],
            masks_armed=stat[layout.STAT_MASKS_ARMED],
            shadow_pages=stat[layout.STAT_SHADOW_PAGES],
            split_topups=stat[layout.STAT_SPLIT_TOPUPS],
            splits_refused=stat[layout.STAT_SPLITS_REFUSED],
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

    def _walk(self, start: int, end: int, step: Step) -> None:
        """Call a compiled walk until it is through, emptying the log in between."""
        at = start
        while True:
            at = step(at)
            if at >= end:
                self._note_peak()
                return
            self._drain()
