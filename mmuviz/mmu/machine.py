"""One VM, driven by the ioctls as userspace sees them."""

from __future__ import annotations

from typing import Final

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
from mmuviz.mmu.collapse import collapse_slot, zap_collapsible_leaves, zap_leafs
from mmuviz.mmu.config import Backing, Memslot, check_eager
from mmuviz.mmu.dirty_log import clear_dirty_log_protect, get_dirty_log_protect
from mmuviz.mmu.dirty_ring import dirty_ring_reset, ring_soft_full
from mmuviz.mmu.fault import host_write_pages
from mmuviz.mmu.host import drop_host_pages, split_host_region
from mmuviz.mmu.hostmap import materialise_host_pages
from mmuviz.mmu.protect import clear_leaf_bits
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.state import DIRTY, I64, WRITABLE
from mmuviz.mmu.vm import MAX_MEMSLOTS, Vm

ALL_LEVELS: Final = (1 << PG_LEVEL_4K) | (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)
HUGE_LEVELS: Final = (1 << PG_LEVEL_2M) | (1 << PG_LEVEL_1G)


class Machine(Vm):
    """A VM's page tables under KVM; each method is one thing that userspace or the guest can do.

    A method that raises has changed nothing.
    """

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
        self._check_bitmap(slot_id)
        if first_page % BITS_PER_LONG:
            raise KvmEinval(f"first_page={first_page} must be a multiple of {BITS_PER_LONG}")
        row = self._logged(slot_id)
        slot = self._state.slots[row]
        pages = int(slot[layout.SLOT_END] - slot[layout.SLOT_BASE])
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
        pages = np.ascontiguousarray(offsets, dtype=np.int64)
        self._walk(0, len(pages), lambda index: host_write_pages(self._state, row, pages, index))

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
        self._walk(max(first + move, base), stop, lambda gfn: zap_leafs(self._state, gfn, stop))
