"""One VM, driven by the ioctls as userspace sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mmuviz.mmu import host_operations, logging_steps, memslots, word_steps
from mmuviz.mmu.arrays import MAX_MEMSLOTS, VmArrays
from mmuviz.mmu.config import Memslot, VmConfig
from mmuviz.mmu.counters import Counters, counters_of
from mmuviz.mmu.kvm_run import AccessLoop, GuestRuns, RunExit, load_vcpus
from mmuviz.mmu.state import I32, I64, MmuState
from mmuviz.mmu.stats import MemoryOverhead, overhead_now
from mmuviz.mmu.steps import Steps, exhaust

__all__ = ["MAX_MEMSLOTS", "Counters", "RunExit", "Vm"]


class Vm:
    """A VM's page tables under KVM; each method is an operation of userspace or of the guest.

    A method that raises changes nothing. Methods whose names end in `_steps` are ioctls as generators,
    see mmuviz.mmu.steps; the others run the same steps at once.
    """

    def __init__(self, config: VmConfig, *, record: bool = False, access_loop: AccessLoop | None = None) -> None:
        """Create the VM.

        Args:
            config: the VM's configuration, already checked.
            record: keep every event until take_events().
            access_loop: executes the accesses of run() in place of the plain loop, as an engine with a clock does.
        """
        self.config = config
        self._arrays = VmArrays(config, record=record)
        self._guest = GuestRuns(self._arrays, access_loop)

    def address_space(self) -> Vm:
        """Create another address space of the VM, e.g. for system management mode: its own memslots, nothing mapped.

        KVM walks the roots of a memslot's own address space, and there is none while no vCPU is in it. The work
        of its ioctls is counted with this VM's; its statistics are separate.

        Kernel: kvm_memslots_for_spte_role(), for_each_tdp_mmu_root(), arch/x86/kvm/mmu/
        """
        other = Vm(self.config)
        other._arrays.state = other._arrays.state._replace(work=self.state.work)
        return other

    # Views

    @property
    def state(self) -> MmuState:
        """L1's tables and all other arrays, for compiled loops and views; changing them is at the caller's risk."""
        return self._arrays.state

    @property
    def tables(self) -> list[MmuState]:
        """The tables of an L2, if there is one, then L1's: the order in which KVM handles them."""
        return self._arrays.tables

    @property
    def guest_tables(self) -> MmuState:
        """The tables that the innermost guest runs on."""
        return self._arrays.tables[0]

    @property
    def memslots(self) -> Mapping[int, Memslot]:
        """Memslots by id, as they were added."""
        return MappingProxyType(self._arrays.memslots)

    def span(self, slot_id: int) -> tuple[int, int]:
        """First gfn and number of pages of a slot.

        Raises:
            KvmEinval: no such slot id can exist.
            KvmEnoent: no such slot.
        """
        return self._arrays.span(self._arrays.row(slot_id))

    def counters(self) -> Counters:
        """KVM's statistics as they are now."""
        return counters_of(self._arrays.state)

    def memory_overhead(self) -> MemoryOverhead:
        """Host memory that mapping and logging take now."""
        return overhead_now(self._arrays.state)

    def memory_overhead_peak(self) -> MemoryOverhead:
        """The largest value of each part so far."""
        return self._arrays.note_peak()

    # Events

    def take_events(self) -> I64:
        """Events since the last call, in order: int64[n, LOG_COLUMNS] runs, see MmuState."""
        return self._arrays.take_events()

    def drain_log(self) -> None:
        """Make room in the log of compiled code, keeping its events for take_events()."""
        self._arrays.drain_log()

    def log_all(self, mode: int, first_gfn: int, end_gfn: int) -> None:
        """Set the event log's mode, and the pages whose events it keeps, from now on.

        Args:
            mode: LOG_NOTHING, LOG_TRACED (events of KVM's tracepoints) or LOG_ALL (every change of an entry).
            first_gfn: first page of the focus.
            end_gfn: the page after the last.
        """
        self._arrays.log_all(mode, first_gfn, end_gfn)

    def count_cells(self, cell_row: I32, cells: int, shift: int) -> None:
        """From now on, count how each cell of the innermost guest's memory is mapped, and keep examples.

        Args:
            cell_row: int32[2**18], see MmuState.
            cells: number of cells.
            shift: a cell spans 2 ** shift pages.
        """
        self._arrays.count_cells(cell_row, cells, shift)

    # Memslots

    def add_memslot(self, slot_id: int, memslot: Memslot, *, logged: bool = False) -> None:
        """KVM_SET_USER_MEMORY_REGION of a new slot.

        Args:
            slot_id: userspace's number of the slot.
            memslot: its place in guest memory and its backing.
            logged: with KVM_MEM_LOG_DIRTY_PAGES, as if it were enabled before the first access.

        Raises:
            KvmEinval: KVM does not allow the id, or it is in use (a slot cannot be resized).
            KvmEexist: it overlaps another slot.
            KvmEnomem: its host mapping is beyond what a machine can hold.
        """
        memslots.add_memslot(self._arrays, slot_id, memslot, logged=logged)

    def delete_memslot(self, slot_id: int) -> None:
        """KVM_SET_USER_MEMORY_REGION with size 0: the whole VM's mappings are zapped; on arm64 the slot's.

        Raises:
            KvmEinval: no such slot.
            KvmEnomem: there is no memory for the slots that stay.

        Kernel: kvm_mmu_zap_all_fast(), arch/x86/kvm/mmu/mmu.c
        """
        memslots.delete_memslot(self._arrays, slot_id)

    def move_memslot(self, slot_id: int, base_gfn: int) -> None:
        """KVM_SET_USER_MEMORY_REGION of a slot at another gfn: the whole VM is zapped; on arm64 the slot.

        Its host memory, its logging flag and its dirty bitmap stay. Nothing is split or protected there.

        Args:
            slot_id: the slot.
            base_gfn: its new first gfn.

        Raises:
            KvmEinval: no such slot, or beyond the guest's address space.
            KvmEexist: it would overlap another slot.
            KvmEnomem: there is no memory to model it there.

        Kernel: kvm_prepare_memory_region(), virt/kvm/kvm_main.c; kvm_arch_flush_shadow_memslot()
        """
        memslots.move_memslot(self._arrays, slot_id, base_gfn)

    def set_read_only(self, slot_id: int, *, value: bool) -> None:
        """KVM_SET_USER_MEMORY_REGION with KVM_MEM_READONLY, which never changes.

        Raises:
            KvmEnoent: no such slot.
            KvmEinval: the slot has another value.
        """
        memslots.check_read_only(self._arrays, slot_id, value=value)

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
        """KVM_RUN: the guest accesses pages in order, then exits to userspace.

        Args:
            vcpus: the vCPU, or int64[n] the vCPU of each access.
            gfns: int64[n], absolute, each inside a memslot.
            write: whether the accesses write.
            start: access to continue from after a ring-full exit.
            ring_full: called at each ring-full exit; the guest then continues, unless no entry was freed.
                Userspace can thus harvest and reset the rings without a new check of all accesses.
            l2: the vCPUs run a nested guest, whose pages lie at the same gfns.

        Returns:
            Whether a ring was full, and how many accesses have retired in all.

        Raises:
            KvmEinval: a vCPU, a gfn or a start that does not exist.
            InputError: a nested guest where mmu is not nested.
        """
        return self._guest.run(vcpus, gfns, int(write), start, ring_full, l2=l2)

    def load_vcpus(self, vcpus: I64, *, l2: bool = False) -> None:
        """Fill the caches of vCPUs that have not run yet, and link the roots. Kernel: kvm_mmu_load().

        Args:
            vcpus: int64[n] the vCPUs.
            l2: they run a nested guest.
        """
        load_vcpus(self._arrays, vcpus, l2=l2)

    def zap_other_tables(self, done: MmuState) -> None:
        """Zap the range that the MMU notifier zapped in some tables of a nested VM in the others too.

        Args:
            done: the tables that are zapped already.
        """
        self._arrays.zap_other_tables(done)

    # Dirty logging

    def enable_dirty_logging(self, slot_id: int) -> None:
        """Set KVM_MEM_LOG_DIRTY_PAGES on a slot.

        Under initially-all-set no SPTE changes. Otherwise huge pages are split first if
        eager_page_split is on. Then, with PML, dirty bits are cleared and the remaining huge pages are
        write-protected; without PML, every leaf is write-protected. Each step handles the tables of an
        L2 first, then L1's. arm64 protects first and splits afterwards.

        Raises:
            KvmEinval: no such slot id can exist.
            KvmEnoent: no such slot.

        Kernel: kvm_mmu_slot_apply_flags(), arch/x86/kvm/x86.c; kvm_arch_commit_memory_region(),
            arch/arm64/kvm/mmu.c
        """
        exhaust(self._arrays, self.enable_steps(slot_id))

    def enable_steps(self, slot_id: int) -> Steps[None]:
        """enable_dirty_logging() step by step; no steps if the slot is logged already."""
        return logging_steps.enable_steps(self._arrays, slot_id)

    def disable_dirty_logging(self, slot_id: int) -> None:
        """Clear KVM_MEM_LOG_DIRTY_PAGES on a slot, and restore huge pages.

        A level that userspace forced is reset too. arm64 only frees its split cache: the first write to a
        protected 4K page of a huge page restores it.

        Raises:
            KvmEinval: no such slot id can exist.
            KvmEnoent: no such slot.

        Kernel: kvm_mmu_slot_apply_flags(), arch/x86/kvm/x86.c; kvm_arch_commit_memory_region(),
            arch/arm64/kvm/mmu.c
        """
        exhaust(self._arrays, self.disable_steps(slot_id))

    def disable_steps(self, slot_id: int) -> Steps[None]:
        """disable_dirty_logging() step by step; no steps if the slot is not logged."""
        return logging_steps.disable_steps(self._arrays, slot_id)

    def get_dirty_log(self, slot_id: int) -> I64:
        """KVM_GET_DIRTY_LOG. In legacy mode it clears the bitmap and arms the pages again.

        Returns:
            int64[words], 64 pages per word, lowest bit first.

        Raises:
            KvmEnxio: the VM uses a dirty ring.
            KvmEinval: no such slot id can exist.
            KvmEnoent: the slot is absent or not logging.
        """
        return exhaust(self._arrays, self.get_steps(slot_id))

    def get_steps(self, slot_id: int) -> Steps[I64]:
        """get_dirty_log() step by step; the generator returns the bitmap."""
        return word_steps.get_steps(self._arrays, slot_id)

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
        exhaust(self._arrays, self.clear_steps(slot_id, first_page, num_pages, bits))

    def clear_steps(self, slot_id: int, first_page: int, num_pages: int, bits: I64) -> Steps[None]:
        """clear_dirty_log() step by step."""
        return word_steps.clear_steps(self._arrays, slot_id, first_page, num_pages, bits)

    # Dirty ring

    def collect_dirty_rings(self, vcpu: int | None = None) -> list[tuple[int, I64]]:
        """Harvest every vCPU's ring, in order of vCPU.

        Args:
            vcpu: the only vCPU whose ring is harvested; None for all.

        Returns:
            Pairs of slot id and int64[n] page offsets, in ring order, one pair per run of entries of one slot.

        Raises:
            KvmEinval: the VM has no dirty ring.
        """
        return word_steps.collect_rings(self._arrays, vcpu)

    def reset_dirty_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS: re-arm the harvested pages.

        Returns:
            Entries reset.

        Raises:
            KvmEinval: the VM has no dirty ring.
        """
        return exhaust(self._arrays, self.reset_ring_steps())

    def reset_ring_steps(self) -> Steps[int]:
        """reset_dirty_rings() step by step; the generator returns the entries."""
        return word_steps.reset_ring_steps(self._arrays)

    # The host

    def set_eager_page_split(self, *, value: bool) -> None:
        """Write the module parameter; it is read at each enable and CLEAR.

        Raises:
            InputError: the kernel has no such parameter.
        """
        host_operations.set_eager_page_split(self._arrays, value=value)

    def split_by_faulting(self, slot_id: int, *, vcpu: int = 0) -> int:
        """Run the pre-split of 2020, before logging starts: a dummy vCPU faults in every page of a slot.

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
            InputError: the slot is logged or read-only, or the MMU does not map directly.
        """
        return exhaust(self._arrays, self.pre_split_steps(slot_id, vcpu=vcpu))

    def pre_split_steps(self, slot_id: int, *, vcpu: int = 0) -> Steps[int]:
        """split_by_faulting() step by step; the generator returns the calls."""
        return logging_steps.pre_split_steps(self._arrays, slot_id, vcpu)

    def host_write(self, slot_id: int, offsets: I64) -> None:
        """Write to pages of a slot from the host process; dirty logging does not report these pages.

        Args:
            slot_id: the slot.
            offsets: int64[n], pages counted from the slot's start.

        Raises:
            KvmEnoent: no such slot.
            InputError: a page outside the slot.
        """
        host_operations.host_write(self._arrays, slot_id, offsets)

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
        host_operations.madvise_dontneed(self._arrays, slot_id, start, count)
