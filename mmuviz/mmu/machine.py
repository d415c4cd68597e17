"""One VM, driven by the ioctls as userspace sees them."""

from __future__ import annotations

import numpy as np

from mmuviz.ground.errors import InputError, KvmEinval, KvmEnoent, KvmEnxio
from mmuviz.ground.pages import (
    BITS_PER_LONG,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    SPTE_INDEX_MASK,
    pages_per_hpage,
    round_up,
)
from mmuviz.mmu import state as layout
from mmuviz.mmu import work
from mmuviz.mmu.config import Backing, Memslot, Mmu, check_eager
from mmuviz.mmu.counting import count_disable, count_enable
from mmuviz.mmu.dirty_log import clear_dirty_log_protect, get_dirty_log_protect
from mmuviz.mmu.dirty_ring import ALL_MASKS, dirty_ring_reset, ring_soft_full
from mmuviz.mmu.fault import host_write_pages
from mmuviz.mmu.host import drop_host_pages, split_host_region
from mmuviz.mmu.hostmap import materialise_host_pages
from mmuviz.mmu.presplit import fault_pages
from mmuviz.mmu.slot_walks import SlotWalks
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.tracking import note_round, regions_of
from mmuviz.mmu.vm import MAX_MEMSLOTS


class Machine(SlotWalks):
    """A VM's page tables under KVM; each method is one thing that userspace or the guest can do.

    A method that raises has changed nothing.
    """

    # Dirty logging

    def enable_dirty_logging(self, slot_id: int) -> None:
        """Set KVM_MEM_LOG_DIRTY_PAGES on a slot.

        Under initially-all-set nothing is touched. Otherwise huge pages are split first if
        eager_page_split is on; then PML clears dirty bits and protects what is still huge, or write
        protection takes every leaf. Each step takes the tables of an L2 first, then L1's. arm64
        protects first and splits then.

        Raises:
            KvmEnoent: no such slot.

        Kernel: kvm_mmu_slot_apply_flags(), arch/x86/kvm/x86.c; kvm_arch_commit_memory_region(),
            arch/arm64/kvm/mmu.c
        """
        row = self._known(slot_id)
        state, slot = self._state, self._state.slots[row]
        if slot[layout.SLOT_LOGGING]:
            state.work[work.WORK_ENABLE] += 1
            return
        slot[layout.SLOT_LOGGING] = 1
        state.conf[layout.CONF_LOGGING_SLOTS] += 1
        count_enable(state, row)
        self._fill_bitmap(row)
        if self.config.tracking.rounds_to_4k is not None:
            self._rounds[slot_id] = np.zeros(regions_of(*self._span(row)), dtype=np.int64)
        if self.config.dirty_log_mode.initially_set:
            return
        start, end = int(slot[layout.SLOT_BASE]), int(slot[layout.SLOT_END])
        steps = [self._split_range, self._arm_range]
        for step in reversed(steps) if self.config.mmu is Mmu.STAGE2 else steps:
            for tables in self._all_tables():
                step(tables, start, end)
        state.stat[layout.STAT_TLB_FLUSHES] += 1

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

        A level that userspace forced is taken back as well. arm64 only frees its split cache: a
        huge page comes back with the first write to a protected 4K page of it.

        Raises:
            KvmEnoent: no such slot.

        Kernel: kvm_mmu_slot_apply_flags(), arch/x86/kvm/x86.c; kvm_arch_commit_memory_region(),
            arch/arm64/kvm/mmu.c
        """
        row = self._known(slot_id)
        state, slot = self._state, self._state.slots[row]
        if not slot[layout.SLOT_LOGGING]:
            state.work[work.WORK_DISABLE] += 1
            return
        count_disable(state, row)
        self._note_peak()
        slot[layout.SLOT_LOGGING] = 0
        state.conf[layout.CONF_LOGGING_SLOTS] -= 1
        slot[layout.SLOT_FORCED_LEVEL] = PG_LEVEL_1G
        if self.config.mmu is Mmu.STAGE2:
            state.stat[layout.STAT_SPLIT_CACHE] = 0
            return
        for tables in self._all_tables():
            self._collapse(tables, row)

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
        words = -(-self._span(row)[1] // BITS_PER_LONG)
        rounds = self._rounds.get(slot_id)
        if rounds is not None:
            note_round(self._bitmap(row, 0, words), *self._span(row), rounds)
        if self.config.dirty_log_mode.manual:
            self._state.work[[work.WORK_GET_MANUAL, work.WORK_GET_COPY_WORD]] += [1, words]
            return self._bitmap(row, 0, words).copy()
        self._state.work[work.WORK_GET] += 1
        armed = self._before_arming(slot_id, row, 0, self._bitmap(row, 0, words))
        buffer = np.zeros(words, dtype=np.int64)
        self._walk(0, words, lambda word: get_dirty_log_protect(self._state, row, buffer, word))
        self._flush_if_armed(armed)
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
        self._check_bitmap(slot_id)
        if first_page % BITS_PER_LONG:
            raise KvmEinval(f"first_page={first_page} must be a multiple of {BITS_PER_LONG}")
        row = self._logged(slot_id)
        pages = self._span(row)[1]
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
        held = buffer
        if self._l2 is not None or self._rounds:
            held = buffer & self._bitmap(row, first_word, words)
        self._state.work[work.WORK_CLEAR] += 1
        armed = self._before_arming(slot_id, row, first_word, held)
        self._walk(0, words, lambda word: clear_dirty_log_protect(self._state, row, first_word, buffer, word))
        self._flush_if_armed(armed)

    def _check_bitmap(self, slot_id: int) -> None:
        if self.config.dirty_log_mode.ring:
            raise KvmEnxio("the VM uses a dirty ring and has no bitmap; collect and reset the rings")
        if not 0 <= slot_id < MAX_MEMSLOTS:
            raise KvmEinval(f"slot={slot_id} must be 0 to {MAX_MEMSLOTS - 1}")

    def _logged(self, slot_id: int) -> int:
        self._check_bitmap(slot_id)
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
        state.work[work.WORK_COLLECT_FIRST] = 1
        found: list[tuple[int, I64]] = []
        for vcpu in range(self.config.vcpus):
            at = np.arange(state.ring_at[vcpu, layout.RING_HARVEST_INDEX], state.ring_at[vcpu, layout.RING_DIRTY_INDEX])
            entries = state.ring[vcpu, at & (state.ring.shape[1] - 1)]
            state.work[work.WORK_COLLECT_ENTRY] += len(entries)
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
        self._state.work[work.WORK_RING_RESET] += 1
        done, armed = 0, int(self._state.stat[layout.STAT_MASKS_ARMED])
        for vcpu in range(self.config.vcpus):
            at = self._state.ring_at[vcpu]
            first = int(at[layout.RING_RESET_INDEX])
            done += int(at[layout.RING_HARVEST_INDEX]) - first
            for tables in self._all_tables():
                at[layout.RING_RESET_INDEX] = first  # each of a nested VM's tables goes through the same entries
                self._reset_ring(tables, vcpu)
        self._flush_if_armed(armed)
        return done

    def _reset_ring(self, tables: MmuState, vcpu: int) -> None:
        while dirty_ring_reset(tables, vcpu, ALL_MASKS):
            self._drain()

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
        if self.config.mmu is Mmu.STAGE2:
            raise InputError("arm64 has no eager_page_split; its chunk size is chosen before the first memslot")
        self._state.work[work.WORK_EAGER_SWITCH] += 1
        for tables in self._all_tables():
            tables.conf[layout.CONF_EAGER] = value

    def split_by_faulting(self, slot_id: int, *, vcpu: int = 0) -> int:
        """The alternative of 2020, before logging starts: a dummy vCPU faults every page of a slot.

        The first pass maps 2M at most, the second 4K. The slot stays forced to 4K until logging of
        it is disabled.

        Args:
            slot_id: the slot.
            vcpu: the vCPU whose caches are used.

        Returns:
            Calls of the fault handler.

        Raises:
            KvmEnoent: no such slot.
            KvmEinval: no such vCPU.
            InputError: the slot is logged, or the MMU is not one that maps directly.
        """
        row = self._known(slot_id)
        if self.config.mmu not in (Mmu.TDP, Mmu.DIRECT_SHADOW):
            raise InputError(f"split_by_faulting works with mmu=tdp or direct_shadow, not {self.config.mmu}")
        if self._state.slots[row, layout.SLOT_LOGGING]:
            raise InputError(f"slot={slot_id} is logged; split by faulting comes before logging")
        vcpus = self._check_vcpus(vcpu, 1)
        self._load(vcpus, l2=False)
        base, pages = self._span(row)
        for level in (PG_LEVEL_2M, PG_LEVEL_4K):
            self._state.slots[row, layout.SLOT_FORCED_LEVEL] = level
            self._fault_range(vcpu, row, level, base, base + pages)
        return regions_of(base, pages) + pages

    def _fault_range(self, vcpu: int, row: int, level: int, start: int, end: int) -> None:
        self._walk(start, end, lambda gfn: fault_pages(self._state, vcpu, row, level, gfn, end))

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
        pages = np.ascontiguousarray(offsets, dtype=np.int64)
        self._walk(0, len(pages), lambda index: self._write_some(row, pages, index))

    def _write_some(self, row: int, pages: I64, index: int) -> int:
        """host_write_pages(), then what it left for the other tables of a nested VM."""
        at = host_write_pages(self._state, row, pages, index)
        self._zap_beside(self._state)
        return at

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
        self._state.work[work.WORK_DONTNEED] += 1
        if memslot.backing.hugetlb:
            count = self._whole_huge_pages(memslot, first, count)
        if count:
            self._drop(row, first, first + count, thp=memslot.backing is Backing.THP)

    def _whole_huge_pages(self, memslot: Memslot, first: int, count: int) -> int:
        """Pages that MADV_DONTNEED drops of hugetlb memory. Kernel: madvise_dontneed_free_valid_vma()."""
        kernel, span = self.config.kernel, pages_per_hpage(memslot.backing.level)
        if not kernel.dontneed_takes_hugetlb:
            raise KvmEinval(f"dontneed: hugetlb memory cannot be dropped on kernel {kernel.name}; use 5.18 or later")
        if first % span:
            raise KvmEinval(f"dontneed start: hugetlb memory wants a multiple of {span} host pages, not {first}")
        return count - count % span if kernel.dontneed_rounds_hugetlb_down else round_up(count, span)

    def _drop(self, row: int, first: int, end: int, *, thp: bool) -> None:
        materialise_host_pages(self._state, row)
        self._invalidate(row, first, end)
        for edge in sorted({first, end - 1}) if thp else ():
            region = edge & ~SPTE_INDEX_MASK
            whole = first <= region and region + SPTE_INDEX_MASK < end
            if not whole and split_host_region(self._state, row, edge):
                self._invalidate(row, region, region + SPTE_INDEX_MASK + 1)
        drop_host_pages(self._state, row, first, end)

    def _invalidate(self, row: int, first: int, end: int) -> None:
        """The MMU notifier for host pages [first, end). Kernel: kvm_unmap_gfn_range(), mmu.c."""
        slot = self._state.slots[row]
        base, move = int(slot[layout.SLOT_BASE]), int(slot[layout.SLOT_BASE] - slot[layout.SLOT_HVA_OFFSET])
        stop = min(end + move, int(slot[layout.SLOT_END]))
        low, stat = max(first + move, base), self._state.stat
        flushes = int(stat[layout.STAT_TLB_FLUSHES])
        for tables in self._all_tables():
            self._unmap(tables, low, stop)
        if self.config.mmu is not Mmu.STAGE2:  # one flush, whatever was mapped
            stat[layout.STAT_TLB_FLUSHES] = min(int(stat[layout.STAT_TLB_FLUSHES]), flushes + 1)
